/* The model as a list of parameters: making, copying, saving, fitting a data set to it. */
#include "graph/gnn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/rng.h"
#include "graph/gnn_internal.h"

size_t dk_gnn_real_size(dk_dtype real)
{
    return real == DK_F64 ? sizeof(double) : sizeof(float);
}

void dk_gnn_free(dk_gnn *m)
{
    if (!m)
        return;
    for (int i = 0; i < m->params; i++) {
        free((char *)(uintptr_t)m->param[i].name);
        dk_free_aligned(m->param[i].value);
        dk_free_aligned(m->param[i].grad);
    }
    for (int i = 0; i < m->buffers; i++) {
        free((char *)(uintptr_t)m->buffer[i].name);
        dk_free_aligned(m->buffer[i].value);
    }
    if (m->has_encoding)
        dk_encoding_free(&m->encoding);
    free(m->dataset);
    free(m->path);
    free(m);
}

/* A new entry at the end of the parameters or buffers; values are not set. */
static int add_entry(dk_gnn *m, const char *name, int64_t rows, int64_t cols, bool buffer,
                     dk_err *err)
{
    dk_param *p = buffer ? &m->buffer[m->buffers] : &m->param[m->params];
    size_t bytes;

    *p = (dk_param){.rows = rows, .cols = cols};
    if (!dk_mul((size_t)rows, (size_t)cols, &bytes) ||
        !dk_mul(bytes, dk_gnn_real_size(m->real), &bytes))
        return dk_fail(err, DK_ENOMEM, "tensor \"%s\": [%lld, %lld] is too large", name,
                       (long long)rows, (long long)cols);
    p->value = dk_alloc(bytes, name, err);
    if (p->value && !buffer) {
        p->grad = dk_alloc(bytes, name, err);
        if (p->grad)
            memset(p->grad, 0, bytes);
    }
    if (!p->value || (!buffer && !p->grad)) {
        dk_free_aligned(p->value);
        return err->code;
    }
    p->name = dk_xstrdup(name);
    if (buffer)
        m->buffers++;
    else
        m->params++;
    return 0;
}

dk_gnn *dk_gnn_make(const dk_gnn_config *c, dk_dtype real, const dk_gnn_want *want, int n,
                    dk_err *err)
{
    dk_gnn *m = dk_xcalloc(1, sizeof *m);

    m->c = *c;
    m->real = real;
    for (int i = 0; i < n; i++) {
        const dk_gnn_want *w = &want[i];
        int64_t rows = w->ndim == 2 ? w->shape[0] : 1;
        int64_t cols = w->ndim == 1 ? w->shape[0] : w->shape[1];
        if (w->ndim == 3)
            cols *= w->shape[2];
        if (add_entry(m, w->name, rows, cols, w->slot->buffer, err)) {
            dk_gnn_free(m);
            return NULL;
        }
    }
    return m;
}

dk_param *dk_gnn_entry(dk_gnn *m, const dk_gnn_want *want, int i)
{
    int before = 0;

    for (int k = 0; k < i; k++)
        before += want[k].slot->buffer == want[i].slot->buffer;
    return want[i].slot->buffer ? &m->buffer[before] : &m->param[before];
}

/* ---- New models. */

static int check_config(const dk_gnn_config *c, dk_err *err)
{
    const struct {
        const char *what;
        int value, lo, hi;
    } range[] = {
        {"layers", c->layers, 1, DK_GNN_MAX_LAYERS},
        {"hidden", c->hidden, 1, 1 << 20},
        {"features", c->features, 1, 1 << 24},
        {"classes", c->classes, 1, 1 << 24},
        {"heads", dk_gnn_is_attention(c->arch) ? c->heads : 1, 1, 1024},
        {"pad_nodes", c->pad_nodes, 0, 100000},
    };

    for (size_t i = 0; i < sizeof range / sizeof *range; i++)
        if (range[i].value < range[i].lo || range[i].value > range[i].hi)
            return dk_fail(err, DK_EUSAGE, "%s model: %s must be in [%d, %d], found %d",
                           dk_gnn_arch_name(c->arch), range[i].what, range[i].lo, range[i].hi,
                           range[i].value);
    if (!dk_gnn_activation_name(c->activation))
        return dk_fail(err, DK_EUSAGE,
                       "%s model: the activation must be relu, elu, tanh or "
                       "leaky_relu",
                       dk_gnn_arch_name(c->arch));
    if (c->arch == DK_GNN_GCN_NORM_CAT && c->task != DK_TASK_NODE)
        return dk_fail(err, DK_EUSAGE, "gcn_norm_cat is a model of nodes, not of graphs");
    if (c->arch == DK_GNN_GCN_NORM_MAXMEAN && c->task != DK_TASK_GRAPH)
        return dk_fail(err, DK_EUSAGE, "gcn_norm_maxmean is a model of graphs, not of nodes");
    return 0;
}

