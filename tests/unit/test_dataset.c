/* graph/dataset.h: TU folders as people have them, damaged ones, features. The third-party sets are
 * counted against the tables published with them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/dataset.h"
#include "unit/dataset_aid.h"

#define THIRD "tests/data/thirdparty/"

static dk_err err;
static const dk_dataset_options keep_loops = {false}, drop_loops = {true};

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    dk_log_init("test", -1);
    return 0;
}

/* ---- TU texts in memory. */

typedef struct tu {
    const char *a, *indicator, *labels, *node_labels, *attributes, *gt;
} tu;

static size_t length(const char *s)
{
    return s ? strlen(s) : 0;
}

static int parse_with(dk_dataset *d, const tu *t, const dk_dataset_options *opt)
{
    dk_tu_text text = {t->a,
                       t->indicator,
                       t->labels,
                       t->node_labels,
                       t->attributes,
                       t->gt,
                       length(t->a),
                       length(t->indicator),
                       length(t->labels),
                       length(t->node_labels),
                       length(t->attributes),
                       length(t->gt)};
    return dk_dataset_parse_tu(d, &text, "T", opt, &err);
}

static int parse(dk_dataset *d, const tu *t)
{
    return parse_with(d, t, &keep_loops);
}

static void refused(const tu *t, int code, const char *text)
{
    dk_dataset d;
    assert_int_equal(parse(&d, t), code);
    assert_null(d.graphs);
    ts_failed(&err, code, text);
}

/* A triangle and an edge, in every spelling people have. */
static const tu plain = {.a = "1, 2\n1, 3\n2, 1\n2, 3\n3, 1\n3, 2\n4, 5\n5, 4\n",
                         .indicator = "1\n1\n1\n2\n2\n",
                         .labels = "-1\n1\n",
                         .node_labels = "3\n4\n6\n3\n3\n",
                         .gt = "1\n0\n1\n0\n0\n0\n1\n0\n"};

static void spellings_of_one_set(void **state)
{
    const tu others[] = {
        /* no blank, CRLF, no final newline */
        {"1,2\r\n1,3\r\n2,1\r\n2,3\r\n3,1\r\n3,2\r\n4,5\r\n5,4", "1\r\n1\r\n1\r\n2\r\n2", "-1\r\n1",
         "3\r\n4\r\n6\r\n3\r\n3", NULL, "1\r\n0\r\n1\r\n0\r\n0\r\n0\r\n1\r\n0"},
        /* tabs, blanks at both ends, empty lines at the end, byte-order mark, plus signs */
        {"\xEF\xBB\xBF"
         "1 ,\t2  \n 1\t3\n2, 1\n2,3\n3 1\n3, 2\n4,5 \n5,  4\n\n \t\n\n",
         " 1 \n1\n1\n2\n2\n\n", "-1 \n+1\n", "3 \n4\n6\n3\n3\n \n", NULL,
         "1 \n0\n1\n0\n0\n0\n1\n0\n\n"},
        /* lines in another order, the ground truth with them */
        {"5, 4\n2, 3\n1, 3\n4, 5\n3, 2\n2, 1\n3, 1\n1, 2\n", "1\n1\n1\n2\n2\n", "-1\n1\n",
         "3\n4\n6\n3\n3\n", NULL, "0\n0\n0\n1\n0\n1\n0\n1\n"},
        /* doubled lines, one of each pair in the ground truth */
        {"1, 2\n1, 2\n1, 3\n2, 1\n2, 3\n3, 1\n3, 2\n4, 5\n5, 4\n5, 4\n", "1\n1\n1\n2\n2\n",
         "-1\n1\n", "3\n4\n6\n3\n3\n", NULL, "0\n1\n0\n1\n0\n0\n0\n1\n0\n0\n"},
    };
    dk_dataset d, o;
    (void)state;
    ts_ok(parse(&d, &plain), &err);
    assert_int_equal(d.count, 2);
    assert_int_equal(d.graphs[0].label, 0);
    assert_int_equal(d.graphs[1].label, 1);
    assert_true(d.class_value[0] == -1 && d.class_value[1] == 1);
    assert_int_equal(d.graphs[0].e, 6);
    assert_int_equal(d.graphs[0].gt[2], 1);
    assert_int_equal(d.graphs[1].node_label[0], 3);
    assert_int_equal(d.one_way_edges + d.merged_edges + d.dropped_loops, 0);
    for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
        ts_ok(parse(&o, &others[k]), &err);
        da_same(&d, &o);
        assert_int_equal(o.merged_edges, k == 3 ? 2 : 0);
        dk_dataset_free(&o);
    }
    dk_dataset_free(&d);
}

