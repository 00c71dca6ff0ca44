#version 460
// out = activation(scale · a b + bias + residual), sums in fp32, b [inner][columns]: a product of matrices, or with
// KERNEL a convolution of an NHWC feature map: its rows are the output's pixels, its inner extent is taps × channels.
// Defines: IN WEIGHT OUT RESIDUAL (types of a, b, out and what is added; no RESIDUAL: nothing is), BIAS (fp32),
//   ACTIVATION_RELU ACTIVATION_SILU
//   B_NK      b [columns][inner] (keys); not with KERNEL
//   KERNEL    of a convolution, with its STRIDE; weights [tap][in][out]; zeros around the feature map
//   UPSAMPLE  the feature map is upsampled by two as it is read, nearest neighbour
//   FOLDED    a 3×3 convolution of an upsampled feature map as four 2×2 ones of the stored map (KERNEL 2, STRIDE 1), one
//             for each parity of output row and column: weights [2 · odd row + odd column][tap][in][out], rows are a
//             quarter of the output's pixels
//   NORM      the input is activation(x · scale + shift), fp32 pairs (scale, shift) by [picture][channel] at
//             coefficientsAddress; with NORM_RELU or NORM_SILU; zeros around the feature map stay zero
//   SPLIT_K   pictures are splits of the inner extent kTotal: `inner` (a multiple of DEPTH) elements each, the last one
//             has the rest; pixels of `out` are [row][split]
//   RAGGED    `inner` is no multiple of DEPTH. Rows of `a` are read by vec4 and are zero from `inner` to the next multiple
//   TILE_M TILE_N THREAD_M THREAD_N DEPTH BUFFERS  see below
// Rows of `a`, of `out` and of the residual are pixels, each with its stride in elements; those of `out` and of the
// residual are counted through all pictures. Rows of b are weightStride elements apart. Strides and `columns` are
// multiples of four; with B_NK `columns` is any number, and `out` gets undefined values from there to the next multiple of
// four.
// Groups: ceil(columns / TILE_N) × ceil(rows / TILE_M) × pictures (× 4 phases with FOLDED), columns fastest.
#include "common.glsl"

// A group makes a tile of TILE_M rows × TILE_N columns, a thread THREAD_M × THREAD_N of them (4 or 8 each), from DEPTH
// (8 or 16) inner elements at a time. BUFFERS 2: the next are stored while these are read, with one barrier instead of
// two; 1: half of the shared memory.
#ifndef TILE_M
#define TILE_M 128
#define TILE_N 128
#define THREAD_M 8
#define THREAD_N 8
#endif
#ifndef DEPTH
#define DEPTH 8
#endif
#ifndef BUFFERS
#define BUFFERS 2
#endif
const uint THREADS = TILE_M / THREAD_M * (TILE_N / THREAD_N);

layout(local_size_x = THREADS) in;
#define PUSH_PRODUCT
#include "push_constants.h"

#ifdef KERNEL
#define TAPS (KERNEL * KERNEL)
#else
#define TAPS 1
#endif
#ifdef UPSAMPLE
#define SOURCE(i) ((i) >> 1)
#define LIMIT(extent) (2 * extent)
#else
#define SOURCE(i) (i)
#define LIMIT(extent) (extent)
#endif
// Tiles in shared memory are [DEPTH][rows or columns], so that a thread reads both as vec4. A tensor whose inner extent is
// contiguous is transposed on the way; one vec4 of padding after each row spreads these writes over the banks.
const uint UNITS = DEPTH / 4; // vec4 along the inner extent
const uint A_ROW = TILE_M / 4 + 1, A_SIZE = DEPTH * A_ROW, A_LOADS = TILE_M * UNITS / THREADS;
#ifdef B_NK
const uint B_VEC4S = UNITS, B_ROW = TILE_N / 4 + 1;
#else
const uint B_VEC4S = TILE_N / 4, B_ROW = TILE_N / 4;
#endif
const uint B_SIZE = DEPTH * B_ROW, B_LOADS = TILE_N * UNITS / THREADS;
// 32 consecutive threads are arranged 8 across and 4 down: together their reads of shared memory touch every bank once.
// The vec4s of rows of one thread are therefore 4 vec4s apart, its vec4s of columns 8.
const uint ACROSS = 8, DOWN = 4, WARPS_ACROSS = TILE_N / (ACROSS * THREAD_N);

