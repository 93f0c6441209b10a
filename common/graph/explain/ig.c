/* Integrated gradients of the edges (Sundararajan et al. 2017; baseline: no edges):
 *
 *     score_e = integral_0^1 d z / d m_e (a, ..., a) da,   m_e the factor of the edge's message,
 *
 * all edges scaled together along the straight path, by Gauss-Legendre quadrature. The points of
 * the path are copies of the graph in block-diagonal batches. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sig.h"
#include "graph/explain/explain_internal.h"
#include "num/quadrature.h"

/* One batch: copy k at t[k] with weight w[k]; adds to score. */
static int run_batch(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                     const dk_tiled *tiled, const double *t, const double *weight, double *score,
                     dk_err *err)
{
    dk_tape *tape = w->tape;
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace trace;
    int32_t e = inst->in.e, n = inst->in.n, classes = w->model->c.classes, copies = tiled->copies;
    int64_t rows = inst->node >= 0 ? n : 1, row = inst->node >= 0 ? inst->node : 0;
    int64_t features = w->model->c.features, seeds = copies * rows * classes;
    double *x = dk_alloc((size_t)(copies * n * features) * sizeof *x, "features", err);
    double *m = dk_alloc((size_t)copies * (size_t)e * sizeof *m, "edge masks", err);
    double *seed = dk_alloc((size_t)seeds * sizeof *seed, "a gradient", err);

    if (x && m && seed) {
        memset(seed, 0, (size_t)seeds * sizeof *seed);
        for (int k = 0; k < copies; k++) {
            memcpy(x + k * n * features, inst->in.x, (size_t)(n * features) * sizeof *x);
            for (int32_t i = 0; i < e; i++)
                m[(int64_t)k * e + i] = t[k];
            seed[(k * rows + row) * classes + inst->target] = weight[k];
        }
        dk_tape_restore(tape, w->base);
        o.mask_mode = p->mask_mode;
        o.x = dk_leaf_view(tape, copies * n, features, x, false);
        o.edge_mask = dk_leaf_view(tape, (int64_t)copies * e, 1, m, true);
        dk_gnn_run(w->model, tape, &w->vars, &tiled->in, &o, &trace);
        if (dk_tape_ok(tape)) {
            dk_backward(tape, trace.logits, seed);
            const double *d = dk_grad64(tape, o.edge_mask);
            for (int64_t i = 0; d && i < (int64_t)copies * e; i++)
                score[i % e] += d[i];
        }
        dk_tape_restore(tape, w->base);
        dk_tape_take(tape, err);
    }
    dk_free_aligned(x);
    dk_free_aligned(m);
    dk_free_aligned(seed);
    return err->code;
}

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    int steps = p->ig_steps;
    dk_tiled tiled = {0};

    (void)state;
    if (steps < 1 || steps > 100000)
        return dk_fail(err, DK_EUSAGE, "%d steps: expected 1 to 100000", steps);
    int per = dk_tile_copies(inst->in.n, steps), batches = (steps + per - 1) / per;
    per = (steps + batches - 1) / batches;
    /* What the last batch has too many has weight 0. */
    double *t = dk_xcalloc(2 * (size_t)(per * batches), sizeof *t), *weight = t + per * batches;
    dk_gauss_legendre(steps, t, weight);
    memset(out->score, 0, (size_t)inst->g->e * sizeof *out->score);
    int rc = dk_tile(&tiled, &inst->in, per, err);
    for (int b = 0; rc == 0 && b < batches; b++) {
        rc = dk_check_cancel(err);
        if (rc == 0)
            rc = run_batch(w, inst, p, &tiled, t + b * per, weight + b * per, out->score, err);
    }
    dk_tile_free(&tiled);
    free(t);
    return rc;
}

const dk_explainer dk_explainer_ig = {
    .name = "ig",
    .title = "integrated gradients (edges)",
    .explain = explain,
};
