/* graph/graph.h: building, both groupings, parts of graphs, batches. */
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/dataset.h"
#include "unit/support.h"

static dk_err err;

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    return 0;
}

/* Everything that graph.h promises about a graph in hand. */
static void check_graph(const dk_graph *g)
{
    int32_t one_way = 0;

    assert_int_equal(g->out_ptr[0], 0);
    assert_int_equal(g->in_ptr[0], 0);
    assert_int_equal(g->out_ptr[g->n], g->e);
    assert_int_equal(g->in_ptr[g->n], g->e);
    for (int32_t e = 0; e < g->e; e++) {
        int32_t s = g->src[e], d = g->dst[e], r = g->rev[e];
        assert_in_range(s, 0, g->n - 1);
        assert_in_range(d, 0, g->n - 1);
        assert_true(e == 0 || g->src[e - 1] < s || (g->src[e - 1] == s && g->dst[e - 1] < d));
        assert_in_range(e, g->out_ptr[s], g->out_ptr[s + 1] - 1);
        assert_int_equal(g->out_edge[e], e);
        one_way += r < 0;
        if (r >= 0) {
            assert_int_equal(g->src[r], d);
            assert_int_equal(g->dst[r], s);
            assert_int_equal(g->rev[r], e);
        }
        if (s == d)
            assert_int_equal(r, e);
    }
    assert_int_equal(one_way, g->one_way);
    for (int32_t v = 0; v < g->n; v++)
        for (int32_t k = g->in_ptr[v]; k < g->in_ptr[v + 1]; k++) {
            assert_int_equal(g->dst[g->in_edge[k]], v);
            assert_true(k == g->in_ptr[v] || g->in_edge[k - 1] < g->in_edge[k]);
        }
}

static int32_t find_edge(const dk_graph *g, int32_t s, int32_t d)
{
    for (int32_t e = g->out_ptr[s]; e < g->out_ptr[s + 1]; e++)
        if (g->dst[e] == d)
            return e;
    return -1;
}

/* A random multigraph with loops; the lists come from the test's own hashes. */
enum { RN = 40, RM = 300 };
static void random_lists(int seed, int32_t *src, int32_t *dst, double *w, uint8_t *gt)
{
    for (int i = 0; i < RM; i++) {
        uint64_t h = dk_splitmix64((uint64_t)(seed * 1000 + i));
        src[i] = (int32_t)(h % RN);
        dst[i] = (int32_t)(h / RN % (RN - 3)); /* the last nodes are never entered */
        w[i] = 1 + (double)(h >> 40 & 15);
        gt[i] = h >> 50 & 1;
    }
}

static void building_agrees_with_brute_force(void **state)
{
    (void)state;
    for (int seed = 0; seed < 20; seed++) {
        int32_t src[RM], dst[RM], position[RM];
        double w[RM];
        uint8_t gt[RM];
        int64_t merged;
        dk_graph g;
        random_lists(seed, src, dst, w, gt);
        ts_ok(dk_graph_build(&g, RN, RM, src, dst, w, gt, &merged, position, &err), &err);
        check_graph(&g);
        assert_int_equal(g.e + merged, RM);
        for (int i = 0; i < RM; i++) {
            int32_t e = find_edge(&g, src[i], dst[i]);
            int first = 0;
            uint8_t any = 0;
            assert_int_equal(position[i], e);
            for (int k = RM - 1; k >= 0; k--)
                if (src[k] == src[i] && dst[k] == dst[i]) {
                    first = k;
                    any |= gt[k];
                }
            assert_true(g.weight[e] == w[first]);
            assert_int_equal(g.gt[e], any);
            int32_t back = find_edge(&g, dst[i], src[i]);
            assert_int_equal(g.rev[e], back);
        }
        dk_adj a = dk_graph_adj(&g);
        assert_int_equal(a.n_src, RN);
        assert_int_equal(a.n_edges, g.e);
        assert_ptr_equal(a.in_edge, g.in_edge);
        dk_graph_free(&g);
    }
}

