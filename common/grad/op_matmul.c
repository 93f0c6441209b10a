/* Matrix products and linear layers of the tape. */
#include "grad/reduce.h"

enum { TA = 1, TB = 2 }; /* kind of a product: which operands are transposed */

#define DK_REAL 32
#include "grad/op_matmul_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/op_matmul_real.h"

DK_OP(matmul);
DK_OP(linear);

dk_var dk_matmul(dk_tape *t, dk_var a, bool ta, dk_var b, bool tb)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    int64_t rows = ta ? dk_var_cols(t, a) : dk_var_rows(t, a);
    int64_t cols = tb ? dk_var_rows(t, b) : dk_var_cols(t, b);
    assert((ta ? dk_var_rows(t, a) : dk_var_cols(t, a)) ==
           (tb ? dk_var_cols(t, b) : dk_var_rows(t, b)));
    dk_node n = {.in = {a, b, DK_NOVAR}, .kind = (ta ? TA : 0) | (tb ? TB : 0)};
    return dk_tape_run(t, &matmul_op, &n, rows, cols, 0);
}

dk_var dk_linear_op(dk_tape *t, dk_var x, dk_var w, dk_var b)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    int64_t out = dk_var_rows(t, w);
    assert(dk_var_cols(t, x) == dk_var_cols(t, w));
    assert(b == DK_NOVAR || (dk_var_rows(t, b) == 1 && dk_var_cols(t, b) == out));
    dk_node n = {.in = {x, w, b}};
    return dk_tape_run(t, &linear_op, &n, dk_var_rows(t, x), out, 0);
}
