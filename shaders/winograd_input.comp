#version 460
// Bᵀ d B of each 8×8 input tile of the padded feature map: [64][tile][channel]. One thread makes a whole tile of one channel (with
// PAIRS two) in registers: 64 values, read and written once. A warp's threads are neighbours along the channels, so
// that each access is whole lines; the tiles of a group are neighbours and read the columns they share from the cache.
// Defines: TYPE, PAIRS (16-bit types need it). Groups of 4 tiles × 32 values, values fastest.
#include "common.glsl"
#include "winograd.glsl"
#include "winograd_values.glsl"

layout(local_size_x = WINOGRAD_GROUP_VALUES, local_size_y = WINOGRAD_GROUP_TILES) in;
#define PUSH_WINOGRAD_INPUT
#include "push_constants.h"

#define AT(l) LOAD_VALUE(TYPE)(from + (l) * pixelBytes)
#define READ_ROW(k)                                                                                                    \
    d[k][0] = AT(0), d[k][1] = AT(1), d[k][2] = AT(2), d[k][3] = AT(3);                                                \
    d[k][4] = AT(4), d[k][5] = AT(5), d[k][6] = AT(6), d[k][7] = AT(7);                                                \
    from += rowBytes;
#define TRANSFORM_ROW(k)                                                                                               \
    TRANSFORM_INPUT(VALUE, d[k][0], d[k][1], d[k][2], d[k][3], d[k][4], d[k][5], d[k][6], d[k][7])
#define TRANSFORM_COLUMN(l)                                                                                            \
    TRANSFORM_INPUT(VALUE, d[0][l], d[1][l], d[2][l], d[3][l], d[4][l], d[5][l], d[6][l], d[7][l])
#define STORE(x)                                                                                                         \
    STORE_VALUE(TYPE)(to, x);                                                                                          \
    to += planeBytes;
#define WRITE_ROW(k)                                                                                                   \
    STORE(d[k][0]) STORE(d[k][1]) STORE(d[k][2]) STORE(d[k][3]) STORE(d[k][4]) STORE(d[k][5]) STORE(d[k][6]) STORE(d[k][7])

void main() {
    uint across = (values + WINOGRAD_GROUP_VALUES - 1) / WINOGRAD_GROUP_VALUES, group = uint(linearGroup()), tiles = pictures * tilesY * tilesX;
    uint value = group % across * WINOGRAD_GROUP_VALUES + gl_LocalInvocationID.x, tile = group / across * WINOGRAD_GROUP_TILES + gl_LocalInvocationID.y;
    if (value >= values || tile >= tiles) return;
    uint tileX = tile % tilesX, row = tile / tilesX, picture = row / tilesY, tileY = row % tilesY;
    uint width = 6 * tilesX + 2, pixelBytes = values * VALUE_BYTES(TYPE);
    uint64_t corner = uint64_t(picture * (6 * tilesY + 2) + 6 * tileY) * width + 6 * tileX;
    uint64_t from = paddedAddress + corner * pixelBytes + value * VALUE_BYTES(TYPE);
    uint64_t to = tilesAddress + uint64_t(tile) * pixelBytes + value * VALUE_BYTES(TYPE);
    uint64_t rowBytes = uint64_t(width) * pixelBytes, planeBytes = uint64_t(tiles) * pixelBytes;
    VALUE d[8][8];
    EACH8(READ_ROW)
    EACH8(TRANSFORM_ROW)
    EACH8(TRANSFORM_COLUMN)
    EACH8(WRITE_ROW)
}
