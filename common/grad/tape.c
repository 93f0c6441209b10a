/* The tape itself: values, nodes, marks, and the walk backward. */
#include "grad/tape_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

dk_tape *dk_tape_new(const dk_mat_ops *ops)
{
    dk_tape *t = dk_xmalloc(sizeof *t);
    memset(t, 0, offsetof(dk_tape, err));
    dk_err_init(&t->err);
    t->ops = ops;
    t->is64 = ops->real == DK_F64;
    t->size = t->is64 ? sizeof(double) : sizeof(float);
    t->record = true;
    t->pass = 1;
    t->values = dk_arena_new();
    t->grads = dk_arena_new();
    return t;
}

void dk_tape_free(dk_tape *t)
{
    if (!t)
        return;
    dk_arena_free(t->values);
    dk_arena_free(t->grads);
    free(t->vars);
    free(t->nodes);
    free(t);
}

void dk_tape_reset(dk_tape *t)
{
    t->n_vars = t->n_nodes = 0;
    t->pass++;
    dk_arena_restore(t->values, (dk_arena_mark){0, 0});
    dk_arena_restore(t->grads, (dk_arena_mark){0, 0});
}

dk_dtype dk_tape_real(const dk_tape *t)
{
    return t->ops->real;
}

bool dk_tape_ok(const dk_tape *t)
{
    return dk_tape_ready(t);
}

int dk_tape_take(dk_tape *t, dk_err *err)
{
    int code = t->err.code;
    if (code)
        dk_fail(err, code, "%s", t->err.msg);
    dk_err_init(&t->err);
    return code;
}

void dk_tape_record(dk_tape *t, bool on)
{
    t->record = on;
}

dk_tape_mark dk_tape_save(const dk_tape *t)
{
    return (dk_tape_mark){t->n_vars, t->n_nodes, dk_arena_save(t->values)};
}

void dk_tape_restore(dk_tape *t, dk_tape_mark m)
{
    assert(m.vars <= t->n_vars && m.nodes <= t->n_nodes);
    t->n_vars = m.vars;
    t->n_nodes = m.nodes;
    dk_arena_restore(t->values, m.arena);
}

/* ---- Values. */

static bool bytes_of(dk_tape *t, int64_t rows, int64_t cols, size_t *bytes)
{
    assert(rows >= 0 && cols >= 0);
    if (dk_mul((size_t)rows, (size_t)cols, bytes) && dk_mul(*bytes, t->size, bytes) &&
        *bytes <= PTRDIFF_MAX)
        return true;
    dk_fail(&t->err, DK_ENOMEM, "a matrix of shape [%lld, %lld] is too large", (long long)rows,
            (long long)cols);
    return false;
}

static dk_var push(dk_tape *t, dk_tape_var v)
{
    if (t->n_vars == t->cap_vars) {
        if (t->cap_vars > INT32_MAX / 2) {
            dk_fail(&t->err, DK_ENOMEM, "more than %d values on one tape", t->cap_vars);
            return DK_NOVAR;
        }
        t->cap_vars = t->cap_vars ? 2 * t->cap_vars : 64;
        t->vars = dk_xrealloc(t->vars, (size_t)t->cap_vars * sizeof *t->vars);
    }
    t->vars[t->n_vars] = v;
    return t->n_vars++;
}

static dk_var new_value(dk_tape *t, int64_t rows, int64_t cols, bool needs)
{
    size_t bytes;
    if (!dk_tape_ready(t) || !bytes_of(t, rows, cols, &bytes))
        return DK_NOVAR;
    void *p = dk_arena_alloc(t->values, bytes, &t->err);
    if (!p)
        return DK_NOVAR;
    return push(t, (dk_tape_var){.rows = rows, .cols = cols, .value = p, .needs = needs});
}

dk_var dk_leaf(dk_tape *t, int64_t rows, int64_t cols, const double *data, bool needs_grad)
{
    dk_var v = new_value(t, rows, cols, needs_grad);
    if (v == DK_NOVAR)
        return v;
    size_t n = (size_t)(rows * cols);
    if (!data) {
        memset(t->vars[v].value, 0, n * t->size);
    } else if (t->is64) {
        memcpy(t->vars[v].value, data, n * sizeof *data);
    } else {
        float *out = t->vars[v].value;
        for (size_t i = 0; i < n; i++)
            out[i] = (float)data[i];
    }
    return v;
}

