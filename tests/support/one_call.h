#pragma once
// One kernel call over tensors in host-visible memory, on the device that SPIKESCOPE_TEST_DEVICE names; where that
// binds sparsely, over tensors more than 4 GiB apart as well, in rising and falling order of addresses.

#include "core/base/float_convert.h"
#include "core/vulkan/vulkan_backend.h"
#include "tests/support/reference_ops.h"
#include "tests/support/run_support.h"
#include "tests/support/spread_heap.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <random>

namespace spikescope {

inline double rounded(DType dtype, double value) {
    const auto f = static_cast<float>(value);
    if (dtype == DType::F16) return fp16ToFloat(floatToFp16(f));
    if (dtype == DType::BF16) return bf16ToFloat(floatToBf16(f));
    return f;
}

// One backend for each set: some drivers refuse after a handful of instances in a process, and pipelines take long to
// make. They end before main() does, while the driver's own globals are still there.
struct OpenSet {
    std::unique_ptr<VulkanBackend> backend;
    std::unique_ptr<ShaderLibrary> shaders;
    std::unique_ptr<Kernels> kernels;
};
inline std::map<KernelChoice, OpenSet> sets;

class EndOfSets : public testing::Environment {
    void TearDown() override { sets.clear(); }
};
inline const auto* const endOfSets = testing::AddGlobalTestEnvironment(new EndOfSets);

// A program of one call over host-visible tensors.
class OneCall {
public:
    explicit OneCall(KernelChoice choice) {
        OpenSet& set = sets[choice];
        if (!set.backend) {
            auto opened = VulkanBackend::open({.device = testDevice(),
                                               .kernels = choice,
                                               .validate = choice == KernelChoice::Portable && testDevice() == "cpu",
                                               .cacheFolder = {}});
            EXPECT_TRUE(opened) << opened.error().message;
            set.backend = std::move(*opened);
            set.shaders = std::move(*ShaderLibrary::create(set.backend->device(), {}));
            set.kernels = Kernels::create(set.backend->device(), *set.shaders, choice);
        }
        backend = set.backend.get();
        shaders = set.shaders.get();
        kernels = set.kernels.get();
        heap = std::move(*VulkanHeap::create(backend->device()));
    }
    ~OneCall() {
        for (std::size_t i = 0; i < placements.size(); ++i)
            if (!program.tensors[i].within) heap->free(placements[i].block);
        EXPECT_EQ(heap->liveBlocks(), 0u);
        EXPECT_EQ(backend->validationMessages(), 0);
    }

