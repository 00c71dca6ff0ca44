// A thread of the portable transforms works on a VALUE: one channel, or with PAIRS two.
#ifdef PAIRS
#define VALUE vec2
#define LOAD_VALUE(type) PASTE(loadPair, type)
#define STORE_VALUE(type) PASTE(storePair, type)
#define VALUE_BYTES(type) (2 * BYTES(type))
#else
#define VALUE float
#define LOAD_VALUE(type) PASTE(loadOne, type)
#define STORE_VALUE(type) PASTE(storeOne, type)
#define VALUE_BYTES(type) BYTES(type)
#endif
layout(buffer_reference, std430, buffer_reference_align = 8) buffer Pair { vec2 v; };
layout(buffer_reference, std430, buffer_reference_align = 4) buffer PackedPair { uint v; };

float loadOneF32(uint64_t address) { return Word(address).v; }
vec2 loadPairF32(uint64_t address) { return Pair(address).v; }
vec2 loadPairF16(uint64_t address) { return unpackHalf2x16(PackedPair(address).v); }
vec2 loadPairBF16(uint64_t address) {
    uint w = PackedPair(address).v;
    return uintBitsToFloat(uvec2(w << 16, w & 0xffff0000u));
}
void storeOneF32(uint64_t address, float x) { Word(address).v = x; }
void storePairF32(uint64_t address, vec2 x) { Pair(address).v = x; }
void storePairF16(uint64_t address, vec2 x) { PackedPair(address).v = packHalf2x16(x); }
void storePairBF16(uint64_t address, vec2 x) {
    uvec4 b = bf16Bits(x.xyxy);
    PackedPair(address).v = b.x | (b.y << 16);
}
