/* See safetensors.h. */
#include "io/safetensors.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "io/json.h"
#include "io/safetensors_internal.h"

#define MAX_HEADER 100000000u
#define DATA_ALIGN 64

struct dk_st {
    dk_map map;
    const uint8_t *bytes;
    size_t len;
    char *path;
    dk_json header;
    dk_st_tensor *tensors; /* in order of data */
    size_t n;
    const dk_st_tensor **by_name; /* sorted */
    json_t *meta;
};

const char *dk_shape_str(int ndim, const int64_t *shape, char *buf, size_t size)
{
    size_t n = (size_t)snprintf(buf, size, "[");
    for (int i = 0; i < ndim && n < size; i++)
        n += (size_t)snprintf(buf + n, size - n, "%s%" PRId64, i ? ", " : "", shape[i]);
    if (n < size)
        snprintf(buf + n, size - n, "]");
    return buf;
}

/* ---- Reading. */

static int read_shape(const json_t *shape, dk_st_tensor *t, dk_err *err)
{
    size_t count = 1, i;
    json_t *dim;

    if (json_array_size(shape) > DK_MAX_DIMS)
        return dk_fail(err, DK_EFORMAT, "%zu dimensions; the limit is %d", json_array_size(shape),
                       DK_MAX_DIMS);
    t->ndim = (int)json_array_size(shape);
    json_array_foreach (shape, i, dim) {
        if (!json_is_integer(dim) || json_integer_value(dim) < 0)
            return dk_fail(err, DK_EFORMAT, "shape holds no size at index %zu", i);
        t->shape[i] = json_integer_value(dim);
        if (!dk_mul(count, (size_t)t->shape[i], &count) || count > INT64_MAX / 64)
            return dk_fail(err, DK_EFORMAT, "shape is too large");
    }
    t->count = (int64_t)count;
    return 0;
}

/* One entry of the header. data_len is the length of the data part. */
static int read_tensor(json_t *v, size_t data_len, dk_st_tensor *t, size_t *begin, dk_err *err)
{
    const char *dtype = json_string_value(json_object_get(v, "dtype"));
    const json_t *shape = json_object_get(v, "shape"), *range = json_object_get(v, "data_offsets");
    char text[192];

    if (!dtype || !json_is_array(shape) || json_array_size(range) != 2)
        return dk_fail(err, DK_EFORMAT, "expected dtype, shape and data_offsets");
    int type = dk_dtype_parse(dtype);
    if (type < 0)
        return dk_fail(err, DK_EFORMAT, "unknown dtype \"%.40s\"", dtype);
    t->dtype = (dk_dtype)type;
    if (read_shape(shape, t, err))
        return DK_EFORMAT;
    const json_t *b = json_array_get(range, 0), *e = json_array_get(range, 1);
    json_int_t lo = json_integer_value(b), hi = json_integer_value(e);
    if (!json_is_integer(b) || !json_is_integer(e) || lo < 0 || hi < lo || (size_t)hi > data_len)
        return dk_fail(err, DK_EFORMAT,
                       "data_offsets [%lld, %lld] are outside the %zu bytes of data; is the file "
                       "truncated?",
                       (long long)lo, (long long)hi, data_len);
    size_t bits = (size_t)t->count * (size_t)dk_dtype_bits(t->dtype); /* fits: see read_shape */
    if (bits % 8 || bits / 8 != (size_t)(hi - lo))
        return dk_fail(err, DK_EFORMAT, "%s %s does not fit its %lld bytes of data", dtype,
                       dk_shape_str(t->ndim, t->shape, text, sizeof text), (long long)(hi - lo));
    t->bytes = bits / 8;
    *begin = (size_t)lo;
    return 0;
}

static int by_data(const void *a, const void *b)
{
    const dk_st_tensor *x = a, *y = b;
    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    if (x->bytes != y->bytes) /* empty tensors first, so that ranges stay contiguous */
        return x->bytes < y->bytes ? -1 : 1;
    return strcmp(x->name, y->name);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const dk_st_tensor *const *)a)->name, (*(const dk_st_tensor *const *)b)->name);
}

