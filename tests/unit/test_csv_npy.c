/* io/csv and io/npy: writing, reading back, foreign spellings, damaged files. */
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/opt.h"
#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "io/csv.h"
#include "io/npy.h"
#include "unit/support.h"

TS_SCRATCH("csv_npy")

/* ---- CSV. */

static int parse(dk_csv *c, const char *text)
{
    dk_err_init(&err);
    return dk_csv_parse(c, text, strlen(text), "t.csv", &err);
}

static void csv_writing(void **state)
{
    char text[1024] = "";
    FILE *f = tmpfile();
    dk_csv_writer w = {.f = f};
    (void)state;
    assert_non_null(f);
    dk_csv_str(&w, "name");
    dk_csv_str(&w, "a,b");
    dk_csv_str(&w, "say \"x\"");
    dk_csv_str(&w, "two\nlines");
    dk_csv_str(&w, "");
    dk_csv_end(&w);
    dk_csv_str(&w, "");
    dk_csv_i64(&w, INT64_MIN);
    dk_csv_f64(&w, 0.1);
    dk_csv_f32(&w, 0.1f);
    dk_csv_f32(&w, FLT_TRUE_MIN);
    dk_csv_end(&w);
    dk_csv_f64(&w, NAN);
    dk_csv_f64(&w, -INFINITY);
    dk_csv_f32(&w, INFINITY);
    dk_csv_f64(&w, 0.1f);
    dk_csv_f64(&w, -0.0);
    dk_csv_end(&w);
    rewind(f);
    assert_true(fread(text, 1, sizeof text - 1, f) > 0);
    fclose(f);
    assert_string_equal(text, "name,\"a,b\",\"say \"\"x\"\"\",\"two\nlines\",\n"
                              ",-9223372036854775808,0.1,0.1,1e-45\n"
                              "nan,-inf,inf,0.10000000149011612,-0\n");
    dk_csv c;
    ts_ok(parse(&c, text), &err);
    assert_int_equal(c.rows, 2);
    assert_int_equal(c.columns, 5);
    assert_int_equal(dk_csv_column(&c, "say \"x\""), 2);
    assert_int_equal(dk_csv_column(&c, "two\nlines"), 3);
    assert_int_equal(dk_csv_column(&c, "absent"), -1);
    assert_string_equal(dk_csv_at(&c, 1, 3), "0.10000000149011612");
    assert_int_equal(c.lines[0], 3); /* the header takes two lines */
    dk_csv_free(&c);
}

/* Cells of the rows joined by '|', rows ended by ';', the header first. */
static void assert_table(const char *text, const char *want)
{
    dk_buf b = {0};
    dk_csv c;
    ts_ok(parse(&c, text), &err);
    for (size_t i = 0; i < (c.rows + 1) * c.columns; i++)
        dk_buf_printf(&b, "%s%c", c.cells[i], (i + 1) % c.columns ? '|' : ';');
    assert_string_equal(dk_buf_str(&b), want);
    dk_buf_free(&b);
    dk_csv_free(&c);
}

static void csv_reading(void **state)
{
    (void)state;
    assert_table("a,b\n1,2\n", "a|b;1|2;");
    assert_table("a,b\n1,2", "a|b;1|2;");
    assert_table("a,b\r\n1,2\r\n3,4", "a|b;1|2;3|4;");
    assert_table("a,b\r", "a|b;");
    assert_table("\xEF\xBB\xBF"
                 "a,b\n,\n",
                 "a|b;|;");
    assert_table("\"a\",\"b\"\"\"\n\"\",\"x,\r\ny\"\n", "a|b\";|x,\r\ny;");
    assert_table("a,b\n1,\"2\"", "a|b;1|2;");
    assert_table("a\n\n1\n", "a;;1;"); /* one column: an empty line is an empty cell */
    assert_table("a", "a;");
    assert_table(" a , b\n", " a | b;");
    assert_table("a,b\n1,", "a|b;1|;");
}

