/* Unigram tokenizers: spiece.model and tokenizer.json against the recorded outputs of the published
 * libraries, small models made here, and broken ones. Run from the repository root. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support.h"

#include "base/fs.h"
#include "base/mem.h"
#include "text/spiece.pb-c.h"
#include "text/tokenizer.h"

#define EMOJI  "models/emoji/tokenizer"
#define GOLDEN "tests/data/tokenizer/"

static char *read_all(const char *path, size_t *len)
{
    dk_err err;
    char *data;
    dk_err_init(&err);
    ts_ok(dk_read_file(path, (size_t)64 << 20, &data, len, &err), &err);
    return data;
}

static dk_tokenizer *open_emoji(void)
{
    dk_err err;
    dk_err_init(&err);
    dk_tokenizer *t = dk_tokenizer_open(EMOJI, "tokenizer", &err);
    ts_ok(t ? 0 : err.code, &err);
    return t;
}

static dk_tokenizer *open_json(const char *json)
{
    dk_err err;
    dk_err_init(&err);
    dk_tokenizer *t = dk_tokenizer_from_json(json, strlen(json), "t/tokenizer.json", &err);
    ts_ok(t ? 0 : err.code, &err);
    return t;
}

/* "id:piece id:piece ..." of a text. */
static void check(const dk_tokenizer *t, const char *s, const char *want)
{
    dk_tokens out = {0};
    dk_buf got = {0};
    dk_err err;

    dk_err_init(&err);
    ts_ok(dk_tokenizer_encode(t, s, strlen(s), &out, &err), &err);
    for (size_t i = 0; i < out.n; i++)
        dk_buf_printf(&got, "%s%d:%s", i ? " " : "", (int)out.tok[i].id, dk_token_piece(&out, i));
    assert_string_equal(dk_buf_str(&got), want);
    dk_buf_free(&got);
    dk_tokens_free(&out);
}

/* ---- Recorded outputs. */

static void check_ids(const char *text, const dk_tokens *got, const json_t *want)
{
    bool same = got->n == json_array_size(want);
    for (size_t i = 0; same && i < got->n; i++)
        same = got->tok[i].id == json_integer_value(json_array_get(want, i));
    if (!same)
        fail_msg("\"%s\": other ids than recorded", text);
}

/* The recorded pieces show "<unk>" for an unknown run; ours show its characters, so that all pieces
 * together are the normalised text. */
static void check_pieces(const json_t *line, const dk_tokens *got)
{
    const json_t *pieces = json_object_get(line, "pieces");
    dk_buf all = {0};

    for (size_t i = 0; i < got->n; i++) {
        dk_buf_add(&all, dk_token_piece(got, i), got->tok[i].piece_len);
        if (got->tok[i].id != 2)
            assert_string_equal(dk_token_piece(got, i),
                                json_string_value(json_array_get(pieces, i)));
    }
    const json_t *normalized = json_object_get(line, "normalized");
    assert_int_equal(all.len, json_string_length(normalized));
    assert_memory_equal(dk_buf_str(&all), json_string_value(normalized), all.len);
    dk_buf_free(&all);
}

static bool is_special(const char *s)
{
    return strcmp(s, "</s>") == 0 || strcmp(s, "<pad>") == 0 || strcmp(s, "<unk>") == 0;
}

static void recorded_lines(void **state)
{
    size_t len, json_len, n = 0;
    char *json = read_all(GOLDEN "tokenizer.json", &json_len);
    char *lines = read_all(GOLDEN "unigram.jsonl", &len), *line = lines;
    dk_tokenizer *spiece = open_emoji();
    dk_err err;

    (void)state;
    dk_err_init(&err);
    dk_tokenizer *fast = dk_tokenizer_from_json(json, json_len, "tokenizer.json", &err);
    ts_ok(fast ? 0 : err.code, &err);
    for (; *line; n++) {
        size_t size = strcspn(line, "\n");
        json_t *o = json_loadb(line, size, JSON_ALLOW_NUL, NULL);
        const char *text = json_string_value(json_object_get(o, "text"));
        size_t text_len = json_string_length(json_object_get(o, "text"));
        json_t *ids = json_object_get(o, "ids"),
               *fast_ids = json_object_get(o, "tokenizer_json_ids");
        dk_tokens out = {0};

        assert_non_null(text);
        ts_ok(dk_tokenizer_encode(spiece, text, text_len, &out, &err), &err);
        check_ids(text, &out, is_special(text) ? fast_ids : ids);
        if (!is_special(text))
            check_pieces(o, &out);
        dk_tokens_clear(&out);
        ts_ok(dk_tokenizer_encode(fast, text, text_len, &out, &err), &err);
        check_ids(text, &out, fast_ids ? fast_ids : ids);
        dk_tokens_free(&out);
        json_decref(o);
        line += size + (line[size] == '\n');
    }
    assert_int_equal(n, 822);
    dk_tokenizer_free(fast);
    dk_tokenizer_free(spiece);
    free(lines);
    free(json);
}

