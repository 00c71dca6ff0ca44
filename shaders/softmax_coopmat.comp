#version 460
// Softmax of each row of fp32 scores; the weights take the first half of the row, in bf16. `keys` is a multiple of 32.
// Groups of 256 threads: rows.
#include "common.glsl"

layout(local_size_x = 256) in;
layout(push_constant, std430) uniform Push {
    uint64_t scoresAddress;
    uint rows, keys;
};

shared float parts[256];

void main() {
    uint64_t row = linearGroup();
    if (row >= rows) return;
    uint thread = gl_LocalInvocationIndex, blocks = keys / 4;
    uint64_t base = scoresAddress + row * keys * 4ul;
    // Largest score and sum in one pass: what was summed shrinks when a larger one comes.
    float most = uintBitsToFloat(0xff800000u), sum = 0.0;
    for (uint i = thread; i < blocks; i += 256) {
        vec4 x = load4F32(base, i);
        float larger = max(most, max(max(x.x, x.y), max(x.z, x.w)));
        vec4 e = exp(x - larger);
        sum = sum * exp(most - larger) + e.x + e.y + e.z + e.w;
        most = larger;
    }
    parts[thread] = most;
    barrier();
    for (uint half_ = 128; half_ > 0; half_ /= 2) {
        if (thread < half_) parts[thread] = max(parts[thread], parts[thread + half_]);
        barrier();
    }
    float all = parts[0];
    barrier();
    parts[thread] = thread < blocks ? sum * exp(most - all) : 0.0;
    barrier();
    for (uint half_ = 128; half_ > 0; half_ /= 2) {
        if (thread < half_) parts[thread] += parts[thread + half_];
        barrier();
    }
    float inverse = 1.0 / parts[0];
    // A write of bf16 lands on scores that this or an earlier round has read.
    for (uint first = 0; first < blocks; first += 256) {
        uint i = first + thread;
        vec4 e = vec4(0);
        if (i < blocks) e = exp(load4F32(base, i) - all) * inverse;
        barrier();
        if (i < blocks) store4BF16(base, i, e);
        barrier();
    }
}
