/* GOAt: attribution by equal shares (G Sec. 3).
 *
 * With every activation replaced by its pattern P = output / input (0 where the input is 0), the
 * network is a polynomial in the adjacency entries and the patterns; a product z of M variables
 * gives each of them z / M (G Eq. 2, an edge used twice counts twice: Theorem 5). As the integral
 * of t^(M-1) over [0, 1] is 1 / M, scaling all variables by t and integrating gives all shares at
 * once:
 *
 *     share(v) = v * integral_0^1  d f / d v (t A, t P) dt
 *
 * The integrand is a polynomial in t of degree M_max - 1, so Gauss-Legendre with M_max / 2 nodes is
 * exact. Nodes of the quadrature, and the network without edges with its own patterns (the
 * calibration, G Eq. 14), are copies of the graph in one block-diagonal batch: one forward pass,
 * and one backward pass per class whose seed are the weights of the quadrature.
 *
 * Constants, not variables: features (unless asked for), weights, biases, batch norm, self terms,
 * L2 denominators, attention coefficients, the readout's 1 / n. */
#include "graph/explain/goat_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/explain_internal.h"
#include "num/quadrature.h"

enum { MAX_SITES = 3 * DK_GNN_MAX_LAYERS + 2, REAL = 0, EMPTY = 1 };

/* A matrix kept from a run: [rows, cols] in the arena. */
typedef struct kept {
    int64_t rows, cols;
    double *value;
} kept;

/* The constants and patterns of the network at one point. */
typedef struct record {
    kept act[MAX_SITES], denominator[DK_GNN_MAX_LAYERS], attention[DK_GNN_MAX_LAYERS], maximum;
} record;

/* A copy of the graph in the batch: node t of the quadrature, weight w, at point REAL or EMPTY. */
typedef struct copy {
    double t, w;
    int point;
} copy;

typedef struct goat {
    dk_explain_worker *w;
    const dk_instance *inst;
    const dk_gnn_input *in; /* the instance's, or with its loops as edges */
    const dk_goat_plan *plan;
    dk_goat_shares *s;
    dk_arena *arena;
    dk_err *err;
    record at[2], *recording;
    int copies;                     /* in one batch */
    const copy *copy;               /* of the batch being run */
    dk_var act[MAX_SITES], maximum; /* pattern leaves of the batch */
} goat;

int dk_goat_nodes(const dk_gnn *m, bool features)
{
    int variables = m->c.layers + dk_gnn_act_sites(m) + features;

    if (m->c.readout == DK_READ_MAX || m->c.readout == DK_READ_MAX_MEAN)
        variables++;
    return (variables + 1) / 2;
}

/* ---- Recording: hooks that let the network run as it is and keep what they see. */
static double *keep(goat *g, kept *k, int64_t rows, int64_t cols)
{
    k->rows = rows;
    k->cols = cols;
    k->value = dk_arena_alloc(g->arena, (size_t)(rows * cols) * sizeof(double), g->err);
    return k->value;
}

static dk_var record_act(void *ctx, dk_tape *t, int site, dk_fn fn, dk_var pre)
{
    goat *g = ctx;
    static const dk_gnn_hooks none;
    dk_gnn_ctx plain = {g->w->model, t, &g->w->vars, &none, false};
    dk_var y = dk_gnn_do_act(&plain, site, fn, pre);

    if (!dk_tape_ok(t))
        return y;
    int64_t rows = dk_var_rows(t, pre), cols = dk_var_cols(t, pre);
    const double *in = dk_value64(t, pre), *out = dk_value64(t, y);
    double *p = keep(g, &g->recording->act[site], rows, cols);
    for (int64_t i = 0; p && i < rows * cols; i++)
        p[i] = in[i] == 0 ? 0 : out[i] / in[i];
    return y;
}

static dk_var record_norm(void *ctx, dk_tape *t, int site, dk_var x)
{
    goat *g = ctx;

    if (!dk_tape_ok(t))
        return x;
    int64_t rows = dk_var_rows(t, x), cols = dk_var_cols(t, x);
    const double *v = dk_value64(t, x);
    double *d = keep(g, &g->recording->denominator[site], rows, 1);
    for (int64_t r = 0; d && r < rows; r++) {
        double sum = 0;
        for (int64_t c = 0; c < cols; c++)
            sum += v[r * cols + c] * v[r * cols + c];
        d[r] = sqrt(sum) > 1e-12 ? sqrt(sum) : 1e-12;
    }
    return dk_l2norm_rows(t, x, 1e-12);
}

