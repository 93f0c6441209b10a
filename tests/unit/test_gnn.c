/* graph/gnn: the published models give exactly the predictions, accuracies and logits that are
 * recorded for them, in either precision and for any number of threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "io/csv.h"
#include "unit/gnn_aid.h"

static dk_err err;

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    return 0;
}

static double *predict(const ts_case *c, int64_t *rows)
{
    *rows = c->d.task == DK_TASK_NODE ? c->d.graphs[0].n : c->d.count;
    double *z = dk_xcalloc((size_t)*rows * (size_t)c->m->c.classes, sizeof *z);
    ts_ok(dk_gnn_predict(c->m, &c->d, z, &err), &err);
    return z;
}

static int32_t label_of(const dk_dataset *d, int64_t row)
{
    return d->task == DK_TASK_NODE ? d->graphs[0].y[row] : d->graphs[row].label;
}

static int correct_of(const ts_case *c)
{
    int64_t rows;
    double *z = predict(c, &rows);
    int n = 0;

    for (int64_t i = 0; i < rows; i++)
        n += dk_argmax(z + i * c->m->c.classes, c->m->c.classes) == label_of(&c->d, i);
    free(z);
    return n;
}

/* ---- Correct predictions of all models. */

#ifdef __SANITIZE_ADDRESS__
enum { SANITIZED = 1 }; /* forty times slower: the large sets run in one precision */
#else
enum { SANITIZED = 0 };
#endif

static void check_counts(const char *const (*model)[2], const int *expected, int n, int precisions)
{
    static const dk_dtype reals[] = {DK_F32, DK_F64};

    for (int i = 0; i < n; i++)
        for (int r = 0; r < precisions; r++) {
            ts_case c;
            ts_case_open(&c, model[i][0], model[i][1], reals[r]);
            int got = correct_of(&c);
            if (got != expected[i])
                fail_msg("%s in %s: %d correct, expected %d", model[i][0], dk_dtype_name(reals[r]),
                         got, expected[i]);
            ts_case_close(&c);
        }
}

static void test_graph_models(void **state)
{
    static const char *const model[][2] = {{"gcn_MUTAG", "MUTAG"},
                                           {"gin_MUTAG", "MUTAG"},
                                           {"gcn_ba_2motifs", "BA_2Motifs"},
                                           {"gin_ba_2motifs", "BA_2Motifs"},
                                           {"holdijk_gcn_ba_2motifs", "BA_2Motifs"}};
    static const int expected[] = {163, 166, 1000, 1000, 994};

    (void)state;
    check_counts(model, expected, 5, 2);
}

static void test_large_graph_models(void **state)
{
    static const char *const model[][2] = {{"gcn_Mutagenicity", "Mutagenicity"},
                                           {"gin_Mutagenicity", "Mutagenicity"},
                                           {"gcn_NCI1", "NCI1"},
                                           {"gin_NCI1", "NCI1"}};
    static const int expected[] = {4023, 3783, 3731, 3772};

    (void)state;
    check_counts(model, expected, SANITIZED ? 2 : 4, SANITIZED ? 1 : 2);
}

static void test_node_models(void **state)
{
    static const char *const model[][2] = {{"gin_ba_shape", "ba_shape"},
                                           {"gin_ba_community", "ba_community"},
                                           {"gin_tree_grid", "tree_grid"},
                                           {"holdijk_gcn_ba_shape", "ba_shape"},
                                           {"holdijk_gcn_ba_community", "ba_community"},
                                           {"holdijk_gcn_tree_cycle", "tree_cycle"},
                                           {"holdijk_gcn_tree_grid", "tree_grid"}};
    static const int expected[] = {690, 1365, 1194, 683, 1217, 824, 1193};

    (void)state;
    check_counts(model, expected, 7, 2);
}

static void test_padded_model(void **state)
{
    static const char *const model[][2] = {{"holdijk_gcn_Mutagenicity", "Mutagenicity"}};
    static const int expected[] = {3574};

    (void)state;
    check_counts(model, expected, 1, SANITIZED ? 1 : 2);
}

/* ---- Logits. */

static void check_logits(const char *model, const char *data, dk_dtype real, double tol,
                         double *worst)
{
    char *path = dk_xasprintf(TS_GNN "reference/logits_%s.csv", model);
    ts_case c;
    dk_csv table;
    int64_t rows;

    ts_case_open(&c, model, data, real);
    ts_ok(dk_csv_load(&table, path, &err), &err);
    double *z = predict(&c, &rows);
    assert_int_equal(table.rows, rows);
    for (int64_t i = 0; i < rows; i++)
        for (int k = 0; k < c.m->c.classes; k++) {
            double want = strtod(dk_csv_at(&table, (size_t)i, (size_t)(3 + k)), NULL);
            double off = fabs(z[i * c.m->c.classes + k] - want) / (1 + fabs(want));
            if (!(off <= tol))
                fail_msg("%s: row %lld class %d: %.9g, expected %.9g", model, (long long)i, k,
                         z[i * c.m->c.classes + k], want);
            *worst = off > *worst ? off : *worst;
        }
    free(z);
    free(path);
    dk_csv_free(&table);
    ts_case_close(&c);
}

