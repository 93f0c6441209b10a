/* PixArt-alpha (Chen et al. 2023) and PixArt-Sigma (Chen et al. 2024): a DiT with cross-attention
 * to the text and one modulation shared by all blocks ("adaLN-single", section 2.3 of the first
 * paper).
 *
 *     x  = patches(latent) + sincos(position)
 *     e  = MLP(timestep) [+ sizes]                 t6 = W SiLU(e), 6 rows of D
 *     per block, with m = table_i + t6 = (shift_a, scale_a, gate_a, shift_m, scale_m, gate_m):
 *       x += gate_a * attn1( LN(x) (1 + scale_a) + shift_a )
 *       x += attn2( x, text )                      query not normalised, no gate
 *       x += gate_m * ff( LN(x) (1 + scale_m) + shift_m )
 *     (shift, scale) = table + e;  out = W ( LN(x) (1 + scale) + shift ), unpatchified
 *
 * LN has no parameters. The text enters as y = W2 gelu(W1 hidden); its keys and values are the same
 * at every step and are computed once per prompt. */
#include "model/pixart.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/config_internal.h"
#include "model/embed.h"

enum { FREQUENCIES = 256 };

typedef struct pixart_block {
    float *table;             /* scale_shift_table [6, D] */
    dk_linear q, k, v, o;     /* attn1 */
    dk_linear q2, k2, v2, o2; /* attn2 */
    dk_linear up, down;       /* ff */
} pixart_block;

typedef struct mlp {
    dk_linear linear_1, linear_2;
} mlp;

struct dk_pixart {
    dk_pixart_config cfg;
    dk_linear patch, adaln, proj_out;
    mlp timestep, resolution, aspect, caption;
    pixart_block *blocks;
    float *table; /* [2, D] */
};

struct dk_pixart_text {
    int64_t tokens;
    int layers;
    float *data; /* per block keys [L, D], then values [L, D] */
};

/* ---- Configuration. */

const char *const dk_pixart_config_keys[] = {"activation_fn",
                                             "attention_bias",
                                             "attention_head_dim",
                                             "attention_type",
                                             "caption_channels",
                                             "cross_attention_dim",
                                             "dropout",
                                             "in_channels",
                                             "interpolation_scale",
                                             "norm_elementwise_affine",
                                             "norm_eps",
                                             "norm_num_groups",
                                             "norm_type",
                                             "num_attention_heads",
                                             "num_embeds_ada_norm",
                                             "num_layers",
                                             "out_channels",
                                             "patch_size",
                                             "sample_size",
                                             "upcast_attention",
                                             "use_additional_conditions",
                                             NULL};

/* The options of the published class that this file has only one answer to. */
static int check_fixed(dk_jnode cfg, dk_err *err)
{
    if (dk_config_only_str(cfg, "activation_fn", "gelu-approximate", err) ||
        dk_config_only_str(cfg, "norm_type", "ada_norm_single", err) ||
        dk_config_only_str(cfg, "attention_type", "default", err) ||
        dk_config_only_bool(cfg, "attention_bias", true, err) ||
        dk_config_only_bool(cfg, "norm_elementwise_affine", false, err))
        return err->code;
    return 0;
}

/* The caption projection ends at the width of the transformer, so that is what cross-attention
 * reads. */
static int check_text_width(const dk_pixart_config *c, dk_jnode cfg, dk_err *err)
{
    if (c->caption_channels == 0)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: caption_channels null (no caption projection) is not supported",
                       cfg.doc);
    if (c->cross_dim != c->dim)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: cross_attention_dim %d is not supported: it must be %d, "
                       "num_attention_heads x attention_head_dim",
                       cfg.doc, c->cross_dim, c->dim);
    return 0;
}

