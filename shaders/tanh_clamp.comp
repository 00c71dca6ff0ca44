#version 460
// 3 tanh(x / 3). Defines: IN OUT (types). Groups of 64 threads over elements / 4.
#include "common.glsl"

layout(local_size_x = 64) in;
#define PUSH_ELEMENTWISE
#include "push_constants.h"

void main() {
    uint64_t item = LINEAR_THREAD;
    if (item >= blocks) return;
    vec4 x = LOAD4(IN)(inAddress, item);
    // By exp, which may overflow to infinity without harm; a library's tanh may not.
    STORE4(OUT)(outAddress, item, 3.0 - 6.0 / (exp(x * (2.0 / 3.0)) + 1.0));
}
