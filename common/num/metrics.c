/* See metrics.h. */
#include "num/metrics.h"

#include <math.h>

double dk_max_abs(const float *a, size_t n)
{
    double m = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(a[i]))
            return NAN;
        m = fmax(m, fabs(a[i]));
    }
    return m;
}

double dk_max_abs_diff(const float *a, const float *b, size_t n)
{
    double m = 0;
    for (size_t i = 0; i < n; i++) {
        double d = fabs((double)a[i] - b[i]);
        if (isnan(d))
            return NAN;
        m = fmax(m, d);
    }
    return m;
}

double dk_rel_l2(const float *a, const float *b, size_t n)
{
    double num = 0, den = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - b[i];
        num += d * d;
        den += (double)b[i] * b[i];
    }
    return num == 0 ? 0 : sqrt(num / den);
}

double dk_cosine(const float *a, const float *b, size_t n)
{
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < n; i++) {
        ab += (double)a[i] * b[i];
        aa += (double)a[i] * a[i];
        bb += (double)b[i] * b[i];
    }
    return aa == 0 && bb == 0 ? 1 : aa == 0 || bb == 0 ? 0 : ab / sqrt(aa * bb);
}

double dk_mse(const float *a, const float *b, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double d = (double)a[i] - b[i];
        sum += d * d;
    }
    return n ? sum / (double)n : 0;
}

double dk_psnr(const float *a, const float *b, size_t n, double peak)
{
    double mse = dk_mse(a, b, n);
    return mse == 0 ? INFINITY : 10 * log10(peak * peak / mse);
}

#define WINDOW 11

double dk_ssim(const float *x, const float *y, int channels, int h, int w, double peak)
{
    double g[WINDOW], norm = 0, c1 = pow(0.01 * peak, 2), c2 = pow(0.03 * peak, 2), total = 0;
    size_t positions = 0;

    for (int i = 0; i < WINDOW; i++)
        norm += g[i] = exp(-pow(i - WINDOW / 2, 2) / (2 * 1.5 * 1.5));
    for (int i = 0; i < WINDOW; i++)
        g[i] /= norm;
    for (int c = 0; c < channels; c++) {
        const float *px = x + (size_t)c * (size_t)h * (size_t)w;
        const float *py = y + (size_t)c * (size_t)h * (size_t)w;
        for (int top = 0; top + WINDOW <= h; top++) {
            for (int left = 0; left + WINDOW <= w; left++) {
                double mx = 0, my = 0, xx = 0, yy = 0, xy = 0;
                for (int i = 0; i < WINDOW; i++) {
                    for (int j = 0; j < WINDOW; j++) {
                        size_t at = (size_t)(top + i) * (size_t)w + (size_t)(left + j);
                        double weight = g[i] * g[j], a = px[at], b = py[at];
                        mx += weight * a;
                        my += weight * b;
                        xx += weight * a * a;
                        yy += weight * b * b;
                        xy += weight * a * b;
                    }
                }
                double vx = xx - mx * mx, vy = yy - my * my, cov = xy - mx * my;
                total += (2 * mx * my + c1) * (2 * cov + c2) /
                         ((mx * mx + my * my + c1) * (vx + vy + c2));
                positions++;
            }
        }
    }
    return positions ? total / (double)positions : NAN;
}
