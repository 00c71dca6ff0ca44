#include "core/program/lower.h"

#include "core/base/checked.h"
#include "core/program/layer_groups.h"
#include "core/program/schedule.h"
#include "core/program/stripes.h"
#include "core/program/tiles.h"

#include <algorithm>

namespace spikescope {

namespace {

// Slices of 256 pixels, of large maps more, each summed by one workgroup.
std::uint64_t normSlices(std::uint64_t pixels) {
    return std::clamp<std::uint64_t>(divideUp<std::uint64_t>(pixels, 256), 1, 1024);
}

// Where MLX takes its Winograd path.
bool winogradFits(const Conv2d& op, const Shape& in, const Shape& out) {
    return op.kernel == 3 && op.stride == 1 && in.c % 32 == 0 && out.c % 32 == 0 && in.c + out.c >= 256 &&
           out.pixels() >= 4096;
}

class Lowering {
public:
    Lowering(LoweredCalls& lowered, const Graph& graph, const Controls& controls, const GraphBindings& bindings)
        : m_graph(graph)
        , m_controls(controls)
        , m_bindings(bindings)
        , m_lowered(lowered)
        , m_fused(graph.nodes.size(), false)
        , m_consumers(graph.values.size())
        , m_producer(graph.values.size(), noNode)
        , m_tensorOf(graph.values.size())
        , m_normOnLoad(graph.values.size())
        , m_coefficients(graph.nodes.size()) {}

    TensorId run() {
        findUses();
        if (!m_bindings.coefficients.empty()) m_coefficients = m_bindings.coefficients;
        for (std::uint32_t v = 0; v < m_bindings.tensors.size(); ++v)
            if (m_producer[v] == noNode && m_bindings.tensors[v]) {
                m_tensorOf[v] = *m_bindings.tensors[v];
                if (!m_bindings.isLastUse[v]) m_lastUse[v] = noNode;
            }
        for (std::uint32_t i = 0; i < m_graph.nodes.size(); ++i)
            if (!m_fused[i]) std::visit([&](const auto& op) { lowerNode(i, op); }, m_graph.nodes[i].op);
        if (m_bindings.stats && !m_statsMade) {
            // Read before tensors of the statistics are added, since adding moves tensors.
            const LayerId layer = tensor(m_bindings.stats->coefficients).layer;
            call(outputStats(normSlices(m_graph.shape(m_graph.output).pixels())), layer);
        }
        return tensorOf(m_graph.output);
    }

private:
    static constexpr std::uint32_t noNode = 0xffffffffu;

    bool inPlace() const { return m_controls.lifetime == LifetimePolicy::Planned; }
    DType featureMapType() const { return spikescope::featureMapType(m_controls); }
    const Tensor& tensor(TensorId id) const { return m_lowered.program.tensor(id); }
    const std::string& path(LayerId layer) const { return m_lowered.program.layers[layer.index]; }

    TensorId addMap(std::string name, LayerId layer, Category category, DType dtype, Shape shape) {
        return m_lowered.add(featureMapTensor(std::move(name), layer, category, dtype, shape));
    }
    TensorId addWorkspace(std::string_view what, LayerId layer, std::vector<std::uint64_t> dims,
                          DType dtype = DType::F32) {
        return m_lowered.add(workspaceTensor(fmt::format("{}.{}", path(layer), what), layer, std::move(dims), dtype));
    }

