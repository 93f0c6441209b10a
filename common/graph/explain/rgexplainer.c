/* RG-Explainer (Shan et al., NeurIPS 2021): a locator picks a seed node, a generator grows a
 * connected subgraph from it; both are trained by what the model says about the subgraphs.
 *
 *   1. locator: for every node, reward of its 3-hop neighbourhood; KL to their softmax
 *   2. imitation: random layer-wise growths, the best of each seed shown to the generator, first in
 *      the order they were made, then as sets (any missing node is right)
 *   3. policy gradient: loss = -mean(A log p(action)). With V(prefix) the mean reward of `rollouts`
 *      completions of a prefix, A = V(prefix + action) - V(prefix). The published program weights
 *      by the reward alone; rewards are negative throughout, so every sampled action would become
 *      less likely, good ones too. Between epochs the locator learns from generated subgraphs.
 *
 * The node task has no locator: the explained node is the seed. Explaining is greedy, without
 * draws: the seed of the run enters through training only. The subgraph explains the model's
 * prediction, whichever class is asked for.
 *
 * Scores: with T nodes added behind the seed, an edge of the subgraph whose later end was the k-th
 * gets 1 - k / (T + 1), nodes likewise; outside 0. Edges are compared at given sizes, which needs
 * an order inside the subgraph, and the generator has one: what it adds first it prefers. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/sig.h"
#include "graph/explain/rg_internal.h"

enum { HIDDEN = 64, LOC1 = 64, LOC2 = 8, REACH_MIN = 5, LENGTH_MIN = 4, LOCATOR_BATCH = 32 };

static void shapes(dk_task task, int64_t features, int64_t width, int64_t whole,
                   dk_learned_shape s[DK_RG_TENSORS + 1])
{
    int64_t in = features + 2, loc = width + whole;
    double b_in = 1 / sqrt((double)in), b = 1 / sqrt((double)HIDDEN);
    double b_loc = 1 / sqrt((double)loc), b2 = 1 / sqrt((double)LOC1), b3 = 1 / sqrt((double)LOC2);

    s[DK_RG_IN_W] = (dk_learned_shape){"generator.in.weight", HIDDEN, in, b_in};
    s[DK_RG_IN_B] = (dk_learned_shape){"generator.in.bias", 1, HIDDEN, b_in};
    s[DK_RG_RES1_W] = (dk_learned_shape){"generator.block1.weight", HIDDEN, HIDDEN, b};
    s[DK_RG_RES1_B] = (dk_learned_shape){"generator.block1.bias", 1, HIDDEN, b};
    s[DK_RG_RES2_W] = (dk_learned_shape){"generator.block2.weight", HIDDEN, HIDDEN, b};
    s[DK_RG_RES2_B] = (dk_learned_shape){"generator.block2.bias", 1, HIDDEN, b};
    s[DK_RG_ATTENTION] = (dk_learned_shape){"generator.attention", 1, HIDDEN, b};
    s[DK_RG_NODE] = (dk_learned_shape){"generator.node", 1, HIDDEN, 0};
    s[DK_RG_STOP_W] = (dk_learned_shape){"generator.stop.weight", 2, HIDDEN, 0};
    s[DK_RG_STOP_B] = (dk_learned_shape){"generator.stop.bias", 1, 2, 0};
    s[DK_RG_LOC1_W] = (dk_learned_shape){"locator.lin1.weight", LOC1, loc, b_loc};
    s[DK_RG_LOC1_B] = (dk_learned_shape){"locator.lin1.bias", 1, LOC1, b_loc};
    s[DK_RG_LOC2_W] = (dk_learned_shape){"locator.lin2.weight", LOC2, LOC1, b2};
    s[DK_RG_LOC2_B] = (dk_learned_shape){"locator.lin2.bias", 1, LOC2, b2};
    s[DK_RG_LOC3_W] = (dk_learned_shape){"locator.lin3.weight", 1, LOC2, b3};
    s[task == DK_TASK_NODE ? DK_RG_GENERATOR : DK_RG_TENSORS] = (dk_learned_shape){NULL, 0, 0, 0};
}

/* What training works on. */
typedef struct training {
    dk_rg r;
    dk_rg_graph *graph;
    int64_t n;
    bool locate;            /* graph task */
    dk_optim *generator, *locator;
    dk_rg_walk *demo;
    int64_t n_demo;
} training;

