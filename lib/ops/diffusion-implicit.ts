import { FluxionError, requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { expandTo } from './broadcast';
import { defineOp, defineOpWithOutputs, requireTensor, withDefaults } from './define';
import { diffusivityTable, requireDiffusivity } from './diffusion-table';
import { type FaceMean, variableDiffusion } from './diffusion-variable';

export type { FaceMean };

/** What happens at the edges of the domain; the wall lies half a cell outside the first cell centre. */
export type Boundary = 'neumann' | 'dirichlet' | 'periodic';

/** Backward Euler: first order, damps every mode. Crank-Nicolson: second order, may ring for large dt. */
export type DiffusionScheme = 'backward-euler' | 'crank-nicolson';

/**
 * How the directions of a step are put together. 'lie': one after the other. 'strang': half steps along all
 * but the last, which stands in the middle (x/2, y, x/2). 'douglas': alternating directions, whose steady
 * state is that of the whole operator.
 */
export type DiffusionSplitting = 'lie' | 'strang' | 'douglas';

export interface ImplicitDiffusion1dOptions {
  /** Time step, > 0. */
  dt: number;
  /** Cell width, > 0. Default 1. */
  dx?: number;
  /** Default 'neumann': zero flux. 'dirichlet': zero in the cells outside. */
  boundary?: Boundary;
  /** Default 'backward-euler'. */
  scheme?: DiffusionScheme;
  /** Only for a diffusivity given in every cell. Default 'harmonic'. */
  faceMean?: FaceMean;
}

export interface ImplicitDiffusion2dOptions extends ImplicitDiffusion1dOptions {
  /** Cell height, > 0. Default dx. */
  dy?: number;
  /** Default 'lie'. */
  splitting?: DiffusionSplitting;
}

export interface ImplicitDiffusion3dOptions extends ImplicitDiffusion2dOptions {
  /** Cell depth, > 0. Default dx. */
  dz?: number;
}

/** Parameters of the ops: those of 2d have dy and splitting, those of 3d dz too. */
interface DiffusionParams {
  dt: number;
  dx: number;
  dy?: number;
  dz?: number;
  boundary: Boundary;
  scheme: DiffusionScheme;
  splitting?: DiffusionSplitting;
}

type DiffusionOp = (inputs: readonly Tensor[], params: DiffusionParams) => Tensor;

function defineDiffusion(id: string): DiffusionOp {
  const fusedVjp = defineOpWithOutputs<DiffusionParams>(`${id}_vjp`, {});
  // The gradient in the diffusivity reads the result or the input, as DiffusionStep::saves_output says.
  const readsOutput = ({ scheme, splitting }: DiffusionParams) =>
    scheme === 'backward-euler' && splitting !== 'douglas';
  const step: DiffusionOp = defineOp<DiffusionParams>(id, {
    saveInputs: (params, needs) => (needs(1) && !readsOutput(params) ? [0, 1] : [1]),
    saveOutputs: (params, needs) => (needs(1) && readsOutput(params) ? [0] : []),
    vjp: ({ g, needs, input, output, params }) => {
      // The operator is its own adjoint.
      if (!needs(1)) return [step([g, input(1)], params), null];
      const saved = readsOutput(params) ? output(0) : input(0);
      return fusedVjp([g, input(1), saved], params, (needs(0) ? 1 : 0) | 2);
    },
  });
  return step;
}

const STEPS = {
  1: defineDiffusion('implicit_diffusion_1d'),
  2: defineDiffusion('implicit_diffusion_2d'),
  3: defineDiffusion('implicit_diffusion_3d'),
} as const;

type Axes = keyof typeof STEPS;

const LAYOUT = { 1: '[N, C, L]', 2: '[N, C, H, W]', 3: '[N, C, D, H, W]' } as const;

/** The common part of the public functions. `defaults` has the options that the dimension knows. */
function implicitDiffusion(
  axes: Axes,
  u: Tensor,
  diffusivity: Tensor | number,
  options: ImplicitDiffusion3dOptions,
): Tensor {
  const op = `implicitDiffusion${axes}d`;
  requireTensor(op, u);
  if (u.ndim !== 2 + axes) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `input must have shape ${LAYOUT[axes]}, got ${show([...u.shape])}`,
    );
  }
  requireArgument(
    axes > 1 || options?.splitting === undefined,
    op,
    'splitting is for 2 and 3 dimensions: there is one direction only',
  );
  const dx = options?.dx ?? 1;
  const { faceMean, ...params } = withDefaults<DiffusionParams & { faceMean?: FaceMean }>(
    op,
    options,
    {
      dt: NaN,
      dx,
      ...(axes > 1 ? { dy: dx } : {}),
      ...(axes > 2 ? { dz: dx } : {}),
      boundary: 'neumann',
      scheme: 'backward-euler',
      ...(axes > 1 ? { splitting: 'lie' } : {}),
      faceMean: undefined,
    },
  );
  if (typeof diffusivity !== 'number') {
    requireDiffusivity(op, u, diffusivity);
    if (diffusivity.ndim === u.ndim) {
      return variableDiffusion(op, u, diffusivity, params, faceMean);
    }
  }
  requireArgument(
    faceMean === undefined,
    op,
    'faceMean is for a diffusivity given in every cell; here it is constant in each channel',
  );
  const table = expandTo(diffusivityTable(op, u, diffusivity), [u.shape[1]!, axes]);
  return STEPS[axes]([u, table], params);
}

