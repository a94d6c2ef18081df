import { FluxionError, requireArgument, show } from '../errors';
import { assign } from '../tensor/assign';
import { gradEnabled } from '../tensor/scope';
import { sameShape } from '../tensor/shape';
import { type Tensor, isTensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { reshapeOp } from './broadcast';
import { type Operand, defineOpWithOutputs, pullThrough, withDefaults } from './define';
import { add, div, mul, sqrt, square, sub } from './elementwise';
import {
  elu,
  gelu,
  leakyRelu,
  relu,
  sigmoid,
  silu,
  softplus,
  tanh,
} from './elementwise-activation';
import { floating } from './promote';
import { mean as meanOf } from './reduce';

// Statistics are summed in double precision and cut by the shapes alone: accurate for float32 with any
// mean, and the same bits for any number of threads.

const FUSED = {
  none: (x: Tensor) => x,
  relu,
  leakyRelu,
  elu,
  gelu,
  silu,
  softplus,
  tanh,
  sigmoid,
} as const;

/** Functions that a normalisation applies to its result in the same pass, with their default parameters. */
export type FusedActivation = keyof typeof FUSED;

/** @internal */
export function requireActivation(op: string, activation: FusedActivation): void {
  requireArgument(
    typeof activation === 'string' && Object.hasOwn(FUSED, activation),
    op,
    () => `activation must be one of ${Object.keys(FUSED).join(', ')}, got ${show(activation)}`,
  );
}

/** Bits of the outputs (gx, gweight, gbias) that a vjp has to compute. */
export function wantedBits(needs: (i: number) => boolean): number {
  return [0, 1, 2].reduce((bits, i) => bits | (needs(i) ? 1 << i : 0), 0);
}

/** Whether an operation on these operands is recorded: then the statistics are needed for its vjp. */
export function needsGrad(operands: readonly Operand[]): boolean {
  return gradEnabled() && operands.some((t) => isTensor(t) && t.requiresGrad);
}

/** @internal */
export function requireParameter(
  op: string,
  name: string,
  value: Tensor | null,
  shape: readonly number[],
): void {
  if (value === null) return;
  requireArgument(isTensor(value), op, () => `${name} must be a tensor, got ${show(value)}`);
  if (!sameShape(value.shape, shape)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `${name} must have shape ${show([...shape])}, got ${show([...value.shape])}`,
    );
  }
}

/** Statistics for {@link composed}: given, or those of x over dimensions. */
type Statistics = { dims: number[] } | { mean: Tensor; variance: Tensor };

/** act((x - mean) / sqrt(variance + eps) weight + bias) in differentiable steps; all broadcast to x. */
export function composed(
  x: Tensor,
  weight: Tensor | null,
  bias: Tensor | null,
  statistics: Statistics,
  eps: number,
  activation: FusedActivation = 'none',
): Tensor {
  const average = (t: Tensor, dim: number[]) => meanOf(t, { dim, keepdim: true });
  const centred = sub(x, 'dims' in statistics ? average(x, statistics.dims) : statistics.mean);
  const variance =
    'dims' in statistics ? average(square(centred), statistics.dims) : statistics.variance;
  const z = div(centred, sqrt(add(variance, eps)));
  const scaled = weight ? mul(z, weight) : z;
  return FUSED[activation](bias ? add(scaled, bias) : scaled);
}

/** [C] as [1, C, 1, ...] beside x. */
export function perChannel(t: Tensor | null, ndim: number): Tensor | null {
  if (!t) return null;
  return reshapeOp([t], { shape: Array.from({ length: ndim }, (_, i) => (i === 1 ? t.size : 1)) });
}

// ---------------------------------------------------------------------------------------------------
// Batch norm

interface BatchNormParams {
  eps: number;
  training: boolean;
  activation: FusedActivation;
}

const batchNormVjp = defineOpWithOutputs<BatchNormParams>('batch_norm_vjp', { optionalFrom: 2 });

