/* See gnn_aid.h. */
#include "unit/gnn_aid.h"

#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

static dk_err err;

dk_gnn *ts_gnn(const char *path, dk_dtype real)
{
    dk_err_init(&err);
    dk_gnn *m = dk_gnn_load(path, NULL, -1, real, &err);
    ts_ok(m ? 0 : -1, &err);
    return m;
}

void ts_case_open(ts_case *c, const char *model, const char *data, dk_dtype real)
{
    char *path = dk_xasprintf(TS_GNN "%s.safetensors", model);
    char *dir = dk_xasprintf("tests/data/thirdparty/%s", data ? data : "");

    *c = (ts_case){.m = ts_gnn(path, real)};
    if (data) {
        ts_ok(dk_dataset_load(&c->d, dir, &(dk_dataset_options){false}, &err), &err);
        ts_ok(dk_gnn_encode(c->m, &c->d, &err), &err);
    }
    free(path);
    free(dir);
}

void ts_case_close(ts_case *c)
{
    dk_gnn_free(c->m);
    dk_dataset_free(&c->d);
}

/* ---- Graphs. */

static void finish(dk_graph *g, int f, const double *x)
{
    g->num_features = f;
    g->label = -1;
    g->x = dk_xcalloc((size_t)g->n * (size_t)f + 1, sizeof *g->x);
    memcpy(g->x, x, (size_t)g->n * (size_t)f * sizeof *x);
}

void ts_graph(dk_graph *g, int32_t n, int e, const int32_t (*edge)[2], int f, const double *x)
{
    int32_t *src = dk_xcalloc((size_t)e + 1, sizeof *src),
            *dst = dk_xcalloc((size_t)e + 1, sizeof *dst);

    for (int i = 0; i < e; i++) {
        src[i] = edge[i][0];
        dst[i] = edge[i][1];
    }
    dk_err_init(&err);
    ts_ok(dk_graph_build(g, n, e, src, dst, NULL, NULL, NULL, NULL, &err), &err);
    finish(g, f, x);
    free(src);
    free(dst);
}

void ts_graph_json(dk_graph *g, dk_jnode node, bool weights)
{
    json_t *edges = dk_json_key(node, "edges").v, *rows = dk_json_key(node, "x").v;
    json_t *w = dk_json_key(node, "edge_weight").v;
    int32_t n = (int32_t)json_integer_value(dk_json_key(node, "nodes").v);
    size_t e = json_array_size(edges), f = json_array_size(json_array_get(rows, 0));
    int32_t *src = dk_xcalloc(e, sizeof *src), *dst = dk_xcalloc(e, sizeof *dst);
    double *weight = dk_xcalloc(e, sizeof *weight), *x = dk_xcalloc((size_t)n * f, sizeof *x);

    for (size_t i = 0; i < e; i++) {
        src[i] = (int32_t)json_integer_value(json_array_get(json_array_get(edges, i), 0));
        dst[i] = (int32_t)json_integer_value(json_array_get(json_array_get(edges, i), 1));
        weight[i] = weights ? json_number_value(json_array_get(w, i)) : 1;
    }
    for (size_t i = 0; i < (size_t)n * f; i++)
        x[i] = json_number_value(json_array_get(json_array_get(rows, i / f), i % f));
    dk_err_init(&err);
    ts_ok(
        dk_graph_build(g, n, (int64_t)e, src, dst, weights ? weight : NULL, NULL, NULL, NULL, &err),
        &err);
    finish(g, (int)f, x);
    free(src);
    free(dst);
    free(weight);
    free(x);
}

static double uniform(uint64_t seed, uint64_t i)
{
    return (double)(dk_splitmix64(seed * 1000003 + i) >> 11) * 0x1p-53;
}

