import { noGrad, tidy } from '../autograd/tidy';
import { FluxionError, requireArgument, show } from '../errors';
import { isFloating } from '../tensor/dtype';
import { type Tensor, isTensor } from '../tensor/tensor';
import { reshapeOp } from './broadcast';
import { defineOp, requireTensor, withDefaults } from './define';
import type { Boundary } from './diffusion';
import { max } from './reduce';

/** 'advective': u_t + a . grad u = 0. 'conservative': u_t + div(a u) = 0. */
export type AdvectionForm = 'advective' | 'conservative';

/** How the slopes of second-order advection are limited. */
export type AdvectionLimiter = 'minmod' | 'van-leer' | 'superbee' | 'none';

interface OutflowRateParams {
  dx: number;
  dy: number;
  dz: number;
  boundary: Boundary;
  form: AdvectionForm;
}

const outflowRateOp = defineOp<OutflowRateParams>('outflow_rate', {
  reason: 'it is a maximum for checks, not for training',
});

function requirePositive(op: string, options: Readonly<Record<string, number>>): void {
  for (const [name, value] of Object.entries(options)) {
    requireArgument(
      typeof value === 'number' && Number.isFinite(value) && value > 0,
      op,
      () => `${name} must be a finite number > 0, got ${show(value)}`,
    );
  }
}

function requireChoice(op: string, name: string, value: unknown, choices: readonly string[]): void {
  requireArgument(
    choices.includes(value as string),
    op,
    () => `${name} must be one of ${choices.join(', ')}, got ${show(value)}`,
  );
}

function requireDims(op: string, dims: number | undefined): void {
  requireArgument(
    dims === undefined || dims === 1 || dims === 2 || dims === 3,
    op,
    () => `dims must be 1, 2 or 3, got ${show(dims)}`,
  );
}

/** A velocity in any of its forms as [N, C, d, *S]. */
function velocityField(op: string, velocity: Tensor, dims: number | undefined): Tensor {
  requireTensor(op, velocity, 'velocity');
  if (!isFloating(velocity.dtype)) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `velocity must be float32 or float64, got ${velocity.dtype}`,
    );
  }
  const shape = velocity.shape;
  const n = shape.length;
  // Where the components stand: last in [d] and [C, d], else before the axes of space.
  const candidates = [1, 2, 3].filter(
    (d) =>
      (n <= 2 && shape[n - 1] === d) ||
      (n === d + 2 && n > 2 && shape[1] === d) ||
      (n === d + 3 && shape[2] === d),
  );
  const fitting = candidates.filter((d) => dims === undefined || d === dims);
  requireArgument(
    fitting.length < 2,
    op,
    () =>
      `velocity of shape ${show([...shape])} may have ${fitting.join(' or ')} components: say dims`,
  );
  const d = fitting[0];
  if (d === undefined) {
    throw new FluxionError(
      'FLUXION_SHAPE_MISMATCH',
      op,
      `velocity must have shape [d], [C, d], [N, d, *S] or [N, C, d, *S] with d components${
        dims === undefined ? '' : `, d = ${dims}`
      }, got ${show([...shape])}`,
    );
  }
  if (n === d + 3) return velocity;
  const ones = Array.from({ length: d }, () => 1);
  if (n === 1) return reshapeOp([velocity], { shape: [1, 1, d, ...ones] });
  if (n === 2) return reshapeOp([velocity], { shape: [1, shape[0]!, d, ...ones] });
  return reshapeOp([velocity], { shape: [shape[0]!, 1, ...shape.slice(1)] });
}

interface RateOptions {
  dx: number;
  dy: number;
  dz: number;
  dims: number | undefined;
  form: AdvectionForm;
  boundary: Boundary;
}

