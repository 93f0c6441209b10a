/* Private to the CPU backend: its operations, the matrix product beneath them, threads, and the
 * macro that compiles a loop once per instruction set.
 *
 * How work is cut. Every operation is a list of pieces whose sizes follow from the layer and from
 * one image; each piece is computed by one thread with the same calls whoever that thread is. How
 * pieces are dealt to threads may depend on the number of threads, their arithmetic may not. Sums
 * go through a fixed number of lanes, so that they do not depend on the vector width either. */
#ifndef DK_OPS_CPU_CPU_H
#define DK_OPS_CPU_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/par.h"
#include "ops/ops.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* CPU_CLONES before a function: compiled for AVX-512, AVX2 and the base instruction set; the
 * dynamic linker takes the best the machine has. Not under sanitizers, whose run time is not yet
 * there when the linker asks. A clone must not contain OpenMP regions (they would be outlined
 * without its target); drivers with the regions call clones for each piece. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CPU_NO_CLONES 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define CPU_NO_CLONES 1
#endif
#endif
#if defined(__x86_64__) && defined(__gnu_linux__) && !defined(CPU_NO_CLONES) &&                    \
    (!defined(__clang__) || __clang_major__ >= 14)
#define CPU_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define CPU_CLONES
#endif
#ifdef _OPENMP
#define CPU_SIMD _Pragma("omp simd")
#else
#define CPU_SIMD
#endif

/* Lanes of a sum: element i belongs to lane i % CPU_LANES; lanes are added in order. */
enum { CPU_LANES = 16 };

/* C [m, n] = alpha A [m, k] B + beta C, row-major with leading dimensions; B is [k, n], or
 * [n, k] when tb is 'T'. beta = 0 never reads C. Returns 0, or the library's status. */
typedef int dk_cpu_gemm_fn(char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                           int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                           int64_t ldc);
dk_cpu_gemm_fn dk_cpu_gemm_onednn;   /* only inside dk_cpu_enter() */
dk_cpu_gemm_fn dk_cpu_gemm_portable; /* plain C, vectorised by the compiler */
extern dk_cpu_gemm_fn *dk_cpu_gemm;  /* the one in use; dk_ops_cpu() chooses, tests replace it */

/* Threads. Every thread calls dk_cpu_enter() first thing in a parallel region that multiplies
 * matrices: from then on oneDNN sees a single thread. It asks OpenMP twice, "am I in a parallel
 * region?" (false in a team of one) and "how many threads may I use?"; this makes the second
 * answer one, so that the first does not matter. The setting ends with the region. */
static inline void dk_cpu_enter(void)
{
#ifdef _OPENMP
    omp_set_num_threads(1);
#endif
}

static inline int dk_cpu_thread(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}

/* Work memory of one operation, one piece per thread. */
typedef struct dk_cpu_scratch {
    char *base;
    size_t each;
} dk_cpu_scratch;
int dk_cpu_scratch_new(dk_cpu_scratch *s, int threads, int64_t floats, const char *what,
                       dk_err *err);
void dk_cpu_scratch_free(dk_cpu_scratch *s);
static inline float *dk_cpu_scratch_mine(const dk_cpu_scratch *s)
{
    return (float *)(void *)(s->base + s->each * (size_t)dk_cpu_thread());
}

/* ceil(n / size); and the size near `most` that cuts n into equal pieces, a multiple of 16. */
static inline int64_t dk_cpu_pieces(int64_t n, int64_t size)
{
    return (n + size - 1) / size;
}
static inline int64_t dk_cpu_piece(int64_t n, int64_t most)
{
    if (n <= most)
        return n < 1 ? 1 : n;
    return (dk_cpu_pieces(n, dk_cpu_pieces(n, most)) + 15) / 16 * 16;
}

/* "[2, 64, 192]" for messages; returns out. */
const char *dk_shape_text(const dk_tensor *t, char out[160]);

/* Kernels shared between files, for one thread. */
void dk_cpu_act_run(dk_act act, float *x, int64_t n);
/* y = act(y + bias) over `rows` rows of n values, stride ld; bias may be NULL. */
void dk_cpu_bias_act(float *y, int64_t rows, int64_t n, int64_t ld, const float *bias, dk_act act);
/* Index of the first NaN or infinity, or -1; in parallel. */
int64_t dk_cpu_first_bad(const float *x, int64_t n);

/* The operations; see ops.h. */
int dk_cpu_linear(const dk_linear *l, const dk_tensor *x, dk_tensor *y, dk_act act, dk_err *err);
int dk_cpu_conv_prepare(dk_conv *c, dk_err *err);
void dk_cpu_conv_release(dk_conv *c);
int dk_cpu_conv2d(const dk_conv *c, const dk_tensor *x, dk_tensor *y, dk_err *err);
int dk_cpu_attention(const dk_attn *a, dk_err *err);
void dk_cpu_layernorm(const dk_tensor *x, const float *gamma, const float *beta,
                      const dk_tensor *scale, const dk_tensor *shift, float eps, dk_tensor *y);
void dk_cpu_rmsnorm(const dk_tensor *x, const float *weight, float eps, dk_tensor *y);
void dk_cpu_groupnorm(const dk_tensor *x, int groups, const float *gamma, const float *beta,
                      float eps, dk_act act, dk_tensor *y);
void dk_cpu_act(dk_act act, dk_tensor *x);
void dk_cpu_add(dk_tensor *x, const dk_tensor *y);
void dk_cpu_mul(dk_tensor *x, const dk_tensor *y);
void dk_cpu_gated_add(dk_tensor *x, const dk_tensor *gate, const dk_tensor *y);
void dk_cpu_embed(const dk_tensor *table, const int32_t *ids, dk_tensor *y);
void dk_cpu_patchify(const dk_tensor *x, int p, dk_tensor *y);
void dk_cpu_unpatchify(const dk_tensor *x, int p, int64_t th, int64_t tw, dk_tensor *y);
void dk_cpu_upsample2(const dk_tensor *x, dk_tensor *y);
void dk_cpu_to_hwc(const dk_tensor *x, dk_tensor *y);
void dk_cpu_to_chw(const dk_tensor *x, dk_tensor *y);

#endif
