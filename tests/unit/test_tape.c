/* Every operation of the tape: its gradient against central differences in f64, the fast backend
 * against the reference, f32 against f64, the same bytes for 1 and 3 threads, and matrices without
 * rows. Then the tape itself. */
#include "unit/support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/par.h"
#include "grad/tape.h"

static dk_err err;

/* A number in [-1, 1) for (stream, i). */
static double draw(uint64_t stream, int64_t i)
{
    uint64_t bits = dk_splitmix64(dk_splitmix64(stream) + (uint64_t)i);
    return (double)(int64_t)(bits >> 11) / 0x1p52 - 1;
}

/* ---- A world of `rows` nodes, twice as many edges by chance, and segments of 0 to 3 rows. */

static struct {
    int32_t rows, edges, segments;
    dk_adj adj;
    int32_t *src, *dst, *in_ptr, *in_edge, *out_ptr, *out_edge, *segment, *label, *index;
    double run_mean[8], run_var[8]; /* of batch norm, as the tape's type */
    dk_bn bn;
} world;

static int32_t *ints(int64_t n)
{
    return test_calloc((size_t)n + 1, sizeof(int32_t));
}

/* Edges by key, ascending. */
static void group(int32_t rows, int32_t edges, const int32_t *key, int32_t *ptr, int32_t *list)
{
    for (int32_t e = 0; e < edges; e++)
        ptr[key[e] + 1]++;
    for (int32_t r = 0; r < rows; r++)
        ptr[r + 1] += ptr[r];
    int32_t *at = ints(rows);
    for (int32_t e = 0; e < edges; e++)
        list[ptr[key[e]] + at[key[e]]++] = e;
    test_free(at);
}

static void make_world(int32_t rows)
{
    int32_t edges = 2 * rows;
    world.rows = rows, world.edges = edges;
    world.src = ints(edges), world.dst = ints(edges);
    world.in_ptr = ints(rows + 1), world.in_edge = ints(edges);
    world.out_ptr = ints(rows + 1), world.out_edge = ints(edges);
    world.label = ints(rows), world.index = ints(edges), world.segment = ints(rows + 1);
    for (int32_t e = 0; e < edges; e++) {
        world.src[e] = (int32_t)(dk_splitmix64((uint64_t)e) % (uint64_t)rows);
        world.dst[e] = (int32_t)(dk_splitmix64((uint64_t)e + 1000000) % (uint64_t)rows);
        world.index[e] = (int32_t)(dk_splitmix64((uint64_t)e + 2000000) % (uint64_t)rows);
    }
    group(rows, edges, world.dst, world.in_ptr, world.in_edge);
    group(rows, edges, world.src, world.out_ptr, world.out_edge);
    world.adj = (dk_adj){rows,         rows,          edges,         world.src,     world.dst,
                         world.in_ptr, world.in_edge, world.out_ptr, world.out_edge};
    for (int32_t r = 0; r < rows; r++)
        world.label[r] = r % 4 == 2 ? -1 : r % 5;
    world.segments = 0;
    for (int32_t r = 0, size = 2; r < rows; r += size, size = (size + 1) % 4)
        world.segment[++world.segments] = r + size < rows ? r + size : rows;
}

static void free_world(void)
{
    int32_t *all[] = {world.src,      world.dst,     world.in_ptr, world.in_edge, world.out_ptr,
                      world.out_edge, world.segment, world.label,  world.index};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        test_free(all[i]);
}

/* ---- The operations. Each is a function of up to three leaves. */

#define OPERATION(name, result)                                                                    \
    static dk_var name(dk_tape *t, const dk_var *x)                                                \
    {                                                                                              \
        return result;                                                                             \
    }

static dk_bn *bn_now(const dk_tape *t)
{
    for (int i = 0; i < 8; i++) {
        double mean = draw(77, i), var = 1.5 + draw(78, i);
        if (dk_tape_real(t) == DK_F64) {
            world.run_mean[i] = mean;
            world.run_var[i] = var;
        } else {
            ((float *)(void *)world.run_mean)[i] = (float)mean;
            ((float *)(void *)world.run_var)[i] = (float)var;
        }
    }
    world.bn = (dk_bn){world.run_mean, world.run_var, 0.1, 1e-5};
    return &world.bn;
}

static dk_var positive(dk_tape *t, dk_var x)
{
    return dk_affine(t, x, 0.5, 1.5);
}

