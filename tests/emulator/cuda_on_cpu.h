// CUDA's words for g++. A launch runs its blocks one after the other on one thread of the CPU; the
// threads of a block are fibers, which change where they wait for each other. kernels.py compiles
// kernels behind this header.
#pragma once
#include <csetjmp>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/mman.h>
#include <type_traits>
#include <ucontext.h>
#include <utility>

// ---- Words

#define __CUDACC__ 1
#define __CUDACC_RTC__ 1
#define __global__
#define __device__
#define __host__
#define __constant__ static
#define __forceinline__ inline __attribute__((always_inline))
#define __noinline__ __attribute__((noinline))
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
// Variables of a section of their own: they lie side by side, and are poisoned before each block.
#define __shared__ static __attribute__((section("cuda_shared")))
#undef assert
#define assert(condition) ((condition) ? (void)0 : cuda_on_cpu::fail("assertion failed: " #condition))

struct uint3 { unsigned x, y, z; };
struct dim3 { unsigned x = 1, y = 1, z = 1; };
#define CUDA_VECTOR(T, name)                                                                       \
    struct alignas(2 * sizeof(T)) name##2 { T x, y; };                                             \
    struct alignas(4 * sizeof(T) < 16 ? 4 * sizeof(T) : 16) name##4 { T x, y, z, w; };             \
    static inline name##2 make_##name##2(T x, T y) { return {x, y}; }                              \
    static inline name##4 make_##name##4(T x, T y, T z, T w) { return {x, y, z, w}; }
CUDA_VECTOR(float, float)
CUDA_VECTOR(double, double)
CUDA_VECTOR(int, int)
CUDA_VECTOR(unsigned, uint)
CUDA_VECTOR(unsigned short, ushort)

static uint3 threadIdx, blockIdx;
static dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

extern "C" char __start_cuda_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_cuda_shared[] __attribute__((weak, visibility("hidden")));

// ---- Blocks and fibers

