/* The fast CPU backend gives identical bytes for 1, 2 and 3 threads, and for an image alone and in
 * a batch of four. */
#include "support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num/dtype.h"
#include "ops/cpu/cpu.h"

static float *randoms(int64_t n)
{
    static uint64_t seed = 7;
    float *p = test_malloc((size_t)n * sizeof *p);
    for (int64_t i = 0; i < n; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        p[i] = (float)((double)(seed >> 40) / (1 << 23) - 1.0);
    }
    return p;
}

static dk_tensor random_tensor(int ndim, const int64_t *shape)
{
    dk_tensor t = dk_view(NULL, DK_F32, ndim, shape);
    t.data = randoms(dk_count(&t));
    return t;
}

/* An operation with everything it reads, run on some of its images. */
typedef void run_fn(dk_ctx *c, void *what, int64_t first, int64_t images, float *out);

static void run_once(run_fn *run, void *what, int64_t first, int64_t images, float *out, int64_t n)
{
    dk_ctx c;
    dk_ctx_init(&c, dk_ops_cpu());
    memset(out, 0xff, (size_t)n * sizeof *out);
    run(&c, what, first, images, out);
    ts_ok(c.err.code, &c.err);
    dk_ctx_fini(&c);
}

/* `each` outputs per image. */
static void check(const char *name, run_fn *run, void *what, int64_t images, int64_t each)
{
    int64_t n = images * each;
    float *want = test_malloc((size_t)n * sizeof *want),
          *got = test_malloc((size_t)n * sizeof *got);
    dk_set_threads(1);
    run_once(run, what, 0, images, want, n);
    for (int threads = 1; threads <= 3; threads++) {
        dk_set_threads(threads);
        run_once(run, what, 0, images, got, n);
        if (memcmp(want, got, (size_t)n * sizeof *want) != 0)
            fail_msg("%s: %d threads differ from 1", name, threads);
        for (int64_t b = 0; images > 1 && b < images; b++) {
            run_once(run, what, b, 1, got, each);
            if (memcmp(want + b * each, got, (size_t)each * sizeof *want) != 0)
                fail_msg("%s: image %d alone differs with %d threads", name, (int)b, threads);
        }
    }
    dk_set_threads(0);
    test_free(want);
    test_free(got);
}

typedef struct linear_run {
    dk_linear l;
    dk_tensor x;
} linear_run;

static void run_linear(dk_ctx *c, void *what, int64_t first, int64_t images, float *out)
{
    linear_run *r = what;
    dk_tensor x = dk_rows(&r->x, first, images);
    dk_tensor y = dk_view(out, DK_F32, DK_SHAPE(images, x.shape[1], r->l.out));
    dk_op_linear(c, &r->l, &x, &y, DK_ACT_GELU_TANH);
}

