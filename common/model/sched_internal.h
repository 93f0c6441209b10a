/* Private to the schedulers: the options of all four classes in one struct, and the state of a run.
 *
 *   scheduler.c     the public functions, and what the steps share: limits of x0, history
 *   sched_config.c  options from JSON and back
 *   sched_tables.c  the training schedule, timesteps, sigmas
 *   sched_dpm.c, sched_ddim.c, sched_ddpm.c, sched_euler.c
 *                   one sampler each, with its formulas */
#ifndef DK_MODEL_SCHED_INTERNAL_H
#define DK_MODEL_SCHED_INTERNAL_H

#include "model/scheduler.h"

#define SCHED_MAX_TRAIN 100000

typedef enum { PREDICT_EPSILON, PREDICT_V, PREDICT_SAMPLE } sched_prediction;
typedef enum { SPACING_LINSPACE, SPACING_LEADING, SPACING_TRAILING } sched_spacing;
typedef enum { BETAS_LINEAR, BETAS_SCALED, BETAS_COSINE, BETAS_SIGMOID } sched_betas;
typedef enum { SIGMAS_PLAIN, SIGMAS_KARRAS, SIGMAS_LU, SIGMAS_EXPONENTIAL } sched_sigmas;
typedef enum { DPM_PP, DPM_SDE_PP, DPM_NOISE, DPM_SDE_NOISE } sched_algorithm;
typedef enum {
    VAR_FIXED_SMALL,
    VAR_FIXED_SMALL_LOG,
    VAR_FIXED_LARGE,
    VAR_LEARNED,
    VAR_LEARNED_RANGE
} sched_variance;

struct dk_sched {
    dk_sched_kind kind;
    char label[48];
    /* Training schedule. */
    int train; /* num_train_timesteps */
    sched_betas betas;
    double beta_start, beta_end;
    bool trained_betas; /* the file lists them */
    bool zero_snr;
    float *acp; /* alphas_cumprod [train], f32 as published */
    /* Sampling. */
    sched_prediction prediction;
    sched_spacing spacing;
    int steps_offset;
    bool clip_sample, thresholding;
    double clip_range, threshold_ratio, sample_max;
    bool set_alpha_to_one;   /* DDIM */
    sched_variance variance; /* DDPM */
    bool log_linear;         /* Euler: interpolation_type */
    /* DPM-Solver and Euler. */
    sched_sigmas sigma_kind;
    bool final_zero;             /* final_sigmas_type zero; else sigma_min */
    double sigma_min, sigma_max; /* bounds of Karras and exponential; NaN: the schedule's */
    /* DPM-Solver. */
    sched_algorithm algorithm;
    int order;
    bool heun, lower_order_final, euler_at_final;
    double lambda_min;
    /* The run. */
    int asked;         /* steps asked for */
    int n;             /* entries of t; asked but for roundings of the published arithmetic */
    double *t;         /* [n] */
    float *sigmas;     /* [n + 1]; DPM-Solver and Euler */
    float *history[3]; /* what the model predicted at the last steps, newest first */
    size_t history_len;
    int known; /* entries of history that are filled */
};

/* ---- sched_config.c */

/* Everything but trained_betas. chosen: the user, not the file, named the class. */
int sched_read(dk_sched *s, dk_jnode cfg, bool chosen, dk_err *err);

/* ---- sched_tables.c */

int sched_make_acp(dk_sched *s, dk_jnode cfg, dk_err *err);
/* numpy.arange(from, 0, -step) with its roundings: out [at most max]; the number of values. */
int sched_arange_down(double from, double step, double *out, int max);
/* t from linspace / leading / trailing as DDIM, DDPM (rounded) and Euler (not) space them. */
void sched_space(dk_sched *s, bool rounded);
/* sigmas [n + 1] from t [n]; t anew for the Karras, Lu and exponential kinds. */
int sched_make_sigmas(dk_sched *s, dk_err *err);

/* ---- scheduler.c: pieces of a step */

/* alpha, sigma and lambda of the variance-preserving form of a sigma. */
typedef struct sched_point {
    float alpha, s, lambda;
} sched_point;
sched_point sched_at(float sigma);

/* x0 from the model's output: x = sqrt_a x0 + sqrt_1a eps. */
float sched_x0(sched_prediction p, float output, float x, float sqrt_a, float sqrt_1a);
/* eps from the model's output. */
float sched_eps(sched_prediction p, float output, float x, float sqrt_a, float sqrt_1a);
/* Thresholds (or, with clip_sample, clamps) the x0 of each image. */
int sched_limit(const dk_sched *s, float *x0, size_t images, size_t n, dk_err *err);
/* history[0] becomes a buffer of `len` floats, the others move back, the oldest of `keep` is
 * forgotten. NULL on exhaustion. */
float *sched_push_history(dk_sched *s, int keep, size_t len, dk_err *err);
/* [images, n] normals, each image from its own generator; freed with dk_free_aligned. */
float *sched_noise(dk_rng *rngs, size_t images, size_t n, dk_err *err);

/* ---- The samplers. */

int sched_dpm_steps(dk_sched *s, dk_err *err);
int sched_dpm_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                   dk_rng *rngs, dk_err *err);
int sched_ddim_step(dk_sched *s, int i, const float *output, float *x, size_t images, size_t n,
                    dk_err *err);
int sched_ddpm_step(dk_sched *s, int i, const float *output, const float *variance, float *x,
                    size_t images, size_t n, dk_rng *rngs, dk_err *err);
int sched_euler_steps(dk_sched *s, dk_err *err);
void sched_euler_step(const dk_sched *s, int i, const float *output, float *x, size_t len);

#endif
