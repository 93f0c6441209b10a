/* AutoencoderKL, the convolutional autoencoder of latent diffusion (Rombach et al. 2021,
 * "High-Resolution Image Synthesis with Latent Diffusion Models", section 3.1 and appendix G),
 * as Stable Diffusion, SDXL, PixArt and DiT use it.
 *
 *     R(x) = shortcut(x) + conv2 silu norm2 conv1 silu norm1 x    shortcut: 1x1 or identity
 *     A(x) = x + Wo softmax(q k^T / sqrt(C)) v    of norm(x), all pixels, one head
 *     mid  = R A R
 *     decoder: post_quant, conv_in, mid, levels, norm silu conv_out
 *              level: (R)^(n+1), then nearest x2 and a convolution, but for the last
 *     encoder: conv_in, levels, mid, norm silu conv_out, quant
 *              level: (R)^n, then a convolution of stride 2, but for the last
 *
 * norm is GroupNorm with eps 1e-6. Inside, pictures are channels-last, one at a time. They do not
 * die in the order of a stack and one can be 1 GiB (256 channels at 1024 x 1024), so each is
 * allocated by itself and freed as soon as it has been read: about three of the widest are alive
 * at once. */
#include "model/vae.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/config_internal.h"

static const float EPS = 1e-6f;

typedef struct norm {
    float *gamma, *beta;
} norm;

typedef struct resnet {
    norm norm1, norm2;
    dk_conv conv1, conv2, shortcut;
    bool has_shortcut;
} resnet;

typedef struct level {
    resnet *resnets;
    int n;
    bool resamples;
    dk_conv resample; /* behind the upsampling, or the downsampling itself */
} level;

/* Encoder or decoder. */
typedef struct half {
    dk_conv conv_in, conv_out, quant;
    level levels[DK_VAE_MAX_LEVELS];
    resnet mid[2];
    norm attention_norm, out_norm;
    dk_linear q, k, v, o;
} half;

struct dk_vae {
    dk_vae_config cfg;
    half encoder, decoder;
};

/* ---- Configuration. */

const char *const dk_vae_config_keys[] = {"act_fn",
                                          "block_out_channels",
                                          "down_block_types",
                                          "force_upcast",
                                          "in_channels",
                                          "latent_channels",
                                          "latents_mean",
                                          "latents_std",
                                          "layers_per_block",
                                          "mid_block_add_attention",
                                          "norm_num_groups",
                                          "out_channels",
                                          "sample_size",
                                          "scaling_factor",
                                          "shift_factor",
                                          "up_block_types",
                                          "use_post_quant_conv",
                                          "use_quant_conv",
                                          NULL};

static int read_channels(dk_vae_config *c, dk_jnode cfg, dk_err *err)
{
    dk_jnode list = dk_json_key(cfg, "block_out_channels");
    size_t n = json_array_size(list.v);

    c->levels = 1;
    c->channels[0] = 64;
    if (!list.v || dk_json_is_null(list))
        return 0;
    if (!json_is_array(list.v) || n < 1 || n > DK_VAE_MAX_LEVELS)
        return dk_json_expected(list, "an array of 1 to 8 integers", err);
    c->levels = (int)n;
    for (size_t i = 0; i < n; i++) {
        dk_jnode item = dk_json_item(list, i);
        json_int_t v = json_integer_value(item.v);
        if (!json_is_integer(item.v) || v < 1 || v > 65536)
            return dk_json_expected(item, "an integer in [1, 65536]", err);
        c->channels[i] = (int)v;
    }
    return 0;
}

/* One block type for each level, all of the one supported kind. */
static int check_types(const dk_vae_config *c, dk_jnode cfg, const char *key, const char *kind,
                       dk_err *err)
{
    dk_jnode list = dk_json_key(cfg, key);
    char what[64];

    if (!list.v || dk_json_is_null(list))
        return 0;
    if (!json_is_array(list.v) || json_array_size(list.v) != (size_t)c->levels) {
        snprintf(what, sizeof what, "an array of %d (one for each of block_out_channels)",
                 c->levels);
        return dk_json_expected(list, what, err);
    }
    for (size_t i = 0; i < (size_t)c->levels; i++) {
        dk_jnode item = dk_json_item(list, i);
        const char *found = json_string_value(item.v);
        if (!found)
            return dk_json_expected(item, "a string", err);
        if (strcmp(found, kind) != 0)
            return dk_fail(err, DK_EUNSUPPORTED, "%s: %s: \"%.60s\" is not supported (only \"%s\")",
                           cfg.doc, item.at, found, kind);
    }
    return 0;
}

