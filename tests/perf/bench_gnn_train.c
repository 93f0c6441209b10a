/* Trains one recipe with several seeds and prints accuracies and times as CSV:
 *
 *     bench_gnn_train -d FOLDER [--arch gin] [--hidden 64] [--epochs 300] [--seeds 3] [--threads 2]
 *
 * One line per seed; with more than one, a last line with the means. --profile adds to stderr where a
 * training step spends its time (one thread of control: batch, forward, backward, optimiser). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/par.h"
#include "graph/train.h"

static struct options {
    const char *data, *arch, *readout;
    int64_t hidden, layers, epochs, batch, patience, seeds, threads;
    double lr, weight_decay, dropout;
    bool cosine, profile, trace;
} o = {.arch = "gin", .readout = "mean", .hidden = 64, .layers = 3, .epochs = 300, .batch = 64,
       .seeds = 3, .threads = 2, .lr = 1e-3, .weight_decay = 5e-4, .dropout = .5};

static const dk_opt table[] = {
    DK_OPT_STR('d', "data", &o.data, "DIR", "TU or CSV folder"),
    DK_OPT_STR(0, "arch", &o.arch, "NAME", "architecture (default gin)"),
    DK_OPT_ENUM(0, "readout", &o.readout, "mean|sum|max", "readout (default mean)"),
    DK_OPT_INT(0, "hidden", &o.hidden, 1, 4096, "N", "width (default 64)"),
    DK_OPT_INT(0, "layers", &o.layers, 1, 16, "N", "layers (default 3)"),
    DK_OPT_INT(0, "epochs", &o.epochs, 1, 100000, "N", "epochs (default 300)"),
    DK_OPT_INT(0, "batch", &o.batch, 1, 100000, "N", "graphs per step (default 64)"),
    DK_OPT_INT(0, "patience", &o.patience, 0, 100000, "N", "epochs without progress (default 0: all)"),
    DK_OPT_INT(0, "seeds", &o.seeds, 1, 100, "N", "seeds 1..N (default 3)"),
    DK_OPT_INT(0, "threads", &o.threads, 0, 1024, "N", "threads (default 2)"),
    DK_OPT_F64(0, "lr", &o.lr, 0, 10, "X", "learning rate (default .001)"),
    DK_OPT_F64(0, "weight-decay", &o.weight_decay, 0, 1, "X", "weight decay (default .0005)"),
    DK_OPT_F64(0, "dropout", &o.dropout, 0, .99, "X", "dropout (default .5)"),
    DK_OPT_FLAG(0, "cosine", &o.cosine, "learning rate falls to 0 over the run"),
    DK_OPT_FLAG(0, "profile", &o.profile, "time the pieces of a step"),
    DK_OPT_FLAG(0, "trace", &o.trace, "figures of every tenth epoch on stderr"),
    DK_OPT_END};

static void trace(void *ctx, int epoch, double train_loss, double val_loss, double val_acc)
{
    (void)ctx;
    if (epoch % 10 == 0)
        fprintf(stderr, "epoch %d  train %.4f  val %.4f  %.4f\n", epoch, train_loss, val_loss, val_acc);
}

static dk_train_config recipe(const dk_dataset *d, uint64_t seed)
{
    dk_train_config c = dk_train_defaults(dk_gnn_arch_parse(o.arch), d->task);

    c.model.hidden = (int)o.hidden;
    c.model.layers = (int)o.layers;
    c.model.dropout = o.dropout;
    if (d->task == DK_TASK_GRAPH)
        c.model.readout = o.readout[0] == 's' ? DK_READ_SUM
                          : strcmp(o.readout, "max") ? DK_READ_MEAN : DK_READ_MAX;
    c.epochs = (int)o.epochs;
    c.batch = (int)o.batch;
    c.patience = (int)o.patience;
    c.seed = seed;
    c.optim.lr = o.lr;
    c.optim.weight_decay = o.weight_decay;
    if (o.cosine)
        c.optim.schedule = DK_LR_COSINE;
    return c;
}

/* One epoch's steps by hand, timed piece by piece. */
static int profile(dk_dataset *d, dk_err *err)
{
    dk_train_config c = recipe(d, 1);
    dk_encoding e = {0};
    double spent[5] = {0}, at;
    int steps = 0;
    dk_tape *t = dk_tape_new(dk_mat_cpu(DK_F32));
    dk_gnn_vars vars;
    dk_gnn *m = NULL;
    dk_optim *optim = NULL;
    const dk_graph **pick = dk_xcalloc((size_t)c.batch, sizeof *pick);

    if (dk_dataset_encoding(d, &e, err) || dk_dataset_encode(d, &e, err))
        goto out;
    c.model.classes = d->classes;
    c.model.features = dk_encoding_features(&e);
    if (!(m = dk_gnn_new(&c.model, DK_F32, 1, err)) ||
        !(optim = dk_optim_new(&c.optim, DK_F32, m->param, m->params, err)))
        goto out;
    dk_gnn_bind(m, t, true, &vars);
    dk_tape_mark mark = dk_tape_save(t);
    for (int32_t i = 0; i + c.batch <= d->count; i += c.batch, steps++) {
        dk_batch b = {0};
        dk_gnn_input in = {0};
        dk_gnn_trace trace_of;
        dk_gnn_options opt = dk_gnn_options_default();
        for (int k = 0; k < c.batch; k++)
            pick[k] = &d->graphs[dk_splitmix64((uint64_t)(i + k)) % (uint64_t)d->count];
        at = dk_now();
        if (dk_batch_make(&b, pick, c.batch, err) || dk_gnn_input_batch(&in, m, &b, err)) {
            dk_batch_free(&b);
            goto out;
        }
        spent[0] += dk_now() - at;
        at = dk_now();
        dk_tape_restore(t, mark);
        opt.train = true;
        opt.x = dk_leaf_view(t, in.n, c.model.features, b.x32, false);
        dk_gnn_run(m, t, &vars, &in, &opt, &trace_of);
        dk_var loss = dk_cross_entropy(t, trace_of.logits, b.label);
        spent[1] += dk_now() - at;
        at = dk_now();
        dk_optim_zero(optim);
        dk_backward(t, loss, NULL);
        spent[2] += dk_now() - at;
        at = dk_now();
        dk_optim_step(optim);
        spent[3] += dk_now() - at;
        at = dk_now();
        dk_gnn_input_free(&in);
        dk_batch_free(&b);
        spent[4] += dk_now() - at;
    }
    static const char *const names[] = {"batch", "forward", "backward", "optimiser", "free"};
    for (int i = 0; i < 5; i++)
        fprintf(stderr, "%-10s %8.3f ms/step\n", names[i], 1e3 * spent[i] / (steps ? steps : 1));
out:
    dk_encoding_free(&e);
    dk_optim_free(optim);
    dk_gnn_free(m);
    dk_tape_free(t);
    free(pick);
    return err->code;
}

