#pragma once
// What is computed, without memory and without a device: ops over values with inferred shapes. The order of the nodes
// is the order of execution.

#include "core/base/dtype.h"
#include "core/base/error.h"
#include "core/base/id.h"
#include "core/graph/shape.h"

#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace spikescope {

using ValueId = Id<struct ValueTag>;
using WeightId = Id<struct WeightTag>;
using LayerId = Id<struct LayerTag>;

// A parameter by its diffusers name and its shape in the checkpoint (convolutions: out, in, kh, kw).
struct Weight {
    std::string name;
    std::vector<std::uint64_t> dims;
    std::optional<DType> stored = std::nullopt; // in the checkpoint, when one is known
};

struct Conv2d {
    ValueId in;
    WeightId weight;
    std::optional<WeightId> bias;
    std::uint32_t kernel = 3;             // 1 or 3, square
    std::uint32_t stride = 1;             // 1 or 2
    std::int32_t padTop = 1, padLeft = 1; // as of ConvCall; below and right it is padded by half a kernel
};
// y = (x - mean) / sqrt(variance + eps) * gamma + beta, mean and variance over a group of channels of one image.
struct GroupNorm {
    ValueId in;
    WeightId gamma, beta;
    std::uint32_t groups = 32;
    float eps = 1e-6f;
};
struct Silu {
    ValueId in;
}; // x * sigmoid(x)
struct Relu {
    ValueId in;
};
struct TanhClamp {
    ValueId in;
}; // 3 tanh(x / 3)
struct Add {
    ValueId a, b;
};
struct UpsampleNearest {
    ValueId in;
};            // twice the height and width
struct Rows { // a view of some rows of an image
    ValueId in;
    std::uint64_t first = 0;
};
struct Attention { // softmax(q kᵀ scale) v, one head over all positions of an image
    ValueId q, k, v;
    float scale = 1.0f;
};

using Op = std::variant<Conv2d, GroupNorm, Silu, Relu, TanhClamp, Add, UpsampleNearest, Rows, Attention>;

// Calls visit(value) for each value that an op reads; of an op that may be changed the values, too.
template <class AnyOp, class Visit> void forEachInput(AnyOp& op, const Visit& visit) {
    std::visit(
        [&](auto& o) {
            if constexpr (requires { o.a; }) {
                visit(o.a);
                visit(o.b);
            } else if constexpr (requires { o.q; }) {
                visit(o.q);
                visit(o.k);
                visit(o.v);
            } else {
                visit(o.in);
            }
        },
        op);
}
std::vector<ValueId> inputs(const Op& op);

struct Graph;
// What the op makes of values that the graph has. Convolutions make at least one pixel, see GraphBuilder.
Shape outputShape(const Op& op, const Graph& graph);

struct Node {
    Op op;
    LayerId layer;
    ValueId out;
};

struct Graph {
    std::vector<Shape> values;       // by ValueId
    std::vector<Weight> weights;     // by WeightId, in order of first use
    std::vector<std::string> layers; // by LayerId: module paths of the checkpoint
    std::vector<Node> nodes;
    ValueId input, output;

    const Shape& shape(ValueId value) const { return values[value.index]; }
};

// The same ops over an input of another size, no larger than the graph's own: a tile of it.
Graph resized(const Graph& graph, const Shape& input);

// Appends ops and infers their shapes. The first mistake (channels that do not fit, sizes past 2^48 elements) is kept
// and comes out of finish(); after it every call is harmless.
class GraphBuilder {
public:
    ValueId input(Shape shape);
    // `path` is the module; parameters are path + ".weight" and path + ".bias".
    ValueId conv(const std::string& path, ValueId in, std::uint64_t outChannels, std::uint32_t kernel,
                 bool bias = true);
    ValueId convDown(const std::string& path, ValueId in, std::uint64_t outChannels, std::uint32_t padBegin,
                     bool bias = true);
    // A linear layer over the channels of each pixel: weights [out, in].
    ValueId linear(const std::string& path, ValueId in, std::uint64_t outChannels);
    ValueId groupNorm(const std::string& path, ValueId in, std::uint32_t groups, float eps);
    ValueId silu(ValueId in) { return unary(Silu{in}); }
    ValueId relu(ValueId in) { return unary(Relu{in}); }
    ValueId tanhClamp(const std::string& path, ValueId in);
    ValueId add(const std::string& path, ValueId a, ValueId b);
    ValueId upsample(const std::string& path, ValueId in);
    ValueId attention(const std::string& path, ValueId q, ValueId k, ValueId v, float scale);

    const Shape& shape(ValueId value) const { return m_graph.shape(value); }
    Result<Graph> finish(ValueId output);

private:
    ValueId conv(const std::string& path, ValueId in, std::vector<std::uint64_t> weightDims, Conv2d op, bool bias);
    ValueId unary(Op op);
    ValueId append(Op op, LayerId layer);
    LayerId layer(const std::string& path);
    WeightId weight(std::string name, std::vector<std::uint64_t> dims);
    void mistake(std::string sentence);

    Graph m_graph;
    std::optional<Error> m_error;
};

} // namespace spikescope
