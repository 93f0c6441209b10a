/* PixArt on a tiny model with deterministic weights, against recorded numbers (an independent f64
 * implementation); the denoising loop; independence of rows; configs and size embedders. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "model/pixart.h"
#include "model/scheduler.h"

static dk_err err;

/* heads 3 x 8 = 24, 2 blocks, patch 2, base 4. */
static const char PLAIN[] =
    "{\"_class_name\": \"PixArtTransformer2DModel\", \"num_attention_heads\": 3,"
    " \"attention_head_dim\": 8, \"num_layers\": 2, \"in_channels\": 4, \"out_channels\": 8,"
    " \"patch_size\": 2, \"sample_size\": 8, \"caption_channels\": 16,"
    " \"cross_attention_dim\": 24, \"interpolation_scale\": null,"
    " \"double_self_attention\": false}";
static const char MICRO[] =
    "{\"num_attention_heads\": 3, \"attention_head_dim\": 8, \"num_layers\": 2,"
    " \"sample_size\": 8, \"caption_channels\": 16, \"cross_attention_dim\": 24,"
    " \"interpolation_scale\": 1.0, \"use_additional_conditions\": true}";

static void write_model(ts_model *m, bool sizes, const char *config)
{
    ts_model_begin(m, "pixart");
    ts_conv(m, 24, 4, 2, "pos_embed.proj");
    ts_linear(m, 24, 256, true, "adaln_single.emb.timestep_embedder.linear_1");
    ts_linear(m, 24, 24, true, "adaln_single.emb.timestep_embedder.linear_2");
    for (int i = 0; sizes && i < 2; i++) {
        const char *name = i == 0 ? "resolution" : "aspect_ratio";
        ts_linear(m, 8, 256, true, "adaln_single.emb.%s_embedder.linear_1", name);
        ts_linear(m, 8, 8, true, "adaln_single.emb.%s_embedder.linear_2", name);
    }
    ts_linear(m, 144, 24, true, "adaln_single.linear");
    ts_linear(m, 24, 16, true, "caption_projection.linear_1");
    ts_linear(m, 24, 24, true, "caption_projection.linear_2");
    for (int i = 0; i < 2; i++) {
        static const char *const square[] = {"attn1.to_q",     "attn1.to_k",    "attn1.to_v",
                                             "attn1.to_out.0", "attn2.to_q",    "attn2.to_k",
                                             "attn2.to_v",     "attn2.to_out.0"};
        ts_add(m, DK_SHAPE(6, 24), "transformer_blocks.%d.scale_shift_table", i);
        for (int k = 0; k < 8; k++)
            ts_linear(m, 24, 24, true, "transformer_blocks.%d.%s", i, square[k]);
        ts_linear(m, 96, 24, true, "transformer_blocks.%d.ff.net.0.proj", i);
        ts_linear(m, 24, 96, true, "transformer_blocks.%d.ff.net.2", i);
    }
    ts_add(m, DK_SHAPE(2, 24), "scale_shift_table");
    ts_linear(m, 32, 24, true, "proj_out");
    ts_model_end(m, config);
}

typedef struct net {
    ts_part part;
    dk_pixart *m;
    dk_ctx c;
} net;

static void net_open(net *n, const char *dir, const dk_ops *ops)
{
    dk_pixart_config cfg;

    ts_open(&n->part, dir, "model");
    ts_ok(dk_pixart_config_read(&cfg, ts_config(&n->part), &err), &err);
    n->m = dk_pixart_new(&cfg, n->part.params);
    ts_ok(dk_pixart_check(n->m, n->part.params, &err), &err);
    ts_load(&n->part, ops);
    dk_ctx_init(&n->c, ops);
}

static void net_close(net *n)
{
    dk_ctx_fini(&n->c);
    ts_close(&n->part);
    dk_pixart_free(n->m);
}

/* The first `tokens` rows of the [5, 16] input called `name`. */
static dk_pixart_text *text(net *n, const char *name, int tokens)
{
    float *x = ts_values(name, DK_SHAPE(5, 16));
    dk_tensor hidden = dk_view(x, DK_F32, DK_SHAPE(tokens, 16));
    dk_pixart_text *t = dk_pixart_text_new(n->m, &n->c, &hidden);

    ts_ok(dk_ctx_take(&n->c, &err), &err);
    assert_non_null(t);
    free(x);
    return t;
}

static void forward(net *n, dk_pixart_in *in, float *out)
{
    const dk_tensor *l = in->latent;
    dk_tensor t = dk_view(out, DK_F32, DK_SHAPE(l->shape[0], 8, l->shape[2], l->shape[3]));

    dk_pixart_forward(n->m, &n->c, in, &t);
    ts_ok(dk_ctx_take(&n->c, &err), &err);
}

