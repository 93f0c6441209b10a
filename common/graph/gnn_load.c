/* A model from a state dict: which layers there are, which architecture they make, whether every
 * tensor is there and nothing else. All complaints about tensors come in one message. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/hash.h"
#include "base/mem.h"
#include "graph/gnn_internal.h"

/* How the layers are called: conv1, convs.0, convs.1 ...; conv1, conv2 ...; convs.0, convs.1 ... */
typedef enum { STYLE_FIRST_APART, STYLE_NUMBERED, STYLE_LIST } style;

typedef struct loader {
    const dk_st *st;
    const char *file;
    style style;
    dk_gnn_config c;
    dk_gnn_meta meta;
    dk_gnn_dims layer[DK_GNN_MAX_LAYERS], last;
    int wants;
    dk_gnn_want want[DK_GNN_MAX_WANTS];
    const dk_st_tensor *found[DK_GNN_MAX_WANTS];
    bool turned[DK_GNN_MAX_WANTS]; /* stored transposed */
} loader;

/* What other versions of PyG call a slot. */
static const struct {
    int arch;
    const char *slot, *alias;
    bool turned;
} aliases[] = {
    {DK_GNN_GCN, "lin.weight", "weight", true}, /* GCNConv before 2.0: [in, out] */
    {DK_GNN_GCN_NORM, "lin.weight", "weight", true},
    {DK_GNN_GCN_NORM_CAT, "weight", "lin.weight", true},
    {DK_GNN_GCN_NORM_MAXMEAN, "weight", "lin.weight", true},
    {DK_GNN_GAT, "lin.weight", "lin_src.weight", false}, /* GATConv 2.0 to 2.4 */
    {DK_GNN_GAT, "lin.weight", "lin_l.weight", false},   /* GATConv 1.6, 1.7 */
    {DK_GNN_GAT, "att_src", "att_l", false},
    {DK_GNN_GAT, "att_dst", "att_r", false},
};
enum { ALIASES = sizeof aliases / sizeof *aliases };

/* ---- Names. */

static void layer_prefix(style s, int layer, char *buf, size_t size)
{
    if (s == STYLE_NUMBERED || (s == STYLE_FIRST_APART && layer == 0))
        snprintf(buf, size, "conv%d.", layer + 1);
    else
        snprintf(buf, size, "convs.%d.", s == STYLE_LIST ? layer : layer - 1);
}

static bool has_layer(const dk_st *st, style s, int layer)
{
    char prefix[32];

    layer_prefix(s, layer, prefix, sizeof prefix);
    for (size_t i = 0; i < dk_st_count(st); i++)
        if (strncmp(dk_st_at(st, i)->name, prefix, strlen(prefix)) == 0)
            return true;
    return false;
}

static const dk_st_tensor *find_suffix(const loader *l, int layer, const char *suffix)
{
    char prefix[32], name[96];

    layer_prefix(l->style, layer, prefix, sizeof prefix);
    snprintf(name, sizeof name, "%s%s", prefix, suffix);
    return dk_st_find(l->st, name);
}

/* The tensor of a slot, under its own name or an alias. */
static const dk_st_tensor *find_slot(const loader *l, int layer, const char *suffix, bool *turned)
{
    const dk_st_tensor *t = find_suffix(l, layer, suffix);

    *turned = false;
    for (int i = 0; !t && i < ALIASES; i++) {
        if (aliases[i].arch != (int)l->c.arch || strcmp(aliases[i].slot, suffix) != 0)
            continue;
        t = find_suffix(l, layer, aliases[i].alias);
        *turned = t && aliases[i].turned;
    }
    return t;
}

