/* Rearrangements and sums of one type; included by op_shape.c once for each. */
#include "ops/mat/real.h"

/* y [rows, cols] (+)= x, both parts of wider matrices. */
typedef struct N(part_copy) {
    const REAL *x;
    REAL *y;
    int64_t cols, ldx, ldy;
    bool add;
} N(part_copy);

CPU_CLONES static void N(copy_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(part_copy) *c = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = c->x + r * c->ldx;
        REAL *y = c->y + r * c->ldy;
        if (c->add) {
            CPU_SIMD
            for (int64_t j = 0; j < c->cols; j++)
                y[j] += x[j];
        } else {
            CPU_SIMD
            for (int64_t j = 0; j < c->cols; j++)
                y[j] = x[j];
        }
    }
}

static void N(copy_part)(int64_t rows, int64_t cols, const REAL *x, int64_t ldx, bool add, REAL *y,
                         int64_t ldy)
{
    N(part_copy) c = {x, y, cols, ldx, ldy, add};
    dk_pieces(rows, cols, N(copy_rows), &c);
}

/* The gradient of an operand of which only a part was used: zeros, unless something is there. */
static REAL *N(into_part)(dk_tape *t, dk_var v)
{
    bool add;
    REAL *g = dk_tape_into(t, v, &add);
    if (g && !add)
        memset(g, 0, (size_t)dk_count_of(t, v) * sizeof *g);
    return g;
}

/* Rows [begin, end) of y = x^T. */
static void N(transpose_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(part_copy) *c = ctx;
    for (int64_t r = begin; r < end; r++)
        for (int64_t j = 0; j < c->cols; j++) {
            REAL *y = c->y + r * c->ldy + j, x = c->x[j * c->ldx + r];
            *y = c->add ? *y + x : x;
        }
}

static void N(transpose_forward)(dk_tape *t, const dk_node *n)
{
    int64_t rows = ROWS_OF(n->out), cols = COLS_OF(n->out);
    N(part_copy) c = {VALUE(n->in[0]), RESULT, cols, rows, cols, false};
    dk_pieces(rows, cols, N(transpose_rows), &c);
}

static void N(transpose_backward)(dk_tape *t, const dk_node *n)
{
    int64_t rows = ROWS_OF(n->in[0]), cols = COLS_OF(n->in[0]);
    bool add;
    REAL *g = dk_tape_into(t, n->in[0], &add);
    if (!g)
        return;
    N(part_copy) c = {OUT_GRAD, g, cols, rows, cols, add};
    dk_pieces(rows, cols, N(transpose_rows), &c);
}

static void N(concat_cols_forward)(dk_tape *t, const dk_node *n)
{
    const dk_var *x = n->with;
    int64_t wide = COLS_OF(n->out), at = 0;
    for (int64_t i = 0; i < n->i; at += COLS_OF(x[i]), i++)
        N(copy_part)(ROWS_OF(n->out), COLS_OF(x[i]), VALUE(x[i]), COLS_OF(x[i]), false, RESULT + at,
                     wide);
}

static void N(concat_cols_backward)(dk_tape *t, const dk_node *n)
{
    const dk_var *x = n->with;
    int64_t wide = COLS_OF(n->out), at = 0;
    for (int64_t i = 0; i < n->i; at += COLS_OF(x[i]), i++) {
        bool add;
        REAL *g = dk_tape_into(t, x[i], &add);
        if (g)
            N(copy_part)(ROWS_OF(n->out), COLS_OF(x[i]), OUT_GRAD + at, wide, add, g,
                         COLS_OF(x[i]));
    }
}

static void N(concat_rows_forward)(dk_tape *t, const dk_node *n)
{
    const dk_var *x = n->with;
    REAL *y = RESULT;
    for (int64_t i = 0; i < n->i; y += dk_count_of(t, x[i]), i++)
        N(dk_copy)(dk_count_of(t, x[i]), VALUE(x[i]), false, y);
}

static void N(concat_rows_backward)(dk_tape *t, const dk_node *n)
{
    const dk_var *x = n->with;
    const REAL *dy = OUT_GRAD;
    for (int64_t i = 0; i < n->i; dy += dk_count_of(t, x[i]), i++) {
        bool add;
        REAL *g = dk_tape_into(t, x[i], &add);
        if (g)
            N(dk_copy)(dk_count_of(t, x[i]), dy, add, g);
    }
}

static void N(slice_cols_forward)(dk_tape *t, const dk_node *n)
{
    N(copy_part)(ROWS_OF(n->out), COLS_OF(n->out), VALUE(n->in[0]) + n->i, COLS_OF(n->in[0]), false,
                 RESULT, COLS_OF(n->out));
}

static void N(slice_cols_backward)(dk_tape *t, const dk_node *n)
{
    REAL *g = N(into_part)(t, n->in[0]);
    if (g)
        N(copy_part)(ROWS_OF(n->out), COLS_OF(n->out), OUT_GRAD, COLS_OF(n->out), true, g + n->i,
                     COLS_OF(n->in[0]));
}

/* Parts that share memory with their operand: elements n->i on. */
static void N(alias_backward)(dk_tape *t, const dk_node *n)
{
    REAL *g = N(into_part)(t, n->in[0]);
    if (g)
        N(dk_copy)(dk_count_of(t, n->out), OUT_GRAD, true, g + n->i);
}

/* out = p * the sum over what `kind` says. */
static void N(sum_forward)(dk_tape *t, const dk_node *n)
{
    N(dk_sum_to)(t, (dk_spread)n->kind, ROWS_OF(n->in[0]), COLS_OF(n->in[0]), VALUE(n->in[0]), n->p,
                 false, RESULT);
}

static void N(sum_backward)(dk_tape *t, const dk_node *n)
{
    bool add;
    REAL *g = dk_tape_into(t, n->in[0], &add);
    if (g)
        N(dk_spread_from)((dk_spread)n->kind, ROWS_OF(n->in[0]), COLS_OF(n->in[0]), OUT_GRAD, n->p,
                          add, g);
}
