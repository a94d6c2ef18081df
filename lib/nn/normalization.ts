import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { keep } from '../autograd/tidy';
import { withDefaults } from '../ops/define';
import { full } from '../ops/creation';
import { type FusedActivation, batchNorm, layerNorm } from '../ops/linalg';
import { constantParameter } from './initialization';
import { requireSizes } from './linear';
import { Module } from './module';

export interface BatchNormOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Weight of the new batch in the running statistics. Default 0.1. */
  momentum?: number;
  /** Whether there are weight and bias. Default true (instance norms: false). */
  affine?: boolean;
  /** Whether there are running statistics. Without them eval mode uses the batch. Default true (instance norms: false). */
  trackRunningStats?: boolean;
}

/** Running statistics under the names that PyTorch saves. */
const STATE_NAMES: Record<string, string> = {
  runningMean: 'running_mean',
  runningVar: 'running_var',
};

/** What batch and instance normalisation share: weight, bias and running statistics of C channels. */
export abstract class ChannelNorm extends Module {
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;
  readonly runningMean: Tensor | null;
  readonly runningVar: Tensor | null;
  readonly numFeatures: number;
  protected readonly eps: number;
  protected readonly momentum: number;

  constructor(
    protected readonly op: string,
    numFeatures: number,
    /** Numbers of dimensions that an input may have. */
    private readonly dimensions: readonly number[],
    options: BatchNormOptions | undefined,
    byDefault: boolean,
  ) {
    super();
    requireSizes(op, { numFeatures });
    const { eps, momentum, affine, trackRunningStats } = withDefaults<Required<BatchNormOptions>>(
      op,
      options,
      { eps: 1e-5, momentum: 0.1, affine: byDefault, trackRunningStats: byDefault },
    );
    requireArgument(
      typeof momentum === 'number' && momentum >= 0 && momentum <= 1,
      op,
      () => `momentum must be in [0, 1], got ${show(momentum)}`,
    );
    this.numFeatures = numFeatures;
    this.eps = eps;
    this.momentum = momentum;
    const shape = [numFeatures];
    this.weight = affine ? constantParameter(shape, 1) : null;
    this.bias = affine ? constantParameter(shape, 0) : null;
    this.runningMean = trackRunningStats ? keep(full(shape, 0)) : null;
    this.runningVar = trackRunningStats ? keep(full(shape, 1)) : null;
  }

  protected override *members(): Generator<[string, Tensor | Module]> {
    for (const [name, member] of super.members()) yield [STATE_NAMES[name] ?? name, member];
  }

  protected requireInput(x: Tensor): void {
    requireArgument(
      this.dimensions.includes(x.ndim),
      this.op,
      () =>
        `input must have ${this.dimensions.join(' or ')} dimensions, got shape ${show([...x.shape])}`,
    );
  }
}

/** Batch normalisation of channels; in eval mode by the running statistics. Ioffe and Szegedy (2015). */
export abstract class BatchNorm extends ChannelNorm {
  /** With an activation after it in the same pass. */
  forward(x: Tensor, activation: FusedActivation = 'none'): Tensor {
    this.requireInput(x);
    const { runningMean, runningVar, weight, bias, momentum, eps } = this;
    const training = this.training || runningMean === null;
    const statistics = { runningMean, runningVar, training, momentum };
    return batchNorm(x, { ...statistics, weight, bias, eps, activation });
  }
}

/** Normalises each channel of [N, C] or [N, C, L] over all else; see {@link BatchNorm2d}. */
export class BatchNorm1d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormOptions) {
    super('BatchNorm1d', numFeatures, [2, 3], options, true);
  }
}

/**
 * Normalises each channel of [N, C, H, W] over the batch and the plane; in eval mode by the running
 * statistics. weight and bias [C]; buffers runningMean and runningVar [C], saved as PyTorch names them.
 */
export class BatchNorm2d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormOptions) {
    super('BatchNorm2d', numFeatures, [4], options, true);
  }
}

/** Normalises each channel of [N, C, D, H, W]; see {@link BatchNorm2d}. */
export class BatchNorm3d extends BatchNorm {
  constructor(numFeatures: number, options?: BatchNormOptions) {
    super('BatchNorm3d', numFeatures, [5], options, true);
  }
}

export interface LayerNormOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Whether there are weight and bias. Default true. */
  elementwiseAffine?: boolean;
  /** Whether there is a bias beside the weight. Default true. */
  bias?: boolean;
}

/** Normalises over the last dimensions, given by their sizes. Ba, Kiros and Hinton (2016). */
export class LayerNorm extends Module {
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;
  private readonly normalizedShape: readonly number[];
  private readonly eps: number;

  constructor(normalizedShape: number | readonly number[], options?: LayerNormOptions) {
    super();
    const { eps, elementwiseAffine, bias } = withDefaults<Required<LayerNormOptions>>(
      'LayerNorm',
      options,
      { eps: 1e-5, elementwiseAffine: true, bias: true },
    );
    const shape: readonly number[] =
      typeof normalizedShape === 'number' ? [normalizedShape] : normalizedShape;
    const isList: boolean = Array.isArray(shape);
    requireArgument(
      isList && shape.length > 0 && shape.every((n) => Number.isInteger(n)),
      'LayerNorm',
      () => `normalizedShape must be a size or an array of sizes, got ${show(normalizedShape)}`,
    );
    this.normalizedShape = [...shape];
    this.eps = eps;
    this.weight = elementwiseAffine ? constantParameter(shape, 1) : null;
    this.bias = elementwiseAffine && bias ? constantParameter(shape, 0) : null;
  }

  forward(x: Tensor): Tensor {
    const { weight, bias, eps } = this;
    return layerNorm(x, this.normalizedShape, { weight, bias, eps });
  }
}
