/* What all schedulers share: options, the training schedule, spacing, sigmas; see scheduler.h. The
 * formulas of each sampler are in sched_dpm.c, sched_ddim.c, sched_ddpm.c and sched_euler.c. */
#include "model/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/sched_internal.h"

static const struct {
    const char *name, *cls;
    const char *spacing; /* the class's default */
} kinds[] = {
    [DK_SCHED_DPMPP] = {"dpm++", "DPMSolverMultistepScheduler", "linspace"},
    [DK_SCHED_DDIM] = {"ddim", "DDIMScheduler", "leading"},
    [DK_SCHED_DDPM] = {"ddpm", "DDPMScheduler", "leading"},
    [DK_SCHED_EULER] = {"euler", "EulerDiscreteScheduler", "linspace"},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

int dk_sched_kind_parse(const char *name)
{
    for (int k = 0; k < N_KINDS; k++)
        if (strcmp(kinds[k].name, name) == 0)
            return k;
    return -1;
}

/* ---- Options. */

/* One of `names` (NULL-terminated); DK_EUNSUPPORTED for anything else. */
static int choice(dk_jnode cfg, const char *key, const char *def, const char *const *names, int *out,
                  dk_err *err)
{
    const char *found;

    if (dk_json_str(cfg, key, def, &found, err))
        return err->code;
    for (*out = 0; names[*out]; ++*out)
        if (strcmp(names[*out], found) == 0)
            return 0;
    return dk_fail(err, DK_EUNSUPPORTED, "%s: %s \"%s\" is not supported", cfg.doc, key, found);
}

/* Switches of the published classes that change the result and are not here. */
static int refuse(dk_jnode cfg, const char *const *keys, dk_err *err)
{
    bool on;

    for (int i = 0; keys[i]; i++) {
        if (dk_json_bool(cfg, keys[i], false, &on, err))
            return err->code;
        if (on)
            return dk_fail(err, DK_EUNSUPPORTED, "%s: %s true is not supported", cfg.doc, keys[i]);
    }
    return 0;
}

static int read_common(dk_sched *s, dk_jnode cfg, bool chosen, dk_err *err)
{
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample", NULL};
    static const char *const spacings[] = {"linspace", "leading", "trailing", NULL};
    bool ddim = s->kind == DK_SCHED_DDIM || s->kind == DK_SCHED_DDPM;
    int prediction = 0, spacing = 0;

    if (dk_json_int(cfg, "num_train_timesteps", 1000, 1, SCHED_MAX_TRAIN, &s->train, err) ||
        dk_json_f64(cfg, "beta_start", 0.0001, &s->beta_start, err) ||
        dk_json_f64(cfg, "beta_end", 0.02, &s->beta_end, err) ||
        dk_json_bool(cfg, "rescale_betas_zero_snr", false, &s->zero_snr, err) ||
        choice(cfg, "prediction_type", "epsilon", predictions, &prediction, err) ||
        choice(cfg, "timestep_spacing", kinds[s->kind].spacing, spacings, &spacing, err) ||
        dk_json_int(cfg, "steps_offset", 0, 0, SCHED_MAX_TRAIN, &s->steps_offset, err) ||
        dk_json_bool(cfg, "thresholding", false, &s->thresholding, err) ||
        dk_json_f64(cfg, "dynamic_thresholding_ratio", 0.995, &s->threshold_ratio, err) ||
        dk_json_f64(cfg, "sample_max_value", 1.0, &s->sample_max, err) ||
        dk_json_bool(cfg, "clip_sample", ddim && !chosen, &s->clip_sample, err) ||
        dk_json_f64(cfg, "clip_sample_range", 1.0, &s->clip_range, err) ||
        dk_json_bool(cfg, "set_alpha_to_one", true, &s->set_alpha_to_one, err))
        return err->code;
    s->prediction = (sched_prediction)prediction;
    s->spacing = (sched_spacing)spacing;
    s->clip_sample = s->clip_sample && ddim;
    s->thresholding = s->thresholding && s->kind != DK_SCHED_EULER;
    if (!(s->beta_start >= 0 && s->beta_start < 1 && s->beta_end >= 0 && s->beta_end < 1))
        return dk_fail(err, DK_EFORMAT, "%s: beta_start, beta_end: expected numbers in [0, 1)", cfg.doc);
    if (!(s->threshold_ratio >= 0 && s->threshold_ratio <= 1) || !(s->sample_max >= 0) ||
        !(s->clip_range > 0))
        return dk_fail(err, DK_EFORMAT, "%s: a clipping or thresholding value is out of range", cfg.doc);
    return 0;
}

static int read_sigma_kind(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    static const char *const finals[] = {"zero", "sigma_min", NULL};
    static const char *const refused[] = {"use_beta_sigmas", "use_flow_sigmas",
                                          "use_dynamic_shifting", NULL};
    bool karras, lu = false, exponential;
    int final = 0;

    if (refuse(cfg, refused, err) ||
        dk_json_bool(cfg, "use_karras_sigmas", false, &karras, err) ||
        dk_json_bool(cfg, "use_exponential_sigmas", false, &exponential, err) ||
        (s->kind == DK_SCHED_DPMPP && dk_json_bool(cfg, "use_lu_lambdas", false, &lu, err)) ||
        choice(cfg, "final_sigmas_type", "zero", finals, &final, err))
        return err->code;
    if (karras + lu + exponential > 1)
        return dk_fail(err, DK_EFORMAT, "%s: more than one of use_karras_sigmas, use_lu_lambdas, "
                       "use_exponential_sigmas", cfg.doc);
    s->sigma_kind = karras ? SIGMAS_KARRAS : lu ? SIGMAS_LU : exponential ? SIGMAS_EXPONENTIAL
                                                                          : SIGMAS_PLAIN;
    s->final_zero = final == 0;
    return 0;
}

static int read_dpm(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    static const char *const algorithms[] = {"dpmsolver++", "sde-dpmsolver++", NULL};
    static const char *const solvers[] = {"midpoint", "heun", "logrho", "bh1", "bh2", NULL};
    int algorithm = 0, solver = 0;

    if (choice(cfg, "algorithm_type", "dpmsolver++", algorithms, &algorithm, err) ||
        choice(cfg, "solver_type", "midpoint", solvers, &solver, err) ||
        dk_json_int(cfg, "solver_order", 2, 1, 3, &s->order, err) ||
        dk_json_bool(cfg, "lower_order_final", true, &s->lower_order_final, err) ||
        dk_json_bool(cfg, "euler_at_final", false, &s->euler_at_final, err) ||
        dk_json_f64(cfg, "lambda_min_clipped", -INFINITY, &s->lambda_min, err))
        return err->code;
    if (isnan(s->lambda_min))
        return dk_fail(err, DK_EFORMAT, "%s: lambda_min_clipped is no number", cfg.doc);
    s->sde = algorithm == 1;
    s->heun = solver == 1; /* the published class reads the other names as midpoint */
    return read_sigma_kind(s, cfg, err);
}

static int read_ddpm(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    static const char *const names[] = {"fixed_small", "fixed_small_log", "fixed_large",
                                        "learned",     "learned_range",   NULL};
    int variance = 0;

    if (choice(cfg, "variance_type", "fixed_small", names, &variance, err))
        return err->code;
    s->variance = (sched_variance)variance;
    return 0;
}

static int read_euler(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    static const char *const interpolations[] = {"linear", "log_linear", NULL};
    static const char *const types[] = {"discrete", NULL};
    double limit;
    int interpolation = 0, type = 0;

    if (choice(cfg, "interpolation_type", "linear", interpolations, &interpolation, err) ||
        choice(cfg, "timestep_type", "discrete", types, &type, err) ||
        dk_json_f64(cfg, "sigma_min", NAN, &limit, err))
        return err->code;
    if (!isnan(limit))
        return dk_fail(err, DK_EUNSUPPORTED, "%s: sigma_min is not supported", cfg.doc);
    s->log_linear = interpolation == 1;
    return read_sigma_kind(s, cfg, err);
}

/* ---- The training schedule. */

/* torch.linspace in f32: from both ends towards the middle. */
static float linspace_f32(float a, float b, int n, int i)
{
    if (n == 1)
        return a;
    float step = (b - a) / (float)(n - 1);
    return i < n / 2 ? a + step * (float)i : b - step * (float)(n - 1 - i);
}

/* alpha-bar of squaredcos_cap_v2 (Nichol and Dhariwal 2021). */
static double cosine(double u)
{
    double c = cos((u + 0.008) / 1.008 * 3.14159265358979323846 / 2);
    return c * c;
}

static int fill_betas(dk_sched *s, dk_jnode cfg, float *beta, dk_err *err)
{
    static const char *const names[] = {"linear", "scaled_linear", "squaredcos_cap_v2", NULL};
    dk_jnode trained = dk_json_key(cfg, "trained_betas");
    int which = 0;

    if (choice(cfg, "beta_schedule", "linear", names, &which, err))
        return err->code;
    s->beta_schedule = names[which];
    if (trained.v && !dk_json_is_null(trained)) {
        if (json_array_size(trained.v) != (size_t)s->train)
            return dk_json_expected(trained, "an array of num_train_timesteps numbers", err);
        for (int i = 0; i < s->train; i++) {
            dk_jnode item = dk_json_item(trained, (size_t)i);
            double v = json_number_value(item.v);
            if (!json_is_number(item.v) || !(v >= 0 && v < 1))
                return dk_json_expected(item, "a number in [0, 1)", err);
            beta[i] = (float)v;
        }
        return 0;
    }
    for (int i = 0; i < s->train; i++) {
        if (which == 0) {
            beta[i] = linspace_f32((float)s->beta_start, (float)s->beta_end, s->train, i);
        } else if (which == 1) {
            float root = linspace_f32((float)sqrt(s->beta_start), (float)sqrt(s->beta_end), s->train, i);
            beta[i] = root * root;
        } else {
            double v = 1 - cosine((i + 1.0) / s->train) / cosine((double)i / s->train);
            beta[i] = (float)(v < 0.999 ? v : 0.999);
        }
    }
    return 0;
}

/* Zero terminal SNR (Lin et al. 2023, algorithm 1), back through betas as published. */
static void rescale(float *beta, int n)
{
    float *root = dk_xmalloc((size_t)n * sizeof *root);
    double product = 1;

    for (int i = 0; i < n; i++) {
        product *= 1 - beta[i];
        root[i] = sqrtf((float)product);
    }
    float first = root[0], last = root[n - 1];
    for (int i = 0; i < n; i++)
        root[i] = (root[i] - last) * (first / (first - last));
    for (int i = n - 1; i >= 0; i--) {
        float a = root[i] * root[i], b = i ? root[i - 1] * root[i - 1] : 1;
        beta[i] = 1 - a / b;
    }
    free(root);
}

static int make_schedule(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    float *beta = dk_xmalloc((size_t)s->train * sizeof *beta);
    double product = 1; /* torch accumulates a product of f32 in f64 */

    s->acp = dk_xmalloc((size_t)s->train * sizeof *s->acp);
    if (!fill_betas(s, cfg, beta, err)) {
        if (s->zero_snr && s->train > 1)
            rescale(beta, s->train);
        for (int i = 0; i < s->train; i++) {
            product *= 1 - beta[i];
            s->acp[i] = (float)product;
        }
        /* Close to zero without infinite sigmas (DPM-Solver and Euler only, as published). */
        if (s->zero_snr && (s->kind == DK_SCHED_DPMPP || s->kind == DK_SCHED_EULER))
            s->acp[s->train - 1] = 0x1p-24f;
    }
    free(beta);
    return err->code;
}

static int find_kind(int kind, dk_jnode cfg, dk_err *err)
{
    const char *cls;

    if (kind >= 0)
        return kind;
    if (dk_json_str(cfg, "_class_name", NULL, &cls, err))
        return -1;
    for (int k = 0; cls && k < N_KINDS; k++)
        if (strcmp(kinds[k].cls, cls) == 0)
            return k;
    if (!cls)
        dk_fail(err, DK_EFORMAT, "%s: _class_name is missing", cfg.doc ? cfg.doc : "scheduler");
    else
        dk_fail(err, DK_EUNSUPPORTED,
                "%s: _class_name \"%s\" is not supported (DPMSolverMultistepScheduler, DDIMScheduler, "
                "DDPMScheduler, EulerDiscreteScheduler); choose one with --scheduler",
                cfg.doc, cls);
    return -1;
}

dk_sched *dk_sched_new(int kind, dk_jnode cfg, dk_err *err)
{
    int found = find_kind(kind, cfg, err), rc;

    if (found < 0)
        return NULL;
    dk_sched *s = dk_xcalloc(1, sizeof *s);
    s->kind = (dk_sched_kind)found;
    s->final_zero = true;
    rc = read_common(s, cfg, kind >= 0, err);
    if (!rc && s->kind == DK_SCHED_DPMPP)
        rc = read_dpm(s, cfg, err);
    else if (!rc && s->kind == DK_SCHED_DDPM)
        rc = read_ddpm(s, cfg, err);
    else if (!rc && s->kind == DK_SCHED_EULER)
        rc = read_euler(s, cfg, err);
    if (rc || make_schedule(s, cfg, err)) {
        dk_sched_free(s);
        return NULL;
    }
    return s;
}

void dk_sched_free(dk_sched *s)
{
    if (!s)
        return;
    dk_sched_reset(s);
    free(s->acp);
    free(s->t);
    free(s->sigmas);
    free(s);
}

const char *dk_sched_name(const dk_sched *s) { return kinds[s->kind].name; }

const char *dk_sched_label(const dk_sched *s)
{
    static const char *const suffix[] = {"", " Karras", " Lu", " Exponential"};
    char *label = ((dk_sched *)s)->label; /* filled at first use */

    if (s->kind == DK_SCHED_DPMPP)
        snprintf(label, sizeof s->label, "DPM++ %dM%s%s", s->order, s->sde ? " SDE" : "",
                 suffix[s->sigma_kind]);
    else
        snprintf(label, sizeof s->label, "%s%s",
                 s->kind == DK_SCHED_DDIM ? "DDIM" : s->kind == DK_SCHED_DDPM ? "DDPM" : "Euler",
                 suffix[s->sigma_kind]);
    return label;
}

json_t *dk_sched_options(const dk_sched *s)
{
    static const char *const predictions[] = {"epsilon", "v_prediction", "sample"};
    static const char *const spacings[] = {"linspace", "leading", "trailing"};
    static const char *const sigmas[] = {"plain", "karras", "lu", "exponential"};
    static const char *const variances[] = {"fixed_small", "fixed_small_log", "fixed_large", "learned",
                                            "learned_range"};
    json_t *o = json_object();

    json_object_set_new(o, "num_train_timesteps", json_integer(s->train));
    json_object_set_new(o, "beta_schedule", json_string(s->beta_schedule));
    json_object_set_new(o, "beta_start", json_real(s->beta_start));
    json_object_set_new(o, "beta_end", json_real(s->beta_end));
    json_object_set_new(o, "prediction_type", json_string(predictions[s->prediction]));
    json_object_set_new(o, "timestep_spacing", json_string(spacings[s->spacing]));
    json_object_set_new(o, "steps_offset", json_integer(s->steps_offset));
    json_object_set_new(o, "clip_sample", json_boolean(s->clip_sample));
    json_object_set_new(o, "thresholding", json_boolean(s->thresholding));
    json_object_set_new(o, "rescale_betas_zero_snr", json_boolean(s->zero_snr));
    if (s->kind == DK_SCHED_DPMPP) {
        json_object_set_new(o, "algorithm_type", json_string(s->sde ? "sde-dpmsolver++" : "dpmsolver++"));
        json_object_set_new(o, "solver_order", json_integer(s->order));
        json_object_set_new(o, "solver_type", json_string(s->heun ? "heun" : "midpoint"));
        json_object_set_new(o, "lower_order_final", json_boolean(s->lower_order_final));
        json_object_set_new(o, "euler_at_final", json_boolean(s->euler_at_final));
    }
    if (s->kind == DK_SCHED_DPMPP || s->kind == DK_SCHED_EULER) {
        json_object_set_new(o, "sigmas", json_string(sigmas[s->sigma_kind]));
        json_object_set_new(o, "final_sigmas_type", json_string(s->final_zero ? "zero" : "sigma_min"));
    }
    if (s->kind == DK_SCHED_DDIM)
        json_object_set_new(o, "set_alpha_to_one", json_boolean(s->set_alpha_to_one));
    if (s->kind == DK_SCHED_DDPM)
        json_object_set_new(o, "variance_type", json_string(variances[s->variance]));
    return o;
}

/* ---- Timesteps. */

void sched_space(dk_sched *s, int n, bool rounded)
{
    double step = s->spacing == SPACING_LINSPACE   ? (n > 1 ? (s->train - 1.0) / (n - 1) : 0)
                  : s->spacing == SPACING_TRAILING ? (double)s->train / n
                                                   : s->train / n;

    s->n = n;
    for (int i = 0; i < n; i++) {
        if (s->spacing == SPACING_TRAILING)
            s->t[i] = rint(s->train - i * step) - 1;
        else if (s->spacing == SPACING_LEADING)
            s->t[i] = (n - 1 - i) * step + s->steps_offset;
        else
            s->t[i] = rounded ? rint((n - 1 - i) * step) : (double)(float)((n - 1 - i) * step);
    }
}

/* The (fractional) timestep of a sigma, by interpolation in log sigma. */
static double sigma_to_t(const float *log_sigmas, int n, double sigma)
{
    double want = log(sigma > 1e-10 ? sigma : 1e-10);
    int low = 0;

    while (low + 1 < n && log_sigmas[low + 1] <= want)
        low++;
    if (low > n - 2)
        low = n - 2;
    double a = log_sigmas[low], b = log_sigmas[low + 1], w = (a - want) / (a - b);
    w = w < 0 ? 0 : w > 1 ? 1 : w;
    return (1 - w) * low + w * (low + 1);
}

static double interpolate(const float *y, int n, double x)
{
    if (x <= 0)
        return y[0];
    if (x >= n - 1)
        return y[n - 1];
    int i = (int)x;
    return y[i] + (x - i) * ((double)y[i + 1] - y[i]);
}

/* Sigma i of n between max and min: Karras (rho 7), or equal steps of log sigma (Lu, exponential). */
static double spread(sched_sigmas kind, double max, double min, int n, int i)
{
    double ramp = n > 1 ? (double)i / (n - 1) : 0;

    if (kind == SIGMAS_KARRAS) {
        double a = pow(max, 1.0 / 7), b = pow(min, 1.0 / 7);
        return pow(a + ramp * (b - a), 7);
    }
    return exp(log(max) + ramp * (log(min) - log(max)));
}

int sched_make_sigmas(dk_sched *s, int n, dk_err *err)
{
    bool dpm = s->kind == DK_SCHED_DPMPP, cosine_betas = s->beta_schedule[0] == 's' && s->beta_schedule[1] == 'q';
    float *all = dk_xmalloc(2 * (size_t)s->train * sizeof *all), *logs = all + s->train;

    s->sigmas = dk_xrealloc(s->sigmas, ((size_t)n + 1) * sizeof *s->sigmas);
    for (int i = 0; i < s->train; i++) {
        all[i] = sqrtf((1 - s->acp[i]) / s->acp[i]);
        logs[i] = logf(all[i]);
    }
    for (int i = 0; i < n; i++)
        s->sigmas[i] = (float)(s->log_linear
                                   ? exp(logs[s->train - 1] + (double)i / n * (logs[0] - logs[s->train - 1]))
                                   : interpolate(all, s->train, s->t[i]));
    if (s->sigma_kind != SIGMAS_PLAIN && s->train > 1) {
        /* Between the ends of training (DPM-Solver) or of the chosen timesteps (Euler). */
        double max = dpm ? all[s->train - 1] : interpolate(all, s->train, s->t[0]);
        double min = dpm ? all[0] : interpolate(all, s->train, s->t[n - 1]);
        for (int i = 0; i < n; i++) {
            double sigma = spread(s->sigma_kind, max, min, n, i);
            double t = sigma_to_t(logs, s->train, sigma);
            if (dpm)
                t = s->sigma_kind == SIGMAS_EXPONENTIAL || cosine_betas ? trunc(t) : rint(t);
            s->sigmas[i] = (float)sigma;
            s->t[i] = dpm ? t : (double)(float)t;
        }
    }
    s->sigmas[n] = s->final_zero ? 0 : all[0];
    free(all);
    for (int i = 0; i < n; i++)
        if (!isfinite(s->sigmas[i]) || !(s->sigmas[i] > 0))
            return dk_fail(err, DK_EFORMAT, "scheduler: the noise schedule gives sigma %g at step %d",
                           (double)s->sigmas[i], i);
    return 0;
}

int dk_sched_set_steps(dk_sched *s, int n, dk_err *err)
{
    int rc;

    if (n < 1 || n > s->train)
        return dk_fail(err, DK_EUSAGE, "--steps: expected 1 to %d (num_train_timesteps), found %d",
                       s->train, n);
    dk_sched_reset(s);
    s->t = dk_xrealloc(s->t, (size_t)n * sizeof *s->t);
    if (s->kind == DK_SCHED_DPMPP)
        rc = sched_dpm_steps(s, n, err);
    else if (s->kind == DK_SCHED_EULER)
        rc = sched_euler_steps(s, n, err);
    else
        rc = sched_ddim_steps(s, n, err);
    for (int i = 0; !rc && i < s->n; i++)
        if (!(s->t[i] >= 0 && s->t[i] < s->train))
            rc = dk_fail(err, DK_EFORMAT,
                         "scheduler: timestep %g is outside [0, %d); steps_offset %d is too large",
                         s->t[i], s->train, s->steps_offset);
    return rc;
}

int dk_sched_steps(const dk_sched *s) { return s->n; }

double dk_sched_timestep(const dk_sched *s, int i) { return s->t[i]; }

double dk_sched_init_sigma(const dk_sched *s)
{
    if (s->kind != DK_SCHED_EULER)
        return 1;
    float max = s->sigmas[0];
    return s->spacing == SPACING_LEADING ? sqrtf(max * max + 1) : max;
}

void dk_sched_reset(dk_sched *s)
{
    for (int i = 0; i < 3; i++) {
        dk_free_aligned(s->history[i]);
        s->history[i] = NULL;
    }
    s->known = 0;
    s->history_len = 0;
}

sched_point sched_at(float sigma)
{
    sched_point p;
    p.alpha = 1 / sqrtf(sigma * sigma + 1);
    p.s = sigma * p.alpha;
    p.lambda = logf(p.alpha) - logf(p.s);
    return p;
}

void dk_sched_add_noise(dk_sched *s, int i, const float *noise, float *x, size_t n)
{
    float a = 1, b;

    if (s->kind == DK_SCHED_EULER) {
        b = s->sigmas[i];
    } else if (s->kind == DK_SCHED_DPMPP) {
        a = sched_at(s->sigmas[i]).alpha;
        b = sched_at(s->sigmas[i]).s;
    } else {
        a = sqrtf(s->acp[(int)s->t[i]]);
        b = sqrtf(1 - s->acp[(int)s->t[i]]);
    }
    for (size_t k = 0; k < n; k++)
        x[k] = a * x[k] + b * noise[k];
}

void dk_sched_scale_input(const dk_sched *s, int i, const float *x, float *out, size_t n)
{
    if (s->kind != DK_SCHED_EULER) {
        memcpy(out, x, n * sizeof *x);
        return;
    }
    float root = sqrtf(s->sigmas[i] * s->sigmas[i] + 1);
    for (size_t k = 0; k < n; k++)
        out[k] = x[k] / root;
}

/* ---- Pieces of a step. */

float sched_x0(sched_prediction p, float output, float x, float sqrt_a, float sqrt_1a)
{
    switch (p) {
    case PREDICT_EPSILON: return (x - sqrt_1a * output) / sqrt_a;
    case PREDICT_V: return sqrt_a * x - sqrt_1a * output;
    case PREDICT_SAMPLE: break;
    }
    return output;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Dynamic thresholding (Saharia et al. 2022): q = quantile of |x0|, at least 1; x0 <- clamp / q. */
static void threshold(const dk_sched *s, float *x0, size_t n, float *scratch)
{
    for (size_t k = 0; k < n; k++)
        scratch[k] = fabsf(x0[k]);
    qsort(scratch, n, sizeof *scratch, by_value);
    double at = s->threshold_ratio * (double)(n - 1);
    size_t low = (size_t)at, high = low + 1 < n ? low + 1 : low;
    float q = (float)(scratch[low] + (at - (double)low) * (scratch[high] - scratch[low]));
    q = q < 1 ? 1 : q > (float)s->sample_max ? (float)s->sample_max : q;
    for (size_t k = 0; k < n; k++) {
        float v = x0[k];
        x0[k] = (v > q ? q : v < -q ? -q : v) / q;
    }
}

int sched_limit(const dk_sched *s, float *x0, size_t images, size_t n, dk_err *err)
{
    if (s->thresholding) {
        float *scratch = dk_alloc(n * sizeof(float), "thresholding", err);
        if (!scratch)
            return err->code;
        for (size_t b = 0; b < images; b++)
            threshold(s, x0 + b * n, n, scratch);
        dk_free_aligned(scratch);
    } else if (s->clip_sample) {
        float r = (float)s->clip_range;
        for (size_t k = 0; k < images * n; k++)
            x0[k] = x0[k] > r ? r : x0[k] < -r ? -r : x0[k];
    }
    return 0;
}

float *sched_push_history(dk_sched *s, size_t len, dk_err *err)
{
    float *oldest = s->history[2];

    if (s->history_len != len) {
        dk_sched_reset(s);
        oldest = NULL;
        s->history_len = len;
    }
    if (!oldest && !(oldest = dk_alloc(len * sizeof(float), "scheduler history", err)))
        return NULL;
    s->history[2] = s->history[1];
    s->history[1] = s->history[0];
    s->history[0] = oldest;
    if (s->known < 3)
        s->known++;
    return oldest;
}

int dk_sched_step(dk_sched *s, int i, const float *output, const float *variance, float *x,
                  size_t images, size_t n, dk_rng *rngs, dk_err *err)
{
    switch (s->kind) {
    case DK_SCHED_DPMPP: return sched_dpm_step(s, i, output, x, images, n, rngs, err);
    case DK_SCHED_DDIM: return sched_ddim_step(s, i, output, x, images, n, err);
    case DK_SCHED_DDPM: return sched_ddpm_step(s, i, output, variance, x, images, n, rngs, err);
    case DK_SCHED_EULER: return sched_euler_step(s, i, output, x, images, n, err);
    }
    return 0;
}