    void findUses() {
        for (std::uint32_t i = 0; i < m_graph.nodes.size(); ++i) {
            const Node& node = m_graph.nodes[i];
            m_producer[node.out.index] = i;
            for (const ValueId value : inputs(node.op)) m_consumers[value.index].push_back(i);
        }
        m_lastUse.resize(m_graph.values.size(), 0);
        for (std::size_t v = 0; v < m_graph.values.size(); ++v)
            if (!m_consumers[v].empty()) m_lastUse[v] = m_consumers[v].back();
        m_lastUse[m_graph.output.index] = noNode;
        // A view of rows shares its tensor's memory; neither may be overwritten.
        for (const Node& node : m_graph.nodes)
            if (const auto* rows = std::get_if<Rows>(&node.op))
                m_lastUse[rows->in.index] = m_lastUse[node.out.index] = noNode;
        if (m_controls.holdInputs) holdInputs();
    }
    // A block's inputs are held until the block returns.
    void holdInputs() {
        std::vector<std::string_view> layers;
        for (const Node& node : m_graph.nodes) layers.push_back(m_graph.layers[node.layer.index]);
        for (std::uint32_t i = 0; i < m_graph.nodes.size(); ++i)
            for (const ValueId value : inputs(m_graph.nodes[i].op)) {
                const std::uint32_t producer = m_producer[value.index];
                const auto maker = producer == noNode ? std::nullopt : std::optional(producer);
                m_lastUse[value.index] = std::max(m_lastUse[value.index], heldUntil(layers, i, maker));
            }
    }
    // The node that alone uses a value, if there is just one.
    std::uint32_t onlyConsumer(ValueId value) const {
        const auto& users = m_consumers[value.index];
        return users.size() == 1 && value != m_graph.output ? users.front() : noNode;
    }

    // Sums the 3×3 kernel to four 2×2 ones, for each parity of row and column of the upsampled tensor.
    void foldWeight(TensorId id) {
        Tensor& weight = m_lowered.program.tensors[id.index];
        if (weight.folded) return; // by another stripe or tile
        weight.folded = true;
        weight.dims = {4, weight.dims[0], weight.dims[1], 2, 2};
        weight.bytes = 16 * weight.dims[1] * weight.dims[2] * sizeOf(weight.dtype);
    }

    // A value dies in the op at `node` when no later node reads it. The output of the graph never does.
    bool diesAt(ValueId value, std::uint32_t node) const { return m_lastUse[value.index] == node; }
    TensorId tensorOf(ValueId value) const { return m_tensorOf[value.index]; }

    // The tensor that a value is bound to.
    std::optional<TensorId> placeOf(ValueId value) const {
        return m_bindings.tensors.empty() ? std::nullopt : m_bindings.tensors[value.index];
    }
    TensorId outputFor(ValueId value, LayerId layer) {
        if (const auto place = placeOf(value)) return m_tensorOf[value.index] = *place;
        const bool last = isPicture(value);
        const TensorId id = addMap(path(layer), layer, last ? Category::Image : Category::Activation,
                                   last ? DType::F32 : spikescope::featureMapType(m_controls, m_graph.shape(value)),
                                   m_graph.shape(value));
        m_tensorOf[value.index] = id;
        return id;
    }
    bool isPicture(ValueId value) const { return value == m_graph.output && !m_bindings.outputIsMap; }
    // The tensor of `in` when the op may write over it, else a new one.
    TensorId outputOver(ValueId in, ValueId value, std::uint32_t node, LayerId layer) {
        const Tensor& old = tensor(tensorOf(in));
        const bool fits = in != m_graph.input && !isPicture(value) && old.dtype == featureMapType() &&
                          old.shape == m_graph.shape(value);
        if (!inPlace() || !fits || !diesAt(in, node)) return outputFor(value, layer);
        m_tensorOf[value.index] = tensorOf(in);
        return tensorOf(in);
    }
    void call(KernelCall kernel, LayerId layer) {
        m_lowered.program.calls.push_back({.kernel = std::move(kernel), .layer = layer});
    }
    template <class Op> const Op* producedBy(ValueId value) const {
        const std::uint32_t producer = m_producer[value.index];
        return producer == noNode ? nullptr : std::get_if<Op>(&m_graph.nodes[producer].op);
    }
    bool upsampleOnLoad() const {
        return m_controls.upsample == UpsampleLowering::Fused || m_controls.upsample == UpsampleLowering::Folded;
    }

