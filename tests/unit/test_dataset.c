/* graph/dataset.h: TU folders, CSV folders and JSON as people have them, damaged ones, features,
 * writers. The third-party sets are counted against the tables published with them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/dataset.h"
#include "unit/support.h"

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

static void assert_same_graphs(const dk_dataset *a, const dk_dataset *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->classes, b->classes);
    assert_int_equal(a->attributes, b->attributes);
    assert_int_equal(a->label_columns, b->label_columns);
    assert_int_equal(a->task, b->task);
    for (int32_t c = 0; c < a->classes; c++)
        assert_true(a->class_value[c] == b->class_value[c]);
    for (int32_t i = 0; i < a->count; i++) {
        const dk_graph *g = &a->graphs[i], *h = &b->graphs[i];
        size_t n = (size_t)g->n, e = (size_t)g->e;
        assert_int_equal(g->n, h->n);
        assert_int_equal(g->e, h->e);
        assert_int_equal(g->label, h->label);
        assert_memory_equal(g->src, h->src, e * sizeof *g->src);
        assert_memory_equal(g->dst, h->dst, e * sizeof *g->dst);
        assert_memory_equal(g->rev, h->rev, e * sizeof *g->rev);
        assert_int_equal(g->gt != NULL, h->gt != NULL);
        assert_int_equal(g->weight != NULL, h->weight != NULL);
        assert_int_equal(g->y != NULL, h->y != NULL);
        if (g->gt)
            assert_memory_equal(g->gt, h->gt, e);
        if (g->weight)
            assert_memory_equal(g->weight, h->weight, e * sizeof *g->weight);
        if (g->y)
            assert_memory_equal(g->y, h->y, n * sizeof *g->y);
        if (a->labels)
            assert_memory_equal(a->labels[i], b->labels[i],
                                n * (size_t)a->label_columns * sizeof(int32_t));
        if (a->attr)
            assert_memory_equal(a->attr[i], b->attr[i], n * (size_t)a->attributes * sizeof(double));
    }
}

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
        assert_same_graphs(&d, &o);
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

/* ---- CSV folders. */

static int load_csv(dk_dataset *d, const char *nodes, const char *edges)
{
    char *dir = ts_dir("csvset");
    if (nodes)
        ts_write_text(dir, "nodes.csv", nodes);
    if (edges)
        ts_write_text(dir, "edges.csv", edges);
    int rc = dk_dataset_load(d, dir, &keep_loops, &err);
    free(dir);
    return rc;
}

static void csv_as_people_have_it(void **state)
{
    dk_dataset d, o;
    (void)state;
    ts_ok(load_csv(&d, "id,label,split,x0,x1\n7,3,train,1,0.5\n100,,val,2,-1\n-4,9,,3,1e3\n",
                   "src,dst,gt,weight\n7,100,1,0.5\n100,7,1,0.25\n-4,7,0,1\n"),
          &err);
    const dk_graph *g = &d.graphs[0];
    assert_int_equal(g->n, 3);
    assert_true(d.node_id[0] == -4 && d.node_id[1] == 7 && d.node_id[2] == 100);
    assert_int_equal(d.classes, 2);
    assert_int_equal(g->y[0], 1);
    assert_int_equal(g->y[1], 0);
    assert_int_equal(g->y[2], -1);
    assert_int_equal(d.split[0], DK_SPLIT_NONE);
    assert_int_equal(d.split[2], DK_SPLIT_VAL);
    assert_true(d.attr[0][0] == 3 && d.attr[0][1] == 1000);
    assert_int_equal(g->e, 3);
    assert_int_equal(d.one_way_edges, 1);
    assert_true(g->weight[1] == 0.5 && g->weight[2] == 0.25);
    assert_int_equal(g->gt[0], 0);
    /* Columns and lines in another order, CRLF, quotes, blanks, empty lines at the end; ids too far
     * apart for a table are searched. */
    ts_ok(load_csv(
              &o,
              "x0,x1,label,id,split\r\n3,1e3,9, -4 ,\r\n2,-1,,100,val\r\n1,0.5,3,7,train\r\n\r\n",
              "\"dst\",\"src\",weight,gt\r\n7,-4,1,0\r\n7, 100,.25,1\r\n100,7,.5,1\r\n\r\n \r\n"),
          &err);
    assert_same_graphs(&d, &o);
    dk_dataset_free(&o);
    ts_ok(load_csv(&o, "id\n5\n4000000000000\n-9000000000000000000\n",
                   "src,dst\n4000000000000,5\n-9000000000000000000,5\n"),
          &err);
    assert_int_equal(o.graphs[0].dst[0], 1);
    assert_int_equal(o.graphs[0].src[0], 0);
    assert_int_equal(o.graphs[0].src[1], 2);
    assert_null(o.graphs[0].y);
    assert_null(o.split);
    assert_int_equal(o.attributes, 0);
    dk_dataset_free(&o);
    dk_dataset_free(&d);
}

