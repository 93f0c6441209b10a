/* See graph.h. Lists are made by counting sorts: two stable passes, by dst and then by src, order
 * m edges in O(n + m); reverse edges are found by walking the two groupings of a node in step. */
#include "graph/graph.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/graph_internal.h"

void *dk_graph_array(size_t n, size_t size, const char *what, dk_err *err)
{
    size_t bytes;
    void *p = dk_mul(n, size, &bytes) ? malloc(bytes ? bytes : 1) : NULL;

    if (!p)
        dk_fail(err, DK_ENOMEM, "no memory for %zu x %zu bytes (%s)", n, size, what);
    return p;
}

/* ---- Groupings. */

/* ptr [n + 1]: start of the edges whose key is v. */
static void count_starts(int32_t n, int64_t m, const int32_t *key, int32_t *ptr)
{
    memset(ptr, 0, ((size_t)n + 1) * sizeof *ptr);
    for (int64_t e = 0; e < m; e++)
        ptr[key[e] + 1]++;
    for (int32_t v = 0; v < n; v++)
        ptr[v + 1] += ptr[v];
}

/* out: `in` (NULL: 0, 1, 2, ...) stably ordered by key. ptr comes from count_starts and holds the
 * ends of the groups afterwards. */
static void counting_pass(int64_t m, const int32_t *key, const int32_t *in, int32_t *ptr,
                          int32_t *out)
{
    for (int64_t k = 0; k < m; k++) {
        int32_t e = in ? in[k] : (int32_t)k;
        out[ptr[key[e]]++] = e;
    }
}

/* Ends of groups back to starts. */
static void ends_to_starts(int32_t n, int32_t *ptr)
{
    for (int32_t v = n; v > 0; v--)
        ptr[v] = ptr[v - 1];
    ptr[0] = 0;
}

/* Both groupings of v ascend by the other end, so one walk pairs v->u with u->v. */
static void pair_reverses(dk_graph *g)
{
    g->one_way = 0;
    for (int32_t v = 0; v < g->n; v++) {
        int32_t k = g->in_ptr[v];
        for (int32_t e = g->out_ptr[v]; e < g->out_ptr[v + 1]; e++) {
            while (k < g->in_ptr[v + 1] && g->src[g->in_edge[k]] < g->dst[e])
                k++;
            bool found = k < g->in_ptr[v + 1] && g->src[g->in_edge[k]] == g->dst[e];
            g->rev[e] = found ? g->in_edge[k] : -1;
            g->one_way += !found;
        }
    }
}

int dk_graph_index(dk_graph *g, dk_err *err)
{
    size_t n = (size_t)g->n, e = (size_t)g->e;

    g->out_ptr = dk_graph_array(n + 1, sizeof *g->out_ptr, "nodes of a graph", err);
    g->in_ptr = dk_graph_array(n + 1, sizeof *g->in_ptr, "nodes of a graph", err);
    g->rev = dk_graph_array(e, sizeof *g->rev, "edges of a graph", err);
    g->in_edge = dk_graph_array(e, sizeof *g->in_edge, "edges of a graph", err);
    g->out_edge = dk_graph_array(e, sizeof *g->out_edge, "edges of a graph", err);
    if (!g->out_ptr || !g->in_ptr || !g->rev || !g->in_edge || !g->out_edge)
        return err->code;
    count_starts(g->n, g->e, g->src, g->out_ptr);
    count_starts(g->n, g->e, g->dst, g->in_ptr);
    counting_pass(g->e, g->dst, NULL, g->in_ptr, g->in_edge);
    ends_to_starts(g->n, g->in_ptr);
    for (int32_t k = 0; k < g->e; k++)
        g->out_edge[k] = k;
    pair_reverses(g);
    return 0;
}

/* ---- Building. */

typedef struct edges {
    int64_t m;
    const int32_t *src, *dst;
    const double *weight;
    const uint8_t *gt;
} edges;

static int check_edges(int32_t n, const edges *in, dk_err *err)
{
    if (n < 0 || in->m < 0 || n == INT32_MAX || in->m > INT32_MAX)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%" PRId32 " nodes and %" PRId64 " edges: more than 2^31 - 2", n, in->m);
    for (int64_t e = 0; e < in->m; e++)
        if (in->src[e] < 0 || in->src[e] >= n || in->dst[e] < 0 || in->dst[e] >= n)
            return dk_fail(err, DK_EFORMAT,
                           "edge %" PRId64 " (%" PRId32 ", %" PRId32
                           "): expected ids in 0 to %" PRId32,
                           e, in->src[e], in->dst[e], n - 1);
    return 0;
}

