/* Matrix products of one type; included by op_matmul.c once for each. */
#include "ops/mat/real.h"

static void N(matmul_forward)(dk_tape *t, const dk_node *n)
{
    bool ta = n->kind & TA, tb = n->kind & TB;
    int64_t k = ta ? ROWS_OF(n->in[0]) : COLS_OF(n->in[0]);
    t->ops->gemm(ta, tb, ROWS_OF(n->out), COLS_OF(n->out), k, VALUE(n->in[0]), VALUE(n->in[1]),
                 false, RESULT);
}

/* C = A B: dA = dC B^T, dB = A^T dC; transposed operands have transposed gradients. */
static void N(matmul_backward)(dk_tape *t, const dk_node *n)
{
    bool ta = n->kind & TA, tb = n->kind & TB, add;
    dk_var a = n->in[0], b = n->in[1];
    int64_t rows = ROWS_OF(n->out), cols = COLS_OF(n->out), k = ta ? ROWS_OF(a) : COLS_OF(a);
    REAL *g = dk_tape_into(t, a, &add);
    if (g && ta)
        t->ops->gemm(tb, true, k, rows, cols, VALUE(b), OUT_GRAD, add, g);
    else if (g)
        t->ops->gemm(false, !tb, rows, k, cols, OUT_GRAD, VALUE(b), add, g);
    g = dk_tape_into(t, b, &add);
    if (g && tb)
        t->ops->gemm(true, ta, cols, k, rows, OUT_GRAD, VALUE(a), add, g);
    else if (g)
        t->ops->gemm(!ta, false, k, cols, rows, VALUE(a), OUT_GRAD, add, g);
}

static void N(linear_forward)(dk_tape *t, const dk_node *n)
{
    int64_t rows = ROWS_OF(n->out), out = COLS_OF(n->out);
    bool bias = n->in[2] != DK_NOVAR;
    if (bias)
        N(dk_spread_from)(DK_ONE_ROW, rows, out, VALUE(n->in[2]), 1, false, RESULT);
    t->ops->gemm(false, true, rows, out, COLS_OF(n->in[0]), VALUE(n->in[0]), VALUE(n->in[1]), bias,
                 RESULT);
}

static void N(linear_backward)(dk_tape *t, const dk_node *n)
{
    dk_var x = n->in[0], w = n->in[1];
    int64_t rows = ROWS_OF(x), in = COLS_OF(x), out = COLS_OF(n->out);
    bool add;
    REAL *g = dk_tape_into(t, x, &add);
    if (g)
        t->ops->gemm(false, false, rows, in, out, OUT_GRAD, VALUE(w), add, g);
    g = dk_tape_into(t, w, &add);
    if (g)
        t->ops->gemm(true, false, out, in, rows, OUT_GRAD, VALUE(x), add, g);
    g = dk_tape_into(t, n->in[2], &add);
    if (g)
        N(dk_sum_to)(t, DK_ONE_ROW, rows, out, OUT_GRAD, 1, add, g);
}