/* ---- Recorded outputs. */

typedef struct seen {
    int blocks;
    double tol;
} seen;

static void on_block(void *user, int block, const dk_tensor *x)
{
    static const ts_stats first = {
        176.719134, 411.284143, {-1.355010, 0.235132, -2.910167, -1.068798}, 4};
    seen *s = user;

    assert_int_equal(block, s->blocks++);
    assert_true(x->ndim == 3 && x->shape[0] == 1 && x->shape[1] == 16 && x->shape[2] == 24);
    if (block == 0)
        ts_check_stats("block 0", dk_f32(x), (size_t)dk_count(x), &first, s->tol);
}

static void test_recorded(void **state)
{
    static const struct {
        const char *name;
        int64_t w;
        double t, height, width, aspect;
        ts_stats expect;
    } cases[] = {
        {"A",
         8,
         500,
         0,
         0,
         0,
         {199.575769,
          543.907264,
          {0.821360, -1.328544, 1.273624, -1.412785, 1.278028, -2.362128, -1.970876, -1.059537},
          8}},
        {"B",
         8,
         500,
         1024,
         1024,
         1,
         {246.744466,
          625.168291,
          {0.319160, -1.840132, 1.001819, -2.279343, 1.783042, -2.885579, -1.569283, -1.759834},
          8}},
        {"C",
         12,
         17,
         64,
         96,
         0.6667,
         {126.459029,
          851.445406,
          {-1.349900, -3.281746, 0.205344, -1.670716, -0.623286, -0.640236, 1.450507, 0.944742},
          8}}};
    ts_model plain, micro;
    (void)state;

    write_model(&plain, false, PLAIN);
    write_model(&micro, true, MICRO);
    for (int b = 0; b < TS_BACKENDS; b++) {
        for (int i = 0; i < 3; i++) {
            net n;
            seen s = {0, 2e-4};
            float out[8 * 8 * 12], *x = ts_values("in.latent", DK_SHAPE(4, 8, cases[i].w));
            dk_tensor latent = dk_view(x, DK_F32, DK_SHAPE(1, 4, 8, cases[i].w));
            net_open(&n, i == 0 ? plain.dir : micro.dir, ts_backend(b));
            dk_pixart_text *t = text(&n, "in.text", 3);
            dk_pixart_in in = {.latent = &latent,
                               .t = cases[i].t,
                               .text = (const dk_pixart_text *const *)&t,
                               .height = cases[i].height,
                               .width = cases[i].width,
                               .aspect = cases[i].aspect,
                               .block = i == 0 ? on_block : NULL,
                               .user = &s};
            forward(&n, &in, out);
            assert_int_equal(s.blocks, i == 0 ? 2 : 0);
            ts_check_stats(cases[i].name, out, (size_t)(8 * 8 * cases[i].w), &cases[i].expect,
                           2e-4);
            dk_pixart_text_free(t);
            net_close(&n);
            free(x);
        }
    }
    ts_model_free(&plain);
    ts_model_free(&micro);
}

/* Model A under DPM-Solver++ 2M, 4 steps, guidance 4.5. Random weights make the samples grow. */
static void test_loop(void **state)
{
    static const double abs_after[] = {4532.932, 21350.917, 54816.339, 75929.388};
    static const double timesteps[] = {999, 749, 500, 250};
    static const ts_stats final = {
        0, 75929.388, {-289.952, 363.727, -152.255, 447.140, 529.719, 856.042}, 6};
    ts_model m;
    (void)state;

    write_model(&m, false, PLAIN);
    for (int b = 0; b < TS_BACKENDS; b++) {
        net n;
        dk_torch_rng rng;
        float x[256], both[512], out[2 * 512], eps[256];
        net_open(&n, m.dir, ts_backend(b));
        dk_pixart_text *t[2] = {text(&n, "in.neg", 1), text(&n, "in.text", 3)};
        dk_sched *s = dk_sched_new(DK_SCHED_DPMPP, (dk_jnode){0}, &err);
        ts_ok(0, &err);
        ts_ok(dk_sched_set_steps(s, 4, &err), &err);
        dk_torch_seed(&rng, 0);
        dk_torch_normal(&rng, x, 256);
        for (int i = 0; i < 4; i++) {
            dk_tensor latent = dk_view(both, DK_F32, DK_SHAPE(2, 4, 8, 8));
            dk_pixart_in in = {.latent = &latent, .t = dk_sched_timestep(s, i)};
            double abs_sum = 0;
            assert_float_equal(in.t, timesteps[i], 0);
            in.text = (const dk_pixart_text *const *)t;
            memcpy(both, x, sizeof x);
            memcpy(both + 256, x, sizeof x);
            forward(&n, &in, out);
            for (int j = 0; j < 256; j++)
                eps[j] = out[j] + 4.5f * (out[512 + j] - out[j]);
            ts_ok(dk_sched_step(s, i, eps, NULL, x, 1, 256, NULL, &err), &err);
            for (int j = 0; j < 256; j++)
                abs_sum += fabs((double)x[j]);
            assert_true(fabs(abs_sum - abs_after[i]) <= 1e-3 * abs_after[i]);
        }
        for (int j = 0; j < final.n_first; j++)
            assert_true(fabs((double)x[j] - final.first[j]) <= 1e-3 * 1500);
        dk_sched_free(s);
        dk_pixart_text_free(t[0]);
        dk_pixart_text_free(t[1]);
        net_close(&n);
    }
    ts_model_free(&m);
}

