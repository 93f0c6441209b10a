/* Any bytes as scores.csv: read or refused; what was read is grouped and ranked as promised, and is
 * laid over a small graph. */
#include <stdlib.h>

#include "graph/explain/scores.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static dk_err err;

static void check(const dk_scores *s)
{
    if (s->items > 0 && s->item_ptr[s->items] != s->rows)
        abort();
    for (int64_t k = 0; k < s->items; k++) {
        if (dk_scores_item(s, s->item_id[k]) != k || s->item_ptr[k] >= s->item_ptr[k + 1])
            abort();
        for (int64_t i = s->item_ptr[k]; i < s->item_ptr[k + 1]; i++)
            if (s->item[i] != s->item_id[k] || s->kept[i] > 1 || s->rank[i] < -1)
                abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const int32_t src[] = {0, 1, 1, 2, 2, 3}, dst[] = {1, 0, 2, 1, 2, 0};
    static const int64_t names[] = {0, 1, 3, 2};
    double score[6];
    uint8_t present[6], kept[6];
    int64_t rank[6];
    dk_scores s;
    dk_graph g = {0};

    dk_err_init(&err);
    if (dk_scores_parse(&s, (const char *)data, size, "fuzz.csv", &err))
        return 0;
    check(&s);
    if (dk_graph_build(&g, 4, 6, src, dst, NULL, NULL, NULL, NULL, &err))
        abort();
    for (int64_t k = 0; k < s.items && k < 8; k++) {
        dk_err_init(&err);
        dk_scores_on_graph(&s, k, &g, k % 2 ? names : NULL, score, present, kept, rank, &err);
    }
    dk_graph_free(&g);
    dk_scores_free(&s);
    return 0;
}
