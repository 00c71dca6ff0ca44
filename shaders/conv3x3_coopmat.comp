#version 460
// 3×3 convolution, stride 1, padding 1, NHWC bf16 in and out, fp32 sums, on 16×16×16 cooperative matrices.
//   UPSAMPLE  the input is read as if doubled by nearest neighbour
//   RESIDUAL  adds res, which has the output's shape and may be the output
// x [H][W][C] (UPSAMPLE: of half the size), y and res [H][W][K], bias [K] fp32; H, W: of the output.
// w [C/16][3 rows][3 columns][K/16][32 lanes][8]: each 16×16 block as the lanes of a subgroup hold it.
// Dispatch (K / 128, ceil(W / 8), ceil(H / 16)); C is a multiple of 32, K of 128. Subgroups of 32, required and full.
//
// A workgroup is 4 warps and makes 16 rows × 8 columns of pixels × 128 channels, a warp 128 pixels × 32 channels. 128 sums
// a lane leave room for two workgroups on a multiprocessor, which overlap each other's loads, barriers and epilogue; more
// than 24 KB of shared memory would cost that. Matrix rows run down the picture: the three taps of a row share their
// matrices. Weights never touch shared memory: a lane reads its eight elements of a matrix in one 16-byte load. Loops are
// unrolled by macros, because the driver keeps those that it thinks too large, and indices cost instructions then.
#pragma use_vulkan_memory_model
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_KHR_shader_subgroup_basic : require

const int COLUMNS = 8, BLOCKS = 2, WARPS = 4, STAGE_BLOCKS = 2;                 // pixel columns and 16-channel blocks of a warp
const int THREADS = WARPS * 32, CHANNELS = WARPS * BLOCKS * 16;
const int HALO_X = COLUMNS + 2, PIXEL = STAGE_BLOCKS * 2, ROW = HALO_X * PIXEL + 1; // in 16 bytes; odd: no bank conflicts
const int HALO = 18 * HALO_X * PIXEL, PIECES = (HALO + THREADS - 1) / THREADS;
#ifdef RESIDUAL
const int OUT_ROW = BLOCKS * 4 + 2;                                             // fp32 until the residual is added
#else
const int OUT_ROW = BLOCKS * 2 + 1;
#endif
const int OUT_WARP = 16 * OUT_ROW, SHARED_IN = 18 * ROW, SHARED_OUT = WARPS * OUT_WARP;

layout(local_size_x = THREADS) in;
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer In16 { uvec4 v[]; };
// Not readonly on purpose: the driver moves read-only loads down to their use, past barriers.
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Any16 { uvec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) writeonly buffer Out16 { uvec4 v[]; };
layout(buffer_reference, std430, buffer_reference_align = 16) readonly buffer InF4 { vec4 v[]; };
layout(push_constant) uniform Push { In16 x, w; Any16 res; Out16 y; InF4 bias; int H, W, C, K; } p;

#include "coopmat.glsl"

shared uvec4 sm[SHARED_IN > SHARED_OUT ? SHARED_IN : SHARED_OUT];

const int HALO_X_MUL = (65536 + HALO_X - 1) / HALO_X;
int haloRow(int pixel) { return (pixel * HALO_X_MUL) >> 16; }                   // pixel / HALO_X, exact for a halo

void main() {
    DECLARE_BF16
    int t = int(gl_LocalInvocationIndex), warp = int(gl_SubgroupID), lane = int(gl_SubgroupInvocationID);
    int x0 = int(gl_WorkGroupID.y) * COLUMNS, y0 = int(gl_WorkGroupID.z) * 16;
    int n0 = int(gl_WorkGroupID.x) * CHANNELS + warp * (BLOCKS * 16);
    int C8 = p.C >> 3, K8 = p.K >> 3, stages = p.C / (STAGE_BLOCKS * 16);

    // Piece i of this thread is unit t + i THREADS of [18][HALO_X][PIXEL]. Pixels outside read pixel 0 and become 0.
    int from[PIECES]; uint inside = 0u;
    [[unroll]] for (int i = 0; i < PIECES; i++) {
        int e = t + i * THREADS, px = e / PIXEL, hy = haloRow(px), hx = px - hy * HALO_X, yy = hy + y0 - 1, xx = hx + x0 - 1;
        bool ok = uint(yy) < uint(p.H) && uint(xx) < uint(p.W) && e < HALO;
#ifdef UPSAMPLE
        int at = (yy >> 1) * (p.W >> 1) + (xx >> 1);
#else
        int at = yy * p.W + xx;
#endif
        from[i] = (ok ? at * C8 : 0) + t % PIXEL; inside |= ok ? 1u << i : 0u;
    }
#define HALO_ASK(i, stage, u) u = p.x.v[from[i] + (stage) * PIXEL];
#define HALO_PUT(i, u) { int e = t + (i) * THREADS, px = e / PIXEL, hy = haloRow(px); \
        if (e < HALO) sm[hy * ROW + (px - hy * HALO_X) * PIXEL + t % PIXEL] = (inside >> (i) & 1u) != 0u ? u : uvec4(0); }

    MatC acc[COLUMNS][BLOCKS];
    uvec4 h[PIECES];
    [[unroll]] for (int i = 0; i < PIECES; i++) HALO_ASK(i, 0, h[i])
    [[unroll]] for (int j = 0; j < BLOCKS; j++) {                               // stride 0: every row is the bias
        MatC b = loadC(p.bias.v[(n0 + j * 16) / 4], kRowMajor, 0, 2, 16);
        [[unroll]] for (int i = 0; i < COLUMNS; i++) acc[i][j] = b;
    }
    [[unroll]] for (int i = 0; i < PIECES; i++) HALO_PUT(i, h[i])
    // The weights of the next tap are asked for while those of this one are used; behind the last one the last again.
    uvec4 wr[BLOCKS];
    int wStep = p.K * 2, wi = n0 * 2 + lane, wLast = wi + (p.C / 16 * 9 - 1) * wStep;
