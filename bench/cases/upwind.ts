import {
  type AdvectUpwind3dOptions,
  type AdvectionForm,
  type Tensor,
  advectUpwind1d,
  advectUpwind2d,
  advectUpwind3d,
  tidy,
} from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';

type VelocityKind = 'shared' | 'per-channel' | 'constant';

type Shape = Readonly<{
  dims: 1 | 2 | 3;
  n: number;
  c: number;
  d: number;
  h: number;
  w: number;
  dt: number;
  velocity: VelocityKind;
  order: 1 | 2;
  form: AdvectionForm;
}>;

interface Variant {
  name: string;
  sizes: Shape;
  backward: boolean;
}

const FUNCTIONS = { 1: advectUpwind1d, 2: advectUpwind2d, 3: advectUpwind3d } as const;

const space = ({ dims, d, h, w }: Shape) => [d, h, w].slice(3 - dims);

function velocityShape(s: Shape): number[] {
  if (s.velocity === 'constant') return [s.c, s.dims];
  return [s.n, ...(s.velocity === 'shared' ? [] : [s.c]), s.dims, ...space(s)];
}

const product = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);

function optionsOf({ dt, order, form }: Shape): AdvectUpwind3dOptions {
  return { dt, order, form, ...(order === 2 ? { limiter: 'van-leer' } : {}) };
}

/** Position of velocity component k for a cell of a plane, and how far apart cells are. */
function velocityAt(s: Shape, plane: number, k: number): { begin: number; step: number } {
  const cells = product(space(s));
  const [n, c] = [Math.floor(plane / s.c), plane % s.c];
  if (s.velocity === 'constant') return { begin: c * s.dims + k, step: 0 };
  const field = s.velocity === 'shared' ? n : plane;
  return { begin: (field * s.dims + k) * cells, step: 1 };
}

const vanLeer = (a: number, b: number) => (a * b > 0 ? (2 * a * b) / (a + b) : 0);

/** One Euler stage of a plane in float64 with Neumann walls, cell by cell. */
function stage(u: Float64Array, v: ArrayLike<number>, s: Shape, plane: number): Float64Array {
  const sizes = space(s);
  const out = u.slice();
  for (let k = 0; k < s.dims; k++) {
    const n = sizes[s.dims - 1 - k]!;
    const stride = product(sizes.slice(s.dims - k));
    const { begin, step } = velocityAt(s, plane, k);
    for (let p = 0; p < u.length; p++) {
      const i = Math.floor(p / stride) % n;
      const at = (q: number) => u[p + (Math.min(Math.max(i + q, 0), n - 1) - i) * stride]!;
      const a = (q: number) => v[begin + step * (p + q * stride)]!;
      const slope = (q: number) =>
        s.order === 1 ? 0 : vanLeer(at(q) - at(q - 1), at(q + 1) - at(q)) / 2;
      const left = (q: number) => at(q) + slope(q);
      const right = (q: number) => at(q) - slope(q);
      const flux = (q: number) => {
        if (i + q < 0 || i + q >= n - 1) return 0;
        const face = (a(q) + a(q + 1)) / 2;
        return face > 0 ? face * left(q) : face * right(q + 1);
      };
      if (s.form === 'conservative') out[p]! -= s.dt * (flux(0) - flux(-1));
      else if (a(0) > 0) out[p]! -= s.dt * a(0) * (left(0) - left(-1));
      else out[p]! -= s.dt * a(0) * (right(1) - right(0));
    }
  }
  return out;
}

function checkForward(s: Shape, from: Tensor, velocity: Tensor, to: Tensor): void {
  const [u, v, w] = [from.dataSync(), velocity.dataSync(), to.dataSync()];
  const cells = product(space(s));
  const planes = s.n * s.c;
  for (const plane of new Set([0, Math.floor(planes / 3), planes - 1])) {
    const begin = plane * cells;
    const before = Float64Array.from({ length: cells }, (_, i) => u[begin + i]!);
    let expected = stage(before, v, s, plane);
    if (s.order === 2) expected = stage(expected, v, s, plane).map((x, i) => (x + before[i]!) / 2);
    expected.forEach((x, i) => expectClose(`plane ${plane}, cell ${i}`, w[begin + i]!, x, 1e-4));
  }
}

