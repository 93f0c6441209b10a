/* Explainers that learn or sample: gnnexplainer and pgexplainer against recorded runs of PyTorch
 * Geometric, subgraphx's rewards against enumeration, all four for determinism, ground truth and
 * degenerate graphs. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/explain/learned_internal.h"
#include "unit/gnn_aid.h"

/* A model with its data and one worker. */
typedef struct bench {
    ts_case c;
    dk_explain_worker w;
    dk_err err;
} bench;

static void bench_open(bench *b, const char *model, const char *data)
{
    dk_err_init(&b->err);
    ts_case_open(&b->c, model, data, DK_F64);
    ts_ok(dk_explain_worker_init(&b->w, b->c.m, &b->err), &b->err);
}

static void bench_close(bench *b)
{
    dk_explain_worker_fini(&b->w);
    ts_case_close(&b->c);
}

static void instance(bench *b, int32_t graph, dk_instance *inst)
{
    ts_ok(dk_instance_init(inst, &b->w, &b->c.d.graphs[graph], -1, graph, -1, &b->err), &b->err);
}

static double *explain(bench *b, const dk_explainer *x, const dk_explainer_state *s,
                       const dk_instance *inst, const dk_explain_params *p)
{
    dk_explanation out = {.score = calloc((size_t)inst->g->e + 1, sizeof(double))};

    ts_ok(dk_explain(x, &b->w, s, inst, p, &out, &b->err), &b->err);
    for (int32_t e = 0; e < inst->g->e; e++)
        assert_true(isfinite(out.score[e]));
    return out.score;
}

static double *explain_graph(bench *b, const dk_explainer *x, const dk_explainer_state *s,
                             int32_t graph, const dk_explain_params *p)
{
    dk_instance inst;

    instance(b, graph, &inst);
    double *score = explain(b, x, s, &inst, p);
    dk_instance_free(&inst);
    return score;
}

/* Chance that a true edge ranks above a false one; ties count half. */
static double auc(const double *score, const uint8_t *gt, int32_t n)
{
    double wins = 0, pairs = 0;

    for (int32_t i = 0; i < n; i++)
        for (int32_t j = 0; j < n; j++)
            if (gt[i] && !gt[j]) {
                wins += score[i] > score[j] ? 1 : score[i] < score[j] ? 0 : .5;
                pairs++;
            }
    return wins / pairs;
}

/* Trains on graphs first, first + step, ... */
static dk_explainer_state *train(bench *b, const dk_explainer *x, const dk_explain_params *p,
                                 int32_t first, int32_t step, int32_t n)
{
    dk_instance *inst = calloc((size_t)n, sizeof *inst), **list = calloc((size_t)n, sizeof *list);

    for (int32_t i = 0; i < n; i++)
        instance(b, first + i * step, list[i] = &inst[i]);
    dk_explainer_state *s = x->train(&b->w, list, n, p, &b->err);
    ts_ok(b->err.code, &b->err);
    for (int32_t i = 0; i < n; i++)
        dk_instance_free(&inst[i]);
    free(inst);
    free(list);
    return s;
}

/* ---- Against PyTorch Geometric. */

static const double *recorded(const dk_st *st, const char *prefix, const char *name, int64_t count)
{
    char full[64];

    snprintf(full, sizeof full, "%s.%s", prefix, name);
    const dk_st_tensor *t = dk_st_find(st, full);
    assert_non_null(t);
    assert_int_equal(t->dtype, DK_F64);
    assert_int_equal(t->count, count);
    double *copy = malloc(t->bytes);
    memcpy(copy, t->data, t->bytes);
    return copy;
}

/* |x - record| within tol; forgets the record. */
static void same(const char *what, const double *x, const double *record, int64_t n, double tol)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(x[i] - record[i]) <= tol))
            fail_msg("%s[%lld]: %.12g, recorded %.12g", what, (long long)i, x[i], record[i]);
    free((void *)(uintptr_t)record);
}

