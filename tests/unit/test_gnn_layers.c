/* graph/gnn, layer by layer: numbers recorded from PyTorch Geometric and worked out by hand,
 * gradients by masks against differences, hooks, padding, batches, subgraphs, rows computed alone.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "unit/gnn_aid.h"

static dk_err err;

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    return 0;
}

static const dk_gnn_arch arches[] = {
    DK_GNN_GCN, DK_GNN_GIN,   DK_GNN_SAGE,         DK_GNN_GRAPHCONV,       DK_GNN_GCN_NORM,
    DK_GNN_GAT, DK_GNN_GATV2, DK_GNN_GCN_NORM_CAT, DK_GNN_GCN_NORM_MAXMEAN};
enum { ARCHES = sizeof arches / sizeof *arches, F = 3 };

static dk_task task_of(dk_gnn_arch a)
{
    return a == DK_GNN_GCN_NORM_CAT ? DK_TASK_NODE : DK_TASK_GRAPH;
}

static void assert_near(const char *what, const double *x, const double *y, size_t n, double tol)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= tol * (1 + fabs(y[i]))))
            fail_msg("%s: element %zu is %.12g, expected %.12g", what, i, x[i], y[i]);
}

/* ---- PyTorch Geometric. */

static size_t flatten(const json_t *rows, double *out)
{
    size_t n = 0, i, k;
    json_t *row, *v;

    json_array_foreach (rows, i, row)
        json_array_foreach (row, k, v)
            out[n++] = json_number_value(v);
    return n;
}

static void check_fixture(const char *name, dk_jnode root, json_t *want, bool weights)
{
    char *path = dk_xasprintf(TS_PYG "%s.safetensors", name);
    dk_gnn *m = ts_gnn(path, DK_F64);
    dk_jnode graphs = dk_json_key(root, "graphs");

    for (size_t i = 0; i < json_array_size(graphs.v); i++) {
        double expected[64];
        dk_graph g;
        size_t n = flatten(json_array_get(want, i), expected);
        ts_graph_json(&g, dk_json_item(graphs, i), weights);
        double *z = ts_logits(m, &g);
        assert_near(name, z, expected, n, 1e-12);
        free(z);
        dk_graph_free(&g);
    }
    dk_gnn_free(m);
    free(path);
}

static void test_pyg(void **state)
{
    dk_json doc;
    const char *name;
    json_t *model;

    (void)state;
    ts_ok(dk_json_load(&doc, TS_PYG "expected.json", &err), &err);
    dk_jnode root = dk_json_root(&doc);
    assert_int_equal(json_object_size(dk_json_key(root, "models").v), 9);
    json_object_foreach (dk_json_key(root, "models").v, name, model) {
        check_fixture(name, root, json_object_get(model, "logits"), false);
        if (json_object_get(model, "weighted"))
            check_fixture(name, root, json_object_get(model, "weighted"), true);
    }
    dk_json_free(&doc);
}

/* A mask that enters as weight is the weight, degrees and own loops included. */
static void test_pyg_weight_mask(void **state)
{
    static const char *const name[] = {"gcn_norm", "gcn_norm_node", "graphconv"};
    dk_json doc;

    (void)state;
    ts_ok(dk_json_load(&doc, TS_PYG "expected.json", &err), &err);
    dk_jnode root = dk_json_root(&doc), graphs = dk_json_key(root, "graphs");
    for (int k = 0; k < 3; k++) {
        char *path = dk_xasprintf(TS_PYG "%s.safetensors", name[k]);
        dk_gnn *m = ts_gnn(path, DK_F64);
        json_t *want =
            json_object_get(dk_json_key(dk_json_key(root, "models"), name[k]).v, "weighted");
        for (size_t i = 0; i < json_array_size(graphs.v); i++) {
            dk_graph plain, weighted;
            double expected[64];
            ts_run r;
            size_t n = flatten(json_array_get(want, i), expected);
            ts_graph_json(&plain, dk_json_item(graphs, i), false);
            ts_graph_json(&weighted, dk_json_item(graphs, i), true);
            ts_run_begin(&r, m, &plain, NULL);
            r.o.edge_mask = dk_leaf(r.t, plain.e, 1, weighted.weight, false);
            r.o.mask_mode = DK_MASK_WEIGHT;
            ts_run_go(&r);
            assert_near(name[k], dk_value64(r.t, r.tr.logits), expected, n, 1e-12);
            ts_run_end(&r);
            dk_graph_free(&plain);
            dk_graph_free(&weighted);
        }
        dk_gnn_free(m);
        free(path);
    }
    dk_json_free(&doc);
}

