/* Finding and opening the weight files of a component; see weights.h. Binding is in bind.c. */
#include "io/weights.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "io/json.h"

struct dk_weights {
    char *label;
    dk_st **files;
    char **names; /* "vae/diffusion_pytorch_model.safetensors" */
    size_t n;
    dk_json index; /* of a sharded component */
    const json_t *map; /* tensor name -> file name; NULL when unsharded */
};

static int add_file(dk_weights *w, const char *dir, const char *name, dk_err *err)
{
    char *path = dk_path_join(dir, name), *shown = dk_path_join(w->label, name);
    dk_st *st = NULL;

    if (!dk_exists(path))
        dk_fail(err, DK_EFORMAT, "%s: no such file (a broken link, or not downloaded)", shown);
    else
        st = dk_st_open(path, err);
    free(path);
    if (!st) {
        free(shown);
        return err->code;
    }
    w->files = dk_xrealloc(w->files, (w->n + 1) * sizeof *w->files);
    w->names = dk_xrealloc(w->names, (w->n + 1) * sizeof *w->names);
    w->files[w->n] = st;
    w->names[w->n++] = shown;
    return 0;
}

static bool plain_name(const char *s) { return s[0] && s[0] != '.' && !strchr(s, '/'); }

static size_t file_index(const dk_weights *w, const char *name)
{
    size_t i = 0;
    while (i < w->n && strcmp(dk_basename(w->names[i]), name) != 0)
        i++;
    return i;
}

/* Opens every file of the index once, and checks that each tensor is where the index says. */
static int open_shards(dk_weights *w, const char *dir, const char *index_name, dk_err *err)
{
    char *path = dk_path_join(dir, index_name), *shown = dk_path_join(w->label, index_name);
    char *data = NULL;
    const char *key, *file;
    json_t *value;
    size_t len;
    int rc = dk_read_file(path, (size_t)64 << 20, &data, &len, err);

    if (rc || (rc = dk_json_parse(&w->index, data, len, shown, err)))
        goto out;
    dk_jnode map = dk_json_key(dk_json_root(&w->index), "weight_map");
    if (!json_is_object(map.v)) {
        rc = dk_json_expected(map, "an object", err);
        goto out;
    }
    w->map = map.v;
    json_object_foreach (map.v, key, value) {
        file = json_string_value(value);
        if (!file || !plain_name(file)) {
            rc = dk_json_expected(dk_json_key(map, key), "the name of a file beside the index", err);
            goto out;
        }
        size_t i = file_index(w, file);
        if (i == w->n && (rc = add_file(w, dir, file, err))) {
            dk_wrap(err, "%s", shown);
            goto out;
        }
        if (!dk_st_find(w->files[i], key)) {
            rc = dk_fail(err, DK_EFORMAT, "%s: tensor \"%s\" is not in %s as the index says", shown,
                         key, file);
            goto out;
        }
    }
out:
    free(data);
    free(path);
    free(shown);
    return rc;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

typedef struct listing {
    char **names;
    size_t n;
} listing;

static void list_folder(const char *dir, listing *l)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    *l = (listing){NULL, 0};
    while (d && (e = readdir(d))) {
        l->names = dk_xrealloc(l->names, (l->n + 1) * sizeof *l->names);
        l->names[l->n++] = dk_xstrdup(e->d_name);
    }
    if (d)
        closedir(d);
    if (l->n)
        qsort(l->names, l->n, sizeof *l->names, by_string);
}

static void listing_free(listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->names[i]);
    free(l->names);
}

