/* EiG-Search's masked networks by incremental recomputation; see eig.h.
 *
 * One forward pass is cached: per layer the rows h, the messages m and their aggregates a. A masked
 * edge u -> v changes a[v] in every layer by its own message, and whatever rows have changed so far
 * change the aggregates of their neighbours by the difference of their messages. The changed rows
 * of a layer are kept as a list with their new values; the next layer redoes exactly these and the
 * rows they reach, so a mask costs about degree^(layers - 1) rows, however large the graph is.
 *
 * Attention, and masks that change degrees, have no such form: there the whole network is run. */
#include "graph/explain/eig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/eig_internal.h"

typedef dk_eig_cache cache;

/* Rows put together for the tape (what is in ROWS changes several times in one evaluation), logits
 * of changed rows, and from VALUES on the changed rows of every h. */
enum { ROWS, MESSAGES, LOOPS, ROW_LOGITS, VALUES, BUFFERS = VALUES + DK_GNN_MAX_LAYERS + 1 };

struct dk_eig {
    cache *c;
    bool owner, incremental;
    dk_explain_worker *w;
    const dk_gnn_input *in;
    const dk_graph *g;
    double epsilon;
    dk_mask_mode mask_mode;
    int32_t *place; /* [n] position among the changed rows, -1: none */
    int32_t *rows, rows_n;
    uint8_t *in_set;                           /* [e] masked just now */
    int32_t *set, set_n;                       /* [e] the masked edges */
    int32_t value_rows[DK_GNN_MAX_LAYERS + 1]; /* how many rows of h[l] have changed */
    double *buffer[BUFFERS];                   /* grown as needed */
    size_t buffer_cap[BUFFERS];
    int32_t *sorted; /* [n] changed rows, ascending */
};

/* What the classifier of a node task is given: rows [count] of every layer side by side, or of the
 * last. Filled into `to` (NULL: not yet); returns the width. */
static int64_t node_rows(const dk_eig *e, const int32_t *row, int32_t count, double *to)
{
    const cache *c = e->c;
    int first = dk_eig_by_layers(e->w->model) ? 1 : c->layers;
    int64_t width = 0, at = 0;

    for (int l = first; l <= c->layers; l++)
        width += c->width[l];
    for (int l = first; to && l <= c->layers; l++) {
        for (int32_t i = 0; i < count; i++) {
            int32_t v = row[i], p = e->place[v];
            const double *from = p >= 0 && p < e->value_rows[l]
                                     ? e->buffer[VALUES + l] + p * c->width[l]
                                     : dk_eig_h_row(c, l, v);
            memcpy(to + i * width + at, from, (size_t)c->width[l] * sizeof *to);
        }
        at += c->width[l];
    }
    return width;
}

/* ---- Making and freeing. */
static double *buffer(dk_eig *e, int which, int64_t count, dk_err *err)
{
    size_t need = (size_t)(count > 0 ? count : 1);

    if (need > e->buffer_cap[which]) {
        dk_free_aligned(e->buffer[which]);
        e->buffer_cap[which] = 0;
        e->buffer[which] = dk_alloc(2 * need * sizeof(double), "changed rows", err);
        if (!e->buffer[which])
            return NULL;
        e->buffer_cap[which] = 2 * need;
    }
    return e->buffer[which];
}

static dk_var classify(dk_eig *e, int64_t rows, int64_t width, const double *pooled)
{
    dk_tape *t = e->w->tape;
    dk_gnn_options o = dk_gnn_options_default();

    return dk_gnn_classify(e->w->model, t, &e->w->vars, &o,
                           dk_leaf_view(t, rows, width, pooled, false), NULL);
}

