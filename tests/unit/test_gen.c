/* The generators of graph/dataset.h: counts as published, ground truth, determinism, scale. */
#include <math.h>
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
    dk_log_init("test", -1);
    return 0;
}

static void make(dk_dataset *d, const char *kind, int64_t count, int64_t base, double noise,
                 uint64_t seed)
{
    dk_gen_options o = {kind, count, base, noise, seed};
    ts_ok(dk_dataset_generate(d, &o, &err), &err);
    assert_int_equal(d->one_way_edges, 0);
}

static void hash_set(const dk_dataset *d, char hex[33])
{
    dk_hasher *h = dk_hash_new();
    for (int32_t i = 0; i < d->count; i++) {
        const dk_graph *g = &d->graphs[i];
        dk_hash_add(h, g->src, (size_t)g->e * sizeof *g->src);
        dk_hash_add(h, g->dst, (size_t)g->e * sizeof *g->dst);
        dk_hash_add(h, g->gt, (size_t)g->e);
        dk_hash_add(h, d->attr[i], (size_t)(g->n * d->attributes) * sizeof(double));
        if (g->y)
            dk_hash_add(h, g->y, (size_t)g->n * sizeof *g->y);
    }
    dk_hash_hex(h, hex);
}

static void seeds(void **state)
{
    static const char *const kinds[] = {"ba-shapes", "ba-community", "tree-cycles", "tree-grid",
                                        "ba-2motifs"};
    (void)state;
    for (int k = 0; k < 5; k++) {
        char first[33], again[33], other[33];
        dk_dataset d;
        make(&d, kinds[k], 0, 0, -1, 3);
        assert_string_equal(d.name, kinds[k]);
        hash_set(&d, first);
        dk_dataset_free(&d);
        make(&d, kinds[k], 0, 0, -1, 3);
        hash_set(&d, again);
        dk_dataset_free(&d);
        make(&d, kinds[k], 0, 0, -1, 4);
        hash_set(&d, other);
        dk_dataset_free(&d);
        assert_string_equal(first, again);
        assert_string_not_equal(first, other);
    }
}

static bool connected(const dk_graph *g)
{
    int32_t *seen = dk_graph_scratch(g, &err), center;
    dk_graph sub;
    ts_ok(dk_graph_khop(g, 0, g->n, seen, &sub, &center, NULL, NULL, &err), &err);
    bool all = sub.n == g->n;
    dk_graph_free(&sub);
    free(seen);
    return all;
}

static void node_sets_as_published(void **state)
{
    static const struct {
        const char *kind;
        int32_t n, least, most, gt, classes, counts[8];
    } sets[] = {
        {"ba-shapes", 700, 4110, 4110, 960, 4, {300, 160, 160, 80}},
        {"ba-community", 1400, 8900, 8920, 1920, 8, {300, 160, 160, 80, 300, 160, 160, 80}},
        /* 930 edges and 60 coins, 1 % more: all coins can fall either way, in theory */
        {"tree-cycles", 871, 1900, 1980, 720, 2, {511, 360}},
        {"tree-grid", 1231, 3410, 3410, 1920, 2, {511, 720}},
    };
    (void)state;
    for (int k = 0; k < 4; k++) {
        int32_t counts[8] = {0}, gt = 0, split[4] = {0};
        dk_dataset d;
        make(&d, sets[k].kind, 0, 0, -1, 1);
        const dk_graph *g = &d.graphs[0];
        assert_int_equal(d.task, DK_TASK_NODE);
        assert_int_equal(d.attributes, 10);
        assert_int_equal(g->n, sets[k].n);
        assert_in_range(g->e, sets[k].least, sets[k].most);
        assert_int_equal(d.classes, sets[k].classes);
        for (int32_t v = 0; v < g->n; v++) {
            counts[g->y[v]]++;
            split[d.split[v]]++;
        }
        assert_memory_equal(counts, sets[k].counts, sizeof counts);
        assert_int_equal(split[DK_SPLIT_TRAIN], g->n * 8 / 10);
        assert_int_equal(split[DK_SPLIT_VAL], g->n / 10);
        for (int32_t e = 0; e < g->e; e++) {
            gt += g->gt[e];
            assert_int_not_equal(g->src[e], g->dst[e]);
            if (g->gt[e])
                assert_true(g->y[g->src[e]] % 4 > 0 && g->y[g->dst[e]] % 4 > 0);
        }
        assert_int_equal(gt, sets[k].gt);
        assert_true(connected(g));
        dk_dataset_free(&d);
    }
}

