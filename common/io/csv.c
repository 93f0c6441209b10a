/* See csv.h. The reader decodes in place: the text is copied once, and since taking quotes away
 * only makes fields shorter, each cell ends up as a NUL-terminated string inside that copy. */
#include "io/csv.h"

#include <inttypes.h>
#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "io/shortest_internal.h"

#define MAX_FILE        ((size_t)256 << 20)
#define BYTE_ORDER_MARK "\xEF\xBB\xBF"
#define MAX_CELLS       ((size_t)1 << 26)

/* ---- Writing. */

static void separate(dk_csv_writer *w)
{
    if (w->column++ > 0)
        putc(',', w->f);
}

void dk_csv_str(dk_csv_writer *w, const char *s)
{
    separate(w);
    /* In front of a file the mark would not be taken for part of the text. */
    bool mark = strncmp(s, BYTE_ORDER_MARK, 3) == 0;
    if (!mark && !strpbrk(s, ",\"\r\n")) {
        fputs(s, w->f);
        return;
    }
    putc('"', w->f);
    for (; *s; s++) {
        if (*s == '"')
            putc('"', w->f);
        putc(*s, w->f);
    }
    putc('"', w->f);
}

void dk_csv_i64(dk_csv_writer *w, int64_t v)
{
    separate(w);
    fprintf(w->f, "%" PRId64, v);
}

/* True when v is finite; else its name is written. */
static bool finite_or_name(dk_csv_writer *w, double v)
{
    if (isfinite(v))
        return true;
    fputs(isnan(v) ? "nan" : v > 0 ? "inf" : "-inf", w->f);
    return false;
}

void dk_csv_f64(dk_csv_writer *w, double v)
{
    char s[DK_SHORTEST_SIZE];

    separate(w);
    if (finite_or_name(w, v)) {
        dk_shortest_f64(v, s);
        fputs(s, w->f);
    }
}

void dk_csv_f32(dk_csv_writer *w, float v)
{
    char s[DK_SHORTEST_SIZE];

    separate(w);
    if (finite_or_name(w, (double)v)) {
        dk_shortest_f32(v, s);
        fputs(s, w->f);
    }
}

void dk_csv_end(dk_csv_writer *w)
{
    putc('\n', w->f);
    w->column = 0;
}

/* ---- Reading. */

typedef struct parser {
    dk_csv *c;
    char *at, *end; /* in c->text; *end is NUL */
    size_t line;
    size_t n_cells, cap_cells, cap_rows;
    dk_err *err;
} parser;

static int bad(parser *p, size_t line, const char *what)
{
    return dk_fail(p->err, DK_EFORMAT, "%s: line %zu: %s", p->c->name, line, what);
}

/* Doubles an array of `size`-byte elements; *cap counts them. */
static void *grow(parser *p, void *old, size_t *cap, size_t size)
{
    size_t want = *cap ? 2 * *cap : 64;
    void *bigger = realloc(old, want * size);

    if (!bigger) {
        dk_fail(p->err, DK_ENOMEM, "%s: no memory for a table of %zu cells", p->c->name,
                p->n_cells);
        return NULL;
    }
    *cap = want;
    return bigger;
}

static int add_cell(parser *p, char *cell)
{
    if (p->n_cells == MAX_CELLS)
        return dk_fail(p->err, DK_ENOMEM, "%s: more than %zu cells", p->c->name, MAX_CELLS);
    if (p->n_cells == p->cap_cells) {
        char **bigger = grow(p, p->c->cells, &p->cap_cells, sizeof *bigger);
        if (!bigger)
            return DK_ENOMEM;
        p->c->cells = bigger;
    }
    p->c->cells[p->n_cells++] = cell;
    return 0;
}

/* Moves over "\n", "\r\n" or a "\r" at the very end; false when none stands here. */
static bool line_end(const char *at, const char *end, size_t *width)
{
    *width = at < end && *at == '\r' ? 1 : 0;
    if (at + *width < end && at[*width] == '\n') {
        ++*width;
        return true;
    }
    return at + *width == end;
}

/* The text between quotes, p->at behind the opening one; "" stands for one quote. */
static int quoted(parser *p)
{
    size_t opened = p->line;
    char *out = p->at;

    for (;;) {
        if (p->at == p->end)
            return bad(p, opened, "a quoted field never ends");
        if (*p->at == '"') {
            p->at++;
            if (*p->at != '"')
                break;
        }
        if (*p->at == '\n')
            p->line++;
        *out++ = *p->at++;
    }
    /* At least the closing quote lies between here and the separator that is looked at next. */
    *out = '\0';
    return 0;
}

