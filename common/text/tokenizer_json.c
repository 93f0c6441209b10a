/* Reader of tokenizer.json, the file of the tokenizers library: Unigram and WordPiece models with
 * the normalisers and pre-tokenizers that go with them. Anything else is named as unsupported. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/tokenizer_internal.h"
#include "text/utf8.h"

#define MAX_RUN 1000

static int unsupported(dk_jnode n, const char *what, const char *found, dk_err *err)
{
    return dk_fail(err, DK_EUNSUPPORTED, "%s: %s: %s \"%.80s\" is not supported", n.doc, n.at, what,
                   found);
}

/* The "type" of an object. */
static int type_of(dk_jnode n, const char **type, dk_err *err)
{
    if (!json_is_object(n.v))
        return dk_json_expected(n, "an object", err);
    if (dk_json_str(n, "type", NULL, type, err))
        return err->code;
    return *type ? 0 : dk_json_expected(dk_json_key(n, "type"), "a string", err);
}

static int need_str(dk_jnode n, const char *key, const char **s, dk_err *err)
{
    if (dk_json_str(n, key, NULL, s, err))
        return err->code;
    return *s ? 0 : dk_json_expected(dk_json_key(n, key), "a string", err);
}

static bool is_absent(dk_jnode n)
{
    return !n.v || dk_json_is_null(n);
}

/* ---- Normalisers. */

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Decodes s; false when it is no base64 text. */
static bool decode_base64(const char *s, dk_buf *out)
{
    size_t len = strlen(s);
    uint32_t bits = 0;
    int have = 0;

    for (int k = 0; k < 2 && len && s[len - 1] == '='; k++)
        len--;
    for (size_t i = 0; i < len; i++) {
        int v = base64_value(s[i]);
        if (v < 0)
            return false;
        bits = (bits << 6 | (uint32_t)v) & 0xFFFFFF;
        have += 6;
        if (have >= 8) {
            have -= 8;
            dk_buf_putc(out, (char)(bits >> have & 0xFF));
        }
    }
    return have < 6;
}

static int read_charsmap(dk_jnode n, dk_norm_step *z, dk_err *err)
{
    const char *text;
    dk_buf blob = {0};
    int rc = 0;

    z->kind = DK_NORM_CHARSMAP;
    if (dk_json_str(n, "precompiled_charsmap", "", &text, err))
        return err->code;
    if (!decode_base64(text, &blob))
        rc = dk_json_expected(dk_json_key(n, "precompiled_charsmap"), "base64 text", err);
    if (!rc)
        rc = dk_charsmap_init(&z->map, dk_buf_str(&blob), blob.len, n.doc, err);
    dk_buf_free(&blob);
    return rc;
}

/* Of regular expressions the ones that real files use: a plain character or \s, then + or {n,}. */
static bool parse_run(const char *re, dk_norm_step *z)
{
    size_t n = 0;
    int32_t c;
    char *end;

    if (strncmp(re, "\\s", 2) == 0) {
        z->whitespace = true;
        n = 2;
    } else if (*re && !strchr("\\^$.|?*+()[]{}", *re)) {
        n = dk_utf8_next(re, strlen(re), &c);
    }
    if (n == 0)
        return false;
    z->from = dk_xstrndup(re, n);
    z->at_least = 1;
    re += n;
    if (strcmp(re, "+") == 0)
        return true;
    if (re[0] != '{' || re[1] < '1' || re[1] > '9')
        return false;
    unsigned long times = strtoul(re + 1, &end, 10);
    z->at_least = times;
    return times <= MAX_RUN && strcmp(end, ",}") == 0;
}

static int read_replace(dk_jnode n, dk_norm_step *z, dk_err *err)
{
    dk_jnode pattern = dk_json_key(n, "pattern");
    const char *text, *re, *content;

    z->kind = DK_NORM_REPLACE;
    if (dk_json_str(pattern, "String", NULL, &text, err) ||
        dk_json_str(pattern, "Regex", NULL, &re, err) || need_str(n, "content", &content, err))
        return err->code;
    z->to = dk_xstrdup(content);
    if (text && text[0]) {
        z->from = dk_xstrdup(text);
        return 0;
    }
    if (!re)
        return dk_json_expected(pattern, "{\"String\": ...} or {\"Regex\": ...}", err);
    return parse_run(re, z) ? 0 : unsupported(pattern, "the expression", re, err);
}

