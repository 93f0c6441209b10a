/* Explanations as points: their embeddings (G Sec. 4: discriminability, and stability as the
 * coverage of equal explanations), and how many of their components have an edge (E Def. 3.1). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/edge_sets_internal.h"
#include "graph/explain/fidelity.h"
#include "graph/graph_internal.h"

/* ---- Embedding. */

static int whole_embedding(dk_explain_worker *w, const dk_instance *inst, double *embedding,
                           dk_err *err)
{
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace out;

    dk_tape_restore(w->tape, w->base);
    dk_tape_record(w->tape, false);
    o.node = inst->node;
    dk_gnn_run(w->model, w->tape, &w->vars, &inst->in, &o, &out);
    dk_var emb = dk_embedding_rows(w->model, w->tape, out.pooled, out.lin1);
    int rc = dk_tape_take(w->tape, err);
    if (!rc)
        memcpy(embedding, dk_value64(w->tape, emb),
               (size_t)w->model->c.hidden * sizeof *embedding);
    dk_tape_record(w->tape, true);
    dk_tape_restore(w->tape, w->base);
    return rc;
}

int dk_explanation_embedding(dk_explain_worker *w, const dk_instance *inst, const uint8_t *kept,
                             double *embedding, dk_err *err)
{
    const dk_edge_set chosen = {0, 1};
    size_t e = (size_t)inst->g->e;

    if (!kept)
        return whole_embedding(w, inst, embedding, err);
    int32_t *key = dk_graph_array(e, sizeof *key, "edges kept", err);
    double *z = dk_graph_array((size_t)w->model->c.classes, sizeof *z, "logits", err);
    int rc = err->code;
    for (size_t i = 0; !rc && i < e; i++)
        key[i] = !kept[i];
    if (!rc)
        rc = dk_edge_sets_run(w, inst, key, &chosen, 1, z, embedding, err);
    free(key);
    free(z);
    return rc;
}

/* ---- Classes of points. */

static double mean_of(const double *emb, const int32_t *label, int64_t n, int64_t d, int64_t j,
                      int32_t which, int64_t *count)
{
    double sum = 0;

    *count = 0;
    for (int64_t i = 0; i < n; i++)
        if (label[i] == which) {
            sum += emb[i * d + j];
            ++*count;
        }
    return *count ? sum / (double)*count : NAN;
}

double dk_discriminability(const double *emb, const int32_t *label, int64_t n, int64_t d, int32_t a,
                           int32_t b)
{
    double squares = 0;
    int64_t count;

    for (int64_t j = 0; j < d; j++) {
        double gap = mean_of(emb, label, n, d, j, a, &count);
        gap -= mean_of(emb, label, n, d, j, b, &count);
        squares += gap * gap;
    }
    return sqrt(squares);
}

double dk_class_variance(const double *emb, const int32_t *label, int64_t n, int64_t d,
                         int32_t which)
{
    double total = 0;

    for (int64_t j = 0; j < d; j++) {
        int64_t count;
        double mean = mean_of(emb, label, n, d, j, which, &count), squares = 0;
        for (int64_t i = 0; i < n; i++)
            if (label[i] == which)
                squares += (emb[i * d + j] - mean) * (emb[i * d + j] - mean);
        total += count > 1 ? squares / (double)(count - 1) : NAN;
    }
    return d > 0 ? total / (double)d : NAN;
}

/* ---- Groups of equal points. */

typedef struct point {
    const double *row; /* rounded */
    int64_t d, index;
} point;

static int compare_rows(const point *a, const point *b)
{
    for (int64_t j = 0; j < a->d; j++)
        if (a->row[j] != b->row[j])
            return a->row[j] < b->row[j] ? -1 : 1;
    return 0;
}

static int by_row(const void *a, const void *b)
{
    const point *x = a, *y = b;
    int c = compare_rows(x, y);
    return c ? c : (x->index > y->index) - (x->index < y->index);
}

typedef struct group {
    int64_t begin, size, first; /* points begin .. begin + size - 1; smallest index */
} group;

static int by_size(const void *a, const void *b)
{
    const group *x = a, *y = b;
    if (x->size != y->size)
        return x->size < y->size ? 1 : -1;
    return (x->first > y->first) - (x->first < y->first);
}

