/* The forward pass. Layers are run as message, aggregation, update in exactly the form that
 * dk_gnn_message and dk_gnn_update offer, so that rows computed alone equal rows computed here. */
#include "graph/gnn.h"

#include <assert.h>

#include "graph/gnn_internal.h"

enum { GCN_WEIGHT, GCN_BIAS };
enum { GIN_EPS, GIN_W0, GIN_B0, GIN_W2, GIN_B2, GIN_GAMMA, GIN_BETA };
enum { TWO_WEIGHT, TWO_BIAS, TWO_ROOT };

static const dk_gnn_hooks no_hooks;

dk_gnn_options dk_gnn_options_default(void)
{
    return (dk_gnn_options){.x = DK_NOVAR, .edge_mask = DK_NOVAR, .node = -1};
}

void dk_gnn_bind(const dk_gnn *m, dk_tape *t, bool train, dk_gnn_vars *v)
{
    int slots = dk_gnn_slot_params(m->c.arch);

    for (int i = 0; i < m->params; i++) {
        const dk_param *p = &m->param[i];
        v->param[i] =
            train ? dk_leaf_param(t, p) : dk_leaf_view(t, p->rows, p->cols, p->value, false);
        /* Stored [in, out]: turned once here, so that every linear map is x w^T. */
        if (dk_gnn_single_lin(m->c.arch) && i < m->c.layers * slots && i % slots == GCN_WEIGHT)
            v->param[i] = dk_transpose(t, v->param[i]);
    }
}

/* ---- Sites. */

static int linears_per_layer(dk_gnn_arch a)
{
    return a == DK_GNN_GIN || a == DK_GNN_SAGE || a == DK_GNN_GRAPHCONV || a == DK_GNN_GATV2 ? 2
                                                                                             : 1;
}

static int acts_per_layer(dk_gnn_arch a)
{
    return a == DK_GNN_GIN ? 2 : 1;
}

int dk_gnn_linear_site(const dk_gnn *m, int layer)
{
    return layer * linears_per_layer(m->c.arch);
}

int dk_gnn_act_site(const dk_gnn *m, int layer)
{
    return layer * acts_per_layer(m->c.arch);
}

int dk_gnn_act_sites(const dk_gnn *m)
{
    return dk_gnn_act_site(m, m->c.layers) + (dk_gnn_single_lin(m->c.arch) ? 0 : 1);
}

int dk_gnn_act_layer(const dk_gnn *m, int site)
{
    return site < dk_gnn_act_site(m, m->c.layers) ? site / acts_per_layer(m->c.arch) + 1 : 0;
}

/* ---- Pieces that hooks may replace. */

dk_var dk_gnn_layer_param(const dk_gnn_ctx *c, int layer, int slot)
{
    return c->v->param[layer * dk_gnn_slot_params(c->m->c.arch) + slot];
}

dk_var dk_gnn_do_linear(const dk_gnn_ctx *c, int site, dk_var x, dk_var w, dk_var b)
{
    if (c->hooks->linear)
        return c->hooks->linear(c->hooks->ctx, c->t, site, x, w, b);
    return dk_linear_op(c->t, x, w, b);
}

dk_var dk_gnn_do_act(const dk_gnn_ctx *c, int site, dk_fn fn, dk_var pre)
{
    if (c->hooks->act)
        return c->hooks->act(c->hooks->ctx, c->t, site, fn, pre);
    return dk_apply(c->t, fn, pre, fn == DK_FN_LEAKY_RELU ? .01 : fn == DK_FN_ELU ? 1 : 0);
}

static dk_var do_norm(const dk_gnn_ctx *c, int site, dk_var x)
{
    if (c->hooks->norm)
        return c->hooks->norm(c->hooks->ctx, c->t, site, x);
    return dk_l2norm_rows(c->t, x, 1e-12);
}

/* ---- Layers. */

static dk_var message(const dk_gnn_ctx *c, int layer, dk_var h)
{
    return c->m->c.arch == DK_GNN_GCN ? do_norm(c, layer, h) : h;
}

