/* Schedulers: loops of the published unit tests with their dummy model, timestep lists, options,
 * bad configs. Loops with the other options are in test_sched_rows.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "model/sched_internal.h"

enum { BATCH = 4, SIZE = 3 * 8 * 8, TOTAL = BATCH * SIZE };
static dk_err err;

static dk_sched *make(int kind, const char *json, dk_json *doc)
{
    dk_err_init(&err);
    assert_int_equal(dk_json_parse(doc, json, strlen(json), "config", &err), 0);
    return dk_sched_new(kind, dk_json_root(doc), &err);
}

/* The published dummy sample: [4, 3, 8, 8] counted through with the batch index fastest. */
static float dummy(int b, int i)
{
    return (float)((double)(i * BATCH + b) / TOTAL);
}

/* Runs the loop with the dummy model x t / (t + 1) and leaves the sample in x. start > 0: noise is
 * added at that step of the list and the loop begins there. */
static void loop(const char *json, int steps, int start, float *x)
{
    dk_json doc;
    dk_sched *s = make(-1, json, &doc);
    dk_rng rng = {.kind = DK_RNG_TORCH};
    float in[TOTAL], out[TOTAL];

    assert_non_null(s);
    assert_int_equal(dk_sched_set_steps(s, steps, &err), 0);
    for (int b = 0; b < BATCH; b++)
        for (int i = 0; i < SIZE; i++)
            x[b * SIZE + i] = dummy(b, i) * (float)dk_sched_init_sigma(s);
    if (start > 0) {
        float noise[TOTAL];
        for (int b = 0; b < BATCH; b++)
            for (int i = 0; i < SIZE; i++)
                noise[b * SIZE + i] = (float)((double)(TOTAL - 1 - (i * BATCH + b)) / TOTAL);
        dk_sched_add_noise(s, start, noise, x, TOTAL);
    }
    dk_torch_seed(&rng.u.torch, 0);
    for (int k = start; k < dk_sched_steps(s); k++) {
        float t = (float)dk_sched_timestep(s, k);
        dk_sched_scale_input(s, k, x, in, TOTAL);
        memcpy(x, in, sizeof in); /* the published test keeps the scaled input as its sample */
        for (int i = 0; i < TOTAL; i++)
            out[i] = in[i] * t / (t + 1);
        /* One image of the whole batch's size: the published test draws all its noise in one call.
         */
        assert_int_equal(dk_sched_step(s, k, out, NULL, x, 1, TOTAL, &rng, &err), 0);
    }
    dk_sched_free(s);
    dk_json_free(&doc);
}

static double sum_abs(const float *x)
{
    double sum = 0;
    for (int i = 0; i < TOTAL; i++)
        sum += fabs(x[i]);
    return sum;
}

static void expect_sum(const char *json, int steps, int start, double want)
{
    float x[TOTAL];
    loop(json, steps, start, x);
    if (!(fabs(sum_abs(x) - want) < 1e-2))
        fail_msg("%s: sum %.4f, expected %.4f", json, sum_abs(x), want);
}

static void expect_mean(const char *json, double want)
{
    float x[TOTAL];
    loop(json, 10, 0, x);
    if (!(fabs(sum_abs(x) / TOTAL - want) < 1e-3))
        fail_msg("%s: mean %.4f, expected %.4f", json, sum_abs(x) / TOTAL, want);
}

#define DPM                                                                                        \
    "{\"_class_name\":\"DPMSolverMultistepScheduler\",\"lower_order_final\":false,"                \
    "\"final_sigmas_type\":\"sigma_min\""
#define DDIM "{\"_class_name\":\"DDIMScheduler\",\"clip_sample\":true"
#define DDPM                                                                                       \
    "{\"_class_name\":\"DDPMScheduler\",\"variance_type\":\"fixed_small\",\"clip_sample\":true"
#define EULER "{\"_class_name\":\"EulerDiscreteScheduler\",\"num_train_timesteps\":1100"
#define V     ",\"prediction_type\":\"v_prediction\""

static void dpm_loops(void **state)
{
    (void)state;
    expect_mean(DPM "}", 0.3301);
    expect_mean(DPM V "}", 0.2251);
    expect_mean(DPM V ",\"use_karras_sigmas\":true}", 0.2096);
    expect_mean(DPM V ",\"use_lu_lambdas\":true}", 0.1554);
    expect_sum(DPM "}", 10, 5, 318.4111);
}

