/* The registry of explainers, workers, instances, and what is common to every method: scores of
 * both directions averaged, numbers checked. */
#include "graph/explain/explain.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "graph/explain/explain_internal.h"

static const dk_explainer *const registry[] = {
    &dk_explainer_eig,        &dk_explainer_goat,         &dk_explainer_grad,
    &dk_explainer_gradxinput, &dk_explainer_ig,           &dk_explainer_gradcam,
    &dk_explainer_sa,         &dk_explainer_occlusion,    &dk_explainer_deeplift,
    &dk_explainer_gnn_lrp,    &dk_explainer_gnnexplainer, &dk_explainer_pgexplainer,
    &dk_explainer_subgraphx,  &dk_explainer_rgexplainer,  &dk_explainer_random,
};

const dk_explainer *dk_explainer_at(int i)
{
    return i >= 0 && i < (int)(sizeof registry / sizeof *registry) ? registry[i] : NULL;
}

const dk_explainer *dk_explainer_find(const char *name)
{
    for (int i = 0; dk_explainer_at(i); i++)
        if (strcmp(registry[i]->name, name) == 0)
            return registry[i];
    return NULL;
}

dk_explain_params dk_explain_params_default(void)
{
    return (dk_explain_params){
        .mask_mode = DK_MASK_MESSAGE,
        .hops = DK_HOPS_LIST,
        .calibrate = true,
        .symmetric = true,
        .ig_steps = 50,
        .size = -1,
        .entropy = -1,
        .temp0 = 5,
        .temp1 = 2,
        .rollouts = 20,
        .min_atoms = 5,
        .expand_atoms = 14,
        .max_nodes = 5,
        .samples = 100,
        .c_puct = 10,
        .gamma = {2, 1, 1},
        .gamma_head = 1,
    };
}

/* ---- Workers. */
int dk_explain_worker_init(dk_explain_worker *w, const dk_gnn *model, dk_err *err)
{
    memset(w, 0, sizeof *w);
    if (model->real != DK_F64)
        return dk_fail(err, DK_EUSAGE, "explaining needs a model in f64, this one is %s",
                       dk_dtype_name(model->real));
    w->model = model;
    w->tape = dk_tape_new(dk_mat_cpu(DK_F64));
    if (!w->tape)
        return dk_fail(err, DK_ENOMEM, "out of memory for a worker");
    dk_gnn_bind(model, w->tape, false, &w->vars);
    w->base = dk_tape_save(w->tape);
    return dk_tape_take(w->tape, err);
}

void dk_explain_worker_fini(dk_explain_worker *w)
{
    dk_tape_free(w->tape);
    memset(w, 0, sizeof *w);
}

/* ---- Instances. */
static int run_once(dk_instance *i, dk_explain_worker *w, dk_err *err)
{
    dk_gnn_options o = dk_instance_options(i, NULL);
    dk_gnn_trace trace;
    int32_t classes = w->model->c.classes;

    dk_tape_restore(w->tape, w->base);
    dk_tape_record(w->tape, false);
    dk_gnn_run(w->model, w->tape, &w->vars, &i->in, &o, &trace);
    dk_tape_record(w->tape, true);
    if (dk_tape_take(w->tape, err))
        return err->code;
    memcpy(i->logits, dk_value64(w->tape, trace.logits), (size_t)classes * sizeof(double));
    for (int32_t c = 0; c < classes; c++)
        if (!isfinite(i->logits[c]))
            return dk_fail(err, DK_ENUMERIC, "logit of class %d is %g", c, i->logits[c]);
    i->prediction = dk_argmax(i->logits, classes);
    return 0;
}

int dk_instance_init(dk_instance *i, dk_explain_worker *w, const dk_graph *g, int32_t node,
                     int64_t id, int32_t target_class, dk_err *err)
{
    int32_t classes = w->model->c.classes;

    memset(i, 0, sizeof *i);
    i->g = g;
    i->node = node;
    i->id = id;
    i->edges_whole = g->e;
    i->label = node < 0 ? g->label : g->y && node < g->n ? g->y[node] : -1;
    if (target_class >= classes)
        return dk_fail(err, DK_EUSAGE, "class %d: the model has classes 0 to %d", target_class,
                       classes - 1);
    if ((node >= 0) != (w->model->c.task == DK_TASK_NODE) || node >= g->n)
        return dk_fail(err, DK_EUSAGE, "%s %lld: not what this model classifies",
                       node < 0 ? "graph" : "node", (long long)id);
    i->logits = dk_alloc((size_t)classes * sizeof(double), "logits", err);
    if (!i->logits)
        return err->code;
    if (dk_gnn_input_graph(&i->in, w->model, g, err) || run_once(i, w, err)) {
        dk_instance_free(i);
        return err->code;
    }
    i->target = target_class >= 0 ? target_class : i->prediction;
    return 0;
}

void dk_instance_free(dk_instance *i)
{
    dk_gnn_input_free(&i->in);
    dk_free_aligned(i->logits);
    memset(i, 0, sizeof *i);
}

