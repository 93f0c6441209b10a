/* The normaliser steps of tokenizer.json and of BERT. */
#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "text/bert_chars.h"
#include "text/tokenizer_internal.h"
#include "text/utf8.h"

void dk_norm_step_free(dk_norm_step *s)
{
    dk_charsmap_free(&s->map);
    free(s->from);
    free(s->to);
    *s = (dk_norm_step){0};
}

/* Length of the run of `from` (one, unless the step counts) that begins s; *found: it is replaced.
 */
static size_t run_len(const dk_norm_step *r, const char *s, size_t len, bool *found)
{
    size_t n = 0, times = 0, from_len = r->whitespace ? 0 : strlen(r->from);

    while (n < len && (r->at_least || times == 0)) {
        size_t one = from_len;
        if (r->whitespace) {
            int32_t c;
            one = dk_utf8_next(s + n, len - n, &c);
            if (!dk_utf8_is_space(c))
                break;
        } else if (len - n < one || memcmp(s + n, r->from, one) != 0) {
            break;
        }
        n += one;
        times++;
    }
    *found = times > 0 && times >= r->at_least;
    return n;
}

static int replace(const dk_norm_step *r, const char *s, size_t len, size_t limit, dk_buf *out)
{
    for (size_t at = 0; at < len && out->len <= limit;) {
        bool found;
        int32_t c;
        size_t n = run_len(r, s + at, len - at, &found);
        if (n == 0)
            n = dk_utf8_next(s + at, len - at, &c);
        if (found)
            dk_buf_puts(out, r->to);
        else /* a character, or a run too short */
            dk_buf_add(out, s + at, n);
        at += n;
    }
    return out->len > limit ? DK_EFORMAT : 0;
}

static void strip(const dk_norm_step *z, const char *s, size_t len, dk_buf *out)
{
    int32_t c;
    size_t n, at = 0;

    for (; z->left && at < len; at += n) {
        n = dk_utf8_next(s + at, len - at, &c);
        if (!dk_utf8_is_space(c))
            break;
    }
    for (; z->right && len > at; len -= n) {
        n = dk_utf8_prev(s + at, len - at, &c);
        if (!dk_utf8_is_space(c))
            break;
    }
    dk_buf_add(out, s + at, len - at);
}

/* Character by character, without the final sigma that dk_utf8_lower knows. */
static void lower(const char *s, size_t len, dk_buf *out)
{
    for (size_t at = 0; at < len;) {
        int32_t c;
        at += dk_utf8_next(s + at, len - at, &c);
        if (c == 0x130)
            dk_buf_puts(out, "i\xCC\x87");
        else
            dk_utf8_put(out, utf8proc_tolower(c));
    }
}

static bool is_any_mark(int32_t c)
{
    utf8proc_category_t k = utf8proc_category(c);
    return k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
}

static void drop(const char *s, size_t len, bool (*dropped)(int32_t), dk_buf *out)
{
    for (size_t at = 0; at < len;) {
        int32_t c;
        size_t n = dk_utf8_next(s + at, len - at, &c);
        if (!dropped(c))
            dk_utf8_put(out, c);
        at += n;
    }
}

/* Controls out, every whitespace a plain space, ideographs between spaces. */
static void bert_clean(const dk_norm_step *b, const char *s, size_t len, dk_buf *out)
{
    for (size_t at = 0; at < len;) {
        int32_t c;
        at += dk_utf8_next(s + at, len - at, &c);
        if (b->clean && dk_bert_is_dropped(c))
            continue;
        if (b->clean && dk_utf8_is_space(c)) {
            dk_buf_putc(out, ' ');
        } else if (b->chinese && dk_bert_is_cjk(c)) {
            dk_buf_putc(out, ' ');
            dk_utf8_put(out, c);
            dk_buf_putc(out, ' ');
        } else {
            dk_utf8_put(out, c);
        }
    }
}

static void swap(dk_buf *a, dk_buf *b)
{
    dk_buf t = *a;
    *a = *b;
    *b = t;
}

static void bert(const dk_norm_step *b, const char *s, size_t len, dk_buf *out)
{
    dk_buf next = {0};

    bert_clean(b, s, len, out);
    if (b->accents) {
        dk_utf8_normalize(dk_buf_str(out), out->len, DK_NFD, &next);
        dk_buf_clear(out);
        drop(dk_buf_str(&next), next.len, dk_bert_is_mark, out);
    }
    if (b->lower) {
        dk_buf_clear(&next);
        lower(dk_buf_str(out), out->len, &next);
        swap(out, &next);
    }
    dk_buf_free(&next);
}

/* One step from s to the end of *out. */
static int apply(const dk_norm_step *z, const char *s, size_t len, size_t limit, dk_buf *out,
                 dk_err *err)
{
    switch (z->kind) {
    case DK_NORM_CHARSMAP:
        return dk_charsmap_apply_clusters(&z->map, s, len, out, err);
    case DK_NORM_REPLACE:
        return replace(z, s, len, limit, out);
    case DK_NORM_STRIP:
        strip(z, s, len, out);
        break;
    case DK_NORM_LOWER:
        lower(s, len, out);
        break;
    case DK_NORM_FORM:
        dk_utf8_normalize(s, len, (dk_normal_form)z->form, out);
        break;
    case DK_NORM_STRIP_ACCENTS:
        drop(s, len, is_any_mark, out);
        break;
    case DK_NORM_PREPEND:
        if (len)
            dk_buf_puts(out, z->to);
        dk_buf_add(out, s, len);
        break;
    case DK_NORM_BERT:
        bert(z, s, len, out);
        break;
    }
    return 0;
}

int dk_normalize(const dk_norm_step *steps, size_t n, const char *s, size_t len, dk_buf *out,
                 dk_buf *spare, dk_err *err)
{
    size_t limit = dk_normalized_limit(len);

    dk_buf_clear(out);
    if (n == 0)
        dk_buf_add(out, s, len);
    for (size_t i = 0; i < n; i++) {
        if (i > 0) {
            swap(out, spare);
            dk_buf_clear(out);
        }
        int rc = apply(&steps[i], i ? dk_buf_str(spare) : s, i ? spare->len : len, limit, out, err);
        if (rc || out->len > limit)
            return err->code ? err->code : dk_normalized_too_long(len, err);
    }
    return 0;
}
