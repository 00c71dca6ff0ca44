#include "core/timeline/alive.h"

#include "core/base/text.h"
#include "core/timeline/peak.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

namespace spikescope {

namespace {

std::string what(const Recording& recording, const AliveTensor& alive) {
    const RecordedTensor& tensor = recording.tensors[alive.tensor];
    const std::string_view layer = layerName(recording, tensor.layer);
    return layer.empty() || tensor.name.starts_with(layer) ? tensor.name : fmt::format("{} of {}", tensor.name, layer);
}

} // namespace

std::vector<AliveTensor> aliveAt(const Recording& recording, std::uint32_t event) {
    if (event >= recording.events.size()) return {};
    std::vector<std::uint32_t> since(recording.tensors.size(), noIndex);
    for (std::uint32_t i = 0; i <= event; ++i) {
        const Event& e = recording.events[i];
        if (e.tensor >= since.size()) continue;
        if (e.kind == EventKind::Alloc) since[e.tensor] = i;
        if (e.kind == EventKind::Free) since[e.tensor] = noIndex;
    }
    std::vector<AliveTensor> alive;
    for (std::uint32_t i = 0; i < since.size(); ++i) {
        if (since[i] == noIndex) continue;
        const Event& e = recording.events[since[i]];
        alive.push_back({.tensor = i, .since = since[i], .bytes = e.bytes, .address = e.address});
    }
    std::ranges::sort(alive, {}, [](const AliveTensor& a) { return std::tuple(~a.bytes, a.since); });
    return alive;
}

std::string describeMoment(const Recording& recording, std::uint32_t event, std::uint32_t space) {
    const std::vector<AliveTensor> alive = aliveAt(recording, event);
    if (alive.empty()) return "Nothing is allocated here.";
    std::array<std::uint64_t, categoryCount> sums{};
    std::uint64_t total = 0;
    for (const AliveTensor& a : alive) {
        const RecordedTensor& tensor = recording.tensors[a.tensor];
        if (tensor.space != space) continue;
        sums[static_cast<std::size_t>(tensor.category)] += a.bytes;
        total += a.bytes;
    }
    if (total == 0) return fmt::format("Nothing is allocated on the {} here.", recording.spaces[space].name);
    const auto most = static_cast<std::size_t>(std::ranges::max_element(sums) - sums.begin());
    const auto category = static_cast<Category>(most);
    std::vector<std::string> largest;
    std::uint64_t named = 0;
    for (const AliveTensor& a : alive) {
        const RecordedTensor& tensor = recording.tensors[a.tensor];
        if (tensor.space != space || tensor.category != category) continue;
        // Two names explain more than ten; a third only where it is no smaller than half of the first.
        if (largest.size() == 3 || (largest.size() == 2 && 2 * a.bytes < named / 2)) break;
        largest.push_back(fmt::format("{} ({})", what(recording, a), formatBytes(a.bytes)));
        named += a.bytes;
    }
    const double share = 100.0 * static_cast<double>(sums[most]) / static_cast<double>(total);
    const std::string head = share > 99.9
                                 ? fmt::format("All {} allocated here is {}", formatBytes(total), name(category))
                                 : fmt::format("{} of the {} allocated here ({:.0f} %) is {}", formatBytes(sums[most]),
                                               formatBytes(total), share, name(category));
    return fmt::format("{}, largest: {}.", head, joined(largest, ", "));
}

} // namespace spikescope
