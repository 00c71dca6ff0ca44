#version 460
// The input of a Winograd convolution with a border of zeros: `top` rows and `left` columns before it (below zero: as
// many of the input are left out), and behind it as many as whole tiles need. Defines: TYPE, UPSAMPLE (the input is upsampled by two as it is
// read). Groups of 256 threads: ceil(padded width
// × channels / 4 / 256) for each row of all pictures, so that no thread divides 64-bit numbers.
#include "common.glsl"

layout(local_size_x = WINOGRAD_PAD_THREADS) in;
#define PUSH_WINOGRAD_PAD
#include "push_constants.h"

#ifdef UPSAMPLE
#define SOURCE(i) ((i) >> 1)
#define LIMIT(extent) (2 * (extent))
#else
#define SOURCE(i) (i)
#define LIMIT(extent) (extent)
#endif

void main() {
    uint rowItems = paddedWidth * blocks, groups = (rowItems + WINOGRAD_PAD_THREADS - 1) / WINOGRAD_PAD_THREADS, group = uint(linearGroup());
    uint row = group / groups, item = group % groups * WINOGRAD_PAD_THREADS + gl_LocalInvocationIndex;
    if (item >= rowItems || row >= pictures * paddedHeight) return;
    uint y = row % paddedHeight - top, x = item / blocks - left; // huge where below 0
    vec4 v = vec4(0);
    if (y < LIMIT(inHeight) && x < LIMIT(inWidth)) {
        uint64_t inRow = uint64_t(row / paddedHeight * inHeight + SOURCE(y)) * inWidth;
        v = LOAD4(TYPE)(inAddress, (inRow + SOURCE(x)) * blocks + item % blocks);
    }
    STORE4(TYPE)(paddedAddress, uint64_t(row) * rowItems + item, v);
}
