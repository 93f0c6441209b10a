/* What the tests of explainers share: models and data sets of tests/data, small odd graphs, models
 * with random weights, instances. Failures end the running test. */
#ifndef TESTS_UNIT_EXPLAIN_SUPPORT_H
#define TESTS_UNIT_EXPLAIN_SUPPORT_H

#include "support.h"

#include "graph/explain/explain.h"
#include "io/csv.h"

/* tests/data/thirdparty/gnn/NAME.safetensors in f64. */
dk_gnn *ex_model(const char *name);
/* tests/data/thirdparty/NAME, encoded for m. */
void ex_data(dk_dataset *d, const char *name, const dk_gnn *m);
/* A model with random weights (biases and batch norm included). */
dk_gnn *ex_random_model(dk_gnn_arch arch, dk_task task, dk_readout readout, int layers, int hidden,
                        int features, int classes, uint64_t seed);
const double *ex_param(const dk_gnn *m, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Graphs by name, with random features: "path", "odd" (self loop, isolated node, one-way edges),
 * "weighted" (odd with weights, two different in one pair), "star", "loop" (a single self loop),
 * "edgeless", "tiny" (the fixture's), or "random:SEED" (undirected, connected or not). */
void ex_graph(dk_graph *g, const char *name, int features, uint64_t seed);
/* Uniform in [-1, 1), by index. */
double ex_draw(uint64_t seed, uint64_t i);

/* Worker and instance in one. */
typedef struct ex_case {
    dk_explain_worker w;
    dk_instance i;
} ex_case;
void ex_open(ex_case *c, const dk_gnn *m, const dk_graph *g, int32_t node, int32_t target);
void ex_close(ex_case *c);
/* Runs an explainer; malloc-ed scores [e]. */
double *ex_scores(ex_case *c, const char *method, const dk_explain_params *p);
double *ex_zeros(int64_t n);

/* The recorded scores of four published models (explain_MODEL.csv: graph, src, dst, eig score, eig
 * rank, goat score of class 0, of class 1): `check` gets each graph's instance and its first row. */
typedef void ex_check(ex_case *c, const dk_csv *csv, size_t row);
void ex_references(ex_check *check);

/* |a - b| <= tol * (1 + |b|), element by element. */
void ex_close_to(const char *what, const double *a, const double *b, int64_t n, double tol);
#define ex_near(a, b, tol) ex_near_at((a), (b), (tol), #a, __FILE__, __LINE__)
void ex_near_at(double a, double b, double tol, const char *what, const char *file, int line);

/* tests/data/thirdparty/gnn/tiny/expected.json; numbers of nested arrays in order, malloc-ed. */
void ex_expected(dk_json *j);
double *ex_numbers(dk_jnode at, int64_t *n);
/* A walk along keys separated by slashes: "gcn/class0/edge_self". */
dk_jnode ex_at(const dk_json *j, const char *path);

#endif