OPERATION(op_matmul, dk_matmul(t, x[0], false, x[1], false))
OPERATION(op_matmul_ta, dk_matmul(t, x[0], true, x[1], false))
OPERATION(op_matmul_tb, dk_matmul(t, x[0], false, x[1], true))
OPERATION(op_matmul_tt, dk_matmul(t, x[0], true, x[1], true))
OPERATION(op_square_matrix, dk_matmul(t, x[0], true, x[0], false))
OPERATION(op_linear, dk_linear_op(t, x[0], x[1], x[2]))
OPERATION(op_linear_plain, dk_linear_op(t, x[0], x[1], DK_NOVAR))
OPERATION(op_add, dk_add_op(t, x[0], x[1]))
OPERATION(op_sub, dk_sub_op(t, x[0], x[1]))
OPERATION(op_mul, dk_mul_op(t, x[0], x[1]))
OPERATION(op_mul_self, dk_mul_op(t, x[0], x[0]))
OPERATION(op_div, dk_div_op(t, x[0], positive(t, x[1])))
OPERATION(op_affine, dk_affine(t, x[0], -1.5, 0.25))
OPERATION(op_transpose, dk_transpose(t, x[0]))
OPERATION(op_concat_cols, dk_concat_cols(t, 3, (dk_var[]){x[0], x[1], x[0]}))
OPERATION(op_concat_rows, dk_concat_rows(t, 3, (dk_var[]){x[0], x[1], x[0]}))
OPERATION(op_slice_cols, dk_slice_cols(t, x[0], 2, 3))
OPERATION(op_slice_rows, dk_slice_rows(t, x[0], world.rows / 3, world.rows / 2))
OPERATION(op_reshape, dk_reshape_op(t, x[0], 6, world.rows))
OPERATION(op_sum, dk_sum(t, x[0]))
OPERATION(op_mean, dk_mean(t, x[0]))
OPERATION(op_sum_rows, dk_sum_rows(t, x[0]))
OPERATION(op_sum_cols, dk_sum_cols(t, x[0]))
OPERATION(op_relu, dk_relu(t, x[0]))
OPERATION(op_leaky, dk_apply(t, DK_FN_LEAKY_RELU, x[0], 0.2))
OPERATION(op_elu, dk_apply(t, DK_FN_ELU, x[0], 0))
OPERATION(op_gelu, dk_apply(t, DK_FN_GELU, x[0], 0))
OPERATION(op_sigmoid, dk_apply(t, DK_FN_SIGMOID, x[0], 0))
OPERATION(op_tanh, dk_apply(t, DK_FN_TANH, x[0], 0))
OPERATION(op_exp, dk_apply(t, DK_FN_EXP, x[0], 0))
OPERATION(op_log, dk_apply(t, DK_FN_LOG, x[0], 1.5))
OPERATION(op_sqrt, dk_apply(t, DK_FN_SQRT, positive(t, x[0]), 0))
OPERATION(op_square, dk_apply(t, DK_FN_SQUARE, x[0], 0))
OPERATION(op_softplus, dk_apply(t, DK_FN_SOFTPLUS, x[0], 0))
OPERATION(op_silu, dk_apply(t, DK_FN_SILU, x[0], 0))
OPERATION(op_abs, dk_apply(t, DK_FN_ABS, x[0], 0))
OPERATION(op_dropout, dk_dropout(t, x[0], 0.4, 11))
OPERATION(op_l2norm, dk_l2norm_rows(t, x[0], 1e-12))
OPERATION(op_l2norm_short, dk_l2norm_rows(t, x[0], 1.4)) /* about half of the rows are shorter */
OPERATION(op_softmax, dk_softmax(t, x[0]))
OPERATION(op_log_softmax, dk_log_softmax(t, x[0]))
OPERATION(op_layernorm, dk_layernorm_rows(t, x[0], x[1], x[2], 1e-5))
OPERATION(op_layernorm_plain, dk_layernorm_rows(t, x[0], DK_NOVAR, DK_NOVAR, 1e-5))
OPERATION(op_bn_train, dk_batchnorm(t, x[0], x[1], x[2], bn_now(t), true))
OPERATION(op_bn_eval, dk_batchnorm(t, x[0], x[1], x[2], bn_now(t), false))
OPERATION(op_bn_plain, dk_batchnorm(t, x[0], DK_NOVAR, DK_NOVAR, bn_now(t), true))
OPERATION(op_bn_plain_eval, dk_batchnorm(t, x[0], DK_NOVAR, DK_NOVAR, bn_now(t), false))
OPERATION(op_aggregate, dk_aggregate(t, &world.adj, 1, DK_NOVAR, x[0]))
OPERATION(op_aggregate_w, dk_aggregate(t, &world.adj, 1, x[1], x[0]))
OPERATION(op_aggregate_heads, dk_aggregate(t, &world.adj, 3, x[1], x[0]))
OPERATION(op_edge_softmax, dk_edge_softmax(t, &world.adj, x[0]))
OPERATION(op_gather, dk_gather_rows(t, x[0], world.index, world.edges))
OPERATION(op_scatter, dk_scatter_rows(t, x[0], world.index, world.rows + 2))
OPERATION(op_segment_sum, dk_segment(t, DK_SEG_SUM, world.segment, world.segments, x[0]))
OPERATION(op_segment_mean, dk_segment(t, DK_SEG_MEAN, world.segment, world.segments, x[0]))
OPERATION(op_segment_max, dk_segment(t, DK_SEG_MAX, world.segment, world.segments, x[0]))
OPERATION(op_sum_blocks, dk_sum_blocks(t, x[0], 3))
OPERATION(op_cross_entropy, dk_cross_entropy(t, x[0], world.label))
OPERATION(op_mse, dk_mse_loss(t, x[0], x[1]))
OPERATION(op_bce, dk_bce_logits(t, x[0], x[1]))
OPERATION(op_kl, dk_kl_div(t, x[0], x[1]))

