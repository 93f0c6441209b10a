/* `gnn-explain draw`: a graph, or the surroundings of a node, with the kept edges in red. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sig.h"
#include "draw.h"
#include "graph/explain/scores.h"
#include "gx.h"

#define MAX_NODES 5000  /* of a picture: beyond, nothing is recognised and layouts take minutes */
#define MAX_EDGES 50000 /* directed */

static const char usage[] =
    "gnn-explain draw -d DIR --scores scores.csv --id 12 -o g.svg|g.png|g.dot [options]\n"
    "       gnn-explain draw -d DIR --id 0,5,10-20 -o 'pictures/%i.svg'";
static const char summary[] =
    "Draws a graph, or a node with its surroundings, with Graphviz: kept edges red, molecules of "
    "known sets with atom letters. Without --scores nothing is marked.";
static const char footer[] =
    "In -o, %i is the id and %% a percent sign. A .dot file needs no Graphviz.\n"
    "Example:\n"
    "  gnn-explain draw -d MUTAG --scores scores.csv --id 0 -o molecule.svg\n"
    "Exit status: 0 done, 1 failed, 2 usage, 3 malformed input or scores of another data set,\n"
    "4 too large to draw, 130 interrupted.";

typedef struct options {
    gx_options common;
    const char *scores, *id, *output, *title, *atoms;
    int64_t topk, hops;
    bool hops_given, no_atoms, numbers;
} options;

typedef struct job {
    const options *o;
    dk_dataset data;
    dk_scores scores; /* rows 0 without --scores */
    dk_json summary;  /* root NULL without --summary */
    gx_looks looks;
    const char *format; /* "svg", "png", "dot" */
    int64_t *ids, n;
} job;

static int parse(options *o, int argc, char **argv, dk_err *err)
{
    dk_opt rows[GX_ROWS];
    int n = 0;

    gx_rows_data(rows, &n, &o->common, false);
    const dk_opt own[] = {
        DK_OPT_STR(0, "scores", &o->scores, "FILE", "scores.csv of explain, or of another program"),
        DK_OPT_STR(0, "id", &o->id, "LIST",
                   "graphs, counted from 0, or nodes (node task), by the ids of the data set"),
        DK_OPT_STR(0, "summary", &o->common.summary, "FILE",
                   "summary of explain, for the predictions in the titles"),
        DK_OPT_GROUP("Picture"),
        DK_OPT_STR('o', "output", &o->output, "FILE",
                   "FILE.svg, .png or .dot; a pattern with %i for several; - is DOT on standard "
                   "output"),
        DK_OPT_INT(0, "topk", &o->topk, 1, 2e9, "K",
                   "mark the K best directed edges (whole undirected ones) instead of those kept"),
        {DK_KIND_INT, 0, "hops", &o->hops, &o->hops_given, 0, 1000, "N",
         "show what lies at most N edges from the node (default 3; ba_community 2), or from the "
         "kept edges of a graph (default: all)"},
        DK_OPT_STR(0, "title", &o->title, "TEXT", "instead of data set, id, class and size"),
        DK_OPT_STR(0, "atoms", &o->atoms, "LIST",
                   "letters of node labels 0, 1, ...: C,N,O, or 1=O,3=C; MUTAG, Mutagenicity and "
                   "NCI1 are known"),
        DK_OPT_FLAG(0, "no-atoms", &o->no_atoms, "colours only"),
        DK_OPT_FLAG(0, "numbers", &o->numbers, "write node ids into the nodes"),
    };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        rows[n++] = own[i];
    gx_rows_run(rows, &n, &o->common, false);
    return gx_parse(&o->common, rows, usage, summary, footer, argc, argv, NULL, err);
}

/* ---- Outputs. */

static bool ends_in(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n > m && strcmp(s + n - m, end) == 0;
}

