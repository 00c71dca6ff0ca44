#version 460
// The input of a Winograd convolution with a border of zeros: one row and column before it, and behind it as many as
// whole tiles need. Defines: TYPE, UPSAMPLE (the input is read as if doubled). Groups of 64 threads over the padded
// map's elements / 4, channels fastest.
#include "common.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t inAddress, paddedAddress;
    uint pictures, inHeight, inWidth, blocks, paddedHeight, paddedWidth; // blocks: channels / 4
};

#ifdef UPSAMPLE
#define SOURCE(i) ((i) >> 1)
#define LIMIT(extent) (2 * int(extent))
#else
#define SOURCE(i) (i)
#define LIMIT(extent) int(extent)
#endif

void main() {
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t(pictures) * paddedHeight * paddedWidth * blocks) return;
    uint block = uint(item % blocks);
    uint64_t pixel = item / blocks, row = pixel / paddedWidth;
    int y = int(row % paddedHeight) - 1, x = int(pixel % paddedWidth) - 1;
    bool inside = y >= 0 && y < LIMIT(inHeight) && x >= 0 && x < LIMIT(inWidth);
    uint64_t source = 0ul;
    if (inside) source = (((row / paddedHeight) * inHeight + SOURCE(y)) * inWidth + SOURCE(x)) * blocks + block;
    vec4 v = LOAD4(TYPE)(inAddress, source);
    STORE4(TYPE)(paddedAddress, item, inside ? v : vec4(0));
}
