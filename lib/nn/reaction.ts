import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { mul } from '../ops/elementwise';
import { conv2d } from '../ops/linalg';
import type { ActivationName } from './activation';
import { Conv2d } from './convolution';
import { Module } from './module';
import { BatchNorm2d } from './normalization';

export interface ReactionOptions {
  /** Size of the first convolution: 1 is a reaction in the strict sense (pointwise), 3 as in IMEXnet. Default 3. */
  kernelSize?: number;
  /** Hidden channels. Default: as many as the input has. */
  hidden?: number;
  /** Groups of the first convolution. Default 1; `channels` makes it depthwise. */
  groups?: number;
  /** Default 'relu'. */
  activation?: ActivationName;
}

/**
 * The reaction term of a reaction-diffusion network: R(u) = W2 act(Norm(W1 u)) + b2, W1 a kernelSize
 * convolution (zero padding), W2 pointwise, Norm batch normalisation.
 */
export class Reaction extends Module {
  readonly first: Conv2d;
  readonly norm: BatchNorm2d;
  readonly second: Conv2d;
  private readonly activation: ActivationName;

  constructor(channels: number, options?: ReactionOptions) {
    super();
    const o = withDefaults<Required<ReactionOptions>>('Reaction', options, {
      kernelSize: 3,
      hidden: channels,
      groups: 1,
      activation: 'relu',
    });
    this.activation = o.activation;
    this.first = new Conv2d(channels, o.hidden, o.kernelSize, {
      padding: 'same',
      bias: false,
      groups: o.groups,
    });
    this.norm = new BatchNorm2d(o.hidden);
    this.second = new Conv2d(o.hidden, channels, 1);
  }

  private hidden(u: Tensor): Tensor {
    return this.norm.forward(this.first.forward(u), this.activation);
  }

  forward(u: Tensor): Tensor {
    return this.second.forward(this.hidden(u));
  }

  /** The explicit step u + dt R(u): dt scales W2 and b2, u is added as the second convolution stores its result. */
  step(u: Tensor, dt: number): Tensor {
    const { weight, bias } = this.second;
    const scaled = (t: Tensor) => (dt === 1 ? t : mul(t, dt));
    return conv2d(this.hidden(u), scaled(weight), { bias: bias && scaled(bias), residual: u });
  }
}
