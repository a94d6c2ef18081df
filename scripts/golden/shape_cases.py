"""Views, joining, indexing, padding, triangles."""

import torch
import torch.nn.functional as F

from records import fixed, index, integers, of, rand, record, refused


def take(x, dim, start, end=None, step=1):
    """Fluxion's slice: Python's x[start:end:step] along one dimension."""
    n = x.shape[dim]
    at = list(range(n))[slice(start, end, step)]
    first = at[0] if at else 0
    stop = at[-1] + 1 if at else 0
    key = [slice(None)] * x.ndim
    key[dim] = slice(first, stop, step)
    return x[tuple(key)]


def views():
    record("reshape", torch.reshape, rand(2, 3, 4), [4, 6])
    record("reshape", torch.reshape, rand(2, 3, 4), [3, -1])
    record("reshape", torch.reshape, rand(2, 0), [0, 5])
    record("reshape", torch.reshape, rand(1), [])
    record("reshape", torch.reshape, rand(), [1, 1])
    record("reshape", torch.reshape, integers(0, 9, 6), [2, 3])
    refused("reshape", torch.reshape, rand(2, 3), [4, -1])
    refused("reshape", torch.reshape, rand(2, 3), [-1, -1])
    refused("reshape", torch.reshape, rand(0), [-1, 0])
    record("permute", torch.permute, rand(2, 3, 4), [2, 0, 1])
    record("permute", torch.permute, rand(2, 3, 4), [-1, 0, -2])
    record("permute", torch.permute, rand(2, 0), [1, 0])
    record("permute", torch.permute, rand(), [])
    refused("permute", torch.permute, rand(2, 3), [0, 0])
    refused("permute", torch.permute, rand(2, 3), [0])
    record("transpose", torch.transpose, rand(2, 3, 4), 0, 2)
    record("transpose", torch.transpose, rand(2, 3, 4), -1, -2)
    record("transpose", torch.transpose, rand(3), 0, 0)
    record("transpose", torch.transpose, rand(2, 0), 0, 1)
    refused("transpose", torch.transpose, rand(2, 3), 0, 2)
    expand = lambda x, shape: x.expand(shape)
    record("expand", expand, rand(3, 1), [3, 4])
    record("expand", expand, rand(3, 1), [2, -1, 4])
    record("expand", expand, rand(), [2, 2])
    record("expand", expand, rand(1, 3), [0, 3])
    refused("expand", expand, rand(2, 3), [3, 3])
    refused("expand", expand, rand(2, 3), [3])
    squeeze = lambda x, dim=None: torch.squeeze(x) if dim is None else torch.squeeze(x, tuple(dim) if isinstance(dim, list) else dim)
    record("squeeze", squeeze, rand(1, 3, 1))
    record("squeeze", squeeze, rand(1, 3, 1), dim=-1)
    record("squeeze", squeeze, rand(1, 3, 1), dim=1)
    record("squeeze", squeeze, rand(1, 3, 1), dim=[0, 2])
    record("squeeze", squeeze, rand())
    refused("squeeze", squeeze, rand(1, 3), dim=2)
    record("unsqueeze", torch.unsqueeze, rand(2, 3), 0)
    record("unsqueeze", torch.unsqueeze, rand(2, 3), -1)
    record("unsqueeze", torch.unsqueeze, rand(2, 3), 1)
    record("unsqueeze", torch.unsqueeze, rand(), 0)
    refused("unsqueeze", torch.unsqueeze, rand(2, 3), 3)
    flatten = lambda x, start_dim=0, end_dim=-1: torch.flatten(x, start_dim, end_dim)
    record("flatten", flatten, rand(2, 3, 4))
    record("flatten", flatten, rand(2, 3, 4), startDim=1)
    record("flatten", flatten, rand(2, 3, 4), endDim=-2)
    record("flatten", flatten, rand())


