/* Tokenizers of a model directory: SentencePiece unigram from spiece.model or tokenizer.json,
 * WordPiece from vocab.txt or tokenizer.json.
 *
 * dk_tokenizer_encode() gives the raw tokens of a text: special and added tokens are split off
 * first and become their ids; nothing is lower-cased by us (a BERT normaliser does what its config
 * says), stripped or truncated, and no end token is added. dk_tokenizer_prompt() is what pipelines
 * call: truncation to max_length and the model's end (or [CLS], [SEP]) tokens. */
#ifndef DK_TEXT_TOKENIZER_H
#define DK_TEXT_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct dk_token {
    int32_t id;
    uint32_t piece_at, piece_len; /* in dk_tokens.text; as the original library prints the piece:
                                     an unknown run gives its surface characters */
} dk_token;

typedef struct dk_tokens {
    dk_token *tok;
    size_t n, cap;
    char *text; /* all pieces one behind the other, each NUL-terminated */
    size_t text_len, text_cap;
} dk_tokens;

void dk_tokens_clear(dk_tokens *t);
void dk_tokens_free(dk_tokens *t);
static inline const char *dk_token_piece(const dk_tokens *t, size_t i)
{
    return t->text + t->tok[i].piece_at;
}

typedef struct dk_tokenizer dk_tokenizer;

/* Opens DIR's tokenizer: spiece.model (with added_tokens.json, special_tokens_map.json and
 * tokenizer_config.json beside it) if present, else vocab.txt, else tokenizer.json. `label` is the
 * folder as messages name it ("tokenizer"). */
dk_tokenizer *dk_tokenizer_open(const char *dir, const char *label, dk_err *err);
/* One format from memory (tests, fuzzing): */
dk_tokenizer *dk_tokenizer_from_spiece(const void *data, size_t len, const char *name, dk_err *err);
dk_tokenizer *dk_tokenizer_from_json(const char *data, size_t len, const char *name, dk_err *err);
/* vocab.txt text; lower: do_lower_case; strip_accents: -1 follows lower. */
dk_tokenizer *dk_tokenizer_from_vocab(const char *data, size_t len, bool lower, int strip_accents,
                                      bool chinese, const char *name, dk_err *err);
void dk_tokenizer_free(dk_tokenizer *t);

const char *dk_tokenizer_kind(const dk_tokenizer *t); /* "unigram (spiece.model)", ... */
size_t dk_tokenizer_size(const dk_tokenizer *t);      /* ids are below this, added tokens included */
int32_t dk_tokenizer_pad(const dk_tokenizer *t);
int32_t dk_tokenizer_eos(const dk_tokenizer *t);      /* [SEP] for WordPiece */

/* Appends the tokens of text (UTF-8; invalid bytes become U+FFFD as the original does). Linear in
 * len up to the longest piece. */
int dk_tokenizer_encode(const dk_tokenizer *t, const char *text, size_t len, dk_tokens *out,
                        dk_err *err);
/* encode, cut to max_length including the special tokens, special tokens added. *cut (may be NULL)
 * is the number of tokens removed. No padding. */
int dk_tokenizer_prompt(const dk_tokenizer *t, const char *text, size_t len, size_t max_length,
                        dk_tokens *out, size_t *cut, dk_err *err);

#endif
