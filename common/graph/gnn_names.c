/* Names and shapes: the tensors of every architecture as PyTorch Geometric's state dicts have
 * them, as one table per layer type. Building, loading and saving all walk the plan made here. */
#include <stdio.h>
#include <string.h>

#include "graph/gnn_internal.h"

static const char *const arch_names[] = {
    [DK_GNN_GCN] = "gcn",
    [DK_GNN_GIN] = "gin",
    [DK_GNN_SAGE] = "sage",
    [DK_GNN_GRAPHCONV] = "graphconv",
    [DK_GNN_GCN_NORM] = "gcn_norm",
    [DK_GNN_GAT] = "gat",
    [DK_GNN_GATV2] = "gatv2",
    [DK_GNN_GCN_NORM_CAT] = "gcn_norm_cat",
    [DK_GNN_GCN_NORM_MAXMEAN] = "gcn_norm_maxmean",
};
enum { ARCHES = sizeof arch_names / sizeof *arch_names };

static const dk_gnn_slot gcn_slots[] = {
    {"lin.weight", DK_SHAPE_OUT_IN, DK_INIT_GLOROT, false},
    {"bias", DK_SHAPE_OUT, DK_INIT_ZERO, false},
};
static const dk_gnn_slot gin_slots[] = {
    {"eps", DK_SHAPE_ONE, DK_INIT_ZERO, false},
    {"nn.0.weight", DK_SHAPE_OUT_IN, DK_INIT_LINEAR, false},
    {"nn.0.bias", DK_SHAPE_OUT, DK_INIT_LINEAR, false},
    {"nn.2.weight", DK_SHAPE_OUT_OUT, DK_INIT_LINEAR, false},
    {"nn.2.bias", DK_SHAPE_OUT, DK_INIT_LINEAR, false},
    {"nn.4.weight", DK_SHAPE_OUT, DK_INIT_ONE, false},
    {"nn.4.bias", DK_SHAPE_OUT, DK_INIT_ZERO, false},
    {"nn.4.running_mean", DK_SHAPE_OUT, DK_INIT_ZERO, true},
    {"nn.4.running_var", DK_SHAPE_OUT, DK_INIT_ONE, true},
};
static const dk_gnn_slot sage_slots[] = {
    {"lin_l.weight", DK_SHAPE_OUT_IN, DK_INIT_LINEAR, false},
    {"lin_l.bias", DK_SHAPE_OUT, DK_INIT_LINEAR, false},
    {"lin_r.weight", DK_SHAPE_OUT_IN, DK_INIT_LINEAR, false},
};
static const dk_gnn_slot graphconv_slots[] = {
    {"lin_rel.weight", DK_SHAPE_OUT_IN, DK_INIT_LINEAR, false},
    {"lin_rel.bias", DK_SHAPE_OUT, DK_INIT_LINEAR, false},
    {"lin_root.weight", DK_SHAPE_OUT_IN, DK_INIT_LINEAR, false},
};
static const dk_gnn_slot gat_slots[] = {
    {"lin.weight", DK_SHAPE_HEADS_IN, DK_INIT_GLOROT, false},
    {"att_src", DK_SHAPE_ATT, DK_INIT_GLOROT, false},
    {"att_dst", DK_SHAPE_ATT, DK_INIT_GLOROT, false},
    {"bias", DK_SHAPE_OUT, DK_INIT_ZERO, false},
};
static const dk_gnn_slot gatv2_slots[] = {
    {"lin_l.weight", DK_SHAPE_HEADS_IN, DK_INIT_GLOROT, false},
    {"lin_l.bias", DK_SHAPE_HEADS, DK_INIT_LINEAR, false},
    {"lin_r.weight", DK_SHAPE_HEADS_IN, DK_INIT_GLOROT, false},
    {"lin_r.bias", DK_SHAPE_HEADS, DK_INIT_LINEAR, false},
    {"att", DK_SHAPE_ATT, DK_INIT_GLOROT, false},
    {"bias", DK_SHAPE_OUT, DK_INIT_ZERO, false},
};
static const dk_gnn_slot right_slots[] = {
    {"weight", DK_SHAPE_IN_OUT, DK_INIT_GLOROT, false},
    {"bias", DK_SHAPE_OUT, DK_INIT_ZERO, false},
};
static const dk_gnn_slot linear_slots[] = {
    {"weight", DK_SHAPE_OUT_IN, DK_INIT_LINEAR, false},
    {"bias", DK_SHAPE_OUT, DK_INIT_LINEAR, false},
};

#define SLOTS(s)                                                                                   \
    {                                                                                              \
        s, sizeof s / sizeof *s                                                                    \
    }
static const struct {
    const dk_gnn_slot *slot;
    int n;
} arch_slots[] = {
    [DK_GNN_GCN] = SLOTS(gcn_slots),
    [DK_GNN_GIN] = SLOTS(gin_slots),
    [DK_GNN_SAGE] = SLOTS(sage_slots),
    [DK_GNN_GRAPHCONV] = SLOTS(graphconv_slots),
    [DK_GNN_GCN_NORM] = SLOTS(gcn_slots),
    [DK_GNN_GAT] = SLOTS(gat_slots),
    [DK_GNN_GATV2] = SLOTS(gatv2_slots),
    [DK_GNN_GCN_NORM_CAT] = SLOTS(right_slots),
    [DK_GNN_GCN_NORM_MAXMEAN] = SLOTS(right_slots),
};

