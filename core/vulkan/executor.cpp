#include "core/vulkan/executor.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

namespace spikescope {

namespace {

// The resident set of this process; 0 where the system does not say.
std::uint64_t processBytes() {
    std::ifstream file("/proc/self/statm");
    std::uint64_t total = 0, resident = 0;
    file >> total >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

constexpr std::uint32_t nan = 0xffffffffu; // in bf16, fp16 and fp32

// Memory that values are copied to for a ValueCheck.
class CheckedValues {
public:
    static Result<CheckedValues> create(VulkanHeap& heap) {
        constexpr std::uint64_t bytes = std::uint64_t{8} << 20;
        TRY(const HeapBlock block, heap.allocate(bytes, MemoryKind::HostVisible));
        return CheckedValues(heap, block);
    }
    CheckedValues(CheckedValues&& other) noexcept
        : m_heap(other.m_heap)
        , m_block(std::exchange(other.m_block, {})) {}
    CheckedValues& operator=(CheckedValues&&) = delete;
    ~CheckedValues() {
        if (m_block.id) m_heap.free(m_block);
    }

    std::uint64_t bytes() const { return m_block.bytes; }
    VkBuffer buffer() const { return m_heap.buffer(m_block.id); }
    std::span<const std::byte> first(std::uint64_t count) const { return {m_heap.mapped(m_block.id), count}; }

private:
    CheckedValues(VulkanHeap& heap, const HeapBlock& block)
        : m_heap(heap)
        , m_block(block) {}

    VulkanHeap& m_heap;
    HeapBlock m_block;
};

// By WeightId; empty for what is not a convolution's weight.
std::vector<WeightPacking> packingsOf(const Program& program, const Kernels& kernels) {
    std::vector<WeightPacking> packings(program.weights.size());
    for (const Call& call : program.calls)
        if (const auto* conv = std::get_if<ConvCall>(&call.kernel))
            if (const auto weight = program.tensor(conv->weight).weight)
                packings[weight->index] = kernels.packing(*conv, program);
    return packings;
}

} // namespace

Executor::Executor(Device& device, VulkanHeap& heap, Kernels& kernels, const Program& program, const RunIo& io,
                   const ExecutorOptions& options)
    : m_device(device)
    , m_heap(heap)
    , m_kernels(kernels)
    , m_program(program)
    , m_io(io)
    , m_beginsAs(io.values        ? std::optional(0u)
                 : options.poison ? std::optional(nan)
                                  : std::nullopt)
    , m_host(program, m_io, packingsOf(program, kernels))
    , m_bindings(program.tensors.size())
    , m_placements(program.tensors.size())
    , m_commands(device, program, options.submit, io.cancel)
    , m_encodedGeneration(program.calls.size())
    , m_lastBound(program.tensors.size()) {}

Result<std::unique_ptr<Executor>> Executor::create(Device& device, VulkanHeap& heap, Kernels& kernels,
                                                   const Program& program, const RunIo& io,
                                                   const ExecutorOptions& options) {
    auto executor = std::unique_ptr<Executor>(new Executor(device, heap, kernels, program, io, options));
    executor->m_makingPipelines = std::async([made = executor.get()] { return made->makePipelines(); });
    return executor;
}

// Runs while weights are uploaded, outside of every op's time. Compiling takes the host long, so several threads take
// calls in turn. Addresses do not matter yet.
Result<void> Executor::makePipelines() const {
    constexpr unsigned maxThreads = 8;
    const Bindings nowhere(m_program.tensors.size());
    std::atomic<std::size_t> next = 0;
    const auto make = [&]() -> Result<void> {
        std::vector<Dispatch> unused;
        for (std::size_t i = next++; i < m_program.calls.size(); i = next++) {
            if (m_io.cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
            CHECK(m_kernels.encode(m_program.calls[i].kernel, m_program, nowhere, unused));
            unused.clear();
        }
        return {};
    };
    std::vector<std::future<Result<void>>> others;
    for (unsigned i = 1; i < std::clamp(std::thread::hardware_concurrency(), 1u, maxThreads); ++i)
        others.push_back(std::async(make));
    Result<void> made = make();
    for (auto& other : others)
        if (Result<void> ended = other.get(); made && !ended) made = std::move(ended);
    return made;
}

void Executor::enter(Phase phase) {
    if (phase != Phase::Load && m_makingPipelines.valid()) m_pipelines = m_makingPipelines.get();
    const auto now = std::chrono::steady_clock::now();
    if (phase == Phase::Load)
        m_loadBegin = m_loadEnd = now;
    else if (m_loadEnd == m_loadBegin)
        m_loadEnd = now;
}

double Executor::loadMs() const { return std::chrono::duration<double, std::milli>(m_loadEnd - m_loadBegin).count(); }

Result<void> Executor::bind(TensorId tensor, const Placement& placement) {
    m_placements[tensor.index] = placement;
    const BoundTensor bound{.buffer = m_heap.buffer(placement.block.id),
                            .offset = placement.offset,
                            .address = placement.address(),
                            .block = placement.block.id};
    // Kernels use device memory only; staging tensors, which each upload may have anew, are only copied.
    if (m_lastBound[tensor.index] != bound && m_program.tensor(tensor).memory == MemoryKind::Device)
        ++m_bindingGeneration;
    m_bindings[tensor.index] = m_lastBound[tensor.index] = bound;
    return m_beginsAs ? fillWith(tensor, *m_beginsAs) : Result<void>{};
}

// What copies have written, once the device is done.
void Executor::makeVisibleToHost(VkCommandBuffer commands) const {
    const VkMemoryBarrier toHost{.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                 .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                 .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
    m_device.vk.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &toHost,
                                   0, nullptr, 0, nullptr);
}

// Ordered after everything that still uses the memory. Not for staging, which the host writes while the device is busy.
Result<void> Executor::fillWith(TensorId tensor, std::uint32_t word) {
    const Placement& placement = m_placements[tensor.index];
    switch (m_program.tensor(tensor).memory) {
    case MemoryKind::Host: std::memset(hostData(tensor), static_cast<int>(word & 0xff), placement.bytes); break;
    case MemoryKind::HostVisible: break;
    case MemoryKind::Device:
    case MemoryKind::Pinned:
        TRY(VkCommandBuffer commands, m_commands.copies());
        m_device.vk.CmdFillBuffer(commands, m_bindings[tensor.index].buffer, placement.offset,
                                  roundUp<std::uint64_t>(placement.bytes, sizeof word), word);
    }
    return {};
}

void Executor::unbind(TensorId tensor) {
    m_placements[tensor.index] = {};
    m_bindings[tensor.index] = {};
}

void Executor::report(std::uint32_t op, LayerId layer) const {
    if (m_io.progress) m_io.progress(op, layer);
}

std::byte* Executor::hostData(TensorId tensor) const {
    const Placement& placement = m_placements[tensor.index];
    return m_heap.mapped(placement.block.id) + placement.offset;
}

Result<void> Executor::fill(const FillStep& step, std::uint32_t op) {
    report(op, m_program.tensor(step.tensor).layer);
    if (m_io.cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
    CHECK(m_host.checkWeight(step));
    m_host.fill(step, hostData(step.from), hostData(step.tensor));
    return {};
}

Result<void> Executor::upload(const UploadStep& step, std::uint32_t op) {
    const Tensor& tensor = m_program.tensor(step.tensor);
    const Placement& staging = m_placements[step.staging.index];
    const Placement& target = m_placements[step.tensor.index];
    std::byte* mapped = hostData(step.staging);
    const std::uint64_t half = staging.bytes / 2 / 16 * 16, size = sizeOf(tensor.dtype), elements = tensor.bytes / size;
    report(op, tensor.layer);
    CHECK(m_host.checkWeight(step));
    CHECK(m_commands.submit());
    for (std::uint64_t done = 0; done < elements;) {
        if (m_io.cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
        const std::uint64_t count = std::min(elements - done, half / size);
        // The host fills one half while the device copies from the other.
        m_half ^= 1;
        CHECK(m_device.wait(m_halfBusy[m_half]));
        const std::uint64_t at = m_half ? half : 0;
        m_host.read(step, hostData(step.from), done, count, mapped + at);
        if (m_io.values && m_io.values->wants(step.tensor))
            m_io.values->addInput(step.tensor, {mapped + at, count * size});
        TRY(VkCommandBuffer commands, m_commands.copies());
        if (done == 0) m_commands.beginCopies(op);
        const VkBufferCopy region{
            .srcOffset = staging.offset + at, .dstOffset = target.offset + done * size, .size = count * size};
        m_device.vk.CmdCopyBuffer(commands, m_bindings[step.staging.index].buffer, m_bindings[step.tensor.index].buffer,
                                  1, &region);
        done += count;
        if (done == elements) m_commands.endCopies(op);
        CHECK(m_commands.submit());
        m_halfBusy[m_half] = m_device.submitted();
    }
    m_host.consumed(step);
    return {};
}

Result<void> Executor::dispatch(std::uint32_t index, bool concurrentWithNext, std::uint32_t op) {
    CHECK(m_pipelines);
    const Call& call = m_program.calls[index];
    report(op, call.layer);
    if (const auto* moved = std::get_if<TransferCall>(&call.kernel)) return transfer(*moved, op);
    // Calls of tiles and of repeated passes stay encoded as long as no tensor moves.
    if (m_encodedGeneration[index] != m_bindingGeneration) {
        m_dispatches.clear();
        CHECK(m_kernels.encode(call.kernel, m_program, m_bindings, m_dispatches));
        CHECK(m_commands.define(index, m_dispatches));
        m_encodedGeneration[index] = m_bindingGeneration;
    }
    if (!m_io.values) return m_commands.dispatch(index, concurrentWithNext, op);
    CHECK(m_commands.dispatch(index, false, op));
    return checkValues(call);
}

Result<void> Executor::checkValues(const Call& call) {
    TRY(const CheckedValues copied, CheckedValues::create(m_heap));
    for (const TensorId id : writes(call.kernel)) {
        const Tensor& tensor = m_program.tensor(id);
        const TensorId storage = m_program.storage(id);
        if (!m_io.values->wants(id)) continue;
        const std::uint64_t end = std::min(tensor.offset + tensor.bytes, m_placements[storage.index].bytes);
        for (std::uint64_t at = tensor.offset; at < end; at += copied.bytes()) {
            if (m_io.cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
            const std::uint64_t count = std::min(end - at, copied.bytes());
            TRY(VkCommandBuffer commands, m_commands.copies());
            const VkBufferCopy region{
                .srcOffset = m_placements[storage.index].offset + at, .dstOffset = 0, .size = count};
            m_device.vk.CmdCopyBuffer(commands, m_bindings[storage.index].buffer, copied.buffer(), 1, &region);
            makeVisibleToHost(commands);
            CHECK(m_commands.submit());
            CHECK(m_device.waitAll());
            m_io.values->add(call.layer, id, copied.first(count));
        }
    }
    return m_io.values->endCall(call);
}

// Submitted at once: a transfer over the bus takes as long as many calls.
Result<void> Executor::transfer(const TransferCall& call, std::uint32_t op) {
    if (m_io.cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
    const Tensor &in = m_program.tensor(call.in), &out = m_program.tensor(call.out);
    const BoundTensor &from = m_bindings[m_program.storage(call.in).index],
                      &to = m_bindings[m_program.storage(call.out).index];
    TRY(VkCommandBuffer commands, m_commands.copies());
    m_commands.beginCopies(op);
    const VkBufferCopy region{
        .srcOffset = from.offset + in.offset, .dstOffset = to.offset + out.offset, .size = in.bytes};
    m_device.vk.CmdCopyBuffer(commands, from.buffer, to.buffer, 1, &region);
    m_commands.endCopies(op);
    return m_commands.submit();
}

Result<void> Executor::clear(const ClearStep& step) {
    const Tensor& tensor = m_program.tensor(step.tensor);
    const std::uint64_t rowBytes = tensor.bytes / tensor.shape.h;
    TRY(VkCommandBuffer commands, m_commands.copies());
    m_device.vk.CmdFillBuffer(commands, m_bindings[step.tensor.index].buffer,
                              m_placements[step.tensor.index].offset + step.firstRow * rowBytes, step.rows * rowBytes,
                              0);
    return {};
}

Result<void> Executor::download(const DownloadStep& step, std::uint32_t op) {
    const OutputRows& output = step.output;
    const Tensor& tensor = m_program.tensor(output.tensor);
    const Placement& staging = m_placements[step.staging.index];
    const std::uint64_t rowBytes = tensor.shape.w * tensor.shape.c * sizeOf(tensor.dtype),
                        rowsAtOnce = staging.bytes / rowBytes;
    report(op, tensor.layer);
    for (std::uint64_t n = 0; n < tensor.shape.n; ++n)
        for (std::uint64_t y = 0; y < output.rows; y += rowsAtOnce) {
            if (m_io.cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
            const std::uint64_t rows = std::min(rowsAtOnce, output.rows - y);
            TRY(VkCommandBuffer commands, m_commands.copies());
            if (n == 0 && y == 0) m_commands.beginCopies(op);
            const VkBufferCopy region{.srcOffset = m_placements[output.tensor.index].offset +
                                                   (n * tensor.shape.h + output.firstRow + y) * rowBytes,
                                      .dstOffset = staging.offset,
                                      .size = rows * rowBytes};
            m_device.vk.CmdCopyBuffer(commands, m_bindings[output.tensor.index].buffer,
                                      m_bindings[step.staging.index].buffer, 1, &region);
            makeVisibleToHost(commands);
            if (n + 1 == tensor.shape.n && y + rows == output.rows) m_commands.endCopies(op);
            CHECK(m_commands.submit());
            CHECK(m_device.waitAll());
            const auto* values = reinterpret_cast<const float*>(m_heap.mapped(staging.block.id) + staging.offset);
            CHECK(m_host.write(output, n, y, rows, {values, rows * tensor.shape.w * tensor.shape.c}));
        }
    if (!m_host.isLast(output)) return {};
    report(op + 1, tensor.layer);
    return m_host.checkFinite();
}

Result<void> Executor::evaluate(std::uint32_t ahead) {
    Result<void> ended = m_commands.submit();
    if (ahead == 0) {
        const Result<void> waited = m_device.waitAll(); // for what is in flight, whatever becomes of the rest
        return ended ? waited : ended;
    }
    CHECK(ended);
    m_batches.push_back(m_device.submitted());
    if (m_batches.size() <= ahead) return {};
    ended = m_device.wait(m_batches[m_batches.size() - 1 - ahead]);
    m_batches.erase(m_batches.begin(), m_batches.end() - ahead);
    return ended;
}

std::optional<Sample> Executor::sample() {
    // Of a CPU device the "heap" is the machine's memory, and the use of newer drivers is that of all its processes.
    return Sample{.driverBytes = m_device.report().cpu ? std::nullopt : m_device.bytesUsed(),
                  .processBytes = processBytes()};
}

} // namespace spikescope
