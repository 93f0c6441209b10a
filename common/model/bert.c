/* The BERT encoder (Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers",
 * section 3; the layers are those of Vaswani et al. 2017 with the norm behind each sum).
 *
 *     x = LN( word[ids] + position[0 .. n-1] + type[0] )
 *     x = LN( x + Wo softmax(q k^T / sqrt(d) + mask) v )
 *     x = LN( x + W2 gelu(W1 x) )                          exact gelu
 *
 * The result is x after the last layer; the pooler of the file is not used. */
#include "model/bert.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/config_internal.h"
#include "model/encoder_internal.h"

typedef struct norm {
    float *gamma, *beta;
} norm;

typedef struct bert_layer {
    dk_linear q, k, v, o;
    dk_linear up, down;
    norm attention_norm, output_norm;
} bert_layer;

struct dk_bert {
    dk_bert_config cfg;
    dk_tensor word, position, type;
    norm embedding_norm;
    bert_layer *layers;
};

static int read_activation(dk_bert_config *c, dk_jnode cfg, dk_err *err)
{
    const char *act;

    if (dk_json_str(cfg, "hidden_act", "gelu", &act, err))
        return err->code;
    if (strcmp(act, "gelu") == 0)
        c->act = DK_ACT_GELU_ERF;
    else if (strcmp(act, "gelu_new") == 0)
        c->act = DK_ACT_GELU_TANH;
    else if (strcmp(act, "relu") == 0)
        c->act = DK_ACT_RELU;
    else if (strcmp(act, "silu") == 0)
        c->act = DK_ACT_SILU;
    else
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: hidden_act \"%.60s\" is not supported (gelu, gelu_new, relu, silu)",
                       cfg.doc, act);
    return 0;
}

int dk_bert_config_read(dk_bert_config *c, dk_jnode cfg, dk_err *err)
{
    memset(c, 0, sizeof *c);
    if (dk_json_int(cfg, "hidden_size", 768, 1, 65536, &c->hidden, err) ||
        dk_json_int(cfg, "num_hidden_layers", 12, 1, 1024, &c->layers, err) ||
        dk_json_int(cfg, "num_attention_heads", 12, 1, 1024, &c->heads, err) ||
        dk_json_int(cfg, "intermediate_size", 3072, 1, 1 << 20, &c->intermediate, err) ||
        dk_json_int(cfg, "vocab_size", 30522, 1, 1 << 24, &c->vocab, err) ||
        dk_json_int(cfg, "max_position_embeddings", 512, 1, 65536, &c->positions, err) ||
        dk_json_int(cfg, "type_vocab_size", 2, 1, 65536, &c->types, err) ||
        dk_config_eps(cfg, "layer_norm_eps", 1e-12, &c->eps, err) ||
        dk_config_only_str(cfg, "position_embedding_type", "absolute", err) ||
        dk_config_only_bool(cfg, "is_decoder", false, err) || read_activation(c, cfg, err))
        return err->code;
    if (c->hidden % c->heads)
        return dk_fail(err, DK_EFORMAT,
                       "%s: hidden_size: expected a multiple of num_attention_heads %d, found %d",
                       cfg.doc, c->heads, c->hidden);
    return 0;
}

/* Files from before 2019 call weight and bias of a norm gamma and beta. */
static void register_norm(norm *n, const dk_bert_config *c, const char *at, const char *name,
                          dk_params *p)
{
    bool old = dk_bind_has(dk_params_bind(p), "%s.%s.gamma", at, name);

    dk_params_f32(p, &n->gamma, DK_SHAPE(c->hidden), "%s.%s.%s", at, name,
                  old ? "gamma" : "weight");
    dk_params_f32(p, &n->beta, DK_SHAPE(c->hidden), "%s.%s.%s", at, name, old ? "beta" : "bias");
}

static void register_layer(bert_layer *l, const dk_bert_config *c, const char *prefix, int i,
                           dk_params *p)
{
    int64_t d = c->hidden;
    char at[64];

    snprintf(at, sizeof at, "%sencoder.layer.%d", prefix, i);
    dk_params_linear(p, &l->q, d, d, true, "%s.attention.self.query", at);
    dk_params_linear(p, &l->k, d, d, true, "%s.attention.self.key", at);
    dk_params_linear(p, &l->v, d, d, true, "%s.attention.self.value", at);
    dk_params_linear(p, &l->o, d, d, true, "%s.attention.output.dense", at);
    register_norm(&l->attention_norm, c, at, "attention.output.LayerNorm", p);
    dk_params_linear(p, &l->up, c->intermediate, d, true, "%s.intermediate.dense", at);
    dk_params_linear(p, &l->down, d, c->intermediate, true, "%s.output.dense", at);
    register_norm(&l->output_norm, c, at, "output.LayerNorm", p);
}

