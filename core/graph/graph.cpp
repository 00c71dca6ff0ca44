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

ValueId GraphBuilder::append(Op op, LayerId layer, Shape out) {
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

ValueId GraphBuilder::unary(Op op, ValueId in) {
    // An activation belongs to the layer that made its input.
    return append(std::move(op), m_graph.nodes.empty() ? layer("input") : m_graph.nodes.back().layer, shape(in));
}

ValueId GraphBuilder::conv(const std::string& path, ValueId in, std::vector<std::uint64_t> weightDims, Conv2d op,
                           std::uint32_t padEnd, bool bias) {
    const Shape from = shape(in);
    const std::uint64_t padded = static_cast<std::uint32_t>(op.padTop) + padEnd; // and columns
    if (from.h + padded < op.kernel || from.w + padded < op.kernel) {
        mistake(fmt::format("layer {}: a {}x{} map is smaller than the {}x{} kernel", quote(path), from.h, from.w,
                            op.kernel, op.kernel));
        return in;
    }
    const Shape out{.n = from.n,
                    .h = (from.h + padded - op.kernel) / op.stride + 1,
                    .w = (from.w + padded - op.kernel) / op.stride + 1,
                    .c = weightDims[0]};
    op.in = in;
    op.weight = weight(path + ".weight", std::move(weightDims));
    if (bias) op.bias = weight(path + ".bias", {out.c});
    return append(op, layer(path), out);
}

ValueId GraphBuilder::conv(const std::string& path, ValueId in, std::uint64_t outChannels, std::uint32_t kernel,
                           bool bias) {
    const auto pad = static_cast<std::int32_t>(kernel / 2);
    return conv(path, in, {outChannels, shape(in).c, kernel, kernel},
                Conv2d{.kernel = kernel, .stride = 1, .padTop = pad, .padLeft = pad}, kernel / 2, bias);
}

ValueId GraphBuilder::convDown(const std::string& path, ValueId in, std::uint64_t outChannels, std::uint32_t padBegin,
                               bool bias) {
    return conv(path, in, {outChannels, shape(in).c, 3, 3},
                Conv2d{.kernel = 3,
                       .stride = 2,
                       .padTop = static_cast<std::int32_t>(padBegin),
                       .padLeft = static_cast<std::int32_t>(padBegin)},
                1, bias);
}

ValueId GraphBuilder::linear(const std::string& path, ValueId in, std::uint64_t outChannels) {
    return conv(path, in, {outChannels, shape(in).c}, Conv2d{.kernel = 1, .stride = 1, .padTop = 0, .padLeft = 0}, 0,
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
    return append(op, layer(path), shape(in));
}

ValueId GraphBuilder::tanhClamp(const std::string& path, ValueId in) {
    return append(TanhClamp{in}, layer(path), shape(in));
}

ValueId GraphBuilder::add(const std::string& path, ValueId a, ValueId b) {
    if (shape(a) != shape(b)) mistake(fmt::format("layer {}: the two maps to add differ in shape", quote(path)));
    return append(Add{a, b}, layer(path), shape(a));
}

ValueId GraphBuilder::upsample(const std::string& path, ValueId in) {
    Shape out = shape(in);
    out.h *= 2;
    out.w *= 2;
    return append(UpsampleNearest{in}, layer(path), out);
}

ValueId GraphBuilder::attention(const std::string& path, ValueId q, ValueId k, ValueId v, float scale) {
    if (shape(q) != shape(k) || shape(q) != shape(v))
        mistake(fmt::format("layer {}: queries, keys and values differ in shape", quote(path)));
    return append(Attention{.q = q, .k = k, .v = v, .scale = scale}, layer(path), shape(q));
}

Result<Graph> GraphBuilder::finish(ValueId output) {
    if (m_error) return tl::unexpected<Error>(*m_error);
    m_graph.output = output;
    return std::move(m_graph);
}

} // namespace spikescope
