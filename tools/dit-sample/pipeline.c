/* From the plan to pictures: texts first (texts.c), then batches of images through the transformer
 * and the scheduler, each image through the VAE and into its file.
 *
 * An image depends on its own seed and settings alone: every operation works per image, each image
 * has its own generator, and the scheduler treats its part of the batch separately. So --batch,
 * --count, --shard and --threads never change a picture. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sig.h"
#include "io/png.h"
#include "model/dit.h"
#include "model/pixart.h"
#include "model/vae.h"
#include "ops/params.h"
#include "sample.h"

/* A component in memory. */
typedef struct part {
    dk_weights *weights;
    dk_params *params;
} part;

typedef struct run {
    ds_plan *p;
    const ds_options *o;
    dk_ctx c;
    ds_texts *texts;
    part transformer_part, vae_part;
    dk_pixart *pixart;
    dk_dit *dit;
    dk_vae *vae;
    dk_vae_config vae_cfg;
    int out_channels;
    dk_sched *sched;
    ds_trace *trace;
    ds_sheet *sheet;
    float *given; /* --latent-in [rows, C, h, w] as f32, or NULL */
    int64_t given_rows;
    dk_progress *bar;
    long done; /* steps of images */
    double text_s, denoise_s, decode_s;
} run;

static int open_part(const run *r, dk_component c, part *out, dk_err *err)
{
    out->weights = dk_model_dir_weights(&r->p->dir, c, err);
    if (!out->weights)
        return err->code;
    out->params = dk_params_new(out->weights);
    return 0;
}

static void close_part(part *p)
{
    dk_params_free(p->params);
    dk_weights_close(p->weights);
}

static int open_transformer(run *r, dk_err *err)
{
    dk_jnode cfg = dk_model_dir_config(&r->p->dir, DK_COMP_TRANSFORMER);

    if (open_part(r, DK_COMP_TRANSFORMER, &r->transformer_part, err))
        return err->code;
    if (r->p->dir.arch == DK_ARCH_PIXART) {
        dk_pixart_config c;
        if (dk_pixart_config_read(&c, cfg, err))
            return err->code;
        r->out_channels = c.out_channels;
        r->pixart = dk_pixart_new(&c, r->transformer_part.params);
        if (dk_pixart_check(r->pixart, r->transformer_part.params, err))
            return err->code;
    } else {
        dk_dit_config c;
        if (dk_dit_config_read(&c, cfg, err))
            return err->code;
        r->out_channels = c.out_channels;
        r->dit = dk_dit_new(&c, r->transformer_part.params);
    }
    return dk_params_load(r->transformer_part.params, r->c.ops, err);
}

static int open_vae(run *r, dk_err *err)
{
    if (dk_vae_config_read(&r->vae_cfg, dk_model_dir_config(&r->p->dir, DK_COMP_VAE), err) ||
        open_part(r, DK_COMP_VAE, &r->vae_part, err))
        return err->code;
    r->vae = dk_vae_new(&r->vae_cfg, DK_VAE_DECODER, r->vae_part.params);
    return dk_params_load(r->vae_part.params, r->c.ops, err);
}

/* ---- Noise. */

static int read_latents(run *r, dk_err *err)
{
    const ds_item *it = &r->p->items[0];
    int64_t h = it->h / r->p->factor, w = it->w / r->p->factor;
    dk_st *st = dk_st_open(r->o->latent_in, err);
    char shape[96];

    if (!st)
        return err->code;
    const dk_st_tensor *t = dk_st_find(st, "latent");
    int64_t need = r->o->latent_row + r->p->n_images;
    if (!t)
        dk_fail(err, DK_EFORMAT, "%s: no tensor \"latent\"", r->o->latent_in);
    else if (t->ndim != 4 || t->shape[0] < need || t->shape[1] != r->p->in_channels ||
             t->shape[2] != h || t->shape[3] != w || !dk_dtype_is_float(t->dtype))
        dk_fail(err, DK_EFORMAT,
                "%s: tensor \"latent\": expected floats [%lld or more, %d, %lld, %lld], found %s %s",
                r->o->latent_in, (long long)need, r->p->in_channels, (long long)h, (long long)w,
                dk_dtype_name(t->dtype), dk_shape_str(t->ndim, t->shape, shape, sizeof shape));
    else if ((r->given = dk_alloc((size_t)t->count * sizeof(float), "--latent-in", err)) != NULL) {
        dk_to_f32(t->dtype, t->data, r->given, (size_t)t->count);
        r->given_rows = t->shape[0];
    }
    dk_st_close(st);
    return err->code;
}

