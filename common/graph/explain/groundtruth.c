/* See groundtruth.h; and the ROC AUC of fidelity.h. */
#include "graph/explain/groundtruth.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/fidelity.h"
#include "graph/graph_internal.h"

/* ---- Motifs. */

static bool is_true(const dk_graph *g, int32_t e)
{
    return g->gt && (g->gt[e] || (g->rev[e] >= 0 && g->gt[g->rev[e]]));
}

static void join(const dk_graph *g, int32_t e, int32_t u, int32_t id, int32_t *motif,
                 int32_t *stack, int32_t *top)
{
    if (motif[u] < 0 && is_true(g, e)) {
        motif[u] = id;
        stack[(*top)++] = u;
    }
}

/* All nodes that true edges, in either direction, join to v. */
static void flood(const dk_graph *g, int32_t v, int32_t id, int32_t *motif, int32_t *stack)
{
    int32_t top = 0;

    motif[v] = id;
    stack[top++] = v;
    while (top > 0) {
        v = stack[--top];
        for (int32_t e = g->out_ptr[v]; e < g->out_ptr[v + 1]; e++)
            join(g, e, g->dst[e], id, motif, stack, &top);
        for (int32_t k = g->in_ptr[v]; k < g->in_ptr[v + 1]; k++)
            join(g, g->in_edge[k], g->src[g->in_edge[k]], id, motif, stack, &top);
    }
}

static bool has_true_edge(const dk_graph *g, int32_t v)
{
    for (int32_t e = g->out_ptr[v]; e < g->out_ptr[v + 1]; e++)
        if (is_true(g, e))
            return true;
    for (int32_t k = g->in_ptr[v]; k < g->in_ptr[v + 1]; k++)
        if (is_true(g, g->in_edge[k]))
            return true;
    return false;
}

int32_t dk_gt_motifs(const dk_graph *g, int32_t *motif, dk_err *err)
{
    int32_t *stack = dk_graph_array((size_t)g->n, sizeof *stack, "motifs of a graph", err);
    int32_t motifs = 0;

    if (!stack)
        return err->code;
    for (int32_t v = 0; v < g->n; v++)
        motif[v] = -1;
    for (int32_t v = 0; g->gt && v < g->n; v++)
        if (motif[v] < 0 && has_true_edge(g, v))
            flood(g, v, motifs++, motif, stack);
    free(stack);
    return motifs;
}

void dk_gt_edges(const dk_graph *g, const int32_t *motif, int32_t node, dk_gt_scope scope,
                 const int32_t *edge_of, int32_t n, uint8_t *truth)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t e = edge_of ? edge_of[i] : i;
        truth[i] = is_true(g, e) && (scope == DK_GT_ANY || motif[g->src[e]] == motif[node]);
    }
}

void dk_gt_nodes(const int32_t *motif, int32_t node, dk_gt_scope scope, const int32_t *node_of,
                 int32_t n, uint8_t *truth)
{
    for (int32_t i = 0; i < n; i++) {
        int32_t v = node_of ? node_of[i] : i;
        truth[i] = motif[v] >= 0 && (scope == DK_GT_ANY || motif[v] == motif[node]);
    }
}

/* ---- Agreement. */

void dk_touched_nodes(const dk_graph *g, const uint8_t *kept, uint8_t *touched)
{
    memset(touched, 0, (size_t)g->n);
    for (int32_t e = 0; e < g->e; e++)
        if (kept[e])
            touched[g->src[e]] = touched[g->dst[e]] = 1;
}

static double ratio(int64_t a, int64_t b)
{
    return b > 0 ? (double)a / (double)b : NAN;
}

double dk_node_accuracy(const uint8_t *in_explanation, const uint8_t *truth, int64_t n)
{
    dk_confusion c = dk_confusion_of(in_explanation, truth, n);
    return ratio(c.tp + c.tn, n);
}

dk_confusion dk_confusion_of(const uint8_t *kept, const uint8_t *truth, int64_t n)
{
    dk_confusion c = {0};

    for (int64_t i = 0; i < n; i++) {
        c.tp += kept[i] && truth[i];
        c.fp += kept[i] && !truth[i];
        c.fn += !kept[i] && truth[i];
        c.tn += !kept[i] && !truth[i];
    }
    return c;
}

