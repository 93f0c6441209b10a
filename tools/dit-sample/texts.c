/* The text phase: tokenizer and encoder are opened, used for every distinct text of the plan, and
 * released, so that the encoder (4.8 billion parameters in the published models) and the transformer
 * are never in memory together. Only the real tokens are encoded: padded positions are masked
 * everywhere, so leaving them out changes nothing. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sig.h"
#include "model/pixart.h"
#include "model/t5.h"
#include "ops/params.h"
#include "sample.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

struct ds_texts {
    ds_text *list; /* sorted by raw */
    int n;
    bool embeds; /* from --embeds-in: list[0] the prompt, list[1] the negative (if there is one) */
};

static int by_raw(const void *a, const void *b)
{
    return strcmp(((const ds_text *)a)->raw, ((const ds_text *)b)->raw);
}

static ds_text *find(ds_texts *t, const char *raw)
{
    ds_text key = {.raw = (char *)raw};
    return bsearch(&key, t->list, (size_t)t->n, sizeof key, by_raw);
}

ds_text *ds_texts_prompt(ds_texts *t, const ds_item *it)
{
    return t->embeds ? &t->list[0] : find(t, it->prompt);
}

ds_text *ds_texts_negative(ds_texts *t, const ds_item *it)
{
    return t->embeds ? &t->list[1] : find(t, it->negative);
}

static void count_uses(ds_texts *t, const ds_plan *p)
{
    for (int k = 0; k < p->n_images; k++) {
        const ds_item *it = p->images[k].item;
        ds_texts_prompt(t, it)->uses++;
        if (ds_guided(it))
            ds_texts_negative(t, it)->uses++;
    }
}

/* All distinct texts, sorted. */
static void collect(ds_texts *t, const ds_plan *p)
{
    t->list = dk_xcalloc((size_t)p->n_items * 2, sizeof *t->list);
    for (int i = 0; i < p->n_items; i++) {
        t->list[t->n++].raw = dk_xstrdup(p->items[i].prompt);
        if (ds_guided(&p->items[i]))
            t->list[t->n++].raw = dk_xstrdup(p->items[i].negative);
    }
    qsort(t->list, (size_t)t->n, sizeof *t->list, by_raw);
    int kept = 0;
    for (int i = 0; i < t->n; i++) {
        if (kept && strcmp(t->list[kept - 1].raw, t->list[i].raw) == 0)
            free(t->list[i].raw);
        else
            t->list[kept++] = t->list[i];
    }
    t->n = kept;
}

static int keep(ds_text *x, const float *hidden, int64_t tokens, int64_t dim, dk_err *err)
{
    size_t bytes = (size_t)tokens * (size_t)dim * sizeof(float);

    x->tokens = tokens;
    x->dim = dim;
    x->hidden = dk_alloc(bytes, "text states", err);
    if (!x->hidden)
        return err->code;
    memcpy(x->hidden, hidden, bytes);
    return 0;
}

/* Lower-case and strip, tokenise, encode. */
static int encode(const ds_plan *p, const dk_tokenizer *tok, const dk_t5 *t5, int dim, dk_ctx *c,
                  ds_text *x, dk_err *err)
{
    dk_buf low = {0};
    dk_tokens tokens = {0};
    int32_t *ids = NULL;
    size_t begin, end, cut = 0;

    dk_utf8_lower(x->raw, strlen(x->raw), &low);
    dk_utf8_strip(dk_buf_str(&low), low.len, &begin, &end);
    if (dk_tokenizer_prompt(tok, dk_buf_str(&low) + begin, end - begin, (size_t)p->max_length,
                            &tokens, &cut, err))
        goto out;
    if (cut)
        dk_warn("prompt \"%.40s%s\" is cut: %zu tokens are above the limit of %d (--max-length)",
                x->raw, strlen(x->raw) > 40 ? "..." : "", tokens.n + cut, p->max_length);
    ids = dk_xmalloc(tokens.n * sizeof *ids);
    for (size_t i = 0; i < tokens.n; i++)
        ids[i] = tokens.tok[i].id;
    dk_arena_mark mark = dk_arena_save(c->arena);
    dk_tensor out = dk_new(c, DK_SHAPE((int64_t)tokens.n, dim));
    dk_t5_encode(t5, c, ids, NULL, (int64_t)tokens.n, &out);
    dk_op_finite(c, &out, "text encoder output");
    if (!dk_ctx_take(c, err))
        keep(x, dk_f32(&out), (int64_t)tokens.n, dim, err);
    dk_arena_restore(c->arena, mark);
out:
    free(ids);
    dk_tokens_free(&tokens);
    dk_buf_free(&low);
    return err->code;
}

