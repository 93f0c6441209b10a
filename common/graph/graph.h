/* The graph type of the GNN engine: directed edges sorted by (src, dst), grouped both ways, node
 * and edge features, labels. An undirected edge is two entries, a self loop is one.
 *
 * Everything is checked when a graph is made: a dk_graph in hand has ids in range, sorted edges
 * without duplicates, and groupings that agree with the list. No dense adjacency anywhere. */
#ifndef DK_GRAPH_GRAPH_H
#define DK_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "ops/mat.h"

typedef struct dk_graph {
    int32_t n, e;                /* nodes, directed edges */
    int32_t *src, *dst;          /* [e] sorted by (src, dst) */
    int32_t *rev;                /* [e] position of (dst, src); its own for a self loop; -1: none */
    int32_t *out_ptr;            /* [n + 1]: edges out_ptr[v] .. out_ptr[v + 1] - 1 leave v */
    int32_t *in_ptr, *in_edge;   /* [n + 1], [e]: edges that enter v, ascending */
    int32_t *out_edge;           /* [e] 0, 1, 2, ...: what dk_adj wants for the sorted list */
    double *weight;              /* [e], or NULL: all 1 */
    uint8_t *gt;                 /* [e] ground truth of explanations, or NULL */
    int num_features;
    double *x;                   /* [n, num_features]; NULL until encoded when num_features = 0 */
    int32_t *node_label;         /* [n] first label column as in the file (atoms), or NULL */
    int32_t *y;                  /* [n] class of every node (node task; -1 unknown), or NULL */
    double *degree;              /* [n] weighted in-degree in the whole graph, for a subgraph cut
                                    out of it; NULL: the graph's own */
    int32_t label;               /* class index of the graph; -1 unknown */
    int32_t one_way;             /* number of edges with rev = -1 */
} dk_graph;

/* Makes the lists of g: `m` edges in any order and with duplicates (merged: weights of the first
 * kept, gt or-ed). weight, gt may be NULL. merged (may be NULL) receives the number of duplicates
 * dropped; position (may be NULL) [m] the place of every given edge in the sorted list. O(n + m).
 * Arrays of g belong to it (dk_graph_free). Ids out of [0, n) are DK_EFORMAT. */
int dk_graph_build(dk_graph *g, int32_t n, int64_t m, const int32_t *src, const int32_t *dst,
                   const double *weight, const uint8_t *gt, int64_t *merged, int32_t *position,
                   dk_err *err);
void dk_graph_free(dk_graph *g); /* accepts a zeroed struct */
dk_adj dk_graph_adj(const dk_graph *g); /* borrowed view */

/* ---- Subgraphs. node_of [sub.n] and edge_of [sub.e] (malloc-ed, may be NULL) map back. Features,
 * labels, gt and weights come along; `degree` is filled from the whole graph's in-degrees. */
/* The nodes from which `node` can be reached in at most `hops` steps along edges (undirected
 * graphs: the hops-neighbourhood) and all edges between them; *center is the node's new index.
 * Costs O(size of the result and of its edges): `seen` is a
 * scratch array [g->n] of -1 that is restored to -1 (make it once with dk_graph_scratch). */
int dk_graph_khop(const dk_graph *g, int32_t node, int hops, int32_t *seen, dk_graph *sub,
                  int32_t *center, int32_t **node_of, int32_t **edge_of, dk_err *err);
int32_t *dk_graph_scratch(const dk_graph *g, dk_err *err); /* [n] of -1, free() */
/* Edge-induced subgraph: the edges with keep[e] != 0 and the nodes that are an end of one, in
 * ascending order of both. Degrees are the subgraph's own (degree = NULL). */
int dk_graph_edge_induced(const dk_graph *g, const uint8_t *keep, dk_graph *sub, int32_t **node_of,
                          int32_t **edge_of, dk_err *err);
/* All nodes kept, only the edges with keep[e] != 0 (features shared by copy). */
int dk_graph_drop_edges(const dk_graph *g, const uint8_t *keep, dk_graph *sub, dk_err *err);
/* Nodes relabelled: new index of node v is perm[v]. For invariance tests and stability metrics. */
int dk_graph_relabel(const dk_graph *g, const int32_t *perm, dk_graph *out, dk_err *err);

/* ---- Batches: graphs side by side as one block-diagonal graph. */
typedef struct dk_batch {
    int32_t n, e, graphs;
    int32_t *src, *dst, *in_ptr, *in_edge, *out_ptr, *out_edge;
    int32_t *node_ptr;  /* [graphs + 1] rows of every graph */
    int32_t *edge_ptr;  /* [graphs + 1] */
    double *weight;     /* [e] or NULL if all are 1 */
    double *degree;     /* [n] weighted in-degree (as normalised layers need it), or NULL */
    float *x32;         /* [n, num_features] */
    int num_features;
    int32_t *label;     /* [graphs] */
} dk_batch;
int dk_batch_make(dk_batch *b, const dk_graph *const *graphs, int count, dk_err *err);
void dk_batch_free(dk_batch *b);
dk_adj dk_batch_adj(const dk_batch *b);

#endif
