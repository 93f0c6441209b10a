/* Graphs in JSON (see dataset.h): dk.gnn-graph/1, one graph, or dk.gnn-dataset/1, a set of them.
 *
 * "label" and the entries of "y" are class values. "classes" lists the values in the order of their
 * indices; without it a set takes the sorted distinct values, as TU folders do, and a single graph,
 * which cannot know the other classes, takes its label as the index. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "graph/dataset_internal.h"
#include "graph/graph_internal.h"
#include "io/json.h"

/* A few bytes may ask for any number of nodes that nothing describes. */
enum { BARE_NODES = 1 << 20, MAX_SINGLE_LABEL = 65535, MAX_COLUMNS = 65536 };

typedef struct reader {
    dk_dataset *d;
    bool drop_loops, columns_known, set;
    int64_t bare_left; /* nodes without label or feature that may still come */
    int64_t *label;    /* [count] as in the file */
    bool *has_label;
    int64_t *y; /* node task: [n] */
    bool *has_y;
    dk_err *err;
} reader;

static bool whole(const json_t *v, int64_t *out)
{
    if (json_is_integer(v)) {
        *out = json_integer_value(v);
        return true;
    }
    double x = json_is_real(v) ? json_real_value(v) : NAN;
    if (!(fabs(x) <= 0x1p53) || x != floor(x))
        return false;
    *out = (int64_t)x;
    return true;
}

/* An array of n items under `key`; *out NULL when the key is absent or null. */
static int array_of(const reader *r, dk_jnode obj, const char *key, int64_t n, json_t **out)
{
    dk_jnode a = dk_json_key(obj, key);

    *out = NULL;
    if (!a.v || json_is_null(a.v))
        return 0;
    if (!json_is_array(a.v))
        return dk_json_expected(a, "an array", r->err);
    if (n >= 0 && (int64_t)json_array_size(a.v) != n)
        return dk_fail(r->err, DK_EFORMAT, "%s: %s: expected %" PRId64 " items, found %zu", a.doc,
                       a.at, n, json_array_size(a.v));
    *out = a.v;
    return 0;
}

static dk_jnode item_of(dk_jnode obj, const char *key, size_t i)
{
    return dk_json_item(dk_json_key(obj, key), i);
}

/* ---- Edges. */

typedef struct edge_lists {
    int32_t *src, *dst;
    double *weight;
    uint8_t *gt;
    int32_t m;
} edge_lists;

static void free_lists(edge_lists *l)
{
    free(l->src);
    free(l->dst);
    free(l->weight);
    free(l->gt);
}

static int read_ends(const reader *r, dk_jnode g, const json_t *edges, int32_t n, edge_lists *l)
{
    for (int32_t e = 0; e < l->m; e++) {
        const json_t *pair = json_array_get(edges, (size_t)e);
        int64_t s, d;
        if (!json_is_array(pair) || json_array_size(pair) != 2 ||
            !whole(json_array_get(pair, 0), &s) || !whole(json_array_get(pair, 1), &d))
            return dk_json_expected(item_of(g, "edges", (size_t)e), "two node ids", r->err);
        if (s < 0 || s >= n || d < 0 || d >= n) {
            dk_jnode at = item_of(g, "edges", (size_t)e);
            return dk_fail(r->err, DK_EFORMAT,
                           "%s: %s: node id %" PRId64 ": allowed are 0 to %" PRId32, at.doc, at.at,
                           s < 0 || s >= n ? s : d, n - 1);
        }
        l->src[e] = (int32_t)s;
        l->dst[e] = (int32_t)d;
    }
    return 0;
}

static int read_weights(const reader *r, dk_jnode g, const json_t *a, edge_lists *l)
{
    l->weight = dk_graph_array((size_t)l->m, sizeof *l->weight, "edge weights", r->err);
    if (!l->weight)
        return r->err->code;
    for (int32_t e = 0; e < l->m; e++) {
        const json_t *v = json_array_get(a, (size_t)e);
        l->weight[e] = json_is_number(v) ? json_number_value(v) : NAN;
        if (!isfinite(l->weight[e]))
            return dk_json_expected(item_of(g, "edge_weight", (size_t)e), "a finite number",
                                    r->err);
    }
    return 0;
}

