/* gnn-explain evaluate: explainers side by side on one model and data set. */
#include "evaluate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/explain/stability.h"

static const char usage[] =
    "gnn-explain evaluate -m MODEL -d DATA --methods eig,goat,... [--report DIR] [options]\n"
    "       gnn-explain evaluate -m MODEL -d DATA --scores scores.csv [--report DIR] [options]";
static const char summary_text[] =
    "Measures explainers: Fid+, Fid-, overall = Fid+ - Fid-, achieved sparsity, unfaithfulness at each\n"
    "cap; AUC against ground truth; discriminability and coverage; seconds.";
static const char footer[] =
    "--report DIR (made if missing) receives fidelity.csv, methods.csv, coverage.csv,\n"
    "discriminability.csv, table.md, summary.json, timings.csv, with gnuplot the curves as SVG, and with --motifs N the N most frequent\n"
    "explanations of each class as SVG (Graphviz).\n"
    "Example:\n"
    "  gnn-explain evaluate -m models/gnn/mutag-gin.safetensors -d MUTAG \\\n"
    "      --methods eig,goat,grad,ig,gradcam,random --caps 0.5,0.7,0.9 --report report";

/* ---- Measuring one item. */

typedef struct measure {
    dk_fidelity fid;
    double sparsity;
    bool counted; /* has edges */
} measure;

typedef struct truth_part {
    double *score;
    uint8_t *truth;
    int64_t n;
    double top_precision, node_accuracy, stability, instability;
} truth_part;

typedef struct ev_run {
    ev_result *res;
    ev_method *out;
    const gx_method *m;
    measure *measure;     /* [n][caps] */
    truth_part *part;     /* [n] */
    double *embedding;    /* [caps][n][hidden], or NULL */
    double *seconds;      /* [n] */
    int32_t *edges;       /* [n] kept at the first cap */
    uint8_t **kept;       /* [n] which ones, where motifs are wanted; else NULL */
    int32_t *motif;       /* node task: motif of every node of the whole graph, or NULL */
    int32_t *pairs;       /* undirected edges of every motif */
    dk_select_options sel;
} ev_run;

static bool wants_truth(const ev_options *x)
{
    return !x->gt || strcmp(x->gt, "none") != 0;
}

/* Score and truth of the instance's edges without self loops. */
static void truth_of_graph(truth_part *p, const gx_result *r)
{
    const dk_graph *g = r->g;
    bool any = false;

    for (int32_t e = 0; g->gt && e < g->e; e++)
        any |= g->gt[e] != 0;
    if (!any)
        return; /* only graphs with marked edges count */
    p->score = dk_xmalloc((size_t)g->e * sizeof *p->score);
    p->truth = dk_xmalloc((size_t)g->e);
    for (int32_t e = 0; e < g->e; e++) {
        if (g->src[e] == g->dst[e])
            continue;
        p->score[p->n] = r->ex.score[e];
        p->truth[p->n++] = g->gt[e] != 0;
    }
}

/* Precision of the top edges, as many as the motif has, and agreement of their nodes with it. */
static int top_of_node(truth_part *p, const ev_run *x, const gx_result *r, const uint8_t *truth,
                       dk_gt_scope scope, dk_err *err)
{
    const dk_graph *g = r->g;
    int32_t *order = dk_xmalloc(((size_t)g->e + 1) * sizeof *order);
    uint8_t *kept = dk_xcalloc((size_t)g->e + 1, 1), *touched = dk_xcalloc((size_t)g->n + 1, 1);
    uint8_t *member = dk_xcalloc((size_t)g->n + 1, 1);
    int32_t mine = x->motif[r->item], pairs = mine < 0 ? 0 : x->pairs[mine];

    if (pairs > 0 && dk_select_order(g, r->ex.score, DK_TIES_PAIR, order, err) == 0) {
        p->top_precision = dk_top_precision(g, order, truth, pairs);
        dk_top_edges(g, order, pairs, kept);
        dk_touched_nodes(g, kept, touched);
        dk_gt_nodes(x->motif, (int32_t)r->item, scope, r->node_of, g->n, member);
        p->node_accuracy = dk_node_accuracy(touched, member, g->n);
    }
    free(order);
    free(kept);
    free(touched);
    free(member);
    return err->code;
}

