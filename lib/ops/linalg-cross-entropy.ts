import { FluxionError, requireArgument, show } from '../errors';
import { isFloating } from '../tensor/dtype';
import { gradEnabled } from '../tensor/scope';
import { sameShape } from '../tensor/shape';
import type { Tensor } from '../tensor/tensor';
import { reshapeOp } from './broadcast';
import {
  type Operand,
  defineOpWithOutputs,
  pullThrough,
  requireTensor,
  withDefaults,
} from './define';
import { add, cast, div, mul, ne, neg, where } from './elementwise';
import { type LossOptions, type Reduction, reduced, requireReduction } from './linalg-loss';
import { floating } from './promote';
import { logSoftmax, sum } from './reduce';
import { gather, indexSelect } from './shape-index';

interface CrossEntropyParams {
  labelSmoothing: number;
  ignoreIndex: number;
  logProbabilities: boolean;
  reduction: Reduction;
}

/** [C] as [1, C, 1, ...]. */
function alongClasses(t: Tensor, ndim: number): Tensor {
  return reshapeOp([t], { shape: Array.from({ length: ndim }, (_, i) => (i === 1 ? t.size : 1)) });
}

/** The same in differentiable steps. */
function composed(
  logits: Tensor,
  target: Tensor,
  weight: Tensor | null,
  { labelSmoothing, ignoreIndex, logProbabilities, reduction }: CrossEntropyParams,
): Tensor {
  const [classes, ndim] = [logits.shape[1]!, logits.ndim];
  const labels = cast(target, 'int32');
  const counts = ne(labels, ignoreIndex);
  const valid = where(counts, labels, 0);
  const flat = reshapeOp([valid], { shape: [valid.size] });
  const ones = cast(counts, logits.dtype);
  const weights = weight
    ? mul(ones, reshapeOp([indexSelect(weight, 0, flat)], { shape: target.shape }))
    : ones;
  const logs = logProbabilities ? logits : logSoftmax(logits, 1);
  const index = reshapeOp([valid], { shape: [target.shape[0]!, 1, ...target.shape.slice(1)] });
  const own = reshapeOp([gather(logs, 1, index)], { shape: target.shape });
  let losses = neg(mul(own, weights));
  if (labelSmoothing > 0) {
    const spread = sum(weight ? mul(logs, alongClasses(weight, ndim)) : logs, { dim: 1 });
    const smooth = mul(mul(spread, ones), -labelSmoothing / classes);
    losses = add(mul(losses, 1 - labelSmoothing), smooth);
  }
  return reduction === 'mean' ? div(sum(losses), sum(weights)) : reduced(losses, reduction);
}

/** The op of labels; the likelihood has an id of its own, so that errors of the data name it. */
function defineLoss(id: string) {
  const adjoint = defineOpWithOutputs<CrossEntropyParams>(`${id}_vjp`, { optionalFrom: 3 });
  return defineOpWithOutputs<CrossEntropyParams>(id, {
    optionalFrom: 2,
    saveInputs: [0, 1, 2],
    saveOutputs: [1],
    vjp: ({ g, needs, input, operand, output, params }) => {
      const [logits, target] = [input(0), input(1)];
      const weight = operand(2) as Tensor | null;
      if (gradEnabled()) {
        return pullThrough(
          g,
          [logits, target, weight],
          (i) => i === 0 && needs(0),
          (z) => composed(z!, target, weight, params),
        );
      }
      return [...adjoint([g, logits, target, weight, output(1)], params), null, null];
    },
  });
}

const crossEntropyOp = defineLoss('cross_entropy');
const nllLossOp = defineLoss('nll_loss');

function shapeError(op: string, message: string): FluxionError {
  return new FluxionError('FLUXION_SHAPE_MISMATCH', op, message);
}

/** Runs the loss of labels, on a batch or one [C] with a target without dimensions. */
function ofLabels(
  op: string,
  name: string,
  input: Tensor,
  target: Tensor,
  weight: Tensor | null,
  params: CrossEntropyParams,
): Tensor {
  requireReduction(op, params.reduction);
  const { labelSmoothing, ignoreIndex } = params;
  requireArgument(
    Number.isInteger(ignoreIndex),
    op,
    () => `ignoreIndex must be an integer, got ${show(ignoreIndex)}`,
  );
  requireArgument(
    labelSmoothing >= 0 && labelSmoothing <= 1,
    op,
    () => `labelSmoothing must be in [0, 1], got ${show(labelSmoothing)}`,
  );
  if (target.dtype !== 'int32' && target.dtype !== 'uint8') {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `target must be int32 or uint8, got ${target.dtype}`,
    );
  }
  const single = input.ndim === 1;
  const positions = single ? [] : input.shape.filter((_, i) => i !== 1);
  if (input.ndim === 0 || !sameShape(target.shape, positions)) {
    const expected = input.ndim > 0 ? `, [${positions.join(', ')}]` : '';
    throw shapeError(
      op,
      `target must have the shape of ${name} without its classes${expected}, got ${show([...target.shape])} beside ${show([...input.shape])}`,
    );
  }
  requireClassWeight(op, weight, input.shape[single ? 0 : 1]!);
  const operands: Operand[] = [
    single ? reshapeOp([input], { shape: [1, input.size] }) : input,
    single ? reshapeOp([target], { shape: [1] }) : target,
    weight && cast(weight, input.dtype),
  ];
  const records = gradEnabled() && input.requiresGrad;
  const run = params.logProbabilities ? nllLossOp : crossEntropyOp;
  const [loss, statistics] = run(operands, params, records ? 3 : 1);
  statistics?.dispose(); // what the tape has saved is its own
  return single && params.reduction === 'none' ? reshapeOp([loss!], { shape: [] }) : loss!;
}