/* ---- Properties. */

/* A row has the same bits whatever shares its batch and however many threads work. */
static void test_rows(void **state)
{
    static const int which[] = {0, 0, 1, 2, 1};
    ts_model m;
    float *x = ts_values("in.latents", DK_SHAPE(5, 4, 8, 12)), all[5 * 768], one[768];
    (void)state;

    write_model(&m, true, MICRO);
    for (int b = 0; b < TS_BACKENDS; b++) {
        net n;
        net_open(&n, m.dir, ts_backend(b));
        dk_pixart_text *t[3] = {text(&n, "in.text", 3), text(&n, "in.neg", 1),
                                text(&n, "in.text", 5)};
        const dk_pixart_text *rows[5];
        for (int r = 0; r < 5; r++)
            rows[r] = t[which[r]];
        dk_tensor latent = dk_view(x, DK_F32, DK_SHAPE(5, 4, 8, 12));
        dk_pixart_in in = {
            .latent = &latent, .t = 321, .text = rows, .height = 64, .width = 96, .aspect = 0.6667};
        forward(&n, &in, all);
        for (int threads = 1; threads <= 3; threads++) {
            dk_set_threads(threads);
            for (int r = 0; r < 5; r++) {
                dk_tensor row = dk_rows(&latent, r, 1);
                in.latent = &row;
                in.text = rows + r;
                forward(&n, &in, one);
                assert_memory_equal(one, all + r * 768, sizeof one);
            }
        }
        dk_set_threads(0);
        for (int k = 0; k < 3; k++)
            dk_pixart_text_free(t[k]);
        net_close(&n);
    }
    ts_model_free(&m);
    free(x);
}

static void test_not_finite(void **state)
{
    ts_model m;
    net n;
    float out[512], *x = ts_values("in.latent", DK_SHAPE(4, 8, 8));
    dk_tensor latent = dk_view(x, DK_F32, DK_SHAPE(1, 4, 8, 8)),
              o = dk_view(out, DK_F32, DK_SHAPE(1, 8, 8, 8));
    (void)state;

    write_model(&m, false, PLAIN);
    net_open(&n, m.dir, dk_ops_cpu());
    dk_pixart_text *t = text(&n, "in.text", 3);
    dk_pixart_in in = {.latent = &latent, .t = 1, .text = (const dk_pixart_text *const *)&t};
    x[17] = NAN;
    dk_pixart_forward(n.m, &n.c, &in, &o);
    dk_ctx_take(&n.c, &err);
    ts_failed(&err, DK_ENUMERIC, "transformer block 0: NaN or infinity");
    dk_pixart_text_free(t);
    net_close(&n);
    ts_model_free(&m);
    free(x);
}

/* ---- Configs. */

static int config(const char *patch, dk_pixart_config *c)
{
    dk_json j;
    ts_config_with(&j, PLAIN, patch);
    int rc = dk_pixart_config_read(c, dk_json_root(&j), &err);
    dk_json_free(&j);
    return rc;
}

