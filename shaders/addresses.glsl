// Memory is reached by 64-bit addresses. A buffer reference here is one element and never an array: some drivers (NVIDIA's
// 580 among them) multiply the index of an array in the index's own 32 bits, so that it wraps 4 GiB behind the base and a
// negative one stops the device. Elements before a base are reached from a base of their own, so that no index is signed.
//   ADDRESS(base, index, bytes)  the index is widened before it is multiplied: reaches 2^32 elements
//   OFFSET(base, bytes)          bytes counted in 32 bits: costs less where everything is within 4 GiB of the base
// The host checks that indices and bytes stay within this, see PortableKernels::checkIndices.
#include "limits.h"
#extension GL_EXT_buffer_reference : require
#extension GL_EXT_shader_explicit_arithmetic_types_int64 : require
#define ADDRESS(base, index, bytes) ((base) + uint64_t(uint(index)) * uint64_t(bytes))
#define OFFSET(base, bytes) ((base) + uint64_t(uint(bytes)))
