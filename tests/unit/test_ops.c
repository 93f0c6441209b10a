/* Every operation of the fast CPU backend against the reference, at shapes chosen to be awkward:
 * sizes around the panels and tiles, odd channel counts, unaligned weights in every float type. */
#include "support.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "num/dtype.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/vmath.h"

static uint64_t seed = 1;

/* Uniform in [-1, 1). */
static float uniform(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(seed >> 40) / (1 << 23) - 1.0);
}

static float *randoms(int64_t n, float scale)
{
    float *p = test_malloc((size_t)(n ? n : 1) * sizeof *p);
    for (int64_t i = 0; i < n; i++)
        p[i] = scale * uniform();
    return p;
}

static dk_tensor random_tensor(int ndim, const int64_t *shape)
{
    dk_tensor t = dk_view(NULL, DK_F32, ndim, shape);
    t.data = randoms(dk_count(&t), 1.0f);
    return t;
}

/* Two outputs of one shape, filled with NaN so that what is not written shows. */
typedef struct pair {
    dk_tensor fast, ref;
} pair;

static pair outputs(int ndim, const int64_t *shape)
{
    pair p = {random_tensor(ndim, shape), random_tensor(ndim, shape)};
    for (int64_t i = 0; i < dk_count(&p.fast); i++)
        dk_f32(&p.fast)[i] = dk_f32(&p.ref)[i] = NAN;
    return p;
}

static pair copies(const dk_tensor *x)
{
    pair p = outputs(x->ndim, x->shape);
    memcpy(p.fast.data, x->data, (size_t)dk_count(x) * sizeof(float));
    memcpy(p.ref.data, x->data, (size_t)dk_count(x) * sizeof(float));
    return p;
}

/* Compares and frees. */
static void check(const char *what, pair *p, double tol)
{
    ts_check_close(what, dk_f32(&p->fast), dk_f32(&p->ref), (size_t)dk_count(&p->ref), tol);
    test_free(p->fast.data);
    test_free(p->ref.data);
}

static void check_equal(const char *what, pair *p)
{
    if (memcmp(p->fast.data, p->ref.data, (size_t)dk_count(&p->ref) * sizeof(float)) != 0)
        fail_msg("%s: not equal to the reference", what);
    check(what, p, 0);
}

static dk_ctx fast, ref;

static int setup(void **state)
{
    (void)state;
    dk_ctx_init(&fast, dk_ops_cpu());
    dk_ctx_init(&ref, dk_ops_reference());
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ts_ok(fast.err.code, &fast.err);
    ts_ok(ref.err.code, &ref.err);
    dk_ctx_fini(&fast);
    dk_ctx_fini(&ref);
    return 0;
}

/* ---- Weights in any type at any address. */

static const dk_dtype TYPES[] = {DK_F32, DK_F16, DK_BF16, DK_F64, DK_F8_E4M3, DK_F8_E5M2};
enum { N_TYPES = sizeof TYPES / sizeof *TYPES };

typedef struct weights {
    char *memory;
    dk_tensor t;
} weights;

static weights random_weights(dk_dtype type, int shift, int ndim, const int64_t *shape)
{
    weights w = {NULL, dk_view(NULL, type, ndim, shape)};
    int64_t n = dk_count(&w.t);
    float *values = randoms(n, 1.0f);
    w.memory = test_malloc((size_t)n * 8 + 16);
    w.t.data = w.memory + shift;
    dk_from_f32(type, values, w.t.data, (size_t)n);
    test_free(values);
    return w;
}

static void linear_case(dk_dtype type, int shift, int64_t images, int64_t rows, int64_t in,
                        int64_t out, dk_act act, bool bias)
{
    char what[160];
    snprintf(what, sizeof what, "linear %s+%d [%d,%d,%d]->%d act %d", dk_dtype_name(type), shift,
             (int)images, (int)rows, (int)in, (int)out, (int)act);
    dk_err err;
    dk_err_init(&err);
    weights w = random_weights(type, shift, DK_SHAPE(out, in));
    float *b = bias ? randoms(out, 1.0f) : NULL;
    dk_linear l = {.name = "t", .w = w.t, .bias = b, .in = in, .out = out};
    dk_tensor x =
        images ? random_tensor(DK_SHAPE(images, rows, in)) : random_tensor(DK_SHAPE(rows, in));
    pair y = images ? outputs(DK_SHAPE(images, rows, out)) : outputs(DK_SHAPE(rows, out));
    ts_ok(fast.ops->linear_prepare(&l, &err), &err);
    dk_op_linear(&fast, &l, &x, &y.fast, act);
    fast.ops->linear_release(&l);
    dk_op_linear(&ref, &l, &x, &y.ref, act);
    check(what, &y, 3e-6);
    test_free(x.data);
    test_free(w.memory);
    test_free(b);
}

