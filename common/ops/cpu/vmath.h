/* Functions of one float written so that a compiler turns a loop over them into vector code: no
 * branches, no tables, no calls. NaN in gives NaN out. */
#ifndef DK_OPS_CPU_VMATH_H
#define DK_OPS_CPU_VMATH_H

#include <stdint.h>
#include <string.h>

#define VM_INLINE static inline __attribute__((always_inline))

/* e^x, error at most 1.5 ulp (tests/unit/test_ops.c measures it): x = n ln 2 + r with |r| <= ln2/2,
 * the Taylor series of e^r to degree 7 (its remainder is 6e-9), and 2^n put into the exponent.
 * Below -87 the result is 0 (so no denormals come from masked scores), above 88 that of 88. */
VM_INLINE float vm_exp(float x)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    float top = x > 88.0f ? 88.0f : x;
    float t = top < -87.0f ? -87.0f : top;
    float shifted = t * 1.44269504f + magic;
    float n = shifted - magic;
    float r = (t - n * 0.693359375f) - n * -2.12194440e-4f; /* ln 2 in two parts, first is exact */
    float p = 1.0f / 5040;
    p = p * r + 1.0f / 720;
    p = p * r + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits - 0x4B400000u + 127u) << 23; /* 0x4B400000 are the bits of magic */
    float power;
    memcpy(&power, &bits, sizeof power);
    float e = p * power;
    return x < -87.0f ? 0.0f : e;
}

VM_INLINE float vm_silu(float x)
{
    return x / (1.0f + vm_exp(-x));
}

/* 0.5 x (1 + tanh u) = x / (1 + e^(-2u)), u = sqrt(2 / pi) (x + 0.044715 x^3). */
VM_INLINE float vm_gelu_tanh(float x)
{
    float u = 0.797884561f * (x + 0.044715f * x * x * x);
    return x / (1.0f + vm_exp(-2.0f * u));
}

#endif
