/* Pictures: from the VAE's floats to bytes, back to the size asked for, and the contact sheet. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/png.h"
#include "sample.h"

/* x / 2 + 0.5 clamped to [0, 1], times 255, rounded half to even as torch rounds. */
void ds_to_rgb(const float *image, int w, int h, uint8_t *rgb)
{
    size_t n = (size_t)w * (size_t)h;

    for (size_t i = 0; i < n; i++) {
        for (size_t c = 0; c < 3; c++) {
            float v = image[c * n + i] * 0.5f + 0.5f;
            v = v < 0 ? 0 : v > 1 ? 1 : v;
            rgb[i * 3 + c] = (uint8_t)rintf(v * 255.0f);
        }
    }
}

/* Source position of output pixel d: (d + 0.5) in/out - 0.5, not below 0 (align_corners false). */
static void source(int d, float ratio, int in, int *i0, int *i1, float *frac)
{
    float at = ((float)d + 0.5f) * ratio - 0.5f;

    if (at < 0)
        at = 0;
    *i0 = (int)at;
    if (*i0 > in - 1)
        *i0 = in - 1;
    *i1 = *i0 + 1 < in ? *i0 + 1 : in - 1;
    *frac = at - (float)*i0;
}

/* The published pipelines scale by max(req_h / h, req_w / w), truncate, and crop the centre. */
float *ds_resize_crop(const float *image, int w, int h, int req_w, int req_h, dk_err *err)
{
    double rh = (double)req_h / h, rw = (double)req_w / w, ratio = rh > rw ? rh : rw;
    int sh = (int)(h * ratio), sw = (int)(w * ratio);
    /* Truncation may fall one below the request (0.999...): never crop outside. */
    sh = sh < req_h ? req_h : sh;
    sw = sw < req_w ? req_w : sw;
    int top = (sh - req_h) / 2, left = (sw - req_w) / 2;
    size_t pixels = (size_t)req_w * (size_t)req_h;
    float *out = dk_alloc(3 * pixels * sizeof(float), "resized picture", err);

    for (int c = 0; out && c < 3; c++) {
        const float *in = image + (size_t)c * (size_t)w * (size_t)h;
        float *o = out + (size_t)c * pixels;
        for (int y = 0; y < req_h; y++) {
            int y0, y1, x0, x1;
            float fy, fx;
            source(y + top, (float)h / (float)sh, h, &y0, &y1, &fy);
            for (int x = 0; x < req_w; x++) {
                source(x + left, (float)w / (float)sw, w, &x0, &x1, &fx);
                const float *a = in + (size_t)y0 * (size_t)w, *b = in + (size_t)y1 * (size_t)w;
                *o++ = (1 - fy) * ((1 - fx) * a[x0] + fx * a[x1]) +
                       fy * ((1 - fx) * b[x0] + fx * b[x1]);
            }
        }
    }
    return out;
}

/* Contact sheet: white ground, a gap of GAP pixels around every cell. */
#define GAP 4

struct ds_sheet {
    int columns, rows, cell_w, cell_h, w, h;
    uint8_t *rgb;
};

/* One row per prompt when each has the same few images; else about square, without a hole in the
 * last row where the number allows it. */
static int sheet_columns(const ds_plan *p)
{
    const ds_item *it = &p->items[0];
    bool rows = it->count > 1 && it->count <= 16;
    int square = (int)ceil(sqrt((double)p->n_images * it->req_h / it->req_w));

    for (int n = 1; n < p->n_items; n++)
        rows = rows && p->items[n].count == it->count;
    if (rows)
        return it->count;
    for (int c = square; c <= 2 * square; c++)
        if (p->n_images % c == 0)
            return c;
    return square;
}

ds_sheet *ds_sheet_new(const ds_plan *p, dk_err *err)
{
    ds_sheet *s = dk_xcalloc(1, sizeof *s);
    const ds_item *it = &p->items[0];
    int64_t w, h;

    s->cell_w = it->req_w;
    s->cell_h = it->req_h;
    s->columns = sheet_columns(p);
    s->rows = (p->n_images + s->columns - 1) / s->columns;
    w = (int64_t)s->columns * (s->cell_w + GAP) + GAP;
    h = (int64_t)s->rows * (s->cell_h + GAP) + GAP;
    if (w > DS_MAX_SIDE || h > DS_MAX_SIDE) {
        dk_fail(err, DK_EUSAGE,
                "--sheet: %d pictures would need %lld x %lld pixels; the limit is %d", p->n_images,
                (long long)w, (long long)h, DS_MAX_SIDE);
        ds_sheet_free(s);
        return NULL;
    }
    s->w = (int)w;
    s->h = (int)h;
    s->rgb = dk_alloc((size_t)w * (size_t)h * 3, "contact sheet", err);
    if (!s->rgb) {
        ds_sheet_free(s);
        return NULL;
    }
    memset(s->rgb, 255, (size_t)w * (size_t)h * 3);
    return s;
}

void ds_sheet_put(ds_sheet *s, int index, const uint8_t *rgb, int w, int h)
{
    int x = GAP + index % s->columns * (s->cell_w + GAP);
    int y = GAP + index / s->columns * (s->cell_h + GAP);

    for (int r = 0; r < h; r++)
        memcpy(s->rgb + ((size_t)(y + r) * (size_t)s->w + (size_t)x) * 3,
               rgb + (size_t)r * (size_t)w * 3, (size_t)w * 3);
}

int ds_sheet_save(ds_sheet *s, const ds_plan *p, dk_err *err)
{
    return dk_png_save(p->o->sheet, s->rgb, s->w, s->h, NULL, 0, p->o->force, err);
}

void ds_sheet_free(ds_sheet *s)
{
    if (!s)
        return;
    dk_free_aligned(s->rgb);
    free(s);
}
