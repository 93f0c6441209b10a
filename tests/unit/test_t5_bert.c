/* The text encoders on tiny models with deterministic weights, against recorded numbers (an
 * independent f64 implementation); names, aliases, masks and configs. */
#include "support.h"

#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "model/bert.h"
#include "model/t5.h"

static dk_err err;

/* ---- T5: d_model 16, d_kv 4, heads 3, d_ff 20, layers 2, vocab 50. */

static const char T5_CONFIG[] =
    "{\"d_model\": 16, \"d_kv\": 4, \"num_heads\": 3, \"d_ff\": 20, \"num_layers\": 2,"
    " \"vocab_size\": 50, \"feed_forward_proj\": \"gated-gelu\", \"layer_norm_epsilon\": 1e-06,"
    " \"relative_attention_num_buckets\": 32, \"num_decoder_layers\": 7, \"model_type\": \"t5\","
    " \"torch_dtype\": \"float32\", \"pad_token_id\": 0}";

static void t5_layers(ts_model *m, bool gated, bool bias_per_block)
{
    for (int i = 0; i < 2; i++) {
        char at[64];
        snprintf(at, sizeof at, "encoder.block.%d.layer", i);
        ts_add(m, DK_SHAPE(16), "%s.0.layer_norm.weight", at);
        ts_linear(m, 12, 16, false, "%s.0.SelfAttention.q", at);
        ts_linear(m, 12, 16, false, "%s.0.SelfAttention.k", at);
        ts_linear(m, 12, 16, false, "%s.0.SelfAttention.v", at);
        ts_linear(m, 16, 12, false, "%s.0.SelfAttention.o", at);
        if (i == 0 || bias_per_block)
            ts_linear(m, 32, 3, false, "%s.0.SelfAttention.relative_attention_bias", at);
        ts_add(m, DK_SHAPE(16), "%s.1.layer_norm.weight", at);
        ts_linear(m, 20, 16, false, "%s.1.DenseReluDense.%s", at, gated ? "wi_0" : "wi");
        if (gated)
            ts_linear(m, 20, 16, false, "%s.1.DenseReluDense.wi_1", at);
        ts_linear(m, 16, 20, false, "%s.1.DenseReluDense.wo", at);
    }
    ts_add(m, DK_SHAPE(16), "encoder.final_layer_norm.weight");
}

static void t5_write(ts_model *m)
{
    ts_model_begin(m, "t5");
    ts_linear(m, 50, 16, false, "shared");
    t5_layers(m, true, false);
}

typedef struct t5_run {
    ts_part part;
    dk_t5 *t5;
    dk_ctx c;
} t5_run;

static void t5_open(t5_run *r, const char *dir, const dk_ops *ops)
{
    dk_t5_config cfg;

    ts_open(&r->part, dir, "model");
    ts_ok(dk_t5_config_read(&cfg, ts_config(&r->part), &err), &err);
    r->t5 = dk_t5_new(&cfg, r->part.params);
    ts_load(&r->part, ops);
    dk_ctx_init(&r->c, ops);
}

static void t5_close(t5_run *r)
{
    dk_ctx_fini(&r->c);
    ts_close(&r->part);
    dk_t5_free(r->t5);
}

static void t5_encode(t5_run *r, const int32_t *ids, const uint8_t *mask, int64_t n, float *out)
{
    dk_tensor t = dk_view(out, DK_F32, DK_SHAPE(n, 16));

    dk_t5_encode(r->t5, &r->c, ids, mask, n, &t);
    ts_ok(dk_ctx_take(&r->c, &err), &err);
}

static const int32_t T5_IDS[] = {5, 17, 3, 44, 1, 0, 0};
static const uint8_t T5_MASK[] = {1, 1, 1, 1, 1, 0, 0};
static const ts_stats T5_SHORT = {
    3.898947,
    88.046598,
    {-0.815135, -1.410485, -0.293969, 0.639920, 0.332171, 0.163374, 0.074576, -0.313693},
    8};
