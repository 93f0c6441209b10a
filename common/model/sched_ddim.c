/* DDIM (Song, Meng, Ermon 2020, "Denoising Diffusion Implicit Models", equation 12), eta = 0:
 *
 *   x <- sqrt(a') x0 + sqrt(1 - a') eps,   x0 = (x - sqrt(1 - a) eps) / sqrt(a)
 *
 * where a' belongs to the timestep train/n earlier, whatever the list of timesteps holds. */
#include <math.h>

#include "model/sched_internal.h"

int sched_ddim_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                    dk_err *err)
{
    int t = (int)s->t[i], before = t - s->train / s->asked;
    float a = s->acp[t];
    float ap = before >= 0 ? s->acp[before] : s->set_alpha_to_one ? 1 : s->acp[0];
    float sa = sqrtf(a), sb = sqrtf(1 - a), sap = sqrtf(ap), sbp = sqrtf(1 - ap);
    size_t len = images * n;
    float *x0 = sched_push_history(s, 1, len, err);

    if (!x0)
        return err->code;
    for (size_t k = 0; k < len; k++)
        x0[k] = sched_x0(s->prediction, output[k], x[k], sa, sb);
    if (sched_limit(s, x0, images, n, err))
        return err->code;
    /* The direction keeps the model's eps even where x0 was clipped. */
    for (size_t k = 0; k < len; k++)
        x[k] = sap * x0[k] + sbp * sched_eps(s->prediction, output[k], x[k], sa, sb);
    return 0;
}
