/* Four graph layers composed from operations of the tape, against values worked out by hand on the
 * graph 0 -> 1, 1 -> 2, 0 -> 2. */
#include "unit/support.h"

#include <math.h>

#include "grad/tape.h"

static dk_err err;

static dk_tape *new_tape(void)
{
    return dk_tape_new(dk_mat_cpu(DK_F64));
}

static void expect(dk_tape *t, const char *what, const double *got, const double *want, int n,
                   double tol)
{
    for (int i = 0; i < n; i++)
        if (!(fabs(got[i] - want[i]) <= tol))
            fail_msg("%s: element %d is %.12g, expected %.12g", what, i, got[i], want[i]);
    ts_ok(dk_tape_take(t, &err), &err);
}

static const double X3[] = {1, 2, 0, -1, 3, 0.5}, WREL[] = {1, 0.5, -1, 2}, BIAS[] = {0.1, -0.2};
static const double WROOT[] = {0.5, 0, 0, 0.25};
static const dk_adj plain3 = {.n_src = 3,
                              .n_dst = 3,
                              .n_edges = 3,
                              .src = (int32_t[]){0, 1, 0},
                              .dst = (int32_t[]){1, 2, 2},
                              .in_ptr = (int32_t[]){0, 0, 1, 3},
                              .in_edge = (int32_t[]){0, 1, 2},
                              .out_ptr = (int32_t[]){0, 2, 3, 3},
                              .out_edge = (int32_t[]){0, 2, 1}};
/* With self loops, edges 3 to 5. */
static const dk_adj looped3 = {.n_src = 3,
                               .n_dst = 3,
                               .n_edges = 6,
                               .src = (int32_t[]){0, 1, 0, 0, 1, 2},
                               .dst = (int32_t[]){1, 2, 2, 0, 1, 2},
                               .in_ptr = (int32_t[]){0, 1, 3, 6},
                               .in_edge = (int32_t[]){3, 0, 4, 1, 2, 5},
                               .out_ptr = (int32_t[]){0, 3, 5, 6},
                               .out_edge = (int32_t[]){0, 2, 3, 1, 4, 5}};

typedef struct layer {
    dk_var x, w, b, root;
} layer;

static layer make_layer(dk_tape *t)
{
    return (layer){dk_leaf(t, 3, 2, X3, true), dk_leaf(t, 2, 2, WREL, true),
                   dk_leaf(t, 1, 2, BIAS, true), dk_leaf(t, 2, 2, WROOT, true)};
}

static void test_graph_conv_gin(void **state)
{
    (void)state;
    dk_tape *t = new_tape();
    layer l = make_layer(t);
    dk_var sum = dk_aggregate(t, &plain3, 1, DK_NOVAR, l.x);
    dk_var conv =
        dk_add_op(t, dk_linear_op(t, sum, l.w, l.b), dk_linear_op(t, l.x, l.root, DK_NOVAR));
    expect(t, "GraphConv", dk_value64(t, conv), (double[]){0.6, 0.3, 2.1, 2.55, 3.1, 0.925}, 6,
           1e-14);
    const int32_t whole[] = {0, 3};
    dk_var mean = dk_segment(t, DK_SEG_MEAN, whole, 1, dk_apply(t, DK_FN_TANH, conv, 0));
    expect(t, "readout", dk_value64(t, mean), (double[]){0.8344836, 0.6691491}, 2, 5e-8);
    dk_var gin =
        dk_linear_op(t, dk_linear_op(t, dk_add_op(t, l.x, sum), l.w, l.b), l.root, DK_NOVAR);
    expect(t, "GIN", dk_value64(t, gin), (double[]){1.05, 0.7, 0.8, 0.2, 2.425, -0.3}, 6, 1e-14);
    dk_tape_free(t);
}

static void test_gcn(void **state)
{
    (void)state;
    dk_tape *t = new_tape();
    layer l = make_layer(t);
    double norm[6];
    for (int e = 0; e < 6; e++) { /* in-degrees with the loop: 1, 2, 3 */
        int i = looped3.src[e], j = looped3.dst[e];
        norm[e] = 1 / sqrt((i + 1.0) * (j + 1.0));
    }
    dk_var w = dk_leaf(t, 6, 1, norm, true);
    dk_var y = dk_linear_op(t, dk_aggregate(t, &looped3, 1, w, l.x), l.w, l.b);
    expect(t, "GCN", dk_value64(t, y),
           (double[]){2.1, 2.8, 1.2642136, 0.9213203, 2.1339097, 0.0488876}, 6, 5e-8);
    dk_tape_free(t);
}

static void test_gatv2(void **state)
{
    (void)state;
    dk_tape *t = new_tape();
    layer p = make_layer(t);
    dk_var wr = dk_leaf(t, 2, 2, (double[]){0.2, -0.3, 0.4, 0.1}, true);
    dk_var br = dk_leaf(t, 1, 2, (double[]){0.05, 0}, true);
    dk_var a = dk_leaf(t, 1, 2, (double[]){0.7, -0.5}, true);
    dk_var bias = dk_leaf(t, 1, 2, (double[]){0.01, 0.02}, true);
    dk_var l = dk_linear_op(t, p.x, p.w, p.b), r = dk_linear_op(t, p.x, wr, br);
    dk_var both =
        dk_add_op(t, dk_gather_rows(t, l, looped3.src, 6), dk_gather_rows(t, r, looped3.dst, 6));
    dk_var e = dk_sum_blocks(t, dk_mul_op(t, dk_apply(t, DK_FN_LEAKY_RELU, both, 0.2), a), 1);
    dk_var alpha = dk_edge_softmax(t, &looped3, e);
    dk_var y = dk_add_op(t, dk_aggregate(t, &looped3, 1, alpha, l), bias);
    expect(t, "attention", dk_value64(t, alpha),
           (double[]){0.5354405, 0.0645357, 0.044577, 1, 0.4645595, 0.8908873}, 6, 1e-7);
    expect(t, "GATv2", dk_value64(t, y),
           (double[]){2.11, 2.82, 0.9486012, 0.4972023, 3.06227, -1.957115}, 6, 5e-7);
    dk_tape_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_graph_conv_gin),
        cmocka_unit_test(test_gcn),
        cmocka_unit_test(test_gatv2),
    };
    dk_err_init(&err);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tape_graph", tests, NULL, NULL);
}