static const ts_stats T5_LONG = {
    -178.266480, 1891.301244, {-2.525850, -0.712453, 1.152219, 0.095934}, 4};

static void test_t5_recorded(void **state)
{
    ts_model m;
    (void)state;

    t5_write(&m);
    ts_model_end(&m, T5_CONFIG);
    for (int b = 0; b < TS_BACKENDS; b++) {
        t5_run r;
        float out[7 * 16], again[5 * 16], *many = dk_xmalloc(150 * 16 * sizeof *many);
        int32_t ids[150];
        t5_open(&r, m.dir, ts_backend(b));
        t5_encode(&r, T5_IDS, T5_MASK, 7, out);
        ts_check_stats("T5, 7 tokens", out, 7 * 16, &T5_SHORT, 2e-4);

        /* Positions that are masked change nothing: the real ones alone give the same states. */
        t5_encode(&r, T5_IDS, NULL, 5, again);
        ts_check_close("T5, trimmed", again, out, 5 * 16, 1e-6);

        for (int i = 0; i < 150; i++)
            ids[i] = (7 * i + 3) % 50;
        t5_encode(&r, ids, NULL, 150, many);
        ts_check_stats("T5, 150 tokens", many, 150 * 16, &T5_LONG, 2e-4);
        free(many);
        t5_close(&r);
    }
    ts_model_free(&m);
}

/* The embedding under its other name, and tensors of a full encoder-decoder file. */
static void test_t5_names(void **state)
{
    ts_model m;
    t5_run r;
    float out[7 * 16];
    (void)state;

    ts_model_begin(&m, "t5-names");
    m.renamed = "shared";
    m.as = "encoder.embed_tokens";
    ts_linear(&m, 50, 16, false, "shared");
    m.renamed = NULL;
    t5_layers(&m, true, false);
    ts_linear(&m, 50, 16, false, "lm_head");
    ts_linear(&m, 12, 16, false, "decoder.block.0.layer.0.SelfAttention.q");
    ts_model_end(&m, T5_CONFIG);
    t5_open(&r, m.dir, dk_ops_cpu());
    assert_int_equal(dk_bind_extra(dk_params_bind(r.part.params)), 0);
    t5_encode(&r, T5_IDS, T5_MASK, 7, out);
    ts_check_stats("T5, embed_tokens", out, 7 * 16, &T5_SHORT, 2e-4);
    t5_close(&r);
    ts_model_free(&m);
}

/* feed_forward_proj relu (T5 before 1.1), and a bias table per block (UMT5): both backends agree.
 */
static void test_t5_variants(void **state)
{
    static const char *const patch[] = {"{\"feed_forward_proj\": \"relu\"}",
                                        "{\"feed_forward_proj\": \"gated-silu\"}",
                                        "{\"model_type\": \"umt5\"}"};
    (void)state;

    for (int v = 0; v < 3; v++) {
        ts_model m;
        dk_json cfg;
        dk_buf text = {0};
        float out[2][7 * 16];
        ts_config_with(&cfg, T5_CONFIG, patch[v]);
        dk_json_dump(&text, cfg.root, false);
        ts_model_begin(&m, "t5-variant");
        ts_linear(&m, 50, 16, false, "shared");
        t5_layers(&m, v != 0, v == 2);
        ts_model_end(&m, dk_buf_str(&text));
        for (int b = 0; b < TS_BACKENDS; b++) {
            t5_run r;
            t5_open(&r, m.dir, ts_backend(b));
            t5_encode(&r, T5_IDS, T5_MASK, 7, out[b]);
            t5_close(&r);
        }
        ts_check_close(patch[v], out[1], out[0], 7 * 16, 2e-4);
        ts_model_free(&m);
        dk_buf_free(&text);
        dk_json_free(&cfg);
    }
}