static void label_values(void **state)
{
    static const struct {
        const char *labels;
        int32_t index[3];
        int32_t classes;
    } cases[] = {{"2\n3\n4\n", {0, 1, 2}, 3},
                 {"10\n-5\n10\n", {1, 0, 1}, 2},
                 {"7\n7\n7\n", {0, 0, 0}, 1},
                 {"9223372036854775807\n0\n-9223372036854775807\n", {2, 1, 0}, 3}};
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        dk_dataset d;
        tu t = {"1, 2\n2, 1\n3, 3\n", "1\n1\n3\n", cases[k].labels, NULL, NULL, NULL};
        ts_ok(parse(&d, &t), &err);
        assert_int_equal(d.classes, cases[k].classes);
        for (int i = 0; i < 3; i++)
            assert_int_equal(d.graphs[i].label, cases[k].index[i]);
        /* The second id has no node: an empty graph with its own label. */
        assert_int_equal(d.graphs[1].n, 0);
        assert_int_equal(d.graphs[1].e, 0);
        assert_int_equal(d.graphs[2].n, 1);
        assert_int_equal(d.graphs[2].e, 1);
        dk_dataset_free(&d);
    }
}

/* Nodes of a graph need not stand together; isolated ones count, also at the end. */
static void unsorted_indicator(void **state)
{
    tu t = {"1, 3\n3, 1\n2, 4\n4, 2\n", "2\n1\n2\n1\n2\n", "0\n1\n", "5\n6\n7\n8\n9\n", NULL, NULL};
    dk_dataset d;
    (void)state;
    ts_ok(parse(&d, &t), &err);
    assert_int_equal(d.graphs[0].n, 2);
    assert_int_equal(d.graphs[1].n, 3);
    assert_int_equal(d.graphs[0].e, 2);
    assert_int_equal(d.graphs[1].e, 2);
    assert_int_equal(d.labels[0][0], 6);
    assert_int_equal(d.labels[0][1], 8);
    assert_int_equal(d.labels[1][2], 9);
    assert_int_equal(d.graphs[1].out_ptr[3] - d.graphs[1].out_ptr[2], 0);
    dk_dataset_free(&d);
}

static void one_way_loops_and_no_edges(void **state)
{
    tu t = {"1, 2\n2, 3\n3, 3\n", "1\n1\n1\n", "0\n", NULL, NULL, "1\n0\n1\n"};
    dk_dataset d;
    (void)state;
    ts_ok(parse(&d, &t), &err);
    assert_int_equal(d.one_way_edges, 2);
    assert_int_equal(d.graphs[0].e, 3);
    dk_dataset_free(&d);
    ts_ok(parse_with(&d, &t, &drop_loops), &err);
    assert_int_equal(d.dropped_loops, 1);
    assert_int_equal(d.graphs[0].e, 2);
    assert_int_equal(d.graphs[0].gt[0], 1);
    assert_int_equal(d.graphs[0].gt[1], 0);
    dk_dataset_free(&d);
    t.a = t.gt = "";
    ts_ok(parse(&d, &t), &err);
    assert_int_equal(d.graphs[0].e, 0);
    dk_dataset_free(&d);
}