static void seed_rng(const run *r, uint64_t seed, dk_rng *rng)
{
    if (strcmp(r->o->rng, "philox") == 0) {
        rng->kind = DK_RNG_PHILOX;
        dk_philox_seed(&rng->u.philox, seed, 132);
    } else {
        rng->kind = DK_RNG_TORCH;
        dk_torch_seed(&rng->u.torch, seed);
    }
}

/* ---- One batch. */

typedef struct batch {
    int first, count;  /* images of the plan */
    int halves;        /* 2 with guidance */
    const ds_item *item; /* the settings all its images share */
    int64_t shape[3];  /* of one latent: channels, h, w */
    size_t n;          /* its elements */
    float *x;          /* [count, n] the samples */
    dk_rng *rngs;
    const dk_pixart_text **texts; /* [halves * count] rows: negative half first */
    int32_t *labels;              /* [halves * count] rows: conditional half first */
} batch;

static void batch_free(batch *b)
{
    dk_free_aligned(b->x);
    free(b->rngs);
    free((void *)b->texts);
    free(b->labels);
}

/* As many following images as share everything a batch must share. */
static int batch_size(const run *r, int first)
{
    const ds_image *im = r->p->images;
    const ds_item *a = im[first].item;
    int n = 1;

    while (n < r->o->batch && first + n < r->p->n_images) {
        const ds_item *b = im[first + n].item;
        if (b->w != a->w || b->h != a->h || b->steps != a->steps || b->guidance != a->guidance)
            break;
        n++;
    }
    return n;
}

static const dk_pixart_text *prepared(run *r, ds_text *t)
{
    if (!t->kv) {
        dk_tensor hidden = dk_view(t->hidden, DK_F32, DK_SHAPE(t->tokens, t->dim));
        t->kv = dk_pixart_text_new(r->pixart, &r->c, &hidden);
    }
    return t->kv;
}

static int batch_begin(run *r, int first, batch *b, dk_err *err)
{
    memset(b, 0, sizeof *b);
    b->first = first;
    b->count = batch_size(r, first);
    b->item = r->p->images[first].item;
    b->halves = ds_guided(b->item) ? 2 : 1;
    b->shape[0] = r->p->in_channels;
    b->shape[1] = b->item->h / r->p->factor;
    b->shape[2] = b->item->w / r->p->factor;
    b->n = (size_t)(b->shape[0] * b->shape[1] * b->shape[2]);
    size_t rows = (size_t)(b->halves * b->count);
    b->rngs = dk_xcalloc((size_t)b->count, sizeof *b->rngs);
    b->texts = dk_xcalloc(rows, sizeof *b->texts);
    b->labels = dk_xcalloc(rows, sizeof *b->labels);
    b->x = dk_alloc((size_t)b->count * b->n * sizeof(float), "latents", err);
    if (!b->x)
        return err->code;

    float sigma = (float)dk_sched_init_sigma(r->sched);
    for (int k = 0; k < b->count; k++) {
        const ds_image *im = &r->p->images[first + k];
        float *x = b->x + (size_t)k * b->n;
        seed_rng(r, im->seed, &b->rngs[k]);
        if (r->given)
            memcpy(x, r->given + (size_t)(r->o->latent_row + first + k) * b->n,
                   b->n * sizeof(float));
        else
            dk_rng_normal(&b->rngs[k], x, b->n);
        for (size_t i = 0; i < b->n; i++)
            x[i] *= sigma;
        if (r->pixart) {
            int cond = b->halves == 2 ? b->count + k : k;
            b->texts[cond] = prepared(r, ds_texts_prompt(r->texts, im->item));
            if (b->halves == 2)
                b->texts[k] = prepared(r, ds_texts_negative(r->texts, im->item));
        } else {
            b->labels[k] = im->item->cls;
            if (b->halves == 2)
                b->labels[b->count + k] = r->p->classes;
        }
    }
    return dk_ctx_take(&r->c, err);
}

