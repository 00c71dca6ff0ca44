#version 460
// Aᵀ m A of each tile of products for Mesa's CPU device, with bias, residual and ReLU, to the rows and columns of the output
// that exist.
//
// products [tile][k / 32][64][32] as gemm_cpu.comp makes them with WINOGRAD; y and residual [n][h][w][k], k % 32 == 0;
// residual may be y itself; tiles as in winograd_input_cpu.comp.
//   bindings  0 products (IN)   1 residual (RESIDUAL, type OUT)   2 bias, fp32, four a texel (BIAS)
//   push      push_constants.h; the address of y, c its channels k; top and left are not read
//   groups    tiles * k / 32 in one line, cut into x and y as the device wants (too many do no harm)
//   limits    fewer than 2^27 texels in the products, in y and in the residual
//   defines   BIAS, RESIDUAL, ACTIVATION_RELU
//
// A lane makes four channels of a tile in registers; a group reads 8 KiB in a row and writes 128 bytes of each pixel.
#include "cpu_common.glsl"
#include "winograd.glsl"
layout(local_size_x = 8) in;
layout(set = 0, binding = 0) uniform IN_BUFFER products;
layout(set = 0, binding = 1) uniform OUT_BUFFER residualMap;
layout(set = 0, binding = 2) uniform textureBuffer biasVector;
#define PUSH_WINOGRAD_MAP_CPU
#define PUSH_NAME p
#include "push_constants.h"

#ifdef RESIDUAL
#define ADD_RESIDUAL sum += OUT_LOAD(residualMap, to);
#else
#define ADD_RESIDUAL
#endif
#ifdef ACTIVATION_RELU
#define ACTIVATE(x) max(x, vec4(0.0))
#else
#define ACTIVATE(x) (x)
#endif
#define READ(k, l) m[k][l] = IN_LOAD(products, at + (8 * k + l) * 8);
#define READ_ROW(k)                                                                                                    \
    READ(k, 0) READ(k, 1) READ(k, 2) READ(k, 3) READ(k, 4) READ(k, 5) READ(k, 6) READ(k, 7)                            \
    TRANSFORM_OUTPUT(vec4, m[k][0], m[k][1], m[k][2], m[k][3], m[k][4], m[k][5], m[k][6], m[k][7])
#define TRANSFORM_COLUMN(l)                                                                                            \
    TRANSFORM_OUTPUT(vec4, m[0][l], m[1][l], m[2][l], m[3][l], m[4][l], m[5][l], m[6][l], m[7][l])
#define WRITE(k, l)                                                                                                    \
    if (inside && x + l < p.w) {                                                                                       \
        int to = row + l * k4;                                                                                         \
        vec4 sum = m[k][l] + bias;                                                                                     \
        ADD_RESIDUAL                                                                                                   \
        OUT4(p.address, to) = outPack(ACTIVATE(sum));                                                                              \
    }
#define WRITE_ROW(k)                                                                                                   \
    {                                                                                                                  \
        bool inside = top + k < p.h;                                                                                   \
        int row = ((picture * p.h + top + k) * p.w + x) * k4 + block;                                                  \
        WRITE(k, 0) WRITE(k, 1) WRITE(k, 2) WRITE(k, 3) WRITE(k, 4) WRITE(k, 5)                                        \
    }

void main() {
    const int group = int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x), lane = int(gl_LocalInvocationID.x);
    const int k4 = p.c >> 2, columns = k4 >> 3, tile = group / columns, block = group % columns * 8 + lane;
    const int at = group * 512 + lane;
    if (tile >= p.tiles) return;
    const int tileRow = tile / p.tilesX, picture = tileRow / p.tilesY;
    const int top = tileRow % p.tilesY * 6, x = tile % p.tilesX * 6;
#ifdef BIAS
    const vec4 bias = texelFetch(biasVector, block);
#else
    const vec4 bias = vec4(0.0);
#endif
    vec4 m[8][8];
    EACH8(READ_ROW)
    EACH6(TRANSFORM_COLUMN)
    EACH6(WRITE_ROW)
}
