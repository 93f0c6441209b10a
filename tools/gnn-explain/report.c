/* What evaluate says: a table for people, CSV and JSON for programs, curves by gnuplot. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/proc.h"
#include "draw.h"
#include "evaluate.h"
#include "io/csv.h"

static int classes_of(const ev_result *r)
{
    return r->j->model->c.classes;
}

static const ev_row *row_of(const ev_result *r, int method, int cap, int cls)
{
    return r->method[method].row + cap * (classes_of(r) + 1) + cls;
}

/* ---- For people. */

static void cell(FILE *f, double v, const char *format)
{
    if (isnan(v))
        fprintf(f, " | -");
    else
        fprintf(f, format, v);
}

/* The same table with the time of an instance, which does not belong into a file that equal runs
 * must write equally. */
static void print_table(const ev_result *r, FILE *f, bool times)
{
    const ev_options *x = r->x;
    bool node = gx_node_task(r->j);

    fprintf(f, "| method | cap | n | Fid+ | Fid- | overall | sparsity%s | AUC%s |\n",
            node ? "" : " | unfaithfulness", times ? " | s/instance" : "");
    fprintf(f, "|---|---|---|---|---|---|---%s|---%s|\n", node ? "" : "|---", times ? "|---" : "");
    for (int m = 0; m < r->n; m++) {
        for (int c = 0; c < x->caps_n; c++) {
            const ev_row *w = row_of(r, m, c, classes_of(r));
            fprintf(f, "| %s | %g | %lld", r->method[m].name, x->cap[c], (long long)w->n);
            cell(f, w->fid_plus, " | %.4f");
            cell(f, w->fid_minus, " | %.4f");
            cell(f, w->overall, " | %.4f");
            cell(f, w->sparsity, " | %.3f");
            if (!node)
                cell(f, w->unfaithfulness, " | %.4f");
            cell(f, r->method[m].auc, " | %.4f");
            if (times)
                fprintf(f, " | %.2g", r->method[m].seconds);
            fputs(" |\n", f);
        }
    }
}

void ev_print(const ev_result *r, FILE *f)
{
    print_table(r, f, true);
}

static void table_md(const ev_result *r, FILE *f)
{
    print_table(r, f, false);
}

/* ---- For programs. */

static void put_f64(dk_csv_writer *w, double v)
{
    if (isnan(v))
        dk_csv_str(w, "");
    else
        dk_csv_f64(w, v);
}

static void header(dk_csv_writer *w, const char *const *names)
{
    for (int i = 0; names[i]; i++)
        dk_csv_str(w, names[i]);
    dk_csv_end(w);
}

static void fidelity_csv(const ev_result *r, FILE *f)
{
    static const char *const names[] = {"method", "cap", "class", "n", "fid_plus", "fid_minus",
                                        "overall", "sparsity", "fid_plus_accuracy",
                                        "fid_minus_accuracy", "unfaithfulness", NULL};
    dk_csv_writer w = {.f = f};

    header(&w, names);
    for (int m = 0; m < r->n; m++)
        for (int c = 0; c < r->x->caps_n; c++)
            for (int y = classes_of(r); y >= 0; y--) {
                const ev_row *row = row_of(r, m, c, y);
                char name[24] = "all";
                if (y < classes_of(r))
                    snprintf(name, sizeof name, "%d", y);
                if (row->n == 0 && y < classes_of(r))
                    continue;
                dk_csv_str(&w, r->method[m].name);
                dk_csv_f64(&w, r->x->cap[c]);
                dk_csv_str(&w, name);
                dk_csv_i64(&w, row->n);
                put_f64(&w, row->fid_plus);
                put_f64(&w, row->fid_minus);
                put_f64(&w, row->overall);
                put_f64(&w, row->sparsity);
                put_f64(&w, row->fid_plus_acc);
                put_f64(&w, row->fid_minus_acc);
                put_f64(&w, row->unfaithfulness);
                dk_csv_end(&w);
            }
}