/* ---- The locator's lessons. */

static int target_from_reach(training *t, dk_rg_graph *g, dk_err *err)
{
    int32_t n = g->inst->g->n;
    int32_t *node = malloc((size_t)n * 2 * sizeof *node + 1);
    double *reward = malloc((size_t)n * sizeof *reward + 1);

    if (!node || !reward)
        dk_fail(err, DK_ENOMEM, "no memory for %d nodes", n);
    for (int32_t v = 0; v < n && !err->code; v++) {
        int32_t reach = dk_rg_reach(g, v, t->r.c.hops, node, node + n);
        dk_rg_reward_nodes(&t->r, g, node, reach, &reward[v], err);
    }
    if (!err->code)
        dk_rg_set_target(g, reward, err);
    free(node);
    free(reward);
    return err->code;
}

static int target_from_generator(training *t, dk_rg_graph *g, dk_err *err)
{
    int32_t n = g->inst->g->n;
    double *reward = malloc((size_t)n * sizeof *reward + 1);
    dk_rg_walk *walk = dk_rg_walks(&t->r, n, err);

    if (!reward)
        dk_fail(err, DK_ENOMEM, "no memory for %d nodes", n);
    for (int32_t v = 0; v < n && walk; v++) {
        walk[v].g = g;
        walk[v].node[walk[v].n++] = v;
    }
    if (!err->code)
        dk_rg_grow(&t->r, walk, n, true, err);
    for (int32_t v = 0; v < n && !err->code; v++)
        dk_rg_reward_nodes(&t->r, g, walk[v].node, walk[v].n, &reward[v], err);
    if (!err->code)
        dk_rg_set_target(g, reward, err);
    free(walk);
    free(reward);
    return err->code;
}

/* `steps` steps on random graphs of the listed ones. */
static int teach_locator(training *t, const int32_t *pool, int64_t n, int steps,
                         int (*target)(training *, dk_rg_graph *, dk_err *), bool *fresh,
                         dk_err *err)
{
    for (int i = 0; i < steps && !dk_check_cancel(err); i++) {
        dk_rg_graph *batch[LOCATOR_BATCH];
        int64_t m = n < LOCATOR_BATCH ? n : LOCATOR_BATCH;
        for (int64_t k = 0; k < m; k++) {
            int32_t at = pool[n <= LOCATOR_BATCH ? k : dk_draw_below(&t->r.draw, n)];
            batch[k] = &t->graph[at];
            if (!fresh[at] && target(t, batch[k], err))
                return err->code;
            fresh[at] = true;
        }
        if (dk_rg_locator_learn(&t->r, t->locator, batch, m, err))
            return err->code;
    }
    return err->code;
}

/* A share of the graphs (0: all of them, untouched order), with targets to be made anew. */
static int locator_phase(training *t, double share, int steps,
                         int (*target)(training *, dk_rg_graph *, dk_err *), dk_err *err)
{
    int64_t n = (int64_t)ceil(share * (double)t->n);
    int32_t *pool = malloc((size_t)t->n * sizeof *pool + 1);
    bool *fresh = calloc((size_t)t->n + 1, sizeof *fresh);

    if (!pool || !fresh) {
        dk_fail(err, DK_ENOMEM, "no memory for %lld graphs", (long long)t->n);
    } else if (t->locate) {
        for (int64_t i = 0; i < t->n; i++)
            pool[i] = (int32_t)i;
        dk_draw_shuffle(&t->r.draw, pool, t->n);
        teach_locator(t, pool, n, steps, target, fresh, err);
    }
    free(pool);
    free(fresh);
    return err->code;
}

/* ---- Imitation. */

