// The CUDA kernels of a training step. Compiled once for a pair of types, -DMASTER=... -DSTORED=...:
// T holds parameters, gradients and sums (float, double), S activations and what products read
// (T itself, or __nv_bfloat16).
//
// K members (blockIdx.z), N rows a batch, of which n from row `first` on are computed at once,
// D inputs, H units, C outputs, P parameters. Arrays are row-major. What reads the chunk's step
// number t takes that step's numbers from the plan, so that the same launch serves every step.
//
// Every block has 32 x 8 threads. Row kernels give a warp (threadIdx.y) a row and a thread W
// neighbours in it, so that a warp's loads are one piece of memory, and a row's sum needs shuffles
// only. Sums over rows go through shared memory within a block, and through `partial` in global
// memory between blocks, which the last block to finish adds. Their order is fixed: atomicAdd of
// floats would add in whatever order blocks run, and no two runs would be equal to the last bit.
//
// Shared memory is static and at most 4 KiB a block: it never bounds how many blocks run at once.
#ifdef BFLOAT16
#include <cuda_bf16.h>
#endif

typedef MASTER T;
typedef STORED S;

// A chunk of B steps. The host writes it once (program.py, `run`), `update` moves t on.
struct Chunk {
    const T *x;                      // (n_samples, D)
    const void *y;                   // (n_samples, C) of T, or class codes (n_samples) of int
    const int *rows;                 // (B, K, N)
    const T *weights;                // (B, K, N)
    const int *key;                  // (B, K, 2)
    const T *rate, *decay, *shrink;  // (B, K)
    T *losses;                       // (2, B, K): data loss, penalty
    long long B;                     // steps
    long long t;                     // this step
};

struct Dropout {  // of one layer: drops where the hash is below `limit`
    const Chunk *s;
    unsigned word;  // the layer's place, hashed
    int limit;      // 0: drops nothing
    T scale;
};

// ---- Numbers

__device__ __forceinline__ T load(float v) { return (T)v; }
__device__ __forceinline__ T load(double v) { return (T)v; }
__device__ __forceinline__ void store(float *p, T v) { *p = (float)v; }
__device__ __forceinline__ void store(double *p, T v) { *p = (double)v; }
#ifdef BFLOAT16
__device__ __forceinline__ T load(__nv_bfloat16 v) { return (T)__bfloat162float(v); }
__device__ __forceinline__ void store(__nv_bfloat16 *p, T v) { *p = __float2bfloat16((float)v); }
#endif

// ---- Packs of numbers

// W neighbours. Of T they are 16 bytes, which one instruction loads or stores.
enum { W = 16 / sizeof(T) };
template <class V> struct alignas(W * sizeof(V)) Pack {
    V at[W];
};

// The first n numbers from p on, at most W, and zeros. At once where p is aligned as a Pack is.
template <class V> __device__ __forceinline__ Pack<T> load_pack(const V *p, long long n) {
    Pack<T> v = {};
    if (n >= W && (size_t)p % sizeof(Pack<V>) == 0) {
        Pack<V> stored = *(const Pack<V> *)p;
        for (int e = 0; e < W; ++e) v.at[e] = load(stored.at[e]);
    } else {
        for (int e = 0; e < W; ++e)
            if (e < n) v.at[e] = load(p[e]);
    }
    return v;
}

template <class V> __device__ __forceinline__ void store_pack(V *p, const Pack<T> &v, long long n) {
    if (n >= W && (size_t)p % sizeof(Pack<V>) == 0) {
        Pack<V> stored;
        for (int e = 0; e < W; ++e) store(stored.at + e, v.at[e]);
        *(Pack<V> *)p = stored;
    } else {
        for (int e = 0; e < W; ++e)
            if (e < n) store(p + e, v.at[e]);
    }
}

// ---- The mathematics of one number, in CUDA's functions

#define INLINE __device__ __forceinline__
#define FUNCTION __device__ __noinline__
#define exp_ exp
#define log_ log
#define log1p_ log1p
#define expm1_ expm1
#define tanh_ tanh
#define erf_ erf
#define sqrt_ sqrt
#define abs_ fabs
#define pow_ pow
#include "../kernels/elementwise.h"

