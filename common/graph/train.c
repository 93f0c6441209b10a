/* See train.h. One loop serves both tasks: a step takes a part, which is a batch of graphs or the
 * one graph with the labels of the nodes that count.
 *
 * Random numbers are hashes of (seed, purpose, position) and never a running generator, so a resumed
 * run needs no state of them. */
#include "graph/train.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sig.h"
#include "graph/train_internal.h"

/* What the model sees at once. */
typedef struct part {
    dk_batch batch;      /* graph task */
    dk_gnn_input in;
    float *x;            /* node task: the features; graph task: NULL, batch.x32 serves */
    int32_t *label;      /* [rows of the logits], -1: does not count; node task: owned */
    int64_t rows, counted;
} part;

typedef struct run {
    dk_trainer t;
    dk_dataset *d;
    dk_tape *tape;
    dk_tape_mark mark;   /* behind the parameters */
    dk_gnn_vars vars;
    int64_t *train;      /* items of the training part, ascending */
    int64_t *order;      /* the same, shuffled */
    int64_t train_n, val_n, test_n;
    const dk_graph **pick; /* [largest batch] scratch */
    part *val;           /* kept from epoch to epoch */
    int64_t val_parts;
    part whole;          /* node task: the training part */
} run;

typedef struct figures {
    double loss; /* mean over the counted rows */
    int64_t right, counted;
} figures;

dk_train_config dk_train_defaults(dk_gnn_arch arch, dk_task task)
{
    dk_train_config c = {.epochs = 300, .batch = 64, .patience = 100, .train_share = .8,
                         .val_share = .1, .own_split = true, .seed = 1, .checkpoint_every = 10};

    c.model = (dk_gnn_config){.arch = arch, .task = task, .layers = 3, .hidden = 64, .heads = 1,
                              .readout = task == DK_TASK_GRAPH ? DK_READ_MEAN : DK_READ_NONE,
                              .activation = DK_FN_RELU, .concat = true, .add_self_loops = true,
                              .negative_slope = .2, .dropout = .5};
    if (arch == DK_GNN_GCN_NORM_MAXMEAN)
        c.model.readout = DK_READ_MAX_MEAN;
    c.optim = dk_optim_defaults(DK_OPTIM_ADAM);
    c.optim.weight_decay = 5e-4;
    return c;
}

const dk_param *dk_trainer_tensor(const dk_gnn *m, int i)
{
    if (i < m->params)
        return &m->param[i];
    return i < m->params + m->buffers ? &m->buffer[i - m->params] : NULL;
}

static int64_t steps_per_epoch(const dk_train_config *c, int64_t train_items)
{
    return c->model.task == DK_TASK_NODE ? 1 : (train_items + c->batch - 1) / c->batch;
}

dk_optim_config dk_train_schedule(const dk_train_config *c, int64_t train_items)
{
    dk_optim_config o = c->optim;

    if (o.total_steps == 0 && (o.schedule == DK_LR_COSINE || o.schedule == DK_LR_LINEAR))
        o.total_steps = c->epochs * steps_per_epoch(c, train_items);
    return o;
}

/* ---- Splits and order. */

static int32_t item_label(const dk_dataset *d, int64_t i)
{
    if (d->task == DK_TASK_GRAPH)
        return d->graphs[i].label;
    return d->graphs[0].y ? d->graphs[0].y[i] : -1;
}

/* Items without a known class are in no part. */
static int random_split(dk_trainer *t, dk_err *err)
{
    int64_t known = 0, k = 0;
    dk_split *part_of;

    for (int64_t i = 0; i < t->items; i++)
        known += item_label(t->d, i) >= 0;
    part_of = dk_alloc((size_t)known * sizeof *part_of, "a split", err);
    if (!part_of)
        return err->code;
    if (dk_dataset_random_split(known, t->c.train_share, t->c.val_share, t->c.seed, part_of, err) == 0)
        for (int64_t i = 0; i < t->items; i++)
            t->split[i] = item_label(t->d, i) >= 0 ? part_of[k++] : DK_SPLIT_NONE;
    dk_free_aligned(part_of);
    return err->code;
}

