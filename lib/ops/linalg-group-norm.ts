import { requireArgument, show } from '../errors';
import { gradEnabled } from '../tensor/scope';
import type { Tensor } from '../tensor/tensor';
import { reshapeOp } from './broadcast';
import { type Operand, defineOpWithOutputs, pullThrough, withDefaults } from './define';
import {
  type FusedActivation,
  batchNorm,
  composed,
  needsGrad,
  requireActivation,
  requireParameter,
  updateStatistics,
  wantedBits,
} from './linalg-normalization';
import { floating } from './promote';

interface GroupNormParams {
  groups: number;
  eps: number;
  activation: FusedActivation;
}

const groupNormVjp = defineOpWithOutputs<GroupNormParams>('group_norm_vjp', { optionalFrom: 2 });

const groupNormOp = defineOpWithOutputs<GroupNormParams>('group_norm', {
  optionalFrom: 1,
  saveInputs: [0, 1, 2],
  saveOutputs: [1, 2],
  vjp: ({ g, needs, input, operand, output, params }) => {
    const x = input(0);
    const [weight, bias] = [operand(1) as Tensor | null, operand(2) as Tensor | null];
    if (gradEnabled()) {
      return pullThrough(g, [x, weight, bias], needs, (u, w, b) => composeGroups(u!, w, b, params));
    }
    return groupNormVjp([g, x, weight, bias, output(1), output(2)], params, wantedBits(needs));
  },
});

/** The same in differentiable steps, on x as [N, G, C / G, S]. */
function composeGroups(
  x: Tensor,
  weight: Tensor | null,
  bias: Tensor | null,
  { groups, eps, activation }: GroupNormParams,
): Tensor {
  const [images, channels] = [x.shape[0]!, x.shape[1]!];
  const width = channels / groups;
  const split = [images, groups, width, x.size / Math.max(1, images * channels)];
  const column = (t: Tensor | null) => t && reshapeOp([t], { shape: [1, groups, width, 1] });
  const grouped = reshapeOp([x], { shape: split });
  const statistics = { dims: [2, 3] };
  const y = composed(grouped, column(weight), column(bias), statistics, eps, activation);
  return reshapeOp([y], { shape: x.shape });
}

export interface GroupNormOptions {
  /** [C]. Default 1. */
  weight?: Tensor | null;
  /** [C]. Default 0. */
  bias?: Tensor | null;
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Applied to the result in the same pass; backward makes it again from x. Default 'none'. */
  activation?: FusedActivation;
}

/**
 * Group normalisation: y = act((x - mean) / sqrt(variance + eps) weight + bias), with mean and (biased)
 * variance over each group of C / numGroups channels of each image.
 *
 * - `x` [N, C, ...]; `weight`, `bias` [C]. Returns the shape of x. Gradients in x, weight and bias.
 * - Cost: x is read and y written; backward reads g and x and writes gx. A group that does not fit the
 *   second-level cache is read twice.
 * - Errors: FLUXION_INVALID_ARGUMENT where numGroups does not divide C; FLUXION_SHAPE_MISMATCH.
 *
 * Source: Wu and He, arXiv:1803.08494.
 */
export function groupNorm(input: Tensor, numGroups: number, options?: GroupNormOptions): Tensor {
  const op = 'groupNorm';
  const x = floating(op, input);
  const { weight, bias, eps, activation } = withDefaults<Required<GroupNormOptions>>(op, options, {
    weight: null,
    bias: null,
    eps: 1e-5,
    activation: 'none',
  });
  requireArgument(
    Number.isInteger(numGroups) && numGroups > 0,
    op,
    () => `numGroups must be an integer > 0, got ${show(numGroups)}`,
  );
  const channels = [x.shape[1] ?? 0];
  requireParameter(op, 'weight', weight, channels);
  requireParameter(op, 'bias', bias, channels);
  requireActivation(op, activation);
  return run([x, weight, bias], { groups: numGroups, eps, activation });
}

function run(operands: Operand[], params: GroupNormParams): Tensor {
  const outputs = groupNormOp(operands, params, needsGrad(operands) ? 7 : 1);
  outputs[1]?.dispose(); // what the tape has saved is its own
  outputs[2]?.dispose();
  return outputs[0]!;
}

export interface InstanceNormOptions extends GroupNormOptions {
  /** [C]. Updated in place with useInputStats, read otherwise. */
  runningMean?: Tensor | null;
  /** [C], the unbiased variance. Updated in place with useInputStats, read otherwise. */
  runningVar?: Tensor | null;
  /** Normalise with the statistics of each plane instead of the running ones. Default true. */
  useInputStats?: boolean;
  /** Weight of this batch in the running statistics. Default 0.1. */
  momentum?: number;
}

/**
 * Instance normalisation: y = act((x - mean) / sqrt(variance + eps) weight + bias), with mean and (biased)
 * variance over each channel of each image.
 *
 * - `x` [N, C, ...] with more than one value per plane; `weight`, `bias`, `runningMean`, `runningVar` [C].
 *   Returns the shape of x. Gradients in x, weight and bias.
 * - With `useInputStats` the running statistics become (1 - momentum) old + momentum new, the new ones
 *   averaged over the images and the variance unbiased. Without it they are used, as in {@link batchNorm}.
 * - Cost and errors: as {@link groupNorm}.
 *
 * Source: Ulyanov, Vedaldi and Lempitsky, arXiv:1607.08022.
 */
export function instanceNorm(input: Tensor, options?: InstanceNormOptions): Tensor {
  const op = 'instanceNorm';
  const x = floating(op, input);
  const given = withDefaults<Required<InstanceNormOptions>>(op, options, {
    runningMean: null,
    runningVar: null,
    weight: null,
    bias: null,
    useInputStats: true,
    momentum: 0.1,
    eps: 1e-5,
    activation: 'none',
  });
  const { useInputStats, ...rest } = given;
  const { runningMean, runningVar, weight, bias, momentum, eps, activation } = rest;
  if (!useInputStats) return batchNorm(x, { ...rest, training: false });
  const channels = x.shape[1] ?? 0;
  for (const name of ['runningMean', 'runningVar', 'weight', 'bias'] as const) {
    requireParameter(op, name, given[name], [channels]);
  }
  requireActivation(op, activation);
  requireArgument(
    Number.isFinite(momentum),
    op,
    () => `momentum must be a finite number, got ${show(momentum)}`,
  );
  const planes = (x.shape[0] ?? 0) * channels;
  requireArgument(
    x.ndim > 2 && x.size > planes,
    op,
    () => `x must have more than one value per plane, got shape ${show([...x.shape])}`,
  );
  const operands = [x, weight, bias];
  const params = { groups: channels, eps, activation };
  if (!runningMean && !runningVar) return run(operands, params);
  const [y, mean, variance] = groupNormOp(operands, params) as [Tensor, Tensor, Tensor];
  updateStatistics([runningMean, runningVar], [mean, variance], momentum, x.size / planes);
  mean.dispose();
  variance.dispose();
  return y;
}
