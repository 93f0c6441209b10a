/* `--dry-run`: memory, work and time of a job from configs and headers. FLOP formulas count 2 per
 * multiply-add (N tokens, D width, L text tokens): linears 2 N in out, attention 4 Nq Nk D. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "model/dit.h"
#include "model/pixart.h"
#include "model/t5.h"
#include "model/vae.h"
#include "ops/params.h"
#include "sample.h"

typedef struct sizes {
    double bytes;   /* weights as stored */
    int64_t params;
} sizes;

static int component_size(const dk_model_dir *d, dk_component c, sizes *out, dk_err *err)
{
    dk_weights *w = dk_model_dir_weights(d, c, err);
    if (!w)
        return err->code;
    out->bytes = (double)dk_weights_bytes(w);
    out->params = dk_weights_parameters(w);
    dk_weights_close(w);
    return 0;
}

/* Encoder of n tokens. Activations: a few [n, d] and [n, d_ff] arrays of f32. */
static int estimate_text(const ds_plan *p, ds_estimate *e, dk_err *err)
{
    dk_t5_config c;
    sizes s = {0};

    if (p->dir.text_limit == 0 || p->o->embeds_in)
        return 0;
    if (dk_t5_config_read(&c, dk_model_dir_config(&p->dir, DK_COMP_TEXT_ENCODER), err) ||
        component_size(&p->dir, DK_COMP_TEXT_ENCODER, &s, err))
        return err->code;
    double n = p->max_length, inner = (double)c.heads * c.d_kv, d = c.d_model, texts = 0;
    double layer = 8 * n * d * inner + 4 * n * n * inner + (c.gated ? 6.0 : 4.0) * n * d * c.d_ff;
    for (int i = 0; i < p->n_items; i++)
        texts += ds_guided(&p->items[i]) ? 1 : 0;
    texts = p->n_items + (texts > 0); /* the negative prompt is mostly one for all */
    e->text_params = s.params;
    e->text_flops = texts * layer * c.layers;
    e->text_bytes = s.bytes + n * (4 * inner + 4 * d + 2.0 * c.d_ff) * 4 + texts * n * d * 4;
    return 0;
}

/* One forward of a row: transformer blocks on N tokens. */
static double block_flops(double n, double d, double text, double cross)
{
    double self = 8 * n * d * d + 4 * n * n * d, ffn = 16 * n * d * d;
    return self + ffn + (cross > 0 ? 4 * n * d * d + 4 * n * text * d : 0);
}

static int estimate_denoise(const ds_plan *p, ds_estimate *e, dk_err *err)
{
    dk_jnode cfg = dk_model_dir_config(&p->dir, DK_COMP_TRANSFORMER);
    double dim, layers, text = 0, kv = 0, most = 0;
    sizes s = {0};

    if (component_size(&p->dir, DK_COMP_TRANSFORMER, &s, err))
        return err->code;
    if (p->dir.arch == DK_ARCH_PIXART) {
        dk_pixart_config c;
        if (dk_pixart_config_read(&c, cfg, err))
            return err->code;
        dim = c.dim;
        layers = c.layers;
        text = p->max_length;
        kv = 2 * layers * text * dim * 4; /* keys and values of one text */
    } else {
        dk_dit_config c;
        if (dk_dit_config_read(&c, cfg, err))
            return err->code;
        dim = c.dim;
        layers = c.layers;
    }
    for (int k = 0; k < p->n_images; k++) {
        const ds_item *it = p->images[k].item;
        double rows = ds_guided(it) ? 2 : 1;
        double n = (double)(it->w / p->factor / p->patch) * (it->h / p->factor / p->patch);
        e->denoise_flops += it->steps * rows * layers * block_flops(n, dim, text, kv);
        /* x, its normalised copy, q, k, v, attention out, and the 4 D of the FFN's inside. */
        double batch = p->o->batch < p->n_images ? (double)p->o->batch : p->n_images;
        double act = batch * rows * (n * dim * 10 * 4 + kv);
        most = act > most ? act : most;
    }
    e->transformer_params = s.params;
    e->denoise_bytes = s.bytes + most;
    return 0;
}

static double conv_flops(double pixels, double in, double out) { return 18 * pixels * in * out; }

/* Decoder on a w x h picture: resnets of the up blocks dominate. */
static double decoder_flops(const dk_vae_config *c, double pixels)
{
    double total = 0, top = c->channels[c->levels - 1];
    double at = pixels / pow(4, c->levels - 1);

    total += conv_flops(at, c->latent_channels, top) + 4 * conv_flops(at, top, top);
    total += 8 * at * top * top + 4 * at * at * top;
    double prev = top;
    for (int k = c->levels - 1; k >= 0; k--) {
        double ch = c->channels[k];
        total += conv_flops(at, prev, ch) + (2.0 * c->layers_per_block + 1) * conv_flops(at, ch, ch);
        if (k > 0) {
            at *= 4;
            total += conv_flops(at, ch, ch);
        }
        prev = ch;
    }
    return total + conv_flops(at, prev, c->out_channels);
}

