// Matrix products: large ones by a BLAS, called at its address, the others by our own loops, as a
// BLAS gains its speed on large ones only. All row-major. Included once for float, once for double.

#ifdef __GNUC__  // several numbers, with operators of their own
typedef T Vector __attribute__((vector_size(VECTOR_BYTES)));
typedef T Elements __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(T)), may_alias));
#else
typedef T Vector;
typedef T Elements;
#endif
static const int LANES = sizeof(Vector) / sizeof(T);

// Multiplications of a whole batch up to which our own loops are as fast as OpenBLAS or faster, on
// x86; elsewhere untried. None where there are no vectors. What multiplies is chosen by the batch,
// not by the rows that a thread has of it: so the number of threads changes no bit of an element
// that all of them sum in the same order.
static const i64 OWN = LANES > 1 ? 5'000'000 : 0;
static const i64 FEW = 4;  // rows: up to here to copy W takes longer than to multiply it
static const i64 TILE = 256;  // rows of weights whose gradient is made, and used up while in the cache

static inline void gemm(Gemm blas, char ta, char tb, i64 m, i64 n, i64 k, const T *a, i64 lda,
                        const T *b, i64 ldb, T *c, i64 ldc) {
    const T one = 1, zero = 0;
    blas(&ta, &tb, &m, &n, &k, &one, a, &lda, b, &ldb, &zero, c, &ldc);
}

// ---- Narrow layers: BLAS is slow where H is less than a vector register or two. H is a constant in
// each of these loops, as D is up to 4 (FIXED; else that is 0), which makes them five times as fast.
// Sums run in ROWS accumulators, since each addition waits for the one before.

static const i64 NARROW = 8, NARROW_D = 16;  // H and D up to which these are faster
static const int ROWS = 4;

template <int H, int FIXED>
static void narrow_product(const T *x, const T *W, T *__restrict out, i64 rows, i64 depth) {
    const i64 D = FIXED ? FIXED : depth;
    for (i64 i = 0; i < rows; ++i) {
        T sum[H] = {};
        for (i64 k = 0; k < D; ++k)
            for (int j = 0; j < H; ++j) sum[j] += x[i * D + k] * W[k * H + j];
        for (int j = 0; j < H; ++j) out[i * H + j] = sum[j];
    }
}

template <int H>
static void narrow_backward(const T *d, const T *W, T *__restrict out, i64 rows, i64 D) {
    for (i64 i = 0; i < rows; ++i)
        for (i64 k = 0; k < D; ++k) {
            T sum = 0;
            for (int j = 0; j < H; ++j) sum += d[i * H + j] * W[k * H + j];
            out[i * D + k] = sum;
        }
}

template <int H, int FIXED>
static void narrow_weights(const T *x, const T *d, T *__restrict out, i64 rows, i64 depth,
                           i64 wide) {
    const i64 D = FIXED ? FIXED : depth;
    for (i64 k = 0; k < wide; ++k) {
        T sum[ROWS][H] = {};
        i64 i = 0;
        for (; i + ROWS <= rows; i += ROWS)
            for (int r = 0; r < ROWS; ++r)
                for (int j = 0; j < H; ++j) sum[r][j] += x[(i + r) * D + k] * d[(i + r) * H + j];
        for (; i < rows; ++i)
            for (int j = 0; j < H; ++j) sum[0][j] += x[i * D + k] * d[i * H + j];
        for (int j = 0; j < H; ++j)
            out[k * H + j] = (sum[0][j] + sum[1][j]) + (sum[2][j] + sum[3][j]);
    }
}

// f(H) with H a constant, for H up to NARROW.
template <class F> static inline void with_width(i64 H, F f) {
    switch (H) {
#define CASE(n) case n: f(std::integral_constant<int, n>()); break;
    CASE(1) CASE(2) CASE(3) CASE(4) CASE(5) CASE(6) CASE(7) CASE(8)
#undef CASE
    }
}

// f(H, D) with both constants, D as FIXED is.
template <class F> static inline void with_shape(i64 H, i64 D, F f) {
    with_width(H, [&](auto width) {
        switch (D) {
#define CASE(n) case n: f(width, std::integral_constant<int, n>()); break;
        CASE(1) CASE(2) CASE(3) CASE(4)
#undef CASE
        default: f(width, std::integral_constant<int, 0>());
        }
    });
}

static inline bool is_narrow(i64 D, i64 H) { return H <= NARROW && D <= NARROW_D; }

