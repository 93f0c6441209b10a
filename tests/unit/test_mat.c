/* The matrix operations of the fast backend against the reference, in both types, at shapes around
 * the tiles, blocks and pieces; and the same bytes for 1 and 3 threads, inside a parallel region
 * and outside. */
#include "unit/support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/par.h"
#include "ops/mat.h"

static uint64_t draws;

static double draw(void)
{
    return (double)(int64_t)(dk_splitmix64(draws++) >> 11) / 0x1p52 - 1;
}

/* A matrix of the backend's type, with one element more than asked for (0 is allowed). */
static void *matrix(dk_dtype real, int64_t n)
{
    double *d = test_calloc((size_t)n + 1, sizeof *d);
    float *f = (float *)(void *)d;
    for (int64_t i = 0; i < n; i++)
        if (real == DK_F64)
            d[i] = draw();
        else
            f[i] = (float)draw();
    return d;
}

static size_t bytes(dk_dtype real, int64_t n)
{
    return (size_t)n * (real == DK_F64 ? sizeof(double) : sizeof(float));
}

static double at(dk_dtype real, const void *p, int64_t i)
{
    return real == DK_F64 ? ((const double *)p)[i] : (double)((const float *)p)[i];
}

static void compare(const char *what, dk_dtype real, const void *got, const void *want, int64_t n,
                    int64_t terms)
{
    double tol = (real == DK_F64 ? 4e-16 : 2e-7) * (4 + (double)terms);
    for (int64_t i = 0; i < n; i++) {
        double a = at(real, got, i), b = at(real, want, i);
        if (!(fabs(a - b) <= tol))
            fail_msg("%s %s: element %d is %.17g, expected %.17g", what, dk_dtype_name(real),
                     (int)i, a, b);
    }
}

/* ---- Products. */

static void product(dk_dtype real, bool ta, bool tb, int64_t m, int64_t n, int64_t k, bool add)
{
    char what[96];
    snprintf(what, sizeof what, "gemm%s%s %d x %d x %d%s", ta ? " ta" : "", tb ? " tb" : "", (int)m,
             (int)n, (int)k, add ? " +" : "");
    void *a = matrix(real, m * k), *b = matrix(real, k * n), *c = matrix(real, m * n);
    void *want = matrix(real, m * n);
    memcpy(want, c, bytes(real, m * n));
    if (!add && m * n > 0)
        memset(c, 0xff, bytes(real, m * n)); /* NaN: must not be read */
    dk_mat_cpu(real)->gemm(ta, tb, m, n, k, a, b, add, c);
    dk_mat_reference(real)->gemm(ta, tb, m, n, k, a, b, add, want);
    compare(what, real, c, want, m * n, k);
    test_free(a);
    test_free(b);
    test_free(c);
    test_free(want);
}

static void test_products(void **state)
{
    (void)state;
    static const int shapes[][3] = {
        {1, 1, 1},    {1, 2, 64},   {25, 32, 32},  {25, 7, 33},    {4, 8, 128},    {5, 9, 129},
        {6, 16, 127}, {7, 17, 256}, {23, 65, 257}, {24, 64, 130},  {33, 63, 31},   {32, 64, 1},
        {70, 130, 3}, {3, 1, 300},  {257, 40, 70}, {300, 129, 90}, {64, 96, 1500}, {0, 3, 4},
        {3, 0, 4},    {3, 4, 0},    {600, 65, 65},
    };
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
        for (int mode = 0; mode < 8; mode++)
            for (int r = 0; r < 2; r++)
                product(r ? DK_F64 : DK_F32, mode & 1, mode & 2, shapes[s][0], shapes[s][1],
                        shapes[s][2], mode & 4);
}

/* NaN and infinity pass through. */
static void test_not_finite(void **state)
{
    (void)state;
    double a[2] = {NAN, 1}, b[2] = {1, INFINITY}, c[4];
    dk_mat_cpu(DK_F64)->gemm(false, false, 2, 2, 1, a, b, false, c);
    assert_true(isnan(c[0]) && isnan(c[1]) && isinf(c[3]));
    assert_true(c[2] == 1);
}

