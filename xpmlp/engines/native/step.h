// Training steps of a chain, and its predictions. A team of threads makes them together: each takes
// some of a batch's rows forward and backward; all wait; each then makes the gradients of some of
// the parameters and updates them; all wait. So products need no threads of their own, no sum is
// split in an order that depends on time, and no gradient of a weight matrix is ever whole, unless
// max_grad_norm asks for the norm of all, or a reduce for their sum over processes.
// Included once for float, once for double.

// Some neighbouring parameters of a layer, whose gradients are made and used at once.
struct Piece {
    enum { WEIGHTS, OFFSETS, SUMS } kind;  // SUMS: of normalizations, which the threads have
    const Layer *layer;
    i64 leaf, at, size;
    i64 from;  // the first row of W, the first column of b, where the sums begin
};

// Where a thread works: its network, its rows, its buffers. Members have a network each.
struct Worker {
    Gemm blas;
    const Network *net;
    const Training *plan;  // null: predictions
    Team *team;
    i64 rank, member, N;
    i64 n, start, stop;    // rows of this batch, this thread's of them
    const T *x;            // (n, D): the batch
    const T *weights;      // (N): of its rows
    T share;               // n / N
    const int32_t *key;
    T rate, decay, shrink;
    T *outs, *grads;       // (width, N) columns: outputs and what backward needs; gradients
    T *all_sums;           // (threads, n_sums)
    T *tile;
    T *whole_grads;        // (n_grads, all P): where max_grad_norm or a reduce takes all at once
    i64 n_grads;
    double *parts;         // (threads): sums of one number

    T *param(i64 leaf, i64 at) const { return of_leaf(net->leaves[leaf].p, leaf, at); }
    T *of_leaf(void *a, i64 leaf, i64 at) const {
        return a ? (T *)a + member * net->leaves[leaf].size + at : nullptr;
    }
    // This thread's rows of the columns from `at` on, of which the layer has H.
    T *part(T *buffer, i64 at, i64 H) const { return buffer + at * N + start * H; }
    T *whole(T *buffer, i64 at) const { return buffer + at * N; }
    T *sums(i64 of, i64 at) const { return all_sums + of * net->n_sums + at; }
    const T *input(const Layer &layer) const {
        return layer.source < 0 ? x + start * layer.D : part(outs, layer.source, layer.D);
    }
    void wait() { team->wait(); }

    void forward(bool training);
    void backward();
    double loss(const T *y, const int32_t *codes);
    double descend();
    void normalise_batch(const Layer &layer, bool training);
    void normalise_batch_backward(const Layer &layer, const T *dy, T *dx);
    void total(T *out, i64 at, i64 size);
    T *gradient_at(const Piece &piece) const;
    void make_gradient(const Piece &piece, T *g);
    void update(const Piece &piece, const T *g);
    void average(const Piece &piece);
    void bound_columns();
    template <class F> void each_piece(F f);
};

// out (size) = the threads' sums from `at` on, added in the threads' order.
void Worker::total(T *out, i64 at, i64 size) {
    std::memcpy(out, sums(0, at), size * sizeof(T));
    for (i64 of = 1; of < team->size; ++of) {
        const T *more = sums(of, at);
        for (i64 j = 0; j < size; ++j) out[j] += more[j];
    }
}