static int truth_of_node(truth_part *p, const ev_run *x, gx_job *j, const gx_result *r, dk_err *err)
{
    const dk_graph *whole = &j->data.graphs[0], *g = r->g;
    const ev_options *o = x->res->x;
    dk_gt_scope scope = o->gt && strcmp(o->gt, "any") == 0 ? DK_GT_ANY : DK_GT_OWN;
    bool everywhere = strcmp(o->auc_scope, "graph") == 0;
    size_t most = (size_t)(everywhere ? whole->e : g->e);
    uint8_t *truth = dk_xmalloc(most + 1);
    double *score = dk_xcalloc(most + 1, sizeof *score);

    dk_gt_edges(whole, x->motif, (int32_t)r->item, scope, r->edge_of, g->e, truth);
    if (top_of_node(p, x, r, truth, scope, err))
        goto out;
    p->score = dk_xmalloc(most * sizeof *p->score + 1);
    p->truth = dk_xmalloc(most + 1);
    if (everywhere) { /* edges beyond the neighbourhood have score 0 */
        for (int32_t e = 0; e < g->e; e++)
            score[r->edge_of[e]] = r->ex.score[e];
        dk_gt_edges(whole, x->motif, (int32_t)r->item, scope, NULL, whole->e, truth);
        g = whole;
    } else {
        memcpy(score, r->ex.score, (size_t)g->e * sizeof *score);
    }
    for (int32_t e = 0; e < g->e; e++) {
        if (g->src[e] == g->dst[e])
            continue;
        p->score[p->n] = score[e];
        p->truth[p->n++] = truth[e];
    }
out:
    free(truth);
    free(score);
    return err->code;
}

/* DIG's stability where there is a ground truth, GraphXAI's instability. */
static int measure_stability(const ev_run *x, gx_job *j, dk_explain_worker *w, const gx_result *r,
                             truth_part *p, dk_err *err)
{
    const dk_stability_options o = dk_stability_defaults();
    const dk_explain_params *params = &j->o->params;
    const dk_graph *g = r->g;
    uint8_t *truth = dk_xcalloc((size_t)g->e + 1, 1);
    dk_instability_result moved;

    if (gx_node_task(j) && x->motif)
        dk_gt_edges(&j->data.graphs[0], x->motif, (int32_t)r->item, DK_GT_OWN, r->edge_of, g->e, truth);
    else if (g->gt)
        memcpy(truth, g->gt, (size_t)g->e);
    int rc = dk_stability(x->m->x, w, x->m->state, &r->inst, params, r->ex.score, truth, &o,
                          &p->stability, err);
    if (!rc)
        rc = dk_instability(x->m->x, w, x->m->state, &r->inst, params, r->ex.score, &o, &moved, err);
    if (!rc)
        p->instability = moved.mean;
    free(truth);
    return rc;
}

static int measure_cap(ev_run *x, dk_explain_worker *w, gx_result *r, int cap, dk_err *err)
{
    const ev_options *o = x->res->x;
    measure *m = &x->measure[r->k * o->caps_n + cap];
    dk_select_options sel = x->sel;
    int64_t hidden = w->model->c.hidden;
    dk_selection s = {0};
    double start = dk_now();

    sel.sparsity = o->cap[cap];
    if (dk_select(&s, w, &r->inst, r->ex.score, r->ex.node_score, &sel, err))
        return err->code;
    x->seconds[r->k] += (dk_now() - start) / o->caps_n;
    m->sparsity = s.sparsity;
    m->counted = r->g->e > 0;
    int rc = !m->counted ? 0 : dk_fidelity_of(w, &r->inst, s.kept, o->kind, &m->fid, err);
    if (!rc && x->embedding && m->counted)
        rc = dk_explanation_embedding(w, &r->inst, s.kept,
                                      x->embedding + ((int64_t)cap * x->res->j->n + r->k) * hidden, err);
    if (cap == 0) {
        x->edges[r->k] = s.size;
        if (o->motifs > 0) { /* the selection's array changes hands */
            x->kept[r->k] = s.kept;
            s.kept = NULL;
        }
    }
    dk_selection_free(&s);
    return rc;
}

