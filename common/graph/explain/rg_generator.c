/* The generator of rgexplainer: grows a subgraph from a seed, node by node, until it says stop.
 *
 *   z        indicators of the seed and of the selected set, smoothed three times over the graph:
 *            z <- .85 D^-1/2 A D^-1/2 z + .15 z0
 *   h        = W [z_seed ; z_set ; x] + b, then twice h <- h + linear(swish(h)); width 64; for the
 *            nodes on the boundary of the set and those in it
 *   node     log-softmax over the boundary of a linear score
 *   stop     log-softmax of two linear scores (stop, go on) of swish(sum_v a_v h_v), where a is a
 *            softmax over boundary and set of a linear score
 *   action   log p(go on) + log p(node), or log p(stop)
 *
 * The first action is always a node: a single node has no edges and explains none. Many walks are
 * advanced side by side, their states stacked into one forward pass. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sig.h"
#include "graph/explain/rg_internal.h"

enum { STATES = 512, SMOOTHINGS = 3 };
static const double keep = .85;
/* log(p + tiny): the gradient stays finite where a softmax has rounded to 0. */
static const double tiny = 1e-100;

/* States stacked for one pass. Rows of a state: its boundary, then its set, both ascending. */
typedef struct states {
    int32_t n, rows, edges; /* edges: boundary rows of all states */
    int32_t cap_rows;
    int32_t *row_ptr, *edge_ptr; /* [n + 1] */
    int32_t *node, *state, *self; /* [rows] node, its state, 0, 1, 2, ... */
    int32_t *edge_row, *edge_state; /* [edges] */
    double *in;              /* [rows, 2 + features] */
    double *target;          /* [edges] 1: a node that may be added (learning) */
} states;

typedef struct pass {
    dk_var edge_p;     /* [edges, 1] softmax of the boundary scores */
    dk_var stop;       /* [n, 2] log p of stopping, of going on */
    dk_adj of_edges;   /* boundary rows -> states */
    dk_adj of_rows;    /* all rows -> states */
} pass;

static int states_init(states *s, int32_t n, dk_err *err)
{
    *s = (states){0};
    s->row_ptr = calloc((size_t)n + 1, sizeof *s->row_ptr);
    s->edge_ptr = calloc((size_t)n + 1, sizeof *s->edge_ptr);
    if (!s->row_ptr || !s->edge_ptr)
        return dk_fail(err, DK_ENOMEM, "no memory for %d states", n);
    return 0;
}

static void states_free(states *s)
{
    free(s->row_ptr);
    free(s->edge_ptr);
    free(s->node);
    free(s->state);
    free(s->self);
    free(s->edge_row);
    free(s->edge_state);
    free(s->in);
    free(s->target);
}

static bool grow(void *array, size_t count, size_t size)
{
    void *old, *grown;
    size_t bytes;

    memcpy(&old, array, sizeof old);
    if (!dk_mul(count, size, &bytes) || !(grown = realloc(old, bytes)))
        return false;
    memcpy(array, &grown, sizeof grown);
    return true;
}

static int states_room(states *s, int32_t more, int64_t wide, dk_err *err)
{
    int64_t need = (int64_t)s->rows + more, cap = s->cap_rows ? s->cap_rows : 256;

    if (need <= s->cap_rows)
        return 0;
    while (cap < need)
        cap *= 2;
    size_t n = (size_t)cap, row = (size_t)wide * sizeof *s->in;
    if (cap > INT32_MAX || !grow(&s->node, n, sizeof *s->node) ||
        !grow(&s->state, n, sizeof *s->state) || !grow(&s->self, n + 1, sizeof *s->self) ||
        !grow(&s->edge_row, n, sizeof *s->edge_row) ||
        !grow(&s->edge_state, n, sizeof *s->edge_state) ||
        !grow(&s->target, n, sizeof *s->target) || !grow(&s->in, n, row))
        return dk_fail(err, DK_ENOMEM, "no memory for %lld candidates", (long long)cap);
    for (int64_t i = s->cap_rows; i <= cap; i++)
        s->self[i] = (int32_t)i;
    s->cap_rows = (int32_t)cap;
    return 0;
}

