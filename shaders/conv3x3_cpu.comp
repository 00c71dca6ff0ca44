#version 460
// 3x3 convolution for Mesa's CPU device: y = [relu](conv(x) + bias [+ residual]), tensors NHWC, sums in fp32.
//
// x [n][hIn][wIn][c], y and residual [n][h][w][k]; c % 4 == 0, k % KT == 0; h and w as they come; residual may be y itself.
//   bindings  0 x   1 packed weights   2 residual (RESIDUAL, type OUT)   3 bias, fp32, four a texel (BIAS)
//             4 (scale, shift) of each channel of each picture, fp32 (NORM)
//   push      push_constants.h; the address of y aligned to four elements, strides in elements from pixel to pixel, top and
//             left the rows and columns outside of x, where zeros are, at which the first pixel begins to read (UPSAMPLE: of
//             the doubled one)
//   groups    ceil(w / PV), ceil(h / 8), n * (k / KT)                           (local size 8: a lane is an output row)
//   limits    fewer than 2^27 texels in any tensor
//   rates     GFLOP/s, two Zen 3 cores: 63 to 69 fp32, 70 to 72 bf16, 67 fp16; folded 153 (of the unfolded work); KT 3: 44
//   defines   KT 16|8|4|3 (3: k = 3, no residual), PV pixels a lane, BIAS, RESIDUAL, ACTIVATION_RELU,
//             NORM (x is read as x * scale + shift), with NORM_SILU or NORM_RELU behind it,
//             UPSAMPLE (nearest x2 on load),
//             FOLDED (the same with weights summed beforehand, 2.25 times fewer products; h and w even, KT not 3),
//             STRIDE 2
//   packing   element (co, ci, ky, kx) lies at, for whole kt = co / KT:
//             ((kt * 3 + ky) * (c / 4) + ci / 4) * 12 * KT + ((co % KT) * 4 + ci % 4) * 3 + kx       as many as the weights
//
// FOLDED: groups ceil(w / 2 / PV), ceil(h / 2 / 8), n * 4 * (k / KT). Output pixel (2 y + py, 2 x + px) is a 2x2
// convolution of input rows y - top + py + a and columns x - left + px + b, a and b 0 or 1. Its weights, summed in fp32 before
// rounding: along each axis, for phase 0 {w0, w1 + w2}, for phase 1 {w0 + w1, w2}. With tiles = k / KT they lie at
//             ((((py * 2 + px) * tiles + kt) * 2 + a) * (c / 4) + ci / 4) * 8 * KT + ((co % KT) * 4 + ci % 4) * 2 + b
// and are 16/9 as many.
//
// A lane keeps PV x KT sums. Per four channels and ky it fetches PV + 2 texels of its row; the weights of all lanes come with
// one fetch for 32 of them, and a shuffle with a constant lane spreads one over the vector. The products of a step are
// summed apart and then added: shorter chains, and a smaller rounding error.
#include "cpu_common.glsl"
#ifndef KT
#define KT 16
#endif
#ifndef PV
#define PV (KT > 8 ? 4 : 6)
#endif
#ifndef STRIDE
#define STRIDE 1
#endif
#ifdef FOLDED
#define TAPS 2
#else
#define TAPS 3
#endif
#define NI ((PV - 1) * STRIDE + TAPS)   // input columns of a tile
#define NT (TAPS * KT)                  // texels of weights per four channels and ky
#define NW ((NT + 7) / 8)
layout(local_size_x = 8) in;
layout(set = 0, binding = 0) uniform IN_BUFFER xMap;
layout(set = 0, binding = 1) uniform WEIGHT_BUFFER weights;
layout(set = 0, binding = 2) uniform OUT_BUFFER residualMap;
layout(set = 0, binding = 3) uniform textureBuffer biasVector;
layout(set = 0, binding = 4) uniform textureBuffer coefficients;
#define PUSH_CONV3X3_CPU
#define PUSH_NAME p
#include "push_constants.h"

