#pragma once
// Time of a plan: flops and bytes of each op over rates measured once on a device. A model, and said to be one: the
// only number of this program that is not counted or measured.

#include "core/base/error.h"
#include "core/memory/recording.h"

#include <map>
#include <optional>
#include <span>
#include <string>

namespace spikescope {

struct Rate {
    double nsPerFlop = 0.0, nsPerByte = 0.0;
    bool operator==(const Rate&) const = default;
};

class Rates {
public:
    // Fits the rates of all kernels that occur in these runs. An op's time is flops × nsPerFlop + bytes × nsPerByte:
    // for convolutions and attention a byte costs what it costs in a copy and the rest is flops; all else is bytes
    // alone.
    static Rates fit(std::span<const Recording> runs);

    // Of no device: counted work at 20 TFLOP/s and 500 GB/s, 25 GB/s between device and host, whatever the kernel. Such
    // times order configurations.
    static Rates ofCountedWork();

    // Of the decode or encode phase, in ms. A kernel that was never measured in this dtype counts as in another one,
    // one that was never measured at all as a copy.
    std::optional<double> estimateMs(const Recording& plan) const;
    bool empty() const { return m_rates.empty(); }

    std::string toJson() const;
    static Result<Rates> fromJson(std::string_view text);

private:
    std::optional<Rate> find(const RecordedOp& op) const;

    std::map<std::pair<std::string, std::string>, Rate> m_rates; // by kernel and dtype
    std::optional<Rate> m_any;                                   // of kernels that are not in the table
};

} // namespace spikescope