static int check_groups(const dk_vae_config *c, dk_jnode cfg, dk_err *err)
{
    for (int i = 0; i < c->levels; i++)
        if (c->channels[i] % c->groups)
            return dk_fail(err, DK_EFORMAT,
                           "%s: block_out_channels[%d]: expected a multiple of norm_num_groups %d, "
                           "found %d",
                           cfg.doc, i, c->groups, c->channels[i]);
    return 0;
}

int dk_vae_config_read(dk_vae_config *c, dk_jnode cfg, dk_err *err)
{
    memset(c, 0, sizeof *c);
    if (read_channels(c, cfg, err) ||
        check_types(c, cfg, "down_block_types", "DownEncoderBlock2D", err) ||
        check_types(c, cfg, "up_block_types", "UpDecoderBlock2D", err) ||
        dk_config_only_str(cfg, "act_fn", "silu", err) ||
        dk_config_only_null(cfg, "latents_mean", err) ||
        dk_config_only_null(cfg, "latents_std", err) ||
        dk_json_int(cfg, "layers_per_block", 1, 1, 64, &c->layers_per_block, err) ||
        dk_json_int(cfg, "latent_channels", 4, 1, 1024, &c->latent_channels, err) ||
        dk_json_int(cfg, "in_channels", 3, 1, 1024, &c->in_channels, err) ||
        dk_json_int(cfg, "out_channels", 3, 1, 1024, &c->out_channels, err) ||
        dk_json_int(cfg, "norm_num_groups", 32, 1, 65536, &c->groups, err) ||
        dk_json_int(cfg, "sample_size", 32, 1, 65536, &c->sample_size, err) ||
        dk_json_bool(cfg, "use_quant_conv", true, &c->quant_conv, err) ||
        dk_json_bool(cfg, "use_post_quant_conv", true, &c->post_quant_conv, err) ||
        dk_json_bool(cfg, "mid_block_add_attention", true, &c->mid_attention, err) ||
        dk_config_real(cfg, "scaling_factor", 0.18215, 1e-6, 1e6, &c->scaling_factor, err) ||
        dk_config_real(cfg, "shift_factor", 0, -1e6, 1e6, &c->shift_factor, err))
        return err->code;
    return check_groups(c, cfg, err);
}

int dk_vae_factor(const dk_vae_config *c)
{
    return 1 << (c->levels - 1);
}

/* ---- Parameters. */

static void register_norm(norm *n, int channels, dk_params *p, const char *at, const char *name)
{
    dk_params_f32(p, &n->gamma, DK_SHAPE(channels), "%s.%s.weight", at, name);
    dk_params_f32(p, &n->beta, DK_SHAPE(channels), "%s.%s.bias", at, name);
}

static void register_resnet(resnet *r, int in, int out, dk_params *p, const char *at)
{
    register_norm(&r->norm1, in, p, at, "norm1");
    dk_params_conv(p, &r->conv1, out, in, 3, 1, 1, 1, "%s.conv1", at);
    register_norm(&r->norm2, out, p, at, "norm2");
    dk_params_conv(p, &r->conv2, out, out, 3, 1, 1, 1, "%s.conv2", at);
    r->has_shortcut = in != out;
    if (r->has_shortcut)
        dk_params_conv(p, &r->shortcut, out, in, 1, 1, 0, 0, "%s.conv_shortcut", at);
}

/* Files from before 2023 (sd-vae-ft-ema among them) have other names, and weights that may be
 * 1x1 convolutions. */