static int read_gt(const reader *r, dk_jnode g, const json_t *a, edge_lists *l)
{
    l->gt = dk_graph_array((size_t)l->m, sizeof *l->gt, "ground truth of edges", r->err);
    if (!l->gt)
        return r->err->code;
    for (int32_t e = 0; e < l->m; e++) {
        int64_t v = json_is_true(json_array_get(a, (size_t)e));
        if (!json_is_boolean(json_array_get(a, (size_t)e)) &&
            (!whole(json_array_get(a, (size_t)e), &v) || v < 0 || v > 1))
            return dk_json_expected(item_of(g, "edge_gt", (size_t)e), "0 or 1", r->err);
        l->gt[e] = (uint8_t)v;
    }
    return 0;
}

static void drop_self_loops(reader *r, edge_lists *l)
{
    int32_t kept = 0;

    for (int32_t e = 0; e < l->m; e++) {
        if (l->src[e] == l->dst[e])
            continue;
        l->src[kept] = l->src[e];
        l->dst[kept] = l->dst[e];
        if (l->weight)
            l->weight[kept] = l->weight[e];
        if (l->gt)
            l->gt[kept] = l->gt[e];
        kept++;
    }
    r->d->dropped_loops += l->m - kept;
    l->m = kept;
}

static int read_edges(reader *r, dk_jnode g, int32_t n, dk_graph *out)
{
    edge_lists l = {0};
    json_t *edges, *a;
    int64_t merged;
    int rc = array_of(r, g, "edges", -1, &edges);

    if (!rc && !edges)
        rc = dk_json_expected(dk_json_key(g, "edges"), "an array", r->err);
    if (!rc && json_array_size(edges) > INT32_MAX)
        rc = dk_fail(r->err, DK_EUNSUPPORTED, "%s: more than 2^31 - 1 edges", g.doc);
    if (rc)
        return rc;
    l.m = (int32_t)json_array_size(edges);
    l.src = dk_graph_array((size_t)l.m, sizeof *l.src, "edges", r->err);
    l.dst = dk_graph_array((size_t)l.m, sizeof *l.dst, "edges", r->err);
    rc = l.src && l.dst ? read_ends(r, g, edges, n, &l) : r->err->code;
    if (!rc && !(rc = array_of(r, g, "edge_weight", l.m, &a)) && a)
        rc = read_weights(r, g, a, &l);
    if (!rc && !(rc = array_of(r, g, "edge_gt", l.m, &a)) && a)
        rc = read_gt(r, g, a, &l);
    if (!rc && r->drop_loops)
        drop_self_loops(r, &l);
    if (!rc)
        rc = dk_graph_build(out, n, l.m, l.src, l.dst, l.weight, l.gt, &merged, NULL, r->err);
    if (!rc)
        r->d->merged_edges += merged;
    free_lists(&l);
    return rc;
}

/* ---- Nodes. */

/* Number of columns of "x" or "node_labels" by its first row; plain numbers are one column. */
static int width_of(const json_t *a)
{
    const json_t *first = a ? json_array_get(a, 0) : NULL;
    if (!first)
        return 0;
    if (!json_is_array(first))
        return 1;
    return json_array_size(first) > MAX_COLUMNS ? -1 : (int)json_array_size(first);
}

static const json_t *cell(const json_t *a, int32_t v, int c, int columns)
{
    const json_t *row = json_array_get(a, (size_t)v);
    if (!json_is_array(row))
        return columns == 1 ? row : NULL;
    return (int)json_array_size(row) == columns ? json_array_get(row, (size_t)c) : NULL;
}

static int read_x(const reader *r, dk_jnode g, const json_t *a, int32_t n, double **out)
{
    int columns = r->d->attributes;
    double *x = *out = dk_graph_array((size_t)n, (size_t)columns * sizeof *x, "features", r->err);

    if (!x)
        return r->err->code;
    for (int32_t v = 0; v < n; v++)
        for (int c = 0; c < columns; c++) {
            const json_t *at = cell(a, v, c, columns);
            double value = json_is_number(at) ? json_number_value(at) : NAN;
            if (!isfinite(value)) {
                char what[64];
                snprintf(what, sizeof what, "%d finite numbers", columns);
                return dk_json_expected(item_of(g, "x", (size_t)v), what, r->err);
            }
            x[(size_t)v * (size_t)columns + (size_t)c] = value;
        }
    return 0;
}

