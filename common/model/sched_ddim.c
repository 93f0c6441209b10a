/* DDIM (Song, Meng, Ermon 2020, "Denoising Diffusion Implicit Models", equation 12) with eta = 0:
 *     x <- sqrt(a') x0 + sqrt(1 - a') eps,   x0 = (x - sqrt(1 - a) eps) / sqrt(a)
 * where a' belongs to the timestep train/n earlier, whatever the list of timesteps holds. */
#include <math.h>

#include "base/mem.h"
#include "model/sched_internal.h"

int sched_ddim_steps(dk_sched *s, int n, dk_err *err)
{
    (void)err;
    sched_space(s, n, true);
    return 0;
}

int sched_ddim_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                    dk_err *err)
{
    int t = (int)s->t[i], before = t - s->train / s->n;
    float a = s->acp[t];
    float ap = before >= 0 ? s->acp[before] : s->set_alpha_to_one ? 1 : s->acp[0];
    float sa = sqrtf(a), sb = sqrtf(1 - a), sap = sqrtf(ap), sbp = sqrtf(1 - ap);
    size_t len = images * n;
    float *x0 = sched_push_history(s, len, err);

    if (!x0)
        return err->code;
    for (size_t k = 0; k < len; k++)
        x0[k] = sched_x0(s->prediction, output[k], x[k], sa, sb);
    if (sched_limit(s, x0, images, n, err))
        return err->code;
    for (size_t k = 0; k < len; k++) {
        /* The direction keeps the model's eps even where x0 was clipped. */
        float eps = s->prediction == PREDICT_EPSILON ? output[k]
                    : s->prediction == PREDICT_V     ? sa * output[k] + sb * x[k]
                                                     : (x[k] - sa * output[k]) / sb;
        x[k] = sap * x0[k] + sbp * eps;
    }
    return 0;
}
