/* Logits of many edge-induced subgraphs of one instance, several side by side in one run: what the
 * size search and the fidelities consist of. Shared by select.c, fidelity.c and embedding.c. */
#ifndef DK_GRAPH_EXPLAIN_EDGE_SETS_INTERNAL_H
#define DK_GRAPH_EXPLAIN_EDGE_SETS_INTERNAL_H

#include "graph/explain/explain.h"

/* The edges e with lo <= key[e] < hi. With the rank as key, prefixes of an order and what remains
 * without them; with 0 or 1 as key, a set and its complement. */
typedef struct dk_edge_set {
    int32_t lo, hi;
} dk_edge_set;

/* Graph task: the network on the set's edges and their ends alone, pooled over those ends; without
 * an edge the pooled vector is zero. Models with padding pad what is left. Node task: the explained
 * node's row with the set's edges alone. Degrees of normalised layers are those of the set.
 * logits [sets, C]; embedding [sets, hidden] or NULL. */
int dk_edge_sets_run(dk_explain_worker *w, const dk_instance *inst, const int32_t *key,
                     const dk_edge_set *set, int32_t sets, double *logits, double *embedding,
                     dk_err *err);
/* The same, one graph after the other made and run as any graph: attention layers, and the check
 * of the other in the tests. */
int dk_edge_sets_plain(dk_explain_worker *w, const dk_instance *inst, const int32_t *key,
                       const dk_edge_set *set, int32_t sets, double *logits, double *embedding,
                       dk_err *err);

/* Fid+ and Fid- (E Def. 3.9) of the sets { e: key[e] < end[j] }; plus is NaN in the node task. */
int dk_fidelity_ends(dk_explain_worker *w, const dk_instance *inst, const int32_t *key,
                     const int32_t *end, int32_t n, double *plus, double *minus, dk_err *err);

/* Readout of segments of rows; weight [rows, 1] and inverse_count [segments, 1] where rows stand
 * for several nodes (padding), else DK_NOVAR. */
dk_var dk_pool_rows(const dk_gnn *m, dk_tape *t, dk_var rows, const int32_t *ptr, int32_t segments,
                    dk_var weight, dk_var inverse_count);
/* Row that the classifier sees for every node: the last layer's, or all layers' side by side. */
dk_var dk_final_rows(const dk_gnn *m, dk_tape *t, const dk_var *h);
/* [rows, hidden] of G Sec. 4 from what dk_gnn_classify was given and gave. */
dk_var dk_embedding_rows(const dk_gnn *m, dk_tape *t, dk_var pooled, dk_var lin1);

#endif
