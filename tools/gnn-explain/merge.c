/* gnn-explain merge: the parts that `explain --shard I/N` wrote become the file that one run would
 * have written, byte for byte. Parts are contiguous, so joining is order and nothing else; it is
 * checked that they belong together. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "gx.h"

static const char usage[] = "gnn-explain merge -o scores.csv PART.csv...   (or -o s.json PART.json...)";
static const char summary_text[] =
    "Joins scores (CSV) or summaries (JSON) of the shards of one run. Parts may be given in any order.";
static const char footer[] = "Example:\n"
                             "  gnn-explain merge -o scores.csv part1.csv part2.csv part3.csv";

typedef struct part {
    const char *path;
    char *text;
    size_t len;
    const char *rows; /* behind the header */
    int64_t first;    /* id of the first row; INT64_MAX: no rows */
    int64_t last;
    dk_json doc;
} part;

static int by_first(const void *a, const void *b)
{
    const part *x = a, *y = b;
    return (x->first > y->first) - (x->first < y->first);
}

static int load_csv(part *p, dk_err *err)
{
    if (dk_read_file(p->path, (size_t)16 << 30, &p->text, &p->len, err))
        return err->code;
    const char *eol = strchr(p->text, '\n');
    if (!eol || (strncmp(p->text, "graph,", 6) != 0 && strncmp(p->text, "node,", 5) != 0))
        return dk_fail(err, DK_EFORMAT, "%s: expected a scores file (graph,src,dst,score,...)", p->path);
    if (p->text[p->len - 1] != '\n')
        return dk_fail(err, DK_EFORMAT, "%s: the last line is incomplete", p->path);
    p->rows = eol + 1;
    p->first = p->last = INT64_MAX;
    if (*p->rows) {
        const char *s = p->text + p->len - 1;
        while (s > p->rows && s[-1] != '\n')
            s--;
        p->first = strtoll(p->rows, NULL, 10);
        p->last = strtoll(s, NULL, 10);
    }
    return 0;
}

static int merge_csv(part *p, int n, const gx_options *o, dk_err *err)
{
    dk_out *out;

    for (int i = 0; i < n; i++) {
        if (load_csv(&p[i], err))
            return err->code;
        size_t head = (size_t)(p[i].rows - p[i].text);
        if (head != (size_t)(p[0].rows - p[0].text) || memcmp(p[i].text, p[0].text, head) != 0)
            return dk_fail(err, DK_EFORMAT, "%s and %s have different columns", p[0].path, p[i].path);
    }
    qsort(p, (size_t)n, sizeof *p, by_first);
    for (int i = 1; i < n; i++)
        if (p[i].first != INT64_MAX && p[i].first <= p[i - 1].last)
            return dk_fail(err, DK_EFORMAT, "%s and %s both hold %lld: not shards of one run",
                           p[i - 1].path, p[i].path, (long long)p[i].first);
    out = dk_out_begin(o->output, o->force, err);
    if (!out)
        return err->code;
    fwrite(p[0].text, 1, (size_t)(p[0].rows - p[0].text), dk_out_file(out));
    for (int i = 0; i < n; i++)
        fwrite(p[i].rows, 1, p[i].len - (size_t)(p[i].rows - p[i].text), dk_out_file(out));
    return dk_out_commit(out, err);
}

/* ---- Summaries: instances are joined, averages computed anew in the same order of addition. */

static int load_json(part *p, dk_err *err)
{
    dk_jnode root, instances;
    const char *schema;

    if (dk_json_load(&p->doc, p->path, err))
        return err->code;
    root = dk_json_root(&p->doc);
    if (dk_json_str(root, "schema", NULL, &schema, err))
        return err->code;
    if (!schema || strcmp(schema, "dk.explanation-summary/1") != 0)
        return dk_fail(err, DK_EFORMAT, "%s: expected a summary (schema dk.explanation-summary/1)",
                       p->path);
    instances = dk_json_key(root, "instances");
    if (!json_is_array(instances.v))
        return dk_json_expected(instances, "an array of instances", err);
    p->first = p->last = INT64_MAX;
    size_t n = json_array_size(instances.v);
    if (n && (dk_json_i64(dk_json_item(instances, 0), "id", 0, 0, INT64_MAX - 1, &p->first, err) ||
              dk_json_i64(dk_json_item(instances, n - 1), "id", 0, 0, INT64_MAX - 1, &p->last, err)))
        return err->code;
    return 0;
}

