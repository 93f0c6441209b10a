/* PixArt-alpha and PixArt-Sigma (PixArtTransformer2DModel; Transformer2DModel with norm_type
 * ada_norm_single in the first releases). */
#ifndef DK_MODEL_PIXART_H
#define DK_MODEL_PIXART_H

#include "io/json.h"
#include "ops/params.h"

typedef struct dk_pixart_config {
    int heads, head_dim, layers;
    int dim; /* heads * head_dim */
    int in_channels, out_channels, patch, sample_size;
    int caption_channels, cross_dim;
    double interpolation_scale;
    bool micro; /* resolution and aspect-ratio conditions (1024 px alpha) */
    float eps;
} dk_pixart_config;

int dk_pixart_config_read(dk_pixart_config *c, dk_jnode cfg, dk_err *err);

typedef struct dk_pixart dk_pixart;
dk_pixart *dk_pixart_new(const dk_pixart_config *c, dk_params *p);
/* Weights with size embedders under a config without: DK_EFORMAT (the other way round, the embedders
 * are simply missing). */
int dk_pixart_check(const dk_pixart *m, dk_params *p, dk_err *err);
void dk_pixart_free(dk_pixart *m);

/* What the transformer keeps of one prompt for all its steps: cross-attention keys and values of
 * every block, for the real tokens only (masked positions weigh exp(-10000) = 0). */
typedef struct dk_pixart_text dk_pixart_text;
/* hidden [L, caption_channels], L >= 1 real tokens. Owns its memory. NULL and the context failed on
 * error. */
dk_pixart_text *dk_pixart_text_new(const dk_pixart *m, dk_ctx *c, const dk_tensor *hidden);
void dk_pixart_text_free(dk_pixart_text *t);

/* Called with the tokens after each block: x [R, N, dim]. */
typedef void dk_block_fn(void *user, int block, const dk_tensor *x);

typedef struct dk_pixart_in {
    const dk_tensor *latent;            /* [R, in_channels, h, w], h and w multiples of patch */
    double t;                           /* timestep, the same for all rows */
    const dk_pixart_text *const *text;  /* [R] */
    double height, width, aspect;       /* micro models: pixels of the (binned) size, h/w */
    dk_block_fn *block;                 /* or NULL */
    void *user;
} dk_pixart_in;

/* out [R, out_channels, h, w]. */
void dk_pixart_forward(const dk_pixart *m, dk_ctx *c, const dk_pixart_in *in, dk_tensor *out);

#endif