static void ddim_loops(void **state)
{
    (void)state;
    expect_sum(DDIM "}", 10, 0, 172.0067);
    expect_sum(DDIM V "}", 10, 0, 52.5302);
    expect_sum(DDIM ",\"beta_start\":0.01,\"set_alpha_to_one\":true}", 10, 0, 149.8295);
    expect_sum(DDIM ",\"beta_start\":0.01,\"set_alpha_to_one\":false}", 10, 0, 149.0784);
}

static void ddpm_loops(void **state)
{
    (void)state;
    expect_sum(DDPM "}", 1000, 0, 258.9606);
    expect_sum(DDPM V "}", 1000, 0, 202.0296);
}

static void euler_loops(void **state)
{
    (void)state;
    expect_sum(EULER "}", 10, 0, 10.0807);
    expect_sum(EULER ",\"use_karras_sigmas\":true}", 10, 0, 124.5230);
}

static void expect_timesteps(const char *json, int n, const int *want)
{
    dk_json doc;
    dk_sched *s = make(-1, json, &doc);

    assert_non_null(s);
    assert_int_equal(dk_sched_set_steps(s, n, &err), 0);
    assert_int_equal(dk_sched_steps(s), n);
    for (int i = 0; i < n; i++)
        assert_int_equal((int)dk_sched_timestep(s, i), want[i]);
    dk_sched_free(s);
    dk_json_free(&doc);
}

static void timestep_lists(void **state)
{
    static const int twenty[] = {999, 949, 899, 849, 799, 749, 699, 649, 599, 549,
                                 500, 450, 400, 350, 300, 250, 200, 150, 100, 50};
    static const int four[] = {999, 749, 500, 250}, three[] = {667, 334, 1}, two[] = {500, 0};

    (void)state;
    expect_timesteps("{\"_class_name\":\"DPMSolverMultistepScheduler\"}", 20, twenty);
    expect_timesteps(
        "{\"_class_name\":\"DPMSolverMultistepScheduler\",\"lambda_min_clipped\":-Infinity}", 4,
        four);
    expect_timesteps("{\"_class_name\":\"DDPMScheduler\",\"steps_offset\":1}", 3, three);
    expect_timesteps("{\"_class_name\":\"DDIMScheduler\"}", 2, two);
}

static void near(double got, double want, double tolerance)
{
    if (!(fabs(got - want) <= tolerance))
        fail_msg("%.8g, expected %.8g", got, want);
}

/* The sigmas of 20 steps of the published PixArt scheduler. */
static void sigmas_of_pixart(void **state)
{
    static const double want[] = {157.4073, 96.17609, 60.27141, 38.73640, 25.52848, 17.24698,
                                  11.93952, 8.463006, 6.135209, 4.541235, 3.442967, 2.635654,
                                  2.041087, 1.591003, 1.240161, 0.958034, 0.723591, 0.521965,
                                  0.342260, 0.176010, 0};
    dk_json doc;
    dk_sched *s = make(-1, "{\"_class_name\":\"DPMSolverMultistepScheduler\"}", &doc);

    (void)state;
    assert_non_null(s);
    assert_int_equal(dk_sched_set_steps(s, 20, &err), 0);
    for (int i = 0; i <= 20; i++)
        near(s->sigmas[i], want[i], 6e-7 * want[i] + 1e-6);
    near(dk_sched_init_sigma(s), 1, 0);
    dk_sched_free(s);
    dk_json_free(&doc);
}

/* Variances between two timesteps, as the published DDIM test has them. */
static void variances_of_ddim(void **state)
{
    static const struct {
        int t, before;
        double want;
    } rows[] = {{420, 400, 0.14771}, {980, 960, 0.32460}, {487, 486, 0.00979}, {999, 998, 0.02}};
    dk_json doc;
    dk_sched *s = make(-1, "{\"_class_name\":\"DDIMScheduler\"}", &doc);

    (void)state;
    assert_non_null(s);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        double a = s->acp[rows[i].t], ap = s->acp[rows[i].before];
        near((1 - ap) / (1 - a) * (1 - a / ap), rows[i].want, 1e-5);
    }
    dk_sched_free(s);
    dk_json_free(&doc);
}

