/* What explainers have in common, and the methods built on gradients: the fixture's numbers,
 * central differences, sums that must come out, relabelled nodes, graphs with nothing to explain,
 * learned state on disk. */
#include "explain_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "graph/explain/explain_internal.h"

/* Methods that need no training and no draws. */
static const char *const plain_methods[] = {
    "eig", "goat", "grad", "gradxinput", "ig", "gradcam", "sa", "occlusion", "deeplift", "gnn-lrp"};
enum { PLAIN = sizeof plain_methods / sizeof *plain_methods };

static void registry(void **state)
{
    static const char *const names[] = {"eig",       "goat",        "grad",         "gradxinput",
                                        "ig",        "gradcam",     "sa",           "occlusion",
                                        "deeplift",  "gnn-lrp",     "gnnexplainer", "pgexplainer",
                                        "subgraphx", "rgexplainer", "random"};
    int n = sizeof names / sizeof *names;
    dk_explain_params p = dk_explain_params_default();

    (void)state;
    for (int i = 0; i < n; i++) {
        const dk_explainer *x = dk_explainer_at(i);
        assert_non_null(x);
        assert_string_equal(x->name, names[i]);
        assert_ptr_equal(dk_explainer_find(names[i]), x);
        assert_non_null(x->title);
        assert_non_null(x->explain);
    }
    assert_null(dk_explainer_at(n));
    assert_null(dk_explainer_at(-1));
    assert_null(dk_explainer_find("eIg"));
    assert_int_equal(p.ig_steps, 50);
    assert_true(p.calibrate && p.symmetric && !p.compat && p.epsilon == 0);
    assert_true(dk_explain_seed(&p, "a", 1) != dk_explain_seed(&p, "a", 2));
    assert_true(dk_explain_seed(&p, "a", 1) != dk_explain_seed(&p, "b", 1));
    p.seed = 1;
    assert_true(dk_explain_seed(&p, "a", 1) == dk_explain_seed(&p, "a", 1));
}

