/* io/weights and ops/params: directories as people have them, strict binding, and the slots that a
 * model's constructor registers. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/weights.h"
#include "ops/params.h"

#define STEM "diffusion_pytorch_model"

static char *top; /* scratch of this program */
static char *dir; /* the component's folder of the test in progress */
static dk_err err;

static int set_up(void **state)
{
    const char *tmp = getenv("DK_TEST_TMP");
    (void)state;
    if (!tmp) {
        mkdir("build", 0777);
        tmp = "build/tmp";
    }
    mkdir(tmp, 0777);
    top = dk_xasprintf("%s/weights.%ld", tmp, (long)getpid());
    return mkdir(top, 0777);
}

static int tear_down(void **state)
{
    (void)state;
    free(top);
    return 0;
}

/* A new model directory with an empty folder "vae". */
static int fresh(void **state)
{
    static int n;
    char *model = dk_xasprintf("%s/%d", top, n++);
    int rc = mkdir(model, 0777);
    (void)state;

    dk_err_init(&err);
    dir = dk_path_join(model, "vae");
    free(model);
    return rc | mkdir(dir, 0777);
}

static int leave(void **state)
{
    (void)state;
    free(dir);
    return 0;
}

static void put(const char *name, const char *text)
{
    char *path = dk_path_join(dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
    free(path);
}

static void put_link(const char *name, const char *target)
{
    char *path = dk_path_join(dir, name);
    assert_int_equal(symlink(target, path), 0);
    free(path);
}

/* A file of f32 tensors [2, 3], named by `names` (separated by spaces), all values `fill`. */
static void put_tensors(const char *name, const char *names, float fill)
{
    char *path = dk_path_join(dir, name), *list = dk_xstrdup(names), *next = NULL;
    dk_st_writer *w = dk_st_writer_new();
    float data[6];

    for (int i = 0; i < 6; i++)
        data[i] = fill;
    for (char *s = strtok_r(list, " ", &next); s; s = strtok_r(NULL, " ", &next))
        dk_st_writer_add(w, s, DK_F32, 2, (int64_t[]){2, 3}, data);
    if (dk_st_writer_save(w, path, true, &err))
        fail_msg("%s", err.msg);
    dk_st_writer_free(w);
    free(list);
    free(path);
}

static dk_weights *open_ok(const char *variant)
{
    dk_weights *w = dk_weights_open(dir, "vae", STEM, variant, &err);
    if (!w)
        fail_msg("%s", err.msg);
    return w;
}

static void assert_says(const char *what)
{
    if (!strstr(err.msg, what))
        fail_msg("\"%s\" says nothing of \"%s\"", err.msg, what);
}

static void assert_refused(const char *variant, const char *what)
{
    dk_err_init(&err);
    dk_weights *w = dk_weights_open(dir, "vae", STEM, variant, &err);
    assert_null(w);
    assert_int_equal(err.code, DK_EFORMAT);
    assert_says(what);
}

static float value(const dk_weights *w, const char *name)
{
    const dk_st_tensor *t = dk_weights_find(w, name);
    float x = -1;
    if (t)
        memcpy(&x, t->data, sizeof x);
    return x;
}

/* ---- One file. */

static void one_file(void **state)
{
    (void)state;
    put_tensors(STEM ".safetensors", "a b", 1);
    put_tensors("other.safetensors", "z", 2); /* of no interest beside the usual name */
    dk_weights *w = open_ok(NULL);
    assert_string_equal(dk_weights_label(w), "vae");
    assert_int_equal(dk_weights_files(w), 1);
    assert_int_equal(dk_weights_parameters(w), 12);
    assert_int_equal(dk_weights_bytes(w), 48);
    assert_null(dk_weights_find(w, "z"));
    const dk_st_tensor *t = dk_weights_find(w, "b");
    assert_string_equal(dk_weights_file_of(w, t), "vae/" STEM ".safetensors");
    assert_ptr_equal(dk_st_find(dk_weights_file(w, 0), "b"), t);
    dk_weights_close(w);
}

static void any_single_file(void **state)
{
    (void)state;
    put_tensors("emoji.safetensors", "a", 1);
    put("config.json", "{}");
    put("pytorch_model.bin", "pickle");
    dk_weights *w = open_ok(NULL);
    assert_string_equal(dk_weights_file_of(w, dk_weights_find(w, "a")), "vae/emoji.safetensors");
    dk_weights_close(w);
}

static void several_unrelated_files(void **state)
{
    (void)state;
    put_tensors("one.safetensors", "a", 1);
    put_tensors("two.safetensors", "a", 1);
    assert_refused(NULL, "vae: no " STEM ".safetensors");
    assert_says("one.safetensors, two.safetensors");
    assert_says("--variant");
}

static void nothing_readable(void **state)
{
    char *nowhere = dk_path_join(dir, "vae");
    (void)state;

    assert_refused(NULL, "vae: no weights (" STEM ".safetensors)");
    put(STEM ".bin", "pickle");
    assert_refused(NULL, "pickles");
    assert_says("convert");
    assert_says("not read");
    assert_null((dk_err_init(&err), dk_weights_open(nowhere, "vae", STEM, NULL, &err)));
    assert_int_equal(err.code, DK_EFORMAT);
    assert_says("\"vae\"");
    free(nowhere);
}

static void lfs_pointer(void **state)
{
    (void)state;
    put(STEM ".safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n");
    assert_refused(NULL, "vae/" STEM ".safetensors: is a git-LFS pointer");
    assert_says("git lfs pull");
}

static void corrupt_file(void **state)
{
    (void)state;
    put(STEM ".safetensors", "not at all a file of tensors");
    assert_refused(NULL, "vae/" STEM ".safetensors: ");
    assert_says("no safetensors file");
}

static void fifo_in_place_of_files(void **state)
{
    char *file = dk_path_join(dir, STEM ".safetensors.index.json");
    (void)state;

    assert_int_equal(mkfifo(file, 0600), 0);
    assert_refused(NULL, "regular file"); /* and does not wait */
    free(file);
}

/* ---- Variants and the hub's cache. */

static void variants_side_by_side(void **state)
{
    dk_weights *w;
    (void)state;

    put_tensors(STEM ".safetensors", "a", 1);
    put_tensors(STEM ".fp16.safetensors", "a", 2);
    put_tensors(STEM ".non_ema.safetensors", "a", 3);
    w = open_ok(NULL);
    assert_true(value(w, "a") == 1);
    dk_weights_close(w);
    w = open_ok("fp16");
    assert_true(value(w, "a") == 2);
    dk_weights_close(w);
    assert_refused("bf16", "no variant \"bf16\"");
    assert_says(STEM ".fp16.safetensors, " STEM ".non_ema.safetensors, " STEM ".safetensors");
}

static void hub_cache(void **state)
{
    (void)state;
    put_tensors("../0123abcd", "a", 1); /* a blob: no extension, reached through a link only */
    put_tensors("../4567cdef", "a", 2);
    put_link(STEM ".safetensors", "../0123abcd");
    put_link(STEM ".fp16.safetensors", "../4567cdef");
    dk_weights *w = open_ok(NULL);
    assert_true(value(w, "a") == 1);
    assert_string_equal(dk_weights_file_of(w, dk_weights_find(w, "a")), "vae/" STEM ".safetensors");
    dk_weights_close(w);
    w = open_ok("fp16");
    assert_true(value(w, "a") == 2);
    dk_weights_close(w);
}

/* A download that was cut off leaves links to blobs that are not there. */
static void link_to_nothing(void **state)
{
    (void)state;
    put_link(STEM ".safetensors", "../blob");
    put_tensors(STEM ".fp16.safetensors", "a", 2);
    assert_refused(NULL, "vae/" STEM ".safetensors: is a link to a file that is not there");
}

/* ---- Shards. */

#define INDEX STEM ".safetensors.index.json"
#define SHARD1 STEM "-00001-of-00002.safetensors"
#define SHARD2 STEM "-00002-of-00002.safetensors"

static void shards(void **state)
{
    (void)state;
    put_tensors(SHARD2, "b c extra", 2);
    put_tensors(SHARD1, "a", 1);
    put(INDEX, "{\"metadata\":{\"total_size\":72},\"weight_map\":{"
               "\"b\":\"" SHARD2 "\",\"a\":\"" SHARD1 "\",\"c\":\"" SHARD2 "\"}}");
    dk_weights *w = open_ok(NULL);
    assert_int_equal(dk_weights_files(w), 2);
    assert_true(value(w, "a") == 1 && value(w, "b") == 2 && value(w, "c") == 2);
    assert_null(dk_weights_find(w, "extra")); /* the index does not know it */
    assert_null(dk_weights_find(w, "d"));
    assert_string_equal(dk_weights_file_of(w, dk_weights_find(w, "c")), "vae/" SHARD2);
    assert_int_equal(dk_weights_parameters(w), 24);
    dk_weights_close(w);
}

static void shards_of_a_variant(void **state)
{
    static const char *const index[] = {STEM ".safetensors.index.fp16.json",
                                        STEM ".fp16.safetensors.index.json"};
    (void)state;

    put_tensors(STEM ".safetensors", "a", 1);
    put_tensors(STEM ".fp16-00001-of-00001.safetensors", "a", 5);
    for (int i = 0; i < 2; i++) {
        char *path = dk_path_join(dir, index[i]);
        put(index[i], "{\"weight_map\":{\"a\":\"" STEM ".fp16-00001-of-00001.safetensors\"}}");
        dk_weights *w = open_ok("fp16");
        assert_true(value(w, "a") == 5);
        dk_weights_close(w);
        unlink(path);
        free(path);
    }
}

static void index_names_absent_files(void **state)
{
    (void)state;
    put_tensors("s1.safetensors", "a", 1);
    put(INDEX, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s2.safetensors\","
               "\"c\":\"s3.safetensors\",\"d\":\"s2.safetensors\"}}");
    assert_refused(NULL, "vae/" INDEX ": 2 of its 3 files are not there: s2.safetensors, "
                         "s3.safetensors");
}

static void index_names_absent_tensors(void **state)
{
    (void)state;
    put_tensors("s1.safetensors", "a", 1);
    put_tensors("s2.safetensors", "b", 1);
    put(INDEX, "{\"weight_map\":{\"a\":\"s1.safetensors\",\"b\":\"s1.safetensors\","
               "\"c\":\"s2.safetensors\"}}");
    assert_refused(NULL, "vae/" INDEX ": 2 tensors are not in the file that the index names: "
                         "\"b\" (s1.safetensors), \"c\" (s2.safetensors)");
}

static void malformed_indexes(void **state)
{
    static const struct {
        const char *text, *why;
    } bad[] = {
        {"", "vae/" INDEX ": line 1"},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\"", "vae/" INDEX ": line 1"},
        {"[]", "weight_map: expected an object, found nothing"},
        {"{}", "weight_map: expected an object, found nothing"},
        {"{\"weight_map\":[]}", "weight_map: expected an object, found an array"},
        {"{\"weight_map\":{\"a\":1}}", "weight_map.a: expected the name of a file"},
        {"{\"weight_map\":{\"a\":\"\"}}", "weight_map.a: expected the name of a file"},
        {"{\"weight_map\":{\"a\":\"../s1.safetensors\"}}", "found \"../s1.safetensors\""},
        {"{\"weight_map\":{\"a\":\"/etc/passwd\"}}", "found \"/etc/passwd\""},
        {"{\"weight_map\":{\"a\":\"..\"}}", "found \"..\""},
        {"{\"weight_map\":{\"a\":\"s1.safetensors\",\"a\":\"s1.safetensors\"}}", "duplicate"},
        {"version https://git-lfs.github.com/spec/v1\n", "vae/" INDEX ": is a git-LFS pointer"},
    };
    (void)state;

    put_tensors("s1.safetensors", "a", 1);
    put_tensors("../s1.safetensors", "a", 1);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        put(INDEX, bad[i].text);
        assert_refused(NULL, bad[i].why);
    }
    put("s1.safetensors", "version https://git-lfs.github.com/spec/v1\n");
    put(INDEX, "{\"weight_map\":{\"a\":\"s1.safetensors\"}}");
    assert_refused(NULL, "vae/s1.safetensors: is a git-LFS pointer");
}

