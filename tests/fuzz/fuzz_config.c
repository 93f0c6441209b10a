/* Any bytes as a model's config.json: every reader must accept or refuse them. The schedulers' file has
 * a target of its own, fuzz_scheduler_config.c. */
#include "base/log.h"
#include "model/bert.h"
#include "model/dit.h"
#include "model/pixart.h"
#include "model/t5.h"
#include "model/vae.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

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
    }
    dk_json_free(&doc);
    return 0;
}
