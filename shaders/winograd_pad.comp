#version 460
// The input of a Winograd convolution with a border of zeros: `top` rows and `left` columns before it (below zero: as
// many of the input are left out), and behind it as many as whole tiles need. Defines: TYPE, UPSAMPLE (the input is read as if doubled). Groups of 256 threads: ceil(padded width
// × channels / 4 / 256) for each row of all pictures, so that no thread divides 64-bit numbers.
#include "common.glsl"

layout(local_size_x = 256) in;
layout(push_constant, std430) uniform Push {
    uint64_t inAddress, paddedAddress;
    uint pictures, inHeight, inWidth, blocks, paddedHeight, paddedWidth; // blocks: channels / 4
    int top, left;
};

#ifdef UPSAMPLE
#define SOURCE(i) ((i) >> 1)
#define LIMIT(extent) (2 * (extent))
#else
#define SOURCE(i) (i)
#define LIMIT(extent) (extent)
#endif

void main() {
    uint rowItems = paddedWidth * blocks, groups = (rowItems + 255) / 256, group = uint(linearGroup());
    uint row = group / groups, item = group % groups * 256 + gl_LocalInvocationIndex;
    if (item >= rowItems || row >= pictures * paddedHeight) return;
    uint y = row % paddedHeight - top, x = item / blocks - left; // huge where below 0
    vec4 v = vec4(0);
    if (y < LIMIT(inHeight) && x < LIMIT(inWidth)) {
        uint64_t inRow = uint64_t(row / paddedHeight * inHeight + SOURCE(y)) * inWidth;
        v = LOAD4(TYPE)(inAddress, (inRow + SOURCE(x)) * blocks + item % blocks);
    }
    STORE4(TYPE)(paddedAddress, uint64_t(row) * rowItems + item, v);
}
