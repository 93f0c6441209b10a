/* From scores to explanations: order and ties, caps, the size rules, published sizes and
 * fidelities. */
#include "explain_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "graph/explain/edge_sets_internal.h"
#include "graph/explain/fidelity.h"
#include "graph/explain/select.h"
#include "io/csv.h"

#define REFERENCE "tests/data/thirdparty/gnn/reference/"

static dk_err err;

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    return 0;
}

static dk_select_options options(double sparsity, bool even, bool search)
{
    dk_select_options o = dk_select_defaults();
    o.sparsity = sparsity;
    o.even = even;
    o.search = search;
    return o;
}

/* ---- Cap. */

static void caps(void **state)
{
    dk_select_options o = options(.7, false, true);

    (void)state;
    assert_int_equal(dk_select_cap(50, &o), 15);
    o.sparsity = .8; /* 1.0 - .8 is less than .2 */
    assert_int_equal(dk_select_cap(50, &o), 9);
    o.sparsity = .9;
    assert_int_equal(dk_select_cap(50, &o), 4);
    o.sparsity = .999;
    assert_int_equal(dk_select_cap(50, &o), 2);
    o.sparsity = 0;
    assert_int_equal(dk_select_cap(50, &o), 50);
    for (int32_t e = 0; e < 4; e++) {
        o.sparsity = .999;
        assert_int_equal(dk_select_cap(e, &o), e < 2 ? e : 2);
        o.sparsity = 0;
        assert_int_equal(dk_select_cap(e, &o), e);
    }
    o = options(.8, true, true);
    assert_int_equal(dk_select_cap(50, &o), 8);
    o.compat = true;
    assert_int_equal(dk_select_cap(50, &o), 9);
    o = options(.7, false, true);
    o.rule = DK_RULE_GOAT_GIN; /* 2 * int(25 * .3) */
    assert_int_equal(dk_select_cap(51, &o), 14);
    o.topk = 14;
    assert_int_equal(dk_select_cap(50, &o), 14);
    assert_int_equal(dk_select_cap(6, &o), 6);
    o.topk = 1;
    assert_int_equal(dk_select_cap(50, &o), 1);
    o.even = true;
    assert_int_equal(dk_select_cap(50, &o), 2);
    assert_int_equal(dk_select_cap(1, &o), 1);
}

/* ---- Order. */

/* Path 0 - 1 - 2 - 3, edges 01 10 12 21 23 32. */
static const int32_t path_src[] = {0, 1, 1, 2, 2, 3}, path_dst[] = {1, 0, 2, 1, 3, 2};

static void path(dk_graph *g)
{
    ts_ok(dk_graph_build(g, 4, 6, path_src, path_dst, NULL, NULL, NULL, NULL, &err), &err);
}

static void check_order(const dk_graph *g, const double *score, dk_ties ties,
                        const int32_t *expected)
{
    int32_t order[16];
    ts_ok(dk_select_order(g, score, ties, order, &err), &err);
    assert_memory_equal(order, expected, (size_t)g->e * sizeof *expected);
}

