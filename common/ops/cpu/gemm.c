/* The matrix product beneath linear layers, convolution and attention: oneDNN's, or one in plain C
 * for machines that oneDNN has no kernels for. */
#include "ops/cpu/cpu.h"

#include <oneapi/dnnl/dnnl.h>

dk_cpu_gemm_fn *dk_cpu_gemm = dk_cpu_gemm_onednn;

int dk_cpu_gemm_onednn(char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                       int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    return (int)dnnl_sgemm('N', tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

/* The plain one: B is packed 256 x 16 at a time (16 KiB, stays in the first cache), four rows of
 * A meet it together, 4 x 16 sums stay in registers. */
enum { MR = 4, NR = 16, KB = 256 };

static void pack(char tb, const float *b, int64_t ldb, int64_t k, int64_t n, float *out)
{
    for (int64_t p = 0; p < k; p++)
        for (int64_t j = 0; j < NR; j++)
            out[p * NR + j] = j >= n ? 0.0f : tb == 'T' ? b[j * ldb + p] : b[p * ldb + j];
}

CPU_CLONES static void multiply(const float *a, int64_t lda, const float *packed, int64_t k,
                                float sums[MR][NR])
{
    float acc[MR][NR] = {{0}};
    for (int64_t p = 0; p < k; p++)
        for (int i = 0; i < MR; i++) {
            float v = a[i * lda + p];
            CPU_SIMD
            for (int j = 0; j < NR; j++)
                acc[i][j] += v * packed[p * NR + j];
        }
    for (int i = 0; i < MR; i++)
        for (int j = 0; j < NR; j++)
            sums[i][j] = acc[i][j];
}

/* One block of K: C = alpha A B + beta C. The last rows of A go through a copy, so that multiply()
 * may always read four. */
static void block(int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *packed, float beta, float *c, int64_t ldc)
{
    float sums[MR][NR], tail[MR * KB];
    for (int64_t i0 = 0; i0 < m; i0 += MR) {
        int64_t rows = m - i0 < MR ? m - i0 : MR;
        if (rows == MR) {
            multiply(a + i0 * lda, lda, packed, k, sums);
        } else {
            for (int64_t i = 0; i < MR; i++)
                for (int64_t p = 0; p < k; p++)
                    tail[i * KB + p] = i < rows ? a[(i0 + i) * lda + p] : 0.0f;
            multiply(tail, KB, packed, k, sums);
        }
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < n; j++) {
                float *out = &c[(i0 + i) * ldc + j];
                *out = alpha * sums[i][j] + (beta == 0.0f ? 0.0f : beta * *out);
            }
    }
}

int dk_cpu_gemm_portable(char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                         int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                         int64_t ldc)
{
    float packed[KB * NR];
    for (int64_t j = 0; j < n; j += NR) {
        int64_t cols = n - j < NR ? n - j : NR;
        for (int64_t p = 0; p < k; p += KB) {
            int64_t depth = k - p < KB ? k - p : KB;
            pack(tb, tb == 'T' ? b + j * ldb + p : b + p * ldb + j, ldb, depth, cols, packed);
            block(m, cols, depth, alpha, a + p, lda, packed, p ? 1.0f : beta, c + j, ldc);
        }
    }
    return 0;
}