static void test_linear(void **state)
{
    (void)state;
    static const int rows[] = {1, 2, 3, 5, 17, 255, 257, 300};
    static const int outs[] = {1, 7, 127, 129, 300};
    for (int i = 0; i < N_TYPES; i++)
        for (int shift = 0; shift < 4; shift++)
            linear_case(TYPES[i], shift, 2, 5, 67, 131, DK_ACT_NONE, shift % 2);
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++)
        for (size_t o = 0; o < sizeof outs / sizeof *outs; o++)
            linear_case(r % 2 ? DK_F32 : DK_BF16, 0, (int64_t)(o % 4), rows[r], 1 + 31 * (int)o,
                        outs[o], (dk_act)(r % 5), o % 2 == 0);
    linear_case(DK_F16, 1, 1, 1, 1152, 1152, DK_ACT_SILU, true);
    linear_case(DK_F32, 0, 3, 1, 1, 1, DK_ACT_GELU_TANH, true);
    linear_case(DK_F32, 0, 2, 0, 8, 8, DK_ACT_NONE, true);
}

static void conv_case(dk_dtype type, int shift, int64_t h, int64_t w, int64_t cin, int64_t cout,
                      int k, int stride, int begin, int end, bool bias)
{
    char what[160];
    snprintf(what, sizeof what, "conv %s+%d [%d,%d,%d]->%d k%d s%d pad %d,%d", dk_dtype_name(type),
             shift, (int)h, (int)w, (int)cin, (int)cout, k, stride, begin, end);
    dk_err err;
    dk_err_init(&err);
    weights f = random_weights(type, shift, DK_SHAPE(cout, cin, k, k));
    float *b = bias ? randoms(cout, 1.0f) : NULL;
    dk_conv c = {.name = "t",
                 .w = f.t,
                 .bias = b,
                 .cin = cin,
                 .cout = cout,
                 .k = k,
                 .stride = stride,
                 .pad_begin = begin,
                 .pad_end = end};
    dk_tensor x = random_tensor(DK_SHAPE(h, w, cin));
    pair y = outputs(
        DK_SHAPE((h + begin + end - k) / stride + 1, (w + begin + end - k) / stride + 1, cout));
    ts_ok(fast.ops->conv_prepare(&c, &err), &err);
    dk_op_conv2d(&fast, &c, &x, &y.fast);
    fast.ops->conv_release(&c);
    assert_null(c.prep);
    dk_op_conv2d(&ref, &c, &x, &y.ref);
    check(what, &y, 3e-6);
    test_free(x.data);
    test_free(f.memory);
    test_free(b);
}

static void test_conv(void **state)
{
    (void)state;
    for (int i = 0; i < N_TYPES; i++)
        for (int shift = 0; shift < 4; shift++) {
            conv_case(TYPES[i], shift, 7, 5, 6, 9, 3, 1, 1, 1, true);
            conv_case(TYPES[i], shift, 7, 5, 6, 9, 1, 1, 0, 0, shift % 2);
        }
    static const int sizes[][2] = {{1, 1}, {1, 9}, {2, 3}, {13, 1}, {17, 23}, {64, 33}};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int h = sizes[i][0], w = sizes[i][1];
        conv_case(DK_F32, 0, h, w, 3, 4, 3, 1, 1, 1, true);
        conv_case(DK_F16, 0, h, w, 32, 131, 3, 2, 1, 1, true);
        conv_case(DK_F32, 0, h, w, 5, 3, 1, 2, 0, 0, true);
        conv_case(DK_F32, 0, h, w, 4, 6, 5, 1, 2, 2, false);
        if (h > 1 && w > 1)
            conv_case(DK_BF16, 0, h, w, 8, 16, 3, 2, 0, 1, true);
    }
    conv_case(DK_F32, 0, 61, 67, 33, 64, 3, 1, 1, 1, true); /* long runs of pixels */
    conv_case(DK_F32, 0, 6, 7, 4, 8, 3, 1, 0, 0, true);
}

