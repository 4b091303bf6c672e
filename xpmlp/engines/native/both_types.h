// The text of a step, for float and for double.
namespace f32 {
typedef float T;
typedef int32_t BITS;
typedef uint32_t UBITS;
#define WIDE 0
#include "maths.h"
#include "../kernels/elementwise.h"
#include "products.h"
#include "layers.h"
#include "step.h"
#undef WIDE
}
namespace f64 {
typedef double T;
typedef int64_t BITS;
typedef uint64_t UBITS;
#define WIDE 1
#include "maths.h"
#include "../kernels/elementwise.h"
#include "products.h"
#include "layers.h"
#include "step.h"
#undef WIDE
}
