// What Python hands over, as ctypes structures of library.py. Pointers to numbers point to float or
// double, as the function's name says; rows, keys and codes are int32.
//
// K members, N rows a batch, D inputs, H outputs of a layer, C outputs, P parameters of a leaf.
#pragma once
#include <cstdint>

typedef int64_t i64;

struct Leaf {            // the parameters of a group, side by side
    void *p, *u, *v;     // (K, P): parameters, the rule's slots (null: it has none)
    void *ema;           // (K, P): their moving average (null: none)
    i64 size;            // P
    i64 decays;          // whether penalties, decay and max_norm hold for them
    double rate;         // the group's share of the learning rate
};

enum { DENSE, ACTIVATION, DROPOUT, EMBEDDING, BATCH_NORM, LAYER_NORM, RMS_NORM, ENTER, LEAVE };

struct Layer {
    i64 kind, D, H, act;
    i64 source, out, aux;  // columns of the buffers: input (-1: X), output, what backward needs (-1: none)
    i64 skip;              // LEAVE: the column of the block's input; ENTER: of the block's output
    i64 needs_dx;          // whether anybody reads the gradient of the input
    i64 W_leaf, W_at;      // where W, E or the gains begin (-1: none)
    i64 b_leaf, b_at;      // where the offsets begin
    i64 sums;              // where its sums begin in a thread's own
    i64 word, limit;       // DROPOUT: its place, hashed; drops where the hash is below the limit
    i64 n_codes, dim;      // EMBEDDING: columns of codes, length of the vectors
    const i64 *starts;     // EMBEDDING: the first row of each column of codes, and one past the last
    void *mean, *var;      // BATCH_NORM: running statistics, (K, D)
    double scale;          // DROPOUT: 1 / (1 - rate)
    double epsilon, momentum;
};

struct Network {
    Layer *layers;
    i64 n_layers;
    Leaf *leaves;
    i64 n_leaves;
    i64 D, C;
    i64 width;             // columns of the buffer of all outputs
    i64 n_sums;            // numbers of a thread's sums
};

struct Training {
    i64 loss, rule, N, K, B;
    i64 y_columns;         // of a row of targets; 0: y holds codes
    const double *levels;  // of the loss: huber's delta, focal's gamma, the quantiles
    i64 n_levels;
    double c, c1, d, d1, epsilon;  // the rule's factors, their complements
    double max_grad_norm, max_norm, ema_decay;  // 0: none
    const void *x, *y;     // (n, D), (n, C) or codes (n)
    const int32_t *rows;   // (B, K, N)
    const void *weights;   // (B, K, N)
    const void *n_rows;    // (B, K)
    const int32_t *key;    // (B, K, 2)
    const void *rate, *decay, *shrink;  // (B, K)
    void *losses;          // (2, B, K): data loss, penalty
    // Where gradients are summed over processes: called by one thread in each step, before penalties,
    // with the n gradients of a member, leaf after leaf. Null: nobody else has any.
    void (*reduce)(void *gradients, i64 n, void *context);
    void *context;
};

typedef void (*Gemm)(const char *, const char *, const i64 *, const i64 *, const i64 *,
                     const void *, const void *, const i64 *, const void *, const i64 *,
                     const void *, void *, const i64 *);