/* ---- Attention. */

typedef struct attn_case {
    int64_t b, bk, tq, tk, heads, d;
    int masked; /* 0 no key_bias, 1 some keys at -10000, 2 all of them */
    bool rel, lse;
} attn_case;

static void run_attention(const attn_case *t)
{
    char what[160];
    snprintf(what, sizeof what, "attention b%d/%d %dx%d heads %d d %d mask %d rel %d", (int)t->b,
             (int)t->bk, (int)t->tq, (int)t->tk, (int)t->heads, (int)t->d, t->masked, t->rel);
    int64_t width = t->heads * t->d, rows = t->b * t->heads * t->tq;
    dk_tensor q = random_tensor(DK_SHAPE(t->b, t->tq, width));
    dk_tensor k = random_tensor(DK_SHAPE(t->bk, t->tk, width));
    dk_tensor v = random_tensor(DK_SHAPE(t->bk, t->tk, width));
    float *bias = t->masked ? randoms(t->tk, 1.0f) : NULL;
    for (int64_t i = 0; bias && i < t->tk; i++)
        if (t->masked == 2 || i % 3 == 1)
            bias[i] = -10000.0f;
    float *rel = t->rel ? randoms(t->heads * (t->tq + t->tk - 1), 3.0f) : NULL;
    pair out = outputs(q.ndim, q.shape), lse = outputs(DK_SHAPE(rows));
    /* A scale that gives scores a spread: half of the cases 1, half 1 / sqrt(d). */
    dk_attn a = {.q = &q,
                 .k = &k,
                 .v = &v,
                 .heads = (int)t->heads,
                 .scale = t->tq % 2 ? 1.0f : (float)(1 / sqrt((double)t->d)),
                 .key_bias = bias,
                 .rel_bias = rel};
    a.out = &out.fast;
    a.lse = t->lse ? dk_f32(&lse.fast) : NULL;
    dk_op_attention(&fast, &a);
    a.out = &out.ref;
    a.lse = t->lse ? dk_f32(&lse.ref) : NULL;
    dk_op_attention(&ref, &a);
    /* At -10000 an f32 score has a grain of 1/1024, which the exact reference does not have. */
    check(what, &out, t->masked == 2 ? 2e-3 : 1e-5);
    if (t->lse) {
        check(what, &lse, 1e-5);
    } else {
        test_free(lse.fast.data);
        test_free(lse.ref.data);
    }
    test_free(q.data);
    test_free(k.data);
    test_free(v.data);
    test_free(bias);
    test_free(rel);
}

static void test_attention(void **state)
{
    (void)state;
    static const int widths[] = {1, 8, 40, 48, 64, 72, 88, 512};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        run_attention(&(attn_case){1, 1, 65, 300, 2, widths[i], 0, false, true});
        run_attention(&(attn_case){2, 2, 16, 16, 3, widths[i], 1, false, false});
        run_attention(&(attn_case){3, 1, 7, 77, 2, widths[i], 2, false, true});
        run_attention(&(attn_case){1, 1, 70, 257, 2, widths[i], 0, true, true});
    }
    static const int lengths[] = {1, 2, 15, 17, 63, 64, 255, 256, 511, 513, 700};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        run_attention(&(attn_case){2, 1, 65, lengths[i], 2, 24, 1, true, true});
        run_attention(&(attn_case){2, 2, lengths[i], 33, 1, 17, 1, false, true});
        run_attention(&(attn_case){1, 1, 33, lengths[i], 1, 16, 2, false, true});
    }
}

