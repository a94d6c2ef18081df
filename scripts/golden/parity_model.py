"""Writes test/golden/parity-model.safetensors and parity-results.safetensors: a small convolutional network of
PyTorch after a few steps of training, and what it answers.

    python scripts/golden/parity_model.py

The model file has the weights under PyTorch's own names. The other has an input, the labels, the logits in eval
mode in both precisions, and of one step in training mode, in float64: the loss, the gradients of all parameters
(gradient.NAME) and the running statistics after it (after.NAME). test/golden/parity.test.ts builds the same network.
"""

import json
import pathlib
import struct

import torch
from torch import nn

SEED = 20240229
ROOT = pathlib.Path(__file__).resolve().parents[2]
DTYPES = {torch.float32: "F32", torch.float64: "F64", torch.int64: "I64"}


class Residual(nn.Module):
    """Two convolutions beside a shortcut; the second is grouped."""

    def __init__(self, channels_in, channels, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=2, dilation=2, groups=4)
        self.norm2 = nn.GroupNorm(4, channels)
        same = stride == 1 and channels_in == channels
        self.down_sample = None if same else nn.Conv2d(channels_in, channels, 1, stride=stride)

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return torch.nn.functional.gelu(y + (x if self.down_sample is None else self.down_sample(x)))


class Separable(nn.Module):
    """A depthwise and a pointwise convolution."""

    def __init__(self, channels):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(channels, channels, 5, padding=2, groups=channels, bias=False),
            nn.Conv2d(channels, channels, 1),
            nn.BatchNorm2d(channels, eps=1e-3, momentum=0.2),
            nn.SiLU(),
        )

    def forward(self, x):
        return x + self.layers(x)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.MaxPool2d(3, stride=2, padding=1)
        )
        self.blocks = nn.ModuleList([Residual(16, 16, 1), Residual(16, 24, 2), Separable(24)])
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.LayerNorm(96), nn.Linear(96, 10))

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.head(x)


def save(tensors, path):
    """A safetensors file: the length of the header, the header, the elements."""
    header, parts, at = {}, [], 0
    # Wide elements first, so that each is aligned.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        data = tensor.detach().contiguous().numpy().tobytes()
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    header["__metadata__"] = {"seed": str(SEED), "torch": torch.__version__.split("+")[0]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))
    print(path.name, path.stat().st_size, "bytes")


def loss_of(model, x, labels):
    return nn.functional.cross_entropy(model(x), labels, label_smoothing=0.1)


def main():
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    model = Network()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(8):
        x = torch.randn(16, 3, 20, 20)
        labels = (x.mean(dim=(1, 2, 3)) * 50).long() % 10
        optimizer.zero_grad()
        loss_of(model, x, labels).backward()
        optimizer.step()
    x, labels = torch.randn(4, 3, 20, 20), torch.tensor([3, 1, 4, 9])
    save(model.state_dict(), ROOT / "test/golden/parity-model.safetensors")

    results = {"input": x, "labels": labels}
    with torch.no_grad():
        results["logits"] = model.eval()(x)
    model.double()
    with torch.no_grad():
        results["logits64"] = model.eval()(x.double())
    model.train()
    model.zero_grad()
    loss = loss_of(model, x.double(), labels)
    loss.backward()
    results["loss"] = loss
    for name, parameter in model.named_parameters():
        results[f"gradient.{name}"] = parameter.grad.float()
    for name, value in model.named_buffers():
        if "running" in name:
            results[f"after.{name}"] = value.float()
    save(results, ROOT / "test/golden/parity-results.safetensors")


if __name__ == "__main__":
    main()
