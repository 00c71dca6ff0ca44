#include "core/graph/graph.h"

#include "core/base/checked.h"
#include "core/base/text.h"

namespace spikescope {

namespace {

// Element counts stay far from overflow in every later product with a dtype's size or a kernel's area.
constexpr std::uint64_t maxElements = std::uint64_t{1} << 48;

bool tooLarge(const Shape& s) {
    auto count = checkedMultiply(s.n, s.c);
    if (count) count = checkedMultiply(*count, s.h);
    if (count) count = checkedMultiply(*count, s.w);
    return !count || *count > maxElements;
}

} // namespace

void GraphBuilder::mistake(std::string sentence) {
    if (!m_error) m_error = Error{ErrorCode::BadInput, std::move(sentence)};
}

LayerId GraphBuilder::layer(const std::string& path) {
    if (m_graph.layers.empty() || m_graph.layers.back() != path) m_graph.layers.push_back(path);
    return LayerId{static_cast<std::uint32_t>(m_graph.layers.size() - 1)};
}

WeightId GraphBuilder::weight(std::string name, std::vector<std::uint64_t> dims) {
    m_graph.weights.push_back({.name = std::move(name), .dims = std::move(dims)});
    return WeightId{static_cast<std::uint32_t>(m_graph.weights.size() - 1)};
}

std::vector<ValueId> inputs(const Op& op) {
    std::vector<ValueId> values;
    forEachInput(op, [&](ValueId value) { values.push_back(value); });
    return values;
}

Shape outputShape(const Op& op, const Graph& graph) {
    const auto of = [&](const Conv2d& conv) {
        const Shape& in = graph.shape(conv.in);
        const auto size = [&](std::uint64_t from, std::int32_t padBegin) {
            return (from + static_cast<std::uint32_t>(padBegin) + conv.kernel / 2 - conv.kernel) / conv.stride + 1;
        };
        return Shape{.n = in.n,
                     .h = size(in.h, conv.padTop),
                     .w = size(in.w, conv.padLeft),
                     .c = graph.weights[conv.weight.index].dims[0]};
    };
    const auto upsampled = [&](Shape shape) {
        shape.h *= 2;
        shape.w *= 2;
        return shape;
    };
    return std::visit(
        [&](const auto& o) {
            using T = std::decay_t<decltype(o)>;
            if constexpr (std::is_same_v<T, Conv2d>)
                return of(o);
            else if constexpr (std::is_same_v<T, UpsampleNearest>)
                return upsampled(graph.shape(o.in));
            else
                return graph.shape(inputs(o).front()); // of a view of rows its end is not known here
        },
        op);
}

Graph resized(const Graph& graph, const Shape& input) {
    Graph tile = graph;
    tile.values[tile.input.index] = input;
    for (const Node& node : tile.nodes) tile.values[node.out.index] = outputShape(node.op, tile);
    return tile;
}

ValueId GraphBuilder::append(Op op, LayerId layer) {
    const Shape out = outputShape(op, m_graph);
    if (out.elements() == 0 || tooLarge(out))
        mistake(fmt::format(
            "layer {} would make a tensor of {}x{}x{}x{} elements; at most 2^48 and at least 1 are possible",
            quote(m_graph.layers[layer.index]), out.n, out.h, out.w, out.c));
    m_graph.values.push_back(out);
    const ValueId id{static_cast<std::uint32_t>(m_graph.values.size() - 1)};
    m_graph.nodes.push_back({.op = std::move(op), .layer = layer, .out = id});
    return id;
}

ValueId GraphBuilder::input(Shape shape) {
    if (tooLarge(shape) || shape.elements() == 0)
        mistake(fmt::format("an input of {}x{}x{}x{} elements is not possible", shape.n, shape.h, shape.w, shape.c));
    m_graph.values.push_back(shape);
    m_graph.input = ValueId{static_cast<std::uint32_t>(m_graph.values.size() - 1)};
    return m_graph.input;
}

ValueId GraphBuilder::unary(Op op) {
    // An activation belongs to the layer that made its input.
    return append(std::move(op), m_graph.nodes.empty() ? layer("input") : m_graph.nodes.back().layer);
}

ValueId GraphBuilder::conv(const std::string& path, ValueId in, std::vector<std::uint64_t> weightDims, Conv2d op,
                           bool bias) {
    const Shape from = shape(in);
    const std::uint64_t padded = static_cast<std::uint32_t>(op.padTop) + op.kernel / 2; // and columns
    if (from.h + padded < op.kernel || from.w + padded < op.kernel) {
        mistake(fmt::format("layer {}: a {}x{} map is smaller than the {}x{} kernel", quote(path), from.h, from.w,
                            op.kernel, op.kernel));
        return in;
    }
    op.in = in;
    const std::uint64_t outChannels = weightDims[0];
    op.weight = weight(path + ".weight", std::move(weightDims));
    if (bias) op.bias = weight(path + ".bias", {outChannels});
    return append(op, layer(path));
}

ValueId GraphBuilder::conv(const std::string& path, ValueId in, std::uint64_t outChannels, std::uint32_t kernel,
                           bool bias) {
    const auto pad = static_cast<std::int32_t>(kernel / 2);
    return conv(path, in, {outChannels, shape(in).c, kernel, kernel},
                Conv2d{.kernel = kernel, .stride = 1, .padTop = pad, .padLeft = pad}, bias);
}

ValueId GraphBuilder::convDown(const std::string& path, ValueId in, std::uint64_t outChannels, std::uint32_t padBegin,
                               bool bias) {
    return conv(path, in, {outChannels, shape(in).c, 3, 3},
                Conv2d{.kernel = 3,
                       .stride = 2,
                       .padTop = static_cast<std::int32_t>(padBegin),
                       .padLeft = static_cast<std::int32_t>(padBegin)},
                bias);
}

ValueId GraphBuilder::linear(const std::string& path, ValueId in, std::uint64_t outChannels) {
    return conv(path, in, {outChannels, shape(in).c}, Conv2d{.kernel = 1, .stride = 1, .padTop = 0, .padLeft = 0},
                true);
}

ValueId GraphBuilder::groupNorm(const std::string& path, ValueId in, std::uint32_t groups, float eps) {
    const std::uint64_t c = shape(in).c;
    if (groups == 0 || c % groups != 0)
        mistake(fmt::format("layer {}: {} channels do not divide into {} groups", quote(path), c, groups));
    GroupNorm op{.in = in,
                 .gamma = weight(path + ".weight", {c}),
                 .beta = weight(path + ".bias", {c}),
                 .groups = groups,
                 .eps = eps};
    return append(op, layer(path));
}

ValueId GraphBuilder::tanhClamp(const std::string& path, ValueId in) { return append(TanhClamp{in}, layer(path)); }

ValueId GraphBuilder::add(const std::string& path, ValueId a, ValueId b) {
    if (shape(a) != shape(b)) mistake(fmt::format("layer {}: the two maps to add differ in shape", quote(path)));
    return append(Add{a, b}, layer(path));
}

ValueId GraphBuilder::upsample(const std::string& path, ValueId in) { return append(UpsampleNearest{in}, layer(path)); }

ValueId GraphBuilder::attention(const std::string& path, ValueId q, ValueId k, ValueId v, float scale) {
    if (shape(q) != shape(k) || shape(q) != shape(v))
        mistake(fmt::format("layer {}: queries, keys and values differ in shape", quote(path)));
    return append(Attention{.q = q, .k = k, .v = v, .scale = scale}, layer(path));
}

Result<Graph> GraphBuilder::finish(ValueId output) {
    if (m_error) return tl::unexpected<Error>(*m_error);
    m_graph.output = output;
    return std::move(m_graph);
}

} // namespace spikescope
