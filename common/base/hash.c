/* See hash.h. libxxhash is used header-only: no run-time dependency. */
#include "base/hash.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

struct dk_hasher {
    XXH3_state_t *state;
};

dk_hasher *dk_hash_new(void)
{
    dk_hasher *h = dk_xmalloc(sizeof *h);
    h->state = XXH3_createState();
    if (!h->state)
        abort();
    XXH3_128bits_reset(h->state);
    return h;
}

void dk_hash_add(dk_hasher *h, const void *data, size_t n)
{
    XXH3_128bits_update(h->state, data, n);
}

void dk_hash_hex(dk_hasher *h, char hex[33])
{
    XXH128_hash_t v = XXH3_128bits_digest(h->state);
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)v.high64, (unsigned long long)v.low64);
    XXH3_freeState(h->state);
    free(h);
}

uint64_t dk_fnv1a64(const void *data, size_t n)
{
    const unsigned char *p = data;
    uint64_t h = 0xCBF29CE484222325u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ p[i]) * 0x100000001B3u;
    return h;
}

uint64_t dk_splitmix64(uint64_t x)
{
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}