/* The readout that goes with the architecture and task where `c` leaves a choice that is none. */
static dk_readout fitting_readout(const dk_gnn_config *c)
{
    if (c->task == DK_TASK_NODE)
        return DK_READ_NONE;
    if (c->arch == DK_GNN_GCN_NORM_MAXMEAN)
        return DK_READ_MAX_MEAN;
    return c->readout == DK_READ_NONE || c->readout == DK_READ_MAX_MEAN ? DK_READ_MEAN : c->readout;
}

static void put(const dk_gnn *m, void *to, int64_t i, double v)
{
    if (m->real == DK_F64)
        ((double *)to)[i] = v;
    else
        ((float *)to)[i] = (float)v;
}

static double get(const dk_gnn *m, const void *from, int64_t i)
{
    return m->real == DK_F64 ? ((const double *)from)[i] : (double)((const float *)from)[i];
}

/* PyTorch's default for Linear: U(+-1/sqrt(fan in)) for weight and bias; PyG's glorot:
 * U(+-sqrt(6 / (a + b))) over the last two sizes. */
static int draw(const dk_gnn *m, dk_param *p, const dk_gnn_want *w, dk_torch_rng *rng, dk_err *err)
{
    size_t n = (size_t)p->rows * (size_t)p->cols;
    double bound = w->slot->init == DK_INIT_GLOROT
                       ? sqrt(6.0 / (double)(w->shape[w->ndim - 2] + w->shape[w->ndim - 1]))
                       : 1 / sqrt((double)w->fan_in);
    float *f = dk_alloc(n * sizeof *f, w->name, err);

    if (!f)
        return err->code;
    dk_torch_uniform(rng, (float)-bound, (float)bound, f, n);
    for (size_t i = 0; i < n; i++)
        put(m, p->value, (int64_t)i, (double)f[i]);
    dk_free_aligned(f);
    return 0;
}

static int initialise(dk_gnn *m, const dk_gnn_want *want, int n, uint64_t seed, dk_err *err)
{
    dk_torch_rng rng;

    dk_torch_seed(&rng, seed);
    for (int i = 0; i < n; i++) {
        dk_param *p = dk_gnn_entry(m, want, i);
        dk_gnn_init kind = want[i].slot->init;
        if (kind == DK_INIT_ZERO || kind == DK_INIT_ONE) {
            for (int64_t k = 0; k < p->rows * p->cols; k++)
                put(m, p->value, k, kind == DK_INIT_ONE ? 1 : 0);
        } else if (draw(m, p, &want[i], &rng, err)) {
            return err->code;
        }
    }
    return 0;
}

dk_gnn *dk_gnn_new(const dk_gnn_config *config, dk_dtype real, uint64_t seed, dk_err *err)
{
    dk_gnn_config c = *config;
    dk_gnn_dims layer[DK_GNN_MAX_LAYERS], last;
    dk_gnn_want want[DK_GNN_MAX_WANTS];

    if (check_config(&c, err))
        return NULL;
    c.readout = fitting_readout(&c);
    if (!dk_gnn_is_attention(c.arch))
        c.heads = 1;
    for (int l = 0; l < c.layers; l++) {
        layer[l] = (dk_gnn_dims){.in = l ? layer[l - 1].out : c.features,
                                 .out = c.hidden,
                                 .heads = c.heads,
                                 .head = c.hidden};
        if (dk_gnn_is_attention(c.arch) && c.concat)
            layer[l].out = (int64_t)c.heads * c.hidden;
    }
    last = (dk_gnn_dims){.in = dk_gnn_pooled_width(&c, layer), .out = c.hidden};
    int n = dk_gnn_plan(&c, layer, last, want);
    dk_gnn *m = dk_gnn_make(&c, real, want, n, err);
    if (m && initialise(m, want, n, seed, err)) {
        dk_gnn_free(m);
        return NULL;
    }
    return m;
}

/* ---- Copies. */

static int copy_entry(dk_gnn *to, const dk_gnn *from, const dk_param *p, bool buffer, dk_err *err)
{
    if (add_entry(to, p->name, p->rows, p->cols, buffer, err))
        return err->code;
    dk_param *q = buffer ? &to->buffer[to->buffers - 1] : &to->param[to->params - 1];
    for (int64_t i = 0; i < p->rows * p->cols; i++)
        put(to, q->value, i, get(from, p->value, i));
    return 0;
}

