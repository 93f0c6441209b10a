/* The methods that need one gradient at the data point. z is the raw logit of the target class.
 *
 *   grad        edge: d z / d m_e, m_e the factor of the edge's message in every layer; signed. At
 *               m = 1 this equals gradient times input.
 *   gradxinput  node: sum_f x_vf d z / d x_vf; edge: mean of both ends
 *   sa          node: || d z / d x_v ||^2 (sensitivity analysis); edge: mean of both ends. Which
 *               norm the published curves used is not written down; this is the usual one. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/explain_internal.h"

static int explain_grad(dk_explain_worker *w, const dk_explainer_state *state,
                        const dk_instance *inst, const dk_explain_params *p, dk_explanation *out,
                        dk_err *err)
{
    dk_sensitivity s;

    (void)state;
    if (dk_differentiate(w, inst, p, NULL, &s, err))
        return err->code;
    const double *d = dk_grad64(w->tape, s.mask);
    for (int32_t e = 0; e < inst->g->e; e++)
        out->score[e] = p->absolute ? fabs(d[e]) : d[e];
    return 0;
}

typedef double node_rule(const double *x, const double *d, int64_t features);

static double input_times_gradient(const double *x, const double *d, int64_t features)
{
    double sum = 0;

    for (int64_t f = 0; f < features; f++)
        sum += x[f] * d[f];
    return sum;
}

static double squared_norm(const double *x, const double *d, int64_t features)
{
    (void)x;
    return input_times_gradient(d, d, features);
}

static int by_nodes(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                    node_rule *rule, dk_explanation *out, dk_err *err)
{
    int64_t features = w->model->c.features;
    dk_sensitivity s;

    if (dk_differentiate(w, inst, p, NULL, &s, err))
        return err->code;
    double *node = dk_alloc((size_t)inst->g->n * sizeof *node, "node scores", err);
    if (!node)
        return err->code;
    const double *d = dk_grad64(w->tape, s.x);
    for (int32_t v = 0; v < inst->g->n; v++)
        node[v] = rule(inst->in.x + v * features, d + v * features, features);
    dk_nodes_to_explanation(inst->g, node, out);
    dk_free_aligned(node);
    return 0;
}

static int explain_gradxinput(dk_explain_worker *w, const dk_explainer_state *state,
                              const dk_instance *inst, const dk_explain_params *p,
                              dk_explanation *out, dk_err *err)
{
    (void)state;
    return by_nodes(w, inst, p, input_times_gradient, out, err);
}

static int explain_sa(dk_explain_worker *w, const dk_explainer_state *state,
                      const dk_instance *inst, const dk_explain_params *p, dk_explanation *out,
                      dk_err *err)
{
    (void)state;
    return by_nodes(w, inst, p, squared_norm, out, err);
}

const dk_explainer dk_explainer_grad = {
    .name = "grad",
    .title = "saliency (signed edge gradient)",
    .explain = explain_grad,
};

const dk_explainer dk_explainer_gradxinput = {
    .name = "gradxinput",
    .title = "gradient x input",
    .node_scored = true,
    .explain = explain_gradxinput,
};

const dk_explainer dk_explainer_sa = {
    .name = "sa",
    .title = "sensitivity analysis (squared gradient)",
    .node_scored = true,
    .explain = explain_sa,
};
