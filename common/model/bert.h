/* BERT encoder (BertModel), post-norm: x = LN(x + attention(x)); x = LN(x + ffn(x)). */
#ifndef DK_MODEL_BERT_H
#define DK_MODEL_BERT_H

#include "io/json.h"
#include "ops/params.h"

typedef struct dk_bert_config {
    int hidden, layers, heads, intermediate, vocab, positions, types;
    float eps;
    dk_act act;
} dk_bert_config;

int dk_bert_config_read(dk_bert_config *c, dk_jnode cfg, dk_err *err);

typedef struct dk_bert dk_bert;
dk_bert *dk_bert_new(const dk_bert_config *c, dk_params *p); /* "bert." prefix, gamma/beta accepted */
void dk_bert_free(dk_bert *m);
/* out [n, hidden]: last hidden states. n <= positions. mask as in t5.h. */
void dk_bert_encode(const dk_bert *m, dk_ctx *c, const int32_t *ids, const uint8_t *mask, int64_t n,
                    dk_tensor *out);

#endif
