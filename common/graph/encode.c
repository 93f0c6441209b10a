/* Raw node columns to features (see dataset.h). A model carries its encoding, so a set whose labels
 * happen to miss some values still gets the columns that the model was trained on. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/opt.h"
#include "graph/dataset_internal.h"
#include "graph/graph_internal.h"
#include "io/shortest_internal.h"

#define MAX_FEATURE_BYTES ((size_t)4 << 30)
enum { MAX_WIDTH = 65536, MAX_ONEHOT_DEGREE = 1000, MAX_COLUMNS = 65536 };

void dk_encoding_free(dk_encoding *e)
{
    for (int c = 0; e->values && c < e->label_columns; c++)
        free(e->values[c]);
    free(e->values);
    free(e->width);
    *e = (dk_encoding){0};
}

int dk_encoding_features(const dk_encoding *e)
{
    int n = e->attributes;

    if (e->kind == DK_FEAT_DEGREE_ONEHOT)
        return e->max_degree + 1;
    if (e->kind == DK_FEAT_DEGREE_STD)
        return 1;
    for (int c = 0; c < e->label_columns; c++)
        n += e->width[c];
    return n;
}

static int reserve(dk_encoding *e, int attributes, int label_columns, dk_err *err)
{
    *e = (dk_encoding){.attributes = attributes};
    e->width = calloc((size_t)label_columns + 1, sizeof *e->width);
    e->values = calloc((size_t)label_columns + 1, sizeof *e->values);
    if (!e->width || !e->values)
        return dk_fail(err, DK_ENOMEM, "no memory for %d label columns", label_columns);
    e->label_columns = label_columns;
    return 0;
}

/* ---- The folder's own encoding. */

static int column_of_set(const dk_dataset *d, dk_encoding *e, int c, dk_err *err)
{
    int64_t lo = INT64_MAX, hi = INT64_MIN;

    for (int32_t i = 0; i < d->count; i++)
        for (int32_t v = 0; v < d->graphs[i].n; v++) {
            int64_t label = d->labels[i][(size_t)v * (size_t)d->label_columns + (size_t)c];
            lo = label < lo ? label : lo;
            hi = label > hi ? label : hi;
        }
    if (lo > hi)
        lo = hi = 0;
    if (hi - lo + 1 > MAX_WIDTH)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: node labels %" PRId64 " to %" PRId64 " in column %d: one column per "
                       "value would be %" PRId64 " wide, at most %d is supported",
                       d->name, lo, hi, c, hi - lo + 1, MAX_WIDTH);
    e->values[c] = dk_graph_array((size_t)(hi - lo + 1), sizeof **e->values, "label values", err);
    if (!e->values[c])
        return err->code;
    e->width[c] = (int)(hi - lo + 1);
    for (int k = 0; k < e->width[c]; k++)
        e->values[c][k] = (int32_t)(lo + k);
    return 0;
}

static int32_t degree_of(const dk_graph *g, int32_t v)
{
    return g->out_ptr[v + 1] - g->out_ptr[v];
}

static void degrees_of_set(const dk_dataset *d, dk_encoding *e)
{
    int64_t n = 0, sum = 0;
    double squares = 0;

    for (int32_t i = 0; i < d->count; i++)
        for (int32_t v = 0; v < d->graphs[i].n; v++, n++) {
            int32_t k = degree_of(&d->graphs[i], v);
            sum += k;
            e->max_degree = k > e->max_degree ? k : e->max_degree;
        }
    e->kind = DK_FEAT_DEGREE_ONEHOT;
    if (e->max_degree < MAX_ONEHOT_DEGREE)
        return;
    e->kind = DK_FEAT_DEGREE_STD;
    e->max_degree = 0;
    e->degree_mean = (double)sum / (double)n;
    for (int32_t i = 0; i < d->count; i++)
        for (int32_t v = 0; v < d->graphs[i].n; v++) {
            double off = degree_of(&d->graphs[i], v) - e->degree_mean;
            squares += off * off;
        }
    /* The estimate from a sample, with n - 1, as the usual loaders have it. */
    e->degree_std = n > 1 && squares > 0 ? sqrt(squares / (double)(n - 1)) : 1;
}

