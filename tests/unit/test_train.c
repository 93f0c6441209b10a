/* graph/train: splits, the choice of the best epoch, checkpoints that resume bit for bit, equal bytes
 * for any number of threads, metadata, and two sets that must be learnt. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/sig.h"
#include "graph/train.h"
#include "unit/support.h"

TS_SCRATCH("train")

/* ---- Small runs. */

static void motifs(dk_dataset *d, int count)
{
    ts_ok(dk_dataset_generate(d, &(dk_gen_options){.kind = "ba-2motifs", .count = count, .noise = -1,
                                                   .seed = 5}, &err), &err);
}

static dk_train_config small(dk_gnn_arch arch)
{
    dk_train_config c = dk_train_defaults(arch, DK_TASK_GRAPH);

    c.model.hidden = 12;
    c.epochs = 6;
    c.batch = 16;
    c.train_share = .6;
    c.val_share = .2;
    c.seed = 3;
    return c;
}

/* Best epoch by the rule, from what the run reports. */
typedef struct watch {
    int epochs, best;
    double acc, loss, first_train, last_train;
    int interrupt; /* epoch at whose end SIGTERM arrives; 0: never */
} watch;

static void note(void *ctx, int epoch, double train_loss, double val_loss, double val_acc)
{
    watch *w = ctx;

    assert_int_equal(epoch, ++w->epochs);
    if (w->best == 0 || val_acc > w->acc || (val_acc == w->acc && val_loss < w->loss)) {
        w->best = epoch;
        w->acc = val_acc;
        w->loss = val_loss;
    }
    if (w->epochs == 1)
        w->first_train = train_loss;
    w->last_train = train_loss;
    if (epoch == w->interrupt) {
        kill(getpid(), SIGTERM);
        while (!dk_cancelled())
            nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    }
}

/* Trains on a new copy of the data and returns what would be written as bytes. */
static char *trained(int graphs, const dk_train_config *c, dk_train_result *r, size_t *len)
{
    dk_dataset d = {0};
    dk_st_writer *w = dk_st_writer_new();
    char *bytes = NULL;
    FILE *f = tmpfile();

    motifs(&d, graphs);
    dk_gnn *m = dk_train(&d, c, NULL, NULL, r, &err);
    ts_ok(m ? 0 : err.code, &err);
    dk_train_save(m, &d, c, r, w);
    assert_non_null(f);
    ts_ok(dk_st_writer_write(w, f, &err), &err);
    *len = (size_t)ftell(f);
    bytes = dk_xmalloc(*len);
    rewind(f);
    assert_int_equal(fread(bytes, 1, *len, f), *len);
    fclose(f);
    dk_st_writer_free(w);
    dk_gnn_free(m);
    dk_dataset_free(&d);
    return bytes;
}

static void check_same(int graphs, const dk_train_config *c, const char *bytes, size_t len)
{
    dk_train_result r;
    size_t other_len;
    char *other = trained(graphs, c, &r, &other_len);

    assert_int_equal(other_len, len);
    assert_memory_equal(other, bytes, len);
    free(other);
}

static void expect_failure(int graphs, const dk_train_config *c, int code, const char *text)
{
    dk_dataset d = {0};
    dk_train_result r;

    motifs(&d, graphs);
    assert_null(dk_train(&d, c, NULL, NULL, &r, &err));
    ts_failed(&err, code, text);
    dk_dataset_free(&d);
}

static void threads_do_not_matter(void **state)
{
    static const dk_gnn_arch archs[] = {DK_GNN_GIN, DK_GNN_GCN, DK_GNN_GAT};
    (void)state;
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        dk_train_config c = small(archs[i]);
        dk_train_result r;
        size_t len;
        c.model.hidden = 64; /* wide enough for several pieces of work */
        c.batch = 64;
        c.epochs = 2;
        dk_set_threads(1);
        char *bytes = trained(150, &c, &r, &len);
        dk_set_threads(3);
        check_same(150, &c, bytes, len);
        dk_set_threads(0);
        free(bytes);
    }
}

