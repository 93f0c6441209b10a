/* See scores.h. Rows are read in file order, then brought together by item where a file mixes its
 * items; ranks that a file does not have follow the order of dk_select_order: score rounded to 12
 * decimals, both directions of a pair side by side. */
#include "graph/explain/scores.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "base/opt.h"
#include "io/csv.h"

/* ---- Cells. */

typedef struct columns {
    int item, src, dst, score, rank, kept;
} columns;

static int find_columns(const dk_csv *c, dk_scores *s, columns *at, dk_err *err)
{
    const struct {
        const char *name;
        int *to;
    } needed[] = {{"src", &at->src}, {"dst", &at->dst}, {"score", &at->score}};
    int graph = dk_csv_column(c, "graph"), node = dk_csv_column(c, "node");

    if ((graph < 0) == (node < 0))
        return dk_fail(err, DK_EFORMAT, "%s: expected one column \"graph\" or \"node\", found %s",
                       s->name, graph < 0 ? "neither" : "both");
    s->node_task = graph < 0;
    at->item = graph < 0 ? node : graph;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        *needed[i].to = dk_csv_column(c, needed[i].name);
        if (*needed[i].to < 0)
            return dk_fail(err, DK_EFORMAT, "%s: there is no column \"%s\"", s->name,
                           needed[i].name);
    }
    at->rank = dk_csv_column(c, "rank");
    at->kept = dk_csv_column(c, "kept");
    s->has_rank = at->rank >= 0;
    s->has_kept = at->kept >= 0;
    return 0;
}

/* A bad cell is malformed input, not a bad command line. */
static int in_row(const dk_csv *c, size_t row, dk_err *err)
{
    err->code = DK_EFORMAT;
    return dk_wrap(err, "%s: line %zu", c->name, c->lines[row]);
}

static int read_row(dk_scores *s, const dk_csv *c, const columns *at, size_t row, dk_err *err)
{
    int64_t kept = 1;

    if (dk_parse_i64(dk_csv_at(c, row, (size_t)at->item), INT64_MIN, INT64_MAX,
                     s->node_task ? "node" : "graph", &s->item[row], err) ||
        dk_parse_i64(dk_csv_at(c, row, (size_t)at->src), INT64_MIN, INT64_MAX, "src", &s->src[row],
                     err) ||
        dk_parse_i64(dk_csv_at(c, row, (size_t)at->dst), INT64_MIN, INT64_MAX, "dst", &s->dst[row],
                     err) ||
        dk_parse_f64(dk_csv_at(c, row, (size_t)at->score), -DBL_MAX, DBL_MAX, "score",
                     &s->score[row], err))
        return in_row(c, row, err);
    const char *rank = s->has_rank ? dk_csv_at(c, row, (size_t)at->rank) : "";
    s->rank[row] = -1;
    if (*rank && dk_parse_i64(rank, 0, INT64_MAX, "rank", &s->rank[row], err))
        return in_row(c, row, err);
    if (s->has_rank && !*rank && s->src[row] != s->dst[row]) {
        dk_fail(err, DK_EFORMAT, "rank: expected a number, found nothing");
        return in_row(c, row, err);
    }
    const char *flag = s->has_kept ? dk_csv_at(c, row, (size_t)at->kept) : "1";
    if (s->has_rank && !*rank && !*flag)
        flag = "0";
    if (dk_parse_i64(flag, 0, 1, "kept", &kept, err))
        return in_row(c, row, err);
    s->kept[row] = kept != 0 && !(s->has_rank && !*rank);
    return 0;
}

/* ---- Items. */

typedef struct place {
    int64_t id, row;
} place;

