/* The forward pass that masked networks are computed from, layer by layer and block by block: only
 * one layer is ever on the tape, so that a graph of a million nodes needs little more than the
 * records themselves. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/eig_internal.h"
#include "ops/mat.h"

typedef dk_eig_cache cache;

void dk_eig_cache_free(dk_eig_cache *c)
{
    if (!c)
        return;
    dk_free_aligned(c->record);
    dk_free_aligned(c->pooled);
    dk_free_aligned(c->logits);
    dk_free_aligned(c->best);
    free(c);
}

double *dk_eig_reals(int64_t rows, int64_t cols, const char *what, dk_err *err)
{
    size_t bytes;

    if (dk_mul((size_t)rows, (size_t)cols * sizeof(double), &bytes))
        return dk_alloc(bytes, what, err);
    dk_fail(err, DK_ENOMEM, "%s: [%lld, %lld] is too large", what, (long long)rows,
            (long long)cols);
    return NULL;
}

static double *keep(dk_tape *t, dk_var v, dk_err *err)
{
    if (dk_tape_take(t, err))
        return NULL;
    int64_t rows = dk_var_rows(t, v), cols = dk_var_cols(t, v);
    double *p = dk_eig_reals(rows, cols, "cached layers", err);
    if (p)
        memcpy(p, dk_value64(t, v), (size_t)(rows * cols) * sizeof *p);
    return p;
}

bool dk_eig_by_layers(const dk_gnn *m)
{
    return m->c.arch == DK_GNN_GCN_NORM_CAT;
}

/* Widths, and which rows a record holds, from a network of one row. */
static int plan_record(cache *c, dk_explain_worker *w, const dk_gnn_input *in, dk_err *err)
{
    dk_tape *t = w->tape;
    dk_tape_mark mark = dk_tape_save(t);
    dk_var h = dk_leaf_fill(t, 1, c->width[0], 0, false);
    dk_var loop = in->loop ? dk_leaf_fill(t, 1, 1, 0, false) : DK_NOVAR;

    for (int l = 0; l < c->layers; l++) {
        dk_var m = dk_gnn_message(w->model, t, &w->vars, l, h);
        dk_var next = dk_gnn_update(w->model, t, &w->vars, l, m, m, loop);
        bool same = m == h, last = l + 1 == c->layers;
        if (dk_tape_take(t, err))
            return err->code;
        c->width[l + 1] = dk_var_cols(t, next);
        c->at_m[l] = -1;
        if (!same) {
            c->at_m[l] = c->stride;
            c->stride += c->width[l];
        }
        c->at_a[l] = c->stride;
        c->stride += c->width[l];
        c->at_h[l + 1] = -1;
        if (same || last || dk_eig_by_layers(w->model)) {
            c->at_h[l + 1] = c->stride;
            c->stride += c->width[l + 1];
        }
        h = next;
    }
    dk_tape_restore(t, mark);
    c->record = dk_eig_reals(c->n, c->stride, "cached layers", err);
    return err->code;
}

static void put_rows(cache *c, int64_t at, int64_t first, int64_t rows, int64_t width,
                     const double *from)
{
    for (int64_t i = 0; at >= 0 && i < rows; i++)
        memcpy(c->record + (first + i) * c->stride + at, from + i * width,
               (size_t)width * sizeof *from);
}

/* h [n, width[l]] -> the messages, in m (which may be h). */
static int cache_messages(cache *c, dk_explain_worker *w, int l, const double *h, double *m,
                          dk_err *err)
{
    dk_tape *t = w->tape;
    int64_t d = c->width[l];

    for (int64_t v = 0; v < c->n && !err->code; v += DK_EIG_BLOCK) {
        int64_t rows = c->n - v < DK_EIG_BLOCK ? c->n - v : DK_EIG_BLOCK;
        dk_tape_mark mark = dk_tape_save(t);
        dk_var y =
            dk_gnn_message(w->model, t, &w->vars, l, dk_leaf_view(t, rows, d, h + v * d, false));
        if (dk_tape_take(t, err) == 0) {
            memcpy(m + v * d, dk_value64(t, y), (size_t)(rows * d) * sizeof *m);
            put_rows(c, c->at_m[l], v, rows, d, m + v * d);
        }
        dk_tape_restore(t, mark);
    }
    return err->code;
}