static void run_gnnexplainer(bench *b, const dk_st *st, const char *name, bool features)
{
    dk_explain_params p = dk_explain_params_default();
    double loss[100], feature_mask[10];
    dk_gnnexplainer_probe probe = {.loss = loss, .feature_mask = feature_mask};
    dk_instance inst;

    p.feature_mask = features;
    instance(b, 600, &inst);
    int32_t e = inst.g->e;
    double *score = calloc((size_t)e, sizeof *score);
    probe.edge_init = recorded(st, name, "edge_init", e);
    if (features)
        probe.feature_init = recorded(st, name, "feature_init", 10);
    ts_ok(dk_gnnexplainer_run(&b->w, &inst, &p, &probe, score, &b->err), &b->err);
    same("loss", loss, recorded(st, name, "loss", 100), 100, 1e-6);
    same("edge mask", score, recorded(st, name, "edge_mask", e), e, 1e-6);
    if (features)
        same("feature mask", feature_mask, recorded(st, name, "feature_mask", 10), 10, 1e-6);
    assert_true(loss[99] < loss[1]); /* the first has no regularisers */
    free((void *)(uintptr_t)probe.edge_init);
    free((void *)(uintptr_t)probe.feature_init);
    free(score);
    dk_instance_free(&inst);
}

static void gnnexplainer_recorded(void **state)
{
    bench b;

    (void)state;
    bench_open(&b, "gin_ba_2motifs", "BA_2Motifs");
    dk_st *st = dk_st_open(TS_PYG "pyg_explainers.safetensors", &b.err);
    ts_ok(b.err.code, &b.err);
    run_gnnexplainer(&b, st, "edges", false);
    run_gnnexplainer(&b, st, "features", true);
    dk_st_close(st);
    bench_close(&b);
}

static void pgexplainer_recorded(void **state)
{
    static const char *const name[] = {"w1", "b1", "w2", "b2"};
    dk_explain_params p = dk_explain_params_default();
    dk_optim_config c = dk_optim_defaults(DK_OPTIM_ADAM);
    bench b;
    dk_instance inst;
    double loss = 0;

    (void)state;
    bench_open(&b, "gin_ba_2motifs", "BA_2Motifs");
    dk_st *st = dk_st_open(TS_PYG "pyg_explainers.safetensors", &b.err);
    ts_ok(b.err.code, &b.err);
    instance(&b, 600, &inst);
    dk_explainer_state *s = dk_pgexplainer_new(DK_TASK_GRAPH, 32, 1, &b.err);
    ts_ok(b.err.code, &b.err);
    for (int i = 0; i < 4; i++) {
        int64_t n = s->tensor[i].rows * s->tensor[i].cols;
        const double *value = recorded(st, "pg", name[i], n);
        memcpy(s->tensor[i].value, value, (size_t)n * sizeof *value);
        free((void *)(uintptr_t)value);
    }
    const double *u = recorded(st, "pg", "u", inst.g->e);
    c.lr = .003;
    dk_optim *optim = dk_optim_new(&c, DK_F64, s->tensor, s->n, &b.err);
    ts_ok(dk_pgexplainer_gradients(&b.w, s, &inst, &p, 5 * pow(.4, 3 / 30.0), u, &loss, &b.err),
          &b.err);
    same("loss", &loss, recorded(st, "pg", "loss", 1), 1, 1e-9);
    for (int i = 0; i < 4; i++) {
        char key[16];
        int64_t n = s->tensor[i].rows * s->tensor[i].cols;
        snprintf(key, sizeof key, "%s.grad", name[i]);
        same(key, s->tensor[i].grad, recorded(st, "pg", key, n), n, 1e-9);
    }
    dk_optim_step(optim);
    for (int i = 0; i < 4; i++) {
        char key[16];
        int64_t n = s->tensor[i].rows * s->tensor[i].cols;
        snprintf(key, sizeof key, "%s.after", name[i]);
        same(key, s->tensor[i].value, recorded(st, "pg", key, n), n, 1e-7);
    }
    dk_optim_free(optim);
    free((void *)(uintptr_t)u);
    dk_explainer_state_free(s);
    dk_instance_free(&inst);
    dk_st_close(st);
    bench_close(&b);
}

