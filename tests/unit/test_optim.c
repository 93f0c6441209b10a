/* Optimisers against numbers recorded from torch.optim, schedules, clipping, and resuming from
 * saved state bit for bit. */
#include "unit/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "grad/optim.h"

static dk_err err;

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    return 0;
}

/* Two parameters: w [2, 3] and b [1, 2]. */
typedef struct model {
    double value[8], grad[8];
    float value32[8], grad32[8];
    dk_param params[2];
    bool is64;
} model;

static void start(model *m, bool is64)
{
    static const double begin[8] = {0.5, -1.0, 2.0, 0.25, 1.5, -0.75, 0.1, -0.2};
    memset(m, 0, sizeof *m);
    m->is64 = is64;
    for (int i = 0; i < 8; i++) {
        m->value[i] = begin[i];
        m->value32[i] = (float)begin[i];
    }
    void *v = is64 ? (void *)m->value : m->value32, *g = is64 ? (void *)m->grad : m->grad32;
    size_t six = 6 * (is64 ? sizeof(double) : sizeof(float));
    m->params[0] = (dk_param){"w", 2, 3, v, g};
    m->params[1] = (dk_param){"b", 1, 2, (char *)v + six, (char *)g + six};
}

/* The gradient of (step + 1) sum sin w + sum b^3 + 4 w[0] b[1], as the recording had it. */
static void gradient(model *m, int64_t step)
{
    double v[8];
    for (int i = 0; i < 8; i++)
        v[i] = m->is64 ? m->value[i] : (double)m->value32[i];
    for (int i = 0; i < 8; i++) {
        double g = i < 6 ? cos(v[i]) * (double)(step + 1) : 3 * v[i] * v[i];
        g += i == 0 ? 4 * v[7] : i == 7 ? 4 * v[0] : 0;
        m->grad[i] = g;
        m->grad32[i] = (float)g;
    }
}

static void run(model *m, dk_optim *o, int steps)
{
    for (int s = 0; s < steps; s++) {
        gradient(m, dk_optim_steps(o));
        dk_optim_step(o);
    }
}

static void check_recorded(const char *what, const dk_optim_config *c, const double want[8])
{
    for (int is64 = 0; is64 < 2; is64++) {
        model m;
        start(&m, is64);
        dk_optim *o = dk_optim_new(c, is64 ? DK_F64 : DK_F32, m.params, 2, &err);
        assert_non_null(o);
        run(&m, o, 4);
        for (int i = 0; i < 8; i++) {
            double got = is64 ? m.value[i] : (double)m.value32[i];
            if (!(fabs(got - want[i]) <= (is64 ? 1e-14 : 2e-6)))
                fail_msg("%s: value %d is %.17g, torch has %.17g", what, i, got, want[i]);
        }
        dk_optim_free(o);
    }
}

/* Four steps each, torch 2 in float64. */
static void test_recorded(void **state)
{
    (void)state;
    dk_optim_config c = dk_optim_defaults(DK_OPTIM_SGD);
    c.lr = 0.1;
    check_recorded("SGD", &c,
                   (double[]){0.5167892926176193, -1.391360689475053, 2.5562265980155092,
                              -0.72078491767689279, 1.4009330816471495, -1.3015662928850504,
                              0.0890039104201958, -1.463968577272057});
    c.lr = 0.05, c.momentum = 0.9, c.weight_decay = 0.01;
    check_recorded("SGD with momentum", &c,
                   (double[]){0.33572862376383383, -1.4229259980621618, 2.4375956927264872,
                              -0.66254689919089194, 1.4136141654179581, -1.3381613260590517,
                              0.086600992612905631, -1.3073915755916483});
    c = dk_optim_defaults(DK_OPTIM_ADAM);
    c.lr = 0.02, c.weight_decay = 0.1;
    check_recorded("Adam", &c,
                   (double[]){0.42829456607871197, -1.0773870614630243, 2.0750070219480037,
                              0.17229079287760068, 1.4210948050059111, -0.82754691578735451,
                              0.025149083091611894, -0.27988235092294628});
    c = dk_optim_defaults(DK_OPTIM_ADAMW);
    c.lr = 0.02, c.weight_decay = 0.1;
    check_recorded("AdamW", &c,
                   (double[]){0.42552542335684723, -1.0697440594072469, 2.0611539646203587,
                              0.17061567497077132, 1.4130996820117807, -0.82162960608053859,
                              0.02586250179116106, -0.27804478403210264});
    c = dk_optim_defaults(DK_OPTIM_SGD);
    c.lr = 0.1, c.momentum = 0.5, c.clip_norm = 1.5;
    check_recorded("clipping", &c,
                   (double[]){0.39892379908448694, -1.2362426542011045, 2.2281333541769168,
                              -0.23319015784439212, 1.4606879817540812, -1.0756545455353235,
                              0.092664350552752545, -0.79290997313626488});
}

