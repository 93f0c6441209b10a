/* AutoencoderKL on a tiny model with deterministic weights, against recorded numbers (an
 * independent f64 implementation); aliases, optional parts and configs. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "model/vae.h"

static dk_err err;

static const char CONFIG[] =
    "{\"_class_name\": \"AutoencoderKL\", \"block_out_channels\": [8, 16], \"layers_per_block\": 1,"
    " \"norm_num_groups\": 4, \"latent_channels\": 4, \"act_fn\": \"silu\","
    " \"down_block_types\": [\"DownEncoderBlock2D\", \"DownEncoderBlock2D\"],"
    " \"up_block_types\": [\"UpDecoderBlock2D\", \"UpDecoderBlock2D\"],"
    " \"latents_mean\": null, \"shift_factor\": null, \"force_upcast\": true}";

/* What a variant of the file leaves out or names as old releases did. */
typedef struct variant {
    bool no_quant, no_attention, old_names, old_conv;
} variant;

static void add_resnet(ts_model *m, int in, int out, const char *at)
{
    ts_norm(m, in, "%s.norm1", at);
    ts_conv(m, out, in, 3, "%s.conv1", at);
    ts_norm(m, out, "%s.norm2", at);
    ts_conv(m, out, out, 3, "%s.conv2", at);
    if (in != out)
        ts_conv(m, out, in, 1, "%s.conv_shortcut", at);
}

static void add_attention(ts_model *m, const variant *v, const char *at)
{
    static const char *const names[][2] = {
        {"to_q", "query"}, {"to_k", "key"}, {"to_v", "value"}, {"to_out.0", "proj_attn"}};

    ts_norm(m, 16, "%s.group_norm", at);
    for (int i = 0; i < 4; i++) {
        char name[96];
        if (v->old_names) {
            m->renamed = names[i][0];
            m->as = names[i][1];
        }
        snprintf(name, sizeof name, "%s.%s.weight", at, names[i][0]);
        float *w = ts_values(name, DK_SHAPE(16, 16));
        if (v->old_conv)
            ts_add_data(m, name, DK_SHAPE(16, 16, 1, 1), w);
        else
            ts_add_data(m, name, DK_SHAPE(16, 16), w);
        free(w);
        ts_add(m, DK_SHAPE(16), "%s.%s.bias", at, names[i][0]);
        m->renamed = NULL;
    }
}

static void add_mid(ts_model *m, const variant *v, const char *half)
{
    char at[64];

    for (int i = 0; i < 2; i++) {
        snprintf(at, sizeof at, "%s.mid_block.resnets.%d", half, i);
        add_resnet(m, 16, 16, at);
    }
    snprintf(at, sizeof at, "%s.mid_block.attentions.0", half);
    if (!v->no_attention)
        add_attention(m, v, at);
}

static void write_vae(ts_model *m, variant v, const char *config)
{
    ts_model_begin(m, "vae");
    ts_conv(m, 8, 3, 3, "encoder.conv_in");
    add_resnet(m, 8, 8, "encoder.down_blocks.0.resnets.0");
    ts_conv(m, 8, 8, 3, "encoder.down_blocks.0.downsamplers.0.conv");
    add_resnet(m, 8, 16, "encoder.down_blocks.1.resnets.0");
    add_mid(m, &v, "encoder");
    ts_norm(m, 16, "encoder.conv_norm_out");
    ts_conv(m, 8, 16, 3, "encoder.conv_out");
    ts_conv(m, 16, 4, 3, "decoder.conv_in");
    add_mid(m, &v, "decoder");
    add_resnet(m, 16, 16, "decoder.up_blocks.0.resnets.0");
    add_resnet(m, 16, 16, "decoder.up_blocks.0.resnets.1");
    ts_conv(m, 16, 16, 3, "decoder.up_blocks.0.upsamplers.0.conv");
    add_resnet(m, 16, 8, "decoder.up_blocks.1.resnets.0");
    add_resnet(m, 8, 8, "decoder.up_blocks.1.resnets.1");
    ts_norm(m, 8, "decoder.conv_norm_out");
    ts_conv(m, 3, 8, 3, "decoder.conv_out");
    if (!v.no_quant) {
        ts_conv(m, 8, 8, 1, "quant_conv");
        ts_conv(m, 4, 4, 1, "post_quant_conv");
    }
    ts_model_end(m, config);
}

typedef struct net {
    ts_part part;
    dk_vae *m;
    dk_ctx c;
} net;

