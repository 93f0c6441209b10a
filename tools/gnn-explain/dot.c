/* DOT text of a drawing, and the Graphviz program that lays it out. An undirected edge is one line
 * of a `graph`; where some edge has a direction of its own (no reverse, or only one of both kept),
 * the whole is a `digraph` in which undirected edges have no arrow head. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/proc.h"
#include "draw.h"

#define KEPT_HEX   "#ff0000"
#define OTHER_HEX  "#b4b4b4"
#define FAINT_HEX  "#d8d8d8" /* of other edges where there are many */
#define MAX_NEATO  400 /* nodes */
#define MAX_OUTPUT ((size_t)256 << 20)

/* Sizes by the number of nodes, in inches and points. */
typedef struct sizes {
    double node, font, len;
} sizes;

static sizes sizes_for(int64_t n, bool letters)
{
    if (letters)
        return n <= 150 ? (sizes){0.30, 13, 0.62} : (sizes){0.22, 9, 0.5};
    if (n <= 60)
        return (sizes){0.26, 9, 0.7};
    return n <= 250 ? (sizes){0.18, 7, 0.8} : (sizes){0.14, 6, 0.9};
}

/* ---- Text. */

/* Inside "...": quotes, backslashes and ampersands as they were meant; a line of DOT holds the two
 * characters of an edge only if it is one. */
static void quoted(dk_buf *b, const char *s)
{
    dk_buf_putc(b, '"');
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\')
            dk_buf_printf(b, "\\%c", c);
        else if (c == '&')
            dk_buf_puts(b, "&amp;");
        else if (c == '-' && (s[1] == '-' || s[1] == '>'))
            dk_buf_puts(b, "&#45;");
        else
            dk_buf_putc(b, c < 32 ? ' ' : (char)c);
    }
    dk_buf_putc(b, '"');
}

/* Inside an HTML-like label. */
static void html(dk_buf *b, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '<')
            dk_buf_puts(b, "&lt;");
        else if (c == '>')
            dk_buf_puts(b, "&gt;");
        else if (c == '&')
            dk_buf_puts(b, "&amp;");
        else if (c == '"')
            dk_buf_puts(b, "&quot;");
        else if (c == '-' && s[1] == '-')
            dk_buf_puts(b, "&#45;");
        else
            dk_buf_putc(b, c < 32 ? ' ' : (char)c);
    }
}

static int64_t id_of(const gx_drawing *p, int32_t v) { return p->id ? p->id[v] : v; }

/* ---- The legend: a table below the picture, no nodes and no edges. */

/* Graphviz stretches the cells of a row to the width of the widest; a table of fixed size is
 * centred instead. So each row gets about the width of its text: an estimate, since only the
 * renderer knows the font. */
enum { SWATCH = 24, GAP = 12, MARGIN = 6, MOST_KINDS = 24, ROW_WIDTH = 360 };

typedef struct legend {
    dk_buf *b;    /* finished rows */
    dk_buf cells; /* of the row in the making */
    int width;
} legend;

static void end_row(legend *l)
{
    if (l->width > 0)
        dk_buf_printf(l->b,
                      "<TR><TD><TABLE BORDER=\"0\" CELLBORDER=\"0\" CELLSPACING=\"3\" "
                      "CELLPADDING=\"0\" FIXEDSIZE=\"TRUE\" WIDTH=\"%d\" HEIGHT=\"26\"><TR>%s"
                      "</TR></TABLE></TD></TR>",
                      l->width + MARGIN, dk_buf_str(&l->cells));
    dk_buf_clear(&l->cells);
    l->width = 0;
}

static void legend_text(legend *l, const char *name)
{
    int width = SWATCH + GAP + 13 * (int)strlen(name) / 2;

    dk_buf_puts(&l->cells, "<TD ALIGN=\"LEFT\">");
    html(&l->cells, name);
    dk_buf_puts(&l->cells, "&nbsp;&nbsp;</TD>");
    l->width += width;
    if (l->width > ROW_WIDTH)
        end_row(l);
}