static void orders(void **state)
{
    const double different[] = {1, 2, 3, 4, 5, 6}, equal[] = {1, 1, 1, 1, 1, 1};
    /* equal up to 12 decimals; the first position of a pair counts */
    const double noise[] = {.5 + 2e-13, .5, .5, .5 + 3e-13, -0., 0};
    const double crossed[] = {1, 2, 2, 1, 2, 2};
    dk_graph g;

    (void)state;
    path(&g);
    check_order(&g, different, DK_TIES_PAIR, (int32_t[]){5, 4, 3, 2, 1, 0});
    check_order(&g, equal, DK_TIES_PAIR, (int32_t[]){0, 1, 2, 3, 4, 5});
    check_order(&g, noise, DK_TIES_PAIR, (int32_t[]){0, 1, 2, 3, 4, 5});
    check_order(&g, crossed, DK_TIES_PAIR, (int32_t[]){1, 2, 4, 5, 0, 3});
    dk_graph_free(&g);
    /* star 1 - 0, 1 - 2 with 0 - 2: edges 01 02 10 12 20 21; pairs interleave by position */
    const int32_t src[] = {0, 0, 1, 1, 2, 2}, dst[] = {1, 2, 0, 2, 0, 1};
    ts_ok(dk_graph_build(&g, 3, 6, src, dst, NULL, NULL, NULL, NULL, &err), &err);
    check_order(&g, equal, DK_TIES_PAIR, (int32_t[]){0, 2, 1, 4, 3, 5});
    check_order(&g, equal, DK_TIES_POSITION, (int32_t[]){0, 1, 2, 3, 4, 5});
    check_order(&g, equal, DK_TIES_GROUP, (int32_t[]){0, 2, 1, 4, 3, 5});
    const double huge[] = {1e300, 4e3, 5e3, -1e300, 4e3 + 1e-8, 1e10};
    check_order(&g, huge, DK_TIES_PAIR, (int32_t[]){0, 5, 2, 4, 1, 3});
    /* saliencies of mirrored edges: equal but for the last bits */
    const double mirrored[] = {6400.1, 6400.1 + 2e-12, 6400.1 - 2e-12, 6400.1 + 1e-12, 6400.1, 6400.1};
    check_order(&g, mirrored, DK_TIES_PAIR, (int32_t[]){0, 2, 1, 4, 3, 5});
    dk_graph_free(&g);
}

/* ---- The fixture. */

static const double tiny_score[] = {-0.014217068468622085, 0.02440213752143683,
                                    -0.014217068468622085, 0.10243808353115003,
                                    0.02440213752143683,   0.10243808353115003,
                                    0.08592433549373846,   0.08592433549373846};
static const double tiny_curve[] = {.08794732814816031 - .01726774598402625,
                                    .09210409147165599 + .011113195912167528, .2761364159019827};

typedef struct fixture {
    dk_gnn *m;
    dk_graph g;
    ex_case c;
    dk_selection s;
} fixture;

static void fixture_open(fixture *f)
{
    f->m = ex_model("tiny/tiny_gcn");
    ex_graph(&f->g, "tiny", 2, 0);
    for (int i = 0; i < 8; i++)
        f->g.x[i] = (i / 2) % 2 == i % 2;
    ex_open(&f->c, f->m, &f->g, -1, 1);
}

static void fixture_close(fixture *f)
{
    ex_close(&f->c);
    dk_graph_free(&f->g);
    dk_gnn_free(f->m);
}

static void choose(fixture *f, const double *score, const double *node, const dk_select_options *o)
{
    ts_ok(dk_select(&f->s, &f->c.w, &f->c.i, score, node, o, &err), &err);
}

static void check_kept(const dk_selection *s)
{
    int32_t kept = 0;
    for (int32_t e = 0; e < s->e; e++) {
        kept += s->kept[e];
        assert_int_equal(s->order[s->rank[e]], e);
    }
    assert_int_equal(kept, s->size);
}

static void worked_example(void **state)
{
    dk_select_options o = options(0, true, true);
    fixture f;

    (void)state;
    fixture_open(&f);
    choose(&f, tiny_score, NULL, &o);
    assert_memory_equal(f.s.order, ((int32_t[]){3, 5, 6, 7, 1, 4, 0, 2}), 8 * sizeof(int32_t));
    assert_true(f.s.cap == 8 && f.s.size == 8 && f.s.candidates == 3 && f.s.sparsity == 0);
    ex_close_to("curve", f.s.curve, tiny_curve, 3, 1e-12);
    assert_memory_equal(f.s.curve_size, ((int32_t[]){4, 6, 8}), 3 * sizeof(int32_t));
    ex_near(f.s.fid_plus, .2761364159019827, 1e-12);
    ex_near(f.s.fid_minus, 0, 1e-15);
    check_kept(&f.s);
    dk_selection_free(&f.s);
    o = options(.25, true, true); /* the best of 4 and 6 */
    choose(&f, tiny_score, NULL, &o);
    assert_true(f.s.cap == 6 && f.s.size == 6 && f.s.candidates == 2 && f.s.sparsity == .25);
    ex_near(f.s.overall, tiny_curve[1], 1e-12);
    dk_selection_free(&f.s);
    o = options(.75, true, false); /* a fixed size */
    choose(&f, tiny_score, NULL, &o);
    assert_true(f.s.size == 2 && !f.s.curve && f.s.candidates == 0 && f.s.kept[3] && f.s.kept[5]);
    ex_near(f.s.fid_plus, .07556927038029759, 1e-12);
    ex_near(f.s.fid_minus, .09210409147165599, 1e-12);
    dk_selection_free(&f.s);
    fixture_close(&f);
}

