#version 460
// Bᵀ d B of each 8x8 input tile of a feature map for Mesa's CPU device. Tiles are read from the stored map, with zeros beyond
// its edges: there is no padded copy.
//
// x [n][h][w][c], c % 4 == 0; tile (n * tilesY + ty) * tilesX + tx begins at row 6 ty - top, column 6 tx - left. The output has
// the order that gemm_cpu.comp takes with WINOGRAD: [64][blocks of ROWS tiles][c / 4][ROWS, in the last block the rest][4].
//   bindings  0 x (IN)
//   push      push_constants.h; the address of the output
//   groups    tiles * ceil(c / 32) in one line, cut into x and y as the device wants
//   limits    fewer than 2^27 texels in x and in the output
//   defines   ROWS, a multiple of 8; UPSAMPLE (nearest x2 on load: tiles are of the upsampled map)
//
// A lane makes four channels of a tile in registers; a group reads 128 bytes of each pixel. Its stores are a block's rows
// apart, and the next group stores beside them.
#include "cpu_common.glsl"
#include "winograd.glsl"
layout(local_size_x = 8) in;
layout(set = 0, binding = 0) uniform IN_BUFFER xMap;
#define PUSH_WINOGRAD_MAP_CPU
#define PUSH_NAME p
#include "push_constants.h"

#ifdef UPSAMPLE
#define SOURCE(i) ((i) >> 1)
#define LIMIT(extent) (2 * (extent))
#else
#define SOURCE(i) (i)
#define LIMIT(extent) (extent)
#endif
#define COLUMN(l)                                                                                                      \
    columnInside[l] = x + l >= 0 && x + l < LIMIT(p.w);                                                                \
    column[l] = SOURCE(x + l) * c4 + block;
#define READ(k, l)                                                                                                     \
    d[k][l] = IN_LOAD(xMap, inside && columnInside[l] ? row + column[l] : 0);                                         \
    d[k][l] = mix(vec4(0.0), d[k][l], bvec4(inside && columnInside[l]));
#define READ_ROW(k)                                                                                                    \
    {                                                                                                                  \
        bool inside = y + k >= 0 && y + k < LIMIT(p.h);                                                                \
        int row = (picture * p.h + SOURCE(y + k)) * rowStep;                                                           \
        READ(k, 0) READ(k, 1) READ(k, 2) READ(k, 3) READ(k, 4) READ(k, 5) READ(k, 6) READ(k, 7)                        \
        TRANSFORM_INPUT(vec4, d[k][0], d[k][1], d[k][2], d[k][3], d[k][4], d[k][5], d[k][6], d[k][7])                  \
    }
#define STORE(k, l) OUT4(p.address, at + (8 * k + l) * planeStep) = outPack(d[k][l]);
#define WRITE_COLUMN(l)                                                                                                \
    TRANSFORM_INPUT(vec4, d[0][l], d[1][l], d[2][l], d[3][l], d[4][l], d[5][l], d[6][l], d[7][l])                      \
    STORE(0, l) STORE(1, l) STORE(2, l) STORE(3, l) STORE(4, l) STORE(5, l) STORE(6, l) STORE(7, l)

void main() {
    const int group = int(gl_WorkGroupID.y * gl_NumWorkGroups.x + gl_WorkGroupID.x), c4 = p.c >> 2, tile = group % p.tiles;
    const int block = group / p.tiles * 8 + int(gl_LocalInvocationID.x), first = tile / ROWS * ROWS;
    if (block >= c4) return;
    const int tileRow = tile / p.tilesX, picture = tileRow / p.tilesY;
    const int y = tileRow % p.tilesY * 6 - p.top, x = tile % p.tilesX * 6 - p.left;
    const int rowStep = p.w * c4, planeStep = p.tiles * c4, at = first * c4 + block * min(ROWS, p.tiles - first) + tile - first;
    int column[8];
    bool columnInside[8];
    vec4 d[8][8];
    EACH8(COLUMN)
    EACH8(READ_ROW)
    EACH8(WRITE_COLUMN)
}
