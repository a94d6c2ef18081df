"""Semi-Lagrangian transport in PyTorch: grid_sample at displaced positions, its adjoint for mass transport.

The displacement is the input, so the grid that grid_sample wants is part of the work; what does not depend on
the displacement is prepared outside.
"""

import torch
import torch.nn.functional as F

from torch_inputs import lazily, rotating


def extents(s):
    return (s["h"], s["w"]) if s["axes"] == 2 else (s["d"], s["h"], s["w"])


def centres(s):
    """Positions of the cell centres in [-1, 1], x first: [1, ..., axes]."""
    lines = [(2 * torch.arange(n) + 1) / n - 1 for n in extents(s)]
    return torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1], -1)[None].contiguous()


def cell_widths(s):
    return torch.tensor([2.0 / n for n in reversed(extents(s))])


def shapes(s):
    size = extents(s)
    own = (s["c"],) if s["positions"] == "channel" else ()
    return (s["n"], s["c"], *size), (s["n"], *own, s["axes"], *size)


def gather(s, layout):
    """out(x) = u(x + d(x)); a displacement of each channel makes each channel a field of the batch."""
    base, widths = centres(s), cell_widths(s)
    channel = s["positions"] == "channel"

    def call(u, d):
        field = u.flatten(0, 1).unsqueeze(1) if channel else u
        shift = torch.movedim(d.flatten(0, 1) if channel else d, 1, -1)
        if layout == "contiguous grid":
            shift = shift.contiguous()
        grid = torch.addcmul(base, shift, widths)
        v = F.grid_sample(field, grid, mode=s["interpolation"], align_corners=False)
        return v.view(u.shape) if channel else v

    return call


class AdjointOfGridSample(torch.autograd.Function):
    """Mass transport as the backward kernel of grid_sample, with grid_sample's kernels as its gradient.
    (Written with scatter_add it takes seconds.)"""

    @staticmethod
    def forward(ctx, u, grid):
        ctx.save_for_backward(u, grid)
        backward = torch.ops.aten.grid_sampler_2d_backward
        return backward(u, u, grid, 0, 0, False, [True, False])[0]

    @staticmethod
    def backward(ctx, g):
        u, grid = ctx.saved_tensors
        backward = torch.ops.aten.grid_sampler_2d_backward
        _, slope = backward(u, g, grid, 0, 0, False, [False, True])
        return F.grid_sample(g, grid, align_corners=False), slope


def scatter(s):
    """out = sum of u(x) at x + d(x)."""
    base, widths = centres(s), cell_widths(s)

    def call(u, d):
        grid = torch.addcmul(base, torch.movedim(d, 1, -1), widths)
        return AdjointOfGridSample.apply(u, grid)

    return call


def inputs(r, s, backward, grid=False):
    field, displacement = shapes(s)
    u, g = torch.randn(*field), torch.randn(*field)
    d = s["spread"] * torch.randn(*displacement)
    if grid:
        d = torch.addcmul(centres(s), torch.movedim(d, 1, -1), cell_widths(s)).contiguous()
    return [
        (u.clone().requires_grad_(backward), d.clone().requires_grad_(backward), g.clone())
        for _ in range(r["sets"])
    ]


def formulation(r, s, backward, transport, grid=False):
    def step(u, d, g):
        v = transport(u, d)
        return torch.autograd.grad(v, (u, d), g) if backward else v

    return lazily(lambda: rotating(inputs(r, s, backward, grid), step))


def semi_lagrangian(backward):
    def build(r, s):
        if s["transport"] == "color":
            return {
                layout: formulation(r, s, backward, gather(s, layout))
                for layout in ("permuted grid", "contiguous grid")
            }
        return {"adjoint": formulation(r, s, backward, scatter(s))}

    return build


def grid_sample(backward):
    def build(r, s):
        def call(u, grid):
            return F.grid_sample(u, grid, mode=s["interpolation"], align_corners=False)

        return {"plain": formulation(r, s, backward, call, grid=True)}

    return build


FORMULATIONS = {
    "semi-lagrangian": semi_lagrangian(False),
    "semi-lagrangian-backward": semi_lagrangian(True),
    "grid-sample": grid_sample(False),
    "grid-sample-backward": grid_sample(True),
}
