#version 460
// G g Gᵀ of each kernel: weights [tap][in][out] to filters [64][in][out]. One thread makes all planes for four output
// channels, a row of eight at a time from the nine weights in registers. Defines: WEIGHT OUT (types). Groups of 64
// threads over in × out / 4, outputs fastest.
#include "common.glsl"
#include "winograd.glsl"

layout(local_size_x = 64) in;
#define PUSH_WINOGRAD_FILTER
#include "push_constants.h"

#define TAP(i) LOAD4(WEIGHT)(weightAddress, kernel + (i) * kernels)
#define STORE_ROW(k, x) row##k[l] = x;
#define STORE_PLANE(j, x) STORE4(OUT)(filtersAddress, at + (j) * kernels, x);
#define PLANES(k)                                                                                                      \
    {                                                                                                                  \
        uint64_t at = kernel + (k) * 8 * kernels;                                                                      \
        TRANSFORM_FILTER(vec4, STORE_PLANE, row##k[0], row##k[1], row##k[2])                                             \
    }
#define COLUMN(column)                                                                                                 \
    {                                                                                                                  \
        const uint l = column;                                                                                         \
        vec4 g0 = TAP(l), g1 = TAP(3 + l), g2 = TAP(6 + l);                                                            \
        TRANSFORM_FILTER(vec4, STORE_ROW, g0, g1, g2)                                                                    \
    }

void main() {
    uint64_t kernel = LINEAR_THREAD, kernels = uint64_t(inChannels) * outBlocks;
    if (kernel >= kernels) return;
    vec4 row0[3], row1[3], row2[3], row3[3], row4[3], row5[3], row6[3], row7[3];
    COLUMN(0)
    COLUMN(1)
    COLUMN(2)
    EACH8(PLANES)
}