static void csv_damage(void **state)
{
    static const char *const cases[][2] = {
        {"", "t.csv: expected a header row, found nothing"},
        {"\xEF\xBB\xBF", "t.csv: expected a header row, found nothing"},
        {"a,b\n1\n", "t.csv: line 2: expected 2 fields, found 1"},
        {"a,b\n1,2\n\n", "t.csv: line 3: expected 2 fields, found 1"},
        {"a,b\n\"x\ny\",2\n1,2,3\n", "t.csv: line 4: expected 2 fields, found 3"},
        {"a,b\n1,\"2\n3,4\n", "t.csv: line 2: a quoted field never ends"},
        {"a,b\n1,\"2\"x\n", "t.csv: line 2: text behind a closing quote"},
        {"a,b\n1,2\"\n", "t.csv: line 2: a quote inside a field that does not begin with one"},
        {"a,b\n1\r,2\n", "t.csv: line 2: a carriage return inside a field"},
        {"a\n\"", "t.csv: line 2: a quoted field never ends"},
    };
    dk_csv c;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(&c, cases[i][0]), DK_EFORMAT);
        assert_string_equal(err.msg, cases[i][1]);
        assert_null(c.cells);
        dk_csv_free(&c);
    }
    dk_err_init(&err);
    assert_int_equal(dk_csv_parse(&c, "a\0b", 3, "t.csv", &err), DK_EFORMAT);
    dk_err_init(&err);
    assert_int_equal(dk_csv_load(&c, "no/such.csv", &err), DK_EFAIL);
    dk_csv_free(&c);
}

static int64_t number_at(const dk_csv *c, size_t row, size_t column)
{
    int64_t v = -1;
    ts_ok(dk_parse_i64(dk_csv_at(c, row, column), 0, INT32_MAX, "cell", &v, &err), &err);
    return v;
}

static void csv_many_cells(void **state)
{
    dk_buf b = {0};
    dk_csv c;
    (void)state;
    for (int i = 0; i < 3000; i++)
        for (int k = 0; k < 7; k++)
            dk_buf_printf(&b, "%s\"%d\"%s", k ? "," : "", i * 7 + k, k == 6 ? "\n" : "");
    char *path = dk_path_join(dir, "many.csv");
    ts_write_text(dir, "many.csv", dk_buf_str(&b));
    ts_ok(dk_csv_load(&c, path, &err), &err);
    assert_int_equal(c.rows, 2999);
    assert_int_equal(c.columns, 7);
    for (size_t i = 0; i < c.rows; i++)
        for (size_t k = 0; k < 7; k++)
            assert_int_equal(number_at(&c, i, k), (i + 1) * 7 + k);
    dk_csv_free(&c);
    dk_buf_free(&b);
    free(path);
}

/* ---- npy. */

static void npy_round_trip(void **state)
{
    static const dk_dtype types[] = {DK_BOOL, DK_I8,  DK_I16, DK_I32, DK_I64, DK_U8,
                                     DK_U16,  DK_U32, DK_U64, DK_F16, DK_F32, DK_F64};
    static const int64_t shapes[][3] = {{2, 3, 4}, {24, 1, 1}, {0, 5, 1}};
    uint8_t data[24 * 8];
    char *path = dk_path_join(dir, "a.npy");
    dk_npy a;
    (void)state;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * 5 + 1);
    for (size_t k = 0; k < sizeof types / sizeof types[0]; k++) {
        for (int ndim = 0; ndim <= 3; ndim++) {
            const int64_t *shape = shapes[k % 3];
            ts_ok(dk_npy_save(path, types[k], ndim, shape, data, true, &err), &err);
            ts_ok(dk_npy_load(&a, path, &err), &err);
            assert_int_equal(a.dtype, types[k]);
            assert_int_equal(a.ndim, ndim);
            int64_t count = 1;
            for (int i = 0; i < ndim; i++) {
                assert_int_equal(a.shape[i], shape[i]);
                count *= shape[i];
            }
            assert_int_equal(a.count, count);
            assert_int_equal(a.bytes, count * dk_dtype_bits(types[k]) / 8);
            assert_int_equal((uintptr_t)a.data % 64, 0);
            assert_memory_equal(a.data, data, a.bytes);
            dk_npy_free(&a);
        }
    }
    assert_int_equal(dk_npy_save(path, DK_F32, 1, shapes[1], data, false, &err), DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_npy_save(path, DK_BF16, 1, shapes[1], data, true, &err), DK_EUNSUPPORTED);
    free(path);
}

