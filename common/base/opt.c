/* See opt.h. getopt_long stays the engine: the table becomes its arrays, with the row number as the
 * value of each long option. */
#include "base/opt.h"

#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/version.h"

#define HELP_WIDTH 98
#define HELP_COLUMN 28
enum { LONG_BASE = 1000, LONG_NO = 2000, LONG_HELP = 3000, LONG_VERSION };

/* ---- Strict parsers. */

int dk_parse_i64(const char *s, int64_t lo, int64_t hi, const char *what, int64_t *out, dk_err *err)
{
    char *end;

    errno = 0;
    long long v = strtoll(s, &end, 10);
    bool plain = s[0] == '-' || (s[0] >= '0' && s[0] <= '9');
    if (!plain || end == s || *end || errno || v < lo || v > hi)
        return dk_fail(err, DK_EUSAGE, "%s: expected an integer in [%lld, %lld], found \"%s\"",
                       what, (long long)lo, (long long)hi, s);
    *out = v;
    return 0;
}

int dk_parse_f64(const char *s, double lo, double hi, const char *what, double *out, dk_err *err)
{
    char *end;
    double v = strtod(s, &end);
    /* strtod also takes blanks, hexadecimal numbers and words. */
    bool plain = s[0] != '+' && s[strspn(s, "+-.0123456789eE")] == '\0';

    if (!plain || end == s || *end || !isfinite(v) || v < lo || v > hi)
        return dk_fail(err, DK_EUSAGE, "%s: expected a number in [%g, %g], found \"%s\"", what, lo,
                       hi, s);
    *out = v;
    return 0;
}

int dk_parse_size(const char *s, const char *what, uint64_t *out, dk_err *err)
{
    char *end;
    int shift = 0;

    errno = 0;
    unsigned long long v = strtoull(s, &end, 10);
    if (*end && strchr("KMGT", *end))
        shift = 10 * (int)(strchr("KMGT", *end++) - "KMGT" + 1);
    if (s[0] < '0' || s[0] > '9' || *end || errno || (shift && v >> (64 - shift)))
        return dk_fail(err, DK_EUSAGE,
                       "%s: expected a size such as 4096, 128K, 2M or 1G, found \"%s\"", what, s);
    *out = v << shift;
    return 0;
}

int dk_parse_shard(const char *s, int *index, int *count, dk_err *err)
{
    const char *slash = strchr(s, '/');
    char first[24];
    int64_t i, n;

    if (!slash || slash == s || (size_t)(slash - s) >= sizeof first)
        return dk_fail(err, DK_EUSAGE, "--shard: expected I/N such as 2/8, found \"%s\"", s);
    memcpy(first, s, (size_t)(slash - s));
    first[slash - s] = '\0';
    if (dk_parse_i64(slash + 1, 1, 1000000, "--shard: N", &n, err) ||
        dk_parse_i64(first, 1, n, "--shard: I", &i, err))
        return err->code;
    *index = (int)i;
    *count = (int)n;
    return 0;
}

void dk_strlist_free(dk_strlist *l)
{
    free(l->items);
    *l = (dk_strlist){NULL, 0};
}

/* ---- Help. */

/* Wraps text at HELP_WIDTH with further lines at `indent`; `column` is where it starts. A newline
 * in the text begins a new line. */
