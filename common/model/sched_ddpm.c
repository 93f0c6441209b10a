/* DDPM (Ho, Jain, Abbeel 2020, "Denoising Diffusion Probabilistic Models", equations 6 and 7), with
 * a' of the next timestep in the list:
 *
 *   mean = sqrt(a') b / (1 - a) x0 + sqrt(a/a') (1 - a') / (1 - a) x,   b = 1 - a/a'
 *   x <- mean + sd z  while t > 0
 *
 * sd^2 = (1 - a') / (1 - a) b (fixed_small), b (fixed_large), or learned (Nichol and Dhariwal 2021,
 * equation 15: ln sd^2 between the logarithms of the two). */
#include <math.h>

#include "base/mem.h"
#include "model/sched_internal.h"

/* Standard deviation of the noise; v, what the model says, enters the learned kinds only. */
static float deviation(sched_variance kind, float posterior, float b, float v)
{
    float small = posterior > 1e-20f ? posterior : 1e-20f, f = (v + 1) / 2;

    switch (kind) {
    case VAR_FIXED_SMALL:
        break;
    case VAR_FIXED_SMALL_LOG:
        return expf(0.5f * logf(small));
    case VAR_FIXED_LARGE:
        return sqrtf(b);
    case VAR_LEARNED:
        return sqrtf(v);
    case VAR_LEARNED_RANGE:
        return expf(0.5f * (f * logf(b) + (1 - f) * logf(small)));
    }
    return sqrtf(small);
}

int sched_ddpm_step(dk_sched *s, int i, const float *output, const float *variance, float *x,
                    size_t images, size_t n, dk_rng *rngs, dk_err *err)
{
    int t = (int)s->t[i], before = i + 1 < s->n ? (int)s->t[i + 1] : -1;
    float a = s->acp[t], ap = before >= 0 ? s->acp[before] : 1, step = a / ap, b = 1 - step;
    float c0 = sqrtf(ap) * b / (1 - a), cx = sqrtf(step) * (1 - ap) / (1 - a);
    float posterior = (1 - ap) / (1 - a) * b;
    bool learned = s->variance == VAR_LEARNED || s->variance == VAR_LEARNED_RANGE;
    size_t len = images * n;

    if (learned && !variance)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "scheduler: variance_type is learned, but the model predicts no variance");
    float *x0 = sched_push_history(s, 1, len, err), *noise = NULL;
    if (!x0)
        return err->code;
    for (size_t k = 0; k < len; k++)
        x0[k] = sched_x0(s->prediction, output[k], x[k], sqrtf(a), sqrtf(1 - a));
    if (sched_limit(s, x0, images, n, err))
        return err->code;
    if (t > 0 && !(noise = sched_noise(rngs, images, n, err)))
        return err->code;
    float sd = learned ? 0 : deviation(s->variance, posterior, b, 0);
    for (size_t k = 0; k < len; k++) {
        x[k] = c0 * x0[k] + cx * x[k];
        if (noise)
            x[k] += (learned ? deviation(s->variance, posterior, b, variance[k]) : sd) * noise[k];
    }
    dk_free_aligned(noise);
    return 0;
}
