/* UTF-8 helpers over utf8proc. */
#ifndef DK_TEXT_UTF8_H
#define DK_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Offset of the first byte that is not valid UTF-8, or `len` when all is. */
size_t dk_utf8_invalid(const char *s, size_t len);
/* Python's str.lower(): full Unicode, with the final-sigma rule and U+0130 -> "i" U+0307. Appends. */
void dk_utf8_lower(const char *s, size_t len, dk_buf *out);
/* Python's str.strip(): *begin and *end delimit s without surrounding Unicode whitespace. */
void dk_utf8_strip(const char *s, size_t len, size_t *begin, size_t *end);

#endif