/* ---- Ground truth of BA-2Motifs: graphs 0 to 499 hold a cycle, the others a house. */

static double mean_auc(bench *b, const dk_explainer *x, const dk_explainer_state *s,
                       const dk_explain_params *p, int32_t first, int32_t step, int32_t n)
{
    double sum = 0;

    for (int32_t i = 0; i < n; i++) {
        const dk_graph *g = &b->c.d.graphs[first + step * i];
        double *score = explain_graph(b, x, s, first + step * i, p);
        sum += auc(score, g->gt, g->e) / n;
        free(score);
    }
    print_message("# %s: mean AUC %.3f over %d graphs\n", x->name, sum, n);
    return sum;
}

/* On the GIN's houses the usual settings rank hardly better than chance, here as in PyTorch
 * Geometric, whose masks ours equal; a longer run without the entropy term does on the GCN's. */
static void ground_truth_gnnexplainer(void **state)
{
    dk_explain_params p = dk_explain_params_default();
    bench gin, gcn;

    (void)state;
    bench_open(&gin, "gin_ba_2motifs", "BA_2Motifs");
    bench_open(&gcn, "gcn_ba_2motifs", "BA_2Motifs");
    assert_true(mean_auc(&gin, &dk_explainer_gnnexplainer, NULL, &p, 0, 24, 20) > .65);
    assert_true(mean_auc(&gin, &dk_explainer_gnnexplainer, NULL, &p, 500, 24, 20) > .4);
    p.lr = .05;
    p.entropy = 0;
    p.epochs = 300;
    assert_true(mean_auc(&gcn, &dk_explainer_gnnexplainer, NULL, &p, 500, 96, 5) > .8);
    bench_close(&gin);
    bench_close(&gcn);
}

/* Both classes in the training set: shown houses alone it collapses (AUC .03). */
static void ground_truth_trained(void **state)
{
    dk_explain_params p = dk_explain_params_default();
    bench b;

    (void)state;
    bench_open(&b, "gin_ba_2motifs", "BA_2Motifs");
    dk_explainer_state *s = train(&b, &dk_explainer_pgexplainer, &p, 0, 20, 50);
    assert_true(mean_auc(&b, &dk_explainer_pgexplainer, s, &p, 5, 50, 20) > .9);
    dk_explainer_state_free(s);
    p.epochs = 3;
    p.rg = (dk_rg_params){.locator_steps = 50, .demos = 32, .set_epochs = 10, .starts = 16,
                          .max_nodes = 8};
    s = train(&b, &dk_explainer_rgexplainer, &p, 500, 25, 20);
    assert_true(mean_auc(&b, &dk_explainer_rgexplainer, s, &p, 505, 25, 20) > .6);
    dk_explainer_state_free(s);
    bench_close(&b);
}

static void ground_truth_subgraphx(void **state)
{
    dk_explain_params p = dk_explain_params_default();
    bench b;

    (void)state;
    bench_open(&b, "gcn_ba_2motifs", "BA_2Motifs");
    p.samples = 15;
    p.rollouts = 3;
    p.expand_atoms = 8;
    assert_true(mean_auc(&b, &dk_explainer_subgraphx, NULL, &p, 500, 60, 4) > .6);
    bench_close(&b);
}

/* ---- Determinism: the bytes depend on seed and instance, not on what ran before. */

