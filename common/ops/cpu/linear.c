/* Linear layers: y = act(x W^T + b).
 *
 * One piece = (at most 256 rows of one image) x (128 outputs): one matrix product, then bias and
 * activation while the result is in the cache. W is used where it lies if it is aligned f32;
 * otherwise the 128 rows of a panel are converted into the thread's scratch, once for all pieces
 * that a task makes of them. Nothing is prepared: a layer costs no memory beyond its file. */
#include "ops/cpu/cpu.h"

enum { ROWS = 256, PANEL = 128 };

/* Below this many multiply-adds a second thread costs more than it brings. */
#define SMALL_WORK 30000

typedef struct job {
    const dk_linear *l;
    const float *x;
    float *y;
    dk_act act;
    int64_t rows, chunk, chunks_per_image, chunks;
    bool direct; /* W is aligned f32 */
} job;

/* The f32 weights of outputs [first, first + n). */
static const float *panel_weights(const job *j, int64_t first, int64_t n, float *scratch)
{
    const dk_linear *l = j->l;
    if (j->direct)
        return dk_f32(&l->w) + first * l->in;
    size_t offset = (size_t)(first * l->in) * (size_t)(dk_dtype_bits(l->w.dtype) / 8);
    dk_to_f32(l->w.dtype, (const char *)l->w.data + offset, scratch, (size_t)(n * l->in));
    return scratch;
}

/* Chunks [begin, end) of panel `panel`; returns oneDNN's status. */
static int run_panel(const job *j, int64_t panel, int64_t begin, int64_t end, float *scratch)
{
    const dk_linear *l = j->l;
    int64_t first = panel * PANEL;
    int64_t n = l->out - first < PANEL ? l->out - first : PANEL;
    const float *w = panel_weights(j, first, n, scratch);
    for (int64_t chunk = begin; chunk < end; chunk++) {
        int64_t image = chunk / j->chunks_per_image;
        int64_t r = (chunk % j->chunks_per_image) * j->chunk;
        int64_t m = j->rows - r < j->chunk ? j->rows - r : j->chunk;
        int64_t row = image * j->rows + r;
        float *y = j->y + row * l->out + first;
        int status = dk_cpu_gemm('T', m, n, l->in, 1.0f, j->x + row * l->in, l->in, w, l->in, 0.0f,
                                 y, l->out);
        if (status)
            return status;
        dk_cpu_bias_act(y, m, n, l->out, l->bias ? l->bias + first : NULL, j->act);
    }
    return 0;
}

int dk_cpu_linear(const dk_linear *l, const dk_tensor *x, dk_tensor *y, dk_act act, dk_err *err)
{
    int64_t total = dk_count(x) / l->in;
    if (total == 0)
        return 0;
    int64_t images = x->ndim == 3 ? x->shape[0] : 1;
    job j = {l, dk_f32(x), dk_f32(y), act, total / images, 0, 0, 0, false};
    j.chunk = dk_cpu_piece(j.rows, ROWS);
    j.chunks_per_image = dk_cpu_pieces(j.rows, j.chunk);
    j.chunks = images * j.chunks_per_image;
    j.direct = l->w.dtype == DK_F32 && (uintptr_t)l->w.data % sizeof(float) == 0;

    /* Tasks: panels, and if those are few, also groups of chunks. */
    int threads = dk_threads();
    int64_t panels = dk_cpu_pieces(l->out, PANEL);
    int64_t groups = panels >= 4 * threads ? 1 : dk_cpu_pieces(4 * threads, panels);
    if (groups > j.chunks)
        groups = j.chunks;
    dk_cpu_scratch scratch;
    int64_t floats = j.direct ? 0 : l->in * (l->out < PANEL ? l->out : PANEL);
    int rc = dk_cpu_scratch_new(&scratch, threads, floats, "the weights of a linear layer", err);
    if (rc)
        return rc;
    int failed = 0;
#pragma omp parallel num_threads(threads) if (total * l->in * l->out > SMALL_WORK)
    {
        dk_cpu_enter();
        float *mine = dk_cpu_scratch_mine(&scratch);
#pragma omp for schedule(dynamic)
        for (int64_t task = 0; task < panels * groups; task++) {
            int64_t g = task % groups;
            int status = run_panel(&j, task / groups, g * j.chunks / groups,
                                   (g + 1) * j.chunks / groups, mine);
            if (status) {
#pragma omp atomic write
                failed = status;
            }
        }
    }
    dk_cpu_scratch_free(&scratch);
    char xs[160], ys[160];
    if (failed)
        return dk_fail(err, DK_EBACKEND, "linear \"%s\" %s -> %s: oneDNN sgemm failed (status %d)",
                       l->name ? l->name : "?", dk_shape_text(x, xs), dk_shape_text(y, ys), failed);
    return 0;
}
