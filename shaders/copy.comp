#version 460
// Copies a tensor: bit by bit in words of 16 bytes, or with UPSAMPLE by nearest neighbour to twice the rows and columns, in
// four channels of TYPE at a time. Groups of 64 threads over words, or over the
// output's elements / 4.
#include "common.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) buffer Bits { uvec4 v; };

layout(local_size_x = 64) in;
#define PUSH_COPY
#include "push_constants.h"

void main() {
    uint64_t item = LINEAR_THREAD;
    if (item >= items) return;
#ifdef UPSAMPLE
    uint block = uint(item % blocks), x = uint((item / blocks) % width);
    uint64_t row = item / (uint64_t(blocks) * width);
    STORE4(TYPE)(outAddress, item, LOAD4(TYPE)(inAddress, ((row >> 1) * (width >> 1) + (x >> 1)) * blocks + block));
#else
    Bits(outAddress + item * 16ul).v = Bits(inAddress + item * 16ul).v;
#endif
}
