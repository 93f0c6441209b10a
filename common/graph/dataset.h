/* Graph data sets: many graphs with a class each (graph task), or one graph with a class per node
 * (node task), read from the formats in which people have them:
 *
 *   TU folder   DIR/<DS>_A.txt, _graph_indicator.txt, _graph_labels.txt, optional _node_labels,
 *               _node_attributes, _edge_gt, _edge_labels (ignored), _edge_attributes (ignored);
 *               <DS> is found from the one *_A.txt of the folder. Ids are 1-based (0 is an error).
 *               Graph labels become the index of their value among the sorted distinct values.
 *   CSV folder  DIR/nodes.csv (id, label, split, x0, x1, ...; any of label, split, x* may be
 *               absent) and edges.csv (src, dst, optional gt, weight); ids are arbitrary, nodes are
 *               numbered by ascending id.
 *   JSON        dk.gnn-graph/1 {"nodes": n, "edges": [[s, d], ...], "x": [[...]] or "node_labels",
 *               "edge_weight"?, "label"?, "edge_gt"?, "y"?}; or dk.gnn-dataset/1 {"name", "task",
 *               "graphs": [...]}. One graph may come on stdin ("-").
 *               Label values of a set become indices as in TU folders unless "classes" lists them
 *               (ascending); the label of a single graph without "classes" is the index itself.
 *               Further: "split" (of the set), "node_id" (of a graph with "y"); null = unknown.
 *
 * Raw node labels and attributes are kept as read; dk_dataset_encode() turns them into features,
 * by the folder's own values or by those a model was trained on. */
#ifndef DK_GRAPH_DATASET_H
#define DK_GRAPH_DATASET_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"
#include "graph/graph.h"

typedef enum { DK_TASK_GRAPH, DK_TASK_NODE } dk_task;
typedef enum { DK_SPLIT_NONE, DK_SPLIT_TRAIN, DK_SPLIT_VAL, DK_SPLIT_TEST } dk_split;

/* How raw columns become features: [attributes..., one-hot of label column 0, of column 1, ...], or
 * the degree when there is neither. */
typedef enum { DK_FEAT_COLUMNS, DK_FEAT_DEGREE_ONEHOT, DK_FEAT_DEGREE_STD } dk_feat_kind;
typedef struct dk_encoding {
    dk_feat_kind kind;
    int attributes; /* attribute columns */
    int label_columns;
    int *width;         /* [label_columns] one-hot width */
    int32_t **values;   /* [label_columns][width] the label behind every position */
    int32_t max_degree; /* DEGREE_ONEHOT: width max_degree + 1 (larger degrees are an error) */
    double degree_mean, degree_std;
} dk_encoding;
void dk_encoding_free(dk_encoding *e);
int dk_encoding_features(const dk_encoding *e); /* number of columns */
/* Text for a model's metadata, and back: "attributes=0;labels=0,1,2|5,7". */
char *dk_encoding_text(const dk_encoding *e); /* malloc-ed */
int dk_encoding_parse(dk_encoding *e, const char *text, dk_err *err);

typedef struct dk_dataset {
    char *name; /* "MUTAG": prefix of the TU files, else the folder's or file's name */
    char *path;
    dk_task task;
    int32_t count;    /* graphs (1 for the node task) */
    dk_graph *graphs; /* [count] */
    int32_t classes;
    int64_t *class_value; /* [classes] label values as in the file */
    int attributes, label_columns;
    double **attr;    /* [count] -> [n, attributes], or NULL */
    int32_t **labels; /* [count] -> [n, label_columns], or NULL */
    dk_split *split;  /* [count] or, node task, [n]; NULL when none is given */
    int64_t *node_id; /* CSV: [n] ids as in the file; NULL otherwise */
    int64_t dropped_loops, merged_edges, one_way_edges; /* said once, when they are not zero */
    char hash[33]; /* of the content of the files read, for provenance; "" if generated */
} dk_dataset;

typedef struct dk_dataset_options {
    bool drop_self_loops; /* --self-loops drop */
} dk_dataset_options;

/* `path`: folder, .json file, or "-" (JSON on stdin). Limits: 2^31 - 1 nodes or edges per set. */
int dk_dataset_load(dk_dataset *d, const char *path, const dk_dataset_options *opt, dk_err *err);
int dk_dataset_parse_json(dk_dataset *d, const char *data, size_t len, const char *name,
                          dk_err *err);
/* TU files given as memory (fuzzing, tests): any of the texts may be NULL when absent. */
typedef struct dk_tu_text {
    const char *a, *indicator, *graph_labels, *node_labels, *node_attributes, *edge_gt;
    size_t a_len, indicator_len, graph_labels_len, node_labels_len, node_attributes_len,
        edge_gt_len;
} dk_tu_text;
int dk_dataset_parse_tu(dk_dataset *d, const dk_tu_text *t, const char *name,
                        const dk_dataset_options *opt, dk_err *err);
void dk_dataset_free(dk_dataset *d); /* accepts a zeroed struct */

/* The folder's own encoding: label minus minimum, width max - min + 1 per column, as the TU loaders
 * do it; degrees when there are neither labels nor attributes (one-hot below a largest degree of
 * 1000, else standardised). */
int dk_dataset_encoding(const dk_dataset *d, dk_encoding *e, dk_err *err);
/* Fills x and num_features of every graph. A label value or degree that `e` does not have, or
 * another number of columns, is DK_EFORMAT naming graph, node and value. Attributes alone, as many
 * as `e` makes features, are taken as the finished features. */
int dk_dataset_encode(dk_dataset *d, const dk_encoding *e, dk_err *err);

/* Writers. dir must exist (TU, CSV); files appear together or not at all as far as renames allow.
 */
int dk_dataset_save_tu(const dk_dataset *d, const char *dir, bool force, dk_err *err);
int dk_dataset_save_csv(const dk_dataset *d, const char *dir, bool force,
                        dk_err *err); /* node task */
int dk_dataset_save_json(const dk_dataset *d, const char *path, bool force, dk_err *err);

/* Splits by a seeded permutation: floor(train n), floor(val n), the rest. */
int dk_dataset_random_split(int64_t n, double train, double val, uint64_t seed, dk_split *out,
                            dk_err *err);

/* ---- Generators with ground truth (graph/gen_*.c). Names: ba-shapes, ba-community, tree-cycles,
 * tree-grid (node task), ba-2motifs (graph task). */
typedef struct dk_gen_options {
    const char *kind;
    int64_t count; /* ba-2motifs: graphs (0: 1000); node sets: motifs (0: the published number) */
    int64_t base;  /* nodes of the base graph, also of trees (0: the published number, in node
                      sets grown in proportion when more motifs than published are asked for) */
    double noise;  /* share of random edges added; negative: the published one */
    uint64_t seed;
} dk_gen_options;
int dk_dataset_generate(dk_dataset *d, const dk_gen_options *o, dk_err *err);
/* Barabasi-Albert graph of n nodes, m edges per new node, one constant feature; for benches. */
int dk_gen_barabasi_albert(dk_graph *g, int32_t n, int32_t m, uint64_t seed, dk_err *err);

#endif
