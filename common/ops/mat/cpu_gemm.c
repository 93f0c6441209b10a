/* Matrix products of the fast backend: a blocked kernel for both types, and oneDNN for the large
 * products of f32. */
#include <string.h>

#include "ops/cpu/cpu.h"
#include "ops/cpu/vmath.h"
#include "ops/mat/mat_internal.h"
#include "ops/mat/pieces.h"

/* Products added up in one go; panels of B packed at a time (64 KiB with DEPTH); rows of A that
 * meet them while they are in the first cache; rows for which packing does not pay. */
enum { DEPTH = 128, PANELS = 8, SLAB = 24, FEW = 32 };

/* Multiply-adds from which threads share the work, and from which oneDNN is faster. */
#define PARALLEL_FROM 5e5
#define ONEDNN_FROM   2e6

/* dk_ops_cpu() has chosen the portable product where oneDNN has no kernels of its own. */
static bool use_onednn(void)
{
    dk_ops_cpu();
    return dk_cpu_gemm != dk_cpu_gemm_portable;
}

#define DK_REAL 32
#include "ops/mat/cpu_gemm_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "ops/mat/cpu_gemm_real.h"
