"""Reductions, normalisations and losses in PyTorch."""

import torch
import torch.nn.functional as F

from torch_inputs import rotating, sets_of


def reduction(call):
    return lambda r, s: {
        "plain": rotating([(x,) for x in sets_of(r, s["rows"], s["size"])], call)
    }


def normalization(apply, parameters):
    def build(r, s):
        shape = (s["n"], s["c"], s["h"], s["w"])
        weight = torch.randn(s[parameters]).requires_grad_()
        bias = torch.randn(s[parameters]).requires_grad_()

        def formulation(layout):
            first = torch.randn(*shape).to(memory_format=layout)
            other = torch.randn(*shape).to(memory_format=layout)
            sets = [(first.clone().requires_grad_(), other.clone()) for _ in range(r["sets"])]
            return rotating(
                sets,
                lambda x, g: torch.autograd.grad(apply(x, weight, bias), (x, weight, bias), g),
            )

        return {
            "nchw": formulation(torch.contiguous_format),
            "channels-last": formulation(torch.channels_last),
        }

    return build


def batch_norm_relu(x, weight, bias):
    return F.relu_(F.batch_norm(x, None, None, weight, bias, training=True))


def loss(call):
    def build(r, s):
        pairs = list(zip(sets_of(r, s["n"], grad=True), sets_of(r, s["n"])))
        return {"plain": rotating(pairs, lambda x, t: torch.autograd.grad(call(x, t), x))}

    return build


FORMULATIONS = {
    "reduce-rows": reduction(lambda x: x.sum(1)),
    "reduce-short-rows": reduction(lambda x: x.sum(1)),
    "reduce-variance": reduction(lambda x: x.var(1)),
    "reduce-norm": reduction(torch.linalg.vector_norm),
    "reduce-logsumexp": reduction(lambda x: x.logsumexp(1)),
    "batch-norm-relu-backward": normalization(batch_norm_relu, "c"),
    "group-norm-backward": normalization(lambda x, w, b: F.group_norm(x, 8, w, b), "c"),
    "layer-norm-backward": normalization(
        lambda x, w, b: F.layer_norm(x, x.shape[3:], w, b), "w"
    ),
    "mse-loss-backward": loss(F.mse_loss),
    "bce-with-logits-backward": loss(F.binary_cross_entropy_with_logits),
}
