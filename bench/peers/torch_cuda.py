"""The cases of bench/cuda.mjs in PyTorch on a GPU: the fastest of its formulations, each timed with events.

Reads {"cases": [{"name", "peer", "shape", "settings"}], "samples"} and prints {"rows": {name: {"ms", "formulation",
"all"}}, "torch", "cudnn"}. A formulation that fails is left out; a case without one has no row.
"""

import json
import statistics
import sys

import torch
import torch.nn.functional as F

from torch_networks import networks_on_cuda

ROTATED_BYTES = 512e6
SAMPLE_MS = 60.0


def timed(call, samples):
    """Milliseconds of a call(i), many calls to a sample."""
    start, end = torch.cuda.Event(True), torch.cuda.Event(True)

    def sample(calls):
        start.record()
        for i in range(calls):
            call(i)
        end.record()
        end.synchronize()
        return start.elapsed_time(end)

    sample(4)
    calls = 1
    while sample(calls) < SAMPLE_MS and calls < 4096:
        calls *= 2
    return statistics.median(sample(calls) / calls for _ in range(samples))


def rotating(make, bytes_of_one):
    count = max(1, min(8, int(-(-ROTATED_BYTES // max(bytes_of_one, 1)))))
    return [make() for _ in range(count)]


def step_matrix(n, r):
    """(I - r D)^-1 with mirrored ends, which is what backward Euler applies along an axis of n cells."""
    d = torch.zeros(n, n, dtype=torch.float64)
    for i in range(n):
        for j in (i - 1, i + 1):
            if 0 <= j < n:
                d[i, j] += 1
                d[i, i] -= 1
    return torch.linalg.inv(torch.eye(n, dtype=torch.float64) - r * d).float().cuda()


def forward_of(peer, shape, settings):
    """make() -> tensors, formulations {name: f(tensors)} of a forward pass."""
    rand = lambda *s: torch.rand(*s, device="cuda")
    if peer == "copy":
        return lambda: (rand(*shape),), {"clone": lambda x: x.clone()}
    if peer == "add":
        return lambda: (rand(*shape), rand(*shape)), {"add": lambda x, y: x + y}
    if peer == "gelu":
        return lambda: (rand(*shape),), {"gelu": F.gelu}
    if peer == "sum":
        return lambda: (rand(*shape),), {"sum": lambda x: x.sum()}
    if peer == "matmul":
        return lambda: (rand(*shape), rand(*shape)), {"matmul": torch.matmul}
    n, c, h, w = shape
    if peer == "batch-norm":
        return lambda: (rand(*shape), rand(c), rand(c)), {
            "batch_norm": lambda x, g, b: F.batch_norm(x, None, None, g, b, True)
        }
    if peer == "conv":
        k, groups = settings["k"], settings["groups"]
        call = lambda x, weight: F.conv2d(x, weight, padding=k // 2, groups=groups)
        return lambda: (rand(*shape), rand(c, c // groups, k, k)), {"cudnn": call}
    if peer == "implicit-diffusion":
        rows, columns = step_matrix(h, 0.25), step_matrix(w, 0.25)

        def products(u, kappa):
            return torch.matmul(rows, torch.matmul(u, columns))

        return lambda: (rand(*shape), rand(c)), {"dense factors": products}
    if peer == "spectral-diffusion":
        fy, fx = torch.fft.fftfreq(h, device="cuda"), torch.fft.rfftfreq(w, device="cuda")
        square = (2 * torch.pi) ** 2 * (fy[:, None] ** 2 + fx[None, :] ** 2)

        def spectrum(u, kappa):
            factor = torch.exp(-0.5 * kappa[:, None, None] * square)
            return torch.fft.irfft2(torch.fft.rfft2(u) * factor, s=(h, w))

        return lambda: (rand(*shape), rand(c)), {"rfft2": spectrum}
    if peer == "upwind":

        def rolled(u, v):
            vx, vy = v[:, 0, None, None], v[:, 1, None, None]
            left, right = u - u.roll(1, -1), u.roll(-1, -1) - u
            below, above = u - u.roll(1, -2), u.roll(-1, -2) - u
            flux = vx.clamp(min=0) * left + vx.clamp(max=0) * right
            return u - 0.2 * (flux + vy.clamp(min=0) * below + vy.clamp(max=0) * above)

        return lambda: (rand(*shape), rand(c, 2)), {"rolls": rolled}
    if peer == "semi-lagrangian":
        y, x = torch.meshgrid(
            torch.arange(h, device="cuda"), torch.arange(w, device="cuda"), indexing="ij"
        )
        base = torch.stack([x, y]).float()
        scale = torch.tensor([2.0 / w, 2.0 / h], device="cuda")

        def sampled(u, v):
            grid = (base + v + 0.5).permute(0, 1, 3, 4, 2).reshape(n * c, h, w, 2) * scale - 1
            return F.grid_sample(u.reshape(n * c, 1, h, w), grid, align_corners=False).reshape(shape)

        return lambda: (rand(*shape), (rand(n, c, 2, h, w) - 0.5) * 4), {"grid_sample": sampled}
    return None, {}


def variants_of(make, formulations, backward, samples):
    """Times of eager, channels-last and compiled calls, TF32 off and on where products are involved."""
    times = {}

    def measure(name, call, layout):
        def one():
            tensors = make()
            if layout is not None:
                tensors = tuple(t.to(memory_format=layout) if t.ndim == 4 else t for t in tensors)
            return tuple(t.requires_grad_(backward) for t in tensors)

        sets = rotating(one, sum(t.numel() * 4 for t in one()))
        g = torch.rand_like(call(*sets[0]))

        def run(i):
            tensors = sets[i % len(sets)]
            if not backward:
                with torch.no_grad():
                    call(*tensors)
                return
            call(*tensors).backward(g)
            for t in tensors:
                t.grad = None

        times[name] = timed(run, samples)

    for name, call in formulations.items():
        for tf32 in (False, True):
            torch.backends.cuda.matmul.allow_tf32 = tf32
            torch.backends.cudnn.allow_tf32 = tf32
            suffix = ", tf32" if tf32 else ""
            for layout, label in ((None, ""), (torch.channels_last, ", channels-last")):
                if (tf32 or layout is not None) and name not in ("cudnn", "matmul"):
                    continue
                try:
                    measure(name + label + suffix, call, layout)
                except Exception as error:  # a formulation that does not exist for this case
                    print(f"{name}{label}: {error}", file=sys.stderr)
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
        try:
            measure(name + ", compiled", torch.compile(call), None)
        except Exception as error:
            print(f"{name}, compiled: {error}", file=sys.stderr)
    return times


def main():
    asked = json.load(sys.stdin)
    torch.backends.cudnn.benchmark = True
    rows = {}
    for case in asked["cases"]:
        name, peer = case["name"], case["peer"]
        if peer in ("rdnn", "adrnn"):
            times = {
                label: timed(step, asked["samples"])
                for label, step in networks_on_cuda(peer, case["settings"]).items()
            }
        else:
            make, formulations = forward_of(peer, case["shape"], case["settings"])
            if make is None:
                continue
            backward = name.endswith("forward-backward")
            times = variants_of(make, formulations, backward, asked["samples"])
        exact = {k: v for k, v in times.items() if "tf32" not in k}
        if exact:
            best = min(exact, key=exact.get)
            rows[name] = {"ms": exact[best], "formulation": best, "all": times}
        torch.cuda.empty_cache()
    about = {"torch": torch.__version__, "cudnn": torch.backends.cudnn.version()}
    print(json.dumps({"rows": rows, **about}))


if __name__ == "__main__":
    main()
