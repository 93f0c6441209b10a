/* See bert_chars.h.
 *
 * The tokenizers library decides with the tables of Unicode 8 and earlier: characters that were
 * assigned later are neither punctuation nor marks nor formats to it, and unassigned ones are kept.
 * The spans below name those later characters among today's; between the ends of a span there may
 * be characters of other classes, which does not matter. */
#include "text/bert_chars.h"

#include <stddef.h>
#include <utf8proc.h>

typedef struct span {
    int32_t first, last;
} span;

static const span late_punctuation[] = {
    {0x61D, 0x61D},     {0x9FD, 0xA76},     {0xC77, 0xC84},     {0x1B7D, 0x1B7E},
    {0x2E43, 0x2E5D},   {0x10EAD, 0x10F89}, {0x1144B, 0x1145D}, {0x11660, 0x116B9},
    {0x1183B, 0x11FFF}, {0x12FF1, 0x12FF2}, {0x16E97, 0x16FE2}, {0x1E95E, 0x1E95F},
};
static const span late_marks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x8E1},     {0x9FE, 0x9FE},     {0xAFA, 0xAFF},
    {0xB55, 0xB55},     {0xC04, 0xC3C},     {0xD00, 0xD00},     {0xD3B, 0xD3C},
    {0xD81, 0xD81},     {0xEBA, 0xEBA},     {0xECE, 0xECE},     {0x180F, 0x1886},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFB},   {0xA82C, 0xA82C},   {0xA8C5, 0xA8C5},
    {0xA8FF, 0xA8FF},   {0xA9BD, 0xA9BD},   {0x10D24, 0x10F85}, {0x11070, 0x11074},
    {0x110C2, 0x110C2}, {0x111C9, 0x111C9}, {0x111CF, 0x111CF}, {0x1123E, 0x11241},
    {0x1133B, 0x1133B}, {0x11438, 0x1145E}, {0x1182F, 0x13455}, {0x16F4F, 0x16F4F},
    {0x16FE4, 0x16FE4}, {0x1CF00, 0x1CF46}, {0x1E000, 0x1E4EF}, {0x1E944, 0x1E94A},
};
static const span late_format[] = {
    {0x890, 0x8E2},
    {0x110CD, 0x1343F},
};

static bool within(int32_t c, const span *s, size_t n)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (s[mid].last < c)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && s[lo].first <= c;
}
#define WITHIN(c, spans) within(c, spans, sizeof(spans) / sizeof *(spans))

bool dk_bert_is_dropped(int32_t c)
{
    if (c == 0 || c == 0xFFFD)
        return true;
    if (c == '\t' || c == '\n' || c == '\r')
        return false;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CO:
        return true;
    case UTF8PROC_CATEGORY_CF:
        return !WITHIN(c, late_format);
    default:
        return false;
    }
}

bool dk_bert_is_cjk(int32_t c)
{
    static const span cjk[] = {{0x3400, 0x4DBF},   {0x4E00, 0x9FFF},   {0xF900, 0xFAFF},
                               {0x20000, 0x2A6DF}, {0x2A700, 0x2B81F}, {0x2B920, 0x2CEAF},
                               {0x2F800, 0x2FA1F}};
    return WITHIN(c, cjk);
}

bool dk_bert_is_mark(int32_t c)
{
    /* U+1734 was a non-spacing mark until Unicode 14. */
    return c == 0x1734 || (utf8proc_category(c) == UTF8PROC_CATEGORY_MN && !WITHIN(c, late_marks));
}

bool dk_bert_is_punctuation(int32_t c)
{
    if (c < 128)
        return (c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) ||
               (c >= 123 && c <= 126);
    /* U+166D and U+111C9 have left the class since. */
    if (c == 0x166D || c == 0x111C9)
        return true;
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_PC:
    case UTF8PROC_CATEGORY_PD:
    case UTF8PROC_CATEGORY_PS:
    case UTF8PROC_CATEGORY_PE:
    case UTF8PROC_CATEGORY_PI:
    case UTF8PROC_CATEGORY_PF:
    case UTF8PROC_CATEGORY_PO:
        return !WITHIN(c, late_punctuation);
    default:
        return false;
    }
}
