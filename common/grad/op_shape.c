/* Rearrangements and sums of the tape. Rows of a matrix lie together, so slices of rows and new
 * shapes share the memory of their operand. */
#include "grad/reduce.h"

#define DK_REAL 32
#include "grad/op_shape_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/op_shape_real.h"

DK_OP(transpose);
DK_OP(concat_cols);
DK_OP(concat_rows);
DK_OP(slice_cols);
DK_OP(sum);
static const dk_op alias_op = {{NULL, NULL}, {alias_backward_f32, alias_backward_f64}};

dk_var dk_transpose(dk_tape *t, dk_var x)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}};
    return dk_tape_run(t, &transpose_op, &n, dk_var_cols(t, x), dk_var_rows(t, x), 0);
}

/* The list of operands moves to the arena, where backward finds it. */
static bool keep_list(dk_tape *t, int count, const dk_var *x, dk_node *n)
{
    assert(count >= 0);
    dk_var *list = dk_tape_keep(t, count);
    if (!list)
        return false;
    if (count)
        memcpy(list, x, (size_t)count * sizeof *list);
    *n = (dk_node){.in = {DK_NOVAR, DK_NOVAR, DK_NOVAR}, .i = count, .with = list};
    return true;
}

dk_var dk_concat_cols(dk_tape *t, int count, const dk_var *x)
{
    dk_node n;
    if (!dk_tape_ready(t) || !keep_list(t, count, x, &n))
        return DK_NOVAR;
    int64_t rows = count ? dk_var_rows(t, x[0]) : 0, cols = 0;
    for (int i = 0; i < count; i++) {
        assert(dk_var_rows(t, x[i]) == rows);
        cols += dk_var_cols(t, x[i]);
    }
    return dk_tape_run(t, &concat_cols_op, &n, rows, cols, count);
}

dk_var dk_concat_rows(dk_tape *t, int count, const dk_var *x)
{
    dk_node n;
    if (!dk_tape_ready(t) || !keep_list(t, count, x, &n))
        return DK_NOVAR;
    int64_t cols = count ? dk_var_cols(t, x[0]) : 0, rows = 0;
    for (int i = 0; i < count; i++) {
        assert(dk_var_cols(t, x[i]) == cols);
        rows += dk_var_rows(t, x[i]);
    }
    return dk_tape_run(t, &concat_rows_op, &n, rows, cols, count);
}

dk_var dk_slice_cols(dk_tape *t, dk_var x, int64_t begin, int64_t count)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    assert(begin >= 0 && count >= 0 && begin + count <= dk_var_cols(t, x));
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .i = begin};
    return dk_tape_run(t, &slice_cols_op, &n, dk_var_rows(t, x), count, 0);
}

dk_var dk_slice_rows(dk_tape *t, dk_var x, int64_t begin, int64_t count)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    assert(begin >= 0 && count >= 0 && begin + count <= dk_var_rows(t, x));
    int64_t cols = dk_var_cols(t, x);
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .i = begin * cols};
    return dk_tape_alias(t, &alias_op, &n, x, n.i, count, cols);
}

dk_var dk_reshape_op(dk_tape *t, dk_var x, int64_t rows, int64_t cols)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    assert(rows >= 0 && cols >= 0 && rows * cols == dk_count_of(t, x));
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}};
    return dk_tape_alias(t, &alias_op, &n, x, 0, rows, cols);
}

static dk_var sum(dk_tape *t, dk_var x, dk_spread to, double scale)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .kind = (int)to, .p = scale};
    int64_t rows = to == DK_ONE_COL ? dk_var_rows(t, x) : 1;
    int64_t cols = to == DK_ONE_ROW ? dk_var_cols(t, x) : 1;
    return dk_tape_run(t, &sum_op, &n, rows, cols, 0);
}

dk_var dk_sum(dk_tape *t, dk_var x)
{
    return sum(t, x, DK_ONE, 1);
}

dk_var dk_mean(dk_tape *t, dk_var x)
{
    int64_t count = dk_tape_ready(t) ? dk_count_of(t, x) : 0;
    return sum(t, x, DK_ONE, count ? 1 / (double)count : 0);
}

dk_var dk_sum_rows(dk_tape *t, dk_var x)
{
    return sum(t, x, DK_ONE_ROW, 1);
}

dk_var dk_sum_cols(dk_tape *t, dk_var x)
{
    return sum(t, x, DK_ONE_COL, 1);
}
