/* A shard index as it comes, in a folder with two good shards "a.safetensors" (tensors w, x) and
 * "b.safetensors" (tensor y): opened or refused, and what opens can be searched and bound. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/weights.h"

#define INDEX "model.safetensors.index.json"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char *dir;
static dk_err err;

static void put(const char *name, const void *data, size_t size)
{
    char *path = dk_path_join(dir, name);
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f))
        abort();
    free(path);
}

static void put_shard(const char *file, const char *first, const char *second)
{
    static const float one = 1;
    char *path = dk_path_join(dir, file);
    dk_st_writer *w = dk_st_writer_new();

    dk_st_writer_add(w, first, DK_F32, 1, (int64_t[]){1}, &one);
    if (second)
        dk_st_writer_add(w, second, DK_F32, 1, (int64_t[]){1}, &one);
    if (dk_st_writer_save(w, path, true, &err))
        abort();
    dk_st_writer_free(w);
    free(path);
}

static void remove_folder(void)
{
    static const char *const names[] = {"a.safetensors", "b.safetensors", INDEX};
    for (int i = 0; i < 3; i++) {
        char *path = dk_path_join(dir, names[i]);
        unlink(path);
        free(path);
    }
    rmdir(dir);
    free(dir);
}

static void make_folder(void)
{
    const char *tmp = getenv("DK_TEST_TMP");

    if (!tmp) {
        mkdir("build", 0777);
        tmp = "build/tmp";
    }
    mkdir(tmp, 0777);
    dir = dk_xasprintf("%s/fuzz_index.%ld", tmp, (long)getpid());
    if (mkdir(dir, 0777))
        abort();
    atexit(remove_folder);
    put_shard("a.safetensors", "w", "x");
    put_shard("b.safetensors", "y", NULL);
    dk_log_init("fuzz", -1); /* no warnings about tensors that are not used */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"w", "x", "y", "z"};

    dk_err_init(&err);
    if (!dir)
        make_folder();
    put(INDEX, data, size);
    dk_weights *w = dk_weights_open(dir, "text_encoder", "model", NULL, &err);
    if (!w) {
        if (err.code != DK_EFORMAT || err.msg[0] == '\0')
            abort();
        return 0;
    }
    dk_bind *b = dk_bind_new(w);
    for (int i = 0; i < 4; i++) {
        const dk_st_tensor *t = dk_bind_get(b, 1, (int64_t[]){1}, "%s", names[i]);
        if (t && !dk_weights_file_of(w, t))
            abort();
    }
    dk_bind_extra(b);
    dk_bind_end(b, &err); /* "z" is never there */
    if (dk_bind_missing(b) == 0 || dk_weights_parameters(w) > 3)
        abort();
    dk_bind_free(b);
    dk_weights_close(w);
    return 0;
}