static int find_format(job *j, dk_err *err)
{
    const char *path = j->o->output;

    if (ends_in(path, ".svg"))
        j->format = "svg";
    else if (ends_in(path, ".png"))
        j->format = "png";
    else if (strcmp(path, "-") == 0 || ends_in(path, ".dot") || ends_in(path, ".gv"))
        j->format = "dot";
    else
        return dk_fail(err, DK_EUSAGE, "-o %s: expected a name that ends in .svg, .png or .dot",
                       path);
    return 0;
}

/* NULL: unknown escape. *used: %i occurs. */
static char *expand(const char *pattern, int64_t id, bool *used, dk_err *err)
{
    dk_buf b = {0};

    *used = false;
    for (const char *p = pattern; *p; p++) {
        if (*p != '%') {
            dk_buf_putc(&b, *p);
        } else if (*++p == 'i') {
            dk_buf_printf(&b, "%" PRId64, id);
            *used = true;
        } else if (*p == '%') {
            dk_buf_putc(&b, '%');
        } else {
            dk_fail(err, DK_EUSAGE, "-o %s: unknown escape %%%.1s (%%i %%%%)", pattern, p);
            dk_buf_free(&b);
            return NULL;
        }
    }
    return dk_buf_steal(&b);
}

static int check_outputs(const job *j, dk_err *err)
{
    for (int64_t i = 0; i < j->n && !err->code; i++) {
        bool used;
        char *path = expand(j->o->output, j->ids[i], &used, err);
        if (path && j->n > 1 && !used)
            dk_fail(err, DK_EUSAGE, "-o %s: %" PRId64 " pictures need a pattern with %%i",
                    j->o->output, j->n);
        else if (path)
            dk_out_check(path, j->o->common.force, err);
        free(path);
    }
    return err->code;
}

/* ---- What is drawn. */

static bool node_task(const job *j) { return j->data.task == DK_TASK_NODE; }

static const char *noun(const job *j) { return node_task(j) ? "node" : "graph"; }

/* Row of a node by its id, or -1; a walk, as few are asked for. */
static int32_t node_row(const job *j, int64_t id)
{
    const dk_dataset *d = &j->data;

    if (!d->node_id)
        return id >= 0 && id < d->graphs[0].n ? (int32_t)id : -1;
    for (int32_t v = 0; v < d->graphs[0].n; v++)
        if (d->node_id[v] == id)
            return v;
    return -1;
}

static bool exists(const job *j, int64_t id)
{
    return node_task(j) ? node_row(j, id) >= 0 : id >= 0 && id < j->data.count;
}

static int pick(job *j, dk_err *err)
{
    if (j->o->id) {
        if (gx_parse_ids(j->o->id, "--id", &j->ids, &j->n, err))
            return err->code;
        for (int64_t i = 0; i < j->n; i++)
            if (!exists(j, j->ids[i]))
                return dk_fail(err, DK_EUSAGE, "--id: %s has no %s %" PRId64, j->data.name, noun(j),
                               j->ids[i]);
        return 0;
    }
    bool from_scores = j->scores.items == 1;
    if (!from_scores && (node_task(j) || j->data.count != 1))
        return dk_fail(err, DK_EUSAGE, "--id: which %s?", noun(j));
    j->n = 1;
    j->ids = dk_xmalloc(sizeof *j->ids);
    j->ids[0] = from_scores ? j->scores.item_id[0] : 0;
    return 0;
}

/* Every row of the file against the data set, not only those that are drawn: scores of another set
 * must not pass because one id exists in both. */
