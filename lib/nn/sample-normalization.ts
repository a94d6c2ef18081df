import { requireArgument } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { add, mul } from '../ops/elementwise';
import { layerNorm } from '../ops/linalg';
import { reshape } from '../ops/shape';
import { constantParameter } from './initialization';
import { requireSizes } from './linear';
import { Module } from './module';

export interface GroupNormOptions {
  /** Added to the variance. Default 1e-5. */
  eps?: number;
  /** Whether there are weight and bias [C]. Default true. */
  affine?: boolean;
}

/** Normalises groups of channels of each sample, [N, C, ...]. Wu and He (2018). */
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
    const [batch, channels = 0, ...rest] = x.shape;
    requireArgument(
      x.ndim >= 2 && channels === this.numChannels,
      'GroupNorm',
      () => `input must have shape [N, ${this.numChannels}, ..], got [${x.shape.join(', ')}]`,
    );
    const row = rest.reduce((a, b) => a * b, channels / this.numGroups);
    const rows = reshape(x, [batch!, this.numGroups, row]);
    const y = reshape(layerNorm(rows, [row], { eps: this.eps }), x.shape);
    if (!this.weight || !this.bias) return y;
    const perChannel = (t: Tensor) => reshape(t, [channels, ...rest.map(() => 1)]);
    return add(mul(y, perChannel(this.weight)), perChannel(this.bias));
  }
}
