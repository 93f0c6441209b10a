/* What nodes look like: atoms with their letters in the usual colours, lightened so that dark text
 * and print work; everything else in the palette of the published drawings. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "base/opt.h"
#include "draw.h"

/* ---- Atoms. */

static const struct {
    const char *symbol, *name, *fill;
} elements[] = {
    {"C", "carbon", "#c9cdd2"},    {"H", "hydrogen", "#ffffff"},  {"N", "nitrogen", "#9db8ff"},
    {"O", "oxygen", "#ff9d94"},    {"F", "fluorine", "#c6f0a8"},  {"Cl", "chlorine", "#7fdc7f"},
    {"Br", "bromine", "#d9a07a"},  {"I", "iodine", "#c79ae0"},    {"S", "sulfur", "#ffe25a"},
    {"P", "phosphorus", "#ffbe6e"}, {"B", "boron", "#ffcfc4"},    {"Si", "silicon", "#e8d2a6"},
    {"Na", "sodium", "#c4b0f5"},   {"K", "potassium", "#d3a6ea"}, {"Li", "lithium", "#dcb8ff"},
    {"Ca", "calcium", "#a8e6a0"},
};
enum { ELEMENTS = sizeof elements / sizeof elements[0] };

/* Node labels of well-known sets. NCI1 publishes no table; what its labels 1 and 3 mean follows
 * from the molecules. */
static const struct {
    const char *dataset, *atoms;
} known[] = {
    {"MUTAG", "C,N,O,F,I,Cl,Br"},
    {"Mutagenicity", "C,O,Cl,H,N,F,Br,S,P,I,Na,K,Li,Ca"},
    {"NCI1", "1=O,3=C"},
};

static const char *known_atoms(const char *dataset)
{
    for (size_t i = 0; dataset && i < sizeof known / sizeof known[0]; i++)
        if (strcasecmp(dataset, known[i].dataset) == 0)
            return known[i].atoms;
    return NULL;
}

/* The published palette by label (orange, red, lime, green, blue, orchid, ...), lightened by a
 * third so that red edges stand out from red nodes and print keeps the outlines. */
static const char *const palette[] = {
    "#ffc459", "#ff5959", "#59ff59", "#59ac59", "#5959ff", "#e7a2e4", "#f1bba9",
    "#788d8d", "#ffe559", "#ffedd9", "#e2ceb4", "#6ecdc8", "#8a59ae", "#5959ac",
    "#f5faff", "#f4aef4", "#bcfcbc", "#ffc1a9", "#acac59", "#deb082", "#59ffff",
};
enum { PALETTE = sizeof palette / sizeof palette[0] };

static bool is_dark(const char *fill)
{
    unsigned r, g, b;
    return sscanf(fill, "#%2x%2x%2x", &r, &g, &b) == 3 && 299 * r + 587 * g + 114 * b < 110000;
}

static void paint(gx_kind *k, const char *fill)
{
    snprintf(k->fill, sizeof k->fill, "%s", fill);
    k->light_text = is_dark(fill);
}

/* ---- Values behind the kinds. */

/* -1 for a node of unknown class, which sorts in front. */
static int64_t value_of(const gx_looks *l, int32_t i, int32_t v)
{
    const dk_dataset *d = l->d;

    if (!l->atoms && d->task == DK_TASK_NODE && d->graphs[i].y)
        return d->graphs[i].y[v];
    if (d->labels && d->label_columns > 0)
        return d->labels[i][(size_t)v * (size_t)d->label_columns];
    int64_t best = 0;
    if (d->attr && d->attributes > 0) {
        const double *x = d->attr[i] + (size_t)v * (size_t)d->attributes;
        for (int f = 1; f < d->attributes; f++)
            if (x[f] > x[best])
                best = f;
    }
    return best;
}