static int make_split(run *r, dk_err *err)
{
    dk_trainer *t = &r->t;
    const dk_dataset *d = r->d;

    t->items = d->task == DK_TASK_GRAPH ? d->count : d->graphs[0].n;
    t->split = dk_alloc((size_t)t->items * sizeof *t->split, "a split", err);
    r->train = dk_alloc((size_t)t->items * sizeof *r->train, "a split", err);
    r->order = dk_alloc((size_t)t->items * sizeof *r->order, "a split", err);
    if (err->code)
        return err->code;
    if (!t->c.own_split || !d->split) {
        if (random_split(t, err))
            return err->code;
    } else {
        for (int64_t i = 0; i < t->items; i++)
            t->split[i] = item_label(d, i) >= 0 ? d->split[i] : DK_SPLIT_NONE;
    }
    for (int64_t i = 0; i < t->items; i++) {
        if (t->split[i] == DK_SPLIT_TRAIN)
            r->train[r->train_n++] = i;
        r->val_n += t->split[i] == DK_SPLIT_VAL;
        r->test_n += t->split[i] == DK_SPLIT_TEST;
    }
    if (r->train_n == 0)
        return dk_fail(err, DK_EFORMAT, "no %s to train on: of %" PRId64 " none is in the training part",
                       d->task == DK_TASK_GRAPH ? "graph" : "node", t->items);
    return 0;
}

enum { FOR_SHUFFLE = 1, FOR_DROPOUT = 2 };

static uint64_t random_key(const run *r, int purpose, int64_t position)
{
    uint64_t h = dk_splitmix64(r->t.c.seed + (uint64_t)purpose);

    return dk_splitmix64(h ^ (uint64_t)position);
}

/* Fisher-Yates from the ascending order, so that an epoch's order depends on its number alone. */
static void shuffle(run *r, int epoch)
{
    uint64_t key = random_key(r, FOR_SHUFFLE, epoch);

    memcpy(r->order, r->train, (size_t)r->train_n * sizeof *r->order);
    for (int64_t i = r->train_n - 1; i > 0; i--) {
        int64_t j = (int64_t)(dk_splitmix64(key + (uint64_t)i) % (uint64_t)(i + 1));
        int64_t item = r->order[i];
        r->order[i] = r->order[j];
        r->order[j] = item;
    }
}

/* ---- Parts. */

static void part_free(part *p)
{
    dk_gnn_input_free(&p->in);
    if (p->batch.graphs == 0)
        dk_free_aligned(p->label);
    dk_batch_free(&p->batch);
    dk_free_aligned(p->x);
    *p = (part){0};
}

static int part_of_graphs(part *p, run *r, const int64_t *item, int64_t n, dk_err *err)
{
    *p = (part){.rows = n, .counted = n};
    for (int64_t i = 0; i < n; i++)
        r->pick[i] = &r->d->graphs[item[i]];
    if (dk_batch_make(&p->batch, r->pick, (int)n, err) ||
        dk_gnn_input_batch(&p->in, r->t.m, &p->batch, err)) {
        part_free(p);
        return err->code;
    }
    p->label = p->batch.label;
    return 0;
}

static int part_of_nodes(part *p, run *r, dk_split which, dk_err *err)
{
    const dk_graph *g = &r->d->graphs[0];
    size_t features = (size_t)g->n * (size_t)g->num_features;

    *p = (part){.rows = g->n};
    p->label = dk_alloc((size_t)g->n * sizeof *p->label, "labels", err);
    p->x = dk_alloc(features * sizeof *p->x, "features", err);
    if (err->code || dk_gnn_input_graph(&p->in, r->t.m, g, err)) {
        part_free(p);
        return err->code;
    }
    for (size_t i = 0; i < features; i++)
        p->x[i] = (float)p->in.x[i];
    for (int32_t i = 0; i < g->n; i++) {
        p->label[i] = r->t.split[i] == which ? g->y[i] : -1;
        p->counted += p->label[i] >= 0;
    }
    return 0;
}

/* The number of graphs of the step that starts at `begin`. A last batch of one graph joins the one
 * before it: batch norm over a single small graph would be noise. */
static int64_t batch_size(const run *r, int64_t begin, int64_t n)
{
    int64_t left = n - begin, size = r->t.c.batch;

    return left <= size || (left == size + 1 && size > 1) ? left : size;
}