/* Texts that no later image needs give their keys and values back. */
static void batch_end(run *r, batch *b)
{
    for (int k = 0; r->pixart && k < b->count; k++) {
        const ds_item *it = r->p->images[b->first + k].item;
        ds_text *used[2] = {ds_texts_prompt(r->texts, it),
                            b->halves == 2 ? ds_texts_negative(r->texts, it) : NULL};
        for (int i = 0; i < 2; i++) {
            if (!used[i] || --used[i]->uses > 0)
                continue;
            dk_pixart_text_free(used[i]->kv);
            used[i]->kv = NULL;
        }
    }
    batch_free(b);
}

/* ---- The loop. */

typedef struct trace_call {
    run *r;
    const batch *b;
    dk_err *err;
} trace_call;

static void trace_block(void *user, int block, const dk_tensor *x)
{
    trace_call *t = user;
    if (!t->err->code)
        ds_trace_rows(t->r->trace, block, t->b->first, t->b->count, x, t->err);
}

/* The transformer on all rows of the batch at step i: out [halves * count, out_channels, h, w]. */
static int forward(run *r, const batch *b, int i, dk_tensor *out, dk_err *err)
{
    int64_t rows = (int64_t)b->halves * b->count;
    double t = dk_sched_timestep(r->sched, i);
    trace_call call = {r, b, err};
    bool traced = r->o->trace && i == 0;
    dk_tensor in = dk_new(&r->c, DK_SHAPE(rows, b->shape[0], b->shape[1], b->shape[2]));

    *out = dk_new(&r->c, DK_SHAPE(rows, r->out_channels, b->shape[1], b->shape[2]));
    if (dk_ctx_take(&r->c, err))
        return err->code;
    size_t half = (size_t)b->count * b->n;
    dk_sched_scale_input(r->sched, i, b->x, dk_f32(&in), half);
    if (b->halves == 2)
        memcpy(dk_f32(&in) + half, dk_f32(&in), half * sizeof(float));
    if (r->pixart) {
        dk_pixart_in args = {.latent = &in,
                             .t = t,
                             .text = b->texts,
                             .height = b->item->h,
                             .width = b->item->w,
                             .aspect = (double)b->item->h / b->item->w,
                             .block = traced ? trace_block : NULL,
                             .user = &call};
        dk_pixart_forward(r->pixart, &r->c, &args, out);
    } else {
        dk_dit_forward(r->dit, &r->c, &in, t, b->labels, traced ? trace_block : NULL, &call, out);
    }
    if (!dk_ctx_take(&r->c, err) && traced)
        ds_trace_rows(r->trace, -1, b->first, b->count, out, err);
    return err->code;
}

/* Classifier-free guidance u + w (c - u) on all channels; the first in_channels maps of each image
 * go to eps, the learned-variance maps behind them (if any) to var. */
static void guide(const run *r, const batch *b, const dk_tensor *out, float *eps, float *var)
{
    size_t area = b->n / (size_t)b->shape[0], all = (size_t)r->out_channels * area;
    float w = (float)b->item->guidance;

    for (int k = 0; k < b->count; k++) {
        const float *first = dk_f32(out) + (size_t)k * all;
        const float *second = first + (size_t)b->count * all;
        /* PixArt puts the unconditional half first, DiT the conditional one. */
        const float *cond = b->halves == 2 && r->pixart ? second : first;
        const float *uncond = b->halves == 2 && !r->pixart ? second : first;
        for (size_t j = 0; j < all; j++) {
            float v = b->halves == 2 ? uncond[j] + w * (cond[j] - uncond[j]) : cond[j];
            if (j < b->n)
                eps[(size_t)k * b->n + j] = v;
            else if (var && j < 2 * b->n)
                var[(size_t)k * b->n + j - b->n] = v;
        }
    }
}

