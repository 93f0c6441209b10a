/* See support.h. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/mem.h"
#include "num/metrics.h"

void ts_ok_at(int rc, const dk_err *err, const char *file, int line)
{
    if (rc == 0 && err->code == 0)
        return;
    print_error("%s:%d: error %d: %s\n", file, line, err->code, err->code ? err->msg : "");
    fail();
}

void ts_failed_at(dk_err *err, int code, const char *text, const char *file, int line)
{
    if (err->code != code || !strstr(err->msg, text)) {
        print_error("%s:%d: expected error %d with \"%s\", found %d: %s\n", file, line, code, text,
                    err->code, err->code ? err->msg : "");
        fail();
    }
    dk_err_init(err);
}

const char *ts_tmp(void)
{
    const char *tmp = getenv("DK_TEST_TMP");

    if (!tmp) {
        mkdir("build", 0777);
        tmp = "build/tmp";
    }
    mkdir(tmp, 0777);
    return tmp;
}

char *ts_dir(const char *name)
{
    static int count;
    char *path = dk_xasprintf("%s/%s.%ld.%d", ts_tmp(), name, (long)getpid(), count++);

    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

void ts_write_text(const char *dir, const char *name, const char *text)
{
    char *path = dk_path_join(dir, name);
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    free(path);
}

/* ---- Deterministic weights. */

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

float *ts_values(const char *name, int ndim, const int64_t *shape)
{
    uint64_t h = dk_fnv1a64(name, strlen(name));
    int64_t count = 1;
    double scale = 0.5, offset = 0;

    for (int i = 0; i < ndim; i++)
        count *= shape[i];
    if (strncmp(name, "in.", 3) == 0) {
        scale = 1.5;
    } else if (ends_in(name, ".weight")) {
        offset = ndim == 1;
        scale = ndim == 1 ? 0.2 : sqrt(3.0 / ((double)count / (double)shape[0]));
    } else if (ends_in(name, ".bias")) {
        scale = 0.1;
    }
    float *x = dk_xmalloc((size_t)count * sizeof *x);
    for (int64_t i = 0; i < count; i++) {
        double u = (double)(dk_splitmix64(h + (uint64_t)i) >> 40) / 16777216.0;
        x[i] = (float)(offset + (2 * u - 1) * scale);
    }
    return x;
}

/* ---- Model directories. */

void ts_model_begin(ts_model *m, const char *name)
{
    *m = (ts_model){.dir = ts_dir(name), .w = dk_st_writer_new()};
}

void ts_add_data(ts_model *m, const char *name, int ndim, const int64_t *shape, const float *data)
{
    dk_err err;
    const char *at = m->renamed ? strstr(name, m->renamed) : NULL;
    char *stored =
        at ? dk_xasprintf("%.*s%s%s", (int)(at - name), name, m->as, at + strlen(m->renamed))
           : dk_xstrdup(name);

    dk_err_init(&err);
    ts_ok(dk_st_writer_add_copy(m->w, stored, DK_F32, ndim, shape, data, &err), &err);
    free(stored);
}

static void add_values(ts_model *m, const char *name, int ndim, const int64_t *shape)
{
    float *x = ts_values(name, ndim, shape);
    ts_add_data(m, name, ndim, shape, x);
    free(x);
}

#define NAME_FROM(fmt, name)                                                                       \
    char name[256];                                                                                \
    do {                                                                                           \
        va_list ap;                                                                                \
        va_start(ap, fmt);                                                                         \
        vsnprintf(name, sizeof name, fmt, ap);                                                     \
        va_end(ap);                                                                                \
    } while (0)

static void add_pair(ts_model *m, const char *name, int ndim, const int64_t *shape, bool bias)
{
    char full[272];

    snprintf(full, sizeof full, "%s.weight", name);
    add_values(m, full, ndim, shape);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias)
        add_values(m, full, 1, shape);
}

void ts_add(ts_model *m, int ndim, const int64_t *shape, const char *fmt, ...)
{
    NAME_FROM(fmt, name);
    add_values(m, name, ndim, shape);
}

void ts_linear(ts_model *m, int64_t out, int64_t in, bool bias, const char *fmt, ...)
{
    NAME_FROM(fmt, name);
    add_pair(m, name, DK_SHAPE(out, in), bias);
}

