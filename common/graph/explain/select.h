/* From scores to an explanation: order, cap, search of the size (E Alg. 1; G Sec. 4). */
#ifndef DK_GRAPH_EXPLAIN_SELECT_H
#define DK_GRAPH_EXPLAIN_SELECT_H

#include "graph/explain/explain.h"

typedef enum { DK_TIES_PAIR, DK_TIES_POSITION, DK_TIES_GROUP } dk_ties;
/* --size-rule own: GOAT_* for goat */
typedef enum { DK_RULE_EIG, DK_RULE_GOAT_GCN, DK_RULE_GOAT_GIN } dk_size_rule;
typedef enum { DK_INDUCE_EDGE, DK_INDUCE_NODE } dk_induce;

typedef struct dk_select_options {
    double sparsity;  /* .7; K = max(2, (int)(E * (1.0 - sparsity))) directed edges, in doubles */
    int64_t topk;     /* > 0: K = min(topk, E) instead */
    bool even;        /* K down to whole undirected edges, at least one */
    bool search;      /* size by the linear search; else all K */
    dk_ties ties;
    dk_size_rule rule;
    dk_induce induce; /* NODE: nodes by score while the induced directed edges stay <= K */
    bool compat;
} dk_select_options;
dk_select_options dk_select_defaults(void);

typedef struct dk_selection {
    int32_t e;         /* edges of the graph */
    int32_t *order;    /* [e] edges by descending score */
    int32_t *rank;     /* [e] place in that order */
    uint8_t *kept;     /* [e] */
    int32_t cap, size; /* K, and the number kept (directed) */
    double fid_plus, fid_minus, overall; /* of the kept edges; graph task */
    double sparsity;   /* 1 - size / e */
    int32_t candidates; /* tried by the search */
    double *curve;     /* [candidates] overall of each, or NULL without search */
    int32_t *curve_size;
} dk_selection;
/* Order: score rounded to 12 decimals (at most 13 significant digits), descending; then (ties
 * pair) the smaller position of the pair, then the own position. NaN scores are a bug of the
 * caller. */
int dk_select_order(const dk_graph *g, const double *score, dk_ties ties, int32_t *order,
                    dk_err *err);
/* K of a graph whose edges all come in pairs. Where self loops lie among the first K, dk_select
 * with `even` and ties by pair keeps whole edges by looking at the pairs instead of the parity. */
int32_t dk_select_cap(int32_t e, const dk_select_options *o);
/* The whole selection. node_score is needed for DK_INDUCE_NODE. Node task: no search, no fidelity
 * (kept = first K of the order; the three fidelities are NaN). Ties by group end candidates, and
 * the fixed size, where the score changes. The first of equally good sizes is kept. */
int dk_select(dk_selection *s, dk_explain_worker *w, const dk_instance *inst, const double *score,
              const double *node_score, const dk_select_options *o, dk_err *err);
void dk_selection_free(dk_selection *s);

#endif
