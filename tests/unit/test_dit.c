/* DiT against the public golden test of diffusers (tests/pipelines/dit/test_dit.py): weights as
 * torch draws them after manual_seed(0), two DDIM steps, class 1, guidance 4, decoded to pixels.
 * Further: independence of rows, embedders of every block, configs. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/rng.h"
#include "model/dit.h"
#include "model/scheduler.h"
#include "model/vae.h"

static dk_err err;

static const char DIT_CONFIG[] =
    "{\"_class_name\": \"DiTTransformer2DModel\", \"sample_size\": 16, \"num_layers\": 2,"
    " \"patch_size\": 4, \"attention_head_dim\": 8, \"num_attention_heads\": 2,"
    " \"in_channels\": 4, \"out_channels\": 8, \"attention_bias\": true,"
    " \"activation_fn\": \"gelu-approximate\", \"num_embeds_ada_norm\": 1000,"
    " \"norm_type\": \"ada_norm_zero\", \"norm_elementwise_affine\": false}";

/* ---- Weights in the order in which torch's constructors draw them. */

typedef struct maker {
    ts_model m;
    dk_torch_rng *rng;
} maker;

static void draw(maker *k, const char *name, const char *what, int ndim, const int64_t *shape,
                 double bound)
{
    char full[160];
    int64_t n = 1;

    for (int i = 0; i < ndim; i++)
        n *= shape[i];
    float *x = dk_xmalloc((size_t)n * sizeof *x);
    dk_torch_uniform(k->rng, (float)-bound, (float)bound, x, (size_t)n);
    snprintf(full, sizeof full, "%s.%s", name, what);
    ts_add_data(&k->m, full, ndim, shape, x);
    free(x);
}

static void linear(maker *k, const char *at, const char *what, int64_t out, int64_t in)
{
    char name[128];

    snprintf(name, sizeof name, "%s%s", at, what);
    draw(k, name, "weight", DK_SHAPE(out, in), 1 / sqrt((double)in));
    draw(k, name, "bias", DK_SHAPE(out), 1 / sqrt((double)in));
}

static void conv(maker *k, const char *at, const char *what, int64_t out, int64_t in, int64_t size)
{
    char name[128];
    double bound = 1 / sqrt((double)(in * size * size));

    snprintf(name, sizeof name, "%s%s", at, what);
    draw(k, name, "weight", DK_SHAPE(out, in, size, size), bound);
    draw(k, name, "bias", DK_SHAPE(out), bound);
}

/* Draws nothing. */
static void norm(maker *k, const char *at, const char *what)
{
    float x[64];
    char name[128];

    for (int bias = 0; bias < 2; bias++) {
        for (int i = 0; i < 64; i++)
            x[i] = bias ? 0 : 1;
        snprintf(name, sizeof name, "%s%s.%s", at, what, bias ? "bias" : "weight");
        ts_add_data(&k->m, name, DK_SHAPE(64), x);
    }
}

static void make_transformer(maker *k)
{
    ts_model_begin(&k->m, "dit");
    conv(k, "", "pos_embed.proj", 16, 4, 4);
    for (int i = 0; i < 2; i++) {
        char at[64], name[128];
        float *table = dk_xmalloc(1001 * 16 * sizeof *table);
        snprintf(at, sizeof at, "transformer_blocks.%d.", i);
        linear(k, at, "norm1.emb.timestep_embedder.linear_1", 16, 256);
        linear(k, at, "norm1.emb.timestep_embedder.linear_2", 16, 16);
        dk_torch_normal(k->rng, table, 1001 * 16);
        snprintf(name, sizeof name, "%snorm1.emb.class_embedder.embedding_table.weight", at);
        ts_add_data(&k->m, name, DK_SHAPE(1001, 16), table);
        free(table);
        linear(k, at, "norm1.linear", 96, 16);
        linear(k, at, "attn1.to_q", 16, 16);
        linear(k, at, "attn1.to_k", 16, 16);
        linear(k, at, "attn1.to_v", 16, 16);
        linear(k, at, "attn1.to_out.0", 16, 16);
        linear(k, at, "ff.net.0.proj", 64, 16);
        linear(k, at, "ff.net.2", 16, 64);
    }
    linear(k, "", "proj_out_1", 32, 16);
    linear(k, "", "proj_out_2", 128, 16);
    ts_model_end(&k->m, DIT_CONFIG);
}

