"""Reductions, norms, cumulative sums, softmax."""

import torch

from records import fixed, integers, of, rand, record, refused

INF = float("inf")
NAN = float("nan")


def prod(x, dim=None, keepdim=False):
    if dim is None:
        return torch.prod(x).reshape([1] * x.ndim) if keepdim else torch.prod(x)
    return torch.prod(x, dim, keepdim=keepdim)


def keep_all(call):
    """As PyTorch's reductions over dims, with dim left out for all of them."""
    def reduce(x, dim=None, keepdim=False, **options):
        dims = list(range(x.ndim)) if dim is None else dim
        return call(x, dim=dims, keepdim=keepdim, **options)
    return reduce


REDUCTIONS = {
    "sum": keep_all(torch.sum),
    "mean": keep_all(torch.mean),
    "max": keep_all(torch.amax),
    "min": keep_all(torch.amin),
    "prod": prod,
}


def reductions():
    for op, call in REDUCTIONS.items():
        record(op, call, rand(2, 3, 4))
        record(op, call, rand(2, 3, 4), dim=1)
        record(op, call, rand(2, 3, 4), dim=-1, keepdim=True)
        if op != "prod":
            record(op, call, rand(2, 3, 4), dim=[0, 2])
            record(op, call, rand(2, 3, 4), dim=[-1, 0], keepdim=True)
            refused(op, call, rand(2, 3), dim=[0, 0])
        record(op, call, rand(3, 1, 2), dim=1)
        record(op, call, rand())
        record(op, call, rand(1, 1), keepdim=True)
        record(op, call, rand(2, 0), dim=0)
        record(op, call, rand(17, 3), dim=0)
        record(op, call, rand(2, 33), dim=1)
        if op in ("sum", "mean", "prod"):
            record(op, call, rand(0))
            record(op, call, rand(2, 0, 3), dim=1)
        else:
            refused(op, call, rand(0))
            refused(op, call, rand(2, 0), dim=1)
        if op == "mean":
            refused(op, call, integers(0, 5, 4))
        else:
            record(op, call, integers(-4, 5, 2, 3), dim=1)
            record(op, call, integers(-4, 5, 2, 3))
        if op in ("sum", "prod"):
            record(op, call, integers(1, 4, 3).to(torch.uint8))
        refused(op, call, rand(2, 3), dim=2)
    for op in ("max", "min"):
        record(op, REDUCTIONS[op], of([[1, 3, 3], [2, 2, 2]]), note="ties")
        record(op, REDUCTIONS[op], of([[1, 3, 3], [2, 2, 2]]), dim=1, note="ties")
        record(op, REDUCTIONS[op], fixed(of([[1, NAN, 3], [INF, -INF, 2]])), dim=1, note="NaN")
    record("prod", prod, of([[1.5, 0, 2], [3, 0.5, -1]]), note="one zero")
    record("prod", prod, of([[1.5, 0, 2], [0, 0.5, 0], [2, 3, -1]]), dim=1, note="zeros")
    record("prod", prod, of([[1.5, 0, 2], [0, 0.5, 0]]), dim=0, keepdim=True, note="zeros")
    record("prod", prod, of([[1.5, 0, 2], [0, 0.5, 1]]), note="two zeros")
    for op, call in (("argmax", torch.argmax), ("argmin", torch.argmin)):
        record(op, call, fixed(rand(3, 4)))
        record(op, call, fixed(rand(3, 4)), dim=1)
        record(op, call, fixed(rand(3, 4)), dim=-2, keepdim=True)
        record(op, call, fixed(rand(3, 4)), keepdim=True)
        record(op, call, fixed(of([[1, 3, 3], [2, 2, 2]])), dim=1, note="ties")
        record(op, call, fixed(of([1, NAN, 3, NAN])), note="NaN")
        record(op, call, fixed(rand(1)))
        record(op, call, fixed(rand()))
        record(op, call, integers(-4, 5, 5))
        refused(op, call, rand(0))
        refused(op, call, rand(2, 0), dim=1)


