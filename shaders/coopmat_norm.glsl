// NORM (and NORM_SILU): a norm and its activation of eight channels of a 16-bit feature map. LOAD_NORM(channel) loads the
// coefficients of the channels from `channel` on from p.gn, INPUT(u) applies them.
#ifdef NORM
vec4 ab[4];                                                                     // (scale, shift) of 8 channels
#ifdef NORM_SILU
// x / (1 + exp(-x)) = h + h tanh(h) with h = x / 2: in half precision tanh is one instruction, exp and 1 / x are two.
#define OF_PAIR 0.5
uint normed(float a, float b) { f16vec2 t = tanh(f16vec2(a, b)); return pack(fma(a, float(t.x), a), fma(b, float(t.y), b)); }
#else
#define OF_PAIR 1.0
uint normed(float a, float b) { return pack(a, b); }
#endif
#define LOAD_NORM(channel) { uint64_t g_ = ADDRESS(p.gn, channel, 8); [[unroll]] for (int q_ = 0; q_ < 4; q_++) ab[q_] = OF_PAIR * InF4(ADDRESS(g_, q_, 16)).v; }
#define IN2(u, q) normed(fma(lo(u), ab[q].x, ab[q].y), fma(hi(u), ab[q].z, ab[q].w))
#define INPUT(u) uvec4(IN2(u.x, 0), IN2(u.y, 1), IN2(u.z, 2), IN2(u.w, 3))
#else
#define LOAD_NORM(channel)
#define INPUT(u) u
#endif