static int check_scores(const job *j, dk_err *err)
{
    const dk_scores *s = &j->scores;
    const dk_dataset *d = &j->data;

    if (s->node_task != node_task(j))
        return dk_fail(err, DK_EFORMAT, "%s: has scores of %ss, but %s is a set of %ss", s->name,
                       s->node_task ? "node" : "graph", d->name,
                       node_task(j) ? "node label" : "graph");
    for (int64_t k = 0; k < s->items; k++) {
        if (!exists(j, s->item_id[k]))
            return dk_fail(err, DK_EFORMAT,
                           "%s: %s has no %s %" PRId64 " (scores of another data set?)", s->name,
                           d->name, noun(j), s->item_id[k]);
        const dk_graph *g = &d->graphs[node_task(j) ? 0 : s->item_id[k]];
        for (int64_t i = s->item_ptr[k]; i < s->item_ptr[k + 1] && !d->node_id; i++)
            if (s->src[i] < 0 || s->src[i] >= g->n || s->dst[i] < 0 || s->dst[i] >= g->n)
                return dk_fail(err, DK_EFORMAT,
                               "%s: row %s %" PRId64 ", edge %" PRId64 ",%" PRId64
                               ": there is no such node (scores of another data set?)",
                               s->name, noun(j), s->item_id[k], s->src[i], s->dst[i]);
    }
    return 0;
}

/* One picture in the making; arrays of the whole graph. */
typedef struct picture {
    const dk_graph *g;
    int32_t graph, target;
    double *score;
    int64_t *rank;
    uint8_t *present, *kept, *shown;
    int64_t rows, marked, nodes, edges; /* with a score; kept; shown */
} picture;

static void picture_free(picture *p)
{
    dk_free_aligned(p->score);
    dk_free_aligned(p->rank);
    dk_free_aligned(p->present);
    dk_free_aligned(p->kept);
    dk_free_aligned(p->shown);
}

static int picture_make(picture *p, const job *j, int64_t id, dk_err *err)
{
    size_t e, n;

    *p = (picture){.graph = node_task(j) ? 0 : (int32_t)id, .target = -1};
    p->g = &j->data.graphs[p->graph];
    if (node_task(j))
        p->target = node_row(j, id);
    e = (size_t)p->g->e;
    n = (size_t)p->g->n;
    p->score = dk_alloc(e * sizeof *p->score, "scores", err);
    p->rank = dk_alloc(e * sizeof *p->rank, "ranks", err);
    p->present = dk_alloc(e, "edges", err);
    p->kept = dk_alloc(e, "edges", err);
    p->shown = dk_alloc(n, "nodes", err);
    if (err->code)
        return err->code;
    memset(p->score, 0, e * sizeof *p->score);
    memset(p->rank, 0, e * sizeof *p->rank);
    memset(p->present, 0, e);
    memset(p->kept, 0, e);
    memset(p->shown, 0, n);
    return 0;
}

/* The K best of the file's ranks; K down to whole undirected edges as `explain` does it. */
static void keep_best(picture *p, int64_t k)
{
    if (p->g->one_way == 0 && k > 1)
        k -= k % 2;
    else if (p->g->one_way == 0)
        k = 2;
    for (int32_t e = 0; e < p->g->e; e++)
        p->kept[e] = p->present[e] && p->rank[e] >= 0 && p->rank[e] < k;
}

static int lay_scores(picture *p, const job *j, int64_t id, dk_err *err)
{
    int64_t k = dk_scores_item(&j->scores, id);

    if (k < 0) {
        if (j->o->scores && p->g->e > 0)
            dk_warn("%s: no row of %s %" PRId64 ": nothing is marked", j->scores.name, noun(j), id);
        return 0;
    }
    if (dk_scores_on_graph(&j->scores, k, p->g, j->data.node_id, p->score, p->present, p->kept,
                           p->rank, err))
        return err->code;
    if (j->o->topk > 0)
        keep_best(p, j->o->topk);
    for (int32_t e = 0; e < p->g->e; e++) {
        p->rows += p->present[e];
        p->marked += p->kept[e];
    }
    return 0;
}