    TensorId add(DType dtype, Shape shape, Category category = Category::Activation) {
        Tensor tensor{.name = "t",
                      .category = category,
                      .dtype = dtype,
                      .shape = shape,
                      .dims = {shape.n, shape.h, shape.w, shape.c},
                      .bytes = shape.elements() * sizeOf(dtype)};
        auto block = heap->allocate((tensor.bytes + 255) / 256 * 256, MemoryKind::HostVisible);
        EXPECT_TRUE(block);
        std::memset(heap->mapped(block->id), 0xff, block->bytes); // NaN wherever nothing is written
        placements.push_back({.block = *block, .offset = 0, .bytes = tensor.bytes});
        bindings.push_back({.buffer = heap->buffer(block->id), .offset = 0, .address = block->address});
        program.tensors.push_back(std::move(tensor));
        return TensorId{static_cast<std::uint32_t>(program.tensors.size() - 1)};
    }
    // The first `channels` of each pixel of another tensor.
    TensorId addWithin(TensorId storage, std::uint64_t channels) {
        Tensor tensor = program.tensor(storage);
        tensor.pixelStride = tensor.shape.c;
        tensor.shape.c = tensor.dims.back() = channels;
        tensor.bytes = tensor.shape.elements() * sizeOf(tensor.dtype);
        tensor.within = storage;
        placements.push_back({});
        bindings.push_back({});
        program.tensors.push_back(std::move(tensor));
        return TensorId{static_cast<std::uint32_t>(program.tensors.size() - 1)};
    }
    // Some rows of another one, which has one picture.
    TensorId addRows(TensorId storage, std::uint64_t first, std::uint64_t rows) {
        Tensor tensor = program.tensor(storage);
        tensor.offset = tensor.bytes / tensor.shape.h * first;
        tensor.bytes = tensor.bytes / tensor.shape.h * rows;
        tensor.shape.h = tensor.dims[1] = rows;
        tensor.within = storage;
        placements.push_back({});
        bindings.push_back({});
        program.tensors.push_back(std::move(tensor));
        return TensorId{static_cast<std::uint32_t>(program.tensors.size() - 1)};
    }
    std::byte* data(TensorId id) {
        return heap->mapped(placements[program.storage(id).index].block.id) + program.tensor(id).offset;
    }
    // Element i of a tensor counts from its memory's beginning on.
    std::uint64_t place(TensorId id, std::uint64_t i) const {
        const Tensor& tensor = program.tensor(id);
        return tensor.within ? i / tensor.shape.c * tensor.stride() + i % tensor.shape.c : i;
    }
    void set(TensorId id, std::uint64_t element, double value) {
        const auto f = static_cast<float>(value);
        const std::uint64_t i = place(id, element);
        const DType dtype = program.tensor(id).dtype;
        const std::uint16_t half = dtype == DType::F16 ? floatToFp16(f) : floatToBf16(f);
        dtype == DType::F32 ? std::memcpy(data(id) + 4 * i, &f, 4) : std::memcpy(data(id) + 2 * i, &half, 2);
    }
    // Random values as they are after rounding to the tensor's type.
    std::vector<double> fill(TensorId id, double scale, double shift = 0.0) {
        std::normal_distribution<double> normal(shift, scale);
        std::vector<double> values(program.tensor(id).bytes / sizeOf(program.tensor(id).dtype));
        for (std::size_t i = 0; i < values.size(); ++i) {
            values[i] = rounded(program.tensor(id).dtype, normal(random));
            set(id, i, values[i]);
        }
        return values;
    }
    // Random weights of a convolution in the checkpoint's order, packed as its kernel wants them.
    std::vector<double> fillWeights(const ConvCall& call) {
        const std::uint64_t in = program.tensor(call.in).shape.c, out = program.tensor(call.out).shape.c,
                            each = in * call.kernel * call.kernel;
        const DType type = program.tensor(call.weight).dtype;
        std::vector<double> weights(out * each);
        std::vector<float> stored(weights.size());
        std::normal_distribution<double> normal(0.0, 1.0 / std::sqrt(static_cast<double>(each)));
        for (std::size_t i = 0; i < weights.size(); ++i)
            stored[i] = static_cast<float>(weights[i] = rounded(type, normal(random)));
        const StoredValues<DType::F32> values{reinterpret_cast<const std::byte*>(stored.data())};
        const WeightPacking packing = kernels->packing(call, program);
        if (call.method == ConvMethod::Folded)
            packFoldedWeights(values, in * out, packing, type, 0, in * out * 16, data(call.weight));
        else
            packWeights(values, packing, type, 0, stored.size(), data(call.weight));
        return weights;
    }
    std::vector<double> read(TensorId id) {
        const Tensor& tensor = program.tensor(id);
        std::vector<double> values(tensor.shape.elements());
        for (std::size_t i = 0; i < values.size(); ++i) {
            const std::uint64_t at = place(id, i);
            if (tensor.dtype == DType::F32) {
                float f;
                std::memcpy(&f, data(id) + 4 * at, 4);
                values[i] = f;
            } else {
                std::uint16_t bits;
                std::memcpy(&bits, data(id) + 2 * at, 2);
                values[i] = tensor.dtype == DType::F16 ? fp16ToFloat(bits) : bf16ToFloat(bits);
            }
        }
        return values;
    }
    void run(const KernelCall& call) {
        program.layers = {"layer"};
        for (Tensor& tensor : program.tensors) tensor.layer = LayerId{0};
        program.calls = {{.kernel = call, .layer = LayerId{0}}};
        program.steps = {DispatchStep{0}};
        const std::vector<std::vector<std::byte>> before = contents();
        ASSERT_NO_FATAL_FAILURE(runAt(*heap, placements));
        if (!backend->device().report().sparseBinding) return;
        const std::size_t result = program.storage(output(call)).index;
        const std::vector<std::byte> near = contents()[result];
        for (const AddressOrder order : {AddressOrder::Rising, AddressOrder::Falling}) {
            setContents(before);
            ASSERT_NO_FATAL_FAILURE(runSpread(order));
            EXPECT_TRUE(near == contents()[result]) << "another result where tensors lie far apart, "
                                                    << (order == AddressOrder::Rising ? "rising" : "falling");
        }
    }

private:
    void runAt(VulkanHeap& where, const std::vector<Placement>& places) {
        const Parameters parameters(7);
        const Input input;
        const CancelFlag cancel;
        const RunIo io{.parameters = parameters, .input = input, .sinks = {}, .cancel = cancel, .progress = {}};
        auto executor = Executor::create(backend->device(), where, *kernels, program, io, {});
        ASSERT_TRUE(executor) << executor.error().message;
        for (std::uint32_t i = 0; i < places.size(); ++i) {
            if (program.tensors[i].within) continue;
            ASSERT_TRUE((*executor)->bind(TensorId{i}, places[i]));
        }
        const auto done = (*executor)->dispatch(0, false, 0);
        ASSERT_TRUE(done) << done.error().message;
        ASSERT_TRUE((*executor)->evaluate(0));
    }
    // The same over copies of the tensors, and back.
    void runSpread(AddressOrder order) {
        auto spread = SpreadHeap::create(backend->device(), order);
        ASSERT_TRUE(spread) << spread.error().message;
        std::vector<Placement> apart(placements.size());
        for (std::size_t i = 0; i < placements.size(); ++i) {
            if (program.tensors[i].within) continue;
            const auto block = (*spread)->allocate(placements[i].block.bytes, MemoryKind::Device);
            ASSERT_TRUE(block) << block.error().message;
            apart[i] = {.block = *block, .offset = 0, .bytes = placements[i].bytes};
        }
        copyAll(**spread, apart, true);
        ASSERT_NO_FATAL_FAILURE(runAt(**spread, apart));
        copyAll(**spread, apart, false);
        for (std::size_t i = 0; i < apart.size(); ++i)
            if (!program.tensors[i].within) (*spread)->free(apart[i].block);
    }
    void copyAll(VulkanHeap& spread, const std::vector<Placement>& apart, bool there) {
        auto commands = Commands::create(backend->device());
        ASSERT_TRUE(commands);
        ASSERT_TRUE((*commands)->begin(Commands::Use::Once));
        (*commands)->barrier();
        for (std::size_t i = 0; i < apart.size(); ++i) {
            if (program.tensors[i].within) continue;
            VkBuffer from = heap->buffer(placements[i].block.id), to = spread.buffer(apart[i].block.id);
            if (!there) std::swap(from, to);
            const VkBufferCopy all{.size = placements[i].block.bytes};
            backend->device().vk.CmdCopyBuffer((*commands)->handle(), from, to, 1, &all);
        }
        ASSERT_TRUE((*commands)->end());
        ASSERT_TRUE(backend->device().submit(**commands));
        ASSERT_TRUE(backend->device().waitAll());
    }
    std::vector<std::vector<std::byte>> contents() {
        std::vector<std::vector<std::byte>> all(placements.size());
        for (std::size_t i = 0; i < placements.size(); ++i) {
            if (program.tensors[i].within) continue;
            const std::byte* data = heap->mapped(placements[i].block.id);
            all[i].assign(data, data + placements[i].block.bytes);
        }
        return all;
    }
    void setContents(const std::vector<std::vector<std::byte>>& all) {
        for (std::size_t i = 0; i < placements.size(); ++i)
            if (!program.tensors[i].within) std::ranges::copy(all[i], heap->mapped(placements[i].block.id));
    }

public:
    std::mt19937 random{42};
    VulkanBackend* backend = nullptr;
    std::unique_ptr<VulkanHeap> heap;
    ShaderLibrary* shaders = nullptr;
    Kernels* kernels = nullptr;
    Program program;
    Bindings bindings;
    std::vector<Placement> placements;
};

// The error that rounding the result alone makes, with availableBytes for fp32 sums.
inline double tolerance(DType dtype) { return dtype == DType::F32 ? 1e-6 : dtype == DType::F16 ? 4e-4 : 3e-3; }

} // namespace spikescope
