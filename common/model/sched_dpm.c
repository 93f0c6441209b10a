/* DPM-Solver++ multistep (Lu et al. 2022, "DPM-Solver++: Fast Solver for Guided Sampling of Diffusion
 * Probabilistic Models", algorithm 2; order 3 and the SDE variants as published with it).
 *
 * With lambda = ln alpha - ln s, h = lambda_{i+1} - lambda_i, m0, m1, m2 the last predictions of x0:
 *   order 1:  x <- (s'/s) x - alpha' (e^-h - 1) m0
 *   order 2:  ... - 1/2 alpha' (e^-h - 1) D1            midpoint,   D1 = (m0 - m1) / r0
 *             ... + alpha' ((e^-h - 1)/h + 1) D1        heun
 *   order 3:  ... - alpha' ((e^-h - 1 + h)/h^2 - 1/2) D2
 * The SDE variants carry e^-h in the first factor, 1 - e^-2h in the others, and add noise. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "model/sched_internal.h"

/* lambda_t [train] is decreasing; how many of its values, counted from the noisy end, lie below the
 * clip. */
static int clipped(const dk_sched *s)
{
    int n = 0;

    while (n < s->train) {
        float a = s->acp[s->train - 1 - n];
        float lambda = logf(sqrtf(a)) - logf(sqrtf(1 - a));
        if (!(lambda < (float)s->lambda_min))
            break;
        n++;
    }
    return n;
}

int sched_dpm_steps(dk_sched *s, int n, dk_err *err)
{
    int last = s->train - clipped(s);

    if (last < 1)
        return dk_fail(err, DK_EFORMAT, "scheduler: lambda_min_clipped leaves no timestep");
    s->n = n;
    for (int i = 0; i < n; i++) {
        double t = 0;
        if (s->spacing == SPACING_LINSPACE)
            t = rint((double)(n - i) * ((double)(last - 1) / n));
        else if (s->spacing == SPACING_LEADING)
            t = (double)((n - i) * (last / (n + 1)) + s->steps_offset);
        s->t[i] = t;
    }
    if (s->spacing == SPACING_TRAILING) {
        double step = (double)s->train / n;
        int count = (int)ceil(last / step);
        s->n = count < n ? count : n;
        for (int i = 0; i < s->n; i++)
            s->t[i] = rint(last - i * step) - 1;
    }
    return sched_make_sigmas(s, s->n, err);
}

/* Coefficients of x, m0, m1, m2 and the noise. */
typedef struct update {
    double x, m0, m1, m2, noise;
} update;

static update coefficients(const dk_sched *s, int i, int order)
{
    sched_point now = sched_at(s->sigmas[i]), next = sched_at(s->sigmas[i + 1]);
    double h = (double)next.lambda - now.lambda, e = exp(-h), a = next.alpha;
    /* phi is e^-h - 1 for the ODE and -(1 - e^-2h) for the SDE: the terms then read alike. */
    double phi = s->sde ? exp(-2 * h) - 1 : e - 1;
    update u = {.x = (double)next.s / now.s * (s->sde ? e : 1), .m0 = -a * phi};
    double c1 = s->sde ? (s->heun ? a * (phi / (2 * h) + 1) : -0.5 * a * phi)
                       : (s->heun || order == 3 ? a * (phi / h + 1) : -0.5 * a * phi);

    if (s->sde)
        u.noise = next.s * sqrt(1 - exp(-2 * h));
    if (order >= 2) {
        double h0 = (double)now.lambda - sched_at(s->sigmas[i - 1]).lambda, r0 = h0 / h;
        if (order == 2) {
            u.m0 += c1 / r0;
            u.m1 = -c1 / r0;
            return u;
        }
        double h1 = (double)sched_at(s->sigmas[i - 1]).lambda - sched_at(s->sigmas[i - 2]).lambda;
        double r1 = h1 / h, c2 = -a * ((e - 1 + h) / (h * h) - 0.5);
        if (s->sde) {
            c1 = a * ((1 - exp(-2 * h)) / (-2 * h) + 1);
            c2 = a * ((1 - exp(-2 * h) - 2 * h) / (4 * h * h) - 0.5);
        }
        /* D1 = D10 + r0/(r0+r1) (D10 - D11), D2 = (D10 - D11)/(r0+r1); D10 = (m0-m1)/r0,
         * D11 = (m1-m2)/r1. */
        double d10 = c1 * (1 + r0 / (r0 + r1)) + c2 / (r0 + r1);
        double d11 = -c1 * r0 / (r0 + r1) - c2 / (r0 + r1);
        u.m0 += d10 / r0;
        u.m1 = -d10 / r0 + d11 / r1;
        u.m2 = -d11 / r1;
    }
    return u;
}

static int order_of_step(const dk_sched *s, int i)
{
    bool last = i == s->n - 1, few = s->lower_order_final && s->n < 15;

    if (s->order == 1 || s->known <= 1 ||
        (last && (s->euler_at_final || few || s->final_zero)))
        return 1;
    if (s->order == 2 || s->known == 2 || (i == s->n - 2 && few))
        return 2;
    return 3;
}

int sched_dpm_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                   dk_rng *rngs, dk_err *err)
{
    sched_point now = sched_at(s->sigmas[i]);
    size_t len = images * n;
    float *m0 = sched_push_history(s, len, err), *noise = NULL;

    if (!m0)
        return err->code;
    for (size_t k = 0; k < len; k++)
        m0[k] = sched_x0(s->prediction, output[k], x[k], now.alpha, now.s);
    if (sched_limit(s, m0, images, n, err))
        return err->code;
    if (s->sde && !(noise = dk_alloc(len * sizeof(float), "noise", err)))
        return err->code;
    for (size_t b = 0; noise && b < images; b++)
        dk_rng_normal(&rngs[b], noise + b * n, n);
    if (s->sigmas[i + 1] == 0) {
        /* lambda' is infinite: x0 itself, without noise. */
        memcpy(x, m0, len * sizeof(float));
    } else {
        int order = order_of_step(s, i);
        update u = coefficients(s, i, order);
        const float *m1 = order > 1 ? s->history[1] : m0, *m2 = order > 2 ? s->history[2] : m0;
        float cx = (float)u.x, c0 = (float)u.m0, c1 = (float)u.m1, c2 = (float)u.m2;
        for (size_t k = 0; k < len; k++)
            x[k] = cx * x[k] + c0 * m0[k] + (order > 1 ? c1 * m1[k] : 0) +
                   (order > 2 ? c2 * m2[k] : 0) + (noise ? (float)u.noise * noise[k] : 0);
    }
    dk_free_aligned(noise);
    return 0;
}