static int train_seed(uint64_t seed, double sum[6], dk_err *err)
{
    dk_dataset d = {0};
    dk_train_result r;
    dk_gnn *m = NULL;

    if (dk_dataset_load(&d, o.data, &(dk_dataset_options){0}, err))
        return err->code;
    dk_train_config c = recipe(&d, seed);
    if (o.profile && d.task == DK_TASK_GRAPH && seed == 1) {
        profile(&d, err);
    } else if ((m = dk_train(&d, &c, o.trace ? trace : NULL, NULL, &r, err))) {
        double v[] = {r.seconds, r.seconds / r.epochs, r.train_acc, r.val_acc, r.test_acc, r.all_acc};
        printf("%s %s %d,%d,%d,%d", d.name, o.arch, (int)o.hidden, dk_threads(), (int)seed, r.epochs);
        for (int i = 0; i < 6; i++) {
            sum[i] += v[i];
            printf(",%.4f", v[i]);
        }
        printf(",%d\n", r.best_epoch);
        fflush(stdout);
    }
    dk_gnn_free(m);
    dk_dataset_free(&d);
    return err->code;
}

int main(int argc, char **argv)
{
    static const dk_opt_spec spec = {"bench_gnn_train -d DIR [options]", "Trains and times.", table,
                                     NULL};
    dk_err err;
    int operand, rc;
    double sum[6] = {0};

    dk_par_start(argv);
    dk_err_init(&err);
    dk_log_init("bench_gnn_train", 0);
    rc = dk_opt_parse(&spec, argc, argv, &operand, &err);
    if (rc == 1)
        return 0;
    if (rc == 0 && (!o.data || dk_gnn_arch_parse(o.arch) < 0))
        dk_fail(&err, DK_EUSAGE, "give -d DIR and a known --arch");
    dk_set_threads((int)o.threads);
    if (err.code == 0)
        puts("case,threads,seed,epochs,seconds,seconds_per_epoch,train_acc,val_acc,test_acc,all_acc,"
             "best_epoch");
    for (int64_t seed = 1; err.code == 0 && seed <= o.seeds; seed++)
        train_seed((uint64_t)seed, sum, &err);
    if (err.code == 0 && o.seeds > 1) {
        printf("mean,%d,,", dk_threads());
        for (int i = 0; i < 6; i++)
            printf(",%.4f", sum[i] / (double)o.seeds);
        puts(",");
    }
    if (err.code)
        dk_log(DK_LOG_ERROR, "%s", err.msg);
    return dk_exit_status(err.code);
}