static void test_t5_bad(void **state)
{
    static const int32_t high[] = {5, 50}, negative[] = {-1};
    ts_model m;
    t5_run r;
    float out[2 * 16];
    dk_tensor t = dk_view(out, DK_F32, DK_SHAPE(2, 16));
    (void)state;

    t5_write(&m);
    ts_model_end(&m, T5_CONFIG);
    t5_open(&r, m.dir, dk_ops_cpu());
    dk_t5_encode(r.t5, &r.c, high, NULL, 2, &t);
    dk_ctx_take(&r.c, &err);
    ts_failed(&err, DK_EFORMAT, "token id 50 is outside its vocabulary of 50");
    t = dk_view(out, DK_F32, DK_SHAPE(1, 16));
    dk_t5_encode(r.t5, &r.c, negative, NULL, 1, &t);
    dk_ctx_take(&r.c, &err);
    ts_failed(&err, DK_EFORMAT, "token id -1");
    t5_close(&r);
    ts_model_free(&m);

    ts_model_begin(&m, "t5-missing");
    t5_layers(&m, true, false);
    ts_model_end(&m, T5_CONFIG);
    ts_part p;
    dk_t5_config cfg;
    ts_open(&p, m.dir, "model");
    ts_ok(dk_t5_config_read(&cfg, ts_config(&p), &err), &err);
    dk_t5 *t5 = dk_t5_new(&cfg, p.params);
    dk_params_load(p.params, dk_ops_cpu(), &err);
    ts_failed(&err, DK_EFORMAT, "shared.weight");
    ts_close(&p);
    dk_t5_free(t5);
    ts_model_free(&m);
}

/* The table of the specification for 32 buckets and distance 128. */
static void test_t5_bucket(void **state)
{
    static const int from[] = {8, 12, 16, 23, 32, 46, 64, 91};
    (void)state;

    for (int a = 0; a < 400; a++) {
        int expect = a;
        for (int k = 0; k < 8; k++)
            if (a >= from[k])
                expect = 8 + k;
        assert_int_equal(dk_t5_bucket(-a, 32, 128), expect);
        assert_int_equal(dk_t5_bucket(a, 32, 128), a ? expect + 16 : 0);
    }
    assert_int_equal(dk_t5_bucket(INT64_MIN / 2, 32, 128), 15);
    assert_int_equal(dk_t5_bucket(1000000, 4, 2), 3);
}

static int t5_config(const char *patch, dk_t5_config *c)
{
    dk_json j;
    ts_config_with(&j, T5_CONFIG, patch);
    int rc = dk_t5_config_read(c, dk_json_root(&j), &err);
    dk_json_free(&j);
    return rc;
}

static void test_t5_config(void **state)
{
    dk_t5_config c;
    dk_json empty;
    (void)state;

    ts_ok(dk_json_parse(&empty, "{}", 2, "config.json", &err), &err);
    ts_ok(dk_t5_config_read(&c, dk_json_root(&empty), &err), &err);
    dk_json_free(&empty);
    assert_int_equal(c.d_model, 512);
    assert_int_equal(c.vocab, 32128);
    assert_int_equal(c.max_distance, 128);
    assert_int_equal(c.act, DK_ACT_RELU);
    assert_false(c.gated);

    ts_ok(t5_config("{}", &c), &err);
    assert_true(c.gated && c.act == DK_ACT_GELU_TANH);
    ts_ok(t5_config("{\"dense_act_fn\": \"silu\"}", &c), &err);
    assert_true(c.gated && c.act == DK_ACT_SILU);
    ts_ok(t5_config("{\"feed_forward_proj\": \"gelu\", \"d_kv\": null}", &c), &err);
    assert_true(!c.gated && c.act == DK_ACT_GELU_ERF && c.d_kv == 64);

    t5_config("{\"feed_forward_proj\": \"gated-tanh\"}", &c);
    ts_failed(&err, DK_EUNSUPPORTED, "gated-tanh");
    t5_config("{\"num_layers\": 5000}", &c);
    ts_failed(&err, DK_EFORMAT, "num_layers");
    t5_config("{\"d_model\": \"wide\"}", &c);
    ts_failed(&err, DK_EFORMAT, "d_model");
    t5_config("{\"relative_attention_max_distance\": 8}", &c);
    ts_failed(&err, DK_EFORMAT, "relative_attention_max_distance");
    t5_config("{\"layer_norm_epsilon\": -1}", &c);
    ts_failed(&err, DK_EFORMAT, "layer_norm_epsilon");
}

