/* See learned_internal.h. */
#include "graph/explain/learned_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

/* ---- Draws. */

dk_draw dk_draw_start(uint64_t seed) { return (dk_draw){.key = dk_splitmix64(seed)}; }

uint64_t dk_draw_u64(dk_draw *d)
{
    return dk_splitmix64(d->key + d->count++ * 0x9E3779B97F4A7C15u);
}

double dk_draw_uniform(dk_draw *d) { return (double)(dk_draw_u64(d) >> 11) * 0x1p-53; }

/* Multiplication by a 53-bit uniform: the bias is below n / 2^53. */
int64_t dk_draw_below(dk_draw *d, int64_t n)
{
    int64_t i = (int64_t)(dk_draw_uniform(d) * (double)n);
    return i < n ? i : n - 1;
}

void dk_draw_shuffle(dk_draw *d, int32_t *v, int64_t n)
{
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t j = dk_draw_below(d, i + 1);
        int32_t swap = v[i];
        v[i] = v[j];
        v[j] = swap;
    }
}

/* ---- Learned tensors. */

static int allocate(dk_param *p, const dk_learned_shape *shape, dk_err *err)
{
    size_t n, bytes;

    if (!dk_mul((size_t)shape->rows, (size_t)shape->cols, &n) ||
        !dk_mul(n, sizeof(double), &bytes))
        return dk_fail(err, DK_ENOMEM, "tensor \"%s\" is too large", shape->name);
    p->name = dk_xstrdup(shape->name);
    p->rows = shape->rows;
    p->cols = shape->cols;
    p->value = dk_alloc(bytes, shape->name, err);
    p->grad = p->value ? dk_alloc(bytes, shape->name, err) : NULL;
    if (!p->grad)
        return err->code;
    memset(p->grad, 0, bytes);
    return 0;
}

dk_explainer_state *dk_learned_new(const dk_explainer *x, const dk_learned_shape *shape, dk_draw *d,
                                   dk_err *err)
{
    dk_explainer_state *s = dk_xcalloc(1, sizeof *s);
    int n = 0;

    while (shape[n].cols)
        n++;
    s->x = x;
    s->tensor = dk_xcalloc((size_t)n, sizeof *s->tensor);
    for (int i = 0; i < n; i++) {
        s->n = i + 1;
        if (allocate(&s->tensor[i], &shape[i], err)) {
            dk_explainer_state_free(s);
            return NULL;
        }
        double *value = s->tensor[i].value;
        for (int64_t j = 0; j < shape[i].rows * shape[i].cols; j++)
            value[j] = shape[i].bound * (2 * dk_draw_uniform(d) - 1);
    }
    return s;
}

int dk_learned_check(const dk_explainer_state *s, const dk_explainer *x,
                     const dk_learned_shape *shape, dk_err *err)
{
    if (!s)
        return dk_fail(err, DK_EUSAGE, "%s must be trained before it can explain", x->name);
    if (strcmp(s->x->name, x->name) != 0)
        return dk_fail(err, DK_EFORMAT, "what %s learned was given to %s", s->x->name, x->name);
    for (int i = 0; shape[i].cols; i++) {
        if (i >= s->n || strcmp(s->tensor[i].name, shape[i].name) != 0)
            return dk_fail(err, DK_EFORMAT, "%s: expected tensor \"%s\" at place %d, found %s",
                           x->name, shape[i].name, i, i < s->n ? s->tensor[i].name : "none");
        const dk_param *p = &s->tensor[i];
        if (p->rows != shape[i].rows || p->cols != shape[i].cols)
            return dk_fail(err, DK_EFORMAT,
                           "%s: tensor \"%s\": expected [%lld, %lld] for this model, found "
                           "[%lld, %lld]",
                           x->name, p->name, (long long)shape[i].rows, (long long)shape[i].cols,
                           (long long)p->rows, (long long)p->cols);
    }
    return 0;
}

int dk_learned_done(dk_explainer_state *s, dk_err *err)
{
    for (int i = 0; i < s->n; i++) {
        const double *value = s->tensor[i].value;
        dk_free_aligned(s->tensor[i].grad);
        s->tensor[i].grad = NULL;
        for (int64_t j = 0; j < s->tensor[i].rows * s->tensor[i].cols; j++)
            if (!isfinite(value[j]))
                return dk_fail(err, DK_ENUMERIC, "%s: training left %g in tensor \"%s\"",
                               s->x->name, value[j], s->tensor[i].name);
    }
    return 0;
}

