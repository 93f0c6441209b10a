/* common/num: every value of the narrow types against the formula of their definition, rounding at
 * every midpoint, rows equal to scalars, and metrics against values worked out by hand. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "num/dtype.h"
#include "num/metrics.h"

static uint32_t bits_of(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

#define assert_same_float(a, b) assert_int_equal(bits_of(a), bits_of(b))

/* ---- The definition: sign, exponent field E of `ebits`, fraction F of `mbits`; value
 * (-1)^s (1 + F/2^m) 2^(E-bias), or (-1)^s F/2^m 2^(1-bias) where E = 0. In f64, which holds all
 * of them. */
static double defined(unsigned code, int ebits, int mbits, int bias)
{
    unsigned e = code >> mbits & ((1u << ebits) - 1), f = code & ((1u << mbits) - 1);
    double fraction = f / pow(2, mbits), v;

    v = e ? (1 + fraction) * pow(2, (double)e - bias) : fraction * pow(2, 1 - bias);
    return code >> (ebits + mbits) & 1 ? -v : v;
}

static void names_and_widths(void **state)
{
    static const struct {
        const char *name;
        int bits, numeric, is_float;
    } expect[] = {
        {"BOOL", 8, 1, 0},        {"U8", 8, 1, 0},      {"I8", 8, 1, 0},
        {"F8_E5M2", 8, 1, 1},     {"F8_E4M3", 8, 1, 1}, {"F8_E8M0", 8, 1, 1},
        {"F8_E4M3FNUZ", 8, 1, 1}, {"I16", 16, 1, 0},    {"U16", 16, 1, 0},
        {"F8_E5M2FNUZ", 8, 1, 1}, {"F16", 16, 1, 1},    {"BF16", 16, 1, 1},
        {"I32", 32, 1, 0},        {"U32", 32, 1, 0},    {"F32", 32, 1, 1},
        {"C64", 64, 0, 0},        {"F64", 64, 1, 1},    {"I64", 64, 1, 0},
        {"U64", 64, 1, 0},        {"F4", 4, 0, 0},      {"F6_E2M3", 6, 0, 0},
        {"F6_E3M2", 6, 0, 0},
    };
    (void)state;
    assert_int_equal(sizeof expect / sizeof *expect, DK_DTYPE_COUNT);
    for (size_t i = 0; i < DK_DTYPE_COUNT; i++) {
        int t = dk_dtype_parse(expect[i].name);
        assert_in_range(t, 0, DK_DTYPE_COUNT - 1);
        assert_string_equal(dk_dtype_name((dk_dtype)t), expect[i].name);
        assert_int_equal(dk_dtype_bits((dk_dtype)t), expect[i].bits);
        assert_int_equal(!!dk_dtype_is_numeric((dk_dtype)t), expect[i].numeric);
        assert_int_equal(!!dk_dtype_is_float((dk_dtype)t), expect[i].is_float);
    }
    assert_int_equal(dk_dtype_parse("f32"), -1);
    assert_int_equal(dk_dtype_parse(""), -1);
    assert_int_equal(dk_dtype_parse("F8_E4M3FN"), -1);
}

/* ---- f16 and bf16: all 65,536 values, both ways. */

static void f16_every_value(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = dk_f16_to_f32((uint16_t)h);
        if ((h & 0x7C00) != 0x7C00) {
            assert_same_float(f, (float)defined(h, 5, 10, 15));
            assert_int_equal(dk_f32_to_f16(f), h);
        } else if ((h & 0x3FF) == 0) {
            assert_same_float(f, h & 0x8000 ? -INFINITY : INFINITY);
            assert_int_equal(dk_f32_to_f16(f), h);
        } else { /* payload and sign are kept, the quiet bit is set */
            assert_int_equal(bits_of(f),
                             (h & 0x8000) << 16 | 0x7FC00000 | (h & 0x3FF) << 13);
            assert_int_equal(dk_f32_to_f16(f), h | 0x200);
        }
    }
}

/* Midway between neighbouring codes goes to the even one, one f32 step beside it to the nearer. */
static void check_midpoint(double low, double high, unsigned code, unsigned (*encode)(float))
{
    float mid = (float)((low + high) / 2);

    assert_true((double)mid == (low + high) / 2);
    assert_int_equal(encode(mid), code + (code & 1));
    assert_int_equal(encode(nextafterf(mid, -INFINITY)), code);
    assert_int_equal(encode(nextafterf(mid, INFINITY)), code + 1);
}

static unsigned to_f16(float f) { return dk_f32_to_f16(f); }
static unsigned to_bf16(float f) { return dk_f32_to_bf16(f); }
static unsigned to_e4m3(float f) { return dk_f32_to_e4m3(f); }
static unsigned to_e5m2(float f) { return dk_f32_to_e5m2(f); }

