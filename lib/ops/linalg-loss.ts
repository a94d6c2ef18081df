import { FluxionError, requireArgument, show } from '../errors';
import { gradEnabled } from '../tensor/scope';
import { sameShape } from '../tensor/shape';
import { type Tensor, isTensor } from '../tensor/tensor';
import { broadcastShapes, sumTo } from './broadcast';
import {
  type Operand,
  defineOpWithOutputs,
  pullThrough,
  requireTensor,
  withDefaults,
} from './define';
import { abs, add, div, le, lt, mul, neg, square, sub, where } from './elementwise';
import { softplus } from './elementwise-activation';
import { floating, promoted } from './promote';
import { mean, sum } from './reduce';

/** What a loss makes of the values of its elements. */
export type Reduction = 'mean' | 'sum' | 'none';

export interface LossOptions {
  /** Default 'mean'. */
  reduction?: Reduction;
}

/** @internal */
export function requireReduction(op: string, reduction: Reduction): void {
  requireArgument(
    reduction === 'mean' || reduction === 'sum' || reduction === 'none',
    op,
    () => `reduction must be one of 'mean', 'sum', 'none', got ${show(reduction)}`,
  );
}

/** @internal */
export function reduced(losses: Tensor, reduction: Reduction): Tensor {
  return reduction === 'mean' ? mean(losses) : reduction === 'sum' ? sum(losses) : losses;
}

export interface WeightedLossOptions extends LossOptions {
  /** Factor of each loss, of the shape of x; the mean divides by the sum of the factors. */
  weight?: Tensor | null;
}

type Kind = 'squared' | 'absolute' | 'smoothL1' | 'huber' | 'bceWithLogits';

interface ElementLossParams {
  kind: Kind;
  width: number;
  reduction: Reduction;
}

/** The same in differentiable steps. */
function composed(
  { kind, width, reduction }: ElementLossParams,
  x: Tensor,
  target: Tensor,
  weight: Tensor | null,
  posWeight: Tensor | null,
): Tensor {
  const difference = () => sub(x, target);
  const value = (): Tensor => {
    switch (kind) {
      case 'squared':
        return square(difference());
      case 'absolute':
        return abs(difference());
      case 'smoothL1': {
        const d = difference();
        const inside = lt(abs(d), width);
        // Where it is not chosen, the division by a width of 0 must not reach the gradient.
        const near = mul(square(d), width > 0 ? 0.5 / width : 0);
        return where(inside, near, sub(abs(d), width / 2));
      }
      case 'huber': {
        const d = difference();
        const far = mul(sub(abs(d), width / 2), width);
        return where(le(abs(d), width), mul(square(d), 0.5), far);
      }
      case 'bceWithLogits': {
        const tail = softplus(neg(x));
        const factor = posWeight ? add(mul(sub(posWeight, 1), target), 1) : 1;
        return add(mul(sub(1, target), x), mul(tail, factor));
      }
    }
  };
  const values = value();
  return reduced(weight ? mul(values, weight) : values, reduction);
}

const elementLossVjp = defineOpWithOutputs<ElementLossParams>('element_loss_vjp', {
  optionalFrom: 3,
});

const elementLossOp = defineOpWithOutputs<ElementLossParams>('element_loss', {
  optionalFrom: 2,
  saveInputs: [0, 1, 2, 3],
  vjp: ({ g, needs, input, operand, shape, params }) => {
    const [x, target] = [input(0), input(1)];
    const [weight, posWeight] = [operand(2) as Tensor | null, operand(3) as Tensor | null];
    if (gradEnabled()) {
      return pullThrough(g, [x, target, weight, posWeight], needs, (u, t, w, p) =>
        composed(params, u!, t!, w, p),
      );
    }
    const wanted = (needs(0) ? 1 : 0) | (needs(1) ? 2 : 0);
    const gradients = elementLossVjp([g, x, target, weight, posWeight], params, wanted);
    return gradients.map((t, i) => t && sumTo(t, shape(i))).concat([null, null]);
  },
});

/** Runs a loss of x and a target that broadcast to each other. */
function elementLoss(
  op: string,
  x: Tensor,
  target: Tensor,
  params: ElementLossParams,
  weights: readonly (Tensor | null)[] = [null, null],
): Tensor {
  requireReduction(op, params.reduction);
  const [a, b] = promoted(op, floating(op, x), floating(op, target)) as [Tensor, Tensor];
  broadcastShapes(op, a.shape, b.shape);
  const operands: Operand[] = [a, b, ...weights.map((w) => w && (promoted(op, w, a)[0] as Tensor))];
  return elementLossOp(operands, params)[0]!;
}

/** A loss with a factor for each element, of which 'mean' is the weighted mean. */
function weightedLoss(
  op: string,
  x: Tensor,
  target: Tensor,
  weight: Tensor | null,
  params: ElementLossParams,
): Tensor {
  if (weight === null) return elementLoss(op, x, target, params);
  requireReduction(op, params.reduction);
  requireTensor(op, x, 'x');
  requireTensor(op, weight, 'weight');
  requireFactor(op, 'weight', weight, x.shape);
  if (!sameShape(weight.shape, x.shape)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `weight must have the shape of x, ${show([...x.shape])}, got ${show([...weight.shape])}`,
    );
  }
  const averaged = params.reduction === 'mean';
  const total = averaged ? { ...params, reduction: 'sum' as const } : params;
  const factors = floating(op, weight);
  const loss = elementLoss(op, x, target, total, [factors, null]);
  return averaged ? div(loss, sum(factors)) : loss;
}