static bool same_run(const part *a, const part *b)
{
    return json_equal(json_object_get(a->doc.root, "provenance"),
                      json_object_get(b->doc.root, "provenance")) &&
           json_equal(json_object_get(a->doc.root, "options"),
                      json_object_get(b->doc.root, "options"));
}

/* Sums one field over the instances with edges, of one label (or all: label < 0). */
static json_t *average_of(json_t *instances, int64_t label)
{
    static const char *const key[4] = {"fid_plus", "fid_minus", "overall", "sparsity"};
    json_t *a = json_object(), *inst;
    double sum[4] = {0};
    bool missing[4] = {false};
    int64_t n = 0;
    size_t i;

    json_array_foreach(instances, i, inst)
    {
        if (json_integer_value(json_object_get(inst, "edges")) == 0)
            continue;
        json_t *y = json_object_get(inst, "label");
        if (label >= 0 && (!json_is_integer(y) || json_integer_value(y) != label))
            continue;
        n++;
        for (int k = 0; k < 4; k++) {
            json_t *v = json_object_get(inst, key[k]);
            missing[k] |= !json_is_number(v);
            sum[k] += json_number_value(v);
        }
    }
    json_object_set_new(a, "n", json_integer(n));
    for (int k = 0; k < 4; k++)
        json_object_set_new(a, key[k], n && !missing[k] ? json_real(sum[k] / (double)n) : json_null());
    return a;
}

static json_t *averages_of(json_t *instances, int64_t most)
{
    json_t *o = json_object(), *per_class = json_object();
    char name[32];

    json_object_set_new(o, "all", average_of(instances, -1));
    for (int64_t c = 0; c <= most; c++) {
        json_t *a = average_of(instances, c);
        snprintf(name, sizeof name, "%lld", (long long)c);
        if (json_integer_value(json_object_get(a, "n")) > 0)
            json_object_set_new(per_class, name, a);
        else
            json_decref(a);
    }
    json_object_set_new(o, "per_class", per_class);
    return o;
}

static int merge_json(part *p, int n, const gx_options *o, dk_err *err)
{
    json_t *all, *inst;
    int64_t most = -1;
    size_t k;

    for (int i = 0; i < n; i++) {
        if (load_json(&p[i], err))
            return err->code;
        if (!same_run(&p[0], &p[i]))
            return dk_fail(err, DK_EFORMAT, "%s and %s come from different runs (provenance or options)",
                           p[0].path, p[i].path);
    }
    qsort(p, (size_t)n, sizeof *p, by_first);
    for (int i = 1; i < n; i++)
        if (p[i].first != INT64_MAX && p[i].first <= p[i - 1].last)
            return dk_fail(err, DK_EFORMAT, "%s and %s both hold %lld: not shards of one run",
                           p[i - 1].path, p[i].path, (long long)p[i].first);
    all = json_array();
    for (int i = 0; i < n; i++)
        json_array_extend(all, json_object_get(p[i].doc.root, "instances"));
    json_array_foreach(all, k, inst)
    {
        json_t *y = json_object_get(inst, "label");
        if (json_is_integer(y) && json_integer_value(y) > most && json_integer_value(y) < 1000000)
            most = json_integer_value(y);
    }
    json_t *result = json_copy(p[0].doc.root);
    json_object_set(result, "instances", all);
    json_object_set_new(result, "averages", averages_of(all, most));
    json_decref(all);
    return gx_write_json(result, o->output, o->force, err);
}

int gx_merge(int argc, char **argv, dk_err *err)
{
    gx_options o;
    dk_opt t[GX_ROWS];
    int n = 0, first;

    gx_options_init(&o);
    t[n++] = (dk_opt)DK_OPT_STR('o', "output", &o.output, "FILE", "the joined file");
    gx_rows_run(t, &n, &o, false);
    int rc = gx_parse(&o, t, usage, summary_text, footer, argc, argv, &first, err);
    if (rc)
        return rc < 0 ? rc : 0;
    int parts = argc - first;
    if (!o.output || parts < 1)
        return dk_fail(err, DK_EUSAGE, "-o FILE and the parts are needed");
    part *p = dk_xcalloc((size_t)parts, sizeof *p);
    for (int i = 0; i < parts; i++)
        p[i].path = argv[first + i];
    size_t len = strlen(p[0].path);
    if (len > 5 && strcmp(p[0].path + len - 5, ".json") == 0)
        merge_json(p, parts, &o, err);
    else
        merge_csv(p, parts, &o, err);
    for (int i = 0; i < parts; i++) {
        free(p[i].text);
        dk_json_free(&p[i].doc);
    }
    free(p);
    return err->code;
}