static int find_layers(loader *l, dk_err *err)
{
    bool first = has_layer(l->st, STYLE_NUMBERED, 0), second = has_layer(l->st, STYLE_NUMBERED, 1);
    int n = 0;

    if (first)
        l->style =
            has_layer(l->st, STYLE_FIRST_APART, 1) || !second ? STYLE_FIRST_APART : STYLE_NUMBERED;
    else if (has_layer(l->st, STYLE_LIST, 0))
        l->style = STYLE_LIST;
    else
        return dk_fail(err, DK_EFORMAT,
                       "%s: no layers; expected tensors named conv1.*, convs.0.* "
                       "..., first tensor is \"%.64s\"",
                       l->file, dk_st_count(l->st) ? dk_st_at(l->st, 0)->name : "");
    while (n <= DK_GNN_MAX_LAYERS && has_layer(l->st, l->style, n))
        n++;
    if (n > DK_GNN_MAX_LAYERS)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: more than %d layers", l->file, DK_GNN_MAX_LAYERS);
    if (l->meta.layers >= 0 && l->meta.layers != n)
        return dk_fail(err, DK_EFORMAT,
                       "%s: metadata \"num_layers\" is %d, the tensors make %d "
                       "layers",
                       l->file, l->meta.layers, n);
    l->c.layers = n;
    return 0;
}

/* ---- Architecture and task. */

static int64_t columns(const dk_st_tensor *t)
{
    return t && t->ndim == 2 ? t->shape[1] : 0;
}

/* gcn_norm_cat stacks all layers, gcn_norm_maxmean two readouts of the last; -1: both would do. */
static int second_family(const loader *l)
{
    int64_t in = columns(dk_st_find(l->st, "lin.weight")), sum = 0, width = 0;

    for (int k = 0; k < l->c.layers; k++) {
        const dk_st_tensor *b = find_suffix(l, k, "bias");
        width = b && b->ndim == 1 && b->shape[0] < 1 << 24 ? b->shape[0] : 0;
        sum += width;
    }
    if (in == sum && in == 2 * width)
        return -1;
    return in == 2 * width ? DK_GNN_GCN_NORM_MAXMEAN : DK_GNN_GCN_NORM_CAT;
}

static int infer_arch(const loader *l, int task)
{
    static const struct {
        const char *suffix;
        dk_gnn_arch arch;
    } key[] = {
        {"nn.0.weight", DK_GNN_GIN}, {"lin_rel.weight", DK_GNN_GRAPHCONV},
        {"att", DK_GNN_GATV2},       {"att_src", DK_GNN_GAT},
        {"att_l", DK_GNN_GAT},       {"lin_l.weight", DK_GNN_SAGE},
    };

    for (size_t i = 0; i < sizeof key / sizeof *key; i++)
        if (find_suffix(l, 0, key[i].suffix))
            return (int)key[i].arch;
    if (dk_st_find(l->st, "lin1.weight") &&
        (find_suffix(l, 0, "lin.weight") || find_suffix(l, 0, "weight")))
        return DK_GNN_GCN;
    if (dk_st_find(l->st, "lin.weight") && find_suffix(l, 0, "weight")) {
        int arch = second_family(l);
        if (arch < 0 && task >= 0)
            arch = task == DK_TASK_NODE ? DK_GNN_GCN_NORM_CAT : DK_GNN_GCN_NORM_MAXMEAN;
        return arch;
    }
    return -1;
}

static int choose_arch(loader *l, const char *hint, int task_hint, dk_err *err)
{
    int arch = l->meta.arch, task = l->meta.task >= 0 ? l->meta.task : task_hint;

    if (hint) {
        int asked = dk_gnn_arch_parse(hint);
        if (asked < 0)
            return dk_fail(err, DK_EUSAGE,
                           "unknown architecture \"%.64s\"; expected gcn, gin, "
                           "sage, graphconv, gcn_norm, gat, gatv2, gcn_norm_cat or "
                           "gcn_norm_maxmean",
                           hint);
        if (arch >= 0 && arch != asked)
            return dk_fail(err, DK_EUSAGE, "architecture %s was asked for, but %s says %s",
                           dk_gnn_arch_name((dk_gnn_arch)asked), l->file,
                           dk_gnn_arch_name((dk_gnn_arch)arch));
        arch = asked;
    }
    if (arch < 0)
        arch = infer_arch(l, task);
    if (arch < 0)
        return dk_fail(err, DK_EFORMAT,
                       "%s: the architecture can be told neither from the "
                       "metadata nor from the tensors (first is \"%.64s\"); name it with --arch",
                       l->file, dk_st_at(l->st, 0)->name);
    l->c.arch = (dk_gnn_arch)arch;
    return 0;
}