def parts():
    record("slice", take, rand(5, 3), 0, 1, 4)
    record("slice", take, rand(5, 3), 0, -3)
    record("slice", take, rand(5, 3), -1, 0, -1)
    record("slice", take, rand(7, 2), 0, 1, 6, 2)
    record("slice", take, rand(7, 2), 0, 1, 100, 3)
    record("slice", take, rand(7, 2), 0, 5, 2)
    record("split", torch.split, rand(7, 2), 3)
    record("split", torch.split, rand(2, 7), 3, dim=-1)
    record("split", torch.split, rand(2, 6), [1, 2, 3], dim=1)
    record("split", torch.split, rand(2, 3), [0, 3], dim=1)
    record("split", torch.split, rand(2, 3), 10)
    record("split", torch.split, rand(0, 3), 2)
    refused("split", torch.split, rand(5, 2), [1, 1])
    record("select", torch.select, rand(3, 4), 1, -2)


def joining():
    record("cat", torch.cat, [rand(2, 3), rand(1, 3), rand(2, 3)])
    record("cat", torch.cat, [rand(2, 3), rand(2, 1)], dim=-1)
    record("cat", torch.cat, [rand(2, 3), rand(0, 3)])
    record("cat", torch.cat, [rand(2, 3)])
    record("cat", torch.cat, [rand(0), rand(2, 3)], note="a tensor [0] joins any")
    record("cat", torch.cat, [rand(2), integers(0, 5, 2)])
    refused("cat", torch.cat, [rand(2, 3), rand(2, 2)])
    refused("cat", torch.cat, [])
    refused("cat", torch.cat, [rand(), rand()])
    record("stack", torch.stack, [rand(2, 3), rand(2, 3)])
    record("stack", torch.stack, [rand(2, 3), rand(2, 3)], dim=-1)
    record("stack", torch.stack, [rand(), rand(), rand()])
    record("stack", torch.stack, [rand(0), rand(0)], dim=1)
    refused("stack", torch.stack, [rand(2), rand(3)])
    refused("stack", torch.stack, [])
    repeat = lambda x, repeats: x.repeat(repeats)
    record("repeat", repeat, rand(2, 3), [2, 1])
    record("repeat", repeat, rand(2, 3), [2, 1, 3])
    record("repeat", repeat, rand(3), [0])
    record("repeat", repeat, rand(), [2])
    record("repeat", repeat, rand(2, 1), [1, 4])
    refused("repeat", repeat, rand(2, 3), [2])


def rearranging():
    record("flip", torch.flip, rand(2, 3, 4), [1])
    record("flip", torch.flip, rand(2, 3, 4), [0, -1])
    record("flip", torch.flip, rand(2, 0), [1])
    record("flip", torch.flip, rand(2, 3), [])
    refused("flip", torch.flip, rand(2, 3), [2])
    refused("flip", torch.flip, rand(2, 3), [0, 0])
    record("roll", torch.roll, rand(2, 3), 2)
    record("roll", torch.roll, rand(2, 5), -2, dims=1)
    record("roll", torch.roll, rand(3, 5), [1, 7], dims=[0, 1])
    record("roll", torch.roll, rand(3, 0), 1, dims=1)
    refused("roll", torch.roll, rand(2, 3), [1, 2])
    for op, call in (("tril", torch.tril), ("triu", torch.triu)):
        record(op, call, rand(3, 4))
        record(op, call, rand(2, 4, 3), diagonal=1)
        record(op, call, rand(4, 4), diagonal=-2)
        record(op, call, rand(3, 3), diagonal=5)
        record(op, call, rand(3, 3), diagonal=-5)
        record(op, call, rand(1, 1))
        record(op, call, rand(0, 3))
        record(op, call, integers(0, 9, 3, 3))
        refused(op, call, rand(3))


