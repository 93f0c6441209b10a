/* Explaining all items of a job: blocks of items in parallel, results in order. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sig.h"
#include "graph/explain/eig.h"
#include "gx.h"

/* Items in memory at a time; their results are written in order before the next block. */
enum { BLOCK = 512 };

void gx_result_free(gx_result *r)
{
    dk_selection_free(&r->sel);
    dk_instance_free(&r->inst);
    dk_graph_free(&r->sub);
    free(r->node_of);
    free(r->edge_of);
    dk_free_aligned(r->ex.score);
    dk_free_aligned(r->ex.score_c);
    dk_free_aligned(r->ex.prob_drop);
    dk_free_aligned(r->ex.node_score);
    dk_free_aligned(r->ex.loop_score);
    memset(r, 0, sizeof *r);
}

/* The graph of an item: the data set's, or the node's L-hop subgraph. */
static int open_graph(gx_job *j, gx_result *r, int32_t *node, int32_t *seen, dk_err *err)
{
    *node = -1;
    r->g = &j->data.graphs[gx_node_task(j) ? 0 : r->item];
    if (!gx_node_task(j))
        return 0;
    if (dk_graph_khop(r->g, (int32_t)r->item, j->model->c.layers, seen, &r->sub, node, &r->node_of,
                      &r->edge_of, err))
        return err->code;
    r->g = &r->sub;
    return 0;
}

static int zeros(double **p, size_t n, bool want, dk_err *err)
{
    if (!want)
        return 0;
    *p = dk_alloc(n * sizeof **p, "scores", err);
    if (!*p)
        return err->code;
    memset(*p, 0, n * sizeof **p);
    return 0;
}

static int alloc_scores(gx_result *r, const gx_job *j, const gx_method *m, unsigned want, dk_err *err)
{
    size_t e = (size_t)r->g->e, n = (size_t)r->g->n;

    if (zeros(&r->ex.score, e, true, err) ||
        zeros(&r->ex.score_c, e * (size_t)j->model->c.classes,
              (want & GX_WANT_CLASSES) && m->x && m->x->every_class, err) ||
        zeros(&r->ex.prob_drop, e, (want & GX_WANT_PROB) && m->x == &dk_explainer_eig, err) ||
        zeros(&r->ex.node_score, n, (want & GX_WANT_NODES) && m->x && m->x->node_scored, err) ||
        zeros(&r->ex.loop_score, n, m->x == &dk_explainer_goat && j->o->params.selfloop_variable, err))
        return err->code;
    return 0;
}

typedef struct block {
    gx_job *j;
    const gx_method *m;
    const dk_select_options *sel;
    unsigned want;
    gx_work *work;
    void *ctx;
    gx_result *r;
    int n;
    bool scored; /* ranking was done for the whole block at once */
} block;

/* Opens item i of the block: graph, instance, room for scores. */
static int open_item(block *b, int i, dk_explain_worker *w, int32_t *seen, dk_err *err)
{
    gx_job *j = b->j;
    gx_result *r = &b->r[i];
    int32_t node;

    if (open_graph(j, r, &node, seen, err) ||
        dk_instance_init(&r->inst, w, r->g, node, r->item, gx_target_of(j, r->item), err))
        return err->code;
    r->inst.label = gx_label_of(j, r->item);
    if (gx_node_task(j))
        r->inst.edges_whole = j->data.graphs[0].e;
    return alloc_scores(r, j, b->m, b->want, err);
}

/* Scores of a file in place of an explainer's. */
static int given_scores(const block *b, gx_result *r, dk_err *err)
{
    const dk_scores *s = b->m->given;
    int64_t *id = NULL;
    int64_t k = dk_scores_item(s, gx_public_id(b->j, r->item));

    if (k < 0)
        return dk_fail(err, DK_EFORMAT, "%s has no rows of it", s->name);
    if (gx_node_task(b->j)) {
        id = dk_xmalloc(((size_t)r->g->n + 1) * sizeof *id);
        for (int32_t v = 0; v < r->g->n; v++)
            id[v] = gx_public_id(b->j, r->node_of[v]);
    }
    uint8_t *present = dk_xmalloc((size_t)r->g->e + 1);
    dk_scores_on_graph(s, k, r->g, id, r->ex.score, present, NULL, NULL, err);
    free(present);
    free(id);
    return err->code;
}

static int score_item(block *b, gx_result *r, dk_explain_worker *w, dk_err *err)
{
    if (b->scored)
        return 0;
    if (b->m->given)
        return given_scores(b, r, err);
    return dk_explain(b->m->x, w, b->m->state, &r->inst, &b->j->o->params, &r->ex, err);
}

static int finish_item(block *b, int i, dk_explain_worker *w, dk_err *err)
{
    gx_result *r = &b->r[i];
    double start = dk_now();

    if (score_item(b, r, w, err))
        return err->code;
    if ((b->want & GX_WANT_SELECT) &&
        dk_select(&r->sel, w, &r->inst, r->ex.score, r->ex.node_score, b->sel, err))
        return err->code;
    r->seconds += dk_now() - start;
    return b->work ? b->work(b->ctx, b->j, w, r, err) : 0;
}

typedef int item_fn(block *b, int i, dk_explain_worker *w, int32_t *seen, dk_err *err);

static int whole_item(block *b, int i, dk_explain_worker *w, int32_t *seen, dk_err *err)
{
    return open_item(b, i, w, seen, err) || finish_item(b, i, w, err) ? err->code : 0;
}