/* ---- By hand: 0 -> 1, 1 -> 2, 0 -> 2. */

static const double w_rel[] = {1, .5, -1, 2}, b_rel[] = {.1, -.2}, w_root[] = {.5, 0, 0, .25};
static const double w_right[] = {.2, -.3, .4, .1}, b_right[] = {.05, 0}, att[] = {.7, -.5};
static const double b_out[] = {.01, .02};

static dk_gnn *one_layer(dk_gnn_arch arch, const double *const *value, dk_readout readout)
{
    dk_gnn_config c = {.arch = arch,
                       .layers = 1,
                       .hidden = 2,
                       .features = 2,
                       .classes = 2,
                       .readout = readout,
                       .activation = DK_FN_TANH,
                       .heads = 1,
                       .concat = true,
                       .add_self_loops = true,
                       .negative_slope = .2};
    dk_gnn *m = dk_gnn_new(&c, DK_F64, 1, &err);

    ts_ok(m ? 0 : -1, &err);
    for (int i = 0; value[i]; i++)
        memcpy(m->param[i].value, value[i],
               (size_t)(m->param[i].rows * m->param[i].cols) * sizeof(double));
    return m;
}

static void hand_graph(dk_graph *g)
{
    static const int32_t edge[][2] = {{0, 1}, {1, 2}, {0, 2}};
    static const double x[] = {1, 2, 0, -1, 3, .5};

    ts_graph(g, 3, 3, edge, 2, x);
}

