/* Graphs side by side as one block-diagonal graph (see graph.h). The lists of a graph are sorted
 * and grouped already, so those of the batch are shifted copies. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "graph/graph_internal.h"

static int measure(dk_batch *b, const dk_graph *const *graphs, bool *weighted, bool *degrees,
                   dk_err *err)
{
    int64_t n = 0, e = 0;

    *weighted = *degrees = false;
    b->num_features = b->graphs ? graphs[0]->num_features : 0;
    for (int32_t i = 0; i < b->graphs; i++) {
        const dk_graph *g = graphs[i];
        n += g->n;
        e += g->e;
        *weighted |= g->weight != NULL;
        *degrees |= g->degree != NULL;
        if (g->num_features != b->num_features || (g->num_features > 0 && !g->x))
            return dk_fail(err, DK_EFORMAT,
                           "graph %" PRId32 " of a batch: expected %d features, found %d", i,
                           b->num_features, g->x ? g->num_features : 0);
    }
    if (n >= INT32_MAX || e > INT32_MAX)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "a batch of %" PRId64 " nodes and %" PRId64 " edges: more than 2^31 - 2", n,
                       e);
    b->n = (int32_t)n;
    b->e = (int32_t)e;
    return 0;
}

static int allocate(dk_batch *b, bool weighted, bool degrees, dk_err *err)
{
    size_t n = (size_t)b->n, e = (size_t)b->e, graphs = (size_t)b->graphs;
    const char *what = "a batch of graphs";

    b->src = dk_graph_array(e, sizeof *b->src, what, err);
    b->dst = dk_graph_array(e, sizeof *b->dst, what, err);
    b->in_edge = dk_graph_array(e, sizeof *b->in_edge, what, err);
    b->out_edge = dk_graph_array(e, sizeof *b->out_edge, what, err);
    b->in_ptr = dk_graph_array(n + 1, sizeof *b->in_ptr, what, err);
    b->out_ptr = dk_graph_array(n + 1, sizeof *b->out_ptr, what, err);
    b->node_ptr = dk_graph_array(graphs + 1, sizeof *b->node_ptr, what, err);
    b->edge_ptr = dk_graph_array(graphs + 1, sizeof *b->edge_ptr, what, err);
    b->label = dk_graph_array(graphs, sizeof *b->label, what, err);
    if (weighted)
        b->weight = dk_graph_array(e, sizeof *b->weight, what, err);
    if (degrees)
        b->degree = dk_graph_array(n, sizeof *b->degree, what, err);
    if (b->num_features > 0)
        b->x32 = dk_graph_array(n * (size_t)b->num_features, sizeof *b->x32, what, err);
    return err->code;
}

static void put_degrees(double *out, const dk_graph *g)
{
    if (g->degree) {
        memcpy(out, g->degree, (size_t)g->n * sizeof *out);
        return;
    }
    for (int32_t v = 0; v < g->n; v++) {
        out[v] = 0;
        for (int32_t k = g->in_ptr[v]; k < g->in_ptr[v + 1]; k++)
            out[v] += g->weight ? g->weight[g->in_edge[k]] : 1;
    }
}

/* Graph g with its first node at row n0 and its first edge at e0. */
static void put(dk_batch *b, const dk_graph *g, int32_t n0, int32_t e0)
{
    size_t f = (size_t)b->num_features;

    for (int32_t e = 0; e < g->e; e++) {
        b->src[e0 + e] = n0 + g->src[e];
        b->dst[e0 + e] = n0 + g->dst[e];
        b->in_edge[e0 + e] = e0 + g->in_edge[e];
        b->out_edge[e0 + e] = e0 + e;
        if (b->weight)
            b->weight[e0 + e] = g->weight ? g->weight[e] : 1;
    }
    for (int32_t v = 0; v < g->n; v++) {
        b->in_ptr[n0 + v] = e0 + g->in_ptr[v];
        b->out_ptr[n0 + v] = e0 + g->out_ptr[v];
    }
    if (b->degree)
        put_degrees(b->degree + n0, g);
    for (size_t i = 0; i < (size_t)g->n * f; i++)
        b->x32[(size_t)n0 * f + i] = (float)g->x[i];
}

int dk_batch_make(dk_batch *b, const dk_graph *const *graphs, int count, dk_err *err)
{
    bool weighted, degrees;
    int32_t n = 0, e = 0;

    *b = (dk_batch){.graphs = count};
    int rc = measure(b, graphs, &weighted, &degrees, err);
    if (!rc)
        rc = allocate(b, weighted, degrees, err);
    if (rc) {
        dk_batch_free(b);
        return rc;
    }
    for (int i = 0; i < count; i++) {
        b->node_ptr[i] = n;
        b->edge_ptr[i] = e;
        b->label[i] = graphs[i]->label;
        put(b, graphs[i], n, e);
        n += graphs[i]->n;
        e += graphs[i]->e;
    }
    b->node_ptr[count] = b->n;
    b->edge_ptr[count] = b->e;
    b->in_ptr[b->n] = b->out_ptr[b->n] = b->e;
    return 0;
}

void dk_batch_free(dk_batch *b)
{
    free(b->src);
    free(b->dst);
    free(b->in_ptr);
    free(b->in_edge);
    free(b->out_ptr);
    free(b->out_edge);
    free(b->node_ptr);
    free(b->edge_ptr);
    free(b->weight);
    free(b->degree);
    free(b->x32);
    free(b->label);
    *b = (dk_batch){0};
}

dk_adj dk_batch_adj(const dk_batch *b)
{
    return (dk_adj){b->n,      b->n,       b->e,       b->src,     b->dst,
                    b->in_ptr, b->in_edge, b->out_ptr, b->out_edge};
}
