/* A tensor: type, shape and a pointer. Contiguous, row-major (last index fastest), and it never
 * owns its data: an arena, a mapping or the caller does. Activations are f32 tensors of the
 * context's arena; weights are views of a mapping in whatever dtype the file has. */
#ifndef DK_OPS_TENSOR_H
#define DK_OPS_TENSOR_H

#include <stdint.h>

#include "io/safetensors.h"
#include "num/dtype.h"

typedef struct dk_tensor {
    dk_dtype dtype;
    int ndim;
    int64_t shape[DK_MAX_DIMS];
    void *data;
} dk_tensor;

int64_t dk_count(const dk_tensor *t); /* product of the shape */
/* Wraps memory: dk_view(p, DK_F32, 3, (int64_t[]){B, T, D}). */
dk_tensor dk_view(void *data, dk_dtype dtype, int ndim, const int64_t *shape);
dk_tensor dk_view_st(const dk_st_tensor *t);
/* Sub-tensor i of the first dimension (ndim - 1 dimensions). */
dk_tensor dk_slice(const dk_tensor *t, int64_t i);
/* Rows [begin, begin + n) of the first dimension. */
dk_tensor dk_rows(const dk_tensor *t, int64_t begin, int64_t n);
/* The same data under another shape of equal count (asserted). */
dk_tensor dk_reshape(const dk_tensor *t, int ndim, const int64_t *shape);
static inline float *dk_f32(const dk_tensor *t) { return (float *)t->data; }

/* dk_shape(2, 4, 8) in calls that take (ndim, const int64_t *). */
#define DK_SHAPE(...) \
    (int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (int64_t[]) { __VA_ARGS__ }

#endif
