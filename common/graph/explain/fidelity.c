/* Fidelity of explanations, in four published variants (see fidelity.h).
 *
 *   Fid+ = p(G)_y - p(G without H)_y,   Fid- = p(G)_y - p(H)_y          (E Def. 3.9) */
#include "graph/explain/fidelity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/explain/edge_sets_internal.h"
#include "graph/graph_internal.h"

/* Logits of the whole, of H alone and of the rest; owned: only, rest. */
typedef struct runs {
    const double *whole;
    double *only, *rest; /* rest NULL: undefined */
} runs;

static double *logit_array(const dk_explain_worker *w, int32_t n, dk_err *err)
{
    return dk_graph_array((size_t)n * (size_t)w->model->c.classes, sizeof(double), "logits", err);
}

/* ---- Subgraphs. */

int dk_fidelity_ends(dk_explain_worker *w, const dk_instance *inst, const int32_t *key,
                     const int32_t *end, int32_t n, double *plus, double *minus, dk_err *err)
{
    int32_t classes = w->model->c.classes, y = inst->target, each = inst->node < 0 ? 2 : 1;
    double p = dk_probability(inst->logits, classes, y);
    dk_edge_set *set = dk_graph_array((size_t)n * 2, sizeof *set, "subgraphs to try", err);
    double *z = logit_array(w, 2 * n, err);
    int rc = err->code;

    for (int32_t j = 0; !rc && j < n; j++) {
        set[each * j] = (dk_edge_set){INT32_MIN, end[j]};
        if (each == 2)
            set[2 * j + 1] = (dk_edge_set){end[j], INT32_MAX};
    }
    if (!rc)
        rc = dk_edge_sets_run(w, inst, key, set, each * n, z, NULL, err);
    for (int32_t j = 0; !rc && j < n; j++) {
        const double *only = z + (size_t)(each * j) * (size_t)classes, *rest = only + classes;
        minus[j] = p - dk_probability(only, classes, y);
        plus[j] = each == 2 ? p - dk_probability(rest, classes, y) : NAN;
    }
    free(set);
    free(z);
    return rc;
}

int dk_fidelity_prefix(dk_explain_worker *w, const dk_instance *inst, const int32_t *order,
                       int32_t k, double *plus, double *minus, dk_err *err)
{
    int32_t *rank = dk_graph_array((size_t)inst->g->e, sizeof *rank, "ranks", err);
    int rc = rank ? 0 : err->code;

    for (int32_t i = 0; rank && i < inst->g->e; i++)
        rank[order[i]] = i;
    if (!rc)
        rc = dk_fidelity_ends(w, inst, rank, &k, 1, plus, minus, err);
    free(rank);
    return rc;
}

/* key 0 for H, 1 for the rest. */
static int removed_runs(dk_explain_worker *w, const dk_instance *inst, const uint8_t *kept, runs *r,
                        dk_err *err)
{
    const dk_edge_set only = {0, 1}, rest = {1, 2};
    int32_t *key = dk_graph_array((size_t)inst->g->e, sizeof *key, "edges kept", err);
    int rc = key ? 0 : err->code;

    for (int32_t e = 0; key && e < inst->g->e; e++)
        key[e] = !kept[e];
    if (!rc)
        rc = dk_edge_sets_run(w, inst, key, &only, 1, r->only, NULL, err);
    if (!rc && r->rest)
        rc = dk_edge_sets_run(w, inst, key, &rest, 1, r->rest, NULL, err);
    free(key);
    return rc;
}

/* ---- Masks. */

/* All nodes stay; messages of edges with kept[e] != want are multiplied by 0. */
static int masked_run(dk_explain_worker *w, const dk_instance *inst, const uint8_t *kept, bool want,
                      double *logits, dk_err *err)
{
    size_t z = (size_t)w->model->c.classes * sizeof *logits;
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace out;

    if (inst->g->e == 0) {
        memcpy(logits, inst->logits, z);
        return 0;
    }
    double *mask = dk_graph_array((size_t)inst->g->e, sizeof *mask, "an edge mask", err);
    if (!mask)
        return err->code;
    for (int32_t e = 0; e < inst->g->e; e++)
        mask[e] = (kept[e] != 0) == want;
    dk_tape_restore(w->tape, w->base);
    dk_tape_record(w->tape, false);
    o.edge_mask = dk_leaf_view(w->tape, inst->g->e, 1, mask, false);
    o.mask_mode = DK_MASK_MESSAGE;
    o.node = inst->node;
    dk_gnn_run(w->model, w->tape, &w->vars, &inst->in, &o, &out);
    int rc = dk_tape_take(w->tape, err);
    if (!rc)
        memcpy(logits, dk_value64(w->tape, out.logits), z);
    dk_tape_record(w->tape, true);
    dk_tape_restore(w->tape, w->base);
    free(mask);
    return rc;
}

