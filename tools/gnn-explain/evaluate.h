/* What evaluate measures, between the file that computes it and the one that reports it. */
#ifndef GX_EVALUATE_H
#define GX_EVALUATE_H

#include "graph/explain/groundtruth.h"
#include "gx.h"

enum { EV_MOST_CAPS = 32, EV_MOST_METHODS = 32 };

typedef struct ev_options {
    gx_options o;
    const char *methods, *caps, *fidelity, *gt, *auc_scope, *report, *scores;
    int64_t motifs;
    bool stability;
    double cap[EV_MOST_CAPS];
    int caps_n;
    dk_fid_kind kind;
    const char *name[EV_MOST_METHODS];
    int methods_n;
} ev_options;

/* Means of one (method, cap, class). */
typedef struct ev_row {
    int64_t n;
    double fid_plus, fid_minus, overall, sparsity, unfaithfulness, fid_plus_acc, fid_minus_acc;
} ev_row;

typedef struct ev_motif {
    int32_t cls;
    int64_t members, instances;
    int64_t item; /* the first that has it */
    int32_t edges;
    uint8_t *kept; /* [e] of that graph */
} ev_motif;

typedef struct ev_method {
    const char *name;
    ev_row *row;        /* [caps][classes + 1]; the last class is all */
    double auc;         /* pooled edges against the ground truth; NaN without */
    int64_t auc_graphs;
    double top_precision, node_accuracy; /* node task: at the number of true edges; NaN without */
    double *pair;             /* [caps][classes][classes] distance of class means, a < b; else NaN */
    double *discriminability; /* [caps] mean over the pairs that count: two classes, the pair; more,
                                 those without the base classes 0 and 4 (node task) */
    double *coverage;         /* [caps] share of the largest group, class 1 */
    int64_t **group;          /* [classes] sizes of the groups of equal explanations, first cap */
    int64_t *groups, *members; /* [classes] */
    double stability, instability; /* means; NaN where not asked for or undefined */
    ev_motif *motif;          /* [classes * motifs] at the first cap; members 0: none */
    double seconds, train_seconds; /* ranking and selection per instance and cap; learning, all */
    int64_t instances;
} ev_method;

typedef struct ev_result {
    const ev_options *x;
    const gx_job *j;
    ev_method method[EV_MOST_METHODS];
    int n;
    double whole_discriminability; /* of the whole graphs */
} ev_result;

/* Prints the table on `f`. */
void ev_print(const ev_result *r, FILE *f);
json_t *ev_json(const ev_result *r, bool timings);
/* fidelity.csv, methods.csv, table.md, summary.json, timings.csv and, with gnuplot, curves in SVG. */
int ev_report(const ev_result *r, dk_err *err);

#endif
