/* Data sets with ground truth: motifs planted on a random or regular base (see dataset.h).
 *
 * Node sets (ba-shapes, ba-community, tree-cycles, tree-grid; Ying et al. 2019): motif k hangs with
 * its first node on base node k * floor(base / motifs); base nodes are class 0, motif nodes follow.
 * Graph set (ba-2motifs; Luo et al. 2020): a tree with one motif each, class 0 a cycle, class 1 a
 * house. The edges inside motifs are the ground truth, the links to the base are not. */
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/gen_internal.h"
#include "graph/graph_internal.h"

enum { FEATURES = 10, BA_SHAPES_M = 5, HOUSE_NODES = 5, MAX_BASE = 100000000 };

/* ---- Motifs. */

typedef struct motif {
    int nodes, edges;
    uint8_t from[12], to[12], label[9];
} motif;

static const motif house = {5, 6, {0, 1, 2, 3, 4, 4}, {1, 2, 3, 0, 0, 1}, {1, 1, 2, 2, 3}};
static const motif cycle5 = {5, 5, {0, 1, 2, 3, 4}, {1, 2, 3, 4, 0}, {1, 1, 1, 1, 1}};
static const motif cycle6 = {6, 6, {0, 1, 2, 3, 4, 5}, {1, 2, 3, 4, 5, 0}, {1, 1, 1, 1, 1, 1}};
static const motif grid3 = {9,
                            12,
                            {0, 1, 3, 4, 6, 7, 0, 3, 1, 4, 2, 5},
                            {1, 2, 4, 5, 7, 8, 3, 6, 4, 7, 5, 8},
                            {1, 1, 1, 1, 1, 1, 1, 1, 1}};

static int add_motif(dk_gen_edges *e, const motif *shape, int32_t first, dk_err *err)
{
    for (int k = 0; k < shape->edges; k++)
        if (dk_gen_add(e, first + shape->from[k], first + shape->to[k], true, err))
            return err->code;
    return 0;
}

/* ---- Node sets. */

typedef struct node_kind {
    const char *name;
    bool tree, second; /* second: another such graph joined by random edges */
    const motif *shape;
    int32_t base, motifs; /* as published */
    double noise;
    int32_t classes;
} node_kind;

static const node_kind node_kinds[] = {
    {"ba-shapes", false, false, &house, 300, 80, 0.01, 4},
    {"ba-community", false, true, &house, 300, 80, 0.01, 8},
    {"tree-cycles", true, false, &cycle6, 511, 60, 0.01, 2},
    {"tree-grid", true, false, &grid3, 511, 80, 0.1, 2},
};

typedef struct plan {
    const node_kind *kind;
    int32_t base, motifs, part; /* part: nodes of one base with its motifs */
    double noise;
} plan;

static int make_plan(plan *p, const node_kind *kind, const dk_gen_options *o, dk_err *err)
{
    int64_t motifs = o->count ? o->count : kind->motifs, base = o->base ? o->base : kind->base;

    /* More motifs than published ask for as much more base. */
    if (!o->base && motifs > kind->motifs)
        base = (int64_t)kind->base * motifs / kind->motifs;
    if (motifs < 1 || base < 10 || base > MAX_BASE || motifs > base)
        return dk_fail(err, DK_EUSAGE,
                       "%s: base of %" PRId64 " nodes, %" PRId64 " motifs: expected 10 to %d nodes "
                       "and 1 motif or more, not more than nodes",
                       kind->name, base, motifs, MAX_BASE);
    *p = (plan){.kind = kind,
                .base = (int32_t)base,
                .motifs = (int32_t)motifs,
                .part = (int32_t)(base + motifs * kind->shape->nodes),
                .noise = o->noise < 0 ? kind->noise : o->noise};
    return 0;
}

/* Node v > 0 of a balanced binary tree in breadth-first order hangs on (v - 1) / 2; any number of
 * nodes will do, 2^(h + 1) - 1 make a full tree of height h. */
static int add_base(const plan *p, dk_gen_edges *e, int32_t first, dk_seq *s, dk_err *err)
{
    if (!p->kind->tree)
        return dk_gen_ba(e, first, p->base, BA_SHAPES_M, s, err);
    for (int32_t v = 1; v < p->base; v++)
        if (dk_gen_add(e, first + (v - 1) / 2, first + v, false, err))
            return err->code;
    return 0;
}

