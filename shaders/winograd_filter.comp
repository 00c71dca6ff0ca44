#version 460
// G g Gᵀ of each kernel: weights [tap][in][out] to filters [64][in][out]. One thread makes one row of eight planes for
// four output channels. Defines: WEIGHT OUT (types). Groups of 64 threads over 8 × in × out / 4, outputs fastest.
#include "common.glsl"
#include "winograd.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t weightAddress, filtersAddress;
    uint inChannels, outBlocks; // out channels / 4
};

void main() {
    uint64_t item = LINEAR_THREAD, kernels = uint64_t(inChannels) * outBlocks;
    if (item >= 8ul * kernels) return;
    uint row = uint(item / kernels);
    uint64_t kernel = item % kernels;
    vec4 part[3];
    [[unroll]] for (int l = 0; l < 3; ++l) {
        part[l] = vec4(0);
        [[unroll]] for (int k = 0; k < 3; ++k)
            part[l] += winogradG[row * 3 + k] * LOAD4(WEIGHT)(weightAddress, uint64_t(k * 3 + l) * kernels + kernel);
    }
    [[unroll]] for (int j = 0; j < 8; ++j) {
        vec4 sum = part[0] * winogradG[j * 3] + part[1] * winogradG[j * 3 + 1] + part[2] * winogradG[j * 3 + 2];
        STORE4(OUT)(filtersAddress, (uint64_t(row) * 8ul + j) * kernels + kernel, sum);
    }
}
