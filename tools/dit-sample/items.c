/* Items: one per prompt, from --prompt, --class, or the lines of --prompts. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "sample.h"
#include "text/utf8.h"

/* One seed drawn for the run, told to the user so that the run can be repeated. */
static int draw_seed(ds_options *o, dk_err *err)
{
    uint64_t v;
    if (getrandom(&v, sizeof v, 0) != sizeof v)
        return dk_fail_errno(err, "drawing a seed");
    o->seed = v & 0xFFFFFFFFu; /* torch's CPU generator uses 32 bits */
    o->seed_given = true;
    if (!o->quiet)
        fprintf(stderr, "dit-sample: seed %llu\n", (unsigned long long)o->seed);
    return 0;
}

static void set_defaults(const ds_plan *p, ds_item *it)
{
    const ds_options *o = p->o;
    bool dit = p->dir.arch == DK_ARCH_DIT;

    memset(it, 0, sizeof *it);
    it->cls = -1;
    it->seed = o->seed;
    it->count = (int)o->count;
    it->steps = o->steps_given ? (int)o->steps : dit ? 50 : 20;
    it->guidance = o->guidance_given ? o->guidance : dit ? 4.0 : 4.5;
    it->req_w = p->default_w;
    it->req_h = p->default_h;
    it->negative = dk_xstrdup(o->negative);
}

static int check_text(const char *what, const char *text, size_t len, dk_err *err)
{
    size_t bad = dk_utf8_invalid(text, len);
    if (bad < len)
        return dk_fail(err, DK_EFORMAT, "%s: invalid UTF-8 at byte %zu (0x%02X)", what, bad,
                       (unsigned char)text[bad]);
    if (memchr(text, 0, len))
        return dk_fail(err, DK_EFORMAT, "%s: holds a NUL byte", what);
    return 0;
}

/* Chooses the computed size and checks it against the latent grid. */
static int finish_item(const ds_plan *p, ds_item *it, const char *where, dk_err *err)
{
    int unit = p->factor * p->patch;

    it->w = it->req_w;
    it->h = it->req_h;
    if (p->binning)
        ds_bin(p->sample_size, &it->w, &it->h);
    if (it->w % unit || it->h % unit)
        return dk_fail(err, DK_EUSAGE, "%s: size %dx%d is no multiple of %d pixels", where, it->w,
                       it->h, unit);
    if (it->seed > INT64_MAX - (uint64_t)it->count)
        return dk_fail(err, DK_EUSAGE, "%s: seed %llu plus %d images is above 2^63-1", where,
                       (unsigned long long)it->seed, it->count);
    return 0;
}

static int set_class(const ds_plan *p, ds_item *it, const char *cls, dk_err *err)
{
    if (p->dir.arch != DK_ARCH_DIT)
        return dk_fail(err, DK_EUSAGE, "--class: %s takes prompts, not classes", p->o->model);
    return dk_model_dir_class(&p->dir, cls, p->classes, &it->cls, err);
}

static int set_prompt(const ds_plan *p, ds_item *it, const char *text, size_t len,
                      const char *where, dk_err *err)
{
    if (p->dir.arch == DK_ARCH_DIT)
        return dk_fail(err, DK_EUSAGE, "%s: %s paints classes, not prompts: use --class", where,
                       p->o->model);
    if (check_text(where, text, len, err))
        return err->code;
    it->prompt = dk_xstrndup(text, len);
    return 0;
}

static ds_item *add_item(ds_plan *p)
{
    p->items = dk_xrealloc(p->items, (size_t)(p->n_items + 1) * sizeof *p->items);
    ds_item *it = &p->items[p->n_items++];
    set_defaults(p, it);
    return it;
}

static int known_keys(dk_jnode obj, dk_err *err)
{
    static const char *const known[] = {"prompt", "negative", "class",    "seed",
                                        "count",  "steps",    "guidance", "size"};
    const char *key;
    json_t *value;

    json_object_foreach (obj.v, key, value) {
        size_t i = 0, n = sizeof known / sizeof known[0];
        while (i < n && strcmp(key, known[i]) != 0)
            i++;
        if (i == n)
            return dk_fail(err, DK_EFORMAT, "%s: unknown key \"%s\"", obj.doc, key);
    }
    return 0;
}

