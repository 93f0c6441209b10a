/* Data sets in the TU text layout (see dataset.h). Lines are only counted and then read once into
 * arrays of the counted size, so memory is a small multiple of the files' size. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "graph/dataset_internal.h"
#include "graph/graph_internal.h"
#include "graph/scan_internal.h"

const char *const dk_tu_suffix[TU_FILES] = {
    "_A.txt",           "_graph_indicator.txt", "_graph_labels.txt",
    "_node_labels.txt", "_node_attributes.txt", "_edge_gt.txt"};

typedef struct text {
    const char *data; /* NULL: the file is absent */
    size_t len;
    char *file; /* "DIR/MUTAG_A.txt" */
} text;

/* Where a node of the set is: its place within the graph follows the order of the file. */
typedef struct place {
    int32_t graph, local;
} place;

typedef struct tu {
    text part[TU_FILES];
    int32_t n, m, graphs;
    place *at;          /* [n] */
    int32_t *node_ptr;  /* [graphs + 1] */
    int32_t *edge_ptr;  /* [graphs + 1] */
    int32_t *src, *dst; /* [m] ids in the set, then within the graph */
    int32_t *graph;     /* [m] */
    uint8_t *gt;        /* [m] or NULL */
    bool drop_loops;
    dk_dataset *d;
    dk_err *err;
} tu;

static int begin(const tu *t, int part, dk_scan *s, int32_t *lines)
{
    const text *p = &t->part[part];

    *lines = 0;
    dk_scan_begin(s, p->data, p->len, p->file);
    int64_t n = dk_scan_lines(s);
    if (n >= INT32_MAX)
        return dk_fail(t->err, DK_EUNSUPPORTED, "%s: %" PRId64 " lines: more than 2^31 - 2",
                       p->file, n);
    *lines = (int32_t)n;
    return 0;
}

static int require_lines(const tu *t, int part, int32_t lines, int other, int32_t expected)
{
    if (lines == expected)
        return 0;
    return dk_fail(t->err, DK_EFORMAT,
                   "%s has %" PRId32 " lines, %s has %" PRId32 "; expected as many",
                   t->part[part].file, lines, t->part[other].file, expected);
}

/* ---- Graphs and nodes. */

static int read_graph_labels(tu *t)
{
    dk_scan s;
    int64_t *value = NULL;
    int32_t *index = NULL;
    int rc = begin(t, TU_GRAPH_LABELS, &s, &t->graphs);

    if (rc)
        return rc;
    if (t->graphs == 0)
        return dk_fail(t->err, DK_EFORMAT, "%s: expected a label per graph, found an empty file",
                       s.file);
    value = dk_graph_array((size_t)t->graphs, sizeof *value, "graph labels", t->err);
    index = dk_graph_array((size_t)t->graphs, sizeof *index, "graph labels", t->err);
    rc = t->err->code;
    for (int32_t i = 0; !rc && i < t->graphs; i++) {
        rc = dk_scan_i64(&s, INT64_MIN + 1, INT64_MAX, "graph label", &value[i], t->err);
        if (!rc)
            rc = dk_scan_line_end(&s, t->err);
    }
    if (!rc)
        rc = dk_class_index(value, NULL, t->graphs, index, &t->d->class_value, &t->d->classes,
                            t->err);
    if (!rc)
        rc = dk_dataset_reserve(t->d, t->graphs, t->err);
    for (int32_t i = 0; !rc && i < t->graphs; i++)
        t->d->graphs[i].label = index[i];
    free(value);
    free(index);
    return rc;
}

/* Nodes of a graph usually stand together, but need not. */
static int read_indicator(tu *t)
{
    dk_scan s;
    int64_t id;
    int rc = begin(t, TU_INDICATOR, &s, &t->n);

    if (rc)
        return rc;
    t->at = dk_graph_array((size_t)t->n, sizeof *t->at, "nodes of a set", t->err);
    t->node_ptr = dk_graph_array((size_t)t->graphs + 1, sizeof *t->node_ptr, "graphs", t->err);
    t->edge_ptr = dk_graph_array((size_t)t->graphs + 1, sizeof *t->edge_ptr, "graphs", t->err);
    if (t->err->code)
        return t->err->code;
    memset(t->node_ptr, 0, ((size_t)t->graphs + 1) * sizeof *t->node_ptr);
    memset(t->edge_ptr, 0, ((size_t)t->graphs + 1) * sizeof *t->edge_ptr);
    for (int32_t v = 0; v < t->n; v++) {
        rc = dk_scan_i64(&s, 1, t->graphs, "graph id", &id, t->err);
        if (!rc)
            rc = dk_scan_line_end(&s, t->err);
        if (rc)
            return rc;
        t->at[v] = (place){(int32_t)id - 1, t->node_ptr[id]++};
    }
    for (int32_t i = 0; i < t->graphs; i++)
        t->node_ptr[i + 1] += t->node_ptr[i];
    return 0;
}