static void make_resnet(maker *k, const char *at)
{
    norm(k, at, "norm1");
    conv(k, at, "conv1", 64, 64, 3);
    norm(k, at, "norm2");
    conv(k, at, "conv2", 64, 64, 3);
}

static void make_mid(maker *k, const char *half)
{
    static const char *const names[] = {"to_q", "to_k", "to_v", "to_out.0"};
    char at[64], resnet[64];

    snprintf(at, sizeof at, "%s.mid_block.attentions.0.", half);
    norm(k, at, "group_norm");
    snprintf(resnet, sizeof resnet, "%s.mid_block.resnets.0.", half);
    make_resnet(k, resnet);
    for (int i = 0; i < 4; i++)
        linear(k, at, names[i], 64, 64);
    snprintf(resnet, sizeof resnet, "%s.mid_block.resnets.1.", half);
    make_resnet(k, resnet);
}

static void make_vae(maker *k)
{
    ts_model_begin(&k->m, "dit-vae");
    conv(k, "", "encoder.conv_in", 64, 3, 3);
    make_resnet(k, "encoder.down_blocks.0.resnets.0.");
    make_mid(k, "encoder");
    norm(k, "", "encoder.conv_norm_out");
    conv(k, "", "encoder.conv_out", 8, 64, 3);
    conv(k, "", "decoder.conv_in", 64, 4, 3);
    make_mid(k, "decoder");
    make_resnet(k, "decoder.up_blocks.0.resnets.0.");
    make_resnet(k, "decoder.up_blocks.0.resnets.1.");
    norm(k, "", "decoder.conv_norm_out");
    conv(k, "", "decoder.conv_out", 3, 64, 3);
    conv(k, "", "quant_conv", 8, 8, 1);
    conv(k, "", "post_quant_conv", 4, 4, 1);
    ts_model_end(&k->m, "{}");
}

/* ---- The networks. */

typedef struct net {
    ts_part part;
    dk_dit *m;
    dk_ctx c;
} net;

static void net_open(net *n, const char *dir, const dk_ops *ops)
{
    dk_dit_config cfg;

    ts_open(&n->part, dir, "model");
    ts_ok(dk_dit_config_read(&cfg, ts_config(&n->part), &err), &err);
    n->m = dk_dit_new(&cfg, n->part.params);
    ts_load(&n->part, ops);
    dk_ctx_init(&n->c, ops);
}

static void net_close(net *n)
{
    dk_ctx_fini(&n->c);
    ts_close(&n->part);
    dk_dit_free(n->m);
}

static void forward(net *n, const float *x, int64_t rows, int64_t w, double t,
                    const int32_t *labels, dk_block_fn *fn, void *user, float *out)
{
    dk_tensor latent = dk_view((void *)x, DK_F32, DK_SHAPE(rows, 4, 16, w));
    dk_tensor o = dk_view(out, DK_F32, DK_SHAPE(rows, 8, 16, w));

    dk_dit_forward(n->m, &n->c, &latent, t, labels, fn, user, &o);
    ts_ok(dk_ctx_take(&n->c, &err), &err);
}

