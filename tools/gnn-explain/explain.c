/* gnn-explain explain: scores of every edge, and the explanation they give. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/explain/eig.h"
#include "gx.h"
#include "io/csv.h"

static const char usage[] =
    "gnn-explain explain -m MODEL -d DATA --method NAME -o scores.csv [--summary s.json] [options]";
static const char summary_text[] =
    "Writes one row per directed edge: its score, rank, and whether it belongs to the explanation.\n"
    "Methods: eig goat grad gradxinput ig gradcam sa occlusion deeplift gnn-lrp gnnexplainer\n"
    "pgexplainer subgraphx rgexplainer random.";
static const char footer[] =
    "Columns: graph (or node), src, dst, score of the class explained, score_cK of every class where\n"
    "the method has them, rank from 0, kept; eig adds prob_drop. Sharded parts: gnn-explain merge.\n"
    "Example:\n"
    "  gnn-explain explain -m models/gnn/mutag-gin.safetensors -d MUTAG --method eig \\\n"
    "      --sparsity 0.7 --ids 0,5,10-20 -o scores.csv --summary s.json";

typedef struct explain_run {
    const gx_options *o;
    const gx_method *m;
    dk_csv_writer csv;
    dk_csv_writer times;
    json_t *instances;
    double *sum;     /* [classes + 1][4]: fid+, fid-, overall, sparsity; the last row is overall */
    int64_t *count;  /* [classes + 1] */
    int64_t edgeless, kept, mispredicted;
} explain_run;

static void write_header(explain_run *x, const gx_job *j)
{
    dk_csv_writer *w = &x->csv;
    char name[32];

    dk_csv_str(w, gx_node_task(j) ? "node" : "graph");
    dk_csv_str(w, "src");
    dk_csv_str(w, "dst");
    dk_csv_str(w, "score");
    for (int c = 0; c < j->model->c.classes && x->m->x->every_class; c++) {
        snprintf(name, sizeof name, "score_c%d", c);
        dk_csv_str(w, name);
    }
    dk_csv_str(w, "rank");
    dk_csv_str(w, "kept");
    if (x->m->x == &dk_explainer_eig && !gx_node_task(j))
        dk_csv_str(w, "prob_drop");
    dk_csv_end(w);
}

/* The number of node v of r->g as the data set calls it. */
static int64_t node_name(const gx_job *j, const gx_result *r, int32_t v)
{
    return gx_node_task(j) ? gx_public_id(j, r->node_of[v]) : v;
}

static void write_rows(explain_run *x, const gx_job *j, const gx_result *r)
{
    dk_csv_writer *w = &x->csv;
    int classes = j->model->c.classes;

    for (int32_t e = 0; e < r->g->e; e++) {
        dk_csv_i64(w, gx_public_id(j, r->item));
        dk_csv_i64(w, node_name(j, r, r->g->src[e]));
        dk_csv_i64(w, node_name(j, r, r->g->dst[e]));
        dk_csv_f64(w, r->ex.score[e]);
        for (int c = 0; c < classes && x->m->x->every_class; c++)
            dk_csv_f64(w, r->ex.score_c[(int64_t)e * classes + c]);
        dk_csv_i64(w, r->sel.rank[e]);
        dk_csv_i64(w, r->sel.kept[e]);
        if (r->ex.prob_drop)
            dk_csv_f64(w, r->ex.prob_drop[e]);
        dk_csv_end(w);
    }
    for (int32_t v = 0; r->ex.loop_score && v < r->g->n; v++) { /* the diagonal: scored, not ranked */
        dk_csv_i64(w, gx_public_id(j, r->item));
        dk_csv_i64(w, node_name(j, r, v));
        dk_csv_i64(w, node_name(j, r, v));
        dk_csv_f64(w, r->ex.loop_score[v]);
        for (int c = 0; c < classes && x->m->x->every_class; c++)
            dk_csv_str(w, "");
        dk_csv_str(w, "");
        dk_csv_i64(w, 0);
        dk_csv_end(w);
    }
}

