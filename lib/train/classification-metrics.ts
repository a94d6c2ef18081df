import { FluxionError, requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import {
  add,
  arange,
  argmax,
  cast,
  div,
  eq,
  gather,
  gt,
  lt,
  matmul,
  maximum,
  mean,
  mul,
  permute,
  reshape,
  sub,
  sum,
  unsqueeze,
} from '../ops';

// Metrics of classes from scores [N, classes, ...] and labels [N, ...] (int32 or uint8).

/** Scores as [positions, classes] and labels as [positions]. */
function byPosition(op: string, output: Tensor, target: Tensor): [Tensor, Tensor] {
  const [n, classes, ...rest] = output.shape;
  const expected = [n, ...rest];
  const fits = output.ndim >= 2 && String(target.shape) === String(expected);
  if (!fits) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `target must have shape [N, ...] for an output [N, classes, ...] of shape ${show([...output.shape])}, got ${show([...target.shape])}`,
    );
  }
  const last = output.ndim - 1;
  const order = [0, ...Array.from({ length: last - 1 }, (_, i) => i + 2), 1];
  const scores = reshape(permute(output, order), [-1, classes!]);
  return [scores, reshape(cast(target, 'int32'), [-1])];
}

/** Share of the positions whose largest score is the target's: output [N, classes, ...], target [N, ...]. */
export function accuracy(output: Tensor, target: Tensor): Tensor {
  const [scores, labels] = byPosition('accuracy', output, target);
  return mean(cast(eq(argmax(scores, { dim: 1 }), labels), 'float32'));
}

/** As {@link accuracy}, where the target may be any of the `k` largest scores (ties count for it). */
export function topKAccuracy(k: number): (output: Tensor, target: Tensor) => Tensor {
  requireArgument(
    Number.isInteger(k) && k > 0,
    'topKAccuracy',
    () => `k must be an integer > 0, got ${show(k)}`,
  );
  return (output, target) => {
    const [scores, labels] = byPosition('topKAccuracy', output, target);
    const own = gather(scores, 1, unsqueeze(labels, 1));
    const above = sum(cast(gt(scores, own), 'float32'), { dim: 1 });
    return mean(cast(lt(above, k), 'float32'));
  };
}

/**
 * How often class j was given where the target is i: float32 [classes, classes], rows are targets. Counts of several
 * batches may be added. Counts above 2^24 are rounded.
 */
export function confusionMatrix(output: Tensor, target: Tensor): Tensor {
  const [scores, labels] = byPosition('confusionMatrix', output, target);
  const classes = arange(scores.shape[1]!, { dtype: 'int32', device: scores.device });
  const marks = (which: Tensor) =>
    cast(eq(unsqueeze(cast(which, 'int32'), 1), unsqueeze(classes, 0)), 'float32');
  return matmul(permute(marks(labels), [1, 0]), marks(argmax(scores, { dim: 1 })));
}

/**
 * Mean over the classes of intersection / union, from a confusion matrix; classes that neither the targets nor the
 * predictions have do not count.
 */
export function meanIoUOf(confusion: Tensor): Tensor {
  const classes = confusion.shape[0]!;
  const own = arange(classes, { dtype: 'int32', device: confusion.device });
  const diagonal = eq(unsqueeze(own, 1), unsqueeze(own, 0));
  const hits = sum(mul(confusion, cast(diagonal, 'float32')), { dim: 1 });
  const union = sub(add(sum(confusion, { dim: 0 }), sum(confusion, { dim: 1 })), hits);
  const present = cast(gt(union, 0), 'float32');
  return div(sum(div(hits, maximum(union, 1))), maximum(sum(present), 1));
}

/**
 * Mean intersection over union of a batch: output [N, classes, ...], target [N, ...]. The mean over batches is not that
 * of the whole set; for that add {@link confusionMatrix} and take {@link meanIoUOf}.
 */
export function meanIoU(output: Tensor, target: Tensor): Tensor {
  return meanIoUOf(confusionMatrix(output, target));
}
