/* Sums of short vectors in 8 lanes that are added in one order: fast with any vector unit, and the
 * same bits with all of them. Included by reduce.h once for each type. */
#include "ops/mat/real.h"

VM_INLINE REAL N(dk_lanes_end)(const REAL lane[8])
{
    REAL low = (lane[0] + lane[1]) + (lane[2] + lane[3]);
    return low + ((lane[4] + lane[5]) + (lane[6] + lane[7]));
}

VM_INLINE REAL N(dk_sum_of)(const REAL *x, int64_t n)
{
    REAL lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        CPU_SIMD
        for (int l = 0; l < 8; l++)
            lane[l] += x[i + l];
    }
    for (int l = 0; i < n; i++, l++)
        lane[l] += x[i];
    return N(dk_lanes_end)(lane);
}

VM_INLINE REAL N(dk_dot_of)(const REAL *x, const REAL *y, int64_t n)
{
    REAL lane[8] = {0};
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) {
        CPU_SIMD
        for (int l = 0; l < 8; l++)
            lane[l] += x[i + l] * y[i + l];
    }
    for (int l = 0; i < n; i++, l++)
        lane[l] += x[i] * y[i];
    return N(dk_lanes_end)(lane);
}

VM_INLINE REAL N(dk_max_of)(const REAL *x, int64_t n)
{
    REAL top = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        top = x[i] > top ? x[i] : top;
    return top;
}
