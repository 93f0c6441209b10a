/* Operations on edges, indices and segments, of one type; included by op_graph.c once for each. */
#include "ops/mat/real.h"

/* ---- Sums over edges. */

static void N(aggregate_forward)(dk_tape *t, const dk_node *n)
{
    const REAL *w = n->in[1] == DK_NOVAR ? NULL : VALUE(n->in[1]);
    t->ops->aggregate(n->with, false, n->kind, n->i, w, VALUE(n->in[0]), false, RESULT);
}

static void N(aggregate_backward)(dk_tape *t, const dk_node *n)
{
    const REAL *w = n->in[1] == DK_NOVAR ? NULL : VALUE(n->in[1]);
    bool add;
    REAL *g = dk_tape_into(t, n->in[0], &add);
    if (g)
        t->ops->aggregate(n->with, true, n->kind, n->i, w, OUT_GRAD, add, g);
    g = dk_tape_into(t, n->in[1], &add);
    if (!g)
        return;
    if (!add)
        memset(g, 0, (size_t)dk_count_of(t, n->in[1]) * sizeof *g);
    t->ops->edge_dot(n->with, n->kind, n->i, VALUE(n->in[0]), OUT_GRAD, g);
}

/* ---- Softmax over the edges into a row. */

typedef struct N(edge_rows) {
    const dk_adj *adj;
    const REAL *x, *y, *dy;
    REAL *out;
    int64_t h;
    bool add;
} N(edge_rows);

static void N(edge_softmax_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(edge_rows) *k = ctx;
    const int32_t *ptr = k->adj->in_ptr, *edge = k->adj->in_edge;
    int64_t h = k->h;
    for (int64_t r = begin; r < end; r++)
        for (int64_t c = 0; c < h; c++) {
            REAL top = -INFINITY, sum = 0;
            for (int32_t i = ptr[r]; i < ptr[r + 1]; i++) {
                REAL v = k->x[edge[i] * h + c];
                top = v > top ? v : top;
            }
            for (int32_t i = ptr[r]; i < ptr[r + 1]; i++) {
                REAL e = M(exp)(k->x[edge[i] * h + c] - top);
                k->out[edge[i] * h + c] = e;
                sum += e;
            }
            for (int32_t i = ptr[r]; i < ptr[r + 1]; i++)
                k->out[edge[i] * h + c] /= sum;
        }
}

/* ds = a (da - sum of a da over the row) */
static void N(edge_softmax_rows_back)(const void *ctx, int64_t begin, int64_t end)
{
    const N(edge_rows) *k = ctx;
    const int32_t *ptr = k->adj->in_ptr, *edge = k->adj->in_edge;
    int64_t h = k->h;
    for (int64_t r = begin; r < end; r++)
        for (int64_t c = 0; c < h; c++) {
            REAL dot = 0;
            for (int32_t i = ptr[r]; i < ptr[r + 1]; i++)
                dot += k->y[edge[i] * h + c] * k->dy[edge[i] * h + c];
            for (int32_t i = ptr[r]; i < ptr[r + 1]; i++) {
                int64_t at = edge[i] * h + c;
                k->out[at] = (k->add ? k->out[at] : 0) + k->y[at] * (k->dy[at] - dot);
            }
        }
}

/* Elements in the edges of one row, on average: the weight of a piece. */
static int64_t N(row_weight)(const dk_adj *adj, int64_t h)
{
    return adj->n_dst ? (adj->n_edges / adj->n_dst + 1) * h : 0;
}

static void N(edge_softmax_forward)(dk_tape *t, const dk_node *n)
{
    const dk_adj *adj = n->with;
    N(edge_rows) k = {.adj = adj, .x = VALUE(n->in[0]), .out = RESULT, .h = COLS_OF(n->out)};
    dk_pieces(adj->n_dst, N(row_weight)(adj, k.h), N(edge_softmax_rows), &k);
}