/* ---- Graphs. */

typedef struct graph {
    dk_adj adj;
    int32_t *src, *dst, *in_ptr, *in_edge, *out_ptr, *out_edge;
} graph;

static void group(int32_t rows, int32_t edges, const int32_t *key, int32_t *ptr, int32_t *list)
{
    int32_t n = 0;
    for (int32_t r = 0; r < rows; r++) {
        ptr[r] = n;
        for (int32_t e = 0; e < edges; e++)
            if (key[e] == r)
                list[n++] = e;
    }
    ptr[rows] = n;
}

static int32_t *ints(int32_t n)
{
    return test_calloc((size_t)n + 1, sizeof(int32_t));
}

/* Edges by chance, some of them double; some rows without. */
static void make_graph(graph *g, int32_t n_src, int32_t n_dst, int32_t n_edges)
{
    g->src = ints(n_edges), g->dst = ints(n_edges);
    g->in_ptr = ints(n_dst), g->in_edge = ints(n_edges);
    g->out_ptr = ints(n_src), g->out_edge = ints(n_edges);
    for (int32_t e = 0; e < n_edges; e++) {
        g->src[e] = (int32_t)(dk_splitmix64(draws++) % (uint64_t)n_src);
        g->dst[e] = (int32_t)(dk_splitmix64(draws++) % (uint64_t)n_dst);
    }
    group(n_dst, n_edges, g->dst, g->in_ptr, g->in_edge);
    group(n_src, n_edges, g->src, g->out_ptr, g->out_edge);
    g->adj = (dk_adj){n_src,     n_dst,      n_edges,    g->src,     g->dst,
                      g->in_ptr, g->in_edge, g->out_ptr, g->out_edge};
}

static void free_graph(graph *g)
{
    test_free(g->src);
    test_free(g->dst);
    test_free(g->in_ptr);
    test_free(g->in_edge);
    test_free(g->out_ptr);
    test_free(g->out_edge);
}

static void aggregates(dk_dtype real, const dk_adj *adj, int h, int64_t d)
{
    int64_t width = h * d;
    void *w = matrix(real, (int64_t)adj->n_edges * h), *x = matrix(real, adj->n_src * width);
    void *z = matrix(real, adj->n_dst * width);
    int64_t most = (adj->n_src > adj->n_dst ? adj->n_src : adj->n_dst) * width;
    void *got = matrix(real, most), *want = matrix(real, most);
    for (int mode = 0; mode < 8; mode++) {
        bool back = mode & 1, weights = mode & 2, add = mode & 4;
        int64_t n = (back ? adj->n_src : adj->n_dst) * width;
        if (!weights && h > 1)
            continue;
        memcpy(got, want, bytes(real, n));
        if (!add && n)
            memset(got, 0xff, bytes(real, n));
        dk_mat_cpu(real)->aggregate(adj, back, h, d, weights ? w : NULL, back ? z : x, add, got);
        dk_mat_reference(real)->aggregate(adj, back, h, d, weights ? w : NULL, back ? z : x, add,
                                          want);
        compare("aggregate", real, got, want, n, adj->n_edges);
    }
    int64_t scores = (int64_t)adj->n_edges * h;
    void *s = matrix(real, scores), *t = matrix(real, scores);
    memcpy(s, t, bytes(real, scores));
    dk_mat_cpu(real)->edge_dot(adj, h, d, x, z, s);
    dk_mat_reference(real)->edge_dot(adj, h, d, x, z, t);
    compare("edge_dot", real, s, t, scores, d);
    void *all[] = {w, x, z, got, want, s, t};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        test_free(all[i]);
}