static void seeds_matter(void **state)
{
    dk_train_config c = small(DK_GNN_GIN);
    dk_train_result r;
    size_t len, other_len;
    (void)state;

    char *bytes = trained(60, &c, &r, &len);
    c.seed = 4;
    char *other = trained(60, &c, &r, &other_len);
    assert_true(len != other_len || memcmp(bytes, other, len) != 0);
    free(bytes);
    free(other);
}

static void best_epoch(void **state)
{
    dk_dataset d = {0};
    dk_train_config c = small(DK_GNN_GIN);
    dk_train_result r;
    watch w = {0};
    (void)state;

    motifs(&d, 60);
    c.epochs = 25;
    c.patience = 0;
    c.optim.lr = 5e-3;
    dk_gnn *m = dk_train(&d, &c, note, &w, &r, &err);
    ts_ok(m ? 0 : err.code, &err);
    assert_int_equal(w.epochs, 25);
    assert_int_equal(r.epochs, 25);
    assert_int_equal(r.best_epoch, w.best);
    assert_true(r.val_acc == w.acc);
    assert_true(r.val_loss == w.loss);
    assert_int_equal(r.train_n, 36);
    assert_int_equal(r.val_n, 12);
    assert_int_equal(r.test_n, 12);
    dk_gnn_free(m);
    dk_dataset_free(&d);
}

static void early_stop(void **state)
{
    dk_train_config c = small(DK_GNN_GCN);
    dk_train_result r;
    size_t len;
    (void)state;

    c.epochs = 400;
    c.patience = 3;
    c.optim.lr = .1; /* soon no better */
    free(trained(60, &c, &r, &len));
    assert_in_range(r.epochs, 4, 399);
    assert_int_equal(r.epochs, r.best_epoch + 3);
}

static void no_validation(void **state)
{
    dk_train_config c = small(DK_GNN_GIN);
    dk_train_result r;
    size_t len;
    (void)state;

    c.val_share = 0;
    c.train_share = 1;
    c.patience = 1;
    free(trained(20, &c, &r, &len));
    assert_int_equal(r.best_epoch, 6);
    assert_int_equal(r.val_n, 0);
    assert_int_equal(r.train_n, 20);
    assert_true(r.train_acc == r.all_acc);
}

/* ---- Checkpoints. */

static void resume_exactly(void **state)
{
    static const dk_gnn_arch archs[] = {DK_GNN_GIN, DK_GNN_GCN};
    (void)state;
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        dk_train_config c = small(archs[i]);
        dk_train_result r, whole;
        size_t len, part_len;
        char *path = dk_xasprintf("%s/resume%zu", dir, i);
        c.train_share = .9; /* without a validation part the last epoch's weights are the result */
        c.val_share = 0;
        char *bytes = trained(60, &c, &whole, &len);
        c.checkpoint = path;
        c.checkpoint_every = 1;
        c.resume = true; /* nothing there yet: starts anew */
        c.epochs = 4;
        free(trained(60, &c, &r, &part_len));
        assert_int_equal(r.epochs, 4);
        c.epochs = 6;
        check_same(60, &c, bytes, len);
        check_same(60, &c, bytes, len); /* finished: nothing left to do */
        c.epochs = 3;
        expect_failure(60, &c, DK_EUSAGE, "holds 6 epochs");
        free(path);
        free(bytes);
    }
}

/* The child is interrupted at the end of epoch 4; what it saved after epoch 3 goes on here. */
static void interrupted(void **state)
{
    dk_train_config c = small(DK_GNN_GIN);
    dk_train_result r;
    size_t len;
    char *path = dk_xasprintf("%s/interrupted", dir);
    int status;
    (void)state;

    c.checkpoint_every = 3;
    c.val_share = 0;
    pid_t child = fork();
    if (child == 0) {
        dk_dataset d = {0};
        dk_set_threads(1);
        dk_sig_init();
        motifs(&d, 60);
        c.checkpoint = path;
        dk_gnn *m = dk_train(&d, &c, note, &(watch){.interrupt = 4}, &r, &err);
        _exit(m ? 99 : dk_exit_status(err.code));
    }
    assert_true(child > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 130);
    char *bytes = trained(60, &c, &r, &len);
    c.checkpoint = path;
    c.resume = true;
    assert_true(dk_exists(path));
    check_same(60, &c, bytes, len);
    free(bytes);
    free(path);
}

