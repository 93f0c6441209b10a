/* The reference backend: each operation in its obvious form, sums in f64, exact functions of libm.
 * What the fast versions are compared with, and what --reference runs. Outer loops are shared
 * among threads; every output value is computed by itself, so this changes nothing. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ops/cpu/cpu.h"

static double activate(dk_act act, double x)
{
    switch (act) {
    case DK_ACT_NONE:
        break;
    case DK_ACT_RELU:
        return x < 0 ? 0 : x;
    case DK_ACT_SILU:
        return x / (1 + exp(-x));
    case DK_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
    case DK_ACT_GELU_ERF:
        return 0.5 * x * (1 + erf(x / sqrt(2)));
    }
    return x;
}

/* Row `row` of a weight matrix with n columns, as f32. */
static void weight_row(const dk_tensor *w, int64_t row, int64_t n, float *out)
{
    size_t width = (size_t)(dk_dtype_bits(w->dtype) / 8);
    dk_to_f32(w->dtype, (const char *)w->data + (size_t)(row * n) * width, out, (size_t)n);
}

static int linear_prepare(dk_linear *l, dk_err *err)
{
    (void)err;
    l->prep = NULL;
    return 0;
}

static void linear_release(dk_linear *l)
{
    l->prep = NULL;
}

static int conv_prepare(dk_conv *c, dk_err *err)
{
    (void)err;
    c->prep = NULL;
    return 0;
}

static void conv_release(dk_conv *c)
{
    c->prep = NULL;
}

static int linear(const dk_linear *l, const dk_tensor *x, dk_tensor *y, dk_act act, dk_err *err)
{
    int64_t rows = dk_count(x) / l->in;
    const float *px = dk_f32(x);
    float *py = dk_f32(y);
    dk_cpu_scratch scratch;
    int threads = dk_threads();
    int rc = dk_cpu_scratch_new(&scratch, threads, l->in, "a row of weights", err);
    if (rc)
        return rc;
#pragma omp parallel for num_threads(threads)
    for (int64_t o = 0; o < l->out; o++) {
        float *w = dk_cpu_scratch_mine(&scratch);
        weight_row(&l->w, o, l->in, w);
        for (int64_t r = 0; r < rows; r++) {
            double sum = l->bias ? (double)l->bias[o] : 0;
            for (int64_t i = 0; i < l->in; i++)
                sum += (double)px[r * l->in + i] * (double)w[i];
            py[r * l->out + o] = (float)activate(act, sum);
        }
    }
    dk_cpu_scratch_free(&scratch);
    return 0;
}

/* One output of a convolution: filter w [cin, k, k] at the window whose corner is (iy, ix). */
static double window_sum(const dk_conv *c, const dk_tensor *x, const float *w, int64_t iy,
                         int64_t ix)
{
    int64_t k = c->k, h = x->shape[0], width = x->shape[1];
    double sum = 0;
    for (int64_t ky = 0; ky < k; ky++)
        for (int64_t kx = 0; kx < k; kx++) {
            if (iy + ky < 0 || iy + ky >= h || ix + kx < 0 || ix + kx >= width)
                continue;
            const float *pixel = dk_f32(x) + ((iy + ky) * width + ix + kx) * c->cin;
            for (int64_t i = 0; i < c->cin; i++)
                sum += (double)pixel[i] * (double)w[(i * k + ky) * k + kx];
        }
    return sum;
}

static int conv2d(const dk_conv *c, const dk_tensor *x, dk_tensor *y, dk_err *err)
{
    int64_t filter = (int64_t)c->k * c->k * c->cin;
    dk_cpu_scratch scratch;
    int threads = dk_threads();
    int rc = dk_cpu_scratch_new(&scratch, threads, filter, "a filter", err);
    if (rc)
        return rc;
#pragma omp parallel for num_threads(threads)
    for (int64_t o = 0; o < c->cout; o++) {
        float *w = dk_cpu_scratch_mine(&scratch);
        weight_row(&c->w, o, filter, w);
        for (int64_t oy = 0; oy < y->shape[0]; oy++)
            for (int64_t ox = 0; ox < y->shape[1]; ox++) {
                double sum = window_sum(c, x, w, oy * c->stride - c->pad_begin,
                                        ox * c->stride - c->pad_begin);
                dk_f32(y)[(oy * y->shape[1] + ox) * c->cout + o] =
                    (float)(sum + (c->bias ? (double)c->bias[o] : 0));
            }
    }
    dk_cpu_scratch_free(&scratch);
    return 0;
}

