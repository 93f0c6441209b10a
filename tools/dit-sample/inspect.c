/* `dit-sample inspect`: what is in a model directory, from headers and configs alone. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "model/dit.h"
#include "model/pixart.h"
#include "model/t5.h"
#include "model/vae.h"
#include "ops/params.h"
#include "sample.h"
#include "text/tokenizer.h"

/* Registers the component's tensors; the model object is only needed for that. */
static int register_tensors(const dk_model_dir *d, dk_component c, dk_params *p, dk_err *err)
{
    dk_jnode cfg = dk_model_dir_config(d, c);

    if (c == DK_COMP_TEXT_ENCODER) {
        dk_t5_config t5;
        if (!dk_t5_config_read(&t5, cfg, err))
            dk_t5_free(dk_t5_new(&t5, p));
    } else if (c == DK_COMP_VAE) {
        dk_vae_config vae;
        if (!dk_vae_config_read(&vae, cfg, err))
            dk_vae_free(dk_vae_new(&vae, DK_VAE_DECODER | DK_VAE_ENCODER, p));
    } else if (d->arch == DK_ARCH_PIXART) {
        dk_pixart_config pixart;
        if (!dk_pixart_config_read(&pixart, cfg, err))
            dk_pixart_free(dk_pixart_new(&pixart, p));
    } else {
        dk_dit_config dit;
        if (!dk_dit_config_read(&dit, cfg, err))
            dk_dit_free(dk_dit_new(&dit, p));
    }
    return err->code;
}

static json_t *dtypes_of(const dk_weights *w)
{
    int64_t count[DK_DTYPE_COUNT] = {0};
    json_t *o = json_object();

    for (size_t f = 0; f < dk_weights_files(w); f++)
        for (size_t i = 0; i < dk_st_count(dk_weights_file(w, f)); i++)
            count[dk_st_at(dk_weights_file(w, f), i)->dtype]++;
    for (int t = 0; t < DK_DTYPE_COUNT; t++)
        if (count[t])
            json_object_set_new(o, dk_dtype_name((dk_dtype)t), json_integer(count[t]));
    return o;
}

static json_t *tensors_of(const dk_weights *w)
{
    json_t *list = json_array();

    for (size_t f = 0; f < dk_weights_files(w); f++) {
        for (size_t i = 0; i < dk_st_count(dk_weights_file(w, f)); i++) {
            const dk_st_tensor *t = dk_st_at(dk_weights_file(w, f), i);
            json_t *o = json_object(), *shape = json_array();
            for (int k = 0; k < t->ndim; k++)
                json_array_append_new(shape, json_integer(t->shape[k]));
            json_object_set_new(o, "name", json_string(t->name));
            json_object_set_new(o, "dtype", json_string(dk_dtype_name(t->dtype)));
            json_object_set_new(o, "shape", shape);
            json_array_append_new(list, o);
        }
    }
    return list;
}

static json_t *names(dk_bind *b, size_t n, const char *(*at)(const dk_bind *, size_t))
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++)
        json_array_append_new(list, json_string(at(b, i)));
    return list;
}

static json_t *inspect_weights(const dk_model_dir *d, dk_component c, bool tensors, bool *complete,
                               dk_err *err)
{
    dk_weights *w = dk_model_dir_weights(d, c, err);
    json_t *o = NULL, *files;
    size_t n = 0;

    if (!w)
        return NULL;
    dk_params *p = dk_params_new(w);
    if (!register_tensors(d, c, p, err)) {
        dk_bind *b = dk_params_bind(p);
        o = json_object();
        files = json_array();
        for (size_t f = 0; f < dk_weights_files(w); f++) {
            json_array_append_new(files, json_string(dk_basename(dk_st_path(dk_weights_file(w, f)))));
            n += dk_st_count(dk_weights_file(w, f));
        }
        json_object_set_new(o, "files", files);
        json_object_set_new(o, "tensors", json_integer((json_int_t)n));
        json_object_set_new(o, "parameters", json_integer(dk_weights_parameters(w)));
        json_object_set_new(o, "bytes", json_integer((json_int_t)dk_weights_bytes(w)));
        json_object_set_new(o, "dtypes", dtypes_of(w));
        json_object_set_new(o, "missing", names(b, dk_bind_missing(b), dk_bind_missing_at));
        json_object_set_new(o, "extra", names(b, dk_bind_extra(b), dk_bind_extra_at));
        if (tensors)
            json_object_set_new(o, "list", tensors_of(w));
        *complete = *complete && dk_bind_missing(b) == 0;
    }
    dk_params_free(p);
    dk_weights_close(w);
    return o;
}

