/* Opens arbitrary bytes as spiece.model and, when that succeeds, encodes a few texts. */
#include <stdint.h>
#include <string.h>

#include "text/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const texts[] = {"", " a red  apple </s> b\t", "<extra_id_0><unk>",
                                        "Aa\xCC\x81\xEF\xAC\x81\xFFz\xE2\x96\x81",
                                        "\xF0\x9F\x98\x80\xE2\x80\x8D\xE7\x8C\xAB\xC3"};
    dk_tokens out = {0};
    dk_err err;

    dk_err_init(&err);
    dk_tokenizer *t = dk_tokenizer_from_spiece(data, size, "spiece.model", &err);
    for (size_t i = 0; t && i < sizeof texts / sizeof texts[0]; i++) {
        dk_tokens_clear(&out);
        dk_err_init(&err);
        (void)dk_tokenizer_prompt(t, texts[i], strlen(texts[i]), 6, &out, NULL, &err);
    }
    dk_tokens_free(&out);
    dk_tokenizer_free(t);
    return 0;
}
