/* See encoder_internal.h. */
#include "model/encoder_internal.h"

bool dk_encoder_check_ids(dk_ctx *c, const int32_t *ids, int64_t n, int vocab)
{
    for (int64_t i = 0; i < n; i++) {
        if (ids[i] < 0 || ids[i] >= vocab) {
            dk_fail(&c->err, DK_EFORMAT,
                    "text_encoder: token id %d is outside its vocabulary of %d; tokenizer and "
                    "encoder do not belong together",
                    (int)ids[i], vocab);
            return false;
        }
    }
    return dk_ctx_ok(c);
}

const float *dk_encoder_key_bias(dk_ctx *c, const uint8_t *mask, int64_t n)
{
    if (!mask)
        return NULL;
    dk_tensor bias = dk_new(c, DK_SHAPE(n));
    for (int64_t i = 0; bias.data && i < n; i++)
        dk_f32(&bias)[i] = mask[i] ? 0 : -1e30f;
    return dk_f32(&bias);
}
