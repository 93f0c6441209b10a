/* See npy.h. The format (numpy.lib.format): "\x93NUMPY", major, minor, header length (2 bytes in
 * version 1, 4 in version 2, little-endian), a Python dictionary of exactly the keys 'descr',
 * 'fortran_order' and 'shape', padded with blanks and ended by a newline; then the numbers. */
#include "io/npy.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"

#define MAGIC      "\x93NUMPY"
#define MAGIC_LEN  6
#define MAX_HEADER 65536
#define MAX_STREAM ((size_t)1 << 30) /* of standard input; files are mapped */

static const struct {
    const char *code;
    dk_dtype dtype;
} codes[] = {
    {"b1", DK_BOOL}, {"i1", DK_I8},  {"i2", DK_I16}, {"i4", DK_I32}, {"i8", DK_I64}, {"u1", DK_U8},
    {"u2", DK_U16},  {"u4", DK_U32}, {"u8", DK_U64}, {"f2", DK_F16}, {"f4", DK_F32}, {"f8", DK_F64},
};
enum { N_CODES = sizeof codes / sizeof codes[0] };

/* ---- Reading the dictionary. */

typedef struct header {
    const char *at, *end;
    const char *name;
    dk_npy *a;
    bool fortran;
    dk_err *err;
} header;

static int bad(header *h, const char *what)
{
    return dk_fail(h->err, DK_EFORMAT, "%s: npy header: expected %s", h->name, what);
}

static void blanks(header *h)
{
    while (h->at < h->end && (*h->at == ' ' || *h->at == '\t' || *h->at == '\n'))
        h->at++;
}

/* Takes the character when it comes next, blanks before it left out. */
static bool take(header *h, char c)
{
    blanks(h);
    if (h->at == h->end || *h->at != c)
        return false;
    h->at++;
    return true;
}

static int string(header *h, char *out, size_t size)
{
    char quote = take(h, '\'') ? '\'' : '"';
    size_t n = 0;

    if (quote == '"' && !take(h, '"'))
        return bad(h, "a string in quotes");
    while (h->at < h->end && *h->at != quote) {
        if (n + 1 == size)
            return bad(h, "a shorter string");
        out[n++] = *h->at++;
    }
    out[n] = '\0';
    return take(h, quote) ? 0 : bad(h, "a closing quote");
}

static int descr(header *h)
{
    char s[32];

    blanks(h);
    if (h->at < h->end && *h->at == '[')
        return dk_fail(h->err, DK_EUNSUPPORTED, "%s: npy: records (a structured dtype)", h->name);
    if (string(h, s, sizeof s))
        return h->err->code;
    for (int i = 0; i < N_CODES; i++) {
        /* '|' says that order does not matter, which holds for single bytes. */
        bool order = s[0] == '<' || (s[0] == '|' && codes[i].code[1] == '1');
        if (order && strcmp(s + 1, codes[i].code) == 0) {
            h->a->dtype = codes[i].dtype;
            return 0;
        }
    }
    return dk_fail(h->err, DK_EUNSUPPORTED,
                   "%s: npy: expected little-endian bool, int, uint or float numbers, found \"%s\"",
                   h->name, s);
}

static int truth(header *h, bool *out)
{
    blanks(h);
    size_t left = (size_t)(h->end - h->at);
    *out = left >= 4 && memcmp(h->at, "True", 4) == 0;
    if (!*out && (left < 5 || memcmp(h->at, "False", 5) != 0))
        return bad(h, "True or False");
    h->at += *out ? 4 : 5;
    return 0;
}