/* Half of the cycles get a second link, from one of their nodes 1 to 3 to a node close behind the
 * one they hang on. */
static int maybe_second_link(const plan *p, dk_gen_edges *e, int32_t first, int32_t start,
                             int32_t plug, dk_seq *s, dk_err *err)
{
    if (p->kind->shape != &cycle6 || dk_seq_unit(s) <= 0.5)
        return 0;
    int32_t a = 1 + (int32_t)dk_seq_below(s, 3), b = 1 + (int32_t)dk_seq_below(s, 3);
    return dk_gen_add(e, start + a, first + (plug + b) % p->base, false, err);
}

static int add_part(const plan *p, dk_gen_edges *e, int32_t first, dk_seq *s, dk_err *err)
{
    int32_t spacing = p->base / p->motifs;
    int64_t from = e->m;

    if (add_base(p, e, first, s, err))
        return err->code;
    for (int32_t k = 0; k < p->motifs; k++) {
        int32_t start = first + p->base + k * p->kind->shape->nodes, plug = k * spacing;
        if (add_motif(e, p->kind->shape, start, err) ||
            dk_gen_add(e, start, first + plug, false, err) ||
            maybe_second_link(p, e, first, start, plug, s, err))
            return err->code;
    }
    return dk_gen_noise(e, from, first, p->part, (int64_t)((double)(e->m - from) * p->noise), s,
                        err);
}

/* 350 edges between two graphs of the published size; repetitions collapse when the graph is
 * built. */
static int join_parts(const plan *p, dk_gen_edges *e, dk_seq *s, dk_err *err)
{
    int64_t count = (int64_t)p->base * 7 / 6;

    for (int64_t k = 0; k < count; k++) {
        int32_t u = (int32_t)dk_seq_below(s, (uint32_t)p->part);
        int32_t v = p->part + (int32_t)dk_seq_below(s, (uint32_t)p->part);
        if (dk_gen_add(e, u, v, false, err))
            return err->code;
    }
    return 0;
}

static double gaussian(dk_seq *s)
{
    double r = sqrt(-2 * log(1 - dk_seq_unit(s)));
    return r * cos(6.283185307179586 * dk_seq_unit(s));
}

/* Constant 1, or for two communities normal numbers whose first two columns tell them apart. */
static void put_features(const plan *p, dk_dataset *d, dk_seq *s)
{
    int32_t n = d->graphs[0].n;

    for (int32_t v = 0; v < n; v++)
        for (int c = 0; c < FEATURES; c++) {
            double value = 1;
            if (p->kind->second)
                value = c < 2 ? (v < p->part ? -1 : 1) + sqrt(0.5) * gaussian(s) : gaussian(s);
            d->attr[0][(size_t)v * FEATURES + (size_t)c] = value;
        }
}

static void put_classes(const plan *p, dk_graph *g)
{
    for (int32_t v = 0; v < g->n; v++) {
        int32_t at = v % p->part - p->base, shift = v < p->part ? 0 : p->kind->classes / 2;
        g->y[v] = shift + (at < 0 ? 0 : p->kind->shape->label[at % p->kind->shape->nodes]);
    }
}

static int number_classes(dk_dataset *d, int32_t classes, dk_err *err)
{
    d->class_value = dk_graph_array((size_t)classes, sizeof *d->class_value, "classes", err);
    if (!d->class_value)
        return err->code;
    d->classes = classes;
    for (int32_t c = 0; c < classes; c++)
        d->class_value[c] = c;
    return 0;
}

static int generate_nodes(dk_dataset *d, const node_kind *kind, const dk_gen_options *o,
                          dk_err *err)
{
    dk_gen_edges e = {0};
    dk_seq s = {dk_splitmix64(o->seed)};
    plan p = {0};
    int rc = make_plan(&p, kind, o, err);

    if (rc)
        return rc;
    int64_t n = (int64_t)p.part * (kind->second ? 2 : 1);
    d->task = DK_TASK_NODE;
    d->attributes = FEATURES;
    rc = dk_dataset_reserve(d, 1, err);
    if (!rc)
        rc = add_part(&p, &e, 0, &s, err);
    if (!rc && kind->second && !(rc = add_part(&p, &e, p.part, &s, err)))
        rc = join_parts(&p, &e, &s, err);
    if (!rc)
        rc = dk_gen_graph(&e, (int32_t)n, true, &d->graphs[0], err);
    dk_gen_free(&e);
    if (rc || (rc = number_classes(d, kind->classes, err)))
        return rc;
    d->graphs[0].y = dk_graph_array((size_t)n, sizeof(int32_t), "classes", err);
    d->attr[0] = dk_graph_array((size_t)n, FEATURES * sizeof(double), "features", err);
    d->split = dk_graph_array((size_t)n, sizeof *d->split, "splits", err);
    if (err->code)
        return err->code;
    put_classes(&p, &d->graphs[0]);
    put_features(&p, d, &s);
    return dk_dataset_random_split(n, 0.8, 0.1, o->seed, d->split, err);
}