/* ---- Prompts and special tokens. */

static void prompts_end_with_eos(void **state)
{
    dk_tokenizer *t = open_emoji();
    dk_tokens out = {0};
    size_t cut;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    assert_string_equal(dk_tokenizer_kind(t), "unigram (spiece.model)");
    assert_int_equal(dk_tokenizer_size(t), 1500);
    assert_int_equal(dk_tokenizer_pad(t), 0);
    assert_int_equal(dk_tokenizer_eos(t), 1);
    ts_ok(dk_tokenizer_prompt(t, "", 0, 120, &out, &cut, &err), &err);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.tok[0].id, 1);
    assert_string_equal(dk_token_piece(&out, 0), "</s>");
    dk_tokens_clear(&out);
    ts_ok(dk_tokenizer_prompt(t, "a b c d e f g h", 15, 4, &out, &cut, &err), &err);
    assert_int_equal(out.n, 4);
    assert_int_equal(cut, 10);
    assert_int_equal(out.tok[0].id, 87);
    assert_int_equal(out.tok[3].id, 1);
    assert_string_equal(dk_token_piece(&out, 3), "</s>");
    dk_tokens_clear(&out);
    ts_ok(dk_tokenizer_prompt(t, "a b", 3, 1, &out, &cut, &err), &err);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.tok[0].id, 1);
    dk_tokens_clear(&out);
    assert_int_equal(dk_tokenizer_prompt(t, "a", 1, 0, &out, &cut, &err), DK_EUSAGE);
    dk_tokens_free(&out);
    dk_tokenizer_free(t);
}

static void special_tokens_split_the_text(void **state)
{
    dk_tokenizer *t = open_emoji();

    (void)state;
    check(t, "a red</s>heart", "87:▁a 43:▁red 1:</s> 27:▁heart");
    check(t, "a red </s> heart", "87:▁a 43:▁red 1:</s> 27:▁heart");
    check(t, "a<unk>b<pad>", "87:▁a 2:<unk> 75:▁b 0:<pad>");
    check(t, "<extra_id_0>", "4:▁ 2:< 624:ext 18:r 22:a 2:_ 19:i 17:d 2:_ 1485:0 2:>");
    dk_tokenizer_free(t);
}

static char *emoji_copy(void)
{
    char *dir = ts_dir("tokenizer"), *path = dk_path_join(dir, "spiece.model");
    size_t len;
    char *data = read_all(EMOJI "/spiece.model", &len);
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    free(data);
    free(path);
    return dir;
}

static dk_tokenizer *open_dir(const char *dir)
{
    dk_err err;
    dk_err_init(&err);
    dk_tokenizer *t = dk_tokenizer_open(dir, "tokenizer", &err);
    ts_ok(t ? 0 : err.code, &err);
    return t;
}

/* As T5Tokenizer of transformers 5.24 numbers them. */
static void extra_ids_follow_the_pieces(void **state)
{
    char *dir = emoji_copy();
    dk_tokenizer *t;

    (void)state;
    ts_write_text(dir, "tokenizer_config.json", "{\"tokenizer_class\": \"T5Tokenizer\"}");
    t = open_dir(dir);
    assert_int_equal(dk_tokenizer_size(t), 1600);
    check(t, "<extra_id_3>x <extra_id_99> <extra_id_100>",
          "1596:<extra_id_3> 4:▁ 1489:x 1500:<extra_id_99> 4:▁ 2:< 624:ext 18:r 22:a 2:_ 19:i 17:d "
          "2:_ 1450:1 1485:0 1485:0 2:>");
    dk_tokenizer_free(t);

    ts_write_text(dir, "tokenizer_config.json",
                  "{\"extra_ids\": 2, \"eos_token\": {\"content\": \"<pad>\"},"
                  " \"added_tokens_decoder\": {\"1501\": {\"content\": \"<extra_id_0>\","
                  " \"lstrip\": true, \"rstrip\": true, \"normalized\": false}}}");
    ts_write_text(dir, "added_tokens.json", "{\"<extra_id_1>\": 1500, \"<new>\": 1502}");
    t = open_dir(dir);
    assert_int_equal(dk_tokenizer_size(t), 1503);
    assert_int_equal(dk_tokenizer_eos(t), 0);
    check(t, "red <extra_id_0> a<new><extra_id_1>",
          "43:▁red 1501: <extra_id_0>  87:▁a 1502:<new> 1500:<extra_id_1>");
    dk_tokenizer_free(t);
    free(dir);
}

