/* See dir.h. */
#include "model/dir.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/opt.h"
#include "model/config_internal.h"

static const char *const folder[DK_COMP_COUNT] = {"scheduler", "tokenizer", "text_encoder",
                                                  "transformer", "vae"};

const char *dk_component_name(dk_component c) { return folder[c]; }

char *dk_model_dir_path(const dk_model_dir *d, dk_component c)
{
    return dk_path_join(d->root, folder[c]);
}

bool dk_model_dir_has(const dk_model_dir *d, dk_component c)
{
    dk_jnode n = dk_json_key(dk_json_root(&d->index), folder[c]);
    return n.v && json_is_array(n.v) && json_is_string(json_array_get(n.v, 1));
}

dk_jnode dk_model_dir_config(const dk_model_dir *d, dk_component c)
{
    return dk_json_root(&d->config[c]);
}

/* The folder that holds model_index.json: `path`, or the snapshot that refs/main of a repository
 * folder in the hub's cache names. */
static char *find_root(const char *path, dk_err *err)
{
    char *index = dk_path_join(path, "model_index.json");
    char *ref = dk_path_join(path, "refs/main");
    char *root = NULL, *rev = NULL;
    size_t len;

    if (dk_exists(index)) {
        root = dk_xstrdup(path);
    } else if (dk_exists(ref)) {
        if (dk_read_file(ref, 4096, &rev, &len, err))
            goto out;
        rev[strspn(rev, "0123456789abcdefABCDEF")] = '\0';
        char *snapshots = dk_path_join(path, "snapshots");
        root = dk_path_join(snapshots, rev);
        free(snapshots);
        if (!dk_is_dir(root)) {
            dk_fail(err, DK_EFORMAT, "%s: refs/main names snapshot \"%s\", which is not there", path,
                    rev);
            free(root);
            root = NULL;
        }
    } else if (!dk_exists(path)) {
        dk_fail(err, DK_EFORMAT, "%s: no such model directory", path);
    } else {
        dk_fail(err, DK_EFORMAT,
                "%s: no model_index.json here; expected a model directory in the hub's layout",
                path);
    }
out:
    free(index);
    free(ref);
    free(rev);
    return root;
}

static int load_json(const dk_model_dir *d, const char *sub, const char *file, dk_json *out,
                     dk_err *err)
{
    char *dir = dk_path_join(d->root, sub);
    char *path = dk_path_join(dir, file);
    char *data = NULL, *name = NULL;
    size_t len;
    int rc;

    if (sub[0] && !dk_is_dir(dir))
        rc = dk_fail(err, DK_EFORMAT, "%s: component \"%s\" has no folder here", d->path, sub);
    else if (!sub[0] && !dk_exists(path))
        rc = dk_fail(err, DK_EFORMAT, "%s: no %s here", d->path, file);
    else if (!dk_exists(path))
        rc = dk_fail(err, DK_EFORMAT, "%s: component \"%s\" has no %s", d->path, sub, file);
    else if ((rc = dk_read_file(path, 1u << 26, &data, &len, err)) == 0) {
        /* Named as messages name weight files: folder and file. */
        name = sub[0] ? dk_xasprintf("%s/%s", sub, file) : dk_xstrdup(file);
        rc = dk_json_parse(out, data, len, name, err);
    }
    if (!rc && !json_is_object(out->root))
        rc = dk_json_expected(dk_json_root(out), "an object", err);
    free(name);
    free(data);
    free(path);
    free(dir);
    return rc;
}

static int class_of(dk_jnode cfg, const char **name, dk_err *err)
{
    int rc = dk_json_str(cfg, "_class_name", NULL, name, err);
    if (!rc && !*name)
        rc = dk_fail(err, DK_EFORMAT, "%s: _class_name is missing", cfg.doc);
    return rc;
}

/* Dispatch on the transformer's own config; the first releases call both kinds Transformer2DModel
 * and differ by norm_type. */
static int find_arch(dk_model_dir *d, dk_err *err)
{
    dk_jnode cfg = dk_model_dir_config(d, DK_COMP_TRANSFORMER);
    const char *cls, *norm;

    if (class_of(cfg, &cls, err))
        return err->code;
    if (strcmp(cls, "PixArtTransformer2DModel") == 0) {
        d->arch = DK_ARCH_PIXART;
    } else if (strcmp(cls, "DiTTransformer2DModel") == 0) {
        d->arch = DK_ARCH_DIT;
    } else if (strcmp(cls, "Transformer2DModel") == 0) {
        if (dk_json_str(cfg, "norm_type", "layer_norm", &norm, err))
            return err->code;
        if (strcmp(norm, "ada_norm_single") == 0)
            d->arch = DK_ARCH_PIXART;
        else if (strcmp(norm, "ada_norm_zero") == 0)
            d->arch = DK_ARCH_DIT;
        else
            return dk_fail(err, DK_EUNSUPPORTED,
                           "%s: Transformer2DModel with norm_type \"%s\" is not supported "
                           "(ada_norm_single is PixArt, ada_norm_zero is DiT)",
                           cfg.doc, norm);
    } else {
        return dk_fail(err, DK_EUNSUPPORTED,
                       "%s: _class_name \"%s\" is not supported (PixArtTransformer2DModel, "
                       "DiTTransformer2DModel, Transformer2DModel)",
                       cfg.doc, cls);
    }
    return 0;
}