static void N(edge_softmax_backward)(dk_tape *t, const dk_node *n)
{
    const dk_adj *adj = n->with;
    N(edge_rows) k = {.adj = adj, .y = RESULT, .dy = OUT_GRAD, .h = COLS_OF(n->out)};
    k.out = dk_tape_into(t, n->in[0], &k.add);
    if (k.out)
        dk_pieces(adj->n_dst, N(row_weight)(adj, k.h), N(edge_softmax_rows_back), &k);
}

/* ---- Rows by index. */

typedef struct N(indexed) {
    const int32_t *index;
    int64_t n, d;
    const REAL *x;
    REAL *out;
    bool add;
} N(indexed);

CPU_CLONES static void N(gather_run)(const void *ctx, int64_t begin, int64_t end)
{
    const N(indexed) *k = ctx;
    for (int64_t i = begin; i < end; i++) {
        const REAL *x = k->x + k->index[i] * k->d;
        REAL *out = k->out + i * k->d;
        if (k->add)
            for (int64_t j = 0; j < k->d; j++)
                out[j] += x[j];
        else
            for (int64_t j = 0; j < k->d; j++)
                out[j] = x[j];
    }
}

/* Blocks of SCATTER columns; every thread walks all rows in order, so no sum depends on threads. */
CPU_CLONES static void N(scatter_run)(const void *ctx, int64_t begin, int64_t end)
{
    const N(indexed) *k = ctx;
    int64_t first = begin * SCATTER, last = end * SCATTER < k->d ? end * SCATTER : k->d;
    for (int64_t i = 0; i < k->n; i++) {
        const REAL *x = k->x + i * k->d;
        REAL *out = k->out + k->index[i] * k->d;
        CPU_SIMD
        for (int64_t j = first; j < last; j++)
            out[j] += x[j];
    }
}

static void N(gather)(int64_t rows, int64_t d, const int32_t *index, const REAL *x, bool add,
                      REAL *out)
{
    N(indexed) k = {index, rows, d, x, out, add};
    dk_pieces(rows, d, N(gather_run), &k);
}

/* out [rows_out, d] (+)= the rows of x [rows, d], each to its place. */
static void N(scatter)(int64_t rows, int64_t rows_out, int64_t d, const int32_t *index,
                       const REAL *x, bool add, REAL *out)
{
    N(indexed) k = {index, rows, d, x, out, true};
    if (!add)
        memset(out, 0, (size_t)(rows_out * d) * sizeof *out);
    dk_pieces(dk_cpu_pieces(d, SCATTER), rows * SCATTER, N(scatter_run), &k);
}

static void N(gather_forward)(dk_tape *t, const dk_node *n)
{
    N(gather)(ROWS_OF(n->out), COLS_OF(n->out), n->with, VALUE(n->in[0]), false, RESULT);
}

static void N(gather_backward)(dk_tape *t, const dk_node *n)
{
    bool add;
    REAL *g = dk_tape_into(t, n->in[0], &add);
    if (g)
        N(scatter)(ROWS_OF(n->out), ROWS_OF(n->in[0]), COLS_OF(n->out), n->with, OUT_GRAD, add, g);
}

static void N(scatter_forward)(dk_tape *t, const dk_node *n)
{
    N(scatter)(ROWS_OF(n->in[0]), ROWS_OF(n->out), COLS_OF(n->out), n->with, VALUE(n->in[0]), false,
               RESULT);
}

static void N(scatter_backward)(dk_tape *t, const dk_node *n)
{
    bool add;
    REAL *g = dk_tape_into(t, n->in[0], &add);
    if (g)
        N(gather)(ROWS_OF(n->in[0]), COLS_OF(n->out), n->with, OUT_GRAD, add, g);
}

/* ---- Segments of rows, and blocks of columns. */

typedef struct N(segments) {
    const int32_t *ptr;
    int64_t d, total;
    const REAL *x, *y, *dy;
    REAL *out;
    int kind;
    bool add;
} N(segments);

