#version 460
// c = activation(alpha a b + bias + residual) on 16×16×16 cooperative matrices, sums in fp32.
//   TYPE     of a, b and c, BF16 or F16
//   B_ROWS   b is [K][N]; else blocks of [32 lanes][8] as the lanes of a subgroup hold them, block (k, n) of 16 × 16 at
//            k bStepK + n bStepN, in 16 bytes. TAIL_K or TAIL_N: the blocks of the last k or n are stored at `tail` instead,
//            with the other index counted as before
//   OUT      F32: c is fp32
//   ROWS_FIRST neighbours in a dispatch share columns of c, else rows: what is larger is read from memory once
//   AHEAD    steps that blocks of b are prefetched ahead of their use
//   SCORES   c is 2^(alpha a b - top), top a whole number for each row and 64 columns; (top, sum) go to
//            tiles [M][ceil(N / 64)], and c is zero up to the next multiple of 64 columns
//   WEIGHTED a is c of a product with SCORES. As it is loaded it is multiplied by tiles, which hold a power of two for each
//            row and 64 inner elements, so that nothing is rounded; rows of c are multiplied by scales [M] in the end
//   BIAS RESIDUAL ACTIVATION_RELU; bias fp32, residual with the shape of c, which it may be
//   BLOCKS   16×16 blocks of a warp in each direction: 4, or 2 where c is too small to fill the device
//   WARPS_M WARPS_N  warps side by side; together 4
// a [M][lda], c [M][ldc]; both may have the same address when N is at most one tile. Split-K: workgroups z take the inner
// elements from z K to (z + 1) K, at most to kTotal, and write z splitStride elements behind c. K and kTotal are multiples of
// 64, with B_ROWS of 32; N of 64, with B_ROWS of 8, with SCORES any; lda and ldc of 8. Dispatch
// (ceil(N / TILE_N), ceil(M / TILE_M), splits), with ROWS_FIRST x and y exchanged. Subgroups of 32, required and full.
//
// The warps share a tile of a in shared memory, whose rows are an odd number of 16 bytes apart: no bank conflicts. Blocks of
// b go straight from memory to registers: a lane reads its eight elements of a matrix in one 16-byte load.
#pragma use_vulkan_memory_model
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "addresses.glsl"

const int THREADS = 128, TILE_M = WARPS_M * BLOCKS * 16, TILE_N = WARPS_N * BLOCKS * 16;
#ifdef B_ROWS
const int DEPTH = GEMM_COOPMAT_ROWS_DEPTH, B_UNITS = TILE_N / 8, B_ROW = B_UNITS + 1, B_LOADS = DEPTH * B_UNITS / THREADS, SHARED_B = DEPTH * B_ROW;
#else
const int DEPTH = GEMM_COOPMAT_BLOCKS_DEPTH, SHARED_B = 0;
#endif
const int DEPTH_UNITS = DEPTH / 8, A_ROW = DEPTH_UNITS + 1, A_LOADS = TILE_M * DEPTH_UNITS / THREADS; // in 16 bytes
#ifdef SCORES
const int OUT_ROW = BLOCKS * 2 + 1;
#else
const int OUT_ROW = BLOCKS * 4 + 2;                                             // 16 rows of fp32 of a warp
#endif
const int OUT_WARP = 16 * OUT_ROW;
const int SHARED_A = TILE_M * A_ROW, SHARED_IN = SHARED_A + SHARED_B, SHARED_OUT = 4 * OUT_WARP;