static void check_sizes(fixture *f, dk_select_options o, int64_t topk, int32_t n,
                        const int32_t *sizes)
{
    o.topk = topk;
    choose(f, tiny_score, NULL, &o);
    assert_int_equal(f->s.candidates, n);
    assert_memory_equal(f->s.curve_size, sizes, (size_t)n * sizeof *sizes);
    dk_selection_free(&f->s);
}

/* Sizes tried at caps 1 to 8. The clipped last candidate comes once. */
static void size_rules(void **state)
{
    dk_select_options eig = options(.7, false, true), gcn = eig, gin = eig;
    fixture f;

    (void)state;
    gcn.rule = DK_RULE_GOAT_GCN;
    gin.rule = DK_RULE_GOAT_GIN;
    fixture_open(&f);
    check_sizes(&f, eig, 1, 1, (int32_t[]){1});
    check_sizes(&f, eig, 2, 1, (int32_t[]){2});
    check_sizes(&f, eig, 3, 1, (int32_t[]){3});
    check_sizes(&f, eig, 4, 1, (int32_t[]){4});
    check_sizes(&f, eig, 5, 2, (int32_t[]){4, 5});
    check_sizes(&f, eig, 7, 3, (int32_t[]){4, 6, 7});
    check_sizes(&f, eig, 8, 3, (int32_t[]){4, 6, 8});
    check_sizes(&f, gcn, 3, 1, (int32_t[]){3});
    check_sizes(&f, gcn, 4, 1, (int32_t[]){4});
    check_sizes(&f, gcn, 5, 1, (int32_t[]){4});
    check_sizes(&f, gcn, 8, 3, (int32_t[]){4, 6, 8});
    check_sizes(&f, gin, 2, 1, (int32_t[]){2});
    check_sizes(&f, gin, 6, 3, (int32_t[]){2, 4, 6});
    fixture_close(&f);
}

/* Equal scores are kept or dropped together. */
static void groups(void **state)
{
    /* 12 21 23 32 | 02 20 01 10 */
    const double two[] = {1, 1, 1, 2, 1, 2, 2, 2}, one[] = {1, 1, 1, 1, 1, 1, 1, 1};
    dk_select_options o = options(0, true, true);
    fixture f;

    (void)state;
    o.ties = DK_TIES_GROUP;
    fixture_open(&f);
    choose(&f, two, NULL, &o);
    assert_int_equal(f.s.candidates, 2);
    assert_memory_equal(f.s.curve_size, ((int32_t[]){4, 8}), 2 * sizeof(int32_t));
    dk_selection_free(&f.s);
    o.sparsity = .25;
    choose(&f, two, NULL, &o);
    assert_true(f.s.candidates == 1 && f.s.size == 4 && f.s.cap == 6);
    dk_selection_free(&f.s);
    o.search = false;
    choose(&f, two, NULL, &o);
    assert_int_equal(f.s.size, 4);
    dk_selection_free(&f.s);
    choose(&f, one, NULL, &o); /* no end within the cap: the first group */
    assert_int_equal(f.s.size, 8);
    dk_selection_free(&f.s);
    fixture_close(&f);
}

