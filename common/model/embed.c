/* See embed.h. */
#include "model/embed.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

void dk_timestep_embedding(double t, int dim, int shift, float *out)
{
    int half = dim / 2;

    /* The published code computes frequency and angle in f32: at t = 999 that is visible in the
     * fifth digit, so it is followed. */
    for (int i = 0; i < half; i++) {
        float exponent = (float)-log(10000.0) * (float)i / (float)(half - shift);
        float angle = (float)t * expf(exponent);
        out[i] = cosf(angle);
        out[half + i] = sinf(angle);
    }
}

/* sc(n, p): n/2 sines, then n/2 cosines. */
static void sincos1d(int n, double p, float *out)
{
    int half = n / 2;

    for (int k = 0; k < half; k++) {
        double angle = p * pow(10000.0, -(double)k / half);
        out[k] = (float)sin(angle);
        out[half + k] = (float)cos(angle);
    }
}

void dk_sincos2d(int64_t h, int64_t w, int dim, double base, double scale, float *out)
{
    size_t half = (size_t)dim / 2;
    float *columns = dk_xmalloc((size_t)w * half * sizeof(float));
    float *rows = dk_xmalloc((size_t)h * half * sizeof(float));

    /* Positions in f32, left to right: j / (w / base) / scale. */
    for (int64_t j = 0; j < w; j++)
        sincos1d((int)half, (float)j / (float)((double)w / base) / (float)scale,
                 columns + (size_t)j * half);
    for (int64_t i = 0; i < h; i++)
        sincos1d((int)half, (float)i / (float)((double)h / base) / (float)scale,
                 rows + (size_t)i * half);
    for (int64_t i = 0; i < h; i++) {
        for (int64_t j = 0; j < w; j++, out += dim) {
            /* The column comes first, although the published names suggest otherwise. */
            for (size_t k = 0; k < half; k++) {
                out[k] = columns[(size_t)j * half + k];
                out[half + k] = rows[(size_t)i * half + k];
            }
        }
    }
    free(columns);
    free(rows);
}
