#pragma once
// The slow, obvious versions of every kernel call, in double precision over NHWC maps.

#include "core/program/program.h"

#include <vector>

namespace spikescope::reference {

struct Map {
    Shape shape;
    std::vector<double> values;
    double& at(std::uint64_t n, std::uint64_t y, std::uint64_t x, std::uint64_t c) {
        return values[((n * shape.h + y) * shape.w + x) * shape.c + c];
    }
    double at(std::uint64_t n, std::uint64_t y, std::uint64_t x, std::uint64_t c) const {
        return values[((n * shape.h + y) * shape.w + x) * shape.c + c];
    }
};

// Weights [out][in][kernel][kernel]; bias and residual may be empty.
Map conv(const ConvCall& call, const Map& in, const std::vector<double>& weights, const std::vector<double>& bias,
         const Map* residual, Shape out);
Map groupNorm(const Map& in, const std::vector<double>& gamma, const std::vector<double>& beta, std::uint32_t groups,
              double eps, Activation activation);
Map attention(const Map& q, const Map& k, const Map& v, double scale);
double activate(Activation activation, double x);

// ‖a − b‖ / ‖b‖; infinity when a value is not finite.
double relativeError(const std::vector<double>& a, const std::vector<double>& b);

} // namespace spikescope::reference
