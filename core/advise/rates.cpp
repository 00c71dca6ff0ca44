#include "core/advise/rates.h"

#include "core/base/median.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace spikescope {

namespace {

constexpr std::string_view schema = "spikescope.rates/2";
constexpr double slowest = 1e13; // ns that a table may say; estimates stay finite
constexpr std::size_t maxSamples = 1 << 16;
constexpr double busBytesPerNs = 25.0; // what PCIe 4.0 gives through 16 lanes, where it was never measured
// Sizes that differ by less are one.
constexpr double sameWork = 1.0001;

// Of a kept table.
constexpr std::pair<const char*, double OtherCosts::*> costKeys[]{{"between_ops", &OtherCosts::betweenOps},
                                                                  {"op", &OtherCosts::perOp},
                                                                  {"wait", &OtherCosts::perWait},
                                                                  {"reserve", &OtherCosts::perReserve},
                                                                  {"reserved_byte", &OtherCosts::perReservedByte},
                                                                  {"return", &OtherCosts::perReturn},
                                                                  {"returned_byte", &OtherCosts::perReturnedByte},
                                                                  {"upload", &OtherCosts::perUpload},
                                                                  {"uploaded_byte", &OtherCosts::perUploadedByte},
                                                                  {"download", &OtherCosts::perDownload},
                                                                  {"downloaded_byte", &OtherCosts::perDownloadedByte}};

std::vector<std::string_view> words(std::string_view text) {
    std::vector<std::string_view> list;
    while (!text.empty()) {
        const std::size_t end = std::min(text.find(' '), text.size());
        list.push_back(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return list;
}

// How much of a kind's words another one has at the same places; none for another kernel.
int likeness(const std::vector<std::string_view>& a, const std::vector<std::string_view>& b) {
    if (a.front() != b.front()) return 0;
    int same = 1;
    for (std::size_t i = 1; i < std::min(a.size(), b.size()); ++i) same += a[i] == b[i] ? 2 : 0;
    return same + (a.size() == b.size() ? 1 : 0);
}

// y = a + b x with a, b >= 0, least squares; b alone is zero where x does not vary.
std::pair<double, double> lineThrough(std::span<const std::pair<double, double>> points) {
    double n = 0, x = 0, y = 0, xx = 0, xy = 0;
    for (const auto& [px, py] : points) {
        ++n;
        x += px;
        y += py;
        xx += px * px;
        xy += px * py;
    }
    if (n == 0) return {0.0, 0.0};
    const double varied = n * xx - x * x;
    double slope = varied > 1e-9 * n * xx ? std::max((n * xy - x * y) / varied, 0.0) : 0.0;
    double begin = (y - slope * x) / n;
    if (begin < 0.0) {
        begin = 0.0;
        slope = xx > 0.0 ? xy / xx : 0.0;
    }
    return {begin, slope};
}

} // namespace

Rates Rates::ofCountedWork() {
    Rates rates;
    rates.m_counted = true;
    rates.other.perUploadedByte = rates.other.perDownloadedByte = 1 / busBytesPerNs;
    return rates;
}

void Rates::set(const std::string& kind, CallSample sample) {
    Samples& samples = m_calls[kind];
    for (auto near = samples.lower_bound(sample.work / sameWork);
         near != samples.end() && near->first <= sample.work * sameWork;)
        near = samples.erase(near);
    samples[sample.work] = sample.ns;
}

std::optional<double> Rates::sampleOf(const std::string& kind, double work) const {
    const auto samples = m_calls.find(kind);
    if (samples == m_calls.end()) return std::nullopt;
    const auto near = samples->second.lower_bound(work / sameWork);
    if (near == samples->second.end() || near->first > work * sameWork) return std::nullopt;
    return near->second;
}

bool Rates::knows(const std::string& kind, double work) const { return sampleOf(kind, work).has_value(); }

std::size_t Rates::size() const {
    std::size_t count = 0;
    for (const auto& [kind, samples] : m_calls) count += samples.size();
    return count;
}

std::size_t Rates::learnCalls(const TracedRun& traced, bool onlyFaster) {
    const auto& [program, trace, run] = traced;
    std::map<std::pair<std::string, double>, std::vector<double>> times;
    std::map<std::uint32_t, std::pair<std::string, double>> works; // by call
    for (const TraceItem& item : trace) {
        if (item.kind != TraceItem::Kind::Work || item.call == noIndex || item.op >= run.ops.size()) continue;
        const RecordedOp& op = run.ops[item.op];
        if (!isDecodeOrEncode(op) || op.endNs <= op.beginNs) continue;
        auto [of, isNew] = works.try_emplace(item.call);
        if (isNew) {
            const KernelCall& call = program.calls[item.call].kernel;
            of->second = {workKind(call, program), workOf(call, program)};
        }
        times[of->second].push_back(static_cast<double>(op.endNs - op.beginNs));
    }
    std::size_t changed = 0;
    for (auto& [of, list] : times) {
        const double ns = median(list);
        const std::optional<double> known = sampleOf(of.first, of.second);
        if (known == ns || (known && onlyFaster && *known < ns)) continue;
        ++changed;
        set(of.first, {.work = of.second, .ns = ns});
    }
    return changed;
}

namespace {

// What is between the ops of a run.
class Gaps {
public:
    void follow(const TracedRun& traced, bool waitsForEachOp) {
        const std::size_t passes =
            static_cast<std::size_t>(std::ranges::count_if(traced.trace, [&](const TraceItem& item) {
                return opOf(traced, item) && opOf(traced, item)->kind == OpKind::Upload;
            }));
        // The first pass is recorded anew, and the last one hands over the output.
        const std::size_t usual = (passes + 1) / 2;
        std::size_t pass = 0;
        m_end = 0;
        m_staged = m_waited = false;
        for (const TraceItem& item : traced.trace) {
            if (item.kind == TraceItem::Kind::Wait) {
                endBatch();
                m_waited = item.ahead == 0;
            }
            const RecordedOp* op = opOf(traced, item);
            if (!op) continue;
            if (op->kind == OpKind::Upload) ++pass;
            m_isUsual = pass == usual;
            if (item.call == noIndex)
                staged(*op, item);
            else
                call(*op, waitsForEachOp);
        }
        endBatch();
    }

    std::vector<std::pair<double, double>> batches;            // ops in a batch, ns before it
    std::vector<std::pair<double, double>> uploads, downloads; // bytes, ns

private:
    static const RecordedOp* opOf(const TracedRun& traced, const TraceItem& item) {
        if (item.kind != TraceItem::Kind::Work || item.op >= traced.run.ops.size()) return nullptr;
        const RecordedOp& op = traced.run.ops[item.op];
        return isDecodeOrEncode(op) ? &op : nullptr;
    }
    void endBatch() {
        if (m_gap >= 0.0 && m_inBatch > 0) batches.emplace_back(m_inBatch, m_gap);
        m_gap = -1.0;
        m_inBatch = 0;
    }
    void staged(const RecordedOp& op, const TraceItem& item) {
        endBatch();
        addGapToDownload(op);
        m_waited = false;
        m_staged = true;
        m_upload = nullptr;
        const auto bytes = static_cast<double>(item.bytes);
        if (op.kind == OpKind::Download)
            m_download = &downloads.emplace_back(bytes, static_cast<double>(op.endNs - std::max(op.beginNs, m_end)));
        else if (op.kind == OpKind::UploadPart && m_isUsual)
            m_upload = &uploads.emplace_back(bytes, static_cast<double>(op.endNs - m_end));
        m_end = op.endNs;
    }
    // The host reads what was downloaded while the device waits for it.
    void addGapToDownload(const RecordedOp& op) {
        if (m_download) m_download->second += static_cast<double>(std::max(op.beginNs - m_end, std::int64_t{0}));
        m_download = nullptr;
    }
    void call(const RecordedOp& op, bool waitsForEachOp) {
        const auto gap = static_cast<double>(op.beginNs - m_end);
        addGapToDownload(op);
        if (m_staged) {
            if (m_upload) m_upload->second += gap;
        } else if (m_isUsual && (m_waited || (waitsForEachOp && m_end > 0))) {
            endBatch();
            m_gap = gap;
        }
        m_staged = m_waited = false;
        ++m_inBatch;
        m_end = op.endNs;
    }

    std::int64_t m_end = 0;                          // of the last op
    bool m_staged = false, m_waited = false;         // the host, since the last call
    bool m_isUsual = false;                          // the pass
    std::pair<double, double>* m_upload = nullptr;   // since the last call
    std::pair<double, double>* m_download = nullptr; // the last op
    double m_gap = -1.0;                             // before the batch that is followed; negative: not of interest
    double m_inBatch = 0;                            // calls
};

} // namespace

void Rates::learnOther(std::span<const TracedRun> runs, bool waitsForEachOp) {
    Gaps gaps;
    for (const TracedRun& run : runs) gaps.follow(run, waitsForEachOp);
    std::tie(other.perWait, other.perOp) = lineThrough(gaps.batches);
    std::tie(other.perUpload, other.perUploadedByte) = lineThrough(gaps.uploads);
    std::tie(other.perDownload, other.perDownloadedByte) = lineThrough(gaps.downloads);
}

void Rates::learnTransfers(const TracedRun& traced) {
    Rates all;
    all.learnCalls(traced);
    for (auto& [kind, samples] : all.m_calls)
        if (kind.starts_with(name(OpKind::ToHost)) || kind.starts_with(name(OpKind::ToDevice)))
            m_calls[kind] = std::move(samples);
}

// Between two samples on the line through their logarithms. Beyond the largest, time grows as work does; below the
// smallest, as it does between the two smallest, since small calls leave parts of the device idle.
double Rates::interpolate(const Samples& samples, double work) {
    const auto upper = samples.lower_bound(work / sameWork);
    if (upper == samples.end()) {
        const auto& [most, ns] = *samples.rbegin();
        return ns * work / most;
    }
    if (upper->first <= work * sameWork) return upper->second;
    const auto a = upper == samples.begin() ? upper : std::prev(upper), b = std::next(a);
    if (b == samples.end()) return a->second * work / a->first;
    const double slope = std::log(b->second / a->second) / std::log(b->first / a->first);
    return a->second * std::pow(work / a->first, std::clamp(slope, 0.0, 1.5));
}

const Rates::Samples* Rates::mostLike(std::string_view kind) const {
    const std::vector<std::string_view> wanted = words(kind);
    const Samples* found = nullptr;
    int most = 0;
    for (const auto& [known, samples] : m_calls) {
        const int like = likeness(wanted, words(known));
        if (like > most) {
            most = like;
            found = &samples;
        }
    }
    return found;
}

std::optional<CallTime> Rates::callTime(const KernelCall& call, const Program& program) const {
    if (m_counted) {
        const auto bytes = static_cast<double>(traffic(call, program));
        return CallTime{std::holds_alternative<TransferCall>(call)
                            ? bytes / busBytesPerNs
                            : static_cast<double>(flops(call, program)) / 20e3 + bytes / 500.0};
    }
    const std::string kind = workKind(call, program);
    if (const auto found = m_calls.find(kind); found != m_calls.end())
        return CallTime{interpolate(found->second, workOf(call, program))};
    if (const Samples* like = mostLike(kind)) return CallTime{interpolate(*like, workOf(call, program)), false};
    if (std::holds_alternative<TransferCall>(call))
        return CallTime{static_cast<double>(traffic(call, program)) / busBytesPerNs, false};
    return std::nullopt;
}

std::string Rates::toJson() const {
    using Json = nlohmann::ordered_json;
    Json calls = Json::array();
    for (const auto& [kind, samples] : m_calls) {
        Json list = Json::array();
        for (const auto& [work, ns] : samples) list.push_back({work, ns});
        calls.push_back({{"kind", kind}, {"work_ns", std::move(list)}});
    }
    Json costs = Json::object();
    for (const auto& [key, cost] : costKeys) costs[key] = other.*cost;
    return Json{{"schema", schema}, {"other_ns", costs}, {"calls", std::move(calls)}}.dump();
}

Result<Rates> Rates::fromJson(std::string_view text) {
    const auto broken = fail(ErrorCode::BadInput, "not a table of rates");
    const auto json = nlohmann::json::parse(text, nullptr, false);
    const auto has = [](const nlohmann::json& object, const char* key) {
        return object.is_object() && object.contains(key);
    };
    if (!has(json, "schema") || json["schema"] != schema || !has(json, "other_ns") || !has(json, "calls") ||
        !json["calls"].is_array())
        return broken;
    const auto possible = [](const nlohmann::json& value) {
        return value.is_number() && value.get<double>() >= 0.0 && value.get<double>() <= slowest;
    };
    Rates rates;
    for (const auto& [key, cost] : costKeys) {
        if (!has(json["other_ns"], key) || !possible(json["other_ns"][key])) return broken;
        rates.other.*cost = json["other_ns"][key].get<double>();
    }
    std::size_t count = 0;
    for (const auto& entry : json["calls"]) {
        if (!has(entry, "kind") || !entry["kind"].is_string() || !has(entry, "work_ns") ||
            !entry["work_ns"].is_array() || entry["work_ns"].empty())
            return broken;
        const auto kind = entry["kind"].get<std::string>();
        if (kind.empty() || (count += entry["work_ns"].size()) > maxSamples) return broken;
        for (const auto& sample : entry["work_ns"]) {
            if (!sample.is_array() || sample.size() != 2 || !sample[0].is_number() ||
                !(sample[0].get<double>() >= 1.0) || sample[0].get<double>() > 1e18 || !sample[1].is_number() ||
                !(sample[1].get<double>() > 0.0) || sample[1].get<double>() > slowest)
                return broken;
            rates.m_calls[kind][sample[0].get<double>()] = sample[1].get<double>();
        }
    }
    if (rates.empty()) return broken;
    return rates;
}

} // namespace spikescope
