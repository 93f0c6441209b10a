/* GOAt: the fixture's intermediates, an independent enumeration of all products, completeness on
 * every graph of two real sets, hop lists, invariances, the published numbers. */
#include "explain_support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "graph/explain/goat_internal.h"
#include "io/csv.h"
#include "num/quadrature.h"

/* ---- The rule itself. */

/* Shares of the variables of a polynomial (products of three, v of them at 1) by quadrature. */
static void product_shares(const double *coef, const int (*factor)[3], int products, double *share,
                           int variables, int nodes)
{
    double t[8], w[8];

    dk_gauss_legendre(nodes, t, w);
    memset(share, 0, (size_t)variables * sizeof *share);
    for (int q = 0; q < nodes; q++)
        for (int i = 0; i < products; i++)
            for (int k = 0; k < 3; k++) /* each occurrence is one term of the derivative */
                share[factor[i][k]] += w[q] * coef[i] * t[q] * t[q];
}

static void shares_of_products(void **state)
{
    enum { A11, A12, A13, A21, A23, A33 };
    static const double coef[] = {10, 8, 11}, six[] = {6};
    static const int factor[][3] = {{A11, A12, A23}, {A11, A13, A33}, {A12, A21, A13}};
    static const int twice[][3] = {{0, 0, 1}};
    static const double expect[] = {6, 7, 19 / 3., 11 / 3., 10 / 3., 8 / 3.};
    double share[6];

    (void)state;
    product_shares(coef, factor, 3, share, 6, 2);
    ex_close_to("toy product", share, expect, 6, 1e-15);
    product_shares(six, twice, 1, share, 2, 2);
    ex_near(share[0], 4, 1e-15);
    ex_near(share[1], 2, 1e-15);
}

static void quadrature_is_exact(void **state)
{
    double t[60], w[60];

    (void)state;
    for (int n = 1; n <= 60; n++) {
        dk_gauss_legendre(n, t, w);
        for (int power = 0; power < 2 * n; power++) {
            double sum = 0;
            for (int i = 0; i < n; i++)
                sum += w[i] * pow(t[i], power);
            ex_near(sum * (power + 1), 1, 1e-13);
        }
        for (int i = 1; i < n; i++)
            assert_true(t[i] > t[i - 1]);
    }
    dk_gauss_legendre(4, t, w);
    ex_near(t[0], 0.0694318442029737, 1e-15);
    ex_near(w[1], 0.3260725774312731, 1e-15);
    dk_gauss_legendre(5, t, w);
    assert_true(t[2] == .5);
    ex_near(w[0], 0.1184634425280945, 1e-15);
}

/* ---- The fixture. */

/* Shares of a batch of patterns in the fixture's order against ours, which are [classes, sites, n].
 */
static void check_shares(const dk_json *j, const char *arch, const dk_goat_shares *s)
{
    for (int c = 0; c < 2; c++) {
        static const char *const name[] = {"P_shares", "offset_P_shares"};
        static const char *const head[] = {"Pc_share", "offset_Pc_share"};
        char path[64];
        double *x;
        snprintf(path, sizeof path, "%s/class%d/edge_self", arch, c);
        x = ex_numbers(ex_at(j, path), NULL);
        ex_close_to(path, s->edge + c * s->e, x, s->e, 1e-12);
        free(x);
        for (int point = 0; point < 2; point++) {
            int64_t n;
            snprintf(path, sizeof path, "%s/class%d/%s", arch, c, name[point]);
            x = ex_numbers(ex_at(j, path), &n);
            assert_int_equal(n, s->sites * s->n);
            ex_close_to(path, s->pattern[point] + c * n, x, n, 1e-12);
            free(x);
            snprintf(path, sizeof path, "%s/class%d/%s", arch, c, head[point]);
            x = ex_numbers(ex_at(j, path), NULL);
            ex_near(s->head[point][c], x[0], 1e-12);
            free(x);
        }
    }
}