def moments():
    for op, call in (("var", torch.var), ("std", torch.std)):
        record(op, call, rand(2, 3, 4))
        record(op, call, rand(2, 3, 4), dim=1)
        record(op, call, rand(2, 3, 4), dim=[0, -1], keepdim=True)
        record(op, call, rand(2, 3, 4), dim=-1, correction=0)
        record(op, call, rand(2, 3, 4), correction=2)
        record(op, call, rand(2, 3, 4), dim=0, correction=0.5)
        record(op, call, of([[1, 1, 1], [1, 2, 4]]), dim=1, note="a constant row")
        record(op, call, rand(3, 1), dim=1, note="one value")
        record(op, call, rand(3, 1), dim=1, correction=0, note="one value")
        record(op, call, rand(2, 0), dim=0)
        record(op, call, fixed(rand(2, 0)), dim=1)
        record(op, call, rand(2, 33, low=100, high=101), dim=1, note="a large mean")
        refused(op, call, integers(0, 5, 4))


def norms():
    norm = torch.norm
    record("norm", norm, rand(2, 3, 4))
    record("norm", norm, rand(2, 3, 4), dim=1)
    record("norm", norm, rand(2, 3, 4), dim=[0, 2], keepdim=True)
    for p in (1, 2, 3, 0.5, -1, 0, INF, -INF):
        record("norm", norm, rand(2, 5), p=p)
        record("norm", norm, rand(2, 5), p=p, dim=-1)
        record("norm", norm, rand(2, 3, 4), p=p, dim=[1, 2], keepdim=True)
    record("norm", norm, of([[0, 0, 0], [3, 0, -4]]), dim=1, note="the zero vector")
    record("norm", norm, of([[0, 0, 0], [3, 0, -4]]), p=1, dim=1, note="the zero vector")
    record("norm", norm, of([[0, 0, 0], [3, -3, 1]]), p=INF, dim=1, note="ties")
    record("norm", norm, rand())
    record("norm", norm, rand(0, 3), dim=0)
    refused("norm", norm, integers(0, 5, 4))


def scans():
    record("cumsum", torch.cumsum, rand(2, 3, 4), 1)
    record("cumsum", torch.cumsum, rand(2, 3, 4), -1)
    record("cumsum", torch.cumsum, rand(2, 3, 4), 0)
    record("cumsum", torch.cumsum, rand(1), 0)
    record("cumsum", torch.cumsum, rand(), 0)
    record("cumsum", torch.cumsum, rand(2, 0), 1)
    record("cumsum", torch.cumsum, rand(2, 70), 1)
    record("cumsum", torch.cumsum, rand(33, 2), 0)
    record("cumsum", torch.cumsum, integers(-4, 5, 5), 0)
    record("cumsum", torch.cumsum, integers(0, 5, 3).to(torch.uint8), 0)
    refused("cumsum", torch.cumsum, rand(2, 3), 2)


def exponentials():
    record("logsumexp", torch.logsumexp, rand(2, 3, 4), 1)
    record("logsumexp", torch.logsumexp, rand(2, 3, 4), [0, -1])
    record("logsumexp", torch.logsumexp, rand(2, 3, 4), -1, keepdim=True)
    record("logsumexp", torch.logsumexp, of([[1000, 1001], [-1000, -1002]]), 1, note="large")
    record("logsumexp", torch.logsumexp, of([[-INF, -INF], [-INF, 1], [INF, 0]]), 1, note="infinite")
    record("logsumexp", torch.logsumexp, rand(0, 3), 1)
    record("logsumexp", torch.logsumexp, rand(2, 0), 1)
    record("logsumexp", torch.logsumexp, rand(), 0)
    for op, call in (("softmax", torch.softmax), ("logSoftmax", torch.log_softmax)):
        record(op, call, rand(2, 3, 4), 1)
        record(op, call, rand(2, 3, 4), -1)
        record(op, call, rand(2, 3, 4), 0)
        record(op, call, rand(5, 1), 1)
        record(op, call, rand(), 0)
        record(op, call, rand(0, 3), 1)
        record(op, call, rand(3, 33), 1)
        record(op, call, rand(17, 2), 0)
        record(op, call, of([[1000, 1001], [-1000, -1002]]), 1, note="large")
        record(op, call, fixed(of([[-INF, 1, 2]])), 1, note="a masked class")
        refused(op, call, rand(2, 3), 2)


def run():
    reductions()
    moments()
    norms()
    scans()
    exponentials()