static void induced_by_nodes(void **state)
{
    const double node[] = {1, 4, 3, 2}, apart[] = {4, 1, 2, 3};
    dk_select_options o = options(0, true, true);
    fixture f;

    (void)state;
    o.induce = DK_INDUCE_NODE;
    fixture_open(&f);
    /* 1 2: one bond, 1 2 3: two, all: four */
    choose(&f, tiny_score, node, &o);
    assert_int_equal(f.s.candidates, 3);
    assert_memory_equal(f.s.curve_size, ((int32_t[]){2, 4, 8}), 3 * sizeof(int32_t));
    check_kept(&f.s);
    dk_selection_free(&f.s);
    o.search = false;
    o.sparsity = .3; /* K = 4 */
    choose(&f, tiny_score, node, &o);
    assert_true(f.s.size == 4 && f.s.kept[3] && f.s.kept[5] && f.s.kept[6] && f.s.kept[7]);
    dk_selection_free(&f.s);
    /* 0 3 are no bond, 0 3 2 two */
    o.sparsity = .7;
    choose(&f, tiny_score, apart, &o);
    assert_int_equal(f.s.size, 0);
    ex_near(f.s.fid_plus, 0, 1e-15);
    dk_selection_free(&f.s);
    o.search = true;
    o.sparsity = 0;
    choose(&f, tiny_score, apart, &o);
    assert_memory_equal(f.s.curve_size, ((int32_t[]){4, 8}), 2 * sizeof(int32_t));
    dk_selection_free(&f.s);
    assert_int_equal(dk_select(&f.s, &f.c.w, &f.c.i, tiny_score, NULL, &o, &err), DK_EUSAGE);
    fixture_close(&f);
}

/* A self loop shifts the parity: whole edges are found by their pairs. */
static void loops_and_whole_edges(void **state)
{
    const int32_t src[] = {0, 0, 1, 1, 2, 2, 3}, dst[] = {0, 1, 0, 2, 1, 3, 2};
    const double score[] = {9, 5, 5, 4, 4, 3, 3}; /* 00 | 01 10 | 12 21 | 23 32 */
    const int32_t whole[] = {1, 1, 3, 3, 5, 5, 7};
    dk_gnn *m = ex_random_model(DK_GNN_GIN, DK_TASK_GRAPH, DK_READ_MEAN, 2, 4, 2, 2, 1);
    dk_select_options o = options(.7, true, false);
    dk_graph g;
    ex_case c;

    (void)state;
    ts_ok(dk_graph_build(&g, 4, 7, src, dst, NULL, NULL, NULL, NULL, &err), &err);
    g.num_features = 2;
    g.x = ex_zeros(8);
    ex_open(&c, m, &g, -1, -1);
    for (int k = 1; k <= 7; k++) {
        dk_selection s;
        o.topk = k;
        ts_ok(dk_select(&s, &c.w, &c.i, score, NULL, &o, &err), &err);
        assert_int_equal(s.size, whole[k - 1]);
        dk_selection_free(&s);
    }
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* 0, 1, 2, 3 edges, sparsity 0 and nearly 1, every rule. */
static void small_graphs(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_GCN, DK_TASK_GRAPH, DK_READ_MEAN, 2, 4, 2, 2, 8);
    static const double sparsity[] = {0, .7, .999};

    (void)state;
    for (int32_t e = 0; e < 4; e++)
        for (int k = 0; k < 3 * 3 * 3 * 2 * 2; k++) {
            dk_select_options o = options(sparsity[k % 3], k / 27 % 2, k / 54);
            double score[] = {1, 1, 2};
            dk_selection s;
            dk_graph g;
            ex_case c;
            o.ties = (dk_ties)(k / 3 % 3);
            o.rule = (dk_size_rule)(k / 9 % 3);
            ts_ok(dk_graph_build(&g, 3, e, path_src, path_dst, NULL, NULL, NULL, NULL, &err), &err);
            g.num_features = 2;
            g.x = ex_zeros(6);
            for (int i = 0; i < 6; i++)
                g.x[i] = ex_draw(1, (uint64_t)i);
            ex_open(&c, m, &g, -1, -1);
            ts_ok(dk_select(&s, &c.w, &c.i, score, NULL, &o, &err), &err);
            check_kept(&s);
            assert_true(s.e == e && s.size <= e && s.size >= (e > 0) && isfinite(s.overall));
            assert_true(s.sparsity >= 0 && s.sparsity < 1);
            dk_selection_free(&s);
            ex_close(&c);
            dk_graph_free(&g);
        }
    dk_gnn_free(m);
}