/* Minus infinity in the bias hides keys completely; NaN in comes out as NaN. */
static void test_attention_extremes(void **state)
{
    (void)state;
    enum { T = 300, D = 8 };
    dk_tensor q = random_tensor(DK_SHAPE(1, 3, D)), k = random_tensor(DK_SHAPE(1, T, D));
    dk_tensor v = random_tensor(DK_SHAPE(1, T, D));
    float bias[T], lse[3];
    for (int which = 0; which < 2; which++) {
        dk_ctx *c = which ? &ref : &fast;
        dk_tensor out = random_tensor(DK_SHAPE(1, 3, D));
        dk_attn a = {&q, &k, &v, 1, 1.0f, bias, NULL, &out, lse};
        for (int i = 0; i < T; i++) /* the whole first tile hidden, one key left */
            bias[i] = i == 299 ? 0.0f : -INFINITY;
        dk_op_attention(c, &a);
        for (int i = 0; i < D; i++)
            assert_float_equal(dk_f32(&out)[i], dk_f32(&v)[299 * D + i], 1e-6);
        bias[299] = -INFINITY;
        dk_op_attention(c, &a);
        for (int i = 0; i < 3 * D; i++)
            assert_true(dk_f32(&out)[i] == 0.0f);
        assert_true(lse[0] == -INFINITY);
        bias[5] = NAN;
        dk_op_attention(c, &a);
        for (int i = 0; i < 3 * D; i++)
            assert_true(isnan(dk_f32(&out)[i]));
        test_free(out.data);
    }
    test_free(q.data);
    test_free(k.data);
    test_free(v.data);
}

/* ---- Normalisations. */

static void layernorm_case(int64_t b, int64_t t, int64_t d, bool affine, int modulation)
{
    char what[100];
    snprintf(what, sizeof what, "layernorm [%d,%d,%d] modulation %d", (int)b, (int)t, (int)d,
             modulation);
    dk_tensor x = random_tensor(DK_SHAPE(b, t, d));
    for (int64_t i = 0; i < dk_count(&x); i++)
        dk_f32(&x)[i] += 3.0f;
    float *gamma = affine ? randoms(d, 1.0f) : NULL, *beta = affine ? randoms(d, 1.0f) : NULL;
    dk_tensor scale = modulation == 2 ? random_tensor(DK_SHAPE(b, d)) : random_tensor(DK_SHAPE(d));
    dk_tensor shift = modulation == 2 ? random_tensor(DK_SHAPE(b, d)) : random_tensor(DK_SHAPE(d));
    dk_tensor *s1 = modulation ? &scale : NULL, *s2 = modulation ? &shift : NULL;
    pair y = outputs(x.ndim, x.shape);
    dk_op_layernorm(&fast, &x, gamma, beta, s1, s2, 1e-6f, &y.fast);
    dk_op_layernorm(&ref, &x, gamma, beta, s1, s2, 1e-6f, &y.ref);
    check(what, &y, 3e-6);
    pair in_place = copies(&x);
    dk_op_layernorm(&fast, &in_place.fast, gamma, beta, s1, s2, 1e-6f, &in_place.fast);
    dk_op_layernorm(&ref, &in_place.ref, gamma, beta, s1, s2, 1e-6f, &in_place.ref);
    check(what, &in_place, 3e-6);
    test_free(x.data);
    test_free(gamma);
    test_free(beta);
    test_free(scale.data);
    test_free(shift.data);
}

static void test_row_norms(void **state)
{
    (void)state;
    static const int widths[] = {1, 2, 15, 16, 17, 192, 1153};
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        for (int modulation = 0; modulation < 3; modulation++) {
            layernorm_case(3, 5, widths[i], modulation != 1, modulation);
            layernorm_case(1, 40, widths[i], modulation == 1, modulation);
        }
        dk_tensor x = random_tensor(DK_SHAPE(2, 11, widths[i]));
        float *w = randoms(widths[i], 1.0f);
        pair y = outputs(x.ndim, x.shape);
        dk_op_rmsnorm(&fast, &x, w, 1e-6f, &y.fast);
        dk_op_rmsnorm(&ref, &x, w, 1e-6f, &y.ref);
        check("rmsnorm", &y, 2e-6);
        pair in_place = copies(&x);
        dk_op_rmsnorm(&fast, &in_place.fast, w, 1e-6f, &in_place.fast);
        dk_op_rmsnorm(&ref, &in_place.ref, w, 1e-6f, &in_place.ref);
        check("rmsnorm in place", &in_place, 2e-6);
        test_free(x.data);
        test_free(w);
    }
}

