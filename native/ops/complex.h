// Complex numbers: made of their parts, conjugated, seen as pairs of numbers. Arithmetic, sums and moves are
// those of the other families, which take complex64 and complex128 where that has a meaning.
// real, imag, view_as_real and view_as_complex are views on the same memory.
#pragma once

#include "ops/op.h"
