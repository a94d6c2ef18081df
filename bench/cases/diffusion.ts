import { type Boundary, type DiffusionScheme, type Tensor } from 'fluxion';
import {
  full,
  implicitDiffusion1d,
  implicitDiffusion2d,
  implicitDiffusion3d,
  tensor,
  tidy,
  tridiagonalSolve,
} from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';
import { type Diffusion, implicitDiffusion } from '../peers/typed_array';

type Shape = Diffusion & { boundary: Boundary; scheme: DiffusionScheme };

const BATCH = { n: 32, c: 64, h: 64, w: 64, dt: 1 };
const LARGE = { n: 8, c: 64, h: 256, w: 256, dt: 1 };
const SMALL = { n: 2, c: 3, h: 9, w: 6, dt: 1 };

/** Field b, channel c of [n, c, h, w] in float64. */
function plane(values: ArrayLike<number>, { c, h, w }: Shape, b: number, channel: number) {
  const begin = (b * c + channel) * h * w;
  return Float64Array.from({ length: h * w }, (_, i) => values[begin + i]!);
}

/** (I + factor D) along x or y, D the second difference. */
function stencil(u: Float64Array, s: Shape, axis: 'x' | 'y', factor: number): Float64Array {
  const { h, w, boundary } = s;
  const n = axis === 'x' ? w : h;
  const stride = axis === 'x' ? 1 : w;
  return u.map((value, p) => {
    const q = axis === 'x' ? p % w : Math.floor(p / w);
    const neighbour = (to: number) => {
      if (to >= 0 && to < n) return u[p + (to - q) * stride]!;
      if (boundary === 'neumann') return value;
      return boundary === 'dirichlet' ? 0 : u[p + (((to + n) % n) - q) * stride]!;
    };
    return value + factor * (neighbour(q - 1) - 2 * value + neighbour(q + 1));
  });
}

/** The result must solve the equations: the matrices applied to it give the right side. */
function checkEquations(what: string, s: Shape, k: ArrayLike<number>, from: Tensor, to: Tensor) {
  const [u, v] = [from.dataSync(), to.dataSync()];
  const implicit = s.scheme === 'crank-nicolson' ? 0.5 : 1;
  for (let channel = 0; channel < s.c; channel += 7) {
    for (const b of new Set([0, s.n - 1])) {
      const r = s.dt * k[channel]!;
      const left = stencil(
        stencil(plane(v, s, b, channel), s, 'x', -implicit * r),
        s,
        'y',
        -implicit * r,
      );
      const explicit = (1 - implicit) * r;
      const right = stencil(stencil(plane(u, s, b, channel), s, 'x', explicit), s, 'y', explicit);
      left.forEach((value, i) =>
        expectClose(`${what}, channel ${channel}`, value, right[i]!, 1e-4),
      );
    }
  }
}

/** d <g, v(k)> / dk of one channel by central differences of a float64 program in plain JavaScript. */
function diffusivityGradient(s: Shape, u: Tensor, g: Tensor, k: number, channel: number): number {
  const one = { ...s, n: 1, c: 1 };
  const [from, cotangent] = [u.dataSync(), g.dataSync()];
  let gradient = 0;
  for (let b = 0; b < s.n; b++) {
    const [input, weight] = [plane(from, s, b, channel), plane(cotangent, s, b, channel)];
    const out = new Float64Array(input.length);
    const value = (at: number) => {
      implicitDiffusion(input, [at], out, one);
      return out.reduce((sum, x, i) => sum + x * weight[i]!, 0);
    };
    gradient += (value(k + 1e-4) - value(k - 1e-4)) / 2e-4;
  }
  return gradient;
}

interface Variant {
  name: string;
  sizes: Shape;
  backward: boolean;
  /** Default all that have the case. */
  peers?: Case['peers'];
}

