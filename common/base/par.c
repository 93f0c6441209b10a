/* See par.h. */
#include "base/par.h"

#include <stdlib.h>
#include <unistd.h>

void dk_par_start(char **argv)
{
    if (getenv("OMP_WAIT_POLICY") || getenv("GOMP_SPINCOUNT"))
        return;
    /* When exec fails (no /proc), the program goes on as it is: slower at worst. */
    if (setenv("OMP_WAIT_POLICY", "passive", 1) == 0)
        execv("/proc/self/exe", argv);
}

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
