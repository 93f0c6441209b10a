/* io/safetensors: what is legal is read, what is malformed is refused with the reason, and the
 * writer's files come back as they were. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "io/safetensors.h"

static char *dir; /* scratch of this program */
static dk_err err;

static int set_up(void **state)
{
    const char *tmp = getenv("DK_TEST_TMP");
    (void)state;
    if (!tmp) {
        mkdir("build", 0777);
        tmp = "build/tmp";
    }
    mkdir(tmp, 0777);
    dir = dk_xasprintf("%s/safetensors.%ld", tmp, (long)getpid());
    return mkdir(dir, 0777);
}

static int tear_down(void **state)
{
    (void)state;
    free(dir);
    return 0;
}

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    return 0;
}

/* A file image: length, header, n bytes 0, 1, 2, ... */
static dk_buf image(const char *header, size_t n)
{
    dk_buf b = {0};
    uint64_t len = strlen(header);
    for (int i = 0; i < 8; i++)
        dk_buf_putc(&b, (char)(len >> 8 * i & 255));
    dk_buf_puts(&b, header);
    for (size_t i = 0; i < n; i++)
        dk_buf_putc(&b, (char)(i & 255));
    return b;
}

static void assert_refused_bytes(const void *data, size_t len, const char *why)
{
    /* An exact copy, so that the sanitizer sees one byte too many. */
    void *copy = dk_xmalloc(len);
    dk_err_init(&err);
    memcpy(copy, data, len);
    dk_st *st = dk_st_open_mem(copy, len, "vae/x.safetensors", &err);
    free(copy);
    assert_null(st);
    assert_int_equal(err.code, DK_EFORMAT);
    assert_memory_equal(err.msg, "vae/x.safetensors: ", 19);
    if (!strstr(err.msg, why))
        fail_msg("\"%s\" says nothing of \"%s\"", err.msg, why);
}

static void assert_refused(const char *header, size_t n, const char *why)
{
    dk_buf b = image(header, n);
    assert_refused_bytes(b.data, b.len, why);
    dk_buf_free(&b);
}

/* Keeps *b for as long as the result lives. */
static dk_st *legal(dk_buf *b, const char *header, size_t n)
{
    *b = image(header, n);
    dk_err_init(&err);
    dk_st *st = dk_st_open_mem(b->data, b->len, "x", &err);
    if (!st)
        fail_msg("%s", err.msg);
    return st;
}

/* ---- Legal files. */

static void two_tensors(void **state)
{
    dk_buf b;
    dk_st *st = legal(&b,
                      "{\"__metadata__\":{\"format\":\"pt\"},"
                      "\"b\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]},"
                      "\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[8,11]}}",
                      11);
    const dk_st_tensor *t = dk_st_find(st, "a");
    size_t len;
    (void)state;

    assert_int_equal(dk_st_count(st), 2);
    assert_string_equal(dk_st_at(st, 0)->name, "b");
    assert_string_equal(dk_st_at(st, 1)->name, "a");
    assert_ptr_equal(t, dk_st_at(st, 1));
    assert_int_equal(t->dtype, DK_U8);
    assert_int_equal(t->ndim, 1);
    assert_int_equal(t->shape[0], 3);
    assert_int_equal(t->count, 3);
    assert_int_equal(t->bytes, 3);
    assert_memory_equal(t->data, "\x8\x9\xa", 3);
    assert_null(dk_st_find(st, "c"));
    assert_null(dk_st_find(st, "__metadata__"));
    assert_string_equal(dk_st_meta(st, "format"), "pt");
    assert_null(dk_st_meta(st, "other"));
    assert_ptr_equal(dk_st_bytes(st, &len), b.data);
    assert_int_equal(len, b.len);
    assert_string_equal(dk_st_path(st), "x");
    dk_st_dontneed(st); /* nothing to drop, no harm */
    dk_st_close(st);
    dk_buf_free(&b);
}

static void scalar_and_empty_tensors(void **state)
{
    dk_buf b;
    dk_st *st = legal(&b,
                      "{\"s\":{\"dtype\":\"F64\",\"shape\":[],\"data_offsets\":[0,8]},"
                      "\"z\":{\"dtype\":\"F16\",\"shape\":[0,7],\"data_offsets\":[8,8]},"
                      "\"y\":{\"dtype\":\"F16\",\"shape\":[3,0],\"data_offsets\":[0,0]},"
                      "\"t\":{\"dtype\":\"BOOL\",\"shape\":[1],\"data_offsets\":[8,9]}}",
                      9);
    (void)state;

    assert_int_equal(dk_st_find(st, "s")->ndim, 0);
    assert_int_equal(dk_st_find(st, "s")->count, 1);
    assert_int_equal(dk_st_find(st, "z")->count, 0);
    assert_int_equal(dk_st_find(st, "z")->bytes, 0);
    assert_int_equal(dk_st_find(st, "y")->shape[0], 3);
    assert_int_equal(dk_st_find(st, "t")->count, 1);
    dk_st_close(st);
    dk_buf_free(&b);
}

