/* Layer norm over rows and batch norm over columns. */
#include "grad/reduce.h"

/* The functions tell the two apart by their node. */
static const dk_op layernorm_op;

#define DK_REAL 32
#include "grad/op_norm_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/op_norm_real.h"

DK_OP(layernorm);
DK_OP(batchnorm);

static bool is_row(const dk_tape *t, dk_var v, int64_t d)
{
    return v == DK_NOVAR || (dk_var_rows(t, v) == 1 && dk_var_cols(t, v) == d);
}

dk_var dk_layernorm_rows(dk_tape *t, dk_var x, dk_var gamma, dk_var beta, double eps)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    int64_t rows = dk_var_rows(t, x), d = dk_var_cols(t, x);
    assert(is_row(t, gamma, d) && is_row(t, beta, d));
    dk_node n = {.in = {x, gamma, beta}, .p = eps};
    n.kept = dk_tape_keep(t, 2 * rows);
    return n.kept ? dk_tape_run(t, &layernorm_op, &n, rows, d, 0) : DK_NOVAR;
}

dk_var dk_batchnorm(dk_tape *t, dk_var x, dk_var gamma, dk_var beta, const dk_bn *bn, bool train)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    int64_t rows = dk_var_rows(t, x), d = dk_var_cols(t, x);
    assert(is_row(t, gamma, d) && is_row(t, beta, d));
    dk_node n = {.in = {x, gamma, beta}, .kind = train, .p = bn->eps, .with = bn};
    n.kept = dk_tape_keep(t, 2 * d);
    return n.kept ? dk_tape_run(t, &batchnorm_op, &n, rows, d, 0) : DK_NOVAR;
}
