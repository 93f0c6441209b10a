/* Layer norm and batch norm of one type; included by op_norm.c once for each.
 *
 * Both are h = (x - mean) r with r = 1 / sqrt(var + eps), y = h gamma + beta; mean and r belong to
 * rows or to columns. With s = gamma dy, and means over what the statistics went over,
 *     dx = r (s - mean(s) - h mean(s h)),    dgamma = sum dy h,    dbeta = sum dy
 * and dx = r s where the statistics are constants. */
#include "ops/mat/real.h"

typedef struct N(norm) {
    const REAL *x, *gamma, *beta, *dy;
    const REAL *sums; /* batch norm: column sums of dy and of dy h */
    REAL *mean, *rstd, *out;
    int64_t rows, d;
    REAL eps;
    bool add, by_rows, train;
} N(norm);

static N(norm) N(norm_of)(dk_tape *t, const dk_node *n)
{
    N(norm) k = {.x = VALUE(n->in[0]), .rows = ROWS_OF(n->out), .d = COLS_OF(n->out)};
    if (n->in[1] != DK_NOVAR)
        k.gamma = VALUE(n->in[1]);
    if (n->in[2] != DK_NOVAR)
        k.beta = VALUE(n->in[2]);
    int64_t statistics = n->op == &layernorm_op ? k.rows : k.d;
    k.by_rows = n->op == &layernorm_op;
    k.eps = (REAL)n->p;
    k.train = n->kind;
    k.mean = n->kept;
    k.rstd = k.mean + statistics;
    return k;
}

/* ---- Gradients of gamma and beta. */

/* Sums over rows of dy (first d) and of dy h (last d). */
CPU_CLONES static void N(scale_sums)(const void *ctx, int64_t begin, int64_t end, REAL *sums)
{
    const N(norm) *k = ctx;
    int64_t d = k->d;
    for (int64_t j = 0; j < 2 * d; j++)
        sums[j] = 0;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * d, *dy = k->dy + r * d;
        if (k->by_rows) {
            REAL mean = k->mean[r], rstd = k->rstd[r];
            CPU_SIMD
            for (int64_t j = 0; j < d; j++) {
                sums[j] += dy[j];
                sums[d + j] += dy[j] * ((x[j] - mean) * rstd);
            }
        } else {
            CPU_SIMD
            for (int64_t j = 0; j < d; j++) {
                sums[j] += dy[j];
                sums[d + j] += dy[j] * ((x[j] - k->mean[j]) * k->rstd[j]);
            }
        }
    }
}

static void N(give_sums)(dk_tape *t, const dk_node *n, const REAL *sums, int64_t d)
{
    bool add;
    REAL *g = dk_tape_into(t, n->in[1], &add);
    if (g)
        N(dk_copy)(d, sums + d, add, g);
    g = dk_tape_into(t, n->in[2], &add);
    if (g)
        N(dk_copy)(d, sums, add, g);
}

/* ---- Layer norm. */

CPU_CLONES static void N(layernorm_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(norm) *k = ctx;
    int64_t d = k->d;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * d;
        REAL *y = k->out + r * d, mean = N(dk_sum_of)(x, d) / (REAL)d;
        for (int64_t j = 0; j < d; j++)
            y[j] = x[j] - mean;
        REAL rstd = 1 / M(sqrt)(N(dk_dot_of)(y, y, d) / (REAL)d + k->eps);
        for (int64_t j = 0; j < d; j++)
            y[j] = y[j] * rstd * (k->gamma ? k->gamma[j] : 1) + (k->beta ? k->beta[j] : 0);
        k->mean[r] = mean;
        k->rstd[r] = rstd;
    }
}

CPU_CLONES static void N(layernorm_rows_back)(const void *ctx, int64_t begin, int64_t end)
{
    const N(norm) *k = ctx;
    int64_t d = k->d;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * d, *dy = k->dy + r * d;
        REAL *g = k->out + r * d, mean = k->mean[r], rstd = k->rstd[r], sum = 0, dot = 0;
        for (int64_t j = 0; j < d; j++) {
            REAL s = k->gamma ? k->gamma[j] * dy[j] : dy[j];
            sum += s;
            dot += s * ((x[j] - mean) * rstd);
        }
        sum /= (REAL)d;
        dot /= (REAL)d;
        for (int64_t j = 0; j < d; j++) {
            REAL s = k->gamma ? k->gamma[j] * dy[j] : dy[j];
            g[j] = (k->add ? g[j] : 0) + rstd * (s - sum - (x[j] - mean) * rstd * dot);
        }
    }
}

static void N(layernorm_forward)(dk_tape *t, const dk_node *n)
{
    N(norm) k = N(norm_of)(t, n);
    k.out = RESULT;
    dk_pieces(k.rows, k.d, N(layernorm_rows), &k);
}