dk_gnn *dk_gnn_copy(const dk_gnn *m, dk_dtype real, dk_err *err)
{
    dk_gnn *to = dk_xcalloc(1, sizeof *to);

    to->c = m->c;
    to->real = real;
    to->dataset = m->dataset ? dk_xstrdup(m->dataset) : NULL;
    to->path = m->path ? dk_xstrdup(m->path) : NULL;
    memcpy(to->hash, m->hash, sizeof to->hash);
    for (int i = 0; i < m->params; i++)
        if (copy_entry(to, m, &m->param[i], false, err))
            goto fail;
    for (int i = 0; i < m->buffers; i++)
        if (copy_entry(to, m, &m->buffer[i], true, err))
            goto fail;
    if (m->has_encoding) {
        char *text = dk_encoding_text(&m->encoding);
        int rc = dk_encoding_parse(&to->encoding, text, err);
        free(text);
        if (rc)
            goto fail;
        to->has_encoding = true;
    }
    return to;
fail:
    dk_gnn_free(to);
    return NULL;
}

/* ---- Saving. */

/* The shape in the file of a parameter that is kept as a matrix. */
static void save_entry(const dk_gnn *m, const dk_param *p, const dk_gnn_slot *slot, dk_st_writer *w)
{
    int64_t shape[3] = {p->rows, p->cols};
    int ndim = 2;

    if (slot->shape == DK_SHAPE_ATT) {
        ndim = 3;
        shape[0] = 1;
        shape[1] = m->c.heads;
        shape[2] = p->cols / m->c.heads;
    } else if (slot->shape == DK_SHAPE_OUT || slot->shape == DK_SHAPE_ONE ||
               slot->shape == DK_SHAPE_HEADS) {
        ndim = 1;
        shape[0] = p->cols;
    }
    dk_st_writer_add(w, p->name, m->real, ndim, shape, p->value);
}

/* PyTorch's strict loading asks for the counter of every batch norm. */
static void save_counter(const dk_param *mean, dk_st_writer *w)
{
    static const int64_t zero;
    size_t n = strlen(mean->name) - strlen("running_mean");
    char *name = dk_xasprintf("%.*snum_batches_tracked", (int)n, mean->name);

    dk_st_writer_add(w, name, DK_I64, 0, NULL, &zero);
    free(name);
}

void dk_gnn_save(const dk_gnn *m, dk_st_writer *w)
{
    dk_gnn_dims none[DK_GNN_MAX_LAYERS] = {0}, last = {0};
    dk_gnn_want want[DK_GNN_MAX_WANTS];
    int n = dk_gnn_plan(&m->c, none, last, want), param = 0, buffer = 0;

    for (int i = 0; i < n; i++) {
        const dk_gnn_slot *slot = want[i].slot;
        if (strcmp(slot->suffix, "nn.4.running_mean") == 0)
            save_counter(&m->buffer[buffer], w);
        save_entry(m, slot->buffer ? &m->buffer[buffer++] : &m->param[param++], slot, w);
    }
    dk_gnn_meta_write(m, w);
}

int64_t dk_gnn_parameters(const dk_gnn *m)
{
    int64_t n = 0;

    for (int i = 0; i < m->params; i++)
        n += m->param[i].rows * m->param[i].cols;
    return n;
}

/* ---- Data sets. */

int dk_gnn_encode(const dk_gnn *m, dk_dataset *d, dk_err *err)
{
    const char *model = m->path ? m->path : "the model";
    dk_encoding own = {0};
    const dk_encoding *e = &m->encoding;
    int rc = 0;

    if (m->c.task != d->task)
        return dk_fail(err, DK_EFORMAT, "%s: %s classifies %s, the data set has classes of %s",
                       d->path ? d->path : d->name, model,
                       m->c.task == DK_TASK_NODE ? "nodes" : "graphs",
                       d->task == DK_TASK_NODE ? "nodes" : "graphs");
    if (d->classes > m->c.classes)
        return dk_fail(err, DK_EFORMAT, "%s: %d classes, %s knows %d", d->path ? d->path : d->name,
                       d->classes, model, m->c.classes);
    if (!m->has_encoding) {
        rc = dk_dataset_encoding(d, &own, err);
        e = &own;
    }
    if (!rc && dk_encoding_features(e) != m->c.features)
        rc = dk_fail(err, DK_EFORMAT, "%s: %d features per node, %s expects %d",
                     d->path ? d->path : d->name, dk_encoding_features(e), model, m->c.features);
    if (!rc)
        rc = dk_dataset_encode(d, e, err);
    if (!m->has_encoding)
        dk_encoding_free(&own);
    return rc;
}

int32_t dk_argmax(const double *z, int32_t n)
{
    int32_t best = 0;

    for (int32_t i = 1; i < n; i++)
        if (z[i] > z[best])
            best = i;
    return best;
}