def indexing():
    record("gather", torch.gather, rand(3, 4), 1, index([[0, 3], [1, 1], [2, 0]]))
    record("gather", torch.gather, rand(3, 4), 0, index([[0, 2, 1, 2], [1, 1, 0, 0]]))
    record("gather", torch.gather, rand(3, 4), -1, index([[3]]))
    record("gather", torch.gather, rand(3), 0, index([2, 2, 2, 0]))
    record("gather", torch.gather, rand(3, 4), 1, torch.zeros(3, 0, dtype=torch.int64))
    record("gather", torch.gather, integers(0, 9, 2, 3), 1, index([[0], [2]]))
    refused("gather", torch.gather, rand(2, 3), 0, index([0]))
    refused("gather", torch.gather, rand(2, 3), 1, index([[3], [0]]))
    record("scatterAdd", torch.scatter_add, rand(3, 4), 1, index([[0, 3], [1, 1], [2, 0]]), rand(3, 2))
    record("scatterAdd", torch.scatter_add, rand(3, 4), 0, index([[0, 2, 1, 2], [1, 1, 0, 0]]), rand(2, 4))
    record("scatterAdd", torch.scatter_add, rand(3, 4), -1, index([[3, 3]]), fixed(rand(2, 5)), note="a larger source")
    record("scatterAdd", torch.scatter_add, rand(3), 0, index([2, 2, 2, 0]), rand(4))
    record("scatterAdd", torch.scatter_add, rand(3, 2), 0, torch.zeros(0, 2, dtype=torch.int64), rand(0, 2))
    record("scatterAdd", torch.scatter_add, integers(0, 9, 3), 0, index([0, 0]), integers(0, 9, 2))
    refused("scatterAdd", torch.scatter_add, rand(3), 0, index([0, 1, 2]), rand(2))
    refused("scatterAdd", torch.scatter_add, rand(3), 0, index([3]), rand(1))
    record("indexSelect", torch.index_select, rand(3, 4), 0, index([2, 0, 2]))
    record("indexSelect", torch.index_select, rand(3, 4), -1, index([3, 1]))
    record("indexSelect", torch.index_select, rand(3, 4), 1, torch.zeros(0, dtype=torch.int64))
    record("indexSelect", torch.index_select, integers(0, 9, 4), 0, index([1, 1]))
    refused("indexSelect", torch.index_select, rand(3, 4), 0, index([3]))
    refused("indexSelect", torch.index_select, rand(3, 4), 0, of([0, 1]))
    refused("indexSelect", torch.index_select, rand(3, 4), 0, index([[0]]))


def padding():
    record("pad", F.pad, rand(2, 3), [1, 2])
    record("pad", F.pad, rand(2, 3), [1, 2, 0, 1])
    record("pad", F.pad, rand(2, 3), [1, 1], value=2.5)
    record("pad", F.pad, rand(2, 3), [1, 1], mode="constant", value=-1)
    record("pad", F.pad, rand(2, 5), [-1, -2], note="a crop")
    record("pad", F.pad, rand(2, 3), [2, -1, -1, 1], note="a crop")
    record("pad", F.pad, rand(0, 2), [1, 1])
    record("pad", F.pad, rand(2, 0), [1, 1], value=3)
    record("pad", F.pad, integers(0, 9, 3), [1, 1], value=7)
    for mode in ("reflect", "replicate", "circular"):
        record("pad", F.pad, rand(1, 2, 5), [2, 1], mode=mode)
        record("pad", F.pad, rand(1, 2, 5), [0, 4], mode=mode)
        record("pad", F.pad, rand(1, 1, 4, 5), [1, 2, 3, 0], mode=mode)
        record("pad", F.pad, rand(1, 1, 3, 2, 3), [1, 2, 1, 1, 2, 0], mode=mode)
        record("pad", F.pad, rand(2, 5), [1, 2], mode=mode)
        record("pad", F.pad, rand(1, 2, 5), [-1, 2], mode=mode, note="a crop")
        record("pad", F.pad, rand(2, 3, 4, 5)[:, :2], [0, 0, 0, 0], mode=mode)
    record("pad", F.pad, rand(1, 1, 1), [3, 2], mode="replicate")
    record("pad", F.pad, rand(1, 1, 1), [1, 1], mode="circular")
    refused("pad", F.pad, rand(1, 1, 3), [3, 0], mode="reflect")
    refused("pad", F.pad, rand(1, 1, 3), [4, 0], mode="circular")
    refused("pad", F.pad, rand(2, 3), [1])
    refused("pad", F.pad, rand(2, 3), [1, 1, 1, 1, 1, 1])
    refused("pad", F.pad, rand(1, 1, 3), [1, 1], mode="mirror")
    refused("pad", F.pad, rand(1, 1, 3), [1, 1], mode="reflect", value=2)


def run():
    views()
    parts()
    joining()
    rearranging()
    indexing()
    padding()