static int read_bert_normalizer(dk_jnode n, dk_norm_step *z, dk_err *err)
{
    z->kind = DK_NORM_BERT;
    if (dk_json_bool(n, "clean_text", true, &z->clean, err) ||
        dk_json_bool(n, "handle_chinese_chars", true, &z->chinese, err) ||
        dk_json_bool(n, "lowercase", true, &z->lower, err) ||
        dk_json_bool(n, "strip_accents", z->lower, &z->accents, err))
        return err->code;
    return 0;
}

static int read_normalizer_step(dk_jnode n, const char *type, dk_norm_step *z, dk_err *err)
{
    static const struct {
        const char *type;
        dk_norm_kind kind;
        int form;
    } plain[] = {{"NFC", DK_NORM_FORM, DK_NFC},   {"NFD", DK_NORM_FORM, DK_NFD},
                 {"NFKC", DK_NORM_FORM, DK_NFKC}, {"NFKD", DK_NORM_FORM, DK_NFKD},
                 {"Lowercase", DK_NORM_LOWER, 0}, {"StripAccents", DK_NORM_STRIP_ACCENTS, 0}};
    const char *text;

    for (size_t i = 0; i < sizeof plain / sizeof plain[0]; i++)
        if (strcmp(type, plain[i].type) == 0) {
            z->kind = plain[i].kind;
            z->form = plain[i].form;
            return 0;
        }
    if (strcmp(type, "Precompiled") == 0)
        return read_charsmap(n, z, err);
    if (strcmp(type, "Replace") == 0)
        return read_replace(n, z, err);
    if (strcmp(type, "BertNormalizer") == 0)
        return read_bert_normalizer(n, z, err);
    if (strcmp(type, "Prepend") == 0) {
        z->kind = DK_NORM_PREPEND;
        if (need_str(n, "prepend", &text, err))
            return err->code;
        z->to = dk_xstrdup(text);
        return 0;
    }
    if (strcmp(type, "Strip") == 0) {
        z->kind = DK_NORM_STRIP;
        return dk_json_bool(n, "strip_left", true, &z->left, err) ||
                       dk_json_bool(n, "strip_right", true, &z->right, err)
                   ? err->code
                   : 0;
    }
    return unsupported(n, "normalizer", type, err);
}

/* Reads one step of the pipeline, whose "type" is `type`. */
typedef int read_step(dk_tokenizer *t, dk_jnode n, const char *type, dk_err *err);

/* A step, or a Sequence of steps in the list `key`; `depth` bounds their nesting. */
static int read_steps(dk_tokenizer *t, dk_jnode n, const char *key, read_step *read, int depth,
                      dk_err *err)
{
    const char *type;

    if (is_absent(n))
        return 0;
    if (type_of(n, &type, err))
        return err->code;
    if (strcmp(type, "Sequence") != 0)
        return read(t, n, type, err);
    dk_jnode list = dk_json_key(n, key);
    if (!json_is_array(list.v) || depth == DK_MAX_STEPS)
        return dk_json_expected(list, "a flat list", err);
    for (size_t i = 0; i < json_array_size(list.v); i++)
        if (read_steps(t, dk_json_item(list, i), key, read, depth + 1, err))
            return err->code;
    return 0;
}

static int add_normalizer(dk_tokenizer *t, dk_jnode n, const char *type, dk_err *err)
{
    if (t->n_norm == DK_MAX_STEPS)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: %s: more than %d normalizers", n.doc, n.at,
                       DK_MAX_STEPS);
    return read_normalizer_step(n, type, &t->norm[t->n_norm++], err);
}

/* ---- Pre-tokenizers. */

static int read_metaspace(dk_jnode n, dk_pre_step *m, dk_err *err)
{
    const char *replacement, *scheme;
    bool prefix;
    int32_t c;

    m->kind = DK_PRE_METASPACE;
    if (dk_json_str(n, "replacement", "\xE2\x96\x81", &replacement, err) ||
        dk_json_bool(n, "add_prefix_space", true, &prefix, err) ||
        dk_json_bool(n, "split", true, &m->split, err) ||
        dk_json_str(n, "prepend_scheme", prefix ? "always" : "never", &scheme, err))
        return err->code;
    size_t len = strlen(replacement);
    if (len == 0 || dk_utf8_next(replacement, len, &c) != len)
        return dk_json_expected(dk_json_key(n, "replacement"), "one character", err);
    memcpy(m->replacement, replacement, len + 1);
    if (strcmp(scheme, "always") == 0)
        m->prepend = DK_PREPEND_ALWAYS;
    else if (strcmp(scheme, "first") == 0)
        m->prepend = DK_PREPEND_FIRST;
    else if (strcmp(scheme, "never") == 0)
        m->prepend = DK_PREPEND_NEVER;
    else
        return dk_json_expected(dk_json_key(n, "prepend_scheme"), "always, first or never", err);
    if (!prefix && m->prepend != DK_PREPEND_NEVER)
        return dk_json_expected(dk_json_key(n, "prepend_scheme"),
                                "never, because add_prefix_space is false", err);
    return 0;
}

