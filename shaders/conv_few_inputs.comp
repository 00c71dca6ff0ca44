#version 460
// 3×3 or 1×1 convolution (KERNEL), stride 1, of an NHWC tensor in fp32 whose channels are no multiple of four: a picture
// to be encoded, or its columns. Weights: [tap][in][out]. One thread makes four pixels of a row in four output channels,
// which are a multiple of four. Defines: WEIGHT OUT (types), KERNEL, BIAS, ACTIVATION_RELU ACTIVATION_SILU.
// Groups of 64 threads over pictures × rows × ceil(width / 4) × channels / 4, channels fastest.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_FEW_CHANNELS
#include "push_constants.h"

void main() {
    uint channelBlocks = outChannels / 4, quads = (outWidth + 3) / 4;
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t(pictures) * outHeight * quads * channelBlocks) return;
    uint block = uint(item % channelBlocks);
    uint64_t position = item / channelBlocks;
    int x0 = int(position % quads) * 4, y = int((position / quads) % outHeight);
    uint picture = uint(position / (uint64_t(quads) * outHeight));

    vec4 sum[4];
#ifdef BIAS
    vec4 first = load4F32(biasAddress, block);
#else
    vec4 first = vec4(0);
#endif
    [[unroll]] for (int p = 0; p < 4; ++p) sum[p] = first;

    [[dont_unroll]] for (int tap = 0; tap < KERNEL * KERNEL; ++tap) {
        int iy = y + tap / KERNEL - padTop, ix = x0 + tap % KERNEL - padLeft;
        if (iy < 0 || iy >= int(inHeight)) continue;
        uint64_t row = (uint64_t(picture) * inHeight + iy) * inWidth;
        for (uint c = 0; c < inChannels; ++c) {
            uint64_t weight = (uint64_t(tap) * inChannels + c) * channelBlocks + block;
            vec4 w = LOAD4(WEIGHT)(weightAddress, weight);
            [[unroll]] for (int p = 0; p < 4; ++p)
                if (ix + p >= 0 && ix + p < int(inWidth))
                    sum[p] += load1F32(inAddress, (row + ix + p) * inChannels + c) * w;
        }
    }

    uint64_t outRow = (uint64_t(picture) * outHeight + y) * outWidth;
    [[unroll]] for (int p = 0; p < 4; ++p)
        if (x0 + p < int(outWidth))
            STORE4(OUT)(outAddress, (outRow + x0 + p) * channelBlocks + block, ACTIVATE(sum[p]));
}
