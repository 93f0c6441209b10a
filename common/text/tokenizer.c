/* See tokenizer.h: opening a directory, the way of a text through a tokenizer, prompts. */
#include "text/tokenizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "io/safetensors_internal.h"
#include "text/tokenizer_internal.h"
#include "text/utf8.h"

/* ---- Token lists. */

void dk_tokens_clear(dk_tokens *t)
{
    t->n = t->text_len = 0;
}

void dk_tokens_free(dk_tokens *t)
{
    free(t->tok);
    free(t->text);
    *t = (dk_tokens){0};
}

static int reserve(void **p, size_t *cap, size_t need, size_t size, dk_err *err)
{
    size_t n = *cap < 64 ? 64 : *cap, bytes;

    if (need <= *cap)
        return 0;
    while (n < need)
        n *= 2;
    void *more = dk_mul(n, size, &bytes) ? realloc(*p, bytes) : NULL;
    if (!more)
        return dk_fail(err, DK_ENOMEM, "no memory for %zu tokens", n);
    *p = more;
    *cap = n;
    return 0;
}

int dk_tokens_push2(dk_tokens *t, int32_t id, const char *before, const char *piece, size_t len,
                    dk_err *err)
{
    size_t n = strlen(before);
    void *tok = t->tok, *text = t->text;

    if (len > UINT32_MAX - n - 1 || t->text_len > UINT32_MAX - n - len - 1)
        return dk_fail(err, DK_ENOMEM, "more than 4 GiB of tokens");
    int rc = reserve(&tok, &t->cap, t->n + 1, sizeof *t->tok, err);
    t->tok = tok;
    if (!rc)
        rc = reserve(&text, &t->text_cap, t->text_len + n + len + 1, 1, err);
    t->text = text;
    if (rc)
        return rc;
    t->tok[t->n++] = (dk_token){id, (uint32_t)t->text_len, (uint32_t)(n + len)};
    memcpy(t->text + t->text_len, before, n);
    if (len)
        memcpy(t->text + t->text_len + n, piece, len);
    t->text_len += n + len;
    t->text[t->text_len++] = '\0';
    return 0;
}

int dk_tokens_push(dk_tokens *t, int32_t id, const char *piece, size_t len, dk_err *err)
{
    return dk_tokens_push2(t, id, "", piece, len, err);
}

/* ---- Building. */

dk_tokenizer *dk_tokenizer_new(const char *name, const char *kind, dk_model_kind model)
{
    dk_tokenizer *t = dk_xcalloc(1, sizeof *t);

    t->name = dk_xstrdup(name);
    t->kind = kind;
    t->model = model;
    t->pad = t->eos = -1;
    return t;
}

void dk_tokenizer_free(dk_tokenizer *t)
{
    if (!t)
        return;
    dk_unigram_free(&t->unigram);
    dk_wordpiece_free(&t->wordpiece);
    dk_charsmap_free(&t->spm.map);
    dk_trie_free(&t->spm.user_defined);
    dk_added_free(&t->added);
    for (size_t i = 0; i < t->n_norm; i++)
        dk_norm_step_free(&t->norm[i]);
    free(t->name);
    free(t);
}

static int32_t find_in_model(const dk_tokenizer *t, const char *text, size_t len)
{
    return t->model == DK_MODEL_WORDPIECE ? dk_trie_find(&t->wordpiece.trie, text, len)
                                          : dk_unigram_find(&t->unigram, text, len);
}

int32_t dk_tokenizer_find(const dk_tokenizer *t, const char *text, size_t len)
{
    int32_t id = find_in_model(t, text, len);
    for (size_t i = t->added.n; id < 0 && i-- > 0;)
        if (t->added.tok[i].len == len && memcmp(t->added.tok[i].text, text, len) == 0)
            id = t->added.tok[i].id;
    return id;
}

int dk_tokenizer_add(dk_tokenizer *t, const char *text, int64_t id, dk_added_token flags,
                     dk_err *err)
{
    int32_t own = find_in_model(t, text, strlen(text));

    if (own >= 0 && id >= 0 && id != own)
        return dk_fail(err, DK_EFORMAT,
                       "%s: added token \"%.80s\" has id %lld, but the vocabulary says %d", t->name,
                       text, (long long)id, (int)own);
    if (own < 0 && id >= 0 && t->model != DK_MODEL_WORDPIECE && (size_t)id < t->unigram.n)
        return dk_fail(
            err, DK_EFORMAT, "%s: added token \"%.80s\" has id %lld, which is the piece \"%.*s\"",
            t->name, text, (long long)id, (int)t->unigram.piece[id].len, t->unigram.piece[id].s);
    if (own < 0 && (id < 0 || id > (int64_t)DK_MAX_PIECES * 2))
        return dk_fail(err, DK_EFORMAT, "%s: added token \"%.80s\" has id %lld", t->name, text,
                       (long long)id);
    if (dk_added_put(&t->added, text, own >= 0 ? own : (int32_t)id, flags, err))
        return dk_wrap(err, "%s", t->name);
    return 0;
}

