/* Operations that only move values: table rows, patches, nearest upsampling, axis order. */
#include "ops/cpu/cpu.h"

#include <string.h>

enum { PARALLEL_FROM = 16384 }; /* values */

void dk_cpu_embed(const dk_tensor *table, const int32_t *ids, dk_tensor *y)
{
    int64_t n = y->shape[0], d = y->shape[1];
    size_t row = (size_t)d * (size_t)(dk_dtype_bits(table->dtype) / 8);
#pragma omp parallel for if (n * d > PARALLEL_FROM)
    for (int64_t i = 0; i < n; i++)
        dk_to_f32(table->dtype, (const char *)table->data + (size_t)ids[i] * row, dk_f32(y) + i * d,
                  (size_t)d);
}

void dk_cpu_patchify(const dk_tensor *x, int p, dk_tensor *y)
{
    int64_t b = x->shape[0], c = x->shape[1], h = x->shape[2], w = x->shape[3];
    int64_t tw = w / p, width = c * p * p;
    const float *px = dk_f32(x);
    float *py = dk_f32(y);
#pragma omp parallel for if (b * c * h * w > PARALLEL_FROM)
    for (int64_t bh = 0; bh < b * h; bh++) { /* one row of pixels of all channels */
        int64_t image = bh / h, yy = bh % h;
        float *out = py + (image * (h / p) + yy / p) * tw * width + yy % p * p;
        for (int64_t ch = 0; ch < c; ch++) {
            const float *in = px + ((image * c + ch) * h + yy) * w;
            for (int64_t t = 0; t < tw; t++)
                memcpy(out + t * width + ch * p * p, in + t * p, (size_t)p * sizeof(float));
        }
    }
}

void dk_cpu_unpatchify(const dk_tensor *x, int p, int64_t th, int64_t tw, dk_tensor *y)
{
    int64_t b = y->shape[0], c = y->shape[1], h = th * p, w = tw * p;
    const float *px = dk_f32(x);
    float *py = dk_f32(y);
#pragma omp parallel for if (b * c * h * w > PARALLEL_FROM)
    for (int64_t bh = 0; bh < b * h; bh++) {
        int64_t image = bh / h, yy = bh % h;
        const float *in = px + ((image * th + yy / p) * tw * p + yy % p) * p * c;
        for (int64_t xx = 0; xx < w; xx++) {
            const float *pixel = in + (xx / p * p * p + xx % p) * c;
            for (int64_t ch = 0; ch < c; ch++)
                py[((image * c + ch) * h + yy) * w + xx] = pixel[ch];
        }
    }
}

void dk_cpu_upsample2(const dk_tensor *x, dk_tensor *y)
{
    int64_t h = x->shape[0], w = x->shape[1], c = x->shape[2];
    size_t pixel = (size_t)c * sizeof(float);
#pragma omp parallel for if (h * w * c > PARALLEL_FROM)
    for (int64_t r = 0; r < h; r++) {
        const float *in = dk_f32(x) + r * w * c;
        float *out = dk_f32(y) + 4 * r * w * c;
        for (int64_t i = 0; i < w; i++) {
            memcpy(out + 2 * i * c, in + i * c, pixel);
            memcpy(out + (2 * i + 1) * c, in + i * c, pixel);
        }
        memcpy(out + 2 * w * c, out, 2 * (size_t)w * pixel);
    }
}

void dk_cpu_to_hwc(const dk_tensor *x, dk_tensor *y)
{
    int64_t c = x->shape[0], h = x->shape[1], w = x->shape[2];
#pragma omp parallel for if (h * w * c > PARALLEL_FROM)
    for (int64_t r = 0; r < h; r++)
        for (int64_t ch = 0; ch < c; ch++) {
            const float *in = dk_f32(x) + (ch * h + r) * w;
            float *out = dk_f32(y) + r * w * c + ch;
            for (int64_t i = 0; i < w; i++)
                out[i * c] = in[i];
        }
}

void dk_cpu_to_chw(const dk_tensor *x, dk_tensor *y)
{
    int64_t h = x->shape[0], w = x->shape[1], c = x->shape[2];
#pragma omp parallel for if (h * w * c > PARALLEL_FROM)
    for (int64_t r = 0; r < h; r++)
        for (int64_t ch = 0; ch < c; ch++) {
            const float *in = dk_f32(x) + r * w * c + ch;
            float *out = dk_f32(y) + (ch * h + r) * w;
            for (int64_t i = 0; i < w; i++)
                out[i] = in[i * c];
        }
}
