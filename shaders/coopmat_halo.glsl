// What the convolutions on cooperative matrices share: a workgroup's pixels and those around them in shared memory,
// STAGE_BLOCKS blocks of 16 channels at a time, read through a norm if NORM is defined.
// Wants TAPS (rows and columns of the kernel), GRID_COLUMNS (of the workgroup's pixels; always 16 rows), STAGE_BLOCKS,
// THREADS, `sm`, and in `p` x, gn, inH, inW (rows and columns that are read), C and xStride (16 bytes from pixel
// to pixel). Rows of the halo are an odd number of 16 bytes apart: no bank conflicts.
const int HALO_X = GRID_COLUMNS + TAPS - 1, HALO_Y = CONV_COOPMAT_ROWS + TAPS - 1, PIXEL = STAGE_BLOCKS * 2, ROW = HALO_X * PIXEL + 1;
const int HALO = HALO_Y * HALO_X * PIXEL, PIECES = (HALO + THREADS - 1) / THREADS, SHARED_IN = HALO_Y * ROW;

const int HALO_X_MUL = (65536 + HALO_X - 1) / HALO_X;
int haloRow(int pixel) { return (pixel * HALO_X_MUL) >> 16; }                   // pixel / HALO_X, exact for a halo

// Piece i of this thread is unit t + i THREADS of [HALO_Y][HALO_X][PIXEL]. Pixels outside read the first one and become 0.
// (firstRow, firstColumn): the halo's first pixel.
// `from` counts bytes from the halo's first row inside of the map, for halos are small and maps may not be.
#ifdef UPSAMPLE
#define STORED(yy, xx) (((yy) >> 1) * (p.inW >> 1) + ((xx) >> 1))
#else
#define STORED(yy, xx) ((yy) * p.inW + (xx))
#endif
#define HALO_BEGIN(firstRow, firstColumn) uint from[PIECES]; uint inside = 0u; \
    int first_ = STORED(clamp(firstRow, 0, p.inH - 1), 0); uint64_t halo = ADDRESS(p.x, first_, p.xStride * 16); \
    [[unroll]] for (int i = 0; i < PIECES; i++) { \
        int e = t + i * THREADS, px = e / PIXEL, hy = haloRow(px), yy = hy + (firstRow), xx = px - hy * HALO_X + (firstColumn); \
        bool ok = uint(yy) < uint(p.inH) && uint(xx) < uint(p.inW) && e < HALO; \
        from[i] = uint((ok ? (STORED(yy, xx) - first_) * p.xStride : 0) + t % PIXEL) * 16u; inside |= ok ? 1u << i : 0u; \
    }

#include "coopmat_norm.glsl"
// The eight channels of a piece are the same in every piece of a thread: one set of coefficients a stage.
#define NORM_ASK(stage) NORM_OF((stage) * STAGE_BLOCKS * 16 + (t % PIXEL) * 8)
#define HALO_PUT(i, u) { int e = t + (i) * THREADS, px = e / PIXEL, hy = haloRow(px); \
        if (e < HALO) sm[hy * ROW + (px - hy * HALO_X) * PIXEL + t % PIXEL] = (inside >> (i) & 1u) != 0u ? INPUT(u) : uvec4(0); }
#define HALO_ASK_ALL(stage) { uint64_t x_ = OFFSET(halo, (stage) * PIXEL * 16); [[unroll]] for (int i = 0; i < PIECES; i++) h[i] = In16(OFFSET(x_, from[i])).v; }
#define HALO_PUT_ALL [[unroll]] for (int i = 0; i < PIECES; i++) HALO_PUT(i, h[i])
