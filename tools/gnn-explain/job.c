/* The job of predict, explain and evaluate: a model on a data set, and what is explained of it. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "gx.h"

int gx_job_open(gx_job *j, const gx_options *o, dk_err *err)
{
    const dk_dataset_options d = {.drop_self_loops = strcmp(o->self_loops, "drop") == 0};
    int task = !o->task ? -1 : strcmp(o->task, "node") == 0 ? DK_TASK_NODE : DK_TASK_GRAPH;

    memset(j, 0, sizeof *j);
    j->o = o;
    if (!o->model)
        return dk_fail(err, DK_EUSAGE, "-m FILE is needed: a trained model");
    if (!o->data)
        return dk_fail(err, DK_EUSAGE, "-d DIR is needed: a data set");
    j->model = dk_gnn_load(o->model, o->arch, task, DK_F64, err);
    if (!j->model || dk_dataset_load(&j->data, o->data, &d, err))
        return err->code;
    /* One graph from a pipe may be a node task's only by the model's word. */
    if (j->model->c.task != j->data.task && !(j->model->c.task == DK_TASK_NODE && j->data.count == 1))
        return dk_fail(err, DK_EFORMAT, "%s: the model classifies %s, but %s holds %s", o->model,
                       j->model->c.task == DK_TASK_NODE ? "nodes" : "graphs", o->data,
                       j->data.task == DK_TASK_NODE ? "one graph with a class per node"
                                                    : "graphs with a class each");
    return dk_gnn_encode(j->model, &j->data, err);
}

void gx_job_close(gx_job *j)
{
    dk_gnn_free(j->model);
    dk_dataset_free(&j->data);
    free(j->prediction);
    free(j->item);
    memset(j, 0, sizeof *j);
}

bool gx_node_task(const gx_job *j)
{
    return j->model->c.task == DK_TASK_NODE;
}

int64_t gx_rows_count(const gx_job *j)
{
    return gx_node_task(j) ? j->data.graphs[0].n : j->data.count;
}

int32_t gx_label_of(const gx_job *j, int64_t item)
{
    if (gx_node_task(j))
        return j->data.graphs[0].y ? j->data.graphs[0].y[item] : -1;
    return j->data.graphs[item].label;
}

int64_t gx_public_id(const gx_job *j, int64_t item)
{
    return gx_node_task(j) && j->data.node_id ? j->data.node_id[item] : item;
}

int gx_wrap_item(const gx_job *j, int64_t item, dk_err *err)
{
    return dk_wrap(err, "%s %lld", gx_node_task(j) ? "node" : "graph",
                   (long long)gx_public_id(j, item));
}

int32_t gx_target_of(const gx_job *j, int64_t item)
{
    const char *t = j->o->target;

    if (strcmp(t, "pred") == 0)
        return -1;
    return strcmp(t, "label") == 0 ? gx_label_of(j, item) : (int32_t)strtol(t, NULL, 10);
}

int gx_job_predict(gx_job *j, double **logits, dk_err *err)
{
    size_t rows = (size_t)gx_rows_count(j), classes = (size_t)j->model->c.classes;
    double *z = dk_alloc((rows * classes + 1) * sizeof *z, "logits", err);

    if (!z)
        return err->code;
    if (dk_gnn_predict(j->model, &j->data, z, err)) {
        dk_free_aligned(z);
        return err->code;
    }
    free(j->prediction);
    j->prediction = dk_xmalloc((rows + 1) * sizeof *j->prediction);
    for (size_t i = 0; i < rows; i++)
        j->prediction[i] = dk_argmax(z + i * classes, (int32_t)classes);
    if (logits)
        *logits = z;
    else
        dk_free_aligned(z);
    return 0;
}

/* ---- What is explained. */

