/* Occlusion (the variant of GraphFramEx): by how much the probability of the class falls when one
 * directed edge is removed by itself; the average of both directions is taken by the caller. With
 * both directions removed at once and log-probabilities this would be eig. */
#include <stdlib.h>

#include "base/mem.h"
#include "base/sig.h"
#include "graph/explain/eig_internal.h"

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    const dk_graph *g = inst->g;
    int32_t classes = w->model->c.classes, y = inst->target;
    double before = dk_probability(inst->logits, classes, y);
    double *masked = dk_xmalloc((size_t)classes * sizeof *masked);
    dk_eig *eig = dk_eig_new(w, &inst->in, g, 0, err);
    bool changed;

    (void)state;
    if (eig)
        dk_eig_mask_mode(eig, p->mask_mode);
    for (int32_t e = 0; eig && e < g->e; e++) {
        if (dk_check_cancel(err) ||
            (inst->node < 0
                 ? dk_eig_masked_directed(eig, &e, 1, masked, err)
                 : dk_eig_masked_row(eig, &e, 1, true, inst->node, masked, &changed, err)))
            break;
        out->score[e] = before - dk_probability(masked, classes, y);
    }
    dk_eig_free(eig);
    free(masked);
    return err->code;
}

const dk_explainer dk_explainer_occlusion = {
    .name = "occlusion",
    .title = "occlusion (probability drop)",
    .explain = explain,
};
