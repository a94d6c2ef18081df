"""Normalisations, interpolation, embedding, dropout, losses."""

import torch
import torch.nn.functional as F

from records import fixed, index, integers, of, rand, record, refused


def positive(*shape):
    return rand(*shape, low=0.25, high=2)


def batch_norm():
    def by_options(x, running_mean=None, running_var=None, **options):
        return F.batch_norm(x, running_mean, running_var, **options)

    for shape in ([4, 3], [2, 3, 5], [2, 3, 3, 4], [2, 3, 2, 2, 3]):
        record("batchNorm", by_options, rand(*shape), training=True)
        record("batchNorm", by_options, rand(*shape), weight=rand(3), bias=rand(3), training=True)
        record("batchNorm", by_options, rand(*shape), runningMean=fixed(rand(3)), runningVar=fixed(positive(3)), weight=rand(3), bias=rand(3))
    stats = lambda: {"runningMean": fixed(rand(3)), "runningVar": fixed(positive(3))}
    record("batchNorm", by_options, rand(2, 3, 4), **stats(), training=True)
    record("batchNorm", by_options, rand(2, 3, 4), **stats(), training=True, momentum=0.25, eps=1e-3)
    record("batchNorm", by_options, rand(2, 3, 4), **stats(), training=True, momentum=0)
    record("batchNorm", by_options, rand(2, 3, 4), **stats(), eps=0.1)
    record("batchNorm", by_options, rand(2, 3, 4), **stats(), weight=rand(3))
    record("batchNorm", by_options, rand(2, 3, 4), **stats(), bias=rand(3))
    record("batchNorm", by_options, rand(1, 3, 2), weight=rand(3), training=True, cancels=True)
    record("batchNorm", by_options, rand(2, 3, 4, low=100, high=101), training=True, note="a large mean")
    record("batchNorm", F.batch_norm, rand(2, 3, 4), fixed(rand(3)), fixed(positive(3)), note="positional statistics")
    record("batchNorm", F.batch_norm, rand(2, 3, 4), None, None, training=True, weight=rand(3), note="positional statistics")
    refused("batchNorm", by_options, rand(2, 3, 4))
    refused("batchNorm", by_options, rand(1, 3), training=True)
    refused("batchNorm", by_options, rand(2, 3, 4), training=True, weight=rand(2))


def other_norms():
    record("layerNorm", F.layer_norm, rand(2, 3, 4), [4])
    record("layerNorm", F.layer_norm, rand(2, 3, 4), [3, 4], weight=rand(3, 4), bias=rand(3, 4))
    record("layerNorm", F.layer_norm, rand(2, 3, 4), [4], weight=rand(4))
    record("layerNorm", F.layer_norm, rand(2, 3, 4), [4], bias=rand(4), eps=0.1)
    record("layerNorm", F.layer_norm, rand(5), [5], weight=rand(5), bias=rand(5))
    record("layerNorm", F.layer_norm, rand(3, 1), [1], weight=rand(1), bias=rand(1), cancels=True)
    record("layerNorm", F.layer_norm, rand(0, 3), [3])
    record("layerNorm", F.layer_norm, rand(3, 33), [33], weight=rand(33), bias=rand(33))
    record("layerNorm", F.layer_norm, rand(2, 3, 2, 2), [3, 2, 2], weight=rand(3, 2, 2), bias=rand(3, 2, 2))
    refused("layerNorm", F.layer_norm, rand(2, 3, 4), [3])
    record("groupNorm", F.group_norm, rand(2, 4, 3), 2)
    record("groupNorm", F.group_norm, rand(2, 4, 3, 2), 2, weight=rand(4), bias=rand(4))
    record("groupNorm", F.group_norm, rand(2, 4, 3), 1, weight=rand(4))
    record("groupNorm", F.group_norm, rand(2, 4, 3), 4, weight=rand(4), bias=rand(4), eps=0.1)
    record("groupNorm", F.group_norm, rand(3, 6), 2, weight=rand(6), bias=rand(6))
    record("groupNorm", F.group_norm, rand(1, 2, 2, 2, 2), 2)
    record("groupNorm", F.group_norm, rand(0, 4, 3), 2)
    refused("groupNorm", F.group_norm, rand(2, 4, 3), 3)
    record("instanceNorm", F.instance_norm, rand(2, 3, 5))
    record("instanceNorm", F.instance_norm, rand(2, 3, 3, 4), weight=rand(3), bias=rand(3))
    record("instanceNorm", F.instance_norm, rand(2, 3, 3, 4), eps=0.1)
    record("instanceNorm", F.instance_norm, rand(2, 3, 2, 2, 2), weight=rand(3))
    refused("instanceNorm", F.instance_norm, rand(3, 5))
    stats = lambda: {"runningMean": fixed(rand(3)), "runningVar": fixed(positive(3))}
    record("instanceNorm", F.instance_norm, rand(2, 3, 3, 4), **stats(), momentum=0.25)
    record("instanceNorm", F.instance_norm, rand(2, 3, 3, 4), **stats(), useInputStats=False, weight=rand(3))
    refused("instanceNorm", F.instance_norm, rand(2, 3, 1))


