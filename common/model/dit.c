/* DiT (Peebles and Xie 2022, "Scalable Diffusion Models with Transformers", section 3.2): a vision
 * transformer over latent patches whose norms are steered by timestep and class ("adaLN-Zero").
 *
 *     x = patches(latent) + sincos(position)
 *     per block i, with c = MLP_i(timestep) + table_i[class] and
 *                       (shift_a, scale_a, gate_a, shift_m, scale_m, gate_m) = W_i SiLU(c):
 *       x += gate_a * attention( LN(x) (1 + scale_a) + shift_a )
 *       x += gate_m * ff( LN(x) (1 + scale_m) + shift_m )
 *     (shift, scale) = W SiLU(c of block 0);  out = W' ( LN(x) (1 + scale) + shift ), unpatchified
 *
 * The published files hold the two embedders once per block, with equal contents; other files may
 * not, so each block reads its own. */
#include "model/dit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/config_internal.h"
#include "model/embed.h"

enum { FREQUENCIES = 256, CHUNKS = 6 };

/* Of the first norm of a block and of the last one of all, whatever the config says. */
static const float FIXED_EPS = 1e-6f;

typedef struct dit_block {
    dk_linear time_1, time_2;
    dk_tensor classes; /* [classes + 1, D] */
    dk_linear modulation;
    dk_linear q, k, v, o;
    dk_linear up, down;
} dit_block;

struct dk_dit {
    dk_dit_config cfg;
    dk_linear patch, out_modulation, out;
    dit_block *blocks;
};

/* ---- Configuration. */

const char *const dk_dit_config_keys[] = {"activation_fn",
                                          "attention_bias",
                                          "attention_head_dim",
                                          "dropout",
                                          "in_channels",
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
                                          NULL};

int dk_dit_config_read(dk_dit_config *c, dk_jnode cfg, dk_err *err)
{
    memset(c, 0, sizeof *c);
    if (dk_config_only_str(cfg, "activation_fn", "gelu-approximate", err) ||
        dk_config_only_str(cfg, "norm_type", "ada_norm_zero", err) ||
        dk_config_only_bool(cfg, "attention_bias", true, err) ||
        dk_config_only_bool(cfg, "norm_elementwise_affine", false, err) ||
        dk_config_width(cfg, &c->heads, &c->head_dim, &c->dim, err) ||
        dk_json_int(cfg, "num_layers", 28, 1, 1024, &c->layers, err) ||
        dk_json_int(cfg, "in_channels", 4, 1, 1024, &c->in_channels, err) ||
        dk_json_int(cfg, "out_channels", c->in_channels, c->in_channels, 2048, &c->out_channels,
                    err) ||
        dk_json_int(cfg, "patch_size", 2, 1, 64, &c->patch, err) ||
        dk_json_int(cfg, "sample_size", 32, 1, 4096, &c->sample_size, err) ||
        dk_json_int(cfg, "num_embeds_ada_norm", 1000, 1, 1 << 20, &c->classes, err) ||
        dk_config_eps(cfg, "norm_eps", 1e-5, &c->eps, err) ||
        dk_config_patches(cfg, c->sample_size, c->patch, err))
        return err->code;
    if (dk_json_is_null(dk_json_key(cfg, "num_embeds_ada_norm")))
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: num_embeds_ada_norm null (no classes) is not supported", cfg.doc);
    return 0;
}

/* ---- Parameters. */

static void register_block(dit_block *b, const dk_dit_config *c, int i, dk_params *p)
{
    int64_t d = c->dim;
    char at[64];

    snprintf(at, sizeof at, "transformer_blocks.%d", i);
    dk_params_linear(p, &b->time_1, d, FREQUENCIES, true, "%s.norm1.emb.timestep_embedder.linear_1",
                     at);
    dk_params_linear(p, &b->time_2, d, d, true, "%s.norm1.emb.timestep_embedder.linear_2", at);
    dk_params_table(p, &b->classes, (int64_t)c->classes + 1, d,
                    "%s.norm1.emb.class_embedder.embedding_table.weight", at);
    dk_params_linear(p, &b->modulation, CHUNKS * d, d, true, "%s.norm1.linear", at);
    dk_params_linear(p, &b->q, d, d, true, "%s.attn1.to_q", at);
    dk_params_linear(p, &b->k, d, d, true, "%s.attn1.to_k", at);
    dk_params_linear(p, &b->v, d, d, true, "%s.attn1.to_v", at);
    dk_params_linear(p, &b->o, d, d, true, "%s.attn1.to_out.0", at);
    dk_params_linear(p, &b->up, 4 * d, d, true, "%s.ff.net.0.proj", at);
    dk_params_linear(p, &b->down, d, 4 * d, true, "%s.ff.net.2", at);
}

