#include "core/vulkan/call_timer.h"

#include "core/base/checked.h"
#include "core/base/float_convert.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>

namespace spikescope {

namespace {

constexpr std::uint64_t stagingBytes = std::uint64_t{4} << 20;

// -1 to 1; weights less, so that maps which are read and written over and over stay finite for a while.
void writeRandom(std::byte* out, std::uint64_t elements, DType dtype, float scale) {
    std::minstd_rand random(7);
    std::uniform_real_distribution<float> values(-scale, scale);
    for (std::uint64_t i = 0; i < elements; ++i) {
        const float value = values(random);
        const std::uint16_t half = dtype == DType::F16 ? floatToFp16(value) : floatToBf16(value);
        dtype == DType::F32 ? std::memcpy(out + 4 * i, &value, 4) : std::memcpy(out + 2 * i, &half, 2);
    }
}

Result<void> copyOver(Device& device, VkBuffer from, VkBuffer to, std::uint64_t bytes) {
    std::vector<VkBufferCopy> regions;
    for (std::uint64_t done = 0; done < bytes; done += stagingBytes)
        regions.push_back({.srcOffset = 0, .dstOffset = done, .size = std::min(stagingBytes, bytes - done)});
    TRY(const std::unique_ptr<Commands> commands, Commands::create(device));
    CHECK(commands->begin(Commands::Use::Once));
    commands->barrier();
    device.vk.CmdCopyBuffer(commands->handle(), from, to, static_cast<std::uint32_t>(regions.size()), regions.data());
    CHECK(commands->end());
    CHECK(device.submit(*commands));
    return device.waitAll();
}

} // namespace

Result<std::unique_ptr<CallMemory>> CallMemory::create(Device& device, VulkanHeap& heap, const Program& program,
                                                       std::span<const KernelCall> calls) {
    auto memory = std::unique_ptr<CallMemory>(new CallMemory(heap));
    memory->m_bindings.resize(program.tensors.size());
    const auto allocate = [&](std::uint64_t bytes, MemoryKind kind) -> Result<HeapBlock> {
        TRY(const HeapBlock block, heap.allocate(roundUp(bytes, heap.traits().granularity), kind));
        memory->m_blocks.push_back(block);
        return block;
    };
    TRY(const HeapBlock staging, allocate(stagingBytes, MemoryKind::HostVisible));
    for (const KernelCall& call : calls) {
        std::vector<TensorId> ids = reads(call);
        const std::vector<TensorId> written = writes(call);
        ids.insert(ids.end(), written.begin(), written.end());
        for (const TensorId id : ids) {
            const TensorId stored = program.storage(id);
            BoundTensor& bound = memory->m_bindings[stored.index];
            if (bound.buffer) continue;
            const Tensor& tensor = program.tensor(stored);
            TRY(const HeapBlock block, allocate(tensor.bytes, MemoryKind::Device));
            bound = {.buffer = heap.buffer(block.id), .offset = 0, .address = block.address};
            const std::uint64_t bytes = std::min(stagingBytes, tensor.bytes);
            writeRandom(heap.mapped(staging.id), bytes / sizeOf(tensor.dtype), tensor.dtype,
                        tensor.category == Category::Weights && tensor.dims.size() > 1 ? 1.0f / 32.0f : 1.0f);
            CHECK(copyOver(device, heap.buffer(staging.id), bound.buffer, tensor.bytes));
        }
    }
    return memory;
}

CallMemory::~CallMemory() {
    for (const HeapBlock& block : m_blocks) m_heap.free(block);
}

Result<std::unique_ptr<CallTimer>> CallTimer::create(Device& device) {
    auto timer = std::unique_ptr<CallTimer>(new CallTimer(device));
    TRY(timer->m_commands, Commands::create(device));
    return timer;
}

Result<double> CallTimer::sample(const std::vector<Dispatch>& list, std::uint64_t passes) {
    CHECK(m_commands->begin(Commands::Use::Once, 2));
    m_commands->barrier();
    m_commands->stamp(VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
    for (std::uint64_t pass = 0; pass < passes; ++pass)
        for (const Dispatch& dispatch : list) {
            m_commands->barrier();
            CHECK(recordDispatch(*m_commands, dispatch));
        }
    m_commands->stamp(VK_PIPELINE_STAGE_BOTTOM_OF_PIPE_BIT);
    CHECK(m_commands->end());
    CHECK(m_device.submit(*m_commands));
    CHECK(m_device.waitAll());
    std::array<std::uint64_t, 2> ticks{};
    CHECK(m_commands->readStamps(ticks));
    const double ns =
        static_cast<double>((ticks[1] - ticks[0]) & m_device.timestampMask()) * m_device.limits().timestampPeriod;
    return ns / static_cast<double>(passes);
}

// A GPU that had nothing to do, be it for the moment that memory took to be filled, has a low clock and takes a while
// to raise it: five times slower was seen. A CPU device has no such clock, and its calls are long.
Result<void> CallTimer::wake(const std::vector<Dispatch>& list) {
    constexpr double minNs = 2e8, burstNs = 2e7;
    constexpr int maxBursts = 40; // a clock under load never quite settles
    if (m_device.report().cpu) return {};
    std::uint64_t passes = 1;
    double spent = 0, fastest = std::numeric_limits<double>::max();
    for (int burst = 0; burst < maxBursts; ++burst) {
        TRY(const double ns, sample(list, passes));
        spent += ns * static_cast<double>(passes);
        passes = static_cast<std::uint64_t>(std::clamp(burstNs / std::max(ns, 1.0), 1.0, 1000.0));
        const bool steady = std::abs(ns - fastest) < 0.03 * fastest;
        fastest = std::min(fastest, ns);
        if (spent >= minNs && steady) break;
    }
    return {};
}

Result<std::vector<double>> CallTimer::medians(std::span<const std::vector<Dispatch>> lists) {
    constexpr double sampleNs = 1e7;
    constexpr std::size_t rounds = 9, maxPasses = 1000;
    for (const auto& list : lists) CHECK(sample(list, 1)); // the first one of a pipeline is slow
    CHECK(wake(lists.front()));
    std::vector<std::uint64_t> passes(lists.size(), 1);
    for (std::size_t i = 0; i < lists.size() && !m_device.report().cpu; ++i) {
        TRY(const double ns, sample(lists[i], 1));
        passes[i] = static_cast<std::uint64_t>(std::clamp<double>(sampleNs / ns, 1.0, maxPasses));
    }
    std::vector<std::array<double, rounds>> samples(lists.size());
    for (std::size_t round = 0; round < rounds; ++round)
        for (std::size_t i = 0; i < lists.size(); ++i) {
            TRY(samples[i][round], sample(lists[i], passes[i]));
        }
    std::vector<double> medians;
    for (auto& of : samples) {
        std::ranges::sort(of);
        medians.push_back(of[rounds / 2]);
    }
    return medians;
}

Result<double> CallTimer::median(std::vector<Dispatch> list) {
    TRY(const std::vector<double> times, medians(std::span(&list, 1)));
    return times.front();
}

} // namespace spikescope
