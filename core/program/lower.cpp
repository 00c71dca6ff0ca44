#include "core/program/lower.h"

#include "core/base/checked.h"

#include <algorithm>

namespace spikescope {

namespace {

std::vector<ValueId> inputs(const Op& op) {
    return std::visit(
        [](const auto& o) -> std::vector<ValueId> {
            using T = std::decay_t<decltype(o)>;
            if constexpr (std::is_same_v<T, Add>)
                return {o.a, o.b};
            else if constexpr (std::is_same_v<T, Attention>)
                return {o.q, o.k, o.v};
            else
                return {o.in};
        },
        op);
}

// Rows of queries whose scores exist at a time: 512 keep a GPU busy; huge pictures get fewer, so that the block stays
// near 256 MiB.
std::uint64_t attentionRows(std::uint64_t pixels) {
    const std::uint64_t bounded = (std::uint64_t{256} << 20) / (4 * pixels) / 64 * 64;
    return std::min(pixels, std::clamp<std::uint64_t>(bounded, 64, 512));
}

// Slices of about a thousand pixels, each summed by one workgroup.
std::uint64_t normSlices(std::uint64_t pixels) {
    return std::clamp<std::uint64_t>(divideUp<std::uint64_t>(pixels, 1024), 1, 1024);
}

class Lowering {
public:
    Lowering(const Graph& graph, const Controls& controls)
        : m_graph(graph)
        , m_controls(controls)
        , m_fused(graph.nodes.size(), false)
        , m_consumers(graph.values.size())
        , m_producer(graph.values.size(), noNode)
        , m_tensorOf(graph.values.size()) {}

    Program run() {
        findUses();
        m_program.layers = m_graph.layers;
        m_program.weights = m_graph.weights;
        const LayerId inputLayer = addLayer("input"), weightsLayer = addLayer("weights"),
                      outputLayer = addLayer("output");
        addWeights();
        m_tensorOf[m_graph.input.index] =
            addMap("input", inputLayer, Category::Image, DType::F32, m_graph.shape(m_graph.input));
        for (std::uint32_t i = 0; i < m_graph.nodes.size(); ++i)
            if (!m_fused[i]) std::visit([&](const auto& op) { lowerNode(i, op); }, m_graph.nodes[i].op);
        emit(inputLayer, weightsLayer, outputLayer);
        return std::move(m_program);
    }

private:
    static constexpr std::uint32_t noNode = 0xffffffffu;
    struct Call {
        KernelCall call;
        LayerId layer;
    };

    bool inPlace() const { return m_controls.lifetime == LifetimePolicy::Planned; }

    LayerId addLayer(std::string name) {
        m_program.layers.push_back(std::move(name));
        return LayerId{static_cast<std::uint32_t>(m_program.layers.size() - 1)};
    }
    TensorId addTensor(Tensor tensor) {
        m_program.tensors.push_back(std::move(tensor));
        return TensorId{static_cast<std::uint32_t>(m_program.tensors.size() - 1)};
    }
    TensorId addMap(std::string name, LayerId layer, Category category, DType dtype, Shape shape) {
        return addTensor({.name = std::move(name),
                          .layer = layer,
                          .category = category,
                          .dtype = dtype,
                          .shape = shape,
                          .dims = {shape.n, shape.h, shape.w, shape.c},
                          .bytes = shape.elements() * sizeOf(dtype)});
    }
    TensorId addWorkspace(std::string name, LayerId layer, std::vector<std::uint64_t> dims) {
        std::uint64_t bytes = 4;
        for (const std::uint64_t dim : dims) bytes *= dim;
        return addTensor({.name = std::move(name),
                          .layer = layer,
                          .category = Category::Workspace,
                          .dtype = DType::F32,
                          .dims = std::move(dims),
                          .bytes = bytes});
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
    }
    // The node that alone uses a value, if there is just one.
    std::uint32_t onlyConsumer(ValueId value) const {
        const auto& users = m_consumers[value.index];
        return users.size() == 1 && value != m_graph.output ? users.front() : noNode;
    }

    void addWeights() {
        for (std::uint32_t i = 0; i < m_graph.weights.size(); ++i) {
            const Weight& weight = m_graph.weights[i];
            // One-dimensional parameters are a few hundredths of a percent of the bytes and stay fp32.
            const DType dtype = weight.dims.size() == 1 ? DType::F32 : m_controls.weightType();
            std::uint64_t elements = 1;
            for (const std::uint64_t dim : weight.dims) elements *= dim;
            m_weights.push_back(addTensor({.name = weight.name,
                                           .category = Category::Weights,
                                           .dtype = dtype,
                                           .dims = weight.dims,
                                           .bytes = elements * sizeOf(dtype),
                                           .weight = WeightId{i}}));
        }
    }
    TensorId weightTensor(WeightId weight, LayerId layer) {
        const TensorId id = m_weights[weight.index];
        m_program.tensors[id.index].layer = layer;
        return id;
    }

