#pragma once
// What passes between host arrays and a program's tensors, for any backend: the input that is decoded or encoded,
// weights in the order that the kernels want, and rows of the output. The backend copies between these and the device.

#include "core/backend/backend.h"
#include "core/backend/weight_packing.h"

namespace spikescope {

class HostTransfer {
public:
    // packings: by WeightId; empty for a weight that kernels take as it is stored.
    HostTransfer(const Program& program, const RunIo& io, std::vector<WeightPacking> packings);

    // Before a step that reads a weight from the checkpoint: BadInput names values that are no finite numbers, which
    // would otherwise come out as activations that overflowed.
    template <class Step> Result<void> checkWeight(const Step& step) const {
        const Tensor& tensor = m_program.tensor(step.tensor);
        if (!tensor.weight || step.from) return {};
        return m_io.parameters.checkFinite(m_program.weights[tensor.weight->index], tensor.dtype);
    }
    // Elements [begin, begin + count) of what an upload carries, as the tensor on the device has them. `from`: the
    // first byte of the host tensor step.from, where there is one.
    void read(const UploadStep& step, const std::byte* from, std::uint64_t begin, std::uint64_t count,
              std::byte* out) const;
    // All of a host tensor.
    void fill(const FillStep& step, const std::byte* from, std::byte* out) const;
    // The weight of the step has been read for the last time: its pages of the checkpoint need not stay resident.
    void consumed(const UploadStep& step) const;

    // Rows [y, y + rows) of one frame of a step's output, fp32 as the device has them, to all sinks.
    Result<void> write(const OutputRows& output, std::uint64_t frame, std::uint64_t y, std::uint64_t rows,
                       std::span<const float> values);
    // Whether these were the last rows of the output.
    bool isLast(const OutputRows& output) const;
    // After the last rows: BadInput when values were not finite. An image with holes in it is no result.
    Result<void> checkFinite() const;
    bool outputIsFinite() const { return m_nonFinite == 0; }

private:
    void readInput(const Tensor& tensor, const InputRegion& region, std::uint64_t begin, std::span<float> out) const;
    void pack(const Tensor& tensor, std::optional<TensorId> host, const std::byte* from, std::uint64_t begin,
              std::uint64_t count, std::byte* out) const;
    ParameterValues valuesOf(const Tensor& tensor, std::optional<TensorId> host, const std::byte* from) const;
    WeightPacking packingOf(const Tensor& tensor) const;
    void countNonFinite(const Shape& shape, std::uint64_t frame, std::uint64_t y, std::span<const float> values);

    const Program& m_program;
    const RunIo& m_io;
    std::vector<WeightPacking> m_packings; // by WeightId
    std::uint64_t m_nonFinite = 0;
    std::string m_firstNonFinite; // where it is
};

} // namespace spikescope
