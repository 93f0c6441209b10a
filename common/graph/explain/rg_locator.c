/* The locator of rgexplainer: where a subgraph should start. A network on [readout ; node row],
 * 64 - relu - 8 - relu - 1, and a softmax over the nodes of the graph. It is taught by
 * KL(softmax(rewards of every seed) || its own distribution). */
#include <math.h>
#include <stdlib.h>

#include "graph/explain/rg_internal.h"

/* Inputs of the nodes of a graph: [n, whole_width + width]. */
static void fill_rows(const dk_rg *r, const dk_rg_graph *g, double *out)
{
    int64_t wide = r->whole_width + r->width;

    for (int64_t v = 0; v < g->inst->g->n; v++) {
        for (int64_t k = 0; k < r->whole_width; k++)
            out[v * wide + k] = g->whole[k];
        for (int64_t k = 0; k < r->width; k++)
            out[v * wide + r->whole_width + k] = g->h[v * r->width + k];
    }
}

/* Scores [rows, 1] of the nodes of n graphs, one below the other; DK_NOVAR without memory. */
static dk_var scores(dk_rg *r, dk_rg_graph *const *g, int64_t n)
{
    dk_tape *t = r->w->tape;
    dk_var v[DK_RG_TENSORS];
    int64_t rows = 0, wide = r->whole_width + r->width;

    for (int64_t i = 0; i < n; i++)
        rows += g[i]->inst->g->n;
    double *in = malloc((size_t)(rows * wide) * sizeof *in + 1);
    if (!in)
        return DK_NOVAR;
    rows = 0;
    for (int64_t i = 0; i < n; i++) {
        fill_rows(r, g[i], in + rows * wide);
        rows += g[i]->inst->g->n;
    }
    for (int i = DK_RG_GENERATOR; i < DK_RG_TENSORS; i++)
        v[i] = dk_leaf_param(t, &r->state->tensor[i]);
    dk_var x = dk_leaf(t, rows, wide, in, false);
    free(in);
    x = dk_relu(t, dk_linear_op(t, x, v[DK_RG_LOC1_W], v[DK_RG_LOC1_B]));
    x = dk_relu(t, dk_linear_op(t, x, v[DK_RG_LOC2_W], v[DK_RG_LOC2_B]));
    return dk_linear_op(t, x, v[DK_RG_LOC3_W], DK_NOVAR);
}

static dk_var graph_log_softmax(dk_tape *t, dk_var score, int64_t begin, int64_t n)
{
    return dk_log_softmax(t, dk_reshape_op(t, dk_slice_rows(t, score, begin, n), 1, n));
}

static int take(dk_rg *r, dk_var needed, dk_err *err)
{
    if (!dk_tape_take(r->w->tape, err) && needed == DK_NOVAR)
        dk_fail(err, DK_ENOMEM, "no memory for the locator's input");
    return err->code;
}

int dk_rg_locate(dk_rg *r, const dk_rg_graph *g, double *log_p, dk_err *err)
{
    dk_tape *t = r->w->tape;
    dk_rg_graph *one = (dk_rg_graph *)g; /* only read */
    int32_t n = g->inst->g->n;

    dk_tape_restore(t, r->w->base);
    dk_tape_record(t, false);
    dk_var s = scores(r, &one, 1);
    dk_var p = s == DK_NOVAR ? DK_NOVAR : graph_log_softmax(t, s, 0, n);
    dk_tape_record(t, true);
    if (!take(r, p, err))
        for (int32_t v = 0; v < n; v++)
            log_p[v] = dk_value64(t, p)[v];
    dk_tape_restore(t, r->w->base);
    return err->code;
}

int dk_rg_locator_learn(dk_rg *r, dk_optim *optim, dk_rg_graph *const *g, int64_t n, dk_err *err)
{
    dk_tape *t = r->w->tape;
    dk_var loss = DK_NOVAR;
    int64_t row = 0;

    dk_optim_zero(optim);
    dk_tape_restore(t, r->w->base);
    dk_var s = scores(r, g, n);
    for (int64_t i = 0; i < n && s != DK_NOVAR; i++) {
        int32_t nodes = g[i]->inst->g->n;
        dk_var target = dk_leaf_view(t, 1, nodes, g[i]->log_target, false);
        dk_var kl = dk_kl_div(t, target, graph_log_softmax(t, s, row, nodes));
        loss = loss == DK_NOVAR ? kl : dk_add_op(t, loss, kl);
        row += nodes;
    }
    if (!take(r, loss, err)) {
        dk_backward(t, dk_affine(t, loss, 1 / (double)n, 0), NULL);
        if (!dk_tape_take(t, err))
            dk_optim_step(optim);
    }
    dk_tape_restore(t, r->w->base);
    return err->code;
}

int dk_rg_set_target(dk_rg_graph *g, const double *reward, dk_err *err)
{
    int32_t n = g->inst->g->n;
    double most = -INFINITY, sum = 0;

    if (!g->log_target)
        g->log_target = malloc((size_t)n * sizeof *g->log_target + 1);
    if (!g->log_target)
        return dk_fail(err, DK_ENOMEM, "no memory for %d rewards", n);
    for (int32_t v = 0; v < n; v++)
        most = fmax(most, reward[v]);
    for (int32_t v = 0; v < n; v++)
        sum += exp(reward[v] - most);
    for (int32_t v = 0; v < n; v++)
        g->log_target[v] = reward[v] - most - log(sum);
    return 0;
}
