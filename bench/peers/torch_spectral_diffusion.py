"""Spectral and stencil diffusion in PyTorch: transforms, or dense products with the eigenvectors."""

import math

import torch

from torch_diffusion import second_difference
from torch_inputs import rotating, sets_of


def factor(z, scheme):
    if scheme == "exponential":
        return torch.exp(-z)
    if scheme == "crank-nicolson":
        return (1 - z / 2) / (1 + z / 2)
    return torch.reciprocal(1 + z)


def eigenvalues(angle, symbol):
    w = angle if symbol == "continuous" else 2 * torch.sin(angle / 2)
    return (w * w).float()


class Fourier:
    """rfft2, for other boundaries than periodic of the plane with its mirror images."""

    def __init__(self, s):
        self.boundary, self.h, self.w = s["boundary"], s["h"], s["w"]
        extra = {"periodic": None, "neumann": 0, "dirichlet": 1}[self.boundary]
        self.size = tuple(n if extra is None else 2 * (n + extra) for n in (self.h, self.w))
        y = torch.fft.fftfreq(self.size[0], dtype=torch.float64).abs() * 2 * math.pi
        x = torch.fft.rfftfreq(self.size[1], dtype=torch.float64) * 2 * math.pi
        self.values = eigenvalues(y, s["symbol"])[:, None] + eigenvalues(x, s["symbol"])

    def mirror(self, u, dim):
        if self.boundary == "neumann":
            return torch.cat([u, u.flip(dim)], dim)
        zero = torch.zeros_like(u.narrow(dim, 0, 1))
        return torch.cat([zero, u, zero, -u.flip(dim)], dim)

    def apply(self, u, factors):
        if self.boundary != "periodic":
            u = self.mirror(self.mirror(u, 2), 3)
        v = torch.fft.irfft2(torch.fft.rfft2(u) * factors, s=self.size)
        first = 1 if self.boundary == "dirichlet" else 0
        return v[:, :, first : first + self.h, first : first + self.w].contiguous()


class Dense:
    """Products with the matrices of eigenvectors."""

    def __init__(self, s):
        def basis(n):
            values, vectors = torch.linalg.eigh(second_difference(n, s["boundary"]))
            values = (-values).clamp(min=0)
            angle = 2 * torch.asin((values / 4).clamp(max=1).sqrt())
            return eigenvalues(angle, s["symbol"]), vectors.float().contiguous()

        ly, self.qy = basis(s["h"])
        lx, self.qx = basis(s["w"])
        self.values = ly[:, None] + lx

    def apply(self, u, factors):
        spectrum = torch.matmul(self.qy.T, torch.matmul(u, self.qx)) * factors
        return torch.matmul(self.qy, torch.matmul(spectrum, self.qx.T))


def differentiated(backward, v, inputs, g):
    return torch.autograd.grad(v, inputs, g) if backward else v


def spectral_diffusion(backward):
    def build(r, s):
        shape = (s["n"], s["c"], s["h"], s["w"])
        k = (0.1 + torch.arange(s["c"]) / s["c"]).requires_grad_(backward)
        u = sets_of(r, *shape, grad=backward)
        g = sets_of(r, *shape) if backward else [None] * len(u)

        def formulation(basis):
            def factors():
                return factor(s["dt"] * k[:, None, None] * basis.values, s["scheme"])

            # The part that depends on k alone is outside the timed region unless its gradient is wanted.
            fixed = None if backward else factors()

            def call(u, g):
                v = basis.apply(u, fixed if fixed is not None else factors())
                return differentiated(backward, v, (u, k), g)

            return rotating(list(zip(u, g)), call)

        return {"rfft2": formulation(Fourier(s)), "eigenbasis": formulation(Dense(s))}

    return build


def stencil_diffusion(backward):
    def build(r, s):
        n, c, h, w = s["n"], s["c"], s["h"], s["w"]
        stencil = torch.randn(c, 3, 3).requires_grad_(backward)
        u = sets_of(r, n, c, h, w, grad=backward)
        g = sets_of(r, n, c, h, w) if backward else [None] * len(u)

        def symbol():
            padded = torch.nn.functional.pad(stencil, (0, w - 3, 0, h - 3))
            spectrum = torch.fft.rfft2(padded)  # where the centre lies is of no effect on the modulus
            return torch.reciprocal(1 + s["dt"] * (spectrum.real**2 + spectrum.imag**2))

        fixed = None if backward else symbol()

        def call(u, g):
            factors = fixed if fixed is not None else symbol()
            v = torch.fft.irfft2(torch.fft.rfft2(u) * factors, s=(h, w))
            return differentiated(backward, v, (u, stencil), g)

        return {"rfft2": rotating(list(zip(u, g)), call)}

    return build


FORMULATIONS = {
    "spectral-diffusion-2d": spectral_diffusion(False),
    "spectral-diffusion-2d-backward": spectral_diffusion(True),
    "stencil-diffusion-2d": stencil_diffusion(False),
    "stencil-diffusion-2d-backward": stencil_diffusion(True),
}
