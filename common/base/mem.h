/* Memory: checked sizes, small allocations that cannot fail, arenas for the rest.
 *
 * dk_x* are for small fixed amounts (names, tables) and abort on exhaustion. Whatever is sized by
 * a file or an option goes through dk_mul/dk_add and dk_alloc, which fail as errors. */
#ifndef DK_BASE_MEM_H
#define DK_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

void *dk_xmalloc(size_t n);
void *dk_xcalloc(size_t n, size_t size);
void *dk_xrealloc(void *p, size_t n);
char *dk_xstrdup(const char *s);
char *dk_xstrndup(const char *s, size_t n);
char *dk_xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* *out = a * b (a + b); false when that does not fit size_t. */
bool dk_mul(size_t a, size_t b, size_t *out);
bool dk_add(size_t a, size_t b, size_t *out);

/* Uninitialised memory aligned to 64 bytes, freed by dk_free_aligned(). `what` names the purpose
 * in the message. n = 0 gives a valid pointer. */
void *dk_alloc(size_t n, const char *what, dk_err *err);
void dk_free_aligned(void *p);

/* Arena: bump allocation aligned to 64 bytes, in chunks; marks give memory back in stack order.
 * Not thread-safe: one arena belongs to one thread. Memory is not zeroed. */
typedef struct dk_arena dk_arena;
typedef struct dk_arena_mark {
    size_t chunk, used;
} dk_arena_mark;

dk_arena *dk_arena_new(void);
void dk_arena_free(dk_arena *a);                       /* accepts NULL */
void *dk_arena_alloc(dk_arena *a, size_t n, dk_err *err); /* NULL and *err on exhaustion */
dk_arena_mark dk_arena_save(const dk_arena *a);
void dk_arena_restore(dk_arena *a, dk_arena_mark m); /* chunks stay for reuse */
void dk_arena_trim(dk_arena *a);                     /* gives unused chunks back to the system */
size_t dk_arena_peak(const dk_arena *a);             /* most bytes in use at any one time */

#endif
