/* One explainer of a run: found by name; what it learns is loaded, or learned and saved. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "gx.h"

/* Nodes that a learning explainer is trained on at most; evenly spaced among the correct ones. */
enum { MOST_NODES = 2000 };

static int find(gx_method *m, const char *name, dk_err *err)
{
    dk_buf names = {0};

    m->x = dk_explainer_find(name);
    m->name = m->x ? m->x->name : NULL;
    if (m->x)
        return 0;
    for (int i = 0; dk_explainer_at(i); i++)
        dk_buf_printf(&names, "%s%s", i ? ", " : "", dk_explainer_at(i)->name);
    dk_fail(err, DK_EUSAGE, "unknown explainer \"%s\"; there are: %s", name, dk_buf_str(&names));
    dk_buf_free(&names);
    return err->code;
}

typedef struct lesson {
    dk_graph sub;
    int32_t *node_of, *edge_of;
    dk_instance inst;
} lesson;

static int open_lesson(lesson *l, gx_job *j, dk_explain_worker *w, int64_t item, int32_t *seen,
                       dk_err *err)
{
    const dk_graph *g = &j->data.graphs[gx_node_task(j) ? 0 : item];
    int32_t node = -1;

    if (gx_node_task(j)) {
        if (dk_graph_khop(g, (int32_t)item, j->model->c.layers, seen, &l->sub, &node, &l->node_of,
                          &l->edge_of, err))
            return err->code;
        g = &l->sub;
    }
    return dk_instance_init(&l->inst, w, g, node, item, -1, err);
}

/* All that is predicted correctly and has edges. */
static int64_t *lessons_of(gx_job *j, int64_t *n, dk_err *err)
{
    if (!j->prediction && gx_job_predict(j, NULL, err))
        return NULL;
    int64_t rows = gx_rows_count(j), count = 0;
    int64_t *item = dk_xmalloc(((size_t)rows + 1) * sizeof *item);
    for (int64_t i = 0; i < rows; i++) {
        const dk_graph *g = &j->data.graphs[gx_node_task(j) ? 0 : i];
        bool edges = gx_node_task(j) ? g->in_ptr[i + 1] > g->in_ptr[i] : g->e > 0;
        if (edges && gx_label_of(j, i) == j->prediction[i])
            item[count++] = i;
    }
    if (gx_node_task(j) && count > MOST_NODES) {
        for (int64_t i = 0; i < MOST_NODES; i++)
            item[i] = item[i * count / MOST_NODES];
        count = MOST_NODES;
    }
    *n = count;
    return item;
}

static bool nothing_to_explain(const gx_job *j)
{
    for (int64_t k = 0; k < j->n; k++)
        if (j->data.graphs[gx_node_task(j) ? 0 : j->item[k]].e > 0)
            return false;
    return true;
}

static int train(gx_method *m, gx_job *j, dk_err *err)
{
    dk_explain_worker w;
    int64_t n = 0;
    int64_t *item = lessons_of(j, &n, err);
    lesson *l = dk_xcalloc((size_t)n + 1, sizeof *l);
    dk_instance **inst = dk_xcalloc((size_t)n + 1, sizeof *inst);
    int32_t *seen = NULL;
    double start = dk_now();

    int rc = dk_explain_worker_init(&w, j->model, err);
    if (!item || rc || (gx_node_task(j) && !(seen = dk_graph_scratch(&j->data.graphs[0], err))))
        goto out;
    for (int64_t i = 0; i < n; i++) {
        inst[i] = &l[i].inst;
        if (open_lesson(&l[i], j, &w, item[i], seen, err)) {
            gx_wrap_item(j, item[i], err);
            goto out;
        }
    }
    if (n == 0 && nothing_to_explain(j))
        goto out; /* edgeless graphs have no scores, learned or not */
    if (n == 0) {
        dk_fail(err, DK_EUNSUPPORTED, "%s learns from correctly predicted %s with edges, and %s has none",
                m->x->name, gx_node_task(j) ? "nodes" : "graphs", j->data.name);
        goto out;
    }
    dk_info("%s: learning from %lld %s", m->x->name, (long long)n,
            gx_node_task(j) ? "nodes" : "graphs");
    m->state = m->x->train(&w, inst, n, &j->o->params, err);
    m->train_seconds = dk_now() - start;
out:
    for (int64_t i = 0; i < n; i++) {
        dk_instance_free(&l[i].inst);
        dk_graph_free(&l[i].sub);
        free(l[i].node_of);
        free(l[i].edge_of);
    }
    free(l);
    free(inst);
    free(item);
    free(seen);
    dk_explain_worker_fini(&w);
    return err->code;
}

static int save(const gx_method *m, const gx_job *j, const char *file, dk_err *err)
{
    dk_st_writer *w = dk_st_writer_new();

    dk_st_writer_meta(w, "model_hash", j->model->hash);
    dk_st_writer_meta(w, "data_hash", j->data.hash);
    if (dk_explainer_state_save(m->state, w, err) == 0)
        dk_st_writer_save(w, file, false, err);
    dk_st_writer_free(w);
    return err->code;
}

static int load(gx_method *m, const gx_job *j, const char *file, dk_err *err)
{
    dk_st *st = dk_st_open(file, err);
    const char *hash;

    if (!st)
        return err->code;
    hash = dk_st_meta(st, "model_hash");
    if (hash && strcmp(hash, j->model->hash) != 0)
        dk_warn("%s was learned for another model than %s", file, j->o->model);
    m->state = dk_explainer_state_load(st, m->x, j->model, err);
    dk_st_close(st);
    return err->code;
}

int gx_method_open(gx_method *m, gx_job *j, const char *name, const char *file, dk_err *err)
{
    memset(m, 0, sizeof *m);
    if (find(m, name, err) || !m->x->train)
        return err->code;
    if (file && dk_exists(file))
        return load(m, j, file, err);
    if (file && dk_out_check(file, false, err))
        return err->code;
    if (train(m, j, err) || !file || !m->state)
        return err->code;
    return save(m, j, file, err);
}

void gx_method_close(gx_method *m)
{
    dk_explainer_state_free(m->state);
    memset(m, 0, sizeof *m);
}
