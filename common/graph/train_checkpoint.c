/* Checkpoints of a training run: a safetensors file with the current and the best weights, the
 * optimiser's state, the split and, as metadata, the options and the figures so far. Shuffles and
 * dropout are functions of (seed, epoch, step), so the epoch is the position of the random numbers
 * too. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/opt.h"
#include "graph/train_internal.h"

#define FORMAT "ditkit.gnn-train/1"

static void put_i64(dk_st_writer *w, const char *key, int64_t v)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64, v);
    dk_st_writer_meta(w, key, text);
}

static void put_f64(dk_st_writer *w, const char *key, double v)
{
    dk_buf b = {0};

    dk_train_real(&b, v);
    dk_st_writer_meta(w, key, dk_buf_str(&b));
    dk_buf_free(&b);
}

static void put_option(void *ctx, const char *key, const char *value)
{
    char name[64];

    snprintf(name, sizeof name, "option.%s", key);
    dk_st_writer_meta(ctx, name, value);
}

static void add_weights(dk_st_writer *w, const dk_trainer *t)
{
    const dk_param *p;
    size_t at = 0;
    char name[256];

    for (int i = 0; (p = dk_trainer_tensor(t->m, i)); i++) {
        int64_t shape[] = {p->rows, p->cols};
        snprintf(name, sizeof name, "model.%s", p->name);
        dk_st_writer_add(w, name, DK_F32, 2, shape, p->value);
        snprintf(name, sizeof name, "best.%s", p->name);
        dk_st_writer_add(w, name, DK_F32, 2, shape, t->best + at);
        at += (size_t)(p->rows * p->cols);
    }
}

int dk_trainer_save(const dk_trainer *t, dk_err *err)
{
    dk_st_writer *w = dk_st_writer_new();
    uint8_t *split = dk_alloc((size_t)t->items, "split of a checkpoint", err);
    int rc = split ? 0 : err->code;

    if (rc)
        goto out;
    for (int64_t i = 0; i < t->items; i++)
        split[i] = (uint8_t)t->split[i];
    dk_st_writer_meta(w, "format", FORMAT);
    put_i64(w, "epoch", t->epoch);
    put_i64(w, "best_epoch", t->best_epoch);
    put_i64(w, "best_right", t->best_right);
    put_f64(w, "best_train_loss", t->best_train_loss);
    put_f64(w, "best_val_loss", t->best_val_loss);
    dk_train_describe(&t->c, t->d, put_option, w);
    dk_st_writer_add(w, "split", DK_U8, 1, &t->items, split);
    add_weights(w, t);
    dk_optim_save(t->optim, w);
    rc = dk_st_writer_save(w, t->c.checkpoint, true, err);
out:
    dk_free_aligned(split);
    dk_st_writer_free(w);
    return rc;
}

/* ---- Reading. */

static int get_i64(const dk_st *st, const char *key, int64_t lo, int64_t hi, int64_t *out, dk_err *err)
{
    const char *text = dk_st_meta(st, key);

    if (!text)
        return dk_fail(err, DK_EFORMAT, "metadata \"%s\" is missing", key);
    if (dk_parse_i64(text, lo, hi, key, out, err))
        return err->code = DK_EFORMAT;
    return 0;
}

static int get_f64(const dk_st *st, const char *key, double *out, dk_err *err)
{
    const char *text = dk_st_meta(st, key);

    if (!text)
        return dk_fail(err, DK_EFORMAT, "metadata \"%s\" is missing", key);
    if (dk_parse_f64(text, -HUGE_VAL, HUGE_VAL, key, out, err))
        return err->code = DK_EFORMAT;
    return 0;
}

typedef struct compare {
    const dk_st *st;
    dk_buf differ;
    const char *missing;
} compare;

static void compare_option(void *ctx, const char *key, const char *value)
{
    compare *c = ctx;
    char name[64];
    const char *stored;

    snprintf(name, sizeof name, "option.%s", key);
    stored = dk_st_meta(c->st, name);
    if (!stored)
        c->missing = key;
    else if (strcmp(stored, value) != 0)
        dk_buf_printf(&c->differ, "%s%s is %.80s there and %.80s here", c->differ.len ? "; " : "", key,
                      stored, value);
}

