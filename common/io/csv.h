/* CSV: one header row, comma, '.' decimals, quotes where needed (RFC 4180), LF line ends. Floats
 * are written with the fewest digits that read back equal. */
#ifndef DK_IO_CSV_H
#define DK_IO_CSV_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

/* Writing: fields one by one, then end of row. */
typedef struct dk_csv_writer {
    FILE *f;
    int column;
} dk_csv_writer;
void dk_csv_str(dk_csv_writer *w, const char *s);
void dk_csv_i64(dk_csv_writer *w, int64_t v);
void dk_csv_f64(dk_csv_writer *w, double v);
void dk_csv_f32(dk_csv_writer *w, float v);
void dk_csv_end(dk_csv_writer *w);

/* Reading: the whole table; CRLF, a byte-order mark and a missing final newline are accepted; rows
 * of another width than the header are DK_EFORMAT with the line number. */
typedef struct dk_csv {
    char *name, *text;
    char **cells; /* [rows + 1][columns]: row 0 is the header */
    size_t rows, columns;
    size_t *lines; /* line number of each row, for messages */
} dk_csv;
int dk_csv_load(dk_csv *c, const char *path, dk_err *err);
int dk_csv_parse(dk_csv *c, const char *data, size_t len, const char *name, dk_err *err);
void dk_csv_free(dk_csv *c);
int dk_csv_column(const dk_csv *c, const char *name); /* index or -1 */
const char *dk_csv_at(const dk_csv *c, size_t row, size_t column); /* data rows count from 0 */

#endif
