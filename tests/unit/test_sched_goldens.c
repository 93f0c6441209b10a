/* Combinations of scheduler options with a model that is not linear, recorded from the published
 * classes in tests/data/sched/goldens.json. */
#include "unit/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/scheduler.h"

enum { SIZE = 16 };
#define TOLERANCE 2e-5

static dk_err err;

static json_t *get(json_t *o, const char *key)
{
    json_t *v = json_object_get(o, key);
    if (!v)
        fail_msg("goldens.json: %s is missing", key);
    return v;
}

static double item(json_t *array, size_t i)
{
    json_t *v = json_array_get(array, i);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static void check_timesteps(const dk_sched *s, json_t *want, const char *config)
{
    assert_int_equal(dk_sched_steps(s), json_array_size(want));
    for (int i = 0; i < dk_sched_steps(s); i++) {
        double t = dk_sched_timestep(s, i), w = item(want, (size_t)i);
        /* Whole timesteps exactly; Euler's fractional ones as far as f32 logarithms agree. */
        if (!(fabs(t - w) <= (w == floor(w) && t == floor(t) ? 0 : 3e-4)))
            fail_msg("%s: timestep %d is %.8g, expected %.8g", config, i, t, w);
    }
}

/* x from the start through all steps; the model says sin(3 x + t / 1000). */
static void run(dk_sched *s, float *x)
{
    float in[SIZE], out[SIZE];
    dk_rng rng = {.kind = DK_RNG_TORCH};

    dk_torch_seed(&rng.u.torch, 0);
    for (int i = 0; i < SIZE; i++)
        x[i] *= (float)dk_sched_init_sigma(s);
    for (int k = 0; k < dk_sched_steps(s); k++) {
        dk_sched_scale_input(s, k, x, in, SIZE);
        for (int i = 0; i < SIZE; i++)
            out[i] = sinf(3 * in[i] + (float)dk_sched_timestep(s, k) / 1000);
        ts_ok(dk_sched_step(s, k, out, NULL, x, 1, SIZE, &rng, &err), &err);
    }
}

static void check_row(dk_jnode row, json_t *start)
{
    dk_jnode cfg = dk_json_key(row, "config");
    json_t *want = get(row.v, "sample");
    char *config = json_dumps(cfg.v, 0);
    float x[SIZE];
    double most = 0;

    dk_sched *s = dk_sched_new(-1, cfg, &err);
    ts_ok(s ? 0 : -1, &err);
    ts_ok(dk_sched_set_steps(s, (int)json_integer_value(get(row.v, "steps")), &err), &err);
    check_timesteps(s, get(row.v, "timesteps"), config);
    for (size_t i = 0; i < SIZE; i++) {
        x[i] = (float)item(start, i);
        most = fmax(most, fabs(item(want, i)));
    }
    run(s, x);
    for (size_t i = 0; i < SIZE; i++)
        if (!(fabs(x[i] - item(want, i)) <= TOLERANCE * most))
            fail_msg("%s: sample %zu is %.8g, expected %.8g", config, i, x[i], item(want, i));
    dk_sched_free(s);
    free(config);
}

static void rows_of(const char *cls, int at_least)
{
    dk_json doc;
    int n = 0;

    dk_err_init(&err);
    ts_ok(dk_json_load(&doc, "tests/data/sched/goldens.json", &err), &err);
    dk_jnode rows = dk_json_key(dk_json_root(&doc), "rows");
    for (size_t i = 0; i < json_array_size(rows.v); i++) {
        dk_jnode row = dk_json_item(rows, i);
        json_t *name = get(get(row.v, "config"), "_class_name");
        if (strcmp(json_string_value(name), cls) == 0) {
            check_row(row, get(doc.root, "start"));
            n++;
        }
    }
    assert_true(n >= at_least);
    dk_json_free(&doc);
}

static void dpm_goldens(void **state)
{
    (void)state;
    rows_of("DPMSolverMultistepScheduler", 11);
}

static void ddim_goldens(void **state)
{
    (void)state;
    rows_of("DDIMScheduler", 5);
}

static void ddpm_goldens(void **state)
{
    (void)state;
    rows_of("DDPMScheduler", 5);
}

static void euler_goldens(void **state)
{
    (void)state;
    rows_of("EulerDiscreteScheduler", 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dpm_goldens),
        cmocka_unit_test(ddim_goldens),
        cmocka_unit_test(ddpm_goldens),
        cmocka_unit_test(euler_goldens),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
