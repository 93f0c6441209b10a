/* io/json: what Python writes, typed readers and their messages, writing, damaged documents. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "io/json.h"

static dk_err err;
static dk_json j;

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    return 0;
}

static int clear(void **state)
{
    (void)state;
    dk_json_free(&j);
    return 0;
}

static int parse(const char *text)
{
    dk_json_free(&j);
    dk_err_init(&err);
    return dk_json_parse(&j, text, strlen(text), "doc.json", &err);
}

/* What a parsed document looks like when written again. */
static void assert_dump(const char *text, bool indent, const char *want)
{
    dk_buf b = {0};
    assert_int_equal(parse(text), 0);
    dk_json_dump(&b, j.root, indent);
    assert_string_equal(dk_buf_str(&b), want);
    dk_buf_free(&b);
}

static double number(const char *key)
{
    double v = 77;
    assert_int_equal(dk_json_f64(dk_json_root(&j), key, -1, &v, &err), 0);
    return v;
}

static void bare_words(void **state)
{
    (void)state;
    assert_int_equal(
        parse("{\"a\": Infinity, \"b\":-Infinity,\"c\":[NaN,1], \"d\": \"NaN, -Infinity\","
              "\"e\\\"Infinity\": 1, \"f\": NaN}"),
        0);
    assert_true(isinf(number("a")) && number("a") > 0);
    assert_true(isinf(number("b")) && number("b") < 0);
    assert_true(isnan(number("f")));
    const char *s;
    assert_int_equal(dk_json_str(dk_json_root(&j), "d", NULL, &s, &err), 0);
    assert_string_equal(s, "NaN, -Infinity");
    assert_true(number("e\"Infinity") == 1);
    assert_int_equal(dk_json_str(dk_json_root(&j), "a", NULL, &s, &err), DK_EFORMAT);
    assert_string_equal(err.msg, "doc.json: a: expected a string, found Infinity");
    assert_dump("[Infinity,-Infinity , NaN,\"Infinity\"]", false,
                "[Infinity,-Infinity,NaN,\"Infinity\"]");
    assert_dump("NaN", false, "NaN");
}

/* No string of a document is ever taken for a word. */
static void words_have_no_doubles(void **state)
{
    dk_buf b = {0};
    const char *s;
    (void)state;
    assert_int_equal(
        parse("{\"a\":\"\\u0001+\",\"b\":Infinity,\"c\":\"\\u0002+\",\"d\":\"\\u007f+\"}"), 0);
    assert_true(isinf(number("b")));
    assert_int_equal(dk_json_str(dk_json_root(&j), "a", NULL, &s, &err), 0);
    assert_string_equal(s, "\x01+");
    assert_int_equal(dk_json_str(dk_json_root(&j), "c", NULL, &s, &err), 0);
    assert_string_equal(s, "\x02+");
    assert_int_equal(parse("\"\xFF+\""), DK_EFORMAT); /* not UTF-8 */
    /* A document that leaves no mark free is refused, not misread. */
    dk_buf_puts(&b, "[Infinity,\"");
    for (int c = 0; c < 32; c++)
        dk_buf_printf(&b, "\\u%04X", c ? c : 1);
    dk_buf_puts(&b, "\"]");
    assert_int_equal(parse(dk_buf_str(&b)), DK_EFORMAT);
    dk_buf_free(&b);
}

