"""Matrix products, einsum, convolutions, pooling, dense solvers."""

import torch
import torch.nn.functional as F

from records import distinct, fixed, of, rand, record, refused


def products():
    for a, b in (
        ([2, 3], [3, 4]),
        ([5, 2, 3], [3, 4]),
        ([2, 3], [5, 3, 4]),
        ([2, 1, 2, 3], [4, 3, 2]),
        ([3], [3, 4]),
        ([2, 3], [3]),
        ([3], [3]),
        ([5, 2, 3], [3]),
        ([3], [5, 3, 2]),
        ([0, 3], [3, 4]),
        ([2, 0], [0, 4]),
        ([1, 1], [1, 1]),
        ([17, 33], [33, 9]),
    ):
        record("matmul", torch.matmul, rand(*a), rand(*b))
    refused("matmul", torch.matmul, rand(2, 3), rand(2, 3))
    refused("matmul", torch.matmul, rand(), rand(3))
    refused("matmul", torch.matmul, rand(2, 2, 3), rand(3, 3, 2))
    record("bmm", torch.bmm, rand(4, 2, 3), rand(4, 3, 5))
    record("bmm", torch.bmm, rand(0, 2, 3), rand(0, 3, 5))
    record("bmm", torch.bmm, rand(1, 1, 1), rand(1, 1, 1))
    record("bmm", torch.bmm, rand(2, 3, 0), rand(2, 0, 2))
    refused("bmm", torch.bmm, rand(2, 3), rand(3, 4))
    refused("bmm", torch.bmm, rand(2, 2, 3), rand(1, 3, 2))
    record("linear", F.linear, rand(4, 3), rand(5, 3))
    record("linear", F.linear, rand(4, 3), rand(5, 3), bias=rand(5))
    record("linear", F.linear, rand(2, 4, 3), rand(5, 3), bias=rand(5))
    record("linear", F.linear, rand(3), rand(5, 3), bias=rand(5))
    record("linear", F.linear, rand(0, 3), rand(2, 3), bias=rand(2))
    record("linear", F.linear, rand(3, 1), rand(1, 1))
    refused("linear", F.linear, rand(4, 3), rand(3, 5))


def einsum():
    one = lambda equation, operands: torch.einsum(equation, *operands)
    for equation, shapes in (
        ("ij,jk->ik", [[2, 3], [3, 4]]),
        ("ij,jk", [[2, 3], [3, 4]]),
        ("bij,bjk->bik", [[2, 3, 4], [2, 4, 5]]),
        ("bij,bkj->bik", [[2, 3, 4], [2, 5, 4]]),
        ("ij->ji", [[2, 3]]),
        ("ji", [[2, 3]]),
        ("ij->", [[2, 3]]),
        ("ij->j", [[2, 3]]),
        ("ii->i", [[3, 3]]),
        ("ii", [[3, 3]]),
        ("bii->b", [[2, 3, 3]]),
        ("i,j->ij", [[2], [3]]),
        ("i,i->", [[3], [3]]),
        ("ij,ij->ij", [[2, 3], [2, 3]]),
        ("ij,j->i", [[2, 3], [3]]),
        ("...ij,...jk->...ik", [[2, 1, 2, 3], [4, 3, 2]]),
        ("...i,i", [[2, 3, 4], [4]]),
        ("b...->...b", [[2, 3, 4]]),
        ("ij,jk,kl->il", [[2, 3], [3, 4], [4, 2]]),
        ("bhqd,bhkd->bhqk", [[1, 2, 3, 4], [1, 2, 5, 4]]),
        ("bn,anm,bm->ba", [[2, 3], [4, 3, 2], [2, 2]]),
        (" i j , j k -> k i ", [[2, 3], [3, 4]]),
        ("aB,Bc->ca", [[2, 3], [3, 4]]),
        ("ij,k->ik", [[2, 3], [4]]),
        (",i->i", [[], [3]]),
        ("ij,jk->ik", [[2, 0], [0, 4]]),
        ("ij,jk->ik", [[1, 3], [3, 1]]),
        ("ij,ij->i", [[3, 1], [3, 4]]),
        ("nchw,oc->nohw", [[1, 2, 2, 3], [3, 2]]),
    ):
        record("einsum", one, equation, [rand(*s) for s in shapes])
    refused("einsum", one, "ij,jk->ik", [rand(2, 3), rand(4, 2)])
    refused("einsum", one, "ij,jk->ik", [rand(2, 3)])
    refused("einsum", one, "ij->ik", [rand(2, 3)])
    refused("einsum", one, "ijk->i", [rand(2, 3)])
    refused("einsum", one, "i->ii", [rand(2)])


CONVOLUTIONS = {1: ("conv1d", F.conv1d), 2: ("conv2d", F.conv2d), 3: ("conv3d", F.conv3d)}
TRANSPOSED = {
    1: ("convTranspose1d", F.conv_transpose1d),
    2: ("convTranspose2d", F.conv_transpose2d),
    3: ("convTranspose3d", F.conv_transpose3d),
}
SIZES = {1: [9], 2: [6, 7], 3: [4, 5, 3]}
KERNELS = {1: [3], 2: [3, 3], 3: [2, 3, 2]}


