/* What the files behind dk_mat_cpu() give to its tables. */
#ifndef DK_OPS_MAT_INTERNAL_H
#define DK_OPS_MAT_INTERNAL_H

#include "ops/mat.h"

#define DK_MAT_FUNCTIONS(prefix, type)                                                             \
    void prefix##_gemm_##type(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const void *a,    \
                              const void *b, bool accumulate, void *c);                            \
    void prefix##_aggregate_##type(const dk_adj *adj, bool transpose, int h, int64_t d,            \
                                   const void *w, const void *x, bool accumulate, void *y);        \
    void prefix##_edge_dot_##type(const dk_adj *adj, int h, int64_t d, const void *x,              \
                                  const void *y, void *s);
DK_MAT_FUNCTIONS(dk_mat_cpu, f32)
DK_MAT_FUNCTIONS(dk_mat_cpu, f64)

#endif
