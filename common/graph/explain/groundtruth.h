/* Explanations against planted or known truth: motifs of a graph's ground-truth edges, and how well
 * kept edges, scores and nodes agree with them. An edge is true if it or its reverse is marked. */
#ifndef DK_GRAPH_EXPLAIN_GROUNDTRUTH_H
#define DK_GRAPH_EXPLAIN_GROUNDTRUTH_H

#include <stdbool.h>
#include <stdint.h>

#include "graph/graph.h"

/* ANY: every true edge counts. OWN: only those of the motif that contains the explained node. */
typedef enum { DK_GT_ANY, DK_GT_OWN } dk_gt_scope;

/* Motifs: components of the true edges. motif[v] counts from 0 in order of the smallest node, -1
 * for nodes without a true edge. Returns the number; without g->gt all are -1 and it is 0. < 0 on
 * error. */
int32_t dk_gt_motifs(const dk_graph *g, int32_t *motif, dk_err *err);
/* Truth of the edges edge_of[0..n) of g (NULL: all g->e) as seen from `node` (ignored for ANY).
 * motif comes from dk_gt_motifs(g). */
void dk_gt_edges(const dk_graph *g, const int32_t *motif, int32_t node, dk_gt_scope scope,
                 const int32_t *edge_of, int32_t n, uint8_t *truth);
/* The same for nodes node_of[0..n) (NULL: all). */
void dk_gt_nodes(const int32_t *motif, int32_t node, dk_gt_scope scope, const int32_t *node_of,
                 int32_t n, uint8_t *truth);

/* Nodes that are an end of a kept edge. */
void dk_touched_nodes(const dk_graph *g, const uint8_t *kept, uint8_t *touched);
/* Share of the n nodes whose membership agrees; NaN for none. */
double dk_node_accuracy(const uint8_t *in_explanation, const uint8_t *truth, int64_t n);

/* Counts of kept (or predicted) against true. */
typedef struct dk_confusion {
    int64_t tp, fp, fn, tn;
} dk_confusion;
dk_confusion dk_confusion_of(const uint8_t *kept, const uint8_t *truth, int64_t n);
double dk_precision(dk_confusion c); /* NaN where undefined */
double dk_recall(dk_confusion c);
double dk_f1(dk_confusion c);
double dk_jaccard(dk_confusion c);   /* GraphXAI: TP / (TP + FP + FN + 1e-9) */
/* GraphXAI's accuracy: best Jaccard over alternative truths [alternatives][n]. Nodes count as
 * predicted above `share` (.1) of the largest score, edges where kept. */
double dk_jaccard_edges(const uint8_t *kept, const uint8_t *const *truth, int alternatives,
                        int64_t n);
double dk_jaccard_nodes(const double *score, const uint8_t *const *truth, int alternatives,
                        int64_t n, double share);
/* Share of true ones among the first `undirected` edges of `order` (an edge and its reverse count
 * once, as do self loops); missing ones are false. NaN for none. */
double dk_top_precision(const dk_graph *g, const int32_t *order, const uint8_t *truth,
                        int32_t undirected);
/* kept [e]: the edges of which dk_top_precision speaks, both directions. */
void dk_top_edges(const dk_graph *g, const int32_t *order, int32_t undirected, uint8_t *kept);

#endif