static int measure_item(void *ctx, gx_job *j, dk_explain_worker *w, gx_result *r, dk_err *err)
{
    ev_run *x = ctx;
    truth_part *p = &x->part[r->k];

    p->top_precision = p->node_accuracy = p->stability = p->instability = NAN;
    x->seconds[r->k] = r->seconds;
    for (int c = 0; c < x->res->x->caps_n; c++)
        if (measure_cap(x, w, r, c, err))
            return err->code;
    if (x->res->x->stability && r->g->e > 0 && measure_stability(x, j, w, r, p, err))
        return err->code;
    if (!wants_truth(x->res->x))
        return 0;
    if (gx_node_task(j))
        return x->motif ? truth_of_node(p, x, j, r, err) : 0;
    truth_of_graph(p, r);
    return 0;
}

/* ---- From items to means. */

static void add(ev_row *row, const measure *m)
{
    row->n++;
    row->fid_plus += m->fid.plus;
    row->fid_minus += m->fid.minus;
    row->fid_plus_acc += m->fid.plus_acc;
    row->fid_minus_acc += m->fid.minus_acc;
    row->unfaithfulness += m->fid.unfaithfulness;
    row->sparsity += m->sparsity;
}

static void mean(ev_row *row)
{
    double n = row->n ? (double)row->n : NAN;

    row->fid_plus /= n;
    row->fid_minus /= n;
    row->overall = row->fid_plus - row->fid_minus;
    row->fid_plus_acc /= n;
    row->fid_minus_acc /= n;
    row->unfaithfulness /= n;
    row->sparsity /= n;
}

static void fold_fidelity(const ev_run *x, const gx_job *j)
{
    int caps = x->res->x->caps_n, classes = j->model->c.classes;

    for (int c = 0; c < caps; c++) {
        ev_row *rows = x->out->row + c * (classes + 1);
        for (int64_t k = 0; k < j->n; k++) {
            const measure *m = &x->measure[k * caps + c];
            int32_t y = gx_label_of(j, j->item[k]);
            if (!m->counted)
                continue;
            add(&rows[classes], m);
            if (y >= 0 && y < classes)
                add(&rows[y], m);
        }
        for (int y = 0; y <= classes; y++)
            mean(&rows[y]);
    }
}

static int fold_truth(const ev_run *x, const gx_job *j, dk_err *err)
{
    int64_t total = 0, at = 0, tops = 0;
    double precision = 0, accuracy = 0;

    for (int64_t k = 0; k < j->n; k++)
        total += x->part[k].n;
    double *score = dk_alloc((size_t)(total + 1) * sizeof *score, "scores of all edges", err);
    uint8_t *truth = score ? dk_alloc((size_t)total + 1, "truth of all edges", err) : NULL;
    if (truth) {
        for (int64_t k = 0; k < j->n; k++) {
            const truth_part *p = &x->part[k];
            if (p->n) {
                memcpy(score + at, p->score, (size_t)p->n * sizeof *score);
                memcpy(truth + at, p->truth, (size_t)p->n);
                x->out->auc_graphs++;
            }
            at += p->n;
            if (!isnan(p->top_precision)) {
                precision += p->top_precision;
                accuracy += p->node_accuracy;
                tops++;
            }
        }
        x->out->auc = total ? dk_roc_auc(score, truth, total) : NAN;
        x->out->top_precision = tops ? precision / (double)tops : NAN;
        x->out->node_accuracy = tops ? accuracy / (double)tops : NAN;
    }
    dk_free_aligned(score);
    dk_free_aligned(truth);
    return err->code;
}