static int check_options(const dk_trainer *t, const dk_st *st, dk_err *err)
{
    compare c = {.st = st};
    int rc = 0;

    dk_train_describe(&t->c, t->d, compare_option, &c);
    if (c.differ.len)
        rc = dk_fail(err, DK_EUSAGE, "is of another training run: %s", dk_buf_str(&c.differ));
    else if (c.missing)
        rc = dk_fail(err, DK_EFORMAT, "metadata \"option.%s\" is missing", c.missing);
    dk_buf_free(&c.differ);
    return rc;
}

static int read_tensor(const dk_st *st, const char *prefix, const dk_param *p, float *out, dk_err *err)
{
    char name[256], found[80], expected[80];
    int64_t shape[] = {p->rows, p->cols};

    snprintf(name, sizeof name, "%s.%s", prefix, p->name);
    const dk_st_tensor *s = dk_st_find(st, name);
    if (!s)
        return dk_fail(err, DK_EFORMAT, "tensor \"%s\" is missing", name);
    if (s->dtype != DK_F32 || s->ndim != 2 || s->shape[0] != p->rows || s->shape[1] != p->cols)
        return dk_fail(err, DK_EFORMAT, "tensor \"%s\": expected F32 %s, found %s %s", name,
                       dk_shape_str(2, shape, expected, sizeof expected), dk_dtype_name(s->dtype),
                       dk_shape_str(s->ndim, s->shape, found, sizeof found));
    memcpy(out, s->data, s->bytes);
    for (int64_t i = 0; i < s->count; i++)
        if (!isfinite(out[i]))
            return dk_fail(err, DK_EFORMAT, "tensor \"%s\": element %" PRId64 " is NaN or infinite",
                           name, i);
    return 0;
}

static int read_weights(dk_trainer *t, const dk_st *st, dk_err *err)
{
    const dk_param *p;
    size_t at = 0;

    for (int i = 0; (p = dk_trainer_tensor(t->m, i)); i++) {
        if (read_tensor(st, "model", p, p->value, err) ||
            read_tensor(st, "best", p, t->best + at, err))
            return err->code;
        at += (size_t)(p->rows * p->cols);
    }
    return 0;
}

/* The split follows from the options; a stored one that differs was made by another program. */
static int check_split(const dk_trainer *t, const dk_st *st, dk_err *err)
{
    const dk_st_tensor *s = dk_st_find(st, "split");

    if (!s || s->dtype != DK_U8 || s->ndim != 1 || s->count != t->items)
        return dk_fail(err, DK_EFORMAT, "tensor \"split\": expected U8 [%" PRId64 "], found %s",
                       t->items, s ? "another type or shape" : "none");
    for (int64_t i = 0; i < t->items; i++)
        if (((const uint8_t *)s->data)[i] != (uint8_t)t->split[i])
            return dk_fail(err, DK_EFORMAT,
                           "tensor \"split\": item %" PRId64 " is not in the part that the seed gives",
                           i);
    return 0;
}

static int read_figures(dk_trainer *t, const dk_st *st, dk_err *err)
{
    int64_t epoch, best_epoch, right;

    if (get_i64(st, "epoch", 1, INT32_MAX, &epoch, err) ||
        get_i64(st, "best_epoch", 1, epoch, &best_epoch, err) ||
        get_i64(st, "best_right", 0, t->items, &right, err) ||
        get_f64(st, "best_train_loss", &t->best_train_loss, err) ||
        get_f64(st, "best_val_loss", &t->best_val_loss, err))
        return err->code;
    if (epoch > t->c.epochs)
        return dk_fail(err, DK_EUSAGE, "holds %" PRId64 " epochs, more than the %d asked for", epoch,
                       t->c.epochs);
    t->epoch = (int)epoch;
    t->best_epoch = (int)best_epoch;
    t->best_right = right;
    return 0;
}

int dk_trainer_load(dk_trainer *t, dk_err *err)
{
    const char *path = t->c.checkpoint;
    dk_st *st = dk_st_open(path, err);
    const char *format;

    if (!st)
        return err->code;
    format = dk_st_meta(st, "format");
    if (!format || strcmp(format, FORMAT) != 0)
        dk_fail(err, DK_EFORMAT, "is no checkpoint of a training run (metadata \"format\": expected "
                                 "%s, found %.60s)", FORMAT, format ? format : "none");
    else if (check_options(t, st, err) == 0 && read_figures(t, st, err) == 0 &&
             check_split(t, st, err) == 0)
        read_weights(t, st, err);
    if (err->code)
        dk_wrap(err, "checkpoint %s", path);
    else
        dk_optim_load(t->optim, st, err); /* names the file itself */
    dk_st_close(st);
    return err->code;
}
