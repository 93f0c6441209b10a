/* What multiplies the messages of a layer: the input's coefficients and an edge mask.
 *
 * DK_MASK_MESSAGE multiplies the finished coefficient. DK_MASK_WEIGHT makes the mask part of the
 * edge weight, so the degrees of gcn_norm are computed from it on the tape and gradients flow
 * through them. In the normalised layers an existing self loop has left the list; its weight is
 * that of the node's own loop, which only DK_MASK_WEIGHT reaches. */
#include <stdlib.h>

#include "base/mem.h"
#include "graph/gnn_internal.h"

dk_var dk_gnn_column(dk_tape *t, int64_t n, const double *data)
{
    if (!data)
        return DK_NOVAR;
    if (dk_tape_real(t) == DK_F64)
        return dk_leaf_view(t, n, 1, data, false);
    return dk_leaf(t, n, 1, data, false);
}

/* [n, 1] of ones where D is 0, DK_NOVAR if there is no such row. */
static dk_var zero_rows(dk_tape *t, int32_t n, dk_var degree)
{
    double *zero = NULL;

    if (!dk_tape_ok(t))
        return DK_NOVAR;
    for (int32_t v = 0; v < n; v++) {
        double d =
            dk_tape_real(t) == DK_F64 ? dk_value64(t, degree)[v] : (double)dk_value32(t, degree)[v];
        if (d != 0)
            continue;
        if (!zero)
            zero = dk_xcalloc((size_t)n, sizeof *zero);
        zero[v] = 1;
    }
    if (!zero)
        return DK_NOVAR;
    dk_var out = dk_leaf(t, n, 1, zero, false);
    free(zero);
    return out;
}

/* D^-1/2 with 1 / sqrt(0) = 0, also for the gradient. */
static dk_var inverse_root(dk_tape *t, int32_t n, dk_var degree)
{
    dk_var zero = zero_rows(t, n, degree);
    dk_var one = dk_leaf_fill(t, n, 1, 1, false);

    if (zero != DK_NOVAR)
        degree = dk_add_op(t, degree, zero);
    dk_var inverse = dk_div_op(t, one, dk_apply(t, DK_FN_SQRT, degree, 0));
    return zero == DK_NOVAR ? inverse : dk_mul_op(t, inverse, dk_affine(t, zero, -1, 1));
}

/* c = w m / sqrt(D D) and l / D, with D = sum of w m + the rest that is not in the list. */
static void reweigh(dk_tape *t, const dk_gnn_input *in, dk_var mask, dk_var *coef, dk_var *loop)
{
    const dk_gnn_owned *o = in->own;
    const dk_adj *a = &in->adj;
    dk_var w = dk_gnn_column(t, in->e, in->weight);
    dk_var own = dk_gnn_column(t, in->n, o->unlisted);

    w = w == DK_NOVAR ? mask : dk_mul_op(t, w, mask);
    dk_var degree =
        dk_add_op(t, dk_scatter_rows(t, w, a->dst, in->n), dk_gnn_column(t, in->n, o->rest));
    dk_var root = inverse_root(t, in->n, degree);
    if (o->keep) {
        dk_var keep = dk_gnn_column(t, in->e, o->keep);
        dk_var listed = dk_mul_op(t, w, dk_affine(t, keep, -1, 1));
        own = dk_add_op(t, own, dk_scatter_rows(t, listed, a->dst, in->n));
        w = dk_mul_op(t, w, keep);
    }
    w = dk_mul_op(t, w, dk_gather_rows(t, root, a->src, in->e));
    *coef = dk_mul_op(t, w, dk_gather_rows(t, root, a->dst, in->e));
    *loop = dk_mul_op(t, own, dk_mul_op(t, root, root));
}

void dk_gnn_coefficients(dk_tape *t, const dk_gnn_input *in, dk_var mask, dk_mask_mode mode,
                         dk_var *coef, dk_var *loop)
{
    if (mask != DK_NOVAR && mode == DK_MASK_WEIGHT && in->degree) {
        reweigh(t, in, mask, coef, loop);
        return;
    }
    *coef = dk_gnn_column(t, in->e, in->coef);
    *loop = dk_gnn_column(t, in->n, in->loop);
    if (mask != DK_NOVAR)
        *coef = *coef == DK_NOVAR ? mask : dk_mul_op(t, *coef, mask);
}
