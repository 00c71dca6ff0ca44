#pragma once
// Exact tiling: tensors are computed in stripes of rows, and all stripes of a tensor exist before a norm uses the
// statistics of it. Materialized tensors share buffers (stripe_plan.h); everything else is recomputed per stripe.
//
//   graph ─► stages: materialized tensors, and those whose statistics a norm needs ─► stripes of their rows
//         ─► for each stripe the subgraph that computes it from materialized tensors ─► lowerInto()

#include "core/program/lowered_calls.h"

namespace spikescope {

// For one image; `controls.tile` are stripes. `merged`: see lower().
LoweredCalls lowerInStripes(const Graph& graph, const Controls& controls, std::span<const Weight> unused, bool merged);
// The number of these calls; every stripe of a stage has as many as its first one.
struct StripeCount {
    std::uint64_t stripes = 0; // of the stage with most
    std::uint64_t calls = 0;
};
StripeCount countInStripes(const Graph& graph, const Controls& controls);

} // namespace spikescope
