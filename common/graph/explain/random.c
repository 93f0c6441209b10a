/* A random order: uniform per undirected edge, from a hash of (seed, instance, pair of nodes), so
 * that it depends neither on the order of edges nor on what was explained before. */
#include "base/hash.h"
#include "graph/explain/explain_internal.h"

static int explain(dk_explain_worker *w, const dk_explainer_state *state, const dk_instance *inst,
                   const dk_explain_params *p, dk_explanation *out, dk_err *err)
{
    const dk_graph *g = inst->g;
    uint64_t seed = dk_explain_seed(p, "random", inst->id);

    (void)w;
    (void)state;
    (void)err;
    for (int32_t e = 0; e < g->e; e++) {
        uint64_t a = (uint64_t)(g->src[e] < g->dst[e] ? g->src[e] : g->dst[e]);
        uint64_t b = (uint64_t)(g->src[e] < g->dst[e] ? g->dst[e] : g->src[e]);
        uint64_t h = dk_splitmix64(seed ^ dk_splitmix64(a << 32 | b));
        out->score[e] = (double)(h >> 11) * 0x1p-53;
    }
    return 0;
}

const dk_explainer dk_explainer_random = {
    .name = "random",
    .title = "random order",
    .random = true,
    .explain = explain,
};
