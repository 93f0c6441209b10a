/* See proc.h. One poll loop feeds the child and drains both of its outputs, so that neither side
 * can wait for the other; it wakes up ten times a second to see an interrupt. */
#include "base/proc.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sig.h"

extern char **environ;

#define POLL_MS     100
#define MAX_SAID    2000 /* of the child's standard error, for the message */
#define PATIENCE_MS 1000 /* between SIGTERM and SIGKILL */

enum { END_READ, END_WRITE };

bool dk_have_program(const char *name)
{
    const char *path = getenv("PATH");
    bool found = false;

    for (const char *at = path ? path : ""; *at && !found;) {
        size_t n = strcspn(at, ":");
        char *dir = n ? dk_xstrndup(at, n) : dk_xstrdup(".");
        char *file = dk_path_join(dir, name);
        found = access(file, X_OK) == 0 && !dk_is_dir(file);
        free(dir);
        free(file);
        at += n + (at[n] == ':');
    }
    return found;
}

/* ---- Pipes. */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

/* Both ends above the standard descriptors, which may be closed in this process, and closed on
 * exec: the child gets its ends by dup2 alone. */
static int make_pipe(int end[2], dk_err *err)
{
    int raw[2];

    if (pipe(raw) != 0)
        return dk_fail_errno(err, "pipe");
    for (int i = 0; i < 2; i++)
        end[i] = fcntl(raw[i], F_DUPFD_CLOEXEC, 3);
    int failed = end[0] < 0 || end[1] < 0 ? errno : 0;
    close(raw[0]);
    close(raw[1]);
    errno = failed;
    return failed ? dk_fail_errno(err, "pipe") : 0;
}

typedef struct child {
    const char *name;
    pid_t pid;
    int in, out, said; /* our ends; -1: closed */
} child;

static int start(child *c, const char *const *argv, int in[2], int out[2], int said[2], dk_err *err)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attr;
    sigset_t none, defaults;

    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setsigmask(&attr, &none);
    posix_spawnattr_setsigdefault(&attr, &defaults);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in[END_READ], STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out[END_WRITE], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, said[END_WRITE], STDERR_FILENO);
    /* The strings are not written to; the prototype is older than const. */
    int failed = posix_spawnp(&c->pid, argv[0], &files, &attr, (char *const *)(uintptr_t)argv,
                              environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attr);
    if (failed) {
        errno = failed;
        return dk_fail_errno(err, "starting %s", argv[0]);
    }
    c->name = argv[0];
    return 0;
}

/* ---- The conversation. */

/* Writes what the pipe takes; a child that does not want to read more is no error by itself. */
static void feed(child *c, const char *input, size_t len, size_t *done)
{
    ssize_t n = write(c->in, input + *done, len - *done);

    if (n > 0)
        *done += (size_t)n;
    bool again = n < 0 && (errno == EAGAIN || errno == EINTR);
    if ((n < 0 && !again) || *done == len)
        close_fd(&c->in);
}

/* Appends at most `max` bytes in all; more is read and dropped. True when there was more. */
static bool drain(int *fd, dk_buf *b, size_t max)
{
    char piece[16384];
    ssize_t n = read(*fd, piece, sizeof piece);

    if (n < 0 && errno == EINTR)
        return false;
    if (n <= 0) {
        close_fd(fd);
        return false;
    }
    size_t room = max - b->len, take = (size_t)n < room ? (size_t)n : room;
    dk_buf_add(b, piece, take);
    return take < (size_t)n;
}

static int talk(child *c, const char *input, size_t len, size_t max_out, dk_buf *out, dk_buf *said,
                dk_err *err)
{
    size_t done = 0, limit;

    if (!dk_add(out->len, max_out, &limit))
        limit = SIZE_MAX;
    if (len == 0)
        close_fd(&c->in);
    else if (fcntl(c->in, F_SETFL, O_NONBLOCK) != 0)
        return dk_fail_errno(err, "%s", c->name);
    while (c->out >= 0 || c->said >= 0) {
        struct pollfd p[3] = {{c->in, POLLOUT, 0}, {c->out, POLLIN, 0}, {c->said, POLLIN, 0}};
        if (dk_check_cancel(err))
            return err->code;
        if (poll(p, 3, POLL_MS) < 0 && errno != EINTR)
            return dk_fail_errno(err, "%s", c->name);
        if (c->in >= 0 && p[0].revents)
            feed(c, input, len, &done);
        if (c->out >= 0 && p[1].revents && drain(&c->out, out, limit))
            return dk_fail(err, DK_ENOMEM, "%s wrote more than the limit of %zu bytes", c->name,
                           max_out);
        if (c->said >= 0 && p[2].revents)
            drain(&c->said, said, MAX_SAID);
    }
    return 0;
}

/* Ends a child that is still at work, politely first. */
static void end_child(const child *c, int *status)
{
    const struct timespec moment = {0, 10 * 1000000L};

    kill(c->pid, SIGTERM);
    for (int waited = 0; waited < PATIENCE_MS; waited += 10) {
        if (waitpid(c->pid, status, WNOHANG) != 0)
            return;
        nanosleep(&moment, NULL);
    }
    kill(c->pid, SIGKILL);
    while (waitpid(c->pid, status, 0) < 0 && errno == EINTR)
        ;
}

static int verdict(const child *c, int status, const dk_buf *said, dk_err *err)
{
    size_t n = said->len;

    /* A terminal sends SIGINT to the child as well. */
    if (dk_check_cancel(err))
        return err->code;
    while (n > 0 && (said->data[n - 1] == '\n' || said->data[n - 1] == '\r'))
        n--;
    if (WIFSIGNALED(status))
        return dk_fail(err, DK_EFAIL, "%s was ended by signal %d", c->name, WTERMSIG(status));
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return dk_fail(err, DK_EFAIL, "%s failed with status %d%s%.*s", c->name,
                       WEXITSTATUS(status), n ? ": " : "", (int)n, n ? said->data : "");
    if (n)
        dk_debug("%s: %.*s", c->name, (int)n, said->data);
    return 0;
}

int dk_run_filter(const char *const *argv, const void *input, size_t len, size_t max_out,
                  dk_buf *out, dk_err *err)
{
    int in[2] = {-1, -1}, got[2] = {-1, -1}, said[2] = {-1, -1}, status = 0;
    dk_buf words = {0};
    child c = {.pid = -1};

    if (make_pipe(in, err) || make_pipe(got, err) || make_pipe(said, err) ||
        start(&c, argv, in, got, said, err))
        goto out;
    close_fd(&in[END_READ]);
    close_fd(&got[END_WRITE]);
    close_fd(&said[END_WRITE]);
    c.in = in[END_WRITE];
    c.out = got[END_READ];
    c.said = said[END_READ];
    in[END_WRITE] = got[END_READ] = said[END_READ] = -1;
    bool bad = talk(&c, input, len, max_out, out, &words, err) != 0;
    close_fd(&c.in);
    close_fd(&c.out);
    close_fd(&c.said);
    if (bad) {
        end_child(&c, &status);
    } else {
        while (waitpid(c.pid, &status, 0) < 0 && errno == EINTR)
            ;
        verdict(&c, status, &words, err);
    }
out:
    for (int i = 0; i < 2; i++) {
        close_fd(&in[i]);
        close_fd(&got[i]);
        close_fd(&said[i]);
    }
    dk_buf_free(&words);
    return err->code;
}
