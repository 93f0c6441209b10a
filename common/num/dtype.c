/* See dtype.h. The 8-bit floats are decoded and encoded by one routine each, told the format by its
 * number of mantissa bits and its bias; f16 rows use the processor's F16C conversion where it has
 * one. Both paths give the same bits for all 65,536 values (tested), NaN included: the payload
 * moves to the upper bits of the f32, the sign stays, and a signalling NaN becomes quiet. */
#include "num/dtype.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <immintrin.h>
#endif

static const struct {
    const char *name;
    int bits;
    bool numeric, is_float;
} types[DK_DTYPE_COUNT] = {
    [DK_F32] = {"F32", 32, true, true},
    [DK_F16] = {"F16", 16, true, true},
    [DK_BF16] = {"BF16", 16, true, true},
    [DK_F64] = {"F64", 64, true, true},
    [DK_F8_E4M3] = {"F8_E4M3", 8, true, true},
    [DK_F8_E5M2] = {"F8_E5M2", 8, true, true},
    [DK_F8_E8M0] = {"F8_E8M0", 8, true, true},
    [DK_F8_E4M3FNUZ] = {"F8_E4M3FNUZ", 8, true, true},
    [DK_F8_E5M2FNUZ] = {"F8_E5M2FNUZ", 8, true, true},
    [DK_BOOL] = {"BOOL", 8, true, false},
    [DK_U8] = {"U8", 8, true, false},
    [DK_I8] = {"I8", 8, true, false},
    [DK_U16] = {"U16", 16, true, false},
    [DK_I16] = {"I16", 16, true, false},
    [DK_U32] = {"U32", 32, true, false},
    [DK_I32] = {"I32", 32, true, false},
    [DK_U64] = {"U64", 64, true, false},
    [DK_I64] = {"I64", 64, true, false},
    [DK_C64] = {"C64", 64, false, false},
    [DK_F4] = {"F4", 4, false, false},
    [DK_F6_E2M3] = {"F6_E2M3", 6, false, false},
    [DK_F6_E3M2] = {"F6_E3M2", 6, false, false},
};

const char *dk_dtype_name(dk_dtype t) { return types[t].name; }

int dk_dtype_parse(const char *name)
{
    for (int t = 0; t < DK_DTYPE_COUNT; t++)
        if (strcmp(types[t].name, name) == 0)
            return t;
    return -1;
}

int dk_dtype_bits(dk_dtype t) { return types[t].bits; }

int dk_dtype_is_numeric(dk_dtype t) { return types[t].numeric; }

int dk_dtype_is_float(dk_dtype t) { return types[t].is_float; }

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

/* ---- Scalars. */

float dk_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, e = h >> 10 & 31, m = h & 0x3FFu;

    if (e == 31) /* a signalling NaN becomes quiet, as in the hardware conversion */
        return from_bits(sign | 0x7F800000u | m << 13 | (m ? 0x400000u : 0));
    if (e == 0)
        return from_bits(sign | bits_of((float)m * 0x1p-24f));
    return from_bits(sign | (e + 112) << 23 | m << 13);
}

uint16_t dk_f32_to_f16(float f)
{
    uint32_t u = bits_of(f), sign = u >> 16 & 0x8000u, a = u & 0x7FFFFFFFu;

    if (a > 0x7F800000u) /* NaN: quiet, upper payload bits kept */
        return (uint16_t)(sign | 0x7E00u | (a >> 13 & 0x1FFu));
    if (a >= 0x477FF000u) /* 65520 and above round to infinity */
        return (uint16_t)(sign | 0x7C00u);
    if (a < 0x38800000u) /* below 2^-14: a multiple of 2^-24, rounded by the adder at 0.5 */
        return (uint16_t)(sign | (bits_of(from_bits(a) + 0.5f) - bits_of(0.5f)));
    return (uint16_t)(sign | (((a + 0xFFFu + (a >> 13 & 1)) >> 13) - (112u << 10)));
}

