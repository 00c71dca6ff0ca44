#version 460
// What is left of a softmax once products of queries and keys stand as 2^(score - top) with a whole number `top` for each
// row and tile of 64 keys: stats [row][tile] (top, sum of the tile) become (2^(top - the row's largest), as it was), and
// scales [row] become 1 / the row's sum. Groups of 64 threads: rows.
#include "common.glsl"

layout(local_size_x = 64) in;
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Stats { vec2 v; };
#define PUSH_ATTENTION_WEIGHTS
#include "push_constants.h"

shared float parts[64];

void main() {
    uint row = uint(linearGroup()), thread = gl_LocalInvocationIndex;
    if (row >= rows) return;
    uint64_t stats = statsAddress + uint64_t(row) * tiles * 8ul;
    float most = uintBitsToFloat(0xff800000u);
    for (uint t = thread; t < tiles; t += 64) most = max(most, Stats(ADDRESS(stats, t, 8)).v.x);
    parts[thread] = most;
    barrier();
    for (uint half_ = 32; half_ > 0; half_ /= 2) {
        if (thread < half_) parts[thread] = max(parts[thread], parts[thread + half_]);
        barrier();
    }
    most = parts[0];
    barrier();
    float sum = 0.0;
    for (uint t = thread; t < tiles; t += 64) {
        vec2 tile = Stats(ADDRESS(stats, t, 8)).v;
        float weight = exp2(tile.x - most);
        sum += tile.y * weight;
        Stats(ADDRESS(stats, t, 8)).v.x = weight;
    }
    parts[thread] = sum;
    barrier();
    for (uint half_ = 32; half_ > 0; half_ /= 2) {
        if (thread < half_) parts[thread] += parts[thread + half_];
        barrier();
    }
    if (thread == 0) store1F32(scalesAddress, row, 1.0 / parts[0]);
}
