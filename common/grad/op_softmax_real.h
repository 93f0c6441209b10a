/* Softmax, its logarithm, and rows of length one, of one type; included by op_softmax.c. */
#include "ops/mat/real.h"

typedef struct N(rows) {
    const REAL *x, *y, *dy;
    REAL *out;
    int64_t d;
    REAL eps;
    bool add;
} N(rows);

CPU_CLONES static void N(softmax_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(rows) *k = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * k->d;
        REAL *y = k->out + r * k->d, top = N(dk_max_of)(x, k->d);
        for (int64_t j = 0; j < k->d; j++)
            y[j] = M(exp)(x[j] - top);
        REAL sum = N(dk_sum_of)(y, k->d);
        for (int64_t j = 0; j < k->d; j++)
            y[j] /= sum;
    }
}

/* dx = y (dy - y . dy) */
CPU_CLONES static void N(softmax_rows_back)(const void *ctx, int64_t begin, int64_t end)
{
    const N(rows) *k = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *y = k->y + r * k->d, *dy = k->dy + r * k->d;
        REAL *g = k->out + r * k->d, dot = N(dk_dot_of)(y, dy, k->d);
        for (int64_t j = 0; j < k->d; j++)
            g[j] = (k->add ? g[j] : 0) + y[j] * (dy[j] - dot);
    }
}

CPU_CLONES static void N(log_softmax_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(rows) *k = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * k->d;
        REAL *y = k->out + r * k->d, top = N(dk_max_of)(x, k->d);
        for (int64_t j = 0; j < k->d; j++)
            y[j] = M(exp)(x[j] - top);
        REAL lse = M(log)(N(dk_sum_of)(y, k->d));
        for (int64_t j = 0; j < k->d; j++)
            y[j] = x[j] - top - lse;
    }
}

/* dx = dy - e^y sum(dy) */
CPU_CLONES static void N(log_softmax_rows_back)(const void *ctx, int64_t begin, int64_t end)
{
    const N(rows) *k = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *y = k->y + r * k->d, *dy = k->dy + r * k->d;
        REAL *g = k->out + r * k->d, sum = N(dk_sum_of)(dy, k->d);
        for (int64_t j = 0; j < k->d; j++)
            g[j] = (k->add ? g[j] : 0) + (dy[j] - M(exp)(y[j]) * sum);
    }
}

CPU_CLONES static void N(l2norm_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(rows) *k = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * k->d;
        REAL *y = k->out + r * k->d, norm = M(sqrt)(N(dk_dot_of)(x, x, k->d));
        REAL by = norm < k->eps ? k->eps : norm;
        for (int64_t j = 0; j < k->d; j++)
            y[j] = x[j] / by;
    }
}

/* dx = (dy - y (y . dy)) / ||x||; dy / eps for rows shorter than eps. */
CPU_CLONES static void N(l2norm_rows_back)(const void *ctx, int64_t begin, int64_t end)
{
    const N(rows) *k = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * k->d, *y = k->y + r * k->d, *dy = k->dy + r * k->d;
        REAL *g = k->out + r * k->d, norm = M(sqrt)(N(dk_dot_of)(x, x, k->d));
        REAL dot = norm < k->eps ? 0 : N(dk_dot_of)(y, dy, k->d);
        REAL by = norm < k->eps ? k->eps : norm;
        for (int64_t j = 0; j < k->d; j++)
            g[j] = (k->add ? g[j] : 0) + (dy[j] - y[j] * dot) / by;
    }
}

#define BY_ROWS(name)                                                                              \
    static void N(name##_forward)(dk_tape *t, const dk_node *n)                                    \
    {                                                                                              \
        int64_t d = COLS_OF(n->out);                                                               \
        N(rows) k = {.x = VALUE(n->in[0]), .out = RESULT, .d = d, .eps = (REAL)n->p};              \
        dk_pieces(ROWS_OF(n->out), d, N(name##_rows), &k);                                         \
    }                                                                                              \
    static void N(name##_backward)(dk_tape *t, const dk_node *n)                                   \
    {                                                                                              \
        int64_t d = COLS_OF(n->out);                                                               \
        N(rows) k = {.x = VALUE(n->in[0]), .y = RESULT, .dy = OUT_GRAD, .d = d};                   \
        k.eps = (REAL)n->p;                                                                        \
        k.out = dk_tape_into(t, n->in[0], &k.add);                                                 \
        if (k.out)                                                                                 \
            dk_pieces(ROWS_OF(n->out), d, N(name##_rows_back), &k);                                \
    }
BY_ROWS(softmax)
BY_ROWS(log_softmax)
BY_ROWS(l2norm)
#undef BY_ROWS