static void N(layernorm_backward)(dk_tape *t, const dk_node *n)
{
    N(norm) k = N(norm_of)(t, n);
    k.dy = OUT_GRAD;
    k.out = dk_tape_into(t, n->in[0], &k.add);
    if (k.out)
        dk_pieces(k.rows, k.d, N(layernorm_rows_back), &k);
    if (!dk_tape_wants(t, n->in[1]) && !dk_tape_wants(t, n->in[2]))
        return;
    REAL *sums = dk_tape_keep_grad(t, 2 * k.d);
    if (!sums)
        return;
    N(dk_reduce)(t, k.rows, k.d, 2 * k.d, N(scale_sums), &k, false, sums);
    N(give_sums)(t, n, sums, k.d);
}

/* ---- Batch norm. */

/* Sums over rows of (x - mean)^2. */
CPU_CLONES static void N(square_sums)(const void *ctx, int64_t begin, int64_t end, REAL *sums)
{
    const N(norm) *k = ctx;
    for (int64_t j = 0; j < k->d; j++)
        sums[j] = 0;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * k->d;
        CPU_SIMD
        for (int64_t j = 0; j < k->d; j++)
            sums[j] += (x[j] - k->mean[j]) * (x[j] - k->mean[j]);
    }
}

/* The statistics of this batch; the running ones move towards them. */
static void N(batch_statistics)(dk_tape *t, const N(norm) *k, const dk_bn *bn)
{
    REAL *run_mean = bn->running_mean, *run_var = bn->running_var, *var = k->rstd;
    double rows = (double)k->rows;
    N(dk_sum_to)(t, DK_ONE_ROW, k->rows, k->d, k->x, 1, false, k->mean);
    for (int64_t j = 0; j < k->d; j++)
        k->mean[j] = (REAL)((double)k->mean[j] / rows);
    N(dk_reduce)(t, k->rows, k->d, k->d, N(square_sums), k, false, var);
    if (!dk_tape_ready(t))
        return;
    REAL m = (REAL)bn->momentum;
    for (int64_t j = 0; j < k->d; j++) {
        REAL unbiased = (REAL)((double)var[j] / (k->rows > 1 ? rows - 1 : 1));
        run_mean[j] = (1 - m) * run_mean[j] + m * k->mean[j];
        run_var[j] = (1 - m) * run_var[j] + m * unbiased;
        k->rstd[j] = 1 / M(sqrt)((REAL)((double)var[j] / rows) + k->eps);
    }
}

CPU_CLONES static void N(batchnorm_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(norm) *k = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * k->d;
        REAL *y = k->out + r * k->d;
        CPU_SIMD
        for (int64_t j = 0; j < k->d; j++)
            y[j] = (x[j] - k->mean[j]) * k->rstd[j];
        if (k->gamma) {
            CPU_SIMD
            for (int64_t j = 0; j < k->d; j++)
                y[j] *= k->gamma[j];
        }
        if (k->beta) {
            CPU_SIMD
            for (int64_t j = 0; j < k->d; j++)
                y[j] += k->beta[j];
        }
    }
}

CPU_CLONES static void N(batchnorm_rows_back)(const void *ctx, int64_t begin, int64_t end)
{
    const N(norm) *k = ctx;
    int64_t d = k->d;
    REAL share = k->train ? 1 / (REAL)k->rows : 0;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = k->x + r * d, *dy = k->dy + r * d;
        REAL *g = k->out + r * d;
        for (int64_t j = 0; j < d; j++) {
            REAL h = (x[j] - k->mean[j]) * k->rstd[j], by = k->rstd[j];
            REAL s = dy[j];
            if (k->train)
                s -= share * (k->sums[j] + h * k->sums[d + j]);
            if (k->gamma)
                by *= k->gamma[j];
            g[j] = (k->add ? g[j] : 0) + by * s;
        }
    }
}

static void N(batchnorm_forward)(dk_tape *t, const dk_node *n)
{
    const dk_bn *bn = n->with;
    N(norm) k = N(norm_of)(t, n);
    k.out = RESULT;
    if (k.train && k.rows > 0) {
        N(batch_statistics)(t, &k, bn);
    } else {
        const REAL *mean = bn->running_mean, *var = bn->running_var;
        for (int64_t j = 0; j < k.d; j++) {
            k.mean[j] = mean[j];
            k.rstd[j] = 1 / M(sqrt)(var[j] + k.eps);
        }
    }
    dk_pieces(k.rows, k.d, N(batchnorm_rows), &k);
}

static void N(batchnorm_backward)(dk_tape *t, const dk_node *n)
{
    N(norm) k = N(norm_of)(t, n);
    k.dy = OUT_GRAD;
    if (k.train || dk_tape_wants(t, n->in[1]) || dk_tape_wants(t, n->in[2])) {
        REAL *sums = dk_tape_keep_grad(t, 2 * k.d);
        if (!sums)
            return;
        N(dk_reduce)(t, k.rows, k.d, 2 * k.d, N(scale_sums), &k, false, sums);
        N(give_sums)(t, n, sums, k.d);
        k.sums = sums;
    }
    k.out = dk_tape_into(t, n->in[0], &k.add);
    if (k.out)
        dk_pieces(k.rows, k.d, N(batchnorm_rows_back), &k);
}