def interpolation():
    shapes = {1: [1, 2, 5], 2: [1, 2, 4, 5], 3: [1, 1, 3, 4, 2]}
    linear = {1: "linear", 2: "bilinear", 3: "trilinear"}
    up = {1: [8], 2: [7, 8], 3: [5, 6, 3]}
    down = {1: [3], 2: [3, 2], 3: [2, 3, 1]}
    for d in (1, 2, 3):
        x = lambda d=d: rand(*shapes[d])
        for mode in ("nearest", "nearest-exact", "area", linear[d]):
            record("interpolate", F.interpolate, x(), size=up[d], mode=mode)
            record("interpolate", F.interpolate, x(), size=down[d], mode=mode)
            record("interpolate", F.interpolate, x(), scaleFactor=2, mode=mode)
            record("interpolate", F.interpolate, x(), scaleFactor=[1.5, 0.7, 2.3][:d], mode=mode)
        record("interpolate", F.interpolate, x(), size=up[d], mode=linear[d], alignCorners=True)
        record("interpolate", F.interpolate, x(), size=down[d], mode=linear[d], alignCorners=True)
        record("interpolate", F.interpolate, x(), size=6)
    for align in (False, True):
        record("interpolate", F.interpolate, rand(1, 2, 4, 5), size=[7, 8], mode="bicubic", alignCorners=align)
        record("interpolate", F.interpolate, rand(1, 2, 6, 7), size=[3, 4], mode="bicubic", alignCorners=align)
        record("interpolate", F.interpolate, rand(1, 1, 4, 5), scaleFactor=1.5, mode="bicubic", alignCorners=align)
        record("interpolate", F.interpolate, rand(1, 1, 4, 5), scaleFactor=1.3, mode="bilinear", alignCorners=align)
        record("interpolate", F.interpolate, rand(1, 1, 3, 3), size=1, mode="bilinear", alignCorners=align)
        record("interpolate", F.interpolate, rand(1, 1, 1, 1), size=3, mode="bilinear", alignCorners=align)
    record("interpolate", F.interpolate, rand(1, 1, 4, 5), scaleFactor=1.3, mode="bilinear", recomputeScaleFactor=True)
    record("interpolate", F.interpolate, rand(1, 1, 5, 5), size=[5, 5], mode="bilinear")
    refused("interpolate", F.interpolate, rand(1, 1, 4, 4))
    refused("interpolate", F.interpolate, rand(1, 1, 4, 4), size=2, scaleFactor=2)
    refused("interpolate", F.interpolate, rand(1, 1, 4, 4), size=2, mode="linear")
    refused("interpolate", F.interpolate, rand(1, 1, 4, 4), size=2, mode="nearest", alignCorners=True)
    refused("interpolate", F.interpolate, rand(1, 1, 4, 4), size=0)


