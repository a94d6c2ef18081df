import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { conv2d } from '../ops/linalg';
import { defaultBound, uniformParameter } from './initialization';
import { requireSizes } from './linear';
import { Module } from './module';

export interface Conv2dOptions {
  /** Default 1. */
  stride?: number | [number, number];
  /** Zeros around the input. Default 0; 'same' keeps the size for stride 1 and odd kernels. */
  padding?: number | [number, number] | 'same';
  /** Default 1. */
  dilation?: number | [number, number];
  /** Default 1. */
  groups?: number;
  /** Default true. */
  bias?: boolean;
}

const pair = (value: number | [number, number]): [number, number] =>
  typeof value === 'number' ? [value, value] : value;

/** Cross-correlation of [N, C, H, W]. weight [outChannels, inChannels / groups, kh, kw]. */
export class Conv2d extends Module {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  private readonly settings: {
    stride: [number, number];
    padding: [number, number];
    dilation: [number, number];
    groups: number;
  };

  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | [number, number],
    options?: Conv2dOptions,
  ) {
    super();
    const [kh, kw] = pair(kernelSize);
    const o = withDefaults<Required<Conv2dOptions>>('Conv2d', options, {
      stride: 1,
      padding: 0,
      dilation: 1,
      groups: 1,
      bias: true,
    });
    requireSizes('Conv2d', {
      inChannels,
      outChannels,
      kernelHeight: kh,
      kernelWidth: kw,
      groups: o.groups,
    });
    requireArgument(
      inChannels % o.groups === 0 && outChannels % o.groups === 0,
      'Conv2d',
      () => `groups must divide inChannels and outChannels, got ${show(o.groups)}`,
    );
    const dilation = pair(o.dilation);
    if (o.padding === 'same') {
      requireArgument(
        kh % 2 === 1 && kw % 2 === 1,
        'Conv2d',
        "padding 'same' needs an odd kernelSize",
      );
    }
    const padding: [number, number] =
      o.padding === 'same'
        ? [(dilation[0] * (kh - 1)) / 2, (dilation[1] * (kw - 1)) / 2]
        : pair(o.padding);
    this.settings = { stride: pair(o.stride), padding, dilation, groups: o.groups };
    const fanIn = (inChannels / o.groups) * kh * kw;
    this.weight = uniformParameter(
      [outChannels, inChannels / o.groups, kh, kw],
      defaultBound(fanIn),
    );
    this.bias = o.bias ? uniformParameter([outChannels], defaultBound(fanIn)) : null;
  }

  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, { bias: this.bias, ...this.settings });
  }
}
