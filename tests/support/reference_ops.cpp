#include "tests/support/reference_ops.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace spikescope::reference {

double activate(Activation activation, double x) {
    if (activation == Activation::Silu) return x / (1.0 + std::exp(-x));
    if (activation == Activation::Relu) return std::max(x, 0.0);
    return x;
}

Map conv(const ConvCall& call, const Map& in, const std::vector<double>& weights, const std::vector<double>& bias,
         const Map* residual, Shape shape) {
    Map out{shape, std::vector<double>(shape.elements())};
    const auto factor = static_cast<std::int64_t>(call.upsample ? 2 : 1);
    const auto height = static_cast<std::int64_t>(in.shape.h) * factor,
               width = static_cast<std::int64_t>(in.shape.w) * factor;
    const std::uint64_t taps = call.kernel * call.kernel;
    for (std::uint64_t n = 0; n < shape.n; ++n)
        for (std::uint64_t y = 0; y < shape.h; ++y)
            for (std::uint64_t x = 0; x < shape.w; ++x)
                for (std::uint64_t o = 0; o < shape.c; ++o) {
                    double sum = bias.empty() ? 0.0 : bias[o];
                    for (std::uint64_t tap = 0; tap < taps; ++tap) {
                        const auto iy = static_cast<std::int64_t>(y * call.stride + tap / call.kernel) - call.padTop;
                        const auto ix = static_cast<std::int64_t>(x * call.stride + tap % call.kernel) - call.padLeft;
                        if (iy < 0 || ix < 0 || iy >= height || ix >= width) continue;
                        for (std::uint64_t c = 0; c < in.shape.c; ++c)
                            sum += in.at(n, static_cast<std::uint64_t>(iy / factor),
                                         static_cast<std::uint64_t>(ix / factor), c) *
                                   weights[(o * in.shape.c + c) * taps + tap];
                    }
                    if (residual) sum += residual->at(n, y, x, o);
                    out.at(n, y, x, o) = activate(call.activation, sum);
                }
    return out;
}

Map groupNorm(const Map& in, const std::vector<double>& gamma, const std::vector<double>& beta, std::uint32_t groups,
              double eps, Activation activation) {
    Map out = in;
    const std::uint64_t width = in.shape.c / groups, pixels = in.shape.pixels();
    for (std::uint64_t n = 0; n < in.shape.n; ++n)
        for (std::uint64_t g = 0; g < groups; ++g) {
            const auto each = [&](auto use) {
                for (std::uint64_t p = 0; p < pixels; ++p)
                    for (std::uint64_t c = g * width; c < (g + 1) * width; ++c)
                        use((n * pixels + p) * in.shape.c + c, c);
            };
            double mean = 0, variance = 0;
            each([&](std::uint64_t i, std::uint64_t) { mean += in.values[i]; });
            mean /= static_cast<double>(pixels * width);
            each([&](std::uint64_t i, std::uint64_t) { variance += (in.values[i] - mean) * (in.values[i] - mean); });
            variance /= static_cast<double>(pixels * width);
            each([&](std::uint64_t i, std::uint64_t c) {
                out.values[i] =
                    activate(activation, (in.values[i] - mean) / std::sqrt(variance + eps) * gamma[c] + beta[c]);
            });
        }
    return out;
}

Map attention(const Map& q, const Map& k, const Map& v, double scale) {
    Map out{q.shape, std::vector<double>(q.values.size(), 0.0)};
    const std::uint64_t pixels = q.shape.pixels(), channels = q.shape.c;
    std::vector<double> scores(pixels);
    for (std::uint64_t n = 0; n < q.shape.n; ++n)
        for (std::uint64_t i = 0; i < pixels; ++i) {
            const double* row = &q.values[(n * pixels + i) * channels];
            double most = -std::numeric_limits<double>::infinity(), sum = 0;
            for (std::uint64_t j = 0; j < pixels; ++j) {
                scores[j] = 0;
                for (std::uint64_t c = 0; c < channels; ++c)
                    scores[j] += row[c] * k.values[(n * pixels + j) * channels + c];
                scores[j] *= scale;
                most = std::max(most, scores[j]);
            }
            for (double& s : scores) sum += s = std::exp(s - most);
            for (std::uint64_t j = 0; j < pixels; ++j)
                for (std::uint64_t c = 0; c < channels; ++c)
                    out.values[(n * pixels + i) * channels + c] +=
                        scores[j] / sum * v.values[(n * pixels + j) * channels + c];
        }
    return out;
}

double relativeError(const std::vector<double>& a, const std::vector<double>& b) {
    double difference = 0, norm = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        if (!std::isfinite(a[i])) return std::numeric_limits<double>::infinity();
        difference += (a[i] - b[i]) * (a[i] - b[i]);
        norm += b[i] * b[i];
    }
    return std::sqrt(difference / norm);
}

} // namespace spikescope::reference
