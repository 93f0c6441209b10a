/* How good an explanation is: fidelity in four published variants, unfaithfulness, ground truth,
 * embeddings. Probabilities p are softmax outputs; H the directed edges of the explanation. */
#ifndef DK_GRAPH_EXPLAIN_FIDELITY_H
#define DK_GRAPH_EXPLAIN_FIDELITY_H

#include "graph/explain/explain.h"

/* Cached pieces for many H on one instance. */
typedef enum {
    DK_FID_UPSTREAM, /* edge-induced: only H / without H, pooling over the nodes with an edge
                        (E Def. 3.9) */
    DK_FID_DIG,      /* messages times 0 or 1, all nodes pooled; signed */
    DK_FID_PYG,      /* hard predictions, "model" (1 - same prediction) and "phenomenon" */
    DK_FID_GFX       /* absolute differences of probabilities (GraphFramEx) */
} dk_fid_kind;

typedef struct dk_fidelity {
    double plus, minus;           /* Fid+, Fid- of the target class (pyg: model type; gfx:
                                     predicted label) */
    double plus_true, minus_true; /* pyg: phenomenon type; gfx: true label; else as above */
    double plus_acc, minus_acc;   /* |1(pred = y) - 1(pred' = y)| */
    double unfaithfulness;        /* 1 - exp(-KL(masked || original)), H only, messages masked */
} dk_fidelity;
/* kept [e]. Node task with upstream: plus is NaN (the node itself cannot be removed). */
int dk_fidelity_of(dk_explain_worker *w, const dk_instance *inst, const uint8_t *kept,
                   dk_fid_kind kind, dk_fidelity *out, dk_err *err);
/* The two numbers the size search needs, upstream's variant, for the first k edges of `order`. */
int dk_fidelity_prefix(dk_explain_worker *w, const dk_instance *inst, const int32_t *order,
                       int32_t k, double *plus, double *minus, dk_err *err);
/* Node sets: `only` zeroes the features of other nodes and pools over the set, `rest` the
 * reverse. */
int dk_fidelity_nodes(dk_explain_worker *w, const dk_instance *inst, const uint8_t *node_kept,
                      double *plus, double *minus, dk_err *err);
/* PyG: 1 / (w+/Fid+ + w-/(1 - Fid-)), both weights .5; NaN where undefined. */
double dk_characterization(double fid_plus, double fid_minus);
/* PyG: trapezoid of Fid+/(1 - Fid-) over x. */
double dk_fidelity_curve_auc(const double *x, const double *plus, const double *minus, int n);

/* ROC AUC of pooled pairs (score, truth); ties count half; NaN if one class is missing. */
double dk_roc_auc(const double *score, const uint8_t *truth, int64_t n);

/* Embedding of an explanation (G Sec. 4): convolutions on H only, mean over its nodes, lin1
 * (gcn before, the others after the ReLU); H NULL: the whole graph. [hidden] doubles. */
int dk_explanation_embedding(dk_explain_worker *w, const dk_instance *inst, const uint8_t *kept,
                             double *embedding, dk_err *err);
/* L2 distance of the class means. emb [n, d], label [n] (0 or 1, else ignored). */
double dk_discriminability(const double *emb, const int32_t *label, int64_t n, int64_t d, int32_t a,
                           int32_t b);
/* Mean over the dimensions of the unbiased variance within class `which`; NaN for fewer than
 * two. */
double dk_class_variance(const double *emb, const int32_t *label, int64_t n, int64_t d,
                         int32_t which);
/* Groups of equal embeddings (rounded to 1e-4) within one class, by descending size, then first
 * member. group[i] of every instance of the class, else -1; sizes [n] or NULL; returns the number,
 * < 0 on error. */
int64_t dk_coverage_groups(const double *emb, const int32_t *label, int64_t n, int64_t d,
                           int32_t which, int32_t *group, int64_t *sizes, dk_err *err);
/* E Def. 3.1: components with at least one edge / all components. Either set may be NULL (none):
 * chosen nodes bring all edges between them, chosen edges bring their ends. NaN for nothing. */
double dk_intuitiveness(const dk_graph *g, const uint8_t *node_kept, const uint8_t *edge_kept);

#endif
