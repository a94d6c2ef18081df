import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { conv2d } from '../ops/linalg';
import { defaultBound, uniformParameter } from './initialization';
import { requireSizes } from './linear';
import { Module } from './module';

/** One number for every axis, or one for each. */
type Sizes<L extends readonly number[]> = number | L;

export interface ConvOptions<L extends readonly number[]> {
  /** Default 1. */
  stride?: Sizes<L>;
  /** Zeros around the input. Default 0, also 'valid'; 'same' keeps the size (stride 1). */
  padding?: Sizes<L> | 'same' | 'valid';
  /** Default 1. */
  dilation?: Sizes<L>;
  /** Default 1. */
  groups?: number;
  /** Default true. */
  bias?: boolean;
}

export type Conv2dOptions = ConvOptions<readonly [number, number]>;

/** One size for each of `axes`. */
function perAxis(op: string, argument: string, value: number | readonly number[], axes: number) {
  const list = typeof value === 'number' ? Array<number>(axes).fill(value) : [...value];
  requireArgument(
    list.length === axes,
    op,
    () => `${argument} must be a number or ${axes} of them, got ${show(value)}`,
  );
  return list;
}

export interface ConvSettings {
  stride: number[];
  padding: number[];
  dilation: number[];
  groups: number;
}

/** Weight, bias and settings of a cross-correlation over `axes` axes. */
abstract class Convolution<L extends readonly number[]> extends Module {
  /** [outChannels, inChannels / groups, kernel...]. */
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  protected readonly settings: ConvSettings;

  constructor(
    op: string,
    axes: number,
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<L>,
    options: ConvOptions<L> | undefined,
  ) {
    super();
    const kernel = perAxis(op, 'kernelSize', kernelSize, axes);
    const o = withDefaults<Required<ConvOptions<L>>>(op, options, {
      stride: 1,
      padding: 0,
      dilation: 1,
      groups: 1,
      bias: true,
    });
    requireSizes(op, { inChannels, outChannels, groups: o.groups });
    for (const size of kernel) requireSizes(op, { kernelSize: size });
    requireArgument(
      inChannels % o.groups === 0 && outChannels % o.groups === 0,
      op,
      () => `groups must divide inChannels and outChannels, got ${show(o.groups)}`,
    );
    const stride = perAxis(op, 'stride', o.stride, axes);
    const dilation = perAxis(op, 'dilation', o.dilation, axes);
    if (o.padding === 'same') {
      requireArgument(
        kernel.every((k, i) => (dilation[i]! * (k - 1)) % 2 === 0),
        op,
        "padding 'same' needs an odd kernelSize",
      );
      requireArgument(
        stride.every((s) => s === 1),
        op,
        () => `padding 'same' needs stride 1, got ${show(o.stride)}`,
      );
    }
    const padding =
      o.padding === 'same'
        ? kernel.map((k, i) => (dilation[i]! * (k - 1)) / 2)
        : perAxis(op, 'padding', o.padding === 'valid' ? 0 : o.padding, axes);
    this.settings = { stride, padding, dilation, groups: o.groups };
    const fanIn = (inChannels / o.groups) * kernel.reduce((a, b) => a * b, 1);
    const bound = defaultBound(fanIn);
    this.weight = uniformParameter([outChannels, inChannels / o.groups, ...kernel], bound);
    this.bias = o.bias ? uniformParameter([outChannels], bound) : null;
  }
}

/** Cross-correlation of [N, C, H, W]. weight [outChannels, inChannels / groups, kh, kw], bias [outChannels]. */
export class Conv2d extends Convolution<readonly [number, number]> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: number | readonly [number, number],
    options?: Conv2dOptions,
  ) {
    super('Conv2d', 2, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return conv2d(x, this.weight, { ...(this.settings as Conv2dSettings), bias: this.bias });
  }
}

interface Conv2dSettings extends ConvSettings {
  stride: [number, number];
  padding: [number, number];
  dilation: [number, number];
}
