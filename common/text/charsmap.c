/* See charsmap.h. Blob: uint32 LE size of the double array in bytes, its units (uint32 LE each),
 * then the pool of replacements. Nothing in it is trusted: every index is checked when used. */
#include "text/charsmap.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "text/utf8.h"

/* U+2581, the visible space. */
static const char space_symbol[] = "\xE2\x96\x81";
#define SPACE_SYMBOL_LEN 3

/* The tokenizers library looks a cluster up as a whole only below this many bytes. */
#define CLUSTER_LOOKUP_LIMIT 6

/* Bounds the work per character on a map made to harm; real replacements stay below 40 bytes. */
#define MAX_REPLACEMENT 1024

static size_t longest_string(const char *pool, size_t len)
{
    size_t longest = 0;

    for (size_t at = 0; at < len; at++) {
        size_t n = strlen(pool + at);
        longest = n > longest ? n : longest;
        at += n;
    }
    return longest;
}

static uint32_t read_u32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

int dk_charsmap_init(dk_charsmap *m, const void *blob, size_t len, const char *name, dk_err *err)
{
    const uint8_t *p = blob;

    memset(m, 0, sizeof *m);
    if (len == 0)
        return 0;
    uint32_t bytes = len < 4 ? 0 : read_u32(p);
    if (len < 4 || bytes == 0 || bytes % 4 != 0 || bytes >= len - 4)
        return dk_fail(err, DK_EFORMAT,
                       "%s: precompiled_charsmap: a double array of %u bytes does not fit a map of "
                       "%zu bytes",
                       name, (unsigned)bytes, len);
    m->n = bytes / 4;
    m->pool_len = len - 4 - bytes;
    m->unit = malloc(bytes);
    m->pool = malloc(m->pool_len + 1);
    if (!m->unit || !m->pool) {
        dk_charsmap_free(m);
        return dk_fail(err, DK_ENOMEM, "%s: no memory for the map", name);
    }
    for (size_t i = 0; i < m->n; i++)
        m->unit[i] = read_u32(p + 4 + 4 * i);
    memcpy(m->pool, p + 4 + bytes, m->pool_len);
    m->pool[m->pool_len] = '\0';
    if (longest_string(m->pool, m->pool_len) > MAX_REPLACEMENT) {
        dk_charsmap_free(m);
        return dk_fail(err, DK_EFORMAT,
                       "%s: precompiled_charsmap: a replacement is longer than %d bytes", name,
                       MAX_REPLACEMENT);
    }
    return 0;
}

void dk_charsmap_free(dk_charsmap *m)
{
    free(m->unit);
    free(m->pool);
    memset(m, 0, sizeof *m);
}

/* Fields of a unit. Leaves hold a value and have bit 31 set, so they never match a label. */
static bool has_leaf(uint32_t unit)
{
    return unit >> 8 & 1;
}
static uint32_t label(uint32_t unit)
{
    return unit & 0x800000FFu;
}
static uint32_t offset(uint32_t unit)
{
    return (unit >> 10) << ((unit & 0x200) >> 6);
}
static uint32_t value(uint32_t unit)
{
    return unit & 0x7FFFFFFFu;
}

/* Length of the longest (or, with `shortest`, the shortest) key of the map that begins s; 0 if
 * there is none. *replacement then is its NUL-terminated replacement. */
static size_t look_up(const dk_charsmap *m, const char *s, size_t len, bool shortest,
                      const char **replacement)
{
    size_t best = 0;
    uint32_t node = m->n ? offset(m->unit[0]) : 0;

    for (size_t i = 0; i < len && m->n; i++) {
        uint8_t c = (uint8_t)s[i];
        node ^= c;
        if (c == 0 || node >= m->n || label(m->unit[node]) != c)
            break;
        uint32_t unit = m->unit[node];
        node ^= offset(unit);
        if (!has_leaf(unit))
            continue;
        if (node >= m->n || value(m->unit[node]) >= m->pool_len)
            break;
        *replacement = m->pool + value(m->unit[node]);
        best = i + 1;
        if (shortest)
            break;
    }
    return best;
}

int dk_normalized_too_long(size_t len, dk_err *err)
{
    return dk_fail(err, DK_EFORMAT, "normalisation turns a text of %zu bytes into more than %zu",
                   len, dk_normalized_limit(len));
}

