/* Losses of one type; included by loss.c once for each. Every loss is a sum over rows or elements
 * times n->p, the reciprocal of their number. */
#include "ops/mat/real.h"

typedef struct N(terms) {
    const REAL *x, *y;
    const int32_t *label;
    REAL *out;
    int64_t d;
    REAL scale;
    bool add;
} N(terms);

static N(terms) N(terms_of)(dk_tape *t, const dk_node *n)
{
    N(terms) k = {.x = VALUE(n->in[0]), .d = COLS_OF(n->in[0]), .scale = (REAL)n->p};
    if (n->in[1] != DK_NOVAR)
        k.y = VALUE(n->in[1]);
    k.label = n->with;
    return k;
}

/* ---- Cross-entropy. */

VM_INLINE REAL N(log_sum_exp)(const REAL *x, int64_t d)
{
    REAL top = N(dk_max_of)(x, d), sum = 0;
    for (int64_t j = 0; j < d; j++)
        sum += M(exp)(x[j] - top);
    return d > 0 ? top + M(log)(sum) : top;
}

static void N(cross_entropy_part)(const void *ctx, int64_t begin, int64_t end, REAL *sums)
{
    const N(terms) *k = ctx;
    *sums = 0;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * k->d;
        if (k->label[r] >= 0)
            *sums += k->scale * (N(log_sum_exp)(x, k->d) - x[k->label[r]]);
    }
}

static void N(cross_entropy_back)(const void *ctx, int64_t begin, int64_t end)
{
    const N(terms) *k = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * k->d;
        REAL *g = k->out + r * k->d;
        bool counts = k->label[r] >= 0;
        REAL lse = counts ? N(log_sum_exp)(x, k->d) : 0;
        for (int64_t j = 0; j < k->d; j++) {
            REAL v = counts ? k->scale * (M(exp)(x[j] - lse) - (j == k->label[r])) : 0;
            g[j] = k->add ? g[j] + v : v;
        }
    }
}

static void N(cross_entropy_forward)(dk_tape *t, const dk_node *n)
{
    N(terms) k = N(terms_of)(t, n);
    N(dk_reduce)(t, ROWS_OF(n->in[0]), k.d, 1, N(cross_entropy_part), &k, false, RESULT);
}

static void N(cross_entropy_backward)(dk_tape *t, const dk_node *n)
{
    N(terms) k = N(terms_of)(t, n);
    k.scale *= OUT_GRAD[0];
    k.out = dk_tape_into(t, n->in[0], &k.add);
    if (k.out)
        dk_pieces(ROWS_OF(n->in[0]), k.d, N(cross_entropy_back), &k);
}

/* ---- Sums over elements: the term and its two slopes, written over x and y. */

#define LOSS(name, term, slope_x, slope_y)                                                         \
    static void N(name##_part)(const void *ctx, int64_t begin, int64_t end, REAL *sums)            \
    {                                                                                              \
        const N(terms) *k = ctx;                                                                   \
        *sums = 0;                                                                                 \
        for (int64_t i = begin; i < end; i++) {                                                    \
            REAL x = k->x[i], y = k->y[i];                                                         \
            *sums += k->scale * (term);                                                            \
        }                                                                                          \
    }                                                                                              \
    static void N(name##_back_x)(const void *ctx, int64_t begin, int64_t end)                      \
    {                                                                                              \
        const N(terms) *k = ctx;                                                                   \
        for (int64_t i = begin; i < end; i++) {                                                    \
            REAL x = k->x[i], y = k->y[i];                                                         \
            k->out[i] = (k->add ? k->out[i] : 0) + k->scale * (slope_x);                           \
        }                                                                                          \
    }                                                                                              \
    static void N(name##_back_y)(const void *ctx, int64_t begin, int64_t end)                      \
    {                                                                                              \
        const N(terms) *k = ctx;                                                                   \
        for (int64_t i = begin; i < end; i++) {                                                    \
            REAL x = k->x[i], y = k->y[i];                                                         \
            (void)x, (void)y;                                                                      \
            k->out[i] = (k->add ? k->out[i] : 0) + k->scale * (slope_y);                           \
        }                                                                                          \
    }                                                                                              \
    static void N(name##_forward)(dk_tape *t, const dk_node *n)                                    \
    {                                                                                              \
        N(terms) k = N(terms_of)(t, n);                                                            \
        N(dk_reduce)(t, dk_count_of(t, n->in[0]), 1, 1, N(name##_part), &k, false, RESULT);        \
    }                                                                                              \
    static void N(name##_backward)(dk_tape *t, const dk_node *n)                                   \
    {                                                                                              \
        N(terms) k = N(terms_of)(t, n);                                                            \
        k.scale *= OUT_GRAD[0];                                                                    \
        k.out = dk_tape_into(t, n->in[0], &k.add);                                                 \
        if (k.out)                                                                                 \
            dk_pieces(dk_count_of(t, n->in[0]), 1, N(name##_back_x), &k);                          \
        k.out = dk_tape_into(t, n->in[1], &k.add);                                                 \
        if (k.out)                                                                                 \
            dk_pieces(dk_count_of(t, n->in[0]), 1, N(name##_back_y), &k);                          \
    }

/* -y log s(x) - (1 - y) log(1 - s(x)) with s the logistic function, for any size of x. */
VM_INLINE REAL N(bce_term)(REAL x, REAL y)
{
    return (x > 0 ? x : 0) - x * y + M(log1p)(M(exp)(-M(fabs)(x)));
}

VM_INLINE REAL N(bce_slope)(REAL x, REAL y)
{
    REAL e = M(exp)(-M(fabs)(x));
    return (x >= 0 ? 1 / (1 + e) : e / (1 + e)) - y;
}

/* e^x (x - y + c); what has probability 0 adds nothing, whatever its logarithms are. */
VM_INLINE REAL N(kl_term)(REAL x, REAL y, REAL c)
{
    REAL p = M(exp)(x);
    return p > 0 || p != p ? p * (x - y + c) : 0;
}

LOSS(mse, (x - y) * (x - y), 2 * (x - y), 2 * (y - x))
LOSS(bce, N(bce_term)(x, y), N(bce_slope)(x, y), -x)
LOSS(kl, N(kl_term)(x, y, 0), N(kl_term)(x, y, 1), -M(exp)(x))
#undef LOSS