static void csv_without_loops(void **state)
{
    char *dir = ts_dir("csvset");
    dk_dataset d;
    (void)state;
    ts_write_text(dir, "nodes.csv", "id\n1\n2\n");
    ts_write_text(dir, "edges.csv", "src,dst,gt,weight\n1,1,1,5\n1,2,0,6\n2,2,0,7\n2,1,1,8\n");
    ts_ok(dk_dataset_load(&d, dir, &drop_loops, &err), &err);
    assert_int_equal(d.dropped_loops, 2);
    assert_int_equal(d.graphs[0].e, 2);
    assert_true(d.graphs[0].weight[0] == 6 && d.graphs[0].weight[1] == 8);
    assert_true(d.graphs[0].gt[0] == 0 && d.graphs[0].gt[1] == 1);
    dk_dataset_free(&d);
    free(dir);
}

static void damaged_csv(void **state)
{
    static const char nodes[] = "id,label\n1,0\n5,1\n", edges[] = "src,dst\n1,5\n5,1\n";
    static const struct {
        const char *nodes, *edges;
        int code;
        const char *text;
    } cases[] = {
        {NULL, edges, DK_EFAIL, "nodes.csv: No such file"},
        {nodes, NULL, DK_EFAIL, "edges.csv: No such file"},
        {NULL, NULL, DK_EFORMAT, "expected NAME_A.txt (TU text) or nodes.csv and edges.csv"},
        {"", edges, DK_EFORMAT, "nodes.csv: expected a header row"},
        {"id\n", edges, DK_EFORMAT, "nodes.csv: 0 nodes"},
        {"name\n1\n", edges, DK_EFORMAT, "expected a column id"},
        {"id,label,colour\n1,0,2\n", edges, DK_EFORMAT, "column \"colour\""},
        {"id,x1,x0\n1,0,2\n", edges, DK_EFORMAT, "column x1: expected x0, x1, ... side by side"},
        {"id,x0,x2\n1,0,2\n", edges, DK_EFORMAT, "column \"x2\""},
        {"id,label\n1,0\n5\n", edges, DK_EFORMAT, "line 3"},
        {"id,label\n1,0\n5,1\n1,0\n", edges, DK_EFORMAT,
         "nodes.csv: line 4: id 1 stands in line 2 already"},
        {"id,label\n1,0\nfive,1\n", edges, DK_EFORMAT,
         "nodes.csv: line 3: id: expected an integer, found \"five\""},
        {"id,label\n1,0\n5,high\n", edges, DK_EFORMAT, "line 3: label"},
        {"id,split\n1,train\n5,testing\n", edges, DK_EFORMAT,
         "line 3: split: expected train, val, test or nothing, found \"testing\""},
        {"id,x0\n1,1\n5,nan\n", edges, DK_EFORMAT, "line 3: feature: expected a finite"},
        {"id,x0\n1,1\n5,\n", edges, DK_EFORMAT, "line 3: feature"},
        {nodes, "", DK_EFORMAT, "edges.csv: line 1: expected the columns src and dst"},
        {nodes, "src,target\n1,5\n", DK_EFORMAT, "line 1: column \"target\""},
        {nodes, "src,src\n1,5\n", DK_EFORMAT, "column \"src\""},
        {nodes, "src,gt\n1,1\n", DK_EFORMAT, "expected the columns src and dst"},
        {nodes, "src,dst\n1,5\n5,2\n", DK_EFORMAT, "edges.csv: line 3: dst 2: no such id in"},
        {nodes, "src,dst\n1,5\n9,1\n", DK_EFORMAT, "edges.csv: line 3: src 9: no such id in"},
        {"id\n1\n90000000\n", "src,dst\n1,1\n1,2\n", DK_EFORMAT, "line 3: dst 2: no such id in"},
        {nodes, "src,dst\n1\n", DK_EFORMAT, "edges.csv: line 2: dst"},
        {nodes, "src,dst\n1,5,1\n", DK_EFORMAT, "line 2: behind the last field"},
        {nodes, "src,dst,gt\n1,5,2\n", DK_EFORMAT, "line 2: gt 2: allowed are 0 to 1"},
        {nodes, "src,dst,weight\n1,5,inf\n", DK_EFORMAT, "line 2: weight"},
    };
    dk_dataset d;
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        assert_int_equal(load_csv(&d, cases[k].nodes, cases[k].edges), cases[k].code);
        ts_failed(&err, cases[k].code, cases[k].text);
    }
}

