/* A graph or a batch as the model wants it: coefficients, own loops, padding, row sums.
 *
 * gcn_norm (Kipf and Welling, with the loops of PyG): an existing self loop gives way to the
 * layer's own, which takes over its weight; others weigh 1.
 *     D_i = sum of the weights that enter i + loop_i,  c_ij = w_ij / sqrt(D_i D_j),
 *     loop coefficient = loop_i / D_i;  1 / sqrt(0) = 0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/gnn_internal.h"

/* What graph and batch have in common. */
typedef struct source {
    int32_t n, e, graphs;
    const int32_t *node_ptr;
    dk_adj adj;
    const double *weight, *degree, *x64;
    const float *x32;
    int features;
} source;

static void *array(size_t n, size_t size, const char *what, dk_err *err)
{
    size_t bytes;

    if (!dk_mul(n, size, &bytes)) {
        dk_fail(err, DK_ENOMEM, "%s: too large", what);
        return NULL;
    }
    return dk_alloc(bytes, what, err);
}

void dk_gnn_input_free(dk_gnn_input *in)
{
    dk_gnn_owned *o = in->own;

    if (o) {
        void *const all[] = {o->node_ptr, o->src,      o->dst,         o->in_ptr,  o->out_ptr,
                             o->loop_src, o->loop_dst, o->loop_in_ptr, o->loop_in, o->loop_out_ptr,
                             o->loop_out, o->coef,     o->loop,        o->degree,  o->x,
                             o->keep,     o->rest,     o->unlisted,    o->silence};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            dk_free_aligned(all[i]);
        free(o);
    }
    *in = (dk_gnn_input){0};
}

/* ---- Padding: every graph gets isolated rows behind its own. */

static int32_t padded(const dk_gnn *m, const source *s, int32_t graph)
{
    int32_t n = s->node_ptr[graph + 1] - s->node_ptr[graph];
    return n < m->c.pad_nodes ? m->c.pad_nodes : n;
}

static int pad_rows(dk_gnn_input *in, dk_gnn_owned *o, const dk_gnn *m, const source *s,
                    dk_err *err)
{
    int64_t n = 0;

    o->node_ptr = array((size_t)s->graphs + 1, sizeof(int32_t), "padded graphs", err);
    if (!o->node_ptr)
        return err->code;
    for (int32_t g = 0; g < s->graphs; g++) {
        o->node_ptr[g] = (int32_t)n;
        n += padded(m, s, g);
        if (n >= INT32_MAX)
            return dk_fail(err, DK_ENOMEM, "%d graphs padded to %d nodes each are too many rows",
                           s->graphs, m->c.pad_nodes);
    }
    o->node_ptr[s->graphs] = in->n = (int32_t)n;
    in->node_ptr = o->node_ptr;
    return 0;
}

/* ptr of the padded rows from ptr of the given ones: rows keep their edges, new rows have none. */
static void pad_ptr(const dk_gnn_input *in, const source *s, const int32_t *from, int32_t *to)
{
    int32_t row = 0;

    for (int32_t g = 0; g < s->graphs; g++) {
        for (int32_t v = s->node_ptr[g]; v < s->node_ptr[g + 1]; v++)
            to[row++] = from[v];
        while (row < in->node_ptr[g + 1])
            to[row++] = from[s->node_ptr[g + 1]];
    }
    to[in->n] = s->e;
}

