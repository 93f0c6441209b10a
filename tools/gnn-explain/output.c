/* What several actions write: provenance, numbers in JSON. */
#include <math.h>
#include <string.h>

#include "base/fs.h"
#include "base/version.h"
#include "gx.h"

static void put_str(json_t *o, const char *key, const char *v)
{
    json_t *s = json_string(v);
    json_object_set_new(o, key, s ? s : json_string("")); /* a path need not be UTF-8 */
}

json_t *gx_num(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

json_t *gx_provenance(const gx_job *j, const char *action)
{
    json_t *o = json_object();

    put_str(o, "tool", "gnn-explain");
    put_str(o, "version", DK_VERSION);
    put_str(o, "action", action);
    if (j->model) {
        put_str(o, "model", dk_basename(j->o->model));
        put_str(o, "model_hash", j->model->hash);
    }
    put_str(o, "data", j->data.name);
    put_str(o, "data_hash", j->data.hash);
    return o;
}

json_t *gx_select_json(const gx_options *o, const char *size_rule)
{
    json_t *p = json_object();

    if (o->select.topk > 0)
        json_object_set_new(p, "topk", json_integer(o->select.topk));
    else
        json_object_set_new(p, "sparsity", json_real(o->select.sparsity));
    json_object_set_new(p, "search", json_integer(o->search));
    json_object_set_new(p, "even", json_integer(o->even));
    json_object_set_new(p, "ties", json_string(o->ties));
    json_object_set_new(p, "induce", json_string(o->induce));
    json_object_set_new(p, "size_rule", json_string(o->size_rule ? o->size_rule : size_rule));
    return p;
}

int gx_write_json(json_t *o, const char *path, bool force, dk_err *err)
{
    dk_buf b = {0};
    dk_out *out = NULL;

    dk_json_dump(&b, o, true);
    json_decref(o);
    dk_buf_putc(&b, '\n');
    if (strcmp(path, "-") == 0) {
        if (fwrite(b.data, 1, b.len, stdout) != b.len)
            dk_fail_errno(err, "standard output");
    } else if ((out = dk_out_begin(path, force, err)) != NULL) {
        fwrite(b.data, 1, b.len, dk_out_file(out));
        dk_out_commit(out, err);
    }
    dk_buf_free(&b);
    return err->code;
}