const char *dk_gnn_arch_name(dk_gnn_arch a)
{
    return arch_names[a];
}

int dk_gnn_arch_parse(const char *s)
{
    for (int a = 0; a < ARCHES; a++) {
        const char *p = s, *q = arch_names[a];
        while (*p && (*p == *q || (*p == '-' && *q == '_')))
            p++, q++;
        if (!*p && !*q)
            return a;
    }
    return -1;
}

int dk_gnn_slot_params(dk_gnn_arch a)
{
    int n = 0;

    for (int i = 0; i < arch_slots[a].n; i++)
        n += !arch_slots[a].slot[i].buffer;
    return n;
}

bool dk_gnn_single_lin(dk_gnn_arch a)
{
    return a == DK_GNN_GCN_NORM_CAT || a == DK_GNN_GCN_NORM_MAXMEAN;
}

bool dk_gnn_is_attention(dk_gnn_arch a)
{
    return a == DK_GNN_GAT || a == DK_GNN_GATV2;
}

bool dk_gnn_own_loops(const dk_gnn_config *c)
{
    return c->arch == DK_GNN_GCN_NORM || dk_gnn_single_lin(c->arch) ||
           (dk_gnn_is_attention(c->arch) && c->add_self_loops);
}

int64_t dk_gnn_pooled_width(const dk_gnn_config *c, const dk_gnn_dims *layer)
{
    int64_t sum = 0;

    if (c->arch == DK_GNN_GCN_NORM_MAXMEAN)
        return 2 * layer[c->layers - 1].out;
    if (c->arch != DK_GNN_GCN_NORM_CAT)
        return layer[c->layers - 1].out;
    for (int l = 0; l < c->layers; l++) {
        if (!layer[l].out)
            return 0;
        sum += layer[l].out;
    }
    return sum;
}

/* ---- The plan. */

static void set_shape(dk_gnn_want *w, const dk_gnn_dims *d)
{
    int64_t wide = d->heads * d->head;
    int64_t first = 0, second = 0;

    w->ndim = 1;
    switch (w->slot->shape) {
    case DK_SHAPE_OUT:
        first = d->out;
        break;
    case DK_SHAPE_ONE:
        first = 1;
        break;
    case DK_SHAPE_HEADS:
        first = wide;
        break;
    case DK_SHAPE_OUT_IN:
        w->ndim = 2, first = d->out, second = d->in;
        break;
    case DK_SHAPE_OUT_OUT:
        w->ndim = 2, first = d->out, second = d->out;
        break;
    case DK_SHAPE_IN_OUT:
        w->ndim = 2, first = d->in, second = d->out;
        break;
    case DK_SHAPE_HEADS_IN:
        w->ndim = 2, first = wide, second = d->in;
        break;
    case DK_SHAPE_ATT:
        w->ndim = 3, first = 1, second = d->heads;
        break;
    }
    w->shape[0] = first;
    w->shape[1] = second;
    w->shape[2] = d->head;
    /* A bias is drawn as widely as the weight before it. */
    w->fan_in = strcmp(w->slot->suffix, "nn.2.bias") == 0 ? d->out : d->in;
    if (w->ndim == 2)
        w->fan_in = second;
}

static int add(dk_gnn_want *want, int n, const char *prefix, int layer, const dk_gnn_slot *slot,
               const dk_gnn_dims *d)
{
    dk_gnn_want *w = &want[n];

    *w = (dk_gnn_want){.layer = layer, .slot = slot};
    snprintf(w->name, sizeof w->name, "%s.%s", prefix, slot->suffix);
    set_shape(w, d);
    return n + 1;
}

int dk_gnn_plan(const dk_gnn_config *c, const dk_gnn_dims *layer, dk_gnn_dims last,
                dk_gnn_want *want)
{
    dk_gnn_dims end = {.in = last.out, .out = c->classes};
    char prefix[32];
    int n = 0;

    for (int l = 0; l < c->layers; l++) {
        if (l == 0 || dk_gnn_single_lin(c->arch))
            snprintf(prefix, sizeof prefix, "conv%d", l + 1);
        else
            snprintf(prefix, sizeof prefix, "convs.%d", l - 1);
        for (int k = 0; k < arch_slots[c->arch].n; k++)
            n = add(want, n, prefix, l, &arch_slots[c->arch].slot[k], &layer[l]);
    }
    if (dk_gnn_single_lin(c->arch)) {
        last.out = c->classes;
        for (int k = 0; k < 2; k++)
            n = add(want, n, "lin", -1, &linear_slots[k], &last);
        return n;
    }
    for (int k = 0; k < 2; k++)
        n = add(want, n, "lin1", -1, &linear_slots[k], &last);
    for (int k = 0; k < 2; k++)
        n = add(want, n, "lin2", -1, &linear_slots[k], &end);
    return n;
}
