#version 460
// Softmax of each row of a score block in place, for Mesa's CPU device: s[r] = exp(s[r] - max) / sum. fp32, [rows][n], n % 4 == 0.
//
//   bindings  0 the score block          push  push_constants.h; its address 16 aligned
//   groups    rows, cut into x and y as the device wants (x fastest; too many do no harm)         (local size 8: a row)
//
// 3.1 ms for 512 x 4096, 12.3 ms for 512 x 16384 on two Zen 3 cores. n * rows / 4 < 2^27.
//
// Three passes over the row, the second and third with exp: recomputing is cheaper than a second store of every element.
// Scores more than 87 below the row's maximum become zero.
#include "cpu_common.glsl"
#extension GL_KHR_shader_subgroup_arithmetic : require
layout(local_size_x = 8) in;
layout(set = 0, binding = 0) uniform textureBuffer scores;
#define PUSH_SOFTMAX_CPU
#define PUSH_NAME p
#include "push_constants.h"
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Scores { u64vec2 v; };

vec4 weightOf(vec4 s, float maximum) {
    vec4 d = s - maximum;
    return mix(fastExp(max(d, vec4(-87.0))), vec4(0.0), lessThan(d, vec4(-87.0)));
}

void main() {
    const uint row = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x;
    if (row >= p.rows) return;
    const int lane = int(gl_LocalInvocationID.x), n4 = int(p.n) >> 2, begin = int(row) * n4, end = begin + n4;
    vec4 m = vec4(uintBitsToFloat(0xff800000u));
    int i = begin + lane;
    [[dont_unroll]] for (; i + 24 < end; i += 32)
        m = max(m, max(max(texelFetch(scores, i), texelFetch(scores, i + 8)), max(texelFetch(scores, i + 16), texelFetch(scores, i + 24))));
    [[dont_unroll]] for (; i < end; i += 8) m = max(m, texelFetch(scores, i));
    const float maximum = subgroupMax(max(max(m.x, m.y), max(m.z, m.w)));

    vec4 s = vec4(0.0), t = vec4(0.0);
    i = begin + lane;
    [[dont_unroll]] for (; i + 8 < end; i += 16) {
        s += weightOf(texelFetch(scores, i), maximum);
        t += weightOf(texelFetch(scores, i + 8), maximum);
    }
    if (i < end) s += weightOf(texelFetch(scores, i), maximum);
    s += t;
    const float inverse = 1.0 / subgroupAdd((s.x + s.y) + (s.z + s.w));

    [[dont_unroll]] for (i = begin + lane; i < end; i += 8) {
        uvec4 b = floatBitsToUint(weightOf(texelFetch(scores, i), maximum) * inverse);
        Scores(ADDRESS(p.address, i, 16)).v = u64vec2(packUint2x32(b.xy), packUint2x32(b.zw));
    }
}