static void net_open(net *n, const char *dir, int parts, const dk_ops *ops)
{
    dk_vae_config cfg;

    ts_open(&n->part, dir, "model");
    ts_ok(dk_vae_config_read(&cfg, ts_config(&n->part), &err), &err);
    assert_int_equal(dk_vae_factor(&cfg), 2);
    n->m = dk_vae_new(&cfg, parts, n->part.params);
    ts_load(&n->part, ops);
    assert_int_equal(dk_bind_extra(dk_params_bind(n->part.params)), 0);
    dk_ctx_init(&n->c, ops);
}

static void net_close(net *n)
{
    dk_ctx_fini(&n->c);
    ts_close(&n->part);
    dk_vae_free(n->m);
}

/* in.z [4, 3, 5] -> [3, 6, 10]. */
static void decode(const char *dir, int parts, const dk_ops *ops, float out[180])
{
    net n;
    float *z = ts_values("in.z", DK_SHAPE(4, 3, 5));
    dk_tensor in = dk_view(z, DK_F32, DK_SHAPE(4, 3, 5)),
              image = dk_view(out, DK_F32, DK_SHAPE(3, 6, 10));

    net_open(&n, dir, parts, ops);
    dk_vae_decode(n.m, &n.c, &in, &image);
    ts_ok(dk_ctx_take(&n.c, &err), &err);
    net_close(&n);
    free(z);
}

/* in.img [3, 6, 8] -> moments [8, 3, 4]. */
static void encode(const char *dir, int parts, const dk_ops *ops, float out[96])
{
    net n;
    float *x = ts_values("in.img", DK_SHAPE(3, 6, 8));
    dk_tensor in = dk_view(x, DK_F32, DK_SHAPE(3, 6, 8)),
              moments = dk_view(out, DK_F32, DK_SHAPE(8, 3, 4));

    net_open(&n, dir, parts, ops);
    dk_vae_encode(n.m, &n.c, &in, &moments);
    ts_ok(dk_ctx_take(&n.c, &err), &err);
    net_close(&n);
    free(x);
}

static const ts_stats DECODED = {
    13.220270,
    75.077356,
    {0.122849, 0.419664, 0.924849, 0.494675, -0.325465, 0.218394, 0.358488, 0.115781},
    8};
static const ts_stats ENCODED = {
    1.621446, 41.451643, {0.129126, 0.523456, 0.156578, -0.715768, -0.552409, -0.549529}, 6};

/* Every combination of halves, old names and 1x1 convolutions gives the recorded numbers. */
static void test_recorded(void **state)
{
    static const variant forms[] = {
        {0}, {.old_names = true}, {.old_names = true, .old_conv = true}};
    (void)state;

    for (int f = 0; f < 3; f++) {
        ts_model m;
        write_vae(&m, forms[f], CONFIG);
        for (int b = 0; b < TS_BACKENDS; b++) {
            for (int parts = 1; parts <= 3; parts++) {
                float image[180], moments[96];
                if (parts & DK_VAE_DECODER) {
                    decode(m.dir, parts, ts_backend(b), image);
                    ts_check_stats("decode", image, 180, &DECODED, 2e-4);
                }
                if (parts & DK_VAE_ENCODER) {
                    encode(m.dir, parts, ts_backend(b), moments);
                    ts_check_stats("encode", moments, 96, &ENCODED, 2e-4);
                }
            }
        }
        ts_model_free(&m);
    }
}

/* Without quant convolutions or attention: other numbers, on which both backends agree. */
static void test_optional_parts(void **state)
{
    static const struct {
        const char *patch;
        variant v;
    } forms[] = {
        {"{\"use_quant_conv\": false, \"use_post_quant_conv\": false}", {.no_quant = true}},
        {"{\"mid_block_add_attention\": false}", {.no_attention = true}}};
    (void)state;

    for (int f = 0; f < 2; f++) {
        ts_model m;
        dk_json cfg;
        dk_buf text = {0};
        float image[2][180], moments[2][96];
        ts_config_with(&cfg, CONFIG, forms[f].patch);
        dk_json_dump(&text, cfg.root, false);
        write_vae(&m, forms[f].v, dk_buf_str(&text));
        for (int b = 0; b < TS_BACKENDS; b++) {
            decode(m.dir, DK_VAE_DECODER, ts_backend(b), image[b]);
            encode(m.dir, DK_VAE_ENCODER, ts_backend(b), moments[b]);
        }
        ts_check_close("decode", image[1], image[0], 180, 2e-5);
        ts_check_close("encode", moments[1], moments[0], 96, 2e-5);
        assert_true(fabs((double)image[0][0] - DECODED.first[0]) > 1e-3);
        ts_model_free(&m);
        dk_buf_free(&text);
        dk_json_free(&cfg);
    }
}