static int cache_logits(dk_eig *e, dk_err *err)
{
    cache *c = e->c;
    int64_t rows = c->pooled ? 1 : c->n;
    int64_t width = c->pooled ? c->pooled_width : node_rows(e, NULL, 0, NULL);

    c->logits = dk_eig_reals(rows, c->classes, "logits", err);
    for (int64_t v = 0; v < rows && !err->code; v += DK_EIG_BLOCK) {
        int32_t count = (int32_t)(rows - v < DK_EIG_BLOCK ? rows - v : DK_EIG_BLOCK);
        dk_tape_mark mark = dk_tape_save(e->w->tape);
        double *pooled = c->pooled ? c->pooled : buffer(e, ROWS, count * width, err);
        for (int32_t i = 0; !c->pooled && pooled && i < count; i++)
            e->sorted[i] = (int32_t)v + i;
        if (!c->pooled && pooled)
            node_rows(e, e->sorted, count, pooled);
        if (!pooled)
            return err->code;
        dk_var z = classify(e, count, width, pooled);
        if (dk_tape_take(e->w->tape, err) == 0)
            memcpy(c->logits + v * c->classes, dk_value64(e->w->tape, z),
                   (size_t)count * (size_t)c->classes * sizeof *c->logits);
        dk_tape_restore(e->w->tape, mark);
    }
    return err->code;
}

/* The logits alone, of a network that is always run as a whole. */
static int plain_cache(dk_eig *e, dk_err *err)
{
    dk_explain_worker *w = e->w;
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace trace;

    e->c = dk_xcalloc(1, sizeof *e->c);
    e->c->n = e->in->n;
    e->c->classes = w->model->c.classes;
    dk_gnn_run(w->model, w->tape, &w->vars, e->in, &o, &trace);
    if (dk_tape_take(w->tape, err))
        return err->code;
    int64_t rows = dk_var_rows(w->tape, trace.logits);
    e->c->logits = dk_eig_reals(rows, e->c->classes, "logits", err);
    if (e->c->logits)
        memcpy(e->c->logits, dk_value64(w->tape, trace.logits),
               (size_t)(rows * e->c->classes) * sizeof(double));
    return err->code;
}

static dk_eig *make(dk_explain_worker *w, const dk_gnn_input *in, const dk_graph *g, double epsilon,
                    cache *shared, dk_err *err)
{
    dk_eig *e = dk_xcalloc(1, sizeof *e);

    e->w = w;
    e->in = in;
    e->g = g;
    e->epsilon = epsilon;
    e->incremental = dk_gnn_is_linear_aggregate(w->model);
    e->owner = !shared;
    e->c = shared;
    e->place = dk_alloc((size_t)in->n * sizeof *e->place, "changed rows", err);
    e->rows = dk_alloc((size_t)in->n * sizeof *e->rows, "changed rows", err);
    e->sorted = dk_alloc((size_t)in->n * sizeof *e->sorted, "changed rows", err);
    e->set = dk_alloc((size_t)in->e * sizeof *e->set, "masked edges", err);
    e->in_set = dk_alloc((size_t)in->e, "masked edges", err);
    if (!isfinite(epsilon) || epsilon >= 1)
        dk_fail(err, DK_EUSAGE, "base weight %g: must be below 1", epsilon);
    if (!err->code) {
        for (int32_t v = 0; v < in->n; v++)
            e->place[v] = -1;
        memset(e->in_set, 0, (size_t)in->e);
        dk_tape_restore(w->tape, w->base);
        dk_tape_record(w->tape, false);
        if (!shared && !e->incremental)
            plain_cache(e, err);
        else if (!shared && (e->c = dk_eig_cache_make(w, in, err)))
            cache_logits(e, err);
        dk_tape_record(w->tape, true);
        dk_tape_restore(w->tape, w->base);
    }
    if (err->code) {
        dk_eig_free(e);
        return NULL;
    }
    return e;
}

dk_eig *dk_eig_new(dk_explain_worker *w, const dk_gnn_input *in, const dk_graph *g, double epsilon,
                   dk_err *err)
{
    return make(w, in, g, epsilon, NULL, err);
}

dk_eig *dk_eig_share(const dk_eig *of, dk_explain_worker *w, dk_err *err)
{
    dk_eig *e = make(w, of->in, of->g, of->epsilon, of->c, err);

    if (e)
        dk_eig_mask_mode(e, of->mask_mode);
    return e;
}

