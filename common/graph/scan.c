/* See scan_internal.h. */
#include "graph/scan_internal.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SHOWN = 24, MAX_NUMBER = 63 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static bool is_space(char c)
{
    return is_blank(c) || c == '\r' || c == '\n';
}

static void skip_blanks(dk_scan *s)
{
    while (s->at < s->end && is_blank(*s->at))
        s->at++;
}

/* The end of the text, "\n" or "\r\n". */
static bool at_line_end(const dk_scan *s)
{
    const char *p = s->at;
    if (p < s->end && *p == '\r')
        p++;
    return p == s->end || *p == '\n';
}

/* Where the field at p ends. */
static const char *field_end(const char *p, const char *end)
{
    while (p < end && *p != ',' && !is_space(*p))
        p++;
    return p;
}

void dk_scan_begin(dk_scan *s, const char *text, size_t len, const char *file)
{
    *s = (dk_scan){text, text + len, file, 1};
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0)
        s->at += 3;
    while (s->end > s->at && is_space(s->end[-1]))
        s->end--;
}

bool dk_scan_more(const dk_scan *s)
{
    return s->at < s->end;
}

int64_t dk_scan_lines(const dk_scan *s)
{
    int64_t n = s->at < s->end;

    for (const char *p = s->at; p < s->end; p++, n++) {
        p = memchr(p, '\n', (size_t)(s->end - p));
        if (!p)
            break;
    }
    return n;
}

int dk_scan_fields(const dk_scan *s)
{
    dk_scan p = *s;
    int n = 0;

    skip_blanks(&p);
    while (!at_line_end(&p) && n < INT32_MAX) {
        n++;
        p.at = field_end(p.at, p.end);
        skip_blanks(&p);
        if (p.at < p.end && *p.at == ',') {
            p.at++;
            skip_blanks(&p);
        } else if (p.at < p.end && *p.at == '\r' && !at_line_end(&p)) {
            p.at++; /* reported where the field is read */
        }
    }
    return n;
}

int dk_scan_bad(const dk_scan *s, const char *what, const char *expected, dk_err *err)
{
    if (at_line_end(s))
        return dk_fail(err, DK_EFORMAT,
                       "%s: line %" PRId64 ": %s: expected %s, found the end of %s", s->file,
                       s->line, what, expected, s->at == s->end ? "the file" : "the line");
    int n = (int)(field_end(s->at, s->at + SHOWN < s->end ? s->at + SHOWN : s->end) - s->at);
    return dk_fail(err, DK_EFORMAT, "%s: line %" PRId64 ": %s: expected %s, found \"%.*s\"",
                   s->file, s->line, what, expected, n > 0 ? n : 1, s->at);
}

int dk_scan_i64(dk_scan *s, int64_t lo, int64_t hi, const char *what, int64_t *out, dk_err *err)
{
    skip_blanks(s);
    const char *p = s->at;
    bool negative = p < s->end && *p == '-', large = false;
    uint64_t v = 0;

    if (p < s->end && (*p == '-' || *p == '+'))
        p++;
    const char *digits = p;
    for (; p < s->end && *p >= '0' && *p <= '9'; p++) {
        uint64_t digit = (uint64_t)(*p - '0');
        large |= v > ((uint64_t)INT64_MAX - digit) / 10;
        v = large ? 0 : v * 10 + digit;
    }
    if (p == digits || (p < s->end && *p != ',' && !is_space(*p)))
        return dk_scan_bad(s, what, "an integer", err);
    int64_t x = negative ? -(int64_t)v : (int64_t)v;
    if (large || x < lo || x > hi) {
        int n = (int)(p - s->at < SHOWN ? p - s->at : SHOWN);
        return dk_fail(err, DK_EFORMAT,
                       "%s: line %" PRId64 ": %s %.*s: allowed are %" PRId64 " to %" PRId64,
                       s->file, s->line, what, n, s->at, lo, hi);
    }
    *out = x;
    s->at = p;
    return 0;
}

int dk_scan_f64(dk_scan *s, const char *what, double *out, dk_err *err)
{
    char text[MAX_NUMBER + 1], *end;

    skip_blanks(s);
    size_t n = (size_t)(field_end(s->at, s->end) - s->at);
    if (n == 0 || n > MAX_NUMBER)
        return dk_scan_bad(s, what, "a number", err);
    memcpy(text, s->at, n);
    text[n] = '\0';
    /* Neither hexadecimal numbers nor the names that strtod knows; "nan" would poison every sum. */
    if (strspn(text, "0123456789+-.eE") != n)
        return dk_scan_bad(s, what, "a finite decimal number", err);
    double x = strtod(text, &end);
    if (*end != '\0' || !isfinite(x))
        return dk_scan_bad(s, what, "a finite decimal number", err);
    *out = x;
    s->at += n;
    return 0;
}

int dk_scan_separator(dk_scan *s, const char *what, dk_err *err)
{
    const char *before = s->at;

    skip_blanks(s);
    if (s->at < s->end && *s->at == ',')
        s->at++;
    else if (s->at == before || at_line_end(s))
        return dk_scan_bad(s, what, "a comma in front", err);
    return 0;
}

int dk_scan_line_end(dk_scan *s, dk_err *err)
{
    skip_blanks(s);
    if (!at_line_end(s))
        return dk_scan_bad(s, "behind the last field", "the end of the line", err);
    while (s->at < s->end && *s->at != '\n')
        s->at++;
    if (s->at < s->end)
        s->at++;
    s->line++;
    return 0;
}