void Worker::forward(bool training) {
    i64 rows = stop - start;
    for (i64 l = 0; l < net->n_layers; ++l) {
        const Layer &layer = net->layers[l];
        const T *a = input(layer);
        T *out = layer.out < 0 ? nullptr : part(outs, layer.out, layer.H);
        i64 D = layer.D, H = layer.H;
        switch (layer.kind) {
        case DENSE:
            product(blas, a, param(layer.W_leaf, layer.W_at), out, rows, n, D, H);
            if (layer.b_at >= 0) add_offsets(out, param(layer.b_leaf, layer.b_at), rows, H, tile);
            activate(layer.act, out, layer.aux < 0 ? nullptr : part(outs, layer.aux, H), rows * H);
            break;
        case ACTIVATION:
            std::memcpy(out, a, rows * H * sizeof(T));
            activate(layer.act, out, layer.aux < 0 ? nullptr : part(outs, layer.aux, H), rows * H);
            break;
        case DROPOUT:
            if (training) drop(a, out, rows * H, start * H, key, layer);
            else std::memcpy(out, a, rows * H * sizeof(T));
            break;
        case EMBEDDING: embed(layer, a, param(layer.W_leaf, layer.W_at), out, rows); break;
        case BATCH_NORM: normalise_batch(layer, training); break;
        case LAYER_NORM:
        case RMS_NORM:
            normalise_rows(layer, a, param(layer.W_leaf, layer.W_at),
                           layer.b_at < 0 ? nullptr : param(layer.b_leaf, layer.b_at), out,
                           part(outs, layer.aux, D), whole(outs, layer.aux + D) + start, rows);
            break;
        case LEAVE: {
            const T *skipped = layer.skip < 0 ? x + start * H : part(outs, layer.skip, H);
            for (i64 i = 0; i < rows * H; ++i) out[i] = a[i] + skipped[i];
            break;
        }
        }
    }
}

void Worker::backward() {
    i64 rows = stop - start;
    for (i64 l = net->n_layers - 1; l >= 0; --l) {
        const Layer &layer = net->layers[l];
        i64 D = layer.D, H = layer.H;
        T *d = layer.out < 0 ? nullptr : part(grads, layer.out, H);
        T *dx = layer.needs_dx ? part(grads, layer.source, D) : nullptr;
        switch (layer.kind) {
        case DENSE:
        case ACTIVATION: {
            i64 from = layer.aux < 0 ? layer.out : layer.aux;
            activate_backward(layer.act, d, part(outs, from, H), rows * H);
            if (!dx) break;
            if (layer.kind == ACTIVATION) std::memcpy(dx, d, rows * H * sizeof(T));
            else product_backward(blas, d, param(layer.W_leaf, layer.W_at), dx, rows, n, D, H);
            break;
        }
        case DROPOUT:
            if (dx) drop(d, dx, rows * H, start * H, key, layer);
            break;
        case EMBEDDING: break;  // always the first
        case BATCH_NORM: normalise_batch_backward(layer, d, dx); break;
        case LAYER_NORM:
        case RMS_NORM: {
            const T *h = part(outs, layer.aux, D);
            T *dg = sums(rank, layer.sums), *db = dg + D;
            for (i64 j = 0; j < 2 * D; ++j) dg[j] = 0;
            for (i64 i = 0; i < rows; ++i)
                for (i64 j = 0; j < D; ++j) {
                    dg[j] += d[i * D + j] * h[i * D + j];
                    db[j] += d[i * D + j];
                }
            if (dx)
                normalise_rows_backward(layer, d, param(layer.W_leaf, layer.W_at), h,
                                        whole(outs, layer.aux + D) + start, dx, rows);
            break;
        }
        case LEAVE:
            if (dx) std::memcpy(dx, d, rows * H * sizeof(T));
            break;
        case ENTER:  // the block's own part is in dx by now
            if (dx) {
                const T *skipped = part(grads, layer.skip, D);
                for (i64 i = 0; i < rows * D; ++i) dx[i] += skipped[i];
            }
            break;
        }
    }
}