// A few rows @ W (D, H): W is read once, four rows of it at a time. BLAS would copy it first.
static void few_rows(const T *x, const T *W, T *__restrict out, i64 rows, i64 D, i64 H) {
    std::fill_n(out, rows * H, T(0));
    i64 k = 0;
    for (; k + 4 <= D; k += 4)
        for (i64 i = 0; i < rows; ++i) {
            const T *a = x + i * D + k, *w = W + k * H;
            T *__restrict z = out + i * H;
            for (i64 j = 0; j < H; ++j)
                z[j] += (a[0] * w[j] + a[1] * w[H + j]) + (a[2] * w[2 * H + j] + a[3] * w[3 * H + j]);
        }
    for (; k < D; ++k)
        for (i64 i = 0; i < rows; ++i)
            for (i64 j = 0; j < H; ++j) out[i * H + j] += x[i * D + k] * W[k * H + j];
}

// ---- Others: blocks of ROWS_AT_ONCE rows and VECTORS vectors of columns, which stay in registers
// while the sums run over k (Goto & van de Geijn 2008, Anatomy of high-performance matrix
// multiplication). Each element is summed in the order of k wherever it stands, so threads, which
// have some of the rows each, change no bit.

static const int VECTORS = 2, PANEL = VECTORS * LANES;
static const int ROWS_AT_ONCE = VECTOR_BYTES == 64 ? 8 : 6;
static const i64 DEPTH = 16384 / sizeof(T) / PANEL;  // rows of B that fill half of a first cache

// to (n) = from (n), n < MOST
template <int MOST> INLINE void copy_few(T *__restrict to, const T *__restrict from, i64 n) {
    if constexpr (MOST > 1) {
        constexpr int half = MOST / 2;
        if (n & half) {
            std::memcpy(to, from, half * sizeof(T));
            to += half, from += half;
        }
        copy_few<half>(to, from, n);
    }
}

// C (R, columns) = or += A (R, k) @ B (k, N vectors), for columns up to N vectors
// A[i][p] stands at a[i * row + p * step].
template <int R, int N>
APART void block(i64 k, const T *__restrict a, i64 row, i64 step, const T *__restrict b, i64 ldb,
                  T *__restrict c, i64 ldc, bool add, i64 columns) {
    Vector sums[R][N] = {};
    for (i64 p = 0; p < k; ++p, a += step, b += ldb) {
        Vector of_b[N];
        UNROLL for (int v = 0; v < N; ++v) of_b[v] = *(const Elements *)(b + v * LANES);
        UNROLL for (int r = 0; r < R; ++r)
            UNROLL for (int v = 0; v < N; ++v) sums[r][v] += a[r * row] * of_b[v];
    }
    T edge[N * LANES] = {};
    bool whole = columns == N * LANES;
    UNROLL for (int r = 0; r < R; ++r) {
        T *to = whole ? c + r * ldc : edge;
        if (add && !whole) copy_few<N * LANES>(edge, c + r * ldc, columns);
        UNROLL for (int v = 0; v < N; ++v) {
            Elements *at = (Elements *)(to + v * LANES);
            *at = add ? *at + sums[r][v] : sums[r][v];
        }
        if (!whole) copy_few<N * LANES>(c + r * ldc, edge, columns);
    }
}

// block with as many rows as there are, at most R
template <int R, int N, class... Others> static inline void block_of(i64 rows, Others... others) {
    if (rows >= R) return block<R, N>(others...);
    if constexpr (R > 1) block_of<R - 1, N>(rows, others...);
}

// How wide a panel of so many columns is.
static inline i64 wide_for(i64 columns) { return columns > LANES ? PANEL : LANES; }

// packed (k, wide) = columns of B (k, n) or, of_rows, of B.T, B (n, k)
static void pack(const T *b, i64 ldb, bool of_rows, i64 k, i64 columns, T *__restrict packed) {
    i64 wide = wide_for(columns);
    for (i64 p = 0; p < k; ++p, packed += wide)
        if (columns == PANEL && !of_rows) {
            std::memcpy(packed, b + p * ldb, PANEL * sizeof(T));
        } else {
            *(Elements *)(packed + wide - LANES) = Vector{};  // where there are fewer columns
            if (of_rows) for (i64 j = 0; j < columns; ++j) packed[j] = b[j * ldb + p];
            else copy_few<PANEL>(packed, b + p * ldb, columns);
        }
}

// C (m, n) = A (m, k) @ B. A: (m, k), or A.T: of_columns, (k, m); B: (k, n), or B.T: of_rows, (n, k)
static void multiply(i64 m, i64 n, i64 k, const T *a, i64 lda, bool of_columns, const T *b, i64 ldb,
                     bool of_rows, T *c, i64 ldc) {
    alignas(64) T packed[DEPTH * PANEL];
    i64 row = of_columns ? 1 : lda, step = of_columns ? lda : 1;
    i64 from = 0;
    do  // once at least: the sum of nothing is 0
        for (i64 j = 0; j < n; j += PANEL) {
            i64 depth = std::min(DEPTH, k - from), columns = std::min<i64>(PANEL, n - j);
            i64 wide = wide_for(columns);
            const T *some = of_rows ? b + j * ldb + from : b + from * ldb + j;
            bool in_place = !of_rows && columns == wide && m <= 2 * ROWS_AT_ONCE;
            if (!in_place) pack(some, ldb, of_rows, depth, columns, packed);
            const T *here = in_place ? some : packed;
            i64 ld = in_place ? ldb : wide;
            auto blocks = [&](auto vectors) {
                for (i64 i = 0; i < m; i += ROWS_AT_ONCE)
                    block_of<ROWS_AT_ONCE, vectors>(m - i, depth, a + i * row + from * step, row, step,
                                                    here, ld, c + i * ldc + j, ldc, from > 0, columns);
            };
            if (columns > LANES) blocks(std::integral_constant<int, VECTORS>());
            else blocks(std::integral_constant<int, 1>());
        }
    while ((from += DEPTH) < k);
}

