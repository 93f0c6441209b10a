/* DPM-Solver++ multistep (Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of
 * Diffusion Probabilistic Models", algorithm 2; order 3 and the SDE forms as published with it),
 * and its predecessor (Lu et al. 2022, "DPM-Solver: A Fast ODE Solver for Diffusion Probabilistic
 * Model Sampling in Around 10 Steps").
 *
 * With x = alpha x0 + s eps, lambda = ln alpha - ln s, h the step in lambda, and m0, m1, m2 the
 * last predictions (of x0; of eps in DPM-Solver), newest first:
 *
 *   order 1:  x <- cx x + k0 m0 + kz z
 *   order 2:  ... + k1 D1         D1 = (m0 - m1) / r0, r0 = (the step before) / h
 *   order 3:  ... + k1 D1 + k2 D2
 *             D1 = D10 + r0/(r0+r1) (D10 - D11), D2 = (D10 - D11)/(r0+r1),
 *             D10 = (m0 - m1) / r0, D11 = (m1 - m2) / r1
 *
 * The coefficients are in coefficients() below, in f32 as published. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/sched_internal.h"

static bool predicts_data(const dk_sched *s)
{
    return s->algorithm == DPM_PP || s->algorithm == DPM_SDE_PP;
}

static bool is_sde(const dk_sched *s)
{
    return s->algorithm == DPM_SDE_PP || s->algorithm == DPM_SDE_NOISE;
}

/* How many lambda_t, counted from the noisy end, lie below the clip: torch.searchsorted.
 * (Bisection, because the last lambda of a zero-SNR schedule may be out of order.) */
static int clipped(const dk_sched *s)
{
    int low = 0, end = s->train;

    while (low < end) {
        int middle = low + (end - low) / 2;
        float a = s->acp[s->train - 1 - middle];
        if (logf(sqrtf(a)) - logf(sqrtf(1 - a)) < (float)s->lambda_min)
            low = middle + 1;
        else
            end = middle;
    }
    return low;
}

int sched_dpm_steps(dk_sched *s, dk_err *err)
{
    int last = s->train - clipped(s), n = s->asked;

    if (last < 1)
        return dk_fail(err, DK_EFORMAT, "scheduler: lambda_min_clipped %g leaves no timestep",
                       s->lambda_min);
    s->n = n;
    if (s->spacing == SPACING_TRAILING)
        s->n = sched_arange_down(last, (double)s->train / n, s->t, n + 1);
    for (int i = 0; i < s->n; i++) {
        if (s->spacing == SPACING_LINSPACE)
            s->t[i] = rint((n - i) * ((last - 1.0) / n));
        else if (s->spacing == SPACING_LEADING)
            s->t[i] = (double)(n - i) * (last / (n + 1)) + s->steps_offset;
        else
            s->t[i] = rint(s->t[i]) - 1;
    }
    return sched_make_sigmas(s, err);
}

typedef struct update {
    float cx, k0, k1, k2, kz;
} update;

/* alpha and s of the next point, h, and exponentials of h, in the order of the published terms. */
static update coefficients(const dk_sched *s, sched_point now, sched_point next, int order)
{
    float h = next.lambda - now.lambda, a = next.alpha, sg = next.s;
    bool half = order == 2 && !s->heun; /* midpoint */
    update u = {0};

    switch (s->algorithm) {
    case DPM_PP: {
        float e = expf(-h) - 1, c = a * e;
        u.cx = sg / now.s;
        u.k0 = -c;
        u.k1 = half ? -0.5f * c : a * (e / h + 1);
        u.k2 = -(a * ((e + h) / (h * h) - 0.5f));
        break;
    }
    case DPM_SDE_PP: {
        float e = 1 - expf(-2 * h), h2 = 2 * h;
        u.cx = sg / now.s * expf(-h);
        u.k0 = a * e;
        u.k1 = half ? 0.5f * u.k0 : a * (e / -h2 + 1);
        u.k2 = a * ((e - h2) / (h2 * h2) - 0.5f);
        u.kz = sg * sqrtf(e);
        break;
    }
    case DPM_NOISE: {
        float e = expf(h) - 1, c = sg * e;
        u.cx = a / now.alpha;
        u.k0 = -c;
        u.k1 = half ? -0.5f * c : -(sg * (e / h - 1));
        u.k2 = -(sg * ((e - h) / (h * h) - 0.5f));
        break;
    }
    case DPM_SDE_NOISE: {
        float e = expf(h) - 1, c = sg * e;
        u.cx = a / now.alpha;
        u.k0 = -2 * c;
        u.k1 = half ? -c : -2 * (sg * (e / h - 1));
        u.kz = sg * sqrtf(expf(2 * h) - 1);
        break;
    }
    }
    return u;
}