static void broken_companions_are_named(void **state)
{
    static const struct {
        const char *file, *text, *part;
    } cases[] = {
        {"tokenizer_config.json", "[]", "tokenizer/tokenizer_config.json"},
        {"tokenizer_config.json", "{", "tokenizer/tokenizer_config.json"},
        {"tokenizer_config.json", "{\"extra_ids\": -1}", "extra_ids"},
        {"tokenizer_config.json", "{\"eos_token\": 5}", "eos_token"},
        {"tokenizer_config.json", "{\"eos_token\": \"<none>\"}", "<none>"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"x\": {\"content\": \"a\"}}}",
         "\"x\""},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"5\": {}}}",
         "added_tokens_decoder.5"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"5\": {\"content\": \"new\"}}}",
         "id 5"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\": {\"5\": {\"content\": \"<pad>\"}}}",
         "<pad>"},
        {"added_tokens.json", "{\"x\": \"y\"}", "added_tokens.json"},
        {"added_tokens.json", "{\"new\": 99999999999}", "99999999999"},
        {"special_tokens_map.json", "{\"pad_token\": {}}", "pad_token"},
    };
    dk_err err;

    (void)state;
    dk_err_init(&err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *dir = emoji_copy();
        ts_write_text(dir, cases[i].file, cases[i].text);
        assert_null(dk_tokenizer_open(dir, "tokenizer", &err));
        ts_failed(&err, DK_EFORMAT, cases[i].part);
        free(dir);
    }
    char *empty = ts_dir("tokenizer");
    assert_null(dk_tokenizer_open(empty, "tokenizer", &err));
    ts_failed(&err, DK_EFORMAT, "tokenizer: no tokenizer");
    free(empty);
}

/* ---- Small spiece models. */

typedef struct maker {
    Dk__Spiece__Model m;
    Dk__Spiece__TrainerSpec trainer;
    Dk__Spiece__NormalizerSpec normalizer;
    Dk__Spiece__Piece piece[300];
    Dk__Spiece__Piece *list[300];
} maker;

static Dk__Spiece__Piece *put(maker *k, const char *text, float score, int type)
{
    Dk__Spiece__Piece *p = &k->piece[k->m.n_pieces];

    dk__spiece__piece__init(p);
    p->has_piece = p->has_score = p->has_type = 1;
    p->piece.data = (uint8_t *)text;
    p->piece.len = strlen(text);
    p->score = score;
    p->type = type;
    k->list[k->m.n_pieces++] = p;
    return p;
}

/* <pad> 0, </s> 1, <unk> 2. */
static void begin(maker *k)
{
    dk__spiece__model__init(&k->m);
    dk__spiece__trainer_spec__init(&k->trainer);
    dk__spiece__normalizer_spec__init(&k->normalizer);
    k->m.pieces = k->list;
    k->m.trainer_spec = &k->trainer;
    k->m.normalizer_spec = &k->normalizer;
    put(k, "<pad>", 0, 3);
    put(k, "</s>", 0, 3);
    put(k, "<unk>", 0, 2);
}

static dk_tokenizer *try_make(const maker *k, dk_err *err)
{
    size_t len = dk__spiece__model__get_packed_size(&k->m);
    uint8_t *data = dk_xmalloc(len);

    dk__spiece__model__pack(&k->m, data);
    dk_tokenizer *t = dk_tokenizer_from_spiece(data, len, "t/spiece.model", err);
    free(data);
    return t;
}

static dk_tokenizer *make(const maker *k)
{
    dk_err err;
    dk_err_init(&err);
    dk_tokenizer *t = try_make(k, &err);
    ts_ok(t ? 0 : err.code, &err);
    return t;
}

static void put_abc(maker *k)
{
    put(k, "▁", -2, 1);
    put(k, "a", -3, 1);
    put(k, "b", -3, 1);
    put(k, "ab", -4, 1);
    put(k, "▁a", -6, 1);
}

