/* The fast CPU backend's table, and the choice of its matrix product. The vector loops choose by
 * themselves (CPU_CLONES in cpu/cpu.h). */
#include <oneapi/dnnl/dnnl.h>
#include <pthread.h>

#include "ops/cpu/cpu.h"

/* Linear layers need no form of their own. */
static int linear_prepare(dk_linear *l, dk_err *err)
{
    (void)err;
    l->prep = NULL;
    return 0;
}

static void linear_release(dk_linear *l)
{
    l->prep = NULL;
}

static dk_ops cpu = {
    .name = "cpu (oneDNN)",
    .linear_prepare = linear_prepare,
    .linear_release = linear_release,
    .conv_prepare = dk_cpu_conv_prepare,
    .conv_release = dk_cpu_conv_release,
    .linear = dk_cpu_linear,
    .conv2d = dk_cpu_conv2d,
    .attention = dk_cpu_attention,
    .layernorm = dk_cpu_layernorm,
    .rmsnorm = dk_cpu_rmsnorm,
    .groupnorm = dk_cpu_groupnorm,
    .act = dk_cpu_act,
    .add = dk_cpu_add,
    .mul = dk_cpu_mul,
    .gated_add = dk_cpu_gated_add,
    .embed = dk_cpu_embed,
    .patchify = dk_cpu_patchify,
    .unpatchify = dk_cpu_unpatchify,
    .upsample2 = dk_cpu_upsample2,
    .to_hwc = dk_cpu_to_hwc,
    .to_chw = dk_cpu_to_chw,
};

/* oneDNN multiplies with generated code from SSE4.1 on; for anything less, and on processors that
 * are not x86, its plain loops are slower than ours. */
static void choose(void)
{
    unsigned isa = (unsigned)dnnl_get_effective_cpu_isa();
    if ((isa & (unsigned)dnnl_cpu_isa_sse41) == 0) {
        dk_cpu_gemm = dk_cpu_gemm_portable;
        cpu.name = "cpu (portable)";
    }
}

const dk_ops *dk_ops_cpu(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, choose);
    return &cpu;
}
