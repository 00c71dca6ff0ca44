#version 460
// activation(x * scale + shift) with (scale, shift) of each channel of each picture; may write over its input.
// Defines: IN OUT (types), ACTIVATION_SILU or ACTIVATION_RELU. Groups of 256 threads: every 2048 blocks of four channels of
// a picture, pictures × `perPicture` groups.
#include "common.glsl"

layout(local_size_x = 256) in;
#define PUSH_GROUP_NORM_APPLY
#include "push_constants.h"

const uint EACH = GROUP_NORM_APPLY_ITEMS / 256;

void main() {
    uint group = uint(linearGroup()), picture = group / perPicture;
    if (picture >= pictures) return;
    uint64_t first = uint64_t(group - picture * perPicture) * (256 * EACH) + gl_LocalInvocationIndex, base = picture * items;
    // Where blocks repeat every 256 items, as they do for 128, 256 and 512 channels, a thread has the same all along.
    uint block = (items >> 32) == 0ul ? uint(first) % blocks : uint(first % blocks), step = 256 % blocks;
    uint64_t pairs = uint64_t(picture) * blocks;
    vec4 low = load4F32(coefficientsAddress, (pairs + block) * 2), high = load4F32(coefficientsAddress, (pairs + block) * 2 + 1);
    vec4 x[EACH];
    [[unroll]] for (uint i = 0; i < EACH; ++i)
        if (first + i * 256 < items) x[i] = LOAD4(IN)(inAddress, base + first + i * 256);
    [[unroll]] for (uint i = 0; i < EACH; ++i) {
        if (first + i * 256 >= items) break;
        vec4 y = fma(x[i], vec4(low.xz, high.xz), vec4(low.yw, high.yw));
        STORE4(OUT)(outAddress, base + first + i * 256, ACTIVATE(y));
        if (step == 0) continue;
        block = (block + step) % blocks;
        low = load4F32(coefficientsAddress, (pairs + block) * 2);
        high = load4F32(coefficientsAddress, (pairs + block) * 2 + 1);
    }
}
