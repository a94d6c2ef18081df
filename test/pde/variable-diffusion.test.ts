// Numerical properties of implicit diffusion with cell-centred diffusivity.
import { type Tensor, implicitDiffusion2d, setNumThreads, tensor, tidy, vjp } from '../../lib';
import {
  type FaceMean,
  type VariableDiffusionStep,
  variableDiffusion,
} from '../../lib/ops/diffusion-variable';
import { randomFloats } from '../cases/case';

type DType = 'float32' | 'float64';

const BOUNDARIES = ['neumann', 'dirichlet', 'periodic'] as const;
const SCHEMES = ['backward-euler', 'crank-nicolson'] as const;
const SPLITTINGS = ['lie', 'strang', 'douglas'] as const;

const BASE: VariableDiffusionStep = {
  ...{ dt: 0.9, dx: 0.7, dy: 1.2, dz: 0.8 },
  ...{ boundary: 'neumann', scheme: 'backward-euler', splitting: 'lie' },
};

const sizeOf = (shape: readonly number[]) => shape.reduce((a, b) => a * b, 1);
const noise = (shape: readonly number[], seed: number, low = -1, high = 1) =>
  randomFloats(sizeOf(shape), seed, low, high);

const field = (data: ArrayLike<number>, shape: readonly number[], dtype: DType = 'float64') =>
  tensor(Float64Array.from(data), { shape, dtype });

/** The step of one field [...cells], as numbers. */
function diffuse(
  u: ArrayLike<number>,
  k: ArrayLike<number>,
  cells: readonly number[],
  change: Partial<VariableDiffusionStep> = {},
  { faceMean = 'harmonic', dtype = 'float64' }: { faceMean?: FaceMean; dtype?: DType } = {},
): Float64Array {
  const shape = [1, 1, ...cells];
  return tidy(() =>
    Float64Array.from(
      variableDiffusion(
        'variableDiffusion',
        field(u, shape, dtype),
        field(k, shape, dtype),
        { ...BASE, ...change },
        faceMean,
      ).dataSync(),
    ),
  );
}

const sum = (a: ArrayLike<number>) => Array.from(a).reduce((total, v) => total + v, 0);
const maxDifference = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((m, v, i) => Math.max(m, Math.abs(v - b[i]!)), 0);

describe.each(BOUNDARIES)('%s', (boundary) => {
  test.each(SCHEMES)('a constant field is a constant diffusivity, %s', (scheme) => {
    const cells = [19, 34];
    const u = noise(cells, 1);
    const expected = tidy(() =>
      implicitDiffusion2d(field(u, [1, 1, ...cells]), 1.3, {
        ...{ dt: 0.9, dx: 0.7, dy: 1.2 },
        boundary,
        scheme,
      }).dataSync(),
    );
    for (const faceMean of ['harmonic', 'arithmetic'] as const) {
      const k = new Float64Array(u.length).fill(1.3);
      const v = diffuse(u, k, cells, { boundary, scheme }, { faceMean });
      expect(maxDifference(v, expected)).toBeLessThan(1e-13);
    }
  });

  test('backward Euler obeys the maximum principle', () => {
    const cells = [24, 37];
    const u = noise(cells, 2);
    const k = noise(cells, 3, 0, 1).map((v) => v ** 8);
    const v = diffuse(u, k, cells, { boundary, dt: 50 });
    const walls = boundary === 'dirichlet' ? [0] : [];
    expect(Math.min(...v)).toBeGreaterThanOrEqual(Math.min(...u, ...walls) - 1e-14);
    expect(Math.max(...v)).toBeLessThanOrEqual(Math.max(...u, ...walls) + 1e-14);
  });

  test('stays finite and bounded for dt = 1e6', () => {
    const cells = [31, 40];
    const u = noise(cells, 4);
    const k = noise(cells, 5, 0.01, 10);
    for (const scheme of SCHEMES) {
      const v = diffuse(u, k, cells, { boundary, scheme, dt: 1e6 });
      const norm = (a: Float64Array) => Math.sqrt(sum(a.map((x) => x * x)));
      expect(v.every(Number.isFinite)).toBe(true);
      // The splitting of operators that do not commute is not a contraction for Crank-Nicolson.
      expect(norm(v)).toBeLessThanOrEqual(norm(u) * (1 + 1e-9));
    }
  });
});

