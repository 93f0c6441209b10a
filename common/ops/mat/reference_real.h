/* The reference of one type; included by reference.c once for each. Sums are kept in f64. */
#include "ops/mat/real.h"

static void N(gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *av,
                    const void *bv, bool accumulate, void *cv)
{
    const REAL *a = av, *b = bv;
    REAL *c = cv;
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = accumulate ? (double)c[i * n + j] : 0;
            for (int64_t p = 0; p < k; p++)
                sum += (double)a[ta ? p * m + i : i * k + p] *
                       (double)b[tb ? j * k + p : p * n + j];
            c[i * n + j] = (REAL)sum;
        }
}

static void N(aggregate)(const dk_adj *adj, bool transpose, int h, int64_t d, const void *wv,
                         const void *xv, bool accumulate, void *yv)
{
    const REAL *w = wv, *x = xv;
    REAL *y = yv;
    int64_t width = h * d, rows = transpose ? adj->n_src : adj->n_dst;
    const int32_t *ptr = transpose ? adj->out_ptr : adj->in_ptr;
    const int32_t *edge = transpose ? adj->out_edge : adj->in_edge;
    const int32_t *from = transpose ? adj->dst : adj->src;
    for (int64_t r = 0; r < rows; r++)
        for (int64_t j = 0; j < width; j++) {
            double sum = accumulate ? (double)y[r * width + j] : 0;
            for (int32_t i = ptr[r]; i < ptr[r + 1]; i++) {
                int64_t e = edge[i];
                double weight = w ? (double)w[e * h + j / d] : 1;
                sum += weight * (double)x[from[e] * width + j];
            }
            y[r * width + j] = (REAL)sum;
        }
}

static void N(edge_dot)(const dk_adj *adj, int h, int64_t d, const void *xv, const void *yv,
                        void *sv)
{
    const REAL *x = xv, *y = yv;
    REAL *s = sv;
    for (int64_t e = 0; e < adj->n_edges; e++)
        for (int64_t k = 0; k < h; k++) {
            double sum = (double)s[e * h + k];
            for (int64_t j = k * d; j < (k + 1) * d; j++)
                sum += (double)x[adj->src[e] * h * d + j] * (double)y[adj->dst[e] * h * d + j];
            s[e * h + k] = (REAL)sum;
        }
}
