/* Output paths: patterns, and the checks that spare a user hours of work for a name that is taken. */
#include <stdlib.h>
#include <string.h>

#include "base/fs.h"
#include "base/mem.h"
#include "sample.h"

#define NAME_MAX_BYTES 120 /* of %p: leaves room for the rest under the usual limit of 255 */

bool ds_is_pattern(const char *pattern)
{
    for (const char *p = strchr(pattern, '%'); p; p = strchr(p + 2, '%')) {
        if (p[1] != '%')
            return true;
    }
    return false;
}

/* A prompt as a file name: ASCII letters, digits, '.', '_' and everything beyond ASCII stay, each
 * run of other characters becomes one '-'; no '-' or '.' in front, cut at a character's border. */
static void add_name(dk_buf *b, const char *name)
{
    size_t start = b->len;
    bool gap = false;

    for (const unsigned char *s = (const unsigned char *)name; *s; s++) {
        bool keep = (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
                    (*s >= 'A' && *s <= 'Z') || *s == '_' || *s >= 0x80 ||
                    (*s == '.' && b->len > start);
        if (!keep) {
            gap = b->len > start;
            continue;
        }
        if ((*s & 0xC0) != 0x80 && b->len - start + 5 > NAME_MAX_BYTES)
            break;
        if (gap)
            dk_buf_putc(b, '-');
        gap = false;
        dk_buf_putc(b, (char)*s);
    }
    if (b->len == start)
        dk_buf_puts(b, "empty");
}

char *ds_expand(const char *pattern, int n, int i, uint64_t seed, const char *name, dk_err *err)
{
    dk_buf b = {0};

    if (!ds_is_pattern(pattern) && !strchr(pattern, '%'))
        return dk_xstrdup(pattern);
    for (const char *p = pattern; *p; p++) {
        if (*p != '%') {
            dk_buf_putc(&b, *p);
            continue;
        }
        switch (*++p) {
        case 'n': dk_buf_printf(&b, "%d", n); break;
        case 'i': dk_buf_printf(&b, "%d", i); break;
        case 's': dk_buf_printf(&b, "%llu", (unsigned long long)seed); break;
        case 'p': add_name(&b, name); break;
        case '%': dk_buf_putc(&b, '%'); break;
        default:
            dk_fail(err, DK_EUSAGE, "-o %s: unknown escape %%%.1s (%%n %%p %%i %%s %%%%)", pattern, p);
            dk_buf_free(&b);
            return NULL;
        }
    }
    return dk_buf_steal(&b);
}

char *ds_preview_path(const char *path, int step)
{
    size_t n = strlen(path);
    bool png = n > 4 && strcmp(path + n - 4, ".png") == 0;
    return dk_xasprintf("%.*s.step%03d.png", (int)(png ? n - 4 : n), path, step);
}

static int by_string(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void add_path(char ***list, size_t *n, char *path)
{
    *list = dk_xrealloc(*list, (*n + 1) * sizeof **list);
    (*list)[(*n)++] = path;
}

static bool is_preview_step(int step, int64_t every, int steps)
{
    return step % every == 0 && step < steps;
}

int ds_check_outputs(const ds_plan *p, dk_err *err)
{
    const ds_options *o = p->o;
    const char *single[] = {o->sheet, o->trace, o->latent_out, o->embeds_out};
    char **list = NULL;
    size_t n = 0;

    for (int k = 0; k < p->n_images; k++) {
        const ds_image *im = &p->images[k];
        if (!im->path)
            continue;
        add_path(&list, &n, dk_xstrdup(im->path));
        for (int s = 1; o->preview_every && s <= im->item->steps; s++)
            if (is_preview_step(s, o->preview_every, im->item->steps))
                add_path(&list, &n, ds_preview_path(im->path, s));
    }
    for (size_t k = 0; k < sizeof single / sizeof single[0]; k++)
        if (single[k])
            add_path(&list, &n, dk_xstrdup(single[k]));
    if (n)
        qsort(list, n, sizeof *list, by_string);
    for (size_t k = 0; k + 1 < n && !err->code; k++)
        if (strcmp(list[k], list[k + 1]) == 0)
            dk_fail(err, DK_EUSAGE, "%s would be written twice; use %%i or %%s in the pattern",
                    list[k]);
    for (size_t k = 0; k < n && !err->code; k++)
        if (strcmp(list[k], "-") != 0)
            dk_out_check(list[k], o->force, err);
    for (size_t k = 0; k < n; k++)
        free(list[k]);
    free(list);
    return err->code;
}
