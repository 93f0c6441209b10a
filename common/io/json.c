/* See json.h.
 *
 * What Python writes and jansson refuses is rewritten before the parse: bare Infinity, -Infinity
 * and NaN become strings that begin with a control character whose escape the document does not
 * hold (unescaped, JSON forbids it), so that no string of the document looks like them; integers
 * beyond 64 bits ("model_max_length": 1000000000000000019884624838656) become reals. After the
 * parse the marked strings are given a value that is not UTF-8, which no parsed string can have;
 * the readers and the writer know it. (jansson's own reals cannot be infinite.) */
#include "io/json.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "io/shortest_internal.h"

#define MAX_DOCUMENT ((size_t)256 << 20)

static const struct {
    const char *word;
    char tag;          /* behind the mark */
    const char *value; /* of the string in the tree */
    double v;
} special[] = {
    {"-Infinity", '-', "\xFF-", -INFINITY},
    {"Infinity", '+', "\xFF+", INFINITY},
    {"NaN", 'n', "\xFFn", NAN},
};
enum { N_SPECIAL = sizeof special / sizeof special[0] };

/* Which special word starts at p (n bytes left), or -1. */
static int special_at(const char *p, size_t n)
{
    for (int i = 0; i < N_SPECIAL; i++) {
        size_t len = strlen(special[i].word);
        if (n >= len && memcmp(p, special[i].word, len) == 0 &&
            (n == len || !(isalnum((unsigned char)p[len]) || p[len] == '_')))
            return i;
    }
    return -1;
}

/* Is the integer of n digits beyond what int64 holds? */
static bool too_big(const char *digits, size_t n, bool negative)
{
    const char *last = negative ? "9223372036854775808" : "9223372036854775807";
    return n > 19 || (n == 19 && memcmp(digits, last, 19) > 0);
}

/* Goes through the document outside its strings. Copies it to `out` with words and too large
 * integers rewritten; with out = NULL only tells whether there are any. */
static bool rewrite(const char *data, size_t len, char mark, dk_buf *out)
{
    bool found = false;
    size_t copied = 0, i = 0;

    while (i < len) {
        size_t from = i;
        if (data[i] == '"') {
            for (i++; i < len && data[i] != '"'; i++)
                i += data[i] == '\\';
            i++;
        } else if (isdigit((unsigned char)data[i])) {
            while (i < len && isdigit((unsigned char)data[i]))
                i++;
            size_t n = i - from;
            if (i < len && strchr(".eE", data[i]) && data[i]) {
                /* A real: its digits behind the point are no integer of their own. */
                while (i < len && (isalnum((unsigned char)data[i]) || strchr(".+-", data[i])))
                    i++;
            } else if (too_big(data + from, n, from > 0 && data[from - 1] == '-')) {
                found = true;
                if (out) {
                    dk_buf_add(out, data + copied, i - copied);
                    dk_buf_puts(out, "e0");
                    copied = i;
                }
            }
        } else {
            int k = strchr("-IN", data[i]) && data[i] ? special_at(data + i, len - i) : -1;
            i += k < 0 ? 1 : strlen(special[k].word);
            if (k >= 0) {
                found = true;
                if (out) {
                    dk_buf_add(out, data + copied, from - copied);
                    dk_buf_printf(out, "\"\\u%04x%c\"", mark, special[k].tag);
                    copied = i;
                }
            }
        }
    }
    if (out)
        dk_buf_add(out, data + copied, len - copied);
    return found;
}

/* A control character that no string of the document can hold: its escape \u00XX is not there, and
 * it has no short escape. 0 when there is none. */