static json_t *instance_json(const gx_job *j, const gx_result *r)
{
    json_t *o = json_object();
    const dk_instance *i = &r->inst;

    json_object_set_new(o, "id", json_integer(gx_public_id(j, r->item)));
    json_object_set_new(o, "label", i->label < 0 ? json_null() : json_integer(i->label));
    json_object_set_new(o, "prediction", json_integer(i->prediction));
    json_object_set_new(o, "target", json_integer(i->target));
    json_object_set_new(o, "probability",
                        gx_num(dk_probability(i->logits, j->model->c.classes, i->target)));
    json_object_set_new(o, "nodes", json_integer(r->g->n));
    json_object_set_new(o, "edges", json_integer(r->g->e));
    json_object_set_new(o, "cap", json_integer(r->sel.cap));
    json_object_set_new(o, "size", json_integer(r->sel.size));
    json_object_set_new(o, "fid_plus", gx_num(r->sel.fid_plus));
    json_object_set_new(o, "fid_minus", gx_num(r->sel.fid_minus));
    json_object_set_new(o, "overall", gx_num(r->sel.overall));
    json_object_set_new(o, "sparsity", gx_num(r->sel.sparsity));
    return o;
}

static void add_to_averages(explain_run *x, const gx_job *j, const gx_result *r)
{
    int classes = j->model->c.classes;
    const double v[4] = {r->sel.fid_plus, r->sel.fid_minus, r->sel.overall, r->sel.sparsity};

    for (int pass = 0; pass < 2; pass++) {
        int row = pass ? r->inst.label : classes;
        if (row < 0 || row > classes)
            continue;
        x->count[row]++;
        for (int k = 0; k < 4; k++)
            x->sum[4 * row + k] += v[k];
    }
}

static int done(void *ctx, gx_job *j, gx_result *r, dk_err *err)
{
    explain_run *x = ctx;

    (void)err;
    if (r->g->e == 0)
        x->edgeless++;
    if (r->inst.label >= 0 && r->inst.label != r->inst.prediction)
        x->mispredicted++;
    write_rows(x, j, r);
    json_array_append_new(x->instances, instance_json(j, r));
    if (r->g->e > 0)
        add_to_averages(x, j, r);
    x->kept += r->sel.size;
    if (x->times.f) {
        dk_csv_i64(&x->times, gx_public_id(j, r->item));
        dk_csv_i64(&x->times, r->g->e);
        dk_csv_f64(&x->times, r->seconds);
        dk_csv_end(&x->times);
    }
    return 0;
}

/* ---- Summary. */

static json_t *options_json(const gx_options *o, const gx_method *m)
{
    json_t *p = json_object(), *select = gx_select_json(o, "own");

    json_object_set_new(p, "method", json_string(m->x->name));
    json_object_set_new(p, "target", json_string(o->target));
    if (o->cls >= 0)
        json_object_set_new(p, "class", json_integer(o->cls));
    json_object_update(p, select);
    json_decref(select);
    json_object_set_new(p, "compat", json_integer(o->compat));
    json_object_set_new(p, "directed", json_boolean(o->directed));
    json_object_set_new(p, "mask_mode", json_string(o->mask_mode));
    json_object_set_new(p, "self_loops", json_string(o->self_loops));
    if (m->x == &dk_explainer_eig)
        json_object_set_new(p, "epsilon", json_real(o->params.epsilon));
    if (m->x == &dk_explainer_goat) {
        json_object_set_new(p, "hops", json_string(o->hops));
        json_object_set_new(p, "selfloop", json_string(o->selfloop));
        json_object_set_new(p, "calibration", json_boolean(!o->no_calibration));
    }
    if (m->x->random)
        json_object_set_new(p, "seed", json_integer((json_int_t)o->params.seed));
    if (o->epochs)
        json_object_set_new(p, "epochs", json_integer(o->epochs));
    return p;
}

