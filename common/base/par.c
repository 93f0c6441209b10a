/* See par.h. */
#include "base/par.h"

#ifdef _OPENMP
#include <omp.h>

void dk_set_threads(int n)
{
    omp_set_num_threads(n > 0 ? n : omp_get_num_procs());
}

int dk_threads(void) { return omp_get_max_threads(); }
#else
void dk_set_threads(int n) { (void)n; }

int dk_threads(void) { return 1; }
#endif