static void methods_csv(const ev_result *r, FILE *f)
{
    static const char *const names[] = {"method", "cap", "auc", "auc_graphs", "top_precision",
                                        "node_accuracy", "discriminability", "coverage",
                                        "stability", "instability", NULL};
    dk_csv_writer w = {.f = f};

    header(&w, names);
    for (int m = 0; m < r->n; m++)
        for (int c = 0; c < r->x->caps_n; c++) {
            const ev_method *e = &r->method[m];
            dk_csv_str(&w, e->name);
            dk_csv_f64(&w, r->x->cap[c]);
            put_f64(&w, e->auc);
            dk_csv_i64(&w, e->auc_graphs);
            put_f64(&w, e->top_precision);
            put_f64(&w, e->node_accuracy);
            put_f64(&w, e->discriminability[c]);
            put_f64(&w, e->coverage[c]);
            put_f64(&w, e->stability);
            put_f64(&w, e->instability);
            dk_csv_end(&w);
        }
}

/* Share of a class's graphs that its k most frequent explanations cover (G Sec. 4), first cap. */
static void coverage_csv(const ev_result *r, FILE *f)
{
    enum { MOST = 500 };
    static const char *const names[] = {"method", "cap", "class", "k", "graphs", "coverage", NULL};
    dk_csv_writer w = {.f = f};

    header(&w, names);
    for (int m = 0; m < r->n; m++)
        for (int y = 0; y < classes_of(r); y++) {
            const ev_method *e = &r->method[m];
            int64_t sum = 0;
            for (int64_t k = 0; k < e->groups[y] && k < MOST; k++) {
                sum += e->group[y][k];
                dk_csv_str(&w, e->name);
                dk_csv_f64(&w, r->x->cap[0]);
                dk_csv_i64(&w, y);
                dk_csv_i64(&w, k + 1);
                dk_csv_i64(&w, sum);
                dk_csv_f64(&w, (double)sum / (double)e->members[y]);
                dk_csv_end(&w);
            }
        }
}

/* Distances of the class means of the explanations' embeddings, every pair (G Sec. 4). */
static void discriminability_csv(const ev_result *r, FILE *f)
{
    static const char *const names[] = {"method", "cap", "class_a", "class_b", "distance", NULL};
    dk_csv_writer w = {.f = f};
    int n = classes_of(r);

    header(&w, names);
    for (int m = 0; m < r->n; m++)
        for (int c = 0; c < r->x->caps_n; c++)
            for (int a = 0; a < n; a++)
                for (int b = a + 1; b < n; b++) {
                    dk_csv_str(&w, r->method[m].name);
                    dk_csv_f64(&w, r->x->cap[c]);
                    dk_csv_i64(&w, a);
                    dk_csv_i64(&w, b);
                    put_f64(&w, r->method[m].pair[((int64_t)c * n + a) * n + b]);
                    dk_csv_end(&w);
                }
}

static void timings_csv(const ev_result *r, FILE *f)
{
    static const char *const names[] = {"method", "instances", "seconds_per_instance",
                                        "training_seconds", NULL};
    dk_csv_writer w = {.f = f};

    header(&w, names);
    for (int m = 0; m < r->n; m++) {
        dk_csv_str(&w, r->method[m].name);
        dk_csv_i64(&w, r->method[m].instances);
        dk_csv_f64(&w, r->method[m].seconds);
        dk_csv_f64(&w, r->method[m].train_seconds);
        dk_csv_end(&w);
    }
}

static json_t *row_json(const ev_row *row)
{
    json_t *o = json_object();

    json_object_set_new(o, "n", json_integer(row->n));
    json_object_set_new(o, "fid_plus", gx_num(row->fid_plus));
    json_object_set_new(o, "fid_minus", gx_num(row->fid_minus));
    json_object_set_new(o, "overall", gx_num(row->overall));
    json_object_set_new(o, "sparsity", gx_num(row->sparsity));
    json_object_set_new(o, "fid_plus_accuracy", gx_num(row->fid_plus_acc));
    json_object_set_new(o, "fid_minus_accuracy", gx_num(row->fid_minus_acc));
    json_object_set_new(o, "unfaithfulness", gx_num(row->unfaithfulness));
    json_object_set_new(o, "characterization",
                        gx_num(dk_characterization(row->fid_plus, row->fid_minus)));
    return o;
}