namespace cuda_on_cpu {

enum State { READY, AT_BLOCK, AT_WARP, DONE };

struct Fiber {
    jmp_buf context;
    ucontext_t beginning;
    bool started;
    State state;
    unsigned mask;      // the lanes that it waits for, at a warp's barrier
    uint64_t given;     // what it gives to the other lanes there
    uint64_t received;  // what the others may read since the barrier opened
};

static const unsigned MOST = 1024, STACK = 256 << 10, SHARED = 227 << 10, EDGE = 256;
static const unsigned char POISON = 0xFF, CANARY = 0xA5;
alignas(256) static char dynamic_shared[SHARED + EDGE];
static Fiber fibers[MOST];
static Fiber *current;
static jmp_buf scheduler;
static const char *error;
static char message[400];
static void (*body)(void *);
static void *body_arguments;

// Back to the scheduler, until it comes back here.
__attribute__((noinline)) static void wait(State state) {
    current->state = state;
    if (!_setjmp(current->context)) _longjmp(scheduler, 1);
}

// End the launch with an error.
[[noreturn]] __attribute__((noinline)) static void fail(const char *what) {
    error = what;
    _longjmp(scheduler, 1);
}

static void live() {
    for (;;) {
        body(body_arguments);
        wait(DONE);
    }
}

// (Its locals must not live on past the jump back, so it is a function of its own.)
__attribute__((noinline)) static void resume(unsigned thread) {
    current = fibers + thread;
    threadIdx = {thread % blockDim.x, thread / blockDim.x % blockDim.y,
                 thread / (blockDim.x * blockDim.y)};
    if (_setjmp(scheduler)) return;
    if (current->started) _longjmp(current->context, 1);
    current->started = true;
    if (!current->beginning.uc_stack.ss_sp)
        current->beginning.uc_stack.ss_sp = mmap(0, STACK, PROT_READ | PROT_WRITE,
                                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    char *stack = (char *)current->beginning.uc_stack.ss_sp;
    getcontext(&current->beginning);
    current->beginning.uc_stack.ss_sp = stack;
    current->beginning.uc_stack.ss_size = STACK - thread % 61 * 320;  // not all in the same cache lines
    current->beginning.uc_link = 0;
    makecontext(&current->beginning, live, 0);
    setcontext(&current->beginning);
}

// Open the barriers at which all that they are for have arrived. Returns whether one opened.
static bool open_warps(unsigned n) {
    bool opened = false;
    for (unsigned first = 0; first < n; first += warpSize)
        for (unsigned t = first; t < first + warpSize && t < n; ++t) {
            if (fibers[t].state != AT_WARP) continue;
            unsigned mask = fibers[t].mask, there = 0;
            for (unsigned lane = 0; lane < warpSize; ++lane) {
                bool lives = first + lane < n && fibers[first + lane].state != DONE;
                if (!lives || (fibers[first + lane].state == AT_WARP && fibers[first + lane].mask == mask))
                    there |= 1u << lane;
            }
            if (mask & ~there) continue;
            opened = true;
            for (unsigned lane = 0; lane < warpSize; ++lane) {
                if (!(mask >> lane & 1) || first + lane >= n) continue;
                Fiber &f = fibers[first + lane];
                f.received = f.state == DONE ? ~0ull : f.given;  // of a thread that is gone: poison
                if (f.state != DONE) f.state = READY;
            }
        }
    return opened;
}

static bool open_block(unsigned n) {
    unsigned waiting = 0, done = 0;
    for (unsigned t = 0; t < n; ++t) {
        waiting += fibers[t].state == AT_BLOCK;
        done += fibers[t].state == DONE;
    }
    if (waiting && waiting + done < n) {
        snprintf(message, sizeof message,
                 "block (%u, %u, %u) hangs: of %u threads, %u wait at __syncthreads(), %u at a warp's "
                 "barrier or shuffle, %u have returned",
                 blockIdx.x, blockIdx.y, blockIdx.z, n, waiting, n - waiting - done, done);
        error = message;
        return false;
    }
    for (unsigned t = 0; t < n; ++t)
        if (fibers[t].state == AT_BLOCK) fibers[t].state = READY;
    return waiting;
}

static void run_block(unsigned n, unsigned shared, bool backwards) {
    if (__start_cuda_shared)
        memset(__start_cuda_shared, POISON, __stop_cuda_shared - __start_cuda_shared);
    memset(dynamic_shared, POISON, shared);
    memset(dynamic_shared + shared, CANARY, EDGE);
    for (unsigned t = 0; t < n; ++t) fibers[t].state = READY, fibers[t].received = ~0ull;
    do {
        for (unsigned i = 0; i < n; ++i) {
            unsigned t = backwards ? n - 1 - i : i;
            if (fibers[t].state == READY) resume(t);
            if (error) return;
        }
    } while (open_warps(n) || open_block(n));
    for (unsigned t = 0; t < n && !error; ++t)
        if (fibers[t].state != DONE) error = "threads of a warp wait for lanes that never come";
    for (unsigned i = 0; i < EDGE; ++i)
        if ((unsigned char)dynamic_shared[shared + i] != CANARY)
            error = "wrote past the end of its dynamic shared memory";
}

// dims: grid x y z, block x y z, bytes of dynamic shared memory, backwards
static const char *run(const unsigned *dims, void (*function)(void *), void *arguments) {
    gridDim = {dims[0], dims[1], dims[2]};
    blockDim = {dims[3], dims[4], dims[5]};
    body = function, body_arguments = arguments, error = 0;
    unsigned long long blocks = 1ull * dims[0] * dims[1] * dims[2];
    for (unsigned long long i = 0; i < blocks && !error; ++i) {
        unsigned long long b = dims[7] ? blocks - 1 - i : i;
        blockIdx = {unsigned(b % dims[0]), unsigned(b / dims[0] % dims[1]),
                    unsigned(b / dims[0] / dims[1])};
        run_block(dims[3] * dims[4] * dims[5], dims[6], dims[7]);
    }
    if (error)  // fibers stand where they stopped: the next launch begins them anew
        for (Fiber &f : fibers) f.started = false;
    return error;
}

// ---- Kernels' parameters, as kernels.py checks them: [*] kind size, ...

template <class V, class = void> struct Kind {
    static const char of = std::is_void_v<V> ? 'v' : std::is_same_v<V, bool> ? 'b'
        : std::is_floating_point_v<V> ? 'f' : std::is_enum_v<V> || std::is_signed_v<V> ? 'i'
        : std::is_unsigned_v<V> ? 'u' : 'S';
};
template <class V> struct Kind<V, std::void_t<decltype(V::kind)>> { static const char of = V::kind; };
template <class V, bool = std::is_void_v<V>> struct Size { static const size_t of = sizeof(V); };
template <class V> struct Size<V, true> { static const size_t of = 0; };

template <class... P> const char *describe(void (*)(P...)) {
    static char text[2000];
    char *to = text;
    auto add = [&](bool pointer, char kind, size_t size) {
        to += sprintf(to, "%s%c%zu,", pointer ? "*" : "", kind, size);
    };
    (add(std::is_pointer_v<P>, Kind<std::remove_cv_t<std::remove_pointer_t<P>>>::of,
         Size<std::remove_cv_t<std::remove_pointer_t<P>>>::of), ...);
    return text;
}

template <class... P> struct Call {
    void (*kernel)(P...);
    void **arguments;
    template <size_t... I> void call(std::index_sequence<I...>) {
        kernel(*static_cast<std::remove_const_t<P> *>(arguments[I])...);
    }
    static void thread(void *self) {
        static_cast<Call *>(self)->call(std::index_sequence_for<P...>{});
    }
};

template <class... P>
const char *launch(void (*kernel)(P...), const unsigned *dims, void **arguments) {
    Call<P...> call{kernel, arguments};
    return run(dims, Call<P...>::thread, &call);
}

// ---- What lanes say to each other

static unsigned lane() { return (current - fibers) % warpSize; }

static void meet(unsigned mask, uint64_t given) {
    if (!(mask >> lane() & 1)) fail("a thread waits at a warp's barrier whose mask leaves it out");
    current->mask = mask;
    current->given = given;
    wait(AT_WARP);
}

template <class T> T shuffle(unsigned mask, T v, unsigned from, bool inside) {
    static_assert(sizeof(T) <= 8);
    uint64_t bits = 0;
    memcpy(&bits, &v, sizeof v);
    meet(mask, bits);
    unsigned me = current - fibers;
    if (inside) memcpy(&v, &fibers[me - me % warpSize + from].received, sizeof v);
    return v;
}

}  // namespace cuda_on_cpu

static inline void __syncthreads() { cuda_on_cpu::wait(cuda_on_cpu::AT_BLOCK); }
static inline void __syncwarp(unsigned mask = 0xFFFFFFFFu) { cuda_on_cpu::meet(mask, 0); }
static inline void __threadfence() {}
static inline void __threadfence_block() {}
[[noreturn]] static inline void __trap() { cuda_on_cpu::fail("__trap()"); }

template <class T> T __shfl_sync(unsigned mask, T v, int from, int width = 32) {
    unsigned lane = cuda_on_cpu::lane();
    return cuda_on_cpu::shuffle(mask, v, (lane & ~(width - 1)) | (from & (width - 1)), true);
}
template <class T> T __shfl_xor_sync(unsigned mask, T v, int bits, int width = 32) {
    unsigned lane = cuda_on_cpu::lane(), from = lane ^ bits;
    return cuda_on_cpu::shuffle(mask, v, from, from < (lane | (width - 1)) + 1);
}
template <class T> T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32) {
    unsigned lane = cuda_on_cpu::lane(), from = lane + delta;
    return cuda_on_cpu::shuffle(mask, v, from, from <= (lane | (width - 1)));
}
template <class T> T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32) {
    unsigned lane = cuda_on_cpu::lane();
    return cuda_on_cpu::shuffle(mask, v, lane - delta, (lane & (width - 1)) >= delta);
}
static inline unsigned __ballot_sync(unsigned mask, int holds) {
    using namespace cuda_on_cpu;
    meet(mask, holds != 0);
    unsigned me = current - fibers, bits = 0;
    for (int i = 0; i < 32; ++i)
        bits |= (mask >> i & 1 && fibers[me - me % 32 + i].received == 1) << i;
    return bits;
}
static inline int __any_sync(unsigned mask, int holds) { return __ballot_sync(mask, holds) != 0; }
static inline int __all_sync(unsigned mask, int holds) { return __ballot_sync(mask, !holds) == 0; }