static int add_pretokenizer(dk_tokenizer *t, dk_jnode n, const char *type, dk_err *err)
{
    if (t->n_pre == DK_MAX_STEPS)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: %s: more than %d pre-tokenizers", n.doc, n.at,
                       DK_MAX_STEPS);
    dk_pre_step *step = &t->pre[t->n_pre++];
    if (strcmp(type, "Metaspace") == 0)
        return read_metaspace(n, step, err);
    if (strcmp(type, "WhitespaceSplit") == 0)
        step->kind = DK_PRE_WHITESPACE;
    else if (strcmp(type, "BertPreTokenizer") == 0)
        step->kind = DK_PRE_BERT;
    else
        return unsupported(n, "pre-tokenizer", type, err);
    return 0;
}

/* ---- Models. */

/* One [piece, score]. */
static int take_entry(dk_jnode vocab, size_t i, dk_piece *p, dk_err *err)
{
    const json_t *entry = json_array_get(vocab.v, i);
    const json_t *text = json_array_get(entry, 0), *score = json_array_get(entry, 1);

    if (json_array_size(entry) != 2 || !json_is_string(text) || !json_is_number(score))
        return dk_json_expected(dk_json_item(vocab, i), "[piece, score]", err);
    *p = (dk_piece){json_string_value(text), (uint32_t)json_string_length(text), DK_PIECE_NORMAL,
                    json_number_value(score)};
    return 0;
}

static int read_unigram(dk_tokenizer *t, dk_jnode n, dk_err *err)
{
    dk_jnode vocab = dk_json_key(n, "vocab");
    dk_unigram *u = &t->unigram;
    size_t bytes = 0;
    int64_t unk;
    char *pool;

    if (!json_is_array(vocab.v) || json_array_size(vocab.v) == 0 ||
        json_array_size(vocab.v) > DK_MAX_PIECES)
        return dk_json_expected(vocab, "a list of pieces", err);
    u->style = DK_UNIGRAM_TOKENIZERS;
    u->n = json_array_size(vocab.v);
    u->piece = calloc(u->n, sizeof *u->piece);
    if (!u->piece)
        return dk_fail(err, DK_ENOMEM, "%s: no memory for %zu pieces", t->name, u->n);
    for (size_t i = 0; i < u->n; i++) {
        if (take_entry(vocab, i, &u->piece[i], err))
            return err->code;
        bytes += u->piece[i].len;
    }
    pool = u->pool = malloc(bytes + 1);
    if (!pool)
        return dk_fail(err, DK_ENOMEM, "%s: no memory for %zu bytes of pieces", t->name, bytes);
    for (size_t i = 0; i < u->n; i++) {
        memcpy(pool, u->piece[i].s, u->piece[i].len);
        u->piece[i].s = pool;
        pool += u->piece[i].len;
    }
    if (dk_json_i64(n, "unk_id", -1, 0, (int64_t)u->n - 1, &unk, err) ||
        dk_json_bool(n, "byte_fallback", false, &u->byte_fallback, err))
        return err->code;
    u->unk = (int32_t)unk;
    return dk_unigram_build(u, t->name, err);
}

static int read_words(dk_wordpiece *w, dk_jnode vocab, dk_err *err)
{
    const char *key;
    json_t *value;
    size_t bytes = 0, at = 0;

    json_object_foreach(vocab.v, key, value)
    {
        if (!json_is_integer(value) || json_integer_value(value) < 0 ||
            json_integer_value(value) > (json_int_t)DK_MAX_PIECES)
            return dk_json_expected(dk_json_key(vocab, key), "an id", err);
        bytes += strlen(key) + 1;
    }
    w->word = calloc(json_object_size(vocab.v) + 1, sizeof *w->word);
    w->pool = malloc(bytes + 1);
    if (!w->word || !w->pool)
        return dk_fail(err, DK_ENOMEM, "%s: no memory for the vocabulary", vocab.doc);
    json_object_foreach(vocab.v, key, value)
    {
        size_t len = strlen(key);
        memcpy(w->pool + at, key, len + 1);
        w->word[w->n++] = (dk_word){w->pool + at, len, (int32_t)json_integer_value(value)};
        at += len + 1;
    }
    return 0;
}

