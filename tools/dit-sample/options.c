/* The option table of `dit-sample` without an action, and the checks that need no model. */
#include <stdlib.h>
#include <string.h>

#include "sample.h"

static const char usage[] =
    "dit-sample -m DIR --prompt TEXT -o FILE.png [options]\n"
    "       dit-sample -m DIR --prompts FILE|- -o 'DIR/%p-%i.png' [--count N] [--sheet FILE.png]\n"
    "       dit-sample -m DIR --class ID|NAME -o FILE.png\n"
    "       dit-sample --replay FILE.png -o FILE.png\n"
    "       dit-sample inspect DIR | tokenize -m DIR [FILE]    (see `dit-sample inspect --help`)";

static const char footer[] =
    "Output patterns: %n prompt number, %i image number (both from 0), %s seed, %p prompt as a\n"
    "file name, %% a percent sign. Directories are not made.\n"
    "Example:\n"
    "  dit-sample -m models/emoji --prompt 'red apple' --seed 1 -o apple.png\n"
    "Exit status: 0 done, 1 failed, 2 usage, 3 malformed input, 4 unsupported, 5 another model\n"
    "than --replay expects, 130 interrupted.";

void ds_options_init(ds_options *o)
{
    memset(o, 0, sizeof *o);
    o->count = 1;
    o->batch = 1;
    o->rng = "torch";
    o->device = "auto";
    o->negative = "";
    o->shard_index = o->shard_count = 1;
}

const dk_opt_spec *ds_spec(ds_options *o)
{
    static dk_opt_spec spec;
    const dk_opt table[] = {
        DK_OPT_GROUP("What to paint"),
        DK_OPT_STR('m', "model", &o->model, "DIR", "model directory in the hub's layout"),
        DK_OPT_STR(0, "variant", &o->variant, "NAME", "weight files of this variant, e.g. fp16"),
        DK_OPT_STR('p', "prompt", &o->prompt, "TEXT", "what the picture shows"),
        DK_OPT_STR(0, "prompts", &o->prompts, "FILE",
                   "one prompt a line, or JSONL with prompt, negative, class, seed, count, steps, "
                   "guidance, size; - is standard input"),
        DK_OPT_STR(0, "negative", &o->negative, "TEXT", "what to steer away from (default empty)"),
        DK_OPT_STR(0, "class", &o->cls, "ID", "class of a class-conditional DiT, number or name"),
        {DK_KIND_SEED, 's', "seed", &o->seed, &o->seed_given, 0, 0, "SEED",
         "image i of a prompt uses SEED + i (default: drawn once and printed)"},
        DK_OPT_INT(0, "count", &o->count, 1, 100000, "N", "images per prompt (default 1)"),
        DK_OPT_GROUP("How"),
        {DK_KIND_INT, 0, "steps", &o->steps, &o->steps_given, 1, 10000, "N",
         "denoising steps (default 20; DiT 50)"},
        {DK_KIND_F64, 0, "guidance", &o->guidance, &o->guidance_given, 0, 1000, "W",
         "classifier-free guidance; 1 and below: off (default 4.5; DiT 4)"},
        DK_OPT_ENUM(0, "scheduler", &o->scheduler, "dpm++|ddim|ddpm|euler",
                    "default: the one of the model directory"),
        DK_OPT_STR(0, "size", &o->size, "WxH", "pixels (default: the model's own size)"),
        DK_OPT_FLAG(0, "no-binning", &o->no_binning,
                    "compute at exactly --size instead of the nearest size the model was trained on"),
        DK_OPT_INT(0, "max-length", &o->max_length, 1, 4096, "N",
                   "tokens of a prompt (default 120 PixArt-alpha, 300 PixArt-Sigma)"),
        DK_OPT_ENUM(0, "rng", &o->rng, "torch|philox",
                    "initial noise as torch draws it on the CPU (default) or on a GPU"),
        DK_OPT_STR(0, "latent-in", &o->latent_in, "FILE",
                   "initial noise, tensor \"latent\" [images, C, h, w] of a safetensors file"),
        DK_OPT_STR(0, "embeds-in", &o->embeds_in, "FILE",
                   "text states instead of a prompt: prompt.hidden, prompt.mask, negative.hidden, "
                   "negative.mask"),
        DK_OPT_STR(0, "replay", &o->replay, "PNG", "repeat a picture from the settings inside it"),
        DK_OPT_GROUP("What to write"),
        DK_OPT_STR('o', "output", &o->output, "FILE",
                   "PNG, a pattern for several, or - for standard output"),
        DK_OPT_STR(0, "sheet", &o->sheet, "FILE", "contact sheet of all images (PNG)"),
        DK_OPT_INT(0, "preview-every", &o->preview_every, 1, 10000, "N",
                   "also decode every N steps, to OUT.stepNNN.png"),
        DK_OPT_STR(0, "latent-out", &o->latent_out, "FILE", "final latents, tensor \"latent\""),
        DK_OPT_STR(0, "embeds-out", &o->embeds_out, "FILE", "text states, names as --embeds-in"),
        DK_OPT_STR(0, "trace", &o->trace, "FILE",
                   "text.hidden, latent.NNN, step0.block.K, step0.output, image as safetensors"),
        DK_OPT_FLAG('f', "force", &o->force, "overwrite existing files"),
        DK_OPT_FLAG(0, "json", &o->json, "print one JSON object about the result"),
        DK_OPT_FLAG('n', "dry-run", &o->dry_run,
                    "print memory, work and time of the job; reads headers only"),
        DK_OPT_GROUP("Running"),
        DK_OPT_INT('j', "threads", &o->threads, 0, 1024, "N", "0: all cores (default)"),
        DK_OPT_INT(0, "batch", &o->batch, 1, 1024, "N",
                   "images computed together; does not change them (default 1)"),
        DK_OPT_STR(0, "shard", &o->shard, "I/N",
                   "make only every N-th image, starting with the I-th (1..N)"),
        DK_OPT_SIZE(0, "max-mem", &o->max_mem, "refuse a job that needs more memory (default: any)"),
        DK_OPT_ENUM(0, "device", &o->device, "auto|cpu|cuda", "where to compute (default auto)"),
        DK_OPT_FLAG(0, "reference", &o->reference, "plain loops instead of the fast kernels"),
        DK_OPT_FLAG('q', "quiet", &o->quiet, "errors only"),
        DK_OPT_COUNT('v', "verbose", &o->verbose, "say more; twice: debug"),
        DK_OPT_END};
    static dk_opt kept[sizeof table / sizeof table[0]];

    memcpy(kept, table, sizeof table);
    spec.usage = usage;
    spec.summary = "Paints pictures from words with PixArt-alpha/Sigma, or of a class with DiT.";
    spec.opts = kept;
    spec.footer = footer;
    return &spec;
}

