/* Gauss-Legendre nodes: the roots of the Legendre polynomial P_n by Newton's method, from the
 * classical estimate cos(pi (i + 3/4) / (n + 1/2)) of the i-th. Computed rather than typed, so that
 * one formula serves every n and no digit can be mistyped. */
#include "num/quadrature.h"

#include <math.h>

/* P_n(x) and its derivative by the three-term recurrence. */
static void legendre(int n, double x, double *value, double *slope)
{
    double before = 1, now = x;

    for (int k = 2; k <= n; k++) {
        double next = ((2 * k - 1) * x * now - (k - 1) * before) / k;
        before = now;
        now = next;
    }
    *value = now;
    *slope = n * (x * now - before) / (x * x - 1);
}

void dk_gauss_legendre(int n, double *t, double *weight)
{
    const double pi = 3.14159265358979323846;

    for (int i = 0; i < (n + 1) / 2; i++) {
        double x = cos(pi * (i + 0.75) / (n + 0.5)), value, slope;
        for (int step = 0; step < 50; step++) {
            legendre(n, x, &value, &slope);
            double change = value / slope;
            x -= change;
            if (fabs(change) <= 1e-16)
                break;
        }
        if (2 * i + 1 == n)
            x = 0; /* the middle root, exactly */
        legendre(n, x, &value, &slope);
        double w = 1 / ((1 - x * x) * slope * slope);
        t[n - 1 - i] = (1 + x) / 2;
        t[i] = (1 - x) / 2;
        weight[i] = weight[n - 1 - i] = w;
    }
}
