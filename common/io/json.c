/* See json.h.
 *
 * Bare Infinity, -Infinity and NaN: jansson refuses them, so a pre-pass replaces each by a string that
 * no document can hold (U+007F U+0001 in front: a document with an escaped U+0001 gets no pre-pass, and
 * a raw one is no JSON), and dk_json_f64 reads these strings as the reals they stand for. */
#include "io/json.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"

#define MAX_DOCUMENT ((size_t)256 << 20)
/* Written as JSON escapes; jansson turns them into the two characters. */
#define MARK_JSON "\\u007f\\u0001"
#define MARK "\x7f\x01"

static const struct {
    const char *word, *json, *value;
    double v;
} special[] = {
    {"-Infinity", "\"" MARK_JSON "-\"", MARK "-", -INFINITY},
    {"Infinity", "\"" MARK_JSON "+\"", MARK "+", INFINITY},
    {"NaN", "\"" MARK_JSON "n\"", MARK "n", NAN},
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

/* Copies the document with the words replaced. */
static void replace_words(const char *data, size_t len, dk_buf *out)
{
    bool in_string = false;
    size_t from = 0;

    for (size_t i = 0; i < len; i++) {
        if (in_string) {
            if (data[i] == '\\')
                i++;
            else if (data[i] == '"')
                in_string = false;
            continue;
        }
        if (data[i] == '"') {
            in_string = true;
        } else if (data[i] == '-' || data[i] == 'I' || data[i] == 'N') {
            int k = special_at(data + i, len - i);
            if (k < 0)
                continue;
            dk_buf_add(out, data + from, i - from);
            dk_buf_puts(out, special[k].json);
            i += strlen(special[k].word) - 1;
            from = i + 1;
        }
    }
    dk_buf_add(out, data + from, len - from);
}

/* Could the document smuggle in the mark? U+0001 can only be written escaped in valid JSON. */
static bool holds_mark(const char *data, size_t len)
{
    for (size_t i = 0; i + 6 <= len; i++)
        if (data[i] == '\\' && memcmp(data + i, "\\u0001", 6) == 0)
            return true;
    return false;
}

static bool needs_replacing(const char *data, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if ((data[i] == 'I' || data[i] == 'N') && special_at(data + i, len - i) >= 0)
            return true;
    return false;
}

int dk_json_parse(dk_json *j, const char *data, size_t len, const char *name, dk_err *err)
{
    dk_buf copy = {0};
    json_error_t e;

    *j = (dk_json){NULL, dk_xstrdup(name)};
    if (len > MAX_DOCUMENT)
        return dk_fail(err, DK_EFORMAT, "%s: larger than the limit of %zu bytes", name, MAX_DOCUMENT);
    if (needs_replacing(data, len) && !holds_mark(data, len)) {
        replace_words(data, len, &copy);
        data = copy.data;
        len = copy.len;
    }
    j->root = json_loadb(data, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &e);
    dk_buf_free(&copy);
    if (!j->root)
        return dk_fail(err, DK_EFORMAT, "%s: line %d, column %d: %s", name, e.line, e.column, e.text);
    return 0;
}

int dk_json_load(dk_json *j, const char *path, dk_err *err)
{
    char *data;
    size_t len;

    *j = (dk_json){NULL, NULL};
    if (dk_read_file(path, MAX_DOCUMENT, &data, &len, err))
        return DK_EFAIL;
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

bool dk_json_is_null(dk_jnode n) { return json_is_null(n.v); }

static int special_value(const json_t *v)
{
    const char *s = json_string_value(v);
    for (int i = 0; s && i < N_SPECIAL; i++)
        if (strcmp(s, special[i].value) == 0)
            return i;
    return -1;
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
        dk_buf_printf(&b, "\"%.60s\"", json_string_value(n.v));
    else if (json_is_number(n.v))
        dk_buf_printf(&b, "%.17g", json_number_value(n.v));
    else
        dk_buf_puts(&b, types[json_typeof(n.v)]);
    dk_fail(err, DK_EFORMAT, "%s: %s%sexpected %s, found %s", n.doc, n.at, n.at[0] ? ": " : "", what,
            dk_buf_str(&b));
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
    *out = (int)v;
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

static void dump_real(dk_buf *b, double v)
{
    char s[40];

    if (isnan(v)) {
        dk_buf_puts(b, "NaN");
        return;
    }
    if (isinf(v)) {
        dk_buf_puts(b, v > 0 ? "Infinity" : "-Infinity");
        return;
    }
    for (int digits = 1; digits <= 17; digits++) {
        snprintf(s, sizeof s, "%.*g", digits, v);
        if (strtod(s, NULL) == v)
            break;
    }
    dk_buf_puts(b, s);
    if (!strpbrk(s, ".e"))
        dk_buf_puts(b, ".0");
}

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
    case JSON_INTEGER: dk_buf_printf(b, "%" JSON_INTEGER_FORMAT, json_integer_value(v)); break;
    case JSON_REAL: dump_real(b, json_real_value(v)); break;
    case JSON_TRUE: dk_buf_puts(b, "true"); break;
    case JSON_FALSE: dk_buf_puts(b, "false"); break;
    case JSON_NULL: dk_buf_puts(b, "null"); break;
    }
}

void dk_json_dump(dk_buf *b, const json_t *v, bool indent) { dump(b, v, indent, 0); }
