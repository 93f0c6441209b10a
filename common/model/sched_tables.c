/* What a schedule of noise is made of: betas and their cumulative products in training, timesteps
 * and sigmas in sampling. Roundings follow the published arithmetic (torch and numpy), because a
 * timestep is often the rounding of a number close to one half. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "model/sched_internal.h"

/* ---- Training. */

/* torch.linspace in f32: from both ends towards the middle, with fused multiply-adds. */
static float linspace_f32(float a, float b, int n, int i)
{
    if (n == 1)
        return a;
    float step = (b - a) / (float)(n - 1);
    return i < n / 2 ? fmaf(step, (float)i, a) : fmaf(-step, (float)(n - 1 - i), b);
}

/* alpha-bar of squaredcos_cap_v2 (Nichol and Dhariwal 2021, equation 17). */
static double cosine(double u)
{
    double c = cos((u + 0.008) / 1.008 * 3.14159265358979323846 / 2);
    return c * c;
}

static float beta_at(const dk_sched *s, int i)
{
    switch (s->betas) {
    case BETAS_LINEAR:
        break;
    case BETAS_SCALED: {
        float root =
            linspace_f32((float)sqrt(s->beta_start), (float)sqrt(s->beta_end), s->train, i);
        return root * root;
    }
    case BETAS_COSINE: {
        double v = 1 - cosine((i + 1.0) / s->train) / cosine((double)i / s->train);
        return (float)(v < 0.999 ? v : 0.999);
    }
    case BETAS_SIGMOID: {
        float x = linspace_f32(-6, 6, s->train, i), sigmoid = 1 / (1 + expf(-x));
        return sigmoid * (float)(s->beta_end - s->beta_start) + (float)s->beta_start;
    }
    }
    return linspace_f32((float)s->beta_start, (float)s->beta_end, s->train, i);
}

static int fill_betas(dk_sched *s, dk_jnode cfg, float *beta, dk_err *err)
{
    dk_jnode list = dk_json_key(cfg, "trained_betas");

    s->trained_betas = list.v && !dk_json_is_null(list);
    if (s->trained_betas && json_array_size(list.v) != (size_t)s->train)
        return dk_json_expected(list, "an array of num_train_timesteps numbers", err);
    for (int i = 0; i < s->train; i++) {
        if (s->trained_betas) {
            dk_jnode item = dk_json_item(list, (size_t)i);
            double v = json_number_value(item.v);
            if (!json_is_number(item.v) || !(v >= 0 && v <= 1))
                return dk_json_expected(item, "a number in [0, 1]", err);
            beta[i] = (float)v;
        } else {
            beta[i] = beta_at(s, i);
        }
    }
    return 0;
}

/* acp_i = product of 1 - beta_j, j <= i. torch multiplies f32 in f64 and rounds each result. */
static void accumulate(const float *beta, int n, float *acp)
{
    double product = 1;

    for (int i = 0; i < n; i++) {
        float alpha = 1 - beta[i];
        product *= alpha;
        acp[i] = (float)product;
    }
}

/* Zero terminal SNR (Lin et al. 2023, algorithm 1): sqrt(acp) shifted so that its last value is 0
 * and scaled so that its first stays; back through betas, as published. acp is scratch. */
static void rescale(float *beta, int n, float *acp)
{
    accumulate(beta, n, acp);
    float first = sqrtf(acp[0]), last = sqrtf(acp[n - 1]), scale = first / (first - last);
    for (int i = 0; i < n; i++) {
        float root = (sqrtf(acp[i]) - last) * scale;
        acp[i] = root * root;
    }
    beta[0] = 1 - acp[0];
    for (int i = 1; i < n; i++)
        beta[i] = 1 - acp[i] / acp[i - 1];
}

int sched_make_acp(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    float *beta = dk_xmalloc((size_t)s->train * sizeof *beta);

    s->acp = dk_xmalloc((size_t)s->train * sizeof *s->acp);
    if (!fill_betas(s, cfg, beta, err)) {
        if (s->zero_snr)
            rescale(beta, s->train, s->acp);
        accumulate(beta, s->train, s->acp);
        /* Nearly zero, so that the first sigma is finite. */
        if (s->zero_snr && (s->kind == DK_SCHED_DPMPP || s->kind == DK_SCHED_EULER))
            s->acp[s->train - 1] = 0x1p-24f;
    }
    free(beta);
    for (int i = 0; i < s->train && !err->code; i++)
        if (!(s->acp[i] >= 0 && s->acp[i] <= 1))
            dk_fail(err, DK_EFORMAT,
                    "%s: the betas leave no noise schedule (alphas_cumprod[%d] is %g)", cfg.doc, i,
                    (double)s->acp[i]);
    return err->code;
}

/* ---- Timesteps. */

int sched_arange_down(double from, double step, double *out, int max)
{
    /* numpy takes the distance of the first two values for its step. */
    double taken = from - step - from;
    int n = 0;

    for (int count = (int)ceil(from / step); n < count && n < max; n++)
        out[n] = n == 1 ? from - step : from + n * taken;
    return n;
}

void sched_space(dk_sched *s, bool rounded)
{
    int n = s->asked;

    s->n = n;
    if (s->spacing == SPACING_TRAILING) {
        s->n = sched_arange_down(s->train, (double)s->train / n, s->t, n + 1);
        for (int i = 0; i < s->n; i++)
            s->t[i] = rint(s->t[i]) - 1;
        /* The range may come out one too long. With its -1 the published DDIM and DDPM would go on
         * from the noisiest level: that step is left out. */
        if (rounded && s->n > 1 && s->t[s->n - 1] < 0)
            s->n--;
        return;
    }
    double step = s->spacing == SPACING_LEADING ? s->train / n
                  : n > 1                       ? (s->train - 1.0) / (n - 1)
                                                : 0;
    for (int i = 0; i < n; i++) {
        double t = (n - 1 - i) * step;
        if (s->spacing == SPACING_LEADING)
            s->t[i] = t + s->steps_offset;
        else
            s->t[i] = rounded ? rint(t) : (double)(float)t;
    }
}

