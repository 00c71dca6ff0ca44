#include "core/vulkan/tuning.h"

#include "core/vulkan/call_timer.h"

#include <algorithm>
#include <filesystem>
#include <set>

namespace spikescope {

namespace {

constexpr double winsBelow = 0.98; // of the rule's time: less may be chance

// What a call asks that has more than one answer and was not asked before.
Result<std::vector<TileQuestion>> newQuestions(Kernels& kernels, const Program& program, const KernelCall& call,
                                               const Bindings& bindings, const std::set<std::string>& known) {
    std::vector<TileQuestion> asked, fresh;
    std::vector<Dispatch> unused;
    kernels.tiles().listen(&asked);
    const Result<void> encoded = kernels.encode(call, program, bindings, unused);
    kernels.tiles().listen(nullptr);
    CHECK(encoded);
    for (TileQuestion& question : asked)
        if (question.tiles.size() > 1 && !known.contains(question.key) &&
            std::ranges::find(fresh, question.key, &TileQuestion::key) == fresh.end())
            fresh.push_back(std::move(question));
    return fresh;
}

Result<TunedTile> tuneOne(Kernels& kernels, CallTimer& timer, const Program& program, const KernelCall& call,
                          const Bindings& bindings, const TileQuestion& question) {
    std::vector<std::vector<Dispatch>> lists;
    std::vector<std::string> names;
    for (const std::string& tile : question.tiles) {
        kernels.tiles().set(question.key, tile);
        std::vector<Dispatch> list;
        const Result<void> encoded = kernels.encode(call, program, bindings, list);
        if (!encoded && tile == question.rule) return tl::unexpected<Error>(encoded.error());
        if (!encoded) continue; // a driver may refuse a tile that takes too much of something
        lists.push_back(std::move(list));
        names.push_back(tile);
    }
    kernels.tiles().forget(question.key);
    TRY(const std::vector<double> times, timer.medians(lists));
    const auto rule = static_cast<std::size_t>(std::ranges::find(names, question.rule) - names.begin());
    auto chosen = static_cast<std::size_t>(std::ranges::min_element(times) - times.begin());
    if (times[chosen] > winsBelow * times[rule]) chosen = rule;
    if (chosen != rule) kernels.tiles().set(question.key, names[chosen]);
    return TunedTile{.kernel = kernelName(call),
                     .call = question.key,
                     .rule = question.rule,
                     .chosen = names[chosen],
                     .ruleMs = times[rule] / 1e6,
                     .chosenMs = times[chosen] / 1e6};
}

} // namespace

Result<void> tune(VulkanBackend& backend, const Program& program, const std::function<void(const TunedTile&)>& each) {
    TRY(const auto timer, CallTimer::create(backend.device()));
    Kernels& kernels = backend.kernels();
    const Bindings nowhere(program.tensors.size());
    std::set<std::string> known;
    for (const auto& [call, layer] : program.calls) {
        // Only calls with something new get memory; there they ask again, for kernels may look at addresses.
        TRY(std::vector<TileQuestion> questions, newQuestions(kernels, program, call, nowhere, known));
        if (questions.empty()) continue;
        TRY(const auto memory, CallMemory::create(backend.device(), backend.heap(), program, std::span(&call, 1)));
        TRY(questions, newQuestions(kernels, program, call, memory->bindings(), known));
        for (const TileQuestion& question : questions) {
            TRY(const TunedTile tuned, tuneOne(kernels, *timer, program, call, memory->bindings(), question));
            known.insert(question.key);
            each(tuned);
        }
    }
    return {};
}

Result<void> keepTiles(VulkanBackend& backend, const std::string& cacheFolder) {
    CHECK(backend.writeCache("tiles", cacheFolder, backend.kernels().tiles().toJson()));
    std::error_code ignored;
    std::filesystem::remove(backend.cacheFile("rates", cacheFolder), ignored);
    return {};
}

} // namespace spikescope
