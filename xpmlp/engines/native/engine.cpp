// The compiled engine of chains on a CPU: a C interface that Python calls by ctypes, which needs no
// Python headers. The text of a step is compiled for float and double, and for three generations of
// x86 processors, of which the best that this machine has is taken when it is loaded.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <type_traits>
#include <utility>
#include <vector>
#ifdef _WIN32
#define EXPORT extern "C" __declspec(dllexport)
#else
#define EXPORT extern "C" __attribute__((visibility("default")))
#endif
#include "interface.h"

// Threads that work together and wait for each other.
struct Team {
    i64 size = 1;  // read once the team is complete: the system may give fewer threads than asked
    std::atomic<bool> complete{false};
    std::atomic<i64> arrived{0};

    void wait() {
        if (size == 1) return;
        i64 here = arrived.fetch_add(1) + 1, wanted = (here + size - 1) / size * size;
        for (int spins = 0; arrived.load() < wanted; ++spins)
            if (spins > 10000) std::this_thread::yield();  // about 20 us: a core is missing
    }
};

// f(rank, team) on so many threads at once, or on as many as the system gives; begins and ends with
// the call, so that nothing is left for a fork or the interpreter's end to break. An exception
// would end the process where it leaves a thread, so it is thrown again when all have ended: f may
// throw only where its threads do not wait for each other.
template <class F> static void together(i64 size, F f) {
    Team team;
    std::atomic<bool> failed{false};
    auto work = [&](i64 rank) {
        while (!team.complete.load()) std::this_thread::yield();
        try {
            f(rank, team);
        } catch (...) {
            failed = true;
        }
    };
    std::vector<std::thread> others;
    try {
        others.reserve(size - 1);
        for (i64 rank = 1; rank < size; ++rank) others.emplace_back(work, rank);
    } catch (...) {  // no memory, or no thread: those that there are do it
    }
    team.size = i64(others.size()) + 1;
    team.complete = true;
    work(0);
    for (std::thread &other : others) other.join();
    if (failed) throw std::bad_alloc();
}

// Or the compiler stops inlining somewhere in a large function, and with it making vector code.
#ifdef _MSC_VER
#define INLINE static __forceinline
#define APART static __declspec(noinline)
#define UNROLL
#define PRAGMA(text) __pragma(text)
#define PREFETCH(address)
#else
#define INLINE static inline __attribute__((always_inline))
#define APART static __attribute__((noinline))
#define UNROLL PRAGMA(GCC unroll 16)
#define PRAGMA(text) _Pragma(#text)
#define PREFETCH(address) __builtin_prefetch(address)
#endif
#define SUM(total) PRAGMA(omp simd reduction(+ : total))

#define FUNCTION INLINE

#define VECTOR_BYTES 16
namespace baseline {
#include "both_types.h"
}
#if defined(__x86_64__) && defined(__GNUC__)
#define GENERATIONS
#ifdef __clang__
#pragma clang attribute push(__attribute__((target("arch=x86-64-v3"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v3")
#endif
#undef VECTOR_BYTES
#define VECTOR_BYTES 32
namespace v3 {
#include "both_types.h"
}
#ifdef __clang__
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("arch=x86-64-v4"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("arch=x86-64-v4,prefer-vector-width=512")
#endif
#undef VECTOR_BYTES
#define VECTOR_BYTES 64
namespace v4 {
#include "both_types.h"
}
#ifdef __clang__
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

static int generation = 0;  // 0: baseline; 3, 4: x86-64-v3, -v4

EXPORT int xpmlp_generation([[maybe_unused]] int most) {
#ifdef GENERATIONS
    __builtin_cpu_init();
    bool has_v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                  __builtin_cpu_supports("bmi2");
    bool has_v4 = has_v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    generation = has_v4 && most >= 4 ? 4 : has_v3 && most >= 3 ? 3 : 0;
#endif
    return generation;
}

#ifdef GENERATIONS
#define DISPATCH(type, call)                  \
    if (generation == 4) v4::type::call;      \
    else if (generation == 3) v3::type::call; \
    else baseline::type::call;
#else
#define DISPATCH(type, call) baseline::type::call;
#endif

// These two return 1 where there was no memory (an exception would not get through Python's frames),
// else 0; predict 2 where x holds a number that is not finite.
EXPORT int xpmlp_train(int wide, void *blas, const Network *net, const Training *t, i64 threads) try {
    if (wide) {
        DISPATCH(f64, train((Gemm)blas, *net, *t, threads))
    } else {
        DISPATCH(f32, train((Gemm)blas, *net, *t, threads))
    }
    return 0;
} catch (...) {
    return 1;
}

EXPORT int xpmlp_predict(int wide, void *blas, const Network *net, const void *x, i64 x_stride,
                         void *outputs, i64 n, i64 K, i64 N, i64 threads) try {
    std::atomic<bool> finite{true};
    if (wide) {
        DISPATCH(f64, predict((Gemm)blas, *net, (const double *)x, x_stride, (double *)outputs, n, K, N, threads, finite))
    } else {
        DISPATCH(f32, predict((Gemm)blas, *net, (const float *)x, x_stride, (float *)outputs, n, K, N, threads, finite))
    }
    return finite ? 0 : 2;
} catch (...) {
    return 1;
}

// For tests: see step.h.
EXPORT void xpmlp_elementwise(int wide, int what, int kind, i64 n, const void *a, const void *y,
                              double c, void *out, void *d) {
    if (wide) {
        DISPATCH(f64, elementwise(what, kind, n, (const double *)a, (const double *)y, c,
                                  (double *)out, (double *)d))
    } else {
        DISPATCH(f32, elementwise(what, kind, n, (const float *)a, (const float *)y, c,
                                  (float *)out, (float *)d))
    }
}

// So that a library of other sources is noticed: setup.py makes VERSION of them.
EXPORT void xpmlp_sizes(i64 *sizes) {
    sizes[0] = sizeof(Leaf), sizes[1] = sizeof(Layer);
    sizes[2] = sizeof(Network), sizes[3] = sizeof(Training), sizes[4] = VERSION;
}
