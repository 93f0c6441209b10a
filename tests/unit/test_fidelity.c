/* Fidelity in all variants against numbers computed by hand, subgraphs side by side against the
 * same ones made one by one, ground truth, embeddings, stability. */
#include "explain_support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "graph/explain/edge_sets_internal.h"
#include "graph/explain/fidelity.h"
#include "graph/explain/groundtruth.h"
#include "graph/explain/stability.h"

static dk_err err;

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    return 0;
}

static double logistic(double x)
{
    return 1 / (1 + exp(-x));
}

/* ---- A model to compute by hand: z = (m, -m), m = mean over the nodes of what their neighbours'
 * features add up to; so p_0 = logistic(2 m). */

static void set(dk_gnn *m, const char *name, double a, double b)
{
    double *v = (double *)ex_param(m, "%s", name);
    v[0] = a;
    if (!isnan(b))
        v[1] = b;
}

static dk_gnn *counting_model(dk_task task)
{
    dk_gnn *m = ex_random_model(DK_GNN_SAGE, task, DK_READ_MEAN, 1, 1, 1, 2, 1);

    set(m, "conv1.lin_l.weight", 1, NAN);
    set(m, "conv1.lin_l.bias", 0, NAN);
    set(m, "conv1.lin_r.weight", 0, NAN);
    set(m, "lin1.weight", 1, NAN);
    set(m, "lin1.bias", 0, NAN);
    set(m, "lin2.weight", 1, -1);
    set(m, "lin2.bias", 0, 0);
    return m;
}

/* Path of `n` nodes and `isolated` more, all features 1; edges 01 10 12 21 23 32 ... */
static void path(dk_graph *g, int32_t n, int32_t isolated)
{
    int32_t src[32], dst[32], m = 0;

    for (int32_t v = 0; v + 1 < n; v++) {
        src[m] = dst[m + 1] = v;
        dst[m] = src[m + 1] = v + 1;
        m += 2;
    }
    ts_ok(dk_graph_build(g, n + isolated, m, src, dst, NULL, NULL, NULL, NULL, &err), &err);
    g->num_features = 1;
    g->x = malloc(sizeof(double) * (size_t)g->n);
    for (int32_t v = 0; v < g->n; v++)
        g->x[v] = 1;
}

static dk_fidelity fidelity(ex_case *c, const uint8_t *kept, dk_fid_kind kind)
{
    dk_fidelity f;
    ts_ok(dk_fidelity_of(&c->w, &c->i, kept, kind, &f, &err), &err);
    return f;
}

