#version 460
// G g Gᵀ of each kernel for Mesa's CPU device: weights [tap][in][out] to filters as gemm_cpu.comp takes them with WINOGRAD:
// [64][out / 32][in][32].
//
//   bindings  0 weights (WEIGHT)
//   push      push_constants.h; the address of the filters
//   groups    in * out / 32 in one line, cut into x and y as the device wants (too many do no harm)
//   limits    fewer than 2^27 texels in the filters
//
// A lane makes all planes of four output channels, a row of eight at a time; a group reads and writes 128 bytes in a row.
#include "cpu_common.glsl"
#include "winograd.glsl"
layout(local_size_x = 8) in;
layout(set = 0, binding = 0) uniform WEIGHT_BUFFER weights;
#define PUSH_WINOGRAD_FILTER_CPU
#define PUSH_NAME p
#include "push_constants.h"

#define TAP(i) WEIGHT_LOAD(weights, kernel + (i) * kernels)
#define STORE_ROW(k, x) row##k[l] = x;
#define STORE_PLANE(j, x) OUT4(p.to, plane + (j) * kernels) = outPack(x);
#define PLANES(k)                                                                                                      \
    {                                                                                                                  \
        int plane = at + (k) * 8 * kernels;                                                                          \
        TRANSFORM_FILTER(vec4, STORE_PLANE, row##k[0], row##k[1], row##k[2])                                             \
    }
#define COLUMN(column)                                                                                                 \
    {                                                                                                                  \
        const int l = column;                                                                                          \
        vec4 g0 = TAP(l), g1 = TAP(3 + l), g2 = TAP(6 + l);                                                            \
        TRANSFORM_FILTER(vec4, STORE_ROW, g0, g1, g2)                                                                    \
    }

void main() {
    const int group = int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x), lane = int(gl_LocalInvocationID.x);
    const int out4 = p.outChannels >> 2, kernels = p.inChannels * out4, at = group * 8 + lane;
    if (at >= kernels) return;
    const int kernel = group % p.inChannels * out4 + group / p.inChannels * 8 + lane;
    vec4 row0[3], row1[3], row2[3], row3[3], row4[3], row5[3], row6[3], row7[3];
    COLUMN(0)
    COLUMN(1)
    COLUMN(2)
    EACH8(PLANES)
}
