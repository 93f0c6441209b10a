/* UTF-8 helpers over utf8proc. */
#ifndef DK_TEXT_UTF8_H
#define DK_TEXT_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Offset of the first byte that is not valid UTF-8, or `len` when all is. */
size_t dk_utf8_invalid(const char *s, size_t len);
/* Python's str.lower(): full Unicode, with the final-sigma rule and U+0130 -> "i" U+0307.
 * Appends. */
void dk_utf8_lower(const char *s, size_t len, dk_buf *out);
/* Python's str.strip(): *begin and *end delimit s without surrounding Unicode whitespace. */
void dk_utf8_strip(const char *s, size_t len, size_t *begin, size_t *end);

/* Decodes the code point at s[0..len): *cp and the number of its bytes (1-4). A byte that begins no
 * valid sequence gives U+FFFD and 1. len must not be 0. */
size_t dk_utf8_next(const char *s, size_t len, int32_t *cp);
/* The code point that ends at s + len, and its number of bytes; as above. */
size_t dk_utf8_prev(const char *s, size_t len, int32_t *cp);
void dk_utf8_put(dk_buf *out, int32_t cp);
/* The White_Space property. */
bool dk_utf8_is_space(int32_t cp);

typedef enum { DK_NFC, DK_NFD, DK_NFKC, DK_NFKD } dk_normal_form;
/* Appends the normal form of s. Linear in len, also for long runs of combining marks. */
void dk_utf8_normalize(const char *s, size_t len, dk_normal_form form, dk_buf *out);

#endif