static void three_edges_by_hand(void **state)
{
    const uint8_t middle[] = {0, 0, 1, 1, 0, 0}, end[] = {1, 1, 0, 0, 0, 0};
    const uint8_t all[] = {1, 1, 1, 1, 1, 1}, none[6] = {0};
    double p = logistic(3);
    dk_gnn *m = counting_model(DK_TASK_GRAPH);
    dk_graph g;
    ex_case c;

    (void)state;
    path(&g, 4, 0);
    ex_open(&c, m, &g, -1, -1);
    ex_near(dk_probability(c.i.logits, 2, 0), p, 1e-15);
    dk_fidelity f = fidelity(&c, middle, DK_FID_UPSTREAM);
    ex_near(f.plus, p - logistic(2), 1e-15);
    ex_near(f.minus, p - logistic(2), 1e-15);
    f = fidelity(&c, end, DK_FID_UPSTREAM);
    ex_near(f.plus, p - logistic(8. / 3), 1e-15);
    ex_near(f.minus, p - logistic(2), 1e-15);
    assert_true(f.plus_acc == 0 && f.minus_acc == 0);
    ex_near(f.plus_true, f.plus, 0);
    f = fidelity(&c, all, DK_FID_UPSTREAM);
    ex_near(f.plus, p - .5, 1e-15);
    assert_true(f.minus == 0 && f.unfaithfulness == 0);
    f = fidelity(&c, none, DK_FID_UPSTREAM);
    ex_near(f.minus, p - .5, 1e-15);
    assert_true(f.plus == 0);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* Isolated nodes count in p(G), but in neither subgraph. */
static void isolated_nodes(void **state)
{
    const uint8_t none[6] = {0};
    dk_gnn *m = counting_model(DK_TASK_GRAPH);
    dk_graph g;
    ex_case c;

    (void)state;
    path(&g, 4, 1);
    ex_open(&c, m, &g, -1, -1);
    dk_fidelity f = fidelity(&c, none, DK_FID_UPSTREAM);
    ex_near(f.plus, logistic(2.4) - logistic(3), 1e-15);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

static void other_variants(void **state)
{
    const uint8_t end[] = {1, 1, 0, 0, 0, 0}, none[6] = {0};
    double p = logistic(3), only = logistic(1), rest = logistic(2);
    dk_gnn *m = counting_model(DK_TASK_GRAPH);
    dk_graph g;
    ex_case c;

    (void)state;
    path(&g, 4, 0);
    ex_open(&c, m, &g, -1, 1); /* class 1 explained, class 0 predicted */
    c.i.label = 1;
    dk_fidelity f = fidelity(&c, end, DK_FID_DIG);
    ex_near(f.plus, rest - p, 1e-15);
    ex_near(f.minus, only - p, 1e-15);
    double kl = p * log(p / only) + (1 - p) * log((1 - p) / (1 - only));
    ex_near(f.unfaithfulness, 1 - exp(-kl), 1e-14);
    f = fidelity(&c, end, DK_FID_GFX);
    ex_near(f.plus, p - rest, 1e-15);
    ex_near(f.minus, p - only, 1e-15);
    ex_near(f.minus_true, p - only, 1e-15);
    f = fidelity(&c, end, DK_FID_PYG);
    assert_true(f.plus == 0 && f.minus == 0 && f.plus_true == 0 && f.minus_true == 0);
    c.i.label = -1;
    assert_true(isnan(fidelity(&c, end, DK_FID_PYG).plus_true));
    /* With a bias of (0, 1) the edgeless graph belongs to class 1. */
    set(m, "lin2.bias", 0, 1);
    ex_close(&c);
    ex_open(&c, m, &g, -1, 0);
    c.i.label = 0;
    f = fidelity(&c, none, DK_FID_PYG);
    assert_true(f.plus == 0 && f.minus == 1 && f.plus_true == 0 && f.minus_true == 1);
    assert_true(f.plus_acc == 0 && f.minus_acc == 1);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* Features of the others are 0, their edges stay, the set is pooled. */
static void node_sets(void **state)
{
    const uint8_t left[] = {1, 1, 0, 0}, three[] = {1, 1, 1, 0};
    double p = logistic(3), plus, minus;
    dk_gnn *m = counting_model(DK_TASK_GRAPH);
    dk_graph g;
    ex_case c;

    (void)state;
    path(&g, 4, 0);
    ex_open(&c, m, &g, -1, -1);
    ts_ok(dk_fidelity_nodes(&c.w, &c.i, left, &plus, &minus, &err), &err);
    ex_near(plus, p - logistic(2), 1e-15);
    ex_near(minus, p - logistic(2), 1e-15);
    ts_ok(dk_fidelity_nodes(&c.w, &c.i, three, &plus, &minus, &err), &err);
    ex_near(plus, p - .5, 1e-15);
    ex_near(minus, p - logistic(8. / 3), 1e-15);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

static void node_task(void **state)
{
    const uint8_t right[] = {0, 0, 1, 1, 0, 0}, far[] = {0, 0, 0, 0, 1, 1};
    dk_gnn *m = counting_model(DK_TASK_NODE);
    dk_graph g;
    ex_case c;

    (void)state;
    path(&g, 4, 0);
    ex_open(&c, m, &g, 1, -1); /* node 1 has two neighbours */
    dk_fidelity f = fidelity(&c, right, DK_FID_UPSTREAM);
    assert_true(isnan(f.plus) && isnan(f.plus_acc));
    ex_near(f.minus, logistic(4) - logistic(2), 1e-15);
    ex_near(fidelity(&c, far, DK_FID_UPSTREAM).minus, logistic(4) - .5, 1e-15);
    f = fidelity(&c, right, DK_FID_DIG);
    ex_near(f.plus, logistic(4) - logistic(2), 1e-15);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* Prefixes of the published example. */
static void fixture_prefixes(void **state)
{
    const int32_t order[] = {3, 5, 6, 7, 1, 4, 0, 2};
    const double expected[4][2] = {{.07556927038029759, .09210409147165599},
                                   {.08794732814816031, .01726774598402625},
                                   {.09210409147165599, -.011113195912167528},
                                   {.2761364159019827, 0}};
    dk_gnn *m = ex_model("tiny/tiny_gcn");
    dk_graph g;
    ex_case c;

    (void)state;
    ex_graph(&g, "tiny", 2, 0);
    for (int i = 0; i < 8; i++)
        g.x[i] = (i / 2) % 2 == i % 2;
    ex_open(&c, m, &g, -1, 1);
    for (int j = 0; j < 4; j++) {
        double plus, minus;
        ts_ok(dk_fidelity_prefix(&c.w, &c.i, order, 2 * (j + 1), &plus, &minus, &err), &err);
        ex_near(plus, expected[j][0], 1e-12);
        ex_near(minus, expected[j][1], 1e-12);
    }
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* ---- Side by side against one by one. */

static void compare_ways(dk_gnn *m, const dk_graph *g, int32_t node)
{
    enum { SETS = 6, MANY = 600 };
    static dk_edge_set sets[MANY];
    int32_t key[64];
    size_t classes = (size_t)m->c.classes, hidden = (size_t)m->c.hidden;
    double *fast = ex_zeros((int64_t)(MANY * classes)), *slow = ex_zeros((int64_t)(MANY * classes));
    double *fast_emb = ex_zeros((int64_t)(MANY * hidden));
    double *slow_emb = ex_zeros((int64_t)(MANY * hidden));
    const dk_edge_set few[SETS] = {{0, 1}, {1, 5}, {0, 9}, {3, 4}, {7, 7}, {2, 64}};
    ex_case c;

    for (int32_t e = 0; e < g->e; e++)
        key[e] = (e * 7 + 3) % 11;
    for (int i = 0; i < MANY; i++)
        sets[i] = few[i % SETS];
    ex_open(&c, m, g, node, -1);
    ts_ok(dk_edge_sets_run(&c.w, &c.i, key, sets, MANY, fast, fast_emb, &err), &err);
    ts_ok(dk_edge_sets_plain(&c.w, &c.i, key, sets, SETS, slow, slow_emb, &err), &err);
    for (int i = 0; i < MANY; i += SETS) {
        ex_close_to("logits", fast + (size_t)i * classes, slow, (int64_t)(SETS * classes), 1e-12);
        ex_close_to("embedding", fast_emb + (size_t)i * hidden, slow_emb,
                    (int64_t)(SETS * hidden), 1e-12);
    }
    ex_close(&c);
    free(fast);
    free(slow);
    free(fast_emb);
    free(slow_emb);
}

static void sets_side_by_side(void **state)
{
    static const dk_gnn_arch archs[] = {DK_GNN_GCN, DK_GNN_GIN, DK_GNN_SAGE, DK_GNN_GRAPHCONV,
                                        DK_GNN_GCN_NORM, DK_GNN_GAT, DK_GNN_GATV2};
    static const dk_readout readouts[] = {DK_READ_MEAN, DK_READ_SUM, DK_READ_MAX};
    static const char *const graphs[] = {"odd", "star", "random:5", "loop", "edgeless"};

    (void)state;
    for (size_t k = 0; k < sizeof graphs / sizeof *graphs; k++) {
        dk_graph g;
        ex_graph(&g, graphs[k], 3, 4);
        for (size_t a = 0; a < sizeof archs / sizeof *archs; a++)
            for (int task = 0; task < 2; task++) {
                dk_gnn *m = ex_random_model(archs[a], task ? DK_TASK_NODE : DK_TASK_GRAPH,
                                            readouts[(a + k) % 3], 3, 5, 3, 3, 9);
                m->c.pad_nodes = k == 2 && archs[a] != DK_GNN_GAT ? 7 : 0;
                compare_ways(m, &g, task ? g.n - 1 : -1);
                dk_gnn_free(m);
            }
        dk_graph_free(&g);
    }
}

/* Weights in [0.5, ...) so that no degree is negative. */
static void weighted_sets(void **state)
{
    (void)state;
    for (int arch = DK_GNN_GCN; arch <= DK_GNN_GCN_NORM; arch++) {
        dk_gnn *m = ex_random_model((dk_gnn_arch)arch, DK_TASK_GRAPH, DK_READ_MEAN, 2, 4, 3, 2, 3);
        dk_graph g;
        ex_graph(&g, "weighted", 3, 2);
        for (int32_t e = 0; e < g.e; e++)
            g.weight[e] = fabs(g.weight[e]);
        compare_ways(m, &g, -1);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

/* The replication models: padding, [max, mean], layers side by side, rows divided by their sums. */
static void replication_models(void **state)
{
    static const char *const name[] = {"holdijk_gcn_Mutagenicity", "holdijk_gcn_ba_2motifs",
                                       "holdijk_gcn_tree_cycle"};
    (void)state;
    for (int k = 0; k < 3; k++) {
        dk_gnn *m = ex_model(name[k]);
        dk_graph g;
        ex_graph(&g, "odd", m->c.features, 3);
        for (int32_t i = 0; i < g.n * g.num_features; i++)
            g.x[i] = fabs(g.x[i]);
        compare_ways(m, &g, m->c.task == DK_TASK_NODE ? 2 : -1);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

/* ---- Numbers made of others. */

static void derived_numbers(void **state)
{
    const double x[] = {0, .5, 1}, plus[] = {.2, .6, .9}, minus[] = {0, .5, .1};

    (void)state;
    ex_near(dk_characterization(.8, .4), 1 / (.5 / .8 + .5 / .6), 1e-15);
    ex_near(dk_characterization(0, .4), 0, 0);
    ex_near(dk_characterization(.4, 1), 0, 0);
    assert_true(isnan(dk_characterization(-.5, .5)));
    ex_near(dk_fidelity_curve_auc(x, plus, minus, 3), .5 * (.2 + 1.2) / 2 + .5 * (1.2 + 1) / 2,
            1e-15);
    assert_true(isnan(dk_fidelity_curve_auc(x, plus, (double[]){0, 1, 0}, 3)));
}

static void auc_with_ties(void **state)
{
    /* Pairs: (3: 2 2 1), (2: half, half, 1), (2 more) -> (3 + 2 * (.5 + .5 + 1)) / 9. */
    const double score[] = {3, 2, 2, 2, 2, 1};
    const uint8_t truth[] = {1, 1, 1, 0, 0, 0};
    const double up[] = {.1, .2, .3, .4};
    const uint8_t right[] = {0, 0, 1, 1}, wrong[] = {1, 1, 0, 0}, ones[] = {1, 1, 1, 1};
    const double bad[] = {.1, NAN, .3, .4};

    (void)state;
    ex_near(dk_roc_auc(score, truth, 6), 7. / 9, 1e-15);
    ex_near(dk_roc_auc(up, right, 4), 1, 0);
    ex_near(dk_roc_auc(up, wrong, 4), 0, 0);
    ex_near(dk_roc_auc((double[]){5, 5, 5, 5}, right, 4), .5, 0);
    assert_true(isnan(dk_roc_auc(up, ones, 4)) && isnan(dk_roc_auc(up, ones, 0)));
    assert_true(isnan(dk_roc_auc(bad, right, 4)));
}

/* ---- Ground truth. */

/* Two triangles 0 1 2 and 4 5 6 joined by 2-3-4; truth marked in one direction only. */
static void two_triangles(dk_graph *g)
{
    static const int32_t a[] = {0, 0, 1, 2, 3, 4, 4, 5}, b[] = {1, 2, 2, 3, 4, 5, 6, 6};
    int32_t src[16], dst[16];
    uint8_t gt[16] = {0};

    for (int i = 0; i < 8; i++) {
        src[i] = dst[i + 8] = a[i];
        dst[i] = src[i + 8] = b[i];
        gt[i] = i != 3 && i != 4;
    }
    ts_ok(dk_graph_build(g, 7, 16, src, dst, NULL, gt, NULL, NULL, &err), &err);
}

static void motifs(void **state)
{
    const int32_t expected[] = {0, 0, 0, -1, 1, 1, 1}, picked[] = {3, 4, 6};
    int32_t motif[7], count = 0;
    uint8_t any[16], own[16], nodes[3];
    dk_graph g;

    (void)state;
    two_triangles(&g);
    assert_int_equal(dk_gt_motifs(&g, motif, &err), 2);
    assert_memory_equal(motif, expected, sizeof expected);
    dk_gt_edges(&g, motif, 5, DK_GT_ANY, NULL, 16, any);
    dk_gt_edges(&g, motif, 5, DK_GT_OWN, NULL, 16, own);
    for (int32_t e = 0; e < 16; e++) {
        bool low = g.src[e] < 3 && g.dst[e] < 3, high = g.src[e] > 3 && g.dst[e] > 3;
        assert_int_equal(any[e], low || high);
        assert_int_equal(own[e], high);
        count += own[e];
    }
    assert_int_equal(count, 6);
    dk_gt_edges(&g, motif, 3, DK_GT_OWN, NULL, 16, own);
    for (int32_t e = 0; e < 16; e++)
        assert_int_equal(own[e], 0);
    dk_gt_nodes(motif, 4, DK_GT_OWN, picked, 3, nodes);
    assert_memory_equal(nodes, ((uint8_t[]){0, 1, 1}), 3);
    free(g.gt);
    g.gt = NULL;
    assert_int_equal(dk_gt_motifs(&g, motif, &err), 0);
    dk_graph_free(&g);
}

static void agreement(void **state)
{
    const uint8_t kept[] = {1, 1, 1, 0, 0, 0}, truth[] = {1, 1, 0, 1, 0, 0};
    const uint8_t other[] = {1, 1, 1, 0, 0, 0}, none[6] = {0};
    const uint8_t *const both[] = {truth, other};
    const double score[] = {10, 5, 1.01, 1, .5, -3};

    (void)state;
    dk_confusion c = dk_confusion_of(kept, truth, 6);
    assert_true(c.tp == 2 && c.fp == 1 && c.fn == 1 && c.tn == 2);
    ex_near(dk_precision(c), 2. / 3, 1e-15);
    ex_near(dk_recall(c), 2. / 3, 1e-15);
    ex_near(dk_f1(c), 2. / 3, 1e-15);
    ex_near(dk_jaccard(c), 2 / (4 + 1e-9), 1e-15);
    ex_near(dk_node_accuracy(kept, truth, 6), 4. / 6, 1e-15);
    ex_near(dk_jaccard_edges(kept, both, 2, 6), 3 / (3 + 1e-9), 1e-15);
    ex_near(dk_jaccard_nodes(score, both, 1, 6, .1), 2 / (4 + 1e-9), 1e-15); /* 1.01 > 1 */
    assert_true(isnan(dk_precision(dk_confusion_of(none, none, 6))));
    assert_true(isnan(dk_node_accuracy(kept, truth, 0)));
}

static void top_edges(void **state)
{
    /* sorted edges: 01 02 10 12 20 21 23 32 34 43 45 46 54 56 64 65 */
    const int32_t order[] = {6, 7, 0, 2, 15, 13, 8, 9, 1, 4, 3, 5, 10, 12, 11, 14};
    int32_t motif[7];
    uint8_t truth[16], kept[16], touched[7];
    dk_graph g;

    (void)state;
    two_triangles(&g);
    dk_gt_motifs(&g, motif, &err);
    dk_gt_edges(&g, motif, 0, DK_GT_ANY, NULL, 16, truth);
    ex_near(dk_top_precision(&g, order, truth, 1), 0, 0);
    ex_near(dk_top_precision(&g, order, truth, 3), 2. / 3, 1e-15);
    ex_near(dk_top_precision(&g, order, truth, 99), 6. / 99, 1e-15);
    assert_true(isnan(dk_top_precision(&g, order, truth, 0)));
    dk_top_edges(&g, order, 2, kept);
    dk_touched_nodes(&g, kept, touched);
    assert_memory_equal(touched, ((uint8_t[]){1, 1, 1, 1, 0, 0, 0}), 7);
    dk_graph_free(&g);
}

/* ---- Embeddings. */

static void embeddings(void **state)
{
    const uint8_t end[] = {1, 1, 0, 0, 0, 0}, none[6] = {0};
    dk_gnn *m = counting_model(DK_TASK_GRAPH), *nm = counting_model(DK_TASK_NODE);
    dk_graph g;
    ex_case c;
    double e;

    (void)state;
    path(&g, 4, 0);
    set(m, "lin1.bias", -2, NAN);
    set(nm, "lin1.bias", -2, NAN);
    ex_open(&c, m, &g, -1, -1);
    ts_ok(dk_explanation_embedding(&c.w, &c.i, NULL, &e, &err), &err);
    ex_near(e, 0, 0); /* relu(1.5 - 2) */
    set(m, "lin1.bias", 2, NAN);
    ts_ok(dk_explanation_embedding(&c.w, &c.i, NULL, &e, &err), &err);
    ex_near(e, 3.5, 1e-15);
    ts_ok(dk_explanation_embedding(&c.w, &c.i, end, &e, &err), &err);
    ex_near(e, 3, 1e-15); /* mean over two nodes of one neighbour each */
    ts_ok(dk_explanation_embedding(&c.w, &c.i, none, &e, &err), &err);
    ex_near(e, 2, 1e-15);
    ex_close(&c);
    ex_open(&c, nm, &g, 0, -1);
    ts_ok(dk_explanation_embedding(&c.w, &c.i, NULL, &e, &err), &err);
    ex_near(e, -1, 1e-15); /* before the activation */
    ts_ok(dk_explanation_embedding(&c.w, &c.i, none, &e, &err), &err);
    ex_near(e, -2, 1e-15);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
    dk_gnn_free(nm);
}

/* gcn: the linear map's output; recomputed from the trace of a whole run. */
static void gcn_embedding_before_relu(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_GCN, DK_TASK_GRAPH, DK_READ_MEAN, 3, 6, 3, 2, 5);
    const double *b = ex_param(m, "lin1.bias");
    uint8_t none[64] = {0};
    double e[6];
    dk_graph g;
    ex_case c;

    (void)state;
    ex_graph(&g, "star", 3, 1);
    ex_open(&c, m, &g, -1, -1);
    ts_ok(dk_explanation_embedding(&c.w, &c.i, none, e, &err), &err);
    ex_close_to("embedding of nothing", e, b, 6, 1e-15);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

static void classes_of_points(void **state)
{
    const double emb[] = {0, 0, 2, 4, 1, 1, 4, 6, 9, 9};
    const int32_t label[] = {0, 0, 1, 1, -1};

    (void)state;
    /* means (1, 2) and (2.5, 3.5) */
    ex_near(dk_discriminability(emb, label, 5, 2, 0, 1), sqrt(2 * 1.5 * 1.5), 1e-15);
    ex_near(dk_class_variance(emb, label, 5, 2, 0), (2 + 8) / 2., 1e-15);
    ex_near(dk_class_variance(emb, label, 5, 2, 1), (4.5 + 12.5) / 2, 1e-15);
    assert_true(isnan(dk_class_variance(emb, label, 5, 2, -1)));
    assert_true(isnan(dk_discriminability(emb, label, 5, 2, 0, 7)));
}

static void coverage(void **state)
{
    const double emb[] = {1, 2,  5, 5,  1.00001, 2,  -0.00001, 0,  0.00001, 0,  1, 2.00002,  5, 5};
    const int32_t label[] = {1, 0, 1, 1, 1, 1, 1}, expected[] = {0, -1, 0, 1, 1, 0, 2};
    int32_t group[7];
    int64_t sizes[7];

    (void)state;
    assert_int_equal(dk_coverage_groups(emb, label, 7, 2, 1, group, sizes, &err), 3);
    assert_memory_equal(group, expected, sizeof expected);
    assert_true(sizes[0] == 3 && sizes[1] == 2 && sizes[2] == 1);
    assert_int_equal(dk_coverage_groups(emb, label, 7, 2, 5, group, NULL, &err), 0);
}

/* ---- Intuitiveness and exhaustiveness. */

static void small_graph(dk_graph *g, int32_t n, bool cycle)
{
    int32_t src[16], dst[16], m = 0;

    for (int32_t v = 0; v + 1 < n || (cycle && v < n); v++) {
        src[m] = dst[m + 1] = v;
        dst[m] = src[m + 1] = (v + 1) % n;
        m += 2;
    }
    ts_ok(dk_graph_build(g, n, m, src, dst, NULL, NULL, NULL, NULL, &err), &err);
}

static bool connected(const dk_graph *g, const uint8_t *kept)
{
    uint8_t touched[8], reached[8] = {0};
    bool more = true, started = false;

    dk_touched_nodes(g, kept, touched);
    for (int32_t v = 0; v < g->n && !started; v++) {
        reached[v] = touched[v];
        started = touched[v];
    }
    while (more) {
        more = false;
        for (int32_t e = 0; e < g->e; e++)
            if (kept[e] && reached[g->src[e]] != reached[g->dst[e]]) {
                reached[g->src[e]] = reached[g->dst[e]] = 1;
                more = true;
            }
    }
    return started && memcmp(touched, reached, (size_t)g->n) == 0;
}

/* Connected subgraphs with an edge: all, and those that some set of nodes induces. */
static void count_subgraphs(const dk_graph *g, int *by_nodes, int *by_edges)
{
    int32_t pair[8], pairs = 0;

    *by_nodes = *by_edges = 0;
    for (int32_t e = 0; e < g->e; e++)
        if (g->src[e] < g->dst[e])
            pair[pairs++] = e;
    for (int mask = 1; mask < 1 << pairs; mask++) {
        uint8_t kept[16] = {0}, touched[8];
        bool induced = true;
        for (int i = 0; i < pairs; i++)
            kept[pair[i]] = kept[g->rev[pair[i]]] = mask >> i & 1;
        ex_near(dk_intuitiveness(g, NULL, kept), 1, 0);
        if (!connected(g, kept))
            continue;
        dk_touched_nodes(g, kept, touched);
        for (int32_t e = 0; e < g->e; e++)
            induced &= kept[e] || !touched[g->src[e]] || !touched[g->dst[e]];
        ++*by_edges;
        *by_nodes += induced;
    }
}

static void exhaustiveness(void **state)
{
    static const struct {
        int32_t n;
        bool cycle;
        int by_nodes, by_edges;
    } cases[] = {{3, true, 4, 7}, {4, true, 9, 13}, {4, false, 6, 6}};

    (void)state;
    for (int i = 0; i < 3; i++) {
        dk_graph g;
        int by_nodes, by_edges;
        small_graph(&g, cases[i].n, cases[i].cycle);
        count_subgraphs(&g, &by_nodes, &by_edges);
        assert_int_equal(by_nodes, cases[i].by_nodes);
        assert_int_equal(by_edges, cases[i].by_edges);
        dk_graph_free(&g);
    }
}

static void intuitiveness(void **state)
{
    /* path 0 - 1 - 2 - 3 - 4 and edges 01 10 12 21 23 32 34 43 */
    const uint8_t nodes[] = {1, 1, 0, 0, 1}, lonely[] = {1, 0, 1, 0, 1};
    const uint8_t edge[] = {0, 0, 0, 0, 0, 0, 1, 1}, no_edges[8] = {0};
    dk_graph g;

    (void)state;
    small_graph(&g, 5, false);
    ex_near(dk_intuitiveness(&g, nodes, NULL), .5, 0);
    ex_near(dk_intuitiveness(&g, lonely, NULL), 0, 0);
    ex_near(dk_intuitiveness(&g, nodes, edge), 1, 0);
    ex_near(dk_intuitiveness(&g, lonely, edge), 1. / 3, 1e-15);
    assert_true(isnan(dk_intuitiveness(&g, NULL, no_edges)));
    dk_graph_free(&g);
}

/* ---- Stability, with explainers of the test's own. */

/* Degrees of the ends: changes with the graph, but little. */
static int explain_degrees(dk_explain_worker *w, const dk_explainer_state *s,
                           const dk_instance *inst, const dk_explain_params *p,
                           dk_explanation *out, dk_err *e)
{
    const dk_graph *g = inst->g;

    (void)w, (void)s, (void)p, (void)e;
    for (int32_t i = 0; i < g->e; i++)
        out->score[i] = g->out_ptr[g->src[i] + 1] - g->out_ptr[g->src[i]] +
                        g->out_ptr[g->dst[i] + 1] - g->out_ptr[g->dst[i]] + .01 * g->x[g->src[i]];
    return 0;
}

static int explain_constant(dk_explain_worker *w, const dk_explainer_state *s,
                            const dk_instance *inst, const dk_explain_params *p,
                            dk_explanation *out, dk_err *e)
{
    (void)w, (void)s, (void)p, (void)e;
    for (int32_t i = 0; i < inst->g->e; i++)
        out->score[i] = 1;
    return 0;
}

static void stability(void **state)
{
    const dk_explainer degrees = {.name = "degrees", .explain = explain_degrees};
    const dk_explainer constant = {.name = "constant", .explain = explain_constant};
    dk_explain_params p = dk_explain_params_default();
    dk_stability_options o = dk_stability_defaults();
    dk_gnn *m = ex_random_model(DK_GNN_GCN_NORM, DK_TASK_NODE, DK_READ_NONE, 2, 4, 2, 2, 3);
    uint8_t truth[64] = {0}, none[64] = {0};
    double a, b, other;
    dk_graph g;
    ex_case c;

    (void)state;
    ex_graph(&g, "star", 2, 6);
    for (int32_t e = 0; e < g.e; e++)
        truth[e] = g.src[e] < 4 && g.dst[e] < 4;
    g.degree = malloc(sizeof(double) * (size_t)g.n);
    for (int32_t v = 0; v < g.n; v++)
        g.degree[v] = g.in_ptr[v + 1] - g.in_ptr[v] + 2;
    ex_open(&c, m, &g, 0, -1);
    double *score = ex_zeros(g.e);
    dk_explanation out = {.score = score};
    ts_ok(dk_explain(&degrees, &c.w, NULL, &c.i, &p, &out, &err), &err);
    ts_ok(dk_stability(&degrees, &c.w, NULL, &c.i, &p, score, truth, &o, &a, &err), &err);
    ts_ok(dk_stability(&degrees, &c.w, NULL, &c.i, &p, score, truth, &o, &b, &err), &err);
    p.seed = 5;
    ts_ok(dk_stability(&degrees, &c.w, NULL, &c.i, &p, score, truth, &o, &other, &err), &err);
    assert_true(a == b && a != other && fabs(a) < 1);
    ts_ok(dk_stability(&degrees, &c.w, NULL, &c.i, &p, score, none, &o, &a, &err), &err);
    assert_true(isnan(a));
    ts_ok(dk_explain(&constant, &c.w, NULL, &c.i, &p, &out, &err), &err);
    ts_ok(dk_stability(&constant, &c.w, NULL, &c.i, &p, score, truth, &o, &a, &err), &err);
    ex_near(a, 0, 0); /* AUC .5 before and after */
    free(score);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

static void instability(void **state)
{
    const dk_explainer degrees = {.name = "degrees", .explain = explain_degrees};
    const dk_explainer constant = {.name = "constant", .explain = explain_constant};
    dk_explain_params p = dk_explain_params_default();
    dk_stability_options o = dk_stability_defaults();
    dk_gnn *m = ex_random_model(DK_GNN_GIN, DK_TASK_GRAPH, DK_READ_MEAN, 2, 4, 2, 2, 3);
    dk_instability_result a, b;
    dk_graph g;
    ex_case c;

    (void)state;
    ex_graph(&g, "star", 2, 6);
    ex_open(&c, m, &g, -1, -1);
    double *score = ex_zeros(g.e);
    dk_explanation out = {.score = score};
    o.delta = 2;
    ts_ok(dk_explain(&degrees, &c.w, NULL, &c.i, &p, &out, &err), &err);
    ts_ok(dk_instability(&degrees, &c.w, NULL, &c.i, &p, score, &o, &a, &err), &err);
    ts_ok(dk_instability(&degrees, &c.w, NULL, &c.i, &p, score, &o, &b, &err), &err);
    assert_true(a.accepted > 10 && a.accepted <= 25);
    assert_true(a.mean == b.mean && a.largest == b.largest && a.mean > 0 && a.mean <= a.largest &&
                a.largest <= 1);
    o.delta = -1;
    ts_ok(dk_instability(&degrees, &c.w, NULL, &c.i, &p, score, &o, &a, &err), &err);
    assert_true(a.accepted == 0 && isnan(a.mean) && isnan(a.largest));
    /* Equal scores: the first quarter both times, wherever the graph was changed. */
    o.delta = 2;
    o.share = 1;
    ts_ok(dk_explain(&constant, &c.w, NULL, &c.i, &p, &out, &err), &err);
    ts_ok(dk_instability(&constant, &c.w, NULL, &c.i, &p, score, &o, &a, &err), &err);
    assert_true(a.mean == 0 && a.largest == 0);
    free(score);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(three_edges_by_hand, fresh),
        cmocka_unit_test_setup(isolated_nodes, fresh),
        cmocka_unit_test_setup(other_variants, fresh),
        cmocka_unit_test_setup(node_sets, fresh),
        cmocka_unit_test_setup(node_task, fresh),
        cmocka_unit_test_setup(fixture_prefixes, fresh),
        cmocka_unit_test_setup(sets_side_by_side, fresh),
        cmocka_unit_test_setup(weighted_sets, fresh),
        cmocka_unit_test_setup(replication_models, fresh),
        cmocka_unit_test_setup(derived_numbers, fresh),
        cmocka_unit_test_setup(auc_with_ties, fresh),
        cmocka_unit_test_setup(motifs, fresh),
        cmocka_unit_test_setup(agreement, fresh),
        cmocka_unit_test_setup(top_edges, fresh),
        cmocka_unit_test_setup(embeddings, fresh),
        cmocka_unit_test_setup(gcn_embedding_before_relu, fresh),
        cmocka_unit_test_setup(classes_of_points, fresh),
        cmocka_unit_test_setup(coverage, fresh),
        cmocka_unit_test_setup(exhaustiveness, fresh),
        cmocka_unit_test_setup(intuitiveness, fresh),
        cmocka_unit_test_setup(stability, fresh),
        cmocka_unit_test_setup(instability, fresh),
    };
    dk_set_threads(1);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