float dk_bf16_to_f32(uint16_t h) { return from_bits((uint32_t)h << 16); }

uint16_t dk_f32_to_bf16(float f)
{
    uint32_t u = bits_of(f);
    if ((u & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(u >> 16 | 0x40u);
    return (uint16_t)((u + 0x7FFFu + (u >> 16 & 1)) >> 16);
}

/* sign, e exponent bits, m mantissa bits; NaN and infinity are the caller's. */
static float small_float(uint8_t v, int mantissa, int bias)
{
    int e = (v & 0x7F) >> mantissa, m = v & ((1 << mantissa) - 1);
    float x = e == 0 ? ldexpf((float)m, 1 - bias - mantissa)
                     : ldexpf((float)(m | 1 << mantissa), e - bias - mantissa);
    return v & 0x80 ? -x : x;
}

float dk_e4m3_to_f32(uint8_t v) { return (v & 0x7F) == 0x7F ? NAN : small_float(v, 3, 7); }

float dk_e5m2_to_f32(uint8_t v)
{
    if ((v & 0x7F) > 0x7C)
        return NAN;
    if ((v & 0x7F) == 0x7C)
        return v & 0x80 ? -INFINITY : INFINITY;
    return small_float(v, 2, 15);
}

/* The fnuz kinds have no negative zero (0x80 is NaN), no infinity, and a bias one larger. */
static float fnuz_to_f32(uint8_t v, int mantissa, int bias)
{
    return v == 0x80 ? NAN : small_float(v, mantissa, bias);
}

/* |f| finite, as a multiple of the format's step at its exponent, rounded to even; returns the code
 * without sign. Values past the largest code carry over naturally (the caller clamps). */
static unsigned encode_small(float a, int mantissa, int bias)
{
    int e;

    if (a == 0)
        return 0;
    frexpf(a, &e); /* a = x * 2^e, x in [0.5, 1) */
    e -= 1;
    if (e < 1 - bias)
        e = 1 - bias;
    unsigned q = (unsigned)rintf(ldexpf(a, mantissa - e));
    unsigned base = (unsigned)(e + bias - 1) << mantissa;
    return base + q; /* q in [2^m, 2^(m+1)] adds the implicit bit; subnormals have e = 1 - bias */
}

uint8_t dk_f32_to_e4m3(float f)
{
    unsigned sign = bits_of(f) >> 24 & 0x80u;
    float a = fabsf(f);

    if (isnan(f))
        return (uint8_t)(sign | 0x7F);
    if (a >= 448)
        return (uint8_t)(sign | 0x7E);
    unsigned code = encode_small(a, 3, 7);
    return (uint8_t)(sign | (code > 0x7E ? 0x7E : code));
}

uint8_t dk_f32_to_e5m2(float f)
{
    unsigned sign = bits_of(f) >> 24 & 0x80u;
    float a = fabsf(f);

    if (isnan(f))
        return (uint8_t)(sign | 0x7F);
    if (a >= 61440) /* half way from 57344 to the next step */
        return (uint8_t)(sign | 0x7C);
    return (uint8_t)(sign | encode_small(a, 2, 15));
}

/* ---- Rows. src may have any alignment, hence memcpy. */

static void f16_row_portable(const unsigned char *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, src + 2 * i, 2);
        dst[i] = dk_f16_to_f32(h);
    }
}

#if defined(__x86_64__)
__attribute__((target("f16c,avx"))) static void f16_row_f16c(const unsigned char *src, float *dst,
                                                             size_t n)
{
    size_t i = 0;
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(dst + i, _mm256_cvtph_ps(_mm_loadu_si128((const __m128i *)(src + 2 * i))));
    f16_row_portable(src + 2 * i, dst + i, n - i);
}

/* "avx" also says that the system saves the wide registers; clang 14 knows no "f16c" there. Asked
 * once: CPUID leaves a virtual machine each time. */
