/* One text, two types. A file that is written over REAL is included twice, with DK_REAL 32 and 64:
 *
 *     REAL       float or double
 *     N(name)    name_f32 or name_f64
 *     M(exp)     the function of math.h for the type: expf or exp
 *
 * Included again at each turn, hence no include guard. */
#undef REAL
#undef N
#undef M
#if DK_REAL == 64
#define REAL    double
#define N(name) name##_f64
#define M(name) name
#else
#define REAL    float
#define N(name) name##_f32
#define M(name) name##f
#endif
