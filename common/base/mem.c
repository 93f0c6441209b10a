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
    size_t size = n < 0 ? 1 : (size_t)n + 1;
    char *p = dk_xcalloc(size, 1);
    vsnprintf(p, size, fmt, again);
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
    size_t before; /* bytes used in the chunks before this one, valid up to the one in use */
} chunk;

struct dk_arena {
    chunk *chunks;
    size_t n, at; /* chunks, and the one in use */
    size_t used;  /* bytes used of chunk `at` */
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
        a->chunks[a->n++] = (chunk){NULL, 0, 0};
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
    c->before = at > 0 ? a->chunks[a->at].before + a->used : 0;
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
    size_t in_use = a->chunks[a->at].before + a->used;
    if (in_use > a->peak)
        a->peak = in_use;
    return p;
}

dk_arena_mark dk_arena_save(const dk_arena *a) { return (dk_arena_mark){a->at, a->used}; }

void dk_arena_restore(dk_arena *a, dk_arena_mark m)
{
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