static int plain(parser *p)
{
    size_t width;

    while (*p->at != ',' && !line_end(p->at, p->end, &width)) {
        if (*p->at == '"')
            return bad(p, p->line, "a quote inside a field that does not begin with one");
        if (*p->at == '\r')
            return bad(p, p->line, "a carriage return inside a field");
        p->at++;
    }
    return 0;
}

/* One row; the separators are overwritten with NUL only after they were looked at. */
static int row(parser *p)
{
    size_t first = p->n_cells, line = p->line, width = 0;
    bool more = true;

    while (more) {
        bool in_quotes = *p->at == '"';
        char *cell = in_quotes ? ++p->at : p->at;
        if (add_cell(p, cell) || (in_quotes ? quoted(p) : plain(p)))
            return p->err->code;
        char *stop = p->at;
        more = *stop == ',';
        if (more)
            p->at++;
        else if (line_end(stop, p->end, &width))
            p->at += width;
        else
            return bad(p, p->line, "text behind a closing quote");
        if (!in_quotes)
            *stop = '\0';
    }
    p->line += width > 0;
    if (p->c->columns == 0)
        p->c->columns = p->n_cells;
    if (p->n_cells - first != p->c->columns)
        return dk_fail(p->err, DK_EFORMAT, "%s: line %zu: expected %zu fields, found %zu",
                       p->c->name, line, p->c->columns, p->n_cells - first);
    if (first == 0)
        return 0;
    if (p->c->rows == p->cap_rows) {
        size_t *bigger = grow(p, p->c->lines, &p->cap_rows, sizeof *bigger);
        if (!bigger)
            return DK_ENOMEM;
        p->c->lines = bigger;
    }
    p->c->lines[p->c->rows++] = line;
    return 0;
}

static int copy_text(dk_csv *c, const char *data, size_t len, dk_err *err)
{
    if (len > MAX_FILE)
        return dk_fail(err, DK_EFORMAT, "%s: larger than the limit of %zu bytes", c->name,
                       MAX_FILE);
    if (len >= 3 && memcmp(data, BYTE_ORDER_MARK, 3) == 0) {
        data += 3;
        len -= 3;
    }
    if (len == 0)
        return dk_fail(err, DK_EFORMAT, "%s: expected a header row, found nothing", c->name);
    if (memchr(data, '\0', len))
        return dk_fail(err, DK_EFORMAT, "%s: expected text, found a NUL byte", c->name);
    c->text = malloc(len + 1);
    if (!c->text)
        return dk_fail(err, DK_ENOMEM, "%s: no memory for %zu bytes", c->name, len);
    memcpy(c->text, data, len);
    c->text[len] = '\0';
    return 0;
}

int dk_csv_parse(dk_csv *c, const char *data, size_t len, const char *name, dk_err *err)
{
    *c = (dk_csv){.name = dk_xstrdup(name)};
    int rc = copy_text(c, data, len, err);
    if (!rc) {
        parser p = {.c = c, .at = c->text, .end = c->text + strlen(c->text), .line = 1, .err = err};
        do
            rc = row(&p);
        while (!rc && p.at < p.end);
    }
    if (rc)
        dk_csv_free(c);
    return rc;
}

int dk_csv_load(dk_csv *c, const char *path, dk_err *err)
{
    char *data;
    size_t len;

    *c = (dk_csv){0};
    if (dk_read_file(path, MAX_FILE, &data, &len, err))
        return err->code;
    int rc = dk_csv_parse(c, data, len, path, err);
    free(data);
    return rc;
}

void dk_csv_free(dk_csv *c)
{
    free(c->name);
    free(c->text);
    free(c->cells);
    free(c->lines);
    *c = (dk_csv){0};
}

int dk_csv_column(const dk_csv *c, const char *name)
{
    for (size_t i = 0; i < c->columns; i++)
        if (strcmp(c->cells[i], name) == 0)
            return (int)i;
    return -1;
}

const char *dk_csv_at(const dk_csv *c, size_t row, size_t column)
{
    return c->cells[(row + 1) * c->columns + column];
}