/* Mean over the items where it is defined. */
static void fold_stability(const ev_run *x, const gx_job *j)
{
    double sum[2] = {0};
    int64_t n[2] = {0};

    for (int64_t k = 0; k < j->n; k++) {
        const double v[2] = {x->part[k].stability, x->part[k].instability};
        for (int i = 0; i < 2; i++)
            if (!isnan(v[i])) {
                sum[i] += v[i];
                n[i]++;
            }
    }
    x->out->stability = n[0] ? sum[0] / (double)n[0] : NAN;
    x->out->instability = n[1] ? sum[1] / (double)n[1] : NAN;
}

/* Base nodes say nothing about motifs: classes 0 and 4 of the published node sets. */
static bool pair_counts(const gx_job *j, int a, int b)
{
    bool skip = gx_node_task(j) && j->model->c.classes > 2;
    return !skip || (a != 0 && a != 4 && b != 0 && b != 4);
}

static void fold_pairs(const ev_run *x, const gx_job *j, int c, const double *emb, const int32_t *label)
{
    int classes = j->model->c.classes, pairs = 0;
    double *pair = x->out->pair + (int64_t)c * classes * classes, sum = 0;

    for (int a = 0; a < classes; a++)
        for (int b = a + 1; b < classes; b++) {
            double v = dk_discriminability(emb, label, j->n, j->model->c.hidden, a, b);
            pair[a * classes + b] = v;
            if (pair_counts(j, a, b) && !isnan(v)) {
                sum += v;
                pairs++;
            }
        }
    x->out->discriminability[c] = pairs ? sum / pairs : NAN;
}

/* Discriminability and coverage at every cap, and the motifs at the first. */
static int fold_embeddings(const ev_run *x, const gx_job *j, dk_err *err)
{
    const ev_options *o = x->res->x;
    int classes = j->model->c.classes;
    int64_t d = j->model->c.hidden, n = j->n;
    int32_t *label = dk_xmalloc(((size_t)n + 1) * sizeof *label);
    int32_t *group = dk_xmalloc(((size_t)n + 1) * sizeof *group);
    int64_t *sizes = dk_xmalloc(((size_t)n + 1) * sizeof *sizes);

    for (int c = 0; c < o->caps_n && !err->code; c++) {
        const double *emb = x->embedding + (int64_t)c * n * d;
        for (int64_t k = 0; k < n; k++)
            label[k] = x->measure[k * o->caps_n + c].counted ? gx_label_of(j, j->item[k]) : -1;
        fold_pairs(x, j, c, emb, label);
        for (int32_t y = 0; y < classes && !err->code; y++) {
            int64_t groups = dk_coverage_groups(emb, label, n, d, y, group, sizes, err), members = 0;
            for (int64_t k = 0; k < n; k++)
                members += label[k] == y;
            if (c == 0 && groups > 0) {
                x->out->group[y] = dk_xmalloc((size_t)groups * sizeof *sizes);
                memcpy(x->out->group[y], sizes, (size_t)groups * sizeof *sizes);
                x->out->groups[y] = groups;
                x->out->members[y] = members;
            }
            if (y == 1 && groups > 0)
                x->out->coverage[c] = (double)sizes[0] / (double)members;
            for (int64_t g = 0; c == 0 && g < groups && g < o->motifs; g++) {
                ev_motif *m = &x->out->motif[y * o->motifs + g];
                int64_t k = 0;
                while (group[k] != g)
                    k++;
                *m = (ev_motif){y, sizes[g], members, j->item[k], x->edges[k], x->kept[k]};
                x->kept[k] = NULL;
            }
        }
    }
    free(label);
    free(group);
    free(sizes);
    return err->code;
}