// ---- Atomics: nothing runs between their reading and writing

#define CUDA_ATOMIC(name, result)                                                                  \
    template <class T> T name(T *at, std::common_type_t<T> v) {                                    \
        T old = *at;                                                                               \
        *at = result;                                                                              \
        return old;                                                                                \
    }
CUDA_ATOMIC(atomicAdd, old + v)
CUDA_ATOMIC(atomicSub, old - v)
CUDA_ATOMIC(atomicExch, v)
CUDA_ATOMIC(atomicOr, old | v)
CUDA_ATOMIC(atomicAnd, old & v)
CUDA_ATOMIC(atomicMax, old < v ? v : old)
CUDA_ATOMIC(atomicMin, v < old ? v : old)
CUDA_ATOMIC(atomicInc, old >= v ? T(0) : old + 1)
template <class T> T atomicCAS(T *at, std::common_type_t<T> expected, std::common_type_t<T> v) {
    T old = *at;
    if (old == expected) *at = v;
    return old;
}
template <class T> T __ldg(const T *p) { return *p; }
template <class T> T __ldcg(const T *p) { return *p; }
template <class T> void __stcg(T *p, T v) { *p = v; }

// ---- Numbers: CUDA overloads C's functions for float; sums are not contracted, as NumPy's are not

#define CUDA_USE(name) using std::name;
CUDA_USE(abs) CUDA_USE(ceil) CUDA_USE(copysign) CUDA_USE(cos) CUDA_USE(cosh) CUDA_USE(erf)
CUDA_USE(erfc) CUDA_USE(exp) CUDA_USE(exp2) CUDA_USE(expm1) CUDA_USE(fabs) CUDA_USE(floor)
CUDA_USE(fma) CUDA_USE(fmax) CUDA_USE(fmin) CUDA_USE(fmod) CUDA_USE(isfinite) CUDA_USE(isinf)
CUDA_USE(isnan) CUDA_USE(log) CUDA_USE(log1p) CUDA_USE(log2) CUDA_USE(pow) CUDA_USE(rint)
CUDA_USE(round) CUDA_USE(sin) CUDA_USE(sinh) CUDA_USE(sqrt) CUDA_USE(tan) CUDA_USE(tanh)

