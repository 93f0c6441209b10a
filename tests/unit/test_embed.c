/* Timestep and position embeddings against published check values. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

#include "model/embed.h"

typedef struct check {
    int at;
    double want;
} check;

static void near(const float *x, const check *c, int n)
{
    for (int i = 0; i < n; i++)
        if (!(fabs(x[c[i].at] - c[i].want) <= 1e-6))
            fail_msg("[%d]: %.7f, expected %.6f", c[i].at, (double)x[c[i].at], c[i].want);
}

static void timesteps(void **state)
{
    static const check pixart[] = {{0, -0.883849},  {1, 0.945946},    {2, 0.848507},
                                   {64, 0.283662},  {127, 0.998557},  {128, -0.467772},
                                   {129, 0.324325}, {130, -0.529184}, {255, 0.053705}};
    static const check dit[] = {{0, -0.883849},  {1, 0.997773},    {2, 0.499335},
                                {64, 0.109334},  {127, 0.998750},  {128, -0.467772},
                                {129, 0.066699}, {130, -0.866409}, {255, 0.049979}};
    static const check wide[] = {{0, 0.999650},   {1, -0.990163},   {480, -0.844470},
                                 {959, 0.994918}, {960, -0.026461}, {961, 0.139922},
                                 {1919, 0.100692}};
    float x[1920];

    (void)state;
    dk_timestep_embedding(500, 256, 0, x);
    near(x, pixart, 9);
    dk_timestep_embedding(500, 256, 1, x);
    near(x, dit, 9);
    dk_timestep_embedding(999, 1920, 0, x);
    near(x, wide, 7);
    dk_timestep_embedding(0, 256, 0, x);
    for (int i = 0; i < 128; i++)
        assert_true(x[i] == 1 && x[128 + i] == 0);
}

static void positions(void **state)
{
    enum { DIM = 1152 };
    static const check square[] = {{0, 0.841471},   {1, 0.824051},   {288, 0.540302},
                                   {576, 0.479426}, {577, 0.465556}, {864, 0.877583}};
    static const check wide[] = {{0, 0.162299},    {1, -0.738543},   {288, 0.986742},
                                 {576, -0.031306}, {577, -0.851649}, {864, 0.999510}};
    float *x = malloc((size_t)64 * 76 * DIM * sizeof *x);

    (void)state;
    assert_non_null(x);
    dk_sincos2d(64, 64, DIM, 64, 2, x); /* 1024 pixels: token (1, 2) */
    near(x + (1 * 64 + 2) * DIM, square, 6);
    dk_sincos2d(52, 76, DIM, 64, 2, x); /* 832 x 1216 pixels: token (51, 75) */
    near(x + (51 * 76 + 75) * DIM, wide, 6);
    for (int i = 0; i < DIM / 4; i++) /* token (0, 0): sines 0, cosines 1 */
        assert_true(x[i] == 0 && x[DIM / 4 + i] == 1 && x[DIM / 2 + i] == 0);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(timesteps),
        cmocka_unit_test(positions),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