static int check_latents(const batch *b, dk_err *err)
{
    for (size_t j = 0; j < (size_t)b->count * b->n; j++)
        if (!isfinite(b->x[j]))
            return dk_fail(err, DK_ENUMERIC, "latent of image %d: NaN or infinity after the step",
                           (int)(j / b->n) + b->first);
    return 0;
}

static int decode(run *r, int index, const float *latent, const int64_t shape[3], dk_tensor *image,
                  dk_err *err)
{
    const ds_item *it = r->p->images[index].item;
    size_t n = (size_t)(shape[0] * shape[1] * shape[2]);
    dk_tensor z = dk_new(&r->c, 3, shape);

    *image = dk_new(&r->c, DK_SHAPE(3, it->h, it->w));
    if (dk_ctx_take(&r->c, err))
        return err->code;
    float scale = (float)r->vae_cfg.scaling_factor, shift = (float)r->vae_cfg.shift_factor;
    for (size_t j = 0; j < n; j++)
        dk_f32(&z)[j] = latent[j] / scale + shift;
    dk_vae_decode(r->vae, &r->c, &z, image);
    dk_op_finite(&r->c, image, "VAE output");
    if (dk_ctx_take(&r->c, err))
        return dk_wrap(err, "decoding image %d", index);
    return 0;
}

/* The bytes of a decoded image at the size asked for; malloc-ed. */
static uint8_t *finish_rgb(const ds_item *it, const dk_tensor *image, dk_err *err)
{
    float *resized = NULL;
    const float *pixels = dk_f32(image);
    uint8_t *rgb = NULL;

    if (it->w != it->req_w || it->h != it->req_h)
        pixels = resized = ds_resize_crop(pixels, it->w, it->h, it->req_w, it->req_h, err);
    if (pixels && (rgb = dk_alloc((size_t)it->req_w * (size_t)it->req_h * 3, "picture", err)))
        ds_to_rgb(pixels, it->req_w, it->req_h, rgb);
    dk_free_aligned(resized);
    return rgb;
}

static int preview(run *r, const batch *b, int step, dk_err *err)
{
    for (int k = 0; k < b->count && !err->code; k++) {
        const ds_image *im = &r->p->images[b->first + k];
        dk_arena_mark mark = dk_arena_save(r->c.arena);
        dk_tensor image;
        if (!decode(r, b->first + k, b->x + (size_t)k * b->n, b->shape, &image, err)) {
            char *path = ds_preview_path(im->path, step);
            uint8_t *rgb = finish_rgb(im->item, &image, err);
            if (rgb)
                dk_png_save(path, rgb, im->item->req_w, im->item->req_h, NULL, 0, r->o->force, err);
            dk_free_aligned(rgb);
            free(path);
        }
        dk_arena_restore(r->c.arena, mark);
    }
    return err->code;
}

static int denoise_step(run *r, batch *b, int i, float *eps, float *var, dk_err *err)
{
    dk_arena_mark mark = dk_arena_save(r->c.arena);
    int steps = dk_sched_steps(r->sched);
    dk_tensor out;

    if (!dk_check_cancel(err) && !forward(r, b, i, &out, err)) {
        guide(r, b, &out, eps, var);
        if (!dk_sched_step(r->sched, i, eps, var, b->x, (size_t)b->count, b->n, b->rngs, err))
            check_latents(b, err);
    }
    dk_arena_restore(r->c.arena, mark);
    if (err->code == DK_ENUMERIC)
        dk_wrap(err, "step %d of %d", i + 1, steps);
    if (!err->code)
        ds_trace_latent(r->trace, i + 1, i + 1 == steps, b->first, b->count, b->x, b->shape, err);
    if (!err->code && r->o->preview_every && (i + 1) % r->o->preview_every == 0 && i + 1 < steps)
        preview(r, b, i + 1, err);
    return err->code;
}