// What dropout multiplies an element with: 0 or the scale.
__device__ __forceinline__ T kept(const Dropout &drop, const int *key, unsigned element) {
    if (!drop.limit) return T(1);
    int bits = hashed(element, (unsigned)key[0] + drop.word, (unsigned)key[1] + drop.word);
    return bits >= drop.limit ? drop.scale : T(0);
}

__device__ __forceinline__ const int *key_of(const Dropout &drop) {
    return drop.limit ? drop.s->key + (drop.s->t * gridDim.z + blockIdx.z) * 2 : 0;
}

// ---- Sums

// Of all 32 threads of a warp, for all of them: halves are exchanged, so each adds the same pairs.
__device__ __forceinline__ T warp_sum(T v) {
    for (int i = 16; i; i >>= 1) v += __shfl_xor_sync(0xFFFFFFFFu, v, i);
    return v;
}

// A NaN may get lost here: the sum of exp over the row, which follows, has it.
__device__ __forceinline__ T warp_max(T v) {
    for (int i = 16; i; i >>= 1) {
        T other = __shfl_xor_sync(0xFFFFFFFFu, v, i);
        v = v > other ? v : other;
    }
    return v;
}

// The sum over a block of 32 x 8 threads, for all of them.
__device__ T block_sum(T v) {
    __shared__ T sums[8];
    v = warp_sum(v);
    __syncthreads();  // the call before may still be reading `sums`
    if (threadIdx.x == 0) sums[threadIdx.y] = v;
    __syncthreads();
    T total = T(0);
    for (int i = 0; i < 8; ++i) total += sums[i];
    return total;
}

// Whether this block is the last of `total` to come here; what the others wrote is then visible, as
// each fences its writes before it counts (CUDA's sample threadFenceReduction). The counter is back
// at 0 for the next launch: a replayed graph sets nothing.
__device__ bool last_block(unsigned *counter, unsigned total) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        last = atomicAdd(counter, 1u) == total - 1;
        if (last) *counter = 0;
    }
    __syncthreads();
    if (last) __threadfence();
    return last;
}

// The sum of `parts` (n), in a fixed order, by one block. volatile: other blocks wrote them during
// this kernel, so no copy in a register or the L1 cache will do.
__device__ T sum_of(const T *parts, int n) {
    T v = T(0);
    for (int i = threadIdx.y * 32 + threadIdx.x; i < n; i += 256) v += ((const volatile T *)parts)[i];
    return block_sum(v);
}

// ---- Kernels of a step

// x (K, n, D): the step's rows of the data, dropped out and rounded to S.
// grid: rows / 8, column splits, K
extern "C" __global__ void gather(const Chunk *s, S *x, int N, int n, int first, int D,
                                  unsigned word, int limit, T scale) {
    Dropout drop = {s, word, limit, scale};
    const int *key = key_of(drop);
    size_t i = (size_t)blockIdx.x * 8 + threadIdx.y, k = blockIdx.z;
    if (i >= n) return;
    size_t row = s->rows[(s->t * gridDim.z + k) * N + first + i];
    const T *__restrict__ from = s->x + row * D;
    S *__restrict__ to = x + (k * n + i) * D;
#pragma unroll 2  // two packs on their way from memory: the kernel waits for nothing else
    for (int j = (blockIdx.y * 32 + threadIdx.x) * W; j < D; j += 32 * W * gridDim.y) {
        Pack<T> v = load_pack(from + j, D - j);
        for (int e = 0; e < W; ++e)
            v.at[e] *= kept(drop, key, (unsigned)(first + i) * D + j + e);
        store_pack(to + j, v, D - j);
    }
}

