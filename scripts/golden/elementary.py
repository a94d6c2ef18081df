"""Elementary functions to the last place of float64, by mpmath with 60 digits.

    python scripts/golden/elementary.py > test/ops/elementary.json

Arguments are numbers that float32 holds, so the table serves both precisions; over all magnitudes, and dense
where a function changes. The seed is fixed.
"""

import json
import random

import mpmath as mp
import numpy as np

mp.mp.dps = 60
random.seed(20240229)


def single(x):
    return float(np.float32(x))


def magnitudes(low, high, count):
    """Log-uniform in [10^low, 10^high]."""
    return [single(10 ** random.uniform(low, high)) for _ in range(count)]


def uniform(low, high, count):
    return [single(random.uniform(low, high)) for _ in range(count)]


def signed(values):
    return [s * v for v in values for s in (1, -1)]


EVERYWHERE = signed(magnitudes(-42, 38, 60) + [0.0, 1.0, 0.5, 2.0, 1.1754943508222875e-38])
NEAR = uniform(-4, 4, 120)


def normal_cdf(x):
    return mp.erfc(-x / mp.sqrt(2)) / 2


def gelu_tanh(x):
    return x * mp.mpf(1) / (1 + mp.exp(-2 * mp.sqrt(2 / mp.pi) * (x + mp.mpf("0.044715") * x**3)))


FUNCTIONS = {
    "exp": (mp.exp, NEAR + uniform(-104, 89, 120) + signed(magnitudes(-40, 0, 20))),
    "log": (mp.log, [abs(x) for x in EVERYWHERE if x] + uniform(0.5, 2, 80)),
    "log1p": (mp.log1p, [abs(x) for x in EVERYWHERE] + uniform(-0.999, 1, 120)),
    "sqrt": (mp.sqrt, [abs(x) for x in EVERYWHERE]),
    "rsqrt": (lambda x: 1 / mp.sqrt(x), [abs(x) for x in EVERYWHERE if x]),
    "reciprocal": (lambda x: 1 / x, [x for x in EVERYWHERE if x]),
    "sin": (mp.sin, NEAR + EVERYWHERE + uniform(-1000, 1000, 60)),
    "cos": (mp.cos, NEAR + EVERYWHERE + uniform(-1000, 1000, 60)),
    "tanh": (mp.tanh, NEAR + EVERYWHERE + uniform(-20, 20, 40)),
    "erf": (mp.erf, NEAR + EVERYWHERE + uniform(-7, 7, 40)),
    "sigmoid": (lambda x: 1 / (1 + mp.exp(-x)), NEAR + uniform(-80, 80, 80)),
    "silu": (lambda x: x / (1 + mp.exp(-x)), NEAR + uniform(-80, 80, 80)),
    "softplus": (
        lambda x: x if x > 20 else mp.log1p(mp.exp(x)),
        NEAR + uniform(-80, 80, 80),
    ),
    "elu": (lambda x: x if x > 0 else mp.expm1(x), NEAR + EVERYWHERE + uniform(-100, 10, 40)),
    "gelu": (lambda x: x * normal_cdf(x), NEAR + uniform(-12, 12, 100)),
    "geluTanh": (gelu_tanh, NEAR + uniform(-6, 12, 100)),
}


def rounded(value):
    x = float(value)
    return x if np.isfinite(x) else ("inf" if x > 0 else "-inf")


print(
    json.dumps(
        {
            name: [[x, rounded(f(mp.mpf(x)))] for x in arguments]
            for name, (f, arguments) in FUNCTIONS.items()
        },
        separators=(",", ":"),
    )
)