static void check_scores(const dk_json *j, const char *arch, ex_case *c)
{
    static const char *const name[] = {"goat", "goat_raw", "goat_no_calibration"};
    const dk_explainer *x = dk_explainer_find("goat");
    dk_err err;

    dk_err_init(&err);
    for (int k = 0; k < 3; k++) {
        double score[8], both[16];
        dk_explanation out = {.score = score, .score_c = both};
        dk_explain_params p = dk_explain_params_default();
        char path[64];
        p.symmetric = k != 1;
        p.calibrate = k != 2;
        ts_ok(dk_explain(x, &c->w, NULL, &c->i, &p, &out, &err), &err);
        snprintf(path, sizeof path, "%s/%s", arch, name[k]);
        double *expect = ex_numbers(ex_at(j, path), NULL);
        ex_close_to(path, both, expect, 16, 1e-12);
        for (int e = 0; e < 8; e++)
            assert_true(score[e] == both[2 * e + c->i.target]);
        /* The target's scores alone, without the others. */
        out.score_c = NULL;
        ts_ok(dk_explain(x, &c->w, NULL, &c->i, &p, &out, &err), &err);
        for (int e = 0; e < 8; e++)
            ex_near(score[e], expect[2 * e + c->i.target], 1e-12);
        free(expect);
    }
}

static void check_distinct(const char *arch, ex_case *c)
{
    static const struct {
        const char *arch;
        int target;
        double edge[4]; /* 0-1, 0-2, 1-2, 2-3 */
    } expect[] = {
        {"gcn", 0, {-0.054810804, -0.012499425, -0.081301178, -0.078994756}},
        {"gcn", 1, {0.072065478, 0.044687008, 0.090746300, 0.086540766}},
        {"gin", 1, {0.000307287, 0.006688781, -0.024614647, -0.000324847}},
        {"sage", 0, {0.789325838, 0.925066786, 0.908163883, 0.752443486}},
    };
    static const int place[4] = {0, 1, 3, 6};

    for (size_t k = 0; k < sizeof expect / sizeof *expect; k++) {
        dk_explain_params p = dk_explain_params_default();
        if (strcmp(expect[k].arch, arch) != 0)
            continue;
        p.hops = DK_HOPS_DISTINCT;
        c->i.target = expect[k].target;
        double *score = ex_scores(c, "goat", &p);
        for (int e = 0; e < 4; e++)
            assert_true(fabs(score[place[e]] - expect[k].edge[e]) < 1e-8);
        free(score);
    }
}

static void fixture(void **state)
{
    static const char *const arch[] = {"gcn", "gin", "sage"};
    static const double one_node_less[] = {1e-5, 1e-5, 1e-7};
    dk_json j;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    ex_expected(&j);
    for (int k = 0; k < 3; k++) {
        char name[32], path[32];
        double *z, *x = ex_numbers(ex_at(&j, "graph/x"), NULL);
        dk_graph g;
        ex_case c;
        snprintf(name, sizeof name, "tiny/tiny_%s", arch[k]);
        dk_gnn *m = ex_model(name);
        ex_graph(&g, "tiny", 2, 0);
        memcpy(g.x, x, 8 * sizeof *x);
        ex_open(&c, m, &g, -1, -1);

        dk_goat_plan plan = {.first = 0, .classes = 2};
        dk_goat_shares s, more, less;
        ts_ok(dk_goat_shares_make(&s, &c.w, &c.i, &plan, &err), &err);
        check_shares(&j, arch[k], &s);
        snprintf(path, sizeof path, "%s/logits", arch[k]);
        z = ex_numbers(ex_at(&j, path), NULL);
        ex_close_to(path, s.logit[0], z, 2, 1e-13);
        free(z);
        snprintf(path, sizeof path, "%s/logits_empty", arch[k]);
        z = ex_numbers(ex_at(&j, path), NULL);
        ex_close_to(path, s.logit[1], z, 2, 1e-13);
        free(z);

        /* More nodes than needed change nothing, one less does. */
        int exact = dk_goat_nodes(m, false);
        assert_int_equal(exact, k == 1 ? 5 : 4);
        plan.nodes = exact + 3;
        ts_ok(dk_goat_shares_make(&more, &c.w, &c.i, &plan, &err), &err);
        ex_close_to("more nodes", more.edge, s.edge, 16, 1e-14);
        plan.nodes = exact - 1;
        ts_ok(dk_goat_shares_make(&less, &c.w, &c.i, &plan, &err), &err);
        double off = 0;
        for (int i = 0; i < 16; i++)
            off = fmax(off, fabs(less.edge[i] - s.edge[i]));
        assert_true(off > one_node_less[k]);

        check_scores(&j, arch[k], &c);
        check_distinct(arch[k], &c);
        dk_goat_shares_free(&s);
        dk_goat_shares_free(&more);
        dk_goat_shares_free(&less);
        ex_close(&c);
        dk_graph_free(&g);
        dk_gnn_free(m);
        free(x);
    }
    dk_json_free(&j);
}