    // A value dies in the op at `node` when no later node reads it. The output of the graph never does.
    bool diesAt(ValueId value, std::uint32_t node) const { return m_lastUse[value.index] == node; }
    TensorId tensorOf(ValueId value) const { return m_tensorOf[value.index]; }

    TensorId outputFor(ValueId value, LayerId layer) {
        const bool last = value == m_graph.output;
        const TensorId id = addMap(m_program.layers[layer.index], layer, last ? Category::Image : Category::Activation,
                                   last ? DType::F32 : m_controls.activations, m_graph.shape(value));
        m_tensorOf[value.index] = id;
        return id;
    }
    // The tensor of `in` when the op may write over it, else a new one.
    TensorId outputOver(ValueId in, ValueId value, std::uint32_t node, LayerId layer) {
        const Tensor& old = m_program.tensor(tensorOf(in));
        const bool fits = in != m_graph.input && value != m_graph.output && old.dtype == m_controls.activations &&
                          old.shape == m_graph.shape(value);
        if (!inPlace() || !fits || !diesAt(in, node)) return outputFor(value, layer);
        m_tensorOf[value.index] = tensorOf(in);
        return tensorOf(in);
    }
    void call(KernelCall kernel, LayerId layer) { m_calls.push_back({std::move(kernel), layer}); }

    void lowerNode(std::uint32_t node, const Conv2d& op) {
        const LayerId layer = m_graph.nodes[node].layer;
        ConvCall conv{.kernel = op.kernel, .stride = op.stride, .padBegin = op.padBegin};
        ValueId in = op.in;
        if (const std::uint32_t producer = m_producer[in.index]; producer != noNode)
            if (const auto* up = std::get_if<UpsampleNearest>(&m_graph.nodes[producer].op)) {
                in = up->in;
                conv.upsample = true;
            }
        conv.in = tensorOf(in);
        conv.weight = weightTensor(op.weight, layer);
        if (op.bias) conv.bias = weightTensor(*op.bias, layer);

        ValueId out = m_graph.nodes[node].out;
        std::uint32_t last = node;
        std::optional<ValueId> residual;
        if (const std::uint32_t user = onlyConsumer(out); user != noNode)
            if (const auto* add = std::get_if<Add>(&m_graph.nodes[user].op)) {
                // Of two convolutions that are added, the later one adds onto the earlier one's output.
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
            conv.out = outputFor(out, layer);
        }
        call(conv, layer);
    }
    void lowerNode(std::uint32_t node, const GroupNorm& op) {
        const LayerId layer = m_graph.nodes[node].layer;
        const std::string& path = m_program.layers[layer.index];
        const Shape& shape = m_graph.shape(op.in);
        const std::uint64_t slices = normSlices(shape.pixels());
        const TensorId partials = addWorkspace(path + ".partials", layer, {shape.n, slices, op.groups, 4});
        const TensorId coefficients = addWorkspace(path + ".coefficients", layer, {shape.n, shape.c, 2});
        call(GroupNormStatsCall{.in = tensorOf(op.in),
                                .gamma = weightTensor(op.gamma, layer),
                                .beta = weightTensor(op.beta, layer),
                                .partials = partials,
                                .coefficients = coefficients,
                                .groups = op.groups,
                                .slices = slices,
                                .eps = op.eps},
             layer);
        GroupNormApplyCall apply{.in = tensorOf(op.in), .coefficients = coefficients};
        ValueId out = m_graph.nodes[node].out;
        if (const std::uint32_t user = onlyConsumer(out); user != noNode) {
            if (std::holds_alternative<Silu>(m_graph.nodes[user].op)) apply.activation = Activation::Silu;
            if (std::holds_alternative<Relu>(m_graph.nodes[user].op)) apply.activation = Activation::Relu;
            if (apply.activation != Activation::None) {
                out = m_graph.nodes[user].out;
                m_fused[user] = true;
            }
        }
        apply.out = outputOver(op.in, out, node, layer);
        call(apply, layer);
    }
    void lowerNode(std::uint32_t node, const Attention& op) {
        const LayerId layer = m_graph.nodes[node].layer;
        const std::uint64_t pixels = m_graph.shape(op.q).pixels(), rows = attentionRows(pixels);
        const TensorId scores =
            addWorkspace(m_program.layers[layer.index] + ".scores", layer, {rows, roundUp<std::uint64_t>(pixels, 4)});
        // Rows of the output replace rows of the queries, which are used up block by block.
        const TensorId out = outputOver(op.q, m_graph.nodes[node].out, node, layer);
        call(AttentionCall{.q = tensorOf(op.q),
                           .k = tensorOf(op.k),
                           .v = tensorOf(op.v),
                           .scores = scores,
                           .out = out,
                           .chunkRows = rows,
                           .scale = op.scale},
             layer);
    }
    void lowerNode(std::uint32_t node, const TanhClamp& op) {
        const LayerId layer = m_graph.nodes[node].layer;
        call(TanhClampCall{.in = tensorOf(op.in), .out = outputFor(m_graph.nodes[node].out, layer)}, layer);
    }
    // These are always part of the op before or after them, see the handlers above.
    void lowerNode(std::uint32_t, const UpsampleNearest&) {}
    void lowerNode(std::uint32_t, const Silu&) {}
    void lowerNode(std::uint32_t, const Relu&) {}
    void lowerNode(std::uint32_t, const Add&) {}

