// The transforms of F(6×6, 3×3) along one direction, in place: points 0, ±1, ±2, ±1/2 and infinity.
// Output = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A.

// Macros for their arguments, and not loops over arrays: all indices are constants for every driver.
#define EACH6(DO) DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define EACH8(DO) EACH6(DO) DO(6) DO(7)

// Bᵀ d
#define TRANSFORM_INPUT(TYPE, d0, d1, d2, d3, d4, d5, d6, d7)                                                          \
    {                                                                                                                  \
        TYPE first = d0 - d6 + 5.25 * (d4 - d2), last = d7 - d1 + 5.25 * (d3 - d5);                                    \
        TYPE even1 = d2 + d6 - 4.25 * d4, odd1 = d1 + d5 - 4.25 * d3;                                                  \
        TYPE even2 = 0.25 * d2 - 1.25 * d4 + d6, odd2 = 0.5 * d1 - 2.5 * d3 + 2.0 * d5;                                \
        TYPE evenHalf = 4.0 * d2 - 5.0 * d4 + d6, oddHalf = 2.0 * d1 - 2.5 * d3 + 0.5 * d5;                            \
        d0 = first, d1 = even1 + odd1, d2 = even1 - odd1, d3 = even2 + odd2, d4 = even2 - odd2;                        \
        d5 = evenHalf + oddHalf, d6 = evenHalf - oddHalf, d7 = last;                                                   \
    }
// G g, from g0 g1 g2 to the eight of `to`.
#define TRANSFORM_FILTER(TYPE, to, g0, g1, g2)                                                                         \
    {                                                                                                                  \
        TYPE even1 = -2.0 / 9.0 * (g0 + g2), odd1 = -2.0 / 9.0 * g1;                                                   \
        TYPE even2 = 1.0 / 90.0 * g0 + 2.0 / 45.0 * g2, odd2 = 1.0 / 45.0 * g1;                                        \
        TYPE evenHalf = 32.0 / 45.0 * g0 + 8.0 / 45.0 * g2, oddHalf = 16.0 / 45.0 * g1;                                \
        to(0, g0) to(1, even1 + odd1) to(2, even1 - odd1) to(3, even2 + odd2) to(4, even2 - odd2)                      \
        to(5, evenHalf + oddHalf) to(6, evenHalf - oddHalf) to(7, g2)                                                  \
    }
// Aᵀ m, the first six of what is left.
#define TRANSFORM_OUTPUT(TYPE, m0, m1, m2, m3, m4, m5, m6, m7)                                                         \
    {                                                                                                                  \
        TYPE sum1 = m1 + m2, apart1 = m1 - m2, sum2 = m3 + m4, apart2 = m3 - m4, sumHalf = m5 + m6;                    \
        TYPE apartHalf = m5 - m6;                                                                                      \
        m0 = m0 + sum1 + (sum2 + sumHalf), m1 = apart1 + 2.0 * apart2 + 0.5 * apartHalf;                               \
        m2 = sum1 + 4.0 * sum2 + 0.25 * sumHalf, m3 = apart1 + 8.0 * apart2 + 0.125 * apartHalf;                       \
        m4 = sum1 + 16.0 * sum2 + 0.0625 * sumHalf, m5 = m7 + apart1 + 32.0 * apart2 + 0.03125 * apartHalf;            \
    }