static dk_var update_gin(const dk_gnn_ctx *c, int l, dk_var a, dk_var m)
{
    const dk_param *mean = &c->m->buffer[2 * l], *var = &c->m->buffer[2 * l + 1];
    dk_bn bn = {mean->value, var->value, .1, 1e-5};
    int linear = dk_gnn_linear_site(c->m, l), act = dk_gnn_act_site(c->m, l);
    dk_fn fn = c->m->c.activation;
    dk_var scale = dk_affine(c->t, dk_gnn_layer_param(c, l, GIN_EPS), 1, 1);
    dk_var u = dk_add_op(c->t, a, dk_mul_op(c->t, m, scale));

    u = dk_gnn_do_linear(c, linear, u, dk_gnn_layer_param(c, l, GIN_W0),
                         dk_gnn_layer_param(c, l, GIN_B0));
    u = dk_gnn_do_act(c, act, fn, u);
    u = dk_gnn_do_linear(c, linear + 1, u, dk_gnn_layer_param(c, l, GIN_W2),
                         dk_gnn_layer_param(c, l, GIN_B2));
    u = dk_gnn_do_act(c, act + 1, fn, u);
    return dk_batchnorm(c->t, u, dk_gnn_layer_param(c, l, GIN_GAMMA),
                        dk_gnn_layer_param(c, l, GIN_BETA), &bn, c->train);
}

/* sage, graphconv: two maps, the bias with the neighbours'. */
static dk_var update_two(const dk_gnn_ctx *c, int l, dk_var a, dk_var m)
{
    int site = dk_gnn_linear_site(c->m, l);
    dk_var y = dk_gnn_do_linear(c, site, a, dk_gnn_layer_param(c, l, TWO_WEIGHT),
                                dk_gnn_layer_param(c, l, TWO_BIAS));

    return dk_add_op(
        c->t, y, dk_gnn_do_linear(c, site + 1, m, dk_gnn_layer_param(c, l, TWO_ROOT), DK_NOVAR));
}

static dk_var update_gcn(const dk_gnn_ctx *c, int l, dk_var a, dk_var m, dk_var loop)
{
    if (loop != DK_NOVAR)
        a = dk_add_op(c->t, a, dk_mul_op(c->t, m, loop));
    return dk_gnn_do_linear(c, dk_gnn_linear_site(c->m, l), a, dk_gnn_layer_param(c, l, GCN_WEIGHT),
                            dk_gnn_layer_param(c, l, GCN_BIAS));
}

/* From the layer's own output to the input of the next. */
static dk_var after(const dk_gnn_ctx *c, int l, dk_var conv)
{
    if (c->m->c.arch == DK_GNN_GIN)
        return conv;
    if (dk_gnn_single_lin(c->m->c.arch))
        conv = do_norm(c, l, conv);
    return dk_gnn_do_act(c, dk_gnn_act_site(c->m, l), c->m->c.activation, conv);
}

static dk_var update(const dk_gnn_ctx *c, int l, dk_var a, dk_var m, dk_var loop, dk_var *conv)
{
    switch (c->m->c.arch) {
    case DK_GNN_GIN:
        *conv = update_gin(c, l, a, m);
        break;
    case DK_GNN_SAGE:
    case DK_GNN_GRAPHCONV:
        *conv = update_two(c, l, a, m);
        break;
    default:
        *conv = update_gcn(c, l, a, m, loop);
        break;
    }
    return after(c, l, *conv);
}

bool dk_gnn_is_linear_aggregate(const dk_gnn *m)
{
    return !dk_gnn_is_attention(m->c.arch);
}

dk_var dk_gnn_message(const dk_gnn *m, dk_tape *t, const dk_gnn_vars *v, int layer, dk_var h)
{
    dk_gnn_ctx c = {m, t, v, &no_hooks, false};

    return message(&c, layer, h);
}

dk_var dk_gnn_update(const dk_gnn *m, dk_tape *t, const dk_gnn_vars *v, int layer, dk_var aggregate,
                     dk_var msg, dk_var loop)
{
    dk_gnn_ctx c = {m, t, v, &no_hooks, false};
    dk_var conv;

    return update(&c, layer, aggregate, msg, loop, &conv);
}

/* ---- Readout and classifier. */

static dk_var max_pool(const dk_gnn_ctx *c, const dk_gnn_input *in, dk_var h)
{
    if (c->hooks->max_pool)
        return c->hooks->max_pool(c->hooks->ctx, c->t, in->node_ptr, in->graphs, h);
    return dk_segment(c->t, DK_SEG_MAX, in->node_ptr, in->graphs, h);
}

static dk_var pool(const dk_gnn_ctx *c, const dk_gnn_input *in, dk_var h)
{
    switch (c->m->c.readout) {
    case DK_READ_MEAN:
        return dk_segment(c->t, DK_SEG_MEAN, in->node_ptr, in->graphs, h);
    case DK_READ_SUM:
        return dk_segment(c->t, DK_SEG_SUM, in->node_ptr, in->graphs, h);
    case DK_READ_MAX:
        return max_pool(c, in, h);
    case DK_READ_MAX_MEAN: {
        dk_var both[2] = {max_pool(c, in, h),
                          dk_segment(c->t, DK_SEG_MEAN, in->node_ptr, in->graphs, h)};
        return dk_concat_cols(c->t, 2, both);
    }
    case DK_READ_NONE:
        break;
    }
    return h;
}