static int make_val(run *r, dk_err *err)
{
    int64_t *items, n = 0;

    if (r->val_n == 0)
        return 0;
    if (r->d->task == DK_TASK_NODE) {
        r->val = dk_alloc(sizeof *r->val, "validation part", err);
        if (!r->val || part_of_nodes(&r->val[0], r, DK_SPLIT_VAL, err))
            return err->code;
        r->val_parts = 1;
        return 0;
    }
    items = dk_alloc((size_t)r->val_n * sizeof *items, "validation part", err);
    r->val = dk_alloc((size_t)r->val_n * sizeof *r->val, "validation part", err);
    if (err->code)
        goto out;
    for (int64_t i = 0; i < r->t.items; i++)
        if (r->t.split[i] == DK_SPLIT_VAL)
            items[n++] = i;
    for (int64_t at = 0, size; at < n; at += size) {
        size = batch_size(r, at, n);
        if (part_of_graphs(&r->val[r->val_parts], r, items + at, size, err))
            goto out;
        r->val_parts++;
    }
out:
    dk_free_aligned(items);
    return err->code;
}

/* ---- Steps. */

/* The forward pass of a part on top of the bound parameters; logits, or DK_NOVAR. */
static dk_var forward(run *r, const part *p, bool train, uint64_t dropout_seed)
{
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace trace = {.logits = DK_NOVAR};
    const dk_gnn_config *m = &r->t.m->c;
    const float *x = p->x ? p->x : p->batch.x32;

    dk_tape_restore(r->tape, r->mark);
    dk_tape_record(r->tape, train);
    if (!m->feature_row_sum && m->pad_nodes == 0)
        o.x = dk_leaf_view(r->tape, p->in.n, m->features, x, false);
    o.train = train;
    o.dropout_seed = dropout_seed;
    dk_gnn_run(r->t.m, r->tape, &r->vars, &p->in, &o, &trace);
    return trace.logits;
}

static int train_step(run *r, const part *p, int64_t step, double *loss, dk_err *err)
{
    dk_var logits, mean;

    if (dk_check_cancel(err))
        return err->code;
    logits = forward(r, p, true, random_key(r, FOR_DROPOUT, step));
    mean = dk_cross_entropy(r->tape, logits, p->label);
    if (!dk_tape_ok(r->tape))
        return dk_tape_take(r->tape, err);
    *loss = dk_scalar(r->tape, mean);
    if (!isfinite(*loss))
        return dk_fail(err, DK_ENUMERIC,
                       "the training loss of step %" PRId64 " is not finite: try a smaller learning rate",
                       step + 1);
    dk_optim_zero(r->t.optim);
    dk_backward(r->tape, mean, NULL);
    if (dk_tape_take(r->tape, err))
        return err->code;
    dk_optim_step(r->t.optim);
    return 0;
}

static int train_epoch(run *r, int epoch, double *loss, dk_err *err)
{
    int64_t step = (epoch - 1) * steps_per_epoch(&r->t.c, r->train_n);
    double one = 0, sum = 0;

    if (r->d->task == DK_TASK_NODE)
        return train_step(r, &r->whole, step, loss, err);
    shuffle(r, epoch);
    for (int64_t at = 0, size; at < r->train_n; at += size, step++) {
        part p;
        size = batch_size(r, at, r->train_n);
        if (part_of_graphs(&p, r, r->order + at, size, err))
            return err->code;
        train_step(r, &p, step, &one, err);
        part_free(&p);
        if (err->code)
            return err->code;
        sum += one * (double)size;
    }
    *loss = sum / (double)r->train_n;
    return 0;
}

/* Adds the part's rows: -log softmax(z)[label], and whether the largest logit is the label's. */
static void tally(const float *z, const part *p, int classes, figures *f)
{
    for (int64_t i = 0; i < p->rows; i++, z += classes) {
        double sum = 0;
        int best = 0;
        if (p->label[i] < 0)
            continue;
        for (int c = 1; c < classes; c++)
            best = z[c] > z[best] ? c : best;
        for (int c = 0; c < classes; c++)
            sum += exp((double)z[c] - (double)z[best]);
        f->loss += log(sum) + (double)z[best] - (double)z[p->label[i]];
        f->right += best == p->label[i];
        f->counted++;
    }
}

