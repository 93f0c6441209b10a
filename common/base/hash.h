/* xxh3-128 fingerprints (over libxxhash), printed as 32 lower-case hex digits. */
#ifndef DK_BASE_HASH_H
#define DK_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct dk_hasher dk_hasher;
dk_hasher *dk_hash_new(void);
void dk_hash_add(dk_hasher *h, const void *data, size_t n);
void dk_hash_hex(dk_hasher *h, char hex[33]); /* also frees h */

uint64_t dk_fnv1a64(const void *data, size_t n);
uint64_t dk_splitmix64(uint64_t x);

#endif