static void smooth(const dk_rg_graph *g, const double *z0, double *z, double *next)
{
    int32_t n = g->inst->g->n;

    memcpy(z, z0, (size_t)n * sizeof *z);
    for (int k = 0; k < SMOOTHINGS; k++) {
        for (int32_t v = 0; v < n; v++) {
            double sum = 0;
            for (int32_t i = g->ptr[v]; i < g->ptr[v + 1]; i++)
                sum += g->norm[i] * z[g->nbr[i]];
            next[v] = keep * sum + (1 - keep) * z0[v];
        }
        memcpy(z, next, (size_t)n * sizeof *z);
    }
}

static void add_row(states *s, const dk_graph *g, int32_t v, const double *z_seed,
                    const double *z_set)
{
    int64_t wide = 2 + g->num_features;
    double *in = s->in + s->rows * wide;

    s->node[s->rows] = v;
    s->state[s->rows++] = s->n;
    in[0] = z_seed[v];
    in[1] = z_set[v];
    for (int64_t k = 0; k < g->num_features; k++)
        in[2 + k] = g->x[v * g->num_features + k];
}

/* Adds the state in which a walk was after its first `prefix` nodes. */
static int states_add(states *s, const dk_rg_walk *w, int32_t prefix, dk_err *err)
{
    const dk_rg_graph *r = w->g;
    const dk_graph *g = r->inst->g;
    size_t n = (size_t)g->n;
    double *z = calloc(5 * n + 1, sizeof *z), *z_seed = z + n, *z_set = z_seed + n;
    double *selected = z_set + n, *next = selected + n;
    uint8_t *boundary = calloc(n + 1, 1);

    if (!z || !boundary) {
        dk_fail(err, DK_ENOMEM, "no memory for a state over %d nodes", g->n);
        goto out;
    }
    for (int32_t i = 0; i < prefix; i++)
        selected[w->node[i]] = 1;
    for (int32_t i = 0; i < prefix; i++)
        for (int32_t k = r->ptr[w->node[i]]; k < r->ptr[w->node[i] + 1]; k++)
            boundary[r->nbr[k]] = selected[r->nbr[k]] == 0;
    z[w->node[0]] = 1;
    smooth(r, z, z_seed, next);
    smooth(r, selected, z_set, next);
    if (states_room(s, g->n, 2 + g->num_features, err))
        goto out;
    for (int32_t v = 0; v < g->n; v++)
        if (boundary[v]) {
            s->edge_row[s->edges] = s->rows;
            s->edge_state[s->edges] = s->n;
            s->target[s->edges++] = 0;
            add_row(s, g, v, z_seed, z_set);
        }
    for (int32_t v = 0; v < g->n; v++)
        if (selected[v] != 0)
            add_row(s, g, v, z_seed, z_set);
    s->n++;
    s->row_ptr[s->n] = s->rows;
    s->edge_ptr[s->n] = s->edges;
out:
    free(z);
    free(boundary);
    return err->code;
}

/* h [rows, 64] */
static dk_var hidden(dk_tape *t, const dk_var *v, dk_var in)
{
    dk_var h = dk_linear_op(t, in, v[DK_RG_IN_W], v[DK_RG_IN_B]);

    for (int k = DK_RG_RES1_W; k <= DK_RG_RES2_W; k += 2)
        h = dk_add_op(t, h, dk_linear_op(t, dk_apply(t, DK_FN_SILU, h, 0), v[k], v[k + 1]));
    return h;
}

