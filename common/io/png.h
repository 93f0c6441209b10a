/* PNG pictures over libpng: 8-bit RGB, with text chunks. Text that is Latin-1 is written as tEXt,
 * anything else as iTXt, both uncompressed; no time or gamma chunk, so equal pictures are equal
 * bytes. */
#ifndef DK_IO_PNG_H
#define DK_IO_PNG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct dk_png_text {
    const char *key;   /* keyword, 1..79 Latin-1 characters */
    const char *value; /* UTF-8 */
} dk_png_text;

/* rgb: [h, w, 3]. Atomic (base/fs.h). "-" writes to stdout, refused on a terminal. */
int dk_png_save(const char *path, const uint8_t *rgb, int w, int h, const dk_png_text *text,
                int n_text, bool force, dk_err *err);

typedef struct dk_png {
    int w, h;
    uint8_t *rgb; /* [h, w, 3]; grey and palette expanded, alpha dropped, 16 bits cut to 8 */
    dk_png_text *text;
    int n_text;
} dk_png;

/* Limits: 16384 x 16384 pixels, 8 MiB of text. A damaged file is DK_EFORMAT. */
int dk_png_load(dk_png *p, const char *path, dk_err *err);
int dk_png_load_mem(dk_png *p, const void *data, size_t len, const char *name, dk_err *err);
const char *dk_png_get_text(const dk_png *p, const char *key); /* NULL if absent */
void dk_png_free(dk_png *p);

#endif