static int validate(run *r, figures *f, dk_err *err)
{
    *f = (figures){0};
    for (int64_t i = 0; i < r->val_parts; i++) {
        dk_var logits = forward(r, &r->val[i], false, 0);
        if (!dk_tape_ok(r->tape))
            return dk_tape_take(r->tape, err);
        tally(dk_value32(r->tape, logits), &r->val[i], r->t.m->c.classes, f);
    }
    if (f->counted)
        f->loss /= (double)f->counted;
    if (!isfinite(f->loss))
        return dk_fail(err, DK_ENUMERIC, "the validation loss is not finite");
    return 0;
}

/* ---- The run. */

static void keep_best(dk_trainer *t)
{
    const dk_param *p;
    float *to = t->best;

    for (int i = 0; (p = dk_trainer_tensor(t->m, i)); i++) {
        size_t n = (size_t)(p->rows * p->cols);
        memcpy(to, p->value, n * sizeof *to);
        to += n;
    }
}

static void take_best(dk_trainer *t)
{
    const dk_param *p;
    const float *from = t->best;

    for (int i = 0; (p = dk_trainer_tensor(t->m, i)); i++) {
        size_t n = (size_t)(p->rows * p->cols);
        memcpy(p->value, from, n * sizeof *from);
        from += n;
    }
}

/* More right answers, then the lower loss; without a validation part the last epoch. */
static bool is_better(const run *r, const figures *val)
{
    const dk_trainer *t = &r->t;

    if (t->best_epoch == 0 || r->val_n == 0 || val->right != t->best_right)
        return t->best_epoch == 0 || r->val_n == 0 || val->right > t->best_right;
    return val->loss < t->best_val_loss;
}

static bool is_over(const dk_trainer *t)
{
    return t->epoch >= t->c.epochs ||
           (t->c.patience > 0 && t->epoch - t->best_epoch >= t->c.patience);
}

static int train_all(run *r, dk_train_progress *progress, void *ctx, dk_err *err)
{
    dk_trainer *t = &r->t;

    while (!is_over(t)) {
        double loss = 0;
        figures val;
        if (train_epoch(r, t->epoch + 1, &loss, err) || validate(r, &val, err))
            return dk_wrap(err, "epoch %d", t->epoch + 1);
        t->epoch++;
        if (is_better(r, &val)) {
            t->best_epoch = t->epoch;
            t->best_right = val.right;
            t->best_train_loss = loss;
            t->best_val_loss = val.loss;
            keep_best(t);
        }
        if (progress)
            progress(ctx, t->epoch, loss, val.loss,
                     val.counted ? (double)val.right / (double)val.counted : 0);
        if (t->c.checkpoint && (t->epoch % t->c.checkpoint_every == 0 || is_over(t)) &&
            dk_trainer_save(t, err))
            return err->code;
    }
    return 0;
}

/* Accuracies of the best model as `predict` computes them, in f64. */
static int measure(run *r, dk_train_result *out, dk_err *err)
{
    const dk_trainer *t = &r->t;
    int classes = t->m->c.classes;
    int64_t right[4] = {0}, count[4] = {0}, all = 0, known = 0;
    dk_gnn *exact = dk_gnn_copy(t->m, DK_F64, err);
    double *z = dk_alloc((size_t)t->items * (size_t)classes * sizeof *z, "logits", err);

    if (err->code || dk_gnn_predict(exact, r->d, z, err))
        goto out;
    for (int64_t i = 0; i < t->items; i++) {
        int32_t label = item_label(r->d, i);
        bool hit = label >= 0 && dk_argmax(z + i * classes, classes) == label;
        known += label >= 0;
        all += hit;
        count[t->split[i]]++;
        right[t->split[i]] += hit;
    }
    for (int s = 0; s < 4; s++)
        count[s] = count[s] ? count[s] : 1;
    out->train_acc = (double)right[DK_SPLIT_TRAIN] / (double)count[DK_SPLIT_TRAIN];
    out->val_acc = (double)right[DK_SPLIT_VAL] / (double)count[DK_SPLIT_VAL];
    out->test_acc = (double)right[DK_SPLIT_TEST] / (double)count[DK_SPLIT_TEST];
    out->all_acc = (double)all / (double)(known ? known : 1);
out:
    dk_gnn_free(exact);
    dk_free_aligned(z);
    return err->code;
}