static void small_and_bad_graphs(void **state)
{
    int32_t src[] = {0, 3}, dst[] = {1, 0};
    dk_graph g;
    (void)state;
    ts_ok(dk_graph_build(&g, 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, &err), &err);
    check_graph(&g);
    dk_graph_free(&g);
    dk_graph_free(&g);
    ts_ok(dk_graph_build(&g, 4, 2, src, dst, NULL, NULL, NULL, NULL, &err), &err);
    check_graph(&g);
    assert_int_equal(g.one_way, 2);
    assert_null(g.weight);
    assert_null(g.gt);
    dk_graph_free(&g);
    assert_int_equal(dk_graph_build(&g, 3, 2, src, dst, NULL, NULL, NULL, NULL, &err), DK_EFORMAT);
    ts_failed(&err, DK_EFORMAT, "edge 1 (3, 0): expected ids in 0 to 2");
    src[1] = -1;
    assert_int_equal(dk_graph_build(&g, 3, 2, src, dst, NULL, NULL, NULL, NULL, &err), DK_EFORMAT);
    ts_failed(&err, DK_EFORMAT, "edge 1 (-1, 0)");
}

/* A random graph with features and labels that name its nodes. */
static void random_graph(dk_graph *g, int seed)
{
    int32_t src[RM], dst[RM];
    double w[RM];
    uint8_t gt[RM];
    random_lists(seed, src, dst, w, gt);
    ts_ok(dk_graph_build(g, RN, seed % 2 ? 60 : RM, src, dst, w, gt, NULL, NULL, &err), &err);
    g->num_features = 2;
    g->x = dk_xcalloc(RN * 2, sizeof *g->x);
    g->y = dk_xcalloc(RN, sizeof *g->y);
    g->node_label = dk_xcalloc(RN, sizeof *g->node_label);
    g->label = 7;
    for (int v = 0; v < RN; v++) {
        g->x[2 * v] = v;
        g->x[2 * v + 1] = -v;
        g->y[v] = v % 3;
        g->node_label[v] = 100 + v;
    }
}

static void check_part(const dk_graph *g, const dk_graph *sub, const int32_t *node_of,
                       const int32_t *edge_of)
{
    check_graph(sub);
    assert_int_equal(sub->label, 7);
    for (int32_t v = 0; v < sub->n; v++) {
        assert_true(sub->x[2 * v] == node_of[v] && sub->x[2 * v + 1] == -node_of[v]);
        assert_int_equal(sub->y[v], g->y[node_of[v]]);
        assert_int_equal(sub->node_label[v], g->node_label[node_of[v]]);
        assert_true(v == 0 || node_of[v - 1] < node_of[v]);
    }
    for (int32_t e = 0; e < sub->e; e++) {
        assert_int_equal(node_of[sub->src[e]], g->src[edge_of[e]]);
        assert_int_equal(node_of[sub->dst[e]], g->dst[edge_of[e]]);
        assert_true(sub->weight[e] == g->weight[edge_of[e]]);
        assert_int_equal(sub->gt[e], g->gt[edge_of[e]]);
    }
}

static double in_degree(const dk_graph *g, int32_t v)
{
    double sum = 0;
    for (int32_t k = g->in_ptr[v]; k < g->in_ptr[v + 1]; k++)
        sum += g->weight[g->in_edge[k]];
    return sum;
}

static void neighbourhoods(void **state)
{
    (void)state;
    for (int seed = 0; seed < 6; seed++) {
        dk_graph g, sub;
        int32_t *seen, *node_of, *edge_of, center;
        random_graph(&g, seed);
        seen = dk_graph_scratch(&g, &err);
        for (int32_t v = 0; v < RN; v++)
            for (int hops = 0; hops < 4; hops++) {
                bool in[RN] = {false}, next[RN];
                int32_t count = 0, edges = 0;
                in[v] = true;
                for (int h = 0; h < hops; h++) {
                    memcpy(next, in, sizeof in);
                    for (int32_t e = 0; e < g.e; e++)
                        next[g.src[e]] |= in[g.dst[e]];
                    memcpy(in, next, sizeof in);
                }
                for (int u = 0; u < RN; u++)
                    count += in[u];
                for (int32_t e = 0; e < g.e; e++)
                    edges += in[g.src[e]] && in[g.dst[e]];
                ts_ok(dk_graph_khop(&g, v, hops, seen, &sub, &center, &node_of, &edge_of, &err),
                      &err);
                assert_int_equal(sub.n, count);
                assert_int_equal(sub.e, edges);
                assert_int_equal(node_of[center], v);
                check_part(&g, &sub, node_of, edge_of);
                for (int32_t i = 0; i < sub.n; i++)
                    assert_true(sub.degree[i] == in_degree(&g, node_of[i]));
                for (int u = 0; u < RN; u++)
                    assert_int_equal(seen[u], -1);
                /* A part of a part still knows the degrees of the whole. */
                dk_graph inner;
                int32_t *scratch = dk_graph_scratch(&sub, &err), at;
                ts_ok(dk_graph_khop(&sub, center, 1, scratch, &inner, &at, NULL, NULL, &err), &err);
                assert_true(inner.degree[at] == in_degree(&g, v));
                dk_graph_free(&inner);
                free(scratch);
                dk_graph_free(&sub);
                free(node_of);
                free(edge_of);
            }
        dk_graph_free(&g);
        free(seen);
    }
}

