/* gnn-explain: why a graph neural network predicts what it predicts, measured and drawn. */
#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/par.h"
#include "base/sig.h"
#include "base/version.h"
#include "gx.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv, dk_err *err);
    const char *what;
} actions[] = {
    {"predict", gx_predict, "logits and predictions of a model on a data set"},
    {"explain", gx_explain, "one score per edge, and the explanation it gives"},
    {"evaluate", gx_evaluate, "compare explainers: fidelity, sparsity, AUC, curves, motifs"},
    {"draw", gx_draw, "a graph with its explanation as SVG, PNG or DOT"},
    {"train", gx_train, "train a GNN on a data set"},
    {"gen", gx_gen, "synthetic data sets with ground truth"},
    {"info", gx_info, "what a model file or a data set holds"},
    {"convert", gx_convert, "data sets between TU folders, CSV folders and JSON"},
    {"merge", gx_merge, "join the parts that --shard wrote"},
};
enum { ACTIONS = sizeof actions / sizeof actions[0] };

static void help(FILE *out)
{
    fprintf(out, "usage: gnn-explain ACTION [options]\n\n"
                 "Explains the predictions of graph neural networks (EiG-Search, GOAt and 13 other\n"
                 "explainers), measures the explanations and draws them.\n\n");
    for (int i = 0; i < ACTIONS; i++)
        fprintf(out, "  %-10s %s\n", actions[i].name, actions[i].what);
    fprintf(out, "\n`gnn-explain ACTION --help` describes an action. Exit status: 0 done, 1 failed,\n"
                 "2 usage, 3 malformed input, 4 unsupported, 130 interrupted.\n"
                 "Example:\n"
                 "  gnn-explain explain -m models/gnn/mutag-gin.safetensors -d MUTAG --method eig \\\n"
                 "      --ids 0 -o scores.csv\n"
                 "  gnn-explain draw -d MUTAG --scores scores.csv --id 0 -o molecule.svg\n");
}

static int dispatch(int argc, char **argv, dk_err *err)
{
    if (argc < 2)
        return dk_fail(err, DK_EUSAGE, "an action is needed; see gnn-explain --help");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        help(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        dk_version_print(stdout, "gnn-explain");
        return 0;
    }
    for (int i = 0; i < ACTIONS; i++)
        if (strcmp(argv[1], actions[i].name) == 0)
            return actions[i].run(argc - 1, argv + 1, err);
    return dk_fail(err, DK_EUSAGE, "unknown action \"%s\"; see gnn-explain --help", argv[1]);
}

int main(int argc, char **argv)
{
    static dk_err err;

    dk_par_start(argv);
    dk_err_init(&err);
    dk_log_init("gnn-explain", 0);
    dk_sig_init();
    int rc = dispatch(argc, argv, &err);
    /* A full disk or a closed pipe shows only when the buffer is flushed. */
    if (rc >= 0 && (fflush(stdout) || ferror(stdout)))
        rc = dk_fail_errno(&err, "standard output");
    if (rc < 0)
        dk_log(DK_LOG_ERROR, "%s", err.msg);
    return dk_exit_status(rc);
}
