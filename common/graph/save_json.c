/* A data set as dk.gnn-dataset/1, written as it goes: one graph a line, numbers with the fewest
 * digits that read back equal (see dataset.h, graph_json.c). */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "graph/dataset_internal.h"
#include "io/json.h"
#include "io/shortest_internal.h"

static void put_f64(FILE *f, double v)
{
    char s[DK_SHORTEST_SIZE];
    dk_shortest_f64(v, s);
    fputs(s, f);
    if (v == 0 && signbit(v))
        fputs(".0", f); /* "-0" would be read as the integer 0 */
}

static const char *comma(int64_t i)
{
    return i ? ", " : "";
}

static int put_name(FILE *f, const char *name, dk_err *err)
{
    json_t *s = json_string(name);
    dk_buf b = {0};

    if (!s)
        return dk_fail(err, DK_EFORMAT, "name of the data set: expected UTF-8");
    dk_json_dump(&b, s, false);
    fputs(dk_buf_str(&b), f);
    dk_buf_free(&b);
    json_decref(s);
    return 0;
}

static void put_splits(FILE *f, const dk_dataset *d)
{
    static const char *const names[] = {"null", "\"train\"", "\"val\"", "\"test\""};
    int64_t n = d->task == DK_TASK_NODE ? d->graphs[0].n : d->count;

    fputs(" \"split\": [", f);
    for (int64_t i = 0; i < n; i++)
        fprintf(f, "%s%s", comma(i), names[d->split[i]]);
    fputs("],\n", f);
}

static void put_edges(FILE *f, const dk_graph *g)
{
    fprintf(f, "\"nodes\": %" PRId32 ", \"edges\": [", g->n);
    for (int32_t e = 0; e < g->e; e++)
        fprintf(f, "%s[%" PRId32 ", %" PRId32 "]", comma(e), g->src[e], g->dst[e]);
    putc(']', f);
    if (g->weight) {
        fputs(", \"edge_weight\": [", f);
        for (int32_t e = 0; e < g->e; e++) {
            fputs(comma(e), f);
            put_f64(f, g->weight[e]);
        }
        putc(']', f);
    }
    if (g->gt) {
        fputs(", \"edge_gt\": [", f);
        for (int32_t e = 0; e < g->e; e++)
            fprintf(f, "%s%d", comma(e), g->gt[e]);
        putc(']', f);
    }
}

static void put_columns(FILE *f, const dk_dataset *d, int32_t i)
{
    int a = d->attributes, l = d->label_columns;
    int32_t n = d->graphs[i].n;

    if (d->attr) {
        fputs(", \"x\": [", f);
        for (int32_t v = 0; v < n; v++) {
            fprintf(f, "%s[", comma(v));
            for (int c = 0; c < a; c++) {
                fputs(comma(c), f);
                put_f64(f, d->attr[i][(size_t)v * (size_t)a + (size_t)c]);
            }
            putc(']', f);
        }
        putc(']', f);
    }
    if (d->labels) {
        fputs(", \"node_labels\": [", f);
        for (int32_t v = 0; v < n; v++) {
            fprintf(f, "%s%s", comma(v), l > 1 ? "[" : "");
            for (int c = 0; c < l; c++)
                fprintf(f, "%s%" PRId32, comma(c), d->labels[i][(size_t)v * (size_t)l + (size_t)c]);
            fputs(l > 1 ? "]" : "", f);
        }
        putc(']', f);
    }
}

static void put_classes(FILE *f, const dk_dataset *d, const dk_graph *g)
{
    if (g->label >= 0)
        fprintf(f, ", \"label\": %" PRId64, d->class_value[g->label]);
    if (d->task == DK_TASK_NODE && g->y) {
        fputs(", \"y\": [", f);
        for (int32_t v = 0; v < g->n; v++) {
            fputs(comma(v), f);
            if (g->y[v] < 0)
                fputs("null", f);
            else
                fprintf(f, "%" PRId64, d->class_value[g->y[v]]);
        }
        putc(']', f);
    }
    if (d->task == DK_TASK_NODE && d->node_id) {
        fputs(", \"node_id\": [", f);
        for (int32_t v = 0; v < g->n; v++)
            fprintf(f, "%s%" PRId64, comma(v), d->node_id[v]);
        putc(']', f);
    }
}

int dk_dataset_write_json(const dk_dataset *d, FILE *f, dk_err *err)
{
    fputs("{\"schema\": \"dk.gnn-dataset/1\",\n \"name\": ", f);
    if (put_name(f, d->name, err))
        return err->code;
    fprintf(f, ",\n \"task\": \"%s\",\n \"classes\": [",
            d->task == DK_TASK_NODE ? "node" : "graph");
    for (int32_t c = 0; c < d->classes; c++)
        fprintf(f, "%s%" PRId64, comma(c), d->class_value[c]);
    fputs("],\n", f);
    if (d->split)
        put_splits(f, d);
    fputs(" \"graphs\": [\n", f);
    for (int32_t i = 0; i < d->count; i++) {
        fprintf(f, "%s  {", i ? ",\n" : "");
        put_edges(f, &d->graphs[i]);
        put_columns(f, d, i);
        put_classes(f, d, &d->graphs[i]);
        putc('}', f);
    }
    fputs("\n]}\n", f);
    return 0;
}

int dk_dataset_save_json(const dk_dataset *d, const char *path, bool force, dk_err *err)
{
    dk_out *o = dk_out_begin(path, force, err);

    if (!o)
        return err->code;
    if (dk_dataset_write_json(d, dk_out_file(o), err)) {
        dk_out_abort(o);
        return err->code;
    }
    return dk_out_commit(o, err);
}