/* ---- Every product, one by one: a forward pass and an expansion written for this test alone. */
enum { MAX_N = 8, D = 3, F = 2, L = 3, CLASSES = 2 };

typedef struct enumeration {
    const dk_gnn *m;
    const dk_graph *g;
    dk_gnn_arch arch;
    double f[L + 1][MAX_N][D]; /* layer outputs; f[0] are the features */
    double den[L + 1][MAX_N];  /* of f[l], gcn */
    double p[2 * L][MAX_N][D], pc[D];
    /* factors of the product being built */
    int var[32], vars;
    double edge[64], pattern[2 * L][MAX_N], head, constant;
} enumeration;

enum { VAR_EDGE = 0, VAR_PATTERN = 1000, VAR_HEAD = 5000 };

static int width_of(int layer)
{
    return layer == 0 ? F : D;
}

static const char *prefix(int l)
{
    static const char *const name[] = {"conv1", "convs.0", "convs.1"};

    return name[l];
}

static double bn_scale(const enumeration *n, int l, int k)
{
    return ex_param(n->m, "%s.nn.4.weight", prefix(l))[k] /
           sqrt(ex_param(n->m, "%s.nn.4.running_var", prefix(l))[k] + 1e-5);
}

static double bn_shift(const enumeration *n, int l, int k)
{
    return ex_param(n->m, "%s.nn.4.bias", prefix(l))[k] -
           ex_param(n->m, "%s.nn.4.running_mean", prefix(l))[k] * bn_scale(n, l, k);
}

/* Pre-activation of one output of y = x W^T + b. */
static double row_times(const double *w, const double *b, const double *x, int k, int in)
{
    double y = b ? b[k] : 0;

    for (int j = 0; j < in; j++)
        y += w[k * in + j] * x[j];
    return y;
}

static double pattern_at(double pre)
{
    return pre > 0 ? 1 : 0;
}

static double norm_of(const double *x, int n)
{
    double s = 0;

    for (int i = 0; i < n; i++)
        s += x[i] * x[i];
    return fmax(sqrt(s), 1e-12);
}

static void forward(enumeration *n)
{
    const dk_graph *g = n->g;
    double pooled[D] = {0};

    for (int v = 0; v < g->n; v++)
        memcpy(n->f[0][v], g->x + v * F, F * sizeof(double));
    for (int l = 0; l < L; l++) {
        int in = width_of(l);
        for (int v = 0; v < g->n; v++)
            n->den[l][v] = n->arch == DK_GNN_GCN ? norm_of(n->f[l][v], in) : 1;
        for (int v = 0; v < g->n; v++) {
            double a[D] = {0}, mid[D];
            for (int e = 0; e < g->e; e++)
                for (int j = 0; g->dst[e] == v && j < in; j++)
                    a[j] += n->f[l][g->src[e]][j] / n->den[l][g->src[e]];
            for (int k = 0; k < D; k++) {
                if (n->arch == DK_GNN_GIN)
                    continue;
                bool sage = n->arch == DK_GNN_SAGE;
                double pre = row_times(
                    ex_param(n->m, sage ? "%s.lin_l.weight" : "%s.lin.weight", prefix(l)),
                    ex_param(n->m, sage ? "%s.lin_l.bias" : "%s.bias", prefix(l)), a, k, in);
                if (sage)
                    pre += row_times(ex_param(n->m, "%s.lin_r.weight", prefix(l)), NULL, n->f[l][v],
                                     k, in);
                n->p[l][v][k] = pattern_at(pre);
                n->f[l + 1][v][k] = fmax(pre, 0);
            }
            if (n->arch != DK_GNN_GIN)
                continue;
            for (int j = 0; j < in; j++)
                a[j] += (1 + ex_param(n->m, "%s.eps", prefix(l))[0]) * n->f[l][v][j];
            for (int k = 0; k < D; k++) {
                double pre = row_times(ex_param(n->m, "%s.nn.0.weight", prefix(l)),
                                       ex_param(n->m, "%s.nn.0.bias", prefix(l)), a, k, in);
                n->p[2 * l][v][k] = pattern_at(pre);
                mid[k] = fmax(pre, 0);
            }
            for (int k = 0; k < D; k++) {
                double pre = row_times(ex_param(n->m, "%s.nn.2.weight", prefix(l)),
                                       ex_param(n->m, "%s.nn.2.bias", prefix(l)), mid, k, D);
                n->p[2 * l + 1][v][k] = pattern_at(pre);
                n->f[l + 1][v][k] = fmax(pre, 0) * bn_scale(n, l, k) + bn_shift(n, l, k);
            }
        }
    }
    for (int v = 0; v < g->n; v++)
        for (int k = 0; k < D; k++)
            pooled[k] += n->f[L][v][k] / g->n;
    for (int k = 0; k < D; k++)
        n->pc[k] = pattern_at(
            row_times(ex_param(n->m, "lin1.weight"), ex_param(n->m, "lin1.bias"), pooled, k, D));
}

