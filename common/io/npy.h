/* npy arrays (NumPy format 1.0 and 2.0), C order, little-endian numbers. */
#ifndef DK_IO_NPY_H
#define DK_IO_NPY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "io/safetensors.h"

typedef struct dk_npy {
    dk_dtype dtype; /* BOOL, I8..I64, U8..U64, F16, F32, F64 */
    int ndim;
    int64_t shape[DK_MAX_DIMS];
    int64_t count;
    void *data; /* 64-byte aligned */
    size_t bytes;
} dk_npy;

int dk_npy_load(dk_npy *a, const char *path, dk_err *err); /* Fortran order is DK_EUNSUPPORTED */
int dk_npy_parse(dk_npy *a, const void *data, size_t len, const char *name, dk_err *err);
int dk_npy_save(const char *path, dk_dtype t, int ndim, const int64_t *shape, const void *data,
                bool force, dk_err *err);
void dk_npy_free(dk_npy *a);

#endif
