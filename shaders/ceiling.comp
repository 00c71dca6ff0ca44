#version 460
// The most that a device does, for bench/kernel_bench.
//   COPY  words of 16 bytes from one place to another, four of each thread in groups of 256; `rounds` unused
//   else  fp32 fused multiply-adds in registers: `rounds` times 48 vec4 of each thread, in 16 chains of which none waits
//         for another; with FEW in 3, which are all the registers of a CPU
#include "common.glsl"

layout(buffer_reference, std430, buffer_reference_align = 16) buffer Bits { uvec4 v; };

layout(local_size_x = 256) in;
#define PUSH_CEILING
#include "push_constants.h"

void main() {
#ifdef COPY
    uint64_t first = linearGroup() * 1024ul + gl_LocalInvocationIndex;
    uvec4 held[4];
    [[unroll]] for (uint i = 0; i < 4; ++i) held[i] = Bits(inAddress + (first + i * 256) * 16ul).v;
    [[unroll]] for (uint i = 0; i < 4; ++i) Bits(outAddress + (first + i * 256) * 16ul).v = held[i];
#else
    // Names and not an array: a driver that keeps the loop puts arrays into memory.
#ifdef FEW
#define EACH(DO) DO(a) DO(b) DO(c)
#define FOUR(DO) EACH(DO) EACH(DO) EACH(DO) EACH(DO)
#define ROUND(DO) FOUR(DO) FOUR(DO) FOUR(DO) FOUR(DO)
#else
#define EACH(DO) DO(a) DO(b) DO(c) DO(d) DO(e) DO(f) DO(g) DO(h) DO(i) DO(j) DO(k) DO(l) DO(m) DO(n) DO(o) DO(p)
#define ROUND(DO) EACH(DO) EACH(DO) EACH(DO)
#endif
#define BEGIN(x) vec4 x = vec4(gl_LocalInvocationIndex, 1, 2, 3) * (factor + float(count++));
#define STEP(x) x = fma(x, vec4(factor), vec4(added));
#define SUM(x) sum += x;
    float added = 1.0 - factor;
    vec4 sum = vec4(0);
    uint count = 0;
    EACH(BEGIN)
    for (uint round = 0; round < rounds; ++round) { ROUND(STEP) }
    EACH(SUM)
    if (keep != 0) store4F32(outAddress, LINEAR_THREAD, sum);
#endif
}
