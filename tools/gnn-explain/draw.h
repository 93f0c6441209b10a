/* Pictures of graphs: what a node looks like (looks.c), the text for Graphviz (dot.c), and the
 * action that brings them together (draw.c). */
#ifndef GX_DRAW_H
#define GX_DRAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "graph/dataset.h"

/* A kind of node: one entry of the legend. */
typedef struct gx_kind {
    char *letter; /* in the node ("Cl"), or NULL */
    char *name;   /* in the legend ("chlorine"), or NULL: no entry */
    char fill[8]; /* "#rrggbb" */
    bool light_text;
    bool small;   /* hydrogen */
} gx_kind;

/* The kinds of a data set's nodes, in legend order. */
typedef struct gx_looks {
    const dk_dataset *d;
    bool atoms;
    int n;
    gx_kind *kind;
    int64_t *value; /* [n] label, class or feature behind each kind, ascending */
} gx_looks;

/* `atoms`: "C,N,O" names node labels 0, 1, 2; "1=O,3=C" single ones; NULL: the tables of the
 * data sets known by name, unless no_atoms. Other nodes get colours, by class (node task), first
 * node label, or largest attribute. */
int gx_looks_make(gx_looks *l, const dk_dataset *d, const char *atoms, bool no_atoms, dk_err *err);
void gx_looks_free(gx_looks *l); /* accepts a zeroed struct */
/* Index into l->kind for node v of graph i. */
int gx_looks_of(const gx_looks *l, int32_t i, int32_t v);

typedef struct gx_drawing {
    const dk_graph *g;
    const gx_looks *looks;
    int32_t graph;          /* index of g in the data set */
    const int64_t *id;      /* [n] names of the nodes, or NULL: 0, 1, ... */
    const uint8_t *shown;   /* [n] */
    const uint8_t *kept;    /* [e] */
    const uint8_t *present; /* [e] has a score */
    const double *score;    /* [e] */
    int32_t target;         /* row of the explained node, or -1 */
    bool numbers;           /* write node ids into the nodes */
    bool marked;            /* the legend explains kept edges */
    const char *title;      /* "" for none */
} gx_drawing;

/* Text for Graphviz: one edge statement per line; color=red on kept edges and on nothing else. */
void gx_dot_write(dk_buf *b, const gx_drawing *p);
/* Runs the layout program on `dot`; format "svg" or "png". */
int gx_dot_render(const dk_buf *dot, int64_t nodes, const char *format, dk_buf *out, dk_err *err);

#endif