static void register_attention(half *h, int channels, dk_params *p, const char *at)
{
    bool old = dk_bind_has(dk_params_bind(p), "%s.query.weight", at);
    int64_t n = channels;

    register_norm(&h->attention_norm, channels, p, at, "group_norm");
    dk_params_linear(p, &h->q, n, n, true, "%s.%s", at, old ? "query" : "to_q");
    dk_params_linear(p, &h->k, n, n, true, "%s.%s", at, old ? "key" : "to_k");
    dk_params_linear(p, &h->v, n, n, true, "%s.%s", at, old ? "value" : "to_v");
    dk_params_linear(p, &h->o, n, n, true, "%s.%s", at, old ? "proj_attn" : "to_out.0");
}

static void register_mid(half *h, const dk_vae_config *c, dk_params *p, const char *name)
{
    int top = c->channels[c->levels - 1];
    char at[64];

    for (int i = 0; i < 2; i++) {
        snprintf(at, sizeof at, "%s.mid_block.resnets.%d", name, i);
        register_resnet(&h->mid[i], top, top, p, at);
    }
    snprintf(at, sizeof at, "%s.mid_block.attentions.0", name);
    if (c->mid_attention)
        register_attention(h, top, p, at);
}

static void register_level(level *l, int n, int in, int out, dk_params *p, const char *at)
{
    char name[96];

    l->n = n;
    l->resnets = dk_xcalloc((size_t)n, sizeof *l->resnets);
    for (int r = 0; r < n; r++) {
        snprintf(name, sizeof name, "%s.resnets.%d", at, r);
        register_resnet(&l->resnets[r], r == 0 ? in : out, out, p, name);
    }
}

static void register_encoder(half *h, const dk_vae_config *c, dk_params *p)
{
    int z2 = 2 * c->latent_channels, top = c->channels[c->levels - 1], in = c->channels[0];

    dk_params_conv(p, &h->conv_in, in, c->in_channels, 3, 1, 1, 1, "encoder.conv_in");
    for (int k = 0; k < c->levels; k++) {
        level *l = &h->levels[k];
        int out = c->channels[k];
        char at[64];
        snprintf(at, sizeof at, "encoder.down_blocks.%d", k);
        register_level(l, c->layers_per_block, in, out, p, at);
        l->resamples = k + 1 < c->levels;
        if (l->resamples) /* zeros only below and to the right */
            dk_params_conv(p, &l->resample, out, out, 3, 2, 0, 1, "%s.downsamplers.0.conv", at);
        in = out;
    }
    register_mid(h, c, p, "encoder");
    register_norm(&h->out_norm, top, p, "encoder", "conv_norm_out");
    dk_params_conv(p, &h->conv_out, z2, top, 3, 1, 1, 1, "encoder.conv_out");
    if (c->quant_conv)
        dk_params_conv(p, &h->quant, z2, z2, 1, 1, 0, 0, "quant_conv");
}

static void register_decoder(half *h, const dk_vae_config *c, dk_params *p)
{
    int z = c->latent_channels, in = c->channels[c->levels - 1];

    if (c->post_quant_conv)
        dk_params_conv(p, &h->quant, z, z, 1, 1, 0, 0, "post_quant_conv");
    dk_params_conv(p, &h->conv_in, in, z, 3, 1, 1, 1, "decoder.conv_in");
    register_mid(h, c, p, "decoder");
    for (int k = 0; k < c->levels; k++) {
        level *l = &h->levels[k];
        int out = c->channels[c->levels - 1 - k];
        char at[64];
        snprintf(at, sizeof at, "decoder.up_blocks.%d", k);
        register_level(l, c->layers_per_block + 1, in, out, p, at);
        l->resamples = k + 1 < c->levels;
        if (l->resamples)
            dk_params_conv(p, &l->resample, out, out, 3, 1, 1, 1, "%s.upsamplers.0.conv", at);
        in = out;
    }
    register_norm(&h->out_norm, c->channels[0], p, "decoder", "conv_norm_out");
    dk_params_conv(p, &h->conv_out, c->out_channels, c->channels[0], 3, 1, 1, 1,
                   "decoder.conv_out");
}

