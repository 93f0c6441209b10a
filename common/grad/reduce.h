/* Sums that do not depend on the thread count or on the vector width, and what the files of
 * operations share for both types. */
#ifndef DK_GRAD_REDUCE_H
#define DK_GRAD_REDUCE_H

#include <math.h>
#include <string.h>

#include "grad/tape_internal.h"
#include "ops/cpu/cpu.h"
#include "ops/cpu/vmath.h"
#include "ops/mat/pieces.h"

/* How the second operand of an operation is repeated; and over what a sum goes. */
typedef enum { DK_SAME, DK_ONE_ROW, DK_ONE_COL, DK_ONE } dk_spread;

/* A part of a reduction: `sums` (of a width its user knows) over items [begin, end), set. */
#define DK_REDUCE_FUNCTIONS(REAL_, type)                                                           \
    typedef void dk_part_##type(const void *ctx, int64_t begin, int64_t end, REAL_ *sums);         \
    /* out[width] (+)= the parts' sums over n items of `weight` elements each, parts in order. */  \
    void dk_reduce_##type(dk_tape *t, int64_t n, int64_t weight, int64_t width,                    \
                          dk_part_##type *part, const void *ctx, bool add, REAL_ *out);            \
    /* out (+)= scale * x [rows, cols] summed over rows (DK_ONE_ROW: [cols] remain), over columns  \
     * (DK_ONE_COL), over everything (DK_ONE), or not at all (DK_SAME). */                         \
    void dk_sum_to_##type(dk_tape *t, dk_spread to, int64_t rows, int64_t cols, const REAL_ *x,    \
                          double scale, bool add, REAL_ *out);                                     \
    /* out [rows, cols] (+)= scale * y, repeated. */                                               \
    void dk_spread_from_##type(dk_spread from, int64_t rows, int64_t cols, const REAL_ *y,         \
                               double scale, bool add, REAL_ *out);                                \
    /* out [n] (+)= x[n], in pieces. */                                                            \
    void dk_copy_##type(int64_t n, const REAL_ *x, bool add, REAL_ *out);
DK_REDUCE_FUNCTIONS(float, f32)
DK_REDUCE_FUNCTIONS(double, f64)

#define DK_REAL 32
#include "grad/lanes_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/lanes_real.h"
#undef DK_REAL

/* In the functions of an operation, whose parameters are t and n. */
#define VALUE(v)   ((const REAL *)t->vars[v].value)
#define RESULT     ((REAL *)t->vars[n->out].value)
#define OUT_GRAD   ((const REAL *)dk_tape_out_grad(t, n))
#define ROWS_OF(v) (t->vars[v].rows)
#define COLS_OF(v) (t->vars[v].cols)

#endif
