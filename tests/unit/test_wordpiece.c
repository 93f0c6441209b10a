/* WordPiece from vocab.txt and tokenizer.json; expected values are the tokenizers library's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "text/tokenizer.h"

/* ids: 0 [PAD] 1 [UNK] 2 [CLS] 3 [SEP] 4 un 5 ##aff 6 ##able 7 , 8 猫 9 cafe 10 ##a */
static const char vocab[] = "[PAD]\n[UNK]\n[CLS]\n[SEP]\nun\n##aff\n##able\n,\n猫\ncafe\n##a\n";

static dk_tokenizer *open_vocab(const char *text, bool lower, int accents, bool chinese)
{
    dk_err err;
    dk_err_init(&err);
    dk_tokenizer *t =
        dk_tokenizer_from_vocab(text, strlen(text), lower, accents, chinese, "t/vocab.txt", &err);
    if (!t)
        fail_msg("%s", err.msg);
    return t;
}

/* The pieces of s, joined by spaces. */
static void check_pieces(const dk_tokenizer *t, const char *s, const char *want)
{
    dk_tokens out = {0};
    dk_buf got = {0};
    dk_err err;

    dk_err_init(&err);
    if (dk_tokenizer_encode(t, s, strlen(s), &out, &err))
        fail_msg("%s", err.msg);
    for (size_t i = 0; i < out.n; i++)
        dk_buf_printf(&got, "%s%s", i ? " " : "", dk_token_piece(&out, i));
    assert_string_equal(dk_buf_str(&got), want);
    dk_buf_free(&got);
    dk_tokens_free(&out);
}

static void greedy_longest_match(void **state)
{
    dk_tokenizer *t = open_vocab(vocab, true, -1, true);

    (void)state;
    check_pieces(t, "unaffable", "un ##aff ##able");
    check_pieces(t, "Un, UNAFF", "un , un ##aff");
    check_pieces(t, "", "");
    check_pieces(t, " \t\n\xE3\x80\x80", "");
    check_pieces(t, "unx un", "[UNK] un"); /* one hole makes the whole word unknown */
    check_pieces(t, "affable", "[UNK]");
    dk_tokenizer_free(t);
}

static void normaliser_splits_and_strips(void **state)
{
    dk_tokenizer *t = open_vocab(vocab, true, -1, true);

    (void)state;
    check_pieces(t, "Café", "cafe");
    check_pieces(t, "CAFE\xCC\x81", "cafe");
    check_pieces(t, "un猫猫un", "un 猫 猫 un");
    check_pieces(t, "un,,un", "un , , un");
    check_pieces(t, "u\x01n\xE2\x80\x8B, \xEF\xBF\xBDun\xFF", "un , un"); /* controls, U+FFFD */
    dk_tokenizer_free(t);

    t = open_vocab(vocab, true, 0, false);
    check_pieces(t, "Café", "[UNK]");
    check_pieces(t, "猫猫", "[UNK]");
    check_pieces(t, "猫", "猫");
    dk_tokenizer_free(t);

    t = open_vocab(vocab, false, -1, true);
    check_pieces(t, "cafe Cafe café", "cafe [UNK] [UNK]");
    dk_tokenizer_free(t);
}

static void special_tokens_are_kept_whole(void **state)
{
    dk_tokenizer *t = open_vocab(vocab, true, -1, true);

    (void)state;
    check_pieces(t, "un[SEP]un [PAD]", "un [SEP] un [PAD]");
    check_pieces(t, "[sep]", "[UNK] [UNK] [UNK]");
    dk_tokenizer_free(t);
}

static void overlong_words_are_unknown(void **state)
{
    dk_tokenizer *t = open_vocab("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\n##a\né\n##é\n", false, 0, true);
    dk_buf word = {0};
    dk_tokens out = {0};
    dk_err err;

    (void)state;
    dk_err_init(&err);
    for (int i = 0; i < 100; i++)
        dk_buf_puts(&word, "é"); /* characters count, not bytes */
    assert_int_equal(dk_tokenizer_encode(t, word.data, word.len, &out, &err), 0);
    assert_int_equal(out.n, 100);
    dk_buf_puts(&word, "a");
    dk_tokens_clear(&out);
    assert_int_equal(dk_tokenizer_encode(t, word.data, word.len, &out, &err), 0);
    assert_int_equal(out.n, 1);
    assert_int_equal(out.tok[0].id, 1);
    assert_string_equal(dk_token_piece(&out, 0), "[UNK]");
    dk_tokens_free(&out);
    dk_buf_free(&word);
    dk_tokenizer_free(t);
}