    void step(Step s) { m_program.steps.push_back(std::move(s)); }
    TensorId acquireStaging(LayerId layer, std::uint64_t largestTransfer) {
        const std::uint64_t bytes = std::min(stagingBytes, roundUp<std::uint64_t>(largestTransfer, 256));
        const TensorId id = addTensor({.name = "staging",
                                       .layer = layer,
                                       .category = Category::Staging,
                                       .dtype = DType::F32,
                                       .dims = {bytes},
                                       .bytes = bytes});
        step(AcquireStep{id});
        return id;
    }

    void emit(LayerId inputLayer, LayerId weightsLayer, LayerId outputLayer) {
        step(PhaseStep{Phase::Load});
        std::uint64_t largest = 0;
        for (const TensorId id : m_weights) largest = std::max(largest, m_program.tensor(id).bytes);
        const TensorId loading = acquireStaging(weightsLayer, largest);
        for (const TensorId id : m_weights) {
            step(AcquireStep{id});
            step(UploadStep{.tensor = id, .staging = loading});
        }
        step(EvaluateStep{});
        step(ReleaseStep{loading});

        step(PhaseStep{m_controls.op == VaeOp::Decode ? Phase::Decode : Phase::Encode});
        const TensorId in = tensorOf(m_graph.input), out = tensorOf(m_graph.output);
        step(AcquireStep{in});
        const TensorId feeding = acquireStaging(inputLayer, m_program.tensor(in).bytes);
        step(UploadStep{.tensor = in, .staging = feeding});
        step(EvaluateStep{});
        step(ReleaseStep{feeding});
        emitCalls(in, out);
        step(EvaluateStep{});

        step(PhaseStep{Phase::Write});
        const TensorId fetching = acquireStaging(outputLayer, m_program.tensor(out).bytes);
        step(DownloadStep{.tensor = out, .staging = fetching});
        step(EvaluateStep{});
        step(ReleaseStep{fetching});
        step(ReleaseStep{out});
        for (const TensorId id : m_weights) step(ReleaseStep{id});
    }

    // Acquires before the first use, releases after the last.
    void emitCalls(TensorId in, TensorId out) {
        const std::size_t count = m_program.tensors.size();
        std::vector<std::uint32_t> first(count, noNode), last(count, 0);
        for (std::uint32_t i = 0; i < m_calls.size(); ++i) {
            const auto use = [&](TensorId id) {
                first[id.index] = std::min(first[id.index], i);
                last[id.index] = i;
            };
            for (const TensorId id : reads(m_calls[i].call)) use(id);
            for (const TensorId id : writes(m_calls[i].call)) use(id);
        }
        std::vector<std::vector<TensorId>> begins(m_calls.size()), ends(m_calls.size());
        for (std::uint32_t t = 0; t < count; ++t) {
            const TensorId id{t};
            if (first[t] == noNode || m_program.tensor(id).category == Category::Weights) continue;
            if (id != in) begins[first[t]].push_back(id);
            if (id != out) ends[last[t]].push_back(id);
        }
        for (std::size_t i = 0; i < m_calls.size(); ++i) {
            for (const TensorId id : begins[i]) step(AcquireStep{id});
            step(DispatchStep{.call = m_calls[i].call, .layer = m_calls[i].layer});
            for (const TensorId id : ends[i]) step(ReleaseStep{id});
        }
    }

    const Graph& m_graph;
    const Controls& m_controls;
    Program m_program;
    std::vector<bool> m_fused;                           // by node: part of an earlier call
    std::vector<std::vector<std::uint32_t>> m_consumers; // by value: nodes
    std::vector<std::uint32_t> m_producer, m_lastUse;    // by value: node
    std::vector<TensorId> m_tensorOf;                    // by value
    std::vector<TensorId> m_weights;                     // by WeightId
    std::vector<Call> m_calls;
};

} // namespace

Program lower(const Graph& graph, const Controls& controls) { return Lowering(graph, controls).run(); }

} // namespace spikescope