/* Marks as shown what lies at most `hops` edges, in any direction, from what is shown already. */
static int widen(picture *p, int64_t hops, dk_err *err)
{
    const dk_graph *g = p->g;
    int32_t *queue = dk_alloc((size_t)g->n * sizeof *queue, "nodes", err);
    int32_t end = 0, begin = 0;

    if (!queue)
        return err->code;
    for (int32_t v = 0; v < g->n; v++)
        if (p->shown[v])
            queue[end++] = v;
    for (int64_t h = 0; h < hops && begin < end; h++)
        for (int32_t ring = end; begin < ring; begin++) {
            int32_t v = queue[begin];
            for (int32_t e = g->out_ptr[v]; e < g->out_ptr[v + 1]; e++)
                if (!p->shown[g->dst[e]]) {
                    p->shown[g->dst[e]] = 1;
                    queue[end++] = g->dst[e];
                }
            for (int32_t i = g->in_ptr[v]; i < g->in_ptr[v + 1]; i++) {
                int32_t u = g->src[g->in_edge[i]];
                if (!p->shown[u]) {
                    p->shown[u] = 1;
                    queue[end++] = u;
                }
            }
        }
    dk_free_aligned(queue);
    return 0;
}

static void show_kept(picture *p)
{
    for (int32_t e = 0; e < p->g->e; e++)
        if (p->kept[e])
            p->shown[p->g->src[e]] = p->shown[p->g->dst[e]] = 1;
}

/* The default radius of the published drawings. */
static int64_t default_hops(const job *j)
{
    const char *name = j->data.name;
    return strstr(name, "ba_community") || strstr(name, "ba-community") ? 2 : 3;
}

static int choose_nodes(picture *p, const job *j, dk_err *err)
{
    const dk_graph *g = p->g;
    int64_t hops = j->o->hops_given ? j->o->hops : default_hops(j);

    if (p->target >= 0) {
        p->shown[p->target] = 1;
        if (widen(p, hops, err))
            return err->code;
        show_kept(p);
    } else if (j->o->hops_given && p->marked > 0) {
        show_kept(p);
        if (widen(p, hops, err))
            return err->code;
    } else {
        memset(p->shown, 1, (size_t)g->n);
    }
    for (int32_t v = 0; v < g->n; v++)
        p->nodes += p->shown[v];
    for (int32_t e = 0; e < g->e; e++)
        p->edges += p->shown[g->src[e]] && p->shown[g->dst[e]];
    bool layout = strcmp(j->format, "dot") != 0;
    if (layout && (p->nodes > MAX_NODES || p->edges > MAX_EDGES))
        return dk_fail(err, DK_EUNSUPPORTED,
                       "a picture of %" PRId64 " nodes and %" PRId64 " directed edges would show "
                       "nothing (limits: %d, %d); --hops N draws less, -o FILE.dot writes the "
                       "graph for other programs",
                       p->nodes, p->edges, MAX_NODES, MAX_EDGES);
    return 0;
}

/* The prediction that explain's summary has for an id; -1: none. */
static int find_prediction(const job *j, int64_t id, int64_t *prediction, dk_err *err)
{
    *prediction = -1;
    if (!j->summary.root)
        return 0;
    dk_jnode list = dk_json_key(dk_json_root(&j->summary), "instances");
    if (!json_is_array(list.v))
        return dk_json_expected(list, "a list of instances", err);
    for (size_t i = 0; i < json_array_size(list.v); i++) {
        dk_jnode one = dk_json_item(list, i);
        int64_t its_id;
        if (dk_json_i64(one, "id", -1, INT64_MIN, INT64_MAX, &its_id, err))
            return err->code;
        if (its_id == id)
            return dk_json_i64(one, "prediction", -1, -1, INT32_MAX, prediction, err);
    }
    return 0;
}

static char *make_title(const picture *p, const job *j, int64_t id, int64_t prediction)
{
    dk_buf b = {0};
    int32_t label = p->target >= 0 ? (p->g->y ? p->g->y[p->target] : -1) : p->g->label;

    if (j->o->title)
        return dk_xstrdup(j->o->title);
    dk_buf_printf(&b, "%s %s %" PRId64, j->data.name, noun(j), id);
    if (label >= 0)
        dk_buf_printf(&b, ", class %d", label);
    if (prediction >= 0)
        dk_buf_printf(&b, label >= 0 ? " (predicted %" PRId64 ")" : ", predicted %" PRId64,
                      prediction);
    if (p->rows > 0)
        dk_buf_printf(&b, ", %" PRId64 " of %" PRId64 " directed edges kept", p->marked, p->rows);
    return dk_buf_steal(&b);
}

