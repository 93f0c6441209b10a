/* See select.h. Candidates are thresholds on a key per edge: its place in the order, or, where an
 * explanation is a set of nodes, the larger of its ends' places. */
#include "graph/explain/select.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/explain/edge_sets_internal.h"
#include "graph/graph_internal.h"

dk_select_options dk_select_defaults(void)
{
    return (dk_select_options){.sparsity = .7, .even = true, .search = true};
}

/* ---- Order. */

/* 12 decimals, but at most 13 significant digits: edges that mirror each other have equal scores up
 * to rounding, which at a size of thousands reaches into the twelfth decimal. */
static double rounded(double score)
{
    double scale = 1e12;

    for (double top = 10; fabs(score) >= top && scale > 1; top *= 10)
        scale /= 10;
    return rint(score * scale) / scale;
}

typedef struct place {
    double score;
    int32_t pair, own;
} place;

static int by_place(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    if (x->pair != y->pair)
        return x->pair < y->pair ? -1 : 1;
    return (x->own > y->own) - (x->own < y->own);
}

static void sort_places(place *p, int32_t n, int32_t *order)
{
    qsort(p, (size_t)n, sizeof *p, by_place);
    for (int32_t i = 0; i < n; i++)
        order[i] = p[i].own;
}

int dk_select_order(const dk_graph *g, const double *score, dk_ties ties, int32_t *order,
                    dk_err *err)
{
    place *p = dk_graph_array((size_t)g->e, sizeof *p, "the order of edges", err);

    if (!p)
        return err->code;
    for (int32_t e = 0; e < g->e; e++) {
        int32_t rev = ties != DK_TIES_POSITION && g->rev[e] >= 0 ? g->rev[e] : e;
        p[e] = (place){rounded(score[e]), rev < e ? rev : e, e};
    }
    sort_places(p, g->e, order);
    free(p);
    return 0;
}

/* ---- Cap. */

/* As published, truncation and all: E's program and GOAt's for GCN; GOAt's for the others. */
static int32_t published_cap(int32_t e, const dk_select_options *o)
{
    if (o->topk > 0)
        return o->topk < e ? (int32_t)o->topk : e;
    int32_t k = o->rule == DK_RULE_GOAT_GIN ? 2 * (int32_t)(e / 2 * (1.0 - o->sparsity))
                                            : (int32_t)(e * (1.0 - o->sparsity));
    k = k > 2 ? k : 2;
    return k < e ? k : e;
}

static bool is_even(const dk_select_options *o)
{
    return o->even && !o->compat;
}

int32_t dk_select_cap(int32_t e, const dk_select_options *o)
{
    int32_t k = published_cap(e, o);

    if (!is_even(o))
        return k;
    k -= k % 2;
    k = k > 2 ? k : 2;
    return k < e ? k : e;
}

/* ---- Candidates. */

typedef struct plan {
    const dk_graph *g;
    const dk_select_options *o;
    const double *score; /* of edges, or of nodes where nodes induce */
    int32_t items;       /* edges or nodes */
    int32_t *order;      /* [items], borrowed by edges */
    int32_t *key;        /* [e] */
    int32_t *kept;       /* [items + 1] edges with key < i */
    int32_t cap;
    int32_t n, *end;     /* candidates: edges with key < end */
} plan;

/* Whether items i - 1 and i may be separated: always, or between groups of equal scores only. */
static bool may_end(const plan *p, int32_t i)
{
    return p->o->ties != DK_TIES_GROUP || i <= 0 || i >= p->items ||
           rounded(p->score[p->order[i - 1]]) != rounded(p->score[p->order[i]]);
}

static bool cuts_pair(const plan *p, int32_t end)
{
    return end > 0 && end < p->items && p->order[end] == p->g->rev[p->order[end - 1]] &&
           p->order[end] != p->order[end - 1];
}

/* `end` edges, or one less where that leaves whole undirected edges. Self loops shift the parity,
 * so pairs are looked at where they lie together. */
static int32_t whole_edges(const plan *p, int32_t end)
{
    if (!is_even(p->o) || p->o->ties != DK_TIES_PAIR || !cuts_pair(p, end))
        return end;
    return end > 1 ? end - 1 : end + 1;
}

static int32_t cap_of(const plan *p)
{
    const dk_select_options *o = p->o;
    if (o->induce == DK_INDUCE_EDGE && o->ties == DK_TIES_PAIR)
        return whole_edges(p, published_cap(p->g->e, o));
    return dk_select_cap(p->g->e, o);
}

