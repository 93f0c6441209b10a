/* The six texts of a TU set, '|' between them; a text of only "-" or one that does not come is an
 * absent file. What is read must keep the promises of graph.h, and pass through features, a
 * neighbourhood and a batch. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "graph/dataset.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static dk_err err;

static void must(bool holds)
{
    if (!holds)
        abort();
}

static void check_graph(const dk_graph *g)
{
    must(g->out_ptr[g->n] == g->e && g->in_ptr[g->n] == g->e);
    for (int32_t e = 0; e < g->e; e++) {
        must(g->src[e] >= 0 && g->src[e] < g->n && g->dst[e] >= 0 && g->dst[e] < g->n);
        must(e == 0 || g->src[e - 1] < g->src[e] ||
             (g->src[e - 1] == g->src[e] && g->dst[e - 1] < g->dst[e]));
        must(g->rev[e] == -1 || g->rev[g->rev[e]] == e);
    }
    for (int32_t v = 0; v < g->n; v++)
        for (int32_t k = g->in_ptr[v]; k < g->in_ptr[v + 1]; k++)
            must(g->dst[g->in_edge[k]] == v);
}

static void use_graph(const dk_graph *g)
{
    const dk_graph *pair[] = {g, g};
    dk_graph sub;
    dk_batch b;
    int32_t center, *seen;

    if (!dk_batch_make(&b, pair, 2, &err))
        dk_batch_free(&b);
    if (g->n == 0)
        return;
    seen = dk_graph_scratch(g, &err);
    if (seen && !dk_graph_khop(g, g->n / 2, 2, seen, &sub, &center, NULL, NULL, &err)) {
        check_graph(&sub);
        dk_graph_free(&sub);
    }
    free(seen);
}

static void use_set(dk_dataset *d)
{
    size_t nodes = 0;
    dk_encoding e, again;

    for (int32_t i = 0; i < d->count; i++) {
        check_graph(&d->graphs[i]);
        must(d->graphs[i].label >= 0 && d->graphs[i].label < d->classes);
        nodes += (size_t)d->graphs[i].n;
    }
    if (dk_dataset_encoding(d, &e, &err))
        return;
    char *text = dk_encoding_text(&e);
    must(dk_encoding_parse(&again, text, &err) == 0 || dk_encoding_features(&e) == 0 ||
         e.attributes > 65536);
    if ((size_t)dk_encoding_features(&e) * nodes < 1000000 && !dk_dataset_encode(d, &e, &err))
        for (int32_t i = 0; i < d->count; i++)
            use_graph(&d->graphs[i]);
    free(text);
    dk_encoding_free(&e);
    dk_encoding_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *part[6] = {NULL}, *at = (const char *)data, *end = at + size;
    size_t len[6] = {0};
    dk_dataset d;

    dk_log_init("fuzz", -1);
    for (int i = 0; i < 6 && at < end; i++) {
        const char *bar = memchr(at, '|', (size_t)(end - at));
        const char *stop = bar ? bar : end;
        len[i] = (size_t)(stop - at);
        part[i] = len[i] == 1 && *at == '-' ? NULL : at;
        at = bar ? bar + 1 : end;
    }
    dk_tu_text t = {part[0], part[1], part[2], part[3], part[4], part[5],
                    len[0],  len[1],  len[2],  len[3],  len[4],  len[5]};
    for (int drop = 0; drop < 2; drop++) {
        dk_dataset_options opt = {drop};
        dk_err_init(&err);
        if (dk_dataset_parse_tu(&d, &t, "fuzz", &opt, &err))
            continue;
        use_set(&d);
        dk_dataset_free(&d);
    }
    return 0;
}
