/* Data sets as TU folders and as nodes.csv with edges.csv (see dataset.h). All files of a set are
 * written to temporaries first and renamed one after the other at the end. What a format cannot
 * hold is refused, so that what was saved reads back equal. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/dataset_internal.h"
#include "io/csv.h"
#include "io/shortest_internal.h"

typedef struct outputs {
    dk_out *out[TU_FILES];
    FILE *f[TU_FILES]; /* NULL: not part of this set */
    int n;
} outputs;

static void abort_all(outputs *o)
{
    for (int i = 0; i < o->n; i++)
        dk_out_abort(o->out[i]);
}

static int commit_all(outputs *o, dk_err *err)
{
    for (int i = 0; i < o->n; i++) {
        dk_out *out = o->out[i];
        o->out[i] = NULL;
        if (out && dk_out_commit(out, err)) {
            abort_all(o);
            return err->code;
        }
    }
    return 0;
}

static int open_output(outputs *o, int i, const char *path, bool force, dk_err *err)
{
    o->n = i + 1;
    o->out[i] = dk_out_begin(path, force, err);
    o->f[i] = o->out[i] ? dk_out_file(o->out[i]) : NULL;
    return err->code;
}

static void put_f64(FILE *f, double v)
{
    char s[DK_SHORTEST_SIZE];
    dk_shortest_f64(v, s);
    fputs(s, f);
}

/* ---- TU. */

/* The set's name as the beginning of file names: it may come from a file somebody sent. */
static char *safe_prefix(const char *name)
{
    char *s = dk_xstrdup(*name ? name : "set");

    for (char *p = s; *p; p++) {
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z');
        bool plain = letter || (*p >= '0' && *p <= '9') || strchr("._-", *p);
        if (!plain || (p == s && *p == '.'))
            *p = '_';
    }
    return s;
}

static bool any_gt(const dk_dataset *d)
{
    for (int32_t i = 0; i < d->count; i++)
        if (d->graphs[i].gt)
            return true;
    return false;
}

static int check_tu(const dk_dataset *d, dk_err *err)
{
    if (d->task != DK_TASK_GRAPH)
        return dk_fail(err, DK_EUSAGE,
                       "%s: a set with a class per node has no TU form; save it as "
                       "CSV or JSON",
                       d->name);
    for (int32_t i = 0; i < d->count; i++) {
        if (d->graphs[i].weight)
            return dk_fail(err, DK_EUNSUPPORTED,
                           "%s: graph %" PRId32 " has edge weights, which TU files cannot hold",
                           d->name, i);
        if (d->graphs[i].label < 0)
            return dk_fail(err, DK_EUNSUPPORTED,
                           "%s: graph %" PRId32 " has no label, which a TU folder needs", d->name,
                           i);
    }
    if (d->split)
        dk_warn("%s: TU files hold no train, val and test parts; left out", d->name);
    return dk_dataset_check_classes(d, "a TU folder", err);
}

static void put_tu_nodes(const dk_dataset *d, int32_t i, const outputs *o)
{
    int a = d->attributes, l = d->label_columns;

    for (int32_t v = 0; v < d->graphs[i].n; v++) {
        fprintf(o->f[TU_INDICATOR], "%" PRId32 "\n", i + 1);
        for (int c = 0; c < l; c++)
            fprintf(o->f[TU_NODE_LABELS], "%s%" PRId32 "%s", c ? ", " : "",
                    d->labels[i][(size_t)v * (size_t)l + (size_t)c], c + 1 == l ? "\n" : "");
        for (int c = 0; c < a; c++) {
            fputs(c ? ", " : "", o->f[TU_NODE_ATTRIBUTES]);
            put_f64(o->f[TU_NODE_ATTRIBUTES], d->attr[i][(size_t)v * (size_t)a + (size_t)c]);
        }
        if (a)
            putc('\n', o->f[TU_NODE_ATTRIBUTES]);
    }
}

static void put_tu(const dk_dataset *d, const outputs *o)
{
    int64_t first = 1;

    for (int32_t i = 0; i < d->count; i++) {
        const dk_graph *g = &d->graphs[i];
        fprintf(o->f[TU_GRAPH_LABELS], "%" PRId64 "\n", d->class_value[g->label]);
        for (int32_t e = 0; e < g->e; e++) {
            fprintf(o->f[TU_A], "%" PRId64 ", %" PRId64 "\n", first + g->src[e], first + g->dst[e]);
            if (o->f[TU_EDGE_GT])
                fprintf(o->f[TU_EDGE_GT], "%d\n", g->gt ? g->gt[e] : 0);
        }
        put_tu_nodes(d, i, o);
        first += g->n;
    }
}

