/* The parameters of a model: one list, written once by the model's constructor, from which come
 * the strict check of the file, the preparation for a backend, the release, and the counts that
 * `inspect` and `--dry-run` print.
 *
 *     dk_params *p = dk_params_new(weights);
 *     dk_t5 *m = dk_t5_new(&config, p);        registers every tensor with its shape
 *     if (dk_params_load(p, ops, err)) ...     checks names and shapes, then fills the slots
 *
 * Slots are pointers inside the model; they are filled by dk_params_load and stay valid until
 * dk_params_free. Free the params first (they release what hangs on the slots), then the model, then the
 * weights. */
#ifndef DK_OPS_PARAMS_H
#define DK_OPS_PARAMS_H

#include "io/weights.h"
#include "ops/ops.h"

typedef struct dk_params dk_params;

dk_params *dk_params_new(const dk_weights *w);
void dk_params_free(dk_params *p); /* releases prepared weights; accepts NULL */
dk_bind *dk_params_bind(dk_params *p); /* for dk_bind_has, dk_bind_ignore and the lists */

/* Registration. `fmt` gives the tensor's name without ".weight" / ".bias". */
/* W [out, in] as `fmt`.weight and, if bias, [out] as `fmt`.bias. W may also be stored as
 * [out, in, 1, 1] (1x1 convolutions of old VAEs). */
void dk_params_linear(dk_params *p, dk_linear *slot, int64_t out, int64_t in, bool bias,
                      const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* A convolution p x p of stride p as a linear layer over patches: W stored [out, cin, p, p]. */
void dk_params_patch(dk_params *p, dk_linear *slot, int64_t out, int64_t cin, int patch,
                     const char *fmt, ...) __attribute__((format(printf, 6, 7)));
/* W [cout, cin, k, k] and bias [cout]. */
void dk_params_conv(dk_params *p, dk_conv *slot, int64_t cout, int64_t cin, int k, int stride,
                    int pad_begin, int pad_end, const char *fmt, ...)
    __attribute__((format(printf, 9, 10)));
/* A small tensor as f32 (norm weights, tables); full name. */
void dk_params_f32(dk_params *p, float **slot, int ndim, const int64_t *shape, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
/* A large table used row by row, left in its stored dtype; full name. */
void dk_params_table(dk_params *p, dk_tensor *slot, int64_t rows, int64_t cols, const char *fmt,
                     ...) __attribute__((format(printf, 5, 6)));

/* Checks everything (dk_bind_end) and prepares the slots for `ops`. */
int dk_params_load(dk_params *p, const dk_ops *ops, dk_err *err);
int64_t dk_params_count(const dk_params *p); /* parameters registered */
size_t dk_params_bytes(const dk_params *p);  /* their bytes as stored (0 for missing ones) */

#endif
