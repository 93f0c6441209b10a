/* The fast backend's tables of matrix operations. */
#include <assert.h>

#include "ops/mat/mat_internal.h"

const dk_mat_ops *dk_mat_cpu(dk_dtype real)
{
    static const dk_mat_ops f32 = {"cpu", DK_F32, dk_mat_cpu_gemm_f32, dk_mat_cpu_aggregate_f32,
                                   dk_mat_cpu_edge_dot_f32};
    static const dk_mat_ops f64 = {"cpu", DK_F64, dk_mat_cpu_gemm_f64, dk_mat_cpu_aggregate_f64,
                                   dk_mat_cpu_edge_dot_f64};
    assert(real == DK_F32 || real == DK_F64);
    return real == DK_F64 ? &f64 : &f32;
}
