/* A safetensors file as it comes: when the reader takes it, every byte of every tensor is inside
 * the file, sizes agree, and look-ups and conversions work. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tensor(const dk_st *st, const dk_st_tensor *t, const uint8_t *data, size_t size)
{
    const uint8_t *begin = t->data;
    size_t bits = (size_t)t->count * (size_t)dk_dtype_bits(t->dtype);
    char text[64];
    float f[16];

    if (begin < data || begin > data + size || t->bytes > (size_t)(data + size - begin) ||
        bits != 8 * t->bytes)
        abort();
    if (dk_st_find(st, t->name) != t)
        abort();
    dk_shape_str(t->ndim, t->shape, text, sizeof text);
    if (dk_dtype_is_numeric(t->dtype) && t->count) {
        size_t n = t->count < 16 ? (size_t)t->count : 16; /* the last ones: nearest to the end */
        dk_to_f32(t->dtype, begin + t->bytes - n * (size_t)dk_dtype_bits(t->dtype) / 8, f, n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static dk_err err;

    dk_err_init(&err);
    dk_st *st = dk_st_open_mem(data, size, "input", &err);
    if (!st) {
        if (err.code != DK_EFORMAT || err.msg[0] == '\0')
            abort();
        return 0;
    }
    for (size_t i = 0; i < dk_st_count(st); i++)
        check_tensor(st, dk_st_at(st, i), data, size);
    dk_st_find(st, "absent");
    dk_st_meta(st, "format");
    dk_st_close(st);
    return 0;
}