function requireClassWeight(op: string, weight: Tensor | null, classes: number): void {
  if (weight === null) return;
  requireTensor(op, weight, 'weight');
  if (!sameShape(weight.shape, [classes])) {
    throw shapeError(op, `weight must have shape [${classes}], got ${show([...weight.shape])}`);
  }
  requireArgument(
    !(gradEnabled() && weight.requiresGrad),
    op,
    'weight must not require a gradient: there is none in it',
  );
}

/** Targets that are probabilities of the classes: the loss is linear in them. */
function ofProbabilities(
  op: string,
  logits: Tensor,
  target: Tensor,
  weight: Tensor | null,
  { labelSmoothing, reduction }: CrossEntropyParams,
): Tensor {
  requireReduction(op, reduction);
  const axis = logits.ndim === 1 ? 0 : 1;
  const classes = logits.shape[axis]!;
  requireClassWeight(op, weight, classes);
  const smoothed =
    labelSmoothing > 0 ? add(mul(target, 1 - labelSmoothing), labelSmoothing / classes) : target;
  const logs = logSoftmax(logits, axis);
  const weighted = weight
    ? mul(logs, axis === 0 ? weight : alongClasses(weight, logits.ndim))
    : logs;
  const products = mul(weighted, smoothed);
  if (reduction === 'none') return neg(sum(products, { dim: axis }));
  const positions = logits.size / Math.max(1, classes);
  return mul(sum(products), reduction === 'mean' ? -1 / positions : -1);
}

export interface NllLossOptions extends LossOptions {
  /** [C], factors of the classes; the mean divides by their sum over the positions. Default 1. */
  weight?: Tensor | null;
  /** Positions with this label do not count. Default -100. */
  ignoreIndex?: number;
}

export interface CrossEntropyOptions extends NllLossOptions {
  /** Share e of the target that is spread evenly over all classes, in [0, 1]. Default 0. */
  labelSmoothing?: number;
}

/**
 * Cross entropy of logits with classes, without overflow:
 *
 *     loss = w_t ((1 - e) (log sum_c e^{z_c} - z_t)) + e / C sum_c w_c (log sum_k e^{z_k} - z_c)
 *
 * - `logits` [N, C, ...] or [C]; `target` labels, int32 or uint8 in [0, C), of the shape of logits without C;
 *   or probabilities, floating-point of the shape of logits (ignoreIndex does not apply to them).
 * - Returns the mean or the sum over all positions, or with 'none' a value for each. The mean over labels
 *   divides by the weights of the positions that count, that over probabilities by the positions.
 * - Gradient in logits, of any order (and in probabilities): softmax minus target. Cost: forward reads the
 *   logits once (twice in the first-level cache), backward reads them and writes the gradient.
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
  const given = withDefaults<Required<CrossEntropyOptions>>(op, options, {
    weight: null,
    ignoreIndex: -100,
    reduction: 'mean',
    labelSmoothing: 0,
  });
  const { weight, ignoreIndex, reduction, labelSmoothing } = given;
  const params = { labelSmoothing, ignoreIndex, logProbabilities: false, reduction };
  const z = floating(op, logits);
  requireTensor(op, target, 'target');
  if (isFloating(target.dtype) && sameShape(z.shape, target.shape) && z.ndim > 0) {
    requireArgument(
      labelSmoothing >= 0 && labelSmoothing <= 1,
      op,
      () => `labelSmoothing must be in [0, 1], got ${show(labelSmoothing)}`,
    );
    return ofProbabilities(op, z, cast(target, z.dtype), weight, params);
  }
  return ofLabels(op, 'logits', z, target, weight, params);
}

/**
 * Negative log likelihood, -w_t x[n, t, ...] with t = target[n, ...], of log probabilities; with logSoftmax
 * before it, the cross entropy.
 *
 * - `x` [N, C, ...] or [C]; `target` labels as of {@link crossEntropy}. Reduced in the same way.
 * - Gradient in x, of any order. Errors: as {@link crossEntropy}.
 */
export function nllLoss(x: Tensor, target: Tensor, options?: NllLossOptions): Tensor {
  const op = 'nllLoss';
  const { weight, ignoreIndex, reduction } = withDefaults<Required<NllLossOptions>>(op, options, {
    weight: null,
    ignoreIndex: -100,
    reduction: 'mean',
  });
  const input = floating(op, x);
  requireTensor(op, target, 'target');
  const params = { labelSmoothing: 0, ignoreIndex, logProbabilities: true, reduction };
  return ofLabels(op, 'x', input, target, weight, params);
}