/* The normal form of the beginning of s, and how many bytes it stands for. */
static size_t normalize_prefix(const dk_spm_normalizer *z, const char *s, size_t len,
                               const char **form, size_t *form_len)
{
    const char *replacement;
    int32_t unused;
    size_t n = z->user_defined.node ? dk_trie_longest(&z->user_defined, 0, s, len, &unused) : 0;

    if (n == 0 && (n = look_up(&z->map, s, len, false, &replacement))) {
        *form = replacement;
        *form_len = strlen(replacement);
        return n;
    }
    *form = s;
    if (n == 0) {
        int32_t c;
        n = dk_utf8_next(s, len, &c);
        if (c == 0xFFFD && n == 1) {
            *form = "\xEF\xBF\xBD";
            *form_len = 3;
            return 1;
        }
    }
    *form_len = n;
    return n;
}

static void put_spaced(const dk_spm_normalizer *z, const char *s, size_t len, dk_buf *out)
{
    for (size_t i = 0; i < len;) {
        if (s[i] == ' ' && z->escape_whitespaces) {
            dk_buf_add(out, space_symbol, SPACE_SYMBOL_LEN);
            i++;
            continue;
        }
        size_t from = i++;
        while (i < len && s[i] != ' ')
            i++;
        dk_buf_add(out, s + from, i - from);
    }
}

static void strip_trailing(dk_buf *out, size_t from, const char *space, size_t n)
{
    while (out->len - from >= n && memcmp(out->data + out->len - n, space, n) == 0)
        out->len -= n;
    if (out->data)
        out->data[out->len] = '\0';
}

int dk_spm_normalize(const dk_spm_normalizer *z, const char *s, size_t len, dk_buf *out,
                     dk_err *err)
{
    const char *form;
    size_t form_len, at = 0, from = out->len, limit = dk_normalized_limit(len);
    bool after_space = z->remove_extra_whitespaces;

    while (z->remove_extra_whitespaces && at < len) {
        size_t n = normalize_prefix(z, s + at, len - at, &form, &form_len);
        if (form_len != 1 || form[0] != ' ')
            break;
        at += n;
    }
    if (at == len)
        return 0;
    if (z->add_dummy_prefix && !z->whitespace_as_suffix)
        put_spaced(z, " ", 1, out);
    while (at < len) {
        at += normalize_prefix(z, s + at, len - at, &form, &form_len);
        for (; after_space && form_len && form[0] == ' '; form++)
            form_len--;
        if (form_len) {
            if (form_len > limit - (out->len - from))
                return dk_normalized_too_long(len, err);
            put_spaced(z, form, form_len, out);
            after_space = z->remove_extra_whitespaces && form[form_len - 1] == ' ';
            if (out->len - from > limit)
                return dk_normalized_too_long(len, err);
        }
    }
    if (z->remove_extra_whitespaces) {
        if (z->escape_whitespaces)
            strip_trailing(out, from, space_symbol, SPACE_SYMBOL_LEN);
        else
            strip_trailing(out, from, " ", 1);
    }
    if (z->add_dummy_prefix && z->whitespace_as_suffix)
        put_spaced(z, " ", 1, out);
    return 0;
}

/* End of the grapheme cluster that begins at s[at]. */
static size_t cluster_end(const char *s, size_t len, size_t at)
{
    utf8proc_int32_t state = 0;
    int32_t a, b;

    at += dk_utf8_next(s + at, len - at, &a);
    while (at < len) {
        size_t n = dk_utf8_next(s + at, len - at, &b);
        if (utf8proc_grapheme_break_stateful(a, b, &state))
            break;
        at += n;
        a = b;
    }
    return at;
}

int dk_charsmap_apply_clusters(const dk_charsmap *m, const char *s, size_t len, dk_buf *out,
                               dk_err *err)
{
    size_t from = out->len, limit = dk_normalized_limit(len);
    const char *replacement;

    for (size_t at = 0; at < len;) {
        size_t end = cluster_end(s, len, at);
        /* A key that is only a prefix of the cluster replaces the whole of it: the marks behind
         * are lost. So does the original. */
        if (end - at < CLUSTER_LOOKUP_LIMIT && look_up(m, s + at, end - at, true, &replacement)) {
            dk_buf_puts(out, replacement);
            at = end;
        }
        while (at < end) {
            int32_t c;
            size_t n = dk_utf8_next(s + at, end - at, &c);
            if (look_up(m, s + at, n, true, &replacement))
                dk_buf_puts(out, replacement);
            else
                dk_utf8_put(out, c);
            at += n;
        }
        if (out->len - from > limit)
            return dk_normalized_too_long(len, err);
    }
    return 0;
}
