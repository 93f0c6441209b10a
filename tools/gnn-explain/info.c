/* gnn-explain info: what a model file or a data set holds. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "gx.h"

static const char usage[] = "gnn-explain info MODEL.safetensors|DATA [--json]";
static const char summary_text[] = "Describes a model file, or a data set in any known form.";
static const char footer[] = "Example:\n"
                             "  gnn-explain info models/gnn/mutag-gin.safetensors";

static const char *const readouts[] = {"none", "mean", "sum", "max", "max+mean"};

static json_t *model_json(const dk_gnn *m)
{
    json_t *o = json_object(), *params = json_array();

    json_object_set_new(o, "schema", json_string("dk.gnn-info/1"));
    json_object_set_new(o, "arch", json_string(dk_gnn_arch_name(m->c.arch)));
    json_object_set_new(o, "task", json_string(m->c.task == DK_TASK_NODE ? "node" : "graph"));
    json_object_set_new(o, "dataset", m->dataset ? json_string(m->dataset) : json_null());
    json_object_set_new(o, "layers", json_integer(m->c.layers));
    json_object_set_new(o, "hidden", json_integer(m->c.hidden));
    json_object_set_new(o, "features", json_integer(m->c.features));
    json_object_set_new(o, "classes", json_integer(m->c.classes));
    json_object_set_new(o, "readout", json_string(readouts[m->c.readout]));
    if (m->c.heads > 1)
        json_object_set_new(o, "heads", json_integer(m->c.heads));
    json_object_set_new(o, "parameters", json_integer(dk_gnn_parameters(m)));
    if (m->has_encoding) {
        char *text = dk_encoding_text(&m->encoding);
        json_object_set_new(o, "encoding", json_string(text));
        free(text);
    }
    for (int i = 0; i < m->params; i++) {
        json_t *p = json_object();
        json_object_set_new(p, "name", json_string(m->param[i].name));
        json_object_set_new(p, "rows", json_integer(m->param[i].rows));
        json_object_set_new(p, "columns", json_integer(m->param[i].cols));
        json_array_append_new(params, p);
    }
    json_object_set_new(o, "tensors", params);
    json_object_set_new(o, "hash", json_string(m->hash));
    return o;
}

static void print_model(const char *path, const dk_gnn *m)
{
    printf("%s: %s, %s classification%s%s\n", path, dk_gnn_arch_name(m->c.arch),
           m->c.task == DK_TASK_NODE ? "node" : "graph", m->dataset ? ", trained on " : "",
           m->dataset ? m->dataset : "");
    printf("  %d layers of width %d, %d features, %d classes, readout %s\n", m->c.layers, m->c.hidden,
           m->c.features, m->c.classes, readouts[m->c.readout]);
    printf("  %lld parameters in %d tensors\n", (long long)dk_gnn_parameters(m), m->params);
}

/* The metadata as written: what info adds for people who wonder where a model comes from. */
static void print_metadata(const dk_st *st)
{
    static const char *const keys[] = {"origin", "seed", "train_accuracy", "val_accuracy",
                                       "test_accuracy", "all_accuracy", "train_acc", "val_acc",
                                       "test_acc", "encoding"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
        const char *v = dk_st_meta(st, keys[i]);
        if (v)
            printf("  %s: %.300s\n", keys[i], v);
    }
}

static int info_model(const gx_options *o, const char *path, dk_err *err)
{
    dk_st *st = dk_st_open(path, err);
    dk_gnn *m = st ? dk_gnn_load_st(st, o->arch, -1, DK_F64, err) : NULL;

    if (m && o->json) {
        gx_write_json(model_json(m), "-", true, err);
    } else if (m) {
        print_model(path, m);
        print_metadata(st);
    }
    dk_gnn_free(m);
    if (st)
        dk_st_close(st);
    return err->code;
}

typedef struct counts {
    int64_t nodes, edges, loops, isolated, gt, edgeless;
    int32_t most_nodes;
    int64_t *per_class;
} counts;

static void count_classes(const dk_dataset *d, counts *c)
{
    c->per_class = dk_xcalloc((size_t)d->classes + 1, sizeof *c->per_class);
    if (d->task == DK_TASK_GRAPH) {
        for (int32_t i = 0; i < d->count; i++)
            if (d->graphs[i].label >= 0)
                c->per_class[d->graphs[i].label]++;
        return;
    }
    const dk_graph *g = &d->graphs[0];
    for (int32_t v = 0; g->y && v < g->n; v++)
        if (g->y[v] >= 0)
            c->per_class[g->y[v]]++;
}

