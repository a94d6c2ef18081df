"""Implicit diffusion in PyTorch. It has no tridiagonal solver, so small dense matrices do the step."""

import torch


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