/* The first steps lack history; the last ones go down in order where that keeps them stable. With
 * very many steps two share a timestep: a step of no length tells nothing about slopes. */
static int order_of_step(const dk_sched *s, int i)
{
    bool few = s->lower_order_final && s->n < 15;

    if (s->order == 1 || s->known <= 1 || s->sigmas[i - 1] == s->sigmas[i] ||
        (i == s->n - 1 && (s->euler_at_final || few || s->final_zero)))
        return 1;
    if (s->order == 2 || s->known == 2 || s->sigmas[i - 2] == s->sigmas[i - 1] ||
        (i == s->n - 2 && few))
        return 2;
    return 3;
}

/* m0 from the model's output: x0 or eps, after thresholding. */
static int predict(const dk_sched *s, sched_point p, const float *output, const float *x, float *m0,
                   size_t images, size_t n, dk_err *err)
{
    size_t len = images * n;

    if (predicts_data(s)) {
        for (size_t k = 0; k < len; k++)
            m0[k] = sched_x0(s->prediction, output[k], x[k], p.alpha, p.s);
        return sched_limit(s, m0, images, n, err);
    }
    for (size_t k = 0; k < len; k++)
        m0[k] = sched_eps(s->prediction, output[k], x[k], p.alpha, p.s);
    if (!s->thresholding)
        return 0;
    for (size_t k = 0; k < len; k++) /* through x0 and back */
        m0[k] = sched_x0(PREDICT_EPSILON, m0[k], x[k], p.alpha, p.s);
    if (sched_limit(s, m0, images, n, err))
        return err->code;
    for (size_t k = 0; k < len; k++)
        m0[k] = sched_eps(PREDICT_SAMPLE, m0[k], x[k], p.alpha, p.s);
    return 0;
}

/* x at the next sigma from x and the history. */
static void advance(const dk_sched *s, int i, float *x, size_t len, const float *noise)
{
    sched_point now = sched_at(s->sigmas[i]), next = sched_at(s->sigmas[i + 1]);
    int order = order_of_step(s, i);
    update u = coefficients(s, now, next, order);
    const float *m0 = s->history[0], *m1 = s->history[1], *m2 = s->history[2];
    float h = next.lambda - now.lambda;
    float lambda1 = order > 1 ? sched_at(s->sigmas[i - 1]).lambda : 0;
    float lambda2 = order > 2 ? sched_at(s->sigmas[i - 2]).lambda : 0;
    float r0 = (now.lambda - lambda1) / h, inv0 = 1 / r0;
    float r1 = (lambda1 - lambda2) / h, inv1 = 1 / r1;
    float mix = r0 / (r0 + r1), inv = 1 / (r0 + r1);

    for (size_t k = 0; k < len; k++) {
        float v = u.cx * x[k] + u.k0 * m0[k];
        if (order == 2) {
            v += u.k1 * (inv0 * (m0[k] - m1[k]));
        } else if (order == 3) {
            float d10 = inv0 * (m0[k] - m1[k]), d11 = inv1 * (m1[k] - m2[k]);
            v += u.k1 * (d10 + mix * (d10 - d11));
            v += u.k2 * (inv * (d10 - d11));
        }
        x[k] = noise ? v + u.kz * noise[k] : v;
    }
}

int sched_dpm_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                   dk_rng *rngs, dk_err *err)
{
    sched_point now = sched_at(s->sigmas[i]);
    size_t len = images * n;
    float *m0 = sched_push_history(s, s->order, len, err), *noise = NULL;

    if (!m0 || predict(s, now, output, x, m0, images, n, err))
        return err->code;
    /* Drawn at every step, wanted or not: the generators go on as published. */
    if (is_sde(s) && !(noise = sched_noise(rngs, images, n, err)))
        return err->code;
    if (s->sigmas[i + 1] == 0)
        memcpy(x, m0, len * sizeof(float)); /* h is infinite: x0 itself, without noise */
    else if (s->sigmas[i + 1] != s->sigmas[i])
        advance(s, i, x, len, noise);
    dk_free_aligned(noise);
    return 0;
}
