// Push constants of the kernels, a block each. The same lines are C++ structs in namespace push and GLSL blocks, so
// that neither can differ from the other; both lay members out alike, for none is wider than its alignment. A shader
// defines PUSH_ and its name before it includes this file, and PUSH_NAME where its block has a name. Addresses are of
// first elements; sizes are in elements, pixels, rows and columns unless something else is said.
#ifdef __cplusplus
#pragma once
#include <cstdint>
#define PUSH_CONSTANTS(name) struct name {
#define PUSH_CONSTANTS_END                                                                                             \
    }                                                                                                                  \
    ;
namespace spikescope::push {
using std::uint64_t;
using uint = std::uint32_t;
#else
#ifndef PUSH_NAME
#define PUSH_NAME
#endif
#define PUSH_CONSTANTS(name) layout(push_constant, std430) uniform Push {
#define PUSH_CONSTANTS_END                                                                                             \
    }                                                                                                                  \
    PUSH_NAME;
#endif

#if defined(__cplusplus) || defined(PUSH_ELEMENTWISE) // activation.comp, tanh_clamp.comp
PUSH_CONSTANTS(Elementwise)
uint64_t inAddress, outAddress, blocks; // of four elements
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_COPY)
PUSH_CONSTANTS(Copy)
uint64_t inAddress, outAddress, items; // 16 bytes; with UPSAMPLE four elements
uint rows, width, blocks;              // of the output: rows of all pictures, columns, channels / 4
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_BLEND)
PUSH_CONSTANTS(Blend)
uint64_t inAddress, rowWeightsAddress, columnWeightsAddress, bandAddress;
uint height, width, channels, bandRow, bandRows, bandWidth, column, splitRow;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_GROUP_NORM_STATS)
PUSH_CONSTANTS(GroupNormStats)
uint64_t inAddress, partialsAddress;
uint pictures, slices, groups, channels;
uint64_t pixels;
uint stride; // from pixel to pixel, in four channels
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_GROUP_NORM_COEFFICIENTS)
PUSH_CONSTANTS(GroupNormCoefficients)
uint64_t partialsAddress, gammaAddress, betaAddress, coefficientsAddress, totalAddress;
uint pictures, slices, groups, channels;
float eps;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_GROUP_NORM_APPLY)
PUSH_CONSTANTS(GroupNormApply)
uint64_t inAddress, coefficientsAddress, outAddress, items; // of a picture
uint pictures, blocks, perPicture;                          // workgroups
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_SOFTMAX)
PUSH_CONSTANTS(Softmax)
uint64_t scoresAddress;
uint rows, keys, stride;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_ATTENTION_SUM)
PUSH_CONSTANTS(AttentionSum)
uint64_t splitsAddress, outAddress;
uint rows, channels, splits;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_ATTENTION_BLOCKS)
PUSH_CONSTANTS(AttentionBlocks)
uint64_t address, tailAddress;
uint rows;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_ATTENTION_WEIGHTS)
PUSH_CONSTANTS(AttentionWeights)
uint64_t statsAddress, scalesAddress;
uint rows, tiles;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_FEW_CHANNELS) // conv_few_inputs.comp, conv_few_outputs.comp
PUSH_CONSTANTS(FewChannels)
uint64_t inAddress, weightAddress, biasAddress, outAddress;
uint pictures, inHeight, inWidth, inChannels, outHeight, outWidth, outChannels;
int padTop, padLeft;
uint inStride;                // of inputs of a multiple of four channels: from pixel to pixel, in four channels
uint64_t coefficientsAddress; // of these too
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_CONV1X1_IN_PLACE)
PUSH_CONSTANTS(Conv1x1InPlace)
uint64_t mapAddress, weightAddress, biasAddress, pixels;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_IM2COL)
PUSH_CONSTANTS(Im2col)
uint64_t inAddress, columnsAddress;
uint firstRow, rows, inHeight, inWidth, channels, outHeight, outWidth;
int padTop, padLeft;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_PRODUCT)
PUSH_CONSTANTS(Product)
uint64_t inAddress, weightAddress, biasAddress, residualAddress, outAddress, coefficientsAddress;
uint64_t batchStrideA, batchStrideB; // elements from one picture, or with SPLIT_K one split, to the next
uint pictures, rows, columns, inner; // rows: of a picture; inner: of a tap, or of a split
uint inStride, weightStride, outStride, residualStride;
uint inHeight, inWidth, outHeight, outWidth; // of the stored feature maps of a convolution
int padTop, padLeft;
float scale;
uint kTotal; // with SPLIT_K: of all splits
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_WINOGRAD_PAD)
PUSH_CONSTANTS(WinogradPad)
uint64_t inAddress, paddedAddress;
uint pictures, inHeight, inWidth, blocks, paddedHeight, paddedWidth; // blocks: channels / 4
int top, left;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_WINOGRAD_FILTER)
PUSH_CONSTANTS(WinogradFilter)
uint64_t weightAddress, filtersAddress;
uint inChannels, outBlocks; // out channels / 4
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_WINOGRAD_INPUT)
PUSH_CONSTANTS(WinogradInput)
uint64_t paddedAddress, tilesAddress;
uint pictures, tilesY, tilesX, values; // values: of a pixel
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_WINOGRAD_OUTPUT)
PUSH_CONSTANTS(WinogradOutput)
uint64_t productsAddress, biasAddress, residualAddress, outAddress;
uint pictures, tilesY, tilesX, values, outHeight, outWidth; // values: of a pixel
PUSH_CONSTANTS_END
#endif

