/* Graph neural networks: message-passing layers, readout, classifier; written once on the tape.
 *
 * Every architecture but attention is   m = message_l(h);  a = sum over edges of c_e m[src];
 * h' = update_l(a, m)   and is run in that form, so that an explainer which changes one edge can
 * redo a few rows (eig) and one which changes every edge can differentiate (goat, ig, ...).
 *
 *   gcn       m = h / max(||h||, 1e-12) by rows, h' = relu(a W^T + b); no degree normalisation, no
 *             self loops (the GCN of the published EiG-Search and GOAt models)
 *   gin       h' = BN(relu(relu((a + (1 + eps) m) W0^T + b0) W2^T + b2)); no activation after BN
 *   sage      h' = relu(a Wl^T + bl + m Wr^T); the sum of the neighbours
 *   graphconv h' = act(a Wrel^T + b + m Wroot^T)   (k-GNN, 1-dimensional)
 *   gcn_norm  h' = act((D^-1/2 (A + I) D^-1/2 m) W^T + b)
 *   gat, gatv2  attention over the incoming edges and the node itself, heads
 *     all with readout (mean, sum, max) and lin2(relu(lin1(g)))
 *   gcn_norm_cat, gcn_norm_maxmean: three gcn_norm layers with W stored [in, out], each followed by
 *             row L2 normalisation and relu; then `lin` on the concatenated layers (node task) or on
 *             [max, mean] over the nodes (graph task)
 *
 * Isolated nodes, self loops and edge weights: weights multiply messages (and enter the degrees of
 * gcn_norm); the normalised and attention layers replace existing self loops by their own. */
#ifndef DK_GRAPH_GNN_H
#define DK_GRAPH_GNN_H

#include "grad/tape.h"
#include "graph/dataset.h"
#include "graph/graph.h"
#include "io/safetensors.h"

typedef enum {
    DK_GNN_GCN, DK_GNN_GIN, DK_GNN_SAGE, DK_GNN_GRAPHCONV, DK_GNN_GCN_NORM, DK_GNN_GAT,
    DK_GNN_GATV2, DK_GNN_GCN_NORM_CAT, DK_GNN_GCN_NORM_MAXMEAN
} dk_gnn_arch;
typedef enum { DK_READ_NONE, DK_READ_MEAN, DK_READ_SUM, DK_READ_MAX, DK_READ_MAX_MEAN } dk_readout;

const char *dk_gnn_arch_name(dk_gnn_arch a);   /* "gcn_norm" */
int dk_gnn_arch_parse(const char *s);          /* hyphens or underscores; -1 */

typedef struct dk_gnn_config {
    dk_gnn_arch arch;
    dk_task task;
    int layers, hidden, features, classes;
    dk_readout readout;
    dk_fn activation;       /* of the layers: RELU (default), ELU, TANH, LEAKY_RELU */
    int heads;              /* gat */
    bool concat;            /* gat: heads side by side (else their mean) */
    bool add_self_loops;    /* gat */
    double negative_slope;  /* gat, .2 */
    double dropout;         /* between lin1 and lin2, training only */
    bool feature_row_sum;   /* each feature row is divided by its sum first */
    int pad_nodes;          /* every graph padded with isolated zero nodes to this many; 0: none */
} dk_gnn_config;

#define DK_GNN_MAX_LAYERS 16
#define DK_GNN_MAX_PARAMS 256

typedef struct dk_gnn {
    dk_gnn_config c;
    dk_dtype real;          /* of all values below */
    int params;             /* in the order of the state dict */
    dk_param param[DK_GNN_MAX_PARAMS];
    int buffers;            /* running_mean, running_var: as dk_param with grad NULL */
    dk_param buffer[4 * DK_GNN_MAX_LAYERS];
    dk_encoding encoding;   /* features the model was trained on */
    bool has_encoding;      /* false: third-party file without it */
    char *dataset;          /* name in the metadata, or NULL */
    char *path;             /* file it came from, for messages, or NULL */
    char hash[33];
} dk_gnn;

