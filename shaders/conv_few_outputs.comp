#version 460
// Convolution to OUTPUTS (1 to 16, no multiple of four) channels in fp32, stride 1, for the picture at the end of a decoder.
// Weights: [out][tap][in], input channels a multiple of four. One thread makes all channels of one pixel.
// Defines: IN WEIGHT (types), KERNEL, OUTPUTS, BIAS, NORM with NORM_SILU or NORM_RELU as in product.comp. Groups of 64 threads over
// pictures × rows × columns.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_FEW_CHANNELS
#include "push_constants.h"

void main() {
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t(pictures) * outHeight * outWidth) return;
    int x = int(item % outWidth), y = int((item / outWidth) % outHeight);
    uint64_t picture = item / (uint64_t(outWidth) * outHeight);
    uint inBlocks = inChannels / 4;

    float sum[OUTPUTS];
    [[unroll]] for (int o = 0; o < OUTPUTS; ++o) sum[o] = 0.0;
    [[dont_unroll]] for (int tap = 0; tap < KERNEL * KERNEL; ++tap) {
        int iy = y + tap / KERNEL - padTop, ix = x + tap % KERNEL - padLeft;
        if (iy < 0 || iy >= int(inHeight) || ix < 0 || ix >= int(inWidth)) continue;
        uint64_t pixel = (picture * inHeight + iy) * inWidth + ix;
        [[dont_unroll]] for (uint c = 0; c < inBlocks; ++c) {
            vec4 v = LOAD4(IN)(inAddress, pixel * inStride + c);
#ifdef NORM
            uint64_t pair = (picture * inBlocks + c) * 2ul;
            vec4 low = load4F32(coefficientsAddress, pair), high = load4F32(coefficientsAddress, pair + 1ul);
            v = NORM_ACTIVATE(fma(v, vec4(low.xz, high.xz), vec4(low.yw, high.yw)));
#endif
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