int dk_dataset_save_tu(const dk_dataset *d, const char *dir, bool force, dk_err *err)
{
    outputs o = {0};

    if (check_tu(d, err))
        return err->code;
    char *prefix = safe_prefix(d->name), *stem = dk_path_join(dir, prefix);
    bool wanted[TU_FILES] = {true, true, true, d->labels, d->attr, any_gt(d)};
    for (int i = 0; !err->code && i < TU_FILES; i++) {
        char *path = dk_xasprintf("%s%s", stem, dk_tu_suffix[i]);
        if (wanted[i])
            open_output(&o, i, path, force, err);
        else if (dk_exists(path))
            dk_fail(err, DK_EUSAGE,
                    "%s: exists and would be read as part of the new set; remove it", path);
        free(path);
    }
    free(prefix);
    free(stem);
    if (err->code) {
        abort_all(&o);
        return err->code;
    }
    put_tu(d, &o);
    return commit_all(&o, err);
}

/* ---- CSV. */

static int check_csv(const dk_dataset *d, dk_err *err)
{
    if (d->task != DK_TASK_NODE)
        return dk_fail(err, DK_EUSAGE,
                       "%s: a set with a class per graph has no CSV form; save it "
                       "as TU or JSON",
                       d->name);
    if (d->label_columns)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: node labels beside classes, which nodes.csv cannot hold", d->name);
    if (d->graphs[0].n == 0)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: nodes.csv needs at least one node", d->name);
    return dk_dataset_check_classes(d, "nodes.csv", err);
}

static int64_t id_of(const dk_dataset *d, int32_t v)
{
    return d->node_id ? d->node_id[v] : v;
}

static void put_nodes(const dk_dataset *d, FILE *f)
{
    static const char *const splits[] = {"", "train", "val", "test"};
    const dk_graph *g = &d->graphs[0];
    dk_csv_writer w = {.f = f};

    dk_csv_str(&w, "id");
    if (g->y)
        dk_csv_str(&w, "label");
    if (d->split)
        dk_csv_str(&w, "split");
    for (int c = 0; c < d->attributes; c++) {
        char name[16];
        snprintf(name, sizeof name, "x%d", c);
        dk_csv_str(&w, name);
    }
    dk_csv_end(&w);
    for (int32_t v = 0; v < g->n; v++) {
        dk_csv_i64(&w, id_of(d, v));
        if (g->y && g->y[v] >= 0)
            dk_csv_i64(&w, d->class_value[g->y[v]]);
        else if (g->y)
            dk_csv_str(&w, "");
        if (d->split)
            dk_csv_str(&w, splits[d->split[v]]);
        for (int c = 0; c < d->attributes; c++)
            dk_csv_f64(&w, d->attr[0][(size_t)v * (size_t)d->attributes + (size_t)c]);
        dk_csv_end(&w);
    }
}

static void put_edges(const dk_dataset *d, FILE *f)
{
    const dk_graph *g = &d->graphs[0];
    dk_csv_writer w = {.f = f};

    dk_csv_str(&w, "src");
    dk_csv_str(&w, "dst");
    if (g->gt)
        dk_csv_str(&w, "gt");
    if (g->weight)
        dk_csv_str(&w, "weight");
    dk_csv_end(&w);
    for (int32_t e = 0; e < g->e; e++) {
        dk_csv_i64(&w, id_of(d, g->src[e]));
        dk_csv_i64(&w, id_of(d, g->dst[e]));
        if (g->gt)
            dk_csv_i64(&w, g->gt[e]);
        if (g->weight)
            dk_csv_f64(&w, g->weight[e]);
        dk_csv_end(&w);
    }
}

int dk_dataset_save_csv(const dk_dataset *d, const char *dir, bool force, dk_err *err)
{
    static const char *const names[] = {"nodes.csv", "edges.csv"};
    outputs o = {0};

    if (check_csv(d, err))
        return err->code;
    for (int i = 0; !err->code && i < 2; i++) {
        char *path = dk_path_join(dir, names[i]);
        open_output(&o, i, path, force, err);
        free(path);
    }
    if (err->code) {
        abort_all(&o);
        return err->code;
    }
    put_nodes(d, o.f[0]);
    put_edges(d, o.f[1]);
    return commit_all(&o, err);
}