/* Learning rates of the first n steps. */
static void check_rates(const dk_optim_config *c, int n, const double *want)
{
    model m;
    start(&m, true);
    dk_optim *o = dk_optim_new(c, DK_F64, m.params, 2, &err);
    assert_non_null(o);
    for (int i = 0; i < n; i++) {
        if (!(fabs(dk_optim_lr(o) - want[i]) <= 1e-15))
            fail_msg("step %d: rate %.17g, expected %.17g", i, dk_optim_lr(o), want[i]);
        run(&m, o, 1);
    }
    dk_optim_free(o);
}

static void test_schedules(void **state)
{
    (void)state;
    dk_optim_config c = dk_optim_defaults(DK_OPTIM_SGD);
    c.lr = 0.3, c.lr_min = 0.05, c.total_steps = 10;
    c.schedule = DK_LR_COSINE; /* torch's CosineAnnealingLR(T_max=10, eta_min=0.05) */
    check_rates(&c, 12,
                (double[]){0.3, 0.29388206453689419, 0.27612712429686842, 0.24847315653655916,
                           0.21362712429686848, 0.17500000000000004, 0.13637287570313161,
                           0.1015268434634409, 0.073872875703131599, 0.056117935463105811, 0.05,
                           0.05});
    c.schedule = DK_LR_LINEAR, c.lr_min = 0.1, c.total_steps = 4;
    check_rates(&c, 6, (double[]){0.3, 0.25, 0.2, 0.15, 0.1, 0.1});
    c.warmup = 2, c.total_steps = 4;
    check_rates(&c, 5, (double[]){0, 0.15, 0.3, 0.2, 0.1});
    c.warmup = 0, c.schedule = DK_LR_STEP, c.step_size = 2, c.gamma = 0.5;
    check_rates(&c, 5, (double[]){0.3, 0.3, 0.15, 0.15, 0.075});
    c.schedule = DK_LR_CONSTANT;
    check_rates(&c, 2, (double[]){0.3, 0.3});
}

static void test_config(void **state)
{
    (void)state;
    model m;
    start(&m, true);
    const dk_optim_config good = dk_optim_defaults(DK_OPTIM_ADAM);
    dk_optim_config c = good;
    c.lr = NAN;
    assert_null(dk_optim_new(&c, DK_F64, m.params, 2, &err));
    ts_failed(&err, DK_EUSAGE, "learning rate");
    c = good, c.beta2 = 1;
    assert_null(dk_optim_new(&c, DK_F64, m.params, 2, &err));
    ts_failed(&err, DK_EUSAGE, "beta2");
    c = good, c.schedule = DK_LR_COSINE;
    assert_null(dk_optim_new(&c, DK_F64, m.params, 2, &err));
    ts_failed(&err, DK_EUSAGE, "schedule");
    c = good, c.schedule = DK_LR_STEP;
    assert_null(dk_optim_new(&c, DK_F64, m.params, 2, &err));
    ts_failed(&err, DK_EUSAGE, "step size");
}

/* Parameters without a gradient stay; zeroing leaves no gradient behind. */
static void test_frozen(void **state)
{
    (void)state;
    model m;
    start(&m, true);
    m.params[0].grad = NULL;
    dk_optim_config c = dk_optim_defaults(DK_OPTIM_ADAMW);
    dk_optim *o = dk_optim_new(&c, DK_F64, m.params, 2, &err);
    run(&m, o, 2);
    assert_true(m.value[0] == 0.5 && m.value[5] == -0.75 && m.value[6] != 0.1);
    dk_optim_zero(o);
    assert_true(m.grad[6] == 0 && m.grad[7] == 0 && m.grad[0] != 0);
    dk_optim_free(o);
}

/* ---- State. */

