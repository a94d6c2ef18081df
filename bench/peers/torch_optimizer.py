"""Optimizer steps and gradient clipping over many tensors, and activations with their backward, in PyTorch."""

import torch
import torch.nn.functional as F

from torch_inputs import lazily, rotating, sets_of


def parameters(s):
    params = [torch.randn(s["size"]).requires_grad_() for _ in range(s["tensors"])]
    for p in params:
        p.grad = torch.randn(s["size"])
    return params


def adam(r, s):
    def formulation(**how):
        optimizers = [
            (torch.optim.Adam(parameters(s), lr=1e-3, **how),) for _ in range(r["sets"])
        ]
        for (optimizer,) in optimizers:
            optimizer.step()  # makes the moments, which later steps only change
        return rotating(optimizers, lambda optimizer: optimizer.step())

    return {
        "fused": lazily(lambda: formulation(fused=True)),
        "foreach": lazily(lambda: formulation(foreach=True)),
    }


def clip(r, s):
    def formulation(foreach):
        models = [(parameters(s),) for _ in range(r["sets"])]
        return rotating(
            models,
            lambda params: torch.nn.utils.clip_grad_norm_(params, 1e-3, foreach=foreach),
        )

    return {
        "foreach": lazily(lambda: formulation(True)),
        "single": lazily(lambda: formulation(False)),
    }


def backward_of(function):
    def build(r, s):
        sets = list(zip(sets_of(r, s["n"], grad=True), sets_of(r, s["n"])))

        def call(x, g):
            return torch.autograd.grad(function(x), x, g)

        return {"plain": rotating(sets, call)}

    return build


FORMULATIONS = {
    "adam": adam,
    "clip-grad-norm": clip,
    "tanh-backward": backward_of(torch.tanh),
    "sigmoid-backward": backward_of(torch.sigmoid),
    "gelu-backward": backward_of(F.gelu),
}
