#version 460
// c = activation(alpha a b + bias + residual) on 16×16×16 cooperative matrices of bf16, sums in fp32.
//   B_NK     b [N][K] (keys, for queries times keys); else [K][N] (weights, values)
//   OUT_F32  c is fp32; else bf16
//   BIAS RESIDUAL RELU; bias fp32, residual bf16 with the shape of c, which it may be
//   BLOCKS   16×16 blocks of a warp in each direction: 4, or 2 where c is too small to fill the device
// a [M][lda], c [M][ldc]; b with rows of K or N. Part z of a product takes K inner elements from z K on and writes at z
// partStep elements behind c. K is a multiple of 32, N, lda and ldc are multiples of 8. Dispatch
// (ceil(N / TILE), ceil(M / TILE), parts). Subgroups of 32, required and full.
//
// Four warps share tiles of a and b in shared memory, rows of which are an odd number of 16 bytes apart: no bank conflicts.
// The next tiles are asked for while these are multiplied.
#pragma use_vulkan_memory_model
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_KHR_shader_subgroup_basic : require

const int TILE = 2 * BLOCKS * 16, DEPTH = 32, THREADS = 128;                    // warps stand 2 × 2
const int DEPTH_UNITS = DEPTH / 8, A_ROW = DEPTH_UNITS + 1;                     // in 16 bytes
#ifdef B_NK
const int B_ROWS = TILE, B_UNITS = DEPTH_UNITS;
#else
const int B_ROWS = DEPTH, B_UNITS = TILE / 8;
#endif
const int B_ROW = B_UNITS + 1, A_PIECES = TILE * DEPTH_UNITS / THREADS, B_PIECES = B_ROWS * B_UNITS / THREADS;
const int OUT_ROW = BLOCKS * 4 + 1, OUT_WARP = 16 * OUT_ROW;                    // 16 rows of fp32 of a warp
const int SHARED_IN = TILE * A_ROW + B_ROWS * B_ROW, SHARED_OUT = 4 * OUT_WARP;