/* KL(q || p) of the original's probabilities q and the masked graph's p. */
static double unfaithfulness(const double *whole, const double *masked, int32_t classes)
{
    double kl = 0;

    for (int32_t c = 0; c < classes; c++) {
        double q = dk_probability(whole, classes, c);
        if (q > 0)
            kl += q * (dk_log_probability(whole, classes, c) -
                       dk_log_probability(masked, classes, c));
    }
    return kl > 0 ? -expm1(-kl) : 0;
}

/* ---- Variants. */

static double drop(const runs *r, const double *z, int32_t classes, int32_t y)
{
    return dk_probability(r->whole, classes, y) - dk_probability(z, classes, y);
}

/* |1(pred = y) - 1(pred' = y)| */
static double changed(const runs *r, const double *z, int32_t classes, int32_t y)
{
    return (dk_argmax(r->whole, classes) == y) != (dk_argmax(z, classes) == y);
}

static void signed_drops(dk_fidelity *f, const runs *r, int32_t classes, int32_t y)
{
    f->plus = f->plus_true = r->rest ? drop(r, r->rest, classes, y) : NAN;
    f->minus = f->minus_true = drop(r, r->only, classes, y);
}

static void hard(dk_fidelity *f, const runs *r, int32_t classes, const dk_instance *inst)
{
    int32_t prediction = dk_argmax(r->whole, classes);

    f->plus = dk_argmax(r->rest, classes) != prediction;
    f->minus = dk_argmax(r->only, classes) != prediction;
    f->plus_true = f->minus_true = NAN;
    if (inst->label >= 0) {
        f->plus_true = changed(r, r->rest, classes, inst->label);
        f->minus_true = changed(r, r->only, classes, inst->label);
    }
}

static void absolute(dk_fidelity *f, const runs *r, int32_t classes, const dk_instance *inst)
{
    int32_t prediction = dk_argmax(r->whole, classes);

    f->plus = fabs(drop(r, r->rest, classes, prediction));
    f->minus = fabs(drop(r, r->only, classes, prediction));
    f->plus_true = f->minus_true = NAN;
    if (inst->label >= 0 && inst->label < classes) {
        f->plus_true = fabs(drop(r, r->rest, classes, inst->label));
        f->minus_true = fabs(drop(r, r->only, classes, inst->label));
    }
}

static void fill(dk_fidelity *f, const runs *r, int32_t classes, const dk_instance *inst,
                 dk_fid_kind kind)
{
    if (kind == DK_FID_PYG)
        hard(f, r, classes, inst);
    else if (kind == DK_FID_GFX)
        absolute(f, r, classes, inst);
    else
        signed_drops(f, r, classes, inst->target);
    f->plus_acc = r->rest ? changed(r, r->rest, classes, inst->target) : NAN;
    f->minus_acc = changed(r, r->only, classes, inst->target);
}

int dk_fidelity_of(dk_explain_worker *w, const dk_instance *inst, const uint8_t *kept,
                   dk_fid_kind kind, dk_fidelity *out, dk_err *err)
{
    int32_t classes = w->model->c.classes;
    double *z = logit_array(w, 3, err);
    if (!z)
        return err->code;
    double *masked = z + 2 * (size_t)classes;
    bool removed = kind == DK_FID_UPSTREAM;
    runs r = {inst->logits, z, removed && inst->node >= 0 ? NULL : z + classes};
    int rc = masked_run(w, inst, kept, true, masked, err);

    if (!rc && removed) {
        rc = removed_runs(w, inst, kept, &r, err);
    } else if (!rc) {
        memcpy(r.only, masked, (size_t)classes * sizeof *masked);
        rc = masked_run(w, inst, kept, false, r.rest, err);
    }
    if (!rc) {
        fill(out, &r, classes, inst, kind);
        out->unfaithfulness = unfaithfulness(inst->logits, masked, classes);
    }
    free(z);
    return rc;
}