/* ---- Sigmas: sigma_i = sqrt((1 - acp_i) / acp_i), and between them. */

/* The correctly rounded f32 logarithm, which does not depend on the machine. */
static float log_f32(float x)
{
    return (float)log((double)x);
}

/* numpy.interp on the points (i, y_i). */
static double interpolate(const float *y, int n, double x)
{
    if (x <= 0)
        return y[0];
    if (x >= n - 1)
        return y[n - 1];
    int i = (int)x;
    return ((double)y[i + 1] - y[i]) * (x - i) + y[i];
}

/* The (fractional) timestep of a sigma, by interpolation in log sigma between the last logarithm
 * that is not above and its successor. logs [n] ascend, but for the last one of a zero-SNR
 * schedule. */
static double sigma_to_t(const float *logs, int n, double sigma)
{
    double want = log(sigma > 1e-10 ? sigma : 1e-10);
    int low = 0, end = n - 1;

    if (n < 2)
        return 0;
    while (logs[n - 1] > want && end - low > 1) {
        int middle = low + (end - low) / 2;
        if (logs[middle] <= want)
            low = middle;
        else
            end = middle;
    }
    if (logs[n - 1] <= want)
        low = n - 2;
    double w = (logs[low] - want) / (logs[low] - logs[low + 1]);
    w = w > 0 ? (w < 1 ? w : 1) : 0;
    return (1 - w) * low + w * (low + 1);
}

/* Value i of n between a and b, as numpy.linspace has it. */
static double linspace(double a, double b, int n, int i)
{
    return i > 0 && i == n - 1 ? b : n > 1 ? i * ((b - a) / (n - 1)) + a : a;
}

/* Sigma i of n. Karras et al. 2022, equation 5, rho 7; exponential: ln sigma in equal steps; Lu et
 * al. 2022 (lambda = -ln sigma in equal steps): the same from the table's rounded logarithms. */
static double spread(sched_sigmas kind, double max, double min, int n, int i)
{
    if (kind == SIGMAS_KARRAS) {
        double a = pow(max, 1 / 7.0), b = pow(min, 1 / 7.0);
        return pow(a + linspace(0, 1, n, i) * (b - a), 7);
    }
    if (kind == SIGMAS_LU)
        return exp(log_f32((float)max) +
                   linspace(0, 1, n, i) * ((double)log_f32((float)min) - log_f32((float)max)));
    return exp(linspace(log(max), log(min), n, i));
}

/* Replaces t and sigmas by the chosen kind's between max and min. */
static void spread_sigmas(dk_sched *s, const float *logs, double max, double min)
{
    bool whole = s->kind == DK_SCHED_DPMPP;
    bool cut = s->sigma_kind == SIGMAS_EXPONENTIAL || s->betas == BETAS_COSINE;

    if (s->sigma_kind != SIGMAS_LU) {
        max = isnan(s->sigma_max) ? max : s->sigma_max;
        min = isnan(s->sigma_min) ? min : s->sigma_min;
    }
    s->n = s->asked;
    for (int i = 0; i < s->n; i++) {
        double sigma = spread(s->sigma_kind, max, min, s->n, i);
        double t = sigma_to_t(logs, s->train, sigma);
        s->sigmas[i] = (float)sigma;
        s->t[i] = !whole ? (double)(float)t : cut ? trunc(t) : rint(t);
    }
}

static void fill_sigmas(dk_sched *s, const float *all, const float *logs)
{
    /* The table's ends for DPM-Solver, those of the chosen timesteps for Euler. */
    double max = all[s->train - 1], min = all[0];
    int filled = s->n;

    if (s->log_linear) { /* one sigma more than timesteps, and so without the final one */
        filled = s->asked + 1;
        for (int i = 0; i < filled; i++)
            s->sigmas[i] = expf(linspace_f32(logs[s->train - 1], logs[0], filled, i));
        max = s->sigmas[0];
        min = s->sigmas[filled - 1];
    } else {
        for (int i = 0; i < s->n; i++) {
            double sigma = interpolate(all, s->train, s->t[i]);
            s->sigmas[i] = (float)sigma;
            if (s->kind == DK_SCHED_EULER && i == 0)
                max = sigma;
            if (s->kind == DK_SCHED_EULER)
                min = sigma;
        }
    }
    if (s->sigma_kind != SIGMAS_PLAIN) {
        spread_sigmas(s, logs, max, min);
        filled = s->n;
    }
    s->sigmas[filled] = s->final_zero ? 0 : all[0];
}

int sched_make_sigmas(dk_sched *s, dk_err *err)
{
    float *all = dk_xmalloc(2 * (size_t)s->train * sizeof *all), *logs = all + s->train;

    s->sigmas = dk_xrealloc(s->sigmas, ((size_t)s->asked + 3) * sizeof *s->sigmas);
    for (int i = 0; i < s->train; i++) {
        all[i] = sqrtf((1 - s->acp[i]) / s->acp[i]);
        logs[i] = log_f32(all[i]);
    }
    fill_sigmas(s, all, logs);
    free(all);
    for (int i = 0; i < s->n; i++)
        if (!(s->sigmas[i] > 0 && s->sigmas[i] < INFINITY))
            return dk_fail(err, DK_EFORMAT,
                           "scheduler: the noise schedule gives sigma %g at step %d",
                           (double)s->sigmas[i], i + 1);
    return 0;
}