double dk_precision(dk_confusion c)
{
    return ratio(c.tp, c.tp + c.fp);
}

double dk_recall(dk_confusion c)
{
    return ratio(c.tp, c.tp + c.fn);
}

double dk_f1(dk_confusion c)
{
    return ratio(2 * c.tp, 2 * c.tp + c.fp + c.fn);
}

double dk_jaccard(dk_confusion c)
{
    return (double)c.tp / ((double)(c.tp + c.fp + c.fn) + 1e-9);
}

double dk_jaccard_edges(const uint8_t *kept, const uint8_t *const *truth, int alternatives,
                        int64_t n)
{
    double best = NAN;

    for (int a = 0; a < alternatives; a++)
        best = fmax(best, dk_jaccard(dk_confusion_of(kept, truth[a], n)));
    return best;
}

double dk_jaccard_nodes(const double *score, const uint8_t *const *truth, int alternatives,
                        int64_t n, double share)
{
    double best = NAN, largest = -INFINITY;

    for (int64_t i = 0; i < n; i++)
        largest = fmax(largest, score[i]);
    for (int a = 0; a < alternatives; a++) {
        dk_confusion c = {0};
        for (int64_t i = 0; i < n; i++) {
            bool chosen = score[i] > share * largest;
            c.tp += chosen && truth[a][i];
            c.fp += chosen && !truth[a][i];
            c.fn += !chosen && truth[a][i];
        }
        best = fmax(best, dk_jaccard(c));
    }
    return best;
}

void dk_top_edges(const dk_graph *g, const int32_t *order, int32_t undirected, uint8_t *kept)
{
    memset(kept, 0, (size_t)g->e);
    for (int32_t i = 0; i < g->e && undirected > 0; i++) {
        int32_t e = order[i];
        if (kept[e])
            continue;
        kept[e] = 1;
        if (g->rev[e] >= 0)
            kept[g->rev[e]] = 1;
        undirected--;
    }
}

double dk_top_precision(const dk_graph *g, const int32_t *order, const uint8_t *truth,
                        int32_t undirected)
{
    int64_t hits = 0;
    uint8_t *kept = malloc(g->e > 0 ? (size_t)g->e : 1);

    if (!kept)
        return NAN;
    dk_top_edges(g, order, undirected, kept);
    for (int32_t e = 0; e < g->e; e++)
        hits += kept[e] && truth[e] && (g->rev[e] < 0 || e <= g->rev[e]);
    free(kept);
    return ratio(hits, undirected);
}

/* ---- ROC AUC. */

typedef struct pair {
    double score;
    uint8_t truth;
} pair;

static int by_score(const void *a, const void *b)
{
    double x = ((const pair *)a)->score, y = ((const pair *)b)->score;
    return (x > y) - (x < y);
}

/* The Mann-Whitney count: pairs (true, false) in the right order, ties half; over sorted scores,
 * one run of equal scores at a time. */
static double mann_whitney(const pair *p, size_t n, double positives, double negatives)
{
    double below = 0, wins = 0;

    for (size_t i = 0, j; i < n; i = j) {
        double pos = 0, neg = 0;
        for (j = i; j < n && p[j].score <= p[i].score; j++) {
            pos += p[j].truth;
            neg += !p[j].truth;
        }
        wins += pos * (below + neg / 2);
        below += neg;
    }
    return wins / (positives * negatives);
}

double dk_roc_auc(const double *score, const uint8_t *truth, int64_t n)
{
    size_t bytes, count = n > 0 ? (size_t)n : 0;
    double positives = 0, auc = NAN;
    bool valid = true;
    pair *p = count && dk_mul(count, sizeof *p, &bytes) ? malloc(bytes) : NULL;

    if (!p)
        return NAN;
    for (size_t i = 0; i < count; i++) {
        p[i] = (pair){score[i], truth[i] != 0};
        positives += p[i].truth;
        valid &= !isnan(score[i]);
    }
    if (valid && positives > 0 && positives < (double)count) {
        qsort(p, count, sizeof *p, by_score);
        auc = mann_whitney(p, count, positives, (double)count - positives);
    }
    free(p);
    return auc;
}