static void odd_but_legal_headers(void **state)
{
    static const struct {
        const char *header;
        size_t data, tensors;
    } odd[] = {
        {"{}", 0, 0},
        {"{}     ", 0, 0},
        {"{\"__metadata__\":{}}", 0, 0},
        {"{\"__metadata__\":null}", 0, 0},
        {"{ \"a\" :\n\t{\"shape\":[ 1 ] , \"data_offsets\":[0 ,1],\"dtype\":\"I8\"} }\r\n ", 1, 1},
        {"{\"a\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1],\"note\":[1.5,null]}}", 1,
         1},
        {"{\"\":{\"dtype\":\"I8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, 1},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[2,3],\"data_offsets\":[0,3]}}", 3, 1},
        {"{\"a\":{\"dtype\":\"F6_E2M3\",\"shape\":[4],\"data_offsets\":[0,3]}}", 3, 1},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, 1},
        {"{\"Infinity NaN\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 1, 1},
    };
    dk_buf b;
    (void)state;

    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        dk_st *st = legal(&b, odd[i].header, odd[i].data);
        assert_int_equal(dk_st_count(st), odd[i].tensors);
        dk_st_close(st);
        dk_buf_free(&b);
    }
    dk_st *st = legal(&b, "{\"\\u00e9\\ud83d\\ude00\":{\"dtype\":\"U8\",\"shape\":[0],"
                          "\"data_offsets\":[0,0]}}", 0);
    assert_non_null(dk_st_find(st, "\xc3\xa9\xf0\x9f\x98\x80"));
    dk_st_close(st);
    dk_buf_free(&b);
}

/* A header of 57 bytes puts the data at an odd address: reads go through memcpy. */
static void unaligned_data(void **state)
{
    dk_buf b;
    dk_st *st = legal(&b, "{\"abcd\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}}", 8);
    const dk_st_tensor *t = dk_st_find(st, "abcd");
    float f[2], expect[2];
    (void)state;

    assert_int_not_equal((uintptr_t)t->data % 4, 0);
    memcpy(expect, "\0\1\2\3\4\5\6\7", 8);
    dk_to_f32(t->dtype, t->data, f, 2);
    assert_memory_equal(f, expect, 8);
    dk_st_close(st);
    dk_buf_free(&b);
}

/* ---- Malformed files. */

static void malformed_headers(void **state)
{
    static const struct {
        const char *header;
        size_t data;
        const char *why;
    } bad[] = {
        /* No JSON, or no object. */
        {"[]", 0, "begin with '{'"},
        {" {}", 0, "begin with '{'"},
        {"{\"a\":", 0, "header: line 1"},
        {"{} x", 0, "header: line 1"},
        {"{\"a\xff\":1}", 0, "header: line 1"},
        {"{\"a\\u0000\":1}", 0, "header: line 1"},
        /* Twice the same name: which of them counts would depend on the reader. */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}",
         1, "duplicate"},
        /* Entries. */
        {"{\"a\":1}", 0, "tensor \"a\": expected dtype, shape and data_offsets"},
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,1]}}", 1, "expected dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,1]}}", 1, "expected dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1]}}", 1, "expected dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0]}}", 1, "expected dtype"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1,2]}}", 1, "expected dtype"},
        {"{\"a\":{\"dtype\":\"F31\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4,
         "unknown dtype \"F31\""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1,
         "9 dimensions; the limit is 8"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,-1],\"data_offsets\":[0,1]}}", 1, "index 1"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1.0],\"data_offsets\":[0,1]}}", 1, "index 0"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[\"1\"],\"data_offsets\":[0,1]}}", 1, "index 0"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[NaN],\"data_offsets\":[0,1]}}", 1, "index 0"},
        /* Sizes: 2^32 * 2^32 elements are 0 modulo 2^64; 2^61 f64 are too. */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4294967296,4294967296],\"data_offsets\":[0,0]}}", 0,
         "too large"},
        {"{\"a\":{\"dtype\":\"F64\",\"shape\":[2305843009213693952],\"data_offsets\":[0,0]}}", 0,
         "too large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2,2],\"data_offsets\":[0,12]}}", 12,
         "F32 [2, 2] does not fit its 12 bytes"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "does not fit"},
        {"{\"a\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,2]}}", 2, "does not fit"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[99999999999999999999],\"data_offsets\":[0,1]}}", 1,
         "index 0"},
        /* Ranges. */
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 3, "truncated"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,0]}}", 1, "outside"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[-1,1]}}", 1, "outside"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1.0]}}", 1, "outside"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,9223372036854775807]}}", 1,
         "outside"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, "a hole"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
         3, "tensor \"b\" begins at byte 2; expected 1 (a hole)"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[1,3]}}",
         3, "tensor \"b\" begins at byte 1; expected 2 (an overlap)"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}",
         2, "an overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,1]}}",
         3, "an overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2,
         "end at byte 1 of 2"},
        {"{}", 1, "end at byte 0 of 1"},
        /* Metadata. */
        {"{\"__metadata__\":[]}", 0, "__metadata__ is no object"},
        {"{\"__metadata__\":{\"k\":1}}", 0, "__metadata__ \"k\" is no string"},
    };
    (void)state;

    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_refused(bad[i].header, bad[i].data, bad[i].why);
}

