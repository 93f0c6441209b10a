/* SubgraphX (Yuan et al., ICML 2021) with the choices of its published program: a Monte-Carlo tree
 * search over connected node sets, rewarded by a sampled Shapley value.
 *
 *   root     all nodes (node task: the neighbourhood that was cut out)
 *   children of a set S: for each of the first expand_atoms nodes of S by ascending degree inside S
 *            (never the explained node), the largest connected component of S minus that node (node
 *            task: the component of the explained node); equal sets are one state
 *   leaf     |S| <= min_atoms; its reward is backed up: W += P, N += 1
 *   choice   argmax Q + U, Q = W / N, U = c_puct P sqrt(sum of the siblings' N) / (1 + N)
 *   reward P mean over `samples` random orders of f(before + S) - f(before); f is the target's
 *            probability, and `before` are the nodes in front of S in an order of S and the nodes
 *            within local_radius - 1 hops of it, plus all nodes farther away. Absent nodes keep
 *            their edges but have zero features.
 *   answer   the state of at most max_nodes nodes with the highest reward (the smallest state, if
 *            none is small enough)
 *
 * Edges score 1 inside the answer and 0 outside, nodes likewise. The published program takes hours
 * on one node because it runs the model twice per sample; f is a function of the present nodes
 * alone, so here each present set is run once per instance, many in one batch. The draws of a
 * reward depend on (seed, instance, S) only, not on the course of the search. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/sig.h"
#include "graph/explain/learned_internal.h"

enum { BATCH_ROWS = 2048, BATCH_GRAPHS = 64, RADIUS = 4 };

/* A state of the search; its set and reward are in the map at the same index. */
typedef struct state {
    int32_t size;
    bool expanded;
    int64_t visits;
    double total;
    int32_t n_child, *child;
} state;

typedef struct search {
    dk_explain_worker *w;
    const dk_instance *inst;
    const dk_explain_params *p;
    uint64_t seed;
    /* the model on copies of the graph */
    int32_t copies;
    dk_batch batch;
    dk_gnn_input in;
    dk_setmap prob;     /* present set -> probability of the target */
    int64_t pending;    /* sets from here on have no probability yet */
    /* states */
    dk_setmap set;      /* state -> reward */
    state *state;
    int64_t cap;
    int32_t *order, *work, *mark; /* scratch [n + 1] */
    uint64_t *bits[3];            /* scratch sets */
} search;

static const int32_t *undirected(const dk_graph *g, int32_t v, int side, int32_t *n)
{
    *n = side ? g->in_ptr[v + 1] - g->in_ptr[v] : g->out_ptr[v + 1] - g->out_ptr[v];
    return side ? g->in_edge + g->in_ptr[v] : g->out_edge + g->out_ptr[v];
}

/* ---- Probabilities of present sets. */

static int search_init(search *s, dk_explain_worker *w, const dk_instance *inst,
                       const dk_explain_params *p, dk_err *err)
{
    const dk_graph *g = inst->g;
    const dk_graph *same[BATCH_GRAPHS];
    size_t n = (size_t)g->n + 1, words = n / 64 + 1;

    *s = (search){.w = w, .inst = inst, .p = p};
    s->seed = dk_explain_seed(p, "subgraphx", inst->id);
    s->copies = BATCH_ROWS / (inst->in.n > 0 ? inst->in.n : 1);
    s->copies = s->copies < 1 ? 1 : s->copies > BATCH_GRAPHS ? BATCH_GRAPHS : s->copies;
    s->order = malloc(3 * n * sizeof *s->order);
    s->bits[0] = malloc(3 * words * sizeof *s->bits[0]);
    if (!s->order || !s->bits[0])
        return dk_fail(err, DK_ENOMEM, "no memory for a search over %d nodes", g->n);
    s->work = s->order + n;
    s->mark = s->work + n;
    s->bits[1] = s->bits[0] + words;
    s->bits[2] = s->bits[1] + words;
    for (int i = 0; i < s->copies; i++)
        same[i] = g;
    if (dk_setmap_init(&s->prob, g->n, err) || dk_setmap_init(&s->set, g->n, err) ||
        dk_batch_make(&s->batch, same, s->copies, err))
        return err->code;
    return dk_gnn_input_batch(&s->in, w->model, &s->batch, err);
}

