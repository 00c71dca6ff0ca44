#version 460
// 3×3 convolution, stride 1, NHWC in and out, fp32 sums, on 16×16×16 cooperative matrices.
//   TYPE      of feature maps and weights, BF16 or F16
//   NORM      the input is x scale + shift of each channel, then its SiLU with NORM_SILU
//   UPSAMPLE  the input is upsampled by two as it is read, nearest neighbour
//   FOLDED    the same by four 2×2 convolutions, one for each parity of output row and column
//   BIAS      adds bias
//   RESIDUAL  adds res, which has the output's shape and may be the output
//   ACTIVATION_RELU  of the sum
//   PER_GROUP channels of a group of the following norm (4, 8, 16 or 32): moments of each tile go to `moments`
// x [inH][inW][C] (UPSAMPLE: of half the size), y and res [H][W][K], FOLDED: of twice the size; bias [K] fp32; gn [C] (scale,
// shift); moments [tile][K / PER_GROUP] (count, mean, squared deviations, 0); tile = (phase · rows + row) · columns + column of
// tiles. H, W: of the output, FOLDED half of it; the first output pixel begins top rows and left columns outside of
// x, where zeros are (below zero: inside). xStride, yStride, resStride: 16 bytes from pixel to pixel.
// w [C/16][3 rows][3 columns][K/16][32 lanes][8]: each 16×16 block as the lanes of a subgroup hold it; FOLDED [4] of
// [C/16][2][2][K/16][32][8], phase 2 · odd row + odd column.
// COLUMNS BLOCKS STAGE_BLOCKS: pixel columns and 16-channel blocks of a warp, 16-channel blocks of input at a time. Dispatch
// ((FOLDED 4) · K / (64 BLOCKS), ceil(W / COLUMNS), ceil(H / 16)); C is a multiple of 16 STAGE_BLOCKS, K of 64 BLOCKS.
// Subgroups of 32, required and full.
//
// A workgroup is 4 warps and makes 16 rows × COLUMNS columns of pixels × 64 BLOCKS channels, a warp a quarter of the channels.
// With 128 sums a lane and at most 24 KB of shared memory two workgroups fit on a multiprocessor and overlap each other's
// loads, barriers and epilogue. Rows of a matrix are pixels of a column: the three taps of a row share their matrices.
// Weights go straight from memory to registers: a lane reads its eight elements of a matrix in one 16-byte load. Macros unroll
// the loops, because the driver keeps loops that it takes for too large, and computing indices costs instructions then.
#pragma use_vulkan_memory_model
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "addresses.glsl"

const int WARPS = 4, THREADS = WARPS * 32, CHANNELS = WARPS * BLOCKS * 16, GRID_COLUMNS = COLUMNS;
#ifdef FOLDED
const int TAPS = 2;
#else
const int TAPS = 3;
#endif
#ifdef RESIDUAL
const int OUT_ROW = BLOCKS * 4 + 2;                                             // fp32 until the residual is added
#else
const int OUT_ROW = BLOCKS * 2 + 1;
#endif
const int OUT_WARP = 16 * OUT_ROW, SHARED_OUT = WARPS * OUT_WARP;