/* Without edges a node attends to itself alone. */
static dk_var record_attention(void *ctx, dk_tape *t, int site, dk_var alpha)
{
    goat *g = ctx;

    if (!dk_tape_ok(t))
        return alpha;
    int64_t rows = dk_var_rows(t, alpha), cols = dk_var_cols(t, alpha);
    double *a = keep(g, &g->recording->attention[site], rows, cols);
    if (!a)
        return alpha;
    memcpy(a, dk_value64(t, alpha), (size_t)(rows * cols) * sizeof *a);
    for (int64_t i = 0; g->recording == &g->at[EMPTY] && i < rows * cols; i++)
        a[i] = i / cols >= g->in->e;
    return g->recording == &g->at[EMPTY] ? dk_leaf(t, rows, cols, a, false) : alpha;
}

static dk_var record_maximum(void *ctx, dk_tape *t, const int32_t *node_ptr, int32_t graphs,
                             dk_var x)
{
    goat *g = ctx;

    if (!dk_tape_ok(t))
        return x;
    int64_t rows = dk_var_rows(t, x), cols = dk_var_cols(t, x);
    const double *v = dk_value64(t, x);
    double *q = keep(g, &g->recording->maximum, rows, cols);
    for (int64_t c = 0; q && rows > 0 && c < cols; c++) {
        int64_t best = 0;
        for (int64_t r = 0; r < rows; r++) {
            q[r * cols + c] = 0;
            if (v[r * cols + c] > v[best * cols + c])
                best = r;
        }
        q[best * cols + c] = 1;
    }
    return dk_segment(t, DK_SEG_MAX, node_ptr, graphs, x);
}

/* Runs the network at one point and keeps patterns, constants and logits. The classifier runs on
 * every row of a node task, so that a batch of copies has the same sites. */
static int record_point(goat *g, int point)
{
    dk_explain_worker *w = g->w;
    dk_tape *t = w->tape;
    int classes = w->model->c.classes;
    dk_gnn_hooks hooks = {g, record_act, record_norm, NULL, record_attention, record_maximum};
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace trace;

    g->recording = &g->at[point];
    dk_tape_restore(t, w->base);
    dk_tape_record(t, false);
    o.hooks = &hooks;
    if (point == EMPTY)
        o.edge_mask = dk_leaf_fill(t, g->in->e, 1, 0, false);
    if (point == EMPTY && g->plan->features)
        o.x = dk_leaf_fill(t, g->in->n, w->model->c.features, 0, false);
    dk_gnn_run(w->model, t, &w->vars, g->in, &o, &trace);
    dk_tape_record(t, true);
    if (dk_tape_take(t, g->err) || g->err->code)
        return g->err->code;
    int64_t row = g->inst->node >= 0 ? g->inst->node : 0;
    memcpy(g->s->logit[point], dk_value64(t, trace.logits) + row * classes,
           (size_t)classes * sizeof(double));
    return 0;
}

/* ---- The polynomial network on a batch of copies. */

/* A leaf over memory of the arena, to be filled through *data (NULL on exhausted memory). */
static dk_var new_leaf(goat *g, dk_tape *t, int64_t rows, int64_t cols, bool needs_grad,
                       double **data)
{
    *data = dk_tape_ok(t) ? dk_arena_alloc(g->arena, (size_t)(rows * cols) * sizeof **data, g->err)
                          : NULL;
    return *data ? dk_leaf_view(t, rows, cols, *data, needs_grad)
                 : dk_leaf_fill(t, rows, cols, 0, needs_grad);
}

/* The matrices kept at each copy's point, below each other; `scaled`: variables, times its t. */
static dk_var leaf_of(goat *g, dk_tape *t, const kept *real, const kept *empty, bool scaled)
{
    int64_t count = real->rows * real->cols;
    double *to;
    dk_var leaf = new_leaf(g, t, g->copies * real->rows, real->cols, scaled, &to);

    for (int k = 0; to && k < g->copies; k++, to += count) {
        const double *from = (g->copy[k].point == REAL ? real : empty)->value;
        double s = scaled ? g->copy[k].t : 1;
        for (int64_t i = 0; i < count; i++)
            to[i] = s * from[i];
    }
    return leaf;
}