shared vec4 aTile[BUFFERS * A_SIZE], bTile[BUFFERS * B_SIZE];

// Load i of a thread is a vec4 of `a` and one of b in their storage types. They are unpacked only when they are stored to
// shared memory, so that nothing waits for the loads before.
RAW4(IN) aHeld[A_LOADS];
RAW4(WEIGHT) bHeld[B_LOADS];
bool aInside[A_LOADS]; // the feature map; what is outside becomes zero
// Address of the next loads, the same for the whole group, and the offsets of this thread's loads from it in bytes.
uint64_t aAddress, bAddress;
uint aOffset[A_LOADS], bOffset[B_LOADS];
uint channel = 0, tap = 0, unit; // of the next loads; `unit`: which vec4 of DEPTH is this thread's
#ifdef RAGGED
bool aWithin; // the inner extent
#endif
#ifdef NORM
uint64_t coefficients;
vec4 low, high;
#endif

#ifdef KERNEL
uint64_t firstRow;      // address of the first row of the stored feature map that this tile reads
uint firstY;            // this row
ivec2 corner[A_LOADS]; // first tap of the pixel: column, row

void aimAtTap() {
    aAddress = firstRow;
    [[unroll]] for (uint i = 0; i < A_LOADS; ++i) {
        uint x = uint(corner[i].x) + tap % KERNEL, y = uint(corner[i].y) + tap / KERNEL; // huge where below 0
        aInside[i] = x < LIMIT(inWidth) && y < LIMIT(inHeight);
        uint pixel = aInside[i] ? (SOURCE(y) - firstY) * inWidth + SOURCE(x) : 0;
        aOffset[i] = pixel * inStride * BYTES(IN);
    }
}
#endif

// Loads the next DEPTH inner elements into registers.
void prefetch() {
#ifdef KERNEL
    if (channel >= inner) {
        channel = 0;
        ++tap;
        aimAtTap();
    }
#endif
    uint own = unit * 4;
#ifdef RAGGED
    aWithin = channel + own < inner;
    if (!aWithin) own = 0;
#endif
    [[unroll]] for (uint i = 0; i < A_LOADS; ++i)
        aHeld[i] = LOAD_RAW4(IN)(aAddress + (aOffset[i] + own * BYTES(IN)));
    aAddress += DEPTH * BYTES(IN);
#ifdef NORM
    low = load4F32(coefficients, (channel + own) / 2);
    high = load4F32(coefficients, (channel + own) / 2 + 1);
#endif
    [[unroll]] for (uint i = 0; i < B_LOADS; ++i) {
#ifdef B_NK
        bHeld[i] = LOAD_RAW4(WEIGHT)(bAddress + (bOffset[i] + own * BYTES(WEIGHT)));
#elif defined(RAGGED)
        uint row = min((gl_LocalInvocationIndex + i * THREADS) / B_VEC4S, inner - 1 - channel);
        bHeld[i] = LOAD_RAW4(WEIGHT)(bAddress + (bOffset[i] + row * weightStride * BYTES(WEIGHT)));
#else
        bHeld[i] = LOAD_RAW4(WEIGHT)(bAddress + bOffset[i]);
#endif
    }
#ifdef B_NK
    bAddress += DEPTH * BYTES(WEIGHT);
#elif defined(RAGGED)
    bAddress += uint64_t(min(DEPTH, inner - channel)) * weightStride * BYTES(WEIGHT);
#else
    bAddress += DEPTH * weightStride * BYTES(WEIGHT);
#endif
    channel += DEPTH;
}

#define STORE_TRANSPOSED(tile, first, ROW, row, x)                                                                     \
    [[unroll]] for (uint j = 0; j < 4; ++j) tile[(first) + (unit * 4 + j) * ROW + (row) / 4][(row) % 4] = x[j];