static json_t *cap_json(const ev_result *r, int m, int c)
{
    json_t *o = json_object(), *per_class = json_object();
    char name[24];

    json_object_set_new(o, "cap", json_real(r->x->cap[c]));
    json_object_set_new(o, "all", row_json(row_of(r, m, c, classes_of(r))));
    for (int y = 0; y < classes_of(r); y++) {
        if (row_of(r, m, c, y)->n == 0)
            continue;
        snprintf(name, sizeof name, "%d", y);
        json_object_set_new(per_class, name, row_json(row_of(r, m, c, y)));
    }
    json_object_set_new(o, "per_class", per_class);
    json_object_set_new(o, "discriminability", gx_num(r->method[m].discriminability[c]));
    json_object_set_new(o, "coverage", gx_num(r->method[m].coverage[c]));
    return o;
}

static json_t *motifs_json(const ev_result *r, const ev_method *e)
{
    json_t *a = json_array();

    for (int64_t i = 0; i < classes_of(r) * r->x->motifs; i++) {
        const ev_motif *m = &e->motif[i];
        if (m->members == 0)
            continue;
        json_t *o = json_object();
        json_object_set_new(o, "class", json_integer(m->cls));
        json_object_set_new(o, "coverage", json_real((double)m->members / (double)m->instances));
        json_object_set_new(o, "graphs", json_integer(m->members));
        json_object_set_new(o, "example", json_integer(gx_public_id(r->j, m->item)));
        json_object_set_new(o, "edges", json_integer(m->edges));
        json_array_append_new(a, o);
    }
    return a;
}

static json_t *method_json(const ev_result *r, int m, bool timings)
{
    const ev_method *e = &r->method[m];
    json_t *o = json_object(), *caps = json_array();

    json_object_set_new(o, "method", json_string(e->name));
    json_object_set_new(o, "auc", gx_num(e->auc));
    json_object_set_new(o, "auc_graphs", json_integer(e->auc_graphs));
    json_object_set_new(o, "top_precision", gx_num(e->top_precision));
    json_object_set_new(o, "node_accuracy", gx_num(e->node_accuracy));
    if (r->x->stability) {
        json_object_set_new(o, "stability", gx_num(e->stability));
        json_object_set_new(o, "instability", gx_num(e->instability));
    }
    for (int c = 0; c < r->x->caps_n; c++)
        json_array_append_new(caps, cap_json(r, m, c));
    json_object_set_new(o, "caps", caps);
    if (r->x->motifs)
        json_object_set_new(o, "motifs", motifs_json(r, e));
    if (timings) {
        json_object_set_new(o, "seconds_per_instance", gx_num(e->seconds));
        json_object_set_new(o, "training_seconds", gx_num(e->train_seconds));
    }
    return o;
}

json_t *ev_json(const ev_result *r, bool timings)
{
    const ev_options *x = r->x;
    json_t *o = json_object(), *opt = gx_select_json(&x->o, "eig"), *methods = json_array();

    json_object_del(opt, "sparsity"); /* the caps take its place */
    json_object_set_new(opt, "caps", json_string(x->caps));
    json_object_set_new(opt, "fidelity", json_string(x->fidelity));
    json_object_set_new(opt, "target", json_string(x->o.target));
    json_object_set_new(opt, "seed", json_integer((json_int_t)x->o.params.seed));
    json_object_set_new(opt, "auc_scope", json_string(x->auc_scope));
    json_object_set_new(o, "schema", json_string("dk.explainer-evaluation/1"));
    json_object_set_new(o, "provenance", gx_provenance(r->j, "evaluate"));
    json_object_set_new(o, "options", opt);
    json_object_set_new(o, "instances", json_integer(r->j->n));
    json_object_set_new(o, "whole_graph_discriminability", gx_num(r->whole_discriminability));
    for (int m = 0; m < r->n; m++)
        json_array_append_new(methods, method_json(r, m, timings));
    json_object_set_new(o, "methods", methods);
    return o;
}