static void damaged_tu(void **state)
{
    static const char ind[] = "1\n1\n2\n", lab[] = "0\n1\n", a[] = "1, 2\n2, 1\n";
    static const struct {
        tu t;
        int code;
        const char *text;
    } cases[] = {
        {{NULL, ind, lab, NULL, NULL, NULL}, DK_EFORMAT, "T_A.txt: missing"},
        {{a, NULL, lab, NULL, NULL, NULL}, DK_EFORMAT, "T_graph_indicator.txt: missing"},
        {{a, ind, NULL, NULL, NULL, NULL}, DK_EFORMAT, "T_graph_labels.txt: missing"},
        {{a, ind, "\n", NULL, NULL, NULL}, DK_EFORMAT, "T_graph_labels.txt: expected a label"},
        {{"0, 1\n", ind, lab, NULL, NULL, NULL},
         DK_EFORMAT,
         "T_A.txt: line 1: node id 0: allowed are 1 to 3"},
        {{"1, 2\n2, 4\n", ind, lab, NULL, NULL, NULL},
         DK_EFORMAT,
         "T_A.txt: line 2: node id 4: allowed are 1 to 3"},
        {{"1, -2\n", ind, lab, NULL, NULL, NULL}, DK_EFORMAT, "node id -2"},
        {{"1, 2\n2, 99999999999999999999\n", ind, lab, NULL, NULL, NULL},
         DK_EFORMAT,
         "line 2: node id 99999999999999999999: allowed"},
        {{"1, 2\n2, 3\n", ind, lab, NULL, NULL, NULL},
         DK_EFORMAT,
         "T_A.txt: line 2: edge 2, 3 joins graph 1 and graph 2"},
        {{"1, 2\n\n2, 1\n", ind, lab, NULL, NULL, NULL},
         DK_EFORMAT,
         "T_A.txt: line 2: node id: expected an integer, found the end of the line"},
        {{"1, 2\n2\n", ind, lab, NULL, NULL, NULL}, DK_EFORMAT, "T_A.txt: line 2: second node id"},
        {{"1, 2, 1\n", ind, lab, NULL, NULL, NULL},
         DK_EFORMAT,
         "line 1: behind the last field: expected the end of the line"},
        {{"1; 2\n", ind, lab, NULL, NULL, NULL}, DK_EFORMAT, "found \"1;\""},
        {{"1, 2.5\n", ind, lab, NULL, NULL, NULL},
         DK_EFORMAT,
         "expected an integer, found \"2.5\""},
        {{a, "1\n1\n3\n", lab, NULL, NULL, NULL},
         DK_EFORMAT,
         "T_graph_indicator.txt: line 3: graph id 3: allowed are 1 to 2"},
        {{a, "0\n1\n2\n", lab, NULL, NULL, NULL}, DK_EFORMAT, "graph id 0: allowed are 1 to 2"},
        {{a, ind, "0\none\n", NULL, NULL, NULL},
         DK_EFORMAT,
         "T_graph_labels.txt: line 2: graph label: expected an integer, found \"one\""},
        {{a, ind, lab, "1\n2\n", NULL, NULL},
         DK_EFORMAT,
         "T_node_labels.txt has 2 lines, T_graph_indicator.txt has 3"},
        {{a, ind, lab, "1\n2\n2147483648\n", NULL, NULL},
         DK_EFORMAT,
         "line 3: node label 2147483648: allowed are -2147483648 to 2147483647"},
        {{a, ind, lab, "1, 2\n2\n3, 4\n", NULL, NULL},
         DK_EFORMAT,
         "T_node_labels.txt: line 2: next node label: expected a comma in front"},
        {{a, ind, lab, "1\n2, 3\n3\n", NULL, NULL},
         DK_EFORMAT,
         "T_node_labels.txt: line 2: behind the last field"},
        {{a, ind, lab, NULL, "1\n2\n3\n4\n", NULL},
         DK_EFORMAT,
         "T_node_attributes.txt has 4 lines"},
        {{a, ind, lab, NULL, "1\nnan\n3\n", NULL},
         DK_EFORMAT,
         "line 2: node attribute: expected a finite decimal number, found \"nan\""},
        {{a, ind, lab, NULL, "1\n2\n-inf\n", NULL}, DK_EFORMAT, "found \"-inf\""},
        {{a, ind, lab, NULL, "1\n2\n1e999\n", NULL}, DK_EFORMAT, "found \"1e999\""},
        {{a, ind, lab, NULL, "1\n2\n0x1p3\n", NULL}, DK_EFORMAT, "found \"0x1p3\""},
        {{a, ind, lab, NULL, NULL, "1\n"}, DK_EFORMAT, "T_edge_gt.txt has 1 lines, T_A.txt has 2"},
        {{a, ind, lab, NULL, NULL, "1\n2\n"},
         DK_EFORMAT,
         "T_edge_gt.txt: line 2: ground truth 2: allowed are 0 to 1"},
    };
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        refused(&cases[k].t, cases[k].code, cases[k].text);
    /* NUL bytes are no line ends and no blanks. */
    dk_dataset d;
    dk_tu_text t = {"1,\0"
                    "2\n",
                    ind,
                    lab,
                    NULL,
                    NULL,
                    NULL,
                    5,
                    6,
                    4,
                    0,
                    0,
                    0};
    assert_int_equal(dk_dataset_parse_tu(&d, &t, "T", NULL, &err), DK_EFORMAT);
    ts_failed(&err, DK_EFORMAT, "T_A.txt: line 1");
}

