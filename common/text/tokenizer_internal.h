/* Shared by the files behind tokenizer.h.
 *
 * A text goes through: added tokens of the raw text are cut out; each rest is normalised, the added
 * tokens of normalised text are cut out, the rest is split into words by the pre-tokenizer, and
 * each word goes through the model. A spiece.model has a normaliser of its own and no
 * pre-tokenizer. */
#ifndef DK_TEXT_TOKENIZER_INTERNAL_H
#define DK_TEXT_TOKENIZER_INTERNAL_H

#include "base/buf.h"
#include "io/json.h"
#include "text/charsmap.h"
#include "text/tokenizer.h"
#include "text/unigram.h"
#include "text/wordpiece.h"

int dk_tokens_push(dk_tokens *t, int32_t id, const char *piece, size_t len, dk_err *err);
/* The piece is `before` and then piece[0..len). */
int dk_tokens_push2(dk_tokens *t, int32_t id, const char *before, const char *piece, size_t len,
                    dk_err *err);

#define DK_MAX_TOKENIZER_FILE ((size_t)64 << 20)

/* ---- Added tokens (added.c). */

typedef struct dk_added_token {
    char *text;
    size_t len;
    int32_t id;
    bool single_word, lstrip, rstrip, normalized;
} dk_added_token;

typedef struct dk_added {
    dk_added_token *tok;
    size_t n, cap;
    dk_trie raw, norm;
} dk_added;

/* Copies the token. Of several with the same text the last counts. */
int dk_added_put(dk_added *a, const char *text, int32_t id, dk_added_token flags, dk_err *err);
const dk_added_token *dk_added_find(const dk_added *a, const char *text);
void dk_added_free(dk_added *a);

/* A stretch of a text: an added token, or id -1 and text still to be tokenised. */
typedef struct dk_part {
    size_t at, len;
    int32_t id;
} dk_part;
typedef struct dk_parts {
    dk_part *part;
    size_t n, cap;
} dk_parts;
/* trie: a->raw or a->norm. The parts replace those of *out. */
int dk_added_split(const dk_added *a, const dk_trie *trie, const char *s, size_t len, dk_parts *out,
                   dk_err *err);

/* ---- Normaliser and pre-tokenizer as lists of steps (normalizer.c, pretokenizer.c). */

typedef enum {
    DK_NORM_CHARSMAP,
    DK_NORM_REPLACE,
    DK_NORM_STRIP,
    DK_NORM_LOWER,
    DK_NORM_FORM,
    DK_NORM_STRIP_ACCENTS,
    DK_NORM_PREPEND,
    DK_NORM_BERT
} dk_norm_kind;

typedef struct dk_norm_step {
    dk_norm_kind kind;
    dk_charsmap map;  /* CHARSMAP */
    char *from, *to;  /* REPLACE, PREPEND (to) */
    bool whitespace;  /* REPLACE: a run of White_Space instead of `from` */
    size_t at_least;  /* REPLACE: a run of that many `from`, all of it; 0: one, exactly */
    bool left, right; /* STRIP */
    int form;         /* FORM: dk_normal_form */
    bool clean, chinese, accents, lower; /* BERT; accents: strip them */
} dk_norm_step;

/* in -> *out (which is cleared first); *spare is scratch. */
int dk_normalize(const dk_norm_step *steps, size_t n, const char *s, size_t len, dk_buf *out,
                 dk_buf *spare, dk_err *err);
void dk_norm_step_free(dk_norm_step *s);

typedef enum { DK_PRE_WHITESPACE, DK_PRE_METASPACE, DK_PRE_BERT } dk_pre_kind;
typedef enum { DK_PREPEND_ALWAYS, DK_PREPEND_FIRST, DK_PREPEND_NEVER } dk_prepend;

typedef struct dk_pre_step {
    dk_pre_kind kind;
    char replacement[8]; /* METASPACE: one character */
    dk_prepend prepend;
    bool split;
} dk_pre_step;

#define DK_MAX_STEPS 16

/* ---- The tokenizer. */

typedef enum { DK_MODEL_SPIECE, DK_MODEL_UNIGRAM, DK_MODEL_WORDPIECE } dk_model_kind;

#define DK_MAX_FRAME 8

struct dk_tokenizer {
    const char *kind;
    char *name; /* of the file, for messages */
    dk_model_kind model;
    dk_unigram unigram;
    dk_wordpiece wordpiece;
    dk_spm_normalizer spm;
    dk_added added;
    dk_norm_step norm[DK_MAX_STEPS];
    dk_pre_step pre[DK_MAX_STEPS];
    size_t n_norm, n_pre;
    int32_t prefix[DK_MAX_FRAME], suffix[DK_MAX_FRAME]; /* around a prompt */
    size_t n_prefix, n_suffix;
    int32_t pad, eos; /* -1: none */
    size_t size;
};

/* What one encoding needs; buffers live as long as it. */
typedef struct dk_encoding {
    const dk_tokenizer *t;
    dk_tokens *out;
    dk_viterbi viterbi;
    dk_buf norm, spare, word[DK_MAX_STEPS];
} dk_encoding;

/* Splits s by the pre-tokenizer steps from `step` on and gives each word to the model. at_start: s
 * begins where the whole text begins. */
int dk_pretokenize(dk_encoding *e, size_t step, const char *s, size_t len, bool at_start,
                   dk_err *err);
/* One word through the model. */
int dk_model_encode(dk_encoding *e, const char *s, size_t len, dk_err *err);

dk_tokenizer *dk_tokenizer_new(const char *name, const char *kind, dk_model_kind model);
/* Id of a token by its text: model first, then added tokens; -1 if there is none. */
int32_t dk_tokenizer_find(const dk_tokenizer *t, const char *text, size_t len);
/* Adds a token with the id a file gives it, -1 for the model's; a model that knows it must agree.
 */
int dk_tokenizer_add(dk_tokenizer *t, const char *text, int64_t id, dk_added_token flags,
                     dk_err *err);
/* Builds the tries of the added tokens and the size; the last step of every reader. */
int dk_tokenizer_finish(dk_tokenizer *t, dk_err *err);

/* The files beside a vocabulary; a zeroed dk_json is an absent file. */
typedef struct dk_tokenizer_files {
    dk_json config, special_map, added; /* tokenizer_config, special_tokens_map, added_tokens */
} dk_tokenizer_files;

/* The text of a special token ("eos_token"): of the config, the map, or `def`. Borrowed. */
int dk_token_name(const dk_tokenizer_files *f, const char *key, const char *def, const char **name,
                  dk_err *err);
/* Adds what added_tokens.json and added_tokens_decoder list. */
int dk_add_listed_tokens(dk_tokenizer *t, const dk_tokenizer_files *f, dk_err *err);
/* The four flags of an added token's object. */
int dk_added_flags(dk_jnode n, dk_added_token *flags, dk_err *err);

/* The readers. `name` names the vocabulary in messages. */
dk_tokenizer *dk_read_spiece(const void *data, size_t len, const char *name,
                             const dk_tokenizer_files *f, dk_err *err);
dk_tokenizer *dk_read_vocab(const char *data, size_t len, const char *name,
                            const dk_tokenizer_files *f, dk_err *err);
dk_tokenizer *dk_read_tokenizer_json(const char *data, size_t len, const char *name,
                                     const dk_tokenizer_files *f, dk_err *err);

#endif