typedef dk_var build_fn(dk_tape *t, const dk_var *x);
enum { R = -1, E = -2 }; /* in shapes: rows, edges of the world */
typedef struct operation {
    const char *name;
    build_fn *build;
    int shape[3][2]; /* of the leaves; {0, 0} ends them */
} operation;

#define OP(name, ...)                                                                              \
    {                                                                                              \
#name, op_##name,                                                                          \
        {                                                                                          \
            __VA_ARGS__                                                                            \
        }                                                                                          \
    }
static const operation operations[] = {
    OP(matmul, {R, 6}, {6, 4}),
    OP(matmul_ta, {R, 6}, {R, 4}),
    OP(matmul_tb, {R, 6}, {4, 6}),
    OP(matmul_tt, {R, 6}, {4, R}),
    OP(square_matrix, {R, 6}),
    OP(linear, {R, 6}, {4, 6}, {1, 4}),
    OP(linear_plain, {R, 6}, {4, 6}),
    OP(add, {R, 6}, {R, 6}),
    OP(add, {R, 6}, {1, 6}),
    OP(add, {R, 6}, {R, 1}),
    OP(add, {R, 6}, {1, 1}),
    OP(sub, {R, 6}, {R, 6}),
    OP(sub, {R, 6}, {1, 6}),
    OP(sub, {R, 6}, {R, 1}),
    OP(sub, {R, 6}, {1, 1}),
    OP(mul, {R, 6}, {R, 6}),
    OP(mul, {R, 6}, {1, 6}),
    OP(mul, {R, 6}, {R, 1}),
    OP(mul, {R, 6}, {1, 1}),
    OP(mul_self, {R, 6}),
    OP(div, {R, 6}, {R, 6}),
    OP(div, {R, 6}, {1, 6}),
    OP(div, {R, 6}, {R, 1}),
    OP(div, {R, 6}, {1, 1}),
    OP(affine, {R, 6}),
    OP(transpose, {R, 6}),
    OP(concat_cols, {R, 6}, {R, 3}),
    OP(concat_rows, {R, 6}, {4, 6}),
    OP(slice_cols, {R, 6}),
    OP(slice_rows, {R, 6}),
    OP(reshape, {R, 6}),
    OP(sum, {R, 6}),
    OP(mean, {R, 6}),
    OP(sum_rows, {R, 6}),
    OP(sum_cols, {R, 19}),
    OP(relu, {R, 6}),
    OP(leaky, {R, 6}),
    OP(elu, {R, 6}),
    OP(gelu, {R, 6}),
    OP(sigmoid, {R, 6}),
    OP(tanh, {R, 6}),
    OP(exp, {R, 6}),
    OP(log, {R, 6}),
    OP(sqrt, {R, 6}),
    OP(square, {R, 6}),
    OP(softplus, {R, 6}),
    OP(silu, {R, 6}),
    OP(abs, {R, 6}),
    OP(dropout, {R, 6}),
    OP(l2norm, {R, 6}),
    OP(l2norm_short, {R, 6}),
    OP(softmax, {R, 6}),
    OP(softmax, {R, 19}),
    OP(log_softmax, {R, 6}),
    OP(layernorm, {R, 6}, {1, 6}, {1, 6}),
    OP(layernorm_plain, {R, 19}),
    OP(bn_train, {R, 6}, {1, 6}, {1, 6}),
    OP(bn_eval, {R, 6}, {1, 6}, {1, 6}),
    OP(bn_plain, {R, 6}),
    OP(bn_plain_eval, {R, 6}),
    OP(aggregate, {R, 6}),
    OP(aggregate_w, {R, 6}, {E, 1}),
    OP(aggregate_heads, {R, 6}, {E, 3}),
    OP(edge_softmax, {E, 2}),
    OP(gather, {R, 6}),
    OP(scatter, {E, 19}),
    OP(segment_sum, {R, 6}),
    OP(segment_mean, {R, 6}),
    OP(segment_max, {R, 6}),
    OP(sum_blocks, {R, 6}),
    OP(cross_entropy, {R, 6}),
    OP(mse, {R, 6}, {R, 6}),
    OP(bce, {R, 6}, {R, 6}),
    OP(kl, {R, 6}, {R, 6}),
};
enum { OPERATIONS = sizeof operations / sizeof *operations };