/* ---- Curves. */

typedef struct curve {
    const char *file, *label;
    double (*value)(const ev_row *);
} curve;
static double overall_of(const ev_row *w) { return w->overall; }
static double plus_of(const ev_row *w) { return w->fid_plus; }
static double minus_of(const ev_row *w) { return w->fid_minus; }

/* A string for gnuplot: in single quotes only a quote is special, doubled; a line must not end. */
static void put_quoted(dk_buf *b, const char *s)
{
    dk_buf_putc(b, '\'');
    for (; *s; s++) {
        if (*s == '\'')
            dk_buf_putc(b, '\'');
        dk_buf_putc(b, (unsigned char)*s < 32 ? ' ' : *s);
    }
    dk_buf_putc(b, '\'');
}

/* gnuplot's program: one line per method over the achieved sparsity. Returns the number of methods
 * that have points. */
static int plot_text(const ev_result *r, const curve *c, dk_buf *b)
{
    dk_buf plot = {0};
    int lines = 0;

    dk_buf_printf(b,
                  "set terminal svg size 640,440 font 'DejaVu Sans,12' background rgb 'white'\n"
                  "set encoding utf8\nset key outside right top\nset grid lc rgb '#dddddd'\n"
                  "set xlabel 'achieved sparsity'\nset ylabel '%s'\n"
                  "set border 3\nset tics nomirror\nset title ",
                  c->label);
    put_quoted(b, r->j->data.name);
    dk_buf_puts(b, " noenhanced\n");
    for (int m = 0; m < r->n; m++) {
        int points = 0;
        dk_buf_printf(b, "$m%d << EOD\n", m);
        for (int k = 0; k < r->x->caps_n; k++) {
            const ev_row *w = row_of(r, m, k, classes_of(r));
            if (w->n && isfinite(c->value(w))) {
                dk_buf_printf(b, "%.9g %.9g\n", w->sparsity, c->value(w));
                points++;
            }
        }
        dk_buf_puts(b, "EOD\n");
        if (points == 0)
            continue;
        dk_buf_printf(&plot, "%s$m%d using 1:2 with linespoints lw 2 pt %d lt %d title '%s' noenhanced",
                      lines++ ? ", " : "plot ", m, 4 + m % 11, m + 1, r->method[m].name);
    }
    dk_buf_printf(b, "%s\n", dk_buf_str(&plot));
    dk_buf_free(&plot);
    return lines;
}

static int write_text(const char *dir, const char *name, const void *data, size_t len, bool force,
                      dk_err *err)
{
    char *path = dk_path_join(dir, name);
    dk_out *out = dk_out_begin(path, force, err);

    if (out) {
        fwrite(data, 1, len, dk_out_file(out));
        dk_out_commit(out, err);
    }
    free(path);
    return err->code;
}

static int write_curves(const ev_result *r, dk_err *err)
{
    static const curve curves[] = {{"overall.svg", "Fid+ - Fid-", overall_of},
                                   {"fid_plus.svg", "Fid+", plus_of},
                                   {"fid_minus.svg", "Fid-", minus_of}};
    static const char *const argv[] = {"gnuplot", "-", NULL};

    if (!dk_have_program("gnuplot")) {
        dk_warn("no curves: gnuplot is not installed");
        return 0;
    }
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        dk_buf text = {0}, svg = {0};
        if (plot_text(r, &curves[i], &text) == 0)
            dk_warn("no %s: nothing to plot", curves[i].file);
        else if (dk_run_filter(argv, text.data, text.len, (size_t)64 << 20, &svg, err) == 0)
            write_text(r->x->report, curves[i].file, svg.data, svg.len, r->x->o.force, err);
        dk_buf_free(&text);
        dk_buf_free(&svg);
        if (err->code)
            return err->code;
    }
    return 0;
}

