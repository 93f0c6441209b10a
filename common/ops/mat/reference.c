/* The slow, obviously right matrix operations, which the tests compare with. */
#include "ops/mat.h"

#include <assert.h>

#define DK_REAL 32
#include "ops/mat/reference_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "ops/mat/reference_real.h"

const dk_mat_ops *dk_mat_reference(dk_dtype real)
{
    static const dk_mat_ops f32 = {"reference", DK_F32, gemm_f32, aggregate_f32, edge_dot_f32};
    static const dk_mat_ops f64 = {"reference", DK_F64, gemm_f64, aggregate_f64, edge_dot_f64};
    assert(real == DK_F32 || real == DK_F64);
    return real == DK_F64 ? &f64 : &f32;
}
