/* EiG-Search for many nodes of one graph (E Sec. 5): every edge is masked once, and the rows whose
 * outputs change are read off for all nodes that ask for the edge. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "graph/explain/eig_internal.h"

/* Who asks for an edge: entry j of node k's list, grouped by edge. */
typedef struct request {
    int32_t node, entry;
} request;

typedef struct nodes {
    const dk_gnn *m;
    const dk_graph *g;
    const int32_t *node; /* rows wanted */
    int64_t *ptr;        /* [e + 1] requests of every edge */
    request *requests;
    double *output; /* [n, classes] unmasked */
    double epsilon;
    double **score, **score_c;
} nodes;

/* Counting sort by edge; ptr[e + 1] serves as the place of the next request of edge e. */
static int group_requests(nodes *w, int32_t n_nodes, int32_t *const *edge_of,
                          const int32_t *n_edges, dk_err *err)
{
    int64_t total = 0;

    w->ptr = dk_alloc(((size_t)w->g->e + 2) * sizeof *w->ptr, "edges of nodes", err);
    if (!w->ptr)
        return err->code;
    memset(w->ptr, 0, ((size_t)w->g->e + 2) * sizeof *w->ptr);
    for (int32_t k = 0; k < n_nodes; k++)
        for (int32_t j = 0; j < n_edges[k]; j++) {
            if (edge_of[k][j] < 0 || edge_of[k][j] >= w->g->e)
                return dk_fail(err, DK_EUSAGE, "edge %d of a graph with %d", edge_of[k][j],
                               w->g->e);
            w->ptr[edge_of[k][j] + 2]++;
            total++;
        }
    for (int32_t e = 0; e <= w->g->e; e++)
        w->ptr[e + 1] += w->ptr[e];
    w->requests = dk_alloc((size_t)total * sizeof *w->requests, "edges of nodes", err);
    if (!w->requests)
        return err->code;
    for (int32_t k = 0; k < n_nodes; k++)
        for (int32_t j = 0; j < n_edges[k]; j++)
            w->requests[w->ptr[edge_of[k][j] + 1]++] = (request){k, j};
    return 0;
}

/* Position of row v among the ascending changed rows, or -1. */
static int32_t find_row(const int32_t *rows, int32_t n, int32_t v)
{
    int32_t low = 0, high = n;

    while (low < high) {
        int32_t mid = low + (high - low) / 2;
        if (rows[mid] < v)
            low = mid + 1;
        else
            high = mid;
    }
    return low < n && rows[low] == v ? low : -1;
}

static int score_pair(const nodes *w, dk_eig *eig, int32_t edge, double *now, dk_err *err)
{
    int32_t classes = w->m->c.classes, n_rows;
    int32_t both[2] = {edge, w->g->rev[edge]};
    double change = dk_eig_change(w->g, edge, w->epsilon);
    const int32_t *rows;
    const double *logits;

    if (dk_eig_masked_rows(eig, &edge, 1, &rows, &n_rows, &logits, err))
        return err->code;
    for (int side = 0; side < 2; side++) {
        if (both[side] < 0 || (side == 1 && both[1] == edge))
            continue;
        for (int64_t i = w->ptr[both[side]]; i < w->ptr[both[side] + 1]; i++) {
            request r = w->requests[i];
            int32_t v = w->node[r.node], at = find_row(rows, n_rows, v);
            double *of_class = w->score_c ? w->score_c[r.node] : NULL;
            if (at >= 0)
                dk_eig_output(w->m, logits + (int64_t)at * classes, now);
            w->score[r.node][r.entry] = dk_eig_node_score(
                classes, w->output + (int64_t)v * classes, at >= 0 ? now : NULL, change,
                of_class ? of_class + (int64_t)r.entry * classes : NULL);
        }
    }
    return 0;
}

static bool asked_for(const nodes *w, int32_t e)
{
    int32_t r = w->g->rev[e];

    return w->ptr[e + 1] > w->ptr[e] || (r >= 0 && w->ptr[r + 1] > w->ptr[r]);
}

/* Every thread has its own worker and scratch over the shared cache. Scores depend on the edge
 * alone, so it does not matter which thread computes them. */
static int score_all(const nodes *w, const dk_eig *shared, dk_err *err)
{
    int failed = 0;

#pragma omp parallel num_threads(dk_threads())
    {
        dk_explain_worker own = {0};
        dk_err *mine = dk_xmalloc(sizeof *mine);
        double *now = dk_xmalloc((size_t)w->m->c.classes * sizeof *now);
        dk_eig *eig = NULL;

        dk_err_init(mine);
        if (dk_explain_worker_init(&own, w->m, mine) == 0)
            eig = dk_eig_share(shared, &own, mine);
#pragma omp for schedule(dynamic, 64)
        for (int32_t e = 0; e < w->g->e; e++) {
            int stop;
#pragma omp atomic read
            stop = failed;
            bool mirrored = w->g->rev[e] >= 0 && w->g->rev[e] < e;
            if (!stop && !mine->code && !mirrored && asked_for(w, e))
                score_pair(w, eig, e, now, mine);
            if (mine->code)
#pragma omp atomic write
                failed = 1;
        }
#pragma omp critical(dk_eig_nodes)
        if (mine->code && !err->code)
            dk_fail(err, mine->code, "%s", mine->msg);
        dk_eig_free(eig);
        dk_explain_worker_fini(&own);
        free(now);
        free(mine);
    }
    return err->code;
}

int dk_eig_nodes(const dk_gnn *m, const dk_graph *g, const int32_t *node, int32_t n_nodes,
                 int32_t *const *edge_of, const int32_t *n_edges, double epsilon, double **score,
                 double **score_c, dk_err *err)
{
    nodes w = {.m = m, .g = g, .node = node, .epsilon = epsilon, .score = score, .score_c = score_c};
    int32_t classes = m->c.classes;
    dk_explain_worker worker = {0};
    dk_gnn_input in = {0};
    dk_eig *eig = NULL;

    for (int32_t k = 0; k < n_nodes; k++)
        if (node[k] < 0 || node[k] >= g->n)
            return dk_fail(err, DK_EUSAGE, "node %d of a graph with %d", node[k], g->n);
    if (m->c.task != DK_TASK_NODE)
        return dk_fail(err, DK_EUSAGE, "the model classifies graphs, not nodes");
    if (dk_explain_worker_init(&worker, m, err) || dk_gnn_input_graph(&in, m, g, err) ||
        group_requests(&w, n_nodes, edge_of, n_edges, err))
        goto out;
    eig = dk_eig_new(&worker, &in, g, epsilon, err);
    if (!eig)
        goto out;
    w.output = dk_alloc((size_t)in.n * (size_t)classes * sizeof *w.output, "outputs", err);
    if (!w.output)
        goto out;
    for (int32_t v = 0; v < in.n; v++)
        dk_eig_output(m, dk_eig_logits(eig) + (int64_t)v * classes,
                      w.output + (int64_t)v * classes);
    score_all(&w, eig, err);
out:
    dk_eig_free(eig);
    dk_gnn_input_free(&in);
    dk_explain_worker_fini(&worker);
    dk_free_aligned(w.ptr);
    dk_free_aligned(w.requests);
    dk_free_aligned(w.output);
    return err->code;
}