void main() {
    const int lane = int(gl_LocalInvocationID.x), h = p.h, w = p.w, hIn = p.hIn, wIn = p.wIn, c4 = p.c >> 2, k = p.k;
    const int xStep = p.xStride >> 2;
    const int ox = int(gl_WorkGroupID.x) * PV, oy = int(gl_WorkGroupID.y) * 8 + lane;
    const int tiles = k / KT;
#ifdef FOLDED
    const int phases = 4, block = int(gl_WorkGroupID.z) % (4 * tiles), n = int(gl_WorkGroupID.z) / (4 * tiles);
    const int phase = block / tiles, kt = block % tiles, phaseY = phase >> 1, phaseX = phase & 1;
#else
    const int phases = 1, block = int(gl_WorkGroupID.z) % tiles, n = int(gl_WorkGroupID.z) / tiles, kt = block;
#endif

    float acc[PV][KT];
    [[unroll]] for (int v = 0; v < PV; v++) [[unroll]] for (int j = 0; j < KT; j++) acc[v][j] = 0.0;

    int wAt = block * TAPS * c4 * NT + lane;
    const int wLast = phases * tiles * TAPS * c4 * NT - 1;
    [[dont_unroll]] for (int ky = 0; ky < TAPS; ky++) {
        int at[NI];
        bool inside[NI];
#ifdef FOLDED
        int iy = oy + ky - p.top + phaseY;
#else
        int iy = oy * STRIDE + ky - p.top;
#endif
#ifdef UPSAMPLE
        bool rowInside = iy >= 0 && iy < 2 * hIn;
        int row = (n * hIn + (iy >> 1)) * wIn;
#else
        bool rowInside = iy >= 0 && iy < hIn;
        int row = (n * hIn + iy) * wIn;
#endif
        [[unroll]] for (int v = 0; v < NI; v++) {
#ifdef FOLDED
            int ix = ox + v - p.left + phaseX;
#else
            int ix = ox * STRIDE + v - p.left;
#endif
#ifdef UPSAMPLE
            inside[v] = rowInside && ix >= 0 && ix < 2 * wIn;
            at[v] = inside[v] ? (row + (ix >> 1)) * xStep : 0;
#else
            inside[v] = rowInside && ix >= 0 && ix < wIn;
            at[v] = inside[v] ? (row + ix) * xStep : 0;
#endif
        }
        [[dont_unroll]] for (int c = 0; c < c4; c++) {
            vec4 x[NI];
            vec4 wv[NW];
#ifdef NORM
            // All lanes take the same: one fetch for both halves.
            vec4 pairs = texelFetch(coefficients, (n * c4 + c) * 2 + (lane & 1));
            vec4 low = subgroupShuffle(pairs, 0u), high = subgroupShuffle(pairs, 1u);
            vec4 scale = vec4(low.xz, high.xz), shift = vec4(low.yw, high.yw);
            [[unroll]] for (int v = 0; v < NI; v++)
                x[v] = mix(vec4(0.0), NORM_ACTIVATE(IN_LOAD(xMap, at[v] + c) * scale + shift), bvec4(inside[v]));
#else
            [[unroll]] for (int v = 0; v < NI; v++) x[v] = mix(vec4(0.0), IN_LOAD(xMap, at[v] + c), bvec4(inside[v]));
#endif
            [[unroll]] for (int i = 0; i < NW; i++) wv[i] = WEIGHT_LOAD(weights, NT % 8 == 0 ? wAt + i * 8 : min(wAt + i * 8, wLast));
            wAt += NT;
            [[unroll]] for (int j = 0; j < KT; j++) {
                float sum[PV];
                [[unroll]] for (int cc = 0; cc < 4; cc++) [[unroll]] for (int kx = 0; kx < TAPS; kx++) {
                    int e = (j * 4 + cc) * TAPS + kx;
                    float s = subgroupShuffle(wv[e / 32][e % 4], uint(e % 32 / 4));
                    [[unroll]] for (int v = 0; v < PV; v++) {
                        float product = x[v * STRIDE + kx][cc] * s;
                        if (cc + kx == 0) sum[v] = product; else sum[v] += product;
                    }
                }
                [[unroll]] for (int v = 0; v < PV; v++) acc[v][j] += sum[v];
            }
        }
    }

#if KT % 4 == 0
    [[unroll]] for (int v = 0; v < PV; v++) {
#ifdef FOLDED
        if (oy < h / 2 && ox + v < w / 2) {
            int pixel = (n * h + 2 * oy + phaseY) * w + 2 * (ox + v) + phaseX;
#else
        if (oy < h && ox + v < w) {
            int pixel = (n * h + oy) * w + ox + v;
#endif
            int at = pixel * (p.yStride >> 2) + kt * (KT / 4);
            [[unroll]] for (int j = 0; j < KT / 4; j++) {
                vec4 s = vec4(acc[v][4 * j], acc[v][4 * j + 1], acc[v][4 * j + 2], acc[v][4 * j + 3]);
#ifdef BIAS
                s += texelFetch(biasVector, kt * (KT / 4) + j);
#endif
#ifdef RESIDUAL
                s += OUT_LOAD(residualMap, pixel * (p.residualStride >> 2) + kt * (KT / 4) + j);
#endif
#ifdef ACTIVATION_RELU
                s = max(s, vec4(0.0));
#endif
                OUT4(p.y, at + j) = outPack(s);
            }
        }
    }
#else
#ifdef BIAS
    vec4 bias = texelFetch(biasVector, 0);
#else
    vec4 bias = vec4(0.0);
#endif
    [[unroll]] for (int v = 0; v < PV; v++) {
        if (oy < h && ox + v < w) {
            int at = ((n * h + oy) * w + ox + v) * KT;
            [[unroll]] for (int j = 0; j < KT; j++) {
                float s = acc[v][j] + bias[j];
#ifdef ACTIVATION_RELU
                s = max(s, 0.0);
#endif
                OUT1(p.y, at + j) = outPack1(s);
            }
        }
    }
#endif
}