/* The bytes that numpy.save writes for numpy.arange(6, dtype="<i2").reshape(2, 3). */
static void npy_bytes(void **state)
{
    static const int16_t six[] = {0, 1, 2, 3, 4, 5};
    static const int64_t shape[] = {2, 3};
    static const char dict[] = "{'descr': '<i2', 'fortran_order': False, 'shape': (2, 3), }";
    char *path = dk_path_join(dir, "six.npy"), *data, want[128 + 12];
    size_t len;
    (void)state;
    memset(want, ' ', sizeof want);
    memcpy(want, "\x93NUMPY\x01\x00\x76\x00", 10);
    memcpy(want + 10, dict, sizeof dict - 1);
    want[127] = '\n';
    memcpy(want + 128, six, 12);
    ts_ok(dk_npy_save(path, DK_I16, 2, shape, six, false, &err), &err);
    ts_ok(dk_read_file(path, 1000, &data, &len, &err), &err);
    assert_int_equal(len, sizeof want);
    assert_memory_equal(data, want, len);
    free(data);
    free(path);
}

/* A file of version `major` with the given dictionary and `n` bytes of zeros behind it. */
static int parse_npy(dk_npy *a, int major, const char *dict, size_t n)
{
    dk_buf b = {0};
    size_t len = strlen(dict);
    dk_buf_add(&b, "\x93NUMPY", 6);
    dk_buf_putc(&b, (char)major);
    dk_buf_putc(&b, 0);
    for (int i = 0; i < (major == 1 ? 2 : 4); i++)
        dk_buf_putc(&b, (char)(len >> 8 * i));
    dk_buf_puts(&b, dict);
    for (size_t i = 0; i < n; i++)
        dk_buf_putc(&b, 0);
    /* An exact copy, so that a read behind the end shows under ASan. */
    char *exact = dk_xmalloc(b.len);
    memcpy(exact, b.data, b.len);
    dk_err_init(&err);
    int rc = dk_npy_parse(a, exact, b.len, "t.npy", &err);
    free(exact);
    dk_buf_free(&b);
    return rc;
}

#define DICT(descr, order, shape)                                                                  \
    "{'descr': " descr ", 'fortran_order': " order ", 'shape': " shape ", }"

static void npy_spellings(void **state)
{
    dk_npy a;
    (void)state;
    ts_ok(parse_npy(&a, 2, DICT("'<f4'", "False", "(3,)"), 12), &err);
    dk_npy_free(&a);
    ts_ok(parse_npy(&a, 1, "{\"shape\":(2L,3L),\"descr\":\"|u1\",\"fortran_order\":False}\n", 6),
          &err);
    assert_int_equal(a.dtype, DK_U8);
    dk_npy_free(&a);
    ts_ok(parse_npy(&a, 1, DICT("'|b1'", "True", "(4,)"), 4),
          &err); /* one dimension has one order */
    dk_npy_free(&a);
    ts_ok(parse_npy(&a, 1, DICT("'<f8'", "False", "()"), 8), &err);
    assert_int_equal(a.count, 1);
    dk_npy_free(&a);
    ts_ok(parse_npy(&a, 1, DICT("'<f8'", "False", "(0, 3,)"), 0), &err);
    assert_int_equal(a.count, 0);
    dk_npy_free(&a);
}