static void seeds_of(const dk_explainer *x, const dk_explain_params *base, bool differ)
{
    dk_explain_params p = *base;
    bench b;
    double *score[3];
    double learned[3] = {0, 1, 2};

    bench_open(&b, "gin_ba_2motifs", "BA_2Motifs");
    int32_t e = b.c.d.graphs[3].e;
    for (int i = 0; i < 3; i++) {
        p.seed = i == 2 ? 99 : 5;
        dk_explainer_state *s = x->train ? train(&b, x, &p, 0, 170, 6) : NULL;
        if (i == 1)
            free(explain_graph(&b, x, s, 8, &p));
        score[i] = explain_graph(&b, x, s, 3, &p);
        if (s)
            learned[i] = *(double *)s->tensor[0].value;
        dk_explainer_state_free(s);
    }
    assert_memory_equal(score[0], score[1], (size_t)e * sizeof(double));
    if (x->train)
        assert_true(learned[0] == learned[1] && learned[0] != learned[2]);
    if (differ)
        assert_memory_not_equal(score[0], score[2], (size_t)e * sizeof(double));
    for (int i = 0; i < 3; i++)
        free(score[i]);
    bench_close(&b);
}

static dk_explain_params small_rg(void)
{
    dk_explain_params p = dk_explain_params_default();

    p.rg = (dk_rg_params){.locator_steps = 20, .demos = 16, .tries = 3, .list_epochs = 3,
                          .set_epochs = 3, .starts = 6, .rollouts = 2, .relocate_every = 2,
                          .relocate_steps = 2, .max_nodes = 8};
    return p;
}

static void determinism(void **state)
{
    dk_explain_params p = dk_explain_params_default();

    (void)state;
    p.epochs = 3;
    seeds_of(&dk_explainer_gnnexplainer, &p, true);
    seeds_of(&dk_explainer_pgexplainer, &p, true);
    p.rollouts = 2;
    p.samples = 5;
    p.expand_atoms = 3;
    seeds_of(&dk_explainer_subgraphx, &p, false);
    p = small_rg();
    p.epochs = 3;
    seeds_of(&dk_explainer_rgexplainer, &p, false);
}

/* ---- subgraphx's reward: with all of the outside enumerated by size, every set of k of m nodes
 * standing in front has probability 1 / ((m + 1) choose(m, k)). */

static double probability_of(bench *b, const dk_instance *inst, uint64_t present)
{
    dk_graph g = *inst->g; /* borrows all but the features */
    int f = g.num_features;
    dk_instance part;

    g.x = calloc((size_t)(g.n * f), sizeof *g.x);
    for (int32_t v = 0; v < g.n; v++)
        if (present >> v & 1)
            memcpy(g.x + v * f, inst->g->x + v * f, (size_t)f * sizeof *g.x);
    ts_ok(dk_instance_init(&part, &b->w, &g, -1, 0, inst->target, &b->err), &b->err);
    double p = dk_probability(part.logits, b->c.m->c.classes, inst->target);
    dk_instance_free(&part);
    free(g.x);
    return p;
}

/* n choose k */
static double choose(int n, int k)
{
    double c = 1;

    for (int i = 0; i < k; i++)
        c = c * (n - i) / (i + 1);
    return c;
}