static void groupnorm_case(int64_t h, int64_t w, int64_t c, int groups, dk_act act, bool affine)
{
    char what[100];
    snprintf(what, sizeof what, "groupnorm [%d,%d,%d] groups %d", (int)h, (int)w, (int)c, groups);
    dk_tensor x = random_tensor(DK_SHAPE(h, w, c));
    for (int64_t i = 0; i < dk_count(&x); i++)
        dk_f32(&x)[i] -= 7.0f;
    float *gamma = affine ? randoms(c, 1.0f) : NULL, *beta = affine ? randoms(c, 1.0f) : NULL;
    pair y = outputs(x.ndim, x.shape);
    dk_op_groupnorm(&fast, &x, groups, gamma, beta, 1e-6f, act, &y.fast);
    dk_op_groupnorm(&ref, &x, groups, gamma, beta, 1e-6f, act, &y.ref);
    check(what, &y, 5e-6);
    pair in_place = copies(&x);
    dk_op_groupnorm(&fast, &in_place.fast, groups, gamma, beta, 1e-6f, act, &in_place.fast);
    dk_op_groupnorm(&ref, &in_place.ref, groups, gamma, beta, 1e-6f, act, &in_place.ref);
    check(what, &in_place, 5e-6);
    test_free(x.data);
    test_free(gamma);
    test_free(beta);
}

static void test_groupnorm(void **state)
{
    (void)state;
    groupnorm_case(1, 1, 4, 2, DK_ACT_NONE, true);
    groupnorm_case(1, 1, 3, 3, DK_ACT_NONE, false);
    groupnorm_case(3, 5, 6, 1, DK_ACT_SILU, true);
    groupnorm_case(17, 16, 32, 32, DK_ACT_SILU, true);
    groupnorm_case(33, 31, 96, 32, DK_ACT_NONE, true);
    groupnorm_case(16, 16, 130, 10, DK_ACT_SILU, false);
    groupnorm_case(9, 9, 512, 32, DK_ACT_SILU, true);
}

/* ---- Elementwise and layout. */

static void test_activations(void **state)
{
    (void)state;
    static const int sizes[] = {1, 15, 16, 17, 8191, 8193, 40001};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        for (int act = DK_ACT_NONE; act <= DK_ACT_GELU_ERF; act++) {
            dk_tensor x = random_tensor(DK_SHAPE(sizes[i]));
            for (int64_t k = 0; k < sizes[i]; k++)
                dk_f32(&x)[k] *= k % 3 ? 5.0f : 120.0f;
            dk_f32(&x)[0] = 0.7f;
            pair y = copies(&x);
            dk_op_act(&fast, (dk_act)act, &y.fast);
            dk_op_act(&ref, (dk_act)act, &y.ref);
            check("activation", &y, 1e-6);
            test_free(x.data);
        }
    for (int act = DK_ACT_NONE; act <= DK_ACT_GELU_ERF; act++) {
        float v[2] = {NAN, INFINITY};
        dk_cpu_act_run((dk_act)act, v, 2);
        assert_true(isnan(v[0]) && v[1] == INFINITY);
    }
}

static void test_exp(void **state)
{
    (void)state;
    double worst = 0;
    for (int i = -8700000; i <= 8800000; i += 7) {
        float x = (float)i * 1e-5f, got = vm_exp(x);
        double want = exp((double)x);
        double ulp = ldexp(1.0, ilogb(want) - 23);
        worst = fmax(worst, fabs((double)got - want) / ulp);
    }
    assert_true(worst <= 1.5);
    assert_true(vm_exp(-88.0f) == 0.0f && vm_exp(-10000.0f) == 0.0f && vm_exp(-INFINITY) == 0.0f);
    assert_true(vm_exp(0.0f) == 1.0f && vm_exp(1e30f) == vm_exp(88.0f) && isnan(vm_exp(NAN)));
}

