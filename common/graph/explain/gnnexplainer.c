/* GNNExplainer (Ying et al., NeurIPS 2019): a mask of edges, and if asked for one of the features,
 * optimised for one instance at a time.
 *
 *   loss = -log p(target | messages times sigma(m))
 *          + size * sum sigma(m) + entropy * mean H(sigma(m))
 *   H(p) = -p log(p + 1e-15) - (1 - p) log(1 - p + 1e-15)
 *
 * with the choices of its best known implementation, PyTorch Geometric's: logits m start normal
 * with deviation sqrt(2) sqrt(2 / (2 n)), Adam with step .01 for 100 epochs, size .005, entropy 1;
 * features: one logit per column, deviation .1, mean of sigma with weight 1, entropy with .1. The
 * regularisers start with the second epoch: entries whose gradient is exactly 0 after the first
 * backward pass (edges out of reach) are left out of them and end as 0. Everything else ends as
 * sigma(m).
 *
 * Users are bitten by results that change from run to run, because the random start dominates: here
 * it is a function of (seed, instance), so a score can be reproduced on its own. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/rng.h"
#include "base/sig.h"
#include "graph/explain/learned_internal.h"

static const double log_shift = 1e-15;
static const double feature_size = 1, feature_entropy = .1;

/* One mask being learned: logits, and which of them take part. */
typedef struct mask {
    dk_param logit;    /* [n, 1] */
    int32_t *reached;  /* those with a gradient after the first pass; NULL before it */
    int64_t n_reached;
    double size, entropy;
    bool mean;         /* size by the mean (features) or the sum (edges) */
} mask;

static int mask_init(mask *m, const char *name, int64_t n, dk_err *err)
{
    *m = (mask){.logit = {.name = name, .rows = n, .cols = 1}};
    m->logit.value = calloc((size_t)n + 1, sizeof(double));
    m->logit.grad = calloc((size_t)n + 1, sizeof(double));
    if (!m->logit.value || !m->logit.grad)
        return dk_fail(err, DK_ENOMEM, "no memory for a mask of %lld entries", (long long)n);
    return 0;
}

static void mask_free(mask *m)
{
    free(m->logit.value);
    free(m->logit.grad);
    free(m->reached);
}

/* Initial logits: given ones, or normal draws in torch's order. */
static int mask_start(mask *m, const double *init, double deviation, dk_torch_rng *r, dk_err *err)
{
    double *value = m->logit.value;
    int64_t n = m->logit.rows;
    float *draw = malloc((size_t)n * sizeof *draw + 1);

    if (!draw)
        return dk_fail(err, DK_ENOMEM, "no memory for a mask of %lld entries", (long long)n);
    dk_torch_normal(r, draw, (size_t)n);
    for (int64_t i = 0; i < n; i++)
        value[i] = init ? init[i] : draw[i] * deviation;
    free(draw);
    return 0;
}

static int mask_reach(mask *m, dk_err *err)
{
    const double *grad = m->logit.grad;

    m->reached = malloc((size_t)m->logit.rows * sizeof *m->reached + 1);
    if (!m->reached)
        return dk_fail(err, DK_ENOMEM, "no memory for a mask");
    for (int64_t i = 0; i < m->logit.rows; i++)
        if (grad[i] != 0)
            m->reached[m->n_reached++] = (int32_t)i;
    return 0;
}

static dk_var binary_entropy(dk_tape *t, dk_var p)
{
    dk_var q = dk_affine(t, p, -1, 1);
    dk_var a = dk_mul_op(t, p, dk_apply(t, DK_FN_LOG, p, log_shift));
    dk_var b = dk_mul_op(t, q, dk_apply(t, DK_FN_LOG, q, log_shift));
    return dk_affine(t, dk_add_op(t, a, b), -1, 0);
}

static dk_var regularised(dk_tape *t, const mask *m, dk_var sigma, dk_var loss)
{
    if (!m->n_reached)
        return loss;
    dk_var s = dk_gather_rows(t, sigma, m->reached, m->n_reached);
    dk_var size = m->mean ? dk_mean(t, s) : dk_sum(t, s);
    loss = dk_add_op(t, loss, dk_affine(t, size, m->size, 0));
    return dk_add_op(t, loss, dk_affine(t, dk_mean(t, binary_entropy(t, s)), m->entropy, 0));
}