function diffusion({ name, sizes, backward, peers }: Variant): Case {
  return defineCase<Shape>({
    name: `implicit-diffusion-2d/${name}/${backward ? 'forward-backward' : 'forward'}`,
    peer: backward ? 'implicit-diffusion-2d-backward' : 'implicit-diffusion-2d',
    peers: peers ?? (backward ? TORCH : [...TORCH, 'typed-array']),
    dtype: 'float32',
    sizes,
    small: { ...sizes, ...SMALL },
    floors: ({ n, c, h, w }) => ({
      bytes: (backward ? 20 : 8) * n * c * h * w,
      flops: (backward ? 22 : 10) * n * c * h * w,
    }),
    inputBytes: ({ n, c, h, w }) => 4 * n * c * h * w * (backward ? 2 : 1),
    setup: (s, sets) => {
      const { dt, boundary, scheme } = s;
      const shape = [s.n, s.c, s.h, s.w];
      const u = inputSets(sets, shape, { requiresGrad: backward });
      const g = backward ? inputSets(sets, shape, { seed: 2 }) : [];
      const k = tensor(Float32Array.from({ length: s.c }, (_, i) => 0.1 + i / s.c));
      k.requiresGrad = backward;
      const run = (set: number) => {
        const v = implicitDiffusion2d(u[set]!, k, { dt, boundary, scheme });
        if (!backward) return v;
        clearGrads(u[set]!, k);
        v.backward(g[set]);
        return v;
      };
      return {
        run,
        verify: () =>
          tidy(() => {
            const v = run(0);
            const rates = k.dataSync();
            checkEquations(name, s, rates, u[0]!, v);
            if (!backward) return;
            // The operator is symmetric: du solves the same equations with g on the right side.
            checkEquations(`du of ${name}`, s, rates, g[0]!, u[0]!.grad!);
            const dk = k.grad!.dataSync();
            for (const channel of new Set([0, s.c - 1])) {
              const expected = diffusivityGradient(s, u[0]!, g[0]!, rates[channel]!, channel);
              expectClose(`dk of ${name}, channel ${channel}`, dk[channel]!, expected, 1e-3);
            }
          }),
      };
    },
  });
}

const BOUNDARIES: readonly Boundary[] = ['neumann', 'dirichlet', 'periodic'];
const SCHEMES: readonly DiffusionScheme[] = ['backward-euler', 'crank-nicolson'];

const VARIANTS: readonly Variant[] = [
  ...BOUNDARIES.flatMap((boundary) =>
    SCHEMES.flatMap((scheme) =>
      [false, true].map((backward) => ({
        name: `${boundary}-${scheme}`,
        sizes: { ...BATCH, boundary, scheme },
        backward,
      })),
    ),
  ),
  {
    name: 'neumann-backward-euler-256',
    sizes: { ...LARGE, boundary: 'neumann', scheme: 'backward-euler' },
    backward: false,
    peers: ['typed-array'], // dense inverses of 256 cells take PyTorch minutes for a trial
  },
];

interface Grid {
  n: number;
  c: number;
  d: number;
  h: number;
  w: number;
}

/** Lines (d = h = 1) and volumes, zero flux, backward Euler. */
function diffusionOn(axes: 1 | 3, sizes: Grid, small: Grid, backward: boolean): Case {
  const name = `implicit-diffusion-${axes}d`;
  const cells = ({ n, c, d, h, w }: Grid) => n * c * d * h * w;
  const flops = axes === 1 ? 5 : 15;
  return defineCase<Grid & Record<string, number | string>>({
    name: `${name}/neumann-backward-euler/${backward ? 'forward-backward' : 'forward'}`,
    peer: backward ? `${name}-backward` : name,
    peers: TORCH,
    dtype: 'float32',
    sizes: { ...sizes, boundary: 'neumann', scheme: 'backward-euler' },
    small: { ...small, boundary: 'neumann', scheme: 'backward-euler' },
    floors: (s) => ({
      bytes: (backward ? 20 : 8) * cells(s),
      flops: (backward ? 2.2 : 1) * flops * cells(s),
    }),
    inputBytes: (s) => 4 * cells(s) * (backward ? 2 : 1),
    setup: (s, sets) => {
      const shape = axes === 1 ? [s.n, s.c, s.w] : [s.n, s.c, s.d, s.h, s.w];
      const u = inputSets(sets, shape, { requiresGrad: backward });
      const g = backward ? inputSets(sets, shape, { seed: 2 }) : [];
      const k = tensor(Float32Array.from({ length: s.c }, (_, i) => 0.1 + i / s.c));
      k.requiresGrad = backward;
      const step = (x: Tensor) =>
        axes === 1 ? implicitDiffusion1d(x, k, { dt: 1 }) : implicitDiffusion3d(x, k, { dt: 1 });
      const run = (set: number) => {
        const v = step(u[set]!);
        if (!backward) return v;
        clearGrads(u[set]!, k);
        v.backward(g[set]);
        return v;
      };
      const verify = () =>
        tidy(() => {
          const v = run(0);
          checkLaplacian(name, s, k.dataSync(), u[0]!, v);
          // The operator is symmetric: du solves the same equations with g on the right side.
          if (backward) checkLaplacian(`du of ${name}`, s, k.dataSync(), g[0]!, u[0]!.grad!);
        });
      return { run, verify };
    },
  });
}

