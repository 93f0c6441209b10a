/* Options of the schedulers: scheduler_config.json in, the effective options out.
 *
 * One file serves whatever class is asked for: each class takes the keys it knows. An absent key
 * has the class's default. null is what Python makes of it: no for a switch, the default for the
 * rest. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/sched_internal.h"

/* Names of the enums, in their order. */
static const char *const predictions[] = {"epsilon", "v_prediction", "sample", NULL};
static const char *const spacings[] = {"linspace", "leading", "trailing", NULL};
static const char *const betas[] = {"linear", "scaled_linear", "squaredcos_cap_v2", "sigmoid",
                                    NULL};
static const char *const variances[] = {"fixed_small", "fixed_small_log", "fixed_large",
                                        "learned",     "learned_range",   NULL};
static const char *const algorithms[] = {"dpmsolver++", "sde-dpmsolver++", "dpmsolver",
                                         "sde-dpmsolver", NULL};
static const char *const sigma_kinds[] = {"plain", "karras", "lu", "exponential", NULL};
static const char *const finals[] = {"zero", "sigma_min", NULL};

/* ---- In. */

static int flag(dk_jnode cfg, const char *key, bool def, bool *out, dk_err *err)
{
    return dk_json_bool(cfg, key, def && !dk_json_is_null(dk_json_key(cfg, key)), out, err);
}

static int unsupported(dk_jnode cfg, const char *key, const char *found, dk_err *err)
{
    return dk_fail(err, DK_EUNSUPPORTED, "%s: %s \"%.80s\" is not supported", cfg.doc, key, found);
}

/* One of `names` (NULL-terminated); DK_EUNSUPPORTED for anything else. */
static int choice(dk_jnode cfg, const char *key, int def, const char *const *names, int *out,
                  dk_err *err)
{
    const char *found;

    if (dk_json_str(cfg, key, names[def], &found, err))
        return err->code;
    for (*out = 0; names[*out]; ++*out)
        if (strcmp(names[*out], found) == 0)
            return 0;
    return unsupported(cfg, key, found, err);
}

/* Switches of the published classes that change the result and are not here. */
static int refuse(dk_jnode cfg, const char *key, dk_err *err)
{
    bool on;

    if (flag(cfg, key, false, &on, err))
        return err->code;
    return on ? dk_fail(err, DK_EUNSUPPORTED, "%s: %s true is not supported", cfg.doc, key) : 0;
}

static int read_training(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    int which = 0;

    if (dk_json_int(cfg, "num_train_timesteps", 1000, 1, SCHED_MAX_TRAIN, &s->train, err) ||
        dk_json_f64(cfg, "beta_start", 0.0001, &s->beta_start, err) ||
        dk_json_f64(cfg, "beta_end", 0.02, &s->beta_end, err) ||
        choice(cfg, "beta_schedule", 0, betas, &which, err) ||
        flag(cfg, "rescale_betas_zero_snr", false, &s->zero_snr, err))
        return err->code;
    s->betas = (sched_betas)which;
    if (s->betas == BETAS_SIGMOID && s->kind != DK_SCHED_DDPM)
        return unsupported(cfg, "beta_schedule", betas[which], err);
    if (!(s->beta_start >= 0 && s->beta_start <= 1))
        return dk_json_expected(dk_json_key(cfg, "beta_start"), "a number in [0, 1]", err);
    if (!(s->beta_end >= 0 && s->beta_end <= 1))
        return dk_json_expected(dk_json_key(cfg, "beta_end"), "a number in [0, 1]", err);
    return 0;
}