static void npy_damage(void **state)
{
    static const struct {
        int rc, major;
        const char *dict;
        size_t n;
    } cases[] = {
        {DK_EUNSUPPORTED, 3, DICT("'<f4'", "False", "(1,)"), 4},
        {DK_EUNSUPPORTED, 1, DICT("'>f4'", "False", "(1,)"), 4},
        {DK_EUNSUPPORTED, 1, DICT("'<c8'", "False", "(1,)"), 8},
        {DK_EUNSUPPORTED, 1, DICT("'|f4'", "False", "(1,)"), 4},
        {DK_EUNSUPPORTED, 1, DICT("'|O'", "False", "(1,)"), 8},
        {DK_EUNSUPPORTED, 1, DICT("[('a', '<f4')]", "False", "(1,)"), 4},
        {DK_EUNSUPPORTED, 1, DICT("'<f4'", "True", "(2, 2)"), 16},
        {DK_EUNSUPPORTED, 1, DICT("'<f4'", "False", "(1,1,1,1,1,1,1,1,1)"), 4},
        {DK_EFORMAT, 1, DICT("'<f4'", "False", "(2,)"), 4},
        {DK_EFORMAT, 1, DICT("'<f4'", "False", "(2,)"), 9},
        {DK_EFORMAT, 1, DICT("'<f4'", "False", "(2)"), 8},
        {DK_EFORMAT, 1, DICT("'<f4'", "False", "(-2,)"), 8},
        {DK_EFORMAT, 1, DICT("'<f4'", "False", "(2 2)"), 16},
        {DK_EFORMAT, 1, DICT("'<f4'", "False", "2"), 8},
        {DK_EFORMAT, 1, DICT("'<f4'", "False", "(4611686018427387904, 4)"), 0},
        {DK_EFORMAT, 1, DICT("'<f4'", "False", "(99999999999999999999,)"), 0},
        {DK_EFORMAT, 1, DICT("'<f4'", "Maybe", "(1,)"), 4},
        {DK_EFORMAT, 1, DICT("<f4", "False", "(1,)"), 4},
        {DK_EUNSUPPORTED, 1, DICT("'<f4\"", "False", "(1,)"), 4},
        {DK_EFORMAT, 1, "{'descr': '<f4', 'shape': (1,)}", 4},
        {DK_EFORMAT, 1, "{'descr': '<f4', 'shape': (1,), 'shape': (1,), 'fortran_order': False}",
         4},
        {DK_EFORMAT, 1, "{'descr': '<f4', 'shape': (1,), 'other': 1, 'fortran_order': False}", 4},
        {DK_EFORMAT, 1, "{'descr': '<f4' 'shape': (1,), 'fortran_order': False}", 4},
        {DK_EFORMAT, 1, "{'descr': '<f4', 'shape': (1,), 'fortran_order': False} x", 4},
        {DK_EFORMAT, 1, "{'descr': '<f4', 'shape': (1", 0},
        {DK_EFORMAT, 1, "{'descr': '<f4', 'fortran_order': Fal", 0},
        {DK_EFORMAT, 1, "{'a-key-that-is-longer-than-any-key-of-this-format': 1}", 0},
        {DK_EFORMAT, 1, "{", 0},
        {DK_EFORMAT, 1, "", 0},
    };
    dk_npy a;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse_npy(&a, cases[i].major, cases[i].dict, cases[i].n), cases[i].rc);
        ts_failed(&err, cases[i].rc, "t.npy: ");
        assert_null(a.data);
        dk_npy_free(&a);
    }
    static const char *const starts[] = {"", "\x93NUMPY", "\x93NUMPX\1\0\0\0", "\x93NUMPY\1"};
    static const size_t lens[] = {0, 6, 10, 9};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(dk_npy_parse(&a, starts[i], lens[i], "t.npy", &err), DK_EFORMAT);
        ts_failed(&err, DK_EFORMAT, "t.npy: ");
    }
    /* A header that says it is longer than the file. */
    assert_int_equal(dk_npy_parse(&a, "\x93NUMPY\2\0\xFF\xFF\xFF\xFF{}", 14, "t.npy", &err),
                     DK_EFORMAT);
    dk_err_init(&err);
    assert_int_equal(dk_npy_load(&a, "no/such.npy", &err), DK_EFAIL);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup(f, fresh)
    const struct CMUnitTest tests[] = {
        CASE(csv_writing),    CASE(csv_reading), CASE(csv_damage),    CASE(csv_many_cells),
        CASE(npy_round_trip), CASE(npy_bytes),   CASE(npy_spellings), CASE(npy_damage),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