static int fold(const ev_run *x, gx_job *j, dk_err *err)
{
    double seconds = 0;

    for (int64_t k = 0; k < j->n; k++)
        seconds += x->seconds[k];
    x->out->instances = j->n;
    x->out->seconds = j->n ? seconds / (double)j->n : 0;
    x->out->train_seconds = x->m->train_seconds;
    fold_fidelity(x, j);
    if (x->res->x->stability)
        fold_stability(x, j);
    if (fold_truth(x, j, err))
        return err->code;
    return x->embedding ? fold_embeddings(x, j, err) : 0;
}

/* ---- One method. */

static int node_motifs(ev_run *x, const gx_job *j, dk_err *err)
{
    const dk_graph *g = &j->data.graphs[0];

    if (!gx_node_task(j) || !g->gt || !wants_truth(x->res->x))
        return 0;
    x->motif = dk_xmalloc(((size_t)g->n + 1) * sizeof *x->motif);
    int32_t motifs = dk_gt_motifs(g, x->motif, err);
    if (motifs < 0)
        return err->code;
    x->pairs = dk_xcalloc((size_t)motifs + 1, sizeof *x->pairs);
    for (int32_t e = 0; e < g->e; e++) {
        bool once = g->src[e] != g->dst[e] && (g->rev[e] < 0 || e < g->rev[e]);
        bool marked = g->gt[e] || (g->rev[e] >= 0 && g->gt[g->rev[e]]);
        if (once && marked)
            x->pairs[x->motif[g->src[e]]]++;
    }
    return 0;
}

static void open_method(ev_method *out, const ev_options *o, const gx_job *j, const char *name)
{
    size_t classes = (size_t)j->model->c.classes;

    out->name = name;
    out->auc = out->top_precision = out->node_accuracy = out->stability = out->instability = NAN;
    out->group = dk_xcalloc(classes, sizeof *out->group);
    out->groups = dk_xcalloc(2 * classes, sizeof *out->groups);
    out->members = out->groups + classes;
    out->row = dk_xcalloc((size_t)o->caps_n * (classes + 1), sizeof *out->row);
    out->discriminability = dk_xmalloc((size_t)o->caps_n * sizeof(double));
    out->coverage = dk_xmalloc((size_t)o->caps_n * sizeof(double));
    out->pair = dk_xcalloc((size_t)o->caps_n * classes * classes, sizeof(double));
    for (int c = 0; c < o->caps_n; c++)
        out->discriminability[c] = out->coverage[c] = NAN;
    out->motif = dk_xcalloc(classes * (size_t)o->motifs + 1, sizeof *out->motif);
}

static int run_method(ev_result *res, gx_job *j, const gx_method *m, dk_err *err)
{
    const ev_options *o = res->x;
    size_t n = (size_t)j->n, caps = (size_t)o->caps_n;
    ev_run x = {.res = res, .out = &res->method[res->n], .m = m, .sel = o->o.select};
    char label[64];

    x.sel.rule = gx_size_rule(&o->o, m->x, j->model, "eig");
    if (gx_node_task(j))
        x.sel.search = false;
    if (!m->x || !m->x->node_scored) /* --induce node is for those that score nodes */
        x.sel.induce = DK_INDUCE_EDGE;
    open_method(x.out, o, j, m->name);
    x.measure = dk_xcalloc(n * caps + 1, sizeof *x.measure);
    x.part = dk_xcalloc(n + 1, sizeof *x.part);
    x.seconds = dk_xcalloc(n + 1, sizeof *x.seconds);
    x.edges = dk_xcalloc(n + 1, sizeof *x.edges);
    x.kept = dk_xcalloc(n + 1, sizeof *x.kept);
    if (node_motifs(&x, j, err))
        goto out;
    if (j->model->c.classes > 1) {
        size_t bytes;
        if (!dk_mul(n * caps + 1, (size_t)j->model->c.hidden * sizeof(double), &bytes) ||
            !(x.embedding = dk_alloc(bytes, "embeddings", err))) {
            dk_fail(err, DK_ENOMEM, "embeddings of %zu explanations do not fit", n * caps);
            goto out;
        }
        memset(x.embedding, 0, bytes);
    }
    snprintf(label, sizeof label, "%s", m->name);
    if (gx_run_with(j, m, NULL, GX_WANT_NODES, label, measure_item, NULL, &x, err) == 0)
        fold(&x, j, err);
    res->n++;
out:
    for (size_t k = 0; k < n; k++) {
        free(x.part[k].score);
        free(x.part[k].truth);
        free(x.kept[k]);
    }
    free(x.kept);
    free(x.measure);
    free(x.part);
    free(x.seconds);
    free(x.edges);
    free(x.motif);
    free(x.pairs);
    dk_free_aligned(x.embedding);
    return err->code;
}

