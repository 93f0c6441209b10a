/* The Euler method (Karras et al. 2022, "Elucidating the Design Space of Diffusion-Based Generative
 * Models", algorithm 2 without churn), in the variance-exploding form x = x0 + sigma eps:
 *
 *   x <- x + (x - x0) / sigma * (sigma' - sigma);  the model is given x / sqrt(sigma^2 + 1). */
#include <math.h>

#include "model/sched_internal.h"

int sched_euler_steps(dk_sched *s, dk_err *err)
{
    sched_space(s, false);
    return sched_make_sigmas(s, err);
}

void sched_euler_step(const dk_sched *s, int i, const float *output, float *x, size_t len)
{
    float sigma = s->sigmas[i], dt = s->sigmas[i + 1] - sigma, q = sigma * sigma + 1;
    float v_weight = -sigma / sqrtf(q);

    for (size_t k = 0; k < len; k++) {
        float x0 = s->prediction == PREDICT_EPSILON ? x[k] - sigma * output[k]
                   : s->prediction == PREDICT_V     ? output[k] * v_weight + x[k] / q
                                                    : output[k];
        x[k] += (x[k] - x0) / sigma * dt;
    }
}
