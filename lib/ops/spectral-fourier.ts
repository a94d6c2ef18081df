import { FluxionError } from '../errors';
import { complexOf, isComplex } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import { axisOf, defineOp, listOf, requireTensor, withDefaults } from './define';
import { cast, floating } from './promote';
import { roll } from './shape-index';
import { type FourierNorm, normFactor, transformGrid } from './spectral-grid';

export type { FourierNorm } from './spectral-grid';
export * from './spectral-cosine';
export * from './spectral-frequencies';

// Discrete Fourier transforms with NumPy's and SciPy's conventions. Cropping and zero padding are part of the
// linear map, so each op is closed under adjoints: the cotangent of a transform is a transform.

export interface FourierOptions {
  /** Points of the transform: the input is cropped or padded with zeros to it. Default its size. */
  n?: number;
  /** Default -1. */
  dim?: number;
  /** Default 'backward'. */
  norm?: FourierNorm;
}

export interface FourierNdOptions {
  /** Points along each dimension of `dim`. Default their sizes. */
  s?: readonly number[];
  /** Dimensions that are transformed. Default the last two (fft2), or as many as `s` has, or all. */
  dim?: readonly number[];
  /** Default 'backward'. */
  norm?: FourierNorm;
}

interface FourierParams {
  dims: readonly number[];
  lengths: readonly number[];
  sizes: readonly number[];
  inverse: boolean;
  scale: number;
  mirrored: number;
}

const sizesOf = (shape: readonly number[], dims: readonly number[]) => dims.map((d) => shape[d]!);

type FourierOp = (inputs: readonly Tensor[], params: FourierParams) => Tensor;

const fftOp = defineOp<FourierParams>('fft', {
  vjp: ({ g, params, shape }) => [
    fftOp([g], { ...params, sizes: sizesOf(shape(0), params.dims), inverse: !params.inverse }),
  ],
}) as FourierOp;

const rfftOp = defineOp<FourierParams>('rfft', {
  vjp: ({ g, params, shape }) => [
    irfftOp([g], { ...params, sizes: sizesOf(shape(0), params.dims) }),
  ],
}) as FourierOp;

const irfftOp = defineOp<FourierParams>('irfft', {
  vjp: ({ g, params, shape }) => [
    rfftOp([g], { ...params, sizes: sizesOf(shape(0), params.dims) }),
  ],
}) as FourierOp;

type Kind = 'fft' | 'rfft' | 'irfft';

interface Request {
  s: readonly number[] | undefined;
  dim: readonly number[] | undefined;
  norm: FourierNorm;
}

function toComplex(op: string, x: Tensor): Tensor {
  requireTensor(op, x);
  return isComplex(x.dtype) ? x : cast(x, complexOf(x.dtype));
}

/** A transform of any of the kinds, its arguments checked under the name of the public function. */
function transform(op: string, kind: Kind, inverse: boolean, x: Tensor, request: Request): Tensor {
  if (kind === 'rfft' && isComplex(x.dtype)) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `input must be real, got ${x.dtype}; fft takes complex input`,
    );
  }
  const input = kind === 'rfft' ? floating(op, x) : toComplex(op, x);
  const { dims, lengths } = transformGrid(op, input, request.s, request.dim, (d, last) =>
    kind === 'irfft' && last ? 2 * (input.shape[d]! - 1) : input.shape[d]!,
  );
  const sizes = [...lengths];
  if (kind === 'rfft') sizes.push(Math.floor(sizes.pop()! / 2) + 1);
  const points = lengths.reduce((a, b) => a * b, 1);
  const scale = normFactor(op, request.norm, points, inverse);
  const run = { fft: fftOp, rfft: rfftOp, irfft: irfftOp }[kind];
  return run([input], { dims, lengths, sizes, inverse, scale, mirrored: kind === 'irfft' ? 2 : 1 });
}

function along(
  op: string,
  kind: Kind,
  inverse: boolean,
  x: Tensor,
  options?: FourierOptions,
): Tensor {
  requireTensor(op, x);
  const { n, dim, norm } = withDefaults<{ n: number | undefined; dim: number; norm: FourierNorm }>(
    op,
    options,
    { n: undefined, dim: -1, norm: 'backward' },
  );
  return transform(op, kind, inverse, x, { s: n === undefined ? n : [n], dim: [dim], norm });
}

function over(
  op: string,
  kind: Kind,
  inverse: boolean,
  x: Tensor,
  options: FourierNdOptions | undefined,
  dims?: readonly number[],
): Tensor {
  requireTensor(op, x);
  const request = withDefaults<Request>(op, options, {
    s: undefined,
    dim: dims,
    norm: 'backward',
  });
  return transform(op, kind, inverse, x, request);
}