static int choose_task(loader *l, int hint, dk_err *err)
{
    int task = l->meta.task, readout = l->meta.readout;
    const char *arch = dk_gnn_arch_name(l->c.arch);

    if (dk_gnn_single_lin(l->c.arch)) {
        int own = l->c.arch == DK_GNN_GCN_NORM_CAT ? DK_TASK_NODE : DK_TASK_GRAPH;
        if (task >= 0 && task != own)
            return dk_fail(err, DK_EFORMAT, "%s: metadata \"task\": %s is a model of %s", l->file,
                           arch, own == DK_TASK_NODE ? "nodes" : "graphs");
        task = own;
    }
    if (task >= 0 && hint >= 0 && task != hint)
        return dk_fail(err, DK_EUSAGE, "task %s was asked for, but %s is a model of %s",
                       hint == DK_TASK_NODE ? "node" : "graph", l->file,
                       task == DK_TASK_NODE ? "nodes" : "graphs");
    if (task < 0)
        task = hint >= 0 ? hint : readout == DK_READ_NONE ? DK_TASK_NODE : DK_TASK_GRAPH;
    if (readout < 0)
        readout = task == DK_TASK_NODE                   ? DK_READ_NONE
                  : l->c.arch == DK_GNN_GCN_NORM_MAXMEAN ? DK_READ_MAX_MEAN
                                                         : DK_READ_MEAN;
    if ((task == DK_TASK_NODE) != (readout == DK_READ_NONE) ||
        (l->c.arch == DK_GNN_GCN_NORM_MAXMEAN) != (readout == DK_READ_MAX_MEAN))
        return dk_fail(err, DK_EFORMAT,
                       "%s: metadata \"readout\" is %s, which does not go with "
                       "%s for %s",
                       l->file, dk_gnn_readout_name((dk_readout)readout), arch,
                       task == DK_TASK_NODE ? "nodes" : "graphs");
    l->c.task = (dk_task)task;
    l->c.readout = (dk_readout)readout;
    return 0;
}

/* ---- Sizes, read off one tensor per layer; 0 where it is missing or misshapen. */

static int64_t size_at(const dk_st_tensor *t, int ndim, int dim)
{
    int64_t n = t && t->ndim == ndim ? t->shape[dim] : 0;
    return n >= 1 && n <= 1 << 24 ? n : 0;
}

/* Size `dim` of a weight as the plan has it. */
static int64_t weight_size(const loader *l, int layer, const char *suffix, int dim)
{
    bool turned;
    const dk_st_tensor *t = find_slot(l, layer, suffix, &turned);
    return size_at(t, 2, turned ? 1 - dim : dim);
}

/* The slot that tells in and out (attention: in) of a layer. */
static const char *key_weight(dk_gnn_arch a)
{
    switch (a) {
    case DK_GNN_GIN:
        return "nn.0.weight";
    case DK_GNN_SAGE:
    case DK_GNN_GATV2:
        return "lin_l.weight";
    case DK_GNN_GRAPHCONV:
        return "lin_rel.weight";
    case DK_GNN_GCN_NORM_CAT:
    case DK_GNN_GCN_NORM_MAXMEAN:
        return "weight";
    default:
        return "lin.weight";
    }
}

static void attention_sizes(loader *l)
{
    const char *att = l->c.arch == DK_GNN_GAT ? "att_src" : "att";
    bool turned;

    for (int k = 0; k < l->c.layers; k++) {
        const dk_st_tensor *a = find_slot(l, k, att, &turned);
        const dk_st_tensor *b = find_suffix(l, k, "bias");
        dk_gnn_dims *d = &l->layer[k];
        if (k == 0) {
            l->c.heads = (int)size_at(a, 3, 1);
            if (l->c.heads > 1024)
                l->c.heads = 0;
            l->c.concat =
                l->meta.concat >= 0 ? l->meta.concat : size_at(b, 1, 0) != size_at(a, 3, 2);
        }
        d->heads = l->c.heads;
        d->head = size_at(a, 3, 2);
        d->out = l->c.concat ? d->heads * d->head : d->head;
    }
}

