/* See buf.h. */
#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static void reserve(dk_buf *b, size_t more)
{
    size_t need = b->len + more + 1;
    if (need <= b->cap)
        return;
    b->cap = need > 2 * b->cap ? need : 2 * b->cap;
    if (b->cap < 64)
        b->cap = 64;
    b->data = dk_xrealloc(b->data, b->cap);
}

void dk_buf_add(dk_buf *b, const void *data, size_t n)
{
    reserve(b, n);
    if (n)
        memcpy(b->data + b->len, data, n);
    b->len += n;
    b->data[b->len] = '\0';
}

void dk_buf_puts(dk_buf *b, const char *s) { dk_buf_add(b, s, strlen(s)); }

void dk_buf_putc(dk_buf *b, char c) { dk_buf_add(b, &c, 1); }

void dk_buf_printf(dk_buf *b, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    if (n > 0) {
        reserve(b, (size_t)n);
        vsnprintf(b->data + b->len, (size_t)n + 1, fmt, again);
        b->len += (size_t)n;
    }
    va_end(again);
}

void dk_buf_clear(dk_buf *b)
{
    b->len = 0;
    if (b->data)
        b->data[0] = '\0';
}

char *dk_buf_steal(dk_buf *b)
{
    char *s = b->data ? b->data : dk_xstrdup("");
    *b = (dk_buf){0};
    return s;
}

const char *dk_buf_str(const dk_buf *b) { return b->data ? b->data : ""; }

void dk_buf_free(dk_buf *b)
{
    free(b->data);
    *b = (dk_buf){0};
}