static void node_task_has_a_fixed_size(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_GCN, DK_TASK_NODE, DK_READ_NONE, 2, 4, 2, 2, 8);
    dk_select_options o = options(.7, true, true);
    dk_selection s;
    dk_graph g;
    ex_case c;

    (void)state;
    ex_graph(&g, "tiny", 2, 0);
    ex_open(&c, m, &g, 1, -1);
    o.topk = 4;
    ts_ok(dk_select(&s, &c.w, &c.i, tiny_score, NULL, &o, &err), &err);
    assert_true(s.size == 4 && !s.curve && isnan(s.fid_plus) && isnan(s.overall));
    check_kept(&s);
    dk_selection_free(&s);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* ---- Other numbers for the nodes. */

/* The same edges whatever the nodes are called, where equal scores stay together. */
static void relabelled(void **state)
{
    const int32_t perm[] = {4, 2, 7, 0, 1, 8, 5, 3, 6};
    double score[32], moved[32];
    dk_gnn *m = ex_random_model(DK_GNN_GIN, DK_TASK_GRAPH, DK_READ_MEAN, 3, 6, 2, 2, 5);
    dk_graph g, h;

    (void)state;
    ex_graph(&g, "star", 2, 3);
    ts_ok(dk_graph_relabel(&g, perm, &h, &err), &err);
    for (int32_t e = 0; e < g.e; e++)
        score[e] = (g.src[e] + g.dst[e]) % 3;
    for (int32_t e = 0; e < h.e; e++)
        for (int32_t k = 0; k < g.e; k++)
            if (perm[g.src[k]] == h.src[e] && perm[g.dst[k]] == h.dst[e])
                moved[e] = score[k] + 1e-14;
    for (int sparsity = 0; sparsity < 10; sparsity++) {
        dk_select_options o = options(sparsity / 10., true, true);
        dk_selection a, b;
        ex_case c, d;
        o.ties = DK_TIES_GROUP;
        ex_open(&c, m, &g, -1, 0);
        ex_open(&d, m, &h, -1, 0);
        ts_ok(dk_select(&a, &c.w, &c.i, score, NULL, &o, &err), &err);
        ts_ok(dk_select(&b, &d.w, &d.i, moved, NULL, &o, &err), &err);
        assert_int_equal(a.size, b.size);
        ex_near(a.overall, b.overall, 1e-12);
        for (int32_t e = 0; e < h.e; e++)
            for (int32_t k = 0; k < g.e; k++)
                if (perm[g.src[k]] == h.src[e] && perm[g.dst[k]] == h.dst[e])
                    assert_int_equal(a.kept[k], b.kept[e]);
        dk_selection_free(&a);
        dk_selection_free(&b);
        ex_close(&c);
        ex_close(&d);
    }
    dk_graph_free(&g);
    dk_graph_free(&h);
    dk_gnn_free(m);
}

/* ---- Published sizes and fidelities. */

static double number(const dk_csv *c, size_t row, const char *column)
{
    int at = dk_csv_column(c, column);
    assert_true(at >= 0);
    return strtod(dk_csv_at(c, row, (size_t)at), NULL);
}

/* eig_score and eig_rank of one graph, edge by edge. */
static void read_scores(const dk_csv *c, int graph, const dk_graph *g, double *score, int32_t *rank)
{
    int32_t e = 0;
    for (size_t r = 0; r < c->rows; r++) {
        if ((int)number(c, r, "graph") != graph)
            continue;
        assert_true(e < g->e && g->src[e] == (int)number(c, r, "src") &&
                    g->dst[e] == (int)number(c, r, "dst"));
        score[e] = number(c, r, "eig_score");
        rank[e++] = (int32_t)number(c, r, "eig_rank");
    }
    assert_int_equal(e, g->e);
}

static void check_reference(const dk_gnn *m, const dk_dataset *d, const dk_csv *scores,
                            const dk_csv *summary, size_t row)
{
    int id = (int)number(summary, row, "graph");
    const dk_graph *g = &d->graphs[id];
    double *score = ex_zeros(g->e);
    int32_t *rank = dk_xcalloc((size_t)g->e, sizeof *rank);
    dk_select_options o = options(.7, false, true);
    dk_selection s;
    ex_case c;

    read_scores(scores, id, g, score, rank);
    ex_open(&c, m, g, -1, (int32_t)number(summary, row, "label"));
    ts_ok(dk_select(&s, &c.w, &c.i, score, NULL, &o, &err), &err);
    assert_memory_equal(s.rank, rank, (size_t)g->e * sizeof *rank);
    assert_int_equal(s.cap, (int)number(summary, row, "k_cap_0.7"));
    assert_int_equal(s.size, (int)number(summary, row, "k_best"));
    ex_near(s.fid_plus, number(summary, row, "fid_plus"), 1e-8);
    ex_near(s.fid_minus, number(summary, row, "fid_minus"), 1e-8);
    ex_near(s.sparsity, number(summary, row, "sparsity"), 1e-8);
    dk_selection_free(&s);
    ex_close(&c);
    free(score);
    free(rank);
}