static int estimate_decode(const ds_plan *p, ds_estimate *e, dk_err *err)
{
    dk_vae_config c;
    sizes s = {0};
    double widest = 0, most = 0;

    if (dk_vae_config_read(&c, dk_model_dir_config(&p->dir, DK_COMP_VAE), err) ||
        component_size(&p->dir, DK_COMP_VAE, &s, err))
        return err->code;
    for (int k = 0; k < c.levels; k++) {
        /* Channels entering a level at its resolution, relative to the full picture. */
        int from = k + 1 < c.levels ? c.channels[k + 1] : c.channels[k];
        double v = (from > c.channels[k] ? from : c.channels[k]) / pow(4, k);
        widest = v > widest ? v : widest;
    }
    for (int k = 0; k < p->n_images; k++) {
        double pixels = (double)p->images[k].item->w * p->images[k].item->h;
        e->decode_flops += decoder_flops(&c, pixels);
        most = pixels > most ? pixels : most;
    }
    e->vae_params = s.params;
    /* Input, output and one intermediate of the widest layer; the transformer stays loaded. */
    e->decode_bytes = s.bytes + 3 * widest * most * 4 + e->denoise_bytes;
    return 0;
}

int ds_estimate_plan(const ds_plan *p, ds_estimate *e, dk_err *err)
{
    memset(e, 0, sizeof *e);
    if (estimate_text(p, e, err) || estimate_denoise(p, e, err))
        return err->code;
    return estimate_decode(p, e, err);
}

double ds_peak_bytes(const ds_estimate *e)
{
    double peak = e->text_bytes;
    peak = e->denoise_bytes > peak ? e->denoise_bytes : peak;
    return e->decode_bytes > peak ? e->decode_bytes : peak;
}

/* FLOP/s of this machine on a linear layer, in about 0.1 s. */
static double measure_speed(const ds_plan *p, dk_err *err)
{
    enum { ROWS = 256, WIDTH = 512 };
    dk_ctx c;
    dk_linear l = {.name = "speed probe", .in = WIDTH, .out = WIDTH};
    double best = INFINITY;

    dk_ctx_init(&c, p->o->reference ? dk_ops_reference() : dk_ops_cpu());
    dk_tensor w = dk_new(&c, DK_SHAPE(WIDTH, WIDTH)), x = dk_new(&c, DK_SHAPE(ROWS, WIDTH)),
              y = dk_new(&c, DK_SHAPE(ROWS, WIDTH));
    if (dk_ctx_ok(&c)) {
        for (int i = 0; i < WIDTH * WIDTH; i++)
            dk_f32(&w)[i] = 0.01f;
        for (int i = 0; i < ROWS * WIDTH; i++)
            dk_f32(&x)[i] = 0.01f;
        l.w = w;
        if (!c.ops->linear_prepare || !c.ops->linear_prepare(&l, &c.err)) {
            double until = dk_now() + 0.1;
            do {
                double t = dk_now();
                dk_op_linear(&c, &l, &x, &y, DK_ACT_NONE);
                t = dk_now() - t;
                best = t < best ? t : best;
            } while (dk_now() < until && dk_ctx_ok(&c));
            if (c.ops->linear_release)
                c.ops->linear_release(&l);
        }
    }
    dk_ctx_take(&c, err);
    dk_ctx_fini(&c);
    return 2.0 * ROWS * WIDTH * WIDTH / best;
}

static json_t *phase(double bytes, double flops, double speed, int64_t params)
{
    json_t *o = json_object();
    json_object_set_new(o, "parameters", json_integer(params));
    json_object_set_new(o, "memory_bytes", json_integer((json_int_t)bytes));
    json_object_set_new(o, "flops", json_real(flops));
    json_object_set_new(o, "seconds", json_real(flops / speed));
    return o;
}

static void print_phase(const char *name, double bytes, double flops, double speed)
{
    printf("%-10s %10.1f MiB %12.3f GFLOP %10.2f s\n", name, bytes / 1048576.0, flops * 1e-9,
           flops / speed);
}

int ds_dry_run(ds_plan *p, dk_err *err)
{
    ds_estimate e;

    if (ds_estimate_plan(p, &e, err))
        return err->code;
    double speed = measure_speed(p, err);
    if (err->code)
        return err->code;
    double flops = e.text_flops + e.denoise_flops + e.decode_flops;
    double ram = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (p->o->json) {
        json_t *o = json_object();
        dk_buf b = {0};
        json_object_set_new(o, "schema", json_string("dk.dry-run/1"));
        json_object_set_new(o, "model", json_string(p->o->model));
        json_object_set_new(o, "images", json_integer(p->n_images));
        json_object_set_new(o, "text", phase(e.text_bytes, e.text_flops, speed, e.text_params));
        json_object_set_new(o, "denoise",
                            phase(e.denoise_bytes, e.denoise_flops, speed, e.transformer_params));
        json_object_set_new(o, "decode", phase(e.decode_bytes, e.decode_flops, speed, e.vae_params));
        json_object_set_new(o, "peak_memory_bytes", json_integer((json_int_t)ds_peak_bytes(&e)));
        json_object_set_new(o, "flops", json_real(flops));
        json_object_set_new(o, "flops_per_second", json_real(speed));
        json_object_set_new(o, "seconds", json_real(flops / speed));
        dk_json_dump(&b, o, true);
        puts(dk_buf_str(&b));
        dk_buf_free(&b);
        json_decref(o);
        return 0;
    }
    printf("%d images with %s; this machine: %.0f GFLOP/s, %.1f GiB\n", p->n_images, p->o->model,
           speed * 1e-9, ram / 1073741824.0);
    print_phase("text", e.text_bytes, e.text_flops, speed);
    print_phase("denoise", e.denoise_bytes, e.denoise_flops, speed);
    print_phase("decode", e.decode_bytes, e.decode_flops, speed);
    printf("%-10s %10.1f MiB %12.3f GFLOP %10.2f s\n", "job", ds_peak_bytes(&e) / 1048576.0,
           flops * 1e-9, flops / speed);
    return 0;
}
