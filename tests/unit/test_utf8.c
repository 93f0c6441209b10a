/* text/utf8: expected values are Python's (str.lower, str.strip, unicodedata.normalize). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "text/utf8.h"

static void check_lower(const char *s, const char *want)
{
    dk_buf b = {0};
    dk_utf8_lower(s, strlen(s), &b);
    assert_string_equal(dk_buf_str(&b), want);
    dk_buf_free(&b);
}

static void lower_maps_all_of_unicode(void **state)
{
    (void)state;
    check_lower("", "");
    check_lower("A RED Heart, 42", "a red heart, 42");
    check_lower("ÀÉÑ ŒŸ ЖЯ ԱՖ Ⅻ Ⓐ", "àéñ œÿ жя աֆ ⅻ ⓐ");
    check_lower("İI", "i̇i");
    check_lower("ẞß", "ßß");
    check_lower("\U00010400\U0001E900", "\U00010428\U0001E922");
}

static void lower_knows_the_final_sigma(void **state)
{
    (void)state;
    check_lower("ΟΔΟΣ", "οδος");
    check_lower("ΟΔΟΣ ΣΑΣ", "οδος σας");
    check_lower("Σ", "σ");
    check_lower(" Σ", " σ");
    check_lower("AΣ.", "aς.");
    check_lower("AΣ.B", "aσ.b");
    check_lower("A'Σ", "a'ς");
    check_lower("AΣ\xCC\x81", "aς\xCC\x81");
    check_lower("1Σ", "1σ");
    check_lower("ΣΣΣ", "σσς");
}

static void lower_keeps_invalid_bytes(void **state)
{
    (void)state;
    check_lower("A\xFF"
                "B\xC3",
                "a\xFF"
                "b\xC3");
}

static void check_strip(const char *s, const char *want)
{
    size_t begin, end;
    dk_utf8_strip(s, strlen(s), &begin, &end);
    assert_int_equal(end - begin, strlen(want));
    assert_memory_equal(s + begin, want, strlen(want));
}

static void strip_removes_unicode_whitespace(void **state)
{
    (void)state;
    check_strip("", "");
    check_strip(" \t\n", "");
    check_strip("  a b \r\n", "a b");
    check_strip("\xC2\xA0\xE3\x80\x80x\xE2\x80\xA9\x1C", "x");
    check_strip("\xE2\x80\x8Bx", "\xE2\x80\x8Bx"); /* a zero-width space is none */
    check_strip(" \xFF ", "\xFF");
}

static void invalid_finds_the_first_bad_byte(void **state)
{
    static const struct {
        const char *s;
        size_t at;
    } cases[] = {{"", 0},
                 {"abc", 3},
                 {"é猫😀\xEF\xBF\xBD", 12},
                 {"a\x80", 1},
                 {"ab\xC3", 2},
                 {"\xC0\xAF", 0},      /* overlong */
                 {"a\xED\xA0\x80", 1}, /* surrogate */
                 {"a\xF4\x90\x80\x80", 1} /* above U+10FFFF */};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(dk_utf8_invalid(cases[i].s, strlen(cases[i].s)), cases[i].at);
}

static void next_and_prev_agree(void **state)
{
    const char *s = "aé猫😀\x80z\xE2\x82";
    size_t len = strlen(s), ends[16], n = 0;
    int32_t cp[16], c;

    (void)state;
    for (size_t at = 0; at < len; n++) {
        at += dk_utf8_next(s + at, len - at, &cp[n]);
        ends[n] = at;
    }
    assert_int_equal(n, 8);
    assert_int_equal(cp[3], 0x1F600);
    assert_int_equal(cp[4], 0xFFFD);
    for (size_t at = len; n-- > 0;) {
        assert_int_equal(at, ends[n]);
        at -= dk_utf8_prev(s, at, &c);
        assert_int_equal(c, cp[n]);
    }
}

static void check_form(dk_normal_form form, const char *s, const char *want)
{
    dk_buf b = {0};
    dk_utf8_normalize(s, strlen(s), form, &b);
    assert_string_equal(dk_buf_str(&b), want);
    dk_buf_free(&b);
}

static void normal_forms(void **state)
{
    (void)state;
    check_form(DK_NFD, "é", "e\xCC\x81");
    check_form(DK_NFC, "e\xCC\x81", "é");
    check_form(DK_NFC, "\xE1\x84\x80\xE1\x85\xA1", "\xEA\xB0\x80"); /* Hangul */
    check_form(DK_NFD, "\xEA\xB0\x81", "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8");
    check_form(DK_NFKC, "ﬁ①½", "fi11⁄2");
    check_form(DK_NFKD, "Ǆ", "DZ\xCC\x8C");
    check_form(DK_NFD, "a\xCC\x81\xCC\xA3", "a\xCC\xA3\xCC\x81"); /* 230, 220 -> 220, 230 */
}

/* Long runs of marks are ordered as short ones are, and in linear time. */
static void long_runs_of_marks_are_ordered(void **state)
{
    enum { N = 200000 };
    dk_buf in = {0}, out = {0};

    (void)state;
    for (int i = 0; i < N; i++)
        dk_buf_puts(&in, "\xCC\x81\xCC\xA3");
    dk_utf8_normalize(in.data, in.len, DK_NFD, &out);
    assert_int_equal(out.len, in.len);
    for (size_t i = 0; i < N; i++) {
        assert_memory_equal(out.data + 2 * i, "\xCC\xA3", 2);
        assert_memory_equal(out.data + 2 * (N + i), "\xCC\x81", 2);
    }
    dk_buf_free(&in);
    dk_buf_free(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lower_maps_all_of_unicode),
        cmocka_unit_test(lower_knows_the_final_sigma),
        cmocka_unit_test(lower_keeps_invalid_bytes),
        cmocka_unit_test(strip_removes_unicode_whitespace),
        cmocka_unit_test(invalid_finds_the_first_bad_byte),
        cmocka_unit_test(next_and_prev_agree),
        cmocka_unit_test(normal_forms),
        cmocka_unit_test(long_runs_of_marks_are_ordered),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