static int64_t dim(int code)
{
    return code == R ? world.rows : code == E ? world.edges : code;
}

/* The leaves of an operation, with their values. */
typedef struct leaves {
    int n;
    int64_t rows[3], cols[3];
    double *data[3];
} leaves;

static void make_leaves(leaves *l, const operation *op)
{
    for (l->n = 0; l->n < 3 && op->shape[l->n][1]; l->n++) {
        int i = l->n;
        l->rows[i] = dim(op->shape[i][0]);
        l->cols[i] = dim(op->shape[i][1]);
        l->data[i] = test_calloc((size_t)(l->rows[i] * l->cols[i]) + 1, sizeof(double));
        for (int64_t j = 0; j < l->rows[i] * l->cols[i]; j++) /* exact in f32 */
            l->data[i][j] = (double)(float)draw((uint64_t)i + 1, j);
    }
}

static void free_leaves(leaves *l)
{
    for (int i = 0; i < l->n; i++)
        test_free(l->data[i]);
}

/* `needs`: bit i for leaf i. */
static dk_var build(dk_tape *t, const operation *op, const leaves *l, int needs, dk_var x[3])
{
    for (int i = 0; i < l->n; i++)
        x[i] = dk_leaf(t, l->rows[i], l->cols[i], l->data[i], needs >> i & 1);
    return op->build(t, x);
}

/* Weights of the outputs in the one number that is differentiated. */
static void *make_seed(const dk_tape *t, dk_var out)
{
    int64_t n = dk_var_rows(t, out) * dk_var_cols(t, out);
    double *d = test_calloc((size_t)n + 1, sizeof *d);
    for (int64_t i = 0; i < n; i++)
        if (dk_tape_real(t) == DK_F64)
            d[i] = draw(99, i);
        else
            ((float *)(void *)d)[i] = (float)draw(99, i);
    return d;
}

static double element(const dk_tape *t, const void *p, int64_t i)
{
    return dk_tape_real(t) == DK_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static double objective(dk_tape *t, const operation *op, const leaves *l)
{
    dk_var x[3];
    dk_tape_reset(t);
    dk_var out = build(t, op, l, 0, x);
    double sum = 0;
    for (int64_t i = 0; i < dk_var_rows(t, out) * dk_var_cols(t, out); i++)
        sum += draw(99, i) * dk_value64(t, out)[i];
    return sum;
}

/* ---- Gradients against central differences, ways of asking for them against each other. */

static void check_differences(const operation *op, leaves *l, double *const grad[3])
{
    dk_tape *t = dk_tape_new(dk_mat_cpu(DK_F64));
    dk_tape_record(t, false);
    for (int i = 0; i < l->n; i++)
        for (int64_t j = 0; j < l->rows[i] * l->cols[i]; j++) {
            const double h = 1e-5;
            double keep = l->data[i][j];
            l->data[i][j] = keep + h;
            double up = objective(t, op, l);
            l->data[i][j] = keep - h;
            double down = objective(t, op, l);
            l->data[i][j] = keep;
            double want = (up - down) / (2 * h), got = grad[i][j];
            if (!(fabs(got - want) <= 1e-8 * (1 + fabs(want)) * 10))
                fail_msg("%s: d / d leaf %d [%d] is %.12g, differences give %.12g", op->name, i,
                         (int)j, got, want);
        }
    dk_tape_free(t);
}

/* One leaf alone needs a gradient; and everything is computed and used twice. */
static void check_subsets(dk_tape *t, const operation *op, const leaves *l, double *const grad[3])
{
    for (int i = 0; i < l->n; i++) {
        dk_var x[3];
        dk_tape_reset(t);
        dk_var out = build(t, op, l, 1 << i, x);
        void *seed = make_seed(t, out);
        dk_backward(t, out, seed);
        size_t n = (size_t)(l->rows[i] * l->cols[i]);
        assert_memory_equal(dk_grad64(t, x[i]), grad[i], n * sizeof(double));
        test_free(seed);
    }
    dk_var x[3];
    dk_tape_reset(t);
    dk_var one = build(t, op, l, 7, x), two = op->build(t, x);
    void *seed = make_seed(t, one);
    dk_backward_many(t, 2, (dk_var[]){one, two}, (const void *[]){seed, seed});
    for (int i = 0; i < l->n; i++)
        for (int64_t j = 0; j < l->rows[i] * l->cols[i]; j++) {
            double got = dk_grad64(t, x[i])[j], want = 2 * grad[i][j];
            if (!(fabs(got - want) <= 1e-13 * (1 + fabs(want))))
                fail_msg("%s twice: leaf %d [%d] is %.17g, expected %.17g", op->name, i, (int)j,
                         got, want);
        }
    test_free(seed);
}

static void check_gradient(const operation *op)
{
    leaves l;
    make_leaves(&l, op);
    dk_tape *t = dk_tape_new(dk_mat_cpu(DK_F64));
    dk_var x[3];
    dk_var out = build(t, op, &l, 7, x);
    void *seed = make_seed(t, out);
    dk_backward(t, out, seed);
    double *grad[3] = {NULL};
    for (int i = 0; i < l.n; i++) {
        size_t bytes = (size_t)(l.rows[i] * l.cols[i]) * sizeof(double);
        grad[i] = test_malloc(bytes + 1);
        memcpy(grad[i], dk_grad64(t, x[i]), bytes);
    }
    check_differences(op, &l, grad);
    check_subsets(t, op, &l, grad);
    ts_ok(dk_tape_take(t, &err), &err);
    for (int i = 0; i < l.n; i++)
        test_free(grad[i]);
    test_free(seed);
    free_leaves(&l);
    dk_tape_free(t);
}

static void test_gradients(void **state)
{
    (void)state;
    static const int32_t sizes[] = {7, 1, 12};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        make_world(sizes[s]);
        for (int i = 0; i < OPERATIONS; i++) {
            /* One row has no batch statistics: its gradient is the difference of large numbers. */
            if (sizes[s] == 1 &&
                (operations[i].build == op_bn_train || operations[i].build == op_bn_plain))
                continue;
            check_gradient(&operations[i]);
        }
        free_world();
    }
}