static void decode(const char *dir, const dk_ops *ops, const float *x, float *image)
{
    ts_part p;
    dk_vae_config cfg;
    dk_ctx c;
    float z[1024];
    dk_tensor in = dk_view(z, DK_F32, DK_SHAPE(4, 16, 16)),
              out = dk_view(image, DK_F32, DK_SHAPE(3, 16, 16));

    ts_open(&p, dir, "model");
    ts_ok(dk_vae_config_read(&cfg, ts_config(&p), &err), &err);
    dk_vae *m = dk_vae_new(&cfg, DK_VAE_DECODER, p.params);
    ts_load(&p, ops);
    dk_ctx_init(&c, ops);
    for (int i = 0; i < 1024; i++)
        z[i] = x[i] / (float)cfg.scaling_factor;
    dk_vae_decode(m, &c, &in, &out);
    ts_ok(dk_ctx_take(&c, &err), &err);
    for (int i = 0; i < 768; i++)
        image[i] = fminf(fmaxf(image[i] / 2 + 0.5f, 0), 1);
    dk_ctx_fini(&c);
    ts_close(&p);
    dk_vae_free(m);
}

/* ---- The golden test. */

static void close_to(const char *what, double found, double expect, double tol)
{
    if (fabs(found - expect) <= tol)
        return;
    print_error("%s: %.6f, expected %.6f +- %g\n", what, found, expect, tol);
    fail();
}

static void check_first(const char *what, const float *x, size_t n, double sum,
                        const double first[4], double sum_tol)
{
    double s = 0;

    for (size_t i = 0; i < n; i++)
        s += (double)x[i];
    close_to(what, s, sum, sum_tol);
    for (int i = 0; first && i < 4; i++)
        close_to(what, (double)x[i], first[i], 2e-4);
}

static void run_golden(const char *dit_dir, const char *vae_dir, const dk_ops *ops)
{
    static const int32_t labels[] = {1, 1000}; /* the conditional row first */
    static const double cond[] = {-0.338688, -0.973181, 0.265749, -0.056034},
                        uncond[] = {-0.168693, -0.699887, 0.401812, 0.158892},
                        step1[] = {-1.008437, 0.982018, -0.409365, 0.850258},
                        step2[] = {-1.000000, 1.000000, -0.405111, 0.876750},
                        pixels[] = {0.697815, 0.639552, 0.721173};
    static const double blue[] = {0.2946, 0.6601, 0.4329, 0.3296, 0.4144,
                                  0.5319, 0.7273, 0.5013, 0.4457};
    static const char ddim[] = "{\"_class_name\": \"DDIMScheduler\", \"clip_sample\": true}";
    net n;
    dk_json cfg;
    dk_torch_rng rng;
    float x[1024], both[2048], out[4096], eps[1024], image[768];
    double sum = 0, abs_sum = 0;

    net_open(&n, dit_dir, ops);
    dk_torch_seed(&rng, 0);
    dk_torch_normal(&rng, x, 1024);
    for (int i = 0; i < 1024; i++)
        abs_sum += fabs((double)x[i]);
    check_first("latents", x, 1024, 32.938396, NULL, 1e-3);
    close_to("latents, abs", abs_sum, 829.172485, 1e-2);

    ts_ok(dk_json_parse(&cfg, ddim, strlen(ddim), "scheduler_config.json", &err), &err);
    dk_sched *s = dk_sched_new(-1, dk_json_root(&cfg), &err);
    ts_ok(0, &err);
    ts_ok(dk_sched_set_steps(s, 2, &err), &err);
    for (int i = 0; i < 2; i++) {
        double t = dk_sched_timestep(s, i);
        close_to("timestep", t, i == 0 ? 500 : 0, 0);
        memcpy(both, x, sizeof x);
        memcpy(both + 1024, x, sizeof x);
        forward(&n, both, 2, 16, t, labels, NULL, NULL, out);
        if (i == 0) {
            check_first("conditional", out, 2048, 52.330815, cond, 5e-2);
            check_first("unconditional", out + 2048, 2048, 2.970501, uncond, 5e-2);
        }
        for (int j = 0; j < 1024; j++)
            eps[j] = out[2048 + j] + 4.0f * (out[j] - out[2048 + j]);
        ts_ok(dk_sched_step(s, i, eps, NULL, x, 1, 1024, NULL, &err), &err);
        check_first("after a step", x, 1024, i == 0 ? -3.795497 : -4.889434, i == 0 ? step1 : step2,
                    5e-2);
    }
    decode(vae_dir, ops, x, image);
    for (int i = 0; i < 3; i++)
        close_to("first pixels", (double)image[i], pixels[i], 5e-4);
    for (int i = 0; i < 768; i++)
        sum += (double)image[i];
    close_to("image, sum", sum, 438.006132, 5e-2);
    for (int i = 0; i < 9; i++)
        close_to("blue", (double)image[2 * 256 + (13 + i / 3) * 16 + 13 + i % 3], blue[i], 5e-4);
    dk_sched_free(s);
    dk_json_free(&cfg);
    net_close(&n);
}

