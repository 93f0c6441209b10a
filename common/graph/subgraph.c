/* Parts of a graph (see graph.h). A subgraph keeps the order of nodes and edges, so its edge list
 * is sorted as it is taken and only the groupings have to be made anew. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "graph/graph.h"
#include "graph/graph_internal.h"

int32_t *dk_graph_scratch(const dk_graph *g, dk_err *err)
{
    int32_t *seen = dk_graph_array((size_t)g->n, sizeof *seen, "scratch of a graph", err);

    for (int32_t v = 0; seen && v < g->n; v++)
        seen[v] = -1;
    return seen;
}

/* ---- Taking nodes and edges along. */

/* Weighted in-degree of node v in the whole graph of which g may itself be a part. */
static double whole_degree(const dk_graph *g, int32_t v)
{
    double sum = 0;

    if (g->degree)
        return g->degree[v];
    if (!g->weight)
        return g->in_ptr[v + 1] - g->in_ptr[v];
    for (int32_t k = g->in_ptr[v]; k < g->in_ptr[v + 1]; k++)
        sum += g->weight[g->in_edge[k]];
    return sum;
}

static int32_t *pick_i32(const int32_t *from, int32_t n, const int32_t *which, dk_err *err)
{
    int32_t *to = dk_graph_array((size_t)n, sizeof *to, "nodes of a subgraph", err);

    for (int32_t i = 0; to && i < n; i++)
        to[i] = from[which[i]];
    return to;
}

/* sub->n nodes node_of[] of g: features and labels. */
static int take_nodes(dk_graph *sub, const dk_graph *g, const int32_t *node_of, dk_err *err)
{
    size_t f = (size_t)g->num_features, n = (size_t)sub->n;

    sub->num_features = g->num_features;
    sub->label = g->label;
    if (g->x) {
        sub->x = dk_graph_array(n * (f ? f : 1), sizeof *sub->x, "features of a subgraph", err);
        for (size_t i = 0; sub->x && i < n; i++)
            memcpy(sub->x + i * f, g->x + (size_t)node_of[i] * f, f * sizeof *sub->x);
    }
    if (g->node_label)
        sub->node_label = pick_i32(g->node_label, sub->n, node_of, err);
    if (g->y)
        sub->y = pick_i32(g->y, sub->n, node_of, err);
    return err->code;
}

/* sub->e edges edge_of[] of g, ends renumbered by new_id (NULL: kept), and the groupings. */
static int take_edges(dk_graph *sub, const dk_graph *g, const int32_t *edge_of,
                      const int32_t *new_id, dk_err *err)
{
    size_t e = (size_t)sub->e;

    sub->src = dk_graph_array(e, sizeof *sub->src, "edges of a subgraph", err);
    sub->dst = dk_graph_array(e, sizeof *sub->dst, "edges of a subgraph", err);
    if (g->weight)
        sub->weight = dk_graph_array(e, sizeof *sub->weight, "edges of a subgraph", err);
    if (g->gt)
        sub->gt = dk_graph_array(e, sizeof *sub->gt, "edges of a subgraph", err);
    if (err->code)
        return err->code;
    for (size_t i = 0; i < e; i++) {
        int32_t from = edge_of[i];
        sub->src[i] = new_id ? new_id[g->src[from]] : g->src[from];
        sub->dst[i] = new_id ? new_id[g->dst[from]] : g->dst[from];
        if (g->weight)
            sub->weight[i] = g->weight[from];
        if (g->gt)
            sub->gt[i] = g->gt[from];
    }
    return dk_graph_index(sub, err);
}

/* Hands the maps to the caller, or drops what was made. */
static int finish(int rc, dk_graph *sub, int32_t *nodes, int32_t **node_of, int32_t *edges,
                  int32_t **edge_of)
{
    if (rc)
        dk_graph_free(sub);
    if (!rc && node_of)
        *node_of = nodes;
    else
        free(nodes);
    if (!rc && edge_of)
        *edge_of = edges;
    else
        free(edges);
    return rc;
}

/* ---- Neighbourhood of a node. */

typedef struct list {
    int32_t *item;
    int32_t n, cap;
} list;

static int push(list *l, int32_t v, dk_err *err)
{
    if (l->n == l->cap) {
        size_t cap = l->cap ? (size_t)l->cap * 2 : 64;
        if (cap > INT32_MAX)
            cap = INT32_MAX;
        int32_t *bigger = realloc(l->item, cap * sizeof *bigger);
        if (!bigger)
            return dk_fail(err, DK_ENOMEM, "no memory for a neighbourhood of %zu nodes", cap);
        l->item = bigger;
        l->cap = (int32_t)cap;
    }
    l->item[l->n++] = v;
    return 0;
}

