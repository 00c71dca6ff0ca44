// Any bytes are the pickle in a PyTorch file, beside two storages.

#include "tests/fuzz/read_tensors.h"
#include "tests/support/archives.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace spikescope;
    ZipWriter zip;
    zip.add("a/data.pkl", {reinterpret_cast<const char*>(data), size});
    zip.add("a/data/0", std::string(24, '\x3c'));
    zip.add("a/data/1", std::string(5, '\x40'));
    const std::string file = zip.finish();
    readTensors(std::as_bytes(std::span(file)), "fuzz.ckpt");
    return 0;
}
