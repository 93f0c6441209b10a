/* Messages for people, on stderr only: "tool: level: text". Thread-safe. */
#ifndef DK_BASE_LOG_H
#define DK_BASE_LOG_H

#include <stdbool.h>

typedef enum { DK_LOG_ERROR, DK_LOG_WARN, DK_LOG_INFO, DK_LOG_DEBUG } dk_log_level;

/* `tool` is borrowed. verbosity: -1 errors only (-q), 0 errors and warnings, 1 info (-v), 2 debug. */
void dk_log_init(const char *tool, int verbosity);
int dk_log_verbosity(void);
void dk_log(dk_log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define dk_warn(...) dk_log(DK_LOG_WARN, __VA_ARGS__)
#define dk_info(...) dk_log(DK_LOG_INFO, __VA_ARGS__)
#define dk_debug(...) dk_log(DK_LOG_DEBUG, __VA_ARGS__)

/* Progress of long work: on a terminal one line, redrawn at most 6 times a second and first shown
 * after 0.5 s: "label  37 % 12/32  1.2 s/step  eta 24 s". Without a terminal, or with verbosity
 * < 0, nothing is printed. A warning printed meanwhile clears and redraws the line. */
typedef struct dk_progress dk_progress;
dk_progress *dk_progress_begin(const char *label, long total);
void dk_progress_step(dk_progress *p, long done);
void dk_progress_label(dk_progress *p, const char *label); /* copied */
void dk_progress_end(dk_progress *p);                      /* accepts NULL */

/* Seconds on the monotonic clock. */
double dk_now(void);

#endif
