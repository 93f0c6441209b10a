/* Sums over the edges of a graph, fast backend. */
#include <string.h>

#include "ops/cpu/cpu.h"
#include "ops/mat/mat_internal.h"
#include "ops/mat/pieces.h"

#define DK_REAL 32
#include "ops/mat/cpu_graph_real.h"
#undef DK_REAL
#define DK_REAL 64
#include "ops/mat/cpu_graph_real.h"
