// Matrix products: a BLAS called at its address, small ones in plain loops. All row-major.
// Included once for float, once for double.

static const i64 FEW = 4;      // rows: up to here BLAS takes longer to copy W than to multiply it
static const i64 SMALL = 400;  // multiplications: below, plain loops are faster than the call

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

// out (rows, H) = x (rows, D) @ W (D, H)
static void product(Gemm blas, const T *x, const T *W, T *out, i64 rows, i64 D, i64 H) {
    if (is_narrow(D, H)) {
        with_shape(H, D, [&](auto width, auto fixed) {
            narrow_product<width, fixed>(x, W, out, rows, D);
        });
        return;
    }
    if (rows > FEW && rows * D * H > SMALL) gemm(blas, 'N', 'N', H, rows, D, W, H, x, D, out, H);
    else few_rows(x, W, out, rows, D, H);
}

// out (rows, D) = d (rows, H) @ W.T
static void product_backward(Gemm blas, const T *d, const T *W, T *out, i64 rows, i64 D, i64 H) {
    if (H == 1) {  // an outer product, of which BLAS makes a slow one
        for (i64 i = 0; i < rows; ++i)
            for (i64 k = 0; k < D; ++k) out[i * D + k] = d[i] * W[k];
        return;
    }
    if (is_narrow(D, H)) {
        with_width(H, [&](auto width) { narrow_backward<width>(d, W, out, rows, D); });
        return;
    }
    if (rows * D * H > SMALL) {
        gemm(blas, 'T', 'N', D, rows, H, W, H, d, H, out, D);
        return;
    }
    for (i64 i = 0; i < rows; ++i)
        for (i64 k = 0; k < D; ++k) {
            T total = 0;
            for (i64 j = 0; j < H; ++j) total += d[i * H + j] * W[k * H + j];
            out[i * D + k] = total;
        }
}

// out (wide, H) = x[:, :wide].T @ d. x: (rows, D), d: (rows, H)
static void product_weights(Gemm blas, const T *x, const T *d, T *out, i64 rows, i64 D, i64 H,
                            i64 wide) {
    if (is_narrow(D, H)) {
        with_shape(H, D, [&](auto width, auto fixed) {
            narrow_weights<width, fixed>(x, d, out, rows, D, wide);
        });
        return;
    }
    if (rows * wide * H > SMALL) {
        gemm(blas, 'N', 'T', H, wide, rows, d, H, x, D, out, H);
        return;
    }
    for (i64 at = 0; at < wide * H; ++at) out[at] = 0;
    for (i64 i = 0; i < rows; ++i)
        for (i64 k = 0; k < wide; ++k)
            for (i64 j = 0; j < H; ++j) out[k * H + j] += x[i * D + k] * d[i * H + j];
}

// out (wide) = the sums over the rows of wide columns of d (rows, H)
static void column_sums(const T *d, T *__restrict out, i64 rows, i64 H, i64 wide) {
    if (wide == H && H <= NARROW) {  // as the gradient of one column of weights, for x of 1
        with_width(H, [&](auto width) {
            T sum[ROWS][width] = {};
            i64 i = 0;
            for (; i + ROWS <= rows; i += ROWS)
                for (int r = 0; r < ROWS; ++r)
                    for (int j = 0; j < width; ++j) sum[r][j] += d[(i + r) * width + j];
            for (; i < rows; ++i)
                for (int j = 0; j < width; ++j) sum[0][j] += d[i * width + j];
            for (int j = 0; j < width; ++j)
                out[j] = (sum[0][j] + sum[1][j]) + (sum[2][j] + sum[3][j]);
        });
        return;
    }
    for (i64 j = 0; j < wide; ++j) out[j] = 0;
    for (i64 i = 0; i < rows; ++i)
        for (i64 j = 0; j < wide; ++j) out[j] += d[i * H + j];
}
