/* Any bytes as a PNG file: read or refused. Every pixel and text of what is read gets touched. */
#include <string.h>

#include "io/png.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static dk_err err;
    static volatile unsigned sink;
    dk_png p;

    dk_err_init(&err);
    if (dk_png_load_mem(&p, data, size, "fuzz.png", &err) == 0) {
        for (size_t i = 0; i < (size_t)p.w * (size_t)p.h * 3; i++)
            sink += p.rgb[i];
        for (int i = 0; i < p.n_text; i++)
            sink +=
                (unsigned)strlen(p.text[i].value) + (dk_png_get_text(&p, p.text[i].key) != NULL);
    }
    dk_png_free(&p);
    return 0;
}