static void neighbourhood_of_no_node(void **state)
{
    dk_graph g, sub;
    int32_t *seen, center;
    (void)state;
    random_graph(&g, 1);
    seen = dk_graph_scratch(&g, &err);
    dk_graph_khop(&g, RN, 1, seen, &sub, &center, NULL, NULL, &err);
    ts_failed(&err, DK_EUSAGE, "node 40: expected 0 to 39");
    dk_graph_khop(&g, 0, -1, seen, &sub, &center, NULL, NULL, &err);
    ts_failed(&err, DK_EUSAGE, "-1 hops");
    free(seen);
    dk_graph_free(&g);
}

static void chosen_edges(void **state)
{
    (void)state;
    for (int seed = 0; seed < 6; seed++) {
        dk_graph g, sub;
        int32_t *node_of, *edge_of;
        uint8_t keep[RM] = {0};
        bool touched[RN] = {false};
        int32_t kept = 0, nodes = 0, k = 0;
        random_graph(&g, seed);
        for (int32_t e = 0; e < g.e; e++) {
            keep[e] = dk_splitmix64((uint64_t)(seed + e)) % 5 == 0;
            kept += keep[e];
            if (keep[e])
                touched[g.src[e]] = touched[g.dst[e]] = true;
        }
        for (int v = 0; v < RN; v++)
            nodes += touched[v];
        ts_ok(dk_graph_edge_induced(&g, keep, &sub, &node_of, &edge_of, &err), &err);
        check_part(&g, &sub, node_of, edge_of);
        assert_int_equal(sub.e, kept);
        assert_int_equal(sub.n, nodes);
        assert_null(sub.degree);
        dk_graph_free(&sub);
        free(node_of);
        free(edge_of);
        ts_ok(dk_graph_drop_edges(&g, keep, &sub, &err), &err);
        check_graph(&sub);
        assert_int_equal(sub.n, RN);
        assert_int_equal(sub.e, kept);
        assert_memory_equal(sub.x, g.x, RN * 2 * sizeof *g.x);
        for (int32_t e = 0; e < g.e; e++)
            if (keep[e]) {
                assert_int_equal(sub.src[k], g.src[e]);
                assert_int_equal(sub.dst[k++], g.dst[e]);
            }
        dk_graph_free(&sub);
        memset(keep, 0, sizeof keep);
        ts_ok(dk_graph_edge_induced(&g, keep, &sub, NULL, NULL, &err), &err);
        assert_int_equal(sub.n, 0);
        assert_int_equal(sub.e, 0);
        dk_graph_free(&sub);
        dk_graph_free(&g);
    }
}

/* Dropping edges from a cut-out part takes them off the degrees known from the whole. */
static void degrees_after_dropping(void **state)
{
    dk_graph g, sub, less;
    int32_t *seen, center;
    uint8_t keep[RM];
    (void)state;
    random_graph(&g, 2);
    seen = dk_graph_scratch(&g, &err);
    ts_ok(dk_graph_khop(&g, 3, 1, seen, &sub, &center, NULL, NULL, &err), &err);
    assert_true(sub.e > 0);
    memset(keep, 1, sizeof keep);
    keep[0] = 0;
    ts_ok(dk_graph_drop_edges(&sub, keep, &less, &err), &err);
    for (int32_t v = 0; v < sub.n; v++)
        assert_true(less.degree[v] == sub.degree[v] - (v == sub.dst[0] ? sub.weight[0] : 0));
    dk_graph_free(&less);
    dk_graph_free(&sub);
    dk_graph_free(&g);
    free(seen);
}

