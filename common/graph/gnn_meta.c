/* The configuration in a model file's metadata: strings, each of which may be wrong or absent. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/opt.h"
#include "graph/gnn_internal.h"

static const char *const readouts[] = {
    [DK_READ_NONE] = "none", [DK_READ_MEAN] = "mean",         [DK_READ_SUM] = "sum",
    [DK_READ_MAX] = "max",   [DK_READ_MAX_MEAN] = "max+mean",
};
static const struct {
    const char *name;
    dk_fn fn;
} activations[] = {
    {"relu", DK_FN_RELU},
    {"elu", DK_FN_ELU},
    {"tanh", DK_FN_TANH},
    {"leaky_relu", DK_FN_LEAKY_RELU},
};
enum {
    READOUTS = sizeof readouts / sizeof *readouts,
    ACTIVATIONS = sizeof activations / sizeof *activations
};

const char *dk_gnn_readout_name(dk_readout r)
{
    return readouts[r];
}

const char *dk_gnn_activation_name(dk_fn f)
{
    for (int i = 0; i < ACTIVATIONS; i++)
        if (activations[i].fn == f)
            return activations[i].name;
    return NULL;
}

/* What the layer normalises, in one word for people and for other programs. */
static const char *norm_name(dk_gnn_arch a)
{
    switch (a) {
    case DK_GNN_GCN:
        return "l2";
    case DK_GNN_GIN:
        return "batch";
    case DK_GNN_GCN_NORM:
        return "sym";
    case DK_GNN_GCN_NORM_CAT:
    case DK_GNN_GCN_NORM_MAXMEAN:
        return "sym+l2";
    default:
        return "none";
    }
}

static int bad(const dk_st *st, const char *key, const char *expected, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: metadata \"%s\": expected %s, found \"%.64s\"",
                   dk_st_path(st), key, expected, dk_st_meta(st, key));
}

/* Silent: *out stays. */
static int read_int(const dk_st *st, const char *key, int lo, int hi, int *out, dk_err *err)
{
    const char *s = dk_st_meta(st, key);
    char expected[64];
    int64_t v;
    dk_err own;

    if (!s)
        return 0;
    dk_err_init(&own);
    if (dk_parse_i64(s, lo, hi, key, &v, &own)) {
        snprintf(expected, sizeof expected, "an integer from %d to %d", lo, hi);
        return bad(st, key, expected, err);
    }
    *out = (int)v;
    return 0;
}

static int read_real(const dk_st *st, const char *key, double lo, double hi, double *out,
                     dk_err *err)
{
    const char *s = dk_st_meta(st, key);
    char expected[64];
    dk_err own;

    if (!s)
        return 0;
    dk_err_init(&own);
    if (dk_parse_f64(s, lo, hi, key, out, &own)) {
        snprintf(expected, sizeof expected, "a number from %g to %g", lo, hi);
        return bad(st, key, expected, err);
    }
    return 0;
}

static int read_words(const dk_st *st, dk_gnn_meta *m, dk_err *err)
{
    const char *s;

    if ((s = dk_st_meta(st, "arch")) && (m->arch = dk_gnn_arch_parse(s)) < 0)
        return bad(st, "arch",
                   "gcn, gin, sage, graphconv, gcn_norm, gat, gatv2, gcn_norm_cat or "
                   "gcn_norm_maxmean",
                   err);
    if ((s = dk_st_meta(st, "task"))) {
        m->task = strcmp(s, "graph") == 0 ? DK_TASK_GRAPH : DK_TASK_NODE;
        if (m->task == DK_TASK_NODE && strcmp(s, "node") != 0)
            return bad(st, "task", "graph or node", err);
    }
    if ((s = dk_st_meta(st, "readout"))) {
        for (m->readout = 0; m->readout < READOUTS; m->readout++)
            if (strcmp(s, readouts[m->readout]) == 0)
                break;
        if (m->readout == READOUTS)
            return bad(st, "readout", "none, mean, sum, max or max+mean", err);
    }
    if ((s = dk_st_meta(st, "activation"))) {
        for (int i = 0; i < ACTIVATIONS; i++)
            if (strcmp(s, activations[i].name) == 0)
                m->activation = (int)activations[i].fn;
        if (m->activation < 0)
            return bad(st, "activation", "relu, elu, tanh or leaky_relu", err);
    }
    if ((s = dk_st_meta(st, "feature_norm"))) {
        m->feature_row_sum = strcmp(s, "row_sum") == 0;
        if (!m->feature_row_sum && strcmp(s, "none") != 0)
            return bad(st, "feature_norm", "row_sum or none", err);
    }
    /* Layers that are the same but for this cannot be told apart by their tensors. */
    if ((s = dk_st_meta(st, "aggr")) && strcmp(s, "sum") != 0 && strcmp(s, "add") != 0)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: metadata \"aggr\" is \"%.64s\"; only layers that "
                       "sum over neighbours are supported",
                       dk_st_path(st), s);
    return 0;
}

