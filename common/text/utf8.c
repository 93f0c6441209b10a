/* See utf8.h. Character classes, case mappings and decompositions come from utf8proc. */
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"

#define REPLACEMENT   0xFFFD
#define CAPITAL_SIGMA 0x3A3
#define FINAL_SIGMA   0x3C2
#define SMALL_SIGMA   0x3C3
#define CAPITAL_I_DOT 0x130

size_t dk_utf8_next(const char *s, size_t len, int32_t *cp)
{
    if ((unsigned char)s[0] < 0x80) {
        *cp = s[0];
        return 1;
    }
    /* utf8proc looks at four bytes at most; more would not fit its signed length. */
    utf8proc_ssize_t n =
        utf8proc_iterate((const utf8proc_uint8_t *)s, (utf8proc_ssize_t)(len < 4 ? len : 4), cp);
    if (n > 0 && *cp >= 0)
        return (size_t)n;
    *cp = REPLACEMENT;
    return 1;
}

size_t dk_utf8_prev(const char *s, size_t len, int32_t *cp)
{
    for (size_t n = 1; n <= 4 && n <= len; n++) {
        if (((unsigned char)s[len - n] & 0xC0) == 0x80)
            continue;
        if (dk_utf8_next(s + len - n, n, cp) == n)
            return n;
        break;
    }
    *cp = REPLACEMENT;
    return 1;
}

void dk_utf8_put(dk_buf *out, int32_t cp)
{
    utf8proc_uint8_t bytes[4];

    if (cp >= 0 && cp < 0x80)
        dk_buf_putc(out, (char)cp);
    else
        dk_buf_add(out, bytes, (size_t)utf8proc_encode_char(cp, bytes));
}

size_t dk_utf8_invalid(const char *s, size_t len)
{
    size_t at = 0;

    while (at < len) {
        int32_t cp;
        size_t n = dk_utf8_next(s + at, len - at, &cp);
        if (cp == REPLACEMENT && n == 1)
            break;
        at += n;
    }
    return at;
}

bool dk_utf8_is_space(int32_t c)
{
    return (c >= 9 && c <= 13) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* What Python strips: White_Space and the four information separators. */
static bool is_python_space(int32_t c)
{
    return dk_utf8_is_space(c) || (c >= 0x1C && c <= 0x1F);
}

void dk_utf8_strip(const char *s, size_t len, size_t *begin, size_t *end)
{
    int32_t c;

    *begin = 0;
    *end = len;
    while (*begin < len) {
        size_t n = dk_utf8_next(s + *begin, len - *begin, &c);
        if (!is_python_space(c))
            break;
        *begin += n;
    }
    while (*end > *begin) {
        size_t n = dk_utf8_prev(s + *begin, *end - *begin, &c);
        if (!is_python_space(c))
            break;
        *end -= n;
    }
}

/* ---- Lower case (The Unicode Standard, section 3.13: conditions of Final_Sigma). */

static bool in(int32_t c, int32_t first, int32_t last)
{
    return c >= first && c <= last;
}

static bool is_case_ignorable(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
        return true;
    default:
        break;
    }
    /* Word_Break = MidLetter, MidNumLet, Single_Quote */
    return c == 0x27 || c == 0x2E || c == 0x3A || c == 0xB7 || c == 0x387 || c == 0x55F ||
           c == 0x5F4 || c == 0x2018 || c == 0x2019 || c == 0x2024 || c == 0x2027 || c == 0xFE13 ||
           c == 0xFE52 || c == 0xFE55 || c == 0xFF07 || c == 0xFF0E || c == 0xFF1A;
}

/* Cased characters that are not case-ignorable (those are skipped before this is asked). */
static bool is_cased(int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
        return true;
    default: /* Other_Lowercase, Other_Uppercase */
        return c == 0xAA || c == 0xBA || in(c, 0x2160, 0x217F) || in(c, 0x24B6, 0x24E9) ||
               in(c, 0x1F130, 0x1F149) || in(c, 0x1F150, 0x1F169) || in(c, 0x1F170, 0x1F189);
    }
}

/* Is the capital sigma at s[at..at+n) the last letter of a word of at least two letters? Both scans
 * stop at the next cased letter, so a text full of sigmas stays linear. */