def per_axis(d, *values):
    return list(values[:d])


def convolutions():
    for d, (op, call) in CONVOLUTIONS.items():
        size, kernel = SIZES[d], KERNELS[d]
        x = lambda c=2, n=2: rand(n, c, *size)
        w = lambda o=3, c=2, k=None: rand(o, c, *(k or kernel), low=-1, high=1)
        record(op, call, x(), w())
        record(op, call, x(), w(), bias=rand(3))
        record(op, call, x(), w(), bias=rand(3), stride=2, padding=1)
        record(op, call, x(), w(), stride=per_axis(d, 2, 1, 2), padding=per_axis(d, 1, 2, 1))
        record(op, call, x(), w(), dilation=2, padding=2)
        record(op, call, x(), w(), dilation=per_axis(d, 1, 2, 1), padding=per_axis(d, 0, 1, 2))
        record(op, call, x(4), w(4, 2), groups=2, bias=rand(4), padding=1)
        record(op, call, x(3, 1), w(3, 1), groups=3, padding=1, note="depthwise")
        record(op, call, x(2, 1), w(4, 1), groups=2, padding=1, stride=2, note="channel multiplier")
        record(op, call, x(), w(3, 2, [1] * d), bias=rand(3), note="pointwise")
        record(op, call, x(), w(3, 2, [1] * d), stride=2, note="pointwise")
        record(op, call, x(1, 1), w(1, 1, size), note="one position")
        record(op, call, x(), w(), padding="same")
        record(op, call, x(), w(), padding="valid", bias=rand(3))
        record(op, call, x(), w(2, 2, per_axis(d, 4, 2, 2)), padding="same", note="even kernel")
        record(op, call, rand(2, *size), w(), bias=rand(3), padding=1, note="one sample")
        record(op, call, x(2, 0), w(), bias=rand(3))
        refused(op, call, x(3), w())
        refused(op, call, x(), w(), stride=0)
        refused(op, call, x(), w(), padding=-1)
        refused(op, call, rand(1, 2, *[1] * d), w())
        refused(op, call, x(), w(), bias=rand(2))
        refused(op, call, x(3), w(4, 1), groups=2)
        refused(op, call, x(), w(), stride=2, padding="same")
    record("conv2d", F.conv2d, rand(1, 2, 9, 8), rand(2, 2, 5, 5, low=-1, high=1), padding=2)
    record("conv2d", F.conv2d, rand(1, 2, 5, 6), rand(2, 2, 1, 3, low=-1, high=1), padding=[0, 1])
    record("conv2d", F.conv2d, rand(1, 17, 5, 18), rand(18, 17, 3, 3, low=-1, high=1), padding=1)
    record("conv1d", F.conv1d, rand(1, 3, 19), rand(5, 3, 7, low=-1, high=1), padding=3, stride=3)


def transposed_convolutions():
    for d, (op, call) in TRANSPOSED.items():
        size, kernel = ([5] if d == 1 else [4, 3] if d == 2 else [3, 2, 3]), KERNELS[d]
        x = lambda c=2, n=2: rand(n, c, *size)
        w = lambda c=2, o=3, k=None: rand(c, o, *(k or kernel), low=-1, high=1)
        record(op, call, x(), w())
        record(op, call, x(), w(), bias=rand(3))
        record(op, call, x(), w(), bias=rand(3), stride=2, padding=1)
        record(op, call, x(), w(), stride=2, padding=1, outputPadding=1)
        record(op, call, x(), w(), stride=per_axis(d, 3, 2, 2), outputPadding=per_axis(d, 2, 1, 0))
        record(op, call, x(), w(), dilation=2, padding=1)
        record(op, call, x(4), w(4, 2), groups=2, bias=rand(4), stride=2)
        record(op, call, x(3, 1), w(3, 1), groups=3, stride=2, padding=1, note="depthwise")
        record(op, call, x(), w(2, 3, [1] * d), note="pointwise")
        record(op, call, x(2, 1), w(2, 2, [2] * d), stride=2, note="doubles the size")
        record(op, call, rand(2, *size), w(), bias=rand(3), note="one sample")
        refused(op, call, x(), w(), outputPadding=1)
        refused(op, call, x(3), w())
        refused(op, call, x(), w(), stride=0)