static int by_id(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int by_row(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return (x->row > y->row) - (x->row < y->row);
}

static void *table(size_t n, size_t size, const char *name, dk_err *err)
{
    void *p = calloc(n ? n : 1, size);
    if (!p)
        dk_fail(err, DK_ENOMEM, "%s: no memory for %zu rows", name, n);
    return p;
}

/* dst[i] = src[order[i].row]; for the three kinds of columns. */
static int permute(void *column, size_t size, const place *order, size_t n, const char *name,
                   dk_err *err)
{
    char *copy = table(n, size, name, err);

    if (!copy)
        return err->code;
    memcpy(copy, column, n * size);
    for (size_t i = 0; i < n; i++)
        memcpy((char *)column + i * size, copy + (size_t)order[i].row * size, size);
    free(copy);
    return 0;
}

static int sort_rows(dk_scores *s, const place *order, dk_err *err)
{
    const struct {
        void *column;
        size_t size;
    } all[] = {{s->item, sizeof *s->item},   {s->src, sizeof *s->src},
               {s->dst, sizeof *s->dst},     {s->score, sizeof *s->score},
               {s->rank, sizeof *s->rank},   {s->kept, sizeof *s->kept}};

    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (permute(all[i].column, all[i].size, order, (size_t)s->rows, s->name, err))
            return err->code;
    return 0;
}

/* Fills `order` with the rows item after item (items by their first row, rows as in the file);
 * `first` with the id and first row of every item in that order. Returns the number of items. */
static int64_t order_rows(const dk_scores *s, place *order, place *first, place *scratch)
{
    int64_t n = s->rows, items = 0;

    for (int64_t i = 0; i < n; i++)
        scratch[i] = (place){s->item[i], i};
    qsort(scratch, (size_t)n, sizeof *scratch, by_id);
    /* Until the items are in order, their `id` is where the item's rows begin in scratch. */
    for (int64_t i = 0; i < n; i++)
        if (i == 0 || scratch[i].id != scratch[i - 1].id)
            first[items++] = (place){i, scratch[i].row};
    qsort(first, (size_t)items, sizeof *first, by_row);
    for (int64_t k = 0, at = 0; k < items; k++) {
        int64_t id = scratch[first[k].id].id;
        for (int64_t i = first[k].id; i < n && scratch[i].id == id; i++)
            order[at++] = scratch[i];
        first[k].id = id;
    }
    return items;
}

static int group_items(dk_scores *s, dk_err *err)
{
    size_t n = (size_t)s->rows;
    place *order = table(n, sizeof *order, s->name, err);
    place *first = table(n, sizeof *first, s->name, err);
    place *scratch = table(n, sizeof *scratch, s->name, err);

    if (!order || !first || !scratch)
        goto out;
    s->items = order_rows(s, order, first, scratch);
    s->item_id = table((size_t)s->items, sizeof *s->item_id, s->name, err);
    s->item_ptr = table((size_t)s->items + 1, sizeof *s->item_ptr, s->name, err);
    s->by_id = table((size_t)s->items, sizeof *s->by_id, s->name, err);
    if (!s->item_id || !s->item_ptr || !s->by_id || sort_rows(s, order, err))
        goto out;
    for (int64_t i = 0, k = -1; i < s->rows; i++) {
        if (i == 0 || s->item[i] != s->item[i - 1])
            s->item_id[++k] = s->item[i];
        s->item_ptr[k + 1] = i + 1;
    }
    for (int64_t k = 0; k < s->items; k++)
        scratch[k] = (place){s->item_id[k], k};
    qsort(scratch, (size_t)s->items, sizeof *scratch, by_id);
    for (int64_t k = 0; k < s->items; k++)
        s->by_id[k] = scratch[k].row;
out:
    free(order);
    free(first);
    free(scratch);
    return err->code;
}

/* ---- Ranks of files without them. */

typedef struct ranked {
    double score; /* rounded */
    int64_t low, high, row;
} ranked;

static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    if (x->low != y->low)
        return x->low < y->low ? -1 : 1;
    if (x->high != y->high)
        return x->high < y->high ? -1 : 1;
    return (x->row > y->row) - (x->row < y->row);
}

static int make_ranks(dk_scores *s, dk_err *err)
{
    ranked *r = table((size_t)s->rows, sizeof *r, s->name, err);

    if (!r)
        return err->code;
    for (int64_t i = 0; i < s->rows; i++) {
        double rounded = rint(s->score[i] * 1e12) / 1e12;
        bool up = s->src[i] <= s->dst[i];
        r[i] = (ranked){isfinite(rounded) ? rounded : s->score[i], up ? s->src[i] : s->dst[i],
                        up ? s->dst[i] : s->src[i], i};
    }
    for (int64_t k = 0; k < s->items; k++) {
        int64_t begin = s->item_ptr[k], n = s->item_ptr[k + 1] - begin;
        qsort(r + begin, (size_t)n, sizeof *r, by_rank);
        for (int64_t i = 0; i < n; i++)
            s->rank[r[begin + i].row] = i;
    }
    free(r);
    return 0;
}

/* ---- Files. */

static int from_table(dk_scores *s, const dk_csv *c, dk_err *err)
{
    size_t n = c->rows;
    columns at;

    if (find_columns(c, s, &at, err))
        return err->code;
    s->rows = (int64_t)n;
    s->item = table(n, sizeof *s->item, s->name, err);
    s->src = table(n, sizeof *s->src, s->name, err);
    s->dst = table(n, sizeof *s->dst, s->name, err);
    s->score = table(n, sizeof *s->score, s->name, err);
    s->rank = table(n, sizeof *s->rank, s->name, err);
    s->kept = table(n, sizeof *s->kept, s->name, err);
    if (!s->item || !s->src || !s->dst || !s->score || !s->rank || !s->kept)
        return err->code;
    for (size_t i = 0; i < n; i++)
        if (read_row(s, c, &at, i, err))
            return err->code;
    if (group_items(s, err))
        return err->code;
    return s->has_rank ? 0 : make_ranks(s, err);
}