/* Layers differ in how their widths follow from the configuration: one isolated node tells. */
int dk_learned_widths(const dk_gnn *model, int64_t *row, int64_t *readout, dk_err *err)
{
    dk_gnn_options o = dk_gnn_options_default();
    dk_explain_worker w = {0};
    dk_gnn_input in = {0};
    dk_gnn_trace trace;
    dk_graph g;

    if (dk_graph_build(&g, 1, 0, NULL, NULL, NULL, NULL, NULL, NULL, err))
        return err->code;
    g.num_features = model->c.features;
    g.x = dk_xcalloc((size_t)model->c.features + 1, sizeof *g.x);
    if (dk_explain_worker_init(&w, model, err) || dk_gnn_input_graph(&in, model, &g, err))
        goto out;
    dk_gnn_run(model, w.tape, &w.vars, &in, &o, &trace);
    *row = dk_var_cols(w.tape, trace.h[model->c.layers - 1]);
    *readout = dk_var_cols(w.tape, trace.pooled);
    dk_tape_take(w.tape, err);
out:
    dk_gnn_input_free(&in);
    dk_explain_worker_fini(&w);
    dk_graph_free(&g);
    return err->code;
}

/* ---- Maps from sets: open addressing, at most half full. */

enum { FIRST_SLOTS = 64 };

int dk_setmap_init(dk_setmap *m, int64_t bits, dk_err *err)
{
    *m = (dk_setmap){.words = (int)((bits + 63) / 64), .slots = FIRST_SLOTS};
    if (m->words < 1)
        m->words = 1;
    m->slot = calloc(FIRST_SLOTS, sizeof *m->slot);
    return m->slot ? 0 : dk_fail(err, DK_ENOMEM, "no memory for a table of node sets");
}

void dk_setmap_free(dk_setmap *m)
{
    free(m->set);
    free(m->value);
    free(m->slot);
    *m = (dk_setmap){0};
}

/* The slot that holds the set, or the free one where it belongs. */
static int64_t slot_of(const dk_setmap *m, const uint64_t *set)
{
    size_t bytes = (size_t)m->words * sizeof *set;
    uint64_t mask = (uint64_t)m->slots - 1;
    uint64_t at = dk_splitmix64(dk_fnv1a64(set, bytes)) & mask;

    while (m->slot[at] && memcmp(dk_setmap_at(m, m->slot[at] - 1), set, bytes) != 0)
        at = (at + 1) & mask;
    return (int64_t)at;
}

static int grow_slots(dk_setmap *m, dk_err *err)
{
    int32_t *slot = calloc((size_t)m->slots * 2, sizeof *slot);

    if (!slot)
        return dk_fail(err, DK_ENOMEM, "no memory for a table of %lld node sets", (long long)m->n);
    free(m->slot);
    m->slot = slot;
    m->slots *= 2;
    for (int64_t i = 0; i < m->n; i++)
        m->slot[slot_of(m, dk_setmap_at(m, i))] = (int32_t)(i + 1);
    return 0;
}

static int grow_sets(dk_setmap *m, dk_err *err)
{
    int64_t cap = m->cap ? m->cap * 2 : FIRST_SLOTS / 2;
    size_t n, bytes;
    bool fits = cap < INT32_MAX && dk_mul((size_t)cap, (size_t)m->words, &n) &&
                dk_mul(n, sizeof *m->set, &bytes);
    uint64_t *set = fits ? realloc(m->set, bytes) : NULL;

    if (set)
        m->set = set;
    double *value = set ? realloc(m->value, (size_t)cap * sizeof *value) : NULL;
    if (!value)
        return dk_fail(err, DK_ENOMEM, "no memory for %lld node sets", (long long)cap);
    m->value = value;
    m->cap = cap;
    return 0;
}

int64_t dk_setmap_put(dk_setmap *m, const uint64_t *set, dk_err *err)
{
    int64_t at = slot_of(m, set);

    if (m->slot[at])
        return m->slot[at] - 1;
    if (m->n * 2 >= m->slots) {
        if (grow_slots(m, err))
            return -1;
        at = slot_of(m, set);
    }
    if (m->n == m->cap && grow_sets(m, err))
        return -1;
    memcpy(dk_setmap_at(m, m->n), set, (size_t)m->words * sizeof *set);
    m->value[m->n] = NAN;
    m->slot[at] = (int32_t)++m->n;
    return m->n - 1;
}
