/* What the explainers that learn or sample share: draws, learned tensors, maps from node sets. */
#ifndef DK_GRAPH_EXPLAIN_LEARNED_INTERNAL_H
#define DK_GRAPH_EXPLAIN_LEARNED_INTERNAL_H

#include "grad/optim.h"
#include "graph/explain/explain.h"

/* Draws in counter mode: the i-th is a hash of (key, i), so a stream costs nothing to start. */
typedef struct dk_draw {
    uint64_t key, count;
} dk_draw;
dk_draw dk_draw_start(uint64_t seed);
uint64_t dk_draw_u64(dk_draw *d);
double dk_draw_uniform(dk_draw *d);             /* [0, 1), 53 bits */
int64_t dk_draw_below(dk_draw *d, int64_t n);   /* 0 .. n - 1; n > 0 */
void dk_draw_shuffle(dk_draw *d, int32_t *v, int64_t n);

/* Learned tensors. A shape with cols = 0 ends a list. */
typedef struct dk_learned_shape {
    const char *name;
    int64_t rows, cols;
    double bound; /* starts uniform in [-bound, bound] */
} dk_learned_shape;
/* New parameters with gradients, values drawn in list order. */
dk_explainer_state *dk_learned_new(const dk_explainer *x, const dk_learned_shape *shape, dk_draw *d,
                                   dk_err *err);
/* 0, or DK_EFORMAT naming the first tensor that is not as listed (DK_EUSAGE without a state). */
int dk_learned_check(const dk_explainer_state *s, const dk_explainer *x,
                     const dk_learned_shape *shape, dk_err *err);
/* Training is over: gradients are freed; values that are not finite are DK_ENUMERIC. */
int dk_learned_done(dk_explainer_state *s, dk_err *err);

/* Columns of the rows that enter the readout, and of what comes out of it. */
int dk_learned_widths(const dk_gnn *model, int64_t *row, int64_t *readout, dk_err *err);

/* Sets of nodes as bit words, each with a number that is computed once (NaN until then). */
typedef struct dk_setmap {
    int words;
    int64_t n, cap, slots;
    uint64_t *set; /* [n, words] in order of insertion */
    double *value; /* [n] */
    int32_t *slot; /* [slots] index + 1; 0: free */
} dk_setmap;
int dk_setmap_init(dk_setmap *m, int64_t bits, dk_err *err);
void dk_setmap_free(dk_setmap *m);
/* Index of the set, which is added if it is new; -1 on exhausted memory. */
int64_t dk_setmap_put(dk_setmap *m, const uint64_t *set, dk_err *err);
static inline uint64_t *dk_setmap_at(const dk_setmap *m, int64_t i)
{
    return m->set + i * m->words;
}
static inline bool dk_bit_get(const uint64_t *set, int64_t i)
{
    return set[i / 64] >> (i % 64) & 1;
}
static inline void dk_bit_set(uint64_t *set, int64_t i)
{
    set[i / 64] |= (uint64_t)1 << (i % 64);
}

/* ---- gnnexplainer, with its beginning and course open to inspection. Every member may be NULL. */
typedef struct dk_gnnexplainer_probe {
    const double *edge_init;    /* [e] logits to start from */
    const double *feature_init; /* [features] */
    double *loss;               /* [epochs] before every step */
    double *feature_mask;       /* [features] result */
} dk_gnnexplainer_probe;
int dk_gnnexplainer_run(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                        const dk_gnnexplainer_probe *probe, double *score, dk_err *err);

/* ---- pgexplainer: gradients of one training step (added to those of s) with the given uniform
 * draws u [e], and its loss. */
int dk_pgexplainer_gradients(dk_explain_worker *w, dk_explainer_state *s, const dk_instance *inst,
                             const dk_explain_params *p, double temperature, const double *u,
                             double *loss, dk_err *err);
/* width: of the rows that enter the readout. */
dk_explainer_state *dk_pgexplainer_new(dk_task task, int64_t width, uint64_t seed, dk_err *err);

/* ---- subgraphx: reward of a node set (bit words over the nodes) with `samples` draws of the
 * random order. */
int dk_subgraphx_reward(dk_explain_worker *w, const dk_instance *inst, const dk_explain_params *p,
                        const uint64_t *set, double *reward, dk_err *err);

#endif
