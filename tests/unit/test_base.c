/* common/base: errors, memory, buffers, files and atomic outputs, signals, hashes, messages. */
#define _XOPEN_SOURCE 700 /* posix_openpt */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/fs.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/par.h"
#include "base/sig.h"
#include "unit/support.h"

TS_SCRATCH("base")

static char *in_dir(const char *name)
{
    return dk_path_join(dir, name);
}

static void put(const char *path, const char *text)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void assert_holds(const char *path, const char *text)
{
    char *data;
    size_t len;
    assert_int_equal(dk_read_file(path, 1 << 20, &data, &len, &err), 0);
    assert_string_equal(data, text);
    free(data);
}

/* Files of the scratch directory whose name holds `part`. */
static int count_named(const char *part)
{
    char *command = dk_xasprintf("ls -A '%s' | grep -cF -- '%s'", dir, part);
    FILE *p = popen(command, "r");
    int n = -1;
    assert_non_null(p);
    assert_int_equal(fscanf(p, "%d", &n), 1);
    pclose(p);
    free(command);
    return n;
}

/* ---- Errors. */

static void errors_keep_the_first(void **state)
{
    (void)state;
    assert_int_equal(dk_fail(&err, DK_EFORMAT, "tensor \"%s\"", "w"), DK_EFORMAT);
    assert_int_equal(dk_fail(&err, DK_EFAIL, "later"), DK_EFORMAT);
    assert_int_equal(dk_wrap(&err, "file %d", 3), DK_EFORMAT);
    assert_string_equal(err.msg, "file 3: tensor \"w\"");
    assert_int_equal(dk_fail(NULL, DK_EUSAGE, "nobody listens"), DK_EUSAGE);
    assert_int_equal(dk_wrap(NULL, "nobody"), DK_EFAIL);
    assert_int_equal(dk_fail_errno(NULL, "nobody"), DK_EFAIL);
    dk_err_init(&err);
    errno = ENOENT;
    assert_int_equal(dk_fail_errno(&err, "x"), DK_EFAIL);
    assert_string_equal(err.msg, "x: No such file or directory");
}

static void errors_are_cut_not_overrun(void **state)
{
    char *big = dk_xmalloc(2 * DK_ERR_MSG);
    (void)state;
    memset(big, 'm', 2 * DK_ERR_MSG - 1);
    big[2 * DK_ERR_MSG - 1] = '\0';
    dk_fail(&err, DK_EFAIL, "%s", big);
    assert_int_equal(strlen(err.msg), DK_ERR_MSG - 1);
    for (int i = 0; i < 40; i++)
        dk_wrap(&err, "%s", big);
    assert_int_equal(strlen(err.msg), DK_ERR_MSG - 1);
    dk_wrap(&err, "first");
    assert_memory_equal(err.msg, "first: mmm", 10);
    free(big);
}

static void exit_statuses(void **state)
{
    static const int want[][2] = {{0, 0},          {DK_EFAIL, 1},    {DK_ENOMEM, 1},
                                  {DK_EUSAGE, 2},  {DK_EFORMAT, 3},  {DK_EUNSUPPORTED, 4},
                                  {DK_ECHECK, 5},  {DK_ENUMERIC, 1}, {DK_ECANCELLED, 130},
                                  {DK_EBACKEND, 1}};
    (void)state;
    for (size_t i = 0; i < sizeof want / sizeof want[0]; i++)
        assert_int_equal(dk_exit_status(want[i][0]), want[i][1]);
}

/* ---- Memory. */

static void checked_sizes(void **state)
{
    size_t n;
    (void)state;
    assert_true(dk_mul(3, 4, &n) && n == 12);
    assert_false(dk_mul(SIZE_MAX, 2, &n));
    assert_false(dk_add(SIZE_MAX, 1, &n));
    assert_true(dk_add(SIZE_MAX - 1, 1, &n) && n == SIZE_MAX);
}

static void aligned_memory(void **state)
{
    (void)state;
    for (size_t n = 0; n < 200; n += 33) {
        char *p = dk_alloc(n, "test", &err);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % 64, 0);
        memset(p, 1, n);
        dk_free_aligned(p);
    }
    assert_null(dk_alloc(SIZE_MAX - 10, "a giant", &err));
    assert_int_equal(err.code, DK_ENOMEM);
    assert_non_null(strstr(err.msg, "a giant"));
}

