// Any bytes are a file: the reader refuses them with a sentence, or every tensor it names can be read to its last byte.

#include "core/base/checked.h"
#include "core/tensors/tensor_file.h"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

namespace {

void require(bool condition) {
    if (!condition) std::abort();
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const auto bytes = std::as_bytes(std::span(data, size));
    const auto file = spikescope::TensorFile::parse(bytes, "fuzz.safetensors");
    if (!file) {
        const spikescope::Error& error = file.error();
        require(error.code == spikescope::ErrorCode::BadInput);
        require(error.message.starts_with("'fuzz.safetensors': ") && error.message.ends_with('.'));
        return 0;
    }
    std::uint64_t total = 0;
    unsigned sum = 0;
    for (const spikescope::TensorView& tensor : file->tensors()) {
        require(file->find(tensor.name) == &tensor);
        const auto content = file->data(tensor);
        require(content.size() == tensor.bytes && tensor.shape.size() <= 8);
        if (tensor.stored) require(tensor.elements * spikescope::sizeOf(*tensor.stored) == tensor.bytes);
        for (const std::byte value : content) sum += std::to_integer<unsigned>(value);
        total += tensor.bytes;
    }
    require(total <= size);
    // Keeps the reads alive under optimisation.
    volatile unsigned sink = sum;
    static_cast<void>(sink);
    return 0;
}
