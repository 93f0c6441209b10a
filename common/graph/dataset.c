/* Data sets: which reader a path needs, and what the readers share (see dataset.h). */
#include "graph/dataset.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/dataset_internal.h"
#include "graph/graph_internal.h"

#define MAX_JSON ((size_t)256 << 20)

/* ---- Classes. */

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int32_t find_value(const int64_t *values, int32_t n, int64_t v)
{
    const int64_t *at = bsearch(&v, values, (size_t)n, sizeof *values, by_value);
    return at ? (int32_t)(at - values) : -1;
}

int dk_class_index(const int64_t *v, const bool *known, int64_t n, int32_t *index, int64_t **values,
                   int32_t *classes, dk_err *err)
{
    int64_t *sorted = dk_graph_array((size_t)n, sizeof *sorted, "class labels", err), m = 0;
    int32_t distinct = 0;

    *values = NULL;
    *classes = 0;
    if (!sorted)
        return err->code;
    for (int64_t i = 0; i < n; i++)
        if (!known || known[i])
            sorted[m++] = v[i];
    qsort(sorted, (size_t)m, sizeof *sorted, by_value);
    for (int64_t i = 0; i < m; i++)
        if (i == 0 || sorted[i] != sorted[distinct - 1])
            sorted[distinct++] = sorted[i];
    for (int64_t i = 0; i < n; i++)
        index[i] = !known || known[i] ? find_value(sorted, distinct, v[i]) : -1;
    *values = sorted;
    *classes = distinct;
    return 0;
}

int dk_dataset_check_classes(const dk_dataset *d, const char *format, dk_err *err)
{
    bool *used = dk_graph_array((size_t)d->classes, sizeof *used, "classes", err);
    int rc = 0;

    if (!used)
        return err->code;
    memset(used, 0, (size_t)d->classes * sizeof *used);
    for (int32_t i = 0; i < d->count; i++) {
        const dk_graph *g = &d->graphs[i];
        if (d->task == DK_TASK_GRAPH && g->label >= 0)
            used[g->label] = true;
        for (int32_t v = 0; d->task == DK_TASK_NODE && g->y && v < g->n; v++)
            if (g->y[v] >= 0)
                used[g->y[v]] = true;
    }
    for (int32_t c = 0; !rc && c < d->classes; c++)
        if (!used[c])
            rc = dk_fail(err, DK_EUNSUPPORTED,
                         "%s: class %" PRId64 " has no member; %s would lose it (JSON keeps it)",
                         d->name, d->class_value[c], format);
    free(used);
    return rc;
}

/* ---- Making. */

int dk_dataset_reserve(dk_dataset *d, int64_t count, dk_err *err)
{
    size_t n = (size_t)count;

    if (count > INT32_MAX)
        return dk_fail(err, DK_EUNSUPPORTED, "%" PRId64 " graphs: more than 2^31 - 1", count);
    d->graphs = dk_graph_array(n, sizeof *d->graphs, "graphs of a set", err);
    if (d->attributes)
        d->attr = dk_graph_array(n, sizeof *d->attr, "attributes of a set", err);
    if (d->label_columns)
        d->labels = dk_graph_array(n, sizeof *d->labels, "node labels of a set", err);
    if (err->code)
        return err->code;
    d->count = (int32_t)count;
    for (size_t i = 0; i < n; i++) {
        d->graphs[i] = (dk_graph){.label = -1};
        if (d->attr)
            d->attr[i] = NULL;
        if (d->labels)
            d->labels[i] = NULL;
    }
    return 0;
}

static void warn_of_set(const dk_dataset *d, int64_t edges)
{
    if (d->dropped_loops > 0)
        dk_warn("%s: %" PRId64 " self loops dropped", d->name, d->dropped_loops);
    if (d->merged_edges > 0)
        dk_warn("%s: %" PRId64 " edges stand there more than once; each counts once", d->name,
                d->merged_edges);
    if (d->one_way_edges > 0)
        dk_warn("%s: %" PRId64 " of %" PRId64 " edges have no reverse edge (%s); they are taken as "
                "directed",
                d->name, d->one_way_edges, edges,
                d->one_way_edges == edges ? "is every bond listed once?" : "one-way edges");
}

int dk_dataset_finish(dk_dataset *d, dk_err *err)
{
    int64_t edges = 0;

    d->one_way_edges = 0;
    for (int32_t i = 0; i < d->count; i++) {
        dk_graph *g = &d->graphs[i];
        edges += g->e;
        d->one_way_edges += g->one_way;
        if (!d->labels)
            continue;
        g->node_label = dk_graph_array((size_t)g->n, sizeof *g->node_label, "node labels", err);
        if (!g->node_label)
            return err->code;
        for (int32_t v = 0; v < g->n; v++)
            g->node_label[v] = d->labels[i][(size_t)v * (size_t)d->label_columns];
    }
    warn_of_set(d, edges);
    return 0;
}

void dk_dataset_hash_part(dk_hasher *h, const char *role, const void *data, size_t len)
{
    uint8_t size[8];

    for (int i = 0; i < 8; i++)
        size[i] = (uint8_t)((uint64_t)len >> 8 * i & 255);
    dk_hash_add(h, role, strlen(role) + 1);
    dk_hash_add(h, size, sizeof size);
    dk_hash_add(h, data, len);
}