/* Borrowed memory is only read: operations never write to operands. */
static void *borrowed(const void *p)
{
    union {
        const void *in;
        void *out;
    } u = {p};
    return u.out;
}

dk_var dk_leaf_view(dk_tape *t, int64_t rows, int64_t cols, const void *data, bool needs_grad)
{
    size_t bytes;
    if (!dk_tape_ready(t) || !bytes_of(t, rows, cols, &bytes))
        return DK_NOVAR;
    assert(data || bytes == 0);
    return push(
        t, (dk_tape_var){.rows = rows, .cols = cols, .value = borrowed(data), .needs = needs_grad});
}

dk_var dk_leaf_fill(dk_tape *t, int64_t rows, int64_t cols, double value, bool needs_grad)
{
    dk_var v = new_value(t, rows, cols, needs_grad);
    if (v == DK_NOVAR)
        return v;
    double *d = t->vars[v].value;
    float *f = t->vars[v].value;
    for (int64_t i = 0; i < rows * cols; i++)
        if (t->is64)
            d[i] = value;
        else
            f[i] = (float)value;
    return v;
}

dk_var dk_leaf_param(dk_tape *t, const dk_param *p)
{
    dk_var v = dk_leaf_view(t, p->rows, p->cols, p->value, p->grad != NULL);
    if (v != DK_NOVAR && p->grad) {
        t->vars[v].is_param = true;
        t->vars[v].grad = p->grad;
    }
    return v;
}

dk_var dk_stop_grad(dk_tape *t, dk_var x)
{
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    const dk_tape_var *v = dk_tape_var_of(t, x);
    return push(t, (dk_tape_var){.rows = v->rows, .cols = v->cols, .value = v->value});
}

/* What a value that a failed tape did not make looks like: empty, but readable. */
static const double nothing[8];

int64_t dk_var_rows(const dk_tape *t, dk_var v)
{
    return v == DK_NOVAR ? 0 : dk_tape_var_of(t, v)->rows;
}

int64_t dk_var_cols(const dk_tape *t, dk_var v)
{
    return v == DK_NOVAR ? 0 : dk_tape_var_of(t, v)->cols;
}

const void *dk_value(const dk_tape *t, dk_var v)
{
    return v == DK_NOVAR ? nothing : dk_tape_var_of(t, v)->value;
}

const double *dk_value64(const dk_tape *t, dk_var v)
{
    assert(t->is64);
    return dk_value(t, v);
}

const float *dk_value32(const dk_tape *t, dk_var v)
{
    assert(!t->is64);
    return dk_value(t, v);
}

double dk_scalar(const dk_tape *t, dk_var v)
{
    if (v == DK_NOVAR || dk_count_of(t, v) == 0)
        return NAN;
    return t->is64 ? *dk_value64(t, v) : (double)*dk_value32(t, v);
}

/* ---- Operations. */

static void keep_node(dk_tape *t, const dk_node *n)
{
    if (t->n_nodes == t->cap_nodes) {
        t->cap_nodes = t->cap_nodes ? 2 * t->cap_nodes : 64; /* never more than values */
        t->nodes = dk_xrealloc(t->nodes, (size_t)t->cap_nodes * sizeof *t->nodes);
    }
    t->nodes[t->n_nodes++] = *n;
}

static bool operands_need(const dk_tape *t, const dk_node *n, int many)
{
    bool needs = false;
    for (int i = 0; i < 3; i++)
        if (n->in[i] != DK_NOVAR)
            needs |= dk_tape_var_of(t, n->in[i])->needs;
    const dk_var *list = n->with;
    for (int i = 0; i < many; i++)
        needs |= dk_tape_var_of(t, list[i])->needs;
    return needs && t->record;
}

dk_var dk_tape_run(dk_tape *t, const dk_op *op, dk_node *node, int64_t rows, int64_t cols, int many)
{
    bool needs = operands_need(t, node, many);
    node->op = op;
    node->out = new_value(t, rows, cols, needs);
    if (node->out == DK_NOVAR)
        return DK_NOVAR;
    op->forward[t->is64](t, node);
    if (!dk_tape_ready(t))
        return DK_NOVAR;
    if (needs)
        keep_node(t, node);
    return node->out;
}

