"""Records of PyTorch's results: what was called, what came out, the gradients of every input.

A record is one call `op(*args, options)` of Fluxion's public function, run here with PyTorch in float64. Inputs
are multiples of 1/64, so that float32 holds them exactly and both precisions start from the same numbers.
"""

import itertools
import math
import random
import re

import torch

SEED = 20240229
DTYPES = {
    torch.float64: "float",
    torch.float32: "float32",
    torch.int64: "int32",  # Fluxion's integers have 32 bits
    torch.int32: "int32",
    torch.uint8: "uint8",
    torch.bool: "uint8",
}
stream = random.Random(SEED)
records = []
errors = []


def rand(*shape, low=-2.0, high=2.0):
    """Random multiples of 1/64 in [low, high)."""
    first, last = math.ceil(low * 64), math.ceil(high * 64) - 1
    values = [stream.randint(first, last) / 64 for _ in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def distinct(*shape):
    """Random values without ties, -n/4 to n/4."""
    n = math.prod(shape)
    values = [(i - n // 2) / 4 + 0.125 for i in range(n)]
    stream.shuffle(values)
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def of(values):
    return torch.tensor(values, dtype=torch.float64)


def integers(low, high, *shape):
    values = [stream.randrange(low, high) for _ in range(math.prod(shape))]
    return torch.tensor(values, dtype=torch.int64).reshape(shape)


def index(values):
    return torch.tensor(values, dtype=torch.int64)


def mask(values):
    return torch.tensor(values, dtype=torch.bool)


def fixed(x):
    """The same tensor, in which no gradient is taken."""
    x.fixed = True
    return x


def snake(name):
    return re.sub(r"[A-Z]", lambda m: "_" + m.group().lower(), name)


def tensors_in(value):
    if isinstance(value, torch.Tensor):
        return [value]
    if isinstance(value, (list, tuple)):
        return list(itertools.chain.from_iterable(map(tensors_in, value)))
    if isinstance(value, dict):
        return tensors_in(list(value.values()))
    return []


def number(v):
    if isinstance(v, bool) or isinstance(v, int):
        return int(v)
    if math.isnan(v):
        return "NaN"
    if math.isinf(v):
        return "Infinity" if v > 0 else "-Infinity"
    return int(v) if v == int(v) and abs(v) < 2**53 and not (v == 0 and math.copysign(1, v) < 0) else float(f"{v:.15g}")


def numbers(t):
    return [number(v) for v in t.detach().reshape(-1).tolist()]


def encode(value, extra):
    if isinstance(value, torch.Tensor):
        return {
            "shape": list(value.shape),
            "dtype": DTYPES[value.dtype],
            "values": numbers(extra["before"][id(value)]),
            **extra.get(id(value), {}),
        }
    if isinstance(value, (list, tuple)):
        return [encode(v, extra) for v in value]
    if isinstance(value, dict):
        return {k: encode(v, extra) for k, v in value.items()}
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return value
    return number(value)


def cotangent(shape, dtype, output):
    """The cotangent of output number `output`: a function of the position, which the test repeats."""
    values = [((7 * i + 3 * output + 2) % 13 - 6) / 8 for i in range(math.prod(shape))]
    return torch.tensor(values, dtype=dtype).reshape(shape)


def plan(call, args, options):
    return call(*args, **{snake(k): v for k, v in options.items()})


def record(op, call, *args, note="", dtypes=None, cancels=False, **options):
    """Runs call(*args, **options) (option names in camelCase) and keeps the results as a record of `op`.

    cancels: what comes out is what larger terms leave, and tolerances are relative to 1.
    """
    every = tensors_in([args, options])
    before = {id(t): t.detach().clone() for t in every}
    wanted = [t for t in every if t.dtype == torch.float64 and not getattr(t, "fixed", False)]
    for t in wanted:
        t.requires_grad_(True)
    result = plan(call, args, options)
    outputs = list(result) if isinstance(result, (list, tuple)) else [result]
    extra = {"before": before}
    reached = [o for o in outputs if o.requires_grad]
    if reached:
        cotangents = [cotangent(o.shape, o.dtype, i) for i, o in enumerate(outputs) if o.requires_grad]
        gradients = torch.autograd.grad(reached, wanted, cotangents, allow_unused=True)
        for t, g in zip(wanted, gradients):
            extra[id(t)] = {"gradient": numbers(torch.zeros_like(t) if g is None else g)}
    for t in every:
        if not torch.equal(t.detach().nan_to_num(), before[id(t)].nan_to_num()):
            extra.setdefault(id(t), {})["after"] = numbers(t)
    entry = {"op": op, "args": encode(list(args), extra)}
    if options:
        entry["options"] = encode(options, extra)
    if note:
        entry["note"] = note
    if dtypes:
        entry["dtypes"] = dtypes
    if cancels:
        entry["cancels"] = True
    described = [
        {"shape": list(o.shape), "dtype": DTYPES[o.dtype], "values": numbers(o)} for o in outputs
    ]
    entry["outputs"] = described
    if isinstance(result, (list, tuple)):
        entry["list"] = True
    records.append(entry)


def refused(op, call, *args, **options):
    """A call that PyTorch refuses; Fluxion has to refuse it too, or a list says why it does not."""
    extra = {"before": {id(t): t.detach().clone() for t in tensors_in([args, options])}}
    try:
        plan(call, args, options)
    except Exception as error:  # noqa: BLE001 whatever it raises is a refusal
        entry = {"op": op, "args": encode(list(args), extra)}
        if options:
            entry["options"] = encode(options, extra)
        entry["message"] = str(error).split("\n")[0][:160]
        errors.append(entry)
        return
    print("PyTorch accepts", op, args, options)
