#version 460
// 3×3 or 1×1 convolution (KERNEL), stride STRIDE, of an NHWC map. Weights: [tap][in][out]. One thread makes four pixels of a
// row in four output channels. Output channels are a multiple of four; so are input channels unless FEW_INPUTS.
// Defines: IN OUT WEIGHT RESIDUAL (types, no RESIDUAL: none is added), KERNEL, STRIDE, UPSAMPLE, BIAS, FEW_INPUTS (input is F32),
// ACTIVATION_RELU, NORM: the input is norm(x * scale + shift) of each channel of each picture, with NORM_SILU or
// NORM_RELU behind it, FOLDED: a 3×3 convolution after a doubling as four of 2×2 on the stored map (KERNEL 2, STRIDE 1), one
// for each parity of output row and column, weights [2 · odd row + odd column][tap][in][out].
// Groups of 64 threads over pictures × rows × ceil(width / 4) × channels / 4, channels fastest; FOLDED: over the stored
// map's rows and columns, and the four parities slowest.
#include "common.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t inAddress, weightAddress, biasAddress, residualAddress, outAddress;
    uint pictures, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels; // extents of the stored maps
    int pad;
    uint inStride, residualStride, outStride; // from pixel to pixel, in four channels
    uint64_t coefficientsAddress;
};

#ifdef UPSAMPLE
#define SOURCE(i) ((i) >> 1)
#define LIMIT(extent) (2 * int(extent))
#else
#define SOURCE(i) (i)
#define LIMIT(extent) int(extent)
#endif

void main() {
#ifdef FOLDED
    const uint height = inHeight, width = inWidth, phases = 4;
#else
    const uint height = outHeight, width = outWidth, phases = 1;
#endif
    uint channelBlocks = outChannels / 4, quads = (width + 3) / 4;
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t(phases) * pictures * height * quads * channelBlocks) return;
    uint block = uint(item % channelBlocks);
    uint64_t position = item / channelBlocks;
    int x0 = int(position % quads) * 4;
    int y = int((position / quads) % height);
    uint64_t rest = position / (uint64_t(quads) * height);
    uint picture = uint(rest % pictures);
#ifdef FOLDED
    int oddRow = int(rest / pictures) >> 1, oddColumn = int(rest / pictures) & 1;
    int padRows = 1 - oddRow, padColumns = 1 - oddColumn;
    uint64_t firstTap = rest / pictures * 4ul;
#else
    int padRows = pad, padColumns = pad;
    const uint64_t firstTap = 0ul;
#endif

    vec4 sum[4];
#ifdef BIAS
    vec4 first = load4F32(biasAddress, block);
#else
    vec4 first = vec4(0);
#endif
    [[unroll]] for (int p = 0; p < 4; ++p) sum[p] = first;

    [[dont_unroll]] for (int tap = 0; tap < KERNEL * KERNEL; ++tap) {
        int iy = y * STRIDE + tap / KERNEL - padRows;
        if (iy < 0 || iy >= LIMIT(inHeight)) continue;
        uint64_t row = (uint64_t(picture) * inHeight + SOURCE(iy)) * inWidth;
        uint64_t pixel[4];
        float inside[4];
        [[unroll]] for (int p = 0; p < 4; ++p) {
            int ix = (x0 + p) * STRIDE + tap % KERNEL - padColumns;
            bool valid = ix >= 0 && ix < LIMIT(inWidth);
            inside[p] = valid ? 1.0 : 0.0;
            pixel[p] = row + (valid ? SOURCE(ix) : 0);
        }
        uint64_t weight = (firstTap + tap) * inChannels * channelBlocks + block;
#ifdef FEW_INPUTS
        for (uint c = 0; c < inChannels; ++c) {
            vec4 w = LOAD4(WEIGHT)(weightAddress, weight + uint64_t(c) * channelBlocks);
            [[unroll]] for (int p = 0; p < 4; ++p)
                if (inside[p] != 0.0) sum[p] += load1F32(inAddress, pixel[p] * inChannels + c) * w;
        }
#else
        uint inBlocks = inChannels / 4;
        [[dont_unroll]] for (uint c = 0; c < inBlocks; ++c) {
            vec4 w[4];
#ifdef NORM
            uint64_t pair = (uint64_t(picture) * inBlocks + c) * 2ul;
            vec4 low = load4F32(coefficientsAddress, pair), high = load4F32(coefficientsAddress, pair + 1ul);
#endif
            [[unroll]] for (int k = 0; k < 4; ++k)
                w[k] = LOAD4(WEIGHT)(weightAddress, weight + uint64_t(4 * c + k) * channelBlocks);
            [[unroll]] for (int p = 0; p < 4; ++p) {
                vec4 v = LOAD4(IN)(inAddress, pixel[p] * inStride + c);
#ifdef NORM
                v = NORM_ACTIVATE(fma(v, vec4(low.xz, high.xz), vec4(low.yw, high.yw)));
#endif
                if (inside[p] == 0.0) v = vec4(0);
                sum[p] = fma(vec4(v.x), w[0], fma(vec4(v.y), w[1], fma(vec4(v.z), w[2], fma(vec4(v.w), w[3], sum[p]))));
            }
        }
#endif
    }

#ifdef FOLDED
    uint64_t outRow = (uint64_t(picture) * outHeight + 2 * y + oddRow) * outWidth + oddColumn;
#else
    uint64_t outRow = (uint64_t(picture) * outHeight + y) * outWidth;
#endif
    [[unroll]] for (int p = 0; p < 4; ++p) {
        if (x0 + p >= int(width)) break;
#ifdef FOLDED
        uint64_t at = outRow + 2 * (x0 + p);
#else
        uint64_t at = outRow + x0 + p;
#endif
#ifdef RESIDUAL
        sum[p] += LOAD4(RESIDUAL)(residualAddress, at * residualStride + block);
#endif
        STORE4(OUT)(outAddress, at * outStride + block, ACTIVATE(sum[p]));
    }
}
