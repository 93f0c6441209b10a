/* Grad-CAM (Pope et al. 2019): H is the output of the last convolution, before its activation (gin:
 * after the batch norm);
 *
 *     a_k = mean_v d z / d H_vk,   cam_v = relu(sum_k a_k H_vk),
 *
 * brought to [0, 1] by minimum and maximum (all 0 if the maximum is 0 or all are equal); an edge
 * scores the mean of its ends. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/explain/explain_internal.h"

static void to_unit_interval(double *x, int32_t n)
{
    double low = INFINITY, high = -INFINITY;

    for (int32_t v = 0; v < n; v++) {
        low = fmin(low, x[v]);
        high = fmax(high, x[v]);
    }
    for (int32_t v = 0; v < n; v++)
        x[v] = high > low ? (x[v] - low) / (high - low) : 0;
}

static void cam_of(const double *h, const double *d, int32_t rows, int64_t cols, double *a,
                   int32_t n, double *cam)
{
    memset(a, 0, (size_t)cols * sizeof *a);
    for (int32_t v = 0; v < rows; v++)
        for (int64_t k = 0; k < cols; k++)
            a[k] += d[v * cols + k] / rows;
    for (int32_t v = 0; v < n; v++) {
        double sum = 0;
        for (int64_t k = 0; k < cols; k++)
            sum += a[k] * h[v * cols + k];
        cam[v] = sum > 0 ? sum : 0;
    }
}

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    dk_sensitivity s;
    int32_t n = inst->g->n;

    (void)state;
    if (dk_differentiate(w, inst, p, NULL, &s, err))
        return err->code;
    dk_var last = s.trace.conv[w->model->c.layers - 1];
    int64_t cols = dk_var_cols(w->tape, last);
    double *cam = dk_alloc(((size_t)n + (size_t)cols) * sizeof *cam, "node scores", err);
    if (!cam)
        return err->code;
    const double *d = dk_grad64(w->tape, last);
    cam_of(dk_value64(w->tape, last), d, inst->in.n, cols, cam + n, n, cam);
    to_unit_interval(cam, n);
    dk_nodes_to_explanation(inst->g, cam, out);
    dk_free_aligned(cam);
    return 0;
}

const dk_explainer dk_explainer_gradcam = {
    .name = "gradcam",
    .title = "Grad-CAM",
    .node_scored = true,
    .explain = explain,
};