/** <a, b> per element. */
function dot(a: Tensor, b: (i: number) => number): number {
  const values = a.dataSync();
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i]! * b(i);
  return sum;
}

/** The result is homogeneous of degree 1 in u, and for order 1 what is added to u is in the velocity. */
function checkBackward(s: Shape, u: Tensor, velocity: Tensor, g: Tensor, to: Tensor): void {
  const [x, v, y] = [u.dataSync(), velocity.dataSync(), to.dataSync()];
  const [gu, gv] = [u.grad!, velocity.grad!];
  const scale = Math.sqrt(x.length); // of a sum of that many random terms
  const close = (what: string, actual: number, expected: number) =>
    expectClose(what, actual / scale, expected / scale, 1e-3);
  close(
    '<gu, u>',
    dot(gu, (i) => x[i]!),
    dot(g, (i) => y[i]!),
  );
  if (s.order === 1)
    close(
      '<gv, v>',
      dot(gv, (i) => v[i]!),
      dot(g, (i) => y[i]! - x[i]!),
    );
}

function upwind({ name, sizes, backward }: Variant): Case {
  return defineCase<Shape>({
    name: `advect-upwind-${sizes.dims}d/${name}/${backward ? 'forward-backward' : 'forward'}`,
    peer: backward ? 'advect-upwind-backward' : 'advect-upwind',
    peers: TORCH,
    dtype: 'float32',
    sizes,
    small: { ...sizes, n: 2, c: 3, d: Math.min(sizes.d, 3), h: Math.min(sizes.h, 5), w: 7 },
    // u in and out, the velocity in; backward u, g in, gu out, the velocity in and its gradient out.
    floors: (s) => {
      const [cells, flow] = [product([s.n, s.c, ...space(s)]), product(velocityShape(s))];
      const flops = cells * s.dims * (s.order === 1 ? 6 : 60);
      return {
        bytes: 8 * cells + 4 * flow + (backward ? 12 * cells + 8 * flow : 0),
        flops: backward ? 3 * flops : flops,
      };
    },
    inputBytes: (s) =>
      4 * product([s.n, s.c, ...space(s)]) * (backward ? 2 : 1) + 4 * product(velocityShape(s)),
    setup: (s, sets) => {
      const shape = [s.n, s.c, ...space(s)];
      const u = inputSets(sets, shape, { requiresGrad: backward });
      const velocity = inputSets(sets, velocityShape(s), { seed: 3 }).map((v) => {
        const small = tidy(() => v.detach().mul(0.2));
        v.dispose();
        small.requiresGrad = backward;
        return small;
      });
      const g = backward ? inputSets(sets, shape, { seed: 2 }) : [];
      const advect = FUNCTIONS[s.dims];
      const run = (set: number) => {
        const y = advect(u[set]!, velocity[set]!, optionsOf(s));
        if (!backward) return y;
        clearGrads(u[set]!, velocity[set]!);
        y.backward(g[set]);
        return y;
      };
      return {
        run,
        verify: () =>
          tidy(() => {
            const y = run(0);
            checkForward(s, u[0]!, velocity[0]!, y);
            if (backward) checkBackward(s, u[0]!, velocity[0]!, g[0]!, y);
          }),
      };
    },
  });
}

const BATCH: Shape = {
  ...{ dims: 2, n: 32, c: 64, d: 1, h: 64, w: 64, dt: 0.5 },
  ...{ velocity: 'shared', order: 1, form: 'advective' },
};
const LINES: Shape = { ...BATCH, dims: 1, n: 64, h: 1, w: 1024 };
const VOLUMES: Shape = { ...BATCH, dims: 3, n: 2, c: 16, d: 64 };

const SIZES: readonly (readonly [string, Shape])[] = [
  ['shared', BATCH],
  ['per-channel', { ...BATCH, velocity: 'per-channel' }],
  ['constant', { ...BATCH, velocity: 'constant' }],
  ['conservative', { ...BATCH, form: 'conservative' }],
  ['van-leer', { ...BATCH, order: 2 }],
  ['shared', LINES],
  ['shared', VOLUMES],
];

export const UPWIND: readonly Case[] = SIZES.flatMap(([name, sizes]) =>
  [false, true].map((backward) => upwind({ name, sizes, backward })),
);
