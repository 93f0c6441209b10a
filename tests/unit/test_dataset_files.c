/* graph/dataset.h: CSV folders and JSON as people have them, damaged ones, writers, splits. */
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
    da_same(&d, &o);
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
    da_same(&d, &o);
    dk_dataset_free(&o);
    ts_ok(dk_dataset_load(&o, file, &keep_loops, &err), &err);
    assert_string_equal(o.name, "MUTAG");
    da_same(&d, &o);
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
    da_same(&d, &o);
    assert_memory_equal(d.split, o.split, 1400 * sizeof *d.split);
    dk_dataset_free(&o);
    ts_ok(dk_dataset_save_json(&d, file, false, &err), &err);
    ts_ok(dk_dataset_load(&o, file, &keep_loops, &err), &err);
    da_same(&d, &o);
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
