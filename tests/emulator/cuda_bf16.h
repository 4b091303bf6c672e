// bfloat16: conversions, rounded to the nearest, ties to even; sums are taken in float.
#pragma once

struct __nv_bfloat16 {
    static const char kind = 'E';
    unsigned short __x;
    __nv_bfloat16() = default;
    __nv_bfloat16(float v) {
        unsigned bits = __float_as_uint(v);
        bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
        __x = nan ? 0x7FFF : (bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16;
    }
    operator float() const { return __uint_as_float(unsigned(__x) << 16); }
};
typedef __nv_bfloat16 nv_bfloat16;
struct alignas(4) __nv_bfloat162 { __nv_bfloat16 x, y; };

static inline __nv_bfloat16 __float2bfloat16(float v) { return __nv_bfloat16(v); }
static inline __nv_bfloat16 __float2bfloat16_rn(float v) { return __nv_bfloat16(v); }
static inline float __bfloat162float(__nv_bfloat16 v) { return float(v); }
static inline __nv_bfloat162 __floats2bfloat162_rn(float x, float y) {
    return {__nv_bfloat16(x), __nv_bfloat16(y)};
}
static inline float2 __bfloat1622float2(__nv_bfloat162 v) { return {float(v.x), float(v.y)}; }
static inline unsigned short __bfloat16_as_ushort(__nv_bfloat16 v) { return v.__x; }
