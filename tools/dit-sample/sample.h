/* dit-sample's own types: what the command line asks for, and the pictures that follow from it.
 *
 * Flow: options (options.c) -> items, one per prompt (items.c) -> images with their seeds and paths
 * (plan.c) -> texts, latents, pictures (pipeline.c) -> files (output.c, settings.c). */
#ifndef DS_SAMPLE_H
#define DS_SAMPLE_H

#include "base/buf.h"
#include "base/opt.h"
#include "model/dir.h"
#include "model/scheduler.h"
#include "ops/ops.h"

#define DS_MAX_SIDE 16384
#define DS_MAX_PROMPT (64u << 20)

typedef struct ds_options {
    const char *model, *variant;
    const char *prompt, *prompts, *negative, *cls;
    const char *output, *sheet, *trace, *replay;
    const char *latent_in, *latent_out, *embeds_in, *embeds_out;
    const char *size, *scheduler, *rng, *device, *shard;
    int64_t steps, count, batch, max_length, preview_every, threads;
    double guidance;
    uint64_t seed, max_mem;
    bool seed_given, steps_given, guidance_given, prompt_given;
    bool no_binning, force, json, dry_run, reference, quiet;
    int verbose;
    int shard_index, shard_count; /* of --shard i/n; 1/1 otherwise */
    int latent_row;               /* first row of --latent-in; of a replayed picture its own */
    char class_text[16], size_text[32]; /* what --replay puts behind cls and size */
} ds_options;

/* One prompt (or class) and how to paint it. Strings are owned. */
typedef struct ds_item {
    char *prompt, *negative; /* raw text; prompt NULL for a class */
    int cls;                 /* class id, -1 for a prompt */
    uint64_t seed;           /* of its image 0 */
    int count, steps;
    double guidance;
    int req_w, req_h; /* pixels asked for */
    int w, h;         /* pixels computed: the resolution bin, or the same */
} ds_item;

typedef struct ds_image {
    const ds_item *item;
    int n, i; /* prompt number, image number; both from 0 */
    uint64_t seed;
    char *path; /* NULL when only a sheet or tensors are wanted */
} ds_image;

/* Everything that is known before anything is computed. */
typedef struct ds_plan {
    const ds_options *o;
    dk_model_dir dir;
    char hash[33];
    int sample_size, in_channels, patch, factor, classes; /* of the model's configs */
    int default_w, default_h; /* --size, or the model's own size */
    int max_length;           /* tokens of a prompt */
    bool binning;
    ds_item *items;
    int n_items;
    ds_image *images; /* this shard's */
    int n_images;
    const char *model_name; /* last part of the path, for the settings */
    char latent_in_hash[33], embeds_in_hash[33]; /* "" when not used */
} ds_plan;

/* options.c */
const dk_opt_spec *ds_spec(ds_options *o);
void ds_options_init(ds_options *o);
int ds_options_check(ds_options *o, int n_operands, dk_err *err);
int ds_parse_size(const char *s, int *w, int *h, dk_err *err);

/* items.c: prompts and their options. */
int ds_items_load(ds_plan *p, dk_err *err);
void ds_items_free(ds_plan *p);

/* plan.c */
int ds_plan_open(ds_plan *p, const ds_options *o, dk_err *err);   /* model configs, items, images */
int ds_plan_hash(ds_plan *p, dk_err *err);
void ds_plan_close(ds_plan *p);
/* The resolution bin of a request (bins.c); leaves *w, *h where the model has none. */
void ds_bin(int sample_size, int *w, int *h);

/* paths.c: "out/%p-%i.png" */
bool ds_is_pattern(const char *pattern);
/* malloc-ed; DK_EUSAGE for an unknown escape. `name` is the prompt or class name. */
char *ds_expand(const char *pattern, int n, int i, uint64_t seed, const char *name, dk_err *err);
char *ds_preview_path(const char *path, int step); /* out.png -> out.step005.png */
/* All outputs of the plan: no two equal, none existing without -f, directories writable. */
int ds_check_outputs(const ds_plan *p, dk_err *err);

