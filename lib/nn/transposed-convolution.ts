import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { convTranspose1d, convTranspose2d, convTranspose3d } from '../ops/linalg';
import {
  type Along1,
  type Along2,
  type Along3,
  type Sizes,
  perAxis,
  requireWeightSizes,
} from './convolution';
import { defaultBound, uniformParameter } from './initialization';
import { Module } from './module';

export interface ConvTransposeOptions<L extends readonly number[]> {
  /** Default 1. */
  stride?: Sizes<L>;
  /** What is cut off all around the result. Default 0. */
  padding?: Sizes<L>;
  /** What the result is longer on one side. Default 0. */
  outputPadding?: Sizes<L>;
  /** Default 1. */
  dilation?: Sizes<L>;
  /** Default 1. */
  groups?: number;
  /** Default true. */
  bias?: boolean;
}

interface Settings<L extends readonly number[]> {
  stride: L;
  padding: L;
  outputPadding: L;
  dilation: L;
  groups: number;
}

/** Weight, bias and settings of the adjoint of a cross-correlation over `axes` axes. */
abstract class TransposedConvolution<L extends readonly number[]> extends Module {
  /** [inChannels, outChannels / groups, kernel...]. */
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  protected readonly settings: Settings<L>;

  constructor(
    op: string,
    axes: number,
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<L>,
    options: ConvTransposeOptions<L> | undefined,
  ) {
    super();
    const kernel = perAxis<L>(op, 'kernelSize', kernelSize, axes);
    const o = withDefaults<Required<ConvTransposeOptions<L>>>(
      op,
      options,
      { stride: 1, padding: 0, outputPadding: 0, dilation: 1, groups: 1, bias: true },
      ['stride', 'padding', 'outputPadding', 'dilation'],
    );
    requireWeightSizes(op, inChannels, outChannels, o.groups, kernel);
    this.settings = {
      stride: perAxis<L>(op, 'stride', o.stride, axes),
      padding: perAxis<L>(op, 'padding', o.padding, axes),
      outputPadding: perAxis<L>(op, 'outputPadding', o.outputPadding, axes),
      dilation: perAxis<L>(op, 'dilation', o.dilation, axes),
      groups: o.groups,
    };
    // PyTorch counts the fan of the second axis of the weight here too, which is that of the outputs.
    const fan = (outChannels / o.groups) * kernel.reduce((a, b) => a * b, 1);
    const bound = defaultBound(fan);
    this.weight = uniformParameter([inChannels, outChannels / o.groups, ...kernel], bound);
    this.bias = o.bias ? uniformParameter([outChannels], bound) : null;
  }
}

/** The adjoint of a convolution of [N, C, L]. weight [inChannels, outChannels / groups, k], bias [outChannels]. */
export class ConvTranspose1d extends TransposedConvolution<Along1> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<Along1>,
    options?: ConvTransposeOptions<Along1>,
  ) {
    super('ConvTranspose1d', 1, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return convTranspose1d(x, this.weight, { bias: this.bias, ...this.settings });
  }
}

/** The adjoint of a convolution of [N, C, H, W]: a learned upsampling. See {@link ConvTranspose1d}. */
export class ConvTranspose2d extends TransposedConvolution<Along2> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<Along2>,
    options?: ConvTransposeOptions<Along2>,
  ) {
    super('ConvTranspose2d', 2, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return convTranspose2d(x, this.weight, { bias: this.bias, ...this.settings });
  }
}

/** The adjoint of a convolution of [N, C, D, H, W]. See {@link ConvTranspose1d}. */
export class ConvTranspose3d extends TransposedConvolution<Along3> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<Along3>,
    options?: ConvTransposeOptions<Along3>,
  ) {
    super('ConvTranspose3d', 3, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return convTranspose3d(x, this.weight, { bias: this.bias, ...this.settings });
  }
}
