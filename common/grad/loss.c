/* Losses: matrices to one number, the mean over rows or elements. */
#include "grad/reduce.h"

#define DK_REAL 32
#include "grad/loss_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/loss_real.h"

DK_OP(cross_entropy);
DK_OP(mse);
DK_OP(bce);
DK_OP(kl);

static double reciprocal(int64_t n)
{
    return n ? 1 / (double)n : 0;
}

dk_var dk_cross_entropy(dk_tape *t, dk_var logits, const int32_t *label)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    int64_t rows = dk_var_rows(t, logits), counted = 0;
    for (int64_t r = 0; r < rows; r++) {
        assert(label[r] < dk_var_cols(t, logits));
        counted += label[r] >= 0;
    }
    dk_node n = {.in = {logits, DK_NOVAR, DK_NOVAR}, .p = reciprocal(counted), .with = label};
    return dk_tape_run(t, &cross_entropy_op, &n, 1, 1, 0);
}

static dk_var of_two(dk_tape *t, const dk_op *op, dk_var x, dk_var y, bool by_rows)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    int64_t rows = dk_var_rows(t, x);
    assert(dk_var_rows(t, y) == rows && dk_var_cols(t, y) == dk_var_cols(t, x));
    dk_node n = {.in = {x, y, DK_NOVAR}};
    n.p = reciprocal(by_rows ? rows : dk_count_of(t, x));
    return dk_tape_run(t, op, &n, 1, 1, 0);
}

dk_var dk_mse_loss(dk_tape *t, dk_var x, dk_var target)
{
    return of_two(t, &mse_op, x, target, false);
}

dk_var dk_bce_logits(dk_tape *t, dk_var logits, dk_var target)
{
    return of_two(t, &bce_op, logits, target, false);
}

dk_var dk_kl_div(dk_tape *t, dk_var log_p, dk_var log_q)
{
    return of_two(t, &kl_op, log_p, log_q, true);
}
