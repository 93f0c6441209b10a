/* See sig.h. */
#include "base/sig.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"

static volatile sig_atomic_t cancelled;

static void on_signal(int sig)
{
    if (!cancelled) {
        cancelled = sig;
        return;
    }
    /* The second one: nobody polled, or the user is in a hurry. */
    dk_out_abort_all();
    signal(sig, SIG_DFL);
    raise(sig);
}

void dk_sig_init(void)
{
    static const int handled[] = {SIGINT, SIGTERM};
    struct sigaction act, old;

    memset(&act, 0, sizeof act);
    act.sa_handler = on_signal;
    sigemptyset(&act.sa_mask);
    for (size_t i = 0; i < sizeof handled / sizeof handled[0]; i++) {
        /* A background job of a shell without job control ignores SIGINT; it stays so. */
        if (sigaction(handled[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue;
        sigaction(handled[i], &act, NULL);
    }
    /* A reader that went away is an error of write(), reported as one. */
    signal(SIGPIPE, SIG_IGN);
}

bool dk_cancelled(void) { return cancelled != 0; }

int dk_check_cancel(dk_err *err)
{
    return cancelled ? dk_fail(err, DK_ECANCELLED, "interrupted") : 0;
}
