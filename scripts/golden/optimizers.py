"""Trajectories of PyTorch's optimizers, schedulers and gradient clipping in float64.

    python scripts/golden/optimizers.py > test/optim/golden.json

Made with PyTorch 2.13; the only random numbers are those of the seed below.
"""

import json
import math

import torch
from torch.optim import lr_scheduler as lrs

torch.manual_seed(20240229)
torch.set_default_dtype(torch.float64)

SHAPES = [[3], [2, 2], [], [5]]
STEPS = 6
INITIAL = [torch.randn(shape) for shape in SHAPES]
GRADS = [[torch.randn(shape) for shape in SHAPES] for _ in range(STEPS)]
# A parameter without a gradient in one step: its count of steps lags behind from there on.
GRADS[2][1] = None


def flat(tensors):
    return [None if t is None else t.detach().reshape(-1).tolist() for t in tensors]


def trajectory(make):
    params = [p.clone().requires_grad_() for p in INITIAL]
    optimizer = make([{"params": params[:2]}, {"params": params[2:], "lr": 0.03}])
    after = []
    for grads in GRADS:
        for p, g in zip(params, grads):
            p.grad = None if g is None else g.clone()
        optimizer.step()
        after.append(flat(params))
    return after


ADAM = [
    {},
    {"learningRate": 0.1, "betas": [0.8, 0.9], "eps": 1e-3},
    {"learningRate": 0.05, "weightDecay": 0.1},
    {"learningRate": 0.1, "amsgrad": True, "betas": [0.5, 0.6]},
    {"learningRate": 0.1, "maximize": True},
    {"learningRate": 0.1, "amsgrad": True, "maximize": True, "weightDecay": 0.2},
    {"learningRate": 0.1, "betas": [0.0, 0.9]},
]
SGD = [
    {"learningRate": 0.1},
    {"learningRate": 0.1, "weightDecay": 0.2},
    {"learningRate": 0.1, "momentum": 0.9},
    {"learningRate": 0.1, "momentum": 0.9, "dampening": 0.3, "weightDecay": 0.01},
    {"learningRate": 0.1, "momentum": 0.9, "nesterov": True, "weightDecay": 0.01},
    {"learningRate": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True},
    {"learningRate": 0.1, "maximize": True, "weightDecay": 0.2},
]
NAMES = {"learningRate": "lr", "weightDecay": "weight_decay"}


def steps(kind, options):
    named = {NAMES.get(k, k): tuple(v) if isinstance(v, list) else v for k, v in options.items()}
    build = getattr(torch.optim, kind)
    return {
        "kind": kind,
        "options": options,
        "after": trajectory(lambda groups: build(groups, **named)),
    }


# --- L-BFGS

ROSENBROCK = [-1.5, 2.0]
MATRIX = torch.tensor([[4.0, 1.0, 0.0], [1.0, 3.0, -1.0], [0.0, -1.0, 2.0]])
VECTOR = torch.tensor([1.0, -2.0, 3.0])


def rosenbrock(x):
    return (1 - x[0]) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2


def quadratic(x):
    return 0.5 * (x @ (MATRIX @ x)) - VECTOR @ x


def lbfgs(function, start, calls, options):
    x = torch.tensor(start, requires_grad=True)
    named = {
        "lr": options.get("learningRate", 1),
        "max_iter": options.get("maxIter", 20),
        "max_eval": options.get("maxEval"),
        "tolerance_grad": options.get("toleranceGrad", 1e-7),
        "tolerance_change": options.get("toleranceChange", 1e-9),
        "history_size": options.get("historySize", 100),
        "line_search_fn": "strong_wolfe" if "lineSearchFn" in options else None,
    }
    optimizer = torch.optim.LBFGS([x], **named)
    after = []

    def closure():
        optimizer.zero_grad()
        loss = function(x)
        loss.backward()
        return loss

    for _ in range(calls):
        loss = optimizer.step(closure)
        evaluations = optimizer.state[x]["func_evals"]
        after.append({"loss": loss.item(), "x": x.tolist(), "evaluations": evaluations})
    return {
        "function": function.__name__,
        "start": start,
        "options": options,
        "after": after,
    }


WOLFE = {"lineSearchFn": "strong-wolfe"}
TIGHT = {"toleranceGrad": 1e-12, "toleranceChange": 1e-16}
LBFGS = [
    lbfgs(rosenbrock, ROSENBROCK, 6, {**WOLFE, **TIGHT, "maxIter": 5}),
    lbfgs(rosenbrock, ROSENBROCK, 2, {**WOLFE, "maxIter": 4, "historySize": 2}),
    lbfgs(rosenbrock, ROSENBROCK, 5, {**WOLFE, "maxIter": 3, "maxEval": 3}),
    lbfgs(rosenbrock, ROSENBROCK, 3, {"learningRate": 1e-3, "maxIter": 4}),
    lbfgs(quadratic, [0.0, 0.0, 0.0], 3, {**WOLFE, **TIGHT}),
    lbfgs(quadratic, [0.0, 0.0, 0.0], 4, {"learningRate": 0.5, "maxIter": 3}),
]


# --- Schedulers: the learning rates and the momentum of two groups after each step


