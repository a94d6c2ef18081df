"""Implicit diffusion with a diffusivity in every cell, and single tridiagonal systems, in PyTorch.

PyTorch has no tridiagonal solver. A diffusivity that all planes share makes one dense matrix for each row
and column of the plane, applied as batched products; one in every cell leaves the Thomas algorithm,
vectorised over all lines.
"""

import torch

from torch_inputs import rotating, sets_of


def faces(k):
    """Harmonic means of neighbours along the first axis."""
    a, b = k[:-1], k[1:]
    return 2 * a * b / (a + b)


def thomas(k, u, dt):
    """(I - dt A) x = u along the first axis; k and u are [n, ...]. Out of place where autograd looks."""
    f = dt * faces(k)
    n = u.shape[0]
    f = f.unbind(0)
    u = u.unbind(0)
    c, d = [], []
    for i in range(n):
        left = f[i - 1] if i else None
        right = f[i] if i + 1 < n else None
        pivot = 1 + (right if left is None else left if right is None else left + right) if n > 1 else 1
        b = u[i]
        if left is not None:
            pivot = pivot - left * c[-1]
            b = torch.addcmul(b, left, d[-1])
        if right is not None:
            c.append(right / pivot)
        d.append(b / pivot)
    x = [d[-1]]
    for i in range(n - 2, -1, -1):
        x.append(torch.addcmul(d[i], c[i], x[-1]))
    return torch.stack(x[::-1])


def thomas_in_place(k, u, dt):
    """The same without autograd, in preallocated memory."""
    f = dt * faces(k)
    n = u.shape[0]
    c, d = torch.empty_like(k), torch.empty_like(u)
    pivot = torch.empty_like(k[0])
    for i in range(n):
        pivot.fill_(1)
        if i + 1 < n:
            pivot += f[i]
        if i:
            pivot += f[i - 1]
            pivot.addcmul_(f[i - 1], c[i - 1], value=-1)
            torch.addcmul(u[i], f[i - 1], d[i - 1], out=d[i])
            d[i] /= pivot
        else:
            torch.div(u[i], pivot, out=d[i])
        if i + 1 < n:
            torch.div(f[i], pivot, out=c[i])
    for i in range(n - 2, -1, -1):
        d[i].addcmul_(c[i], d[i + 1])
    return d


def sweeps(solve, u, k, dt):
    """x, then y: lines first in memory, so that each step of the sweep is contiguous."""
    along_x = solve(k.permute(3, 0, 1, 2).contiguous(), u.permute(3, 0, 1, 2).contiguous(), dt)
    half = along_x.permute(3, 1, 2, 0).contiguous()  # [h, n, c, w]
    return solve(k.permute(2, 0, 1, 3).contiguous(), half, dt).permute(1, 2, 0, 3)


def line_inverses(k, dt):
    """(I - dt A)^-1 of lines [lines, n], differentiable in k."""
    a, b = k[:, :-1], k[:, 1:]
    f = dt * 2 * a * b / (a + b)
    zero = f.new_zeros(k.shape[0], 1)
    diagonal = 1 + torch.cat([f, zero], 1) + torch.cat([zero, f], 1)
    matrix = torch.diag_embed(diagonal) - torch.diag_embed(f, 1) - torch.diag_embed(f, -1)
    return torch.linalg.inv(matrix)


def shared_inverses(k, dt):
    plane = k[0, 0]
    return line_inverses(plane, dt), line_inverses(plane.T.contiguous(), dt)


def apply_shared(u, inverses):
    along_x, along_y = inverses
    n, c, h, w = u.shape
    rows = torch.bmm(u.permute(2, 0, 1, 3).reshape(h, n * c, w), along_x)  # [h, nc, w]
    columns = torch.bmm(rows.permute(2, 1, 0), along_y)  # [w, nc, h]
    return columns.permute(1, 2, 0).reshape(n, c, h, w)


def variable_diffusion(backward):
    def build(r, s):
        shape = (s["n"], s["c"], s["h"], s["w"])
        dt = s.get("dt", 1)
        shared = s["shared"] == "yes"
        u = sets_of(r, *shape, grad=backward)
        g = sets_of(r, *shape) if backward else [None] * len(u)
        k_shape = (1, 1, s["h"], s["w"]) if shared else shape
        k0 = torch.rand(*k_shape) + 0.1
        k = [k0.clone().requires_grad_(backward) for _ in u]
        sets = list(zip(u, k, g))

        def finish(v, u, k, g):
            return torch.autograd.grad(v, (u, k), g) if backward else v

        def by_sweeps(u, k, g):
            full = k.expand(u.shape)
            solve = thomas if backward else thomas_in_place
            return finish(sweeps(solve, u, full, dt), u, k, g)

        formulations = {"thomas": rotating(sets, by_sweeps)}
        if shared:
            # What depends on k alone is outside the timed region unless its gradient is wanted.
            fixed = None if backward else shared_inverses(k0, dt)

            def by_inverses(u, k, g):
                return finish(apply_shared(u, fixed or shared_inverses(k, dt)), u, k, g)

            formulations["inverse-of-each-line"] = rotating(sets, by_inverses)
        return formulations

    return build


def tridiagonal_banded(r, s):
    """SciPy's solve_banded (LAPACK gtsv), a system at a time; without SciPy, sweeps over the batch."""
    shape = (s["systems"], s["n"])
    lower, upper, rhs = (sets_of(r, *shape) for _ in range(3))
    diagonal = [torch.full(shape, 16.0) for _ in range(r["sets"])]
    sets = list(zip(lower, diagonal, upper, rhs))
    try:
        from scipy.linalg import solve_banded
        from scipy.linalg.lapack import sgtsv
    except ImportError:
        return {"thomas": rotating(sets, thomas_general)}

    def banded(l, d, u, b):
        for i in range(s["systems"]):
            bands = torch.zeros(3, s["n"])
            bands[0, 1:] = u[i, :-1]
            bands[1] = d[i]
            bands[2, :-1] = l[i, 1:]
            solve_banded((1, 1), bands.numpy(), b[i].numpy(), check_finite=False)

    def gtsv(l, d, u, b):
        for i in range(s["systems"]):
            sgtsv(l[i, 1:].numpy(), d[i].numpy(), u[i, :-1].numpy(), b[i].numpy())

    return {"scipy-solve-banded": rotating(sets, banded), "scipy-gtsv": rotating(sets, gtsv)}


def thomas_general(l, d, u, b):
    l, d, u, b = (t.T.contiguous() for t in (l, d, u, b))
    x, c = torch.empty_like(b), torch.empty_like(b)
    c[0], x[0] = u[0] / d[0], b[0] / d[0]
    for i in range(1, b.shape[0]):
        pivot = torch.addcmul(d[i], l[i], c[i - 1], value=-1)
        torch.div(u[i], pivot, out=c[i])
        torch.div(torch.addcmul(b[i], l[i], x[i - 1], value=-1), pivot, out=x[i])
    for i in range(b.shape[0] - 2, -1, -1):
        x[i].addcmul_(c[i], x[i + 1], value=-1)
    return x.T


FORMULATIONS = {
    "variable-diffusion-2d": variable_diffusion(False),
    "variable-diffusion-2d-backward": variable_diffusion(True),
    "tridiagonal-solve-banded": tridiagonal_banded,
}
