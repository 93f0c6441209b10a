/* The table of operations. Models are written once against the dk_op_* functions; a backend is one
 * filled struct dk_ops. Two backends exist on the CPU:
 *
 *     dk_ops_reference()  plain loops, one obvious version of each operation, f64 accumulators
 *                         where sums are long; --reference; what the tests compare with
 *     dk_ops_cpu()        GEMM and convolution through oneDNN, tiled attention, vector loops
 *
 * Context. A dk_ctx carries the backend, the arena for activations and a sticky error: the first
 * failure is kept and every later operation does nothing, so a forward pass reads as a list of
 * operations and is checked once, at its end, by dk_ctx_ok(). Operations also poll for SIGINT.
 *
 * Determinism. Results never depend on the number of threads or on how many images share a batch:
 * the work on a [B, T, D] tensor is cut into panels that lie within one of the B images and whose
 * size depends on the layer and the image alone; a panel is computed by one thread.
 *
 * Activations are f32. Layouts: tokens [B, T, D]; pictures channels-last [H, W, C], one at a time.
 * Shapes are asserted in the dk_op_* wrappers: a wrong one is a bug of the caller, files were
 * checked when they were loaded. Unless said otherwise outputs may not overlap inputs. */
#ifndef DK_OPS_OPS_H
#define DK_OPS_OPS_H

#include <stdbool.h>

#include "base/err.h"
#include "base/mem.h"
#include "ops/tensor.h"

typedef enum { DK_ACT_NONE, DK_ACT_RELU, DK_ACT_SILU, DK_ACT_GELU_TANH, DK_ACT_GELU_ERF } dk_act;

typedef struct dk_ops dk_ops;

/* The one linear layer: y = x W^T + b. Hides how W [out, in] is stored; today any float dtype, kept
 * as stored and converted panel by panel. */
typedef struct dk_linear {
    const char *name; /* of the weight tensor: messages, later hooks for quantisation */
    dk_tensor w;      /* [out, in] in its stored dtype; borrowed, any alignment */
    float *bias;      /* [out] or NULL; borrowed */
    int64_t in, out;
    void *prep; /* the backend's own form, NULL if it needs none */
} dk_linear;

/* Convolution, cross-correlation with zero padding. W [cout, cin, kh, kw]. */
typedef struct dk_conv {
    const char *name;
    dk_tensor w; /* stored dtype, borrowed */
    float *bias; /* [cout] or NULL; borrowed */
    int64_t cin, cout;
    int k;                        /* kernel size, square: 1 or 3 (any odd size works) */
    int stride;                   /* 1 or 2 */
    int pad_begin, pad_end;       /* rows above / below and columns left / right */
    void *prep;
} dk_conv;

typedef struct dk_ctx {
    const dk_ops *ops;
    dk_arena *arena;
    dk_err err; /* sticky */
} dk_ctx;

/* Attention arguments. q [B, Tq, H*d]; k, v [B or 1, Tk, H*d] (1: shared by all B); out as q.
 * scores = scale * q.k + key_bias[j] + rel_bias[h][j - i + Tq - 1]; softmax over j; times v. */
typedef struct dk_attn {
    const dk_tensor *q, *k, *v;
    int heads;
    float scale;
    const float *key_bias; /* [Tk] added to every row's scores (masks), or NULL */
    const float *rel_bias; /* [heads, Tq + Tk - 1] by relative position, or NULL */
    dk_tensor *out;
    float *lse; /* [B, heads, Tq] log-sum-exp of the scores, or NULL */
} dk_attn;

struct dk_ops {
    const char *name;
    /* Weights: prepare sets ->prep (may be NULL afterwards), release frees it. */
    int (*linear_prepare)(dk_linear *l, dk_err *err);
    void (*linear_release)(dk_linear *l);
    int (*conv_prepare)(dk_conv *c, dk_err *err);
    void (*conv_release)(dk_conv *c);
    /* One function per operation; see the dk_op_* wrapper of the same name. They return 0 or set
     * *err. */
    int (*linear)(const dk_linear *l, const dk_tensor *x, dk_tensor *y, dk_act act, dk_err *err);
    int (*conv2d)(const dk_conv *c, const dk_tensor *x, dk_tensor *y, dk_err *err);
    int (*attention)(const dk_attn *a, dk_err *err);
    void (*layernorm)(const dk_tensor *x, const float *gamma, const float *beta,
                      const dk_tensor *scale, const dk_tensor *shift, float eps, dk_tensor *y);
    void (*rmsnorm)(const dk_tensor *x, const float *weight, float eps, dk_tensor *y);
    void (*groupnorm)(const dk_tensor *x, int groups, const float *gamma, const float *beta,
                      float eps, dk_act act, dk_tensor *y);
    void (*act)(dk_act act, dk_tensor *x);
    void (*add)(dk_tensor *x, const dk_tensor *y);
    void (*mul)(dk_tensor *x, const dk_tensor *y);
    void (*gated_add)(dk_tensor *x, const dk_tensor *gate, const dk_tensor *y);
    void (*embed)(const dk_tensor *table, const int32_t *ids, dk_tensor *y);
    void (*patchify)(const dk_tensor *x, int p, dk_tensor *y);
    void (*unpatchify)(const dk_tensor *x, int p, int64_t th, int64_t tw, dk_tensor *y);
    void (*upsample2)(const dk_tensor *x, dk_tensor *y);
    void (*to_hwc)(const dk_tensor *x, dk_tensor *y);
    void (*to_chw)(const dk_tensor *x, dk_tensor *y);
};