static int check_class(const dk_model_dir *d, dk_component c, const char *const *known,
                       dk_err *err)
{
    dk_jnode pair = dk_json_key(dk_json_root(&d->index), folder[c]);
    const char *cls = json_string_value(json_array_get(pair.v, 1));
    dk_buf all = {0};

    for (int i = 0; known[i]; i++) {
        if (strcmp(cls, known[i]) == 0) {
            dk_buf_free(&all);
            return 0;
        }
        dk_buf_printf(&all, "%s%s", i ? ", " : "", known[i]);
    }
    dk_fail(err, DK_EUNSUPPORTED, "%s: %s is a %s, which is not supported (%s)", pair.doc,
            folder[c], cls, dk_buf_str(&all));
    dk_buf_free(&all);
    return DK_EUNSUPPORTED;
}

static int check_components(const dk_model_dir *d, dk_err *err)
{
    static const char *const vaes[] = {"AutoencoderKL", NULL};
    static const char *const encoders[] = {"T5EncoderModel", "MT5EncoderModel", NULL};
    static const char *const tokenizers[] = {"T5Tokenizer", "T5TokenizerFast", NULL};
    static const struct {
        dk_component c;
        bool text_only;
        const char *const *known;
    } need[] = {{DK_COMP_TRANSFORMER, false, NULL},
                {DK_COMP_VAE, false, vaes},
                {DK_COMP_SCHEDULER, false, NULL},
                {DK_COMP_TEXT_ENCODER, true, encoders},
                {DK_COMP_TOKENIZER, true, tokenizers}};

    for (size_t i = 0; i < sizeof need / sizeof need[0]; i++) {
        if (need[i].text_only && d->text_limit == 0)
            continue;
        if (!dk_model_dir_has(d, need[i].c))
            return dk_fail(err, DK_EFORMAT, "%s: component \"%s\" is missing from model_index.json",
                           d->path, folder[need[i].c]);
        if (need[i].known && check_class(d, need[i].c, need[i].known, err))
            return err->code;
    }
    return 0;
}

int dk_model_dir_open(dk_model_dir *d, const char *path, const char *variant, dk_err *err)
{
    static const dk_component configs[] = {DK_COMP_TRANSFORMER, DK_COMP_VAE, DK_COMP_TEXT_ENCODER,
                                           DK_COMP_SCHEDULER};

    memset(d, 0, sizeof *d);
    d->path = dk_xstrdup(path);
    d->variant = variant ? dk_xstrdup(variant) : NULL;
    d->root = find_root(path, err);
    if (!d->root || load_json(d, "", "model_index.json", &d->index, err) ||
        class_of(dk_json_root(&d->index), &d->pipeline, err))
        goto fail;
    if (strcmp(d->pipeline, "PixArtAlphaPipeline") == 0)
        d->text_limit = 120;
    else if (strcmp(d->pipeline, "PixArtSigmaPipeline") == 0)
        d->text_limit = 300;
    else if (strcmp(d->pipeline, "DiTPipeline") != 0) {
        dk_fail(err, DK_EUNSUPPORTED,
                "model_index.json: _class_name \"%s\" is not supported (PixArtAlphaPipeline, "
                "PixArtSigmaPipeline, DiTPipeline)",
                d->pipeline);
        goto fail;
    }
    if (check_components(d, err))
        goto fail;
    for (size_t i = 0; i < sizeof configs / sizeof configs[0]; i++) {
        dk_component c = configs[i];
        const char *file = c == DK_COMP_SCHEDULER ? "scheduler_config.json" : "config.json";
        if (dk_model_dir_has(d, c) && load_json(d, folder[c], file, &d->config[c], err))
            goto fail;
    }
    if (find_arch(d, err))
        goto fail;
    if ((d->arch == DK_ARCH_PIXART) != (d->text_limit > 0)) {
        dk_fail(err, DK_EFORMAT, "%s: pipeline %s with a %s transformer", path, d->pipeline,
                d->arch == DK_ARCH_PIXART ? "PixArt" : "DiT");
        goto fail;
    }
    dk_config_warn_unknown(dk_model_dir_config(d, DK_COMP_TRANSFORMER),
                           d->arch == DK_ARCH_PIXART ? dk_pixart_config_keys : dk_dit_config_keys);
    dk_config_warn_unknown(dk_model_dir_config(d, DK_COMP_VAE), dk_vae_config_keys);
    return 0;
fail:
    dk_model_dir_close(d);
    return err->code;
}

