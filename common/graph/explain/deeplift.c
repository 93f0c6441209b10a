/* DeepLIFT, rescale rule (Shrikumar et al. 2017), against the same graph with features 0.
 *
 * An element-wise function passes a multiplier (y - y0) / (x - x0) in place of its derivative, x0
 * and y0 being its values in the reference run; a node scores sum_f multiplier_vf * (x_vf - 0), an
 * edge the mean of its ends. Not settled by the literature: the row normalisation is rescaled
 * element by element as well, which keeps the sum of all scores at z - z0; attention coefficients
 * are constants of the explained graph and a maximum passes its gradient, which does not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/explain_internal.h"

enum { MAX_SITES = 3 * DK_GNN_MAX_LAYERS + 2 };

/* Inputs and outputs of the element-wise sites in the reference run. */
typedef struct reference {
    double *in, *out;
} reference;

typedef struct deeplift {
    dk_explain_worker *w;
    dk_arena *arena;
    reference act[MAX_SITES], norm[DK_GNN_MAX_LAYERS];
    dk_err *err;
} deeplift;

static dk_var plain_act(deeplift *d, dk_tape *t, int site, dk_fn fn, dk_var x)
{
    static const dk_gnn_hooks none;
    dk_gnn_ctx plain = {d->w->model, t, &d->w->vars, &none, false};

    return dk_gnn_do_act(&plain, site, fn, x);
}

static dk_var plain_norm(deeplift *d, dk_tape *t, int site, dk_fn fn, dk_var x)
{
    (void)d;
    (void)site;
    (void)fn;
    return dk_l2norm_rows(t, x, 1e-12);
}

typedef dk_var function(deeplift *d, dk_tape *t, int site, dk_fn fn, dk_var x);

static double *copy_of(deeplift *d, const double *x, int64_t n)
{
    double *c = dk_arena_alloc(d->arena, (size_t)n * sizeof *c, d->err);

    if (c)
        memcpy(c, x, (size_t)n * sizeof *c);
    return c;
}

static dk_var remember(deeplift *d, dk_tape *t, int site, dk_fn fn, dk_var x, function *f,
                       reference *r)
{
    dk_var y = f(d, t, site, fn, x);

    if (dk_tape_ok(t)) {
        int64_t n = dk_var_rows(t, x) * dk_var_cols(t, x);
        r->in = copy_of(d, dk_value64(t, x), n);
        r->out = copy_of(d, dk_value64(t, y), n);
    }
    return y;
}

static dk_var remember_act(void *ctx, dk_tape *t, int site, dk_fn fn, dk_var pre)
{
    deeplift *d = ctx;

    return remember(d, t, site, fn, pre, plain_act, &d->act[site]);
}

static dk_var remember_norm(void *ctx, dk_tape *t, int site, dk_var x)
{
    deeplift *d = ctx;

    return remember(d, t, site, DK_FN_RELU, x, plain_norm, &d->norm[site]);
}

/* y with the gradient d y / d x = multiplier. Where input and reference agree the multiplier is
 * the derivative, which a tangent of length `step` gives well enough: it multiplies about 0. */
static dk_var rescaled(deeplift *d, dk_tape *t, int site, dk_fn fn, dk_var x, function *f,
                       const reference *r)
{
    const double step = 1e-7;
    dk_var y = f(d, t, site, fn, x);

    if (!dk_tape_ok(t))
        return y;
    int64_t rows = dk_var_rows(t, x), cols = dk_var_cols(t, x), n = rows * cols;
    dk_var nudged = f(d, t, site, fn, dk_affine(t, dk_stop_grad(t, x), 1, step));
    double *m = dk_arena_alloc(d->arena, 2 * (size_t)n * sizeof *m, d->err);
    if (!dk_tape_ok(t) || !m)
        return y;
    const double *in = dk_value64(t, x), *out = dk_value64(t, y), *near = dk_value64(t, nudged);
    for (int64_t i = 0; i < n; i++) {
        double gap = in[i] - r->in[i];
        m[i] = fabs(gap) > 1e-10 ? (out[i] - r->out[i]) / gap : (near[i] - out[i]) / step;
        m[n + i] = out[i] - m[i] * in[i];
    }
    return dk_add_op(t, dk_mul_op(t, x, dk_leaf_view(t, rows, cols, m, false)),
                     dk_leaf_view(t, rows, cols, m + n, false));
}

static dk_var rescaled_act(void *ctx, dk_tape *t, int site, dk_fn fn, dk_var pre)
{
    deeplift *d = ctx;

    return rescaled(d, t, site, fn, pre, plain_act, &d->act[site]);
}

static dk_var rescaled_norm(void *ctx, dk_tape *t, int site, dk_var x)
{
    deeplift *d = ctx;

    return rescaled(d, t, site, DK_FN_RELU, x, plain_norm, &d->norm[site]);
}

static dk_var constant_attention(void *ctx, dk_tape *t, int site, dk_var alpha)
{
    (void)ctx;
    (void)site;
    return dk_stop_grad(t, alpha);
}

static int run_reference(deeplift *d, const dk_instance *inst, const dk_explain_params *p)
{
    dk_explain_worker *w = d->w;
    dk_gnn_hooks hooks = {.ctx = d, .act = remember_act, .norm = remember_norm};
    dk_gnn_options o = dk_instance_options(inst, p);
    dk_gnn_trace trace;

    dk_tape_restore(w->tape, w->base);
    dk_tape_record(w->tape, false);
    o.hooks = &hooks;
    o.x = dk_leaf_fill(w->tape, inst->in.n, w->model->c.features, 0, false);
    dk_gnn_run(w->model, w->tape, &w->vars, &inst->in, &o, &trace);
    dk_tape_record(w->tape, true);
    return dk_tape_take(w->tape, d->err);
}

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    deeplift d = {.w = w, .arena = dk_arena_new(), .err = err};
    dk_gnn_hooks hooks = {
        .ctx = &d, .act = rescaled_act, .norm = rescaled_norm, .attention = constant_attention};
    int64_t features = w->model->c.features;
    int32_t n = inst->g->n;
    double *node = dk_alloc((size_t)n * sizeof *node, "node scores", err);
    dk_sensitivity s;

    (void)state;
    if (node && run_reference(&d, inst, p) == 0 && err->code == 0 &&
        dk_differentiate(w, inst, p, &hooks, &s, err) == 0) {
        const double *g = dk_grad64(w->tape, s.x);
        for (int32_t v = 0; v < n; v++) {
            node[v] = 0;
            for (int64_t f = v * features; f < (v + 1) * features; f++)
                node[v] += inst->in.x[f] * g[f];
        }
        dk_nodes_to_explanation(inst->g, node, out);
    }
    /* The tape holds views of the arena. */
    dk_tape_restore(w->tape, w->base);
    dk_free_aligned(node);
    dk_arena_free(d.arena);
    return err->code;
}

const dk_explainer dk_explainer_deeplift = {
    .name = "deeplift",
    .title = "DeepLIFT (rescale rule, zero features)",
    .node_scored = true,
    .explain = explain,
};