/* ---- Backends, types and threads against each other. */

/* Value, then gradients of the leaves, one after the other as f64; malloc-ed. */
static double *everything(const dk_mat_ops *ops, const operation *op, int64_t *n)
{
    leaves l;
    make_leaves(&l, op);
    dk_tape *t = dk_tape_new(ops);
    dk_var x[3], out = build(t, op, &l, 7, x);
    void *seed = make_seed(t, out);
    dk_backward(t, out, seed);
    int64_t count = dk_var_rows(t, out) * dk_var_cols(t, out), at = 0;
    for (int i = 0; i < l.n; i++)
        count += l.rows[i] * l.cols[i];
    double *all = test_malloc((size_t)(count + 1) * sizeof *all);
    for (int i = -1; i < l.n; i++) {
        dk_var v = i < 0 ? out : x[i];
        const void *p = i < 0 ? dk_value(t, v) : dk_grad(t, v);
        for (int64_t j = 0; j < dk_var_rows(t, v) * dk_var_cols(t, v); j++)
            all[at++] = element(t, p, j);
    }
    ts_ok(dk_tape_take(t, &err), &err);
    test_free(seed);
    free_leaves(&l);
    dk_tape_free(t);
    *n = at;
    return all;
}

static void check_same(const operation *op, const dk_mat_ops *a, const dk_mat_ops *b, double tol)
{
    int64_t n, m;
    double *x = everything(a, op, &n), *y = everything(b, op, &m), top = 1;
    assert_int_equal(n, m);
    for (int64_t i = 0; i < n; i++)
        top = fabs(y[i]) > top ? fabs(y[i]) : top;
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(x[i] - y[i]) <= tol * top))
            fail_msg("%s: %s %s gives %.12g, %s %s %.12g (element %d)", op->name, a->name,
                     dk_dtype_name(a->real), x[i], b->name, dk_dtype_name(b->real), y[i], (int)i);
    test_free(x);
    test_free(y);
}

static void test_backends(void **state)
{
    (void)state;
    static const int32_t sizes[] = {33, 2};
    for (int s = 0; s < 2; s++) {
        make_world(sizes[s]);
        for (int i = 0; i < OPERATIONS; i++) {
            const operation *op = &operations[i];
            check_same(op, dk_mat_cpu(DK_F64), dk_mat_reference(DK_F64), 1e-13);
            check_same(op, dk_mat_cpu(DK_F32), dk_mat_reference(DK_F32), 1e-5);
            if (op->build != op_bn_train && op->build != op_bn_plain)
                check_same(op, dk_mat_cpu(DK_F32), dk_mat_cpu(DK_F64), 1e-5);
            else if (sizes[s] > 2) /* two rows: signs of differences, whatever their size */
                check_same(op, dk_mat_cpu(DK_F32), dk_mat_cpu(DK_F64), 1e-4);
        }
        free_world();
    }
}

