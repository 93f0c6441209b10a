/* Private to the schedulers: the options of all four classes in one struct, and the state of a run. */
#ifndef DK_MODEL_SCHED_INTERNAL_H
#define DK_MODEL_SCHED_INTERNAL_H

#include "model/scheduler.h"

#define SCHED_MAX_TRAIN 100000

typedef enum { PREDICT_EPSILON, PREDICT_V, PREDICT_SAMPLE } sched_prediction;
typedef enum { SPACING_LINSPACE, SPACING_LEADING, SPACING_TRAILING } sched_spacing;
typedef enum { VAR_FIXED_SMALL, VAR_FIXED_SMALL_LOG, VAR_FIXED_LARGE, VAR_LEARNED, VAR_LEARNED_RANGE } sched_variance;
typedef enum { SIGMAS_PLAIN, SIGMAS_KARRAS, SIGMAS_LU, SIGMAS_EXPONENTIAL } sched_sigmas;

struct dk_sched {
    dk_sched_kind kind;
    /* Training schedule. */
    int train; /* num_train_timesteps */
    double beta_start, beta_end;
    const char *beta_schedule; /* of a static list */
    bool zero_snr;
    float *acp; /* alphas_cumprod [train], f32 as published */
    /* Sampling. */
    sched_prediction prediction;
    sched_spacing spacing;
    int steps_offset;
    bool clip_sample, thresholding, set_alpha_to_one;
    double clip_range, threshold_ratio, sample_max;
    /* DPM-Solver. */
    int order;
    bool sde, heun, lower_order_final, euler_at_final;
    sched_sigmas sigma_kind;
    bool final_zero; /* final_sigmas_type zero; else sigma_min */
    double lambda_min;
    /* DDPM, Euler. */
    sched_variance variance;
    bool log_linear;
    /* The run. */
    int n;
    double *t;     /* [n] */
    float *sigmas; /* [n + 1]; DPM-Solver and Euler */
    float *history[3]; /* x0 of the last steps [images * size], newest first */
    size_t history_len;
    int known; /* entries of history that are filled */
    char label[48];
};

/* alpha, sigma and lambda of the variance-preserving form of a sigma. */
typedef struct sched_point {
    float alpha, s, lambda;
} sched_point;
sched_point sched_at(float sigma);

/* x0 from the model's output: x = sqrt(a) x0 + sqrt(1 - a) eps. */
float sched_x0(sched_prediction p, float output, float x, float sqrt_a, float sqrt_1a);
/* Clamps (clip_sample) or thresholds the x0 of each image. */
int sched_limit(const dk_sched *s, float *x0, size_t images, size_t n, dk_err *err);
/* history[0] becomes a fresh buffer of `len` floats, the others move back; NULL on exhaustion. */
float *sched_push_history(dk_sched *s, size_t len, dk_err *err);
/* sigmas [n + 1] and t [n] for DPM-Solver and Euler from the spaced timesteps t. */
int sched_make_sigmas(dk_sched *s, int n, dk_err *err);

int sched_dpm_steps(dk_sched *s, int n, dk_err *err);
int sched_dpm_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                   dk_rng *rngs, dk_err *err);
int sched_ddim_steps(dk_sched *s, int n, dk_err *err);
int sched_ddim_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                    dk_err *err);
int sched_ddpm_step(dk_sched *s, int i, const float *output, const float *variance, float *x,
                    size_t images, size_t n, dk_rng *rngs, dk_err *err);
int sched_euler_steps(dk_sched *s, int n, dk_err *err);
int sched_euler_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                     dk_err *err);
/* t from linspace / leading / trailing as DDIM, DDPM (rounded) and Euler (not) space them. */
void sched_space(dk_sched *s, int n, bool rounded);

#endif