static void references(void **state)
{
    static const char *const model[] = {"gcn_MUTAG", "gin_MUTAG", "gcn_ba_2motifs",
                                        "gin_ba_2motifs"};
    static const char *const data[] = {"MUTAG", "MUTAG", "BA_2Motifs", "BA_2Motifs"};

    (void)state;
    for (int k = 0; k < 4; k++) {
        char path_of[256];
        dk_gnn *m = ex_model(model[k]);
        dk_csv scores, summary;
        dk_dataset d;
        ex_data(&d, data[k], m);
        snprintf(path_of, sizeof path_of, REFERENCE "explain_%s.csv", model[k]);
        ts_ok(dk_csv_load(&scores, path_of, &err), &err);
        snprintf(path_of, sizeof path_of, REFERENCE "explain_%s_summary.csv", model[k]);
        ts_ok(dk_csv_load(&summary, path_of, &err), &err);
        assert_true(summary.rows >= 4);
        for (size_t r = 0; r < summary.rows; r++)
            check_reference(m, &d, &scores, &summary, r);
        dk_csv_free(&scores);
        dk_csv_free(&summary);
        dk_dataset_free(&d);
        dk_gnn_free(m);
    }
}

/* Every prefix of a molecule, side by side, against graphs made one by one. */
static void search_is_exact(void **state)
{
    dk_gnn *m = ex_model("gin_MUTAG");
    int32_t end[32], key[128], classes = m->c.classes;
    double plus[32], minus[32], z[2];
    dk_dataset d;
    ex_case c;

    (void)state;
    ex_data(&d, "MUTAG", m);
    const dk_graph *g = &d.graphs[2];
    ex_open(&c, m, g, -1, -1);
    for (int32_t e = 0; e < g->e; e++)
        key[e] = e * 17 % g->e;
    int32_t n = g->e / 2;
    assert_true(n <= 32 && g->e <= 128 && g->e % 17 != 0);
    for (int32_t j = 0; j < n; j++)
        end[j] = 2 * (j + 1);
    ts_ok(dk_fidelity_ends(&c.w, &c.i, key, end, n, plus, minus, &err), &err);
    for (int32_t j = 0; j < n; j++) {
        const dk_edge_set only = {0, end[j]}, rest = {end[j], g->e};
        double p = dk_probability(c.i.logits, classes, c.i.target);
        ts_ok(dk_edge_sets_plain(&c.w, &c.i, key, &only, 1, z, NULL, &err), &err);
        ex_near(minus[j], p - dk_probability(z, classes, c.i.target), 1e-13);
        ts_ok(dk_edge_sets_plain(&c.w, &c.i, key, &rest, 1, z, NULL, &err), &err);
        ex_near(plus[j], p - dk_probability(z, classes, c.i.target), 1e-13);
    }
    ex_close(&c);
    dk_dataset_free(&d);
    dk_gnn_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(caps, fresh),
        cmocka_unit_test_setup(orders, fresh),
        cmocka_unit_test_setup(worked_example, fresh),
        cmocka_unit_test_setup(size_rules, fresh),
        cmocka_unit_test_setup(groups, fresh),
        cmocka_unit_test_setup(induced_by_nodes, fresh),
        cmocka_unit_test_setup(loops_and_whole_edges, fresh),
        cmocka_unit_test_setup(small_graphs, fresh),
        cmocka_unit_test_setup(node_task_has_a_fixed_size, fresh),
        cmocka_unit_test_setup(relabelled, fresh),
        cmocka_unit_test_setup(references, fresh),
        cmocka_unit_test_setup(search_is_exact, fresh),
    };
    dk_set_threads(1);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