static void test_golden(void **state)
{
    dk_torch_rng rng;
    maker dit = {.rng = &rng}, vae = {.rng = &rng};
    (void)state;

    dk_torch_seed(&rng, 0);
    make_transformer(&dit);
    make_vae(&vae);
    for (int b = 0; b < TS_BACKENDS; b++)
        run_golden(dit.m.dir, vae.m.dir, ts_backend(b));
    ts_model_free(&dit.m);
    ts_model_free(&vae.m);
}

/* ---- Properties, on weights of the names. */

/* `changed`: the one tensor that takes another tensor's values (in.NAME), or NULL. */
static void write_named(ts_model *m, const char *changed)
{
    static const char *const small[] = {"attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0"};

    ts_model_begin(m, "dit-named");
    ts_conv(m, 16, 4, 4, "pos_embed.proj");
    for (int i = 0; i < 2; i++) {
        char at[64], table[128];
        snprintf(at, sizeof at, "transformer_blocks.%d", i);
        ts_linear(m, 16, 256, true, "%s.norm1.emb.timestep_embedder.linear_1", at);
        ts_linear(m, 16, 16, true, "%s.norm1.emb.timestep_embedder.linear_2", at);
        snprintf(table, sizeof table, "%s.norm1.emb.class_embedder.embedding_table.weight", at);
        float *x = ts_values(changed && strcmp(changed, table) == 0 ? "in.table" : table,
                             DK_SHAPE(1001, 16));
        ts_add_data(m, table, DK_SHAPE(1001, 16), x);
        free(x);
        ts_linear(m, 96, 16, true, "%s.norm1.linear", at);
        for (int k = 0; k < 4; k++)
            ts_linear(m, 16, 16, true, "%s.%s", at, small[k]);
        ts_linear(m, 64, 16, true, "%s.ff.net.0.proj", at);
        ts_linear(m, 16, 64, true, "%s.ff.net.2", at);
    }
    ts_linear(m, 32, 16, true, "proj_out_1");
    ts_linear(m, 128, 16, true, "proj_out_2");
    ts_model_end(m, DIT_CONFIG);
}

static void count_blocks(void *user, int block, const dk_tensor *x)
{
    int *blocks = user;

    assert_int_equal(block, (*blocks)++);
    assert_true(x->ndim == 3 && x->shape[2] == 16);
}

/* A row has the same bits whatever shares its batch and however many threads work; the backends
 * agree. Pictures need not be square. */
static void test_rows(void **state)
{
    static const int32_t labels[] = {3, 1000, 0, 999};
    enum { W = 24, IN = 4 * 16 * W, OUT = 8 * 16 * W };
    float *x = ts_values("in.latents", DK_SHAPE(4, 4, 16, W));
    float *all = dk_xmalloc(TS_BACKENDS * 4 * OUT * sizeof *all), one[OUT];
    ts_model m;
    (void)state;

    write_named(&m, NULL);
    for (int b = 0; b < TS_BACKENDS; b++) {
        net n;
        int blocks = 0;
        float *out = all + (size_t)b * 4 * OUT;
        net_open(&n, m.dir, ts_backend(b));
        forward(&n, x, 4, W, 250, labels, count_blocks, &blocks, out);
        assert_int_equal(blocks, 2);
        for (int threads = 1; threads <= 3; threads++) {
            dk_set_threads(threads);
            for (int r = 0; r < 4; r++) {
                forward(&n, x + r * IN, 1, W, 250, labels + r, NULL, NULL, one);
                assert_memory_equal(one, out + r * OUT, sizeof one);
            }
        }
        dk_set_threads(0);
        net_close(&n);
    }
    ts_check_close("backends", all + 4 * OUT, all, 4 * OUT, 2e-5);
    ts_model_free(&m);
    free(all);
    free(x);
}