const dk_ops *dk_ops_reference(void);
const dk_ops *dk_ops_cpu(void);

/* Context. */
void dk_ctx_init(dk_ctx *c, const dk_ops *ops);
void dk_ctx_fini(dk_ctx *c);
bool dk_ctx_ok(const dk_ctx *c);
/* Moves the sticky error to *err (returns its code, 0 if none) and clears it in the context. */
int dk_ctx_take(dk_ctx *c, dk_err *err);
/* f32 tensor of the arena, uninitialised; on failure the context is failed and data is NULL. */
dk_tensor dk_new(dk_ctx *c, int ndim, const int64_t *shape);

/* Operations. */
/* y [..., out] = act(x [..., in] W^T + b). The first dimension of a 3-D x counts images. */
void dk_op_linear(dk_ctx *c, const dk_linear *l, const dk_tensor *x, dk_tensor *y, dk_act act);
/* x [H, W, cin] -> y [H', W', cout], H' = (H + pad_begin + pad_end - k) / stride + 1. */
void dk_op_conv2d(dk_ctx *c, const dk_conv *v, const dk_tensor *x, dk_tensor *y);
void dk_op_attention(dk_ctx *c, const dk_attn *a);
/* Rows of the last axis: n = (x - mean) / sqrt(var + eps) with biased variance; then n * gamma +
 * beta where given ([D], may be NULL), then n * (1 + scale) + shift where given (each [D] or, per
 * image of x [B, T, D], [B, D]; both or neither). y may be x. */
void dk_op_layernorm(dk_ctx *c, const dk_tensor *x, const float *gamma, const float *beta,
                     const dk_tensor *scale, const dk_tensor *shift, float eps, dk_tensor *y);
/* T5: x * rsqrt(mean(x^2) + eps) * weight [D]. y may be x. */
void dk_op_rmsnorm(dk_ctx *c, const dk_tensor *x, const float *weight, float eps, dk_tensor *y);
/* x [H, W, C]; statistics over H, W and the C/groups channels of a group. y may be x. */
void dk_op_groupnorm(dk_ctx *c, const dk_tensor *x, int groups, const float *gamma,
                     const float *beta, float eps, dk_act act, dk_tensor *y);
void dk_op_act(dk_ctx *c, dk_act act, dk_tensor *x); /* in place */
/* x += y, x *= y; y has x's count or divides it (broadcast over the leading dimensions). */
void dk_op_add(dk_ctx *c, dk_tensor *x, const dk_tensor *y);
void dk_op_mul(dk_ctx *c, dk_tensor *x, const dk_tensor *y);
/* x [B, T, D] += gate ([D] or [B, D]) * y [B, T, D]. */
void dk_op_gated_add(dk_ctx *c, dk_tensor *x, const dk_tensor *gate, const dk_tensor *y);
/* y [n, D] = rows ids[0..n) of table [V, D] (any float dtype; ids checked by the caller). */
void dk_op_embed(dk_ctx *c, const dk_tensor *table, const int32_t *ids, dk_tensor *y);
/* x [B, C, h, w] -> y [B, (h/p)(w/p), C*p*p], columns ordered (channel, row, column in patch). */
void dk_op_patchify(dk_ctx *c, const dk_tensor *x, int p, dk_tensor *y);
/* x [B, th*tw, p*p*C] with values ordered (row, column in patch, channel) -> y [B, C, th*p, tw*p]. */
void dk_op_unpatchify(dk_ctx *c, const dk_tensor *x, int p, int64_t th, int64_t tw, dk_tensor *y);
void dk_op_upsample2(dk_ctx *c, const dk_tensor *x, dk_tensor *y); /* nearest: [H,W,C]->[2H,2W,C] */
void dk_op_to_hwc(dk_ctx *c, const dk_tensor *x, dk_tensor *y);    /* [C,H,W] -> [H,W,C] */
void dk_op_to_chw(dk_ctx *c, const dk_tensor *x, dk_tensor *y);    /* [H,W,C] -> [C,H,W] */
/* Fails the context with DK_ENUMERIC "<what>: NaN or infinity (element 17 of [2, 64, 192])" when x
 * holds one. `fmt` names the place: "block 3". */
void dk_op_finite(dk_ctx *c, const dk_tensor *x, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
