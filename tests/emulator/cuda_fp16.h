// float16: conversions, rounded to the nearest, ties to even; sums are taken in float.
#pragma once

struct __half {
    static const char kind = 'e';
    unsigned short __x;
    __half() = default;
    __half(float v) {
        unsigned bits = __float_as_uint(v), sign = bits >> 16 & 0x8000u;
        bits &= 0x7FFFFFFFu;
        if (bits > 0x7F800000u) __x = 0x7FFF;  // NaN
        else if (bits >= 0x477FF000u) __x = sign | 0x7C00u;  // 65520 and more: infinity
        else if (bits >= 0x38800000u) __x = sign | (bits - 0x38000000u + 0xFFFu + (bits >> 13 & 1u)) >> 13;
        else __x = sign | unsigned(rint(__uint_as_float(bits) * 16777216.0f));  // in units of 2^-24
    }
    operator float() const {
        unsigned sign = unsigned(__x & 0x8000u) << 16, rest = __x & 0x7FFFu;
        if (rest < 0x400u) return __uint_as_float(sign | __float_as_uint(rest * 0x1p-24f));
        return __uint_as_float(sign | (rest << 13) + (rest < 0x7C00u ? 0x38000000u : 0x70000000u));
    }
};
typedef __half half;
struct alignas(4) __half2 { __half x, y; };

static inline __half __float2half(float v) { return __half(v); }
static inline __half __float2half_rn(float v) { return __half(v); }
static inline float __half2float(__half v) { return float(v); }
static inline __half2 __floats2half2_rn(float x, float y) { return {__half(x), __half(y)}; }
static inline float2 __half22float2(__half2 v) { return {float(v.x), float(v.y)}; }
static inline unsigned short __half_as_ushort(__half v) { return v.__x; }
