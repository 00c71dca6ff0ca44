#version 460
// Convolution to OUTPUTS (1 to 4) channels in fp32, stride 1, for the picture at the end of a decoder. Weights: [out][tap][in],
// input channels a multiple of four. One thread makes all channels of one pixel.
// Defines: IN WEIGHT (types), KERNEL, OUTPUTS, BIAS. Groups of 64 threads over pictures × rows × columns.
#include "common.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t inAddress, weightAddress, biasAddress, outAddress;
    uint pictures, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels;
    int pad;
};

void main() {
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t(pictures) * outHeight * outWidth) return;
    int x = int(item % outWidth), y = int((item / outWidth) % outHeight);
    uint64_t picture = item / (uint64_t(outWidth) * outHeight);
    uint inBlocks = inChannels / 4;

    float sum[OUTPUTS];
    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) sum[o] = 0.0;
    [[dont_unroll]] for (int tap = 0; tap < KERNEL * KERNEL; ++tap) {
        int iy = y + tap / KERNEL - pad, ix = x + tap % KERNEL - pad;
        if (iy < 0 || iy >= int(inHeight) || ix < 0 || ix >= int(inWidth)) continue;
        uint64_t pixel = (picture * inHeight + iy) * inWidth + ix;
        [[dont_unroll]] for (uint c = 0; c < inBlocks; ++c) {
            vec4 v = LOAD4(IN)(inAddress, pixel * inBlocks + c);
            [[unroll]] for (int o = 0; o < OUTPUTS; ++o)
                sum[o] += dot(v, LOAD4(WEIGHT)(weightAddress, (uint64_t(o) * KERNEL * KERNEL + tap) * inBlocks + c));
        }
    }
    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) {
#ifdef BIAS
        sum[o] += load1F32(biasAddress, o);
#endif
        store1F32(outAddress, item * OUTPUTS + o, sum[o]);
    }
}