/* One trie of the added tokens that are sought in raw (or in normalised) text. A spiece.model's own
 * normaliser puts marks in front, so all of its added tokens are sought in raw text. */
static int build_added(dk_tokenizer *t, bool normalized, dk_trie *trie, dk_err *err)
{
    dk_word *words = dk_xcalloc(t->added.n, sizeof *words);
    dk_buf pool = {0}, spare = {0};
    size_t n = 0;
    char **copy = dk_xcalloc(t->added.n, sizeof *copy);
    int rc = 0;

    for (size_t i = 0; i < t->added.n && !rc; i++) {
        const dk_added_token *a = &t->added.tok[i];
        bool in_normal_text = a->normalized && t->model != DK_MODEL_SPIECE;
        if (in_normal_text != normalized)
            continue;
        words[n] = (dk_word){a->text, a->len, (int32_t)i};
        if (normalized) {
            rc = dk_normalize(t->norm, t->n_norm, a->text, a->len, &pool, &spare, err);
            copy[n] = dk_xstrndup(dk_buf_str(&pool), pool.len);
            words[n].s = copy[n];
            words[n].len = pool.len;
        }
        n++;
    }
    if (!rc && dk_trie_build(trie, words, n, err))
        rc = dk_wrap(err, "%s: added tokens", t->name);
    for (size_t i = 0; i < t->added.n; i++)
        free(copy[i]);
    free(copy);
    free(words);
    dk_buf_free(&pool);
    dk_buf_free(&spare);
    return rc;
}

int dk_tokenizer_finish(dk_tokenizer *t, dk_err *err)
{
    t->size = t->model == DK_MODEL_WORDPIECE ? (size_t)(t->wordpiece.max_id + 1) : t->unigram.n;
    for (size_t i = 0; i < t->added.n; i++)
        if ((size_t)t->added.tok[i].id >= t->size)
            t->size = (size_t)t->added.tok[i].id + 1;
    int rc = build_added(t, false, &t->added.raw, err);
    return rc ? rc : build_added(t, true, &t->added.norm, err);
}

/* ---- The files beside a vocabulary. */

/* "x" or {"content": "x", ...}. */
static int token_text(dk_jnode n, const char **text, dk_err *err)
{
    if (json_is_string(n.v)) {
        *text = json_string_value(n.v);
        return 0;
    }
    dk_jnode content = dk_json_key(n, "content");
    if (!json_is_string(content.v))
        return dk_json_expected(n, "a token's text", err);
    *text = json_string_value(content.v);
    return 0;
}

int dk_token_name(const dk_tokenizer_files *f, const char *key, const char *def, const char **name,
                  dk_err *err)
{
    const dk_json *docs[] = {&f->config, &f->special_map};

    for (int i = 0; i < 2; i++) {
        dk_jnode n = dk_json_key(dk_json_root(docs[i]), key);
        if (n.v && !dk_json_is_null(n))
            return token_text(n, name, err);
    }
    *name = def;
    return 0;
}

int dk_added_flags(dk_jnode n, dk_added_token *flags, dk_err *err)
{
    bool special;

    if (dk_json_bool(n, "special", false, &special, err) ||
        dk_json_bool(n, "single_word", false, &flags->single_word, err) ||
        dk_json_bool(n, "lstrip", false, &flags->lstrip, err) ||
        dk_json_bool(n, "rstrip", false, &flags->rstrip, err) ||
        dk_json_bool(n, "normalized", !special, &flags->normalized, err))
        return err->code;
    return 0;
}

static int add_decoder(dk_tokenizer *t, dk_jnode decoder, dk_err *err)
{
    const char *key, *text = NULL;
    json_t *value;

    json_object_foreach(decoder.v, key, value)
    {
        dk_jnode n = dk_json_key(decoder, key);
        dk_added_token flags = {0};
        char *end;
        long long id = strtoll(key, &end, 10);
        if (end == key || *end || id < 0)
            return dk_fail(err, DK_EFORMAT, "%s: %s: expected an id, found \"%.40s\"", n.doc,
                           decoder.at, key);
        if (token_text(n, &text, err) || dk_added_flags(n, &flags, err) ||
            dk_tokenizer_add(t, text, id, flags, err))
            return err->code;
    }
    return 0;
}

