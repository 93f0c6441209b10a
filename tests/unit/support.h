/* What several unit programs share: a scratch directory, model directories with deterministic
 * weights, and comparison with a few recorded numbers of an array. Failures end the running test
 * through cmocka. */
#ifndef TESTS_UNIT_SUPPORT_H
#define TESTS_UNIT_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "io/json.h"
#include "io/safetensors.h"
#include "io/weights.h"
#include "ops/ops.h"
#include "ops/params.h"

/* Fails the running test with the message of err unless rc is 0. */
#define ts_ok(rc, err) ts_ok_at((rc), (err), __FILE__, __LINE__)
void ts_ok_at(int rc, const dk_err *err, const char *file, int line);
/* err must have `code` and hold `text` somewhere in its message; clears it. */
#define ts_failed(err, code, text) ts_failed_at((err), (code), (text), __FILE__, __LINE__)
void ts_failed_at(dk_err *err, int code, const char *text, const char *file, int line);

/* The scratch directory, $DK_TEST_TMP or build/tmp; made if missing. */
const char *ts_tmp(void);
/* A new directory below it, "NAME.<process>.<count>"; malloc-ed path. */
char *ts_dir(const char *name);
/* What a program with files needs, once, at its top: `err`, `dir` (a directory called NAME), and
 * the functions for cmocka: set_up and tear_down of the group, fresh before each test. */
#define TS_SCRATCH(NAME)                                                                           \
    static dk_err err;                                                                             \
    static char *dir;                                                                              \
    static int set_up(void **state)                                                                \
    {                                                                                              \
        (void)state;                                                                               \
        dir = ts_dir(NAME);                                                                        \
        return 0;                                                                                  \
    }                                                                                              \
    static int tear_down(void **state)                                                             \
    {                                                                                              \
        (void)state;                                                                               \
        free(dir);                                                                                 \
        return 0;                                                                                  \
    }                                                                                              \
    static int fresh(void **state)                                                                 \
    {                                                                                              \
        (void)state;                                                                               \
        dk_err_init(&err);                                                                         \
        return 0;                                                                                  \
    }
void ts_write_text(const char *dir, const char *name, const char *text);

/* Values that depend on a tensor's name and an element's index alone: r in [-1, 1) from
 * splitmix64(fnv1a(name) + i), then "in.*" 1.5 r; "*.weight" 1 + 0.2 r (rank 1) or
 * r sqrt(3 / fan-in); "*.bias" 0.1 r; others 0.5 r. malloc-ed. */
float *ts_values(const char *name, int ndim, const int64_t *shape);

/* A component's directory in the making. */
typedef struct ts_model {
    char *dir;
    dk_st_writer *w;
    const char *renamed; /* tests of aliases: values of names with this ... */
    const char *as;      /* ... in them are stored under names with that instead */
} ts_model;
void ts_model_begin(ts_model *m, const char *name);
/* A tensor with the values of its name, or with given ones. */
void ts_add(ts_model *m, int ndim, const int64_t *shape, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void ts_add_data(ts_model *m, const char *name, int ndim, const int64_t *shape, const float *data);
/* NAME.weight [out, in] and, if bias, NAME.bias [out]. */
void ts_linear(ts_model *m, int64_t out, int64_t in, bool bias, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void ts_conv(ts_model *m, int64_t out, int64_t in, int64_t k, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
void ts_norm(ts_model *m, int64_t n, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* Writes config.json and model.safetensors. */
void ts_model_end(ts_model *m, const char *config);
void ts_model_free(ts_model *m);

/* A written component, opened. */
typedef struct ts_part {
    dk_json config;
    dk_weights *weights;
    dk_params *params;
} ts_part;
void ts_open(ts_part *p, const char *dir, const char *stem);
dk_jnode ts_config(const ts_part *p);
void ts_load(ts_part *p, const dk_ops *ops); /* dk_params_load */
void ts_close(ts_part *p);                   /* before the model itself is freed */

/* Both backends: for (int b = 0; b < TS_BACKENDS; b++) ... ts_backend(b). */
enum { TS_BACKENDS = 2 };
const dk_ops *ts_backend(int b);

/* Recorded numbers of an array: sum, sum of absolute values, first values. */
typedef struct ts_stats {
    double sum, abs, first[8];
    int n_first;
} ts_stats;
/* Each first value within tol * max|x|, abs within tol / 2 of itself, sum within tol / 2 of abs. */
void ts_check_stats(const char *what, const float *x, size_t n, const ts_stats *s, double tol);
/* max |x - ref| <= tol * max |ref|, nothing NaN. */
void ts_check_close(const char *what, const float *x, const float *ref, size_t n, double tol);
/* Tensor NAME of a recorded file as f32, its number of elements in *n; malloc-ed. */
float *ts_recorded(const dk_st *st, const char *name, size_t *n);

/* {"key": value} over a base object: json text with `patch` (an object) merged in; a JSON null
 * stays null, the string "-" removes the key. */
void ts_config_with(dk_json *out, const char *base, const char *patch);

#endif
