/* io/png: what is written comes back, foreign kinds of PNG, damaged files, text chunks. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "io/png.h"
#include "unit/support.h"

#define CORPUS "tests/fuzz/corpus/png/"

TS_SCRATCH("png")

static void round_trip(void **state)
{
    static const int sizes[][2] = {{1, 1}, {7, 3}, {300, 2}, {64, 64}};
    char *path = dk_path_join(dir, "trip.png");
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
        int w = sizes[k][0], h = sizes[k][1];
        size_t n = (size_t)w * (size_t)h * 3;
        uint8_t *rgb = dk_xmalloc(n);
        dk_png p;
        for (size_t i = 0; i < n; i++)
            rgb[i] = (uint8_t)(i * 7 + i / 5);
        ts_ok(dk_png_save(path, rgb, w, h, NULL, 0, true, &err), &err);
        ts_ok(dk_png_load(&p, path, &err), &err);
        assert_int_equal(p.w, w);
        assert_int_equal(p.h, h);
        assert_memory_equal(p.rgb, rgb, n);
        assert_int_equal(p.n_text, 0);
        dk_png_free(&p);
        free(rgb);
    }
    free(path);
}

static char *contents(const char *path, size_t *len)
{
    char *data;
    ts_ok(dk_read_file(path, 1 << 24, &data, len, &err), &err);
    return data;
}

static bool holds(const char *data, size_t len, const char *word)
{
    size_t n = strlen(word);
    for (size_t i = 0; i + n <= len; i++)
        if (memcmp(data + i, word, n) == 0)
            return true;
    return false;
}

static void texts_round_trip(void **state)
{
    static const uint8_t rgb[6] = {1, 2, 3, 4, 5, 6};
    char *path = dk_path_join(dir, "text.png"), *big = dk_xmalloc(2000001), *data;
    size_t len;
    dk_png p;
    (void)state;
    memset(big, 'x', 2000000);
    big[2000000] = '\0';
    const dk_png_text text[] = {{"plain", "red apple"},
                                {"latin", "caf\xC3\xA9 \xC2\xB5"},
                                {"control", "a\xC2\x85z"}, /* U+0085: no Latin-1 of PNG's */
                                {"wide", "\xE7\x8C\xAB and \xC3\xA9"},
                                {"empty", ""},
                                {"big", big}};
    enum { N = sizeof text / sizeof text[0] };
    ts_ok(dk_png_save(path, rgb, 2, 1, text, N, true, &err), &err);
    ts_ok(dk_png_load(&p, path, &err), &err);
    assert_int_equal(p.n_text, N);
    for (int i = 0; i < N; i++)
        assert_string_equal(dk_png_get_text(&p, text[i].key), text[i].value);
    assert_null(dk_png_get_text(&p, "absent"));
    dk_png_free(&p);
    data = contents(path, &len);
    assert_true(holds(data, len, "tEXtlatin") && holds(data, len, "iTXtcontrol") &&
                holds(data, len, "iTXtwide") && holds(data, len, "caf\xE9"));
    assert_false(holds(data, len, "tIME") || holds(data, len, "gAMA") || holds(data, len, "pHYs"));
    free(data);
    free(path);
    free(big);
}

static void equal_pictures_are_equal_bytes(void **state)
{
    static const uint8_t rgb[300] = {9, 8, 7};
    const dk_png_text text[] = {{"k", "v"}};
    char *a = dk_path_join(dir, "a.png"), *b = dk_path_join(dir, "b.png");
    size_t na, nb;
    (void)state;
    ts_ok(dk_png_save(a, rgb, 10, 10, text, 1, false, &err), &err);
    ts_ok(dk_png_save(b, rgb, 10, 10, text, 1, false, &err), &err);
    char *da = contents(a, &na), *db = contents(b, &nb);
    assert_int_equal(na, nb);
    assert_memory_equal(da, db, na);
    assert_int_equal(dk_png_save(a, rgb, 10, 10, text, 1, false, &err), DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_png_save("no/such/dir.png", rgb, 1, 1, NULL, 0, false, &err), DK_EFAIL);
    dk_err_init(&err);
    if (dk_exists("/dev/full"))
        assert_int_equal(dk_png_save("/dev/full", rgb, 1, 1, NULL, 0, false, &err), DK_EFAIL);
    dk_err_init(&err);
    /* A picture without pixels is refused and leaves nothing behind. */
    char *none = dk_path_join(dir, "none.png");
    assert_int_equal(dk_png_save(none, rgb, 0, 5, NULL, 0, false, &err), DK_EFAIL);
    assert_false(dk_exists(none));
    free(da);
    free(db);
    free(a);
    free(b);
    free(none);
}

/* The pixels that scripts/dev/make_png_corpus.py put into its 5 x 3 pictures. */
enum pixels { RGB, CHECKS, GREY4, GREY8, PALETTE };

