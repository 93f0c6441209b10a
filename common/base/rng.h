/* Random numbers equal to torch's.
 *
 * dk_torch_rng is torch's CPU generator: mt19937 with the three ways in which torch draws normal
 * numbers (vectorised groups of 16, refilled tail, cached fp64 Box-Muller below 16 elements).
 * dk_philox_rng is torch's CUDA generator: Philox 4x32-10 with the element mapping of a kernel
 * launched on a GPU with `sm` multiprocessors. Draws are a function of (seed, calls so far, n). */
#ifndef DK_BASE_RNG_H
#define DK_BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dk_torch_rng {
    uint32_t state[624];
    int left; /* outputs not yet taken from state; 0: regenerate first */
    bool has_cached;
    double cached; /* second value of the last fp64 Box-Muller pair */
} dk_torch_rng;

void dk_torch_seed(dk_torch_rng *r, uint64_t seed);
uint32_t dk_torch_u32(dk_torch_rng *r);
uint64_t dk_torch_u64(dk_torch_rng *r); /* first output is the high half */
void dk_torch_normal(dk_torch_rng *r, float *out, size_t n);              /* torch.randn(n) */
void dk_torch_uniform(dk_torch_rng *r, float a, float b, float *out, size_t n); /* uniform_(a, b) */

typedef struct dk_philox_rng {
    uint64_t seed, offset;
    int sm;                /* multiprocessors of the emulated GPU; 132 = H100, H200 */
    int threads_per_sm;    /* 2048 on data-centre GPUs */
} dk_philox_rng;

void dk_philox_seed(dk_philox_rng *r, uint64_t seed, int sm);
void dk_philox_normal(dk_philox_rng *r, float *out, size_t n);
/* The raw block function: ctr[4], key[2] -> out[4]. */
void dk_philox4x32(const uint32_t ctr[4], const uint32_t key[2], uint32_t out[4]);

/* One of the two behind one face, chosen by --rng. */
typedef struct dk_rng {
    enum { DK_RNG_TORCH, DK_RNG_PHILOX } kind;
    union {
        dk_torch_rng torch;
        dk_philox_rng philox;
    } u;
} dk_rng;
void dk_rng_normal(dk_rng *r, float *out, size_t n);

#endif
