/* A GNN's state dict with its metadata: a model that loads runs on a small graph without a fault,
 * and saving it gives a file that loads again. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "graph/gnn.h"
#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* 0 <-> 1 -> 2 with a loop on 2; node 3 alone. */
static void run(const dk_gnn *m)
{
    static const int32_t src[] = {0, 1, 1, 2}, dst[] = {1, 0, 2, 2};
    static dk_err err;
    dk_graph g = {0};
    dk_gnn_input in = {0};
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace tr;
    dk_gnn_vars v;
    dk_tape *t = dk_tape_new(dk_mat_cpu(m->real));

    dk_err_init(&err);
    if (dk_graph_build(&g, 4, 4, src, dst, NULL, NULL, NULL, NULL, &err))
        abort();
    g.num_features = m->c.features;
    g.x = calloc(4 * (size_t)m->c.features, sizeof *g.x);
    for (int i = 0; g.x && i < 4 * m->c.features; i++)
        g.x[i] = i % 3;
    if (dk_gnn_input_graph(&in, m, &g, &err) == 0) {
        dk_tape_record(t, false);
        dk_gnn_bind(m, t, false, &v);
        dk_gnn_run(m, t, &v, &in, &o, &tr);
        if (dk_tape_take(t, &err) == 0 && dk_var_cols(t, tr.logits) != m->c.classes)
            abort();
    }
    dk_gnn_input_free(&in);
    dk_graph_free(&g);
    dk_tape_free(t);
}

/* In memory: the writer wants a stream. */
static void save_and_load(const dk_gnn *m)
{
    static dk_err err;
    char *text = NULL;
    size_t len = 0;
    FILE *f = open_memstream(&text, &len);
    dk_st_writer *w = dk_st_writer_new();

    if (!f)
        abort();
    dk_err_init(&err);
    dk_gnn_save(m, w);
    int rc = dk_st_writer_write(w, f, &err);
    fclose(f);
    dk_st_writer_free(w);
    if (rc == 0) {
        dk_st *st = dk_st_open_mem(text, len, "saved", &err);
        dk_gnn *again = st ? dk_gnn_load_st(st, NULL, -1, m->real, &err) : NULL;
        if (!again || again->c.arch != m->c.arch || again->c.layers != m->c.layers ||
            dk_gnn_parameters(again) != dk_gnn_parameters(m))
            abort();
        dk_gnn_free(again);
        dk_st_close(st);
    }
    free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static dk_err err;

    dk_err_init(&err);
    dk_st *st = dk_st_open_mem(data, size, "input", &err);
    if (!st)
        return 0;
    dk_gnn *m = dk_gnn_load_st(st, NULL, -1, size % 2 ? DK_F32 : DK_F64, &err);
    if (m) {
        run(m);
        save_and_load(m);
    } else if (!err.code || err.msg[0] == '\0') {
        abort();
    }
    dk_gnn_free(m);
    dk_st_close(st);
    return 0;
}