static void words_in_wrong_places(void **state)
{
    static const char *const bad[] = {"{NaN:1}",     "[-NaN]",    "[+Infinity]",  "[Infinityx]",
                                      "[1NaN]",      "[NaN NaN]", "[nan]",        "[--Infinity]",
                                      "[Infinity1]", "NaN,",      "{\"a\":NaN:1}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(parse(bad[i]), DK_EFORMAT);
}

static void large_integers(void **state)
{
    int64_t v;
    (void)state;
    assert_int_equal(
        parse("{\"max\": 1000000000000000019884624838656, \"min\":-9223372036854775808,"
              "\"i\":9223372036854775807,\"over\":9223372036854775808,"
              "\"f\":0.12345678901234567890123, \"e\":1e300,\"s\":\"12345678901234567890\"}"),
        0);
    assert_true(number("max") == 1e30);
    assert_true(number("over") == 0x1p63);
    assert_true(number("e") == 1e300);
    assert_int_equal(dk_json_i64(dk_json_root(&j), "i", 0, 0, INT64_MAX, &v, &err), 0);
    assert_true(v == INT64_MAX);
    assert_int_equal(dk_json_i64(dk_json_root(&j), "min", 0, INT64_MIN, 0, &v, &err), 0);
    assert_true(v == INT64_MIN);
    assert_int_equal(dk_json_i64(dk_json_root(&j), "max", 0, 0, INT64_MAX, &v, &err), DK_EFORMAT);
    assert_string_equal(err.msg, "doc.json: max: expected an integer, found 1e+30");
    assert_int_equal(parse("[00000000000000000000001]"), DK_EFORMAT);
    assert_int_equal(parse("[1e999]"), DK_EFORMAT);
}

static void readers(void **state)
{
    int64_t i;
    int n;
    double f;
    bool b;
    const char *s;
    (void)state;
    assert_int_equal(parse("{\"i\":3,\"r\":8.0,\"h\":8.5,\"s\":\"\xC3\xA4\",\"t\":true,\"n\":null,"
                           "\"big\":5000000000}"),
                     0);
    dk_jnode o = dk_json_root(&j);
    assert_int_equal(dk_json_i64(o, "i", 9, 0, 3, &i, &err) | (i != 3), 0);
    assert_int_equal(dk_json_i64(o, "r", 9, 0, 10, &i, &err) | (i != 8), 0);
    assert_int_equal(dk_json_i64(o, "n", 9, 0, 3, &i, &err) | (i != 9), 0);
    assert_int_equal(dk_json_int(o, "absent", -7, 0, 3, &n, &err) | (n != -7), 0);
    assert_int_equal(dk_json_f64(o, "i", 0, &f, &err) | (f != 3.0), 0);
    assert_int_equal(dk_json_bool(o, "t", false, &b, &err) | !b, 0);
    assert_int_equal(dk_json_bool(o, "n", true, &b, &err) | !b, 0);
    assert_int_equal(dk_json_str(o, "s", NULL, &s, &err), 0);
    assert_string_equal(s, "\xC3\xA4");
    assert_int_equal(dk_json_str(o, "absent", NULL, &s, &err), 0);
    assert_null(s);
    assert_true(dk_json_is_null(dk_json_key(o, "n")));
    assert_false(dk_json_is_null(dk_json_key(o, "absent")));
    assert_null(dk_json_key(dk_json_key(o, "i"), "below a number").v);
    assert_null(dk_json_item(o, 0).v);

#define REFUSED(call, message)                                                                     \
    dk_err_init(&err);                                                                             \
    assert_int_equal(call, DK_EFORMAT);                                                            \
    assert_string_equal(err.msg, message)
    REFUSED(dk_json_i64(o, "i", 0, 4, 9, &i, &err),
            "doc.json: i: expected an integer in [4, 9], found 3");
    REFUSED(dk_json_i64(o, "h", 0, 4, 9, &i, &err), "doc.json: h: expected an integer, found 8.5");
    REFUSED(dk_json_int(o, "big", 5, 0, INT32_MAX, &n, &err),
            "doc.json: big: expected an integer in [0, 2147483647], found 5000000000");
    assert_int_equal(n, 5);
    REFUSED(dk_json_f64(o, "t", 0, &f, &err), "doc.json: t: expected a number, found true");
    REFUSED(dk_json_bool(o, "i", 0, &b, &err), "doc.json: i: expected true or false, found 3");
    REFUSED(dk_json_str(o, "i", 0, &s, &err), "doc.json: i: expected a string, found 3");
    REFUSED(dk_json_expected(dk_json_key(dk_json_key(o, "a"), "b"), "x", &err),
            "doc.json: a.b: expected x, found nothing");
}

static void paths_in_messages(void **state)
{
    dk_buf b = {0};
    (void)state;
    assert_int_equal(parse("{\"layers\":[1,{\"bits\":[]}]}"), 0);
    dk_jnode n = dk_json_key(dk_json_item(dk_json_key(dk_json_root(&j), "layers"), 1), "bits");
    assert_string_equal(n.at, "layers[1].bits");
    assert_int_equal(dk_json_expected(n, "a number", &err), DK_EFORMAT);
    assert_string_equal(err.msg, "doc.json: layers[1].bits: expected a number, found an array");
    for (int i = 0; i < 300; i++)
        n = dk_json_key(n, "key");
    assert_memory_equal(n.at, "...", 3);
    assert_string_equal(n.at + strlen(n.at) - 8, ".key.key");
    assert_true(strlen(n.at) < sizeof n.at);
    /* Long strings are cut between characters. */
    dk_buf_puts(&b, "[\"x");
    for (int i = 0; i < 100; i++)
        dk_buf_puts(&b, "\xC3\xA4");
    dk_buf_puts(&b, "\"]");
    assert_int_equal(parse(dk_buf_str(&b)), 0);
    dk_json_expected(dk_json_item(dk_json_root(&j), 0), "a number", &err);
    assert_string_equal(err.msg + strlen(err.msg) - 6, "\xC3\xA4...\"");
    dk_buf_free(&b);
}

static void dump_numbers(void **state)
{
    static const struct {
        double v;
        const char *text;
    } cases[] = {
        {0, "0.0"},
        {-0.0, "-0.0"},
        {1, "1.0"},
        {0.1, "0.1"},
        {1.0 / 3, "0.3333333333333333"},
        {0.1 + 0.2, "0.30000000000000004"},
        {1e15, "1e+15"},
        {123456789, "123456789.0"},
        {5e-324, "5e-324"},
        {1e22, "1e+22"},
        {-2.5e-8, "-2.5e-08"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dk_buf b = {0};
        json_t *v = json_real(cases[i].v);
        dk_json_dump(&b, v, false);
        assert_string_equal(dk_buf_str(&b), cases[i].text);
        assert_int_equal(parse(dk_buf_str(&b)), 0);
        assert_true(json_real_value(j.root) == cases[i].v);
        json_decref(v);
        dk_buf_free(&b);
    }
}

static void dump_layout(void **state)
{
    (void)state;
    assert_dump(
        "{\"b\":[1,2,{\"x\":null}],\"a\":{},\"e\":[],\"s\":\"q\\\" \\\\ \\n\\t\\r\\u0001 \\/\"}",
        false,
        "{\"b\":[1,2,{\"x\":null}],\"a\":{},\"e\":[],\"s\":\"q\\\" \\\\ \\n\\t\\r\\u0001 /\"}");
    assert_dump("{\"b\":[1,true],\"a\":{\"k\":false}}", true,
                "{\n  \"b\": [\n    1,\n    true\n  ],\n  \"a\": {\n    \"k\": false\n  }\n}");
    assert_dump("\"\\ud83d\\ude00\"", false, "\"\xF0\x9F\x98\x80\"");
}

static void damaged(void **state)
{
    static const char *const bad[] = {"",
                                      " ",
                                      "{",
                                      "{\"a\":1,}",
                                      "[1 2]",
                                      "\"a",
                                      "\"\\u00\"",
                                      "{\"a\":1,\"a\":2}",
                                      "[1]x",
                                      "\xEF\xBB\xBF{}",
                                      "\"\\",
                                      "[\"\x01\"]",
                                      "\"\\u0000\"",
                                      "01",
                                      "[\xC3]"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(parse(bad[i]), DK_EFORMAT);
        assert_null(j.root);
        assert_memory_equal(err.msg, "doc.json: line 1, column ", 25);
    }
    dk_err_init(&err);
    assert_int_equal(dk_json_parse(&j, "[1]\0", 4, "doc.json", &err), DK_EFORMAT);
    char *deep = dk_xmalloc(100001);
    memset(deep, '[', 100000);
    deep[100000] = '\0';
    assert_int_equal(parse(deep), DK_EFORMAT);
    free(deep);
    dk_err_init(&err);
    assert_int_equal(dk_json_load(&j, "no/such/file.json", &err), DK_EFAIL);
    dk_json_free(&j);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fresh, clear)
    const struct CMUnitTest tests[] = {
        CASE(bare_words),
        CASE(words_have_no_doubles),
        CASE(words_in_wrong_places),
        CASE(large_integers),
        CASE(readers),
        CASE(paths_in_messages),
        CASE(dump_numbers),
        CASE(dump_layout),
        CASE(damaged),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
