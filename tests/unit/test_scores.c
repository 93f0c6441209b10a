/* graph/explain/scores: reading scores.csv, files of other programs, scores laid over a graph. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "graph/explain/scores.h"
#include "unit/support.h"

static dk_err err;
static dk_scores s;
static dk_graph g;

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    s = (dk_scores){0};
    g = (dk_graph){0};
    return 0;
}

static int gone(void **state)
{
    (void)state;
    dk_scores_free(&s);
    dk_graph_free(&g);
    return 0;
}

static int parse(const char *text)
{
    dk_scores_free(&s);
    dk_err_init(&err);
    return dk_scores_parse(&s, text, strlen(text), "s.csv", &err);
}

static void refused(const char *text, const char *why)
{
    assert_int_not_equal(parse(text), 0);
    ts_failed(&err, DK_EFORMAT, why);
    assert_null(s.item);
}

/* Path 0-1-2 with both directions, a self loop on 2, and the one-way edge 2 -> 0. */
static void make_graph(void)
{
    static const int32_t src[] = {0, 1, 1, 2, 2, 2}, dst[] = {1, 0, 2, 1, 2, 0};
    ts_ok(dk_graph_build(&g, 3, 6, src, dst, NULL, NULL, NULL, NULL, &err), &err);
}

static void whole_file(void **state)
{
    (void)state;
    ts_ok(parse("graph,src,dst,score,score_c0,rank,kept,prob_drop\n"
                "4,0,1,0.5,1,1,1,0.1\n4,1,0,-2e-3,1,0,0,\n"
                "7,2,2,1,1,,,\n"),
          &err);
    assert_false(s.node_task);
    assert_true(s.has_rank && s.has_kept);
    assert_int_equal(s.rows, 3);
    assert_int_equal(s.items, 2);
    assert_int_equal(s.item_id[0], 4);
    assert_int_equal(s.item_id[1], 7);
    assert_int_equal(s.item_ptr[0], 0);
    assert_int_equal(s.item_ptr[1], 2);
    assert_int_equal(s.item_ptr[2], 3);
    assert_true(s.score[0] == 0.5 && s.score[1] == -2e-3);
    assert_int_equal(s.rank[0], 1);
    assert_int_equal(s.rank[2], -1);
    assert_int_equal(s.kept[0], 1);
    assert_int_equal(s.kept[1], 0);
    assert_int_equal(s.kept[2], 0);
    assert_int_equal(dk_scores_item(&s, 7), 1);
    assert_int_equal(dk_scores_item(&s, 4), 0);
    assert_int_equal(dk_scores_item(&s, 5), -1);
}

static void node_file_with_any_ids(void **state)
{
    (void)state;
    ts_ok(parse("src,dst,score,node\n-3,9000000000,1,9000000000\n"), &err);
    assert_true(s.node_task);
    assert_true(s.item_id[0] == 9000000000 && s.src[0] == -3 && s.dst[0] == 9000000000);
}

/* Without rank: by rounded score, the two directions of a pair together; without kept: all. */
static void ranks_of_other_programs(void **state)
{
    (void)state;
    ts_ok(parse("graph,src,dst,score\n"
                "0,0,1,0.25\n0,0,2,0.25\n0,1,0,0.2500000000000001\n0,2,0,0.25\n0,1,2,0.7\n"),
          &err);
    assert_false(s.has_rank || s.has_kept);
    static const int rank[] = {1, 3, 2, 4, 0};
    for (int i = 0; i < 5; i++) {
        assert_int_equal(s.rank[i], rank[i]);
        assert_int_equal(s.kept[i], 1);
    }
}

static void mixed_items_are_sorted_stably(void **state)
{
    (void)state;
    ts_ok(parse("graph,src,dst,score,rank,kept\n"
                "9,0,1,1,0,1\n2,0,1,2,0,0\n9,1,0,3,1,0\n2,1,0,4,1,1\n9,1,2,5,2,1\n"),
          &err);
    assert_int_equal(s.items, 2);
    assert_int_equal(s.item_id[0], 9);
    assert_int_equal(s.item_id[1], 2);
    static const double score[] = {1, 3, 5, 2, 4};
    static const int kept[] = {1, 0, 1, 0, 1};
    for (int i = 0; i < 5; i++) {
        assert_true(s.score[i] == score[i]);
        assert_int_equal(s.kept[i], kept[i]);
        assert_int_equal(s.item[i], i < 3 ? 9 : 2);
    }
    assert_int_equal(dk_scores_item(&s, 2), 1);
    assert_int_equal(dk_scores_item(&s, 9), 0);
}

