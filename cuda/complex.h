// The complex forms of elementwise ops, for the launchers of the same names.
#pragma once

#include "kernel.h"

namespace fluxion::cuda {

void complex_add(const Kernel& call);
void complex_sub(const Kernel& call);
void complex_mul(const Kernel& call);
void complex_div(const Kernel& call);
void complex_neg(const Kernel& call);
void complex_abs(const Kernel& call);
void complex_exp(const Kernel& call);

}  // namespace fluxion::cuda