static void odd_folders(void **state)
{
    char *dir = ts_dir("folders");
    dk_dataset d;
    (void)state;
    ts_write_text(dir, "B_A.txt", "");
    dk_dataset_load(&d, dir, &keep_loops, &err);
    ts_failed(&err, DK_EFAIL, "B_graph_indicator.txt: No such file");
    ts_write_text(dir, "C_A.txt", "");
    dk_dataset_load(&d, dir, &keep_loops, &err);
    ts_failed(&err, DK_EFORMAT, "found B_A.txt and C_A.txt");
    dk_dataset_load(&d, "tests/data/none.json", &keep_loops, &err);
    ts_failed(&err, DK_EFAIL, "No such file");
    free(dir);
}

/* ---- JSON. */

static int json(dk_dataset *d, const char *text)
{
    return dk_dataset_parse_json(d, text, strlen(text), "g.json", &err);
}

static void json_graphs(void **state)
{
    dk_dataset d;
    (void)state;
    ts_ok(json(&d, "{\"nodes\": 3, \"edges\": [[1, 0], [0, 1], [2, 2]], \"label\": 2, "
                   "\"node_labels\": [6, 7.0, 6], \"edge_weight\": [1, 2.5, 3], "
                   "\"edge_gt\": [1, 0, true]}"),
          &err);
    assert_string_equal(d.name, "g");
    assert_int_equal(d.count, 1);
    assert_int_equal(d.graphs[0].label, 2);
    assert_int_equal(d.classes, 3);
    assert_true(d.graphs[0].weight[0] == 2.5 && d.graphs[0].weight[1] == 1);
    assert_int_equal(d.graphs[0].gt[1], 1);
    assert_int_equal(d.graphs[0].gt[2], 1);
    assert_int_equal(d.labels[0][1], 7);
    dk_dataset_free(&d);
    ts_ok(json(&d, "{\"schema\": \"dk.gnn-dataset/1\", \"name\": \"two\", \"graphs\": ["
                   "{\"nodes\": 0, \"edges\": [], \"label\": -1}, "
                   "{\"nodes\": 1, \"edges\": [], \"x\": [[1, 2]], \"label\": 5}, "
                   "{\"nodes\": 1, \"edges\": [], \"x\": [[3, 4]]}], \"split\": [null, \"val\", "
                   "\"test\"]}"),
          &err);
    assert_string_equal(d.name, "two");
    assert_int_equal(d.count, 3);
    assert_int_equal(d.classes, 2);
    assert_int_equal(d.graphs[0].label, 0);
    assert_int_equal(d.graphs[2].label, -1);
    assert_int_equal(d.attributes, 2);
    assert_non_null(d.attr[0]);
    assert_int_equal(d.split[1], DK_SPLIT_VAL);
    dk_dataset_free(&d);
    ts_ok(json(&d, "{\"nodes\": 2, \"edges\": [], \"y\": [4, null], \"node_id\": [3, 8], "
                   "\"split\": [\"train\", null]}"),
          &err);
    assert_int_equal(d.task, DK_TASK_NODE);
    assert_int_equal(d.graphs[0].y[0], 0);
    assert_int_equal(d.graphs[0].y[1], -1);
    assert_true(d.node_id[1] == 8);
    dk_dataset_free(&d);
}

