"""Writes test/golden/dense.json.gz: PyTorch's results for the dense operators, in float64.

    python scripts/golden/dense.py

The file has the seed and the version of PyTorch in its head, then
- records: calls with their inputs, results and gradients (records.py says how they are written);
- refused: calls that PyTorch refuses;
- promotion: the dtype of the result of two dtypes, for each binary function.
"""

import gzip
import json
import pathlib

import torch

import layer_cases
import linear_cases
import pointwise_cases
import reduction_cases
import shape_cases
from records import SEED, errors, records

ROOT = pathlib.Path(__file__).resolve().parents[2]

OPERANDS = {
    "float32": torch.tensor([1.5], dtype=torch.float32),
    "float64": torch.tensor([1.5], dtype=torch.float64),
    "int32": torch.tensor([2], dtype=torch.int32),
    "uint8": torch.tensor([2], dtype=torch.uint8),
    "integer": 3,
    "fraction": 1.5,
}
BINARY = {
    **pointwise_cases.BINARY,
    **pointwise_cases.COMPARISONS,
    "pow": torch.pow,
    "where": lambda a, b: torch.where(torch.tensor([True]), a, b),
    "cat": lambda a, b: torch.cat([a, b]),
    "matmul": torch.matmul,
}


def promotion():
    names = {torch.bool: "uint8"}
    table = []
    for op, call in BINARY.items():
        for a, x in OPERANDS.items():
            for b, y in OPERANDS.items():
                if not isinstance(x, torch.Tensor) and not isinstance(y, torch.Tensor):
                    continue
                try:
                    dtype = call(x, y).dtype
                except (TypeError, RuntimeError):
                    table.append([op, a, b, "refused"])
                    continue
                table.append([op, a, b, names.get(dtype, str(dtype).removeprefix("torch."))])
    return table


def main():
    for cases in (pointwise_cases, reduction_cases, shape_cases, linear_cases, layer_cases):
        cases.run()
    head = {"seed": SEED, "torch": torch.__version__.split("+")[0], "generator": "scripts/golden/dense.py"}
    content = {**head, "records": records, "refused": errors, "promotion": promotion()}
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    path = ROOT / "test/golden/dense.json.gz"
    path.parent.mkdir(parents=True, exist_ok=True)
    # No time in the header: the same results give the same file.
    path.write_bytes(gzip.compress(text.encode(), compresslevel=9, mtime=0))
    print(f"{len(records)} records, {len(errors)} refused, {len(text)} bytes, {path.stat().st_size} packed")


if __name__ == "__main__":
    main()
