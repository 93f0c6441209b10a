/* Threads: OpenMP behind two names. Results never depend on the thread count: loops are cut into
 * pieces whose size is fixed by the data, and reductions add the pieces in order. */
#ifndef DK_BASE_PAR_H
#define DK_BASE_PAR_H

/* n = 0: all cores. Sets the OpenMP team size of the calling thread. */
void dk_set_threads(int n);
int dk_threads(void);

#endif
