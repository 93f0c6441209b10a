/* Loops of the published schedulers with many options, recorded in tests/data/sched/rows.json. */
#include "unit/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "model/scheduler.h"

enum { IMAGES = 2, SIZE = 48, TOTAL = IMAGES * SIZE };
#define TOLERANCE 2e-5

static dk_err err;

static float table(int i, int a, int b, int m, int middle)
{
    return (float)((i * a + b) % m - middle) / 32;
}

static double number(dk_jnode row, const char *key)
{
    json_t *v = json_object_get(row.v, key);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static double item(dk_jnode row, const char *key, size_t i)
{
    json_t *v = json_array_get(json_object_get(row.v, key), i);
    assert_true(json_is_number(v));
    return json_number_value(v);
}

static void near(const char *what, const char *config, double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%s: %s: %.8g, expected %.8g", config, what, got, want);
}

static void check_timesteps(const dk_sched *s, dk_jnode row, const char *config)
{
    size_t n = json_array_size(json_object_get(row.v, "timesteps"));

    if ((size_t)dk_sched_steps(s) != n)
        fail_msg("%s: %d timesteps, expected %zu", config, dk_sched_steps(s), n);
    for (size_t i = 0; i < n; i++) {
        double t = dk_sched_timestep(s, (int)i), want = item(row, "timesteps", i);
        near("timestep", config, t, want, want == floor(want) && t == floor(t) ? 0 : 3e-4);
    }
    near("init_sigma", config, dk_sched_init_sigma(s), number(row, "init_sigma"),
         1e-6 * number(row, "init_sigma"));
}

static void begin(dk_sched *s, int start, float *x, float *scratch)
{
    for (int i = 0; i < TOTAL; i++) {
        x[i] = table(i, 37, 11, 101, 50) * (start ? 1 : (float)dk_sched_init_sigma(s));
        scratch[i] = table(i, 29, 7, 89, 44);
    }
    if (start)
        dk_sched_add_noise(s, start, scratch, x, TOTAL);
}

static double sum_abs(const float *x)
{
    double sum = 0;
    for (int i = 0; i < TOTAL; i++)
        sum += fabs(x[i]);
    return sum;
}

static void run_row(dk_jnode row)
{
    dk_jnode cfg = dk_json_key(row, "config");
    char *config = json_dumps(row.v, 0);
    const char *kind = json_string_value(json_object_get(row.v, "kind"));
    const char *learned = json_string_value(json_object_get(cfg.v, "variance_type"));
    int start = (int)json_integer_value(json_object_get(row.v, "start"));
    float x[TOTAL], in[TOTAL], out[TOTAL], variance[TOTAL];
    dk_rng rngs[IMAGES];

    strchr(config, ']')[0] = '\0'; /* the config and the first numbers say which row it is */
    dk_err_init(&err);
    dk_sched *s = dk_sched_new(kind ? dk_sched_kind_parse(kind) : -1, cfg, &err);
    ts_ok(s ? 0 : -1, &err);
    ts_ok(dk_sched_set_steps(s, (int)number(row, "steps"), &err), &err);
    check_timesteps(s, row, config);
    begin(s, start, x, in);
    for (int b = 0; b < IMAGES; b++) {
        rngs[b].kind = DK_RNG_TORCH;
        dk_torch_seed(&rngs[b].u.torch, (uint64_t)(11 + b));
    }
    for (int i = 0; i < TOTAL; i++) {
        variance[i] = table(i, 17, 5, 65, 32);
        if (learned && strcmp(learned, "learned") == 0)
            variance[i] = fabsf(variance[i]);
    }
    double most = number(row, "max");
    for (int k = start; k < dk_sched_steps(s); k++) {
        float t = (float)dk_sched_timestep(s, k), factor = t / (t + 2);
        dk_sched_scale_input(s, k, x, in, TOTAL);
        for (int i = 0; i < TOTAL; i++)
            out[i] = in[i] * factor * 0.5f + table(i, 53, 29, 97, 48) * 0.5f;
        ts_ok(dk_sched_step(s, k, out, variance, x, IMAGES, SIZE, rngs, &err), &err);
        double want = item(row, "abs", (size_t)(k - start));
        near("sum of a step", config, sum_abs(x), want, TOLERANCE * want);
    }
    for (size_t i = 0; 7 * i < TOTAL; i++)
        near("sample", config, x[7 * i], item(row, "every7", i), TOLERANCE * most);
    dk_sched_free(s);
    free(config);
}

/* The rows of one class: by the class that runs them. */
static void rows_of(const char *cls, const char *kind, int at_least)
{
    dk_json doc;
    int n = 0;

    dk_err_init(&err);
    ts_ok(dk_json_load(&doc, "tests/data/sched/rows.json", &err), &err);
    for (size_t i = 0; i < json_array_size(doc.root); i++) {
        dk_jnode row = dk_json_item(dk_json_root(&doc), i);
        const char *k = json_string_value(json_object_get(row.v, "kind"));
        const char *c =
            json_string_value(json_object_get(json_object_get(row.v, "config"), "_class_name"));
        if (k ? strcmp(k, kind) == 0 : strcmp(c, cls) == 0) {
            run_row(row);
            n++;
        }
    }
    assert_true(n >= at_least);
    dk_json_free(&doc);
}

static void dpm_rows(void **state)
{
    (void)state;
    rows_of("DPMSolverMultistepScheduler", "dpm++", 38);
}

static void ddim_rows(void **state)
{
    (void)state;
    rows_of("DDIMScheduler", "ddim", 12);
}

static void ddpm_rows(void **state)
{
    (void)state;
    rows_of("DDPMScheduler", "ddpm", 11);
}

static void euler_rows(void **state)
{
    (void)state;
    rows_of("EulerDiscreteScheduler", "euler", 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dpm_rows),
        cmocka_unit_test(ddim_rows),
        cmocka_unit_test(ddpm_rows),
        cmocka_unit_test(euler_rows),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
