/* Any bytes as a JSON document: read or refused. What is read is walked with every reader and
 * written; the text must parse again and come out the same. */
#include <stdlib.h>
#include <string.h>

#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static dk_err err;

static void walk(dk_jnode n)
{
    const char *key, *s;
    json_t *item;
    size_t i;
    int64_t whole;
    double real;
    bool truth;

    json_object_foreach (n.v, key, item) {
        dk_err_init(&err);
        (void)dk_json_i64(n, key, 0, -10, 10, &whole, &err);
        dk_err_init(&err);
        (void)dk_json_f64(n, key, 0, &real, &err);
        dk_err_init(&err);
        (void)dk_json_bool(n, key, false, &truth, &err);
        dk_err_init(&err);
        (void)dk_json_str(n, key, "", &s, &err);
        walk(dk_json_key(n, key));
    }
    json_array_foreach (n.v, i, item)
        walk(dk_json_item(n, i));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dk_json first, second;
    dk_buf once = {0}, twice = {0};

    dk_err_init(&err);
    if (dk_json_parse(&first, (const char *)data, size, "fuzz.json", &err))
        return 0;
    walk(dk_json_root(&first));
    dk_json_dump(&once, first.root, size % 2);
    dk_err_init(&err);
    if (dk_json_parse(&second, once.data, once.len, "written.json", &err))
        abort();
    dk_json_dump(&twice, second.root, size % 2);
    if (strcmp(dk_buf_str(&once), dk_buf_str(&twice)) != 0)
        abort();
    dk_json_free(&first);
    dk_json_free(&second);
    dk_buf_free(&once);
    dk_buf_free(&twice);
    return 0;
}