int dk_add_listed_tokens(dk_tokenizer *t, const dk_tokenizer_files *f, dk_err *err)
{
    dk_jnode added = dk_json_root(&f->added);
    dk_jnode decoder = dk_json_key(dk_json_root(&f->config), "added_tokens_decoder");
    const char *text;
    json_t *value;

    if (added.v && !json_is_object(added.v))
        return dk_json_expected(added, "an object", err);
    json_object_foreach(added.v, text, value)
    {
        if (!json_is_integer(value) || json_integer_value(value) < 0)
            return dk_json_expected(dk_json_key(added, text), "an id", err);
        if (dk_tokenizer_add(t, text, json_integer_value(value), (dk_added_token){0}, err))
            return err->code;
    }
    if (!decoder.v || dk_json_is_null(decoder))
        return 0;
    return json_is_object(decoder.v) ? add_decoder(t, decoder, err)
                                     : dk_json_expected(decoder, "an object", err);
}

/* dir/name as a document called label/name; an absent file leaves *j zeroed. */
static int load_beside(dk_json *j, const char *dir, const char *label, const char *name,
                       dk_err *err)
{
    char *path = dk_path_join(dir, name), *shown = dk_path_join(label, name), *data = NULL;
    size_t len;
    int rc = 0;

    *j = (dk_json){NULL, NULL};
    if (dk_exists(path)) {
        rc = dk_read_file(path, DK_MAX_TOKENIZER_FILE, &data, &len, err);
        if (!rc)
            rc = dk_json_parse(j, data, len, shown, err);
        if (!rc && !json_is_object(j->root))
            rc = dk_json_expected(dk_json_root(j), "an object", err);
    }
    free(data);
    free(shown);
    free(path);
    return rc;
}

dk_tokenizer *dk_tokenizer_open(const char *dir, const char *label, dk_err *err)
{
    static const char *const vocabularies[] = {"spiece.model", "vocab.txt", "tokenizer.json"};
    dk_tokenizer_files f = {0};
    dk_tokenizer *t = NULL;
    char *path = NULL, *shown = NULL, *data = NULL;
    size_t len;
    int k;

    for (k = 0; k < 3; k++) {
        free(path);
        path = dk_path_join(dir, vocabularies[k]);
        if (dk_exists(path))
            break;
    }
    if (k == 3) {
        dk_fail(err, DK_EFORMAT,
                "%s: no tokenizer: expected spiece.model, vocab.txt or tokenizer.json", label);
        goto out;
    }
    shown = dk_path_join(label, vocabularies[k]);
    if (load_beside(&f.config, dir, label, "tokenizer_config.json", err) ||
        load_beside(&f.special_map, dir, label, "special_tokens_map.json", err) ||
        load_beside(&f.added, dir, label, "added_tokens.json", err) ||
        dk_read_file(path, DK_MAX_TOKENIZER_FILE, &data, &len, err))
        goto out;
    if (dk_st_is_lfs(data, len)) {
        dk_fail(err, DK_EFORMAT, "%s: " DK_ST_LFS_TEXT, shown);
        goto out;
    }
    t = k == 0   ? dk_read_spiece(data, len, shown, &f, err)
        : k == 1 ? dk_read_vocab(data, len, shown, &f, err)
                 : dk_read_tokenizer_json(data, len, shown, &f, err);
out:
    dk_json_free(&f.config);
    dk_json_free(&f.special_map);
    dk_json_free(&f.added);
    free(data);
    free(shown);
    free(path);
    return t;
}

const char *dk_tokenizer_kind(const dk_tokenizer *t)
{
    return t->kind;
}

size_t dk_tokenizer_size(const dk_tokenizer *t)
{
    return t->size;
}

int32_t dk_tokenizer_pad(const dk_tokenizer *t)
{
    return t->pad;
}

int32_t dk_tokenizer_eos(const dk_tokenizer *t)
{
    return t->eos;
}

/* ---- Encoding. */

int dk_model_encode(dk_encoding *e, const char *s, size_t len, dk_err *err)
{
    if (e->t->model == DK_MODEL_WORDPIECE)
        return dk_wordpiece_encode(&e->t->wordpiece, s, len, e->out, err);
    return dk_unigram_encode(&e->t->unigram, &e->viterbi, s, len, e->out, err);
}

