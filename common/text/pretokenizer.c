/* The pre-tokenizer steps: each splits a stretch of normalised text and hands the words on. */
#include <string.h>

#include "text/bert_chars.h"
#include "text/tokenizer_internal.h"
#include "text/utf8.h"

static int by_whitespace(dk_encoding *e, size_t step, const char *s, size_t len, bool at_start,
                         dk_err *err)
{
    size_t word = 0, at = 0;

    while (at < len) {
        int32_t c;
        size_t n = dk_utf8_next(s + at, len - at, &c);
        if (dk_utf8_is_space(c)) {
            if (at > word &&
                dk_pretokenize(e, step + 1, s + word, at - word, at_start && word == 0, err))
                return err->code;
            word = at + n;
        }
        at += n;
    }
    return len > word
               ? dk_pretokenize(e, step + 1, s + word, len - word, at_start && word == 0, err)
               : 0;
}

static int bert_words(dk_encoding *e, size_t step, const char *s, size_t len, bool at_start,
                      dk_err *err)
{
    size_t word = 0, at = 0;

    while (at < len) {
        int32_t c;
        size_t n = dk_utf8_next(s + at, len - at, &c);
        bool space = dk_utf8_is_space(c), punctuation = dk_bert_is_punctuation(c);
        if (space || punctuation) {
            if (at > word &&
                dk_pretokenize(e, step + 1, s + word, at - word, at_start && word == 0, err))
                return err->code;
            if (punctuation && dk_pretokenize(e, step + 1, s + at, n, at_start && at == 0, err))
                return err->code;
            word = at + n;
        }
        at += n;
    }
    return len > word
               ? dk_pretokenize(e, step + 1, s + word, len - word, at_start && word == 0, err)
               : 0;
}

/* Spaces become the replacement, one is put in front where there is none, and each begins a word.
 */
static int metaspace(dk_encoding *e, size_t step, const char *s, size_t len, bool at_start,
                     dk_err *err)
{
    const dk_pre_step *m = &e->t->pre[step];
    size_t mark = strlen(m->replacement), word = 0;
    dk_buf *b = &e->word[step];

    dk_buf_clear(b);
    if (len && s[0] != ' ' && (len < mark || memcmp(s, m->replacement, mark) != 0) &&
        (m->prepend == DK_PREPEND_ALWAYS || (m->prepend == DK_PREPEND_FIRST && at_start)))
        dk_buf_add(b, m->replacement, mark);
    for (size_t i = 0; i < len; i++) {
        if (s[i] == ' ')
            dk_buf_add(b, m->replacement, mark);
        else
            dk_buf_putc(b, s[i]);
    }
    for (size_t at = 1; m->split && at + mark <= b->len; at++) {
        if (memcmp(b->data + at, m->replacement, mark) != 0)
            continue;
        if (dk_pretokenize(e, step + 1, b->data + word, at - word, at_start && word == 0, err))
            return err->code;
        word = at;
    }
    return b->len > word ? dk_pretokenize(e, step + 1, b->data + word, b->len - word,
                                          at_start && word == 0, err)
                         : 0;
}

int dk_pretokenize(dk_encoding *e, size_t step, const char *s, size_t len, bool at_start,
                   dk_err *err)
{
    if (step == e->t->n_pre)
        return dk_model_encode(e, s, len, err);
    switch (e->t->pre[step].kind) {
    case DK_PRE_WHITESPACE:
        return by_whitespace(e, step, s, len, at_start, err);
    case DK_PRE_METASPACE:
        return metaspace(e, step, s, len, at_start, err);
    case DK_PRE_BERT:
        return bert_words(e, step, s, len, at_start, err);
    }
    return 0;
}