/* "1024x768" or "512" (square). */
int ds_parse_size(const char *s, int *w, int *h, dk_err *err)
{
    char number[16];
    const char *x = strchr(s, 'x');
    size_t n = x ? (size_t)(x - s) : strlen(s);
    int64_t v;

    if (n == 0 || n >= sizeof number || (x && !x[1]))
        return dk_fail(err, DK_EUSAGE, "--size: expected WIDTHxHEIGHT, found \"%s\"", s);
    memcpy(number, s, n);
    number[n] = '\0';
    if (dk_parse_i64(number, 1, DS_MAX_SIDE, "--size: width", &v, err))
        return err->code;
    *w = (int)v;
    if (x && dk_parse_i64(x + 1, 1, DS_MAX_SIDE, "--size: height", &v, err))
        return err->code;
    *h = (int)v;
    return 0;
}

static int check_sources(const ds_options *o, dk_err *err)
{
    int sources = (o->prompt != NULL) + (o->prompts != NULL) + (o->cls != NULL);

    if (o->replay) {
        if (sources || o->seed_given || o->size || o->steps_given || o->guidance_given ||
            o->scheduler || o->count > 1)
            return dk_fail(err, DK_EUSAGE,
                           "--replay takes prompt, seed, steps, guidance, scheduler and size from "
                           "the picture; leave them out");
        return 0;
    }
    if (!o->model)
        return dk_fail(err, DK_EUSAGE, "-m DIR is missing; try dit-sample --help");
    if (sources > 1)
        return dk_fail(err, DK_EUSAGE, "give one of --prompt, --prompts, --class");
    if (sources == 0 && !o->embeds_in)
        return dk_fail(err, DK_EUSAGE, "nothing to paint: give --prompt, --prompts or --class");
    if (o->prompts && (o->embeds_in || o->embeds_out || o->trace))
        return dk_fail(err, DK_EUSAGE, "--%s is for one prompt; with --prompts it is not possible",
                       o->embeds_in ? "embeds-in" : o->embeds_out ? "embeds-out" : "trace");
    if (o->cls && (o->embeds_in || o->embeds_out))
        return dk_fail(err, DK_EUSAGE, "--class has no text states: leave --embeds-* out");
    return 0;
}

int ds_options_check(ds_options *o, int n_operands, dk_err *err)
{
    if (n_operands > 0)
        return dk_fail(err, DK_EUSAGE, "unexpected argument; prompts are given with --prompt");
    if (strcmp(o->device, "cuda") == 0)
        return dk_fail(err, DK_EUNSUPPORTED, "--device cuda: this build computes on the CPU only");
    if (check_sources(o, err))
        return err->code;
    if (o->shard && dk_parse_shard(o->shard, &o->shard_index, &o->shard_count, err))
        return err->code;
    if (o->shard_count > 1 && (o->sheet || o->latent_in || o->latent_out || o->trace))
        return dk_fail(err, DK_EUSAGE,
                       "--shard goes with pictures only: leave --sheet, --latent-in, --latent-out "
                       "and --trace out");
    if (o->dry_run)
        return 0;
    if (!o->output && !o->sheet && !o->trace && !o->latent_out && !o->embeds_out)
        return dk_fail(err, DK_EUSAGE, "-o FILE is missing; try dit-sample --help");
    if (o->output && strcmp(o->output, "-") == 0 && o->json)
        return dk_fail(err, DK_EUSAGE, "-o - and --json both want standard output");
    if (o->preview_every && (!o->output || strcmp(o->output, "-") == 0))
        return dk_fail(err, DK_EUSAGE, "--preview-every needs -o FILE");
    return 0;
}
