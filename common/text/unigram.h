/* Unigram segmentation: the exact best path over the pieces of a vocabulary. */
#ifndef DK_TEXT_UNIGRAM_H
#define DK_TEXT_UNIGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/tokenizer.h"
#include "text/trie.h"

typedef enum {
    DK_PIECE_NORMAL = 1,
    DK_PIECE_UNKNOWN,
    DK_PIECE_CONTROL,
    DK_PIECE_USER_DEFINED,
    DK_PIECE_UNUSED,
    DK_PIECE_BYTE
} dk_piece_type;

typedef struct dk_piece {
    const char *s; /* in dk_unigram.pool */
    uint32_t len;
    uint8_t type;
    double score;
} dk_piece;

/* Whose arithmetic and whose treatment of unknown runs. */
typedef enum {
    DK_UNIGRAM_SENTENCEPIECE, /* f32 path scores */
    DK_UNIGRAM_TOKENIZERS     /* f64; a fused run that happens to be a piece becomes that piece */
} dk_unigram_style;

typedef struct dk_unigram {
    dk_unigram_style style;
    dk_piece *piece;
    size_t n;
    char *pool;
    dk_trie trie;     /* what matches text */
    dk_trie reserved; /* SentencePiece style: control, unknown and byte pieces, for name lookups */
    int32_t unk;      /* -1: unknown text is an error (tokenizer.json without unk_id) */
    double unk_score;
    bool byte_fallback;
    int32_t byte_id[256]; /* -1: no such piece */
} dk_unigram;

#define DK_MAX_PIECES ((size_t)1 << 24)

/* Memory of the search, kept from word to word. */
typedef struct dk_viterbi {
    struct dk_viterbi_node *at;
    size_t cap;
} dk_viterbi;
void dk_viterbi_free(dk_viterbi *v);

/* Fills tries, scores and byte ids from style, piece, n, unk and byte_fallback. For the
 * SentencePiece style equal pieces are an error; `name` is for messages. */
int dk_unigram_build(dk_unigram *u, const char *name, dk_err *err);
void dk_unigram_free(dk_unigram *u);

/* Id of the piece s, of any type, or -1. */
int32_t dk_unigram_find(const dk_unigram *u, const char *s, size_t len);

/* Appends the tokens of normalised text. */
int dk_unigram_encode(const dk_unigram *u, dk_viterbi *v, const char *s, size_t len, dk_tokens *out,
                      dk_err *err);

#endif