static int read_sampling(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    bool leads = s->kind == DK_SCHED_DDIM || s->kind == DK_SCHED_DDPM;
    const char *prediction;
    int which = 0, spacing = 0;

    if (choice(cfg, "timestep_spacing", leads ? SPACING_LEADING : SPACING_LINSPACE, spacings,
               &spacing, err) ||
        dk_json_int(cfg, "steps_offset", 0, 0, SCHED_MAX_TRAIN, &s->steps_offset, err) ||
        dk_json_str(cfg, "prediction_type", predictions[0], &prediction, err))
        return err->code;
    s->spacing = (sched_spacing)spacing;
    /* Euler's older name. */
    if (s->kind == DK_SCHED_EULER && strcmp(prediction, "original_sample") == 0)
        which = PREDICT_SAMPLE;
    else if (choice(cfg, "prediction_type", 0, predictions, &which, err))
        return err->code;
    s->prediction = (sched_prediction)which;
    return 0;
}

static int read_thresholding(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    static const char ratio[] = "dynamic_thresholding_ratio", most[] = "sample_max_value";

    if (flag(cfg, "thresholding", false, &s->thresholding, err) || !s->thresholding)
        return err->code;
    if (dk_json_f64(cfg, ratio, 0.995, &s->threshold_ratio, err) ||
        dk_json_f64(cfg, most, 1.0, &s->sample_max, err))
        return err->code;
    if (!(s->threshold_ratio >= 0 && s->threshold_ratio <= 1))
        return dk_json_expected(dk_json_key(cfg, ratio), "a number in [0, 1]", err);
    if (!(s->sample_max > 0))
        return dk_json_expected(dk_json_key(cfg, most), "a number above 0", err);
    return 0;
}

static int read_clipping(dk_sched *s, dk_jnode cfg, bool chosen, dk_err *err)
{
    static const char range[] = "clip_sample_range";

    /* Both classes clip by default, which is right for pixels and wrong for latents: where the user
     * put the class in the place of another, only the file's word counts. */
    if (flag(cfg, "clip_sample", !chosen, &s->clip_sample, err) || !s->clip_sample)
        return err->code;
    if (dk_json_f64(cfg, range, 1.0, &s->clip_range, err))
        return err->code;
    if (!(s->clip_range > 0))
        return dk_json_expected(dk_json_key(cfg, range), "a number above 0", err);
    return 0;
}

static int read_bound(dk_jnode cfg, const char *key, double *out, dk_err *err)
{
    dk_jnode node = dk_json_key(cfg, key);

    if (dk_json_f64(cfg, key, NAN, out, err))
        return err->code;
    if (node.v && !dk_json_is_null(node) && !(*out > 0 && *out < INFINITY))
        return dk_json_expected(node, "a finite number above 0", err);
    return 0;
}

static int read_sigma_kind(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    bool karras, lu = false, exponential;
    int final = 0;

    if (refuse(cfg, "use_beta_sigmas", err) || refuse(cfg, "use_flow_sigmas", err) ||
        flag(cfg, "use_karras_sigmas", false, &karras, err) ||
        flag(cfg, "use_exponential_sigmas", false, &exponential, err) ||
        (s->kind == DK_SCHED_DPMPP && flag(cfg, "use_lu_lambdas", false, &lu, err)) ||
        choice(cfg, "final_sigmas_type", 0, finals, &final, err) ||
        read_bound(cfg, "sigma_min", &s->sigma_min, err) ||
        read_bound(cfg, "sigma_max", &s->sigma_max, err))
        return err->code;
    if (karras && exponential)
        return dk_fail(err, DK_EFORMAT,
                       "%s: only one of use_karras_sigmas and use_exponential_sigmas can be true",
                       cfg.doc);
    s->sigma_kind = karras        ? SIGMAS_KARRAS
                    : lu          ? SIGMAS_LU
                    : exponential ? SIGMAS_EXPONENTIAL
                                  : SIGMAS_PLAIN;
    s->final_zero = final == 0;
    return 0;
}