/** The outflow rate and the number of components. Waits for the device. */
function outflowRate(
  op: string,
  velocity: Tensor,
  { dims, form, ...rest }: RateOptions,
): [number, number] {
  return noGrad(() =>
    tidy(() => {
      const field = velocityField(op, velocity, dims);
      const d = field.shape[2]!;
      // A constant flow leaves through one face of an axis whichever the form is.
      const constant = field.shape.slice(3).every((n) => n === 1);
      const params: OutflowRateParams = { ...rest, form: constant ? 'advective' : form };
      return [outflowRateOp([field], params).item(), d] as [number, number];
    }),
  );
}

export interface CflNumberOptions {
  /** Time step, > 0. */
  dt: number;
  /** Cell width, > 0. Default 1. */
  dx?: number;
  /** Default dx. */
  dy?: number;
  /** Default dx. */
  dz?: number;
  /** Components of the velocity, where the shape leaves it open. */
  dims?: number;
  /** Default 'advective'. */
  form?: AdvectionForm;
  /** Default 'neumann'; the conservative form reads it. */
  boundary?: Boundary;
}

/**
 * The CFL number of an advection step: the largest share of a cell that leaves it during dt.
 *
 *     advective       dt max over the cells of |a_x| / dx + |a_y| / dy + |a_z| / dz
 *     conservative    dt max over the cells of the flow out through all faces, each with the mean velocity
 *                     of its two cells; no flow through walls
 *
 * - `velocity` [d], [C, d], [N, d, *S] or [N, C, d, *S], components in the order x, y, z, in length / time.
 *   Where a shape may be read in two ways ([N, 2, 1, L], [N, 3, 2, H, W]), `dims` decides and must be given.
 * - Returns a number, 0 for no velocities, NaN if any is. **Waits** for the device: it reads the velocity.
 * - Errors: FLUXION_INVALID_ARGUMENT, FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH.
 *
 * Compare with {@link cflBound}. Source: LeVeque (2002), 4.4 and 20.
 */
export function cflNumber(velocity: Tensor, options: CflNumberOptions): number {
  const op = 'cflNumber';
  const dx = options?.dx ?? 1;
  const merged = withDefaults<RateOptions & { dt: number }>(op, options, {
    dt: NaN,
    dx,
    dy: dx,
    dz: dx,
    dims: undefined,
    form: 'advective',
    boundary: 'neumann',
  });
  const { dt, ...rest } = merged;
  requirePositive(op, { dt, dx: rest.dx, dy: rest.dy, dz: rest.dz });
  requireDims(op, rest.dims);
  requireChoice(op, 'form', rest.form, ['advective', 'conservative']);
  requireChoice(op, 'boundary', rest.boundary, ['neumann', 'dirichlet', 'periodic']);
  return dt * outflowRate(op, velocity, rest)[0];
}

export interface CflBoundOptions {
  /** Default 1. */
  order?: 1 | 2;
  /** Of order 2. Default 'minmod'. */
  limiter?: AdvectionLimiter;
}

/**
 * The CFL number up to which a step of upwind advection is stable:
 *
 *     order 1                          1     maximum principle; no new extrema
 *     order 2, 'minmod'                2/3   the same (total variation diminishing in 1d), by Harten's
 *     order 2, 'van-leer', 'superbee'  1/2   criterion for each Euler stage of Heun's method
 *     order 2, 'none'                  1     stable in the 2-norm for constant velocities (von Neumann)
 *
 * Errors: FLUXION_INVALID_ARGUMENT, also for a limiter with order 1.
 */
export function cflBound(options?: CflBoundOptions): number {
  const op = 'cflBound';
  const { order, limiter } = withDefaults<{ order: number; limiter: AdvectionLimiter | undefined }>(
    op,
    options,
    { order: 1, limiter: undefined },
  );
  requireArgument(order === 1 || order === 2, op, () => `order must be 1 or 2, got ${show(order)}`);
  if (limiter !== undefined) {
    requireChoice(op, 'limiter', limiter, ['minmod', 'van-leer', 'superbee', 'none']);
    requireArgument(
      order === 2 || limiter === 'none',
      op,
      () => `limiter must be 'none' or absent for order 1, got ${show(limiter)}`,
    );
  }
  if (order === 1 || limiter === 'none') return 1;
  return limiter === 'van-leer' || limiter === 'superbee' ? 1 / 2 : 2 / 3;
}

