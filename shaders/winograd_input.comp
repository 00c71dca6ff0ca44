#version 460
// Bᵀ d B of each 8×8 piece of the padded map: [64][tile][channel]. One thread makes one row of eight planes for four
// channels of a tile. Defines: TYPE. Groups of 64 threads over 8 × tiles × channels / 4, channels fastest.
#include "common.glsl"
#include "winograd.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t paddedAddress, tilesAddress;
    uint pictures, tilesY, tilesX, blocks; // blocks: channels / 4
};

void main() {
    uint64_t tiles = uint64_t(pictures) * tilesY * tilesX, plane = tiles * blocks, item = LINEAR_THREAD;
    if (item >= 8ul * plane) return;
    uint row = uint(item / plane);
    uint64_t place = item % plane, tile = place / blocks;
    uint block = uint(place % blocks), tileX = uint(tile % tilesX), tileY = uint((tile / tilesX) % tilesY);
    uint64_t picture = tile / (uint64_t(tilesX) * tilesY);
    uint paddedHeight = 6 * tilesY + 2, paddedWidth = 6 * tilesX + 2;
    uint64_t corner = (picture * paddedHeight + 6 * tileY) * paddedWidth + 6 * tileX;
    vec4 part[8];
    [[unroll]] for (int l = 0; l < 8; ++l) part[l] = vec4(0);
    [[dont_unroll]] for (uint k = 0; k < 8; ++k) {
        float factor = winogradB[row * 8 + k];
        if (factor == 0.0) continue;
        [[unroll]] for (int l = 0; l < 8; ++l)
            part[l] += factor * LOAD4(TYPE)(paddedAddress, (corner + uint64_t(k) * paddedWidth + l) * blocks + block);
    }
    [[unroll]] for (int j = 0; j < 8; ++j) {
        vec4 sum = vec4(0);
        [[unroll]] for (int l = 0; l < 8; ++l) sum += winogradB[j * 8 + l] * part[l];
        STORE4(TYPE)(tilesAddress, (uint64_t(row) * 8ul + j) * plane + place, sum);
    }
}