const batchNormOp = defineOpWithOutputs<BatchNormParams>('batch_norm', {
  optionalFrom: 1,
  saveInputs: ({ training }) => (training ? [0, 1, 2] : [0, 1, 2, 3, 4]),
  saveOutputs: ({ training }) => (training ? [1, 2] : []),
  vjp: ({ g, needs, input, operand, output, params }) => {
    const { training, eps, activation } = params;
    const x = input(0);
    const mean = training ? output(1) : input(3);
    const variance = training ? output(2) : input(4);
    const [weight, bias] = [operand(1) as Tensor | null, operand(2) as Tensor | null];
    if (gradEnabled()) {
      return pullThrough(g, [x, weight, bias], needs, (u, w, b) => {
        const column = (t: Tensor | null) => perChannel(t, x.ndim);
        const statistics = training
          ? { dims: [...x.shape.keys()].filter((i) => i !== 1) }
          : { mean: column(mean)!, variance: column(variance)! };
        return composed(u!, column(w), column(b), statistics, eps, activation);
      }).concat([null, null]);
    }
    return batchNormVjp([g, x, weight, bias, mean, variance], params, wantedBits(needs)).concat([
      null,
      null,
    ]);
  },
});

interface RunningStatisticsParams {
  momentum: number;
  varianceScale: number;
}

const runningStatistics = defineOpWithOutputs<RunningStatisticsParams>('running_statistics', {});

/**
 * running = (1 - momentum) running + momentum fresh, in place, with the variance of `count` values unbiased.
 * Fresh statistics [.., C] are averaged over the leading dimension.
 */
export function updateStatistics(
  running: readonly [Tensor | null, Tensor | null],
  fresh: readonly [Tensor, Tensor],
  momentum: number,
  count: number,
): void {
  if (!running[0] && !running[1]) return;
  tidy(() =>
    noGrad(() => {
      const blended = runningStatistics(
        [...fresh, ...running],
        { momentum, varianceScale: count / (count - 1) },
        (running[0] ? 1 : 0) | (running[1] ? 2 : 0),
      );
      running.forEach((old, i) => old && assign(old, blended[i]!));
    }),
  );
}

export interface BatchNormOptions {
  /** [C]. Updated in place in training, read otherwise. */
  runningMean?: Tensor | null;
  /** [C], the unbiased variance. Updated in place in training, read otherwise. */
  runningVar?: Tensor | null;
  /** [C]. Default 1. */
  weight?: Tensor | null;
  /** [C]. Default 0. */
  bias?: Tensor | null;
  /** Normalise with the statistics of this batch instead of the running ones. Default false. */
  training?: boolean;
  /** Weight of this batch in the running statistics. Default 0.1. */
  momentum?: number;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Applied to the result in the same pass; backward makes it again from x. Default 'none'. */
  activation?: FusedActivation;
}

/**
 * Batch normalisation: y = act((x - mean) / sqrt(variance + eps) weight + bias), for each channel.
 *
 * - `x` [N, C, ...]; `weight`, `bias`, `runningMean`, `runningVar` [C]. Returns the shape of x. The running
 *   statistics may stand before the options, as in PyTorch: batchNorm(x, runningMean, runningVar, options).
 * - In training, mean and (biased) variance are those of the batch, and the running statistics become
 *   (1 - momentum) old + momentum new, with the unbiased variance. Otherwise the running statistics are used.
 * - `activation` costs no pass over memory, forward or backward, and nothing is saved for it.
 * - Gradients in x, weight and bias.
 * - Cost: x is read and y written; backward reads g and x and writes gx. A channel that does not fit the
 *   second-level cache is read twice.
 * - Errors: FLUXION_SHAPE_MISMATCH, also for training with one value per channel; FLUXION_INVALID_ARGUMENT
 *   where running statistics are needed and not given.
 *
 * Source: Ioffe and Szegedy, arXiv:1502.03167.
 */