static void test_empty(void **state)
{
    (void)state;
    make_world(0);
    for (int i = 0; i < OPERATIONS; i++)
        for (int r = 0; r < 2; r++) {
            int64_t n;
            double *x = everything(dk_mat_cpu(r ? DK_F64 : DK_F32), &operations[i], &n);
            for (int64_t j = 0; j < n; j++)
                if (!(fabs(x[j]) <= 1))
                    fail_msg("%s without rows: element %d is %g", operations[i].name, (int)j, x[j]);
            test_free(x);
        }
    free_world();
}

static void test_threads(void **state)
{
    (void)state;
    make_world(14000);
    for (int i = 0; i < OPERATIONS; i++)
        for (int r = 0; r < 2; r++) {
            const operation *op = &operations[i];
            const dk_mat_ops *ops = dk_mat_cpu(r ? DK_F64 : DK_F32);
            int64_t n, m;
            dk_set_threads(1);
            double *x = everything(ops, op, &n);
            dk_set_threads(3);
            double *y = everything(ops, op, &m);
            dk_set_threads(0);
            if (n != m || memcmp(x, y, (size_t)n * sizeof *x) != 0)
                fail_msg("%s %s: 3 threads differ from 1", op->name, dk_dtype_name(ops->real));
            test_free(x);
            test_free(y);
        }
    free_world();
}

/* ---- Single values that differences cannot see. */

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

static void test_special_values(void **state)
{
    (void)state;
    dk_tape *t = new_tape();
    const int32_t ptr[] = {0, 3, 3, 4};
    dk_var x = dk_leaf(t, 4, 1, (double[]){2, 5, 5, -1}, true);
    dk_var m = dk_segment(t, DK_SEG_MAX, ptr, 3, x);
    dk_backward(t, m, (double[]){1, 10, 100});
    expect(t, "max", dk_value64(t, m), (double[]){5, 0, -1}, 3, 0);
    expect(t, "ties of max", dk_grad64(t, x), (double[]){0, 1, 0, 100}, 4, 0);

    dk_var z = dk_leaf(t, 1, 3, (double[]){0, -2, 3}, true);
    dk_backward(t, dk_relu(t, z), NULL);
    expect(t, "relu at 0", dk_grad64(t, z), (double[]){0, 0, 1}, 3, 0);
    dk_backward(t, dk_apply(t, DK_FN_ABS, z, 0), NULL);
    expect(t, "abs at 0", dk_grad64(t, z), (double[]){0, -1, 1}, 3, 0);
    dk_var zero = dk_leaf(t, 2, 2, NULL, true);
    dk_backward(t, dk_l2norm_rows(t, zero, 0.5), NULL);
    expect(t, "a row of zeros", dk_grad64(t, zero), (double[]){2, 2, 2, 2}, 4, 0);

    dk_var big = dk_leaf(t, 1, 2, (double[]){1000, -1000}, true);
    expect(t, "softmax", dk_value64(t, dk_softmax(t, big)), (double[]){1, 0}, 2, 0);
    expect(t, "sigmoid", dk_value64(t, dk_apply(t, DK_FN_SIGMOID, big, 0)), (double[]){1, 0}, 2, 0);
    expect(t, "softplus", dk_value64(t, dk_apply(t, DK_FN_SOFTPLUS, big, 0)), (double[]){1000, 0},
           2, 0);
    dk_var target = dk_leaf(t, 1, 2, (double[]){1, 0}, false);
    expect(t, "bce", dk_value64(t, dk_bce_logits(t, big, target)), (double[]){0}, 1, 0);
    dk_var p = dk_leaf(t, 1, 2, (double[]){0, -INFINITY}, true);
    dk_var q = dk_leaf(t, 1, 2, (double[]){log(0.5), log(0.5)}, true);
    dk_var kl = dk_kl_div(t, p, q);
    dk_backward(t, kl, NULL);
    expect(t, "kl", dk_value64(t, kl), (double[]){log(2)}, 1, 1e-15);
    expect(t, "kl by p", dk_grad64(t, p), (double[]){1 + log(2), 0}, 2, 1e-15);
    int32_t none[] = {-1};
    dk_var ce = dk_cross_entropy(t, big, none);
    dk_backward(t, ce, NULL);
    expect(t, "no label", dk_value64(t, ce), (double[]){0}, 1, 0);
    expect(t, "no label", dk_grad64(t, big), (double[]){0, 0}, 2, 0);
    dk_tape_free(t);
}

