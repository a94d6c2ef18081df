<<<<<<< HEAD
import { FluxionError, requireArgument, show } from '../errors';
import { toTypedArray } from '../tensor/dtype';
import { upload } from '../tensor/handle';
import { sameShape } from '../tensor/shape';
import { Tensor, isTensor } from '../tensor/tensor';
import { broadcastShapes, expandTo, reshapeOp } from './broadcast';
import { axisOf, defineOp, defineOpWithOutputs, withDefaults } from './define';
import { add, div, mul, neg, sub } from './elementwise';
import { cat, permute, slice } from './shape';

/** What happens at the edges of the domain; the wall lies half a cell outside the first cell centre. */
export type Boundary = 'neumann' | 'dirichlet' | 'periodic';

/** Backward Euler: first order, damps every mode. Crank-Nicolson: second order, may ring for large dt. */
export type DiffusionScheme = 'backward-euler' | 'crank-nicolson';

export interface ImplicitDiffusion2dOptions {
  /** Time step, > 0. */
  dt: number;
  /** Cell width, > 0. Default 1. */
  dx?: number;
  /** Cell height, > 0. Default dx. */
  dy?: number;
  /** Default 'neumann': zero flux. 'dirichlet': zero in the cells outside. */
  boundary?: Boundary;
  /** Default 'backward-euler'. */
  scheme?: DiffusionScheme;
}

interface DiffusionParams {
  dt: number;
  dx: number;
  dy: number;
  boundary: Boundary;
  scheme: DiffusionScheme;
}

const implicitDiffusionVjp = defineOpWithOutputs<DiffusionParams>('implicit_diffusion_2d_vjp', {});

const implicitDiffusionOp = defineOp<DiffusionParams>('implicit_diffusion_2d', {
  // The gradient in the diffusivity reads the result (backward Euler) or the input (Crank-Nicolson).
  saveInputs: ({ scheme }, needs) => (needs(1) && scheme === 'crank-nicolson' ? [0, 1] : [1]),
  saveOutputs: ({ scheme }, needs) => (needs(1) && scheme === 'backward-euler' ? [0] : []),
  vjp: ({ g, needs, input, output, params }) => {
    // The operator is its own adjoint.
    if (!needs(1)) return [implicitDiffusionOp([g, input(1)], params), null];
    const saved = params.scheme === 'backward-euler' ? output(0) : input(0);
    const wanted = (needs(0) ? 1 : 0) | 2;
    return implicitDiffusionVjp([g, input(1), saved], params, wanted);
  },
}) as (inputs: readonly Tensor[], params: DiffusionParams) => Tensor;

/** Diffusivity in the form of the op: [C, 2], the values along x and y of each channel. */
export function diffusivityTable(op: string, u: Tensor, diffusivity: Tensor | number): Tensor {
  const channels = u.shape[1]!;
  const shape = [channels, 2];
  if (typeof diffusivity === 'number') {
    requireArgument(
      Number.isFinite(diffusivity) && diffusivity >= 0,
      op,
      () => `diffusivity must be a finite number >= 0, got ${show(diffusivity)}`,
    );
    return expandTo(
      new Tensor(upload(toTypedArray(u.dtype, [diffusivity]), u.dtype, [1, 1])),
      shape,
    );
  }
  requireArgument(
    isTensor(diffusivity),
    op,
    () => `diffusivity must be a number or a tensor, got ${show(diffusivity)}`,
  );
  if (diffusivity.dtype !== u.dtype) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `diffusivity must be ${u.dtype} as the input, got ${diffusivity.dtype}`,
    );
  }
  if (sameShape(diffusivity.shape, shape)) return diffusivity;
  if (diffusivity.ndim === 0) return expandTo(diffusivity, shape);
  if (sameShape(diffusivity.shape, [channels])) {
    return expandTo(reshapeOp([diffusivity], { shape: [channels, 1] }), shape);
  }
  throw new FluxionError(
    'FLUXION_SHAPE_MISMATCH',
    op,
    `diffusivity must have shape [${channels}] or [${channels}, 2], got ${show([...diffusivity.shape])}`,
  );
}

/**
 * One implicit step of u_t = d/dx(k_x du/dx) + d/dy(k_y du/dy) on each channel, locally one-dimensional:
 *
 *     backward Euler    (I - dt k_x D_xx) w = u,                     (I - dt k_y D_yy) v = w
 *     Crank-Nicolson    (I - dt/2 k_x D_xx) w = (I + dt/2 k_x D_xx) u,   and the same along y
 *
 * D_xx is the 3-point second difference over dx^2. The two directions commute, so the splitting adds no
 * error of its own order: the step is of first (backward Euler) or second order (Crank-Nicolson) in dt and
 * of second order in dx. It is stable for every dt; backward Euler never amplifies any mode and obeys the
 * maximum principle. 'neumann' and 'periodic' conserve the mean of each channel.
 *
 * - `u` [N, C, H, W]; `diffusivity` a number, [C], or [C, 2] (k_x, k_y of each channel), >= 0, in
 *   length^2 / time; dt in time, dx and dy in length. Diffusivities inside a tensor are not checked.
 * - Returns [N, C, H, W].
 * - Gradients in u and diffusivity, by the adjoint solve (the operator is symmetric).
 * - Deterministic: the same bits for any number of threads.
 * - Cost: about 10 flops and, at best, 8 bytes a cell in float32, forward; 12 bytes backward.
 * - Errors: FLUXION_INVALID_ARGUMENT for dt, dx or dy not finite and > 0, a negative number as diffusivity,
 *   an unknown boundary or scheme; FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH.
 *
 * Source: locally one-dimensional schemes, Hundsdorfer and Verwer (2003), IV.3; docs/numerics/diffusion.md.
 */
