#include "core/advise/rates.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

bool ofOp(const RecordedOp& op) {
    const bool staged = op.kind == OpKind::Upload || op.kind == OpKind::UploadPart || op.kind == OpKind::Download;
    return (op.phase == Phase::Decode || op.phase == Phase::Encode) && !staged;
}
bool isHeavy(const RecordedOp& op) { return op.kind == OpKind::Convolution || op.kind == OpKind::Attention; }

constexpr std::string_view schema = "spikescope.rates/1";
constexpr double slowest = 1e9; // ns per flop or byte that a table may say; estimates stay finite

// What PCIe 4.0 gives through 16 lanes, where it was never measured.
constexpr Rate hostLink{.nsPerFlop = 0.0, .nsPerByte = 1 / 25.0};

struct Sums {
    double ns = 0, flops = 0, bytes = 0;
};

} // namespace

Rates Rates::fit(std::span<const Recording> runs) {
    std::map<std::pair<std::string, std::string>, Sums> sums;
    std::map<std::string, Sums> copies; // by dtype
    std::vector<std::string> heavy;
    for (const Recording& run : runs)
        for (const RecordedOp& op : run.ops) {
            if (!ofOp(op)) continue;
            const double ns = static_cast<double>(op.endNs - op.beginNs);
            const auto add = [&](Sums& s) {
                s.ns += ns;
                s.flops += static_cast<double>(op.flops);
                s.bytes += static_cast<double>(op.traffic);
            };
            add(sums[{op.name, op.dtype}]);
            if (op.kind == OpKind::Copy) add(copies[op.dtype]);
            if (isHeavy(op)) heavy.push_back(op.name);
        }
    Rates rates;
    for (const auto& [key, sum] : sums) {
        if (sum.bytes <= 0 || sum.ns <= 0) continue;
        Rate& rate = rates.m_rates[key];
        if (std::ranges::find(heavy, key.first) == heavy.end() || sum.flops <= 0) {
            rate.nsPerByte = sum.ns / sum.bytes;
            continue;
        }
        const auto copy = copies.find(key.second);
        if (copy != copies.end() && copy->second.bytes > 0) rate.nsPerByte = copy->second.ns / copy->second.bytes;
        // Where caches hide the bytes, products still cost something.
        const double rest = std::max(sum.ns - rate.nsPerByte * sum.bytes, 0.2 * sum.ns);
        rate.nsPerByte = (sum.ns - rest) / sum.bytes;
        rate.nsPerFlop = rest / sum.flops;
    }
    return rates;
}

Rates Rates::ofCountedWork() {
    Rates rates;
    rates.m_any = Rate{.nsPerFlop = 1 / 20e3, .nsPerByte = 1 / 500.0};
    return rates;
}

std::optional<Rate> Rates::find(const RecordedOp& op) const {
    if (op.crossesTheBus()) {
        const auto measured = m_rates.lower_bound({op.name, ""}); // bytes are bytes, whatever their dtype
        return measured != m_rates.end() && measured->first.first == op.name ? measured->second : hostLink;
    }
    if (const auto found = m_rates.find({op.name, op.dtype}); found != m_rates.end()) return found->second;
    for (const auto& [key, rate] : m_rates)
        if (key.first == op.name) return rate;
    // Activations other than the measured ones are the same work.
    const std::string_view base = std::string_view(op.name).substr(0, op.name.rfind('_'));
    for (const auto& [key, rate] : m_rates)
        if (key.first.starts_with(base) && key.second == op.dtype) return rate;
    // What is not measured is small and bound by memory.
    if (const auto copy = m_rates.find({"copy", op.dtype}); copy != m_rates.end()) return copy->second;
    return m_any;
}

std::optional<double> Rates::estimateMs(const Recording& plan) const {
    double ns = 0;
    for (const RecordedOp& op : plan.ops) {
        if (!ofOp(op)) continue;
        const std::optional<Rate> rate = find(op);
        if (!rate) return std::nullopt;
        ns += static_cast<double>(op.times) *
              (static_cast<double>(op.flops) * rate->nsPerFlop + static_cast<double>(op.traffic) * rate->nsPerByte);
    }
    return ns / 1e6;
}

std::string Rates::toJson() const {
    nlohmann::ordered_json list = nlohmann::ordered_json::array();
    for (const auto& [key, rate] : m_rates)
        list.push_back({{"kernel", key.first},
                        {"dtype", key.second},
                        {"ns_per_flop", rate.nsPerFlop},
                        {"ns_per_byte", rate.nsPerByte}});
    return nlohmann::ordered_json{{"schema", schema}, {"rates", std::move(list)}}.dump(1);
}

Result<Rates> Rates::fromJson(std::string_view text) {
    const auto broken = fail(ErrorCode::BadInput, "not a table of rates");
    const auto json = nlohmann::json::parse(text, nullptr, false);
    if (!json.is_object() || !json.contains("schema") || json["schema"] != schema || !json.contains("rates") ||
        !json["rates"].is_array())
        return broken;
    Rates rates;
    for (const auto& entry : json["rates"]) {
        const auto number = [&](const char* key) {
            return entry.is_object() && entry.contains(key) && entry[key].is_number() ? entry[key].get<double>() : -1.0;
        };
        const auto word = [&](const char* key) {
            return entry.is_object() && entry.contains(key) && entry[key].is_string() ? entry[key].get<std::string>()
                                                                                      : std::string();
        };
        const Rate rate{number("ns_per_flop"), number("ns_per_byte")};
        const auto possible = [](double ns) { return ns >= 0 && ns <= slowest; };
        if (!possible(rate.nsPerFlop) || !possible(rate.nsPerByte) || rate == Rate() || word("kernel").empty())
            return broken;
        rates.m_rates[{word("kernel"), word("dtype")}] = rate;
    }
    if (rates.empty()) return broken;
    return rates;
}

} // namespace spikescope
