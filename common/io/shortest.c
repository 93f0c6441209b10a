/* See shortest_internal.h. Decimals of 15 digits (6 for a float) have a double each, so that fewer
 * digits need no try (%g drops zeros at the end), and 17 (9) always suffice. Subnormals have less
 * precision, and are tried from one digit on. */
#include "io/shortest_internal.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

void dk_shortest_f64(double v, char s[DK_SHORTEST_SIZE])
{
    for (int digits = fabs(v) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        snprintf(s, DK_SHORTEST_SIZE, "%.*g", digits, v);
        if (strtod(s, NULL) == v)
            return;
    }
}

void dk_shortest_f32(float v, char s[DK_SHORTEST_SIZE])
{
    for (int digits = fabsf(v) < FLT_MIN ? 1 : 6; digits <= 9; digits++) {
        snprintf(s, DK_SHORTEST_SIZE, "%.*g", digits, (double)v);
        if (strtof(s, NULL) == v)
            return;
    }
}
