/* Random numbers against published check values of torch (CPU and CUDA generators). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "base/rng.h"
#include "num/dtype.h"

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
    assert_int_equal(dk_torch_u32(&r), 3071714933u);
    assert_int_equal(dk_torch_u32(&r), 3626093760u);
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
    static const double seed1234[] = {-0.111719, -0.496590, 0.163074,
                                      -0.881688, 0.053900,  0.668374};
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
    near(x + 15, (const double[]){0.762446}, 1);
    dk_torch_seed(&r, 1234);
    dk_torch_normal(&r, x, 16);
    near(x, seed1234, 6);
}

/* A draw in half precision is the f32 draw, rounded. */
static void torch_normal_half(void **state)
{
    static const double f16[] = {-1.125977, -1.152344, -0.250488, -0.433838};
    static const double bf16[] = {-1.125, -1.15625, -0.25, -0.433594};
    dk_torch_rng r;
    float x[16], half[4], brain[4];

    (void)state;
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 16);
    for (int i = 0; i < 4; i++) {
        half[i] = dk_f16_to_f32(dk_f32_to_f16(x[i]));
        brain[i] = dk_bf16_to_f32(dk_f32_to_bf16(x[i]));
    }
    near(half, f16, 4);
    near(brain, bf16, 4);
}

static void torch_normal_ragged(void **state)
{
    static const double n17[] = {-1.125840, -1.695931, 0.566651, 0.793508,  0.598839,  -1.555095,
                                 -0.341360, 1.853006,  0.468096, -0.585497, -0.173397, 0.183478,
                                 1.389366,  1.586334,  0.946298, -0.843677, 0.931827};
    static const double n20[] = {0.598839, -1.555095, -0.341360, 1.853006, 0.468096, -0.157712,
                                 1.443660, 0.266049,  1.389366,  1.586334, 0.946298, -0.843677,
                                 0.931827, 1.259009,  2.004981,  0.053737};
    dk_torch_rng r;
    float x[20];

    (void)state;
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 17);
    near(x, n17, 17);
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 20);
    near(x, (const double[]){-1.125840, -1.152360, -0.250579, -0.433879}, 4);
    near(x + 4, n20, 16);
}

static void torch_normal_small(void **state)
{
    static const double seed0[] = {1.540996, -0.293429, -2.178789, 0.568431, -1.084522, -1.398595};
    static const double seed42[] = {0.336690, 0.128809, 0.234462, 0.230333, -1.122856, -0.186328};
    dk_torch_rng r;
    float x[6], large[16];

    (void)state;
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 6);
    near(x, seed0, 6);
    dk_torch_seed(&r, 42);
    dk_torch_normal(&r, x, 3); /* the second of a pair survives between calls */
    dk_torch_normal(&r, x + 3, 3);
    near(x, seed42, 6);
    /* ... also past a large draw between, but not past a new seed. */
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 1);
    dk_torch_normal(&r, large, 16);
    dk_torch_normal(&r, x + 1, 1);
    near(x, seed0, 2);
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 1);
    dk_torch_seed(&r, 0);
    dk_torch_normal(&r, x, 2);
    near(x, seed0, 2);
}

static void philox_known_answers(void **state)
{
    static const uint32_t zero[4] = {0}, ones[4] = {~0u, ~0u, ~0u, ~0u};
    static const uint32_t of_zero[4] = {0x6627E8D5u, 0xE169C58Du, 0xBC57AC4Cu, 0x9B00DBD8u};
    static const uint32_t of_ones[4] = {0x408F276Du, 0x41C83B0Eu, 0xA20BC7C6u, 0x6D5451FDu};
    uint32_t out[4];

    (void)state;
    dk_philox4x32(zero, zero, out);
    assert_memory_equal(out, of_zero, sizeof out);
    dk_philox4x32(ones, ones, out);
    assert_memory_equal(out, of_ones, sizeof out);
}

