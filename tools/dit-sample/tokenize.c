/* `dit-sample tokenize`: what the model's tokenizer makes of lines of raw text, one JSON object per
 * line. The text is taken as it is. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "sample.h"
#include "text/tokenizer.h"
#include "text/utf8.h"

static int print_tokens(const dk_tokenizer *tok, const char *text, size_t len, dk_err *err)
{
    dk_tokens t = {0};
    dk_buf b = {0};
    int rc = dk_tokenizer_encode(tok, text, len, &t, err);

    if (!rc) {
        json_t *o = json_object(), *ids = json_array(), *pieces = json_array();
        json_object_set_new(o, "text", json_stringn(text, len));
        for (size_t i = 0; i < t.n; i++) {
            json_array_append_new(ids, json_integer(t.tok[i].id));
            json_array_append_new(pieces, json_string(dk_token_piece(&t, i)));
        }
        json_object_set_new(o, "ids", ids);
        json_object_set_new(o, "pieces", pieces);
        dk_json_dump(&b, o, false);
        json_decref(o);
        puts(dk_buf_str(&b));
    }
    dk_buf_free(&b);
    dk_tokens_free(&t);
    return rc;
}

/* A line that is a JSON object with a string "text" is JSONL; anything else is text itself. */
static int tokenize_line(const dk_tokenizer *tok, const char *line, size_t len, const char *where,
                         dk_err *err)
{
    dk_json doc = {0};
    int rc;

    if (len && line[0] == '{') {
        static dk_err ignored;
        dk_err_init(&ignored);
        if (!dk_json_parse(&doc, line, len, where, &ignored)) {
            json_t *text = json_object_get(doc.root, "text");
            if (json_is_string(text)) {
                rc = print_tokens(tok, json_string_value(text), json_string_length(text), err);
                dk_json_free(&doc);
                return rc;
            }
        }
        dk_json_free(&doc);
    }
    size_t bad = dk_utf8_invalid(line, len);
    if (bad < len)
        return dk_fail(err, DK_EFORMAT, "%s: invalid UTF-8 at byte %zu", where, bad);
    if (memchr(line, 0, len))
        return dk_fail(err, DK_EFORMAT, "%s: holds a NUL byte", where);
    return print_tokens(tok, line, len, err);
}

static int tokenize_file(const dk_tokenizer *tok, const char *path, dk_err *err)
{
    const char *name = strcmp(path, "-") == 0 ? "standard input" : path;
    char *data = NULL;
    size_t len;
    int rc = dk_read_file(path, 1u << 30, &data, &len, err), line = 0;

    for (size_t at = 0; !rc && at < len;) {
        const char *end = memchr(data + at, '\n', len - at);
        size_t n = (end ? (size_t)(end - data) : len) - at, next = at + n + 1;
        if (n && data[at + n - 1] == '\r')
            n--;
        char *where = dk_xasprintf("%s: line %d", name, ++line);
        rc = tokenize_line(tok, data + at, n, where, err);
        free(where);
        at = next;
    }
    free(data);
    return rc;
}

int ds_tokenize(int argc, char **argv, dk_err *err)
{
    const char *model = NULL;
    dk_tokenizer *tok = NULL;
    dk_model_dir dir = {0};
    char *path = NULL;
    int first;
    const dk_opt opts[] = {
        DK_OPT_STR('m', "model", &model, "DIR", "model directory in the hub's layout"), DK_OPT_END};
    const dk_opt_spec spec = {
        "dit-sample tokenize -m DIR [FILE...]   (default: standard input)",
        "Prints one JSON object per line of text: text, ids, pieces. The text is taken as it is: "
        "nothing is lower-cased, stripped, cut or added. Lines that are JSON objects with a \"text\" "
        "are read as such.",
        opts, "Example:\n  echo 'red apple' | dit-sample tokenize -m models/emoji"};

    int rc = dk_opt_parse(&spec, argc, argv, &first, err);
    if (rc)
        return rc < 0 ? rc : 0;
    if (!model)
        return dk_fail(err, DK_EUSAGE, "-m DIR is missing; try dit-sample tokenize --help");
    if (dk_model_dir_open(&dir, model, NULL, err))
        return err->code;
    if (dir.text_limit == 0) {
        dk_fail(err, DK_EUSAGE, "%s has no tokenizer: it paints classes", model);
        goto out;
    }
    path = dk_model_dir_path(&dir, DK_COMP_TOKENIZER);
    tok = dk_tokenizer_open(path, "tokenizer", err);
    if (!tok)
        goto out;
    if (first == argc)
        tokenize_file(tok, "-", err);
    for (int i = first; i < argc && !err->code; i++)
        tokenize_file(tok, argv[i], err);
out:
    free(path);
    dk_tokenizer_free(tok);
    dk_model_dir_close(&dir);
    return err->code;
}