int dk_pixart_config_read(dk_pixart_config *c, dk_jnode cfg, dk_err *err)
{
    memset(c, 0, sizeof *c);
    if (check_fixed(cfg, err) || dk_config_width(cfg, &c->heads, &c->head_dim, &c->dim, err) ||
        dk_json_int(cfg, "num_layers", 28, 1, 1024, &c->layers, err) ||
        dk_json_int(cfg, "in_channels", 4, 1, 1024, &c->in_channels, err) ||
        dk_json_int(cfg, "patch_size", 2, 1, 64, &c->patch, err) ||
        dk_json_int(cfg, "sample_size", 128, 1, 4096, &c->sample_size, err) ||
        dk_json_int(cfg, "caption_channels", 0, 1, 65536, &c->caption_channels, err) ||
        dk_json_int(cfg, "cross_attention_dim", 1152, 1, 65536, &c->cross_dim, err) ||
        dk_config_eps(cfg, "norm_eps", 1e-6, &c->eps, err) ||
        dk_config_patches(cfg, c->sample_size, c->patch, err) || check_text_width(c, cfg, err))
        return err->code;
    /* Missing: 8. null: as many as go in. */
    int out = dk_json_key(cfg, "out_channels").v ? c->in_channels : 8;
    int by_size = c->sample_size / 64 > 1 ? c->sample_size / 64 : 1;
    if (dk_json_int(cfg, "out_channels", out, c->in_channels, 2048, &c->out_channels, err) ||
        dk_config_real(cfg, "interpolation_scale", by_size, 1e-3, 1e3, &c->interpolation_scale,
                       err) ||
        dk_json_bool(cfg, "use_additional_conditions", c->sample_size == 128, &c->micro, err))
        return err->code;
    if (c->micro && c->dim % 3)
        return dk_fail(err, DK_EFORMAT,
                       "%s: use_additional_conditions needs a width divisible by 3, found %d",
                       cfg.doc, c->dim);
    return 0;
}

/* ---- Parameters. */

static void register_mlp(mlp *m, int64_t out, int64_t mid, int64_t in, const char *name,
                         dk_params *p)
{
    dk_params_linear(p, &m->linear_1, mid, in, true, "%s.linear_1", name);
    dk_params_linear(p, &m->linear_2, out, mid, true, "%s.linear_2", name);
}

static void register_block(pixart_block *b, const dk_pixart_config *c, int i, dk_params *p)
{
    int64_t d = c->dim;
    char at[64];

    snprintf(at, sizeof at, "transformer_blocks.%d", i);
    dk_params_f32(p, &b->table, DK_SHAPE(6, d), "%s.scale_shift_table", at);
    dk_params_linear(p, &b->q, d, d, true, "%s.attn1.to_q", at);
    dk_params_linear(p, &b->k, d, d, true, "%s.attn1.to_k", at);
    dk_params_linear(p, &b->v, d, d, true, "%s.attn1.to_v", at);
    dk_params_linear(p, &b->o, d, d, true, "%s.attn1.to_out.0", at);
    dk_params_linear(p, &b->q2, d, d, true, "%s.attn2.to_q", at);
    dk_params_linear(p, &b->k2, d, c->cross_dim, true, "%s.attn2.to_k", at);
    dk_params_linear(p, &b->v2, d, c->cross_dim, true, "%s.attn2.to_v", at);
    dk_params_linear(p, &b->o2, d, d, true, "%s.attn2.to_out.0", at);
    dk_params_linear(p, &b->up, 4 * d, d, true, "%s.ff.net.0.proj", at);
    dk_params_linear(p, &b->down, d, 4 * d, true, "%s.ff.net.2", at);
}

dk_pixart *dk_pixart_new(const dk_pixart_config *c, dk_params *p)
{
    dk_pixart *m = dk_xcalloc(1, sizeof *m);
    dk_bind *bind = dk_params_bind(p);
    int64_t d = c->dim;

    m->cfg = *c;
    m->blocks = dk_xcalloc((size_t)c->layers, sizeof *m->blocks);
    dk_params_patch(p, &m->patch, d, c->in_channels, c->patch, "pos_embed.proj");
    register_mlp(&m->timestep, d, d, FREQUENCIES, "adaln_single.emb.timestep_embedder", p);
    if (c->micro) {
        register_mlp(&m->resolution, d / 3, d / 3, FREQUENCIES,
                     "adaln_single.emb.resolution_embedder", p);
        register_mlp(&m->aspect, d / 3, d / 3, FREQUENCIES,
                     "adaln_single.emb.aspect_ratio_embedder", p);
    }
    dk_params_linear(p, &m->adaln, 6 * d, d, true, "adaln_single.linear");
    register_mlp(&m->caption, d, d, c->caption_channels, "caption_projection", p);
    for (int i = 0; i < c->layers; i++)
        register_block(&m->blocks[i], c, i, p);
    dk_params_f32(p, &m->table, DK_SHAPE(2, d), "scale_shift_table");
    dk_params_linear(p, &m->proj_out, (int64_t)c->patch * c->patch * c->out_channels, d, true,
                     "proj_out");
    /* Buffers that third-party files carry along. */
    dk_bind_ignore(bind, "pos_embed.pos_embed");
    dk_bind_ignore(bind, "caption_projection.y_embedding");
    return m;
}