static void search_free(search *s)
{
    for (int64_t i = 0; s->state && i < s->set.n; i++)
        free(s->state[i].child);
    free(s->state);
    dk_gnn_input_free(&s->in);
    dk_batch_free(&s->batch);
    dk_setmap_free(&s->prob);
    dk_setmap_free(&s->set);
    free(s->order);
    free(s->bits[0]);
}

/* Features of copy i: those of the nodes of the set, zero elsewhere. */
static void fill_features(search *s, int32_t i, const uint64_t *set)
{
    int64_t f = s->w->model->c.features, rows = s->inst->in.n;
    double *x = s->in.x + s->in.node_ptr[i] * f;

    for (int64_t v = 0; v < rows; v++) {
        bool present = v < s->inst->g->n && dk_bit_get(set, v);
        for (int64_t k = 0; k < f; k++)
            x[v * f + k] = present ? s->inst->in.x[v * f + k] : 0;
    }
}

/* Runs the model for every set that waits. */
static int run_pending(search *s, dk_err *err)
{
    dk_tape *t = s->w->tape;
    dk_gnn_options o = dk_instance_options(s->inst, s->p);
    int32_t classes = s->w->model->c.classes;

    o.node = -1; /* one row per copy is picked below */
    while (s->pending < s->prob.n && !dk_check_cancel(err)) {
        int32_t n = 0;
        dk_gnn_trace trace;
        for (; n < s->copies && s->pending + n < s->prob.n; n++)
            fill_features(s, n, dk_setmap_at(&s->prob, s->pending + n));
        dk_tape_restore(t, s->w->base);
        dk_tape_record(t, false);
        dk_gnn_run(s->w->model, t, &s->w->vars, &s->in, &o, &trace);
        dk_tape_record(t, true);
        if (dk_tape_take(t, err))
            break;
        for (int32_t i = 0; i < n; i++) {
            int64_t row = s->inst->node >= 0 ? s->in.node_ptr[i] + s->inst->node : i;
            const double *z = dk_value64(t, trace.logits) + row * classes;
            s->prob.value[s->pending + i] = dk_probability(z, classes, s->inst->target);
        }
        s->pending += n;
    }
    dk_tape_restore(t, s->w->base);
    return err->code;
}

/* ---- Rewards. */

/* The region of S: its nodes and those within `hops`; *order gets the ones outside S. Returns their
 * number. */
static int32_t local_region(search *s, const uint64_t *set, int hops, int32_t *outside)
{
    const dk_graph *g = s->inst->g;
    int32_t n = 0, head = 0, *queue = s->work, *dist = s->mark, n_out = 0;

    for (int32_t v = 0; v < g->n; v++) {
        dist[v] = dk_bit_get(set, v) ? 0 : -1;
        if (dist[v] == 0)
            queue[n++] = v;
    }
    while (head < n) {
        int32_t v = queue[head++];
        for (int side = 0; side < 2 && dist[v] < hops; side++) {
            int32_t count;
            const int32_t *edge = undirected(g, v, side, &count);
            for (int32_t i = 0; i < count; i++) {
                int32_t u = side ? g->src[edge[i]] : g->dst[edge[i]];
                if (dist[u] < 0) {
                    dist[u] = dist[v] + 1;
                    queue[n++] = u;
                    outside[n_out++] = u;
                }
            }
        }
    }
    return n_out;
}

