#version 460
// scores[row][key] = scale * q[firstRow + row] · k[key], fp32, rows `stride` apart. One thread makes 4 × 4 scores.
// Defines: IN (type of q and k). Groups of 64 threads over ceil(rows / 4) × ceil(keys / 4), keys fastest.
#include "common.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t qAddress, kAddress, scoresAddress; // q at the first row of the block
    uint rows, keys, stride, channels;
    float scale;
};

void main() {
    uint keyBlocks = (keys + 3) / 4;
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t((rows + 3) / 4) * keyBlocks) return;
    uint key = uint(item % keyBlocks) * 4, row = uint(item / keyBlocks) * 4, blocks = channels / 4;
    vec4 sum[4];
    uint64_t q[4], k[4];
    [[unroll]] for (int i = 0; i < 4; ++i) {
        sum[i] = vec4(0);
        q[i] = uint64_t(min(row + i, rows - 1)) * blocks;
        k[i] = uint64_t(min(key + i, keys - 1)) * blocks;
    }
    [[dont_unroll]] for (uint c = 0; c < blocks; ++c) {
        vec4 b[4];
        [[unroll]] for (int i = 0; i < 4; ++i) b[i] = LOAD4(IN)(kAddress, k[i] + c);
        [[unroll]] for (int i = 0; i < 4; ++i) {
            vec4 a = LOAD4(IN)(qAddress, q[i] + c);
            sum[i] += vec4(dot(a, b[0]), dot(a, b[1]), dot(a, b[2]), dot(a, b[3]));
        }
    }
    [[unroll]] for (int i = 0; i < 4; ++i)
        if (row + i < rows) store4F32(scoresAddress, (uint64_t(row + i) * stride + key) / 4, sum[i] * scale);
}