/* ---- Motifs: the first graph that has one, with the explanation marked. */

static int draw_motif(const ev_result *r, const char *method, const ev_motif *m, int64_t place,
                      const gx_looks *looks, dk_err *err)
{
    const dk_graph *g = &r->j->data.graphs[m->item];
    uint8_t *shown = dk_xmalloc((size_t)g->n + 1), *scored = dk_xcalloc((size_t)g->e + 1, 1);
    char *title = dk_xasprintf("%s, class %d, explanation %lld: %.1f %% of %lld graphs (graph %lld)",
                               method, m->cls, (long long)place + 1,
                               100.0 * (double)m->members / (double)m->instances,
                               (long long)m->instances, (long long)m->item);
    char *name = dk_xasprintf("motif-%s-class%d-%lld.svg", method, m->cls, (long long)place + 1);
    dk_buf dot = {0}, svg = {0};

    memset(shown, 1, (size_t)g->n + 1);
    const gx_drawing p = {.g = g, .looks = looks, .graph = (int32_t)m->item, .shown = shown,
                          .kept = m->kept, .present = scored, .target = -1, .marked = true,
                          .title = title};
    gx_dot_write(&dot, &p);
    if (gx_dot_render(&dot, g->n, "svg", &svg, err) == 0)
        write_text(r->x->report, name, svg.data, svg.len, r->x->o.force, err);
    dk_buf_free(&dot);
    dk_buf_free(&svg);
    free(title);
    free(name);
    free(shown);
    free(scored);
    return err->code;
}

static int draw_motifs(const ev_result *r, dk_err *err)
{
    gx_looks looks = {0};

    if (!dk_have_program("neato")) {
        dk_warn("no pictures of explanations: graphviz (neato) is not installed");
        return 0;
    }
    if (gx_looks_make(&looks, &r->j->data, NULL, false, err))
        return err->code;
    for (int i = 0; i < r->n && !err->code; i++)
        for (int64_t k = 0; k < classes_of(r) * r->x->motifs && !err->code; k++)
            if (r->method[i].motif[k].kept)
                draw_motif(r, r->method[i].name, &r->method[i].motif[k], k % r->x->motifs, &looks, err);
    gx_looks_free(&looks);
    return err->code;
}

/* ---- The folder. */

static int write_csv(const ev_result *r, const char *name, void (*fill)(const ev_result *, FILE *),
                     dk_err *err)
{
    char *path = dk_path_join(r->x->report, name);
    dk_out *out = dk_out_begin(path, r->x->o.force, err);

    if (out) {
        fill(r, dk_out_file(out));
        dk_out_commit(out, err);
    }
    free(path);
    return err->code;
}

static int write_summary(const ev_result *r, dk_err *err)
{
    char *path = dk_path_join(r->x->report, "summary.json");
    int rc = gx_write_json(ev_json(r, false), path, r->x->o.force, err);
    free(path);
    return rc;
}

int ev_report(const ev_result *r, dk_err *err)
{
    const char *dir = r->x->report;

    if (mkdir(dir, 0777) && errno != EEXIST)
        return dk_fail_errno(err, "%s", dir);
    if (!dk_is_dir(dir))
        return dk_fail(err, DK_EFAIL, "%s: not a directory", dir);
    if (write_csv(r, "fidelity.csv", fidelity_csv, err) ||
        write_csv(r, "methods.csv", methods_csv, err) ||
        write_csv(r, "coverage.csv", coverage_csv, err) ||
        write_csv(r, "discriminability.csv", discriminability_csv, err) ||
        write_csv(r, "table.md", table_md, err) || write_csv(r, "timings.csv", timings_csv, err) ||
        write_summary(r, err))
        return err->code;
    if (gx_node_task(r->j))
        return 0;
    if (r->x->motifs > 0 && draw_motifs(r, err))
        return err->code;
    return write_curves(r, err);
}