static void test_graphconv_by_hand(void **state)
{
    const double *const value[] = {w_rel, b_rel, w_root, NULL};
    const double conv[] = {.6, .3, 2.1, 2.55, 3.1, .925}, pooled[] = {.8344836, .6691491};
    dk_gnn *m = one_layer(DK_GNN_GRAPHCONV, value, DK_READ_MEAN);
    dk_graph g;
    ts_run r;

    (void)state;
    hand_graph(&g);
    ts_run_begin(&r, m, &g, NULL);
    ts_run_go(&r);
    assert_near("conv", dk_value64(r.t, r.tr.conv[0]), conv, 6, 1e-12);
    assert_near("pooled", dk_value64(r.t, r.tr.pooled), pooled, 2, 1e-7);
    ts_run_end(&r);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

static void test_gcn_by_hand(void **state)
{
    const double *const value[] = {w_rel, b_rel, NULL};
    const double conv[] = {2.1, 2.8, 1.2642136, .9213203, 2.1339097, .0488876};
    dk_gnn *m = one_layer(DK_GNN_GCN_NORM, value, DK_READ_MEAN);
    dk_graph g;
    ts_run r;

    (void)state;
    hand_graph(&g);
    ts_run_begin(&r, m, &g, NULL);
    ts_run_go(&r);
    assert_near("conv", dk_value64(r.t, r.tr.conv[0]), conv, 6, 1e-7);
    ts_run_end(&r);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

static dk_var keep_alpha(void *ctx, dk_tape *t, int site, dk_var alpha)
{
    (void)t;
    assert_int_equal(site, 0);
    *(dk_var *)ctx = alpha;
    return alpha;
}

static void test_gatv2_by_hand(void **state)
{
    const double *const value[] = {w_rel, b_rel, w_right, b_right, att, b_out, NULL};
    const double conv[] = {2.11, 2.82, .9486012, .4972023, 3.06227, -1.957115};
    /* edges 0->1, 0->2, 1->2 and the loops */
    const double alpha[] = {.5354405, .044577, .0645357, 1, .4645595, .8908873};
    dk_gnn *m = one_layer(DK_GNN_GATV2, value, DK_READ_MEAN);
    dk_var seen;
    dk_gnn_hooks hooks = {.ctx = &seen, .attention = keep_alpha};
    dk_graph g;
    ts_run r;

    (void)state;
    hand_graph(&g);
    ts_run_begin(&r, m, &g, NULL);
    r.o.hooks = &hooks;
    ts_run_go(&r);
    assert_near("conv", dk_value64(r.t, r.tr.conv[0]), conv, 6, 1e-6);
    assert_near("alpha", dk_value64(r.t, seen), alpha, 6, 1e-6);
    ts_run_end(&r);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* ---- Gradients by an edge mask. */

static double output(ts_run *r, const double *mask, dk_mask_mode mode, bool per_layer, double *grad)
{
    dk_var of[DK_GNN_MAX_LAYERS];
    int32_t e = r->in.e;
    double sum = 0;

    dk_tape_restore(r->t, r->mark);
    r->o.mask_mode = mode;
    r->o.edge_mask = dk_leaf(r->t, e, 1, mask, true);
    for (int l = 0; l < r->m->c.layers; l++)
        of[l] = per_layer ? dk_leaf(r->t, e, 1, mask + (l ? e : 0), true) : r->o.edge_mask;
    r->o.edge_mask_of = per_layer ? of : NULL;
    ts_run_go(r);
    dk_var y = dk_sum(r->t, dk_apply(r->t, DK_FN_TANH, r->tr.logits, 0));
    sum = dk_value64(r->t, y)[0];
    if (grad) {
        dk_backward(r->t, y, NULL);
        memcpy(grad, dk_grad64(r->t, of[0]), (size_t)e * sizeof *grad);
        if (per_layer)
            memcpy(grad + e, dk_grad64(r->t, of[1]), (size_t)e * sizeof *grad);
    }
    r->o.edge_mask_of = NULL;
    return sum;
}

static void check_gradient(dk_gnn_arch arch, dk_mask_mode mode, bool weights, bool per_layer)
{
    const double h = 1e-5;
    dk_gnn *m = ts_gnn_random(arch, task_of(arch), 2, F, 11 + arch);
    dk_graph g;
    ts_run r;
    double mask[128], grad[128];

    ts_graph_random(&g, 9, F, weights, 5);
    ts_run_begin(&r, m, &g, NULL);
    int n = g.e * (per_layer ? 2 : 1);
    for (int i = 0; i < n; i++)
        mask[i] = .3 + .05 * (i % 13);
    output(&r, mask, mode, per_layer, grad);
    for (int i = 0; i < n; i++) {
        double was = mask[i];
        mask[i] = was + h;
        double up = output(&r, mask, mode, per_layer, NULL);
        mask[i] = was - h;
        double down = output(&r, mask, mode, per_layer, NULL);
        mask[i] = was;
        if (fabs((up - down) / (2 * h) - grad[i]) > 1e-7)
            fail_msg("%s mode %d: edge %d: gradient %.9g, difference %.9g", dk_gnn_arch_name(arch),
                     mode, i, grad[i], (up - down) / (2 * h));
    }
    ts_run_end(&r);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

static void test_mask_gradients(void **state)
{
    (void)state;
    for (int a = 0; a < ARCHES; a++)
        for (int w = 0; w < 2; w++) {
            check_gradient(arches[a], DK_MASK_MESSAGE, w, false);
            check_gradient(arches[a], DK_MASK_WEIGHT, w, false);
            check_gradient(arches[a], DK_MASK_MESSAGE, w, true);
            check_gradient(arches[a], DK_MASK_WEIGHT, w, true);
        }
}

/* Ones change nothing; existing self loops are out of reach where the layer has its own. */
static void test_mask_meaning(void **state)
{
    (void)state;
    for (int a = 0; a < ARCHES; a++) {
        bool own = arches[a] != DK_GNN_GCN && arches[a] != DK_GNN_GIN && arches[a] != DK_GNN_SAGE &&
                   arches[a] != DK_GNN_GRAPHCONV;
        dk_gnn *m = ts_gnn_random(arches[a], task_of(arches[a]), 2, F, 3);
        double mask[128];
        dk_graph g;
        ts_run r;
        ts_graph_random(&g, 9, F, true, 8);
        double *z = ts_logits(m, &g);
        size_t n = (size_t)(task_of(arches[a]) == DK_TASK_NODE ? g.n : 1) * 3;
        ts_run_begin(&r, m, &g, NULL);
        for (int mode = 0; mode < 2; mode++) {
            for (int e = 0; e < g.e; e++)
                mask[e] = 1;
            output(&r, mask, (dk_mask_mode)mode, false, NULL);
            assert_near("ones", dk_value64(r.t, r.tr.logits), z, n, 1e-13);
            for (int e = 0; e < g.e; e++)
                mask[e] = g.src[e] == g.dst[e] ? 0 : 1;
            output(&r, mask, (dk_mask_mode)mode, false, NULL);
            bool same = memcmp(dk_value64(r.t, r.tr.logits), z, n * sizeof *z) == 0;
            if (mode == DK_MASK_MESSAGE || !own || arches[a] == DK_GNN_GAT ||
                arches[a] == DK_GNN_GATV2)
                assert_int_equal(same, own);
        }
        free(z);
        ts_run_end(&r);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

/* A mask of 0 everywhere, own loops included: 1 / sqrt(0) is 0, and so are its gradients. */
static void test_mask_all_gone(void **state)
{
    static const int32_t edge[][2] = {{0, 0}, {0, 1}, {1, 0}, {1, 1}};
    static const double x[] = {1, 2, 3, -1, 0, 1};
    const double none[4] = {0};
    double grad[4];
    dk_gnn *m = ts_gnn_random(DK_GNN_GCN_NORM, DK_TASK_GRAPH, 2, F, 3);
    dk_graph g;
    ts_run r;

    (void)state;
    ts_graph(&g, 2, 4, edge, F, x);
    ts_run_begin(&r, m, &g, NULL);
    assert_true(isfinite(output(&r, none, DK_MASK_WEIGHT, false, grad)));
    for (int i = 0; i < 4; i++)
        assert_true(grad[i] == 0);
    ts_run_end(&r);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* ---- Hooks. */

typedef struct journal {
    char text[1024];
    size_t len;
} journal;

static void note(void *ctx, const char *what, int site, int64_t rows)
{
    journal *j = ctx;
    j->len += (size_t)snprintf(j->text + j->len, sizeof j->text - j->len, "%s%d/%lld ", what, site,
                               (long long)rows);
}

static dk_var hook_act(void *ctx, dk_tape *t, int site, dk_fn fn, dk_var pre)
{
    note(ctx, "a", site, dk_var_rows(t, pre));
    return dk_apply(t, fn, pre, 0);
}

static dk_var hook_norm(void *ctx, dk_tape *t, int site, dk_var x)
{
    note(ctx, "n", site, dk_var_rows(t, x));
    return dk_l2norm_rows(t, x, 1e-12);
}

static dk_var hook_linear(void *ctx, dk_tape *t, int site, dk_var x, dk_var w, dk_var b)
{
    note(ctx, "l", site, dk_var_rows(t, x));
    assert_int_equal(dk_var_cols(t, w), dk_var_cols(t, x));
    return dk_linear_op(t, x, w, b);
}

static dk_var hook_attention(void *ctx, dk_tape *t, int site, dk_var alpha)
{
    note(ctx, "s", site, dk_var_cols(t, alpha));
    return alpha;
}

static dk_var hook_max(void *ctx, dk_tape *t, const int32_t *ptr, int32_t graphs, dk_var x)
{
    note(ctx, "m", 0, dk_var_rows(t, x));
    return dk_segment(t, DK_SEG_MAX, ptr, graphs, x);
}

static void test_hooks(void **state)
{
    static const struct {
        dk_gnn_arch arch;
        const char *order;
        const char *layers; /* of the activation sites */
    } want[] = {
        {DK_GNN_GCN, "n0/9 l0/9 a0/9 n1/9 l1/9 a1/9 l2/1 a2/1 l3/1 ", "120"},
        {DK_GNN_GIN, "l0/9 a0/9 l1/9 a1/9 l2/9 a2/9 l3/9 a3/9 l4/1 a4/1 l5/1 ", "11220"},
        {DK_GNN_SAGE, "l0/9 l1/9 a0/9 l2/9 l3/9 a1/9 l4/1 a2/1 l5/1 ", "120"},
        {DK_GNN_GRAPHCONV, "l0/9 l1/9 a0/9 l2/9 l3/9 a1/9 l4/1 a2/1 l5/1 ", "120"},
        {DK_GNN_GCN_NORM, "l0/9 a0/9 l1/9 a1/9 l2/1 a2/1 l3/1 ", "120"},
        {DK_GNN_GAT, "l0/9 s0/2 a0/9 l1/9 s1/2 a1/9 l2/1 a2/1 l3/1 ", "120"},
        {DK_GNN_GATV2, "l0/9 l1/9 s0/2 a0/9 l2/9 l3/9 s1/2 a1/9 l4/1 a2/1 l5/1 ", "120"},
        {DK_GNN_GCN_NORM_CAT, "l0/9 n0/9 a0/9 l1/9 n1/9 a1/9 l2/9 ", "12"},
        {DK_GNN_GCN_NORM_MAXMEAN, "l0/9 n0/9 a0/9 l1/9 n1/9 a1/9 m0/9 l2/1 ", "12"},
    };

    (void)state;
    for (int a = 0; a < ARCHES; a++) {
        dk_gnn *m = ts_gnn_random(want[a].arch, task_of(want[a].arch), 2, F, 3);
        journal j = {.len = 0};
        dk_gnn_hooks hooks = {&j, hook_act, hook_norm, hook_linear, hook_attention, hook_max};
        dk_graph g;
        ts_run r;
        ts_graph_random(&g, 9, F, true, 8);
        double *z = ts_logits(m, &g);
        ts_run_begin(&r, m, &g, NULL);
        r.o.hooks = &hooks;
        ts_run_go(&r);
        assert_string_equal(j.text, want[a].order);
        assert_memory_equal(dk_value64(r.t, r.tr.logits), z, 3 * sizeof *z);
        assert_int_equal(dk_gnn_act_sites(m), strlen(want[a].layers));
        for (int i = 0; i < dk_gnn_act_sites(m); i++)
            assert_int_equal(dk_gnn_act_layer(m, i), want[a].layers[i] - '0');
        free(z);
        ts_run_end(&r);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

/* ---- The same network in other ways. */

static void test_backends_and_precisions(void **state)
{
    (void)state;
    for (int a = 0; a < ARCHES; a++) {
        dk_gnn *m = ts_gnn_random(arches[a], task_of(arches[a]), 3, F, 21);
        dk_gnn *half = dk_gnn_copy(m, DK_F32, &err);
        dk_graph g;
        ts_run r;
        ts_graph_random(&g, 20, F, true, 4);
        double *z = ts_logits(m, &g), *z32 = ts_logits(half, &g);
        size_t n = (size_t)(task_of(arches[a]) == DK_TASK_NODE ? g.n : 1) * 3;
        ts_run_begin(&r, m, &g, dk_mat_reference(DK_F64));
        ts_run_go(&r);
        assert_near("reference", dk_value64(r.t, r.tr.logits), z, n, 1e-13);
        assert_near("f32", z32, z, n, 1e-5);
        free(z);
        free(z32);
        ts_run_end(&r);
        dk_graph_free(&g);
        dk_gnn_free(m);
        dk_gnn_free(half);
    }
}

/* Rows 2, 5 and 7 of every layer from messages of all rows, bit for bit. */
static void test_rows_alone(void **state)
{
    static const int32_t rows[] = {2, 5, 7};

    (void)state;
    for (int a = 0; a < ARCHES; a++) {
        dk_gnn *m = ts_gnn_random(arches[a], task_of(arches[a]), 2, F, 9);
        dk_graph g;
        ts_run r;
        ts_graph_random(&g, 9, F, true, 4);
        ts_run_begin(&r, m, &g, NULL);
        ts_run_go(&r);
        assert_int_equal(dk_gnn_is_linear_aggregate(m),
                         arches[a] != DK_GNN_GAT && arches[a] != DK_GNN_GATV2);
        for (int l = 0; l < 2 && dk_gnn_is_linear_aggregate(m); l++) {
            dk_var h = l ? r.tr.h[0] : dk_leaf(r.t, g.n, F, g.x, false);
            dk_var coef = r.in.coef ? dk_leaf(r.t, g.e, 1, r.in.coef, false) : DK_NOVAR;
            dk_var loop = r.in.loop ? dk_leaf(r.t, g.n, 1, r.in.loop, false) : DK_NOVAR;
            dk_var some = dk_gather_rows(r.t, h, rows, 3);
            dk_var agg = dk_aggregate(r.t, &r.in.adj, 1, coef, dk_gnn_message(m, r.t, &r.v, l, h));
            dk_var u = dk_gnn_update(m, r.t, &r.v, l, dk_gather_rows(r.t, agg, rows, 3),
                                     dk_gnn_message(m, r.t, &r.v, l, some),
                                     loop == DK_NOVAR ? loop : dk_gather_rows(r.t, loop, rows, 3));
            int64_t d = dk_var_cols(r.t, u);
            for (int i = 0; i < 3; i++)
                assert_memory_equal(dk_value64(r.t, u) + i * d,
                                    dk_value64(r.t, r.tr.h[l]) + rows[i] * d,
                                    (size_t)d * sizeof(double));
        }
        dk_var lin1, z = dk_gnn_classify(m, r.t, &r.v, &r.o, r.tr.pooled, &lin1);
        assert_memory_equal(dk_value64(r.t, z), dk_value64(r.t, r.tr.logits), 3 * sizeof(double));
        ts_run_end(&r);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

static void test_batch(void **state)
{
    (void)state;
    for (int a = 0; a < ARCHES; a++)
        for (int pad = 0; pad < 2; pad++) {
            dk_gnn *m = ts_gnn_random(arches[a], task_of(arches[a]), 2, F, 9);
            dk_graph g[3];
            const dk_graph *list[3] = {&g[0], &g[1], &g[2]};
            dk_batch b;
            ts_run r;
            m->c.pad_nodes = pad ? 8 : 0; /* more than the first has, fewer than the second */
            for (int i = 0; i < 3; i++) {
                ts_graph_random(&g[i], 5 + 6 * (i % 2), F, i != 2, 30 + (uint64_t)i);
                for (int k = 0; k < g[i].n * F; k++) /* a batch's features are f32 */
                    g[i].x[k] = (double)(float)g[i].x[k];
            }
            ts_run_begin(&r, m, &g[0], NULL);
            dk_gnn_input_free(&r.in);
            ts_ok(dk_batch_make(&b, list, 3, &err), &err);
            ts_ok(dk_gnn_input_batch(&r.in, m, &b, &err), &err);
            ts_run_go(&r);
            const double *all = dk_value64(r.t, r.tr.logits);
            for (int i = 0; i < 3; i++) {
                double *z = ts_logits(m, &g[i]);
                int32_t n = task_of(arches[a]) == DK_TASK_NODE
                                ? r.in.node_ptr[i + 1] - r.in.node_ptr[i]
                                : 1;
                assert_near(dk_gnn_arch_name(arches[a]), all, z, (size_t)n * 3, 1e-13);
                all += n * 3;
                free(z);
            }
            dk_batch_free(&b);
            for (int i = 0; i < 3; i++)
                dk_graph_free(&g[i]);
            ts_run_end(&r);
            dk_gnn_free(m);
        }
}

/* Padding by the model is the same as isolated zero nodes in the graph; not for larger graphs. */
static void test_padding(void **state)
{
    static const int32_t edge[][2] = {{0, 1}, {1, 0}, {1, 2}, {2, 1}, {2, 2}};
    static const double x[] = {1, 2, 3, -1, 0, 1, .5, 4, 2, 0, 0, 0, 0, 0, 0};

    (void)state;
    for (int a = 0; a < ARCHES; a++) {
        dk_gnn *m = ts_gnn_random(arches[a], task_of(arches[a]), 2, F, 9);
        dk_graph small, large;
        ts_graph(&small, 3, 5, edge, F, x);
        ts_graph(&large, 5, 5, edge, F, x);
        double *want = ts_logits(m, &large);
        m->c.pad_nodes = 5;
        double *z = ts_logits(m, &small), *same = ts_logits(m, &large);
        assert_memory_equal(z, want, 3 * sizeof *z);
        assert_memory_equal(same, want, 3 * sizeof *z);
        m->c.pad_nodes = 4;
        double *big = ts_logits(m, &large);
        assert_memory_equal(big, want, 3 * sizeof *z);
        free(want);
        free(z);
        free(same);
        free(big);
        dk_graph_free(&small);
        dk_graph_free(&large);
        dk_gnn_free(m);
    }
}

/* The neighbourhood of a node gives its logits, also where degrees at the rim are cut. */
static void test_neighbourhood(void **state)
{
    (void)state;
    for (int a = 0; a < ARCHES; a++) {
        if (arches[a] == DK_GNN_GCN_NORM_MAXMEAN)
            continue;
        dk_gnn *m = ts_gnn_random(arches[a], DK_TASK_NODE, 2, F, 9);
        dk_graph g, sub;
        int32_t center, *seen;
        ts_run r;
        ts_graph_random(&g, 40, F, true, 6);
        double *z = ts_logits(m, &g);
        seen = dk_graph_scratch(&g, &err);
        for (int32_t v = 0; v < g.n; v += 3) {
            ts_ok(dk_graph_khop(&g, v, 2, seen, &sub, &center, NULL, NULL, &err), &err);
            for (int mode = 0; mode < 2; mode++) {
                ts_run_begin(&r, m, &sub, NULL);
                r.o.node = center;
                r.o.mask_mode = (dk_mask_mode)mode;
                r.o.edge_mask = dk_leaf_fill(r.t, sub.e, 1, 1, false);
                ts_run_go(&r);
                assert_int_equal(dk_var_rows(r.t, r.tr.logits), 1);
                assert_near(dk_gnn_arch_name(arches[a]), dk_value64(r.t, r.tr.logits), z + 3 * v, 3,
                            1e-12);
                ts_run_end(&r);
            }
            dk_graph_free(&sub);
        }
        free(seen);
        free(z);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

static void test_readouts(void **state)
{
    static const dk_readout kind[] = {DK_READ_MEAN, DK_READ_SUM, DK_READ_MAX};
    dk_gnn *m = ts_gnn_random(DK_GNN_SAGE, DK_TASK_GRAPH, 2, F, 9);
    dk_graph g;
    ts_run r;

    (void)state;
    ts_graph_random(&g, 9, F, false, 6);
    ts_run_begin(&r, m, &g, NULL);
    for (int k = 0; k < 3; k++) {
        m->c.readout = kind[k];
        ts_run_go(&r);
        const double *h = dk_value64(r.t, r.tr.h[1]), *p = dk_value64(r.t, r.tr.pooled);
        for (int i = 0; i < 4; i++) {
            double sum = 0, max = -INFINITY;
            for (int v = 0; v < 9; v++) {
                sum += h[4 * v + i];
                max = fmax(max, h[4 * v + i]);
            }
            double want = k == 0 ? sum / 9 : k == 1 ? sum : max;
            assert_near("readout", &p[i], &want, 1, 1e-14);
        }
    }
    r.o.layers_only = true;
    ts_run_go(&r);
    assert_int_equal(r.tr.logits, DK_NOVAR);
    ts_run_end(&r);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* A graph without edges, and one without nodes: zero sums, no crash. */
static void test_empty(void **state)
{
    static const double x[] = {1, 2, 3, -1, 0, 1};

    (void)state;
    for (int a = 0; a < ARCHES; a++)
        for (int n = 0; n < 3; n += 2) {
            dk_gnn *m = ts_gnn_random(arches[a], task_of(arches[a]), 2, F, 9);
            dk_graph g;
            ts_graph(&g, n, 0, NULL, F, x);
            double *z = ts_logits(m, &g);
            for (int i = 0; i < (task_of(arches[a]) == DK_TASK_NODE ? n : 1) * 3; i++)
                assert_true(isfinite(z[i]));
            free(z);
            dk_graph_free(&g);
            dk_gnn_free(m);
        }
}

/* Training: parameters receive gradients, batch statistics move, dropout depends on its seed. */
static void test_train_mode(void **state)
{
    (void)state;
    for (int a = 0; a < ARCHES; a++) {
        dk_gnn *m = ts_gnn_random(arches[a], task_of(arches[a]), 2, F, 9);
        dk_tape *t = dk_tape_new(dk_mat_cpu(DK_F64));
        dk_gnn_vars v;
        dk_gnn_options o = dk_gnn_options_default();
        dk_gnn_input in;
        dk_gnn_trace tr;
        dk_graph g;
        const double h = 1e-6;
        double sum[3];
        ts_graph_random(&g, 9, F, true, 6);
        ts_ok(dk_gnn_input_graph(&in, m, &g, &err), &err);
        o.train = true;
        for (int i = 0; i < m->params; i += 3) {
            double *p = m->param[i].value, was = p[0];
            for (int s = 0; s < 3; s++) {
                p[0] = was + (s - 1) * h;
                dk_tape_reset(t);
                dk_gnn_bind(m, t, true, &v);
                dk_gnn_run(m, t, &v, &in, &o, &tr);
                dk_var y = dk_sum(t, dk_apply(t, DK_FN_SIGMOID, tr.logits, 0));
                sum[s] = dk_value64(t, y)[0];
                if (s == 1) {
                    memset(m->param[i].grad, 0, sizeof(double));
                    dk_backward(t, y, NULL);
                }
            }
            p[0] = was;
            if (fabs((sum[2] - sum[0]) / (2 * h) - *(double *)m->param[i].grad) > 1e-6)
                fail_msg("%s: %s: gradient %.9g, difference %.9g", dk_gnn_arch_name(arches[a]),
                         m->param[i].name, *(double *)m->param[i].grad,
                         (sum[2] - sum[0]) / (2 * h));
        }
        dk_gnn_input_free(&in);
        dk_tape_free(t);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

static void test_dropout(void **state)
{
    dk_gnn *m = ts_gnn_random(DK_GNN_GIN, DK_TASK_NODE, 2, F, 9);
    dk_graph g;
    ts_run r;
    double z[3][27], running = ((double *)m->buffer[0].value)[0];

    (void)state;
    m->c.dropout = .5;
    ts_graph_random(&g, 9, F, false, 6);
    ts_run_begin(&r, m, &g, NULL);
    for (int i = 0; i < 3; i++) {
        r.o.train = i > 0;
        r.o.dropout_seed = (uint64_t)i;
        ts_run_go(&r);
        memcpy(z[i], dk_value64(r.t, r.tr.logits), sizeof z[i]);
        assert_true(i > 0 || ((double *)m->buffer[0].value)[0] == running);
    }
    assert_memory_not_equal(z[0], z[1], sizeof z[0]);
    assert_memory_not_equal(z[1], z[2], sizeof z[1]);
    assert_true(((double *)m->buffer[0].value)[0] != running);
    ts_run_end(&r);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_pyg, fresh),
        cmocka_unit_test_setup(test_pyg_weight_mask, fresh),
        cmocka_unit_test_setup(test_graphconv_by_hand, fresh),
        cmocka_unit_test_setup(test_gcn_by_hand, fresh),
        cmocka_unit_test_setup(test_gatv2_by_hand, fresh),
        cmocka_unit_test_setup(test_mask_gradients, fresh),
        cmocka_unit_test_setup(test_mask_meaning, fresh),
        cmocka_unit_test_setup(test_mask_all_gone, fresh),
        cmocka_unit_test_setup(test_hooks, fresh),
        cmocka_unit_test_setup(test_backends_and_precisions, fresh),
        cmocka_unit_test_setup(test_rows_alone, fresh),
        cmocka_unit_test_setup(test_batch, fresh),
        cmocka_unit_test_setup(test_padding, fresh),
        cmocka_unit_test_setup(test_neighbourhood, fresh),
        cmocka_unit_test_setup(test_readouts, fresh),
        cmocka_unit_test_setup(test_empty, fresh),
        cmocka_unit_test_setup(test_train_mode, fresh),
        cmocka_unit_test_setup(test_dropout, fresh),
    };

    return cmocka_run_group_tests_name("gnn-layers", tests, NULL, NULL);
}
