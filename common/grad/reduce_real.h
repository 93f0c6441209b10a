/* Reductions of one type; included by reduce.c once for each. */
#include "ops/mat/real.h"

typedef struct N(parts) {
    int64_t n, size, width;
    N(dk_part) *part;
    const void *ctx;
    REAL *sums;
} N(parts);

static void N(run_parts)(const void *ctx, int64_t begin, int64_t end)
{
    const N(parts) *r = ctx;
    for (int64_t p = begin; p < end; p++) {
        int64_t first = p * r->size, left = r->n - first;
        r->part(r->ctx, first, left < r->size ? r->n : first + r->size, r->sums + p * r->width);
    }
}

void N(dk_reduce)(dk_tape *t, int64_t n, int64_t weight, int64_t width, N(dk_part) *part,
                  const void *ctx, bool add, REAL *out)
{
    int64_t w = weight < 1 ? 1 : weight, size = w >= DK_PIECE ? 1 : DK_PIECE / w;
    int64_t pieces = dk_cpu_pieces(n, size);
    if (pieces == 1 && !add) {
        part(ctx, 0, n, out);
        return;
    }
    dk_scratch mark;
    REAL *sums = dk_tape_scratch(t, pieces * width, &mark);
    if (!sums)
        return;
    N(parts) r = {n, size, width, part, ctx, sums};
    dk_pieces(pieces, size * w, N(run_parts), &r);
    for (int64_t j = 0; j < width; j++) {
        double sum = 0;
        for (int64_t p = 0; p < pieces; p++)
            sum += (double)sums[p * width + j];
        out[j] = (add ? out[j] : 0) + (REAL)sum;
    }
    dk_tape_scratch_end(t, mark);
}

typedef struct N(table) {
    const REAL *x;
    REAL *out;
    int64_t cols;
    REAL scale;
    bool add;
} N(table);

CPU_CLONES static void N(part_of_rows)(const void *ctx, int64_t begin, int64_t end, REAL *sums)
{
    const N(table) *s = ctx;
    for (int64_t j = 0; j < s->cols; j++)
        sums[j] = 0;
    for (int64_t r = begin; r < end; r++) {
        const REAL *x = s->x + r * s->cols;
        CPU_SIMD
        for (int64_t j = 0; j < s->cols; j++)
            sums[j] += s->scale * x[j];
    }
}

CPU_CLONES static void N(part_of_all)(const void *ctx, int64_t begin, int64_t end, REAL *sums)
{
    const N(table) *s = ctx;
    *sums = s->scale * N(dk_sum_of)(s->x + begin, end - begin);
}

CPU_CLONES static void N(sum_each_row)(const void *ctx, int64_t begin, int64_t end)
{
    const N(table) *s = ctx;
    for (int64_t r = begin; r < end; r++) {
        REAL sum = s->scale * N(dk_sum_of)(s->x + r * s->cols, s->cols);
        s->out[r] = s->add ? s->out[r] + sum : sum;
    }
}

CPU_CLONES static void N(scale_run)(const void *ctx, int64_t begin, int64_t end)
{
    const N(table) *s = ctx;
    if (s->add) {
        CPU_SIMD
        for (int64_t i = begin; i < end; i++)
            s->out[i] += s->scale * s->x[i];
    } else {
        CPU_SIMD
        for (int64_t i = begin; i < end; i++)
            s->out[i] = s->scale * s->x[i];
    }
}

void N(dk_sum_to)(dk_tape *t, dk_spread to, int64_t rows, int64_t cols, const REAL *x, double scale,
                  bool add, REAL *out)
{
    N(table) s = {x, out, cols, (REAL)scale, add};
    switch (to) {
    case DK_SAME:
        dk_pieces(rows * cols, 1, N(scale_run), &s);
        return;
    case DK_ONE_ROW:
        N(dk_reduce)(t, rows, cols, cols, N(part_of_rows), &s, add, out);
        return;
    case DK_ONE_COL:
        dk_pieces(rows, cols, N(sum_each_row), &s);
        return;
    case DK_ONE:
        N(dk_reduce)(t, rows * cols, 1, 1, N(part_of_all), &s, add, out);
        return;
    }
}

void N(dk_copy)(int64_t n, const REAL *x, bool add, REAL *out)
{
    N(table) s = {x, out, 1, 1, add};
    dk_pieces(n, 1, N(scale_run), &s);
}

typedef struct N(repeat) {
    const REAL *y;
    REAL *out;
    int64_t cols, row, col; /* strides of y */
    REAL scale;
    bool add;
} N(repeat);

CPU_CLONES static void N(repeat_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(repeat) *s = ctx;
    for (int64_t r = begin; r < end; r++) {
        const REAL *y = s->y + r * s->row;
        REAL *out = s->out + r * s->cols, v = s->scale * y[0];
        if (s->col)
            for (int64_t j = 0; j < s->cols; j++)
                out[j] = s->add ? out[j] + s->scale * y[j] : s->scale * y[j];
        else
            for (int64_t j = 0; j < s->cols; j++)
                out[j] = s->add ? out[j] + v : v;
    }
}

void N(dk_spread_from)(dk_spread from, int64_t rows, int64_t cols, const REAL *y, double scale,
                       bool add, REAL *out)
{
    if (cols == 0)
        return;
    N(repeat) s = {y, out, cols, 0, 0, (REAL)scale, add};
    s.row = from == DK_SAME ? cols : from == DK_ONE_COL;
    s.col = from == DK_SAME || from == DK_ONE_ROW;
    dk_pieces(rows, cols, N(repeat_rows), &s);
}
