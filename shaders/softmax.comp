#version 460
// Softmax of each row of fp32 scores in place; the columns from `keys` to `stride`, a multiple of four, become zero. Groups
// of 256 threads: rows.
#include "common.glsl"

layout(local_size_x = 256) in;
#define PUSH_SOFTMAX
#include "push_constants.h"

shared float partials[256];

float maximumOfAll(float mine) {
    uint thread = gl_LocalInvocationIndex;
    partials[thread] = mine;
    barrier();
    for (uint half_ = 128; half_ > 0; half_ /= 2) {
        if (thread < half_) partials[thread] = max(partials[thread], partials[thread + half_]);
        barrier();
    }
    float result = partials[0];
    barrier();
    return result;
}

float sumOfAll(float mine) {
    uint thread = gl_LocalInvocationIndex;
    partials[thread] = mine;
    barrier();
    for (uint half_ = 128; half_ > 0; half_ /= 2) {
        if (thread < half_) partials[thread] += partials[thread + half_];
        barrier();
    }
    return partials[0];
}

// Which of four columns are keys.
bvec4 isKey(uint i) { return lessThan(uvec4(4 * i) + uvec4(0, 1, 2, 3), uvec4(keys)); }

void main() {
    uint64_t row = linearGroup();
    if (row >= rows) return;
    uint thread = gl_LocalInvocationIndex, blocks = stride / 4;
    uint64_t base = scoresAddress + row * stride * 4ul;
    const float nothing = uintBitsToFloat(0xff800000u);
    float maximum = nothing;
    for (uint i = thread; i < blocks; i += 256) {
        vec4 x = mix(vec4(nothing), load4F32(base, i), isKey(i));
        maximum = max(maximum, max(max(x.x, x.y), max(x.z, x.w)));
    }
    maximum = maximumOfAll(maximum);
    float sum = 0.0;
    for (uint i = thread; i < blocks; i += 256) {
        vec4 e = mix(vec4(0), exp(load4F32(base, i) - maximum), isKey(i));
        store4F32(base, i, e);
        sum += e.x + e.y + e.z + e.w;
    }
    float inverse = 1.0 / sumOfAll(sum);
    for (uint i = thread; i < blocks; i += 256) store4F32(base, i, load4F32(base, i) * inverse);
}
