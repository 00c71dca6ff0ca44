#version 460
// activation(x * scale + shift) with (scale, shift) of each channel of each picture; may write over its input.
// Defines: IN OUT (types), ACTIVATION_SILU or ACTIVATION_RELU. Groups of 64 threads over pictures × pixels × channels / 4.
#include "common.glsl"

layout(local_size_x = 64) in;
layout(push_constant, std430) uniform Push {
    uint64_t inAddress, coefficientsAddress, outAddress, pixels;
    uint pictures, channels;
};

void main() {
    uint blocks = channels / 4;
    uint64_t item = LINEAR_THREAD;
    if (item >= uint64_t(pictures) * pixels * blocks) return;
    uint64_t picture = item / (pixels * blocks);
    uint64_t pair = (picture * blocks + item % blocks) * 2;
    vec4 low = load4F32(coefficientsAddress, pair), high = load4F32(coefficientsAddress, pair + 1);
    vec4 y = fma(LOAD4(IN)(inAddress, item), vec4(low.xz, high.xz), vec4(low.yw, high.yw));
    STORE4(OUT)(outAddress, item, ACTIVATE(y));
}
