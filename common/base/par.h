/* Threads: OpenMP behind two names. Results never depend on the thread count: loops are cut into
 * pieces whose size is fixed by the data, and reductions add the pieces in order. */
#ifndef DK_BASE_PAR_H
#define DK_BASE_PAR_H

/* First thing in main(). The OpenMP runtime reads once, before main(), whether waiting threads spin or
 * sleep; its default of spinning makes short parallel loops 5 to 40 times slower on cores that are
 * shared with other work. Unless the user has set OMP_WAIT_POLICY or GOMP_SPINCOUNT, this sets
 * OMP_WAIT_POLICY=passive and starts the program anew with it. */
void dk_par_start(char **argv);

/* n = 0: all cores. Sets the OpenMP team size of the calling thread. */
void dk_set_threads(int n);
int dk_threads(void);

#endif
