// Cooperative matrices of TYPE (BF16 or F16) with fp32 sums by their numbers in SPIR-V: glslang knows the extensions only in
// versions that few distributions ship. core/gpu/shader_compiler.cpp puts the real component types in place of the numbers.
#include "defines.glsl"
#define F32_ID 0x7F32
#if TYPE == F16
#define ELEMENT_ID 0x7F15
#define SCALAR float16_t
#else
#define ELEMENT_ID 0x7F16
#define SCALAR spirv_type(extensions=["SPV_KHR_bfloat16"], capabilities=[5116, 5118], id=22, 16, 0)
#endif
const int kSubgroup = 3, k16 = 16, kA = 0, kB = 1, kC = 2, kRowMajor = 0, kColumnMajor = 1;
#define COOPMAT(T, USE) spirv_type(extensions=["SPV_KHR_cooperative_matrix"], capabilities=[6022], id=4456, T, kSubgroup, k16, k16, USE)
#define MatA COOPMAT(ELEMENT_ID, kA)
#define MatB COOPMAT(ELEMENT_ID, kB)
#define MatC COOPMAT(F32_ID, kC)
#define MatD COOPMAT(ELEMENT_ID, kC)
spirv_instruction(id = 115) SCALAR toScalar(float v);
spirv_instruction(id = 124) SCALAR bits16(uint16_t v);
spirv_instruction(id = 80) MatA splatA(SCALAR v);
spirv_instruction(id = 80) MatB splatB(SCALAR v);
spirv_instruction(id = 80) MatC splatC(float v);
spirv_instruction(id = 82) MatA setA(SCALAR v, MatA m, spirv_literal int i);
spirv_instruction(id = 82) MatB setB(SCALAR v, MatB m, spirv_literal int i);
spirv_instruction(id = 81) float getC(MatC m, spirv_literal int i);
spirv_instruction(id = 82) MatC setC(float v, MatC m, spirv_literal int i);
spirv_instruction(id = 115) MatD toD(MatC m);
spirv_instruction(id = 4457) MatA loadA(spirv_by_reference uvec4 q, int layout_, int stride, spirv_literal int access);
spirv_instruction(id = 4457) MatB loadB(spirv_by_reference uvec4 q, int layout_, int stride, spirv_literal int access);
spirv_instruction(id = 4457) MatC loadC(spirv_by_reference vec4 q, int layout_, int stride, spirv_literal int access, spirv_literal int align);
spirv_instruction(id = 4458) void storeC(spirv_by_reference uvec4 q, MatC m, int layout_, int stride, spirv_literal int access);
spirv_instruction(id = 4458) void storeD(spirv_by_reference uvec4 q, MatD m, int layout_, int stride, spirv_literal int access);
spirv_instruction(id = 4459) MatC mma(MatA a, MatB b, MatC c);

// For each element of the matrix that a lane holds.
#define EACH(DO, m) DO(m, 0) DO(m, 1) DO(m, 2) DO(m, 3) DO(m, 4) DO(m, 5) DO(m, 6) DO(m, 7)

// A conversion somewhere makes glslang declare the type.
#define DECLARE_ELEMENT float zero_ = 0.0; toScalar(zero_);

#if TYPE == F16
float lo(uint u) { return unpackHalf2x16(u).x; }
float hi(uint u) { return unpackHalf2x16(u).y; }
uint pack(float a, float b) { return packHalf2x16(vec2(a, b)); }
uint scaled(uint u, float powerOfTwo) { return pack(lo(u) * powerOfTwo, hi(u) * powerOfTwo); }
#define ROUND(m)
#else
float lo(uint u) { return uintBitsToFloat(u << 16); }
float hi(uint u) { return uintBitsToFloat(u & 0xffff0000u); }
// Conversions to bf16 truncate on some drivers, of matrices too. Two fused multiply-adds round to the nearest eight bits
// first, and keep NaN.
float nearest(float v) { precise float s = fma(v, 65536.0, v); precise float r = fma(v, -65536.0, s); return r; }
uint pack(float a, float b) {
    uint u = floatBitsToUint(nearest(a)), v = floatBitsToUint(nearest(b));
    return pack32(u16vec2(uint16_t(u >> 16), uint16_t(v >> 16)));
}
uint scaled(uint u, float powerOfTwo) {
    return floatBitsToUint(lo(u) * powerOfTwo) >> 16 | (floatBitsToUint(hi(u) * powerOfTwo) & 0xffff0000u);
}
#define ROUND1(m, i) m = setC(nearest(getC(m, i)), m, i);
#define ROUND(m) { EACH(ROUND1, m) }
#endif
#define LO16(u) bits16(uint16_t(u))
#define HI16(u) bits16(uint16_t((u) >> 16))
// Makes a matrix from the eight elements of each lane; costs no instruction. Lane l holds the rows (A) or columns (B) l / 4,
// in elements 0 to 3, and 8 + l / 4, and of each the inner indices 2 (l % 4) + {0, 1} and 8 more.
#define COMPOSE_OF(Mat, splat, set, b, u) { Mat m_ = splat(LO16(u.x)); m_ = set(HI16(u.x), m_, 1); m_ = set(LO16(u.y), m_, 2); m_ = set(HI16(u.y), m_, 3); \
    m_ = set(LO16(u.z), m_, 4); m_ = set(HI16(u.z), m_, 5); m_ = set(LO16(u.w), m_, 6); m_ = set(HI16(u.w), m_, 7); b = m_; }
#define COMPOSE_A(a, u) COMPOSE_OF(MatA, splatA, setA, a, u)
#define COMPOSE(b, u) COMPOSE_OF(MatB, splatB, setB, b, u)