// Stores what prefetch() loaded to the tiles in shared memory.
void storeToShared(uint slot) {
    [[unroll]] for (uint i = 0; i < A_LOADS; ++i) {
        vec4 x = UNPACK4(IN)(aHeld[i]);
#ifdef NORM
        x = NORM_ACTIVATE(fma(x, vec4(low.xz, high.xz), vec4(low.yw, high.yw)));
#endif
#ifdef KERNEL
        if (!aInside[i]) x = vec4(0);
#endif
#ifdef RAGGED
        if (!aWithin) x = vec4(0);
#endif
        STORE_TRANSPOSED(aTile, slot * A_SIZE, A_ROW, (gl_LocalInvocationIndex + i * THREADS) / UNITS, x)
    }
    [[unroll]] for (uint i = 0; i < B_LOADS; ++i) {
        uint load = gl_LocalInvocationIndex + i * THREADS;
        vec4 x = UNPACK4(WEIGHT)(bHeld[i]);
#ifdef B_NK
        STORE_TRANSPOSED(bTile, slot * B_SIZE, B_ROW, load / UNITS, x)
#else
        bTile[slot * B_SIZE + load] = x; // [DEPTH][B_VEC4S]
#endif
    }
}

// Index of the vec4 of columns n to n + 3 of row m in a tensor of this stride.
uint64_t vec4Index(uint stride, uint picture, uint phase, uint m, uint n) {
#ifdef FOLDED
    uint width = outWidth / 2;
    uint64_t pixel = uint64_t(picture * outHeight + m / width * 2 + (phase >> 1)) * outWidth;
    pixel += m % width * 2 + (phase & 1);
#elif defined(SPLIT_K)
    uint64_t pixel = uint64_t(m) * pictures + picture;
#else
    uint64_t pixel = uint64_t(picture) * rows + m;
#endif
    return (pixel * stride + n) / 4;
}
// A tile's residuals are all read before its first output is written, for the residual may be the output.
vec4 finished(uint picture, uint phase, uint m, uint n, vec4 x) {
    m = min(m, rows - 1);
    n = min(n, (columns - 1) / 4 * 4);
    x *= scale;
#ifdef BIAS
    x += load4F32(biasAddress, n / 4);
#endif
#ifdef RESIDUAL
    x += LOAD4(RESIDUAL)(residualAddress, vec4Index(residualStride, picture, phase, m, n));
#endif
    return ACTIVATE(x);
}

// Macros and not loops: a driver that keeps a loop puts all sums into memory, because an index of them varies.
#define ROWS4(DO, i, j) DO(i, j) DO(i + 1, j) DO(i + 2, j) DO(i + 3, j)
#if THREAD_M == 8
#define ROWS(DO, j) ROWS4(DO, 0, j) ROWS4(DO, 4, j)
#else
#define ROWS(DO, j) ROWS4(DO, 0, j)
#endif
#if THREAD_N == 8
#define EACH(DO) ROWS(DO, 0) ROWS(DO, 1)
#else
#define EACH(DO) ROWS(DO, 0)
#endif
#if DEPTH == 16
#define STEPS STEPS8(0) STEPS8(8)
#else
#define STEPS STEPS8(0)
#endif
#define STEPS8(k) STEP(k) STEP(k + 1) STEP(k + 2) STEP(k + 3) STEP(k + 4) STEP(k + 5) STEP(k + 6) STEP(k + 7)
#define STEP(k)                                                                                                        \
    {                                                                                                                  \
        vec4 a[THREAD_M / 4], b[THREAD_N / 4];                                                                         \
        [[unroll]] for (uint i = 0; i < THREAD_M / 4; ++i) a[i] = aTile[aAt + (k) * A_ROW + i * DOWN];                 \
        [[unroll]] for (uint j = 0; j < THREAD_N / 4; ++j) b[j] = bTile[bAt + (k) * B_ROW + j * ACROSS];               \
        EACH(MULTIPLY)                                                                                                 \
    }
#define MULTIPLY(i, j) sum[i][j] = fma(vec4(a[(i) / 4][(i) % 4]), b[j], sum[i][j]);
#define CLEAR(i, j) sum[i][j] = vec4(0);
#define M(i) (m0 + (mVec4 + (i) / 4 * DOWN) * 4 + (i) % 4)
#define N(j) (n0 + (nVec4 + (j) * ACROSS) * 4)
#define FINISH(i, j) sum[i][j] = finished(picture, phase, M(i), N(j), sum[i][j]);
#define WRITE(i, j)                                                                                                    \
    if (M(i) < rows && N(j) < columns) STORE4(OUT)(outAddress, vec4Index(outStride, picture, phase, M(i), N(j)), sum[i][j]);

