/* Any bytes as scheduler_config.json: refused with an error, or a scheduler that makes a step,
 * whatever class the file or the user names. The first byte, where it is no JSON, chooses the
 * number of steps. */
#include "base/log.h"
#include "model/scheduler.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { SIZE = 16 };

/* Two steps, so that history and both neighbours of a sigma are used. */
static void run(dk_sched *s, int steps, dk_err *err)
{
    float x[SIZE], in[SIZE], variance[SIZE];
    dk_rng rng = {.kind = DK_RNG_TORCH};

    if (dk_sched_set_steps(s, steps, err))
        return;
    dk_torch_seed(&rng.u.torch, 1);
    dk_rng_normal(&rng, x, SIZE);
    dk_rng_normal(&rng, variance, SIZE);
    dk_sched_add_noise(s, 0, variance, x, SIZE);
    (void)dk_sched_init_sigma(s);
    for (int i = 0; i < dk_sched_steps(s) && i < 2; i++) {
        (void)dk_sched_timestep(s, i);
        dk_sched_scale_input(s, i, x, in, SIZE);
        if (dk_sched_step(s, i, in, variance, x, 1, SIZE, &rng, err))
            return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static dk_err err;
    dk_json doc = {0};
    int steps = 5;

    dk_log_init("fuzz", -1);
    dk_err_init(&err);
    if (size > 0 && data[0] >= 128) {
        steps = data[0] - 127;
        data++;
        size--;
    }
    if (dk_json_parse(&doc, (const char *)data, size, "fuzz", &err))
        return 0;
    for (int kind = -1; kind <= DK_SCHED_EULER; kind++) {
        dk_err_init(&err);
        dk_sched *s = dk_sched_new(kind, dk_json_root(&doc), &err);
        if (s) {
            json_decref(dk_sched_options(s));
            run(s, steps, &err);
        }
        dk_sched_free(s);
    }
    dk_json_free(&doc);
    return 0;
}