/* ---- Features. */

static void columns_to_features(void **state)
{
    tu t = {"1, 2\n2, 1\n", "1\n1\n2\n", "0\n1\n", "5, -1\n7, 0\n5, 1\n", "0.5\n-1e-3\n2\n", NULL};
    static const double x[2][14] = {{0.5, 1, 0, 0, 1, 0, 0, -1e-3, 0, 0, 1, 0, 1, 0},
                                    {2, 1, 0, 0, 0, 0, 1}};
    dk_dataset d;
    dk_encoding e, again;
    (void)state;
    ts_ok(parse(&d, &t), &err);
    assert_int_equal(d.attributes, 1);
    assert_int_equal(d.label_columns, 2);
    ts_ok(dk_dataset_encoding(&d, &e, &err), &err);
    char *text = dk_encoding_text(&e);
    assert_string_equal(text, "attributes=1;labels=5,6,7|-1,0,1");
    assert_int_equal(dk_encoding_features(&e), 7);
    ts_ok(dk_encoding_parse(&again, text, &err), &err);
    ts_ok(dk_dataset_encode(&d, &again, &err), &err);
    assert_int_equal(d.graphs[0].num_features, 7);
    assert_memory_equal(d.graphs[0].x, x[0], 14 * sizeof(double));
    assert_memory_equal(d.graphs[1].x, x[1], 7 * sizeof(double));
    ts_ok(dk_dataset_encode(&d, &e, &err), &err);
    free(text);
    dk_encoding_free(&e);
    dk_encoding_free(&again);
    /* A model that knows other values, in an order of its own. */
    ts_ok(dk_encoding_parse(&e, "attributes=1;labels=7,5|1,0,-1,9", &err), &err);
    ts_ok(dk_dataset_encode(&d, &e, &err), &err);
    assert_int_equal(d.graphs[0].num_features, 7);
    assert_true(d.graphs[0].x[2] == 1 && d.graphs[0].x[5] == 1);
    dk_encoding_free(&e);
    ts_ok(dk_encoding_parse(&e, "attributes=1;labels=5|-1,0,1", &err), &err);
    dk_dataset_encode(&d, &e, &err);
    ts_failed(&err, DK_EFORMAT, "graph 0: node 1: label 7 (column 0)");
    dk_encoding_free(&e);
    ts_ok(dk_encoding_parse(&e, "attributes=0;labels=5,7", &err), &err);
    dk_dataset_encode(&d, &e, &err);
    ts_failed(&err, DK_EFORMAT, "1 attribute and 2 node-label columns; expected 0 and 1");
    dk_encoding_free(&e);
    dk_dataset_free(&d);
}

