"""Mesh-free convolution in PyTorch: rfft2, the symbol built by tensor ops, a product over channels, irfft2."""

import math

import torch

from torch_inputs import rotating, sets_of


class Modes:
    """Products of the modes of an [h, w] half spectrum; what is odd vanishes at the Nyquist modes."""

    def __init__(self, h, w):
        y = torch.fft.fftfreq(h, 1 / h, dtype=torch.float64) * 2 * math.pi
        x = torch.fft.rfftfreq(w, 1 / w, dtype=torch.float64) * 2 * math.pi
        odd_y = y if h % 2 else torch.where(torch.arange(h) == h // 2, 0, y)
        odd_x = x if w % 2 else torch.where(torch.arange(w // 2 + 1) == w // 2, 0, x)
        grid = (h, w // 2 + 1)

        def table(t):
            return t.expand(grid).float().contiguous()

        self.x, self.y = table(odd_x), table(odd_y[:, None])
        self.xx, self.yy = table(x * x), table((y * y)[:, None])
        self.xy = self.x * self.y


def damping(m, p):
    p1, p2, p3 = (p[..., i, None, None] for i in range(3))
    return torch.exp(-(p1 * p1 * m.xx + 2 * p1 * p2 * m.xy + (p2 * p2 + p3 * p3) * m.yy))


def polynomial(m, a):
    a = [a[..., i, None, None] for i in range(a.shape[-1])]
    re, im = a[0].expand(*a[0].shape[:-2], *m.x.shape), a[1] * m.x + a[2] * m.y
    if len(a) == 6:
        re = re - a[3] * m.xx - a[4] * m.xy - a[5] * m.yy
    return re, im


def parts(m, weight, gaussian):
    """Real and imaginary part [o, i, h, w / 2 + 1]."""
    moments = weight.shape[-1] - (0 if gaussian is not None else 3)
    re, im = polynomial(m, weight[..., :moments])
    e = damping(m, weight[..., moments:] if gaussian is None else gaussian)
    return re * e, im * e


def by_einsum(spectrum, re, im):
    return torch.einsum("oihw,nihw->nohw", torch.complex(re, im), spectrum)


def by_bmm(spectrum, re, im):
    """A complex matrix product for each bin."""
    n, i, h, w = spectrum.shape
    o = re.shape[0]
    x = spectrum.permute(2, 3, 1, 0).reshape(h * w, i, n)
    c = torch.complex(re, im).permute(2, 3, 0, 1).reshape(h * w, o, i)
    return torch.bmm(c, x).view(h, w, o, n).permute(3, 2, 0, 1)


def by_real_bmm(spectrum, re, im):
    """The same with real products: [x_re, x_im] times [[c_re, c_im], [-c_im, c_re]]."""
    n, i, h, w = spectrum.shape
    o = re.shape[0]
    x = torch.view_as_real(spectrum).permute(2, 3, 0, 4, 1).reshape(h * w, n, 2 * i)
    c_re, c_im = (t.permute(2, 3, 1, 0).reshape(h * w, i, o) for t in (re, im))
    c = torch.cat([torch.cat([c_re, c_im], 2), torch.cat([-c_im, c_re], 2)], 1)
    y = torch.bmm(x, c).view(h, w, n, 2, o).permute(2, 4, 0, 1, 3).contiguous()
    return torch.view_as_complex(y)


def mesh_free(backward):
    def build(r, s):
        h, w = s["h"], s["w"]
        shared, modes = s["form"] == "shared", Modes(h, w)
        last = s["moments"] + (0 if shared else 3)
        weight = (0.1 * torch.randn(s["o"], s["i"], last)).requires_grad_(backward)
        gaussian = (0.05 * torch.randn(s["i"], 3)).requires_grad_(backward) if shared else None
        u = sets_of(r, s["n"], s["i"], h, w, grad=backward)
        g = sets_of(r, s["n"], s["o"], h, w) if backward else [None] * len(u)
        wanted = (weight, gaussian) if shared else (weight,)

        def formulation(product):
            def call(u, g):
                spectrum = product(torch.fft.rfft2(u), *parts(modes, weight, gaussian))
                v = torch.fft.irfft2(spectrum, s=(h, w))
                return torch.autograd.grad(v, (u, *wanted), g) if backward else v

            return rotating(list(zip(u, g)), call)

        return {
            "einsum": formulation(by_einsum),
            "bmm": formulation(by_bmm),
            "real-bmm": formulation(by_real_bmm),
        }

    return build


FORMULATIONS = {
    "mesh-free-2d": mesh_free(False),
    "mesh-free-2d-backward": mesh_free(True),
}
