"""Training steps of networks in PyTorch: reaction-diffusion, advection-diffusion-reaction."""

import torch
import torch.nn.functional as F

from torch_adr_step import pixel_grid
from torch_diffusion import Eigenbasis
from torch_inputs import rotating


class Diffusion(torch.nn.Module):
    def __init__(self, channels, side):
        super().__init__()
        initial = torch.logspace(-1, 0, channels)
        self.raw = torch.nn.Parameter(torch.log(torch.expm1(initial)))
        shape = {"h": side, "w": side, "boundary": "neumann", "scheme": "backward-euler"}
        self.eigenbasis = Eigenbasis(shape)

    def forward(self, u):
        return self.eigenbasis.apply(u, self.eigenbasis.factors(F.softplus(self.raw)))


class ReactionDiffusion(torch.nn.Module):
    def __init__(self, channels, side):
        super().__init__()
        self.reaction = torch.nn.Sequential(
            torch.nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            torch.nn.BatchNorm2d(channels),
            torch.nn.ReLU(inplace=True),
            torch.nn.Conv2d(channels, channels, 1),
        )
        self.diffusion = Diffusion(channels, side)

    def forward(self, u):
        return self.diffusion(u + self.reaction(u))


def widen(before, after):
    return [
        torch.nn.Conv2d(before, after, 3, padding=1, bias=False),
        torch.nn.BatchNorm2d(after),
        torch.nn.ReLU(inplace=True),
    ]


# Set while networks_on_cuda makes the compiled formulations.
compiled = False


def step_of(model, loss_of):
    if compiled:
        model = torch.compile(model)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)

    def call(x):
        optimizer.zero_grad()
        loss_of(model(x), x).backward()
        optimizer.step()

    return call


def both_layouts(images, formulation):
    return {
        "nchw": rotating(images, formulation(torch.contiguous_format)),
        "channels-last": rotating(images, formulation(torch.channels_last)),
    }


def rdnn(r, s):
    side, layers = s["side"], s["layers"]
    target = torch.randint(0, 10, (s["batch"],))
    images = [(torch.randn(s["batch"], 1, side, side),) for _ in range(min(r["sets"], 64))]

    def formulation(layout):
        model = torch.nn.Sequential(
            *widen(1, 32),
            *(ReactionDiffusion(32, side) for _ in range(layers)),
            torch.nn.MaxPool2d(2),
            *widen(32, 64),
            *(ReactionDiffusion(64, side // 2) for _ in range(layers)),
            torch.nn.AdaptiveAvgPool2d(1),
            torch.nn.Flatten(),
            torch.nn.Linear(64, 10),
        ).to(memory_format=layout)
        return step_of(model, lambda logits, _: F.cross_entropy(logits, target))

    return both_layouts(images, formulation)


class AdvectionDiffusionReaction(torch.nn.Module):
    """u(x - w), implicit diffusion, v + W2 silu(W1 v); w = K2 silu(K1 u)."""

    def __init__(self, channels, side):
        super().__init__()
        self.velocity = torch.nn.Sequential(
            torch.nn.Conv2d(channels, channels, 3, padding=1),
            torch.nn.SiLU(inplace=True),
            torch.nn.Conv2d(channels, 2, 3, padding=1, bias=False),
        )
        torch.nn.init.normal_(self.velocity[2].weight, std=1e-4)
        self.diffusion = Diffusion(channels, side)
        self.reaction = torch.nn.Sequential(
            torch.nn.Conv2d(channels, channels, 1),
            torch.nn.SiLU(inplace=True),
            torch.nn.Conv2d(channels, channels, 1),
        )
        self.pixels = pixel_grid(side, side)
        self.scale = 2 / (side - 1)

    def forward(self, u):
        grid = (self.pixels - self.velocity(u)).permute(0, 2, 3, 1) * self.scale - 1
        moved = F.grid_sample(u, grid, padding_mode="zeros", align_corners=True)
        v = self.diffusion(moved)
        return v + self.reaction(v)


def adrnn(r, s):
    side, channels = s["side"], s["channels"]
    shape = (s["batch"], s["fields"], side, side)
    fields = [(torch.randn(shape),) for _ in range(min(r["sets"], 64))]

    def formulation(layout):
        model = torch.nn.Sequential(
            torch.nn.Conv2d(s["fields"], channels, 3, padding=1),
            *(AdvectionDiffusionReaction(channels, side) for _ in range(s["layers"])),
            torch.nn.Conv2d(channels, s["fields"], 1),
        ).to(memory_format=layout)
        return step_of(model, F.mse_loss)

    return both_layouts(fields, formulation)


FORMULATIONS = {"rdnn": rdnn, "adrnn": adrnn}


def networks_on_cuda(name, settings):
    """Steps by formulation: both layouts, eager and compiled; each takes the number of the call."""
    global compiled
    steps = {}
    with torch.device("cuda"):
        for compiled in (False, True):
            label = "compiled, " if compiled else ""
            sizes = {"fields": 1, **settings}
            for layout, step in FORMULATIONS[name]({"sets": 8}, sizes).items():
                steps[label + layout] = step
    compiled = False
    return steps
