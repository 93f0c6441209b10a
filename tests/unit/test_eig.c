/* EiG-Search: the fixture's scores, incremental masks against whole forward passes at odd graphs,
 * published scores, nodes one by one and all at once, log-probabilities that saturate. */
#include "explain_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "graph/explain/eig_internal.h"
#include "io/csv.h"

/* ---- Probabilities. */
static void saturated_probabilities(void **state)
{
    const double far[] = {40, 0}, further[] = {800, -800, 700}, even[] = {1, 1, 1, 1};

    (void)state;
    /* log(1 / (1 + exp(-40))), where 1 - p has no digit left */
    assert_true(dk_probability(far, 2, 0) == 1);
    assert_true(fabs(dk_log_probability(far, 2, 0) / -4.248354255291589e-18 - 1) < 1e-14);
    ex_near(dk_log_probability(far, 2, 1), -40, 1e-15);
    ex_near(dk_log_probability(further, 3, 1), -1600, 1e-15);
    assert_true(fabs(dk_log_probability(further, 3, 0) / -exp(-100) - 1) < 1e-12);
    ex_near(dk_probability(further, 3, 1), 0, 0);
    ex_near(dk_log_probability(even, 4, 2), -log(4), 1e-15);
    ex_near(dk_probability(even, 4, 2), .25, 1e-15);
}

