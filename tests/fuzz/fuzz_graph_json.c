/* Any bytes as a graph or a set of graphs in JSON. What is read is written as a set; that must read
 * again and be written the same. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "graph/dataset_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static dk_err err;

static char *written(const dk_dataset *d, size_t *len)
{
    char *text = NULL;
    FILE *f = open_memstream(&text, len);

    if (!f || dk_dataset_write_json(d, f, &err) || fclose(f) != 0)
        abort();
    return text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dk_dataset d, again;
    size_t first_len, second_len;

    dk_log_init("fuzz", -1);
    dk_err_init(&err);
    if (dk_dataset_parse_json(&d, (const char *)data, size, "fuzz.json", &err))
        return 0;
    char *first = written(&d, &first_len);
    if (dk_dataset_parse_json(&again, first, first_len, "written.json", &err))
        abort();
    char *second = written(&again, &second_len);
    if (first_len != second_len || memcmp(first, second, first_len) != 0)
        abort();
    free(first);
    free(second);
    dk_dataset_free(&d);
    dk_dataset_free(&again);
    return 0;
}