static void no_rows(void **state)
{
    (void)state;
    ts_ok(parse("graph,src,dst,score,rank,kept\n"), &err);
    assert_int_equal(s.rows, 0);
    assert_int_equal(s.items, 0);
    assert_int_equal(dk_scores_item(&s, 0), -1);
}

static void bad_files(void **state)
{
    (void)state;
    refused("", "header");
    refused("src,dst,score\n0,1,1\n", "neither");
    refused("graph,node,src,dst,score\n0,0,0,1,1\n", "both");
    refused("graph,src,score\n0,1,1\n", "\"dst\"");
    refused("graph,src,dst,score\n0,1,2,nan\n", "line 2: score");
    refused("graph,src,dst,score\n0,1,2,1e999\n", "line 2: score");
    refused("graph,src,dst,score\n0,1,2,\n", "line 2: score");
    refused("graph,src,dst,score\n0,x,2,1\n", "line 2: src");
    refused("graph,src,dst,score\n99999999999999999999,1,2,1\n", "line 2: graph");
    refused("graph,src,dst,score,kept\n0,1,2,1,2\n", "line 2: kept");
    refused("graph,src,dst,score,kept\n0,1,2,1,\n", "line 2: kept");
    refused("graph,src,dst,score,rank\n0,1,2,1,0\n0,2,1,1,-4\n", "line 3: rank");
    refused("graph,src,dst,score,rank\n0,1,2,1,\n", "line 2: rank");
    refused("graph,src,dst,score\n0,1,2\n", "expected 4 fields");
}

static void on_a_graph(void **state)
{
    double score[6];
    uint8_t present[6], kept[6];
    int64_t rank[6];
    (void)state;

    make_graph();
    ts_ok(parse("graph,src,dst,score,rank,kept\n0,2,0,3,0,1\n0,0,1,2,1,0\n0,2,2,1,2,1\n"
                "0,1,1,9,,\n"),
          &err);
    ts_ok(dk_scores_on_graph(&s, 0, &g, NULL, score, present, kept, rank, &err), &err);
    for (int e = 0; e < 6; e++) {
        int a = g.src[e], b = g.dst[e];
        double want = a == 2 && b == 0 ? 3 : a == 0 && b == 1 ? 2 : a == 2 && b == 2 ? 1 : 0;
        assert_true(score[e] == want);
        assert_int_equal(present[e], want > 0);
        assert_int_equal(rank[e], want > 0 ? 3 - (int)want : -1);
        assert_int_equal(kept[e], want == 3 || want == 1);
    }
    ts_ok(dk_scores_on_graph(&s, 0, &g, NULL, score, present, NULL, NULL, &err), &err);
}

static void on_a_graph_with_names(void **state)
{
    static const int64_t id[] = {70, -5, 8};
    double score[6];
    uint8_t present[6];
    (void)state;

    make_graph();
    ts_ok(parse("node,src,dst,score\n8,70,-5,1\n8,8,70,2\n"), &err);
    ts_ok(dk_scores_on_graph(&s, 0, &g, id, score, present, NULL, NULL, &err), &err);
    for (int e = 0; e < 6; e++)
        assert_int_equal(present[e], (g.src[e] == 0 && g.dst[e] == 1) ||
                                         (g.src[e] == 2 && g.dst[e] == 0));
}

static void misplaced(const char *row, const char *why)
{
    char text[200];
    double score[6];
    uint8_t present[6];

    snprintf(text, sizeof text, "graph,src,dst,score,rank\n%s\n", row);
    ts_ok(parse(text), &err);
    assert_int_not_equal(dk_scores_on_graph(&s, 0, &g, NULL, score, present, NULL, NULL, &err), 0);
    ts_failed(&err, DK_EFORMAT, why);
}

static void of_another_data_set(void **state)
{
    (void)state;
    make_graph();
    misplaced("0,0,2,1,0", "no such edge (scores of another data set?)");
    misplaced("0,0,0,1,0", "no such edge");
    misplaced("0,0,3,1,0", "no such node");
    misplaced("0,-1,0,1,0", "no such node");
    misplaced("0,3,3,1,", "no such node");
    misplaced("0,0,1,1,0\n0,0,1,2,1", "has a row already");
}

static void missing_file(void **state)
{
    (void)state;
    assert_int_not_equal(dk_scores_load(&s, "no/such/scores.csv", &err), 0);
    ts_failed(&err, DK_EFAIL, "no/such/scores.csv");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        TEST(whole_file),      TEST(node_file_with_any_ids), TEST(ranks_of_other_programs),
        TEST(mixed_items_are_sorted_stably), TEST(no_rows),  TEST(bad_files),
        TEST(on_a_graph),      TEST(on_a_graph_with_names),  TEST(of_another_data_set),
        TEST(missing_file),
    };
    return cmocka_run_group_tests_name("scores", tests, NULL, NULL);
}