static json_t *inspect_tokenizer(const dk_model_dir *d, dk_err *err)
{
    char *dir = dk_model_dir_path(d, DK_COMP_TOKENIZER);
    dk_tokenizer *t = dk_tokenizer_open(dir, "tokenizer", err);
    json_t *o = NULL;

    if (t) {
        o = json_object();
        json_object_set_new(o, "kind", json_string(dk_tokenizer_kind(t)));
        json_object_set_new(o, "tokens", json_integer((json_int_t)dk_tokenizer_size(t)));
    }
    dk_tokenizer_free(t);
    free(dir);
    return o;
}

static json_t *inspect_scheduler(const dk_model_dir *d, dk_err *err)
{
    dk_sched *s = dk_sched_new(-1, dk_model_dir_config(d, DK_COMP_SCHEDULER), err);
    json_t *o = NULL;

    if (s) {
        o = json_object();
        json_object_set_new(o, "scheduler", json_string(dk_sched_name(s)));
        json_object_set_new(o, "label", json_string(dk_sched_label(s)));
        json_object_set_new(o, "options", dk_sched_options(s));
    }
    dk_sched_free(s);
    return o;
}

/* One component; a broken one becomes {"error": ...} so that the others are still shown. */
static json_t *inspect_component(const dk_model_dir *d, dk_component c, bool tensors, bool *complete,
                                 int *code)
{
    static dk_err err;
    json_t *o;

    dk_err_init(&err);
    if (c == DK_COMP_TOKENIZER)
        o = inspect_tokenizer(d, &err);
    else if (c == DK_COMP_SCHEDULER)
        o = inspect_scheduler(d, &err);
    else
        o = inspect_weights(d, c, tensors, complete, &err);
    if (err.code) {
        json_decref(o);
        o = json_object();
        json_object_set_new(o, "error", json_string(err.msg));
        if (!*code)
            *code = err.code;
    }
    dk_jnode pair = dk_json_key(dk_json_root(&d->index), dk_component_name(c));
    json_object_set(o, "class", json_array_get(pair.v, 1));
    return o;
}

static void print_names(const char *what, const json_t *list)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        printf("  %-10s %s\n", what, json_string_value(json_array_get(list, i)));
}

