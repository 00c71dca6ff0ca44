#version 460
// A 1×1 convolution whose output takes the first COLUMNS channels of each pixel of its input: all of a pixel is read into
// shared memory before any of it is written. Weights [in][out]; COLUMNS and INNER are multiples of four.
// Defines: IN WEIGHT (types; the output has IN's), INNER, COLUMNS, BIAS. Groups of 64 threads: every 8 pixels.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_CONV1X1_IN_PLACE
#include "push_constants.h"

const uint PIXELS = 8, IN_BLOCKS = INNER / 4, OUT_BLOCKS = COLUMNS / 4;
shared vec4 pixel[PIXELS * IN_BLOCKS];

void main() {
    uint64_t first = linearGroup() * PIXELS;
    uint thread = gl_LocalInvocationIndex, here = uint(min(uint64_t(PIXELS), pixels - min(first, pixels)));
    for (uint i = thread; i < here * IN_BLOCKS; i += 64) pixel[i] = LOAD4(IN)(mapAddress, first * IN_BLOCKS + i);
    barrier();
    // Four pixels in four channels at a time.
    for (uint item = thread; item < OUT_BLOCKS * (PIXELS / 4); item += 64) {
        uint block = item % OUT_BLOCKS, p0 = item / OUT_BLOCKS * 4;
        vec4 sum[4];
        [[unroll]] for (int p = 0; p < 4; ++p) sum[p] = vec4(0);
        for (uint c = 0; c < IN_BLOCKS; ++c) {
            vec4 w[4];
            [[unroll]] for (int k = 0; k < 4; ++k)
                w[k] = LOAD4(WEIGHT)(weightAddress, uint64_t(4 * c + k) * OUT_BLOCKS + block);
            [[unroll]] for (int p = 0; p < 4; ++p) {
                vec4 v = pixel[(p0 + p) * IN_BLOCKS + c];
                sum[p] += v.x * w[0] + v.y * w[1] + v.z * w[2] + v.w * w[3];
            }
        }
        [[unroll]] for (int p = 0; p < 4; ++p) {
            if (p0 + p >= here) break;
#ifdef BIAS
            sum[p] += load4F32(biasAddress, block);
#endif
            STORE4(IN)(mapAddress, (first + p0 + p) * IN_BLOCKS + block, sum[p]);
        }
    }
}
