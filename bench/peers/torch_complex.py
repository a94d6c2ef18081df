"""Complex arithmetic in PyTorch."""

import torch

from torch_inputs import rotating


def pointwise(call, *dtypes):
    def build(r, s):
        operands = [torch.randn(s["n"], dtype=dtype) for dtype in dtypes]
        return {"plain": rotating([[x.clone() for x in operands] for _ in range(r["sets"])], call)}

    return build


FORMULATIONS = {
    "complex-add": pointwise(torch.add, torch.complex64, torch.complex64),
    "complex-mul": pointwise(torch.mul, torch.complex64, torch.complex64),
    "complex-mul-real": pointwise(torch.mul, torch.complex64, torch.float32),
    "complex-abs": pointwise(torch.abs, torch.complex64),
}
