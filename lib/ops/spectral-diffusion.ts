import { FluxionError, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { defineOp, defineOpWithOutputs, requireTensor, withDefaults } from './define';
import { type Boundary } from './diffusion';
import { diffusivityTable } from './diffusion-table';

/** How the exponential of a step is approximated; 'exponential' is exact in time. */
export type SpectralScheme = 'backward-euler' | 'crank-nicolson' | 'exponential';

/** Eigenvalues of the 3-point difference, or of the second derivative. */
export type SpectralSymbol = 'discrete' | 'continuous';

export interface SpectralDiffusion1dOptions {
  /** Time step, > 0. */
  dt: number;
  /** Cell width, > 0. Default 1. */
  dx?: number;
  /** Default 'neumann': zero flux. 'dirichlet': zero in the cells outside. */
  boundary?: Boundary;
  /** Default 'backward-euler'. */
  scheme?: SpectralScheme;
  /** Default 'discrete': the same operator as implicitDiffusion. */
  symbol?: SpectralSymbol;
  /** Power of the Laplacian, > 0: 2 for the bi-Laplacian, fractions for fractional diffusion. Default 1. */
  power?: number;
}

export interface SpectralDiffusion2dOptions extends SpectralDiffusion1dOptions {
  /** Cell height, > 0. Default dx. */
  dy?: number;
}

export interface SpectralDiffusion3dOptions extends SpectralDiffusion2dOptions {
  /** Cell depth, > 0. Default dx. */
  dz?: number;
}

interface SpectralParams {
  dt: number;
  dx: number;
  dy: number;
  dz: number;
  boundary: Boundary;
  scheme: SpectralScheme;
  symbol: SpectralSymbol;
  power: number;
}

/** The op of one dimension with its gradients. */
function spectralOp(id: string) {
  const adjoint = defineOpWithOutputs<SpectralParams>(`${id}_vjp`, {});
  const op = defineOp<SpectralParams>(id, {
    saveInputs: (_, needs) => (needs(1) ? [0, 1] : [1]),
    vjp: ({ g, needs, input, params }) => {
      // The operator is its own adjoint.
      if (!needs(1)) return [op([g, input(1)], params), null];
      return adjoint([g, input(1), input(0)], params, (needs(0) ? 1 : 0) | 2);
    },
  }) as (inputs: readonly Tensor[], params: SpectralParams) => Tensor;
  return op;
}

const OPS = [
  spectralOp('spectral_diffusion_1d'),
  spectralOp('spectral_diffusion_2d'),
  spectralOp('spectral_diffusion_3d'),
] as const;

const LAYOUTS = ['[N, C, L]', '[N, C, H, W]', '[N, C, D, H, W]'] as const;

function spectralDiffusion(
  dims: 1 | 2 | 3,
  u: Tensor,
  diffusivity: Tensor | number,
  given: SpectralDiffusion3dOptions,
): Tensor {
  const op = `spectralDiffusion${dims}d`;
  requireTensor(op, u);
  if (u.ndim !== dims + 2) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `input must have shape ${LAYOUTS[dims - 1]!}, got ${show([...u.shape])}`,
    );
  }
  const dx = given?.dx ?? 1;
  const defaults = {
    dt: NaN,
    dx,
    ...(dims > 1 && { dy: dx }),
    ...(dims > 2 && { dz: dx }),
    boundary: 'neumann' as Boundary,
    scheme: 'backward-euler' as SpectralScheme,
    symbol: 'discrete' as SpectralSymbol,
    power: 1,
  };
  const options = withDefaults<SpectralDiffusion3dOptions>(op, given, defaults);
  const params = { dy: dx, dz: dx, ...options } as SpectralParams;
  return OPS[dims - 1]!([u, diffusivityTable(op, u, diffusivity)], params);
}

/**
 * One step of u_t = k u_xx on each channel, in the eigenbasis of the second difference: the DFT for
 * 'periodic', the DCT-II for 'neumann', the DST-I for 'dirichlet'. As {@link spectralDiffusion2d}, on lines.
 *
 * - `u` [N, C, L]; `diffusivity` a number or [C], >= 0; dt in time, dx in length.
 * - Returns [N, C, L]. With 'discrete', power 1 and the same scheme it is implicitDiffusion1d to rounding.
 * - Gradients, boundaries, determinism, cost and errors: as {@link spectralDiffusion2d}.
 *
 * Source: docs/numerics/spectral-diffusion.md.
 */
export function spectralDiffusion1d(
  u: Tensor,
  diffusivity: Tensor | number,
  options: SpectralDiffusion1dOptions,
): Tensor {
  return spectralDiffusion(1, u, diffusivity, options);
}

