"""Tridiagonal systems by cuSPARSE's gtsv2StridedBatch through CuPy, timed with events.

Reads {"cases": [{"name", "shape"}], "samples"}, shape = [systems, n], and prints {"rows": {name: {"ms", "formulation"}},
"cupy", "cusparse"}. The solver overwrites the right-hand sides: a call has a copy of them before it, which is timed by
itself and taken off. Solutions are checked against the systems.
"""

import json
import statistics
import sys

import cupy
from cupy.cuda import device
from cupy_backends.cuda.libs import cusparse

ROTATED_BYTES = 512e6
SAMPLE_MS = 60.0


def timed(call, samples):
    """Milliseconds of a call(i), many calls to a sample."""
    start, end = cupy.cuda.Event(), cupy.cuda.Event()

    def sample(calls):
        start.record()
        for i in range(calls):
            call(i)
        end.record()
        end.synchronize()
        return cupy.cuda.get_elapsed_time(start, end)

    sample(4)
    calls = 1
    while sample(calls) < SAMPLE_MS and calls < 4096:
        calls *= 2
    return statistics.median(sample(calls) / calls for _ in range(samples))


def solver(systems, n, samples):
    handle = device.get_cusparse_handle()

    def one():
        rand = lambda: cupy.random.rand(systems, n, dtype=cupy.float32)
        lower, diag, upper, rhs = -rand(), 2 + rand(), -rand(), rand()
        lower[:, 0] = 0
        upper[:, -1] = 0
        return lower, diag, upper, rhs, rhs.copy()

    count = max(1, min(8, int(-(-ROTATED_BYTES // (20 * systems * n)))))
    sets = [one() for _ in range(count)]

    def arguments(lower, diag, upper, _, x):
        return handle, n, lower.data.ptr, diag.data.ptr, upper.data.ptr, x.data.ptr, systems, n

    size = cusparse.sgtsv2StridedBatch_bufferSizeExt(*arguments(*sets[0]))
    buffer = cupy.empty(max(size, 1), dtype=cupy.uint8)

    def copy(i):
        chosen = sets[i % count]
        chosen[4][...] = chosen[3]

    def solve(i):
        copy(i)
        cusparse.sgtsv2StridedBatch(*arguments(*sets[i % count]), buffer.data.ptr)

    solve(0)
    lower, diag, upper, rhs, x = sets[0]
    product = diag * x
    product[:, 1:] += lower[:, 1:] * x[:, :-1]
    product[:, :-1] += upper[:, :-1] * x[:, 1:]
    error = float(cupy.abs(product - rhs).max())
    if not error < 1e-3:
        raise RuntimeError(f"gtsv2StridedBatch leaves a residual of {error}")
    return timed(solve, samples) - timed(copy, samples)


def main():
    asked = json.load(sys.stdin)
    rows = {}
    for case in asked["cases"]:
        ms = solver(*case["shape"], asked["samples"])
        rows[case["name"]] = {"ms": ms, "formulation": "gtsv2StridedBatch"}
        cupy.get_default_memory_pool().free_all_blocks()
    version = cusparse.getVersion(device.get_cusparse_handle())
    print(json.dumps({"rows": rows, "cupy": cupy.__version__, "cusparse": version}))


if __name__ == "__main__":
    main()
