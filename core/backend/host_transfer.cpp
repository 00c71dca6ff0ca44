#include "core/backend/host_transfer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>

namespace spikescope {

HostTransfer::HostTransfer(const Program& program, const RunIo& io, std::vector<WeightPacking> packings)
    : m_program(program)
    , m_io(io)
    , m_packings(std::move(packings)) {}

// The elements of a parameter: where the checkpoint stores it, or in the host tensor that holds it as stored.
ParameterValues HostTransfer::valuesOf(const Tensor& tensor, std::optional<TensorId> host,
                                       const std::byte* from) const {
    if (!host) return m_io.parameters.values(m_program.weights[tensor.weight->index]);
    return storedValues(m_program.tensor(*host).dtype, from);
}

// Host tensors that are not packed keep the checkpoint's order.
WeightPacking HostTransfer::packingOf(const Tensor& tensor) const {
    const WeightPacking& packing = m_packings[tensor.weight->index];
    const bool asStored = packing.empty() || (tensor.memory == MemoryKind::Host && !tensor.packed);
    return asStored ? packAsStored(tensor.bytes / sizeOf(tensor.dtype)) : packing;
}

void HostTransfer::pack(const Tensor& tensor, std::optional<TensorId> host, const std::byte* from, std::uint64_t begin,
                        std::uint64_t count, std::byte* out) const {
    const ParameterValues values = valuesOf(tensor, host, from);
    if (tensor.folded)
        packFoldedWeights(values, tensor.dims[1] * tensor.dims[2], packingOf(tensor), tensor.dtype, begin, count, out);
    else
        packWeights(values, packingOf(tensor), tensor.dtype, begin, count, out);
}

void HostTransfer::fill(const FillStep& step, const std::byte* from, std::byte* out) const {
    const Tensor& tensor = m_program.tensor(step.tensor);
    pack(tensor, step.from, from, 0, tensor.bytes / sizeOf(tensor.dtype), out);
    if (!step.from) m_io.parameters.consumed(m_program.weights[tensor.weight->index]);
}

// Elements of a region of the input, or of a constant.
void HostTransfer::readInput(const Tensor& tensor, const InputRegion& region, std::uint64_t begin,
                             std::span<float> out) const {
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
                            frame = region.picture + row / shape.h, y = region.y + row % shape.h;
        m_io.input.read(((frame * whole.h + y) * whole.w + region.x) * whole.c + within, out.subspan(done, count));
        done += count;
    }
}

void HostTransfer::read(const UploadStep& step, const std::byte* from, std::uint64_t begin, std::uint64_t count,
                        std::byte* out) const {
    const Tensor& tensor = m_program.tensor(step.tensor);
    const std::uint64_t size = sizeOf(tensor.dtype);
    if (!tensor.weight)
        readInput(tensor, step.region, begin, std::span(reinterpret_cast<float*>(out), count));
    else if (step.from && m_program.tensor(*step.from).packed)
        std::memcpy(out, from + begin * size, count * size);
    else
        pack(tensor, step.from, from, begin, count, out);
}

void HostTransfer::consumed(const UploadStep& step) const {
    const Tensor& tensor = m_program.tensor(step.tensor);
    if (tensor.weight && !step.from) m_io.parameters.consumed(m_program.weights[tensor.weight->index]);
}

void HostTransfer::countNonFinite(const Shape& shape, std::uint64_t frame, std::uint64_t y,
                                  std::span<const float> values) {
    for (std::size_t i = 0; i < values.size(); ++i)
        if (!std::isfinite(values[i]) && m_nonFinite++ == 0)
            m_firstNonFinite = fmt::format("picture {}, row {}, column {}, channel {}", frame,
                                           y + i / shape.c / shape.w, i / shape.c % shape.w, i % shape.c);
}

Result<void> HostTransfer::write(const OutputRows& output, std::uint64_t frame, std::uint64_t y, std::uint64_t rows,
                                 std::span<const float> values) {
    countNonFinite(m_program.tensor(output.tensor).shape, output.picture + frame, output.y + y, values);
    for (const auto& sink : m_io.sinks) CHECK(sink->write(output.picture + frame, output.y + y, rows, values));
    return {};
}

bool HostTransfer::isLast(const OutputRows& output) const {
    const Shape& all = m_program.output;
    return output.picture + m_program.tensor(output.tensor).shape.n >= all.n && output.y + output.rows >= all.h;
}

Result<void> HostTransfer::checkFinite() const {
    if (m_nonFinite == 0) return {};
    return fail(ErrorCode::BadInput, "{} values of the output are not finite, the first at {}", m_nonFinite,
                m_firstNonFinite);
}

} // namespace spikescope