static int ascending(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* Breadth first against the direction of the edges; every node found has seen[v] >= 0. */
static int collect_nodes(const dk_graph *g, int32_t node, int hops, int32_t *seen, list *found,
                         dk_err *err)
{
    int32_t begin = 0;

    if (push(found, node, err))
        return err->code;
    seen[node] = 0;
    for (int h = 0; h < hops && begin < found->n; h++) {
        int32_t end = found->n;
        for (int32_t i = begin; i < end; i++) {
            int32_t v = found->item[i];
            for (int32_t k = g->in_ptr[v]; k < g->in_ptr[v + 1]; k++) {
                int32_t u = g->src[g->in_edge[k]];
                if (seen[u] >= 0)
                    continue;
                if (push(found, u, err))
                    return err->code;
                seen[u] = 0;
            }
        }
        begin = end;
    }
    return 0;
}

static int collect_edges(const dk_graph *g, const list *nodes, const int32_t *seen, list *found,
                         dk_err *err)
{
    for (int32_t i = 0; i < nodes->n; i++) {
        int32_t v = nodes->item[i];
        for (int32_t e = g->out_ptr[v]; e < g->out_ptr[v + 1]; e++)
            if (seen[g->dst[e]] >= 0 && push(found, e, err))
                return err->code;
    }
    return 0;
}

static int cut_out(const dk_graph *g, const list *nodes, const int32_t *seen, list *edges,
                   dk_graph *sub, dk_err *err)
{
    if (collect_edges(g, nodes, seen, edges, err))
        return err->code;
    sub->n = nodes->n;
    sub->e = edges->n;
    sub->degree = dk_graph_array((size_t)sub->n, sizeof *sub->degree, "degrees", err);
    if (!sub->degree || take_nodes(sub, g, nodes->item, err))
        return err->code;
    for (int32_t i = 0; i < sub->n; i++)
        sub->degree[i] = whole_degree(g, nodes->item[i]);
    return take_edges(sub, g, edges->item, seen, err);
}

int dk_graph_khop(const dk_graph *g, int32_t node, int hops, int32_t *seen, dk_graph *sub,
                  int32_t *center, int32_t **node_of, int32_t **edge_of, dk_err *err)
{
    list nodes = {0}, edges = {0};

    *sub = (dk_graph){.label = -1};
    if (node < 0 || node >= g->n)
        return dk_fail(err, DK_EUSAGE, "node %" PRId32 ": expected 0 to %" PRId32, node, g->n - 1);
    if (hops < 0)
        return dk_fail(err, DK_EUSAGE, "%d hops: expected 0 or more", hops);
    int rc = collect_nodes(g, node, hops, seen, &nodes, err);
    if (!rc) {
        qsort(nodes.item, (size_t)nodes.n, sizeof *nodes.item, ascending);
        for (int32_t i = 0; i < nodes.n; i++)
            seen[nodes.item[i]] = i;
        *center = seen[node];
        rc = cut_out(g, &nodes, seen, &edges, sub, err);
    }
    for (int32_t i = 0; i < nodes.n; i++)
        seen[nodes.item[i]] = -1;
    return finish(rc, sub, nodes.item, node_of, edges.item, edge_of);
}

/* ---- Chosen edges. */

static int32_t *kept_edges(const dk_graph *g, const uint8_t *keep, int32_t *count, dk_err *err)
{
    *count = 0;
    for (int32_t e = 0; e < g->e; e++)
        *count += keep[e] != 0;
    int32_t *kept = dk_graph_array((size_t)*count, sizeof *kept, "chosen edges", err);
    for (int32_t e = 0, k = 0; kept && e < g->e; e++)
        if (keep[e])
            kept[k++] = e;
    return kept;
}

int dk_graph_edge_induced(const dk_graph *g, const uint8_t *keep, dk_graph *sub, int32_t **node_of,
                          int32_t **edge_of, dk_err *err)
{
    int32_t *edges = NULL, *nodes = NULL, *new_id = NULL;
    int rc = 0;

    *sub = (dk_graph){.label = -1};
    edges = kept_edges(g, keep, &sub->e, err);
    new_id = dk_graph_scratch(g, err);
    if (!edges || !new_id) {
        rc = err->code;
        goto out;
    }
    for (int32_t i = 0; i < sub->e; i++)
        new_id[g->src[edges[i]]] = new_id[g->dst[edges[i]]] = 0;
    for (int32_t v = 0; v < g->n; v++)
        if (new_id[v] == 0)
            new_id[v] = sub->n++;
    nodes = dk_graph_array((size_t)sub->n, sizeof *nodes, "nodes of a subgraph", err);
    if (!nodes) {
        rc = err->code;
        goto out;
    }
    for (int32_t v = 0; v < g->n; v++)
        if (new_id[v] >= 0)
            nodes[new_id[v]] = v;
    rc = take_nodes(sub, g, nodes, err);
    if (!rc)
        rc = take_edges(sub, g, edges, new_id, err);
out:
    free(new_id);
    return finish(rc, sub, nodes, node_of, edges, edge_of);
}

static int32_t *all_nodes(const dk_graph *g, dk_err *err)
{
    int32_t *nodes = dk_graph_array((size_t)g->n, sizeof *nodes, "nodes of a subgraph", err);

    for (int32_t v = 0; nodes && v < g->n; v++)
        nodes[v] = v;
    return nodes;
}

/* In a graph that is part of a larger one, dropped edges no longer count in the degrees. */
static int reduced_degrees(dk_graph *sub, const dk_graph *g, const uint8_t *keep, dk_err *err)
{
    sub->degree = dk_graph_array((size_t)g->n, sizeof *sub->degree, "degrees", err);
    if (!sub->degree)
        return err->code;
    memcpy(sub->degree, g->degree, (size_t)g->n * sizeof *sub->degree);
    for (int32_t e = 0; e < g->e; e++)
        if (!keep[e])
            sub->degree[g->dst[e]] -= g->weight ? g->weight[e] : 1;
    return 0;
}

int dk_graph_drop_edges(const dk_graph *g, const uint8_t *keep, dk_graph *sub, dk_err *err)
{
    int32_t *nodes, *edges = NULL;

    *sub = (dk_graph){.n = g->n, .label = -1};
    nodes = all_nodes(g, err);
    edges = nodes ? kept_edges(g, keep, &sub->e, err) : NULL;
    int rc = edges ? take_nodes(sub, g, nodes, err) : err->code;
    if (!rc && g->degree)
        rc = reduced_degrees(sub, g, keep, err);
    if (!rc)
        rc = take_edges(sub, g, edges, NULL, err);
    return finish(rc, sub, nodes, NULL, edges, NULL);
}

/* ---- Other numbers for the same nodes. */

static int invert(const int32_t *perm, int32_t n, int32_t *from, dk_err *err)
{
    for (int32_t v = 0; v < n; v++)
        from[v] = -1;
    for (int32_t v = 0; v < n; v++) {
        if (perm[v] < 0 || perm[v] >= n || from[perm[v]] >= 0)
            return dk_fail(err, DK_EUSAGE,
                           "new number %" PRId32 " of node %" PRId32
                           ": expected each of 0 to %" PRId32 " once",
                           perm[v], v, n - 1);
        from[perm[v]] = v;
    }
    return 0;
}

int dk_graph_relabel(const dk_graph *g, const int32_t *perm, dk_graph *out, dk_err *err)
{
    size_t n = (size_t)g->n, e = (size_t)g->e;
    int32_t *from = NULL, *src = NULL, *dst = NULL;
    int rc;

    *out = (dk_graph){.label = -1};
    from = dk_graph_array(n, sizeof *from, "nodes of a graph", err);
    src = dk_graph_array(e, sizeof *src, "edges of a graph", err);
    dst = dk_graph_array(e, sizeof *dst, "edges of a graph", err);
    rc = from && src && dst ? invert(perm, g->n, from, err) : err->code;
    if (rc)
        goto out;
    for (size_t i = 0; i < e; i++) {
        src[i] = perm[g->src[i]];
        dst[i] = perm[g->dst[i]];
    }
    rc = dk_graph_build(out, g->n, g->e, src, dst, g->weight, g->gt, NULL, NULL, err);
    if (!rc)
        rc = take_nodes(out, g, from, err);
    if (!rc && g->degree) {
        out->degree = dk_graph_array(n, sizeof *out->degree, "degrees", err);
        rc = err->code;
        for (size_t i = 0; !rc && i < n; i++)
            out->degree[i] = g->degree[from[i]];
    }
    if (rc)
        dk_graph_free(out);
out:
    free(from);
    free(src);
    free(dst);
    return rc;
}