static dk_var poly_act(void *ctx, dk_tape *t, int site, dk_fn fn, dk_var pre)
{
    goat *g = ctx;

    (void)fn;
    g->act[site] = leaf_of(g, t, &g->at[REAL].act[site], &g->at[EMPTY].act[site], true);
    return dk_mul_op(t, pre, g->act[site]);
}

static dk_var poly_norm(void *ctx, dk_tape *t, int site, dk_var x)
{
    goat *g = ctx;
    dk_var d =
        leaf_of(g, t, &g->at[REAL].denominator[site], &g->at[EMPTY].denominator[site], false);

    return dk_div_op(t, x, d);
}

/* In the batch the edges of all copies come before their loops. */
static dk_var poly_attention(void *ctx, dk_tape *t, int site, dk_var alpha)
{
    goat *g = ctx;
    const kept *real = &g->at[REAL].attention[site];
    int64_t e = g->in->e, loops = real->rows - e, h = real->cols;

    double *to;
    dk_var leaf = new_leaf(g, t, g->copies * real->rows, h, false, &to);

    (void)alpha;
    for (int k = 0; to && k < g->copies; k++) {
        const double *from = g->at[g->copy[k].point].attention[site].value;
        memcpy(to + k * e * h, from, (size_t)(e * h) * sizeof *to);
        memcpy(to + (g->copies * e + k * loops) * h, from + e * h,
               (size_t)(loops * h) * sizeof *to);
    }
    return leaf;
}

static dk_var poly_maximum(void *ctx, dk_tape *t, const int32_t *node_ptr, int32_t graphs, dk_var x)
{
    goat *g = ctx;

    g->maximum = leaf_of(g, t, &g->at[REAL].maximum, &g->at[EMPTY].maximum, true);
    return dk_segment(t, DK_SEG_SUM, node_ptr, graphs, dk_mul_op(t, x, g->maximum));
}

/* Adds to share[r] the sums over row first + r of pattern times gradient. */
static void add_row_sums(const kept *pattern, const double *grad, int64_t first, int64_t rows,
                         double *share)
{
    int64_t cols = pattern->cols;

    for (int64_t r = 0; r < rows; r++) {
        const double *p = pattern->value + (first + r) * cols, *d = grad + (first + r) * cols;
        double sum = 0;
        for (int64_t j = 0; j < cols; j++)
            sum += p[j] * d[j];
        share[r] += sum;
    }
}

static double *pattern_of(const dk_goat_shares *s, int point, int class_index, int site)
{
    return s->pattern[point] + ((int64_t)class_index * s->sites + site) * s->n;
}

static void collect_patterns(goat *g, int class_index)
{
    dk_goat_shares *s = g->s;
    const dk_gnn *m = g->w->model;
    int in_layers = dk_gnn_act_site(m, s->layers);

    for (int site = 0; site < dk_gnn_act_sites(m); site++) {
        const double *grad = dk_grad64(g->w->tape, g->act[site]);
        for (int k = 0; k < g->copies; k++) {
            int point = g->copy[k].point;
            const kept *p = &g->at[point].act[site];
            if (site < in_layers)
                add_row_sums(p, grad, 0, s->n, pattern_of(s, point, class_index, site));
            else
                add_row_sums(p, grad, g->inst->node >= 0 ? g->inst->node : 0, 1,
                             &s->head[point][class_index]);
            grad += p->rows * p->cols;
        }
    }
    if (g->maximum == DK_NOVAR)
        return;
    const double *grad = dk_grad64(g->w->tape, g->maximum);
    for (int k = 0; k < g->copies; k++) {
        int point = g->copy[k].point;
        const kept *q = &g->at[point].maximum;
        add_row_sums(q, grad, 0, s->n, pattern_of(s, point, class_index, in_layers));
        grad += q->rows * q->cols;
    }
}

static void collect_edges(goat *g, int class_index, dk_var mask, dk_var x)
{
    dk_goat_shares *s = g->s;
    const double *d = dk_grad64(g->w->tape, mask);
    int64_t features = g->w->model->c.features;

    for (int k = 0; k < g->copies; k++, d += g->in->e) {
        if (g->copy[k].point != REAL)
            continue;
        for (int32_t i = 0; i < s->e; i++)
            s->edge[(int64_t)class_index * s->e + i] += d[i];
        for (int32_t v = 0; s->loop && v < s->n; v++)
            s->loop[(int64_t)class_index * s->n + v] += d[s->e + v];
    }
    if (!s->feature)
        return;
    d = dk_grad64(g->w->tape, x);
    for (int k = 0; k < g->copies; k++)
        for (int32_t v = 0; v < s->n; v++)
            for (int64_t f = 0; f < features; f++, d++)
                if (g->copy[k].point == REAL)
                    s->feature[(int64_t)class_index * s->n + v] +=
                        g->inst->in.x[v * features + f] * *d;
}