static json_t *averages_row(const explain_run *x, int row)
{
    static const char *const key[4] = {"fid_plus", "fid_minus", "overall", "sparsity"};
    json_t *a = json_object();

    json_object_set_new(a, "n", json_integer(x->count[row]));
    for (int k = 0; k < 4; k++)
        json_object_set_new(a, key[k],
                            x->count[row] ? gx_num(x->sum[4 * row + k] / (double)x->count[row])
                                          : json_null());
    return a;
}

static json_t *summary_json(const explain_run *x, const gx_job *j)
{
    json_t *o = json_object(), *averages = json_object(), *per_class = json_object();
    char name[32];

    json_object_set_new(o, "schema", json_string("dk.explanation-summary/1"));
    json_object_set_new(o, "provenance", gx_provenance(j, "explain"));
    json_object_set_new(o, "options", options_json(x->o, x->m));
    json_object_set_new(o, "task", json_string(gx_node_task(j) ? "node" : "graph"));
    json_object_set(o, "instances", x->instances);
    json_object_set_new(averages, "all", averages_row(x, j->model->c.classes));
    for (int c = 0; c < j->model->c.classes; c++) {
        if (!x->count[c])
            continue;
        snprintf(name, sizeof name, "%d", c);
        json_object_set_new(per_class, name, averages_row(x, c));
    }
    json_object_set_new(averages, "per_class", per_class);
    json_object_set_new(o, "averages", averages);
    return o;
}

static void print_result(const explain_run *x, const gx_job *j)
{
    int all = j->model->c.classes;
    const double *s = x->sum + (ptrdiff_t)4 * all;
    double n = (double)(x->count[all] ? x->count[all] : 1);

    if (x->mispredicted)
        dk_warn("%lld of them are predicted wrongly; the class explained is the %s",
                (long long)x->mispredicted,
                strcmp(x->o->target, "pred") == 0 ? "prediction"
                : strcmp(x->o->target, "label") == 0 ? "label"
                                                     : "one given");
    if (gx_node_task(j))
        dk_info("%s: %lld nodes, %.1f edges kept on average", x->m->x->name, (long long)j->n,
                (double)x->kept / n);
    else
        dk_info("%s: %lld graphs, Fid+ %.4f, Fid- %.4f, overall %.4f, sparsity %.3f", x->m->x->name,
                (long long)j->n, s[0] / n, s[1] / n, s[2] / n, s[3] / n);
}

/* ---- Sets of edges (functional groups): one line "graph,src-dst,src-dst,...". */

/* One line: the graph, then edges. */
static int group_line(gx_job *j, char *line, const char *file, int lineno, dk_explain_worker *w,
                      dk_csv_writer *csv, dk_err *err)
{
    int32_t *set = NULL, n = 0, ptr[2] = {0, 0};
    dk_instance inst = {0};
    double score;
    int64_t id, a, b;
    char *save = NULL, *tok = strtok_r(line, ", \t\r\n", &save);

    if (!tok)
        return 0;
    if (dk_parse_i64(tok, 0, j->data.count - 1, "graph", &id, err))
        goto bad;
    const dk_graph *g = &j->data.graphs[id];
    set = dk_xmalloc(((size_t)g->e + 1) * sizeof *set);
    while ((tok = strtok_r(NULL, ", \t\r\n", &save)) != NULL) {
        char *dash = strchr(tok, '-');
        if (!dash) {
            dk_fail(err, DK_EFORMAT, "expected an edge such as 3-4, found \"%s\"", tok);
            goto bad;
        }
        *dash = '\0';
        if (dk_parse_i64(tok, 0, g->n - 1, "src", &a, err) ||
            dk_parse_i64(dash + 1, 0, g->n - 1, "dst", &b, err))
            goto bad;
        int32_t e = g->out_ptr[a];
        while (e < g->out_ptr[a + 1] && g->dst[e] != b)
            e++;
        if (e == g->out_ptr[a + 1]) {
            dk_fail(err, DK_EFORMAT, "graph %lld has no edge %lld-%lld", (long long)id, (long long)a,
                    (long long)b);
            goto bad;
        }
        if (n < g->e)
            set[n++] = e;
    }
    ptr[1] = n;
    if (n == 0) {
        dk_fail(err, DK_EFORMAT, "no edges");
        goto bad;
    }
    if (dk_instance_init(&inst, w, g, -1, id, gx_target_of(j, id), err) ||
        dk_eig_groups(w, &inst, j->o->params.epsilon, set, ptr, 1, &score, err))
        goto bad;
    dk_csv_i64(csv, id);
    dk_csv_i64(csv, lineno);
    dk_csv_i64(csv, n);
    dk_csv_f64(csv, score);
    dk_csv_end(csv);
bad:
    dk_instance_free(&inst);
    free(set);
    if (err->code) {
        err->code = err->code == DK_EUSAGE ? DK_EFORMAT : err->code;
        dk_wrap(err, "%s:%d", file, lineno);
    }
    return err->code;
}