/* ---- The fixture. */
static void fixture(void **state)
{
    static const char *const arch[] = {"gcn", "gin"};
    dk_json j;

    (void)state;
    ex_expected(&j);
    for (int k = 0; k < 2; k++) {
        char name[32], path[32];
        double *x = ex_numbers(ex_at(&j, "graph/x"), NULL), *expect, *logp, *score;
        dk_graph g;
        ex_case c;
        snprintf(name, sizeof name, "tiny/tiny_%s", arch[k]);
        dk_gnn *m = ex_model(name);
        ex_graph(&g, "tiny", 2, 0);
        memcpy(g.x, x, 8 * sizeof *x);
        ex_open(&c, m, &g, -1, -1);
        assert_int_equal(c.i.target, 1);
        snprintf(path, sizeof path, "%s/eig/logp", arch[k]);
        logp = ex_numbers(ex_at(&j, path), NULL);
        snprintf(path, sizeof path, "%s/eig/score", arch[k]);
        expect = ex_numbers(ex_at(&j, path), NULL);
        ex_near(dk_log_probability(c.i.logits, 2, 0), logp[0], 1e-14);
        ex_near(dk_log_probability(c.i.logits, 2, 1), logp[1], 1e-14);
        score = ex_scores(&c, "eig", NULL);
        ex_close_to(path, score, expect, 8, 1e-13);
        free(score);
        free(expect);
        free(logp);
        free(x);
        ex_close(&c);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
    dk_json_free(&j);
}

/* ---- Incremental against plain. */
static const struct {
    dk_gnn_arch arch;
    dk_readout readout;
} kinds[] = {
    {DK_GNN_GCN, DK_READ_MEAN},
    {DK_GNN_GCN, DK_READ_MAX},
    {DK_GNN_GIN, DK_READ_MEAN},
    {DK_GNN_GIN, DK_READ_SUM},
    {DK_GNN_SAGE, DK_READ_MAX},
    {DK_GNN_GRAPHCONV, DK_READ_SUM},
    {DK_GNN_GCN_NORM, DK_READ_MEAN},
    {DK_GNN_GCN_NORM_MAXMEAN, DK_READ_MAX_MEAN},
    {DK_GNN_GAT, DK_READ_MEAN},
    {DK_GNN_GATV2, DK_READ_MAX},
    /* node task */
    {DK_GNN_GCN, DK_READ_NONE},
    {DK_GNN_GIN, DK_READ_NONE},
    {DK_GNN_SAGE, DK_READ_NONE},
    {DK_GNN_GCN_NORM, DK_READ_NONE},
    {DK_GNN_GCN_NORM_CAT, DK_READ_NONE},
    {DK_GNN_GAT, DK_READ_NONE},
};

static void check_rows(dk_eig *e, const dk_graph *g, const int32_t *set, int32_t n, int32_t classes,
                       const double *plain)
{
    const int32_t *rows;
    int32_t count;
    const double *z;
    double *all = ex_zeros((int64_t)g->n * classes), one[8];
    dk_err err;

    dk_err_init(&err);
    memcpy(all, dk_eig_logits(e), sizeof(double) * (size_t)(g->n * classes));
    ts_ok(dk_eig_masked_rows(e, set, n, &rows, &count, &z, &err), &err);
    for (int32_t i = 0; i < count; i++) {
        assert_true(i == 0 || rows[i] > rows[i - 1]);
        memcpy(all + rows[i] * classes, z + i * classes, sizeof(double) * (size_t)classes);
    }
    ex_close_to("masked rows", all, plain, (int64_t)g->n * classes, 1e-10);
    for (int32_t v = 0; v < g->n; v++) {
        bool changed;
        ts_ok(dk_eig_masked_row(e, set, n, false, v, one, &changed, &err), &err);
        ex_close_to("masked row", one, plain + v * classes, classes, 1e-10);
    }
    free(all);
}

static void check_sets(const dk_gnn *m, const dk_graph *g, double epsilon)
{
    static const int32_t some[] = {3, 0, 5, 3};
    bool node = m->c.task == DK_TASK_NODE;
    int32_t classes = m->c.classes;
    double *plain = ex_zeros((int64_t)g->n * classes), fast[8];
    ex_case c;
    dk_err err;

    dk_err_init(&err);
    ex_open(&c, m, g, node ? 0 : -1, 0);
    dk_eig *e = dk_eig_new(&c.w, &c.i.in, g, epsilon, &err);
    ts_ok(e ? 0 : err.code, &err);
    ex_close_to("unmasked", dk_eig_logits(e), c.i.logits, classes, 1e-12);
    for (int32_t k = -1; k <= g->e; k++) {
        const int32_t *set = k < 0 ? some : &k;
        int32_t n = k < 0 ? (g->e > 5 ? 4 : 0) : k < g->e ? 1 : 0; /* the last: nothing */
        ts_ok(dk_eig_masked_plain(e, set, n, plain, &err), &err);
        if (node) {
            check_rows(e, g, set, n, classes, plain);
        } else {
            ts_ok(dk_eig_masked(e, set, n, fast, &err), &err);
            ex_close_to("masked", fast, plain, classes, 1e-10);
        }
    }
    dk_eig_free(e);
    ex_close(&c);
    free(plain);
}

static void incremental_equals_plain(void **state)
{
    static const char *const name[] = {"odd", "weighted", "star", "loop", "path", "random:5"};

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        bool node = kinds[k].readout == DK_READ_NONE;
        dk_gnn *m = ex_random_model(kinds[k].arch, node ? DK_TASK_NODE : DK_TASK_GRAPH,
                                    kinds[k].readout, 3, 6, 3, 3, k + 1);
        for (size_t s = 0; s < sizeof name / sizeof *name; s++) {
            dk_graph g;
            ex_graph(&g, name[s], 3, s + 2);
            for (int32_t e = 0; g.weight && e < g.e; e++)
                g.weight[e] = m->c.arch == DK_GNN_GIN ? g.weight[e] : fabs(g.weight[e]);
            check_sets(m, &g, 0);
            check_sets(m, &g, .25);
            dk_graph_free(&g);
        }
        dk_gnn_free(m);
    }
}

/* Degrees that change with the mask: no shortcut, but the right numbers. */
static void masks_as_weights(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_GCN_NORM, DK_TASK_GRAPH, DK_READ_MEAN, 2, 5, 3, 2, 5);
    dk_explain_params p = dk_explain_params_default();
    dk_graph g, less;
    ex_case c, without;
    double *weight, *message;
    uint8_t keep[64];
    dk_err err;

    (void)state;
    dk_err_init(&err);
    ex_graph(&g, "path", 3, 1);
    ex_open(&c, m, &g, -1, 0);
    message = ex_scores(&c, "eig", &p);
    p.mask_mode = DK_MASK_WEIGHT;
    weight = ex_scores(&c, "eig", &p);
    for (int32_t e = 0; e < g.e; e++) {
        memset(keep, 1, sizeof keep);
        keep[e] = keep[g.rev[e]] = 0;
        ts_ok(dk_graph_drop_edges(&g, keep, &less, &err), &err);
        ex_open(&without, m, &less, -1, 0);
        ex_near(weight[e],
                dk_log_probability(c.i.logits, 2, 0) - dk_log_probability(without.i.logits, 2, 0),
                1e-12);
        assert_true(fabs(weight[e] - message[e]) > 1e-9);
        ex_close(&without);
        dk_graph_free(&less);
    }
    free(weight);
    free(message);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* The score is the drop over the weight change, in every column. */