static void reward_enumerated(void **state)
{
    /* a path of 7 with a branch: node 6 is 4 hops from node 2 and so always present */
    static const int32_t edge[][2] = {{0, 1}, {1, 0}, {1, 2}, {2, 1}, {2, 3}, {3, 2}, {3, 4},
                                      {4, 3}, {4, 5}, {5, 4}, {5, 6}, {6, 5}, {1, 7}, {7, 1}};
    dk_explain_params p = dk_explain_params_default();
    double x[8 * 7] = {0}, exact = 0, sampled = 0, other = 0;
    uint64_t set = 1u << 1 | 1u << 2, far = 1u << 6;
    int outside[] = {0, 3, 4, 5, 7};
    dk_instance inst;
    dk_graph g;
    bench b;

    (void)state;
    bench_open(&b, "gcn_MUTAG", NULL);
    for (int v = 0; v < 8; v++)
        x[v * 7 + (v % 3 == 1)] = 1;
    ts_graph(&g, 8, 14, edge, 7, x);
    ts_ok(dk_instance_init(&inst, &b.w, &g, -1, 0, -1, &b.err), &b.err);
    for (unsigned subset = 0; subset < 32; subset++) {
        uint64_t present = far;
        int k = 0;
        for (int i = 0; i < 5; i++)
            if (subset >> i & 1) {
                present |= (uint64_t)1 << outside[i];
                k++;
            }
        exact += (probability_of(&b, &inst, present | set) - probability_of(&b, &inst, present)) /
                 (6 * choose(5, k));
    }
    p.samples = 20000;
    ts_ok(dk_subgraphx_reward(&b.w, &inst, &p, &set, &sampled, &b.err), &b.err);
    print_message("# reward: exact %.5f, sampled %.5f\n", exact, sampled);
    assert_true(fabs(exact) > .05 && fabs(exact - sampled) < .01);
    p.seed = 1;
    ts_ok(dk_subgraphx_reward(&b.w, &inst, &p, &set, &other, &b.err), &b.err);
    assert_true(other != sampled && fabs(exact - other) < .01);
    dk_instance_free(&inst);
    dk_graph_free(&g);
    bench_close(&b);
}

static void subgraphx_answer(void **state)
{
    dk_explain_params p = dk_explain_params_default();
    bench b;
    dk_instance inst;

    (void)state;
    bench_open(&b, "gin_MUTAG", "MUTAG");
    instance(&b, 0, &inst);
    dk_explanation out = {.score = calloc((size_t)inst.g->e, sizeof(double)),
                          .node_score = calloc((size_t)inst.g->n, sizeof(double))};
    p.samples = 10;
    p.rollouts = 2;
    p.expand_atoms = 4;
    p.max_nodes = 6;
    ts_ok(dk_explain(&dk_explainer_subgraphx, &b.w, NULL, &inst, &p, &out, &b.err), &b.err);
    int nodes = 0;
    for (int32_t v = 0; v < inst.g->n; v++)
        nodes += out.node_score[v] == 1;
    assert_in_range(nodes, 2, 6);
    for (int32_t e = 0; e < inst.g->e; e++)
        assert_true(out.score[e] ==
                    out.node_score[inst.g->src[e]] * out.node_score[inst.g->dst[e]]);
    free(out.score);
    free(out.node_score);
    dk_instance_free(&inst);
    bench_close(&b);
}

/* ---- What is learned survives a file, and only fits its model. */

static void save_and_load(const dk_explainer *x, const dk_explain_params *p)
{
    bench b, other;
    dk_st_writer *w = dk_st_writer_new();
    char *dir = ts_dir("learned"), path[512];

    snprintf(path, sizeof path, "%s/state.safetensors", dir);
    free(dir);
    bench_open(&b, "gin_MUTAG", "MUTAG");
    dk_explainer_state *s = train(&b, x, p, 0, 5, 4), *loaded;
    ts_ok(dk_explainer_state_save(s, w, &b.err), &b.err);
    ts_ok(dk_st_writer_save(w, path, true, &b.err), &b.err);
    dk_st *st = dk_st_open(path, &b.err);
    ts_ok(b.err.code, &b.err);
    loaded = dk_explainer_state_load(st, x, b.c.m, &b.err);
    ts_ok(b.err.code, &b.err);
    double *one = explain_graph(&b, x, s, 3, p), *two = explain_graph(&b, x, loaded, 3, p);
    assert_memory_equal(one, two, (size_t)b.c.d.graphs[3].e * sizeof(double));
    free(one);
    free(two);
    bench_open(&other, "gin_ba_2motifs", "BA_2Motifs");
    assert_null(dk_explainer_state_load(st, x, other.c.m, &other.err));
    ts_failed(&other.err, DK_EFORMAT, "for this model");
    dk_instance inst;
    instance(&other, 0, &inst);
    dk_explanation out = {.score = calloc((size_t)inst.g->e, sizeof(double))};
    assert_int_not_equal(dk_explain(x, &other.w, loaded, &inst, p, &out, &other.err), 0);
    ts_failed(&other.err, DK_EFORMAT, "for this model");
    assert_int_not_equal(dk_explain(x, &other.w, NULL, &inst, p, &out, &other.err), 0);
    ts_failed(&other.err, DK_EUSAGE, "must be trained");
    free(out.score);
    dk_instance_free(&inst);
    dk_explainer_state_free(loaded);
    dk_explainer_state_free(s);
    dk_st_close(st);
    dk_st_writer_free(w);
    bench_close(&other);
    bench_close(&b);
}

