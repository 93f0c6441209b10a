/* The second table of operations: real matrices with two indices, in f32 (training) and f64
 * (explaining, where sums must come out to 1e-9). The tape (grad/tape.h) records these. Two
 * backends fill the table for each precision:
 *
 *     dk_mat_reference(real)  plain loops, one obvious version of each operation
 *     dk_mat_cpu(real)        blocked products (f32: oneDNN where it pays; f64: a kernel of our own,
 *                             oneDNN has none), vector loops
 *
 * Matrices are row-major and dense (leading dimension = columns) unless an ld is given. `real` is
 * DK_F32 or DK_F64 and every pointer is to that type. Results never depend on the thread count:
 * work is cut into pieces whose size depends on the shapes alone. Small operations (below about
 * 1 MFLOP) stay on the calling thread, so many graphs can be worked on by many threads; called
 * from inside a parallel region everything stays on the calling thread. */
#ifndef DK_OPS_MAT_H
#define DK_OPS_MAT_H

#include <stdbool.h>
#include <stdint.h>

#include "num/dtype.h"

/* The edges of a graph or of a block-diagonal batch of graphs, in list order, with both groupings.
 * Messages flow src -> dst. Borrowed; src and dst may index different sets of rows. */
typedef struct dk_adj {
    int32_t n_src, n_dst, n_edges;
    const int32_t *src, *dst;          /* [n_edges] */
    const int32_t *in_ptr, *in_edge;   /* [n_dst + 1], [n_edges]: edges by dst, ascending */
    const int32_t *out_ptr, *out_edge; /* [n_src + 1], [n_edges]: edges by src, ascending */
} dk_adj;

typedef struct dk_mat_ops {
    const char *name;
    dk_dtype real;
    /* C [m, n] = (A or A^T) (B or B^T) + (accumulate ? C : 0). A is [m, k] (ta: [k, m]), B is
     * [k, n] (tb: [n, k]). */
    void (*gemm)(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a, const void *b,
                 bool accumulate, void *c);
    /* y [n_dst, h*d] (+)= sum over edges into dst of w[e][head] * x[src[e]][head]; w [n_edges, h]
     * or NULL = 1; x [n_src, h*d]. `transpose` swaps the roles of src and dst (x has n_dst rows,
     * y n_src): the gradient. Summation in list order of the edges of a row. */
    void (*aggregate)(const dk_adj *a, bool transpose, int h, int64_t d, const void *w,
                      const void *x, bool accumulate, void *y);
    /* s [n_edges, h] += x[src[e]][head] . y[dst[e]][head]  (the gradient by w) */
    void (*edge_dot)(const dk_adj *a, int h, int64_t d, const void *x, const void *y, void *s);
} dk_mat_ops;

const dk_mat_ops *dk_mat_reference(dk_dtype real);
const dk_mat_ops *dk_mat_cpu(dk_dtype real);

#endif