layout(local_size_x = THREADS) in;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer In16 { uvec4 v; };
// Not readonly on purpose: the driver moves read-only loads down to their use, past barriers.
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Any16 { uvec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer Out16 { uvec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InF4 { vec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer OutF4 { vec4 v; };
#define PUSH_CONV3X3_COOPMAT
#define PUSH_NAME p
#include "push_constants.h"

#include "coopmat.glsl"
#include "coopmat_halo.glsl"

shared uvec4 sm[SHARED_IN > SHARED_OUT ? SHARED_IN : SHARED_OUT];

void main() {
    DECLARE_ELEMENT
    int t = int(gl_LocalInvocationIndex), warp = int(gl_SubgroupID), lane = int(gl_SubgroupInvocationID);
    int x0 = int(gl_WorkGroupID.y) * COLUMNS, y0 = int(gl_WorkGroupID.z) * CONV_COOPMAT_ROWS;
    int K8 = p.K >> 3, stages = p.C / (STAGE_BLOCKS * 16), wStep = p.K * 2, wPhase = p.C / 16 * TAPS * TAPS * wStep;
#ifdef FOLDED
    int channelGroups = p.K / CHANNELS, phase = int(gl_WorkGroupID.x) / channelGroups, oddRow = phase >> 1, oddColumn = phase & 1;
    int n0 = (int(gl_WorkGroupID.x) - phase * channelGroups) * CHANNELS + warp * (BLOCKS * 16);
    HALO_BEGIN(y0 - p.top + oddRow, x0 - p.left + oddColumn)
#else
    const int phase = 0;
    int n0 = int(gl_WorkGroupID.x) * CHANNELS + warp * (BLOCKS * 16);
    HALO_BEGIN(y0 - p.top, x0 - p.left)
#endif

    MatC acc[COLUMNS][BLOCKS];
    uvec4 h[HALO_LOADS];
    PREFETCH_HALO(0)
    LOAD_COEFFICIENTS(0)
    [[unroll]] for (int j = 0; j < BLOCKS; j++) {
#ifdef BIAS
        MatC b = loadC(InF4(ADDRESS(p.bias, n0 + j * 16, 4)).v, kRowMajor, 0, 2, 16);       // stride 0: every row is the bias
#else
        MatC b = splatC(0.0);
#endif
        [[unroll]] for (int i = 0; i < COLUMNS; i++) acc[i][j] = b;
    }
    STORE_HALO
    // The weights of the next tap are prefetched while those of this one are used; after the last one, the last again.
    uvec4 wr[BLOCKS];
    int wi = phase * wPhase + n0 * 2 + lane, wLast = wi + wPhase - wStep;
#define PREFETCH_WEIGHTS { [[unroll]] for (int j = 0; j < BLOCKS; j++) wr[j] = In16(OFFSET(p.w, (min(wi, wLast) + j * 32) * 16)).v; wi += wStep; }
    PREFETCH_WEIGHTS
    barrier();

    MatA A[COLUMNS + TAPS - 1];
    MatB B[BLOCKS];
#define TAP(dx) { [[unroll]] for (int j = 0; j < BLOCKS; j++) COMPOSE(B[j], wr[j]) PREFETCH_WEIGHTS \
        [[unroll]] for (int i = 0; i < COLUMNS; i++) [[unroll]] for (int j = 0; j < BLOCKS; j++) acc[i][j] = mma(A[i + (dx)], B[j], acc[i][j]); }
#define LOAD_ROW(k, dy) [[unroll]] for (int r = 0; r < COLUMNS + TAPS - 1; r++) A[r] = loadA(sm[(dy) * ROW + r * PIXEL + (k) * 2], kRowMajor, ROW, 32);
#ifdef FOLDED
#define BLOCK(k) LOAD_ROW(k, 0) TAP(0) TAP(1) LOAD_ROW(k, 1) TAP(0) TAP(1)
#else
#define BLOCK(k) LOAD_ROW(k, 0) TAP(0) TAP(1) TAP(2) LOAD_ROW(k, 1) TAP(0) TAP(1) TAP(2) LOAD_ROW(k, 2) TAP(0) TAP(1) TAP(2)
#endif
#if STAGE_BLOCKS == 4
#define STAGE BLOCK(0) BLOCK(1) BLOCK(2) BLOCK(3)
#else
#define STAGE BLOCK(0) BLOCK(1)
#endif
    [[dont_unroll]] for (int stage = 1; stage < stages; stage++) {
        PREFETCH_HALO(stage)
        STAGE
        LOAD_COEFFICIENTS(stage)
        barrier();
        STORE_HALO
        barrier();
    }
    STAGE                                                                       // the last one prefetches nothing
    barrier();

#ifdef ACTIVATION_RELU
#define AT_LEAST_0(m, i) m = setC(max(getC(m, i), 0.0), m, i);
#define ACTIVATE(m) EACH(AT_LEAST_0, m)
#else
#define ACTIVATE(m)
#endif
    // A warp passes 16 pixels × its channels at a time through its own slice; a lane owns 8 channels of some pixels.
    const int GROUPS = BLOCKS * 2, PIXELS = 32 / GROUPS, PASSES = 16 / PIXELS;
    int slice = warp * OUT_WARP, g = lane % GROUPS, row = lane / GROUPS, k8 = (n0 + g * 8) >> 3;
#ifdef FOLDED
#define OUTPUT(yy, xx) ((2 * (yy) + oddRow) * (2 * p.W) + 2 * (xx) + oddColumn)
#else
#define OUTPUT(yy, xx) ((yy) * p.W + (xx))
#endif
#ifdef RESIDUAL
    uvec4 rr[COLUMNS][PASSES];
    [[unroll]] for (int i = 0; i < COLUMNS; i++) [[unroll]] for (int q = 0; q < PASSES; q++)
        rr[i][q] = Any16(ADDRESS(p.res, OUTPUT(min(y0 + q * PIXELS + row, p.H - 1), min(x0 + i, p.W - 1)) * p.resStride + k8, 16)).v;
#endif
    vec4 sums = vec4(0);                                                        // of values and squares, by four channels
    [[unroll]] for (int i = 0; i < COLUMNS; i++) {
#ifdef RESIDUAL
        [[unroll]] for (int j = 0; j < BLOCKS; j++) storeC(sm[slice + j * 4], acc[i][j], kRowMajor, OUT_ROW, 32);
#else
        [[unroll]] for (int j = 0; j < BLOCKS; j++) { MatC m = acc[i][j]; ACTIVATE(m) ROUND(m) storeD(sm[slice + j * 2], toD(m), kRowMajor, OUT_ROW, 32); }
#endif
        subgroupBarrier();
        [[unroll]] for (int q = 0; q < PASSES; q++) {
            int px = q * PIXELS + row, yy = y0 + px, xx = x0 + i;
#ifdef RESIDUAL
            uvec4 r = rr[i][q];
            vec4 a = uintBitsToFloat(sm[slice + px * OUT_ROW + g * 2]) + vec4(lo(r.x), hi(r.x), lo(r.y), hi(r.y));
            vec4 b = uintBitsToFloat(sm[slice + px * OUT_ROW + g * 2 + 1]) + vec4(lo(r.z), hi(r.z), lo(r.w), hi(r.w));
#ifdef ACTIVATION_RELU
            a = max(a, 0.0); b = max(b, 0.0);
#endif
            uvec4 u = uvec4(pack(a.x, a.y), pack(a.z, a.w), pack(b.x, b.y), pack(b.z, b.w));
#else
            uvec4 u = sm[slice + px * OUT_ROW + g];
            vec4 a = vec4(lo(u.x), hi(u.x), lo(u.y), hi(u.y)), b = vec4(lo(u.z), hi(u.z), lo(u.w), hi(u.w));
#endif
            if (yy < p.H && xx < p.W) {
                sums += vec4(dot(a, vec4(1)), dot(a, a), dot(b, vec4(1)), dot(b, b));
                Out16(ADDRESS(p.y, OUTPUT(yy, xx) * p.yStride + k8, 16)).v = u;
            }
        }
        subgroupBarrier();
    }
#ifdef PER_GROUP
    [[unroll]] for (int m = GROUPS; m < 32; m *= 2) sums += subgroupShuffleXor(sums, m);
#if PER_GROUP >= 8
    sums.xy += sums.zw;
#endif
    [[unroll]] for (int m = 16; m <= PER_GROUP; m *= 2) sums.xy += subgroupShuffleXor(sums.xy, m / 16);
    if (lane < GROUPS && lane % max(PER_GROUP / 8, 1) == 0) {
        float count = float(min(p.H - y0, CONV_COOPMAT_ROWS) * min(p.W - x0, COLUMNS) * PER_GROUP);
        int tile = (phase * int(gl_NumWorkGroups.z) + int(gl_WorkGroupID.z)) * int(gl_NumWorkGroups.y) + int(gl_WorkGroupID.y);
        int at = tile * (p.K / PER_GROUP) + k8 * 8 / PER_GROUP;
#define MOMENTS(s) vec4(count, (s).x / count, max((s).y - (s).x * ((s).x / count), 0.0), 0.0)
        OutF4(ADDRESS(p.moments, at, 16)).v = MOMENTS(sums.xy);
#if PER_GROUP == 4
        OutF4(ADDRESS(p.moments, at + 1, 16)).v = MOMENTS(sums.zw);
#endif
    }
#endif
}
