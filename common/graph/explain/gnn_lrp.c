/* GNN-LRP (Schnake et al. 2021) with the rule LRP-gamma: every linear map h = x W^T + b passes
 * relevance as p = x (W + gamma relu(W))^T does, its value staying h:
 *
 *     q = p * [h / p],   [.] constant,   gamma by layer and for the classifier.
 *
 * The relevance of a walk is its input times the gradient along it; an edge scores the sum over all
 * walks of length L, counted as often as the walk uses it. Summed over walks this is, layer by
 * layer, the message of the edge times the sensitivity behind it, that is d z / d m_e of the
 * network with the rule, so no walk is enumerated.
 *
 * Not settled by the literature: row normalisation and attention are constants (a function of
 * degree 0 has no relevance to pass), biases are left out of p (what they add is relevance of no
 * edge in their own layer), and what starts at a bias counts from where it joins. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/explain_internal.h"

typedef struct lrp {
    const dk_gnn *model;
    const dk_explain_params *p;
    dk_arena *arena;
    dk_err *err;
} lrp;

/* Sites count in order of execution; those of a layer end where the next one's begin. */
static double gamma_of(const lrp *r, int site)
{
    int layer = 0;

    while (layer < r->model->c.layers && dk_gnn_linear_site(r->model, layer + 1) <= site)
        layer++;
    if (layer == r->model->c.layers)
        return r->p->gamma_head;
    return r->p->gamma[layer < 2 ? layer : 2];
}

static dk_var relevance_linear(void *ctx, dk_tape *t, int site, dk_var x, dk_var w, dk_var b)
{
    lrp *r = ctx;
    dk_var h = dk_linear_op(t, dk_stop_grad(t, x), w, b);
    dk_var lifted = dk_add_op(t, w, dk_affine(t, dk_relu(t, w), gamma_of(r, site), 0));
    dk_var p = dk_linear_op(t, x, lifted, DK_NOVAR);

    if (!dk_tape_ok(t))
        return h;
    int64_t rows = dk_var_rows(t, h), cols = dk_var_cols(t, h), n = rows * cols;
    double *ratio = dk_arena_alloc(r->arena, 2 * (size_t)n * sizeof *ratio, r->err);
    if (!ratio)
        return h;
    const double *hv = dk_value64(t, h), *pv = dk_value64(t, p);
    /* Where p is 0 the value is all bias and there is nothing to pass. */
    for (int64_t i = 0; i < n; i++) {
        ratio[i] = fabs(pv[i]) > 1e-30 ? hv[i] / pv[i] : 0;
        ratio[n + i] = hv[i] - pv[i] * ratio[i];
    }
    return dk_add_op(t, dk_mul_op(t, p, dk_leaf_view(t, rows, cols, ratio, false)),
                     dk_leaf_view(t, rows, cols, ratio + n, false));
}

static dk_var constant_norm(void *ctx, dk_tape *t, int site, dk_var x)
{
    lrp *r = ctx;

    (void)site;
    if (!dk_tape_ok(t))
        return x;
    int64_t rows = dk_var_rows(t, x), cols = dk_var_cols(t, x);
    double *d = dk_arena_alloc(r->arena, (size_t)rows * sizeof *d, r->err);
    const double *v = dk_value64(t, x);
    for (int64_t i = 0; d && i < rows; i++) {
        double sum = 0;
        for (int64_t j = 0; j < cols; j++)
            sum += v[i * cols + j] * v[i * cols + j];
        d[i] = fmax(sqrt(sum), 1e-12);
    }
    return d ? dk_div_op(t, x, dk_leaf_view(t, rows, 1, d, false)) : x;
}

static dk_var constant_attention(void *ctx, dk_tape *t, int site, dk_var alpha)
{
    (void)ctx;
    (void)site;
    return dk_stop_grad(t, alpha);
}

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    lrp r = {w->model, p, dk_arena_new(), err};
    dk_gnn_hooks hooks = {.ctx = &r,
                          .norm = constant_norm,
                          .linear = relevance_linear,
                          .attention = constant_attention};
    dk_sensitivity s;

    (void)state;
    if (dk_differentiate(w, inst, p, &hooks, &s, err) == 0 && err->code == 0)
        memcpy(out->score, dk_grad64(w->tape, s.mask), (size_t)inst->g->e * sizeof *out->score);
    /* The tape holds views of the arena. */
    dk_tape_restore(w->tape, w->base);
    dk_arena_free(r.arena);
    return err->code;
}

const dk_explainer dk_explainer_gnn_lrp = {
    .name = "gnn-lrp",
    .title = "GNN-LRP (gamma rule, walks summed)",
    .explain = explain,
};