/* `norm` and `add_self_loops` repeat what the architecture does; a file that says otherwise holds a
 * network that this program would run wrongly. */
int dk_gnn_meta_agrees(const dk_st *st, const dk_gnn_config *c, dk_err *err)
{
    const char *norm = dk_st_meta(st, "norm");
    const char *loops = dk_st_meta(st, "add_self_loops");

    if (norm && strcmp(norm, norm_name(c->arch)) != 0)
        return bad(st, "norm", norm_name(c->arch), err);
    if (loops && strcmp(loops, dk_gnn_own_loops(c) ? "1" : "0") != 0)
        return bad(st, "add_self_loops", dk_gnn_own_loops(c) ? "1" : "0", err);
    return 0;
}

int dk_gnn_meta_read(const dk_st *st, dk_gnn_meta *m, dk_err *err)
{
    *m = (dk_gnn_meta){-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    if (read_words(st, m, err) ||
        read_int(st, "num_layers", 1, DK_GNN_MAX_LAYERS, &m->layers, err) ||
        read_int(st, "hidden", 1, 1 << 20, &m->hidden, err) ||
        read_int(st, "num_features", 1, 1 << 24, &m->features, err) ||
        read_int(st, "num_classes", 1, 1 << 24, &m->classes, err) ||
        read_int(st, "heads", 1, 1024, &m->heads, err) ||
        read_int(st, "concat", 0, 1, &m->concat, err) ||
        read_int(st, "add_self_loops", 0, 1, &m->add_self_loops, err) ||
        read_int(st, "pad_nodes", 0, 100000, &m->pad_nodes, err) ||
        read_real(st, "negative_slope", 0, 100, &m->negative_slope, err) ||
        read_real(st, "dropout", 0, .999, &m->dropout, err))
        return err->code;
    return 0;
}

static void write_int(dk_st_writer *w, const char *key, int v)
{
    char text[16];

    snprintf(text, sizeof text, "%d", v);
    dk_st_writer_meta(w, key, text);
}

static void write_real(dk_st_writer *w, const char *key, double v)
{
    char text[32];

    for (int digits = 1; digits <= 17; digits++) { /* the shortest that reads back */
        snprintf(text, sizeof text, "%.*g", digits, v);
        if (strtod(text, NULL) == v)
            break;
    }
    dk_st_writer_meta(w, key, text);
}

void dk_gnn_meta_write(const dk_gnn *m, dk_st_writer *w)
{
    const dk_gnn_config *c = &m->c;

    dk_st_writer_meta(w, "format", "pt");
    dk_st_writer_meta(w, "arch", dk_gnn_arch_name(c->arch));
    dk_st_writer_meta(w, "task", c->task == DK_TASK_NODE ? "node" : "graph");
    if (m->dataset)
        dk_st_writer_meta(w, "dataset", m->dataset);
    write_int(w, "num_layers", c->layers);
    write_int(w, "hidden", c->hidden);
    write_int(w, "num_features", c->features);
    write_int(w, "num_classes", c->classes);
    dk_st_writer_meta(w, "readout", readouts[c->readout]);
    dk_st_writer_meta(w, "activation", dk_gnn_activation_name(c->activation));
    dk_st_writer_meta(w, "norm", norm_name(c->arch));
    write_int(w, "add_self_loops", dk_gnn_own_loops(c));
    write_real(w, "dropout", c->dropout);
    if (dk_gnn_is_attention(c->arch)) {
        write_int(w, "heads", c->heads);
        write_int(w, "concat", c->concat);
        write_real(w, "negative_slope", c->negative_slope);
    }
    if (c->feature_row_sum)
        dk_st_writer_meta(w, "feature_norm", "row_sum");
    if (c->pad_nodes)
        write_int(w, "pad_nodes", c->pad_nodes);
    if (m->has_encoding) {
        char *text = dk_encoding_text(&m->encoding);
        dk_st_writer_meta(w, "encoding", text);
        free(text);
    }
}