static int pad_edges(dk_gnn_input *in, dk_gnn_owned *o, const source *s, dk_err *err)
{
    size_t rows = (size_t)in->n + 1;

    o->src = array((size_t)s->e, sizeof(int32_t), "padded edges", err);
    o->dst = array((size_t)s->e, sizeof(int32_t), "padded edges", err);
    o->in_ptr = array(rows, sizeof(int32_t), "padded edges", err);
    o->out_ptr = array(rows, sizeof(int32_t), "padded edges", err);
    if (!o->src || !o->dst || !o->in_ptr || !o->out_ptr)
        return err->code;
    for (int32_t g = 0, v = 0; g < s->graphs; g++)
        for (; v < s->node_ptr[g + 1]; v++) {
            int32_t shift = in->node_ptr[g] - s->node_ptr[g];
            for (int32_t k = s->adj.out_ptr[v]; k < s->adj.out_ptr[v + 1]; k++)
                o->src[s->adj.out_edge[k]] = v + shift;
            for (int32_t k = s->adj.in_ptr[v]; k < s->adj.in_ptr[v + 1]; k++)
                o->dst[s->adj.in_edge[k]] = v + shift;
        }
    pad_ptr(in, s, s->adj.in_ptr, o->in_ptr);
    pad_ptr(in, s, s->adj.out_ptr, o->out_ptr);
    in->adj.n_src = in->adj.n_dst = in->n;
    in->adj.src = o->src;
    in->adj.dst = o->dst;
    in->adj.in_ptr = o->in_ptr;
    in->adj.out_ptr = o->out_ptr;
    return 0;
}

/* ---- Features. */

/* A row whose sum is 0 stays as it is. */
static void divide_by_sum(double *row, int n)
{
    double sum = 0;

    for (int i = 0; i < n; i++)
        sum += row[i];
    for (int i = 0; sum != 0 && i < n; i++)
        row[i] /= sum;
}

static int make_features(dk_gnn_input *in, dk_gnn_owned *o, const dk_gnn *m, const source *s,
                         dk_err *err)
{
    size_t f = (size_t)s->features, cells;

    if (!dk_mul((size_t)in->n, f, &cells))
        return dk_fail(err, DK_ENOMEM, "features: too large");
    in->x = o->x = array(cells, sizeof(double), "features", err);
    if (!o->x)
        return err->code;
    for (int32_t g = 0; g < s->graphs; g++) {
        int32_t row = in->node_ptr[g];
        for (int32_t v = s->node_ptr[g]; v < s->node_ptr[g + 1]; v++, row++) {
            double *to = o->x + (size_t)row * f;
            for (size_t i = 0; i < f; i++)
                to[i] = s->x64 ? s->x64[(size_t)v * f + i] : (double)s->x32[(size_t)v * f + i];
            if (m->c.feature_row_sum)
                divide_by_sum(to, s->features);
        }
        memset(o->x + (size_t)row * f, 0, (size_t)(in->node_ptr[g + 1] - row) * f * sizeof(double));
    }
    return 0;
}

/* ---- Coefficients. */

static int plain_weights(dk_gnn_input *in, dk_gnn_owned *o, const source *s, dk_err *err)
{
    if (!s->weight)
        return 0;
    in->weight = s->weight;
    in->coef = o->coef = array((size_t)s->e, sizeof(double), "edge weights", err);
    if (!o->coef)
        return err->code;
    memcpy(o->coef, s->weight, (size_t)s->e * sizeof(double));
    return 0;
}

static double weight_of(const source *s, int32_t e)
{
    return s->weight ? s->weight[e] : 1;
}

/* D, the loops' weights and what a mask cannot reach. A subgraph brings the degrees of the whole
 * graph. */
static void degrees(const dk_gnn_input *in, const source *s, dk_gnn_owned *o)
{
    double *degree = o->degree, *loop = o->loop;

    for (int32_t g = 0; g < s->graphs; g++) {
        int32_t row = in->node_ptr[g];
        for (int32_t v = s->node_ptr[g]; v < s->node_ptr[g + 1]; v++, row++) {
            double sum = 0;
            bool own = false;
            loop[row] = 1;
            for (int32_t k = in->adj.in_ptr[row]; k < in->adj.in_ptr[row + 1]; k++) {
                int32_t e = in->adj.in_edge[k];
                sum += weight_of(s, e);
                if (in->adj.src[e] == row) {
                    loop[row] = weight_of(s, e);
                    own = true;
                }
            }
            o->unlisted[row] = own ? 0 : 1;
            o->rest[row] = (s->degree ? s->degree[v] - sum : 0) + o->unlisted[row];
            degree[row] = (s->degree ? s->degree[v] : sum) + o->unlisted[row];
        }
        for (; row < in->node_ptr[g + 1]; row++)
            degree[row] = loop[row] = o->rest[row] = o->unlisted[row] = 1;
    }
}

