/* See fs.h. */
#define _DEFAULT_SOURCE /* madvise: POSIX's own posix_madvise(DONTNEED) does nothing in glibc */
#include "base/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

/* ---- Reading. */

static int open_input(const char *path, dk_err *err)
{
    if (strcmp(path, "-") == 0)
        return STDIN_FILENO;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        dk_fail_errno(err, "%s", path);
    return fd;
}

/* Reads to the end into *buf, which has room for `cap` bytes and a NUL. */
static int read_all(int fd, const char *path, size_t max, size_t cap, char **buf, size_t *len,
                    dk_err *err)
{
    size_t n = 0;

    for (;;) {
        ssize_t got = read(fd, *buf + n, cap - n);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return dk_fail_errno(err, "%s", path);
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > max)
            return dk_fail(err, DK_EFORMAT, "%s: larger than the limit of %zu bytes", path, max);
        if (n == cap) {
            char *bigger = realloc(*buf, 2 * cap + 1);
            if (!bigger)
                return dk_fail(err, DK_ENOMEM, "%s: no memory for %zu bytes", path, 2 * cap);
            *buf = bigger;
            cap *= 2;
        }
    }
    (*buf)[n] = '\0';
    *len = n;
    return 0;
}

int dk_read_file(const char *path, size_t max, char **data, size_t *len, dk_err *err)
{
    bool standard = strcmp(path, "-") == 0;
    int fd = open_input(path, err), rc;
    size_t cap = 1 << 16;
    struct stat st;
    char *buf = NULL;

    *data = NULL;
    *len = 0;
    if (fd < 0)
        return err->code;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        if ((uint64_t)st.st_size > max) {
            rc = dk_fail(err, DK_EFORMAT, "%s: larger than the limit of %zu bytes", path, max);
            goto out;
        }
        cap = (size_t)st.st_size + 1; /* one read to the end, one to see that it is the end */
    }
    buf = malloc(cap + 1);
    rc = buf ? read_all(fd, path, max, cap, &buf, len, err)
             : dk_fail(err, DK_ENOMEM, "%s: no memory for %zu bytes", path, cap);
out:
    if (!standard)
        close(fd);
    if (rc)
        free(buf);
    else
        *data = buf;
    return rc;
}

int dk_map_open(dk_map *m, const char *path, dk_err *err)
{
    struct stat st;
    /* Non-blocking, so that a FIFO without a writer is refused instead of waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK), rc = 0;

    *m = (dk_map){(const uint8_t *)"", 0, false};
    if (fd < 0)
        return dk_fail_errno(err, "%s", path);
    if (fstat(fd, &st) != 0) {
        rc = dk_fail_errno(err, "%s", path);
    } else if (!S_ISREG(st.st_mode)) {
        rc = dk_fail(err, DK_EFORMAT, "%s: expected a regular file, found a %s", path,
                     S_ISDIR(st.st_mode) ? "directory" : "device or pipe");
    } else if (st.st_size > 0) {
        void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED)
            rc = dk_fail_errno(err, "%s: mapping", path);
        else
            *m = (dk_map){p, (size_t)st.st_size, true};
    }
    close(fd);
    return rc;
}

void dk_map_close(dk_map *m)
{
    if (m->mapped)
        munmap((void *)m->data, m->len);
    *m = (dk_map){NULL, 0, false};
}

void dk_map_dontneed(const dk_map *m)
{
    if (m->mapped)
        madvise((void *)m->data, m->len, MADV_DONTNEED);
}

/* ---- Paths. */

bool dk_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool dk_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

char *dk_path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    if (n == 0)
        return dk_xstrdup(name);
    return dk_xasprintf("%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

const char *dk_basename(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

const char *dk_tail2(const char *path)
{
    const char *last = strrchr(path, '/');
    if (!last)
        return path;
    while (last > path && last[-1] != '/')
        last--;
    return last;
}

/* ---- Atomic outputs. The list is walked by the signal handler, so an entry is linked in complete,
 * before its temporary is made, and its name never moves while it is linked. */

struct dk_out {
    char *path, *temp; /* temp NULL: written in place (stdout, FIFO, device) */
    FILE *file;
    bool force;
    struct dk_out *next;
};

static dk_out *volatile open_outputs;

static void link_output(dk_out *o)
{
    static bool registered;
#pragma omp critical(dk_outputs)
    {
        if (!registered)
            registered = atexit(dk_out_abort_all) == 0;
        o->next = open_outputs;
        open_outputs = o;
    }
}

static void unlink_output(dk_out *o)
{
#pragma omp critical(dk_outputs)
    {
        if (open_outputs == o) {
            open_outputs = o->next;
        } else {
            for (dk_out *p = open_outputs; p; p = p->next)
                if (p->next == o)
                    p->next = o->next;
        }
    }
}

void dk_out_abort_all(void)
{
    for (const dk_out *o = open_outputs; o; o = o->next)
        if (o->temp)
            unlink(o->temp);
}

static bool is_stdout(const char *path)
{
    return strcmp(path, "-") == 0 || strcmp(path, "/dev/stdout") == 0;
}

static char *directory_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return dk_xstrdup(".");
    return slash == path ? dk_xstrdup("/") : dk_xstrndup(path, (size_t)(slash - path));
}

/* *in_place: the target is a FIFO or device, which is written as it is. */
static int check_target(const char *path, bool force, bool *in_place, dk_err *err)
{
    struct stat st;

    *in_place = false;
    if (path[0] == '\0')
        return dk_fail(err, DK_EUSAGE, "an output path is empty");
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode))
            return dk_fail(err, DK_EFAIL, "%s: is a directory", path);
        *in_place = !S_ISREG(st.st_mode);
        if (S_ISREG(st.st_mode) && !force)
            return dk_fail(err, DK_EUSAGE, "%s: exists; -f overwrites it", path);
    } else if (errno != ENOENT) {
        return dk_fail_errno(err, "%s", path);
    } else if (!force && lstat(path, &st) == 0) {
        return dk_fail(err, DK_EUSAGE, "%s: exists, a link to nowhere; -f overwrites it", path);
    }
    return 0;
}