/* A new model with PyTorch's and PyG's initialisations. */
dk_gnn *dk_gnn_new(const dk_gnn_config *c, dk_dtype real, uint64_t seed, dk_err *err);
void dk_gnn_free(dk_gnn *m); /* accepts NULL */
dk_gnn *dk_gnn_copy(const dk_gnn *m, dk_dtype real, dk_err *err); /* converted */
/* Reads configuration from the metadata, and where it is silent from tensor names and shapes;
 * arch_hint (may be NULL) and task_hint (-1: none) come from the command line. Unknown layer names,
 * missing tensors, wrong shapes, NaN or infinite weights are DK_EFORMAT, named; names of older PyG
 * versions (lin_src, conv1.weight [in,out] of GCNConv, att_l ...) are mapped or refused by name. */
dk_gnn *dk_gnn_load(const char *path, const char *arch_hint, int task_hint, dk_dtype real,
                    dk_err *err);
dk_gnn *dk_gnn_load_st(const dk_st *st, const char *arch_hint, int task_hint, dk_dtype real,
                       dk_err *err);
/* Declares tensors and the metadata keys (arch, task, num_layers, hidden, ...) on w; the model must
 * outlive the save. Further metadata (seed, accuracies, provenance) is the caller's. */
void dk_gnn_save(const dk_gnn *m, dk_st_writer *w);
int64_t dk_gnn_parameters(const dk_gnn *m);
/* 0, or DK_EFORMAT when the data set's features or classes do not fit; encodes d for the model:
 * by the model's own values where it carries them, else by the folder's. */
int dk_gnn_encode(const dk_gnn *m, dk_dataset *d, dk_err *err);

/* ---- A graph or a batch as the model wants it: self loops, coefficients, padding. */
typedef struct dk_gnn_input {
    int32_t n, e;             /* rows with padding; edges of the graph(s) (masks have this length) */
    int32_t graphs;
    const int32_t *node_ptr;  /* [graphs + 1] rows of every graph */
    dk_adj adj;               /* edges of the graph(s) in list order */
    double *coef;             /* [e] what multiplies a message: weight, times 1/sqrt(D D) for gcn_norm
                                 (0 for a replaced self loop); NULL: all 1 */
    double *loop;             /* [n] coefficient of the node itself (gcn_norm); NULL: none */
    double *degree;           /* [n] D of gcn_norm (with loop); NULL otherwise */
    const double *weight;     /* [e] weights of the edges, borrowed; NULL: all 1 */
    dk_adj looped;            /* gat: edges, then one loop per node (replaced loops never attend) */
    double *x;                /* [n, features] as the model wants it (row sums, padding) */
    void *own;
} dk_gnn_input;
int dk_gnn_input_graph(dk_gnn_input *in, const dk_gnn *m, const dk_graph *g, dk_err *err);
int dk_gnn_input_batch(dk_gnn_input *in, const dk_gnn *m, const dk_batch *b, dk_err *err);
void dk_gnn_input_free(dk_gnn_input *in);

/* ---- Running. */
/* The model's parameters on a tape: bind once, dk_tape_save(), then run and restore many times. */
typedef struct dk_gnn_vars {
    dk_var param[DK_GNN_MAX_PARAMS];
} dk_gnn_vars;
/* train: parameters receive gradients; else they are constants. */
void dk_gnn_bind(const dk_gnn *m, dk_tape *t, bool train, dk_gnn_vars *v);

/* What an explainer may put in place of parts of the network. Every member may be NULL. Sites count
 * from 0 in order of execution: activations of layer 1 (gin: two), of layer 2, ..., of lin1. */
