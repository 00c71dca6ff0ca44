#version 460
// Adds the splits of a split-K product: out [rows][channels] in TYPE is the sum over the splits of fp32
// [rows][splits][channels]. Groups of 64 threads over rows × channels / 4.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_ATTENTION_SUM
#include "push_constants.h"

void main() {
    uint blocks = channels / 4, item = uint(LINEAR_THREAD);
    if (item >= rows * blocks) return;
    uint row = item / blocks, block = item % blocks;
    uint64_t base = splitsAddress + uint64_t(row) * splits * channels * 4ul;
    vec4 sum = vec4(0);
    for (uint split = 0; split < splits; ++split) sum += load4F32(base, split * blocks + block);
    STORE4(TYPE)(outAddress, item, sum);
}
