#include "core/kernels/self_check.h"

#include "core/base/checked.h"
#include "core/base/float_convert.h"
#include "core/gpu/vulkan_heap.h"

#include <array>
#include <cmath>
#include <cstring>

namespace spikescope {

namespace {

// Calls over host-visible tensors whose values are always the same.
class SmallCalls {
public:
    SmallCalls(Device& device, DType type)
        : m_device(device)
        , m_type(type) {}
    ~SmallCalls() {
        for (const HeapBlock& block : m_blocks) m_heap->free(block);
    }

    Result<void> prepare() {
        TRY(m_heap, VulkanHeap::create(m_device));
        TRY(m_commands, Commands::create(m_device));
        TRY(m_convs[0], addConv(128, m_type));
        TRY(m_convs[1], addConv(3, DType::F32));

        constexpr std::uint64_t side = 15, channels = 256, rows = 128; // no multiple of a tile either
        const Shape map{.n = 1, .h = side, .w = side, .c = channels};
        TRY(m_attention.q, add(m_type, map));
        TRY(m_attention.k, add(m_type, map));
        TRY(m_attention.v, add(m_type, map));
        TRY(m_attention.out, add(m_type, map));
        TRY(m_attention.scores,
            add(DType::F32, {.n = 1, .h = 1, .w = rows, .c = roundUp<std::uint64_t>(side * side, 4)}));
        m_attention.isLastUse = true;
        m_attention.chunkRows = rows;
        m_attention.scale = 0.25f;
        return {};
    }