static void f16_rounding(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 0x7BFF; h++)
        check_midpoint(defined(h, 5, 10, 15), defined(h + 1, 5, 10, 15), h, to_f16);
    assert_int_equal(dk_f32_to_f16(65504), 0x7BFF);
    assert_int_equal(dk_f32_to_f16(nextafterf(65520, 0)), 0x7BFF);
    assert_int_equal(dk_f32_to_f16(65520), 0x7C00);
    assert_int_equal(dk_f32_to_f16(-FLT_MAX), 0xFC00);
    assert_int_equal(dk_f32_to_f16(-FLT_MIN), 0x8000);
    assert_int_equal(dk_f32_to_f16(0x1p-149f), 0);
    assert_int_equal(dk_f32_to_f16(-1 - 0x1p-11f), 0xBC00);
    assert_int_equal(dk_f32_to_f16(-1 - 0x1p-11f - 0x1p-23f), 0xBC01);
}

static void bf16_every_value(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = dk_bf16_to_f32((uint16_t)h);
        assert_int_equal(bits_of(f), h << 16);
        if ((h & 0x7F80) != 0x7F80)
            assert_same_float(f, (float)defined(h, 8, 7, 127));
        if ((h & 0x7F80) != 0x7F80 || (h & 0x7F) == 0)
            assert_int_equal(dk_f32_to_bf16(f), h);
        else
            assert_int_equal(dk_f32_to_bf16(f), h | 0x40);
    }
}

static void bf16_rounding(void **state)
{
    float nan;
    uint32_t low_payload = 0x7F800001; /* must not become infinity */
    (void)state;

    for (unsigned h = 0; h < 0x7F7F; h++)
        check_midpoint(defined(h, 8, 7, 127), defined(h + 1, 8, 7, 127), h, to_bf16);
    assert_int_equal(dk_f32_to_bf16(FLT_MAX), 0x7F80);
    assert_int_equal(dk_f32_to_bf16(-FLT_MAX), 0xFF80);
    memcpy(&nan, &low_payload, sizeof nan);
    assert_int_equal(dk_f32_to_bf16(nan), 0x7FC0);
}

/* ---- 8 bits: all 256 codes of each kind. */

static void e4m3_every_value(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 256; v++) {
        float f = dk_e4m3_to_f32((uint8_t)v);
        if ((v & 0x7F) == 0x7F) {
            assert_true(isnan(f));
            continue;
        }
        assert_same_float(f, (float)defined(v, 4, 3, 7));
        assert_int_equal(dk_f32_to_e4m3(f), v);
    }
    for (unsigned v = 0; v < 0x7E; v++)
        check_midpoint(defined(v, 4, 3, 7), defined(v + 1, 4, 3, 7), v, to_e4m3);
    assert_true(dk_e4m3_to_f32(0x7E) == 448 && dk_e4m3_to_f32(1) == 0x1p-9f);
    assert_int_equal(dk_f32_to_e4m3(449), 0x7E); /* saturates */
    assert_int_equal(dk_f32_to_e4m3(-INFINITY), 0xFE);
    assert_int_equal(dk_f32_to_e4m3(NAN) & 0x7F, 0x7F);
    assert_int_equal(dk_f32_to_e4m3(-0x1p-149f), 0x80);
}

static void e5m2_every_value(void **state)
{
    (void)state;
    for (unsigned v = 0; v < 256; v++) {
        float f = dk_e5m2_to_f32((uint8_t)v);
        if ((v & 0x7C) != 0x7C) {
            assert_same_float(f, (float)defined(v, 5, 2, 15));
        } else if (v & 3) {
            assert_true(isnan(f));
            continue;
        } else {
            assert_same_float(f, v & 0x80 ? -INFINITY : INFINITY);
        }
        assert_int_equal(dk_f32_to_e5m2(f), v);
    }
    for (unsigned v = 0; v < 0x7B; v++)
        check_midpoint(defined(v, 5, 2, 15), defined(v + 1, 5, 2, 15), v, to_e5m2);
    assert_int_equal(dk_f32_to_e5m2(57344), 0x7B);
    assert_int_equal(dk_f32_to_e5m2(nextafterf(61440, 0)), 0x7B);
    assert_int_equal(dk_f32_to_e5m2(-61440), 0xFC);
    assert_true(dk_f32_to_e5m2(NAN) % 128 > 0x7C);
}