static void philox_normal(void **state)
{
    static const double seed0[] = {-0.924663, -0.425344, -2.643846, 0.145184,  -0.120867, -0.579726,
                                   -0.622851, -0.328387, -1.074542, -0.363144, -1.671051, 2.265505};
    static const double second[] = {0.180826, -0.552263, 0.923813, -0.734970};
    static const double seed42[] = {0.194019, 2.161374, -0.172051, 0.849060, -1.924399, 0.652985};
    dk_philox_rng r;
    float x[12];

    (void)state;
    dk_philox_seed(&r, 0, 132);
    dk_philox_normal(&r, x, 12);
    near(x, seed0, 12);
    assert_int_equal(r.offset, 4);
    dk_philox_normal(&r, x, 4);
    near(x, second, 4);
    dk_philox_seed(&r, 42, 132);
    dk_philox_normal(&r, x, 0); /* nothing drawn, nothing counted */
    dk_philox_normal(&r, x, 6);
    near(x, seed42, 6);
}

/* More elements than a launch has threads: the GPU's size enters. Elements 0, 270336, 540672,
 * 811008 of 132 multiprocessors are the four normals of thread 0. */
static void philox_large(void **state)
{
    static const struct {
        uint64_t seed;
        int sm;
        size_t at;
        double value;
    } checks[] = {
        {42, 132, 0, 0.194019},        {42, 132, 270335, -0.652003}, {42, 132, 270336, -0.970190},
        {42, 132, 540672, 1.923927},   {42, 132, 811008, -1.235621}, {42, 132, 1081344, 0.139138},
        {42, 132, 1123199, -0.018965}, {42, 108, 221184, -0.970190}, {42, 108, 270336, -0.805919},
        {42, 108, 884736, 0.139138},   {0, 132, 270336, 0.991138},   {0, 132, 540672, -0.482069},
        {0, 132, 811008, -0.617609},   {0, 132, 1081344, 0.180826}};
    enum { COUNT = 1123200 };
    float *x = malloc(COUNT * sizeof *x);

    (void)state;
    assert_non_null(x);
    for (size_t i = 0; i < sizeof checks / sizeof checks[0]; i++) {
        if (i == 0 || checks[i].seed != checks[i - 1].seed || checks[i].sm != checks[i - 1].sm) {
            dk_philox_rng r;
            dk_philox_seed(&r, checks[i].seed, checks[i].sm);
            dk_philox_normal(&r, x, COUNT);
            assert_int_equal(r.offset, 8);
        }
        near(x + checks[i].at, &checks[i].value, 1);
    }
    free(x);
}

/* uniform_ is exact: 24 bits, one product, one sum. */
static void uniform(void **state)
{
    static const float want[] = {-0x1.fba2580000000p-3f, -0x1.93e5a00000000p-3f,
                                 -0x1.b698380000000p-4f, -0x1.e465f40000000p-3f,
                                 -0x1.d112000000000p-7f, -0x1.c270e00000000p-3f};
    dk_torch_rng r;
    float x[64];

    (void)state;
    dk_torch_seed(&r, 3);
    dk_torch_uniform(&r, -0.25f, 0.25f, x, 64);
    for (int i = 0; i < 64; i++)
        assert_true(x[i] >= -0.25f && x[i] < 0.25f);
    assert_memory_equal(x, want, sizeof want);
}

/* The two kinds behind one face. */
static void either_kind(void **state)
{
    dk_rng rng = {.kind = DK_RNG_PHILOX};
    float x[16];

    (void)state;
    dk_philox_seed(&rng.u.philox, 42, 132);
    dk_rng_normal(&rng, x, 16);
    near(x, (const double[]){0.194019, 2.161374}, 2);
    rng.kind = DK_RNG_TORCH;
    dk_torch_seed(&rng.u.torch, 42);
    dk_rng_normal(&rng, x, 16);
    near(x, (const double[]){1.926915, 1.487284}, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mt19937_words),        cmocka_unit_test(torch_normal_16),
        cmocka_unit_test(torch_normal_ragged),  cmocka_unit_test(torch_normal_small),
        cmocka_unit_test(philox_known_answers), cmocka_unit_test(philox_normal),
        cmocka_unit_test(philox_large),         cmocka_unit_test(uniform),
        cmocka_unit_test(torch_normal_half),    cmocka_unit_test(either_kind),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
