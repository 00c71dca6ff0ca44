#version 460
// Rows of a matrix of 16-bit elements, 16 at a time, become blocks of 16 × 16 as the lanes of a subgroup hold them (see
// gemm_coopmat.comp), in the same place: strip [CHANNELS / 16][32 lanes][8]. The last strip, which may lack rows, goes to
// tail instead, with zeros in their place.
//   KEYS  rows are the columns of the matrix b that the blocks are of (queries times keys); else its rows (weights times values)
// A lane has column l / 4 of b (elements 0 to 3) and 8 + l / 4, and of each rows 2 (l % 4) + {0, 1} and 8 more.
// Groups of 256 threads: strips.
#include "common.glsl"

layout(local_size_x = 256) in;
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Words { uvec4 v; };
#define PUSH_ATTENTION_BLOCKS
#include "push_constants.h"

const uint UNITS = CHANNELS * 2, ROW = CHANNELS / 2 + 4;                        // 16 bytes in a strip; uints in a row, padded against bank conflicts
shared uint words[16 * ROW];

uint element(uint row, uint column) { return words[row * ROW + column / 2] >> (column % 2 * 16) & 0xffffu; }

void main() {
    uint strip = uint(linearGroup()), last = (rows + 15) / 16 - 1;
    if (strip > last) return;
    uint64_t from = address + uint64_t(strip) * (UNITS * 16), to = strip == last ? tailAddress : from;
    uint thread = gl_LocalInvocationIndex, inside = min(rows - strip * 16, 16) * (CHANNELS / 8);
    for (uint i = thread; i < UNITS; i += 256) {
        uvec4 u = i < inside ? Words(ADDRESS(from, i, 16)).v : uvec4(0);
        [[unroll]] for (uint k = 0; k < 4; ++k) words[i / (CHANNELS / 8) * ROW + i % (CHANNELS / 8) * 4 + k] = u[k];
    }
    barrier();
    for (uint i = thread; i < UNITS; i += 256) {
        uint block = i / 32, lane = i % 32, outer = lane / 4, inner = lane % 4 * 2;
        uvec4 u;
        [[unroll]] for (uint k = 0; k < 4; ++k) {
            uint n = outer + k / 2 * 8, r = inner + k % 2 * 8;                  // column and first row in the block of b
#ifdef KEYS
            u[k] = words[n * ROW + (block * 16 + r) / 2];
#else
            u[k] = element(r, block * 16 + n) | element(r + 1, block * 16 + n) << 16;
#endif
        }
        Words(ADDRESS(to, i, 16)).v = u;
    }
}