static void prompts_are_framed_and_cut(void **state)
{
    dk_tokenizer *t = open_vocab(vocab, true, -1, true);
    dk_tokens out = {0};
    size_t cut;
    dk_err err;

    (void)state;
    dk_err_init(&err);
    assert_int_equal(dk_tokenizer_pad(t), 0);
    assert_int_equal(dk_tokenizer_eos(t), 3);
    assert_int_equal(dk_tokenizer_size(t), 11);
    assert_int_equal(dk_tokenizer_prompt(t, "unaffable, un", 13, 77, &out, &cut, &err), 0);
    assert_int_equal(out.n, 7);
    assert_int_equal(cut, 0);
    assert_int_equal(out.tok[0].id, 2);
    assert_int_equal(out.tok[6].id, 3);
    assert_string_equal(dk_token_piece(&out, 6), "[SEP]");
    dk_tokens_clear(&out);
    assert_int_equal(dk_tokenizer_prompt(t, "unaffable, un", 13, 4, &out, &cut, &err), 0);
    assert_int_equal(out.n, 4);
    assert_int_equal(cut, 3);
    assert_string_equal(dk_token_piece(&out, 2), "##aff");
    assert_int_equal(out.tok[3].id, 3);
    dk_tokens_clear(&out);
    assert_int_equal(dk_tokenizer_prompt(t, "un", 2, 1, &out, &cut, &err), DK_EUSAGE);
    dk_tokens_free(&out);
    dk_tokenizer_free(t);
}

static void check_refused(const char *text, int code, const char *part)
{
    dk_err err;
    dk_err_init(&err);
    assert_null(dk_tokenizer_from_vocab(text, strlen(text), true, -1, true, "t/vocab.txt", &err));
    assert_int_equal(err.code, code);
    assert_non_null(strstr(err.msg, "t/vocab.txt"));
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" does not say \"%s\"", err.msg, part);
}

static void broken_vocabularies(void **state)
{
    (void)state;
    check_refused("", DK_EFORMAT, "0 lines");
    check_refused("a\nb\n", DK_EFORMAT, "[UNK]");
    check_refused("[UNK]\n[SEP]\n", DK_EFORMAT, "[CLS]");
    check_refused("[UNK]\n[CLS]\n", DK_EFORMAT, "[SEP]");
    check_refused("[UNK]\n\xFF\n", DK_EFORMAT, "byte 6");
}

/* Of equal lines the last counts; line ends and trailing blanks do not belong to a token. */
static void lines_as_the_original_reads_them(void **state)
{
    dk_tokenizer *t = open_vocab("[UNK]\r\n[CLS]\r\n[SEP]\r\na\nb \nc\na", true, -1, true);
    dk_tokens out = {0};
    dk_err err;

    (void)state;
    dk_err_init(&err);
    assert_int_equal(dk_tokenizer_encode(t, "a b c", 5, &out, &err), 0);
    assert_int_equal(out.n, 3);
    assert_int_equal(out.tok[0].id, 6);
    assert_int_equal(out.tok[1].id, 4);
    assert_int_equal(out.tok[2].id, 5);
    assert_int_equal(dk_tokenizer_pad(t), -1);
    dk_tokens_free(&out);
    dk_tokenizer_free(t);
}

static void wordpiece_from_json(void **state)
{
    static const char json[] =
        "{\"added_tokens\":[{\"id\":1,\"content\":\"[SEP]\",\"special\":true,\"normalized\":false}]"
        ","
        "\"normalizer\":{\"type\":\"BertNormalizer\",\"clean_text\":true,"
        "\"handle_chinese_chars\":true,\"strip_accents\":null,\"lowercase\":true},"
        "\"pre_tokenizer\":{\"type\":\"BertPreTokenizer\"},"
        "\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"[SEP]\",1],\"cls\":[\"[CLS]\","
        "2]},"
        "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"[UNK]\","
        "\"continuing_subword_prefix\":\"@@\",\"max_input_chars_per_word\":5,"
        "\"vocab\":{\"[UNK]\":0,\"[SEP]\":1,\"[CLS]\":2,\"un\":3,\"@@do\":4}}}";
    dk_tokens out = {0};
    dk_err err;

    (void)state;
    dk_err_init(&err);
    dk_tokenizer *t = dk_tokenizer_from_json(json, strlen(json), "t/tokenizer.json", &err);
    if (!t)
        fail_msg("%s", err.msg);
    assert_string_equal(dk_tokenizer_kind(t), "WordPiece (tokenizer.json)");
    check_pieces(t, "Undo, undodo[SEP]", "un @@do [UNK] [UNK] [SEP]");
    assert_int_equal(dk_tokenizer_prompt(t, "undo", 4, 9, &out, NULL, &err), 0);
    assert_int_equal(out.n, 4);
    assert_int_equal(out.tok[0].id, 2);
    assert_int_equal(out.tok[3].id, 1);
    dk_tokens_free(&out);
    dk_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(greedy_longest_match),
        cmocka_unit_test(normaliser_splits_and_strips),
        cmocka_unit_test(special_tokens_are_kept_whole),
        cmocka_unit_test(overlong_words_are_unknown),
        cmocka_unit_test(prompts_are_framed_and_cut),
        cmocka_unit_test(broken_vocabularies),
        cmocka_unit_test(lines_as_the_original_reads_them),
        cmocka_unit_test(wordpiece_from_json),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
