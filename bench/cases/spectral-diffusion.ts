import { type Boundary, type SpectralScheme, type SpectralSymbol, type Tensor } from 'fluxion';
import { spectralDiffusion2d, stencilDiffusion2d, tensor, tidy } from 'fluxion';
import { type Case, TORCH, clearGrads, defineCase, expectClose, inputSets } from '../case';

type Planes = { n: number; c: number; h: number; w: number; dt: number };
type Shape = Planes & { boundary: Boundary; scheme: SpectralScheme; symbol: SpectralSymbol };

const BATCH = { n: 32, c: 64, h: 64, w: 64, dt: 1 };
const LARGE = { n: 8, c: 16, h: 256, w: 256, dt: 1 };
const SMALL = { n: 2, c: 3, h: 9, w: 6, dt: 1 };

/** Plane b, channel c in float64. */
function plane(values: ArrayLike<number>, { c, h, w }: Planes, b: number, channel: number) {
  const begin = (b * c + channel) * h * w;
  return Float64Array.from({ length: h * w }, (_, i) => values[begin + i]!);
}

/** The planes that verification looks at: every seventh channel of the first and the last field. */
function samples({ n, c }: Planes): [number, number][] {
  const channels = Array.from({ length: Math.ceil(c / 7) }, (_, i) => 7 * i);
  return [...new Set([0, n - 1])].flatMap((b) => channels.map((q): [number, number] => [b, q]));
}

/** The matrix of minus the Laplacian along n cells: differences, or (periodic) the second derivative. */
function laplacian(n: number, { boundary, symbol }: Shape): Float64Array[] {
  return Array.from({ length: n }, (_, i) => {
    const row = new Float64Array(n);
    if (symbol === 'continuous') {
      for (let j = 0; j < n; j++) {
        for (let m = 0; m < n; m++) {
          const t = (2 * Math.PI * Math.min(m, n - m)) / n;
          row[j]! += (t * t * Math.cos((2 * Math.PI * m * (i - j)) / n)) / n;
        }
      }
      return row;
    }
    for (const j of [i - 1, i + 1]) {
      row[i]! += 1;
      if (j >= 0 && j < n) row[j]! -= 1;
      else if (boundary === 'neumann') row[i]! -= 1;
      else if (boundary === 'periodic') row[(j + n) % n]! -= 1;
    }
    return row;
  });
}

/** A u = -(D_xx + D_yy) u by matrices along both axes. */
function operator(s: Shape): (u: Float64Array) => Float64Array {
  const { h, w } = s;
  const [ay, ax] = [laplacian(h, s), laplacian(w, s)];
  return (u) =>
    u.map((_, p) => {
      const [i, j] = [Math.floor(p / w), p % w];
      let sum = 0;
      for (let q = 0; q < h; q++) sum += ay[i]![q]! * u[q * w + j]!;
      for (let q = 0; q < w; q++) sum += ax[j]![q]! * u[i * w + q]!;
      return sum;
    });
}

/** f(z) u for z = r A: the inverse is taken to the other side, the exponential is its power series. */
function checkStep(
  what: string,
  s: Shape,
  apply: (u: Float64Array) => Float64Array,
  r: number,
  u: Float64Array,
  v: Float64Array,
) {
  const image = (x: Float64Array, scale: number) => apply(x).map((a, i) => x[i]! + scale * a);
  if (s.scheme !== 'exponential') {
    const implicit = s.scheme === 'crank-nicolson' ? 0.5 : 1;
    const [left, right] = [image(v, implicit * r), image(u, (implicit - 1) * r)];
    left.forEach((value, i) => expectClose(what, value, right[i]!, 1e-3));
    return;
  }
  // e^-z = (e^(-z/m))^m with Taylor's series where z / m <= 1/2; the largest eigenvalue is below 20.
  const parts = Math.ceil(40 * r);
  let x = u;
  for (let part = 0; part < parts; part++) {
    let term = x;
    for (let k = 1; k <= 8; k++) {
      term = apply(term).map((a) => (-a * r) / parts / k);
      const previous = x;
      x = term.map((t, i) => previous[i]! + t);
    }
  }
  x.forEach((value, i) => expectClose(what, v[i]!, value, 1e-3));
}

interface Variant {
  name: string;
  sizes: Shape;
  backward: boolean;
}

const log2 = (x: number) => Math.log2(Math.max(x, 2));

