#version 460
// out[firstRow + row][channel] = Σ over keys of probability[row][key] * v[key][channel]. Probabilities are fp32, rows `stride`
// (a multiple of four) apart, zero past `keys`. One thread makes four rows of four channels.
// Defines: IN (type of v) OUT. Groups of 64 threads over ceil(rows / 4) × channels / 4, channels fastest.
#include "common.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t scoresAddress, vAddress, outAddress; // out at the first row of the block
    uint rows, keys, stride, channels;
};

void main() {
    uint blocks = channels / 4;
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t((rows + 3) / 4) * blocks) return;
    uint block = uint(item % blocks), row = uint(item / blocks) * 4;
    vec4 sum[4];
    [[unroll]] for (int i = 0; i < 4; ++i) sum[i] = vec4(0);
    [[dont_unroll]] for (uint key = 0; key < stride; key += 4) {
        vec4 v[4];
        [[unroll]] for (int k = 0; k < 4; ++k) v[k] = LOAD4(IN)(vAddress, uint64_t(min(key + k, keys - 1)) * blocks + block);
        [[unroll]] for (int i = 0; i < 4; ++i) {
            vec4 p = load4F32(scoresAddress, (uint64_t(min(row + i, rows - 1)) * stride + key) / 4);
            sum[i] = fma(vec4(p.x), v[0], fma(vec4(p.y), v[1], fma(vec4(p.z), v[2], fma(vec4(p.w), v[3], sum[i]))));
        }
    }
    [[unroll]] for (int i = 0; i < 4; ++i)
        if (row + i < rows) STORE4(OUT)(outAddress, uint64_t(row + i) * blocks + block, sum[i]);
}
