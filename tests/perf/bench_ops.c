/* Times the operations of both CPU backends, one line of CSV each:
 *
 *     bench_ops [--quick]      op,shape,reference_ms,cpu_ms,ratio,gflops
 *
 * cpu_ms is the median of seven runs after one that warms up, reference_ms a single run (it is slow
 * and its spread does not matter); gflops counts two per multiply-add and is empty where there are
 * none. --quick leaves out the large shapes. Every pair of results is compared first. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "num/dtype.h"
#include "num/metrics.h"
#include "ops/ops.h"

enum { RUNS = 7 };

typedef struct bench {
    const char *op;
    char shape[96];
    double flops;
    dk_tensor x, y, w; /* input, output, weights (or keys and values for attention) */
    float *small;      /* bias, gamma, ... */
    dk_linear linear;
    dk_conv conv;
    int heads;
    void (*run)(dk_ctx *c, struct bench *b);
} bench;

static void fill(float *p, int64_t n)
{
    static uint64_t seed = 3;
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (float)((double)(seed >> 40) / (1 << 23) - 1.0);
    }
}

static dk_tensor tensor(int ndim, const int64_t *shape)
{
    dk_tensor t = dk_view(NULL, DK_F32, ndim, shape);
    t.data = dk_xmalloc((size_t)dk_count(&t) * sizeof(float));
    fill(dk_f32(&t), dk_count(&t));
    return t;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Preparing the weights is not part of the time: models do it once. */
static double time_once(dk_ctx *c, bench *b)
{
    bool prepared = b->conv.k && c->ops->conv_prepare(&b->conv, &c->err) == 0;
    double start = dk_now();
    b->run(c, b);
    double ms = (dk_now() - start) * 1e3;
    if (prepared)
        c->ops->conv_release(&b->conv);
    return ms;
}

/* Runs both backends, checks that they agree, prints the line; 0, or 1 when they do not. */
static int measure(bench *b)
{
    dk_ctx cpu, ref;
    dk_ctx_init(&cpu, dk_ops_cpu());
    dk_ctx_init(&ref, dk_ops_reference());
    size_t n = (size_t)dk_count(&b->y);
    float *kept = dk_xmalloc(n * sizeof *kept);
    double times[RUNS], ref_ms = time_once(&ref, b);
    memcpy(kept, b->y.data, n * sizeof *kept);
    time_once(&cpu, b);
    double difference = dk_max_abs_diff(dk_f32(&b->y), kept, n) / dk_max_abs(kept, n);
    for (int i = 0; i < RUNS; i++)
        times[i] = time_once(&cpu, b);
    qsort(times, RUNS, sizeof *times, by_value);
    double ms = times[RUNS / 2];
    int bad = !dk_ctx_ok(&cpu) || !dk_ctx_ok(&ref) || !(difference < 1e-4);
    if (bad)
        fprintf(stderr, "bench_ops: %s %s: results differ by %g of the largest\n", b->op, b->shape,
                difference);
    printf("%s,%s,%.3f,%.4f,%.1f,", b->op, b->shape, ref_ms, ms, ref_ms / ms);
    if (b->flops > 0)
        printf("%.1f", b->flops / ms * 1e-6);
    printf("\n");
    fflush(stdout);
    free(kept);
    free(b->x.data);
    free(b->y.data);
    free(b->w.data);
    free(b->small);
    dk_ctx_fini(&cpu);
    dk_ctx_fini(&ref);
    return bad;
}

static void run_linear(dk_ctx *c, bench *b)
{
    dk_op_linear(c, &b->linear, &b->x, &b->y, DK_ACT_GELU_TANH);
}

static int linear(int64_t images, int64_t rows, int64_t in, int64_t out, dk_dtype type)
{
    bench b = {.op = "linear", .run = run_linear};
    snprintf(b.shape, sizeof b.shape, "%dx%dx%d->%d %s", (int)images, (int)rows, (int)in, (int)out,
             dk_dtype_name(type));
    b.flops = 2.0 * (double)(images * rows) * (double)(in * out);
    b.x = tensor(DK_SHAPE(images, rows, in));
    b.y = tensor(DK_SHAPE(images, rows, out));
    b.w = tensor(DK_SHAPE(out, in));
    if (type == DK_F16) {
        float *values = b.w.data;
        b.w.dtype = DK_F16;
        b.w.data = dk_xmalloc((size_t)(in * out) * 2);
        dk_from_f32(DK_F16, values, b.w.data, (size_t)(in * out));
        free(values);
    }
    b.small = dk_xmalloc((size_t)out * sizeof(float));
    fill(b.small, out);
    b.linear = (dk_linear){.name = "w", .w = b.w, .bias = b.small, .in = in, .out = out};
    return measure(&b);
}

static void run_conv(dk_ctx *c, bench *b)
{
    dk_op_conv2d(c, &b->conv, &b->x, &b->y);
}

static int conv(int64_t h, int64_t w, int64_t cin, int64_t cout, int k, int stride)
{
    bench b = {.op = "conv2d", .run = run_conv};
    int64_t oh = (h + k / 2 * 2 - k) / stride + 1, ow = (w + k / 2 * 2 - k) / stride + 1;
    snprintf(b.shape, sizeof b.shape, "%dx%dx%d->%d k%d s%d", (int)h, (int)w, (int)cin, (int)cout,
             k, stride);
    b.flops = 2.0 * (double)(oh * ow * cin * k * k) * (double)cout;
    b.x = tensor(DK_SHAPE(h, w, cin));
    b.y = tensor(DK_SHAPE(oh, ow, cout));
    b.w = tensor(DK_SHAPE(cout, cin, k, k));
    b.small = dk_xmalloc((size_t)cout * sizeof(float));
    fill(b.small, cout);
    b.conv = (dk_conv){.name = "w",
                       .w = b.w,
                       .bias = b.small,
                       .cin = cin,
                       .cout = cout,
                       .k = k,
                       .stride = stride,
                       .pad_begin = k / 2,
                       .pad_end = k / 2};
    return measure(&b);
}

static void run_attention(dk_ctx *c, bench *b)
{
    int64_t d = b->x.shape[2] / b->heads;
    dk_op_attention(c, &(dk_attn){.q = &b->x,
                                  .k = &b->w,
                                  .v = &b->w,
                                  .heads = b->heads,
                                  .scale = (float)(1 / sqrt((double)d)),
                                  .out = &b->y});
}

static int attention(int64_t images, int64_t tq, int64_t tk, int heads, int64_t d)
{
    bench b = {.op = "attention", .heads = heads, .run = run_attention};
    snprintf(b.shape, sizeof b.shape, "%dx%dx%d heads %d of %d", (int)images, (int)tq, (int)tk,
             heads, (int)d);
    b.flops = 4.0 * (double)(images * tq) * (double)(tk * heads * d);
    b.x = tensor(DK_SHAPE(images, tq, heads * d));
    b.y = tensor(DK_SHAPE(images, tq, heads * d));
    b.w = tensor(DK_SHAPE(images, tk, heads * d));
    return measure(&b);
}

static void run_layernorm(dk_ctx *c, bench *b)
{
    dk_op_layernorm(c, &b->x, NULL, NULL, &b->w, &b->w, 1e-6f, &b->y);
}

static void run_groupnorm(dk_ctx *c, bench *b)
{
    dk_op_groupnorm(c, &b->x, 32, b->small, b->small, 1e-6f, DK_ACT_SILU, &b->y);
}

static void run_gelu(dk_ctx *c, bench *b)
{
    memcpy(b->y.data, b->x.data, (size_t)dk_count(&b->x) * sizeof(float));
    dk_op_act(c, DK_ACT_GELU_TANH, &b->y);
}

static void run_gated_add(dk_ctx *c, bench *b)
{
    memset(b->y.data, 0, (size_t)dk_count(&b->y) * sizeof(float));
    dk_op_gated_add(c, &b->y, &b->w, &b->x);
}

static int simple(const char *op, int64_t p, int64_t q, int64_t d, void (*run)(dk_ctx *, bench *))
{
    bench b = {.op = op, .run = run};
    snprintf(b.shape, sizeof b.shape, "%dx%dx%d", (int)p, (int)q, (int)d);
    b.x = tensor(DK_SHAPE(p, q, d));
    b.y = tensor(DK_SHAPE(p, q, d));
    b.w = tensor(DK_SHAPE(d));
    b.small = dk_xmalloc((size_t)d * sizeof(float));
    fill(b.small, d);
    return measure(&b);
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    int bad = 0;
    printf("op,shape,reference_ms,cpu_ms,ratio,gflops\n");
    bad |= linear(2, 1, 1152, 6912, DK_F32);
    bad |= linear(2, 16, 192, 768, DK_F16);
    bad |= linear(2, 64, 384, 1536, DK_F32);
    bad |= linear(2, 256, 1152, 1152, DK_F32);
    bad |= linear(2, 256, 1152, 1152, DK_F16);
    bad |= conv(8, 8, 64, 64, 3, 1);
    bad |= conv(64, 64, 64, 64, 3, 1);
    bad |= conv(65, 65, 64, 64, 3, 2);
    bad |= conv(64, 64, 128, 128, 1, 1);
    bad |= conv(64, 64, 64, 3, 3, 1);
    bad |= attention(2, 16, 16, 6, 32);
    bad |= attention(2, 256, 256, 16, 72);
    bad |= attention(2, 256, 120, 16, 72);
    bad |= attention(1, 1024, 1024, 1, 512);
    bad |= simple("layernorm", 2, 256, 1152, run_layernorm);
    bad |= simple("groupnorm", 64, 64, 128, run_groupnorm);
    bad |= simple("gelu_tanh", 2, 256, 4608, run_gelu);
    bad |= simple("gated_add", 2, 256, 1152, run_gated_add);
    if (!quick) {
        bad |= linear(2, 1024, 1152, 4608, DK_F32);
        bad |= conv(256, 256, 128, 128, 3, 1);
        bad |= conv(64, 64, 512, 512, 3, 1);
        bad |= attention(1, 4096, 4096, 1, 512);
        bad |= attention(2, 1024, 1024, 16, 72);
    }
    return bad ? 5 : 0;
}