static void legend_kind(legend *l, const gx_kind *k)
{
    dk_buf_printf(&l->cells,
                  "<TD BORDER=\"1\" STYLE=\"ROUNDED\" COLOR=\"#404040\" BGCOLOR=\"%s\" "
                  "FIXEDSIZE=\"TRUE\" WIDTH=\"20\" HEIGHT=\"16\"><FONT COLOR=\"%s\">",
                  k->fill, k->light_text ? "#ffffff" : "#000000");
    html(&l->cells, k->letter ? k->letter : " ");
    dk_buf_puts(&l->cells, "</FONT></TD>");
    legend_text(l, k->name);
}

static void legend_line(legend *l, const char *hex, int height, const char *name)
{
    dk_buf_printf(&l->cells,
                  "<TD><TABLE BORDER=\"0\" CELLBORDER=\"0\" CELLSPACING=\"0\" CELLPADDING=\"0\">"
                  "<TR><TD FIXEDSIZE=\"TRUE\" WIDTH=\"24\" HEIGHT=\"%d\" BGCOLOR=\"%s\"></TD></TR>"
                  "</TABLE></TD>",
                  height, hex);
    legend_text(l, name);
}

static void write_legend(dk_buf *b, const gx_drawing *p, const char *other_hex)
{
    const gx_looks *looks = p->looks;
    bool *used = dk_xcalloc((size_t)looks->n + 1, sizeof *used);
    legend l = {.b = b};

    for (int32_t v = 0; v < p->g->n; v++)
        if (p->shown[v])
            used[gx_looks_of(looks, p->graph, v)] = true;
    dk_buf_puts(b, "  label=<<TABLE BORDER=\"0\" CELLBORDER=\"0\" CELLSPACING=\"0\" "
                   "CELLPADDING=\"2\"><TR><TD><FONT POINT-SIZE=\"13\">");
    html(b, p->title[0] ? p->title : " ");
    dk_buf_puts(b, "</FONT></TD></TR>");
    if (p->marked) {
        legend_line(&l, KEPT_HEX, 5, "kept edge");
        legend_line(&l, other_hex, 2, "other edge");
    }
    int kinds = 0;
    for (int k = 0; k < looks->n; k++) {
        used[k] = used[k] && looks->kind[k].name && kinds < MOST_KINDS;
        kinds += used[k];
    }
    if (kinds > 2)
        end_row(&l);
    for (int k = 0; k < looks->n; k++)
        if (used[k])
            legend_kind(&l, &looks->kind[k]);
    end_row(&l);
    dk_buf_puts(b, "</TABLE>>;\n");
    dk_buf_free(&l.cells);
    free(used);
}

/* ---- Nodes and edges. */

static void write_node(dk_buf *b, const gx_drawing *p, int32_t v, const sizes *s)
{
    const gx_kind *k = &p->looks->kind[gx_looks_of(p->looks, p->graph, v)];
    double width = s->node * (k->small ? 0.68 : 1), font = s->font * (k->small ? 0.75 : 1);
    bool target = v == p->target;
    char text[32] = "";

    if (p->numbers)
        snprintf(text, sizeof text, "%" PRId64, id_of(p, v));
    dk_buf_printf(b, "  %" PRId64 " [label=", id_of(p, v));
    if (k->letter && p->numbers) {
        dk_buf_puts(b, "<");
        html(b, k->letter);
        dk_buf_printf(b, "<SUB><FONT POINT-SIZE=\"%.3g\">%s</FONT></SUB>>", 0.5 * s->font, text);
    } else {
        quoted(b, k->letter ? k->letter : text);
    }
    dk_buf_printf(b, ", fillcolor=\"%s\"", k->fill);
    if (k->light_text)
        dk_buf_puts(b, ", fontcolor=\"#ffffff\"");
    if (target)
        dk_buf_printf(b, ", width=%.3g, peripheries=2, penwidth=2", 1.5 * width);
    else if (k->small)
        dk_buf_printf(b, ", width=%.3g, fontsize=%.3g", width, font);
    dk_buf_printf(b, ", tooltip=\"%s%" PRId64, target ? "explained node " : "node ", id_of(p, v));
    if (k->name)
        dk_buf_printf(b, ", %s", k->name);
    dk_buf_puts(b, "\"];\n");
}

/* How edge e is drawn: not at all (its reverse stands for both), as a line, as an arrow. */
typedef enum { SKIP, LINE, ARROW } stroke;