/* A finished product: every factor gets an equal part, an edge used twice two. */
static void emit(enumeration *n, double z)
{
    for (int i = 0; i < n->vars; i++) {
        int v = n->var[i];
        double part = z / n->vars;
        if (v >= VAR_HEAD)
            n->head += part;
        else if (v >= VAR_PATTERN)
            n->pattern[(v - VAR_PATTERN) / MAX_N][(v - VAR_PATTERN) % MAX_N] += part;
        else
            n->edge[v] += part;
    }
    if (n->vars == 0)
        n->constant += z;
}

static void expand(enumeration *n, int layer, int v, int k, double z);

/* z times message k' of node u into layer `layer`, for all weights w[k'] of one output. */
static void expand_inputs(enumeration *n, int layer, int u, const double *w, double z)
{
    for (int j = 0; j < width_of(layer - 1); j++)
        expand(n, layer - 1, u, j, z * w[j] / n->den[layer - 1][u]);
}

static void expand_edges(enumeration *n, int layer, int v, const double *w, double z)
{
    for (int e = 0; e < n->g->e; e++) {
        if (n->g->dst[e] != v)
            continue;
        n->var[n->vars++] = VAR_EDGE + e;
        expand_inputs(n, layer, n->g->src[e], w, z);
        n->vars--;
    }
}

static void push_pattern(enumeration *n, int site, int v)
{
    n->var[n->vars++] = VAR_PATTERN + site * MAX_N + v;
}

static void expand_gin(enumeration *n, int l, int v, int k, double z)
{
    const char *name = prefix(l);

    emit(n, z * bn_shift(n, l, k));
    z *= bn_scale(n, l, k) * n->p[2 * l + 1][v][k];
    if (z == 0)
        return;
    push_pattern(n, 2 * l + 1, v);
    emit(n, z * ex_param(n->m, "%s.nn.2.bias", name)[k]);
    for (int j = 0; j < D; j++) {
        double zj = z * ex_param(n->m, "%s.nn.2.weight", name)[k * D + j] * n->p[2 * l][v][j];
        if (zj == 0)
            continue;
        const double *w = ex_param(n->m, "%s.nn.0.weight", name) + j * width_of(l);
        push_pattern(n, 2 * l, v);
        emit(n, zj * ex_param(n->m, "%s.nn.0.bias", name)[j]);
        expand_edges(n, l + 1, v, w, zj);
        expand_inputs(n, l + 1, v, w, zj * (1 + ex_param(n->m, "%s.eps", name)[0]));
        n->vars--;
    }
    n->vars--;
}

/* z times output k of node v after `layer` layers. */
static void expand(enumeration *n, int layer, int v, int k, double z)
{
    int l = layer - 1, in = l >= 0 ? width_of(l) : 0;

    if (layer == 0) {
        emit(n, z * n->f[0][v][k]);
        return;
    }
    if (n->arch == DK_GNN_GIN) {
        expand_gin(n, l, v, k, z);
        return;
    }
    z *= n->p[l][v][k];
    if (z == 0)
        return;
    push_pattern(n, l, v);
    if (n->arch == DK_GNN_SAGE) {
        emit(n, z * ex_param(n->m, "%s.lin_l.bias", prefix(l))[k]);
        expand_edges(n, layer, v, ex_param(n->m, "%s.lin_l.weight", prefix(l)) + k * in, z);
        expand_inputs(n, layer, v, ex_param(n->m, "%s.lin_r.weight", prefix(l)) + k * in, z);
    } else {
        emit(n, z * ex_param(n->m, "%s.bias", prefix(l))[k]);
        expand_edges(n, layer, v, ex_param(n->m, "%s.lin.weight", prefix(l)) + k * in, z);
    }
    n->vars--;
}