static double inverse_root(double d)
{
    return d == 0 ? 0 : 1 / sqrt(d);
}

static bool has_loops(const dk_adj *a)
{
    for (int32_t e = 0; e < a->n_edges; e++)
        if (a->src[e] == a->dst[e])
            return true;
    return false;
}

static int normalised(dk_gnn_input *in, dk_gnn_owned *o, const source *s, dk_err *err)
{
    in->coef = o->coef = array((size_t)s->e, sizeof(double), "coefficients", err);
    in->loop = o->loop = array((size_t)in->n, sizeof(double), "coefficients", err);
    in->degree = o->degree = array((size_t)in->n, sizeof(double), "coefficients", err);
    o->rest = array((size_t)in->n, sizeof(double), "coefficients", err);
    o->unlisted = array((size_t)in->n, sizeof(double), "coefficients", err);
    if (has_loops(&in->adj))
        o->keep = array((size_t)s->e, sizeof(double), "coefficients", err);
    if (err->code)
        return err->code;
    in->weight = s->weight;
    degrees(in, s, o);
    for (int32_t v = 0; v < in->n; v++) {
        double root = inverse_root(o->degree[v]);
        if (isnan(root))
            return dk_fail(err, DK_EFORMAT,
                           "the weights that enter node %d add up to %g; degrees "
                           "must not be negative",
                           v, o->degree[v]);
        o->loop[v] *= root * root;
    }
    for (int32_t e = 0; e < s->e; e++) {
        int32_t a = in->adj.src[e], b = in->adj.dst[e];
        if (o->keep)
            o->keep[e] = a != b;
        o->coef[e] =
            a == b ? 0 : weight_of(s, e) * inverse_root(o->degree[a]) * inverse_root(o->degree[b]);
    }
    return 0;
}

/* ---- Attention: the edges, then one loop per node, grouped both ways. */

/* Existing self loops stay in the list, where masks have a place for them, but get no share of the
 * softmax: the exponential of this is 0 in either precision. */
static int silence_loops(const dk_gnn_input *in, dk_gnn_owned *o, dk_err *err)
{
    const dk_adj *a = &in->looped;

    if (!has_loops(&in->adj))
        return 0;
    o->silence = array((size_t)a->n_edges, sizeof(double), "self loops", err);
    if (!o->silence)
        return err->code;
    for (int32_t e = 0; e < a->n_edges; e++)
        o->silence[e] = e < in->e && a->src[e] == a->dst[e] ? -1e30 : 0;
    return 0;
}

void dk_gnn_group_loops(int32_t n, int32_t e, const int32_t *ptr, const int32_t *edge,
                        int32_t *to_ptr, int32_t *to)
{
    int32_t at = 0;

    for (int32_t v = 0; v < n; v++) {
        to_ptr[v] = at;
        for (int32_t k = ptr[v]; k < ptr[v + 1]; k++)
            to[at++] = edge[k];
        to[at++] = e + v;
    }
    to_ptr[n] = at;
}

