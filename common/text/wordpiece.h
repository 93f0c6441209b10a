/* WordPiece: greedy longest match of a word's pieces, continued pieces carrying a prefix ("##"). */
#ifndef DK_TEXT_WORDPIECE_H
#define DK_TEXT_WORDPIECE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "text/tokenizer.h"
#include "text/trie.h"

typedef struct dk_wordpiece {
    dk_word *word; /* sorted by dk_trie_build; the values are the ids */
    size_t n;
    char *pool; /* what the words point into */
    dk_trie trie;
    uint32_t continued; /* node of the prefix, or 0: no piece has it */
    char *prefix;
    char *unk_text;
    int32_t unk;
    size_t max_chars; /* of a word; longer ones are unknown */
    int32_t max_id;
} dk_wordpiece;

/* Builds the tries from word, n, prefix and unk_text, which must be a word. */
int dk_wordpiece_build(dk_wordpiece *w, const char *name, dk_err *err);
void dk_wordpiece_free(dk_wordpiece *w);
int dk_wordpiece_encode(const dk_wordpiece *w, const char *s, size_t len, dk_tokens *out,
                        dk_err *err);

#endif
