/* Optimisers with PyTorch's formulas (torch.optim SGD, Adam, AdamW; clip_grad_norm_), schedules,
 * and their state in safetensors files. */
#include "grad/optim.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ops/cpu/cpu.h"
#include "ops/mat/pieces.h"

struct dk_optim {
    dk_optim_config config;
    dk_dtype real;
    size_t size; /* of an element */
    dk_param *params;
    int n;
    void **m, **v; /* per parameter; NULL where there is no such state */
    int64_t steps;
};

#define DK_REAL 32
#include "grad/optim_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/optim_real.h"

dk_optim_config dk_optim_defaults(dk_opt_algo algo)
{
    return (dk_optim_config){
        .algo = algo,
        .lr = algo == DK_OPTIM_SGD ? 1e-2 : 1e-3,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .eps = 1e-8,
        .weight_decay = algo == DK_OPTIM_ADAMW ? 1e-2 : 0,
        .schedule = DK_LR_CONSTANT,
        .gamma = 0.1,
    };
}

static bool in_range(double v, double low, double high)
{
    return v >= low && v < high; /* false for NaN */
}

static int check_config(const dk_optim_config *c, dk_err *err)
{
    struct {
        const char *name;
        double value, high;
    } fields[] = {
        {"learning rate", c->lr, INFINITY},
        {"momentum", c->momentum, INFINITY},
        {"beta1", c->beta1, 1},
        {"beta2", c->beta2, 1},
        {"eps", c->eps, INFINITY},
        {"weight decay", c->weight_decay, INFINITY},
        {"gradient norm to clip at", c->clip_norm, INFINITY},
        {"least learning rate", c->lr_min, INFINITY},
        {"gamma", c->gamma, INFINITY},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
        if (!in_range(fields[i].value, 0, fields[i].high))
            return dk_fail(err, DK_EUSAGE, "optimiser: %s is %g, expected 0 or more and below %g",
                           fields[i].name, fields[i].value, fields[i].high);
    if (c->warmup < 0)
        return dk_fail(err, DK_EUSAGE, "optimiser: warm-up of %" PRId64 " steps", c->warmup);
    bool spans = c->schedule == DK_LR_COSINE || c->schedule == DK_LR_LINEAR;
    if (spans && c->total_steps <= c->warmup)
        return dk_fail(err, DK_EUSAGE,
                       "optimiser: the schedule has %" PRId64 " steps, expected more than the "
                       "warm-up's %" PRId64,
                       c->total_steps, c->warmup);
    if (c->schedule == DK_LR_STEP && c->step_size < 1)
        return dk_fail(err, DK_EUSAGE, "optimiser: step size of the schedule is %" PRId64,
                       c->step_size);
    return 0;
}

static size_t bytes_of(const dk_optim *o, int i)
{
    return (size_t)o->params[i].rows * (size_t)o->params[i].cols * o->size;
}

static void *zeros(const dk_optim *o, int i, dk_err *err)
{
    void *p = dk_alloc(bytes_of(o, i), "the optimiser's state", err);
    if (p)
        memset(p, 0, bytes_of(o, i));
    return p;
}

dk_optim *dk_optim_new(const dk_optim_config *c, dk_dtype real, dk_param *params, int n,
                       dk_err *err)
{
    if (check_config(c, err))
        return NULL;
    dk_optim *o = dk_xcalloc(1, sizeof *o);
    o->config = *c;
    o->real = real;
    o->size = real == DK_F64 ? sizeof(double) : sizeof(float);
    o->params = params;
    o->n = n;
    o->m = dk_xcalloc((size_t)n, sizeof *o->m);
    o->v = dk_xcalloc((size_t)n, sizeof *o->v);
    bool adam = c->algo != DK_OPTIM_SGD;
    for (int i = 0; i < n; i++) {
        if (!params[i].grad)
            continue;
        if (((adam || c->momentum > 0) && !(o->m[i] = zeros(o, i, err))) ||
            (adam && !(o->v[i] = zeros(o, i, err)))) {
            dk_optim_free(o);
            return NULL;
        }
    }
    return o;
}

void dk_optim_free(dk_optim *o)
{
    if (!o)
        return;
    for (int i = 0; i < o->n; i++) {
        dk_free_aligned(o->m[i]);
        dk_free_aligned(o->v[i]);
    }
    free(o->m);
    free(o->v);
    free(o);
}

void dk_optim_zero(dk_optim *o)
{
    for (int i = 0; i < o->n; i++)
        if (o->params[i].grad)
            memset(o->params[i].grad, 0, bytes_of(o, i));
}

double dk_optim_lr(const dk_optim *o)
{
    const dk_optim_config *c = &o->config;
    const double pi = 3.14159265358979323846;
    if (o->steps < c->warmup)
        return c->lr * (double)o->steps / (double)c->warmup;
    int64_t at = o->steps - c->warmup, span = c->total_steps - c->warmup;
    double done = at < span ? (double)at / (double)span : 1;
    switch (c->schedule) {
    case DK_LR_CONSTANT:
        return c->lr;
    case DK_LR_COSINE:
        return c->lr_min + (c->lr - c->lr_min) * 0.5 * (1 + cos(pi * done));
    case DK_LR_STEP:
        return c->lr * pow(c->gamma, (double)(at / c->step_size));
    case DK_LR_LINEAR:
        return c->lr + (c->lr_min - c->lr) * done;
    }
    return c->lr;
}

/* What gradients are multiplied by so that their joint norm is at most clip_norm. */
static double clip_factor(const dk_optim *o)
{
    double sum = 0;
    if (!(o->config.clip_norm > 0))
        return 1;
    for (int i = 0; i < o->n; i++)
        if (o->params[i].grad)
            sum += o->real == DK_F64 ? squares_f64(&o->params[i]) : squares_f32(&o->params[i]);
    double factor = o->config.clip_norm / (sqrt(sum) + 1e-6);
    return factor < 1 ? factor : 1;
}

void dk_optim_step(dk_optim *o)
{
    double lr = dk_optim_lr(o), clip = clip_factor(o);
    for (int i = 0; i < o->n; i++) {
        if (!o->params[i].grad)
            continue;
        if (o->real == DK_F64)
            update_param_f64(o, i, lr, clip);
        else
            update_param_f32(o, i, lr, clip);
    }
    o->steps++;
}

int64_t dk_optim_steps(const dk_optim *o)
{
    return o->steps;
}

/* ---- State. */

void dk_optim_save(const dk_optim *o, dk_st_writer *w)
{
    char text[32];
    snprintf(text, sizeof text, "%" PRId64, o->steps);
    dk_st_writer_meta(w, "optim.step", text);
    for (int i = 0; i < o->n; i++)
        for (int second = 0; second < 2; second++) {
            const dk_param *p = &o->params[i];
            const void *state = second ? o->v[i] : o->m[i];
            if (!state)
                continue;
            char *name = dk_xasprintf("optim.%c.%s", second ? 'v' : 'm', p->name);
            dk_st_writer_add(w, name, o->real, 2, (int64_t[]){p->rows, p->cols}, state);
            free(name);
        }
}

static int load_tensor(const dk_optim *o, int i, char which, void *to, const dk_st *st, dk_err *err)
{
    const dk_param *p = &o->params[i];
    char *name = dk_xasprintf("optim.%c.%s", which, p->name), found[160], wanted[160];
    const dk_st_tensor *s = dk_st_find(st, name);
    int rc = 0;
    if (!s || !s->data)
        rc = dk_fail(err, DK_EFORMAT, "%s: tensor \"%s\" is missing", dk_st_path(st), name);
    else if (s->dtype != o->real || s->ndim != 2 || s->shape[0] != p->rows ||
             s->shape[1] != p->cols)
        rc = dk_fail(err, DK_EFORMAT, "%s: tensor \"%s\": expected %s %s, found %s %s",
                     dk_st_path(st), name, dk_dtype_name(o->real),
                     dk_shape_str(2, (int64_t[]){p->rows, p->cols}, wanted, sizeof wanted),
                     dk_dtype_name(s->dtype), dk_shape_str(s->ndim, s->shape, found, sizeof found));
    else if (to && s->bytes)
        memcpy(to, s->data, s->bytes);
    free(name);
    return rc;
}

static int load_steps(const dk_st *st, int64_t *steps, dk_err *err)
{
    const char *text = dk_st_meta(st, "optim.step");
    if (!text)
        return dk_fail(err, DK_EFORMAT, "%s: no \"optim.step\" in the metadata", dk_st_path(st));
    char *end;
    errno = 0;
    long long v = strtoll(text, &end, 10);
    if (errno || *text < '0' || *text > '9' || *end || v > INT64_MAX / 2)
        return dk_fail(err, DK_EFORMAT,
                       "%s: metadata \"optim.step\": expected a number of steps, found \"%s\"",
                       dk_st_path(st), text);
    *steps = v;
    return 0;
}

/* Everything is checked before anything is changed. */
int dk_optim_load(dk_optim *o, const dk_st *st, dk_err *err)
{
    int64_t steps = 0;
    int rc = load_steps(st, &steps, err);
    for (int copy = 0; copy < 2; copy++)
        for (int i = 0; i < o->n && rc == 0; i++) {
            if (o->m[i])
                rc = load_tensor(o, i, 'm', copy ? o->m[i] : NULL, st, err);
            if (o->v[i] && rc == 0)
                rc = load_tensor(o, i, 'v', copy ? o->v[i] : NULL, st, err);
        }
    if (rc == 0)
        o->steps = steps;
    return rc;
}
