// The mathematics of one number: activations, losses, update rules, the dropout hash. One text for
// the C++ engine and the CUDA kernels, which include it with
//   T          the type of the numbers, float or double
//   INLINE     what stands before a small function
//   FUNCTION   what stands before one with a switch: C++ inlines it, so that a loop knows its case;
//              on a card W copies in each kernel would take a first fit long to compile
//   exp_ log_ log1p_ expm1_ tanh_ erf_ sqrt_ abs_ pow_     of a T, which differ between targets
// The formulas are those of nn/activations.py, nn/losses.py, optim/rules.py, randomness.py.

// Comparisons that let NaN through, as the Array API's maximum does and fmax does not: of NaN each
// is false, and v is what is returned.
INLINE T above(T v, T low) { return v <= low ? low : v; }
INLINE T below(T v, T high) { return v >= high ? high : v; }

// 1 / (1 + exp(-z)) and log(1 + exp(z)), by exp of negative numbers only, which cannot overflow.
INLINE T sigmoid(T z) {
    T e = exp_(-abs_(z));
    return (z < T(0) ? e : T(1)) / (T(1) + e);
}
INLINE T softplus(T z) { return above(z, T(0)) + log1p_(exp_(-abs_(z))); }

// ---- Activations

enum { IDENTITY, LOGISTIC, TANH, RELU, LEAKY_RELU, ELU, SELU, GELU, GELU_TANH, SILU, MISH,
       SOFTPLUS, SOFTSIGN, HARD_TANH, N_ACTIVATIONS };

// The numbers of nn/activations.py, which names the papers.
#define LEAK T(0.01)
#define SELU_SCALE T(1.0507009873554805)
#define SELU_ALPHA T(1.6732632423543772)
#define GELU_C T(0.79788456080286536)  // sqrt(2 / pi)
#define ROOT_HALF T(0.70710678118654752)

FUNCTION T activation(int kind, T z) {
    switch (kind) {
    case LOGISTIC: return sigmoid(z);
    case TANH: return tanh_(z);
    case RELU: return above(z, T(0));
    case LEAKY_RELU: return above(z, LEAK * z);
    case ELU: return above(z, T(0)) + expm1_(below(z, T(0)));
    case SELU: return SELU_SCALE * (above(z, T(0)) + SELU_ALPHA * expm1_(below(z, T(0))));
    case GELU: return z * (T(0.5) * (T(1) + erf_(z * ROOT_HALF)));
    case GELU_TANH: return T(0.5) * z * (T(1) + tanh_(GELU_C * (z + T(0.044715) * (z * z * z))));
    case SILU: return z * sigmoid(z);
    case MISH: return z * tanh_(softplus(z));
    case SOFTPLUS: return softplus(z);
    case SOFTSIGN: return z / (T(1) + abs_(z));
    case HARD_TANH: return below(above(z, T(-1)), T(1));
    default: return z;
    }
}

// Whether the derivative is a function of z; the others' is of a, which may stand in z's place.
INLINE bool slope_needs_z(int kind) { return kind >= GELU && kind <= SOFTSIGN; }

// The derivative. v: z or a, as `slope_needs_z` says.
FUNCTION T slope(int kind, T v) {
    switch (kind) {
    case LOGISTIC: return v * (T(1) - v);
    case TANH: return T(1) - v * v;
    case RELU: return v > T(0) ? T(1) : T(0);
    case LEAKY_RELU: return v > T(0) ? T(1) : LEAK;
    case ELU: return below(v, T(0)) + T(1);
    case SELU: return v > T(0) ? SELU_SCALE : below(v, T(0)) + SELU_SCALE * SELU_ALPHA;
    case GELU:  // the normal distribution's function plus z times its density
        return T(0.5) * (T(1) + erf_(v * ROOT_HALF)) +
               v * (exp_(T(-0.5) * (v * v)) * T(0.39894228040143268));
    case GELU_TANH: {
        T t = tanh_(GELU_C * (v + T(0.044715) * (v * v * v)));
        return T(0.5) * (T(1) + t) +
               T(0.5) * v * (T(1) - t * t) * (GELU_C * (T(1) + T(3 * 0.044715) * (v * v)));
    }
    case SILU: {
        T s = sigmoid(v);
        return s + v * s * (T(1) - s);
    }
    case MISH: {
        T t = tanh_(softplus(v));
        return t + v * sigmoid(v) * (T(1) - t * t);
    }
    case SOFTPLUS: return sigmoid(v);
    case SOFTSIGN: {
        T s = T(1) / (T(1) + abs_(v));
        return s * s;
    }
    case HARD_TANH: return abs_(v) < T(1) ? T(1) : T(0);
    default: return T(1);
    }
}

// ---- Losses

