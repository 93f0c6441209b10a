/* Functions of single elements, and dropout. */
#include "base/hash.h"
#include "grad/reduce.h"

/* Whether dropout with probability p keeps element i: a uniform number in [0, 1) of 53 bits. */
static bool kept(uint64_t seed, int64_t i, double p)
{
    return (double)(dk_splitmix64(seed + (uint64_t)i) >> 11) * 0x1p-53 >= p;
}

#define DK_REAL 32
#include "grad/op_apply_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/op_apply_real.h"

DK_OP(apply);
DK_OP(dropout);

dk_var dk_apply(dk_tape *t, dk_fn fn, dk_var x, double p)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    assert((int)fn >= 0 && fn <= DK_FN_ABS);
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .kind = (int)fn, .p = p};
    return dk_tape_run(t, &apply_op, &n, dk_var_rows(t, x), dk_var_cols(t, x), 0);
}

dk_var dk_relu(dk_tape *t, dk_var x)
{
    return dk_apply(t, DK_FN_RELU, x, 0);
}

dk_var dk_dropout(dk_tape *t, dk_var x, double p, uint64_t seed)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    assert(p >= 0 && p <= 1);
    if (p == 0)
        return x;
    /* Seeds that lie close must not give shifted copies of one pattern. */
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .p = p, .i = (int64_t)dk_splitmix64(seed)};
    return dk_tape_run(t, &dropout_op, &n, dk_var_rows(t, x), dk_var_cols(t, x), 0);
}