/* gcn_norm_cat: all layers of the node side by side. */
static dk_var rows_to_classify(const dk_gnn_ctx *c, const dk_gnn_options *o, const dk_gnn_trace *tr)
{
    dk_var part[DK_GNN_MAX_LAYERS];
    bool cat = c->m->c.arch == DK_GNN_GCN_NORM_CAT;
    int n = cat ? c->m->c.layers : 1;

    for (int i = 0; i < n; i++) {
        part[i] = tr->h[cat ? i : c->m->c.layers - 1];
        if (o->node >= 0)
            part[i] = dk_slice_rows(c->t, part[i], o->node, 1);
    }
    return n > 1 ? dk_concat_cols(c->t, n, part) : part[0];
}

static dk_var classify(const dk_gnn_ctx *c, const dk_gnn_options *o, dk_var pooled, dk_var *lin1)
{
    const dk_var *p = c->v->param + c->m->c.layers * dk_gnn_slot_params(c->m->c.arch);
    int site = dk_gnn_linear_site(c->m, c->m->c.layers);

    *lin1 = DK_NOVAR;
    if (dk_gnn_single_lin(c->m->c.arch))
        return dk_gnn_do_linear(c, site, pooled, p[0], p[1]);
    *lin1 = dk_gnn_do_linear(c, site, pooled, p[0], p[1]);
    dk_var y = dk_gnn_do_act(c, dk_gnn_act_site(c->m, c->m->c.layers), DK_FN_RELU, *lin1);
    if (c->train && c->m->c.dropout > 0)
        y = dk_dropout(c->t, y, c->m->c.dropout, o->dropout_seed);
    return dk_gnn_do_linear(c, site + 1, y, p[2], p[3]);
}

dk_var dk_gnn_classify(const dk_gnn *m, dk_tape *t, const dk_gnn_vars *v, const dk_gnn_options *o,
                       dk_var pooled, dk_var *lin1)
{
    dk_gnn_ctx c = {m, t, v, o->hooks ? o->hooks : &no_hooks, o->train};
    dk_var own;

    return classify(&c, o, pooled, lin1 ? lin1 : &own);
}

/* ---- Together. */

static dk_var mask_of(const dk_gnn_options *o, int layer)
{
    return o->edge_mask_of ? o->edge_mask_of[layer] : o->edge_mask;
}

static void run_layers(const dk_gnn_ctx *c, const dk_gnn_input *in, const dk_gnn_options *o,
                       dk_gnn_trace *out)
{
    dk_var h = o->x, coef = DK_NOVAR, loop = DK_NOVAR;

    if (h == DK_NOVAR)
        h = dk_tape_real(c->t) == DK_F64 ? dk_leaf_view(c->t, in->n, c->m->c.features, in->x, false)
                                         : dk_leaf(c->t, in->n, c->m->c.features, in->x, false);
    for (int l = 0; l < c->m->c.layers; l++) {
        if (l == 0 || o->edge_mask_of)
            dk_gnn_coefficients(c->t, in, mask_of(o, l), o->mask_mode, &coef, &loop);
        if (dk_gnn_is_attention(c->m->c.arch)) {
            out->conv[l] = dk_gnn_attend(c, in, l, coef, h);
            h = after(c, l, out->conv[l]);
        } else {
            dk_var m = message(c, l, h);
            dk_var a = dk_aggregate(c->t, &in->adj, 1, coef, m);
            h = update(c, l, a, m, loop, &out->conv[l]);
        }
        out->h[l] = h;
    }
}

void dk_gnn_run(const dk_gnn *m, dk_tape *t, const dk_gnn_vars *v, const dk_gnn_input *in,
                const dk_gnn_options *o, dk_gnn_trace *out)
{
    dk_gnn_ctx c = {m, t, v, o->hooks ? o->hooks : &no_hooks, o->train};

    assert(dk_tape_real(t) == m->real);
    out->pooled = out->lin1 = out->logits = DK_NOVAR;
    run_layers(&c, in, o, out);
    if (o->layers_only)
        return;
    out->pooled = m->c.task == DK_TASK_NODE ? rows_to_classify(&c, o, out)
                                            : pool(&c, in, out->h[m->c.layers - 1]);
    out->logits = classify(&c, o, out->pooled, &out->lin1);
}