static void test_dropout(void **state)
{
    (void)state;
    enum { N = 20000 };
    dk_tape *t = new_tape(), *f = dk_tape_new(dk_mat_cpu(DK_F32));
    dk_var y = dk_dropout(t, dk_leaf_fill(t, N, 1, 1, false), 0.3, 5);
    dk_var z = dk_dropout(t, dk_leaf_fill(t, N, 1, 1, false), 0.3, 6);
    dk_var g = dk_dropout(f, dk_leaf_fill(f, N, 1, 1, false), 0.3, 5);
    int dropped = 0, both = 0;
    for (int i = 0; i < N; i++) {
        double v = dk_value64(t, y)[i];
        assert_true(v == 0 || fabs(v - 1 / 0.7) < 1e-15);
        assert_true((v == 0) == (dk_value32(f, g)[i] == 0));
        dropped += v == 0;
        both += v == 0 && dk_value64(t, z)[i] == 0;
    }
    assert_true(abs(dropped - 6000) < 300); /* 4.6 deviations */
    assert_true(abs(both - 1800) < 190);
    dk_var all = dk_dropout(t, y, 1, 5);
    assert_true(dk_value64(t, all)[7] == 0);
    assert_int_equal(dk_dropout(t, y, 0, 5), y);
    dk_tape_free(t);
    dk_tape_free(f);
}

static void test_running_statistics(void **state)
{
    (void)state;
    dk_tape *t = new_tape();
    double mean[2] = {1, 2}, var[2] = {3, 4};
    dk_bn bn = {mean, var, 0.1, 1e-5};
    dk_var x = dk_leaf(t, 3, 2, (double[]){1, 10, 2, 20, 6, 30}, false);
    dk_batchnorm(t, x, DK_NOVAR, DK_NOVAR, &bn, true);
    expect(t, "running mean", mean, (double[]){0.9 + 0.3, 1.8 + 2}, 2, 1e-15);
    expect(t, "running variance", var, (double[]){2.7 + 0.7, 3.6 + 10}, 2, 1e-14);
    dk_batchnorm(t, x, DK_NOVAR, DK_NOVAR, &bn, false);
    dk_batchnorm(t, dk_leaf(t, 0, 2, NULL, false), DK_NOVAR, DK_NOVAR, &bn, true);
    expect(t, "running mean afterwards", mean, (double[]){1.2, 3.8}, 2, 1e-15);
    dk_tape_free(t);
}

/* ---- The tape. */

/* f(x) = sum of tanh(x w)^2; the gradient by x into out. */
static void some_gradient(dk_tape *t, const double *x, const double *w, double *out)
{
    dk_var a = dk_leaf(t, 4, 3, x, true), b = dk_leaf(t, 3, 5, w, false);
    dk_var h = dk_apply(t, DK_FN_TANH, dk_matmul(t, a, false, b, false), 0);
    dk_backward(t, dk_sum(t, dk_apply(t, DK_FN_SQUARE, h, 0)), NULL);
    memcpy(out, dk_grad64(t, a), 12 * sizeof *out);
}

static void test_marks(void **state)
{
    (void)state;
    double x[12], w[15], want[12], got[12];
    for (int i = 0; i < 15; i++) {
        w[i] = draw(1, i);
        if (i < 12)
            x[i] = draw(2, i);
    }
    dk_tape *t = new_tape();
    some_gradient(t, x, w, want);
    dk_tape_reset(t);
    dk_var base = dk_leaf(t, 1, 2, (double[]){3, 4}, true);
    dk_var early = dk_mul_op(t, base, base);
    for (int round = 0; round < 3; round++) {
        dk_tape_mark m = dk_tape_save(t);
        some_gradient(t, x, w, got);
        assert_memory_equal(got, want, sizeof want);
        assert_true(dk_grad64(t, base)[0] == 0 && dk_grad64(t, base)[1] == 0);
        dk_tape_mark inner = dk_tape_save(t);
        some_gradient(t, x, w, got);
        dk_tape_restore(t, inner);
        assert_memory_equal(got, want, sizeof want);
        /* A gradient of before the restore stays as it is while new values come. */
        dk_backward(t, early, NULL);
        dk_tape_restore(t, m);
        dk_leaf_fill(t, 50, 50, 7, false);
        assert_true(dk_grad64(t, base)[0] == 6 && dk_grad64(t, base)[1] == 8);
        dk_tape_restore(t, m);
    }
    assert_true(dk_value64(t, early)[1] == 16);
    ts_ok(dk_tape_take(t, &err), &err);
    dk_tape_free(t);
}