dk_vae *dk_vae_new(const dk_vae_config *c, int parts, dk_params *p)
{
    dk_vae *m = dk_xcalloc(1, sizeof *m);
    dk_bind *bind = dk_params_bind(p);

    m->cfg = *c;
    if (parts & DK_VAE_ENCODER) {
        register_encoder(&m->encoder, c, p);
    } else {
        dk_bind_ignore(bind, "encoder.");
        dk_bind_ignore(bind, "quant_conv.");
    }
    if (parts & DK_VAE_DECODER) {
        register_decoder(&m->decoder, c, p);
    } else {
        dk_bind_ignore(bind, "decoder.");
        dk_bind_ignore(bind, "post_quant_conv.");
    }
    return m;
}

void dk_vae_free(dk_vae *m)
{
    if (!m)
        return;
    for (int k = 0; k < DK_VAE_MAX_LEVELS; k++) {
        free(m->encoder.levels[k].resnets);
        free(m->decoder.levels[k].resnets);
    }
    free(m);
}

/* ---- Pictures. */

static dk_tensor picture(dk_ctx *c, int64_t h, int64_t w, int64_t channels)
{
    dk_tensor t = dk_view(NULL, DK_F32, DK_SHAPE(h, w, channels));
    size_t bytes;

    if (!dk_ctx_ok(c))
        return t;
    if (!dk_mul((size_t)h, (size_t)w, &bytes) || !dk_mul(bytes, (size_t)channels, &bytes) ||
        !dk_mul(bytes, sizeof(float), &bytes))
        dk_fail(&c->err, DK_ENOMEM, "vae: a picture of %lld x %lld x %lld is too large",
                (long long)w, (long long)h, (long long)channels);
    else
        t.data = dk_alloc(bytes, "a picture inside the vae", &c->err);
    return t;
}

static void drop(dk_tensor *x)
{
    dk_free_aligned(x->data);
    x->data = NULL;
}

static void replace(dk_tensor *x, dk_tensor by)
{
    drop(x);
    *x = by;
}

/* ---- Layers; each replaces *x by its result. */

/* h, w: the size of the result. */
static void convolve(dk_ctx *c, const dk_conv *v, int64_t h, int64_t w, dk_tensor *x)
{
    dk_tensor y = picture(c, h, w, v->cout);

    dk_op_conv2d(c, v, x, &y);
    replace(x, y);
}

static void run_resnet(const dk_vae *m, dk_ctx *c, const resnet *r, dk_tensor *x)
{
    int64_t h = x->shape[0], w = x->shape[1];
    dk_tensor a = picture(c, h, w, r->conv1.cin), b = picture(c, h, w, r->conv1.cout);

    dk_op_groupnorm(c, x, m->cfg.groups, r->norm1.gamma, r->norm1.beta, EPS, DK_ACT_SILU, &a);
    dk_op_conv2d(c, &r->conv1, &a, &b);
    dk_op_groupnorm(c, &b, m->cfg.groups, r->norm2.gamma, r->norm2.beta, EPS, DK_ACT_SILU, &b);
    if (r->has_shortcut) {
        drop(&a);
        a = picture(c, h, w, r->conv1.cout);
    }
    dk_op_conv2d(c, &r->conv2, &b, &a);
    if (r->has_shortcut) {
        dk_op_conv2d(c, &r->shortcut, x, &b);
        replace(x, b);
    } else {
        drop(&b);
    }
    dk_op_add(c, x, &a);
    drop(&a);
}

