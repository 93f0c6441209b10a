/* scores.csv: one row per directed edge of every explained graph or node.
 *
 *     graph,src,dst,score[,score_c0,score_c1,...],rank,kept[,prob_drop]      (graph task)
 *     node,src,dst,...                                                        (node task)
 *
 * Ids count from 0 within the graph; sets with node ids of their own use those. Every edge of the
 * graph (node task: of the L-hop neighbourhood) has a row whether it is kept or not; rank counts
 * from 0. A row v,v with an empty rank is a score that is not ranked (the diagonal of goat
 * --selfloop variable). Files of other programs may lack rank, kept and the extra columns: then
 * rank follows from the score, and kept is all of them unless a cap is given. */
#ifndef DK_GRAPH_EXPLAIN_SCORES_H
#define DK_GRAPH_EXPLAIN_SCORES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "graph/dataset.h"

typedef struct dk_scores {
    char *name;
    bool node_task;      /* first column is `node` */
    bool has_rank, has_kept;
    int64_t rows;
    int64_t *item;       /* graph index or node id, as in the file */
    int64_t *src, *dst;
    double *score;
    int64_t *rank;       /* -1: not ranked */
    uint8_t *kept;
    int64_t items;       /* distinct ones, in order of appearance */
    int64_t *item_id;    /* [items] */
    int64_t *item_ptr;   /* [items + 1] rows of an item; a file whose items are not contiguous is
                            sorted (stably) first */
    int64_t *by_id;      /* [items] indices of the items by ascending id */
} dk_scores;
int dk_scores_load(dk_scores *s, const char *path, dk_err *err);
int dk_scores_parse(dk_scores *s, const char *data, size_t len, const char *name, dk_err *err);
void dk_scores_free(dk_scores *s);
int64_t dk_scores_item(const dk_scores *s, int64_t id); /* index of the item or -1 */
/* Scores of item k laid over the edges of g, whose node v is called id[v] (NULL: v itself).
 * score [g->e], present [g->e] (0 where the file has no row), kept and rank may be NULL. A row that
 * g does not have is DK_EFORMAT ("scores of another data set?"), naming the row. */
int dk_scores_on_graph(const dk_scores *s, int64_t k, const dk_graph *g, const int64_t *id,
                       double *score, uint8_t *present, uint8_t *kept, int64_t *rank, dk_err *err);

#endif
