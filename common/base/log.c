/* See log.h. */
#include "base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

struct dk_progress {
    char *label;
    long total, done;
    double start, drawn; /* drawn: when last */
    bool on;
};

static const char *tool_name = "ditkit";
static int level_shown;
static dk_progress *shown; /* whose line stands on the terminal */

void dk_log_init(const char *tool, int verbosity)
{
    tool_name = tool;
    level_shown = verbosity;
}

int dk_log_verbosity(void) { return level_shown; }

double dk_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- Drawing; with dk_log_lock held. */

/* "12 s", "3:05", "2:10:00" */
static void duration(double s, char *buf, size_t size)
{
    long t = (long)(s + 0.5);
    if (t < 60)
        snprintf(buf, size, "%ld s", t);
    else if (t < 3600)
        snprintf(buf, size, "%ld:%02ld", t / 60, t % 60);
    else
        snprintf(buf, size, "%ld:%02ld:%02ld", t / 3600, t / 60 % 60, t % 60);
}

static void draw(dk_progress *p, double now)
{
    double elapsed = now - p->start, each = p->done > 0 ? elapsed / (double)p->done : 0;
    char eta[32];

    duration(each * (double)(p->total - p->done), eta, sizeof eta);
    fprintf(stderr, "\r\033[K%.36s %3.0f %% %ld/%ld  %.2f s/step  eta %s", p->label,
            p->total > 0 ? 100.0 * (double)p->done / (double)p->total : 100.0, p->done, p->total,
            each, p->done > 0 ? eta : "?");
    fflush(stderr);
    shown = p;
    p->drawn = now;
}

static void clear_line(void)
{
    if (shown)
        fputs("\r\033[K", stderr);
    shown = NULL;
}

/* ---- Messages. */

/* Names out of damaged files must not steer the terminal. */
static void defuse(char *s)
{
    for (; *s; s++)
        if (((unsigned char)*s < 0x20 && *s != '\n' && *s != '\t') || *s == 0x7F)
            *s = '?';
}

void dk_log(dk_log_level level, const char *fmt, ...)
{
    static const char *const names[] = {"error", "warning", "info", "debug"};
    dk_progress *line;
    va_list ap, again;

    if ((int)level > level_shown + 1)
        return;
    va_start(ap, fmt);
    va_copy(again, ap);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    size_t size = n < 0 ? 1 : (size_t)n + 1;
    char *text = dk_xcalloc(size, 1);
    vsnprintf(text, size, fmt, again);
    va_end(again);
    defuse(text);
#pragma omp critical(dk_log_lock)
    {
        line = shown;
        clear_line();
        fprintf(stderr, "%s: %s: %s\n", tool_name, names[level], text);
        if (line)
            draw(line, dk_now());
    }
    free(text);
}

/* ---- Progress. */

dk_progress *dk_progress_begin(const char *label, long total)
{
    dk_progress *p = dk_xcalloc(1, sizeof *p);
    p->label = dk_xstrdup(label);
    p->total = total;
    p->start = dk_now();
    p->on = level_shown >= 0 && isatty(STDERR_FILENO);
    return p;
}

void dk_progress_step(dk_progress *p, long done)
{
    double now = dk_now();

    p->done = done;
    if (!p->on || now - p->start < 0.5 || now - p->drawn < 1.0 / 6)
        return;
#pragma omp critical(dk_log_lock)
    draw(p, now);
}

void dk_progress_label(dk_progress *p, const char *label)
{
    char *fresh = dk_xstrdup(label);
#pragma omp critical(dk_log_lock)
    {
        free(p->label);
        p->label = fresh;
    }
}

void dk_progress_end(dk_progress *p)
{
    if (!p)
        return;
#pragma omp critical(dk_log_lock)
    if (shown == p)
        clear_line();
    free(p->label);
    free(p);
}
