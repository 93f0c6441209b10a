/* The encoder of T5, T5 v1.1 and mT5 (Raffel et al. 2019, "Exploring the Limits of Transfer
 * Learning with a Unified Text-to-Text Transformer", section 2.1; the gated feed-forward is Shazeer
 * 2020).
 *
 *     x      = E[ids]                                       no scaling, no absolute positions
 *     x     += o( softmax(q k^T + B) v )                    of RMS(x); scores are not scaled
 *     x     += wo( act(wi_0 h) * (wi_1 h) ),  h = RMS(x)    or wo( act(wi h) )
 *     result = RMS(x)
 *
 * B[head, i, j] = table[bucket(j - i), head]: it depends on j - i only, so 2n - 1 numbers per head
 * serve all rows. The residual stream is f32: in the XXL encoder it grows past what f16 can hold.
 */
#include "model/t5.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/config_internal.h"
#include "model/encoder_internal.h"

typedef struct t5_block {
    float *norm_attention, *norm_ffn;
    dk_linear q, k, v, o;
    dk_linear wi_0, wi_1, wo; /* not gated: wi in wi_0 */
    float *bias;              /* [buckets, heads]; block 0, or every block of UMT5 */
} t5_block;

struct dk_t5 {
    dk_t5_config cfg;
    dk_tensor embedding;
    t5_block *blocks;
    float *final_norm;
};

/* The function inside the feed-forward: dense_act_fn if the file has it, else the end of
 * feed_forward_proj, where "gated-gelu" means the tanh form by an exception in the published
 * code. */
static int read_activation(dk_t5_config *c, dk_jnode cfg, dk_err *err)
{
    static const struct {
        const char *name;
        dk_act act;
    } known[] = {{"relu", DK_ACT_RELU},          {"gelu", DK_ACT_GELU_ERF},
                 {"gelu_new", DK_ACT_GELU_TANH}, {"gelu_pytorch_tanh", DK_ACT_GELU_TANH},
                 {"silu", DK_ACT_SILU},          {"swish", DK_ACT_SILU}};
    const char *proj, *act;

    if (dk_json_str(cfg, "feed_forward_proj", "relu", &proj, err))
        return err->code;
    c->gated = strncmp(proj, "gated-", 6) == 0;
    act = strcmp(proj, "gated-gelu") == 0 ? "gelu_new" : c->gated ? proj + 6 : proj;
    if (dk_json_str(cfg, "dense_act_fn", act, &act, err))
        return err->code;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(act, known[i].name) == 0) {
            c->act = known[i].act;
            return 0;
        }
    }
    return dk_fail(
        err, DK_EUNSUPPORTED,
        "%s: feed_forward_proj \"%.60s\" with activation \"%.60s\" is not supported (relu, "
        "gelu, gelu_new, silu, plain or with gated- in front)",
        cfg.doc, proj, act);
}

int dk_t5_config_read(dk_t5_config *c, dk_jnode cfg, dk_err *err)
{
    const char *type;

    memset(c, 0, sizeof *c);
    if (dk_json_int(cfg, "d_model", 512, 1, 65536, &c->d_model, err) ||
        dk_json_int(cfg, "d_kv", 64, 1, 4096, &c->d_kv, err) ||
        dk_json_int(cfg, "num_heads", 8, 1, 1024, &c->heads, err) ||
        dk_json_int(cfg, "d_ff", 2048, 1, 1 << 20, &c->d_ff, err) ||
        dk_json_int(cfg, "num_layers", 6, 1, 1024, &c->layers, err) ||
        dk_json_int(cfg, "vocab_size", 32128, 1, 1 << 24, &c->vocab, err) ||
        dk_json_int(cfg, "relative_attention_num_buckets", 32, 4, 4096, &c->buckets, err) ||
        dk_json_int(cfg, "relative_attention_max_distance", 128, c->buckets / 4 + 1, 1 << 20,
                    &c->max_distance, err) ||
        dk_config_eps(cfg, "layer_norm_epsilon", 1e-6, &c->eps, err) ||
        dk_json_str(cfg, "model_type", "t5", &type, err) || read_activation(c, cfg, err))
        return err->code;
    c->bias_per_block = strcmp(type, "umt5") == 0;
    return 0;
}