static dk_var mask_leaf(goat *g, dk_tape *t)
{
    double *m;
    dk_var mask = new_leaf(g, t, (int64_t)g->copies * g->in->e, 1, true, &m);

    for (int k = 0; m && k < g->copies; k++)
        for (int32_t i = 0; i < g->in->e; i++)
            *m++ = g->copy[k].point == REAL ? g->copy[k].t : 0;
    return mask;
}

static dk_var feature_leaf(goat *g, dk_tape *t)
{
    int64_t f = g->w->model->c.features, count = g->in->n * f;
    double *to;
    dk_var x = new_leaf(g, t, (int64_t)g->copies * g->in->n, f, g->plan->features, &to);

    for (int k = 0; to && k < g->copies; k++, to += count) {
        double s = !g->plan->features ? 1 : g->copy[k].point == REAL ? g->copy[k].t : 0;
        for (int64_t i = 0; i < count; i++)
            to[i] = s * g->inst->in.x[i];
    }
    return x;
}

/* Forward once, backward once per class: copy k is seeded with its weight. */
static int run_batch(goat *g, const dk_tiled *tiled)
{
    dk_explain_worker *w = g->w;
    dk_tape *t = w->tape;
    dk_gnn_hooks hooks = {g, poly_act, poly_norm, NULL, poly_attention, poly_maximum};
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace trace;
    int64_t classes = w->model->c.classes, rows = 1, row = 0;
    dk_arena_mark mark = dk_arena_save(g->arena);

    dk_tape_restore(t, w->base);
    g->maximum = DK_NOVAR;
    o.x = feature_leaf(g, t);
    o.edge_mask = mask_leaf(g, t);
    o.hooks = &hooks;
    dk_gnn_run(w->model, t, &w->vars, &tiled->in, &o, &trace);
    if (dk_tape_take(t, g->err) || g->err->code)
        return g->err->code;
    if (g->inst->node >= 0) {
        rows = g->in->n;
        row = g->inst->node;
    }
    size_t seeds = (size_t)(g->copies * rows * classes);
    double *seed = dk_arena_alloc(g->arena, seeds * sizeof *seed, g->err);
    if (!seed)
        return g->err->code;
    memset(seed, 0, seeds * sizeof *seed);
    for (int c = 0; c < g->plan->classes; c++) {
        int64_t at = g->plan->first + c;
        for (int k = 0; k < g->copies; k++) {
            if (c > 0)
                seed[(k * rows + row) * classes + at - 1] = 0;
            seed[(k * rows + row) * classes + at] = g->copy[k].w;
        }
        dk_backward(t, trace.logits, seed);
        collect_edges(g, c, o.edge_mask, o.x);
        collect_patterns(g, c);
    }
    dk_tape_restore(t, w->base);
    dk_arena_restore(g->arena, mark);
    return dk_tape_take(t, g->err);
}

/* All copies in batches of equal size; what is left over of the last has weight 0. */
static int integrate(goat *g)
{
    int nodes = g->plan->nodes ? g->plan->nodes : dk_goat_nodes(g->w->model, g->plan->features);
    double *t = dk_xmalloc(2 * (size_t)nodes * sizeof *t), *weight = t + nodes;
    int per = dk_tile_copies(g->in->n, 2 * nodes), batches = (2 * nodes + per - 1) / per;
    copy *all;
    dk_tiled tiled = {0};
    int rc = 0;

    dk_gauss_legendre(nodes, t, weight);
    per = (2 * nodes + batches - 1) / batches;
    all = dk_xmalloc((size_t)(batches * per) * sizeof *all);
    for (int k = 0; k < batches * per; k++)
        all[k] = k < 2 * nodes ? (copy){t[k / 2], weight[k / 2], k % 2} : (copy){.5, 0, EMPTY};
    g->copies = per;
    if (dk_tile(&tiled, g->in, per, g->err))
        rc = g->err->code;
    for (int b = 0; rc == 0 && b < batches; b++) {
        g->copy = all + b * per;
        rc = run_batch(g, &tiled);
    }
    dk_tile_free(&tiled);
    free(all);
    free(t);
    return rc;
}

