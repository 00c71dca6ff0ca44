// Any bytes are a zip archive of PyTorch or NumPy, or whatever else a file may be.

#include "core/tensors/zip.h"
#include "tests/fuzz/read_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace spikescope;
    const auto bytes = std::as_bytes(std::span(data, size));
    readTensors(bytes, "fuzz.zip");
    if (const auto zip = Zip::parse(bytes, "fuzz.zip"))
        for (const Zip::Entry& entry : zip->entries()) {
            require(zip->find(entry.name) != nullptr && entry.offset + entry.compressed <= size);
            if (const auto content = zip->inflated(entry, 1 << 20)) require(content->size() == entry.size);
        }
    return 0;
}
