// Any bytes are a .safetensors file.

#include "tests/fuzz/read_tensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    spikescope::readTensors(std::as_bytes(std::span(data, size)), "fuzz.safetensors");
    return 0;
}
