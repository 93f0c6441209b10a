/* PGExplainer (Luo et al., NeurIPS 2020): one small network, trained over many instances, gives
 * every edge the probability that it matters.
 *
 *   omega_ij = w2 relu(w1 [h_i ; h_j (; h_target in the node task)] + b1) + b2
 *   training:   mask = sigma((log u' - log(1 - u') + omega) / tau),  u' = (1 - 2 bias) u + bias
 *               loss = -log p(prediction | mask)
 *                      + size * sum mask + entropy * mean H(.99 mask + .005)
 *               tau(epoch) = temp0 (temp1 / temp0)^(epoch / epochs)
 *   explaining: sigma(omega), no noise
 *
 * h are the rows that enter the readout. Values of PyTorch Geometric's implementation: hidden 64,
 * Adam with step .003, 30 epochs, size .05, entropy 1, temperature 5 to 2, bias .01, one step per
 * instance. The instances are shuffled anew (seeded) for every epoch. It is known to
 * collapse, all edges in or all out, on some models and settings, and when it is shown graphs of one
 * class only; then the scores are all near 0 or 1, but finite. */
#include <math.h>
#include <stdlib.h>

#include "base/sig.h"
#include "graph/explain/learned_internal.h"

enum { HIDDEN = 64, W1 = 0, B1, W2, B2, TENSORS };

static void shapes(dk_task task, int64_t width, dk_learned_shape s[TENSORS + 1])
{
    int64_t in = width * (task == DK_TASK_NODE ? 3 : 2);
    double bound = 1 / sqrt((double)in), bound2 = 1 / sqrt((double)HIDDEN);

    s[W1] = (dk_learned_shape){"w1", HIDDEN, in, bound};
    s[B1] = (dk_learned_shape){"b1", 1, HIDDEN, bound};
    s[W2] = (dk_learned_shape){"w2", 1, HIDDEN, bound2};
    s[B2] = (dk_learned_shape){"b2", 1, 1, bound2};
    s[TENSORS] = (dk_learned_shape){NULL, 0, 0, 0};
}

dk_explainer_state *dk_pgexplainer_new(dk_task task, int64_t width, uint64_t seed, dk_err *err)
{
    dk_learned_shape shape[TENSORS + 1];
    dk_draw draw = dk_draw_start(seed);

    shapes(task, width, shape);
    return dk_learned_new(&dk_explainer_pgexplainer, shape, &draw, err);
}

/* Final node rows of the unmasked model, as constants on the tape. */
static dk_var embeddings(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p)
{
    dk_gnn_options o = dk_instance_options(inst, p);
    dk_gnn_trace trace;

    o.layers_only = true;
    dk_tape_record(w->tape, false);
    dk_gnn_run(w->model, w->tape, &w->vars, &inst->in, &o, &trace);
    dk_tape_record(w->tape, true);
    return trace.h[w->model->c.layers - 1];
}

static int64_t embedding_width(dk_explain_worker *w, const dk_instance *inst,
                               const dk_explain_params *p)
{
    dk_tape_restore(w->tape, w->base);
    dk_var h = embeddings(w, inst, p);
    return dk_tape_ok(w->tape) ? dk_var_cols(w->tape, h) : 0;
}

/* omega [e, 1]. `target` holds e times the explained node (node task), and outlives the tape's
 * use of it. */
static dk_var edge_logits(dk_tape *t, const dk_explainer_state *s, const dk_instance *inst,
                          const int32_t *target, dk_var h)
{
    const dk_graph *g = inst->g;
    dk_var v[TENSORS], part[3] = {dk_gather_rows(t, h, g->src, g->e),
                                  dk_gather_rows(t, h, g->dst, g->e), DK_NOVAR};

    for (int i = 0; i < TENSORS; i++)
        v[i] = dk_leaf_param(t, &s->tensor[i]);
    if (target)
        part[2] = dk_gather_rows(t, h, target, g->e);
    dk_var in = dk_concat_cols(t, target ? 3 : 2, part);
    return dk_linear_op(t, dk_relu(t, dk_linear_op(t, in, v[W1], v[B1])), v[W2], v[B2]);
}