/* ---- ba-2motifs. */

enum { TWO_MOTIFS_COUNT = 1000, TWO_MOTIFS_BASE = 20 };

static int make_graph(dk_graph *g, int32_t base, const motif *shape, double noise, dk_seq *s,
                      dk_err *err)
{
    dk_gen_edges e = {0};
    int32_t n = base + shape->nodes;
    int rc = dk_gen_ba(&e, 0, base, 1, s, err);

    if (!rc)
        rc = add_motif(&e, shape, base, err);
    if (!rc)
        rc = dk_gen_add(&e, (int32_t)dk_seq_below(s, (uint32_t)base), base, false, err);
    if (!rc)
        rc = dk_gen_noise(&e, 0, 0, n, (int64_t)((double)e.m * noise), s, err);
    if (!rc)
        rc = dk_gen_graph(&e, n, true, g, err);
    dk_gen_free(&e);
    return rc;
}

static int generate_graphs(dk_dataset *d, const dk_gen_options *o, dk_err *err)
{
    int64_t count = o->count ? o->count : TWO_MOTIFS_COUNT;
    int64_t base = o->base ? o->base : TWO_MOTIFS_BASE;

    if (count < 2 || count > MAX_BASE || base < 2 || base > MAX_BASE)
        return dk_fail(err, DK_EUSAGE,
                       "ba-2motifs: %" PRId64 " graphs with a base of %" PRId64
                       " nodes: expected 2 to %d of both",
                       count, base, MAX_BASE);
    d->task = DK_TASK_GRAPH;
    d->attributes = FEATURES;
    if (dk_dataset_reserve(d, count, err) || number_classes(d, 2, err))
        return err->code;
    for (int32_t i = 0; i < d->count; i++) {
        /* A sequence per graph: graph i of a class does not depend on the graphs before. */
        dk_seq s = {dk_splitmix64(dk_splitmix64(o->seed) + (uint64_t)i)};
        bool is_house = i >= d->count - d->count / 2;
        dk_graph *g = &d->graphs[i];
        if (make_graph(g, (int32_t)base, is_house ? &house : &cycle5, o->noise < 0 ? 0 : o->noise,
                       &s, err))
            return err->code;
        g->label = is_house;
        size_t cells = (size_t)g->n * FEATURES;
        d->attr[i] = dk_graph_array(cells, sizeof(double), "features", err);
        for (size_t k = 0; d->attr[i] && k < cells; k++)
            d->attr[i][k] = 0.1;
    }
    return err->code;
}

/* ---- */

int dk_dataset_generate(dk_dataset *d, const dk_gen_options *o, dk_err *err)
{
    const node_kind *kind = NULL;

    *d = (dk_dataset){0};
    for (size_t k = 0; k < sizeof node_kinds / sizeof *node_kinds; k++)
        if (strcmp(o->kind, node_kinds[k].name) == 0)
            kind = &node_kinds[k];
    if (!kind && strcmp(o->kind, "ba-2motifs") != 0)
        return dk_fail(err, DK_EUSAGE,
                       "generator \"%.40s\": expected ba-shapes, ba-community, "
                       "tree-cycles, tree-grid or ba-2motifs",
                       o->kind);
    if (o->count < 0 || o->base < 0 || !(o->noise <= 1))
        return dk_fail(err, DK_EUSAGE,
                       "%s: count %" PRId64 ", base %" PRId64 ", noise %g: expected 0 or more, "
                       "noise at most 1",
                       o->kind, o->count, o->base, o->noise);
    d->name = dk_xstrdup(o->kind);
    d->path = dk_xstrdup(o->kind);
    int rc = kind ? generate_nodes(d, kind, o, err) : generate_graphs(d, o, err);
    if (!rc)
        rc = dk_dataset_finish(d, err);
    if (rc)
        dk_dataset_free(d);
    return rc;
}