dk_bert *dk_bert_new(const dk_bert_config *c, dk_params *p)
{
    dk_bert *m = dk_xcalloc(1, sizeof *m);
    dk_bind *bind = dk_params_bind(p);
    const char *prefix = dk_bind_has(bind, "bert.embeddings.word_embeddings.weight") ? "bert." : "";
    char at[32];

    m->cfg = *c;
    m->layers = dk_xcalloc((size_t)c->layers, sizeof *m->layers);
    snprintf(at, sizeof at, "%sembeddings", prefix);
    dk_params_table(p, &m->word, c->vocab, c->hidden, "%s.word_embeddings.weight", at);
    dk_params_table(p, &m->position, c->positions, c->hidden, "%s.position_embeddings.weight", at);
    dk_params_table(p, &m->type, c->types, c->hidden, "%s.token_type_embeddings.weight", at);
    register_norm(&m->embedding_norm, c, at, "LayerNorm", p);
    for (int i = 0; i < c->layers; i++)
        register_layer(&m->layers[i], c, prefix, i, p);
    dk_bind_ignore(bind, *prefix ? "bert.embeddings.position_ids" : "embeddings.position_ids");
    dk_bind_ignore(bind, *prefix ? "bert.pooler." : "pooler.");
    dk_bind_ignore(bind, "cls.");
    return m;
}

void dk_bert_free(dk_bert *m)
{
    if (!m)
        return;
    free(m->layers);
    free(m);
}

/* out [n, D] = word + position + type 0. */
static void embed(const dk_bert *m, dk_ctx *c, const int32_t *ids, int64_t n, dk_tensor *out)
{
    int32_t *order = dk_xmalloc((size_t)n * sizeof *order), zero = 0;
    dk_tensor position = dk_new(c, DK_SHAPE(n, m->cfg.hidden)),
              type = dk_new(c, DK_SHAPE(1, m->cfg.hidden));

    for (int64_t i = 0; i < n; i++)
        order[i] = (int32_t)i;
    dk_op_embed(c, &m->word, ids, out);
    dk_op_embed(c, &m->position, order, &position);
    dk_op_embed(c, &m->type, &zero, &type);
    dk_op_add(c, out, &position);
    dk_op_add(c, out, &type);
    free(order);
}

static void add_norm(const dk_bert *m, dk_ctx *c, dk_tensor *x, const dk_tensor *y, const norm *n)
{
    dk_op_add(c, x, y);
    dk_op_layernorm(c, x, n->gamma, n->beta, NULL, NULL, m->cfg.eps, x);
}

static void layer(const dk_bert *m, dk_ctx *c, const bert_layer *l, const float *key_bias,
                  dk_tensor *x)
{
    dk_tensor q = dk_new(c, x->ndim, x->shape), k = dk_new(c, x->ndim, x->shape),
              v = dk_new(c, x->ndim, x->shape), y = dk_new(c, x->ndim, x->shape),
              wide = dk_new(c, DK_SHAPE(1, x->shape[1], m->cfg.intermediate));

    dk_op_linear(c, &l->q, x, &q, DK_ACT_NONE);
    dk_op_linear(c, &l->k, x, &k, DK_ACT_NONE);
    dk_op_linear(c, &l->v, x, &v, DK_ACT_NONE);
    dk_op_attention(c, &(dk_attn){.q = &q,
                                  .k = &k,
                                  .v = &v,
                                  .heads = m->cfg.heads,
                                  .scale = 1 / sqrtf((float)(m->cfg.hidden / m->cfg.heads)),
                                  .key_bias = key_bias,
                                  .out = &y});
    dk_op_linear(c, &l->o, &y, &q, DK_ACT_NONE);
    add_norm(m, c, x, &q, &l->attention_norm);
    dk_op_linear(c, &l->up, x, &wide, m->cfg.act);
    dk_op_linear(c, &l->down, &wide, &y, DK_ACT_NONE);
    add_norm(m, c, x, &y, &l->output_norm);
}

void dk_bert_encode(const dk_bert *m, dk_ctx *c, const int32_t *ids, const uint8_t *mask, int64_t n,
                    dk_tensor *out)
{
    if (!dk_encoder_check_ids(c, ids, n, m->cfg.vocab))
        return;
    if (n > m->cfg.positions) {
        dk_fail(&c->err, DK_EFORMAT, "text_encoder: %lld tokens, but only %d positions",
                (long long)n, m->cfg.positions);
        return;
    }
    dk_arena_mark start = dk_arena_save(c->arena);
    dk_tensor x = dk_reshape(out, DK_SHAPE(1, n, m->cfg.hidden));
    const float *key_bias = dk_encoder_key_bias(c, mask, n);

    embed(m, c, ids, n, out);
    dk_op_layernorm(c, &x, m->embedding_norm.gamma, m->embedding_norm.beta, NULL, NULL, m->cfg.eps,
                    &x);
    for (int i = 0; i < m->cfg.layers && dk_ctx_ok(c); i++) {
        dk_arena_mark mark = dk_arena_save(c->arena);
        layer(m, c, &m->layers[i], key_bias, &x);
        dk_arena_restore(c->arena, mark);
        dk_op_finite(c, &x, "text encoder block %d", i);
    }
    dk_arena_restore(c->arena, start);
}