/** The matrices of all axes applied to the result give the right side, in samples of lines along x. */
function checkLaplacian(what: string, s: Grid, k: ArrayLike<number>, from: Tensor, to: Tensor) {
  const [u, v] = [from.dataSync(), to.dataSync()];
  const strides = [1, s.w, s.w * s.h];
  const extents = [s.w, s.h, s.d];
  const size = s.d * s.h * s.w;
  for (let channel = 0; channel < s.n * s.c; channel += 7) {
    const rate = k[channel % s.c]!;
    let field = Float64Array.from({ length: size }, (_, p) => v[channel * size + p]!);
    extents.forEach((n, axis) => {
      const stride = strides[axis]!;
      field = field.map((value, p) => {
        const q = Math.floor(p / stride) % n;
        const below = q > 0 ? field[p - stride]! : value;
        const above = q + 1 < n ? field[p + stride]! : value;
        return value - rate * (below - 2 * value + above);
      });
    });
    for (let p = 0; p < size; p += 101)
      expectClose(`${what}, channel ${channel}`, field[p]!, u[channel * size + p]!, 1e-4);
  }
}

const LINES: Grid = { n: 64, c: 64, d: 1, h: 1, w: 1024 };
const VOLUMES: Grid = { n: 2, c: 16, d: 64, h: 64, w: 64 };

const OTHER_DIMENSIONS: readonly Case[] = [false, true].flatMap((backward) => [
  diffusionOn(1, LINES, { n: 2, c: 3, d: 1, h: 1, w: 9 }, backward),
  diffusionOn(3, VOLUMES, { n: 2, c: 3, d: 4, h: 5, w: 6 }, backward),
]);

const tridiagonal = defineCase({
  name: 'tridiagonal-solve/forward',
  peer: 'tridiagonal-solve',
  peers: TORCH,
  dtype: 'float32',
  sizes: { systems: 4096, n: 128 },
  small: { systems: 3, n: 9 },
  floors: ({ systems, n }) => ({ bytes: 20 * systems * n, flops: 8 * systems * n }),
  inputBytes: ({ systems, n }) => 16 * systems * n,
  setup: ({ systems, n }, sets) => {
    const shape = [systems, n];
    const lower = inputSets(sets, shape);
    const upper = inputSets(sets, shape, { seed: 2 });
    const rhs = inputSets(sets, shape, { seed: 3 });
    // Normal random numbers are below 7 in absolute value, so the systems are diagonally dominant.
    const diagonal = Array.from({ length: sets }, () => full(shape, 16));
    const run = (set: number) =>
      tridiagonalSolve(lower[set]!, diagonal[set]!, upper[set]!, rhs[set]!);
    return {
      run,
      verify: () => {
        const x = tidy(() => run(0).dataSync());
        const [l, u, b] = [lower[0]!, upper[0]!, rhs[0]!].map((t) => t.dataSync());
        x.forEach((value, p) => {
          const i = p % n;
          const below = i > 0 ? l![p]! * x[p - 1]! : 0;
          const above = i < n - 1 ? u![p]! * x[p + 1]! : 0;
          expectClose(`row ${i}`, below + 16 * value + above, b![p]!, 1e-5);
        });
      },
    };
  },
});

export const DIFFUSION: readonly Case[] = [
  ...VARIANTS.map(diffusion),
  ...OTHER_DIMENSIONS,
  tridiagonal,
];