void dk_eig_mask_mode(dk_eig *e, dk_mask_mode mode)
{
    e->mask_mode = mode;
    if (mode == DK_MASK_WEIGHT && e->in->degree)
        e->incremental = false;
}

void dk_eig_free(dk_eig *e)
{
    if (!e)
        return;
    if (e->owner)
        dk_eig_cache_free(e->c);
    dk_free_aligned(e->place);
    dk_free_aligned(e->rows);
    dk_free_aligned(e->sorted);
    dk_free_aligned(e->set);
    dk_free_aligned(e->in_set);
    for (int i = 0; i < BUFFERS; i++)
        dk_free_aligned(e->buffer[i]);
    free(e);
}

const double *dk_eig_logits(const dk_eig *e)
{
    return e->c->logits;
}

/* ---- A mask: which edges, without repetition. */
static int open_set(dk_eig *e, const int32_t *set, int32_t n, bool directed, dk_err *err)
{
    e->set_n = 0;
    for (int32_t i = 0; i < n; i++) {
        if (set[i] < 0 || set[i] >= e->in->e)
            return dk_fail(err, DK_EUSAGE, "edge %d of a graph with %d", set[i], e->in->e);
        int32_t both[2] = {set[i], directed ? -1 : e->g->rev[set[i]]};
        for (int k = 0; k < 2; k++)
            if (both[k] >= 0 && !e->in_set[both[k]]) {
                e->in_set[both[k]] = 1;
                e->set[e->set_n++] = both[k];
            }
    }
    return 0;
}

static void close_set(dk_eig *e)
{
    for (int32_t i = 0; i < e->set_n; i++)
        e->in_set[e->set[i]] = 0;
    for (int32_t i = 0; i < e->rows_n; i++)
        e->place[e->rows[i]] = -1;
    e->set_n = e->rows_n = 0;
}

/* ---- The changed rows, layer by layer. */
/* The rows of a layer that is about to be changed arrive while the others are still being found. */
static void fetch(const double *row, int64_t width)
{
    for (int64_t j = 0; j < width; j += 8)
        __builtin_prefetch(row + j);
}

static void reach(dk_eig *e, int l, int32_t v)
{
    const cache *c = e->c;

    if (e->place[v] >= 0)
        return;
    e->place[v] = e->rows_n;
    e->rows[e->rows_n++] = v;
    fetch(dk_eig_a_row(c, l, v), c->width[l]);
    fetch(dk_eig_m_row(c, l, v), c->width[l]);
    if (l + 1 == c->layers)
        fetch(dk_eig_h_row(c, l + 1, v), c->width[l + 1]);
}

static double coef_of(const dk_eig *e, int32_t edge)
{
    return e->in->coef ? e->in->coef[edge] : 1;
}

/* to += factor * (x - y) */
static void add_difference(double *to, const double *x, const double *y, double factor, int64_t d)
{
    for (int64_t j = 0; j < d; j++)
        to[j] += factor * (x[j] - y[j]);
}

/* New aggregates of the rows reached: what changed rows send differently, then what masked edges
 * (which the first part leaves out) no longer send. `fresh`: new messages of the
 * first `changed`. */
static void change_aggregates(dk_eig *e, int l, const double *fresh, int32_t changed, double *a)
{
    const cache *c = e->c;
    const dk_adj *adj = &e->in->adj;
    int64_t d = c->width[l];

    for (int32_t i = 0; i < e->rows_n; i++)
        memcpy(a + i * d, dk_eig_a_row(c, l, e->rows[i]), (size_t)d * sizeof *a);
    for (int32_t i = 0; i < changed; i++) {
        int32_t u = e->rows[i];
        for (int32_t k = adj->out_ptr[u]; k < adj->out_ptr[u + 1]; k++) {
            int32_t edge = adj->out_edge[k];
            if (!e->in_set[edge])
                add_difference(a + e->place[adj->dst[edge]] * d, fresh + i * d,
                               dk_eig_m_row(c, l, u), coef_of(e, edge), d);
        }
    }
    for (int32_t i = 0; i < e->set_n; i++) {
        int32_t edge = e->set[i], u = adj->src[edge], p = e->place[u];
        const double *old = dk_eig_m_row(c, l, u),
                     *now = p >= 0 && p < changed ? fresh + p * d : old;
        double *to = a + e->place[adj->dst[edge]] * d, f = coef_of(e, edge);
        for (int64_t j = 0; j < d; j++)
            to[j] += f * (e->epsilon * now[j] - old[j]);
    }
}