static bool joined(const dk_graph *g, int32_t u, int32_t v)
{
    for (int32_t e = g->out_ptr[u]; e < g->out_ptr[u + 1]; e++)
        if (g->dst[e] == v)
            return true;
    return false;
}

/* Without noise the graph is base, motifs and links, nothing else. */
static void structure(void **state)
{
    dk_dataset d;
    const dk_graph *g;
    (void)state;
    make(&d, "ba-shapes", 0, 0, 0, 2);
    g = &d.graphs[0];
    assert_int_equal(g->e, 2 * 2035);
    for (int h = 0; h < 80; h++) {
        static const int32_t label[] = {1, 1, 2, 2, 3};
        int32_t s = 300 + 5 * h;
        assert_true(joined(g, s, 3 * h));
        assert_true(joined(g, s, s + 1) && joined(g, s + 1, s + 2) && joined(g, s + 2, s + 3));
        assert_true(joined(g, s + 3, s) && joined(g, s + 4, s) && joined(g, s + 4, s + 1));
        for (int k = 0; k < 5; k++)
            assert_int_equal(g->y[s + k], label[k]);
    }
    for (int32_t v = 0; v < 5; v++)
        assert_true(joined(g, v, 5));
    for (int32_t u = 0; u < 5; u++)
        for (int32_t v = 0; v < 5; v++)
            assert_false(joined(g, u, v));
    assert_true(d.attr[0][6999] == 1);
    dk_dataset_free(&d);
    make(&d, "tree-grid", 0, 0, 0, 2);
    g = &d.graphs[0];
    assert_int_equal(g->e, 2 * (510 + 80 * 13));
    for (int32_t v = 1; v < 511; v++)
        assert_true(joined(g, v, (v - 1) / 2));
    for (int k = 0; k < 80; k++) {
        int32_t s = 511 + 9 * k;
        assert_true(joined(g, s, 6 * k));
        for (int i = 0; i < 9; i++) {
            assert_int_equal(joined(g, s + i, s + i + 1), i % 3 < 2);
            if (i < 6)
                assert_true(joined(g, s + i, s + i + 3));
        }
    }
    dk_dataset_free(&d);
}

static void communities(void **state)
{
    double mean[2][3] = {{0}}, square[2][3] = {{0}};
    dk_dataset d;
    (void)state;
    make(&d, "ba-community", 0, 0, -1, 9);
    for (int32_t v = 0; v < 1400; v++)
        for (int c = 0; c < 3; c++) {
            double x = d.attr[0][v * 10 + c];
            mean[v / 700][c] += x / 700;
            square[v / 700][c] += x * x / 700;
        }
    for (int part = 0; part < 2; part++)
        for (int c = 0; c < 3; c++) {
            double m = c == 2 ? 0 : part ? 1 : -1, var = c == 2 ? 1 : 0.5;
            assert_true(fabs(mean[part][c] - m) < 0.15);
            assert_true(fabs(square[part][c] - mean[part][c] * mean[part][c] - var) < 0.2);
        }
    dk_dataset_free(&d);
}

static void two_motifs(void **state)
{
    dk_dataset d, few;
    (void)state;
    make(&d, "ba-2motifs", 0, 0, -1, 1);
    make(&few, "ba-2motifs", 1001, 0, -1, 1);
    assert_int_equal(d.count, 1000);
    assert_int_equal(d.classes, 2);
    for (int32_t i = 0; i < 1000; i++) {
        const dk_graph *g = &d.graphs[i];
        int32_t links = 0;
        assert_int_equal(g->label, i >= 500);
        assert_int_equal(g->n, 25);
        assert_int_equal(g->e, i >= 500 ? 52 : 50);
        assert_true(connected(g));
        for (int32_t e = 0; e < g->e; e++) {
            assert_int_equal(g->gt[e], g->src[e] >= 20 && g->dst[e] >= 20);
            links += g->src[e] < 20 && g->dst[e] == 20;
        }
        assert_int_equal(links, 1);
        assert_true(joined(g, 20, 21) && joined(g, 21, 22) && joined(g, 22, 23));
        assert_true(i < 500 ? joined(g, 23, 24) && joined(g, 24, 20)
                            : joined(g, 23, 20) && joined(g, 24, 20) && joined(g, 24, 21));
        assert_true(d.attr[i][249] == 0.1);
        if (i < 500)
            assert_memory_equal(g->src, few.graphs[i].src, (size_t)g->e * sizeof *g->src);
    }
    assert_int_equal(few.graphs[500].label, 0);
    assert_int_equal(few.graphs[501].label, 1);
    dk_dataset_free(&few);
    dk_dataset_free(&d);
}