static void arena_gives_back_in_stack_order(void **state)
{
    dk_arena *a = dk_arena_new();
    (void)state;
    dk_arena_mark start = dk_arena_save(a);
    char *p = dk_arena_alloc(a, 100, &err);
    dk_arena_mark m = dk_arena_save(a);
    char *q = dk_arena_alloc(a, 1, &err);
    assert_ptr_equal(q, p + 128);
    char *big = dk_arena_alloc(a, (size_t)9 << 20, &err);
    assert_int_equal((uintptr_t)big % 64, 0);
    memset(big, 1, (size_t)9 << 20);
    assert_int_equal(dk_arena_peak(a), 192 + (9 << 20));
    dk_arena_restore(a, m);
    assert_ptr_equal(dk_arena_alloc(a, 1, &err), q);
    /* The second chunk is too small now, and is replaced. */
    big = dk_arena_alloc(a, (size_t)12 << 20, &err);
    memset(big, 1, (size_t)12 << 20);
    assert_int_equal(dk_arena_peak(a), 192 + (12 << 20));
    dk_arena_restore(a, start);
    dk_arena_trim(a);
    assert_non_null(dk_arena_alloc(a, 0, &err));
    assert_int_equal(dk_arena_peak(a), 192 + (12 << 20));
    assert_null(dk_arena_alloc(a, SIZE_MAX - 5, &err));
    assert_int_equal(err.code, DK_ENOMEM);
    assert_non_null(dk_arena_alloc(a, 5, &err));
    dk_arena_free(a);
    dk_arena_free(NULL);
}

static void strings(void **state)
{
    (void)state;
    char *s = dk_xasprintf("%s-%d", "a", 7), *t = dk_xstrndup("hello", 4);
    assert_string_equal(s, "a-7");
    assert_string_equal(t, "hell");
    free(s);
    free(t);
}

static void buffers(void **state)
{
    dk_buf b = {0};
    (void)state;
    assert_string_equal(dk_buf_str(&b), "");
    dk_buf_clear(&b);
    for (int i = 0; i < 1000; i++)
        dk_buf_printf(&b, "%d,", i % 10);
    assert_int_equal(b.len, 2000);
    assert_int_equal(strlen(b.data), 2000);
    dk_buf_clear(&b);
    dk_buf_add(&b, "a\0b", 3);
    dk_buf_putc(&b, 'c');
    dk_buf_puts(&b, "");
    assert_int_equal(b.len, 4);
    assert_memory_equal(b.data, "a\0bc", 5);
    char *s = dk_buf_steal(&b);
    assert_null(b.data);
    free(s);
    s = dk_buf_steal(&b);
    assert_string_equal(s, "");
    free(s);
    dk_buf_free(&b);
}

/* ---- Reading files. */

static void read_limits_and_errors(void **state)
{
    char *path = in_dir("five"), *data, *none = in_dir("none");
    size_t len;
    (void)state;
    put(path, "12345");
    assert_int_equal(dk_read_file(path, 5, &data, &len, &err), 0);
    assert_int_equal(len, 5);
    assert_string_equal(data, "12345");
    free(data);
    assert_int_equal(dk_read_file(path, 4, &data, &len, &err), DK_EFORMAT);
    assert_null(data);
    dk_err_init(&err);
    assert_int_equal(dk_read_file(none, 4, &data, &len, &err), DK_EFAIL);
    assert_non_null(strstr(err.msg, "No such file"));
    dk_err_init(&err);
    assert_int_equal(dk_read_file(dir, 4, &data, &len, &err), DK_EFAIL);
    dk_err_init(&err);
    assert_int_equal(dk_read_file("/dev/zero", 100000, &data, &len, &err), DK_EFORMAT);
    dk_err_init(&err);
    put(path, "");
    assert_int_equal(dk_read_file(path, 0, &data, &len, &err), 0);
    assert_string_equal(data, "");
    free(data);
    free(path);
    free(none);
}

/* A child writes `n` bytes into a FIFO that this process reads. */
static void read_from_a_pipe(void **state)
{
    char *path = in_dir("fifo"), *data;
    size_t len;
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    pid_t child = fork();
    if (child == 0) {
        FILE *f = fopen(path, "wb");
        for (int i = 0; f && i < 300000; i++)
            putc('a' + i % 26, f);
        _exit(!f || fclose(f) != 0);
    }
    assert_int_equal(dk_read_file(path, 1 << 20, &data, &len, &err), 0);
    assert_int_equal(len, 300000);
    for (size_t i = 0; i < len; i++)
        assert_int_equal(data[i], 'a' + (int)(i % 26));
    assert_int_equal(waitpid(child, NULL, 0), child);
    free(data);
    /* A mapping of it is refused at once, not waited for. */
    dk_map m;
    assert_int_equal(dk_map_open(&m, path, &err), DK_EFORMAT);
    dk_map_close(&m);
    unlink(path);
    free(path);
}

