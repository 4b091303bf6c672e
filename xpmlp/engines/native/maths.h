// Elementary functions of one number, for vector code: a call of the C library's exp takes 5 ns and
// stops vectorisation, these polynomials take 0.6. Included once for float, once for double, with
//   T, BITS    the number and the integer of its size
//   UBITS      that integer unsigned: its overflows and shifts are defined
//   WIDE       1 for double
// All pass NaN on; errors are within 2 ulp, of exp within 1.

INLINE BITS bits_of(T v) { BITS i; std::memcpy(&i, &v, sizeof v); return i; }
INLINE T number_of(BITS i) { T v; std::memcpy(&v, &i, sizeof v); return v; }

INLINE T abs_(T v) { return std::fabs(v); }
INLINE T sqrt_(T v) { return std::sqrt(v); }

// exp(x) = 2^n exp(r), |r| <= log(2) / 2. Adding 1.5 * 2^(digits) rounds to n and leaves it in the
// low bits, so that 2^n is a shift; halved, so that the largest n does not overflow on the way.
INLINE T exp_(T x) {
#if WIDE
    const T high = 709.78, low = -707.7, magic = 6755399441055744.0;
    const T ln2_high = 6.93145751953125e-1, ln2_low = 1.42860682030941723212e-6;
    const BITS bias = 1022, shift = 52;
#else
    const T high = 88.72f, low = -86.64f, magic = 12582912.0f;
    const T ln2_high = 0.693359375f, ln2_low = -2.12194440e-4f;
    const BITS bias = 126, shift = 23;
#endif
    T y = x > high ? high : x;
    y = y < low ? low : y;
    T t = y * T(1.4426950408889634) + magic, n = t - magic;
    T r = (y - n * ln2_high) - n * ln2_low;
#if WIDE  // Taylor's series up to r^13 / 13!
    T p = 1.0 / 6227020800.0;
    p = p * r + 1.0 / 479001600.0;
    p = p * r + 1.0 / 39916800.0;
    p = p * r + 1.0 / 3628800.0;
    p = p * r + 1.0 / 362880.0;
    p = p * r + 1.0 / 40320.0;
    p = p * r + 1.0 / 5040.0;
    p = p * r + 1.0 / 720.0;
    p = p * r + 1.0 / 120.0;
    p = p * r + 1.0 / 24.0;
    p = p * r + 1.0 / 6.0;
    p = p * r + 0.5;
#else  // Cephes
    T p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
#endif
    p = p * (r * r) + r + T(1);
    p = p * number_of(BITS(UBITS(bits_of(t) + bias) << shift)) * T(2);
    p = x > high ? T(INFINITY) : p;
    return x < low ? T(0) : p;
}

// log(1 + f) for 1 + f in [sqrt(1/2), sqrt(2)], as fdlibm has it: s = f / (2 + f).
INLINE T log_near_one(T f) {
    T s = f / (T(2) + f), z = s * s, half = T(0.5) * f * f;
    T R = T(1.479819860511658591e-01);
    R = R * z + T(1.531383769920937332e-01);
    R = R * z + T(1.818357216161805012e-01);
    R = R * z + T(2.222219843214978396e-01);
    R = R * z + T(2.857142874366239149e-01);
    R = R * z + T(3.999999999940941908e-01);
    R = R * z + T(6.666666666666735130e-01);
    return f - (half - s * (half + R * z));
}

// log(v) of a normal v > 0; -inf of 0, NaN of less. Numbers below the normal ones count as 0.
INLINE T log_(T v) {
#if WIDE
    const BITS root = 0x3FE6A09E667F3BCD, shift = 52;
    const T ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    const T least = 2.2250738585072014e-308;
#else
    const BITS root = 0x3F3504F3, shift = 23;
    const T ln2_high = 6.9313812256e-01f, ln2_low = 9.0580006145e-06f;
    const T least = 1.17549435e-38f;
#endif
    // v = 2^n m, m in [sqrt(1/2), sqrt(2))
    BITS n = BITS(UBITS(bits_of(v)) - UBITS(root)) >> shift;
    T m = number_of(BITS(UBITS(bits_of(v)) - (UBITS(n) << shift))), k = T(n);
    T made = k * ln2_high + (log_near_one(m - T(1)) + k * ln2_low);
    made = v < least ? (v < T(0) ? T(NAN) : T(-INFINITY)) : made;
    return v < T(INFINITY) ? made : v;  // infinity and NaN are themselves
}

// log(1 + v) for 0 <= v <= 1: what 1 + v rounds away is put back.
INLINE T log1p_(T v) {
    T u = T(1) + v, lost = v - (u - T(1));
    T m = u > T(1.4142135623730951) ? u * T(0.5) : u;
    T k = u > T(1.4142135623730951) ? T(0.69314718055994531) : T(0);
    return k + (log_near_one(m - T(1)) + lost / u);
}

// Cephes' rational function, right to the last digits of a double for |x| < 0.625, where
// 1 - 2 / (exp(2x) + 1) cancels.
INLINE T tanh_(T x) {
    T y = abs_(x), s = x * x;
    T far = T(1) - T(2) / (exp_(y + y) + T(1));
    far = x < T(0) ? -far : far;
    T p = (T(-9.64399179425052238628e-1) * s + T(-9.92877231001918586564e1)) * s;
    p = p + T(-1.61468768441708447952e3);
    T q = ((s + T(1.12811678491632931402e2)) * s + T(2.23548839060100448583e3)) * s;
    q = q + T(4.84406305325125486048e3);
    T near = x + x * s * (p / q);
    return y < T(0.625) ? near : far;
}

// exp(x) - 1 for x <= 0.
INLINE T expm1_(T x) {
    T t = tanh_(T(0.5) * x);  // exact near 0, where exp(x) - 1 cancels
    return (t + t) / (T(1) - t);
}

INLINE T erf_(T x) { return std::erf(x); }

INLINE T pow_(T x, T c) {  // of x >= 0
    T made = exp_(c * log_(x));
    return x > T(0) ? made : T(0);
}