static void an_index_of_nothing(void **state)
{
    (void)state;
    put(INDEX, "{\"weight_map\":{}}");
    dk_weights *w = open_ok(NULL);
    dk_bind *b = dk_bind_new(w);
    assert_int_equal(dk_weights_files(w), 0);
    assert_null(dk_bind_get(b, DK_SHAPE(2, 3), "a"));
    assert_int_equal(dk_bind_end(b, &err), DK_EFORMAT);
    assert_string_equal(err.msg, "vae: 1 tensor is missing: a");
    dk_bind_free(b);
    dk_weights_close(w);
}

static void shards_without_an_index(void **state)
{
    (void)state;
    put_tensors(SHARD2, "b", 2); /* alone it would look like "the only file" */
    assert_refused(NULL, "vae: shards without their index (" INDEX ")");
    put_tensors(SHARD1, "a", 1);
    assert_refused(NULL, SHARD1 ", " SHARD2);
}

/* ---- Binding. */

/* What fn writes to stderr, malloc-ed. */
static char *stderr_of(int (*fn)(void *), void *arg, int *rc)
{
    char *path = dk_path_join(dir, "stderr"), *text;
    int saved = dup(2), fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    size_t len;

    assert_true(saved >= 0 && fd >= 0);
    fflush(stderr);
    dup2(fd, 2);
    *rc = fn(arg);
    fflush(stderr);
    dup2(saved, 2);
    close(saved);
    close(fd);
    dk_err e;
    dk_err_init(&e);
    assert_int_equal(dk_read_file(path, 1 << 20, &text, &len, &e), 0);
    free(path);
    return text;
}

