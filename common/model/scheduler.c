/* The public face of the schedulers (see scheduler.h) and what their steps share. */
#include "model/scheduler.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/sched_internal.h"

static const struct {
    const char *name, *cls;
} kinds[] = {
    [DK_SCHED_DPMPP] = {"dpm++", "DPMSolverMultistepScheduler"},
    [DK_SCHED_DDIM] = {"ddim", "DDIMScheduler"},
    [DK_SCHED_DDPM] = {"ddpm", "DDPMScheduler"},
    [DK_SCHED_EULER] = {"euler", "EulerDiscreteScheduler"},
};
enum { N_KINDS = sizeof kinds / sizeof kinds[0] };

int dk_sched_kind_parse(const char *name)
{
    for (int k = 0; k < N_KINDS; k++)
        if (strcmp(kinds[k].name, name) == 0)
            return k;
    return -1;
}

const char *dk_sched_name(const dk_sched *s)
{
    return kinds[s->kind].name;
}

const char *dk_sched_label(const dk_sched *s)
{
    return s->label;
}

/* The kind that the file's _class_name names, or -1. */
static int find_kind(dk_jnode cfg, dk_err *err)
{
    const char *doc = cfg.doc ? cfg.doc : "scheduler", *cls;

    if (dk_json_str(cfg, "_class_name", NULL, &cls, err))
        return -1;
    for (int k = 0; cls && k < N_KINDS; k++)
        if (strcmp(kinds[k].cls, cls) == 0)
            return k;
    if (!cls)
        dk_fail(err, DK_EFORMAT, "%s: _class_name is missing", doc);
    else
        dk_fail(
            err, DK_EUNSUPPORTED,
            "%s: _class_name \"%.80s\" is not supported (DPMSolverMultistepScheduler, "
            "DDIMScheduler, DDPMScheduler, EulerDiscreteScheduler); choose one with --scheduler",
            doc, cls);
    return -1;
}