// out = dropout(activation(z + b)); where z is another array it keeps what `slope` takes, z or a:
// a before its dropout, as the mask is drawn again on the way back.
// stride: from one member's b to the next's (null: no bias).
// grid: rows / 8, column splits, K
extern "C" __global__ void bias_act(const Chunk *s, S *z, S *out, const T *b, long long stride,
                                    int act, int keep_z, int n, int first, int H, unsigned word,
                                    int limit, T scale) {
    Dropout drop = {s, word, limit, scale};
    const int *key = key_of(drop);
    size_t i = (size_t)blockIdx.x * 8 + threadIdx.y, k = blockIdx.z;
    if (i >= n) return;
    bool keep = z != out;
    z += (k * n + i) * H;
    out += (k * n + i) * H;
    for (int j = (blockIdx.y * 32 + threadIdx.x) * W; j < H; j += 32 * W * gridDim.y) {
        Pack<T> v = load_pack(z + j, H - j), bias = {}, taken, a;
        if (b) bias = load_pack(b + k * stride + j, H - j);
        for (int e = 0; e < W; ++e) {
            v.at[e] += bias.at[e];
            a.at[e] = activation(act, v.at[e]);
            taken.at[e] = keep_z ? v.at[e] : a.at[e];
            a.at[e] *= kept(drop, key, (unsigned)(first + i) * H + j + e);
        }
        if (keep) store_pack(z + j, taken, H - j);
        store_pack(out + j, a, H - j);
    }
}

// z (K, n, C) becomes the gradient before the last activation, d = w dl/da slope; the step's data
// loss, sum w l, is set, or added to (first > 0). The formulas are those of nn/losses.py:
//   softmax: l = log(sum exp(v)) - sum y v of v = z - max z, d = w (exp(v) / sum exp(v) - y), in
//   three passes over the row (maximum, sums, gradient), which is in the cache after the first;
//   others: element by element, `element_loss`.
// The targets are read where the data lie: rows y of T, or class codes, whose y is 1 at the code.
// partial: (K, blocks), counters: (K).  grid: rows / 8, 1, K
extern "C" __global__ void loss_grad(Chunk *s, S *z, const T *b, long long stride, T *partial,
                                     unsigned *counters, int kind, int act, int keep_z, int N,
                                     int n, int first, int C) {
    size_t i = (size_t)blockIdx.x * 8 + threadIdx.y, k = blockIdx.z;
    bool valid = i < n;
    int last_column = valid ? C : 0;
    size_t at = valid ? (s->t * gridDim.z + k) * N + first + i : 0;
    T w = valid ? s->weights[at] : T(0);
    size_t row = valid ? s->rows[at] : 0;
    const T *y = (const T *)s->y + row * C;  // not read where the loss takes class codes
    int code = kind == CLASS_LOG_LOSS && valid ? ((const int *)s->y)[row] : -1;
    T value = T(0);
    z += (k * n + i) * C;
    b = b ? b + k * stride : 0;
    if (kind == LOG_LOSS || kind == CLASS_LOG_LOSS) {
        T top = T(-3e38), sum = T(0), dot = T(0);
        for (int j = threadIdx.x; j < last_column; j += 32) {
            T v = load(z[j]) + (b ? b[j] : T(0));
            top = v > top ? v : top;
        }
        top = warp_max(top);
        for (int j = threadIdx.x; j < last_column; j += 32) {
            T v = load(z[j]) + (b ? b[j] : T(0)) - top;
            sum += exp(v);
            dot += (kind == LOG_LOSS ? y[j] : T(j == code)) * v;
        }
        sum = warp_sum(sum);
        dot = warp_sum(dot);
        value = threadIdx.x ? T(0) : w * (log(sum) - dot);
        for (int j = threadIdx.x; j < last_column; j += 32) {
            T e = exp(load(z[j]) + (b ? b[j] : T(0)) - top);
            store(z + j, w * (e / sum - (kind == LOG_LOSS ? y[j] : T(j == code))));
        }
    } else {
        for (int j = threadIdx.x; j < last_column; j += 32) {
            T v = load(z[j]) + (b ? b[j] : T(0)), a = activation(act, v), d;
            value += element_loss(kind, a, y[j], w, T(0), &d);
            store(z + j, d * slope(act, keep_z ? v : a));
        }
    }
    value = block_sum(valid ? value : T(0));
    if (threadIdx.x == 0 && threadIdx.y == 0) partial[k * gridDim.x + blockIdx.x] = value;
    if (!last_block(counters + k, gridDim.x)) return;
    T total = sum_of(partial + k * gridDim.x, gridDim.x);
    if (threadIdx.x == 0 && threadIdx.y == 0) {
        T *to = s->losses + s->t * gridDim.z + k;
        *to = first ? *to + total : total;
    }
}