dk_dit *dk_dit_new(const dk_dit_config *c, dk_params *p)
{
    dk_dit *m = dk_xcalloc(1, sizeof *m);
    int64_t d = c->dim;

    m->cfg = *c;
    m->blocks = dk_xcalloc((size_t)c->layers, sizeof *m->blocks);
    dk_params_patch(p, &m->patch, d, c->in_channels, c->patch, "pos_embed.proj");
    for (int i = 0; i < c->layers; i++)
        register_block(&m->blocks[i], c, i, p);
    dk_params_linear(p, &m->out_modulation, 2 * d, d, true, "proj_out_1");
    dk_params_linear(p, &m->out, (int64_t)c->patch * c->patch * c->out_channels, d, true,
                     "proj_out_2");
    /* A buffer that third-party files carry along. */
    dk_bind_ignore(dk_params_bind(p), "pos_embed.pos_embed");
    return m;
}

void dk_dit_free(dk_dit *m)
{
    if (!m)
        return;
    free(m->blocks);
    free(m);
}

/* ---- Forward. */

typedef struct call {
    const dk_dit *m;
    dk_ctx *c;
    double t;
    const int32_t *labels;
    int64_t rows;
} call;

/* out[k] [R, D], k < n: the n pieces of W SiLU(c), c = MLP(timestep) + table[class] of `b`.
 * Every row is an image of its own to the linear layers, so that it does not depend on the
 * others. */
static void modulation(const call *a, const dit_block *b, const dk_linear *w, int n, dk_tensor *out)
{
    dk_ctx *c = a->c;
    int64_t R = a->rows, d = a->m->cfg.dim;

    for (int k = 0; k < n; k++)
        out[k] = dk_new(c, DK_SHAPE(R, d));
    dk_arena_mark mark = dk_arena_save(c->arena);
    dk_tensor freq = dk_new(c, DK_SHAPE(1, FREQUENCIES)), mid = dk_new(c, DK_SHAPE(1, d)),
              time = dk_new(c, DK_SHAPE(1, d)), cond = dk_new(c, DK_SHAPE(R, d)),
              all = dk_new(c, DK_SHAPE(R, 1, n * d));
    if (!dk_ctx_ok(c))
        return;
    dk_timestep_embedding(a->t, FREQUENCIES, 1, dk_f32(&freq));
    dk_op_linear(c, &b->time_1, &freq, &mid, DK_ACT_SILU);
    dk_op_linear(c, &b->time_2, &mid, &time, DK_ACT_NONE);
    dk_op_embed(c, &b->classes, a->labels, &cond);
    dk_op_add(c, &cond, &time);
    dk_op_act(c, DK_ACT_SILU, &cond);
    dk_tensor images = dk_reshape(&cond, DK_SHAPE(R, 1, d));
    dk_op_linear(c, w, &images, &all, DK_ACT_NONE);
    for (int64_t r = 0; r < R; r++)
        for (int k = 0; k < n; k++)
            memcpy(dk_f32(&out[k]) + r * d, dk_f32(&all) + (r * n + k) * d,
                   (size_t)d * sizeof(float));
    dk_arena_restore(c->arena, mark);
}