static int read_dpm(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    /* The names that other solvers' files carry stand for the first of each. */
    static const char *const names[] = {
        "dpmsolver++", "sde-dpmsolver++", "dpmsolver", "sde-dpmsolver", "deis", NULL};
    static const char *const solvers[] = {"midpoint", "heun", "logrho", "bh1", "bh2", NULL};
    int algorithm = 0, solver = 0;

    if (choice(cfg, "algorithm_type", 0, names, &algorithm, err) ||
        choice(cfg, "solver_type", 0, solvers, &solver, err) ||
        dk_json_int(cfg, "solver_order", 2, 1, 3, &s->order, err) ||
        flag(cfg, "lower_order_final", true, &s->lower_order_final, err) ||
        flag(cfg, "euler_at_final", false, &s->euler_at_final, err) ||
        dk_json_f64(cfg, "lambda_min_clipped", -INFINITY, &s->lambda_min, err) ||
        read_sigma_kind(s, cfg, err))
        return err->code;
    if (isnan(s->lambda_min))
        return dk_json_expected(dk_json_key(cfg, "lambda_min_clipped"), "a number", err);
    s->algorithm = algorithm == 4 ? DPM_PP : (sched_algorithm)algorithm;
    s->heun = solver == 1;
    if (s->algorithm == DPM_SDE_NOISE && s->order == 3)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: solver_order 3 with algorithm_type \"sde-dpmsolver\" is not supported",
                       cfg.doc);
    if ((s->algorithm == DPM_NOISE || s->algorithm == DPM_SDE_NOISE) && s->final_zero)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: algorithm_type \"%s\" with final_sigmas_type \"zero\" is not supported "
                       "(its formulas need \"sigma_min\")",
                       cfg.doc, algorithms[s->algorithm]);
    return 0;
}

static int read_ddpm(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    int variance = 0;

    if (choice(cfg, "variance_type", 0, variances, &variance, err))
        return err->code;
    s->variance = (sched_variance)variance;
    return 0;
}

static int read_euler(dk_sched *s, dk_jnode cfg, dk_err *err)
{
    static const char *const interpolations[] = {"linear", "log_linear", NULL};
    static const char *const types[] = {"discrete", "continuous", NULL};
    int interpolation = 0, type = 0;

    if (choice(cfg, "interpolation_type", 0, interpolations, &interpolation, err) ||
        choice(cfg, "timestep_type", 0, types, &type, err))
        return err->code;
    /* Continuous timesteps exist for v-prediction only; the published class ignores them elsewhere.
     */
    if (type == 1 && s->prediction == PREDICT_V)
        return unsupported(cfg, "timestep_type", types[type], err);
    s->log_linear = interpolation == 1;
    return read_sigma_kind(s, cfg, err);
}

/* As other programs print it: "DPM++ 2M SDE Karras". */
static void make_label(dk_sched *s)
{
    static const char *const suffix[] = {"", " Karras", " Lu", " Exponential"};
    static const char *const plain[] = {
        [DK_SCHED_DDIM] = "DDIM", [DK_SCHED_DDPM] = "DDPM", [DK_SCHED_EULER] = "Euler"};
    bool data = s->algorithm == DPM_PP || s->algorithm == DPM_SDE_PP;
    bool sde = s->algorithm == DPM_SDE_PP || s->algorithm == DPM_SDE_NOISE;

    if (s->kind == DK_SCHED_DPMPP)
        snprintf(s->label, sizeof s->label, "DPM%s %dM%s%s%s", data ? "++" : "", s->order,
                 sde ? " SDE" : "", s->heun && s->order == 2 ? " Heun" : "", suffix[s->sigma_kind]);
    else
        snprintf(s->label, sizeof s->label, "%s%s", plain[s->kind], suffix[s->sigma_kind]);
}