static void read_sizes(loader *l)
{
    bool right = dk_gnn_single_lin(l->c.arch);
    const char *key = key_weight(l->c.arch);

    l->c.heads = 1;
    l->layer[0].in = weight_size(l, 0, key, right ? 0 : 1);
    if (dk_gnn_is_attention(l->c.arch))
        attention_sizes(l);
    else
        for (int k = 0; k < l->c.layers; k++)
            l->layer[k].out = weight_size(l, k, key, right ? 1 : 0);
    for (int k = 1; k < l->c.layers; k++)
        l->layer[k].in = l->layer[k - 1].out;
    l->c.features = (int)l->layer[0].in;
    l->c.classes = (int)size_at(dk_st_find(l->st, right ? "lin.weight" : "lin2.weight"), 2, 0);
    l->last.in = dk_gnn_pooled_width(&l->c, l->layer);
    l->last.out = size_at(dk_st_find(l->st, "lin1.weight"), 2, 0);
    l->c.hidden = (int)(dk_gnn_is_attention(l->c.arch) ? l->layer[0].head : l->layer[0].out);
}

/* Metadata against tensors, once these are known to be complete. */
static int check_sizes(const loader *l, dk_err *err)
{
    const dk_gnn_config *c = &l->c;
    const struct {
        const char *key;
        int said, is, also;
    } pair[] = {
        {"hidden", l->meta.hidden, c->hidden, (int)l->layer[0].out},
        {"num_features", l->meta.features, c->features, c->features},
        {"num_classes", l->meta.classes, c->classes, c->classes},
        {"heads", l->meta.heads, c->heads, dk_gnn_is_attention(c->arch) ? c->heads : -1},
    };

    for (size_t i = 0; i < sizeof pair / sizeof *pair; i++)
        if (pair[i].said >= 0 && pair[i].also >= 0 && pair[i].said != pair[i].is &&
            pair[i].said != pair[i].also)
            return dk_fail(err, DK_EFORMAT, "%s: metadata \"%s\" is %d, the tensors say %d",
                           l->file, pair[i].key, pair[i].said, pair[i].is);
    return dk_gnn_meta_agrees(l->st, c, err);
}

static void other_settings(loader *l)
{
    const dk_gnn_meta *s = &l->meta;
    dk_gnn_config *c = &l->c;

    c->activation = s->activation >= 0 ? (dk_fn)s->activation : DK_FN_RELU;
    c->add_self_loops = s->add_self_loops != 0;
    c->negative_slope = s->negative_slope >= 0 ? s->negative_slope : .2;
    c->dropout = s->dropout >= 0 ? s->dropout : dk_gnn_single_lin(c->arch) ? 0 : .5;
    c->feature_row_sum = s->feature_row_sum == 1;
    c->pad_nodes = s->pad_nodes >= 0 ? s->pad_nodes : 0;
}

/* ---- Tensors against the plan. */

static const dk_st_tensor *find_want(const loader *l, const dk_gnn_want *w, bool *turned)
{
    *turned = false;
    if (w->layer < 0)
        return dk_st_find(l->st, w->name);
    return find_slot(l, w->layer, w->slot->suffix, turned);
}

static void add_shape(dk_buf *b, int ndim, const int64_t *shape, bool turned)
{
    dk_buf_putc(b, '[');
    for (int i = 0; i < ndim; i++) {
        int64_t n = shape[turned ? ndim - 1 - i : i];
        dk_buf_puts(b, i ? ", " : "");
        if (n > 0)
            dk_buf_printf(b, "%lld", (long long)n);
        else
            dk_buf_puts(b, n ? "?" : "any");
    }
    dk_buf_putc(b, ']');
}

/* Sizes that are 0 in the plan could not be told; the tensor that would tell is complained about.
 */
static bool fits(const dk_gnn_want *w, const dk_st_tensor *t, bool turned)
{
    if (w->slot->shape == DK_SHAPE_ONE && t->ndim == 0)
        return true;
    if (t->ndim != w->ndim)
        return false;
    for (int i = 0; i < w->ndim; i++) {
        int64_t n = t->shape[turned ? w->ndim - 1 - i : i];
        if (n < 1 || n > 1 << 24 || (w->shape[i] && n != w->shape[i]))
            return false;
    }
    return true;
}

