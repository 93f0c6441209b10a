/* See sig.h. No signal handler runs on a computing thread: oneDNN's generated matrix kernels use the
 * stack pointer as an ordinary register, and a handler's frame would be pushed into the middle of the
 * heap (seen as "corrupted size vs. prev_size" on SIGINT). So the signals are blocked everywhere and
 * one thread waits for them. */
#include "base/sig.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "base/fs.h"

static atomic_int cancelled;
static sigset_t handled;

static void *wait_for_signals(void *unused)
{
    int sig;

    (void)unused;
    while (sigwait(&handled, &sig) == 0) {
        if (atomic_exchange(&cancelled, sig) == 0)
            continue;
        /* The second one: nobody polled, or the user is in a hurry. */
        dk_out_abort_all();
        signal(sig, SIG_DFL);
        pthread_sigmask(SIG_UNBLOCK, &handled, NULL);
        raise(sig);
    }
    return NULL;
}

void dk_sig_init(void)
{
    static const int wanted[] = {SIGINT, SIGTERM};
    struct sigaction old;
    pthread_t thread;
    int n = 0;

    sigemptyset(&handled);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        /* A background job of a shell without job control ignores SIGINT; it stays so. */
        if (sigaction(wanted[i], NULL, &old) == 0 && old.sa_handler == SIG_IGN)
            continue;
        sigaddset(&handled, wanted[i]);
        n++;
    }
    /* A reader that went away is an error of write(), reported as one. */
    signal(SIGPIPE, SIG_IGN);
    if (n == 0)
        return;
    pthread_sigmask(SIG_BLOCK, &handled, NULL); /* inherited by every later thread */
    if (pthread_create(&thread, NULL, wait_for_signals, NULL) == 0)
        pthread_detach(thread);
    else /* signals end the process at once, as without this */
        pthread_sigmask(SIG_UNBLOCK, &handled, NULL);
}

bool dk_cancelled(void) { return atomic_load_explicit(&cancelled, memory_order_relaxed) != 0; }

int dk_check_cancel(dk_err *err)
{
    return dk_cancelled() ? dk_fail(err, DK_ECANCELLED, "interrupted") : 0;
}
