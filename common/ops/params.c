/* See params.h. */
#include "ops/params.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

typedef enum { SLOT_LINEAR, SLOT_CONV, SLOT_F32, SLOT_TABLE } slot_kind;

typedef struct slot {
    slot_kind kind;
    void *target; /* dk_linear, dk_conv, float *, dk_tensor */
    char *name;   /* of the (weight) tensor */
    const dk_st_tensor *weight, *bias;
    bool prepared;
} slot;

struct dk_params {
    const dk_weights *weights;
    dk_bind *bind;
    slot *slots;
    size_t n, cap;
    float **owned; /* f32 copies */
    size_t n_owned;
    const dk_ops *ops;
    int64_t count;
    size_t bytes;
};

dk_params *dk_params_new(const dk_weights *w)
{
    dk_params *p = dk_xcalloc(1, sizeof *p);
    p->weights = w;
    p->bind = dk_bind_new(w);
    return p;
}

void dk_params_free(dk_params *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        slot *s = &p->slots[i];
        if (s->prepared && s->kind == SLOT_LINEAR && p->ops->linear_release)
            p->ops->linear_release(s->target);
        if (s->prepared && s->kind == SLOT_CONV && p->ops->conv_release)
            p->ops->conv_release(s->target);
        free(s->name);
    }
    for (size_t i = 0; i < p->n_owned; i++)
        dk_free_aligned(p->owned[i]);
    free(p->owned);
    free(p->slots);
    dk_bind_free(p->bind);
    free(p);
}

dk_bind *dk_params_bind(dk_params *p) { return p->bind; }

static slot *add(dk_params *p, slot_kind kind, void *target, char *name)
{
    if (p->n == p->cap) {
        p->cap = p->cap ? 2 * p->cap : 256;
        p->slots = dk_xrealloc(p->slots, p->cap * sizeof *p->slots);
    }
    p->slots[p->n] = (slot){.kind = kind, .target = target, .name = name};
    return &p->slots[p->n++];
}

/* Shapes come from configs, and no file has said yet that they are real: saturates. */
static int64_t product(int64_t a, int64_t b)
{
    int64_t r;
    return __builtin_mul_overflow(a, b, &r) ? INT64_MAX : r;
}

static const dk_st_tensor *get(dk_params *p, const char *name, int ndim, const int64_t *shape)
{
    const dk_st_tensor *t = dk_bind_get(p->bind, ndim, shape, "%s", name);
    int64_t count = 1;

    for (int i = 0; i < ndim; i++)
        count = product(count, shape[i]);
    if (__builtin_add_overflow(p->count, count, &p->count))
        p->count = INT64_MAX;
    if (t)
        p->bytes += t->bytes;
    return t;
}

/* The name from a format and a suffix. */
#define FORMAT_NAME(out, suffix)                                                                   \
    char out[512];                                                                                 \
    do {                                                                                           \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        vsnprintf(out, sizeof out - 16, fmt, ap);                                                  \
        va_end(ap);                                                                                \
        strncat(out, suffix, 15);                                                                  \
    } while (0)

static const dk_st_tensor *get_bias(dk_params *p, const char *weight_name, int64_t n)
{
    char name[512];
    snprintf(name, sizeof name, "%.*sbias", (int)(strlen(weight_name) - strlen("weight")),
             weight_name);
    return get(p, name, 1, &n);
}

void dk_params_linear(dk_params *p, dk_linear *target, int64_t out, int64_t in, bool bias,
                      const char *fmt, ...)
{
    FORMAT_NAME(name, ".weight");
    slot *s = add(p, SLOT_LINEAR, target, dk_xstrdup(name));
    const dk_st_tensor *found = dk_weights_find(p->weights, name);
    bool conv1x1 = found && found->ndim == 4 && found->shape[2] == 1 && found->shape[3] == 1;

    *target = (dk_linear){.in = in, .out = out};
    s->weight = conv1x1 ? get(p, name, DK_SHAPE(out, in, 1, 1)) : get(p, name, DK_SHAPE(out, in));
    if (bias)
        s->bias = get_bias(p, name, out);
}

void dk_params_patch(dk_params *p, dk_linear *target, int64_t out, int64_t cin, int patch,
                     const char *fmt, ...)
{
    FORMAT_NAME(name, ".weight");
    slot *s = add(p, SLOT_LINEAR, target, dk_xstrdup(name));

    *target = (dk_linear){.in = product(product(cin, patch), patch), .out = out};
    s->weight = get(p, name, DK_SHAPE(out, cin, patch, patch));
    s->bias = get_bias(p, name, out);
}