static int denoise(run *r, batch *b, dk_err *err)
{
    int steps = dk_sched_steps(r->sched);
    bool learned = r->out_channels >= 2 * r->p->in_channels;
    size_t bytes = (size_t)b->count * b->n * sizeof(float);
    float *eps = dk_alloc(bytes, "model output", err);
    float *var = learned ? dk_alloc(bytes, "model output", err) : NULL;

    if (!err->code)
        ds_trace_latent(r->trace, 0, false, b->first, b->count, b->x, b->shape, err);
    for (int i = 0; i < steps && !err->code; i++) {
        denoise_step(r, b, i, eps, var, err);
        r->done += b->count;
        dk_progress_step(r->bar, r->done);
    }
    dk_free_aligned(eps);
    dk_free_aligned(var);
    return err->code;
}

static int write_png(run *r, const ds_image *im, const uint8_t *rgb, dk_err *err)
{
    char *parameters = ds_settings_parameters(r->p, im, r->sched);
    char *json = ds_settings_json(r->p, im, r->sched);
    dk_png_text text[] = {{"parameters", parameters}, {"dit-sample", json}};

    int rc = dk_png_save(im->path, rgb, im->item->req_w, im->item->req_h, text, 2, r->o->force, err);
    free(parameters);
    free(json);
    return rc;
}

static int finish_image(run *r, const batch *b, int k, dk_err *err)
{
    int index = b->first + k;
    const ds_image *im = &r->p->images[index];
    dk_arena_mark mark = dk_arena_save(r->c.arena);
    dk_tensor image;

    if (!decode(r, index, b->x + (size_t)k * b->n, b->shape, &image, err) &&
        !ds_trace_image(r->trace, index, dk_f32(&image), image.shape, err)) {
        uint8_t *rgb = finish_rgb(im->item, &image, err);
        if (rgb && r->sheet)
            ds_sheet_put(r->sheet, index, rgb, im->item->req_w, im->item->req_h);
        if (rgb && im->path)
            write_png(r, im, rgb, err);
        dk_free_aligned(rgb);
    }
    dk_arena_restore(r->c.arena, mark);
    return err->code;
}

static int run_batch(run *r, int first, int *count, dk_err *err)
{
    batch b;
    double start = dk_now();

    *count = 0;
    if (dk_sched_set_steps(r->sched, r->p->images[first].item->steps, err))
        return err->code;
    if (!batch_begin(r, first, &b, err) && !denoise(r, &b, err)) {
        double middle = dk_now();
        r->denoise_s += middle - start;
        bool wanted = r->o->output || r->o->sheet || r->o->trace;
        for (int k = 0; wanted && k < b.count && !err->code; k++)
            finish_image(r, &b, k, err);
        r->decode_s += dk_now() - middle;
    }
    *count = b.count;
    batch_end(r, &b);
    return err->code;
}

static long total_steps(const ds_plan *p)
{
    long n = 0;
    for (int k = 0; k < p->n_images; k++)
        n += p->images[k].item->steps;
    return n;
}

static int make_images(run *r, dk_err *err)
{
    r->bar = dk_progress_begin("images", total_steps(r->p));
    for (int first = 0, n; first < r->p->n_images && !err->code; first += n)
        run_batch(r, first, &n, err);
    dk_progress_end(r->bar);
    r->bar = NULL;
    if (!err->code && r->sheet)
        ds_sheet_save(r->sheet, r->p, err);
    if (!err->code)
        ds_trace_save(r->trace, r->texts ? ds_texts_prompt(r->texts, &r->p->items[0]) : NULL, err);
    return err->code;
}

/* ---- The result as JSON. */

