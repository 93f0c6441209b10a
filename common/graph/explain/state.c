/* What trained explainers keep between runs: named f64 matrices, saved as safetensors. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "graph/explain/explain.h"

void dk_explainer_state_free(dk_explainer_state *s)
{
    if (!s)
        return;
    for (int i = 0; i < s->n; i++) {
        free((char *)(uintptr_t)s->tensor[i].name);
        dk_free_aligned(s->tensor[i].value);
        dk_free_aligned(s->tensor[i].grad);
    }
    free(s->tensor);
    free(s);
}

int dk_explainer_state_save(const dk_explainer_state *s, dk_st_writer *w, dk_err *err)
{
    dk_buf names = {0};

    for (int i = 0; i < s->n && !err->code; i++) {
        const dk_param *p = &s->tensor[i];
        int64_t shape[2] = {p->rows, p->cols};
        for (int64_t j = 0; j < p->rows * p->cols && !err->code; j++)
            if (!isfinite(((const double *)p->value)[j]))
                dk_fail(err, DK_ENUMERIC, "explainer %s: tensor \"%s\" is not finite", s->x->name,
                        p->name);
        dk_st_writer_add(w, p->name, DK_F64, 2, shape, p->value);
        dk_buf_printf(&names, "%s%s", i ? "," : "", p->name);
    }
    /* The file has them by name; the explainer wants its own order. */
    dk_st_writer_meta(w, "tensors", dk_buf_str(&names));
    dk_st_writer_meta(w, "explainer", s->x->name);
    dk_buf_free(&names);
    return err->code;
}

static int load_tensor(dk_param *p, const dk_st *st, const char *name, size_t len, dk_err *err)
{
    char *own = dk_xstrndup(name, len);
    const dk_st_tensor *from = dk_st_find(st, own);

    p->name = own;
    if (!from)
        return dk_fail(err, DK_EFORMAT, "tensor \"%s\" is missing", own);
    if (from->dtype != DK_F64 || from->ndim != 2)
        return dk_fail(err, DK_EFORMAT, "tensor \"%s\": expected a matrix of F64, found %d-D %s",
                       own, from->ndim, dk_dtype_name(from->dtype));
    p->rows = from->shape[0];
    p->cols = from->shape[1];
    p->value = dk_alloc(from->bytes, own, err);
    if (!p->value)
        return err->code;
    memcpy(p->value, from->data, from->bytes);
    for (int64_t i = 0; i < from->count; i++)
        if (!isfinite(((const double *)p->value)[i]))
            return dk_fail(err, DK_EFORMAT, "tensor \"%s\": value %lld is not finite", own,
                           (long long)i);
    return 0;
}

static int load_all(dk_explainer_state *s, const dk_st *st, const char *names, dk_err *err)
{
    size_t most = dk_st_count(st);

    s->tensor = dk_xcalloc(most ? most : 1, sizeof *s->tensor);
    for (const char *at = names; *at;) {
        size_t len = strcspn(at, ",");
        if ((size_t)s->n >= most)
            return dk_fail(err, DK_EFORMAT, "the metadata name more tensors than the %zu there are",
                           most);
        if (load_tensor(&s->tensor[s->n++], st, at, len, err))
            return err->code;
        at += len + (at[len] == ',');
    }
    if ((size_t)s->n != most)
        return dk_fail(err, DK_EFORMAT, "%zu tensors, of which the metadata name %d", most, s->n);
    return 0;
}

dk_explainer_state *dk_explainer_state_load(const dk_st *st, const dk_explainer *x,
                                            const dk_gnn *model, dk_err *err)
{
    const char *made_by = dk_st_meta(st, "explainer"), *names = dk_st_meta(st, "tensors");
    dk_explainer_state *s;

    if (!made_by || strcmp(made_by, x->name) != 0 || !names) {
        dk_fail(err, DK_EFORMAT, "%s: expected a trained %s, found %s", dk_st_path(st), x->name,
                !made_by ? "no key \"explainer\" in the metadata"
                : !names ? "no key \"tensors\" in the metadata"
                         : made_by);
        return NULL;
    }
    s = dk_xcalloc(1, sizeof *s);
    s->x = x;
    if (load_all(s, st, names, err) || (x->fits && x->fits(s, model, err))) {
        dk_wrap(err, "%s", dk_st_path(st));
        dk_explainer_state_free(s);
        return NULL;
    }
    return s;
}
