/* The weights of one component of a model directory: one safetensors file, shards with an index,
 * or a variant of either.
 *
 * Search order in DIR for stem S ("diffusion_pytorch_model" or "model") and variant V:
 *   V given: S.V.safetensors, S.safetensors.index.V.json, S.V.safetensors.index.json;
 *   else: S.safetensors, S.safetensors.index.json, the only *.safetensors of the folder;
 * else an error that says what is there (.bin pickles, LFS pointers, several files, shards without
 * an index). Links (the hub's cache) are followed. Names in an index may not leave the folder. */
#ifndef DK_IO_WEIGHTS_H
#define DK_IO_WEIGHTS_H

#include "io/safetensors.h"

typedef struct dk_weights dk_weights;

/* `label` is the component's folder as messages name it ("vae"); file names in messages are
 * "vae/diffusion_pytorch_model.safetensors". variant may be NULL. */
dk_weights *dk_weights_open(const char *dir, const char *label, const char *stem,
                            const char *variant, dk_err *err);
void dk_weights_close(dk_weights *w);
const char *dk_weights_label(const dk_weights *w);
size_t dk_weights_files(const dk_weights *w);
const dk_st *dk_weights_file(const dk_weights *w, size_t i);
const dk_st_tensor *dk_weights_find(const dk_weights *w, const char *name);
/* "vae/diffusion_pytorch_model.safetensors" of the file that holds t (borrowed). */
const char *dk_weights_file_of(const dk_weights *w, const dk_st_tensor *t);
int64_t dk_weights_parameters(const dk_weights *w); /* elements of all tensors */
size_t dk_weights_bytes(const dk_weights *w);       /* bytes of all tensors */

/* Strict binding of a model's tensors to the file's. Every dk_bind_get() asks for one tensor with
 * its exact shape; what is missing or has another shape is collected, and dk_bind_end() reports all
 * of it at once (DK_EFORMAT), or warns once about tensors of the file that nobody asked for
 * (unless allowed by dk_bind_ignore). */
typedef struct dk_bind dk_bind;
dk_bind *dk_bind_new(const dk_weights *w);
/* Returns the tensor of this name, or NULL (noted as missing or of wrong shape). */
const dk_st_tensor *dk_bind_get(dk_bind *b, int ndim, const int64_t *shape, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Is there such a tensor? Does not count as asked for. */
bool dk_bind_has(const dk_bind *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Tensors whose name starts with `prefix` are known and unused: no warning. */
void dk_bind_ignore(dk_bind *b, const char *prefix);
/* Lists for `inspect`: number of missing / misshaped / extra names, and the names. */
size_t dk_bind_missing(const dk_bind *b);
const char *dk_bind_missing_at(const dk_bind *b, size_t i);
size_t dk_bind_extra(const dk_bind *b);
const char *dk_bind_extra_at(const dk_bind *b, size_t i);
/* 0, or DK_EFORMAT with every missing tensor and every wrong shape; warns about extras. */
int dk_bind_end(dk_bind *b, dk_err *err);
void dk_bind_free(dk_bind *b);

#endif