/* The class's points, rounded to 1e-4 (closer ones differ by the order of summation only). */
static int64_t collect(const double *emb, const int32_t *label, int64_t n, int64_t d, int32_t which,
                       double *rounded, point *p)
{
    int64_t members = 0;

    for (int64_t i = 0; i < n; i++) {
        if (label[i] != which)
            continue;
        double *row = rounded + members * d;
        for (int64_t j = 0; j < d; j++)
            row[j] = rint(emb[i * d + j] * 1e4);
        p[members++] = (point){row, d, i};
    }
    return members;
}

static int64_t split(const point *p, int64_t members, group *g)
{
    int64_t groups = 0;

    for (int64_t i = 0; i < members; i++) {
        if (i == 0 || compare_rows(&p[i - 1], &p[i]))
            g[groups++] = (group){i, 0, p[i].index};
        g[groups - 1].size++;
    }
    return groups;
}

int64_t dk_coverage_groups(const double *emb, const int32_t *label, int64_t n, int64_t d,
                           int32_t which, int32_t *of, int64_t *sizes, dk_err *err)
{
    size_t cells;
    if (!dk_mul((size_t)n, (size_t)d, &cells))
        return dk_fail(err, DK_ENOMEM, "%lld embeddings of %lld numbers", (long long)n,
                       (long long)d);
    double *rounded = dk_graph_array(cells, sizeof *rounded, "embeddings", err);
    point *p = dk_graph_array((size_t)n, sizeof *p, "embeddings", err);
    group *g = dk_graph_array((size_t)n, sizeof *g, "groups of embeddings", err);
    int64_t groups = err->code;

    if (!groups) {
        int64_t members = collect(emb, label, n, d, which, rounded, p);
        qsort(p, (size_t)members, sizeof *p, by_row);
        groups = split(p, members, g);
        qsort(g, (size_t)groups, sizeof *g, by_size);
        for (int64_t i = 0; i < n; i++)
            of[i] = -1;
        for (int64_t k = 0; k < groups; k++) {
            if (sizes)
                sizes[k] = g[k].size;
            for (int64_t i = g[k].begin; i < g[k].begin + g[k].size; i++)
                of[p[i].index] = (int32_t)k;
        }
    }
    free(rounded);
    free(p);
    free(g);
    return groups;
}

/* ---- Intuitiveness. */

static int32_t root_of(int32_t *parent, int32_t v)
{
    while (parent[v] != v) {
        parent[v] = parent[parent[v]];
        v = parent[v];
    }
    return v;
}

static bool is_edge(const dk_graph *g, const uint8_t *nodes, const uint8_t *edges, int32_t e)
{
    return (edges && edges[e]) || (nodes && nodes[g->src[e]] && nodes[g->dst[e]]);
}

double dk_intuitiveness(const dk_graph *g, const uint8_t *node_kept, const uint8_t *edge_kept)
{
    int32_t all = 0, with_edge = 0;
    size_t n = g->n > 0 ? (size_t)g->n : 1;
    int32_t *parent = malloc(n * sizeof *parent);
    uint8_t *state = calloc(n, 1); /* bit 0: a node of the explanation, bit 1: root of an edge */

    if (!parent || !state)
        goto out;
    for (int32_t v = 0; v < g->n; v++) {
        parent[v] = v;
        state[v] = node_kept && node_kept[v];
    }
    for (int32_t e = 0; e < g->e; e++)
        if (is_edge(g, node_kept, edge_kept, e)) {
            state[g->src[e]] = state[g->dst[e]] = 1;
            parent[root_of(parent, g->src[e])] = root_of(parent, g->dst[e]);
        }
    for (int32_t e = 0; e < g->e; e++)
        if (is_edge(g, node_kept, edge_kept, e))
            state[root_of(parent, g->src[e])] |= 2;
    for (int32_t v = 0; v < g->n; v++)
        if ((state[v] & 1) && parent[v] == v) {
            all++;
            with_edge += state[v] >> 1;
        }
out:
    free(parent);
    free(state);
    return all > 0 ? (double)with_edge / all : NAN;
}
