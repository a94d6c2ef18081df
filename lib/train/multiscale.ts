import { FluxionError, requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { isTensor } from '../tensor/tensor';
import { noGrad, tidy } from '../autograd/tidy';
import { withDefaults } from '../ops/define';
import { add, sub } from '../ops/elementwise';
import { avgPool2d } from '../ops/linalg';
import { slice } from '../ops/shape';
import type { Optimizer } from '../optim';

/**
 * How a field goes to half the resolution: every second pixel of every second row, or the mean of 2 x 2. White noise
 * keeps its variance in each cell with 'nearest' and its strength at each wavelength with 'mean': the first is one
 * problem on all meshes for a stencil, which counts cells, the second for a mesh-free convolution, which knows lengths.
 */
export type Restriction = 'nearest' | 'mean';

/**
 * Mean loss of a batch at whichever resolution it has. `level` counts halvings from the finest mesh, for losses that
 * need the mesh width.
 */
export type LevelLoss = (batch: readonly Tensor[], level: number) => Tensor;

/**
 * `count` new independent samples on the finest mesh, noise included. Tensors of 4 dimensions are fields and get
 * restricted; others (times, labels) go along.
 */
export type Sampler = (count: number) => readonly Tensor[];

/**
 * Counts evaluations of the network in units of one image on the finest mesh: an image halved l times costs 4^-l, as
 * its convolutions do.
 */
export class WorkUnits {
  private sum = 0;

  get total(): number {
    return this.sum;
  }

  add(images: number, level: number): void {
    this.sum += images * 4 ** -level;
  }
}

export interface MultiscaleOptions {
  /** Levels below the finest. 0 is the plain loss of one batch. */
  levels: number;
  /** Samples of the finest bracket, N_0. */
  batchSize: number;
  /** N_(l + 1) / N_l. Default 2. */
  ratio?: number;
  /** Default 'nearest', which suits stencils; with noise and mesh-free convolutions use 'mean'. */
  restriction?: Restriction;
  /** How often fields are halved before the finest bracket: training on a coarser mesh. Default 0. */
  finest?: number;
  /** Counts the evaluations. */
  workUnits?: WorkUnits;
}

function requireCount(op: string, name: string, value: number, least: number): void {
  requireArgument(
    Number.isInteger(value) && value >= least,
    op,
    () => `${name} must be an integer >= ${least}, got ${show(value)}`,
  );
}

/** A field on the mesh of twice the width. Errors: FLUXION_SHAPE_MISMATCH for odd sizes. */
export function restrict(field: Tensor, restriction: Restriction = 'nearest'): Tensor {
  const [h, w] = field.shape.slice(-2) as [number, number];
  if (field.ndim !== 4 || h % 2 !== 0 || w % 2 !== 0 || h === 0 || w === 0) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      'restrict',
      `field must be [N, C, H, W] with even H and W, got [${field.shape.join(', ')}]`,
    );
  }
  if (restriction === 'mean') return avgPool2d(field, 2);
  return slice(slice(field, 2, 0, h, 2), 3, 0, w, 2);
}

/**
 * The multiscale (telescoping) estimate of a loss on the finest mesh. With I the restriction by 2,
 *
 *     sum over l < levels of  mean over N_l samples of [ loss(I^l s) - loss(I^(l+1) s) ]
 *     + mean over N_levels samples of  loss(I^levels s),         N_l = ratio^l batchSize
 *
 * Each bracket draws samples of its own; the two losses of a bracket share them, noise included. The expectation of
 * value and gradient is that of the loss on the finest mesh, for any N_l; the differences are small where network and
 * data are resolved, so that few fine samples do. The estimate may be negative.
 *
 * Differentiate the result once. Cost in units of a fine image: sum of N_l (4^-l + 4^-(l+1)) + N_levels 4^-levels;
 * levels 3, batchSize 16: 37.
 *
 * Errors: FLUXION_INVALID_ARGUMENT, FLUXION_SHAPE_MISMATCH where a size cannot be halved as often.
 *
 * Source: multiscale gradient estimation, arXiv 2501.12739.
 */
