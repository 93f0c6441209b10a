/* JSON over jansson, with errors that say where: `scheduler_config.json: beta_start: expected a
 * number, found "x"`.
 *
 * Documents are read from files or memory with a size limit. Python's bare words Infinity,
 * -Infinity and NaN are accepted (outside strings) and become the reals they name. Duplicate keys
 * and nesting deeper than jansson's limit are malformed. A dk_jnode is a value with its path,
 * passed by value; it borrows from the document. */
#ifndef DK_IO_JSON_H
#define DK_IO_JSON_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

typedef struct dk_json {
    json_t *root;
    char *name; /* how messages call the document */
} dk_json;

typedef struct dk_jnode {
    json_t *v; /* NULL: the key is absent */
    const char *doc;
    char at[200]; /* "id2label.207", "layers[3].bits"; shortened with ... when longer */
} dk_jnode;

int dk_json_load(dk_json *j, const char *path, dk_err *err);
/* `name` is copied. `data` need not be NUL-terminated. */
int dk_json_parse(dk_json *j, const char *data, size_t len, const char *name, dk_err *err);
void dk_json_free(dk_json *j); /* accepts a zeroed struct */

dk_jnode dk_json_root(const dk_json *j);
dk_jnode dk_json_key(dk_jnode obj, const char *key); /* v NULL when obj is no object or key absent */
dk_jnode dk_json_item(dk_jnode arr, size_t i);
bool dk_json_is_null(dk_jnode n); /* present and null */

/* Values of keys of an object. An absent key gives `def`; null gives `def` too (configs of the hub
 * write null for "the default"). Another type, or a value outside [lo, hi], is DK_EFORMAT. Reals
 * with an integral value pass as integers (8.0). */
int dk_json_i64(dk_jnode obj, const char *key, int64_t def, int64_t lo, int64_t hi, int64_t *out,
                dk_err *err);
int dk_json_int(dk_jnode obj, const char *key, int def, int lo, int hi, int *out, dk_err *err);
int dk_json_f64(dk_jnode obj, const char *key, double def, double *out, dk_err *err);
int dk_json_bool(dk_jnode obj, const char *key, bool def, bool *out, dk_err *err);
/* Borrowed; valid UTF-8 without NUL (jansson checks). def may be NULL. */
int dk_json_str(dk_jnode obj, const char *key, const char *def, const char **out, dk_err *err);
/* DK_EFORMAT naming the node: "FILE: at.path: expected <what>, found <what is there>". */
int dk_json_expected(dk_jnode n, const char *what, dk_err *err);

/* Appends v as JSON to b: compact or indented by 2, keys in insertion order, reals with the fewest
 * digits that read back to the same double. */
void dk_json_dump(dk_buf *b, const json_t *v, bool indent);

#endif
