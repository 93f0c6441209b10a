/* base/proc: filters fed and drained at once, their failures, limits. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/proc.h"
#include "unit/support.h"

static dk_err err;
static dk_buf out;

static int fresh(void **state)
{
    (void)state;
    dk_err_init(&err);
    return 0;
}

static int gone(void **state)
{
    (void)state;
    dk_buf_free(&out);
    return 0;
}

static int shell(const char *script, const char *input, size_t len, size_t max)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    return dk_run_filter(argv, input, len, max, &out, &err);
}

static void programs_are_found(void **state)
{
    (void)state;
    assert_true(dk_have_program("sh"));
    assert_false(dk_have_program("no-such-program-anywhere"));
}

/* More than any pipe holds, in both directions. */
static void large_text_passes(void **state)
{
    size_t n = 3u << 20;
    char *text = dk_xmalloc(n);
    (void)state;

    for (size_t i = 0; i < n; i++)
        text[i] = (char)('a' + i % 23);
    dk_buf_puts(&out, "before ");
    ts_ok(shell("cat", text, n, n), &err);
    assert_int_equal(out.len, n + 7);
    assert_memory_equal(out.data + 7, text, n);
    free(text);
}

static void input_left_unread(void **state)
{
    size_t n = 1u << 20;
    char *text = dk_xcalloc(n, 1);
    (void)state;

    ts_ok(shell("echo done", text, n, 100), &err);
    assert_string_equal(dk_buf_str(&out), "done\n");
    free(text);
}

static void no_input(void **state)
{
    (void)state;
    ts_ok(shell("wc -c | tr -d ' '", NULL, 0, 100), &err);
    assert_string_equal(dk_buf_str(&out), "0\n");
}

static void failures(void **state)
{
    const char *missing[] = {"no-such-program-anywhere", NULL};
    (void)state;

    shell("echo it broke >&2; exit 3", "", 0, 100);
    ts_failed(&err, DK_EFAIL, "sh failed with status 3: it broke");
    shell("kill -9 $$", "", 0, 100);
    ts_failed(&err, DK_EFAIL, "ended by signal 9");
    assert_int_not_equal(dk_run_filter(missing, "", 0, 100, &out, &err), 0);
    ts_failed(&err, DK_EFAIL, "no-such-program-anywhere");
    shell("yes", "", 0, 5000);
    ts_failed(&err, DK_ENOMEM, "limit of 5000 bytes");
    shell("yes >&2 & sleep 0.2; kill $!; exit 1", "", 0, 100);
    ts_failed(&err, DK_EFAIL, "status 1: y\ny");
}

/* As in a program that keeps its signals for one thread: the child still obeys them. */
static void child_gets_clean_signals(void **state)
{
    sigset_t block, old;
    (void)state;

    sigemptyset(&block);
    sigaddset(&block, SIGINT);
    sigaddset(&block, SIGTERM);
    sigprocmask(SIG_BLOCK, &block, &old);
    shell("kill -TERM $$; echo survived", "", 0, 100);
    sigprocmask(SIG_SETMASK, &old, NULL);
    ts_failed(&err, DK_EFAIL, "ended by signal 15");
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, fresh, gone)
    const struct CMUnitTest tests[] = {
        TEST(programs_are_found), TEST(large_text_passes), TEST(input_left_unread),
        TEST(no_input),           TEST(failures),          TEST(child_gets_clean_signals),
    };
    signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests_name("proc", tests, NULL, NULL);
}
