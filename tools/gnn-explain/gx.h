/* gnn-explain's own header: options, the job (model, data set, what is explained), results. */
#ifndef GX_H
#define GX_H

#include "base/err.h"
#include "base/opt.h"
#include "graph/dataset.h"
#include "graph/explain/explain.h"
#include "graph/explain/fidelity.h"
#include "graph/explain/scores.h"
#include "graph/explain/select.h"
#include "graph/gnn.h"
#include "io/json.h"

/* ---- Options. One struct for all actions; each action's table names those it takes. */
typedef struct gx_options {
    /* input and output */
    const char *model, *data, *arch, *task, *self_loops, *output, *summary, *timings, *explainer_file;
    bool force, quiet, json;
    int verbose;
    int64_t threads;
    /* what is explained */
    const char *ids, *nodes, *target;
    int64_t cls; /* -1: not given */
    bool correct; /* of the listed ones only those predicted correctly */
    const char *shard;
    int shard_index, shard_count;
    /* how */
    const char *method, *mask_mode, *hops, *selfloop;
    dk_explain_params params;
    int compat;
    bool no_calibration, directed;
    int64_t ig_steps, epochs, rollouts, min_atoms, expand_atoms, max_nodes, samples;
    /* which edges are kept */
    dk_select_options select;
    const char *ties, *size_rule, *induce;
    int even, search;
    bool sparsity_given, topk_given;
    const char *groups;
} gx_options;
void gx_options_init(gx_options *o);
/* Appends option rows to t at *n. GX_ROWS is enough for every table of this program. */
enum { GX_ROWS = 64 };
void gx_rows_data(dk_opt *t, int *n, gx_options *o, bool model);
void gx_rows_pick(dk_opt *t, int *n, gx_options *o);
void gx_rows_method(dk_opt *t, int *n, gx_options *o);
void gx_rows_select(dk_opt *t, int *n, gx_options *o);
void gx_rows_run(dk_opt *t, int *n, gx_options *o, bool json);
/* Parses with a table of rows; 0, 1 (help was printed) or an error. Refuses operands unless
 * `operands` is not NULL (then it receives the index of the first). Sets threads and verbosity. */
int gx_parse(gx_options *o, const dk_opt *rows, const char *usage, const char *summary,
             const char *footer, int argc, char **argv, int *operands, dk_err *err);
/* Turns the words of the method and selection options into o->params and o->select. */
int gx_options_resolve(gx_options *o, dk_err *err);
/* Names of --sparsity, --search ... as they were given, for provenance. */
json_t *gx_select_json(const gx_options *o, const char *size_rule);
/* The size rule of one method under --size-rule own (goat's, by architecture) or eig. */
dk_size_rule gx_size_rule(const gx_options *o, const dk_explainer *x, const dk_gnn *m,
                          const char *fallback);

/* ---- The job: a model on a data set, and the list of what is explained. */
typedef struct gx_job {
    const gx_options *o;
    dk_gnn *model;       /* f64 */
    dk_dataset data;     /* encoded for the model */
    int32_t *prediction; /* [graphs or nodes] where the whole set was predicted, else NULL */
    int64_t n;           /* explained */
    int64_t *item;       /* [n] graph index, or node row; ascending */
} gx_job;
int gx_job_open(gx_job *j, const gx_options *o, dk_err *err); /* loads and encodes */
int gx_job_predict(gx_job *j, double **logits, dk_err *err);  /* whole set; logits malloc-ed or NULL */
int gx_job_pick(gx_job *j, dk_err *err);                      /* fills item, this shard's part */
void gx_job_close(gx_job *j);
bool gx_node_task(const gx_job *j);
int64_t gx_rows_count(const gx_job *j);             /* graphs or nodes of the whole set */
int32_t gx_label_of(const gx_job *j, int64_t item); /* -1 unknown */
int64_t gx_public_id(const gx_job *j, int64_t item); /* graph index or the node's id in the file */
/* Puts "graph 7: " or "node 7: " before the message; returns err's code. */
int gx_wrap_item(const gx_job *j, int64_t item, dk_err *err);
/* Class of --target for an item: -1 = the prediction. */
int32_t gx_target_of(const gx_job *j, int64_t item);

/* ---- Results. */
typedef struct gx_result {
    int64_t k;          /* place among the job's items */
    int64_t item;       /* j->item[k] */
    dk_graph sub;       /* node task: L-hop subgraph; else zeroed */
    int32_t *node_of, *edge_of; /* node task: rows and edges of the whole graph */
    const dk_graph *g;  /* the graph explained: of the data set, or &sub */
    dk_instance inst;
    dk_explanation ex;
    dk_selection sel;
    double seconds;     /* ranking + selection */
} gx_result;
void gx_result_free(gx_result *r);

/* One method, possibly trained. */
typedef struct gx_method {
    const dk_explainer *x;
    const char *name;        /* x's, or "scores" */
    const dk_scores *given;  /* scores read from a file take the place of x; x is then NULL */
    dk_explainer_state *state;
    double train_seconds;
} gx_method;
/* Trains (on all correctly predicted graphs with edges, or nodes) or loads --explainer FILE; saves to
 * it when it did not exist. */
int gx_method_open(gx_method *m, gx_job *j, const char *name, const char *file, dk_err *err);
void gx_method_close(gx_method *m);

/* What gx_run asks for beside the target's score. */
enum { GX_WANT_CLASSES = 1, GX_WANT_PROB = 2, GX_WANT_NODES = 4, GX_WANT_SELECT = 8 };
/* Explains all items of the job: in parallel, in blocks; calls `done` for every item in order (on
 * the calling thread; r is freed afterwards). `label` names the work in the progress line. */
typedef int gx_done(void *ctx, gx_job *j, gx_result *r, dk_err *err);
int gx_run(gx_job *j, const gx_method *m, const dk_select_options *sel, unsigned want,
           const char *label, gx_done *done, void *ctx, dk_err *err);
/* The same, calling `work` for every item inside the parallel part (for evaluate: other caps,
 * metrics). It may write to places of its own item only. done may be NULL. */
typedef int gx_work(void *ctx, gx_job *j, dk_explain_worker *w, gx_result *r, dk_err *err);
int gx_run_with(gx_job *j, const gx_method *m, const dk_select_options *sel, unsigned want,
                const char *label, gx_work *work, gx_done *done, void *ctx, dk_err *err);

/* ---- Provenance and numbers in JSON. */
json_t *gx_provenance(const gx_job *j, const char *action);
json_t *gx_num(double v); /* null for NaN and infinities */
int gx_write_json(json_t *o, const char *path, bool force, dk_err *err); /* "-": stdout; steals o */
/* "0,5,10-20" -> sorted distinct numbers (malloc-ed); what names the option. */
int gx_parse_ids(const char *text, const char *what, int64_t **ids, int64_t *n, dk_err *err);

/* ---- Actions: argv[0] is the action's name. */
int gx_predict(int argc, char **argv, dk_err *err);
int gx_explain(int argc, char **argv, dk_err *err);
int gx_evaluate(int argc, char **argv, dk_err *err);
int gx_draw(int argc, char **argv, dk_err *err);
int gx_train(int argc, char **argv, dk_err *err);
int gx_gen(int argc, char **argv, dk_err *err);
int gx_info(int argc, char **argv, dk_err *err);
int gx_convert(int argc, char **argv, dk_err *err);
int gx_merge(int argc, char **argv, dk_err *err);

#endif