static int end_of_bind(void *b) { return dk_bind_end(b, &err); }

static void binding_everything(void **state)
{
    int rc;
    (void)state;

    put_tensors(STEM ".safetensors", "layer.0.w layer.1.w pos.a pos.b e1 e2", 1);
    dk_weights *w = open_ok(NULL);
    dk_bind *b = dk_bind_new(w);
    for (int i = 0; i < 2; i++)
        assert_non_null(dk_bind_get(b, DK_SHAPE(2, 3), "layer.%d.w", i));
    assert_true(dk_bind_has(b, "e%d", 1));
    assert_false(dk_bind_has(b, "e%d", 3));
    dk_bind_ignore(b, "pos.");
    char *text = stderr_of(end_of_bind, b, &rc);
    assert_int_equal(rc, 0);
    assert_non_null(strstr(text, "warning: vae: 2 tensors are not used: e1, e2\n"));
    free(text);
    assert_int_equal(dk_bind_missing(b), 0);
    assert_int_equal(dk_bind_extra(b), 2);
    assert_string_equal(dk_bind_extra_at(b, 1), "e2");
    dk_bind_free(b);

    b = dk_bind_new(w); /* everything asked for or ignored: silence */
    dk_bind_get(b, DK_SHAPE(2, 3), "e1");
    dk_bind_ignore(b, "e2");
    dk_bind_ignore(b, "layer.");
    dk_bind_ignore(b, "pos");
    text = stderr_of(end_of_bind, b, &rc);
    assert_int_equal(rc, 0);
    assert_string_equal(text, "");
    free(text);
    dk_bind_free(b);
    dk_weights_close(w);
}

