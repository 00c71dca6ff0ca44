#version 460
// Moments of slices of a feature map for GroupNorm, for Mesa's CPU device: for each picture, slice and group one
// vec4(count, mean, sum of squared deviations, 0), fp32, at [n][slices][groups].
//
// x [n][pixels][c], c % 4 == 0, c % groups == 0, any number of channels a group. Slice s holds the pixels
// [s * perSlice, min((s + 1) * perSlice, pixels)), perSlice = ceil(pixels / slices); an empty slice gives (0, 0, 0, 0).
//   bindings  0 x (IN)
//   push      push_constants.h; the address of the partials 16 aligned, stride in channels from pixel to pixel
//   groups    slices, ceil(c / CB), n        where CB is what CHANNELS_PER_GROUP (c / groups) leaves:
//             CB = 32 if it divides 32, else c / groups itself (a multiple of 4; workgroups in y = groups)
//   defines   CHANNELS_PER_GROUP (c / groups; must divide 32 or be a multiple of 4)
//   choose    slices so that a slice holds 64 to 4096 pixels
//
// 2.0 ms for 65536 x 128 on two Zen 3 cores, any type (fp32: 17 GB/s).
//
// A lane sums x - x0 and its square over the pixels of its four channels, x0 the slice's first pixel: a mean far from zero
// costs no digits. The sums of channels and lanes are then merged as Chan, Golub and LeVeque do, always in the same order.
#include "cpu_common.glsl"
#extension GL_KHR_shader_subgroup_basic : require
layout(local_size_x = 8) in;
layout(set = 0, binding = 0) uniform IN_BUFFER xMap;
#define PUSH_GROUP_NORM_STATS_CPU
#define PUSH_NAME p
#include "push_constants.h"
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Partials { vec4 v; };

#define CPG CHANNELS_PER_GROUP
#define WIDE (32 % CPG != 0)

vec3 merge(vec3 a, vec3 b) {
    float n = a.x + b.x, d = b.y - a.y, share = n > 0.0 ? b.x / n : 0.0;
    return vec3(n, a.y + d * share, a.z + b.z + d * d * a.x * share);
}
vec3 across(vec3 a, uint distance) {
    uint from = gl_SubgroupInvocationID ^ distance;
    vec3 b = vec3(subgroupShuffle(a.x, from), subgroupShuffle(a.y, from), subgroupShuffle(a.z, from));
    // The lower lane comes first in both, so that all lanes hold the same.
    return (gl_SubgroupInvocationID & distance) == 0u ? merge(a, b) : merge(b, a);
}

// Moments of one block of four channels, a vector a channel.
void sums(int first, int begin, int end, int step, bool inside, out float count, out vec4 mean, out vec4 squares) {
    count = inside ? float(end - begin) : 0.0;
    vec4 origin = IN_LOAD(xMap, first + begin * step);
    vec4 s0 = vec4(0.0), q0 = vec4(0.0), s1 = vec4(0.0), q1 = vec4(0.0);
    int at = first + begin * step, i = begin;
    [[dont_unroll]] for (; i + 1 < end; i += 2) {
        vec4 d = IN_LOAD(xMap, at) - origin, e = IN_LOAD(xMap, at + step) - origin;
        s0 += d; q0 += d * d;
        s1 += e; q1 += e * e;
        at += 2 * step;
    }
    if (i < end) { vec4 d = IN_LOAD(xMap, at) - origin; s0 += d; q0 += d * d; }
    s0 += s1; q0 += q1;
    float inverse = count > 0.0 ? 1.0 / count : 0.0;
    mean = origin + s0 * inverse;
    squares = max(q0 - s0 * s0 * inverse, vec4(0.0));
}

void main() {
    const int lane = int(gl_LocalInvocationID.x), c4 = p.c >> 2, step = p.stride >> 2, n = int(gl_WorkGroupID.z), slice = int(gl_WorkGroupID.x);
    const int perSlice = (p.pixels + p.slices - 1) / p.slices;
    const int begin = min(slice * perSlice, p.pixels), end = min(begin + perSlice, p.pixels);
    const int base = n * p.pixels * step, out0 = (n * p.slices + slice) * p.groups;
    // An empty slice reads the last pixel and counts nothing.
    const int from = min(begin, p.pixels - 1), to = begin < end ? end : from;
#if WIDE
    vec3 all = vec3(0.0);
    const int block0 = int(gl_WorkGroupID.y) * (CPG / 4);
    [[dont_unroll]] for (int b = 0; b < CPG / 4; b += 8) {
        bool inside = b + lane < CPG / 4 && begin < end;
        float count; vec4 mean, squares;
        sums(base + block0 + min(b + lane, CPG / 4 - 1), from, to, step, inside, count, mean, squares);
        if (inside) [[unroll]] for (int i = 0; i < 4; i++) all = merge(all, vec3(count, mean[i], squares[i]));
    }
    all = across(all, 1u); all = across(all, 2u); all = across(all, 4u);
    if (lane == 0) Partials(ADDRESS(p.partials, out0 + int(gl_WorkGroupID.y), 16)).v = vec4(all, 0.0);
#else
    const int block = int(gl_WorkGroupID.y) * 8 + lane;
    bool inside = block < c4 && begin < end;
    float count; vec4 mean, squares;
    sums(base + min(block, c4 - 1), from, to, step, inside, count, mean, squares);
    vec3 m[4];
    [[unroll]] for (int i = 0; i < 4; i++) m[i] = inside ? vec3(count, mean[i], squares[i]) : vec3(0.0);
#if CPG >= 2
    m[0] = merge(m[0], m[1]); m[2] = merge(m[2], m[3]);
#endif
#if CPG >= 4
    m[0] = merge(m[0], m[2]);
#endif
#if CPG >= 8
    m[0] = across(m[0], 1u);
#endif
#if CPG >= 16
    m[0] = across(m[0], 2u);
#endif
#if CPG >= 32
    m[0] = across(m[0], 4u);
#endif
    if (block < c4) {
#if CPG >= 4
        if (lane % (CPG / 4) == 0) Partials(ADDRESS(p.partials, out0 + block / (CPG / 4), 16)).v = vec4(m[0], 0.0);
#else
        [[unroll]] for (int i = 0; i < 4; i += CPG) Partials(ADDRESS(p.partials, out0 + (block * 4 + i) / CPG, 16)).v = vec4(m[i], 0.0);
#endif
    }
#endif
}
