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
    uint64_t item = LINEAR_THREAD, perPicture = pixels * blocks;
    if (item >= pictures * perPicture) return;
    // Divisions of 64 bits take longer than all the rest.
    uint64_t inPicture = item;
    uint picture = 0;
    while (inPicture >= perPicture) {
        inPicture -= perPicture;
        ++picture;
    }
    uint block = (perPicture >> 32) == 0ul ? uint(inPicture) % blocks : uint(inPicture % blocks);
    uint64_t pair = (uint64_t(picture) * blocks + block) * 2;
    vec4 low = load4F32(coefficientsAddress, pair), high = load4F32(coefficientsAddress, pair + 1);
    vec4 y = fma(LOAD4(IN)(inAddress, item), vec4(low.xz, high.xz), vec4(low.yw, high.yw));
    STORE4(OUT)(outAddress, item, ACTIVATE(y));
}
