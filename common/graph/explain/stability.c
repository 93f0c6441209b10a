/* See stability.h. */
#include "graph/explain/stability.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "graph/explain/fidelity.h"
#include "graph/explain/select.h"
#include "graph/graph_internal.h"

enum { REWIRE_DRAWS = 64 }; /* draws of another end before a try is given up */

dk_stability_options dk_stability_defaults(void)
{
    return (dk_stability_options){.perturbations = 0, .nodes = 2, .noise = .01, .delta = .05,
                                  .share = .25};
}

/* ---- Draws. */

typedef struct draws {
    uint64_t seed, n;
} draws;

static uint64_t draw(draws *d)
{
    return dk_splitmix64(d->seed + d->n++);
}

static int32_t draw_below(draws *d, int32_t n)
{
    return (int32_t)(draw(d) % (uint64_t)n);
}

/* Box and Muller's transform of two uniform numbers. */
static double draw_normal(draws *d)
{
    double u = ((double)(draw(d) >> 11) + .5) * 0x1p-53, v = (double)(draw(d) >> 11) * 0x1p-53;
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

static draws draws_of(const dk_explain_params *p, const char *what, const dk_instance *inst,
                      int round)
{
    return (draws){dk_splitmix64(dk_explain_seed(p, what, inst->id) ^ (uint64_t)round), 0};
}

/* ---- A changed copy of the instance's graph. */

typedef struct copy {
    int32_t n, m;         /* nodes, edges listed */
    int32_t *src, *dst;   /* [m]: the original's edges first */
    double *weight;       /* or NULL */
    int32_t *position;    /* [m] place of a listed edge in g */
    dk_graph g;
    dk_instance inst;
    double *score;        /* [g.e] */
} copy;

static void copy_free(copy *c)
{
    dk_instance_free(&c->inst);
    dk_graph_free(&c->g);
    free(c->src);
    free(c->dst);
    free(c->weight);
    free(c->position);
    free(c->score);
}

static void *array(size_t n, size_t size, dk_err *err)
{
    return dk_graph_array(n, size, "a perturbed graph", err);
}

/* Lists the edges of g with room for `more`. */
static int copy_init(copy *c, const dk_graph *g, int32_t nodes, int32_t more, dk_err *err)
{
    *c = (copy){0};
    if (g->e > INT32_MAX - more || g->n > INT32_MAX - nodes - 1)
        return dk_fail(err, DK_ENOMEM, "a graph of %d edges is too large to perturb", g->e);
    size_t m = (size_t)g->e + (size_t)more, e = (size_t)g->e;

    c->n = g->n + nodes;
    c->m = g->e;
    c->src = array(m, sizeof *c->src, err);
    c->dst = array(m, sizeof *c->dst, err);
    c->position = array(m, sizeof *c->position, err);
    c->score = array(m, sizeof *c->score, err);
    if (g->weight)
        c->weight = array(m, sizeof *c->weight, err);
    if (err->code)
        return err->code;
    memcpy(c->src, g->src, e * sizeof *c->src);
    memcpy(c->dst, g->dst, e * sizeof *c->dst);
    if (g->weight)
        memcpy(c->weight, g->weight, e * sizeof *c->weight);
    return 0;
}

static void add_edge(copy *c, int32_t a, int32_t b)
{
    c->src[c->m] = a;
    c->dst[c->m] = b;
    if (c->weight)
        c->weight[c->m] = 1;
    c->m++;
}

/* In-degrees of a subgraph count edges outside of it; those are the same before and after. */
static void carry_degrees(double *to, const copy *c, const dk_graph *g)
{
    for (int32_t v = 0; v < c->n; v++)
        to[v] = v < g->n ? g->degree[v] : 0;
    for (int32_t e = 0; e < g->e; e++)
        to[g->dst[e]] -= g->weight ? g->weight[e] : 1;
    for (int32_t e = 0; e < c->m; e++)
        to[c->dst[e]] += c->weight ? c->weight[e] : 1;
}

/* The graph of the list; features of added nodes are 1. */
static int copy_build(copy *c, const dk_graph *g, dk_err *err)
{
    size_t f = (size_t)g->num_features, old = (size_t)g->n * f, all = (size_t)c->n * f;
    int rc = dk_graph_build(&c->g, c->n, c->m, c->src, c->dst, c->weight, NULL, NULL, c->position,
                            err);

    if (rc)
        return rc;
    c->g.label = g->label;
    c->g.num_features = g->num_features;
    c->g.x = array(all, sizeof *c->g.x, err);
    if (g->degree)
        c->g.degree = array((size_t)c->n, sizeof *c->g.degree, err);
    if (err->code)
        return err->code;
    memcpy(c->g.x, g->x, old * sizeof *c->g.x);
    for (size_t i = old; i < all; i++)
        c->g.x[i] = 1;
    if (g->degree)
        carry_degrees(c->g.degree, c, g);
    return 0;
}

static int copy_explain(copy *c, const dk_explainer *x, dk_explain_worker *w,
                        const dk_explainer_state *state, const dk_explain_params *p, dk_err *err)
{
    dk_explanation out = {.score = c->score};
    return dk_explain(x, w, state, &c->inst, p, &out, err);
}

static int copy_instance(copy *c, dk_explain_worker *w, const dk_instance *inst, dk_err *err)
{
    int rc = dk_instance_init(&c->inst, w, &c->g, inst->node, inst->id, inst->target, err);

    c->inst.label = inst->label;
    return rc;
}

/* ---- Stability: nodes added. */

/* AUC of the n edges without self loops; scratch [n]. */
static double auc_without_loops(const dk_graph *g, const double *score, const uint8_t *truth,
                                double *s, uint8_t *t)
{
    int64_t n = 0;

    for (int32_t e = 0; e < g->e; e++)
        if (g->src[e] != g->dst[e]) {
            s[n] = score[e];
            t[n++] = truth[e];
        }
    return dk_roc_auc(s, t, n);
}

static int perturbed_auc(const dk_explainer *x, dk_explain_worker *w,
                         const dk_explainer_state *state, const dk_instance *inst,
                         const dk_explain_params *p, const uint8_t *truth, int nodes, int round,
                         double *auc, dk_err *err)
{
    draws d = draws_of(p, "stability", inst, round);
    double *s = NULL;
    uint8_t *t = NULL;
    copy c;
    int rc = copy_init(&c, inst->g, nodes, 3 * nodes, err);

    for (int32_t i = 0; !rc && i < nodes; i++) {
        int32_t v = inst->g->n + i, u = draw_below(&d, inst->g->n);
        add_edge(&c, u, v);
        add_edge(&c, v, u);
        add_edge(&c, v, v);
    }
    if (!rc)
        rc = copy_build(&c, inst->g, err);
    if (!rc)
        rc = copy_instance(&c, w, inst, err);
    if (!rc)
        rc = copy_explain(&c, x, w, state, p, err);
    if (!rc) {
        s = array((size_t)c.m, sizeof *s, err);
        t = array(2 * (size_t)c.m, 1, err);
        rc = err->code;
    }
    if (!rc) {
        memset(t, 0, (size_t)c.m);
        for (int32_t e = 0; e < inst->g->e; e++)
            t[c.position[e]] = truth[e];
        *auc = auc_without_loops(&c.g, c.score, t, s, t + c.m);
    }
    free(s);
    free(t);
    copy_free(&c);
    return rc;
}

int dk_stability(const dk_explainer *x, dk_explain_worker *w, const dk_explainer_state *state,
                 const dk_instance *inst, const dk_explain_params *p, const double *score,
                 const uint8_t *truth, const dk_stability_options *o, double *stability,
                 dk_err *err)
{
    int rounds = o->perturbations > 0 ? o->perturbations : 10, rc = 0;
    size_t e = (size_t)inst->g->e;
    double *s = array(e, sizeof *s, err), sum = 0;
    uint8_t *t = array(e, 1, err);

    if (!s || !t) {
        free(s);
        free(t);
        return err->code;
    }
    double before = auc_without_loops(inst->g, score, truth, s, t);
    free(s);
    free(t);
    *stability = NAN;
    for (int i = 0; !rc && !isnan(before) && i < rounds; i++) {
        double auc = NAN;
        rc = perturbed_auc(x, w, state, inst, p, truth, o->nodes, i, &auc, err);
        sum += before - auc;
    }
    if (!rc && !isnan(before))
        *stability = sum / rounds;
    return rc;
}

/* ---- Instability: edges rewired. */

static bool has_edge(const dk_graph *g, int32_t a, int32_t b)
{
    for (int32_t e = g->out_ptr[a]; e < g->out_ptr[a + 1]; e++)
        if (g->dst[e] == b)
            return true;
    return false;
}

/* Another end for edge e, to which its source has no edge yet; -1 if none is found. */
static int32_t other_end(const dk_graph *g, int32_t u, draws *d)
{
    for (int i = 0; i < REWIRE_DRAWS; i++) {
        int32_t v = draw_below(d, g->n);
        if (v != u && !has_edge(g, u, v) && !has_edge(g, v, u))
            return v;
    }
    return -1;
}

static bool rewire(copy *c, const dk_graph *g, draws *d)
{
    int32_t e = draw_below(d, g->e), u = g->src[e], v = other_end(g, u, d);

    if (u == g->dst[e] || v < 0)
        return false;
    c->dst[e] = v;
    if (g->rev[e] >= 0)
        c->src[g->rev[e]] = v;
    return true;
}

static double probability_change(const dk_instance *a, const dk_instance *b, int32_t classes)
{
    double squares = 0;

    for (int32_t c = 0; c < classes; c++) {
        double d = dk_probability(a->logits, classes, c) - dk_probability(b->logits, classes, c);
        squares += d * d;
    }
    return sqrt(squares);
}

/* Cosine of the masks of the k highest edges; masks of equal size, so shared / k. */
static int mask_cosine(const dk_instance *inst, const double *score, const copy *c, int32_t k,
                       double *cosine, dk_err *err)
{
    int32_t e = inst->g->e, shared = 0;
    int32_t *order = array((size_t)e, sizeof *order, err);
    uint8_t *top = array((size_t)e, 1, err);
    int rc = err->code;

    if (!rc)
        rc = dk_select_order(&c->g, c->score, DK_TIES_PAIR, order, err);
    if (!rc) {
        memset(top, 0, (size_t)e);
        for (int32_t i = 0; i < k; i++)
            top[order[i]] = 1;
        rc = dk_select_order(inst->g, score, DK_TIES_PAIR, order, err);
    }
    if (!rc) {
        for (int32_t i = 0; i < k; i++)
            shared += top[c->position[order[i]]];
        *cosine = (double)shared / k;
    }
    free(order);
    free(top);
    return rc;
}

static int one_rewiring(const dk_explainer *x, dk_explain_worker *w,
                        const dk_explainer_state *state, const dk_instance *inst,
                        const dk_explain_params *p, const double *score,
                        const dk_stability_options *o, int round, dk_instability_result *out,
                        dk_err *err)
{
    const dk_graph *g = inst->g;
    draws d = draws_of(p, "instability", inst, round);
    int32_t k = (int32_t)(g->e * o->share);
    double cosine;
    copy c;
    int rc = copy_init(&c, g, 0, 0, err);

    if (rc || !rewire(&c, g, &d))
        goto out;
    rc = copy_build(&c, g, err);
    for (size_t i = 0; !rc && i < (size_t)g->n * (size_t)g->num_features; i++)
        c.g.x[i] += o->noise * draw_normal(&d);
    if (!rc)
        rc = copy_instance(&c, w, inst, err);
    if (rc || probability_change(inst, &c.inst, w->model->c.classes) > o->delta)
        goto out;
    rc = copy_explain(&c, x, w, state, p, err);
    if (!rc)
        rc = mask_cosine(inst, score, &c, k > 0 ? k : 1, &cosine, err);
    if (!rc) {
        out->accepted++;
        out->mean += 1 - cosine;
        out->largest = fmax(out->largest, 1 - cosine);
    }
out:
    copy_free(&c);
    return rc;
}

int dk_instability(const dk_explainer *x, dk_explain_worker *w, const dk_explainer_state *state,
                   const dk_instance *inst, const dk_explain_params *p, const double *score,
                   const dk_stability_options *o, dk_instability_result *out, dk_err *err)
{
    int rounds = o->perturbations > 0 ? o->perturbations : 25, rc = 0;

    *out = (dk_instability_result){0, NAN, 0};
    for (int i = 0; !rc && inst->g->e > 0 && i < rounds; i++)
        rc = one_rewiring(x, w, state, inst, p, score, o, i, out, err);
    out->mean = out->accepted ? out->mean / out->accepted : NAN;
    return rc;
}
