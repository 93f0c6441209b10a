/* EiG-Search's edge scores from masked logits (E Eq. 3-4), and occlusion.
 *
 *     graph   s = (l_y(1) - l_y(masked)) / weight change,   l = log-softmax
 *     node    s = || out(1) - out(masked) ||_2 / weight change   (E Sec. 5; unsigned)
 *
 * Both directions of an undirected edge are masked together and computed once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sig.h"
#include "graph/explain/eig_internal.h"

double dk_eig_change(const dk_graph *g, int32_t edge, double epsilon)
{
    int32_t r = g->rev[edge];
    double w = 1;

    if (g->weight)
        w = r < 0 ? fabs(g->weight[edge]) : (fabs(g->weight[edge]) + fabs(g->weight[r])) / 2;
    return w * (1 - epsilon);
}

void dk_eig_output(const dk_gnn *m, const double *logits, double *output)
{
    for (int32_t c = 0; c < m->c.classes; c++)
        output[c] = m->c.arch == DK_GNN_GCN ? dk_probability(logits, m->c.classes, c) : logits[c];
}

/* An edge of weight 0 changes nothing. */
static double slope(double drop, double change)
{
    return change == 0 ? 0 : drop / change;
}

double dk_eig_node_score(int32_t classes, const double *before, const double *after, double change,
                         double *class_score)
{
    double sum = 0;

    for (int32_t c = 0; c < classes; c++) {
        double drop = after ? before[c] - after[c] : 0;
        sum += drop * drop;
        if (class_score)
            class_score[c] = slope(drop, change);
    }
    return slope(sqrt(sum), change);
}

typedef struct scorer {
    dk_explain_worker *w;
    const dk_instance *inst;
    dk_explanation *out;
    dk_eig *eig;
    double epsilon;
    double *masked, *at, *now; /* [classes] logits, outputs before and after */
} scorer;

static int graph_edge(scorer *s, int32_t edge, dk_err *err)
{
    /* Of the same arithmetic as the masked ones: an edge without effect scores exactly 0. */
    const double *z = dk_eig_logits(s->eig);
    int32_t classes = s->w->model->c.classes, y = s->inst->target;
    double change = dk_eig_change(s->inst->g, edge, s->epsilon);

    if (dk_eig_masked(s->eig, &edge, 1, s->masked, err))
        return err->code;
    s->out->score[edge] = slope(
        dk_log_probability(z, classes, y) - dk_log_probability(s->masked, classes, y), change);
    if (s->out->prob_drop)
        s->out->prob_drop[edge] =
            slope(dk_probability(z, classes, y) - dk_probability(s->masked, classes, y), change);
    for (int32_t c = 0; s->out->score_c && c < classes; c++)
        s->out->score_c[(int64_t)edge * classes + c] = slope(
            dk_log_probability(z, classes, c) - dk_log_probability(s->masked, classes, c), change);
    return 0;
}

static int node_edge(scorer *s, int32_t edge, dk_err *err)
{
    const dk_gnn *m = s->w->model;
    int32_t classes = m->c.classes, y = s->inst->target;
    double change = dk_eig_change(s->inst->g, edge, s->epsilon);
    double *of_class = s->out->score_c ? s->out->score_c + (int64_t)edge * classes : NULL;
    bool changed;

    if (dk_eig_masked_row(s->eig, &edge, 1, false, s->inst->node, s->masked, &changed, err))
        return err->code;
    dk_eig_output(m, s->masked, s->now);
    s->out->score[edge] =
        dk_eig_node_score(classes, s->at, changed ? s->now : NULL, change, of_class);
    if (s->out->prob_drop)
        s->out->prob_drop[edge] = changed ? slope(dk_probability(s->inst->logits, classes, y) -
                                                      dk_probability(s->masked, classes, y),
                                                  change)
                                          : 0;
    return 0;
}

static void copy_score(dk_explanation *out, int32_t from, int32_t to, int32_t classes)
{
    out->score[to] = out->score[from];
    if (out->prob_drop)
        out->prob_drop[to] = out->prob_drop[from];
    if (out->score_c)
        memcpy(out->score_c + (int64_t)to * classes, out->score_c + (int64_t)from * classes,
               (size_t)classes * sizeof(double));
}

static int explain_eig(dk_explain_worker *w, const dk_explainer_state *state,
                       const dk_instance *inst, const dk_explain_params *p, dk_explanation *out,
                       dk_err *err)
{
    const dk_graph *g = inst->g;
    int32_t classes = w->model->c.classes;
    double *memory = dk_xmalloc(3 * (size_t)classes * sizeof *memory);
    scorer s = {w, inst, out, NULL, p->epsilon, memory, memory + classes, memory + 2 * classes};

    (void)state;
    s.eig = dk_eig_new(w, &inst->in, g, p->epsilon, err);
    if (s.eig) {
        dk_eig_mask_mode(s.eig, p->mask_mode);
        dk_eig_output(w->model, inst->logits, s.at);
    }
    for (int32_t e = 0; s.eig && e < g->e; e++) {
        int32_t r = g->rev[e];
        if (r >= 0 && r < e)
            copy_score(out, r, e, classes);
        else if (dk_check_cancel(err) ||
                 (inst->node < 0 ? graph_edge(&s, e, err) : node_edge(&s, e, err)))
            break;
    }
    dk_eig_free(s.eig);
    free(memory);
    return err->code;
}

int dk_eig_groups(dk_explain_worker *w, const dk_instance *inst, double epsilon, const int32_t *set,
                  const int32_t *set_ptr, int32_t sets, double *score, dk_err *err)
{
    const dk_graph *g = inst->g;
    int32_t classes = w->model->c.classes;
    double *masked = dk_xmalloc((size_t)classes * sizeof *masked);
    uint8_t *counted = dk_alloc((size_t)g->e, "edges", err);
    dk_eig *eig = counted ? dk_eig_new(w, &inst->in, g, epsilon, err) : NULL;

    if (eig)
        memset(counted, 0, (size_t)g->e);
    for (int32_t k = 0; eig && k < sets; k++) {
        const int32_t *edges = set + set_ptr[k];
        int32_t n = set_ptr[k + 1] - set_ptr[k];
        double change = 0;
        bool changed;
        if (inst->node < 0
                ? dk_eig_masked(eig, edges, n, masked, err)
                : dk_eig_masked_row(eig, edges, n, false, inst->node, masked, &changed, err))
            break;
        for (int32_t i = 0; i < n; i++) {
            int32_t r = g->rev[edges[i]];
            if (!counted[edges[i]])
                change += dk_eig_change(g, edges[i], epsilon);
            counted[edges[i]] = 1;
            if (r >= 0)
                counted[r] = 1;
        }
        for (int32_t i = 0; i < n; i++) {
            counted[edges[i]] = 0;
            if (g->rev[edges[i]] >= 0)
                counted[g->rev[edges[i]]] = 0;
        }
        score[k] = slope(dk_log_probability(inst->logits, classes, inst->target) -
                             dk_log_probability(masked, classes, inst->target),
                         change);
    }
    dk_eig_free(eig);
    dk_free_aligned(counted);
    free(masked);
    return err->code;
}

const dk_explainer dk_explainer_eig = {
    .name = "eig",
    .title = "EiG-Search (linear gradient)",
    .every_class = true,
    .explain = explain_eig,
};