void ts_conv(ts_model *m, int64_t out, int64_t in, int64_t k, const char *fmt, ...)
{
    NAME_FROM(fmt, name);
    add_pair(m, name, DK_SHAPE(out, in, k, k), true);
}

void ts_norm(ts_model *m, int64_t n, const char *fmt, ...)
{
    NAME_FROM(fmt, name);
    add_pair(m, name, DK_SHAPE(n), true);
}

void ts_model_end(ts_model *m, const char *config)
{
    dk_err err;
    char *path = dk_path_join(m->dir, "model.safetensors");

    dk_err_init(&err);
    ts_write_text(m->dir, "config.json", config);
    ts_ok(dk_st_writer_save(m->w, path, false, &err), &err);
    free(path);
}

void ts_model_free(ts_model *m)
{
    dk_st_writer_free(m->w);
    free(m->dir);
}

void ts_open(ts_part *p, const char *dir, const char *stem)
{
    dk_err err;
    char *path = dk_path_join(dir, "config.json");

    dk_err_init(&err);
    ts_ok(dk_json_load(&p->config, path, &err), &err);
    p->weights = dk_weights_open(dir, dk_basename(dir), stem, NULL, &err);
    ts_ok(0, &err);
    p->params = dk_params_new(p->weights);
    free(path);
}

dk_jnode ts_config(const ts_part *p)
{
    return dk_json_root(&p->config);
}

void ts_load(ts_part *p, const dk_ops *ops)
{
    dk_err err;

    dk_err_init(&err);
    ts_ok(dk_params_load(p->params, ops, &err), &err);
}

void ts_close(ts_part *p)
{
    dk_params_free(p->params);
    dk_weights_close(p->weights);
    dk_json_free(&p->config);
}

const dk_ops *ts_backend(int b)
{
    return b == 0 ? dk_ops_reference() : dk_ops_cpu();
}

/* ---- Comparison. */

void ts_check_stats(const char *what, const float *x, size_t n, const ts_stats *s, double tol)
{
    double sum = 0, abs_sum = 0, top = dk_max_abs(x, n);
    bool ok = true;

    for (size_t i = 0; i < n; i++) {
        sum += (double)x[i];
        abs_sum += fabs((double)x[i]);
    }
    if (!(fabs(abs_sum - s->abs) <= tol / 2 * s->abs) || !(fabs(sum - s->sum) <= tol / 2 * s->abs))
        ok = false;
    for (int i = 0; i < s->n_first; i++)
        if (!(fabs((double)x[i] - s->first[i]) <= tol * top))
            ok = false;
    if (ok)
        return;
    print_error("%s: sum %.6f (expected %.6f), abs %.6f (expected %.6f); first", what, sum, s->sum,
                abs_sum, s->abs);
    for (int i = 0; i < s->n_first; i++)
        print_error(" %.6f (%.6f)", (double)x[i], s->first[i]);
    print_error("\n");
    fail();
}

void ts_check_close(const char *what, const float *x, const float *ref, size_t n, double tol)
{
    double top = dk_max_abs(ref, n), diff = dk_max_abs_diff(x, ref, n);

    if (diff <= tol * top)
        return;
    print_error("%s: max difference %g, allowed %g x %g\n", what, diff, tol, top);
    fail();
}

float *ts_recorded(const dk_st *st, const char *name, size_t *n)
{
    const dk_st_tensor *t = dk_st_find(st, name);

    if (!t)
        print_error("%s: no tensor %s\n", dk_st_path(st), name);
    assert_non_null(t);
    float *x = dk_xmalloc((size_t)t->count * sizeof *x);
    dk_to_f32(t->dtype, t->data, x, (size_t)t->count);
    *n = (size_t)t->count;
    return x;
}

void ts_config_with(dk_json *out, const char *base, const char *patch)
{
    dk_err err;
    dk_json p;
    const char *key;
    json_t *value;

    dk_err_init(&err);
    ts_ok(dk_json_parse(out, base, strlen(base), "config.json", &err), &err);
    ts_ok(dk_json_parse(&p, patch, strlen(patch), "patch", &err), &err);
    json_object_foreach(p.root, key, value)
    {
        const char *s = json_string_value(value);
        if (s && strcmp(s, "-") == 0)
            json_object_del(out->root, key);
        else
            json_object_set(out->root, key, value);
    }
    dk_json_free(&p);
}
