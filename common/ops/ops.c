/* The context and the wrappers around a backend's table: sticky error, SIGINT, shape assertions. */
#include "ops/ops.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/sig.h"
#include "ops/cpu/cpu.h"

void dk_ctx_init(dk_ctx *c, const dk_ops *ops)
{
    c->ops = ops;
    c->arena = dk_arena_new();
    dk_err_init(&c->err);
}

void dk_ctx_fini(dk_ctx *c)
{
    dk_arena_free(c->arena);
    c->arena = NULL;
}

bool dk_ctx_ok(const dk_ctx *c)
{
    return c->err.code == 0;
}

int dk_ctx_take(dk_ctx *c, dk_err *err)
{
    int code = c->err.code;
    if (code)
        dk_fail(err, code, "%s", c->err.msg);
    dk_err_init(&c->err);
    return code;
}

const char *dk_shape_text(const dk_tensor *t, char out[160])
{
    int at = snprintf(out, 160, "[");
    for (int i = 0; i < t->ndim; i++)
        at +=
            snprintf(out + at, (size_t)(160 - at), "%s%lld", i ? ", " : "", (long long)t->shape[i]);
    snprintf(out + at, (size_t)(160 - at), "]");
    return out;
}

dk_tensor dk_new(dk_ctx *c, int ndim, const int64_t *shape)
{
    dk_tensor t = dk_view(NULL, DK_F32, ndim, shape);
    if (!dk_ctx_ok(c))
        return t;
    size_t bytes = sizeof(float);
    for (int i = 0; i < ndim; i++) {
        assert(shape[i] >= 0);
        if (!dk_mul(bytes, (size_t)shape[i], &bytes)) {
            char text[160];
            dk_fail(&c->err, DK_ENOMEM, "a tensor of shape %s is too large",
                    dk_shape_text(&t, text));
            return t;
        }
    }
    t.data = dk_arena_alloc(c->arena, bytes, &c->err);
    return t;
}

/* ---- What the wrappers ask. */

static bool ready(dk_ctx *c)
{
    return dk_ctx_ok(c) && dk_check_cancel(&c->err) == 0;
}

static int64_t last(const dk_tensor *t)
{
    return t->ndim ? t->shape[t->ndim - 1] : 1;
}

static bool is_f32(const dk_tensor *t, int ndim)
{
    return t->dtype == DK_F32 && (ndim == 0 || t->ndim == ndim) && t->data;
}

static bool same_shape(const dk_tensor *a, const dk_tensor *b)
{
    if (a->ndim != b->ndim)
        return false;
    for (int i = 0; i < a->ndim; i++)
        if (a->shape[i] != b->shape[i])
            return false;
    return true;
}

static bool has_shape(const dk_tensor *t, int ndim, const int64_t *shape)
{
    dk_tensor wanted = dk_view(NULL, DK_F32, ndim, shape);
    return is_f32(t, ndim) && same_shape(t, &wanted);
}

/* [D], or one row for each image of x [B, T, D]. */
static bool is_modulation(const dk_tensor *m, const dk_tensor *x)
{
    int64_t d = last(x);
    return is_f32(m, 0) && last(m) == d &&
           (dk_count(m) == d || (x->ndim == 3 && dk_count(m) == x->shape[0] * d));
}

/* ---- Operations. */

void dk_op_linear(dk_ctx *c, const dk_linear *l, const dk_tensor *x, dk_tensor *y, dk_act act)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 0) && is_f32(y, 0) && last(x) == l->in && last(y) == l->out);
    assert(dk_count(x) / l->in == dk_count(y) / l->out && dk_count(&l->w) == l->in * l->out);
    c->ops->linear(l, x, y, act, &c->err);
}

void dk_op_conv2d(dk_ctx *c, const dk_conv *v, const dk_tensor *x, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 3) && is_f32(y, 3) && x->shape[2] == v->cin && y->shape[2] == v->cout);
    int64_t pad = v->pad_begin + v->pad_end;
    assert(x->shape[0] + pad >= v->k && x->shape[1] + pad >= v->k);
    assert(y->shape[0] == (x->shape[0] + pad - v->k) / v->stride + 1);
    assert(y->shape[1] == (x->shape[1] + pad - v->k) / v->stride + 1);
    assert(dk_count(&v->w) == v->cout * v->cin * v->k * v->k);
    c->ops->conv2d(v, x, y, &c->err);
}

void dk_op_attention(dk_ctx *c, const dk_attn *a)
{
    if (!ready(c))
        return;
    assert(is_f32(a->q, 3) && is_f32(a->k, 3) && is_f32(a->v, 3) && is_f32(a->out, 3));
    assert(same_shape(a->q, a->out) && same_shape(a->k, a->v));
    assert(a->k->shape[0] == a->q->shape[0] || a->k->shape[0] == 1);
    assert(a->k->shape[1] >= 1 && last(a->k) == last(a->q));
    assert(a->heads >= 1 && last(a->q) % a->heads == 0);
    c->ops->attention(a, &c->err);
}

