/* What the programs that test the GNN engine share: models and data sets of tests/data, graphs
 * from JSON, a model run on a tape of its own. */
#ifndef TESTS_UNIT_GNN_AID_H
#define TESTS_UNIT_GNN_AID_H

#include "graph/gnn.h"
#include "unit/support.h"

#define TS_GNN "tests/data/thirdparty/gnn/"
#define TS_PYG "tests/data/gnn/"

/* A model file and a data folder below tests/data/thirdparty (NULL: none), encoded for it. */
typedef struct ts_case {
    dk_gnn *m;
    dk_dataset d;
} ts_case;
void ts_case_open(ts_case *c, const char *model, const char *data, dk_dtype real);
void ts_case_close(ts_case *c);
dk_gnn *ts_gnn(const char *path, dk_dtype real);

/* {"nodes": .., "edges": .., "x": .., "edge_weight": ..}; weights only if asked for. */
void ts_graph_json(dk_graph *g, dk_jnode n, bool weights);
/* The graph 0->1, 1->2, 0->2 and others given as pairs; x [n, f]. */
void ts_graph(dk_graph *g, int32_t n, int e, const int32_t (*edge)[2], int f, const double *x);

/* Random connected graphs with weights, self loops, an isolated node and a one-way edge. */
void ts_graph_random(dk_graph *g, int32_t n, int f, bool weights, uint64_t seed);

/* A model on a tape, ready to run repeatedly. */
typedef struct ts_run {
    const dk_gnn *m;
    dk_tape *t;
    dk_gnn_vars v;
    dk_tape_mark mark;
    dk_gnn_input in;
    dk_gnn_options o;
    dk_gnn_trace tr;
} ts_run;
void ts_run_begin(ts_run *r, const dk_gnn *m, const dk_graph *g, const dk_mat_ops *ops);
void ts_run_go(ts_run *r); /* forgets the previous run; fails the test on an error */
void ts_run_end(ts_run *r);
/* Logits of one graph in f64, [rows, classes]; malloc-ed. */
double *ts_logits(const dk_gnn *m, const dk_graph *g);
/* A model of its own with random weights. */
dk_gnn *ts_gnn_random(dk_gnn_arch arch, dk_task task, int layers, int features, uint64_t seed);

#endif