export interface StableTimeStepOptions extends CflBoundOptions, Omit<CflNumberOptions, 'dt'> {
  /** As in {@link cflNumber}. */
  velocity?: Tensor;
  /** A number, [C], [C, d] or cell-centred [N, C, *S], >= 0, in length^2 / time. */
  diffusivity?: Tensor | number;
  /** A factor in (0, 1] on the result. Default 1. */
  safety?: number;
}

/** Axes of space that a diffusivity shows by its shape. */
function diffusivityDims(diffusivity: Tensor | number | undefined): number | undefined {
  if (!isTensor(diffusivity) || diffusivity.ndim < 2) return undefined;
  return diffusivity.ndim === 2 ? diffusivity.shape[1]! : diffusivity.ndim - 2;
}

/** 2 sum_k kappa_k / dx_k^2, with the largest values. Waits for the device. */
function diffusionRate(
  op: string,
  diffusivity: Tensor | number,
  spacing: readonly number[],
): number {
  if (isTensor(diffusivity) && !isFloating(diffusivity.dtype)) {
    throw new FluxionError(
      'FLUXION_DTYPE_MISMATCH',
      op,
      `diffusivity must be float32 or float64, got ${diffusivity.dtype}`,
    );
  }
  const rates = noGrad(() =>
    tidy(() => {
      if (!isTensor(diffusivity)) return spacing.map(() => diffusivity);
      const byAxis = diffusivity.ndim === 2 ? max(diffusivity, { dim: 0 }) : max(diffusivity);
      const values = [...byAxis.dataSync()];
      return spacing.map((_, k) => values[values.length === 1 ? 0 : k]!);
    }),
  );
  rates.forEach((k) =>
    requireArgument(
      typeof k === 'number' && Number.isFinite(k) && k >= 0,
      op,
      () => `diffusivity must be finite and >= 0, got ${show(k)}`,
    ),
  );
  return rates.reduce((sum, k, i) => sum + (2 * k) / spacing[i]! ** 2, 0);
}

/**
 * The largest stable step of explicit advection, explicit diffusion, or both in one unsplit step:
 *
 *     dt = safety / (r_a / bound + r_d),    r_a = cflNumber / dt,    r_d = 2 sum_k kappa_k / dx_k^2
 *
 * with the `bound` of {@link cflBound}. Upwind advection is stable to the bound, the 3-point explicit
 * diffusion step to dt r_d = 1, and the sum of both keeps all weights >= 0. Implicit diffusion needs no bound:
 * leave `diffusivity` out.
 *
 * - At least one of `velocity` and `diffusivity`. The number of axes follows from them or from `dims`;
 *   where neither says it, it is 2.
 * - Returns a number; Infinity where nothing moves. **Waits** for the device: it reads the fields.
 * - Errors: FLUXION_INVALID_ARGUMENT, FLUXION_SHAPE_MISMATCH, FLUXION_DTYPE_MISMATCH.
 *
 * @example
 * const dt = stableTimeStep({ velocity, dx: 1 / 64, safety: 0.9 });
 */
