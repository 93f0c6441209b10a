/* Errors: one struct on the caller's stack, filled by whoever fails first.
 *
 * A fallible function takes `dk_err *err` (never NULL) as its last parameter and returns 0 or a
 * negative DK_E* code; functions that return a pointer return NULL. While the call stack unwinds,
 * callers put context in front with dk_wrap(), so that the user reads
 *     transformer/diffusion_pytorch_model.safetensors: tensor "proj_out.weight": expected ...
 * Only main() prints errors and chooses the exit status (dk_exit_status). Library code neither
 * prints nor exits. The message buffer is large because a strict loader names every missing tensor
 * of a component in one message. */
#ifndef DK_BASE_ERR_H
#define DK_BASE_ERR_H

#include <stddef.h>

enum {
    DK_OK = 0,
    DK_EFAIL = -1,        /* failed while working: I/O, disk full, read-only directory   exit 1 */
    DK_ENOMEM = -2,       /* an allocation failed or a limit was reached                 exit 1 */
    DK_EUSAGE = -3,       /* the command line asks for something impossible              exit 2 */
    DK_EFORMAT = -4,      /* an input file is malformed or incomplete                    exit 3 */
    DK_EUNSUPPORTED = -5, /* well-formed, but not something this program can do          exit 4 */
    DK_ECHECK = -6,       /* a check that was asked for did not hold                     exit 5 */
    DK_ENUMERIC = -7,     /* NaN or infinity appeared in a computation                   exit 1 */
    DK_ECANCELLED = -8,   /* SIGINT or SIGTERM                                           exit 130 */
    DK_EBACKEND = -9      /* oneDNN, CUDA or another library refused                     exit 1 */
};

#define DK_ERR_MSG 32768

typedef struct dk_err {
    int code; /* 0 or one of DK_E* */
    char msg[DK_ERR_MSG];
} dk_err;

/* Starts empty without clearing 32 KiB each time: `dk_err err; dk_err_init(&err);` */
void dk_err_init(dk_err *err);

/* Fills *err (when not NULL) and returns `code`. A first failure is kept: if err->code is already
 * set, only the code of the first is returned and nothing is overwritten. */
int dk_fail(dk_err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As dk_fail with ": " and strerror(errno) appended; code DK_EFAIL. */
int dk_fail_errno(dk_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Puts "context: " before the message; returns err->code (DK_EFAIL if err is NULL). */
int dk_wrap(dk_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The process exit status that belongs to a DK_E* code. */
int dk_exit_status(int code);

#endif
