// Any bytes follow the mark of a .npy file; and stand in an archive, where arrays of other kinds may stand, too.

#include "tests/fuzz/read_tensors.h"
#include "tests/support/archives.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace spikescope;
    const std::string array = "\x93NUMPY" + std::string(reinterpret_cast<const char*>(data), size);
    readTensors(std::as_bytes(std::span(array)), "fuzz.npy");
    ZipWriter zip;
    zip.add("a.npy", array);
    const std::string archive = zip.finish();
    readTensors(std::as_bytes(std::span(archive)), "fuzz.npz");
    return 0;
}
