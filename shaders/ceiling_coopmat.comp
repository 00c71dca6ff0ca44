#version 460
// The most that a device multiplies of 16×16×16 cooperative matrices in registers, for bench/kernel_bench: `rounds` times
// 16 products of each of four warps, none waiting for another, fp32 sums.
//   TYPE  what is multiplied, BF16 or F16; random values, for others take less power and run faster
// Subgroups of 32, required and full.
#pragma use_vulkan_memory_model
#extension GL_KHR_memory_scope_semantics : require
#extension GL_EXT_spirv_intrinsics : require
#extension GL_EXT_control_flow_attributes : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require
#extension GL_EXT_shader_explicit_arithmetic_types_float16 : require
#extension GL_KHR_shader_subgroup_basic : require
#include "addresses.glsl"

const int THREADS = 128, SIDE = 4;

layout(local_size_x = THREADS) in;
layout(buffer_reference, std430, buffer_reference_align = 16) buffer Any16 { uvec4 v; };
#define PUSH_CEILING_COOPMAT
#define PUSH_NAME p
#include "push_constants.h"

#include "coopmat.glsl"

const int UNITS = 64;                                                             // 16 bytes of 16×16 fp32
shared uvec4 sm[SIDE * SIDE * UNITS];

uint state;
float next() { state = state * 1664525u + 1013904223u; return float(state >> 8) / 8388608.0 - 1.0; }
uvec4 eight() {
    uvec4 u;
    [[unroll]] for (int i = 0; i < 4; i++) { float a = next(), b = next(); u[i] = pack(a, b); }
    return u;
}

void main() {
    DECLARE_ELEMENT
    int t = int(gl_LocalInvocationIndex);
    state = uint(t) + 7u;
    sm[t] = eight();
    barrier();
    MatA A[SIDE];
    MatB B[SIDE];
    MatC acc[SIDE][SIDE];
    [[unroll]] for (int i = 0; i < SIDE; i++) {
        A[i] = loadA(sm[i * 32], kRowMajor, 2, 32);
        uvec4 u = eight();
        COMPOSE(B[i], u)
        [[unroll]] for (int j = 0; j < SIDE; j++) acc[i][j] = splatC(0.0);
    }
    [[dont_unroll]] for (int round = 0; round < p.rounds; round++)
        [[unroll]] for (int i = 0; i < SIDE; i++) [[unroll]] for (int j = 0; j < SIDE; j++) acc[i][j] = mma(A[i], B[j], acc[i][j]);
    if (p.keep == 0) return;
    barrier();
    [[unroll]] for (int i = 0; i < SIDE; i++) [[unroll]] for (int j = 0; j < SIDE; j++)
        storeC(sm[(i * SIDE + j) * UNITS], acc[i][j], kRowMajor, 4, 32);
    barrier();
    for (int i = t; i < SIDE * SIDE * UNITS; i += THREADS) Any16(ADDRESS(p.to, i, 16)).v = sm[i];
}