static int check_config(const dk_train_config *c, const dk_dataset *d, dk_err *err)
{
    if (c->epochs < 1 || (d->task == DK_TASK_GRAPH && c->batch < 1) || c->patience < 0 ||
        (c->checkpoint && c->checkpoint_every < 1))
        return dk_fail(err, DK_EUSAGE, "training needs at least one epoch and one graph per step");
    if (d->classes < 2)
        return dk_fail(err, DK_EFORMAT, "%s: training needs two classes, found %d", d->name, d->classes);
    if (d->task == DK_TASK_NODE && !d->graphs[0].y)
        return dk_fail(err, DK_EFORMAT, "%s: training needs labels of the nodes", d->name);
    return 0;
}

static int make_model(run *r, dk_err *err)
{
    dk_trainer *t = &r->t;
    dk_encoding e = {0};
    const dk_param *p;

    if (dk_dataset_encoding(r->d, &e, err) || dk_dataset_encode(r->d, &e, err))
        goto out;
    t->c.model.task = r->d->task;
    if (r->d->task == DK_TASK_NODE)
        t->c.model.readout = DK_READ_NONE;
    t->c.model.classes = r->d->classes;
    t->c.model.features = dk_encoding_features(&e);
    t->m = dk_gnn_new(&t->c.model, DK_F32, t->c.seed, err);
    if (!t->m)
        goto out;
    t->m->encoding = e;
    t->m->has_encoding = true;
    t->m->dataset = dk_xstrdup(r->d->name);
    e = (dk_encoding){0};
    for (int i = 0; (p = dk_trainer_tensor(t->m, i)); i++)
        t->values += (size_t)(p->rows * p->cols);
    t->best = dk_alloc(t->values * sizeof *t->best, "the best weights", err);
out:
    dk_encoding_free(&e);
    return err->code;
}

static int prepare(run *r, dk_err *err)
{
    dk_trainer *t = &r->t;
    size_t most = (size_t)t->c.batch + 1;

    if (make_model(r, err) || make_split(r, err))
        return err->code;
    t->c.optim = dk_train_schedule(&t->c, r->train_n);
    t->optim = dk_optim_new(&t->c.optim, DK_F32, t->m->param, t->m->params, err);
    if (!t->optim)
        return err->code;
    if (r->d->task == DK_TASK_NODE) {
        if (part_of_nodes(&r->whole, r, DK_SPLIT_TRAIN, err))
            return err->code;
    } else {
        if (most > (size_t)t->items)
            most = (size_t)t->items;
        r->pick = dk_alloc(most * sizeof *r->pick, "a batch", err);
        if (!r->pick)
            return err->code;
    }
    if (make_val(r, err))
        return err->code;
    if (t->c.resume && t->c.checkpoint && dk_exists(t->c.checkpoint) && dk_trainer_load(t, err))
        return err->code;
    r->tape = dk_tape_new(dk_mat_cpu(DK_F32));
    dk_gnn_bind(t->m, r->tape, true, &r->vars);
    r->mark = dk_tape_save(r->tape);
    return dk_tape_take(r->tape, err);
}

static void run_free(run *r)
{
    for (int64_t i = 0; i < r->val_parts; i++)
        part_free(&r->val[i]);
    dk_free_aligned(r->val);
    part_free(&r->whole);
    dk_tape_free(r->tape);
    dk_optim_free(r->t.optim);
    dk_gnn_free(r->t.m);
    dk_free_aligned(r->t.best);
    dk_free_aligned(r->t.split);
    dk_free_aligned(r->train);
    dk_free_aligned(r->order);
    dk_free_aligned(r->pick);
}

dk_gnn *dk_train(dk_dataset *d, const dk_train_config *c, dk_train_progress *progress, void *ctx,
                 dk_train_result *result, dk_err *err)
{
    run r = {.t = {.c = *c, .d = d}, .d = d};
    double start = dk_now();
    dk_gnn *best = NULL;

    *result = (dk_train_result){0};
    if (check_config(c, d, err) || prepare(&r, err) || train_all(&r, progress, ctx, err))
        goto out;
    take_best(&r.t);
    *result = (dk_train_result){.best_epoch = r.t.best_epoch, .epochs = r.t.epoch,
                                .train_n = r.train_n, .val_n = r.val_n, .test_n = r.test_n,
                                .train_loss = r.t.best_train_loss, .val_loss = r.t.best_val_loss};
    if (measure(&r, result, err))
        goto out;
    result->seconds = dk_now() - start;
    best = r.t.m;
    r.t.m = NULL;
out:
    run_free(&r);
    return best;
}
