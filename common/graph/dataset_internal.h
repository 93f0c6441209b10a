/* Parts of data set reading, writing and generating that the formats share. */
#ifndef DK_GRAPH_DATASET_INTERNAL_H
#define DK_GRAPH_DATASET_INTERNAL_H

#include <stdio.h>

#include "base/hash.h"
#include "graph/dataset.h"

/* Class values to indices: *values becomes the sorted distinct ones, index[i] the place of v[i]
 * among them. known (NULL: all) marks the v that count; the others get -1. */
int dk_class_index(const int64_t *v, const bool *known, int64_t n, int32_t *index, int64_t **values,
                   int32_t *classes, dk_err *err);

/* d->graphs [count] and, where the numbers of columns are not 0, d->attr and d->labels [count],
 * all zeroed. */
int dk_dataset_reserve(dk_dataset *d, int64_t count, dk_err *err);

/* After all graphs are read: node_label of every graph and the warnings of the set. */
int dk_dataset_finish(dk_dataset *d, dk_err *err);

/* A part of d->hash: what the bytes are, how many, and the bytes. */
void dk_dataset_hash_part(dk_hasher *h, const char *role, const void *data, size_t len);

/* Every class has a graph (or node): formats that list no class values lose the others. */
int dk_dataset_check_classes(const dk_dataset *d, const char *format, dk_err *err);

int dk_dataset_read_json(dk_dataset *d, const char *data, size_t len, const char *name,
                         const dk_dataset_options *opt, dk_err *err);
int dk_dataset_load_tu(dk_dataset *d, const char *dir, const char *prefix,
                       const dk_dataset_options *opt, dk_err *err);
int dk_dataset_load_csv(dk_dataset *d, const char *dir, const dk_dataset_options *opt, dk_err *err);
int dk_dataset_write_json(const dk_dataset *d, FILE *f, dk_err *err);

/* Names of the files of a TU folder behind PREFIX, in the order of their hash. */
enum {
    TU_A,
    TU_INDICATOR,
    TU_GRAPH_LABELS,
    TU_NODE_LABELS,
    TU_NODE_ATTRIBUTES,
    TU_EDGE_GT,
    TU_FILES
};
extern const char *const dk_tu_suffix[TU_FILES];

/* Random numbers of splits and generators: the sequence of splitmix64 from a state. */
typedef struct dk_seq {
    uint64_t state;
} dk_seq;
uint64_t dk_seq_next(dk_seq *s);
uint32_t dk_seq_below(dk_seq *s, uint32_t n); /* uniform in [0, n), n > 0 */
double dk_seq_unit(dk_seq *s);                /* in [0, 1), 53 bits */

#endif
