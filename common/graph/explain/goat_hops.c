/* GOAt's second step: the share of an activation pattern is passed on, in equal parts, to the
 * edges that may have produced it (G Eq. 11).
 *
 * The pattern of layer l at node a goes to the lists h1(a) ++ ... ++ hl(a), where h1(a) are the
 * edges leaving a and h(k+1)(a) the edges leaving the distinct ends of hk(a); an edge that occurs
 * in several lists gets as many parts. So hk(a) are all edges leaving S(k-1), the set of nodes that
 * some walk of k - 1 steps from a ends in: lists are never written out, parts are added up per node
 * and handed to the edges that leave it in the end. With DK_HOPS_DISTINCT a node counts in the
 * first S it is in only. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/goat_internal.h"

typedef struct passing {
    const dk_goat_shares *s;
    const dk_graph *g;
    const dk_explain_params *p;
    int32_t node; /* of a node task, or -1 */
    double *net;  /* [layers, classes] what node a passes on, by layer */
    double *part; /* [n, classes] parts per edge leaving a node */
    double *each; /* [classes] */
    int32_t *set; /* S0, S1, ... behind each other */
    int32_t set_ptr[DK_GNN_MAX_LAYERS + 1];
    int64_t length[DK_GNN_MAX_LAYERS]; /* edges leaving S0 .. Sk, with repetitions */
    int32_t *stamp;                    /* [n] last set a node was put in */
    int32_t stamps;
} passing;

static int32_t out_degree(const dk_graph *g, int32_t v)
{
    return g->out_ptr[v + 1] - g->out_ptr[v];
}

/* Sums the shares of row a by layer, calibrated. False if there is nothing to pass on. */
static bool gather(passing *w, int32_t a)
{
    const dk_goat_shares *s = w->s;
    bool any = false;

    memset(w->net, 0, (size_t)(s->layers * s->classes) * sizeof *w->net);
    for (int c = 0; c < s->classes; c++) {
        for (int site = 0; site < s->sites; site++) {
            int64_t at = ((int64_t)c * s->sites + site) * s->n + a;
            int layer = s->site_layer[site];
            /* The published node program takes the empty graph's last layer off twice. */
            int times = w->p->compat && w->node >= 0 && layer == s->layers ? 2 : 1;
            double share = s->pattern[0][at];
            if (w->p->calibrate)
                share -= times * s->pattern[1][at];
            w->net[(layer - 1) * s->classes + c] += share;
        }
        if (a == w->node) {
            /* The classifier's pattern of a node goes to the list of its last layer; the published
             * program spreads it over the whole graph, but not the empty graph's. */
            double head = w->p->compat ? 0 : s->head[0][c];
            w->net[(s->layers - 1) * s->classes + c] +=
                head - (w->p->calibrate ? s->head[1][c] : 0);
        }
    }
    for (int i = 0; i < s->layers * s->classes; i++)
        any = any || w->net[i] != 0;
    return any;
}

static void push(passing *w, int32_t v, int32_t *used)
{
    w->set[(*used)++] = v;
    w->stamp[v] = w->stamps;
}

static void restart_stamps(passing *w)
{
    if (w->stamps < INT32_MAX - DK_GNN_MAX_LAYERS)
        return;
    memset(w->stamp, 0, (size_t)w->g->n * sizeof *w->stamp);
    w->stamps = 0;
}

/* S0 .. S(layers-1) of a, and the lengths of its lists. */
static void walk(passing *w, int32_t a)
{
    const dk_graph *g = w->g;
    bool distinct = w->p->hops == DK_HOPS_DISTINCT;
    int32_t used = 0;

    restart_stamps(w);
    w->stamps++;
    w->set_ptr[0] = 0;
    push(w, a, &used);
    w->set_ptr[1] = used;
    w->length[0] = out_degree(g, a);
    for (int k = 1; k < w->s->layers; k++) {
        w->stamps += !distinct;
        w->length[k] = w->length[k - 1];
        for (int32_t i = w->set_ptr[k - 1]; i < w->set_ptr[k]; i++) {
            int32_t b = w->set[i];
            for (int32_t e = g->out_ptr[b]; e < g->out_ptr[b + 1]; e++) {
                int32_t to = g->dst[e];
                if (w->stamp[to] == w->stamps)
                    continue;
                push(w, to, &used);
                w->length[k] += out_degree(g, to);
            }
        }
        w->set_ptr[k + 1] = used;
    }
}

/* Hands what is in net to the nodes of a's lists; what has no list is left over. */
static void hand_out(passing *w, int32_t a, double *residual)
{
    const dk_goat_shares *s = w->s;
    int classes = s->classes;

    if (a >= w->g->n || out_degree(w->g, a) == 0) {
        for (int i = 0; i < s->layers * classes; i++)
            residual[i % classes] += w->net[i];
        return;
    }
    walk(w, a);
    memset(w->each, 0, (size_t)classes * sizeof *w->each);
    for (int k = s->layers - 1; k >= 0; k--) {
        for (int c = 0; c < classes; c++)
            w->each[c] += w->net[k * classes + c] / (double)w->length[k];
        for (int32_t i = w->set_ptr[k]; i < w->set_ptr[k + 1]; i++)
            for (int c = 0; c < classes; c++)
                w->part[(int64_t)w->set[i] * classes + c] += w->each[c];
    }
}

/* Graph task: the classifier's pattern goes to all edges. Node task with compat: that of the real
 * graph to all edges of the whole graph, of which the instance's are a part. */
static double head_per_edge(const passing *w, const dk_instance *inst, int c)
{
    const dk_goat_shares *s = w->s;

    if (w->node < 0)
        return (s->head[0][c] - (w->p->calibrate ? s->head[1][c] : 0)) / s->e;
    return w->p->compat ? s->head[0][c] / (double)inst->edges_whole : 0;
}

int dk_goat_pass_on(const dk_goat_shares *s, const dk_instance *inst, const dk_explain_params *p,
                    double *score, double *residual, dk_err *err)
{
    const dk_graph *g = inst->g;
    size_t classes = (size_t)s->classes;
    passing w = {.s = s, .g = g, .p = p, .node = inst->node};

    w.net = dk_xcalloc((size_t)s->layers * classes, sizeof *w.net);
    w.each = dk_xcalloc(classes, sizeof *w.each);
    w.part = dk_alloc((size_t)g->n * classes * sizeof *w.part, "shares", err);
    w.stamp = dk_alloc((size_t)g->n * sizeof *w.stamp, "hop lists", err);
    w.set = dk_alloc((size_t)g->n * (size_t)s->layers * sizeof *w.set, "hop lists", err);
    if (w.part && w.stamp && w.set) {
        memset(w.part, 0, (size_t)g->n * classes * sizeof *w.part);
        memset(w.stamp, 0, (size_t)g->n * sizeof *w.stamp);
        memset(residual, 0, classes * sizeof *residual);
        for (int32_t a = 0; a < s->n; a++)
            if (gather(&w, a))
                hand_out(&w, a, residual);
        for (int c = 0; c < s->classes; c++) {
            double head = head_per_edge(&w, inst, c);
            for (int32_t e = 0; e < g->e; e++)
                score[(size_t)e * classes + (size_t)c] =
                    s->edge[(int64_t)c * s->e + e] + head +
                    w.part[(size_t)g->src[e] * classes + (size_t)c];
        }
    }
    free(w.net);
    free(w.each);
    dk_free_aligned(w.set);
    dk_free_aligned(w.part);
    dk_free_aligned(w.stamp);
    return err->code;
}
