/* Training of graph and node classifiers: mini-batches as block-diagonal graphs, early stopping by
 * validation accuracy (then loss), seeded splits, checkpoints that resume bit for bit. */
#ifndef DK_GRAPH_TRAIN_H
#define DK_GRAPH_TRAIN_H

#include "grad/optim.h"
#include "graph/dataset.h"
#include "graph/gnn.h"

typedef struct dk_train_config {
    dk_gnn_config model;     /* features, classes and task are filled from the data set */
    dk_optim_config optim;
    int epochs;              /* 300 */
    int batch;               /* graphs per step, 64; node task: full batch */
    int patience;            /* epochs without a better validation figure; 0: never stop early */
    double train_share, val_share; /* .8, .1; used when the data set has no split of its own */
    bool own_split;          /* use the data set's split where it has one (default true) */
    uint64_t seed;
    const char *checkpoint;  /* path or NULL: state after every `checkpoint_every` epochs */
    int checkpoint_every;
    bool resume;             /* continue from `checkpoint` if it exists; other options must agree */
} dk_train_config;
dk_train_config dk_train_defaults(dk_gnn_arch arch, dk_task task);

typedef struct dk_train_result {
    int best_epoch, epochs;          /* 1-based */
    double train_acc, val_acc, test_acc, all_acc;
    double train_loss, val_loss;     /* at the best epoch */
    int64_t train_n, val_n, test_n;
    double seconds;                  /* wall time; never stored in the model */
} dk_train_result;

typedef void dk_train_progress(void *ctx, int epoch, double train_loss, double val_loss, double val_acc);

/* d must not be encoded yet: trains on the folder's own encoding, which the model then carries.
 * Returns the best model (f32) or NULL. Same bytes for any number of threads. */
dk_gnn *dk_train(dk_dataset *d, const dk_train_config *c, dk_train_progress *progress, void *ctx,
                 dk_train_result *result, dk_err *err);
/* Declares the model's tensors and metadata (seed, accuracies, recipe, data set hash) on w. */
void dk_train_save(const dk_gnn *m, const dk_dataset *d, const dk_train_config *c,
                   const dk_train_result *r, dk_st_writer *w);

#endif
