/* Attention without a T x T array (Dao et al. 2022, "FlashAttention", algorithm 1; Milakov and
 * Gimelshein 2018 for the running softmax).
 *
 * One piece = 64 queries of one head of one image. It walks over the keys 256 at a time with, per
 * query, m = the largest score so far, l = the sum of e^(score - m), and acc = the sum of
 * e^(score - m) v. A tile that raises m by some amount first scales l and acc down by as much.
 * At the end out = acc / l and the log-sum-exp of the scores is m + log l. Both products of a
 * tile are matrix products on strided views of q, k and v, so any head width will do. */
#include "ops/cpu/cpu.h"

#include <math.h>

#include "ops/cpu/vmath.h"

enum { QUERIES = 64, KEYS = 256 };

typedef struct job {
    const dk_attn *a;
    int64_t tq, tk, d, width; /* width = heads * d */
    int64_t blocks;           /* of queries, per head */
    bool shared;              /* k and v have B = 1 */
} job;

CPU_CLONES static void add_row(float *x, const float *y, int64_t n)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
}

/* Turns one row of scores into e^(score - m) and adds them to *l. Returns the factor by which what
 * was summed before must shrink. A score of NaN makes l NaN, and so the output; a row that has
 * met only -infinity so far stays at m = -infinity with nothing summed. */
CPU_CLONES static float softmax_row(float *s, int64_t n, const float *key_bias,
                                    const float *rel_bias, float *m, float *l)
{
    if (key_bias)
        add_row(s, key_bias, n);
    if (rel_bias)
        add_row(s, rel_bias, n);
    float tops[CPU_LANES];
    for (int j = 0; j < CPU_LANES; j++)
        tops[j] = *m;
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES) {
        CPU_SIMD
        for (int j = 0; j < CPU_LANES; j++)
            tops[j] = s[i + j] > tops[j] ? s[i + j] : tops[j];
    }
    float top = *m;
    for (; i < n; i++)
        top = s[i] > top ? s[i] : top;
    for (int j = 0; j < CPU_LANES; j++)
        top = tops[j] > top ? tops[j] : top;
    float base = top == -INFINITY ? 0.0f : top;
    float sums[CPU_LANES] = {0};
    for (i = 0; i + CPU_LANES <= n; i += CPU_LANES) {
        CPU_SIMD
        for (int j = 0; j < CPU_LANES; j++) {
            float e = vm_exp(s[i + j] - base);
            s[i + j] = e;
            sums[j] += e;
        }
    }
    for (int j = 0; i < n; i++, j++) {
        float e = vm_exp(s[i] - base);
        s[i] = e;
        sums[j] += e;
    }
    float sum = 0;
    for (int j = 0; j < CPU_LANES; j++)
        sum += sums[j];
    float shrink = vm_exp(*m - base);
    *l = *l * shrink + sum;
    *m = top;
    return shrink;
}

CPU_CLONES static void scale_row(float *x, int64_t n, float f, float *out)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        out[i] = x[i] * f;
}

/* Queries [first, first + n) of head h of image b. scratch: KEYS * QUERIES scores, QUERIES * d
 * sums. Returns oneDNN's status. */
static int run_block(const job *j, int64_t b, int64_t h, int64_t first, int64_t n, float *scratch)
{
    const dk_attn *a = j->a;
    const float *q = dk_f32(a->q) + (b * j->tq + first) * j->width + h * j->d;
    const float *k = dk_f32(a->k) + (j->shared ? 0 : b) * j->tk * j->width + h * j->d;
    const float *v = dk_f32(a->v) + (j->shared ? 0 : b) * j->tk * j->width + h * j->d;
    const float *rel = a->rel_bias ? a->rel_bias + h * (j->tq + j->tk - 1) : NULL;
    float *scores = scratch, *acc = scratch + QUERIES * KEYS;
    float m[QUERIES], l[QUERIES];
    for (int64_t i = 0; i < n; i++) {
        m[i] = -INFINITY;
        l[i] = 0;
    }
    for (int64_t k0 = 0; k0 < j->tk; k0 += KEYS) {
        int64_t nk = j->tk - k0 < KEYS ? j->tk - k0 : KEYS;
        int status = dk_cpu_gemm('T', n, nk, j->d, a->scale, q, j->width, k + k0 * j->width,
                                 j->width, 0.0f, scores, KEYS);
        if (status)
            return status;
        for (int64_t i = 0; i < n; i++) {
            /* Key k0 against query first + i: relative position k0 - (first + i). */
            const float *r = rel ? rel + k0 - (first + i) + j->tq - 1 : NULL;
            float shrink = softmax_row(scores + i * KEYS, nk, a->key_bias ? a->key_bias + k0 : NULL,
                                       r, &m[i], &l[i]);
            if (k0 > 0 && shrink != 1.0f)
                scale_row(acc + i * j->d, j->d, shrink, acc + i * j->d);
        }
        status = dk_cpu_gemm('N', n, j->d, nk, 1.0f, scores, KEYS, v + k0 * j->width, j->width,
                             k0 > 0 ? 1.0f : 0.0f, acc, j->d);
        if (status)
            return status;
    }
    float *out = dk_f32(a->out) + (b * j->tq + first) * j->width + h * j->d;
    for (int64_t i = 0; i < n; i++) {
        scale_row(acc + i * j->d, j->d, l[i] == 0 ? 0.0f : 1.0f / l[i], out + i * j->width);
        if (a->lse)
            a->lse[(b * a->heads + h) * j->tq + first + i] = m[i] + logf(l[i]);
    }
    return 0;
}

int dk_cpu_attention(const dk_attn *a, dk_err *err)
{
    const dk_tensor *q = a->q;
    job j = {.a = a, .tq = q->shape[1], .tk = a->k->shape[1], .width = q->shape[2]};
    j.d = j.width / a->heads;
    j.blocks = dk_cpu_pieces(j.tq, QUERIES);
    j.shared = a->k->shape[0] == 1;
    int64_t tasks = q->shape[0] * a->heads * j.blocks;
    int threads = dk_threads();
    dk_cpu_scratch scratch;
    int rc = dk_cpu_scratch_new(&scratch, threads, QUERIES * (KEYS + j.d), "attention", err);
    if (rc)
        return rc;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (dk_count(q) * j.tk > 10000)
    {
        dk_cpu_enter();
        float *mine = dk_cpu_scratch_mine(&scratch);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < tasks; task++) {
            int64_t first = task % j.blocks * QUERIES, head = task / j.blocks;
            int64_t n = j.tq - first < QUERIES ? j.tq - first : QUERIES;
            int status = run_block(&j, head / a->heads, head % a->heads, first, n, mine);
            if (status) {
#pragma omp atomic write
                failed = status;
            }
        }
    }
    dk_cpu_scratch_free(&scratch);
    char qs[160], ks[160];
    if (failed)
        return dk_fail(err, DK_EBACKEND,
                       "attention, %d heads, q %s, k %s: oneDNN sgemm failed (status %d)", a->heads,
                       dk_shape_text(q, qs), dk_shape_text(a->k, ks), failed);
    return 0;
}