static int check_contiguous(const dk_st *st, const uint8_t *data, size_t data_len, dk_err *err)
{
    size_t at = 0;

    for (size_t i = 0; i < st->n; i++) {
        size_t begin = (size_t)((const uint8_t *)st->tensors[i].data - data);
        if (begin != at)
            return dk_fail(err, DK_EFORMAT,
                           "%s: tensor \"%.200s\" begins at byte %zu; expected %zu (%s)", st->path,
                           st->tensors[i].name, begin, at, begin > at ? "a hole" : "an overlap");
        at += st->tensors[i].bytes;
    }
    if (at != data_len)
        return dk_fail(err, DK_EFORMAT, "%s: tensors end at byte %zu of %zu bytes of data",
                       st->path, at, data_len);
    return 0;
}

static int read_meta(dk_st *st, json_t *v, dk_err *err)
{
    const char *key;
    json_t *value;

    if (json_is_null(v)) /* the original reader takes it for absent */
        return 0;
    if (!json_is_object(v))
        return dk_fail(err, DK_EFORMAT, "%s: __metadata__ is no object", st->path);
    json_object_foreach (v, key, value)
        if (!json_is_string(value))
            return dk_fail(err, DK_EFORMAT, "%s: __metadata__ \"%.60s\" is no string", st->path,
                           key);
    st->meta = v;
    return 0;
}

static int read_header(dk_st *st, size_t header_len, dk_err *err)
{
    const uint8_t *data = st->bytes + 8 + header_len;
    size_t data_len = st->len - 8 - header_len, begin = 0, cap = 0;
    const char *key;
    json_t *v;

    if (st->bytes[8] != '{')
        return dk_fail(err, DK_EFORMAT, "%s: the header does not begin with '{'", st->path);
    char *name = dk_xasprintf("%s: header", st->path);
    int rc = dk_json_parse(&st->header, (const char *)st->bytes + 8, header_len, name, err);
    free(name);
    if (rc)
        return rc;
    json_object_foreach (st->header.root, key, v) {
        if (strcmp(key, "__metadata__") == 0) {
            rc = read_meta(st, v, err);
            if (rc)
                return rc;
            continue;
        }
        if (st->n == cap) { /* grown by what was valid so far, not by the number of keys */
            cap = cap ? 2 * cap : 256;
            st->tensors = dk_xrealloc(st->tensors, cap * sizeof *st->tensors);
        }
        dk_st_tensor *t = &st->tensors[st->n];
        *t = (dk_st_tensor){.name = key};
        if (read_tensor(v, data_len, t, &begin, err))
            return dk_wrap(err, "%s: tensor \"%.200s\"", st->path, key);
        t->data = data + begin;
        st->n++;
    }
    if (st->n)
        qsort(st->tensors, st->n, sizeof *st->tensors, by_data);
    rc = check_contiguous(st, data, data_len, err);
    if (rc)
        return rc;
    st->by_name = dk_xcalloc(st->n, sizeof *st->by_name);
    for (size_t i = 0; i < st->n; i++)
        st->by_name[i] = &st->tensors[i];
    if (st->n)
        qsort(st->by_name, st->n, sizeof *st->by_name, by_name);
    return 0;
}

bool dk_st_is_lfs(const void *data, size_t len)
{
    static const char lfs[] = "version https://git-lfs";
    return len >= sizeof lfs - 1 && memcmp(data, lfs, sizeof lfs - 1) == 0;
}

static int read_all(dk_st *st, dk_err *err)
{
    uint64_t n = 0;

    if (dk_st_is_lfs(st->bytes, st->len))
        return dk_fail(err, DK_EFORMAT, "%s: " DK_ST_LFS_TEXT, st->path);
    if (st->len < 8)
        return dk_fail(err, DK_EFORMAT, "%s: %zu bytes are too few for a safetensors file",
                       st->path, st->len);
    for (int i = 7; i >= 0; i--)
        n = n << 8 | st->bytes[i];
    if (n > MAX_HEADER || n > st->len - 8 || n < 2)
        return dk_fail(err, DK_EFORMAT,
                       "%s: header of %" PRIu64 " bytes in a file of %zu; truncated, or no "
                       "safetensors file",
                       st->path, n, st->len);
    return read_header(st, (size_t)n, err);
}

static dk_st *finish(dk_st *st, dk_err *err)
{
    if (read_all(st, err)) {
        dk_st_close(st);
        return NULL;
    }
    return st;
}