describe.each(['neumann', 'periodic'] as const)('%s conserves the sum', (boundary) => {
  test.each(SPLITTINGS)('%s', (splitting) => {
    for (const cells of [[200], [29, 34], [7, 9, 12]]) {
      for (const scheme of SCHEMES) {
        const u = noise(cells, 6);
        const k = noise(cells, 7, 0.1, 3);
        const v = diffuse(u, k, cells, { boundary, scheme, splitting });
        expect(Math.abs(sum(v) - sum(u))).toBeLessThan(1e-12 * u.length);
      }
    }
  });

  test('in float32 and with a step of 1e6 cell times too', () => {
    // 1 + tau k / dx^2 loses the 1 there: the pivots must be built without it.
    const cells = [64, 64];
    const u = noise(cells, 8, 0, 1);
    const k = noise(cells, 9, 0.5, 1.5);
    const v = diffuse(u, k, cells, { boundary, dt: 1e6 }, { dtype: 'float32' });
    expect(Math.abs(sum(v) / sum(u) - 1)).toBeLessThan(2e-5);
  });
});

test('the steady state across a material jump is exact with the harmonic mean', () => {
  // v is piecewise linear with flux q through the interface at a face; I - dt A changes its end cells only.
  const [n, q, dx, dt] = [40, 1.7, 0.25, 1e3];
  const k = Float64Array.from({ length: n }, (_, i) => (i < 13 ? 0.02 : 3));
  const v = new Float64Array(n);
  for (let i = 1; i < n; i++) v[i] = v[i - 1]! + ((q * dx) / 2) * (1 / k[i - 1]! + 1 / k[i]!);
  const u = Float64Array.from(v);
  u[0]! -= (dt * q) / dx;
  u[n - 1]! += (dt * q) / dx;
  const error = (faceMean: FaceMean) =>
    maxDifference(diffuse(u, k, [n], { dt, dx }, { faceMean }), v) / v[n - 1]!;
  expect(error('harmonic')).toBeLessThan(1e-10);
  expect(error('arithmetic')).toBeGreaterThan(1e-3);
});

test.each(['harmonic', 'arithmetic'] as const)('is of second order in dx, %s', (faceMean) => {
  // v = cos(pi x) on (0, 1) with k = 1 + sin(2 x) / 2 solves v - dt (k v')' = u.
  const dt = 0.3;
  const sizes = [16, 32, 64, 128];
  const errors = sizes.map((n) => {
    const at = (f: (x: number) => number) =>
      Float64Array.from({ length: n }, (_, i) => f((i + 0.5) / n));
    const k = (x: number) => 1 + Math.sin(2 * x) / 2;
    const u = at(
      (x) =>
        Math.cos(Math.PI * x) +
        dt *
          Math.PI *
          (Math.cos(2 * x) * Math.sin(Math.PI * x) + Math.PI * k(x) * Math.cos(Math.PI * x)),
    );
    const v = diffuse(u, at(k), [n], { dt, dx: 1 / n }, { faceMean });
    return maxDifference(
      v,
      at((x) => Math.cos(Math.PI * x)),
    );
  });
  for (let i = 1; i < sizes.length; i++) {
    expect(Math.abs(Math.log2(errors[i - 1]! / errors[i]!) - 2)).toBeLessThan(0.15);
  }
});

test('cells without diffusivity keep their values, and no gradient is NaN', () => {
  tidy(() => {
    const shape = [1, 1, 6, 7];
    const u = field(noise(shape, 10), shape);
    const k = field(new Float64Array(42), shape);
    for (const faceMean of ['harmonic', 'arithmetic'] as const) {
      for (const splitting of SPLITTINGS) {
        const { value, pullback } = vjp(
          (x: Tensor, y: Tensor) =>
            variableDiffusion('variableDiffusion', x, y, { ...BASE, splitting }, faceMean),
          u,
          k,
        );
        expect(maxDifference(value.dataSync(), u.dataSync())).toBeLessThan(1e-15);
        for (const g of pullback(value)) expect(g.dataSync().every(Number.isFinite)).toBe(true);
      }
    }
  });
});

/** Value and gradients in u and k, as arrays. */
function withGradients(
  u: Tensor,
  k: Tensor,
  change: Partial<VariableDiffusionStep>,
): ArrayLike<number>[] {
  const { value, pullback } = vjp(
    (x: Tensor, y: Tensor) =>
      variableDiffusion('variableDiffusion', x, y, { ...BASE, ...change }, 'harmonic'),
    u,
    k,
  );
  return [value, ...pullback(value)].map((t) => t.dataSync());
}