// A thread's sums for it: of w x, of w c c, dg, db, and s. aux: h.
void Worker::normalise_batch(const Layer &layer, bool training) {
    i64 rows = stop - start, D = layer.D;
    const T *a = input(layer), *g = param(layer.W_leaf, layer.W_at);
    const T *b = param(layer.b_leaf, layer.b_at);
    T *out = part(outs, layer.out, D), *h = part(outs, layer.aux, D);
    T *mine = sums(rank, layer.sums), *s = mine + 4 * D, *mean = tile, *var = tile + D;
    T *old_mean = (T *)layer.mean + member * D, *old_var = (T *)layer.var + member * D;
    if (!training) {
        mean = old_mean, var = old_var;
        s = tile;
    } else {
        const T *w = weights + start;
        for (i64 j = 0; j < D; ++j) mine[j] = 0;
        for (i64 i = 0; i < rows; ++i)
            for (i64 j = 0; j < D; ++j) mine[j] += w[i] * a[i * D + j];
        wait();
        total(mean, layer.sums, D);
        for (i64 j = 0; j < D; ++j) mine[D + j] = 0;
        for (i64 i = 0; i < rows; ++i)
            for (i64 j = 0; j < D; ++j) {
                T c = a[i * D + j] - mean[j];
                mine[D + j] += w[i] * c * c;
            }
        wait();
        total(var, layer.sums + D, D);
    }
    for (i64 j = 0; j < D; ++j) s[j] = T(1) / sqrt_(var[j] + T(layer.epsilon));
    for (i64 i = 0; i < rows; ++i)
        for (i64 j = 0; j < D; ++j) {
            T c = (a[i * D + j] - mean[j]) * s[j];
            h[i * D + j] = c;
            out[i * D + j] = g[j] * c + b[j];
        }
    if (training && rank == 0) {
        // A batch that weighs nothing leaves the statistics alone; a short one counts by its rows.
        T weight = 0;
        for (i64 i = 0; i < N; ++i) weight += weights[i];
        weight *= T(layer.momentum) * share;
        for (i64 j = 0; j < D; ++j) {
            old_mean[j] += weight * (mean[j] - old_mean[j]);
            old_var[j] += weight * (var[j] - old_var[j]);
        }
    }
}

// dx = g s (dy - w db - w h dg)
void Worker::normalise_batch_backward(const Layer &layer, const T *dy, T *dx) {
    i64 rows = stop - start, D = layer.D;
    const T *h = part(outs, layer.aux, D), *g = param(layer.W_leaf, layer.W_at);
    const T *w = weights + start;
    T *mine = sums(rank, layer.sums), *s = mine + 4 * D, *dg = mine + 2 * D, *db = mine + 3 * D;
    for (i64 j = 0; j < 2 * D; ++j) dg[j] = 0;
    for (i64 i = 0; i < rows; ++i)
        for (i64 j = 0; j < D; ++j) {
            dg[j] += dy[i * D + j] * h[i * D + j];
            db[j] += dy[i * D + j];
        }
    wait();
    if (!dx) return;
    T *all_dg = tile, *all_db = tile + D;
    total(all_dg, layer.sums + 2 * D, D);
    total(all_db, layer.sums + 3 * D, D);
    for (i64 i = 0; i < rows; ++i)
        for (i64 j = 0; j < D; ++j)
            dx[i * D + j] = g[j] * s[j] *
                            (dy[i * D + j] - w[i] * all_db[j] - w[i] * h[i * D + j] * all_dg[j]);
}

// ---- The loss of this thread's rows: value, and its gradient in the last layer's place.

static T softmax_row(const T *z, const T *y, i64 code, T *d, T w, i64 C, i64 kind, T gamma) {
    T top = z[0], sum = 0;
    for (i64 j = 1; j < C; ++j) top = z[j] > top || z[j] != z[j] ? z[j] : top;
    for (i64 j = 0; j < C; ++j) d[j] = exp_(z[j] - top);
    SUM(sum) for (i64 j = 0; j < C; ++j) sum += d[j];
    if (kind == LOG_LOSS) {
        T inner = 0, scale = T(1) / sum;
        if (!y) {
            for (i64 j = 0; j < C; ++j) d[j] *= w * scale;
            if (code < 0 || code >= C) return w * T(std::log(sum));  // a row of zeros, as in nn
            d[code] -= w;
            return w * (T(std::log(sum)) - (z[code] - top));
        }
        SUM(inner) for (i64 j = 0; j < C; ++j) inner += y[j] * (z[j] - top);
        for (i64 j = 0; j < C; ++j) d[j] = w * (d[j] * scale - y[j]);
        return w * (T(std::log(sum)) - inner);
    }
    // FOCAL: d is p times the derivative by p, less p times the sum of these.
    T log_sum = T(std::log(sum)), value = 0, total = 0;
    for (i64 j = 0; j < C; ++j) {
        T log_p = z[j] - top - log_sum, p = exp_(log_p), q = -T(std::expm1(log_p));
        T easy = y[j] * (gamma == T(1) ? T(1) : T(std::pow(q, gamma - T(1))));
        value -= easy * q * log_p;
        d[j] = easy * (gamma * p * log_p - q);
        total += d[j];
    }
    for (i64 j = 0; j < C; ++j) d[j] = w * (d[j] - exp_(z[j] - top - log_sum) * total);
    return w * value;
}

