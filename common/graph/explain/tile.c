/* Block-diagonal copies of one graph, and self loops as edges: inputs derived from an input. */
#include <string.h>

#include "base/mem.h"
#include "graph/explain/explain_internal.h"
#include "graph/gnn_internal.h"

/* Rows of one batch of copies: large enough that products run at full speed. */
enum { BATCH_ROWS = 2048 };

int dk_tile_copies(int32_t n, int wanted)
{
    int64_t fit = BATCH_ROWS / (n > 0 ? n : 1);

    return fit < 1 ? 1 : fit < wanted ? (int)fit : wanted;
}

/* ---- One allocation, cut into arrays: a walk that adds up sizes, then one that hands out. */
typedef struct cutter {
    char *at; /* NULL while adding up */
    size_t used;
    bool ok;
} cutter;

static void *cut(cutter *c, int64_t count, size_t size)
{
    size_t bytes = 0;
    void *p = c->at ? c->at + c->used : NULL;

    c->ok = c->ok && dk_mul((size_t)count, size, &bytes) && dk_add(bytes, 63, &bytes) &&
            dk_add(c->used, bytes & ~(size_t)63, &c->used);
    return p;
}

/* ---- Copies. */
typedef struct adj_arrays {
    int32_t *src, *dst, *in_ptr, *in_edge, *out_ptr, *out_edge;
} adj_arrays;

static void cut_adj(cutter *c, adj_arrays *a, const dk_adj *from, int64_t k)
{
    a->src = cut(c, k * from->n_edges, sizeof(int32_t));
    a->dst = cut(c, k * from->n_edges, sizeof(int32_t));
    a->in_ptr = cut(c, k * from->n_dst + 1, sizeof(int32_t));
    a->in_edge = cut(c, k * from->in_ptr[from->n_dst], sizeof(int32_t));
    a->out_ptr = cut(c, k * from->n_src + 1, sizeof(int32_t));
    a->out_edge = cut(c, k * from->out_ptr[from->n_src], sizeof(int32_t));
}

/* Where edge i of copy k goes: the first `e` edges of all copies come before their loops. */
static int32_t edge_place(int32_t i, int k, int copies, int32_t e, int32_t loops)
{
    return i < e ? k * e + i : copies * e + k * loops + (i - e);
}

static void copy_groups(const int32_t *ptr, const int32_t *edge, int32_t n, int copies, int32_t e,
                        int32_t loops, int32_t *new_ptr, int32_t *new_edge)
{
    for (int k = 0; k < copies; k++) {
        int32_t base = k * ptr[n];
        for (int32_t v = 0; v < n; v++)
            new_ptr[k * n + v] = base + ptr[v];
        for (int32_t i = 0; i < ptr[n]; i++)
            new_edge[base + i] = edge_place(edge[i], k, copies, e, loops);
    }
    new_ptr[copies * n] = copies * ptr[n];
}

static dk_adj copy_adj(const dk_adj *from, int32_t e, int copies, adj_arrays *a)
{
    int32_t loops = from->n_edges - e, n = from->n_dst;

    for (int k = 0; k < copies; k++)
        for (int32_t i = 0; i < from->n_edges; i++) {
            int32_t to = edge_place(i, k, copies, e, loops);
            a->src[to] = k * n + from->src[i];
            a->dst[to] = k * n + from->dst[i];
        }
    copy_groups(from->in_ptr, from->in_edge, n, copies, e, loops, a->in_ptr, a->in_edge);
    copy_groups(from->out_ptr, from->out_edge, n, copies, e, loops, a->out_ptr, a->out_edge);
    return (dk_adj){copies * n, copies * n, copies * from->n_edges,
                    a->src,     a->dst,     a->in_ptr,
                    a->in_edge, a->out_ptr, a->out_edge};
}

/* The columns of an input, each [e], [n] or, in the list with loops, [looped edges]. */
enum { COEF, LOOP, DEGREE, WEIGHT, KEEP, REST, UNLISTED, SILENCE, COLUMNS };

typedef struct columns {
    const double *from[COLUMNS];
    int64_t n[COLUMNS];
    double *to[COLUMNS];
} columns;

static columns columns_of(const dk_gnn_input *in)
{
    static const dk_gnn_owned none;
    const dk_gnn_owned *o = in->own ? in->own : &none;

    return (columns){
        {in->coef, in->loop, in->degree, in->weight, o->keep, o->rest, o->unlisted, o->silence},
        {in->e, in->n, in->n, in->e, in->e, in->n, in->n, in->looped.n_edges},
        {NULL},
    };
}

static void copy_columns(columns *c, int copies, int32_t e)
{
    for (int i = 0; i < COLUMNS; i++) {
        if (!c->from[i])
            c->to[i] = NULL;
        for (int k = 0; c->from[i] && i != SILENCE && k < copies; k++)
            memcpy(c->to[i] + k * c->n[i], c->from[i], (size_t)c->n[i] * sizeof(double));
    }
    int32_t looped = (int32_t)c->n[SILENCE];
    for (int k = 0; c->from[SILENCE] && k < copies; k++)
        for (int32_t i = 0; i < looped; i++)
            c->to[SILENCE][edge_place(i, k, copies, e, looped - e)] = c->from[SILENCE][i];
}