int sched_read(dk_sched *s, dk_jnode cfg, bool chosen, dk_err *err)
{
    int rc = 0;

    if (read_training(s, cfg, err) || read_sampling(s, cfg, err))
        return err->code;
    if (s->kind != DK_SCHED_EULER && read_thresholding(s, cfg, err))
        return err->code;
    switch (s->kind) {
    case DK_SCHED_DPMPP:
        rc = read_dpm(s, cfg, err);
        break;
    case DK_SCHED_DDIM:
        rc = read_clipping(s, cfg, chosen, err);
        if (!rc)
            rc = flag(cfg, "set_alpha_to_one", true, &s->set_alpha_to_one, err);
        break;
    case DK_SCHED_DDPM:
        rc = read_clipping(s, cfg, chosen, err);
        if (!rc)
            rc = read_ddpm(s, cfg, err);
        break;
    case DK_SCHED_EULER:
        rc = read_euler(s, cfg, err);
        break;
    }
    if (!rc)
        make_label(s);
    return rc;
}

/* ---- Out. */

static void set_str(json_t *o, const char *key, const char *v)
{
    json_object_set_new(o, key, json_string(v));
}

static void set_flag(json_t *o, const char *key, bool v)
{
    json_object_set_new(o, key, json_boolean(v));
}

/* Infinity and NaN, which JSON has no word for, stand for "not set" and are left out. */
static void set_real(json_t *o, const char *key, double v)
{
    if (isfinite(v))
        json_object_set_new(o, key, json_real(v));
}

static void add_training(json_t *o, const dk_sched *s)
{
    json_object_set_new(o, "num_train_timesteps", json_integer(s->train));
    if (s->trained_betas) {
        set_flag(o, "trained_betas", true);
    } else {
        set_str(o, "beta_schedule", betas[s->betas]);
        set_real(o, "beta_start", s->beta_start);
        set_real(o, "beta_end", s->beta_end);
    }
    set_flag(o, "rescale_betas_zero_snr", s->zero_snr);
}

static void add_limits(json_t *o, const dk_sched *s)
{
    if (s->kind != DK_SCHED_EULER) {
        set_flag(o, "thresholding", s->thresholding);
        if (s->thresholding) {
            set_real(o, "dynamic_thresholding_ratio", s->threshold_ratio);
            set_real(o, "sample_max_value", s->sample_max);
        }
    }
    if (s->kind == DK_SCHED_DDIM || s->kind == DK_SCHED_DDPM) {
        set_flag(o, "clip_sample", s->clip_sample);
        if (s->clip_sample)
            set_real(o, "clip_sample_range", s->clip_range);
    }
}

json_t *dk_sched_options(const dk_sched *s)
{
    json_t *o = json_object();

    add_training(o, s);
    set_str(o, "prediction_type", predictions[s->prediction]);
    set_str(o, "timestep_spacing", spacings[s->spacing]);
    json_object_set_new(o, "steps_offset", json_integer(s->steps_offset));
    add_limits(o, s);
    if (s->kind == DK_SCHED_DPMPP) {
        set_str(o, "algorithm_type", algorithms[s->algorithm]);
        json_object_set_new(o, "solver_order", json_integer(s->order));
        set_str(o, "solver_type", s->heun ? "heun" : "midpoint");
        set_flag(o, "lower_order_final", s->lower_order_final);
        set_flag(o, "euler_at_final", s->euler_at_final);
        set_real(o, "lambda_min_clipped", s->lambda_min);
    }
    if (s->kind == DK_SCHED_EULER)
        set_str(o, "interpolation_type", s->log_linear ? "log_linear" : "linear");
    if (s->kind == DK_SCHED_DPMPP || s->kind == DK_SCHED_EULER) {
        set_str(o, "sigmas", sigma_kinds[s->sigma_kind]);
        set_real(o, "sigma_min", s->sigma_min);
        set_real(o, "sigma_max", s->sigma_max);
        set_str(o, "final_sigmas_type", finals[s->final_zero ? 0 : 1]);
    }
    if (s->kind == DK_SCHED_DDIM)
        set_flag(o, "set_alpha_to_one", s->set_alpha_to_one);
    if (s->kind == DK_SCHED_DDPM)
        set_str(o, "variance_type", variances[s->variance]);
    return o;
}