static void match_want(loader *l, int i, dk_buf *missing, dk_buf *wrong)
{
    const dk_gnn_want *w = &l->want[i];
    const dk_st_tensor *t = l->found[i] = find_want(l, w, &l->turned[i]);
    char prefix[32] = "";

    if (!t) {
        if (w->layer >= 0)
            layer_prefix(l->style, w->layer, prefix, sizeof prefix);
        dk_buf_printf(missing, "%s%s%s", missing->len ? ", " : "", prefix,
                      w->layer >= 0 ? w->slot->suffix : w->name);
        return;
    }
    if (t->dtype != DK_F32 && t->dtype != DK_F64 && t->dtype != DK_F16 && t->dtype != DK_BF16) {
        dk_buf_printf(wrong, "%s%s has type %s", wrong->len ? "; " : "", t->name,
                      dk_dtype_name(t->dtype));
    } else if (!fits(w, t, l->turned[i])) {
        dk_buf_printf(wrong, "%s%s has shape ", wrong->len ? "; " : "", t->name);
        add_shape(wrong, t->ndim, t->shape, false);
        dk_buf_puts(wrong, ", expected ");
        add_shape(wrong, w->ndim, w->shape, l->turned[i]);
    }
}

/* A second copy of a weight: GATConv 2.0 to 2.4 lists lin_dst (1.x: lin_r), the same as lin_src. */
static bool is_twin(const loader *l, const dk_st_tensor *t)
{
    static const char *const twins[] = {"lin_dst.weight", "lin_r.weight"};
    bool turned;

    for (int k = 0; l->c.arch == DK_GNN_GAT && k < l->c.layers; k++)
        for (int i = 0; i < 2; i++) {
            const dk_st_tensor *w = find_slot(l, k, "lin.weight", &turned);
            if (find_suffix(l, k, twins[i]) == t && w && w->bytes == t->bytes &&
                w->dtype == t->dtype && memcmp(w->data, t->data, t->bytes) == 0)
                return true;
        }
    return false;
}

static bool is_known(const loader *l, const dk_st_tensor *t)
{
    static const char counter[] = ".nn.4.num_batches_tracked";
    size_t n = strlen(t->name), m = sizeof counter - 1;

    for (int i = 0; i < l->wants; i++)
        if (l->found[i] == t)
            return true;
    if (l->c.arch == DK_GNN_GIN && n > m && strcmp(t->name + n - m, counter) == 0)
        return true;
    return is_twin(l, t);
}

static int match(loader *l, dk_err *err)
{
    dk_buf missing = {0}, wrong = {0}, unknown = {0}, all = {0};

    l->wants = dk_gnn_plan(&l->c, l->layer, l->last, l->want);
    for (int i = 0; i < l->wants; i++)
        match_want(l, i, &missing, &wrong);
    for (size_t i = 0; i < dk_st_count(l->st) && unknown.len < DK_ERR_MSG; i++)
        if (!is_known(l, dk_st_at(l->st, i)))
            dk_buf_printf(&unknown, "%s%s", unknown.len ? ", " : "", dk_st_at(l->st, i)->name);
    if (wrong.len)
        dk_buf_printf(&all, "; %s", wrong.data);
    if (missing.len)
        dk_buf_printf(&all, "; missing: %s", missing.data);
    if (unknown.len)
        dk_buf_printf(&all, "; not understood: %s", unknown.data);
    if (all.len)
        dk_fail(err, DK_EFORMAT, "%s: tensors do not make a %s model of %d layers: %s", l->file,
                dk_gnn_arch_name(l->c.arch), l->c.layers, all.data + 2);
    dk_buf_free(&missing);
    dk_buf_free(&wrong);
    dk_buf_free(&unknown);
    dk_buf_free(&all);
    return err->code;
}

/* ---- Values. */

static double element(const dk_st_tensor *t, size_t i)
{
    const char *p = (const char *)t->data + i * ((size_t)dk_dtype_bits(t->dtype) / 8);
    double d;
    float f;

    if (t->dtype == DK_F64) {
        memcpy(&d, p, sizeof d);
        return d;
    }
    dk_to_f32(t->dtype, p, &f, 1);
    return (double)f;
}

