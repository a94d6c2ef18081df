import {
  type AdvectionForm,
  type AdvectionLimiter,
  type Tensor,
  advectUpwind1d,
  advectUpwind2d,
  advectUpwind3d,
} from '../../lib';
import { type Case, type Values, at, indicesOf, sizeOf } from './case';

type Boundary = 'neumann' | 'dirichlet' | 'periodic';

interface Step {
  dt: number;
  dx?: number;
  dy?: number;
  dz?: number;
  boundary?: Boundary;
  order?: 1 | 2;
  limiter?: AdvectionLimiter;
  form?: AdvectionForm;
  steps?: number;
}

/** The limiters in their textbook form. */
const LIMITERS: Record<AdvectionLimiter, (a: number, b: number) => number> = {
  none: (a, b) => (a + b) / 2,
  minmod: (a, b) => (a * b <= 0 ? 0 : Math.sign(a) * Math.min(Math.abs(a), Math.abs(b))),
  'van-leer': (a, b) => (a * b <= 0 ? 0 : (2 * a * b) / (a + b)),
  superbee: (a, b) =>
    a * b <= 0
      ? 0
      : Math.sign(a) *
        Math.max(Math.min(2 * Math.abs(a), Math.abs(b)), Math.min(Math.abs(a), 2 * Math.abs(b))),
};

/** What a line loses in a time step over spacing of 1, from its values and velocities. */
function lineLoss(u: number[], a: number[], step: Step): number[] {
  const { boundary = 'neumann', order = 1, limiter = 'minmod', form = 'advective' } = step;
  const n = u.length;
  const inside = (i: number) => i >= 0 && i < n;
  const wrap = (i: number) => ((i % n) + n) % n;
  const value = (i: number) => {
    if (inside(i)) return u[i]!;
    if (boundary === 'periodic') return u[wrap(i)]!;
    return boundary === 'dirichlet' ? 0 : u[i < 0 ? 0 : n - 1]!;
  };
  const slope = (i: number) =>
    order === 1 ? 0 : LIMITERS[limiter](value(i) - value(i - 1), value(i + 1) - value(i));
  // The values on both sides of the face above cell i.
  const left = (i: number) => value(i) + slope(i) / 2;
  const right = (i: number) => value(i + 1) - slope(i + 1) / 2;
  if (form === 'advective') {
    return u.map(
      (_, i) =>
        Math.max(a[i]!, 0) * (left(i) - left(i - 1)) +
        Math.min(a[i]!, 0) * (right(i) - right(i - 1)),
    );
  }
  const flux = (i: number) => {
    if (boundary !== 'periodic' && !(inside(i) && inside(i + 1))) return 0;
    const face = (a[wrap(i)]! + a[wrap(i + 1)]!) / 2;
    return face > 0 ? face * left(i) : face * right(i);
  };
  return u.map((_, i) => flux(i) - flux(i - 1));
}

/** u - dt (loss along all axes); velocity(n, c, k, index of the cell in space). */
function eulerStage(u: Values, velocity: Velocity, dt: number, step: Step): Values {
  const space = u.shape.slice(2);
  const spacing = [step.dx ?? 1, step.dy ?? step.dx ?? 1, step.dz ?? step.dx ?? 1];
  const out = { shape: u.shape, data: u.data.slice() };
  space.forEach((n, axis) => {
    const k = space.length - 1 - axis;
    const stride = sizeOf(space.slice(axis + 1));
    const starts = u.shape.map((size, i) => (i === axis + 2 ? 1 : size));
    for (const start of indicesOf(starts)) {
      const first = start.reduce((position, i, q) => position * u.shape[q]! + i, 0);
      const positions = Array.from({ length: n }, (_, i) => first + i * stride);
      const a = positions.map((_, i) =>
        velocity(
          start[0]!,
          start[1]!,
          k,
          start.slice(2).map((q, j) => (j === axis ? i : q)),
        ),
      );
      const line = positions.map((p) => u.data[p]!);
      lineLoss(line, a, step).forEach(
        (loss, i) => (out.data[positions[i]!]! -= (dt / spacing[k]!) * loss),
      );
    }
  });
  return out;
}

type Velocity = (n: number, c: number, k: number, cell: readonly number[]) => number;

/** Any form of the velocity. */
function velocityOf(u: Values, v: Values): Velocity {
  const d = u.shape.length - 2;
  if (v.shape.length === 1) return (_n, _c, k) => v.data[k]!;
  if (v.shape.length === 2) return (_n, c, k) => at(v, [c, k]);
  return (n, c, k, cell) => at(v, v.shape.length === d + 2 ? [n, k, ...cell] : [n, c, k, ...cell]);
}

