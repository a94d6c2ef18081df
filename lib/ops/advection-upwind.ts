import { FluxionError, requireArgument, show } from '../errors';
import { isFloating } from '../tensor/dtype';
import type { Tensor } from '../tensor/tensor';
import {
  type AdvectionForm,
  type AdvectionLimiter,
  cflBound,
  cflNumber,
  stableTimeStep,
} from './advection-stability';
import { reshapeOp } from './broadcast';
import {
  type OpFunction,
  defineOp,
  defineOpWithOutputs,
  requireTensor,
  withDefaults,
} from './define';
import type { Boundary } from './diffusion';

export interface AdvectUpwind1dOptions {
  /** The whole time step, > 0; `steps` divides it. */
  dt: number;
  /** Cell width, > 0. Default 1. */
  dx?: number;
  /** Default 'neumann'. See {@link advectUpwind2d}. */
  boundary?: Boundary;
  /** Order of accuracy in space and time. Default 1. */
  order?: 1 | 2;
  /** For order 2; default 'minmod'. */
  limiter?: AdvectionLimiter;
  /** Default 'advective'. */
  form?: AdvectionForm;
  /** Equal steps that dt is divided into; 'auto': as many as the CFL bound asks. Default 1. */
  steps?: number | 'auto';
  /** Whether a CFL number above the bound is an error; waits for the velocity. Default false. */
  checkStability?: boolean;
}

export interface AdvectUpwind2dOptions extends AdvectUpwind1dOptions {
  /** Cell height, > 0. Default dx. */
  dy?: number;
}

export interface AdvectUpwind3dOptions extends AdvectUpwind2dOptions {
  /** Cell depth, > 0. Default dx. */
  dz?: number;
}

type Scheme = 'first-order' | 'unlimited' | 'minmod' | 'van-leer' | 'superbee';

interface UpwindParams {
  dt: number;
  dx: number;
  dy: number;
  dz: number;
  steps: number;
  boundary: Boundary;
  scheme: Scheme;
  form: AdvectionForm;
}

const advectUpwindVjp = defineOpWithOutputs<UpwindParams>('advect_upwind_vjp', {});

/**
 * The cotangent of u alone, of first order: it is linear in g and does not read u, and its adjoint is the step.
 * Inputs g, g in place of u, velocity (which has no gradient here).
 */
const advectUpwindAdjoint = defineOpWithOutputs<UpwindParams>('advect_upwind_vjp', {
  saveInputs: [2],
  vjp: ({ g, input, params }) => [advectUpwindOp([g, input(2)], params), null, null],
});

const advectUpwindOp: OpFunction<UpwindParams> = defineOp<UpwindParams>('advect_upwind', {
  saveInputs: ({ scheme }, needs) => (needs(1) || scheme !== 'first-order' ? [0, 1] : [1]),
  vjp: ({ g, needs, input, params }) => {
    if (!needs(1) && params.scheme === 'first-order') {
      return [advectUpwindAdjoint([g, g, input(1)], params, 1)[0]!, null];
    }
    return advectUpwindVjp(
      [g, input(0), input(1)],
      params,
      (needs(0) ? 1 : 0) | (needs(1) ? 2 : 0),
    );
  },
});

const BOUNDARIES: readonly string[] = ['neumann', 'dirichlet', 'periodic'];
const FORMS: readonly string[] = ['advective', 'conservative'];
const LIMITERS: readonly string[] = ['minmod', 'van-leer', 'superbee', 'none'];
const AXES = ['W', 'H', 'D'];

/** The velocity as [N or 1, C or 1, d, *S or ones]. */
function velocityField(op: string, u: Tensor, velocity: Tensor): Tensor {
  requireTensor(op, velocity, 'velocity');
  if (velocity.dtype !== u.dtype) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `velocity must be ${u.dtype} as the input, got ${velocity.dtype}`,
    );
  }
  const [batch, channels, ...space] = u.shape as [number, number, ...number[]];
  const d = space.length;
  const given = velocity.shape;
  const fits = (...expected: (readonly number[])[]) =>
    given.length === expected.length && expected.every((sizes, i) => sizes.includes(given[i]!));
  const along = space.map((n) => [n]);
  const ones = space.map(() => 1);
  if (fits([d])) return reshapeOp([velocity], { shape: [1, 1, d, ...ones] });
  if (fits([channels], [d])) return reshapeOp([velocity], { shape: [1, channels, d, ...ones] });
  if (fits([1, batch], [d], ...along)) {
    return reshapeOp([velocity], { shape: [given[0]!, 1, d, ...space] });
  }
  if (fits([1, batch], [1, channels], [d], ...along)) return velocity;
  const tail = `${d}, ${space.join(', ')}`;
  throw new FluxionError(
    'FLUXION_SHAPE_MISMATCH',
    op,
    `velocity must have shape [${d}], [${channels}, ${d}], [1 or ${batch}, ${tail}] or ` +
      `[1 or ${batch}, ${channels}, ${tail}], got ${show([...given])}`,
  );
}

