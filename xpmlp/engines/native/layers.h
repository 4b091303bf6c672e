// The layers of a chain on a thread's share of a batch's rows: forward and backward side by side.
// Included once for float, once for double. n rows; arrays are row-major.

// f(kind) with the kind a constant, so that each loop is compiled for one activation.
template <class F> static inline void with_activation(i64 kind, F f) {
    switch (kind) {
#define CASE(k) case k: f(std::integral_constant<int, k>()); break;
    CASE(LOGISTIC) CASE(TANH) CASE(RELU) CASE(LEAKY_RELU) CASE(ELU) CASE(SELU) CASE(GELU)
    CASE(GELU_TANH) CASE(SILU) CASE(MISH) CASE(SOFTPLUS) CASE(SOFTSIGN) CASE(HARD_TANH)
#undef CASE
    }
}

static void add_offsets(T *__restrict z, const T *__restrict b, i64 n, i64 H, T *__restrict tile) {
    // Narrow offsets are repeated, so that the loop is long enough for vector code.
    i64 repeats = std::max<i64>(1, std::min(n, 64 / H)), wide = repeats * H;
    if (repeats > 1) {
        for (i64 i = 0; i < wide; ++i) tile[i] = b[i % H];
        b = tile;
    }
    i64 at = 0;
    for (; at + wide <= n * H; at += wide)
        for (i64 j = 0; j < wide; ++j) z[at + j] += b[j];
    for (i64 j = 0; at + j < n * H; ++j) z[at + j] += b[j];
}

// a = activation(z), in z's place; aux, where it is not null, keeps z.
static void activate(i64 kind, T *__restrict z, T *__restrict aux, i64 size) {
    if (aux) std::memcpy(aux, z, size * sizeof(T));
    with_activation(kind, [&](auto k) {
        for (i64 i = 0; i < size; ++i) z[i] = activation(k, z[i]);
    });
}

// d *= activation'; v: z or a, as `slope_needs_z` says.
static void activate_backward(i64 kind, T *__restrict d, const T *__restrict v, i64 size) {
    with_activation(kind, [&](auto k) {
        for (i64 i = 0; i < size; ++i) d[i] *= slope(k, v[i]);
    });
}

// y = x with elements dropped. first: the number of x[0] in the batch.
static void drop(const T *x, T *y, i64 size, i64 first, const int32_t *key, const Layer &layer) {
    unsigned k0 = unsigned(key[0]) + unsigned(layer.word), k1 = unsigned(key[1]) + unsigned(layer.word);
    unsigned start = unsigned(first);
    int limit = int(layer.limit);
    T scale = T(layer.scale);
    for (i64 i = 0; i < size; ++i)
        y[i] = x[i] * (hashed(start + unsigned(i), k0, k1) >= limit ? scale : T(0));
}

// ---- Embedding: x (n, D), the last columns are codes; E (S, dim)

// Rounds halves to even, as NumPy does. start is added as an integer: float counts to 2^24 only.
static inline i64 row_of(T code, i64 start, i64 stop) {
    T row = std::nearbyint(code);
    return row >= T(0) && row < T(stop - start) ? start + i64(row) : -1;
}

static void embed(const Layer &layer, const T *x, const T *E, T *out, i64 n) {
    i64 k = layer.n_codes, dim = layer.dim, first = layer.D - k;
    for (i64 i = 0; i < n; ++i, x += layer.D, out += layer.H) {
        std::memcpy(out, x, first * sizeof(T));
        for (i64 c = 0; c < k; ++c) {
            i64 row = row_of(x[first + c], layer.starts[c], layer.starts[c + 1]);
            T *to = out + first + c * dim;
            if (row < 0) std::memset(to, 0, dim * sizeof(T));
            else std::memcpy(to, E + row * dim, dim * sizeof(T));
        }
    }
}

// g (stop - start, dim) = the gradient of those rows of E. d: (n, H)
static void embed_backward(const Layer &layer, const T *x, const T *d, T *g, i64 n, i64 start,
                           i64 stop) {
    i64 k = layer.n_codes, dim = layer.dim, first = layer.D - k;
    std::memset(g, 0, (stop - start) * dim * sizeof(T));
    for (i64 c = 0; c < k; ++c)
        for (i64 i = 0; i < n; ++i) {
            i64 row = row_of(x[i * layer.D + first + c], layer.starts[c], layer.starts[c + 1]);
            if (row < start || row >= stop) continue;
            T *to = g + (row - start) * dim;
            const T *from = d + i * layer.H + first + c * dim;
            for (i64 j = 0; j < dim; ++j) to[j] += from[j];
        }
}

// ---- Normalization of rows. aux: h (n, D), x normalised; s (n): what it was multiplied with.

static void normalise_rows(const Layer &layer, const T *x, const T *g, const T *b, T *out, T *h,
                           T *s, i64 n) {
    i64 D = layer.D;
    for (i64 i = 0; i < n; ++i, x += D, h += D, out += D) {
        T mean = 0, squares = 0;
        if (layer.kind == LAYER_NORM) {
            SUM(mean) for (i64 j = 0; j < D; ++j) mean += x[j];
            mean /= T(D);
        }
        SUM(squares) for (i64 j = 0; j < D; ++j) squares += (x[j] - mean) * (x[j] - mean);
        s[i] = T(1) / sqrt_(squares / T(D) + T(layer.epsilon));
        for (i64 j = 0; j < D; ++j) {
            h[j] = (x[j] - mean) * s[i];
            out[j] = g[j] * h[j] + (b ? b[j] : T(0));
        }
    }
}

// dx = s (dh - mean(dh) - h mean(dh h)), dh = g dy; RMS_NORM without the first mean.
static void normalise_rows_backward(const Layer &layer, const T *dy, const T *g, const T *h,
                                    const T *s, T *dx, i64 n) {
    i64 D = layer.D;
    for (i64 i = 0; i < n; ++i, dy += D, h += D, dx += D) {
        T mean = 0, slope = 0;
        SUM(slope) for (i64 j = 0; j < D; ++j) slope += g[j] * dy[j] * h[j];
        slope /= T(D);
        if (layer.kind == LAYER_NORM) {
            SUM(mean) for (i64 j = 0; j < D; ++j) mean += g[j] * dy[j];
            mean /= T(D);
        }
        for (i64 j = 0; j < D; ++j) dx[j] = s[i] * (g[j] * dy[j] - mean - h[j] * slope);
    }
}