static int read_node_labels(const reader *r, dk_jnode g, const json_t *a, int32_t n, int32_t **out)
{
    int columns = r->d->label_columns;
    int32_t *labels = *out =
        dk_graph_array((size_t)n, (size_t)columns * sizeof *labels, "node labels", r->err);
    int64_t value;

    if (!labels)
        return r->err->code;
    for (int32_t v = 0; v < n; v++)
        for (int c = 0; c < columns; c++) {
            if (!whole(cell(a, v, c, columns), &value) || value < INT32_MIN || value > INT32_MAX) {
                char what[64];
                snprintf(what, sizeof what, "%d 32-bit integer(s)", columns);
                return dk_json_expected(item_of(g, "node_labels", (size_t)v), what, r->err);
            }
            labels[(size_t)v * (size_t)columns + (size_t)c] = (int32_t)value;
        }
    return 0;
}

/* The columns of the first graph with nodes are those of the set. */
static int settle_columns(reader *r, dk_jnode g, const json_t *x, const json_t *labels)
{
    dk_dataset *d = r->d;
    int attributes = width_of(x), columns = width_of(labels);

    if (attributes < 0 || columns < 0)
        return dk_fail(r->err, DK_EFORMAT, "%s: %s: more than %d columns", g.doc, g.at,
                       MAX_COLUMNS);
    if ((x && attributes == 0) || (labels && columns == 0))
        return dk_fail(r->err, DK_EFORMAT, "%s: %s: x or node_labels has rows without columns",
                       g.doc, g.at);
    if (!r->columns_known) {
        r->columns_known = true;
        d->attributes = attributes;
        d->label_columns = columns;
        d->attr = attributes ? calloc((size_t)d->count, sizeof *d->attr) : NULL;
        d->labels = columns ? calloc((size_t)d->count, sizeof *d->labels) : NULL;
        if ((attributes && !d->attr) || (columns && !d->labels))
            return dk_fail(r->err, DK_ENOMEM, "%s: no memory for %" PRId32 " graphs", g.doc,
                           d->count);
        return 0;
    }
    if (attributes == d->attributes && columns == d->label_columns)
        return 0;
    return dk_fail(
        r->err, DK_EFORMAT,
        "%s: %s: %d columns in x and %d in node_labels; the graphs before have %d and %d", g.doc,
        g.at, attributes, columns, d->attributes, d->label_columns);
}

static int read_y(reader *r, dk_jnode g, const json_t *a, int32_t n)
{
    r->y = dk_graph_array((size_t)n, sizeof *r->y, "node classes", r->err);
    r->has_y = dk_graph_array((size_t)n, sizeof *r->has_y, "node classes", r->err);
    if (!r->y || !r->has_y)
        return r->err->code;
    for (int32_t v = 0; v < n; v++) {
        const json_t *at = json_array_get(a, (size_t)v);
        r->y[v] = 0;
        r->has_y[v] = !json_is_null(at);
        if (r->has_y[v] && !whole(at, &r->y[v]))
            return dk_json_expected(item_of(g, "y", (size_t)v), "an integer or null", r->err);
    }
    return 0;
}

static int read_node_ids(reader *r, dk_jnode g, const json_t *a, int32_t n)
{
    r->d->node_id = dk_graph_array((size_t)n, sizeof *r->d->node_id, "node ids", r->err);
    if (!r->d->node_id)
        return r->err->code;
    for (int32_t v = 0; v < n; v++)
        if (!whole(json_array_get(a, (size_t)v), &r->d->node_id[v]) ||
            (v > 0 && r->d->node_id[v] <= r->d->node_id[v - 1]))
            return dk_json_expected(item_of(g, "node_id", (size_t)v), "ascending integers", r->err);
    return 0;
}