static bool has_f16c(void)
{
    static _Atomic int known; /* 0 not asked, 1 no, 2 yes */

    if (!known) {
        unsigned a, b, c, d;
        known = __builtin_cpu_supports("avx") && __get_cpuid(1, &a, &b, &c, &d) && (c & bit_F16C)
                    ? 2
                    : 1;
    }
    return known == 2;
}
#endif

static void f16_row(const unsigned char *src, float *dst, size_t n)
{
#if defined(__x86_64__)
    if (n >= 8 && has_f16c()) {
        f16_row_f16c(src, dst, n);
        return;
    }
#endif
    f16_row_portable(src, dst, n);
}

static void bf16_row(const unsigned char *src, float *dst, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, src + 2 * i, 2);
        dst[i] = from_bits((uint32_t)h << 16);
    }
}

static float byte_to_f32(dk_dtype t, uint8_t v)
{
    switch (t) {
    case DK_F8_E4M3: return dk_e4m3_to_f32(v);
    case DK_F8_E5M2: return dk_e5m2_to_f32(v);
    case DK_F8_E8M0: return v == 255 ? NAN : ldexpf(1, v - 127);
    case DK_F8_E4M3FNUZ: return fnuz_to_f32(v, 3, 8);
    case DK_F8_E5M2FNUZ: return fnuz_to_f32(v, 2, 16);
    case DK_BOOL: return v ? 1 : 0;
    case DK_I8: return (int8_t)v;
    default: return v;
    }
}

/* 256 values: the byte types go through a table. */
static void byte_row(dk_dtype t, const unsigned char *src, float *dst, size_t n)
{
    float table[256];

    if (n < 256) {
        for (size_t i = 0; i < n; i++)
            dst[i] = byte_to_f32(t, src[i]);
        return;
    }
    for (int v = 0; v < 256; v++)
        table[v] = byte_to_f32(t, (uint8_t)v);
    for (size_t i = 0; i < n; i++)
        dst[i] = table[src[i]];
}

#define ROW_OF(type)                                                                               \
    for (size_t i = 0; i < n; i++) {                                                               \
        type v;                                                                                    \
        memcpy(&v, s + i * sizeof v, sizeof v);                                                    \
        dst[i] = (float)v;                                                                         \
    }                                                                                              \
    break

void dk_to_f32(dk_dtype t, const void *src, float *dst, size_t n)
{
    const unsigned char *s = src;

    switch (t) {
    case DK_F32: memcpy(dst, src, n * sizeof(float)); break;
    case DK_F16: f16_row(s, dst, n); break;
    case DK_BF16: bf16_row(s, dst, n); break;
    case DK_F64: ROW_OF(double);
    case DK_U16: ROW_OF(uint16_t);
    case DK_I16: ROW_OF(int16_t);
    case DK_U32: ROW_OF(uint32_t);
    case DK_I32: ROW_OF(int32_t);
    case DK_U64: ROW_OF(uint64_t);
    case DK_I64: ROW_OF(int64_t);
    default: byte_row(t, s, dst, n); break;
    }
}

void dk_from_f32(dk_dtype t, const float *src, void *dst, size_t n)
{
    unsigned char *d = dst;

    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        double v;
        switch (t) {
        case DK_F16:
            h = dk_f32_to_f16(src[i]);
            memcpy(d + 2 * i, &h, 2);
            break;
        case DK_BF16:
            h = dk_f32_to_bf16(src[i]);
            memcpy(d + 2 * i, &h, 2);
            break;
        case DK_F64:
            v = src[i];
            memcpy(d + 8 * i, &v, 8);
            break;
        case DK_F8_E4M3: d[i] = dk_f32_to_e4m3(src[i]); break;
        case DK_F8_E5M2: d[i] = dk_f32_to_e5m2(src[i]); break;
        default: memcpy(d + 4 * i, src + i, 4); break;
        }
    }
}