/* ---- Whole graphs, for comparison of discriminability. */

static int whole_graphs(ev_result *res, gx_job *j, dk_err *err)
{
    int64_t d = j->model->c.hidden;
    dk_explain_worker w;
    double *emb = dk_alloc((size_t)(j->n * d + 1) * sizeof *emb, "embeddings", err);
    int32_t *label = dk_xmalloc(((size_t)j->n + 1) * sizeof *label);

    res->whole_discriminability = NAN;
    if (!emb || dk_explain_worker_init(&w, j->model, err)) {
        free(label);
        dk_free_aligned(emb);
        return err->code;
    }
    for (int64_t k = 0; k < j->n && !err->code; k++) {
        dk_instance inst = {0};
        label[k] = gx_label_of(j, j->item[k]);
        if (dk_instance_init(&inst, &w, &j->data.graphs[j->item[k]], -1, j->item[k], -1, err) == 0)
            dk_explanation_embedding(&w, &inst, NULL, emb + k * d, err);
        if (err->code)
            gx_wrap_item(j, j->item[k], err);
        dk_instance_free(&inst);
    }
    if (!err->code)
        res->whole_discriminability = dk_discriminability(emb, label, j->n, d, 0, 1);
    dk_explain_worker_fini(&w);
    free(label);
    dk_free_aligned(emb);
    return err->code;
}

/* ---- Options. */

static int split_list(const char *text, char **copy, const char **item, int most, const char *what,
                      int *n, dk_err *err)
{
    char *save = NULL;

    *n = 0;
    *copy = dk_xstrdup(text);
    for (char *tok = strtok_r(*copy, ",", &save); tok; tok = strtok_r(NULL, ",", &save)) {
        if (*n == most)
            return dk_fail(err, DK_EUSAGE, "%s: more than %d entries", what, most);
        item[(*n)++] = tok;
    }
    return *n ? 0 : dk_fail(err, DK_EUSAGE, "%s: an empty list", what);
}

