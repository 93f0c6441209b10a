/* See wordpiece.h, and the reader of vocab.txt. */
#include "text/wordpiece.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_internal.h"
#include "text/utf8.h"

int dk_wordpiece_build(dk_wordpiece *w, const char *name, dk_err *err)
{
    w->max_id = -1;
    for (size_t i = 0; i < w->n; i++)
        if (w->word[i].value > w->max_id)
            w->max_id = w->word[i].value;
    if (dk_trie_build(&w->trie, w->word, w->n, err))
        return dk_wrap(err, "%s", name);
    w->unk = dk_trie_find(&w->trie, w->unk_text, strlen(w->unk_text));
    if (w->unk < 0)
        return dk_fail(err, DK_EFORMAT, "%s: the unknown token \"%s\" is not in the vocabulary",
                       name, w->unk_text);
    w->continued = dk_trie_walk(&w->trie, w->prefix, strlen(w->prefix));
    return 0;
}

void dk_wordpiece_free(dk_wordpiece *w)
{
    dk_trie_free(&w->trie);
    free(w->word);
    free(w->pool);
    free(w->prefix);
    free(w->unk_text);
    memset(w, 0, sizeof *w);
}

/* Are there more than `max` characters? */
static bool is_longer(const char *s, size_t len, size_t max)
{
    size_t chars = 0;

    for (size_t i = 0; i < len && chars <= max; i++)
        chars += ((unsigned char)s[i] & 0xC0) != 0x80;
    return chars > max;
}

int dk_wordpiece_encode(const dk_wordpiece *w, const char *s, size_t len, dk_tokens *out,
                        dk_err *err)
{
    size_t n0 = out->n, text0 = out->text_len;
    bool known = !is_longer(s, len, w->max_chars);

    for (size_t at = 0; known && at < len;) {
        int32_t id = -1;
        size_t n = 0;
        if (at == 0 || w->prefix[0] == '\0')
            n = dk_trie_longest(&w->trie, 0, s + at, len - at, &id);
        else if (w->continued)
            n = dk_trie_longest(&w->trie, w->continued, s + at, len - at, &id);
        known = n > 0;
        if (known && dk_tokens_push2(out, id, at ? w->prefix : "", s + at, n, err))
            return err->code;
        at += n;
    }
    if (known)
        return 0;
    out->n = n0;
    out->text_len = text0;
    return dk_tokens_push(out, w->unk, w->unk_text, strlen(w->unk_text), err);
}

/* ---- vocab.txt: one token a line, its id the number of the line. */

static size_t trimmed(const char *s, size_t len)
{
    while (len) {
        int32_t c;
        size_t n = dk_utf8_prev(s, len, &c);
        if (!dk_utf8_is_space(c))
            break;
        len -= n;
    }
    return len;
}

/* Of equal lines the last counts, as in the original; dk_trie_build sees to that. */
static int parse_lines(dk_wordpiece *w, const char *name, size_t len, dk_err *err)
{
    size_t lines = 0;

    for (size_t at = 0; at < len; lines++) {
        const char *nl = memchr(w->pool + at, '\n', len - at);
        at = nl ? (size_t)(nl - w->pool) + 1 : len;
    }
    if (lines == 0 || lines > DK_MAX_PIECES)
        return dk_fail(err, DK_EFORMAT, "%s: %zu lines, expected 1 to %zu", name, lines,
                       DK_MAX_PIECES);
    w->word = calloc(lines, sizeof *w->word);
    if (!w->word)
        return dk_fail(err, DK_ENOMEM, "%s: no memory for %zu lines", name, lines);
    for (size_t at = 0; at < len; w->n++) {
        const char *line = w->pool + at, *nl = memchr(line, '\n', len - at);
        size_t n = nl ? (size_t)(nl - line) : len - at;
        w->word[w->n] = (dk_word){line, trimmed(line, n), (int32_t)w->n};
        at += n + 1;
    }
    return 0;
}

static int frame_token(dk_tokenizer *t, const char *text, int32_t *id, dk_err *err)
{
    *id = dk_tokenizer_find(t, text, strlen(text));
    if (*id < 0)
        return dk_fail(err, DK_EFORMAT, "%s: no line \"%s\"", t->name, text);
    return 0;
}