static void register_block(t5_block *b, const dk_t5_config *c, int i, dk_params *p)
{
    int64_t inner = (int64_t)c->heads * c->d_kv;
    char at[64], ff[96];

    snprintf(at, sizeof at, "encoder.block.%d.layer", i);
    snprintf(ff, sizeof ff, "%s.1.DenseReluDense", at);
    dk_params_f32(p, &b->norm_attention, DK_SHAPE(c->d_model), "%s.0.layer_norm.weight", at);
    dk_params_linear(p, &b->q, inner, c->d_model, false, "%s.0.SelfAttention.q", at);
    dk_params_linear(p, &b->k, inner, c->d_model, false, "%s.0.SelfAttention.k", at);
    dk_params_linear(p, &b->v, inner, c->d_model, false, "%s.0.SelfAttention.v", at);
    dk_params_linear(p, &b->o, c->d_model, inner, false, "%s.0.SelfAttention.o", at);
    if (i == 0 || c->bias_per_block)
        dk_params_f32(p, &b->bias, DK_SHAPE(c->buckets, c->heads),
                      "%s.0.SelfAttention.relative_attention_bias.weight", at);
    dk_params_f32(p, &b->norm_ffn, DK_SHAPE(c->d_model), "%s.1.layer_norm.weight", at);
    dk_params_linear(p, &b->wi_0, c->d_ff, c->d_model, false, "%s.%s", ff,
                     c->gated ? "wi_0" : "wi");
    if (c->gated)
        dk_params_linear(p, &b->wi_1, c->d_ff, c->d_model, false, "%s.wi_1", ff);
    dk_params_linear(p, &b->wo, c->d_model, c->d_ff, false, "%s.wo", ff);
}

dk_t5 *dk_t5_new(const dk_t5_config *c, dk_params *p)
{
    dk_t5 *m = dk_xcalloc(1, sizeof *m);
    dk_bind *bind = dk_params_bind(p);

    m->cfg = *c;
    m->blocks = dk_xcalloc((size_t)c->layers, sizeof *m->blocks);
    /* The embedding is shared with the decoder; a file may hold it under either name or both. */
    bool shared =
        dk_bind_has(bind, "shared.weight") || !dk_bind_has(bind, "encoder.embed_tokens.weight");
    dk_params_table(p, &m->embedding, c->vocab, c->d_model,
                    shared ? "shared.weight" : "encoder.embed_tokens.weight");
    dk_bind_ignore(bind, "encoder.embed_tokens.weight");
    dk_bind_ignore(bind, "decoder.");
    dk_bind_ignore(bind, "lm_head.");
    for (int i = 0; i < c->layers; i++)
        register_block(&m->blocks[i], c, i, p);
    dk_params_f32(p, &m->final_norm, DK_SHAPE(c->d_model), "encoder.final_layer_norm.weight");
    return m;
}

void dk_t5_free(dk_t5 *m)
{
    if (!m)
        return;
    free(m->blocks);
    free(m);
}

/* Half of the buckets for each side; of these half exact, the others growing logarithmically up to
 * max_distance, everything beyond in the last. */
int dk_t5_bucket(int64_t rel, int buckets, int max_distance)
{
    int half = buckets / 2, exact = half / 2, base = rel > 0 ? half : 0;
    int64_t a = rel < 0 ? -rel : rel;

    if (a < exact)
        return base + (int)a;
    float steps = logf((float)a / (float)exact) / logf((float)max_distance / (float)exact) *
                  (float)(half - exact);
    int b = exact + (steps < (float)half ? (int)steps : half);
    return base + (b < half - 1 ? b : half - 1);
}