/* Present sets of every sample: pair[2 i] without S, pair[2 i + 1] with it. */
static int draw_samples(search *s, const uint64_t *set, int32_t samples, int64_t *pair, dk_err *err)
{
    const dk_graph *g = s->inst->g;
    size_t bytes = (size_t)s->prob.words * sizeof *set;
    int radius = s->p->local_radius > 0 ? s->p->local_radius : RADIUS;
    int32_t n = local_region(s, set, radius - 1, s->order);
    uint64_t *far = s->bits[0], *without = s->bits[1], *with = s->bits[2];
    dk_draw draw = dk_draw_start(s->seed ^ dk_fnv1a64(set, bytes));

    memset(far, 0, bytes);
    for (int32_t v = 0; v < g->n; v++)
        if (s->mark[v] < 0)
            dk_bit_set(far, v);
    s->order[n] = -1; /* where S stands */
    for (int32_t i = 0; i < samples; i++) {
        dk_draw_shuffle(&draw, s->order, n + 1);
        memcpy(without, far, bytes);
        for (int32_t k = 0; s->order[k] >= 0; k++)
            dk_bit_set(without, s->order[k]);
        for (int k = 0; k < s->prob.words; k++)
            with[k] = without[k] | set[k];
        pair[2 * i] = dk_setmap_put(&s->prob, without, err);
        pair[2 * i + 1] = dk_setmap_put(&s->prob, with, err);
        if (err->code)
            return err->code;
    }
    return 0;
}

/* Rewards of the given states that have none, all in common batches. */
static int reward_states(search *s, const int32_t *id, int32_t n, dk_err *err)
{
    int32_t samples = s->p->samples > 0 ? s->p->samples : 100;
    size_t total;
    int64_t *pair = dk_mul((size_t)n * 2, (size_t)samples, &total)
                        ? calloc(total + 1, sizeof *pair) : NULL;

    if (!pair)
        return dk_fail(err, DK_ENOMEM, "no memory for %d samples of %d states", samples, n);
    for (int32_t i = 0; i < n && !err->code; i++)
        if (isnan(s->set.value[id[i]]))
            draw_samples(s, dk_setmap_at(&s->set, id[i]), samples, pair + (int64_t)i * 2 * samples,
                         err);
    if (!err->code && !run_pending(s, err))
        for (int32_t i = 0; i < n; i++) {
            const int64_t *k = pair + (int64_t)i * 2 * samples;
            double sum = 0;
            if (!isnan(s->set.value[id[i]]))
                continue;
            for (int32_t j = 0; j < samples; j++)
                sum += s->prob.value[k[2 * j + 1]] - s->prob.value[k[2 * j]];
            s->set.value[id[i]] = sum / samples;
        }
    free(pair);
    return err->code;
}

/* ---- States. */

/* The state of a set, new or known; -1 on exhausted memory. */
static int32_t state_of(search *s, const uint64_t *set, int32_t size, dk_err *err)
{
    int64_t known = s->set.n, at = dk_setmap_put(&s->set, set, err);

    if (at < known)
        return (int32_t)at;
    if (at >= s->cap) {
        int64_t cap = s->cap ? s->cap * 2 : 64;
        state *grown = realloc(s->state, (size_t)cap * sizeof *grown);
        if (!grown) {
            s->set.n--; /* no state behind it */
            dk_fail(err, DK_ENOMEM, "no memory for %lld states", (long long)cap);
            return -1;
        }
        s->state = grown;
        s->cap = cap;
    }
    s->state[at] = (state){.size = size};
    return (int32_t)at;
}

/* The largest component of the set without `removed` (the explained node's, in the node task) into
 * `out`; returns its size. Components are numbered by their smallest node. */
