import { requireArgument, show } from '../errors';
import type { Tensor } from '../tensor/tensor';
import { requireDims, withDefaults } from '../ops/define';
import { abs, add, clamp, div, mul, sqrt, square } from '../ops/elementwise';
import { sum } from '../ops/reduce';
import { select, unsqueeze } from '../ops/shape';

/**
 * The nearest admissible values of a parameter, or some admissible ones. Called without recording after each
 * step; see {@link Optimizer.project}.
 */
export type Projection = (parameter: Tensor) => Tensor;

/** To [min, max]; either may be left out. */
export function clampProjection(options: { min?: number; max?: number }): Projection {
  const { min, max } = withDefaults('clampProjection', options, { min: -Infinity, max: Infinity });
  requireArgument(
    min <= max,
    'clampProjection',
    () => `min must be a number <= max, got ${show(min)} and ${show(max)}`,
  );
  return (parameter) => clamp(parameter, { min, max });
}

/** To numbers >= 0: diffusivities, rates. */
export function nonNegative(): Projection {
  return clampProjection({ min: 0 });
}

export interface NormBallOptions {
  /** The dimensions over which the norm is taken, one ball for each index of the others. Default: all. */
  dim?: number | readonly number[];
}

/** To the ball of Euclidean norm at most `radius`: p min(1, radius / |p|), the nearest point. */
export function normBall(radius: number, options?: NormBallOptions): Projection {
  requireArgument(
    Number.isFinite(radius) && radius > 0,
    'normBall',
    () => `radius must be a finite number > 0, got ${show(radius)}`,
  );
  const { dim } = withDefaults<{ dim: number | readonly number[] | undefined }>(
    'normBall',
    options,
    { dim: undefined },
  );
  return (parameter) => {
    const norm = sqrt(
      sum(square(parameter), dim === undefined ? undefined : { dim, keepdim: true }),
    );
    return mul(parameter, clamp(div(radius, norm), { max: 1 }));
  };
}

export interface CourantBallOptions {
  dt: number;
  /** Spacing along x, and along y. Default 1, and dx. */
  dx?: number;
  dy?: number;
  /** The largest Courant number. Default 1. */
  limit?: number;
  /** The dimension of the components (x, y). Default: the last of [2] and [C, 2], else the third from the end. */
  dim?: number;
}

/**
 * Velocities for which explicit upwind advection is stable: each vector is shortened so that
 *
 *     dt (|v_x| / dx + |v_y| / dy) <= limit
 *
 * It keeps its direction. The parameter has two components along `dim`, as those of advectUpwind2d.
 */
export function courantBall(options: CourantBallOptions): Projection {
  const o = withDefaults<Required<CourantBallOptions>>('courantBall', options, {
    dt: NaN,
    dx: 1,
    dy: NaN,
    limit: 1,
    dim: NaN,
  });
  const { dt, dx, limit } = o;
  const dy = Number.isNaN(o.dy) ? dx : o.dy;
  for (const [name, value] of Object.entries({ dt, dx, dy, limit })) {
    requireArgument(
      Number.isFinite(value) && value > 0,
      'courantBall',
      () => `${name} must be a finite number > 0, got ${show(value)}`,
    );
  }
  return (velocity) => {
    requireDims('courantBall', velocity);
    const dim = Number.isNaN(o.dim) ? (velocity.ndim < 3 ? -1 : -3) : o.dim;
    const along = (component: number, spacing: number) =>
      mul(abs(select(velocity, dim, component)), dt / spacing);
    const courant = unsqueeze(add(along(0, dx), along(1, dy)), dim);
    return mul(velocity, clamp(div(limit, courant), { max: 1 }));
  };
}