/* The best of several random growths from a seed into `walk`. */
static int demonstrate(training *t, dk_rg_graph *g, int32_t seed, dk_rg_walk *walk, dk_err *err)
{
    int32_t n_all = g->inst->g->n, *node = malloc((size_t)n_all * 2 * sizeof *node + 1);
    int32_t *layer = node + n_all;
    double best = -INFINITY;

    walk->g = g;
    walk->n = 0;
    if (!node)
        return dk_fail(err, DK_ENOMEM, "no memory for %d nodes", n_all);
    int32_t n = dk_rg_reach(g, seed, t->r.c.hops, node, layer);
    for (int i = 0; i < t->r.c.tries && n >= REACH_MIN && !err->code; i++) {
        double reward;
        int32_t length = LENGTH_MIN + (int32_t)dk_draw_below(&t->r.draw, n - LENGTH_MIN);
        for (int32_t from = 1, to; from < n; from = to) {
            for (to = from; to < n && layer[to] == layer[from]; to++)
                ;
            dk_draw_shuffle(&t->r.draw, node + from, to - from);
        }
        length = length < t->r.c.max_nodes ? length : t->r.c.max_nodes;
        if (!dk_rg_reward_nodes(&t->r, g, node, length, &reward, err) && reward > best) {
            best = reward;
            walk->n = length;
            memcpy(walk->node, node, (size_t)length * sizeof *node);
        }
    }
    free(node);
    return err->code;
}

/* Seeds in random order over all nodes of all graphs (node task: the explained ones). */
static int make_demos(training *t, dk_err *err)
{
    int64_t total = 0, want = t->r.c.demos;
    int32_t *graph = NULL, *order = NULL;

    for (int64_t i = 0; i < t->n; i++)
        total += t->locate ? t->graph[i].inst->g->n : 1;
    if (total < want)
        want = total;
    t->demo = dk_rg_walks(&t->r, want, err);
    if (total < INT32_MAX) {
        graph = malloc((size_t)total * 2 * sizeof *graph + 1);
        order = malloc((size_t)total * sizeof *order + 1);
    }
    if (t->demo && (!graph || !order))
        dk_fail(err, DK_ENOMEM, "no memory for %lld seeds", (long long)total);
    total = 0;
    for (int64_t i = 0; i < t->n && !err->code; i++)
        for (int32_t v = 0; v < (t->locate ? t->graph[i].inst->g->n : 1); v++, total++) {
            order[total] = (int32_t)total;
            graph[2 * total] = (int32_t)i;
            graph[2 * total + 1] = t->locate ? v : t->graph[i].inst->node;
        }
    if (!err->code)
        dk_draw_shuffle(&t->r.draw, order, total);
    for (int64_t i = 0; i < total && t->n_demo < want && !err->code && !dk_check_cancel(err); i++) {
        const int32_t *at = graph + 2 * (int64_t)order[i];
        if (!demonstrate(t, &t->graph[at[0]], at[1], &t->demo[t->n_demo], err))
            t->n_demo += t->demo[t->n_demo].n > 0;
    }
    free(graph);
    free(order);
    return err->code;
}

/* Another order in which the same nodes can be added, each next to an earlier one. */
static void reorder(dk_rg_walk *w, dk_draw *draw)
{
    const dk_rg_graph *g = w->g;

    for (int32_t n = 1; n < w->n; n++) {
        int32_t ready = 0, chosen = n;
        for (int32_t k = n; k < w->n; k++) {
            bool next_to = false;
            for (int32_t i = 0; i < n && !next_to; i++)
                for (int32_t j = g->ptr[w->node[i]]; j < g->ptr[w->node[i] + 1]; j++)
                    next_to = next_to || g->nbr[j] == w->node[k];
            if (next_to && dk_draw_below(draw, ++ready) == 0)
                chosen = k;
        }
        int32_t swap = w->node[n];
        w->node[n] = w->node[chosen];
        w->node[chosen] = swap;
    }
}

/* Every decision of a walk into d; returns their number. */
static int64_t decisions(const dk_rg_walk *w, bool any, dk_rg_decision *d)
{
    for (int32_t k = 1; k <= w->n; k++)
        d[k - 1] = (dk_rg_decision){
            .walk = w, .prefix = k, .stop = k == w->n, .any = any, .weight = 1};
    return w->n;
}

