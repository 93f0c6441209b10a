/* Class-conditional DiT (DiTTransformer2DModel; Transformer2DModel with norm_type ada_norm_zero). */
#ifndef DK_MODEL_DIT_H
#define DK_MODEL_DIT_H

#include "io/json.h"
#include "model/pixart.h" /* dk_block_fn */
#include "ops/params.h"

typedef struct dk_dit_config {
    int heads, head_dim, layers, dim;
    int in_channels, out_channels, patch, sample_size;
    int classes; /* num_embeds_ada_norm; row `classes` of the table is the unconditional one */
    float eps;   /* norm_eps, of the second norm of a block; the others use 1e-6 */
} dk_dit_config;

int dk_dit_config_read(dk_dit_config *c, dk_jnode cfg, dk_err *err);

typedef struct dk_dit dk_dit;
dk_dit *dk_dit_new(const dk_dit_config *c, dk_params *p);
void dk_dit_free(dk_dit *m);
/* latent [R, in, h, w], labels [R] in 0..classes; out [R, out, h, w]. */
void dk_dit_forward(const dk_dit *m, dk_ctx *c, const dk_tensor *latent, double t,
                    const int32_t *labels, dk_block_fn *block, void *user, dk_tensor *out);

#endif
