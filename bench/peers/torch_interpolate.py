"""Resampling of images in PyTorch, in both of its layouts."""

import torch
import torch.nn.functional as F

from torch_inputs import lazily, rotating


def bilinear(backward):
    def build(r, s):
        def formulation(layout):
            x = torch.randn(s["n"], s["c"], s["h"], s["w"]).to(memory_format=layout)
            g = torch.randn(s["n"], s["c"], 2 * s["h"], 2 * s["w"]).to(memory_format=layout)
            sets = [
                (x.clone().requires_grad_(backward), g.clone() if backward else None)
                for _ in range(r["sets"])
            ]

            def call(x, g):
                y = F.interpolate(x, scale_factor=2, mode="bilinear")
                return torch.autograd.grad(y, x, g) if backward else y

            return rotating(sets, call)

        return {
            "nchw": lazily(lambda: formulation(torch.contiguous_format)),
            "channels-last": lazily(lambda: formulation(torch.channels_last)),
        }

    return build


FORMULATIONS = {
    "interpolate-bilinear": bilinear(False),
    "interpolate-bilinear-backward": bilinear(True),
}
