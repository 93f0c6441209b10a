/* How far two arrays are apart. All sums in f64. A NaN in an input gives NaN. */
#ifndef DK_NUM_METRICS_H
#define DK_NUM_METRICS_H

#include <stddef.h>

double dk_max_abs(const float *a, size_t n);
double dk_max_abs_diff(const float *a, const float *b, size_t n);
/* |a - b|_2 / |b|_2 (b is the reference); 0 when both are zero, inf when only b is. */
double dk_rel_l2(const float *a, const float *b, size_t n);
double dk_cosine(const float *a, const float *b, size_t n);
double dk_mse(const float *a, const float *b, size_t n);
/* 10 log10(peak^2 / mse) in dB; +inf for equal arrays. */
double dk_psnr(const float *a, const float *b, size_t n, double peak);
/* Structural similarity (Wang et al. 2004): Gaussian window 11x11, sigma 1.5, K1 .01, K2 .03, mean
 * over the window positions that fit. x, y: [channels, h, w], h and w >= 11. */
double dk_ssim(const float *x, const float *y, int channels, int h, int w, double peak);

#endif