static int imitate(training *t, bool sets, int epochs, dk_err *err)
{
    int64_t batch = t->r.c.batch, per_demo = t->r.c.max_nodes;
    int32_t *order = malloc((size_t)t->n_demo * sizeof *order + 1);
    dk_rg_decision *d = malloc((size_t)(batch * per_demo) * sizeof *d + 1);

    if (!order || !d)
        dk_fail(err, DK_ENOMEM, "no memory for %lld demonstrations", (long long)t->n_demo);
    for (int64_t i = 0; i < t->n_demo && !err->code; i++)
        order[i] = (int32_t)i;
    for (int e = 0; e < epochs && !err->code; e++) {
        dk_draw_shuffle(&t->r.draw, order, t->n_demo);
        for (int64_t i = 0; i < t->n_demo && !dk_check_cancel(err); i += batch) {
            int64_t n = 0;
            for (int64_t k = i; k < i + batch && k < t->n_demo; k++) {
                if (sets)
                    reorder(&t->demo[order[k]], &t->r.draw);
                n += decisions(&t->demo[order[k]], sets, d + n);
            }
            if (dk_rg_learn(&t->r, t->generator, d, n, err))
                break;
        }
    }
    free(order);
    free(d);
    return err->code;
}

/* ---- Policy gradient. */

/* A seed of a random graph: drawn from the locator, or the explained node. */
static int start_walk(training *t, dk_rg_walk *w, dk_err *err)
{
    dk_rg_graph *g = &t->graph[dk_draw_below(&t->r.draw, t->n)];
    int32_t n = g->inst->g->n, v = g->inst->node;

    if (t->locate) {
        double *log_p = malloc((size_t)n * sizeof *log_p + 1);
        if (!log_p)
            return dk_fail(err, DK_ENOMEM, "no memory for %d nodes", n);
        if (!dk_rg_locate(&t->r, g, log_p, err)) {
            double u = dk_draw_uniform(&t->r.draw) - exp(log_p[v = 0]);
            for (; u >= 0 && v + 1 < n; u -= exp(log_p[v]))
                v++;
        }
        free(log_p);
    }
    w->g = g;
    w->draw = dk_draw_start(dk_draw_u64(&t->r.draw));
    if (!err->code)
        w->node[w->n++] = v;
    return err->code;
}

/* Completions of every prefix of every walk, in that order. */
static dk_rg_walk *make_completions(training *t, const dk_rg_walk *walk, int64_t n, int64_t *total,
                                    dk_err *err)
{
    int64_t at = 0;

    *total = 0;
    for (int64_t i = 0; i < n; i++)
        *total += (int64_t)walk[i].n * t->r.c.rollouts;
    dk_rg_walk *c = dk_rg_walks(&t->r, *total, err);
    for (int64_t i = 0; i < n && c; i++)
        for (int32_t prefix = 1; prefix <= walk[i].n; prefix++)
            for (int k = 0; k < t->r.c.rollouts; k++, at++) {
                c[at].g = walk[i].g;
                c[at].n = prefix;
                c[at].draw = dk_draw_start(dk_draw_u64(&t->r.draw));
                memcpy(c[at].node, walk[i].node, (size_t)prefix * sizeof *c[at].node);
            }
    if (c && dk_rg_grow(&t->r, c, *total, false, err)) {
        free(c);
        c = NULL;
    }
    return c;
}

/* Decisions of one walk with their advantages; `done` are its completions. */
static int weigh(training *t, const dk_rg_walk *w, const dk_rg_walk *done, dk_rg_decision *d,
                 int64_t *n, dk_err *err)
{
    double before = 0, last;
    int64_t first = *n;

    for (int32_t prefix = 1; prefix <= w->n; prefix++) {
        double value = 0, reward = 0;
        for (int k = 0; k < t->r.c.rollouts; k++, done++) {
            if (dk_rg_reward_nodes(&t->r, w->g, done->node, done->n, &reward, err))
                return err->code;
            value += reward / t->r.c.rollouts;
        }
        if (prefix > 1)
            d[*n - 1].weight = value - before;
        before = value;
        d[(*n)++] = (dk_rg_decision){.walk = w, .prefix = prefix, .stop = prefix == w->n};
    }
    if (dk_rg_reward_nodes(&t->r, w->g, w->node, w->n, &last, err))
        return err->code;
    d[*n - 1].weight = last - before;
    if (w->n >= t->r.c.max_nodes && *n > first)
        (*n)--; /* it had to stop there */
    return 0;
}