static void print_component(const char *name, const json_t *o)
{
    const char *cls = json_string_value(json_object_get(o, "class"));
    const char *error = json_string_value(json_object_get(o, "error"));
    const char *kind = json_string_value(json_object_get(o, "kind"));
    const char *label = json_string_value(json_object_get(o, "label"));
    const char *key;
    json_t *value;

    printf("%-13s %s\n", name, cls);
    if (error)
        printf("  error      %s\n", error);
    if (kind)
        printf("  kind       %s, %" JSON_INTEGER_FORMAT " tokens\n", kind,
               json_integer_value(json_object_get(o, "tokens")));
    if (label)
        printf("  sampler    %s\n", label);
    if (!json_object_get(o, "parameters"))
        return;
    printf("  parameters %" JSON_INTEGER_FORMAT " in %" JSON_INTEGER_FORMAT " tensors, %.1f MiB (",
           json_integer_value(json_object_get(o, "parameters")),
           json_integer_value(json_object_get(o, "tensors")),
           (double)json_integer_value(json_object_get(o, "bytes")) / 1048576.0);
    const char *comma = "";
    json_object_foreach (json_object_get(o, "dtypes"), key, value) {
        printf("%s%" JSON_INTEGER_FORMAT " %s", comma, json_integer_value(value), key);
        comma = ", ";
    }
    puts(")");
    print_names("file", json_object_get(o, "files"));
    print_names("missing", json_object_get(o, "missing"));
    print_names("extra", json_object_get(o, "extra"));
    const json_t *list = json_object_get(o, "list");
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *t = json_array_get(list, i);
        dk_buf b = {0};
        dk_json_dump(&b, json_object_get(t, "shape"), false);
        printf("  %-6s %-20s %s\n", json_string_value(json_object_get(t, "dtype")), dk_buf_str(&b),
               json_string_value(json_object_get(t, "name")));
        dk_buf_free(&b);
    }
}

int ds_inspect(int argc, char **argv, dk_err *err)
{
    const char *variant = NULL;
    bool json = false, complete = true;
    int verbose = 0, first, code = 0;
    const dk_opt opts[] = {
        DK_OPT_STR(0, "variant", &variant, "NAME", "weight files of this variant, e.g. fp16"),
        DK_OPT_FLAG(0, "json", &json, "one JSON object instead of text"),
        DK_OPT_COUNT('v', "verbose", &verbose, "list every tensor"), DK_OPT_END};
    const dk_opt_spec spec = {"dit-sample inspect DIR [options]",
                              "Shows the components of a model directory: classes, files, tensors, "
                              "dtypes, parameters, what is missing and what is extra. Reads headers "
                              "only.",
                              opts,
                              "Example:\n  dit-sample inspect models/emoji\n"
                              "Exit status: 0 complete, 3 something is missing or malformed, 4 "
                              "unsupported."};
    dk_model_dir d = {0};

    int rc = dk_opt_parse(&spec, argc, argv, &first, err);
    if (rc)
        return rc < 0 ? rc : 0;
    if (argc - first != 1)
        return dk_fail(err, DK_EUSAGE, "expected one model directory; try dit-sample inspect --help");
    if (dk_model_dir_open(&d, argv[first], variant, err))
        return err->code;
    json_t *doc = json_object(), *all = json_object();
    json_object_set_new(doc, "schema", json_string("dk.inspect/1"));
    json_object_set_new(doc, "model", json_string(argv[first]));
    json_object_set_new(doc, "pipeline", json_string(d.pipeline));
    json_object_set_new(doc, "architecture", json_string(d.arch == DK_ARCH_PIXART ? "pixart" : "dit"));
    for (int c = 0; c < DK_COMP_COUNT; c++)
        if (dk_model_dir_has(&d, (dk_component)c) &&
            (d.text_limit > 0 || (c != DK_COMP_TOKENIZER && c != DK_COMP_TEXT_ENCODER)))
            json_object_set_new(all, dk_component_name((dk_component)c),
                                inspect_component(&d, (dk_component)c, verbose > 0, &complete, &code));
    json_object_set_new(doc, "components", all);
    if (json) {
        dk_buf b = {0};
        dk_json_dump(&b, doc, true);
        puts(dk_buf_str(&b));
        dk_buf_free(&b);
    } else {
        const char *key;
        json_t *value;
        printf("%s: %s\n", argv[first], d.pipeline);
        json_object_foreach (all, key, value)
            print_component(key, value);
    }
    json_decref(doc);
    dk_model_dir_close(&d);
    if (code)
        return dk_fail(err, code, "%s: a component cannot be used (see above)", argv[first]);
    if (!complete)
        return dk_fail(err, DK_EFORMAT, "%s: tensors are missing (see above)", argv[first]);
    return 0;
}