template <class K>
static double element_losses(K kind, const T *z, const T *y, T *__restrict d, const T *w, i64 n,
                             i64 C, const double *levels, i64 n_levels) {
    double total = 0;
    T c = n_levels ? T(levels[0]) : T(0);
    if (C == 1) {  // one loop, so that it is turned into vector code
        T sum = 0;
        SUM(sum) for (i64 i = 0; i < n; ++i) {
            T slope;
            sum += element_loss(kind, z[i], y[i], w[i], c, &slope);
            d[i] = slope;
        }
        return sum;
    }
    for (i64 i = 0; i < n; ++i, z += C, y += C, d += C) {
        T sum = 0;
        SUM(sum) for (i64 j = 0; j < C; ++j) {
            T slope, level = n_levels > 1 ? T(levels[j % n_levels]) : c;
            sum += element_loss(kind, z[j], y[j], w[i], level, &slope);
            d[j] = slope;
        }
        total += sum;
    }
    return total;
}

double Worker::loss(const T *y, const int32_t *codes) {
    const Layer &last = net->layers[net->n_layers - 1];
    i64 C = net->C, rows = stop - start;
    const T *z = part(outs, last.out, C), *w = weights + start;
    T *d = part(grads, last.out, C);
    if (plan->loss == LOG_LOSS || plan->loss == FOCAL) {
        double total = 0;
        T gamma = plan->n_levels ? T(plan->levels[0]) : T(0);
        for (i64 i = 0; i < rows; ++i)
            total += softmax_row(z + i * C, y ? y + i * C : nullptr, codes ? codes[i] : 0,
                                 d + i * C, w[i], C, plan->loss, gamma);
        return total;
    }
    switch (plan->loss) {
#define CASE(k) \
    case k: return element_losses(std::integral_constant<int, k>(), z, y, d, w, rows, C, \
                                  plan->levels, plan->n_levels);
    CASE(SQUARED_ERROR) CASE(BINARY_LOG_LOSS) CASE(POISSON) CASE(GAMMA) CASE(ABSOLUTE_ERROR)
    CASE(LOG_COSH) CASE(HUBER) CASE(QUANTILE) CASE(BINARY_FOCAL)
#undef CASE
    }
    return 0;
}

// ---- The update

template <class K>
static void apply_rule(K rule, T *__restrict p, const T *__restrict g, T *__restrict u,
                       T *__restrict v, i64 size, T rate, const Training &t) {
    T c = T(t.c), c1 = T(t.c1), d = T(t.d), d1 = T(t.d1), epsilon = T(t.epsilon);
    constexpr bool has_u = rule != SGD, has_v = rule == ADAM || rule == NADAM;
    for (i64 i = 0; i < size; ++i) {
        T a = has_u ? u[i] : T(0), b = has_v ? v[i] : T(0);
        p[i] = rule_step(rule, p[i], g[i], rate, &a, &b, c, c1, d, d1, epsilon);
        if (has_u) u[i] = a;
        if (has_v) v[i] = b;
    }
}

// A piece takes its step. g: its gradient, penalty included.
void Worker::update(const Piece &piece, const T *g) {
    const Leaf &of = net->leaves[piece.leaf];
    T *p = param(piece.leaf, piece.at);
    T *u = of_leaf(of.u, piece.leaf, piece.at), *v = of_leaf(of.v, piece.leaf, piece.at);
    if (of.decays && shrink != T(0))
        for (i64 i = 0; i < piece.size; ++i) p[i] -= shrink * p[i];
    T own = rate * T(of.rate);
    switch (plan->rule) {
#define CASE(k) \
    case k: apply_rule(std::integral_constant<int, k>(), p, g, u, v, piece.size, own, *plan); break;
    CASE(SGD) CASE(MOMENTUM) CASE(NESTEROV) CASE(ADAM) CASE(NADAM) CASE(LION) CASE(RMSPROP)
    CASE(ADAGRAD)
#undef CASE
    }
    if (of.ema && !(of.decays && plan->max_norm > 0)) average(piece);
}