def embedding():
    record("embedding", F.embedding, index([[0, 2, 1], [2, 2, 0]]), rand(4, 3))
    record("embedding", F.embedding, index([3, 1]), rand(4, 1))
    record("embedding", F.embedding, index([1, 1, 2, 0]), rand(4, 3), paddingIdx=1)
    record("embedding", F.embedding, index([3, 1, 3]), rand(4, 3), paddingIdx=-1)
    record("embedding", F.embedding, torch.tensor(2), rand(4, 3))
    record("embedding", F.embedding, torch.zeros(2, 0, dtype=torch.int64), rand(4, 3))
    refused("embedding", F.embedding, index([4]), rand(4, 3))
    refused("embedding", F.embedding, of([1]), rand(4, 3))
    refused("embedding", F.embedding, index([1]), rand(4, 3), paddingIdx=4)


def dropout():
    record("dropout", F.dropout, rand(2, 3), training=False)
    record("dropout", F.dropout, rand(2, 3), p=0.3, training=False)
    record("dropout", F.dropout, rand(2, 3), p=0)
    record("dropout", F.dropout, rand(2, 3), p=1)
    refused("dropout", F.dropout, rand(2, 3), p=1.5)
    refused("dropout", F.dropout, rand(2, 3), p=-0.5)


def classification():
    for reduction in ("mean", "sum", "none"):
        for op, call in (("crossEntropy", F.cross_entropy), ("nllLoss", F.nll_loss)):
            record(op, call, rand(3, 4), index([1, 3, 0]), reduction=reduction)
            record(op, call, rand(2, 3, 4), integers(0, 3, 2, 4), reduction=reduction)
            record(op, call, rand(3, 4), index([1, 3, 0]), reduction=reduction, weight=fixed(positive(4)))
            record(op, call, rand(4, 3), index([1, 2, 0, 2]), reduction=reduction, ignoreIndex=2)
            record(op, call, rand(4, 3), index([1, -100, 0, -100]), reduction=reduction, note="the default ignoreIndex")
            record(op, call, rand(2, 3, 2, 2), integers(0, 3, 2, 2, 2), reduction=reduction, weight=fixed(positive(3)), ignoreIndex=1)
            record(op, call, rand(4), torch.tensor(2), reduction=reduction, note="one sample")
        record("crossEntropy", F.cross_entropy, rand(3, 4), index([1, 3, 0]), reduction=reduction, labelSmoothing=0.1)
        record("crossEntropy", F.cross_entropy, rand(4, 3), index([1, 2, 0, 2]), reduction=reduction, labelSmoothing=0.2, ignoreIndex=2, weight=fixed(positive(3)))
        record("crossEntropy", F.cross_entropy, rand(2, 3, 4), integers(0, 3, 2, 4), reduction=reduction, labelSmoothing=1, weight=fixed(positive(3)))
        record("crossEntropy", F.cross_entropy, rand(3, 4), positive(3, 4), reduction=reduction, note="probabilities")
        record("crossEntropy", F.cross_entropy, rand(2, 3, 2), positive(2, 3, 2), reduction=reduction, labelSmoothing=0.1, weight=fixed(positive(3)), note="probabilities")
    record("crossEntropy", F.cross_entropy, rand(3, 4), index([1, 3, 0]))
    record("nllLoss", F.nll_loss, rand(3, 4), index([1, 3, 0]))
    record("crossEntropy", F.cross_entropy, rand(3, 1), index([0, 0, 0]))
    record("crossEntropy", F.cross_entropy, of([[1000, -1000], [500, 1000]]), index([0, 0]), note="large logits")
    record("crossEntropy", F.cross_entropy, rand(0, 3), torch.zeros(0, dtype=torch.int64), reduction="sum")
    record("crossEntropy", F.cross_entropy, rand(2, 3), index([-100, -100]), note="all ignored")
    record("crossEntropy", F.cross_entropy, rand(2, 3), index([-100, -100]), reduction="sum", note="all ignored")
    for op, call in (("crossEntropy", F.cross_entropy), ("nllLoss", F.nll_loss)):
        refused(op, call, rand(3, 4), index([0, 1]))
        refused(op, call, rand(3, 4), index([0, 1, 4]))
        refused(op, call, rand(3, 4), index([0, 1, -1]))
        refused(op, call, rand(3, 4), index([0, 1, 2]), reduction="average")
        refused(op, call, rand(3, 4), index([0, 1, 2]), weight=rand(3))
    refused("crossEntropy", F.cross_entropy, rand(3, 4), index([0, 1, 2]), labelSmoothing=1.5)
    refused("nllLoss", F.nll_loss, rand(3, 4), of([0, 1, 2]))


