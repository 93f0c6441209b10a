/* Strict binding of a model's tensors to those of its files; see weights.h. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/weights.h"

typedef struct names {
    char **items;
    size_t n, cap;
} names;

struct dk_bind {
    const dk_weights *w;
    names asked; /* found, for the list of extras; sorted by list_extras */
    names missing;
    names wrong;   /* whole messages */
    names ignored; /* prefixes */
    names extra;
    bool listed;
};

static void push(names *l, char *s)
{
    if (l->n == l->cap) {
        l->cap = l->cap ? 2 * l->cap : 64;
        l->items = dk_xrealloc(l->items, l->cap * sizeof *l->items);
    }
    l->items[l->n++] = s;
}

static void names_free(names *l)
{
    for (size_t i = 0; i < l->n; i++)
        free(l->items[i]);
    free(l->items);
}

dk_bind *dk_bind_new(const dk_weights *w)
{
    dk_bind *b = dk_xcalloc(1, sizeof *b);
    b->w = w;
    return b;
}

void dk_bind_free(dk_bind *b)
{
    if (!b)
        return;
    names_free(&b->asked);
    names_free(&b->missing);
    names_free(&b->wrong);
    names_free(&b->ignored);
    names_free(&b->extra);
    free(b);
}

static char *format(const char *fmt, va_list ap)
{
    char name[512];
    vsnprintf(name, sizeof name, fmt, ap);
    return dk_xstrdup(name);
}

static bool same_shape(const dk_st_tensor *t, int ndim, const int64_t *shape)
{
    bool same = t->ndim == ndim;
    for (int i = 0; same && i < ndim; i++)
        same = t->shape[i] == shape[i];
    return same;
}

const dk_st_tensor *dk_bind_get(dk_bind *b, int ndim, const int64_t *shape, const char *fmt, ...)
{
    char want[192], found[192];
    va_list ap;
    va_start(ap, fmt);
    char *name = format(fmt, ap);
    va_end(ap);
    const dk_st_tensor *t = dk_weights_find(b->w, name);

    if (!t) {
        push(&b->missing, name);
        return NULL;
    }
    push(&b->asked, name);
    if (same_shape(t, ndim, shape))
        return t;
    push(&b->wrong,
         dk_xasprintf("%s: tensor \"%s\": expected %s, found %s", dk_weights_file_of(b->w, t), name,
                      dk_shape_str(ndim, shape, want, sizeof want),
                      dk_shape_str(t->ndim, t->shape, found, sizeof found)));
    return NULL;
}

bool dk_bind_has(const dk_bind *b, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *name = format(fmt, ap);
    va_end(ap);
    bool has = dk_weights_find(b->w, name) != NULL;
    free(name);
    return has;
}

void dk_bind_ignore(dk_bind *b, const char *prefix) { push(&b->ignored, dk_xstrdup(prefix)); }

static int by_string(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool known(const dk_bind *b, const char *name)
{
    if (b->asked.n && bsearch(&name, b->asked.items, b->asked.n, sizeof name, by_string))
        return true;
    for (size_t i = 0; i < b->ignored.n; i++)
        if (strncmp(name, b->ignored.items[i], strlen(b->ignored.items[i])) == 0)
            return true;
    return false;
}

static void list_extras(dk_bind *b)
{
    if (b->listed)
        return;
    b->listed = true;
    if (b->asked.n)
        qsort(b->asked.items, b->asked.n, sizeof *b->asked.items, by_string);
    for (size_t f = 0; f < dk_weights_files(b->w); f++) {
        const dk_st *st = dk_weights_file(b->w, f);
        for (size_t i = 0; i < dk_st_count(st); i++)
            if (!known(b, dk_st_at(st, i)->name))
                push(&b->extra, dk_xstrdup(dk_st_at(st, i)->name));
    }
}

size_t dk_bind_missing(const dk_bind *b) { return b->missing.n + b->wrong.n; }

const char *dk_bind_missing_at(const dk_bind *b, size_t i)
{
    return i < b->missing.n ? b->missing.items[i] : b->wrong.items[i - b->missing.n];
}

size_t dk_bind_extra(const dk_bind *b)
{
    list_extras((dk_bind *)b); /* a cache */
    return b->extra.n;
}

const char *dk_bind_extra_at(const dk_bind *b, size_t i) { return b->extra.items[i]; }

static void warn_extras(dk_bind *b)
{
    dk_buf text = {0};

    list_extras(b);
    if (b->extra.n == 0)
        return;
    for (size_t i = 0; i < b->extra.n && i < 5; i++)
        dk_buf_printf(&text, "%s%.200s", i ? ", " : "", b->extra.items[i]);
    dk_warn("%s: %zu %s not used: %s%s", dk_weights_label(b->w), b->extra.n,
            b->extra.n == 1 ? "tensor is" : "tensors are", dk_buf_str(&text),
            b->extra.n > 5 ? ", ..." : "");
    dk_buf_free(&text);
}

/* Appends the items as far as `room` goes; what does not fit is counted, never cut silently. */
static void add_items(dk_buf *text, const names *l, const char *separator, size_t room)
{
    for (size_t i = 0; i < l->n; i++) {
        if (text->len + strlen(l->items[i]) > room) {
            dk_buf_printf(text, "%sand %zu more", i ? separator : "", l->n - i);
            return;
        }
        dk_buf_printf(text, "%s%s", i ? separator : "", l->items[i]);
    }
}

int dk_bind_end(dk_bind *b, dk_err *err)
{
    /* An error's message is bounded; some of it stays free for the contexts that callers add. */
    enum { ROOM = DK_ERR_MSG - 4096 };
    dk_buf text = {0};

    if (b->missing.n == 0 && b->wrong.n == 0) {
        warn_extras(b);
        return 0;
    }
    add_items(&text, &b->wrong, "\n  ", b->missing.n ? ROOM / 2 : ROOM);
    if (b->missing.n) {
        dk_buf_printf(&text, "%s%s: %zu %s missing: ", b->wrong.n ? "\n  " : "",
                      dk_weights_label(b->w), b->missing.n,
                      b->missing.n == 1 ? "tensor is" : "tensors are");
        add_items(&text, &b->missing, ", ", ROOM);
    }
    dk_fail(err, DK_EFORMAT, "%s", dk_buf_str(&text));
    dk_buf_free(&text);
    return DK_EFORMAT;
}
