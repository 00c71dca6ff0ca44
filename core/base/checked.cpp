#include "core/base/checked.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

namespace spikescope {

void endAtNarrowing(bool negative, std::uint64_t magnitude, int bits, bool isSigned, const char* file, unsigned line) {
    std::fprintf(stderr, "spikescope: %s:%u: %s%" PRIu64 " does not fit into %d %s bits\n", file, line,
                 negative ? "-" : "", magnitude, bits, isSigned ? "signed" : "unsigned");
    std::abort();
}

} // namespace spikescope
