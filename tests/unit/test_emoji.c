/* The bundled model against outputs recorded from the published Python programs (see
 * tests/data/emoji/README.md): text states, every block of the first forward, the samples after
 * every step and the decoded pictures. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/dir.h"
#include "model/pixart.h"
#include "model/scheduler.h"
#include "model/t5.h"
#include "model/vae.h"

#define MODEL "models/emoji"
#define DATA  "tests/data/emoji"

enum { DIM = 192, TOKENS = 64, LATENT = 4 * 16 * 16, OUTPUT = 8 * 16 * 16, IMAGE = 3 * 64 * 64 };

/* One forward; a whole run. Relative to the largest recorded value. */
static const double TOL = 1e-4, RUN_TOL = 1e-3;

static dk_err err;

/* ---- The model. */

typedef struct part {
    dk_weights *weights;
    dk_params *params;
} part;

typedef struct model {
    dk_model_dir dir;
    part part[DK_COMP_COUNT];
    dk_t5 *t5;
    dk_pixart *pixart;
    dk_vae *vae;
    float scaling;
    dk_ctx c;
} model;

static dk_params *open_part(model *m, dk_component c)
{
    m->part[c].weights = dk_model_dir_weights(&m->dir, c, &err);
    ts_ok(0, &err);
    return m->part[c].params = dk_params_new(m->part[c].weights);
}

static void model_open(model *m, const dk_ops *ops)
{
    static const dk_component parts[] = {DK_COMP_TEXT_ENCODER, DK_COMP_TRANSFORMER, DK_COMP_VAE};
    dk_t5_config t5;
    dk_pixart_config pixart;
    dk_vae_config vae;

    memset(m, 0, sizeof *m);
    ts_ok(dk_model_dir_open(&m->dir, MODEL, NULL, &err), &err);
    ts_ok(dk_t5_config_read(&t5, dk_model_dir_config(&m->dir, DK_COMP_TEXT_ENCODER), &err), &err);
    ts_ok(dk_pixart_config_read(&pixart, dk_model_dir_config(&m->dir, DK_COMP_TRANSFORMER), &err),
          &err);
    ts_ok(dk_vae_config_read(&vae, dk_model_dir_config(&m->dir, DK_COMP_VAE), &err), &err);
    m->scaling = (float)vae.scaling_factor;
    m->t5 = dk_t5_new(&t5, open_part(m, DK_COMP_TEXT_ENCODER));
    m->pixart = dk_pixart_new(&pixart, open_part(m, DK_COMP_TRANSFORMER));
    m->vae = dk_vae_new(&vae, DK_VAE_DECODER, open_part(m, DK_COMP_VAE));
    for (int i = 0; i < 3; i++)
        ts_ok(dk_params_load(m->part[parts[i]].params, ops, &err), &err);
    dk_ctx_init(&m->c, ops);
}

static void model_close(model *m)
{
    dk_ctx_fini(&m->c);
    for (int c = 0; c < DK_COMP_COUNT; c++) {
        dk_params_free(m->part[c].params);
        dk_weights_close(m->part[c].weights);
    }
    dk_t5_free(m->t5);
    dk_pixart_free(m->pixart);
    dk_vae_free(m->vae);
    dk_model_dir_close(&m->dir);
}

/* States of n tokens; compared with `recorded` unless that is NULL. */
static dk_pixart_text *encode(model *m, const int32_t *ids, int64_t n, const dk_st *recorded)
{
    float *x = dk_xmalloc((size_t)n * DIM * sizeof *x);
    dk_tensor hidden = dk_view(x, DK_F32, DK_SHAPE(n, DIM));

    dk_t5_encode(m->t5, &m->c, ids, NULL, n, &hidden);
    ts_ok(dk_ctx_take(&m->c, &err), &err);
    if (recorded) {
        size_t count;
        float *ref = ts_recorded(recorded, "text.hidden", &count);
        assert_int_equal(count, n * DIM);
        ts_check_close("text.hidden", x, ref, count, TOL);
        free(ref);
    }
    dk_pixart_text *t = dk_pixart_text_new(m->pixart, &m->c, &hidden);
    ts_ok(dk_ctx_take(&m->c, &err), &err);
    free(x);
    return t;
}

/* ---- The recorded runs. */

