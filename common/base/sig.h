/* SIGINT and SIGTERM: the first sets a flag that long loops poll once per step (dk_cancelled);
 * the second, or a flag nobody polled, removes temporaries and ends the process at once. */
#ifndef DK_BASE_SIG_H
#define DK_BASE_SIG_H

#include <stdbool.h>

#include "base/err.h"

void dk_sig_init(void);
bool dk_cancelled(void);
/* 0, or DK_ECANCELLED with the message "interrupted". */
int dk_check_cancel(dk_err *err);

#endif
