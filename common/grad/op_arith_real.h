/* Sums, differences, products and quotients of one type; included by op_arith.c once for each. */
#include "ops/mat/real.h"

/* z (+)= f(x, y) over elements in order; y has strides `row` and `col` (0 or 1), x is dense. */
typedef struct N(pair) {
    const REAL *x, *y;
    REAL *z;
    int64_t cols, row, col;
    bool add;
} N(pair);

#define EACH(op, expr)                                                                             \
    CPU_SIMD                                                                                       \
    for (int64_t j = 0; j < run; j++)                                                              \
        z[j] op(expr);

/* The function of u (an element of x) and v (of y). */
#define PAIR(name, each_v, one_v)                                                                  \
    CPU_CLONES static void N(name)(const void *ctx, int64_t begin, int64_t end)                    \
    {                                                                                              \
        const N(pair) *k = ctx;                                                                    \
        for (int64_t i = begin, stop; i < end; i = stop) {                                         \
            int64_t r = i / k->cols, at = i - r * k->cols;                                         \
            stop = (r + 1) * k->cols < end ? (r + 1) * k->cols : end;                              \
            int64_t run = stop - i;                                                                \
            const REAL *u = k->x + i, *v = k->y + r * k->row + at * k->col;                        \
            REAL *z = k->z + i, one = *v;                                                          \
            if (k->col && k->add) {                                                                \
                EACH(+=, each_v)                                                                   \
            } else if (k->col) {                                                                   \
                EACH(=, each_v)                                                                    \
            } else if (k->add) {                                                                   \
                EACH(+=, one_v)                                                                    \
            } else {                                                                               \
                EACH(=, one_v)                                                                     \
            }                                                                                      \
        }                                                                                          \
    }
PAIR(add, u[j] + v[j], u[j] + one)
PAIR(sub, u[j] - v[j], u[j] - one)
PAIR(mul, u[j] * v[j], u[j] * one)
PAIR(div, u[j] / v[j], u[j] / one)
#undef PAIR
#undef EACH

/* spread: how y is repeated over [rows, cols]. */
static void N(pairs)(dk_piece_fn *fn, int64_t rows, int64_t cols, dk_spread spread, const REAL *x,
                     const REAL *y, bool add, REAL *z)
{
    N(pair) k = {x, y, z, cols, 0, 0, add};
    k.row = spread == DK_ONE_COL;
    k.col = spread == DK_SAME || spread == DK_ONE_ROW;
    if (spread == DK_SAME || spread == DK_ONE)
        k.cols = rows * cols;
    dk_pieces(rows * cols, 1, fn, &k);
}

#define FORWARD(name)                                                                              \
    static void N(name##_forward)(dk_tape *t, const dk_node *n)                                    \
    {                                                                                              \
        dk_var x = n->in[0], y = n->in[1];                                                         \
        N(pairs)(N(name), ROWS_OF(x), COLS_OF(x), (dk_spread)n->kind, VALUE(x), VALUE(y), false,   \
                 RESULT);                                                                          \
    }
FORWARD(add)
FORWARD(sub)
FORWARD(mul)
FORWARD(div)
#undef FORWARD

static void N(plus_or_minus)(dk_tape *t, const dk_node *n, double sign)
{
    int64_t rows = ROWS_OF(n->out), cols = COLS_OF(n->out);
    bool add;
    REAL *g = dk_tape_into(t, n->in[0], &add);
    if (g)
        N(dk_copy)(rows * cols, OUT_GRAD, add, g);
    g = dk_tape_into(t, n->in[1], &add);
    if (g)
        N(dk_sum_to)(t, (dk_spread)n->kind, rows, cols, OUT_GRAD, sign, add, g);
}

static void N(add_backward)(dk_tape *t, const dk_node *n)
{
    N(plus_or_minus)(t, n, 1);
}

static void N(sub_backward)(dk_tape *t, const dk_node *n)
{
    N(plus_or_minus)(t, n, -1);
}

CPU_CLONES static void N(part_of_dot)(const void *ctx, int64_t begin, int64_t end, REAL *sums)
{
    const N(pair) *k = ctx;
    *sums = N(dk_dot_of)(k->x + begin, k->y + begin, end - begin);
}

static void N(mul_backward)(dk_tape *t, const dk_node *n)
{
    dk_var x = n->in[0], y = n->in[1];
    int64_t rows = ROWS_OF(x), cols = COLS_OF(x);
    dk_spread spread = (dk_spread)n->kind;
    bool add;
    REAL *g = dk_tape_into(t, x, &add);
    if (g)
        N(pairs)(N(mul), rows, cols, spread, OUT_GRAD, VALUE(y), add, g);
    g = dk_tape_into(t, y, &add);
    if (g && spread == DK_SAME) {
        N(pairs)(N(mul), rows, cols, DK_SAME, OUT_GRAD, VALUE(x), add, g);
    } else if (g && spread == DK_ONE) { /* a scale: no product in memory */
        const N(pair) k = {.x = OUT_GRAD, .y = VALUE(x)};
        N(dk_reduce)(t, rows * cols, 1, 1, N(part_of_dot), &k, add, g);
    } else if (g) {
        dk_scratch mark;
        REAL *product = dk_tape_scratch(t, rows * cols, &mark);
        if (!product)
            return;
        N(pairs)(N(mul), rows, cols, DK_SAME, OUT_GRAD, VALUE(x), false, product);
        N(dk_sum_to)(t, spread, rows, cols, product, 1, add, g);
        dk_tape_scratch_end(t, mark);
    }
}

/* z = x / y: dx = dz / y, dy = - dz z / y. */
static void N(div_backward)(dk_tape *t, const dk_node *n)
{
    dk_var x = n->in[0], y = n->in[1];
    int64_t rows = ROWS_OF(x), cols = COLS_OF(x);
    dk_spread spread = (dk_spread)n->kind;
    bool add;
    REAL *g = dk_tape_into(t, x, &add);
    if (g)
        N(pairs)(N(div), rows, cols, spread, OUT_GRAD, VALUE(y), add, g);
    g = dk_tape_into(t, y, &add);
    if (!g)
        return;
    dk_scratch mark;
    REAL *term = dk_tape_scratch(t, rows * cols, &mark);
    if (!term)
        return;
    N(pairs)(N(mul), rows, cols, DK_SAME, OUT_GRAD, RESULT, false, term);
    N(pairs)(N(div), rows, cols, spread, term, VALUE(y), false, term);
    N(dk_sum_to)(t, spread, rows, cols, term, -1, add, g);
    dk_tape_scratch_end(t, mark);
}

CPU_CLONES static void N(affine_run)(const void *ctx, int64_t begin, int64_t end)
{
    const N(pair) *k = ctx;
    REAL scale = k->y[0], shift = k->y[1];
    CPU_SIMD
    for (int64_t i = begin; i < end; i++)
        k->z[i] = scale * k->x[i] + shift;
}

static void N(affine_forward)(dk_tape *t, const dk_node *n)
{
    const REAL by[2] = {(REAL)n->p, (REAL)n->q};
    N(pair) k = {VALUE(n->in[0]), by, RESULT, 0, 0, 0, false};
    dk_pieces(dk_count_of(t, n->out), 1, N(affine_run), &k);
}

static void N(affine_backward)(dk_tape *t, const dk_node *n)
{
    bool add;
    REAL *g = dk_tape_into(t, n->in[0], &add);
    if (g)
        N(dk_sum_to)(t, DK_SAME, ROWS_OF(n->out), COLS_OF(n->out), OUT_GRAD, n->p, add, g);
}
