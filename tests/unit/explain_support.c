/* See explain_support.h. */
#include "explain_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "graph/explain/explain.h"

#define DATA "tests/data/thirdparty/"

dk_gnn *ex_model(const char *name)
{
    dk_err err;
    char *path = dk_xasprintf(DATA "gnn/%s.safetensors", name);

    dk_err_init(&err);
    dk_gnn *m = dk_gnn_load(path, NULL, -1, DK_F64, &err);
    ts_ok(m ? 0 : err.code, &err);
    free(path);
    return m;
}

void ex_data(dk_dataset *d, const char *name, const dk_gnn *m)
{
    dk_err err;
    dk_dataset_options o = {0};
    char *path = dk_xasprintf(DATA "%s", name);

    dk_err_init(&err);
    ts_ok(dk_dataset_load(d, path, &o, &err), &err);
    ts_ok(dk_gnn_encode(m, d, &err), &err);
    free(path);
}

double ex_draw(uint64_t seed, uint64_t i)
{
    uint64_t h = dk_splitmix64(seed * 0x9e3779b97f4a7c15u + i);

    return (double)(h >> 11) * 0x1p-52 - 1;
}

/* Larger than the usual initialisation, so that every activation has both signs; variances > 0. */
static void fill(dk_param *p, uint64_t seed, bool variance)
{
    double *v = p->value, scale = p->rows > 1 ? 1.5 / sqrt((double)p->cols) : .4;

    for (int64_t i = 0; i < p->rows * p->cols; i++) {
        double r = ex_draw(seed ^ dk_fnv1a64(p->name, strlen(p->name)), (uint64_t)i);
        v[i] = variance ? .75 + .5 * r : scale * r;
    }
}

dk_gnn *ex_random_model(dk_gnn_arch arch, dk_task task, dk_readout readout, int layers, int hidden,
                        int features, int classes, uint64_t seed)
{
    dk_err err;
    bool attention = arch == DK_GNN_GAT || arch == DK_GNN_GATV2;
    dk_gnn_config c = {
        .arch = arch,
        .task = task,
        .layers = layers,
        .hidden = hidden,
        .features = features,
        .classes = classes,
        .readout = task == DK_TASK_NODE ? DK_READ_NONE : readout,
        .activation = DK_FN_RELU,
        .heads = attention ? 2 : 1,
        .concat = attention,
        .add_self_loops = attention,
        .negative_slope = .2,
    };

    dk_err_init(&err);
    dk_gnn *m = dk_gnn_new(&c, DK_F64, seed, &err);
    ts_ok(m ? 0 : err.code, &err);
    for (int i = 0; i < m->params; i++)
        fill(&m->param[i], seed, false);
    for (int i = 0; i < m->buffers; i++)
        fill(&m->buffer[i], seed, strstr(m->buffer[i].name, "var") != NULL);
    return m;
}

const double *ex_param(const dk_gnn *m, const char *fmt, ...)
{
    char name[128];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    for (int i = 0; i < m->params; i++)
        if (strcmp(m->param[i].name, name) == 0)
            return m->param[i].value;
    for (int i = 0; i < m->buffers; i++)
        if (strcmp(m->buffer[i].name, name) == 0)
            return m->buffer[i].value;
    fail_msg("no parameter %s", name);
    return NULL;
}

/* ---- Graphs. */
typedef struct edges {
    int32_t n;
    int64_t m;
    int32_t src[64], dst[64];
    double weight[64];
} edges;

static void one_way(edges *l, int32_t a, int32_t b, double w)
{
    l->src[l->m] = a;
    l->dst[l->m] = b;
    l->weight[l->m++] = w;
}

static void both_ways(edges *l, int32_t a, int32_t b)
{
    one_way(l, a, b, .5 + a + .25 * b);
    if (a != b)
        one_way(l, b, a, .5 + a + .25 * b);
}

static void random_edges(edges *l, uint64_t seed)
{
    l->n = 4 + (int32_t)(dk_splitmix64(seed) % 3);
    for (int32_t a = 0; a < l->n; a++)
        for (int32_t b = a + 1; b < l->n; b++)
            if (ex_draw(seed, (uint64_t)(a * 16 + b)) < -.1)
                both_ways(l, a, b);
    if (l->m == 0)
        both_ways(l, 0, 1);
}

static void odd_edges(edges *l)
{
    l->n = 8; /* 6 isolated; 7 only receives */
    both_ways(l, 0, 1);
    both_ways(l, 0, 2);
    both_ways(l, 1, 2);
    both_ways(l, 2, 3);
    both_ways(l, 3, 3);
    one_way(l, 3, 4, 2);
    one_way(l, 5, 4, -1.5);
    both_ways(l, 4, 0);
    one_way(l, 2, 7, .75);
}