static int fill(const loader *l, int i, dk_gnn *m, dk_err *err)
{
    const dk_st_tensor *t = l->found[i];
    dk_param *p = dk_gnn_entry(m, l->want, i);
    int64_t n = p->rows * p->cols;

    for (int64_t k = 0; k < n; k++) {
        int64_t from = l->turned[i] ? k % p->cols * p->rows + k / p->cols : k;
        double v = element(t, (size_t)from);
        bool finite = isfinite(m->real == DK_F64 ? v : (double)(float)v);
        if (!finite)
            return dk_fail(err, DK_EFORMAT, "%s: tensor \"%s\": element %lld is %g", l->file,
                           t->name, (long long)from, v);
        if (m->real == DK_F64)
            ((double *)p->value)[k] = v;
        else
            ((float *)p->value)[k] = (float)v;
    }
    return 0;
}

/* sqrt(variance + 1e-5) is a divisor. */
static int check_variances(const loader *l, const dk_gnn *m, dk_err *err)
{
    for (int i = 0, b = 0; i < l->wants; i++) {
        if (!l->want[i].slot->buffer)
            continue;
        const dk_param *p = &m->buffer[b++];
        for (int64_t k = 0; strstr(p->name, "running_var") && k < p->cols; k++)
            if ((m->real == DK_F64 ? ((double *)p->value)[k] : (double)((float *)p->value)[k]) < 0)
                return dk_fail(err, DK_EFORMAT, "%s: tensor \"%s\": element %lld is negative",
                               l->file, l->found[i]->name, (long long)k);
    }
    return 0;
}

static int read_encoding(const loader *l, dk_gnn *m, dk_err *err)
{
    const char *text = dk_st_meta(l->st, "encoding");

    if (!text)
        return 0;
    if (dk_encoding_parse(&m->encoding, text, err))
        return dk_wrap(err, "%s: metadata \"encoding\"", l->file);
    m->has_encoding = true;
    if (dk_encoding_features(&m->encoding) != m->c.features)
        return dk_fail(err, DK_EFORMAT,
                       "%s: metadata \"encoding\" makes %d features, the tensors "
                       "expect %d",
                       l->file, dk_encoding_features(&m->encoding), m->c.features);
    return 0;
}

static dk_gnn *build(const loader *l, dk_dtype real, dk_err *err)
{
    const char *dataset = dk_st_meta(l->st, "dataset");
    dk_gnn *m = dk_gnn_make(&l->c, real, l->want, l->wants, err);
    size_t len;

    if (!m) {
        dk_wrap(err, "%s", l->file);
        return NULL;
    }
    for (int i = 0; i < l->wants; i++)
        if (fill(l, i, m, err))
            goto fail;
    if (check_variances(l, m, err) || read_encoding(l, m, err))
        goto fail;
    m->path = dk_xstrdup(l->file);
    m->dataset = dataset ? dk_xstrdup(dataset) : NULL;
    dk_hasher *h = dk_hash_new();
    const void *bytes = dk_st_bytes(l->st, &len);
    dk_hash_add(h, bytes, len);
    dk_hash_hex(h, m->hash);
    return m;
fail:
    dk_gnn_free(m);
    return NULL;
}

dk_gnn *dk_gnn_load_st(const dk_st *st, const char *arch_hint, int task_hint, dk_dtype real,
                       dk_err *err)
{
    loader *l = dk_xcalloc(1, sizeof *l);
    dk_gnn *m = NULL;

    l->st = st;
    l->file = dk_st_path(st);
    if (!dk_gnn_meta_read(st, &l->meta, err) && !find_layers(l, err) &&
        !choose_arch(l, arch_hint, task_hint, err) && !choose_task(l, task_hint, err)) {
        other_settings(l);
        read_sizes(l);
        if (!match(l, err) && !check_sizes(l, err))
            m = build(l, real, err);
    }
    free(l);
    return m;
}

dk_gnn *dk_gnn_load(const char *path, const char *arch_hint, int task_hint, dk_dtype real,
                    dk_err *err)
{
    dk_st *st = dk_st_open(path, err);
    dk_gnn *m = st ? dk_gnn_load_st(st, arch_hint, task_hint, real, err) : NULL;

    dk_st_close(st);
    return m;
}