def schedule(name, args, options, make, count=14, momentum=False):
    params = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.SGD(
        [{"params": params[:1]}, {"params": params[1:], "lr": 0.2}], lr=0.5, momentum=0.9
    )
    scheduler = make(optimizer)
    rates, momenta = [], []
    for i in range(count):
        if i:
            optimizer.step()
            scheduler.step()
        rates.append([g["lr"] for g in optimizer.param_groups])
        momenta.append(optimizer.param_groups[0]["momentum"])
    made = {"name": name, "args": args, "options": options, "rates": rates}
    return {**made, "momenta": momenta} if momentum else made


def one_cycle(optimizer, **kwargs):
    return lrs.OneCycleLR(optimizer, 1.5, **kwargs)


def sequential(optimizer):
    parts = [
        lrs.LinearLR(optimizer, start_factor=0.1, total_iters=4),
        lrs.CosineAnnealingLR(optimizer, 6, eta_min=0.01),
        lrs.ExponentialLR(optimizer, 0.5),
    ]
    return lrs.SequentialLR(optimizer, parts, milestones=[4, 9])


SCHEDULES = [
    schedule("StepLR", [3], {"gamma": 0.5}, lambda o: lrs.StepLR(o, 3, gamma=0.5)),
    schedule("StepLR", [4], {}, lambda o: lrs.StepLR(o, 4)),
    schedule("MultiStepLR", [[2, 5, 5, 9]], {}, lambda o: lrs.MultiStepLR(o, [2, 5, 5, 9])),
    schedule("ExponentialLR", [0.7], None, lambda o: lrs.ExponentialLR(o, 0.7)),
    schedule("CosineAnnealingLR", [5], {}, lambda o: lrs.CosineAnnealingLR(o, 5)),
    schedule(
        "CosineAnnealingLR",
        [10],
        {"etaMin": 0.05},
        lambda o: lrs.CosineAnnealingLR(o, 10, eta_min=0.05),
    ),
    schedule("LinearWarmup", [], {}, lambda o: lrs.LinearLR(o)),
    schedule(
        "LinearWarmup",
        [],
        {"startFactor": 0.2, "endFactor": 0.9, "totalSteps": 7},
        lambda o: lrs.LinearLR(o, start_factor=0.2, end_factor=0.9, total_iters=7),
    ),
    schedule(
        "OneCycleLR",
        [1.5],
        {"totalSteps": 14},
        lambda o: one_cycle(o, total_steps=14),
        momentum=True,
    ),
    schedule(
        "OneCycleLR",
        [1.5],
        {"totalSteps": 14, "pctStart": 0.4, "annealStrategy": "linear", "divFactor": 10},
        lambda o: one_cycle(
            o, total_steps=14, pct_start=0.4, anneal_strategy="linear", div_factor=10
        ),
        momentum=True,
    ),
    schedule("SequentialLR", [], None, sequential),
]

METRICS = [1, 0.9, 0.95, 0.9, 0.8999, 0.91, 0.5, 0.6, 0.6, 0.6, 0.6, 0.4, 0.41, 0.42, 0.43, 0.44]
PLATEAUS = [
    {"patience": 1},
    {"patience": 0, "factor": 0.5, "cooldown": 2, "minLearningRate": 0.05},
    {"patience": 2, "mode": "max", "threshold": 0.1, "thresholdMode": "abs"},
    {"patience": 1, "mode": "max", "threshold": 0.05, "minLearningRate": [0.1, 0.01]},
]


def plateau(options):
    params = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": params[:1]}, {"params": params[1:], "lr": 0.2}], lr=0.5)
    names = {"thresholdMode": "threshold_mode", "minLearningRate": "min_lr"}
    scheduler = lrs.ReduceLROnPlateau(optimizer, **{names.get(k, k): v for k, v in options.items()})
    rates = []
    for metric in METRICS:
        scheduler.step(metric)
        rates.append([g["lr"] for g in optimizer.param_groups])
    return {"options": options, "rates": rates}


# --- Clipping


def clip(norm_type, max_norm):
    params = [p.clone().requires_grad_() for p in INITIAL]
    for p, g in zip(params, GRADS[0]):
        p.grad = g.clone()
    norm = torch.nn.utils.clip_grad_norm_(params, max_norm, norm_type=norm_type)
    name = "inf" if math.isinf(norm_type) else norm_type
    return {
        "normType": name,
        "maxNorm": max_norm,
        "norm": norm.item(),
        "grads": flat([p.grad for p in params]),
    }


print(
    json.dumps(
        {
            "torch": torch.__version__,
            "shapes": SHAPES,
            "initial": flat(INITIAL),
            "grads": [flat(g) for g in GRADS],
            "optimizers": [
                *(steps("Adam", o) for o in ADAM),
                *(steps("AdamW", o) for o in ADAM),
                *(steps("SGD", o) for o in SGD),
            ],
            "lbfgs": LBFGS,
            "schedules": SCHEDULES,
            "metrics": METRICS,
            "plateaus": [plateau(o) for o in PLATEAUS],
            "clips": [
                clip(p, limit) for p in (1.0, 2.0, 2.5, math.inf) for limit in (0.7, 100.0)
            ],
        },
        indent=None,
        separators=(",", ":"),
    )
)
