/* Between the tape and the files of its operations.
 *
 * An operation is a pair of functions per type, compiled from one text (ops/mat/real.h): `forward`
 * fills the value of node->out, `backward` adds to the gradients of the operands that need one. A
 * node is kept only if its result needs a gradient.
 *
 * Values live in one arena, in stack order. Gradients live in another one that every backward pass
 * starts anew; a gradient belongs to the pass whose number it carries, so neither a restore nor a
 * later pass can confuse them. */
#ifndef DK_GRAD_TAPE_INTERNAL_H
#define DK_GRAD_TAPE_INTERNAL_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "grad/tape.h"

typedef struct dk_node dk_node;
typedef void dk_node_fn(dk_tape *t, const dk_node *n);
typedef struct dk_op {
    dk_node_fn *forward[2], *backward[2]; /* f32, f64 */
} dk_op;
/* A file that compiles name_forward_f32, name_backward_f64, ... defines the operation by this. */
#define DK_OP(name)                                                                                \
    static const dk_op name##_op = {{name##_forward_f32, name##_forward_f64},                      \
                                    {name##_backward_f32, name##_backward_f64}}

struct dk_node {
    const dk_op *op;
    dk_var out, in[3]; /* operands, or DK_NOVAR */
    int kind;          /* what the operation likes: a function, a flag, a number of heads ... */
    double p, q;
    int64_t i, j;
    const void *with; /* borrowed: a graph, indices, labels, or a list of operands */
    void *kept;       /* of the arena: what forward keeps for backward */
};

typedef struct dk_tape_var {
    int64_t rows, cols;
    void *value, *grad; /* a parameter's grad is its own */
    uint64_t pass;      /* the backward pass that grad belongs to */
    bool needs, is_param;
} dk_tape_var;

struct dk_tape {
    const dk_mat_ops *ops;
    bool is64, record;
    size_t size; /* of an element */
    dk_tape_var *vars;
    dk_node *nodes;
    int32_t n_vars, n_nodes, cap_vars, cap_nodes;
    dk_arena *values, *grads;
    uint64_t pass;
    dk_err err; /* sticky */
};

static inline bool dk_tape_ready(const dk_tape *t)
{
    return t->err.code == 0;
}

static inline const dk_tape_var *dk_tape_var_of(const dk_tape *t, dk_var v)
{
    assert(v >= 0 && v < t->n_vars);
    return &t->vars[v];
}

static inline int64_t dk_count_of(const dk_tape *t, dk_var v)
{
    const dk_tape_var *x = dk_tape_var_of(t, v);
    return x->rows * x->cols;
}

/* Makes the result [rows, cols], runs forward, keeps the node if an operand (one of in[] or of the
 * `many` operands at `with`) needs a gradient. node->out and ->op are filled in here. */
dk_var dk_tape_run(dk_tape *t, const dk_op *op, dk_node *node, int64_t rows, int64_t cols,
                   int many);
/* The same for a result that is elements begin.. of x under another shape: nothing is copied. */
dk_var dk_tape_alias(dk_tape *t, const dk_op *op, dk_node *node, dk_var x, int64_t begin,
                     int64_t rows, int64_t cols);
/* `n` elements of the tape's type in the arena of values; NULL after a failure. */
void *dk_tape_keep(dk_tape *t, int64_t n);

/* In a backward function. The gradient of the result: */
static inline const void *dk_tape_out_grad(const dk_tape *t, const dk_node *n)
{
    return t->vars[n->out].grad;
}
/* The gradient to write of an operand, NULL if it needs none. *add: add to what is there, else it
 * holds nothing yet and all of it must be written. Before the next call for the same pass all of
 * it must have been written, for two operands may be one value. */
void *dk_tape_into(dk_tape *t, dk_var v, bool *add);
static inline bool dk_tape_wants(const dk_tape *t, dk_var v)
{
    return v != DK_NOVAR && t->vars[v].needs;
}
/* n elements that live as long as the gradients of this pass; NULL after a failure. */
void *dk_tape_keep_grad(dk_tape *t, int64_t n);
/* Work memory of n elements until dk_tape_scratch_end(), NULL after a failure. No dk_tape_into()
 * in between. Works in forward functions as well. */
typedef dk_arena_mark dk_scratch;
void *dk_tape_scratch(dk_tape *t, int64_t n, dk_scratch *mark);
void dk_tape_scratch_end(dk_tape *t, dk_scratch mark);

#endif
