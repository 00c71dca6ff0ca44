#version 460
// Matrix product for Mesa's CPU device: C[m][n] = alpha * sum over k of A[m][k] * B + bias[n] + residual[m][n], sums in fp32.
//
// B_KN: B is [k][n] by rows (1x1 convolutions with weights [in][out], attention P*V). B_NK: B is [n][k] by rows (Q*K^T).
// k % 4 == 0, n % 4 == 0, m as it comes. A and C are feature maps or score blocks of one tensor each; the rows in use begin
// at aRow and cRow, those of B at bRow. The residual is read at C's place and may be C itself.
//   bindings  0 A (IN)   1 B (WEIGHT)   2 residual (RESIDUAL, type OUT)   3 bias, fp32, four a texel (BIAS)
//   push      push_constants.h; the address of C aligned to four elements
//   groups    ceil(m / (8 * PV)) * ceil(n / KT) in one line, cut into x and y as the device wants (x fastest; too many do no harm)
//   limits    fewer than 2^27 texels in A, B and the residual; n * (cRow + m) / 4 < 2^31
//   rates     GFLOP/s, two Zen 3 cores: B_KN 52 to 64, B_NK 48 (58 bf16)
//   defines   B_KN or B_NK, BIAS, RESIDUAL, ACTIVATION_RELU, ALPHA (else alpha is not read), KT 32|16|8 (32 as it stands), PV rows a lane (5),
//             KU texels of k a step (1; k / 4 % KU == 0), IN_PLACE: C is the first COLUMNS of A's columns, a multiple of KT;
//             a group makes all of its rows, in groups ceil(m / (8 * PV)), and writes when it has read all of them; with B_KN
//             WINOGRAD: a product for each workgroup along z, stored in the order in which groups read: A by blocks of 8 * PV rows
//             [z][m by blocks][k / 4][rows of the block][4], B [z][n / KT][k][KT], C [m][n / KT][z][KT]; KT 32, n % KT == 0, rows
//             begin at 0; with B_KN
//
// A lane keeps PV x KT sums; its rows are 8 apart. A step of four k fetches one texel for each row, and all of B's tile with
// KT / 8 fetches spread over the lanes.
#include "cpu_common.glsl"
#ifndef KT
#define KT GEMM_CPU_COLUMNS
#endif
#ifndef PV
#define PV GEMM_CPU_ROWS
#endif
#ifndef KU
#define KU 1
#endif
#define NB (KT / 8)
layout(local_size_x = 8) in;
layout(set = 0, binding = 0) uniform IN_BUFFER aMap;
layout(set = 0, binding = 1) uniform WEIGHT_BUFFER bMap;
layout(set = 0, binding = 2) uniform OUT_BUFFER residualMap;
layout(set = 0, binding = 3) uniform textureBuffer biasVector;
#define PUSH_GEMM_CPU
#define PUSH_NAME p
#include "push_constants.h"