/* h[l + 1] of the rows first .. first + count - 1 from their new aggregates; `fresh` are the new
 * messages of the first `changed` rows. */
static int change_block(dk_eig *e, int l, const double *fresh, int32_t changed, int32_t first,
                        int32_t count, dk_err *err)
{
    const cache *c = e->c;
    dk_explain_worker *w = e->w;
    dk_tape *t = w->tape;
    dk_tape_mark mark = dk_tape_save(t);
    int64_t d = c->width[l], out = c->width[l + 1];
    double *a = e->buffer[ROWS] + first * d, *m = a, *own = e->buffer[LOOPS];
    dk_var loop = DK_NOVAR;

    /* gcn has no self term: any rows will do. */
    if (w->model->c.arch != DK_GNN_GCN) {
        m = e->buffer[MESSAGES];
        for (int32_t i = 0; i < count; i++)
            memcpy(m + i * d,
                   first + i < changed ? fresh + (first + i) * d
                                       : dk_eig_m_row(c, l, e->rows[first + i]),
                   (size_t)d * sizeof *m);
    }
    for (int32_t i = 0; e->in->loop && i < count; i++)
        own[i] = e->in->loop[e->rows[first + i]];
    if (e->in->loop)
        loop = dk_leaf_view(t, count, 1, own, false);
    dk_var next = dk_gnn_update(w->model, t, &w->vars, l, dk_leaf_view(t, count, d, a, false),
                                dk_leaf_view(t, count, d, m, false), loop);
    if (dk_tape_take(t, err) == 0)
        memcpy(e->buffer[VALUES + l + 1] + first * out, dk_value64(t, next),
               (size_t)(count * out) * sizeof *m);
    dk_tape_restore(t, mark);
    return err->code;
}

/* h[l + 1] of all rows that layer l changes, from h[l] of those changed before it. */
static int change_layer(dk_eig *e, int l, dk_err *err)
{
    const cache *c = e->c;
    dk_tape *t = e->w->tape;
    const dk_adj *adj = &e->in->adj;
    int64_t d = c->width[l];
    int32_t changed = e->rows_n;
    const double *fresh = NULL;

    for (int32_t i = 0; i < changed; i++)
        for (int32_t k = adj->out_ptr[e->rows[i]]; k < adj->out_ptr[e->rows[i] + 1]; k++)
            reach(e, l, adj->dst[adj->out_edge[k]]);
    for (int32_t i = 0; i < e->set_n; i++)
        reach(e, l, adj->dst[e->set[i]]);
    int32_t rows = e->value_rows[l + 1] = e->rows_n,
            block = rows < DK_EIG_BLOCK ? rows : DK_EIG_BLOCK;
    if (rows == 0)
        return 0; /* an empty set */
    double *a = buffer(e, ROWS, rows * d, err);
    buffer(e, MESSAGES, block * d, err);
    buffer(e, LOOPS, block, err);
    buffer(e, VALUES + l + 1, rows * c->width[l + 1], err);
    if (!err->code && changed) {
        dk_var m = dk_gnn_message(e->w->model, t, &e->w->vars, l,
                                  dk_leaf_view(t, changed, d, e->buffer[VALUES + l], false));
        if (dk_tape_take(t, err) == 0)
            fresh = dk_value64(t, m);
    }
    if (!err->code)
        change_aggregates(e, l, fresh, changed, a);
    for (int32_t first = 0; first < rows && !err->code; first += DK_EIG_BLOCK)
        change_block(e, l, fresh, changed, first,
                     rows - first < DK_EIG_BLOCK ? rows - first : DK_EIG_BLOCK, err);
    return err->code;
}

