/* AutoencoderKL: the picture <-> latent autoencoder of Stable Diffusion, SDXL, PixArt, DiT. */
#ifndef DK_MODEL_VAE_H
#define DK_MODEL_VAE_H

#include "io/json.h"
#include "ops/params.h"

#define DK_VAE_MAX_LEVELS 8

typedef struct dk_vae_config {
    int levels, channels[DK_VAE_MAX_LEVELS]; /* block_out_channels */
    int layers_per_block, latent_channels, in_channels, out_channels, groups;
    bool quant_conv, post_quant_conv, mid_attention;
    double scaling_factor, shift_factor; /* shift 0 when null */
    int sample_size;
} dk_vae_config;

int dk_vae_config_read(dk_vae_config *c, dk_jnode cfg, dk_err *err);
int dk_vae_factor(const dk_vae_config *c); /* pixels per latent: 2^(levels - 1) */

enum { DK_VAE_DECODER = 1, DK_VAE_ENCODER = 2 };

typedef struct dk_vae dk_vae;
/* parts: which halves to register; the other half's tensors are known and left alone. */
dk_vae *dk_vae_new(const dk_vae_config *c, int parts, dk_params *p);
void dk_vae_free(dk_vae *m);
/* z [latent, h, w] (already divided by the scaling factor) -> image [out, h*f, w*f], not clamped. */
void dk_vae_decode(const dk_vae *m, dk_ctx *c, const dk_tensor *z, dk_tensor *image);
/* image [in, H, W] -> moments [2*latent, H/f, W/f]: mean, then log-variance (not clamped). */
void dk_vae_encode(const dk_vae *m, dk_ctx *c, const dk_tensor *image, dk_tensor *moments);

#endif