/* settings.c: what stands in the PNG, and reading it back. */
char *ds_settings_parameters(const ds_plan *p, const ds_image *im, const dk_sched *s);
char *ds_settings_json(const ds_plan *p, const ds_image *im, const dk_sched *s);
/* Sets options from the settings of a PNG; strings are kept alive by *doc. */
int ds_settings_replay(ds_options *o, const char *png, dk_json *doc, dk_err *err);
/* Is the model (and are the tensor files) what the settings record? DK_ECHECK if not. */
int ds_settings_verify(const ds_plan *p, const dk_json *doc, dk_err *err);

/* texts.c: the text encoder's states of all distinct texts. */
typedef struct ds_text {
    char *raw; /* as given */
    float *hidden;
    int64_t tokens, dim; /* real tokens only */
    int uses;            /* images still to be painted with it */
    struct dk_pixart_text *kv;
} ds_text;
typedef struct ds_texts ds_texts;
/* Loads tokenizer and encoder, encodes every prompt and negative prompt of the plan, releases them;
 * or reads --embeds-in. */
ds_texts *ds_texts_new(const ds_plan *p, const dk_ops *ops, dk_err *err);
void ds_texts_free(ds_texts *t);
ds_text *ds_texts_prompt(ds_texts *t, const ds_item *it);
ds_text *ds_texts_negative(ds_texts *t, const ds_item *it);
int ds_texts_save(ds_texts *t, const ds_plan *p, dk_err *err); /* --embeds-out */
static inline bool ds_guided(const ds_item *it) { return it->guidance > 1; }

/* trace.c: --trace and --latent-out, assembled image by image whatever the batches were. */
typedef struct ds_trace ds_trace;
ds_trace *ds_trace_new(const ds_plan *p);
void ds_trace_free(ds_trace *t);
/* latents [count, n] of the images first.. after `step` steps (0: the initial noise). */
int ds_trace_latent(ds_trace *t, int step, bool last, int first, int count, const float *x,
                    const int64_t shape[3], dk_err *err);
/* rows [halves * count, ...]: output of block `block` (-1: of the transformer) at the first step. */
int ds_trace_rows(ds_trace *t, int block, int first, int count, const dk_tensor *rows, dk_err *err);
int ds_trace_image(ds_trace *t, int index, const float *image, const int64_t shape[3], dk_err *err);
int ds_trace_save(ds_trace *t, const ds_text *text, dk_err *err);

/* output.c: pictures. image [3, h, w] in [-1, 1] unclamped; rgb [h, w, 3]. */
void ds_to_rgb(const float *image, int w, int h, uint8_t *rgb);
/* Resize (bilinear) to cover req_w x req_h and crop its centre; returns malloc-ed [3, req_h, req_w]. */
float *ds_resize_crop(const float *image, int w, int h, int req_w, int req_h, dk_err *err);
/* A contact sheet: equal cells in rows, one row per prompt where count > 1. */
typedef struct ds_sheet ds_sheet;
ds_sheet *ds_sheet_new(const ds_plan *p, dk_err *err);
void ds_sheet_put(ds_sheet *s, int index, const uint8_t *rgb, int w, int h);
int ds_sheet_save(ds_sheet *s, const ds_plan *p, dk_err *err);
void ds_sheet_free(ds_sheet *s);

/* Actions. Each returns 0 or an error code. */
int ds_generate(ds_plan *p, dk_err *err);               /* pipeline.c */
int ds_dry_run(ds_plan *p, dk_err *err);                /* dryrun.c */
int ds_inspect(int argc, char **argv, dk_err *err);     /* inspect.c */
int ds_tokenize(int argc, char **argv, dk_err *err);    /* tokenize.c */

/* Estimated peak bytes of the phases (dryrun.c): text encoder, denoising, decoding. */
typedef struct ds_estimate {
    double text_bytes, denoise_bytes, decode_bytes; /* weights + activations of each phase */
    double text_flops, denoise_flops, decode_flops; /* of the whole job */
    int64_t text_params, transformer_params, vae_params;
} ds_estimate;
int ds_estimate_plan(const ds_plan *p, ds_estimate *e, dk_err *err);
double ds_peak_bytes(const ds_estimate *e);

#endif