static int policy_step(training *t, dk_err *err)
{
    int64_t starts = t->r.c.starts, total, n = 0, at = 0;
    dk_rg_walk *walk = dk_rg_walks(&t->r, starts, err), *done = NULL;
    dk_rg_decision *d = NULL;

    for (int64_t i = 0; i < starts && !err->code; i++)
        start_walk(t, &walk[i], err);
    if (err->code || dk_rg_grow(&t->r, walk, starts, false, err) ||
        !(done = make_completions(t, walk, starts, &total, err)))
        goto out;
    d = malloc((size_t)total * sizeof *d + 1);
    if (!d)
        dk_fail(err, DK_ENOMEM, "no memory for %lld decisions", (long long)total);
    for (int64_t i = 0; i < starts && !err->code; i++) {
        weigh(t, &walk[i], done + at, d, &n, err);
        at += (int64_t)walk[i].n * t->r.c.rollouts;
    }
    if (!err->code && n)
        dk_rg_learn(&t->r, t->generator, d, n, err);
out:
    free(walk);
    free(done);
    free(d);
    return err->code;
}

static int improve(training *t, dk_err *err)
{
    for (int e = 0; e < t->r.epochs && !err->code; e++) {
        policy_step(t, err);
        if (!err->code && (e + 1) % t->r.c.relocate_every == 0)
            locator_phase(t, .2, t->r.c.relocate_steps, target_from_generator, err);
    }
    return err->code;
}

/* ---- Training. */

static dk_explainer_state *new_state(training *t, const dk_gnn *m, dk_err *err)
{
    dk_learned_shape shape[DK_RG_TENSORS + 1];
    dk_optim_config c = dk_optim_defaults(DK_OPTIM_ADAM);
    dk_explainer_state *s;

    shapes(m->c.task, m->c.features, t->r.width, t->r.whole_width, shape);
    s = dk_learned_new(&dk_explainer_rgexplainer, shape, &t->r.draw, err);
    if (!s)
        return NULL;
    t->r.state = s;
    c.lr = t->r.lr;
    t->generator = dk_optim_new(&c, DK_F64, s->tensor, DK_RG_GENERATOR, err);
    if (t->locate && !err->code)
        t->locator = dk_optim_new(&c, DK_F64, s->tensor + DK_RG_GENERATOR,
                                  DK_RG_TENSORS - DK_RG_GENERATOR, err);
    return s;
}

/* The instances with edges; the others have nothing to teach, but one gives the widths. */
static int load_graphs(training *t, dk_instance *const *inst, int64_t n, dk_err *err)
{
    t->graph = calloc((size_t)n + 1, sizeof *t->graph);
    if (!t->graph)
        return dk_fail(err, DK_ENOMEM, "no memory for %lld graphs", (long long)n);
    for (int64_t i = 0; i < n && !err->code && !dk_check_cancel(err); i++) {
        if (inst[i]->g->e == 0)
            continue;
        dk_rg_graph_init(&t->r, &t->graph[t->n++], inst[i], err);
    }
    if (!err->code && t->n == 0)
        return dk_fail(err, DK_EUSAGE, "rgexplainer: none of the %lld instances to train on has an "
                       "edge", (long long)n);
    return err->code;
}