// d (K, n, H), the gradient of a layer's outputs, becomes that before its dropout and activation,
// d * mask * slope (`aux` holds what `slope` takes; null: d stays), and db (H) of each member the
// column sums (null: none), set or added to.  partial: (K, grid.y, H), counters: (K, grid.x).
// A block sums its share of the rows for 32 columns: each thread in registers, 8 W threads a column
// then in shared memory (4 KiB: W numbers are 16 bytes). Among the blocks of a column tile the last
// adds their sums, split by split.
// grid: columns / 32, row splits, K
extern "C" __global__ void dact_colsum(const Chunk *s, S *d, const S *aux, T *db,
                                       long long stride, T *partial, unsigned *counters, int act,
                                       int n, int first, int H, unsigned word, int limit, T scale) {
    alignas(16) __shared__ T sums[8 * W][32];
    Dropout drop = {s, word, limit, scale};
    const int *key = key_of(drop);
    // Here a warp takes W rows of the tile's 32 columns at once.
    int row = threadIdx.y * W + threadIdx.x / (32 / W), column = threadIdx.x % (32 / W) * W;
    int j = blockIdx.x * 32 + column;
    size_t k = blockIdx.z;
    Pack<T> sum = {};
    if (j < H)
        for (size_t i = blockIdx.y * 8 * W + row; i < n; i += 8 * W * gridDim.y) {
            size_t at = (k * n + i) * H + j;
            Pack<T> v = load_pack(d + at, H - j);
            if (aux) {
                Pack<T> a = load_pack(aux + at, H - j);
                for (int e = 0; e < W; ++e)
                    v.at[e] = v.at[e] * kept(drop, key, (unsigned)(first + i) * H + j + e) *
                              slope(act, a.at[e]);
                store_pack(d + at, v, H - j);
            }
            for (int e = 0; e < W; ++e) sum.at[e] += v.at[e];
        }
    if (!db) return;
    store_pack(&sums[row][column], sum, W);
    __syncthreads();
    j = blockIdx.x * 32 + threadIdx.x;
    if (threadIdx.y == 0 && j < H) {
        T total = sums[0][threadIdx.x];
        for (int i = 1; i < 8 * W; ++i) total += sums[i][threadIdx.x];
        partial[(k * gridDim.y + blockIdx.y) * H + j] = total;
    }
    if (!last_block(counters + k * gridDim.x + blockIdx.x, gridDim.y)) return;
    if (threadIdx.y == 0 && j < H) {
        T total = first ? db[k * stride + j] : T(0);
        for (int i = 0; i < gridDim.y; ++i)
            total += ((const volatile T *)partial)[(k * gridDim.y + i) * H + j];
        db[k * stride + j] = total;
    }
}

// ---- Update rules

__device__ __forceinline__ long long thread_of() {
    return blockIdx.x * 256LL + threadIdx.y * 32 + threadIdx.x;
}

// Blocks of 256 threads that a multiprocessor shall hold at once: the compiler keeps to so few
// registers a thread (65536 / (256 BLOCKS)). These kernels do little but wait for memory, which more
// blocks hide; `most_blocks` of kernels.py launches five.
enum { BLOCKS = sizeof(T) == 4 ? 5 : 3 };

__device__ __forceinline__ long long packs_of(long long n) { return (n + W - 1) / W; }

