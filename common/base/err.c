/* See err.h. */
#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void dk_err_init(dk_err *err)
{
    err->code = 0;
    err->msg[0] = '\0';
}

int dk_fail(dk_err *err, int code, const char *fmt, ...)
{
    va_list ap;

    if (!err)
        return code;
    if (err->code)
        return err->code;
    err->code = code;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    return code;
}

int dk_fail_errno(dk_err *err, const char *fmt, ...)
{
    int saved = errno;
    va_list ap;

    if (!err)
        return DK_EFAIL;
    if (err->code)
        return err->code;
    err->code = DK_EFAIL;
    va_start(ap, fmt);
    vsnprintf(err->msg, sizeof err->msg, fmt, ap);
    va_end(ap);
    size_t n = strlen(err->msg);
    snprintf(err->msg + n, sizeof err->msg - n, ": %s", strerror(saved));
    return DK_EFAIL;
}

int dk_wrap(dk_err *err, const char *fmt, ...)
{
    char context[1024];
    va_list ap;

    if (!err)
        return DK_EFAIL;
    va_start(ap, fmt);
    vsnprintf(context, sizeof context, fmt, ap);
    va_end(ap);
    /* Room for the context is made by moving the message; its tail is cut when it is full. */
    size_t n = strlen(context), m = strlen(err->msg), room = sizeof err->msg - 1;
    if (n + 2 + m > room)
        m = room - n - 2;
    memmove(err->msg + n + 2, err->msg, m);
    err->msg[n + 2 + m] = '\0';
    memcpy(err->msg, context, n);
    memcpy(err->msg + n, ": ", 2);
    return err->code ? err->code : DK_EFAIL;
}

int dk_exit_status(int code)
{
    switch (code) {
    case DK_EUSAGE: return 2;
    case DK_EFORMAT: return 3;
    case DK_EUNSUPPORTED: return 4;
    case DK_ECHECK: return 5;
    case DK_ECANCELLED: return 130;
    default: return code < 0 ? 1 : 0;
    }
}
