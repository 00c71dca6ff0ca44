#pragma once
// Writes .safetensors files whose tensors arrive in pieces, in any order.

#include "core/base/dtype.h"
#include "core/base/error.h"
#include "core/base/output_file.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace spikescope {

class SafetensorsWriter {
public:
    struct Tensor {
        std::string name; // UTF-8
        DType dtype = DType::F32;
        std::vector<std::uint64_t> shape; // row-major, at most 8 dimensions
    };

    // Writes the header. Names that repeat or cannot stand in a header are BadUsage. In the file the F32 tensors come
    // first and the order is otherwise kept, so that each begins at a multiple of its element size.
    [[nodiscard]] static Result<SafetensorsWriter> create(const std::string& path, const std::vector<Tensor>& tensors,
                                                          const std::map<std::string, std::string>& metadata = {});

    // offset: bytes from the start of the tensor; tensor: its index in the list given to create().
    [[nodiscard]] Result<void> write(std::size_t tensor, std::uint64_t offset, std::span<const std::byte> bytes);

    // The file appears now. Refused, and nothing appears, unless as many bytes were written to each tensor as it has.
    [[nodiscard]] Result<void> commit();

private:
    struct Place {
        std::string name;
        std::uint64_t offset = 0; // bytes from the start of the file
        std::uint64_t bytes = 0;
        std::uint64_t written = 0;
    };

    SafetensorsWriter(OutputFile file, std::vector<Place> places)
        : m_file(std::move(file))
        , m_places(std::move(places)) {}

    OutputFile m_file;
    std::vector<Place> m_places; // as given to create()
};

} // namespace spikescope
