/* graph/gnn_load: state dicts as people have them are read, everything else is refused by name. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "unit/gnn_aid.h"

TS_SCRATCH("gnn_load")

/* ---- Files in the making: tensors with the values of their names, and metadata. */

enum { MAX_TENSORS = 64 };
typedef struct file {
    struct {
        char *name;
        dk_dtype type;
        int ndim;
        int64_t shape[3];
        void *data;
    } t[MAX_TENSORS];
    int n;
    char *meta[32];
    int metas;
} file;

static void put(file *f, const char *name, dk_dtype type, int ndim, int64_t a, int64_t b, int64_t c)
{
    int64_t shape[3] = {a, b, c}, n = 1;
    float *v = ts_values(name, ndim, shape);

    for (int i = 0; i < ndim; i++)
        n *= shape[i];
    f->t[f->n].name = dk_xstrdup(name);
    f->t[f->n].type = type;
    f->t[f->n].ndim = ndim;
    memcpy(f->t[f->n].shape, shape, sizeof shape);
    f->t[f->n].data = dk_xcalloc((size_t)n + 1, 8);
    if (strstr(name, "running_var"))
        for (int64_t i = 0; i < n; i++)
            v[i] = fabsf(v[i]) + .1f;
    if (type == DK_I64)
        memset(f->t[f->n].data, 0, (size_t)n * 8);
    else
        dk_from_f32(type, v, f->t[f->n].data, (size_t)n);
    f->n++;
    free(v);
}

static void meta(file *f, const char *key, const char *value)
{
    f->meta[f->metas++] = dk_xstrdup(key);
    f->meta[f->metas++] = dk_xstrdup(value);
}

static int at(const file *f, const char *name)
{
    for (int i = 0; i < f->n; i++)
        if (strcmp(f->t[i].name, name) == 0)
            return i;
    fail_msg("no tensor %s", name);
    return -1;
}

static void drop(file *f, const char *name)
{
    int i = at(f, name);

    free(f->t[i].name);
    free(f->t[i].data);
    f->t[i] = f->t[--f->n];
}

static void rename_to(file *f, const char *name, const char *new)
{
    int i = at(f, name);

    free(f->t[i].name);
    f->t[i].name = dk_xstrdup(new);
}

/* [a, b] becomes [b, a]. */
static void turn(file *f, const char *name)
{
    int i = at(f, name);
    int64_t rows = f->t[i].shape[0], cols = f->t[i].shape[1];
    float *old = f->t[i].data, *new = dk_xcalloc((size_t)(rows * cols) + 1, 8);

    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < cols; c++)
            new[c * rows + r] = old[r * cols + c];
    free(old);
    f->t[i].data = new;
    f->t[i].shape[0] = cols;
    f->t[i].shape[1] = rows;
}

static void discard(file *f)
{
    for (int i = 0; i < f->n; i++) {
        free(f->t[i].name);
        free(f->t[i].data);
    }
    for (int i = 0; i < f->metas; i++)
        free(f->meta[i]);
    *f = (file){.n = 0};
}

static char *save(const file *f)
{
    static int count;
    char *path = dk_xasprintf("%s/m%d.safetensors", dir, count++);
    dk_st_writer *w = dk_st_writer_new();

    for (int i = 0; i < f->n; i++)
        dk_st_writer_add(w, f->t[i].name, f->t[i].type, f->t[i].ndim, f->t[i].shape, f->t[i].data);
    for (int i = 0; i < f->metas; i += 2)
        dk_st_writer_meta(w, f->meta[i], f->meta[i + 1]);
    ts_ok(dk_st_writer_save(w, path, true, &err), &err);
    dk_st_writer_free(w);
    return path;
}

static dk_gnn *load(const file *f, const char *arch, int task)
{
    char *path = save(f);
    dk_gnn *m = dk_gnn_load(path, arch, task, DK_F64, &err);

    free(path);
    return m;
}

static dk_gnn *loaded(const file *f, const char *arch, int task)
{
    dk_gnn *m = load(f, arch, task);

    ts_ok(m ? 0 : -1, &err);
    return m;
}

