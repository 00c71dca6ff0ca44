#pragma once
// Where values stop being finite numbers. A run whose output is not finite is carried out a second time with one of
// these: the machine shows it what every call wrote, and it stops the run at the first layer whose values are not
// finite. Takes a wait for the device and a copy to the host for each call, so no ordinary run does it.

#include "core/base/error.h"
#include "core/program/program.h"

#include <optional>
#include <span>
#include <string>

namespace spikescope {

class ValueCheck {
public:
    explicit ValueCheck(const Program& program)
        : m_program(program) {}

    // Whether its values are of interest: feature maps on the device, not the sums and columns on the way to them.
    bool wants(TensorId tensor) const;
    // A part of the input, in the tensor's dtype.
    void addInput(TensorId tensor, std::span<const std::byte> values);
    // A part of what a call of this layer wrote to a tensor.
    void add(LayerId layer, TensorId tensor, std::span<const std::byte> values);
    // After the last part of what a call wrote: BadInput when there were values that are not finite.
    Result<void> endCall(const Call& call);

    struct Overflow {
        LayerId layer;
        TensorId tensor;
        std::string sentence; // layer, op, dtype, how many, and the largest finite value before it
    };
    const std::optional<Overflow>& found() const { return m_found; }

private:
    const Program& m_program;
    struct Largest {
        float value = 0; // magnitude
        LayerId layer;
    };
    Largest m_before, m_now; // of calls that have ended, and of the one that writes
    TensorId m_tensor;       // the last one with values that are not finite: behind others a call writes its output
    std::uint64_t m_nonFinite = 0; // in it
    std::optional<Overflow> m_found;
};

} // namespace spikescope