// The moving average of the parameters takes them in.
void Worker::average(const Piece &piece) {
    T *a = of_leaf(net->leaves[piece.leaf].ema, piece.leaf, piece.at);
    const T *p = param(piece.leaf, piece.at);
    T kept = T(plan->ema_decay), taken = T(1.0 - plan->ema_decay);
    for (i64 i = 0; i < piece.size; ++i) a[i] = kept * a[i] + taken * p[i];
}

// f(piece) for this thread's share of every layer's parameters.
template <class F> void Worker::each_piece(F f) {
    i64 size = team->size;
    auto share = [&](i64 n) { return std::make_pair(n * rank / size, n * (rank + 1) / size); };
    for (i64 l = 0; l < net->n_layers; ++l) {
        const Layer &layer = net->layers[l];
        if (layer.kind == DENSE || layer.kind == EMBEDDING) {
            bool dense = layer.kind == DENSE;
            i64 columns = dense ? layer.H : layer.dim;
            auto [from, to] = share(dense ? layer.D : layer.starts[layer.n_codes]);
            for (i64 row = from; row < to; row += TILE) {
                i64 wide = std::min(TILE, to - row);
                f(Piece{Piece::WEIGHTS, &layer, layer.W_leaf, layer.W_at + row * columns,
                        wide * columns, row});
            }
            if (!dense || layer.b_at < 0) continue;
            auto [first, last] = share(layer.H);
            f(Piece{Piece::OFFSETS, &layer, layer.b_leaf, layer.b_at + first, last - first, first});
        } else if (layer.kind == BATCH_NORM || layer.kind == LAYER_NORM || layer.kind == RMS_NORM) {
            auto [first, last] = share(layer.D);
            i64 sums = layer.sums + first + (layer.kind == BATCH_NORM ? 2 * layer.D : 0);
            f(Piece{Piece::SUMS, &layer, layer.W_leaf, layer.W_at + first, last - first, sums});
            if (layer.b_at < 0) continue;
            f(Piece{Piece::SUMS, &layer, layer.b_leaf, layer.b_at + first, last - first,
                    sums + layer.D});
        }
    }
}

void Worker::make_gradient(const Piece &piece, T *g) {
    const Layer &layer = *piece.layer;
    if (piece.kind == Piece::SUMS) {
        total(g, piece.from, piece.size);
        return;
    }
    const T *a = layer.source < 0 ? x : whole(outs, layer.source), *d = whole(grads, layer.out);
    if (piece.kind == Piece::OFFSETS) {
        column_sums(d + piece.from, g, n, layer.H, piece.size);
    } else if (layer.kind == DENSE) {
        product_weights(blas, a + piece.from, d, g, n, layer.D, layer.H, piece.size / layer.H);
    } else {
        i64 stop = piece.from + piece.size / layer.dim;
        embed_backward(layer, a, d, g, n, piece.from, stop);
    }
}

// Where a piece's gradient is made: in the tile, or where all are kept.
T *Worker::gradient_at(const Piece &piece) const {
    if (!whole_grads) return tile;
    i64 at = piece.at;
    for (i64 i = 0; i < piece.leaf; ++i) at += net->leaves[i].size;
    return whole_grads + at;
}

static const i64 ADDENDS = 1024;  // which a float adds up well; their sums are added as doubles

// The sum of f(i) for i below size.
template <class F> static inline double sum_of(i64 size, F f) {
    double total = 0;
    for (i64 at = 0; at < size; at += ADDENDS) {
        T sum = 0;
        i64 stop = std::min(at + ADDENDS, size);
        SUM(sum) for (i64 i = at; i < stop; ++i) sum += f(i);
        total += double(sum);
    }
    return total;
}

