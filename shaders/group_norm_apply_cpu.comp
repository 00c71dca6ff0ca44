#version 460
// y = act(x * scale[c] + shift[c]) for Mesa's CPU device, with (scale, shift) of each channel of each picture; y may be x.
//
// x, y [n][pixels][c], c % 4 == 0; coefficients [n][c][2], fp32.
//   bindings  0 x (IN)   1 coefficients: fp32, two channels a texel
//   push      push_constants.h; the address of y aligned to four elements
//   groups    ceil(c / (32 * QUADS)), ceil(pixels / perGroup), n        (local size 8; perGroup 64, more where y would pass 65535)
//   defines   ACTIVATION_SILU or ACTIVATION_RELU (else none), QUADS four-channel blocks a lane (4 as it stands)
//
// 5 to 9 ms for 65536 x 128 in fp32 on two Zen 3 cores (8.7 with SiLU), 7.7 ms bf16, 14 ms fp16.
//
// A lane keeps the coefficients of its channels and walks over the pixels; eight lanes read 128 bytes in a row.
#include "cpu_common.glsl"
#ifndef QUADS
#define QUADS 4
#endif
layout(local_size_x = 8) in;
layout(set = 0, binding = 0) uniform IN_BUFFER xMap;
layout(set = 0, binding = 1) uniform textureBuffer coefficients;
#define PUSH_GROUP_NORM_APPLY_CPU
#define PUSH_NAME p
#include "push_constants.h"

#ifdef ACTIVATION_SILU
vec4 act(vec4 x) { return silu(x); }
#elif defined(ACTIVATION_RELU)
vec4 act(vec4 x) { return max(x, vec4(0.0)); }
#else
vec4 act(vec4 x) { return x; }
#endif

void main() {
    const int lane = int(gl_LocalInvocationID.x), c4 = p.c >> 2, n = int(gl_WorkGroupID.z);
    const int begin = int(gl_WorkGroupID.y) * p.perGroup, end = min(begin + p.perGroup, p.pixels);
    vec4 scale[QUADS], shift[QUADS];
    int quad[QUADS];
    [[unroll]] for (int q = 0; q < QUADS; q++) {
        quad[q] = (int(gl_WorkGroupID.x) * QUADS + q) * 8 + lane;
        int at = (n * c4 + min(quad[q], c4 - 1)) * 2;
        vec4 a = texelFetch(coefficients, at), b = texelFetch(coefficients, at + 1);
        scale[q] = vec4(a.xz, b.xz);
        shift[q] = vec4(a.yw, b.yw);
    }
    int at = (n * p.pixels + begin) * c4;
    [[dont_unroll]] for (int i = begin; i < end; i++) {
        [[unroll]] for (int q = 0; q < QUADS; q++) {
            if (quad[q] < c4) {
                vec4 x = IN_LOAD(xMap, at + quad[q]);
                OUT4(p.y, at + quad[q]) = outPack(act(x * scale[q] + shift[q]));
            }
        }
        at += c4;
    }
}
