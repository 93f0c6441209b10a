/* Sums over edges of one type; included by cpu_graph.c once for each. A piece is some rows of the
 * result (some edges for edge_dot), so no two threads write the same element. */
#include "ops/mat/real.h"

#undef LANES
#define LANES 8

typedef struct N(edges) {
    const int32_t *ptr, *edge, *from, *to;
    int h;
    int64_t d;
    const REAL *w, *x, *y;
    bool accumulate;
    REAL *out;
} N(edges);

CPU_CLONES static void N(sum_rows)(const void *ctx, int64_t begin, int64_t end)
{
    const N(edges) *g = ctx;
    int64_t d = g->d, width = g->h * d;
    for (int64_t r = begin; r < end; r++) {
        REAL *y = g->out + r * width;
        if (!g->accumulate)
            memset(y, 0, (size_t)width * sizeof *y);
        for (int32_t i = g->ptr[r]; i < g->ptr[r + 1]; i++) {
            int64_t e = g->edge[i];
            const REAL *x = g->x + g->from[e] * width;
            if (!g->w) {
                CPU_SIMD
                for (int64_t j = 0; j < width; j++)
                    y[j] += x[j];
                continue;
            }
            for (int k = 0; k < g->h; k++) {
                REAL v = g->w[e * g->h + k];
                CPU_SIMD
                for (int64_t j = k * d; j < (k + 1) * d; j++)
                    y[j] += v * x[j];
            }
        }
    }
}

void N(dk_mat_cpu_aggregate)(const dk_adj *adj, bool transpose, int h, int64_t d, const void *w,
                             const void *x, bool accumulate, void *y)
{
    N(edges) g = {.h = h, .d = d, .w = w, .x = x, .accumulate = accumulate, .out = y};
    g.ptr = transpose ? adj->out_ptr : adj->in_ptr;
    g.edge = transpose ? adj->out_edge : adj->in_edge;
    g.from = transpose ? adj->dst : adj->src;
    int64_t rows = transpose ? adj->n_src : adj->n_dst;
    int64_t per_row = rows ? (rows + adj->n_edges) / rows * h * d : 0;
    dk_pieces(rows, per_row, N(sum_rows), &g);
}

/* Products in LANES sums, added in order. */
CPU_CLONES static void N(dot_edges)(const void *ctx, int64_t begin, int64_t end)
{
    const N(edges) *g = ctx;
    int64_t d = g->d, width = g->h * d;
    for (int64_t e = begin; e < end; e++)
        for (int k = 0; k < g->h; k++) {
            const REAL *x = g->x + g->from[e] * width + k * d;
            const REAL *y = g->y + g->to[e] * width + k * d;
            REAL lane[LANES] = {0}, sum = 0;
            int64_t j = 0;
            for (; j + LANES <= d; j += LANES) {
                CPU_SIMD
                for (int l = 0; l < LANES; l++)
                    lane[l] += x[j + l] * y[j + l];
            }
            for (int l = 0; j < d; j++, l++)
                lane[l] += x[j] * y[j];
            for (int l = 0; l < LANES; l++)
                sum += lane[l];
            g->out[e * g->h + k] += sum;
        }
}

void N(dk_mat_cpu_edge_dot)(const dk_adj *adj, int h, int64_t d, const void *x, const void *y,
                            void *s)
{
    N(edges) g = {.h = h, .d = d, .from = adj->src, .to = adj->dst, .x = x, .y = y, .out = s};
    dk_pieces(adj->n_edges, h * d, N(dot_edges), &g);
}
