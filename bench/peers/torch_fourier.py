"""Fourier transforms in PyTorch, and SciPy's where it can be imported."""

import torch

from torch_inputs import rotating, sets_of

try:
    import scipy.fft as scipy_fft
except ImportError:
    scipy_fft = None


def formulations(sets, torch_call, scipy_call):
    found = {"torch": rotating(sets, torch_call)}
    if scipy_fft:
        arrays = [(x.numpy(),) for (x,) in sets]
        workers = torch.get_num_threads()
        found["scipy"] = rotating(arrays, lambda x: scipy_call(x, workers))
    return found


def fft_lines(r, s):
    sets = [(torch.view_as_complex(x),) for x in sets_of(r, s["lines"], s["n"], 2)]
    return formulations(sets, torch.fft.fft, lambda x, k: scipy_fft.fft(x, workers=k))


def rfft2(r, s):
    sets = [(x,) for x in sets_of(r, s["n"], s["c"], s["h"], s["w"])]
    return formulations(sets, torch.fft.rfft2, lambda x, k: scipy_fft.rfft2(x, workers=k))


def irfft2(r, s):
    sets = [(torch.fft.rfft2(x),) for x in sets_of(r, s["n"], s["c"], s["h"], s["w"])]
    return formulations(sets, torch.fft.irfft2, lambda x, k: scipy_fft.irfft2(x, workers=k))


def dct(r, s):
    """PyTorch has none: as a matrix, and by a real transform of the reordered line."""
    n = s["n"]
    sets = [(x,) for x in sets_of(r, s["lines"], n)]
    j = torch.arange(n, dtype=torch.float64)
    matrix = (2 * torch.cos(torch.pi * (2 * j[:, None] + 1) * j / (2 * n))).float()
    found = formulations(sets, lambda x: x @ matrix, lambda x, k: scipy_fft.dct(x, workers=k))
    found["matrix"] = found.pop("torch")
    return found


FORMULATIONS = {"fft-lines": fft_lines, "rfft2": rfft2, "irfft2": irfft2, "dct": dct}