static void test_graphs(void **state)
{
    (void)state;
    static const int32_t sizes[][3] = {
        {1, 1, 0}, {3, 3, 3}, {25, 25, 80}, {7, 300, 900}, {90, 4, 70}};
    static const int widths[][2] = {{1, 1}, {1, 32}, {1, 19}, {3, 5}, {4, 16}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        graph g;
        make_graph(&g, sizes[i][0], sizes[i][1], sizes[i][2]);
        for (size_t j = 0; j < sizeof widths / sizeof *widths; j++)
            for (int r = 0; r < 2; r++)
                aggregates(r ? DK_F64 : DK_F32, &g.adj, widths[j][0], widths[j][1]);
        free_graph(&g);
    }
}

/* ---- Threads. */

typedef struct work {
    dk_dtype real;
    const dk_adj *adj;
    void *x, *w, *y, *out;
    int64_t n; /* elements of out */
} work;

enum { BIG_ROWS = 2000, BIG_COLS = 72, BIG_EDGES = 5000 };

/* Large enough to be shared: a product each way, sums over edges, products over edges. */
static void run_all(work *k)
{
    const dk_mat_ops *ops = dk_mat_cpu(k->real);
    size_t size = bytes(k->real, 1);
    char *out = k->out;
    memset(out, 0, bytes(k->real, k->n));
    ops->gemm(false, true, BIG_ROWS, BIG_COLS, BIG_COLS, k->x, k->w, false, out);
    out += size * BIG_ROWS * BIG_COLS;
    ops->gemm(true, false, BIG_COLS, BIG_COLS, BIG_ROWS, k->x, k->y, false, out);
    out += size * BIG_COLS * BIG_COLS;
    ops->aggregate(k->adj, false, 1, BIG_COLS, NULL, k->x, false, out);
    out += size * BIG_ROWS * BIG_COLS;
    ops->edge_dot(k->adj, 1, BIG_COLS, k->x, k->y, out);
}

static void test_threads(void **state)
{
    (void)state;
    graph g;
    make_graph(&g, BIG_ROWS, BIG_ROWS, BIG_EDGES);
    for (int r = 0; r < 2; r++) {
        dk_dtype real = r ? DK_F64 : DK_F32;
        work k = {.real = real, .adj = &g.adj};
        k.n = 2 * BIG_ROWS * BIG_COLS + BIG_COLS * BIG_COLS + BIG_EDGES;
        k.x = matrix(real, BIG_ROWS * BIG_COLS), k.y = matrix(real, BIG_ROWS * BIG_COLS);
        k.w = matrix(real, BIG_COLS * BIG_COLS);
        k.out = matrix(real, k.n);
        void *want = matrix(real, k.n);
        dk_set_threads(1);
        run_all(&k);
        memcpy(want, k.out, bytes(real, k.n));
        dk_set_threads(3);
        run_all(&k);
        assert_memory_equal(k.out, want, bytes(real, k.n));
        assert_int_equal(dk_threads(), 3); /* nothing of dk_cpu_enter() stays behind */
        memset(k.out, 0xff, bytes(real, k.n));
#pragma omp parallel num_threads(2)
        {
#pragma omp single
            run_all(&k);
        }
        assert_memory_equal(k.out, want, bytes(real, k.n));
        dk_set_threads(0);
        void *all[] = {k.x, k.y, k.w, k.out, want};
        for (size_t i = 0; i < sizeof all / sizeof *all; i++)
            test_free(all[i]);
    }
    free_graph(&g);
}

/* A row's product does not depend on the rows beside it (f64: our own kernel at every size). */
static void test_rows_alone(void **state)
{
    (void)state;
    enum { M = 61, N = 41, K = 300 };
    double *a = matrix(DK_F64, M * K), *b = matrix(DK_F64, N * K), *c = matrix(DK_F64, M * N);
    double one[N];
    dk_mat_cpu(DK_F64)->gemm(false, true, M, N, K, a, b, false, c);
    for (int i = 0; i < M; i++) {
        dk_mat_cpu(DK_F64)->gemm(false, true, 1, N, K, a + i * K, b, false, one);
        assert_memory_equal(one, c + i * N, sizeof one);
    }
    test_free(a);
    test_free(b);
    test_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),   cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_graphs),     cmocka_unit_test(test_threads),
        cmocka_unit_test(test_rows_alone),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("mat", tests, NULL, NULL);
}
