/* png_compare A B: are two pictures the same up to 1/255 per value, with at least 99 % of the pixels
 * equal? Exit 0 or 1; prints what it found. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/png.h"

int main(int argc, char **argv)
{
    static dk_err err;
    dk_png a = {0}, b = {0};
    int worst = 0;
    size_t equal = 0, n;

    dk_err_init(&err);
    if (argc != 3 || dk_png_load(&a, argv[1], &err) || dk_png_load(&b, argv[2], &err)) {
        fprintf(stderr, "png_compare: %s\n", err.msg);
        return 2;
    }
    if (a.w != b.w || a.h != b.h) {
        fprintf(stderr, "sizes %dx%d and %dx%d\n", a.w, a.h, b.w, b.h);
        return 1;
    }
    n = (size_t)a.w * (size_t)a.h;
    for (size_t i = 0; i < n; i++) {
        equal += memcmp(a.rgb + 3 * i, b.rgb + 3 * i, 3) == 0;
        for (size_t c = 0; c < 3; c++) {
            int d = abs(a.rgb[3 * i + c] - b.rgb[3 * i + c]);
            worst = d > worst ? d : worst;
        }
    }
    printf("largest difference %d/255, %.2f %% of the pixels equal\n", worst,
           100.0 * (double)equal / (double)n);
    dk_png_free(&a);
    dk_png_free(&b);
    return worst <= 1 && equal * 100 >= n * 99 ? 0 : 1;
}