static void relabelling(void **state)
{
    int32_t perm[RN];
    dk_graph g, out;
    (void)state;
    random_graph(&g, 4);
    for (int v = 0; v < RN; v++)
        perm[v] = (7 * v + 3) % RN;
    ts_ok(dk_graph_relabel(&g, perm, &out, &err), &err);
    check_graph(&out);
    assert_int_equal(out.e, g.e);
    for (int v = 0; v < RN; v++) {
        assert_true(out.x[2 * perm[v]] == v);
        assert_int_equal(out.y[perm[v]], g.y[v]);
        assert_int_equal(out.node_label[perm[v]], 100 + v);
    }
    for (int32_t e = 0; e < g.e; e++) {
        int32_t k = find_edge(&out, perm[g.src[e]], perm[g.dst[e]]);
        assert_true(k >= 0 && out.weight[k] == g.weight[e] && out.gt[k] == g.gt[e]);
    }
    dk_graph_free(&out);
    perm[1] = perm[0];
    dk_graph_relabel(&g, perm, &out, &err);
    ts_failed(&err, DK_EUSAGE, "new number 3 of node 1");
    dk_graph_free(&g);
}

static void batches(void **state)
{
    dk_graph g[3], empty;
    dk_batch b;
    (void)state;
    random_graph(&g[0], 0);
    random_graph(&g[2], 1);
    ts_ok(dk_graph_build(&g[1], 0, 0, NULL, NULL, NULL, NULL, NULL, NULL, &err), &err);
    g[1].num_features = 2;
    g[1].x = dk_xcalloc(1, sizeof *g[1].x);
    const dk_graph *all[] = {&g[0], &g[1], &g[2]};
    ts_ok(dk_batch_make(&b, all, 3, &err), &err);
    assert_int_equal(b.n, 2 * RN);
    assert_int_equal(b.e, g[0].e + g[2].e);
    assert_int_equal(b.node_ptr[1], RN);
    assert_int_equal(b.node_ptr[2], RN);
    assert_int_equal(b.edge_ptr[2], g[0].e);
    assert_int_equal(b.label[0], 7);
    assert_int_equal(b.label[1], -1);
    dk_adj a = dk_batch_adj(&b);
    for (int32_t v = 0; v < a.n_dst; v++) {
        for (int32_t k = a.in_ptr[v]; k < a.in_ptr[v + 1]; k++)
            assert_int_equal(a.dst[a.in_edge[k]], v);
        for (int32_t k = a.out_ptr[v]; k < a.out_ptr[v + 1]; k++)
            assert_int_equal(a.src[a.out_edge[k]], v);
    }
    for (int32_t e = 0; e < g[2].e; e++) {
        assert_int_equal(b.src[g[0].e + e], RN + g[2].src[e]);
        assert_int_equal(b.dst[g[0].e + e], RN + g[2].dst[e]);
        assert_true(b.weight[g[0].e + e] == g[2].weight[e]);
    }
    assert_true(b.x32[2 * RN + 2] == 1.0f && b.x32[2 * RN + 3] == -1.0f);
    assert_null(b.degree);
    dk_batch_free(&b);
    ts_ok(dk_graph_build(&empty, 2, 0, NULL, NULL, NULL, NULL, NULL, NULL, &err), &err);
    all[1] = &empty;
    dk_batch_make(&b, all, 3, &err);
    ts_failed(&err, DK_EFORMAT, "graph 1 of a batch: expected 2 features, found 0");
    for (int i = 0; i < 3; i++)
        dk_graph_free(&g[i]);
    dk_graph_free(&empty);
}

/* 200 neighbourhoods in a tree of 10^6 nodes: a walk over all of it each time would take longer. */
static void neighbourhood_is_local(void **state)
{
    dk_graph g, sub;
    int32_t *seen, center;
    (void)state;
    ts_ok(dk_gen_barabasi_albert(&g, 1000000, 1, 5, &err), &err);
    assert_int_equal(g.e, 2 * 999999);
    seen = dk_graph_scratch(&g, &err);
    double begin = dk_now();
    for (int i = 0; i < 200; i++) {
        /* One hop: late nodes hang on hubs, whose edges would be a large result. */
        ts_ok(dk_graph_khop(&g, 900000 + i, 1, seen, &sub, &center, NULL, NULL, &err), &err);
        dk_graph_free(&sub);
    }
    assert_true(dk_now() - begin < 1.0);
    free(seen);
    dk_graph_free(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(building_agrees_with_brute_force, fresh),
        cmocka_unit_test_setup(small_and_bad_graphs, fresh),
        cmocka_unit_test_setup(neighbourhoods, fresh),
        cmocka_unit_test_setup(neighbourhood_of_no_node, fresh),
        cmocka_unit_test_setup(chosen_edges, fresh),
        cmocka_unit_test_setup(degrees_after_dropping, fresh),
        cmocka_unit_test_setup(relabelling, fresh),
        cmocka_unit_test_setup(batches, fresh),
        cmocka_unit_test_setup(neighbourhood_is_local, fresh),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
