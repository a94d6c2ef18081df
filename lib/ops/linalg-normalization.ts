import { FluxionError, requireArgument, show } from '../errors';
import { assign } from '../tensor/assign';
import { gradEnabled } from '../tensor/scope';
import { sameShape } from '../tensor/shape';
import { type Tensor, isTensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { reshapeOp } from './broadcast';
import { type Operand, defineOpWithOutputs, withDefaults } from './define';
import { add, div, mul, sqrt, sub } from './elementwise';
import { floating } from './promote';

// Statistics are summed in double precision and cut by the shapes alone: accurate for float32 with any
// mean, and the same bits for any number of threads.

/** Bits of the outputs (gx, gweight, gbias) that a vjp has to compute. */
function wantedBits(needs: (i: number) => boolean): number {
  return [0, 1, 2].reduce((bits, i) => bits | (needs(i) ? 1 << i : 0), 0);
}

/** Whether an operation on these operands is recorded: then the statistics are needed for its vjp. */
function needsGrad(operands: readonly Operand[]): boolean {
  return gradEnabled() && operands.some((t) => isTensor(t) && t.requiresGrad);
}

function requireParameter(
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

// ---------------------------------------------------------------------------------------------------
// Batch norm

interface BatchNormParams {
  eps: number;
}

const batchNormVjp = defineOpWithOutputs<BatchNormParams>('batch_norm_vjp', {});

const batchNormOp = defineOpWithOutputs<BatchNormParams>('batch_norm', {
  saveInputs: [0, 1],
  saveOutputs: [1, 2],
  vjp: ({ g, needs, input, operand, output, params }) =>
    batchNormVjp([g, input(0), operand(1), output(1), output(2)], params, wantedBits(needs)),
});

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
}

/** old + momentum (fresh - old), in place. */
function blend(running: Tensor, fresh: Tensor, momentum: number): void {
  tidy(() => noGrad(() => assign(running, add(mul(running, 1 - momentum), mul(fresh, momentum)))));
}

function normalizeWith(x: Tensor, given: Required<BatchNormOptions>): Tensor {
  const { runningMean, runningVar, weight, bias, eps } = given;
  const perChannel = (t: Tensor) =>
    reshapeOp([t], { shape: x.shape.map((_, i) => (i === 1 ? t.size : 1)) });
  const deviation = sqrt(add(runningVar!, eps));
  const scale = weight ? div(weight, deviation) : div(1, deviation);
  const y = mul(sub(x, perChannel(runningMean!)), perChannel(scale));
  return bias ? add(y, perChannel(bias)) : y;
}

/**
 * Batch normalisation: y = (x - mean) / sqrt(variance + eps) weight + bias, for each channel.
 *
 * - `x` [N, C, ...]; `weight`, `bias`, `runningMean`, `runningVar` [C]. Returns the shape of x.
 * - In training, mean and (biased) variance are those of the batch, and the running statistics become
 *   (1 - momentum) old + momentum new, with the unbiased variance. Otherwise the running statistics are used.
 * - Gradients in x, weight and bias.
 * - Cost, training: x is read twice and y written; backward reads g and x twice and writes gx.
 * - Errors: FLUXION_SHAPE_MISMATCH, also for training with one value per channel; FLUXION_INVALID_ARGUMENT
 *   where running statistics are needed and not given.
 *
 * Source: Ioffe and Szegedy, arXiv:1502.03167.
 */
export function batchNorm(input: Tensor, options?: BatchNormOptions): Tensor {
  const op = 'batchNorm';
  const x = floating(op, input);
  const given = withDefaults<Required<BatchNormOptions>>(op, options, {
    runningMean: null,
    runningVar: null,
    weight: null,
    bias: null,
    training: false,
    momentum: 0.1,
    eps: 1e-5,
  });
  const { runningMean, runningVar, weight, bias, training, momentum, eps } = given;
  const channels = [x.shape[1] ?? 0];
  for (const name of ['runningMean', 'runningVar', 'weight', 'bias'] as const) {
    requireParameter(op, name, given[name], channels);
  }
  if (!training) {
    requireArgument(
      runningMean !== null && runningVar !== null,
      op,
      'runningMean and runningVar must be given unless training is true, got null',
    );
    return normalizeWith(x, given);
  }
  requireArgument(
    Number.isFinite(momentum),
    op,
    () => `momentum must be a finite number, got ${show(momentum)}`,
  );
  const [y, mean, variance] = batchNormOp([x, weight, bias], { eps }) as [Tensor, Tensor, Tensor];
  const count = x.size / Math.max(1, channels[0]!);
  if (runningMean) blend(runningMean, mean, momentum);
  if (runningVar) {
    tidy(() => noGrad(() => blend(runningVar, mul(variance, count / (count - 1)), momentum)));
  }
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

const layerNormVjp = defineOpWithOutputs<{ normalizedDims: number }>('layer_norm_vjp', {});

const layerNormOp = defineOpWithOutputs<LayerNormParams>('layer_norm', {
  saveInputs: [0, 1],
  saveOutputs: [1, 2],
  vjp: ({ g, needs, input, operand, output, params: { normalizedDims } }) =>
    layerNormVjp(
      [g, input(0), operand(1), output(1), output(2)],
      { normalizedDims },
      wantedBits(needs),
    ),
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
    Array.isArray(shape) && shape.length > 0,
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