static dk_explainer_state *train(dk_explain_worker *w, dk_instance *const *inst, int64_t n,
                                 const dk_explain_params *p, dk_err *err)
{
    training t = {.locate = w->model->c.task == DK_TASK_GRAPH};
    dk_explainer_state *s = NULL;

    dk_rg_init(&t.r, w, p);
    if (n < 1 || n > INT32_MAX) {
        dk_fail(err, DK_EUSAGE, "rgexplainer: expected between 1 and 2^31 - 1 instances to train "
                "on, found %lld", (long long)n);
        return NULL;
    }
    if (!load_graphs(&t, inst, n, err))
        s = new_state(&t, w->model, err);
    if (!err->code &&
        !locator_phase(&t, 1, t.r.c.locator_steps, target_from_reach, err) &&
        !make_demos(&t, err) && !imitate(&t, false, t.r.c.list_epochs, err) &&
        !imitate(&t, true, t.r.c.set_epochs, err) && !improve(&t, err))
        dk_learned_done(s, err);
    if (err->code) {
        dk_explainer_state_free(s);
        s = NULL;
    }
    for (int64_t i = 0; i < t.n; i++)
        dk_rg_graph_free(&t.graph[i]);
    free(t.graph);
    free(t.demo);
    dk_optim_free(t.generator);
    dk_optim_free(t.locator);
    return s;
}

/* ---- Explaining. */

static int choose_seed(dk_rg *r, const dk_rg_graph *g, int32_t *seed, dk_err *err)
{
    int32_t n = g->inst->g->n;
    double *log_p;

    *seed = g->inst->node;
    if (*seed >= 0)
        return 0;
    log_p = malloc((size_t)n * sizeof *log_p + 1);
    if (!log_p)
        return dk_fail(err, DK_ENOMEM, "no memory for %d nodes", n);
    if (!dk_rg_locate(r, g, log_p, err))
        *seed = dk_argmax(log_p, n);
    free(log_p);
    return err->code;
}

static int give_scores(const dk_rg_walk *w, dk_explanation *out, dk_err *err)
{
    const dk_graph *g = w->g->inst->g;
    double *node = calloc((size_t)g->n + 1, sizeof *node);

    if (!node)
        return dk_fail(err, DK_ENOMEM, "no memory for %d nodes", g->n);
    for (int32_t k = 0; k < w->n; k++)
        node[w->node[k]] = 1 - (double)k / w->n;
    for (int32_t e = 0; e < g->e; e++)
        out->score[e] = fmin(node[g->src[e]], node[g->dst[e]]);
    if (out->node_score)
        memcpy(out->node_score, node, (size_t)g->n * sizeof *node);
    free(node);
    return 0;
}

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    dk_learned_shape shape[DK_RG_TENSORS + 1];
    const dk_gnn_config *c = &w->model->c;
    dk_rg_graph g = {0};
    dk_rg_walk *walk = NULL;
    dk_rg r;

    if (inst->g->n == 0)
        return 0;
    dk_rg_init(&r, w, p);
    if (dk_rg_graph_init(&r, &g, inst, err))
        goto out;
    shapes(c->task, c->features, r.width, r.whole_width, shape);
    if (dk_learned_check(state, &dk_explainer_rgexplainer, shape, err))
        goto out;
    r.state = state;
    walk = dk_rg_walks(&r, 1, err);
    if (!walk)
        goto out;
    walk->g = &g;
    walk->n = 1;
    if (!choose_seed(&r, &g, walk->node, err) && !dk_rg_grow(&r, walk, 1, true, err))
        give_scores(walk, out, err);
out:
    free(walk);
    dk_rg_graph_free(&g);
    return err->code;
}

static int fits(const dk_explainer_state *state, const dk_gnn *model, dk_err *err)
{
    dk_learned_shape shape[DK_RG_TENSORS + 1];
    int64_t width, whole;

    if (dk_learned_widths(model, &width, &whole, err))
        return err->code;
    shapes(model->c.task, model->c.features, width, whole, shape);
    return dk_learned_check(state, &dk_explainer_rgexplainer, shape, err);
}

const dk_explainer dk_explainer_rgexplainer = {
    .name = "rgexplainer",
    .title = "RG-Explainer (seed and growth, reinforcement learning)",
    .node_scored = true,
    .random = true,
    .train = train,
    .explain = explain,
    .fits = fits,
};