static char *save(const dk_optim *o, const char *dir)
{
    char *path = dk_path_join(dir, "optim.safetensors");
    dk_st_writer *w = dk_st_writer_new();
    dk_optim_save(o, w);
    ts_ok(dk_st_writer_save(w, path, true, &err), &err);
    dk_st_writer_free(w);
    return path;
}

static void check_resume(dk_opt_algo algo, bool is64)
{
    char *dir = ts_dir("optim");
    dk_dtype real = is64 ? DK_F64 : DK_F32;
    dk_optim_config c = dk_optim_defaults(algo);
    c.momentum = 0.9, c.clip_norm = 2;
    c.schedule = DK_LR_COSINE, c.total_steps = 9, c.warmup = 2;
    model m, again;
    start(&m, is64);
    dk_optim *o = dk_optim_new(&c, real, m.params, 2, &err);
    run(&m, o, 3);
    char *path = save(o, dir);
    start(&again, is64);
    memcpy(again.value, m.value, sizeof m.value);
    memcpy(again.value32, m.value32, sizeof m.value32);
    run(&m, o, 5);

    dk_optim *p = dk_optim_new(&c, real, again.params, 2, &err);
    dk_st *st = dk_st_open(path, &err);
    assert_non_null(st);
    ts_ok(dk_optim_load(p, st, &err), &err);
    assert_int_equal(dk_optim_steps(p), 3);
    run(&again, p, 5);
    assert_memory_equal(again.value, m.value, sizeof m.value);
    assert_memory_equal(again.value32, m.value32, sizeof m.value32);
    dk_st_close(st);
    unlink(path);
    rmdir(dir);
    dk_optim_free(o);
    dk_optim_free(p);
    free(path);
    free(dir);
}

static void test_resume(void **state)
{
    (void)state;
    for (int is64 = 0; is64 < 2; is64++) {
        check_resume(DK_OPTIM_SGD, is64);
        check_resume(DK_OPTIM_ADAM, is64);
        check_resume(DK_OPTIM_ADAMW, is64);
    }
}

/* A file with the given step count and shapes, loaded into Adam over w and b. */
static void check_refused(const char *step, int64_t columns, dk_dtype real, const char *text)
{
    char *dir = ts_dir("optim"), *path = dk_path_join(dir, "s.safetensors");
    double data[8] = {0};
    dk_st_writer *w = dk_st_writer_new();
    if (step)
        dk_st_writer_meta(w, "optim.step", step);
    dk_st_writer_add(w, "optim.m.w", real, 2, (int64_t[]){2, columns}, data);
    dk_st_writer_add(w, "optim.v.w", real, 2, (int64_t[]){2, columns}, data);
    dk_st_writer_add(w, "optim.m.b", real, 2, (int64_t[]){1, 2}, data);
    ts_ok(dk_st_writer_save(w, path, true, &err), &err);
    dk_st_writer_free(w);

    model m;
    start(&m, true);
    dk_optim_config c = dk_optim_defaults(DK_OPTIM_ADAM);
    dk_optim *o = dk_optim_new(&c, DK_F64, m.params, 2, &err);
    dk_st *st = dk_st_open(path, &err);
    assert_non_null(st);
    assert_int_equal(dk_optim_load(o, st, &err), DK_EFORMAT);
    ts_failed(&err, DK_EFORMAT, text);
    assert_int_equal(dk_optim_steps(o), 0);
    dk_st_close(st);
    dk_optim_free(o);
    unlink(path);
    rmdir(dir);
    free(path);
    free(dir);
}

static void test_refused(void **state)
{
    (void)state;
    check_refused(NULL, 3, DK_F64, "optim.step");
    check_refused("-1", 3, DK_F64, "found \"-1\"");
    check_refused("3x", 3, DK_F64, "found \"3x\"");
    check_refused("99999999999999999999", 3, DK_F64, "expected a number");
    check_refused("3", 2, DK_F64, "expected F64 [2, 3], found F64 [2, 2]");
    check_refused("3", 3, DK_F32, "found F32");
    check_refused("3", 3, DK_F64, "\"optim.v.b\" is missing");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_recorded, fresh), cmocka_unit_test_setup(test_schedules, fresh),
        cmocka_unit_test_setup(test_config, fresh),   cmocka_unit_test_setup(test_frozen, fresh),
        cmocka_unit_test_setup(test_resume, fresh),   cmocka_unit_test_setup(test_refused, fresh),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("optim", tests, NULL, NULL);
}