static void binding_names_all_that_is_wrong(void **state)
{
    (void)state;
    put_tensors(STEM ".safetensors", "decoder.conv_in.weight a b", 1);
    dk_weights *w = open_ok(NULL);
    dk_bind *b = dk_bind_new(w);
    assert_null(dk_bind_get(b, DK_SHAPE(64, 4, 3, 3), "decoder.conv_in.weight"));
    assert_null(dk_bind_get(b, DK_SHAPE(3, 2), "a")); /* transposed */
    assert_null(dk_bind_get(b, DK_SHAPE(6), "b"));
    assert_null(dk_bind_get(b, DK_SHAPE(1), "m1"));
    assert_null(dk_bind_get(b, DK_SHAPE(1), "m2"));
    assert_int_equal(dk_bind_missing(b), 5);
    assert_string_equal(dk_bind_missing_at(b, 1), "m2");
    assert_int_equal(dk_bind_extra(b), 0);
    assert_int_equal(dk_bind_end(b, &err), DK_EFORMAT);
    assert_string_equal(
        err.msg,
        "vae/" STEM ".safetensors: tensor \"decoder.conv_in.weight\": expected [64, 4, 3, 3], "
        "found [2, 3]\n"
        "  vae/" STEM ".safetensors: tensor \"a\": expected [3, 2], found [2, 3]\n"
        "  vae/" STEM ".safetensors: tensor \"b\": expected [6], found [2, 3]\n"
        "  vae: 2 tensors are missing: m1, m2");
    dk_bind_free(b);
    dk_weights_close(w);
}

