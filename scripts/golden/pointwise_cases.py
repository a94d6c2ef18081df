"""Arithmetic, comparisons, functions of one variable, activations."""

import torch
import torch.nn.functional as F

from records import fixed, index, integers, mask, of, rand, record, refused

INF = float("inf")
NAN = float("nan")

BINARY = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
}
COMPARISONS = {
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
}


def binary():
    for op, call in {**BINARY, **COMPARISONS}.items():
        record(op, call, rand(2, 3), rand(2, 3, low=0.5, high=2))
        record(op, call, rand(2, 1, 3), rand(4, 1, low=0.5, high=2))
        record(op, call, rand(3), rand(low=0.5, high=2))
        record(op, call, rand(2, 0, 3), rand(1, 3))
        record(op, call, rand(1, 1), rand(5, low=0.5, high=2))
        record(op, call, integers(-4, 5, 2, 3), integers(1, 4, 3))
        record(op, call, rand(4), integers(1, 4, 4))
        ties = of([0, 1, -1, 2, NAN, 1, INF, -INF])
        record(op, call, ties, of([0, 1, 1, -2, 1, NAN, INF, 3]), note="ties and NaN")
        if op not in ("maximum", "minimum"):
            record(op, call, rand(2, 3), 1.5)
            record(op, call, integers(-4, 5, 4), 2)
            record(op, call, integers(-4, 5, 4), 1.5)
        refused(op, call, rand(2, 3), rand(2, 2))
    for op in ("add", "sub", "mul", "div"):
        call = BINARY[op]
        record(op, lambda a, b, c=call: c(torch.tensor(a, dtype=b.dtype), b), 1.5, rand(4, low=0.5))
    for op in ("add", "sub"):
        record(op, BINARY[op], rand(2, 3), rand(3), alpha=2.5)
        record(op, BINARY[op], integers(-4, 5, 4), integers(-4, 5, 4), alpha=3)
    for mode in ("floor", "trunc"):
        record("div", torch.div, of([7, -7, 7.5, -7.5, 0]), of([2, 2, -2, -2, 3]), roundingMode=mode)
        record("div", torch.div, index([7, -7, 6]), index([2, 2, -3]), roundingMode=mode)


def powers():
    record("pow", torch.pow, rand(2, 3, low=0.25, high=2), rand(2, 3))
    record("pow", torch.pow, rand(2, 1, low=0.25, high=2), rand(3))
    for exponent in (2, 3, 0.5, -1, 0, 1, -2, 2.5):
        record("pow", torch.pow, rand(2, 3, low=0.25, high=2), exponent)
    for exponent in (2, 3, -1, 0, 1):
        record("pow", torch.pow, of([-2, -0.5, 1.5]), exponent, note="negative base")
    for exponent in (0, 1, 2, 3, 0.5, 1.5, -1):
        record("pow", torch.pow, of([0.0, 2.0]), exponent, note="zero base")
    record("pow", torch.pow, of([0, 0, 0, -2, -2, 1, 2]), of([0, 1, 2, 2, 3, 0, -1]), note="edges")
    record("pow", torch.pow, 2, rand(4))
    record("pow", torch.pow, 0, of([0, 1, 2.5]))
    record("pow", torch.pow, of([-1.5]), 0.5, note="NaN")
    record("pow", torch.pow, rand(0, 3), 2)