static void finished_features(void **state)
{
    tu t = {"1, 2\n2, 1\n", "1\n1\n", "0\n", NULL, "0, 1\n1, 0\n", NULL};
    dk_dataset d;
    dk_encoding e;
    (void)state;
    ts_ok(parse(&d, &t), &err);
    ts_ok(dk_encoding_parse(&e, "attributes=0;labels=6,8", &err), &err);
    ts_ok(dk_dataset_encode(&d, &e, &err), &err);
    assert_true(d.graphs[0].x[1] == 1 && d.graphs[0].x[2] == 1);
    dk_encoding_free(&e);
    dk_dataset_free(&d);
}

static void degrees_to_features(void **state)
{
    tu t = {"1, 2\n2, 1\n1, 3\n3, 1\n", "1\n1\n1\n1\n", "0\n", NULL, NULL, NULL};
    static const double x[] = {0, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 0};
    dk_dataset d;
    dk_encoding e;
    (void)state;
    ts_ok(parse(&d, &t), &err);
    ts_ok(dk_dataset_encoding(&d, &e, &err), &err);
    char *text = dk_encoding_text(&e);
    assert_string_equal(text, "degree=onehot;max=2");
    ts_ok(dk_dataset_encode(&d, &e, &err), &err);
    assert_memory_equal(d.graphs[0].x, x, sizeof x);
    free(text);
    dk_encoding_free(&e);
    ts_ok(dk_encoding_parse(&e, "degree=onehot;max=1", &err), &err);
    dk_dataset_encode(&d, &e, &err);
    ts_failed(&err, DK_EFORMAT, "graph 0: node 0: degree 2: the features know degrees up to 1");
    dk_encoding_free(&e);
    ts_ok(dk_encoding_parse(&e, "degree=std;mean=1;std=0.5", &err), &err);
    ts_ok(dk_dataset_encode(&d, &e, &err), &err);
    assert_int_equal(d.graphs[0].num_features, 1);
    assert_true(d.graphs[0].x[0] == 2 && d.graphs[0].x[3] == -2);
    dk_encoding_free(&e);
    dk_dataset_free(&d);
}

/* A star of 1001 leaves: too wide for one-hot. */
static void large_degrees_are_standardised(void **state)
{
    int32_t src[1001], dst[1001];
    dk_dataset d = {.name = dk_xstrdup("star"), .count = 1};
    dk_encoding e, again;
    (void)state;
    for (int i = 0; i < 1001; i++) {
        src[i] = 0;
        dst[i] = i + 1;
    }
    d.graphs = dk_xcalloc(1, sizeof *d.graphs);
    ts_ok(dk_graph_build(&d.graphs[0], 1002, 1001, src, dst, NULL, NULL, NULL, NULL, &err), &err);
    ts_ok(dk_dataset_encoding(&d, &e, &err), &err);
    assert_int_equal(e.kind, DK_FEAT_DEGREE_STD);
    double mean = 1001.0 / 1002, std = sqrt((pow(1001 - mean, 2) + 1001 * mean * mean) / 1001);
    assert_true(fabs(e.degree_mean - mean) < 1e-12 && fabs(e.degree_std - std) < 1e-9);
    char *text = dk_encoding_text(&e);
    ts_ok(dk_encoding_parse(&again, text, &err), &err);
    assert_true(again.degree_mean == e.degree_mean && again.degree_std == e.degree_std);
    free(text);
    dk_encoding_free(&e);
    dk_encoding_free(&again);
    dk_dataset_free(&d);
}