static void expand_class(enumeration *n, int c)
{
    const double *w1 = ex_param(n->m, "lin1.weight"), *b1 = ex_param(n->m, "lin1.bias");
    const double *w2 = ex_param(n->m, "lin2.weight");

    memset(n->edge, 0, sizeof n->edge);
    memset(n->pattern, 0, sizeof n->pattern);
    n->head = 0;
    n->constant = ex_param(n->m, "lin2.bias")[c];
    for (int j = 0; j < D; j++) {
        double z = w2[c * D + j] * n->pc[j];
        if (z == 0)
            continue;
        n->var[n->vars++] = VAR_HEAD + j;
        emit(n, z * b1[j]);
        for (int v = 0; v < n->g->n; v++)
            for (int k = 0; k < D; k++)
                expand(n, L, v, k, z * w1[j * D + k] / n->g->n);
        n->vars--;
    }
}

static void enumeration_of(dk_gnn_arch arch, const char *graph, uint64_t seed)
{
    dk_gnn *m = ex_random_model(arch, DK_TASK_GRAPH, DK_READ_MEAN, L, D, F, CLASSES, seed);
    dk_goat_plan plan = {.first = 0, .classes = CLASSES};
    enumeration *n = dk_xcalloc(1, sizeof *n);
    dk_goat_shares s;
    dk_graph g;
    ex_case c;
    dk_err err;

    dk_err_init(&err);
    ex_graph(&g, graph, F, seed);
    ex_open(&c, m, &g, -1, 0);
    *n = (enumeration){.m = m, .g = &g, .arch = arch};
    forward(n);
    ts_ok(dk_goat_shares_make(&s, &c.w, &c.i, &plan, &err), &err);
    for (int k = 0; k < CLASSES; k++) {
        double sum = 0;
        expand_class(n, k);
        ex_close_to("edge", s.edge + k * g.e, n->edge, g.e, 1e-10);
        for (int site = 0; site < s.sites; site++)
            ex_close_to("pattern", s.pattern[0] + (k * s.sites + site) * s.n, n->pattern[site], g.n,
                        1e-10);
        ex_near(s.head[0][k], n->head, 1e-10);
        for (int e = 0; e < g.e; e++)
            sum += n->edge[e];
        for (int site = 0; site < s.sites; site++)
            for (int v = 0; v < g.n; v++)
                sum += n->pattern[site][v];
        ex_near(sum + n->head + n->constant, c.i.logits[k], 1e-12);
    }
    dk_goat_shares_free(&s);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
    free(n);
}

static void every_product(void **state)
{
    static const dk_gnn_arch arch[] = {DK_GNN_GCN, DK_GNN_SAGE, DK_GNN_GIN};
    static const char *const graph[] = {"random:1", "random:2", "random:3",
                                        "random:4", "odd",      "loop"};

    (void)state;
    for (int a = 0; a < 3; a++)
        for (size_t k = 0; k < sizeof graph / sizeof *graph; k++)
            if (arch[a] != DK_GNN_GIN || strncmp(graph[k], "odd", 3) != 0)
                enumeration_of(arch[a], graph[k], 100 * (uint64_t)a + k + 1);
}

/* ---- Completeness. */
static double sum_of(const double *x, int64_t n)
{
    double sum = 0;

    for (int64_t i = 0; i < n; i++)
        sum += x[i];
    return sum;
}

/* sum of edges, nodes and loops + residual = logit - logit of the empty graph. Returns |residual|.
 */
static double complete(ex_case *c, const dk_explain_params *p, bool features, double tol)
{
    const dk_graph *g = c->i.g;
    dk_explanation out = {.score = ex_zeros(g->e),
                          .node_score = features ? ex_zeros(g->n) : NULL,
                          .loop_score = ex_zeros(g->n)};
    dk_err err;

    dk_err_init(&err);
    ts_ok(dk_explain(dk_explainer_find("goat"), &c->w, NULL, &c->i, p, &out, &err), &err);
    double sum = sum_of(out.score, g->e) + sum_of(out.loop_score, g->n);
    if (features)
        sum += sum_of(out.node_score, g->n);
    ex_near(sum + out.residual, out.logit - out.empty_logit, tol);
    ex_near(out.logit, c->i.logits[c->i.target], 1e-12);
    free(out.score);
    free(out.node_score);
    free(out.loop_score);
    return fabs(out.residual);
}

