/* The cached forward pass of eig.c, shared by threads, and what a thread needs beside it. */
#ifndef DK_GRAPH_EXPLAIN_EIG_INTERNAL_H
#define DK_GRAPH_EXPLAIN_EIG_INTERNAL_H

#include "graph/explain/eig.h"

/* The forward pass, read-only once it is made. What belongs to a node lies together, because in a
 * large graph every row that a mask reaches is a miss of all caches: record v is v * stride, and
 * the rows of layer l are at fixed places in it. Rows that nothing will ask for have none (-1). */
typedef struct dk_eig_cache {
    int32_t n, classes;
    int layers;
    int64_t width[DK_GNN_MAX_LAYERS + 1]; /* of h; m and a of layer l have width[l] */
    int64_t stride;
    int64_t at_h[DK_GNN_MAX_LAYERS + 1], at_m[DK_GNN_MAX_LAYERS], at_a[DK_GNN_MAX_LAYERS];
    double *record;
    const double *x; /* h[0] */
    double *pooled;  /* graph task */
    int64_t pooled_width;
    double *logits; /* [1 or n, classes] */
    int32_t *best;  /* [width] row of the maximum, for max readouts */
} dk_eig_cache;

static inline const double *dk_eig_h_row(const dk_eig_cache *c, int l, int32_t v)
{
    return l == 0 ? c->x + v * c->width[0] : c->record + v * c->stride + c->at_h[l];
}

/* Where the message is the row itself, at_m is at_h. */
static inline const double *dk_eig_m_row(const dk_eig_cache *c, int l, int32_t v)
{
    return c->at_m[l] < 0 ? dk_eig_h_row(c, l, v) : c->record + v * c->stride + c->at_m[l];
}

static inline const double *dk_eig_a_row(const dk_eig_cache *c, int l, int32_t v)
{
    return c->record + v * c->stride + c->at_a[l];
}

/* Everything but the logits; frees what it has on failure. */
dk_eig_cache *dk_eig_cache_make(dk_explain_worker *w, const dk_gnn_input *in, dk_err *err);
void dk_eig_cache_free(dk_eig_cache *c); /* accepts NULL */
/* Whether the classifier of a node task sees all layers side by side. */
bool dk_eig_by_layers(const dk_gnn *m);
/* [rows, cols] doubles, freed by dk_free_aligned. */
double *dk_eig_reals(int64_t rows, int64_t cols, const char *what, dk_err *err);
enum { DK_EIG_BLOCK = 1024 }; /* rows that are pushed through the tape at a time */

/* A second state over the cache of `of`, for another thread's worker; `of` must outlive it. */
dk_eig *dk_eig_share(const dk_eig *of, dk_explain_worker *w, dk_err *err);
/* As dk_eig_masked, for the directed edges given and not their reverses (occlusion). */
int dk_eig_masked_directed(dk_eig *e, const int32_t *set, int32_t n, double *logits, dk_err *err);
/* Node task: the logits of one row; *changed tells whether the mask reaches it at all. */
int dk_eig_masked_row(dk_eig *e, const int32_t *set, int32_t n, bool directed, int32_t row,
                      double *logits, bool *changed, dk_err *err);
/* What a node of a node task outputs (E Sec. 5): softmax for gcn, raw logits for the others. */
void dk_eig_output(const dk_gnn *m, const double *logits, double *output);
/* || before - after ||_2 / change over the classes; class_score [classes] (or NULL) gets the signed
 * (before - after) / change. after NULL: nothing changed. */
double dk_eig_node_score(int32_t classes, const double *before, const double *after, double change,
                         double *class_score);
/* The weight change of an undirected edge at the base weight, counted once per pair. */
double dk_eig_change(const dk_graph *g, int32_t edge, double epsilon);

#endif