static void test_logits(void **state)
{
    static const char *const model[][2] = {{"gcn_MUTAG", "MUTAG"},
                                           {"gin_MUTAG", "MUTAG"},
                                           {"gcn_ba_2motifs", "BA_2Motifs"},
                                           {"gin_ba_2motifs", "BA_2Motifs"},
                                           {"gin_ba_shape", "ba_shape"},
                                           {"holdijk_gcn_ba_2motifs", "BA_2Motifs"},
                                           {"holdijk_gcn_ba_shape", "ba_shape"},
                                           {"holdijk_gcn_tree_cycle", "tree_cycle"}};
    double worst32 = 0, worst64 = 0;

    (void)state;
    for (size_t i = 0; i < sizeof model / sizeof *model; i++) {
        /* The recorded run of one model rounded its features, 0.1, to f32; ours does not. */
        double tol = strcmp(model[i][0], "holdijk_gcn_ba_2motifs") == 0 ? 2e-7 : 2e-8;
        check_logits(model[i][0], model[i][1], DK_F64, tol, &worst64);
        check_logits(model[i][0], model[i][1], DK_F32, 1e-4, &worst32);
    }
    print_message("largest relative difference: f64 %.2g, f32 %.2g\n", worst64, worst32);
}

/* ---- The accuracies that authors stored in their files. */

static void assert_accuracy(const ts_case *c, const double *z, int64_t rows, const dk_split *split,
                            dk_split which, const char *stored)
{
    int64_t hit = 0, n = 0;

    for (int64_t i = 0; i < rows; i++) {
        if (split[i] != which)
            continue;
        n++;
        hit += dk_argmax(z + i * c->m->c.classes, c->m->c.classes) == label_of(&c->d, i);
    }
    if (fabs((double)hit / (double)n - strtod(stored, NULL)) > 1e-9)
        fail_msg("split %d: %lld of %lld, stored %s", which, (long long)hit, (long long)n, stored);
}

static dk_split *split_file(const char *data, int32_t count)
{
    char *path = dk_xasprintf("tests/data/thirdparty/%s/split_rs42.csv", data);
    dk_split *split = dk_xcalloc((size_t)count, sizeof *split);
    dk_csv table;

    ts_ok(dk_csv_load(&table, path, &err), &err);
    assert_int_equal(table.rows, count);
    for (size_t i = 0; i < table.rows; i++) {
        const char *word = dk_csv_at(&table, i, 1);
        split[strtol(dk_csv_at(&table, i, 0), NULL, 10)] =
            strcmp(word, "train") == 0 ? DK_SPLIT_TRAIN
            : strcmp(word, "val") == 0 ? DK_SPLIT_VAL
                                       : DK_SPLIT_TEST;
    }
    dk_csv_free(&table);
    free(path);
    return split;
}

static void test_stored_accuracies(void **state)
{
    static const char *const model[][2] = {
        {"holdijk_gcn_ba_shape", "ba_shape"},     {"holdijk_gcn_ba_community", "ba_community"},
        {"holdijk_gcn_tree_cycle", "tree_cycle"}, {"holdijk_gcn_tree_grid", "tree_grid"},
        {"holdijk_gcn_ba_2motifs", "BA_2Motifs"}, {"holdijk_gcn_Mutagenicity", "Mutagenicity"}};

    (void)state;
    for (size_t i = 0; i < sizeof model / sizeof *model - SANITIZED; i++) {
        ts_case c;
        ts_case_open(&c, model[i][0], model[i][1], DK_F32);
        char *path = dk_xasprintf(TS_GNN "%s.safetensors", model[i][0]);
        dk_st *st = dk_st_open(path, &err);
        bool nodes = c.d.task == DK_TASK_NODE;
        dk_split *split = nodes ? c.d.split : split_file(model[i][1], c.d.count);
        int64_t rows;
        double *z = predict(&c, &rows);
        assert_non_null(st);
        assert_accuracy(&c, z, rows, split, DK_SPLIT_VAL, dk_st_meta(st, "val_acc"));
        assert_accuracy(&c, z, rows, split, DK_SPLIT_TEST, dk_st_meta(st, "test_acc"));
        if (nodes) /* that of the graph models was taken while training went on */
            assert_accuracy(&c, z, rows, split, DK_SPLIT_TRAIN, dk_st_meta(st, "train_acc"));
        if (!nodes)
            free(split);
        free(z);
        dk_st_close(st);
        free(path);
        ts_case_close(&c);
    }
}

/* ---- Small things. */

