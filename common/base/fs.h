/* Files: whole-file reads with a limit, read-only mappings, and atomic outputs.
 *
 * An output is written to a hidden temporary in the target's directory and renamed into place by
 * dk_out_commit(); until then nothing is visible under the final name. Uncommitted temporaries are
 * removed by dk_out_abort(), at exit and by the signal handler of base/sig.h. Directories are
 * never created. "-" is standard output: not atomic, flushed by commit. */
#ifndef DK_BASE_FS_H
#define DK_BASE_FS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/err.h"

/* Reads a regular file, pipe or "-" (stdin) of at most `max` bytes. *data is malloc-ed and
 * NUL-terminated behind *len bytes. A file above the limit is DK_EFORMAT, an unreadable one
 * DK_EFAIL, a missing one DK_EFAIL with "No such file or directory". */
int dk_read_file(const char *path, size_t max, char **data, size_t *len, dk_err *err);

/* Read-only mapping of a regular file (anything else, FIFO or device, is refused). An empty file
 * gives data = "" and len = 0. */
typedef struct dk_map {
    const uint8_t *data;
    size_t len;
    bool mapped;
} dk_map;
int dk_map_open(dk_map *m, const char *path, dk_err *err);
void dk_map_close(dk_map *m);       /* accepts a zeroed map */
void dk_map_dontneed(const dk_map *m); /* lets the kernel drop the pages; they stay readable */

bool dk_exists(const char *path);  /* follows links */
bool dk_is_dir(const char *path);
char *dk_path_join(const char *dir, const char *name); /* malloc-ed; name alone if dir is "" */
const char *dk_basename(const char *path);             /* points into path */
/* "dir/file" of the last two components: how messages name a component's file. */
const char *dk_tail2(const char *path);

typedef struct dk_out dk_out;
/* Opens `path` for writing. Without `force` an existing file is DK_EUSAGE ("exists; -f
 * overwrites"); a missing or unwritable directory is DK_EFAIL, found here, not at commit. */
dk_out *dk_out_begin(const char *path, bool force, dk_err *err);
FILE *dk_out_file(dk_out *o);
int dk_out_commit(dk_out *o, dk_err *err); /* flush, fsync, rename; frees o also on failure */
void dk_out_abort(dk_out *o);              /* accepts NULL; frees o */
void dk_out_abort_all(void);               /* async-signal-safe removal of all temporaries */

/* The tests dk_out_begin makes, without creating anything: lets a program find an existing or
 * unwritable target before hours of work. */
int dk_out_check(const char *path, bool force, dk_err *err);

#endif