static int read_wordpiece(dk_tokenizer *t, dk_jnode n, dk_err *err)
{
    dk_wordpiece *w = &t->wordpiece;
    dk_jnode vocab = dk_json_key(n, "vocab");
    const char *unk, *prefix;
    int64_t max_chars;

    if (!json_is_object(vocab.v) || json_object_size(vocab.v) == 0)
        return dk_json_expected(vocab, "an object of pieces", err);
    if (dk_json_str(n, "unk_token", "[UNK]", &unk, err) ||
        dk_json_str(n, "continuing_subword_prefix", "##", &prefix, err) ||
        dk_json_i64(n, "max_input_chars_per_word", 100, 0, INT32_MAX, &max_chars, err) ||
        read_words(w, vocab, err))
        return err->code;
    w->unk_text = dk_xstrdup(unk);
    w->prefix = dk_xstrdup(prefix);
    w->max_chars = (size_t)max_chars;
    return dk_wordpiece_build(w, t->name, err);
}

/* ---- Added tokens. */

/* The library numbers new added tokens in the order of the file, behind the vocabulary, whatever
 * ids stand there. A file where that would change an id is refused. */
static int read_added(dk_tokenizer *t, dk_jnode list, dk_err *err)
{
    bool wordpiece = t->model == DK_MODEL_WORDPIECE;
    size_t next = wordpiece ? t->wordpiece.n : t->unigram.n;

    if (is_absent(list))
        return 0;
    if (!json_is_array(list.v))
        return dk_json_expected(list, "a list", err);
    for (size_t i = 0; i < json_array_size(list.v); i++) {
        dk_jnode n = dk_json_item(list, i);
        dk_added_token flags = {0};
        const char *text;
        int64_t id;
        if (!json_is_object(n.v))
            return dk_json_expected(n, "an object", err);
        if (need_str(n, "content", &text, err) ||
            dk_json_i64(n, "id", -1, 0, (int64_t)DK_MAX_PIECES * 2, &id, err) ||
            dk_added_flags(n, &flags, err))
            return err->code;
        if (text[0] == '\0')
            continue;
        bool is_new = (wordpiece ? dk_trie_find(&t->wordpiece.trie, text, strlen(text))
                                 : dk_unigram_find(&t->unigram, text, strlen(text))) < 0;
        if (is_new && !wordpiece && id != (int64_t)next)
            return dk_fail(err, DK_EFORMAT,
                           "%s: %s: added token \"%.80s\": expected id %zu, found %lld", n.doc,
                           n.at, text, next, (long long)id);
        next += is_new;
        if (dk_tokenizer_add(t, text, id, flags, err))
            return err->code;
    }
    return 0;
}

/* ---- The frame of a prompt: what the post-processor puts around a text. */

static int push_frame_id(dk_tokenizer *t, bool behind, dk_jnode id, dk_err *err)
{
    int32_t *list = behind ? t->suffix : t->prefix;
    size_t *n = behind ? &t->n_suffix : &t->n_prefix;

    if (!json_is_integer(id.v) || json_integer_value(id.v) < 0 ||
        (size_t)json_integer_value(id.v) >= t->size)
        return dk_json_expected(id, "the id of a token", err);
    if (*n == DK_MAX_FRAME)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: post_processor: more than %d tokens on one side",
                       id.doc, DK_MAX_FRAME);
    list[(*n)++] = (int32_t)json_integer_value(id.v);
    return 0;
}

static int read_template(dk_tokenizer *t, dk_jnode n, dk_err *err)
{
    dk_jnode single = dk_json_key(n, "single"), specials = dk_json_key(n, "special_tokens");
    bool behind = false;

    if (!json_is_array(single.v))
        return dk_json_expected(single, "a list", err);
    for (size_t i = 0; i < json_array_size(single.v); i++) {
        dk_jnode item = dk_json_item(single, i), special = dk_json_key(item, "SpecialToken");
        const char *name;
        if (dk_json_key(item, "Sequence").v && !behind) {
            behind = true;
            continue;
        }
        if (!json_is_object(special.v))
            return dk_json_expected(item, "a SpecialToken or the one Sequence", err);
        if (need_str(special, "id", &name, err))
            return err->code;
        dk_jnode ids = dk_json_key(dk_json_key(specials, name), "ids");
        if (!json_is_array(ids.v))
            return dk_json_expected(ids, "a list of ids", err);
        for (size_t k = 0; k < json_array_size(ids.v); k++)
            if (push_frame_id(t, behind, dk_json_item(ids, k), err))
                return err->code;
    }
    return behind ? 0 : dk_json_expected(single, "a Sequence", err);
}

