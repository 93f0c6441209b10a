/* base/opt: every kind of option, the messages of wrong ones, and the layout of --help. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/opt.h"

static dk_err err;

static struct targets {
    bool force, color, steps_given;
    int verbose, onoff;
    const char *model, *scheduler;
    int64_t steps, big;
    uint64_t seed, memory;
    double guidance;
    dk_strlist items;
} t;

static const dk_opt table[] = {
    DK_OPT_GROUP("What"),
    DK_OPT_STR('m', "model", &t.model, "DIR", "model directory in the hub's layout"),
    {DK_KIND_INT, 0, "steps", &t.steps, &t.steps_given, 1, 10000, "N", "denoising steps"},
    DK_OPT_INT(0, "big", &t.big, -9.3e18, 9.3e18, "N", "any integer"),
    DK_OPT_SEED('s', "seed", &t.seed, "seed"),
    DK_OPT_F64('g', "guidance", &t.guidance, 0, 100, "W", "strength"),
    DK_OPT_ENUM(0, "scheduler", &t.scheduler, "dpm++|ddim|ddpm|euler", "which"),
    DK_OPT_GROUP("How"),
    DK_OPT_SIZE(0, "max-mem", &t.memory,
                "a text that is long enough to need more than one line of help, with a last word "
                "that must not stand beyond the right edge\nand a line of its own"),
    DK_OPT_BOOL01(0, "onoff", &t.onoff, "switch"),
    DK_OPT_MULTI('i', "item", &t.items, "X", "several"),
    DK_OPT_FLAG('f', "force", &t.force, "overwrite"),
    DK_OPT_FLAG(0, "color", &t.color, "paint"),
    DK_OPT_COUNT('v', "verbose", &t.verbose, "say more"),
    DK_OPT_STR(0, "a-very-long-name-of-an-option", &t.model, "ARGUMENT", "below its name"),
    DK_OPT_END};

static const dk_opt_spec spec = {"tool -m DIR [options]", "Does something useful.", table,
                                 "Exit status: 0 done."};

#define MAX_ARGS 32
static char *argv[MAX_ARGS];

/* Parses a command line written as words between blanks; *first may be NULL. */
static int parse(const char *words, int *first)
{
    static char line[512];
    int argc = 0, operand;

    snprintf(line, sizeof line, "tool %s", words);
    for (char *w = strtok(line, " "); w && argc + 1 < MAX_ARGS; w = strtok(NULL, " "))
        argv[argc++] = w;
    argv[argc] = NULL;
    dk_err_init(&err);
    return dk_opt_parse(&spec, argc, argv, first ? first : &operand, &err);
}

static int fresh(void **state)
{
    (void)state;
    dk_strlist_free(&t.items);
    memset(&t, 0, sizeof t);
    t.color = true;
    return 0;
}

static int clear(void **state)
{
    (void)state;
    dk_strlist_free(&t.items);
    return 0;
}

static void every_kind(void **state)
{
    (void)state;
    assert_int_equal(parse("-m dir --steps=12 --big -9223372036854775808 -s 9223372036854775807 "
                           "-g4.5 --scheduler euler --max-mem 2G --onoff 1 -fvv --no-color -v",
                           NULL),
                     0);
    assert_string_equal(t.model, "dir");
    assert_true(t.steps == 12 && t.steps_given);
    assert_true(t.big == INT64_MIN);
    assert_true(t.seed == INT64_MAX);
    assert_true(t.guidance == 4.5);
    assert_string_equal(t.scheduler, "euler");
    assert_true(t.memory == (uint64_t)2 << 30);
    assert_true(t.onoff == 1 && t.force && !t.color && t.verbose == 3);
    assert_int_equal(parse("--no-force --color", NULL), 0);
    assert_true(!t.force && t.color);
    assert_int_equal(parse("--big 9223372036854775807", NULL), 0);
    assert_true(t.big == INT64_MAX);
}

static void operands_and_lists(void **state)
{
    int first;
    (void)state;
    assert_int_equal(parse("a -i one b --item=two -- -f --steps", &first), 0);
    assert_int_equal(t.items.n, 2);
    assert_string_equal(t.items.items[0], "one");
    assert_string_equal(t.items.items[1], "two");
    static const char *const rest[] = {"a", "b", "-f", "--steps"};
    for (int i = 0; i < 4; i++)
        assert_string_equal(argv[first + i], rest[i]);
    assert_null(argv[first + 4]);
    assert_false(t.force);
    assert_int_equal(parse("-", &first), 0);
    assert_string_equal(argv[first], "-");
}