static int32_t nodes_of(const tu *t, int32_t graph)
{
    return t->node_ptr[graph + 1] - t->node_ptr[graph];
}

/* ---- Edges. */

static int read_edges(tu *t)
{
    dk_scan s;
    int64_t a, b;
    int rc = begin(t, TU_A, &s, &t->m);

    if (rc)
        return rc;
    t->src = dk_graph_array((size_t)t->m, sizeof *t->src, "edges of a set", t->err);
    t->dst = dk_graph_array((size_t)t->m, sizeof *t->dst, "edges of a set", t->err);
    t->graph = dk_graph_array((size_t)t->m, sizeof *t->graph, "edges of a set", t->err);
    rc = t->err->code;
    for (int32_t e = 0; !rc && e < t->m; e++) {
        if ((rc = dk_scan_i64(&s, 1, t->n, "node id", &a, t->err)) ||
            (rc = dk_scan_separator(&s, "second node id", t->err)) ||
            (rc = dk_scan_i64(&s, 1, t->n, "node id", &b, t->err)) ||
            (rc = dk_scan_line_end(&s, t->err)))
            break;
        t->src[e] = (int32_t)a - 1;
        t->dst[e] = (int32_t)b - 1;
    }
    return rc;
}

/* Ids of the set to ids within a graph. A loop of its own: the look-ups, which miss the cache in
 * large sets, overlap here and would not behind the parsing of digits. */
static int locate_edges(tu *t)
{
    for (int32_t e = 0; e < t->m; e++) {
        place from = t->at[t->src[e]], to = t->at[t->dst[e]];
        if (from.graph != to.graph) /* an edge a line, from line 1 on */
            return dk_fail(t->err, DK_EFORMAT,
                           "%s: line %" PRId32 ": edge %" PRId32 ", %" PRId32
                           " joins graph %" PRId32 " and graph %" PRId32
                           "; expected ends in one graph",
                           t->part[TU_A].file, e + 1, t->src[e] + 1, t->dst[e] + 1, from.graph + 1,
                           to.graph + 1);
        t->graph[e] = from.graph;
        t->src[e] = from.local;
        t->dst[e] = to.local;
    }
    return 0;
}

static int read_gt(tu *t)
{
    dk_scan s;
    int64_t v;
    int32_t lines;
    int rc;

    if (!t->part[TU_EDGE_GT].data)
        return 0;
    if ((rc = begin(t, TU_EDGE_GT, &s, &lines)) ||
        (rc = require_lines(t, TU_EDGE_GT, lines, TU_A, t->m)))
        return rc;
    t->gt = dk_graph_array((size_t)t->m, sizeof *t->gt, "ground truth of edges", t->err);
    rc = t->err->code;
    for (int32_t e = 0; !rc && e < t->m; e++) {
        rc = dk_scan_i64(&s, 0, 1, "ground truth", &v, t->err);
        if (!rc)
            rc = dk_scan_line_end(&s, t->err);
        if (!rc)
            t->gt[e] = (uint8_t)v;
    }
    return rc;
}

/* The loops are only counted away here, after the ground truth was read line by line. */
static void drop_self_loops(tu *t)
{
    int32_t kept = 0;

    for (int32_t e = 0; e < t->m; e++) {
        if (t->src[e] == t->dst[e])
            continue;
        t->graph[kept] = t->graph[e];
        t->src[kept] = t->src[e];
        t->dst[kept] = t->dst[e];
        if (t->gt)
            t->gt[kept] = t->gt[e];
        kept++;
    }
    t->d->dropped_loops = t->m - kept;
    t->m = kept;
}

/* The array of m elements of `size` bytes at *a, element e moved to place to[e]. */
static int permute(void *a, size_t size, int32_t m, const int32_t *to, dk_err *err)
{
    void *old, *moved = dk_graph_array((size_t)m, size, "edges of a set", err);

    if (!moved)
        return err->code;
    memcpy(&old, a, sizeof old);
    for (int32_t e = 0; e < m; e++)
        memcpy((char *)moved + (size_t)to[e] * size, (char *)old + (size_t)e * size, size);
    free(old);
    memcpy(a, &moved, sizeof moved);
    return 0;
}

