/* Resolution bins: PixArt was trained on a fixed list of sizes per model, about equal in area. A
 * request is painted at the size whose aspect ratio is nearest and scaled back afterwards. */
#include <math.h>
#include <stdlib.h>

#include "sample.h"

/* Key (the ratio height / width as the published table rounds it), height, width for the 1024-pixel
 * models; the 512 and 256 models use halves and quarters, the 2048 model doubles and seven more. */
typedef struct bin {
    double ratio;
    int h, w;
    int scale; /* 1: a row of the 1024 table; 2: only in the 2048 table, at full size */
} bin;

static const bin bins[] = {
    {0.25, 512, 2048, 1},  {0.26, 1024, 3968, 2}, {0.27, 1024, 3840, 2}, {0.28, 512, 1856, 1},
    {0.32, 576, 1792, 1},  {0.33, 576, 1728, 1},  {0.35, 576, 1664, 1},  {0.40, 640, 1600, 1},
    {0.42, 640, 1536, 1},  {0.48, 704, 1472, 1},  {0.50, 704, 1408, 1},  {0.52, 704, 1344, 1},
    {0.57, 768, 1344, 1},  {0.60, 768, 1280, 1},  {0.68, 832, 1216, 1},  {0.72, 832, 1152, 1},
    {0.78, 896, 1152, 1},  {0.82, 896, 1088, 1},  {0.88, 960, 1088, 1},  {0.94, 960, 1024, 1},
    {1.00, 1024, 1024, 1}, {1.07, 1024, 960, 1},  {1.13, 1088, 960, 1},  {1.21, 1088, 896, 1},
    {1.29, 1152, 896, 1},  {1.38, 1152, 832, 1},  {1.46, 1216, 832, 1},  {1.67, 1280, 768, 1},
    {1.75, 1344, 768, 1},  {2.00, 1408, 704, 1},  {2.09, 1472, 704, 1},  {2.40, 1536, 640, 1},
    {2.50, 1600, 640, 1},  {2.89, 3328, 1152, 2}, {3.00, 1728, 576, 1},  {3.11, 3584, 1152, 2},
    {3.62, 3712, 1024, 2}, {3.75, 3840, 1024, 2}, {3.88, 3968, 1024, 2}, {4.00, 2048, 512, 1},
};

/* The first bin whose key is nearest to height / width. sample_size is in latent pixels. */
void ds_bin(int sample_size, int *w, int *h)
{
    double want = (double)*h / *w, best = INFINITY;
    const bin *chosen = NULL;

    if (sample_size != 32 && sample_size != 64 && sample_size != 128 && sample_size != 256)
        return;
    for (size_t i = 0; i < sizeof bins / sizeof bins[0]; i++) {
        double d = fabs(bins[i].ratio - want);
        if ((bins[i].scale == 2 && sample_size != 256) || d >= best)
            continue;
        best = d;
        chosen = &bins[i];
    }
    /* sample_size 128 means 1024 pixels. */
    *h = chosen->scale == 2 ? chosen->h : chosen->h * sample_size / 128;
    *w = chosen->scale == 2 ? chosen->w : chosen->w * sample_size / 128;
}