// The whole update, penalty included, of all parameters: K x Pw weights, then K x Pb offsets. Of
// weights the gradient gets decay p first, and the penalty is decay / 2 sum p^2 of the p before the
// update; decoupled decay (AdamW) takes shrink p off p before the rule.
// Sets the step's penalty and goes on to the next step.  Without u or v the rule has no such slot;
// with `shadow` it gets the new parameters as products read them.
// partial: (K, blocks), counters: (K + 1), the last for the members that are through.
// grid: blocks, 1, K
extern "C" __global__ void __launch_bounds__(256, BLOCKS)
update(Chunk *s, T *p, const T *__restrict__ g, T *u, T *v, S *shadow, T *partial,
       unsigned *counters, long long Pw, long long Pb, int rule, int penalised, int decoupled, T c,
       T c1, T d, T d1, T epsilon) {
    long long k = blockIdx.z, K = gridDim.z, t = s->t * K + k;
    T rate = s->rate[t], decay = s->decay[t], shrink = s->shrink[t], squares = T(0);
    long long packs = packs_of(Pw);  // of weights, then those of offsets
    for (long long i = thread_of(); i < packs + packs_of(Pb); i += 256LL * gridDim.x) {
        bool weight = i < packs;
        long long from = (weight ? i : i - packs) * W, n = (weight ? Pw : Pb) - from;
        long long at = from + (weight ? k * Pw : K * Pw + k * Pb);
        // All are loaded before any is stored: else each would wait for the one before.
        Pack<T> now = load_pack(p + at, n), grad = load_pack(g + at, n), a = {}, b = {};
        if (u) a = load_pack(u + at, n);
        if (v) b = load_pack(v + at, n);
        for (int e = 0; e < W; ++e) {
            if (weight && penalised) {
                T shrunk = decay * now.at[e];
                squares += shrunk * now.at[e];
                grad.at[e] += shrunk;
            }
            if (weight && decoupled) now.at[e] -= shrink * now.at[e];
            now.at[e] = rule_step(rule, now.at[e], grad.at[e], rate, a.at + e, b.at + e, c, c1, d,
                                  d1, epsilon);
        }
        store_pack(p + at, now, n);
        if (u) store_pack(u + at, a, n);
        if (v) store_pack(v + at, b, n);
        if (shadow) store_pack(shadow + at, now, n);
    }
    squares = block_sum(squares);
    if (threadIdx.x == 0 && threadIdx.y == 0) partial[k * gridDim.x + blockIdx.x] = squares;
    if (!last_block(counters + k, gridDim.x)) return;
    T total = sum_of(partial + k * gridDim.x, gridDim.x);
    if (threadIdx.x == 0 && threadIdx.y == 0) s->losses[(s->B + s->t) * K + k] = T(0.5) * total;
    // Of a member only its last block comes here, so all blocks of all members have read t.
    if (last_block(counters + K, K) && threadIdx.x == 0 && threadIdx.y == 0) s->t += 1;
}

// shadow (n): the parameters as products read them.  grid: blocks
extern "C" __global__ void cast(S *shadow, const T *p, long long n) {
    for (long long i = thread_of() * W; i < n; i += 256LL * W * gridDim.x)
        store_pack(shadow + i, load_pack(p + i, n - i), n - i);
}

// ---- The same for networks that are no plain chain: one array at a time

// One leaf (K, P) after the rule; rate: (K) or one for all.  grid: blocks, 1, K
extern "C" __global__ void __launch_bounds__(256, BLOCKS)
apply_rule(T *p, const T *g, T *u, T *v, const T *rate, int rates, long long P, int rule, T c, T c1,
           T d, T d1, T epsilon) {
    T own = rate[rates > 1 ? blockIdx.z : 0];
    for (long long i = thread_of() * W; i < P; i += 256LL * W * gridDim.x) {
        long long at = blockIdx.z * P + i, n = P - i;
        Pack<T> now = load_pack(p + at, n), grad = load_pack(g + at, n), a = {}, b = {};
        if (u) a = load_pack(u + at, n);
        if (v) b = load_pack(v + at, n);
        for (int e = 0; e < W; ++e)
            now.at[e] = rule_step(rule, now.at[e], grad.at[e], own, a.at + e, b.at + e, c, c1, d,
                                  d1, epsilon);
        store_pack(p + at, now, n);
        if (u) store_pack(u + at, a, n);
        if (v) store_pack(v + at, b, n);
    }
}

// bits (K, n) of keys (K, 2).  grid: blocks, 1, K
extern "C" __global__ void random_bits(int *bits, const int *key, long long n, long long first) {
    key += blockIdx.z * 2;
    bits += blockIdx.z * n;
    for (long long i = thread_of(); i < n; i += 256LL * gridDim.x)
        bits[i] = hashed((unsigned)(first + i), (unsigned)key[0], (unsigned)key[1]);
}
