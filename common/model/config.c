/* See config_internal.h. */
#include "model/config_internal.h"

#include <string.h>

#include "base/buf.h"
#include "base/log.h"

static bool is_known(const char *key, const char *const *known)
{
    if (key[0] == '_')
        return true;
    for (; *known; known++)
        if (strcmp(key, *known) == 0)
            return true;
    return false;
}

void dk_config_warn_unknown(dk_jnode cfg, const char *const *known)
{
    dk_buf names = {0};
    const char *key;
    json_t *value;

    json_object_foreach(cfg.v, key, value) if (!is_known(key, known))
        dk_buf_printf(&names, "%s%.64s", names.len ? ", " : "", key);
    if (names.len)
        dk_warn("%s: keys without effect are ignored: %.400s", cfg.doc, names.data);
    dk_buf_free(&names);
}

int dk_config_only_str(dk_jnode cfg, const char *key, const char *value, dk_err *err)
{
    const char *found;

    if (dk_json_str(cfg, key, value, &found, err))
        return err->code;
    if (strcmp(found, value) != 0)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: %s \"%.60s\" is not supported (only \"%s\")",
                       cfg.doc, key, found, value);
    return 0;
}

int dk_config_only_bool(dk_jnode cfg, const char *key, bool value, dk_err *err)
{
    bool found;

    if (dk_json_bool(cfg, key, value, &found, err))
        return err->code;
    if (found != value)
        return dk_fail(err, DK_EUNSUPPORTED, "%s: %s %s is not supported", cfg.doc, key,
                       found ? "true" : "false");
    return 0;
}

int dk_config_only_null(dk_jnode cfg, const char *key, dk_err *err)
{
    dk_jnode n = dk_json_key(cfg, key);

    if (!n.v || dk_json_is_null(n))
        return 0;
    dk_json_expected(n, "null", err);
    return err->code = DK_EUNSUPPORTED;
}

int dk_config_real(dk_jnode cfg, const char *key, double def, double lo, double hi, double *out,
                   dk_err *err)
{
    char what[96];

    if (dk_json_f64(cfg, key, def, out, err))
        return err->code;
    if (*out >= lo && *out <= hi)
        return 0;
    snprintf(what, sizeof what, "a number in [%g, %g]", lo, hi);
    return dk_json_expected(dk_json_key(cfg, key), what, err);
}

int dk_config_eps(dk_jnode cfg, const char *key, double def, float *out, dk_err *err)
{
    double eps;
    int rc = dk_config_real(cfg, key, def, 0, 0.999, &eps, err);

    *out = (float)eps;
    return rc;
}

int dk_config_width(dk_jnode cfg, int *heads, int *head_dim, int *dim, dk_err *err)
{
    if (dk_json_int(cfg, "num_attention_heads", 16, 1, 1024, heads, err) ||
        dk_json_int(cfg, "attention_head_dim", 72, 1, 4096, head_dim, err))
        return err->code;
    int64_t width = (int64_t)*heads * *head_dim;
    if (width > 65536 || width % 4)
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: num_attention_heads %d x attention_head_dim %d: a width of %lld is not "
                       "supported (a multiple of 4, at most 65536)",
                       cfg.doc, *heads, *head_dim, (long long)width);
    *dim = (int)width;
    return 0;
}

int dk_config_patches(dk_jnode cfg, int sample_size, int patch, dk_err *err)
{
    if (sample_size % patch == 0)
        return 0;
    return dk_fail(err, DK_EFORMAT,
                   "%s: sample_size: expected a multiple of patch_size %d, found %d", cfg.doc,
                   patch, sample_size);
}