static int encode_all(ds_texts *t, const ds_plan *p, const dk_ops *ops, dk_err *err)
{
    dk_t5_config cfg;
    dk_ctx c;
    dk_tokenizer *tok = NULL;
    dk_weights *w = NULL;
    dk_params *params = NULL;
    dk_t5 *t5 = NULL;
    char *dir = dk_model_dir_path(&p->dir, DK_COMP_TOKENIZER);

    dk_ctx_init(&c, ops);
    if (dk_t5_config_read(&cfg, dk_model_dir_config(&p->dir, DK_COMP_TEXT_ENCODER), err) ||
        !(tok = dk_tokenizer_open(dir, "tokenizer", err)) ||
        !(w = dk_model_dir_weights(&p->dir, DK_COMP_TEXT_ENCODER, err)))
        goto out;
    params = dk_params_new(w);
    t5 = dk_t5_new(&cfg, params);
    if (dk_params_load(params, ops, err))
        goto out;
    dk_progress *bar = dk_progress_begin("text", t->n);
    for (int i = 0; i < t->n && !err->code; i++) {
        if (!dk_check_cancel(err))
            encode(p, tok, t5, cfg.d_model, &c, &t->list[i], err);
        dk_progress_step(bar, i + 1);
    }
    dk_progress_end(bar);
    dk_info("text: %d texts, %.1f MiB of activations at most", t->n,
            (double)dk_arena_peak(c.arena) / 1048576.0);
out:
    dk_params_free(params);
    dk_t5_free(t5);
    dk_weights_close(w);
    dk_tokenizer_free(tok);
    dk_ctx_fini(&c);
    free(dir);
    return err->code;
}

/* NAME.hidden [L, D] with NAME.mask [L] (1 keep; absent: keep all): the kept rows. */
static int read_state(const dk_st *st, const char *who, int dim, ds_text *x, dk_err *err)
{
    char *hidden_name = dk_xasprintf("%s.hidden", who), *mask_name = dk_xasprintf("%s.mask", who);
    const dk_st_tensor *h = dk_st_find(st, hidden_name), *m = dk_st_find(st, mask_name);
    float *rows = NULL, *mask = NULL;
    char shape[96];
    int64_t kept = 0;

    if (!h)
        dk_fail(err, DK_EFORMAT, "%s: no tensor \"%s\"", dk_st_path(st), hidden_name);
    else if (h->ndim != 2 || h->shape[0] < 1 || h->shape[1] != dim || !dk_dtype_is_float(h->dtype))
        dk_fail(err, DK_EFORMAT, "%s: tensor \"%s\": expected floats [tokens, %d], found %s %s",
                dk_st_path(st), hidden_name, dim, dk_dtype_name(h->dtype),
                dk_shape_str(h->ndim, h->shape, shape, sizeof shape));
    else if (m && (m->count != h->shape[0] || !dk_dtype_is_numeric(m->dtype)))
        dk_fail(err, DK_EFORMAT, "%s: tensor \"%s\": expected %lld numbers, found %s %s",
                dk_st_path(st), mask_name, (long long)h->shape[0], dk_dtype_name(m->dtype),
                dk_shape_str(m->ndim, m->shape, shape, sizeof shape));
    if (err->code)
        goto out;
    rows = dk_alloc((size_t)h->count * sizeof(float), "text states", err);
    mask = dk_alloc((size_t)h->shape[0] * sizeof(float), "text mask", err);
    if (!rows || !mask)
        goto out;
    dk_to_f32(h->dtype, h->data, rows, (size_t)h->count);
    for (int64_t i = 0; i < h->shape[0]; i++)
        mask[i] = 1;
    if (m)
        dk_to_f32(m->dtype, m->data, mask, (size_t)m->count);
    for (int64_t i = 0; i < h->shape[0]; i++)
        if (mask[i] != 0)
            memmove(rows + kept++ * dim, rows + i * dim, (size_t)dim * sizeof(float));
    if (kept == 0)
        dk_fail(err, DK_EFORMAT, "%s: tensor \"%s\" keeps no token", dk_st_path(st), mask_name);
    else
        keep(x, rows, kept, dim, err);
out:
    dk_free_aligned(rows);
    dk_free_aligned(mask);
    free(hidden_name);
    free(mask_name);
    return err->code;
}