static void refused(file *f, int code, const char *text)
{
    assert_null(load(f, NULL, -1));
    ts_failed(&err, code, text);
}

static void head(file *f, int64_t in)
{
    put(f, "lin1.weight", DK_F32, 2, 5, in, 0);
    put(f, "lin1.bias", DK_F32, 1, 5, 0, 0);
    put(f, "lin2.weight", DK_F32, 2, 3, 5, 0);
    put(f, "lin2.bias", DK_F32, 1, 3, 0, 0);
}

static file gcn(void)
{
    file f = {.n = 0};

    put(&f, "conv1.lin.weight", DK_F32, 2, 4, 7, 0);
    put(&f, "conv1.bias", DK_F32, 1, 4, 0, 0);
    put(&f, "convs.0.lin.weight", DK_F32, 2, 6, 4, 0);
    put(&f, "convs.0.bias", DK_F32, 1, 6, 0, 0);
    head(&f, 6);
    return f;
}

static file gat(void)
{
    file f = {.n = 0};

    put(&f, "conv1.lin.weight", DK_F32, 2, 6, 7, 0);
    put(&f, "conv1.att_src", DK_F32, 3, 1, 2, 3);
    put(&f, "conv1.att_dst", DK_F32, 3, 1, 2, 3);
    put(&f, "conv1.bias", DK_F32, 1, 6, 0, 0);
    head(&f, 6);
    return f;
}

static file cat(int64_t lin)
{
    file f = {.n = 0};

    for (int l = 1; l <= 3; l++) {
        char name[32];
        snprintf(name, sizeof name, "conv%d.weight", l);
        put(&f, name, DK_F32, 2, l == 1 ? 7 : 4, 4, 0);
        snprintf(name, sizeof name, "conv%d.bias", l);
        put(&f, name, DK_F32, 1, 4, 0, 0);
    }
    put(&f, "lin.weight", DK_F32, 2, 3, lin, 0);
    put(&f, "lin.bias", DK_F32, 1, 3, 0, 0);
    return f;
}

static void assert_same(const dk_gnn *a, const dk_gnn *b)
{
    assert_int_equal(a->params, b->params);
    for (int i = 0; i < a->params; i++) {
        assert_string_equal(a->param[i].name, b->param[i].name);
        assert_int_equal(a->param[i].rows, b->param[i].rows);
        assert_int_equal(a->param[i].cols, b->param[i].cols);
        assert_memory_equal(a->param[i].value, b->param[i].value,
                            (size_t)(a->param[i].rows * a->param[i].cols) * sizeof(double));
    }
}

/* ---- What is read. */

static void test_inference(void **state)
{
    static const struct {
        const char *path;
        dk_gnn_arch arch;
        dk_task task;
    } want[] = {
        {TS_GNN "gcn_MUTAG.safetensors", DK_GNN_GCN, DK_TASK_GRAPH},
        {TS_GNN "gin_NCI1.safetensors", DK_GNN_GIN, DK_TASK_GRAPH},
        {TS_GNN "tiny/tiny_sage.safetensors", DK_GNN_SAGE, DK_TASK_GRAPH},
        {TS_GNN "holdijk_gcn_ba_shape.safetensors", DK_GNN_GCN_NORM_CAT, DK_TASK_NODE},
        {TS_GNN "holdijk_gcn_ba_2motifs.safetensors", DK_GNN_GCN_NORM_MAXMEAN, DK_TASK_GRAPH},
        {TS_PYG "graphconv.safetensors", DK_GNN_GRAPHCONV, DK_TASK_GRAPH},
        {TS_PYG "gat.safetensors", DK_GNN_GAT, DK_TASK_GRAPH},
        {TS_PYG "gatv2.safetensors", DK_GNN_GATV2, DK_TASK_GRAPH},
    };

    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        dk_st *st = dk_st_open(want[i].path, &err);
        dk_st_writer *w = dk_st_writer_new();
        char *path = dk_xasprintf("%s/bare%zu.safetensors", dir, i);
        assert_non_null(st);
        for (size_t k = 0; k < dk_st_count(st); k++) { /* the same without metadata */
            const dk_st_tensor *t = dk_st_at(st, k);
            dk_st_writer_add(w, t->name, t->dtype, t->ndim, t->shape, t->data);
        }
        ts_ok(dk_st_writer_save(w, path, true, &err), &err);
        dk_gnn *m = dk_gnn_load(path, NULL, -1, DK_F64, &err), *said = ts_gnn(want[i].path, DK_F64);
        ts_ok(m ? 0 : -1, &err);
        assert_int_equal(m->c.arch, want[i].arch);
        assert_int_equal(m->c.task, want[i].task);
        assert_int_equal(said->c.arch, want[i].arch);
        assert_int_equal(m->c.hidden, said->c.hidden);
        assert_int_equal(m->c.heads, said->c.heads);
        assert_int_equal(m->c.concat, said->c.concat);
        assert_same(m, said);
        dk_gnn_free(m);
        dk_gnn_free(said);
        dk_st_writer_free(w);
        dk_st_close(st);
        free(path);
    }
}