void dk_model_dir_close(dk_model_dir *d)
{
    free(d->path);
    free(d->root);
    free(d->variant);
    dk_json_free(&d->index);
    for (int c = 0; c < DK_COMP_COUNT; c++)
        dk_json_free(&d->config[c]);
    memset(d, 0, sizeof *d);
}

dk_weights *dk_model_dir_weights(const dk_model_dir *d, dk_component c, dk_err *err)
{
    char *dir = dk_model_dir_path(d, c);
    dk_weights *w = dk_weights_open(
        dir, folder[c], c == DK_COMP_TEXT_ENCODER ? "model" : "diffusion_pytorch_model",
        d->variant, err);
    free(dir);
    return w;
}

/* Does the comma-separated list `names` hold `what` (trimmed, ASCII case ignored)? */
static bool list_holds(const char *names, const char *what)
{
    size_t n = strlen(what);

    for (const char *p = names;; p++) {
        while (isspace((unsigned char)*p))
            p++;
        size_t len = strcspn(p, ",");
        size_t end = len;
        while (end && isspace((unsigned char)p[end - 1]))
            end--;
        if (end == n && strncasecmp(p, what, n) == 0)
            return true;
        p += len;
        if (!*p)
            return false;
    }
}

int dk_model_dir_class(const dk_model_dir *d, const char *what, int classes, int *id, dk_err *err)
{
    dk_jnode labels = dk_json_key(dk_json_root(&d->index), "id2label");
    const char *key;
    json_t *value;
    int64_t number;

    if (what[0] && what[strspn(what, "0123456789")] == '\0') {
        if (dk_parse_i64(what, 0, classes - 1, "--class", &number, err))
            return err->code;
        *id = (int)number;
        return 0;
    }
    json_object_foreach (labels.v, key, value) {
        const char *names = json_string_value(value);
        if (!names || !list_holds(names, what))
            continue;
        if (dk_parse_i64(key, 0, classes - 1, "model_index.json: id2label", &number, err))
            return err->code = DK_EFORMAT;
        *id = (int)number;
        return 0;
    }
    return dk_fail(err, DK_EUSAGE, "--class: \"%s\" is no class of this model%s", what,
                   labels.v ? " (see id2label in model_index.json)"
                            : ": it has no names, give a number");
}

char *dk_model_dir_class_name(const dk_model_dir *d, int id)
{
    char key[16];
    snprintf(key, sizeof key, "%d", id);
    dk_jnode labels = dk_json_key(dk_json_root(&d->index), "id2label");
    const char *names = json_string_value(dk_json_key(labels, key).v);
    return names ? dk_xstrndup(names, strcspn(names, ",")) : NULL;
}

static int hash_file(const char *dir, const char *name, dk_hasher *h, dk_err *err)
{
    char *path = dk_path_join(dir, name);
    dk_map m = {0};
    int rc = 0;

    if (dk_exists(path)) {
        if ((rc = dk_map_open(&m, path, err)) == 0) {
            uint64_t n = m.len;
            dk_hash_add(h, name, strlen(name) + 1);
            dk_hash_add(h, &n, sizeof n);
            dk_hash_add(h, m.data, m.len);
        }
        dk_map_close(&m);
    }
    free(path);
    return rc;
}

int dk_model_dir_hash(const dk_model_dir *d, dk_component c, dk_hasher *h, dk_err *err)
{
    static const char *const small[] = {
        "config.json",          "scheduler_config.json", "spiece.model", "tokenizer.json",
        "tokenizer_config.json", "added_tokens.json",    "vocab.txt",    "special_tokens_map.json"};
    char *dir = dk_model_dir_path(d, c);
    int rc = 0;

    dk_hash_add(h, folder[c], strlen(folder[c]) + 1);
    for (size_t i = 0; !rc && i < sizeof small / sizeof small[0]; i++)
        rc = hash_file(dir, small[i], h, err);
    if (!rc && c != DK_COMP_SCHEDULER && c != DK_COMP_TOKENIZER) {
        dk_weights *w = dk_model_dir_weights(d, c, err);
        if (!w)
            rc = err->code;
        for (size_t i = 0; !rc && i < dk_weights_files(w); i++) {
            size_t len;
            const void *bytes = dk_st_bytes(dk_weights_file(w, i), &len);
            dk_hash_add(h, bytes, len);
            dk_st_dontneed(dk_weights_file(w, i));
        }
        dk_weights_close(w);
    }
    free(dir);
    return rc;
}
