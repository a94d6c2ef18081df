import { type Tensor, full, implicitDiffusion2d, rand, tidy, tridiagonalSolve } from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';

const BATCH = { n: 32, c: 64, h: 64, w: 64, dt: 1 };
const SMALL = { n: 2, c: 3, h: 9, w: 6, dt: 1 };

type Shape = typeof BATCH & { shared: 'yes' | 'no' };
type Plane = Float64Array;

/** A u of one plane along x or y, from its definition. */
function fluxDivergence(u: Plane, k: Plane, { h, w }: Shape, axis: 'x' | 'y'): Plane {
  const step = axis === 'x' ? 1 : w;
  const out = new Float64Array(u.length);
  for (let p = 0; p < u.length; p++) {
    const last = axis === 'x' ? p % w === w - 1 : p >= (h - 1) * w;
    if (last) continue;
    const q = p + step;
    const flux = ((2 * k[p]! * k[q]!) / (k[p]! + k[q]!)) * (u[q]! - u[p]!);
    out[p]! += flux;
    out[q]! -= flux;
  }
  return out;
}

/** The factor (I - dt A_axis) applied to a plane. */
const applied = (u: Plane, k: Plane, s: Shape, axis: 'x' | 'y') => {
  const flux = fluxDivergence(u, k, s, axis);
  return u.map((v, i) => v - s.dt * flux[i]!);
};

function planeOf(t: Tensor, { c, h, w, shared }: Shape, b: number, channel: number, isK = false) {
  const size = h * w;
  const begin = isK && shared === 'yes' ? 0 : (b * c + channel) * size;
  return Float64Array.from(t.dataSync().subarray(begin, begin + size));
}

const PLANES = (s: Shape) => [
  [0, 0],
  [s.n - 1, s.c - 1],
];

/** The matrices applied to the result must give what was solved for; the adjoint has them reversed. */
function checkEquations(
  s: Shape,
  k: Tensor,
  from: Tensor,
  to: Tensor,
  axes: ['x' | 'y', 'x' | 'y'],
) {
  for (const [b, channel] of PLANES(s) as [number, number][]) {
    const rates = planeOf(k, s, b, channel, true);
    const v = planeOf(to, s, b, channel);
    const back = applied(applied(v, rates, s, axes[1]), rates, s, axes[0]);
    planeOf(from, s, b, channel).forEach((value, i) =>
      expectClose(`${axes.join('')}[${i}]`, back[i]!, value, 1e-4),
    );
  }
}

function dot(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < a.length; i++) total += a[i]! * b[i]!;
  return total;
}

/** The gradient along one direction of k, all cells alike, against differences of the step. */
function checkGradient(s: Shape, k: Tensor, u: Tensor, g: Tensor) {
  const shift = 1e-2;
  const value = (by: number) =>
    tidy(() => {
      const v = implicitDiffusion2d(u.detach(), k.detach().add(by), { dt: s.dt });
      return dot(v.dataSync(), g.dataSync());
    });
  const expected = (value(shift) - value(-shift)) / (2 * shift);
  const dk = k.grad!.dataSync();
  const actual = dot(dk, new Float32Array(dk.length).fill(1));
  expectClose('sum of dk', actual / 1e3, expected / 1e3, 1e-1);
}

function diffusion(shared: 'yes' | 'no', backward: boolean): Case {
  const sizes: Shape = { ...BATCH, shared };
  return defineCase<Shape>({
    name: `variable-diffusion-2d/${shared === 'yes' ? 'shared' : 'full'}/${backward ? 'forward-backward' : 'forward'}`,
    peer: backward ? 'variable-diffusion-2d-backward' : 'variable-diffusion-2d',
    peers: TORCH,
    dtype: 'float32',
    sizes,
    small: { ...sizes, ...SMALL },
    floors: ({ n, c, h, w }) => ({
      // u, k -> v; u, k, g -> gu, gk
      bytes:
        ((shared === 'yes' ? 8 : 12) + (backward ? (shared === 'yes' ? 12 : 20) : 0)) *
        n *
        c *
        h *
        w,
      flops: (backward ? 90 : 28) * n * c * h * w,
    }),
    inputBytes: ({ n, c, h, w }) =>
      4 * n * c * h * w * ((backward ? 2 : 1) + (shared === 'yes' ? 0 : 1)),
    setup: (s, sets) => {
      const shape = [s.n, s.c, s.h, s.w];
      const u = inputSets(sets, shape, { requiresGrad: backward });
      const g = backward ? inputSets(sets, shape, { seed: 2 }) : [];
      const kShape = s.shared === 'yes' ? [1, 1, s.h, s.w] : shape;
      const first = tidy(() => rand(kShape, { seed: 3 }).add(0.1));
      const k = Array.from({ length: s.shared === 'yes' ? 1 : sets }, (_, i) =>
        i ? first.clone() : first,
      );
      for (const t of k) t.requiresGrad = backward;
      const run = (set: number) => {
        const rates = k[set % k.length]!;
        const v = implicitDiffusion2d(u[set]!, rates, { dt: s.dt });
        if (!backward) return v;
        clearGrads(u[set]!, rates);
        v.backward(g[set]);
        return v;
      };
      return {
        run,
        verify: () =>
          tidy(() => {
            const v = run(0);
            checkEquations(s, k[0]!, u[0]!, v, ['x', 'y']);
            if (!backward) return;
            checkEquations(s, k[0]!, g[0]!, u[0]!.grad!, ['y', 'x']);
            checkGradient(s, k[0]!, u[0]!, g[0]!);
          }),
      };
    },
  });
}

/** Systems against SciPy's banded solver, which takes one matrix at a time. */
function single(systems: number, n: number): Case {
  return defineCase({
    name: `tridiagonal-solve/${systems === 1 ? 'single' : systems}`,
    peer: 'tridiagonal-solve-banded',
    peers: TORCH,
    dtype: 'float32',
    sizes: { systems, n },
    small: { systems: Math.min(systems, 3), n: 9 },
    floors: (s) => ({ bytes: 20 * s.systems * s.n, flops: 8 * s.systems * s.n }),
    inputBytes: (s) => 16 * s.systems * s.n,
    setup: (s, sets) => {
      const shape = [s.systems, s.n];
      const [lower, upper, rhs] = [1, 2, 3].map((seed) => inputSets(sets, shape, { seed }));
      const diagonal = Array.from({ length: sets }, () => full(shape, 16));
      const run = (set: number) =>
        tridiagonalSolve(lower![set]!, diagonal[set]!, upper![set]!, rhs![set]!);
      return {
        run,
        verify: () => {
          const x = tidy(() => run(0).dataSync());
          const [l, u, b] = [lower!, upper!, rhs!].map((t) => t[0]!.dataSync());
          x.forEach((value, p) => {
            const i = p % s.n;
            const below = i > 0 ? l![p]! * x[p - 1]! : 0;
            const above = i < s.n - 1 ? u![p]! * x[p + 1]! : 0;
            expectClose(`row ${i}`, below + 16 * value + above, b![p]!, 1e-5);
          });
        },
      };
    },
  });
}

export const VARIABLE_DIFFUSION: readonly Case[] = [
  ...(['no', 'yes'] as const).flatMap((shared) =>
    [false, true].map((backward) => diffusion(shared, backward)),
  ),
  single(1, 1_000_000),
  single(1000, 1000),
];