static void states_survive_files(void **state)
{
    dk_explain_params p = small_rg();

    (void)state;
    p.epochs = 2;
    save_and_load(&dk_explainer_pgexplainer, &p);
    save_and_load(&dk_explainer_rgexplainer, &p);
}

/* ---- rgexplainer: a connected, graded subgraph; the node task starts at its node. */

static void check_graded(const dk_graph *g, const double *node, const double *edge, int max_nodes)
{
    int selected = 0;

    for (int32_t v = 0; v < g->n; v++) {
        int earlier = node[v] == 1;
        selected += node[v] > 0;
        for (int32_t e = g->out_ptr[v]; e < g->out_ptr[v + 1]; e++)
            earlier += node[g->dst[e]] > node[v];
        assert_true(node[v] == 0 || earlier > 0);
    }
    assert_in_range(selected, 2, max_nodes);
    for (int32_t e = 0; e < g->e; e++)
        assert_true(edge[e] == fmin(node[g->src[e]], node[g->dst[e]]));
}

static void rgexplainer_grows(void **state)
{
    dk_explain_params p = small_rg();
    bench b;

    (void)state;
    p.epochs = 3;
    p.symmetric = false;
    bench_open(&b, "gin_ba_2motifs", "BA_2Motifs");
    dk_explainer_state *s = train(&b, &dk_explainer_rgexplainer, &p, 0, 90, 10);
    for (int32_t i = 7; i < 1000; i += 200) {
        dk_instance inst;
        instance(&b, i, &inst);
        dk_explanation out = {.score = calloc((size_t)inst.g->e, sizeof(double)),
                              .node_score = calloc((size_t)inst.g->n, sizeof(double))};
        ts_ok(dk_explain(&dk_explainer_rgexplainer, &b.w, s, &inst, &p, &out, &b.err), &b.err);
        check_graded(inst.g, out.node_score, out.score, p.rg.max_nodes);
        free(out.score);
        free(out.node_score);
        dk_instance_free(&inst);
    }
    dk_explainer_state_free(s);
    bench_close(&b);
}

static void node_task(void **state)
{
    static const dk_explainer *const all[] = {
        &dk_explainer_gnnexplainer, &dk_explainer_pgexplainer, &dk_explainer_subgraphx,
        &dk_explainer_rgexplainer};
    dk_explain_params p = small_rg();
    dk_instance inst[3], *list[3];
    dk_graph sub[3];
    bench b;

    (void)state;
    p.epochs = 2;
    p.rollouts = 1;
    p.samples = 2;
    p.expand_atoms = 2;
    bench_open(&b, "gin_tree_grid", "tree_grid");
    int32_t *seen = dk_graph_scratch(&b.c.d.graphs[0], &b.err);
    for (int i = 0; i < 3; i++) {
        int32_t center, node = 600 + 7 * i;
        ts_ok(dk_graph_khop(&b.c.d.graphs[0], node, 3, seen, &sub[i], &center, NULL, NULL, &b.err),
              &b.err);
        list[i] = &inst[i];
        ts_ok(dk_instance_init(&inst[i], &b.w, &sub[i], center, node, -1, &b.err), &b.err);
    }
    for (int k = 0; k < 4; k++) {
        dk_explainer_state *s = all[k]->train ? all[k]->train(&b.w, list, 3, &p, &b.err) : NULL;
        ts_ok(b.err.code, &b.err);
        dk_explanation out = {.score = calloc((size_t)sub[0].e, sizeof(double)),
                              .node_score = calloc((size_t)sub[0].n, sizeof(double))};
        ts_ok(dk_explain(all[k], &b.w, s, &inst[0], &p, &out, &b.err), &b.err);
        if (all[k]->node_scored)
            assert_true(out.node_score[inst[0].node] == 1);
        free(out.score);
        free(out.node_score);
        dk_explainer_state_free(s);
    }
    for (int i = 0; i < 3; i++) {
        dk_instance_free(&inst[i]);
        dk_graph_free(&sub[i]);
    }
    free(seen);
    bench_close(&b);
}

