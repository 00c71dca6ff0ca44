#version 460
// An activation of each element. Defines: IN OUT (types), ACTIVATION_SILU or ACTIVATION_RELU. Groups of 64 threads over
// elements / 4.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_ELEMENTWISE
#include "push_constants.h"

void main() {
    uint64_t item = LINEAR_THREAD;
    if (item >= blocks) return;
    vec4 x = LOAD4(IN)(inAddress, item);
    STORE4(OUT)(outAddress, item, ACTIVATE(x));
}