typedef struct run {
    model *m;
    const char *name;
    dk_st *st;
    int steps, count;
    double guidance;
    int halves;
    dk_pixart_text *prompt, *negative;
    float *x; /* [count, 4, 16, 16] */
} run;

/* Token ids of the two negative prompts that occur, with the final </s>. */
static const int32_t NO_TEXT[] = {1}, GLASSES_HAT[] = {405, 3, 182, 1};

static int64_t case_ids(dk_jnode node, int32_t ids[128])
{
    dk_jnode list = dk_json_key(node, "ids");
    size_t n = json_array_size(list.v);

    assert_in_range(n, 1, 128);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)json_integer_value(dk_json_item(list, i).v);
    return (int64_t)n;
}

static void run_open(run *r, model *m, dk_jnode node)
{
    int32_t ids[128];
    const char *negative;
    size_t n;

    memset(r, 0, sizeof *r);
    r->m = m;
    ts_ok(dk_json_str(node, "name", "", &r->name, &err), &err);
    ts_ok(dk_json_str(node, "negative", "", &negative, &err), &err);
    ts_ok(dk_json_int(node, "steps", 0, 1, 1000, &r->steps, &err), &err);
    ts_ok(dk_json_int(node, "count", 0, 1, 16, &r->count, &err), &err);
    ts_ok(dk_json_f64(node, "guidance", 0, &r->guidance, &err), &err);
    r->halves = r->guidance > 1 ? 2 : 1;
    char *path = dk_xasprintf(DATA "/%s.safetensors", r->name);
    r->st = dk_st_open(path, &err);
    ts_ok(0, &err);
    free(path);
    r->prompt = encode(m, ids, case_ids(node, ids), r->st);
    if (negative[0])
        assert_string_equal(negative, "glasses, hat");
    r->negative = negative[0] ? encode(m, GLASSES_HAT, 4, NULL) : encode(m, NO_TEXT, 1, NULL);
    r->x = ts_recorded(r->st, "latent.000", &n);
    assert_int_equal(n, r->count * LATENT);
}

static void run_close(run *r)
{
    dk_pixart_text_free(r->prompt);
    dk_pixart_text_free(r->negative);
    dk_st_close(r->st);
    free(r->x);
}

static void on_block(void *user, int block, const dk_tensor *x)
{
    run *r = user;
    char name[32];
    size_t n;

    snprintf(name, sizeof name, "step0.block.%d", block);
    float *ref = ts_recorded(r->st, name, &n);
    assert_int_equal(n, dk_count(x));
    ts_check_close(name, dk_f32(x), ref, n, TOL);
    free(ref);
}

/* out [halves * count, 8, 16, 16], the negative half first. */
static void forward(run *r, double t, bool check_blocks, float *out)
{
    int rows = r->halves * r->count;
    float *in = dk_xmalloc((size_t)rows * LATENT * sizeof *in);
    const dk_pixart_text *text[2 * 16];
    dk_tensor latent = dk_view(in, DK_F32, DK_SHAPE(rows, 4, 16, 16)),
              o = dk_view(out, DK_F32, DK_SHAPE(rows, 8, 16, 16));

    for (int i = 0; i < rows; i++) {
        memcpy(in + i * LATENT, r->x + (i % r->count) * LATENT, LATENT * sizeof *in);
        text[i] = i < (r->halves - 1) * r->count ? r->negative : r->prompt;
    }
    dk_pixart_in args = {.latent = &latent,
                         .t = t,
                         .text = text,
                         .block = check_blocks ? on_block : NULL,
                         .user = r};
    dk_pixart_forward(r->m->pixart, &r->m->c, &args, &o);
    ts_ok(dk_ctx_take(&r->m->c, &err), &err);
    free(in);
}

static void check_step0(run *r, const float *out)
{
    size_t n;
    float *ref = ts_recorded(r->st, "step0.output", &n);

    assert_int_equal(n, r->halves * r->count * OUTPUT);
    ts_check_close("step0.output", out, ref, n, TOL);
    free(ref);
}

