/* Logits of a whole data set: graphs in parallel, one tape per thread; a node set is one graph. */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/sig.h"
#include "graph/gnn_internal.h"

/* Logits of one graph ([1, C], node task [n, C]) to `out`. The tape is as it was afterwards. */
static int predict_one(const dk_gnn *m, dk_tape *t, const dk_gnn_vars *v, const dk_graph *g,
                       double *out, dk_err *err)
{
    dk_tape_mark mark = dk_tape_save(t);
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_input in;
    dk_gnn_trace tr;
    int64_t rows = m->c.task == DK_TASK_NODE ? g->n : 1, n = rows * m->c.classes;

    if (dk_gnn_input_graph(&in, m, g, err))
        return err->code;
    dk_gnn_run(m, t, v, &in, &o, &tr);
    int rc = dk_tape_take(t, err);
    for (int64_t i = 0; !rc && i < n; i++) {
        out[i] =
            m->real == DK_F64 ? dk_value64(t, tr.logits)[i] : (double)dk_value32(t, tr.logits)[i];
        if (!isfinite(out[i]))
            rc = dk_fail(err, DK_ENUMERIC, "logit %lld is %g", (long long)i, out[i]);
    }
    dk_tape_restore(t, mark);
    dk_gnn_input_free(&in);
    return rc;
}

/* A thread's share of the work; the error of the first graph that fails is kept. */
typedef struct shared {
    const dk_gnn *m;
    const dk_dataset *d;
    double *logits;
    int32_t bad; /* first failing graph; count: none */
    dk_err *err;
} shared;

static void note(shared *s, int32_t graph, const dk_err *own)
{
#pragma omp critical(dk_gnn_predict)
    if (graph < s->bad) {
        s->bad = graph;
        dk_err_init(s->err);
        dk_fail(s->err, own->code, "%s: graph %d: %s", s->d->path ? s->d->path : s->d->name, graph,
                own->msg);
    }
}

static bool worth_it(shared *s, int32_t graph)
{
    int32_t bad;

#pragma omp atomic read
    bad = s->bad;
    return graph < bad && !dk_cancelled();
}

static void predict_graphs(shared *s)
{
    dk_err *own = dk_xmalloc(sizeof *own);
    dk_gnn_vars *v = dk_xmalloc(sizeof *v);
    dk_tape *t = dk_tape_new(dk_mat_cpu(s->m->real));

    dk_tape_record(t, false);
    dk_gnn_bind(s->m, t, false, v);
#pragma omp for schedule(dynamic, 8)
    for (int32_t i = 0; i < s->d->count; i++) {
        if (!worth_it(s, i))
            continue;
        dk_err_init(own);
        if (predict_one(s->m, t, v, &s->d->graphs[i],
                        s->logits + (size_t)i * (size_t)s->m->c.classes, own))
            note(s, i, own);
    }
    dk_tape_free(t);
    free(v);
    free(own);
}

int dk_gnn_predict(const dk_gnn *m, const dk_dataset *d, double *logits, dk_err *err)
{
    shared s = {m, d, logits, d->count, err};

    if (m->c.task == DK_TASK_NODE && d->count == 1) {
        predict_graphs(&s); /* outside a team: the operations themselves are parallel */
    } else if (m->c.task == DK_TASK_NODE) {
        return dk_fail(err, DK_EFORMAT, "%s: %d graphs; nodes are classified in one graph",
                       d->path ? d->path : d->name, d->count);
    } else {
#pragma omp parallel
        predict_graphs(&s);
    }
    if (err->code)
        return err->code;
    return dk_check_cancel(err);
}
