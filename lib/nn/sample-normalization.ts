import { requireArgument } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { groupNorm, instanceNorm } from '../ops/linalg';
import { constantParameter } from './initialization';
import { requireSizes } from './linear';
import { Module } from './module';
import { type BatchNormOptions, ChannelNorm } from './normalization';

/** Normalisation of each channel of each sample. Ulyanov, Vedaldi and Lempitsky (2016). */
abstract class InstanceNorm extends ChannelNorm {
  forward(x: Tensor): Tensor {
    this.requireInput(x);
    const { runningMean, runningVar, weight, bias, momentum, eps } = this;
    const useInputStats = this.training || runningMean === null;
    return instanceNorm(x, { runningMean, runningVar, weight, bias, useInputStats, momentum, eps });
  }
}

/** Normalises each row of [N, C, L]; see {@link InstanceNorm2d}. */
export class InstanceNorm1d extends InstanceNorm {
  constructor(numFeatures: number, options?: BatchNormOptions) {
    super('InstanceNorm1d', numFeatures, [3], options, false);
  }
}

/** Normalises each plane of [N, C, H, W]. Without weight, bias and running statistics unless asked for. */
export class InstanceNorm2d extends InstanceNorm {
  constructor(numFeatures: number, options?: BatchNormOptions) {
    super('InstanceNorm2d', numFeatures, [4], options, false);
  }
}

/** Normalises each volume of [N, C, D, H, W]; see {@link InstanceNorm2d}. */
export class InstanceNorm3d extends InstanceNorm {
  constructor(numFeatures: number, options?: BatchNormOptions) {
    super('InstanceNorm3d', numFeatures, [5], options, false);
  }
}

export interface GroupNormOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Whether there are weight and bias [C]. Default true. */
  affine?: boolean;
}

/** Normalises groups of channels of each sample. Wu and He (2018). */
export class GroupNorm extends Module {
  readonly weight: Tensor | null;
  readonly bias: Tensor | null;
  private readonly eps: number;

  constructor(
    readonly numGroups: number,
    readonly numChannels: number,
    options?: GroupNormOptions,
  ) {
    super();
    requireSizes('GroupNorm', { numGroups, numChannels });
    requireArgument(
      numChannels % numGroups === 0,
      'GroupNorm',
      () => `numGroups must divide the ${numChannels} channels, got ${numGroups}`,
    );
    const { eps, affine } = withDefaults('GroupNorm', options, { eps: 1e-5, affine: true });
    this.eps = eps;
    this.weight = affine ? constantParameter([numChannels], 1) : null;
    this.bias = affine ? constantParameter([numChannels], 0) : null;
  }

  forward(x: Tensor): Tensor {
    const { weight, bias, eps } = this;
    return groupNorm(x, this.numGroups, { weight, bias, eps });
  }
}