static int shape(header *h)
{
    dk_npy *a = h->a;
    bool comma = true;

    if (!take(h, '('))
        return bad(h, "a shape in parentheses");
    while (!take(h, ')')) {
        int64_t d = 0;
        blanks(h);
        if (!comma || h->at == h->end || *h->at < '0' || *h->at > '9')
            return bad(h, "a shape such as (3, 4)");
        for (; h->at < h->end && *h->at >= '0' && *h->at <= '9'; h->at++)
            if (__builtin_mul_overflow(d, 10, &d) || __builtin_add_overflow(d, *h->at - '0', &d))
                return bad(h, "a smaller shape");
        take(h, 'L'); /* a long of Python 2 */
        if (a->ndim == DK_MAX_DIMS)
            return dk_fail(h->err, DK_EUNSUPPORTED, "%s: npy: more than %d dimensions", h->name,
                           DK_MAX_DIMS);
        a->shape[a->ndim++] = d;
        comma = take(h, ',');
    }
    /* (3) is a number in Python, not a tuple. */
    return a->ndim == 1 && !comma ? bad(h, "a shape such as (3,)") : 0;
}

static int dictionary(header *h)
{
    enum { DESCR = 1, FORTRAN = 2, SHAPE = 4, ALL = 7 };
    int seen = 0, rc;
    bool comma = true;
    char key[32];

    if (!take(h, '{'))
        return bad(h, "a dictionary");
    while (!take(h, '}')) {
        int which;
        if (!comma)
            return bad(h, "a comma or }");
        if (string(h, key, sizeof key))
            return h->err->code;
        which = strcmp(key, "descr") == 0           ? DESCR
                : strcmp(key, "fortran_order") == 0 ? FORTRAN
                : strcmp(key, "shape") == 0         ? SHAPE
                                                    : 0;
        if (!which || (seen & which))
            return bad(h, "the keys descr, fortran_order and shape, each once");
        seen |= which;
        if (!take(h, ':'))
            return bad(h, "a colon behind a key");
        rc = which == DESCR ? descr(h) : which == FORTRAN ? truth(h, &h->fortran) : shape(h);
        if (rc)
            return rc;
        comma = take(h, ',');
    }
    blanks(h);
    if (seen != ALL)
        return bad(h, "the keys descr, fortran_order and shape, each once");
    return h->at == h->end ? 0 : bad(h, "nothing behind the dictionary");
}

/* ---- Reading. */

/* Start and length of the dictionary; the data follow it. */
static int preamble(const uint8_t *d, size_t len, const char *name, size_t *start, size_t *n,
                    dk_err *err)
{
    if (len < MAGIC_LEN + 2 || memcmp(d, MAGIC, MAGIC_LEN) != 0)
        return dk_fail(err, DK_EFORMAT, "%s: expected an npy file, found something else", name);
    if ((d[6] != 1 && d[6] != 2) || d[7] != 0)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: npy: expected version 1.0 or 2.0, found %d.%d",
                       name, d[6], d[7]);
    *start = d[6] == 1 ? MAGIC_LEN + 4 : MAGIC_LEN + 6;
    if (len < *start)
        return dk_fail(err, DK_EFORMAT, "%s: the file ends inside the npy header", name);
    *n = d[8] | (size_t)d[9] << 8;
    if (d[6] == 2)
        *n |= (size_t)d[10] << 16 | (size_t)d[11] << 24;
    if (*n > MAX_HEADER || *n > len - *start)
        return dk_fail(err, DK_EFORMAT, "%s: npy header of %zu bytes: expected at most %zu", name,
                       *n, len - *start < MAX_HEADER ? len - *start : (size_t)MAX_HEADER);
    return 0;
}

static int sizes(dk_npy *a, size_t left, const char *name, dk_err *err)
{
    char text[160];
    size_t count = 1;
    bool fits = true;

    for (int i = 0; i < a->ndim; i++)
        fits = fits && dk_mul(count, (size_t)a->shape[i], &count);
    fits =
        fits && count <= INT64_MAX && dk_mul(count, (size_t)dk_dtype_bits(a->dtype) / 8, &a->bytes);
    if (!fits || a->bytes != left)
        return dk_fail(
            err, DK_EFORMAT, "%s: npy: %s of shape %s does not fill the %zu bytes of data", name,
            dk_dtype_name(a->dtype), dk_shape_str(a->ndim, a->shape, text, sizeof text), left);
    a->count = (int64_t)count;
    return 0;
}

