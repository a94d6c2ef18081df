"""Upwind advection in PyTorch with Neumann walls: differences of slices, and convolutions for constants.

All work along any number of axes; axis k (x, y, z) is dimension -1 - k.
"""

import torch
import torch.nn.functional as F

from torch_inputs import lazily, rotating, sets_of


def between(x, dim, begin, end):
    """x[begin : n + end] along a dimension counted from the end."""
    return x.narrow(dim, begin, x.shape[dim] + end - begin)


def padded(x, dim, below=1, above=1):
    pads = [0] * (2 * -dim)
    pads[-2:] = [below, above]
    return F.pad(x, pads)


def replicated(x, dim, width):
    first, last = x.narrow(dim, 0, 1), x.narrow(dim, x.shape[dim] - 1, 1)
    return torch.cat([first] * width + [x] + [last] * width, dim)


def components(velocity, s):
    """Velocity component of each axis, times dt, to broadcast with u."""
    dims = s["dims"]
    if s["velocity"] == "constant":
        shape = (1, -1) + (1,) * dims
        return [s["dt"] * velocity[:, k].view(shape) for k in range(dims)]
    if s["velocity"] == "shared":
        return [s["dt"] * velocity[:, k : k + 1] for k in range(dims)]
    return [s["dt"] * velocity[:, :, k] for k in range(dims)]


def advective_addcmul(u, velocity, s):
    """Differences once per axis, zero at the walls; two fused multiply-adds."""
    out = u
    for k, a in enumerate(components(velocity, s)):
        dim = -1 - k
        d = padded(between(u, dim, 1, 0) - between(u, dim, 0, -1), dim)
        out = torch.addcmul(out, a.clamp(min=0), between(d, dim, 0, -1), value=-1)
        out = torch.addcmul(out, a.clamp(max=0), between(d, dim, 1, 0), value=-1)
    return out


def advective_where(u, velocity, s):
    out = u
    for k, a in enumerate(components(velocity, s)):
        dim = -1 - k
        d = padded(between(u, dim, 1, 0) - between(u, dim, 0, -1), dim)
        chosen = torch.where(a > 0, between(d, dim, 0, -1), between(d, dim, 1, 0))
        out = torch.addcmul(out, a, chosen, value=-1)
    return out


def advective_replicate(u, velocity, s):
    out = u
    for k, a in enumerate(components(velocity, s)):
        dim = -1 - k
        wide = replicated(u, dim, 1)
        out = out - a.clamp(min=0) * (u - between(wide, dim, 0, -2))
        out = out - a.clamp(max=0) * (between(wide, dim, 2, 0) - u)
    return out


def depthwise(u, velocity, s):
    """Constant velocity: a convolution with a cross of weights; replicated walls."""
    dims, c = s["dims"], s["c"]
    a = s["dt"] * velocity
    weight = torch.zeros((c,) + (3,) * dims)
    centre = [slice(None)] + [1] * dims
    weight[tuple(centre)] = 1 - a.abs().sum(1)
    for k in range(dims):
        for place, value in ((0, a[:, k].clamp(min=0)), (2, -a[:, k].clamp(max=0))):
            at = list(centre)
            at[-1 - k] = place
            weight[tuple(at)] = value
    convolve = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
    wide = F.pad(u, [1] * (2 * dims), mode="replicate")
    return convolve(wide, weight[:, None], groups=c)


def conservative(u, velocity, s):
    out = u
    for k, a in enumerate(components(velocity, s)):
        dim = -1 - k
        face = (between(a, dim, 1, 0) + between(a, dim, 0, -1)) / 2
        flux = face.clamp(min=0) * between(u, dim, 0, -1)
        flux = torch.addcmul(flux, face.clamp(max=0), between(u, dim, 1, 0))
        out = out + padded(flux, dim, 0, 1).neg() + padded(flux, dim, 1, 0)
    return out


def van_leer(a, b):
    product = a * b
    return torch.where(product > 0, 2 * product / torch.where(product > 0, a + b, 1), 0)


def limited_stage(u, velocity, s):
    out = u
    for k, a in enumerate(components(velocity, s)):
        dim = -1 - k
        d = between(u, dim, 1, 0) - between(u, dim, 0, -1)
        # The slopes of the edge cells and beyond are 0, because one of their differences is.
        inner = van_leer(between(d, dim, 0, -1), between(d, dim, 1, 0))
        ds = padded(inner, dim, 2, 2)
        ds = (between(ds, dim, 1, 0) - between(ds, dim, 0, -1)) / 2
        d = padded(d, dim)
        chosen = torch.where(
            a > 0,
            between(d, dim, 0, -1) + between(ds, dim, 0, -1),
            between(d, dim, 1, 0) - between(ds, dim, 1, 0),
        )
        out = torch.addcmul(out, a, chosen, value=-1)
    return out


def limited(u, velocity, s):
    """Heun's method of limited slopes."""
    return (u + limited_stage(limited_stage(u, velocity, s), velocity, s)) / 2


def formulations(s):
    if s["order"] == 2:
        return {"slices": limited}
    if s["form"] == "conservative":
        return {"slices": conservative}
    found = {
        "addcmul": advective_addcmul,
        "where": advective_where,
        "replicate": advective_replicate,
    }
    if s["velocity"] == "constant":
        found["depthwise"] = depthwise
    return found


def space(s):
    return [s[name] for name in ("d", "h", "w")[3 - s["dims"] :]]


def velocity_shape(s):
    if s["velocity"] == "constant":
        return [s["c"], s["dims"]]
    channels = [] if s["velocity"] == "shared" else [s["c"]]
    return [s["n"], *channels, s["dims"], *space(s)]


def advect(backward):
    def build(r, s):
        def run(u, velocity, g, formulation):
            out = formulation(u, velocity, s)
            if backward:
                u.grad = velocity.grad = None
                out.backward(g)

        def make(formulation):
            shape = [s["n"], s["c"], *space(s)]
            u = sets_of(r, *shape, grad=backward)
            velocity = [
                (0.2 * v).detach().requires_grad_(backward)
                for v in sets_of(r, *velocity_shape(s))
            ]
            g = sets_of(r, *shape) if backward else [None] * len(u)
            return rotating(
                list(zip(u, velocity, g)), lambda *x: run(*x, formulation)
            )

        return {
            name: lazily(lambda f=formulation: make(f))
            for name, formulation in formulations(s).items()
        }

    return build


FORMULATIONS = {
    "advect-upwind": advect(False),
    "advect-upwind-backward": advect(True),
}
