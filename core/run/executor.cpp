#include "core/run/executor.h"

#include "core/base/checked.h"
#include "core/base/text.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <fstream>
#include <thread>

namespace spikescope {

namespace {

// The resident set of this process; 0 where the system does not say.
std::uint64_t processBytes() {
    std::ifstream file("/proc/self/statm");
    std::uint64_t total = 0, resident = 0;
    file >> total >> resident;
    return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

} // namespace

Executor::Executor(Device& device, VulkanHeap& heap, Kernels& kernels, const Program& program, const ExecutorIo& io)
    : m_device(device)
    , m_heap(heap)
    , m_kernels(kernels)
    , m_program(program)
    , m_io(io)
    , m_bindings(program.tensors.size())
    , m_placements(program.tensors.size())
    , m_packings(program.weights.size())
    , m_commands(device, program, io.cancel)
    , m_encoded(program.calls.size())
    , m_lastBound(program.tensors.size()) {}

Result<std::unique_ptr<Executor>> Executor::create(Device& device, VulkanHeap& heap, Kernels& kernels,
                                                   const Program& program, const ExecutorIo& io) {
    auto executor = std::unique_ptr<Executor>(new Executor(device, heap, kernels, program, io));
    for (const Step& step : program.steps) {
        executor->m_opCount += std::holds_alternative<DispatchStep>(step) || std::holds_alternative<FillStep>(step) ||
                               std::holds_alternative<UploadStep>(step) || std::holds_alternative<DownloadStep>(step);
    }
    for (const Call& call : program.calls) {
        if (const auto* conv = std::get_if<ConvCall>(&call.kernel))
            if (const auto weight = program.tensor(conv->weight).weight)
                executor->m_packings[weight->index] = kernels.packing(*conv, program);
    }
    executor->m_makingPipelines = std::async([made = executor.get()] { return made->makePipelines(); });
    return executor;
}

// Outside of every op's time and beside the upload of the weights, which asks the kernels for nothing. Compiling takes
// the host long, so several threads take calls in turn. The addresses do not matter yet.
Result<void> Executor::makePipelines() const {
    constexpr unsigned mostThreads = 8;
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
    for (unsigned i = 1; i < std::clamp(std::thread::hardware_concurrency(), 1u, mostThreads); ++i)
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
    // Kernels touch the device's memory alone; staging, of which each upload may have its own, is copied from and to.
    if (m_lastBound[tensor.index] != bound && m_program.tensor(tensor).memory == MemoryKind::Device) ++m_moves;
    m_bindings[tensor.index] = m_lastBound[tensor.index] = bound;
    return m_io.poison ? poison(tensor) : Result<void>{};
}

// Behind what uses the memory still. Not of staging, which the host writes while the device is busy.
Result<void> Executor::poison(TensorId tensor) {
    constexpr std::uint32_t allOnes = 0xffffffffu; // NaN in bf16, fp16 and fp32
    const Placement& placement = m_placements[tensor.index];
    switch (m_program.tensor(tensor).memory) {
    case MemoryKind::Host: std::memset(hostData(tensor), 0xff, placement.bytes); break;
    case MemoryKind::HostVisible: break;
    case MemoryKind::Device:
    case MemoryKind::Pinned:
        TRY(VkCommandBuffer commands, m_commands.copies());
        m_device.vk.CmdFillBuffer(commands, m_bindings[tensor.index].buffer, placement.offset,
                                  roundUp<std::uint64_t>(placement.bytes, sizeof allOnes), allOnes);
    }
    return {};
}

void Executor::unbind(TensorId tensor) {
    m_placements[tensor.index] = {};
    m_bindings[tensor.index] = {};
}

void Executor::report(std::uint32_t op, LayerId layer) const {
    if (m_io.progress)
        m_io.progress({.done = op, .total = m_opCount, .layer = m_program.layers[layer.index], .recordingSoFar = {}});
}

std::byte* Executor::hostData(TensorId tensor) const {
    const Placement& placement = m_placements[tensor.index];
    return m_heap.mapped(placement.block.id) + placement.offset;
}

// The elements of a parameter: where it is stored, or in the host tensor that holds it as stored.
ParameterValues Executor::valuesOf(const Tensor& tensor, std::optional<TensorId> from) const {
    if (!from) return m_io.parameters.values(m_program.weights[tensor.weight->index]);
    return storedValues(m_program.tensor(*from).dtype, hostData(*from));
}

// Host tensors that are not packed keep the checkpoint's order.
WeightPacking Executor::packingOf(const Tensor& tensor) const {
    const WeightPacking& packing = m_packings[tensor.weight->index];
    const bool asStored = packing.empty() || (tensor.memory == MemoryKind::Host && !tensor.packed);
    return asStored ? packAsStored(tensor.bytes / sizeOf(tensor.dtype)) : packing;
}

void Executor::pack(const Tensor& tensor, std::optional<TensorId> from, std::uint64_t begin, std::uint64_t count,
                    std::byte* out) const {
    const ParameterValues values = valuesOf(tensor, from);
    if (tensor.folded)
        packFoldedWeights(values, tensor.dims[1] * tensor.dims[2], packingOf(tensor), tensor.dtype, begin, count, out);
    else
        packWeights(values, packingOf(tensor), tensor.dtype, begin, count, out);
}

Result<void> Executor::fill(const FillStep& step, std::uint32_t op) {
    const Tensor& tensor = m_program.tensor(step.tensor);
    report(op, tensor.layer);
    if (m_io.cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
    pack(tensor, step.from, 0, tensor.bytes / sizeOf(tensor.dtype), hostData(step.tensor));
    if (!step.from) m_io.parameters.consumed(m_program.weights[tensor.weight->index]);
    return {};
}

// Elements of a part of the op's input, or of a constant.
void Executor::readInput(const Tensor& tensor, const InputPart& part, std::uint64_t begin, std::span<float> out) const {
    if (tensor.constant) {
        std::ranges::copy_n(m_program.constants[*tensor.constant].begin() + static_cast<std::ptrdiff_t>(begin),
                            static_cast<std::ptrdiff_t>(out.size()), out.begin());
        return;
    }
    const Shape &whole = m_program.input, &shape = tensor.shape;
    const std::uint64_t rowElements = shape.w * shape.c;
    for (std::uint64_t done = 0; done < out.size();) {
        const std::uint64_t at = begin + done, row = at / rowElements, within = at % rowElements,
                            count = std::min(rowElements - within, out.size() - done),
                            picture = part.picture + row / shape.h, y = part.y + row % shape.h;
        m_io.input.read(((picture * whole.h + y) * whole.w + part.x) * whole.c + within, out.subspan(done, count));
        done += count;
    }
}

// Elements [begin, begin + count) of what an upload carries, as the tensor on the device has them.
void Executor::writeSource(const UploadStep& step, std::uint64_t begin, std::uint64_t count, std::byte* out) const {
    const Tensor& tensor = m_program.tensor(step.tensor);
    const std::uint64_t size = sizeOf(tensor.dtype);
    if (!tensor.weight)
        readInput(tensor, step.part, begin, std::span(reinterpret_cast<float*>(out), count));
    else if (step.from && m_program.tensor(*step.from).packed)
        std::memcpy(out, hostData(*step.from) + begin * size, count * size);
    else
        pack(tensor, step.from, begin, count, out);
}

Result<void> Executor::upload(const UploadStep& step, std::uint32_t op) {
    const Tensor& tensor = m_program.tensor(step.tensor);
    const Placement& staging = m_placements[step.staging.index];
    const Placement& target = m_placements[step.tensor.index];
    std::byte* mapped = hostData(step.staging);
    const std::uint64_t half = staging.bytes / 2 / 16 * 16, size = sizeOf(tensor.dtype), elements = tensor.bytes / size;
    report(op, tensor.layer);
    CHECK(m_commands.submit());
    for (std::uint64_t done = 0; done < elements;) {
        if (m_io.cancel.raised()) return fail(ErrorCode::Cancelled, "cancelled");
        const std::uint64_t count = std::min(elements - done, half / size);
        // The host fills one half while the device copies from the other.
        m_half ^= 1;
        CHECK(m_device.wait(m_halfBusy[m_half]));
        const std::uint64_t at = m_half ? half : 0;
        writeSource(step, done, count, mapped + at);
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
    if (tensor.weight && !step.from) m_io.parameters.consumed(m_program.weights[tensor.weight->index]);
    return {};
}

Result<void> Executor::dispatch(const Call& call, bool besideNext, std::uint32_t op) {
    CHECK(m_pipelines);
    report(op, call.layer);
    if (const auto* moved = std::get_if<TransferCall>(&call.kernel)) return transfer(*moved, op);
    const auto index = static_cast<std::uint32_t>(&call - m_program.calls.data());
    // Calls of tiles, and of repeated runs, are the same again as long as no tensor moves.
    if (m_encoded[index] != m_moves) {
        m_dispatches.clear();
        CHECK(m_kernels.encode(call.kernel, m_program, m_bindings, m_dispatches));
        CHECK(m_commands.define(index, m_dispatches));
        m_encoded[index] = m_moves;
    }
    return m_commands.dispatch(index, besideNext, op);
}

// Goes out at once: it takes a bus as long as kernels take for many calls.
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

void Executor::countNonFinite(const Tensor& output, std::span<const float> values, std::uint64_t n, std::uint64_t y) {
    const Shape& shape = output.shape;
    for (std::size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i]) && m_nonFinite++ == 0)
            m_firstNonFinite = fmt::format("picture {}, row {}, column {}, channel {}", n, y + i / shape.c / shape.w,
                                           i / shape.c % shape.w, i % shape.c);
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
            const VkMemoryBarrier toHost{.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                         .srcAccessMask = VK_ACCESS_TRANSFER_WRITE_BIT,
                                         .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
            m_device.vk.CmdPipelineBarrier(commands, VK_PIPELINE_STAGE_TRANSFER_BIT, VK_PIPELINE_STAGE_HOST_BIT, 0, 1,
                                           &toHost, 0, nullptr, 0, nullptr);
            if (n + 1 == tensor.shape.n && y + rows == output.rows) m_commands.endCopies(op);
            CHECK(m_commands.submit());
            CHECK(m_device.waitAll());
            const auto* values = reinterpret_cast<const float*>(m_heap.mapped(staging.block.id) + staging.offset);
            const std::span<const float> band(values, rows * tensor.shape.w * tensor.shape.c);
            countNonFinite(tensor, band, output.picture + n, output.y + y);
            for (const auto& sink : m_io.sinks) CHECK(sink->write(output.picture + n, output.y + y, rows, band));
        }
    const Shape& all = m_program.output;
    if (output.picture + tensor.shape.n < all.n || output.y + output.rows < all.h) return {};
    report(m_opCount, tensor.layer);
    // A picture with holes in it is not a result: nothing is saved and the reason is said.
    if (m_nonFinite)
        return fail(ErrorCode::BadInput,
                    "{} values of the output are no finite numbers, the first at {}; activations overflowed (fp16 ends "
                    "at 65504, bf16 does not)",
                    m_nonFinite, m_firstNonFinite);
    return {};
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
    return Sample{.driverBytes = m_device.bytesUsed(), .processBytes = processBytes()};
}

} // namespace spikescope
