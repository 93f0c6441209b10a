/* One graph with a class per node as nodes.csv and edges.csv (see dataset.h). The table of nodes is
 * read with io/csv; edges, of which there may be 10^7, are read in place by the line scanner.
 *
 * Nodes are numbered by ascending id, so the order of the lines changes nothing. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "graph/dataset_internal.h"
#include "graph/graph_internal.h"
#include "graph/scan_internal.h"
#include "io/csv.h"

/* Ids that span at most this many times their number (and a bit) are looked up in a table. */
enum { TABLE_SPREAD = 4, TABLE_EXTRA = 1 << 16 };

typedef struct id_row {
    int64_t id;
    int32_t row; /* data row of nodes.csv */
} id_row;

typedef struct csvset {
    char *nodes_file, *edges_file;
    dk_csv nodes;
    int id, label, split, x0; /* columns of nodes.csv, -1: absent */
    int features;
    id_row *order; /* [n] by ascending id */
    int32_t n;
    int32_t *table; /* id - first id -> node; -1: no such id; NULL: search */
    int64_t span;
    int32_t *src, *dst;
    uint8_t *gt;
    double *weight;
    int32_t m;
    bool drop_loops;
    dk_dataset *d;
    dk_err *err;
} csvset;

/* ---- nodes.csv */

static int find_columns(csvset *c)
{
    char name[16];
    int known;

    c->id = dk_csv_column(&c->nodes, "id");
    c->label = dk_csv_column(&c->nodes, "label");
    c->split = dk_csv_column(&c->nodes, "split");
    c->x0 = dk_csv_column(&c->nodes, "x0");
    if (c->id < 0)
        return dk_fail(c->err, DK_EFORMAT, "%s: expected a column id, found none", c->nodes_file);
    known = 1 + (c->label >= 0) + (c->split >= 0);
    for (c->features = 0; c->x0 >= 0; c->features++) {
        snprintf(name, sizeof name, "x%d", c->features);
        int at = dk_csv_column(&c->nodes, name);
        if (at < 0)
            break;
        if (at != c->x0 + c->features)
            return dk_fail(c->err, DK_EFORMAT,
                           "%s: column %s: expected x0, x1, ... side by side in this order",
                           c->nodes_file, name);
    }
    if ((size_t)(known + c->features) != c->nodes.columns)
        for (size_t k = 0; k < c->nodes.columns; k++) {
            const char *cell = c->nodes.cells[k];
            bool feature = c->x0 >= 0 && (int)k >= c->x0 && (int)k < c->x0 + c->features;
            if (!feature && (int)k != c->id && (int)k != c->label && (int)k != c->split)
                return dk_fail(c->err, DK_EFORMAT,
                               "%s: column \"%.40s\": expected id, label, split, x0, x1, ...",
                               c->nodes_file, cell);
        }
    return 0;
}

/* A cell as a one-line text for the scanner. */
static dk_scan cell_of(const csvset *c, int32_t row, int column)
{
    const char *cell = dk_csv_at(&c->nodes, (size_t)row, (size_t)column);
    dk_scan s;

    dk_scan_begin(&s, cell, strlen(cell), c->nodes_file);
    s.line = (int64_t)c->nodes.lines[row];
    return s;
}

static int cell_i64(const csvset *c, int32_t row, int column, const char *what, int64_t *out)
{
    dk_scan s = cell_of(c, row, column);
    int rc = dk_scan_i64(&s, INT64_MIN + 1, INT64_MAX, what, out, c->err);
    return rc ? rc : dk_scan_line_end(&s, c->err);
}