typedef struct dk_gnn_hooks {
    void *ctx;
    /* instead of fn(pre); rows are nodes (lin1: graphs, or the one explained node) */
    dk_var (*act)(void *ctx, dk_tape *t, int site, dk_fn fn, dk_var pre);
    /* instead of x / max(||x||, 1e-12); site = layer 0.. (gcn: before the layer; *_cat: after) */
    dk_var (*norm)(void *ctx, dk_tape *t, int site, dk_var x);
    /* instead of x w^T + b. site counts the linear maps in order of execution; w [out, in] */
    dk_var (*linear)(void *ctx, dk_tape *t, int site, dk_var x, dk_var w, dk_var b);
    /* attention coefficients [looped edges, heads] of layer `site`, after the softmax */
    dk_var (*attention)(void *ctx, dk_tape *t, int site, dk_var alpha);
    /* instead of the maximum over nodes */
    dk_var (*max_pool)(void *ctx, dk_tape *t, const int32_t *node_ptr, int32_t graphs, dk_var x);
} dk_gnn_hooks;

typedef enum { DK_MASK_MESSAGE, DK_MASK_WEIGHT } dk_mask_mode;

typedef struct dk_gnn_options {
    dk_var x;             /* features [n, features]; DK_NOVAR: those of the input */
    dk_var edge_mask;     /* [e, 1] multiplies coef in every layer; DK_NOVAR: ones */
    const dk_var *edge_mask_of; /* [layers] one per layer instead, or NULL */
    dk_mask_mode mask_mode; /* WEIGHT: the mask enters as edge weight, so gcn_norm's degrees change */
    int32_t node;         /* >= 0: the classifier only for this row (node task) */
    bool layers_only;     /* stop before readout and classifier */
    bool train;           /* batch statistics, dropout */
    uint64_t dropout_seed;
    const dk_gnn_hooks *hooks;
} dk_gnn_options;
dk_gnn_options dk_gnn_options_default(void);

typedef struct dk_gnn_trace {
    dk_var conv[DK_GNN_MAX_LAYERS]; /* output of layer l: before the activation (gin: after BN) */
    dk_var h[DK_GNN_MAX_LAYERS];    /* input of the next layer or of the readout */
    dk_var pooled;                  /* [graphs, d] (node task: the rows themselves) */
    dk_var lin1;                    /* before its activation; DK_NOVAR without lin1 */
    dk_var logits;                  /* [graphs, C], [n, C], or [1, C] with `node` */
} dk_gnn_trace;
/* Errors stay on the tape. */
void dk_gnn_run(const dk_gnn *m, dk_tape *t, const dk_gnn_vars *v, const dk_gnn_input *in,
                const dk_gnn_options *o, dk_gnn_trace *out);
/* Number of activation sites, and the layer (1..L) of a site; 0 for the classifier's. */
int dk_gnn_act_sites(const dk_gnn *m);
int dk_gnn_act_layer(const dk_gnn *m, int site);
/* Readout and classifier from given final node rows: what incremental methods and fidelity use.
 * pooled [g, d] -> logits [g, C]; for *_maxmean pooled is [g, 2d]. */
dk_var dk_gnn_classify(const dk_gnn *m, dk_tape *t, const dk_gnn_vars *v, const dk_gnn_options *o,
                       dk_var pooled, dk_var *lin1);

/* Rows of one layer, for incremental recomputation; false for attention. message: rows of h ->
 * rows of m (same width as the aggregate). update: aggregate and message rows -> rows of h;
 * `loop` [rows, 1] as in dk_gnn_input or DK_NOVAR. Same arithmetic as dk_gnn_run. */
bool dk_gnn_is_linear_aggregate(const dk_gnn *m);
dk_var dk_gnn_message(const dk_gnn *m, dk_tape *t, const dk_gnn_vars *v, int layer, dk_var h);
dk_var dk_gnn_update(const dk_gnn *m, dk_tape *t, const dk_gnn_vars *v, int layer, dk_var aggregate,
                     dk_var message, dk_var loop);

/* ---- Whole data sets: logits [count or n, classes] in f64, in parallel over graphs. */
int dk_gnn_predict(const dk_gnn *m, const dk_dataset *d, double *logits, dk_err *err);
/* Index of the largest logit; the first of equals. */
int32_t dk_argmax(const double *z, int32_t n);

#endif