static int resolve(ev_options *x, char *text[2], dk_err *err)
{
    const char *cap[EV_MOST_CAPS];

    if (!x->methods == !x->scores)
        return dk_fail(err, DK_EUSAGE, "either --methods LIST or --scores FILE is needed");
    if (x->stability && x->scores)
        return dk_fail(err, DK_EUSAGE, "--stability needs --methods: scores of a file cannot be perturbed");
    if (gx_options_resolve(&x->o, err))
        return err->code;
    x->kind = strcmp(x->fidelity, "dig") == 0   ? DK_FID_DIG
              : strcmp(x->fidelity, "pyg") == 0 ? DK_FID_PYG
              : strcmp(x->fidelity, "gfx") == 0 ? DK_FID_GFX
                                                : DK_FID_UPSTREAM;
    if (x->methods &&
        split_list(x->methods, &text[0], x->name, EV_MOST_METHODS, "--methods", &x->methods_n, err))
        return err->code;
    if (split_list(x->caps, &text[1], cap, EV_MOST_CAPS, "--caps", &x->caps_n, err))
        return err->code;
    for (int i = 0; i < x->caps_n; i++)
        if (dk_parse_f64(cap[i], 0, 1, "--caps", &x->cap[i], err))
            return err->code;
    for (int i = 0; i < x->methods_n; i++)
        for (int k = 0; k < i; k++)
            if (strcmp(x->name[i], x->name[k]) == 0)
                return dk_fail(err, DK_EUSAGE, "--methods: %s is given twice", x->name[i]);
    for (int i = 0; i < x->methods_n; i++)
        if (!dk_explainer_find(x->name[i])) {
            gx_method m;
            return gx_method_open(&m, NULL, x->name[i], NULL, err); /* says which there are */
        }
    return 0;
}

static int check_truth(const ev_options *x, const gx_job *j, dk_err *err)
{
    if (!x->gt || strcmp(x->gt, "none") == 0)
        return 0;
    for (int32_t i = 0; i < j->data.count; i++)
        if (j->data.graphs[i].gt)
            return 0;
    return dk_fail(err, DK_EFORMAT, "--gt %s: %s holds no ground truth", x->gt, j->data.name);
}

/* With --scores: the items of the file (that the options allow). */
static int pick_given(gx_job *j, const dk_scores *s, dk_err *err)
{
    const gx_options *o = j->o;
    int64_t kept = 0;

    if (s->node_task != gx_node_task(j))
        return dk_fail(err, DK_EFORMAT, "%s: scores of %s, but the model classifies %s", s->name,
                       s->node_task ? "nodes" : "graphs", gx_node_task(j) ? "nodes" : "graphs");
    if (!o->ids && !o->nodes && o->cls < 0) {
        dk_buf list = {0};
        gx_options all = *o;
        for (int64_t i = 0; i < s->items; i++)
            dk_buf_printf(&list, "%s%lld", i ? "," : "", (long long)s->item_id[i]);
        if (s->items == 0)
            return 0;
        if (gx_node_task(j))
            all.nodes = dk_buf_str(&list);
        else
            all.ids = dk_buf_str(&list);
        j->o = &all;
        int rc = gx_job_pick(j, err);
        j->o = o;
        dk_buf_free(&list);
        if (rc) {
            err->code = DK_EFORMAT;
            return dk_wrap(err, "%s: scores of another data set?", s->name);
        }
        return 0;
    }
    if (gx_job_pick(j, err))
        return err->code;
    for (int64_t k = 0; k < j->n; k++)
        if (dk_scores_item(s, gx_public_id(j, j->item[k])) >= 0)
            j->item[kept++] = j->item[k];
    j->n = kept;
    return 0;
}

static void rows(dk_opt *t, int *n, ev_options *x)
{
    gx_rows_data(t, n, &x->o, true);
    gx_rows_pick(t, n, &x->o);
    const dk_opt mine[] = {
        DK_OPT_GROUP("What is measured"),
        DK_OPT_STR(0, "methods", &x->methods, "LIST", "explainers to compare, \"eig,goat,random\""),
        DK_OPT_STR(0, "scores", &x->scores, "FILE", "scores of another program or run instead"),
        DK_OPT_STR(0, "caps", &x->caps, "LIST", "sparsities (default 0.5,0.6,0.7,0.8,0.9)"),
        DK_OPT_ENUM(0, "fidelity", &x->fidelity, "upstream|dig|pyg|gfx",
                    "whose definition (default upstream: edges removed, nodes without edges not pooled)"),
        DK_OPT_ENUM(0, "gt", &x->gt, "edge_gt|own|any|none",
                    "ground truth: the data set's marks; node task: of the node's own motif (default) "
                    "or of any"),
        DK_OPT_ENUM(0, "auc-scope", &x->auc_scope, "hop|graph",
                    "node task: edges of the neighbourhood (default) or of the whole graph"),
        DK_OPT_INT(0, "motifs", &x->motifs, 0, 100, "N",
                   "the N most frequent explanations of each class, at the first cap"),
        DK_OPT_FLAG(0, "stability", &x->stability,
                    "also perturb every graph: stability of the AUC (DIG), instability of the mask "
                    "(GraphXAI)"),
        DK_OPT_STR(0, "report", &x->report, "DIR", "tables, curves and pictures"),
    };
    memcpy(t + *n, mine, sizeof mine);
    *n += (int)(sizeof mine / sizeof mine[0]);
    gx_rows_method(t, n, &x->o);
    gx_rows_select(t, n, &x->o);
    gx_rows_run(t, n, &x->o, true);
}