template <class A, class B> std::common_type_t<A, B> min(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) return std::fmin(T(a), T(b));
    else return T(b) < T(a) ? T(b) : T(a);
}
template <class A, class B> std::common_type_t<A, B> max(A a, B b) {
    using T = std::common_type_t<A, B>;
    if constexpr (std::is_floating_point_v<T>) return std::fmax(T(a), T(b));
    else return T(a) < T(b) ? T(b) : T(a);
}
static inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
static inline float rsqrt(float x) { return 1.0f / sqrtf(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
#define __expf expf  // glibc has such names of its own
#define __logf logf
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline float __fsqrt_rn(float a) { return sqrtf(a); }
static inline float __fmaf_rn(float a, float b, float c) { return fmaf(a, b, c); }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (uint64_t(a) * b) >> 32; }
static inline int __popc(unsigned a) { return __builtin_popcount(a); }
static inline int __clz(int a) { return a ? __builtin_clz(a) : 32; }
static inline int __ffs(int a) { return __builtin_ffs(a); }

template <class To, class From> To cuda_bits(From v) {
    static_assert(sizeof(To) == sizeof(From));
    To bits;
    memcpy(&bits, &v, sizeof v);
    return bits;
}
static inline int __float_as_int(float v) { return cuda_bits<int>(v); }
static inline unsigned __float_as_uint(float v) { return cuda_bits<unsigned>(v); }
static inline float __int_as_float(int v) { return cuda_bits<float>(v); }
static inline float __uint_as_float(unsigned v) { return cuda_bits<float>(v); }
static inline long long __double_as_longlong(double v) { return cuda_bits<long long>(v); }
static inline double __longlong_as_double(long long v) { return cuda_bits<double>(v); }
