/* Normalisations. Means and variances are f64 sums over fixed lanes and fixed blocks of rows; a
 * row (layernorm, rmsnorm) or a block (groupnorm) belongs to one thread. */
#include "ops/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* sum of (x - centre)^power over a row, power 1 or 2. */
CPU_CLONES static double row_sum(const float *x, int64_t n, double centre, int power)
{
    double lanes[CPU_LANES] = {0};
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES) {
        CPU_SIMD
        for (int j = 0; j < CPU_LANES; j++) {
            double v = (double)x[i + j] - centre;
            lanes[j] += power == 2 ? v * v : v;
        }
    }
    for (int j = 0; i < n; i++, j++) {
        double v = (double)x[i] - centre;
        lanes[j] += power == 2 ? v * v : v;
    }
    double sum = 0;
    for (int j = 0; j < CPU_LANES; j++)
        sum += lanes[j];
    return sum;
}

/* y = (x - mean) * rstd, then * gamma + beta, then * (1 + scale) + shift. The difference is taken
 * in f64: a mean rounded to f32 would show in rows that vary little around a large value. */
CPU_CLONES static void normalise(const float *x, int64_t n, double mean, double rstd,
                                 const float *gamma, const float *beta, const float *scale,
                                 const float *shift, float *y)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        y[i] = (float)(((double)x[i] - mean) * rstd);
    if (gamma) {
        CPU_SIMD
        for (int64_t i = 0; i < n; i++)
            y[i] *= gamma[i];
    }
    if (beta) {
        CPU_SIMD
        for (int64_t i = 0; i < n; i++)
            y[i] += beta[i];
    }
    if (scale) {
        CPU_SIMD
        for (int64_t i = 0; i < n; i++)
            y[i] = y[i] * (1.0f + scale[i]) + shift[i];
    }
}

void dk_cpu_layernorm(const dk_tensor *x, const float *gamma, const float *beta,
                      const dk_tensor *scale, const dk_tensor *shift, float eps, dk_tensor *y)
{
    int64_t d = x->shape[x->ndim - 1], rows = dk_count(x) / d;
    int64_t per_image = x->ndim == 3 ? x->shape[1] : rows;
    int64_t stride = scale && dk_count(scale) != d ? d : 0;
    const float *px = dk_f32(x), *ps = scale ? dk_f32(scale) : NULL;
    const float *pt = shift ? dk_f32(shift) : NULL;
    float *py = dk_f32(y);
#pragma omp parallel for if (rows * d > 8192)
    for (int64_t r = 0; r < rows; r++) {
        const float *row = px + r * d;
        double mean = row_sum(row, d, 0, 1) / (double)d;
        double var = row_sum(row, d, mean, 2) / (double)d;
        int64_t at = r / per_image * stride;
        normalise(row, d, mean, 1.0 / sqrt(var + (double)eps), gamma, beta, ps ? ps + at : NULL,
                  pt ? pt + at : NULL, py + r * d);
    }
}

CPU_CLONES static void scale_by(const float *x, int64_t n, float f, const float *w, float *y)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        y[i] = x[i] * f * w[i];
}

void dk_cpu_rmsnorm(const dk_tensor *x, const float *weight, float eps, dk_tensor *y)
{
    int64_t d = x->shape[x->ndim - 1], rows = dk_count(x) / d;
    const float *px = dk_f32(x);
    float *py = dk_f32(y);
#pragma omp parallel for if (rows * d > 8192)
    for (int64_t r = 0; r < rows; r++) {
        double mean2 = row_sum(px + r * d, d, 0, 2) / (double)d;
        scale_by(px + r * d, d, (float)(1.0 / sqrt(mean2 + (double)eps)), weight, py + r * d);
    }
}

/* Group normalisation. Blocks of 256 pixels leave sum and sum of squares per channel, which are
 * added to groups in the order of the blocks; f64 makes sum of squares minus square safe for f32
 * values. The channels of a block are handled in strips, whose sums live on the stack. */
enum { BLOCK = 256, STRIP = 64 };

CPU_CLONES static void strip_sums(const float *x, int64_t pixels, int64_t c, int64_t n, double *sum,
                                  double *square)
{
    double s[STRIP] = {0}, q[STRIP] = {0};
    for (int64_t p = 0; p < pixels; p++, x += c) {
        CPU_SIMD
        for (int64_t i = 0; i < n; i++) {
            double v = (double)x[i];
            s[i] += v;
            q[i] += v * v;
        }
    }
    memcpy(sum, s, (size_t)n * sizeof *sum);
    memcpy(square, q, (size_t)n * sizeof *square);
}

/* Adds up one block: [2, groups] sums and sums of squares. */
static void block_sums(const float *x, int64_t pixels, int64_t c, int64_t per_group, double *sum,
                       double *square)
{
    double s[STRIP], q[STRIP];
    for (int64_t i = 0; i < c; i += STRIP) {
        int64_t n = c - i < STRIP ? c - i : STRIP;
        strip_sums(x + i, pixels, c, n, s, q);
        for (int64_t k = 0; k < n; k++) {
            sum[(i + k) / per_group] += s[k];
            square[(i + k) / per_group] += q[k];
        }
    }
}

CPU_CLONES static void affine(const float *x, int64_t n, const float *mean, const float *mul,
                              const float *add, float *y)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - mean[i]) * mul[i] + add[i];
}

void dk_cpu_groupnorm(const dk_tensor *x, int groups, const float *gamma, const float *beta,
                      float eps, dk_act act, dk_tensor *y)
{
    int64_t c = x->shape[2], pixels = x->shape[0] * x->shape[1], per_group = c / groups;
    int64_t blocks = dk_cpu_pieces(pixels, BLOCK);
    const float *px = dk_f32(x);
    float *py = dk_f32(y);
    size_t row = 2 * (size_t)groups; /* sums, then sums of squares */
    double *sums = dk_xcalloc((size_t)(blocks + 1), row * sizeof *sums);
    float *coef = dk_xcalloc((size_t)c, 3 * sizeof *coef); /* mean, factor, offset per channel */
#pragma omp parallel for if (pixels * c > 8192)
    for (int64_t b = 0; b < blocks; b++) {
        int64_t n = pixels - b * BLOCK < BLOCK ? pixels - b * BLOCK : BLOCK;
        double *mine = sums + (size_t)b * row;
        block_sums(px + b * BLOCK * c, n, c, per_group, mine, mine + groups);
    }
    double *all = sums + (size_t)blocks * row;
    for (int64_t b = 0; b < blocks; b++)
        for (size_t i = 0; i < row; i++)
            all[i] += sums[(size_t)b * row + i];
    for (int64_t i = 0; i < c; i++) {
        int64_t g = i / per_group;
        double count = (double)pixels * (double)per_group, mean = all[g] / count;
        double var = all[groups + g] / count - mean * mean;
        double rstd = 1.0 / sqrt((var < 0 ? 0 : var) + (double)eps);
        coef[i] = (float)mean;
        coef[c + i] = (float)(gamma ? rstd * (double)gamma[i] : rstd);
        coef[2 * c + i] = beta ? beta[i] : 0.0f;
    }
#pragma omp parallel for if (pixels * c > 8192)
    for (int64_t p = 0; p < pixels; p++) {
        affine(px + p * c, c, coef, coef + c, coef + 2 * c, py + p * c);
        dk_cpu_act_run(act, py + p * c, c);
    }
    free(sums);
    free(coef);
}