/**
 * Squared error (x - target)^2, reduced over all elements.
 *
 * `x` and `target` broadcast to each other. Gradients in both, of any order. Cost: one read; backward reads
 * both and writes the gradients. No gradient in `weight`. Errors: FLUXION_SHAPE_MISMATCH.
 */
export function mseLoss(x: Tensor, target: Tensor, options?: WeightedLossOptions): Tensor {
  const op = 'mseLoss';
  const { reduction, weight } = withDefaults<Required<WeightedLossOptions>>(op, options, {
    reduction: 'mean',
    weight: null,
  });
  return weightedLoss(op, x, target, weight, { kind: 'squared', width: 1, reduction });
}

/** Absolute error |x - target|; its gradient where they are equal is 0. Else as {@link mseLoss}. */
export function l1Loss(x: Tensor, target: Tensor, options?: WeightedLossOptions): Tensor {
  const op = 'l1Loss';
  const { reduction, weight } = withDefaults<Required<WeightedLossOptions>>(op, options, {
    reduction: 'mean',
    weight: null,
  });
  return weightedLoss(op, x, target, weight, { kind: 'absolute', width: 1, reduction });
}

export interface SmoothL1LossOptions extends LossOptions {
  /** Where the parabola meets the lines, >= 0; 0 is {@link l1Loss}. Default 1. */
  beta?: number;
}

/**
 * With d = x - target: d^2 / (2 beta) where |d| < beta, else |d| - beta / 2. Else as {@link mseLoss}.
 *
 * Errors: FLUXION_INVALID_ARGUMENT for a negative beta. Source: Girshick, arXiv:1504.08083.
 */
export function smoothL1Loss(x: Tensor, target: Tensor, options?: SmoothL1LossOptions): Tensor {
  const op = 'smoothL1Loss';
  const { reduction, beta } = withDefaults<Required<SmoothL1LossOptions>>(op, options, {
    reduction: 'mean',
    beta: 1,
  });
  requireArgument(
    Number.isFinite(beta) && beta >= 0,
    op,
    () => `beta must be a finite number >= 0, got ${show(beta)}`,
  );
  return elementLoss(op, x, target, { kind: 'smoothL1', width: beta, reduction });
}

export interface HuberLossOptions extends WeightedLossOptions {
  /** Where the parabola meets the lines, > 0. Default 1. */
  delta?: number;
}

/**
 * With d = x - target: d^2 / 2 where |d| <= delta, else delta (|d| - delta / 2). Else as {@link mseLoss}.
 *
 * Errors: FLUXION_INVALID_ARGUMENT unless delta > 0. Source: Huber, Ann. Math. Stat. 35 (1964).
 */
export function huberLoss(x: Tensor, target: Tensor, options?: HuberLossOptions): Tensor {
  const op = 'huberLoss';
  const { reduction, weight, delta } = withDefaults<Required<HuberLossOptions>>(op, options, {
    reduction: 'mean',
    weight: null,
    delta: 1,
  });
  requireArgument(
    Number.isFinite(delta) && delta > 0,
    op,
    () => `delta must be a finite number > 0, got ${show(delta)}`,
  );
  return weightedLoss(op, x, target, weight, { kind: 'huber', width: delta, reduction });
}

export interface BceWithLogitsOptions extends LossOptions {
  /** Factor of each loss; broadcasts to x. */
  weight?: Tensor | null;
  /** Factor of the positive part; broadcasts to x, for instance [C] beside [N, C]. */
  posWeight?: Tensor | null;
}

/**
 * Binary cross entropy of logits, without overflow:
 *
 *     loss = -weight (posWeight t log s + (1 - t) log(1 - s)),   s = sigmoid(x)
 *
 * - `target` has the shape of x, its values are probabilities. Gradients in x and target, of any order; none
 *   in the weights, as in PyTorch.
 * - Cost: one read; backward reads and writes once.
 * - Errors: FLUXION_SHAPE_MISMATCH.
 */
export function bceWithLogits(x: Tensor, target: Tensor, options?: BceWithLogitsOptions): Tensor {
  const op = 'bceWithLogits';
  const { reduction, weight, posWeight } = withDefaults<Required<BceWithLogitsOptions>>(
    op,
    options,
    { reduction: 'mean', weight: null, posWeight: null },
  );
  requireTensor(op, x, 'x');
  requireTensor(op, target, 'target');
  if (!sameShape(x.shape, target.shape)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `target must have the shape of x, ${show([...x.shape])}, got ${show([...target.shape])}`,
    );
  }
  const weights = [weight, posWeight].map((w, i) => {
    if (w === null) return null;
    const name = i === 0 ? 'weight' : 'posWeight';
    requireTensor(op, w, name);
    requireFactor(op, name, w, x.shape);
    return floating(op, w);
  });
  return elementLoss(op, x, target, { kind: 'bceWithLogits', width: 1, reduction }, weights);
}

function requireFactor(op: string, name: string, w: Tensor, shape: readonly number[]): void {
  requireArgument(
    !(gradEnabled() && isTensor(w) && w.requiresGrad),
    op,
    () => `${name} must not require a gradient: there is none in it`,
  );
  const skip = shape.length - w.ndim;
  if (skip < 0 || !w.shape.every((n, i) => n === 1 || n === shape[skip + i])) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `${name} must broadcast to ${show([...shape])}, got ${show([...w.shape])}`,
    );
  }
}
