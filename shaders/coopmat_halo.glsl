// The halo of convolutions on cooperative matrices: a workgroup's pixels and those around them in shared memory,
// STAGE_BLOCKS blocks of 16 channels at a time, read through a norm if NORM is defined.
// Wants TAPS (rows and columns of the kernel), GRID_COLUMNS (of the workgroup's pixels; always 16 rows), STAGE_BLOCKS,
// THREADS, `sm`, and in `p` x, gn, inH, inW (rows and columns that are read), C and xStride (16 bytes from pixel
// to pixel). Rows of the halo are an odd number of 16 bytes apart: no bank conflicts.
const int HALO_X = GRID_COLUMNS + TAPS - 1, HALO_Y = CONV_COOPMAT_ROWS + TAPS - 1, PIXEL = STAGE_BLOCKS * 2, ROW = HALO_X * PIXEL + 1;
const int HALO = HALO_Y * HALO_X * PIXEL, HALO_LOADS = (HALO + THREADS - 1) / THREADS, SHARED_IN = HALO_Y * ROW;

const int HALO_X_MUL = (65536 + HALO_X - 1) / HALO_X;
int haloRow(int pixel) { return (pixel * HALO_X_MUL) >> 16; }                   // pixel / HALO_X, exact for a halo

// Load i of this thread is the 16 bytes t + i THREADS of [HALO_Y][HALO_X][PIXEL]. Pixels outside of the feature map load its
// first one and become 0. (firstRow, firstColumn): the halo's first pixel. `from` counts bytes from the first row of the halo
// that is inside of the feature map: they fit into 32 bits, which bytes from its first pixel may not.
#ifdef UPSAMPLE
#define STORED(yy, xx) (((yy) >> 1) * (p.inW >> 1) + ((xx) >> 1))
#else
#define STORED(yy, xx) ((yy) * p.inW + (xx))
#endif
#define HALO_BEGIN(firstRow, firstColumn) uint from[HALO_LOADS]; uint inside = 0u; \
    int first_ = STORED(clamp(firstRow, 0, p.inH - 1), 0); uint64_t halo = ADDRESS(p.x, first_, p.xStride * 16); \
    [[unroll]] for (int i = 0; i < HALO_LOADS; i++) { \
        int e = t + i * THREADS, px = e / PIXEL, hy = haloRow(px), yy = hy + (firstRow), xx = px - hy * HALO_X + (firstColumn); \
        bool ok = uint(yy) < uint(p.inH) && uint(xx) < uint(p.inW) && e < HALO; \
        from[i] = uint((ok ? (STORED(yy, xx) - first_) * p.xStride : 0) + t % PIXEL) * 16u; inside |= ok ? 1u << i : 0u; \
    }

#include "coopmat_norm.glsl"
// All loads of a thread have the same eight channels: one set of coefficients a stage.
#define LOAD_COEFFICIENTS(stage) LOAD_NORM((stage) * STAGE_BLOCKS * 16 + (t % PIXEL) * 8)
#define STORE_HALO_LOAD(i, u) { int e = t + (i) * THREADS, px = e / PIXEL, hy = haloRow(px); \
        if (e < HALO) sm[hy * ROW + (px - hy * HALO_X) * PIXEL + t % PIXEL] = (inside >> (i) & 1u) != 0u ? INPUT(u) : uvec4(0); }
#define PREFETCH_HALO(stage) { uint64_t x_ = OFFSET(halo, (stage) * PIXEL * 16); [[unroll]] for (int i = 0; i < HALO_LOADS; i++) h[i] = In16(OFFSET(x_, from[i])).v; }
#define STORE_HALO [[unroll]] for (int i = 0; i < HALO_LOADS; i++) STORE_HALO_LOAD(i, h[i])