static int repeat_target(const dk_instance *inst, int32_t **out, dk_err *err)
{
    *out = NULL;
    if (inst->node < 0)
        return 0;
    *out = malloc((size_t)inst->g->e * sizeof **out + 1);
    if (!*out)
        return dk_fail(err, DK_ENOMEM, "no memory for %d edges", inst->g->e);
    for (int32_t i = 0; i < inst->g->e; i++)
        (*out)[i] = inst->node;
    return 0;
}

/* The concrete sample before its sigmoid. Without bias a draw of 0 would be infinite. */
static dk_var sample(dk_tape *t, dk_var omega, const double *u, const dk_explain_params *p,
                     double temperature)
{
    double bias = p->bias > 0 ? p->bias : p->bias < 0 ? 0 : .01;
    int64_t e = dk_var_rows(t, omega);
    double *noise = malloc((size_t)e * sizeof *noise + 1);

    if (!noise)
        return DK_NOVAR;
    for (int64_t i = 0; i < e; i++) {
        double eps = fmin(fmax((1 - 2 * bias) * u[i] + bias, 0x1p-53), 1 - 0x1p-53);
        noise[i] = log(eps) - log(1 - eps);
    }
    dk_var sum = dk_add_op(t, omega, dk_leaf(t, e, 1, noise, false));
    free(noise);
    return dk_affine(t, sum, 1 / temperature, 0);
}

static dk_var entropy_mean(dk_tape *t, dk_var mask)
{
    dk_var m = dk_affine(t, mask, .99, .005), q = dk_affine(t, m, -1, 1);
    dk_var a = dk_mul_op(t, m, dk_apply(t, DK_FN_LOG, m, 0));
    dk_var b = dk_mul_op(t, q, dk_apply(t, DK_FN_LOG, q, 0));
    return dk_affine(t, dk_mean(t, dk_add_op(t, a, b)), -1, 0);
}

int dk_pgexplainer_gradients(dk_explain_worker *w, dk_explainer_state *s, const dk_instance *inst,
                             const dk_explain_params *p, double temperature, const double *u,
                             double *loss_out, dk_err *err)
{
    dk_tape *t = w->tape;
    dk_gnn_options o = dk_instance_options(inst, p);
    dk_gnn_trace trace;
    int32_t *target;

    if (repeat_target(inst, &target, err))
        return err->code;
    dk_tape_restore(t, w->base);
    dk_var logits = edge_logits(t, s, inst, target, embeddings(w, inst, p));
    if (dk_tape_take(t, err))
        goto out;
    dk_var sampled = sample(t, logits, u, p, temperature);
    if (sampled == DK_NOVAR) {
        if (!dk_tape_take(t, err))
            dk_fail(err, DK_ENOMEM, "no memory for %d draws", inst->g->e);
        goto out;
    }
    o.edge_mask = dk_apply(t, DK_FN_SIGMOID, sampled, 0);
    dk_gnn_run(w->model, t, &w->vars, &inst->in, &o, &trace);
    double c_size = p->size >= 0 ? p->size : .05, c_entropy = p->entropy >= 0 ? p->entropy : 1;
    dk_var size = dk_affine(t, dk_sum(t, o.edge_mask), c_size, 0);
    dk_var entropy = dk_affine(t, entropy_mean(t, o.edge_mask), c_entropy, 0);
    dk_var loss = dk_cross_entropy(t, trace.logits, &inst->prediction);
    loss = dk_add_op(t, loss, dk_add_op(t, size, entropy));
    if (dk_tape_take(t, err))
        goto out;
    *loss_out = dk_scalar(t, loss);
    dk_backward(t, loss, NULL);
    dk_tape_take(t, err);
out:
    dk_tape_restore(t, w->base);
    free(target);
    return err->code;
}

/* One epoch: a step per instance that has edges, in an order of the epoch's own. */
static int one_epoch(dk_explain_worker *w, dk_explainer_state *s, dk_optim *optim,
                     dk_instance *const *inst, int32_t *order, int64_t n,
                     const dk_explain_params *p, double temperature, dk_draw *draw, dk_err *err)
{
    dk_draw_shuffle(draw, order, n);
    for (int64_t i = 0; i < n; i++) {
        const dk_instance *x = inst[order[i]];
        double loss, *u = malloc((size_t)x->g->e * sizeof *u + 1);
        if (!u)
            return dk_fail(err, DK_ENOMEM, "no memory for %d draws", x->g->e);
        for (int32_t k = 0; k < x->g->e; k++)
            u[k] = dk_draw_uniform(draw);
        dk_optim_zero(optim);
        if (x->g->e > 0 && !dk_check_cancel(err) &&
            !dk_pgexplainer_gradients(w, s, x, p, temperature, u, &loss, err))
            dk_optim_step(optim);
        free(u);
        if (err->code)
            return err->code;
    }
    return 0;
}