static void other_bytes_every_value(void **state)
{
    uint8_t codes[256];
    float a[256], b[256], c[256];
    (void)state;

    for (int v = 0; v < 256; v++)
        codes[v] = (uint8_t)v;
    dk_to_f32(DK_F8_E8M0, codes, a, 256);
    dk_to_f32(DK_F8_E4M3FNUZ, codes, b, 256);
    dk_to_f32(DK_F8_E5M2FNUZ, codes, c, 256);
    for (unsigned v = 0; v < 255; v++)
        assert_same_float(a[v], (float)pow(2, (double)v - 127));
    assert_true(isnan(a[255]));
    for (unsigned v = 0; v < 256; v++) {
        if (v == 0x80) {
            assert_true(isnan(b[v]) && isnan(c[v]));
            continue;
        }
        assert_same_float(b[v], (float)defined(v, 4, 3, 8));
        assert_same_float(c[v], (float)defined(v, 5, 2, 16));
    }
    assert_true(b[0x7F] == 240 && c[0x7F] == 57344);
    dk_to_f32(DK_BOOL, codes, a, 256);
    dk_to_f32(DK_U8, codes, b, 256);
    dk_to_f32(DK_I8, codes, c, 256);
    for (int v = 0; v < 256; v++) {
        assert_true(a[v] == (v ? 1 : 0) && b[v] == (float)v);
        assert_true(c[v] == (float)(v < 128 ? v : v - 256));
    }
}

/* ---- Rows. */

/* All f16 values through the row conversion (which may use F16C), at an odd address and with every
 * length of tail, against the scalar function: same bits, NaN included. */
static void rows_equal_scalars(void **state)
{
    enum { N = 65536 };
    uint8_t *raw = malloc(2 * N + 1), *src = raw + 1;
    float *f = malloc(N * sizeof *f);
    (void)state;

    assert_true(raw && f);
    for (unsigned h = 0; h < N; h++)
        memcpy(src + 2 * h, &(uint16_t){(uint16_t)h}, 2);
    dk_to_f32(DK_F16, src, f, N);
    for (unsigned h = 0; h < N; h++)
        assert_same_float(f[h], dk_f16_to_f32((uint16_t)h));
    dk_to_f32(DK_BF16, src, f, N);
    for (unsigned h = 0; h < N; h++)
        assert_same_float(f[h], dk_bf16_to_f32((uint16_t)h));
    for (size_t n = 0; n < 20; n++) {
        f[n] = -7;
        dk_to_f32(DK_F16, src + 2 * 0x3C00, f, n);
        for (size_t i = 0; i < n; i++)
            assert_same_float(f[i], dk_f16_to_f32((uint16_t)(0x3C00 + i)));
        assert_true(f[n] == -7); /* nothing behind the end */
    }
    dk_to_f32(DK_F8_E4M3, src, f, 300); /* long rows take a table */
    for (size_t i = 0; i < 300; i++)
        assert_true(isnan(f[i]) || bits_of(f[i]) == bits_of(dk_e4m3_to_f32(src[i])));
    free(raw);
    free(f);
}

static void rows_of_wide_types(void **state)
{
    static const double d[] = {0.1, -1e300, 1e-320, -0.0};
    static const uint16_t u16[] = {0, 1, 32768, 65535};
    static const int16_t i16[] = {-32768, -1, 0, 32767};
    static const uint32_t u32[] = {0, 16777217, 4294967295u, 7};
    static const int32_t i32[] = {INT32_MIN, -1, 0, INT32_MAX};
    static const uint64_t u64[] = {0, UINT64_MAX, 1, (uint64_t)1 << 63};
    static const int64_t i64[] = {INT64_MIN, -1, 0, INT64_MAX};
    static const float f32[] = {1.5f, -0.0f, INFINITY, FLT_MIN / 4};
    uint8_t raw[33];
    float f[4];
    (void)state;

#define CHECK_ROW(type, array)                                                                     \
    memcpy(raw + 1, array, sizeof array);                                                          \
    dk_to_f32(type, raw + 1, f, 4);                                                                \
    for (int i = 0; i < 4; i++)                                                                    \
    assert_same_float(f[i], (float)array[i])

    CHECK_ROW(DK_F64, d);
    CHECK_ROW(DK_U16, u16);
    CHECK_ROW(DK_I16, i16);
    CHECK_ROW(DK_U32, u32);
    CHECK_ROW(DK_I32, i32);
    CHECK_ROW(DK_U64, u64);
    CHECK_ROW(DK_I64, i64);
    CHECK_ROW(DK_F32, f32);
}

static void rows_written(void **state)
{
    static const dk_dtype types[] = {DK_F32, DK_F16, DK_BF16, DK_F64, DK_F8_E4M3, DK_F8_E5M2};
    static const float exact[] = {0, -0.0f, 1, -2.5f, 0.25f, 448, -0.015625f, 3};
    uint8_t raw[65];
    float f[8];
    (void)state;

    for (size_t t = 0; t < sizeof types / sizeof *types; t++) {
        memset(raw, 0xA5, sizeof raw);
        dk_from_f32(types[t], exact, raw + 1, 8);
        assert_int_equal(raw[0], 0xA5);
        if (types[t] != DK_F64)
            assert_int_equal(raw[1 + dk_dtype_bits(types[t])], 0xA5);
        dk_to_f32(types[t], raw + 1, f, 8);
        for (int i = 0; i < 8; i++)
            assert_same_float(f[i], exact[i]);
    }
}

