/* Random numbers against published check values of torch (CPU and CUDA generators). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/rng.h"

#define TOLERANCE 2e-6 /* torch's vector code has its own log and sine, a few ulp from libm */

static void near(const float *got, const double *want, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= TOLERANCE + 5e-7))
            fail_msg("element %zu: %.7f, expected %.6f", i, (double)got[i], want[i]);
}

static void mt19937_words(void **state)
{
    dk_torch_rng r;
    uint32_t last = 0;

    (void)state;
    dk_torch_seed(&r, 5489);
    for (int i = 0; i < 10000; i++)
        last = dk_torch_u32(&r);
    assert_int_equal(last, 4123659995u); /* the C++ standard's check value */
    dk_torch_seed(&r, 0);
    assert_int_equal(dk_torch_u32(&r), 2357136044u);
    assert_int_equal(dk_torch_u32(&r), 2546248239u);
    dk_torch_seed(&r, (uint64_t)7 << 32); /* the upper half of a seed is ignored */
    assert_int_equal(dk_torch_u64(&r), (uint64_t)2357136044u << 32 | 2546248239u);
}

static void torch_normal_16(void **state)
{
    static const double seed0[] = {-1.125840, -1.152360, -0.250579, -0.433879, 0.848710, 0.692009,
                                   -0.316013, -2.115219, 0.322275,  -1.263335, 0.349983, 0.308134,
                                   0.119842,  1.237658,  1.116777,  -0.247278};
    static const double seed42[] = {1.926915,  1.487284,  0.900717,  -2.105521, 0.678418,
                                    -1.234545, -0.043067, -1.604667, -0.752136, 1.648723};
    dk_torch_rng r;
    float x[4096];

    (void)state;
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 16);
    near(x, seed0, 16);
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 4096); /* the first 16 do not depend on the size */
    near(x, seed0, 16);
    dk_torch_seed(&r, 42);
    dk_torch_normal(&r, x, 16);
    near(x, seed42, 10);
}

static void torch_normal_ragged(void **state)
{
    static const double n17[] = {-1.125840, -1.695931, 0.566651,  0.793508, 0.598839, -1.555095,
                                 -0.341360, 1.853006,  0.468096,  -0.585497, -0.173397, 0.183478,
                                 1.389366,  1.586334,  0.946298,  -0.843677, 0.931827};
    static const double n20[] = {0.598839, -1.555095, -0.341360, 1.853006,  0.468096, -0.157712,
                                 1.443660, 0.266049,  1.389366,  1.586334,  0.946298, -0.843677,
                                 0.931827, 1.259009,  2.004981,  0.053737};
    dk_torch_rng r;
    float x[20];

    (void)state;
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 17);
    near(x, n17, 17);
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 20);
    near(x + 4, n20, 16);
}

static void torch_normal_small(void **state)
{
    static const double seed0[] = {1.540996, -0.293429, -2.178789, 0.568431, -1.084522, -1.398595};
    static const double seed42[] = {0.336690, 0.128809, 0.234462, 0.230333, -1.122856, -0.186328};
    dk_torch_rng r;
    float x[6];

    (void)state;
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 6);
    near(x, seed0, 6);
    dk_torch_seed(&r, 42);
    dk_torch_normal(&r, x, 3); /* the second of a pair survives between calls */
    dk_torch_normal(&r, x + 3, 3);
    near(x, seed42, 6);
}

static void philox_known_answers(void **state)
{
    static const uint32_t zero[4] = {0}, ones[4] = {~0u, ~0u, ~0u, ~0u};
    uint32_t out[4];

    (void)state;
    dk_philox4x32(zero, zero, out);
    assert_int_equal(out[0], 0x6627E8D5u);
    assert_int_equal(out[3], 0x9B00DBD8u);
    dk_philox4x32(ones, ones, out);
    assert_int_equal(out[0], 0x408F276Du);
    assert_int_equal(out[3], 0x6D5451FDu);
}

static void philox_normal(void **state)
{
    static const double seed0[] = {-0.924663, -0.425344, -2.643846, 0.145184, -0.120867, -0.579726,
                                   -0.622851, -0.328387, -1.074542, -0.363144, -1.671051, 2.265505};
    static const double second[] = {0.180826, -0.552263, 0.923813, -0.734970};
    dk_philox_rng r;
    float x[12];

    (void)state;
    dk_philox_seed(&r, 0, 132);
    dk_philox_normal(&r, x, 12);
    near(x, seed0, 12);
    dk_philox_normal(&r, x, 4);
    near(x, second, 4);
}

/* More elements than a launch has threads: the GPU's size enters. */
static void philox_large(void **state)
{
    static const struct {
        int sm;
        size_t at;
        double value;
    } checks[] = {{132, 0, 0.194019},       {132, 270335, -0.652003},  {132, 270336, -0.970190},
                  {132, 540672, 1.923927},  {132, 811008, -1.235621},  {132, 1081344, 0.139138},
                  {132, 1123199, -0.018965}, {108, 221184, -0.970190}, {108, 270336, -0.805919},
                  {108, 884736, 0.139138}};
    enum { COUNT = 1123200 };
    float *x = malloc(COUNT * sizeof *x);

    (void)state;
    assert_non_null(x);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        dk_philox_rng r;
        dk_philox_seed(&r, 42, checks[i].sm);
        dk_philox_normal(&r, x, COUNT);
        near(x + checks[i].at, &checks[i].value, 1);
        if (checks[i].sm == 132)
            assert_int_equal(r.offset, 8);
    }
    free(x);
}

static void uniform_range(void **state)
{
    dk_torch_rng r;
    float x[64];

    (void)state;
    dk_torch_seed(&r, 3);
    dk_torch_uniform(&r, -0.25f, 0.25f, x, 64);
    for (int i = 0; i < 64; i++)
        assert_true(x[i] >= -0.25f && x[i] < 0.25f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt19937_words),       cmocka_unit_test(torch_normal_16),
        cmocka_unit_test(torch_normal_ragged), cmocka_unit_test(torch_normal_small),
        cmocka_unit_test(philox_known_answers), cmocka_unit_test(philox_normal),
        cmocka_unit_test(philox_large),        cmocka_unit_test(uniform_range),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