function reference(u: Values, v: Values, step: Step): Values {
  const { steps = 1, order = 1 } = step;
  const dt = step.dt / steps;
  const velocity = velocityOf(u, v);
  let state = u;
  for (let i = 0; i < steps; i++) {
    const first = eulerStage(state, velocity, dt, step);
    if (order === 1) {
      state = first;
      continue;
    }
    const second = eulerStage(first, velocity, dt, step);
    const before = state;
    state = { shape: u.shape, data: second.data.map((x, j) => (x + before.data[j]!) / 2) };
  }
  return state;
}

const FUNCTIONS = { 1: advectUpwind1d, 2: advectUpwind2d, 3: advectUpwind3d } as const;

function advect(u: Tensor, v: Tensor, step: Step): Tensor {
  return FUNCTIONS[(u.ndim - 2) as 1 | 2 | 3](u, v, step);
}

/** Values in (-1, 1), of which no one and no mean of two is near 0, where the derivative jumps. */
function velocities(size: number, random: () => number): Float64Array {
  return Float64Array.from({ length: size }, () => Math.floor(16 * random() - 8) / 8 + 1 / 32);
}

function upwindCase(u: readonly number[], v: readonly number[], step: Step): Case {
  const label = Object.entries(step)
    .map(([key, value]) => `${key} ${value}`)
    .join(', ');
  return {
    name: `advectUpwind${u.length - 2}d [${u.join(',')}] velocity [${v.join(',')}] ${label}`,
    ops: ['advect_upwind'],
    inputs: [{ shape: u }, { shape: v, generate: velocities }],
    run: (x, velocity) => advect(x, velocity, step),
    reference: (x, velocity) => reference(x, velocity, step),
    linearIn: (step.order ?? 1) === 1 || step.limiter === 'none' ? [0] : [],
    tolerance: { float32: 5e-6 },
  };
}

const BOUNDARIES: Boundary[] = ['neumann', 'dirichlet', 'periodic'];
const FORMS: AdvectionForm[] = ['advective', 'conservative'];
const ORDERS: Step[] = [
  { dt: 0, order: 1 },
  { dt: 0, order: 2, limiter: 'none' },
  { dt: 0, order: 2, limiter: 'minmod' },
  { dt: 0, order: 2, limiter: 'van-leer' },
  { dt: 0, order: 2, limiter: 'superbee' },
];

/** Every boundary and form with a size. */
const everywhere = (sizes: (readonly [readonly number[], readonly number[], Step])[]): Case[] =>
  sizes.flatMap(([u, v, step]) =>
    BOUNDARIES.flatMap((boundary) =>
      FORMS.map((form) => upwindCase(u, v, { ...step, boundary, form })),
    ),
  );