static int explain_groups(gx_job *j, dk_err *err)
{
    const char *file = j->o->groups;
    dk_explain_worker w = {0};
    dk_out *out = NULL;
    char *text = NULL;
    size_t len;

    if (gx_node_task(j))
        return dk_fail(err, DK_EUNSUPPORTED, "--groups scores sets of edges of graph models only");
    if (dk_read_file(file, (size_t)64 << 20, &text, &len, err) ||
        dk_explain_worker_init(&w, j->model, err) ||
        !(out = dk_out_begin(j->o->output, j->o->force, err)))
        goto done;
    dk_csv_writer csv = {.f = dk_out_file(out)};
    dk_csv_str(&csv, "graph");
    dk_csv_str(&csv, "line");
    dk_csv_str(&csv, "edges");
    dk_csv_str(&csv, "score");
    dk_csv_end(&csv);
    int lineno = 0;
    for (char *s = text, *next; s && !err->code; s = next) {
        next = strchr(s, '\n');
        if (next)
            *next++ = '\0';
        group_line(j, s, file, ++lineno, &w, &csv, err);
    }
    if (!err->code) {
        dk_out_commit(out, err);
        out = NULL;
    }
done:
    dk_out_abort(out);
    dk_explain_worker_fini(&w);
    free(text);
    return err->code;
}

/* ---- The action. */

static int open_outputs(explain_run *x, const gx_job *j, dk_out **scores, dk_out **times, dk_err *err)
{
    if (x->o->summary && strcmp(x->o->summary, "-") != 0 &&
        dk_out_check(x->o->summary, x->o->force, err))
        return err->code;
    *scores = dk_out_begin(x->o->output, x->o->force, err);
    if (!*scores)
        return err->code;
    x->csv.f = dk_out_file(*scores);
    write_header(x, j);
    if (x->o->timings) {
        *times = dk_out_begin(x->o->timings, x->o->force, err);
        if (!*times)
            return err->code;
        x->times.f = dk_out_file(*times);
        dk_csv_str(&x->times, "id");
        dk_csv_str(&x->times, "edges");
        dk_csv_str(&x->times, "seconds");
        dk_csv_end(&x->times);
    }
    return 0;
}

