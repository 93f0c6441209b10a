/* One step of one parameter, of one type; included by optim.c once for each. Elements do not depend
 * on each other, so pieces may go to any thread. */
#include "ops/mat/real.h"

typedef struct N(update) {
    REAL *value, *m, *v;
    const REAL *grad;
    REAL clip, lr, decay, momentum; /* decay: added to the gradient */
    REAL keep;                      /* what decoupled decay leaves of the value */
    REAL beta1, beta2, eps;
    REAL step, root; /* lr / (1 - beta1^t), sqrt(1 - beta2^t) */
} N(update);

CPU_CLONES static void N(sgd_run)(const void *ctx, int64_t begin, int64_t end)
{
    const N(update) *u = ctx;
    CPU_SIMD
    for (int64_t i = begin; i < end; i++)
        u->value[i] -= u->lr * (u->clip * u->grad[i] + u->decay * u->value[i]);
}

CPU_CLONES static void N(momentum_run)(const void *ctx, int64_t begin, int64_t end)
{
    const N(update) *u = ctx;
    CPU_SIMD
    for (int64_t i = begin; i < end; i++) {
        u->m[i] = u->momentum * u->m[i] + (u->clip * u->grad[i] + u->decay * u->value[i]);
        u->value[i] -= u->lr * u->m[i];
    }
}

CPU_CLONES static void N(adam_run)(const void *ctx, int64_t begin, int64_t end)
{
    const N(update) *u = ctx;
    CPU_SIMD
    for (int64_t i = begin; i < end; i++) {
        REAL w = u->keep * u->value[i], g = u->clip * u->grad[i] + u->decay * w;
        u->m[i] += (1 - u->beta1) * (g - u->m[i]);
        u->v[i] = u->beta2 * u->v[i] + (1 - u->beta2) * g * g;
        u->value[i] = w - u->step * u->m[i] / (M(sqrt)(u->v[i]) / u->root + u->eps);
    }
}

static void N(update_param)(const dk_optim *o, int i, double lr, double clip)
{
    const dk_optim_config *c = &o->config;
    const dk_param *p = &o->params[i];
    bool decoupled = c->algo == DK_OPTIM_ADAMW;
    double t = (double)o->steps + 1;
    N(update) u = {
        .value = p->value,
        .grad = p->grad,
        .m = o->m[i],
        .v = o->v[i],
        .clip = (REAL)clip,
        .lr = (REAL)lr,
        .decay = (REAL)(decoupled ? 0 : c->weight_decay),
        .keep = (REAL)(decoupled ? 1 - lr * c->weight_decay : 1),
        .momentum = (REAL)c->momentum,
        .beta1 = (REAL)c->beta1,
        .beta2 = (REAL)c->beta2,
        .eps = (REAL)c->eps,
        .step = (REAL)(lr / (1 - pow(c->beta1, t))),
        .root = (REAL)sqrt(1 - pow(c->beta2, t)),
    };
    dk_piece_fn *run = c->algo != DK_OPTIM_SGD ? N(adam_run) : u.m ? N(momentum_run) : N(sgd_run);
    dk_pieces(p->rows * p->cols, 1, run, &u);
}

/* Squares of gradients, added in f64 in order. */
static double N(squares)(const dk_param *p)
{
    const REAL *g = p->grad;
    double lane[8] = {0}, sum = 0;
    int64_t n = p->rows * p->cols;
    for (int64_t i = 0; i < n; i++)
        lane[i % 8] += (double)g[i] * (double)g[i];
    for (int l = 0; l < 8; l++)
        sum += lane[l];
    return sum;
}
