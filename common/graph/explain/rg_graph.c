/* Graphs of rgexplainer: undirected neighbourhoods, what the model makes of the whole, and rewards
 * of node sets, each computed once. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sig.h"
#include "graph/explain/rg_internal.h"

static int or_default(int value, int fallback) { return value > 0 ? value : fallback; }

static double weight_or(double value, double fallback)
{
    return value > 0 ? value : value < 0 ? 0 : fallback;
}

void dk_rg_init(dk_rg *r, dk_explain_worker *w, const dk_explain_params *p)
{
    const dk_rg_params *c = &p->rg;

    *r = (dk_rg){.w = w, .p = p};
    r->c = (dk_rg_params){
        .hops = or_default(c->hops, 3),
        .locator_steps = or_default(c->locator_steps, 200),
        .relocate_every = or_default(c->relocate_every, 5),
        .relocate_steps = or_default(c->relocate_steps, 10),
        .demos = or_default(c->demos, 256),
        .tries = or_default(c->tries, 10),
        .list_epochs = or_default(c->list_epochs, 10),
        .set_epochs = or_default(c->set_epochs, 25),
        .batch = or_default(c->batch, 32),
        .starts = or_default(c->starts, 64),
        .rollouts = or_default(c->rollouts, 3),
        .max_nodes = or_default(c->max_nodes, 20),
        .radius = weight_or(c->radius, .1),
        .similarity = weight_or(c->similarity, .01),
    };
    r->size = p->size >= 0 ? p->size : .01;
    r->lr = p->lr > 0 ? p->lr : .01;
    r->epochs = or_default(p->epochs, 10);
    r->draw = dk_draw_start(dk_explain_seed(p, "rgexplainer", -1));
}

/* ---- Neighbourhoods. */