    // which: 0, to many channels with a residual; 1, to few.
    Result<std::vector<float>> conv(std::size_t which, Kernels& kernels) {
        const auto& [call, weights] = m_convs[which];
        for (const TensorId id : {call.in, *call.bias, call.residual.value_or(call.in)}) fill(id);
        packWeights(StoredValues<DType::F32>{reinterpret_cast<const std::byte*>(weights.data())},
                    kernels.packing(call, m_program), m_type, 0, weights.size(), data(call.weight));
        return run(kernels, call, call.out);
    }
    Result<std::vector<float>> attention(Kernels& kernels) {
        for (const TensorId id : {m_attention.q, m_attention.k, m_attention.v}) fill(id);
        return run(kernels, m_attention, m_attention.out);
    }

private:
    struct Conv {
        ConvCall call;
        std::vector<float> weights; // in the checkpoint's order
    };
    Result<Conv> addConv(std::uint64_t out, DType outType) {
        constexpr std::uint64_t h = 19, w = 13, in = 64; // h and w: no multiples of a tile
        Conv conv;
        TRY(conv.call.in, add(m_type, {.n = 1, .h = h, .w = w, .c = in}));
        TRY(conv.call.weight, add(m_type, {.n = out, .h = 3, .w = 3, .c = in}));
        TRY(conv.call.out, add(outType, {.n = 1, .h = h, .w = w, .c = out}));
        TRY(conv.call.bias, add(DType::F32, {.n = 1, .h = 1, .w = 1, .c = out}));
        if (outType == m_type) {
            TRY(conv.call.residual, add(m_type, {.n = 1, .h = h, .w = w, .c = out}));
        }
        for (std::uint64_t i = 0; i < out * in * 9; ++i) conv.weights.push_back(0.06f * next());
        return conv;
    }
    Result<std::vector<float>> run(Kernels& kernels, const KernelCall& call, TensorId out) {
        std::vector<Dispatch> dispatches;
        CHECK(kernels.encode(call, m_program, m_bindings, dispatches));
        CHECK(m_commands->begin(Commands::Use::Once));
        for (const Dispatch& dispatch : dispatches) {
            m_commands->barrier();
            CHECK(recordDispatch(*m_commands, dispatch));
        }
        const VkMemoryBarrier toHost{.sType = VK_STRUCTURE_TYPE_MEMORY_BARRIER,
                                     .srcAccessMask = VK_ACCESS_SHADER_WRITE_BIT,
                                     .dstAccessMask = VK_ACCESS_HOST_READ_BIT};
        m_device.vk.CmdPipelineBarrier(m_commands->handle(), VK_PIPELINE_STAGE_COMPUTE_SHADER_BIT,
                                       VK_PIPELINE_STAGE_HOST_BIT, 0, 1, &toHost, 0, nullptr, 0, nullptr);
        CHECK(m_commands->end());
        CHECK(m_device.submit(*m_commands));
        CHECK(m_device.waitAll());
        const Tensor& tensor = m_program.tensor(out);
        std::vector<float> values(tensor.shape.elements());
        std::visit(
            [&](const auto& stored) {
                for (std::size_t i = 0; i < values.size(); ++i) values[i] = stored[i];
            },
            storedValues(tensor.dtype, data(out)));
        return values;
    }
    Result<TensorId> add(DType dtype, Shape shape) {
        const std::uint64_t bytes = shape.elements() * sizeOf(dtype);
        TRY(const HeapBlock block,
            m_heap->allocate(roundUp(bytes, m_heap->traits().granularity), MemoryKind::HostVisible));
        m_blocks.push_back(block);
        m_bindings.push_back({.buffer = m_heap->buffer(block.id), .offset = 0, .address = block.address});
        m_program.tensors.push_back(
            {.name = "t", .dtype = dtype, .shape = shape, .dims = {}, .bytes = bytes, .weight = {}});
        return TensorId{static_cast<std::uint32_t>(m_program.tensors.size() - 1)};
    }
    std::byte* data(TensorId id) { return m_heap->mapped(m_blocks[id.index].id); }
    float next() { // -1 to 1
        m_random = m_random * 1664525u + 1013904223u;
        return static_cast<float>(m_random >> 8) / 8388608.0f - 1.0f;
    }
    // Each tensor has its own values, the same ones every time.
    void fill(TensorId id) {
        m_random = id.index + 7;
        const Tensor& tensor = m_program.tensor(id);
        for (std::uint64_t i = 0; i < tensor.shape.elements(); ++i) {
            const float value = next();
            const std::uint16_t half = m_type == DType::BF16 ? floatToBf16(value) : floatToFp16(value);
            if (tensor.dtype == DType::F32)
                std::memcpy(data(id) + 4 * i, &value, 4);
            else
                std::memcpy(data(id) + 2 * i, &half, 2);
        }
    }

    Device& m_device;
    DType m_type;
    std::unique_ptr<VulkanHeap> m_heap;
    std::unique_ptr<Commands> m_commands;
    std::vector<HeapBlock> m_blocks;
    Program m_program;
    Bindings m_bindings;
    std::array<Conv, 2> m_convs;
    AttentionCall m_attention;
    std::uint32_t m_random = 7;
};

bool near(const std::vector<float>& expected, const std::vector<float>& found) {
    double error = 0.0, norm = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
        const double difference = static_cast<double>(found[i]) - static_cast<double>(expected[i]);
        error += difference * difference;
        norm += static_cast<double>(expected[i]) * static_cast<double>(expected[i]);
    }
    constexpr double roundings = 8e-3;          // two results, each rounded a few times, to bf16 at worst
    return std::sqrt(error / norm) < roundings; // NaN is not
}

} // namespace

Result<bool> agree(Device& device, Kernels& expected, Kernels& found, DType type) {
    SmallCalls calls(device, type);
    CHECK(calls.prepare());
    for (const std::size_t which : {0, 1}) {
        TRY(const std::vector<float> conv, calls.conv(which, expected));
        TRY(const std::vector<float> same, calls.conv(which, found));
        if (!near(conv, same)) return false;
    }
    TRY(const std::vector<float> attention, calls.attention(expected));
    TRY(const std::vector<float> sameAttention, calls.attention(found));
    return near(attention, sameAttention);
}

} // namespace spikescope
