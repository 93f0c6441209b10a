/* See unigram.h.
 *
 * Forward pass (SentencePiece, unigram_model.cc, EncodeOptimized): best[e] is the best score of a
 * segmentation of s[0..e); for each character start b and each piece s[b..e)
 *     best[e] = max(best[e], best[b] + score(piece)),
 * shortest piece first, a tie keeping the earlier one. A character that no one-character piece
 * covers may be unknown at the price min(score) - 10. Every character start is reachable, so the
 * walk back from the end always ends at 0. */
#include "text/unigram.h"

#include <float.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_internal.h"

#define UNKNOWN_PENALTY 10.0

typedef struct dk_viterbi_node {
    double score;
    uint32_t from; /* NONE: not reached */
    int32_t id;
} node;
#define NONE UINT32_MAX

void dk_viterbi_free(dk_viterbi *v)
{
    free(v->at);
    *v = (dk_viterbi){0};
}

/* ---- Building. */

/* SentencePiece takes the minimum over NORMAL pieces, the tokenizers library over all. */
static void find_unk_score(dk_unigram *u)
{
    bool spm = u->style == DK_UNIGRAM_SENTENCEPIECE;
    double min = spm ? FLT_MAX : DBL_MAX;

    for (size_t i = 0; i < u->n; i++)
        if ((!spm || u->piece[i].type == DK_PIECE_NORMAL) && u->piece[i].score < min)
            min = u->piece[i].score;
    u->unk_score = spm ? (float)min - (float)UNKNOWN_PENALTY : min - UNKNOWN_PENALTY;
}

static bool is_matched(const dk_unigram *u, size_t i)
{
    uint8_t type = u->piece[i].type;
    return u->style == DK_UNIGRAM_TOKENIZERS || type == DK_PIECE_NORMAL ||
           type == DK_PIECE_USER_DEFINED || type == DK_PIECE_UNUSED;
}

/* words: sorted by dk_trie_build. */
static int refuse_duplicates(const dk_word *words, size_t n, const char *name, dk_err *err)
{
    for (size_t i = 1; i < n; i++)
        if (words[i].len == words[i - 1].len &&
            memcmp(words[i].s, words[i - 1].s, words[i].len) == 0)
            return dk_fail(err, DK_EFORMAT, "%s: pieces %d and %d are both \"%.*s\"", name,
                           (int)words[i - 1].value, (int)words[i].value, (int)words[i].len,
                           words[i].s);
    return 0;
}

static int find_bytes(dk_unigram *u, const char *name, dk_err *err)
{
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        u->byte_id[b] = dk_unigram_find(u, text, strlen(text));
        if (u->style == DK_UNIGRAM_SENTENCEPIECE &&
            (u->byte_id[b] < 0 || u->piece[u->byte_id[b]].type != DK_PIECE_BYTE))
            return dk_fail(err, DK_EFORMAT, "%s: byte_fallback without the byte piece %s", name,
                           text);
    }
    return 0;
}

/* The trie of the pieces that match text, or of the others. */
static int build_trie(dk_unigram *u, bool matched, dk_word *words, const char *name, dk_err *err)
{
    size_t n = 0;

    for (size_t i = 0; i < u->n; i++)
        if (is_matched(u, i) == matched)
            words[n++] = (dk_word){u->piece[i].s, u->piece[i].len, (int32_t)i};
    if (dk_trie_build(matched ? &u->trie : &u->reserved, words, n, err))
        return dk_wrap(err, "%s", name);
    return u->style == DK_UNIGRAM_SENTENCEPIECE ? refuse_duplicates(words, n, name, err) : 0;
}

int dk_unigram_build(dk_unigram *u, const char *name, dk_err *err)
{
    dk_word *words = malloc(u->n * sizeof *words + 1);

    if (!words)
        return dk_fail(err, DK_ENOMEM, "%s: no memory for %zu pieces", name, u->n);
    int rc = build_trie(u, true, words, name, err);
    if (!rc)
        rc = build_trie(u, false, words, name, err);
    free(words);
    if (!rc && u->byte_fallback)
        rc = find_bytes(u, name, err);
    find_unk_score(u);
    return rc;
}

void dk_unigram_free(dk_unigram *u)
{
    dk_trie_free(&u->trie);
    dk_trie_free(&u->reserved);
    free(u->piece);
    free(u->pool);
    memset(u, 0, sizeof *u);
}

int32_t dk_unigram_find(const dk_unigram *u, const char *s, size_t len)
{
    int32_t id = dk_trie_find(&u->reserved, s, len);
    return id < 0 ? dk_trie_find(&u->trie, s, len) : id;
}

/* ---- Encoding. */

static size_t char_len(const char *s, size_t len)
{
    unsigned char c = (unsigned char)s[0];
    size_t n = c < 0xC0 ? 1 : c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    return n < len ? n : len;
}

