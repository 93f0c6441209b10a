/* Child processes that work as filters: Graphviz, gnuplot. No shell is involved. */
#ifndef DK_BASE_PROC_H
#define DK_BASE_PROC_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/err.h"

/* Whether PATH has an executable of this name. */
bool dk_have_program(const char *name);

/* Runs argv[0] (searched in PATH; argv ends with NULL) with `input` on its standard input and
 * appends its standard output to *out. The child sees no blocked signals. It must end with status
 * 0, else DK_EFAIL with the beginning of what it said on standard error; DK_ECANCELLED after SIGINT
 * or SIGTERM, when the child has been ended too; DK_ENOMEM when it writes more than max_out bytes.
 * SIGPIPE must be ignored, as dk_sig_init() leaves it. */
int dk_run_filter(const char *const *argv, const void *input, size_t len, size_t max_out,
                  dk_buf *out, dk_err *err);

#endif