static void forward(dk_rg *r, const states *s, pass *p)
{
    dk_tape *t = r->w->tape;
    dk_var v[DK_RG_GENERATOR];

    for (int i = 0; i < DK_RG_GENERATOR; i++)
        v[i] = dk_leaf_param(t, &r->state->tensor[i]);
    p->of_rows = (dk_adj){s->rows, s->n, s->rows, s->self, s->state, s->row_ptr, s->self, s->self,
                          s->self};
    p->of_edges = (dk_adj){s->edges, s->n, s->edges, s->self, s->edge_state, s->edge_ptr, s->self,
                           s->self, s->self};
    dk_var h = hidden(t, v, dk_leaf_view(t, s->rows, 2 + r->w->model->c.features, s->in, false));
    dk_var score = dk_gather_rows(t, dk_linear_op(t, h, v[DK_RG_NODE], DK_NOVAR), s->edge_row,
                                  s->edges);
    p->edge_p = dk_edge_softmax(t, &p->of_edges, score);
    dk_var a = dk_edge_softmax(t, &p->of_rows, dk_linear_op(t, h, v[DK_RG_ATTENTION], DK_NOVAR));
    dk_var pooled = dk_apply(t, DK_FN_SILU, dk_aggregate(t, &p->of_rows, 1, a, h), 0);
    p->stop = dk_log_softmax(t, dk_linear_op(t, pooled, v[DK_RG_STOP_W], v[DK_RG_STOP_B]));
}

/* ---- Walking. */

dk_rg_walk *dk_rg_walks(const dk_rg *r, int64_t n, dk_err *err)
{
    size_t room = (size_t)r->c.max_nodes * sizeof(int32_t), bytes, head;
    dk_rg_walk *w = NULL;

    if (dk_mul((size_t)n, sizeof *w + room, &bytes) && dk_mul((size_t)n, sizeof *w, &head))
        w = malloc(bytes + 1);
    if (!w) {
        dk_fail(err, DK_ENOMEM, "no memory for %lld walks", (long long)n);
        return NULL;
    }
    int32_t *node = (int32_t *)(void *)((char *)w + head);
    for (int64_t i = 0; i < n; i++)
        w[i] = (dk_rg_walk){.node = node + i * r->c.max_nodes};
    return w;
}

/* What a walk does in state i of the pass: a node of the boundary, or -1 for stop. */
static int32_t act(const states *s, int32_t i, dk_rg_walk *w, const double *edge_p,
                   const double *stop, bool greedy)
{
    int32_t begin = s->edge_ptr[i], end = s->edge_ptr[i + 1], chosen = begin;

    if (begin == end)
        return -1;
    if (w->n > 1) {
        double p_stop = exp(stop[2 * i]);
        if (greedy ? p_stop > .5 : dk_draw_uniform(&w->draw) < p_stop)
            return -1;
    }
    if (greedy) {
        for (int32_t k = begin + 1; k < end; k++)
            if (edge_p[k] > edge_p[chosen])
                chosen = k;
    } else {
        double u = dk_draw_uniform(&w->draw) - edge_p[begin];
        for (; u >= 0 && chosen + 1 < end; u -= edge_p[chosen])
            chosen++;
    }
    return s->node[s->edge_row[chosen]];
}

/* One action of each of the listed walks. */
static int step(dk_rg *r, dk_rg_walk *walk, const int64_t *id, int32_t n, bool greedy, dk_err *err)
{
    dk_tape *t = r->w->tape;
    states s;
    pass p;

    if (states_init(&s, n, err))
        goto out;
    for (int32_t i = 0; i < n; i++)
        if (states_add(&s, &walk[id[i]], walk[id[i]].n, err))
            goto out;
    dk_tape_restore(t, r->w->base);
    dk_tape_record(t, false);
    forward(r, &s, &p);
    dk_tape_record(t, true);
    if (dk_tape_take(t, err))
        goto out;
    for (int32_t i = 0; i < n; i++) {
        dk_rg_walk *w = &walk[id[i]];
        int32_t v = act(&s, i, w, dk_value64(t, p.edge_p), dk_value64(t, p.stop), greedy);
        if (v >= 0)
            w->node[w->n++] = v;
        w->done = v < 0 || w->n >= r->c.max_nodes;
    }
out:
    dk_tape_restore(t, r->w->base);
    states_free(&s);
    return err->code;
}

