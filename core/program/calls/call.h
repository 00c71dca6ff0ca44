#pragma once
// What all calls of kernels have in common. A call is a struct of tensors and settings with these functions:
//   reads()    tensors that must be live while it runs and that it reads
//   writes()   the same for those that it writes, workspaces included; the output is the last one
//   name()     of the op as recorded
//   op()       its kind; only of calls that are not OpKind::Compute
//   flops()    multiplications and additions counted apart
//   traffic()  bytes read and written; only of calls for which that is not tensorTraffic()

#include "core/base/id.h"
#include "core/memory/recording.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace spikescope {

struct Program;
using TensorId = Id<struct TensorTag>;

enum class Activation : std::uint8_t { None, Silu, Relu };

std::string withActivation(std::string name, Activation activation); // "_silu" or "_relu" is appended
// Bytes when each tensor crosses the bus once in each direction that it is used in. A workspace counts twice, as it is
// written and read again.
std::uint64_t tensorTraffic(const std::vector<TensorId>& reads, const std::vector<TensorId>& writes,
                            const Program& program);

} // namespace spikescope