/* Configs as they are found: nulls, extra keys, infinities, keys of other classes. */
static void odd_but_legal(void **state)
{
    static const char *const configs[] = {
        DPM ",\"trained_betas\":null,\"thresholding\":null,\"variance_type\":null,"
            "\"lambda_min_clipped\":-Infinity,\"use_karras_sigmas\":null,\"flow_shift\":1.0,"
            "\"_diffusers_version\":\"0.22.0\",\"sigma_min\":null}",
        DPM ",\"variance_type\":\"learned_range\",\"skip_prk_steps\":true,\"clip_sample\":false}",
        DPM ",\"lambda_min_clipped\":-5.1,\"solver_type\":\"bh2\",\"steps_offset\":1.0}",
        DDIM ",\"clip_sample_range\":null,\"num_train_timesteps\":1000.0}",
        "{\"_class_name\":\"DDPMScheduler\",\"variance_type\":null,\"beta_schedule\":null}",
        EULER ",\"sigma_min\":0.002,\"sigma_max\":80.0,\"timestep_type\":\"discrete\"}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        dk_json doc;
        dk_sched *s = make(-1, configs[i], &doc);
        if (!s || dk_sched_set_steps(s, 10, &err))
            fail_msg("%s: %s", configs[i], err.msg);
        dk_sched_free(s);
        dk_json_free(&doc);
    }
    dk_err_init(&err);
    dk_sched *s = dk_sched_new(DK_SCHED_EULER, (dk_jnode){0}, &err); /* no file at all */
    assert_non_null(s);
    dk_sched_free(s);
}

static void expect_label(const char *json, const char *want)
{
    dk_json doc;
    dk_sched *s = make(-1, json, &doc);

    assert_non_null(s);
    assert_string_equal(dk_sched_label(s), want);
    dk_sched_free(s);
    dk_json_free(&doc);
}

static void labels(void **state)
{
    (void)state;
    expect_label(DPM "}", "DPM++ 2M");
    expect_label(DPM ",\"solver_order\":3,\"use_karras_sigmas\":true}", "DPM++ 3M Karras");
    expect_label(DPM ",\"algorithm_type\":\"sde-dpmsolver++\",\"solver_type\":\"heun\"}",
                 "DPM++ 2M SDE Heun");
    expect_label(DPM ",\"algorithm_type\":\"dpmsolver\"}", "DPM 2M");
    expect_label(DDIM "}", "DDIM");
    expect_label(EULER ",\"use_exponential_sigmas\":true}", "Euler Exponential");
}

/* The largest schedule that is accepted is quick. */
static void large_schedule(void **state)
{
    dk_json doc;
    dk_sched *s = make(-1,
                       DPM ",\"num_train_timesteps\":100000,\"beta_end\":0.0001,"
                           "\"use_karras_sigmas\":true}",
                       &doc);

    (void)state;
    assert_non_null(s);
    assert_int_equal(dk_sched_set_steps(s, 10000, &err), 0);
    dk_sched_free(s);
    dk_json_free(&doc);
}

/* --scheduler: keys from the file, the class's defaults otherwise, clip_sample only if it says so.
 */
static void expect_clip(int kind, const char *json, bool want)
{
    dk_json doc;
    dk_sched *s = make(kind, json, &doc);

    assert_non_null(s);
    json_t *o = dk_sched_options(s);
    assert_int_equal(json_is_true(json_object_get(o, "clip_sample")), want);
    json_decref(o);
    dk_sched_free(s);
    dk_json_free(&doc);
}

static void chosen_scheduler(void **state)
{
    dk_json doc;
    dk_sched *s = make(DK_SCHED_DDIM,
                       "{\"_class_name\":\"DPMSolverMultistepScheduler\","
                       "\"beta_schedule\":\"scaled_linear\"}",
                       &doc);
    (void)state;
    assert_non_null(s);
    json_t *o = dk_sched_options(s);
    assert_string_equal(dk_sched_name(s), "ddim");
    assert_string_equal(json_string_value(json_object_get(o, "beta_schedule")), "scaled_linear");
    assert_string_equal(json_string_value(json_object_get(o, "timestep_spacing")), "leading");
    json_decref(o);
    dk_sched_free(s);
    dk_json_free(&doc);
    expect_clip(DK_SCHED_DDIM, DPM "}", false);
    expect_clip(DK_SCHED_DDPM, DDIM "}", true);
    expect_clip(-1, "{\"_class_name\":\"DDIMScheduler\"}", true);
    expect_clip(-1, "{\"_class_name\":\"DDIMScheduler\",\"clip_sample\":null}", false);
    assert_int_equal(dk_sched_kind_parse("euler"), DK_SCHED_EULER);
    assert_int_equal(dk_sched_kind_parse("heun"), -1);
}

static void refused(const char *json, int code, const char *names)
{
    dk_json doc;
    dk_sched *s = make(-1, json, &doc);

    if (s && dk_sched_set_steps(s, 10, &err) == 0)
        fail_msg("%s was accepted", json);
    assert_int_equal(err.code, code);
    if (!strstr(err.msg, names))
        fail_msg("%s: message \"%s\" does not name %s", json, err.msg, names);
    dk_sched_free(s);
    dk_json_free(&doc);
}