/* sigma(m), and 0 where no gradient arrived. */
static void mask_result(const mask *m, double *out)
{
    const double *value = m->logit.value;

    for (int64_t i = 0; i < m->logit.rows; i++)
        out[i] = 0;
    for (int64_t i = 0; i < m->n_reached; i++)
        out[m->reached[i]] = 1 / (1 + exp(-value[m->reached[i]]));
}

/* Loss and gradients of one epoch. */
static int one_epoch(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                     const mask *edge, const mask *feature, double *loss_out, dk_err *err)
{
    dk_tape *t = w->tape;
    dk_gnn_options o = dk_instance_options(inst, p);
    dk_gnn_trace trace;
    dk_var feature_sigma = DK_NOVAR;

    dk_tape_restore(t, w->base);
    dk_var sigma = dk_apply(t, DK_FN_SIGMOID, dk_leaf_param(t, &edge->logit), 0);
    o.edge_mask = sigma;
    if (feature) {
        feature_sigma = dk_apply(t, DK_FN_SIGMOID, dk_leaf_param(t, &feature->logit), 0);
        dk_var x = dk_leaf_view(t, inst->in.n, feature->logit.rows, inst->in.x, false);
        o.x = dk_mul_op(t, x, dk_transpose(t, feature_sigma));
    }
    dk_gnn_run(w->model, t, &w->vars, &inst->in, &o, &trace);
    dk_var loss = dk_cross_entropy(t, trace.logits, &inst->target);
    loss = regularised(t, edge, sigma, loss);
    if (feature)
        loss = regularised(t, feature, feature_sigma, loss);
    if (dk_tape_take(t, err))
        return err->code;
    *loss_out = dk_scalar(t, loss);
    dk_backward(t, loss, NULL);
    return dk_tape_take(t, err);
}

static int optimise(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                    mask *edge, mask *feature, double *losses, dk_err *err)
{
    dk_optim_config c = dk_optim_defaults(DK_OPTIM_ADAM);
    dk_param both[2] = {edge->logit};
    int epochs = p->epochs ? p->epochs : 100;

    c.lr = p->lr > 0 ? p->lr : .01;
    if (feature)
        both[1] = feature->logit;
    dk_optim *optim = dk_optim_new(&c, DK_F64, both, feature ? 2 : 1, err);
    if (!optim)
        return err->code;
    for (int i = 0; i < epochs && !dk_check_cancel(err); i++) {
        double loss = 0;
        dk_optim_zero(optim);
        if (one_epoch(w, inst, p, edge, feature, &loss, err))
            break;
        if (losses)
            losses[i] = loss;
        if (i == 0 && (mask_reach(edge, err) || (feature && mask_reach(feature, err))))
            break;
        dk_optim_step(optim);
    }
    dk_optim_free(optim);
    return err->code;
}

int dk_gnnexplainer_run(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                        const dk_gnnexplainer_probe *probe, double *score, dk_err *err)
{
    mask edge = {.logit = {.name = NULL}}, feature = {.logit = {.name = NULL}};
    double deviation = sqrt(2.0) * sqrt(2.0 / (2.0 * inst->g->n));
    dk_torch_rng r;

    if (inst->g->e == 0)
        return 0;
    dk_torch_seed(&r, dk_explain_seed(p, "gnnexplainer", inst->id));
    if (mask_init(&edge, "edge_mask", inst->g->e, err) ||
        mask_start(&edge, probe->edge_init, deviation, &r, err))
        goto out;
    edge.size = p->size >= 0 ? p->size : .005;
    edge.entropy = p->entropy >= 0 ? p->entropy : 1;
    if (p->feature_mask) {
        if (mask_init(&feature, "feature_mask", w->model->c.features, err) ||
            mask_start(&feature, probe->feature_init, .1, &r, err))
            goto out;
        feature.size = feature_size;
        feature.entropy = feature_entropy;
        feature.mean = true;
    }
    if (optimise(w, inst, p, &edge, p->feature_mask ? &feature : NULL, probe->loss, err))
        goto out;
    mask_result(&edge, score);
    if (p->feature_mask && probe->feature_mask)
        mask_result(&feature, probe->feature_mask);
out:
    dk_tape_restore(w->tape, w->base);
    mask_free(&edge);
    mask_free(&feature);
    return err->code;
}

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    (void)state;
    return dk_gnnexplainer_run(w, inst, p, &(dk_gnnexplainer_probe){0}, out->score, err);
}

const dk_explainer dk_explainer_gnnexplainer = {
    .name = "gnnexplainer",
    .title = "GNNExplainer (mask optimised per instance)",
    .random = true,
    .explain = explain,
};