/* ---- Together. */
static int allocate(dk_goat_shares *s, int classes, bool loops, bool features, dk_err *err)
{
    int64_t k = s->classes, rows = k * s->n;
    int64_t total = k * s->e + 2 * rows + 2 * rows * s->sites + 2 * k + 2 * (int64_t)classes;
    size_t bytes;

    if (!dk_mul((size_t)total, sizeof(double), &bytes))
        return dk_fail(err, DK_ENOMEM, "shares of %d classes: too large", s->classes);
    double *at = s->block = dk_alloc(bytes, "shares", err);
    if (!at)
        return err->code;
    memset(at, 0, bytes);
    s->edge = at;
    at += k * s->e;
    s->loop = loops ? at : NULL;
    at += rows;
    s->feature = features ? at : NULL;
    at += rows;
    for (int point = 0; point < 2; point++) {
        s->pattern[point] = at;
        at += rows * s->sites;
        s->head[point] = at;
        at += k;
        s->logit[point] = at;
        at += classes;
    }
    return 0;
}

int dk_goat_shares_make(dk_goat_shares *s, dk_explain_worker *w, const dk_instance *inst,
                        const dk_goat_plan *plan, dk_err *err)
{
    const dk_gnn *m = w->model;
    bool maximum = m->c.readout == DK_READ_MAX || m->c.readout == DK_READ_MAX_MEAN;
    goat g = {.w = w, .inst = inst, .in = &inst->in, .plan = plan, .s = s, .err = err};
    dk_loops_as_edges loops = {0};
    int rc;

    *s = (dk_goat_shares){.n = inst->in.n,
                          .e = inst->in.e,
                          .first = plan->first,
                          .classes = plan->classes,
                          .layers = m->c.layers};
    for (int site = 0; site < dk_gnn_act_site(m, m->c.layers); site++)
        s->site_layer[s->sites++] = dk_gnn_act_layer(m, site);
    if (maximum)
        s->site_layer[s->sites++] = m->c.layers;
    rc = allocate(s, m->c.classes, plan->loops && inst->in.loop, plan->features, err);
    g.arena = dk_arena_new();
    if (rc == 0 && s->loop) {
        rc = dk_loops_to_edges(&loops, &inst->in, err);
        g.in = &loops.in;
    }
    if (rc == 0)
        rc = record_point(&g, REAL);
    if (rc == 0)
        rc = record_point(&g, EMPTY);
    if (rc == 0)
        rc = integrate(&g);
    dk_arena_free(g.arena);
    dk_loops_free(&loops);
    return rc;
}

void dk_goat_shares_free(dk_goat_shares *s)
{
    dk_free_aligned(s->block);
    memset(s, 0, sizeof *s);
}

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    int classes = w->model->c.classes, e = inst->g->e;
    dk_goat_plan plan = {.first = out->score_c ? 0 : inst->target,
                         .classes = out->score_c ? classes : 1,
                         .loops = p->selfloop_variable,
                         .features = out->node_score != NULL};
    int target = inst->target - plan.first;
    dk_goat_shares s;
    double *residual = dk_xcalloc((size_t)plan.classes, sizeof *residual);
    double *score = out->score_c ? out->score_c : out->score;
    int rc = dk_goat_shares_make(&s, w, inst, &plan, err);

    (void)state;
    if (rc == 0)
        rc = dk_goat_pass_on(&s, inst, p, score, residual, err);
    if (rc == 0) {
        for (int i = 0; out->score_c && i < e; i++)
            out->score[i] = out->score_c[(int64_t)i * classes + target];
        for (int32_t v = 0; out->loop_score && v < inst->g->n; v++)
            out->loop_score[v] = s.loop ? s.loop[(int64_t)target * s.n + v] : 0;
        for (int32_t v = 0; out->node_score && v < inst->g->n; v++)
            out->node_score[v] = s.feature[(int64_t)target * s.n + v];
        out->residual = residual[target];
        out->logit = s.logit[REAL][inst->target];
        out->empty_logit = s.logit[EMPTY][inst->target];
    }
    dk_goat_shares_free(&s);
    free(residual);
    return rc;
}

const dk_explainer dk_explainer_goat = {
    .name = "goat",
    .title = "GOAt (equal shares of every product)",
    .every_class = true,
    .explain = explain,
};