static void too_wide(void **state)
{
    tu t = {"", "1\n1\n", "0\n", "0\n2147483647\n", NULL, NULL};
    dk_dataset d;
    dk_encoding e;
    (void)state;
    ts_ok(parse(&d, &t), &err);
    dk_dataset_encoding(&d, &e, &err);
    ts_failed(&err, DK_EUNSUPPORTED, "2147483648 wide, at most 65536");
    dk_dataset_free(&d);
}

static void damaged_encodings(void **state)
{
    static const char *const bad[] = {"",
                                      "attributes",
                                      "attributes=",
                                      "attributes=-1",
                                      "attributes=1;",
                                      "attributes=1;labels=",
                                      "attributes=0;labels=1,",
                                      "attributes=0;labels=1||2",
                                      "attributes=0;labels=1;2",
                                      "attributes=0;labels=3,1,3",
                                      "attributes=0;labels=3000000000",
                                      "attributes=0",
                                      "attributes=99999999999",
                                      "degree=onehot;max=",
                                      "degree=onehot;max=65536",
                                      "degree=onehot;max=1;",
                                      "degree=std;mean=1",
                                      "degree=std;mean=1;std=0",
                                      "degree=std;mean=nan;std=1",
                                      "degree=two"};
    dk_encoding e;
    (void)state;
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        assert_int_equal(dk_encoding_parse(&e, bad[k], &err), DK_EFORMAT);
        ts_failed(&err, DK_EFORMAT, "feature encoding");
    }
}

/* ---- The third-party sets. */

typedef struct published {
    const char *name;
    int32_t graphs, nodes, edges, largest, features, loops, isolated, of_graphs, first_class;
    int64_t values[2];
} published;

static void count_tu(const published *p)
{
    int32_t nodes = 0, edges = 0, largest = 0, loops = 0, isolated = 0, of_graphs = 0, first = 0;
    dk_dataset d;
    dk_encoding e;
    char *path = dk_path_join(THIRD, p->name);
    ts_ok(dk_dataset_load(&d, path, &keep_loops, &err), &err);
    ts_ok(dk_dataset_encoding(&d, &e, &err), &err);
    for (int32_t i = 0; i < d.count; i++) {
        const dk_graph *g = &d.graphs[i];
        int32_t alone = 0;
        nodes += g->n;
        edges += g->e;
        largest = g->n > largest ? g->n : largest;
        first += g->label == 0;
        for (int32_t k = 0; k < g->e; k++)
            loops += g->src[k] == g->dst[k];
        for (int32_t v = 0; v < g->n; v++)
            alone += g->out_ptr[v] == g->out_ptr[v + 1];
        isolated += alone;
        of_graphs += alone > 0;
    }
    assert_string_equal(d.name, p->name);
    assert_int_equal(d.count, p->graphs);
    assert_int_equal(nodes, p->nodes);
    assert_int_equal(edges, p->edges);
    assert_int_equal(largest, p->largest);
    assert_int_equal(loops, p->loops);
    assert_int_equal(isolated, p->isolated);
    assert_int_equal(of_graphs, p->of_graphs);
    assert_int_equal(first, p->first_class);
    assert_int_equal(d.classes, 2);
    assert_true(d.class_value[0] == p->values[0] && d.class_value[1] == p->values[1]);
    assert_int_equal(dk_encoding_features(&e), p->features);
    assert_int_equal(d.merged_edges + d.one_way_edges, 0);
    assert_int_equal(strlen(d.hash), 32);
    dk_encoding_free(&e);
    dk_dataset_free(&d);
    free(path);
}

