/* gnn-explain predict: logits of every graph or node, and the accuracy. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "gx.h"
#include "io/csv.h"

static const char usage[] = "gnn-explain predict -m MODEL -d DATA [-o logits.csv] [options]";
static const char summary_text[] = "Runs the model on the whole data set.";
static const char footer[] =
    "Columns: graph (or node), label, pred, z0, z1, ...: logits before the softmax. Without -o only\n"
    "the accuracy is printed.\n"
    "Example:\n"
    "  gnn-explain predict -m models/gnn/mutag-gin.safetensors -d MUTAG -o logits.csv";

static int write_csv(const gx_job *j, const double *z, const char *path, bool force, dk_err *err)
{
    dk_out *out = dk_out_begin(path, force, err);
    int64_t rows = gx_rows_count(j);
    int classes = j->model->c.classes;
    char name[16];

    if (!out)
        return err->code;
    dk_csv_writer w = {.f = dk_out_file(out)};
    dk_csv_str(&w, gx_node_task(j) ? "node" : "graph");
    dk_csv_str(&w, "label");
    dk_csv_str(&w, "pred");
    for (int c = 0; c < classes; c++) {
        snprintf(name, sizeof name, "z%d", c);
        dk_csv_str(&w, name);
    }
    dk_csv_end(&w);
    for (int64_t i = 0; i < rows; i++) {
        dk_csv_i64(&w, gx_public_id(j, i));
        if (gx_label_of(j, i) < 0)
            dk_csv_str(&w, "");
        else
            dk_csv_i64(&w, gx_label_of(j, i));
        dk_csv_i64(&w, j->prediction[i]);
        for (int c = 0; c < classes; c++)
            dk_csv_f64(&w, z[i * classes + c]);
        dk_csv_end(&w);
    }
    return dk_out_commit(out, err);
}

typedef struct tally {
    int64_t correct, labelled;
} tally;

static void count(const gx_job *j, int64_t i, tally *t)
{
    if (gx_label_of(j, i) < 0)
        return;
    t->labelled++;
    t->correct += gx_label_of(j, i) == j->prediction[i];
}

static json_t *tally_json(tally t)
{
    json_t *o = json_object();
    json_object_set_new(o, "correct", json_integer(t.correct));
    json_object_set_new(o, "total", json_integer(t.labelled));
    json_object_set_new(o, "accuracy",
                        t.labelled ? json_real((double)t.correct / (double)t.labelled) : json_null());
    return o;
}

static int report(const gx_job *j, FILE *f, dk_err *err)
{
    static const char *const split_name[] = {NULL, "train", "val", "test"};
    tally all = {0}, part[4] = {{0}};
    int64_t rows = gx_rows_count(j);
    int classes = j->model->c.classes;
    int64_t *confusion = dk_xcalloc((size_t)classes * (size_t)classes, sizeof *confusion);

    for (int64_t i = 0; i < rows; i++) {
        int32_t y = gx_label_of(j, i);
        count(j, i, &all);
        if (j->data.split)
            count(j, i, &part[j->data.split[i]]);
        if (y >= 0 && y < classes)
            confusion[(int64_t)y * classes + j->prediction[i]]++;
    }
    if (j->o->json) {
        json_t *o = tally_json(all), *m = json_array();
        for (int a = 0; a < classes; a++) {
            json_t *row = json_array();
            for (int b = 0; b < classes; b++)
                json_array_append_new(row, json_integer(confusion[a * classes + b]));
            json_array_append_new(m, row);
        }
        json_object_set_new(o, "schema", json_string("dk.prediction/1"));
        json_object_set_new(o, "provenance", gx_provenance(j, "predict"));
        json_object_set_new(o, "confusion", m);
        for (int s = 1; s < 4; s++)
            if (part[s].labelled)
                json_object_set_new(o, split_name[s], tally_json(part[s]));
        gx_write_json(o, "-", true, err);
    } else if (all.labelled) {
        fprintf(f, "%s: %lld of %lld correct (%.5f)\n", j->data.name, (long long)all.correct,
                (long long)all.labelled, (double)all.correct / (double)all.labelled);
        for (int s = 1; s < 4; s++)
            if (part[s].labelled)
                fprintf(f, "  %s: %lld of %lld (%.5f)\n", split_name[s], (long long)part[s].correct,
                        (long long)part[s].labelled,
                        (double)part[s].correct / (double)part[s].labelled);
    } else {
        fprintf(f, "%s: %lld predicted, no labels to compare with\n", j->data.name, (long long)rows);
    }
    free(confusion);
    return err->code;
}

int gx_predict(int argc, char **argv, dk_err *err)
{
    gx_options o;
    gx_job j = {0};
    dk_opt t[GX_ROWS];
    double *z = NULL;
    int n = 0;

    gx_options_init(&o);
    gx_rows_data(t, &n, &o, true);
    t[n++] = (dk_opt)DK_OPT_GROUP("Output");
    t[n++] = (dk_opt)DK_OPT_STR('o', "output", &o.output, "FILE", "logits (CSV); - is standard output");
    t[n++] = (dk_opt)DK_OPT_STR(0, "csv", &o.output, "FILE", "the same as -o");
    gx_rows_run(t, &n, &o, true);
    int rc = gx_parse(&o, t, usage, summary_text, footer, argc, argv, NULL, err);
    if (rc)
        return rc < 0 ? rc : 0;
    bool to_stdout = o.output && strcmp(o.output, "-") == 0;
    if (to_stdout && o.json)
        return dk_fail(err, DK_EUSAGE, "logits and JSON cannot both go to standard output");
    if ((o.output && !to_stdout && dk_out_check(o.output, o.force, err)) || gx_job_open(&j, &o, err) ||
        gx_job_predict(&j, &z, err))
        goto out;
    if (o.output && write_csv(&j, z, o.output, o.force, err))
        goto out;
    if (!(to_stdout && o.quiet))
        report(&j, to_stdout ? stderr : stdout, err);
out:
    dk_free_aligned(z);
    gx_job_close(&j);
    return err->code;
}