static int take(dk_scores *s, dk_csv *c, dk_err *err)
{
    *s = (dk_scores){.name = dk_xstrdup(c->name)};
    int rc = from_table(s, c, err);
    dk_csv_free(c);
    if (rc)
        dk_scores_free(s);
    return rc;
}

int dk_scores_parse(dk_scores *s, const char *data, size_t len, const char *name, dk_err *err)
{
    dk_csv c;

    *s = (dk_scores){0};
    return dk_csv_parse(&c, data, len, name, err) ? err->code : take(s, &c, err);
}

int dk_scores_load(dk_scores *s, const char *path, dk_err *err)
{
    dk_csv c;

    *s = (dk_scores){0};
    return dk_csv_load(&c, path, err) ? err->code : take(s, &c, err);
}

void dk_scores_free(dk_scores *s)
{
    free(s->name);
    free(s->item);
    free(s->src);
    free(s->dst);
    free(s->score);
    free(s->rank);
    free(s->kept);
    free(s->item_id);
    free(s->item_ptr);
    free(s->by_id);
    *s = (dk_scores){0};
}

int64_t dk_scores_item(const dk_scores *s, int64_t id)
{
    int64_t lo = 0, hi = s->items;

    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        if (s->item_id[s->by_id[mid]] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < s->items && s->item_id[s->by_id[lo]] == id ? s->by_id[lo] : -1;
}

/* ---- Scores on a graph. */

/* Names of the nodes of g, sorted, to find them by; NULL names are 0 .. n - 1. */
static place *index_nodes(const dk_graph *g, const int64_t *id, const char *name, dk_err *err)
{
    place *p = table((size_t)g->n, sizeof *p, name, err);

    for (int32_t v = 0; p && v < g->n; v++)
        p[v] = (place){id ? id[v] : v, v};
    if (p && id)
        qsort(p, (size_t)g->n, sizeof *p, by_id);
    return p;
}

static int32_t find_node(const place *index, int32_t n, int64_t id)
{
    int32_t lo = 0, hi = n;

    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if (index[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && index[lo].id == id ? (int32_t)index[lo].row : -1;
}

static int32_t find_edge(const dk_graph *g, int32_t src, int32_t dst)
{
    int32_t lo = g->out_ptr[src], end = g->out_ptr[src + 1], hi = end;

    while (lo < hi) {
        int32_t mid = lo + (hi - lo) / 2;
        if (g->dst[mid] < dst)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < end && g->dst[lo] == dst ? lo : -1;
}

static int bad_row(const dk_scores *s, int64_t row, const char *what, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "%s: row %s %" PRId64 ", edge %" PRId64 ",%" PRId64 ": %s",
                   s->name, s->node_task ? "node" : "graph", s->item[row], s->src[row],
                   s->dst[row], what);
}

int dk_scores_on_graph(const dk_scores *s, int64_t k, const dk_graph *g, const int64_t *id,
                       double *score, uint8_t *present, uint8_t *kept, int64_t *rank, dk_err *err)
{
    place *index = index_nodes(g, id, s->name, err);

    if (!index)
        return err->code;
    for (int32_t e = 0; e < g->e; e++) {
        score[e] = 0;
        present[e] = 0;
        if (kept)
            kept[e] = 0;
        if (rank)
            rank[e] = -1;
    }
    for (int64_t i = s->item_ptr[k]; i < s->item_ptr[k + 1] && !err->code; i++) {
        int32_t src = find_node(index, g->n, s->src[i]), dst = find_node(index, g->n, s->dst[i]);
        if (src < 0 || dst < 0) {
            bad_row(s, i, "there is no such node (scores of another data set?)", err);
            continue;
        }
        if (src == dst && s->rank[i] < 0)
            continue; /* the diagonal of a normalised adjacency, no edge of the graph */
        int32_t e = find_edge(g, src, dst);
        if (e < 0) {
            bad_row(s, i, "there is no such edge (scores of another data set?)", err);
        } else if (present[e]) {
            bad_row(s, i, "this edge has a row already", err);
        } else {
            score[e] = s->score[i];
            present[e] = 1;
            if (kept)
                kept[e] = s->kept[i];
            if (rank)
                rank[e] = s->rank[i];
        }
    }
    free(index);
    return err->code;
}
