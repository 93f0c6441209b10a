/* Embeddings that are formulas: timesteps (f32 throughout, as published) and positions (f64, stored
 * as f32). */
#ifndef DK_MODEL_EMBED_H
#define DK_MODEL_EMBED_H

#include <stdint.h>

/* out [dim]: [cos a_i .., sin a_i ..], a_i = t * exp(-ln(10000) i / (dim/2 - shift)).
 * shift 0 for PixArt, 1 for DiT. */
void dk_timestep_embedding(double t, int dim, int shift, float *out);
/* out [h*w, dim]: for token (i, j) [sc(dim/2, col), sc(dim/2, row)], col = j / (w/base) / scale, row
 * likewise; sc(n, p) = [sin(p w_k) .., cos(p w_k) ..], w_k = 10000^(-k/(n/2)). */
void dk_sincos2d(int64_t h, int64_t w, int dim, double base, double scale, float *out);

#endif
