#version 460
// Columns of a 3×3 convolution for some rows of its output: [rows × out width][tap][channel] in the type of the input,
// zeros outside of the feature map. Rows are counted over all pictures. Defines: TYPE, STRIDE, UPSAMPLE (the input is
// upsampled by two as it is read), FEW_INPUTS (channels are no multiple of four; F32). Groups of 64 threads over pixels × 9 × channels / 4, or
// × channels with FEW_INPUTS, channels fastest.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_IM2COL
#include "push_constants.h"

#ifdef UPSAMPLE
#define SOURCE(i) ((i) >> 1)
#define LIMIT(extent) (2 * int(extent))
#else
#define SOURCE(i) (i)
#define LIMIT(extent) int(extent)
#endif
#ifdef FEW_INPUTS
#define WIDTH 1
#else
#define WIDTH 4
#endif

void main() {
    uint blocks = channels / WIDTH;
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t(rows) * outWidth * 9ul * blocks) return;
    uint block = uint(item % blocks);
    uint64_t rest = item / blocks;
    int tap = int(rest % 9ul);
    rest /= 9ul;
    uint64_t row = firstRow + rest / outWidth;
    int iy = int(row % outHeight) * STRIDE + tap / 3 - padTop, ix = int(rest % outWidth) * STRIDE + tap % 3 - padLeft;
    bool inside = iy >= 0 && iy < LIMIT(inHeight) && ix >= 0 && ix < LIMIT(inWidth);
    uint64_t source = 0ul;
    if (inside) source = (((row / outHeight) * inHeight + SOURCE(iy)) * inWidth + SOURCE(ix)) * blocks + block;
#ifdef FEW_INPUTS
    store1F32(columnsAddress, item, inside ? load1F32(inAddress, source) : 0.0);
#else
    vec4 v = LOAD4(TYPE)(inAddress, source);
    STORE4(TYPE)(columnsAddress, item, inside ? v : vec4(0));
#endif
}