static void test_repeated_backward(void **state)
{
    (void)state;
    dk_tape *t = new_tape();
    dk_var x = dk_leaf(t, 2, 2, (double[]){1, 2, 3, 4}, true);
    dk_var y = dk_apply(t, DK_FN_SQUARE, x, 0);
    for (int c = 0; c < 4; c++) { /* once per element: a row of the Jacobian */
        double seed[4] = {0}, want[4] = {0};
        seed[c] = 1;
        want[c] = 2 * (c + 1);
        dk_backward(t, y, seed);
        expect(t, "Jacobian", dk_grad64(t, x), want, 4, 0);
    }
    dk_var other = dk_sum(t, x);
    dk_backward_many(t, 2, (dk_var[]){y, other}, (const void *[]){NULL, (double[]){10}});
    expect(t, "two outputs", dk_grad64(t, x), (double[]){12, 14, 16, 18}, 4, 0);
    dk_backward(t, x, (double[]){1, 2, 3, 4});
    expect(t, "a leaf itself", dk_grad64(t, x), (double[]){1, 2, 3, 4}, 4, 0);
    dk_backward_many(t, 2, (dk_var[]){y, x}, NULL);
    expect(t, "a value and what it comes from", dk_grad64(t, x), (double[]){3, 5, 7, 9}, 4, 0);
    dk_tape_free(t);
}

static void test_cuts(void **state)
{
    (void)state;
    dk_tape *t = new_tape();
    dk_var x = dk_leaf(t, 1, 1, (double[]){3}, true);
    dk_var y = dk_mul_op(t, x, dk_stop_grad(t, x));
    dk_backward(t, y, NULL);
    expect(t, "stop_grad", dk_grad64(t, x), (double[]){3}, 1, 0);

    dk_tape_record(t, false);
    dk_tape_mark before = dk_tape_save(t);
    dk_var quiet = dk_mul_op(t, x, x);
    dk_tape_mark after = dk_tape_save(t);
    assert_int_equal(before.nodes, after.nodes);
    dk_tape_record(t, true);
    dk_backward(t, dk_mul_op(t, quiet, x), NULL);
    expect(t, "recording off", dk_grad64(t, x), (double[]){9}, 1, 0);
    expect(t, "nothing arrived", dk_grad64(t, quiet), (double[]){0}, 1, 0);

    before = dk_tape_save(t); /* constants alone are not recorded */
    dk_var c = dk_leaf_fill(t, 2, 2, 1, false);
    dk_matmul(t, c, false, c, false);
    assert_int_equal(before.nodes, dk_tape_save(t).nodes);
    dk_tape_free(t);
}

static void test_params(void **state)
{
    (void)state;
    double value[2] = {2, 3}, grad[2] = {100, 0}, fixed[2] = {5, 7};
    const dk_param p = {"p", 1, 2, value, grad}, frozen = {"f", 1, 2, fixed, NULL};
    dk_tape *t = new_tape();
    dk_var v = dk_leaf_param(t, &p), f = dk_leaf_param(t, &frozen);
    dk_var y = dk_mul_op(t, dk_mul_op(t, v, v), f);
    dk_backward(t, y, NULL);
    expect(t, "added to what was there", grad, (double[]){120, 42}, 2, 0);
    dk_backward(t, dk_mul_op(t, v, dk_leaf_param(t, &p)), NULL); /* two views of one parameter */
    expect(t, "and again", grad, (double[]){124, 48}, 2, 0);
    assert_ptr_equal(dk_grad64(t, v), grad);
    assert_true(dk_grad64(t, f)[0] == 0);
    dk_tape_free(t);
}

static void test_failure(void **state)
{
    (void)state;
    dk_tape *t = new_tape();
    dk_var x = dk_leaf(t, 2, 2, NULL, true);
    dk_var huge = dk_leaf(t, INT64_MAX / 4, 8, NULL, true);
    assert_int_equal(huge, DK_NOVAR);
    assert_false(dk_tape_ok(t));
    dk_var y = dk_relu(t, dk_add_op(t, huge, x));
    assert_int_equal(y, DK_NOVAR);
    assert_int_equal(dk_cross_entropy(t, y, NULL), DK_NOVAR);
    assert_int_equal(dk_concat_rows(t, 1, &y), DK_NOVAR);
    assert_int_equal(dk_var_rows(t, y), 0);
    assert_true(isnan(dk_scalar(t, y)));
    dk_backward(t, y, NULL);
    assert_non_null(dk_grad(t, y));
    assert_int_equal(dk_tape_take(t, &err), DK_ENOMEM);
    ts_failed(&err, DK_ENOMEM, "too large");
    dk_backward(t, dk_mul_op(t, x, x), NULL); /* works again */
    ts_ok(dk_tape_take(t, &err), &err);
    dk_tape_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),
        cmocka_unit_test(test_backends),
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_special_values),
        cmocka_unit_test(test_dropout),
        cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_repeated_backward),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_params),
        cmocka_unit_test(test_failure),
    };
    dk_err_init(&err);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("tape", tests, NULL, NULL);
}