static void columns(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_SAGE, DK_TASK_GRAPH, DK_READ_MEAN, 3, 6, 3, 3, 8);
    dk_explain_params p = dk_explain_params_default();
    double masked[3];
    dk_graph g;
    ex_case c;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    ex_graph(&g, "weighted", 3, 4);
    ex_open(&c, m, &g, -1, 2);
    p.epsilon = .5;
    p.symmetric = false;
    dk_explanation out = {
        .score = ex_zeros(g.e), .score_c = ex_zeros(3 * (int64_t)g.e), .prob_drop = ex_zeros(g.e)};
    ts_ok(dk_explain(dk_explainer_find("eig"), &c.w, NULL, &c.i, &p, &out, &err), &err);
    dk_eig *eig = dk_eig_new(&c.w, &c.i.in, &g, .5, &err);
    for (int32_t e = 0; e < g.e; e++) {
        int32_t r = g.rev[e];
        double w = fabs(g.weight[e]), change = .5 * (r < 0 ? w : (w + fabs(g.weight[r])) / 2);
        ts_ok(dk_eig_masked_plain(eig, &e, 1, masked, &err), &err);
        for (int32_t y = 0; y < 3; y++)
            ex_near(out.score_c[3 * e + y],
                    (dk_log_probability(c.i.logits, 3, y) - dk_log_probability(masked, 3, y)) /
                        change,
                    1e-10);
        ex_near(out.score[e], out.score_c[3 * e + 2], 0);
        ex_near(out.prob_drop[e],
                (dk_probability(c.i.logits, 3, 2) - dk_probability(masked, 3, 2)) / change, 1e-10);
        assert_true(r < 0 || out.score[e] == out.score[r]);
    }
    dk_eig_free(eig);
    free(out.score);
    free(out.score_c);
    free(out.prob_drop);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* A set of one edge is that edge, in either direction or both; sets divide by all their edges. */
