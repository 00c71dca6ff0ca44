#include "core/advise/advice.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace spikescope {

Result<PlannedControls> planControls(const Controls& controls, const HeapTraits& traits, const Rates* rates,
                                     std::optional<std::uint64_t> availableBytes) {
    TRY(Job job, makeJob(controls, std::monostate{}));
    VirtualHeap boundless({.granularity = traits.granularity});
    const TracedPlan asked(job, boundless);
    const Recording& recording = asked.recording;
    if (recording.failure) return fail(ErrorCode::OutOfDeviceMemory, "{}", recording.failure->message);
    PlannedControls planned{
        .controls = {}, .peak = findPeak(recording), .weights = 0, .ms = std::nullopt, .fits = true};
    for (const Tensor& tensor : job.program.tensors)
        if (tensor.category == Category::Weights && tensor.memory == MemoryKind::Device)
            planned.weights += tensor.bytes;
    const std::uint64_t limit = availableBytes.value_or(std::numeric_limits<std::uint64_t>::max());
    const bool blocksFit =
        std::ranges::all_of(recording.events,
                            [&](const Event& event) {
                                return event.kind != EventKind::Reserve || event.bytes <= traits.largestBlock;
                            }) &&
        std::ranges::all_of(job.program.tensors, [&](const Tensor& tensor) {
            return tensor.memory != MemoryKind::Pinned || tensor.within || tensor.bytes <= traits.largestBlock;
        });
    const auto estimate = [&](const TracedPlan& traced) {
        const auto time = rates ? estimatePass(job.program, traced.recording, traced.trace(), *rates) : std::nullopt;
        if (!time) return;
        planned.ms = time->ms;
        planned.unknown = time->unknown;
    };
    // Where nothing would be refused the other plan is the same; an arena that is refused has nothing to give back.
    if (blocksFit && (planned.peak.reserved <= limit || job.controls.allocatorPolicy() == AllocatorPolicy::Arena)) {
        planned.fits = planned.peak.reserved <= limit;
        estimate(asked);
    } else {
        VirtualHeap heap(traits, limit);
        const TracedPlan limited(job, heap);
        planned.fits = !limited.recording.failure;
        estimate(planned.fits ? limited : asked); // giving memory back and taking it again takes time
    }
    planned.controls = std::move(job.controls);
    return planned;
}

std::vector<FlippedControls> flippedControls(const Controls& controls) {
    std::vector<FlippedControls> flips;
    for (const ControlInfo& info : controlTable())
        for (const std::string_view value : info.flips) {
            FlippedControls flip{.control = info.name, .from = info.get(controls), .to = {}, .controls = controls};
            if (!setControl(flip.controls, info.name, value)) continue;
            flip.to = info.get(flip.controls);
            if (flip.from != flip.to && checkControls(flip.controls)) flips.push_back(std::move(flip));
        }
    return flips;
}

Result<Advice> advise(const Controls& given, const HeapTraits& traits, const Rates* rates,
                      std::optional<std::uint64_t> availableBytes) {
    Controls controls = given;
    controls.enforce = false;
    TRY(const PlannedControls base, planControls(controls, traits, rates, availableBytes));
    Advice advice{.allocated = base.peak.allocated,
                  .reserved = base.peak.reserved,
                  .ms = base.ms,
                  .fits = base.fits,
                  .flips = {}};
    for (FlippedControls& flip : flippedControls(controls)) {
        const Result<PlannedControls> planned = planControls(flip.controls, traits, rates, availableBytes);
        if (!planned) continue;
        advice.flips.push_back({.control = std::string(flip.control),
                                .from = std::move(flip.from),
                                .to = std::move(flip.to),
                                .allocated = planned->peak.allocated,
                                .reserved = planned->peak.reserved,
                                .layer = planned->peak.layer,
                                .ms = planned->ms,
                                .fits = planned->fits});
    }
    std::ranges::stable_sort(advice.flips, {}, [](const Flip& flip) {
        return std::tuple(flip.allocated, flip.reserved, flip.ms.value_or(0.0));
    });
    return advice;
}

void adviseFailure(Recording& recording, const Controls& controls, const HeapTraits& traits) {
    if (!recording.failure || recording.failure->code != ErrorCode::OutOfDeviceMemory) return;
    Failure& failure = *recording.failure;
    const std::uint64_t held = failure.event == 0 ? 0 : recording.totalsAfter(failure.event - 1, deviceSpace).reserved;
    const auto known = checkedAdd(held, failure.bytesFree);
    const std::uint64_t availableBytes = controls.enforce ? *controls.budgetBytes : known.value_or(failure.bytesFree);
    const Result<Advice> advice = advise(controls, traits, nullptr, availableBytes);
    if (!advice) return; // not even a plan is possible
    for (const Flip& flip : advice->flips)
        if (flip.fits) failure.fits.push_back(fmt::format("{} {}", flip.control, flip.to));
}

} // namespace spikescope