static void wrap(FILE *out, const char *text, int column, int indent)
{
    bool first = true;

    while (*text) {
        size_t word = strcspn(text, " \n");
        int width = 0;
        for (size_t i = 0; i < word; i++)
            width += (text[i] & 0xC0) != 0x80; /* UTF-8: one column a character */
        if (!first && column + 1 + width > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        fprintf(out, "%s%.*s", first ? "" : " ", (int)word, text);
        column += width + !first;
        first = false;
        text += word;
        if (*text == '\n') {
            fprintf(out, "\n%*s", indent, "");
            column = indent;
            first = true;
        }
        text += *text != '\0';
    }
    fputc('\n', out);
}

static const char *argument(const dk_opt *o)
{
    return o->kind == DK_KIND_FLAG || o->kind == DK_KIND_COUNT ? NULL : o->arg;
}

static void help_line(FILE *out, const dk_opt *o)
{
    const char *arg = argument(o);
    dk_buf left = {0};

    if (o->short_name)
        dk_buf_printf(&left, "  -%c, --%s", o->short_name, o->long_name);
    else
        dk_buf_printf(&left, "      --%s", o->long_name);
    if (arg)
        dk_buf_printf(&left, " %s", arg);
    fputs(left.data, out);
    if (left.len + 2 > HELP_COLUMN)
        fprintf(out, "\n%*s", HELP_COLUMN, "");
    else
        fprintf(out, "%*s", HELP_COLUMN - (int)left.len, "");
    wrap(out, o->help, HELP_COLUMN, HELP_COLUMN);
    dk_buf_free(&left);
}

void dk_opt_help(const dk_opt_spec *spec, FILE *out)
{
    static const dk_opt builtin[] = {
        {DK_KIND_FLAG, 'h', "help", NULL, NULL, 0, 0, NULL, "this text"},
        {DK_KIND_FLAG, 'V', "version", NULL, NULL, 0, 0, NULL, "version and features"}};

    fprintf(out, "Usage: %s\n\n", spec->usage);
    wrap(out, spec->summary, 0, 0);
    fputc('\n', out);
    for (const dk_opt *o = spec->opts; o->kind != DK_KIND_END; o++) {
        if (o->kind == DK_KIND_GROUP)
            fprintf(out, "%s%s:\n", o == spec->opts ? "" : "\n", o->help);
        else
            help_line(out, o);
    }
    help_line(out, &builtin[0]);
    help_line(out, &builtin[1]);
    if (spec->footer)
        fprintf(out, "\n%s\n", spec->footer);
}

/* ---- Parsing. */

/* Edit distance, for "did you mean". */
static int distance(const char *a, const char *b)
{
    int row[64];
    int n = (int)strlen(b);

    if (n > 62 || strlen(a) > 62)
        return 99;
    for (int j = 0; j <= n; j++)
        row[j] = j;
    for (int i = 0; a[i]; i++) {
        int diagonal = row[0];
        row[0] = i + 1;
        for (int j = 0; j < n; j++) {
            int best = diagonal + (a[i] != b[j]);
            best = row[j + 1] + 1 < best ? row[j + 1] + 1 : best;
            best = row[j] + 1 < best ? row[j] + 1 : best;
            diagonal = row[j + 1];
            row[j + 1] = best;
        }
    }
    return row[n];
}

/* How far `name` is from an option: edits, or 1 when one begins the other ("negative-prompt"). */
static int apart(const char *name, const char *option)
{
    size_t n = strlen(name), m = strlen(option), common = n < m ? n : m;

    if (common >= 3 && strncmp(name, option, common) == 0)
        return 1;
    return distance(name, option);
}

/* getopt_long takes a beginning for the whole name; is `name` the beginning of several? */
static int ambiguous(const dk_opt_spec *spec, const char *name, dk_err *err)
{
    dk_buf b = {0};
    int n = 0;

    for (const dk_opt *o = spec->opts; o->kind != DK_KIND_END; o++)
        if (o->long_name && strncmp(name, o->long_name, strlen(name)) == 0)
            dk_buf_printf(&b, "%s--%s", n++ ? ", " : "", o->long_name);
    if (n > 1)
        dk_fail(err, DK_EUSAGE, "--%s may mean %s", name, b.data);
    dk_buf_free(&b);
    return n > 1 ? DK_EUSAGE : 0;
}

static int unknown_option(const dk_opt_spec *spec, const char *given, dk_err *err)
{
    const char *nearest = NULL;
    char name[64];

    snprintf(name, sizeof name, "%.*s", (int)strcspn(given, "="), given);
    if (strncmp(name, "--", 2) == 0) {
        int best = strlen(name + 2) < 5 ? 2 : 4; /* short names are all near each other */
        if (ambiguous(spec, name + 2, err))
            return DK_EUSAGE;
        for (const dk_opt *o = spec->opts; o->kind != DK_KIND_END; o++) {
            int d = o->long_name ? apart(name + 2, o->long_name) : best;
            if (d < best) {
                best = d;
                nearest = o->long_name;
            }
        }
    }
    if (nearest)
        return dk_fail(err, DK_EUSAGE, "unknown option %s; did you mean --%s?", name, nearest);
    return dk_fail(err, DK_EUSAGE, "unknown option %s; try --help", name);
}

static int set_enum(const dk_opt *o, const char *what, const char *value, dk_err *err)
{
    size_t n = strlen(value);

    for (const char *p = o->arg; n; p++) {
        size_t len = strcspn(p, "|");
        if (len == n && memcmp(p, value, n) == 0) {
            *(const char **)o->target = value;
            return 0;
        }
        p += len;
        if (!*p)
            break;
    }
    return dk_fail(err, DK_EUSAGE, "%s: expected one of %s, found \"%s\"", what, o->arg, value);
}

/* Limits of the table are doubles; 2^63 itself is no int64. */
static int64_t whole(double v)
{
    return v >= 0x1p63 ? INT64_MAX : v <= -0x1p63 ? INT64_MIN : (int64_t)v;
}

static int set_value(const dk_opt *o, const char *value, bool no, dk_err *err)
{
    char what[80];
    int64_t i;
    dk_strlist *list;

    snprintf(what, sizeof what, "--%s", o->long_name);
    if (o->given)
        *o->given = true;
    switch (o->kind) {
    case DK_KIND_FLAG: *(bool *)o->target = !no; return 0;
    case DK_KIND_COUNT: ++*(int *)o->target; return 0;
    case DK_KIND_STR: *(const char **)o->target = value; return 0;
    case DK_KIND_INT:
        return dk_parse_i64(value, whole(o->lo), whole(o->hi), what, o->target, err);
    case DK_KIND_SEED:
        if (dk_parse_i64(value, 0, INT64_MAX, what, &i, err))
            return DK_EUSAGE;
        *(uint64_t *)o->target = (uint64_t)i;
        return 0;
    case DK_KIND_SIZE: return dk_parse_size(value, what, o->target, err);
    case DK_KIND_F64: return dk_parse_f64(value, o->lo, o->hi, what, o->target, err);
    case DK_KIND_ENUM: return set_enum(o, what, value, err);
    case DK_KIND_BOOL01:
        if (dk_parse_i64(value, 0, 1, what, &i, err))
            return DK_EUSAGE;
        *(int *)o->target = (int)i;
        return 0;
    case DK_KIND_MULTI:
        list = o->target;
        list->items = dk_xrealloc(list->items, (size_t)(list->n + 1) * sizeof *list->items);
        list->items[list->n++] = value;
        return 0;
    case DK_KIND_END:
    case DK_KIND_GROUP: break;
    }
    return 0;
}

/* The arrays for getopt_long: every row under its name, flags also as no-NAME. */
typedef struct tables {
    struct option *longs;
    char *shorts, **owned;
    int n, n_owned;
} tables;

static void build(const dk_opt_spec *spec, tables *t)
{
    int rows = 0;

    while (spec->opts[rows].kind != DK_KIND_END)
        rows++;
    t->longs = dk_xcalloc((size_t)(2 * rows + 3), sizeof *t->longs);
    t->owned = dk_xcalloc((size_t)rows + 1, sizeof *t->owned);
    t->shorts = dk_xcalloc((size_t)(2 * rows + 8), 1);
    t->n = t->n_owned = 0;
    char *s = t->shorts;
    *s++ = ':'; /* tells a missing argument from an unknown option */
    for (int i = 0; i < rows; i++) {
        const dk_opt *o = &spec->opts[i];
        if (o->kind == DK_KIND_GROUP)
            continue;
        int has_arg = argument(o) ? required_argument : no_argument;
        t->longs[t->n++] = (struct option){o->long_name, has_arg, NULL, LONG_BASE + i};
        if (o->kind == DK_KIND_FLAG && strncmp(o->long_name, "no-", 3) != 0) {
            char *no = t->owned[t->n_owned++] = dk_xasprintf("no-%s", o->long_name);
            t->longs[t->n++] = (struct option){no, no_argument, NULL, LONG_NO + i};
        }
        if (o->short_name) {
            *s++ = o->short_name;
            if (has_arg)
                *s++ = ':';
        }
    }
    t->longs[t->n++] = (struct option){"help", no_argument, NULL, LONG_HELP};
    t->longs[t->n++] = (struct option){"version", no_argument, NULL, LONG_VERSION};
    *s++ = 'h';
    *s++ = 'V';
}

static void release(tables *t)
{
    for (int i = 0; i < t->n_owned; i++)
        free(t->owned[i]);
    free(t->owned);
    free(t->longs);
    free(t->shorts);
}

static const dk_opt *row_of_short(const dk_opt_spec *spec, int c)
{
    for (const dk_opt *o = spec->opts; o->kind != DK_KIND_END; o++)
        if (o->short_name && o->short_name == c)
            return o;
    return NULL;
}

/* getopt_long's complaints. optopt is the letter, or for long options the number of their row. */
static int complain(const dk_opt_spec *spec, int c, char **argv, dk_err *err)
{
    const char *given = argv[optind - 1];
    char letter[3] = {'-', (char)optopt, '\0'};

    if (optopt > 0 && optopt < LONG_BASE)
        given = letter;
    if (c == ':')
        return dk_fail(err, DK_EUSAGE, "%s needs an argument; try --help", given);
    if (optopt >= LONG_BASE)
        return dk_fail(err, DK_EUSAGE, "%.*s takes no argument", (int)strcspn(given, "="), given);
    return unknown_option(spec, given, err);
}

/* Help and version are results like any other: a full disk behind standard output is an error. */
static int printed(dk_err *err)
{
    return fflush(stdout) == 0 ? 1 : dk_fail_errno(err, "standard output");
}

/* One result of getopt_long. 0 go on, 1 help or version printed. */
static int handle(const dk_opt_spec *spec, int c, char **argv, dk_err *err)
{
    if (c == 'h' || c == LONG_HELP) {
        dk_opt_help(spec, stdout);
        return printed(err);
    }
    if (c == 'V' || c == LONG_VERSION) {
        char program[64];
        snprintf(program, sizeof program, "%.*s", (int)strcspn(spec->usage, " "), spec->usage);
        dk_version_print(stdout, program);
        return printed(err);
    }
    if (c == '?' || c == ':')
        return complain(spec, c, argv, err);
    if (c >= LONG_NO)
        return set_value(&spec->opts[c - LONG_NO], NULL, true, err);
    const dk_opt *o = c >= LONG_BASE ? &spec->opts[c - LONG_BASE] : row_of_short(spec, c);
    return set_value(o, optarg, false, err);
}

int dk_opt_parse(const dk_opt_spec *spec, int argc, char **argv, int *first_operand, dk_err *err)
{
    tables t;
    int c, rc = 0;

    build(spec, &t);
    opterr = 0;
    optind = 0; /* glibc: start over, also after an earlier call */
    while (rc == 0 && (c = getopt_long(argc, argv, t.shorts, t.longs, NULL)) != -1)
        rc = handle(spec, c, argv, err);
    *first_operand = optind;
    release(&t);
    return rc;
}