/* More than the message holds: the rest is counted. */
static void binding_counts_the_rest(void **state)
{
    (void)state;
    put_tensors(STEM ".safetensors", "a", 1);
    dk_weights *w = open_ok(NULL);
    dk_bind *b = dk_bind_new(w);
    for (int i = 0; i < 5000; i++)
        dk_bind_get(b, DK_SHAPE(1), "block.%04d.weight", i);
    for (int i = 0; i < 1000; i++)
        dk_bind_get(b, DK_SHAPE(7), "a");
    assert_int_equal(dk_bind_end(b, &err), DK_EFORMAT);
    assert_says("vae: 5000 tensors are missing: block.0000.weight, block.0001.weight, ");
    const char *more = strstr(err.msg, ", and ");
    assert_non_null(more);
    assert_string_equal(more + strlen(more) - 5, " more");
    dk_wrap(&err, "a context");
    assert_string_equal(err.msg + strlen(err.msg) - 5, " more");
    dk_bind_free(b);
    dk_weights_close(w);
}

/* ---- Parameters. */

/* A table of operations that counts, and fails at the n-th preparation. */
static int prepared, released, fail_at;

static int prepare(void **prep, dk_err *e)
{
    if (prepared == fail_at)
        return dk_fail(e, DK_EBACKEND, "refused");
    prepared++;
    *prep = dk_xmalloc(1);
    return 0;
}

static void release(void **prep)
{
    released++;
    free(*prep);
    *prep = NULL;
}

static int linear_prepare(dk_linear *l, dk_err *e) { return prepare(&l->prep, e); }
static void linear_release(dk_linear *l) { release(&l->prep); }
static int conv_prepare(dk_conv *c, dk_err *e) { return prepare(&c->prep, e); }
static void conv_release(dk_conv *c) { release(&c->prep); }

static const dk_ops counting = {.linear_prepare = linear_prepare,
                                .linear_release = linear_release,
                                .conv_prepare = conv_prepare,
                                .conv_release = conv_release};
static const dk_ops plain = {.name = "needs no preparation"};

/* A small model; bias_type is the stored dtype of its linear layer's bias. */
static void put_model(dk_dtype bias_type)
{
    static const float data[64] = {1, 2, 3, 4, 5, 6, 7, 8};
    unsigned char half[16], bias[32] = {0};
    char *path = dk_path_join(dir, STEM ".safetensors");
    dk_st_writer *w = dk_st_writer_new();

    dk_from_f32(DK_BF16, data, half, 8);
    if (bias_type == DK_F16)
        dk_from_f32(DK_F16, data, bias, 2);
    dk_st_writer_add(w, "fc.weight", DK_BF16, 2, (int64_t[]){2, 4}, half);
    dk_st_writer_add(w, "fc.bias", bias_type, 1, (int64_t[]){2}, bias);
    dk_st_writer_add(w, "old.weight", DK_F32, 4, (int64_t[]){2, 4, 1, 1}, data);
    dk_st_writer_add(w, "proj.weight", DK_F32, 4, (int64_t[]){2, 3, 2, 2}, data);
    dk_st_writer_add(w, "proj.bias", DK_F32, 1, (int64_t[]){2}, data);
    dk_st_writer_add(w, "conv.weight", DK_F32, 4, (int64_t[]){1, 2, 3, 3}, data);
    dk_st_writer_add(w, "conv.bias", DK_F32, 1, (int64_t[]){1}, data);
    dk_st_writer_add(w, "norm", DK_BF16, 1, (int64_t[]){8}, half);
    dk_st_writer_add(w, "table", DK_BF16, 2, (int64_t[]){4, 2}, half);
    if (dk_st_writer_save(w, path, true, &err))
        fail_msg("%s", err.msg);
    dk_st_writer_free(w);
    free(path);
}

