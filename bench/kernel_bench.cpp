// Rates of single calls at the shapes of the FLUX.1 decoder at 1024×1024, each timed alone: TFLOP/s, GB/s, and the
// share of what this device can do at most, which is measured in the same run: bytes of a streaming copy, operations in
// registers (fp32 multiply-adds, or products of matrices where the kernels use them). The share is the time at the
// ceilings over the time taken, of the ceiling that is nearer. Calls are lowered as in a decode; --conv and --upsample
// choose other lowerings. --small divides sizes by 8, for a CPU device: on Mesa's, two cores, 3x3 128→128 in fp32 has
// to pass 80 GFLOP/s; bytes are the host's copies there, and the fp32 ceiling is what the driver's compiler makes of
// the loop, which the best kernels reach.
//   kernel_bench --dtype bf16 --only 3x3

#include "core/base/checked.h"
#include "core/kernels/portable_kernels.h"
#include "core/program/lower.h"
#include "core/program/presets.h"
#include "core/vulkan/call_timer.h"
#include "core/vulkan/vulkan_backend.h"

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <thread>

namespace spikescope {
namespace {

struct Options {
    std::string device, dtype = "bf16", conv = "direct", upsample, only;
    bool portable = false, small = false, json = false;
};

// `side` of the input at 1024×1024. Convolutions may norm what they read, make the statistics of what they write and
// add a residual.
struct Case {
    enum Kind { Conv, Attention, Norm, Copy } kind;
    std::uint64_t side, in, out;
    std::uint32_t kernel = 3;
    bool doubled = false, norm = false, statistics = false, residual = false;

