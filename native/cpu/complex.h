// The complex forms of elementwise ops, for the kernels of the same names in elementwise.cpp. Read once per
// instruction set.

namespace fluxion::cpu::FLUXION_TARGET {

void complex_add(const Kernel& k);
void complex_sub(const Kernel& k);
void complex_mul(const Kernel& k);
void complex_div(const Kernel& k);
void complex_neg(const Kernel& k);
void complex_abs(const Kernel& k);
void complex_exp(const Kernel& k);
void complex_cast(const Kernel& k);

}  // namespace fluxion::cpu::FLUXION_TARGET