static void test_sums_and_products(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{1, 1, 1}, {2, 3, 5}, {3, 7, 129}, {2, 90, 131}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int64_t b = shapes[i][0], t = shapes[i][1], d = shapes[i][2];
        dk_tensor x = random_tensor(3, shapes[i]), y = random_tensor(3, shapes[i]);
        dk_tensor right[] = {y, dk_view(y.data, DK_F32, DK_SHAPE(t, d)),
                             dk_view(y.data, DK_F32, DK_SHAPE(d)),
                             dk_view(y.data, DK_F32, DK_SHAPE(1))};
        for (int r = 0; r < 4; r++) {
            pair sum = copies(&x), product = copies(&x);
            dk_op_add(&fast, &sum.fast, &right[r]);
            dk_op_add(&ref, &sum.ref, &right[r]);
            check_equal("add", &sum);
            dk_op_mul(&fast, &product.fast, &right[r]);
            dk_op_mul(&ref, &product.ref, &right[r]);
            check_equal("mul", &product);
        }
        for (int each = 0; each < 2; each++) {
            dk_tensor gate = each ? random_tensor(DK_SHAPE(b, d)) : random_tensor(DK_SHAPE(d));
            pair sum = copies(&x);
            dk_op_gated_add(&fast, &sum.fast, &gate, &y);
            dk_op_gated_add(&ref, &sum.ref, &gate, &y);
            check_equal("gated_add", &sum);
            test_free(gate.data);
        }
        test_free(x.data);
        test_free(y.data);
    }
}

static void test_embed(void **state)
{
    (void)state;
    for (int i = 0; i < N_TYPES; i++)
        for (int64_t n = 1; n < 3000; n = n * 7 + 2) {
            weights table = random_weights(TYPES[i], i % 4, DK_SHAPE(11, 37));
            int32_t ids[3000];
            for (int64_t k = 0; k < n; k++)
                ids[k] = (int32_t)(k * k % 11);
            pair y = outputs(DK_SHAPE(n, 37));
            dk_op_embed(&fast, &table.t, ids, &y.fast);
            dk_op_embed(&ref, &table.t, ids, &y.ref);
            check_equal("embed", &y);
            test_free(table.memory);
        }
}

static void patch_case(int64_t b, int64_t c, int64_t th, int64_t tw, int p)
{
    dk_tensor x = random_tensor(DK_SHAPE(b, c, th * p, tw * p));
    pair y = outputs(DK_SHAPE(b, th * tw, c * p * p));
    dk_op_patchify(&fast, &x, p, &y.fast);
    dk_op_patchify(&ref, &x, p, &y.ref);
    check_equal("patchify", &y);
    dk_tensor tokens = random_tensor(DK_SHAPE(b, th * tw, p * p * c));
    pair z = outputs(x.ndim, x.shape);
    dk_op_unpatchify(&fast, &tokens, p, th, tw, &z.fast);
    dk_op_unpatchify(&ref, &tokens, p, th, tw, &z.ref);
    check_equal("unpatchify", &z);
    test_free(x.data);
    test_free(tokens.data);
}

static void test_patches(void **state)
{
    (void)state;
    patch_case(1, 1, 1, 1, 1);
    patch_case(2, 4, 3, 5, 2);
    patch_case(3, 3, 2, 1, 4);
    patch_case(1, 8, 33, 35, 2);
    /* By hand: 2 channels, one 2x2 patch: columns are (channel, row, column). */
    float in[8] = {0, 1, 2, 3, 4, 5, 6, 7}, out[8];
    dk_tensor x = dk_view(in, DK_F32, DK_SHAPE(1, 2, 2, 2)),
              y = dk_view(out, DK_F32, DK_SHAPE(1, 1, 8));
    dk_op_patchify(&fast, &x, 2, &y);
    assert_memory_equal(in, out, sizeof in);
    /* And back they are (row, column, channel). */
    static const float want[8] = {0, 2, 4, 6, 1, 3, 5, 7};
    dk_tensor tokens = dk_view(in, DK_F32, DK_SHAPE(1, 1, 8));
    dk_tensor picture = dk_view(out, DK_F32, DK_SHAPE(1, 2, 2, 2));
    dk_op_unpatchify(&fast, &tokens, 2, 1, 1, &picture);
    assert_memory_equal(want, out, sizeof want);
}

