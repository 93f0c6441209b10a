/* What the programs that test data sets share. */
#ifndef TESTS_UNIT_DATASET_AID_H
#define TESTS_UNIT_DATASET_AID_H

#include "graph/dataset.h"
#include "unit/support.h"

/* Fails the running test unless both hold the same graphs, classes, labels and attributes. */
void da_same(const dk_dataset *a, const dk_dataset *b);

#endif
