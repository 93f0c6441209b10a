/* EiG-Search's linear gradients (E Sec. 4): what falls when one undirected edge goes.
 *
 *   s_e = ( l_y(1) - l_y(w with w_e = w_rev(e) = eps) ) / (weight change),   l = log-softmax
 *
 * Exact incremental recomputation: masking u-v changes only u and v after layer 1, their
 * neighbours after layer 2, ...; only those rows are redone from cached aggregates. */
#ifndef DK_GRAPH_EXPLAIN_EIG_H
#define DK_GRAPH_EXPLAIN_EIG_H

#include "graph/explain/explain.h"

/* One graph's cached forward pass, from which single edges (or sets) can be masked. */
typedef struct dk_eig dk_eig;
dk_eig *dk_eig_new(dk_explain_worker *w, const dk_gnn_input *in, const dk_graph *g, double epsilon,
                   dk_err *err);
void dk_eig_free(dk_eig *e); /* accepts NULL */
/* How the mask enters from now on (MESSAGE by default). Where WEIGHT changes degrees, and with
 * attention, every mask costs a whole forward pass. */
void dk_eig_mask_mode(dk_eig *e, dk_mask_mode mode);
const double *dk_eig_logits(const dk_eig *e); /* unmasked: [graphs or n, C] */
/* Graph task: logits [C] with the edges set[0..n) (and their reverses) at the base weight. */
int dk_eig_masked(dk_eig *e, const int32_t *set, int32_t n, double *logits, dk_err *err);
/* Node task: the rows whose logits change, ascending, and their new logits [rows, C]; borrowed until
 * the next call. */
int dk_eig_masked_rows(dk_eig *e, const int32_t *set, int32_t n, const int32_t **rows, int32_t *n_rows,
                       const double **logits, dk_err *err);
/* The plain way: the whole network with the edge masked; the reference for the tests. */
int dk_eig_masked_plain(dk_eig *e, const int32_t *set, int32_t n, double *logits, dk_err *err);

/* Node task over a whole graph: s[i, e] = || out_i - out_i(masked e) ||_2 for the nodes wanted
 * (E Sec. 5; softmax outputs for arch gcn, raw logits for the others). One pass over the edges
 * serves all nodes. score[k] -> [edges of sub k], over the edges that the caller's subgraphs list
 * (edge_of[k][j] = edge of g); score_c[k] -> [edges, C] the signed change of every output, or
 * score_c NULL. In parallel; the same numbers as one by one. */
int dk_eig_nodes(const dk_gnn *m, const dk_graph *g, const int32_t *node, int32_t n_nodes,
                 int32_t *const *edge_of, const int32_t *n_edges, double epsilon, double **score,
                 double **score_c, dk_err *err);
/* Scores of sets of edges (functional groups): s = (l_y(1) - l_y(set at base)) / sum of the weight
 * changes of its undirected edges. */
int dk_eig_groups(dk_explain_worker *w, const dk_instance *inst, double epsilon, const int32_t *set,
                  const int32_t *set_ptr, int32_t sets, double *score, dk_err *err);

#endif