/* Aggregates and messages [n, width[l]] -> h of the next layer. */
static int cache_updates(cache *c, dk_explain_worker *w, const dk_gnn_input *in, int l,
                         const double *a, const double *m, double *next, dk_err *err)
{
    dk_tape *t = w->tape;
    int64_t d = c->width[l], out = c->width[l + 1];

    for (int64_t v = 0; v < c->n && !err->code; v += DK_EIG_BLOCK) {
        int64_t rows = c->n - v < DK_EIG_BLOCK ? c->n - v : DK_EIG_BLOCK;
        dk_tape_mark mark = dk_tape_save(t);
        dk_var loop = in->loop ? dk_leaf_view(t, rows, 1, in->loop + v, false) : DK_NOVAR;
        dk_var y =
            dk_gnn_update(w->model, t, &w->vars, l, dk_leaf_view(t, rows, d, a + v * d, false),
                          dk_leaf_view(t, rows, d, m + v * d, false), loop);
        if (dk_tape_take(t, err) == 0)
            memcpy(next + v * out, dk_value64(t, y), (size_t)(rows * out) * sizeof *next);
        put_rows(c, c->at_a[l], v, rows, d, a + v * d);
        put_rows(c, c->at_h[l + 1], v, rows, out, next + v * out);
        dk_tape_restore(t, mark);
    }
    return err->code;
}

/* All layers; the last one's rows are left in *last. */
static int cache_layers(cache *c, dk_explain_worker *w, const dk_gnn_input *in, double **last,
                        dk_err *err)
{
    int64_t widest = 1;
    double *buffers[3] = {NULL};

    for (int l = 0; l <= c->layers; l++)
        widest = c->width[l] > widest ? c->width[l] : widest;
    for (int i = 0; i < 3; i++)
        buffers[i] = dk_eig_reals(c->n, widest, "layers", err);
    for (int l = 0; l < c->layers && !err->code; l++) {
        const double *h = l == 0 ? c->x : buffers[0], *m = h;
        double *a = buffers[2];
        if (c->at_m[l] >= 0) {
            cache_messages(c, w, l, h, buffers[1], err);
            m = buffers[1];
        }
        if (err->code)
            break;
        dk_mat_cpu(DK_F64)->aggregate(&in->adj, false, 1, c->width[l], in->coef, m, false, a);
        /* The next rows take the place of these, block by block behind the update's reading: all
         * layers but the first are equally wide. */
        assert(l == 0 || c->width[l + 1] <= c->width[l]);
        cache_updates(c, w, in, l, a, m, buffers[0], err);
    }
    *last = buffers[0];
    dk_free_aligned(buffers[1]);
    dk_free_aligned(buffers[2]);
    return err->code;
}

static void find_best(cache *c, const double *h)
{
    int64_t d = c->width[c->layers];

    for (int64_t j = 0; j < d; j++)
        c->best[j] = 0;
    for (int32_t v = 1; v < c->n; v++)
        for (int64_t j = 0; j < d; j++)
            if (h[v * d + j] > h[c->best[j] * d + j])
                c->best[j] = v;
}

/* Pools the last rows h. */
static int cache_pooled(cache *c, dk_explain_worker *w, const dk_gnn_input *in, const double *rows,
                        dk_err *err)
{
    dk_tape *t = w->tape;
    dk_tape_mark mark = dk_tape_save(t);
    dk_readout read = w->model->c.readout;
    int64_t d = c->width[c->layers];
    dk_var h = dk_leaf_view(t, c->n, d, rows, false), pooled;

    if (read == DK_READ_MAX_MEAN) {
        dk_var both[2] = {dk_segment(t, DK_SEG_MAX, in->node_ptr, 1, h),
                          dk_segment(t, DK_SEG_MEAN, in->node_ptr, 1, h)};
        pooled = dk_concat_cols(t, 2, both);
    } else {
        pooled = dk_segment(t,
                            read == DK_READ_MAX   ? DK_SEG_MAX
                            : read == DK_READ_SUM ? DK_SEG_SUM
                                                  : DK_SEG_MEAN,
                            in->node_ptr, 1, h);
    }
    c->pooled = keep(t, pooled, err);
    if (!err->code)
        c->pooled_width = dk_var_cols(t, pooled);
    dk_tape_restore(t, mark);
    if (!err->code && (read == DK_READ_MAX || read == DK_READ_MAX_MEAN) && c->n > 0) {
        c->best = dk_alloc((size_t)d * sizeof *c->best, "maxima", err);
        if (c->best)
            find_best(c, rows);
    }
    return err->code;
}

dk_eig_cache *dk_eig_cache_make(dk_explain_worker *w, const dk_gnn_input *in, dk_err *err)
{
    cache *c = dk_xcalloc(1, sizeof *c);
    double *last = NULL;

    c->n = in->n;
    c->classes = w->model->c.classes;
    c->layers = w->model->c.layers;
    c->width[0] = w->model->c.features;
    c->x = in->x;
    if (plan_record(c, w, in, err) == 0 && cache_layers(c, w, in, &last, err) == 0 &&
        w->model->c.task == DK_TASK_GRAPH)
        cache_pooled(c, w, in, last, err);
    dk_free_aligned(last);
    if (!err->code)
        return c;
    dk_eig_cache_free(c);
    return NULL;
}