void dk_params_conv(dk_params *p, dk_conv *target, int64_t cout, int64_t cin, int k, int stride,
                    int pad_begin, int pad_end, const char *fmt, ...)
{
    FORMAT_NAME(name, ".weight");
    slot *s = add(p, SLOT_CONV, target, dk_xstrdup(name));

    *target = (dk_conv){.cin = cin,
                        .cout = cout,
                        .k = k,
                        .stride = stride,
                        .pad_begin = pad_begin,
                        .pad_end = pad_end};
    s->weight = get(p, name, DK_SHAPE(cout, cin, k, k));
    s->bias = get_bias(p, name, cout);
}

void dk_params_f32(dk_params *p, float **target, int ndim, const int64_t *shape, const char *fmt,
                   ...)
{
    FORMAT_NAME(name, "");
    slot *s = add(p, SLOT_F32, target, dk_xstrdup(name));
    *target = NULL;
    s->weight = get(p, name, ndim, shape);
}

void dk_params_table(dk_params *p, dk_tensor *target, int64_t rows, int64_t cols, const char *fmt,
                     ...)
{
    FORMAT_NAME(name, "");
    slot *s = add(p, SLOT_TABLE, target, dk_xstrdup(name));
    memset(target, 0, sizeof *target);
    s->weight = get(p, name, DK_SHAPE(rows, cols));
}

/* ---- Loading. */

static int check_dtype(const dk_params *p, const dk_st_tensor *t, dk_err *err)
{
    if (!t || dk_dtype_is_float(t->dtype))
        return 0;
    return dk_fail(err, DK_EFORMAT, "%s: tensor \"%s\": expected a float type, found %s",
                   dk_weights_file_of(p->weights, t), t->name, dk_dtype_name(t->dtype));
}

static float *copy_f32(dk_params *p, const dk_st_tensor *t, dk_err *err)
{
    float *x = dk_alloc((size_t)t->count * sizeof(float), t->name, err);
    if (!x)
        return NULL;
    dk_to_f32(t->dtype, t->data, x, (size_t)t->count);
    p->owned = dk_xrealloc(p->owned, (p->n_owned + 1) * sizeof *p->owned);
    p->owned[p->n_owned++] = x;
    return x;
}

static int load_linear(dk_params *p, slot *s, dk_err *err)
{
    dk_linear *l = s->target;

    l->name = s->name;
    l->w = dk_view((void *)s->weight->data, s->weight->dtype, DK_SHAPE(l->out, l->in));
    if (s->bias && !(l->bias = copy_f32(p, s->bias, err)))
        return err->code;
    if (p->ops->linear_prepare && p->ops->linear_prepare(l, err))
        return dk_wrap(err, "tensor \"%s\"", s->name);
    s->prepared = true;
    return 0;
}

static int load_conv(dk_params *p, slot *s, dk_err *err)
{
    dk_conv *c = s->target;

    c->name = s->name;
    c->w = dk_view_st(s->weight);
    if (s->bias && !(c->bias = copy_f32(p, s->bias, err)))
        return err->code;
    if (p->ops->conv_prepare && p->ops->conv_prepare(c, err))
        return dk_wrap(err, "tensor \"%s\"", s->name);
    s->prepared = true;
    return 0;
}

static int load_slot(dk_params *p, slot *s, dk_err *err)
{
    if (check_dtype(p, s->weight, err) || check_dtype(p, s->bias, err))
        return err->code;
    switch (s->kind) {
    case SLOT_LINEAR: return load_linear(p, s, err);
    case SLOT_CONV: return load_conv(p, s, err);
    case SLOT_F32:
        *(float **)s->target = copy_f32(p, s->weight, err);
        return *(float **)s->target ? 0 : err->code;
    case SLOT_TABLE: *(dk_tensor *)s->target = dk_view_st(s->weight); return 0;
    }
    return 0;
}

int dk_params_load(dk_params *p, const dk_ops *ops, dk_err *err)
{
    p->ops = ops;
    if (dk_bind_end(p->bind, err))
        return err->code;
    for (size_t i = 0; i < p->n; i++) {
        int rc = load_slot(p, &p->slots[i], err);
        if (rc)
            return rc;
    }
    return 0;
}

int64_t dk_params_count(const dk_params *p) { return p->count; }

size_t dk_params_bytes(const dk_params *p) { return p->bytes; }
