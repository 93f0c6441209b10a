/* Operations on single elements: activations, sums, products, the search for NaN; and the scratch
 * memory of the other files. Elements do not depend on each other, so any cut gives the same. */
#include "ops/cpu/cpu.h"

#include <math.h>
#include <string.h>

#include "ops/cpu/vmath.h"

enum { RUN = 8192 }; /* elements per piece: 32 KiB */

int dk_cpu_scratch_new(dk_cpu_scratch *s, int threads, int64_t floats, const char *what,
                       dk_err *err)
{
    size_t bytes;
    s->base = NULL;
    s->each = 0;
    if (floats == 0)
        return 0;
    if (!dk_mul((size_t)floats, sizeof(float), &bytes) || !dk_add(bytes, 63, &bytes) ||
        !dk_mul(bytes / 64 * 64, (size_t)threads, &bytes))
        return dk_fail(err, DK_ENOMEM, "work memory for %s: too large", what);
    s->each = bytes / (size_t)threads;
    s->base = dk_alloc(bytes, what, err);
    return s->base ? 0 : DK_ENOMEM;
}

void dk_cpu_scratch_free(dk_cpu_scratch *s)
{
    dk_free_aligned(s->base);
    s->base = NULL;
}

CPU_CLONES static void relu_run(float *x, int64_t n)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        x[i] = x[i] < 0.0f ? 0.0f : x[i];
}

CPU_CLONES static void silu_run(float *x, int64_t n)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        x[i] = vm_silu(x[i]);
}

CPU_CLONES static void gelu_tanh_run(float *x, int64_t n)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        x[i] = vm_gelu_tanh(x[i]);
}

void dk_cpu_act_run(dk_act act, float *x, int64_t n)
{
    switch (act) {
    case DK_ACT_NONE:
        return;
    case DK_ACT_RELU:
        relu_run(x, n);
        return;
    case DK_ACT_SILU:
        silu_run(x, n);
        return;
    case DK_ACT_GELU_TANH:
        gelu_tanh_run(x, n);
        return;
    case DK_ACT_GELU_ERF: /* only BERT: libm's erf is fast enough */
        for (int64_t i = 0; i < n; i++)
            x[i] = 0.5f * x[i] * (1.0f + erff(x[i] * 0.707106781f));
        return;
    }
}

CPU_CLONES static void add_run(float *x, const float *y, int64_t n)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        x[i] += y[i];
}

CPU_CLONES static void mul_run(float *x, const float *y, int64_t n)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        x[i] *= y[i];
}

CPU_CLONES static void gated_run(float *x, const float *gate, const float *y, int64_t n)
{
    CPU_SIMD
    for (int64_t i = 0; i < n; i++)
        x[i] += gate[i] * y[i];
}

void dk_cpu_bias_act(float *y, int64_t rows, int64_t n, int64_t ld, const float *bias, dk_act act)
{
    if (!bias && act == DK_ACT_NONE)
        return;
    for (int64_t r = 0; r < rows; r++, y += ld) {
        if (bias)
            add_run(y, bias, n);
        dk_cpu_act_run(act, y, n);
    }
}

void dk_cpu_act(dk_act act, dk_tensor *x)
{
    int64_t n = dk_count(x);
    float *p = dk_f32(x);
#pragma omp parallel for if (n > 2 * RUN)
    for (int64_t i = 0; i < n; i += RUN)
        dk_cpu_act_run(act, p + i, n - i < RUN ? n - i : RUN);
}

/* x op= y, y repeated as often as it fits: pieces never cross a repetition. */
static void combine(dk_tensor *x, const dk_tensor *y, void (*run)(float *, const float *, int64_t))
{
    int64_t n = dk_count(y);
    if (n == 0)
        return;
    int64_t pieces = dk_cpu_pieces(n, RUN), total = dk_count(x) / n * pieces;
    float *px = dk_f32(x);
    const float *py = dk_f32(y);
#pragma omp parallel for if (dk_count(x) > 2 * RUN)
    for (int64_t t = 0; t < total; t++) {
        int64_t at = t % pieces * RUN;
        run(px + t / pieces * n + at, py + at, n - at < RUN ? n - at : RUN);
    }
}

void dk_cpu_add(dk_tensor *x, const dk_tensor *y)
{
    combine(x, y, add_run);
}

void dk_cpu_mul(dk_tensor *x, const dk_tensor *y)
{
    combine(x, y, mul_run);
}

void dk_cpu_gated_add(dk_tensor *x, const dk_tensor *gate, const dk_tensor *y)
{
    int64_t d = x->shape[x->ndim - 1], rows = d ? dk_count(x) / d : 0;
    int64_t per_image = x->ndim == 3 ? x->shape[1] : rows;
    int64_t stride = dk_count(gate) == d ? 0 : d;
    float *px = dk_f32(x);
    const float *py = dk_f32(y), *pg = dk_f32(gate);
#pragma omp parallel for if (rows * d > 2 * RUN)
    for (int64_t r = 0; r < rows; r++)
        gated_run(px + r * d, pg + r / per_image * stride, py + r * d, d);
}

/* 1 when any of n values has an exponent of all ones. */
CPU_CLONES static uint32_t any_bad(const float *x, int64_t n)
{
    uint32_t found[CPU_LANES] = {0}, any = 0;
    int64_t i = 0;
    for (; i + CPU_LANES <= n; i += CPU_LANES) {
        uint32_t bits[CPU_LANES];
        memcpy(bits, x + i, sizeof bits);
        CPU_SIMD
        for (int j = 0; j < CPU_LANES; j++)
            found[j] |= (bits[j] & 0x7f800000u) == 0x7f800000u;
    }
    for (int j = 0; j < CPU_LANES; j++)
        any |= found[j];
    for (; i < n; i++)
        any |= !isfinite(x[i]);
    return any;
}

int64_t dk_cpu_first_bad(const float *x, int64_t n)
{
    int64_t pieces = dk_cpu_pieces(n, RUN), first = pieces;
#pragma omp parallel for reduction(min : first) if (n > 2 * RUN)
    for (int64_t p = 0; p < pieces; p++)
        if (any_bad(x + p * RUN, n - p * RUN < RUN ? n - p * RUN : RUN) && p < first)
            first = p;
    for (int64_t i = first * RUN; i < n; i++)
        if (!isfinite(x[i]))
            return i;
    return -1;
}