static int read_post_processor(dk_tokenizer *t, dk_jnode n, dk_err *err)
{
    const char *type;

    if (is_absent(n))
        return 0;
    if (type_of(n, &type, err))
        return err->code;
    if (strcmp(type, "TemplateProcessing") == 0)
        return read_template(t, n, err);
    if (strcmp(type, "BertProcessing") == 0 || strcmp(type, "RobertaProcessing") == 0) {
        /* ["[SEP]", 102] */
        if (push_frame_id(t, false, dk_json_item(dk_json_key(n, "cls"), 1), err) ||
            push_frame_id(t, true, dk_json_item(dk_json_key(n, "sep"), 1), err))
            return err->code;
        return 0;
    }
    return unsupported(n, "post-processor", type, err);
}

/* The end and padding tokens by name: of the files beside, else the usual one of the model. */
static int find_specials(dk_tokenizer *t, const dk_tokenizer_files *f, dk_err *err)
{
    bool wordpiece = t->model == DK_MODEL_WORDPIECE;
    const char *eos, *pad;

    if (dk_token_name(f, wordpiece ? "sep_token" : "eos_token", wordpiece ? "[SEP]" : "</s>", &eos,
                      err) ||
        dk_token_name(f, "pad_token", wordpiece ? "[PAD]" : "<pad>", &pad, err))
        return err->code;
    t->eos = t->n_suffix ? t->suffix[t->n_suffix - 1] : dk_tokenizer_find(t, eos, strlen(eos));
    t->pad = dk_tokenizer_find(t, pad, strlen(pad));
    return 0;
}

static int read_model(dk_tokenizer *t, dk_jnode model, dk_err *err)
{
    const char *type;

    if (type_of(model, &type, err))
        return err->code;
    if (strcmp(type, "Unigram") == 0)
        return read_unigram(t, model, err);
    if (strcmp(type, "WordPiece") != 0)
        return unsupported(model, "model", type, err);
    t->model = DK_MODEL_WORDPIECE;
    t->kind = "WordPiece (tokenizer.json)";
    return read_wordpiece(t, model, err);
}

dk_tokenizer *dk_read_tokenizer_json(const char *data, size_t len, const char *name,
                                     const dk_tokenizer_files *f, dk_err *err)
{
    dk_tokenizer *t = dk_tokenizer_new(name, "unigram (tokenizer.json)", DK_MODEL_UNIGRAM);
    dk_json doc = {0};
    int rc;

    if (len > DK_MAX_TOKENIZER_FILE)
        rc = dk_fail(err, DK_EFORMAT, "%s: larger than the limit of %zu bytes", name,
                     DK_MAX_TOKENIZER_FILE);
    else
        rc = dk_json_parse(&doc, data, len, name, err);
    dk_jnode root = dk_json_root(&doc);
    if (!rc && !json_is_object(root.v))
        rc = dk_json_expected(root, "an object", err);
    if (!rc &&
        (read_model(t, dk_json_key(root, "model"), err) ||
         read_steps(t, dk_json_key(root, "normalizer"), "normalizers", add_normalizer, 0, err) ||
         read_steps(t, dk_json_key(root, "pre_tokenizer"), "pretokenizers", add_pretokenizer, 0, err) ||
         read_added(t, dk_json_key(root, "added_tokens"), err) || dk_tokenizer_finish(t, err) ||
         read_post_processor(t, dk_json_key(root, "post_processor"), err) ||
         find_specials(t, f, err)))
        rc = err->code;
    dk_json_free(&doc);
    if (!rc)
        return t;
    dk_tokenizer_free(t);
    return NULL;
}

dk_tokenizer *dk_tokenizer_from_json(const char *data, size_t len, const char *name, dk_err *err)
{
    dk_tokenizer_files none = {0};
    return dk_read_tokenizer_json(data, len, name, &none, err);
}