#define W_ASK { [[unroll]] for (int j = 0; j < BLOCKS; j++) wr[j] = p.w.v[min(wi, wLast) + j * 32]; wi += wStep; }
    W_ASK
    barrier();

    MatA A[COLUMNS + 2];
    MatB B[BLOCKS];
#define TAP(dx) { [[unroll]] for (int j = 0; j < BLOCKS; j++) COMPOSE(B[j], wr[j]) W_ASK \
        [[unroll]] for (int i = 0; i < COLUMNS; i++) [[unroll]] for (int j = 0; j < BLOCKS; j++) acc[i][j] = mma(A[i + (dx)], B[j], acc[i][j]); }
#define TAPS(k, dy) { [[unroll]] for (int r = 0; r < COLUMNS + 2; r++) A[r] = loadA(sm[(dy) * ROW + r * PIXEL + (k) * 2], kRowMajor, ROW, 32); \
        TAP(0) TAP(1) TAP(2) }
#define STAGE TAPS(0, 0) TAPS(0, 1) TAPS(0, 2) TAPS(1, 0) TAPS(1, 1) TAPS(1, 2)
    [[dont_unroll]] for (int stage = 1; stage < stages; stage++) {
        [[unroll]] for (int i = 0; i < PIECES; i++) HALO_ASK(i, stage, h[i])
        STAGE
        barrier();
        [[unroll]] for (int i = 0; i < PIECES; i++) HALO_PUT(i, h[i])
        barrier();
    }
    STAGE                                                                       // the last one asks for nothing
    barrier();

    // A warp passes 16 pixels × its channels at a time through its own slice; a lane owns 8 channels of some pixels.
    const int GROUPS = BLOCKS * 2, PIXELS = 32 / GROUPS, PASSES = 16 / PIXELS;
    int slice = warp * OUT_WARP, g = lane % GROUPS, row = lane / GROUPS, k8 = (n0 + g * 8) >> 3;
#ifdef RESIDUAL
    uvec4 rr[COLUMNS][PASSES];
    [[unroll]] for (int i = 0; i < COLUMNS; i++) [[unroll]] for (int q = 0; q < PASSES; q++)
        rr[i][q] = p.res.v[(min(y0 + q * PIXELS + row, p.H - 1) * p.W + min(x0 + i, p.W - 1)) * K8 + k8];
#endif
    [[unroll]] for (int i = 0; i < COLUMNS; i++) {
#ifdef RESIDUAL
        [[unroll]] for (int j = 0; j < BLOCKS; j++) storeC(sm[slice + j * 4], acc[i][j], kRowMajor, OUT_ROW, 32);
#else
        [[unroll]] for (int j = 0; j < BLOCKS; j++) { MatC m = acc[i][j]; ROUND(m) storeD(sm[slice + j * 2], toD(m), kRowMajor, OUT_ROW, 32); }
#endif
        subgroupBarrier();
        [[unroll]] for (int q = 0; q < PASSES; q++) {
            int px = q * PIXELS + row, yy = y0 + px, xx = x0 + i;
#ifdef RESIDUAL
            uvec4 r = rr[i][q];
            vec4 a = uintBitsToFloat(sm[slice + px * OUT_ROW + g * 2]) + vec4(lo(r.x), hi(r.x), lo(r.y), hi(r.y));
            vec4 b = uintBitsToFloat(sm[slice + px * OUT_ROW + g * 2 + 1]) + vec4(lo(r.z), hi(r.z), lo(r.w), hi(r.w));
            uvec4 u = uvec4(pack(a.x, a.y), pack(a.z, a.w), pack(b.x, b.y), pack(b.z, b.w));
#else
            uvec4 u = sm[slice + px * OUT_ROW + g];
#endif
            if (yy < p.H && xx < p.W) p.y.v[(yy * p.W + xx) * K8 + k8] = u;
        }
        subgroupBarrier();
    }
}