static void best_path_and_unknown_runs(void **state)
{
    maker k;
    begin(&k);
    put_abc(&k); /* 3..7 */
    dk_tokenizer *t = make(&k);

    (void)state;
    check(t, "ab", "3:▁ 6:ab");
    check(t, "a", "3:▁ 4:a");
    check(t, "xyab猫é", "3:▁ 2:xy 6:ab 2:猫é");
    check(t, "  b \t", "3:▁ 5:b 3:▁ 2:\t"); /* without a map a tab is no space */
    check(t, "", "");
    check(t, "   ", "");
    check(t,
          "a\xFF\xE2\x82"
          "b",
          "3:▁ 4:a 2:���"
          " 5:b");
    dk_tokenizer_free(t);
}

/* Equal scores: the path found first stays, so the earlier piece is the shorter one. */
static void ties_keep_the_first_path(void **state)
{
    maker k;
    begin(&k);
    put(&k, "▁", -1, 1);
    put(&k, "b", -1, 1);
    put(&k, "bb", -1, 1);
    dk_tokenizer *t = make(&k);

    (void)state;
    check(t, "bbb", "3:▁ 4:b 5:bb");
    dk_tokenizer_free(t);
}

static void user_defined_and_unused(void **state)
{
    maker k;
    begin(&k);
    put_abc(&k);
    put(&k, "b ", -50, 4);
    put(&k, "aab", -50, 4);
    put(&k, "bab", 0, 5);
    dk_tokenizer *t = make(&k);

    (void)state;
    check(t, "aabb", "3:▁ 9:aab 5:b");
    check(t, "bab", "3:▁ 5:b 6:ab");
    dk_tokenizer_free(t);
}

static void byte_fallback(void **state)
{
    char text[256][8];
    maker k;

    (void)state;
    begin(&k);
    put(&k, "▁", -1, 1);
    k.trainer.has_byte_fallback = k.trainer.byte_fallback = 1;
    for (int i = 0; i < 256; i++) {
        snprintf(text[i], sizeof text[i], "<0x%02X>", (unsigned)i);
        put(&k, text[i], 0, 6);
    }
    dk_tokenizer *t = make(&k);
    check(t, "aé", "3:▁ 101:<0x61> 199:<0xC3> 173:<0xA9>");
    dk_tokenizer_free(t);

    dk_err err;
    dk_err_init(&err);
    k.m.n_pieces--;
    assert_null(try_make(&k, &err));
    ts_failed(&err, DK_EFORMAT, "<0xFF>");
}

static void whitespace_settings(void **state)
{
    maker k;
    dk_tokenizer *t;

    (void)state;
    begin(&k);
    put_abc(&k);
    k.normalizer.has_add_dummy_prefix = 1;
    k.normalizer.add_dummy_prefix = 0;
    t = make(&k);
    check(t, " a  b ", "4:a 3:▁ 5:b");
    dk_tokenizer_free(t);
    k.normalizer.has_remove_extra_whitespaces = 1;
    k.normalizer.remove_extra_whitespaces = 0;
    t = make(&k);
    check(t, " a  b ", "3:▁ 4:a 3:▁ 3:▁ 5:b 3:▁");
    dk_tokenizer_free(t);
    k.normalizer.add_dummy_prefix = 1;
    k.normalizer.remove_extra_whitespaces = 1;
    k.trainer.has_treat_whitespace_as_suffix = k.trainer.treat_whitespace_as_suffix = 1;
    t = make(&k);
    check(t, " a  b ", "4:a 3:▁ 5:b 3:▁");
    dk_tokenizer_free(t);
    k.normalizer.has_escape_whitespaces = 1;
    k.normalizer.escape_whitespaces = 0;
    t = make(&k);
    check(t, "a b", "4:a 2:  5:b 2: ");
    dk_tokenizer_free(t);
}

/* ---- A character map by hand: "A" -> "a", "Ab" -> "b", TAB -> " ". */

enum { UNITS = 1024 };

static void put_unit(uint8_t *blob, size_t at, uint32_t unit)
{
    for (int i = 0; i < 4; i++)
        blob[4 + 4 * at + i] = (uint8_t)(unit >> (8 * i));
}

static uint32_t inner(uint32_t label, bool leaf, uint32_t offset)
{
    return label | (leaf ? 0x100u : 0) | offset << 10;
}

static size_t make_map(uint8_t blob[4 + 4 * UNITS + 6])
{
    memset(blob, 0, 4 + 4 * UNITS + 6);
    blob[1] = 4 * UNITS >> 8;
    put_unit(blob, 0, inner(0, false, 256));
    put_unit(blob, 256 ^ 'A', inner('A', true, 512)); /* children at (256^'A')^512 */
    put_unit(blob, 256 ^ 'A' ^ 512, 0x80000000u);     /* "A": pool 0 */
    put_unit(blob, 256 ^ 'A' ^ 512 ^ 'b', inner('b', true, 3));
    put_unit(blob, 256 ^ 'A' ^ 512 ^ 'b' ^ 3, 0x80000002u); /* "Ab": pool 2 */
    put_unit(blob, 256 ^ '\t', inner('\t', true, 512));
    put_unit(blob, 256 ^ '\t' ^ 512, 0x80000004u); /* TAB: pool 4 */
    memcpy(blob + 4 + 4 * UNITS, "a\0b\0 \0", 6);
    return 4 + 4 * UNITS + 6;
}

