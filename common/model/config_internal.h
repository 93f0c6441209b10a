/* What the readers of config.json share. A missing key means the constructor's default, null what
 * the published code makes of None; keys with "_" in front and keys nobody knows are ignored. */
#ifndef DK_MODEL_CONFIG_INTERNAL_H
#define DK_MODEL_CONFIG_INTERNAL_H

#include "io/json.h"

/* The keys of a published constructor, NULL at the end. */
extern const char *const dk_pixart_config_keys[];
extern const char *const dk_dit_config_keys[];
extern const char *const dk_vae_config_keys[];

/* One warning that names the keys of cfg which are not in `known`. */
void dk_config_warn_unknown(dk_jnode cfg, const char *const *known);

/* Options with one supported value, which is also the default; else DK_EUNSUPPORTED. */
int dk_config_only_str(dk_jnode cfg, const char *key, const char *value, dk_err *err);
int dk_config_only_bool(dk_jnode cfg, const char *key, bool value, dk_err *err);
int dk_config_only_null(dk_jnode cfg, const char *key, dk_err *err);

/* A number in [lo, hi]; else DK_EFORMAT. */
int dk_config_real(dk_jnode cfg, const char *key, double def, double lo, double hi, double *out,
                   dk_err *err);
/* *out = key, or `def`; the epsilon of a norm, in [0, 1). */
int dk_config_eps(dk_jnode cfg, const char *key, double def, float *out, dk_err *err);
/* num_attention_heads, attention_head_dim and their product, the width of the two image
 * transformers: at most 65536, and divisible by 4 for the 2-D position table. */
int dk_config_width(dk_jnode cfg, int *heads, int *head_dim, int *dim, dk_err *err);
/* sample_size must hold whole patches. */
int dk_config_patches(dk_jnode cfg, int sample_size, int patch, dk_err *err);

#endif
