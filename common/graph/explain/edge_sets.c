/* See edge_sets_internal.h.
 *
 * A search asks for some twenty subgraphs of a graph with some twenty nodes: one at a time, the
 * cost would be that of starting small matrix products. So the sets are laid side by side, each
 * with the rows of its own nodes only, and every layer is one product over all of them. */
#include "graph/explain/edge_sets_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/graph_internal.h"

/* Rows of a run: enough for full speed of the products, few enough to stay in the cache. */
enum { RUN_ROWS = 1024, RUN_EDGES = 4 * RUN_ROWS };

typedef struct block {
    int32_t cap_rows, cap_edges;
    int32_t sets, rows, edges;
    int32_t *row_ptr;             /* [sets + 1] */
    int32_t *center;              /* [sets] node task: row of the explained node */
    int32_t *node_of, *slot;      /* [rows] node or -1: padding; [n] row of a node or -1 */
    int32_t *edge_of, *src, *dst; /* [edges] */
    int32_t *in_ptr, *in_edge, *out_ptr, *out_edge;
    double *x;                    /* [rows, features] */
    double *coef, *loop, *degree;
    double *weight;               /* [rows] nodes that a row stands for */
    double *inverse_count;        /* [sets] */
    bool has_coef, has_loop, padded;
} block;

static void block_free(block *b)
{
    free(b->row_ptr);
    free(b->center);
    free(b->node_of);
    free(b->slot);
    free(b->edge_of);
    free(b->src);
    free(b->dst);
    free(b->in_ptr);
    free(b->in_edge);
    free(b->out_ptr);
    free(b->out_edge);
    free(b->x);
    free(b->coef);
    free(b->loop);
    free(b->degree);
    free(b->weight);
    free(b->inverse_count);
}

static void *array(size_t n, size_t size, dk_err *err)
{
    return dk_graph_array(n, size, "subgraphs of an explanation", err);
}

static int block_init(block *b, const dk_gnn *m, const dk_instance *inst, int32_t sets, dk_err *err)
{
    const dk_graph *g = inst->g;
    *b = (block){.has_loop = inst->in.loop != NULL,
                 .has_coef = inst->in.loop != NULL || inst->in.coef != NULL,
                 .padded = inst->node < 0 && m->c.pad_nodes > 0};
    b->cap_rows = g->n + 1 > RUN_ROWS ? g->n + 1 : RUN_ROWS;
    b->cap_edges = g->e > RUN_EDGES ? g->e : RUN_EDGES;
    size_t rows = (size_t)b->cap_rows, edges = (size_t)b->cap_edges, s = (size_t)sets, cells;

    if (!dk_mul(rows, (size_t)m->c.features, &cells))
        return dk_fail(err, DK_ENOMEM, "%zu rows of %d features", rows, m->c.features);
    b->row_ptr = array(s + 1, sizeof *b->row_ptr, err);
    b->center = array(s, sizeof *b->center, err);
    b->node_of = array(rows, sizeof *b->node_of, err);
    b->slot = array((size_t)g->n, sizeof *b->slot, err);
    b->edge_of = array(edges, sizeof *b->edge_of, err);
    b->src = array(edges, sizeof *b->src, err);
    b->dst = array(edges, sizeof *b->dst, err);
    b->in_ptr = array(rows + 1, sizeof *b->in_ptr, err);
    b->in_edge = array(edges, sizeof *b->in_edge, err);
    b->out_ptr = array(rows + 1, sizeof *b->out_ptr, err);
    b->out_edge = array(edges, sizeof *b->out_edge, err);
    b->x = array(cells, sizeof *b->x, err);
    b->coef = array(edges, sizeof *b->coef, err);
    b->loop = array(rows, sizeof *b->loop, err);
    b->degree = array(rows, sizeof *b->degree, err);
    b->weight = array(rows, sizeof *b->weight, err);
    b->inverse_count = array(s, sizeof *b->inverse_count, err);
    for (int32_t v = 0; b->slot && v < g->n; v++)
        b->slot[v] = -1;
    return err->code;
}

/* ---- Laying out. */

static bool in_set(dk_edge_set s, int32_t key)
{
    return key >= s.lo && key < s.hi;
}

/* Rows of the nodes touched, ascending; one more row stands for all padding nodes. */
static void add_rows(block *b, const dk_gnn *m, const dk_instance *inst)
{
    int32_t first = b->rows;

    for (int32_t v = 0; v < inst->g->n; v++)
        if (b->slot[v] == 0) {
            b->weight[b->rows] = 1;
            b->node_of[b->rows] = v;
            b->slot[v] = b->rows++;
        }
    int32_t nodes = b->rows - first, pads = b->padded ? m->c.pad_nodes - nodes : 0;
    if (pads > 0) {
        b->weight[b->rows] = pads;
        b->node_of[b->rows++] = -1;
    } else {
        pads = 0;
    }
    b->inverse_count[b->sets] = nodes + pads > 0 ? 1.0 / (nodes + pads) : 0;
}

