/* What the text encoders share. */
#ifndef DK_MODEL_ENCODER_INTERNAL_H
#define DK_MODEL_ENCODER_INTERNAL_H

#include "ops/ops.h"

/* Fails the context with DK_EFORMAT when a token id is outside the vocabulary. */
bool dk_encoder_check_ids(dk_ctx *c, const int32_t *ids, int64_t n, int vocab);
/* [n] to add to the scores of each key: 0 where the mask keeps it, so low elsewhere that its
 * weight is 0. NULL for no mask. Lives in the arena. */
const float *dk_encoder_key_bias(dk_ctx *c, const uint8_t *mask, int64_t n);

#endif