static void malformed_lengths(void **state)
{
    static const char lfs[] = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n";
    dk_buf b = image("{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4);
    (void)state;

    for (size_t len = 0; len < b.len; len++) /* cut anywhere */
        assert_refused_bytes(b.data, len, "");
    assert_refused_bytes(b.data, 7, "too few");
    assert_refused_bytes(b.data, 30, "truncated");
    b.data[0]++; /* one byte of data becomes header */
    assert_refused_bytes(b.data, b.len, "header: line 1");
    memset(b.data, 0xFF, 8);
    assert_refused_bytes(b.data, b.len, "header of 18446744073709551615 bytes");
    memcpy(b.data, "\x01\xe1\xf5\x05\0\0\0\0", 8); /* 100,000,001 */
    assert_refused_bytes(b.data, b.len, "header of 100000001 bytes");
    memset(b.data, 0, 8);
    assert_refused_bytes(b.data, b.len, "header of 0 bytes");
    b.data[0] = 1;
    assert_refused_bytes(b.data, b.len, "header of 1 bytes");
    assert_refused_bytes(lfs, sizeof lfs - 1, "git-LFS pointer");
    dk_buf_free(&b);
}

/* The limit counts even when the file really is that long (sparse here). */
static void oversized_header(void **state)
{
    char *path = dk_path_join(dir, "big.safetensors");
    FILE *f = fopen(path, "wb");
    (void)state;

    assert_non_null(f);
    assert_int_equal(fwrite("\x01\xe1\xf5\x05\0\0\0\0{}", 1, 10, f), 10);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(truncate(path, 100000200), 0);
    assert_null(dk_st_open(path, &err));
    assert_int_equal(err.code, DK_EFORMAT);
    assert_non_null(strstr(err.msg, "header of 100000001 bytes"));
    unlink(path);
    free(path);
}

static void files_that_are_none(void **state)
{
    char *fifo = dk_path_join(dir, "fifo"), *absent = dk_path_join(dir, "absent");
    (void)state;

    assert_int_equal(mkfifo(fifo, 0600), 0);
    assert_null(dk_st_open(fifo, &err)); /* and does not wait for a writer */
    assert_int_equal(err.code, DK_EFORMAT);
    dk_err_init(&err);
    assert_null(dk_st_open("/dev/zero", &err));
    dk_err_init(&err);
    assert_null(dk_st_open(dir, &err));
    dk_err_init(&err);
    assert_null(dk_st_open(absent, &err));
    assert_int_equal(err.code, DK_EFAIL);
    assert_non_null(strstr(err.msg, "No such file"));
    free(fifo);
    free(absent);
}

static void long_names_do_not_hide_the_reason(void **state)
{
    dk_buf header = {0};
    (void)state;

    dk_buf_puts(&header, "{\"");
    for (int i = 0; i < 40000; i++)
        dk_buf_putc(&header, 'n');
    dk_buf_puts(&header, "\":{\"dtype\":\"F31\",\"shape\":[],\"data_offsets\":[0,1]}}");
    assert_refused(header.data, 1, "unknown dtype");
    dk_buf_free(&header);
}

/* ---- Writing. */

static void every_dtype_round_trips(void **state)
{
    static const int64_t shape[2] = {2, 4}; /* 8 elements: whole bytes for every width */
    unsigned char data[64];
    char *path = dk_path_join(dir, "every.safetensors");
    dk_st_writer *w = dk_st_writer_new();
    int bits = 64;
    (void)state;

    for (int i = 0; i < 64; i++)
        data[i] = (unsigned char)(i * 37);
    for (int t = 0; t < DK_DTYPE_COUNT; t++)
        dk_st_writer_add(w, dk_dtype_name((dk_dtype)t), (dk_dtype)t, 2, shape, data);
    dk_st_writer_add(w, "scalar", DK_F32, 0, NULL, data);
    dk_st_writer_add(w, "empty", DK_I64, 2, (int64_t[]){0, 5}, NULL);
    dk_st_writer_meta(w, "z", "last");
    dk_st_writer_meta(w, "a", "quote \" and \xc3\xa9\n");
    assert_int_equal(dk_st_writer_save(w, path, false, &err), 0);
    dk_st_writer_free(w);

    dk_st *st = dk_st_open(path, &err);
    assert_non_null(st);
    assert_int_equal(dk_st_count(st), DK_DTYPE_COUNT + 2);
    for (int t = 0; t < DK_DTYPE_COUNT; t++) {
        const dk_st_tensor *x = dk_st_find(st, dk_dtype_name((dk_dtype)t));
        assert_non_null(x);
        assert_int_equal(x->dtype, t);
        assert_int_equal(x->ndim, 2);
        assert_memory_equal(x->shape, shape, sizeof shape);
        assert_int_equal(x->bytes, dk_dtype_bits((dk_dtype)t));
        assert_memory_equal(x->data, data, x->bytes);
    }
    assert_int_equal(dk_st_find(st, "scalar")->ndim, 0);
    assert_memory_equal(dk_st_find(st, "scalar")->data, data, 4);
    assert_int_equal(dk_st_find(st, "empty")->count, 0);
    assert_string_equal(dk_st_meta(st, "a"), "quote \" and \xc3\xa9\n");
    /* Layout: widest first; data at a multiple of 64; every tensor aligned to its elements. */
    size_t len;
    const char *bytes = dk_st_bytes(st, &len);
    for (size_t i = 0; i < dk_st_count(st); i++) {
        const dk_st_tensor *x = dk_st_at(st, i);
        assert_true(dk_dtype_bits(x->dtype) <= bits || x->bytes == 0);
        if (x->bytes)
            bits = dk_dtype_bits(x->dtype);
        if (bits >= 8)
            assert_int_equal(((const char *)x->data - bytes) % (bits / 8), 0);
    }
    assert_int_equal(((const char *)dk_st_at(st, 0)->data - bytes) % 64, 0);
    dk_st_dontneed(st);
    dk_st_close(st);
    free(path);
}

/* The whole file, byte for byte. */
static void written_bytes(void **state)
{
    static const char header[] =
        "{\"__metadata__\":{\"a\":\"1\",\"b\":\"2\"},"
        "\"x\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},"
        "\"n\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[4,6]},"
        "\"o\":{\"dtype\":\"I8\",\"shape\":[],\"data_offsets\":[6,7]}}";
    char *path = dk_path_join(dir, "bytes.safetensors"), *data;
    dk_st_writer *w = dk_st_writer_new();
    unsigned char small[3] = {7, 8, 9};
    float x = 1;
    size_t len, n = (8 + sizeof header - 1 + 63) / 64 * 64;
    (void)state;

    dk_st_writer_meta(w, "b", "2");
    dk_st_writer_meta(w, "a", "1");
    dk_st_writer_add(w, "o", DK_I8, 0, NULL, small + 2);
    assert_int_equal(dk_st_writer_add_copy(w, "n", DK_U8, 1, (int64_t[]){2}, small, &err), 0);
    dk_st_writer_add(w, "x", DK_F32, 1, (int64_t[]){1}, &x);
    small[0] = 0; /* the copy is private */
    assert_int_equal(dk_st_writer_save(w, path, false, &err), 0);
    dk_st_writer_free(w);
    assert_int_equal(dk_read_file(path, 1 << 20, &data, &len, &err), 0);
    assert_int_equal(len, n + 7);
    assert_int_equal((unsigned char)data[0], n - 8);
    assert_memory_equal(data + 1, "\0\0\0\0\0\0\0", 7);
    assert_memory_equal(data + 8, header, sizeof header - 1);
    for (size_t i = 8 + sizeof header - 1; i < n; i++)
        assert_int_equal(data[i], ' ');
    assert_memory_equal(data + n, "\0\0\x80\x3f\x07\x08\x09", 7);
    free(data);
    free(path);
}

static void an_empty_file_of_tensors(void **state)
{
    char *path = dk_path_join(dir, "none.safetensors");
    dk_st_writer *w = dk_st_writer_new();
    (void)state;

    assert_int_equal(dk_st_writer_save(w, path, false, &err), 0);
    dk_st *st = dk_st_open(path, &err);
    assert_non_null(st);
    assert_int_equal(dk_st_count(st), 0);
    dk_st_close(st);
    assert_int_equal(dk_st_writer_save(w, path, false, &err), DK_EUSAGE); /* exists */
    dk_err_init(&err);
    assert_int_equal(dk_st_writer_save(w, path, true, &err), 0);
    dk_st_writer_free(w);
    free(path);
}

static void assert_unwritable(dk_st_writer *w, const char *why)
{
    char *path = dk_path_join(dir, "never.safetensors");
    dk_err_init(&err);
    assert_int_equal(dk_st_writer_save(w, path, false, &err), DK_EFAIL);
    assert_non_null(strstr(err.msg, why));
    assert_non_null(strstr(err.msg, "never.safetensors: "));
    assert_false(dk_exists(path));
    dk_st_writer_free(w);
    free(path);
}

static void what_cannot_be_written(void **state)
{
    unsigned char data[8] = {0};
    dk_st_writer *w = dk_st_writer_new();
    (void)state;

    /* The same name with another width, so that layout puts a third tensor between the two. */
    dk_st_writer_add(w, "a", DK_U8, 1, (int64_t[]){1}, data);
    dk_st_writer_add(w, "m", DK_F16, 1, (int64_t[]){1}, data);
    dk_st_writer_add(w, "a", DK_F32, 1, (int64_t[]){1}, data);
    assert_unwritable(w, "\"a\" would be written twice");
    w = dk_st_writer_new();
    dk_st_writer_add(w, "a\xff", DK_U8, 1, (int64_t[]){1}, data);
    assert_unwritable(w, "not UTF-8");
    w = dk_st_writer_new();
    dk_st_writer_add(w, "__metadata__", DK_U8, 1, (int64_t[]){1}, data);
    assert_unwritable(w, "reserved");
    w = dk_st_writer_new();
    dk_st_writer_meta(w, "prompt", "\xc3");
    assert_unwritable(w, "metadata");
}

static void full_disk(void **state)
{
    FILE *f = fopen("/dev/full", "wb");
    dk_st_writer *w = dk_st_writer_new();
    size_t n = 1 << 16; /* more than the stream's buffer */
    char *data = dk_xcalloc(n, 1);
    (void)state;

    if (!f)
        skip();
    dk_st_writer_add(w, "a", DK_U8, 1, (int64_t[]){(int64_t)n}, data);
    assert_int_equal(dk_st_writer_write(w, f, &err), DK_EFAIL);
    fclose(f);
    dk_st_writer_free(w);
    free(data);
}

static void shapes_as_text(void **state)
{
    char buf[32];
    (void)state;

    assert_string_equal(dk_shape_str(0, NULL, buf, sizeof buf), "[]");
    assert_string_equal(dk_shape_str(1, (int64_t[]){7}, buf, sizeof buf), "[7]");
    assert_string_equal(dk_shape_str(2, (int64_t[]){64, 4}, buf, sizeof buf), "[64, 4]");
    dk_shape_str(4, (int64_t[]){INT64_MAX, INT64_MAX, 1, 1}, buf, sizeof buf); /* cut, terminated */
    assert_true(strlen(buf) < sizeof buf);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(two_tensors, fresh),
        cmocka_unit_test_setup(scalar_and_empty_tensors, fresh),
        cmocka_unit_test_setup(odd_but_legal_headers, fresh),
        cmocka_unit_test_setup(unaligned_data, fresh),
        cmocka_unit_test_setup(malformed_headers, fresh),
        cmocka_unit_test_setup(malformed_lengths, fresh),
        cmocka_unit_test_setup(oversized_header, fresh),
        cmocka_unit_test_setup(files_that_are_none, fresh),
        cmocka_unit_test_setup(long_names_do_not_hide_the_reason, fresh),
        cmocka_unit_test_setup(every_dtype_round_trips, fresh),
        cmocka_unit_test_setup(written_bytes, fresh),
        cmocka_unit_test_setup(an_empty_file_of_tensors, fresh),
        cmocka_unit_test_setup(what_cannot_be_written, fresh),
        cmocka_unit_test_setup(full_disk, fresh),
        cmocka_unit_test_setup(shapes_as_text, fresh),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
