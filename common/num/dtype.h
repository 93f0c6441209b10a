/* Element types of stored tensors and their conversion to f32.
 *
 * Rounding when writing narrower types is to nearest, ties to even; NaN stays NaN. f16 and e5m2
 * overflow to infinity as IEEE says; e4m3 (the "fn" kind, no infinities, max 448) saturates. */
#ifndef DK_NUM_DTYPE_H
#define DK_NUM_DTYPE_H

#include <stddef.h>
#include <stdint.h>

typedef enum dk_dtype {
    DK_F32 = 0, DK_F16, DK_BF16, DK_F64,
    DK_F8_E4M3, DK_F8_E5M2, DK_F8_E8M0, DK_F8_E4M3FNUZ, DK_F8_E5M2FNUZ,
    DK_BOOL, DK_U8, DK_I8, DK_U16, DK_I16, DK_U32, DK_I32, DK_U64, DK_I64,
    DK_C64, DK_F4, DK_F6_E2M3, DK_F6_E3M2,
    DK_DTYPE_COUNT
} dk_dtype;

const char *dk_dtype_name(dk_dtype t);       /* as safetensors spells it: "F32", "F8_E4M3" */
int dk_dtype_parse(const char *name);        /* a dk_dtype, or -1 */
int dk_dtype_bits(dk_dtype t);               /* 32, 16, 8, 4, 6 ... */
/* 1 when dk_to_f32 can read it: the floats down to 8 bits, bool and the integers. */
int dk_dtype_is_numeric(dk_dtype t);
int dk_dtype_is_float(dk_dtype t);           /* F64 F32 F16 BF16 F8_* */

float dk_f16_to_f32(uint16_t h);
uint16_t dk_f32_to_f16(float f);
float dk_bf16_to_f32(uint16_t h);
uint16_t dk_f32_to_bf16(float f);
float dk_e4m3_to_f32(uint8_t v);
uint8_t dk_f32_to_e4m3(float f);
float dk_e5m2_to_f32(uint8_t v);
uint8_t dk_f32_to_e5m2(float f);

/* n elements of type t at src (any alignment) to f32. t must be numeric. Uses F16C where the CPU
 * has it; equal to the scalar functions bit for bit. */
void dk_to_f32(dk_dtype t, const void *src, float *dst, size_t n);
/* n floats to type t; t one of F32 F16 BF16 F64 F8_E4M3 F8_E5M2. */
void dk_from_f32(dk_dtype t, const float *src, void *dst, size_t n);

#endif