static void test_hints(void **state)
{
    file f = gcn();
    dk_gnn *m = loaded(&f, NULL, -1);

    (void)state;
    assert_int_equal(m->c.arch, DK_GNN_GCN);
    assert_int_equal(m->c.hidden, 4);
    assert_int_equal(m->c.layers, 2);
    dk_gnn_free(m);
    m = loaded(&f, "gcn-norm", DK_TASK_NODE);
    assert_int_equal(m->c.arch, DK_GNN_GCN_NORM);
    assert_int_equal(m->c.task, DK_TASK_NODE);
    assert_int_equal(m->c.readout, DK_READ_NONE);
    dk_gnn_free(m);
    assert_null(load(&f, "gcm", -1));
    ts_failed(&err, DK_EUSAGE, "unknown architecture \"gcm\"");
    assert_null(load(&f, "gin", -1));
    ts_failed(&err, DK_EFORMAT, "missing: conv1.eps, conv1.nn.0.weight");
    meta(&f, "arch", "gcn_norm");
    meta(&f, "task", "graph");
    assert_null(load(&f, "gcn", -1));
    ts_failed(&err, DK_EUSAGE, "says gcn_norm");
    assert_null(load(&f, NULL, DK_TASK_NODE));
    ts_failed(&err, DK_EUSAGE, "is a model of graphs");
    discard(&f);
}

/* conv1, conv2 and convs.0, convs.1 hold the same layers as conv1, convs.0. */
static void test_layer_names(void **state)
{
    file f = gcn();
    dk_gnn *want = loaded(&f, NULL, -1), *m;

    (void)state;
    rename_to(&f, "convs.0.lin.weight", "conv2.lin.weight");
    rename_to(&f, "convs.0.bias", "conv2.bias");
    assert_same(m = loaded(&f, NULL, -1), want);
    dk_gnn_free(m);
    rename_to(&f, "conv1.lin.weight", "convs.0.lin.weight");
    rename_to(&f, "conv1.bias", "convs.0.bias");
    rename_to(&f, "conv2.lin.weight", "convs.1.lin.weight");
    rename_to(&f, "conv2.bias", "convs.1.bias");
    assert_same(m = loaded(&f, NULL, -1), want);
    dk_gnn_free(m);
    dk_gnn_free(want);
    discard(&f);
}

static void test_older_pyg(void **state)
{
    file f = gcn();
    dk_gnn *want = loaded(&f, NULL, -1), *m;

    (void)state;
    rename_to(&f, "conv1.lin.weight", "conv1.weight");
    turn(&f, "conv1.weight");
    rename_to(&f, "convs.0.lin.weight", "convs.0.weight");
    turn(&f, "convs.0.weight");
    assert_same(m = loaded(&f, NULL, -1), want);
    dk_gnn_free(m);
    dk_gnn_free(want);
    discard(&f);

    f = cat(12);
    want = loaded(&f, NULL, -1);
    assert_int_equal(want->c.arch, DK_GNN_GCN_NORM_CAT);
    rename_to(&f, "conv2.weight", "conv2.lin.weight");
    turn(&f, "conv2.lin.weight");
    assert_same(m = loaded(&f, NULL, -1), want);
    dk_gnn_free(m);
    dk_gnn_free(want);
    discard(&f);
}