/* Was the candidate better? The SentencePiece style adds and compares in f32. */
static bool relax(const dk_unigram *u, node *to, double candidate, size_t from, int32_t id)
{
    if (u->style == DK_UNIGRAM_SENTENCEPIECE)
        candidate = (float)candidate;
    if (to->from != NONE && !(candidate > to->score))
        return false;
    to->score = candidate;
    to->from = (uint32_t)from;
    to->id = id;
    return true;
}

/* A user-defined piece beats all shorter and all usual ones, whatever its score. */
static double piece_score(const dk_unigram *u, int32_t id, size_t len)
{
    const dk_piece *p = &u->piece[id];
    return p->type == DK_PIECE_USER_DEFINED ? (float)(len - 1) * 0.1F : p->score;
}

/* False when an unknown character would be on a best path, but there is no unknown token. */
static bool forward(const dk_unigram *u, node *best, const char *s, size_t len)
{
    for (size_t b = 0; b < len;) {
        size_t one = char_len(s + b, len - b);
        double here = best[b].score;
        bool covered = false;
        uint32_t at = 0;

        for (size_t e = b; e < len && (at = dk_trie_step(&u->trie, at, (uint8_t)s[e]));) {
            int32_t id = u->trie.node[at].value;
            e++;
            if (id < 0 || u->piece[id].type == DK_PIECE_UNUSED)
                continue;
            relax(u, &best[e], piece_score(u, id, e - b) + here, b, id);
            covered = covered || e - b == one;
        }
        if (!covered && relax(u, &best[b + one], u->unk_score + here, b, u->unk) && u->unk < 0)
            return false;
        b += one;
    }
    return true;
}

static int push_bytes(const dk_unigram *u, const char *s, size_t len, dk_tokens *out, dk_err *err)
{
    for (size_t i = 0; i < len; i++) {
        const dk_piece *p = &u->piece[u->byte_id[(uint8_t)s[i]]];
        if (dk_tokens_push(out, (int32_t)(p - u->piece), p->s, p->len, err))
            return err->code;
    }
    return 0;
}

static bool has_all_bytes(const dk_unigram *u, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (u->byte_id[(uint8_t)s[i]] < 0)
            return false;
    return u->byte_fallback;
}

/* A run of unknown characters: one token, or its bytes. */
static int push_unknown(const dk_unigram *u, const char *s, size_t len, dk_tokens *out, dk_err *err)
{
    int32_t id = u->style == DK_UNIGRAM_TOKENIZERS ? dk_trie_find(&u->trie, s, len) : -1;

    if (id < 0 && has_all_bytes(u, s, len))
        return push_bytes(u, s, len, out, err);
    return dk_tokens_push(out, id < 0 ? u->unk : id, s, len, err);
}

/* Turns the links around: best[b].from becomes the end of the token that begins at b. */
static void reverse_path(node *best, size_t len)
{
    uint32_t end = (uint32_t)len, next = NONE;
    int32_t id = -1;

    for (;;) {
        uint32_t from = best[end].from;
        int32_t own = best[end].id;
        best[end].from = next;
        best[end].id = id;
        if (end == 0)
            return;
        next = end;
        id = own;
        end = from;
    }
}

static int emit(const dk_unigram *u, const node *best, const char *s, size_t len, dk_tokens *out,
                dk_err *err)
{
    for (size_t b = 0; b < len;) {
        size_t e = best[b].from;
        int32_t id = best[b].id;
        int rc;
        if (id == u->unk) {
            while (e < len && best[e].id == u->unk)
                e = best[e].from;
            rc = push_unknown(u, s + b, e - b, out, err);
        } else {
            rc = dk_tokens_push(out, id, s + b, e - b, err);
        }
        if (rc)
            return rc;
        b = e;
    }
    return 0;
}

int dk_unigram_encode(const dk_unigram *u, dk_viterbi *v, const char *s, size_t len, dk_tokens *out,
                      dk_err *err)
{
    if (len == 0)
        return 0;
    if (len >= NONE / sizeof(node))
        return dk_fail(err, DK_ENOMEM, "text of %zu bytes is too long", len);
    if (v->cap < len + 1) {
        size_t cap = len + 1 + len / 2;
        node *at = realloc(v->at, cap * sizeof *at);
        if (!at)
            return dk_fail(err, DK_ENOMEM, "no memory to encode a text of %zu bytes", len);
        v->at = at;
        v->cap = cap;
    }
    for (size_t i = 0; i <= len; i++)
        v->at[i] = (node){0, NONE, -1};
    if (!forward(u, v->at, s, len))
        return dk_fail(err, DK_EFORMAT, "\"%.*s\" has unknown characters, but there is no unk_id",
                       (int)(len < 40 ? len : 40), s);
    reverse_path(v->at, len);
    return emit(u, v->at, s, len, out, err);
}