int dk_pixart_check(const dk_pixart *m, dk_params *p, dk_err *err)
{
    bool has =
        dk_bind_has(dk_params_bind(p), "adaln_single.emb.resolution_embedder.linear_1.weight");

    if (has && !m->cfg.micro)
        return dk_fail(err, DK_EFORMAT,
                       "transformer: the weights have resolution_embedder tensors, but config.json "
                       "says no use_additional_conditions (null: only for sample_size 128)");
    return 0;
}

void dk_pixart_free(dk_pixart *m)
{
    if (!m)
        return;
    free(m->blocks);
    free(m);
}

/* ---- Text. */

dk_pixart_text *dk_pixart_text_new(const dk_pixart *m, dk_ctx *c, const dk_tensor *hidden)
{
    int64_t L = hidden->shape[0], d = m->cfg.dim;
    dk_arena_mark mark = dk_arena_save(c->arena);
    dk_pixart_text *t = dk_xcalloc(1, sizeof *t);
    size_t bytes;

    t->tokens = L;
    t->layers = m->cfg.layers;
    if (!dk_mul((size_t)(2 * m->cfg.layers * d) * sizeof(float), (size_t)L, &bytes) ||
        !(t->data = dk_alloc(bytes, "keys and values of a prompt", &c->err))) {
        dk_fail(&c->err, DK_ENOMEM, "keys and values of a prompt: too large");
        dk_pixart_text_free(t);
        return NULL;
    }
    dk_tensor mid = dk_new(c, DK_SHAPE(L, d)), y = dk_new(c, DK_SHAPE(L, d));
    dk_op_linear(c, &m->caption.linear_1, hidden, &mid, DK_ACT_GELU_TANH);
    dk_op_linear(c, &m->caption.linear_2, &mid, &y, DK_ACT_NONE);
    for (int i = 0; i < m->cfg.layers; i++) {
        float *at = t->data + 2 * i * L * d;
        dk_tensor k = dk_view(at, DK_F32, DK_SHAPE(L, d));
        dk_tensor v = dk_view(at + L * d, DK_F32, DK_SHAPE(L, d));
        dk_op_linear(c, &m->blocks[i].k2, &y, &k, DK_ACT_NONE);
        dk_op_linear(c, &m->blocks[i].v2, &y, &v, DK_ACT_NONE);
    }
    dk_arena_restore(c->arena, mark);
    if (!dk_ctx_ok(c)) {
        dk_pixart_text_free(t);
        return NULL;
    }
    return t;
}

void dk_pixart_text_free(dk_pixart_text *t)
{
    if (!t)
        return;
    dk_free_aligned(t->data);
    free(t);
}

/* ---- Forward. */

/* W2 SiLU(W1 sinusoid(v)) into out [1, width]. */
static void embed_number(dk_ctx *c, const mlp *m, double v, dk_tensor *out)
{
    dk_tensor s = dk_new(c, DK_SHAPE(1, FREQUENCIES)),
              mid = dk_new(c, DK_SHAPE(1, m->linear_1.out));

    if (!dk_ctx_ok(c))
        return;
    dk_timestep_embedding(v, FREQUENCIES, 0, dk_f32(&s));
    dk_op_linear(c, &m->linear_1, &s, &mid, DK_ACT_SILU);
    dk_op_linear(c, &m->linear_2, &mid, out, DK_ACT_NONE);
}

/* e [1, D]: the timestep, plus (height, width, aspect ratio), a third of D each, for micro models.
 */