static void fixture(void **state)
{
    static const char *const arch[] = {"gcn", "gin"};
    static const char *const method[] = {"grad", "ig", "gradcam", "sa"};
    static const char *const key[] = {"saliency_edge", "ig50_edge", "gradcam_edge", "sa_edge"};
    dk_json j;

    (void)state;
    ex_expected(&j);
    for (int k = 0; k < 2; k++) {
        char name[32], path[64];
        double *x = ex_numbers(ex_at(&j, "graph/x"), NULL);
        dk_graph g;
        ex_case c;
        snprintf(name, sizeof name, "tiny/tiny_%s", arch[k]);
        dk_gnn *m = ex_model(name);
        ex_graph(&g, "tiny", 2, 0);
        memcpy(g.x, x, 8 * sizeof *x);
        ex_open(&c, m, &g, -1, 1);
        for (int i = 0; i < 4; i++) {
            snprintf(path, sizeof path, "%s/%s", arch[k], key[i]);
            double *expect = ex_numbers(ex_at(&j, path), NULL);
            double *score = ex_scores(&c, method[i], NULL);
            ex_close_to(path, score, expect, 8, 1e-9);
            free(expect);
            free(score);
        }
        free(x);
        ex_close(&c);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
    dk_json_free(&j);
}

/* ---- Gradients against differences of whole forward passes. */
static double logit_with(ex_case *c, const double *x, const double *mask)
{
    dk_tape *t = c->w.tape;
    dk_gnn_options o = dk_instance_options(&c->i, NULL);
    dk_gnn_trace trace;
    dk_err err;

    dk_err_init(&err);
    dk_tape_restore(t, c->w.base);
    o.x = dk_leaf(t, c->i.in.n, c->w.model->c.features, x, false);
    o.edge_mask = dk_leaf(t, c->i.in.e, 1, mask, false);
    dk_gnn_run(c->w.model, t, &c->w.vars, &c->i.in, &o, &trace);
    ts_ok(dk_tape_take(t, &err), &err);
    return dk_value64(t, trace.logits)[c->i.target];
}

/* d z / d v[i], v being x or mask. */
static double slope(ex_case *c, double *x, double *mask, double *v)
{
    const double h = 1e-5, old = *v;
    double up, down;

    *v = old + h;
    up = logit_with(c, x, mask);
    *v = old - h;
    down = logit_with(c, x, mask);
    *v = old;
    return (up - down) / (2 * h);
}

/* Smooth activations, so that differences mean something everywhere. */
static dk_gnn *smooth_model(dk_gnn_arch arch, dk_task task, uint64_t seed)
{
    dk_gnn *m = ex_random_model(arch, task, DK_READ_MEAN, 2, 4, 3, 2, seed);

    m->c.activation = DK_FN_TANH;
    return m;
}

static void differences(const dk_gnn *m, const char *graph)
{
    dk_explain_params p = dk_explain_params_default();
    int f = m->c.features;
    dk_graph g;
    ex_case c;

    p.symmetric = false;
    ex_graph(&g, graph, f, 3);
    for (int32_t e = 0; g.weight && e < g.e; e++)
        g.weight[e] = fabs(g.weight[e]);
    ex_open(&c, m, &g, m->c.task == DK_TASK_NODE ? 2 : -1, 1);
    double *mask = ex_zeros(g.e), *x = ex_zeros(g.n * f), *node = ex_zeros(g.n),
           *edge = ex_zeros(g.e);
    double *sa = ex_zeros(g.n), *got;
    for (int32_t e = 0; e < g.e; e++)
        mask[e] = 1;
    memcpy(x, g.x, sizeof *x * (size_t)(g.n * f));
    got = ex_scores(&c, "grad", &p);
    for (int32_t e = 0; e < g.e; e++)
        ex_near(got[e], slope(&c, x, mask, &mask[e]), 1e-7);
    free(got);
    p.absolute = true;
    got = ex_scores(&c, "grad", &p);
    for (int32_t e = 0; e < g.e; e++)
        ex_near(got[e], fabs(slope(&c, x, mask, &mask[e])), 1e-7);
    free(got);
    p.absolute = false;
    for (int32_t v = 0; v < g.n; v++)
        for (int k = v * f; k < (v + 1) * f; k++) {
            double d = slope(&c, x, mask, &x[k]);
            node[v] += x[k] * d;
            sa[v] += d * d;
        }
    got = ex_scores(&c, "gradxinput", &p);
    dk_edges_from_nodes(&g, node, edge);
    ex_close_to("gradient x input", got, edge, g.e, 1e-7);
    free(got);
    got = ex_scores(&c, "sa", &p);
    dk_edges_from_nodes(&g, sa, edge);
    ex_close_to("sa", got, edge, g.e, 1e-7);
    free(got);
    free(mask);
    free(x);
    free(node);
    free(sa);
    free(edge);
    ex_close(&c);
    dk_graph_free(&g);
}

static void central_differences(void **state)
{
    static const dk_gnn_arch arch[] = {DK_GNN_GCN,      DK_GNN_GIN, DK_GNN_SAGE, DK_GNN_GRAPHCONV,
                                       DK_GNN_GCN_NORM, DK_GNN_GAT, DK_GNN_GATV2};

    (void)state;
    for (int k = 0; k < 14; k++) {
        dk_gnn *m =
            smooth_model(arch[k % 7], k < 7 ? DK_TASK_GRAPH : DK_TASK_NODE, (uint64_t)k + 1);
        differences(m, "odd");
        differences(m, "weighted");
        dk_gnn_free(m);
    }
}

/* Integrated gradients of all edges add up to z(all edges) - z(no edges), the better the more steps
 * (the classifier's relu has a kink on the way), also where they need several batches. */
static void integrated_gradients_add_up(void **state)
{
    static const dk_gnn_arch arch[] = {DK_GNN_GIN, DK_GNN_SAGE, DK_GNN_GCN_NORM, DK_GNN_GAT};
    dk_explain_params p = dk_explain_params_default();

    (void)state;
    for (int k = 0; k < 8; k++) {
        dk_gnn *m =
            smooth_model(arch[k % 4], k < 4 ? DK_TASK_GRAPH : DK_TASK_NODE, (uint64_t)k + 21);
        dk_graph g;
        ex_case c;
        ex_graph(&g, "odd", 3, 6);
        ex_open(&c, m, &g, k < 4 ? -1 : 0, 0);
        double *one = ex_zeros(g.e), *zero = ex_zeros(g.e);
        for (int32_t e = 0; e < g.e; e++)
            one[e] = 1;
        double rise = logit_with(&c, g.x, one) - logit_with(&c, g.x, zero);
        for (int steps = 50; steps < 3000; steps *= 50) {
            p.ig_steps = steps;
            double *score = ex_scores(&c, "ig", &p), sum = 0;
            for (int32_t e = 0; e < g.e; e++)
                sum += score[e];
            ex_near(sum, rise, steps == 50 ? 5e-3 : 1e-4);
            free(score);
        }
        free(one);
        free(zero);
        ex_close(&c);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

/* ---- DeepLIFT: node scores add up to z - z(zero features). */
static void deeplift_adds_up(void **state)
{
    static const dk_gnn_arch arch[] = {DK_GNN_GCN,       DK_GNN_GIN,      DK_GNN_SAGE,
                                       DK_GNN_GRAPHCONV, DK_GNN_GCN_NORM, DK_GNN_GCN_NORM_CAT};
    dk_explain_params p = dk_explain_params_default();

    (void)state;
    for (int k = 0; k < 6; k++) {
        bool node = arch[k] == DK_GNN_GCN_NORM_CAT;
        dk_gnn *m = ex_random_model(arch[k], node ? DK_TASK_NODE : DK_TASK_GRAPH, DK_READ_SUM, 3, 5,
                                    3, 2, (uint64_t)k + 3);
        dk_graph g;
        ex_case c;
        dk_err err;
        dk_err_init(&err);
        ex_graph(&g, "odd", 3, 2);
        ex_open(&c, m, &g, node ? 2 : -1, 0);
        dk_explanation out = {.score = ex_zeros(g.e), .node_score = ex_zeros(g.n)};
        double *zero = ex_zeros(3 * g.n), *one = ex_zeros(g.e), sum = 0;
        for (int32_t e = 0; e < g.e; e++)
            one[e] = 1;
        ts_ok(dk_explain(dk_explainer_find("deeplift"), &c.w, NULL, &c.i, &p, &out, &err), &err);
        for (int32_t v = 0; v < g.n; v++)
            sum += out.node_score[v];
        ex_near(sum, logit_with(&c, g.x, one) - logit_with(&c, zero, one), 1e-9);
        ex_near(out.score[0], (out.node_score[0] + out.node_score[1]) / 2, 1e-15);
        free(out.score);
        free(out.node_score);
        free(zero);
        free(one);
        ex_close(&c);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

/* ---- GNN-LRP. Without biases all relevance comes through walks of L edges, so the scores, which
 * count every edge of a walk, add up to L z, whatever gamma is. */
static void relevance_is_kept(void **state)
{
    dk_explain_params p = dk_explain_params_default();
    dk_graph g;
    ex_case c;

    (void)state;
    for (int k = 0; k < 3; k++) {
        dk_gnn *m = ex_random_model(DK_GNN_GCN, DK_TASK_GRAPH, DK_READ_MEAN, 3, 5, 3, 2, 31);
        for (int i = 0; i < m->params; i++)
            if (strstr(m->param[i].name, "bias"))
                memset(m->param[i].value, 0, sizeof(double) * (size_t)m->param[i].cols);
        ex_graph(&g, k ? "star" : "odd", 3, 7);
        ex_open(&c, m, &g, -1, 1);
        p.gamma[1] = k;
        double *score = ex_scores(&c, "gnn-lrp", &p), sum = 0;
        for (int32_t e = 0; e < g.e; e++)
            sum += score[e];
        ex_near(sum, 3 * c.i.logits[1], 1e-10);
        free(score);
        ex_close(&c);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

static void set_param(const dk_gnn *m, const char *name, int n, double a, double b)
{
    double *v = (double *)(uintptr_t)ex_param(m, "%s", name);

    v[0] = a;
    if (n > 1)
        v[1] = b;
}

/* One layer, two messages: the rule shares what the layer adds by x (W + gamma W+). */
static void gamma_by_hand(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_SAGE, DK_TASK_NODE, DK_READ_NONE, 1, 1, 2, 2, 1);
    dk_explain_params p = dk_explain_params_default();
    int32_t src[] = {0, 1}, dst[] = {2, 2};
    dk_graph g = {0};
    ex_case c;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    set_param(m, "conv1.lin_l.weight", 2, 2, -1);
    set_param(m, "conv1.lin_l.bias", 1, .5, 0);
    set_param(m, "conv1.lin_r.weight", 2, 1, 1);
    set_param(m, "lin1.weight", 1, 3, 0);
    set_param(m, "lin1.bias", 1, 0, 0);
    set_param(m, "lin2.weight", 2, -2, 1);
    set_param(m, "lin2.bias", 2, 1, 0);
    ts_ok(dk_graph_build(&g, 3, 2, src, dst, NULL, NULL, NULL, NULL, &err), &err);
    g.num_features = 2;
    g.x = malloc(6 * sizeof(double));
    memcpy(g.x, (double[]){1, 2, 3, 1, 1, 0}, 6 * sizeof(double));
    ex_open(&c, m, &g, 2, 0);
    p.gamma[0] = 2; /* 2, -1 become 6, -1 */
    double *score = ex_scores(&c, "gnn-lrp", &p);
    /* neighbours' part 2 * 4 - 3 + .5 = 5.5, root 1, h = 6.5, lin1 19.5, z0 = -39 + 1: what reaches
     * h is -38, of which -38 / 6.5 per unit; shares 6 - 2 = 4 and 18 - 1 = 17 of 21. */
    ex_near(c.i.logits[0], -38, 1e-14);
    ex_near(score[0], 5.5 * 4 / 21 * -38 / 6.5, 1e-13);
    ex_near(score[1], 5.5 * 17 / 21 * -38 / 6.5, 1e-13);
    free(score);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* Two layers on a path of three nodes, one channel, all weights positive and no bias: nothing is
 * cut, the rule changes no gradient, and an edge scores the value that flows through it, once per
 * layer. */
static void walks_by_hand(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_GRAPHCONV, DK_TASK_NODE, DK_READ_NONE, 2, 1, 1, 2, 1);
    dk_explain_params p = dk_explain_params_default();
    int32_t src[] = {0, 1}, dst[] = {1, 2};
    dk_graph g = {0};
    ex_case c;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    for (int i = 0; i < m->params; i++) {
        double *v = m->param[i].value;
        bool bias = strstr(m->param[i].name, "bias");
        for (int64_t k = 0; k < m->param[i].rows * m->param[i].cols; k++)
            v[k] = bias ? 0 : 1 + .5 * i + .25 * (double)k;
    }
    ts_ok(dk_graph_build(&g, 3, 2, src, dst, NULL, NULL, NULL, NULL, &err), &err);
    g.num_features = 1;
    g.x = malloc(3 * sizeof(double));
    g.x[0] = 1;
    g.x[1] = 2;
    g.x[2] = 3;
    ex_open(&c, m, &g, 2, 0);
    double one[] = {1, 1}, first[] = {0, 1}, second[] = {1, 0};
    double *score = ex_scores(&c, "gnn-lrp", &p);
    /* 0 -> 1 is used by the walk 0 1 2 alone; 1 -> 2 by everything but the root terms of 2. */
    double z = logit_with(&c, g.x, one), z0 = logit_with(&c, g.x, first);
    ex_near(score[0], z - z0, 1e-12);
    double z1 = logit_with(&c, g.x, second);
    ex_near(score[1], z - z1, 1e-12);
    free(score);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* ---- Occlusion: every directed edge by itself. */
static void occlusion_by_hand(void **state)
{
    dk_explain_params p = dk_explain_params_default();

    (void)state;
    p.symmetric = false;
    for (int k = 0; k < 2; k++) {
        dk_gnn *m = ex_random_model(DK_GNN_GIN, k ? DK_TASK_NODE : DK_TASK_GRAPH, DK_READ_MEAN, 3,
                                    5, 3, 3, 17);
        dk_graph g, less;
        ex_case c, without;
        uint8_t keep[64];
        dk_err err;
        dk_err_init(&err);
        ex_graph(&g, "odd", 3, 8);
        ex_open(&c, m, &g, k ? 4 : -1, 2);
        double *score = ex_scores(&c, "occlusion", &p);
        for (int32_t e = 0; e < g.e; e++) {
            memset(keep, 1, sizeof keep);
            keep[e] = 0;
            ts_ok(dk_graph_drop_edges(&g, keep, &less, &err), &err);
            ex_open(&without, m, &less, k ? 4 : -1, 2);
            ex_near(score[e],
                    dk_probability(c.i.logits, 3, 2) - dk_probability(without.i.logits, 3, 2),
                    1e-12);
            ex_close(&without);
            dk_graph_free(&less);
        }
        free(score);
        ex_close(&c);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

/* ---- Random. */
static void random_order(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_GIN, DK_TASK_GRAPH, DK_READ_MEAN, 2, 3, 3, 2, 1);
    dk_explain_params p = dk_explain_params_default();
    dk_graph g;
    ex_case c;

    (void)state;
    p.symmetric = false;
    ex_graph(&g, "star", 3, 1);
    ex_open(&c, m, &g, -1, 0);
    double *a = ex_scores(&c, "random", &p), *b = ex_scores(&c, "random", &p), *other;
    ex_close_to("again", a, b, g.e, 0);
    for (int32_t e = 0; e < g.e; e++) {
        assert_true(a[e] >= 0 && a[e] < 1);
        assert_true(a[e] == a[g.rev[e]]);
        for (int32_t f = 0; f < e; f++)
            assert_true(f == g.rev[e] || a[f] != a[e]);
    }
    p.seed = 5;
    other = ex_scores(&c, "random", &p);
    assert_true(other[0] != a[0]);
    free(other);
    p.seed = 0;
    c.i.id = 1;
    other = ex_scores(&c, "random", &p);
    assert_true(other[0] != a[0]);
    free(other);
    free(a);
    free(b);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* ---- For every method. */
static void relabelled_nodes(void **state)
{
    static const int32_t perm[] = {5, 2, 7, 0, 3, 6, 1, 4};
    static const dk_gnn_arch arch[] = {DK_GNN_GCN, DK_GNN_GIN, DK_GNN_SAGE, DK_GNN_GAT,
                                       DK_GNN_GCN_NORM};

    (void)state;
    for (int k = 0; k < 10; k++) {
        dk_gnn *m = ex_random_model(arch[k % 5], k < 5 ? DK_TASK_GRAPH : DK_TASK_NODE, DK_READ_MEAN,
                                    3, 6, 3, 2, (uint64_t)k + 50);
        dk_graph g, h;
        ex_case a, b;
        dk_err err;
        dk_err_init(&err);
        ex_graph(&g, "odd", 3, 4);
        memset(&h, 0, sizeof h);
        ts_ok(dk_graph_relabel(&g, perm, &h, &err), &err);
        ex_open(&a, m, &g, k < 5 ? -1 : 0, 1);
        ex_open(&b, m, &h, k < 5 ? -1 : perm[0], 1);
        for (int i = 0; i < PLAIN; i++) {
            double *x = ex_scores(&a, plain_methods[i], NULL);
            double *y = ex_scores(&b, plain_methods[i], NULL), most = 0;
            for (int32_t e = 0; e < g.e; e++)
                most = fmax(most, fabs(x[e]));
            for (int32_t e = 0; e < g.e; e++)
                for (int32_t f = 0; f < h.e; f++)
                    if (h.src[f] == perm[g.src[e]] && h.dst[f] == perm[g.dst[e]] &&
                        fabs(y[f] - x[e]) > 1e-12 * fmax(most, 1))
                        fail_msg("%s: edge %d: %.17g and %.17g", plain_methods[i], e, x[e], y[f]);
            free(x);
            free(y);
        }
        ex_close(&a);
        ex_close(&b);
        dk_graph_free(&g);
        dk_graph_free(&h);
        dk_gnn_free(m);
    }
}

/* Both directions agree after averaging; one-way edges and loops stay alone. */
static void directions_are_averaged(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_SAGE, DK_TASK_GRAPH, DK_READ_MEAN, 3, 6, 3, 2, 2);
    dk_explain_params p = dk_explain_params_default();
    dk_graph g;
    ex_case c;

    (void)state;
    ex_graph(&g, "odd", 3, 4);
    ex_open(&c, m, &g, -1, 1);
    for (int i = 0; i < PLAIN; i++) {
        p.symmetric = false;
        double *raw = ex_scores(&c, plain_methods[i], &p);
        p.symmetric = true;
        double *mean = ex_scores(&c, plain_methods[i], &p);
        for (int32_t e = 0; e < g.e; e++) {
            int32_t r = g.rev[e] < 0 ? e : g.rev[e];
            assert_true(mean[e] == (raw[e] + raw[r]) / 2 && mean[e] == mean[r]);
        }
        free(raw);
        free(mean);
    }
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* Nothing, a single loop, an isolated node: no failure in any method that needs no training. */
static void little_to_explain(void **state)
{
    static const char *const name[] = {"edgeless", "loop", "path"};
    dk_explain_params p = dk_explain_params_default();

    (void)state;
    for (int k = 0; k < 9; k++)
        for (int s = 0; s < 3; s++) {
            static const dk_gnn_arch arch[] = {DK_GNN_GCN,
                                               DK_GNN_GIN,
                                               DK_GNN_GCN_NORM,
                                               DK_GNN_GAT,
                                               DK_GNN_GCN_NORM_MAXMEAN,
                                               DK_GNN_GCN,
                                               DK_GNN_GCN_NORM_CAT,
                                               DK_GNN_GATV2,
                                               DK_GNN_SAGE};
            static const dk_readout read[] = {DK_READ_MEAN, DK_READ_SUM, DK_READ_MAX, DK_READ_MEAN,
                                              DK_READ_MAX_MEAN};
            dk_gnn *m = ex_random_model(arch[k], k < 5 ? DK_TASK_GRAPH : DK_TASK_NODE, read[k % 5],
                                        3, 4, 2, 2, 3);
            dk_graph g;
            ex_case c;
            dk_err err;
            dk_err_init(&err);
            ex_graph(&g, name[s], 2, 1);
            ex_open(&c, m, &g, k < 5 ? -1 : 0, -1);
            for (int i = 0; i < PLAIN; i++) {
                dk_explanation out = {.score = s ? ex_zeros(g.e) : NULL,
                                      .node_score = ex_zeros(g.n)};
                out.node_score[0] = 5;
                ts_ok(dk_explain(dk_explainer_find(plain_methods[i]), &c.w, NULL, &c.i, &p, &out,
                                 &err),
                      &err);
                assert_true(s || out.node_score[0] == 0);
                free(out.score);
                free(out.node_score);
            }
            ex_close(&c);
            dk_graph_free(&g);
            dk_gnn_free(m);
        }
}

static void instances(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_GIN, DK_TASK_GRAPH, DK_READ_MEAN, 2, 3, 3, 2, 1);
    dk_gnn *single;
    dk_explain_worker w;
    dk_instance i;
    dk_graph g;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    ex_graph(&g, "odd", 3, 1);
    g.label = 1;
    ts_ok(dk_explain_worker_init(&w, m, &err), &err);
    ts_ok(dk_instance_init(&i, &w, &g, -1, 12, -1, &err), &err);
    assert_int_equal(i.target, i.prediction);
    assert_int_equal(i.label, 1);
    assert_int_equal(i.id, 12);
    assert_true(i.logits[i.prediction] >= i.logits[!i.prediction]);
    dk_instance_free(&i);
    dk_instance_init(&i, &w, &g, -1, 12, 2, &err);
    ts_failed(&err, DK_EUSAGE, "class 2: the model has classes 0 to 1");
    dk_instance_init(&i, &w, &g, 3, 12, 0, &err);
    ts_failed(&err, DK_EUSAGE, "node 12");
    g.num_features = 2;
    dk_instance_init(&i, &w, &g, -1, 12, 0, &err);
    ts_failed(&err, DK_EFORMAT, "graph has 2 features");
    g.num_features = 3;
    g.x[4] = NAN;
    dk_instance_init(&i, &w, &g, -1, 12, 0, &err);
    ts_failed(&err, DK_ENUMERIC, "logit");
    dk_explain_worker_fini(&w);
    single = dk_gnn_copy(m, DK_F32, &err);
    assert_non_null(single);
    dk_explain_worker_init(&w, single, &err);
    ts_failed(&err, DK_EUSAGE, "f64");
    dk_gnn_free(single);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* ---- Learned state on disk. */
static dk_explainer_state *made_up(const dk_explainer *x)
{
    static const char *const name[] = {"w2", "b1"}; /* not in the order of the file */
    dk_explainer_state *s = dk_xcalloc(1, sizeof *s);
    dk_err err;

    dk_err_init(&err);
    s->x = x;
    s->n = 2;
    s->tensor = dk_xcalloc(2, sizeof *s->tensor);
    for (int i = 0; i < 2; i++) {
        s->tensor[i] = (dk_param){dk_xstrdup(name[i]), 2 + i, 3, dk_alloc(96, "test", &err), NULL};
        for (int k = 0; k < (2 + i) * 3; k++)
            ((double *)s->tensor[i].value)[k] = ex_draw(9, (uint64_t)(10 * i + k));
    }
    return s;
}

static char *saved(const dk_explainer_state *s, const char *drop)
{
    dk_st_writer *w = dk_st_writer_new();
    char *dir = ts_dir("explainer"), *path = dk_xasprintf("%s/e.safetensors", dir);
    dk_err err;

    dk_err_init(&err);
    ts_ok(dk_explainer_state_save(s, w, &err), &err);
    if (drop)
        dk_st_writer_meta(w, drop, "w2,b1,w2");
    ts_ok(dk_st_writer_save(w, path, true, &err), &err);
    dk_st_writer_free(w);
    free(dir);
    return path;
}

static void refused(const char *path, const dk_explainer *x, const char *text)
{
    dk_err err;

    dk_err_init(&err);
    dk_st *st = dk_st_open(path, &err);
    ts_ok(st ? 0 : err.code, &err);
    assert_null(dk_explainer_state_load(st, x, NULL, &err));
    ts_failed(&err, DK_EFORMAT, text);
    dk_st_close(st);
}

static void state_on_disk(void **state)
{
    dk_explainer x = *dk_explainer_find("pgexplainer");
    const dk_explainer *other = dk_explainer_find("rgexplainer");
    dk_explainer_state *s, *back;
    char *path;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    x.fits = NULL; /* the shapes are made up */
    s = made_up(&x);
    path = saved(s, NULL);
    dk_st *st = dk_st_open(path, &err);
    back = dk_explainer_state_load(st, &x, NULL, &err);
    ts_ok(back ? 0 : err.code, &err);
    dk_st_close(st);
    assert_int_equal(back->n, 2);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(back->tensor[i].name, s->tensor[i].name);
        assert_int_equal(back->tensor[i].rows, 2 + i);
        assert_memory_equal(back->tensor[i].value, s->tensor[i].value,
                            sizeof(double) * 3 * (size_t)(2 + i));
    }
    dk_explainer_state_free(back);
    refused(path, other, "expected a trained rgexplainer, found pgexplainer");
    free(path);
    path = saved(s, "tensors");
    refused(path, &x, "more tensors than the 2");
    free(path);
    ((double *)s->tensor[0].value)[1] = INFINITY;
    dk_st_writer *w = dk_st_writer_new();
    dk_explainer_state_save(s, w, &err);
    ts_failed(&err, DK_ENUMERIC, "\"w2\" is not finite");
    dk_st_writer_free(w);
    dk_explainer_state_free(s);
    dk_explainer_state_free(NULL);
    path = dk_xstrdup("tests/data/thirdparty/gnn/gcn_ba_2motifs.safetensors");
    refused(path, &x, "no key \"explainer\"");
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registry),
        cmocka_unit_test(fixture),
        cmocka_unit_test(central_differences),
        cmocka_unit_test(integrated_gradients_add_up),
        cmocka_unit_test(deeplift_adds_up),
        cmocka_unit_test(relevance_is_kept),
        cmocka_unit_test(gamma_by_hand),
        cmocka_unit_test(walks_by_hand),
        cmocka_unit_test(occlusion_by_hand),
        cmocka_unit_test(random_order),
        cmocka_unit_test(relabelled_nodes),
        cmocka_unit_test(directions_are_averaged),
        cmocka_unit_test(little_to_explain),
        cmocka_unit_test(instances),
        cmocka_unit_test(state_on_disk),
    };
    /* Graphs this small gain nothing from threads. */
    dk_set_threads(1);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