/* ---- Sets of nodes. */

/* Rows of the nodes in the set, and of all padding. */
static int32_t rows_of_set(const dk_instance *inst, const uint8_t *kept, bool want, int32_t *row)
{
    int32_t n = 0;

    for (int32_t v = 0; v < inst->in.n; v++)
        if (v >= inst->g->n || (kept[v] != 0) == want)
            row[n++] = v;
    return n;
}

static dk_var pool_set(dk_explain_worker *w, const dk_gnn_trace *out, const int32_t *row,
                       const int32_t *ptr)
{
    dk_var rows = dk_final_rows(w->model, w->tape, out->h);
    dk_var chosen = dk_gather_rows(w->tape, rows, row, ptr[1]);
    return dk_pool_rows(w->model, w->tape, chosen, ptr, 1, DK_NOVAR, DK_NOVAR);
}

/* Features of the nodes with kept[v] != want are zero; pooled over the others. */
static int node_set_run(dk_explain_worker *w, const dk_instance *inst, const uint8_t *kept,
                        bool want, double *logits, dk_err *err)
{
    const dk_gnn *m = w->model;
    size_t f = (size_t)m->c.features, cells = (size_t)inst->in.n * f;
    int32_t *row = dk_graph_array((size_t)inst->in.n, sizeof *row, "rows of a node set", err);
    double *x = dk_graph_array(cells, sizeof *x, "features of a node set", err);
    dk_gnn_options o = dk_gnn_options_default();
    dk_gnn_trace out;
    int rc = err->code;

    if (rc)
        goto out;
    int32_t ptr[2] = {0, rows_of_set(inst, kept, want, row)};
    for (int32_t v = 0; v < inst->in.n; v++) {
        bool zero = v < inst->g->n && (kept[v] != 0) != want;
        for (size_t j = 0; j < f; j++)
            x[(size_t)v * f + j] = zero ? 0 : inst->in.x[(size_t)v * f + j];
    }
    dk_tape_restore(w->tape, w->base);
    dk_tape_record(w->tape, false);
    o.x = dk_leaf_view(w->tape, inst->in.n, m->c.features, x, false);
    o.node = inst->node;
    o.layers_only = inst->node < 0;
    dk_gnn_run(m, w->tape, &w->vars, &inst->in, &o, &out);
    dk_var z = out.logits, lin1;
    if (inst->node < 0) {
        dk_var pooled = pool_set(w, &out, row, ptr);
        z = dk_gnn_classify(m, w->tape, &w->vars, &o, pooled, &lin1);
    }
    rc = dk_tape_take(w->tape, err);
    if (!rc)
        memcpy(logits, dk_value64(w->tape, z), (size_t)m->c.classes * sizeof *logits);
    dk_tape_record(w->tape, true);
    dk_tape_restore(w->tape, w->base);
out:
    free(row);
    free(x);
    return rc;
}

int dk_fidelity_nodes(dk_explain_worker *w, const dk_instance *inst, const uint8_t *node_kept,
                      double *plus, double *minus, dk_err *err)
{
    int32_t classes = w->model->c.classes;
    double *z = logit_array(w, 2, err);
    if (!z)
        return err->code;
    runs r = {inst->logits, z, z + classes};
    int rc = node_set_run(w, inst, node_kept, true, r.only, err);

    if (!rc)
        rc = node_set_run(w, inst, node_kept, false, r.rest, err);
    if (!rc) {
        *plus = drop(&r, r.rest, classes, inst->target);
        *minus = drop(&r, r.only, classes, inst->target);
    }
    free(z);
    return rc;
}

/* ---- Numbers made of fidelities. */

static double finite_or_nan(double x)
{
    return isfinite(x) ? x : NAN;
}

double dk_characterization(double fid_plus, double fid_minus)
{
    return finite_or_nan(1 / (.5 / fid_plus + .5 / (1 - fid_minus)));
}

double dk_fidelity_curve_auc(const double *x, const double *plus, const double *minus, int n)
{
    double area = 0;

    for (int i = 1; i < n; i++)
        area += (x[i] - x[i - 1]) *
                (plus[i] / (1 - minus[i]) + plus[i - 1] / (1 - minus[i - 1])) / 2;
    return finite_or_nan(area);
}