dk_st *dk_st_open(const char *path, dk_err *err)
{
    dk_st *st = dk_xcalloc(1, sizeof *st);

    st->path = dk_xstrdup(path);
    if (dk_map_open(&st->map, path, err)) {
        dk_st_close(st);
        return NULL;
    }
    st->bytes = st->map.data;
    st->len = st->map.len;
    return finish(st, err);
}

dk_st *dk_st_open_mem(const void *data, size_t len, const char *name, dk_err *err)
{
    dk_st *st = dk_xcalloc(1, sizeof *st);

    st->path = dk_xstrdup(name);
    st->bytes = data;
    st->len = len;
    return finish(st, err);
}

void dk_st_close(dk_st *st)
{
    if (!st)
        return;
    dk_map_close(&st->map);
    dk_json_free(&st->header);
    free(st->tensors);
    free(st->by_name);
    free(st->path);
    free(st);
}

const char *dk_st_path(const dk_st *st) { return st->path; }

size_t dk_st_count(const dk_st *st) { return st->n; }

const dk_st_tensor *dk_st_at(const dk_st *st, size_t i) { return &st->tensors[i]; }

const dk_st_tensor *dk_st_find(const dk_st *st, const char *name)
{
    size_t lo = 0, hi = st->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, st->by_name[mid]->name);
        if (c == 0)
            return st->by_name[mid];
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

const char *dk_st_meta(const dk_st *st, const char *key)
{
    return json_string_value(json_object_get(st->meta, key));
}

const void *dk_st_bytes(const dk_st *st, size_t *len)
{
    *len = st->len;
    return st->bytes;
}

void dk_st_dontneed(const dk_st *st) { dk_map_dontneed(&st->map); }

/* ---- Writing. */

typedef struct entry {
    char *name;
    dk_dtype dtype;
    int ndim;
    int64_t shape[DK_MAX_DIMS];
    const void *data;
    void *owned;
    size_t bytes;
} entry;

struct dk_st_writer {
    entry *entries;
    size_t n, cap;
    json_t *meta;
    const char *invalid; /* what no file can hold; reported when writing */
};

/* jansson makes strings of valid UTF-8 only. */
static bool is_utf8(const char *s)
{
    json_t *v = json_string(s);
    json_decref(v);
    return v != NULL;
}

dk_st_writer *dk_st_writer_new(void)
{
    dk_st_writer *w = dk_xcalloc(1, sizeof *w);
    w->meta = json_object();
    return w;
}

void dk_st_writer_free(dk_st_writer *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++) {
        free(w->entries[i].name);
        dk_free_aligned(w->entries[i].owned);
    }
    free(w->entries);
    json_decref(w->meta);
    free(w);
}

void dk_st_writer_meta(dk_st_writer *w, const char *key, const char *value)
{
    if (json_object_set_new(w->meta, key, json_string(value)))
        w->invalid = "metadata that is not UTF-8";
}

void dk_st_writer_add(dk_st_writer *w, const char *name, dk_dtype t, int ndim, const int64_t *shape,
                      const void *data)
{
    size_t count = 1;

    assert(ndim >= 0 && ndim <= DK_MAX_DIMS);
    if (!is_utf8(name) || strcmp(name, "__metadata__") == 0)
        w->invalid = "a tensor name that is not UTF-8 or is reserved";
    if (w->n == w->cap) {
        w->cap = w->cap ? 2 * w->cap : 64;
        w->entries = dk_xrealloc(w->entries, w->cap * sizeof *w->entries);
    }
    entry *e = &w->entries[w->n++];
    *e = (entry){.name = dk_xstrdup(name), .dtype = t, .ndim = ndim, .data = data};
    for (int i = 0; i < ndim; i++) {
        e->shape[i] = shape[i];
        count *= (size_t)shape[i];
    }
    e->bytes = count * (size_t)dk_dtype_bits(t) / 8;
}

int dk_st_writer_add_copy(dk_st_writer *w, const char *name, dk_dtype t, int ndim,
                          const int64_t *shape, const void *data, dk_err *err)
{
    dk_st_writer_add(w, name, t, ndim, shape, data);
    entry *e = &w->entries[w->n - 1];
    e->owned = dk_alloc(e->bytes, name, err);
    if (!e->owned) {
        free(e->name);
        w->n--;
        return DK_ENOMEM;
    }
    memcpy(e->owned, data, e->bytes);
    e->data = e->owned;
    return 0;
}

