/* The settings inside a picture: the `parameters` text that other programs read, and one line of
 * JSON (keyword dit-sample) with everything that decides the pixels and nothing else, so that equal
 * pictures are equal files. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/version.h"
#include "io/png.h"
#include "sample.h"

#define KEYWORD "dit-sample"

/* "key: value, "; values with a comma or colon are quoted. */
static void add_pair(dk_buf *b, const char *key, const char *value)
{
    bool quote = strpbrk(value, ",:\"") != NULL;
    dk_buf_printf(b, "%s: ", key);
    if (quote)
        dk_buf_putc(b, '"');
    for (const char *s = value; *s; s++) {
        if (quote && (*s == '"' || *s == '\\'))
            dk_buf_putc(b, '\\');
        dk_buf_putc(b, *s);
    }
    dk_buf_puts(b, quote ? "\", " : ", ");
}

char *ds_settings_parameters(const ds_plan *p, const ds_image *im, const dk_sched *s)
{
    const ds_item *it = im->item;
    dk_buf b = {0};

    if (it->prompt) {
        dk_buf_puts(&b, it->prompt);
    } else {
        char *name = dk_model_dir_class_name(&p->dir, it->cls);
        dk_buf_printf(&b, "%s", name ? name : "");
        if (!name)
            dk_buf_printf(&b, "class %d", it->cls);
        free(name);
    }
    dk_buf_putc(&b, '\n');
    if (it->negative[0] && ds_guided(it))
        dk_buf_printf(&b, "Negative prompt: %s\n", it->negative);
    dk_buf_printf(&b, "Steps: %d, ", it->steps);
    add_pair(&b, "Sampler", dk_sched_label(s));
    dk_buf_printf(&b, "CFG scale: %g, Seed: %llu, Size: %dx%d, ", it->guidance,
                  (unsigned long long)im->seed, it->req_w, it->req_h);
    add_pair(&b, "Model", p->model_name);
    dk_buf_printf(&b, "RNG: %s, Version: dit-sample %s", p->o->rng, DK_VERSION);
    return dk_buf_steal(&b);
}

static void set_int(json_t *o, const char *key, int64_t v)
{
    json_object_set_new(o, key, json_integer(v));
}

static void set_str(json_t *o, const char *key, const char *v)
{
    /* A path need not be UTF-8; then its bytes are escaped by being left out. */
    json_t *s = json_string(v);
    json_object_set_new(o, key, s ? s : json_string(""));
}

char *ds_settings_json(const ds_plan *p, const ds_image *im, const dk_sched *s)
{
    const ds_options *opt = p->o;
    const ds_item *it = im->item;
    json_t *o = json_object();
    dk_buf b = {0};

    set_str(o, "schema", "dk.sample/1");
    if (it->prompt) {
        set_str(o, "prompt", it->prompt);
        set_str(o, "negative", it->negative);
        set_int(o, "max_length", p->max_length);
    } else {
        set_int(o, "class", it->cls);
    }
    set_int(o, "seed", (int64_t)im->seed);
    set_int(o, "steps", it->steps);
    json_object_set_new(o, "guidance", json_real(it->guidance));
    set_str(o, "scheduler", dk_sched_name(s));
    json_object_set_new(o, "scheduler_chosen", json_boolean(opt->scheduler != NULL));
    json_object_set_new(o, "scheduler_options", dk_sched_options(s));
    set_int(o, "width", it->req_w);
    set_int(o, "height", it->req_h);
    json_object_set_new(o, "binning", json_boolean(p->binning));
    set_str(o, "rng", opt->rng);
    set_str(o, "kernels", opt->reference ? "reference" : "fast");
    if (opt->latent_in) {
        set_str(o, "latent_in", p->latent_in_hash);
        set_int(o, "latent_row", opt->latent_row + (int)(im - p->images));
    }
    if (opt->embeds_in)
        set_str(o, "embeds_in", p->embeds_in_hash);
    set_str(o, "model", opt->model);
    if (opt->variant)
        set_str(o, "variant", opt->variant);
    set_str(o, "model_hash", p->hash);
    set_str(o, "version", DK_VERSION);
    dk_json_dump(&b, o, false);
    json_decref(o);
    return dk_buf_steal(&b);
}

/* The PNG's settings document. */
static int read_settings(const char *path, dk_json *doc, dk_err *err)
{
    dk_png png = {0};
    int rc = dk_png_load(&png, path, err);

    if (!rc) {
        const char *text = dk_png_get_text(&png, KEYWORD);
        char *name = dk_xasprintf("%s: settings", path);
        if (!text)
            rc = dk_fail(err, DK_EFORMAT, "%s: holds no dit-sample settings", path);
        else
            rc = dk_json_parse(doc, text, strlen(text), name, err);
        free(name);
    }
    dk_png_free(&png);
    return rc;
}

