"""The advection-diffusion-reaction step in PyTorch: grid_sample, dense inverses, pointwise convolutions."""

import torch
import torch.nn.functional as F

from torch_diffusion import apply_broadcast, apply_by_channel, step_matrices
from torch_inputs import rotating, sets_of

DIFFUSION = {"scheme": "backward-euler", "boundary": "neumann"}


def pixel_grid(h, w):
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack([x, y]).float()


def adr_step(backward):
    def build(r, s):
        n, c, m, h, w = s["n"], s["c"], s["m"], s["h"], s["w"]
        u = sets_of(r, n, c, h, w, grad=backward)
        g = sets_of(r, n, c, h, w) if backward else [None] * len(u)
        d = torch.randn(n, 2, h, w).requires_grad_(backward)
        k = (0.1 + torch.arange(c) / c).requires_grad_(backward)
        w1 = (0.1 * torch.randn(m, c, 1, 1)).requires_grad_(backward)
        w2 = (0.1 * torch.randn(c, m, 1, 1)).requires_grad_(backward)
        b1, b2 = torch.zeros(m, requires_grad=backward), torch.zeros(c, requires_grad=backward)
        pixels = pixel_grid(h, w)
        scale = torch.tensor([2 / (w - 1), 2 / (h - 1)])
        sizes = {**s, **DIFFUSION}

        def matrices():
            return step_matrices(k, h, sizes), step_matrices(k, w, sizes)

        with torch.no_grad():
            fixed = None if backward else matrices()

        def step(diffuse):
            def call(u, g):
                grid = (pixels + d).permute(0, 2, 3, 1) * scale - 1
                a = F.grid_sample(u, grid, padding_mode="zeros", align_corners=True)
                v = diffuse(a, *(fixed or matrices()))
                y = v + F.conv2d(F.silu(F.conv2d(v, w1, b1)), w2, b2)
                if not backward:
                    return y
                return torch.autograd.grad(y, (u, d, k, w1, b1, w2, b2), g)

            return call

        pairs = list(zip(u, g))
        return {
            "inverse-broadcast": rotating(pairs, step(apply_broadcast)),
            "inverse-by-channel": rotating(pairs, step(apply_by_channel)),
        }

    return build


FORMULATIONS = {"adr-step": adr_step(False), "adr-step-backward": adr_step(True)}
