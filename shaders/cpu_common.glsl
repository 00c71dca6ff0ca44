// Shared by the kernels for Mesa's CPU device (lavapipe): element types, widening loads, rounding stores.
// IN, WEIGHT and OUT (see defines.glsl) are F32 where they are not defined.
// Feature maps are read through texel buffer views, four elements a texel: there a fetch is one 16 byte load a lane and a transpose,
// while a load through a storage buffer or an address is a branch a lane.
#include "defines.glsl"
#extension GL_EXT_control_flow_attributes : require
#extension GL_KHR_shader_subgroup_shuffle : require
#include "addresses.glsl"
#extension GL_EXT_shader_16bit_storage : require
#extension GL_EXT_shader_explicit_arithmetic_types_int16 : require

#ifndef IN
#define IN F32
#endif
#ifndef WEIGHT
#define WEIGHT F32
#endif
#ifndef OUT
#define OUT F32
#endif
#if IN == BF16
#define IN_BUFFER utextureBuffer
#define IN_LOAD(t, i) uintBitsToFloat(texelFetch(t, i) << 16)
#else
#define IN_BUFFER textureBuffer
#define IN_LOAD(t, i) texelFetch(t, i)
#endif
#if WEIGHT == BF16
#define WEIGHT_BUFFER utextureBuffer
#define WEIGHT_LOAD(t, i) uintBitsToFloat(texelFetch(t, i) << 16)
#else
#define WEIGHT_BUFFER textureBuffer
#define WEIGHT_LOAD(t, i) texelFetch(t, i)
#endif
#if OUT == BF16
#define OUT_BUFFER utextureBuffer
#define OUT_LOAD(t, i) uintBitsToFloat(texelFetch(t, i) << 16)
#else
#define OUT_BUFFER textureBuffer
#define OUT_LOAD(t, i) texelFetch(t, i)
#endif

// bf16 rounds to nearest even; a NaN stays a NaN.
uint bf16Bits(float f) {
    uint u = floatBitsToUint(f);
    uint r = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
    return (u & 0x7fffffffu) > 0x7f800000u ? (u >> 16) | 0x40u : r;
}
uvec2 bf16Pack(vec4 v) { return uvec2(bf16Bits(v.x) | bf16Bits(v.y) << 16, bf16Bits(v.z) | bf16Bits(v.w) << 16); }

// exp(t) for t in [-87, 88]: 2^i * exp(r), |r| <= ln(2)/2, ln(2) in two parts. Relative error below 2e-7.
vec4 fastExp(vec4 t) {
    vec4 i = floor(t * 1.44269504 + 0.5);
    precise vec4 r = (t - i * 0.693359375) + i * 2.12194440e-4;
    vec4 e = ((((1.9875691500e-4 * r + 1.3981999507e-3) * r + 8.3334519073e-3) * r + 4.1665795894e-2) * r + 1.6666665459e-1) * r + 0.5;
    return ((e * r) * r + r + 1.0) * intBitsToFloat((ivec4(i) + 127) << 23);
}

vec4 silu(vec4 x) { return x / (1.0 + fastExp(clamp(-x, vec4(-87.0), vec4(88.0)))); }

// The activation of a norm that a kernel applies as it reads.
#ifdef NORM_SILU
#define NORM_ACTIVATE(x) silu(x)
#elif defined(NORM_RELU)
#define NORM_ACTIVATE(x) max(x, vec4(0.0))
#else
#define NORM_ACTIVATE(x) (x)
#endif

// Four elements are stored as 64-bit words: a store is a loop over the lanes for each word, however wide.
#if OUT == BF16
const uint OUT_BYTES = 8, OUT1_BYTES = 2;
layout(buffer_reference, std430, buffer_reference_align = 8) buffer OutRef { uint64_t v; };
layout(buffer_reference, std430, buffer_reference_align = 2) buffer OutRef1 { uint16_t v; };
uint64_t outPack(vec4 x) { return packUint2x32(bf16Pack(x)); }
uint16_t outPack1(float x) { return uint16_t(bf16Bits(x)); }
#elif OUT == F16
const uint OUT_BYTES = 8, OUT1_BYTES = 2;
layout(buffer_reference, std430, buffer_reference_align = 8) buffer OutRef { uint64_t v; };
layout(buffer_reference, std430, buffer_reference_align = 2) buffer OutRef1 { uint16_t v; };
uint64_t outPack(vec4 x) { return packUint2x32(uvec2(packHalf2x16(x.xy), packHalf2x16(x.zw))); }
uint16_t outPack1(float x) { return uint16_t(packHalf2x16(vec2(x, 0.0))); }
#else
const uint OUT_BYTES = 16, OUT1_BYTES = 4;
layout(buffer_reference, std430, buffer_reference_align = 16) buffer OutRef { u64vec2 v; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer OutRef1 { float v; };
u64vec2 outPack(vec4 x) {
    uvec4 b = floatBitsToUint(x);
    return u64vec2(packUint2x32(b.xy), packUint2x32(b.zw));
}
float outPack1(float x) { return x; }
#endif
// Four elements, or one, of the output: OUT4(address, index in vec4) = outPack(x), OUT1(address, index) = outPack1(x).
#define OUT4(base, i) OutRef(ADDRESS(base, i, OUT_BYTES)).v
#define OUT1(base, i) OutRef1(ADDRESS(base, i, OUT1_BYTES)).v
