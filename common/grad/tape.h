/* A reverse-mode tape over the operations of ops/mat.h.
 *
 *     dk_tape *t = dk_tape_new(dk_mat_cpu(DK_F64));
 *     dk_var x = dk_leaf(t, n, f, values, true);
 *     dk_var y = dk_relu(t, dk_linear_op(t, x, w, b));
 *     dk_var loss = dk_cross_entropy(t, y, labels);
 *     dk_backward(t, loss, NULL);                  dk_grad64(t, x) is d loss / d x
 *
 * A value is a matrix [rows, cols] of the tape's type, f32 or f64, in the tape's arena (or borrowed
 * by dk_leaf_view); a dk_var is its index. Nothing is ever changed in place. The first failure
 * (exhausted memory) is kept and later operations do nothing and return DK_NOVAR, so a forward pass
 * reads as a list of operations and is checked once by dk_tape_take(). Shapes are asserted: a
 * wrong one is a bug of the caller. With recording off (inference) operations only compute.
 * An operation needs a gradient when one of its operands does; others cost nothing in the backward
 * pass. A tape belongs to one thread. */
#ifndef DK_GRAD_TAPE_H
#define DK_GRAD_TAPE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "ops/mat.h"

typedef struct dk_tape dk_tape;
typedef int32_t dk_var;
enum { DK_NOVAR = -1 };

dk_tape *dk_tape_new(const dk_mat_ops *ops);
void dk_tape_free(dk_tape *t);  /* accepts NULL */
void dk_tape_reset(dk_tape *t); /* forgets all values; memory is kept for reuse */
dk_dtype dk_tape_real(const dk_tape *t);
bool dk_tape_ok(const dk_tape *t);
int dk_tape_take(dk_tape *t, dk_err *err); /* moves the sticky error to *err; 0 if none */
void dk_tape_record(dk_tape *t, bool on);  /* default on */
/* Values made after the mark are forgotten by the restore, in stack order. */
typedef struct dk_tape_mark {
    int32_t vars, nodes;
    dk_arena_mark arena;
} dk_tape_mark;
dk_tape_mark dk_tape_save(const dk_tape *t);
void dk_tape_restore(dk_tape *t, dk_tape_mark m);

/* ---- Values. */
/* A copy of `data` (f64, converted to the tape's type; NULL: zeros). */
dk_var dk_leaf(dk_tape *t, int64_t rows, int64_t cols, const double *data, bool needs_grad);
/* Borrowed data of the tape's own type, which must stay unchanged while the value is in use. */
dk_var dk_leaf_view(dk_tape *t, int64_t rows, int64_t cols, const void *data, bool needs_grad);
dk_var dk_leaf_fill(dk_tape *t, int64_t rows, int64_t cols, double value, bool needs_grad);
/* A cut: the same value, through which no gradient flows. */
dk_var dk_stop_grad(dk_tape *t, dk_var x);
int64_t dk_var_rows(const dk_tape *t, dk_var v);
int64_t dk_var_cols(const dk_tape *t, dk_var v);
const void *dk_value(const dk_tape *t, dk_var v);
const double *dk_value64(const dk_tape *t, dk_var v); /* asserts an f64 tape */
const float *dk_value32(const dk_tape *t, dk_var v);
double dk_scalar(const dk_tape *t, dk_var v); /* element 0 as double */

/* ---- Parameters: what an optimiser changes. value and grad are of the tape's type and owned by
 * whoever made the parameter (grad may be NULL for a frozen one). */
typedef struct dk_param {
    const char *name;
    int64_t rows, cols;
    void *value, *grad; /* [rows, cols] */
} dk_param;
/* A view of p->value; dk_backward adds its gradient to p->grad (the caller zeroes it). */
dk_var dk_leaf_param(dk_tape *t, const dk_param *p);

/* ---- Backward. Gradients of values start from zero at every call, those of parameters add up.
 * `seed` is d L / d out of out's shape and the tape's type; NULL: all ones. May be called several
 * times on one tape (for instance once per class). */
void dk_backward(dk_tape *t, dk_var out, const void *seed);
/* As dk_backward, for several outputs at once. */
void dk_backward_many(dk_tape *t, int n, const dk_var *out, const void *const *seed);
/* d L / d v after dk_backward: never NULL, zeros where nothing arrived; valid until the next call
 * on the tape that computes. */
const void *dk_grad(dk_tape *t, dk_var v);
const double *dk_grad64(dk_tape *t, dk_var v);

/* ---- Dense operations. "Broadcast": y may have one row (repeated for every row of x), one column
 * (repeated for every column) or one element. */