static void test_older_gat(void **state)
{
    file f = gat();
    dk_gnn *want = loaded(&f, NULL, -1), *m;

    (void)state;
    assert_int_equal(want->c.heads, 2);
    assert_int_equal(want->c.hidden, 3);
    assert_true(want->c.concat);
    put(&f, "conv1.lin_dst.weight", DK_F32, 2, 6, 7, 0);
    rename_to(&f, "conv1.lin.weight", "conv1.lin_src.weight");
    refused(&f, DK_EFORMAT, "not understood: conv1.lin_dst.weight");
    memcpy(f.t[at(&f, "conv1.lin_dst.weight")].data, f.t[at(&f, "conv1.lin_src.weight")].data, 168);
    assert_same(m = loaded(&f, NULL, -1), want);
    dk_gnn_free(m);
    rename_to(&f, "conv1.lin_src.weight", "conv1.lin_l.weight");
    rename_to(&f, "conv1.lin_dst.weight", "conv1.lin_r.weight");
    rename_to(&f, "conv1.att_src", "conv1.att_l");
    rename_to(&f, "conv1.att_dst", "conv1.att_r");
    assert_same(m = loaded(&f, NULL, -1), want);
    dk_gnn_free(m);
    dk_gnn_free(want);
    discard(&f);
}

/* One bias per head's width: the heads are averaged. */
static void test_gat_mean(void **state)
{
    file f = {.n = 0};
    dk_gnn *m;

    (void)state;
    put(&f, "conv1.lin.weight", DK_F32, 2, 6, 7, 0);
    put(&f, "conv1.att_src", DK_F32, 3, 1, 2, 3);
    put(&f, "conv1.att_dst", DK_F32, 3, 1, 2, 3);
    put(&f, "conv1.bias", DK_F32, 1, 3, 0, 0);
    head(&f, 3);
    m = loaded(&f, NULL, -1);
    assert_false(m->c.concat);
    dk_gnn_free(m);
    meta(&f, "concat", "1");
    refused(&f, DK_EFORMAT, "conv1.bias has shape [3], expected [6]");
    discard(&f);
}

static void test_types(void **state)
{
    static const dk_dtype type[] = {DK_F64, DK_F16, DK_BF16};
    file f = gcn();
    dk_gnn *want = loaded(&f, NULL, -1);

    (void)state;
    for (int k = 0; k < 3; k++) {
        file g = {.n = 0};
        for (int i = 0; i < f.n; i++)
            put(&g, f.t[i].name, type[k], f.t[i].ndim, f.t[i].shape[0], f.t[i].shape[1], 0);
        dk_gnn *m = loaded(&g, NULL, -1);
        for (int i = 0; i < m->params; i++)
            for (int64_t j = 0; j < m->param[i].rows * m->param[i].cols; j++) {
                double a = ((double *)m->param[i].value)[j],
                       b = ((double *)want->param[i].value)[j];
                assert_true(fabs(a - b) <= (k == 0   ? 0
                                            : k == 1 ? 1e-3
                                                     : 8e-3) *
                                                   fabs(b) +
                                               1e-6 * k);
            }
        dk_gnn_free(m);
        discard(&g);
    }
    dk_gnn_free(want);
    drop(&f, "conv1.bias");
    put(&f, "conv1.bias", DK_I64, 1, 4, 0, 0);
    refused(&f, DK_EFORMAT, "conv1.bias has type I64");
    discard(&f);
}

/* ---- What is refused. */

static void test_all_complaints_at_once(void **state)
{
    file f = gcn();

    (void)state;
    drop(&f, "conv1.bias");
    drop(&f, "lin2.bias");
    drop(&f, "lin1.weight");
    put(&f, "lin1.weight", DK_F32, 2, 5, 9, 0);
    put(&f, "norms.0.weight", DK_F32, 1, 4, 0, 0);
    put(&f, "conv1.lin_edge.weight", DK_F32, 1, 4, 0, 0);
    put(&f, "convs.3.bias", DK_F32, 1, 4, 0, 0);
    refused(&f, DK_EFORMAT,
            "tensors do not make a gcn model of 2 layers: lin1.weight has shape [5, 9], expected "
            "[5, 6]; missing: conv1.bias, lin2.bias; not understood: conv1.lin_edge.weight, "
            "convs.3.bias, norms.0.weight");
    discard(&f);
}