static int fit(dk_explain_worker *w, dk_explainer_state *s, dk_instance *const *inst, int64_t n,
               const dk_explain_params *p, uint64_t seed, dk_err *err)
{
    dk_optim_config c = dk_optim_defaults(DK_OPTIM_ADAM);
    double t0 = p->temp0 > 0 ? p->temp0 : 5, t1 = p->temp1 > 0 ? p->temp1 : 2;
    int epochs = p->epochs ? p->epochs : 30;
    dk_draw draw = dk_draw_start(seed ^ 1); /* not the stream of the initial weights */
    int32_t *order = malloc((size_t)n * sizeof *order + 1);

    c.lr = p->lr > 0 ? p->lr : .003;
    dk_optim *optim = dk_optim_new(&c, DK_F64, s->tensor, s->n, err);
    if (!order)
        dk_fail(err, DK_ENOMEM, "no memory for the order of %lld instances", (long long)n);
    for (int64_t i = 0; order && i < n; i++)
        order[i] = (int32_t)i;
    for (int e = 0; e < epochs && !err->code; e++) {
        double temperature = t0 * pow(t1 / t0, (double)e / epochs);
        one_epoch(w, s, optim, inst, order, n, p, temperature, &draw, err);
    }
    free(order);
    dk_optim_free(optim);
    return err->code;
}

static dk_explainer_state *train(dk_explain_worker *w, dk_instance *const *inst, int64_t n,
                                 const dk_explain_params *p, dk_err *err)
{
    uint64_t seed = dk_explain_seed(p, "pgexplainer", -1);

    if (n < 1 || n > INT32_MAX) {
        dk_fail(err, DK_EUSAGE, "pgexplainer: expected between 1 and 2^31 - 1 instances to train "
                "on, found %lld", (long long)n);
        return NULL;
    }
    int64_t width = embedding_width(w, inst[0], p);
    if (dk_tape_take(w->tape, err))
        return NULL;
    dk_explainer_state *s = dk_pgexplainer_new(w->model->c.task, width, seed, err);
    if (s && (fit(w, s, inst, n, p, seed, err) || dk_learned_done(s, err))) {
        dk_explainer_state_free(s);
        s = NULL;
    }
    return s;
}

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    dk_learned_shape shape[TENSORS + 1];
    dk_tape *t = w->tape;
    int32_t *target = NULL;

    shapes(w->model->c.task, embedding_width(w, inst, p), shape);
    if (dk_tape_take(t, err) || dk_learned_check(state, &dk_explainer_pgexplainer, shape, err) ||
        inst->g->e == 0 || repeat_target(inst, &target, err))
        goto out;
    dk_tape_restore(t, w->base);
    dk_var mask = dk_apply(t, DK_FN_SIGMOID,
                           edge_logits(t, state, inst, target, embeddings(w, inst, p)), 0);
    if (!dk_tape_take(t, err))
        for (int32_t i = 0; i < inst->g->e; i++)
            out->score[i] = dk_value64(t, mask)[i];
out:
    dk_tape_restore(t, w->base);
    free(target);
    return err->code;
}

static int fits(const dk_explainer_state *state, const dk_gnn *model, dk_err *err)
{
    dk_learned_shape shape[TENSORS + 1];
    int64_t width, readout;

    if (dk_learned_widths(model, &width, &readout, err))
        return err->code;
    shapes(model->c.task, width, shape);
    return dk_learned_check(state, &dk_explainer_pgexplainer, shape, err);
}

const dk_explainer dk_explainer_pgexplainer = {
    .name = "pgexplainer",
    .title = "PGExplainer (trained edge network)",
    .random = true,
    .train = train,
    .explain = explain,
    .fits = fits,
};
