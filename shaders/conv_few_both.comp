#version 460
// 3×3 or 1×1 convolution (KERNEL), stride 1, from and to numbers of channels that are no multiples of four, as between the
// latents and a decoder that has three of them. Everything is fp32. Weights: [out][tap][in]. One thread makes one channel
// of one pixel. Defines: KERNEL, BIAS. Groups of 64 threads over pictures × rows × columns × channels, channels fastest.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_FEW_CHANNELS
#include "push_constants.h"

void main() {
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t(pictures) * outHeight * outWidth * outChannels) return;
    uint channel = uint(item % outChannels);
    uint64_t position = item / outChannels;
    int x = int(position % outWidth), y = int((position / outWidth) % outHeight);
    uint64_t picture = position / (uint64_t(outWidth) * outHeight);
    float sum = 0.0;
#ifdef BIAS
    sum = load1F32(biasAddress, channel);
#endif
    [[dont_unroll]] for (int tap = 0; tap < KERNEL * KERNEL; ++tap) {
        int iy = y + tap / KERNEL - padTop, ix = x + tap % KERNEL - padLeft;
        if (iy < 0 || iy >= int(inHeight) || ix < 0 || ix >= int(inWidth)) continue;
        uint64_t pixel = ((picture * inHeight + iy) * inWidth + ix) * inChannels;
        uint64_t weights = (uint64_t(channel) * KERNEL * KERNEL + tap) * inChannels;
        for (uint c = 0; c < inChannels; ++c)
            sum += load1F32(inAddress, pixel + c) * load1F32(weightAddress, weights + c);
    }
    store1F32(outAddress, item, sum);
}
