/* Undirected edges in the making, and the random parts that the generators share. */
#ifndef DK_GRAPH_GEN_INTERNAL_H
#define DK_GRAPH_GEN_INTERNAL_H

#include "graph/dataset_internal.h"

typedef struct dk_gen_edges {
    int32_t *src, *dst; /* [m] each edge once */
    uint8_t *gt;        /* [m] part of a motif */
    int64_t m, cap;
} dk_gen_edges;

int dk_gen_add(dk_gen_edges *e, int32_t u, int32_t v, bool gt, dk_err *err);
void dk_gen_free(dk_gen_edges *e);
/* Barabasi-Albert on the nodes first .. first + n - 1. */
int dk_gen_ba(dk_gen_edges *e, int32_t first, int32_t n, int32_t m, dk_seq *s, dk_err *err);
/* `count` new edges between distinct nodes of first .. first + n - 1 that no edge of the list from
 * number `from` on joins yet. */
int dk_gen_noise(dk_gen_edges *e, int64_t from, int32_t first, int32_t n, int64_t count, dk_seq *s,
                 dk_err *err);
/* Both directions of every edge as a graph of n nodes. */
int dk_gen_graph(const dk_gen_edges *e, int32_t n, bool with_gt, dk_graph *g, dk_err *err);

#endif
