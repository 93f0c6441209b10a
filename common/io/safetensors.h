/* safetensors files, read through a mapping and written atomically.
 *
 * Format: u64 LE header length N, N bytes of JSON {name: {dtype, shape, data_offsets}}, data.
 * The reader checks everything before a pointer is handed out: N <= 100,000,000 and inside the
 * file; JSON valid, names unique; dtypes known; at most 8 dimensions; product(shape) * bits / 8 ==
 * end - begin without overflow; ranges contiguous from 0 to the end of the data, no hole or
 * overlap. A git-LFS pointer in place of the file is recognised and named. Foreign headers may be
 * unpadded, so no tensor can be assumed to be aligned. */
#ifndef DK_IO_SAFETENSORS_H
#define DK_IO_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "num/dtype.h"

#define DK_MAX_DIMS 8

typedef struct dk_st_tensor {
    const char *name;
    dk_dtype dtype;
    int ndim;
    int64_t shape[DK_MAX_DIMS];
    const void *data; /* in the mapping, any alignment; NULL if opened for the header only */
    size_t bytes;
    int64_t count; /* product of shape */
} dk_st_tensor;

typedef struct dk_st dk_st;

dk_st *dk_st_open(const char *path, dk_err *err);
/* The same over memory that outlives the result (fuzzing, pipes); `name` is for messages. */
dk_st *dk_st_open_mem(const void *data, size_t len, const char *name, dk_err *err);
void dk_st_close(dk_st *st);
const char *dk_st_path(const dk_st *st);
size_t dk_st_count(const dk_st *st);
const dk_st_tensor *dk_st_at(const dk_st *st, size_t i); /* in order of data */
const dk_st_tensor *dk_st_find(const dk_st *st, const char *name); /* NULL if absent */
const char *dk_st_meta(const dk_st *st, const char *key); /* __metadata__; NULL if absent */
const void *dk_st_bytes(const dk_st *st, size_t *len);             /* the whole file, for hashing */
void dk_st_dontneed(const dk_st *st);

/* Shape as "[4, 8]" into buf. */
const char *dk_shape_str(int ndim, const int64_t *shape, char *buf, size_t size);

/* Writer: declare everything, then give the data tensor by tensor in any order of declaration.
 * Tensors are laid out by decreasing element size, then by name; the data starts at a multiple of
 * 64 bytes. Metadata keys are written sorted. */
typedef struct dk_st_writer dk_st_writer;
dk_st_writer *dk_st_writer_new(void);
void dk_st_writer_meta(dk_st_writer *w, const char *key, const char *value);
/* `data` is borrowed until dk_st_writer_save/_write. Names must be unique (else save fails). */
void dk_st_writer_add(dk_st_writer *w, const char *name, dk_dtype t, int ndim, const int64_t *shape,
                      const void *data);
/* As add, with a private copy of the data (a tensor that is about to be overwritten). */
int dk_st_writer_add_copy(dk_st_writer *w, const char *name, dk_dtype t, int ndim,
                          const int64_t *shape, const void *data, dk_err *err);
int dk_st_writer_save(dk_st_writer *w, const char *path, bool force, dk_err *err);
int dk_st_writer_write(dk_st_writer *w, FILE *f, dk_err *err); /* to an open stream */
void dk_st_writer_free(dk_st_writer *w);

#endif