static int explain_all(gx_job *j, const gx_method *m, const dk_select_options *sel, dk_err *err)
{
    explain_run x = {.o = j->o, .m = m};
    dk_out *scores = NULL, *times = NULL;
    size_t classes = (size_t)j->model->c.classes;
    unsigned want = GX_WANT_SELECT | GX_WANT_CLASSES | GX_WANT_NODES |
                    (gx_node_task(j) ? 0 : GX_WANT_PROB);

    x.sum = dk_xcalloc(4 * (classes + 1), sizeof *x.sum);
    x.count = dk_xcalloc(classes + 1, sizeof *x.count);
    x.instances = json_array();
    if (open_outputs(&x, j, &scores, &times, err) ||
        gx_run(j, m, sel, want, "explain", done, &x, err))
        goto out;
    if (x.edgeless)
        dk_warn("%lld graphs have no edge and so no rows", (long long)x.edgeless);
    int rc = dk_out_commit(scores, err);
    scores = NULL;
    if (!rc && times) {
        rc = dk_out_commit(times, err);
        times = NULL;
    }
    if (!rc && j->o->summary)
        rc = gx_write_json(summary_json(&x, j), j->o->summary, j->o->force, err);
    if (!rc && j->o->json)
        rc = gx_write_json(summary_json(&x, j), "-", true, err);
    if (!rc)
        print_result(&x, j);
out:
    dk_out_abort(scores);
    dk_out_abort(times);
    json_decref(x.instances);
    free(x.sum);
    free(x.count);
    return err->code;
}

static int check(const gx_options *o, dk_err *err)
{
    if (!o->output)
        return dk_fail(err, DK_EUSAGE, "-o FILE is needed: where the scores go (- for standard output)");
    if (strcmp(o->output, "-") == 0 && (o->json || (o->summary && strcmp(o->summary, "-") == 0)))
        return dk_fail(err, DK_EUSAGE, "scores and JSON cannot both go to standard output");
    if (o->groups && strcmp(o->method, "eig") != 0)
        return dk_fail(err, DK_EUSAGE, "--groups goes with --method eig");
    return 0;
}

int gx_explain(int argc, char **argv, dk_err *err)
{
    gx_options o;
    gx_job j = {0};
    gx_method m = {0};
    dk_opt t[GX_ROWS];
    int n = 0;

    gx_options_init(&o);
    gx_rows_data(t, &n, &o, true);
    gx_rows_pick(t, &n, &o);
    t[n++] = (dk_opt)DK_OPT_STR(0, "shard", &o.shard, "I/N", "only part I of N of them");
    gx_rows_method(t, &n, &o);
    t[n++] = (dk_opt)DK_OPT_STR(0, "method", &o.method, "NAME", "the explainer (default eig)");
    t[n++] = (dk_opt)DK_OPT_STR(0, "groups", &o.groups, "FILE",
                                "eig: score sets of edges instead, one \"graph,3-4,4-5\" a line");
    gx_rows_select(t, &n, &o);
    t[n++] = (dk_opt)DK_OPT_GROUP("Output");
    t[n++] = (dk_opt)DK_OPT_STR('o', "output", &o.output, "FILE", "scores (CSV); - is standard output");
    t[n++] = (dk_opt)DK_OPT_STR(0, "summary", &o.summary, "FILE",
                                "instances and averages as JSON, with provenance");
    t[n++] = (dk_opt)DK_OPT_STR(0, "timings", &o.timings, "FILE", "seconds of every instance (CSV)");
    gx_rows_run(t, &n, &o, true);
    int rc = gx_parse(&o, t, usage, summary_text, footer, argc, argv, NULL, err);
    if (rc)
        return rc < 0 ? rc : 0;
    if (gx_options_resolve(&o, err) || check(&o, err) || gx_job_open(&j, &o, err) ||
        gx_job_pick(&j, err))
        goto out;
    if (o.groups) {
        explain_groups(&j, err);
        goto out;
    }
    if (gx_method_open(&m, &j, o.method, o.explainer_file, err))
        goto out;
    dk_select_options sel = o.select;
    sel.rule = gx_size_rule(&o, m.x, j.model, "own");
    if (gx_node_task(&j)) {
        sel.search = false;
        if (!o.topk_given && !o.sparsity_given)
            sel.topk = 14;
    }
    explain_all(&j, &m, &sel, err);
out:
    gx_method_close(&m);
    gx_job_close(&j);
    return err->code;
}
