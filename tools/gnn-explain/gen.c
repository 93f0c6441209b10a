/* gnn-explain gen and convert: synthetic data sets, and data sets in other clothes. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "gx.h"

static const char gen_usage[] = "gnn-explain gen KIND -o DIR|FILE.json [-n N] [--seed S]";
static const char gen_summary[] =
    "Makes a data set with ground-truth explanations. KIND: ba-shapes, ba-community, tree-cycles,\n"
    "tree-grid (one graph, a class per node), ba-2motifs (graphs with a cycle or a house).";
static const char gen_footer[] =
    "Example:\n"
    "  gnn-explain gen ba-2motifs -n 1000 --seed 1 -o motifs";
static const char convert_usage[] = "gnn-explain convert -d DATA -o DIR|FILE.json\n       gnn-explain convert DATA DIR|FILE.json";
static const char convert_summary[] =
    "Reads a data set in any known form and writes a JSON file (name ends in .json) or a folder: TU\n"
    "text for graphs with a class each, nodes.csv and edges.csv for one graph with a class per node.";
static const char convert_footer[] = "Example:\n"
                                     "  gnn-explain convert -d MUTAG -o mutag.json";

static bool is_json(const char *path)
{
    size_t n = strlen(path);
    return strcmp(path, "-") == 0 || (n > 5 && strcmp(path + n - 5, ".json") == 0);
}

static int save(const dk_dataset *d, const gx_options *o, dk_err *err)
{
    if (is_json(o->output))
        return dk_dataset_save_json(d, o->output, o->force, err);
    if (mkdir(o->output, 0777) && errno != EEXIST)
        return dk_fail_errno(err, "%s", o->output);
    if (d->task == DK_TASK_NODE)
        return dk_dataset_save_csv(d, o->output, o->force, err);
    return dk_dataset_save_tu(d, o->output, o->force, err);
}

static void describe(const dk_dataset *d, const gx_options *o)
{
    int64_t nodes = 0, edges = 0;

    for (int32_t i = 0; i < d->count; i++) {
        nodes += d->graphs[i].n;
        edges += d->graphs[i].e;
    }
    dk_info("%s: %d %s, %lld nodes, %lld directed edges", o->output, d->count,
            d->count == 1 ? "graph" : "graphs", (long long)nodes, (long long)edges);
}

int gx_gen(int argc, char **argv, dk_err *err)
{
    gx_options o;
    dk_gen_options g = {.noise = -1};
    dk_dataset d = {0};
    dk_opt t[GX_ROWS];
    int n = 0, first;

    gx_options_init(&o);
    t[n++] = (dk_opt)DK_OPT_GROUP("What");
    t[n++] = (dk_opt)DK_OPT_INT('n', "count", &g.count, 1, 100000000, "N",
                                "ba-2motifs: graphs (default 1000); others: motifs (default as published)");
    t[n++] = (dk_opt)DK_OPT_INT(0, "base", &g.base, 1, 100000000, "N",
                                "nodes of the base graph (default as published)");
    t[n++] = (dk_opt)DK_OPT_F64(0, "noise", &g.noise, 0, 10, "R",
                                "random edges added, as a share of the edges (default as published)");
    t[n++] = (dk_opt)DK_OPT_SEED('s', "seed", &g.seed, "of all random draws (default 0)");
    t[n++] = (dk_opt)DK_OPT_GROUP("Output");
    t[n++] = (dk_opt)DK_OPT_STR('o', "output", &o.output, "DIR",
                                "folder (made if missing), or FILE.json");
    gx_rows_run(t, &n, &o, false);
    int rc = gx_parse(&o, t, gen_usage, gen_summary, gen_footer, argc, argv, &first, err);
    if (rc)
        return rc < 0 ? rc : 0;
    if (argc - first != 1)
        return dk_fail(err, DK_EUSAGE, "one KIND is needed: ba-shapes, ba-community, tree-cycles, "
                                       "tree-grid or ba-2motifs");
    if (!o.output)
        return dk_fail(err, DK_EUSAGE, "-o DIR is needed");
    g.kind = argv[first];
    if (dk_dataset_generate(&d, &g, err) == 0 && save(&d, &o, err) == 0)
        describe(&d, &o);
    dk_dataset_free(&d);
    return err->code;
}

int gx_convert(int argc, char **argv, dk_err *err)
{
    gx_options o;
    dk_dataset d = {0};
    dk_opt t[GX_ROWS];
    int n = 0, first;

    gx_options_init(&o);
    gx_rows_data(t, &n, &o, false);
    t[n++] = (dk_opt)DK_OPT_GROUP("Output");
    t[n++] = (dk_opt)DK_OPT_STR('o', "output", &o.output, "DIR",
                                "folder (made if missing), FILE.json, or - for JSON on standard output");
    gx_rows_run(t, &n, &o, false);
    int rc = gx_parse(&o, t, convert_usage, convert_summary, convert_footer, argc, argv, &first, err);
    if (rc)
        return rc < 0 ? rc : 0;
    if (argc - first == 2 && !o.data && !o.output) {
        o.data = argv[first];
        o.output = argv[first + 1];
    } else if (argc > first) {
        return dk_fail(err, DK_EUSAGE, "unexpected argument \"%s\"; convert takes -d and -o, or both as "
                                       "arguments", argv[first]);
    }
    if (!o.data || !o.output)
        return dk_fail(err, DK_EUSAGE, "-d DATA and -o DIR|FILE.json are needed");
    const dk_dataset_options opt = {.drop_self_loops = strcmp(o.self_loops, "drop") == 0};
    if (dk_dataset_load(&d, o.data, &opt, err) == 0 && save(&d, &o, err) == 0)
        describe(&d, &o);
    dk_dataset_free(&d);
    return err->code;
}
