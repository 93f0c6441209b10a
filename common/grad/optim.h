/* Optimisers over a list of parameters, with PyTorch's formulas and defaults, learning-rate
 * schedules, and state that can be saved and resumed bit for bit. */
#ifndef DK_GRAD_OPTIM_H
#define DK_GRAD_OPTIM_H

#include "base/err.h"
#include "grad/tape.h"
#include "io/safetensors.h"

typedef enum { DK_OPTIM_SGD, DK_OPTIM_ADAM, DK_OPTIM_ADAMW } dk_opt_algo;
typedef enum {
    DK_LR_CONSTANT,
    DK_LR_COSINE, /* from lr to lr_min over total_steps */
    DK_LR_STEP,   /* times gamma every step_size steps */
    DK_LR_LINEAR  /* from lr to lr_min over total_steps */
} dk_lr_kind;

typedef struct dk_optim_config {
    dk_opt_algo algo;
    double lr;
    double momentum;            /* SGD; 0 */
    double beta1, beta2, eps;   /* Adam; .9, .999, 1e-8 */
    double weight_decay;        /* SGD, Adam: added to the gradient; AdamW: decoupled */
    double clip_norm;           /* > 0: gradients scaled so that their joint L2 norm is at most this */
    dk_lr_kind schedule;
    int64_t warmup, total_steps, step_size; /* in optimiser steps; warmup is linear from 0 */
    double lr_min, gamma;
} dk_optim_config;
dk_optim_config dk_optim_defaults(dk_opt_algo algo); /* lr 1e-3 (SGD 1e-2) */

typedef struct dk_optim dk_optim;
/* `params` is borrowed; all values are of type `real`. */
dk_optim *dk_optim_new(const dk_optim_config *c, dk_dtype real, dk_param *params, int n, dk_err *err);
void dk_optim_free(dk_optim *o);
void dk_optim_zero(dk_optim *o); /* all gradients to zero */
void dk_optim_step(dk_optim *o);
double dk_optim_lr(const dk_optim *o); /* of the next step */
int64_t dk_optim_steps(const dk_optim *o);
/* State as tensors "optim.m.NAME", "optim.v.NAME" and metadata "optim.step". */
void dk_optim_save(const dk_optim *o, dk_st_writer *w);
int dk_optim_load(dk_optim *o, const dk_st *st, dk_err *err);

#endif
