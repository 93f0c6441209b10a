/* Reader of spiece.model, a SentencePiece unigram model (protobuf; spiece.proto). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "text/spiece.pb-c.h"
#include "text/tokenizer_internal.h"

#define MODEL_UNIGRAM 1

/* Default of T5's configuration. */
#define DEFAULT_EXTRA_IDS 100
#define MAX_EXTRA_IDS     10000

/* protobuf-c makes an object of every few bytes of a file. The budget keeps that proportional; a
 * vocabulary of five-byte pieces needs about 20 bytes per byte. */
#define MEMORY_PER_BYTE 48
#define MEMORY_BASE     ((size_t)1 << 20)

typedef struct budget {
    size_t left;
} budget;

static void *budget_alloc(void *data, size_t n)
{
    budget *b = data;
    if (n > b->left)
        return NULL;
    b->left -= n;
    return malloc(n ? n : 1);
}

static void budget_free(void *data, void *p)
{
    (void)data;
    free(p);
}

static const char *type_name(int32_t model_type)
{
    static const char *const names[] = {"?", "UNIGRAM", "BPE", "WORD", "CHAR"};
    return model_type >= 1 && model_type <= 4 ? names[model_type] : names[0];
}

/* Checks piece i and copies it behind `pool`. */
static int take_piece(dk_unigram *u, size_t i, const Dk__Spiece__Piece *p, char **pool, dk_err *err)
{
    dk_piece *to = &u->piece[i];

    if (!p->has_piece || p->piece.len == 0)
        return dk_fail(err, DK_EFORMAT, "piece %zu is empty", i);
    if (p->type < DK_PIECE_NORMAL || p->type > DK_PIECE_BYTE)
        return dk_fail(err, DK_EFORMAT, "piece %zu: expected a type from 1 to 6, found %d", i,
                       (int)p->type);
    if (!isfinite(p->score))
        return dk_fail(err, DK_EFORMAT, "piece %zu: the score is not finite", i);
    if (p->type == DK_PIECE_UNKNOWN && u->unk >= 0)
        return dk_fail(err, DK_EFORMAT, "pieces %d and %zu are both of type UNKNOWN", (int)u->unk,
                       i);
    if (p->type == DK_PIECE_UNKNOWN)
        u->unk = (int32_t)i;
    if (p->type == DK_PIECE_BYTE && !u->byte_fallback)
        return dk_fail(err, DK_EFORMAT, "piece %zu is of type BYTE, but byte_fallback is off", i);
    *to = (dk_piece){*pool, (uint32_t)p->piece.len, (uint8_t)p->type, (double)p->score};
    memcpy(*pool, p->piece.data, p->piece.len);
    *pool += p->piece.len;
    return 0;
}

static int take_pieces(dk_unigram *u, const Dk__Spiece__Model *m, dk_err *err)
{
    size_t bytes = 0;
    char *pool;

    if (m->n_pieces == 0 || m->n_pieces > DK_MAX_PIECES)
        return dk_fail(err, DK_EFORMAT, "expected 1 to %zu pieces, found %zu", DK_MAX_PIECES,
                       m->n_pieces);
    for (size_t i = 0; i < m->n_pieces; i++)
        bytes += m->pieces[i]->piece.len;
    u->n = m->n_pieces;
    u->piece = calloc(u->n, sizeof *u->piece);
    pool = u->pool = malloc(bytes + 1);
    if (!u->piece || !u->pool)
        return dk_fail(err, DK_ENOMEM, "no memory for %zu pieces", u->n);
    u->style = DK_UNIGRAM_SENTENCEPIECE;
    u->unk = -1;
    u->byte_fallback = m->trainer_spec && m->trainer_spec->byte_fallback;
    for (size_t i = 0; i < u->n; i++)
        if (take_piece(u, i, m->pieces[i], &pool, err))
            return err->code;
    return u->unk < 0 ? dk_fail(err, DK_EFORMAT, "no piece of type UNKNOWN") : 0;
}

/* User-defined pieces pass the normaliser unchanged. */
static int take_user_defined(dk_tokenizer *t, dk_err *err)
{
    const dk_unigram *u = &t->unigram;
    dk_word *words = NULL;
    size_t n = 0;
    int rc;

    for (size_t i = 0; i < u->n; i++)
        n += u->piece[i].type == DK_PIECE_USER_DEFINED;
    if (n == 0)
        return 0;
    words = malloc(n * sizeof *words);
    if (!words)
        return dk_fail(err, DK_ENOMEM, "no memory for %zu user-defined pieces", n);
    n = 0;
    for (size_t i = 0; i < u->n; i++)
        if (u->piece[i].type == DK_PIECE_USER_DEFINED)
            words[n++] = (dk_word){u->piece[i].s, u->piece[i].len, (int32_t)i};
    rc = dk_trie_build(&t->spm.user_defined, words, n, err);
    free(words);
    return rc;
}

static int take_normalizer(dk_tokenizer *t, const Dk__Spiece__Model *m, dk_err *err)
{
    Dk__Spiece__NormalizerSpec defaults = DK__SPIECE__NORMALIZER_SPEC__INIT;
    const Dk__Spiece__NormalizerSpec *z = m->normalizer_spec ? m->normalizer_spec : &defaults;

    t->spm.add_dummy_prefix = z->add_dummy_prefix;
    t->spm.remove_extra_whitespaces = z->remove_extra_whitespaces;
    t->spm.escape_whitespaces = z->escape_whitespaces;
    t->spm.whitespace_as_suffix = m->trainer_spec && m->trainer_spec->treat_whitespace_as_suffix;
    if (dk_charsmap_init(&t->spm.map, z->precompiled_charsmap.data, z->precompiled_charsmap.len,
                         t->name, err))
        return err->code;
    return take_user_defined(t, err) ? dk_wrap(err, "%s", t->name) : 0;
}