static void test_linear(void **state)
{
    (void)state;
    static const int shapes[][3] = {/* rows, in, out */
                                    {1, 192, 1152}, {1, 1, 1},      {2, 300, 7},    {3, 64, 129},
                                    {16, 48, 48},   {64, 192, 768}, {120, 72, 288}, {257, 96, 384},
                                    {600, 33, 131}, {1024, 64, 64}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (int half = 0; half < 2; half++) {
            int64_t rows = shapes[i][0], in = shapes[i][1], out = shapes[i][2];
            char name[80];
            snprintf(name, sizeof name, "linear [%d, %d] -> %d, %s", (int)rows, (int)in, (int)out,
                     half ? "f16" : "f32");
            float *w = randoms(in * out), *bias = randoms(out);
            uint16_t *w16 = test_malloc((size_t)(in * out) * sizeof *w16);
            dk_from_f32(DK_F16, w, w16, (size_t)(in * out));
            linear_run r = {.l = {.name = "t", .bias = bias, .in = in, .out = out},
                            .x = random_tensor(DK_SHAPE(4, rows, in))};
            r.l.w = half ? dk_view(w16, DK_F16, DK_SHAPE(out, in))
                         : dk_view(w, DK_F32, DK_SHAPE(out, in));
            check(name, run_linear, &r, 4, rows * out);
            test_free(r.x.data);
            test_free(w);
            test_free(w16);
            test_free(bias);
        }
}

typedef struct conv_run {
    dk_conv c;
    dk_tensor x;
    int64_t h, w;
} conv_run;

static void run_conv(dk_ctx *c, void *what, int64_t first, int64_t images, float *out)
{
    conv_run *r = what;
    assert_true(first == 0 && images == 1);
    dk_tensor y = dk_view(out, DK_F32, DK_SHAPE(r->h, r->w, r->c.cout));
    dk_op_conv2d(c, &r->c, &r->x, &y);
}

static void test_conv(void **state)
{
    (void)state;
    static const int shapes[][6] = {/* h, w, cin, cout, k, stride */
                                    {1, 1, 4, 8, 3, 1},    {8, 8, 64, 256, 3, 1},
                                    {8, 8, 64, 64, 1, 1},  {31, 17, 36, 131, 3, 2},
                                    {64, 64, 16, 3, 3, 1}, {50, 61, 20, 20, 1, 1}};
    dk_err err;
    dk_err_init(&err);
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int *s = shapes[i];
        char name[80];
        snprintf(name, sizeof name, "conv [%d, %d, %d] -> %d, k %d", s[0], s[1], s[2], s[3], s[4]);
        float *w = randoms((int64_t)s[3] * s[2] * s[4] * s[4]), *bias = randoms(s[3]);
        conv_run r = {.c = {.name = "t",
                            .bias = bias,
                            .cin = s[2],
                            .cout = s[3],
                            .k = s[4],
                            .stride = s[5],
                            .pad_begin = s[4] / 2,
                            .pad_end = s[4] / 2}};
        r.c.w = dk_view(w, DK_F32, DK_SHAPE(s[3], s[2], s[4], s[4]));
        r.x = random_tensor(DK_SHAPE(s[0], s[1], s[2]));
        r.h = (s[0] + 2 * (s[4] / 2) - s[4]) / s[5] + 1;
        r.w = (s[1] + 2 * (s[4] / 2) - s[4]) / s[5] + 1;
        ts_ok(dk_ops_cpu()->conv_prepare(&r.c, &err), &err);
        check(name, run_conv, &r, 1, r.h * r.w * s[3]);
        dk_ops_cpu()->conv_release(&r.c);
        test_free(r.x.data);
        test_free(w);
        test_free(bias);
    }
}

typedef struct attn_run {
    dk_tensor q, k, v;
    int heads;
    const float *key_bias, *rel_bias;
} attn_run;

static void run_attention(dk_ctx *c, void *what, int64_t first, int64_t images, float *out)
{
    attn_run *r = what;
    bool shared = r->k.shape[0] == 1;
    dk_tensor q = dk_rows(&r->q, first, images);
    dk_tensor k = shared ? r->k : dk_rows(&r->k, first, images);
    dk_tensor v = shared ? r->v : dk_rows(&r->v, first, images);
    dk_tensor y = dk_view(out, DK_F32, q.ndim, q.shape);
    dk_op_attention(c, &(dk_attn){.q = &q,
                                  .k = &k,
                                  .v = &v,
                                  .heads = r->heads,
                                  .scale = 0.3f,
                                  .key_bias = r->key_bias,
                                  .rel_bias = r->rel_bias,
                                  .out = &y});
}

static void test_attention(void **state)
{
    (void)state;
    static const int shapes[][5] = {/* tq, tk, heads, d, images of k */
                                    {16, 16, 4, 48, 4},   {1, 1, 1, 8, 1},
                                    {65, 120, 3, 72, 1},  {300, 300, 2, 64, 4},
                                    {130, 513, 1, 88, 1}, {70, 70, 1, 512, 4}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        const int *s = shapes[i];
        int64_t width = (int64_t)s[2] * s[3];
        char name[80];
        snprintf(name, sizeof name, "attention %d x %d, %d heads of %d", s[0], s[1], s[2], s[3]);
        float *bias = randoms(s[1]), *rel = randoms((int64_t)s[2] * (s[0] + s[1] - 1));
        attn_run r = {random_tensor(DK_SHAPE(4, s[0], width)),
                      random_tensor(DK_SHAPE(s[4], s[1], width)),
                      random_tensor(DK_SHAPE(s[4], s[1], width)),
                      s[2],
                      i % 2 ? bias : NULL,
                      i % 3 ? rel : NULL};
        check(name, run_attention, &r, 4, s[0] * width);
        test_free(r.q.data);
        test_free(r.k.data);
        test_free(r.v.data);
        test_free(bias);
        test_free(rel);
    }
}