static void test_not_finite(void **state)
{
    ts_model m;
    net n;
    float *z = ts_values("in.z", DK_SHAPE(4, 3, 5)), out[180];
    dk_tensor in = dk_view(z, DK_F32, DK_SHAPE(4, 3, 5)),
              image = dk_view(out, DK_F32, DK_SHAPE(3, 6, 10));
    (void)state;

    write_vae(&m, (variant){0}, CONFIG);
    net_open(&n, m.dir, DK_VAE_DECODER, dk_ops_cpu());
    z[7] = INFINITY;
    dk_vae_decode(n.m, &n.c, &in, &image);
    dk_ctx_take(&n.c, &err);
    ts_failed(&err, DK_ENUMERIC, "vae decoder mid block: NaN or infinity");
    net_close(&n);
    ts_model_free(&m);
    free(z);
}

static int config(const char *patch, dk_vae_config *c)
{
    dk_json j;
    ts_config_with(&j, CONFIG, patch);
    int rc = dk_vae_config_read(c, dk_json_root(&j), &err);
    dk_json_free(&j);
    return rc;
}

static void test_config(void **state)
{
    dk_vae_config c;
    dk_json empty;
    (void)state;

    ts_ok(dk_json_parse(&empty, "{}", 2, "config.json", &err), &err);
    ts_ok(dk_vae_config_read(&c, dk_json_root(&empty), &err), &err);
    dk_json_free(&empty);
    assert_true(c.levels == 1 && c.channels[0] == 64 && c.groups == 32 && c.latent_channels == 4);
    assert_true(c.quant_conv && c.post_quant_conv && c.mid_attention && c.layers_per_block == 1);
    assert_true(c.scaling_factor == 0.18215 && c.shift_factor == 0 && dk_vae_factor(&c) == 1);
    ts_ok(config("{\"scaling_factor\": 0.13025, \"shift_factor\": 0.1, \"extra\": {}}", &c), &err);
    assert_true(c.scaling_factor == 0.13025 && c.shift_factor == 0.1);
    ts_ok(config("{\"down_block_types\": \"-\", \"up_block_types\": null}", &c), &err);
}

static void test_config_refused(void **state)
{
    static const struct {
        const char *patch, *says;
        int code;
    } bad[] = {{"{\"act_fn\": \"mish\"}", "act_fn \"mish\"", DK_EUNSUPPORTED},
               {"{\"latents_mean\": [0, 0, 0, 0]}", "latents_mean", DK_EUNSUPPORTED},
               {"{\"latents_std\": [1, 1, 1, 1]}", "latents_std", DK_EUNSUPPORTED},
               {"{\"down_block_types\": [\"DownEncoderBlock2D\", \"AttnDownEncoderBlock2D\"]}",
                "\"AttnDownEncoderBlock2D\"", DK_EUNSUPPORTED},
               {"{\"up_block_types\": [\"UpDecoderBlock2D\", \"X\"]}", "up_block_types[1]",
                DK_EUNSUPPORTED},
               {"{\"down_block_types\": [\"DownEncoderBlock2D\"]}", "down_block_types", DK_EFORMAT},
               {"{\"down_block_types\": [1, 2]}", "down_block_types[0]", DK_EFORMAT},
               {"{\"block_out_channels\": 8}", "block_out_channels", DK_EFORMAT},
               {"{\"block_out_channels\": []}", "block_out_channels", DK_EFORMAT},
               {"{\"block_out_channels\": [8, 16, 8, 8, 8, 8, 8, 8, 8]}", "block_out_channels",
                DK_EFORMAT},
               {"{\"block_out_channels\": [8, 1e9]}", "block_out_channels[1]", DK_EFORMAT},
               {"{\"block_out_channels\": [8, 18]}", "norm_num_groups 4", DK_EFORMAT},
               {"{\"layers_per_block\": 1000}", "layers_per_block", DK_EFORMAT},
               {"{\"scaling_factor\": 0}", "scaling_factor", DK_EFORMAT},
               {"{\"scaling_factor\": NaN}", "scaling_factor", DK_EFORMAT},
               {"{\"shift_factor\": Infinity}", "shift_factor", DK_EFORMAT},
               {"{\"use_quant_conv\": \"yes\"}", "use_quant_conv", DK_EFORMAT}};
    dk_vae_config c;
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        config(bad[i].patch, &c);
        ts_failed(&err, bad[i].code, bad[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded), cmocka_unit_test(test_optional_parts),
        cmocka_unit_test(test_not_finite), cmocka_unit_test(test_config),
        cmocka_unit_test(test_config_refused)};

    cmocka_set_message_output(CM_OUTPUT_TAP);
    dk_err_init(&err);
    return cmocka_run_group_tests_name("vae", tests, NULL, NULL);
}