export function implicitDiffusion2d(
  u: Tensor,
  diffusivity: Tensor | number,
  options: ImplicitDiffusion2dOptions,
): Tensor {
  const op = 'implicitDiffusion2d';
  requireArgument(isTensor(u), op, () => `input must be a tensor, got ${show(u)}`);
  if (u.ndim !== 4) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `input must have shape [N, C, H, W], got ${show([...u.shape])}`,
    );
  }
  const dx = options?.dx ?? 1;
  const params = withDefaults<DiffusionParams>(op, options, {
    dt: NaN,
    dx,
    dy: dx,
    boundary: 'neumann',
    scheme: 'backward-euler',
  });
  return implicitDiffusionOp([u, diffusivityTable(op, u, diffusivity)], params);
}

const tridiagonalSolveVjp = defineOpWithOutputs<undefined>('tridiagonal_solve_vjp', {});

const tridiagonalSolveOp = defineOp('tridiagonal_solve', {
  saveInputs: [0, 1, 2],
  saveOutputs: [0],
  vjp: ({ g, needs, input, output }) => {
    const wanted = [0, 1, 2, 3].reduce((mask, i) => mask | (needs(i) ? 1 << i : 0), 0);
    return tridiagonalSolveVjp([g, input(0), input(1), input(2), output(0)], undefined, wanted);
  },
});

export interface TridiagonalSolveOptions {
  /** The axis along which the systems run. Default -1. */
  axis?: number;
  /** Couple the ends: lower_0 multiplies x_{n-1} and upper_{n-1} multiplies x_0. Default false. */
  periodic?: boolean;
}

/** Sherman-Morrison: the corners of a periodic system as a rank-one change of a tridiagonal one. */
function solvePeriodic(lower: Tensor, diag: Tensor, upper: Tensor, rhs: Tensor): Tensor {
  const n = rhs.shape[rhs.ndim - 1]!;
  const at = (x: Tensor, i: number) => slice(x, -1, i, i + 1);
  if (n === 1) return div(rhs, add(add(lower, diag), upper));
  if (n === 2) {
    const both = add(at(upper, 0), at(lower, 0));
    const back = add(at(lower, 1), at(upper, 1));
    return tridiagonalSolveOp(
      [cat([back, back], { dim: -1 }), diag, cat([both, both], { dim: -1 }), rhs],
      undefined,
    );
  }
  const alpha = at(lower, 0);
  const beta = at(upper, n - 1);
  const gamma = neg(at(diag, 0));
  const ratio = div(alpha, gamma);
  const changed = cat(
    [sub(at(diag, 0), gamma), slice(diag, -1, 1, n - 1), sub(at(diag, n - 1), mul(beta, ratio))],
    { dim: -1 },
  );
  const zeros = mul(slice(diag, -1, 1, n - 1), 0);
  const y = tridiagonalSolveOp([lower, changed, upper, rhs], undefined);
  const q = tridiagonalSolveOp(
    [lower, changed, upper, cat([gamma, zeros, beta], { dim: -1 })],
    undefined,
  );
  const dot = (x: Tensor) => add(at(x, 0), mul(ratio, at(x, n - 1)));
  return sub(y, mul(div(dot(y), add(dot(q), 1)), q));
}

/**
 * Solves lower_i x_{i-1} + diag_i x_i + upper_i x_{i+1} = rhs_i along an axis, for all systems of the batch.
 *
 * All four broadcast to one shape, which the result has; the systems run along `axis` of that shape.
 * Without `periodic`, lower_0 and upper_{n-1} are not read and get the gradient 0. Elimination is without
 * pivoting: accurate for diagonally dominant systems (every implicit diffusion or Helmholtz matrix), NaN
 * or Infinity where a pivot vanishes.
 *
 * - Gradients in all four, by the adjoint solve.
 * - Deterministic. Cost: 8 flops and, with full coefficient arrays, 20 bytes an unknown in float32.
 * - Errors: FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH, FLUXION_INVALID_ARGUMENT (axis).
 *
 * Source: Press et al., Numerical Recipes, 2.4 (Thomas) and 2.7 (periodic, Sherman-Morrison).
 */
export function tridiagonalSolve(
  lower: Tensor,
  diag: Tensor,
  upper: Tensor,
  rhs: Tensor,
  options?: TridiagonalSolveOptions,
): Tensor {
  const op = 'tridiagonalSolve';
  const { axis, periodic } = withDefaults(op, options, { axis: -1, periodic: false });
  const given = [lower, diag, upper, rhs];
  given.forEach((t, i) =>
    requireArgument(
      isTensor(t),
      op,
      () => `${['lower', 'diag', 'upper', 'rhs'][i]} must be a tensor, got ${show(t)}`,
    ),
  );
  const shape = given.map((t) => t.shape).reduce((a, b) => broadcastShapes(op, a, b)) as number[];
  requireArgument(shape.length > 0, op, 'rhs must have at least one dimension');
  const along = axisOf(op, axis, shape.length, 'axis');
  const last = shape.length - 1;
  const order = shape.map((_, i) => (i === along ? last : i === last ? along : i));
  const systems = given.map((t) => {
    const full = expandTo(t, shape);
    return along === last ? full : permute(full, order);
  }) as [Tensor, Tensor, Tensor, Tensor];
  const x = periodic ? solvePeriodic(...systems) : tridiagonalSolveOp(systems, undefined);
  return along === last ? x : permute(x, order);
}
=======
/** Implicit diffusion and the tridiagonal systems that it is made of. */
export * from './diffusion-implicit';
export * from './diffusion-tridiagonal';
>>>>>>> wt-variable