static void add_set(block *b, const dk_gnn *m, const dk_instance *inst, const int32_t *key,
                    dk_edge_set set)
{
    const dk_graph *g = inst->g;
    int32_t first = b->rows;

    b->row_ptr[b->sets] = first;
    for (int32_t e = 0; e < g->e; e++)
        if (in_set(set, key[e]))
            b->slot[g->src[e]] = b->slot[g->dst[e]] = 0;
    if (inst->node >= 0)
        b->slot[inst->node] = 0;
    add_rows(b, m, inst);
    for (int32_t e = 0; e < g->e; e++)
        if (in_set(set, key[e])) {
            b->edge_of[b->edges] = e;
            b->src[b->edges] = b->slot[g->src[e]];
            b->dst[b->edges++] = b->slot[g->dst[e]];
        }
    if (inst->node >= 0)
        b->center[b->sets] = b->slot[inst->node];
    for (int32_t i = first; i < b->rows; i++)
        if (b->node_of[i] >= 0)
            b->slot[b->node_of[i]] = -1;
    b->row_ptr[++b->sets] = b->rows;
}

/* Edges lie sorted by source, set after set; only the grouping by destination needs sorting. */
static dk_adj group_edges(block *b)
{
    int32_t rows = b->rows;

    memset(b->in_ptr, 0, ((size_t)rows + 1) * sizeof *b->in_ptr);
    memset(b->out_ptr, 0, ((size_t)rows + 1) * sizeof *b->out_ptr);
    for (int32_t k = 0; k < b->edges; k++) {
        b->in_ptr[b->dst[k] + 1]++;
        b->out_ptr[b->src[k] + 1]++;
        b->out_edge[k] = k;
    }
    for (int32_t v = 0; v < rows; v++) {
        b->in_ptr[v + 1] += b->in_ptr[v];
        b->out_ptr[v + 1] += b->out_ptr[v];
    }
    for (int32_t k = 0; k < b->edges; k++)
        b->in_edge[b->in_ptr[b->dst[k]]++] = k;
    for (int32_t v = rows; v > 0; v--)
        b->in_ptr[v] = b->in_ptr[v - 1];
    b->in_ptr[0] = 0;
    return (dk_adj){rows,      rows,       b->edges,   b->src,     b->dst,
                    b->in_ptr, b->in_edge, b->out_ptr, b->out_edge};
}

/* D^-1/2 (A + I) D^-1/2 with the degrees of the edges that are there: an existing self loop is the
 * weight of the node itself, others weigh 1. */
static void normalise(block *b, const dk_graph *g)
{
    for (int32_t v = 0; v < b->rows; v++)
        b->loop[v] = 1;
    for (int32_t k = 0; k < b->edges; k++) {
        b->coef[k] = g->weight ? g->weight[b->edge_of[k]] : 1;
        if (b->src[k] == b->dst[k]) {
            b->loop[b->src[k]] = b->coef[k];
            b->coef[k] = 0;
        }
    }
    memset(b->degree, 0, (size_t)b->rows * sizeof *b->degree);
    for (int32_t k = 0; k < b->edges; k++)
        b->degree[b->dst[k]] += b->coef[k];
    for (int32_t v = 0; v < b->rows; v++) {
        double d = b->degree[v] + b->loop[v];
        b->degree[v] = d > 0 ? 1 / sqrt(d) : 0;
        b->loop[v] *= b->degree[v] * b->degree[v];
    }
    for (int32_t k = 0; k < b->edges; k++)
        b->coef[k] *= b->degree[b->src[k]] * b->degree[b->dst[k]];
}

static void fill_values(block *b, const dk_gnn *m, const dk_instance *inst)
{
    size_t f = (size_t)m->c.features;

    for (int32_t i = 0; i < b->rows; i++) {
        double *x = b->x + (size_t)i * f;
        if (b->node_of[i] < 0)
            memset(x, 0, f * sizeof *x);
        else
            memcpy(x, inst->in.x + (size_t)b->node_of[i] * f, f * sizeof *x);
    }
    if (b->has_loop)
        normalise(b, inst->g);
    else if (b->has_coef)
        for (int32_t k = 0; k < b->edges; k++)
            b->coef[k] = inst->in.coef[b->edge_of[k]];
}

/* ---- Pieces of the network shared with fidelity.c and embedding.c. */