    void lowerNode(std::uint32_t node, const Conv2d& op) {
        const LayerId layer = m_graph.nodes[node].layer;
        ConvCall conv{.kernel = op.kernel, .stride = op.stride, .padTop = op.padTop, .padLeft = op.padLeft};
        ValueId in = op.in;
        if (const auto* up = producedBy<UpsampleNearest>(in); up && upsampleOnLoad()) {
            in = up->in;
            conv.upsample = true;
        }
        if (const auto& norm = m_normOnLoad[in.index]) {
            in = norm->source;
            conv.norm = norm->call;
            conv.norm->isLastUse = diesAt(in, node);
        }
        conv.in = tensorOf(in);
        conv.weight = m_lowered.weightTensor(op.weight, layer);
        if (op.bias) conv.bias = m_lowered.weightTensor(*op.bias, layer);

        ValueId out = m_graph.nodes[node].out;
        std::uint32_t last = node;
        std::optional<ValueId> residual;
        if (const std::uint32_t user = onlyConsumer(out); user != noNode)
            if (const auto* add = std::get_if<Add>(&m_graph.nodes[user].op)) {
                // Where two convolutions are added, the later one adds to the earlier one's output.
                const ValueId other = add->a == out ? add->b : add->a;
                if (tensorOf(other).valid()) {
                    residual = other;
                    out = m_graph.nodes[user].out;
                    last = user;
                    m_fused[user] = true;
                }
            }
        if (const std::uint32_t user = onlyConsumer(out);
            user != noNode && std::holds_alternative<Relu>(m_graph.nodes[user].op)) {
            conv.activation = Activation::Relu;
            out = m_graph.nodes[user].out;
            m_fused[user] = true;
        }
        if (residual) {
            conv.residual = tensorOf(*residual);
            conv.out = tensorOf(*residual) == conv.in ? outputFor(out, layer) : outputOver(*residual, out, last, layer);
        } else {
            conv.out = fitsInPlace(op, node) ? outputWithin(in, out, layer) : outputOfSumOrOwn(out, layer);
        }
        chooseMethod(conv, op, layer);
        addLayoutCopies(conv, op, layer);
        if (m_controls.norm == NormLowering::OnLoad) {
            if (const std::uint32_t norm = normOf(out); norm != noNode && !m_coefficients[norm])
                conv.stats = statsOf(norm, convSlices(m_graph.shape(out)));
            if (m_bindings.stats && out == m_graph.output) {
                conv.stats = outputStats(convSlices(m_graph.shape(out)));
                m_statsMade = true;
            }
        }
        call(conv, layer);
    }
    // The convolution that can norm what it reads instead of the norm at `node`.
    std::uint32_t normingConv(std::uint32_t node) const {
        if (!normsOnLoad(m_controls, m_graph.shape(m_graph.nodes[node].out))) return noNode;
        std::uint32_t user = onlyConsumer(m_graph.nodes[node].out);
        if (user != noNode && activationOf(user) != Activation::None) user = onlyConsumer(m_graph.nodes[user].out);
        const auto* conv = user == noNode ? nullptr : std::get_if<Conv2d>(&m_graph.nodes[user].op);
        return conv && conv->kernel == 3 && conv->stride == 1 ? user : noNode;
    }
    Activation activationOf(std::uint32_t node) const {
        if (std::holds_alternative<Silu>(m_graph.nodes[node].op)) return Activation::Silu;
        if (std::holds_alternative<Relu>(m_graph.nodes[node].op)) return Activation::Relu;
        return Activation::None;
    }
    // The norm that reads a value.
    std::uint32_t normOf(ValueId value) const {
        for (const std::uint32_t user : m_consumers[value.index])
            if (std::holds_alternative<GroupNorm>(m_graph.nodes[user].op)) return user;
        return noNode;
    }
    // A shortcut writes to half of its input's memory when nothing else reads the input and all readers of the shortcut
    // can skip the other half: convolutions that norm on load and add.
    bool fitsInPlace(const Conv2d& op, std::uint32_t node) const {
        const ValueId in = op.in, out = m_graph.nodes[node].out;
        if (m_controls.norm != NormLowering::OnLoad || !inPlace() || op.kernel != 1 || in == m_graph.input)
            return false;
        const std::uint64_t channels = m_graph.shape(out).c;
        return channels <= maxChannelsInPlace && channels < m_graph.shape(in).c && !m_normOnLoad[in.index] &&
               diesAt(in, node) && !tensor(tensorOf(in)).within && tensor(tensorOf(in)).dtype == featureMapType() &&
               canBeStrided(out);
    }
    bool canBeStrided(ValueId value) const {
        return value != m_graph.output && std::ranges::all_of(m_consumers[value.index], [&](std::uint32_t user) {
                   const Op& op = m_graph.nodes[user].op;
                   if (std::holds_alternative<GroupNorm>(op)) return normingConv(user) != noNode;
                   return std::holds_alternative<Add>(op) && canBeStrided(m_graph.nodes[user].out);
               });
    }
    // Where two convolutions are added into a bound tensor, the earlier one writes there, too.
    TensorId outputOfSumOrOwn(ValueId value, LayerId layer) {
        const std::uint32_t user = onlyConsumer(value);
        if (inPlace() && user != noNode && std::holds_alternative<Add>(m_graph.nodes[user].op))
            if (const auto sum = placeOf(m_graph.nodes[user].out); sum && tensor(*sum).dtype == featureMapType())
                return m_tensorOf[value.index] = *sum;
        return outputFor(value, layer);
    }
    TensorId outputWithin(ValueId in, ValueId value, LayerId layer) {
        const TensorId id = outputFor(value, layer);
        Tensor& out = m_lowered.program.tensors[id.index];
        out.within = tensorOf(in);
        out.pixelStride = tensor(tensorOf(in)).shape.c;
        return id;
    }
    GroupNormStatsCall statsOf(std::uint32_t node, std::uint64_t slices) {
        const auto& op = std::get<GroupNorm>(m_graph.nodes[node].op);
        const LayerId layer = m_graph.nodes[node].layer;
        const Shape& shape = m_graph.shape(op.in);
        const GroupNormStatsCall stats{.in = tensorOf(op.in),
                                       .gamma = m_lowered.weightTensor(op.gamma, layer),
                                       .beta = m_lowered.weightTensor(op.beta, layer),
                                       .partials = addWorkspace("partials", layer, {shape.n, slices, op.groups, 4}),
                                       .coefficients = addWorkspace("coefficients", layer, {shape.n, shape.c, 2}),
                                       .groups = op.groups,
                                       .slices = slices,
                                       .eps = op.eps};
        m_coefficients[node] = stats.coefficients;
        return stats;
    }
    // Statistics of the output, for a norm outside of this graph.
    GroupNormStatsCall outputStats(std::uint64_t slices) {
        GroupNormStatsCall stats = *m_bindings.stats;
        stats.in = tensorOf(m_graph.output);
        stats.slices = slices;
        stats.partials =
            addWorkspace("partials", tensor(stats.coefficients).layer, {std::uint64_t{1}, slices, stats.groups, 4});
        return stats;
    }
    void chooseMethod(ConvCall& conv, const Conv2d& op, LayerId layer) {
        if (conv.upsample && m_controls.upsample == UpsampleLowering::Folded) {
            conv.method = ConvMethod::Folded;
            foldWeight(conv.weight);
            return;
        }
        const Shape in = tensor(conv.in).shape, out = tensor(conv.out).shape;
        const DType dtype = tensor(conv.in).dtype;
        if (m_controls.conv == ConvLowering::Im2col && op.kernel == 3) {
            conv.method = ConvMethod::Im2col;
            const std::uint64_t rows = out.n * out.h, rowBytes = out.w * 9 * in.c * sizeOf(dtype);
            conv.chunkRows = m_controls.im2colBytes == 0
                                 ? rows
                                 : std::clamp<std::uint64_t>(m_controls.im2colBytes / rowBytes, 1, rows);
            conv.columns = addWorkspace("columns", layer, {conv.chunkRows * out.w, 9 * in.c}, dtype);
        } else if (m_controls.conv == ConvLowering::Winograd && winogradFits(op, in, out)) {
            conv.method = ConvMethod::Winograd;
            const std::uint64_t tilesY = divideUp(out.h, winogradTile), tilesX = divideUp(out.w, winogradTile),
                                tiles = out.n * tilesY * tilesX, planes = winogradReach * winogradReach;
            const Shape padded{out.n, tilesY * winogradTile + 2, tilesX * winogradTile + 2, in.c};
            ConvCall::Winograd w;
            w.padded = addWorkspace("padded", layer, {padded.n, padded.h, padded.w, padded.c}, dtype);
            m_lowered.program.tensors[w.padded.index].shape = padded;
            w.filters = addWorkspace("filters", layer, {planes, in.c, out.c}, dtype);
            w.inputs = addWorkspace("tiles", layer, {planes, tiles, in.c}, dtype);
            w.products = addWorkspace("products", layer, {planes, tiles, out.c}, dtype);
            conv.winograd = w;
        }
    }
    void addLayoutCopies(ConvCall& conv, const Conv2d& op, LayerId layer) {
        const auto copyOf = [&](TensorId map, std::string_view what) {
            const Tensor source = tensor(map);
            const TensorId copy = addWorkspace(what, layer, source.dims, source.dtype);
            m_lowered.program.tensors[copy.index].shape = source.shape;
            return copy;
        };
        if (m_controls.layoutCopies == LayoutCopies::On ||
            (m_controls.layoutCopies == LayoutCopies::AfterNorm && isNormed(op.in)))
            conv.inCopy = copyOf(conv.in, "input_copy");
        if (m_controls.layoutCopies == LayoutCopies::On) conv.outCopy = copyOf(conv.out, "output_copy");
    }
    // Computed by a GroupNorm, or by the activation after one.
    bool isNormed(ValueId value) const {
        if (const auto* silu = producedBy<Silu>(value)) value = silu->in;
        if (const auto* relu = producedBy<Relu>(value)) value = relu->in;
        return producedBy<GroupNorm>(value) != nullptr;
    }
    void lowerNode(std::uint32_t node, const GroupNorm& op) {
        const LayerId layer = m_graph.nodes[node].layer;
        // The convolution before may have computed the statistics.
        if (!m_coefficients[node]) call(statsOf(node, normSlices(m_graph.shape(op.in).pixels())), layer);
        GroupNormApplyCall apply{.in = tensorOf(op.in), .coefficients = *m_coefficients[node]};
        ValueId out = m_graph.nodes[node].out;
        if (const std::uint32_t user = onlyConsumer(out);
            user != noNode && m_controls.norm != NormLowering::Separate && activationOf(user) != Activation::None) {
            apply.activation = activationOf(user);
            out = m_graph.nodes[user].out;
            m_fused[user] = true;
        }
        if (const std::uint32_t conv = normingConv(node); conv != noNode) {
            m_normOnLoad[out.index] = {.source = op.in,
                                       .call = {.coefficients = apply.coefficients, .activation = apply.activation}};
            m_lastUse[op.in.index] = std::max(m_lastUse[op.in.index], conv);
            return;
        }
        apply.out = outputOver(op.in, out, node, layer);
        call(apply, layer);
    }
    void lowerNode(std::uint32_t node, const Attention& op) {
        const LayerId layer = m_graph.nodes[node].layer;
        const std::uint64_t pixels = m_graph.shape(op.q).pixels(), rows = attentionRows(m_controls, pixels);
        const TensorId scores = addWorkspace("scores", layer, {rows, roundUp<std::uint64_t>(pixels, 4)});
        // Rows of the output replace rows of the queries, which are used up block by block.
        const TensorId out = outputOver(op.q, m_graph.nodes[node].out, node, layer);
        call(AttentionCall{.q = tensorOf(op.q),
                           .k = tensorOf(op.k),
                           .v = tensorOf(op.v),
                           .scores = scores,
                           .out = out,
                           .isLastUse =
                               diesAt(op.k, node) && diesAt(op.v, node) && op.k != op.v && op.k != op.q && op.v != op.q,
                           .chunkRows = rows,
                           .scale = op.scale},
             layer);
    }
    void lowerNode(std::uint32_t node, const TanhClamp& op) {
        const LayerId layer = m_graph.nodes[node].layer;
        call(TanhClampCall{.in = tensorOf(op.in), .out = outputFor(m_graph.nodes[node].out, layer)}, layer);
    }
    void lowerNode(std::uint32_t node, const UpsampleNearest& op) {
        if (upsampleOnLoad()) return; // part of the convolution after it
        const LayerId layer = m_graph.nodes[node].layer;
        const ValueId value = m_graph.nodes[node].out;
        TensorId from = tensorOf(op.in);
        bool upsampled = false;
        if (m_controls.upsample == UpsampleLowering::Broadcast) {
            // The tensor broadcast to [n, h, 2, w, 2, c], before it is reshaped to the result.
            const Shape shape = m_graph.shape(value);
            const TensorId broadcast =
                addMap(path(layer) + ".broadcast", layer, Category::Activation, featureMapType(), shape);
            m_lowered.program.tensors[broadcast.index].dims = {shape.n, shape.h / 2, 2, shape.w / 2, 2, shape.c};
            call(CopyCall{.in = from, .out = broadcast, .upsample = true}, layer);
            from = broadcast;
            upsampled = true;
        }
        call(CopyCall{.in = from, .out = outputFor(value, layer), .upsample = !upsampled}, layer);
    }
    void lowerNode(std::uint32_t node, const Rows& op) {
        const ValueId value = m_graph.nodes[node].out;
        m_tensorOf[value.index] = m_lowered.addRows(tensorOf(op.in), op.first, m_graph.shape(value).h);
    }
    void activate(std::uint32_t node, ValueId in, Activation activation) {
        const LayerId layer = m_graph.nodes[node].layer;
        const TensorId from = tensorOf(in);
        call(ActivationCall{.in = from,
                            .out = outputOver(in, m_graph.nodes[node].out, node, layer),
                            .activation = activation},
             layer);
    }
    void lowerNode(std::uint32_t node, const Silu& op) { activate(node, op.in, Activation::Silu); }
    void lowerNode(std::uint32_t node, const Relu& op) { activate(node, op.in, Activation::Relu); }
    void lowerNode(std::uint32_t, const Add&) {} // always part of a convolution before it, see there