static void character_map(void **state)
{
    uint8_t blob[4 + 4 * UNITS + 6];
    maker k;

    (void)state;
    begin(&k);
    put_abc(&k);
    k.normalizer.has_precompiled_charsmap = 1;
    k.normalizer.precompiled_charsmap.data = blob;
    k.normalizer.precompiled_charsmap.len = make_map(blob);
    dk_tokenizer *t = make(&k);
    check(t, "A", "3:▁ 4:a");
    check(t, "AbA", "3:▁ 5:b 4:a"); /* the longest rule */
    check(t, "\t\tAb\t b \t", "3:▁ 5:b 3:▁ 5:b");
    check(t, "AA\t", "3:▁ 4:a 4:a");
    dk_tokenizer_free(t);
}

static void broken_maps_do_no_harm(void **state)
{
    uint8_t good[4 + 4 * UNITS + 6], blob[sizeof good];
    uint32_t x = 1;
    maker k;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    begin(&k);
    put_abc(&k);
    make_map(good);
    k.normalizer.has_precompiled_charsmap = 1;
    k.normalizer.precompiled_charsmap.data = blob;
    static const size_t lengths[] = {1, 4, 5, 100, 4 + 4 * UNITS};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        memcpy(blob, good, sizeof blob);
        k.normalizer.precompiled_charsmap.len = lengths[i];
        assert_null(try_make(&k, &err));
        ts_failed(&err, DK_EFORMAT, "precompiled_charsmap");
    }
    /* Random units and values that point nowhere. */
    for (int round = 0; round < 300; round++) {
        dk_tokens out = {0};
        memcpy(blob, good, sizeof blob);
        for (size_t i = 4; i < sizeof blob; i++) {
            x = x * 1664525u + 1013904223u;
            if (x >> 24 < 40)
                blob[i] = (uint8_t)(x >> 16);
        }
        k.normalizer.precompiled_charsmap.len = sizeof blob;
        dk_tokenizer *t = try_make(&k, &err);
        assert_non_null(t);
        (void)dk_tokenizer_encode(t, "AbA\tabcxyz\xC3\xA9 ", 12, &out, &err);
        dk_err_init(&err);
        dk_tokens_free(&out);
        dk_tokenizer_free(t);
    }
}

/* ---- Broken spiece models. */

static void broken_models_are_named(void **state)
{
    maker k;
    dk_err err;

    (void)state;
    dk_err_init(&err);
#define REFUSED(code, part)                                                                        \
    do {                                                                                           \
        assert_null(try_make(&k, &err));                                                           \
        ts_failed(&err, code, part);                                                               \
    } while (0)
    begin(&k), put(&k, "a", NAN, 1);
    REFUSED(DK_EFORMAT, "t/spiece.model: piece 3");
    begin(&k), put(&k, "a", -INFINITY, 1);
    REFUSED(DK_EFORMAT, "piece 3");
    begin(&k), put(&k, "", 0, 1);
    REFUSED(DK_EFORMAT, "piece 3 is empty");
    begin(&k), put(&k, "a", 0, 1)->has_piece = 0;
    REFUSED(DK_EFORMAT, "piece 3 is empty");
    begin(&k), put(&k, "a", 0, 9);
    REFUSED(DK_EFORMAT, "found 9");
    begin(&k), put(&k, "a", 0, 1), put(&k, "b", 0, 1), put(&k, "a", 0, 5);
    REFUSED(DK_EFORMAT, "pieces 3 and 5");
    begin(&k), put(&k, "</s>", 0, 3);
    REFUSED(DK_EFORMAT, "pieces 1 and 3");
    begin(&k), put(&k, "u", 0, 2);
    REFUSED(DK_EFORMAT, "pieces 2 and 3");
    begin(&k), put(&k, "<0x00>", 0, 6);
    REFUSED(DK_EFORMAT, "byte_fallback");
    begin(&k), put(&k, "a", 0, 1), k.piece[2].type = 1;
    REFUSED(DK_EFORMAT, "UNKNOWN");
    begin(&k), put(&k, "a", 0, 1), k.piece[1].piece.len = 3;
    REFUSED(DK_EFORMAT, "</s>");
    begin(&k), k.m.n_pieces = 0;
    REFUSED(DK_EFORMAT, "pieces");
    begin(&k), k.trainer.has_model_type = 1, k.trainer.model_type = 2;
    REFUSED(DK_EUNSUPPORTED, "BPE");
#undef REFUSED
    char *longest = dk_xmalloc(5001);
    memset(longest, 'a', 5000);
    longest[5000] = '\0';
    begin(&k), put(&k, longest, -1, 1);
    assert_null(try_make(&k, &err));
    ts_failed(&err, DK_EUNSUPPORTED, "piece 3 is 5000 bytes long");
    free(longest);
    assert_null(dk_tokenizer_from_spiece("\x0A\xFF\xFF\xFF\xFF\x0F", 6, "t/spiece.model", &err));
    ts_failed(&err, DK_EFORMAT, "t/spiece.model: not a SentencePiece model");
    /* Two-byte pieces by the hundred thousand: the memory of the parser is bounded. */
    char *many = dk_xmalloc(200000);
    for (size_t i = 0; i < 200000; i++)
        many[i] = i % 2 ? 0 : 0x0A;
    assert_null(dk_tokenizer_from_spiece(many, 200000, "t/spiece.model", &err));
    ts_failed(&err, DK_EFORMAT, "t/spiece.model");
    free(many);
}