static int read_splits(reader *r, dk_jnode obj, int64_t n)
{
    static const char *const names[] = {"train", "val", "test"};
    json_t *a;

    if (array_of(r, obj, "split", n, &a) || !a)
        return r->err->code;
    r->d->split = dk_graph_array((size_t)n, sizeof *r->d->split, "splits", r->err);
    if (!r->d->split)
        return r->err->code;
    for (size_t i = 0; i < (size_t)n; i++) {
        const json_t *v = json_array_get(a, i);
        int k = 0;
        while (!json_is_null(v) && k < 3 &&
               (!json_is_string(v) || strcmp(json_string_value(v), names[k]) != 0))
            k++;
        if (k == 3)
            return dk_json_expected(item_of(obj, "split", i),
                                    "\"train\", \"val\", \"test\" or null", r->err);
        r->d->split[i] = json_is_null(v) ? DK_SPLIT_NONE : (dk_split)(DK_SPLIT_TRAIN + k);
    }
    return 0;
}

/* ---- Graphs. */

static int read_label(reader *r, dk_jnode g, int32_t i)
{
    dk_jnode label = dk_json_key(g, "label");

    r->has_label[i] = label.v && !json_is_null(label.v);
    r->label[i] = 0;
    if (r->has_label[i] && !whole(label.v, &r->label[i]))
        return dk_json_expected(label, "an integer", r->err);
    return 0;
}

static int read_node_arrays(reader *r, dk_jnode g, int32_t i, int32_t n)
{
    dk_dataset *d = r->d;
    json_t *x, *labels, *y, *ids = NULL;

    if (array_of(r, g, "x", n, &x) || array_of(r, g, "node_labels", n, &labels) ||
        array_of(r, g, "y", n, &y) || read_label(r, g, i))
        return r->err->code;
    if (y && (d->count != 1 || r->has_label[i]))
        return dk_fail(r->err, DK_EFORMAT,
                       "%s: %s: \"y\" (a class per node) is for one graph without \"label\"", g.doc,
                       g.at);
    if (!x && !labels && !y && (r->bare_left -= n) < 0)
        return dk_fail(r->err, DK_EFORMAT,
                       "%s: %s: nodes: %" PRId32 " nodes without x, node_labels and y", g.doc, g.at,
                       n);
    if (n > 0 && settle_columns(r, g, x, labels))
        return r->err->code;
    if (d->attr && read_x(r, g, n > 0 ? x : NULL, n, &d->attr[i]))
        return r->err->code;
    if (d->labels && read_node_labels(r, g, n > 0 ? labels : NULL, n, &d->labels[i]))
        return r->err->code;
    if (y) {
        d->task = DK_TASK_NODE;
        if (read_y(r, g, y, n) || array_of(r, g, "node_id", n, &ids) ||
            (ids && read_node_ids(r, g, ids, n)))
            return r->err->code;
    }
    return 0;
}

static int read_graph(reader *r, dk_jnode g, int32_t i)
{
    int64_t n;

    if (!json_is_object(g.v))
        return dk_json_expected(g, "an object", r->err);
    if (!dk_json_key(g, "nodes").v)
        return dk_json_expected(dk_json_key(g, "nodes"), "the number of nodes", r->err);
    if (dk_json_i64(g, "nodes", -1, 0, INT32_MAX - 1, &n, r->err))
        return r->err->code;
    if (n < 0)
        return dk_json_expected(dk_json_key(g, "nodes"), "the number of nodes", r->err);
    if (read_node_arrays(r, g, i, (int32_t)n))
        return r->err->code;
    return read_edges(r, g, (int32_t)n, &r->d->graphs[i]);
}

/* Graphs without nodes that came before the columns were known. */
static int fill_empty(reader *r)
{
    dk_dataset *d = r->d;

    for (int32_t i = 0; i < d->count; i++) {
        if (d->attr && !d->attr[i] &&
            !(d->attr[i] = dk_graph_array(0, sizeof **d->attr, "features", r->err)))
            return r->err->code;
        if (d->labels && !d->labels[i] &&
            !(d->labels[i] = dk_graph_array(0, sizeof **d->labels, "node labels", r->err)))
            return r->err->code;
    }
    return 0;
}

/* ---- Classes. */