// out (rows, H) = x (rows, D) @ W (D, H), for some of a batch's rows
static void product(Gemm blas, const T *x, const T *W, T *out, i64 rows, i64 batch, i64 D, i64 H) {
    if (is_narrow(D, H)) {
        with_shape(H, D, [&](auto width, auto fixed) {
            narrow_product<width, fixed>(x, W, out, rows, D);
        });
    } else if (H == 1) {
        for (i64 i = 0; i < rows; ++i) {
            T sum = 0;
            SUM(sum) for (i64 k = 0; k < D; ++k) sum += x[i * D + k] * W[k];
            out[i] = sum;
        }
    } else if (batch <= FEW) {
        few_rows(x, W, out, rows, D, H);
    } else if (batch * D * H <= OWN) {
        multiply(rows, H, D, x, D, false, W, H, false, out, H);
    } else {
        gemm(blas, 'N', 'N', H, rows, D, W, H, x, D, out, H);
    }
}

// out (rows, D) = d (rows, H) @ W.T, for some of a batch's rows
static void product_backward(Gemm blas, const T *d, const T *W, T *out, i64 rows, i64 batch, i64 D,
                             i64 H) {
    if (H == 1 && D <= NARROW) {
        with_width(D, [&](auto width) {
            for (i64 i = 0; i < rows; ++i)
                for (int k = 0; k < width; ++k) out[i * width + k] = d[i] * W[k];
        });
    } else if (H == 1) {
        for (i64 i = 0; i < rows; ++i)
            for (i64 k = 0; k < D; ++k) out[i * D + k] = d[i] * W[k];
    } else if (is_narrow(D, H)) {
        with_width(H, [&](auto width) { narrow_backward<width>(d, W, out, rows, D); });
    } else if (batch * D * H <= OWN) {
        multiply(rows, D, H, d, H, false, W, H, true, out, D);
    } else {
        gemm(blas, 'T', 'N', D, rows, H, W, H, d, H, out, D);
    }
}

// out (wide, H) = x[:, :wide].T @ d. x: (rows, D), d: (rows, H)
static void product_weights(Gemm blas, const T *x, const T *d, T *out, i64 rows, i64 D, i64 H,
                            i64 wide) {
    if (H == 1 && D <= NARROW && wide == D) {  // the same numbers as d.T @ x
        with_width(D, [&](auto width) { narrow_weights<width, 1>(d, x, out, rows, 1, 1); });
    } else if (is_narrow(D, H)) {
        with_shape(H, D, [&](auto width, auto fixed) {
            narrow_weights<width, fixed>(x, d, out, rows, D, wide);
        });
    } else if (H == 1) {
        for (i64 k = 0; k < wide; ++k) out[k] = 0;
        for (i64 i = 0; i < rows; ++i)
            for (i64 k = 0; k < wide; ++k) out[k] += x[i * D + k] * d[i];
    } else if (rows * std::min(TILE, D) * H <= OWN) {
        multiply(wide, H, rows, x, D, true, d, H, false, out, H);
    } else {
        gemm(blas, 'N', 'T', H, wide, rows, d, H, x, D, out, H);
    }
}

// out (wide) = the sums over the rows of wide columns of d (rows, H)
static void column_sums(const T *d, T *__restrict out, i64 rows, i64 H, i64 wide) {
    if (H <= NARROW) {  // as the gradient of one column of weights, for x of 1
        with_width(wide, [&](auto width) {
            T sum[ROWS][width] = {};
            i64 i = 0;
            for (; i + ROWS <= rows; i += ROWS)
                for (int r = 0; r < ROWS; ++r)
                    for (int j = 0; j < width; ++j) sum[r][j] += d[(i + r) * H + j];
            for (; i < rows; ++i)
                for (int j = 0; j < width; ++j) sum[0][j] += d[i * H + j];
            for (int j = 0; j < width; ++j)
                out[j] = (sum[0][j] + sum[1][j]) + (sum[2][j] + sum[3][j]);
        });
        return;
    }
    for (i64 j = 0; j < wide; ++j) out[j] = 0;
    for (i64 i = 0; i < rows; ++i)
        for (i64 j = 0; j < wide; ++j) out[j] += d[i * H + j];
}
