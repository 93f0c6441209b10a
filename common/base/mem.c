/* See mem.h. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 64
#define CHUNK ((size_t)4 << 20)

/* Small allocations do not fail in practice; if one does, nothing sensible can follow. */
static void *must(void *p)
{
    if (!p) {
        fputs("out of memory\n", stderr);
        abort();
    }
    return p;
}

void *dk_xmalloc(size_t n) { return must(malloc(n ? n : 1)); }

void *dk_xcalloc(size_t n, size_t size) { return must(calloc(n ? n : 1, size ? size : 1)); }

void *dk_xrealloc(void *p, size_t n) { return must(realloc(p, n ? n : 1)); }

char *dk_xstrdup(const char *s) { return dk_xstrndup(s, strlen(s)); }

char *dk_xstrndup(const char *s, size_t n)
{
    char *p = dk_xmalloc(n + 1);
    memcpy(p, s, n);
    p[n] = '\0';
    return p;
}

char *dk_xasprintf(const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = dk_xmalloc((size_t)(n < 0 ? 0 : n) + 1);
    vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    return p;
}

bool dk_mul(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }

bool dk_add(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

void *dk_alloc(size_t n, const char *what, dk_err *err)
{
    size_t rounded;
    void *p = NULL;

    if (dk_add(n ? n : 1, ALIGN - 1, &rounded))
        p = aligned_alloc(ALIGN, rounded / ALIGN * ALIGN);
    if (!p)
        dk_fail(err, DK_ENOMEM, "%s: no memory for %zu bytes", what, n);
    return p;
}

void dk_free_aligned(void *p) { free(p); }

/* Chunks are used in order; a request larger than the rest of the current chunk moves on to the
 * next one that is large enough, or makes one there. */
typedef struct chunk {
    char *data;
    size_t size;
} chunk;

struct dk_arena {
    chunk *chunks;
    size_t n, at; /* chunks, and the one in use */
    size_t used;  /* bytes used of chunk `at` */
    size_t full;  /* bytes used in the chunks before it */
    size_t peak;
};

dk_arena *dk_arena_new(void) { return dk_xcalloc(1, sizeof(dk_arena)); }

void dk_arena_free(dk_arena *a)
{
    if (!a)
        return;
    for (size_t i = 0; i < a->n; i++)
        dk_free_aligned(a->chunks[i].data);
    free(a->chunks);
    free(a);
}

static bool next_chunk(dk_arena *a, size_t n, dk_err *err)
{
    size_t at = a->n ? a->at + 1 : 0;

    if (at < a->n && a->chunks[at].size < n) {
        /* Too small for this request: replaced, so that chunks stay in order of use. */
        dk_free_aligned(a->chunks[at].data);
        a->chunks[at].data = NULL;
        a->chunks[at].size = 0;
    } else if (at == a->n) {
        a->chunks = dk_xrealloc(a->chunks, (a->n + 1) * sizeof *a->chunks);
        a->chunks[a->n++] = (chunk){NULL, 0};
    }
    chunk *c = &a->chunks[at];
    if (!c->data) {
        size_t size = n > CHUNK ? n : CHUNK;
        c->data = dk_alloc(size, "activations", err);
        if (!c->data) {
            if (at == a->n - 1)
                a->n--;
            return false;
        }
        c->size = size;
    }
    if (at > 0)
        a->full += a->used;
    a->at = at;
    a->used = 0;
    return true;
}

void *dk_arena_alloc(dk_arena *a, size_t n, dk_err *err)
{
    size_t rounded;

    if (!dk_add(n ? n : 1, ALIGN - 1, &rounded)) {
        dk_fail(err, DK_ENOMEM, "activations: no memory for %zu bytes", n);
        return NULL;
    }
    rounded = rounded / ALIGN * ALIGN;
    if ((a->n == 0 || a->chunks[a->at].size - a->used < rounded) && !next_chunk(a, rounded, err))
        return NULL;
    void *p = a->chunks[a->at].data + a->used;
    a->used += rounded;
    if (a->full + a->used > a->peak)
        a->peak = a->full + a->used;
    return p;
}

dk_arena_mark dk_arena_save(const dk_arena *a) { return (dk_arena_mark){a->at, a->used}; }

void dk_arena_restore(dk_arena *a, dk_arena_mark m)
{
    /* What earlier chunks hold is not recorded per mark: an upper bound keeps the peak honest. */
    if (m.chunk != a->at) {
        a->full = 0;
        for (size_t i = 0; i < m.chunk; i++)
            a->full += a->chunks[i].size;
    }
    a->at = m.chunk;
    a->used = m.used;
}

void dk_arena_trim(dk_arena *a)
{
    size_t keep = a->n && (a->used || a->at) ? a->at + 1 : 0;
    for (size_t i = keep; i < a->n; i++)
        dk_free_aligned(a->chunks[i].data);
    a->n = keep;
}

size_t dk_arena_peak(const dk_arena *a) { return a->peak; }
