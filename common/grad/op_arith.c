/* Element-wise arithmetic of the tape, with broadcast of the second operand. */
#include "grad/reduce.h"

#define DK_REAL 32
#include "grad/op_arith_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/op_arith_real.h"

DK_OP(add);
DK_OP(sub);
DK_OP(mul);
DK_OP(div);
DK_OP(affine);

static dk_spread spread_of(const dk_tape *t, dk_var x, dk_var y)
{
    const dk_tape_var *a = dk_tape_var_of(t, x), *b = dk_tape_var_of(t, y);
    if (a->rows == b->rows && a->cols == b->cols)
        return DK_SAME;
    if (b->rows == 1 && b->cols == 1)
        return DK_ONE;
    if (b->rows == 1 && b->cols == a->cols)
        return DK_ONE_ROW;
    assert(b->cols == 1 && b->rows == a->rows);
    return DK_ONE_COL;
}

static dk_var pair(dk_tape *t, const dk_op *op, dk_var x, dk_var y)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    dk_node n = {.in = {x, y, DK_NOVAR}, .kind = (int)spread_of(t, x, y)};
    return dk_tape_run(t, op, &n, dk_var_rows(t, x), dk_var_cols(t, x), 0);
}

dk_var dk_add_op(dk_tape *t, dk_var x, dk_var y)
{
    return pair(t, &add_op, x, y);
}

dk_var dk_sub_op(dk_tape *t, dk_var x, dk_var y)
{
    return pair(t, &sub_op, x, y);
}

dk_var dk_mul_op(dk_tape *t, dk_var x, dk_var y)
{
    return pair(t, &mul_op, x, y);
}

dk_var dk_div_op(dk_tape *t, dk_var x, dk_var y)
{
    return pair(t, &div_op, x, y);
}

dk_var dk_affine(dk_tape *t, dk_var x, double scale, double shift)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .p = scale, .q = shift};
    return dk_tape_run(t, &affine_op, &n, dk_var_rows(t, x), dk_var_cols(t, x), 0);
}