/* Fits the arrays of everything that is copied; returns the number of bytes. */
static size_t lay_out(cutter *c, const dk_gnn_input *in, int copies, adj_arrays *adj,
                      adj_arrays *looped, int32_t **node_ptr, columns *col)
{
    c->used = 0;
    cut_adj(c, adj, &in->adj, copies);
    if (in->looped.src)
        cut_adj(c, looped, &in->looped, copies);
    *node_ptr = cut(c, copies + 1, sizeof **node_ptr);
    for (int i = 0; i < COLUMNS; i++)
        col->to[i] = cut(c, col->from[i] ? copies * col->n[i] : 0, sizeof(double));
    return c->used;
}

int dk_tile(dk_tiled *t, const dk_gnn_input *in, int copies, dk_err *err)
{
    cutter c = {NULL, 0, true};
    adj_arrays adj, looped;
    columns col = columns_of(in);
    int32_t *node_ptr;
    int64_t most = in->looped.src ? in->looped.n_edges : in->e;

    memset(t, 0, sizeof *t);
    if (copies * (most + 1) > INT32_MAX || copies * ((int64_t)in->n + 1) > INT32_MAX)
        return dk_fail(err, DK_ENOMEM, "%d copies of a graph of %d nodes and %d edges: too large",
                       copies, in->n, in->e);
    size_t bytes = lay_out(&c, in, copies, &adj, &looped, &node_ptr, &col);
    if (!c.ok)
        return dk_fail(err, DK_ENOMEM, "copies of a graph: too large");
    t->block = c.at = dk_alloc(bytes, "copies of a graph", err);
    if (!t->block)
        return err->code;
    lay_out(&c, in, copies, &adj, &looped, &node_ptr, &col);
    copy_columns(&col, copies, in->e);
    for (int i = 0; i <= copies; i++)
        node_ptr[i] = i * in->n;
    t->copies = copies;
    t->in = (dk_gnn_input){.n = copies * in->n, .e = copies * in->e, .graphs = copies};
    t->in.node_ptr = node_ptr;
    t->in.adj = copy_adj(&in->adj, in->e, copies, &adj);
    if (in->looped.src)
        t->in.looped = copy_adj(&in->looped, in->e, copies, &looped);
    t->in.coef = col.to[COEF];
    t->in.loop = col.to[LOOP];
    t->in.degree = col.to[DEGREE];
    t->in.weight = col.to[WEIGHT];
    t->own.keep = col.to[KEEP];
    t->own.rest = col.to[REST];
    t->own.unlisted = col.to[UNLISTED];
    t->own.silence = col.to[SILENCE];
    t->in.own = &t->own;
    return 0;
}

void dk_tile_free(dk_tiled *t)
{
    dk_free_aligned(t->block);
    memset(t, 0, sizeof *t);
}

/* ---- Loops as edges. */
int dk_loops_to_edges(dk_loops_as_edges *l, const dk_gnn_input *in, dk_err *err)
{
    cutter c = {NULL, 0, true};
    int64_t all = (int64_t)in->e + in->n;
    int32_t *src = NULL, *dst = NULL, *in_ptr = NULL, *in_edge = NULL, *out_ptr = NULL;
    int32_t *out_edge = NULL;
    double *coef = NULL, *zero = NULL;

    memset(l, 0, sizeof *l);
    if (all > INT32_MAX)
        return dk_fail(err, DK_ENOMEM, "a graph of %d nodes and %d edges: too large", in->n, in->e);
    for (int walk = 0; walk < 2; walk++) {
        c.used = 0;
        src = cut(&c, all, sizeof *src);
        dst = cut(&c, all, sizeof *dst);
        in_ptr = cut(&c, (int64_t)in->n + 1, sizeof *in_ptr);
        in_edge = cut(&c, all, sizeof *in_edge);
        out_ptr = cut(&c, (int64_t)in->n + 1, sizeof *out_ptr);
        out_edge = cut(&c, all, sizeof *out_edge);
        coef = cut(&c, all, sizeof *coef);
        zero = cut(&c, in->n, sizeof *zero);
        if (walk == 0) {
            l->block = c.ok ? dk_alloc(c.used, "self loops as edges", err) : NULL;
            if (!l->block)
                return dk_fail(err, DK_ENOMEM, "self loops as edges: too large");
            c.at = l->block;
        }
    }
    for (int32_t i = 0; i < in->e; i++) {
        src[i] = in->adj.src[i];
        dst[i] = in->adj.dst[i];
        coef[i] = in->coef ? in->coef[i] : 1;
    }
    for (int32_t v = 0; v < in->n; v++) {
        src[in->e + v] = dst[in->e + v] = v;
        coef[in->e + v] = in->loop ? in->loop[v] : 0;
        zero[v] = 0;
    }
    dk_gnn_group_loops(in->n, in->e, in->adj.in_ptr, in->adj.in_edge, in_ptr, in_edge);
    dk_gnn_group_loops(in->n, in->e, in->adj.out_ptr, in->adj.out_edge, out_ptr, out_edge);
    l->in = *in;
    l->in.own = NULL;
    l->in.e = (int32_t)all;
    l->in.adj = (dk_adj){in->n, in->n, (int32_t)all, src, dst, in_ptr, in_edge, out_ptr, out_edge};
    l->in.coef = coef;
    l->in.weight = NULL;
    l->in.loop = in->loop ? zero : NULL;
    return 0;
}

void dk_loops_free(dk_loops_as_edges *l)
{
    dk_free_aligned(l->block);
    memset(l, 0, sizeof *l);
}