/* ---- tokenizer.json. */

#define UNIGRAM(vocab) "\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"vocab\":[" vocab "]}}"
#define ABC                                                                                        \
    UNIGRAM("[\"<unk>\",0],[\"a\",-1],[\"b\",-1],[\"▁\",-1],[\"▁a\",-1.5],[\"ab\",-1.5]")
#define METASPACE      "\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"▁\""

/* The example of the tokenizers library's documentation. */
static void documentation_example(void **state)
{
    dk_tokenizer *t =
        open_json("{" UNIGRAM("[\"<unk>\",0.0],[\"a\",0.0],[\"b\",0.0],[\"c\",0.0],[\"d\",0.0],"
                              "[\"cd\",1.0],[\"ab\",2.0],[\"abc\",5.0],[\"abcd\",10.0]"));
    (void)state;
    assert_string_equal(dk_tokenizer_kind(t), "unigram (tokenizer.json)");
    assert_int_equal(dk_tokenizer_size(t), 9);
    assert_int_equal(dk_tokenizer_eos(t), -1);
    check(t, "abcdacdxx", "8:abcd 1:a 5:cd 0:xx");
    dk_tokenizer_free(t);
}

static void metaspace_schemes(void **state)
{
    static const struct {
        const char *json, *text, *want;
    } cases[] = {
        {"{" METASPACE "}," ABC, "a ab", "4:▁a 3:▁ 5:ab"},
        {"{" METASPACE ",\"split\":false}," ABC, "a  a", "4:▁a 3:▁ 4:▁a"},
        {"{" METASPACE ",\"prepend_scheme\":\"never\"}," ABC, "a a", "1:a 4:▁a"},
        {"{" METASPACE ",\"add_prefix_space\":false}," ABC, "a a", "1:a 4:▁a"},
        {"{\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
         "\"WhitespaceSplit\"},"
         "{\"type\":\"Metaspace\",\"replacement\":\"▁\",\"prepend_scheme\":\"first\"}]}," ABC,
         "a a\tb", "4:▁a 1:a 2:b"},
        {"{\"pre_tokenizer\":null," ABC, "a a", "1:a 0:  1:a"},
        {"{" METASPACE "}," ABC, "x x", "3:▁ 0:x 3:▁ 0:x"},
        {"{" METASPACE "}," ABC, "", ""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        dk_tokenizer *t = open_json(cases[i].json);
        check(t, cases[i].text, cases[i].want);
        dk_tokenizer_free(t);
    }
}

static void normalisers(void **state)
{
    static const struct {
        const char *normalizer, *text, *want;
    } cases[] = {
        {"{\"type\":\"Lowercase\"}", "ABA", "5:ab 1:a"},
        {"{\"type\":\"NFKC\"}", "ⓐⓑ", "5:ab"},
        {"{\"type\":\"Strip\",\"strip_left\":true,\"strip_right\":false}", " a ", "1:a 0: "},
        {"{\"type\":\"Replace\",\"pattern\":{\"String\":\"xy\"},\"content\":\"a\"}", "xyxxy",
         "1:a 0:x 1:a"},
        {"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\" {2,}\"},\"content\":\"▁\"}", "   b b",
         "3:▁ 2:b 0:  2:b"},
        {"{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\s+\"},\"content\":\"▁\"}", "\t \nb",
         "3:▁ 2:b"},
        {"{\"type\":\"Prepend\",\"prepend\":\"▁\"}", "a", "4:▁a"},
        {"{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFD\"},{\"type\":\"StripAccents\"}]}",
         "áb", "5:ab"},
        {"{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"\"}", "ab", "5:ab"},
        {"null", "ab", "5:ab"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *json = dk_xasprintf("{\"normalizer\":%s," ABC, cases[i].normalizer);
        dk_tokenizer *t = open_json(json);
        check(t, cases[i].text, cases[i].want);
        dk_tokenizer_free(t);
        free(json);
    }
}

#define ADDED(id, text, flags) "{\"id\":" id ",\"content\":\"" text "\"" flags "}"

/* clang-format off */
static const char with_added_tokens[] =
    "{\"added_tokens\":["
    ADDED("6", "<x>", ",\"normalized\":false,\"lstrip\":true") ","
    ADDED("7", "<x>y", ",\"normalized\":false,\"rstrip\":true") ","
    ADDED("8", "word", ",\"normalized\":false,\"single_word\":true") ","
    ADDED("9", "ZZ", ",\"normalized\":true") ","
    ADDED("1", "a", ",\"special\":true")
    "],\"normalizer\":{\"type\":\"Lowercase\"}," ABC;
/* clang-format on */

static void added_tokens(void **state)
{
    dk_tokenizer *t = open_json(with_added_tokens);

    (void)state;
    assert_int_equal(dk_tokenizer_size(t), 10);
    check(t, "b  <x>b", "2:b 6:  <x> 2:b");
    check(t, "b<x>y  b", "2:b 7:<x>y   2:b"); /* the longest */
    check(t, "word words word", "8:word 0: words  8:word");
    check(t, "bzzZzb", "2:b 9:zz 9:zz 2:b");
    check(t, "Abab", "5:ab 1:a 2:b"); /* "a" is sought before lower-casing */
    dk_tokenizer_free(t);
}

static void fused_unknowns_and_bytes(void **state)
{
    dk_tokenizer *t = open_json("{\"model\":{\"type\":\"Unigram\",\"unk_id\":0,\"byte_fallback\":"
                                "true,\"vocab\":[[\"<unk>\",0],"
                                "[\"a\",-1],[\"<0xC3>\",-9],[\"<0xA9>\",-9],[\"xy\",-100]]}}");
    (void)state;
    check(t, "aéa", "1:a 2:<0xC3> 3:<0xA9> 1:a");
    check(t, "aéé", "1:a 2:<0xC3> 3:<0xA9> 2:<0xC3> 3:<0xA9>");
    check(t, "aèa", "1:a 0:è 1:a"); /* a byte without piece: all unknown */
    check(t, "xya", "4:xy 1:a");    /* the fused run is a piece after all */
    dk_tokenizer_free(t);

    dk_tokens out = {0};
    dk_err err;
    dk_err_init(&err);
    t = open_json("{\"model\":{\"type\":\"Unigram\",\"unk_id\":null,\"vocab\":[[\"a\",0]]}}");
    assert_int_equal(dk_tokenizer_encode(t, "ab", 2, &out, &err), DK_EFORMAT);
    ts_failed(&err, DK_EFORMAT, "unk_id");
    dk_tokens_free(&out);
    dk_tokenizer_free(t);
}

static void json_problems_are_named(void **state)
{
    static const struct {
        const char *json;
        int code;
        const char *part;
    } cases[] = {
        {"", DK_EFORMAT, "t/tokenizer.json"},
        {"[]", DK_EFORMAT, "an object"},
        {"{}", DK_EFORMAT, "model"},
        {"{\"model\":{\"type\":\"BPE\"}}", DK_EUNSUPPORTED, "model \"BPE\""},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[]}}", DK_EFORMAT, "model.vocab"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", DK_EFORMAT, "model.vocab[0]"},
        {"{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\",NaN]]}}", DK_EFORMAT,
         "model.vocab[0]"},
        {"{\"model\":{\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0]]}}", DK_EFORMAT,
         "unk_id"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":0}}}", DK_EFORMAT, "[UNK]"},
        {"{\"model\":{\"type\":\"WordPiece\",\"vocab\":{\"a\":-1}}}", DK_EFORMAT, "model.vocab.a"},
        {"{\"normalizer\":{\"type\":\"Nmt\"}," ABC, DK_EUNSUPPORTED, "normalizer \"Nmt\""},
        {"{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a|b\"},\"content\":\"\"}"
         "," ABC,
         DK_EUNSUPPORTED, "a|b"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"?\"}," ABC,
         DK_EFORMAT, "base64"},
        {"{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}," ABC,
         DK_EFORMAT, "precompiled_charsmap"},
        {"{\"pre_tokenizer\":{\"type\":\"ByteLevel\"}," ABC, DK_EUNSUPPORTED, "ByteLevel"},
        {"{" METASPACE ",\"prepend_scheme\":\"last\"}," ABC, DK_EFORMAT, "prepend_scheme"},
        {"{\"post_processor\":{\"type\":\"ByteLevel\"}," ABC, DK_EUNSUPPORTED, "ByteLevel"},
        {"{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
         "{\"id\":\"e\"}}],\"special_tokens\":{\"e\":{\"ids\":[99]}}}," ABC,
         DK_EFORMAT, "ids[0]"},
        {"{\"added_tokens\":[" ADDED("9", "x", "") "]," ABC, DK_EFORMAT, "expected id 6, found 9"},
        {"{\"added_tokens\":[" ADDED("2", "a", "") "]," ABC, DK_EFORMAT, "id 2"},
    };
    dk_err err;

    (void)state;
    dk_err_init(&err);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_null(
            dk_tokenizer_from_json(cases[i].json, strlen(cases[i].json), "t/tokenizer.json", &err));
        ts_failed(&err, cases[i].code, cases[i].part);
    }
}

