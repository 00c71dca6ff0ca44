#version 460
// The rest of a softmax after gemm_coopmat.comp with SCORES, which leaves 2^(score - top) with a whole number `top` for each
// row and tile of 64 keys. Of stats [row][tile] (top, sum of the tile) the first becomes 2^(top - maximum of the row), and
// scales [row] become 1 / sum of the row. Groups of 64 threads: rows.
#include "common.glsl"

layout(local_size_x = 64) in;
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Stats { vec2 v; };
#define PUSH_ATTENTION_WEIGHTS
#include "push_constants.h"

shared float partials[64];

void main() {
    uint row = uint(linearGroup()), thread = gl_LocalInvocationIndex;
    if (row >= rows) return;
    uint64_t stats = statsAddress + uint64_t(row) * tiles * 8ul;
    float maximum = uintBitsToFloat(0xff800000u);
    for (uint t = thread; t < tiles; t += 64) maximum = max(maximum, Stats(ADDRESS(stats, t, 8)).v.x);
    partials[thread] = maximum;
    barrier();
    for (uint half_ = 32; half_ > 0; half_ /= 2) {
        if (thread < half_) partials[thread] = max(partials[thread], partials[thread + half_]);
        barrier();
    }
    maximum = partials[0];
    barrier();
    float sum = 0.0;
    for (uint t = thread; t < tiles; t += 64) {
        vec2 tile = Stats(ADDRESS(stats, t, 8)).v;
        float weight = exp2(tile.x - maximum);
        sum += tile.y * weight;
        Stats(ADDRESS(stats, t, 8)).v.x = weight;
    }
    partials[thread] = sum;
    barrier();
    for (uint half_ = 32; half_ > 0; half_ /= 2) {
        if (thread < half_) partials[thread] += partials[thread + half_];
        barrier();
    }
    if (thread == 0) store1F32(scalesAddress, row, 1.0 / partials[0]);
}
