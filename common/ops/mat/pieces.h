/* Work on many elements or rows, cut into pieces of a fixed size that threads share. The cut
 * depends on the number of elements alone, and a piece is computed by one thread, so results do
 * not depend on the thread count. Little work, and work inside a parallel region, stays on the
 * calling thread without entering OpenMP. */
#ifndef DK_OPS_MAT_PIECES_H
#define DK_OPS_MAT_PIECES_H

#include <stdbool.h>
#include <stdint.h>

#ifdef _OPENMP
#include <omp.h>
#endif

/* Elements in one piece, and from how many on there is more than one thread. */
enum { DK_PIECE = 8192, DK_PIECES_FROM = 65536 };

typedef void dk_piece_fn(const void *ctx, int64_t begin, int64_t end);

static inline bool dk_in_parallel(void)
{
#ifdef _OPENMP
    return omp_in_parallel();
#else
    return false;
#endif
}

/* run() over [0, n) of items that hold `weight` elements each. */
static inline void dk_pieces(int64_t n, int64_t weight, dk_piece_fn *run, const void *ctx)
{
    if (n <= 0)
        return;
    int64_t w = weight < 1 ? 1 : weight;
    if (n <= DK_PIECES_FROM / w || dk_in_parallel()) {
        run(ctx, 0, n);
        return;
    }
    int64_t size = w >= DK_PIECE ? 1 : DK_PIECE / w;
#pragma omp parallel for schedule(static)
    for (int64_t i = 0; i < n; i += size)
        run(ctx, i, n - i < size ? n : i + size);
}

#endif