export function batchNorm(
  input: Tensor,
  runningMean: Tensor | null,
  runningVar: Tensor | null,
  options?: BatchNormOptions,
): Tensor;
export function batchNorm(input: Tensor, options?: BatchNormOptions): Tensor;
export function batchNorm(
  input: Tensor,
  first?: BatchNormOptions | Tensor | null,
  second?: Tensor | null,
  rest?: BatchNormOptions,
): Tensor {
  const op = 'batchNorm';
  const positional = first === null || isTensor(first);
  const options = positional ? { ...rest, runningMean: first, runningVar: second ?? null } : first;
  const x = floating(op, input);
  const given = withDefaults<Required<BatchNormOptions>>(op, options, {
    runningMean: null,
    runningVar: null,
    weight: null,
    bias: null,
    training: false,
    momentum: 0.1,
    eps: 1e-5,
    activation: 'none',
  });
  const { runningMean, runningVar, weight, bias, training, momentum, eps, activation } = given;
  const channels = [x.shape[1] ?? 0];
  for (const name of ['runningMean', 'runningVar', 'weight', 'bias'] as const) {
    requireParameter(op, name, given[name], channels);
  }
  requireActivation(op, activation);
  const params = { eps, training, activation };
  if (!training) {
    requireArgument(
      runningMean !== null && runningVar !== null,
      op,
      'runningMean and runningVar must be given unless training is true, got null',
    );
    requireArgument(
      !needsGrad([runningMean, runningVar]),
      op,
      'runningMean and runningVar must not require gradients: they are statistics',
    );
    return batchNormOp([x, weight, bias, runningMean, runningVar], params, 1)[0]!;
  }
  requireArgument(
    Number.isFinite(momentum),
    op,
    () => `momentum must be a finite number, got ${show(momentum)}`,
  );
  const outputs = batchNormOp([x, weight, bias, null, null], params);
  const [y, mean, variance] = outputs as [Tensor, Tensor, Tensor];
  if (x.size > 0)
    updateStatistics([runningMean, runningVar], [mean, variance], momentum, x.size / channels[0]!);
  mean.dispose(); // what the tape has saved is its own
  variance.dispose();
  return y;
}

// ---------------------------------------------------------------------------------------------------
// Layer norm

interface LayerNormParams {
  normalizedDims: number;
  eps: number;
}

const layerNormVjp = defineOpWithOutputs<{ normalizedDims: number }>('layer_norm_vjp', {
  optionalFrom: 2,
});

const layerNormOp = defineOpWithOutputs<LayerNormParams>('layer_norm', {
  optionalFrom: 1,
  saveInputs: (_, needs) => (needs(2) ? [0, 1, 2] : [0, 1]),
  saveOutputs: [1, 2],
  vjp: ({ g, needs, input, operand, output, params: { normalizedDims, eps } }) => {
    const x = input(0);
    const weight = operand(1) as Tensor | null;
    if (gradEnabled()) {
      const dims = Array.from({ length: normalizedDims }, (_, i) => x.ndim - 1 - i);
      const bias = needs(2) ? input(2) : null;
      return pullThrough(g, [x, weight, bias], needs, (u, w, b) =>
        composed(u!, w, b, { dims }, eps),
      );
    }
    return layerNormVjp(
      [g, x, weight, output(1), output(2)],
      { normalizedDims },
      wantedBits(needs),
    );
  },
});

export interface LayerNormOptions {
  /** [normalizedShape]. Default 1. */
  weight?: Tensor | null;
  /** [normalizedShape]. Default 0. */
  bias?: Tensor | null;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
}

/**
 * Layer normalisation: y = (x - mean) / sqrt(variance + eps) weight + bias, with mean and (biased) variance
 * over the trailing dimensions.
 *
 * - `normalizedShape`: the sizes of those dimensions, or the last size; `weight` and `bias` have that shape.
 * - Returns the shape of x. Gradients in x, weight and bias.
 * - Cost: x is read twice, from the cache where a row fits, and y written.
 * - Errors: FLUXION_SHAPE_MISMATCH.
 *
 * Source: Ba, Kiros and Hinton, arXiv:1607.06450.
 */
export function layerNorm(
  input: Tensor,
  normalizedShape: number | readonly number[],
  options?: LayerNormOptions,
): Tensor {
  const op = 'layerNorm';
  const x = floating(op, input);
  const { weight, bias, eps } = withDefaults<Required<LayerNormOptions>>(op, options, {
    weight: null,
    bias: null,
    eps: 1e-5,
  });
  const shape = typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape;
  requireArgument(
    Array.isArray(shape) && shape.length > 0 && shape.every((n) => typeof n === 'number'),
    op,
    () => `normalizedShape must be a size or an array of sizes, got ${show(normalizedShape)}`,
  );
  if (!sameShape(x.shape.slice(-shape.length), shape)) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `x must have shape [.., ${shape.join(', ')}], got ${show([...x.shape])}`,
    );
  }
  requireParameter(op, 'weight', weight, shape);
  requireParameter(op, 'bias', bias, shape);
  const operands: Operand[] = [x, weight, bias];
  const outputs = layerNormOp(
    operands,
    { normalizedDims: shape.length, eps },
    needsGrad(operands) ? 7 : 1,
  );
  outputs[1]?.dispose(); // what the tape has saved is its own
  outputs[2]?.dispose();
  return outputs[0]!;
}