typedef struct model {
    dk_linear fc, old, proj;
    dk_conv conv;
    float *norm;
    dk_tensor table;
} model;

static void register_model(dk_params *p, model *m)
{
    dk_params_linear(p, &m->fc, 2, 4, true, "%s", "fc");
    dk_params_linear(p, &m->old, 2, 4, false, "old");
    dk_params_patch(p, &m->proj, 2, 3, 2, "proj");
    dk_params_conv(p, &m->conv, 1, 2, 3, 1, 1, 1, "conv");
    dk_params_f32(p, &m->norm, DK_SHAPE(8), "norm");
    dk_params_table(p, &m->table, 4, 2, "table");
}

static void params_fill_the_slots(void **state)
{
    model m;
    (void)state;

    put_model(DK_F16);
    dk_weights *w = open_ok(NULL);
    dk_params *p = dk_params_new(w);
    register_model(p, &m);
    assert_int_equal(dk_params_count(p), 8 + 2 + 8 + 24 + 2 + 18 + 1 + 8 + 8);
    assert_int_equal(dk_params_bytes(p), 16 + 4 + 32 + 96 + 8 + 72 + 4 + 16 + 16);
    assert_int_equal(dk_params_count(p), dk_weights_parameters(w));
    assert_int_equal(dk_params_bytes(p), dk_weights_bytes(w));
    assert_true(m.fc.bias == NULL && m.norm == NULL && m.table.data == NULL);
    if (dk_params_load(p, &plain, &err))
        fail_msg("%s", err.msg);

    assert_string_equal(m.fc.name, "fc.weight");
    assert_true(m.fc.in == 4 && m.fc.out == 2 && m.fc.prep == NULL);
    assert_int_equal(m.fc.w.dtype, DK_BF16); /* as stored, in the mapping */
    assert_ptr_equal(m.fc.w.data, dk_weights_find(w, "fc.weight")->data);
    assert_true(m.fc.bias[0] == 1 && m.fc.bias[1] == 2); /* f16 -> f32 */
    assert_null(m.old.bias);
    assert_true(m.old.w.ndim == 2 && m.old.w.shape[0] == 2 && m.old.w.shape[1] == 4);
    assert_true(m.proj.in == 12 && m.proj.w.ndim == 2 && m.proj.w.shape[1] == 12);
    assert_true(m.conv.cin == 2 && m.conv.cout == 1 && m.conv.k == 3 && m.conv.w.ndim == 4);
    assert_true(m.norm[0] == 1 && m.norm[7] == 8);
    assert_true(m.table.dtype == DK_BF16 && m.table.shape[0] == 4);
    dk_params_free(p);
    dk_weights_close(w);
}

static void params_prepare_and_release(void **state)
{
    model m;
    (void)state;

    put_model(DK_F32);
    dk_weights *w = open_ok(NULL);
    for (fail_at = 0; fail_at <= 4; fail_at++) { /* 4: does not fail */
        dk_params *p = dk_params_new(w);
        prepared = released = 0;
        dk_err_init(&err);
        register_model(p, &m);
        int rc = dk_params_load(p, &counting, &err);
        assert_int_equal(rc, fail_at < 4 ? DK_EBACKEND : 0);
        if (fail_at == 1)
            assert_string_equal(err.msg, "tensor \"old.weight\": refused");
        assert_int_equal(prepared, fail_at);
        dk_params_free(p);
        assert_int_equal(released, prepared);
    }
    dk_weights_close(w);
}