dk_var dk_matmul(dk_tape *t, dk_var a, bool ta, dk_var b, bool tb);
dk_var dk_linear_op(dk_tape *t, dk_var x, dk_var w, dk_var b); /* x w^T + b; w [out, in]; b [1, out] or DK_NOVAR */
dk_var dk_add_op(dk_tape *t, dk_var x, dk_var y);  /* broadcast */
dk_var dk_sub_op(dk_tape *t, dk_var x, dk_var y);  /* broadcast */
dk_var dk_mul_op(dk_tape *t, dk_var x, dk_var y);  /* elementwise, broadcast */
dk_var dk_div_op(dk_tape *t, dk_var x, dk_var y);  /* elementwise, broadcast */
dk_var dk_affine(dk_tape *t, dk_var x, double scale, double shift); /* scale x + shift */
dk_var dk_transpose(dk_tape *t, dk_var x);
dk_var dk_concat_cols(dk_tape *t, int n, const dk_var *x);
dk_var dk_concat_rows(dk_tape *t, int n, const dk_var *x);
dk_var dk_slice_cols(dk_tape *t, dk_var x, int64_t begin, int64_t n);
dk_var dk_slice_rows(dk_tape *t, dk_var x, int64_t begin, int64_t n);
dk_var dk_reshape_op(dk_tape *t, dk_var x, int64_t rows, int64_t cols);
dk_var dk_sum(dk_tape *t, dk_var x);      /* [1, 1] */
dk_var dk_mean(dk_tape *t, dk_var x);     /* [1, 1]; 0 for an empty matrix */
dk_var dk_sum_rows(dk_tape *t, dk_var x); /* over rows: [1, cols] */
dk_var dk_sum_cols(dk_tape *t, dk_var x); /* over columns: [rows, 1] */

/* ---- Element-wise functions. */
typedef enum {
    DK_FN_RELU, DK_FN_LEAKY_RELU /* slope p */, DK_FN_ELU, DK_FN_GELU /* erf */, DK_FN_SIGMOID,
    DK_FN_TANH, DK_FN_EXP, DK_FN_LOG /* log(x + p) */, DK_FN_SQRT, DK_FN_SQUARE, DK_FN_SOFTPLUS,
    DK_FN_SILU, DK_FN_ABS
} dk_fn;
dk_var dk_apply(dk_tape *t, dk_fn fn, dk_var x, double p);
dk_var dk_relu(dk_tape *t, dk_var x);
/* Inverted dropout: zero with probability p, else x / (1 - p); element i is decided by a hash of
 * (seed, i). */
dk_var dk_dropout(dk_tape *t, dk_var x, double p, uint64_t seed);

/* ---- Norms and softmax, by rows of x [n, d] unless said otherwise. */
dk_var dk_l2norm_rows(dk_tape *t, dk_var x, double eps); /* x / max(||x||_2, eps) */
dk_var dk_softmax(dk_tape *t, dk_var x);
dk_var dk_log_softmax(dk_tape *t, dk_var x);
dk_var dk_layernorm_rows(dk_tape *t, dk_var x, dk_var gamma, dk_var beta, double eps); /* gamma, beta [1, d] or DK_NOVAR */
/* Batch norm over the rows. train: batch mean and biased variance normalise, and running_mean,
 * running_var (tape's type, [d]) become (1 - momentum) old + momentum new with the unbiased
 * variance; otherwise the running values normalise. */
typedef struct dk_bn {
    void *running_mean, *running_var;
    double momentum, eps; /* .1, 1e-5 */
} dk_bn;
dk_var dk_batchnorm(dk_tape *t, dk_var x, dk_var gamma, dk_var beta, const dk_bn *bn, bool train);

/* ---- Graph operations. `adj` and index arrays are borrowed until the tape is reset or restored. */
/* y [n_dst, h*d] = sum over edges e into a row of w[e, head] * x[src_e, head]; w [n_edges, h] or
 * DK_NOVAR (all ones; heads = 1); x [n_src, h*d]. */
dk_var dk_aggregate(dk_tape *t, const dk_adj *adj, int heads, dk_var w, dk_var x);
/* Softmax of s [n_edges, h] over the edges into the same dst, per head. */
dk_var dk_edge_softmax(dk_tape *t, const dk_adj *adj, dk_var s);
dk_var dk_gather_rows(dk_tape *t, dk_var x, const int32_t *index, int64_t n);          /* [n, d] */
dk_var dk_scatter_rows(dk_tape *t, dk_var x, const int32_t *index, int64_t rows_out);  /* adds; [rows_out, d] */
/* Contiguous segments of rows: segment s is rows ptr[s] .. ptr[s+1]-1. Empty segments give zeros.
 * Max takes the first row that attains it. */
typedef enum { DK_SEG_SUM, DK_SEG_MEAN, DK_SEG_MAX } dk_seg;
dk_var dk_segment(dk_tape *t, dk_seg kind, const int32_t *ptr, int64_t segments, dk_var x);
/* Row sums over blocks of columns: x [n, h*d] -> [n, h] (attention's dot products). */
dk_var dk_sum_blocks(dk_tape *t, dk_var x, int h);

/* ---- Losses: [1, 1], mean over rows (elements for mse and bce). */
/* -log softmax(logits)[label]; rows with a negative label are left out of the mean. */
dk_var dk_cross_entropy(dk_tape *t, dk_var logits, const int32_t *label);
dk_var dk_mse_loss(dk_tape *t, dk_var x, dk_var target);
dk_var dk_bce_logits(dk_tape *t, dk_var logits, dk_var target); /* target in [0, 1] */
/* KL(p || q) = sum p (log p - log q), mean over rows; both given as log-probabilities. */
dk_var dk_kl_div(dk_tape *t, dk_var log_p, dk_var log_q);

#endif
