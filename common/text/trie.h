/* A static trie over byte strings: the pieces of a vocabulary, the added tokens.
 *
 * Nodes lie in breadth-first order, the children of a node side by side and sorted by their byte,
 * so a step is a search in at most 256 neighbours. Node 0 is the root. */
#ifndef DK_TEXT_TRIE_H
#define DK_TEXT_TRIE_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct dk_word {
    const char *s;
    size_t len;
    int32_t value; /* >= 0 */
} dk_word;

typedef struct dk_trie_node {
    uint32_t first; /* index of the first child */
    int32_t value;  /* of the word that ends here, or -1 */
    uint16_t count; /* of children */
    uint8_t byte;
} dk_trie_node;

typedef struct dk_trie {
    dk_trie_node *node; /* NULL: empty trie */
    uint32_t root[256]; /* children of the root; 0: none */
} dk_trie;

/* Words longer than this are refused: they bound the work per position of a text. */
#define DK_TRIE_MAX_WORD 1024

/* Sorts words[0..n) in place (by bytes, then value) and builds the trie; of equal words the one
 * with the largest value counts. Empty words are left out. */
int dk_trie_build(dk_trie *t, dk_word *words, size_t n, dk_err *err);
void dk_trie_free(dk_trie *t);

/* The child of `node` under `byte`, or 0. */
static inline uint32_t dk_trie_step(const dk_trie *t, uint32_t node, uint8_t byte)
{
    if (node == 0)
        return t->root[byte];
    uint32_t lo = t->node[node].first, hi = lo + t->node[node].count;
    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->node[mid].byte < byte)
            lo = mid + 1;
        else if (t->node[mid].byte > byte)
            hi = mid;
        else
            return mid;
    }
    return 0;
}

/* Value of exactly s[0..len), or -1. */
int32_t dk_trie_find(const dk_trie *t, const char *s, size_t len);
/* Longest word that begins s, starting the walk at `node`: its length (0: none) and *value. */
size_t dk_trie_longest(const dk_trie *t, uint32_t node, const char *s, size_t len, int32_t *value);
/* The node behind s[0..len) from the root, or 0. */
uint32_t dk_trie_walk(const dk_trie *t, const char *s, size_t len);

#endif