export function multiscaleLoss(
  loss: LevelLoss,
  sample: Sampler,
  options: MultiscaleOptions,
): Tensor {
  const op = 'multiscaleLoss';
  const o = withDefaults<Required<MultiscaleOptions>>(op, options, {
    levels: 0,
    batchSize: 1,
    ratio: 2,
    restriction: 'nearest',
    finest: 0,
    workUnits: new WorkUnits(),
  });
  requireCount(op, 'levels', o.levels, 0);
  requireCount(op, 'batchSize', o.batchSize, 1);
  requireCount(op, 'ratio', o.ratio, 1);
  requireCount(op, 'finest', o.finest, 0);
  requireArgument(
    o.restriction === 'nearest' || o.restriction === 'mean',
    op,
    () => `restriction must be 'nearest' or 'mean', got ${show(o.restriction)}`,
  );
  const coarser = (batch: readonly Tensor[]): Tensor[] =>
    noGrad(() => batch.map((t) => (t.ndim === 4 ? restrict(t, o.restriction) : t)));
  const bracket = (l: number): Tensor => {
    const count = o.batchSize * o.ratio ** l;
    let batch = sample(count);
    requireArgument(
      Array.isArray(batch) && batch.every((t) => isTensor(t) && t.shape[0] === count),
      op,
      () => `sample must return tensors of ${count} samples, got ${show(batch)}`,
    );
    const level = o.finest + l;
    for (let i = 0; i < level; i++) batch = coarser(batch);
    o.workUnits.add(count, level);
    const fine = loss(batch, level);
    if (l === o.levels) return fine;
    o.workUnits.add(count, level + 1);
    return sub(fine, loss(coarser(batch), level + 1));
  };
  return Array.from({ length: o.levels + 1 }, (_, l) => bracket(l)).reduce((a, b) => add(a, b));
}

/** What {@link fullMultiscale} reports after a step. */
export interface MultiscaleStep {
  /** 0 on the coarsest mesh. */
  stage: number;
  /** Counts over all stages. */
  step: number;
  loss: number;
  workUnits: number;
}

export interface FullMultiscaleOptions {
  optimizer: Optimizer;
  /** Steps of each stage, from the coarsest mesh to the finest; as many stages as there are numbers. */
  iterations: readonly number[];
  /** Samples of the finest bracket on the finest mesh; each coarser stage begins with twice as many. Default 16. */
  batchSize?: number;
  /** Default 2. */
  ratio?: number;
  /** Default 'nearest'. */
  restriction?: Restriction;
  /** Called after each optimizer step, for example a scheduler's step. */
  onStep?: (state: MultiscaleStep) => void | Promise<void>;
  /** Ends the training after the current step. */
  signal?: AbortSignal;
}

/**
 * Full multiscale training: from the coarsest mesh to the finest, on each with the multiscale estimate over all coarser
 * ones. Stage j of J trains on the mesh halved J - 1 - j times with j levels below it and 2^(J - 1 - j) batchSize
 * samples in its finest bracket. Weights and the state of the optimizer are carried over.
 *
 * `iterations` [2000, 1000, 500, 250] with batchSize 16 cost 28,750 work units; 2000 steps with all 240 samples on the
 * finest mesh cost 480,000.
 *
 * Returns the losses of all steps and the work units. Reading the loss waits for the step without blocking.
 *
 * Source: full multiscale training, arXiv 2501.12739.
 */
export async function fullMultiscale(
  loss: LevelLoss,
  sample: Sampler,
  options: FullMultiscaleOptions,
): Promise<{ losses: number[]; workUnits: number }> {
  const op = 'fullMultiscale';
  const { optimizer, iterations, onStep, signal, ...rest } = options;
  const o = withDefaults<Required<typeof rest>>(op, rest, {
    batchSize: 16,
    ratio: 2,
    restriction: 'nearest',
  });
  requireArgument(
    Array.isArray(iterations) &&
      iterations.length > 0 &&
      iterations.every((n) => Number.isInteger(n) && n >= 0),
    op,
    () => `iterations must be integers >= 0, one for each stage, got ${show(iterations)}`,
  );
  const workUnits = new WorkUnits();
  const losses: number[] = [];
  for (const [stage, count] of iterations.entries()) {
    const finest = iterations.length - 1 - stage;
    const settings = {
      ...o,
      levels: stage,
      finest,
      batchSize: o.batchSize * 2 ** finest,
      workUnits,
    };
    for (let i = 0; i < count && !signal?.aborted; i++) {
      const value = tidy(() => {
        optimizer.zeroGrad();
        const estimate = multiscaleLoss(loss, sample, settings);
        estimate.backward();
        optimizer.step();
        return estimate.detach();
      });
      const [number] = await value.data();
      value.dispose();
      losses.push(number!);
      await onStep?.({ stage, step: losses.length, loss: number!, workUnits: workUnits.total });
    }
  }
  return { losses, workUnits: workUnits.total };
}