static int add_loops(dk_gnn_input *in, dk_gnn_owned *o, dk_err *err)
{
    size_t n = (size_t)in->n, total = n + (size_t)in->e;

    if (total > INT32_MAX)
        return dk_fail(err, DK_ENOMEM, "%d edges and %d loops are too many", in->e, in->n);
    o->loop_src = array(total, sizeof(int32_t), "self loops", err);
    o->loop_dst = array(total, sizeof(int32_t), "self loops", err);
    o->loop_in = array(total, sizeof(int32_t), "self loops", err);
    o->loop_out = array(total, sizeof(int32_t), "self loops", err);
    o->loop_in_ptr = array(n + 1, sizeof(int32_t), "self loops", err);
    o->loop_out_ptr = array(n + 1, sizeof(int32_t), "self loops", err);
    if (!o->loop_src || !o->loop_dst || !o->loop_in || !o->loop_out || !o->loop_in_ptr ||
        !o->loop_out_ptr)
        return err->code;
    memcpy(o->loop_src, in->adj.src, (size_t)in->e * sizeof(int32_t));
    memcpy(o->loop_dst, in->adj.dst, (size_t)in->e * sizeof(int32_t));
    for (int32_t v = 0; v < in->n; v++)
        o->loop_src[in->e + v] = o->loop_dst[in->e + v] = v;
    dk_gnn_group_loops(in->n, in->e, in->adj.in_ptr, in->adj.in_edge, o->loop_in_ptr, o->loop_in);
    dk_gnn_group_loops(in->n, in->e, in->adj.out_ptr, in->adj.out_edge, o->loop_out_ptr, o->loop_out);
    in->looped = (dk_adj){in->n,          in->n,      (int32_t)total,  o->loop_src, o->loop_dst,
                          o->loop_in_ptr, o->loop_in, o->loop_out_ptr, o->loop_out};
    return silence_loops(in, o, err);
}

/* ---- Together. */

static int make(dk_gnn_input *in, const dk_gnn *m, const source *s, dk_err *err)
{
    dk_gnn_owned *o = dk_xcalloc(1, sizeof *o);
    int rc;

    *in = (dk_gnn_input){.n = s->n, .e = s->e, .graphs = s->graphs, .adj = s->adj, .own = o};
    rc = pad_rows(in, o, m, s, err);
    if (!rc && in->n != s->n)
        rc = pad_edges(in, o, s, err);
    if (!rc)
        rc = make_features(in, o, m, s, err);
    if (!rc && dk_gnn_is_attention(m->c.arch)) {
        in->looped = in->adj;
        if (m->c.add_self_loops)
            rc = add_loops(in, o, err);
        rc = rc ? rc : plain_weights(in, o, s, err);
    } else if (!rc) {
        rc = dk_gnn_own_loops(&m->c) ? normalised(in, o, s, err) : plain_weights(in, o, s, err);
    }
    if (rc)
        dk_gnn_input_free(in);
    return rc;
}

static int check_features(const dk_gnn *m, int features, bool there, dk_err *err)
{
    if (features == m->c.features && there)
        return 0;
    return dk_fail(err, DK_EFORMAT, "graph has %d features per node, the model expects %d",
                   there ? features : 0, m->c.features);
}

int dk_gnn_input_graph(dk_gnn_input *in, const dk_gnn *m, const dk_graph *g, dk_err *err)
{
    const int32_t ptr[2] = {0, g->n};
    source s = {.n = g->n,
                .e = g->e,
                .graphs = 1,
                .node_ptr = ptr,
                .adj = dk_graph_adj(g),
                .weight = g->weight,
                .degree = g->degree,
                .x64 = g->x,
                .features = g->num_features};

    *in = (dk_gnn_input){0};
    if (check_features(m, g->num_features, g->x || g->n == 0, err))
        return err->code;
    return make(in, m, &s, err);
}

int dk_gnn_input_batch(dk_gnn_input *in, const dk_gnn *m, const dk_batch *b, dk_err *err)
{
    source s = {.n = b->n,
                .e = b->e,
                .graphs = b->graphs,
                .node_ptr = b->node_ptr,
                .adj = dk_batch_adj(b),
                .weight = b->weight,
                .degree = b->degree,
                .x32 = b->x32,
                .features = b->num_features};

    *in = (dk_gnn_input){0};
    if (check_features(m, b->num_features, b->x32 || b->n == 0, err))
        return err->code;
    return make(in, m, &s, err);
}