static void bad_configs(void **state)
{
    (void)state;
    refused("{}", DK_EFORMAT, "_class_name");
    refused("[]", DK_EFORMAT, "_class_name");
    refused("{\"_class_name\":5}", DK_EFORMAT, "_class_name");
    refused("{\"_class_name\":\"PNDMScheduler\"}", DK_EUNSUPPORTED, "PNDMScheduler");
    refused("{\"_class_name\":\"EulerAncestralDiscreteScheduler\"}", DK_EUNSUPPORTED,
            "EulerAncestralDiscreteScheduler");
    refused(DPM ",\"num_train_timesteps\":0}", DK_EFORMAT, "num_train_timesteps");
    refused(DPM ",\"num_train_timesteps\":1000000000}", DK_EFORMAT, "num_train_timesteps");
    refused(DPM ",\"beta_start\":NaN}", DK_EFORMAT, "beta_start");
    refused(DPM ",\"beta_start\":\"0.1\"}", DK_EFORMAT, "beta_start");
    refused(DPM ",\"beta_start\":-0.001}", DK_EFORMAT, "beta_start");
    refused(DPM ",\"beta_end\":1e300}", DK_EFORMAT, "beta_end");
    refused(DPM ",\"beta_start\":0,\"beta_end\":0}", DK_EFORMAT, "sigma");
    refused(DDIM ",\"beta_start\":0,\"beta_end\":0,\"rescale_betas_zero_snr\":true}", DK_EFORMAT,
            "alphas_cumprod");
    refused(DPM ",\"trained_betas\":[0.1]}", DK_EFORMAT, "trained_betas");
    refused(DPM ",\"trained_betas\":0.1}", DK_EFORMAT, "trained_betas");
    refused(DPM ",\"num_train_timesteps\":2,\"trained_betas\":[0.1,NaN]}", DK_EFORMAT,
            "trained_betas[1]");
    refused(DDIM ",\"steps_offset\":99999}", DK_EFORMAT, "steps_offset");
    refused(DDIM ",\"steps_offset\":-1}", DK_EFORMAT, "steps_offset");
    refused(DDIM ",\"clip_sample_range\":0}", DK_EFORMAT, "clip_sample_range");
    refused(DDIM ",\"thresholding\":\"yes\"}", DK_EFORMAT, "thresholding");
    refused(DPM ",\"thresholding\":true,\"dynamic_thresholding_ratio\":1.5}", DK_EFORMAT,
            "dynamic_thresholding_ratio");
    refused(DPM ",\"thresholding\":true,\"sample_max_value\":NaN}", DK_EFORMAT, "sample_max_value");
    refused(DPM ",\"solver_order\":4}", DK_EFORMAT, "solver_order");
    refused(DPM ",\"lambda_min_clipped\":1e9}", DK_EFORMAT, "lambda_min_clipped");
    refused(DPM ",\"lambda_min_clipped\":NaN}", DK_EFORMAT, "lambda_min_clipped");
    refused(EULER ",\"use_karras_sigmas\":true,\"sigma_min\":0}", DK_EFORMAT, "sigma_min");
    refused(EULER ",\"use_karras_sigmas\":true,\"use_exponential_sigmas\":true}", DK_EFORMAT,
            "use_exponential_sigmas");
}