static void every_graph(const char *model, const char *data)
{
    dk_explain_params p = dk_explain_params_default();
    dk_gnn *m = ex_model(model);
    dk_explain_worker w;
    dk_dataset d;
    dk_err err;

    dk_err_init(&err);
    ex_data(&d, data, m);
    ts_ok(dk_explain_worker_init(&w, m, &err), &err);
    for (int32_t k = 0; k < d.count; k++) {
        ex_case c = {.w = w};
        ts_ok(dk_instance_init(&c.i, &w, &d.graphs[k], -1, k, d.graphs[k].label, &err), &err);
        assert_true(complete(&c, &p, false, 1e-9) == 0);
        dk_instance_free(&c.i);
    }
    dk_explain_worker_fini(&w);
    dk_dataset_free(&d);
    dk_gnn_free(m);
}

static void complete_mutag(void **state)
{
    (void)state;
    every_graph("gcn_MUTAG", "MUTAG");
    every_graph("gin_MUTAG", "MUTAG");
}

static void complete_ba_2motifs(void **state)
{
    (void)state;
    every_graph("gcn_ba_2motifs", "BA_2Motifs");
    every_graph("gin_ba_2motifs", "BA_2Motifs");
}

/* All architectures, readouts and tasks, with isolated nodes, loops, one-way edges and weights. */
static void complete_everywhere(void **state)
{
    static const struct {
        dk_gnn_arch arch;
        dk_readout readout;
    } graph[] = {
        {DK_GNN_GCN, DK_READ_SUM},        {DK_GNN_GCN, DK_READ_MAX},
        {DK_GNN_GIN, DK_READ_MAX},        {DK_GNN_SAGE, DK_READ_MEAN},
        {DK_GNN_GRAPHCONV, DK_READ_MEAN}, {DK_GNN_GCN_NORM, DK_READ_MEAN},
        {DK_GNN_GCN_NORM, DK_READ_MAX},   {DK_GNN_GAT, DK_READ_MEAN},
        {DK_GNN_GATV2, DK_READ_SUM},      {DK_GNN_GCN_NORM_MAXMEAN, DK_READ_MAX_MEAN},
    };
    static const dk_gnn_arch node[] = {DK_GNN_GCN,         DK_GNN_GIN,      DK_GNN_SAGE,
                                       DK_GNN_GRAPHCONV,   DK_GNN_GCN_NORM, DK_GNN_GAT,
                                       DK_GNN_GCN_NORM_CAT};
    static const char *const name[] = {"odd", "weighted", "star", "loop", "path"};
    dk_explain_params p = dk_explain_params_default();
    int graphs = sizeof graph / sizeof *graph, nodes = sizeof node / sizeof *node;

    (void)state;
    for (int k = 0; k < graphs + nodes; k++) {
        dk_gnn *m = k < graphs ? ex_random_model(graph[k].arch, DK_TASK_GRAPH, graph[k].readout, 3,
                                                 4, 3, 3, (uint64_t)k)
                               : ex_random_model(node[k - graphs], DK_TASK_NODE, DK_READ_NONE, 3, 4,
                                                 3, 3, (uint64_t)k);
        for (size_t s = 0; s < sizeof name / sizeof *name; s++) {
            dk_graph g;
            ex_case c;
            ex_graph(&g, name[s], 3, s);
            if (strcmp(name[s], "weighted") == 0 &&
                (m->c.arch == DK_GNN_GCN_NORM || m->c.arch == DK_GNN_GCN_NORM_CAT ||
                 m->c.arch == DK_GNN_GCN_NORM_MAXMEAN))
                for (int e = 0; e < g.e; e++)
                    g.weight[e] = fabs(g.weight[e]); /* degrees must not be negative */
            ex_open(&c, m, &g, k < graphs ? -1 : g.n / 2, 1);
            for (int variant = 0; variant < 4; variant++) {
                p.hops = variant & 1 ? DK_HOPS_DISTINCT : DK_HOPS_LIST;
                p.selfloop_variable = variant & 2;
                complete(&c, &p, false, 1e-10);
                complete(&c, &p, true, 1e-10);
            }
            ex_close(&c);
            dk_graph_free(&g);
        }
        dk_gnn_free(m);
    }
}

