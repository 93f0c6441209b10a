/* Explainers behind one interface: an instance (a graph, or a node in its neighbourhood) and a
 * class go in, one score per directed edge comes out. Everything in f64.
 *
 * What does not depend on the method (both directions averaged, ranking, size search, fidelity) is
 * in explain/select.h and explain/fidelity.h. One file per explainer. */
#ifndef DK_GRAPH_EXPLAIN_EXPLAIN_H
#define DK_GRAPH_EXPLAIN_EXPLAIN_H

#include "graph/gnn.h"
#include "io/safetensors.h"

/* One worker: a tape with the model bound to it. One per thread. */
typedef struct dk_explain_worker {
    const dk_gnn *model; /* f64 */
    dk_tape *tape;
    dk_gnn_vars vars;
    dk_tape_mark base; /* restore to this before each use */
} dk_explain_worker;
int dk_explain_worker_init(dk_explain_worker *w, const dk_gnn *model, dk_err *err);
void dk_explain_worker_fini(dk_explain_worker *w);

/* What is explained. Node task: g is the L-hop subgraph of the node (dk_graph_khop), node its row. */
/* Errors do not name it: the caller knows what it is called. */
typedef struct dk_instance {
    const dk_graph *g;
    dk_gnn_input in;      /* of g */
    int32_t node;         /* row of the explained node; -1: graph task */
    int64_t id;           /* graph index, or node index in the data set: what seeds depend on */
    int32_t label;        /* -1 unknown */
    int32_t prediction;
    int32_t target;       /* class explained */
    double *logits;       /* [C] of the whole graph / of the node; owned */
    int64_t edges_whole;  /* node task: edges of the graph that g was cut out of, over which goat's
                             compat spreads a share; init: those of g */
} dk_instance;
/* Runs the model once: prediction, logits; target = target_class, or the prediction if that is
 * negative. g is borrowed. */
int dk_instance_init(dk_instance *i, dk_explain_worker *w, const dk_graph *g, int32_t node,
                     int64_t id, int32_t target_class, dk_err *err);
void dk_instance_free(dk_instance *i);
/* softmax(z)[y] and log softmax(z)[y]; the latter exact when the probability rounds to 1
 * (log1p(-sum of the others)). */
double dk_probability(const double *z, int32_t classes, int32_t y);
double dk_log_probability(const double *z, int32_t classes, int32_t y);

typedef enum { DK_HOPS_LIST, DK_HOPS_DISTINCT } dk_hops_mode;

/* Knobs of rgexplainer; 0 stands for the number given (in brackets the published one where it is
 * larger). Together they train on 100 molecules in half a minute on one core. */
typedef struct dk_rg_params {
    int hops;           /* reach of a seed in pre-training: 3 */
    int locator_steps;  /* of the locator's pre-training: 200 */
    int relocate_every; /* epochs between two trainings of the locator: 5 */
    int relocate_steps; /* 10 */
    int demos;          /* seeds whose growth is demonstrated to the generator: 256 (every node) */
    int tries;          /* random growths per seed, of which the best is shown: 10 */
    int list_epochs, set_epochs; /* imitation of ordered lists, then of sets: 10, 25 */
    int batch;          /* demonstrations per step: 32 */
    int starts;         /* policy gradient: seeds per step, 64 (128) */
    int rollouts;       /* policy gradient: completions per prefix, 3 (5) */
    int max_nodes;      /* of a generated subgraph: 20 */
    double radius;      /* penalty per hop of radius: .1; negative: none */
    double similarity;  /* weight of the distance of embeddings: .01; negative: none */
} dk_rg_params;

/* Knobs of the methods; dk_explain_params_default() has the published values. */
typedef struct dk_explain_params {
    uint64_t seed;             /* random draws depend on (seed, method, instance id) only */
    double epsilon;            /* eig: base weight of an absent edge, 0 */
    dk_mask_mode mask_mode;    /* eig, goat: message */
    bool compat;               /* slips of the published programs, where they change numbers */
    dk_hops_mode hops;         /* goat */
    bool calibrate;            /* goat: subtract the empty graph's contributions (true) */
    bool symmetric;            /* average both directions (true); all methods */
    bool selfloop_variable;    /* goat on gcn_norm: the diagonal entries are variables too */
    bool absolute;             /* grad: |score| */
    int ig_steps;              /* 50 Gauss-Legendre nodes */
    int epochs;                /* gnnexplainer 100, pgexplainer 30, rgexplainer 10; 0: the method's default */
    double lr;                 /* 0: the method's default */
    double size, entropy;      /* regularisers; negative: the method's default */
    double temp0, temp1;       /* pgexplainer: 5, 2 */
    int rollouts, min_atoms, expand_atoms, max_nodes, samples; /* subgraphx: 20, 5, 14, 5, 100 */
    double c_puct;             /* subgraphx: 10 */
    bool feature_mask;         /* gnnexplainer: learns a mask of the features as well (false) */
    double bias;               /* pgexplainer: keeps draws off 0 and 1; 0: .01; negative: none */
    int local_radius;          /* subgraphx: a reward looks local_radius - 1 hops around; 0: 4 */
    dk_rg_params rg;           /* rgexplainer */
    double gamma[3], gamma_head; /* gnn-lrp: 2, 1, 1 for the layers (last repeated), 1 for the head */
} dk_explain_params;
dk_explain_params dk_explain_params_default(void);

