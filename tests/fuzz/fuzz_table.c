/* Any bytes as a CSV table and as an npy array: read or refused; cells are read, and a table that
 * is written again must come back the same. */
#include <stdlib.h>
#include <string.h>

#include "io/csv.h"
#include "io/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static dk_err err;

static char *write_again(const dk_csv *c, size_t *len)
{
    char *text = NULL;
    dk_csv_writer w = {.f = open_memstream(&text, len)};
    if (!w.f)
        abort();
    for (size_t i = 0; i < (c->rows + 1) * c->columns; i++) {
        dk_csv_str(&w, c->cells[i]);
        if ((i + 1) % c->columns == 0)
            dk_csv_end(&w);
    }
    fclose(w.f);
    return text;
}

static void run_csv(const uint8_t *data, size_t size)
{
    dk_csv first, second;
    size_t len;

    dk_err_init(&err);
    if (dk_csv_parse(&first, (const char *)data, size, "fuzz.csv", &err))
        return;
    char *text = write_again(&first, &len);
    dk_err_init(&err);
    if (dk_csv_parse(&second, text, len, "written.csv", &err) || second.rows != first.rows ||
        second.columns != first.columns)
        abort();
    for (size_t i = 0; i < (first.rows + 1) * first.columns; i++)
        if (strcmp(first.cells[i], second.cells[i]) != 0)
            abort();
    free(text);
    dk_csv_free(&first);
    dk_csv_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static volatile unsigned sink;
    dk_npy a;

    run_csv(data, size);
    dk_err_init(&err);
    if (dk_npy_parse(&a, data, size, "fuzz.npy", &err) == 0)
        for (size_t i = 0; i < a.bytes; i++)
            sink += ((const uint8_t *)a.data)[i];
    dk_npy_free(&a);
    return 0;
}