static void push(plan *p, int32_t end)
{
    p->end[p->n++] = end;
}

/* The largest candidate within the cap; the first group where even that is larger. */
static int32_t fixed_end(const plan *p)
{
    int32_t end = 0;

    if (p->o->induce == DK_INDUCE_EDGE && p->o->ties != DK_TIES_GROUP)
        return p->cap;
    for (int32_t i = 1; i <= p->items && p->kept[i] <= p->cap; i++)
        if (may_end(p, i))
            end = i;
    if (end == 0 && p->o->induce == DK_INDUCE_EDGE && p->items > 0)
        for (end = 1; !may_end(p, end); end++)
            continue;
    return end;
}

/* Fewest edges that a search tries. */
static int32_t smallest(const dk_select_options *o)
{
    return o->rule == DK_RULE_GOAT_GIN ? 2 : 4;
}

/* Sizes 4, 6, 8, ... (E Alg. 1 as its program has it: the last ones are clipped to the cap); by
 * GOAt's rules, from 4 or 2 up to the cap without clipping. */
static void prefix_ends(plan *p)
{
    int64_t last = p->o->rule == DK_RULE_EIG ? (int64_t)p->cap + 2 : p->cap;

    for (int64_t k = smallest(p->o); k <= last; k += 2) {
        int32_t end = whole_edges(p, k < p->cap ? (int32_t)k : p->cap);
        if (p->n == 0 || p->end[p->n - 1] != end)
            push(p, end);
    }
}

static void group_ends(plan *p)
{
    for (int32_t i = smallest(p->o); i <= p->cap; i++)
        if (may_end(p, i))
            push(p, i);
}

/* The subgraphs that the first 2, 3, ... nodes induce, where another node brings another edge. */
static void node_ends(plan *p)
{
    int32_t last = 0;

    for (int32_t i = 2; i <= p->items && p->kept[i] <= p->cap; i++)
        if (p->kept[i] > last && may_end(p, i)) {
            last = p->kept[i];
            push(p, i);
        }
}

static void list_candidates(plan *p, bool search)
{
    if (search && p->o->induce == DK_INDUCE_NODE)
        node_ends(p);
    else if (search && p->o->ties == DK_TIES_GROUP)
        group_ends(p);
    else if (search)
        prefix_ends(p);
    if (p->n == 0)
        push(p, fixed_end(p));
}

/* ---- Keys. */

static void edge_keys(plan *p, dk_selection *s)
{
    p->items = p->g->e;
    p->order = s->order;
    for (int32_t i = 0; i < p->items; i++)
        p->key[s->order[i]] = i;
}

static int node_keys(plan *p, dk_err *err)
{
    const dk_graph *g = p->g;
    place *nodes = dk_graph_array((size_t)g->n, sizeof *nodes, "the order of nodes", err);
    int32_t *rank = dk_graph_array((size_t)g->n, sizeof *rank, "the order of nodes", err);

    p->items = g->n;
    p->order = dk_graph_array((size_t)g->n, sizeof *p->order, "the order of nodes", err);
    if (!err->code) {
        for (int32_t v = 0; v < g->n; v++)
            nodes[v] = (place){rounded(p->score[v]), 0, v};
        sort_places(nodes, g->n, p->order);
        for (int32_t i = 0; i < g->n; i++)
            rank[p->order[i]] = i;
        for (int32_t e = 0; e < g->e; e++) {
            int32_t a = rank[g->src[e]], b = rank[g->dst[e]];
            p->key[e] = a > b ? a : b;
        }
    }
    free(nodes);
    free(rank);
    return err->code;
}

static int make_plan(plan *p, dk_selection *s, bool search, dk_err *err)
{
    size_t e = (size_t)p->g->e, items = p->o->induce == DK_INDUCE_NODE ? (size_t)p->g->n : e;

    p->key = dk_graph_array(e, sizeof *p->key, "places of edges", err);
    p->kept = dk_graph_array(items + 1, sizeof *p->kept, "sizes of explanations", err);
    p->end = dk_graph_array(items + 4, sizeof *p->end, "sizes of explanations", err);
    if (err->code)
        return err->code;
    if (p->o->induce == DK_INDUCE_EDGE)
        edge_keys(p, s);
    else if (node_keys(p, err))
        return err->code;
    memset(p->kept, 0, (items + 1) * sizeof *p->kept);
    for (size_t i = 0; i < e; i++)
        p->kept[p->key[i] + 1]++;
    for (size_t i = 0; i < items; i++)
        p->kept[i + 1] += p->kept[i];
    p->cap = cap_of(p);
    list_candidates(p, search);
    return 0;
}

