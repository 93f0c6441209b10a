/* Operations on single rows: softmax, log-softmax, division by the row's length. */
#include "grad/reduce.h"

#define DK_REAL 32
#include "grad/op_softmax_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/op_softmax_real.h"

DK_OP(softmax);
DK_OP(log_softmax);
DK_OP(l2norm);

static dk_var by_rows(dk_tape *t, const dk_op *op, dk_var x, double p)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .p = p};
    return dk_tape_run(t, op, &n, dk_var_rows(t, x), dk_var_cols(t, x), 0);
}

dk_var dk_softmax(dk_tape *t, dk_var x)
{
    return by_rows(t, &softmax_op, x, 0);
}

dk_var dk_log_softmax(dk_tape *t, dk_var x)
{
    return by_rows(t, &log_softmax_op, x, 0);
}

dk_var dk_l2norm_rows(dk_tape *t, dk_var x, double eps)
{
    assert(eps > 0);
    return by_rows(t, &l2norm_op, x, eps);
}
