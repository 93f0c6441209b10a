/* The options that several actions share: rows for their tables, and the words behind them. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/par.h"
#include "gx.h"

void gx_options_init(gx_options *o)
{
    memset(o, 0, sizeof *o);
    o->cls = -1;
    o->self_loops = "keep";
    o->target = "pred";
    o->shard_index = o->shard_count = 1;
    o->method = "eig";
    o->mask_mode = "message";
    o->hops = "list";
    o->selfloop = "const";
    o->params = dk_explain_params_default();
    o->ig_steps = o->params.ig_steps;
    o->rollouts = o->params.rollouts;
    o->min_atoms = o->params.min_atoms;
    o->expand_atoms = o->params.expand_atoms;
    o->max_nodes = o->params.max_nodes;
    o->samples = o->params.samples;
    o->select = dk_select_defaults();
    o->ties = "pair";
    o->induce = "edge";
    o->even = 1;
    o->search = 1;
}

#define ROW(...)                                                                                   \
    do {                                                                                           \
        const dk_opt row = __VA_ARGS__;                                                            \
        t[(*n)++] = row;                                                                           \
    } while (0)

void gx_rows_data(dk_opt *t, int *n, gx_options *o, bool model)
{
    ROW(DK_OPT_GROUP("Input"));
    if (model) {
        ROW(DK_OPT_STR('m', "model", &o->model, "FILE", "trained GNN (safetensors)"));
    }
    ROW(DK_OPT_STR('d', "data", &o->data, "DIR",
                   "data set: TU folder, folder of nodes.csv and edges.csv, JSON file, or - for JSON "
                   "on standard input"));
    if (model) {
        ROW(DK_OPT_STR(0, "arch", &o->arch, "NAME",
                       "gcn, gin, sage, graphconv, gcn-norm, gat, gatv2, gcn-norm-cat, "
                       "gcn-norm-maxmean (default: what the file says)"));
        ROW(DK_OPT_ENUM(0, "task", &o->task, "graph|node", "default: what the file says"));
    }
    ROW(DK_OPT_ENUM(0, "self-loops", &o->self_loops, "keep|drop",
                    "self loops of the data set (default keep)"));
}

void gx_rows_pick(dk_opt *t, int *n, gx_options *o)
{
    ROW(DK_OPT_GROUP("What is explained (default: all that is predicted correctly)"));
    ROW(DK_OPT_STR(0, "ids", &o->ids, "LIST",
                   "these graphs, \"0,5,10-20\", counted from 0; predicted correctly or not"));
    ROW(DK_OPT_STR(0, "nodes", &o->nodes, "LIST", "these nodes (node task), by the ids of the data set"));
    ROW(DK_OPT_INT(0, "class", &o->cls, 0, 1000000, "C",
                   "only those of label C (index) that are predicted correctly"));
    ROW(DK_OPT_FLAG(0, "correct", &o->correct,
                    "of --ids or --nodes only those that are predicted correctly"));
    ROW(DK_OPT_STR(0, "target", &o->target, "WHAT",
                   "class explained: pred (default), label, or an index"));
}

void gx_rows_method(dk_opt *t, int *n, gx_options *o)
{
    ROW(DK_OPT_GROUP("Method"));
    ROW(DK_OPT_STR(0, "explainer", &o->explainer_file, "FILE",
                   "pgexplainer, rgexplainer: load what was learned; if FILE is missing, learn and "
                   "save it there"));
    ROW(DK_OPT_SEED('s', "seed", &o->params.seed, "of all random draws (default 0)"));
    ROW(DK_OPT_F64(0, "epsilon", &o->params.epsilon, 0, 0.999999, "W",
                   "eig: weight of an absent edge (default 0)"));
    ROW(DK_OPT_ENUM(0, "mask-mode", &o->mask_mode, "message|weight",
                    "masks multiply messages (default) or enter as edge weights, which changes the "
                    "degrees of normalised models"));
    ROW(DK_OPT_ENUM(0, "hops", &o->hops, "list|distinct",
                    "goat: neighbourhoods with repetitions (default) or each edge once"));
    ROW(DK_OPT_ENUM(0, "selfloop", &o->selfloop, "const|variable",
                    "goat on normalised models: self loops of the layer (default const)"));
    ROW(DK_OPT_FLAG(0, "no-calibration", &o->no_calibration,
                    "goat: keep what the network without edges contributes"));
    ROW(DK_OPT_FLAG(0, "abs", &o->params.absolute, "grad: absolute values"));
    ROW(DK_OPT_FLAG(0, "directed", &o->directed, "do not average the two directions of an edge"));
    ROW(DK_OPT_INT(0, "ig-steps", &o->ig_steps, 1, 1000, "N", "ig: quadrature points (default 50)"));
    ROW(DK_OPT_INT(0, "epochs", &o->epochs, 1, 100000, "N",
                   "gnnexplainer (100), pgexplainer (30), rgexplainer (10)"));
    ROW(DK_OPT_F64(0, "lr", &o->params.lr, 0, 10, "R",
                   "learning rate: gnnexplainer (.01), pgexplainer (.003), rgexplainer (.01)"));
    ROW(DK_OPT_F64(0, "mask-size", &o->params.size, 0, 1e6, "W",
                   "size regulariser: gnnexplainer (.005), pgexplainer (.05)"));
    ROW(DK_OPT_F64(0, "mask-entropy", &o->params.entropy, 0, 1e6, "W",
                   "entropy regulariser: gnnexplainer (1), pgexplainer (1)"));
    ROW(DK_OPT_INT(0, "rollouts", &o->rollouts, 1, 100000, "N", "subgraphx: tree searches (default 20)"));
    ROW(DK_OPT_INT(0, "samples", &o->samples, 1, 100000, "N",
                   "subgraphx: Shapley samples per reward (default 100)"));
    ROW(DK_OPT_INT(0, "max-nodes", &o->max_nodes, 1, 100000, "N",
                   "subgraphx: nodes of the answer at most (default 5)"));
    ROW(DK_OPT_BOOL01(0, "compat", &o->compat,
                      "reproduce slips of the published programs (default 0)"));
}

void gx_rows_select(dk_opt *t, int *n, gx_options *o)
{
    ROW(DK_OPT_GROUP("Which edges are kept"));
    ROW({DK_KIND_F64, 0, "sparsity", &o->select.sparsity, &o->sparsity_given, 0, 1, "S",
         "at most (1 - S) of the directed edges (default 0.7)"});
    ROW({DK_KIND_INT, 0, "topk", &o->select.topk, &o->topk_given, 1, 2e9, "K",
         "at most K directed edges instead (node task: default 14)"});
    ROW(DK_OPT_BOOL01(0, "search", &o->search,
                      "take the size with the best Fid+ - Fid- up to that (default 1)"));
    ROW(DK_OPT_BOOL01(0, "even", &o->even, "whole undirected edges only (default 1)"));
    ROW(DK_OPT_ENUM(0, "ties", &o->ties, "pair|position|group",
                    "equal scores: both directions adjacent (default), by position, or together"));
    ROW(DK_OPT_ENUM(0, "size-rule", &o->size_rule, "own|eig",
                    "sizes the search tries: as the method's authors do, or as EiG-Search does "
                    "(default own; evaluate: eig)"));
    ROW(DK_OPT_ENUM(0, "induce", &o->induce, "edge|node",
                    "explanation from edge scores (default) or from the best nodes' induced edges"));
}

void gx_rows_run(dk_opt *t, int *n, gx_options *o, bool json)
{
    ROW(DK_OPT_GROUP("Running"));
    if (json) {
        ROW(DK_OPT_FLAG(0, "json", &o->json, "print the result as one JSON object"));
    }
    ROW(DK_OPT_INT('j', "threads", &o->threads, 0, 1024, "N", "threads (default: all cores)"));
    ROW(DK_OPT_FLAG('f', "force", &o->force, "overwrite existing files"));
    ROW(DK_OPT_FLAG('q', "quiet", &o->quiet, "errors only"));
    ROW(DK_OPT_COUNT('v', "verbose", &o->verbose, "more messages"));
    ROW(DK_OPT_END);
}

int gx_parse(gx_options *o, const dk_opt *rows, const char *usage, const char *summary,
             const char *footer, int argc, char **argv, int *operands, dk_err *err)
{
    const dk_opt_spec spec = {usage, summary, rows, footer};
    int first;
    int rc = dk_opt_parse(&spec, argc, argv, &first, err);

    if (rc)
        return rc;
    dk_log_init("gnn-explain", o->quiet ? -1 : o->verbose);
    dk_set_threads((int)o->threads);
    if (operands)
        *operands = first;
    else if (first < argc)
        return dk_fail(err, DK_EUSAGE, "unexpected argument \"%s\"; see gnn-explain %s --help",
                       argv[first], argv[0]);
    return 0;
}

int gx_options_resolve(gx_options *o, dk_err *err)
{
    dk_explain_params *p = &o->params;
    dk_select_options *s = &o->select;

    p->mask_mode = strcmp(o->mask_mode, "weight") == 0 ? DK_MASK_WEIGHT : DK_MASK_MESSAGE;
    p->hops = strcmp(o->hops, "distinct") == 0 ? DK_HOPS_DISTINCT : DK_HOPS_LIST;
    p->selfloop_variable = strcmp(o->selfloop, "variable") == 0;
    p->calibrate = !o->no_calibration;
    p->symmetric = !o->directed;
    p->compat = o->compat;
    p->ig_steps = (int)o->ig_steps;
    p->epochs = (int)o->epochs;
    p->rollouts = (int)o->rollouts;
    p->samples = (int)o->samples;
    p->max_nodes = (int)o->max_nodes;
    s->even = o->even;
    s->search = o->search;
    s->compat = o->compat;
    s->ties = strcmp(o->ties, "position") == 0 ? DK_TIES_POSITION
              : strcmp(o->ties, "group") == 0  ? DK_TIES_GROUP
                                               : DK_TIES_PAIR;
    s->induce = strcmp(o->induce, "node") == 0 ? DK_INDUCE_NODE : DK_INDUCE_EDGE;
    if (o->sparsity_given && o->topk_given)
        return dk_fail(err, DK_EUSAGE, "--sparsity and --topk exclude each other");
    if (o->shard && dk_parse_shard(o->shard, &o->shard_index, &o->shard_count, err))
        return err->code;
    return 0;
}

dk_size_rule gx_size_rule(const gx_options *o, const dk_explainer *x, const dk_gnn *m,
                          const char *fallback)
{
    const char *rule = o->size_rule ? o->size_rule : fallback;

    if (strcmp(rule, "eig") == 0 || x != &dk_explainer_goat)
        return DK_RULE_EIG;
    return m->c.arch == DK_GNN_GIN || m->c.arch == DK_GNN_SAGE ? DK_RULE_GOAT_GIN
                                                               : DK_RULE_GOAT_GCN;
}