UNARY = {
    "neg": (torch.neg, -2, 2, [0, INF, -INF, NAN]),
    "abs": (torch.abs, -2, 2, [0, INF, -INF, NAN]),
    "exp": (torch.exp, -2, 2, [0, INF, -INF, NAN, -20, 20]),
    "log": (torch.log, 0.1, 4, [0, 1, INF, NAN, -1]),
    "log1p": (torch.log1p, -0.5, 2, [0, -1, INF, 1e-9]),
    "sqrt": (torch.sqrt, 0.1, 4, [0, 1, INF, NAN, -1]),
    "sin": (torch.sin, -4, 4, [0, 100, NAN]),
    "cos": (torch.cos, -4, 4, [0, 100, NAN]),
    "tanh": (torch.tanh, -2, 2, [0, INF, -INF, NAN, 20, -20, 1e-6]),
    "sigmoid": (torch.sigmoid, -2, 2, [0, INF, -INF, NAN, 40, -40]),
    "relu": (torch.relu, -2, 2, [0, -0.0, INF, -INF]),
    "leakyRelu": (F.leaky_relu, -2, 2, [0, INF, NAN]),
    "elu": (F.elu, -2, 2, [0, INF, -INF, -40]),
    "gelu": (F.gelu, -3, 3, [0, 6, -6, 30, -30]),
    "silu": (F.silu, -3, 3, [0, 30, -30]),
    "softplus": (F.softplus, -3, 3, [0, 10, 20, 20.5, 40, -40]),
    "square": (torch.square, -2, 2, [0]),
    "sign": (torch.sign, -2, 2, [0]),
}


def unary():
    for op, (call, low, high, edges) in UNARY.items():
        first = fixed(rand(2, 3, low=low, high=high)) if op == "sign" else rand(2, 3, low=low, high=high)
        record(op, call, first)
        record(op, call, fixed(of([float(e) for e in edges])) if op == "sign" else of([float(e) for e in edges]), note="edges")
        record(op, call, fixed(rand(low=low, high=high)) if op == "sign" else rand(low=low, high=high))
        record(op, call, fixed(rand(0)) if op == "sign" else rand(0))
        if op not in ("leakyRelu", "elu", "gelu", "silu", "softplus", "square", "relu"):
            record(op, call, integers(1, 4, 3))
    record("leakyRelu", F.leaky_relu, rand(7), negativeSlope=0.2)
    record("leakyRelu", F.leaky_relu, rand(7), negativeSlope=0)
    record("leakyRelu", F.leaky_relu, rand(7), negativeSlope=-0.5)
    record("elu", F.elu, rand(7), alpha=0.7)
    record("gelu", F.gelu, rand(7, low=-3, high=3), approximate="none")
    record("gelu", F.gelu, rand(7, low=-3, high=3), approximate="tanh")
    record("gelu", F.gelu, of([0, 6, -6, 30, -30]), approximate="tanh", note="edges")
    record("softplus", F.softplus, rand(7), beta=2.5)
    record("softplus", F.softplus, rand(7, low=-4, high=4), beta=2, threshold=1.5)
    refused("gelu", F.gelu, rand(2), approximate="erf")


def selection():
    record("clamp", torch.clamp, of([-2, -1, 0.5, 1, 3, NAN]), min=-1, max=1)
    record("clamp", torch.clamp, rand(2, 3), min=0)
    record("clamp", torch.clamp, rand(2, 3), max=0.25)
    record("clamp", torch.clamp, of([-2, 0, 2]), min=1, max=-1, note="min above max")
    record("clamp", torch.clamp, integers(-5, 6, 5), min=-2, max=2)
    record("clamp", torch.clamp, rand(0, 2), min=0)
    record("clamp", torch.clamp, rand(2, 3), min=of([-1, 0, 1]), max=of([0, 0.5, 1.5]), note="tensor bounds")
    record("clamp", torch.clamp, rand(2, 3), min=rand(2, 1), note="tensor bound")
    refused("clamp", torch.clamp, rand(2))
    record("where", torch.where, mask([[True, False, True], [False, False, True]]), rand(2, 3), rand(2, 3))
    record("where", torch.where, mask([True, False]), rand(3, 1), rand(1, 2))
    record("where", torch.where, mask([True, False, True]), rand(3), 0.5)
    record("where", torch.where, mask([True, False, True]), 0.5, rand(3))
    record("where", torch.where, mask([True, False]), of([1, 2]), of([INF, NAN]), note="unused branch")
    record("where", torch.where, mask([]), rand(2, 0), rand(0))
    record("where", torch.where, mask([True, False, True]), integers(0, 9, 3), integers(0, 9, 3))
    refused("where", torch.where, mask([True, False]), rand(3), rand(3))


def run():
    binary()
    powers()
    unary()
    selection()