static int listed_classes(reader *r, dk_jnode root, const json_t *a, const int64_t *value,
                          const bool *known, int64_t n, int32_t *index)
{
    dk_dataset *d = r->d;
    size_t count = json_array_size(a);
    int32_t *place = dk_graph_array(count + 1, sizeof *place, "classes", r->err), distinct = 0;
    int64_t *sorted = NULL;
    int rc;

    d->class_value = dk_graph_array(count, sizeof *d->class_value, "classes", r->err);
    rc = place && d->class_value ? 0 : r->err->code;
    for (size_t c = 0; !rc && c < count; c++)
        if (!whole(json_array_get(a, c), &d->class_value[c]))
            rc = dk_json_expected(item_of(root, "classes", c), "an integer", r->err);
    if (!rc)
        rc =
            dk_class_index(d->class_value, NULL, (int64_t)count, place, &sorted, &distinct, r->err);
    /* The readers index by sorted values everywhere; a list in another order would shift labels
     * when the set is saved in a format without a list. */
    for (size_t c = 0; !rc && c < count; c++)
        if ((size_t)place[c] != c || (size_t)distinct != count)
            rc = dk_json_expected(item_of(root, "classes", c), "ascending integers", r->err);
    d->classes = rc ? 0 : distinct;
    for (int64_t i = 0; !rc && i < n; i++) {
        int32_t lo = 0, hi = distinct;
        while (lo < hi) {
            int32_t mid = lo + (hi - lo) / 2;
            if (sorted[mid] < value[i])
                lo = mid + 1;
            else
                hi = mid;
        }
        index[i] = -1;
        if (known[i] && (lo == distinct || sorted[lo] != value[i]))
            rc = dk_fail(r->err, DK_EFORMAT, "%s: label %" PRId64 " is not among \"classes\"",
                         root.doc, value[i]);
        else if (known[i])
            index[i] = lo;
    }
    free(place);
    free(sorted);
    return rc;
}

/* A graph that comes alone: its label is the class index. */
static int single_class(reader *r, dk_jnode root, int32_t *index)
{
    dk_dataset *d = r->d;
    int64_t label = r->has_label[0] ? r->label[0] : -1;

    if (r->has_label[0] && (label < 0 || label > MAX_SINGLE_LABEL))
        return dk_fail(r->err, DK_EFORMAT,
                       "%s: label %" PRId64 ": allowed are 0 to %d in a graph without \"classes\"",
                       root.doc, label, MAX_SINGLE_LABEL);
    d->classes = (int32_t)label + 1;
    d->class_value = dk_graph_array((size_t)d->classes, sizeof *d->class_value, "classes", r->err);
    for (int32_t c = 0; d->class_value && c < d->classes; c++)
        d->class_value[c] = c;
    *index = (int32_t)label;
    return r->err->code;
}

static int settle_classes(reader *r, dk_jnode root)
{
    dk_dataset *d = r->d;
    bool nodes = d->task == DK_TASK_NODE && r->y;
    const int64_t *value = nodes ? r->y : r->label;
    const bool *known = nodes ? r->has_y : r->has_label;
    int64_t n = nodes ? d->graphs[0].n : d->count;
    int32_t *index = dk_graph_array((size_t)n, sizeof *index, "classes", r->err);
    json_t *list;
    int rc = index ? array_of(r, root, "classes", -1, &list) : r->err->code;

    if (!rc && list)
        rc = listed_classes(r, root, list, value, known, n, index);
    else if (!rc && !nodes && !r->set)
        rc = single_class(r, root, index);
    else if (!rc)
        rc = dk_class_index(value, known, n, index, &d->class_value, &d->classes, r->err);
    for (int32_t i = 0; !rc && !nodes && i < d->count; i++)
        d->graphs[i].label = index[i];
    if (!rc && nodes)
        d->graphs[0].y = index;
    else
        free(index);
    return rc;
}

/* ---- Documents. */

static int reserve(reader *r, int64_t count)
{
    r->label = dk_graph_array((size_t)count, sizeof *r->label, "graph labels", r->err);
    r->has_label = dk_graph_array((size_t)count, sizeof *r->has_label, "graph labels", r->err);
    if (!r->label || !r->has_label)
        return r->err->code;
    return dk_dataset_reserve(r->d, count, r->err);
}