const PLANE = [-2, -1];

/**
 * Z_k = sum_j z_j e^(-2 pi i j k / n) along a dimension, for any n.
 *
 * - `z` real or complex (real input is made complex; `rfft` is twice as fast for it). Returns complex64 for
 *   float32 and integers, complex128 for float64.
 * - Gradient: the unnormalised inverse transform of the cotangent; differentiable to any order.
 * - Deterministic: the same bits for any number of threads.
 * - Cost: about 5 n log2 n flops a line; n whose largest prime factor exceeds 127 costs about four times that.
 *   The error is below 1e-6 (float32) and 1e-14 (float64) relative to the norm of a line.
 * - Errors: FLUXION_INVALID_ARGUMENT for n < 1, an unknown dim or norm.
 *
 * Source: docs/numerics/fourier.md.
 */
export function fft(z: Tensor, options?: FourierOptions): Tensor {
  return along('fft', 'fft', false, z, options);
}

/** The inverse of {@link fft}: z_j = 1/n sum_k Z_k e^(2 pi i j k / n). */
export function ifft(z: Tensor, options?: FourierOptions): Tensor {
  return along('ifft', 'fft', true, z, options);
}

/**
 * The first n/2 + 1 points of the transform of a real tensor; the others are their conjugates.
 *
 * Gradient: in x. Cost: half of {@link fft}. Errors: as fft; FLUXION_DTYPE_MISMATCH for complex input.
 */
export function rfft(x: Tensor, options?: FourierOptions): Tensor {
  return along('rfft', 'rfft', false, x, options);
}

/**
 * The inverse of {@link rfft}: a real tensor of n points, by default 2 (m - 1) for m points of input. The
 * imaginary parts of the first point and, for even n, of the point n/2 are ignored.
 */
export function irfft(z: Tensor, options?: FourierOptions): Tensor {
  return along('irfft', 'irfft', true, z, options);
}

/** {@link fft} along the last two dimensions, or those of `dim`. */
export function fft2(z: Tensor, options?: FourierNdOptions): Tensor {
  return over('fft2', 'fft', false, z, options, PLANE);
}

/** The inverse of {@link fft2}. */
export function ifft2(z: Tensor, options?: FourierNdOptions): Tensor {
  return over('ifft2', 'fft', true, z, options, PLANE);
}

/**
 * {@link rfft} along the last, then {@link fft} along the last but one dimension; or those of `dim`, the last
 * of which becomes a half spectrum. Planes stay in the cache between the two.
 */
export function rfft2(x: Tensor, options?: FourierNdOptions): Tensor {
  return over('rfft2', 'rfft', false, x, options, PLANE);
}

/** The inverse of {@link rfft2}. */
export function irfft2(z: Tensor, options?: FourierNdOptions): Tensor {
  return over('irfft2', 'irfft', true, z, options, PLANE);
}

/** {@link fft} along all dimensions, or those of `dim`. */
export function fftn(z: Tensor, options?: FourierNdOptions): Tensor {
  return over('fftn', 'fft', false, z, options);
}

/** The inverse of {@link fftn}. */
export function ifftn(z: Tensor, options?: FourierNdOptions): Tensor {
  return over('ifftn', 'fft', true, z, options);
}

/** As {@link rfft2} along all dimensions, or those of `dim`. */
export function rfftn(x: Tensor, options?: FourierNdOptions): Tensor {
  return over('rfftn', 'rfft', false, x, options);
}

/** The inverse of {@link rfftn}. */
export function irfftn(z: Tensor, options?: FourierNdOptions): Tensor {
  return over('irfftn', 'irfft', true, z, options);
}

export interface FftShiftOptions {
  /** Dimensions that are shifted. Default all. */
  dim?: readonly number[];
}

function shift(op: string, x: Tensor, options: FftShiftOptions | undefined, back: boolean): Tensor {
  requireTensor(op, x);
  const { dim } = withDefaults<{ dim: readonly number[] | undefined }>(op, options, {
    dim: undefined,
  });
  const dims = (dim === undefined ? x.shape.map((_, i) => i) : listOf(op, 'dim', dim)).map((d) =>
    axisOf(op, d, x.ndim),
  );
  if (dims.length === 0) return x;
  const by = dims.map((d) => (back ? -1 : 1) * Math.floor(x.shape[d]! / 2));
  return roll(x, by, { dims });
}

/** Moves the point of frequency 0 to the middle, n/2. Differentiable. */
export function fftshift(x: Tensor, options?: FftShiftOptions): Tensor {
  return shift('fftshift', x, options, false);
}

/** The inverse of {@link fftshift}. */
export function ifftshift(x: Tensor, options?: FftShiftOptions): Tensor {
  return shift('ifftshift', x, options, true);
}