int dk_dataset_encoding(const dk_dataset *d, dk_encoding *e, dk_err *err)
{
    int64_t width = d->attributes;
    int rc = reserve(e, d->attributes, d->label_columns, err);

    if (!rc && !d->attributes && !d->label_columns) {
        degrees_of_set(d, e);
        return 0;
    }
    for (int c = 0; !rc && c < d->label_columns; c++) {
        rc = column_of_set(d, e, c, err);
        width += e->width[c];
    }
    if (!rc && width > INT32_MAX)
        rc = dk_fail(err, DK_EUNSUPPORTED, "%s: %" PRId64 " features: more than 2^31 - 1", d->name,
                     width);
    if (rc)
        dk_encoding_free(e);
    return rc;
}

/* ---- Features. */

typedef struct place {
    int32_t value, at;
} place;

static int by_value(const void *a, const void *b)
{
    const place *x = a, *y = b;
    return (x->value > y->value) - (x->value < y->value);
}

static place *places_of(const dk_encoding *e, int c, dk_err *err)
{
    size_t n = (size_t)e->width[c];
    place *p = dk_graph_array(n, sizeof *p, "label values", err);

    for (size_t k = 0; p && k < n; k++)
        p[k] = (place){e->values[c][k], (int32_t)k};
    if (p)
        qsort(p, n, sizeof *p, by_value);
    return p;
}

/* Position of `value` in column c. Values without gaps, the common case, need no search. */
static int32_t find_place(const place *p, int n, int32_t value)
{
    int64_t k = n > 0 ? (int64_t)value - p[0].value : -1;

    if (k >= 0 && k < n && p[k].value == value)
        return p[k].at;
    place key = {value, 0};
    const place *at = bsearch(&key, p, (size_t)n, sizeof *p, by_value);
    return at ? at->at : -1;
}

static int put_labels(const dk_dataset *d, int32_t i, const dk_encoding *e, int c, int first,
                      const place *p, dk_err *err)
{
    dk_graph *g = &d->graphs[i];

    for (int32_t v = 0; v < g->n; v++) {
        int32_t value = d->labels[i][(size_t)v * (size_t)d->label_columns + (size_t)c];
        int32_t at = find_place(p, e->width[c], value);
        if (at < 0)
            return dk_fail(err, DK_EFORMAT,
                           "%s: graph %" PRId32 ": node %" PRId32 ": label %" PRId32
                           " (column %d) is none of the %d values the features are made of",
                           d->name, i, v, value, c, e->width[c]);
        g->x[(size_t)v * (size_t)g->num_features + (size_t)(first + at)] = 1;
    }
    return 0;
}

static int put_degrees(const dk_dataset *d, int32_t i, const dk_encoding *e, dk_err *err)
{
    dk_graph *g = &d->graphs[i];

    for (int32_t v = 0; v < g->n; v++) {
        int32_t k = degree_of(g, v);
        if (e->kind == DK_FEAT_DEGREE_STD)
            g->x[v] = (k - e->degree_mean) / e->degree_std;
        else if (k <= e->max_degree)
            g->x[(size_t)v * (size_t)g->num_features + (size_t)k] = 1;
        else
            return dk_fail(err, DK_EFORMAT,
                           "%s: graph %" PRId32 ": node %" PRId32 ": degree %" PRId32
                           ": the features know degrees up to %" PRId32,
                           d->name, i, v, k, e->max_degree);
    }
    return 0;
}

/* Attributes that are the finished features of a model: as many columns, and nothing else. */
static bool is_finished(const dk_dataset *d, const dk_encoding *e)
{
    return !d->label_columns && d->attributes > 0 && d->attributes == dk_encoding_features(e);
}

static int check_columns(const dk_dataset *d, const dk_encoding *e, dk_err *err)
{
    if (is_finished(d, e))
        return 0;
    if (e->kind != DK_FEAT_COLUMNS)
        return 0;
    if (d->attributes != e->attributes || d->label_columns != e->label_columns)
        return dk_fail(err, DK_EFORMAT,
                       "%s: %d attribute and %d node-label columns; expected %d and %d (%d "
                       "features)",
                       d->name, d->attributes, d->label_columns, e->attributes, e->label_columns,
                       dk_encoding_features(e));
    return 0;
}

