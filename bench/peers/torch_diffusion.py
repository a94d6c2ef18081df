"""Implicit diffusion in PyTorch. It has no tridiagonal solver, so small dense matrices do the step."""

import torch

from torch_inputs import rotating, sets_of


def second_difference(n, boundary):
    d = -2 * torch.eye(n, dtype=torch.float64)
    for i in range(n - 1):
        d[i, i + 1] += 1
        d[i + 1, i] += 1
    if boundary == "neumann":
        d[0, 0] += 1
        d[n - 1, n - 1] += 1
    elif boundary == "periodic":
        d[0, n - 1] += 1
        d[n - 1, 0] += 1
    return d


def step_matrices(k, n, s):
    """(I - theta dt k D)^-1 (I + (1 - theta) dt k D) for each channel, differentiable in k."""
    theta = 0.5 if s["scheme"] == "crank-nicolson" else 1.0
    d = second_difference(n, s["boundary"]).to(k.dtype)
    eye = torch.eye(n, dtype=k.dtype)
    scaled = (s.get("dt", 1) * k)[:, None, None] * d
    inverse = torch.linalg.inv(eye - theta * scaled)
    return inverse if theta == 1 else inverse @ (eye + (1 - theta) * scaled)


class Eigenbasis:
    """The same step as a factor of each eigenvector of D along both axes."""

    def __init__(self, s):
        def basis(n):
            values, vectors = torch.linalg.eigh(second_difference(n, s["boundary"]))
            return values.float(), vectors.float().contiguous()

        self.ly, self.qy = basis(s["h"])
        self.lx, self.qx = basis(s["w"])
        self.theta = 0.5 if s["scheme"] == "crank-nicolson" else 1.0
        self.dt = s.get("dt", 1)

    def factors(self, k):
        def axis(eigenvalues):
            z = self.dt * k[:, None] * eigenvalues
            return (1 + (1 - self.theta) * z) / (1 - self.theta * z)

        return axis(self.ly)[:, :, None] * axis(self.lx)[:, None, :]

    def apply(self, u, factors):
        spectrum = torch.matmul(self.qy.T, torch.matmul(u, self.qx)) * factors
        return torch.matmul(self.qy, torch.matmul(spectrum, self.qx.T))


def apply_broadcast(u, ay, ax):
    """The matrices are symmetric."""
    return torch.matmul(ay, torch.matmul(u, ax))


def apply_by_channel(u, ay, ax):
    """Channels first: C large products along x instead of N C small ones."""
    n, c, h, w = u.shape
    along_x = torch.bmm(u.transpose(0, 1).reshape(c, n * h, w), ax).view(c, n, h, w)
    along_y = torch.matmul(ay[:, None], along_x)
    return along_y.transpose(0, 1)


def implicit_diffusion(backward):
    def build(r, s):
        shape = (s["n"], s["c"], s["h"], s["w"])
        k = (0.1 + torch.arange(s["c"]) / s["c"]).requires_grad_(backward)
        u = sets_of(r, *shape, grad=backward)
        g = sets_of(r, *shape) if backward else [None] * len(u)
        eigenbasis = Eigenbasis(s)

        def matrices(k):
            ay = step_matrices(k, s["h"], s)
            return ay, (ay if s["w"] == s["h"] else step_matrices(k, s["w"], s))

        # The part that depends on k alone is outside the timed region unless its gradient is wanted.
        fixed = None if backward else (matrices(k), eigenbasis.factors(k))

        def finish(v, u, g):
            return torch.autograd.grad(v, (u, k), g) if backward else v

        def dense(apply):
            def call(u, g):
                return finish(apply(u, *(fixed[0] if fixed else matrices(k))), u, g)

            return call

        def spectral(u, g):
            return finish(eigenbasis.apply(u, fixed[1] if fixed else eigenbasis.factors(k)), u, g)

        pairs = list(zip(u, g))
        return {
            "inverse-broadcast": rotating(pairs, dense(apply_broadcast)),
            "inverse-by-channel": rotating(pairs, dense(apply_by_channel)),
            "eigenbasis": rotating(pairs, spectral),
        }

    return build


