import type { Tensor } from '../tensor/tensor';
import { keep } from '../autograd/tidy';
import { withDefaults } from '../ops/define';
import { full } from '../ops/creation';
import { batchNorm, layerNorm } from '../ops/linalg';
import { constantParameter } from './initialization';
import { requireSizes } from './linear';
import { Module } from './module';

export interface BatchNormOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Weight of the new batch in the running statistics. Default 0.1. */
  momentum?: number;
}

/**
 * Normalises each channel over the batch and the plane; in eval mode by the running statistics.
 * Ioffe and Szegedy (2015). weight and bias [C]; buffers runningMean, runningVar [C].
 */
export class BatchNorm2d extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor;
  readonly runningMean: Tensor;
  readonly runningVar: Tensor;
  private readonly settings: Required<BatchNormOptions>;

  constructor(channels: number, options?: BatchNormOptions) {
    super();
    requireSizes('BatchNorm2d', { channels });
    this.settings = withDefaults('BatchNorm2d', options, { eps: 1e-5, momentum: 0.1 });
    this.weight = constantParameter([channels], 1);
    this.bias = constantParameter([channels], 0);
    this.runningMean = keep(full([channels], 0));
    this.runningVar = keep(full([channels], 1));
  }

  forward(x: Tensor): Tensor {
    return batchNorm(x, {
      runningMean: this.runningMean,
      runningVar: this.runningVar,
      weight: this.weight,
      bias: this.bias,
      training: this.training,
      ...this.settings,
    });
  }
}

/** Normalises over the last dimensions, given by their sizes. Ba, Kiros and Hinton (2016). */
export class LayerNorm extends Module {
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;
  private readonly normalizedShape: number[];
  private readonly eps: number;

  constructor(normalizedShape: number[], options?: { eps?: number; affine?: boolean }) {
    super();
    const { eps, affine } = withDefaults('LayerNorm', options, { eps: 1e-5, affine: true });
    this.normalizedShape = normalizedShape;
    this.eps = eps;
    this.weight = affine ? constantParameter(normalizedShape, 1) : null;
    this.bias = affine ? constantParameter(normalizedShape, 0) : null;
  }

  forward(x: Tensor): Tensor {
    return layerNorm(x, this.normalizedShape, {
      weight: this.weight ?? undefined,
      bias: this.bias ?? undefined,
      eps: this.eps,
    });
  }
}