void ts_graph_random(dk_graph *g, int32_t n, int f, bool weights, uint64_t seed)
{
    int32_t src[256], dst[256];
    double weight[256], *x = dk_xcalloc((size_t)n * (size_t)f, sizeof *x);
    int e = 0;

    assert_true(n <= 60);
    for (int32_t v = 1; v < n - 1; v++) { /* a tree with chords, both ways; node n - 1 is alone */
        int32_t u = (int32_t)(uniform(seed, (uint64_t)v) * v);
        src[e] = u, dst[e++] = v;
        src[e] = v, dst[e++] = u;
        if (v % 3 == 0)
            src[e] = v, dst[e++] = v;
    }
    src[e] = 0, dst[e++] = n - 2; /* one way */
    for (int i = 0; i < e; i++)
        weight[i] = .5 + uniform(seed, 1000 + (uint64_t)i);
    for (int i = 0; i < n * f; i++)
        x[i] = 2 * uniform(seed, 5000 + (uint64_t)i) - 1;
    dk_err_init(&err);
    ts_ok(dk_graph_build(g, n, e, src, dst, weights ? weight : NULL, NULL, NULL, NULL, &err), &err);
    finish(g, f, x);
    free(x);
}

/* ---- Runs. */

void ts_run_begin(ts_run *r, const dk_gnn *m, const dk_graph *g, const dk_mat_ops *ops)
{
    *r = (ts_run){.m = m, .t = dk_tape_new(ops ? ops : dk_mat_cpu(m->real))};
    r->o = dk_gnn_options_default();
    dk_gnn_bind(m, r->t, false, &r->v);
    r->mark = dk_tape_save(r->t);
    dk_err_init(&err);
    ts_ok(dk_gnn_input_graph(&r->in, m, g, &err), &err);
}

void ts_run_go(ts_run *r)
{
    dk_gnn_run(r->m, r->t, &r->v, &r->in, &r->o, &r->tr);
    dk_err_init(&err);
    ts_ok(dk_tape_take(r->t, &err), &err);
}

void ts_run_end(ts_run *r)
{
    dk_gnn_input_free(&r->in);
    dk_tape_free(r->t);
}

double *ts_logits(const dk_gnn *m, const dk_graph *g)
{
    ts_run r;

    ts_run_begin(&r, m, g, NULL);
    ts_run_go(&r);
    size_t n = (size_t)(dk_var_rows(r.t, r.tr.logits) * dk_var_cols(r.t, r.tr.logits));
    double *z = dk_xcalloc(n + 1, sizeof *z);
    for (size_t i = 0; i < n; i++)
        z[i] = m->real == DK_F64 ? dk_value64(r.t, r.tr.logits)[i]
                                 : (double)dk_value32(r.t, r.tr.logits)[i];
    ts_run_end(&r);
    return z;
}

dk_gnn *ts_gnn_random(dk_gnn_arch arch, dk_task task, int layers, int features, uint64_t seed)
{
    bool attention = arch == DK_GNN_GAT || arch == DK_GNN_GATV2;
    dk_gnn_config c = {.arch = arch,
                       .task = task,
                       .layers = layers,
                       .hidden = 4,
                       .features = features,
                       .classes = 3,
                       .readout = DK_READ_MEAN,
                       .activation = DK_FN_TANH,
                       .heads = attention ? 2 : 1,
                       .concat = true,
                       .add_self_loops = true,
                       .negative_slope = .2};

    dk_err_init(&err);
    dk_gnn *m = dk_gnn_new(&c, DK_F64, seed, &err);
    ts_ok(m ? 0 : -1, &err);
    for (int i = 0; i < m->params; i++) /* biases of 0 hide mistakes */
        for (int64_t k = 0; k < m->param[i].rows * m->param[i].cols; k++)
            ((double *)m->param[i].value)[k] += .3 * (uniform(seed, (uint64_t)(1000 * i + k)) - .5);
    for (int i = 0; i < m->buffers; i++)
        for (int64_t k = 0; k < m->buffer[i].cols; k++)
            ((double *)m->buffer[i].value)[k] +=
                .5 * uniform(seed, (uint64_t)(77777 + 100 * i + k));
    return m;
}