static int change_rows(dk_eig *e, dk_err *err)
{
    int rc = 0;

    dk_tape_restore(e->w->tape, e->w->base);
    e->rows_n = 0;
    for (int l = 0; rc == 0 && l < e->c->layers; l++)
        rc = change_layer(e, l, err);
    return rc;
}

/* ---- Readout from the changed rows. */
/* The maximum of channel j: that of before where its row has not changed, compared with the changed
 * rows; else over all rows. */
static double changed_maximum(const dk_eig *e, int64_t j)
{
    const cache *c = e->c;
    int64_t d = c->width[c->layers];
    const double *now = e->buffer[VALUES + c->layers];
    double most = e->place[c->best[j]] < 0 ? c->pooled[j] : -INFINITY;

    for (int32_t i = 0; i < e->rows_n; i++)
        most = fmax(most, now[i * d + j]);
    if (e->place[c->best[j]] >= 0)
        for (int32_t v = 0; v < c->n; v++)
            if (e->place[v] < 0)
                most = fmax(most, dk_eig_h_row(c, c->layers, v)[j]);
    return most;
}

static void changed_pooled(const dk_eig *e, double *pooled)
{
    const cache *c = e->c;
    dk_readout read = e->w->model->c.readout;
    int64_t d = c->width[c->layers];
    double *sums = read == DK_READ_MAX_MEAN ? pooled + d : pooled;

    memcpy(pooled, c->pooled, (size_t)c->pooled_width * sizeof *pooled);
    for (int64_t j = 0; c->best && j < d; j++)
        pooled[j] = changed_maximum(e, j);
    if (read == DK_READ_MAX)
        return;
    double share = read == DK_READ_SUM ? 1 : 1.0 / c->n;
    for (int32_t i = 0; i < e->rows_n; i++)
        add_difference(sums, e->buffer[VALUES + c->layers] + i * d,
                       dk_eig_h_row(c, c->layers, e->rows[i]), share, d);
}

/* ---- The plain way. */
/* Logits [1 or n, classes], or of one row (>= 0), of the whole network with the open set masked. */
static int run_plain(dk_eig *e, int32_t row, double *logits, dk_err *err)
{
    dk_explain_worker *w = e->w;
    dk_tape *t = w->tape;
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace trace;
    double *mask = buffer(e, ROWS, e->in->e, err);

    if (!mask)
        return err->code;
    for (int32_t i = 0; i < e->in->e; i++)
        mask[i] = e->in_set[i] ? e->epsilon : 1;
    dk_tape_restore(t, w->base);
    dk_tape_record(t, false);
    o.mask_mode = e->mask_mode;
    o.node = row;
    o.edge_mask = dk_leaf_view(t, e->in->e, 1, mask, false);
    dk_gnn_run(w->model, t, &w->vars, e->in, &o, &trace);
    dk_tape_record(t, true);
    if (dk_tape_take(t, err))
        return err->code;
    size_t count = (size_t)(dk_var_rows(t, trace.logits) * e->c->classes);
    memcpy(logits, dk_value64(t, trace.logits), count * sizeof *logits);
    return 0;
}

int dk_eig_masked_plain(dk_eig *e, const int32_t *set, int32_t n, double *logits, dk_err *err)
{
    if (open_set(e, set, n, false, err) == 0)
        run_plain(e, -1, logits, err);
    close_set(e);
    return err->code;
}