dk_sched *dk_sched_new(int kind, dk_jnode cfg, dk_err *err)
{
    int found = kind >= 0 ? kind : find_kind(cfg, err);

    if (found < 0)
        return NULL;
    dk_sched *s = dk_xcalloc(1, sizeof *s);
    s->kind = (dk_sched_kind)found;
    if (sched_read(s, cfg, kind >= 0, err) || sched_make_acp(s, cfg, err)) {
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

/* ---- Timesteps. */

/* DDIM and DDPM look the timestep up in the training schedule; the others interpolate and clamp. */
static int check_timesteps(const dk_sched *s, dk_err *err)
{
    if (s->kind != DK_SCHED_DDIM && s->kind != DK_SCHED_DDPM)
        return 0;
    for (int i = 0; i < s->n; i++)
        if (!(s->t[i] >= 0 && s->t[i] < s->train))
            return dk_fail(
                err, DK_EFORMAT,
                "scheduler: timestep %g is outside [0, %d): steps_offset %d is too large for "
                "%d steps",
                s->t[i], s->train, s->steps_offset, s->asked);
    return 0;
}

int dk_sched_set_steps(dk_sched *s, int n, dk_err *err)
{
    int rc = 0;

    if (n < 1 || n > s->train)
        return dk_fail(err, DK_EUSAGE, "--steps: expected 1 to %d (num_train_timesteps), found %d",
                       s->train, n);
    dk_sched_reset(s);
    s->asked = n;
    s->t = dk_xrealloc(s->t, ((size_t)n + 1) * sizeof *s->t);
    if (s->kind == DK_SCHED_DPMPP)
        rc = sched_dpm_steps(s, err);
    else if (s->kind == DK_SCHED_EULER)
        rc = sched_euler_steps(s, err);
    else
        sched_space(s, true);
    return rc ? rc : check_timesteps(s, err);
}

int dk_sched_steps(const dk_sched *s)
{
    return s->n;
}

double dk_sched_timestep(const dk_sched *s, int i)
{
    return s->t[i];
}

double dk_sched_init_sigma(const dk_sched *s)
{
    if (s->kind != DK_SCHED_EULER)
        return 1;
    float max = s->sigmas[0];
    for (int i = 1; i <= s->n; i++)
        max = s->sigmas[i] > max ? s->sigmas[i] : max;
    return s->spacing == SPACING_LEADING ? sqrtf(max * max + 1) : max;
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
    case PREDICT_EPSILON:
        return (x - sqrt_1a * output) / sqrt_a;
    case PREDICT_V:
        return sqrt_a * x - sqrt_1a * output;
    case PREDICT_SAMPLE:
        break;
    }
    return output;
}

float sched_eps(sched_prediction p, float output, float x, float sqrt_a, float sqrt_1a)
{
    switch (p) {
    case PREDICT_EPSILON:
        break;
    case PREDICT_V:
        return sqrt_a * output + sqrt_1a * x;
    case PREDICT_SAMPLE:
        return (x - sqrt_a * output) / sqrt_1a;
    }
    return output;
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* torch.quantile of sorted values: the rank in f32, then between its neighbours. */
static float quantile(const float *sorted, size_t n, float ratio)
{
    float rank = ratio * (float)(n - 1), below = floorf(rank), w = rank - below;
    size_t low = (size_t)below, high = (size_t)ceilf(rank);

    low = low < n ? low : n - 1;
    high = high < n ? high : n - 1;
    float a = sorted[low], b = sorted[high];
    return w < 0.5f ? a + w * (b - a) : b - (b - a) * (1 - w);
}

/* Dynamic thresholding (Saharia et al. 2022, section 2.3): q a quantile of |x0|, at least 1 and at
 * most sample_max_value; x0 <- clamp(x0, -q, q) / q. */
static void threshold(const dk_sched *s, float *x0, size_t n, float *scratch)
{
    for (size_t k = 0; k < n; k++)
        scratch[k] = fabsf(x0[k]);
    qsort(scratch, n, sizeof *scratch, by_value);
    float q = quantile(scratch, n, (float)s->threshold_ratio), most = (float)s->sample_max;
    q = q < 1 ? 1 : q;
    q = q > most ? most : q;
    for (size_t k = 0; k < n; k++) {
        float v = x0[k];
        x0[k] = (v > q ? q : v < -q ? -q : v) / q;
    }
}

int sched_limit(const dk_sched *s, float *x0, size_t images, size_t n, dk_err *err)
{
    if (s->thresholding && n > 0) {
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

void dk_sched_reset(dk_sched *s)
{
    for (int i = 0; i < 3; i++) {
        dk_free_aligned(s->history[i]);
        s->history[i] = NULL;
    }
    s->known = 0;
    s->history_len = 0;
}

float *sched_push_history(dk_sched *s, int keep, size_t len, dk_err *err)
{
    if (s->history_len != len) {
        dk_sched_reset(s);
        s->history_len = len;
    }
    float *oldest = s->history[keep - 1];
    if (!oldest && !(oldest = dk_alloc(len * sizeof(float), "scheduler history", err)))
        return NULL;
    for (int i = keep - 1; i > 0; i--)
        s->history[i] = s->history[i - 1];
    s->history[0] = oldest;
    if (s->known < keep)
        s->known++;
    return oldest;
}

float *sched_noise(dk_rng *rngs, size_t images, size_t n, dk_err *err)
{
    float *noise = dk_alloc(images * n * sizeof(float), "noise", err);

    for (size_t b = 0; noise && b < images; b++)
        dk_rng_normal(&rngs[b], noise + b * n, n);
    return noise;
}

int dk_sched_step(dk_sched *s, int i, const float *output, const float *variance, float *x,
                  size_t images, size_t n, dk_rng *rngs, dk_err *err)
{
    switch (s->kind) {
    case DK_SCHED_DPMPP:
        return sched_dpm_step(s, i, output, x, images, n, rngs, err);
    case DK_SCHED_DDIM:
        return sched_ddim_step(s, i, output, x, images, n, err);
    case DK_SCHED_DDPM:
        return sched_ddpm_step(s, i, output, variance, x, images, n, rngs, err);
    case DK_SCHED_EULER:
        sched_euler_step(s, i, output, x, images * n);
        break;
    }
    return 0;
}