/**
 * One implicit step of u_t = k u_xx on each channel:
 *
 *     backward Euler    (I - dt k D) w = u
 *     Crank-Nicolson    (I - dt/2 k D) w = (I + dt/2 k D) u
 *
 * D is the 3-point second difference over dx^2. Properties, boundaries, gradients and errors as
 * {@link implicitDiffusion2d}.
 *
 * - `u` [N, C, L]; `diffusivity` a number, [C], [C, 1] or [N or 1, C or 1, L], >= 0, in length^2 / time. Returns [N, C, L].
 * - Cost: about 5 flops and 8 bytes a cell in float32, forward; 12 bytes backward.
 *
 * Source: docs/numerics/diffusion.md.
 */
export function implicitDiffusion1d(
  u: Tensor,
  diffusivity: Tensor | number,
  options: ImplicitDiffusion1dOptions,
): Tensor {
  return implicitDiffusion(1, u, diffusivity, options);
}

/**
 * One implicit step of u_t = d/dx(k_x du/dx) + d/dy(k_y du/dy) on each channel. With theta = 1 (backward
 * Euler) or 1/2 (Crank-Nicolson), A_x = k_x D_xx and D_xx the 3-point second difference over dx^2:
 *
 *     'lie'       (I - theta dt A_x) w = (I + (1 - theta) dt A_x) u,  then the same along y
 *     'strang'    that along x with dt/2, along y with dt, along x with dt/2
 *     'douglas'   v_0 = u + dt (A_x + A_y) u,  (I - theta dt A_i) v_i = v_{i-1} - theta dt A_i u
 *
 * Where the coefficients are constant the directions commute and splitting adds no error to 'lie' and
 * 'strang': the step is of first (backward Euler) or second order (Crank-Nicolson) in dt and of second
 * order in dx. 'douglas' with Crank-Nicolson is the same step as 'lie' in two dimensions. Every step is
 * stable for every dt; 'lie' and 'strang' with backward Euler never amplify any mode and obey the maximum
 * principle. 'neumann' and 'periodic' conserve the mean of each channel.
 *
 * - `u` [N, C, H, W]; `diffusivity` a number, [C], [C, 2] (k_x, k_y of each channel), or given in every
 *   cell as [N or 1, C or 1, H, W] (flux form, `faceMean`; docs/numerics/variable-diffusion.md), >= 0, in
 *   length^2 / time; dt in time, dx and dy in length. Diffusivities inside a tensor are not checked.
 * - Returns [N, C, H, W].
 * - Gradients in u and diffusivity, by the adjoint solve (the operator is symmetric).
 * - Deterministic: the same bits for any number of threads.
 * - Cost: about 10 flops and, at best, 8 bytes a cell in float32, forward; 12 bytes backward. 'strang' and
 *   'douglas' take up to twice the arithmetic.
 * - Errors: FLUXION_INVALID_ARGUMENT for dt, dx or dy not finite and > 0, a negative number as diffusivity,
 *   an unknown boundary, scheme or splitting; FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH.
 *
 * Source: Hundsdorfer and Verwer (2003), chapter IV; docs/numerics/diffusion.md.
 */
export function implicitDiffusion2d(
  u: Tensor,
  diffusivity: Tensor | number,
  options: ImplicitDiffusion2dOptions,
): Tensor {
  return implicitDiffusion(2, u, diffusivity, options);
}

/**
 * One implicit step of u_t = sum_i d/dx_i(k_i du/dx_i) on each channel of [N, C, D, H, W]; x lies along W,
 * y along H, z along D. As {@link implicitDiffusion2d}, with
 *
 *     'lie'       x, y, z
 *     'strang'    x/2, y/2, z, y/2, x/2
 *     'douglas'   Douglas-Gunn: v_0, then x, y, z as there
 *
 * 'douglas' is stable for commuting directions, and of the order of its scheme.
 *
 * - `diffusivity` a number, [C], [C, 3] (k_x, k_y, k_z of each channel) or [N or 1, C or 1, D, H, W].
 * - Cost: about 15 flops and, for channels that fit the cache, 8 bytes a cell in float32, forward.
 *
 * Source: Douglas and Gunn, Numer. Math. 6 (1964); docs/numerics/diffusion.md.
 */
export function implicitDiffusion3d(
  u: Tensor,
  diffusivity: Tensor | number,
  options: ImplicitDiffusion3dOptions,
): Tensor {
  return implicitDiffusion(3, u, diffusivity, options);
}