/* Degrees of growth by preference: a heavy tail, which a uniform choice would not give. */
static void barabasi_albert(void **state)
{
    int32_t largest = 0;
    dk_graph g;
    (void)state;
    ts_ok(dk_gen_barabasi_albert(&g, 20000, 3, 7, &err), &err);
    assert_int_equal(g.e, 2 * 3 * (20000 - 3));
    assert_int_equal(g.one_way, 0);
    assert_int_equal(g.num_features, 1);
    assert_true(connected(&g));
    for (int32_t v = 0; v < g.n; v++) {
        int32_t degree = g.out_ptr[v + 1] - g.out_ptr[v];
        assert_true(degree >= (v < 3 ? 1 : 3));
        largest = degree > largest ? degree : largest;
    }
    assert_in_range(largest, 150, 2000);
    dk_graph_free(&g);
    dk_gen_barabasi_albert(&g, 3, 3, 7, &err);
    ts_failed(&err, DK_EUSAGE, "3 nodes, 3 edges each");
    dk_gen_barabasi_albert(&g, 3, 0, 7, &err);
    ts_failed(&err, DK_EUSAGE, "Barabasi-Albert");
}

static void scaled_up(void **state)
{
    dk_dataset d;
    (void)state;
    make(&d, "tree-grid", 16000, 0, -1, 1);
    assert_int_equal(d.graphs[0].n, 511 * 200 + 16000 * 9);
    assert_true(d.graphs[0].e > 650000);
    assert_true(connected(&d.graphs[0]));
    dk_dataset_free(&d);
    make(&d, "tree-cycles", 10, 100, 0, 1);
    assert_int_equal(d.graphs[0].n, 160);
    dk_dataset_free(&d);
    make(&d, "ba-2motifs", 4, 50, 0.1, 1);
    assert_int_equal(d.graphs[0].n, 55);
    assert_int_equal(d.graphs[0].e, 2 * (49 + 5 + 1 + 5));
    dk_dataset_free(&d);
}

static void refusals(void **state)
{
    static const struct {
        dk_gen_options o;
        const char *text;
    } cases[] = {
        {{"grid", 0, 0, -1, 0}, "generator \"grid\": expected ba-shapes"},
        {{"ba-shapes", -1, 0, -1, 0}, "count -1"},
        {{"ba-shapes", 0, -5, -1, 0}, "base -5"},
        {{"ba-shapes", 0, 0, NAN, 0}, "noise"},
        {{"ba-shapes", 0, 0, 2, 0}, "noise 2"},
        {{"tree-grid", 100, 20, -1, 0}, "base of 20 nodes, 100 motifs"},
        {{"tree-grid", 0, 100000000000, -1, 0}, "base of 100000000000 nodes"},
        {{"ba-2motifs", 1, 0, -1, 0}, "1 graphs"},
        {{"ba-2motifs", 4, 2, 1, 0}, "noise edges: 7 nodes with"},
    };
    dk_dataset d;
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        assert_int_equal(dk_dataset_generate(&d, &cases[k].o, &err), DK_EUSAGE);
        ts_failed(&err, DK_EUSAGE, cases[k].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(seeds, fresh),
        cmocka_unit_test_setup(node_sets_as_published, fresh),
        cmocka_unit_test_setup(structure, fresh),
        cmocka_unit_test_setup(communities, fresh),
        cmocka_unit_test_setup(two_motifs, fresh),
        cmocka_unit_test_setup(barabasi_albert, fresh),
        cmocka_unit_test_setup(scaled_up, fresh),
        cmocka_unit_test_setup(refusals, fresh),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
