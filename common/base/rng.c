/* See rng.h. */
#include "base/rng.h"

#include <math.h>

/* ---- torch's CPU generator: mt19937 (Matsumoto and Nishimura 1998). */

enum { N = 624, M = 397 };
static const double pi = 3.14159265358979323846;

void dk_torch_seed(dk_torch_rng *r, uint64_t seed)
{
    r->state[0] = (uint32_t)seed; /* the upper half is ignored, as in torch */
    for (uint32_t j = 1; j < N; j++) {
        uint32_t s = r->state[j - 1];
        r->state[j] = 1812433253u * (s ^ s >> 30) + j;
    }
    r->left = 0;
    r->has_cached = false;
    r->cached = 0;
}

static void regenerate(dk_torch_rng *r)
{
    uint32_t *s = r->state;

    for (int i = 0; i < N; i++) {
        uint32_t y = (s[i] & 0x80000000u) | (s[(i + 1) % N] & 0x7FFFFFFFu);
        s[i] = s[(i + M) % N] ^ y >> 1 ^ (y & 1 ? 0x9908B0DFu : 0);
    }
    r->left = N;
}

uint32_t dk_torch_u32(dk_torch_rng *r)
{
    if (r->left == 0)
        regenerate(r);
    uint32_t y = r->state[N - r->left--];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}

uint64_t dk_torch_u64(dk_torch_rng *r)
{
    uint64_t high = dk_torch_u32(r);
    return high << 32 | dk_torch_u32(r);
}

static float uniform24(dk_torch_rng *r)
{
    return (float)(dk_torch_u32(r) & 0xFFFFFF) * 0x1p-24f;
}

static double uniform53(dk_torch_rng *r)
{
    return (double)(dk_torch_u64(r) & (((uint64_t)1 << 53) - 1)) * 0x1p-53;
}

/* Box-Muller on a group of 16 uniforms: elements j and j + 8 become a pair of normals. */
static void normal_group(float *d)
{
    for (int j = 0; j < 8; j++) {
        float u1 = 1 - d[j], u2 = d[j + 8];
        float radius = sqrtf(-2 * logf(u1)), theta = 2.0f * (float)pi * u2;
        d[j] = radius * cosf(theta);
        d[j + 8] = radius * sinf(theta);
    }
}

/* Below 16 elements: pairs in f64, the second of each kept for the next call. */
static double normal_f64(dk_torch_rng *r)
{
    if (r->has_cached) {
        r->has_cached = false;
        return r->cached;
    }
    double u1 = uniform53(r), u2 = uniform53(r);
    double radius = sqrt(-2 * log1p(-u2)), theta = 2 * pi * u1;
    r->cached = radius * sin(theta);
    r->has_cached = true;
    return radius * cos(theta);
}

void dk_torch_normal(dk_torch_rng *r, float *out, size_t n)
{
    if (n < 16) {
        for (size_t i = 0; i < n; i++)
            out[i] = (float)normal_f64(r);
        return;
    }
    for (size_t i = 0; i < n; i++)
        out[i] = uniform24(r);
    for (size_t i = 0; i + 16 <= n; i += 16)
        normal_group(out + i);
    if (n % 16) { /* the last 16 elements are drawn again, over transformed ones */
        for (size_t i = n - 16; i < n; i++)
            out[i] = uniform24(r);
        normal_group(out + n - 16);
    }
}

void dk_torch_uniform(dk_torch_rng *r, float a, float b, float *out, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = uniform24(r) * (b - a) + a;
}

/* ---- torch's CUDA generator: Philox 4x32-10 (Salmon et al. 2011). */

void dk_philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];

    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

void dk_philox_seed(dk_philox_rng *r, uint64_t seed, int sm)
{
    *r = (dk_philox_rng){.seed = seed, .offset = 0, .sm = sm, .threads_per_sm = 2048};
}

/* Component `which` of the four normals that one thread draws in one iteration. */
static float philox_normal(uint64_t seed, uint64_t counter, uint64_t thread, int which)
{
    const float scale = 2.3283064e-10f, scale_2pi = 2.3283064e-10f * 6.2831855f;
    uint32_t ctr[4] = {(uint32_t)counter, (uint32_t)(counter >> 32), (uint32_t)thread,
                       (uint32_t)(thread >> 32)};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, w[4];

    dk_philox4x32(ctr, key, w);
    float u = (float)w[which & 2] * scale + scale / 2;
    float v = (float)w[(which & 2) + 1] * scale_2pi + scale_2pi / 2;
    float s = sqrtf(-2 * logf(u));
    return which & 1 ? s * cosf(v) : s * sinf(v);
}

/* The launch: blocks of 256 threads, at most as many as the GPU holds at once; thread t makes the
 * elements t, t + T, t + 2T, t + 3T of its first iteration, then the next four. */
void dk_philox_normal(dk_philox_rng *r, float *out, size_t n)
{
    size_t most = (size_t)r->sm * (size_t)(r->threads_per_sm / 256), blocks = (n + 255) / 256;
    size_t threads = 256 * (blocks < most ? blocks : most);

    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++) {
        size_t iteration = i / (4 * threads), which = i % (4 * threads) / threads;
        out[i] = philox_normal(r->seed, r->offset / 4 + iteration, i % threads, (int)which);
    }
    r->offset += 4 * ((n - 1) / (4 * threads) + 1);
}

void dk_rng_normal(dk_rng *r, float *out, size_t n)
{
    if (r->kind == DK_RNG_TORCH)
        dk_torch_normal(&r->u.torch, out, n);
    else
        dk_philox_normal(&r->u.philox, out, n);
}
