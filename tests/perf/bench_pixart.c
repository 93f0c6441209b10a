/* One guided denoising step (2 rows) of a transformer shaped like PixArt-XL/2 (611 M parameters,
 * random weights in f16) at 256 and 512 pixels, 120 text tokens. Prints CSV. The weights are written
 * once to build/bench/pixart-xl and read back like any model's.
 *   bench_pixart [repeats] [threads] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "model/pixart.h"

enum { D = 1152, LAYERS = 28, CAPTION = 4096, TOKENS = 120 };

static const char config[] =
    "{\"_class_name\":\"PixArtTransformer2DModel\",\"num_attention_heads\":16,"
    "\"attention_head_dim\":72,\"num_layers\":28,\"in_channels\":4,\"out_channels\":8,"
    "\"patch_size\":2,\"sample_size\":64,\"caption_channels\":4096,\"cross_attention_dim\":1152,"
    "\"use_additional_conditions\":false}";

/* One pool of random f16 numbers serves all tensors: the timing does not depend on their values. */
static uint16_t *pool;
static size_t pool_len = (size_t)6 * D * D; /* the largest: adaln_single.linear */

static void add(dk_st_writer *w, const char *name, int ndim, const int64_t *shape)
{
    dk_st_writer_add(w, name, DK_F16, ndim, shape, pool);
}

static void add_linear(dk_st_writer *w, const char *name, int64_t out, int64_t in)
{
    char full[160];
    snprintf(full, sizeof full, "%s.weight", name);
    add(w, full, DK_SHAPE(out, in));
    snprintf(full, sizeof full, "%s.bias", name);
    add(w, full, DK_SHAPE(out));
}

static void add_block(dk_st_writer *w, int i)
{
    static const char *const square[] = {"attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0",
                                         "attn2.to_q", "attn2.to_k", "attn2.to_v", "attn2.to_out.0"};
    char name[128];

    for (size_t k = 0; k < sizeof square / sizeof square[0]; k++) {
        snprintf(name, sizeof name, "transformer_blocks.%d.%s", i, square[k]);
        add_linear(w, name, D, D);
    }
    snprintf(name, sizeof name, "transformer_blocks.%d.ff.net.0.proj", i);
    add_linear(w, name, 4 * D, D);
    snprintf(name, sizeof name, "transformer_blocks.%d.ff.net.2", i);
    add_linear(w, name, D, 4 * D);
    snprintf(name, sizeof name, "transformer_blocks.%d.scale_shift_table", i);
    add(w, name, DK_SHAPE(6, D));
}

static int write_model(const char *path, dk_err *err)
{
    dk_st_writer *w = dk_st_writer_new();

    pool = dk_xmalloc(pool_len * sizeof *pool);
    for (size_t i = 0; i < pool_len; i++)
        pool[i] = dk_f32_to_f16((float)((double)(dk_splitmix64(i) >> 40) * 0x1p-24 - 0.5) * 0.05f);
    add(w, "pos_embed.proj.weight", DK_SHAPE(D, 4, 2, 2));
    add(w, "pos_embed.proj.bias", DK_SHAPE(D));
    add_linear(w, "adaln_single.emb.timestep_embedder.linear_1", D, 256);
    add_linear(w, "adaln_single.emb.timestep_embedder.linear_2", D, D);
    add_linear(w, "adaln_single.linear", 6 * D, D);
    add_linear(w, "caption_projection.linear_1", D, CAPTION);
    add_linear(w, "caption_projection.linear_2", D, D);
    for (int i = 0; i < LAYERS; i++)
        add_block(w, i);
    add(w, "scale_shift_table", DK_SHAPE(2, D));
    add_linear(w, "proj_out", 32, D);
    int rc = dk_st_writer_save(w, path, true, err);
    dk_st_writer_free(w);
    free(pool);
    return rc;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void bench(const dk_pixart *m, dk_ctx *c, int pixels, int repeats)
{
    int64_t side = pixels / 8;
    double *seconds = dk_xcalloc((size_t)repeats, sizeof *seconds);
    dk_tensor hidden = dk_new(c, DK_SHAPE(TOKENS, CAPTION));
    dk_tensor latent = dk_new(c, DK_SHAPE(2, 4, side, side)), out = dk_new(c, DK_SHAPE(2, 8, side, side));

    for (int64_t i = 0; i < dk_count(&hidden); i++)
        dk_f32(&hidden)[i] = (float)sin((double)i);
    for (int64_t i = 0; i < dk_count(&latent); i++)
        dk_f32(&latent)[i] = (float)cos((double)i);
    dk_pixart_text *text = dk_pixart_text_new(m, c, &hidden);
    const dk_pixart_text *texts[2] = {text, text};
    dk_pixart_in in = {.latent = &latent, .t = 500, .text = texts};
    for (int r = -1; r < repeats; r++) { /* the first is a warm-up */
        double start = dk_now();
        dk_pixart_forward(m, c, &in, &out);
        if (r >= 0)
            seconds[r] = dk_now() - start;
    }
    qsort(seconds, (size_t)repeats, sizeof *seconds, by_value);
    printf("pixart-xl step %d px,%d,%.3f,%.3f\n", pixels, dk_threads(), seconds[0],
           seconds[repeats / 2]);
    fflush(stdout);
    dk_pixart_text_free(text);
    free(seconds);
}

int main(int argc, char **argv)
{
    static dk_err err;
    static const char dir[] = "build/bench/pixart-xl";
    static const char path[] = "build/bench/pixart-xl/diffusion_pytorch_model.safetensors";
    int repeats = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 3;
    dk_json doc = {0};
    dk_pixart_config cfg;
    dk_ctx c;

    dk_err_init(&err);
    dk_set_threads(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 0);
    mkdir("build", 0777);
    mkdir("build/bench", 0777);
    mkdir(dir, 0777);
    if (!dk_exists(path) && write_model(path, &err))
        goto fail;
    dk_weights *w = dk_weights_open(dir, "transformer", "diffusion_pytorch_model", NULL, &err);
    if (!w || dk_json_parse(&doc, config, strlen(config), "config", &err) ||
        dk_pixart_config_read(&cfg, dk_json_root(&doc), &err))
        goto fail;
    dk_params *p = dk_params_new(w);
    dk_pixart *m = dk_pixart_new(&cfg, p);
    dk_ctx_init(&c, dk_ops_cpu());
    if (dk_params_load(p, c.ops, &err))
        goto fail;
    puts("case,threads,min_seconds,median_seconds");
    bench(m, &c, 256, repeats);
    bench(m, &c, 512, repeats);
    dk_ctx_take(&c, &err);
    dk_ctx_fini(&c);
    dk_params_free(p);
    dk_pixart_free(m);
    dk_weights_close(w);
    dk_json_free(&doc);
fail:
    if (err.code)
        fprintf(stderr, "bench_pixart: %s\n", err.msg);
    return err.code ? 1 : 0;
}