static dk_var pool_mean(dk_tape *t, dk_seg kind, dk_var rows, const int32_t *ptr, int32_t segments,
                        dk_var weight, dk_var inverse_count)
{
    if (weight == DK_NOVAR)
        return dk_segment(t, kind, ptr, segments, rows);
    dk_var sum = dk_segment(t, DK_SEG_SUM, ptr, segments, dk_mul_op(t, rows, weight));
    return kind == DK_SEG_SUM ? sum : dk_mul_op(t, sum, inverse_count);
}

dk_var dk_pool_rows(const dk_gnn *m, dk_tape *t, dk_var rows, const int32_t *ptr, int32_t segments,
                    dk_var weight, dk_var inverse_count)
{
    dk_var both[2];

    switch (m->c.readout) {
    case DK_READ_MAX:
        return dk_segment(t, DK_SEG_MAX, ptr, segments, rows);
    case DK_READ_MAX_MEAN:
        both[0] = dk_segment(t, DK_SEG_MAX, ptr, segments, rows);
        both[1] = pool_mean(t, DK_SEG_MEAN, rows, ptr, segments, weight, inverse_count);
        return dk_concat_cols(t, 2, both);
    case DK_READ_SUM:
        return pool_mean(t, DK_SEG_SUM, rows, ptr, segments, weight, inverse_count);
    default:
        return pool_mean(t, DK_SEG_MEAN, rows, ptr, segments, weight, inverse_count);
    }
}

dk_var dk_final_rows(const dk_gnn *m, dk_tape *t, const dk_var *h)
{
    if (m->c.arch == DK_GNN_GCN_NORM_CAT && m->c.task == DK_TASK_NODE)
        return dk_concat_cols(t, m->c.layers, h);
    return h[m->c.layers - 1];
}

dk_var dk_embedding_rows(const dk_gnn *m, dk_tape *t, dk_var pooled, dk_var lin1)
{
    if (lin1 != DK_NOVAR)
        return m->c.task == DK_TASK_NODE || m->c.arch == DK_GNN_GCN ? lin1 : dk_relu(t, lin1);
    /* Without lin1: the last layer, of several side by side or of [max, mean] the last. */
    int64_t cols = dk_var_cols(t, pooled);
    return cols > m->c.hidden ? dk_slice_cols(t, pooled, cols - m->c.hidden, m->c.hidden) : pooled;
}

/* Columns that the classifier expects. */
static int64_t pooled_cols(const dk_gnn *m)
{
    for (int i = 0; i < m->params; i++)
        if (!strcmp(m->param[i].name, "lin1.weight") || !strcmp(m->param[i].name, "lin.weight"))
            return m->param[i].cols;
    return m->c.hidden;
}

/* Copies what one run of `sets` sets gave, and forgets the run. */
static int take(dk_explain_worker *w, dk_var pooled, dk_var lin1, dk_var z, int32_t sets,
                double *logits, double *embedding, dk_err *err)
{
    const dk_gnn *m = w->model;
    dk_var emb = embedding ? dk_embedding_rows(m, w->tape, pooled, lin1) : DK_NOVAR;
    int rc = dk_tape_take(w->tape, err);

    if (!rc)
        memcpy(logits, dk_value64(w->tape, z),
               (size_t)sets * (size_t)m->c.classes * sizeof *logits);
    if (!rc && embedding)
        memcpy(embedding, dk_value64(w->tape, emb),
               (size_t)sets * (size_t)m->c.hidden * sizeof *embedding);
    dk_tape_record(w->tape, true);
    dk_tape_restore(w->tape, w->base);
    return rc;
}

/* ---- Running a block. */

static dk_var run_layers(dk_explain_worker *w, block *b, const dk_adj *adj)
{
    dk_tape *t = w->tape;
    const dk_gnn *m = w->model;
    dk_var h = dk_leaf_view(t, b->rows, m->c.features, b->x, false), all[DK_GNN_MAX_LAYERS];
    dk_var coef = b->has_coef ? dk_leaf_view(t, b->edges, 1, b->coef, false) : DK_NOVAR;
    dk_var loop = b->has_loop ? dk_leaf_view(t, b->rows, 1, b->loop, false) : DK_NOVAR;

    for (int l = 0; l < m->c.layers; l++) {
        dk_var message = dk_gnn_message(m, t, &w->vars, l, h);
        dk_var aggregate = dk_aggregate(t, adj, 1, coef, message);
        h = dk_gnn_update(m, t, &w->vars, l, aggregate, message, loop);
        all[l] = h;
    }
    return dk_final_rows(m, t, all);
}