static int open_only(block *b, int i, dk_explain_worker *w, int32_t *seen, dk_err *err)
{
    return open_item(b, i, w, seen, err);
}

static int finish_only(block *b, int i, dk_explain_worker *w, int32_t *seen, dk_err *err)
{
    (void)seen;
    return finish_item(b, i, w, err);
}

/* Runs fn for every item of the block; the error kept is that of the first item that failed. */
static int for_items(block *b, item_fn *fn, dk_err *err)
{
    int failed = b->n;

#pragma omp parallel
    {
        dk_err *mine = dk_xmalloc(sizeof *mine);
        dk_explain_worker w;
        int32_t *seen = NULL;
        dk_err_init(mine);
        bool ready = dk_explain_worker_init(&w, b->j->model, mine) == 0;
        if (ready && gx_node_task(b->j))
            ready = (seen = dk_graph_scratch(&b->j->data.graphs[0], mine)) != NULL;
#pragma omp for schedule(dynamic, 1)
        for (int i = 0; i < b->n; i++) {
            int stop;
#pragma omp atomic read
            stop = failed;
            if (i > stop)
                continue;
            if (ready && !mine->code && dk_check_cancel(mine) == 0 && fn(b, i, &w, seen, mine))
                gx_wrap_item(b->j, b->r[i].item, mine);
            if (mine->code) {
#pragma omp critical(gx_for_items)
                if (i < failed) {
                    failed = i;
                    *err = *mine;
                }
            }
        }
        free(seen);
        dk_explain_worker_fini(&w);
        free(mine);
    }
    return err->code;
}

/* Eig on nodes: one pass over the edges serves all nodes of the block, unless their subgraphs are a
 * small part of the graph. */
static bool one_pass_pays(const block *b)
{
    int64_t edges = 0;

    for (int i = 0; i < b->n; i++)
        edges += b->r[i].g->e;
    return edges > b->j->data.graphs[0].e / 2;
}

static int eig_pass(block *b, dk_err *err)
{
    int32_t *node = dk_xmalloc((size_t)b->n * sizeof *node);
    int32_t *edges = dk_xmalloc((size_t)b->n * sizeof *edges);
    int32_t **edge_of = dk_xmalloc((size_t)b->n * sizeof *edge_of);
    double **score = dk_xmalloc((size_t)b->n * sizeof *score);
    double **score_c = dk_xmalloc((size_t)b->n * sizeof *score_c);
    double start = dk_now();

    for (int i = 0; i < b->n; i++) {
        node[i] = (int32_t)b->r[i].item;
        edges[i] = b->r[i].g->e;
        edge_of[i] = b->r[i].edge_of;
        score[i] = b->r[i].ex.score;
        score_c[i] = b->r[i].ex.score_c;
    }
    int rc = dk_eig_nodes(b->j->model, &b->j->data.graphs[0], node, b->n, edge_of, edges,
                          b->j->o->params.epsilon, score, score_c, err);
    for (int i = 0; i < b->n && !rc; i++) {
        b->r[i].seconds = (dk_now() - start) / b->n;
        for (int32_t e = 0; e < edges[i] && !rc; e++)
            if (!isfinite(score[i][e]))
                rc = dk_fail(err, DK_ENUMERIC, "eig: score of edge %d is %g", e, score[i][e]);
        if (rc)
            gx_wrap_item(b->j, b->r[i].item, err);
    }
    free(node);
    free(edges);
    free(edge_of);
    free(score);
    free(score_c);
    return rc;
}

static int run_block(block *b, dk_err *err)
{
    /* The pass knows neither degrees that change nor probabilities. */
    bool try_pass = b->m->x == &dk_explainer_eig && gx_node_task(b->j) &&
                    b->j->o->params.mask_mode == DK_MASK_MESSAGE && !(b->want & GX_WANT_PROB);

    b->scored = false;
    if (!try_pass)
        return for_items(b, whole_item, err);
    if (for_items(b, open_only, err))
        return err->code;
    if (one_pass_pays(b)) {
        if (eig_pass(b, err))
            return err->code;
        b->scored = true;
    }
    return for_items(b, finish_only, err);
}

int gx_run_with(gx_job *j, const gx_method *m, const dk_select_options *sel, unsigned want,
                const char *label, gx_work *work, gx_done *done, void *ctx, dk_err *err)
{
    block b = {.j = j, .m = m, .sel = sel, .want = want, .work = work, .ctx = ctx};
    dk_progress *p = dk_progress_begin(label, (long)j->n);

    b.r = dk_xcalloc(BLOCK, sizeof *b.r);
    for (int64_t at = 0; at < j->n && !err->code; at += BLOCK) {
        b.n = (int)(j->n - at < BLOCK ? j->n - at : BLOCK);
        for (int i = 0; i < b.n; i++) {
            b.r[i].k = at + i;
            b.r[i].item = j->item[at + i];
        }
        run_block(&b, err);
        for (int i = 0; i < b.n; i++) {
            if (!err->code && done)
                done(ctx, j, &b.r[i], err);
            gx_result_free(&b.r[i]);
        }
        dk_progress_step(p, (long)(at + b.n));
    }
    free(b.r);
    dk_progress_end(p);
    return err->code;
}

int gx_run(gx_job *j, const gx_method *m, const dk_select_options *sel, unsigned want,
           const char *label, gx_done *done, void *ctx, dk_err *err)
{
    return gx_run_with(j, m, sel, want, label, NULL, done, ctx, err);
}
