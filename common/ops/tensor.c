/* See tensor.h. */
#include "ops/tensor.h"

#include <assert.h>
#include <string.h>

int64_t dk_count(const dk_tensor *t)
{
    int64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= t->shape[i];
    return n;
}

dk_tensor dk_view(void *data, dk_dtype dtype, int ndim, const int64_t *shape)
{
    dk_tensor t = {.dtype = dtype, .ndim = ndim, .data = data};
    memcpy(t.shape, shape, (size_t)ndim * sizeof *shape);
    return t;
}

dk_tensor dk_view_st(const dk_st_tensor *t)
{
    return dk_view((void *)t->data, t->dtype, t->ndim, t->shape);
}

dk_tensor dk_rows(const dk_tensor *t, int64_t begin, int64_t n)
{
    dk_tensor r = *t;
    int64_t row = 1;

    assert(t->ndim > 0 && begin >= 0 && begin + n <= t->shape[0]);
    for (int i = 1; i < t->ndim; i++)
        row *= t->shape[i];
    r.shape[0] = n;
    if (t->data)
        r.data = (char *)t->data + begin * row * (dk_dtype_bits(t->dtype) / 8);
    return r;
}

dk_tensor dk_slice(const dk_tensor *t, int64_t i)
{
    dk_tensor r = dk_rows(t, i, 1);
    r.ndim--;
    memmove(r.shape, r.shape + 1, (size_t)r.ndim * sizeof *r.shape);
    return r;
}

dk_tensor dk_reshape(const dk_tensor *t, int ndim, const int64_t *shape)
{
    dk_tensor r = dk_view(t->data, t->dtype, ndim, shape);
    assert(dk_count(&r) == dk_count(t));
    return r;
}
