/* The Euler method (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative
 * Models", algorithm 2 without churn), in the variance-exploding form x = x0 + sigma eps:
 *     x <- x + (x - x0) / sigma * (sigma' - sigma);  the model is given x / sqrt(sigma^2 + 1). */
#include <math.h>

#include "model/sched_internal.h"

int sched_euler_steps(dk_sched *s, int n, dk_err *err)
{
    sched_space(s, n, false);
    return sched_make_sigmas(s, s->n, err);
}

int sched_euler_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                     dk_err *err)
{
    float sigma = s->sigmas[i], dt = s->sigmas[i + 1] - sigma, q = sigma * sigma + 1;

    (void)err;
    for (size_t k = 0; k < images * n; k++) {
        float x0 = s->prediction == PREDICT_EPSILON ? x[k] - sigma * output[k]
                   : s->prediction == PREDICT_V ? output[k] * (-sigma / sqrtf(q)) + x[k] / q
                                                : output[k];
        x[k] += (x[k] - x0) / sigma * dt;
    }
    return 0;
}