/* ---- Long texts: linear, whatever they are made of. */

static void long_texts(void **state)
{
    static const char *const parts[] = {"a red heart on fire ", "a",  " ", "é",
                                        "\xCC\x81\xCC\xA3",     "</s"};
    size_t len;
    char *json = read_all(GOLDEN "tokenizer.json", &len);
    dk_err err;

    (void)state;
    dk_err_init(&err);
    dk_tokenizer *t[2] = {open_emoji(), dk_tokenizer_from_json(json, len, "tokenizer.json", &err)};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        dk_buf text = {0};
        while (text.len < 1000000)
            dk_buf_puts(&text, parts[i]);
        for (int k = 0; k < 2; k++) {
            dk_tokens out = {0};
            ts_ok(dk_tokenizer_encode(t[k], text.data, text.len, &out, &err), &err);
            assert_true(out.n <= text.len + 1);
            dk_tokens_free(&out);
        }
        dk_buf_free(&text);
    }
    dk_tokenizer_free(t[0]);
    dk_tokenizer_free(t[1]);
    free(json);
}

/* A map whose replacements are long cannot inflate a text without bound. */
static void inflation_is_bounded(void **state)
{
    char json[3000], content[1001];
    dk_tokens out = {0};
    dk_buf text = {0};
    dk_err err;

    (void)state;
    dk_err_init(&err);
    memset(content, 'b', 1000);
    content[1000] = '\0';
    snprintf(json, sizeof json,
             "{\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"String\":\"a\"},\"content\":\"%"
             "s\"}," ABC,
             content);
    dk_tokenizer *t = open_json(json);
    for (int i = 0; i < 100000; i++)
        dk_buf_putc(&text, 'a');
    assert_int_not_equal(dk_tokenizer_encode(t, text.data, text.len, &out, &err), 0);
    ts_failed(&err, DK_EFORMAT, "normalisation");
    dk_buf_free(&text);
    dk_tokens_free(&out);
    dk_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recorded_lines),
        cmocka_unit_test(prompts_end_with_eos),
        cmocka_unit_test(special_tokens_split_the_text),
        cmocka_unit_test(extra_ids_follow_the_pieces),
        cmocka_unit_test(broken_companions_are_named),
        cmocka_unit_test(best_path_and_unknown_runs),
        cmocka_unit_test(ties_keep_the_first_path),
        cmocka_unit_test(user_defined_and_unused),
        cmocka_unit_test(byte_fallback),
        cmocka_unit_test(whitespace_settings),
        cmocka_unit_test(character_map),
        cmocka_unit_test(broken_maps_do_no_harm),
        cmocka_unit_test(broken_models_are_named),
        cmocka_unit_test(documentation_example),
        cmocka_unit_test(metaspace_schemes),
        cmocka_unit_test(normalisers),
        cmocka_unit_test(added_tokens),
        cmocka_unit_test(fused_unknowns_and_bytes),
        cmocka_unit_test(json_problems_are_named),
        cmocka_unit_test(long_texts),
        cmocka_unit_test(inflation_is_bounded),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