/* Each block reads its own class table. */
static void test_tables(void **state)
{
    static const char *const changed[] = {
        NULL, "transformer_blocks.0.norm1.emb.class_embedder.embedding_table.weight",
        "transformer_blocks.1.norm1.emb.class_embedder.embedding_table.weight"};
    static const int32_t label[] = {7};
    float *x = ts_values("in.latent", DK_SHAPE(4, 16, 16)), out[3][2048];
    (void)state;

    for (int i = 0; i < 3; i++) {
        ts_model m;
        net n;
        write_named(&m, changed[i]);
        net_open(&n, m.dir, dk_ops_cpu());
        forward(&n, x, 1, 16, 999, label, NULL, NULL, out[i]);
        net_close(&n);
        ts_model_free(&m);
    }
    assert_memory_not_equal(out[0], out[1], sizeof out[0]);
    assert_memory_not_equal(out[0], out[2], sizeof out[0]);
    assert_memory_not_equal(out[1], out[2], sizeof out[0]);
    free(x);
}

static int config(const char *patch, dk_dit_config *c)
{
    dk_json j;
    ts_config_with(&j, DIT_CONFIG, patch);
    int rc = dk_dit_config_read(c, dk_json_root(&j), &err);
    dk_json_free(&j);
    return rc;
}

static void test_config(void **state)
{
    static const struct {
        const char *patch, *says;
        int code;
    } bad[] = {{"{\"activation_fn\": \"gelu\"}", "activation_fn \"gelu\"", DK_EUNSUPPORTED},
               {"{\"norm_type\": \"ada_norm\"}", "norm_type \"ada_norm\"", DK_EUNSUPPORTED},
               {"{\"norm_elementwise_affine\": true}", "norm_elementwise_affine", DK_EUNSUPPORTED},
               {"{\"attention_bias\": false}", "attention_bias", DK_EUNSUPPORTED},
               {"{\"num_embeds_ada_norm\": null}", "num_embeds_ada_norm", DK_EUNSUPPORTED},
               {"{\"num_embeds_ada_norm\": -1}", "num_embeds_ada_norm", DK_EFORMAT},
               {"{\"sample_size\": 15}", "sample_size", DK_EFORMAT},
               {"{\"num_layers\": 2.5}", "num_layers", DK_EFORMAT}};
    dk_dit_config c;
    dk_json empty;
    (void)state;

    ts_ok(dk_json_parse(&empty, "{}", 2, "config.json", &err), &err);
    ts_ok(dk_dit_config_read(&c, dk_json_root(&empty), &err), &err);
    dk_json_free(&empty);
    assert_true(c.dim == 1152 && c.layers == 28 && c.in_channels == 4 && c.out_channels == 4);
    assert_true(c.sample_size == 32 && c.patch == 2 && c.classes == 1000 && c.eps == 1e-5f);
    ts_ok(config("{\"out_channels\": null, \"double_self_attention\": false}", &c), &err);
    assert_true(c.out_channels == 4 && c.dim == 16);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        config(bad[i].patch, &c);
        ts_failed(&err, bad[i].code, bad[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden), cmocka_unit_test(test_rows),
                                       cmocka_unit_test(test_tables),
                                       cmocka_unit_test(test_config)};

    cmocka_set_message_output(CM_OUTPUT_TAP);
    dk_err_init(&err);
    return cmocka_run_group_tests_name("dit", tests, NULL, NULL);
}