/* Special tokens, where the vocabulary has them; [CLS] and [SEP] it must have. */
static int add_special_tokens(dk_tokenizer *t, const dk_tokenizer_files *f, dk_err *err)
{
    static const char *const keys[][2] = {{"unk_token", "[UNK]"},
                                          {"cls_token", "[CLS]"},
                                          {"sep_token", "[SEP]"},
                                          {"pad_token", "[PAD]"},
                                          {"mask_token", "[MASK]"}};
    const char *text[5];

    for (int i = 0; i < 5; i++) {
        if (dk_token_name(f, keys[i][0], keys[i][1], &text[i], err))
            return err->code;
        if (dk_tokenizer_find(t, text[i], strlen(text[i])) >= 0 &&
            !dk_added_find(&t->added, text[i]) &&
            dk_tokenizer_add(t, text[i], -1, (dk_added_token){0}, err))
            return err->code;
    }
    t->pad = dk_tokenizer_find(t, text[3], strlen(text[3]));
    t->n_prefix = t->n_suffix = 1;
    if (frame_token(t, text[1], &t->prefix[0], err) || frame_token(t, text[2], &t->suffix[0], err))
        return err->code;
    t->eos = t->suffix[0];
    return 0;
}

static int read_bert_settings(dk_norm_step *s, const dk_tokenizer_files *f, dk_err *err)
{
    dk_jnode config = dk_json_root(&f->config);

    s->kind = DK_NORM_BERT;
    s->clean = true;
    if (dk_json_bool(config, "do_lower_case", true, &s->lower, err) ||
        dk_json_bool(config, "strip_accents", s->lower, &s->accents, err) ||
        dk_json_bool(config, "tokenize_chinese_chars", true, &s->chinese, err))
        return err->code;
    return 0;
}

static dk_tokenizer *read_vocab(const char *data, size_t len, const dk_norm_step *bert,
                                const char *name, const dk_tokenizer_files *f, dk_err *err)
{
    dk_tokenizer *t = dk_tokenizer_new(name, "WordPiece (vocab.txt)", DK_MODEL_WORDPIECE);
    dk_wordpiece *w = &t->wordpiece;
    const char *unk;

    t->norm[t->n_norm++] = *bert;
    t->pre[t->n_pre++].kind = DK_PRE_BERT;
    if (dk_utf8_invalid(data, len) < len) {
        dk_fail(err, DK_EFORMAT, "%s: not UTF-8 at byte %zu", name, dk_utf8_invalid(data, len));
        goto fail;
    }
    if (dk_token_name(f, "unk_token", "[UNK]", &unk, err))
        goto fail;
    w->pool = dk_xstrndup(data, len);
    w->prefix = dk_xstrdup("##");
    w->unk_text = dk_xstrdup(unk);
    w->max_chars = 100;
    if (parse_lines(w, name, len, err) || dk_wordpiece_build(w, name, err) ||
        dk_add_listed_tokens(t, f, err) || add_special_tokens(t, f, err) ||
        dk_tokenizer_finish(t, err))
        goto fail;
    return t;
fail:
    dk_tokenizer_free(t);
    return NULL;
}

dk_tokenizer *dk_read_vocab(const char *data, size_t len, const char *name,
                            const dk_tokenizer_files *f, dk_err *err)
{
    dk_norm_step bert = {0};
    return read_bert_settings(&bert, f, err) ? NULL : read_vocab(data, len, &bert, name, f, err);
}

dk_tokenizer *dk_tokenizer_from_vocab(const char *data, size_t len, bool lower, int strip_accents,
                                      bool chinese, const char *name, dk_err *err)
{
    dk_norm_step bert = {.kind = DK_NORM_BERT,
                         .clean = true,
                         .chinese = chinese,
                         .lower = lower,
                         .accents = strip_accents < 0 ? lower : strip_accents > 0};
    dk_tokenizer_files none = {0};
    return read_vocab(data, len, &bert, name, &none, err);
}
