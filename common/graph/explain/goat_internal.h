/* GOAt in two steps: shares of every variable of the network (goat.c), then the shares of
 * activation patterns passed on to edges (goat_hops.c). */
#ifndef DK_GRAPH_EXPLAIN_GOAT_INTERNAL_H
#define DK_GRAPH_EXPLAIN_GOAT_INTERNAL_H

#include "graph/explain/explain.h"

/* Shares by class wanted: for class `first` + k, k = 0 .. classes - 1. Index 0 of the pairs is the
 * network on the graph, 1 the network without edges. */
typedef struct dk_goat_shares {
    int32_t n, e; /* rows of the input (with padding), edges */
    int first, classes;
    int layers, sites;  /* activation sites of the layers, then one for a maximum over nodes */
    double *edge;       /* [classes, e] of the adjacency entries */
    double *loop;       /* [classes, n] of the diagonal entries, or NULL */
    double *feature;    /* [classes, n] of the features, summed over a node's, or NULL */
    double *pattern[2]; /* [classes, sites, n] of the pattern rows */
    double *head[2];    /* [classes] of the classifier's pattern */
    double *logit[2];   /* [all classes] */
    int site_layer[3 * DK_GNN_MAX_LAYERS + 2]; /* layer 1.. of a site */
    void *block;
} dk_goat_shares;

typedef struct dk_goat_plan {
    int first, classes;   /* which classes */
    int nodes;            /* of the quadrature; 0: as many as are exact */
    bool loops, features; /* diagonal entries, features are variables too */
} dk_goat_plan;

/* ceil(M / 2), M the most variables in one product. */
int dk_goat_nodes(const dk_gnn *m, bool features);
int dk_goat_shares_make(dk_goat_shares *s, dk_explain_worker *w, const dk_instance *inst,
                        const dk_goat_plan *plan, dk_err *err);
void dk_goat_shares_free(dk_goat_shares *s); /* accepts a zeroed struct */

/* score [e, classes]: the edges' own shares plus what the patterns pass on, with p's hop mode,
 * calibration and compat; residual [classes]: what nodes without outgoing edges cannot pass on. */
int dk_goat_pass_on(const dk_goat_shares *s, const dk_instance *inst, const dk_explain_params *p,
                    double *score, double *residual, dk_err *err);

#endif