static void count_all(const dk_dataset *d, counts *c)
{
    memset(c, 0, sizeof *c);
    for (int32_t i = 0; i < d->count; i++) {
        const dk_graph *g = &d->graphs[i];
        c->nodes += g->n;
        c->edges += g->e;
        c->edgeless += g->e == 0;
        if (g->n > c->most_nodes)
            c->most_nodes = g->n;
        for (int32_t e = 0; e < g->e; e++) {
            c->loops += g->src[e] == g->dst[e];
            c->gt += g->gt && g->gt[e];
        }
        for (int32_t v = 0; v < g->n; v++)
            c->isolated += g->in_ptr[v] == g->in_ptr[v + 1] && g->out_ptr[v] == g->out_ptr[v + 1];
    }
    count_classes(d, c);
}

static json_t *data_json(const dk_dataset *d, const counts *c)
{
    json_t *o = json_object(), *classes = json_array();

    json_object_set_new(o, "schema", json_string("dk.dataset-info/1"));
    json_object_set_new(o, "name", json_string(d->name));
    json_object_set_new(o, "task", json_string(d->task == DK_TASK_NODE ? "node" : "graph"));
    json_object_set_new(o, "graphs", json_integer(d->count));
    json_object_set_new(o, "nodes", json_integer(c->nodes));
    json_object_set_new(o, "directed_edges", json_integer(c->edges));
    json_object_set_new(o, "largest_graph", json_integer(c->most_nodes));
    json_object_set_new(o, "self_loops", json_integer(c->loops));
    json_object_set_new(o, "one_way_edges", json_integer(d->one_way_edges));
    json_object_set_new(o, "isolated_nodes", json_integer(c->isolated));
    json_object_set_new(o, "ground_truth_edges", json_integer(c->gt));
    json_object_set_new(o, "attributes", json_integer(d->attributes));
    json_object_set_new(o, "label_columns", json_integer(d->label_columns));
    for (int32_t k = 0; k < d->classes; k++) {
        json_t *row = json_object();
        json_object_set_new(row, "index", json_integer(k));
        json_object_set_new(row, "value", json_integer(d->class_value[k]));
        json_object_set_new(row, "count", json_integer(c->per_class[k]));
        json_array_append_new(classes, row);
    }
    json_object_set_new(o, "classes", classes);
    json_object_set_new(o, "hash", json_string(d->hash));
    return o;
}

static void print_data(const dk_dataset *d, const counts *c)
{
    printf("%s: %d %s, %lld nodes, %lld directed edges\n", d->name, d->count,
           d->count == 1 ? "graph" : "graphs", (long long)c->nodes, (long long)c->edges);
    if (d->count > 1)
        printf("  nodes per graph: %.2f on average, %d at most; edges: %.2f\n",
               (double)c->nodes / d->count, c->most_nodes, (double)c->edges / d->count);
    printf("  features: %d attributes, %d label columns\n", d->attributes, d->label_columns);
    printf("  self loops %lld, one-way edges %lld, isolated nodes %lld, graphs without edges %lld\n",
           (long long)c->loops, (long long)d->one_way_edges, (long long)c->isolated,
           (long long)c->edgeless);
    if (c->gt)
        printf("  ground truth: %lld edges marked\n", (long long)c->gt);
    for (int32_t k = 0; k < d->classes && k < 50; k++)
        printf("  class %d (label %lld): %lld\n", k, (long long)d->class_value[k],
               (long long)c->per_class[k]);
}

static int info_data(const gx_options *o, const char *path, dk_err *err)
{
    const dk_dataset_options opt = {.drop_self_loops = strcmp(o->self_loops, "drop") == 0};
    dk_dataset d = {0};
    counts c;

    if (dk_dataset_load(&d, path, &opt, err) == 0) {
        count_all(&d, &c);
        if (o->json)
            gx_write_json(data_json(&d, &c), "-", true, err);
        else
            print_data(&d, &c);
        free(c.per_class);
    }
    dk_dataset_free(&d);
    return err->code;
}

int gx_info(int argc, char **argv, dk_err *err)
{
    static const char ending[] = ".safetensors";
    gx_options o;
    dk_opt t[GX_ROWS];
    int n = 0, first;

    gx_options_init(&o);
    t[n++] = (dk_opt)DK_OPT_GROUP("Reading");
    t[n++] = (dk_opt)DK_OPT_STR(0, "arch", &o.arch, "NAME", "architecture of the model, if the file is silent");
    t[n++] = (dk_opt)DK_OPT_ENUM(0, "self-loops", &o.self_loops, "keep|drop",
                                 "self loops of the data set (default keep)");
    gx_rows_run(t, &n, &o, true);
    int rc = gx_parse(&o, t, usage, summary_text, footer, argc, argv, &first, err);
    if (rc)
        return rc < 0 ? rc : 0;
    if (argc - first != 1)
        return dk_fail(err, DK_EUSAGE, "one model file or data set is needed");
    const char *path = argv[first];
    size_t len = strlen(path);
    bool model = len > sizeof ending - 1 && strcmp(path + len - (sizeof ending - 1), ending) == 0;
    return model ? info_model(&o, path, err) : info_data(&o, path, err);
}
