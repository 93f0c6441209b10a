/* Functions of single elements and dropout, of one type; included by op_apply.c once for each. */
#include "ops/mat/real.h"

/* y = f(x, p); g (+)= dy f'(x, y, p). */
typedef struct N(elements) {
    const REAL *x, *y, *dy;
    REAL *out;
    double p;
    bool add;
    uint64_t seed;
} N(elements);

VM_INLINE REAL N(sigmoid)(REAL x)
{
    REAL e = M(exp)(-M(fabs)(x));
    return x >= 0 ? 1 / (1 + e) : e / (1 + e);
}

VM_INLINE REAL N(normal_cdf)(REAL x)
{
    return (REAL)0.5 * (1 + M(erf)(x * (REAL)0.70710678118654752));
}

VM_INLINE REAL N(normal_pdf)(REAL x)
{
    return M(exp)((REAL)-0.5 * x * x) * (REAL)0.39894228040143268;
}

/* A function and its slope, written over x, y (its value) and p. */
#define FUNCTION(name, value, slope)                                                               \
    CPU_CLONES static void N(name)(const void *ctx, int64_t begin, int64_t end)                    \
    {                                                                                              \
        const N(elements) *k = ctx;                                                                \
        const REAL p = (REAL)k->p;                                                                 \
        (void)p;                                                                                   \
        CPU_SIMD                                                                                   \
        for (int64_t i = begin; i < end; i++) {                                                    \
            REAL x = k->x[i];                                                                      \
            k->out[i] = (value);                                                                   \
        }                                                                                          \
    }                                                                                              \
    CPU_CLONES static void N(name##_slope)(const void *ctx, int64_t begin, int64_t end)            \
    {                                                                                              \
        const N(elements) *k = ctx;                                                                \
        const REAL p = (REAL)k->p, zero = 0;                                                       \
        (void)p;                                                                                   \
        CPU_SIMD                                                                                   \
        for (int64_t i = begin; i < end; i++) {                                                    \
            REAL x = k->x[i], y = k->y[i];                                                         \
            (void)x, (void)y;                                                                      \
            k->out[i] = (k->add ? k->out[i] : zero) + k->dy[i] * (slope);                          \
        }                                                                                          \
    }

FUNCTION(relu, x < 0 ? 0 : x, x > 0 ? (REAL)1 : (REAL)0)
FUNCTION(leaky_relu, x > 0 ? x : p * x, x > 0 ? 1 : p)
FUNCTION(elu, x > 0 ? x : M(expm1)(x), x > 0 ? 1 : y + 1)
FUNCTION(gelu, x * N(normal_cdf)(x), N(normal_cdf)(x) + x * N(normal_pdf)(x))
FUNCTION(logistic, N(sigmoid)(x), y * (1 - y))
FUNCTION(tanh_, M(tanh)(x), 1 - y * y)
FUNCTION(exp_, M(exp)(x), y)
FUNCTION(log_, M(log)(x + p), 1 / (x + p))
FUNCTION(sqrt_, M(sqrt)(x), (REAL)0.5 / y)
FUNCTION(square, x * x, 2 * x)
FUNCTION(softplus, (x > 0 ? x : 0) + M(log1p)(M(exp)(-M(fabs)(x))), N(sigmoid)(x))
FUNCTION(silu, x * N(sigmoid)(x), N(sigmoid)(x) * (1 + x * (1 - N(sigmoid)(x))))
FUNCTION(abs_, M(fabs)(x), (REAL)((x > 0) - (x < 0)))
#undef FUNCTION

/* In the order of dk_fn. */
static const struct {
    dk_piece_fn *value, *slope;
} N(functions)[] = {
    {N(relu), N(relu_slope)},         {N(leaky_relu), N(leaky_relu_slope)},
    {N(elu), N(elu_slope)},           {N(gelu), N(gelu_slope)},
    {N(logistic), N(logistic_slope)}, {N(tanh_), N(tanh__slope)},
    {N(exp_), N(exp__slope)},         {N(log_), N(log__slope)},
    {N(sqrt_), N(sqrt__slope)},       {N(square), N(square_slope)},
    {N(softplus), N(softplus_slope)}, {N(silu), N(silu_slope)},
    {N(abs_), N(abs__slope)},
};

static void N(apply_forward)(dk_tape *t, const dk_node *n)
{
    N(elements) k = {.x = VALUE(n->in[0]), .out = RESULT, .p = n->p};
    dk_pieces(dk_count_of(t, n->out), 1, N(functions)[n->kind].value, &k);
}

static void N(apply_backward)(dk_tape *t, const dk_node *n)
{
    N(elements) k = {.x = VALUE(n->in[0]), .y = RESULT, .dy = OUT_GRAD, .p = n->p};
    k.out = dk_tape_into(t, n->in[0], &k.add);
    if (k.out)
        dk_pieces(dk_count_of(t, n->out), 1, N(functions)[n->kind].slope, &k);
}

/* out (+)= x / (1 - p), or zero where element i is dropped. */
static void N(drop)(const void *ctx, int64_t begin, int64_t end)
{
    const N(elements) *k = ctx;
    const REAL scale = k->p < 1 ? (REAL)(1 / (1 - k->p)) : 0;
    for (int64_t i = begin; i < end; i++) {
        REAL v = kept(k->seed, i, k->p) ? k->x[i] * scale : 0;
        k->out[i] = k->add ? k->out[i] + v : v;
    }
}

static void N(dropout_forward)(dk_tape *t, const dk_node *n)
{
    N(elements) k = {
        .x = VALUE(n->in[0]), .out = RESULT, .p = n->p, .seed = (uint64_t)n->i};
    dk_pieces(dk_count_of(t, n->out), 1, N(drop), &k);
}

static void N(dropout_backward)(dk_tape *t, const dk_node *n)
{
    N(elements) k = {.x = OUT_GRAD, .p = n->p, .seed = (uint64_t)n->i};
    k.out = dk_tape_into(t, n->in[0], &k.add);
    if (k.out)
        dk_pieces(dk_count_of(t, n->out), 1, N(drop), &k);
}
