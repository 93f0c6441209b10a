/* See dataset_aid.h. */
#include "unit/dataset_aid.h"

void da_same(const dk_dataset *a, const dk_dataset *b)
{
    assert_int_equal(a->count, b->count);
    assert_int_equal(a->classes, b->classes);
    assert_int_equal(a->attributes, b->attributes);
    assert_int_equal(a->label_columns, b->label_columns);
    assert_int_equal(a->task, b->task);
    for (int32_t c = 0; c < a->classes; c++)
        assert_true(a->class_value[c] == b->class_value[c]);
    for (int32_t i = 0; i < a->count; i++) {
        const dk_graph *g = &a->graphs[i], *h = &b->graphs[i];
        size_t n = (size_t)g->n, e = (size_t)g->e;
        assert_int_equal(g->n, h->n);
        assert_int_equal(g->e, h->e);
        assert_int_equal(g->label, h->label);
        assert_memory_equal(g->src, h->src, e * sizeof *g->src);
        assert_memory_equal(g->dst, h->dst, e * sizeof *g->dst);
        assert_memory_equal(g->rev, h->rev, e * sizeof *g->rev);
        assert_int_equal(g->gt != NULL, h->gt != NULL);
        assert_int_equal(g->weight != NULL, h->weight != NULL);
        assert_int_equal(g->y != NULL, h->y != NULL);
        if (g->gt)
            assert_memory_equal(g->gt, h->gt, e);
        if (g->weight)
            assert_memory_equal(g->weight, h->weight, e * sizeof *g->weight);
        if (g->y)
            assert_memory_equal(g->y, h->y, n * sizeof *g->y);
        if (a->labels)
            assert_memory_equal(a->labels[i], b->labels[i],
                                n * (size_t)a->label_columns * sizeof(int32_t));
        if (a->attr)
            assert_memory_equal(a->attr[i], b->attr[i], n * (size_t)a->attributes * sizeof(double));
    }
}