    const Graph& m_graph;
    const Controls& m_controls;
    const GraphBindings& m_bindings;
    LoweredCalls& m_lowered;
    bool m_statsMade = false;                            // of the output
    std::vector<bool> m_fused;                           // by node: part of an earlier call
    std::vector<std::vector<std::uint32_t>> m_consumers; // by value: nodes
    std::vector<std::uint32_t> m_producer, m_lastUse;    // by value: node
    std::vector<TensorId> m_tensorOf;                    // by value
    struct NormOnLoad {
        ValueId source;
        ConvCall::NormOnLoad call;
    };
    std::vector<std::optional<NormOnLoad>> m_normOnLoad; // by value: normed as it is read, so that it has no tensor
    std::vector<std::optional<TensorId>> m_coefficients; // by node: of a norm whose statistics exist
};

} // namespace

TensorId lowerInto(LoweredCalls& lowered, const Graph& graph, const Controls& controls, const GraphBindings& bindings) {
    return Lowering(lowered, graph, controls, bindings).run();
}

InputOutput lowerInto(LoweredCalls& lowered, const Graph& graph, const Controls& controls) {
    const TensorId input = lowered.addInput(graph.shape(graph.input));
    GraphBindings bindings;
    bindings.tensors.resize(graph.values.size());
    bindings.isLastUse.resize(graph.values.size());
    bindings.tensors[graph.input.index] = input;
    return {.input = input, .output = lowerInto(lowered, graph, controls, bindings)};
}

std::uint64_t attentionRows(const Controls& controls, std::uint64_t pixels) {
    if (controls.attention == AttentionLowering::Naive) return pixels;
    const bool lean = controls.isStriped() && controls.spill == Spill::Host;
    const std::uint64_t mostBytes = lean ? std::uint64_t{256} << 20 : std::uint64_t{4} << 30,
                        mostRows = lean ? 1024 : 2560, bounded = mostBytes / (4 * pixels) / 64 * 64;
    return std::min(pixels, std::clamp<std::uint64_t>(bounded, 64, mostRows));
}

bool normsOnLoad(const Controls& controls, const Shape& map) {
    constexpr std::uint64_t mostChannels = 256;
    return controls.norm == NormLowering::OnLoad && controls.conv == ConvLowering::Direct &&
           controls.layoutCopies == LayoutCopies::Off && map.c <= mostChannels;
}

Program lower(const Graph& graph, const Controls& controls, std::span<const Weight> unused, bool merged) {
    if (controls.isStriped()) return schedule(lowerInStripes(graph, controls, unused, merged), controls);
    if (controls.isTiled()) return schedule(lowerInTiles(graph, controls, unused, merged), controls);
    LoweredCalls lowered = lowerWeights(graph, controls, unused);
    const InputOutput whole = lowerInto(lowered, graph, controls);
    lowered.addWhole(whole.input, whole.output, merged);
    return schedule(std::move(lowered), controls);
}

} // namespace spikescope
