/* See reduce.h. */
#include "grad/reduce.h"

#define DK_REAL 32
#include "grad/reduce_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "grad/reduce_real.h"