static void other_options(void **state)
{
    dk_train_config c = small(DK_GNN_GIN);
    dk_train_result r;
    size_t len;
    char *path = dk_xasprintf("%s/options", dir);
    (void)state;

    c.checkpoint = path;
    c.checkpoint_every = 2;
    c.resume = true;
    c.epochs = 2;
    free(trained(60, &c, &r, &len));
    c.optim.lr = .25;
    c.batch = 20;
    expect_failure(60, &c, DK_EUSAGE, "lr is 0.001 there and 0.25 here; batch is 16 there and 20 here");
    c = small(DK_GNN_GCN);
    c.checkpoint = path;
    c.resume = true;
    expect_failure(60, &c, DK_EUSAGE, "arch is gin there and gcn here");
    c = small(DK_GNN_GIN);
    c.checkpoint = path;
    c.resume = true;
    expect_failure(80, &c, DK_EUSAGE, "items is 60 there and 80 here");
    c.resume = false; /* overwrites */
    free(trained(60, &c, &r, &len));
    free(path);
}

static void expect_damage(const char *path, const char *text)
{
    dk_train_config c = small(DK_GNN_GIN);

    c.val_share = 0;
    c.checkpoint = path;
    c.resume = true;
    expect_failure(60, &c, DK_EFORMAT, text);
}

/* The checkpoint again, with one tensor left out or its first element replaced, and one key changed. */
static void rewrite(const char *from, const char *to, const char *tensor, const void *first,
                    const char *key, const char *value)
{
    static const char *const keys[] = {"format", "epoch", "best_epoch", "best_right",
                                       "best_train_loss", "best_val_loss", "optim.step"};
    static const char *const options[] = {
        "items", "arch", "task", "num_layers", "hidden", "num_features", "num_classes", "readout",
        "activation", "heads", "concat", "add_self_loops", "negative_slope", "feature_row_sum",
        "pad_nodes", "dataset_hash", "seed", "optimizer", "lr", "weight_decay", "beta1", "beta2", "eps",
        "clip_norm", "schedule", "warmup", "batch", "patience", "dropout", "split", "train_share",
        "val_share"};
    dk_st *st = dk_st_open(from, &err);
    dk_st_writer *w = dk_st_writer_new();
    char name[64];

    ts_ok(err.code, &err);
    for (size_t i = 0; i < dk_st_count(st); i++) {
        const dk_st_tensor *t = dk_st_at(st, i);
        bool hit = tensor && strcmp(t->name, tensor) == 0;
        if (hit && !first)
            continue;
        char *copy = dk_xmalloc(t->bytes);
        memcpy(copy, t->data, t->bytes);
        if (hit)
            memcpy(copy, first, (size_t)dk_dtype_bits(t->dtype) / 8);
        ts_ok(dk_st_writer_add_copy(w, t->name, t->dtype, t->ndim, t->shape, copy, &err), &err);
        free(copy);
    }
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (dk_st_meta(st, keys[i]))
            dk_st_writer_meta(w, keys[i], dk_st_meta(st, keys[i]));
    for (size_t i = 0; i < sizeof options / sizeof options[0]; i++) {
        snprintf(name, sizeof name, "option.%s", options[i]);
        if (dk_st_meta(st, name))
            dk_st_writer_meta(w, name, dk_st_meta(st, name));
    }
    if (key)
        dk_st_writer_meta(w, key, value);
    ts_ok(dk_st_writer_save(w, to, true, &err), &err);
    dk_st_writer_free(w);
    dk_st_close(st);
}