dk_var dk_tape_alias(dk_tape *t, const dk_op *op, dk_node *node, dk_var x, int64_t begin,
                     int64_t rows, int64_t cols)
{
    const dk_tape_var *v = dk_tape_var_of(t, x);
    bool needs = operands_need(t, node, 0);
    char *at = v->value;
    if (begin)
        at += (size_t)begin * t->size;
    node->op = op;
    node->out = push(t, (dk_tape_var){.rows = rows, .cols = cols, .value = at, .needs = needs});
    if (node->out != DK_NOVAR && needs)
        keep_node(t, node);
    return node->out;
}

static void *reals(dk_tape *t, dk_arena *a, int64_t n)
{
    size_t bytes;
    if (!bytes_of(t, n, 1, &bytes))
        return NULL;
    return dk_arena_alloc(a, bytes, &t->err);
}

void *dk_tape_keep(dk_tape *t, int64_t n)
{
    return reals(t, t->values, n);
}

void *dk_tape_keep_grad(dk_tape *t, int64_t n)
{
    return reals(t, t->grads, n);
}

void *dk_tape_scratch(dk_tape *t, int64_t n, dk_scratch *mark)
{
    *mark = dk_arena_save(t->grads);
    return reals(t, t->grads, n);
}

void dk_tape_scratch_end(dk_tape *t, dk_scratch mark)
{
    dk_arena_restore(t->grads, mark);
}

/* ---- Backward. */

void *dk_tape_into(dk_tape *t, dk_var v, bool *add)
{
    if (v == DK_NOVAR || !t->vars[v].needs || !dk_tape_ready(t))
        return NULL;
    dk_tape_var *x = &t->vars[v];
    *add = x->pass == t->pass || x->is_param;
    if (!*add)
        x->grad = reals(t, t->grads, x->rows * x->cols);
    if (x->grad)
        x->pass = t->pass;
    return x->grad;
}

static void add_seed(dk_tape *t, dk_var out, const void *seed)
{
    bool add;
    void *grad = dk_tape_into(t, out, &add);
    if (!grad)
        return;
    const double *s64 = seed;
    const float *s32 = seed;
    double *g64 = grad;
    float *g32 = grad;
    for (int64_t i = 0, n = dk_count_of(t, out); i < n; i++)
        if (t->is64)
            g64[i] = (add ? g64[i] : 0.0) + (seed ? s64[i] : 1.0);
        else
            g32[i] = (add ? g32[i] : 0.0f) + (seed ? s32[i] : 1.0f);
}

void dk_backward_many(dk_tape *t, int n, const dk_var *out, const void *const *seed)
{
    if (!dk_tape_ready(t))
        return;
    dk_var last = DK_NOVAR;
    t->pass++;
    dk_arena_restore(t->grads, (dk_arena_mark){0, 0});
    for (int i = 0; i < n; i++) {
        dk_tape_var_of(t, out[i]); /* asserts that it exists */
        add_seed(t, out[i], seed ? seed[i] : NULL);
        last = out[i] > last ? out[i] : last;
    }
    for (int32_t i = t->n_nodes - 1; i >= 0 && dk_tape_ready(t); i--) {
        const dk_node *node = &t->nodes[i];
        if (node->out <= last && t->vars[node->out].pass == t->pass)
            node->op->backward[t->is64](t, node);
    }
}

void dk_backward(dk_tape *t, dk_var out, const void *seed)
{
    dk_backward_many(t, 1, &out, &seed);
}

const void *dk_grad(dk_tape *t, dk_var v)
{
    if (v == DK_NOVAR)
        return nothing;
    dk_tape_var_of(t, v);
    dk_tape_var *x = &t->vars[v];
    if (x->is_param || (x->pass == t->pass && x->grad))
        return x->grad;
    void *zeros = reals(t, t->grads, x->rows * x->cols);
    if (!zeros)
        return x->value; /* readable; the failure is on the tape */
    memset(zeros, 0, (size_t)(x->rows * x->cols) * t->size);
    x->grad = zeros;
    x->pass = t->pass;
    return zeros;
}

const double *dk_grad64(dk_tape *t, dk_var v)
{
    assert(t->is64);
    return dk_grad(t, v);
}