static void condition(const dk_pixart *m, dk_ctx *c, const dk_pixart_in *in, dk_tensor *e)
{
    int64_t third = m->cfg.dim / 3;

    embed_number(c, &m->timestep, in->t, e);
    if (!m->cfg.micro)
        return;
    dk_tensor sizes = dk_new(c, DK_SHAPE(1, m->cfg.dim));
    if (!dk_ctx_ok(c))
        return;
    dk_tensor h = dk_view(dk_f32(&sizes), DK_F32, DK_SHAPE(1, third));
    dk_tensor w = dk_view(dk_f32(&sizes) + third, DK_F32, DK_SHAPE(1, third));
    dk_tensor a = dk_view(dk_f32(&sizes) + 2 * third, DK_F32, DK_SHAPE(1, third));
    embed_number(c, &m->resolution, in->height, &h);
    embed_number(c, &m->resolution, in->width, &w);
    embed_number(c, &m->aspect, in->aspect, &a);
    dk_op_add(c, e, &sizes);
}

static void self_attention(const dk_pixart *m, dk_ctx *c, const pixart_block *b, const dk_tensor *n,
                           dk_tensor *out)
{
    dk_tensor q = dk_new(c, n->ndim, n->shape), k = dk_new(c, n->ndim, n->shape),
              v = dk_new(c, n->ndim, n->shape), y = dk_new(c, n->ndim, n->shape);

    dk_op_linear(c, &b->q, n, &q, DK_ACT_NONE);
    dk_op_linear(c, &b->k, n, &k, DK_ACT_NONE);
    dk_op_linear(c, &b->v, n, &v, DK_ACT_NONE);
    dk_op_attention(c, &(dk_attn){.q = &q,
                                  .k = &k,
                                  .v = &v,
                                  .heads = m->cfg.heads,
                                  .scale = 1 / sqrtf((float)m->cfg.head_dim),
                                  .out = &y});
    dk_op_linear(c, &b->o, &y, out, DK_ACT_NONE);
}

/* Rows with the same text, as under guidance, share one call. */
static void cross_attention(const dk_pixart *m, dk_ctx *c, int i, const dk_pixart_in *in,
                            const dk_tensor *x, dk_tensor *out)
{
    const pixart_block *b = &m->blocks[i];
    int64_t R = x->shape[0], d = m->cfg.dim;
    dk_tensor q = dk_new(c, x->ndim, x->shape), y = dk_new(c, x->ndim, x->shape);

    dk_op_linear(c, &b->q2, x, &q, DK_ACT_NONE);
    for (int64_t r = 0, n; dk_ctx_ok(c) && r < R; r += n) {
        const dk_pixart_text *t = in->text[r];
        n = 1;
        while (r + n < R && in->text[r + n] == t)
            n++;
        float *at = t->data + 2 * i * t->tokens * d;
        dk_tensor k = dk_view(at, DK_F32, DK_SHAPE(1, t->tokens, d));
        dk_tensor v = dk_view(at + t->tokens * d, DK_F32, DK_SHAPE(1, t->tokens, d));
        dk_tensor qr = dk_rows(&q, r, n), yr = dk_rows(&y, r, n);
        dk_op_attention(c, &(dk_attn){.q = &qr,
                                      .k = &k,
                                      .v = &v,
                                      .heads = m->cfg.heads,
                                      .scale = 1 / sqrtf((float)m->cfg.head_dim),
                                      .out = &yr});
    }
    dk_op_linear(c, &b->o2, &y, out, DK_ACT_NONE);
}

