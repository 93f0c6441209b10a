/* The parts of rgexplainer: graphs with rewards, the locator, the generator. */
#ifndef DK_GRAPH_EXPLAIN_RG_INTERNAL_H
#define DK_GRAPH_EXPLAIN_RG_INTERNAL_H

#include "graph/explain/learned_internal.h"

/* Learned tensors: the generator's, then (graph task only) the locator's. */
enum {
    DK_RG_IN_W, DK_RG_IN_B, DK_RG_RES1_W, DK_RG_RES1_B, DK_RG_RES2_W, DK_RG_RES2_B,
    DK_RG_ATTENTION, DK_RG_NODE, DK_RG_STOP_W, DK_RG_STOP_B, DK_RG_GENERATOR,
    DK_RG_LOC1_W = DK_RG_GENERATOR, DK_RG_LOC1_B, DK_RG_LOC2_W, DK_RG_LOC2_B, DK_RG_LOC3_W,
    DK_RG_TENSORS
};

/* An instance as rgexplainer sees it. */
typedef struct dk_rg_graph {
    const dk_instance *inst;
    int32_t *ptr, *nbr;   /* [n + 1]: neighbours in either direction, ascending, without loops */
    double *norm;         /* 1 / sqrt(d_u d_v) for every entry of nbr */
    double *h;            /* [n, width] rows that enter the readout */
    double *whole;        /* [whole_width] the readout (node task: the explained node's row) */
    double *log_target;   /* [n] what the locator should say, or NULL: not computed yet */
    dk_setmap reward;     /* node set -> reward */
} dk_rg_graph;

typedef struct dk_rg {
    dk_explain_worker *w;
    const dk_explain_params *p;
    dk_rg_params c;       /* with defaults filled in */
    double size, lr;
    int epochs;
    int64_t width, whole_width;
    const dk_explainer_state *state;
    dk_draw draw;
} dk_rg;

/* ---- Graphs (rg_graph.c). */
void dk_rg_init(dk_rg *r, dk_explain_worker *w, const dk_explain_params *p);
/* Runs the model once; the first graph sets width and whole_width. */
int dk_rg_graph_init(dk_rg *r, dk_rg_graph *g, const dk_instance *inst, dk_err *err);
void dk_rg_graph_free(dk_rg_graph *g);
/* -(cross-entropy of the induced subgraph with the model's prediction for the whole + size * edges
 * + radius weight * radius + similarity weight * distance of the two readouts) */
int dk_rg_reward(dk_rg *r, dk_rg_graph *g, const uint64_t *set, double *reward, dk_err *err);
int dk_rg_reward_nodes(dk_rg *r, dk_rg_graph *g, const int32_t *node, int32_t n, double *reward,
                       dk_err *err);
/* Nodes within `hops` of a node in order of distance, then index; layer[i] is the distance of
 * out[i]. Both [n]. Returns their number. */
int32_t dk_rg_reach(const dk_rg_graph *g, int32_t from, int hops, int32_t *out, int32_t *layer);

/* ---- Generator (rg_generator.c). */
/* A subgraph growing from its seed, node[0]. */
typedef struct dk_rg_walk {
    dk_rg_graph *g;
    int32_t n, *node; /* in order of addition; room for c.max_nodes */
    bool done;
    dk_draw draw;
} dk_rg_walk;
/* n walks at their seeds with room for nodes behind them; one free() of the result. */
dk_rg_walk *dk_rg_walks(const dk_rg *r, int64_t n, dk_err *err);
/* Lets the walks grow until each has stopped: by sampling, or greedily. */
int dk_rg_grow(dk_rg *r, dk_rg_walk *walk, int64_t n, bool greedy, dk_err *err);

/* Decisions to be made more (weight > 0) or less likely: the first n_prefix nodes of a walk, and
 * what happened next. */
typedef struct dk_rg_decision {
    const dk_rg_walk *walk;
    int32_t prefix;
    bool stop;      /* stopped; else node[prefix] was added */
    bool any;       /* imitation of sets: any later node of the walk would do as well */
    double weight;
} dk_rg_decision;
/* One optimiser step on -mean(weight * log p). */
int dk_rg_learn(dk_rg *r, dk_optim *optim, const dk_rg_decision *d, int64_t n, dk_err *err);

/* ---- Locator (rg_locator.c). */
/* log p of every node being the seed. */
int dk_rg_locate(dk_rg *r, const dk_rg_graph *g, double *log_p, dk_err *err);
/* One optimiser step on the mean of KL(target || p) over graphs whose log_target is set. */
int dk_rg_locator_learn(dk_rg *r, dk_optim *optim, dk_rg_graph *const *g, int64_t n, dk_err *err);
/* log_target from rewards of every node. */
int dk_rg_set_target(dk_rg_graph *g, const double *reward, dk_err *err);

#endif
