/* Attention layers, over the looped edges j -> i:
 *   gat    s_ij = leaky(a_src . W h_j + a_dst . W h_i),        x_j = W h_j
 *   gatv2  s_ij = a . leaky(Wl h_j + bl + Wr h_i + br),        x_j = Wl h_j + bl
 *   alpha_ij = softmax of s_ij over the edges into i, per head
 *   h'_i = heads side by side, or their mean, of sum_j c_ij alpha_ij x_j, + bias
 * c_ij is the edge's weight and mask, 1 for the node's own loop. */
#include "base/mem.h"
#include "graph/gnn_internal.h"

enum { GAT_LIN, GAT_SRC, GAT_DST, GAT_BIAS };
enum { V2_LEFT, V2_LEFT_BIAS, V2_RIGHT, V2_RIGHT_BIAS, V2_ATT, V2_BIAS };

static dk_var gat_scores(const dk_gnn_ctx *c, const dk_adj *a, int layer, dk_var x)
{
    dk_tape *t = c->t;
    int heads = c->m->c.heads;
    dk_var src = dk_mul_op(t, x, dk_gnn_layer_param(c, layer, GAT_SRC));
    dk_var dst = dk_mul_op(t, x, dk_gnn_layer_param(c, layer, GAT_DST));

    src = dk_gather_rows(t, dk_sum_blocks(t, src, heads), a->src, a->n_edges);
    dst = dk_gather_rows(t, dk_sum_blocks(t, dst, heads), a->dst, a->n_edges);
    return dk_apply(t, DK_FN_LEAKY_RELU, dk_add_op(t, src, dst), c->m->c.negative_slope);
}

static dk_var gatv2_scores(const dk_gnn_ctx *c, const dk_adj *a, int layer, dk_var x, dk_var h)
{
    dk_tape *t = c->t;
    dk_var right = dk_gnn_do_linear(c, dk_gnn_linear_site(c->m, layer) + 1, h,
                                    dk_gnn_layer_param(c, layer, V2_RIGHT),
                                    dk_gnn_layer_param(c, layer, V2_RIGHT_BIAS));
    dk_var sum = dk_add_op(t, dk_gather_rows(t, x, a->src, a->n_edges),
                           dk_gather_rows(t, right, a->dst, a->n_edges));

    sum = dk_apply(t, DK_FN_LEAKY_RELU, sum, c->m->c.negative_slope);
    return dk_sum_blocks(t, dk_mul_op(t, sum, dk_gnn_layer_param(c, layer, V2_ATT)), c->m->c.heads);
}

/* Existing self loops stay in the list; this takes their share away before the softmax. */
static dk_var silence_loops(dk_tape *t, const dk_gnn_input *in, dk_var s)
{
    const dk_gnn_owned *o = in->own;

    if (!o->silence)
        return s;
    return dk_add_op(t, s, dk_gnn_column(t, in->looped.n_edges, o->silence));
}

static dk_var mean_of_heads(dk_tape *t, int heads, dk_var y)
{
    int64_t d = dk_tape_ok(t) ? dk_var_cols(t, y) / heads : 1;
    dk_var sum = dk_slice_cols(t, y, 0, d);

    for (int k = 1; k < heads; k++)
        sum = dk_add_op(t, sum, dk_slice_cols(t, y, k * d, d));
    return dk_affine(t, sum, 1.0 / heads, 0);
}

dk_var dk_gnn_attend(const dk_gnn_ctx *c, const dk_gnn_input *in, int layer, dk_var coef, dk_var h)
{
    dk_tape *t = c->t;
    const dk_gnn_config *k = &c->m->c;
    bool v2 = k->arch == DK_GNN_GATV2;
    dk_var x = dk_gnn_do_linear(c, dk_gnn_linear_site(c->m, layer), h,
                                dk_gnn_layer_param(c, layer, v2 ? V2_LEFT : GAT_LIN),
                                v2 ? dk_gnn_layer_param(c, layer, V2_LEFT_BIAS) : DK_NOVAR);
    dk_var s =
        v2 ? gatv2_scores(c, &in->looped, layer, x, h) : gat_scores(c, &in->looped, layer, x);
    dk_var alpha = dk_edge_softmax(t, &in->looped, silence_loops(t, in, s));

    if (c->hooks->attention)
        alpha = c->hooks->attention(c->hooks->ctx, t, layer, alpha);
    if (coef != DK_NOVAR) {
        if (in->looped.n_edges != in->e) {
            dk_var both[2] = {coef, dk_leaf_fill(t, in->n, 1, 1, false)};
            coef = dk_concat_rows(t, 2, both);
        }
        alpha = dk_mul_op(t, alpha, coef);
    }
    dk_var y = dk_aggregate(t, &in->looped, k->heads, alpha, x);
    if (!k->concat && k->heads > 1)
        y = mean_of_heads(t, k->heads, y);
    return dk_add_op(t, y, dk_gnn_layer_param(c, layer, v2 ? V2_BIAS : GAT_BIAS));
}