static void test_bad_shapes(void **state)
{
    static const int64_t shape[][4] = {{1, 28}, {2, 7, 4}, {3, 4, 7, 1}, {2, 0, 7}, {2, 4, 0}};

    (void)state;
    for (int i = 0; i < 5; i++) {
        file f = gcn();
        drop(&f, "conv1.lin.weight");
        put(&f, "conv1.lin.weight", DK_F32, (int)shape[i][0], shape[i][1], shape[i][2],
            shape[i][3]);
        refused(&f, DK_EFORMAT,
                i == 1 ? "convs.0.lin.weight has shape [6, 4], expected [6, 7]"
                       : "conv1.lin.weight has shape [");
        discard(&f);
    }
}

static void test_not_finite(void **state)
{
    file f = gcn();

    (void)state;
    ((float *)f.t[at(&f, "convs.0.bias")].data)[2] = NAN;
    refused(&f, DK_EFORMAT, "tensor \"convs.0.bias\": element 2 is nan");
    ((float *)f.t[at(&f, "convs.0.bias")].data)[2] = -INFINITY;
    refused(&f, DK_EFORMAT, "tensor \"convs.0.bias\": element 2 is -inf");
    discard(&f);
}

static void test_no_model(void **state)
{
    file f = {.n = 0};

    (void)state;
    refused(&f, DK_EFORMAT, "no layers");
    put(&f, "encoder.weight", DK_F32, 1, 4, 0, 0);
    refused(&f, DK_EFORMAT, "first tensor is \"encoder.weight\"");
    put(&f, "conv1.kernel", DK_F32, 1, 4, 0, 0);
    refused(&f, DK_EFORMAT, "--arch");
    for (int i = 0; i < 20; i++) {
        char name[32];
        snprintf(name, sizeof name, "convs.%d.bias", i);
        put(&f, name, DK_F32, 1, 4, 0, 0);
    }
    refused(&f, DK_EUNSUPPORTED, "more than 16 layers");
    discard(&f);
    /* two layers of 4: both kinds of `lin` are 8 wide */
    f = cat(8);
    drop(&f, "conv3.weight");
    drop(&f, "conv3.bias");
    refused(&f, DK_EFORMAT, "--arch");
    dk_gnn *m = loaded(&f, NULL, DK_TASK_NODE);
    assert_int_equal(m->c.arch, DK_GNN_GCN_NORM_CAT);
    dk_gnn_free(m);
    m = loaded(&f, "gcn_norm_maxmean", -1);
    assert_int_equal(m->c.task, DK_TASK_GRAPH);
    dk_gnn_free(m);
    discard(&f);
    assert_null(dk_gnn_load("tests/data/none.safetensors", NULL, -1, DK_F32, &err));
    ts_failed(&err, DK_EFAIL, "none.safetensors");
}