// On cooperative matrices.

#if defined(__cplusplus) || defined(PUSH_CONV3X3_COOPMAT)
PUSH_CONSTANTS(Conv3x3Coopmat)
uint64_t x, w, res, y, bias, gn, moments;
int H, W, C, K, xStride, yStride, resStride, inH, inW, top, left;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_CONV3X3_FEW_COOPMAT)
PUSH_CONSTANTS(Conv3x3FewCoopmat)
uint64_t x, w, y, bias, gn;
int H, W, rows, xStride, inH, inW, top, left;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_GEMM_COOPMAT)
PUSH_CONSTANTS(GemmCoopmat)
uint64_t a, b, tail, c, residual, bias, tiles, scales;
int M, N, K, kTotal, lda, ldc, splitStride, bStepK, bStepN,
    bBlocks; // K: of a split; bBlocks: along the side of the tail
float alpha;
PUSH_CONSTANTS_END
#endif

// For Mesa's CPU device.

#if defined(__cplusplus) || defined(PUSH_CONV3X3_CPU)
PUSH_CONSTANTS(Conv3x3Cpu)
uint64_t y;
int h, w, hIn, wIn, c, k, xStride, yStride, residualStride, top, left;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_GEMM_CPU)
PUSH_CONSTANTS(GemmCpu)
uint64_t c;
uint aRow, bRow, cRow, m, n, k;
float alpha;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_GROUP_NORM_STATS_CPU)
PUSH_CONSTANTS(GroupNormStatsCpu)
uint64_t partials;
int pixels, c, groups, slices, stride;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_GROUP_NORM_APPLY_CPU)
PUSH_CONSTANTS(GroupNormApplyCpu)
uint64_t y;
int pixels, c, perGroup;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_SOFTMAX_CPU)
PUSH_CONSTANTS(SoftmaxCpu)
uint64_t address;
uint rows, n;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_WINOGRAD_FILTER_CPU)
PUSH_CONSTANTS(WinogradFilterCpu)
uint64_t to;
int inChannels, outChannels;
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_WINOGRAD_MAP_CPU) // winograd_input_cpu.comp, winograd_output_cpu.comp
PUSH_CONSTANTS(WinogradMapCpu)
uint64_t address;                              // of the tiles of inputs, or of the output
int h, w, c, tilesY, tilesX, tiles, top, left; // of the feature map; tiles: of all pictures
PUSH_CONSTANTS_END
#endif

// For benchmarks.

#if defined(__cplusplus) || defined(PUSH_CEILING)
PUSH_CONSTANTS(Ceiling)
uint64_t inAddress, outAddress;
uint rounds;
float factor; // less than 1
uint keep;    // whether anything is written: 0, which the compiler does not know
PUSH_CONSTANTS_END
#endif

#if defined(__cplusplus) || defined(PUSH_CEILING_COOPMAT)
PUSH_CONSTANTS(CeilingCoopmat)
uint64_t to;
int rounds, keep; // keep: as above
PUSH_CONSTANTS_END
#endif

#ifdef __cplusplus
} // namespace spikescope::push
#endif
