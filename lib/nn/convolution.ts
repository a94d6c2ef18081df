import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from '../ops/define';
import { conv1d, conv2d, conv3d } from '../ops/linalg';
import { pad } from '../ops/shape-pad';
import { defaultBound, uniformParameter } from './initialization';
import { requireSizes } from './linear';
import { Module } from './module';

/** One number for every axis, or one for each. */
export type Sizes<L extends readonly number[]> = number | L;

export type Along1 = readonly [number];
export type Along2 = readonly [number, number];
export type Along3 = readonly [number, number, number];

/** How a convolution continues its input. */
export type PaddingMode = 'zeros' | 'reflect' | 'replicate' | 'circular';

export interface ConvOptions<L extends readonly number[]> {
  /** Default 1. */
  stride?: Sizes<L>;
  /** Width of the margin. Default 0, also 'valid'; 'same' keeps the size (stride 1). */
  padding?: Sizes<L> | 'same' | 'valid';
  /** What the margin holds. Others than zeros are copied round the input. Default 'zeros'. */
  paddingMode?: PaddingMode;
  /** Default 1. */
  dilation?: Sizes<L>;
  /** Default 1. */
  groups?: number;
  /** Default true. */
  bias?: boolean;
}

export type Conv1dOptions = ConvOptions<Along1>;
export type Conv2dOptions = ConvOptions<Along2>;
export type Conv3dOptions = ConvOptions<Along3>;

/** One size for each of `axes`. */
export function perAxis<L extends readonly number[]>(
  op: string,
  argument: string,
  value: Sizes<L>,
  axes: number,
): L {
  const list = typeof value === 'number' ? Array<number>(axes).fill(value) : value;
  requireArgument(
    Array.isArray(list) && list.length === axes,
    op,
    () => `${argument} must be a number or ${axes} of them, got ${show(value)}`,
  );
  return list as unknown as L;
}

/** Channels, groups and kernel of a weight: all of them counts, the groups a divisor of both channels. */
export function requireWeightSizes(
  op: string,
  inChannels: number,
  outChannels: number,
  groups: number,
  kernel: readonly number[],
): void {
  requireSizes(op, { inChannels, outChannels, groups });
  for (const size of kernel) requireSizes(op, { kernelSize: size });
  requireArgument(
    inChannels % groups === 0 && outChannels % groups === 0,
    op,
    () => `groups must divide inChannels and outChannels, got ${show(groups)}`,
  );
}

const PADDING_MODES: readonly string[] = ['zeros', 'reflect', 'replicate', 'circular'];

/** Margins before and after each axis. */
function margins<L extends readonly number[]>(
  op: string,
  axes: number,
  kernel: L,
  stride: L,
  dilation: L,
  padding: Sizes<L> | 'same' | 'valid',
): [number, number][] {
  if (padding === 'same') {
    requireArgument(
      stride.every((s) => s === 1),
      op,
      () => `padding 'same' needs stride 1, got ${show(stride)}`,
    );
    return kernel.map((k, i) => {
      const total = dilation[i]! * (k - 1);
      return [Math.floor(total / 2), Math.ceil(total / 2)];
    });
  }
  const sizes = perAxis(op, 'padding', padding === 'valid' ? 0 : padding, axes);
  return sizes.map((n) => [n, n]);
}

interface ConvSettings<L extends readonly number[]> {
  stride: L;
  padding: L;
  dilation: L;
  groups: number;
}

/** Weight, bias and settings of a cross-correlation over `axes` axes. */
abstract class Convolution<L extends readonly number[]> extends Module {
  /** [outChannels, inChannels / groups, kernel...]. */
  readonly weight: Tensor;
  readonly bias: Tensor | null;
  protected readonly settings: ConvSettings<L>;
  private readonly paddingMode: PaddingMode;
  /** What to pad before the convolution, as `pad` takes it; empty where the convolution does it. */
  private readonly outside: readonly number[];

  constructor(
    op: string,
    axes: number,
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<L>,
    options: ConvOptions<L> | undefined,
  ) {
    super();
    const kernel = perAxis<L>(op, 'kernelSize', kernelSize, axes);
    const o = withDefaults<Required<ConvOptions<L>>>(
      op,
      options,
      { stride: 1, padding: 0, paddingMode: 'zeros', dilation: 1, groups: 1, bias: true },
      ['stride', 'padding', 'dilation'],
    );
    requireWeightSizes(op, inChannels, outChannels, o.groups, kernel);
    requireArgument(
      PADDING_MODES.includes(o.paddingMode),
      op,
      () => `paddingMode must be one of ${PADDING_MODES.join(', ')}, got ${show(o.paddingMode)}`,
    );
    const stride = perAxis<L>(op, 'stride', o.stride, axes);
    const dilation = perAxis<L>(op, 'dilation', o.dilation, axes);
    const around = margins(op, axes, kernel, stride, dilation, o.padding);
    const within = o.paddingMode === 'zeros' && around.every(([a, b]) => a === b);
    const padding = around.map(([a]) => (within ? a : 0)) as unknown as L;
    this.paddingMode = o.paddingMode;
    this.outside =
      within || around.every(([a, b]) => a + b === 0) ? [] : around.toReversed().flat();
    this.settings = { stride, padding, dilation, groups: o.groups };
    const fanIn = (inChannels / o.groups) * kernel.reduce((a, b) => a * b, 1);
    const bound = defaultBound(fanIn);
    this.weight = uniformParameter([outChannels, inChannels / o.groups, ...kernel], bound);
    this.bias = o.bias ? uniformParameter([outChannels], bound) : null;
  }

  /** The input with the margin that the convolution does not make itself. */
  protected padded(x: Tensor): Tensor {
    if (this.outside.length === 0) return x;
    const mode = this.paddingMode === 'zeros' ? 'constant' : this.paddingMode;
    return pad(x, this.outside, { mode });
  }
}

/** Cross-correlation of [N, C, L]. weight [outChannels, inChannels / groups, k], bias [outChannels]. */
export class Conv1d extends Convolution<Along1> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<Along1>,
    options?: Conv1dOptions,
  ) {
    super('Conv1d', 1, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return conv1d(this.padded(x), this.weight, { bias: this.bias, ...this.settings });
  }
}

/** Cross-correlation of [N, C, H, W]. weight [outChannels, inChannels / groups, kh, kw], bias [outChannels]. */
export class Conv2d extends Convolution<Along2> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<Along2>,
    options?: Conv2dOptions,
  ) {
    super('Conv2d', 2, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return conv2d(this.padded(x), this.weight, { bias: this.bias, ...this.settings });
  }
}

/** Cross-correlation of [N, C, D, H, W]. weight [outChannels, inChannels / groups, kd, kh, kw], bias [outChannels]. */
export class Conv3d extends Convolution<Along3> {
  constructor(
    inChannels: number,
    outChannels: number,
    kernelSize: Sizes<Along3>,
    options?: Conv3dOptions,
  ) {
    super('Conv3d', 3, inChannels, outChannels, kernelSize, options);
  }

  forward(x: Tensor): Tensor {
    return conv3d(this.padded(x), this.weight, { bias: this.bias, ...this.settings });
  }
}