/* Edges of a graph side by side, in the order of the file. */
static int group_edges(tu *t)
{
    bool grouped = true;
    int32_t *to = NULL;
    int rc = 0;

    for (int32_t e = 0; e < t->m; e++) {
        t->edge_ptr[t->graph[e] + 1]++;
        grouped = grouped && (e == 0 || t->graph[e - 1] <= t->graph[e]);
    }
    for (int32_t i = 0; i < t->graphs; i++)
        t->edge_ptr[i + 1] += t->edge_ptr[i];
    if (!grouped) {
        to = dk_graph_array((size_t)t->m, sizeof *to, "edges of a set", t->err);
        if (!to)
            return t->err->code;
        for (int32_t e = 0; e < t->m; e++)
            to[e] = t->edge_ptr[t->graph[e]]++;
        for (int32_t i = t->graphs; i > 0; i--)
            t->edge_ptr[i] = t->edge_ptr[i - 1];
        t->edge_ptr[0] = 0;
        rc = permute(&t->src, sizeof *t->src, t->m, to, t->err);
        if (!rc)
            rc = permute(&t->dst, sizeof *t->dst, t->m, to, t->err);
        if (!rc && t->gt)
            rc = permute(&t->gt, sizeof *t->gt, t->m, to, t->err);
        free(to);
    }
    free(t->graph);
    t->graph = NULL;
    return rc;
}

static int build_graphs(tu *t)
{
    for (int32_t i = 0; i < t->graphs; i++) {
        int32_t label = t->d->graphs[i].label, from = t->edge_ptr[i];
        int64_t merged;
        if (dk_graph_build(&t->d->graphs[i], nodes_of(t, i), t->edge_ptr[i + 1] - from,
                           t->src + from, t->dst + from, NULL, t->gt ? t->gt + from : NULL, &merged,
                           NULL, t->err))
            return dk_wrap(t->err, "%s: graph %" PRId32, t->d->name, i);
        t->d->graphs[i].label = label;
        t->d->merged_edges += merged;
    }
    return 0;
}

/* ---- Columns of the nodes. */

static int count_columns(tu *t, int part, dk_scan *s, int *columns)
{
    int32_t lines;
    int rc;

    *columns = 0;
    if (!t->part[part].data)
        return 0;
    if ((rc = begin(t, part, s, &lines)) ||
        (rc = require_lines(t, part, lines, TU_INDICATOR, t->n)))
        return rc;
    if (lines > 0)
        *columns = dk_scan_fields(s);
    if (lines > 0 && *columns == 0)
        return dk_scan_bad(s, "first column", "a number", t->err);
    return 0;
}

static int read_labels(tu *t, dk_scan *s)
{
    int columns = t->d->label_columns, rc = 0;
    int64_t value;

    for (int32_t v = 0; v < t->n; v++) {
        int32_t *row = t->d->labels[t->at[v].graph] + (size_t)t->at[v].local * (size_t)columns;
        for (int c = 0; c < columns; c++) {
            if ((c > 0 && (rc = dk_scan_separator(s, "next node label", t->err))) ||
                (rc = dk_scan_i64(s, INT32_MIN, INT32_MAX, "node label", &value, t->err)))
                return rc;
            row[c] = (int32_t)value;
        }
        if ((rc = dk_scan_line_end(s, t->err)))
            return rc;
    }
    return 0;
}

static int read_attributes(tu *t, dk_scan *s)
{
    int columns = t->d->attributes, rc = 0;

    for (int32_t v = 0; v < t->n; v++) {
        double *row = t->d->attr[t->at[v].graph] + (size_t)t->at[v].local * (size_t)columns;
        for (int c = 0; c < columns; c++)
            if ((c > 0 && (rc = dk_scan_separator(s, "next attribute", t->err))) ||
                (rc = dk_scan_f64(s, "node attribute", &row[c], t->err)))
                return rc;
        if ((rc = dk_scan_line_end(s, t->err)))
            return rc;
    }
    return 0;
}

static int read_columns(tu *t)
{
    dk_dataset *d = t->d;
    dk_scan labels, attributes;
    size_t graphs = (size_t)t->graphs;
    int rc;

    if ((rc = count_columns(t, TU_NODE_LABELS, &labels, &d->label_columns)) ||
        (rc = count_columns(t, TU_NODE_ATTRIBUTES, &attributes, &d->attributes)))
        return rc;
    if (d->label_columns)
        d->labels = calloc(graphs, sizeof *d->labels);
    if (d->attributes)
        d->attr = calloc(graphs, sizeof *d->attr);
    if ((d->label_columns && !d->labels) || (d->attributes && !d->attr))
        return dk_fail(t->err, DK_ENOMEM, "%s: no memory for %zu graphs", d->name, graphs);
    for (int32_t i = 0; i < t->graphs; i++) {
        size_t n = (size_t)nodes_of(t, i);
        if (d->labels &&
            !(d->labels[i] = dk_graph_array(n, (size_t)d->label_columns * sizeof(int32_t),
                                            "node labels", t->err)))
            return t->err->code;
        if (d->attr && !(d->attr[i] = dk_graph_array(n, (size_t)d->attributes * sizeof(double),
                                                     "node attributes", t->err)))
            return t->err->code;
    }
    if (d->labels)
        rc = read_labels(t, &labels);
    if (!rc && d->attr)
        rc = read_attributes(t, &attributes);
    return rc;
}