static int32_t component(search *s, const uint64_t *set, int32_t removed, uint64_t *out)
{
    const dk_graph *g = s->inst->g;
    int32_t *queue = s->work, *mark = s->mark, best = 0, best_start = -1;

    for (int32_t v = 0; v < g->n; v++)
        mark[v] = v != removed && dk_bit_get(set, v) ? 0 : -1;
    for (int32_t start = 0; start < g->n; start++) {
        int32_t n = 0, head = 0;
        bool wanted = false;
        if (mark[start] != 0)
            continue;
        mark[queue[n++] = start] = start + 1;
        while (head < n) {
            int32_t v = queue[head++];
            wanted = wanted || v == s->inst->node;
            for (int side = 0; side < 2; side++) {
                int32_t count;
                const int32_t *edge = undirected(g, v, side, &count);
                for (int32_t i = 0; i < count; i++) {
                    int32_t u = side ? g->src[edge[i]] : g->dst[edge[i]];
                    if (mark[u] == 0)
                        mark[queue[n++] = u] = start + 1;
                }
            }
        }
        if (s->inst->node >= 0 ? wanted : n > best) {
            best = n;
            best_start = start + 1;
        }
    }
    memset(out, 0, (size_t)s->set.words * sizeof *out);
    for (int32_t v = 0; v < g->n; v++)
        if (best_start > 0 && mark[v] == best_start)
            dk_bit_set(out, v);
    return best;
}

/* Distinct neighbours of v inside the set; an edge and its reverse count once. */
static int32_t degree_inside(const dk_graph *g, const uint64_t *set, int32_t v)
{
    int32_t degree = 0;

    for (int side = 0; side < 2; side++) {
        int32_t count;
        const int32_t *edge = undirected(g, v, side, &count);
        for (int32_t i = 0; i < count; i++) {
            int32_t u = side ? g->src[edge[i]] : g->dst[edge[i]];
            degree += u != v && dk_bit_get(set, u) && (side == 0 || g->rev[edge[i]] < 0);
        }
    }
    return degree;
}

/* Candidates for removal into s->order: nodes of the set by degree inside it, then by index. */
static int32_t removal_order(search *s, const uint64_t *set)
{
    const dk_graph *g = s->inst->g;
    int32_t n = 0, limit = s->p->expand_atoms > 0 ? s->p->expand_atoms : 14;
    int32_t *degree = s->mark;

    for (int32_t v = 0; v < g->n; v++) {
        if (v == s->inst->node || !dk_bit_get(set, v))
            continue;
        int32_t d = degree_inside(g, set, v), at = n < limit ? n++ : limit;
        /* insertion into the sorted first `limit`; equal degrees keep the order of nodes */
        for (; at > 0 && degree[at - 1] > d; at--)
            if (at < limit) {
                degree[at] = degree[at - 1];
                s->order[at] = s->order[at - 1];
            }
        if (at < limit) {
            degree[at] = d;
            s->order[at] = v;
        }
    }
    return n;
}

static int expand(search *s, int32_t id, dk_err *err)
{
    int32_t n = removal_order(s, dk_setmap_at(&s->set, id)), n_child = 0;
    int32_t *child = malloc((size_t)n * sizeof *child + 1);

    if (!child)
        return dk_fail(err, DK_ENOMEM, "no memory for %d children of a state", n);
    for (int32_t i = 0; i < n && !err->code; i++) {
        int32_t size = component(s, dk_setmap_at(&s->set, id), s->order[i], s->bits[0]), c, k = 0;
        if (size == 0 || (c = state_of(s, s->bits[0], size, err)) < 0)
            continue;
        while (k < n_child && child[k] != c)
            k++;
        if (k == n_child)
            child[n_child++] = c;
    }
    s->state[id].child = child;
    s->state[id].n_child = n_child;
    s->state[id].expanded = true;
    return err->code ? err->code : reward_states(s, child, n_child, err);
}