typedef struct rows_run {
    dk_tensor x, gate, other;
    float *w;
} rows_run;

/* Modulated layernorm, activation, gated sum and rmsnorm, one after the other. */
static void run_rows(dk_ctx *c, void *what, int64_t first, int64_t images, float *out)
{
    rows_run *r = what;
    dk_tensor x = dk_rows(&r->x, first, images), other = dk_rows(&r->other, first, images);
    dk_tensor gate = dk_rows(&r->gate, first, images);
    dk_tensor y = dk_view(out, DK_F32, x.ndim, x.shape);
    dk_op_layernorm(c, &x, r->w, NULL, &gate, &gate, 1e-6f, &y);
    dk_op_act(c, DK_ACT_SILU, &y);
    dk_op_gated_add(c, &y, &gate, &other);
    dk_op_mul(c, &y, &other);
    dk_op_rmsnorm(c, &y, r->w, 1e-6f, &y);
}

static void run_groupnorm(dk_ctx *c, void *what, int64_t first, int64_t images, float *out)
{
    rows_run *r = what;
    assert_true(first == 0 && images == 1);
    dk_tensor y = dk_view(out, DK_F32, r->x.ndim, r->x.shape);
    dk_op_groupnorm(c, &r->x, 8, r->w, r->w, 1e-6f, DK_ACT_SILU, &y);
}

static void test_rows(void **state)
{
    (void)state;
    static const int shapes[][2] = {{1, 192}, {77, 200}, {300, 33}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int64_t t = shapes[i][0], d = shapes[i][1];
        rows_run r = {
            random_tensor(DK_SHAPE(4, t, d)), random_tensor(DK_SHAPE(4, d)), {0}, randoms(d)};
        r.other = random_tensor(DK_SHAPE(4, t, d));
        check("rows", run_rows, &r, 4, t * d);
        test_free(r.x.data);
        test_free(r.gate.data);
        test_free(r.other.data);
        test_free(r.w);
    }
    rows_run g = {.x = random_tensor(DK_SHAPE(65, 70, 72)), .w = randoms(72)};
    check("groupnorm", run_groupnorm, &g, 1, 65 * 70 * 72);
    test_free(g.x.data);
    test_free(g.w);
}

/* oneDNN may split a product as it likes if it believes to have several threads: whatever the size
 * of the work and of the team, it must see one. */
static int gemm_calls, gemm_wrong;

static int watching_gemm(char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                         int64_t lda, const float *b, int64_t ldb, float beta, float *c,
                         int64_t ldc)
{
#pragma omp atomic
    gemm_calls++;
    if (dk_threads() != 1) {
#pragma omp atomic
        gemm_wrong++;
    }
    return dk_cpu_gemm_onednn(tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}

static void test_one_thread_inside(void **state)
{
    (void)state;
    dk_ops_cpu(); /* makes its choice of the product before it is replaced */
    dk_cpu_gemm_fn *chosen = dk_cpu_gemm;
    dk_cpu_gemm = watching_gemm;
    test_linear(NULL);
    test_conv(NULL);
    test_attention(NULL);
    dk_cpu_gemm = chosen;
    assert_true(gemm_calls > 0);
    assert_int_equal(gemm_wrong, 0);
    dk_set_threads(3);
    assert_int_equal(dk_threads(), 3); /* and nothing of it stays behind */
    dk_set_threads(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_one_thread_inside),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("ops_repeat", tests, NULL, NULL);
}