static void test_pictures(void **state)
{
    (void)state;
    static const int64_t shapes[][3] = {{1, 1, 1}, {3, 5, 7}, {1, 9, 4}, {40, 31, 17}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        int64_t h = shapes[i][0], w = shapes[i][1], c = shapes[i][2];
        dk_tensor x = random_tensor(3, shapes[i]);
        pair up = outputs(DK_SHAPE(2 * h, 2 * w, c)), hwc = outputs(DK_SHAPE(w, c, h));
        dk_op_upsample2(&fast, &x, &up.fast);
        dk_op_upsample2(&ref, &x, &up.ref);
        check_equal("upsample2", &up);
        dk_op_to_hwc(&fast, &x, &hwc.fast);
        dk_op_to_hwc(&ref, &x, &hwc.ref);
        pair back = outputs(3, shapes[i]);
        dk_op_to_chw(&fast, &hwc.fast, &back.fast);
        dk_op_to_chw(&ref, &hwc.fast, &back.ref);
        assert_memory_equal(back.fast.data, x.data, (size_t)(h * w * c) * sizeof(float));
        check_equal("to_hwc", &hwc);
        check_equal("to_chw", &back);
        test_free(x.data);
    }
}

/* ---- The matrix product for machines without oneDNN kernels. */

static void gemm_case(char tb, int64_t m, int64_t n, int64_t k, float alpha, float beta)
{
    int64_t lda = k + 3, ldb = (tb == 'T' ? k : n) + 2, ldc = n + 1;
    float *a = randoms(m * lda, 1.0f), *b = randoms((tb == 'T' ? n : k) * ldb, 1.0f);
    dk_tensor c0 = random_tensor(DK_SHAPE(m, ldc));
    pair c = copies(&c0);
    for (int64_t i = 0; beta == 0.0f && i < m; i++)
        for (int64_t j = 0; j < n; j++)
            dk_f32(&c.fast)[i * ldc + j] = NAN; /* must not be read */
    assert_int_equal(
        dk_cpu_gemm_portable(tb, m, n, k, alpha, a, lda, b, ldb, beta, dk_f32(&c.fast), ldc), 0);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double sum = 0;
            for (int64_t p = 0; p < k; p++)
                sum +=
                    (double)a[i * lda + p] * (double)(tb == 'T' ? b[j * ldb + p] : b[p * ldb + j]);
            float *out = &dk_f32(&c.ref)[i * ldc + j];
            *out = (float)((double)alpha * sum + (double)beta * (double)*out);
        }
    check("portable gemm", &c, 3e-6);
    test_free(c0.data);
    test_free(a);
    test_free(b);
}

static void test_portable_gemm(void **state)
{
    (void)state;
    static const int sizes[] = {1, 3, 4, 5, 15, 16, 17, 40, 257, 300};
    enum { N = sizeof sizes / sizeof *sizes };
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) {
            gemm_case('T', sizes[i], sizes[j], sizes[(i + j) % N], 1.0f, 0.0f);
            gemm_case('N', sizes[i], sizes[j], sizes[(i + 3 * j) % N], 0.3f, 1.0f);
        }
    dk_cpu_gemm = dk_cpu_gemm_portable;
    linear_case(DK_F16, 0, 2, 19, 300, 131, DK_ACT_SILU, true);
    conv_case(DK_F32, 0, 11, 9, 40, 33, 3, 2, 0, 1, true);
    run_attention(&(attn_case){2, 1, 65, 300, 2, 72, 1, true, true});
    dk_cpu_gemm = dk_cpu_gemm_onednn;
}

/* ---- The context. */

static int failing_gemm(char tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a,
                        int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    (void)tb, (void)m, (void)n, (void)k, (void)alpha, (void)a, (void)lda, (void)b, (void)ldb;
    (void)beta, (void)c, (void)ldc;
    return 1;
}