/* ---- No edges, one node, a self loop only: results or nothing, but no failure. */

static void degenerate(void **state)
{
    static const dk_explainer *const all[] = {
        &dk_explainer_gnnexplainer, &dk_explainer_pgexplainer, &dk_explainer_subgraphx,
        &dk_explainer_rgexplainer};
    static const int32_t none[][2] = {{0, 0}}, pair[][2] = {{0, 1}, {1, 0}};
    static const double x[4 * 7] = {1, 0, 0, 0, 0, 0, 0, 0, 1};
    dk_explain_params p = small_rg();
    dk_graph g[5];
    dk_instance inst[5], *list[5];
    bench b;

    (void)state;
    p.epochs = 2;
    p.rollouts = 2;
    p.samples = 3;
    p.min_atoms = 1;
    bench_open(&b, "gin_MUTAG", NULL);
    ts_graph(&g[0], 1, 0, none, 7, x); /* one node */
    ts_graph(&g[1], 4, 0, none, 7, x); /* no edges */
    ts_graph(&g[2], 1, 1, none, 7, x); /* one self loop */
    ts_graph(&g[3], 2, 2, pair, 7, x);
    ts_graph(&g[4], 3, 1, pair, 7, x); /* one way, and an isolated node */
    for (int i = 0; i < 5; i++) {
        list[i] = &inst[i];
        ts_ok(dk_instance_init(&inst[i], &b.w, &g[i], -1, i, -1, &b.err), &b.err);
    }
    for (int k = 0; k < 4; k++) {
        dk_explainer_state *s = all[k]->train ? all[k]->train(&b.w, list, 5, &p, &b.err) : NULL;
        ts_ok(b.err.code, &b.err);
        for (int i = 0; i < 5; i++) {
            double score[2] = {0};
            dk_explanation out = {.score = score};
            free(explain(&b, all[k], s, &inst[i], &p));
            ts_ok(all[k]->explain(&b.w, s, &inst[i], &p, &out, &b.err), &b.err);
        }
        dk_explainer_state_free(s);
    }
    assert_null(dk_explainer_rgexplainer.train(&b.w, list, 2, &p, &b.err));
    ts_failed(&b.err, DK_EUSAGE, "none of the 2 instances");
    assert_null(dk_explainer_pgexplainer.train(&b.w, list, 0, &p, &b.err));
    ts_failed(&b.err, DK_EUSAGE, "instances to train on");
    for (int i = 0; i < 5; i++) {
        dk_instance_free(&inst[i]);
        dk_graph_free(&g[i]);
    }
    bench_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gnnexplainer_recorded), cmocka_unit_test(pgexplainer_recorded),
        cmocka_unit_test(ground_truth_gnnexplainer),
        cmocka_unit_test(ground_truth_trained),  cmocka_unit_test(ground_truth_subgraphx),
        cmocka_unit_test(determinism),
        cmocka_unit_test(reward_enumerated),     cmocka_unit_test(subgraphx_answer),
        cmocka_unit_test(states_survive_files),  cmocka_unit_test(rgexplainer_grows),
        cmocka_unit_test(node_task),             cmocka_unit_test(degenerate),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