static char free_mark(const char *data, size_t len)
{
    bool used[32] = {
        [0] = true, ['\b'] = true, ['\t'] = true, ['\n'] = true, ['\f'] = true, ['\r'] = true};

    for (size_t i = 0; i + 6 <= len; i++) {
        if (memcmp(data + i, "\\u00", 4) != 0 || (data[i + 4] != '0' && data[i + 4] != '1'))
            continue;
        const char hex[2] = {data[i + 5], '\0'};
        char *end;
        unsigned long low = strtoul(hex, &end, 16);
        if (end != hex)
            used[(data[i + 4] - '0') * 16 + (int)low] = true;
    }
    for (char c = 1; c < 32; c++)
        if (!used[(int)c])
            return c;
    return 0;
}

/* Gives marked strings their value; false when a word stood where a key belongs. Recursion is
 * bounded by the parser (2048 levels). */
static bool settle(json_t *v, char mark)
{
    const char *key, *s;
    json_t *item;
    size_t i;

    switch (json_typeof(v)) {
    case JSON_OBJECT:
        json_object_foreach (v, key, item)
            if (key[0] == mark || !settle(item, mark))
                return false;
        break;
    case JSON_ARRAY:
        json_array_foreach (v, i, item)
            if (!settle(item, mark))
                return false;
        break;
    case JSON_STRING:
        s = json_string_value(v);
        for (int k = 0; s[0] == mark && k < N_SPECIAL; k++)
            if (s[1] == special[k].tag)
                return json_string_set_nocheck(v, special[k].value) == 0;
        break;
    default:
        break;
    }
    return true;
}

int dk_json_parse(dk_json *j, const char *data, size_t len, const char *name, dk_err *err)
{
    dk_buf copy = {0};
    json_error_t e;
    char mark = 0;

    *j = (dk_json){NULL, NULL};
    if (len > MAX_DOCUMENT)
        return dk_fail(err, DK_EFORMAT, "%s: larger than the limit of %zu bytes", name,
                       MAX_DOCUMENT);
    if (rewrite(data, len, 0, NULL) && (mark = free_mark(data, len)) != 0) {
        rewrite(data, len, mark, &copy);
        data = copy.data;
        len = copy.len;
    }
    json_t *root = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    dk_buf_free(&copy);
    if (!root)
        return dk_fail(err, DK_EFORMAT, "%s: line %d, column %d: %s", name, e.line, e.column,
                       e.text);
    if (mark && !settle(root, mark)) {
        json_decref(root);
        return dk_fail(err, DK_EFORMAT, "%s: expected a key in quotes, found a bare word", name);
    }
    *j = (dk_json){root, dk_xstrdup(name)};
    return 0;
}

int dk_json_load(dk_json *j, const char *path, dk_err *err)
{
    char *data;
    size_t len;

    *j = (dk_json){NULL, NULL};
    if (dk_read_file(path, MAX_DOCUMENT, &data, &len, err))
        return err->code;
    int rc = dk_json_parse(j, data, len, path, err);
    free(data);
    return rc;
}

void dk_json_free(dk_json *j)
{
    json_decref(j->root);
    free(j->name);
    *j = (dk_json){NULL, NULL};
}

/* ---- Nodes. */

dk_jnode dk_json_root(const dk_json *j)
{
    return (dk_jnode){.v = j->root, .doc = j->name ? j->name : "defaults"};
}

/* Path of a child; when it grows too long its beginning gives way to "...". */
static void extend(dk_jnode *n, const char *parent, const char *step)
{
    char full[2 * sizeof n->at];
    int len = snprintf(full, sizeof full, "%s%s", parent, step);

    if (len < (int)sizeof n->at) {
        memcpy(n->at, full, (size_t)len + 1);
    } else {
        size_t end = strlen(full), keep = sizeof n->at - 4;
        memcpy(n->at, "...", 3);
        memcpy(n->at + 3, full + end - keep, keep + 1);
    }
}

dk_jnode dk_json_key(dk_jnode obj, const char *key)
{
    dk_jnode n = {.v = json_object_get(obj.v, key), .doc = obj.doc};
    char step[sizeof n.at];
    snprintf(step, sizeof step, "%s%.190s", obj.at[0] ? "." : "", key);
    extend(&n, obj.at, step);
    return n;
}