static void test_backend_failure(void **state)
{
    (void)state;
    float data[64] = {0}, out[64];
    dk_linear l = {.name = "blocks.0.fc1.weight",
                   .w = dk_view(data, DK_F32, DK_SHAPE(4, 8)),
                   .in = 8,
                   .out = 4};
    dk_conv v = {.name = "conv_in.weight",
                 .w = dk_view(data, DK_F32, DK_SHAPE(2, 2, 1, 1)),
                 .cin = 2,
                 .cout = 2,
                 .k = 1,
                 .stride = 1};
    dk_tensor x = dk_view(data, DK_F32, DK_SHAPE(1, 2, 8)),
              y = dk_view(out, DK_F32, DK_SHAPE(1, 2, 4));
    dk_tensor p = dk_view(data, DK_F32, DK_SHAPE(2, 3, 2)),
              q = dk_view(out, DK_F32, DK_SHAPE(2, 3, 2));
    dk_tensor o = dk_view(out, DK_F32, DK_SHAPE(1, 2, 8));
    dk_attn a = {.q = &x, .k = &x, .v = &x, .heads = 2, .scale = 1, .out = &o};
    dk_err err;
    dk_err_init(&err);
    dk_cpu_gemm = failing_gemm;
    dk_op_linear(&fast, &l, &x, &y, DK_ACT_NONE);
    dk_op_attention(&fast, &a); /* nothing happens any more: the first failure stays */
    assert_int_equal(dk_ctx_take(&fast, &err), DK_EBACKEND);
    ts_failed(&err, DK_EBACKEND, "linear \"blocks.0.fc1.weight\" [1, 2, 8] -> [1, 2, 4]");
    dk_op_conv2d(&fast, &v, &p, &q);
    dk_ctx_take(&fast, &err);
    ts_failed(&err, DK_EBACKEND, "convolution \"conv_in.weight\" [2, 3, 2] -> [2, 3, 2]");
    dk_op_attention(&fast, &a);
    dk_ctx_take(&fast, &err);
    ts_failed(&err, DK_EBACKEND, "attention, 2 heads, q [1, 2, 8]");
    dk_cpu_gemm = dk_cpu_gemm_onednn;
    assert_int_equal(dk_ctx_take(&fast, &err), 0);
}

static void test_finite(void **state)
{
    (void)state;
    enum { N = 3 * 70 * 131 };
    dk_err err;
    dk_err_init(&err);
    dk_tensor x = random_tensor(DK_SHAPE(3, 70, 131));
    static const int places[] = {0, 15, 16, 8191, 8192, 20001, N - 1};
    static const float bad[] = {NAN, INFINITY, -INFINITY};
    dk_op_finite(&fast, &x, "block %d", 1);
    assert_true(dk_ctx_ok(&fast));
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
        float kept = dk_f32(&x)[places[i]], end = dk_f32(&x)[N - 1];
        dk_f32(&x)[N - 1] = NAN; /* the first one is named */
        dk_f32(&x)[places[i]] = bad[i % 3];
        dk_op_finite(&fast, &x, "block %d", 3);
        char want[100];
        snprintf(want, sizeof want, "block 3: NaN or infinity (element %d of [3, 70, 131])",
                 places[i]);
        assert_int_equal(dk_ctx_take(&fast, &err), DK_ENUMERIC);
        ts_failed(&err, DK_ENUMERIC, want);
        dk_f32(&x)[N - 1] = end;
        dk_f32(&x)[places[i]] = kept;
    }
    test_free(x.data);
}

static void test_new(void **state)
{
    (void)state;
    dk_err err;
    dk_err_init(&err);
    dk_tensor t = dk_new(&fast, DK_SHAPE(2, 3));
    assert_non_null(t.data);
    assert_int_equal((uintptr_t)t.data % 64, 0);
    dk_tensor huge = dk_new(&fast, DK_SHAPE(INT64_MAX / 2, INT64_MAX / 2));
    assert_null(huge.data);
    dk_tensor after = dk_new(&fast, DK_SHAPE(1));
    assert_null(after.data);
    dk_op_act(&fast, DK_ACT_SILU, &after); /* no effect, no crash */
    assert_int_equal(dk_ctx_take(&fast, &err), DK_ENOMEM);
    ts_failed(&err, DK_ENOMEM, "too large");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_attention),
        cmocka_unit_test(test_attention_extremes),
        cmocka_unit_test(test_row_norms),
        cmocka_unit_test(test_groupnorm),
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_exp),
        cmocka_unit_test(test_sums_and_products),
        cmocka_unit_test(test_embed),
        cmocka_unit_test(test_patches),
        cmocka_unit_test(test_pictures),
        cmocka_unit_test(test_portable_gemm),
        cmocka_unit_test(test_backend_failure),
        cmocka_unit_test(test_finite),
        cmocka_unit_test(test_new),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests_name("ops", tests, setup, teardown);
}