static void attention(const call *a, const dit_block *b, const dk_tensor *n, dk_tensor *out)
{
    dk_ctx *c = a->c;
    dk_tensor q = dk_new(c, n->ndim, n->shape), k = dk_new(c, n->ndim, n->shape),
              v = dk_new(c, n->ndim, n->shape), y = dk_new(c, n->ndim, n->shape);

    dk_op_linear(c, &b->q, n, &q, DK_ACT_NONE);
    dk_op_linear(c, &b->k, n, &k, DK_ACT_NONE);
    dk_op_linear(c, &b->v, n, &v, DK_ACT_NONE);
    dk_op_attention(c, &(dk_attn){.q = &q,
                                  .k = &k,
                                  .v = &v,
                                  .heads = a->m->cfg.heads,
                                  .scale = 1 / sqrtf((float)a->m->cfg.head_dim),
                                  .out = &y});
    dk_op_linear(c, &b->o, &y, out, DK_ACT_NONE);
}

static void block(const call *a, int i, dk_tensor *x)
{
    const dit_block *b = &a->m->blocks[i];
    dk_ctx *c = a->c;
    dk_arena_mark mark = dk_arena_save(c->arena);
    dk_tensor n = dk_new(c, x->ndim, x->shape), y = dk_new(c, x->ndim, x->shape), mod[CHUNKS];

    modulation(a, b, &b->modulation, CHUNKS, mod);
    const dk_tensor *shift_a = &mod[0], *scale_a = &mod[1], *gate_a = &mod[2];
    const dk_tensor *shift_m = &mod[3], *scale_m = &mod[4], *gate_m = &mod[5];

    dk_arena_mark inner = dk_arena_save(c->arena);
    dk_op_layernorm(c, x, NULL, NULL, scale_a, shift_a, FIXED_EPS, &n);
    attention(a, b, &n, &y);
    dk_op_gated_add(c, x, gate_a, &y);
    dk_arena_restore(c->arena, inner);

    dk_tensor wide = dk_new(c, DK_SHAPE(x->shape[0], x->shape[1], 4 * (int64_t)a->m->cfg.dim));
    dk_op_layernorm(c, x, NULL, NULL, scale_m, shift_m, a->m->cfg.eps, &n);
    dk_op_linear(c, &b->up, &n, &wide, DK_ACT_GELU_TANH);
    dk_op_linear(c, &b->down, &wide, &y, DK_ACT_NONE);
    dk_op_gated_add(c, x, gate_m, &y);
    dk_arena_restore(c->arena, mark);
    dk_op_finite(c, x, "transformer block %d", i);
}

void dk_dit_forward(const dk_dit *m, dk_ctx *c, const dk_tensor *latent, double t,
                    const int32_t *labels, dk_block_fn *fn, void *user, dk_tensor *out)
{
    const dk_dit_config *cfg = &m->cfg;
    int64_t R = latent->shape[0], d = cfg->dim, p = cfg->patch;
    int64_t th = latent->shape[2] / p, tw = latent->shape[3] / p, N = th * tw;
    call a = {m, c, t, labels, R};
    dk_arena_mark mark = dk_arena_save(c->arena);
    dk_tensor patches = dk_new(c, DK_SHAPE(R, N, cfg->in_channels * p * p)),
              x = dk_new(c, DK_SHAPE(R, N, d)), pos = dk_new(c, DK_SHAPE(N, d)),
              y = dk_new(c, DK_SHAPE(R, N, p * p * cfg->out_channels)), mod[2];

    if (dk_ctx_ok(c))
        dk_sincos2d(th, tw, cfg->dim, (double)cfg->sample_size / cfg->patch, 1, dk_f32(&pos));
    dk_op_patchify(c, latent, cfg->patch, &patches);
    dk_op_linear(c, &m->patch, &patches, &x, DK_ACT_NONE);
    dk_op_add(c, &x, &pos);
    for (int i = 0; i < cfg->layers && dk_ctx_ok(c); i++) {
        block(&a, i, &x);
        if (fn && dk_ctx_ok(c))
            fn(user, i, &x);
    }
    modulation(&a, &m->blocks[0], &m->out_modulation, 2, mod);
    dk_op_layernorm(c, &x, NULL, NULL, &mod[1], &mod[0], FIXED_EPS, &x);
    dk_op_linear(c, &m->out, &x, &y, DK_ACT_NONE);
    dk_op_unpatchify(c, &y, cfg->patch, th, tw, out);
    dk_op_finite(c, out, "transformer output");
    dk_arena_restore(c->arena, mark);
}
