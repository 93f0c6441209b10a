/* See png.h. libpng reports errors by longjmp: each direction has one function that sets the
 * target, and everything it must release lives in a struct outside that function's frame. */
#include "io/png.h"

#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <utf8proc.h>

#include "base/fs.h"
#include "base/mem.h"

#define MAX_SIDE   16384
#define MAX_TEXT   ((png_alloc_size_t)8 << 20)
#define MAX_FILE   ((size_t)1 << 30)
#define MAX_MEMORY ((size_t)64 << 20) /* libpng's own, over the life of one reader */

typedef struct failure {
    jmp_buf jump;
    char text[160];
} failure;

static void on_error(png_structp png, png_const_charp text)
{
    failure *f = png_get_error_ptr(png);
    snprintf(f->text, sizeof f->text, "%s", text);
    longjmp(f->jump, 1);
}

/* Warnings concern ancillary chunks that we do not use. */
static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

/* ---- Writing. */

/* UTF-8 to Latin-1 where every character fits (the control characters 80..9F are none of PNG's);
 * NULL where one does not. malloc-ed. */
static char *to_latin1(const char *s)
{
    char *out = dk_xmalloc(strlen(s) + 1), *o = out;

    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        if (*p < 0x80) {
            *o++ = (char)*p;
        } else if ((*p == 0xC2 && p[1] >= 0xA0 && p[1] < 0xC0) ||
                   (*p == 0xC3 && (p[1] & 0xC0) == 0x80)) {
            *o++ = (char)((*p & 3) << 6 | (p[1] & 0x3F));
            p++;
        } else {
            free(out);
            return NULL;
        }
    }
    *o = '\0';
    return out;
}

typedef struct writer {
    failure fail;
    png_structp png;
    png_infop info;
    png_text *text;
    char **latin1;
    int n_text;
} writer;

static void set_text(writer *w, const dk_png_text *text, int n)
{
    w->text = dk_xcalloc((size_t)n, sizeof *w->text);
    w->latin1 = dk_xcalloc((size_t)n, sizeof *w->latin1);
    w->n_text = n;
    for (int i = 0; i < n; i++) {
        png_text *t = &w->text[i];
        w->latin1[i] = to_latin1(text[i].value);
        t->key = (char *)text[i].key;
        t->text = w->latin1[i] ? w->latin1[i] : (char *)text[i].value;
        t->compression = w->latin1[i] ? PNG_TEXT_COMPRESSION_NONE : PNG_ITXT_COMPRESSION_NONE;
        if (w->latin1[i])
            t->text_length = strlen(t->text);
        else
            t->itxt_length = strlen(t->text);
    }
}

static void writer_free(writer *w)
{
    png_destroy_write_struct(&w->png, &w->info);
    for (int i = 0; i < w->n_text; i++)
        free(w->latin1[i]);
    free(w->latin1);
    free(w->text);
    free(w);
}

/* false when libpng gave up; w->fail.text says why. */
static bool write_all(writer *w, FILE *f, const uint8_t *rgb, int width, int height)
{
    if (setjmp(w->fail.jump))
        return false;
    png_init_io(w->png, f);
    png_set_IHDR(w->png, w->info, (png_uint_32)width, (png_uint_32)height, 8, PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (w->n_text)
        png_set_text(w->png, w->info, w->text, w->n_text);
    png_write_info(w->png, w->info);
    for (int y = 0; y < height; y++)
        png_write_row(w->png, rgb + (size_t)y * (size_t)width * 3);
    png_write_end(w->png, NULL);
    return true;
}

int dk_png_save(const char *path, const uint8_t *rgb, int w, int h, const dk_png_text *text,
                int n_text, bool force, dk_err *err)
{
    if (strcmp(path, "-") == 0 && isatty(STDOUT_FILENO))
        return dk_fail(err, DK_EUSAGE, "-o -: standard output is a terminal; redirect it");
    dk_out *out = dk_out_begin(path, force, err);
    if (!out)
        return err->code;
    writer *wr = dk_xcalloc(1, sizeof *wr);
    set_text(wr, text, n_text);
    wr->png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &wr->fail, on_error, on_warning);
    wr->info = wr->png ? png_create_info_struct(wr->png) : NULL;
    int rc = 0;
    if (!wr->info)
        rc = dk_fail(err, DK_ENOMEM, "%s: no memory for the PNG writer", path);
    else if (!write_all(wr, dk_out_file(out), rgb, w, h))
        rc = dk_fail(err, DK_EFAIL, "%s: writing: %s", path, wr->fail.text);
    writer_free(wr);
    if (rc) {
        dk_out_abort(out);
        return rc;
    }
    return dk_out_commit(out, err);
}

/* ---- Reading. */

typedef struct reader {
    failure fail;
    png_structp png;
    png_infop info, end;
    const uint8_t *data;
    size_t len, at;
    size_t memory; /* bytes libpng asked for so far */
    uint8_t *rgb;
    int w, h;
} reader;

/* Many compressed text chunks would each stay below their limit: the sum has one, too. */
static png_voidp limited_malloc(png_structp png, png_alloc_size_t n)
{
    reader *r = png_get_mem_ptr(png);
    if (n > MAX_MEMORY - r->memory)
        return NULL;
    r->memory += n;
    return malloc(n);
}

static void plain_free(png_structp png, png_voidp p)
{
    (void)png;
    free(p);
}

static void read_bytes(png_structp png, png_bytep out, size_t n)
{
    reader *r = png_get_io_ptr(png);
    if (n > r->len - r->at)
        png_error(png, "the file ends too early");
    memcpy(out, r->data + r->at, n);
    r->at += n;
}

