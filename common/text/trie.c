/* See trie.h. */
#include "text/trie.h"

#include <stdlib.h>
#include <string.h>

typedef struct range {
    uint32_t lo, hi, depth; /* words[lo..hi) share their first `depth` bytes */
} range;

static int compare_words(const void *a, const void *b)
{
    const dk_word *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int c = n ? memcmp(x->s, y->s, n) : 0;

    if (c)
        return c;
    if (x->len != y->len)
        return x->len < y->len ? -1 : 1;
    return (x->value > y->value) - (x->value < y->value);
}

/* Nodes and, while building, the range of words below each. */
typedef struct builder {
    dk_trie_node *node;
    range *range;
    size_t n, cap;
} builder;

static int add_node(builder *b, uint8_t byte, range r, dk_err *err)
{
    if (b->n == b->cap) {
        size_t cap = b->cap ? 2 * b->cap : 1024;
        if (cap > UINT32_MAX)
            return dk_fail(err, DK_EUNSUPPORTED, "vocabulary too large");
        dk_trie_node *node = realloc(b->node, cap * sizeof *node);
        if (node)
            b->node = node;
        range *ranges = realloc(b->range, cap * sizeof *ranges);
        if (ranges)
            b->range = ranges;
        if (!node || !ranges)
            return dk_fail(err, DK_ENOMEM, "vocabulary: no memory for %zu nodes", cap);
        b->cap = cap;
    }
    b->node[b->n] = (dk_trie_node){0, -1, 0, byte};
    b->range[b->n++] = r;
    return 0;
}

/* Gives node i its value and its children. */
static int expand(builder *b, size_t i, const dk_word *words, dk_err *err)
{
    range r = b->range[i];

    for (; r.lo < r.hi && words[r.lo].len == r.depth; r.lo++)
        b->node[i].value = words[r.lo].value;
    b->node[i].first = (uint32_t)b->n;
    while (r.lo < r.hi) {
        uint8_t byte = (uint8_t)words[r.lo].s[r.depth];
        uint32_t end = r.lo + 1;
        while (end < r.hi && (uint8_t)words[end].s[r.depth] == byte)
            end++;
        if (add_node(b, byte, (range){r.lo, end, r.depth + 1}, err))
            return err->code;
        b->node[i].count++;
        r.lo = end;
    }
    return 0;
}

int dk_trie_build(dk_trie *t, dk_word *words, size_t n, dk_err *err)
{
    builder b = {0};
    size_t empty = 0;
    int rc = 0;

    memset(t, 0, sizeof *t);
    for (size_t i = 0; i < n && !rc; i++)
        if (words[i].len > DK_TRIE_MAX_WORD)
            rc = dk_fail(err, DK_EUNSUPPORTED, "piece %d is %zu bytes long, the limit is %d",
                         (int)words[i].value, words[i].len, DK_TRIE_MAX_WORD);
    if (rc || n == 0)
        return rc;
    qsort(words, n, sizeof *words, compare_words);
    while (empty < n && words[empty].len == 0)
        empty++;
    rc = add_node(&b, 0, (range){(uint32_t)empty, (uint32_t)n, 0}, err);
    for (size_t i = 0; !rc && i < b.n; i++)
        rc = expand(&b, i, words, err);
    free(b.range);
    if (rc) {
        free(b.node);
        return rc;
    }
    t->node = b.node;
    for (uint32_t k = 0; k < t->node[0].count; k++)
        t->root[t->node[t->node[0].first + k].byte] = t->node[0].first + k;
    return 0;
}

void dk_trie_free(dk_trie *t)
{
    free(t->node);
    memset(t, 0, sizeof *t);
}

uint32_t dk_trie_walk(const dk_trie *t, const char *s, size_t len)
{
    uint32_t node = 0;
    for (size_t i = 0; i < len; i++)
        if (!(node = dk_trie_step(t, node, (uint8_t)s[i])))
            return 0;
    return node;
}

int32_t dk_trie_find(const dk_trie *t, const char *s, size_t len)
{
    uint32_t node = dk_trie_walk(t, s, len);
    return node ? t->node[node].value : -1;
}

size_t dk_trie_longest(const dk_trie *t, uint32_t node, const char *s, size_t len, int32_t *value)
{
    size_t best = 0;

    for (size_t i = 0; i < len && (node = dk_trie_step(t, node, (uint8_t)s[i])); i++)
        if (t->node[node].value >= 0) {
            best = i + 1;
            *value = t->node[node].value;
        }
    return best;
}