int ds_settings_replay(ds_options *o, const char *png, dk_json *doc, dk_err *err)
{
    const char *schema, *model, *variant, *kernels, *scheduler;
    bool binning, chosen;
    int64_t seed, steps, width, height, cls;

    if (read_settings(png, doc, err))
        return err->code;
    dk_jnode d = dk_json_root(doc);
    if (dk_json_str(d, "schema", "", &schema, err))
        return err->code;
    if (strcmp(schema, "dk.sample/1") != 0)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: settings of schema \"%s\"; this program reads dk.sample/1",
                       png, schema);
    if (dk_json_str(d, "model", NULL, &model, err) ||
        dk_json_str(d, "variant", NULL, &variant, err) ||
        dk_json_str(d, "prompt", NULL, &o->prompt, err) ||
        dk_json_str(d, "negative", "", &o->negative, err) ||
        dk_json_str(d, "scheduler", NULL, &scheduler, err) ||
        dk_json_bool(d, "scheduler_chosen", false, &chosen, err) ||
        dk_json_str(d, "rng", "torch", &o->rng, err) ||
        dk_json_str(d, "kernels", "fast", &kernels, err) ||
        dk_json_bool(d, "binning", true, &binning, err) ||
        dk_json_i64(d, "seed", -1, 0, INT64_MAX, &seed, err) ||
        dk_json_i64(d, "steps", -1, 1, 10000, &steps, err) ||
        dk_json_i64(d, "width", -1, 1, DS_MAX_SIDE, &width, err) ||
        dk_json_i64(d, "height", -1, 1, DS_MAX_SIDE, &height, err) ||
        dk_json_i64(d, "class", -1, 0, INT32_MAX, &cls, err) ||
        dk_json_i64(d, "max_length", 0, 1, 4096, &o->max_length, err) ||
        dk_json_int(d, "latent_row", 0, 0, INT32_MAX, &o->latent_row, err) ||
        dk_json_f64(d, "guidance", -1, &o->guidance, err))
        return err->code;
    if (seed < 0 || steps < 0 || width < 0 || height < 0 || !(o->guidance >= 0) ||
        (cls < 0 && !o->prompt) || !scheduler || !model)
        return dk_fail(err, DK_EFORMAT, "%s: settings are incomplete", doc->name);
    if ((strcmp(o->rng, "torch") && strcmp(o->rng, "philox")) || dk_sched_kind_parse(scheduler) < 0)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: rng \"%s\" or scheduler \"%s\" is unknown here",
                       doc->name, o->rng, scheduler);
    o->seed = (uint64_t)seed;
    o->steps = steps;
    o->seed_given = o->steps_given = o->guidance_given = true;
    o->scheduler = chosen ? scheduler : NULL;
    o->no_binning = !binning;
    o->reference = strcmp(kernels, "reference") == 0;
    snprintf(o->size_text, sizeof o->size_text, "%dx%d", (int)width, (int)height);
    o->size = o->size_text;
    if (cls >= 0) {
        snprintf(o->class_text, sizeof o->class_text, "%d", (int)cls);
        o->cls = o->class_text;
    }
    if (!o->model)
        o->model = model;
    if (!o->variant)
        o->variant = variant;
    return 0;
}

static int same_file(const char *option, const char *recorded, const char *found, dk_err *err)
{
    if (recorded && !found[0])
        return dk_fail(err, DK_EUSAGE, "the picture was made with --%s; give that file again", option);
    if (strcmp(recorded ? recorded : "", found) != 0)
        return dk_fail(err, DK_ECHECK, "--%s: another file than the picture records (hash %s, not %s)",
                       option, found, recorded ? recorded : "none");
    return 0;
}

int ds_settings_verify(const ds_plan *p, const dk_json *doc, dk_err *err)
{
    dk_jnode d = dk_json_root(doc);
    const char *hash, *latent, *embeds;

    if (dk_json_str(d, "model_hash", "", &hash, err) ||
        dk_json_str(d, "latent_in", NULL, &latent, err) ||
        dk_json_str(d, "embeds_in", NULL, &embeds, err) ||
        same_file("latent-in", latent, p->latent_in_hash, err) ||
        same_file("embeds-in", embeds, p->embeds_in_hash, err))
        return err->code;
    if (strcmp(hash, p->hash) != 0)
        return dk_fail(err, DK_ECHECK, "%s: made with another model: it records model_hash %s, %s has %s",
                       p->o->replay, hash, p->o->model, p->hash);
    return 0;
}