int dk_npy_parse(dk_npy *a, const void *data, size_t len, const char *name, dk_err *err)
{
    const uint8_t *d = data;
    size_t start = 0, n = 0;

    *a = (dk_npy){0};
    if (preamble(d, len, name, &start, &n, err))
        return err->code;
    header h = {.at = (const char *)d + start, .name = name, .a = a, .err = err};
    h.end = h.at + n;
    if (dictionary(&h))
        return err->code;
    if (h.fortran && a->ndim > 1)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: npy: expected C order, found Fortran order",
                       name);
    if (sizes(a, len - start - n, name, err))
        return err->code;
    a->data = dk_alloc(a->bytes, name, err);
    if (!a->data)
        return err->code;
    memcpy(a->data, d + start + n, a->bytes);
    return 0;
}

int dk_npy_load(dk_npy *a, const char *path, dk_err *err)
{
    *a = (dk_npy){0};
    if (strcmp(path, "-") == 0) {
        char *data;
        size_t len;
        if (dk_read_file(path, MAX_STREAM, &data, &len, err))
            return err->code;
        int rc = dk_npy_parse(a, data, len, path, err);
        free(data);
        return rc;
    }
    dk_map m;
    if (dk_map_open(&m, path, err))
        return err->code;
    int rc = dk_npy_parse(a, m.data, m.len, path, err);
    dk_map_close(&m);
    return rc;
}

void dk_npy_free(dk_npy *a)
{
    dk_free_aligned(a->data);
    *a = (dk_npy){0};
}

/* ---- Writing. */

static const char *code_of(dk_dtype t)
{
    for (int i = 0; i < N_CODES; i++)
        if (codes[i].dtype == t)
            return codes[i].code;
    return NULL;
}

/* Version 1.0; the data begin at a multiple of 64 bytes. */
static void put_header(dk_buf *b, const char *code, int ndim, const int64_t *dims)
{
    dk_buf_printf(b, "{'descr': '%c%s', 'fortran_order': False, 'shape': (",
                  code[1] == '1' ? '|' : '<', code);
    for (int i = 0; i < ndim; i++)
        dk_buf_printf(b, "%s%" PRId64, i ? ", " : "", dims[i]);
    dk_buf_puts(b, ndim == 1 ? ",), }" : "), }");
    while ((MAGIC_LEN + 4 + b->len + 1) % 64 != 0)
        dk_buf_putc(b, ' ');
    dk_buf_putc(b, '\n');
}

int dk_npy_save(const char *path, dk_dtype t, int ndim, const int64_t *dims, const void *data,
                bool force, dk_err *err)
{
    const char *code = code_of(t);
    size_t bytes = code ? (size_t)(code[1] - '0') : 0;
    dk_buf text = {0};

    if (!code)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: npy cannot hold %s", path, dk_dtype_name(t));
    for (int i = 0; i < ndim; i++)
        if (dims[i] < 0 || !dk_mul(bytes, (size_t)dims[i], &bytes))
            return dk_fail(err, DK_EFAIL, "%s: a shape that no memory can hold", path);
    dk_out *out = dk_out_begin(path, force, err);
    if (!out)
        return err->code;
    put_header(&text, code, ndim, dims);
    const uint8_t start[MAGIC_LEN + 4] = {
        0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0, (uint8_t)text.len, (uint8_t)(text.len >> 8)};
    /* Failures stay in the stream and are reported by commit. */
    fwrite(start, 1, sizeof start, dk_out_file(out));
    fwrite(text.data, 1, text.len, dk_out_file(out));
    if (bytes)
        fwrite(data, 1, bytes, dk_out_file(out));
    dk_buf_free(&text);
    return dk_out_commit(out, err);
}
