/* Opens arbitrary bytes as tokenizer.json and as vocab.txt and, when that succeeds, encodes a few
 * texts and the beginning of the input itself. */
#include <stdint.h>
#include <string.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OWN_TEXT 300

static void encode_some(dk_tokenizer *t, const char *own, size_t own_len)
{
    static const char *const texts[] = {"", " a red  apple </s> b\t", "[SEP]un[MASK], ab",
                                        "Aa\xCC\x81\xEF\xAC\x81\xFFz\xE2\x96\x81",
                                        "\xF0\x9F\x98\x80\xE2\x80\x8D\xE7\x8C\xAB\xC3"};
    dk_tokens out = {0};
    dk_err err;

    for (size_t i = 0; t && i < sizeof texts / sizeof texts[0]; i++) {
        dk_tokens_clear(&out);
        dk_err_init(&err);
        (void)dk_tokenizer_prompt(t, texts[i], strlen(texts[i]), 6, &out, NULL, &err);
    }
    dk_err_init(&err);
    if (t)
        (void)dk_tokenizer_encode(t, own, own_len, &out, &err);
    dk_tokens_free(&out);
    dk_tokenizer_free(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    size_t own = size < OWN_TEXT ? size : OWN_TEXT;
    dk_err err;

    dk_err_init(&err);
    encode_some(dk_tokenizer_from_json(text, size, "tokenizer.json", &err), text, own);
    dk_err_init(&err);
    encode_some(dk_tokenizer_from_vocab(text, size, true, -1, true, "vocab.txt", &err), text, own);
    return 0;
}
