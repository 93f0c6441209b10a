/* Pieces shared by the explainers of this directory. */
#ifndef DK_GRAPH_EXPLAIN_EXPLAIN_INTERNAL_H
#define DK_GRAPH_EXPLAIN_EXPLAIN_INTERNAL_H

#include "graph/explain/explain.h"
#include "graph/gnn_internal.h"

/* `copies` copies of one graph as a block-diagonal batch: the points of a quadrature become rows of
 * one pass. Edge i of copy k is edge k e + i, row v of copy k is k n + v; attention's loops follow
 * behind the edges of all copies. x is not copied (the run is given its own). */
typedef struct dk_tiled {
    dk_gnn_input in;
    dk_gnn_owned own; /* what masks and attention look up; in.own points here */
    int copies;
    void *block;
} dk_tiled; /* not to be copied */
int dk_tile(dk_tiled *t, const dk_gnn_input *in, int copies, dk_err *err);
void dk_tile_free(dk_tiled *t); /* accepts a zeroed struct */
/* How many copies of a graph of n rows make one batch: enough work per pass for small graphs,
 * bounded memory for large ones. At most `wanted`, at least 1. */
int dk_tile_copies(int32_t n, int wanted);

/* The input with the node's own coefficients (`loop`) as edges behind the listed ones: e + n edges,
 * so that they can be masked and differentiated like the others. */
typedef struct dk_loops_as_edges {
    dk_gnn_input in;
    void *block;
} dk_loops_as_edges;
int dk_loops_to_edges(dk_loops_as_edges *l, const dk_gnn_input *in, dk_err *err);
void dk_loops_free(dk_loops_as_edges *l); /* accepts a zeroed struct */

/* Runs the worker's model on the instance with the given hooks (NULL: none) and differentiates the
 * target's raw logit. */
typedef struct dk_sensitivity {
    dk_var x, mask; /* leaves with gradients */
    dk_gnn_trace trace;
} dk_sensitivity;
int dk_differentiate(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                     const dk_gnn_hooks *hooks, dk_sensitivity *s, dk_err *err);

/* Edge scores from node scores, and the node scores themselves if they are wanted. */
void dk_nodes_to_explanation(const dk_graph *g, const double *node, dk_explanation *out);

#endif