function spectral({ name, sizes, backward }: Variant): Case {
  return defineCase<Shape>({
    name: `spectral-diffusion-2d/${name}/${backward ? 'forward-backward' : 'forward'}`,
    peer: `spectral-diffusion-2d${backward ? '-backward' : ''}`,
    peers: TORCH,
    dtype: 'float32',
    sizes,
    small: { ...sizes, ...SMALL },
    floors: ({ n, c, h, w }) => ({
      bytes: (backward ? 20 : 8) * n * c * h * w,
      flops: (backward ? 2.5 : 1) * 5 * log2(h * w) * n * c * h * w,
    }),
    inputBytes: ({ n, c, h, w }) => 4 * n * c * h * w * (backward ? 2 : 1),
    setup: (s, sets) => {
      const { dt, boundary, scheme, symbol } = s;
      const shape = [s.n, s.c, s.h, s.w];
      const u = inputSets(sets, shape, { requiresGrad: backward });
      const g = backward ? inputSets(sets, shape, { seed: 2 }) : [];
      const k = tensor(Float32Array.from({ length: s.c }, (_, i) => 0.1 + i / s.c));
      k.requiresGrad = backward;
      const run = (set: number) => {
        const v = spectralDiffusion2d(u[set]!, k, { dt, boundary, scheme, symbol });
        if (!backward) return v;
        clearGrads(u[set]!, k);
        v.backward(g[set]);
        return v;
      };
      const verify = () =>
        tidy(() => {
          const v = run(0).dataSync();
          const [rates, from] = [k.dataSync(), u[0]!.dataSync()];
          const apply = operator(s);
          const check = (what: string, a: ArrayLike<number>, b: ArrayLike<number>) => {
            for (const [field, channel] of samples(s).slice(0, scheme === 'exponential' ? 1 : 6)) {
              const planes = [plane(a, s, field, channel), plane(b, s, field, channel)] as const;
              checkStep(`${what} of ${name}`, s, apply, dt * rates[channel]!, ...planes);
            }
          };
          check('v', from, v);
          if (!backward) return;
          // The operator is its own adjoint.
          check('du', g[0]!.dataSync(), u[0]!.grad!.dataSync());
          if (scheme === 'crank-nicolson') return;
          // dv/dk = -dt A v' with v' = v (exponential) or du taking the place of g (backward Euler).
          const left = scheme === 'exponential' ? g[0]!.dataSync() : u[0]!.grad!.dataSync();
          let expected = 0;
          for (let b = 0; b < s.n; b++) {
            const image = apply(plane(v, s, b, 0));
            expected -= dt * plane(left, s, b, 0).reduce((sum, x, i) => sum + x * image[i]!, 0);
          }
          expectClose(`dk of ${name}`, k.grad!.dataSync()[0]!, expected, 1e-3);
        });
      return { run, verify };
    },
  });
}

const DISCRETE = { scheme: 'backward-euler', symbol: 'discrete' } as const;

const VARIANTS: readonly Omit<Variant, 'backward'>[] = [
  ...(['periodic', 'neumann', 'dirichlet'] as const).map((boundary) => ({
    name: `${boundary}-backward-euler`,
    sizes: { ...BATCH, ...DISCRETE, boundary },
  })),
  {
    name: 'periodic-exponential-continuous',
    sizes: { ...BATCH, boundary: 'periodic', scheme: 'exponential', symbol: 'continuous' },
  },
  {
    name: 'periodic-backward-euler-256',
    sizes: { ...LARGE, ...DISCRETE, boundary: 'periodic' },
  },
];

/** The cyclic convolution of a plane with a stencil, or (sign -1) its adjoint. */
function convolve(
  u: Float64Array,
  { h, w }: Planes,
  l: ArrayLike<number>,
  at: number,
  sign: number,
) {
  return u.map((_, p) => {
    let sum = 0;
    for (let q = 0; q < 9; q++) {
      const i = (Math.floor(p / w) - sign * (Math.floor(q / 3) - 1) + h) % h;
      const j = ((p % w) - sign * ((q % 3) - 1) + w) % w;
      sum += l[at + q]! * u[i * w + j]!;
    }
    return sum;
  });
}

function stencil(backward: boolean): Case {
  return defineCase<Planes>({
    name: `stencil-diffusion-2d/${backward ? 'forward-backward' : 'forward'}`,
    peer: `stencil-diffusion-2d${backward ? '-backward' : ''}`,
    peers: TORCH,
    dtype: 'float32',
    sizes: BATCH,
    small: SMALL,
    floors: ({ n, c, h, w }) => ({
      bytes: (backward ? 20 : 8) * n * c * h * w,
      flops: (backward ? 2.5 : 1) * 5 * log2(h * w) * n * c * h * w,
    }),
    inputBytes: ({ n, c, h, w }) => 4 * n * c * h * w * (backward ? 2 : 1),
    setup: (s, sets) => {
      const shape = [s.n, s.c, s.h, s.w];
      const u = inputSets(sets, shape, { requiresGrad: backward });
      const g = backward ? inputSets(sets, shape, { seed: 2 }) : [];
      const [l] = inputSets(1, [s.c, 3, 3], { seed: 3, requiresGrad: backward }) as [Tensor];
      const run = (set: number) => {
        const v = stencilDiffusion2d(u[set]!, l, { dt: s.dt });
        if (!backward) return v;
        clearGrads(u[set]!, l);
        v.backward(g[set]);
        return v;
      };
      const verify = () =>
        tidy(() => {
          const v = run(0).dataSync();
          const weights = l.dataSync();
          const check = (what: string, a: ArrayLike<number>, b: ArrayLike<number>) => {
            for (const [field, channel] of samples(s)) {
              const [from, to] = [plane(a, s, field, channel), plane(b, s, field, channel)];
              const image = convolve(to, s, weights, 9 * channel, 1);
              const back = convolve(image, s, weights, 9 * channel, -1);
              to.forEach((x, i) => expectClose(what, x + s.dt * back[i]!, from[i]!, 1e-3));
            }
          };
          check('v', u[0]!.dataSync(), v);
          if (!backward) return;
          const du = u[0]!.grad!.dataSync();
          check('du', g[0]!.dataSync(), du);
          // d<g, v> = -dt (<dL du, L v> + <L du, dL v>); the centre's derivative of L is the identity.
          let expected = 0;
          for (let b = 0; b < s.n; b++) {
            const [x, y] = [plane(du, s, b, 0), plane(v, s, b, 0)];
            const [lx, ly] = [convolve(x, s, weights, 0, 1), convolve(y, s, weights, 0, 1)];
            for (let i = 0; i < x.length; i++) expected -= s.dt * (x[i]! * ly[i]! + lx[i]! * y[i]!);
          }
          expectClose('dstencil', l.grad!.dataSync()[4]!, expected, 1e-3);
        });
      return { run, verify };
    },
  });
}

export const SPECTRAL_DIFFUSION: readonly Case[] = [
  ...VARIANTS.flatMap((variant) =>
    [false, true].map((backward) => spectral({ ...variant, backward })),
  ),
  stencil(false),
  stencil(true),
];
