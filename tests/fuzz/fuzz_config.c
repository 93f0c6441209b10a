/* Any bytes as config.json or scheduler_config.json: every reader must accept or refuse them, and an
 * accepted scheduler must run. */
#include <stdlib.h>

#include "base/log.h"
#include "model/bert.h"
#include "model/dit.h"
#include "model/pixart.h"
#include "model/scheduler.h"
#include "model/t5.h"
#include "model/vae.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void run_scheduler(dk_sched *s, dk_err *err)
{
    float x[2 * 16], out[2 * 16];
    dk_rng rngs[2];

    for (int b = 0; b < 2; b++) {
        rngs[b].kind = DK_RNG_TORCH;
        dk_torch_seed(&rngs[b].u.torch, (uint64_t)b);
        dk_rng_normal(&rngs[b], x + 16 * b, 16);
    }
    if (dk_sched_set_steps(s, 3, err))
        return;
    for (int i = 0; i < dk_sched_steps(s); i++) {
        dk_sched_scale_input(s, i, x, out, 32);
        if (dk_sched_step(s, i, out, out, x, 2, 16, rngs, err))
            return;
    }
    json_decref(dk_sched_options(s));
    (void)dk_sched_label(s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static dk_err err;
    dk_json doc = {0};
    dk_pixart_config pixart;
    dk_dit_config dit;
    dk_t5_config t5;
    dk_bert_config bert;
    dk_vae_config vae;

    dk_log_init("fuzz", -1);
    dk_err_init(&err);
    if (!dk_json_parse(&doc, (const char *)data, size, "fuzz", &err)) {
        dk_jnode cfg = dk_json_root(&doc);
        dk_pixart_config_read(&pixart, cfg, &err);
        dk_err_init(&err);
        dk_dit_config_read(&dit, cfg, &err);
        dk_err_init(&err);
        dk_t5_config_read(&t5, cfg, &err);
        dk_err_init(&err);
        dk_bert_config_read(&bert, cfg, &err);
        dk_err_init(&err);
        dk_vae_config_read(&vae, cfg, &err);
        for (int kind = -1; kind <= DK_SCHED_EULER; kind++) {
            dk_err_init(&err);
            dk_sched *s = dk_sched_new(kind, cfg, &err);
            if (s)
                run_scheduler(s, &err);
            dk_sched_free(s);
        }
    }
    dk_json_free(&doc);
    return 0;
}
