/* The matrix product of one type; included by cpu_gemm.c once for each.
 *
 * A tile of ROWS x COLS sums stays in registers. B comes as panels of COLS columns, packed on the
 * stack, or used where it lies when few rows meet it; A is used where it lies, with any strides.
 * Element (i, j) is the sum over blocks of DEPTH products, each added up in order from zero,
 * without fused operations: the same bits for every cut of the rows and columns and for every
 * instruction set. */
#include "ops/mat/real.h"

#undef COLS
#undef ROWS
#define COLS (64 / (int)sizeof(REAL))
#define ROWS (DK_REAL == 64 ? 4 : 6) /* what GCC keeps in the 16 registers of AVX2 */

typedef struct N(product) {
    const REAL *a, *b;
    int64_t m, n, k;
    int64_t row, col; /* strides of A: element (i, p) is a[i * row + p * col] */
    bool tb, accumulate;
    REAL *c;
} N(product);

/* rows x COLS sums over k steps, of which `wide` columns are kept. */
VM_INLINE void N(tile)(const int rows, const REAL *a, int64_t row, int64_t col, const REAL *b,
                       int64_t ldb, int64_t k, bool add, REAL *c, int64_t ldc, int64_t wide)
{
    REAL acc[ROWS][COLS];
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < COLS; j++)
            acc[i][j] = 0;
    for (int64_t p = 0; p < k; p++, a += col, b += ldb)
        for (int i = 0; i < rows; i++) {
            REAL v = a[i * row];
            CPU_SIMD
            for (int j = 0; j < COLS; j++)
                acc[i][j] += v * b[j];
        }
    if (wide == COLS) {
        for (int i = 0; i < rows; i++)
            for (int j = 0; j < COLS; j++)
                c[i * ldc + j] = add ? c[i * ldc + j] + acc[i][j] : acc[i][j];
        return;
    }
    for (int i = 0; i < rows; i++)
        for (int j = 0; j < COLS; j++)
            if (j < wide)
                c[i * ldc + j] = add ? c[i * ldc + j] + acc[i][j] : acc[i][j];
}

/* `rows` rows of A times one panel. */
VM_INLINE void N(strip)(const N(product) *g, int64_t rows, const REAL *a, const REAL *b,
                        int64_t ldb, int64_t k, bool add, REAL *c, int64_t wide)
{
    int64_t row = g->row, col = g->col, ldc = g->n;
    for (; rows >= ROWS; rows -= ROWS, a += ROWS * row, c += ROWS * ldc)
        N(tile)(ROWS, a, row, col, b, ldb, k, add, c, ldc, wide);
    for (; rows >= 2; rows -= 2, a += 2 * row, c += 2 * ldc)
        N(tile)(2, a, row, col, b, ldb, k, add, c, ldc, wide);
    if (rows)
        N(tile)(1, a, row, col, b, ldb, k, add, c, ldc, wide);
}

/* out[p][j] = B[p0 + p][j0 + j] for k x COLS, zeros past the right edge. */
VM_INLINE void N(pack)(const N(product) *g, int64_t p0, int64_t k, int64_t j0, int64_t wide,
                       REAL *out)
{
    if (g->tb) {
        const REAL *b = g->b + j0 * g->k + p0;
        for (int64_t j = 0; j < wide; j++)
            for (int64_t p = 0; p < k; p++)
                out[p * COLS + j] = b[j * g->k + p];
        for (int64_t j = wide; j < COLS; j++)
            for (int64_t p = 0; p < k; p++)
                out[p * COLS + j] = 0;
        return;
    }
    const REAL *b = g->b + p0 * g->n + j0;
    for (int64_t p = 0; p < k; p++, b += g->n, out += COLS)
        for (int j = 0; j < COLS; j++)
            out[j] = j < wide ? b[j] : 0;
}