/* ---- BERT: hidden 16, heads 2, intermediate 32, layers 2, vocab 40, positions 16. */

static const char BERT_CONFIG[] =
    "{\"hidden_size\": 16, \"num_attention_heads\": 2, \"intermediate_size\": 32,"
    " \"num_hidden_layers\": 2, \"vocab_size\": 40, \"max_position_embeddings\": 16,"
    " \"type_vocab_size\": 2, \"layer_norm_eps\": 1e-12, \"hidden_act\": \"gelu\"}";

/* `prefix` goes in front of the stored names. */
static void bert_write(ts_model *m, const char *prefix)
{
    char with[64];

    ts_model_begin(m, "bert");
    for (int part = 0; part < 2; part++) {
        static const char *const first[] = {"embeddings.", "encoder."};
        snprintf(with, sizeof with, "%s%s", prefix, first[part]);
        m->renamed = first[part];
        m->as = with;
        if (part == 0) {
            ts_linear(m, 40, 16, false, "embeddings.word_embeddings");
            ts_linear(m, 16, 16, false, "embeddings.position_embeddings");
            ts_linear(m, 2, 16, false, "embeddings.token_type_embeddings");
            ts_norm(m, 16, "embeddings.LayerNorm");
        }
        for (int i = 0; part == 1 && i < 2; i++) {
            char at[64];
            snprintf(at, sizeof at, "encoder.layer.%d", i);
            ts_linear(m, 16, 16, true, "%s.attention.self.query", at);
            ts_linear(m, 16, 16, true, "%s.attention.self.key", at);
            ts_linear(m, 16, 16, true, "%s.attention.self.value", at);
            ts_linear(m, 16, 16, true, "%s.attention.output.dense", at);
            ts_norm(m, 16, "%s.attention.output.LayerNorm", at);
            ts_linear(m, 32, 16, true, "%s.intermediate.dense", at);
            ts_linear(m, 16, 32, true, "%s.output.dense", at);
            ts_norm(m, 16, "%s.output.LayerNorm", at);
        }
    }
    m->renamed = NULL;
    ts_linear(m, 16, 16, true, "%spooler.dense", prefix);
}

/* Old files call the parts of a norm gamma and beta: the same model under those names. */
static void bert_write_old(ts_model *m)
{
    ts_model new;
    dk_st *st;
    dk_buf path = {0};

    bert_write(&new, "bert.");
    ts_model_end(&new, BERT_CONFIG);
    dk_buf_printf(&path, "%s/model.safetensors", new.dir);
    st = dk_st_open(dk_buf_str(&path), &err);
    ts_ok(0, &err);
    ts_model_begin(m, "bert-old");
    for (size_t i = 0; i < dk_st_count(st); i++) {
        const dk_st_tensor *t = dk_st_at(st, i);
        m->renamed = strstr(t->name, "LayerNorm.weight") ? "weight" : "bias";
        m->as = strstr(t->name, "LayerNorm.weight") ? "gamma" : "beta";
        if (!strstr(t->name, "LayerNorm"))
            m->renamed = NULL;
        float *x = dk_xmalloc(t->bytes);
        memcpy(x, t->data, t->bytes);
        ts_add_data(m, t->name, t->ndim, t->shape, x);
        free(x);
    }
    dk_st_close(st);
    dk_buf_free(&path);
    ts_model_free(&new);
}