static void damaged(void **state)
{
    dk_train_config c = small(DK_GNN_GIN);
    dk_train_result r;
    size_t len, bytes_len;
    char *good = dk_xasprintf("%s/good", dir), *bad = dk_xasprintf("%s/bad", dir), *bytes;
    const float nan_value = NAN;
    const uint8_t part = 7;
    (void)state;

    c.checkpoint = good;
    c.epochs = 2;
    c.val_share = 0;
    free(trained(60, &c, &r, &len));
    rewrite(good, bad, NULL, NULL, NULL, NULL);
    c.epochs = 6;
    c.checkpoint = NULL;
    bytes = trained(60, &c, &r, &bytes_len);
    c.checkpoint = bad;
    c.resume = true;
    check_same(60, &c, bytes, bytes_len); /* the copy is whole */
    free(bytes);

    rewrite(good, bad, "model.conv1.nn.0.weight", NULL, NULL, NULL);
    expect_damage(bad, "tensor \"model.conv1.nn.0.weight\" is missing");
    rewrite(good, bad, "best.lin2.bias", &nan_value, NULL, NULL);
    expect_damage(bad, "\"best.lin2.bias\": element 0 is NaN");
    rewrite(good, bad, "split", &part, NULL, NULL);
    expect_damage(bad, "tensor \"split\": item 0");
    rewrite(good, bad, "split", NULL, NULL, NULL);
    expect_damage(bad, "tensor \"split\"");
    rewrite(good, bad, "optim.m.lin2.bias", NULL, NULL, NULL);
    expect_damage(bad, "optim.m.lin2.bias");
    rewrite(good, bad, NULL, NULL, "epoch", "0");
    expect_damage(bad, "epoch");
    rewrite(good, bad, NULL, NULL, "best_epoch", "9");
    expect_damage(bad, "best_epoch");
    rewrite(good, bad, NULL, NULL, "best_right", "many");
    expect_damage(bad, "best_right");
    rewrite(good, bad, NULL, NULL, "best_val_loss", "nan");
    expect_damage(bad, "best_val_loss");
    rewrite(good, bad, NULL, NULL, "format", "other/1");
    expect_damage(bad, "is no checkpoint");
    ts_write_text(dir, "bad", "hello");
    expect_damage(bad, bad);
    free(good);
    free(bad);
}

/* Every cut of a checkpoint is refused. */
static void truncated(void **state)
{
    dk_train_config c = small(DK_GNN_GCN);
    dk_train_result r;
    size_t len, file_len;
    char *good = dk_xasprintf("%s/cut", dir), *bytes;
    (void)state;

    c.model.hidden = 4;
    c.epochs = 1;
    c.checkpoint = good;
    free(trained(20, &c, &r, &len));
    ts_ok(dk_read_file(good, 1 << 24, &bytes, &file_len, &err), &err);
    c.resume = true;
    for (size_t cut = 0; cut < file_len; cut += file_len / 12) {
        FILE *f = fopen(good, "wb");
        assert_non_null(f);
        assert_int_equal(fwrite(bytes, 1, cut, f), cut);
        fclose(f);
        expect_failure(20, &c, DK_EFORMAT, good);
    }
    free(bytes);
    free(good);
}

static void unwritable(void **state)
{
    dk_train_config c = small(DK_GNN_GIN);
    (void)state;

    c.checkpoint = "build/no/such/folder/checkpoint";
    c.checkpoint_every = 1;
    expect_failure(20, &c, DK_EFAIL, "build/no/such/folder");
}

/* ---- What may be asked. */

static void refused(void **state)
{
    dk_train_config c = small(DK_GNN_GIN);
    (void)state;

    c.epochs = 0;
    expect_failure(20, &c, DK_EUSAGE, "epoch");
    c = small(DK_GNN_GIN);
    c.batch = 0;
    expect_failure(20, &c, DK_EUSAGE, "graph per step");
    c = small(DK_GNN_GIN);
    c.train_share = 0;
    expect_failure(20, &c, DK_EFORMAT, "no graph to train on");
    c = small(DK_GNN_GIN);
    c.optim.lr = 1e38;
    c.epochs = 50;
    expect_failure(20, &c, DK_ENUMERIC, "not finite");
}

