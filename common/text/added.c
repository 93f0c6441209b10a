/* Added tokens: literal texts that are cut out before a model sees the rest. */
#include "text/tokenizer_internal.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "text/utf8.h"

#define MAX_ADDED (1 << 18)

int dk_added_put(dk_added *a, const char *text, int32_t id, dk_added_token flags, dk_err *err)
{
    if (a->n == MAX_ADDED)
        return dk_fail(err, DK_EUNSUPPORTED, "more than %d added tokens", MAX_ADDED);
    if (a->n == a->cap) {
        a->cap = a->cap ? 2 * a->cap : 16;
        a->tok = dk_xrealloc(a->tok, a->cap * sizeof *a->tok);
    }
    flags.id = id;
    flags.len = strlen(text);
    flags.text = dk_xstrdup(text);
    a->tok[a->n++] = flags;
    return 0;
}

const dk_added_token *dk_added_find(const dk_added *a, const char *text)
{
    for (size_t i = a->n; i-- > 0;)
        if (strcmp(a->tok[i].text, text) == 0)
            return &a->tok[i];
    return NULL;
}

void dk_added_free(dk_added *a)
{
    for (size_t i = 0; i < a->n; i++)
        free(a->tok[i].text);
    free(a->tok);
    dk_trie_free(&a->raw);
    dk_trie_free(&a->norm);
    *a = (dk_added){0};
}

/* A regular expression's \w: Alphabetic, marks, decimal numbers, connectors, joiners. */
static bool is_word_char(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return c == 0x200C || c == 0x200D || (c >= 0x24B6 && c <= 0x24E9) ||
               (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
               (c >= 0x1F170 && c <= 0x1F189);
    }
}

static bool stands_alone(const char *s, size_t len, size_t at, size_t end)
{
    int32_t c;

    if (at > 0 && (dk_utf8_prev(s, at, &c), is_word_char(c)))
        return false;
    return end == len || (dk_utf8_next(s + end, len - end, &c), !is_word_char(c));
}

static int add_part(dk_parts *p, size_t at, size_t end, int32_t id, dk_err *err)
{
    if (p->n == p->cap) {
        size_t cap = p->cap ? 2 * p->cap : 16;
        dk_part *part = realloc(p->part, cap * sizeof *part);
        if (!part)
            return dk_fail(err, DK_ENOMEM, "no memory for %zu stretches of text", cap);
        p->part = part;
        p->cap = cap;
    }
    p->part[p->n++] = (dk_part){at, end - at, id};
    return 0;
}

/* The match s[at..end) and the whitespace it swallows; `done`: end of the part before. */
static void widen(const dk_added_token *t, const char *s, size_t len, size_t done, size_t *at,
                  size_t *end)
{
    int32_t c;

    if (t->lstrip && *at < done) {
        *at = done;
        *end = *end > done ? *end : done;
    }
    while (t->lstrip && *at > done) {
        size_t n = dk_utf8_prev(s + done, *at - done, &c);
        if (!dk_utf8_is_space(c))
            break;
        *at -= n;
    }
    while (t->rstrip && *end < len) {
        size_t n = dk_utf8_next(s + *end, len - *end, &c);
        if (!dk_utf8_is_space(c))
            break;
        *end += n;
    }
}

int dk_added_split(const dk_added *a, const dk_trie *trie, const char *s, size_t len, dk_parts *out,
                   dk_err *err)
{
    size_t done = 0;

    out->n = 0;
    for (size_t from = 0; trie->node && from < len;) {
        int32_t k;
        size_t n =
            trie->root[(uint8_t)s[from]] ? dk_trie_longest(trie, 0, s + from, len - from, &k) : 0;
        if (n == 0) {
            from++;
            continue;
        }
        size_t at = from, end = from + n;
        from = end; /* also when the match is discarded or widened */
        if (a->tok[k].single_word && !stands_alone(s, len, at, end))
            continue;
        widen(&a->tok[k], s, len, done, &at, &end);
        /* A token that begins with whitespace may overlap what the one before has swallowed. */
        if (at > done && add_part(out, done, at, -1, err))
            return err->code;
        if (add_part(out, at, end, a->tok[k].id, err))
            return err->code;
        done = end;
    }
    return done < len ? add_part(out, done, len, -1, err) : 0;
}
