/* Options: one table gives parsing (over getopt_long), strict checks, defaults and --help.
 *
 *     static const dk_opt opts[] = {
 *         DK_OPT_STR('m', "model", &o.model, "DIR", "model directory in the hub's layout"),
 *         DK_OPT_INT(0, "steps", &o.steps, 1, 10000, "N", "denoising steps (default 20)"),
 *         DK_OPT_FLAG('f', "force", &o.force, "overwrite existing outputs"),
 *         DK_OPT_END };
 * Defaults are what the targets hold before parsing; help text states them. Numbers are parsed
 * strictly (whole string, range in the message). Unknown option: the nearest name is suggested. */
#ifndef DK_BASE_OPT_H
#define DK_BASE_OPT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

typedef enum {
    DK_KIND_END = 0,
    DK_KIND_FLAG,   /* bool *: set true; --no-NAME sets false */
    DK_KIND_COUNT,  /* int *: += 1 each time (-v -v) */
    DK_KIND_STR,    /* const char **: points into argv */
    DK_KIND_INT,    /* int64_t *: decimal, in [lo, hi] */
    DK_KIND_SEED,   /* uint64_t *: decimal, 0 .. 2^63-1 */
    DK_KIND_SIZE,   /* uint64_t * bytes: 128K, 2M, 1G (powers of 1024), bare number = bytes */
    DK_KIND_F64,    /* double *: in [lo, hi]; nan and inf refused */
    DK_KIND_ENUM,   /* const char **: one of `choices`, "a|b|c" */
    DK_KIND_BOOL01, /* int *: 0 or 1 */
    DK_KIND_MULTI,  /* dk_strlist *: may be given several times */
    DK_KIND_GROUP   /* a heading in --help, nothing else */
} dk_opt_kind;

typedef struct dk_strlist {
    const char **items;
    int n;
} dk_strlist;

typedef struct dk_opt {
    dk_opt_kind kind;
    char short_name; /* 0: none */
    const char *long_name;
    void *target;
    bool *given; /* optional: set true when the option appears */
    double lo, hi;
    const char *arg; /* name of the argument in --help, or the choices of an enum */
    const char *help;
} dk_opt;

#define DK_OPT_GROUP(title) {DK_KIND_GROUP, 0, NULL, NULL, NULL, 0, 0, NULL, title}
#define DK_OPT_FLAG(c, name, t, help) {DK_KIND_FLAG, c, name, t, NULL, 0, 0, NULL, help}
#define DK_OPT_COUNT(c, name, t, help) {DK_KIND_COUNT, c, name, t, NULL, 0, 0, NULL, help}
#define DK_OPT_STR(c, name, t, arg, help) {DK_KIND_STR, c, name, t, NULL, 0, 0, arg, help}
#define DK_OPT_INT(c, name, t, lo, hi, arg, help) {DK_KIND_INT, c, name, t, NULL, lo, hi, arg, help}
#define DK_OPT_F64(c, name, t, lo, hi, arg, help) {DK_KIND_F64, c, name, t, NULL, lo, hi, arg, help}
#define DK_OPT_SEED(c, name, t, help) {DK_KIND_SEED, c, name, t, NULL, 0, 0, "SEED", help}
#define DK_OPT_SIZE(c, name, t, help) {DK_KIND_SIZE, c, name, t, NULL, 0, 0, "SIZE", help}
#define DK_OPT_ENUM(c, name, t, choices, help) {DK_KIND_ENUM, c, name, t, NULL, 0, 0, choices, help}
#define DK_OPT_BOOL01(c, name, t, help) {DK_KIND_BOOL01, c, name, t, NULL, 0, 1, "0|1", help}
#define DK_OPT_MULTI(c, name, t, arg, help) {DK_KIND_MULTI, c, name, t, NULL, 0, 0, arg, help}
#define DK_OPT_END {DK_KIND_END, 0, NULL, NULL, NULL, 0, 0, NULL, NULL}

typedef struct dk_opt_spec {
    const char *usage;   /* "dit-sample -m DIR --prompt TEXT -o FILE.png [options]" (lines) */
    const char *summary; /* one or two sentences */
    const dk_opt *opts;
    const char *footer;  /* examples, exit codes; may be NULL */
} dk_opt_spec;

/* Parses argv[1..]. Operands (everything that is no option; all of it after "--") are permuted to
 * the end; *first_operand is the index of the first. Returns 0, 1 when --help or --version was
 * printed on stdout (the caller exits 0), or DK_EUSAGE. -h/--help and -V/--version are built in. */
int dk_opt_parse(const dk_opt_spec *spec, int argc, char **argv, int *first_operand, dk_err *err);
void dk_opt_help(const dk_opt_spec *spec, FILE *out);
void dk_strlist_free(dk_strlist *l);

/* Strict parsers, also for values inside files. `what` names the value in the message. */
int dk_parse_i64(const char *s, int64_t lo, int64_t hi, const char *what, int64_t *out, dk_err *err);
int dk_parse_f64(const char *s, double lo, double hi, const char *what, double *out, dk_err *err);
int dk_parse_size(const char *s, const char *what, uint64_t *out, dk_err *err);
/* "--shard I/N", 1 <= I <= N. */
int dk_parse_shard(const char *s, int *index, int *count, dk_err *err);

#endif
