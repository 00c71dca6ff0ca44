#version 460
// Aᵀ m A of each tile of products [64][tile][channel], with bias, residual and activation, to the rows and columns of
// the output that exist. One thread makes a whole tile of one channel (with PAIRS two) in registers, each product read
// once. A warp's threads are neighbours along the channels, so that each access is whole lines.
// Defines: TYPE (of the products) OUT RESIDUAL (none: nothing is added), PAIRS (16-bit types need it), BIAS,
// ACTIVATION_*. Groups of 4 tiles × 32 values, values fastest.
#include "common.glsl"
#include "winograd.glsl"
#include "winograd_values.glsl"

layout(local_size_x = WINOGRAD_GROUP_VALUES, local_size_y = WINOGRAD_GROUP_TILES) in;
#define PUSH_WINOGRAD_OUTPUT
#include "push_constants.h"

#define GET(x)                                                                                                         \
    x = LOAD_VALUE(TYPE)(from);                                                                                        \
    from += planeBytes;
#define READ_ROW(k)                                                                                                    \
    GET(m[k][0]) GET(m[k][1]) GET(m[k][2]) GET(m[k][3]) GET(m[k][4]) GET(m[k][5]) GET(m[k][6]) GET(m[k][7])            \
    TRANSFORM_OUTPUT(VALUE, m[k][0], m[k][1], m[k][2], m[k][3], m[k][4], m[k][5], m[k][6], m[k][7])
#define TRANSFORM_COLUMN(l)                                                                                            \
    TRANSFORM_OUTPUT(VALUE, m[0][l], m[1][l], m[2][l], m[3][l], m[4][l], m[5][l], m[6][l], m[7][l])
#ifdef RESIDUAL
#define ADD_RESIDUAL sum += LOAD_VALUE(RESIDUAL)(residualAddress + at * VALUE_BYTES(RESIDUAL));
#else
#define ADD_RESIDUAL
#endif
#define WRITE_PIXEL(k, l)                                                                                              \
    if (x + l < outWidth) {                                                                                            \
        uint64_t at = first + (l) * values;                                                                            \
        VALUE sum = m[k][l] + bias;                                                                                    \
        ADD_RESIDUAL                                                                                                   \
        STORE_VALUE(OUT)(outAddress + at * VALUE_BYTES(OUT), ACTIVATE_VALUE(sum));                                     \
    }
#define WRITE_ROW(k)                                                                                                   \
    if (y + k < outHeight) {                                                                                           \
        uint64_t first = (uint64_t(picture * outHeight + y + k) * outWidth + x) * values + value;                      \
        WRITE_PIXEL(k, 0) WRITE_PIXEL(k, 1) WRITE_PIXEL(k, 2) WRITE_PIXEL(k, 3) WRITE_PIXEL(k, 4) WRITE_PIXEL(k, 5)    \
    }
#ifdef ACTIVATION_RELU
#define ACTIVATE_VALUE(x) max(x, VALUE(0))
#else
#define ACTIVATE_VALUE(x) ACTIVATE(x)
#endif

void main() {
    uint across = (values + WINOGRAD_GROUP_VALUES - 1) / WINOGRAD_GROUP_VALUES, group = uint(linearGroup()), tiles = pictures * tilesY * tilesX;
    uint value = group % across * WINOGRAD_GROUP_VALUES + gl_LocalInvocationID.x, tile = group / across * WINOGRAD_GROUP_TILES + gl_LocalInvocationID.y;
    if (value >= values || tile >= tiles) return;
    uint row = tile / tilesX, picture = row / tilesY, y = row % tilesY * 6, x = tile % tilesX * 6;
    uint pixelBytes = values * VALUE_BYTES(TYPE);
    uint64_t from = productsAddress + uint64_t(tile) * pixelBytes + value * VALUE_BYTES(TYPE);
    uint64_t planeBytes = uint64_t(tiles) * pixelBytes;
#ifdef BIAS
    VALUE bias = LOAD_VALUE(F32)(biasAddress + value * VALUE_BYTES(F32));
#else
    VALUE bias = VALUE(0);
#endif
    VALUE m[8][8];
    EACH8(READ_ROW)
    EACH6(TRANSFORM_COLUMN)
    EACH6(WRITE_ROW)
}
