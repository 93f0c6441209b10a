/* Finding and opening the weight files of a component; see weights.h. Binding is in bind.c. */
#include "io/weights.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/fs.h"
#include "base/mem.h"
#include "io/json.h"
#include "io/safetensors_internal.h"

struct dk_weights {
    char *label;
    dk_st **files;
    char **names; /* "vae/diffusion_pytorch_model.safetensors"; sorted */
    size_t n;
    dk_json index;     /* of a sharded component */
    const json_t *map; /* tensor name -> file name; NULL when unsharded */
};

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Is there something of this name, be it a link to nothing? */
static bool present(const char *dir, const char *name)
{
    char *path = dk_path_join(dir, name);
    struct stat st;
    bool yes = lstat(path, &st) == 0;
    free(path);
    return yes;
}

static int add_file(dk_weights *w, const char *dir, const char *name, dk_err *err)
{
    char *path = dk_path_join(dir, name), *shown = dk_path_join(w->label, name);
    dk_st *st = NULL;

    if (!dk_exists(path))
        dk_fail(err, DK_EFORMAT, "%s: is a link to a file that is not there; was it downloaded?",
                shown);
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

/* ---- Shards. */

static int by_string(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool plain_name(const char *s) { return s[0] && s[0] != '.' && !strchr(s, '/'); }

/* Position among the shards, which are sorted by name; w->n if there is none of this name. */
static size_t shard_index(const dk_weights *w, const char *name)
{
    size_t lo = 0, hi = w->n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = strcmp(name, dk_basename(w->names[mid]));
        if (c == 0)
            return mid;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return w->n;
}

/* Appends `item` to a list in a message, and stops in time for the error's buffer. */
static void list_item(dk_buf *list, size_t n, const char *item)
{
    if (list->len < DK_ERR_MSG / 2)
        dk_buf_printf(list, "%s%.200s", n ? ", " : "", item);
    else if (!ends_with(dk_buf_str(list), ", ..."))
        dk_buf_puts(list, ", ...");
}

/* The distinct files of the index, sorted (*files is malloc-ed, its items borrowed). */
static int distinct_files(dk_jnode map, const char ***files, size_t *n, dk_err *err)
{
    size_t all = 0;
    const char *key;
    json_t *value;

    *files = dk_xcalloc(json_object_size(map.v), sizeof **files);
    json_object_foreach (map.v, key, value) {
        const char *file = json_string_value(value);
        if (!file || !plain_name(file))
            return dk_json_expected(dk_json_key(map, key), "the name of a file beside the index",
                                    err);
        (*files)[all++] = file;
    }
    *n = 0;
    if (all)
        qsort(*files, all, sizeof **files, by_string);
    for (size_t i = 0; i < all; i++)
        if (*n == 0 || strcmp((*files)[*n - 1], (*files)[i]) != 0)
            (*files)[(*n)++] = (*files)[i];
    return 0;
}

static int open_files(dk_weights *w, const char *dir, const char *const *files, size_t n,
                      dk_err *err)
{
    dk_buf absent = {0};
    size_t n_absent = 0;
    int rc = 0;

    for (size_t i = 0; i < n; i++)
        if (!present(dir, files[i]))
            list_item(&absent, n_absent++, files[i]);
    if (n_absent)
        rc = dk_fail(err, DK_EFORMAT, "%zu of its %zu files %s not there: %s", n_absent, n,
                     n_absent == 1 ? "is" : "are", dk_buf_str(&absent));
    for (size_t i = 0; !rc && i < n; i++)
        rc = add_file(w, dir, files[i], err);
    dk_buf_free(&absent);
    return rc;
}

/* Each tensor must be where the index says. */
static int check_map(const dk_weights *w, dk_err *err)
{
    dk_buf absent = {0};
    size_t n_absent = 0;
    const char *key;
    json_t *value;
    int rc = 0;

    json_object_foreach ((json_t *)w->map, key, value)
        if (!dk_weights_find(w, key)) {
            char *item = dk_xasprintf("\"%.120s\" (%.60s)", key, json_string_value(value));
            list_item(&absent, n_absent++, item);
            free(item);
        }
    if (n_absent)
        rc = dk_fail(err, DK_EFORMAT, "%zu %s not in the file that the index names: %s", n_absent,
                     n_absent == 1 ? "tensor is" : "tensors are", dk_buf_str(&absent));
    dk_buf_free(&absent);
    return rc;
}

static int open_shards(dk_weights *w, const char *dir, const char *index_name, dk_err *err)
{
    char *path = dk_path_join(dir, index_name), *shown = dk_path_join(w->label, index_name);
    const char **files = NULL;
    dk_map text = {0};
    size_t n = 0;
    int rc = dk_map_open(&text, path, err);

    if (rc)
        goto out;
    rc = dk_st_is_lfs(text.data, text.len)
             ? dk_fail(err, DK_EFORMAT, "%s: " DK_ST_LFS_TEXT, shown)
             : dk_json_parse(&w->index, (const char *)text.data, text.len, shown, err);
    if (rc)
        goto out;
    dk_jnode map = dk_json_key(dk_json_root(&w->index), "weight_map");
    if (!json_is_object(map.v)) {
        rc = dk_json_expected(map, "an object", err);
        goto out;
    }
    w->map = map.v;
    rc = distinct_files(map, &files, &n, err);
    if (rc)
        goto out;
    rc = open_files(w, dir, files, n, err);
    if (!rc)
        rc = check_map(w, err);
    if (rc)
        dk_wrap(err, "%s", shown);
out:
    free(files);
    dk_map_close(&text);
    free(path);
    free(shown);
    return rc;
}

/* ---- Search. */

static bool starts_with(const char *s, const char *start)
{
    return strncmp(s, start, strlen(start)) == 0;
}

typedef struct listing {
    char **names;
    size_t n;
} listing;

static int list_folder(const char *dir, listing *l, dk_err *err)
{
    DIR *d = opendir(dir);
    struct dirent *e;

    *l = (listing){NULL, 0};
    if (!d)
        return dk_fail_errno(err, "%s", dir);
    while ((e = readdir(d))) {
        l->names = dk_xrealloc(l->names, (l->n + 1) * sizeof *l->names);
        l->names[l->n++] = dk_xstrdup(e->d_name);
    }
    closedir(d);
    qsort(l->names, l->n, sizeof *l->names, by_string);
    return 0;
}

static void listing_free(listing *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->names[i]);
    free(l->names);
}

static bool is_pickle(const char *name)
{
    return ends_with(name, ".bin") || ends_with(name, ".pt") || ends_with(name, ".pth") ||
           ends_with(name, ".ckpt");
}

/* What the folder holds that is, or describes, weights. */
typedef struct findings {
    dk_buf list; /* names of safetensors files and indexes */
    int n, pickles;
    const char *only; /* the last of them */
    bool shards;      /* STEM-00001-of-..., without an index: else it would have been found */
} findings;

static void survey(const listing *l, const char *stem, findings *f)
{
    char *shard = dk_xasprintf("%s-0", stem);

    for (size_t i = 0; i < l->n; i++) {
        const char *name = l->names[i];
        bool file = ends_with(name, ".safetensors");
        f->pickles += is_pickle(name);
        if (!file && !(strstr(name, ".safetensors.index") && ends_with(name, ".json")))
            continue;
        list_item(&f->list, (size_t)f->n++, name);
        f->only = name;
        f->shards = f->shards || (file && starts_with(name, shard) && strstr(name, "-of-"));
    }
    free(shard);
}

/* No file of the usual name: the only *.safetensors of the folder, or an error that says what is
 * there. */
static int open_only_file(dk_weights *w, const char *dir, const char *stem, const char *variant,
                          dk_err *err)
{
    listing l;
    findings f = {.n = 0};
    int rc = list_folder(dir, &l, err);

    if (rc)
        return rc;
    survey(&l, stem, &f);
    if (variant && f.n > 0)
        rc = dk_fail(err, DK_EFORMAT, "%s: no variant \"%s\" (%s.%s.safetensors); there %s %s",
                     w->label, variant, stem, variant, f.n == 1 ? "is" : "are",
                     dk_buf_str(&f.list));
    else if (f.shards)
        rc = dk_fail(err, DK_EFORMAT,
                     "%s: shards without their index (%s.safetensors.index.json); there %s %s",
                     w->label, stem, f.n == 1 ? "is" : "are", dk_buf_str(&f.list));
    else if (f.n == 1 && ends_with(f.only, ".safetensors"))
        rc = add_file(w, dir, f.only, err);
    else if (f.n > 0)
        rc = dk_fail(err, DK_EFORMAT,
                     "%s: no %s.safetensors; there are several: %s; choose with --variant",
                     w->label, stem, dk_buf_str(&f.list));
    else if (f.pickles)
        rc = dk_fail(err, DK_EFORMAT,
                     "%s: no %s.safetensors, only pickles (.bin, .pt), which are not read: convert "
                     "them to safetensors",
                     w->label, stem);
    else
        rc = dk_fail(err, DK_EFORMAT, "%s: no weights (%s.safetensors) in the folder", w->label,
                     stem);
    dk_buf_free(&f.list);
    listing_free(&l);
    return rc;
}

/* Tries one name; *done when it is there (rc then says how it went). */
static int try_name(dk_weights *w, const char *dir, char *name, bool index, bool *done, dk_err *err)
{
    int rc = 0;

    *done = present(dir, name);
    if (*done)
        rc = index ? open_shards(w, dir, name, err) : add_file(w, dir, name, err);
    free(name);
    return rc;
}

static int open_all(dk_weights *w, const char *dir, const char *stem, const char *variant,
                    dk_err *err)
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
            rc = try_name(w, dir, dk_xasprintf("%s.safetensors.index.json", stem), true, &done,
                          err);
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
        return file ? dk_st_find(w->files[shard_index(w, file)], name) : NULL;
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