static void test_metadata(void **state)
{
    static const struct {
        const char *key, *value, *why;
        int code;
    } bad[] = {
        {"arch", "transformer", "metadata \"arch\": expected gcn, gin", DK_EFORMAT},
        {"task", "edge", "metadata \"task\": expected graph or node, found \"edge\"", DK_EFORMAT},
        {"readout", "median", "metadata \"readout\"", DK_EFORMAT},
        {"readout", "max+mean", "does not go with", DK_EFORMAT},
        {"activation", "gelu", "metadata \"activation\"", DK_EFORMAT},
        {"feature_norm", "l3", "metadata \"feature_norm\"", DK_EFORMAT},
        {"num_layers", "1000000000", "an integer from 1 to 16, found \"1000000000\"", DK_EFORMAT},
        {"num_layers", "3", "\"num_layers\" is 3, the tensors make 2 layers", DK_EFORMAT},
        {"num_layers", "2.0", "metadata \"num_layers\"", DK_EFORMAT},
        {"hidden", "1000000000", "metadata \"hidden\"", DK_EFORMAT},
        {"hidden", "8", "metadata \"hidden\" is 8, the tensors say 4", DK_EFORMAT},
        {"num_features", "6", "metadata \"num_features\" is 6, the tensors say 7", DK_EFORMAT},
        {"num_classes", "2", "metadata \"num_classes\" is 2, the tensors say 3", DK_EFORMAT},
        {"pad_nodes", "-1", "metadata \"pad_nodes\"", DK_EFORMAT},
        {"pad_nodes", "2000000000", "metadata \"pad_nodes\"", DK_EFORMAT},
        {"dropout", "nan", "metadata \"dropout\"", DK_EFORMAT},
        {"dropout", "1", "metadata \"dropout\"", DK_EFORMAT},
        {"negative_slope", "", "metadata \"negative_slope\"", DK_EFORMAT},
        {"heads", "0", "metadata \"heads\"", DK_EFORMAT},
        {"concat", "yes", "metadata \"concat\"", DK_EFORMAT},
        {"norm", "sym", "metadata \"norm\": expected l2", DK_EFORMAT},
        {"add_self_loops", "1", "metadata \"add_self_loops\": expected 0", DK_EFORMAT},
        {"aggr", "mean", "only layers that sum", DK_EUNSUPPORTED},
        {"encoding", "labels=", "metadata \"encoding\"", DK_EFORMAT},
        {"encoding", "attributes=3;labels=0,1", "makes 5 features, the tensors expect 7",
         DK_EFORMAT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        file f = gcn();
        meta(&f, bad[i].key, bad[i].value);
        refused(&f, bad[i].code, bad[i].why);
        discard(&f);
    }
}

/* ---- Round trips. */

static void check_round_trip(const dk_gnn *m)
{
    char *path = dk_xasprintf("%s/own.safetensors", dir);
    dk_st_writer *w = dk_st_writer_new();

    dk_gnn_save(m, w);
    ts_ok(dk_st_writer_save(w, path, true, &err), &err);
    dk_st_writer_free(w);
    dk_gnn *back = dk_gnn_load(path, NULL, -1, m->real, &err);
    ts_ok(back ? 0 : -1, &err);
    assert_same(back, m);
    assert_memory_equal(&back->c.arch, &m->c.arch, sizeof m->c.arch);
    assert_int_equal(back->c.task, m->c.task);
    assert_int_equal(back->c.layers, m->c.layers);
    assert_int_equal(back->c.hidden, m->c.hidden);
    assert_int_equal(back->c.features, m->c.features);
    assert_int_equal(back->c.classes, m->c.classes);
    assert_int_equal(back->c.readout, m->c.readout);
    assert_int_equal(back->c.activation, m->c.activation);
    assert_int_equal(back->c.heads, m->c.heads);
    assert_int_equal(back->c.pad_nodes, m->c.pad_nodes);
    assert_int_equal(back->c.feature_row_sum, m->c.feature_row_sum);
    assert_true(back->c.dropout == m->c.dropout);
    assert_int_equal(back->buffers, m->buffers);
    for (int i = 0; i < m->buffers; i++)
        assert_memory_equal(back->buffer[i].value, m->buffer[i].value,
                            (size_t)m->buffer[i].cols * sizeof(double));
    assert_int_equal(strlen(back->hash), 32);
    dk_gnn_free(back);
    free(path);
}

static void test_round_trip(void **state)
{
    (void)state;
    for (int a = 0; a <= DK_GNN_GCN_NORM_MAXMEAN; a++)
        for (int l = 1; l < 6; l += 2) {
            dk_task task = a == DK_GNN_GCN_NORM_CAT ? DK_TASK_NODE : DK_TASK_GRAPH;
            dk_gnn *m = ts_gnn_random((dk_gnn_arch)a, task, l, 3, 5);
            m->c.dropout = .3;
            m->c.feature_row_sum = l == 3;
            m->c.pad_nodes = l == 3 ? 12 : 0;
            check_round_trip(m);
            dk_gnn *copy = dk_gnn_copy(m, DK_F64, &err);
            assert_same(copy, m);
            dk_gnn_free(copy);
            dk_gnn_free(m);
        }
}

static void test_encoding_travels(void **state)
{
    ts_case c;

    (void)state;
    ts_case_open(&c, "gcn_MUTAG", "MUTAG", DK_F64);
    ts_ok(dk_dataset_encoding(&c.d, &c.m->encoding, &err), &err);
    c.m->has_encoding = true;
    dk_gnn *copy = dk_gnn_copy(c.m, DK_F64, &err);
    assert_true(copy->has_encoding);
    assert_int_equal(dk_encoding_features(&copy->encoding), 7);
    check_round_trip(copy);
    ts_ok(dk_gnn_encode(copy, &c.d, &err), &err);
    dk_gnn_free(copy);
    ts_case_close(&c);
}

static void test_new_model(void **state)
{
    dk_gnn_config c = {.arch = DK_GNN_GIN,
                       .layers = 3,
                       .hidden = 32,
                       .features = 7,
                       .classes = 2,
                       .activation = DK_FN_RELU};
    dk_gnn *m = dk_gnn_new(&c, DK_F32, 1, &err), *same = dk_gnn_new(&c, DK_F32, 1, &err);
    dk_gnn *other = dk_gnn_new(&c, DK_F32, 2, &err);

    (void)state;
    ts_ok(m && same && other ? 0 : -1, &err);
    assert_int_equal(dk_gnn_parameters(m), 3 + 7 * 32 + 5 * 1024 + 6 * 32 + 6 * 32 + 1056 + 66);
    assert_int_equal(m->c.readout, DK_READ_MEAN);
    assert_memory_equal(m->param[1].value, same->param[1].value, 7 * 32 * 4);
    assert_memory_not_equal(m->param[1].value, other->param[1].value, 7 * 32 * 4);
    float bound = 1 / sqrtf(7), largest = 0;
    for (int i = 0; i < 7 * 32; i++)
        largest = fmaxf(largest, fabsf(((float *)m->param[1].value)[i]));
    assert_true(largest <= bound && largest > .95f * bound);
    dk_gnn_free(m);
    dk_gnn_free(same);
    dk_gnn_free(other);
    c.layers = 17;
    assert_null(dk_gnn_new(&c, DK_F32, 1, &err));
    ts_failed(&err, DK_EUSAGE, "layers must be in [1, 16], found 17");
    c.layers = 3;
    c.arch = DK_GNN_GCN_NORM_CAT;
    assert_null(dk_gnn_new(&c, DK_F32, 1, &err));
    ts_failed(&err, DK_EUSAGE, "model of nodes");
}

static void test_arch_names(void **state)
{
    (void)state;
    for (int a = 0; a <= DK_GNN_GCN_NORM_MAXMEAN; a++)
        assert_int_equal(dk_gnn_arch_parse(dk_gnn_arch_name((dk_gnn_arch)a)), a);
    assert_int_equal(dk_gnn_arch_parse("gcn-norm-cat"), DK_GNN_GCN_NORM_CAT);
    assert_int_equal(dk_gnn_arch_parse("gcn-"), -1);
    assert_int_equal(dk_gnn_arch_parse(""), -1);
    assert_int_equal(dk_gnn_arch_parse("gatv"), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_inference, fresh),
        cmocka_unit_test_setup(test_hints, fresh),
        cmocka_unit_test_setup(test_layer_names, fresh),
        cmocka_unit_test_setup(test_older_pyg, fresh),
        cmocka_unit_test_setup(test_older_gat, fresh),
        cmocka_unit_test_setup(test_gat_mean, fresh),
        cmocka_unit_test_setup(test_types, fresh),
        cmocka_unit_test_setup(test_all_complaints_at_once, fresh),
        cmocka_unit_test_setup(test_bad_shapes, fresh),
        cmocka_unit_test_setup(test_not_finite, fresh),
        cmocka_unit_test_setup(test_no_model, fresh),
        cmocka_unit_test_setup(test_metadata, fresh),
        cmocka_unit_test_setup(test_round_trip, fresh),
        cmocka_unit_test_setup(test_encoding_travels, fresh),
        cmocka_unit_test_setup(test_new_model, fresh),
        cmocka_unit_test_setup(test_arch_names, fresh),
    };

    return cmocka_run_group_tests_name("gnn-load", tests, set_up, tear_down);
}
