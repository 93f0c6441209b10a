/* What the files of graphs and data sets share and nobody else needs. */
#ifndef DK_GRAPH_GRAPH_INTERNAL_H
#define DK_GRAPH_GRAPH_INTERNAL_H

#include <stddef.h>

#include "base/err.h"
#include "graph/graph.h"

/* malloc of n * size bytes with checked size, also for n = 0; NULL and *err on failure. */
void *dk_graph_array(size_t n, size_t size, const char *what, dk_err *err);

/* g->n, e, src, dst are set and the edges sorted without duplicates: makes the other lists. */
int dk_graph_index(dk_graph *g, dk_err *err);

#endif