static void damaged_json(void **state)
{
    static const struct {
        const char *text, *message;
        int code;
    } cases[] = {
        {"", "g.json", DK_EFORMAT},
        {"[]", "expected an object", DK_EFORMAT},
        {"{\"edges\": []}", "nodes: expected the number of nodes", DK_EFORMAT},
        {"{\"nodes\": -1, \"edges\": []}", "nodes", DK_EFORMAT},
        {"{\"nodes\": 2}", "edges: expected an array", DK_EFORMAT},
        {"{\"nodes\": 2, \"edges\": [[0, 1], [0, 2]]}", "edges[1]: node id 2: allowed are 0 to 1",
         DK_EFORMAT},
        {"{\"nodes\": 2, \"edges\": [[0, 1, 1]]}", "edges[0]: expected two node ids", DK_EFORMAT},
        {"{\"nodes\": 2, \"edges\": [[0, 0.5]]}", "edges[0]: expected two node ids", DK_EFORMAT},
        {"{\"nodes\": 2, \"edges\": [], \"x\": [[1]]}", "x: expected 2 items, found 1", DK_EFORMAT},
        {"{\"nodes\": 2, \"edges\": [], \"x\": [[1], [1, 2]]}", "x[1]: expected 1 finite",
         DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [], \"x\": [[NaN]]}", "x[0]", DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [], \"x\": [[]]}", "rows without columns", DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [], \"node_labels\": [3000000000]}", "node_labels[0]",
         DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [[0, 0]], \"edge_weight\": [Infinity]}", "edge_weight[0]",
         DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [[0, 0]], \"edge_gt\": [2]}", "edge_gt[0]: expected 0 or 1",
         DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [[0, 0]], \"edge_gt\": []}", "edge_gt: expected 1 items",
         DK_EFORMAT},
        {"{\"nodes\": 2000000000, \"edges\": []}", "2000000000 nodes without x", DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [], \"label\": -1}", "label -1: allowed are 0 to 65535",
         DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [], \"label\": 1, \"classes\": [0, 2]}",
         "label 1 is not among \"classes\"", DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [], \"label\": 1, \"classes\": [2, 1]}",
         "classes[0]: expected ascending integers", DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [], \"label\": 1, \"y\": [1]}", "\"y\" (a class per node)",
         DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [], \"y\": [1], \"node_id\": [1.5]}", "node_id[0]", DK_EFORMAT},
        {"{\"nodes\": 1, \"edges\": [], \"split\": [\"dev\"]}", "split[0]: expected \"train\"",
         DK_EFORMAT},
        {"{\"graphs\": []}", "graphs: expected an array of graphs", DK_EFORMAT},
        {"{\"graphs\": [3]}", "graphs[0]: expected an object", DK_EFORMAT},
        {"{\"task\": \"edge\", \"graphs\": [{\"nodes\": 0, \"edges\": []}]}", "task: expected",
         DK_EFORMAT},
        {"{\"graphs\": [{\"nodes\": 1, \"edges\": [], \"x\": [[1]]}, {\"nodes\": 1, \"edges\": "
         "[], \"x\": [[1, 2]]}]}",
         "graphs[1]: 2 columns in x and 0 in node_labels; the graphs before have 1 and 0",
         DK_EFORMAT},
        {"{\"schema\": \"dk.gnn-graph/2\", \"nodes\": 0, \"edges\": []}",
         "schema: expected dk.gnn-graph/1", DK_EUNSUPPORTED},
    };
    dk_dataset d;
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        assert_int_equal(json(&d, cases[k].text), cases[k].code);
        assert_null(d.graphs);
        ts_failed(&err, cases[k].code, cases[k].message);
    }
}

/* ---- Writers: what was saved reads back equal. */

static void saved_molecules(void **state)
{
    char *dir = ts_dir("save"), *file = dk_path_join(dir, "m.json");
    dk_dataset d, o;
    (void)state;
    ts_ok(dk_dataset_load(&d, THIRD "MUTAG", &keep_loops, &err), &err);
    ts_ok(dk_dataset_save_tu(&d, dir, false, &err), &err);
    ts_ok(dk_dataset_save_json(&d, file, false, &err), &err);
    dk_dataset_save_tu(&d, dir, false, &err);
    ts_failed(&err, DK_EUSAGE, "exists");
    ts_ok(dk_dataset_save_tu(&d, dir, true, &err), &err);
    ts_ok(dk_dataset_load(&o, dir, &keep_loops, &err), &err);
    assert_string_equal(o.name, "MUTAG");
    assert_same_graphs(&d, &o);
    dk_dataset_free(&o);
    ts_ok(dk_dataset_load(&o, file, &keep_loops, &err), &err);
    assert_string_equal(o.name, "MUTAG");
    assert_same_graphs(&d, &o);
    assert_string_not_equal(o.hash, d.hash);
    dk_dataset_free(&o);
    ts_write_text(dir, "MUTAG_edge_gt.txt", "1\n");
    dk_dataset_save_tu(&d, dir, true, &err);
    ts_failed(&err, DK_EUSAGE, "would be read as part of the new set");
    dk_dataset_save_csv(&d, dir, true, &err);
    ts_failed(&err, DK_EUSAGE, "no CSV form");
    dk_dataset_free(&d);
    free(dir);
    free(file);
}