/* ---- Choice. */

/* The first of the best; GOAt's program for GCN is content with a nearly perfect one. */
static int32_t best_of(const plan *p, const double *overall, int32_t *tried)
{
    int32_t best = 0;

    for (*tried = 0; *tried < p->n; ++*tried) {
        if (overall[*tried] > overall[best])
            best = *tried;
        if (p->o->rule == DK_RULE_GOAT_GCN && overall[*tried] > .999) {
            ++*tried;
            break;
        }
    }
    return best;
}

static int choose(dk_selection *s, plan *p, dk_explain_worker *w, const dk_instance *inst,
                  bool search, int32_t *end, dk_err *err)
{
    double *plus = dk_graph_array((size_t)p->n, sizeof *plus, "fidelities", err);
    double *minus = dk_graph_array((size_t)p->n, sizeof *minus, "fidelities", err);
    s->curve = dk_graph_array((size_t)p->n, sizeof *s->curve, "fidelities", err);
    s->curve_size = dk_graph_array((size_t)p->n, sizeof *s->curve_size, "fidelities", err);
    int rc = err->code;

    if (!rc)
        rc = dk_fidelity_ends(w, inst, p->key, p->end, p->n, plus, minus, err);
    if (!rc) {
        for (int32_t j = 0; j < p->n; j++) {
            s->curve[j] = plus[j] - minus[j];
            s->curve_size[j] = p->kept[p->end[j]];
        }
        int32_t best = best_of(p, s->curve, &s->candidates);
        s->fid_plus = plus[best];
        s->fid_minus = minus[best];
        s->overall = s->curve[best];
        *end = p->end[best];
    }
    if (!search) {
        free(s->curve);
        free(s->curve_size);
        s->curve = NULL;
        s->curve_size = NULL;
        s->candidates = 0;
    }
    free(plus);
    free(minus);
    return rc;
}

static void keep(dk_selection *s, const plan *p, int32_t end)
{
    s->size = 0;
    for (int32_t e = 0; e < s->e; e++) {
        s->kept[e] = p->key[e] < end;
        s->size += s->kept[e];
    }
    s->sparsity = s->e > 0 ? 1 - (double)s->size / s->e : 0;
}

int dk_select(dk_selection *s, dk_explain_worker *w, const dk_instance *inst, const double *score,
              const double *node_score, const dk_select_options *o, dk_err *err)
{
    bool graph_task = inst->node < 0, nodes = o->induce == DK_INDUCE_NODE;
    size_t e = (size_t)inst->g->e;
    plan p = {.g = inst->g, .o = o, .score = nodes ? node_score : score};
    int32_t end = 0;
    int rc;

    *s = (dk_selection){.e = inst->g->e, .fid_plus = NAN, .fid_minus = NAN, .overall = NAN};
    if (nodes && !node_score)
        return dk_fail(err, DK_EUSAGE, "inducing by nodes: expected a method that scores nodes");
    s->order = dk_graph_array(e, sizeof *s->order, "an explanation", err);
    s->rank = dk_graph_array(e, sizeof *s->rank, "an explanation", err);
    s->kept = dk_graph_array(e, sizeof *s->kept, "an explanation", err);
    rc = err->code;
    if (!rc)
        rc = dk_select_order(inst->g, score, o->ties, s->order, err);
    for (int32_t i = 0; !rc && i < s->e; i++)
        s->rank[s->order[i]] = i;
    if (!rc)
        rc = make_plan(&p, s, o->search && graph_task, err);
    if (!rc && graph_task)
        rc = choose(s, &p, w, inst, o->search, &end, err);
    if (!rc) {
        s->cap = p.cap;
        keep(s, &p, graph_task ? end : p.end[0]);
    }
    if (nodes)
        free(p.order);
    free(p.key);
    free(p.kept);
    free(p.end);
    if (rc)
        dk_selection_free(s);
    return rc;
}

void dk_selection_free(dk_selection *s)
{
    free(s->order);
    free(s->rank);
    free(s->kept);
    free(s->curve);
    free(s->curve_size);
    *s = (dk_selection){0};
}
