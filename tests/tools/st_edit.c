/* st_edit VERB IN OUT [ARGUMENTS]: copies of a safetensors file as other people's files are, or as
 * they must not be, for the command-line cases.
 *
 *     st_edit convert IN OUT DTYPE         every floating tensor in F16, BF16, F32 or F64
 *     st_edit rename  IN OUT FROM TO       FROM in a name becomes TO
 *     st_edit add     IN OUT NAME          one more tensor
 *     st_edit drop    IN OUT NAME          one tensor less
 *     st_edit fill    IN OUT NAME VALUE    all of a tensor is VALUE ("nan", "inf", a number)
 *     st_edit pad     IN OUT SPACES        so many spaces at the header's end, none kept
 *     st_edit shard   IN STEM PARTS        STEM-0000k-of-0000n.safetensors and their index
 */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "io/safetensors.h"

typedef struct job {
    const dk_st *in;
    const char *out;
    const char *a, *b; /* the verb's arguments */
    dk_err *err;
} job;

static int add_as_is(dk_st_writer *w, const dk_st_tensor *t, const char *name, dk_err *err)
{
    return dk_st_writer_add_copy(w, name, t->dtype, t->ndim, t->shape, t->data, err);
}

static int add_converted(dk_st_writer *w, const dk_st_tensor *t, dk_dtype to, const float *fill,
                         dk_err *err)
{
    size_t n = (size_t)t->count;
    float *f = dk_alloc(n * sizeof *f, "floats", err);
    void *data = dk_alloc(n * 8, "copy", err);

    if (f && data) {
        dk_to_f32(t->dtype, t->data, f, n);
        for (size_t i = 0; fill && i < n; i++)
            f[i] = *fill;
        dk_from_f32(to, f, data, n);
        dk_st_writer_add_copy(w, t->name, to, t->ndim, t->shape, data, err);
    }
    dk_free_aligned(f);
    dk_free_aligned(data);
    return err->code;
}

static int convert(const job *j, dk_st_writer *w, const dk_st_tensor *t)
{
    int to = dk_dtype_parse(j->a);

    if (to < 0 || !dk_dtype_is_float((dk_dtype)to))
        return dk_fail(j->err, DK_EUSAGE, "no floating dtype: %s", j->a);
    return dk_dtype_is_float(t->dtype) ? add_converted(w, t, (dk_dtype)to, NULL, j->err)
                                       : add_as_is(w, t, t->name, j->err);
}

static int rename_one(const job *j, dk_st_writer *w, const dk_st_tensor *t)
{
    const char *at = strstr(t->name, j->a);
    char *name = at ? dk_xasprintf("%.*s%s%s", (int)(at - t->name), t->name, j->b,
                                   at + strlen(j->a))
                    : dk_xstrdup(t->name);
    int rc = add_as_is(w, t, name, j->err);
    free(name);
    return rc;
}

static int add(const job *j, dk_st_writer *w, const dk_st_tensor *t)
{
    if (t == dk_st_at(j->in, 0) && add_as_is(w, t, j->a, j->err))
        return j->err->code;
    return add_as_is(w, t, t->name, j->err);
}

static int drop(const job *j, dk_st_writer *w, const dk_st_tensor *t)
{
    return strcmp(t->name, j->a) == 0 ? 0 : add_as_is(w, t, t->name, j->err);
}

static int fill(const job *j, dk_st_writer *w, const dk_st_tensor *t)
{
    float value = strtof(j->b, NULL);
    return strcmp(t->name, j->a) == 0 ? add_converted(w, t, t->dtype, &value, j->err)
                                      : add_as_is(w, t, t->name, j->err);
}

/* A verb that works tensor by tensor. */
static int rewrite(const job *j, int (*each)(const job *, dk_st_writer *, const dk_st_tensor *))
{
    dk_st_writer *w = dk_st_writer_new();

    for (size_t i = 0; i < dk_st_count(j->in) && !j->err->code; i++)
        each(j, w, dk_st_at(j->in, i));
    if (!j->err->code)
        dk_st_writer_save(w, j->out, true, j->err);
    dk_st_writer_free(w);
    return j->err->code;
}

static void write_u64(FILE *f, size_t v)
{
    for (int i = 0; i < 8; i++)
        fputc((int)(v >> (8 * i) & 0xFF), f);
}

static int pad(const job *j)
{
    size_t len, header = 0, spaces = (size_t)strtoul(j->a, NULL, 10);
    const unsigned char *bytes = dk_st_bytes(j->in, &len);
    FILE *f = fopen(j->out, "wb");

    if (!f)
        return dk_fail_errno(j->err, "%s", j->out);
    for (int i = 7; i >= 0; i--)
        header = header << 8 | bytes[i];
    const unsigned char *data = bytes + 8 + header;
    while (bytes[8 + header - 1] == ' ')
        header--;
    write_u64(f, header + spaces);
    fwrite(bytes + 8, 1, header, f);
    for (size_t i = 0; i < spaces; i++)
        fputc(' ', f);
    fwrite(data, 1, (size_t)(bytes + len - data), f);
    return fclose(f) ? dk_fail_errno(j->err, "%s", j->out) : 0;
}

/* Tensor i goes to part i modulo parts: neighbours in different files. */
static int shard(const job *j)
{
    size_t parts = (size_t)strtoul(j->a, NULL, 10);
    json_t *root = json_object(), *map = json_object();
    char *path = dk_xasprintf("%s.safetensors.index.json", j->out);

    for (size_t k = 0; k < parts && !j->err->code; k++) {
        char *file = dk_xasprintf("%s-%05zu-of-%05zu.safetensors", j->out, k + 1, parts);
        dk_st_writer *w = dk_st_writer_new();
        for (size_t i = k; i < dk_st_count(j->in); i += parts) {
            const dk_st_tensor *t = dk_st_at(j->in, i);
            dk_st_writer_add(w, t->name, t->dtype, t->ndim, t->shape, t->data);
            json_object_set_new(map, t->name, json_string(dk_basename(file)));
        }
        dk_st_writer_save(w, file, true, j->err);
        dk_st_writer_free(w);
        free(file);
    }
    json_object_set_new(root, "weight_map", map);
    if (json_dump_file(root, path, JSON_INDENT(1)))
        dk_fail(j->err, DK_EFAIL, "%s: cannot write", path);
    json_decref(root);
    free(path);
    return j->err->code;
}

static int run(const char *verb, const job *j)
{
    static const struct {
        const char *verb;
        int (*each)(const job *, dk_st_writer *, const dk_st_tensor *);
    } verbs[] = {{"convert", convert}, {"rename", rename_one}, {"add", add},
                 {"drop", drop},       {"fill", fill}};

    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verb, verbs[i].verb) == 0)
            return rewrite(j, verbs[i].each);
    if (strcmp(verb, "pad") == 0)
        return pad(j);
    if (strcmp(verb, "shard") == 0)
        return shard(j);
    return dk_fail(j->err, DK_EUSAGE, "unknown verb %s", verb);
}

int main(int argc, char **argv)
{
    static dk_err err;
    dk_st *in;

    dk_err_init(&err);
    if (argc < 5) {
        fputs("usage: st_edit VERB IN OUT ARGUMENT [ARGUMENT]\n", stderr);
        return 2;
    }
    in = dk_st_open(argv[2], &err);
    if (in)
        run(argv[1],
            &(job){.in = in, .out = argv[3], .a = argv[4], .b = argc > 5 ? argv[5] : "", .err = &err});
    dk_st_close(in);
    if (err.code)
        fprintf(stderr, "st_edit: %s\n", err.msg);
    return err.code ? 1 : 0;
}