static void attend(const dk_vae *m, dk_ctx *c, const half *p, dk_tensor *x)
{
    int64_t h = x->shape[0], w = x->shape[1], n = x->shape[2];
    dk_tensor g = picture(c, h, w, n), q = picture(c, h, w, n), k = picture(c, h, w, n),
              v = picture(c, h, w, n);
    dk_tensor gt = dk_reshape(&g, DK_SHAPE(1, h * w, n)),
              qt = dk_reshape(&q, DK_SHAPE(1, h * w, n)),
              kt = dk_reshape(&k, DK_SHAPE(1, h * w, n)),
              vt = dk_reshape(&v, DK_SHAPE(1, h * w, n));

    dk_op_groupnorm(c, x, m->cfg.groups, p->attention_norm.gamma, p->attention_norm.beta, EPS,
                    DK_ACT_NONE, &g);
    dk_op_linear(c, &p->q, &gt, &qt, DK_ACT_NONE);
    dk_op_linear(c, &p->k, &gt, &kt, DK_ACT_NONE);
    dk_op_linear(c, &p->v, &gt, &vt, DK_ACT_NONE);
    dk_op_attention(
        c, &(dk_attn){
               .q = &qt, .k = &kt, .v = &vt, .heads = 1, .scale = 1 / sqrtf((float)n), .out = &gt});
    dk_op_linear(c, &p->o, &gt, &qt, DK_ACT_NONE);
    dk_op_add(c, x, &q);
    drop(&g);
    drop(&q);
    drop(&k);
    drop(&v);
}

static void run_mid(const dk_vae *m, dk_ctx *c, const half *p, const char *name, dk_tensor *x)
{
    run_resnet(m, c, &p->mid[0], x);
    if (m->cfg.mid_attention)
        attend(m, c, p, x);
    run_resnet(m, c, &p->mid[1], x);
    dk_op_finite(c, x, "vae %s mid block", name);
}

static void finish(const dk_vae *m, dk_ctx *c, const half *p, dk_tensor *x)
{
    dk_op_groupnorm(c, x, m->cfg.groups, p->out_norm.gamma, p->out_norm.beta, EPS, DK_ACT_SILU, x);
    convolve(c, &p->conv_out, x->shape[0], x->shape[1], x);
}

/* [C, H, W] to a picture of our own. */
static dk_tensor enter(dk_ctx *c, const dk_tensor *chw)
{
    dk_tensor x = picture(c, chw->shape[1], chw->shape[2], chw->shape[0]);

    dk_op_to_hwc(c, chw, &x);
    return x;
}

void dk_vae_decode(const dk_vae *m, dk_ctx *c, const dk_tensor *z, dk_tensor *image)
{
    const half *d = &m->decoder;
    dk_tensor x = enter(c, z);

    if (m->cfg.post_quant_conv)
        convolve(c, &d->quant, x.shape[0], x.shape[1], &x);
    convolve(c, &d->conv_in, x.shape[0], x.shape[1], &x);
    run_mid(m, c, d, "decoder", &x);
    for (int k = 0; k < m->cfg.levels && dk_ctx_ok(c); k++) {
        const level *l = &d->levels[k];
        for (int r = 0; r < l->n; r++)
            run_resnet(m, c, &l->resnets[r], &x);
        if (l->resamples) {
            dk_tensor y = picture(c, 2 * x.shape[0], 2 * x.shape[1], x.shape[2]);
            dk_op_upsample2(c, &x, &y);
            replace(&x, y);
            convolve(c, &l->resample, x.shape[0], x.shape[1], &x);
        }
        dk_op_finite(c, &x, "vae decoder up block %d", k);
    }
    finish(m, c, d, &x);
    dk_op_to_chw(c, &x, image);
    drop(&x);
}

void dk_vae_encode(const dk_vae *m, dk_ctx *c, const dk_tensor *image, dk_tensor *moments)
{
    const half *e = &m->encoder;
    dk_tensor x = enter(c, image);

    convolve(c, &e->conv_in, x.shape[0], x.shape[1], &x);
    for (int k = 0; k < m->cfg.levels && dk_ctx_ok(c); k++) {
        const level *l = &e->levels[k];
        for (int r = 0; r < l->n; r++)
            run_resnet(m, c, &l->resnets[r], &x);
        if (l->resamples)
            convolve(c, &l->resample, x.shape[0] / 2, x.shape[1] / 2, &x);
        dk_op_finite(c, &x, "vae encoder down block %d", k);
    }
    run_mid(m, c, e, "encoder", &x);
    finish(m, c, e, &x);
    if (m->cfg.quant_conv)
        convolve(c, &e->quant, x.shape[0], x.shape[1], &x);
    dk_op_to_chw(c, &x, moments);
    drop(&x);
}