/* ---- Reading. */

static void free_tu(tu *t)
{
    free(t->at);
    free(t->graph);
    free(t->node_ptr);
    free(t->edge_ptr);
    free(t->src);
    free(t->dst);
    free(t->gt);
    for (int i = 0; i < TU_FILES; i++)
        free(t->part[i].file);
}

static int read_parts(tu *t)
{
    int rc;

    for (int i = TU_A; i <= TU_GRAPH_LABELS; i++)
        if (!t->part[i].data)
            return dk_fail(t->err, DK_EFORMAT,
                           "%s: missing; a TU set has at least *%s, *%s and *%s", t->part[i].file,
                           dk_tu_suffix[TU_A], dk_tu_suffix[TU_INDICATOR],
                           dk_tu_suffix[TU_GRAPH_LABELS]);
    if ((rc = read_graph_labels(t)) || (rc = read_indicator(t)) || (rc = read_edges(t)) ||
        (rc = locate_edges(t)) || (rc = read_gt(t)))
        return rc;
    if (t->drop_loops)
        drop_self_loops(t);
    if ((rc = group_edges(t)) || (rc = build_graphs(t)) || (rc = read_columns(t)))
        return rc;
    return dk_dataset_finish(t->d, t->err);
}

static void hash_parts(const tu *t, char hash[33])
{
    dk_hasher *h = dk_hash_new();

    for (int i = 0; i < TU_FILES; i++)
        if (t->part[i].data)
            dk_dataset_hash_part(h, dk_tu_suffix[i], t->part[i].data, t->part[i].len);
    dk_hash_hex(h, hash);
}

/* stem: what the file names begin with in messages. */
static int parse(dk_dataset *d, const dk_tu_text *in, const char *stem, const char *name,
                 const dk_dataset_options *opt, dk_err *err)
{
    tu t = {.part = {{in->a, in->a_len, NULL},
                     {in->indicator, in->indicator_len, NULL},
                     {in->graph_labels, in->graph_labels_len, NULL},
                     {in->node_labels, in->node_labels_len, NULL},
                     {in->node_attributes, in->node_attributes_len, NULL},
                     {in->edge_gt, in->edge_gt_len, NULL}},
            .drop_loops = opt && opt->drop_self_loops,
            .d = d,
            .err = err};

    for (int i = 0; i < TU_FILES; i++)
        t.part[i].file = dk_xasprintf("%s%s", stem, dk_tu_suffix[i]);
    *d = (dk_dataset){.name = dk_xstrdup(name), .path = dk_xstrdup(name), .task = DK_TASK_GRAPH};
    int rc = read_parts(&t);
    if (!rc)
        hash_parts(&t, d->hash);
    free_tu(&t);
    if (rc)
        dk_dataset_free(d);
    return rc;
}

int dk_dataset_parse_tu(dk_dataset *d, const dk_tu_text *t, const char *name,
                        const dk_dataset_options *opt, dk_err *err)
{
    return parse(d, t, name, name, opt, err);
}

static int open_part(dk_map *m, const char *stem, int part, bool required, const char **data,
                     size_t *len, dk_err *err)
{
    char *file = dk_xasprintf("%s%s", stem, dk_tu_suffix[part]);
    int rc = 0;

    if (required || dk_exists(file))
        rc = dk_map_open(m, file, err);
    if (!rc && (required || m->data)) {
        *data = (const char *)m->data;
        *len = m->len;
    }
    free(file);
    return rc;
}

int dk_dataset_load_tu(dk_dataset *d, const char *dir, const char *prefix,
                       const dk_dataset_options *opt, dk_err *err)
{
    dk_map maps[TU_FILES] = {{0}};
    dk_tu_text t = {0};
    const char **data[TU_FILES] = {&t.a,           &t.indicator,       &t.graph_labels,
                                   &t.node_labels, &t.node_attributes, &t.edge_gt};
    size_t *len[TU_FILES] = {&t.a_len,           &t.indicator_len,       &t.graph_labels_len,
                             &t.node_labels_len, &t.node_attributes_len, &t.edge_gt_len};
    char *stem = dk_path_join(dir, prefix);
    int rc = 0;

    for (int i = 0; !rc && i < TU_FILES; i++)
        rc = open_part(&maps[i], stem, i, i <= TU_GRAPH_LABELS, data[i], len[i], err);
    if (!rc)
        rc = parse(d, &t, stem, prefix, opt, err);
    for (int i = 0; i < TU_FILES; i++)
        dk_map_close(&maps[i]);
    free(stem);
    return rc;
}