/* The only *.safetensors of the folder, or an error that says what is there. */
static int open_only_file(dk_weights *w, const char *dir, const char *stem, const char *variant,
                          dk_err *err)
{
    listing l;
    dk_buf found = {0};
    const char *only = NULL;
    int n = 0, pickles = 0, rc;

    list_folder(dir, &l);
    for (size_t i = 0; i < l.n; i++) {
        const char *name = l.names[i];
        if (ends_with(name, ".bin") || ends_with(name, ".pt") || ends_with(name, ".ckpt"))
            pickles++;
        if (!ends_with(name, ".safetensors") && !strstr(name, ".safetensors.index"))
            continue;
        dk_buf_printf(&found, "%s%s", n++ ? ", " : "", name);
        only = name;
    }
    if (!variant && n == 1 && ends_with(only, ".safetensors"))
        rc = add_file(w, dir, only, err);
    else if (n > 0)
        rc = dk_fail(err, DK_EFORMAT, "%s: no %s%s%s.safetensors; there are %s%s", w->label, stem,
                     variant ? "." : "", variant ? variant : "", dk_buf_str(&found),
                     variant ? "" : " (choose with --variant)");
    else if (pickles)
        rc = dk_fail(err, DK_EFORMAT,
                     "%s: only pickled weights (.bin) are there; they are not read, convert them to "
                     "safetensors",
                     w->label);
    else
        rc = dk_fail(err, DK_EFORMAT, "%s: no weights (%s.safetensors) in the folder", w->label, stem);
    dk_buf_free(&found);
    listing_free(&l);
    return rc;
}

/* Tries one name; *done when the file exists (rc then says how it went). */
static int try_name(dk_weights *w, const char *dir, char *name, bool index, bool *done, dk_err *err)
{
    char *path = dk_path_join(dir, name);
    int rc = 0;

    *done = dk_exists(path);
    if (*done)
        rc = index ? open_shards(w, dir, name, err) : add_file(w, dir, name, err);
    free(path);
    free(name);
    return rc;
}

static int open_all(dk_weights *w, const char *dir, const char *stem, const char *variant, dk_err *err)
{
    bool done = false;
    int rc;

    if (!dk_is_dir(dir))
        return dk_fail(err, DK_EFORMAT, "component \"%s\" has no folder", w->label);
    if (variant) {
        rc = try_name(w, dir, dk_xasprintf("%s.%s.safetensors", stem, variant), false, &done, err);
        if (!done)
            rc = try_name(w, dir, dk_xasprintf("%s.safetensors.index.%s.json", stem, variant), true,
                          &done, err);
        if (!done)
            rc = try_name(w, dir, dk_xasprintf("%s.%s.safetensors.index.json", stem, variant), true,
                          &done, err);
    } else {
        rc = try_name(w, dir, dk_xasprintf("%s.safetensors", stem), false, &done, err);
        if (!done)
            rc = try_name(w, dir, dk_xasprintf("%s.safetensors.index.json", stem), true, &done, err);
    }
    return done ? rc : open_only_file(w, dir, stem, variant, err);
}

dk_weights *dk_weights_open(const char *dir, const char *label, const char *stem,
                            const char *variant, dk_err *err)
{
    dk_weights *w = dk_xcalloc(1, sizeof *w);

    w->label = dk_xstrdup(label);
    if (open_all(w, dir, stem, variant, err)) {
        dk_weights_close(w);
        return NULL;
    }
    return w;
}

void dk_weights_close(dk_weights *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n; i++) {
        dk_st_close(w->files[i]);
        free(w->names[i]);
    }
    free(w->files);
    free(w->names);
    free(w->label);
    dk_json_free(&w->index);
    free(w);
}

const char *dk_weights_label(const dk_weights *w) { return w->label; }

size_t dk_weights_files(const dk_weights *w) { return w->n; }

const dk_st *dk_weights_file(const dk_weights *w, size_t i) { return w->files[i]; }

const dk_st_tensor *dk_weights_find(const dk_weights *w, const char *name)
{
    if (w->map) {
        const char *file = json_string_value(json_object_get(w->map, name));
        return file ? dk_st_find(w->files[file_index(w, file)], name) : NULL;
    }
    return dk_st_find(w->files[0], name);
}

const char *dk_weights_file_of(const dk_weights *w, const dk_st_tensor *t)
{
    for (size_t i = 0; i < w->n; i++)
        if (dk_st_find(w->files[i], t->name) == t)
            return w->names[i];
    return w->names[0];
}

int64_t dk_weights_parameters(const dk_weights *w)
{
    int64_t n = 0;
    for (size_t f = 0; f < w->n; f++)
        for (size_t i = 0; i < dk_st_count(w->files[f]); i++)
            n += dk_st_at(w->files[f], i)->count;
    return n;
}

size_t dk_weights_bytes(const dk_weights *w)
{
    size_t n = 0;
    for (size_t f = 0; f < w->n; f++)
        for (size_t i = 0; i < dk_st_count(w->files[f]); i++)
            n += dk_st_at(w->files[f], i)->bytes;
    return n;
}