/* ---- Masked logits. */
static int masked_graph(dk_eig *e, double *logits, dk_err *err)
{
    if (!e->incremental)
        return run_plain(e, -1, logits, err);
    dk_tape_record(e->w->tape, false);
    if (change_rows(e, err) == 0) {
        double *pooled = buffer(e, ROWS, e->c->pooled_width, err);
        if (pooled) {
            changed_pooled(e, pooled);
            dk_var z = classify(e, 1, e->c->pooled_width, pooled);
            if (dk_tape_take(e->w->tape, err) == 0)
                memcpy(logits, dk_value64(e->w->tape, z), (size_t)e->c->classes * sizeof *logits);
        }
    }
    dk_tape_record(e->w->tape, true);
    return err->code;
}

int dk_eig_masked(dk_eig *e, const int32_t *set, int32_t n, double *logits, dk_err *err)
{
    if (open_set(e, set, n, false, err) == 0)
        masked_graph(e, logits, err);
    close_set(e);
    return err->code;
}

int dk_eig_masked_directed(dk_eig *e, const int32_t *set, int32_t n, double *logits, dk_err *err)
{
    if (open_set(e, set, n, true, err) == 0)
        masked_graph(e, logits, err);
    close_set(e);
    return err->code;
}

/* Logits of the given rows, all of which have changed, into row_logits. */
static int classify_rows(dk_eig *e, const int32_t *row, int32_t count, dk_err *err)
{
    int64_t width = node_rows(e, row, count, NULL);
    size_t need = (size_t)count * (size_t)e->c->classes;
    double *pooled = buffer(e, ROWS, count * width, err);

    if (!pooled || !buffer(e, ROW_LOGITS, (int64_t)need, err) || count == 0)
        return err->code;
    node_rows(e, row, count, pooled);
    dk_var z = classify(e, count, width, pooled);
    if (dk_tape_take(e->w->tape, err) == 0)
        memcpy(e->buffer[ROW_LOGITS], dk_value64(e->w->tape, z), need * sizeof(double));
    return err->code;
}

static int ascending(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;

    return (x > y) - (x < y);
}

static int masked_rows(dk_eig *e, int32_t *count, dk_err *err)
{
    if (e->incremental) {
        dk_tape_record(e->w->tape, false);
        if (change_rows(e, err) == 0) {
            *count = e->rows_n;
            memcpy(e->sorted, e->rows, (size_t)*count * sizeof *e->sorted);
            qsort(e->sorted, (size_t)*count, sizeof *e->sorted, ascending);
            classify_rows(e, e->sorted, *count, err);
        }
        dk_tape_record(e->w->tape, true);
        return err->code;
    }
    double *logits = buffer(e, ROW_LOGITS, (int64_t)e->c->n * e->c->classes, err);
    if (!logits)
        return err->code;
    *count = e->c->n;
    for (int32_t v = 0; v < e->c->n; v++)
        e->sorted[v] = v;
    return run_plain(e, -1, logits, err);
}

int dk_eig_masked_rows(dk_eig *e, const int32_t *set, int32_t n, const int32_t **rows,
                       int32_t *n_rows, const double **logits, dk_err *err)
{
    *n_rows = 0;
    if (open_set(e, set, n, false, err) == 0)
        masked_rows(e, n_rows, err);
    close_set(e);
    *rows = e->sorted;
    *logits = e->buffer[ROW_LOGITS];
    return err->code;
}

int dk_eig_masked_row(dk_eig *e, const int32_t *set, int32_t n, bool directed, int32_t row,
                      double *logits, bool *changed, dk_err *err)
{
    size_t bytes = (size_t)e->c->classes * sizeof *logits;

    *changed = true;
    if (open_set(e, set, n, directed, err)) {
        close_set(e);
        return err->code;
    }
    if (!e->incremental) {
        run_plain(e, row, logits, err);
    } else {
        dk_tape_record(e->w->tape, false);
        if (change_rows(e, err) == 0) {
            *changed = e->place[row] >= 0;
            if (!*changed)
                memcpy(logits, e->c->logits + (int64_t)row * e->c->classes, bytes);
            else if (classify_rows(e, &row, 1, err) == 0)
                memcpy(logits, e->buffer[ROW_LOGITS], bytes);
        }
        dk_tape_record(e->w->tape, true);
    }
    close_set(e);
    return err->code;
}
