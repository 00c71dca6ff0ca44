#include "core/base/checked.h"

#include <cinttypes>
#include <cstdio>
#include <cstdlib>

namespace spikescope {

void endAtNarrowing(bool negative, std::uint64_t magnitude, int bits, bool isSigned,
                    const std::source_location& where) {
    std::fprintf(stderr, "spikescope: %s:%u: %s%" PRIu64 " does not fit into %d %s bits\n", where.file_name(),
                 static_cast<unsigned>(where.line()), negative ? "-" : "", magnitude, bits,
                 isSigned ? "signed" : "unsigned");
    std::abort();
}

} // namespace spikescope
