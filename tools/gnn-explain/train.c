/* gnn-explain train: a GNN from a data set. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "graph/train.h"
#include "gx.h"

static const char usage[] = "gnn-explain train -d DATA --arch NAME -o model.safetensors [options]";
static const char summary_text[] =
    "Trains a graph or node classifier and keeps the epoch with the best validation accuracy.";
static const char footer[] =
    "The model carries its configuration, the node-label values of the data set and its accuracies in\n"
    "the file's metadata (gnn-explain info).\n"
    "Example:\n"
    "  gnn-explain train -d MUTAG --arch gin --seed 1 -o mutag-gin.safetensors";

typedef struct train_options {
    gx_options o;
    const char *readout, *activation, *schedule, *optimizer, *split;
    int64_t layers, hidden, heads, epochs, batch, patience, checkpoint_every, warmup;
    double dropout, lr, weight_decay, clip;
    bool mean_heads, resume;
    const char *checkpoint;
    uint64_t seed;
    bool layers_given, hidden_given, heads_given, epochs_given, batch_given, patience_given,
        dropout_given, lr_given, weight_decay_given;
} train_options;

#define GIVEN_INT(name, field, lo, hi, arg, help)                                                  \
    {DK_KIND_INT, 0, name, &x->field, &x->field##_given, lo, hi, arg, help}
#define GIVEN_F64(name, field, lo, hi, arg, help)                                                  \
    {DK_KIND_F64, 0, name, &x->field, &x->field##_given, lo, hi, arg, help}

static void rows(dk_opt *t, int *n, train_options *x)
{
    const dk_opt mine[] = {
        DK_OPT_GROUP("Network"),
        DK_OPT_STR(0, "arch", &x->o.arch, "NAME",
                   "gcn, gin, sage, graphconv, gcn-norm, gat, gatv2, gcn-norm-cat, gcn-norm-maxmean"),
        GIVEN_INT("layers", layers, 1, DK_GNN_MAX_LAYERS, "N", "message-passing layers (default 3)"),
        GIVEN_INT("hidden", hidden, 1, 65536, "N", "width (default 64)"),
        GIVEN_INT("heads", heads, 1, 64, "N", "gat, gatv2: attention heads (default 1)"),
        DK_OPT_FLAG(0, "mean-heads", &x->mean_heads, "gat, gatv2: mean of the heads, not side by side"),
        DK_OPT_ENUM(0, "readout", &x->readout, "mean|sum|max", "graph task (default mean)"),
        DK_OPT_ENUM(0, "activation", &x->activation, "relu|elu|tanh", "default relu"),
        GIVEN_F64("dropout", dropout, 0, 0.99, "P", "before the last layer (default 0.5)"),
        DK_OPT_GROUP("Recipe"),
        GIVEN_INT("epochs", epochs, 1, 1000000, "N", "at most (default 300)"),
        GIVEN_INT("batch", batch, 1, 1000000, "N", "graphs per step (default 64); node task: all"),
        GIVEN_INT("patience", patience, 0, 1000000, "N",
                  "stop after N epochs without a better validation figure (0: never)"),
        DK_OPT_ENUM(0, "optimizer", &x->optimizer, "adam|adamw|sgd", "default adam"),
        GIVEN_F64("lr", lr, 0, 100, "R", "learning rate (default 0.001)"),
        GIVEN_F64("weight-decay", weight_decay, 0, 100, "W", "default 0.0005"),
        DK_OPT_F64(0, "clip", &x->clip, 0, 1e9, "N", "gradient norm at most N (default: any)"),
        DK_OPT_ENUM(0, "schedule", &x->schedule, "constant|cosine|linear", "learning rate over time"),
        DK_OPT_ENUM(0, "split", &x->split, "own|random",
                    "train, validation, test: the data set's where it has one (default), or a seeded "
                    "80/10/10"),
        DK_OPT_SEED('s', "seed", &x->seed, "initial weights, split, order, dropout (default 0)"),
        DK_OPT_GROUP("Output"),
        DK_OPT_STR('o', "output", &x->o.output, "FILE", "the model (safetensors)"),
        DK_OPT_STR(0, "checkpoint", &x->checkpoint, "FILE", "state after every few epochs"),
        DK_OPT_INT(0, "checkpoint-every", &x->checkpoint_every, 1, 1000000, "N",
                   "epochs between checkpoints (default 10)"),
        DK_OPT_FLAG(0, "resume", &x->resume, "go on from --checkpoint, bit for bit"),
    };
    memcpy(t + *n, mine, sizeof mine);
    *n += (int)(sizeof mine / sizeof mine[0]);
}

static int configure(const train_options *x, dk_train_config *c, dk_err *err)
{
    int arch = x->o.arch ? dk_gnn_arch_parse(x->o.arch) : -1;

    if (!x->o.arch)
        return dk_fail(err, DK_EUSAGE, "--arch NAME is needed, for instance gin");
    if (arch < 0)
        return dk_fail(err, DK_EUSAGE, "--arch: unknown architecture \"%s\"", x->o.arch);
    *c = dk_train_defaults((dk_gnn_arch)arch, DK_TASK_GRAPH);
    if (x->layers_given)
        c->model.layers = (int)x->layers;
    if (x->hidden_given)
        c->model.hidden = (int)x->hidden;
    if (x->heads_given)
        c->model.heads = (int)x->heads;
    c->model.concat = !x->mean_heads;
    if (x->dropout_given)
        c->model.dropout = x->dropout;
    if (x->readout)
        c->model.readout = strcmp(x->readout, "sum") == 0   ? DK_READ_SUM
                           : strcmp(x->readout, "max") == 0 ? DK_READ_MAX
                                                            : DK_READ_MEAN;
    if (x->activation)
        c->model.activation = strcmp(x->activation, "elu") == 0    ? DK_FN_ELU
                              : strcmp(x->activation, "tanh") == 0 ? DK_FN_TANH
                                                                   : DK_FN_RELU;
    if (x->epochs_given)
        c->epochs = (int)x->epochs;
    if (x->batch_given)
        c->batch = (int)x->batch;
    if (x->patience_given)
        c->patience = (int)x->patience;
    if (x->optimizer)
        c->optim.algo = strcmp(x->optimizer, "sgd") == 0     ? DK_OPTIM_SGD
                        : strcmp(x->optimizer, "adamw") == 0 ? DK_OPTIM_ADAMW
                                                             : DK_OPTIM_ADAM;
    if (x->lr_given)
        c->optim.lr = x->lr;
    if (x->weight_decay_given)
        c->optim.weight_decay = x->weight_decay;
    c->optim.clip_norm = x->clip;
    if (x->schedule)
        c->optim.schedule = strcmp(x->schedule, "cosine") == 0   ? DK_LR_COSINE
                            : strcmp(x->schedule, "linear") == 0 ? DK_LR_LINEAR
                                                                 : DK_LR_CONSTANT;
    c->own_split = !x->split || strcmp(x->split, "own") == 0;
    c->seed = x->seed;
    c->checkpoint = x->checkpoint;
    c->checkpoint_every = (int)x->checkpoint_every;
    c->resume = x->resume;
    if (x->resume && !x->checkpoint)
        return dk_fail(err, DK_EUSAGE, "--resume needs --checkpoint FILE");
    return 0;
}

typedef struct meter {
    dk_progress *p;
} meter;

static void progress(void *ctx, int epoch, double train_loss, double val_loss, double val_acc)
{
    dk_progress_step(((meter *)ctx)->p, epoch);
    dk_debug("epoch %d: training loss %.5f, validation loss %.5f, accuracy %.4f", epoch, train_loss,
             val_loss, val_acc);
}

static int save_model(const dk_gnn *m, const dk_dataset *d, const dk_train_config *c,
                      const dk_train_result *r, const gx_options *o, dk_err *err)
{
    dk_st_writer *w = dk_st_writer_new();

    dk_train_save(m, d, c, r, w);
    int rc = dk_st_writer_save(w, o->output, o->force, err);
    dk_st_writer_free(w);
    return rc;
}

static int print(const dk_train_result *r, const gx_options *o, dk_err *err)
{
    if (o->json) {
        json_t *j = json_object();
        json_object_set_new(j, "schema", json_string("dk.training/1"));
        json_object_set_new(j, "best_epoch", json_integer(r->best_epoch));
        json_object_set_new(j, "epochs", json_integer(r->epochs));
        json_object_set_new(j, "train_accuracy", gx_num(r->train_acc));
        json_object_set_new(j, "val_accuracy", gx_num(r->val_acc));
        json_object_set_new(j, "test_accuracy", gx_num(r->test_acc));
        json_object_set_new(j, "all_accuracy", gx_num(r->all_acc));
        json_object_set_new(j, "seconds", gx_num(r->seconds));
        return gx_write_json(j, "-", true, err);
    }
    printf("best epoch %d of %d: train %.4f, validation %.4f, test %.4f, all %.4f\n", r->best_epoch,
           r->epochs, r->train_acc, r->val_acc, r->test_acc, r->all_acc);
    dk_info("%.1f s", r->seconds);
    return 0;
}

int gx_train(int argc, char **argv, dk_err *err)
{
    train_options x = {.checkpoint_every = 10};
    dk_train_config c;
    dk_train_result r;
    dk_dataset d = {0};
    dk_gnn *m = NULL;
    dk_opt t[GX_ROWS];
    meter me = {0};
    int n = 0;

    gx_options_init(&x.o);
    gx_rows_data(t, &n, &x.o, false);
    rows(t, &n, &x);
    gx_rows_run(t, &n, &x.o, true);
    int rc = gx_parse(&x.o, t, usage, summary_text, footer, argc, argv, NULL, err);
    if (rc)
        return rc < 0 ? rc : 0;
    if (configure(&x, &c, err))
        return err->code;
    if (!x.o.data || !x.o.output)
        return dk_fail(err, DK_EUSAGE, "-d DATA and -o FILE are needed");
    const dk_dataset_options opt = {.drop_self_loops = strcmp(x.o.self_loops, "drop") == 0};
    if (dk_out_check(x.o.output, x.o.force, err) || dk_dataset_load(&d, x.o.data, &opt, err))
        goto out;
    me.p = dk_progress_begin("train", c.epochs);
    m = dk_train(&d, &c, progress, &me, &r, err);
    dk_progress_end(me.p);
    if (m && save_model(m, &d, &c, &r, &x.o, err) == 0)
        print(&r, &x.o, err);
out:
    dk_gnn_free(m);
    dk_dataset_free(&d);
    return err->code;
}
