/* Strict numbers out of text files with one record a line, read in place from memory of any size.
 * Fields are separated by a comma with blanks around it, or by blanks alone. Accepted everywhere:
 * CRLF, blanks at both ends of a line, no newline at the end, empty lines at the end, a byte-order
 * mark. Errors name file, line, field, what was found and what is allowed. */
#ifndef DK_GRAPH_SCAN_INTERNAL_H
#define DK_GRAPH_SCAN_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct dk_scan {
    const char *at, *end;
    const char *file; /* borrowed, for messages */
    int64_t line;     /* on which `at` stands, from 1 */
} dk_scan;

void dk_scan_begin(dk_scan *s, const char *text, size_t len, const char *file);
bool dk_scan_more(const dk_scan *s);     /* another line? */
int64_t dk_scan_lines(const dk_scan *s); /* from here to the end */
int dk_scan_fields(const dk_scan *s);    /* on the line that begins here; 0 when it is empty */
int dk_scan_i64(dk_scan *s, int64_t lo, int64_t hi, const char *what, int64_t *out, dk_err *err);
int dk_scan_f64(dk_scan *s, const char *what, double *out, dk_err *err); /* finite */
/* The separator in front of `what`. */
int dk_scan_separator(dk_scan *s, const char *what, dk_err *err);
int dk_scan_line_end(dk_scan *s, dk_err *err); /* moves to the next line */
/* DK_EFORMAT "FILE: line N: WHAT: expected EXPECTED, found "..."" at the present place. */
int dk_scan_bad(const dk_scan *s, const char *what, const char *expected, dk_err *err);

#endif