void main() {
    uint tilesN = (columns + TILE_N - 1) / TILE_N, tilesM = (rows + TILE_M - 1) / TILE_M;
    uint group = uint(linearGroup()), rest = group / tilesN;
    uint n0 = group % tilesN * TILE_N, m0 = rest % tilesM * TILE_M;
    rest /= tilesM;
    uint picture = rest % pictures, phase = rest / pictures;
#ifdef FOLDED
    if (phase >= 4) return;
#else
    if (phase >= 1) return;
#endif

    // Rows and columns beyond the end load the last ones again; their results are not stored.
    uint thread = gl_LocalInvocationIndex;
    unit = thread % UNITS;
#ifdef KERNEL
#ifdef FOLDED
    const uint width = outWidth / 2;
    ivec2 before = ivec2(padLeft, padTop) - ivec2(phase & 1, phase >> 1);
#else
    const uint width = outWidth;
    ivec2 before = ivec2(padLeft, padTop);
#endif
    int y0 = max(int(m0 / width) * STRIDE - before.y, 0);
    firstY = min(SOURCE(uint(y0)), inHeight - 1);
    firstRow = inAddress + (picture * batchStrideA + uint64_t(firstY) * inWidth * inStride) * BYTES(IN);
#else
    aAddress = inAddress + (picture * batchStrideA + uint64_t(m0) * inStride) * BYTES(IN);
#endif
    [[unroll]] for (uint i = 0; i < A_LOADS; ++i) {
        uint m = min(m0 + (thread + i * THREADS) / UNITS, rows - 1);
#ifdef KERNEL
        corner[i] = ivec2(m % width, m / width) * STRIDE - before;
#else
        aOffset[i] = (m - m0) * inStride * BYTES(IN);
#endif
    }
#ifdef KERNEL
    aimAtTap();
#endif
#ifdef NORM
    coefficients = coefficientsAddress + uint64_t(picture) * inner * 8;
#endif
    bAddress = weightAddress + picture * batchStrideB * BYTES(WEIGHT);
    bAddress += uint64_t(phase * TAPS) * inner * weightStride * BYTES(WEIGHT);
#ifdef B_NK
    bAddress += uint64_t(n0) * weightStride * BYTES(WEIGHT);
#endif
    [[unroll]] for (uint i = 0; i < B_LOADS; ++i) {
        uint load = thread + i * THREADS;
#ifdef B_NK
        bOffset[i] = (min(n0 + load / UNITS, columns - 1) - n0) * weightStride * BYTES(WEIGHT);
#else
        bOffset[i] = min(n0 + load % B_VEC4S * 4, columns - 4) * BYTES(WEIGHT);
#ifndef RAGGED
        bOffset[i] += load / B_VEC4S * weightStride * BYTES(WEIGHT);
#endif
#endif
    }

    uint lane = thread % (ACROSS * DOWN), warp = thread / (ACROSS * DOWN);
    uint mVec4 = warp / WARPS_ACROSS * (DOWN * THREAD_M / 4) + lane / ACROSS; // first one of this thread, in the tile
    uint nVec4 = warp % WARPS_ACROSS * (ACROSS * THREAD_N / 4) + lane % ACROSS;
    uint aAt = mVec4, bAt = nVec4;
    vec4 sum[THREAD_M][THREAD_N / 4];
    EACH(CLEAR)

#ifdef SPLIT_K
    uint stages = (min(inner, kTotal - picture * inner) + DEPTH - 1) / DEPTH;
#else
    uint stages = TAPS * ((inner + DEPTH - 1) / DEPTH);
#endif
    prefetch();
    storeToShared(0);
    barrier();
    [[dont_unroll]] for (uint stage = 1;; ++stage) {
        if (stage < stages) prefetch();
        STEPS
        if (stage == stages) break;
#if BUFFERS == 2
        uint slot = stage & 1;
        storeToShared(slot);
        aAt = slot * A_SIZE + mVec4;
        bAt = slot * B_SIZE + nVec4;
#else
        barrier();
        storeToShared(0);
#endif
        barrier();
    }

    EACH(FINISH)
    EACH(WRITE)
}