export function stableTimeStep(options: StableTimeStepOptions): number {
  const op = 'stableTimeStep';
  const dx = options?.dx ?? 1;
  const merged = withDefaults<
    RateOptions & {
      velocity: Tensor | undefined;
      diffusivity: Tensor | number | undefined;
      order: 1 | 2;
      limiter: AdvectionLimiter | undefined;
      safety: number;
    }
  >(op, options, {
    velocity: undefined,
    diffusivity: undefined,
    dx,
    dy: dx,
    dz: dx,
    dims: undefined,
    order: 1,
    limiter: undefined,
    form: 'advective',
    boundary: 'neumann',
    safety: 1,
  });
  const { velocity, diffusivity, order, limiter, safety, ...rates } = merged;
  requirePositive(op, { dx: rates.dx, dy: rates.dy, dz: rates.dz, safety });
  requireArgument(safety <= 1, op, () => `safety must be at most 1, got ${show(safety)}`);
  requireDims(op, rates.dims);
  requireChoice(op, 'form', rates.form, ['advective', 'conservative']);
  requireChoice(op, 'boundary', rates.boundary, ['neumann', 'dirichlet', 'periodic']);
  requireArgument(
    velocity !== undefined || diffusivity !== undefined,
    op,
    'velocity or diffusivity must be given',
  );
  const bound = cflBound(limiter === undefined ? { order } : { order, limiter });
  let dims = rates.dims ?? diffusivityDims(diffusivity);
  let rate = 0;
  if (velocity !== undefined) {
    const [flow, d] = outflowRate(op, velocity, { ...rates, dims });
    requireArgument(Number.isFinite(flow), op, () => `velocity must be finite, got ${flow}`);
    rate += flow / bound;
    dims = d;
  }
  if (diffusivity !== undefined) {
    requireArgument(
      isTensor(diffusivity) || typeof diffusivity === 'number',
      op,
      () => `diffusivity must be a number or a tensor, got ${show(diffusivity)}`,
    );
    const shown = diffusivityDims(diffusivity);
    if ((shown !== undefined && shown !== dims) || !((dims ?? 2) <= 3)) {
      throw new FluxionError(
        'FLUXION_SHAPE_MISMATCH',
        op,
        `diffusivity must have ${dims} axes of space, got ${show([...(diffusivity as Tensor).shape])}`,
      );
    }
    rate += diffusionRate(op, diffusivity, [rates.dx, rates.dy, rates.dz].slice(0, dims ?? 2));
  }
  return safety / rate;
}

/** One part of a split equation: the state after dt. */
export type StepOperator = (u: Tensor, dt: number) => Tensor;

function requireOperators(op: string, operators: readonly StepOperator[]): void {
  requireArgument(
    Array.isArray(operators) &&
      operators.length > 0 &&
      operators.every((f) => typeof f === 'function'),
    op,
    () => `operators must be a list of functions (u, dt) => Tensor, got ${show(operators)}`,
  );
}

/**
 * Lie splitting: each operator for the whole step, in the order given. For [A, B]: u -> B(A(u, dt), dt).
 *
 * First order in dt unless the operators commute. Differentiable if they are; intermediate states are theirs.
 *
 * @example
 * const step = lieSplitting([
 *   (u, dt) => advectUpwind2d(u, velocity, { dt }),
 *   (u, dt) => implicitDiffusion2d(u, 0.1, { dt }),
 * ]);
 * const next = step(u, 0.5);
 */
export function lieSplitting(operators: readonly StepOperator[]): StepOperator {
  requireOperators('lieSplitting', operators);
  const parts = [...operators];
  return (u, dt) => parts.reduce((state, operator) => operator(state, dt), u);
}

/**
 * Strang splitting: half steps of all operators but the last, a whole step of the last, and the half steps
 * again in reverse. For [A, B, C]: A/2, B/2, C, B/2, A/2.
 *
 * Second order in dt if every operator is. Differentiable if they are.
 *
 * Source: G. Strang, SIAM J. Numer. Anal. 5 (1968).
 */
export function strangSplitting(operators: readonly StepOperator[]): StepOperator {
  requireOperators('strangSplitting', operators);
  const before = operators.slice(0, -1);
  const whole = operators[operators.length - 1]!;
  const after = [...before].reverse();
  return (u, dt) => {
    const half = (state: Tensor, operator: StepOperator) => operator(state, dt / 2);
    return after.reduce(half, whole(before.reduce(half, u), dt));
  };
}