void main() {
    const int lane = int(gl_LocalInvocationID.x), m = int(p.m), n4 = int(p.n) >> 2, k4 = int(p.k) >> 2;
    const uint tile = gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x, rowTiles = uint(m + 8 * PV - 1) / uint(8 * PV);
#ifdef IN_PLACE
    const int rowTile = int(tile), outStep = k4;
    if (tile >= rowTiles) return;
    float kept[COLUMNS / KT][PV][KT];
    [[dont_unroll]] for (int tileColumn = 0; tileColumn < COLUMNS / KT; tileColumn++) {
    const int column = tileColumn * (KT / 4);                                                  // counts texels
#else
    const int rowTile = int(tile % rowTiles), column = int(tile / rowTiles) * (KT / 4), outStep = n4;
    if (column >= n4) return;
#endif

    float acc[PV][KT];
    int aAt[PV], bAt[NB];
#ifdef WINOGRAD
    const int plane = int(gl_WorkGroupID.z), aFirst = rowTile * PV * 8, aStep = min(PV * 8, m - aFirst), bStep = KT / 4;
#else
    const int aStep = 1, bStep = n4;
#endif
    [[unroll]] for (int v = 0; v < PV; v++) {
#ifdef WINOGRAD
        aAt[v] = (plane * m + aFirst) * k4 + min(v * 8 + lane, aStep - 1);
#else
        aAt[v] = (int(p.aRow) + min((rowTile * PV + v) * 8 + lane, m - 1)) * k4;
#endif
        [[unroll]] for (int j = 0; j < KT; j++) acc[v][j] = 0.0;
    }
    [[unroll]] for (int i = 0; i < NB; i++) {
#if defined(WINOGRAD)
        bAt[i] = (plane * n4 + column) * k4 * 4 + i * 8 + lane;
#elif defined(B_NK)
        bAt[i] = (int(p.bRow) + min(column * 4 + i * 8 + lane, int(p.n) - 1)) * k4;
#else
        bAt[i] = (int(p.bRow) + (i * 8 + lane) / (KT / 4)) * n4 + min(column + lane % (KT / 4), n4 - 1);
#endif
    }
    [[dont_unroll]] for (int k = 0; k < k4; k += KU) {
        vec4 a[KU][PV], b[KU][NB];
        [[unroll]] for (int u = 0; u < KU; u++) {
            [[unroll]] for (int v = 0; v < PV; v++) a[u][v] = IN_LOAD(aMap, aAt[v] + (k + u) * aStep);
#ifdef B_NK
            [[unroll]] for (int i = 0; i < NB; i++) b[u][i] = WEIGHT_LOAD(bMap, bAt[i] + k + u);
#else
            [[unroll]] for (int i = 0; i < NB; i++) b[u][i] = WEIGHT_LOAD(bMap, bAt[i] + (k + u) * 4 * bStep);
#endif
        }
        [[unroll]] for (int j = 0; j < KT; j++) {
            float sum[PV];
            [[unroll]] for (int u = 0; u < KU; u++) [[unroll]] for (int kk = 0; kk < 4; kk++) {
#ifdef B_NK
                float s = subgroupShuffle(b[u][j / 8][kk], uint(j % 8));
#else
                int e = kk * (KT / 4) + j / 4;
                float s = subgroupShuffle(b[u][e / 8][j % 4], uint(e % 8));
#endif
                [[unroll]] for (int v = 0; v < PV; v++) {
                    float product = a[u][v][kk] * s;
                    if (u + kk == 0) sum[v] = product; else sum[v] += product;
                }
            }
            [[unroll]] for (int v = 0; v < PV; v++) acc[v][j] += sum[v];
        }
    }

#ifdef IN_PLACE
    [[unroll]] for (int v = 0; v < PV; v++) [[unroll]] for (int j = 0; j < KT; j++) kept[tileColumn][v][j] = acc[v][j];
    }
    [[dont_unroll]] for (int tileColumn = 0; tileColumn < COLUMNS / KT; tileColumn++) {
    const int column = tileColumn * (KT / 4);
    float acc[PV][KT];
    [[unroll]] for (int v = 0; v < PV; v++) [[unroll]] for (int j = 0; j < KT; j++) acc[v][j] = kept[tileColumn][v][j];
#endif
    [[unroll]] for (int v = 0; v < PV; v++) {
        int row = (rowTile * PV + v) * 8 + lane;
        if (row < m) {
#ifdef WINOGRAD
            int at = (row * n4 + column) * int(gl_NumWorkGroups.z) + plane * (KT / 4);
#else
            int at = (int(p.cRow) + row) * outStep + column;
#endif
            [[unroll]] for (int j = 0; j < KT / 4; j++) {
                if (column + j < n4) {
                    vec4 s = vec4(acc[v][4 * j], acc[v][4 * j + 1], acc[v][4 * j + 2], acc[v][4 * j + 3]);
#ifdef ALPHA
                    s *= p.alpha;
#endif
#ifdef BIAS
                    s += texelFetch(biasVector, column + j);
#endif
#ifdef RESIDUAL
                    s += OUT_LOAD(residualMap, at + j);
#endif
#ifdef ACTIVATION_RELU
                    s = max(s, vec4(0.0));
#endif
                    OUT4(p.c, at + j) = outPack(s);
                }
            }
        }
    }
#ifdef IN_PLACE
    }
#endif
}
