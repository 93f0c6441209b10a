/* Shared by train.c, train_checkpoint.c and train_save.c: the state of a training run that a
 * checkpoint holds, and the options written as text. */
#ifndef DK_GRAPH_TRAIN_INTERNAL_H
#define DK_GRAPH_TRAIN_INTERNAL_H

#include "base/buf.h"
#include "graph/train.h"

typedef struct dk_trainer {
    dk_train_config c;   /* completed from the data set */
    const dk_dataset *d;
    dk_gnn *m;           /* the current weights */
    dk_optim *optim;
    int64_t items;       /* graphs, or nodes of the node task */
    dk_split *split;     /* [items] */
    size_t values;       /* elements of all parameters and buffers of m */
    float *best;         /* [values] of the best epoch, in the order of dk_trainer_tensor */
    int epoch, best_epoch; /* finished epochs; 1-based */
    int64_t best_right;  /* validation items predicted correctly at the best epoch */
    double best_train_loss, best_val_loss;
} dk_trainer;

/* Parameters, then buffers; NULL behind the last. */
const dk_param *dk_trainer_tensor(const dk_gnn *m, int i);

/* Calls put(ctx, key, value) for everything that decides the result of a run, the number of epochs
 * apart (a longer run passes through the states of a shorter one). */
typedef void dk_train_put(void *ctx, const char *key, const char *value);
void dk_train_describe(const dk_train_config *c, const dk_dataset *d, dk_train_put *put, void *ctx);
/* The optimiser's options with the length of the schedule filled in when it is 0: the whole run. */
dk_optim_config dk_train_schedule(const dk_train_config *c, int64_t train_items);
/* The fewest digits that read back equal. `v` is finite. */
void dk_train_real(dk_buf *b, double v);

int dk_trainer_save(const dk_trainer *t, dk_err *err); /* to c.checkpoint */
/* DK_EUSAGE when the options differ (all are named), DK_EFORMAT when the file is no checkpoint or
 * damaged; the trainer is unusable after a failure. */
int dk_trainer_load(dk_trainer *t, dk_err *err);

#endif