static int allocate(dk_dataset *d, size_t width, dk_err *err)
{
    size_t nodes = 0, bytes;

    for (int32_t i = 0; i < d->count; i++)
        nodes += (size_t)d->graphs[i].n;
    if (!dk_mul(nodes, width * sizeof(double), &bytes) || bytes > MAX_FEATURE_BYTES)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: %zu nodes x %zu features: more than the limit of 4 GiB", d->name, nodes,
                       width);
    for (int32_t i = 0; i < d->count; i++) {
        dk_graph *g = &d->graphs[i];
        free(g->x);
        g->num_features = (int)width;
        g->x = calloc((size_t)g->n * width + 1, sizeof *g->x);
        if (!g->x)
            return dk_fail(err, DK_ENOMEM, "%s: no memory for features", d->name);
    }
    return 0;
}

static void put_attributes(const dk_dataset *d, int32_t i)
{
    dk_graph *g = &d->graphs[i];
    size_t a = (size_t)d->attributes;

    for (size_t v = 0; v < (size_t)g->n; v++)
        memcpy(g->x + v * (size_t)g->num_features, d->attr[i] + v * a, a * sizeof *g->x);
}

static int put_column(const dk_dataset *d, const dk_encoding *e, int c, int first, dk_err *err)
{
    place *p = places_of(e, c, err);
    int rc = p ? 0 : err->code;

    for (int32_t i = 0; !rc && i < d->count; i++)
        rc = put_labels(d, i, e, c, first, p, err);
    free(p);
    return rc;
}

int dk_dataset_encode(dk_dataset *d, const dk_encoding *e, dk_err *err)
{
    int first = e->attributes, rc = check_columns(d, e, err);
    bool finished = is_finished(d, e);

    if (!rc)
        rc = allocate(d, (size_t)dk_encoding_features(e), err);
    for (int32_t i = 0; !rc && i < d->count; i++) {
        if (finished || (e->kind == DK_FEAT_COLUMNS && d->attr))
            put_attributes(d, i);
        else if (e->kind != DK_FEAT_COLUMNS)
            rc = put_degrees(d, i, e, err);
    }
    if (finished || e->kind != DK_FEAT_COLUMNS)
        return rc;
    for (int c = 0; !rc && c < e->label_columns; c++) {
        rc = put_column(d, e, c, first, err);
        first += e->width[c];
    }
    return rc;
}

/* ---- As text: "attributes=2;labels=0,1,2|5,7", "degree=onehot;max=12",
 * "degree=std;mean=..;std=..". */

char *dk_encoding_text(const dk_encoding *e)
{
    char mean[DK_SHORTEST_SIZE], std[DK_SHORTEST_SIZE];
    dk_buf b = {0};

    if (e->kind == DK_FEAT_DEGREE_ONEHOT) {
        dk_buf_printf(&b, "degree=onehot;max=%" PRId32, e->max_degree);
        return dk_buf_steal(&b);
    }
    if (e->kind == DK_FEAT_DEGREE_STD) {
        dk_shortest_f64(e->degree_mean, mean);
        dk_shortest_f64(e->degree_std, std);
        dk_buf_printf(&b, "degree=std;mean=%s;std=%s", mean, std);
        return dk_buf_steal(&b);
    }
    dk_buf_printf(&b, "attributes=%d", e->attributes);
    for (int c = 0; c < e->label_columns; c++) {
        dk_buf_puts(&b, c == 0 ? ";labels=" : "|");
        for (int k = 0; k < e->width[c]; k++)
            dk_buf_printf(&b, "%s%" PRId32, k ? "," : "", e->values[c][k]);
    }
    return dk_buf_steal(&b);
}

static int bad_text(const char *text, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT,
                   "feature encoding \"%.60s\": expected attributes=N;labels=A,B,...|..., "
                   "degree=onehot;max=N or degree=std;mean=X;std=X",
                   text);
}

/* Moves over `word`; false when something else stands there. */
static bool take(const char **at, const char *word)
{
    size_t n = strlen(word);

    if (strncmp(*at, word, n) != 0)
        return false;
    *at += n;
    return true;
}

/* The number up to one of `stops` or the end. */
static bool number(const char **at, const char *stops, char text[DK_SHORTEST_SIZE])
{
    size_t n = strcspn(*at, stops);

    if (n == 0 || n >= DK_SHORTEST_SIZE)
        return false;
    memcpy(text, *at, n);
    text[n] = '\0';
    *at += n;
    return true;
}