static int compare_ids(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* One item of a list, "7" or "10-20". */
static int parse_range(const char *text, size_t len, const char *what, int64_t *first, int64_t *last,
                       dk_err *err)
{
    char buf[64];

    if (len == 0 || len >= sizeof buf)
        return dk_fail(err, DK_EUSAGE, "%s: expected a list such as 0,5,10-20", what);
    memcpy(buf, text, len);
    buf[len] = '\0';
    char *dash = strchr(buf + 1, '-'); /* a first '-' would be a sign */
    if (dash)
        *dash = '\0';
    if (dk_parse_i64(buf, 0, INT64_MAX / 2, what, first, err))
        return err->code;
    *last = *first;
    if (dash && dk_parse_i64(dash + 1, *first, INT64_MAX / 2, what, last, err))
        return err->code;
    return 0;
}

int gx_parse_ids(const char *text, const char *what, int64_t **ids, int64_t *n, dk_err *err)
{
    enum { MOST = 10000000 };
    int64_t *list = NULL, count = 0, cap = 0;

    for (const char *s = text;; s++) {
        size_t len = strcspn(s, ",");
        int64_t a, b;
        if (parse_range(s, len, what, &a, &b, err))
            goto fail;
        if (b - a >= MOST - count) {
            dk_fail(err, DK_EUSAGE, "%s: more than %d ids", what, MOST);
            goto fail;
        }
        if (count + b - a + 1 > cap) {
            cap = 2 * (count + b - a + 1);
            list = dk_xrealloc(list, (size_t)cap * sizeof *list);
        }
        for (int64_t i = a; i <= b; i++)
            list[count++] = i;
        s += len;
        if (!*s)
            break;
    }
    qsort(list, (size_t)count, sizeof *list, compare_ids);
    *n = 0;
    for (int64_t i = 0; i < count; i++)
        if (i == 0 || list[i] != list[i - 1])
            list[(*n)++] = list[i];
    *ids = list;
    return 0;
fail:
    free(list);
    return err->code;
}

typedef struct id_row {
    int64_t id, row;
} id_row;

static int compare_rows(const void *a, const void *b)
{
    int64_t x = ((const id_row *)a)->id, y = ((const id_row *)b)->id;
    return (x > y) - (x < y);
}

/* Public node ids to rows of the graph, in place. Ranges may name ids that do not exist only in
 * sets whose ids have gaps; every id that was written alone must be there. */
static int rows_of_nodes(const gx_job *j, int64_t *ids, int64_t *n, dk_err *err)
{
    int64_t nodes = j->data.graphs[0].n, kept = 0;
    id_row *table = NULL;

    if (j->data.node_id) {
        table = dk_xmalloc(((size_t)nodes + 1) * sizeof *table);
        for (int64_t v = 0; v < nodes; v++)
            table[v] = (id_row){j->data.node_id[v], v};
        qsort(table, (size_t)nodes, sizeof *table, compare_rows);
    }
    for (int64_t i = 0; i < *n; i++) {
        id_row key = {ids[i], ids[i]};
        const id_row *found = table ? bsearch(&key, table, (size_t)nodes, sizeof *table, compare_rows)
                              : ids[i] < nodes ? &key
                                               : NULL;
        if (!found) {
            dk_fail(err, DK_EUSAGE, "--nodes: %s has no node %lld", j->data.name, (long long)ids[i]);
            break;
        }
        ids[kept++] = found->row;
    }
    free(table);
    *n = kept;
    qsort(ids, (size_t)kept, sizeof *ids, compare_ids);
    return err->code;
}

static int explicit_items(gx_job *j, dk_err *err)
{
    bool node = gx_node_task(j);
    const char *text = node ? j->o->nodes : j->o->ids;
    const char *what = node ? "--nodes" : "--ids";

    if (node && j->o->ids)
        return dk_fail(err, DK_EUSAGE, "--ids is for graphs; this model classifies nodes: --nodes");
    if (!node && j->o->nodes)
        return dk_fail(err, DK_EUSAGE, "--nodes is for node models; this one classifies graphs: --ids");
    if (!text)
        return 0;
    if (gx_parse_ids(text, what, &j->item, &j->n, err))
        return err->code;
    if (node)
        return rows_of_nodes(j, j->item, &j->n, err);
    if (j->n > 0 && j->item[j->n - 1] >= j->data.count)
        return dk_fail(err, DK_EUSAGE, "--ids: %s has graphs 0 to %d, not %lld", j->data.name,
                       j->data.count - 1, (long long)j->item[j->n - 1]);
    return 0;
}

/* Keeps the items of the wanted class that are predicted correctly. */
static void keep_correct(gx_job *j)
{
    int64_t kept = 0;

    for (int64_t i = 0; i < j->n; i++) {
        int32_t label = gx_label_of(j, j->item[i]);
        if (label == j->prediction[j->item[i]] && (j->o->cls < 0 || label == j->o->cls))
            j->item[kept++] = j->item[i];
    }
    j->n = kept;
}

static void keep_shard(gx_job *j)
{
    int64_t i = j->o->shard_index - 1, n = j->o->shard_count;
    int64_t begin = j->n * i / n, end = j->n * (i + 1) / n;

    memmove(j->item, j->item + begin, (size_t)(end - begin) * sizeof *j->item);
    j->n = end - begin;
}

static int check_target(const gx_job *j, dk_err *err)
{
    const char *t = j->o->target;
    int64_t c;

    if (strcmp(t, "pred") == 0)
        return 0;
    if (strcmp(t, "label") != 0)
        return dk_parse_i64(t, 0, j->model->c.classes - 1, "--target: pred, label or a class", &c, err);
    for (int64_t i = 0; i < j->n; i++) {
        int32_t label = gx_label_of(j, j->item[i]);
        if (label < 0 || label >= j->model->c.classes)
            return dk_fail(err, DK_EFORMAT, "--target label: %s %lld of %s has no label that the model knows",
                           gx_node_task(j) ? "node" : "graph",
                           (long long)gx_public_id(j, j->item[i]), j->data.name);
    }
    return 0;
}

int gx_job_pick(gx_job *j, dk_err *err)
{
    const gx_options *o = j->o;

    if (o->cls >= j->model->c.classes)
        return dk_fail(err, DK_EUSAGE, "--class: the model has classes 0 to %d, not %lld",
                       j->model->c.classes - 1, (long long)o->cls);
    if (explicit_items(j, err))
        return err->code;
    bool listed = j->item != NULL;
    if (!listed) {
        j->n = gx_rows_count(j);
        j->item = dk_xmalloc(((size_t)j->n + 1) * sizeof *j->item);
        for (int64_t i = 0; i < j->n; i++)
            j->item[i] = i;
    }
    /* One graph from a pipe has no label to be right about. */
    bool one = j->data.count == 1 && !gx_node_task(j) && j->data.graphs[0].label < 0;
    if (o->cls >= 0 || o->correct || !(listed || one)) {
        if (gx_job_predict(j, NULL, err))
            return err->code;
        keep_correct(j);
    }
    keep_shard(j);
    return check_target(j, err);
}
