/* See version.h. */
#include "base/version.h"

#include <oneapi/dnnl/dnnl.h>

/* What the fast kernels look for when they choose. */
static void print_cpu(FILE *out)
{
    fputs("CPU", out);
#if defined(__x86_64__)
    __builtin_cpu_init();
    fprintf(out, " x86-64%s%s%s%s", __builtin_cpu_supports("avx2") ? " avx2" : "",
            __builtin_cpu_supports("fma") ? " fma" : "",
            __builtin_cpu_supports("avx512f") ? " avx512f" : "",
            __builtin_cpu_supports("avx512bw") ? " avx512bw" : "");
#endif
    fputc('\n', out);
}

void dk_version_print(FILE *out, const char *tool)
{
    const dnnl_version_t *v = dnnl_version();

    fprintf(out, "%s %s (ditkit)\n", tool, DK_VERSION);
    fprintf(out, "compiler %s\n", __VERSION__);
#ifdef _OPENMP
    fprintf(out, "OpenMP %d\n", _OPENMP);
#else
    fputs("OpenMP none\n", out);
#endif
    fprintf(out, "oneDNN %d.%d.%d\n", v->major, v->minor, v->patch);
    print_cpu(out);
    fputs("device cpu\n", out);
}
