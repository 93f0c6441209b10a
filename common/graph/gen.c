/* Random graphs: Barabasi-Albert growth and noise edges (see dataset.h, gen_internal.h). */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/gen_internal.h"
#include "graph/graph_internal.h"

/* ---- Edge lists. */

static int grow(dk_gen_edges *e, dk_err *err)
{
    size_t cap = e->cap ? (size_t)e->cap * 2 : 256;
    int32_t *src = realloc(e->src, cap * sizeof *src);

    if (src)
        e->src = src;
    int32_t *dst = src ? realloc(e->dst, cap * sizeof *dst) : NULL;
    if (dst)
        e->dst = dst;
    uint8_t *gt = dst ? realloc(e->gt, cap) : NULL;
    if (!gt)
        return dk_fail(err, DK_ENOMEM, "no memory for %zu generated edges", cap);
    e->gt = gt;
    e->cap = (int64_t)cap;
    return 0;
}

int dk_gen_add(dk_gen_edges *e, int32_t u, int32_t v, bool gt, dk_err *err)
{
    if (e->m == e->cap && grow(e, err))
        return err->code;
    e->src[e->m] = u;
    e->dst[e->m] = v;
    e->gt[e->m++] = gt;
    return 0;
}

void dk_gen_free(dk_gen_edges *e)
{
    free(e->src);
    free(e->dst);
    free(e->gt);
    *e = (dk_gen_edges){0};
}

int dk_gen_graph(const dk_gen_edges *e, int32_t n, bool with_gt, dk_graph *g, dk_err *err)
{
    size_t m = (size_t)e->m;
    int32_t *src = dk_graph_array(m, 2 * sizeof *src, "generated edges", err);
    int32_t *dst = dk_graph_array(m, 2 * sizeof *dst, "generated edges", err);
    uint8_t *gt = dk_graph_array(m, 2 * sizeof *gt, "generated edges", err);
    int rc = err->code;

    *g = (dk_graph){.label = -1};
    for (size_t i = 0; !rc && i < m; i++) {
        src[2 * i] = dst[2 * i + 1] = e->src[i];
        dst[2 * i] = src[2 * i + 1] = e->dst[i];
        gt[2 * i] = gt[2 * i + 1] = e->gt[i];
    }
    if (!rc)
        rc = dk_graph_build(g, n, 2 * e->m, src, dst, NULL, with_gt ? gt : NULL, NULL, NULL, err);
    free(src);
    free(dst);
    free(gt);
    return rc;
}

/* ---- Growth. */

/* m isolated nodes at first; the first new node links to all of them, every later one to m distinct
 * nodes drawn from the list of all ends so far, which holds each node as often as its degree.
 * stamp[v]: the last node that drew v. */
static int grow_tree(dk_gen_edges *e, int32_t first, int32_t n, int32_t m, int32_t *ends,
                     int32_t *stamp, dk_seq *s, dk_err *err)
{
    uint32_t n_ends = 0;

    for (int32_t v = m; v < n; v++) {
        uint32_t before = n_ends;
        for (int32_t k = 0; k < m; k++) {
            int32_t target = v == m ? k : ends[dk_seq_below(s, before)];
            while (v > m && stamp[target] == v)
                target = ends[dk_seq_below(s, before)];
            stamp[target] = v;
            if (dk_gen_add(e, first + v, first + target, false, err))
                return err->code;
            ends[n_ends++] = target;
        }
        for (int32_t k = 0; k < m; k++)
            ends[n_ends++] = v;
    }
    return 0;
}

int dk_gen_ba(dk_gen_edges *e, int32_t first, int32_t n, int32_t m, dk_seq *s, dk_err *err)
{
    int32_t *ends, *stamp;

    if (m < 1 || n <= m || ((int64_t)n - m) * m > INT32_MAX / 2)
        return dk_fail(err, DK_EUSAGE,
                       "Barabasi-Albert graph of %" PRId32 " nodes, %" PRId32
                       " edges each: expected 1 or more edges, more nodes than that, and at most "
                       "2^30 edges together",
                       n, m);
    ends = dk_graph_array((size_t)(n - m) * (size_t)m, 2 * sizeof *ends, "edge ends", err);
    stamp = dk_graph_array((size_t)n, sizeof *stamp, "nodes", err);
    if (ends && stamp) {
        memset(stamp, 0, (size_t)n * sizeof *stamp); /* no node 0 ever draws */
        grow_tree(e, first, n, m, ends, stamp, s, err);
    }
    free(ends);
    free(stamp);
    return err->code;
}

int dk_gen_barabasi_albert(dk_graph *g, int32_t n, int32_t m, uint64_t seed, dk_err *err)
{
    dk_gen_edges e = {0};
    dk_seq s = {dk_splitmix64(seed)};
    int rc = dk_gen_ba(&e, 0, n, m, &s, err);

    *g = (dk_graph){.label = -1};
    if (!rc)
        rc = dk_gen_graph(&e, n, false, g, err);
    dk_gen_free(&e);
    if (rc)
        return rc;
    g->x = dk_graph_array((size_t)n, sizeof *g->x, "features", err);
    if (!g->x) {
        dk_graph_free(g);
        return err->code;
    }
    g->num_features = 1;
    for (int32_t v = 0; v < n; v++)
        g->x[v] = 1;
    return 0;
}

/* ---- Noise. A table of the pairs that are joined, open addressing, 0: free. */

typedef struct pair_set {
    uint64_t *slot;
    size_t mask;
} pair_set;

/* False when the pair is there already. */
static bool insert(pair_set *t, int32_t u, int32_t v)
{
    uint64_t key = u < v ? (uint64_t)u << 32 | (uint64_t)v : (uint64_t)v << 32 | (uint64_t)u;
    size_t at = (size_t)dk_splitmix64(++key) & t->mask;

    for (; t->slot[at]; at = (at + 1) & t->mask)
        if (t->slot[at] == key)
            return false;
    t->slot[at] = key;
    return true;
}

int dk_gen_noise(dk_gen_edges *e, int64_t from, int32_t first, int32_t n, int64_t count, dk_seq *s,
                 dk_err *err)
{
    int64_t there = e->m - from, pairs = (int64_t)n * (n - 1) / 2;
    pair_set t = {.mask = 1023};
    int rc = 0;

    if (count <= 0)
        return 0;
    /* Beyond half of all pairs drawing until a free one comes takes ever longer. */
    if (count > pairs / 2 - there)
        return dk_fail(err, DK_EUSAGE,
                       "%" PRId64 " noise edges: %" PRId32 " nodes with %" PRId64
                       " edges have room for %" PRId64,
                       count, n, there, pairs / 2 > there ? pairs / 2 - there : 0);
    while (t.mask < (size_t)(there + count) * 2)
        t.mask = t.mask * 2 + 1;
    t.slot = calloc(t.mask + 1, sizeof *t.slot);
    if (!t.slot)
        return dk_fail(err, DK_ENOMEM, "no memory for %" PRId64 " noise edges", count);
    for (int64_t i = from; i < e->m; i++)
        insert(&t, e->src[i], e->dst[i]);
    while (!rc && count > 0) {
        int32_t u = first + (int32_t)dk_seq_below(s, (uint32_t)n);
        int32_t v = first + (int32_t)dk_seq_below(s, (uint32_t)n);
        if (u == v || !insert(&t, u, v))
            continue;
        rc = dk_gen_add(e, u, v, false, err);
        count--;
    }
    free(t.slot);
    return rc;
}