    std::string name() const {
        if (kind == Attention) return fmt::format("attention {} at {}²", in, side);
        if (kind == Norm) return fmt::format("group_norm_silu {} at {}²", in, side);
        if (kind == Copy) return fmt::format("copy {} at {}²", in, side);
        return fmt::format("{}x{} {}→{} at {}²{}{}{}{}", kernel, kernel, in, out, side, doubled ? " doubled" : "",
                           norm ? " norm" : "", statistics ? " statistics" : "", residual ? " residual" : "");
    }
};

std::vector<Case> cases(bool small) {
    std::vector<Case> all;
    const std::tuple<std::uint64_t, std::uint64_t, std::uint64_t> plain[] = {
        {128, 512, 512}, {256, 512, 512}, {512, 512, 256}, {512, 256, 256}, {1024, 256, 128}, {1024, 128, 128}};
    for (const auto& [side, in, out] : plain) {
        const Case bare{.kind = Case::Conv, .side = side, .in = in, .out = out};
        Case made = bare, added = bare;
        made.statistics = true;
        added.statistics = added.residual = true;
        all.insert(all.end(), {bare, made, added});
        if (in > 256) continue; // wider maps are normed before
        made.norm = added.norm = true;
        all.insert(all.end(), {made, added});
    }
    for (const auto& [side, channels] : {std::pair{128, 512}, {256, 512}, {512, 256}})
        all.push_back({.kind = Case::Conv,
                       .side = static_cast<std::uint64_t>(side),
                       .in = static_cast<std::uint64_t>(channels),
                       .out = static_cast<std::uint64_t>(channels),
                       .doubled = true});
    const Case rest[] = {{.kind = Case::Conv, .side = 128, .in = 512, .out = 512, .kernel = 1},
                         {.kind = Case::Conv, .side = 1024, .in = 256, .out = 128, .kernel = 1},
                         {.kind = Case::Conv, .side = 1024, .in = 128, .out = 3, .norm = true},
                         {.kind = Case::Attention, .side = 128, .in = 512, .out = 512},
                         {.kind = Case::Attention, .side = 256, .in = 512, .out = 512},
                         {.kind = Case::Norm, .side = 1024, .in = 128, .out = 128},
                         {.kind = Case::Copy, .side = 1024, .in = 128, .out = 128}};
    all.insert(all.end(), std::begin(rest), std::end(rest));
    if (small)
        for (Case& c : all) c.side /= 8;
    return all;
}

struct Calls {
    Program program;
    std::vector<KernelCall> calls;
};

Result<Calls> copyCalls(const Case& c, DType dtype) {
    Calls made;
    const Shape shape{.n = 1, .h = c.side, .w = c.side, .c = c.in};
    for (const char* name : {"in", "out"})
        made.program.tensors.push_back(
            {.name = name, .dtype = dtype, .shape = shape, .bytes = shape.elements() * sizeOf(dtype), .weight = {}});
    made.calls = {CopyCall{.in = TensorId{0}, .out = TensorId{1}}};
    return made;
}

// The calls of one layer of a small model. 1×1 convolutions before and behind it bring maps into and out of the dtype.
Result<Calls> calls(const Case& c, Controls controls) {
    if (c.kind == Case::Copy) return copyCalls(c, controls.activations);
    constexpr std::uint32_t groups = 32;
    constexpr float eps = 1e-6f;
    GraphBuilder builder;
    const ValueId input = builder.input({.n = 1, .h = c.side, .w = c.side, .c = c.in});
    ValueId x = builder.conv("before", input, c.in, 1);
    if (c.kind == Case::Attention) {
        const ValueId q = builder.conv("q", x, c.in, 1), k = builder.conv("k", x, c.in, 1),
                      v = builder.conv("v", x, c.in, 1);
        x = builder.attention("measured", q, k, v, 1.0f / std::sqrt(static_cast<float>(c.in)));
    } else if (c.kind == Case::Norm) {
        controls.norm = NormLowering::Fused; // with its statistics
        x = builder.silu(builder.groupNorm("measured", x, groups, eps));
    } else {
        std::optional<ValueId> residual;
        if (c.residual) residual = builder.conv("residual", x, c.out, 1);
        if (c.norm) x = builder.silu(builder.groupNorm("norm", x, groups, eps));
        if (c.doubled) x = builder.upsample("doubled", x);
        x = builder.conv("measured", x, c.out, c.kernel);
        if (residual) x = builder.add("add", x, *residual);
        if (c.statistics) x = builder.silu(builder.groupNorm("behind", x, groups, eps));
    }
    if (c.out % 4 == 0) x = builder.conv("behind", x, 4, 1); // else it is the output
    TRY(const Graph graph, builder.finish(x));
    Calls made{.program = lower(graph, controls), .calls = {}};
    for (const Call& call : made.program.calls)
        if (made.program.layers[call.layer.index] == "measured") made.calls.push_back(call.kernel);
    return made;
}

struct Ceilings {
    double bytes = 0, fma = 0, matrices = 0; // a ns; matrices: 0 where the kernels use none
};

// Shaders of Mesa's CPU device store word by word; its memory is the host's, whose cores copy faster.
double hostCopyRate() {
    constexpr std::size_t each = std::size_t{256} << 20;
    const std::size_t count = std::max(std::thread::hardware_concurrency(), 1u);
    std::vector<std::vector<char>> from(count, std::vector<char>(each, 1)), to = from;
    double best = 0;
    for (int sample = 0; sample < 9; ++sample) {
        const auto begin = std::chrono::steady_clock::now();
        std::vector<std::thread> threads;
        for (std::size_t i = 0; i < count; ++i)
            threads.emplace_back([&, i] { std::memcpy(to[i].data(), from[i].data(), each); });
        for (std::thread& thread : threads) thread.join();
        const std::chrono::duration<double, std::nano> ns = std::chrono::steady_clock::now() - begin;
        best = std::max(best, 2.0 * static_cast<double>(each * count) / ns.count());
    }
    return best;
}

Result<Ceilings> ceilings(VulkanBackend& backend, CallTimer& timer, std::optional<DType> matrices) {
    Device& device = backend.device();
    TRY(const auto shaders, ShaderLibrary::create(device, defaultCacheFolder()));
    const bool cpu = device.report().cpu;
    const auto dispatch = [&]<class P>(std::string_view shader, const std::vector<Define>& defines, const P& push,
                                       std::uint32_t groups, ShaderLibrary::Inputs inputs) -> Result<Dispatch> {
        Dispatch made{.pushSize = sizeof push, .groups = {groups, 1, 1}};
        TRY(made.pipeline, shaders->pipeline(shader, defines, inputs));
        std::memcpy(made.push.data(), &push, sizeof push);
        return made;
    };
    constexpr auto addresses = ShaderLibrary::Inputs::Addresses;
    Ceilings most;
    if (cpu) {
        most.bytes = hostCopyRate();
    } else {
        constexpr std::uint64_t wordsOfGroup = 1024;
        TRY(const Calls large, copyCalls({.kind = Case::Copy, .side = 1448, .in = 128, .out = 128}, DType::BF16));
        TRY(const auto memory, CallMemory::create(device, backend.heap(), large.program, large.calls));
        const std::uint64_t bytes = large.program.tensors[0].bytes; // 512 MiB, more than any cache
        TRY(Dispatch copy, dispatch("ceiling.comp", {{"COPY", "1"}},
                                    push::Ceiling{.inAddress = memory->bindings()[0].address,
                                                  .outAddress = memory->bindings()[1].address},
                                    static_cast<std::uint32_t>(bytes / 16 / wordsOfGroup), addresses));
        TRY(const double ns, timer.median({std::move(copy)}));
        most.bytes = 2.0 * static_cast<double>(bytes) / ns;
    }
    constexpr std::uint32_t rounds = 256;
    {
        const std::uint32_t groups = cpu ? 256 : 8192;
        std::vector<Define> defines;
        if (cpu) defines.push_back({"FEW", "1"});
        TRY(Dispatch fma,
            dispatch("ceiling.comp", defines, push::Ceiling{.rounds = rounds, .factor = 0.999f}, groups, addresses));
        TRY(const double ns, timer.median({std::move(fma)}));
        most.fma = 2.0 * 48 * 4 * 256 * rounds * groups / ns;
    }
    if (matrices) {
        constexpr std::uint32_t groups = 4096;
        TRY(Dispatch products,
            dispatch("ceiling_coopmat.comp", {{"TYPE", shaderType(*matrices)}}, push::CeilingCoopmat{.rounds = rounds},
                     groups, ShaderLibrary::Inputs::Matrices));
        TRY(const double ns, timer.median({std::move(products)}));
        most.matrices = 2.0 * 16 * 16 * 16 * 16 * 4 * rounds * groups / ns;
    }
    return most;
}

Result<void> bench(const Options& options) {
    Controls controls;
    CHECK(applyPreset(controls, "fastest"));
    CHECK(setControl(controls, "activations", options.dtype));
    CHECK(setControl(controls, "conv", options.conv));
    // Folded doublings, which the preset has, are of direct convolutions.
    if (options.conv != "direct") controls.upsample = UpsampleLowering::Fused;
    if (!options.upsample.empty()) CHECK(setControl(controls, "upsample", options.upsample));
    CHECK(checkControls(controls));
    TRY(const auto backend,
        VulkanBackend::open(
            {.device = options.device, .kernels = options.portable ? KernelChoice::Portable : KernelChoice::Best}));
    const DeviceReport& report = backend->device().report();
    const DType dtype = controls.activations;
    const bool multiplies =
        (dtype == DType::BF16 && report.bf16Matrices) || (dtype == DType::F16 && report.fp16Matrices);
    std::optional<DType> matrices;
    if (multiplies && !backend->facts().device.kernels.starts_with("portable")) matrices = dtype;
    TRY(const auto timer, CallTimer::create(backend->device()));
    TRY(const Ceilings most, ceilings(*backend, *timer, matrices));
    if (!options.json) {
        fmt::print("{}, driver {}, kernels: {}, {} tiles tuned\n", report.name, report.driver,
                   backend->facts().device.kernels, backend->kernels().tiles().size());
        fmt::print("ceilings: copy {:.1f} GB/s, fp32 fma {:.2f} TFLOP/s", most.bytes, most.fma / 1e3);
        if (matrices) fmt::print(", {} matrices {:.2f} TFLOP/s", name(*matrices), most.matrices / 1e3);
        fmt::print("\n");
    }
    for (const Case& c : cases(options.small)) {
        if (c.name().find(options.only) == std::string::npos) continue;
        TRY(const Calls one, calls(c, controls));
        TRY(const auto memory, CallMemory::create(backend->device(), backend->heap(), one.program, one.calls));
        std::vector<Dispatch> dispatches;
        double operations = 0, bytes = 0;
        for (const KernelCall& call : one.calls) {
            CHECK(backend->kernels().encode(call, one.program, memory->bindings(), dispatches));
            operations += static_cast<double>(flops(call, one.program));
            bytes += static_cast<double>(traffic(call, one.program));
        }
        TRY(const double ns, timer->median(std::move(dispatches)));
        const double share = std::max(operations / (matrices ? most.matrices : most.fma), bytes / most.bytes) / ns;
        if (options.json) {
            nlohmann::ordered_json line;
            line["device"] = report.name;
            line["driver"] = report.driver;
            line["kernels_of"] = backend->facts().device.kernels;
            line["tuned_tiles"] = backend->kernels().tiles().size();
            line["kernel"] = kernelName(one.calls.back());
            line["case"] = c.name();
            line["dtype"] = name(dtype);
            line["ms"] = ns / 1e6;
            line["tflops"] = operations / ns / 1e3;
            line["gb_per_s"] = bytes / ns;
            line["share"] = share;
            line["ceiling_tflops"] = (matrices ? most.matrices : most.fma) / 1e3;
            line["ceiling_gb_per_s"] = most.bytes;
            fmt::print("{}\n", line.dump());
        } else {
            fmt::print("{:<48} {:<22} {:>10.4f} ms {:>9.3f} TFLOP/s {:>8.1f} GB/s {:>4.0f} %\n", c.name(),
                       kernelName(one.calls.back()), ns / 1e6, operations / ns / 1e3, bytes / ns, 100 * share);
        }
        std::fflush(stdout);
    }
    return {};
}

} // namespace
} // namespace spikescope

int main(int argc, char** argv) {
    spikescope::Options options;
    CLI::App app("Rates of single kernels");
    app.add_option("--device", options.device, "index, part of a name, or cpu");
    app.add_option("--dtype", options.dtype, "bf16, fp16 or fp32");
    app.add_option("--conv", options.conv, "lowering of convolutions");
    app.add_option("--upsample", options.upsample, "lowering of doublings");
    app.add_option("--only", options.only, "cases whose names have this in them");
    app.add_flag("--portable", options.portable, "the portable kernels");
    app.add_flag("--small", options.small, "sides divided by 8");
    app.add_flag("--json", options.json, "one object a case");
    CLI11_PARSE(app, argc, argv);
    const auto done = spikescope::bench(options);
    if (!done) fmt::print(stderr, "{}\n", done.error().message);
    return done ? 0 : 1;
}