int dk_rg_grow(dk_rg *r, dk_rg_walk *walk, int64_t n, bool greedy, dk_err *err)
{
    int64_t id[STATES], first = 0;

    for (int64_t i = 0; i < n; i++)
        walk[i].done = walk[i].done || walk[i].n >= r->c.max_nodes;
    while (first < n && !err->code) {
        int32_t m = 0;
        for (int64_t i = first; i < n && m < STATES; i++)
            if (!walk[i].done)
                id[m++] = i;
        if (m && !dk_check_cancel(err))
            step(r, walk, id, m, greedy, err);
        while (first < n && walk[first].done)
            first++;
    }
    return err->code;
}

/* ---- Learning. */

/* What is to become likely in the boundary of state i: one node, or any later one of the walk. */
static void mark_targets(states *s, int32_t i, const dk_rg_decision *d)
{
    int32_t last = d->stop ? d->prefix : d->any ? d->walk->n : d->prefix + 1;

    for (int32_t k = s->edge_ptr[i]; k < s->edge_ptr[i + 1]; k++)
        for (int32_t j = d->prefix; j < last; j++)
            if (s->node[s->edge_row[k]] == d->walk->node[j])
                s->target[k] = 1;
}

/* -mean of weight * log p(decision). coefficient [n, 3]: of log p(stop), log p(go on), log p(node);
 * a decision without alternative has none. */
static dk_var decision_loss(dk_tape *t, const states *s, const pass *p, const double *coefficient)
{
    dk_var target = dk_leaf_view(t, s->edges, 1, s->target, false);
    dk_var hit = dk_aggregate(t, &p->of_edges, 1, target, p->edge_p);
    dk_var part[2] = {p->stop, dk_apply(t, DK_FN_LOG, hit, tiny)};
    dk_var weight = dk_leaf_view(t, s->n, 3, coefficient, false);
    dk_var sum = dk_sum(t, dk_mul_op(t, dk_concat_cols(t, 2, part), weight));

    return dk_affine(t, sum, -1 / (double)s->n, 0);
}

static int stack_decisions(states *s, const dk_rg_decision *d, int64_t n, double *coefficient,
                           dk_err *err)
{
    for (int32_t i = 0; i < n; i++) {
        if (states_add(s, d[i].walk, d[i].prefix, err))
            return err->code;
        mark_targets(s, i, &d[i]);
        bool free_choice = d[i].prefix > 1 && s->edge_ptr[i + 1] > s->edge_ptr[i];
        coefficient[3 * i] = d[i].stop && free_choice ? d[i].weight : 0;
        coefficient[3 * i + 1] = !d[i].stop && free_choice ? d[i].weight : 0;
        coefficient[3 * i + 2] = d[i].stop ? 0 : d[i].weight;
    }
    return 0;
}

int dk_rg_learn(dk_rg *r, dk_optim *optim, const dk_rg_decision *d, int64_t n, dk_err *err)
{
    dk_tape *t = r->w->tape;
    double *coefficient = malloc((size_t)n * 3 * sizeof *coefficient + 1);
    states s;
    pass p;

    if (states_init(&s, (int32_t)n, err))
        goto out;
    if (!coefficient)
        dk_fail(err, DK_ENOMEM, "no memory for %lld decisions", (long long)n);
    if (err->code || stack_decisions(&s, d, n, coefficient, err) || s.edges == 0)
        goto out;
    dk_optim_zero(optim);
    dk_tape_restore(t, r->w->base);
    forward(r, &s, &p);
    dk_var loss = decision_loss(t, &s, &p, coefficient);
    if (dk_tape_take(t, err))
        goto out;
    dk_backward(t, loss, NULL);
    if (!dk_tape_take(t, err))
        dk_optim_step(optim);
out:
    dk_tape_restore(t, r->w->base);
    free(coefficient);
    states_free(&s);
    return err->code;
}