/* A stretch of raw text between added tokens. */
static int encode_rest(dk_encoding *e, const char *s, size_t len, bool at_start, dk_err *err)
{
    const dk_tokenizer *t = e->t;
    dk_parts parts = {0};
    int rc;

    if (t->model == DK_MODEL_SPIECE) {
        dk_buf_clear(&e->norm);
        rc = dk_spm_normalize(&t->spm, s, len, &e->norm, err);
        return rc ? rc : dk_model_encode(e, dk_buf_str(&e->norm), e->norm.len, err);
    }
    rc = dk_normalize(t->norm, t->n_norm, s, len, &e->norm, &e->spare, err);
    const char *text = dk_buf_str(&e->norm);
    if (!rc)
        rc = dk_added_split(&t->added, &t->added.norm, text, e->norm.len, &parts, err);
    for (size_t i = 0; i < parts.n && !rc; i++) {
        const dk_part *p = &parts.part[i];
        rc = p->id >= 0 ? dk_tokens_push(e->out, p->id, text + p->at, p->len, err)
                        : dk_pretokenize(e, 0, text + p->at, p->len, at_start && p->at == 0, err);
    }
    free(parts.part);
    return rc;
}

static int encode_valid(dk_encoding *e, const char *s, size_t len, dk_err *err)
{
    dk_parts parts = {0};
    int rc = dk_added_split(&e->t->added, &e->t->added.raw, s, len, &parts, err);

    for (size_t i = 0; i < parts.n && !rc; i++) {
        const dk_part *p = &parts.part[i];
        rc = p->id >= 0 ? dk_tokens_push(e->out, p->id, s + p->at, p->len, err)
                        : encode_rest(e, s + p->at, p->len, p->at == 0, err);
    }
    free(parts.part);
    return rc;
}

/* Copies s with every invalid byte replaced. */
static void repair(const char *s, size_t len, dk_buf *out)
{
    for (size_t at = 0; at < len;) {
        int32_t c;
        at += dk_utf8_next(s + at, len - at, &c);
        dk_utf8_put(out, c);
    }
}

int dk_tokenizer_encode(const dk_tokenizer *t, const char *text, size_t len, dk_tokens *out,
                        dk_err *err)
{
    dk_encoding e = {.t = t, .out = out};
    dk_buf repaired = {0};

    if (dk_utf8_invalid(text, len) < len) {
        repair(text, len, &repaired);
        text = repaired.data;
        len = repaired.len;
    }
    int rc = encode_valid(&e, text, len, err) ? dk_wrap(err, "%s", t->name) : 0;
    dk_buf_free(&repaired);
    dk_buf_free(&e.norm);
    dk_buf_free(&e.spare);
    for (size_t i = 0; i < t->n_pre; i++)
        dk_buf_free(&e.word[i]);
    dk_viterbi_free(&e.viterbi);
    return rc;
}

static int push_named(const dk_tokenizer *t, int32_t id, dk_tokens *out, dk_err *err)
{
    if (t->model != DK_MODEL_WORDPIECE && (size_t)id < t->unigram.n)
        return dk_tokens_push(out, id, t->unigram.piece[id].s, t->unigram.piece[id].len, err);
    for (size_t i = 0; i < t->added.n; i++)
        if (t->added.tok[i].id == id)
            return dk_tokens_push(out, id, t->added.tok[i].text, t->added.tok[i].len, err);
    for (size_t i = 0; i < t->wordpiece.n; i++)
        if (t->wordpiece.word[i].value == id)
            return dk_tokens_push(out, id, t->wordpiece.word[i].s, t->wordpiece.word[i].len, err);
    return dk_tokens_push(out, id, "", 0, err);
}

static int push_frame(const dk_tokenizer *t, const int32_t *id, size_t n, dk_tokens *out,
                      dk_err *err)
{
    for (size_t i = 0; i < n; i++)
        if (push_named(t, id[i], out, err))
            return err->code;
    return 0;
}

int dk_tokenizer_prompt(const dk_tokenizer *t, const char *text, size_t len, size_t max_length,
                        dk_tokens *out, size_t *cut, dk_err *err)
{
    size_t frame = t->n_prefix + t->n_suffix, n0 = out->n, removed = 0;

    if (max_length < frame)
        return dk_fail(err, DK_EUSAGE,
                       "a maximum of %zu tokens leaves no room for the %zu special ones",
                       max_length, frame);
    if (push_frame(t, t->prefix, t->n_prefix, out, err) ||
        dk_tokenizer_encode(t, text, len, out, err))
        return err->code;
    size_t most = n0 + max_length - t->n_suffix;
    if (out->n > most) {
        removed = out->n - most;
        out->text_len = out->tok[most].piece_at;
        out->n = most;
    }
    if (cut)
        *cut = removed;
    return push_frame(t, t->suffix, t->n_suffix, out, err);
}