/* Runs all steps and compares after each. */
static void denoise(run *r)
{
    size_t images = (size_t)r->count, n;
    float *out = dk_xmalloc((size_t)r->halves * images * OUTPUT * sizeof *out);
    float *eps = dk_xmalloc(images * LATENT * sizeof *eps);
    bool traced = dk_st_find(r->st, "step0.output") != NULL;
    dk_sched *s = dk_sched_new(-1, dk_model_dir_config(&r->m->dir, DK_COMP_SCHEDULER), &err);

    ts_ok(0, &err);
    ts_ok(dk_sched_set_steps(s, r->steps, &err), &err);
    for (int i = 0; i < r->steps; i++) {
        char name[64];
        forward(r, dk_sched_timestep(s, i), traced && i == 0, out);
        if (traced && i == 0)
            check_step0(r, out);
        for (size_t k = 0; k < images; k++) {
            const float *u = out + k * OUTPUT, *c = u + (size_t)(r->halves - 1) * images * OUTPUT;
            for (size_t j = 0; j < LATENT; j++)
                eps[k * LATENT + j] =
                    r->halves == 2 ? u[j] + (float)r->guidance * (c[j] - u[j]) : c[j];
        }
        ts_ok(dk_sched_step(s, i, eps, NULL, r->x, images, LATENT, NULL, &err), &err);
        snprintf(name, sizeof name, "latent.%03d", i + 1);
        float *ref = ts_recorded(r->st, name, &n);
        snprintf(name, sizeof name, "%s latent.%03d", r->name, i + 1);
        ts_check_close(name, r->x, ref, n, RUN_TOL);
        free(ref);
    }
    dk_sched_free(s);
    free(eps);
    free(out);
}

/* Decodes `latents`; `tol` relative to the largest recorded value. */
static void decode(run *r, const float *latents, double tol)
{
    size_t n;
    float z[LATENT], *pixels = dk_xmalloc((size_t)r->count * IMAGE * sizeof *pixels);
    float *ref = ts_recorded(r->st, "image", &n);

    assert_int_equal(n, r->count * IMAGE);
    for (int k = 0; k < r->count; k++) {
        dk_tensor in = dk_view(z, DK_F32, DK_SHAPE(4, 16, 16)),
                  out = dk_view(pixels + k * IMAGE, DK_F32, DK_SHAPE(3, 64, 64));
        for (int j = 0; j < LATENT; j++)
            z[j] = latents[k * LATENT + j] / r->m->scaling;
        dk_vae_decode(r->m->vae, &r->m->c, &in, &out);
        ts_ok(dk_ctx_take(&r->m->c, &err), &err);
    }
    ts_check_close(r->name, pixels, ref, n, tol);
    free(ref);
    free(pixels);
}

/* ---- Tests. */

static void load_cases(dk_json *cases)
{
    ts_ok(dk_json_load(cases, DATA "/cases.json", &err), &err);
    assert_int_equal(json_array_size(cases->root), 8);
}

static void test_runs(void **state)
{
    dk_json cases;
    model m;
    (void)state;

    load_cases(&cases);
    model_open(&m, dk_ops_cpu());
    for (size_t i = 0; i < json_array_size(cases.root); i++) {
        run r;
        run_open(&r, &m, dk_json_item(dk_json_root(&cases), i));
        denoise(&r);
        decode(&r, r.x, RUN_TOL);
        run_close(&r);
    }
    model_close(&m);
    dk_json_free(&cases);
}

/* One forward of each network on recorded inputs, with both backends. */
static void test_forward(void **state)
{
    dk_json cases;
    (void)state;

    load_cases(&cases);
    for (int b = 0; b < TS_BACKENDS; b++) {
        model m;
        run r;
        float out[2 * OUTPUT];
        size_t n;
        model_open(&m, ts_backend(b));
        run_open(&r, &m, dk_json_item(dk_json_root(&cases), 0));
        assert_string_equal(r.name, "full");
        forward(&r, 999, true, out);
        check_step0(&r, out);
        float *last = ts_recorded(r.st, "latent.020", &n);
        decode(&r, last, TOL);
        free(last);
        run_close(&r);
        model_close(&m);
    }
    dk_json_free(&cases);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_forward), cmocka_unit_test(test_runs)};

    cmocka_set_message_output(CM_OUTPUT_TAP);
    dk_err_init(&err);
    return cmocka_run_group_tests_name("emoji", tests, NULL, NULL);
}