static int write_picture(const job *j, const picture *p, int64_t id, const dk_buf *dot, dk_err *err)
{
    bool used, layout = strcmp(j->format, "dot") != 0;
    dk_buf drawn = {0};
    dk_out *out = NULL;
    char *path = expand(j->o->output, id, &used, err);

    if (!path || (layout && gx_dot_render(dot, p->nodes, j->format, &drawn, err)))
        goto end;
    out = dk_out_begin(path, j->o->common.force, err);
    if (!out)
        goto end;
    const dk_buf *content = layout ? &drawn : dot;
    if (content->len && fwrite(content->data, 1, content->len, dk_out_file(out)) != content->len) {
        dk_fail_errno(err, "%s", path);
        dk_out_abort(out);
        goto end;
    }
    dk_out_commit(out, err);
end:
    dk_buf_free(&drawn);
    free(path);
    return err->code;
}

static int draw_one(const job *j, int64_t id, dk_err *err)
{
    picture p;
    dk_buf dot = {0};
    char *title = NULL;
    int64_t prediction;

    if (picture_make(&p, j, id, err) || lay_scores(&p, j, id, err) || choose_nodes(&p, j, err) ||
        find_prediction(j, id, &prediction, err))
        goto out;
    title = make_title(&p, j, id, prediction);
    gx_drawing d = {.g = p.g, .looks = &j->looks, .graph = p.graph, .id = j->data.node_id,
                    .shown = p.shown, .kept = p.kept, .present = p.present, .score = p.score,
                    .target = p.target, .numbers = j->o->numbers, .marked = p.rows > 0,
                    .title = title};
    gx_dot_write(&dot, &d);
    write_picture(j, &p, id, &dot, err);
out:
    free(title);
    dk_buf_free(&dot);
    picture_free(&p);
    return err->code ? dk_wrap(err, "%s %" PRId64, noun(j), id) : 0;
}

static int run(job *j, dk_err *err)
{
    const options *o = j->o;
    const dk_dataset_options how = {.drop_self_loops = strcmp(o->common.self_loops, "drop") == 0};

    if (!o->common.data || !o->output)
        return dk_fail(err, DK_EUSAGE, "%s is needed; see gnn-explain draw --help",
                       o->common.data ? "-o" : "-d");
    if (o->topk > 0 && !o->scores)
        return dk_fail(err, DK_EUSAGE, "--topk needs --scores");
    if (o->atoms && o->no_atoms)
        return dk_fail(err, DK_EUSAGE, "--atoms and --no-atoms exclude each other");
    if (find_format(j, err) || dk_dataset_load(&j->data, o->common.data, &how, err))
        return err->code;
    if (o->scores && (dk_scores_load(&j->scores, o->scores, err) || check_scores(j, err)))
        return err->code;
    if (o->common.summary && dk_json_load(&j->summary, o->common.summary, err))
        return err->code;
    if (pick(j, err) || check_outputs(j, err) ||
        gx_looks_make(&j->looks, &j->data, o->atoms, o->no_atoms, err))
        return err->code;
    for (int64_t i = 0; i < j->n; i++)
        if (dk_check_cancel(err) || draw_one(j, j->ids[i], err))
            return err->code;
    return 0;
}

int gx_draw(int argc, char **argv, dk_err *err)
{
    options o = {0};
    job j = {.o = &o};

    gx_options_init(&o.common);
    int rc = parse(&o, argc, argv, err);
    if (rc)
        return rc < 0 ? rc : 0;
    run(&j, err);
    gx_looks_free(&j.looks);
    dk_scores_free(&j.scores);
    dk_json_free(&j.summary);
    dk_dataset_free(&j.data);
    free(j.ids);
    return err->code;
}