static void wrong_lines(void **state)
{
    static const struct {
        const char *line, *message;
    } cases[] = {
        {"--stps 3", "unknown option --stps; did you mean --steps?"},
        {"--steps-count=3", "unknown option --steps-count; did you mean --steps?"},
        {"--xyzzyxyzzy", "unknown option --xyzzyxyzzy; try --help"},
        {"-x", "unknown option -x; try --help"},
        {"-fx", "unknown option -x; try --help"},
        {"--s 3", "--s may mean --steps, --seed, --scheduler"},
        {"--steps", "--steps needs an argument; try --help"},
        {"-m", "-m needs an argument; try --help"},
        {"--force=yes", "--force takes no argument"},
        {"--no-color=1", "--no-color takes no argument"},
        {"--steps 0", "--steps: expected an integer in [1, 10000], found \"0\""},
        {"--steps 10001", "--steps: expected an integer in [1, 10000], found \"10001\""},
        {"--steps 12x", "--steps: expected an integer in [1, 10000], found \"12x\""},
        {"--steps=", "--steps: expected an integer in [1, 10000], found \"\""},
        {"--steps +1", "--steps: expected an integer in [1, 10000], found \"+1\""},
        {"--steps 0x10", "--steps: expected an integer in [1, 10000], found \"0x10\""},
        {"--steps 1e3", "--steps: expected an integer in [1, 10000], found \"1e3\""},
        {"--steps 99999999999999999999",
         "--steps: expected an integer in [1, 10000], found \"99999999999999999999\""},
        {"-s -1", "--seed: expected an integer in [0, 9223372036854775807], found \"-1\""},
        {"-s 9223372036854775808",
         "--seed: expected an integer in [0, 9223372036854775807], found \"9223372036854775808\""},
        {"-g nan", "--guidance: expected a number in [0, 100], found \"nan\""},
        {"-g inf", "--guidance: expected a number in [0, 100], found \"inf\""},
        {"-g 0x1", "--guidance: expected a number in [0, 100], found \"0x1\""},
        {"-g 100.5", "--guidance: expected a number in [0, 100], found \"100.5\""},
        {"-g 1,5", "--guidance: expected a number in [0, 100], found \"1,5\""},
        {"-g -", "--guidance: expected a number in [0, 100], found \"-\""},
        {"--scheduler dd", "--scheduler: expected one of dpm++|ddim|ddpm|euler, found \"dd\""},
        {"--scheduler ddim|ddpm",
         "--scheduler: expected one of dpm++|ddim|ddpm|euler, found \"ddim|ddpm\""},
        {"--scheduler=", "--scheduler: expected one of dpm++|ddim|ddpm|euler, found \"\""},
        {"--onoff 2", "--onoff: expected an integer in [0, 1], found \"2\""},
        {"--max-mem 1.5G",
         "--max-mem: expected a size such as 4096, 128K, 2M or 1G, found \"1.5G\""},
        {"--max-mem 99999999999G",
         "--max-mem: expected a size such as 4096, 128K, 2M or 1G, found \"99999999999G\""},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(parse(cases[i].line, NULL), DK_EUSAGE);
        assert_string_equal(err.msg, cases[i].message);
    }
}

static void parsers(void **state)
{
    int64_t i;
    double v;
    uint64_t n;
    (void)state;
    dk_err_init(&err);
    assert_int_equal(dk_parse_i64("-5", -5, 5, "x", &i, &err), 0);
    assert_int_equal(i, -5);
    assert_int_equal(dk_parse_f64("-1e-3", -1, 1, "x", &v, &err), 0);
    assert_true(v == -1e-3);
    assert_int_equal(dk_parse_f64(".5", -1, 1, "x", &v, &err), 0);
    assert_true(v == 0.5);
    assert_int_equal(dk_parse_size("0", "x", &n, &err), 0);
    assert_true(n == 0);
    assert_int_equal(dk_parse_size("128K", "x", &n, &err), 0);
    assert_true(n == 131072);
    assert_int_equal(dk_parse_size("18446744073709551615", "x", &n, &err), 0);
    assert_true(n == UINT64_MAX);
    assert_int_equal(dk_parse_i64(" 5", 0, 9, "line 3", &i, &err), DK_EUSAGE);
    assert_string_equal(err.msg, "line 3: expected an integer in [0, 9], found \" 5\"");
    dk_err_init(&err);
    assert_int_equal(dk_parse_f64("", 0, 9, "x", &v, &err), DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_parse_f64("1e999", 0, 9, "x", &v, &err), DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_parse_size("-1", "x", &n, &err), DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_parse_size("5KB", "x", &n, &err), DK_EUSAGE);
    dk_err_init(&err);
    assert_int_equal(dk_parse_size("", "x", &n, &err), DK_EUSAGE);
}

static void help_layout(void **state)
{
    static const char *const lines[] = {
        "Usage: tool -m DIR [options]",
        "",
        "Does something useful.",
        "",
        "What:",
        "  -m, --model DIR           model directory in the hub's layout",
        "      --steps N             denoising steps",
        "      --big N               any integer",
        "  -s, --seed SEED           seed",
        "  -g, --guidance W          strength",
        "      --scheduler dpm++|ddim|ddpm|euler",
        "                            which",
        "",
        "How:",
        "      --max-mem SIZE        a text that is long enough to need more than one line of "
        "help, with a",
        "                            last word that must not stand beyond the right edge",
        "                            and a line of its own",
        "      --onoff 0|1           switch",
        "  -i, --item X              several",
        "  -f, --force               overwrite",
        "      --color               paint",
        "  -v, --verbose             say more",
        "      --a-very-long-name-of-an-option ARGUMENT",
        "                            below its name",
        "  -h, --help                this text",
        "  -V, --version             version and features",
        "",
        "Exit status: 0 done.",
    };
    char text[8192], *rest = text;
    FILE *f = tmpfile();
    (void)state;
    assert_non_null(f);
    dk_opt_help(&spec, f);
    rewind(f);
    size_t n = fread(text, 1, sizeof text - 1, f), i = 0;
    text[n] = '\0';
    fclose(f);
    for (char *end; (end = strchr(rest, '\n')) != NULL; rest = end + 1, i++) {
        *end = '\0';
        assert_true(i < sizeof lines / sizeof lines[0]);
        assert_string_equal(rest, lines[i]);
        assert_true(strlen(rest) <= 100);
    }
    assert_int_equal(i, sizeof lines / sizeof lines[0]);
}

int main(void)
{
#define CASE(f) cmocka_unit_test_setup_teardown(f, fresh, clear)
    const struct CMUnitTest tests[] = {
        CASE(every_kind), CASE(operands_and_lists), CASE(wrong_lines),
        CASE(parsers),    CASE(help_layout),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
