import { FluxionError, requireArgument, show } from '../errors';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { reshapeOp } from './broadcast';
import { defineOp, requireTensor, withDefaults } from './define';
import { neg, square, sub } from './elementwise';
import { floating, promoted } from './promote';
import { mean, sum } from './reduce';
import { gather } from './shape-index';

/** What a loss makes of the values of its elements. */
export type Reduction = 'mean' | 'sum' | 'none';

export interface LossOptions {
  /** Default 'mean'. */
  reduction?: Reduction;
}

function reduced(op: string, losses: Tensor, reduction: Reduction): Tensor {
  requireArgument(
    reduction === 'mean' || reduction === 'sum' || reduction === 'none',
    op,
    () => `reduction must be one of 'mean', 'sum', 'none', got ${show(reduction)}`,
  );
  return reduction === 'mean' ? mean(losses) : reduction === 'sum' ? sum(losses) : losses;
}

interface CrossEntropyParams {
  labelSmoothing: number;
}

const crossEntropyVjp = defineOp<CrossEntropyParams>('cross_entropy_vjp', {});

const crossEntropyOp = defineOp<CrossEntropyParams>('cross_entropy', {
  saveInputs: [0, 1],
  vjp: ({ g, input, params }) => [crossEntropyVjp([g, input(0), input(1)], params), null],
});

export interface CrossEntropyOptions extends LossOptions {
  /** Share e of the target that is spread evenly over all classes, in [0, 1]. Default 0. */
  labelSmoothing?: number;
}

/**
 * Cross entropy of logits with class labels, without overflow:
 *
 *     loss = log sum_c e^{z_c} - (1 - e) z_t - e / C sum_c z_c
 *
 * - `logits` [N, C, ...]; `target` [N, ...], int32 or uint8, in [0, C).
 * - Returns the mean or the sum over all positions, or with 'none' the shape of target.
 * - Gradient in logits (fused): softmax minus target. Cost: logits are read twice forward, and twice and
 *   written backward.
 * - Errors: FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH. A label out of range makes its loss NaN and the
 *   next read throw FLUXION_INVALID_ARGUMENT.
 *
 * Source: label smoothing, Szegedy et al., arXiv:1512.00567.
 */
export function crossEntropy(
  logits: Tensor,
  target: Tensor,
  options?: CrossEntropyOptions,
): Tensor {
  const op = 'crossEntropy';
  const { reduction, labelSmoothing } = withDefaults<Required<CrossEntropyOptions>>(op, options, {
    reduction: 'mean',
    labelSmoothing: 0,
  });
  requireTensor(op, target, 'target');
  return reduced(op, crossEntropyOp([floating(op, logits), target], { labelSmoothing }), reduction);
}

/**
 * Negative log likelihood, -x[n, target[n, ...], ...], of log probabilities; with logSoftmax before it, the
 * cross entropy.
 *
 * - `x` [N, C, ...]; `target` [N, ...], int32 or uint8, in [0, C). Reduced as {@link crossEntropy}.
 * - Gradient in x. Errors: as {@link crossEntropy}.
 */
export function nllLoss(x: Tensor, target: Tensor, options?: LossOptions): Tensor {
  const op = 'nllLoss';
  const { reduction } = withDefaults<Required<LossOptions>>(op, options, { reduction: 'mean' });
  const input = floating(op, x);
  requireTensor(op, target, 'target');
  const positions = input.shape.filter((_, i) => i !== 1);
  if (input.ndim < 2 || !sameShape(target.shape, positions)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `x and target must have shapes [N, C, ..] and [N, ..], got ${show([...input.shape])} and ${show([...target.shape])}`,
    );
  }
  const index = reshapeOp([target], { shape: [input.shape[0]!, 1, ...positions.slice(1)] });
  return reduced(op, neg(reshapeOp([gather(input, 1, index)], { shape: positions })), reduction);
}

/**
 * Squared error (x - target)^2, reduced over all elements.
 *
 * `x` and `target` of one shape: nothing broadcasts. Gradients in both.
 */
export function mseLoss(x: Tensor, target: Tensor, options?: LossOptions): Tensor {
  const op = 'mseLoss';
  const { reduction } = withDefaults<Required<LossOptions>>(op, options, { reduction: 'mean' });
  const input = floating(op, x);
  const [a, b] = promoted(op, input, floating(op, target)) as [Tensor, Tensor];
  if (!sameShape(a.shape, b.shape)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `target must have the shape of x, ${show([...a.shape])}, got ${show([...b.shape])}`,
    );
  }
  return reduced(op, square(sub(a, b)), reduction);
}