dk_jnode dk_json_item(dk_jnode arr, size_t i)
{
    dk_jnode n = {.v = json_array_get(arr.v, i), .doc = arr.doc};
    char step[32];
    snprintf(step, sizeof step, "[%zu]", i);
    extend(&n, arr.at, step);
    return n;
}

bool dk_json_is_null(dk_jnode n)
{
    return json_is_null(n.v);
}

static int special_value(const json_t *v)
{
    const char *s = json_string_value(v);
    for (int i = 0; s && i < N_SPECIAL; i++)
        if (strcmp(s, special[i].value) == 0)
            return i;
    return -1;
}

static void dump_real(dk_buf *b, double v)
{
    char s[DK_SHORTEST_SIZE];

    if (!isfinite(v)) {
        dk_buf_puts(b, isnan(v) ? "NaN" : v > 0 ? "Infinity" : "-Infinity");
        return;
    }
    dk_shortest_f64(v, s);
    dk_buf_puts(b, s);
    if (!strpbrk(s, ".e"))
        dk_buf_puts(b, ".0");
}

/* The beginning of a string from the document, for a message; cut between characters. */
static void quote(dk_buf *b, const char *s)
{
    size_t n = strlen(s);

    if (n > 60) {
        n = 60;
        while (n > 0 && (s[n] & 0xC0) == 0x80)
            n--;
    }
    dk_buf_putc(b, '"');
    dk_buf_add(b, s, n);
    dk_buf_puts(b, s[n] ? "...\"" : "\"");
}

int dk_json_expected(dk_jnode n, const char *what, dk_err *err)
{
    static const char *const types[] = {"an object", "an array", "a string", "an integer",
                                        "a number",  "true",     "false",    "null"};
    dk_buf b = {0};

    if (!n.v)
        dk_buf_puts(&b, "nothing");
    else if (special_value(n.v) >= 0)
        dk_buf_puts(&b, special[special_value(n.v)].word);
    else if (json_is_string(n.v))
        quote(&b, json_string_value(n.v));
    else if (json_is_integer(n.v))
        dk_buf_printf(&b, "%" JSON_INTEGER_FORMAT, json_integer_value(n.v));
    else if (json_is_real(n.v))
        dump_real(&b, json_real_value(n.v));
    else
        dk_buf_puts(&b, types[json_typeof(n.v)]);
    dk_fail(err, DK_EFORMAT, "%s: %s%sexpected %s, found %s", n.doc, n.at, n.at[0] ? ": " : "",
            what, dk_buf_str(&b));
    dk_buf_free(&b);
    return DK_EFORMAT;
}

int dk_json_i64(dk_jnode obj, const char *key, int64_t def, int64_t lo, int64_t hi, int64_t *out,
                dk_err *err)
{
    dk_jnode n = dk_json_key(obj, key);
    char what[96];

    *out = def;
    if (!n.v || json_is_null(n.v))
        return 0;
    if (json_is_integer(n.v))
        *out = json_integer_value(n.v);
    else if (json_is_real(n.v) && fabs(json_real_value(n.v)) < 9e15 &&
             json_real_value(n.v) == floor(json_real_value(n.v)))
        *out = (int64_t)json_real_value(n.v);
    else
        return dk_json_expected(n, "an integer", err);
    if (*out < lo || *out > hi) {
        snprintf(what, sizeof what, "an integer in [%lld, %lld]", (long long)lo, (long long)hi);
        return dk_json_expected(n, what, err);
    }
    return 0;
}

int dk_json_int(dk_jnode obj, const char *key, int def, int lo, int hi, int *out, dk_err *err)
{
    int64_t v;
    int rc = dk_json_i64(obj, key, def, lo, hi, &v, err);
    *out = rc ? def : (int)v;
    return rc;
}