static int by_id(const void *a, const void *b)
{
    const id_row *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int read_ids(csvset *c)
{
    if (c->nodes.rows == 0 || c->nodes.rows >= INT32_MAX)
        return dk_fail(c->err, c->nodes.rows ? DK_EUNSUPPORTED : DK_EFORMAT,
                       "%s: %zu nodes: expected 1 to 2^31 - 2", c->nodes_file, c->nodes.rows);
    c->n = (int32_t)c->nodes.rows;
    c->order = dk_graph_array((size_t)c->n, sizeof *c->order, "node ids", c->err);
    if (!c->order)
        return c->err->code;
    for (int32_t i = 0; i < c->n; i++) {
        c->order[i].row = i;
        if (cell_i64(c, i, c->id, "id", &c->order[i].id))
            return c->err->code;
    }
    qsort(c->order, (size_t)c->n, sizeof *c->order, by_id);
    for (int32_t i = 1; i < c->n; i++)
        if (c->order[i].id == c->order[i - 1].id)
            return dk_fail(c->err, DK_EFORMAT,
                           "%s: line %zu: id %" PRId64 " stands in line %zu already", c->nodes_file,
                           c->nodes.lines[c->order[i].row], c->order[i].id,
                           c->nodes.lines[c->order[i - 1].row]);
    return 0;
}

static int make_table(csvset *c)
{
    uint64_t span = (uint64_t)c->order[c->n - 1].id - (uint64_t)c->order[0].id;

    if (span >= (uint64_t)TABLE_SPREAD * (uint64_t)c->n + TABLE_EXTRA || span >= INT32_MAX)
        return 0;
    c->span = (int64_t)span + 1;
    c->table = dk_graph_array((size_t)c->span, sizeof *c->table, "node ids", c->err);
    if (!c->table)
        return c->err->code;
    for (int64_t k = 0; k < c->span; k++)
        c->table[k] = -1;
    for (int32_t i = 0; i < c->n; i++)
        c->table[c->order[i].id - c->order[0].id] = i;
    return 0;
}

static int read_labels(csvset *c, int32_t *y)
{
    size_t n = (size_t)c->n;
    int64_t *value = dk_graph_array(n, sizeof *value, "labels", c->err);
    bool *known = dk_graph_array(n, sizeof *known, "labels", c->err);
    int rc = c->err->code;

    for (int32_t i = 0; !rc && i < c->n; i++) {
        dk_scan s = cell_of(c, c->order[i].row, c->label);
        known[i] = dk_scan_more(&s);
        value[i] = 0;
        if (known[i])
            rc = cell_i64(c, c->order[i].row, c->label, "label", &value[i]);
    }
    if (!rc)
        rc = dk_class_index(value, known, c->n, y, &c->d->class_value, &c->d->classes, c->err);
    free(value);
    free(known);
    return rc;
}

static int read_splits(csvset *c)
{
    static const char *const names[] = {"", "train", "val", "test"};

    c->d->split = dk_graph_array((size_t)c->n, sizeof *c->d->split, "splits", c->err);
    if (!c->d->split)
        return c->err->code;
    for (int32_t i = 0; i < c->n; i++) {
        int32_t row = c->order[i].row;
        const char *cell = dk_csv_at(&c->nodes, (size_t)row, (size_t)c->split);
        int k = 0;
        while (k < 4 && strcmp(cell, names[k]) != 0)
            k++;
        if (k == 4)
            return dk_fail(c->err, DK_EFORMAT,
                           "%s: line %zu: split: expected train, val, test or nothing, found "
                           "\"%.24s\"",
                           c->nodes_file, c->nodes.lines[row], cell);
        c->d->split[i] = (dk_split)k;
    }
    return 0;
}

static int read_features(csvset *c, double *x)
{
    for (int32_t i = 0; i < c->n; i++)
        for (int k = 0; k < c->features; k++) {
            dk_scan s = cell_of(c, c->order[i].row, c->x0 + k);
            if (dk_scan_f64(&s, "feature", &x[(size_t)i * (size_t)c->features + (size_t)k],
                            c->err) ||
                dk_scan_line_end(&s, c->err))
                return c->err->code;
        }
    return 0;
}

/* ---- edges.csv */

enum { SRC, DST, GT, WEIGHT, ROLES };
static const char *const role_name[ROLES] = {"src", "dst", "gt", "weight"};

/* The header's names, quoted or not, in any order: role of every column. */
static int read_header(const csvset *c, dk_scan *s, int role[ROLES], int *columns)
{
    bool have[ROLES] = {false};

    *columns = dk_scan_fields(s);
    if (*columns > ROLES)
        return dk_scan_bad(s, "header", "columns src, dst and at most gt and weight", c->err);
    for (int k = 0; k < *columns; k++) {
        int r = ROLES;
        if (k > 0 && dk_scan_separator(s, "next column", c->err))
            return c->err->code;
        while (s->at < s->end && (*s->at == ' ' || *s->at == '\t'))
            s->at++;
        const char *name = s->at, *stop = name;
        while (stop < s->end && !strchr(", \t\r\n", *stop))
            stop++;
        s->at = stop;
        if (stop - name >= 2 && *name == '"' && stop[-1] == '"') {
            name++;
            stop--;
        }
        for (int i = 0; i < ROLES; i++)
            if ((size_t)(stop - name) == strlen(role_name[i]) &&
                memcmp(name, role_name[i], (size_t)(stop - name)) == 0)
                r = i;
        if (r == ROLES || have[r])
            return dk_fail(c->err, DK_EFORMAT,
                           "%s: line 1: column \"%.*s\": expected src, dst, gt, weight, each once",
                           s->file, (int)(stop - name < 40 ? stop - name : 40), name);
        have[r] = true;
        role[k] = r;
    }
    if (!have[SRC] || !have[DST])
        return dk_fail(c->err, DK_EFORMAT, "%s: line 1: expected the columns src and dst", s->file);
    return dk_scan_line_end(s, c->err);
}

static int no_such_id(const csvset *c, int64_t line, const char *what, int64_t id)
{
    return dk_fail(c->err, DK_EFORMAT, "%s: line %" PRId64 ": %s %" PRId64 ": no such id in %s",
                   c->edges_file, line, what, id, c->nodes_file);
}

static int32_t search_node(const csvset *c, int64_t id)
{
    int32_t lo = 0, hi = c->n;

    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if (c->order[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < c->n && c->order[lo].id == id ? lo : -1;
}

/* The node, or with a table its place there, which locate_edges() looks up. */
static int read_end(const csvset *c, dk_scan *s, const char *what, int32_t *end)
{
    int64_t id, first = c->order[0].id;

    if (dk_scan_i64(s, INT64_MIN + 1, INT64_MAX, what, &id, c->err))
        return c->err->code;
    if (c->table)
        *end = id >= first && id <= c->order[c->n - 1].id ? (int32_t)(id - first) : -1;
    else
        *end = search_node(c, id);
    return *end >= 0 ? 0 : no_such_id(c, s->line, what, id);
}

/* A loop of its own: the look-ups, which miss the cache in large graphs, overlap here and would not
 * behind the parsing of digits. */
static int locate_edges(csvset *c)
{
    int64_t first = c->order[0].id;

    for (int32_t e = 0; c->table && e < c->m; e++) {
        int32_t s = c->table[c->src[e]], d = c->table[c->dst[e]];
        if (s < 0 || d < 0) /* an edge a line, from line 2 on */
            return no_such_id(c, (int64_t)e + 2, role_name[s < 0 ? SRC : DST],
                              first + (s < 0 ? c->src[e] : c->dst[e]));
        c->src[e] = s;
        c->dst[e] = d;
    }
    return 0;
}

static void drop_self_loops(csvset *c)
{
    int32_t kept = 0;

    for (int32_t e = 0; e < c->m; e++) {
        if (c->src[e] == c->dst[e])
            continue;
        c->src[kept] = c->src[e];
        c->dst[kept] = c->dst[e];
        if (c->gt)
            c->gt[kept] = c->gt[e];
        if (c->weight)
            c->weight[kept] = c->weight[e];
        kept++;
    }
    c->d->dropped_loops = c->m - kept;
    c->m = kept;
}

static int read_edge(const csvset *c, dk_scan *s, const int role[ROLES], int columns)
{
    int32_t e = c->m;
    int64_t gt;
    int rc = 0;

    for (int k = 0; !rc && k < columns; k++) {
        const char *what = role_name[role[k]];
        if (k > 0 && (rc = dk_scan_separator(s, what, c->err)))
            break;
        if (role[k] == SRC) {
            rc = read_end(c, s, what, &c->src[e]);
        } else if (role[k] == DST) {
            rc = read_end(c, s, what, &c->dst[e]);
        } else if (role[k] == WEIGHT) {
            rc = dk_scan_f64(s, what, &c->weight[e], c->err);
        } else if (!(rc = dk_scan_i64(s, 0, 1, what, &gt, c->err))) {
            c->gt[e] = (uint8_t)gt;
        }
    }
    return rc ? rc : dk_scan_line_end(s, c->err);
}

static int read_edges(csvset *c, const dk_map *map)
{
    int role[ROLES], columns;
    dk_scan s;

    dk_scan_begin(&s, (const char *)map->data, map->len, c->edges_file);
    if (read_header(c, &s, role, &columns))
        return c->err->code;
    int64_t lines = dk_scan_lines(&s);
    if (lines > INT32_MAX)
        return dk_fail(c->err, DK_EUNSUPPORTED, "%s: %" PRId64 " edges: more than 2^31 - 1", s.file,
                       lines);
    c->src = dk_graph_array((size_t)lines, sizeof *c->src, "edges", c->err);
    c->dst = dk_graph_array((size_t)lines, sizeof *c->dst, "edges", c->err);
    for (int k = 0; k < columns; k++) {
        if (role[k] == GT)
            c->gt = dk_graph_array((size_t)lines, sizeof *c->gt, "ground truth", c->err);
        if (role[k] == WEIGHT)
            c->weight = dk_graph_array((size_t)lines, sizeof *c->weight, "weights", c->err);
    }
    if (c->err->code)
        return c->err->code;
    for (; c->m < lines; c->m++)
        if (read_edge(c, &s, role, columns))
            return c->err->code;
    if (locate_edges(c))
        return c->err->code;
    if (c->drop_loops)
        drop_self_loops(c);
    return 0;
}

/* ---- The set. */

static int fill(csvset *c)
{
    dk_dataset *d = c->d;
    dk_graph *g;
    size_t n = (size_t)c->n;

    d->attributes = c->features;
    if (dk_dataset_reserve(d, 1, c->err))
        return c->err->code;
    g = &d->graphs[0];
    if (dk_graph_build(g, c->n, c->m, c->src, c->dst, c->weight, c->gt, &d->merged_edges, NULL,
                       c->err))
        return dk_wrap(c->err, "%s", c->edges_file);
    d->node_id = dk_graph_array(n, sizeof *d->node_id, "node ids", c->err);
    if (c->label >= 0)
        g->y = dk_graph_array(n, sizeof *g->y, "labels", c->err);
    if (c->features)
        d->attr[0] = dk_graph_array(n, (size_t)c->features * sizeof(double), "features", c->err);
    if (c->err->code)
        return c->err->code;
    for (size_t i = 0; i < n; i++)
        d->node_id[i] = c->order[i].id;
    if ((g->y && read_labels(c, g->y)) || (c->split >= 0 && read_splits(c)) ||
        (c->features && read_features(c, d->attr[0])))
        return c->err->code;
    return dk_dataset_finish(d, c->err);
}

static size_t without_tail(const dk_map *m)
{
    size_t len = m->len;
    while (len > 0 && strchr(" \t\r\n", m->data[len - 1]) && m->data[len - 1])
        len--;
    return len;
}

static int read_set(csvset *c, const dk_map *nodes, const dk_map *edges)
{
    /* Empty lines at the end would be rows of one field to the table reader. */
    if (dk_csv_parse(&c->nodes, (const char *)nodes->data, without_tail(nodes), c->nodes_file,
                     c->err) ||
        find_columns(c) || read_ids(c) || make_table(c) || read_edges(c, edges))
        return c->err->code;
    return fill(c);
}

static char *folder_name(const char *dir)
{
    size_t n = strlen(dir);
    while (n > 1 && dir[n - 1] == '/')
        n--;
    char *path = dk_xstrndup(dir, n), *name = dk_xstrdup(dk_basename(path));
    free(path);
    return name;
}

int dk_dataset_load_csv(dk_dataset *d, const char *dir, const dk_dataset_options *opt, dk_err *err)
{
    csvset c = {.nodes_file = dk_path_join(dir, "nodes.csv"),
                .edges_file = dk_path_join(dir, "edges.csv"),
                .drop_loops = opt && opt->drop_self_loops,
                .d = d,
                .err = err};
    dk_map nodes = {0}, edges = {0};

    *d = (dk_dataset){.name = folder_name(dir), .path = dk_xstrdup(dir), .task = DK_TASK_NODE};
    int rc = dk_map_open(&nodes, c.nodes_file, err);
    if (!rc)
        rc = dk_map_open(&edges, c.edges_file, err);
    if (!rc)
        rc = read_set(&c, &nodes, &edges);
    if (!rc) {
        dk_hasher *h = dk_hash_new();
        dk_dataset_hash_part(h, "nodes.csv", nodes.data, nodes.len);
        dk_dataset_hash_part(h, "edges.csv", edges.data, edges.len);
        dk_hash_hex(h, d->hash);
    }
    dk_map_close(&nodes);
    dk_map_close(&edges);
    dk_csv_free(&c.nodes);
    free(c.nodes_file);
    free(c.edges_file);
    free(c.order);
    free(c.table);
    free(c.src);
    free(c.dst);
    free(c.gt);
    free(c.weight);
    if (rc)
        dk_dataset_free(d);
    return rc;
}