export const UPWIND: Case[] = [
  // First order: sizes around the vector widths, all forms of the velocity.
  ...everywhere([
    [[2, 3, 1], [2, 3, 1, 1], { dt: 0.4 }],
    [[2, 3, 17], [1, 1, 17], { dt: 0.4, dx: 0.77 }],
    [[2, 2, 1, 1], [2, 2, 1, 1], { dt: 0.3 }],
    [[2, 3, 2, 3], [2, 3, 2, 2, 3], { dt: 0.3, dx: 0.8, dy: 1.3 }],
    [[2, 3, 15, 16], [2, 2, 15, 16], { dt: 0.4, dx: 0.8, dy: 1.3 }],
    [[1, 2, 3, 31], [1, 2, 2, 3, 31], { dt: 0.4, dx: 0.8, dy: 1.3 }],
    [[2, 2, 3, 2, 5], [2, 3, 3, 2, 5], { dt: 0.2, dx: 0.8, dy: 1.3, dz: 0.9 }],
  ]),
  // Second order, one dimension: every limiter, boundary and form.
  ...ORDERS.slice(1).flatMap((order) =>
    everywhere([
      [[2, 2, 2], [2, 2, 1, 2], { ...order, dt: 0.3 }],
      [[1, 2, 19], [1, 2, 1, 19], { ...order, dt: 0.4, dx: 0.77 }],
    ]),
  ),
  // Second order in two and three dimensions.
  ...everywhere([
    [[2, 2, 1, 3], [2, 2, 1, 3], { dt: 0.3, order: 2, limiter: 'van-leer' }],
    [[1, 2, 4, 17], [1, 2, 4, 17], { dt: 0.4, order: 2, dx: 0.8, dy: 1.3 }],
    [[1, 2, 3, 2, 4], [1, 2, 3, 3, 2, 4], { dt: 0.2, order: 2, limiter: 'superbee' }],
  ]),
  // Constant velocities, and those shared by the batch only.
  ...ORDERS.flatMap(({ order, limiter }) =>
    FORMS.flatMap((form) => {
      const step = {
        dt: 0.3,
        dx: 0.8,
        dy: 1.3,
        form,
        order,
        ...(limiter ? { limiter } : {}),
      } as Step;
      return [
        upwindCase([2, 3, 5, 6], [2], { ...step, boundary: 'dirichlet' }),
        upwindCase([2, 3, 5, 6], [3, 2], { ...step, boundary: 'neumann', steps: 2 }),
        upwindCase([3, 2, 3, 4], [1, 2, 2, 3, 4], { ...step, boundary: 'periodic' }),
      ];
    }),
  ),
  upwindCase([2, 2, 9], [1], { dt: 0.5, boundary: 'periodic' }),
  upwindCase([2, 2, 9], [2, 1], { dt: 0.5, order: 2 }),
  upwindCase([2, 2, 2, 3, 4], [3], { dt: 0.3, form: 'conservative' }),
  upwindCase([2, 2, 2, 3, 4], [2, 3], { dt: 0.3 }),
  // Several steps.
  ...BOUNDARIES.flatMap((boundary) => [
    upwindCase([2, 2, 5, 7], [2, 2, 5, 7], { dt: 1.2, steps: 3, boundary }),
    upwindCase([1, 2, 5, 7], [1, 2, 2, 5, 7], {
      dt: 1.2,
      steps: 4,
      boundary,
      form: 'conservative',
    }),
    upwindCase([1, 2, 5, 7], [1, 2, 5, 7], { dt: 0.9, steps: 3, boundary, order: 2 }),
  ]),
  upwindCase([1, 2, 6, 5], [1, 2, 6, 5], {
    dt: 1,
    steps: 3,
    order: 2,
    limiter: 'van-leer',
    form: 'conservative',
  }),
  // Larger sizes, as few cells as they allow.
  upwindCase([1, 2, 64, 2], [1, 2, 64, 2], { dt: 0.4 }),
  upwindCase([1, 1, 2, 100], [1, 2, 2, 100], { dt: 0.4, order: 2, limiter: 'van-leer' }),
  upwindCase([1, 1, 127], [1, 1, 1, 127], { dt: 0.4, form: 'conservative' }),
  // Planes that do not fit into the shared memory of a GPU, and several planes for each of its threads.
  upwindCase([1, 2, 3, 10000], [1, 2, 3, 10000], { dt: 0.6, steps: 2, boundary: 'periodic' }),
  upwindCase([1, 2, 3, 10000], [1, 2, 3, 10000], { dt: 0.4, order: 2, limiter: 'van-leer' }),
  upwindCase([1, 3, 64, 128], [1, 2, 64, 128], { dt: 0.4, form: 'conservative' }),
  // Without a gradient in the velocity: the adjoint has a derivative of its own.
  ...FORMS.map((form) => {
    const c = upwindCase([2, 2, 4, 5], [1, 2, 4, 5], { dt: 0.8, steps: 2, form });
    const inputs = c.inputs.map((input, i) => ({ ...input, differentiable: i === 0 }));
    return { ...c, inputs, name: `${c.name}, constant velocity` };
  }),
  {
    name: 'advectUpwind2d of an empty batch',
    ops: ['advect_upwind'],
    inputs: [{ shape: [0, 2, 5, 6] }, { shape: [2, 2] }],
    run: (u, v) => advectUpwind2d(u, v, { dt: 1 }),
    reference: (u) => u,
    gradient: 'there is nothing to differentiate',
  },
  {
    name: 'advectUpwind1d with as many steps as the velocity asks',
    ops: ['advect_upwind', 'outflow_rate'],
    inputs: [
      { shape: [1, 2, 9] },
      {
        shape: [1, 1, 9],
        generate: (size, random) => {
          const a = Float64Array.from({ length: size }, () => Math.fround(2 * random() - 1));
          a[3] = 1.25; // 4.875 at dt 3.9: 5 steps
          return a;
        },
      },
    ],
    run: (u, v) => advectUpwind1d(u, v, { dt: 3.9, steps: 'auto', boundary: 'periodic' }),
    reference: (u, v) => reference(u, v, { dt: 3.9, steps: 5, boundary: 'periodic' }),
    linearIn: [0],
    tolerance: { float32: 5e-6 },
  },
];