static void pixel(enum pixels kind, int x, int y, uint8_t out[3])
{
    int grey = kind == CHECKS ? (x + y) % 2 * 255 : kind == GREY4 ? (3 * x + y) * 17 : 50 * x + y;
    int index = (x + y) % 4;

    if (kind == RGB) {
        out[0] = (uint8_t)(40 * x);
        out[1] = (uint8_t)(80 * y);
        out[2] = 200;
    } else if (kind == PALETTE) {
        out[0] = (uint8_t)(60 * index);
        out[1] = (uint8_t)(255 - 60 * index);
        out[2] = (uint8_t)index;
    } else {
        memset(out, grey, 3);
    }
}

static void foreign_kinds(void **state)
{
    static const struct {
        const char *name;
        enum pixels kind;
    } files[] = {{"rgb8", RGB},         {"rgb16", RGB},
                 {"rgba8", RGB},        {"rgba16", RGB},
                 {"rgb8-key", RGB},     {"rgb8-adam7", RGB},
                 {"grey1", CHECKS},     {"grey1-adam7", CHECKS},
                 {"grey4", GREY4},      {"grey8", GREY8},
                 {"grey16", GREY8},     {"greya8", GREY8},
                 {"palette2", PALETTE}, {"palette8-alpha", PALETTE},
                 {"texts", RGB},        {"extra-rows", RGB},
                 {"behind-end", RGB},   {"text-no-key", RGB}};
    (void)state;
    for (size_t k = 0; k < sizeof files / sizeof files[0]; k++) {
        char *path = dk_xasprintf(CORPUS "good-%s", files[k].name);
        uint8_t want[3];
        dk_png p;
        ts_ok(dk_png_load(&p, path, &err), &err);
        assert_int_equal(p.w, 5);
        assert_int_equal(p.h, 3);
        for (int i = 0; i < 15; i++) {
            pixel(files[k].kind, i % 5, i / 5, want);
            assert_memory_equal(p.rgb + 3 * i, want, 3);
        }
        dk_png_free(&p);
        free(path);
    }
}

static void foreign_texts(void **state)
{
    char long_text[3001] = "";
    dk_png p;
    (void)state;
    ts_ok(dk_png_load(&p, CORPUS "good-texts", &err), &err);
    assert_string_equal(dk_png_get_text(&p, "Title"), "caf\xC3\xA9");
    assert_string_equal(dk_png_get_text(&p, "Prompt"), "\xE7\x8C\xAB \xC3\xA9");
    for (int i = 0; i < 3000; i++)
        long_text[i] = (char)('a' + i % 3);
    assert_string_equal(dk_png_get_text(&p, "Long"), long_text);
    /* Not the UTF-8 it says it is: read as Latin-1. */
    assert_string_equal(dk_png_get_text(&p, "Bad"), "\xC3\xBF\xC3\xA9");
    dk_png_free(&p);
}

static void damaged_files(void **state)
{
    static const char *const names[] = {
        "empty",      "signature", "jpeg",    "no-header",  "no-data",   "no-palette", "cut-header",
        "cut-data",   "cut-end",   "flipped", "crc",        "filter",    "depth",      "colour",
        "zero-width", "too-wide",  "giant",   "short-rows", "huge-chunk"};
    dk_png p;
    (void)state;
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
        char *path = dk_xasprintf(CORPUS "bad-%s", names[k]);
        assert_int_equal(dk_png_load(&p, path, &err), DK_EFORMAT);
        ts_failed(&err, DK_EFORMAT, path);
        assert_null(p.rgb);
        dk_png_free(&p);
        free(path);
    }
    assert_int_equal(dk_png_load(&p, "no/such.png", &err), DK_EFAIL);
}

/* Every prefix and every flipped byte of a file with everything in it. */
static void every_cut_and_flip(void **state)
{
    size_t len;
    char *data = contents(CORPUS "good-texts", &len);
    dk_png p;
    (void)state;
    for (size_t n = 0; n < len; n++) {
        dk_err_init(&err);
        assert_int_equal(dk_png_load_mem(&p, data, n, "cut", &err), DK_EFORMAT);
        dk_png_free(&p);
    }
    for (size_t i = 0; i < len; i++) {
        dk_err_init(&err);
        data[i] ^= 0x55;
        int rc = dk_png_load_mem(&p, data, len, "flip", &err);
        assert_true(rc == 0 || rc == DK_EFORMAT);
        dk_png_free(&p);
        data[i] ^= 0x55;
    }
    free(data);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup(f, fresh)
    const struct CMUnitTest tests[] = {
        CASE(round_trip),         CASE(texts_round_trip), CASE(equal_pictures_are_equal_bytes),
        CASE(foreign_kinds),      CASE(foreign_texts),    CASE(damaged_files),
        CASE(every_cut_and_flip),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