static stroke stroke_of(const gx_drawing *p, int32_t e)
{
    const dk_graph *g = p->g;
    int32_t r = g->rev[e];

    if (!p->shown[g->src[e]] || !p->shown[g->dst[e]])
        return SKIP;
    if (r == e)
        return LINE;
    if (r < 0)
        return ARROW;
    if (p->kept[e] != p->kept[r])
        return p->kept[e] ? ARROW : SKIP;
    return e < r ? LINE : SKIP;
}

static void write_edge(dk_buf *b, const gx_drawing *p, int32_t e, stroke s, bool digraph)
{
    dk_buf_printf(b, "  %" PRId64 " %s %" PRId64 " [", id_of(p, p->g->src[e]),
                  digraph ? "->" : "--", id_of(p, p->g->dst[e]));
    if (p->kept[e])
        dk_buf_puts(b, "color=red, penwidth=5, ");
    if (digraph && s == LINE)
        dk_buf_puts(b, "dir=none, ");
    if (p->present[e])
        dk_buf_printf(b, "tooltip=\"score %.6g\"];\n", p->score[e]);
    else
        dk_buf_puts(b, "tooltip=\"no score\"];\n");
}

static void write_head(dk_buf *b, const gx_drawing *p, bool digraph, int64_t shown, int64_t lines,
                       const sizes *s)
{
    const char *other_hex = lines > 300 ? FAINT_HEX : OTHER_HEX;

    dk_buf_puts(b, "// gnn-explain draw: the explanation is in red\n");
    dk_buf_puts(b, digraph ? "digraph " : "graph ");
    quoted(b, p->looks->d->name);
    /* start: the layout is the same every time. model=subset keeps motifs compact and hubs open. */
    dk_buf_printf(b, " {\n  layout=%s;%s\n", shown > MAX_NEATO ? "sfdp" : "neato",
                  p->target >= 0 ? " model=subset;" : "");
    dk_buf_puts(b, "  start=1; overlap=false; sep=\"+3\"; splines=line; outputorder=edgesfirst; "
                   "pack=14; maxiter=2000; epsilon=0.0001;\n");
    dk_buf_puts(b, "  bgcolor=\"#ffffff\"; pad=0.12; labelloc=b; fontname=\"Helvetica\"; "
                   "fontsize=11;\n");
    write_legend(b, p, other_hex);
    dk_buf_printf(b,
                  "  node [shape=circle, style=filled, fixedsize=true, width=%.3g, penwidth=1, "
                  "color=\"#404040\", fontname=\"Helvetica\", fontsize=%.3g];\n",
                  s->node, s->font);
    dk_buf_printf(b, "  edge [color=\"%s\", penwidth=2, len=%.3g%s];\n", other_hex, s->len,
                  digraph ? ", arrowsize=0.6" : "");
}

void gx_dot_write(dk_buf *b, const gx_drawing *p)
{
    const dk_graph *g = p->g;
    bool digraph = false, letters = p->looks->atoms || p->numbers;
    int64_t shown = 0, lines = 0;

    for (int32_t v = 0; v < g->n; v++)
        shown += p->shown[v] != 0;
    for (int32_t e = 0; e < g->e; e++) {
        stroke how = stroke_of(p, e);
        digraph = digraph || how == ARROW;
        lines += how != SKIP;
    }
    sizes s = sizes_for(shown, letters);
    write_head(b, p, digraph, shown, lines, &s);
    for (int32_t v = 0; v < g->n; v++)
        if (p->shown[v])
            write_node(b, p, v, &s);
    for (int32_t e = 0; e < g->e; e++) {
        stroke how = stroke_of(p, e);
        if (how != SKIP)
            write_edge(b, p, e, how, digraph);
    }
    dk_buf_puts(b, "}\n");
}

int gx_dot_render(const dk_buf *dot, int64_t nodes, const char *format, dk_buf *out, dk_err *err)
{
    const char *program = nodes > MAX_NEATO ? "sfdp" : "neato";
    char type[16];

    snprintf(type, sizeof type, "-T%s", format);
    if (!dk_have_program(program))
        return dk_fail(err, DK_EFAIL, "graphviz (%s) not found; -o FILE.dot needs no program",
                       program);
    /* Only pixels need a resolution; Graphviz 2.43 writes a viewBox that does not know of it. */
    const char *argv[] = {program, type, strcmp(format, "png") == 0 ? "-Gdpi=144" : NULL, NULL};
    return dk_run_filter(argv, dot->data, dot->len, MAX_OUTPUT, out, err);
}