/* One query i of head h of image b; s holds Tk values. */
static void attend(const dk_attn *a, int64_t b, int64_t h, int64_t i, double *s)
{
    int64_t tq = a->q->shape[1], tk = a->k->shape[1], width = a->q->shape[2];
    int64_t d = width / a->heads, kb = a->k->shape[0] == 1 ? 0 : b;
    const float *q = dk_f32(a->q) + (b * tq + i) * width + h * d;
    const float *k = dk_f32(a->k) + kb * tk * width + h * d;
    const float *v = dk_f32(a->v) + kb * tk * width + h * d;
    double top = -INFINITY, sum = 0;
    for (int64_t j = 0; j < tk; j++) {
        double dot = 0;
        for (int64_t e = 0; e < d; e++)
            dot += (double)q[e] * (double)k[j * width + e];
        s[j] = dot * (double)a->scale;
        if (a->key_bias)
            s[j] += (double)a->key_bias[j];
        if (a->rel_bias)
            s[j] += (double)a->rel_bias[h * (tq + tk - 1) + j - i + tq - 1];
        if (!(s[j] <= top))
            top = s[j];
    }
    /* Only when every score is -infinity: no key counts, the output is 0. */
    double base = top == -INFINITY ? 0 : top;
    for (int64_t j = 0; j < tk; j++)
        sum += s[j] = exp(s[j] - base);
    for (int64_t e = 0; e < d; e++) {
        double out = 0;
        for (int64_t j = 0; j < tk; j++)
            out += s[j] * (double)v[j * width + e];
        dk_f32(a->out)[(b * tq + i) * width + h * d + e] = (float)(sum == 0 ? 0 : out / sum);
    }
    if (a->lse)
        a->lse[(b * a->heads + h) * tq + i] = (float)(top + log(sum));
}

static int attention(const dk_attn *a, dk_err *err)
{
    int64_t tq = a->q->shape[1], rows = a->q->shape[0] * a->heads * tq;
    dk_cpu_scratch scratch; /* twice Tk floats are Tk doubles */
    int threads = dk_threads();
    int rc = dk_cpu_scratch_new(&scratch, threads, 2 * a->k->shape[1], "a row of scores", err);
    if (rc)
        return rc;
#pragma omp parallel for num_threads(threads)
    for (int64_t r = 0; r < rows; r++)
        attend(a, r / tq / a->heads, r / tq % a->heads, r % tq,
               (double *)(void *)dk_cpu_scratch_mine(&scratch));
    dk_cpu_scratch_free(&scratch);
    return 0;
}

static void layernorm(const dk_tensor *x, const float *gamma, const float *beta,
                      const dk_tensor *scale, const dk_tensor *shift, float eps, dk_tensor *y)
{
    int64_t d = x->shape[x->ndim - 1], rows = dk_count(x) / d;
    for (int64_t r = 0; r < rows; r++) {
        const float *in = dk_f32(x) + r * d;
        float *out = dk_f32(y) + r * d;
        double mean = 0, var = 0;
        for (int64_t i = 0; i < d; i++)
            mean += (double)in[i] / (double)d;
        for (int64_t i = 0; i < d; i++)
            var += ((double)in[i] - mean) * ((double)in[i] - mean) / (double)d;
        int64_t at = scale && dk_count(scale) != d ? r / x->shape[1] * d : 0;
        for (int64_t i = 0; i < d; i++) {
            double v = ((double)in[i] - mean) / sqrt(var + (double)eps);
            if (gamma)
                v *= (double)gamma[i];
            if (beta)
                v += (double)beta[i];
            if (scale)
                v = v * (1 + (double)dk_f32(scale)[at + i]) + (double)dk_f32(shift)[at + i];
            out[i] = (float)v;
        }
    }
}

static void rmsnorm(const dk_tensor *x, const float *weight, float eps, dk_tensor *y)
{
    int64_t d = x->shape[x->ndim - 1], rows = dk_count(x) / d;
    for (int64_t r = 0; r < rows; r++) {
        const float *in = dk_f32(x) + r * d;
        double sum = 0;
        for (int64_t i = 0; i < d; i++)
            sum += (double)in[i] * (double)in[i];
        for (int64_t i = 0; i < d; i++)
            dk_f32(y)[r * d + i] =
                (float)((double)in[i] / sqrt(sum / (double)d + (double)eps) * (double)weight[i]);
    }
}

static void groupnorm(const dk_tensor *x, int groups, const float *gamma, const float *beta,
                      float eps, dk_act act, dk_tensor *y)
{
    int64_t pixels = x->shape[0] * x->shape[1], c = x->shape[2], n = c / groups;
    const float *in = dk_f32(x);
    for (int64_t first = 0; first < c; first += n) {
        double mean = 0, var = 0, count = (double)pixels * (double)n;
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t i = first; i < first + n; i++)
                mean += (double)in[p * c + i];
        mean /= count;
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t i = first; i < first + n; i++)
                var += ((double)in[p * c + i] - mean) * ((double)in[p * c + i] - mean);
        double rstd = 1 / sqrt(var / count + (double)eps);
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t i = first; i < first + n; i++) {
                double v = ((double)in[p * c + i] - mean) * rstd;
                if (gamma)
                    v *= (double)gamma[i];
                if (beta)
                    v += (double)beta[i];
                dk_f32(y)[p * c + i] = (float)activate(act, v);
            }
    }
}

