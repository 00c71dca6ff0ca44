#version 460
// Softmax of each row of fp32 scores in place; the columns from `keys` to `stride` become zero. Groups of 64 threads: rows.
#include "common.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t scoresAddress;
    uint rows, keys, stride;
};

shared float parts[64];

void main() {
    uint64_t row = linearGroup();
    if (row >= rows) return;
    uint thread = gl_LocalInvocationIndex;
    uint64_t base = scoresAddress + row * stride * 4ul;
    float most = uintBitsToFloat(0xff800000u);
    for (uint i = thread; i < keys; i += 64) most = max(most, load1F32(base, i));
    parts[thread] = most;
    barrier();
    for (uint i = 0; i < 64; ++i) most = max(most, parts[i]);
    barrier();
    float sum = 0.0;
    for (uint i = thread; i < stride; i += 64) {
        float e = i < keys ? exp(load1F32(base, i) - most) : 0.0;
        store1F32(base, i, e);
        sum += e;
    }
    parts[thread] = sum;
    barrier();
    sum = 0.0;
    for (uint i = 0; i < 64; ++i) sum += parts[i];
    float inverse = 1.0 / sum;
    for (uint i = thread; i < keys; i += 64) store1F32(base, i, load1F32(base, i) * inverse);
}