test.each(SPLITTINGS)('a plane beyond the cache gives the same bits, %s', (splitting) => {
  // One large plane is swept in parallel over its lines, several of them are blocks of their own.
  const cells = [130, 135];
  const u = noise(cells, 11);
  const k = noise(cells, 12, 0.1, 2);
  const four = <V>(value: ArrayLike<V>) => [0, 1, 2, 3].flatMap(() => Array.from(value));
  for (const boundary of BOUNDARIES) {
    tidy(() => {
      const change = { splitting, boundary };
      const one = withGradients(field(u, [1, 1, ...cells]), field(k, [1, 1, ...cells]), change);
      const many = withGradients(
        field(four(u), [4, 1, ...cells]),
        field(four(k), [4, 1, ...cells]),
        change,
      );
      one.forEach((values, i) => {
        expect(maxDifference(values, Array.from(many[i]!).slice(0, values.length))).toBe(0);
      });
    });
  }
});

test('a shared diffusivity gives the bits of its copies, for any number of threads', () => {
  const [samples, channels, cells] = [6, 5, [20, 33]];
  const shape = [samples, channels, ...cells];
  const u = field(noise(shape, 13), shape, 'float32');
  const one = noise(cells, 14, 0.1, 2);
  const shared = field(one, [1, 1, ...cells], 'float32');
  const copies = field(
    Array.from({ length: samples * channels }, () => Array.from(one)).flat(),
    shape,
    'float32',
  );
  tidy(() => {
    const [v, gu, gk] = withGradients(u, shared, {});
    const [w, gw] = withGradients(u, copies, {});
    expect(maxDifference(v!, w!)).toBe(0);
    expect(maxDifference(gu!, gw!)).toBe(0);
    setNumThreads(1);
    try {
      withGradients(u, shared, {}).forEach((values, i) =>
        expect(maxDifference(values, [v!, gu!, gk!][i]!)).toBe(0),
      );
    } finally {
      setNumThreads(2);
    }
  });
});

test('the gradient in the diffusivity keeps its digits for large steps', () => {
  const shape = [1, 1, 32, 32];
  const [u, k] = [noise(shape, 15), noise(shape, 16, 0.5, 2)];
  for (const scheme of SCHEMES) {
    const [single, double] = (['float32', 'float64'] as const).map((dtype) =>
      tidy(() =>
        withGradients(field(u, shape, dtype), field(k, shape, dtype), { dt: 1e3, scheme }),
      ),
    );
    const expected = double![2]!;
    const scale = Math.max(...Array.from(expected, Math.abs));
    expect(maxDifference(single![2]!, expected) / scale).toBeLessThan(5e-4);
  }
});

describe('bad input', () => {
  const u = () => tensor(new Float32Array(12), { shape: [1, 1, 3, 4] });
  const step = (k: Tensor) => () => variableDiffusion('implicitDiffusion2d', u(), k, BASE);

  test.each([
    ['dt', { dt: 0 }],
    ['dt', { dt: NaN }],
    ['dx', { dt: 1, dx: -1 }],
    ['dy', { dt: 1, dy: Infinity }],
    ['boundary', { dt: 1, boundary: 'open' }],
    ['scheme', { dt: 1, scheme: 'euler' }],
    ['splitting', { dt: 1, splitting: 'godunov' }],
    ['faceMean', { dt: 1, faceMean: 'geometric' }],
    ['spacing', { dt: 1, spacing: 2 }],
  ])('%s', (name, options) => {
    tidy(() => {
      const run = () => implicitDiffusion2d(u(), u(), options as never);
      const expected = { code: 'FLUXION_INVALID_ARGUMENT', op: 'implicitDiffusion2d' };
      expect(run).toThrow(expect.objectContaining(expected) as Error);
      expect(run).toThrow(name);
    });
  });

  test('the diffusivity', () => {
    tidy(() => {
      expect(step(tensor(new Float32Array(12), { shape: [1, 1, 4, 3] }))).toThrow(
        expect.objectContaining({
          code: 'FLUXION_SHAPE_MISMATCH',
          op: 'implicitDiffusion2d',
        }) as Error,
      );
      expect(step(tensor(new Float32Array(12), { shape: [1, 1, 4, 3] }))).toThrow(
        'a cell-centred diffusivity must have shape [1, 1, 3, 4], got [1, 1, 4, 3]',
      );
      expect(step(tensor(new Float64Array(12), { shape: [1, 1, 3, 4], dtype: 'float64' }))).toThrow(
        'diffusivity must be float32 as the input, got float64',
      );
    });
  });
});