static int by_value(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int index_of(const gx_looks *l, int64_t value)
{
    int lo = 0, hi = l->n;

    while (lo < hi) {
        int mid = lo + (hi - lo) / 2;
        if (l->value[mid] < value)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < l->n && l->value[lo] == value ? lo : -1;
}

int gx_looks_of(const gx_looks *l, int32_t i, int32_t v) { return index_of(l, value_of(l, i, v)); }

/* Sorts the `fresh` values behind the l->n sorted ones into them, each once. */
static void merge_values(gx_looks *l, int fresh)
{
    int all = l->n + fresh;

    qsort(l->value, (size_t)all, sizeof *l->value, by_value);
    l->n = 0;
    for (int j = 0; j < all; j++)
        if (j == 0 || l->value[j] != l->value[l->n - 1])
            l->value[l->n++] = l->value[j];
}

/* The distinct values of all nodes. New ones are collected behind the sorted front part and merged
 * now and then: sets with few values take one pass and little memory. */
static int collect_values(gx_looks *l, dk_err *err)
{
    enum { MOST = 1 << 20, BLOCK = 64 };
    int cap = 4 * BLOCK, fresh = 0;

    l->value = dk_xmalloc((size_t)cap * sizeof *l->value);
    for (int32_t i = 0; i < l->d->count; i++)
        for (int32_t v = 0; v < l->d->graphs[i].n; v++) {
            int64_t value = value_of(l, i, v);
            bool again = fresh > 0 && l->value[l->n + fresh - 1] == value;
            if (again || index_of(l, value) >= 0)
                continue;
            l->value[l->n + fresh++] = value;
            if (fresh < cap - l->n)
                continue;
            merge_values(l, fresh);
            fresh = 0;
            if (l->n > MOST)
                return dk_fail(err, DK_EUNSUPPORTED,
                               "%s: more than %d different node labels: no colours for them",
                               l->d->name, MOST);
            if (cap - l->n < cap / 4 + 1) {
                cap *= 2;
                l->value = dk_xrealloc(l->value, (size_t)cap * sizeof *l->value);
            }
        }
    merge_values(l, fresh);
    return 0;
}

/* ---- Kinds. */

static void make_atom(gx_kind *k, const char *symbol, size_t len)
{
    k->letter = dk_xstrndup(symbol, len);
    for (int i = 0; i < ELEMENTS; i++)
        if (strcmp(elements[i].symbol, k->letter) == 0) {
            k->name = dk_xstrdup(elements[i].name);
            k->small = strcmp(k->letter, "H") == 0;
            paint(k, elements[i].fill);
        }
}

/* "C,N,O" or "1=O,3=C"; labels that no node of the set has are fine. */
static int name_atoms(gx_looks *l, const char *atoms, dk_err *err)
{
    int64_t next = 0;

    for (const char *s = atoms;; s++) {
        size_t len = strcspn(s, ","), name = 0;
        const char *equals = memchr(s, '=', len);
        if (equals) {
            char *number = dk_xstrndup(s, (size_t)(equals - s));
            int bad = dk_parse_i64(number, INT32_MIN, INT32_MAX, "--atoms: label", &next, err);
            free(number);
            if (bad)
                return err->code;
            name = (size_t)(equals - s) + 1;
        }
        if (len == name || len - name > 8)
            return dk_fail(err, DK_EUSAGE,
                           "--atoms %s: expected symbols such as C,N,O or LABEL=SYMBOL", atoms);
        int k = index_of(l, next++);
        if (k >= 0 && !l->kind[k].letter)
            make_atom(&l->kind[k], s + name, len - name);
        s += len;
        if (!*s)
            return 0;
    }
}

static void name_others(gx_looks *l)
{
    bool classes = !l->atoms && l->d->task == DK_TASK_NODE && l->d->graphs[0].y;
    const char *word = classes                                      ? "class"
                       : l->d->labels && l->d->label_columns > 0 ? "label"
                                                                    : "feature";
    /* Numbers of labels count from the first, except classes, which have theirs. */
    int64_t base = l->n && !classes ? l->value[0] : 0;

    for (int k = 0; k < l->n; k++) {
        gx_kind *kind = &l->kind[k];
        int64_t value = l->value[k];
        if (kind->letter && kind->fill[0])
            continue;
        if (l->atoms && !kind->letter)
            kind->letter = dk_xasprintf("%lld", (long long)value);
        if (l->atoms && !kind->fill[0]) {
            paint(kind, "#eef0f2");
            kind->name = dk_xasprintf("label %lld", (long long)value);
            continue;
        }
        paint(kind, value < 0 ? "#ffffff" : palette[(uint64_t)(value - base) % PALETTE]);
        if (classes && value < 0)
            kind->name = dk_xstrdup("class unknown");
        else if (l->n > 1)
            kind->name = dk_xasprintf("%s %lld", word, (long long)value);
    }
}

int gx_looks_make(gx_looks *l, const dk_dataset *d, const char *atoms, bool no_atoms, dk_err *err)
{
    bool labels = d->labels && d->label_columns > 0;

    *l = (gx_looks){.d = d};
    if (atoms && !labels)
        return dk_fail(err, DK_EUSAGE, "--atoms: %s has no node labels", d->name);
    if (!atoms && !no_atoms && labels)
        atoms = known_atoms(d->name);
    l->atoms = atoms != NULL;
    if (collect_values(l, err))
        goto out;
    l->kind = dk_xcalloc((size_t)l->n + 1, sizeof *l->kind);
    if (atoms && name_atoms(l, atoms, err))
        goto out;
    name_others(l);
out:
    if (err->code)
        gx_looks_free(l);
    return err->code;
}

void gx_looks_free(gx_looks *l)
{
    for (int k = 0; l->kind && k < l->n; k++) {
        free(l->kind[k].letter);
        free(l->kind[k].name);
    }
    free(l->kind);
    free(l->value);
    *l = (gx_looks){0};
}