/* One JSON object of a JSONL file: keys override the command line's values. */
static int item_from_json(ds_plan *p, dk_jnode obj, dk_err *err)
{
    const char *prompt, *negative, *size;
    int64_t seed;
    ds_item *it = add_item(p);

    if (!json_is_object(obj.v))
        return dk_json_expected(obj, "an object", err);
    if (known_keys(obj, err) || dk_json_str(obj, "prompt", NULL, &prompt, err) ||
        dk_json_str(obj, "negative", it->negative, &negative, err) ||
        dk_json_str(obj, "size", NULL, &size, err) ||
        dk_json_i64(obj, "seed", (int64_t)it->seed, 0, INT64_MAX, &seed, err) ||
        dk_json_int(obj, "count", it->count, 1, 100000, &it->count, err) ||
        dk_json_int(obj, "steps", it->steps, 1, 10000, &it->steps, err) ||
        dk_json_f64(obj, "guidance", it->guidance, &it->guidance, err))
        return err->code;
    if (!(it->guidance >= 0 && it->guidance <= 1000))
        return dk_fail(err, DK_EFORMAT, "%s: guidance: expected a number in [0, 1000]", obj.doc);
    it->seed = (uint64_t)seed;
    if (negative != it->negative) {
        char *copy = dk_xstrdup(negative);
        free(it->negative);
        it->negative = copy;
    }
    if (size && ds_parse_size(size, &it->req_w, &it->req_h, err)) {
        err->code = DK_EFORMAT; /* the file's fault, not the command line's */
        return dk_wrap(err, "%s", obj.doc);
    }
    dk_jnode cls = dk_json_key(obj, "class");
    if (cls.v && !dk_json_is_null(cls)) {
        char number[24];
        const char *text = json_string_value(cls.v);
        if (json_is_integer(cls.v)) {
            snprintf(number, sizeof number, "%lld", (long long)json_integer_value(cls.v));
            text = number;
        }
        if (!text)
            return dk_json_expected(cls, "a class id or name", err);
        if (set_class(p, it, text, err))
            return dk_wrap(err, "%s", obj.doc);
    } else if (!prompt) {
        return dk_fail(err, DK_EFORMAT, "%s: neither \"prompt\" nor \"class\"", obj.doc);
    } else if (set_prompt(p, it, prompt, strlen(prompt), obj.doc, err)) {
        return err->code;
    }
    return finish_item(p, it, obj.doc, err);
}

static int item_from_line(ds_plan *p, const char *line, size_t len, const char *where, dk_err *err)
{
    if (line[0] == '{') {
        dk_json doc = {0};
        int rc = dk_json_parse(&doc, line, len, where, err);
        if (!rc)
            rc = item_from_json(p, dk_json_root(&doc), err);
        dk_json_free(&doc);
        return rc;
    }
    ds_item *it = add_item(p);
    if (p->dir.arch == DK_ARCH_DIT) {
        char *cls = dk_xstrndup(line, len);
        int rc = set_class(p, it, cls, err);
        free(cls);
        return rc ? dk_wrap(err, "%s", where) : finish_item(p, it, where, err);
    }
    if (set_prompt(p, it, line, len, where, err))
        return err->code;
    return finish_item(p, it, where, err);
}

/* Blank lines are skipped; a prompt may not be empty here (JSONL can say {"prompt": ""}). */
static int items_from_file(ds_plan *p, const char *path, dk_err *err)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    char *data = NULL;
    size_t len;
    int rc = dk_read_file(path, DS_MAX_PROMPT, &data, &len, err), line = 0;

    for (size_t at = 0; !rc && at < len;) {
        const char *end = memchr(data + at, '\n', len - at);
        size_t next = end ? (size_t)(end - data) + 1 : len;
        size_t n = (end ? (size_t)(end - data) : len) - at;
        while (n && (data[at + n - 1] == '\r' || data[at + n - 1] == '\n'))
            n--;
        line++;
        if (n) {
            char *where = dk_xasprintf("%s: line %d", name, line);
            rc = item_from_line(p, data + at, n, where, err);
            free(where);
        }
        at = next;
    }
    if (!rc && p->n_items == 0)
        rc = dk_fail(err, DK_EFORMAT, "%s: no prompts in it", name);
    free(data);
    return rc;
}

int ds_items_load(ds_plan *p, dk_err *err)
{
    ds_options *o = (ds_options *)p->o; /* the drawn seed is part of the options from now on */

    if (!o->seed_given && draw_seed(o, err))
        return err->code;
    if (check_text("--negative", o->negative, strlen(o->negative), err))
        return err->code;
    if (o->prompts)
        return items_from_file(p, o->prompts, err);

    ds_item *it = add_item(p);
    if (o->cls ? set_class(p, it, o->cls, err)
               : set_prompt(p, it, o->prompt ? o->prompt : "", o->prompt ? strlen(o->prompt) : 0,
                            "--prompt", err))
        return err->code;
    return finish_item(p, it, o->size ? "--size" : "the model's size", err);
}

void ds_items_free(ds_plan *p)
{
    for (int i = 0; i < p->n_items; i++) {
        free(p->items[i].prompt);
        free(p->items[i].negative);
    }
    free(p->items);
    p->items = NULL;
    p->n_items = 0;
}