/* ---- Published scores. */
static void published(ex_case *c, const dk_csv *csv, size_t row)
{
    const dk_graph *g = c->i.g;
    const dk_explain_params p = dk_explain_params_default();
    dk_explanation out = {.score = ex_zeros(g->e), .score_c = ex_zeros(2 * (int64_t)g->e)};
    dk_err err;

    dk_err_init(&err);
    ts_ok(dk_explain(&dk_explainer_goat, &c->w, NULL, &c->i, &p, &out, &err), &err);
    for (size_t e = 0; e < (size_t)g->e; e++) {
        assert_int_equal(strtol(dk_csv_at(csv, row + e, 1), NULL, 10), g->src[e]);
        assert_int_equal(strtol(dk_csv_at(csv, row + e, 2), NULL, 10), g->dst[e]);
        for (size_t k = 0; k < 2; k++)
            ex_near(out.score_c[2 * e + k], strtod(dk_csv_at(csv, row + e, 5 + k), NULL), 1e-6);
    }
    free(out.score);
    free(out.score_c);
}

static void reference_scores(void **state)
{
    (void)state;
    ex_references(published);
}

/* ---- Rules that follow. */

/* Scores are linear in the last layer: scaled with it, and additive over classes. */
static void linear_in_the_classes(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_GIN, DK_TASK_GRAPH, DK_READ_MEAN, 3, 5, 3, 2, 4);
    double *w2 = (double *)(uintptr_t)ex_param(m, "lin2.weight");
    double *one, *two, *sum;
    dk_graph g;
    ex_case c;

    (void)state;
    ex_graph(&g, "odd", 3, 1);
    ex_open(&c, m, &g, -1, 0);
    one = ex_scores(&c, "goat", NULL);
    c.i.target = 1;
    two = ex_scores(&c, "goat", NULL);
    ex_close(&c);
    for (int j = 0; j < 5; j++)
        w2[j] = 3 * (w2[j] + w2[5 + j]);
    ex_open(&c, m, &g, -1, 0);
    sum = ex_scores(&c, "goat", NULL);
    for (int e = 0; e < g.e; e++)
        ex_near(sum[e], 3 * (one[e] + two[e]), 1e-12);
    ex_close(&c);
    free(one);
    free(two);
    free(sum);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

/* Without calibration the sum is the logit without its bias. */
static void without_calibration(void **state)
{
    dk_gnn *m = ex_model("gin_MUTAG");
    dk_explain_params p = dk_explain_params_default();
    dk_dataset d;
    ex_case c;

    (void)state;
    p.calibrate = false;
    ex_data(&d, "MUTAG", m);
    ex_open(&c, m, &d.graphs[3], -1, 1);
    double *score = ex_scores(&c, "goat", &p);
    ex_near(sum_of(score, d.graphs[3].e), c.i.logits[1] - ex_param(m, "lin2.bias")[1], 1e-9);
    free(score);
    ex_close(&c);
    dk_dataset_free(&d);
    dk_gnn_free(m);
}

/* Lists with repetitions written out, as the published program does, against the counting. */
static void hop_lists_written_out(void **state)
{
    static const char *const name[] = {"odd", "star", "random:7", "tiny"};

    (void)state;
    for (int k = 0; k < 8; k++) {
        dk_gnn *m = ex_random_model(DK_GNN_SAGE, DK_TASK_GRAPH, DK_READ_MEAN, 3, 4, 3, 2, 40);
        dk_explain_params p = dk_explain_params_default();
        dk_goat_plan plan = {.first = 1, .classes = 1};
        dk_goat_shares s;
        dk_graph g;
        ex_case c;
        dk_err err;
        bool distinct = k >= 4;
        dk_err_init(&err);
        ex_graph(&g, name[k % 4], 3, 5);
        ex_open(&c, m, &g, -1, 1);
        ts_ok(dk_goat_shares_make(&s, &c.w, &c.i, &plan, &err), &err);
        double *expect = ex_zeros(g.e), *got = ex_zeros(g.e), left = 0, residual;
        for (int e = 0; e < g.e; e++)
            expect[e] = s.edge[e] + (s.head[0][0] - s.head[1][0]) / g.e;
        for (int site = 0; site < 3; site++)
            for (int a = 0; a < g.n; a++) {
                int count[64] = {0}, total = 0;
                bool now[MAX_N + 2] = {0}, next[MAX_N + 2], before[MAX_N + 2] = {0};
                now[a] = true;
                for (int hop = 0; hop <= site; hop++) {
                    memset(next, 0, sizeof next);
                    for (int e = 0; e < g.e; e++)
                        if (now[g.src[e]] && !(distinct && before[g.src[e]])) {
                            count[e]++;
                            total++;
                            next[g.dst[e]] = true;
                        }
                    for (int v = 0; v < g.n; v++)
                        before[v] = before[v] || now[v];
                    memcpy(now, next, sizeof now);
                }
                double share = s.pattern[0][site * s.n + a] - s.pattern[1][site * s.n + a];
                for (int e = 0; e < g.e; e++)
                    expect[e] += total ? share * count[e] / total : 0;
                left += total ? 0 : share;
            }
        p.hops = distinct ? DK_HOPS_DISTINCT : DK_HOPS_LIST;
        ts_ok(dk_goat_pass_on(&s, &c.i, &p, got, &residual, &err), &err);
        ex_close_to("passed on", got, expect, g.e, 1e-13);
        ex_near(residual, left, 1e-13);
        free(expect);
        free(got);
        dk_goat_shares_free(&s);
        ex_close(&c);
        dk_graph_free(&g);
        dk_gnn_free(m);
    }
}