int dk_out_check(const char *path, bool force, dk_err *err)
{
    bool in_place;

    if (is_stdout(path))
        return 0;
    if (check_target(path, force, &in_place, err))
        return err->code;
    if (in_place)
        return access(path, W_OK) == 0 ? 0 : dk_fail_errno(err, "%s", path);
    char *dir = directory_of(path);
    if (!dk_is_dir(dir))
        dk_fail(err, DK_EFAIL, "%s: the directory %s does not exist", path, dir);
    else if (access(dir, W_OK | X_OK) != 0)
        dk_fail_errno(err, "%s: cannot write into %s", path, dir);
    free(dir);
    return err->code;
}

/* Makes the temporary and links o into the list; -1 and *err when that cannot be done. */
static int open_temp(dk_out *o, dk_err *err)
{
    char *dir = directory_of(o->path);
    int fd = -1;

    for (int try = 0; try < 100; try++) {
        char *name = dk_xasprintf(".%.200s.%ld.%d.tmp", dk_basename(o->path), (long)getpid(), try);
        o->temp = dk_path_join(dir, name);
        free(name);
        link_output(o);
        fd = open(o->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0)
            break;
        int saved = errno;
        unlink_output(o);
        free(o->temp);
        o->temp = NULL;
        errno = saved;
        if (errno != EEXIST)
            break;
    }
    if (fd < 0)
        dk_fail_errno(err, "%s: cannot write into %s", o->path, dir);
    free(dir);
    return fd;
}

static void free_out(dk_out *o)
{
    free(o->path);
    free(o->temp);
    free(o);
}

dk_out *dk_out_begin(const char *path, bool force, dk_err *err)
{
    bool in_place = false;
    int fd;

    if (!is_stdout(path) && check_target(path, force, &in_place, err))
        return NULL;
    dk_out *o = dk_xcalloc(1, sizeof *o);
    o->path = dk_xstrdup(path);
    o->force = force;
    if (is_stdout(path)) {
        o->file = stdout;
        return o;
    }
    if (in_place) {
        fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd >= 0)
            link_output(o);
        else
            dk_fail_errno(err, "%s", path);
    } else {
        fd = open_temp(o, err);
    }
    if (fd < 0) {
        free_out(o);
        return NULL;
    }
    o->file = fdopen(fd, "wb");
    if (!o->file) {
        dk_fail_errno(err, "%s", path);
        close(fd);
        if (o->temp)
            unlink(o->temp);
        unlink_output(o);
        free_out(o);
        return NULL;
    }
    return o;
}

FILE *dk_out_file(dk_out *o) { return o->file; }

/* Without -f the name must still be free: link() refuses to replace, where rename() would not. File
 * systems without hard links fall back to a check just before the rename. */
static int put_in_place(const dk_out *o, dk_err *err)
{
    if (o->force)
        return rename(o->temp, o->path) == 0 ? 0 : dk_fail_errno(err, "%s", o->path);
    if (link(o->temp, o->path) == 0) {
        unlink(o->temp);
        return 0;
    }
    if (errno == EEXIST || dk_exists(o->path))
        return dk_fail(err, DK_EUSAGE, "%s: exists; -f overwrites it", o->path);
    return rename(o->temp, o->path) == 0 ? 0 : dk_fail_errno(err, "%s", o->path);
}

int dk_out_commit(dk_out *o, dk_err *err)
{
    int rc = 0;

    errno = 0;
    if (fflush(o->file) != 0 || ferror(o->file)) {
        /* An error of an earlier write left its mark in the stream, but no number. */
        if (errno == 0)
            errno = EIO;
        rc = dk_fail_errno(err, "%s: writing", o->path);
    }
    if (o->file == stdout) {
        free_out(o);
        return rc;
    }
    if (!rc && o->temp && fsync(fileno(o->file)) != 0)
        rc = dk_fail_errno(err, "%s: writing", o->path);
    if (fclose(o->file) != 0 && !rc)
        rc = dk_fail_errno(err, "%s: closing", o->path);
    if (!rc && o->temp)
        rc = put_in_place(o, err);
    if (rc && o->temp)
        unlink(o->temp);
    unlink_output(o);
    free_out(o);
    return rc;
}

void dk_out_abort(dk_out *o)
{
    if (!o)
        return;
    if (o->file != stdout) {
        fclose(o->file);
        if (o->temp)
            unlink(o->temp);
        unlink_output(o);
    }
    free_out(o);
}