layout(local_size_x = THREADS) in;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer In16 { uvec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Any16 { uvec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InF4 { vec4 v[]; };
layout(push_constant) uniform Push { In16 a, b; Any16 c, residual; InF4 bias; int M, N, K, lda, ldc, partStep; float alpha; } p;

#include "coopmat.glsl"

shared uvec4 sm[SHARED_IN > SHARED_OUT ? SHARED_IN : SHARED_OUT];

void main() {
    DECLARE_BF16
    int t = int(gl_LocalInvocationIndex), warp = int(gl_SubgroupID), lane = int(gl_SubgroupInvocationID);
    int n0 = int(gl_WorkGroupID.x) * TILE, m0 = int(gl_WorkGroupID.y) * TILE;
    int wm = (warp >> 1) * BLOCKS * 16, wn = (warp & 1) * BLOCKS * 16;

    // Rows and columns beyond the end repeat the last ones; what they make is not stored.
    int aFrom[A_PIECES], bFrom[B_PIECES];
    [[unroll]] for (int i = 0; i < A_PIECES; i++) {
        int e = t + i * THREADS;
        aFrom[i] = min(m0 + e / DEPTH_UNITS, p.M - 1) * (p.lda >> 3) + e % DEPTH_UNITS;
    }
    [[unroll]] for (int i = 0; i < B_PIECES; i++) {
        int e = t + i * THREADS;
#ifdef B_NK
        bFrom[i] = min(n0 + e / B_UNITS, p.N - 1) * (p.K >> 3) + e % B_UNITS;
#else
        bFrom[i] = e / B_UNITS * (p.N >> 3) + min((n0 >> 3) + e % B_UNITS, (p.N >> 3) - 1);
#endif
    }
    uvec4 ha[A_PIECES];
#define A_ASK(i) ha[i] = p.a.v[aFrom[i] + stage * DEPTH_UNITS];
#ifdef B_NK
    int bStep = DEPTH_UNITS;
#else
    int bStep = DEPTH * (p.N >> 3);
#endif
    uvec4 hb[B_PIECES];
#define ASK { [[unroll]] for (int i = 0; i < A_PIECES; i++) A_ASK(i) [[unroll]] for (int i = 0; i < B_PIECES; i++) hb[i] = p.b.v[bFrom[i] + stage * bStep]; }
#define PUT { [[unroll]] for (int i = 0; i < A_PIECES; i++) { int e = t + i * THREADS; sm[e / DEPTH_UNITS * A_ROW + e % DEPTH_UNITS] = ha[i]; } \
        [[unroll]] for (int i = 0; i < B_PIECES; i++) { int e = t + i * THREADS; sm[TILE * A_ROW + e / B_UNITS * B_ROW + e % B_UNITS] = hb[i]; } }

    MatC acc[BLOCKS][BLOCKS];
    [[unroll]] for (int i = 0; i < BLOCKS; i++) [[unroll]] for (int j = 0; j < BLOCKS; j++) acc[i][j] = splatC(0.0);
    MatA A[BLOCKS];
    MatB B[BLOCKS];
#ifdef B_NK
#define LOAD_B(k, j) B[j] = loadB(sm[TILE * A_ROW + (wn + (j) * 16) * B_ROW + (k) * 2], kColumnMajor, B_ROW, 32);
#else
#define LOAD_B(k, j) B[j] = loadB(sm[TILE * A_ROW + (k) * 16 * B_ROW + (wn + (j) * 16) / 8], kRowMajor, B_ROW, 32);
#endif
#define STEP(k) { [[unroll]] for (int i = 0; i < BLOCKS; i++) A[i] = loadA(sm[(wm + i * 16) * A_ROW + (k) * 2], kRowMajor, A_ROW, 32); \
        [[unroll]] for (int j = 0; j < BLOCKS; j++) LOAD_B(k, j) \
        [[unroll]] for (int i = 0; i < BLOCKS; i++) [[unroll]] for (int j = 0; j < BLOCKS; j++) acc[i][j] = mma(A[i], B[j], acc[i][j]); }
    int stages = p.K / DEPTH, first = int(gl_WorkGroupID.z) * stages, stage = first;
    ASK
    PUT
    barrier();
    [[dont_unroll]] for (stage = first + 1; stage < first + stages; stage++) {
        ASK
        STEP(0) STEP(1)
        barrier();
        PUT
        barrier();
    }
    STEP(0) STEP(1)
    barrier();

    // A warp passes 16 rows at a time through its own slice; a lane owns 8 columns of some rows.
    const int GROUPS = BLOCKS * 2, ROWS = 32 / GROUPS;
    int slice = warp * OUT_WARP, g = lane % GROUPS, n = n0 + wn + g * 8;
    [[unroll]] for (int i = 0; i < BLOCKS; i++) {
        [[unroll]] for (int j = 0; j < BLOCKS; j++) storeC(sm[slice + j * 4], acc[i][j], kRowMajor, OUT_ROW, 32);
        subgroupBarrier();
        [[unroll]] for (int row = lane / GROUPS; row < 16; row += ROWS) {
            int m = m0 + wm + i * 16 + row;
            vec4 x = uintBitsToFloat(sm[slice + row * OUT_ROW + g * 2]) * p.alpha, y = uintBitsToFloat(sm[slice + row * OUT_ROW + g * 2 + 1]) * p.alpha;
            if (m >= p.M || n >= p.N) continue;
#ifdef BIAS
            x += p.bias.v[n / 4]; y += p.bias.v[n / 4 + 1];
#endif
#ifdef RESIDUAL
            uvec4 r = p.residual.v[m * (p.ldc >> 3) + (n >> 3)];
            x += vec4(lo(r.x), hi(r.x), lo(r.y), hi(r.y)); y += vec4(lo(r.z), hi(r.z), lo(r.w), hi(r.w));
#endif
#ifdef RELU
            x = max(x, 0.0); y = max(y, 0.0);
#endif
#ifdef OUT_F32
            int at = m * (p.ldc >> 2) + (n + int(gl_WorkGroupID.z) * p.partStep >> 2);
            p.c.v[at] = floatBitsToUint(x); p.c.v[at + 1] = floatBitsToUint(y);
#else
            p.c.v[m * (p.ldc >> 3) + (n >> 3)] = uvec4(pack(x.x, x.y), pack(x.z, x.w), pack(y.x, y.y), pack(y.z, y.w));
#endif
        }
        subgroupBarrier();
    }
}
