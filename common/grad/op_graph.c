/* Graph operations: sums over edges, softmax over the edges of a row, rows by index, segments. */
#include "grad/reduce.h"

enum { SCATTER = 16 }; /* columns that one thread adds to */

#define DK_REAL 32
#include "grad/op_graph_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/op_graph_real.h"

DK_OP(aggregate);
DK_OP(edge_softmax);
DK_OP(gather);
DK_OP(scatter);
DK_OP(segment);
DK_OP(sum_blocks);

dk_var dk_aggregate(dk_tape *t, const dk_adj *adj, int heads, dk_var w, dk_var x)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    int64_t cols = dk_var_cols(t, x);
    assert(heads >= 1 && cols % heads == 0 && dk_var_rows(t, x) == adj->n_src);
    assert(w != DK_NOVAR || heads == 1);
    assert(w == DK_NOVAR || (dk_var_rows(t, w) == adj->n_edges && dk_var_cols(t, w) == heads));
    dk_node n = {.in = {x, w, DK_NOVAR}, .kind = heads, .i = cols / heads, .with = adj};
    return dk_tape_run(t, &aggregate_op, &n, adj->n_dst, cols, 0);
}

dk_var dk_edge_softmax(dk_tape *t, const dk_adj *adj, dk_var s)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    assert(dk_var_rows(t, s) == adj->n_edges);
    dk_node n = {.in = {s, DK_NOVAR, DK_NOVAR}, .with = adj};
    return dk_tape_run(t, &edge_softmax_op, &n, adj->n_edges, dk_var_cols(t, s), 0);
}

static void check_index(const int32_t *index, int64_t n, int64_t rows)
{
    bool inside = true;
    for (int64_t i = 0; i < n; i++)
        inside &= index[i] >= 0 && index[i] < rows;
    assert(inside);
    (void)inside;
}

dk_var dk_gather_rows(dk_tape *t, dk_var x, const int32_t *index, int64_t count)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    check_index(index, count, dk_var_rows(t, x));
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .with = index};
    return dk_tape_run(t, &gather_op, &n, count, dk_var_cols(t, x), 0);
}

dk_var dk_scatter_rows(dk_tape *t, dk_var x, const int32_t *index, int64_t rows_out)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    check_index(index, dk_var_rows(t, x), rows_out);
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .with = index};
    return dk_tape_run(t, &scatter_op, &n, rows_out, dk_var_cols(t, x), 0);
}

dk_var dk_segment(dk_tape *t, dk_seg kind, const int32_t *ptr, int64_t segments, dk_var x)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    assert(segments >= 0 && ptr[0] >= 0 && ptr[segments] <= dk_var_rows(t, x));
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .kind = (int)kind, .i = segments, .with = ptr};
    return dk_tape_run(t, &segment_op, &n, segments, dk_var_cols(t, x), 0);
}

dk_var dk_sum_blocks(dk_tape *t, dk_var x, int h)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    int64_t cols = dk_var_cols(t, x);
    assert(h >= 1 && cols % h == 0);
    dk_node n = {.in = {x, DK_NOVAR, DK_NOVAR}, .i = cols / h};
    return dk_tape_run(t, &sum_blocks_op, &n, dk_var_rows(t, x), h, 0);
}