/* Well-formed options of the published classes that are not here, and words nobody knows. */
static void unsupported_options(void **state)
{
    static const struct {
        const char *json, *names;
    } rows[] = {
        {DPM ",\"beta_schedule\":\"sigmoid\"}", "sigmoid"},
        {DPM ",\"prediction_type\":\"flow_prediction\"}", "flow_prediction"},
        {DPM ",\"timestep_spacing\":\"cosine\"}", "cosine"},
        {EULER ",\"final_sigmas_type\":\"one\"}", "final_sigmas_type"},
        {DPM ",\"algorithm_type\":\"unipc\"}", "unipc"},
        {"{\"_class_name\":\"DPMSolverMultistepScheduler\",\"algorithm_type\":\"dpmsolver\"}",
         "sigma_min"},
        {DPM ",\"algorithm_type\":\"sde-dpmsolver\",\"solver_order\":3}", "sde-dpmsolver"},
        {DPM ",\"solver_type\":\"rk4\"}", "rk4"},
        {DPM ",\"use_flow_sigmas\":true}", "use_flow_sigmas"},
        {DPM ",\"use_beta_sigmas\":true}", "use_beta_sigmas"},
        {"{\"_class_name\":\"DDPMScheduler\",\"variance_type\":\"fixed_large_log\"}",
         "fixed_large_log"},
        {EULER ",\"interpolation_type\":\"cubic\"}", "cubic"},
        {EULER V ",\"timestep_type\":\"continuous\"}", "continuous"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        refused(rows[i].json, DK_EUNSUPPORTED, rows[i].names);
}

static void bad_steps(void **state)
{
    dk_json doc;
    dk_sched *s = make(-1, "{\"_class_name\":\"DPMSolverMultistepScheduler\"}", &doc);

    (void)state;
    assert_int_equal(dk_sched_set_steps(s, 0, &err), DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_sched_set_steps(s, 1001, &err), DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_sched_set_steps(s, 1000, &err), 0);
    dk_sched_free(s);
    dk_json_free(&doc);
}

/* 1000 steps put 1001 values on 1000 timesteps: the step between two equal ones does nothing. */
static void most_steps(void **state)
{
    static const char *const options[] = {"", ",\"solver_order\":3", ",\"solver_type\":\"heun\"",
                                          ",\"algorithm_type\":\"sde-dpmsolver++\""};

    (void)state;
    for (size_t c = 0; c < sizeof options / sizeof options[0]; c++) {
        char json[200];
        float x[TOTAL];
        snprintf(json, sizeof json, "{\"_class_name\":\"DPMSolverMultistepScheduler\"%s}",
                 options[c]);
        loop(json, 1000, 0, x);
        assert_true(isfinite(sum_abs(x)));
    }
}

/* A model without the learned half under a config that wants it. */
static void learned_variance_missing(void **state)
{
    dk_json doc;
    dk_sched *s =
        make(-1, "{\"_class_name\":\"DDPMScheduler\",\"variance_type\":\"learned_range\"}", &doc);
    float x[16] = {0}, out[16] = {0};

    (void)state;
    assert_int_equal(dk_sched_set_steps(s, 4, &err), 0);
    assert_int_equal(dk_sched_step(s, 0, out, NULL, x, 1, 16, NULL, &err), DK_EUNSUPPORTED);
    assert_non_null(strstr(err.msg, "variance"));
    dk_sched_free(s);
    dk_json_free(&doc);
}

/* Images of a batch do not see each other: alone or together, the same bytes. */
static void batch_independent(void **state)
{
    static const char *const configs[] = {
        DPM "}", DDPM "}", DPM ",\"thresholding\":true,\"sample_max_value\":3}",
        DPM ",\"algorithm_type\":\"sde-dpmsolver++\",\"solver_order\":3}"};

    (void)state;
    for (size_t c = 0; c < sizeof configs / sizeof configs[0]; c++) {
        float together[TOTAL], alone[TOTAL];
        for (int batch = BATCH; batch >= 1; batch -= BATCH - 1) {
            float *x = batch == 1 ? alone : together, out[TOTAL];
            for (int first = 0; first < BATCH; first += batch) {
                dk_json doc;
                dk_sched *s = make(-1, configs[c], &doc);
                dk_rng rngs[BATCH];
                assert_non_null(s);
                assert_int_equal(dk_sched_set_steps(s, 6, &err), 0);
                for (int b = 0; b < batch; b++) {
                    rngs[b].kind = DK_RNG_TORCH;
                    dk_torch_seed(&rngs[b].u.torch, (uint64_t)(first + b));
                    dk_rng_normal(&rngs[b], x + (first + b) * SIZE, SIZE);
                }
                for (int k = 0; k < dk_sched_steps(s); k++) {
                    for (int i = 0; i < batch * SIZE; i++)
                        out[i] = sinf(3 * x[first * SIZE + i]);
                    assert_int_equal(dk_sched_step(s, k, out, NULL, x + first * SIZE, (size_t)batch,
                                                   SIZE, rngs, &err),
                                     0);
                }
                dk_sched_free(s);
                dk_json_free(&doc);
            }
        }
        assert_memory_equal(together, alone, sizeof together);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dpm_loops),
        cmocka_unit_test(ddim_loops),
        cmocka_unit_test(ddpm_loops),
        cmocka_unit_test(euler_loops),
        cmocka_unit_test(timestep_lists),
        cmocka_unit_test(sigmas_of_pixart),
        cmocka_unit_test(variances_of_ddim),
        cmocka_unit_test(odd_but_legal),
        cmocka_unit_test(labels),
        cmocka_unit_test(large_schedule),
        cmocka_unit_test(chosen_scheduler),
        cmocka_unit_test(bad_configs),
        cmocka_unit_test(unsupported_options),
        cmocka_unit_test(bad_steps),
        cmocka_unit_test(most_steps),
        cmocka_unit_test(learned_variance_missing),
        cmocka_unit_test(batch_independent),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