// g += decay p; returns half of decay times the squared p.
static double penalise(const T *__restrict p, T *__restrict g, i64 size, T decay) {
    return 0.5 * sum_of(size, [=](i64 i) {
        T shrunk = decay * p[i];
        g[i] += shrunk;
        return shrunk * p[i];
    });
}

// Update this thread's parameters. Returns its share of the penalty.
double Worker::descend() {
    double penalty = 0, squares = 0;
    bool bounded = plan->max_grad_norm > 0;
    if (plan->reduce) {
        each_piece([&](const Piece &piece) { make_gradient(piece, gradient_at(piece)); });
        wait();
        if (rank == 0) plan->reduce(whole_grads, n_grads, plan->context);
        wait();
    }
    each_piece([&](const Piece &piece) {
        T *g = gradient_at(piece);
        if (!plan->reduce) make_gradient(piece, g);
        if (net->leaves[piece.leaf].decays && decay > T(0))
            penalty += penalise(param(piece.leaf, piece.at), g, piece.size, decay);
        if (bounded) squares += sum_of(piece.size, [=](i64 i) { return g[i] * g[i]; });
        else update(piece, g);
    });
    if (bounded) {
        parts[rank] = squares;
        wait();
        squares = 0;
        for (i64 of = 0; of < team->size; ++of) squares += parts[of];
        T limit = T(plan->max_grad_norm);
        T scale = limit / above(T(std::sqrt(squares)), limit);  // exactly 1 where nothing is clipped
        each_piece([&](const Piece &piece) {
            T *g = gradient_at(piece);
            for (i64 i = 0; i < piece.size; ++i) g[i] *= scale;
            update(piece, g);
        });
    }
    if (plan->max_norm > 0) bound_columns();
    return penalty;
}

// Scale each column of weights, a unit's incoming ones, down to a norm of max_norm.
void Worker::bound_columns() {
    // Not the sums of normalizations, which slower threads may still be adding up.
    for (i64 l = 0; l < net->n_layers; ++l) {
        const Layer &layer = net->layers[l];
        T *mine = sums(rank, layer.sums);
        if (layer.kind == DENSE) std::fill_n(mine, layer.H, T(0));
        if (layer.kind == EMBEDDING) std::fill_n(mine, layer.dim, T(0));
    }
    each_piece([&](const Piece &piece) {
        if (!net->leaves[piece.leaf].decays) return;
        i64 H = piece.layer->kind == DENSE ? piece.layer->H : piece.layer->dim;
        T *mine = sums(rank, piece.layer->sums), *p = param(piece.leaf, piece.at);
        for (i64 i = 0; i < piece.size; i += H)
            for (i64 j = 0; j < H; ++j) mine[j] += p[i + j] * p[i + j];
    });
    wait();
    T limit = T(plan->max_norm);
    each_piece([&](const Piece &piece) {
        const Leaf &leaf = net->leaves[piece.leaf];
        if (!leaf.decays) return;
        i64 H = piece.layer->kind == DENSE ? piece.layer->H : piece.layer->dim;
        T *p = param(piece.leaf, piece.at), *scale = tile;
        total(scale, piece.layer->sums, H);
        for (i64 j = 0; j < H; ++j) scale[j] = limit / above(sqrt_(scale[j]), limit);
        for (i64 i = 0; i < piece.size; i += H)
            for (i64 j = 0; j < H; ++j) p[i + j] *= scale[j];
        if (leaf.ema) average(piece);
    });
}

// ---- A chunk of steps

// Whether rows follow each other: then they need no gathering.
static bool consecutive(const int32_t *rows, i64 n) {
    for (i64 i = 1; i < n; ++i)
        if (rows[i] != rows[0] + i) return false;
    return true;
}

static const i64 LINE = 64 / sizeof(T);  // of the cache