static void saved_node_set(void **state)
{
    char *dir = ts_dir("save"), *file = dk_path_join(dir, "b.json");
    dk_dataset d, o;
    (void)state;
    ts_ok(dk_dataset_load(&d, THIRD "ba_community", &keep_loops, &err), &err);
    ts_ok(dk_dataset_save_csv(&d, dir, false, &err), &err);
    ts_ok(dk_dataset_load(&o, dir, &keep_loops, &err), &err);
    assert_same_graphs(&d, &o);
    assert_memory_equal(d.split, o.split, 1400 * sizeof *d.split);
    dk_dataset_free(&o);
    ts_ok(dk_dataset_save_json(&d, file, false, &err), &err);
    ts_ok(dk_dataset_load(&o, file, &keep_loops, &err), &err);
    assert_same_graphs(&d, &o);
    assert_memory_equal(d.split, o.split, 1400 * sizeof *d.split);
    assert_memory_equal(d.node_id, o.node_id, 1400 * sizeof *d.node_id);
    dk_dataset_free(&o);
    dk_dataset_save_tu(&d, dir, true, &err);
    ts_failed(&err, DK_EUSAGE, "no TU form");
    dk_dataset_free(&d);
    free(dir);
    free(file);
}

static void what_a_format_cannot_hold(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"{\"nodes\": 1, \"edges\": [[0, 0]], \"edge_weight\": [2], \"label\": 0}", "edge weights"},
        {"{\"nodes\": 1, \"edges\": []}", "has no label"},
        {"{\"nodes\": 1, \"edges\": [], \"label\": 1}", "class 0 has no member"},
    };
    char *dir = ts_dir("save");
    dk_dataset d;
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        ts_ok(json(&d, cases[k].text), &err);
        dk_dataset_save_tu(&d, dir, false, &err);
        ts_failed(&err, DK_EUNSUPPORTED, cases[k].message);
        dk_dataset_free(&d);
    }
    /* A name out of a file does not leave the folder. */
    ts_ok(json(&d, "{\"name\": \"../.. x\", \"graphs\": [{\"nodes\": 1, \"edges\": [], "
                   "\"label\": 0}]}"),
          &err);
    ts_ok(dk_dataset_save_tu(&d, dir, false, &err), &err);
    char *path = dk_path_join(dir, "_._.._x_A.txt");
    assert_true(dk_exists(path));
    free(path);
    dk_dataset_free(&d);
    free(dir);
}

static void splits(void **state)
{
    dk_split a[103], b[103];
    int32_t counts[4] = {0}, same = 0;
    (void)state;
    ts_ok(dk_dataset_random_split(103, 0.8, 0.1, 1, a, &err), &err);
    ts_ok(dk_dataset_random_split(103, 0.8, 0.1, 1, b, &err), &err);
    assert_memory_equal(a, b, sizeof a);
    ts_ok(dk_dataset_random_split(103, 0.8, 0.1, 2, b, &err), &err);
    for (int i = 0; i < 103; i++) {
        counts[a[i]]++;
        same += a[i] == b[i];
    }
    assert_true(same < 103);
    assert_int_equal(counts[DK_SPLIT_TRAIN], 82);
    assert_int_equal(counts[DK_SPLIT_VAL], 10);
    assert_int_equal(counts[DK_SPLIT_TEST], 11);
    dk_dataset_random_split(103, 0.8, 0.3, 1, a, &err);
    ts_failed(&err, DK_EUSAGE, "together at most 1");
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
        cmocka_unit_test_setup(csv_as_people_have_it, fresh),
        cmocka_unit_test_setup(csv_without_loops, fresh),
        cmocka_unit_test_setup(damaged_csv, fresh),
        cmocka_unit_test_setup(odd_folders, fresh),
        cmocka_unit_test_setup(json_graphs, fresh),
        cmocka_unit_test_setup(damaged_json, fresh),
        cmocka_unit_test_setup(saved_molecules, fresh),
        cmocka_unit_test_setup(saved_node_set, fresh),
        cmocka_unit_test_setup(what_a_format_cannot_hold, fresh),
        cmocka_unit_test_setup(splits, fresh),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