static void print_result(const run *r)
{
    const ds_plan *p = r->p;
    json_t *o = json_object(), *list = json_array();
    dk_buf b = {0};

    for (int k = 0; k < p->n_images; k++) {
        const ds_image *im = &p->images[k];
        json_t *x = json_object();
        if (im->path)
            json_object_set_new(x, "path", json_string(im->path));
        if (im->item->prompt)
            json_object_set_new(x, "prompt", json_string(im->item->prompt));
        else
            json_object_set_new(x, "class", json_integer(im->item->cls));
        json_object_set_new(x, "n", json_integer(im->n));
        json_object_set_new(x, "i", json_integer(im->i));
        json_object_set_new(x, "seed", json_integer((json_int_t)im->seed));
        json_object_set_new(x, "width", json_integer(im->item->req_w));
        json_object_set_new(x, "height", json_integer(im->item->req_h));
        json_object_set_new(x, "steps", json_integer(im->item->steps));
        json_object_set_new(x, "guidance", json_real(im->item->guidance));
        json_array_append_new(list, x);
    }
    json_object_set_new(o, "schema", json_string("dk.sample-result/1"));
    json_object_set_new(o, "model", json_string(r->o->model));
    json_object_set_new(o, "model_hash", json_string(p->hash));
    if (r->sched)
        json_object_set_new(o, "scheduler", json_string(dk_sched_name(r->sched)));
    json_object_set_new(o, "images", list);
    json_object_set_new(o, "text_seconds", json_real(r->text_s));
    json_object_set_new(o, "denoise_seconds", json_real(r->denoise_s));
    json_object_set_new(o, "decode_seconds", json_real(r->decode_s));
    dk_json_dump(&b, o, true);
    puts(dk_buf_str(&b));
    dk_buf_free(&b);
    json_decref(o);
}

static int check_memory(const ds_plan *p, dk_err *err)
{
    ds_estimate e;

    if (!p->o->max_mem)
        return 0;
    if (ds_estimate_plan(p, &e, err))
        return err->code;
    if (ds_peak_bytes(&e) > (double)p->o->max_mem)
        return dk_fail(err, DK_ENOMEM, "the job needs about %.0f MiB, above --max-mem of %.0f MiB",
                       ds_peak_bytes(&e) / 1048576.0, (double)p->o->max_mem / 1048576.0);
    return 0;
}

static int open_models(run *r, dk_err *err)
{
    dk_jnode cfg = dk_model_dir_config(&r->p->dir, DK_COMP_SCHEDULER);
    int kind = r->o->scheduler ? dk_sched_kind_parse(r->o->scheduler) : -1;

    r->sched = dk_sched_new(kind, cfg, err);
    if (!r->sched)
        return err->code;
    /* Step counts that the scheduler cannot do are found before any weight is read. */
    for (int n = 0; n < r->p->n_items; n++)
        if (dk_sched_set_steps(r->sched, r->p->items[n].steps, err))
            return err->code;
    return 0;
}

int ds_generate(ds_plan *p, dk_err *err)
{
    run r = {.p = p, .o = p->o};
    double start = dk_now();
    bool pictures = p->o->output || p->o->sheet || p->o->trace || p->o->latent_out;

    dk_ctx_init(&r.c, p->o->reference ? dk_ops_reference() : dk_ops_cpu());
    r.trace = ds_trace_new(p);
    if (check_memory(p, err) || open_models(&r, err) ||
        (p->o->latent_in && read_latents(&r, err)))
        goto out;
    if (p->o->sheet && !(r.sheet = ds_sheet_new(p, err)))
        goto out;
    if (p->dir.text_limit > 0 && !(r.texts = ds_texts_new(p, r.c.ops, err)))
        goto out;
    r.text_s = dk_now() - start;
    if (p->o->embeds_out && ds_texts_save(r.texts, p, err))
        goto out;
    if (pictures && (open_transformer(&r, err) || open_vae(&r, err) || make_images(&r, err)))
        goto out;
    dk_info("%.1f MiB of activations at most; text %.2f s, denoising %.2f s, decoding %.2f s",
            (double)dk_arena_peak(r.c.arena) / 1048576.0, r.text_s, r.denoise_s, r.decode_s);
    if (p->o->json)
        print_result(&r);
out:
    close_part(&r.transformer_part);
    close_part(&r.vae_part);
    dk_pixart_free(r.pixart);
    dk_dit_free(r.dit);
    dk_vae_free(r.vae);
    dk_sched_free(r.sched);
    ds_texts_free(r.texts);
    ds_trace_free(r.trace);
    ds_sheet_free(r.sheet);
    dk_free_aligned(r.given);
    dk_ctx_fini(&r.c);
    return err->code;
}