/* What a method leaves for one instance; arrays are owned by the caller, sizes from the instance.
 * An array that is wanted of a method that has none is filled with 0. */
typedef struct dk_explanation {
    double *score;       /* [e] of the target class; required */
    double *score_c;     /* [e, C] of every class, or NULL if not wanted / the method has none */
    double *prob_drop;   /* [e] eig: probability drop, or NULL if not wanted */
    double *node_score;  /* [n] for node-scored methods, or NULL if not wanted. goat: when wanted, the
                            features are variables too and the edges keep what is left to them */
    double *loop_score;  /* [n] goat with selfloop_variable, or NULL */
    double residual;     /* goat: share that no edge carries (isolated nodes) */
    double logit, empty_logit; /* goat: of the target class, for completeness checks */
} dk_explanation;

/* What pgexplainer and rgexplainer learn. */
typedef struct dk_explainer_state dk_explainer_state;

typedef struct dk_explainer {
    const char *name;      /* "eig" */
    const char *title;     /* "EiG-Search (linear gradient)" */
    bool node_scored;      /* gives node_score; its edge scores are derived */
    bool every_class;      /* fills score_c */
    bool random;           /* depends on the seed */
    /* Trains on the given instances (all of one model) or NULL: needs none. */
    dk_explainer_state *(*train)(dk_explain_worker *w, dk_instance *const *inst, int64_t n,
                                 const dk_explain_params *p, dk_err *err);
    int (*explain)(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err);
    /* Whether what was learned has the shapes this model needs, or NULL: explain() finds out. */
    int (*fits)(const dk_explainer_state *state, const dk_gnn *model, dk_err *err);
} dk_explainer;

const dk_explainer *dk_explainer_find(const char *name); /* NULL if unknown */
const dk_explainer *dk_explainer_at(int i);              /* NULL behind the last */
/* Runs it: zero edges give no scores and no error; then, with p->symmetric, both directions are
 * averaged (an edge without reverse stays alone). Non-finite scores are DK_ENUMERIC. */
int dk_explain(const dk_explainer *x, dk_explain_worker *w, const dk_explainer_state *state,
               const dk_instance *inst, const dk_explain_params *p, dk_explanation *out, dk_err *err);

/* State: tensors and metadata "explainer" = name, "tensors" = their names in order. Loading checks that it fits the model. */
void dk_explainer_state_free(dk_explainer_state *s); /* accepts NULL */
int dk_explainer_state_save(const dk_explainer_state *s, dk_st_writer *w, dk_err *err);
dk_explainer_state *dk_explainer_state_load(const dk_st *st, const dk_explainer *x,
                                            const dk_gnn *model, dk_err *err);
/* For the implementations: a named bag of f64 matrices. */
struct dk_explainer_state {
    const dk_explainer *x;
    int n;
    dk_param *tensor; /* names and values owned; grad NULL after training */
};

/* The explainers (one file each). */
extern const dk_explainer dk_explainer_eig, dk_explainer_goat, dk_explainer_grad,
    dk_explainer_gradxinput, dk_explainer_ig, dk_explainer_gradcam, dk_explainer_sa,
    dk_explainer_occlusion, dk_explainer_deeplift, dk_explainer_gnn_lrp, dk_explainer_gnnexplainer,
    dk_explainer_pgexplainer, dk_explainer_subgraphx, dk_explainer_rgexplainer, dk_explainer_random;

/* Shared by implementations. Edge scores from node scores: mean of both ends. */
void dk_edges_from_nodes(const dk_graph *g, const double *node, double *edge);
/* Seed for (params seed, method, instance). */
uint64_t dk_explain_seed(const dk_explain_params *p, const char *method, int64_t id);
/* The options of a run of this instance (node row of a node task, mask mode). */
dk_gnn_options dk_instance_options(const dk_instance *inst, const dk_explain_params *p);

#endif
