#ifndef DK_BASE_VERSION_H
#define DK_BASE_VERSION_H

#include <stdio.h>

#define DK_VERSION "0.1.0"

/* "dit-sample 0.1.0" and one line per feature: compiler, OpenMP, oneDNN, CPU kernels. */
void dk_version_print(FILE *out, const char *tool);

#endif
