import type { Tensor } from '../tensor/tensor';
import { withDefaults } from './define';
import type { Size1d, Size2d, Size3d } from './linalg-convolution';
import { convolveTransposed } from './linalg-convolution-core';

export interface ConvTransposeOptions<Size> {
  /** [O]. Default none. */
  bias?: Tensor | null;
  /** Distance of the places to which neighbouring inputs go. Default 1. */
  stride?: Size;
  /** Positions that are taken away on each side of the result. Default 0. */
  padding?: Size;
  /** Positions that the result has more at its end; less than stride or dilation. Default 0. */
  outputPadding?: Size;
  /** Channels are cut into this many groups that do not mix. Default 1. */
  groups?: number;
  /** Distance of neighbouring taps. Default 1. */
  dilation?: Size;
}
export type ConvTranspose1dOptions = ConvTransposeOptions<Size1d>;
export type ConvTranspose2dOptions = ConvTransposeOptions<Size2d>;
export type ConvTranspose3dOptions = ConvTransposeOptions<Size3d>;

function optionsOf<Size>(
  op: string,
  options: ConvTransposeOptions<Size | number> | undefined,
): Required<ConvTransposeOptions<Size | number>> {
  const defaults: Required<ConvTransposeOptions<Size | number>> = {
    bias: null,
    stride: 1,
    padding: 0,
    outputPadding: 0,
    groups: 1,
    dilation: 1,
  };
  return withDefaults(op, options, defaults, ['stride', 'padding', 'outputPadding', 'dilation']);
}

/**
 * Transposed 2-d convolution, as in PyTorch: the adjoint in x of {@link conv2d} with the same weight, so that
 * each input is spread over a kernel's places:
 *
 *     y[n, o, i s + a d - p, j s + b d - p] += weight[c, o, a, b] x[n, c, i, j],   y = bias at first
 *
 * - `x` [N, C, H, W] or [C, H, W]; `weight` [C, O / groups, kh, kw]; `bias` [O].
 * - Returns [N, O, OH, OW], OH = (H - 1) s - 2 p + d (kh - 1) + outputPadding + 1.
 * - Gradients in x, weight and bias, of any order. Deterministic: the same bits for any number of threads.
 * - Cost: 2 kh kw O / groups flops an input element; no product with an inserted zero is computed.
 * - Errors: FLUXION_SHAPE_MISMATCH; FLUXION_INVALID_ARGUMENT for sizes that are not integers in range.
 */
export function convTranspose2d(
  x: Tensor,
  weight: Tensor,
  options?: ConvTranspose2dOptions,
): Tensor {
  const op = 'convTranspose2d';
  return convolveTransposed(op, 2, x, weight, optionsOf<Size2d>(op, options));
}

/** {@link convTranspose2d} of lines: `x` [N, C, L] or [C, L]; `weight` [C, O / groups, k]. */
export function convTranspose1d(
  x: Tensor,
  weight: Tensor,
  options?: ConvTranspose1dOptions,
): Tensor {
  const op = 'convTranspose1d';
  return convolveTransposed(op, 1, x, weight, optionsOf<Size1d>(op, options));
}

/** {@link convTranspose2d} of volumes: `x` [N, C, D, H, W] or [C, D, H, W]; `weight` [C, O / groups, kd, kh, kw]. */
export function convTranspose3d(
  x: Tensor,
  weight: Tensor,
  options?: ConvTranspose3dOptions,
): Tensor {
  const op = 'convTranspose3d';
  return convolveTransposed(op, 3, x, weight, optionsOf<Size3d>(op, options));
}