// LOG_LOSS, of rows or of class codes, and FOCAL look at a whole row: their sums are each target's
// own.
enum { SQUARED_ERROR, LOG_LOSS, BINARY_LOG_LOSS, POISSON, CLASS_LOG_LOSS, GAMMA, ABSOLUTE_ERROR,
       LOG_COSH, HUBER, QUANTILE, FOCAL, BINARY_FOCAL, N_LOSSES };

// The loss of one output of a row of weight w, and its derivative in d. c: huber's delta, the
// quantile's level, focal's gamma.
FUNCTION T element_loss(int kind, T a, T y, T w, T c, T *d) {
    switch (kind) {
    case SQUARED_ERROR: {
        T error = a - y;
        *d = w * error;  // first: a weight of 0 takes errors away whose square overflows
        return T(0.5) * *d * error;
    }
    case BINARY_LOG_LOSS:
        *d = w * (sigmoid(a) - y);
        return w * (softplus(a) - a * y);
    case POISSON: {
        T rate = exp_(a);
        *d = w * (rate - y);
        return w * (rate - y * a + (y * log_(above(y, T(1e-30))) - y));
    }
    case GAMMA: {
        T ratio = y * exp_(-a);
        *d = w * (T(1) - ratio);
        return w * (a + ratio - T(1) - log_(above(y, T(1e-30))));
    }
    case ABSOLUTE_ERROR: {
        T error = a - y;
        *d = w * (error > T(0) ? T(1) : error < T(0) ? T(-1) : error);
        return w * abs_(error);
    }
    case LOG_COSH: {
        T error = a - y, size = abs_(error);
        *d = w * tanh_(error);
        return w * (size + log1p_(exp_(T(-2) * size)) - T(0.69314718055994531));
    }
    case HUBER: {
        T error = a - y, near = below(above(error, -c), c);
        *d = w * near;
        return *d * (error - T(0.5) * near);
    }
    case QUANTILE: {
        T error = y - a;
        *d = w * ((error < T(0) ? T(1) : T(0)) - c);
        return -*d * error;
    }
    default: {  // BINARY_FOCAL
        T q1 = sigmoid(-a), q0 = sigmoid(a), cost1 = softplus(-a), cost0 = softplus(a);
        T w1 = w * y * pow_(q1, c), w0 = w * (T(1) - y) * pow_(q0, c);
        *d = w0 * (c * (T(1) - q0) * cost0 + q0) - w1 * (c * (T(1) - q1) * cost1 + q1);
        return w1 * cost1 + w0 * cost0;
    }
    }
}

// ---- Update rules

enum { SGD, MOMENTUM, NESTEROV, ADAM, RMSPROP, ADAGRAD, NADAM, LION, N_RULES };

// One parameter after the rule; u and v are its slots. c, d: the rule's factors (momentum; beta_1
// and beta_2; rho), c1, d1: one minus them, taken in float64 on the host. Adam's bias correction is
// in the rate.
INLINE T rule_step(int rule, T p, T g, T rate, T *u, T *v, T c, T c1, T d, T d1, T epsilon) {
    switch (rule) {
    case SGD: return p - g * rate;
    case MOMENTUM:
        *u = *u * c - g * rate;
        return p + *u;
    case NESTEROV:
        *u = *u * c - g * rate;
        return p - g * rate + c * *u;
    case ADAM:
        *u = *u * c + c1 * g;
        *v = *v * d + g * g * d1;
        return p - rate * *u / (sqrt_(*v) + epsilon);
    case NADAM:
        *u = *u * c + c1 * g;
        *v = *v * d + g * g * d1;
        return p - rate * (c * *u + c1 * g) / (sqrt_(*v) + epsilon);
    case LION: {
        T ahead = c * *u + c1 * g;
        *u = *u * d + d1 * g;
        return p - rate * (ahead > T(0) ? T(1) : ahead < T(0) ? T(-1) : ahead);
    }
    case RMSPROP:
        *u = *u * c + c1 * (g * g);
        return p - rate * g / (sqrt_(*u) + epsilon);
    default:  // ADAGRAD
        *u = *u + g * g;
        return p - rate * g / (sqrt_(*u) + epsilon);
    }
}

// ---- Dropout

// 24 bits of a hash of element and key: the same as randomness.random_bits. The multipliers are a
// Weyl sequence's (2^32 / golden ratio) and those of Wellons' lowbias32; the second word of the key
// goes in midway, else masks of neighbouring keys would be alike.
INLINE int hashed(unsigned element, unsigned key, unsigned word) {
    unsigned h = element * 0x9E3779B9u + key;
    h ^= h >> 16;
    h = h * 0x7FEB352Du + word;
    h ^= h >> 15;
    h *= 0x846CA68Bu;
    h ^= h >> 16;
    return (int)(h >> 8);
}