static int32_t choose(const search *s, const state *from)
{
    double c_puct = s->p->c_puct > 0 ? s->p->c_puct : 10, best = -INFINITY;
    int64_t visits = 0;
    int32_t chosen = from->child[0];

    for (int32_t i = 0; i < from->n_child; i++)
        visits += s->state[from->child[i]].visits;
    for (int32_t i = 0; i < from->n_child; i++) {
        const state *c = &s->state[from->child[i]];
        double q = c->visits ? c->total / (double)c->visits : 0;
        double u = c_puct * s->set.value[from->child[i]] * sqrt((double)visits) /
                   (1 + (double)c->visits);
        if (q + u > best) {
            best = q + u;
            chosen = from->child[i];
        }
    }
    return chosen;
}

/* One walk from the root to a leaf. Every step removes a node, so a path is shorter than n. */
static int rollout(search *s, int32_t *path, dk_err *err)
{
    int32_t at = 0, n = 0, min_atoms = s->p->min_atoms > 0 ? s->p->min_atoms : 5;

    while (s->state[at].size > min_atoms) {
        if (dk_check_cancel(err) || (!s->state[at].expanded && expand(s, at, err)))
            return err->code;
        if (!s->state[at].n_child)
            break;
        at = choose(s, &s->state[at]);
        path[n++] = at;
    }
    for (int32_t i = 0; i < n; i++) {
        s->state[path[i]].total += s->set.value[at];
        s->state[path[i]].visits++;
    }
    return 0;
}

static int32_t answer(const search *s)
{
    int32_t max_nodes = s->p->max_nodes > 0 ? s->p->max_nodes : 5, best = 0;

    for (int32_t i = 1; i < s->set.n; i++)
        if (s->state[i].size < s->state[best].size)
            best = i;
    for (int32_t i = 1; i < s->set.n; i++)
        if (s->state[i].size <= max_nodes && s->set.value[i] > s->set.value[best])
            best = i;
    return best;
}

static int search_all(search *s, dk_err *err)
{
    int32_t n = s->inst->g->n;
    int rollouts = s->p->rollouts > 0 ? s->p->rollouts : 20;
    int32_t *path = malloc((size_t)n * sizeof *path + 1);

    if (!path)
        return dk_fail(err, DK_ENOMEM, "no memory for a search over %d nodes", n);
    memset(s->bits[0], 0, (size_t)s->set.words * sizeof *s->bits[0]);
    for (int32_t v = 0; v < n; v++)
        dk_bit_set(s->bits[0], v);
    if (state_of(s, s->bits[0], n, err) == 0) {
        s->set.value[0] = 0; /* the whole graph is no explanation, however it is rewarded */
        for (int i = 0; i < rollouts && !err->code; i++)
            rollout(s, path, err);
    }
    free(path);
    return err->code;
}

int dk_subgraphx_reward(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                        const uint64_t *set, double *reward, dk_err *err)
{
    search s;
    int32_t id;

    if (!search_init(&s, w, inst, p, err) && (id = state_of(&s, set, 0, err)) == 0 &&
        !reward_states(&s, &id, 1, err))
        *reward = s.set.value[0];
    search_free(&s);
    return err->code;
}

static int explain(dk_explain_worker *w, const dk_explainer_state *none, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    const dk_graph *g = inst->g;
    search s;

    (void)none;
    if (g->n == 0)
        return 0;
    if (!search_init(&s, w, inst, p, err) && !search_all(&s, err)) {
        const uint64_t *set = dk_setmap_at(&s.set, answer(&s));
        for (int32_t i = 0; i < g->e; i++)
            out->score[i] = dk_bit_get(set, g->src[i]) && dk_bit_get(set, g->dst[i]);
        for (int32_t v = 0; out->node_score && v < g->n; v++)
            out->node_score[v] = dk_bit_get(set, v);
    }
    search_free(&s);
    return err->code;
}

const dk_explainer dk_explainer_subgraphx = {
    .name = "subgraphx",
    .title = "SubgraphX (tree search, Shapley rewards)",
    .node_scored = true,
    .random = true,
    .explain = explain,
};
