#version 460
// Adds a tile of a picture to a band of it, weighted by row and column: band[(bandRow + y) % bandRows][column + x] +=
// in[y][x] rowWeights[y] columnWeights[x], all fp32; from row `splitRow` on with the second line of columnWeights, which
// is `width` behind the first. Groups of 64 threads over rows × columns × channels, channels fastest.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_BLEND
#include "push_constants.h"

void main() {
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t(height) * width * channels) return;
    uint channel = uint(item % channels);
    uint64_t pixel = item / channels;
    uint x = uint(pixel % width), y = uint(pixel / width);
    float weight = load1F32(rowWeightsAddress, y) * load1F32(columnWeightsAddress, x + (y >= splitRow ? width : 0));
    if (weight == 0.0) return;
    uint64_t at = (uint64_t((bandRow + y) % bandRows) * bandWidth + column + x) * channels + channel;
    store1F32(bandAddress, at, load1F32(bandAddress, at) + weight * load1F32(inAddress, item));
}