/* ---- Metrics. */

#define assert_near(a, b, tolerance) assert_true(fabs((a) - (b)) <= (tolerance))

static void metrics_by_hand(void **state)
{
    static const float a[] = {1, 2, -3}, b[] = {1, 0, -1}, zero[] = {0, 0, 0};
    (void)state;

    assert_near(dk_max_abs(a, 3), 3, 0);
    assert_near(dk_max_abs_diff(a, b, 3), 2, 0);
    assert_near(dk_rel_l2(a, b, 3), 2, 1e-15);           /* sqrt(8 / 2) */
    assert_near(dk_cosine(a, b, 3), 4 / sqrt(28), 1e-15); /* (1 + 3) / sqrt(14 * 2) */
    assert_near(dk_mse(a, b, 3), 8.0 / 3, 1e-15);
    assert_near(dk_psnr(a, b, 3, 255), 43.8711163, 1e-6); /* 10 log10(65025 / (8/3)) */
    assert_true(dk_psnr(a, a, 3, 1) == INFINITY);
    assert_near(dk_rel_l2(zero, zero, 3), 0, 0);
    assert_true(dk_rel_l2(a, zero, 3) == INFINITY);
    assert_near(dk_cosine(zero, zero, 3), 1, 0);
    assert_near(dk_cosine(a, zero, 3), 0, 0);
    assert_near(dk_mse(a, b, 0), 0, 0);
}

static void metrics_pass_nan_on(void **state)
{
    static const float a[] = {1, NAN, 5}, b[] = {1, 2, 3};
    (void)state;

    assert_true(isnan(dk_max_abs(a, 3)) && isnan(dk_max_abs_diff(a, b, 3)));
    assert_true(isnan(dk_rel_l2(a, b, 3)) && isnan(dk_cosine(a, b, 3)));
    assert_true(isnan(dk_psnr(a, b, 3, 1)));
}

static void ssim_by_hand(void **state)
{
    enum { W = 11, SIZE = W * W };
    float x[SIZE], y[SIZE];
    (void)state;

    for (int i = 0; i < SIZE; i++) {
        x[i] = 0.25f;
        y[i] = 0.5f;
    }
    assert_near(dk_ssim(x, x, 1, W, W, 1), 1, 1e-12);
    /* Constant images have no variance, so only the means count: (2ab + c1) / (a^2 + b^2 + c1). */
    assert_near(dk_ssim(x, y, 1, W, W, 1), (0.25 + 1e-4) / (0.3125 + 1e-4), 1e-12);
    /* Black against one white pixel in the middle, w = 0.0707622378 the window's weight there:
     * c1 c2 / ((w^2 + c1) (w (1 - w) + c2)). */
    memset(x, 0, sizeof x);
    memset(y, 0, sizeof y);
    y[SIZE / 2] = 1;
    assert_near(dk_ssim(x, y, 1, W, W, 1), 0.000264374316, 1e-12);
    assert_true(isnan(dk_ssim(x, y, 1, W - 1, W, 1))); /* no window fits */
}

/* Two channels of 12 x 13: 12 window positions; the value is from a program written separately
 * (means first, then variances about them). */
static void ssim_of_pattern(void **state)
{
    enum { H = 12, W = 13 };
    float x[2 * H * W], y[2 * H * W];
    (void)state;

    for (int c = 0; c < 2; c++)
        for (int i = 0; i < H; i++)
            for (int j = 0; j < W; j++) {
                int k = (c * 7 + i * 3 + j * 5) % 11;
                x[(c * H + i) * W + j] = (float)(k / 10.0);
                y[(c * H + i) * W + j] = (float)(k / 20.0 + (i + j) % 3 * 0.25);
            }
    assert_near(dk_ssim(x, y, 2, H, W, 1), 0.7071455958, 1e-9);
    assert_near(dk_ssim(y, x, 2, H, W, 1), 0.7071455958, 1e-9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_widths),
        cmocka_unit_test(f16_every_value),
        cmocka_unit_test(f16_rounding),
        cmocka_unit_test(bf16_every_value),
        cmocka_unit_test(bf16_rounding),
        cmocka_unit_test(e4m3_every_value),
        cmocka_unit_test(e5m2_every_value),
        cmocka_unit_test(other_bytes_every_value),
        cmocka_unit_test(rows_equal_scalars),
        cmocka_unit_test(rows_of_wide_types),
        cmocka_unit_test(rows_written),
        cmocka_unit_test(metrics_by_hand),
        cmocka_unit_test(metrics_pass_nan_on),
        cmocka_unit_test(ssim_by_hand),
        cmocka_unit_test(ssim_of_pattern),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