/* [heads, 2n - 1] by relative position. */
static float *position_bias(const dk_t5 *m, dk_ctx *c, const float *table, int64_t n)
{
    dk_tensor rel = dk_new(c, DK_SHAPE(m->cfg.heads, 2 * n - 1));

    if (!rel.data)
        return NULL;
    for (int64_t d = 0; d < 2 * n - 1; d++) {
        int b = dk_t5_bucket(d - (n - 1), m->cfg.buckets, m->cfg.max_distance);
        for (int h = 0; h < m->cfg.heads; h++)
            dk_f32(&rel)[h * (2 * n - 1) + d] = table[b * m->cfg.heads + h];
    }
    return dk_f32(&rel);
}

static void attention(const dk_t5 *m, dk_ctx *c, const t5_block *b, const float *rel,
                      const float *key_bias, dk_tensor *x)
{
    int64_t n = x->shape[1], inner = (int64_t)m->cfg.heads * m->cfg.d_kv;
    dk_tensor h = dk_new(c, x->ndim, x->shape), q = dk_new(c, DK_SHAPE(1, n, inner)),
              k = dk_new(c, DK_SHAPE(1, n, inner)), v = dk_new(c, DK_SHAPE(1, n, inner)),
              out = dk_new(c, DK_SHAPE(1, n, inner));

    dk_op_rmsnorm(c, x, b->norm_attention, m->cfg.eps, &h);
    dk_op_linear(c, &b->q, &h, &q, DK_ACT_NONE);
    dk_op_linear(c, &b->k, &h, &k, DK_ACT_NONE);
    dk_op_linear(c, &b->v, &h, &v, DK_ACT_NONE);
    dk_op_attention(c, &(dk_attn){.q = &q,
                                  .k = &k,
                                  .v = &v,
                                  .heads = m->cfg.heads,
                                  .scale = 1, /* T5 folds 1/sqrt(d) into its initialisation */
                                  .key_bias = key_bias,
                                  .rel_bias = rel,
                                  .out = &out});
    dk_op_linear(c, &b->o, &out, &h, DK_ACT_NONE);
    dk_op_add(c, x, &h);
}

static void feed_forward(const dk_t5 *m, dk_ctx *c, const t5_block *b, dk_tensor *x)
{
    dk_tensor h = dk_new(c, x->ndim, x->shape),
              u = dk_new(c, DK_SHAPE(1, x->shape[1], m->cfg.d_ff));

    dk_op_rmsnorm(c, x, b->norm_ffn, m->cfg.eps, &h);
    dk_op_linear(c, &b->wi_0, &h, &u, m->cfg.act);
    if (m->cfg.gated) {
        dk_tensor g = dk_new(c, u.ndim, u.shape);
        dk_op_linear(c, &b->wi_1, &h, &g, DK_ACT_NONE);
        dk_op_mul(c, &u, &g);
    }
    dk_op_linear(c, &b->wo, &u, &h, DK_ACT_NONE);
    dk_op_add(c, x, &h);
}

void dk_t5_encode(const dk_t5 *m, dk_ctx *c, const int32_t *ids, const uint8_t *mask, int64_t n,
                  dk_tensor *out)
{
    if (!dk_encoder_check_ids(c, ids, n, m->cfg.vocab))
        return;
    dk_arena_mark start = dk_arena_save(c->arena);
    dk_tensor x = dk_reshape(out, DK_SHAPE(1, n, m->cfg.d_model));
    const float *rel = NULL, *key_bias = dk_encoder_key_bias(c, mask, n);

    dk_op_embed(c, &m->embedding, ids, out);
    for (int i = 0; i < m->cfg.layers && dk_ctx_ok(c); i++) {
        const t5_block *b = &m->blocks[i];
        if (b->bias)
            rel = position_bias(m, c, b->bias, n);
        dk_arena_mark mark = dk_arena_save(c->arena);
        attention(m, c, b, rel, key_bias, &x);
        dk_arena_restore(c->arena, mark);
        feed_forward(m, c, b, &x);
        dk_arena_restore(c->arena, mark);
        dk_op_finite(c, &x, "text encoder block %d", i);
    }
    dk_op_rmsnorm(c, &x, m->final_norm, m->cfg.eps, &x);
    dk_arena_restore(c->arena, start);
}