/* Rows [i0, i1), columns [j0, j1) of C. */
CPU_CLONES static void N(block)(const N(product) *g, int64_t i0, int64_t i1, int64_t j0, int64_t j1)
{
    REAL packed[PANELS * DEPTH * COLS];
    bool few = i1 - i0 <= FEW && !g->tb;
    for (int64_t p0 = 0; p0 < g->k; p0 += DEPTH) {
        int64_t k = g->k - p0 < DEPTH ? g->k - p0 : DEPTH;
        bool add = p0 > 0 || g->accumulate;
        for (int64_t js = j0; js < j1; js += PANELS * COLS) {
            int64_t je = j1 - js < PANELS * COLS ? j1 : js + PANELS * COLS;
            for (int64_t i = i0; i < i1; i += SLAB) {
                int64_t rows = i1 - i < SLAB ? i1 - i : SLAB;
                const REAL *a = g->a + i * g->row + p0 * g->col;
                for (int64_t j = js; j < je; j += COLS) {
                    int64_t wide = je - j < COLS ? je - j : COLS, ldb = COLS;
                    REAL *slot = packed + (j - js) * DEPTH;
                    const REAL *b = slot;
                    if (few && wide == COLS) {
                        b = g->b + p0 * g->n + j;
                        ldb = g->n;
                    } else if (i == i0) {
                        N(pack)(g, p0, k, j, wide, slot);
                    }
                    N(strip)(g, rows, a, b, ldb, k, add, g->c + i * g->n + j, wide);
                }
            }
        }
    }
}

/* The cut. Rows of A^T are columns of A: neighbours share cache lines; there the
 * pieces are small in both directions, for the products are those of weight gradients: few rows,
 * great depth. */
static void N(by_pieces)(const N(product) *g, bool ta)
{
    int64_t most = ta ? 2 * SLAB : 256, wide = ta ? 64 : g->n;
    int64_t even = dk_cpu_pieces(g->m, dk_cpu_pieces(g->m, most));
    int64_t high = ta ? dk_cpu_pieces(even, ROWS) * ROWS : most; /* equal shares of few rows */
    int64_t down = dk_cpu_pieces(g->m, high), total = down * dk_cpu_pieces(g->n, wide);
#pragma omp parallel for schedule(dynamic)
    for (int64_t t = 0; t < total; t++) {
        int64_t i = t % down * high, j = t / down * wide;
        N(block)(g, i, g->m - i < high ? g->m : i + high, j, g->n - j < wide ? g->n : j + wide);
    }
}

#if DK_REAL == 32
/* oneDNN sees panels of 256 rows, on one thread each. What it refuses, our own kernel does. */
static void by_onednn(const product_f32 *g)
{
    int64_t pieces = dk_cpu_pieces(g->m, 256);
#pragma omp parallel if (pieces > 1 && !dk_in_parallel())
    {
        dk_cpu_enter();
#pragma omp for schedule(dynamic)
        for (int64_t t = 0; t < pieces; t++) {
            int64_t i = t * 256, m = g->m - i < 256 ? g->m - i : 256;
            float beta = g->accumulate ? 1.0f : 0.0f;
            if (dk_cpu_gemm_onednn(g->tb ? 'T' : 'N', m, g->n, g->k, 1.0f, g->a + i * g->k, g->k,
                                   g->b, g->tb ? g->k : g->n, beta, g->c + i * g->n, g->n))
                block_f32(g, i, i + m, 0, g->n);
        }
    }
}
#endif

void N(dk_mat_cpu_gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a,
                        const void *b, bool accumulate, void *c)
{
    if (m == 0 || n == 0)
        return;
    if (k == 0) {
        if (!accumulate)
            memset(c, 0, (size_t)(m * n) * sizeof(REAL));
        return;
    }
    N(product) g = {a, b, m, n, k, ta ? 1 : k, ta ? m : 1, tb, accumulate, c};
    double work = (double)m * (double)n * (double)k;
#if DK_REAL == 32
    if (!ta && n >= 16 && work >= ONEDNN_FROM && use_onednn()) {
        by_onednn(&g);
        return;
    }
#endif
    if (work < PARALLEL_FROM || dk_in_parallel())
        N(block)(&g, 0, m, 0, n);
    else
        N(by_pieces)(&g, ta);
}
