/* --trace: tensors of a run for comparison with other implementations, and --latent-out. Batches
 * deliver their rows in any grouping; the tensors hold all images in order. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "sample.h"

typedef struct entry {
    char *name;
    int ndim;
    int64_t shape[DK_MAX_DIMS];
    float *data;
} entry;

struct ds_trace {
    const ds_plan *plan;
    entry *entries;
    int n, cap;
    float *final; /* [images, C, h, w] for --latent-out */
    int64_t final_shape[4];
};

ds_trace *ds_trace_new(const ds_plan *p)
{
    ds_trace *t = dk_xcalloc(1, sizeof *t);
    t->plan = p;
    return t;
}

void ds_trace_free(ds_trace *t)
{
    if (!t)
        return;
    for (int i = 0; i < t->n; i++) {
        free(t->entries[i].name);
        dk_free_aligned(t->entries[i].data);
    }
    free(t->entries);
    dk_free_aligned(t->final);
    free(t);
}

/* The tensor `name` [rows, inner...], made at its first mention. Takes ownership of name. */
static entry *get(ds_trace *t, char *name, int64_t rows, int ndim, const int64_t *inner, dk_err *err)
{
    size_t count = (size_t)rows;

    for (int i = t->n - 1; i >= 0; i--) {
        if (strcmp(t->entries[i].name, name) == 0) {
            free(name);
            return &t->entries[i];
        }
    }
    if (t->n == t->cap) {
        t->cap = t->cap ? 2 * t->cap : 64;
        t->entries = dk_xrealloc(t->entries, (size_t)t->cap * sizeof *t->entries);
    }
    entry *e = &t->entries[t->n];
    e->name = name;
    e->ndim = ndim + 1;
    e->shape[0] = rows;
    for (int d = 0; d < ndim; d++) {
        e->shape[d + 1] = inner[d];
        count *= (size_t)inner[d];
    }
    e->data = dk_alloc(count * sizeof(float), "trace", err);
    if (!e->data) {
        free(name);
        return NULL;
    }
    t->n++;
    return e;
}

static void put(float *dest, int64_t row, const float *src, size_t count, size_t n)
{
    memcpy(dest + (size_t)row * n, src, count * n * sizeof(float));
}

int ds_trace_latent(ds_trace *t, int step, bool last, int first, int count, const float *x,
                    const int64_t shape[3], dk_err *err)
{
    size_t n = (size_t)(shape[0] * shape[1] * shape[2]);
    int images = t->plan->n_images;

    if (t->plan->o->trace) {
        entry *e = get(t, dk_xasprintf("latent.%03d", step), images, 3, shape, err);
        if (!e)
            return err->code;
        put(e->data, first, x, (size_t)count, n);
    }
    if (t->plan->o->latent_out && last) {
        if (!t->final) {
            t->final = dk_alloc((size_t)images * n * sizeof(float), "latents", err);
            if (!t->final)
                return err->code;
            t->final_shape[0] = images;
            memcpy(t->final_shape + 1, shape, 3 * sizeof *shape);
        }
        put(t->final, first, x, (size_t)count, n);
    }
    return 0;
}

int ds_trace_rows(ds_trace *t, int block, int first, int count, const dk_tensor *rows, dk_err *err)
{
    int halves = (int)(rows->shape[0] / count), images = t->plan->n_images;
    size_t n = (size_t)(dk_count(rows) / rows->shape[0]);
    char *name = block < 0 ? dk_xstrdup("step0.output") : dk_xasprintf("step0.block.%d", block);
    entry *e = get(t, name, (int64_t)halves * images, rows->ndim - 1, rows->shape + 1, err);

    if (!e)
        return err->code;
    for (int h = 0; h < halves; h++)
        put(e->data, (int64_t)h * images + first, dk_f32(rows) + (size_t)(h * count) * n,
            (size_t)count, n);
    return 0;
}

int ds_trace_image(ds_trace *t, int index, const float *image, const int64_t shape[3], dk_err *err)
{
    if (!t->plan->o->trace)
        return 0;
    entry *e = get(t, dk_xstrdup("image"), t->plan->n_images, 3, shape, err);
    if (!e)
        return err->code;
    put(e->data, index, image, 1, (size_t)(shape[0] * shape[1] * shape[2]));
    return 0;
}

int ds_trace_save(ds_trace *t, const ds_text *text, dk_err *err)
{
    const ds_options *o = t->plan->o;
    dk_st_writer *w = dk_st_writer_new();

    if (o->trace) {
        dk_st_writer_meta(w, "model_hash", t->plan->hash);
        if (text)
            dk_st_writer_add(w, "text.hidden", DK_F32, DK_SHAPE(text->tokens, text->dim),
                             text->hidden);
        for (int i = 0; i < t->n; i++)
            dk_st_writer_add(w, t->entries[i].name, DK_F32, t->entries[i].ndim,
                             t->entries[i].shape, t->entries[i].data);
        dk_st_writer_save(w, o->trace, o->force, err);
    }
    dk_st_writer_free(w);
    if (o->latent_out && !err->code) {
        w = dk_st_writer_new();
        dk_st_writer_add(w, "latent", DK_F32, 4, t->final_shape, t->final);
        dk_st_writer_save(w, o->latent_out, o->force, err);
        dk_st_writer_free(w);
    }
    return err->code;
}