/**
 * One unsplit step of u_t = -k (-Laplacian)^power u on each channel, mode by mode in the eigenbasis of the
 * 3-point differences (the DFT for 'periodic', the DCT-II for 'neumann', the DST-I for 'dirichlet'):
 *
 *     backward Euler 1 / (1 + z),   Crank-Nicolson (1 - z/2) / (1 + z/2),   exponential e^-z
 *     z = dt k (lambda_x + lambda_y)^power              k a number or [C]
 *     z = dt (k_x^(1/power) lambda_x + k_y^(1/power) lambda_y)^power       [C, 2], the same where k_x = k_y
 *
 * 'discrete': lambda_x = (2 - 2 cos t) / dx^2, the eigenvalues of the 5-point operator; 'continuous':
 * lambda_x = (t / dx)^2, those of the second derivative, with t = 2 pi n / W (periodic, |n| <= W / 2),
 * pi n / W (neumann, n >= 0) or pi n / (W + 1) (dirichlet, n >= 1; the zeros lie dx outside the end cells).
 * 'periodic' and 'neumann' conserve the mean of each channel; no scheme amplifies a mode; 'exponential' has
 * no error in time, so that two half steps are one step.
 *
 * - `u` [N, C, H, W]; `diffusivity` a number, [C], or [C, 2] (k_x, k_y of each channel), >= 0, in
 *   length^(2 power) / time; dt in time, dx and dy in length. Diffusivities inside a tensor are not checked.
 * - Returns [N, C, H, W].
 * - Gradients in u (the operator is its own adjoint) and diffusivity (from the saved input). With [C, 2]
 *   and a power other than 1, that in a k_x of 0 is the limit, which may be infinite or NaN.
 * - Deterministic: the same bits for any number of threads.
 * - Cost: about 5 log2(H W) + 10 flops and, for planes in cache, 8 bytes a cell in float32, forward; 12
 *   bytes backward. Any size; powers of 2 are fastest.
 * - Errors: FLUXION_INVALID_ARGUMENT for dt, dx, dy or power not finite and > 0, a negative number as
 *   diffusivity, an unknown boundary, scheme or symbol; FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH.
 *
 * Source: Strang, "The discrete cosine transform", SIAM Review 41(1), 1999; docs/numerics/spectral-diffusion.md.
 */
export function spectralDiffusion2d(
  u: Tensor,
  diffusivity: Tensor | number,
  options: SpectralDiffusion2dOptions,
): Tensor {
  return spectralDiffusion(2, u, diffusivity, options);
}

/**
 * One unsplit step of u_t = -k (-Laplacian)^power u on volumes. As {@link spectralDiffusion2d}, with z.
 *
 * - `u` [N, C, D, H, W]; `diffusivity` a number, [C], or [C, 3] (k_x, k_y, k_z); dt in time, dx, dy and dz
 *   in length.
 * - Returns [N, C, D, H, W]. Gradients, boundaries, determinism, cost and errors: as
 *   {@link spectralDiffusion2d}.
 *
 * Source: docs/numerics/spectral-diffusion.md.
 */
export function spectralDiffusion3d(
  u: Tensor,
  diffusivity: Tensor | number,
  options: SpectralDiffusion3dOptions,
): Tensor {
  return spectralDiffusion(3, u, diffusivity, options);
}

const stencilVjp = defineOpWithOutputs<{ dt: number }>('stencil_diffusion_2d_vjp', {});

const stencilOp = defineOp<{ dt: number }>('stencil_diffusion_2d', {
  saveInputs: (_, needs) => (needs(1) ? [0, 1] : [1]),
  vjp: ({ g, needs, input, params }) => {
    if (!needs(1)) return [stencilOp([g, input(1)], params), null];
    return stencilVjp([g, input(1), input(0)], params, (needs(0) ? 1 : 0) | 2);
  },
}) as (inputs: readonly Tensor[], params: { dt: number }) => Tensor;

/**
 * (I + dt L^T L)^-1 u on each channel, L the cyclic convolution with a 3 x 3 stencil of the channel: the
 * implicit layer of IMEXnet. In Fourier space, v^ = u^ / (1 + dt |L^|^2).
 *
 * - `u` [N, C, H, W], periodic; `stencil` [C, 3, 3], its centre at offset (0, 0), rows along H. Planes of
 *   fewer than 3 cells wrap. A mirrored stencil gives the same operator.
 * - Returns [N, C, H, W]. A stencil whose entries add up to 0 conserves the mean of each channel.
 * - Gradients in u (the operator is its own adjoint) and stencil (from the saved input).
 * - Deterministic: the same bits for any number of threads.
 * - Cost: about 5 log2(H W) + 10 flops and, for planes in cache, 8 bytes a cell in float32, forward; 12
 *   bytes backward.
 * - Errors: FLUXION_INVALID_ARGUMENT for dt not finite and > 0; FLUXION_SHAPE_MISMATCH,
 *   FLUXION_DTYPE_MISMATCH.
 *
 * Source: Haber, Lensink, Treister, Ruthotto, "IMEXnet: a forward stable deep neural network", ICML 2019;
 * docs/numerics/spectral-diffusion.md.
 */
export function stencilDiffusion2d(
  u: Tensor,
  stencil: Tensor,
  options: StencilDiffusion2dOptions,
): Tensor {
  const op = 'stencilDiffusion2d';
  requireTensor(op, u);
  requireTensor(op, stencil, 'stencil');
  if (u.ndim !== 4) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `input must have shape [N, C, H, W], got ${show([...u.shape])}`,
    );
  }
  return stencilOp([u, stencil], withDefaults(op, options, { dt: NaN }));
}

export interface StencilDiffusion2dOptions {
  /** Time step, > 0. */
  dt: number;
}