static int by_index(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static int make_neighbours(dk_rg_graph *r, const dk_graph *g, dk_err *err)
{
    int32_t n = 0;

    r->ptr = malloc(((size_t)g->n + 1) * sizeof *r->ptr);
    r->nbr = malloc((size_t)g->e * 2 * sizeof *r->nbr + 1);
    r->norm = malloc((size_t)g->e * 2 * sizeof *r->norm + 1);
    if (!r->ptr || !r->nbr || !r->norm)
        return dk_fail(err, DK_ENOMEM, "no memory for the neighbours of %d nodes", g->n);
    for (int32_t v = 0; v < g->n; v++) {
        r->ptr[v] = n;
        for (int32_t e = g->out_ptr[v]; e < g->out_ptr[v + 1]; e++)
            if (g->dst[e] != v)
                r->nbr[n++] = g->dst[e];
        for (int32_t i = g->in_ptr[v]; i < g->in_ptr[v + 1]; i++)
            if (g->rev[g->in_edge[i]] < 0)
                r->nbr[n++] = g->src[g->in_edge[i]];
        qsort(r->nbr + r->ptr[v], (size_t)(n - r->ptr[v]), sizeof *r->nbr, by_index);
    }
    r->ptr[g->n] = n;
    for (int32_t v = 0; v < g->n; v++)
        for (int32_t i = r->ptr[v]; i < r->ptr[v + 1]; i++) {
            int32_t u = r->nbr[i];
            double du = r->ptr[u + 1] - r->ptr[u], dv = r->ptr[v + 1] - r->ptr[v];
            r->norm[i] = 1 / sqrt(du * dv);
        }
    return 0;
}

int32_t dk_rg_reach(const dk_rg_graph *g, int32_t from, int hops, int32_t *out, int32_t *layer)
{
    int32_t n = 1, first = 0;

    out[0] = from;
    layer[0] = 0;
    for (int hop = 1; hop <= hops && first < n; hop++) {
        int32_t last = n;
        for (; first < last; first++)
            for (int32_t i = g->ptr[out[first]]; i < g->ptr[out[first] + 1]; i++) {
                int32_t k = 0;
                while (k < n && out[k] != g->nbr[i])
                    k++;
                if (k == n) {
                    layer[n] = hop;
                    out[n++] = g->nbr[i];
                }
            }
        qsort(out + last, (size_t)(n - last), sizeof *out, by_index);
    }
    return n;
}

/* ---- The whole. */

static double *copy_rows(const double *from, int64_t n, dk_err *err)
{
    double *to = malloc((size_t)n * sizeof *to + 1);

    if (!to)
        dk_fail(err, DK_ENOMEM, "no memory for %lld embeddings", (long long)n);
    else if (n)
        memcpy(to, from, (size_t)n * sizeof *to);
    return to;
}

/* Readout, or the row of the explained node, of a run. */
static const double *readout(dk_tape *t, const dk_gnn *m, const dk_gnn_trace *trace, int32_t node,
                             int64_t *width)
{
    dk_var v = node >= 0 ? trace->h[m->c.layers - 1] : trace->pooled;

    *width = dk_var_cols(t, v);
    return dk_value64(t, v) + (node >= 0 ? node * *width : 0);
}

int dk_rg_graph_init(dk_rg *r, dk_rg_graph *g, const dk_instance *inst, dk_err *err)
{
    dk_tape *t = r->w->tape;
    dk_gnn_options o = dk_instance_options(inst, r->p);
    dk_gnn_trace trace;

    *g = (dk_rg_graph){.inst = inst};
    if (make_neighbours(g, inst->g, err) || dk_setmap_init(&g->reward, inst->g->n, err))
        return err->code;
    dk_tape_restore(t, r->w->base);
    dk_tape_record(t, false);
    dk_gnn_run(r->w->model, t, &r->w->vars, &inst->in, &o, &trace);
    dk_tape_record(t, true);
    if (!dk_tape_take(t, err)) {
        dk_var h = trace.h[r->w->model->c.layers - 1];
        r->width = dk_var_cols(t, h);
        const double *whole = readout(t, r->w->model, &trace, inst->node, &r->whole_width);
        g->h = copy_rows(dk_value64(t, h), inst->g->n * r->width, err);
        g->whole = copy_rows(whole, r->whole_width, err);
    }
    dk_tape_restore(t, r->w->base);
    return err->code;
}

void dk_rg_graph_free(dk_rg_graph *g)
{
    free(g->ptr);
    free(g->nbr);
    free(g->norm);
    free(g->h);
    free(g->whole);
    free(g->log_target);
    dk_setmap_free(&g->reward);
}

/* ---- Rewards. */

/* The subgraph on the nodes of the set; *center is the explained node's new index. */
static int induce(const dk_instance *inst, const uint64_t *set, dk_graph *sub, int32_t *center,
                  dk_err *err)
{
    const dk_graph *g = inst->g;
    int32_t n = 0, m = 0, *map = malloc((size_t)g->n * sizeof *map + 1);
    int32_t *src = malloc((size_t)g->e * 2 * sizeof *src + 1), *dst = src ? src + g->e : NULL;
    double *weight = g->weight ? malloc((size_t)g->e * sizeof *weight + 1) : NULL;
    size_t row = (size_t)g->num_features * sizeof *g->x;

    *sub = (dk_graph){0};
    *center = -1;
    if (!map || !src || (g->weight && !weight)) {
        dk_fail(err, DK_ENOMEM, "no memory for a subgraph of %d nodes", g->n);
        goto out;
    }
    for (int32_t v = 0; v < g->n; v++) {
        if (v == inst->node)
            *center = n;
        map[v] = dk_bit_get(set, v) ? n++ : -1;
    }
    for (int32_t e = 0; e < g->e; e++)
        if (map[g->src[e]] >= 0 && map[g->dst[e]] >= 0) {
            if (weight)
                weight[m] = g->weight[e];
            src[m] = map[g->src[e]];
            dst[m++] = map[g->dst[e]];
        }
    if (dk_graph_build(sub, n, m, src, dst, weight, NULL, NULL, NULL, err))
        goto out;
    sub->num_features = g->num_features;
    sub->x = malloc((size_t)n * row + 1);
    if (!sub->x) {
        dk_fail(err, DK_ENOMEM, "no memory for a subgraph of %d nodes", n);
        goto out;
    }
    for (int32_t v = 0; v < g->n; v++)
        if (map[v] >= 0 && row)
            memcpy(sub->x + (int64_t)map[v] * g->num_features, g->x + (int64_t)v * g->num_features,
                   row);
out:
    free(map);
    free(src);
    free(weight);
    return err->code;
}

/* Smallest over the nodes of the largest distance within the set, edges taken undirected. */
static int32_t radius(const dk_rg_graph *g, const uint64_t *set, int32_t *queue, int32_t *dist)
{
    int32_t n_all = g->inst->g->n, best = -1;

    for (int32_t start = 0; start < n_all; start++) {
        int32_t n = 0, far = 0;
        if (!dk_bit_get(set, start))
            continue;
        for (int32_t v = 0; v < n_all; v++)
            dist[v] = -1;
        dist[queue[n++] = start] = 0;
        for (int32_t head = 0; head < n; head++) {
            int32_t v = queue[head];
            far = dist[v];
            for (int32_t i = g->ptr[v]; i < g->ptr[v + 1]; i++)
                if (dist[g->nbr[i]] < 0 && dk_bit_get(set, g->nbr[i])) {
                    dist[g->nbr[i]] = dist[v] + 1;
                    queue[n++] = g->nbr[i];
                }
        }
        if (best < 0 || far < best)
            best = far;
    }
    return best < 0 ? 0 : best;
}

static int32_t undirected_edges(const dk_graph *g)
{
    int32_t n = 0;

    for (int32_t e = 0; e < g->e; e++)
        n += g->src[e] <= g->dst[e] || g->rev[e] < 0;
    return n;
}

/* Cross-entropy and distance of the readouts. */
static int run_subgraph(dk_rg *r, const dk_rg_graph *g, const dk_graph *sub, int32_t center,
                        double *loss, dk_err *err)
{
    dk_tape *t = r->w->tape;
    dk_gnn_options o = dk_instance_options(g->inst, r->p);
    dk_gnn_input in = {0};
    dk_gnn_trace trace;
    int64_t width;
    double sum = 0;

    if (dk_gnn_input_graph(&in, r->w->model, sub, err))
        goto out;
    o.node = center;
    dk_tape_restore(t, r->w->base);
    dk_tape_record(t, false);
    dk_gnn_run(r->w->model, t, &r->w->vars, &in, &o, &trace);
    dk_tape_record(t, true);
    if (dk_tape_take(t, err))
        goto out;
    const double *rows = readout(t, r->w->model, &trace, center, &width);
    for (int64_t i = 0; i < width; i++)
        sum += (rows[i] - g->whole[i]) * (rows[i] - g->whole[i]);
    *loss = r->c.similarity * sqrt(sum) -
            dk_log_probability(dk_value64(t, trace.logits), r->w->model->c.classes,
                               g->inst->prediction);
out:
    dk_tape_restore(t, r->w->base);
    dk_gnn_input_free(&in);
    return err->code;
}

int dk_rg_reward(dk_rg *r, dk_rg_graph *g, const uint64_t *set, double *reward, dk_err *err)
{
    int64_t at = dk_setmap_put(&g->reward, set, err);
    dk_graph sub = {0};
    int32_t center, *scratch = NULL;
    double loss = 0;

    if (at < 0 || dk_check_cancel(err))
        return err->code;
    if (isnan(g->reward.value[at])) {
        scratch = malloc((size_t)g->inst->g->n * 2 * sizeof *scratch + 1);
        if (!scratch)
            dk_fail(err, DK_ENOMEM, "no memory for %d nodes", g->inst->g->n);
        if (!scratch || induce(g->inst, set, &sub, &center, err) ||
            run_subgraph(r, g, &sub, center, &loss, err))
            goto out;
        loss += r->size * undirected_edges(&sub);
        loss += r->c.radius * radius(g, set, scratch, scratch + g->inst->g->n);
        g->reward.value[at] = -loss;
    }
    *reward = g->reward.value[at];
out:
    free(scratch);
    dk_graph_free(&sub);
    return err->code;
}

int dk_rg_reward_nodes(dk_rg *r, dk_rg_graph *g, const int32_t *node, int32_t n, double *reward,
                       dk_err *err)
{
    uint64_t *set = calloc((size_t)g->reward.words, sizeof *set);

    if (!set)
        return dk_fail(err, DK_ENOMEM, "no memory for a set of nodes");
    for (int32_t i = 0; i < n; i++)
        dk_bit_set(set, node[i]);
    dk_rg_reward(r, g, set, reward, err);
    free(set);
    return err->code;
}
