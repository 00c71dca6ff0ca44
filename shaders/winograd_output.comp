#version 460
// Aᵀ m A of each tile of products [64][tile][channel], with bias, residual and activation, to the rows and columns of the
// output that exist. One thread makes one row of six pixels in four channels. Defines: TYPE (of the products) OUT RESIDUAL
// (none: nothing is added), BIAS, ACTIVATION_*. Groups of 64 threads over 6 × tiles × channels / 4, channels fastest.
#include "common.glsl"
#include "winograd.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t productsAddress, biasAddress, residualAddress, outAddress;
    uint pictures, tilesY, tilesX, blocks, outHeight, outWidth; // blocks: channels / 4
};

void main() {
    uint64_t tiles = uint64_t(pictures) * tilesY * tilesX, plane = tiles * blocks, item = LINEAR_THREAD;
    if (item >= 6ul * plane) return;
    uint row = uint(item / plane);
    uint64_t place = item % plane, tile = place / blocks;
    uint block = uint(place % blocks), tileX = uint(tile % tilesX), tileY = uint((tile / tilesX) % tilesY);
    uint64_t picture = tile / (uint64_t(tilesX) * tilesY);
    uint y = 6 * tileY + row;
    if (y >= outHeight) return;
    vec4 part[8];
    [[unroll]] for (int l = 0; l < 8; ++l) part[l] = vec4(0);
    [[dont_unroll]] for (uint k = 0; k < 8; ++k) {
        float factor = winogradA[row * 8 + k];
        if (factor == 0.0) continue;
        [[unroll]] for (int l = 0; l < 8; ++l)
            part[l] += factor * LOAD4(TYPE)(productsAddress, (uint64_t(k) * 8ul + l) * plane + place);
    }
#ifdef BIAS
    vec4 first = load4F32(biasAddress, block);
#else
    vec4 first = vec4(0);
#endif
    uint64_t outRow = (picture * outHeight + y) * outWidth;
    [[unroll]] for (int j = 0; j < 6; ++j) {
        uint x = 6 * tileX + j;
        if (x >= outWidth) break;
        vec4 sum = first;
        [[unroll]] for (int l = 0; l < 8; ++l) sum += winogradA[j * 8 + l] * part[l];
        uint64_t index = (outRow + x) * blocks + block;
#ifdef RESIDUAL
        sum += LOAD4(RESIDUAL)(residualAddress, index);
#endif
        STORE4(OUT)(outAddress, index, ACTIVATE(sum));
    }
}