/* Larger elements first, so that every tensor is aligned to its element size; then by name. */
static int by_layout(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    int bx = dk_dtype_bits(x->dtype), by = dk_dtype_bits(y->dtype);
    return bx != by ? (bx > by ? -1 : 1) : strcmp(x->name, y->name);
}

static void add_string(dk_buf *b, const char *s)
{
    json_t *v = json_string(s);
    dk_json_dump(b, v, false);
    json_decref(v);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_meta(dk_buf *b, json_t *meta)
{
    size_t n = json_object_size(meta), k = 0;
    const char **keys = dk_xcalloc(n, sizeof *keys), *key;
    json_t *value;

    json_object_foreach (meta, key, value)
        keys[k++] = key;
    qsort(keys, n, sizeof *keys, by_key);
    dk_buf_puts(b, "\"__metadata__\":{");
    for (size_t i = 0; i < n; i++) {
        dk_buf_puts(b, i ? "," : "");
        add_string(b, keys[i]);
        dk_buf_putc(b, ':');
        add_string(b, json_string_value(json_object_get(meta, keys[i])));
    }
    dk_buf_putc(b, '}');
    free(keys);
}

static void build_header(dk_st_writer *w, dk_buf *b)
{
    size_t at = 0;

    dk_buf_putc(b, '{');
    if (json_object_size(w->meta))
        add_meta(b, w->meta);
    for (size_t i = 0; i < w->n; i++) {
        const entry *e = &w->entries[i];
        dk_buf_puts(b, b->len > 1 ? "," : "");
        add_string(b, e->name);
        dk_buf_printf(b, ":{\"dtype\":\"%s\",\"shape\":[", dk_dtype_name(e->dtype));
        for (int d = 0; d < e->ndim; d++)
            dk_buf_printf(b, "%s%" PRId64, d ? "," : "", e->shape[d]);
        dk_buf_printf(b, "],\"data_offsets\":[%zu,%zu]}", at, at + e->bytes);
        at += e->bytes;
    }
    dk_buf_putc(b, '}');
    while ((8 + b->len) % DATA_ALIGN)
        dk_buf_putc(b, ' ');
}

static int by_entry_name(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static int check_writable(dk_st_writer *w, dk_err *err)
{
    if (w->invalid)
        return dk_fail(err, DK_EFAIL, "a safetensors file cannot hold %s", w->invalid);
    if (w->n)
        qsort(w->entries, w->n, sizeof *w->entries, by_entry_name);
    for (size_t i = 0; i + 1 < w->n; i++)
        if (strcmp(w->entries[i].name, w->entries[i + 1].name) == 0)
            return dk_fail(err, DK_EFAIL, "tensor \"%s\" would be written twice",
                           w->entries[i].name);
    return 0;
}

int dk_st_writer_write(dk_st_writer *w, FILE *f, dk_err *err)
{
    dk_buf b = {0};
    unsigned char len[8];
    int rc = check_writable(w, err);

    if (rc)
        return rc;
    if (w->n)
        qsort(w->entries, w->n, sizeof *w->entries, by_layout);
    build_header(w, &b);
    for (int i = 0; i < 8; i++)
        len[i] = (unsigned char)((uint64_t)b.len >> 8 * i);
    fwrite(len, 1, 8, f);
    fwrite(b.data, 1, b.len, f);
    dk_buf_free(&b);
    for (size_t i = 0; i < w->n; i++)
        if (w->entries[i].bytes)
            fwrite(w->entries[i].data, 1, w->entries[i].bytes, f);
    return ferror(f) ? dk_fail_errno(err, "writing tensors") : 0;
}

int dk_st_writer_save(dk_st_writer *w, const char *path, bool force, dk_err *err)
{
    dk_out *o = dk_out_begin(path, force, err);
    if (!o)
        return err ? err->code : DK_EFAIL;
    int rc = dk_st_writer_write(w, dk_out_file(o), err);
    if (rc) {
        dk_out_abort(o);
        return dk_wrap(err, "%s", path);
    }
    return dk_out_commit(o, err);
}
