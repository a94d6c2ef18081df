import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { withDefaults } from './define';
import { type Padding, convolve } from './linalg-convolution-core';
import type { EpilogueOptions } from './linalg-epilogue';

/** One size for all axes, or [length]. */
export type Size1d = number | readonly [number];
/** One size for both axes, or [height, width]. */
export type Size2d = number | readonly [number, number];
/** One size for all axes, or [depth, height, width]. */
export type Size3d = number | readonly [number, number, number];

/** @internal [height, width] of a size, which must be an integer >= `minimum`. */
export function pairOf(
  op: string,
  argument: string,
  size: Size2d,
  minimum: number,
): [number, number] {
  const pair = typeof size === 'number' ? [size, size] : size;
  requireArgument(
    Array.isArray(pair) &&
      pair.length === 2 &&
      pair.every((n) => Number.isInteger(n) && n >= minimum),
    op,
    () => `${argument} must be an integer >= ${minimum} or two of them, got ${show(size)}`,
  );
  return [pair[0] as number, pair[1] as number];
}

export interface ConvOptions<Size> extends EpilogueOptions {
  /** Default 1. */
  stride?: Size;
  /**
   * Zeros added on each side; 'valid' adds none, 'same' as many as keep the size (stride 1; of an odd number the
   * end gets one more). Default 0.
   */
  padding?: Padding<Size>;
  /** Distance of neighbouring taps. Default 1. */
  dilation?: Size;
  /** Channels are cut into this many groups that do not mix; the number of channels: depthwise. Default 1. */
  groups?: number;
}
export type Conv1dOptions = ConvOptions<Size1d>;
export type Conv2dOptions = ConvOptions<Size2d>;
export type Conv3dOptions = ConvOptions<Size3d>;

function optionsOf<Size>(
  op: string,
  options: ConvOptions<Size | number> | undefined,
): Required<ConvOptions<Size | number>> {
  const defaults: Required<ConvOptions<Size | number>> = {
    bias: null,
    residual: null,
    activation: 'none',
    stride: 1,
    padding: 0,
    dilation: 1,
    groups: 1,
  };
  return withDefaults(op, options, defaults, ['stride', 'padding', 'dilation']);
}

/**
 * 2-d convolution (cross-correlation, as in PyTorch) with zero padding:
 *
 *     y[n, o, i, j] = act(sum_{c, a, b} weight[o, c, a, b] x[n, c, i s + a d - p, j s + b d - p]
 *                         + bias[o] + residual[n, o, i, j])
 *
 * - `x` [N, C, H, W] or [C, H, W]; `weight` [O, C / groups, kh, kw]; `bias` [O]; `residual` shaped as y.
 * - `residual` and `activation` are done in the last store of the sums: no pass over memory of their own,
 *   save for silu and gelu while gradients are recorded.
 * - Returns [N, O, OH, OW], OH = floor((H + 2 p - d (kh - 1) - 1) / s) + 1.
 * - Gradients in x, weight, bias and residual, of any order (silu and gelu: of the first).
 * - Deterministic: the same bits for any number of threads.
 * - Cost: 2 kh kw C / groups flops an output element, forward; twice that backward. Nothing is unfolded
 *   in memory (docs/numerics/convolution.md).
 * - Errors: FLUXION_SHAPE_MISMATCH; FLUXION_INVALID_ARGUMENT for sizes that are not integers in range.
 */
export function conv2d(x: Tensor, weight: Tensor, options?: Conv2dOptions): Tensor {
  return convolve('conv2d', 2, x, weight, optionsOf<Size2d>('conv2d', options));
}

/** {@link conv2d} of lines: `x` [N, C, L] or [C, L]; `weight` [O, C / groups, k]. By views: nothing is copied. */
export function conv1d(x: Tensor, weight: Tensor, options?: Conv1dOptions): Tensor {
  return convolve('conv1d', 1, x, weight, optionsOf<Size1d>('conv1d', options));
}

/** {@link conv2d} of volumes: `x` [N, C, D, H, W] or [C, D, H, W]; `weight` [O, C / groups, kd, kh, kw]. */
export function conv3d(x: Tensor, weight: Tensor, options?: Conv3dOptions): Tensor {
  return convolve('conv3d', 3, x, weight, optionsOf<Size3d>('conv3d', options));
}