static void block(const dk_pixart *m, dk_ctx *c, int i, const dk_pixart_in *in, const dk_tensor *t6,
                  dk_tensor *x)
{
    const pixart_block *b = &m->blocks[i];
    int64_t d = m->cfg.dim;
    dk_arena_mark mark = dk_arena_save(c->arena);
    dk_tensor mod = dk_new(c, DK_SHAPE(6, d)), n = dk_new(c, x->ndim, x->shape),
              y = dk_new(c, x->ndim, x->shape);

    if (!dk_ctx_ok(c))
        return;
    for (int64_t k = 0; k < 6 * d; k++)
        dk_f32(&mod)[k] = b->table[k] + dk_f32(t6)[k];
    dk_tensor shift_a = dk_slice(&mod, 0), scale_a = dk_slice(&mod, 1), gate_a = dk_slice(&mod, 2),
              shift_m = dk_slice(&mod, 3), scale_m = dk_slice(&mod, 4), gate_m = dk_slice(&mod, 5);

    dk_arena_mark inner = dk_arena_save(c->arena);
    dk_op_layernorm(c, x, NULL, NULL, &scale_a, &shift_a, m->cfg.eps, &n);
    self_attention(m, c, b, &n, &y);
    dk_op_gated_add(c, x, &gate_a, &y);
    dk_arena_restore(c->arena, inner);

    cross_attention(m, c, i, in, x, &y);
    dk_op_add(c, x, &y);
    dk_arena_restore(c->arena, inner);

    dk_tensor wide = dk_new(c, DK_SHAPE(x->shape[0], x->shape[1], 4 * d));
    dk_op_layernorm(c, x, NULL, NULL, &scale_m, &shift_m, m->cfg.eps, &n);
    dk_op_linear(c, &b->up, &n, &wide, DK_ACT_GELU_TANH);
    dk_op_linear(c, &b->down, &wide, &y, DK_ACT_NONE);
    dk_op_gated_add(c, x, &gate_m, &y);
    dk_arena_restore(c->arena, mark);
    dk_op_finite(c, x, "transformer block %d", i);
    if (in->block && dk_ctx_ok(c))
        in->block(in->user, i, x);
}

void dk_pixart_forward(const dk_pixart *m, dk_ctx *c, const dk_pixart_in *in, dk_tensor *out)
{
    const dk_pixart_config *cfg = &m->cfg;
    int64_t R = in->latent->shape[0], d = cfg->dim, p = cfg->patch;
    int64_t th = in->latent->shape[2] / p, tw = in->latent->shape[3] / p, N = th * tw;
    dk_arena_mark mark = dk_arena_save(c->arena);
    dk_tensor patches = dk_new(c, DK_SHAPE(R, N, cfg->in_channels * p * p)),
              x = dk_new(c, DK_SHAPE(R, N, d)), pos = dk_new(c, DK_SHAPE(N, d)),
              e = dk_new(c, DK_SHAPE(1, d)), silu = dk_new(c, DK_SHAPE(1, d)),
              t6 = dk_new(c, DK_SHAPE(1, 6 * d)), mod = dk_new(c, DK_SHAPE(2, d)),
              y = dk_new(c, DK_SHAPE(R, N, p * p * cfg->out_channels));

    if (dk_ctx_ok(c)) {
        dk_sincos2d(th, tw, cfg->dim, (double)cfg->sample_size / cfg->patch,
                    cfg->interpolation_scale, dk_f32(&pos));
        dk_op_patchify(c, in->latent, cfg->patch, &patches);
        dk_op_linear(c, &m->patch, &patches, &x, DK_ACT_NONE);
        dk_op_add(c, &x, &pos);
        condition(m, c, in, &e);
    }
    if (dk_ctx_ok(c)) {
        memcpy(silu.data, e.data, (size_t)d * sizeof(float));
        dk_op_act(c, DK_ACT_SILU, &silu);
        dk_op_linear(c, &m->adaln, &silu, &t6, DK_ACT_NONE);
    }
    for (int i = 0; i < cfg->layers && dk_ctx_ok(c); i++)
        block(m, c, i, in, &t6, &x);
    if (dk_ctx_ok(c)) {
        for (int64_t k = 0; k < 2 * d; k++)
            dk_f32(&mod)[k] = m->table[k] + dk_f32(&e)[k % d];
        dk_tensor shift = dk_slice(&mod, 0), scale = dk_slice(&mod, 1);
        dk_op_layernorm(c, &x, NULL, NULL, &scale, &shift, 1e-6f, &x);
        dk_op_linear(c, &m->proj_out, &x, &y, DK_ACT_NONE);
        dk_op_unpatchify(c, &y, cfg->patch, th, tw, out);
        dk_op_finite(c, out, "transformer output");
    }
    dk_arena_restore(c->arena, mark);
}