// Copy a row and fetch another meanwhile: rows that follow in any order come late by themselves.
static inline void copy_row(T *to, const T *row, const T *next, i64 size) {
    i64 j = 0;
    for (; j + LINE <= size; j += LINE) {
        PREFETCH(next + j);
        std::memcpy(to + j, row + j, LINE * sizeof(T));
    }
    std::memcpy(to + j, row + j, (size - j) * sizeof(T));
}

static double total_of(const double *parts, i64 n) {
    double total = 0;
    for (i64 i = 0; i < n; ++i) total += parts[i];
    return total;
}

// All steps of one member, by all threads of a team.
static void train_member(Worker &w, T *xs, T *ys, int32_t *codes) {
    double *values = w.parts + w.team->size, *penalties = values + w.team->size;
    const Training &t = *w.plan;
    i64 D = w.net->D, C = t.y_columns, K = t.K;
    for (i64 i = 0; i < t.B; ++i) {
        i64 at = i * K + w.member;
        T real = ((const T *)t.n_rows)[at];
        w.n = real > T(0) ? i64(std::min(real, T(w.N))) : 0;
        w.share = real / T(w.N);
        w.start = w.n * w.rank / w.team->size, w.stop = w.n * (w.rank + 1) / w.team->size;
        w.weights = (const T *)t.weights + at * w.N;
        w.key = t.key + at * 2;
        w.rate = ((const T *)t.rate)[at];
        w.decay = ((const T *)t.decay)[at];
        w.shrink = ((const T *)t.shrink)[at];
        const int32_t *rows = t.rows + at * w.N;
        const T *y = nullptr;
        const int32_t *code = nullptr;
        if (consecutive(rows, w.n)) {
            w.x = (const T *)t.x + i64(rows[0]) * D;
            if (C) y = (const T *)t.y + (i64(rows[0]) + w.start) * C;
            else code = (const int32_t *)t.y + rows[0] + w.start;
        } else {
            for (i64 r = w.start; r < w.stop; ++r) {
                const T *x = (const T *)t.x, *next = x + i64(rows[std::min(r + 2, w.stop - 1)]) * D;
                copy_row(xs + r * D, x + i64(rows[r]) * D, next, D);
                if (C) std::memcpy(ys + r * C, (const T *)t.y + i64(rows[r]) * C, C * sizeof(T));
                else codes[r] = ((const int32_t *)t.y)[rows[r]];
            }
            w.x = xs;
            if (C) y = ys + w.start * C;
            else code = codes + w.start;
        }
        w.forward(true);
        values[w.rank] = w.loss(y, code);
        w.backward();
        w.wait();
        if (w.rank == 0) ((T *)t.losses)[at] = T(total_of(values, w.team->size));
        penalties[w.rank] = w.descend();
        w.wait();
        if (w.rank == 0) ((T *)t.losses)[t.B * K + at] = T(total_of(penalties, w.team->size));
    }
}

// ---- What a call allocates: the buffers of one team

// As memory comes: nothing is read before it was written.
template <class A> static inline std::unique_ptr<A[]> raw(i64 n) { return std::unique_ptr<A[]>(new A[n]); }

struct Buffers {
    std::unique_ptr<T[]> outs, grads, sums, tiles, whole_grads, xs, ys;
    std::unique_ptr<int32_t[]> codes;
    std::unique_ptr<double[]> parts;
    i64 n_tile, n_grads = 0;

    Buffers(const Network &net, const Training *t, i64 N, i64 threads) {
        n_tile = 64;
        for (i64 l = 0; l < net.n_layers; ++l) {
            const Layer &layer = net.layers[l];
            i64 H = layer.kind == EMBEDDING ? layer.dim : layer.H;
            i64 rows = layer.kind == DENSE ? layer.D : layer.kind == EMBEDDING ? TILE : 2;
            if (!t) rows = 2;  // no gradient of weights is made
            n_tile = std::max(n_tile, std::max<i64>(2, std::min(TILE, rows)) * H + 64);
        }
        outs = raw<T>(net.width * N);
        sums = raw<T>(threads * net.n_sums);
        tiles = raw<T>(threads * n_tile);
        if (!t) return;
        parts = raw<double>(3 * threads);
        grads = raw<T>(net.width * N);
        xs = raw<T>(N * net.D);
        ys = raw<T>(N * t->y_columns);
        codes = raw<int32_t>(t->y_columns ? 0 : N);
        if (t->max_grad_norm > 0 || t->reduce) {
            for (i64 i = 0; i < net.n_leaves; ++i) n_grads += net.leaves[i].size;
            whole_grads = raw<T>(n_grads);
        }
    }