static int run_block(dk_explain_worker *w, const dk_instance *inst, block *b, double *logits,
                     double *embedding, dk_err *err)
{
    dk_tape *t = w->tape;
    const dk_gnn *m = w->model;
    dk_gnn_options o = dk_gnn_options_default();
    dk_adj adj = group_edges(b);
    dk_var pooled, lin1 = DK_NOVAR;

    dk_tape_restore(t, w->base);
    dk_tape_record(t, false);
    fill_values(b, m, inst);
    if (b->rows == 0) {
        pooled = dk_leaf_fill(t, b->sets, pooled_cols(m), 0, false);
    } else {
        dk_var rows = run_layers(w, b, &adj), weight = DK_NOVAR, inverse = DK_NOVAR;
        if (b->padded) {
            weight = dk_leaf_view(t, b->rows, 1, b->weight, false);
            inverse = dk_leaf_view(t, b->sets, 1, b->inverse_count, false);
        }
        pooled = inst->node >= 0 ? dk_gather_rows(t, rows, b->center, b->sets)
                                 : dk_pool_rows(m, t, rows, b->row_ptr, b->sets, weight, inverse);
    }
    dk_var z = dk_gnn_classify(m, t, &w->vars, &o, pooled, &lin1);
    return take(w, pooled, lin1, z, b->sets, logits, embedding, err);
}

int dk_edge_sets_run(dk_explain_worker *w, const dk_instance *inst, const int32_t *key,
                     const dk_edge_set *set, int32_t sets, double *logits, double *embedding,
                     dk_err *err)
{
    const dk_gnn *m = w->model;
    block b = {0};
    int rc;

    if (!dk_gnn_is_linear_aggregate(m))
        return dk_edge_sets_plain(w, inst, key, set, sets, logits, embedding, err);
    rc = block_init(&b, m, inst, sets, err);
    for (int32_t done = 0, next = 0; !rc && done < sets; done = next) {
        b.sets = b.rows = b.edges = 0;
        do
            add_set(&b, m, inst, key, set[next++]);
        while (next < sets && b.rows + inst->g->n + 1 <= b.cap_rows &&
               b.edges + inst->g->e <= b.cap_edges);
        rc = run_block(w, inst, &b, logits + (size_t)done * (size_t)m->c.classes,
                       embedding ? embedding + (size_t)done * (size_t)m->c.hidden : NULL, err);
    }
    block_free(&b);
    return rc;
}

/* ---- One graph after the other. */

static int run_graph(dk_explain_worker *w, const dk_instance *inst, const dk_graph *sub,
                     double *logits, double *embedding, dk_err *err)
{
    const dk_gnn *m = w->model;
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace out = {.lin1 = DK_NOVAR};
    dk_gnn_input in = {0};
    int rc;

    dk_tape_restore(w->tape, w->base);
    dk_tape_record(w->tape, false);
    if (sub->n == 0 && !m->c.pad_nodes) {
        out.pooled = dk_leaf_fill(w->tape, 1, pooled_cols(m), 0, false);
        out.logits = dk_gnn_classify(m, w->tape, &w->vars, &o, out.pooled, &out.lin1);
    } else {
        rc = dk_gnn_input_graph(&in, m, sub, err);
        if (rc) {
            dk_tape_record(w->tape, true);
            return rc;
        }
        o.node = inst->node;
        dk_gnn_run(m, w->tape, &w->vars, &in, &o, &out);
    }
    rc = take(w, out.pooled, out.lin1, out.logits, 1, logits, embedding, err);
    dk_gnn_input_free(&in);
    return rc;
}

static int run_plain_set(dk_explain_worker *w, const dk_instance *inst, const uint8_t *keep,
                         double *logits, double *embedding, dk_err *err)
{
    dk_graph sub = {0};
    int rc = inst->node >= 0 ? dk_graph_drop_edges(inst->g, keep, &sub, err)
                             : dk_graph_edge_induced(inst->g, keep, &sub, NULL, NULL, err);

    if (!rc) {
        /* The degrees of the edges that are there, not of a whole graph around them. */
        free(sub.degree);
        sub.degree = NULL;
        rc = run_graph(w, inst, &sub, logits, embedding, err);
    }
    dk_graph_free(&sub);
    return rc;
}

int dk_edge_sets_plain(dk_explain_worker *w, const dk_instance *inst, const int32_t *key,
                       const dk_edge_set *set, int32_t sets, double *logits, double *embedding,
                       dk_err *err)
{
    const dk_gnn *m = w->model;
    uint8_t *keep = array((size_t)inst->g->e, 1, err);
    int rc = keep ? 0 : err->code;

    for (int32_t s = 0; !rc && s < sets; s++) {
        for (int32_t e = 0; e < inst->g->e; e++)
            keep[e] = in_set(set[s], key[e]);
        rc = run_plain_set(w, inst, keep, logits + (size_t)s * (size_t)m->c.classes,
                           embedding ? embedding + (size_t)s * (size_t)m->c.hidden : NULL, err);
    }
    free(keep);
    return rc;
}