layout(local_size_x = THREADS) in;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer In16 { uvec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Any16 { uvec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InF4 { vec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Tiles { vec2 v; };
layout(buffer_reference, std430, buffer_reference_align = 4) readonly buffer InF { float v; };
#define PUSH_GEMM_COOPMAT
#define PUSH_NAME p
#include "push_constants.h"

#include "coopmat.glsl"
#ifndef OUT
#define OUT TYPE
#endif

shared uvec4 sm[SHARED_IN > SHARED_OUT ? SHARED_IN : SHARED_OUT];

void main() {
    DECLARE_ELEMENT
    int t = int(gl_LocalInvocationIndex), warp = int(gl_SubgroupID), lane = int(gl_SubgroupInvocationID);
#ifdef ROWS_FIRST
    int n0 = int(gl_WorkGroupID.y) * TILE_N, m0 = int(gl_WorkGroupID.x) * TILE_M;
#else
    int n0 = int(gl_WorkGroupID.x) * TILE_N, m0 = int(gl_WorkGroupID.y) * TILE_M;
#endif
    int wm = warp / WARPS_N * BLOCKS * 16, wn = warp % WARPS_N * BLOCKS * 16;
    int first = int(gl_WorkGroupID.z) * (p.K / DEPTH), stages = min(p.K, p.kTotal - first * DEPTH) / DEPTH, stage = first;

    // Rows and columns beyond the end load the last ones again; their results are not stored.
    uvec4 ha[A_LOADS];
    int aFrom[A_LOADS];
    [[unroll]] for (int i = 0; i < A_LOADS; i++) {
        int e = t + i * THREADS;
        aFrom[i] = min(m0 + e / DEPTH_UNITS, p.M - 1) * (p.lda >> 3) + e % DEPTH_UNITS;
    }
#ifdef WEIGHTED
    float weight[A_LOADS];
    int tilesOfRow = p.lda / 64, tileAt[A_LOADS];
    [[unroll]] for (int i = 0; i < A_LOADS; i++) tileAt[i] = min(m0 + (t + i * THREADS) / DEPTH_UNITS, p.M - 1) * tilesOfRow;
#define PREFETCH_A { uint64_t a_ = ADDRESS(p.a, stage * DEPTH_UNITS, 16), tiles_ = ADDRESS(p.tiles, stage * DEPTH / 64, 8); \
        [[unroll]] for (int i = 0; i < A_LOADS; i++) { ha[i] = In16(ADDRESS(a_, aFrom[i], 16)).v; weight[i] = Tiles(ADDRESS(tiles_, tileAt[i], 8)).v.x; } }
#define A_OF(i) uvec4(scaled(ha[i].x, weight[i]), scaled(ha[i].y, weight[i]), scaled(ha[i].z, weight[i]), scaled(ha[i].w, weight[i]))
#else
#define PREFETCH_A { uint64_t a_ = ADDRESS(p.a, stage * DEPTH_UNITS, 16); [[unroll]] for (int i = 0; i < A_LOADS; i++) ha[i] = In16(ADDRESS(a_, aFrom[i], 16)).v; }
#define A_OF(i) ha[i]
#endif
#define STORE_A(i) { int e = t + i * THREADS; sm[e / DEPTH_UNITS * A_ROW + e % DEPTH_UNITS] = A_OF(i); }

    MatA A[BLOCKS];
    MatB B[BLOCKS];
#ifdef B_ROWS
    uvec4 hb[B_LOADS];
    int bFrom[B_LOADS];
    uint64_t bStep = uint64_t(uint(DEPTH * (p.N >> 3))) * 16ul;
    [[unroll]] for (int i = 0; i < B_LOADS; i++) {
        int e = t + i * THREADS;
        bFrom[i] = e / B_UNITS * (p.N >> 3) + min((n0 >> 3) + e % B_UNITS, (p.N >> 3) - 1);
    }
#define PREFETCH { PREFETCH_A uint64_t b_ = p.b + uint64_t(uint(stage)) * bStep; [[unroll]] for (int i = 0; i < B_LOADS; i++) hb[i] = In16(ADDRESS(b_, bFrom[i], 16)).v; }
#define STORE { [[unroll]] for (int i = 0; i < A_LOADS; i++) STORE_A(i) \
        [[unroll]] for (int i = 0; i < B_LOADS; i++) { int e = t + i * THREADS; sm[SHARED_A + e / B_UNITS * B_ROW + e % B_UNITS] = hb[i]; } }
#define LOAD_B(k) [[unroll]] for (int j = 0; j < BLOCKS; j++) B[j] = loadB(sm[SHARED_A + (k) * 16 * B_ROW + (wn + j * 16) / 8], kRowMajor, B_ROW, 32);
#else
#define PREFETCH PREFETCH_A
#define STORE { [[unroll]] for (int i = 0; i < A_LOADS; i++) STORE_A(i) }
    // Beyond the ends the last blocks are loaded again.
    uvec4 wr[AHEAD][BLOCKS];
    int kBlock = first * (DEPTH / 16);
    uint64_t bFrom[BLOCKS];                                                     // TAIL_K: bytes from where blocks of k lie
#ifdef TAIL_K
    const int kLast = p.bBlocks - 1, nLast = p.N / 16 - 1;
#define B_OF_K (kBlock < kLast ? ADDRESS(p.b, kBlock * p.bStepK, 16) : p.tail)
#else
    const int kLast = p.kTotal / 16 - 1, nLast = (p.N + 15) / 16 - 1;
#define B_OF_K ADDRESS(0ul, min(kBlock, kLast) * p.bStepK, 16)
#endif
    [[unroll]] for (int j = 0; j < BLOCKS; j++) {
        int n = min((n0 + wn) / 16 + j, nLast);
#ifdef TAIL_K
        uint64_t b = 0ul;
#else
        uint64_t b = p.b;
#endif
        b = ADDRESS(b, n * p.bStepN, 16);
#ifdef TAIL_N
        if (n >= p.bBlocks - 1) b = p.tail;
#endif
        bFrom[j] = ADDRESS(b, lane, 16);
    }
#define PREFETCH_B(s) { uint64_t k_ = B_OF_K; [[unroll]] for (int j = 0; j < BLOCKS; j++) wr[s][j] = In16(k_ + bFrom[j]).v; kBlock++; }
#define LOAD_B(k) [[unroll]] for (int j = 0; j < BLOCKS; j++) COMPOSE(B[j], wr[(k) % AHEAD][j]) PREFETCH_B((k) % AHEAD)
    [[unroll]] for (int s = 0; s < AHEAD; s++) PREFETCH_B(s)
#endif
    MatC acc[BLOCKS][BLOCKS];
    [[unroll]] for (int i = 0; i < BLOCKS; i++) [[unroll]] for (int j = 0; j < BLOCKS; j++) acc[i][j] = splatC(0.0);
#define STEP(k) { [[unroll]] for (int i = 0; i < BLOCKS; i++) A[i] = loadA(sm[(wm + i * 16) * A_ROW + (k) * 2], kRowMajor, A_ROW, 32); \
        LOAD_B(k) [[unroll]] for (int i = 0; i < BLOCKS; i++) [[unroll]] for (int j = 0; j < BLOCKS; j++) acc[i][j] = mma(A[i], B[j], acc[i][j]); }
#ifdef B_ROWS
#define STAGE STEP(0) STEP(1)
#else
#define STAGE STEP(0) STEP(1) STEP(2) STEP(3)
#endif
    PREFETCH
    STORE
    barrier();
    [[dont_unroll]] for (stage = first + 1; stage < first + stages; stage++) {
        PREFETCH
        STAGE
        barrier();
        STORE
        barrier();
    }
    STAGE
    const int GROUPS = BLOCKS * 2, ROWS = 32 / GROUPS;                          // for the end: a lane owns 8 columns of some rows
    int slice = warp * OUT_WARP, g = lane % GROUPS, n = n0 + wn + g * 8;
#ifdef RESIDUAL
    // All loads are issued before the barrier: one after another each would cost a latency.
    uvec4 r[BLOCKS][BLOCKS];
    [[unroll]] for (int i = 0; i < BLOCKS; i++) [[unroll]] for (int q = 0; q < BLOCKS; q++) {
        int m = min(m0 + wm + i * 16 + q * ROWS + lane / GROUPS, p.M - 1);
        r[i][q] = Any16(ADDRESS(p.residual, m * (p.ldc >> 3) + min(n >> 3, (p.N >> 3) - 1), 16)).v;
    }
#endif
    barrier();

#ifdef SCORES
    // Lane l holds rows l / 4 (elements 0 to 3) and 8 + l / 4 of a block, so that four lanes share a row, and of both rows
    // the columns 2 (l % 4) + {0, 1} and 8 more.
    if (n0 + wn >= p.N) return;
    if (n0 + wn + 64 > p.N) {
#define INSIDE(m, e) if (n0 + wn + j * 16 + lane % 4 * 2 + (e) % 2 + (e) / 2 % 2 * 8 >= p.N) m = setC(-3e38, m, e);
        [[unroll]] for (int i = 0; i < BLOCKS; i++) [[unroll]] for (int j = 0; j < BLOCKS; j++) {
            MatC m = acc[i][j];
            EACH(INSIDE, m)
            acc[i][j] = m;
        }
    }
#define MAX4(m, a, b, c, d) max(max(getC(m, a), getC(m, b)), max(getC(m, c), getC(m, d)))
#define WEIGH(m, e, top, sum) { float w_ = exp2(fma(getC(m, e), p.alpha, -top)); sum += w_; m = setC(w_, m, e); }
    [[unroll]] for (int i = 0; i < BLOCKS; i++) {
        vec2 maximum = vec2(-3e38);
        [[unroll]] for (int j = 0; j < BLOCKS; j++) { MatC m = acc[i][j]; maximum = max(maximum, vec2(MAX4(m, 0, 1, 2, 3), MAX4(m, 4, 5, 6, 7))); }
        [[unroll]] for (int l = 1; l < 4; l *= 2) maximum = max(maximum, subgroupShuffleXor(maximum, l));
        vec2 top = ceil(maximum * p.alpha), sum = vec2(0);
        [[unroll]] for (int j = 0; j < BLOCKS; j++) {
            MatC m = acc[i][j];
            WEIGH(m, 0, top.x, sum.x) WEIGH(m, 1, top.x, sum.x) WEIGH(m, 2, top.x, sum.x) WEIGH(m, 3, top.x, sum.x)
            WEIGH(m, 4, top.y, sum.y) WEIGH(m, 5, top.y, sum.y) WEIGH(m, 6, top.y, sum.y) WEIGH(m, 7, top.y, sum.y)
            acc[i][j] = m;
        }
        [[unroll]] for (int l = 1; l < 4; l *= 2) sum += subgroupShuffleXor(sum, l);
        int row = m0 + wm + i * 16 + lane / 4, tile = (n0 + wn) / 64, tilesOfRow = p.ldc / 64;
        if (lane % 4 == 0 && row < p.M) Tiles(ADDRESS(p.tiles, row * tilesOfRow + tile, 8)).v = vec2(top.x, sum.x);
        if (lane % 4 == 0 && row + 8 < p.M) Tiles(ADDRESS(p.tiles, (row + 8) * tilesOfRow + tile, 8)).v = vec2(top.y, sum.y);
    }
#endif

    // A warp passes 16 rows at a time through its own slice.
    [[unroll]] for (int i = 0; i < BLOCKS; i++) {
#ifdef SCORES
        [[unroll]] for (int j = 0; j < BLOCKS; j++) { MatC m = acc[i][j]; ROUND(m) storeD(sm[slice + j * 2], toD(m), kRowMajor, OUT_ROW, 32); }
        subgroupBarrier();
        [[unroll]] for (int row = lane / GROUPS; row < 16; row += ROWS) {
            int m = m0 + wm + i * 16 + row;
            if (m < p.M) Any16(ADDRESS(p.c, m * (p.ldc >> 3) + (n >> 3), 16)).v = sm[slice + row * OUT_ROW + g];
        }
#else
        [[unroll]] for (int j = 0; j < BLOCKS; j++) storeC(sm[slice + j * 4], acc[i][j], kRowMajor, OUT_ROW, 32);
        subgroupBarrier();
        [[unroll]] for (int q = 0; q < BLOCKS; q++) {
            int row = q * ROWS + lane / GROUPS, m = m0 + wm + i * 16 + row;
            vec4 x = uintBitsToFloat(sm[slice + row * OUT_ROW + g * 2]) * p.alpha, y = uintBitsToFloat(sm[slice + row * OUT_ROW + g * 2 + 1]) * p.alpha;
            if (m >= p.M || n >= p.N) continue;
#ifdef WEIGHTED
            float scale = InF(ADDRESS(p.scales, m, 4)).v;
            x *= scale; y *= scale;
#endif
#ifdef BIAS
            x += InF4(ADDRESS(p.bias, n / 4, 16)).v; y += InF4(ADDRESS(p.bias, n / 4 + 1, 16)).v;
#endif
#ifdef RESIDUAL
            uvec4 u = r[i][q];
            x += vec4(lo(u.x), hi(u.x), lo(u.y), hi(u.y)); y += vec4(lo(u.z), hi(u.z), lo(u.w), hi(u.w));
#endif
#ifdef ACTIVATION_RELU
            x = max(x, 0.0); y = max(y, 0.0);
#endif
#if OUT == F32
            int at = m * (p.ldc >> 2) + (n + int(gl_WorkGroupID.z) * p.splitStride >> 2);
            Any16(ADDRESS(p.c, at, 16)).v = floatBitsToUint(x); Any16(ADDRESS(p.c, at + 1, 16)).v = floatBitsToUint(y);
#else
            Any16(ADDRESS(p.c, m * (p.ldc >> 3) + (n >> 3), 16)).v = uvec4(pack(x.x, x.y), pack(x.z, x.w), pack(y.x, y.y), pack(y.z, y.w));
#endif
        }
#endif
        subgroupBarrier();
    }
}