function schemeOf(op: string, order: unknown, limiter: unknown): Scheme {
  requireArgument(order === 1 || order === 2, op, () => `order must be 1 or 2, got ${show(order)}`);
  requireArgument(
    limiter === undefined || LIMITERS.includes(limiter as string),
    op,
    () => `limiter must be one of ${LIMITERS.join(', ')}, got ${show(limiter)}`,
  );
  requireArgument(
    order === 2 || limiter === undefined || limiter === 'none',
    op,
    () => `limiter must be 'none' or absent for order 1, got ${show(limiter)}`,
  );
  if (order === 1) return 'first-order';
  return limiter === 'none' ? 'unlimited' : ((limiter ?? 'minmod') as Scheme);
}

/** A count of steps that is wrong only by the rounding of float32 velocities is forgiven. */
const ROUNDING = 1 + 1e-6;

/** The number of steps to take, after the check if one is wanted. */
function stepCount(
  op: string,
  field: Tensor,
  { dt, dx, dy, dz, boundary, form, order, limiter, steps, checkStability }: Settings,
): number {
  const fixed = steps === 'auto' ? undefined : steps;
  if (fixed !== undefined && !checkStability) return fixed;
  if (field.size === 0) return fixed ?? 1;
  const flow = { dx, dy, dz, boundary, form, dims: field.shape[2]! };
  const number = cflNumber(field, { dt, ...flow });
  requireArgument(
    Number.isFinite(number),
    op,
    () => `velocity must be finite, got a CFL number of ${number}`,
  );
  const choice = limiter === undefined ? { order } : { order, limiter };
  const bound = cflBound(choice);
  const needed = Math.max(1, Math.ceil(number / (bound * ROUNDING)));
  if (fixed === undefined) return needed;
  requireArgument(
    number / fixed <= bound * ROUNDING,
    op,
    () =>
      `dt / steps must keep the CFL number at or below ${bound}, got ${number / fixed}; ` +
      `stableTimeStep is ${stableTimeStep({ velocity: field, ...flow, ...choice })}, ` +
      `or take ${needed} steps`,
  );
  return fixed;
}

interface Settings {
  dt: number;
  dx: number;
  dy: number;
  dz: number;
  boundary: Boundary;
  order: 1 | 2;
  limiter: AdvectionLimiter | undefined;
  form: AdvectionForm;
  steps: number | 'auto';
  checkStability: boolean;
}

function advect(
  op: string,
  u: Tensor,
  velocity: Tensor,
  options: AdvectUpwind3dOptions,
  dims: 1 | 2 | 3,
): Tensor {
  requireTensor(op, u);
  if (u.ndim !== dims + 2) {
    const expected = ['N', 'C', ...(dims === 1 ? ['L'] : AXES.slice(0, dims).reverse())];
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `input must have shape [${expected.join(', ')}], got ${show([...u.shape])}`,
    );
  }
  if (!isFloating(u.dtype)) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `input must be float32 or float64, got ${u.dtype}`,
    );
  }
  const dx = options?.dx ?? 1;
  const defaults: Partial<Settings> = {
    dt: NaN,
    dx,
    ...(dims > 1 ? { dy: dx } : {}),
    ...(dims > 2 ? { dz: dx } : {}),
    boundary: 'neumann',
    order: 1,
    limiter: undefined as AdvectionLimiter | undefined,
    form: 'advective',
    steps: 1,
    checkStability: false,
  };
  const given = withDefaults(op, options, defaults, ['steps']);
  const settings: Settings = { dy: dx, dz: dx, ...given } as Settings;
  const { dt, dy, dz, boundary, order, limiter, form, steps } = settings;
  for (const [name, value] of Object.entries({ dt, dx, dy, dz })) {
    requireArgument(
      typeof value === 'number' && Number.isFinite(value) && value > 0,
      op,
      () => `${name} must be a finite number > 0, got ${show(value)}`,
    );
  }
  const choice = (name: string, value: string, choices: readonly string[]) =>
    requireArgument(
      choices.includes(value),
      op,
      () => `${name} must be one of ${choices.join(', ')}, got ${show(value)}`,
    );
  choice('boundary', boundary, BOUNDARIES);
  choice('form', form, FORMS);
  const scheme = schemeOf(op, order, limiter);
  requireArgument(
    steps === 'auto' || (Number.isSafeInteger(steps) && steps >= 1),
    op,
    () => `steps must be an integer >= 1 or 'auto', got ${show(steps)}`,
  );
  const field = velocityField(op, u, velocity);
  const count = stepCount(op, field, settings);
  return advectUpwindOp([u, field], { dt, dx, dy, dz, steps: count, boundary, scheme, form });
}

