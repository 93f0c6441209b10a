/* Gauss-Legendre quadrature on [0, 1], for any number of nodes. */
#ifndef DK_NUM_QUADRATURE_H
#define DK_NUM_QUADRATURE_H

/* Fills t[n] (ascending) and weight[n] (sum 1): exact for polynomials of degree 2n - 1. n >= 1. */
void dk_gauss_legendre(int n, double *t, double *weight);

#endif
