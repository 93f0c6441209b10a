/* T5 v1.1 and mT5 encoders (T5EncoderModel). x = embedding; per block x += SelfAttention(RMS(x)),
 * x += wo(act(wi_0 h) * wi_1 h) with h = RMS(x); final RMS. */
#ifndef DK_MODEL_T5_H
#define DK_MODEL_T5_H

#include "io/json.h"
#include "ops/params.h"

typedef struct dk_t5_config {
    int d_model, d_kv, heads, d_ff, layers, vocab;
    int buckets, max_distance;
    float eps;
    bool gated;
    dk_act act;
    bool bias_per_block; /* UMT5: one relative_attention_bias per block */
} dk_t5_config;

int dk_t5_config_read(dk_t5_config *c, dk_jnode cfg, dk_err *err);

typedef struct dk_t5 dk_t5;
dk_t5 *dk_t5_new(const dk_t5_config *c, dk_params *p);
void dk_t5_free(dk_t5 *m);
/* out [n, d_model]. ids below vocab (checked here: DK_EFORMAT). mask [n] (1 keep, 0: not attended
 * to) or NULL. Errors go to the context. */
void dk_t5_encode(const dk_t5 *m, dk_ctx *c, const int32_t *ids, const uint8_t *mask, int64_t n,
                  dk_tensor *out);
/* Bucket of a relative position (key - query), bidirectional. */
int dk_t5_bucket(int64_t rel, int buckets, int max_distance);

#endif