dk_gnn_options dk_instance_options(const dk_instance *inst, const dk_explain_params *p)
{
    dk_gnn_options o = dk_gnn_options_default();

    o.node = inst->node;
    o.mask_mode = p ? p->mask_mode : DK_MASK_MESSAGE;
    return o;
}

uint64_t dk_explain_seed(const dk_explain_params *p, const char *method, int64_t id)
{
    uint64_t h = dk_splitmix64(p->seed ^ dk_fnv1a64(method, strlen(method)));

    return dk_splitmix64(h ^ dk_splitmix64((uint64_t)id));
}

/* ---- Probabilities. */
double dk_probability(const double *z, int32_t classes, int32_t y)
{
    return exp(dk_log_probability(z, classes, y));
}

/* -log(1 + sum of exp(z_j - z_y)) over the other classes: log1p keeps the digits of a sum that is
 * far below 1, where 1 - p would have none. */
double dk_log_probability(const double *z, int32_t classes, int32_t y)
{
    double most = 0, sum = 0;

    for (int32_t c = 0; c < classes; c++)
        most = fmax(most, z[c] - z[y]);
    for (int32_t c = 0; c < classes; c++)
        if (c != y)
            sum += exp(z[c] - z[y] - most);
    return most == 0 ? -log1p(sum) : -(most + log(exp(-most) + sum));
}

/* ---- Shared by implementations. */
void dk_edges_from_nodes(const dk_graph *g, const double *node, double *edge)
{
    for (int32_t e = 0; e < g->e; e++)
        edge[e] = (node[g->src[e]] + node[g->dst[e]]) / 2;
}

void dk_nodes_to_explanation(const dk_graph *g, const double *node, dk_explanation *out)
{
    dk_edges_from_nodes(g, node, out->score);
    if (out->node_score)
        memcpy(out->node_score, node, (size_t)g->n * sizeof *node);
}

int dk_differentiate(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                     const dk_gnn_hooks *hooks, dk_sensitivity *s, dk_err *err)
{
    dk_tape *t = w->tape;
    dk_gnn_options o = dk_instance_options(inst, p);
    double seed[1024];
    double *d = seed;
    int32_t classes = w->model->c.classes;

    dk_tape_restore(t, w->base);
    s->x = dk_leaf(t, inst->in.n, w->model->c.features, inst->in.x, true);
    s->mask = dk_leaf_fill(t, inst->in.e, 1, 1, true);
    o.x = s->x;
    o.edge_mask = s->mask;
    o.hooks = hooks;
    dk_gnn_run(w->model, t, &w->vars, &inst->in, &o, &s->trace);
    if (classes > (int32_t)(sizeof seed / sizeof *seed))
        d = dk_alloc((size_t)classes * sizeof *d, "a gradient", err);
    if (d && dk_tape_ok(t)) {
        memset(d, 0, (size_t)classes * sizeof *d);
        d[inst->target] = 1;
        dk_backward(t, s->trace.logits, d);
    }
    if (d != seed)
        dk_free_aligned(d);
    return dk_tape_take(t, err);
}

/* ---- Running one. */
/* Averages x [e, k] over both directions of every edge. */
static void average_directions(const dk_graph *g, double *x, int32_t k)
{
    if (!x)
        return;
    for (int32_t e = 0; e < g->e; e++) {
        int32_t r = g->rev[e];
        if (r <= e)
            continue; /* none, a loop, or done */
        for (int32_t c = 0; c < k; c++) {
            double mean = (x[(int64_t)e * k + c] + x[(int64_t)r * k + c]) / 2;
            x[(int64_t)e * k + c] = x[(int64_t)r * k + c] = mean;
        }
    }
}

static int all_finite(const double *x, int64_t n, const char *what, dk_err *err)
{
    for (int64_t i = 0; x && i < n; i++)
        if (!isfinite(x[i]))
            return dk_fail(err, DK_ENUMERIC, "%s %lld is %g", what, (long long)i, x[i]);
    return 0;
}

static void clear(double *x, int64_t n)
{
    if (x)
        memset(x, 0, (size_t)n * sizeof *x);
}

int dk_explain(const dk_explainer *x, dk_explain_worker *w, const dk_explainer_state *state,
               const dk_instance *inst, const dk_explain_params *p, dk_explanation *out,
               dk_err *err)
{
    const dk_graph *g = inst->g;
    int32_t classes = w->model->c.classes;

    out->residual = 0;
    out->logit = out->empty_logit = inst->logits[inst->target];
    clear(out->score, g->e);
    clear(out->score_c, (int64_t)g->e * classes);
    clear(out->prob_drop, g->e);
    clear(out->node_score, g->n);
    clear(out->loop_score, g->n);
    if (g->e == 0)
        return 0;
    int rc = x->explain(w, state, inst, p, out, err);
    if (rc == 0 && p->symmetric) {
        average_directions(g, out->score, 1);
        average_directions(g, out->score_c, classes);
        average_directions(g, out->prob_drop, 1);
    }
    if (rc || all_finite(out->score, g->e, "score of edge", err) ||
        all_finite(out->score_c, (int64_t)g->e * classes, "class score", err) ||
        all_finite(out->node_score, g->n, "score of node", err))
        return dk_wrap(err, "%s", x->name);
    return 0;
}