void ex_graph(dk_graph *g, const char *name, int features, uint64_t seed)
{
    dk_err err;
    edges l = {0};
    bool weighted = strcmp(name, "weighted") == 0;

    if (strcmp(name, "tiny") == 0) {
        l.n = 4;
        both_ways(&l, 0, 1);
        both_ways(&l, 0, 2);
        both_ways(&l, 1, 2);
        both_ways(&l, 2, 3);
    } else if (strcmp(name, "path") == 0) {
        l.n = 5;
        for (int32_t v = 0; v < 4; v++)
            both_ways(&l, v, v + 1);
    } else if (strcmp(name, "star") == 0) {
        l.n = 9;
        for (int32_t v = 1; v < 8; v++)
            both_ways(&l, 0, v);
        both_ways(&l, 7, 8);
    } else if (strcmp(name, "loop") == 0) {
        l.n = 2;
        both_ways(&l, 1, 1);
    } else if (strcmp(name, "edgeless") == 0) {
        l.n = 3;
    } else if (strncmp(name, "random:", 7) == 0) {
        random_edges(&l, strtoull(name + 7, NULL, 10));
    } else {
        odd_edges(&l);
    }
    if (weighted)
        l.weight[1] = 3.5;
    dk_err_init(&err);
    memset(g, 0, sizeof *g);
    ts_ok(dk_graph_build(g, l.n, l.m, l.src, l.dst, weighted ? l.weight : NULL, NULL, NULL, NULL,
                         &err),
          &err);
    g->num_features = features;
    g->x = malloc(sizeof(double) * (size_t)(l.n * features));
    for (int i = 0; i < l.n * features; i++)
        g->x[i] = ex_draw(seed + 77, (uint64_t)i);
    g->label = -1;
}

/* ---- Instances. */
void ex_open(ex_case *c, const dk_gnn *m, const dk_graph *g, int32_t node, int32_t target)
{
    dk_err err;

    dk_err_init(&err);
    ts_ok(dk_explain_worker_init(&c->w, m, &err), &err);
    ts_ok(dk_instance_init(&c->i, &c->w, g, node, 0, target, &err), &err);
}

void ex_close(ex_case *c)
{
    dk_instance_free(&c->i);
    dk_explain_worker_fini(&c->w);
}

double *ex_zeros(int64_t n)
{
    return dk_xcalloc((size_t)n + 1, sizeof(double));
}

double *ex_scores(ex_case *c, const char *method, const dk_explain_params *p)
{
    dk_explain_params def = dk_explain_params_default();
    const dk_explainer *x = dk_explainer_find(method);
    dk_explanation out = {.score = ex_zeros(c->i.g->e)};
    dk_err err;

    assert_non_null(x);
    dk_err_init(&err);
    ts_ok(dk_explain(x, &c->w, NULL, &c->i, p ? p : &def, &out, &err), &err);
    return out.score;
}

static void reference(const char *model, const char *data, ex_check *check)
{
    char *path = dk_xasprintf(DATA "gnn/reference/explain_%s.csv", model);
    dk_gnn *m = ex_model(model);
    dk_dataset d;
    dk_csv csv;
    dk_err err;
    size_t row = 0;

    dk_err_init(&err);
    ts_ok(dk_csv_load(&csv, path, &err), &err);
    ex_data(&d, data, m);
    while (row < csv.rows) {
        long id = strtol(dk_csv_at(&csv, row, 0), NULL, 10);
        ex_case c;
        ex_open(&c, m, &d.graphs[id], -1, d.graphs[id].label);
        check(&c, &csv, row);
        row += (size_t)d.graphs[id].e;
        ex_close(&c);
    }
    dk_dataset_free(&d);
    dk_csv_free(&csv);
    dk_gnn_free(m);
    free(path);
}

void ex_references(ex_check *check)
{
    reference("gcn_MUTAG", "MUTAG", check);
    reference("gin_MUTAG", "MUTAG", check);
    reference("gcn_ba_2motifs", "BA_2Motifs", check);
    reference("gin_ba_2motifs", "BA_2Motifs", check);
}

/* ---- Comparing. */
void ex_near_at(double a, double b, double tol, const char *what, const char *file, int line)
{
    if (!(fabs(a - b) <= tol * (1 + fabs(b)))) {
        print_error("%s: %.17g, expected %.17g (off by %.3g)\n", what, a, b, fabs(a - b));
        _fail(file, line);
    }
}

void ex_close_to(const char *what, const double *a, const double *b, int64_t n, double tol)
{
    for (int64_t i = 0; i < n; i++)
        if (!(fabs(a[i] - b[i]) <= tol * (1 + fabs(b[i]))))
            fail_msg("%s[%lld]: %.17g, expected %.17g (off by %.3g)", what, (long long)i, a[i],
                     b[i], fabs(a[i] - b[i]));
}

/* ---- The fixture's numbers. */
void ex_expected(dk_json *j)
{
    dk_err err;

    dk_err_init(&err);
    ts_ok(dk_json_load(j, DATA "gnn/tiny/expected.json", &err), &err);
}

static void flatten(const json_t *v, double **out, int64_t *n, int64_t *cap)
{
    if (json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++)
            flatten(json_array_get(v, i), out, n, cap);
        return;
    }
    if (*n == *cap) {
        *cap = 2 * *cap + 16;
        *out = dk_xrealloc(*out, (size_t)*cap * sizeof **out);
    }
    assert_true(json_is_number(v));
    (*out)[(*n)++] = json_number_value(v);
}

double *ex_numbers(dk_jnode at, int64_t *n)
{
    double *out = NULL;
    int64_t count = 0, cap = 0;

    assert_non_null(at.v);
    flatten(at.v, &out, &count, &cap);
    if (n)
        *n = count;
    return out;
}

dk_jnode ex_at(const dk_json *j, const char *path)
{
    dk_jnode at = dk_json_root(j);
    char key[64];

    while (*path) {
        size_t len = strcspn(path, "/");
        snprintf(key, sizeof key, "%.*s", (int)len, path);
        at = dk_json_key(at, key);
        path += len + (path[len] == '/');
    }
    return at;
}