static void close_result(ev_result *r)
{
    for (int i = 0; i < r->n; i++) {
        free(r->method[i].row);
        free(r->method[i].discriminability);
        free(r->method[i].pair);
        free(r->method[i].coverage);
        for (int y = 0; y < r->j->model->c.classes; y++)
            free(r->method[i].group[y]);
        free(r->method[i].group);
        free(r->method[i].groups);
        for (int64_t k = 0; k < r->j->model->c.classes * r->x->motifs; k++)
            free(r->method[i].motif[k].kept);
        free(r->method[i].motif);
    }
}

static int evaluate_methods(ev_result *res, gx_job *j, const dk_scores *given, dk_err *err)
{
    const ev_options *x = res->x;

    if (!gx_node_task(j) && j->model->c.classes > 1 && whole_graphs(res, j, err))
        return err->code;
    if (given) {
        gx_method m = {.name = "scores", .given = given};
        return run_method(res, j, &m, err);
    }
    for (int i = 0; i < x->methods_n; i++) {
        gx_method m;
        if (gx_method_open(&m, j, x->name[i], x->o.explainer_file, err) == 0)
            run_method(res, j, &m, err);
        gx_method_close(&m);
        if (err->code)
            return err->code;
    }
    return 0;
}

static int finish(const ev_result *res, dk_err *err)
{
    if (res->x->report && ev_report(res, err))
        return err->code;
    if (res->x->o.json)
        return gx_write_json(ev_json(res, true), "-", true, err);
    ev_print(res, stdout);
    return 0;
}

int gx_evaluate(int argc, char **argv, dk_err *err)
{
    ev_options x = {.caps = "0.5,0.6,0.7,0.8,0.9", .fidelity = "upstream", .auc_scope = "hop"};
    gx_job j = {0};
    ev_result *res = NULL;
    dk_scores given = {0};
    char *text[2] = {NULL, NULL};
    dk_opt t[GX_ROWS];
    int n = 0;

    gx_options_init(&x.o);
    rows(t, &n, &x);
    int rc = gx_parse(&x.o, t, usage, summary_text, footer, argc, argv, NULL, err);
    if (rc)
        return rc < 0 ? rc : 0;
    if (resolve(&x, text, err) || (x.scores && dk_scores_load(&given, x.scores, err)) ||
        gx_job_open(&j, &x.o, err) || check_truth(&x, &j, err) ||
        (x.scores ? pick_given(&j, &given, err) : gx_job_pick(&j, err)))
        goto out;
    if (j.n == 0)
        dk_warn("nothing to evaluate: no %s fits the options", gx_node_task(&j) ? "node" : "graph");
    res = dk_xcalloc(1, sizeof *res);
    res->x = &x;
    res->j = &j;
    res->whole_discriminability = NAN;
    if (evaluate_methods(res, &j, x.scores ? &given : NULL, err) == 0)
        finish(res, err);
    close_result(res);
    free(res);
out:
    dk_scores_free(&given);
    gx_job_close(&j);
    free(text[0]);
    free(text[1]);
    return err->code;
}