void dk_op_layernorm(dk_ctx *c, const dk_tensor *x, const float *gamma, const float *beta,
                     const dk_tensor *scale, const dk_tensor *shift, float eps, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 0) && is_f32(y, 0) && same_shape(x, y) && last(x) > 0);
    assert(!scale == !shift);
    assert(!scale || (is_modulation(scale, x) && is_modulation(shift, x) &&
                      dk_count(scale) == dk_count(shift)));
    c->ops->layernorm(x, gamma, beta, scale, shift, eps, y);
}

void dk_op_rmsnorm(dk_ctx *c, const dk_tensor *x, const float *weight, float eps, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 0) && is_f32(y, 0) && same_shape(x, y) && last(x) > 0 && weight);
    c->ops->rmsnorm(x, weight, eps, y);
}

void dk_op_groupnorm(dk_ctx *c, const dk_tensor *x, int groups, const float *gamma,
                     const float *beta, float eps, dk_act act, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 3) && is_f32(y, 3) && same_shape(x, y));
    assert(groups > 0 && x->shape[2] % groups == 0);
    c->ops->groupnorm(x, groups, gamma, beta, eps, act, y);
}

void dk_op_act(dk_ctx *c, dk_act act, dk_tensor *x)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 0));
    c->ops->act(act, x);
}

static bool combinable(const dk_tensor *x, const dk_tensor *y)
{
    return is_f32(x, 0) && is_f32(y, 0) && dk_count(y) > 0 && dk_count(x) % dk_count(y) == 0;
}

void dk_op_add(dk_ctx *c, dk_tensor *x, const dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(combinable(x, y));
    c->ops->add(x, y);
}

void dk_op_mul(dk_ctx *c, dk_tensor *x, const dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(combinable(x, y));
    c->ops->mul(x, y);
}

void dk_op_gated_add(dk_ctx *c, dk_tensor *x, const dk_tensor *gate, const dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 0) && is_f32(y, 0) && same_shape(x, y) && is_modulation(gate, x));
    c->ops->gated_add(x, gate, y);
}

void dk_op_embed(dk_ctx *c, const dk_tensor *table, const int32_t *ids, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(dk_dtype_is_float(table->dtype) && table->ndim == 2 && is_f32(y, 2));
    assert(table->shape[1] == y->shape[1]);
    for (int64_t i = 0; i < y->shape[0]; i++)
        assert(ids[i] >= 0 && ids[i] < table->shape[0]);
    c->ops->embed(table, ids, y);
}

void dk_op_patchify(dk_ctx *c, const dk_tensor *x, int p, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 4) && p > 0 && x->shape[2] % p == 0 && x->shape[3] % p == 0);
    int64_t tokens = (x->shape[2] / p) * (x->shape[3] / p);
    assert(has_shape(y, DK_SHAPE(x->shape[0], tokens, x->shape[1] * p * p)));
    c->ops->patchify(x, p, y);
}

void dk_op_unpatchify(dk_ctx *c, const dk_tensor *x, int p, int64_t th, int64_t tw, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 3) && is_f32(y, 4) && p > 0 && x->shape[1] == th * tw);
    assert(last(x) % ((int64_t)p * p) == 0);
    assert(has_shape(y, DK_SHAPE(x->shape[0], last(x) / ((int64_t)p * p), th * p, tw * p)));
    c->ops->unpatchify(x, p, th, tw, y);
}

void dk_op_upsample2(dk_ctx *c, const dk_tensor *x, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 3) && has_shape(y, DK_SHAPE(2 * x->shape[0], 2 * x->shape[1], x->shape[2])));
    c->ops->upsample2(x, y);
}

void dk_op_to_hwc(dk_ctx *c, const dk_tensor *x, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 3) && has_shape(y, DK_SHAPE(x->shape[1], x->shape[2], x->shape[0])));
    c->ops->to_hwc(x, y);
}

void dk_op_to_chw(dk_ctx *c, const dk_tensor *x, dk_tensor *y)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 3) && has_shape(y, DK_SHAPE(x->shape[2], x->shape[0], x->shape[1])));
    c->ops->to_chw(x, y);
}

void dk_op_finite(dk_ctx *c, const dk_tensor *x, const char *fmt, ...)
{
    if (!ready(c))
        return;
    assert(is_f32(x, 0));
    int64_t bad = dk_cpu_first_bad(dk_f32(x), dk_count(x));
    if (bad < 0)
        return;
    char what[256], shape[160];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    dk_fail(&c->err, DK_ENUMERIC, "%s: NaN or infinity (element %lld of %s)", what, (long long)bad,
            dk_shape_text(x, shape));
}