static void one_class(void **state)
{
    static const char text[] =
        "{\"format\":\"dk.gnn-dataset/1\",\"name\":\"one\",\"task\":\"graph\",\"graphs\":[{\"nodes\":2,"
        "\"edges\":[[0,1],[1,0]],\"x\":[[1],[2]],\"label\":0}]}";
    dk_dataset d = {0};
    dk_train_config c = small(DK_GNN_GIN);
    dk_train_result r;
    (void)state;

    ts_ok(dk_dataset_parse_json(&d, text, strlen(text), "one", &err), &err);
    assert_null(dk_train(&d, &c, NULL, NULL, &r, &err));
    ts_failed(&err, DK_EFORMAT, "two classes");
    dk_dataset_free(&d);
}

/* ---- Node task: 12 nodes in two cliques; the split of nodes.csv, one node without a label. */
static void write_nodes(const char *folder)
{
    dk_buf nodes = {0}, edges = {0};

    dk_buf_puts(&nodes, "id,label,split,x0,x1\n");
    dk_buf_puts(&edges, "src,dst\n");
    for (int i = 0; i < 12; i++) {
        int side = i >= 6;
        dk_buf_printf(&nodes, "%d,%s,%s,%d,%d\n", i, i == 5 ? "" : side ? "1" : "0",
                      i % 6 < 3 ? "train" : i % 6 == 3 ? "val" : "test", 1, side ? 1 : -1);
        for (int k = 6 * side; k < 6 * side + 6; k++)
            if (k != i)
                dk_buf_printf(&edges, "%d,%d\n", i, k);
    }
    ts_write_text(folder, "nodes.csv", dk_buf_str(&nodes));
    ts_write_text(folder, "edges.csv", dk_buf_str(&edges));
    dk_buf_free(&nodes);
    dk_buf_free(&edges);
}

static void node_task(void **state)
{
    char *folder = ts_dir("train_nodes");
    dk_train_config c = dk_train_defaults(DK_GNN_GIN, DK_TASK_NODE);
    (void)state;

    write_nodes(folder);
    c.model.hidden = 8;
    c.model.dropout = 0;
    c.epochs = 150;
    c.patience = 0;
    c.optim.lr = .02;
    for (int own = 0; own < 2; own++) {
        dk_dataset d = {0};
        dk_train_result r;
        c.own_split = own;
        ts_ok(dk_dataset_load(&d, folder, &(dk_dataset_options){0}, &err), &err);
        assert_int_equal(d.task, DK_TASK_NODE);
        dk_gnn *m = dk_train(&d, &c, NULL, NULL, &r, &err);
        ts_ok(m ? 0 : err.code, &err);
        assert_int_equal(r.train_n, own ? 6 : 8);
        assert_int_equal(r.val_n, own ? 2 : 1);
        assert_int_equal(r.test_n, own ? 3 : 2); /* floor(.8 11), floor(.1 11), the rest */
        assert_true(r.train_acc == 1);
        assert_true(r.all_acc == 1);
        dk_gnn_free(m);
        dk_dataset_free(&d);
    }
    free(folder);
}

/* ---- The written model. */

