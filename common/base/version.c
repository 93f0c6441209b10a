/* See version.h. */
#include "base/version.h"

void dk_version_print(FILE *out, const char *tool)
{
    fprintf(out, "%s %s (ditkit)\n", tool, DK_VERSION);
    fprintf(out, "compiler %s\n", __VERSION__);
#ifdef _OPENMP
    fprintf(out, "OpenMP %d\n", _OPENMP);
#else
    fputs("OpenMP none\n", out);
#endif
    fputs("device cpu\n", out);
}