static void params_of_a_wrong_type(void **state)
{
    model m;
    (void)state;

    put_model(DK_I64);
    dk_weights *w = open_ok(NULL);
    dk_params *p = dk_params_new(w);
    register_model(p, &m);
    assert_int_equal(dk_params_load(p, &plain, &err), DK_EFORMAT);
    assert_string_equal(err.msg, "vae/" STEM ".safetensors: tensor \"fc.bias\": expected a float "
                                 "type, found I64");
    dk_params_free(p);
    dk_weights_close(w);
}

static void params_that_are_not_there(void **state)
{
    dk_linear l;
    dk_conv c;
    float *f;
    dk_tensor t;
    (void)state;

    put_model(DK_F32);
    dk_weights *w = open_ok(NULL);
    dk_params *p = dk_params_new(w);
    dk_params_linear(p, &l, 2, 5, true, "fc");
    dk_params_linear(p, &l, 3, 4, true, "old");
    dk_params_conv(p, &c, 1, 2, 1, 1, 0, 0, "conv");
    dk_params_f32(p, &f, DK_SHAPE(4), "scale");
    /* From a config that nobody has checked yet: no overflow on the way to the refusal. */
    dk_params_table(p, &t, INT64_MAX, INT64_MAX, "table");
    dk_params_patch(p, &l, INT64_MAX, INT64_MAX, INT32_MAX, "proj");
    assert_int_equal(dk_params_count(p), INT64_MAX);
    assert_int_equal(dk_params_load(p, &counting, &err), DK_EFORMAT);
    assert_says("tensor \"fc.weight\": expected [2, 5], found [2, 4]");
    assert_says("tensor \"old.weight\": expected [3, 4, 1, 1], found [2, 4, 1, 1]");
    assert_says("tensor \"conv.weight\": expected [1, 2, 1, 1], found [1, 2, 3, 3]");
    assert_says("tensor \"table\": expected [9223372036854775807, 9223372036854775807], found");
    assert_says("2 tensors are missing: old.bias, scale");
    assert_int_equal(dk_bind_missing(dk_params_bind(p)), 8);
    dk_params_free(p);
    dk_params_free(NULL);
    dk_weights_close(w);
}

/* ---- Tensors. */

static void tensor_views(void **state)
{
    float data[24];
    dk_tensor t = dk_view(data, DK_F32, DK_SHAPE(2, 3, 4)), s, r;
    (void)state;

    assert_int_equal(dk_count(&t), 24);
    s = dk_slice(&t, 1);
    assert_true(s.ndim == 2 && s.shape[0] == 3 && s.shape[1] == 4 && dk_f32(&s) == data + 12);
    s = dk_slice(&s, 2);
    assert_true(s.ndim == 1 && dk_f32(&s) == data + 20);
    s = dk_slice(&s, 3);
    assert_true(s.ndim == 0 && dk_f32(&s) == data + 23);
    assert_int_equal(dk_count(&s), 1);
    r = dk_reshape(&t, DK_SHAPE(6, 4));
    r = dk_rows(&r, 4, 2);
    assert_true(r.ndim == 2 && r.shape[0] == 2 && dk_f32(&r) == data + 16);
    r = dk_rows(&r, 2, 0);
    assert_int_equal(dk_count(&r), 0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, leave)
    const struct CMUnitTest tests[] = {
        TEST(one_file),
        TEST(any_single_file),
        TEST(several_unrelated_files),
        TEST(nothing_readable),
        TEST(lfs_pointer),
        TEST(corrupt_file),
        TEST(fifo_in_place_of_files),
        TEST(variants_side_by_side),
        TEST(hub_cache),
        TEST(link_to_nothing),
        TEST(shards),
        TEST(shards_of_a_variant),
        TEST(index_names_absent_files),
        TEST(index_names_absent_tensors),
        TEST(malformed_indexes),
        TEST(an_index_of_nothing),
        TEST(shards_without_an_index),
        TEST(binding_everything),
        TEST(binding_names_all_that_is_wrong),
        TEST(binding_counts_the_rest),
        TEST(params_fill_the_slots),
        TEST(params_prepare_and_release),
        TEST(params_of_a_wrong_type),
        TEST(params_that_are_not_there),
        TEST(tensor_views),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