static void metadata(void **state)
{
    static const char *const keys[] = {
        "arch", "task", "dataset", "num_layers", "hidden", "num_features", "num_classes", "readout",
        "activation", "norm", "self_loops", "seed", "train_accuracy", "val_accuracy", "test_accuracy",
        "all_accuracy", "epochs", "best_epoch", "lr", "weight_decay", "batch", "optimizer", "split",
        "train_share", "dataset_hash", "trained_by"};
    dk_dataset d = {0}, again = {0};
    dk_train_config c = small(DK_GNN_GIN);
    dk_train_result r;
    dk_st_writer *w = dk_st_writer_new();
    char *path = dk_xasprintf("%s/model.safetensors", dir);
    (void)state;

    motifs(&d, 60);
    dk_gnn *m = dk_train(&d, &c, NULL, NULL, &r, &err);
    ts_ok(m ? 0 : err.code, &err);
    dk_train_save(m, &d, &c, &r, w);
    ts_ok(dk_st_writer_save(w, path, true, &err), &err);

    dk_st *st = dk_st_open(path, &err);
    ts_ok(err.code, &err);
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (!dk_st_meta(st, keys[i]))
            fail_msg("metadata \"%s\" is missing", keys[i]);
    assert_string_equal(dk_st_meta(st, "arch"), "gin");
    assert_string_equal(dk_st_meta(st, "seed"), "3");
    assert_string_equal(dk_st_meta(st, "lr"), "0.001");
    assert_string_equal(dk_st_meta(st, "dataset_hash"), d.hash);
    dk_st_close(st);

    /* The file predicts as the run said. */
    dk_gnn *read = dk_gnn_load(path, NULL, -1, DK_F64, &err);
    ts_ok(read ? 0 : err.code, &err);
    motifs(&again, 60);
    ts_ok(dk_gnn_encode(read, &again, &err), &err);
    double z[60 * 2];
    int right = 0;
    ts_ok(dk_gnn_predict(read, &again, z, &err), &err);
    for (int i = 0; i < 60; i++)
        right += dk_argmax(z + 2 * i, 2) == again.graphs[i].label;
    assert_true(r.all_acc == right / 60.0);
    dk_gnn_free(read);
    dk_gnn_free(m);
    dk_st_writer_free(w);
    dk_dataset_free(&d);
    dk_dataset_free(&again);
    free(path);
}

/* ---- Learning. */

static void learns_motifs(void **state)
{
    dk_dataset d = {0};
    dk_train_config c = dk_train_defaults(DK_GNN_GIN, DK_TASK_GRAPH);
    dk_train_result r;
    (void)state;

    motifs(&d, 1000);
    c.model.hidden = 32;
    c.epochs = 15;
    c.optim.lr = .01;
    c.optim.schedule = DK_LR_COSINE;
    dk_gnn *m = dk_train(&d, &c, NULL, NULL, &r, &err);
    ts_ok(m ? 0 : err.code, &err);
    print_message("BA-2Motifs gin: test %.3f, all %.3f after %d epochs, %.1f s\n", r.test_acc,
                  r.all_acc, r.epochs, r.seconds);
    assert_int_equal(r.test_n, 100);
    assert_true(r.test_acc >= .97);
    assert_true(r.all_acc >= .97);
    dk_gnn_free(m);
    dk_dataset_free(&d);
}

static void learns_molecules(void **state)
{
    static const dk_gnn_arch archs[] = {DK_GNN_GIN, DK_GNN_GCN};
    (void)state;
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        dk_dataset d = {0};
        dk_train_config c = dk_train_defaults(archs[i], DK_TASK_GRAPH);
        dk_train_result r;
        watch w = {0};
        ts_ok(dk_dataset_load(&d, "tests/data/thirdparty/MUTAG", &(dk_dataset_options){0}, &err), &err);
        c.epochs = 15;
        dk_gnn *m = dk_train(&d, &c, note, &w, &r, &err);
        ts_ok(m ? 0 : err.code, &err);
        assert_true(w.last_train < .95 * w.first_train);
        assert_true(r.all_acc > .6);
        dk_gnn_free(m);
        dk_dataset_free(&d);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(interrupted, fresh), /* first: forks before any thread exists */
        cmocka_unit_test_setup(threads_do_not_matter, fresh),
        cmocka_unit_test_setup(seeds_matter, fresh),
        cmocka_unit_test_setup(best_epoch, fresh),
        cmocka_unit_test_setup(early_stop, fresh),
        cmocka_unit_test_setup(no_validation, fresh),
        cmocka_unit_test_setup(resume_exactly, fresh),
        cmocka_unit_test_setup(other_options, fresh),
        cmocka_unit_test_setup(damaged, fresh),
        cmocka_unit_test_setup(truncated, fresh),
        cmocka_unit_test_setup(unwritable, fresh),
        cmocka_unit_test_setup(refused, fresh),
        cmocka_unit_test_setup(one_class, fresh),
        cmocka_unit_test_setup(node_task, fresh),
        cmocka_unit_test_setup(metadata, fresh),
        cmocka_unit_test_setup(learns_motifs, fresh),
        cmocka_unit_test_setup(learns_molecules, fresh),
    };
    (void)argc;
    dk_par_start(argv);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