static int take_i64(const char **at, const char *stops, int64_t lo, int64_t hi, const char *whole,
                    int64_t *out, dk_err *err)
{
    char text[DK_SHORTEST_SIZE];

    if (!number(at, stops, text))
        return bad_text(whole, err);
    if (dk_parse_i64(text, lo, hi, "feature encoding", out, err))
        err->code = DK_EFORMAT; /* the text is part of a file, not of a command line */
    return err->code;
}

static int take_f64(const char **at, double lo, const char *whole, double *out, dk_err *err)
{
    char text[DK_SHORTEST_SIZE];

    if (!number(at, ";", text))
        return bad_text(whole, err);
    if (dk_parse_f64(text, lo, 1e300, "feature encoding", out, err))
        err->code = DK_EFORMAT;
    return err->code;
}

static int check_distinct(const dk_encoding *e, int c, dk_err *err)
{
    place *p = places_of(e, c, err);
    int rc = p ? 0 : err->code;

    for (int k = 1; !rc && k < e->width[c]; k++)
        if (p[k].value == p[k - 1].value)
            rc = dk_fail(err, DK_EFORMAT, "feature encoding: label %" PRId32 " twice in column %d",
                         p[k].value, c);
    free(p);
    return rc;
}

static int parse_column(dk_encoding *e, int c, const char **at, const char *whole, dk_err *err)
{
    size_t n = 1;
    int64_t value;

    for (const char *p = *at; *p && *p != '|'; p++)
        n += *p == ',';
    if (n > MAX_WIDTH)
        return dk_fail(err, DK_EFORMAT, "feature encoding: %zu label values, at most %d", n,
                       MAX_WIDTH);
    e->values[c] = dk_graph_array(n, sizeof **e->values, "label values", err);
    if (!e->values[c])
        return err->code;
    for (size_t k = 0; k < n; k++) {
        if ((k > 0 && !take(at, ",")))
            return bad_text(whole, err);
        if (take_i64(at, ",|", INT32_MIN, INT32_MAX, whole, &value, err))
            return err->code;
        e->values[c][e->width[c]++] = (int32_t)value;
    }
    return check_distinct(e, c, err);
}

static int parse_columns(dk_encoding *e, const char *at, const char *whole, dk_err *err)
{
    int64_t attributes, width;
    int columns = 0;

    if (take_i64(&at, ";", 0, MAX_COLUMNS, whole, &attributes, err))
        return err->code;
    if (take(&at, ";labels=")) {
        columns = 1;
        for (const char *p = at; *p; p++)
            columns += *p == '|' && columns < MAX_COLUMNS;
    }
    if (reserve(e, (int)attributes, columns, err))
        return err->code;
    width = attributes;
    for (int c = 0; c < columns; c++) {
        if (c > 0 && !take(&at, "|"))
            return bad_text(whole, err);
        if (parse_column(e, c, &at, whole, err))
            return err->code;
        width += e->width[c];
    }
    return *at || width == 0 || width > INT32_MAX ? bad_text(whole, err) : 0;
}

int dk_encoding_parse(dk_encoding *e, const char *text, dk_err *err)
{
    const char *at = text;
    int64_t max;
    int rc;

    *e = (dk_encoding){0};
    if (take(&at, "degree=onehot;max=")) {
        e->kind = DK_FEAT_DEGREE_ONEHOT;
        rc = take_i64(&at, "", 0, MAX_WIDTH - 1, text, &max, err);
        e->max_degree = rc ? 0 : (int32_t)max;
    } else if (take(&at, "degree=std;mean=")) {
        e->kind = DK_FEAT_DEGREE_STD;
        rc = take_f64(&at, 0, text, &e->degree_mean, err);
        if (!rc && !take(&at, ";std="))
            rc = bad_text(text, err);
        if (!rc)
            rc = take_f64(&at, 1e-300, text, &e->degree_std, err);
        if (!rc && *at)
            rc = bad_text(text, err);
    } else if (take(&at, "attributes=")) {
        rc = parse_columns(e, at, text, err);
    } else {
        rc = bad_text(text, err);
    }
    if (rc)
        dk_encoding_free(e);
    return rc;
}
