// Shared by the portable kernels: loads and stores of tensors by 64-bit address, in the storage types F32, F16 and BF16.
// Kernels name a type with a define of defines.glsl, for example -DIN=BF16, and call LOAD4(IN)(address, index of the vec4).
// 16-bit values travel as pairs in 32-bit words, so no 16-bit feature is asked of the device.

#include "addresses.glsl"
#extension GL_EXT_control_flow_attributes : require

layout(buffer_reference, std430, buffer_reference_align = 16) buffer Words4 { vec4 v; };
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Words2 { uvec2 v; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer Word { float v; };

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define LOAD4(type) PASTE(load4, type)
#define STORE4(type) PASTE(store4, type)
// Loading and unpacking apart, for what is on its way for a while: RAW4(IN) raw = LOAD_RAW4(IN)(address).
#define RAW4(type) PASTE(Raw4, type)
#define LOAD_RAW4(type) PASTE(loadRaw4, type)
#define UNPACK4(type) PASTE(unpack4, type)
#define BYTES(type) PASTE(bytes, type)
#define Raw4F32 vec4
#define Raw4F16 uvec2
#define Raw4BF16 uvec2
const uint bytesF32 = 4, bytesF16 = 2, bytesBF16 = 2;

vec4 loadRaw4F32(uint64_t address) { return Words4(address).v; }
uvec2 loadRaw4F16(uint64_t address) { return Words2(address).v; }
uvec2 loadRaw4BF16(uint64_t address) { return Words2(address).v; }
vec4 unpack4F32(vec4 x) { return x; }
vec4 unpack4F16(uvec2 w) { return vec4(unpackHalf2x16(w.x), unpackHalf2x16(w.y)); }
vec4 unpack4BF16(uvec2 w) {
    return uintBitsToFloat(uvec4(w.x << 16, w.x & 0xffff0000u, w.y << 16, w.y & 0xffff0000u));
}
vec4 load4F32(uint64_t base, uint64_t i) { return Words4(base + i * 16ul).v; }
vec4 load4F16(uint64_t base, uint64_t i) { return unpack4F16(loadRaw4F16(base + i * 8ul)); }
vec4 load4BF16(uint64_t base, uint64_t i) { return unpack4BF16(loadRaw4BF16(base + i * 8ul)); }
float load1F32(uint64_t base, uint64_t i) { return Word(base + i * 4ul).v; }

// Nearest even; NaN stays NaN.
uvec4 bf16Bits(vec4 x) {
    uvec4 b = floatBitsToUint(x);
    uvec4 rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
    return mix(rounded, (b >> 16) | 0x40u, isnan(x));
}
void store4F32(uint64_t base, uint64_t i, vec4 x) { Words4(base + i * 16ul).v = x; }
void store4F16(uint64_t base, uint64_t i, vec4 x) {
    Words2(base + i * 8ul).v = uvec2(packHalf2x16(x.xy), packHalf2x16(x.zw));
}
void store4BF16(uint64_t base, uint64_t i, vec4 x) {
    uvec4 b = bf16Bits(x);
    Words2(base + i * 8ul).v = uvec2(b.x | (b.y << 16), b.z | (b.w << 16));
}
void store1F32(uint64_t base, uint64_t i, float x) { Word(base + i * 4ul).v = x; }

// Groups run over x, then y: a single axis ends at 65535 on some devices.
uint64_t linearGroup() { return uint64_t(gl_WorkGroupID.y) * gl_NumWorkGroups.x + gl_WorkGroupID.x; }
// A macro, for the size of a group is known only after the kernel's layout; before, glslang silently takes 1.
#define LINEAR_THREAD (linearGroup() * gl_WorkGroupSize.x + gl_LocalInvocationIndex)

// Running (count, mean, sum of squared deviations) of two sets of numbers, after Chan, Golub and LeVeque.
vec3 mergeMoments(vec3 a, vec3 b) {
    float n = a.x + b.x;
    float d = b.y - a.y;
    float share = n > 0.0 ? b.x / n : 0.0;
    return vec3(n, a.y + d * share, a.z + b.z + d * d * a.x * share);
}

#define SILU(x) ((x) / (1.0 + exp(-(x))))
#ifdef ACTIVATION_SILU
#define ACTIVATE(x) SILU(x)
#elif defined(ACTIVATION_RELU)
#define ACTIVATE(x) max(x, vec4(0))
#else
#define ACTIVATE(x) (x)
#endif
// The activation of a norm that a kernel applies as it reads.
#ifdef NORM_SILU
#define NORM_ACTIVATE(x) SILU(x)
#elif defined(NORM_RELU)
#define NORM_ACTIVATE(x) max(x, vec4(0))
#else
#define NORM_ACTIVATE(x) (x)
#endif
