/* Shared by the files of the GNN engine: which tensors an architecture has, and where they lie. */
#ifndef DK_GRAPH_GNN_INTERNAL_H
#define DK_GRAPH_GNN_INTERNAL_H

#include "graph/gnn.h"

/* Shapes in terms of a layer's sizes; see dk_gnn_dims. */
typedef enum {
    DK_SHAPE_OUT_IN,
    DK_SHAPE_OUT_OUT,
    DK_SHAPE_IN_OUT,   /* multiplies from the right */
    DK_SHAPE_OUT,
    DK_SHAPE_ONE,
    DK_SHAPE_HEADS_IN, /* [heads * head, in] */
    DK_SHAPE_HEADS,    /* [heads * head] */
    DK_SHAPE_ATT       /* [1, heads, head] */
} dk_gnn_shape;

typedef enum { DK_INIT_LINEAR, DK_INIT_GLOROT, DK_INIT_ZERO, DK_INIT_ONE } dk_gnn_init;

typedef struct dk_gnn_slot {
    const char *suffix; /* "lin.weight", behind the layer's name */
    dk_gnn_shape shape;
    dk_gnn_init init;
    bool buffer; /* not trained */
} dk_gnn_slot;

/* Sizes of one layer; 0 is not known yet. */
typedef struct dk_gnn_dims {
    int64_t in, out;
    int64_t heads, head; /* attention: out is heads * head (concat) or head */
} dk_gnn_dims;

/* One tensor of the state dict. */
typedef struct dk_gnn_want {
    char name[64];
    int layer; /* -1: classifier */
    const dk_gnn_slot *slot;
    int ndim;
    int64_t shape[3];
    int64_t fan_in;
} dk_gnn_want;
#define DK_GNN_MAX_WANTS 320

/* Number of trained slots: parameter k of layer l is param[l * dk_gnn_slot_params(a) + k]. */
int dk_gnn_slot_params(dk_gnn_arch a);
/* Whether the classifier is one `lin` on stacked layers or readouts (gcn_norm_cat, _maxmean). */
bool dk_gnn_single_lin(dk_gnn_arch a);
bool dk_gnn_is_attention(dk_gnn_arch a);
/* Whether existing self loops give way to the layer's own. */
bool dk_gnn_own_loops(const dk_gnn_config *c);
/* Everything the state dict holds, layer by layer, then the classifier. `last` are its sizes: in
 * and out of lin1 (of lin). */
int dk_gnn_plan(const dk_gnn_config *c, const dk_gnn_dims *layer, dk_gnn_dims last,
                dk_gnn_want *want);
/* Rows or columns the classifier receives. */
int64_t dk_gnn_pooled_width(const dk_gnn_config *c, const dk_gnn_dims *layer);

/* A model with uninitialised values and zero gradients in the order of the plan. */
dk_gnn *dk_gnn_make(const dk_gnn_config *c, dk_dtype real, const dk_gnn_want *want, int n,
                    dk_err *err);
/* The parameter or buffer behind want[i], counted over all wants. */
dk_param *dk_gnn_entry(dk_gnn *m, const dk_gnn_want *want, int i);
size_t dk_gnn_real_size(dk_dtype real);

/* ---- Metadata. */
const char *dk_gnn_readout_name(dk_readout r);
const char *dk_gnn_activation_name(dk_fn f); /* NULL if it is none of the four */
/* What the file says; a field it is silent about is -1. */
typedef struct dk_gnn_meta {
    int arch, task, layers, hidden, features, classes, readout, concat;
    int activation, heads, add_self_loops, feature_row_sum, pad_nodes;
    double negative_slope, dropout;
} dk_gnn_meta;
int dk_gnn_meta_read(const dk_st *st, dk_gnn_meta *meta, dk_err *err);
int dk_gnn_meta_agrees(const dk_st *st, const dk_gnn_config *c, dk_err *err);
void dk_gnn_meta_write(const dk_gnn *m, dk_st_writer *w);

/* ---- Input: what it owns, each freed by dk_free_aligned. */
typedef struct dk_gnn_owned {
    int32_t *node_ptr, *src, *dst, *in_ptr, *out_ptr;
    int32_t *loop_src, *loop_dst, *loop_in_ptr, *loop_in, *loop_out_ptr, *loop_out;
    double *coef, *loop, *degree, *x;
    /* gcn_norm, for masks that change degrees */
    double *keep;     /* [e] 0 for an existing self loop, else 1; NULL if there are none */
    double *rest;     /* [n] D without the listed weights */
    double *unlisted; /* [n] weight of the node's loop unless it is in the list: 1 or 0 */
    /* attention */
    double *silence; /* [looped edges] hugely negative for an existing self loop; NULL: none */
} dk_gnn_owned;

/* ---- Running. */
typedef struct dk_gnn_ctx {
    const dk_gnn *m;
    dk_tape *t;
    const dk_gnn_vars *v;
    const dk_gnn_hooks *hooks; /* never NULL */
    bool train;
} dk_gnn_ctx;
dk_var dk_gnn_do_linear(const dk_gnn_ctx *c, int site, dk_var x, dk_var w, dk_var b);
dk_var dk_gnn_do_act(const dk_gnn_ctx *c, int site, dk_fn fn, dk_var pre);
dk_var dk_gnn_layer_param(const dk_gnn_ctx *c, int layer, int slot);
int dk_gnn_linear_site(const dk_gnn *m, int layer); /* first of a layer; layers: the classifier's */
int dk_gnn_act_site(const dk_gnn *m, int layer);
/* A column [n, 1] that stays in place; NOVAR for NULL. */
dk_var dk_gnn_column(dk_tape *t, int64_t n, const double *data);
/* Coefficients of the messages of one layer and of the nodes' own loops, with the mask. */
void dk_gnn_coefficients(dk_tape *t, const dk_gnn_input *in, dk_var mask, dk_mask_mode mode,
                         dk_var *coef, dk_var *loop);
/* Attention layer before its activation; coef [e, 1] or NOVAR. */
dk_var dk_gnn_attend(const dk_gnn_ctx *c, const dk_gnn_input *in, int layer, dk_var coef, dk_var h);
/* One grouping of e edges (ptr [n + 1], edge [e]) with a loop e + v behind the edges of every row v:
 * to_ptr [n + 1], to [e + n]. */
void dk_gnn_group_loops(int32_t n, int32_t e, const int32_t *ptr, const int32_t *edge,
                        int32_t *to_ptr, int32_t *to);

#endif