def tridiagonal_solve(r, s):
    shape = (s["systems"], s["n"])
    lower, upper, rhs = (sets_of(r, *shape) for _ in range(3))
    diagonal = [torch.full(shape, 16.0) for _ in range(r["sets"])]

    def dense(l, d, u, b):
        a = torch.diag_embed(d)
        a += torch.diag_embed(l[:, 1:], -1)
        a += torch.diag_embed(u[:, :-1], 1)
        return torch.linalg.solve(a, b)

    def sweeps(l, d, u, b):
        """Thomas, vectorised over the systems."""
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

    sets = list(zip(lower, diagonal, upper, rhs))
    return {"thomas": rotating(sets, sweeps), "dense-solve": rotating(sets, dense)}


def along_axis(u, a, axis):
    """The matrix [C, n, n] of each channel along an axis (1 = x): one product for each channel."""
    return torch.einsum("cij,nc...j->nc...i", a, u.transpose(-1, -axis)).transpose(-1, -axis)


def batched(u, matrices):
    """Channels first, the axis last: large products, with a copy where the axis is not the last."""
    v = u.transpose(0, 1)
    for axis, a in enumerate(matrices, 1):
        moved = v.transpose(-1, -axis)
        shape = moved.shape
        v = torch.bmm(moved.reshape(shape[0], -1, shape[-1]), a).view(shape).transpose(-1, -axis)
    return v.transpose(0, 1)


def basis(n, s):
    values, vectors = torch.linalg.eigh(second_difference(n, s["boundary"]))
    return values.float(), vectors.float().contiguous()


def factors(k, eigenvalues, s):
    theta = 0.5 if s["scheme"] == "crank-nicolson" else 1.0
    z = s.get("dt", 1) * k[:, None] * eigenvalues
    return (1 + (1 - theta) * z) / (1 - theta * z)


def implicit_diffusion_nd(axes, backward):
    """Lines [n, c, w] and volumes [n, c, d, h, w] through the dense inverse of each axis."""

    def build(r, s):
        extents = [s[name] for name in ("d", "h", "w")[3 - axes :]]
        shape = (s["n"], s["c"], *extents)
        k = (0.1 + torch.arange(s["c"]) / s["c"]).requires_grad_(backward)
        u = sets_of(r, *shape, grad=backward)
        g = sets_of(r, *shape) if backward else [None] * len(u)

        def matrices(k):
            known = {}
            for n in extents:
                if n not in known:
                    known[n] = step_matrices(k, n, s)
            return [known[n] for n in reversed(extents)]

        fixed = matrices(k) if not backward and max(extents) <= 256 else None

        def dense(apply):
            def call(u, g):
                v = apply(u, fixed or matrices(k))
                return torch.autograd.grad(v, (u, k), g) if backward else v

            return call

        def einsum(u, matrices):
            for axis, a in enumerate(matrices, 1):
                u = along_axis(u, a, axis)
            return u

        bases = {n: basis(n, s) for n in extents}

        def spectral(u, g):
            """As a factor of each eigenvector along every axis; no inverse to differentiate."""
            factor = torch.ones((s["c"],) + (1,) * axes)
            v = u
            for axis, n in enumerate(reversed(extents), 1):
                values, vectors = bases[n]
                f = factors(k, values, s).view(s["c"], *(n if a == axis else 1 for a in range(axes, 0, -1)))
                factor = factor * f
                v = torch.matmul(v.transpose(-1, -axis), vectors).transpose(-1, -axis)
            v = v * factor
            for axis, n in enumerate(reversed(extents), 1):
                v = torch.matmul(v.transpose(-1, -axis), bases[n][1].T).transpose(-1, -axis)
            return torch.autograd.grad(v, (u, k), g) if backward else v

        pairs = list(zip(u, g))
        formulations = {"eigenbasis": rotating(pairs, spectral)}
        # Batched inverses of 1024 cells take PyTorch seconds, where its LAPACK does not refuse them.
        if max(extents) <= 256:
            formulations["inverse-batched"] = rotating(pairs, dense(batched))
            formulations["inverse-einsum"] = rotating(pairs, dense(einsum))
        return formulations

    return build


FORMULATIONS = {
    "implicit-diffusion-1d": implicit_diffusion_nd(1, False),
    "implicit-diffusion-1d-backward": implicit_diffusion_nd(1, True),
    "implicit-diffusion-2d": implicit_diffusion(False),
    "implicit-diffusion-2d-backward": implicit_diffusion(True),
    "implicit-diffusion-3d": implicit_diffusion_nd(3, False),
    "implicit-diffusion-3d-backward": implicit_diffusion_nd(3, True),
    "tridiagonal-solve": tridiagonal_solve,
}