CPU_CLONES static void N(segment_run)(const void *ctx, int64_t begin, int64_t end)
{
    const N(segments) *k = ctx;
    int64_t d = k->d;
    for (int64_t s = begin; s < end; s++) {
        REAL *y = k->out + s * d;
        int64_t first = k->ptr[s], last = k->ptr[s + 1];
        for (int64_t j = 0; j < d; j++)
            y[j] = first < last ? k->x[first * d + j] : 0;
        for (int64_t r = first + 1; r < last; r++) {
            const REAL *x = k->x + r * d;
            if (k->kind == DK_SEG_MAX)
                for (int64_t j = 0; j < d; j++) /* NaN wins, and stays */
                    y[j] = x[j] > y[j] || x[j] != x[j] ? x[j] : y[j];
            else
                for (int64_t j = 0; j < d; j++)
                    y[j] += x[j];
        }
        if (k->kind == DK_SEG_MEAN && last - first > 1)
            for (int64_t j = 0; j < d; j++)
                y[j] /= (REAL)(last - first);
    }
}

CPU_CLONES static void N(segment_run_back)(const void *ctx, int64_t begin, int64_t end)
{
    const N(segments) *k = ctx;
    int64_t d = k->d;
    for (int64_t s = begin; s < end; s++) {
        const REAL *dy = k->dy + s * d;
        int64_t first = k->ptr[s], last = k->ptr[s + 1];
        REAL by = k->kind == DK_SEG_MEAN ? (REAL)(last - first) : 1;
        for (int64_t r = first; r < last; r++) {
            REAL *g = k->out + r * d;
            for (int64_t j = 0; j < d; j++)
                g[j] = (k->add ? g[j] : 0) + (k->kind == DK_SEG_MAX ? 0 : dy[j] / by);
        }
        for (int64_t j = 0; k->kind == DK_SEG_MAX && j < d; j++)
            for (int64_t r = first; r < last; r++)
                if (k->x[r * d + j] == k->y[s * d + j]) {
                    k->out[r * d + j] += dy[j];
                    break;
                }
    }
}

static void N(segment_forward)(dk_tape *t, const dk_node *n)
{
    int64_t d = COLS_OF(n->out), rows = ROWS_OF(n->in[0]);
    N(segments) k = {.ptr = n->with, .d = d, .kind = n->kind};
    k.x = VALUE(n->in[0]);
    k.out = RESULT;
    dk_pieces(n->i, n->i ? (rows / n->i + 1) * d : 0, N(segment_run), &k);
}

/* Rows outside all segments (before the first, after the last) have no gradient. */
static void N(segment_backward)(dk_tape *t, const dk_node *n)
{
    int64_t d = COLS_OF(n->out), rows = ROWS_OF(n->in[0]);
    N(segments) k = {.ptr = n->with, .d = d, .kind = n->kind};
    k.x = VALUE(n->in[0]);
    k.y = RESULT;
    k.dy = OUT_GRAD;
    k.out = dk_tape_into(t, n->in[0], &k.add);
    if (!k.out)
        return;
    if (!k.add) {
        int64_t first = k.ptr[0], last = k.ptr[n->i];
        memset(k.out, 0, (size_t)(first * d) * sizeof *k.out);
        memset(k.out + last * d, 0, (size_t)((rows - last) * d) * sizeof *k.out);
    }
    dk_pieces(n->i, n->i ? (rows / n->i + 1) * d : 0, N(segment_run_back), &k);
}

/* [n, h*d] -> [n, h] is the sum over columns of [n*h, d]. */
static void N(sum_blocks_forward)(dk_tape *t, const dk_node *n)
{
    N(dk_sum_to)(t, DK_ONE_COL, dk_count_of(t, n->out), n->i, VALUE(n->in[0]), 1, false, RESULT);
}

static void N(sum_blocks_backward)(dk_tape *t, const dk_node *n)
{
    bool add;
    REAL *g = dk_tape_into(t, n->in[0], &add);
    if (g)
        N(dk_spread_from)(DK_ONE_COL, dk_count_of(t, n->out), n->i, OUT_GRAD, 1, add, g);
}