void dk_dataset_free(dk_dataset *d)
{
    for (int32_t i = 0; i < d->count; i++) {
        dk_graph_free(&d->graphs[i]);
        if (d->attr)
            free(d->attr[i]);
        if (d->labels)
            free(d->labels[i]);
    }
    free(d->graphs);
    free(d->attr);
    free(d->labels);
    free(d->name);
    free(d->path);
    free(d->class_value);
    free(d->split);
    free(d->node_id);
    *d = (dk_dataset){0};
}

/* ---- Loading. */

/* The prefix of the folder's *_A.txt, malloc-ed; NULL without an error when there is none. */
static char *find_tu_prefix(const char *dir, dk_err *err)
{
    char *found = NULL;
    struct dirent *entry;
    DIR *d = opendir(dir);

    if (!d) {
        dk_fail_errno(err, "%s", dir);
        return NULL;
    }
    while ((entry = readdir(d)) != NULL) {
        size_t n = strlen(entry->d_name), tail = strlen(dk_tu_suffix[TU_A]);
        if (n <= tail || strcmp(entry->d_name + n - tail, dk_tu_suffix[TU_A]) != 0)
            continue;
        char *prefix = dk_xstrndup(entry->d_name, n - tail);
        if (found) {
            bool swap = strcmp(prefix, found) < 0;
            dk_fail(err, DK_EFORMAT,
                    "%s: expected one *_A.txt, found %s_A.txt and %s_A.txt; one folder per set",
                    dir, swap ? prefix : found, swap ? found : prefix);
            free(prefix);
            break;
        }
        found = prefix;
    }
    closedir(d);
    if (err->code) {
        free(found);
        return NULL;
    }
    return found;
}

static int load_folder(dk_dataset *d, const char *dir, const dk_dataset_options *opt, dk_err *err)
{
    char *prefix = find_tu_prefix(dir, err), *nodes = dk_path_join(dir, "nodes.csv");
    char *edges = dk_path_join(dir, "edges.csv");
    bool csv = dk_exists(nodes) || dk_exists(edges);
    int rc = err->code;

    if (!rc && prefix && csv)
        rc = dk_fail(err, DK_EFORMAT,
                     "%s: found both %s_A.txt and nodes.csv or edges.csv; one "
                     "folder per set",
                     dir, prefix);
    if (!rc && !prefix && !csv)
        rc = dk_fail(err, DK_EFORMAT,
                     "%s: expected NAME_A.txt (TU text) or nodes.csv and edges.csv, found neither",
                     dir);
    if (!rc)
        rc = prefix ? dk_dataset_load_tu(d, dir, prefix, opt, err)
                    : dk_dataset_load_csv(d, dir, opt, err);
    free(prefix);
    free(nodes);
    free(edges);
    return rc;
}

int dk_dataset_load(dk_dataset *d, const char *path, const dk_dataset_options *opt, dk_err *err)
{
    char *data = NULL;
    size_t len;
    int rc;

    *d = (dk_dataset){0};
    if (strcmp(path, "-") != 0 && dk_is_dir(path)) {
        rc = load_folder(d, path, opt, err);
    } else {
        rc = dk_read_file(path, MAX_JSON, &data, &len, err);
        if (!rc)
            rc = dk_dataset_read_json(d, data, len, strcmp(path, "-") == 0 ? "stdin" : path, opt,
                                      err);
        free(data);
    }
    if (rc) {
        dk_dataset_free(d);
        return rc;
    }
    free(d->path);
    d->path = dk_xstrdup(path);
    return 0;
}

/* ---- Random numbers and splits. */

uint64_t dk_seq_next(dk_seq *s)
{
    uint64_t out = dk_splitmix64(s->state);
    s->state += 0x9E3779B97F4A7C15u;
    return out;
}

/* A product's high word is uniform once the few low words that would favour some numbers are drawn
 * again. */
uint32_t dk_seq_below(dk_seq *s, uint32_t n)
{
    uint32_t unfair = (0u - n) % n;
    uint64_t m;

    do
        m = (dk_seq_next(s) >> 32) * n;
    while ((uint32_t)m < unfair);
    return (uint32_t)(m >> 32);
}

double dk_seq_unit(dk_seq *s)
{
    return (double)(dk_seq_next(s) >> 11) * 0x1p-53;
}

int dk_dataset_random_split(int64_t n, double train, double val, uint64_t seed, dk_split *out,
                            dk_err *err)
{
    dk_seq s = {dk_splitmix64(seed)};

    if (!(train >= 0 && val >= 0 && train + val <= 1 + 1e-12))
        return dk_fail(err, DK_EUSAGE,
                       "split %g, %g: expected shares of at least 0 and together at most 1", train,
                       val);
    if (n < 0 || n > INT32_MAX)
        return dk_fail(err, DK_EUNSUPPORTED, "split of %" PRId64 " items: at most 2^31 - 1", n);
    int64_t n_train = (int64_t)(train * (double)n), n_val = (int64_t)(val * (double)n);
    for (int64_t i = 0; i < n; i++)
        out[i] = i < n_train ? DK_SPLIT_TRAIN : i < n_train + n_val ? DK_SPLIT_VAL : DK_SPLIT_TEST;
    for (int64_t i = n - 1; i > 0; i--) {
        int64_t k = dk_seq_below(&s, (uint32_t)i + 1);
        dk_split t = out[i];
        out[i] = out[k];
        out[k] = t;
    }
    return 0;
}