static void published_counts(void **state)
{
    static const published sets[] = {
        {"MUTAG", 188, 3371, 7442, 28, 7, 0, 0, 0, 63, {-1, 1}},
        {"Mutagenicity", 4337, 131488, 266894, 417, 14, 0, 2401, 121, 2401, {0, 1}},
        {"NCI1", 4110, 122747, 265506, 111, 37, 0, 428, 399, 2053, {0, 1}},
        {"BA_2Motifs", 1000, 25000, 50960, 25, 10, 40, 0, 0, 500, {0, 1}},
    };
    (void)state;
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++)
        count_tu(&sets[k]);
}

static void ba_2motifs_ground_truth(void **state)
{
    dk_dataset d;
    (void)state;
    ts_ok(dk_dataset_load(&d, THIRD "BA_2Motifs/", &drop_loops, &err), &err);
    assert_int_equal(d.dropped_loops, 40);
    for (int32_t i = 0; i < d.count; i++) {
        const dk_graph *g = &d.graphs[i];
        for (int32_t e = 0; e < g->e; e++)
            assert_int_equal(g->gt[e], g->src[e] >= 20 && g->dst[e] >= 20);
        assert_int_equal(g->label, i >= 500);
    }
    dk_dataset_free(&d);
}

static void published_node_sets(void **state)
{
    static const struct {
        const char *name;
        int32_t n, e, classes, counts[8], split[4], gt;
    } sets[] = {
        {"ba_shape", 700, 4110, 4, {300, 160, 160, 80}, {0, 560, 70, 70}, 960},
        {"ba_community",
         1400,
         8920,
         8,
         {300, 160, 160, 80, 300, 160, 160, 80},
         {0, 1120, 140, 140},
         1920},
        {"tree_cycle", 871, 1942, 2, {511, 360}, {0, 696, 87, 88}, 720},
        {"tree_grid", 1231, 3130, 2, {511, 720}, {0, 984, 123, 124}, 1920},
    };
    (void)state;
    for (size_t k = 0; k < sizeof sets / sizeof *sets; k++) {
        int32_t counts[8] = {0}, split[4] = {0}, gt = 0;
        dk_dataset d;
        char *path = dk_path_join(THIRD, sets[k].name);
        ts_ok(dk_dataset_load(&d, path, &keep_loops, &err), &err);
        const dk_graph *g = &d.graphs[0];
        assert_int_equal(d.task, DK_TASK_NODE);
        assert_int_equal(g->n, sets[k].n);
        assert_int_equal(g->e, sets[k].e);
        assert_int_equal(g->one_way, 0);
        assert_int_equal(d.classes, sets[k].classes);
        assert_int_equal(d.attributes, 10);
        for (int32_t v = 0; v < g->n; v++) {
            counts[g->y[v]]++;
            split[d.split[v]]++;
            assert_true(d.node_id[v] == v);
        }
        for (int32_t e = 0; e < g->e; e++)
            gt += g->gt[e];
        assert_memory_equal(counts, sets[k].counts, sizeof counts);
        assert_memory_equal(split, sets[k].split, sizeof split);
        assert_int_equal(gt, sets[k].gt);
        dk_dataset_free(&d);
        free(path);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(spellings_of_one_set, fresh),
        cmocka_unit_test_setup(label_values, fresh),
        cmocka_unit_test_setup(unsorted_indicator, fresh),
        cmocka_unit_test_setup(one_way_loops_and_no_edges, fresh),
        cmocka_unit_test_setup(damaged_tu, fresh),
        cmocka_unit_test_setup(columns_to_features, fresh),
        cmocka_unit_test_setup(finished_features, fresh),
        cmocka_unit_test_setup(degrees_to_features, fresh),
        cmocka_unit_test_setup(large_degrees_are_standardised, fresh),
        cmocka_unit_test_setup(too_wide, fresh),
        cmocka_unit_test_setup(damaged_encodings, fresh),
        cmocka_unit_test_setup(published_counts, fresh),
        cmocka_unit_test_setup(ba_2motifs_ground_truth, fresh),
        cmocka_unit_test_setup(published_node_sets, fresh),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