def pooling():
    for op, call in (("maxPool2d", F.max_pool2d), ("avgPool2d", F.avg_pool2d)):
        x = distinct if op == "maxPool2d" else rand
        record(op, call, x(2, 2, 6, 7), 2)
        record(op, call, x(1, 2, 6, 7), [3, 2], stride=[1, 2])
        record(op, call, x(1, 2, 6, 7), 3, stride=2, padding=1)
        record(op, call, x(1, 2, 6, 7), [3, 2], padding=[1, 0])
        record(op, call, x(1, 1, 6, 7), 3, stride=2, ceilMode=True)
        record(op, call, x(1, 1, 6, 8), 3, stride=2, padding=1, ceilMode=True)
        record(op, call, x(1, 1, 5, 5), 2, stride=2, padding=1, ceilMode=True, note="a window outside is left out")
        record(op, call, x(2, 3, 4), 2, note="one sample")
        record(op, call, x(1, 1, 1, 1), 1)
        record(op, call, x(0, 2, 4, 4), 2)
        refused(op, call, x(1, 1, 4, 4), 2, padding=2)
        refused(op, call, x(1, 1, 4, 4), 5)
        refused(op, call, x(4, 4), 2)
    record("maxPool2d", F.max_pool2d, distinct(1, 1, 7, 8), 2, dilation=2)
    record("maxPool2d", F.max_pool2d, distinct(1, 1, 7, 8), [2, 3], stride=1, dilation=[3, 1], padding=1)
    record("maxPool2d", F.max_pool2d, of([[[[1, 1, 0, 2], [1, 1, 2, 0]]]]), 2, note="ties")
    record("maxPool2d", F.max_pool2d, fixed(of([[[[float("nan"), 1], [0, 2]]]])), 2, note="NaN")
    record("avgPool2d", F.avg_pool2d, rand(1, 1, 5, 6), 3, stride=2, padding=1, countIncludePad=False)
    record("avgPool2d", F.avg_pool2d, rand(1, 1, 6, 6), 3, stride=2, padding=1, countIncludePad=False, ceilMode=True)
    record("avgPool2d", F.avg_pool2d, rand(1, 1, 4, 6), 2, divisorOverride=3)
    for x, size in (
        (rand(2, 2, 5, 7), 1),
        (rand(1, 2, 5, 7), [2, 3]),
        (rand(1, 1, 5, 7), [5, 7]),
        (rand(1, 1, 3, 2), [5, 4]),
        (rand(1, 2, 5, 7), [None, 3]),
        (rand(2, 5, 6), 2),
        (rand(0, 2, 3, 3), 1),
    ):
        record("adaptiveAvgPool2d", F.adaptive_avg_pool2d, x, size)


def spd(*shape):
    """Symmetric positive definite matrices that float32 holds exactly."""
    a = (rand(*shape) * 4).round() / 4
    return a @ a.mT + 2 * torch.eye(shape[-1], dtype=torch.float64)


def solvers():
    L = torch.linalg
    only = ["float64"]
    record("solve", L.solve, spd(3, 3), rand(3, 2), dtypes=only)
    record("solve", L.solve, spd(3, 3), rand(3), dtypes=only)
    record("solve", L.solve, of([[0, 2, 1], [1, 0.5, 0], [3, 1, -1]]), rand(3, 1), dtypes=only, note="pivoting")
    record("solve", L.solve, spd(2, 3, 3), rand(2, 3, 2), dtypes=only)
    record("solve", L.solve, spd(2, 3, 3), rand(2, 3), dtypes=only, note="a batch of vectors")
    record("solve", L.solve, spd(3, 3), rand(4, 3, 2), dtypes=only, note="broadcast")
    record("solve", L.solve, spd(3, 3), rand(2, 3), left=False, dtypes=only)
    record("solve", L.solve, of([[4]]), of([[2]]), dtypes=only)
    record("solve", L.solve, rand(0, 2, 2), rand(0, 2, 1), dtypes=only)
    record("solve", L.solve, spd(17, 17), rand(17, 3), dtypes=only)
    refused("solve", L.solve, of([[1, 2], [2, 4]]), rand(2, 1))
    refused("solve", L.solve, rand(2, 3), rand(2, 1))
    refused("solve", L.solve, spd(3, 3), rand(2, 2))
    record("cholesky", L.cholesky, spd(3, 3), dtypes=only)
    record("cholesky", L.cholesky, spd(2, 3, 3), dtypes=only)
    record("cholesky", L.cholesky, spd(3, 3), upper=True, dtypes=only)
    record("cholesky", L.cholesky, of([[4]]), dtypes=only)
    record("cholesky", L.cholesky, rand(0, 0), dtypes=only)
    record("cholesky", L.cholesky, spd(17, 17), dtypes=only)
    refused("cholesky", L.cholesky, of([[1, 2], [2, 1]]))
    refused("cholesky", L.cholesky, rand(2, 3))
    record("inv", L.inv, spd(3, 3), dtypes=only)
    record("inv", L.inv, of([[0, 2, 1], [1, 0.5, 0], [3, 1, -1]]), dtypes=only, note="pivoting")
    record("inv", L.inv, spd(2, 2, 2), dtypes=only)
    record("inv", L.inv, of([[4]]), dtypes=only)
    record("inv", L.inv, rand(0, 0), dtypes=only)
    record("inv", L.inv, spd(17, 17), dtypes=only)
    refused("inv", L.inv, of([[1, 2], [2, 4]]))
    refused("inv", L.inv, rand(2, 3))


def run():
    products()
    einsum()
    convolutions()
    transposed_convolutions()
    pooling()
    solvers()