static bool is_sorted(const edges *in)
{
    for (int64_t e = 1; e < in->m; e++)
        if (in->src[e] < in->src[e - 1] ||
            (in->src[e] == in->src[e - 1] && in->dst[e] <= in->dst[e - 1]))
            return false;
    return true;
}

/* *order: the edges' numbers by (src, dst), equal ones in the order given; NULL when they stand so
 * already. */
static int sort_edges(int32_t n, const edges *in, int32_t **order, dk_err *err)
{
    int32_t *ptr = NULL, *by_dst = NULL;
    int rc = 0;

    *order = NULL;
    if (is_sorted(in))
        return 0;
    ptr = dk_graph_array((size_t)n + 1, sizeof *ptr, "sorting edges", err);
    by_dst = dk_graph_array((size_t)in->m, sizeof *by_dst, "sorting edges", err);
    *order = dk_graph_array((size_t)in->m, sizeof **order, "sorting edges", err);
    if (!ptr || !by_dst || !*order) {
        rc = err->code;
        free(*order);
        *order = NULL;
        goto out;
    }
    count_starts(n, in->m, in->dst, ptr);
    counting_pass(in->m, in->dst, NULL, ptr, by_dst);
    count_starts(n, in->m, in->src, ptr);
    counting_pass(in->m, in->src, by_dst, ptr, *order);
out:
    free(ptr);
    free(by_dst);
    return rc;
}

/* Copies the sorted edges, equal neighbours as one. */
static void merge_edges(dk_graph *g, const edges *in, const int32_t *order, int32_t *position)
{
    g->e = 0;
    for (int64_t k = 0; k < in->m; k++) {
        int32_t from = order ? order[k] : (int32_t)k, last = g->e - 1;
        bool again = last >= 0 && g->src[last] == in->src[from] && g->dst[last] == in->dst[from];
        int32_t to = again ? last : g->e++;
        if (!again) {
            g->src[to] = in->src[from];
            g->dst[to] = in->dst[from];
            if (g->weight)
                g->weight[to] = in->weight[from];
            if (g->gt)
                g->gt[to] = 0;
        }
        if (g->gt)
            g->gt[to] |= in->gt[from];
        if (position)
            position[from] = to;
    }
}

/* Gives back what merged edges left over; a failing realloc keeps the larger block. */
static void *shrink(void *p, size_t n, size_t size)
{
    void *smaller = p ? realloc(p, n ? n * size : 1) : NULL;
    return smaller ? smaller : p;
}

static void shrink_edges(dk_graph *g)
{
    size_t e = (size_t)g->e;
    g->src = shrink(g->src, e, sizeof *g->src);
    g->dst = shrink(g->dst, e, sizeof *g->dst);
    g->weight = shrink(g->weight, e, sizeof *g->weight);
    g->gt = shrink(g->gt, e, sizeof *g->gt);
}

int dk_graph_build(dk_graph *g, int32_t n, int64_t m, const int32_t *src, const int32_t *dst,
                   const double *weight, const uint8_t *gt, int64_t *merged, int32_t *position,
                   dk_err *err)
{
    edges in = {m, src, dst, weight, gt};
    int32_t *order = NULL;
    int rc;

    *g = (dk_graph){.n = n, .label = -1};
    if (merged)
        *merged = 0;
    rc = check_edges(n, &in, err);
    if (!rc)
        rc = sort_edges(n, &in, &order, err);
    if (rc)
        goto out;
    g->src = dk_graph_array((size_t)m, sizeof *g->src, "edges of a graph", err);
    g->dst = dk_graph_array((size_t)m, sizeof *g->dst, "edges of a graph", err);
    if (weight)
        g->weight = dk_graph_array((size_t)m, sizeof *g->weight, "edge weights", err);
    if (gt)
        g->gt = dk_graph_array((size_t)m, sizeof *g->gt, "ground truth of edges", err);
    if (err->code) {
        rc = err->code;
        goto out;
    }
    merge_edges(g, &in, order, position);
    free(order);
    order = NULL;
    if (g->e < m)
        shrink_edges(g);
    if (merged)
        *merged = m - g->e;
    rc = dk_graph_index(g, err);
out:
    free(order);
    if (rc)
        dk_graph_free(g);
    return rc;
}

void dk_graph_free(dk_graph *g)
{
    free(g->src);
    free(g->dst);
    free(g->rev);
    free(g->out_ptr);
    free(g->in_ptr);
    free(g->in_edge);
    free(g->out_edge);
    free(g->weight);
    free(g->gt);
    free(g->x);
    free(g->node_label);
    free(g->y);
    free(g->degree);
    *g = (dk_graph){0};
}

dk_adj dk_graph_adj(const dk_graph *g)
{
    return (dk_adj){g->n,      g->n,       g->e,       g->src,     g->dst,
                    g->in_ptr, g->in_edge, g->out_ptr, g->out_edge};
}
