#version 460
// Adds the parts of a product that were made apart: out [rows][channels] in TYPE is the sum of the `parts` rows of fp32 in
// [rows][parts][channels]. Groups of 64 threads over rows × channels / 4.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_ATTENTION_SUM
#include "push_constants.h"

void main() {
    uint blocks = channels / 4, item = uint(LINEAR_THREAD);
    if (item >= rows * blocks) return;
    uint row = item / blocks, block = item % blocks;
    uint64_t base = partsAddress + uint64_t(row) * parts * channels * 4ul;
    vec4 sum = vec4(0);
    for (uint part = 0; part < parts; ++part) sum += load4F32(base, part * blocks + block);
    STORE4(TYPE)(outAddress, item, sum);
}
