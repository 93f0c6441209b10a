/* How little an explanation moves when the graph does: two published perturbation measures. Draws
 * depend on (params seed, instance id, perturbation) only. */
#ifndef DK_GRAPH_EXPLAIN_STABILITY_H
#define DK_GRAPH_EXPLAIN_STABILITY_H

#include "graph/explain/explain.h"

typedef struct dk_stability_options {
    int perturbations;    /* 0: stability 10, instability 25 (tries) */
    int nodes;            /* stability: nodes added each time, 2 */
    double noise;         /* instability: standard deviation of what is added to features, .01 */
    double delta;         /* instability: largest change of the probabilities (L2) accepted, .05 */
    double share;         /* instability: part of the edges in a mask, .25 */
} dk_stability_options;
dk_stability_options dk_stability_defaults(void);

/* DIG: nodes with features 1 are added, each joined (both ways) to a random node and to itself;
 * mean of AUC(original) - AUC(perturbed) against `truth` [e], in which added edges count as false
 * and self loops not at all. score [e] is the original explanation. NaN if truth has one class
 * only. */
int dk_stability(const dk_explainer *x, dk_explain_worker *w, const dk_explainer_state *state,
                 const dk_instance *inst, const dk_explain_params *p, const double *score,
                 const uint8_t *truth, const dk_stability_options *o, double *stability,
                 dk_err *err);

typedef struct dk_instability_result {
    double mean, largest; /* 1 - cosine of the two masks; NaN if nothing was accepted */
    int accepted;
} dk_instability_result;
/* GraphXAI: one undirected edge u-v becomes u-w and features get noise; where the probabilities
 * stay within delta, the masks of the `share` highest edges are compared, u-w in the place of
 * u-v. */
int dk_instability(const dk_explainer *x, dk_explain_worker *w, const dk_explainer_state *state,
                   const dk_instance *inst, const dk_explain_params *p, const double *score,
                   const dk_stability_options *o, dk_instability_result *out, dk_err *err);

#endif