    Worker worker(Gemm blas, const Network &net, const Training *t, Team *team, i64 rank, i64 N) {
        Worker w = {};
        w.blas = blas, w.net = &net, w.plan = t, w.team = team, w.rank = rank, w.N = N;
        w.outs = outs.get(), w.grads = grads.get(), w.all_sums = sums.get();
        w.tile = tiles.get() + rank * n_tile, w.parts = parts.get();
        w.whole_grads = whole_grads.get();
        w.n_grads = n_grads;
        return w;
    }
};

static void train(Gemm blas, const Network &net, const Training &t, i64 threads) {
    if (t.K > 1) {  // each thread trains some of the members, by itself
        // A reduce must come to the members in the same order in every process.
        together(t.reduce ? 1 : std::min(t.K, threads), [&](i64 rank, Team &team) {
            Buffers own(net, &t, t.N, 1);
            Team alone;
            Worker w = own.worker(blas, net, &t, &alone, 0, t.N);
            for (w.member = rank; w.member < t.K; w.member += team.size)
                train_member(w, own.xs.get(), own.ys.get(), own.codes.get());
        });
        return;
    }
    Buffers shared(net, &t, t.N, threads);  // here: nothing below may throw
    together(threads, [&](i64 rank, Team &team) {
        Worker w = shared.worker(blas, net, &t, &team, rank, t.N);
        train_member(w, shared.xs.get(), shared.ys.get(), shared.codes.get());
    });
}

// Whether all numbers are finite: 0 times another is NaN.
static bool all_finite(const T *x, i64 size) {
    T total = 0;
    SUM(total) for (i64 i = 0; i < size; ++i) total += x[i] * T(0);
    return total == T(0);
}

// outputs (K, n, C) for x (n, D), or of each member its own (K, n, D). finite: whether all of x is.
static void predict(Gemm blas, const Network &net, const T *x, i64 x_stride, T *outputs, i64 n,
                    i64 K, i64 N, i64 threads, std::atomic<bool> &finite) {
    together(threads, [&](i64 rank, Team &team) {
        Buffers own(net, nullptr, N, 1);
        Team alone;
        Worker w = own.worker(blas, net, nullptr, &alone, 0, N);
        const Layer &last = net.layers[net.n_layers - 1];
        for (w.member = 0; w.member < K; ++w.member)
            for (i64 from = rank * N; from < n; from += team.size * N) {
                w.n = w.stop = std::min(N, n - from);
                w.x = x + w.member * x_stride + from * net.D;
                if (!all_finite(w.x, w.n * net.D)) finite = false;
                w.forward(false);
                std::memcpy(outputs + (w.member * n + from) * net.C, w.whole(w.outs, last.out),
                            w.n * net.C * sizeof(T));
            }
    });
}

// ---- For tests: one function over an array. c: of element_loss; d: its derivative.
static void elementwise(int what, int kind, i64 n, const T *a, const T *y, double c, T *out, T *d) {
    for (i64 i = 0; i < n; ++i) {
        switch (what) {
        case 0: out[i] = exp_(a[i]); break;
        case 1: out[i] = log_(a[i]); break;
        case 2: out[i] = log1p_(a[i]); break;
        case 3: out[i] = expm1_(a[i]); break;
        case 4: out[i] = tanh_(a[i]); break;
        case 5: out[i] = sigmoid(a[i]); break;
        case 6: out[i] = softplus(a[i]); break;
        case 7: out[i] = activation(kind, a[i]); break;
        case 8: out[i] = slope(kind, a[i]); break;
        default: out[i] = element_loss(kind, a[i], y[i], T(1), T(c), d + i);
        }
    }
}
