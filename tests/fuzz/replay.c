/* Replays files and directories through a fuzz target where libFuzzer is not available: one TAP
 * line per file. A finding ends the process (sanitizers), which the runner counts as a failure. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/fs.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *path, int n)
{
    dk_err err;
    char *data, *exact;
    size_t len;

    dk_err_init(&err);
    if (dk_read_file(path, 1u << 26, &data, &len, &err)) {
        printf("not ok %d - %s: %s\n", n, path, err.msg);
        return 1;
    }
    /* An exact copy: the reader's extra NUL would hide a read one byte behind the end. */
    exact = malloc(len ? len : 1);
    if (!exact)
        abort();
    for (size_t i = 0; i < len; i++)
        exact[i] = data[i];
    LLVMFuzzerTestOneInput((const uint8_t *)exact, len);
    printf("ok %d - %s\n", n, path);
    fflush(stdout);
    free(exact);
    free(data);
    return 0;
}

int main(int argc, char **argv)
{
    int n = 0, bad = 0;

    for (int i = 1; i < argc; i++) {
        struct dirent **names = NULL;
        int count = dk_is_dir(argv[i]) ? scandir(argv[i], &names, NULL, alphasort) : -1;
        if (count < 0) {
            bad += replay(argv[i], ++n);
            continue;
        }
        for (int k = 0; k < count; k++) {
            char *path = dk_path_join(argv[i], names[k]->d_name);
            if (names[k]->d_name[0] != '.')
                bad += replay(path, ++n);
            free(path);
            free(names[k]);
        }
        free(names);
    }
    printf("1..%d\n", n);
    return bad ? 1 : 0;
}