static int read_set(reader *r, dk_jnode root)
{
    const char *task, *name;
    json_t *graphs;

    if (array_of(r, root, "graphs", -1, &graphs) ||
        dk_json_str(root, "task", "graph", &task, r->err) ||
        dk_json_str(root, "name", r->d->name, &name, r->err))
        return r->err->code;
    if (!graphs || json_array_size(graphs) == 0)
        return dk_json_expected(dk_json_key(root, "graphs"), "an array of graphs", r->err);
    if (strcmp(task, "graph") != 0 && strcmp(task, "node") != 0)
        return dk_json_expected(dk_json_key(root, "task"), "\"graph\" or \"node\"", r->err);
    if (strcmp(name, r->d->name) != 0) {
        free(r->d->name);
        r->d->name = dk_xstrdup(name);
    }
    if (reserve(r, (int64_t)json_array_size(graphs)))
        return r->err->code;
    for (int32_t i = 0; i < r->d->count; i++)
        if (read_graph(r, item_of(root, "graphs", (size_t)i), i))
            return r->err->code;
    bool nodes = r->d->task == DK_TASK_NODE;
    if (nodes != (strcmp(task, "node") == 0)) {
        if (nodes || r->d->count != 1)
            return dk_fail(r->err, DK_EFORMAT, "%s: task: \"%s\", but the graphs have %s", root.doc,
                           task, nodes ? "a class per node (\"y\")" : "more than one member");
        r->d->task = DK_TASK_NODE;
    }
    return 0;
}

static int read_root(reader *r, dk_jnode root)
{
    const char *schema;

    if (!json_is_object(root.v))
        return dk_json_expected(root, "an object", r->err);
    bool set = dk_json_key(root, "graphs").v != NULL;
    if (dk_json_str(root, "schema", set ? "dk.gnn-dataset/1" : "dk.gnn-graph/1", &schema, r->err))
        return r->err->code;
    if (strcmp(schema, set ? "dk.gnn-dataset/1" : "dk.gnn-graph/1") != 0)
        return dk_fail(r->err, DK_EUNSUPPORTED, "%s: schema: expected %s, found \"%.60s\"",
                       root.doc, set ? "dk.gnn-dataset/1" : "dk.gnn-graph/1", schema);
    r->set = set;
    int rc = set ? read_set(r, root) : reserve(r, 1);
    if (!rc && !set)
        rc = read_graph(r, root, 0);
    if (!rc)
        rc = fill_empty(r);
    if (!rc)
        rc = settle_classes(r, root);
    if (!rc)
        rc = read_splits(r, root, r->d->task == DK_TASK_NODE ? r->d->graphs[0].n : r->d->count);
    return rc ? rc : dk_dataset_finish(r->d, r->err);
}

static char *name_of(const char *file)
{
    const char *base = dk_basename(file);
    size_t n = strlen(base);
    bool json = n > 5 && strcmp(base + n - 5, ".json") == 0;
    return dk_xstrndup(base, json ? n - 5 : n);
}

int dk_dataset_read_json(dk_dataset *d, const char *data, size_t len, const char *name,
                         const dk_dataset_options *opt, dk_err *err)
{
    reader r = {.d = d,
                .drop_loops = opt && opt->drop_self_loops,
                .bare_left = BARE_NODES + (int64_t)len,
                .err = err};
    dk_json doc;

    *d = (dk_dataset){0};
    if (dk_json_parse(&doc, data, len, name, err))
        return err->code;
    d->name = name_of(name);
    d->path = dk_xstrdup(name);
    int rc = read_root(&r, dk_json_root(&doc));
    if (!rc) {
        dk_hasher *h = dk_hash_new();
        dk_dataset_hash_part(h, "json", data, len);
        dk_hash_hex(h, d->hash);
    }
    dk_json_free(&doc);
    free(r.label);
    free(r.has_label);
    free(r.y);
    free(r.has_y);
    if (rc)
        dk_dataset_free(d);
    return rc;
}

int dk_dataset_parse_json(dk_dataset *d, const char *data, size_t len, const char *name,
                          dk_err *err)
{
    return dk_dataset_read_json(d, data, len, name, NULL, err);
}
