/* The options of a training run as text: for the metadata of the trained model and for the
 * comparison with a checkpoint's. Nothing here depends on the time or the machine. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/version.h"
#include "graph/train_internal.h"
#include "io/json.h"

typedef struct sink {
    dk_train_put *put;
    void *ctx;
} sink;

static void put_int(const sink *s, const char *key, int64_t v)
{
    char text[32];

    snprintf(text, sizeof text, "%" PRId64, v);
    s->put(s->ctx, key, text);
}

static void put_real(const sink *s, const char *key, double v)
{
    dk_buf b = {0};

    dk_train_real(&b, v);
    s->put(s->ctx, key, dk_buf_str(&b));
    dk_buf_free(&b);
}

void dk_train_real(dk_buf *b, double v)
{
    json_t *real = json_real(v);

    dk_json_dump(b, real, false);
    json_decref(real);
}

static const char *algo_name(dk_opt_algo a)
{
    return a == DK_OPTIM_SGD ? "sgd" : a == DK_OPTIM_ADAM ? "adam" : "adamw";
}

static const char *schedule_name(dk_lr_kind k)
{
    static const char *const names[] = {"constant", "cosine", "step", "linear"};

    return names[k];
}

static void put_optimiser(const sink *s, const dk_optim_config *o)
{
    s->put(s->ctx, "optimizer", algo_name(o->algo));
    put_real(s, "lr", o->lr);
    put_real(s, "weight_decay", o->weight_decay);
    if (o->algo == DK_OPTIM_SGD) {
        put_real(s, "momentum", o->momentum);
    } else {
        put_real(s, "beta1", o->beta1);
        put_real(s, "beta2", o->beta2);
        put_real(s, "eps", o->eps);
    }
    put_real(s, "clip_norm", o->clip_norm);
    s->put(s->ctx, "schedule", schedule_name(o->schedule));
    put_int(s, "warmup", o->warmup);
    if (o->schedule == DK_LR_STEP) {
        put_int(s, "step_size", o->step_size);
        put_real(s, "gamma", o->gamma);
    } else if (o->schedule != DK_LR_CONSTANT) {
        put_int(s, "total_steps", o->total_steps);
        put_real(s, "lr_min", o->lr_min);
    }
}

/* Everything of the run but the model's own configuration, which dk_gnn_save() writes. */
static void put_recipe(const sink *s, const dk_train_config *c, const dk_dataset *d)
{
    bool own = c->own_split && d->split;
    char seed[32];

    s->put(s->ctx, "dataset_hash", d->hash);
    snprintf(seed, sizeof seed, "%" PRIu64, c->seed);
    s->put(s->ctx, "seed", seed);
    put_optimiser(s, &c->optim);
    if (c->model.task == DK_TASK_GRAPH)
        put_int(s, "batch", c->batch);
    put_int(s, "patience", c->patience);
    put_real(s, "dropout", c->model.dropout);
    s->put(s->ctx, "split", own ? "own" : "random");
    if (!own) {
        put_real(s, "train_share", c->train_share);
        put_real(s, "val_share", c->val_share);
    }
}

void dk_train_describe(const dk_train_config *c, const dk_dataset *d, dk_train_put *put, void *ctx)
{
    const sink s = {put, ctx};
    const dk_gnn_config *m = &c->model;

    put_int(&s, "items", m->task == DK_TASK_GRAPH ? d->count : d->graphs[0].n);
    put(ctx, "arch", dk_gnn_arch_name(m->arch));
    put(ctx, "task", m->task == DK_TASK_GRAPH ? "graph" : "node");
    put_int(&s, "num_layers", m->layers);
    put_int(&s, "hidden", m->hidden);
    put_int(&s, "num_features", m->features);
    put_int(&s, "num_classes", m->classes);
    put_int(&s, "readout", m->readout);
    put_int(&s, "activation", m->activation);
    put_int(&s, "heads", m->heads);
    put_int(&s, "concat", m->concat);
    put_int(&s, "add_self_loops", m->add_self_loops);
    put_real(&s, "negative_slope", m->negative_slope);
    put_int(&s, "feature_row_sum", m->feature_row_sum);
    put_int(&s, "pad_nodes", m->pad_nodes);
    put_recipe(&s, c, d);
}

static void put_meta(void *ctx, const char *key, const char *value)
{
    dk_st_writer_meta(ctx, key, value);
}

void dk_train_save(const dk_gnn *m, const dk_dataset *d, const dk_train_config *c,
                   const dk_train_result *r, dk_st_writer *w)
{
    const sink s = {put_meta, w};
    dk_train_config full = *c;

    full.model = m->c;
    full.optim = dk_train_schedule(c, r->train_n);
    dk_gnn_save(m, w);
    put_recipe(&s, &full, d);
    put_int(&s, "epochs", c->epochs);
    put_int(&s, "epochs_run", r->epochs);
    put_int(&s, "best_epoch", r->best_epoch);
    put_int(&s, "train_count", r->train_n);
    put_int(&s, "val_count", r->val_n);
    put_int(&s, "test_count", r->test_n);
    put_real(&s, "train_accuracy", r->train_acc);
    put_real(&s, "val_accuracy", r->val_acc);
    put_real(&s, "test_accuracy", r->test_acc);
    put_real(&s, "all_accuracy", r->all_acc);
    put_meta(w, "self_loops", d->dropped_loops ? "drop" : "keep");
    put_meta(w, "trained_by", "ditkit " DK_VERSION);
}