static void bert_check(const char *dir, const dk_ops *ops)
{
    static const int32_t ids[] = {2, 9, 14, 31, 3, 0, 0};
    static const uint8_t mask[] = {1, 1, 1, 1, 1, 0, 0};
    static const ts_stats expect = {
        5.538386,
        93.909149,
        {-0.708602, 0.172106, 1.620743, 0.032498, -1.371174, -1.625402, -0.534993, 0.606907},
        8};
    static const int32_t many[17];
    ts_part p;
    dk_bert_config cfg;
    dk_ctx c;
    float out[17 * 16];
    dk_tensor t = dk_view(out, DK_F32, DK_SHAPE(7, 16));

    ts_open(&p, dir, "model");
    ts_ok(dk_bert_config_read(&cfg, ts_config(&p), &err), &err);
    dk_bert *m = dk_bert_new(&cfg, p.params);
    ts_load(&p, ops);
    assert_int_equal(dk_bind_extra(dk_params_bind(p.params)), 0);
    dk_ctx_init(&c, ops);
    dk_bert_encode(m, &c, ids, mask, 7, &t);
    ts_ok(dk_ctx_take(&c, &err), &err);
    ts_check_stats("BERT", out, 7 * 16, &expect, 2e-4);

    t = dk_view(out, DK_F32, DK_SHAPE(17, 16));
    dk_bert_encode(m, &c, many, NULL, 17, &t);
    dk_ctx_take(&c, &err);
    ts_failed(&err, DK_EFORMAT, "17 tokens, but only 16 positions");
    dk_ctx_fini(&c);
    ts_close(&p);
    dk_bert_free(m);
}

static void test_bert_recorded(void **state)
{
    ts_model m;
    (void)state;

    for (int v = 0; v < 3; v++) {
        if (v < 2)
            bert_write(&m, v == 0 ? "" : "bert.");
        else
            bert_write_old(&m);
        ts_model_end(&m, BERT_CONFIG);
        for (int b = 0; b < TS_BACKENDS; b++)
            bert_check(m.dir, ts_backend(b));
        ts_model_free(&m);
    }
}

static int bert_config(const char *patch, dk_bert_config *c)
{
    dk_json j;
    ts_config_with(&j, BERT_CONFIG, patch);
    int rc = dk_bert_config_read(c, dk_json_root(&j), &err);
    dk_json_free(&j);
    return rc;
}

static void test_bert_config(void **state)
{
    dk_bert_config c;
    (void)state;

    ts_ok(bert_config("{\"hidden_act\": \"-\", \"layer_norm_eps\": \"-\"}", &c), &err);
    assert_int_equal(c.act, DK_ACT_GELU_ERF);
    assert_float_equal(c.eps, 1e-12f, 1e-15f);
    bert_config("{\"hidden_act\": \"mish\"}", &c);
    ts_failed(&err, DK_EUNSUPPORTED, "hidden_act \"mish\"");
    bert_config("{\"position_embedding_type\": \"relative_key\"}", &c);
    ts_failed(&err, DK_EUNSUPPORTED, "position_embedding_type \"relative_key\"");
    bert_config("{\"num_attention_heads\": 3}", &c);
    ts_failed(&err, DK_EFORMAT, "num_attention_heads 3");
    bert_config("{\"max_position_embeddings\": 100000000}", &c);
    ts_failed(&err, DK_EFORMAT, "max_position_embeddings");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_t5_recorded),   cmocka_unit_test(test_t5_names),
        cmocka_unit_test(test_t5_variants),   cmocka_unit_test(test_t5_bad),
        cmocka_unit_test(test_t5_bucket),     cmocka_unit_test(test_t5_config),
        cmocka_unit_test(test_bert_recorded), cmocka_unit_test(test_bert_config)};

    cmocka_set_message_output(CM_OUTPUT_TAP);
    dk_err_init(&err);
    return cmocka_run_group_tests_name("text encoders", tests, NULL, NULL);
}