static bool is_final_sigma(const char *s, size_t len, size_t at, size_t n)
{
    int32_t c = 0;
    bool before = false;

    for (size_t i = at; i > 0 && !before;) {
        i -= dk_utf8_prev(s, i, &c);
        if (is_case_ignorable(c))
            continue;
        if (!is_cased(c))
            return false;
        before = true;
    }
    if (!before)
        return false;
    for (size_t i = at + n; i < len;) {
        i += dk_utf8_next(s + i, len - i, &c);
        if (!is_case_ignorable(c))
            return !is_cased(c);
    }
    return true;
}

void dk_utf8_lower(const char *s, size_t len, dk_buf *out)
{
    for (size_t at = 0; at < len;) {
        int32_t c;
        size_t n = dk_utf8_next(s + at, len - at, &c);
        if (c == CAPITAL_SIGMA) {
            dk_utf8_put(out, is_final_sigma(s, len, at, n) ? FINAL_SIGMA : SMALL_SIGMA);
        } else if (c == CAPITAL_I_DOT) {
            dk_buf_puts(out, "i\xCC\x87");
        } else {
            int32_t lower = utf8proc_tolower(c);
            if (lower == c)
                dk_buf_add(out, s + at, n);
            else
                dk_utf8_put(out, lower);
        }
        at += n;
    }
}

/* ---- Normal forms. */

#define MAX_DECOMPOSITION 32 /* U+FDFA becomes 18 characters, the longest */
#define SHORT_RUN         32

static int combining_class(int32_t c)
{
    return utf8proc_get_property(c)->combining_class;
}

/* Stable sort of a run of non-starters by combining class; counting for long runs. */
static void sort_run(int32_t *c, size_t n)
{
    if (n <= SHORT_RUN) {
        for (size_t i = 1; i < n; i++) {
            int32_t x = c[i];
            size_t k = i;
            for (; k > 0 && combining_class(c[k - 1]) > combining_class(x); k--)
                c[k] = c[k - 1];
            c[k] = x;
        }
        return;
    }
    size_t start[257] = {0};
    int32_t *copy = dk_xmalloc(n * sizeof *copy);
    memcpy(copy, c, n * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        start[combining_class(copy[i]) + 1]++;
    for (int k = 1; k < 257; k++)
        start[k] += start[k - 1];
    for (size_t i = 0; i < n; i++)
        c[start[combining_class(copy[i])]++] = copy[i];
    free(copy);
}

static void canonical_order(int32_t *c, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t end = i;
        while (end < n && combining_class(c[end]) != 0)
            end++;
        if (end - i > 1)
            sort_run(c + i, end - i);
        i = end + 1;
    }
}

static bool is_ascii(const char *s, size_t len)
{
    unsigned char all = 0;
    for (size_t i = 0; i < len; i++)
        all |= (unsigned char)s[i];
    return all < 0x80;
}

void dk_utf8_normalize(const char *s, size_t len, dk_normal_form form, dk_buf *out)
{
    utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE;
    size_t n = 0, cap = len + MAX_DECOMPOSITION;
    int32_t *c, here[MAX_DECOMPOSITION];

    if (is_ascii(s, len)) {
        dk_buf_add(out, s, len);
        return;
    }
    if (form == DK_NFKC || form == DK_NFKD)
        options |= UTF8PROC_COMPAT;
    c = dk_xmalloc(cap * sizeof *c);
    for (size_t at = 0; at < len;) {
        int32_t cp;
        at += dk_utf8_next(s + at, len - at, &cp);
        utf8proc_ssize_t k = utf8proc_decompose_char(cp, here, MAX_DECOMPOSITION, options, NULL);
        if (k < 0 || k > MAX_DECOMPOSITION) {
            here[0] = cp;
            k = 1;
        }
        if (cap - n < (size_t)k) {
            cap += cap / 2 + MAX_DECOMPOSITION;
            c = dk_xrealloc(c, cap * sizeof *c);
        }
        memcpy(c + n, here, (size_t)k * sizeof *c);
        n += (size_t)k;
    }
    canonical_order(c, n);
    if (form == DK_NFC || form == DK_NFKC) {
        utf8proc_ssize_t k =
            utf8proc_normalize_utf32(c, (utf8proc_ssize_t)n, UTF8PROC_STABLE | UTF8PROC_COMPOSE);
        n = k < 0 ? n : (size_t)k;
    }
    for (size_t i = 0; i < n; i++)
        dk_utf8_put(out, c[i]);
    free(c);
}