static void test_tiny(void **state)
{
    static const char *const name[] = {"gcn", "gin", "sage"};
    dk_json doc;
    dk_graph g;

    (void)state;
    ts_ok(dk_json_load(&doc, TS_GNN "tiny/expected.json", &err), &err);
    dk_jnode root = dk_json_root(&doc), gn = dk_json_key(root, "graph");
    json_t *ei = json_object_get(gn.v, "edge_index"), *x = json_object_get(gn.v, "x");
    int32_t edge[16][2];
    double xs[32];
    size_t e = json_array_size(json_array_get(ei, 0)), n = json_array_size(x);
    assert_true(e <= 16 && n <= 16);
    for (size_t i = 0; i < 2 * e; i++)
        edge[i / 2][i % 2] =
            (int32_t)json_integer_value(json_array_get(json_array_get(ei, i % 2), i / 2));
    for (size_t i = 0; i < 2 * n; i++)
        xs[i] = json_number_value(json_array_get(json_array_get(x, i / 2), i % 2));
    ts_graph(&g, (int32_t)n, (int)e, (const int32_t(*)[2])edge, 2, xs);
    for (int k = 0; k < 3; k++) {
        char *path = dk_xasprintf(TS_GNN "tiny/tiny_%s.safetensors", name[k]);
        dk_gnn *m = ts_gnn(path, DK_F64);
        double *z = ts_logits(m, &g);
        json_t *want = json_object_get(dk_json_key(root, name[k]).v, "logits");
        for (size_t i = 0; i < 2; i++)
            assert_true(fabs(z[i] - json_number_value(json_array_get(want, i))) < 1e-12);
        free(z);
        free(path);
        dk_gnn_free(m);
    }
    dk_graph_free(&g);
    dk_json_free(&doc);
}

static void test_threads(void **state)
{
    static const char *const model[][2] = {{"gin_MUTAG", "MUTAG"},
                                           {"holdijk_gcn_ba_2motifs", "BA_2Motifs"},
                                           {"gin_ba_shape", "ba_shape"}};

    (void)state;
    for (int i = 0; i < 3; i++)
        for (int r = 0; r < 2; r++) {
            ts_case c;
            int64_t rows;
            ts_case_open(&c, model[i][0], model[i][1], r ? DK_F64 : DK_F32);
            dk_set_threads(1);
            double *one = predict(&c, &rows);
            dk_set_threads(3);
            double *three = predict(&c, &rows);
            dk_set_threads(0);
            assert_memory_equal(one, three, (size_t)rows * (size_t)c.m->c.classes * sizeof *one);
            free(one);
            free(three);
            ts_case_close(&c);
        }
}

/* The first graph that fails is named, whichever thread comes to it. */
static void test_predict_error(void **state)
{
    ts_case c;
    double z[400];

    (void)state;
    ts_case_open(&c, "gcn_MUTAG", "MUTAG", DK_F64);
    for (int i = 40; i < 60; i += 3)
        c.d.graphs[i].x[0] = INFINITY;
    assert_int_equal(dk_gnn_predict(c.m, &c.d, z, &err), DK_ENUMERIC);
    ts_failed(&err, DK_ENUMERIC, "graph 40: ");
    c.d.graphs[7].num_features = 3;
    assert_int_equal(dk_gnn_predict(c.m, &c.d, z, &err), DK_EFORMAT);
    ts_failed(&err, DK_EFORMAT, "graph 7: graph has 3 features per node, the model expects 7");
    ts_case_close(&c);
}

static void test_encode_refuses(void **state)
{
    dk_dataset d;
    dk_gnn *m = ts_gnn(TS_GNN "gcn_MUTAG.safetensors", DK_F32);
    dk_gnn *nodes = ts_gnn(TS_GNN "gin_ba_shape.safetensors", DK_F32);

    (void)state;
    ts_ok(
        dk_dataset_load(&d, "tests/data/thirdparty/BA_2Motifs", &(dk_dataset_options){false}, &err),
        &err);
    dk_gnn_encode(m, &d, &err);
    ts_failed(&err, DK_EFORMAT, "10 features per node");
    dk_gnn_encode(nodes, &d, &err);
    ts_failed(&err, DK_EFORMAT, "classifies nodes");
    m->c.classes = 1;
    dk_gnn_encode(m, &d, &err);
    ts_failed(&err, DK_EFORMAT, "2 classes");
    dk_dataset_free(&d);
    dk_gnn_free(m);
    dk_gnn_free(nodes);
}

static void test_argmax(void **state)
{
    const double z[] = {1, 3, 3, -2};

    (void)state;
    assert_int_equal(dk_argmax(z, 4), 1);
    assert_int_equal(dk_argmax(z, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_graph_models, fresh),
        cmocka_unit_test_setup(test_large_graph_models, fresh),
        cmocka_unit_test_setup(test_node_models, fresh),
        cmocka_unit_test_setup(test_padded_model, fresh),
        cmocka_unit_test_setup(test_logits, fresh),
        cmocka_unit_test_setup(test_stored_accuracies, fresh),
        cmocka_unit_test_setup(test_tiny, fresh),
        cmocka_unit_test_setup(test_threads, fresh),
        cmocka_unit_test_setup(test_predict_error, fresh),
        cmocka_unit_test_setup(test_encode_refuses, fresh),
        cmocka_unit_test_setup(test_argmax, fresh),
    };

    return cmocka_run_group_tests_name("gnn", tests, NULL, NULL);
}