def regression():
    for reduction in ("mean", "sum", "none"):
        for op, call in (
            ("mseLoss", F.mse_loss),
            ("l1Loss", F.l1_loss),
            ("huberLoss", F.huber_loss),
            ("bceWithLogits", F.binary_cross_entropy_with_logits),
        ):
            low, high = (0, 1) if op == "bceWithLogits" else (-2, 2)
            record(op, call, rand(2, 3), rand(2, 3, low=low, high=high), reduction=reduction)
            record(op, call, rand(2, 0), rand(2, 0), reduction=reduction)
        record("huberLoss", F.huber_loss, rand(2, 3), rand(2, 3), delta=0.5, reduction=reduction)
        weight, pos = fixed(positive(3)), fixed(positive(3))
        bce = F.binary_cross_entropy_with_logits
        record("bceWithLogits", bce, rand(2, 3), rand(2, 3, low=0, high=1), weight=weight, reduction=reduction)
        record("bceWithLogits", bce, rand(2, 3), fixed(rand(2, 3, low=0, high=1)), posWeight=pos, reduction=reduction)
        record("bceWithLogits", bce, rand(2, 3), fixed(rand(2, 3, low=0, high=1)), weight=fixed(positive(2, 1)), posWeight=pos, reduction=reduction)
    for op, call in (("mseLoss", F.mse_loss), ("l1Loss", F.l1_loss), ("huberLoss", F.huber_loss)):
        record(op, call, rand(3), rand(3))
        record(op, call, rand(), rand())
        record(op, call, of([1, 2, 3]), of([1, 4, 2.5]), note="ties")
    record("mseLoss", F.mse_loss, rand(3, 1), rand(3, 4), note="broadcast")
    record("l1Loss", F.l1_loss, rand(3, 1), rand(3, 4), note="broadcast")
    record("huberLoss", F.huber_loss, rand(3, 1), rand(3, 4), note="broadcast")
    record("mseLoss", F.mse_loss, rand(2, 3), rand(2, 3), weight=fixed(positive(2, 3)))
    record("l1Loss", F.l1_loss, rand(2, 3), rand(2, 3), weight=fixed(positive(2, 3)))
    record("huberLoss", F.huber_loss, of([0, 1, -1, 2, -2]), of([0, 0, 0, 0, 0]), note="at delta")
    record("bceWithLogits", F.binary_cross_entropy_with_logits, of([100, -100, 0]), of([0, 1, 0.5]), note="large logits")
    refused("mseLoss", F.mse_loss, rand(3), rand(2))
    refused("bceWithLogits", F.binary_cross_entropy_with_logits, rand(3), rand(3, 1))
    refused("huberLoss", F.huber_loss, rand(3), rand(3), delta=0)
    refused("mseLoss", F.mse_loss, rand(3), rand(3), reduction="average")


def run():
    batch_norm()
    other_norms()
    interpolation()
    embedding()
    dropout()
    classification()
    regression()