/* A node in its neighbourhood scores as in the whole graph; what is out of reach scores 0. */
static void node_in_its_neighbourhood(void **state)
{
    dk_gnn *m = ex_model("gin_ba_shape");
    dk_err err;
    dk_dataset d;
    ex_case whole, part;
    dk_graph sub;
    int32_t center, *edge_of, *seen;

    (void)state;
    dk_err_init(&err);
    ex_data(&d, "ba_shape", m);
    const dk_graph *g = &d.graphs[0];
    seen = dk_graph_scratch(g, &err);
    ts_ok(dk_graph_khop(g, 442, 3, seen, &sub, &center, NULL, &edge_of, &err), &err);
    ex_open(&whole, m, g, 442, -1);
    ex_open(&part, m, &sub, center, -1);
    ex_close_to("logits", part.i.logits, whole.i.logits, 4, 1e-12);
    double *a = ex_scores(&whole, "goat", NULL), *b = ex_scores(&part, "goat", NULL);
    double sum = 0;
    for (int32_t e = 0; e < sub.e; e++) {
        ex_near(b[e], a[edge_of[e]], 1e-10);
        a[edge_of[e]] = 0;
    }
    for (int32_t e = 0; e < g->e; e++)
        sum += fabs(a[e]);
    assert_true(sum < 1e-12);
    free(a);
    free(b);
    ex_close(&whole);
    ex_close(&part);
    dk_graph_free(&sub);
    free(edge_of);
    free(seen);
    dk_dataset_free(&d);
    dk_gnn_free(m);
}

/* The published node program: the classifier's pattern goes to all edges of the graph, the empty
 * graph's last layer comes off twice. */
static void node_compat(void **state)
{
    dk_gnn *m = ex_random_model(DK_GNN_GCN, DK_TASK_NODE, DK_READ_NONE, 3, 4, 3, 2, 12);
    dk_explain_params p = dk_explain_params_default();
    dk_goat_plan plan = {.first = 0, .classes = 1};
    dk_goat_shares s;
    dk_graph g;
    ex_case c;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    ex_graph(&g, "tiny", 3, 9);
    ex_open(&c, m, &g, 3, 0);
    p.symmetric = false;
    double *plain = ex_scores(&c, "goat", &p);
    p.compat = true;
    c.i.edges_whole = 100;
    double *compat = ex_scores(&c, "goat", &p);
    ts_ok(dk_goat_shares_make(&s, &c.w, &c.i, &plan, &err), &err);
    double last = 0;
    for (int v = 0; v < 4; v++)
        last += s.pattern[1][2 * s.n + v];
    ex_near(sum_of(compat, 8) - sum_of(plain, 8), -last + s.head[0][0] * (8 / 100. - 1), 1e-12);
    free(plain);
    free(compat);
    dk_goat_shares_free(&s);
    ex_close(&c);
    dk_graph_free(&g);
    dk_gnn_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_of_products),
        cmocka_unit_test(quadrature_is_exact),
        cmocka_unit_test(fixture),
        cmocka_unit_test(every_product),
        cmocka_unit_test(complete_mutag),
        cmocka_unit_test(complete_ba_2motifs),
        cmocka_unit_test(complete_everywhere),
        cmocka_unit_test(reference_scores),
        cmocka_unit_test(linear_in_the_classes),
        cmocka_unit_test(without_calibration),
        cmocka_unit_test(hop_lists_written_out),
        cmocka_unit_test(node_in_its_neighbourhood),
        cmocka_unit_test(node_compat),
    };
    /* Graphs this small gain nothing from threads. */
    dk_set_threads(1);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
