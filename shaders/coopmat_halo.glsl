// What the convolutions on cooperative matrices share: a workgroup's pixels and those around them in shared memory,
// STAGE_BLOCKS blocks of 16 channels at a time, read through a norm if NORM is defined.
// Wants TAPS (rows and columns of the kernel), GRID_COLUMNS (of the workgroup's pixels; always 16 rows), STAGE_BLOCKS,
// THREADS, `sm`, and in `p` x, gn, inH, inW (rows and columns that are read), C and xStride (16 bytes from pixel
// to pixel). Rows of the halo are an odd number of 16 bytes apart: no bank conflicts.
const int HALO_X = GRID_COLUMNS + TAPS - 1, HALO_Y = 16 + TAPS - 1, PIXEL = STAGE_BLOCKS * 2, ROW = HALO_X * PIXEL + 1;
const int HALO = HALO_Y * HALO_X * PIXEL, PIECES = (HALO + THREADS - 1) / THREADS, SHARED_IN = HALO_Y * ROW;

const int HALO_X_MUL = (65536 + HALO_X - 1) / HALO_X;
int haloRow(int pixel) { return (pixel * HALO_X_MUL) >> 16; }                   // pixel / HALO_X, exact for a halo

// Piece i of this thread is unit t + i THREADS of [HALO_Y][HALO_X][PIXEL]. Pixels outside read pixel 0 and become 0.
// (firstRow, firstColumn): the halo's first pixel.
#ifdef UPSAMPLE
#define STORED(yy, xx) (((yy) >> 1) * (p.inW >> 1) + ((xx) >> 1))
#else
#define STORED(yy, xx) ((yy) * p.inW + (xx))
#endif
#define HALO_BEGIN(firstRow, firstColumn) int from[PIECES]; uint inside = 0u; \
    [[unroll]] for (int i = 0; i < PIECES; i++) { \
        int e = t + i * THREADS, px = e / PIXEL, hy = haloRow(px), yy = hy + (firstRow), xx = px - hy * HALO_X + (firstColumn); \
        bool ok = uint(yy) < uint(p.inH) && uint(xx) < uint(p.inW) && e < HALO; \
        from[i] = (ok ? STORED(yy, xx) * p.xStride : 0) + t % PIXEL; inside |= ok ? 1u << i : 0u; \
    }

// The eight channels of a piece are the same in every piece of a thread: one set of coefficients a stage.
#ifdef NORM
vec4 ab[4];                                                                     // (scale, shift) of 8 channels
#ifdef NORM_SILU
// x / (1 + exp(-x)) = h + h tanh(h) with h = x / 2: in half precision tanh is one instruction, exp and 1 / x are two.
#define OF_PAIR 0.5
uint normed(float a, float b) { f16vec2 t = tanh(f16vec2(a, b)); return pack(fma(a, float(t.x), a), fma(b, float(t.y), b)); }
#else
#define OF_PAIR 1.0
uint normed(float a, float b) { return pack(a, b); }
#endif
#define NORM_ASK(stage) { int g_ = ((stage) * STAGE_BLOCKS * 16 + (t % PIXEL) * 8) / 2; [[unroll]] for (int q = 0; q < 4; q++) ab[q] = OF_PAIR * p.gn.v[g_ + q]; }
#define IN2(u, q) normed(fma(lo(u), ab[q].x, ab[q].y), fma(hi(u), ab[q].z, ab[q].w))
#define INPUT(u) uvec4(IN2(u.x, 0), IN2(u.y, 1), IN2(u.z, 2), IN2(u.w, 3))
#else
#define NORM_ASK(stage)
#define INPUT(u) u
#endif
#define HALO_ASK(i, stage, u) u = p.x.v[from[i] + (stage) * PIXEL];
#define HALO_PUT(i, u) { int e = t + (i) * THREADS, px = e / PIXEL, hy = haloRow(px); \
        if (e < HALO) sm[hy * ROW + (px - hy * HALO_X) * PIXEL + t % PIXEL] = (inside >> (i) & 1u) != 0u ? INPUT(u) : uvec4(0); }
#define HALO_ASK_ALL(stage) [[unroll]] for (int i = 0; i < PIECES; i++) HALO_ASK(i, stage, h[i])
#define HALO_PUT_ALL [[unroll]] for (int i = 0; i < PIECES; i++) HALO_PUT(i, h[i])
