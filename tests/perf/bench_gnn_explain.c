/* EiG-Search by incremental recomputation in growing Barabasi-Albert trees (one edge per new node,
 * 32 random features, hidden width 32, three layers, mean readout): one CSV line per size, then the
 * slope of log(mean time per edge x edges) over log(edges), 1 where an edge costs the same in every
 * tree.
 *
 *     bench_gnn_explain [--arch gcn] [--from 100] [--to 1000000] [--samples 1000] [--repeats 3] */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"
#include "base/par.h"
#include "graph/explain/eig.h"

enum { FEATURES = 32, HIDDEN = 32, LAYERS = 3, MOST_SIZES = 16 };

static struct options {
    const char *arch;
    int64_t from, to, samples, repeats;
} o = {.arch = "gcn", .from = 100, .to = 1000000, .samples = 1000, .repeats = 3};

static const dk_opt table[] = {
    DK_OPT_STR(0, "arch", &o.arch, "NAME", "architecture (default gcn)"),
    DK_OPT_INT(0, "from", &o.from, 2, 100000000, "N", "edges of the smallest tree (default 100)"),
    DK_OPT_INT(0, "to", &o.to, 2, 100000000, "N", "edges of the largest (default 1000000)"),
    DK_OPT_INT(0, "samples", &o.samples, 1, 1000000, "N", "edges timed per tree (default 1000)"),
    DK_OPT_INT(0, "repeats", &o.repeats, 1, 1000, "N", "passes, the fastest counts (default 3)"),
    DK_OPT_END};

static double uniform(uint64_t i)
{
    return (double)(dk_splitmix64(i) >> 11) * 0x1p-53;
}

static int tree(dk_graph *g, int64_t edges, dk_err *err)
{
    if (dk_gen_barabasi_albert(g, (int32_t)edges + 1, 1, 1, err))
        return err->code;
    dk_free_aligned(g->x);
    g->num_features = FEATURES;
    g->x = dk_alloc((size_t)g->n * FEATURES * sizeof *g->x, "features", err);
    for (int64_t i = 0; g->x && i < (int64_t)g->n * FEATURES; i++)
        g->x[i] = uniform((uint64_t)i);
    return err->code;
}

/* Undirected edges to be timed: all, or one at a random place of every equal part of the list. */
static int32_t *sample(const dk_graph *g, int32_t *count, dk_err *err)
{
    int64_t pairs = g->e / 2, wanted = pairs < o.samples ? pairs : o.samples, seen = 0;
    int32_t *pick = dk_alloc((size_t)wanted * sizeof *pick, "sampled edges", err);

    *count = 0;
    for (int32_t e = 0; pick && e < g->e && *count < wanted; e++) {
        int64_t first = *count * pairs / wanted;
        double shift = uniform((uint64_t)*count) * (double)(pairs / wanted);
        if (g->rev[e] > e && seen++ == first + (int64_t)shift)
            pick[(*count)++] = e;
    }
    return pick;
}

/* Seconds per masked edge, the fastest pass. */
static double per_edge(dk_eig *eig, const int32_t *pick, int32_t count, dk_err *err)
{
    double best = INFINITY, logits[2];

    for (int64_t r = 0; r < o.repeats && !err->code; r++) {
        /* A tree of few edges is gone through several times, so that the clock can tell. */
        int times = 1 + 1000 / count;
        double start = dk_now();
        for (int t = 0; t < times; t++)
            for (int32_t i = 0; i < count && !err->code; i++)
                dk_eig_masked(eig, &pick[i], 1, logits, err);
        best = fmin(best, (dk_now() - start) / ((double)times * count));
    }
    return best;
}

static int one_size(const dk_gnn *m, int64_t edges, double *seconds, dk_err *err)
{
    dk_explain_worker w = {0};
    dk_gnn_input in = {0};
    dk_graph g = {0};
    dk_eig *eig = NULL;
    int32_t *pick = NULL, count;
    struct rusage use;
    double start;

    if (tree(&g, edges, err) || !(pick = sample(&g, &count, err)))
        goto out;
    start = dk_now();
    if (dk_explain_worker_init(&w, m, err) || dk_gnn_input_graph(&in, m, &g, err) ||
        !(eig = dk_eig_new(&w, &in, &g, 0, err)))
        goto out;
    start = dk_now() - start;
    *seconds = per_edge(eig, pick, count, err);
    getrusage(RUSAGE_SELF, &use);
    printf("%s,%lld,%d,%.3f,%.2f,%ld\n", o.arch, (long long)edges, count, start, 1e6 * *seconds,
           use.ru_maxrss / 1024);
    fflush(stdout);
out:
    dk_eig_free(eig);
    dk_gnn_input_free(&in);
    dk_explain_worker_fini(&w);
    dk_free_aligned(pick);
    dk_graph_free(&g);
    return err->code;
}

/* Least squares. */
static double slope(const double *x, const double *y, int n)
{
    double mx = 0, my = 0, xy = 0, xx = 0;

    for (int i = 0; i < n; i++) {
        mx += x[i] / n;
        my += y[i] / n;
    }
    for (int i = 0; i < n; i++) {
        xy += (x[i] - mx) * (y[i] - my);
        xx += (x[i] - mx) * (x[i] - mx);
    }
    return xy / xx;
}

static int run(dk_err *err)
{
    dk_gnn_config c = {.arch = (dk_gnn_arch)dk_gnn_arch_parse(o.arch),
                       .task = DK_TASK_GRAPH,
                       .layers = LAYERS,
                       .hidden = HIDDEN,
                       .features = FEATURES,
                       .classes = 2,
                       .readout = DK_READ_MEAN,
                       .activation = DK_FN_RELU};
    dk_gnn *m = dk_gnn_new(&c, DK_F64, 1, err);
    double x[MOST_SIZES], y[MOST_SIZES], seconds = 0;
    int sizes = 0;

    if (m)
        puts("arch,edges,timed_edges,setup_seconds,us_per_edge,peak_mb");
    for (int64_t edges = o.from; m && edges <= o.to && sizes < MOST_SIZES; edges *= 10) {
        if (one_size(m, edges, &seconds, err))
            break;
        x[sizes] = log((double)edges);
        y[sizes++] = log(seconds * (double)edges);
    }
    if (sizes > 1 && !err->code)
        printf("%s slope,,,,%.3f,\n", o.arch, slope(x, y, sizes));
    dk_gnn_free(m);
    return err->code;
}

int main(int argc, char **argv)
{
    static const dk_opt_spec spec = {"bench_gnn_explain [options]",
                                     "Time per masked edge in growing trees.", table, NULL};
    dk_err err;
    int operand, rc;

    dk_par_start(argv);
    dk_err_init(&err);
    dk_log_init("bench_gnn_explain", 0);
    rc = dk_opt_parse(&spec, argc, argv, &operand, &err);
    if (rc == 1)
        return 0;
    if (rc == 0 && dk_gnn_arch_parse(o.arch) < 0)
        dk_fail(&err, DK_EUSAGE, "give a known --arch");
    dk_set_threads(1);
    if (err.code == 0)
        run(&err);
    if (err.code)
        dk_log(DK_LOG_ERROR, "%s", err.msg);
    return dk_exit_status(err.code);
}
