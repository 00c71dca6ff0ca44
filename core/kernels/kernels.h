#pragma once
// Encodes a Program's calls as dispatches of shaders on one device: which variant, with which push constants, over how
// many workgroups. Kernels use the tensors that the Program names and no other memory.

#include "core/backend/weight_packing.h"
#include "core/gpu/commands.h"
#include "core/gpu/shader_library.h"
#include "core/kernels/tile_choices.h"
#include "core/memory/allocator.h"
#include "core/program/program.h"

#include <memory>

namespace spikescope {

// The memory of a live tensor.
struct BoundTensor {
    VkBuffer buffer = VK_NULL_HANDLE;
    std::uint64_t offset = 0;  // in the buffer, bytes
    std::uint64_t address = 0; // on the device
    std::uint64_t block = 0;   // of the heap: tells a buffer from a later one with the same handle
    bool operator==(const BoundTensor&) const = default;
};
using Bindings = std::vector<BoundTensor>; // by TensorId

struct TexelView {
    VkBuffer buffer = VK_NULL_HANDLE;
    std::uint64_t block = 0; // as of a BoundTensor
    std::uint64_t offset = 0, bytes = 0;
    VkFormat format = VK_FORMAT_UNDEFINED;
    bool operator==(const TexelView&) const = default;
};

struct Dispatch {
    Pipeline pipeline;
    std::array<std::byte, pushBytes> push{};
    std::uint32_t pushSize = 0;
    std::array<std::uint32_t, 3> groups{1, 1, 1};
    std::vector<TexelView> views; // bindings 0, 1, …; empty: the kernel has no descriptors
    bool operator==(const Dispatch&) const = default;
};

Result<void> recordDispatch(Commands& commands, const Dispatch& dispatch);

enum class KernelChoice : std::uint8_t { Best, Portable };

// One implementation of every call.
class Kernels {
public:
    // Mesa's CPU device and devices with cooperative matrices get kernels of their own unless `choice` is Portable. A
    // device whose matrices fail the self-check gets the portable ones, and their name says so.
    static std::unique_ptr<Kernels> create(Device& device, ShaderLibrary& library, KernelChoice choice);
    virtual ~Kernels() = default;

    virtual std::string_view name() const = 0;
    // How the weights of a convolution are to be laid out for encode().
    virtual WeightPacking packing(const ConvCall& call, const Program& program) const = 0;
    // Appends the call's dispatches; each waits for the one before. Pipelines are made at first need.
    virtual Result<void> encode(const KernelCall& call, const Program& program, const Bindings& bindings,
                                std::vector<Dispatch>& dispatches) = 0;

    TileChoices& tiles() { return m_tiles; }
    const TileChoices& tiles() const { return m_tiles; }

protected:
    TileChoices m_tiles; // of all shaders with several tiles
};

} // namespace spikescope
