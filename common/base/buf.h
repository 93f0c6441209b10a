/* A growable string of bytes; always NUL-terminated behind `len`. Zero-initialise to start:
 *     dk_buf b = {0};  dk_buf_printf(&b, "%d", n);  ...  dk_buf_free(&b); */
#ifndef DK_BASE_BUF_H
#define DK_BASE_BUF_H

#include <stddef.h>

typedef struct dk_buf {
    char *data; /* NULL until the first append */
    size_t len, cap;
} dk_buf;

void dk_buf_add(dk_buf *b, const void *data, size_t n);
void dk_buf_puts(dk_buf *b, const char *s);
void dk_buf_putc(dk_buf *b, char c);
void dk_buf_printf(dk_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void dk_buf_clear(dk_buf *b);       /* len = 0, memory kept */
char *dk_buf_steal(dk_buf *b);      /* malloc-ed string ("" if empty), b starts anew */
const char *dk_buf_str(const dk_buf *b); /* never NULL */
void dk_buf_free(dk_buf *b);

#endif