/* Deflate shrinks to 1/1032 at best: a header that promises more pixels than the file can hold is
 * refused before memory is taken for them. */
static bool plausible(const reader *r)
{
    size_t row = png_get_rowbytes(r->png, r->info);
    return row * png_get_image_height(r->png, r->info) / 1032 <= r->len;
}

static bool read_all(reader *r, dk_err *err)
{
    if (setjmp(r->fail.jump))
        return false;
    png_set_read_fn(r->png, r, read_bytes);
    png_set_user_limits(r->png, MAX_SIDE, MAX_SIDE);
    png_set_chunk_malloc_max(r->png, MAX_TEXT);
    png_set_chunk_cache_max(r->png, 256);
    png_read_info(r->png, r->info);
    if (!plausible(r))
        png_error(r->png, "more pixels promised than the file can hold");
    png_set_expand(r->png);
    png_set_strip_16(r->png);
    png_set_strip_alpha(r->png);
    png_set_gray_to_rgb(r->png);
    int passes = png_set_interlace_handling(r->png);
    png_read_update_info(r->png, r->info);
    r->w = (int)png_get_image_width(r->png, r->info);
    r->h = (int)png_get_image_height(r->png, r->info);
    if (png_get_rowbytes(r->png, r->info) != (size_t)r->w * 3)
        png_error(r->png, "unexpected row format");
    r->rgb = dk_alloc((size_t)r->w * (size_t)r->h * 3, "picture", err);
    if (!r->rgb)
        png_error(r->png, "no memory");
    for (int p = 0; p < passes; p++)
        for (int y = 0; y < r->h; y++)
            png_read_row(r->png, r->rgb + (size_t)y * (size_t)r->w * 3, NULL);
    png_read_end(r->png, r->end);
    return true;
}

static char *latin1_to_utf8(const char *s)
{
    char *out = dk_xmalloc(2 * strlen(s) + 1), *o = out;
    for (const unsigned char *p = (const unsigned char *)s; *p; p++) {
        if (*p < 0x80) {
            *o++ = (char)*p;
        } else {
            *o++ = (char)(0xC0 | *p >> 6);
            *o++ = (char)(0x80 | (*p & 0x3F));
        }
    }
    *o = '\0';
    return out;
}

static bool is_utf8(const char *s)
{
    const utf8proc_uint8_t *p = (const utf8proc_uint8_t *)s;
    utf8proc_int32_t c;

    while (*p) {
        utf8proc_ssize_t n = utf8proc_iterate(p, -1, &c);
        if (n < 0)
            return false;
        p += n;
    }
    return true;
}

static void take_text(dk_png *p, png_structp png, png_infop info)
{
    png_textp text;
    int n = 0;

    png_get_text(png, info, &text, &n);
    for (int i = 0; i < n; i++) {
        const char *value = text[i].text ? text[i].text : "";
        /* An iTXt chunk that breaks its promise of UTF-8 is read as Latin-1, like tEXt. */
        bool itxt = text[i].compression >= PNG_ITXT_COMPRESSION_NONE && is_utf8(value);
        p->text = dk_xrealloc(p->text, (size_t)(p->n_text + 1) * sizeof *p->text);
        p->text[p->n_text++] = (dk_png_text){dk_xstrdup(text[i].key),
                                             itxt ? dk_xstrdup(value) : latin1_to_utf8(value)};
    }
}

int dk_png_load_mem(dk_png *p, const void *data, size_t len, const char *name, dk_err *err)
{
    reader *r = dk_xcalloc(1, sizeof *r);
    int rc = 0;

    *p = (dk_png){0};
    r->data = data;
    r->len = len;
    r->png = png_create_read_struct_2(PNG_LIBPNG_VER_STRING, &r->fail, on_error, on_warning, r,
                                      limited_malloc, plain_free);
    r->info = r->png ? png_create_info_struct(r->png) : NULL;
    r->end = r->info ? png_create_info_struct(r->png) : NULL;
    if (!r->end) {
        rc = dk_fail(err, DK_ENOMEM, "%s: no memory for the PNG reader", name);
    } else if (read_all(r, err)) {
        p->w = r->w;
        p->h = r->h;
        p->rgb = r->rgb;
        r->rgb = NULL;
        take_text(p, r->png, r->info);
        take_text(p, r->png, r->end);
    } else {
        rc = dk_fail(err, DK_EFORMAT, "%s: no readable PNG: %s", name, r->fail.text);
    }
    dk_free_aligned(r->rgb);
    png_destroy_read_struct(&r->png, &r->info, &r->end);
    free(r);
    return rc;
}

int dk_png_load(dk_png *p, const char *path, dk_err *err)
{
    char *data;
    size_t len;

    *p = (dk_png){0};
    if (dk_read_file(path, MAX_FILE, &data, &len, err))
        return err->code;
    int rc = dk_png_load_mem(p, data, len, path, err);
    free(data);
    return rc;
}

const char *dk_png_get_text(const dk_png *p, const char *key)
{
    for (int i = 0; i < p->n_text; i++)
        if (strcmp(p->text[i].key, key) == 0)
            return p->text[i].value;
    return NULL;
}

void dk_png_free(dk_png *p)
{
    for (int i = 0; i < p->n_text; i++) {
        free((char *)p->text[i].key);
        free((char *)p->text[i].value);
    }
    free(p->text);
    dk_free_aligned(p->rgb);
    *p = (dk_png){0};
}