int dk_json_f64(dk_jnode obj, const char *key, double def, double *out, dk_err *err)
{
    dk_jnode n = dk_json_key(obj, key);

    *out = def;
    if (!n.v || json_is_null(n.v))
        return 0;
    int k = special_value(n.v);
    if (k >= 0)
        *out = special[k].v;
    else if (json_is_number(n.v))
        *out = json_number_value(n.v);
    else
        return dk_json_expected(n, "a number", err);
    return 0;
}

int dk_json_bool(dk_jnode obj, const char *key, bool def, bool *out, dk_err *err)
{
    dk_jnode n = dk_json_key(obj, key);

    *out = def;
    if (!n.v || json_is_null(n.v))
        return 0;
    if (!json_is_boolean(n.v))
        return dk_json_expected(n, "true or false", err);
    *out = json_is_true(n.v);
    return 0;
}

int dk_json_str(dk_jnode obj, const char *key, const char *def, const char **out, dk_err *err)
{
    dk_jnode n = dk_json_key(obj, key);

    *out = def;
    if (!n.v || json_is_null(n.v))
        return 0;
    if (!json_is_string(n.v) || special_value(n.v) >= 0)
        return dk_json_expected(n, "a string", err);
    *out = json_string_value(n.v);
    return 0;
}

/* ---- Writing. */

static void dump_string(dk_buf *b, const char *s, size_t len)
{
    dk_buf_putc(b, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == '"' || c == '\\')
            dk_buf_printf(b, "\\%c", c);
        else if (c == '\n')
            dk_buf_puts(b, "\\n");
        else if (c == '\t')
            dk_buf_puts(b, "\\t");
        else if (c == '\r')
            dk_buf_puts(b, "\\r");
        else if (c < 0x20)
            dk_buf_printf(b, "\\u%04x", c);
        else
            dk_buf_putc(b, (char)c);
    }
    dk_buf_putc(b, '"');
}

static void newline(dk_buf *b, bool indent, int depth)
{
    if (indent)
        dk_buf_printf(b, "\n%*s", 2 * depth, "");
}

/* Depth is bounded: values come from jansson's parser (2048) or from our own code. */
static void dump(dk_buf *b, const json_t *v, bool indent, int depth)
{
    const char *key, *comma = "";
    json_t *item;
    size_t i;

    switch (v ? json_typeof(v) : JSON_NULL) {
    case JSON_OBJECT:
        dk_buf_putc(b, '{');
        json_object_foreach ((json_t *)v, key, item) {
            dk_buf_puts(b, comma);
            newline(b, indent, depth + 1);
            dump_string(b, key, strlen(key));
            dk_buf_puts(b, indent ? ": " : ":");
            dump(b, item, indent, depth + 1);
            comma = ",";
        }
        if (*comma)
            newline(b, indent, depth);
        dk_buf_putc(b, '}');
        break;
    case JSON_ARRAY:
        dk_buf_putc(b, '[');
        json_array_foreach (v, i, item) {
            dk_buf_puts(b, comma);
            newline(b, indent, depth + 1);
            dump(b, item, indent, depth + 1);
            comma = ",";
        }
        if (*comma)
            newline(b, indent, depth);
        dk_buf_putc(b, ']');
        break;
    case JSON_STRING:
        if (special_value(v) >= 0)
            dump_real(b, special[special_value(v)].v);
        else
            dump_string(b, json_string_value(v), json_string_length(v));
        break;
    case JSON_INTEGER:
        dk_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        break;
    case JSON_REAL:
        dump_real(b, json_real_value(v));
        break;
    case JSON_TRUE:
        dk_buf_puts(b, "true");
        break;
    case JSON_FALSE:
        dk_buf_puts(b, "false");
        break;
    case JSON_NULL:
        dk_buf_puts(b, "null");
        break;
    }
}

void dk_json_dump(dk_buf *b, const json_t *v, bool indent)
{
    dump(b, v, indent, 0);
}