static void act_in_place(dk_act act, dk_tensor *x)
{
    for (int64_t i = 0; i < dk_count(x); i++)
        dk_f32(x)[i] = (float)activate(act, (double)dk_f32(x)[i]);
}

static void add(dk_tensor *x, const dk_tensor *y)
{
    int64_t nx = dk_count(x), ny = dk_count(y);
    for (int64_t i = 0; i < nx; i++)
        dk_f32(x)[i] += dk_f32(y)[i % ny];
}

static void mul(dk_tensor *x, const dk_tensor *y)
{
    int64_t nx = dk_count(x), ny = dk_count(y);
    for (int64_t i = 0; i < nx; i++)
        dk_f32(x)[i] *= dk_f32(y)[i % ny];
}

static void gated_add(dk_tensor *x, const dk_tensor *gate, const dk_tensor *y)
{
    int64_t d = x->shape[x->ndim - 1], n = dk_count(x);
    int64_t per_image = dk_count(gate) == d ? n : x->shape[1] * d;
    for (int64_t i = 0; i < n; i++)
        dk_f32(x)[i] += dk_f32(gate)[i / per_image * d + i % d] * dk_f32(y)[i];
}

static void embed(const dk_tensor *table, const int32_t *ids, dk_tensor *y)
{
    for (int64_t i = 0; i < y->shape[0]; i++)
        weight_row(table, ids[i], y->shape[1], dk_f32(y) + i * y->shape[1]);
}

static void patchify(const dk_tensor *x, int p, dk_tensor *y)
{
    int64_t b = x->shape[0], c = x->shape[1], h = x->shape[2], w = x->shape[3];
    int64_t tokens = (h / p) * (w / p);
    for (int64_t i = 0; i < b * c * h * w; i++) {
        int64_t col = i % w, row = i / w % h, ch = i / w / h % c, image = i / w / h / c;
        int64_t token = row / p * (w / p) + col / p;
        int64_t place = (ch * p + row % p) * p + col % p;
        dk_f32(y)[(image * tokens + token) * c * p * p + place] = dk_f32(x)[i];
    }
}

static void unpatchify(const dk_tensor *x, int p, int64_t th, int64_t tw, dk_tensor *y)
{
    int64_t b = y->shape[0], c = y->shape[1], h = th * p, w = tw * p;
    for (int64_t i = 0; i < b * c * h * w; i++) {
        int64_t col = i % w, row = i / w % h, ch = i / w / h % c, image = i / w / h / c;
        int64_t token = row / p * tw + col / p;
        int64_t place = (row % p * p + col % p) * c + ch;
        dk_f32(y)[i] = dk_f32(x)[(image * th * tw + token) * c * p * p + place];
    }
}

static void upsample2(const dk_tensor *x, dk_tensor *y)
{
    int64_t w = x->shape[1], c = x->shape[2], n = dk_count(y);
    for (int64_t i = 0; i < n; i++) {
        int64_t ch = i % c, col = i / c % (2 * w), row = i / c / (2 * w);
        dk_f32(y)[i] = dk_f32(x)[(row / 2 * w + col / 2) * c + ch];
    }
}

static void to_hwc(const dk_tensor *x, dk_tensor *y)
{
    int64_t c = x->shape[0], pixels = x->shape[1] * x->shape[2];
    for (int64_t i = 0; i < c; i++)
        for (int64_t p = 0; p < pixels; p++)
            dk_f32(y)[p * c + i] = dk_f32(x)[i * pixels + p];
}

static void to_chw(const dk_tensor *x, dk_tensor *y)
{
    int64_t c = x->shape[2], pixels = x->shape[0] * x->shape[1];
    for (int64_t i = 0; i < c; i++)
        for (int64_t p = 0; p < pixels; p++)
            dk_f32(y)[i * pixels + p] = dk_f32(x)[p * c + i];
}

const dk_ops *dk_ops_reference(void)
{
    static const dk_ops reference = {
        .name = "reference",
        .linear_prepare = linear_prepare,
        .linear_release = linear_release,
        .conv_prepare = conv_prepare,
        .conv_release = conv_release,
        .linear = linear,
        .conv2d = conv2d,
        .attention = attention,
        .layernorm = layernorm,
        .rmsnorm = rmsnorm,
        .groupnorm = groupnorm,
        .act = act_in_place,
        .add = add,
        .mul = mul,
        .gated_add = gated_add,
        .embed = embed,
        .patchify = patchify,
        .unpatchify = unpatchify,
        .upsample2 = upsample2,
        .to_hwc = to_hwc,
        .to_chw = to_chw,
    };
    return &reference;
}
