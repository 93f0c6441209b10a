/* Schedulers: DPM-Solver++ multistep, DDIM, DDPM, Euler.
 *
 * A scheduler is made from the JSON of the directory's scheduler_config.json; it then holds the
 * timesteps for a number of steps and the history of one batch. Arithmetic of the coefficients is
 * f32 or f64 exactly where the published implementation has it; samples are f32. */
#ifndef DK_MODEL_SCHEDULER_H
#define DK_MODEL_SCHEDULER_H

#include "base/buf.h"
#include "base/rng.h"
#include "io/json.h"

typedef enum { DK_SCHED_DPMPP, DK_SCHED_DDIM, DK_SCHED_DDPM, DK_SCHED_EULER } dk_sched_kind;

typedef struct dk_sched dk_sched;

/* kind < 0: what the file's _class_name says (unknown: DK_EUNSUPPORTED, named). kind >= 0 (the
 * user chose): every key that this class knows is taken from the file, its own defaults otherwise;
 * clip_sample is on only if the file says true. cfg.v may be NULL: all defaults. Options that the
 * published class has and we do not are DK_EUNSUPPORTED, named, when switched on. */
dk_sched *dk_sched_new(int kind, dk_jnode cfg, dk_err *err);
void dk_sched_free(dk_sched *s);
const char *dk_sched_name(const dk_sched *s);  /* "dpm++", "ddim", "ddpm", "euler" */
const char *dk_sched_label(const dk_sched *s); /* as other programs print it: "DPM++ 2M Karras" */
int dk_sched_kind_parse(const char *name);     /* -1 if unknown */
/* The effective options as a JSON object (new reference): what decides the result. */
json_t *dk_sched_options(const dk_sched *s);

/* Chooses n timesteps (1..num_train_timesteps). Clears the history. Comes before all that
 * follows. */
int dk_sched_set_steps(dk_sched *s, int n, dk_err *err);
int dk_sched_steps(const dk_sched *s); /* entries of the list: n, but for published roundings */
double dk_sched_timestep(const dk_sched *s, int i); /* what the model is given */
double dk_sched_init_sigma(const dk_sched *s);      /* initial noise is multiplied by this */
void dk_sched_reset(dk_sched *s);                   /* forget the history: a new batch */
/* Starts the loop at step i of the list (image to image): x0 [n] -> noisy, in place. */
void dk_sched_add_noise(dk_sched *s, int i, const float *noise, float *x, size_t n);

/* Input of the model at step i: out [n] = x scaled (identity but for Euler). */
void dk_sched_scale_input(const dk_sched *s, int i, const float *x, float *out, size_t n);

/* One step: x [images, n] in place, model output [images, n] (guidance applied, first channels).
 * variance: the learned half of the output [images, n] for variance_type learned_range, else NULL.
 * rngs [images]: one generator per image, for the schedulers that add noise (each draws n at a
 * time); a NULL table where noise is needed is a bug. Steps must be taken in order. */
int dk_sched_step(dk_sched *s, int i, const float *output, const float *variance, float *x,
                  size_t images, size_t n, dk_rng *rngs, dk_err *err);

#endif