static void mappings(void **state)
{
    char *path = in_dir("mapped");
    dk_map m = {0};
    (void)state;
    dk_map_close(&m);
    put(path, "");
    assert_int_equal(dk_map_open(&m, path, &err), 0);
    assert_int_equal(m.len, 0);
    dk_map_close(&m);
    put(path, "bytes");
    assert_int_equal(dk_map_open(&m, path, &err), 0);
    assert_int_equal(m.len, 5);
    dk_map_dontneed(&m);
    assert_memory_equal(m.data, "bytes", 5);
    dk_map_close(&m);
    assert_int_equal(dk_map_open(&m, dir, &err), DK_EFORMAT);
    dk_err_init(&err);
    assert_int_equal(dk_map_open(&m, "/dev/null", &err), DK_EFORMAT);
    free(path);
}

static void paths(void **state)
{
    static const char *const cases[][4] = {
        /* dir, name, joined, last two parts */
        {"", "f", "f", "f"},       {"a", "f", "a/f", "a/f"},
        {"a/", "f", "a/f", "a/f"}, {"/x/vae", "f", "/x/vae/f", "vae/f"},
        {"/", "f", "/f", "/f"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *joined = dk_path_join(cases[i][0], cases[i][1]);
        assert_string_equal(joined, cases[i][2]);
        assert_string_equal(dk_tail2(joined), cases[i][3]);
        assert_string_equal(dk_basename(joined), "f");
        free(joined);
    }
    assert_true(dk_is_dir(dir) && dk_exists(dir) && !dk_is_dir("/dev/null"));
}

/* ---- Atomic outputs. */

static void output_appears_at_commit(void **state)
{
    char *path = in_dir("out.txt");
    (void)state;
    dk_out *o = dk_out_begin(path, false, &err);
    assert_non_null(o);
    fputs("new", dk_out_file(o));
    assert_false(dk_exists(path));
    assert_int_equal(count_named(".tmp"), 1);
    assert_int_equal(dk_out_commit(o, &err), 0);
    assert_holds(path, "new");
    assert_int_equal(count_named(".tmp"), 0);
    /* It is there now. */
    assert_null(dk_out_begin(path, false, &err));
    assert_int_equal(err.code, DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_out_check(path, false, &err), DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_out_check(path, true, &err), 0);
    o = dk_out_begin(path, true, &err);
    fputs("newer", dk_out_file(o));
    assert_holds(path, "new");
    dk_out_abort(o);
    assert_holds(path, "new");
    assert_int_equal(count_named(".tmp"), 0);
    o = dk_out_begin(path, true, &err);
    fputs("newer", dk_out_file(o));
    assert_int_equal(dk_out_commit(o, &err), 0);
    assert_holds(path, "newer");
    dk_out_abort(NULL);
    free(path);
}

static void output_loses_no_race(void **state)
{
    char *path = in_dir("race");
    (void)state;
    dk_out *o = dk_out_begin(path, false, &err);
    fputs("ours", dk_out_file(o));
    put(path, "theirs");
    assert_int_equal(dk_out_commit(o, &err), DK_EUSAGE);
    assert_holds(path, "theirs");
    assert_int_equal(count_named(".tmp"), 0);
    free(path);
}

static void two_outputs_of_one_name(void **state)
{
    char *path = in_dir("twice");
    (void)state;
    dk_out *a = dk_out_begin(path, false, &err), *b = dk_out_begin(path, false, &err);
    fputs("a", dk_out_file(a));
    fputs("b", dk_out_file(b));
    assert_int_equal(dk_out_commit(b, &err), 0);
    assert_int_equal(dk_out_commit(a, &err), DK_EUSAGE);
    assert_holds(path, "b");
    free(path);
}

static void output_targets_that_cannot_be(void **state)
{
    char *missing = in_dir("no/such/file"), *below = in_dir("plain/file"), *plain = in_dir("plain");
    char *link = in_dir("dangling");
    /* The last is a directory that only turns out to refuse files when one is made. */
    const char *const bad[] = {missing, dir, below, "/proc/no-such-file"};
    (void)state;
    put(plain, "");
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        dk_err_init(&err);
        assert_null(dk_out_begin(bad[i], true, &err));
        assert_int_equal(err.code, DK_EFAIL);
        assert_non_null(strstr(err.msg, bad[i]));
        dk_err_init(&err);
        /* Root may write anywhere as far as access() knows: only the attempt tells of /proc. */
        if (i < 3)
            assert_int_equal(dk_out_check(bad[i], true, &err), DK_EFAIL);
    }
    dk_err_init(&err);
    assert_null(dk_out_begin("", true, &err));
    assert_int_equal(err.code, DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(symlink("nowhere", link), 0);
    assert_null(dk_out_begin(link, false, &err));
    assert_int_equal(err.code, DK_EUSAGE);
    free(missing);
    free(below);
    free(plain);
    free(link);
}

static void output_to_devices_and_pipes(void **state)
{
    char *path = in_dir("out-fifo"), text[8] = {0};
    (void)state;
    dk_out *o = dk_out_begin("/dev/null", false, &err);
    assert_non_null(o);
    fputs("gone", dk_out_file(o));
    assert_int_equal(dk_out_commit(o, &err), 0);
    struct stat st;
    assert_true(stat("/dev/null", &st) == 0 && S_ISCHR(st.st_mode));

    assert_int_equal(mkfifo(path, 0600), 0);
    int reader = open(path, O_RDONLY | O_NONBLOCK);
    assert_int_equal(dk_out_check(path, false, &err), 0);
    o = dk_out_begin(path, false, &err);
    assert_non_null(o);
    fputs("through", dk_out_file(o));
    assert_int_equal(dk_out_commit(o, &err), 0);
    assert_int_equal(read(reader, text, 7), 7);
    assert_string_equal(text, "through");
    close(reader);
    unlink(path);
    free(path);
}

static void full_disk_is_an_error(void **state)
{
    (void)state;
    if (!dk_exists("/dev/full"))
        skip();
    dk_out *o = dk_out_begin("/dev/full", false, &err);
    assert_non_null(o);
    for (int i = 0; i < 100000; i++)
        putc('x', dk_out_file(o));
    assert_int_equal(dk_out_commit(o, &err), DK_EFAIL);
    assert_non_null(strstr(err.msg, "/dev/full"));
}

static void long_names_fit(void **state)
{
    char name[256];
    (void)state;
    memset(name, 'n', 255);
    name[255] = '\0';
    char *path = in_dir(name);
    dk_out *o = dk_out_begin(path, false, &err);
    assert_non_null(o);
    assert_int_equal(dk_out_commit(o, &err), 0);
    assert_holds(path, "");
    free(path);
}

/* ---- Endings: what a child leaves behind. */

enum ending { BY_EXIT, ONE_SIGNAL, TWO_SIGNALS };

static int end_child(enum ending how, const char *path)
{
    pid_t child = fork();
    int status = 0;

    if (child == 0) {
        dk_sig_init();
        dk_out *o = dk_out_begin(path, false, &err);
        if (!o)
            _exit(9);
        fputs("half", dk_out_file(o));
        if (how != BY_EXIT) {
            kill(getpid(), SIGTERM);
            for (int i = 0; i < 500 && !dk_cancelled(); i++)
                nanosleep(&(struct timespec){0, 10000000}, NULL);
            if (!dk_cancelled() || dk_check_cancel(&err) != DK_ECANCELLED ||
                strcmp(err.msg, "interrupted") != 0)
                _exit(9);
        }
        if (how == TWO_SIGNALS) {
            kill(getpid(), SIGTERM);
            sleep(5);
        }
        if (how == ONE_SIGNAL)
            dk_out_abort(o);
        if (how == BY_EXIT) {
            fclose(stdout); /* nothing of the parent's output twice */
            exit(0);
        }
        _exit(how == ONE_SIGNAL ? dk_exit_status(err.code) : 0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void signals_leave_nothing(void **state)
{
    char *path = in_dir("signal");
    (void)state;
    int status = end_child(BY_EXIT, path);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    status = end_child(ONE_SIGNAL, path);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 130);
    status = end_child(TWO_SIGNALS, path);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    assert_false(dk_exists(path));
    assert_int_equal(count_named(".tmp"), 0);
    free(path);
}

/* ---- The rest. */

static void hashes(void **state)
{
    char hex[33];
    uint8_t bytes[1000];
    (void)state;
    dk_hash_hex(dk_hash_new(), hex);
    assert_string_equal(hex, "99aa06d3014798d86001c324468d497f"); /* published: empty input */
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)i;
    char once[33];
    dk_hasher *h = dk_hash_new();
    dk_hash_add(h, bytes, sizeof bytes);
    dk_hash_hex(h, once);
    h = dk_hash_new();
    for (size_t i = 0; i < sizeof bytes; i++)
        dk_hash_add(h, bytes + i, 1);
    dk_hash_hex(h, hex);
    assert_string_equal(hex, once);
    assert_true(dk_fnv1a64("", 0) == 0xCBF29CE484222325u);
    assert_true(dk_fnv1a64("a", 1) == 0xAF63DC4C8601EC8Cu);
    assert_true(dk_splitmix64(0) == 0xE220A8397B1DCDAFu);
}

static void threads(void **state)
{
    (void)state;
    dk_set_threads(3);
    assert_true(dk_threads() == 3 || dk_threads() == 1);
    dk_set_threads(0);
    assert_true(dk_threads() >= 1);
}

/* Runs `say` with stderr in a file and compares what came. */
static void assert_says(void (*say)(void), const char *want)
{
    char *path = in_dir("stderr");
    int kept = dup(STDERR_FILENO), fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    assert_true(kept >= 0 && fd >= 0);
    dup2(fd, STDERR_FILENO);
    say();
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    close(fd);
    assert_holds(path, want);
    free(path);
}

static void say_all(void)
{
    dk_log(DK_LOG_ERROR, "e%d", 1);
    dk_warn("w");
    dk_info("i");
    dk_debug("d");
}

static void say_control(void)
{
    dk_warn("name \"\033[2J\r\" here");
}

static void say_progress(void)
{
    dk_progress *p = dk_progress_begin("steps", 3);
    dk_progress_label(p, "other");
    for (long i = 0; i <= 3; i++)
        dk_progress_step(p, i);
    dk_progress_end(p);
    dk_progress_end(NULL);
}

static void messages(void **state)
{
    (void)state;
    dk_log_init("tool", -1);
    assert_says(say_all, "tool: error: e1\n");
    dk_log_init("tool", 0);
    assert_says(say_all, "tool: error: e1\ntool: warning: w\n");
    assert_says(say_control, "tool: warning: name \"?[2J?\" here\n");
    assert_says(say_progress, ""); /* no terminal */
    dk_log_init("tool", 2);
    assert_int_equal(dk_log_verbosity(), 2);
    assert_says(say_all, "tool: error: e1\ntool: warning: w\ntool: info: i\ntool: debug: d\n");
}

/* On a terminal: a line after half a second, cleared and drawn again around a warning. */
static void progress_on_a_terminal(void **state)
{
    char text[2048];
    size_t n = 0;
    (void)state;
    int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master))
        skip();
    int slave = open(ptsname(master), O_RDWR | O_NOCTTY), kept = dup(STDERR_FILENO);
    assert_true(slave >= 0 && kept >= 0);
    dup2(slave, STDERR_FILENO);
    dk_log_init("tool", 0);
    dk_progress *p = dk_progress_begin("denoising", 4);
    dk_progress_step(p, 1); /* too early to show */
    nanosleep(&(struct timespec){0, 600000000}, NULL);
    dk_progress_step(p, 2);
    dk_progress_step(p, 3); /* too soon after the last */
    dk_warn("careful");
    dk_progress_end(p);
    dup2(kept, STDERR_FILENO);
    close(kept);
    fcntl(master, F_SETFL, O_NONBLOCK);
    for (ssize_t got;
         n < sizeof text - 1 && (got = read(master, text + n, sizeof text - 1 - n)) > 0;)
        n += (size_t)got;
    text[n] = '\0';
    close(slave);
    close(master);
    assert_memory_equal(text, "\r\033[Kdenoising  50 % 2/4  ", 25);
    const char *warning =
        strstr(text, "\r\033[Ktool: warning: careful\r\n\r\033[Kdenoising  75 % 3/4");
    assert_non_null(warning);
    assert_non_null(strstr(warning, " s/step  eta "));
    assert_null(strstr(text, "1/4"));
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup(f, fresh)
    const struct CMUnitTest tests[] = {
        CASE(errors_keep_the_first),
        CASE(errors_are_cut_not_overrun),
        CASE(exit_statuses),
        CASE(checked_sizes),
        CASE(aligned_memory),
        CASE(arena_gives_back_in_stack_order),
        CASE(strings),
        CASE(buffers),
        CASE(read_limits_and_errors),
        CASE(read_from_a_pipe),
        CASE(mappings),
        CASE(paths),
        CASE(output_appears_at_commit),
        CASE(output_loses_no_race),
        CASE(two_outputs_of_one_name),
        CASE(output_targets_that_cannot_be),
        CASE(output_to_devices_and_pipes),
        CASE(full_disk_is_an_error),
        CASE(long_names_fit),
        CASE(signals_leave_nothing),
        CASE(hashes),
        CASE(threads),
        CASE(messages),
        CASE(progress_on_a_terminal),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