static void groups(void **state)
{
    static const int32_t set[] = {0, 2, 0, 2, 3, 1, 4};
    static const int32_t ptr[] = {0, 1, 2, 4, 4, 7};
    dk_gnn *m = ex_random_model(DK_GNN_GIN, DK_TASK_GRAPH, DK_READ_MEAN, 3, 6, 2, 2, 3);
    double score[5], masked[2], *single;
    dk_graph g;
    ex_case c;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    ex_graph(&g, "tiny", 2, 3); /* edge 0 is 0-1, edge 2 its reverse; 3: 1-2, 1 and 4: 0-2 */
    ex_open(&c, m, &g, -1, 1);
    single = ex_scores(&c, "eig", NULL);
    ts_ok(dk_eig_groups(&c.w, &c.i, 0, set, ptr, 5, score, &err), &err);
    ex_near(score[0], single[0], 1e-13);
    assert_true(score[1] == score[0] && score[2] == score[0]);
    assert_true(score[3] == 0);
    dk_eig *eig = dk_eig_new(&c.w, &c.i.in, &g, 0, &err);
    ts_ok(dk_eig_masked_plain(eig, set + 4, 3, masked, &err), &err);
    ex_near(score[4], (dk_log_probability(c.i.logits, 2, 1) - dk_log_probability(masked, 2, 1)) / 2,
            1e-12);
    const int32_t outside = 8;
    dk_eig_groups(&c.w, &c.i, 0, &outside, ptr, 1, score, &err);
    ts_failed(&err, DK_EUSAGE, "edge 8 of a graph with 8");
    assert_null(dk_eig_new(&c.w, &c.i.in, &g, 1, &err));
    ts_failed(&err, DK_EUSAGE, "base weight 1");
    dk_eig_free(eig);
    free(single);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* ---- Published scores. */
static void published(ex_case *c, const dk_csv *csv, size_t row)
{
    double *score = ex_scores(c, "eig", NULL);

    for (int32_t e = 0; e < c->i.g->e; e++) {
        double expect = strtod(dk_csv_at(csv, row + (size_t)e, 3), NULL);
        ex_near(score[e], expect, 1e-6);
        /* Down to saturated ones, in their own size. */
        assert_true(fabs(score[e] - expect) <= 1e-8 * fabs(expect) + 1e-15);
    }
    free(score);
}

static void reference_scores(void **state)
{
    (void)state;
    ex_references(published);
}

/* ---- Nodes. */
enum { NODES = 6 };

typedef struct neighbourhoods {
    dk_graph sub[NODES];
    int32_t center[NODES], *edge_of[NODES], edges[NODES];
    double *score[NODES], *score_c[NODES];
} neighbourhoods;

static void cut_out(neighbourhoods *h, const dk_graph *g, const int32_t *node, int hops,
                    int32_t classes)
{
    dk_err err;

    dk_err_init(&err);
    int32_t *seen = dk_graph_scratch(g, &err);
    for (int k = 0; k < NODES; k++) {
        ts_ok(dk_graph_khop(g, node[k], hops, seen, &h->sub[k], &h->center[k], NULL, &h->edge_of[k],
                            &err),
              &err);
        h->edges[k] = h->sub[k].e;
        h->score[k] = ex_zeros(h->edges[k]);
        h->score_c[k] = ex_zeros(h->edges[k] * (int64_t)classes);
    }
    free(seen);
}

static void free_neighbourhoods(neighbourhoods *h)
{
    for (int k = 0; k < NODES; k++) {
        dk_graph_free(&h->sub[k]);
        free(h->edge_of[k]);
        free(h->score[k]);
        free(h->score_c[k]);
    }
}

/* To the bit: which way is taken depends on how many nodes a run or its shard explains. */
static void alone_is_same(ex_case *c, const double *score, const double *score_c, int32_t edges,
                          int32_t classes)
{
    const dk_explain_params p = dk_explain_params_default();
    size_t n = (size_t)edges, m = n * (size_t)classes;
    dk_explanation out = {.score = ex_zeros((int64_t)n), .score_c = ex_zeros((int64_t)m)};
    dk_err err;

    dk_err_init(&err);
    ts_ok(dk_explain(&dk_explainer_eig, &c->w, NULL, &c->i, &p, &out, &err), &err);
    for (size_t j = 0; j < n; j++)
        assert_true(out.score[j] == score[j]);
    for (size_t j = 0; j < m; j++)
        assert_true(out.score_c[j] == score_c[j]);
    free(out.score);
    free(out.score_c);
}

/* All at once, each in its neighbourhood, and from whole masked networks. */
static void compare_nodes(const dk_gnn *m, const dk_graph *g, const int32_t *node)
{
    neighbourhoods h;
    int32_t classes = m->c.classes;
    double *plain = ex_zeros((int64_t)g->n * classes), at[8], now[8];
    dk_err err;
    ex_case c;

    dk_err_init(&err);
    cut_out(&h, g, node, m->c.layers, classes);
    ts_ok(dk_eig_nodes(m, g, node, NODES, h.edge_of, h.edges, 0, h.score, h.score_c, &err),
          &err);
    for (int k = 0; k < NODES; k++) {
        ex_open(&c, m, &h.sub[k], h.center[k], -1);
        alone_is_same(&c, h.score[k], h.score_c[k], h.edges[k], classes);
        ex_close(&c);
    }
    ex_open(&c, m, g, node[0], -1);
    dk_eig *eig = dk_eig_new(&c.w, &c.i.in, g, 0, &err);
    dk_eig_output(m, c.i.logits, at);
    for (int32_t j = 0; j < h.edges[0]; j += 1 + h.edges[0] / 40) {
        int32_t e = h.edge_of[0][j];
        double sum = 0;
        ts_ok(dk_eig_masked_plain(eig, &e, 1, plain, &err), &err);
        dk_eig_output(m, plain + (int64_t)node[0] * classes, now);
        for (int32_t y = 0; y < classes; y++)
            sum += (at[y] - now[y]) * (at[y] - now[y]);
        ex_near(h.score[0][j], sqrt(sum), 1e-9);
    }
    dk_eig_free(eig);
    ex_close(&c);
    free_neighbourhoods(&h);
    free(plain);
}

static void nodes_all_at_once(void **state)
{
    static const int32_t node[NODES] = {300, 301, 442, 699, 0, 555};
    static const int32_t few[NODES] = {0, 1, 2, 3, 4, 6};
    dk_gnn *m = ex_model("gin_ba_shape");
    dk_dataset d;
    dk_graph g;

    (void)state;
    ex_data(&d, "ba_shape", m);
    compare_nodes(m, &d.graphs[0], node);
    dk_dataset_free(&d);
    dk_gnn_free(m);
    /* One-way edges, loops, an isolated node; softmax outputs; attention. */
    for (int k = 0; k < 4; k++) {
        static const dk_gnn_arch arch[] = {DK_GNN_GCN, DK_GNN_GCN_NORM, DK_GNN_GCN_NORM_CAT,
                                           DK_GNN_GAT};
        m = ex_random_model(arch[k], DK_TASK_NODE, DK_READ_NONE, 3, 4, 3, 3, 9);
        ex_graph(&g, "odd", 3, 2);
        compare_nodes(m, &g, few);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

static void same_bytes_for_any_threads(void **state)
{
    static const int32_t node[NODES] = {300, 311, 422, 600, 7, 512};
    dk_gnn *m = ex_model("gin_ba_shape");
    neighbourhoods one, three;
    dk_dataset d;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    ex_data(&d, "ba_shape", m);
    cut_out(&one, &d.graphs[0], node, 3, m->c.classes);
    cut_out(&three, &d.graphs[0], node, 3, m->c.classes);
    dk_set_threads(1);
    ts_ok(dk_eig_nodes(m, &d.graphs[0], node, NODES, one.edge_of, one.edges, 0, one.score,
                       NULL, &err),
          &err);
    dk_set_threads(3);
    ts_ok(dk_eig_nodes(m, &d.graphs[0], node, NODES, three.edge_of, three.edges, 0, three.score,
                       NULL, &err),
          &err);
    dk_set_threads(1);
    for (int k = 0; k < NODES; k++)
        assert_memory_equal(one.score[k], three.score[k], sizeof(double) * (size_t)one.edges[k]);
    free_neighbourhoods(&one);
    free_neighbourhoods(&three);
    dk_dataset_free(&d);
    dk_gnn_free(m);
}

/* Far edges of a long path are not touched: the rows that change do not grow with the graph. */
static void only_near_rows_change(void **state)
{
    enum { N = 1000 };
    dk_gnn *m = ex_random_model(DK_GNN_GIN, DK_TASK_NODE, DK_READ_NONE, 3, 4, 2, 2, 6);
    int32_t *src = malloc(sizeof(int32_t) * 2 * N), *dst = malloc(sizeof(int32_t) * 2 * N);
    const int32_t *rows;
    int32_t count, edge = 1001; /* 501 -> 500 or the like, in the middle */
    const double *z;
    dk_graph g = {0};
    ex_case c;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    for (int32_t v = 0; v < N - 1; v++) {
        src[2 * v] = dst[2 * v + 1] = v;
        dst[2 * v] = src[2 * v + 1] = v + 1;
    }
    ts_ok(dk_graph_build(&g, N, 2 * (N - 1), src, dst, NULL, NULL, NULL, NULL, &err), &err);
    g.num_features = 2;
    g.x = calloc(2 * N, sizeof(double));
    for (int i = 0; i < 2 * N; i++)
        g.x[i] = ex_draw(3, (uint64_t)i);
    ex_open(&c, m, &g, 0, 0);
    dk_eig *e = dk_eig_new(&c.w, &c.i.in, &g, 0, &err);
    ts_ok(dk_eig_masked_rows(e, &edge, 1, &rows, &count, &z, &err), &err);
    assert_int_equal(count, 6);
    assert_int_equal(rows[5] - rows[0], 5);
    dk_eig_free(e);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
    free(src);
    free(dst);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saturated_probabilities),
        cmocka_unit_test(fixture),
        cmocka_unit_test(incremental_equals_plain),
        cmocka_unit_test(masks_as_weights),
        cmocka_unit_test(columns),
        cmocka_unit_test(groups),
        cmocka_unit_test(reference_scores),
        cmocka_unit_test(nodes_all_at_once),
        cmocka_unit_test(same_bytes_for_any_threads),
        cmocka_unit_test(only_near_rows_change),
    };
    /* Graphs this small gain nothing from threads. */
    dk_set_threads(1);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