/**
 * {@link advectUpwind2d} on lines: `u` [N, C, L]; `velocity` [1], [C, 1], [N or 1, 1, L] shared by the
 * channels, or [N or 1, C, 1, L]. Returns [N, C, L].
 */
export function advectUpwind1d(
  u: Tensor,
  velocity: Tensor,
  options: AdvectUpwind1dOptions,
): Tensor {
  return advect('advectUpwind1d', u, velocity, options, 1);
}

/**
 * One or several explicit steps of advection with the velocity a = (a_x, a_y), upwind and unsplit:
 *
 *     advective       u_t + a . grad u = 0      values move along with the flow
 *     conservative    u_t + div(a u) = 0        the sum over the cells is kept to rounding
 *
 * Order 1, advective: u_i - dt/dx (max(a, 0) (u_i - u_{i-1}) + min(a, 0) (u_{i+1} - u_i)), summed over the
 * axes; conservative: differences of upwind fluxes with the mean velocity of the two cells of a face.
 * Order 2: limited linear reconstruction (MUSCL) and Heun's method in time.
 *
 * - `u` [N, C, H, W]; `velocity` [2], [C, 2], [N or 1, 2, H, W] shared by the channels, or
 *   [N or 1, C, 2, H, W], components in the order x (along W), y, in length / time; the dtype of u.
 * - Returns [N, C, H, W].
 * - Boundaries. 'neumann' and 'dirichlet', advective: outside the domain u has the value of the edge cell,
 *   or 0. Conservative: both close the walls; nothing flows through. 'periodic' wraps.
 * - Stability depends on the velocity: the CFL number ({@link cflNumber}) must not exceed {@link cflBound}
 *   (order 1: 1; order 2: 2/3 with 'minmod', 1/2 with 'van-leer' and 'superbee', 1 with 'none'). Within it order 1
 *   and the limiters make no new extrema in the advective form, and total variation in 1d does not grow (in
 *   a diverging flow: within half of it). The call does not check this unless asked: `checkStability: true` throws
 *   with the CFL number, the bound and {@link stableTimeStep}; `steps: 'auto'` takes as many steps as the
 *   bound asks. Both **wait** for the velocity.
 * - Gradients in u and velocity, in every form of it. At a kink (velocity 0, a limiter's switch) they are
 *   those of the branch taken; velocity 0 counts as flow towards lower indices. Of `steps: 'auto'`: those of the
 *   number of steps taken. Order 1 has a second derivative where only u has a gradient. Backward computes the states between the steps again from u; they take at most 16 MiB
 *   a thread, or 2 sqrt(steps) planes where that is more.
 * - Deterministic: the same bits for any number of threads.
 * - Cost: order 1 about 12 flops and at best 8 bytes a cell in float32, forward, and 12 bytes backward, beside
 *   the velocity. Several steps in one call keep a plane in the cache.
 * - Errors: FLUXION_INVALID_ARGUMENT, FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH.
 *
 * Source: LeVeque, Finite Volume Methods for Hyperbolic Problems (2002); docs/numerics/upwind.md.
 */
export function advectUpwind2d(
  u: Tensor,
  velocity: Tensor,
  options: AdvectUpwind2dOptions,
): Tensor {
  return advect('advectUpwind2d', u, velocity, options, 2);
}

/**
 * {@link advectUpwind2d} in volumes: `u` [N, C, D, H, W]; `velocity` [3], [C, 3], [N or 1, 3, D, H, W] shared by
 * the channels, or [N or 1, C, 3, D, H, W], components in the order x (along W), y, z. Returns [N, C, D, H, W].
 */
export function advectUpwind3d(
  u: Tensor,
  velocity: Tensor,
  options: AdvectUpwind3dOptions,
): Tensor {
  return advect('advectUpwind3d', u, velocity, options, 3);
}
