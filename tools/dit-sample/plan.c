/* The plan of a run: the model's configs, the items, the images of this shard. Nothing but JSON has
 * been read when it is complete. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/dit.h"
#include "model/pixart.h"
#include "model/vae.h"
#include "sample.h"

/* Takes from the configs what the plan needs; the models read them again in full. */
static int read_configs(ds_plan *p, dk_err *err)
{
    dk_jnode t = dk_model_dir_config(&p->dir, DK_COMP_TRANSFORMER);
    dk_vae_config vae;

    if (p->dir.arch == DK_ARCH_PIXART) {
        dk_pixart_config c;
        if (dk_pixart_config_read(&c, t, err))
            return err->code;
        p->sample_size = c.sample_size;
        p->in_channels = c.in_channels;
        p->patch = c.patch;
    } else {
        dk_dit_config c;
        if (dk_dit_config_read(&c, t, err))
            return err->code;
        p->sample_size = c.sample_size;
        p->in_channels = c.in_channels;
        p->patch = c.patch;
        p->classes = c.classes;
    }
    if (dk_vae_config_read(&vae, dk_model_dir_config(&p->dir, DK_COMP_VAE), err))
        return err->code;
    p->factor = dk_vae_factor(&vae);
    if (vae.latent_channels != p->in_channels)
        return dk_fail(err, DK_EFORMAT,
                       "vae/config.json: latent_channels: expected %d, the transformer's "
                       "in_channels, found %d",
                       p->in_channels, vae.latent_channels);
    if ((int64_t)p->sample_size * p->factor > DS_MAX_SIDE)
        return dk_fail(err, DK_EUNSUPPORTED, "transformer/config.json: sample_size: pictures of "
                       "%lld pixels a side are above the limit of %d",
                       (long long)p->sample_size * p->factor, DS_MAX_SIDE);
    return 0;
}

static const char *item_name(const ds_plan *p, const ds_item *it, char **owned)
{
    *owned = NULL;
    if (it->prompt)
        return it->prompt;
    *owned = dk_model_dir_class_name(&p->dir, it->cls);
    if (!*owned)
        *owned = dk_xasprintf("class %d", it->cls);
    return *owned;
}

static int make_images(ds_plan *p, dk_err *err)
{
    const ds_options *o = p->o;
    int64_t total = 0, index = 0;

    for (int n = 0; n < p->n_items; n++)
        total += p->items[n].count;
    if (total > 10000000)
        return dk_fail(err, DK_EUSAGE, "%lld images are above the limit of 10000000; use --shard",
                       (long long)total);
    if (total > 1 && o->output && !ds_is_pattern(o->output))
        return dk_fail(err, DK_EUSAGE,
                       "-o %s: %lld images need a pattern such as 'out-%%n-%%i.png'", o->output,
                       (long long)total);
    p->images = dk_xcalloc((size_t)total, sizeof *p->images);
    for (int n = 0; n < p->n_items; n++) {
        const ds_item *it = &p->items[n];
        char *owned;
        const char *name = item_name(p, it, &owned);
        for (int i = 0; i < it->count && !err->code; i++, index++) {
            if (index % o->shard_count != o->shard_index - 1)
                continue;
            ds_image *im = &p->images[p->n_images++];
            *im = (ds_image){.item = it, .n = n, .i = i, .seed = it->seed + (uint64_t)i};
            if (o->output)
                im->path = ds_expand(o->output, n, i, im->seed, name, err);
        }
        free(owned);
    }
    return err->code;
}

static int check_job(ds_plan *p, dk_err *err)
{
    const ds_options *o = p->o;

    if (p->dir.arch == DK_ARCH_DIT && (o->embeds_in || o->embeds_out))
        return dk_fail(err, DK_EUSAGE, "%s has no text encoder: leave --embeds-* out", o->model);
    if (o->sheet || o->trace || o->latent_in || o->latent_out) {
        for (int n = 1; n < p->n_items; n++)
            if (p->items[n].req_w != p->items[0].req_w || p->items[n].req_h != p->items[0].req_h ||
                (o->trace && p->items[n].steps != p->items[0].steps))
                return dk_fail(err, DK_EUSAGE,
                               "--sheet, --trace and --latent-* need images of one size");
    }
    return 0;
}

int ds_plan_open(ds_plan *p, const ds_options *o, dk_err *err)
{
    memset(p, 0, sizeof *p);
    p->o = o;
    if (dk_model_dir_open(&p->dir, o->model, o->variant, err) || read_configs(p, err))
        return err->code;
    size_t n = strlen(o->model);
    while (n > 1 && o->model[n - 1] == '/')
        n--;
    char *trimmed = dk_xstrndup(o->model, n);
    p->model_name = dk_xstrdup(dk_basename(trimmed));
    free(trimmed);
    p->binning = !o->no_binning && p->dir.arch == DK_ARCH_PIXART;
    p->max_length = o->max_length ? (int)o->max_length : p->dir.text_limit;
    p->default_w = p->default_h = p->sample_size * p->factor;
    if (o->size && ds_parse_size(o->size, &p->default_w, &p->default_h, err))
        return err->code;
    if (ds_items_load(p, err) || make_images(p, err))
        return err->code;
    return check_job(p, err);
}

/* Of a small tensor file that takes part in the picture. */
static int hash_of_file(const char *path, char hex[33], dk_err *err)
{
    dk_map m = {0};

    if (dk_map_open(&m, path, err))
        return err->code;
    dk_hasher *h = dk_hash_new();
    dk_hash_add(h, m.data, m.len);
    dk_hash_hex(h, hex);
    dk_map_close(&m);
    return 0;
}

int ds_plan_hash(ds_plan *p, dk_err *err)
{
    dk_hasher *h = dk_hash_new();
    bool text = p->dir.text_limit > 0 && !p->o->embeds_in;

    for (int c = 0; c < DK_COMP_COUNT && !err->code; c++) {
        if ((c == DK_COMP_TOKENIZER || c == DK_COMP_TEXT_ENCODER) && !text)
            continue;
        dk_model_dir_hash(&p->dir, (dk_component)c, h, err);
    }
    dk_hash_hex(h, p->hash);
    if (!err->code && p->o->latent_in)
        hash_of_file(p->o->latent_in, p->latent_in_hash, err);
    if (!err->code && p->o->embeds_in)
        hash_of_file(p->o->embeds_in, p->embeds_in_hash, err);
    return err->code;
}

void ds_plan_close(ds_plan *p)
{
    for (int i = 0; i < p->n_images; i++)
        free(p->images[i].path);
    free(p->images);
    ds_items_free(p);
    free((char *)p->model_name);
    dk_model_dir_close(&p->dir);
}