/* The text the trainer gave a special piece, or `def`. */
static char *trained_name(const ProtobufCBinaryData *piece, const char *def)
{
    return piece && piece->len ? dk_xstrndup((const char *)piece->data, piece->len)
                               : dk_xstrdup(def);
}

/* A special token named by the configuration or the trainer: *id is -1 where no piece has that
 * text. It is cut out of texts also when its piece is an ordinary one. */
static int find_special(dk_tokenizer *t, const dk_tokenizer_files *f, const char *key,
                        const char *trained, int32_t *id, dk_err *err)
{
    const char *name;

    if (dk_token_name(f, key, trained, &name, err))
        return err->code;
    *id = dk_tokenizer_find(t, name, strlen(name));
    if (*id < 0 && strcmp(key, "eos_token") == 0)
        return dk_fail(err, DK_EFORMAT, "%s: no piece for the end token \"%s\"", t->name, name);
    if (*id < 0 || dk_added_find(&t->added, name))
        return 0;
    return dk_added_put(&t->added, name, *id, (dk_added_token){0}, err);
}

static int find_frame(dk_tokenizer *t, const Dk__Spiece__Model *m, const dk_tokenizer_files *f,
                      dk_err *err)
{
    const Dk__Spiece__TrainerSpec *s = m->trainer_spec;
    char *eos = trained_name(s ? &s->eos_piece : NULL, "</s>");
    char *pad = trained_name(s ? &s->pad_piece : NULL, "<pad>");

    int rc = find_special(t, f, "eos_token", eos, &t->eos, err);
    if (!rc)
        rc = find_special(t, f, "pad_token", pad, &t->pad, err);
    t->suffix[t->n_suffix++] = t->eos;
    free(eos);
    free(pad);
    return rc;
}

/* Control and unknown pieces are special tokens. */
static int add_special_pieces(dk_tokenizer *t, dk_err *err)
{
    int rc = 0;

    for (size_t i = 0; i < t->unigram.n && !rc; i++) {
        const dk_piece *p = &t->unigram.piece[i];
        if (p->type != DK_PIECE_CONTROL && p->type != DK_PIECE_UNKNOWN)
            continue;
        char *text = dk_xstrndup(p->s, p->len);
        rc = dk_added_put(&t->added, text, (int32_t)i, (dk_added_token){0}, err);
        free(text);
    }
    return rc;
}

/* <extra_id_k> follow the pieces in falling order: id = pieces + N - 1 - k (T5Tokenizer). One that
 * is a piece already keeps its id, and added_tokens.json, read later, may say otherwise. */
static int add_extra_ids(dk_tokenizer *t, const dk_tokenizer_files *f, dk_err *err)
{
    int64_t n, def = f->config.root ? DEFAULT_EXTRA_IDS : 0;
    int rc = dk_json_i64(dk_json_root(&f->config), "extra_ids", def, 0, MAX_EXTRA_IDS, &n, err);

    for (int64_t k = n - 1; k >= 0 && !rc; k--) {
        char *text = dk_xasprintf("<extra_id_%d>", (int)k);
        int32_t id = dk_unigram_find(&t->unigram, text, strlen(text));
        if (id < 0)
            id = (int32_t)((int64_t)t->unigram.n + n - 1 - k);
        rc = dk_added_put(&t->added, text, id, (dk_added_token){0}, err);
        free(text);
    }
    return rc;
}

dk_tokenizer *dk_read_spiece(const void *data, size_t len, const char *name,
                             const dk_tokenizer_files *f, dk_err *err)
{
    budget b = {len > DK_MAX_TOKENIZER_FILE ? 0 : len * MEMORY_PER_BYTE + MEMORY_BASE};
    ProtobufCAllocator allocator = {budget_alloc, budget_free, &b};
    dk_tokenizer *t = dk_tokenizer_new(name, "unigram (spiece.model)", DK_MODEL_SPIECE);
    Dk__Spiece__Model *m = NULL;

    if (len > DK_MAX_TOKENIZER_FILE) {
        dk_fail(err, DK_EFORMAT, "%s: larger than the limit of %zu bytes", name,
                DK_MAX_TOKENIZER_FILE);
        goto fail;
    }
    m = dk__spiece__model__unpack(&allocator, len, data);
    if (!m) {
        dk_fail(err, DK_EFORMAT, "%s: not a SentencePiece model", name);
        goto fail;
    }
    if (m->trainer_spec && m->trainer_spec->model_type != MODEL_UNIGRAM) {
        dk_fail(err, DK_EUNSUPPORTED, "%s: model type %d (%s), only UNIGRAM can be read", name,
                (int)m->trainer_spec->model_type, type_name(m->trainer_spec->model_type));
        goto fail;
    }
    if (take_pieces(&t->unigram, m, err)) {
        dk_wrap(err, "%s", name);
        goto fail;
    }
    if (dk_unigram_build(&t->unigram, name, err) || take_normalizer(t, m, err) ||
        add_special_pieces(t, err) || add_extra_ids(t, f, err) || dk_add_listed_tokens(t, f, err) ||
        find_frame(t, m, f, err) || dk_tokenizer_finish(t, err))
        goto fail;
    dk__spiece__model__free_unpacked(m, &allocator);
    return t;
fail:
    if (m)
        dk__spiece__model__free_unpacked(m, &allocator);
    dk_tokenizer_free(t);
    return NULL;
}

dk_tokenizer *dk_tokenizer_from_spiece(const void *data, size_t len, const char *name, dk_err *err)
{
    dk_tokenizer_files none = {0};
    return dk_read_spiece(data, len, name, &none, err);
}