static void test_config(void **state)
{
    dk_pixart_config c;
    (void)state;

    /* Missing keys: the published defaults, a 1024-pixel alpha. */
    ts_ok(config("{\"num_attention_heads\": \"-\", \"attention_head_dim\": \"-\","
                 " \"num_layers\": \"-\", \"in_channels\": \"-\", \"out_channels\": \"-\","
                 " \"patch_size\": \"-\", \"sample_size\": \"-\", \"caption_channels\": 4096,"
                 " \"cross_attention_dim\": \"-\", \"interpolation_scale\": \"-\"}",
                 &c),
          &err);
    assert_true(c.dim == 1152 && c.layers == 28 && c.in_channels == 4 && c.out_channels == 8);
    assert_true(c.patch == 2 && c.sample_size == 128 && c.micro);
    assert_float_equal(c.interpolation_scale, 2, 0);
    assert_float_equal(c.eps, 1e-6f, 0);

    ts_ok(config("{\"out_channels\": null, \"sample_size\": 64}", &c), &err);
    assert_true(c.out_channels == 4 && !c.micro);
    assert_float_equal(c.interpolation_scale, 1, 0);
    ts_ok(config("{\"sample_size\": 128, \"use_additional_conditions\": false,"
                 " \"interpolation_scale\": 0.5}",
                 &c),
          &err);
    assert_false(c.micro);
    assert_float_equal(c.interpolation_scale, 0.5, 0);
    ts_ok(config("{\"use_additional_conditions\": null, \"sample_size\": 128}", &c), &err);
    assert_true(c.micro);
    ts_ok(config("{\"num_vector_embeds\": null, \"upcast_attention\": false, \"x\": [1]}", &c),
          &err);
}

static void test_config_refused(void **state)
{
    static const struct {
        const char *patch, *says;
        int code;
    } bad[] = {
        {"{\"activation_fn\": \"geglu\"}", "activation_fn \"geglu\"", DK_EUNSUPPORTED},
        {"{\"norm_type\": \"layer_norm\"}", "norm_type \"layer_norm\"", DK_EUNSUPPORTED},
        {"{\"attention_type\": \"gated\"}", "attention_type \"gated\"", DK_EUNSUPPORTED},
        {"{\"attention_bias\": false}", "attention_bias false", DK_EUNSUPPORTED},
        {"{\"norm_elementwise_affine\": true}", "norm_elementwise_affine true", DK_EUNSUPPORTED},
        {"{\"caption_channels\": null}", "caption_channels", DK_EUNSUPPORTED},
        {"{\"cross_attention_dim\": 32}", "cross_attention_dim 32", DK_EUNSUPPORTED},
        {"{\"num_attention_heads\": 1000, \"attention_head_dim\": 4096}", "4096000",
         DK_EUNSUPPORTED},
        {"{\"attention_head_dim\": 7}", "width of 21", DK_EUNSUPPORTED},
        {"{\"num_layers\": 0}", "num_layers", DK_EFORMAT},
        {"{\"num_layers\": 1000000000000}", "num_layers", DK_EFORMAT},
        {"{\"patch_size\": 3}", "sample_size", DK_EFORMAT},
        {"{\"out_channels\": 2}", "out_channels", DK_EFORMAT},
        {"{\"norm_eps\": \"small\"}", "norm_eps", DK_EFORMAT},
        {"{\"interpolation_scale\": 0}", "interpolation_scale", DK_EFORMAT},
        {"{\"interpolation_scale\": NaN}", "interpolation_scale", DK_EFORMAT},
        {"{\"use_additional_conditions\": 1}", "use_additional_conditions", DK_EFORMAT},
        {"{\"attention_head_dim\": 16, \"num_attention_heads\": 4, \"cross_attention_dim\": 64,"
         " \"use_additional_conditions\": true}",
         "divisible by 3", DK_EFORMAT}};
    dk_pixart_config c;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        config(bad[i].patch, &c);
        ts_failed(&err, bad[i].code, bad[i].says);
    }
}

/* Weights and config must agree about the size embedders. */
static void test_size_embedders(void **state)
{
    ts_model m[2];
    (void)state;

    write_model(&m[0], true, PLAIN);
    write_model(&m[1], false, MICRO);
    for (int i = 0; i < 2; i++) {
        ts_part p;
        dk_pixart_config cfg;
        ts_open(&p, m[i].dir, "model");
        ts_ok(dk_pixart_config_read(&cfg, ts_config(&p), &err), &err);
        dk_pixart *model = dk_pixart_new(&cfg, p.params);
        if (i == 0) {
            dk_pixart_check(model, p.params, &err);
            ts_failed(&err, DK_EFORMAT, "use_additional_conditions");
        } else {
            ts_ok(dk_pixart_check(model, p.params, &err), &err);
            dk_params_load(p.params, dk_ops_cpu(), &err);
            ts_failed(&err, DK_EFORMAT, "adaln_single.emb.resolution_embedder.linear_1.weight");
        }
        ts_close(&p);
        dk_pixart_free(model);
        ts_model_free(&m[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),      cmocka_unit_test(test_loop),
        cmocka_unit_test(test_rows),          cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_config),        cmocka_unit_test(test_config_refused),
        cmocka_unit_test(test_size_embedders)};

    cmocka_set_message_output(CM_OUTPUT_TAP);
    dk_err_init(&err);
    return cmocka_run_group_tests_name("pixart", tests, NULL, NULL);
}