static int read_embeds(ds_texts *t, const ds_plan *p, dk_err *err)
{
    dk_pixart_config cfg;
    dk_st *st;

    if (dk_pixart_config_read(&cfg, dk_model_dir_config(&p->dir, DK_COMP_TRANSFORMER), err) ||
        !(st = dk_st_open(p->o->embeds_in, err)))
        return err->code;
    t->embeds = true;
    t->list = dk_xcalloc(2, sizeof *t->list);
    t->n = 2;
    if (!read_state(st, "prompt", cfg.caption_channels, &t->list[0], err) &&
        ds_guided(&p->items[0]))
        read_state(st, "negative", cfg.caption_channels, &t->list[1], err);
    dk_st_close(st);
    return err->code;
}

ds_texts *ds_texts_new(const ds_plan *p, const dk_ops *ops, dk_err *err)
{
    ds_texts *t = dk_xcalloc(1, sizeof *t);
    int rc;

    if (p->o->embeds_in) {
        rc = read_embeds(t, p, err);
    } else {
        collect(t, p);
        rc = encode_all(t, p, ops, err);
    }
    if (rc) {
        ds_texts_free(t);
        return NULL;
    }
    count_uses(t, p);
    return t;
}

void ds_texts_free(ds_texts *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->n; i++) {
        free(t->list[i].raw);
        dk_free_aligned(t->list[i].hidden);
        dk_pixart_text_free(t->list[i].kv);
    }
    free(t->list);
    free(t);
}

static void add_state(dk_st_writer *w, const char *who, const ds_text *x, const int64_t *ones)
{
    char *hidden = dk_xasprintf("%s.hidden", who), *mask = dk_xasprintf("%s.mask", who);
    dk_st_writer_add(w, hidden, DK_F32, DK_SHAPE(x->tokens, x->dim), x->hidden);
    dk_st_writer_add(w, mask, DK_I64, DK_SHAPE(x->tokens), ones);
    free(hidden);
    free(mask);
}

int ds_texts_save(ds_texts *t, const ds_plan *p, dk_err *err)
{
    const ds_item *it = &p->items[0];
    const ds_text *a = ds_texts_prompt(t, it), *b = ds_guided(it) ? ds_texts_negative(t, it) : NULL;
    int64_t longest = b && b->tokens > a->tokens ? b->tokens : a->tokens;
    int64_t *ones = dk_xmalloc((size_t)longest * sizeof *ones);
    dk_st_writer *w = dk_st_writer_new();

    for (int64_t i = 0; i < longest; i++)
        ones[i] = 1;
    dk_st_writer_meta(w, "model_hash", p->hash);
    add_state(w, "prompt", a, ones);
    if (b)
        add_state(w, "negative", b, ones);
    int rc = dk_st_writer_save(w, p->o->embeds_out, p->o->force, err);
    dk_st_writer_free(w);
    free(ones);
    return rc;
}
