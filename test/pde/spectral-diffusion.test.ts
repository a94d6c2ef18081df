// Numerical properties of spectral and stencil diffusion, checked in float64.
import {
  type Tensor,
  spectralDiffusion1d,
  spectralDiffusion2d,
  spectralDiffusion3d,
  stencilDiffusion2d,
  tensor,
  tidy,
  tridiagonalSolve,
} from '../../lib';
import { randomFloats } from '../cases/case';
import { eigenbasis } from '../cases/spectral-diffusion';

type Boundary = 'neumann' | 'dirichlet' | 'periodic';
type Scheme = 'backward-euler' | 'crank-nicolson' | 'exponential';

const BOUNDARIES: Boundary[] = ['neumann', 'dirichlet', 'periodic'];
const SCHEMES: Scheme[] = ['backward-euler', 'crank-nicolson', 'exponential'];
const SIZES = [1, 2, 3, 15, 16, 17, 31, 64, 100, 127];

const double = (data: ArrayLike<number>, shape: readonly number[]) =>
  tensor(Float64Array.from(data), { shape, dtype: 'float64' });
const values = (fn: () => Tensor) => tidy(() => fn().dataSync());
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) => {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i]! * b[i]!;
  return sum;
};

function expectNear(actual: ArrayLike<number>, expected: ArrayLike<number>, tolerance: number) {
  expect(actual.length).toBe(expected.length);
  let worst = 0;
  for (let i = 0; i < actual.length; i++) {
    const off = Math.abs(actual[i]! - expected[i]!);
    if (!(off <= worst)) worst = off; // NaN counts
  }
  expect(worst).toBeLessThan(tolerance);
}

/** The second difference (times dx^2) along x or y of a plane. */
function difference(u: ArrayLike<number>, w: number, axis: 'x' | 'y', boundary: Boundary) {
  const n = axis === 'x' ? w : u.length / w;
  const stride = axis === 'x' ? 1 : w;
  return Float64Array.from(u, (value, p) => {
    const q = axis === 'x' ? p % w : Math.floor(p / w);
    const at = (to: number) => {
      if (to >= 0 && to < n) return u[p + (to - q) * stride]!;
      if (boundary === 'neumann') return value;
      return boundary === 'dirichlet' ? 0 : u[p + (((to + n) % n) - q) * stride]!;
    };
    return at(q - 1) - 2 * value + at(q + 1);
  });
}

describe.each(BOUNDARIES)('%s', (boundary) => {
  test.each(SIZES)('agrees with the tridiagonal solve on lines of %i cells', (n) => {
    const [dt, dx, k] = [0.7, 0.6, 1.3];
    const r = (dt * k) / dx ** 2;
    const u = randomFloats(2 * n, n);
    const diagonal = Float64Array.from({ length: n }, (_, i) => {
      const walls = boundary === 'neumann' ? Number(i === 0) + Number(i === n - 1) : 0;
      return 1 + (2 - walls) * r;
    });
    const off = new Float64Array(n).fill(-r);
    const solved = values(() =>
      tridiagonalSolve(
        double(off, [n]),
        double(diagonal, [n]),
        double(off, [n]),
        double(u, [2, n]),
        {
          periodic: boundary === 'periodic',
        },
      ),
    );
    const spectral = values(() =>
      spectralDiffusion1d(double(u, [2, 1, n]), k, { dt, dx, boundary }),
    );
    expectNear(spectral, solved, 1e-13);
  });

  test.each([
    [1, 9],
    [2, 3],
    [17, 16],
    [33, 70],
  ])('solves the unsplit equations, %i x %i', (h, w) => {
    const [dt, dx, dy, kx, ky] = [0.9, 0.7, 1.2, 0.8, 1.7];
    const u = randomFloats(h * w, 3);
    for (const scheme of ['backward-euler', 'crank-nicolson'] as const) {
      const v = values(() =>
        spectralDiffusion2d(double(u, [1, 1, h, w]), double([kx, ky], [1, 2]), {
          ...{ dt, dx, dy, boundary, scheme },
        }),
      );
      const apply = (f: ArrayLike<number>, factor: number) => {
        const [xx, yy] = [difference(f, w, 'x', boundary), difference(f, w, 'y', boundary)];
        return Float64Array.from(f, (value, i) => {
          return value + factor * dt * ((kx * xx[i]!) / dx ** 2 + (ky * yy[i]!) / dy ** 2);
        });
      };
      const implicit = scheme === 'backward-euler' ? 1 : 0.5;
      expectNear(apply(v, -implicit), apply(u, 1 - implicit), 1e-12);
    }
  });

  test.each(SCHEMES)('%s multiplies every mode by its factor', (scheme) => {
    const [h, w, dt, dx, dy, k] = [12, 15, 0.3, 0.9, 1.1, 0.8];
    const [alongY, alongX] = [eigenbasis(h, boundary), eigenbasis(w, boundary)];
    for (const symbol of ['discrete', 'continuous'] as const) {
      for (const power of [1, 0.5, 2]) {
        for (const [p, q] of [
          [0, 0],
          [1, 4],
          [7, 10],
          [11, 14],
        ] as const) {
          const wave = (angle: number) => (symbol === 'discrete' ? 2 * Math.sin(angle / 2) : angle);
          const lambda = (wave(alongX.angles[q]!) / dx) ** 2 + (wave(alongY.angles[p]!) / dy) ** 2;
          const z = dt * k * lambda ** power;
          const factor = {
            'backward-euler': 1 / (1 + z),
            'crank-nicolson': (1 - z / 2) / (1 + z / 2),
            exponential: Math.exp(-z),
          }[scheme];
          const mode = Float64Array.from(
            { length: h * w },
            (_, i) => alongY.vectors[p]![Math.floor(i / w)]! * alongX.vectors[q]![i % w]!,
          );
          const options = { dt, dx, dy, boundary, scheme, symbol, power };
          const v = values(() => spectralDiffusion2d(double(mode, [1, 1, h, w]), k, options));
          expectNear(
            v,
            mode.map((x) => factor * x),
            1e-14,
          );
        }
      }
    }
  });

  test('the exponential of two half steps is that of one step', () => {
    const u = randomFloats(2 * 13 * 18, 5);
    const step = (x: Tensor, dt: number) =>
      spectralDiffusion2d(x, 0.6, { dt, boundary, scheme: 'exponential', power: 0.7 });
    const field = () => double(u, [1, 2, 13, 18]);
    const halves = values(() => step(step(field(), 0.4), 0.4));
    expectNear(
      values(() => step(field(), 0.8)),
      halves,
      1e-14,
    );
  });

  test('is its own adjoint in 1d, 2d and 3d', () => {
    const [a, b] = [randomFloats(210, 6), randomFloats(210, 7)];
    const step = (data: Float64Array, dims: number) =>
      values(() => {
        const options = { dt: 0.7, boundary, scheme: 'crank-nicolson' } as const;
        if (dims === 1) return spectralDiffusion1d(double(data, [1, 2, 105]), 0.9, options);
        if (dims === 2) return spectralDiffusion2d(double(data, [1, 2, 7, 15]), 0.9, options);
        return spectralDiffusion3d(double(data, [1, 2, 5, 3, 7]), 0.9, options);
      });
    for (const dims of [1, 2, 3]) {
      const scale = Math.sqrt(dot(a, a) * dot(b, b));
      expect(Math.abs(dot(step(a, dims), b) - dot(a, step(b, dims))) / scale).toBeLessThan(1e-12);
    }
  });

  test('planes that do not fit the cache', () => {
    const [h, w, k, dt] = [600, 1030, 0.7, 1.5];
    const u = randomFloats(h * w, 8);
    const v = values(() => spectralDiffusion2d(double(u, [1, 1, h, w]), k, { dt, boundary }));
    const [xx, yy] = [difference(v, w, 'x', boundary), difference(v, w, 'y', boundary)];
    expectNear(
      v.map((value: number, i: number) => value - dt * k * (xx[i]! + yy[i]!)),
      u,
      1e-11,
    );
  });
});

test('anisotropic powers agree with isotropic ones where the diffusivities are equal', () => {
  const u = randomFloats(9 * 10, 9);
  const step = (k: Tensor) =>
    spectralDiffusion2d(double(u, [1, 1, 9, 10]), k, {
      dt: 0.8,
      power: 1.7,
      scheme: 'exponential',
    });
  expectNear(
    values(() => step(double([0.6, 0.6], [1, 2]))),
    values(() => step(double([0.6], [1]))),
    1e-13,
  );
});

test.each(['neumann', 'periodic'] as const)('%s conserves the mean', (boundary) => {
  const u = randomFloats(29 * 34, 10);
  const total = (x: ArrayLike<number>) => dot(x, new Float64Array(x.length).fill(1));
  for (const scheme of SCHEMES) {
    const v = values(() =>
      spectralDiffusion2d(double(u, [1, 1, 29, 34]), 1.1, { dt: 3, boundary, scheme }),
    );
    expect(Math.abs(total(v) - total(u))).toBeLessThan(1e-11);
  }
});

test.each(SCHEMES)('%s stays finite and bounded for large dt, with gradients', (scheme) => {
  tidy(() => {
    for (const dtype of ['float32', 'float64'] as const) {
      const u = tensor(randomFloats(20 * 24, 11), { shape: [1, 1, 20, 24], dtype });
      const k = tensor([1.3], { dtype });
      k.requiresGrad = true;
      const v = spectralDiffusion2d(u, k, { dt: 1e6, dx: 1e-3, scheme, power: 3 });
      v.mul(v).sum().backward();
      expect(Number.isFinite(k.grad!.item())).toBe(true);
      expect(v.mul(v).sum().item()).toBeLessThanOrEqual(u.mul(u).sum().item() * 1.00001);
    }
  });
});

test('the continuous symbol moves a Gaussian exactly like the heat kernel', () => {
  // On a circle of length 8 a Gaussian of variance s becomes one of variance s + 2 k t.
  const [n, length, k, dt] = [64, 8, 0.05, 2];
  const dx = length / n;
  const gaussian = (variance: number) =>
    Float64Array.from({ length: n }, (_, i) => {
      let sum = 0;
      for (let image = -3; image <= 3; image++) {
        const x = i * dx - length / 2 + image * length;
        sum += Math.exp(-(x ** 2) / (2 * variance)) / Math.sqrt(variance);
      }
      return sum;
    });
  const v = values(() =>
    spectralDiffusion1d(double(gaussian(0.3), [1, 1, n]), k, {
      ...{ dt, dx, boundary: 'periodic', scheme: 'exponential', symbol: 'continuous' },
    }),
  );
  expectNear(v, gaussian(0.3 + 2 * k * dt), 1e-13);
});

describe('stencilDiffusion2d', () => {
  /** The cyclic convolution of a plane with a stencil; `sign` -1 is the adjoint. */
  const convolve = (
    u: ArrayLike<number>,
    h: number,
    w: number,
    l: ArrayLike<number>,
    sign: 1 | -1,
  ) =>
    Float64Array.from({ length: h * w }, (_, p) => {
      let sum = 0;
      for (let q = 0; q < 9; q++) {
        const i = (Math.floor(p / w) - sign * (Math.floor(q / 3) - 1) + 2 * h) % h;
        const j = ((p % w) - sign * ((q % 3) - 1) + 2 * w) % w;
        sum += l[q]! * u[i * w + j]!;
      }
      return sum;
    });

  test.each([
    [1, 1],
    [2, 2],
    [3, 64],
    [31, 100],
    [64, 64],
    [127, 17],
  ])('solves (I + dt L^T L) v = u, %i x %i', (h, w) => {
    const [u, l, dt] = [randomFloats(h * w, 12), randomFloats(9, 13), 2.5];
    const v = values(() =>
      stencilDiffusion2d(double(u, [1, 1, h, w]), double(l, [1, 3, 3]), { dt }),
    );
    const image = convolve(convolve(v, h, w, l, 1), h, w, l, -1);
    expectNear(
      v.map((value: number, i: number) => value + dt * image[i]!),
      u,
      1e-12,
    );
  });

  test('a stencil of sum 0 conserves the mean, a mirrored one is the same operator', () => {
    const u = randomFloats(15 * 12, 14);
    const l = randomFloats(9, 15);
    const mean = l.reduce((a, b) => a + b, 0) / 9;
    const step = (stencil: Float64Array) =>
      values(() =>
        stencilDiffusion2d(double(u, [1, 1, 15, 12]), double(stencil, [1, 3, 3]), { dt: 4 }),
      );
    const v = step(l.map((x) => x - mean));
    expect(Math.abs(dot(v, v.slice().fill(1)) - dot(u, u.slice().fill(1)))).toBeLessThan(1e-12);
    expectNear(step(l), step(l.slice().reverse()), 1e-14);
  });

  test('with the 5-point Laplacian and the square root of k it is spectral diffusion of power 2', () => {
    const u = randomFloats(16 * 20, 16);
    const root = Math.sqrt(0.6);
    const laplacian = [0, 1, 0, 1, -4, 1, 0, 1, 0].map((x) => root * x);
    const options = { dt: 0.9, boundary: 'periodic', power: 2 } as const;
    expectNear(
      values(() =>
        stencilDiffusion2d(double(u, [1, 1, 16, 20]), double(laplacian, [1, 3, 3]), { dt: 0.9 }),
      ),
      values(() => spectralDiffusion2d(double(u, [1, 1, 16, 20]), 0.6, options)),
      1e-13,
    );
  });
});

describe('bad input', () => {
  const u = (ndim: number) => tensor([1, 2], { shape: [...Array<number>(ndim - 1).fill(1), 2] });
  const BAD: [string, object][] = [
    ['dt', { dt: 0 }],
    ['dt', {}],
    ['dx', { dt: 1, dx: -1 }],
    ['power', { dt: 1, power: 0 }],
    ['power', { dt: 1, power: Infinity }],
    ['boundary', { dt: 1, boundary: 'open' }],
    ['scheme', { dt: 1, scheme: 'euler' }],
    ['symbol', { dt: 1, symbol: 'exact' }],
    ['spacing', { dt: 1, spacing: 2 }],
  ];
  const FUNCTIONS = [
    ['spectralDiffusion1d', spectralDiffusion1d, 3, []],
    ['spectralDiffusion2d', spectralDiffusion2d, 4, [['dy', { dt: 1, dy: Infinity }]]],
    ['spectralDiffusion3d', spectralDiffusion3d, 5, [['dz', { dt: 1, dz: 0 }]]],
  ] as const;
  test.each(FUNCTIONS)('options of %s', (op, fn, ndim, more) => {
    tidy(() => {
      for (const [name, options] of [...BAD, ...more]) {
        const call = () => fn(u(ndim), 1, options as never);
        expect(call).toThrow(
          expect.objectContaining({ code: 'FLUXION_INVALID_ARGUMENT', op }) as Error,
        );
        expect(call).toThrow(name);
      }
    });
  });

  test('options that a dimension does not have', () => {
    tidy(() => {
      expect(() => spectralDiffusion1d(u(3), 1, { dt: 1, dy: 1 } as never)).toThrow(
        "there is no option 'dy'",
      );
      expect(() => spectralDiffusion2d(u(4), 1, { dt: 1, dz: 1 } as never)).toThrow(
        "there is no option 'dz'",
      );
    });
  });

  test('shapes and dtypes', () => {
    tidy(() => {
      expect(() => spectralDiffusion2d(u(4), -1, { dt: 1 })).toThrow(
        'spectralDiffusion2d: diffusivity must be a finite number >= 0, got -1',
      );
      expect(() => spectralDiffusion2d(u(4), tensor([1, 2, 3]), { dt: 1 })).toThrow(
        'spectralDiffusion2d: diffusivity must have shape [1] or [1, 2], got [3]',
      );
      expect(() => spectralDiffusion1d(u(3), tensor([1], { dtype: 'float64' }), { dt: 1 })).toThrow(
        'diffusivity must be float32 as the input, got float64',
      );
      expect(() => spectralDiffusion3d(u(4), 1, { dt: 1 })).toThrow(
        'input must have shape [N, C, D, H, W]',
      );
      expect(() => spectralDiffusion1d(u(3).to('int32'), 1, { dt: 1 })).toThrow(
        'spectralDiffusion1d',
      );
      const stencil = tensor([1, 2, 3], { shape: [1, 1, 3] });
      expect(() => stencilDiffusion2d(u(4), stencil, { dt: 1 })).toThrow(
        expect.objectContaining({
          code: 'FLUXION_SHAPE_MISMATCH',
          op: 'stencilDiffusion2d',
        }) as Error,
      );
      expect(() => stencilDiffusion2d(u(3), stencil, { dt: 1 })).toThrow('[N, C, H, W]');
      const nine = tensor(randomFloats(9, 1), { shape: [1, 3, 3], dtype: 'float32' });
      expect(() => stencilDiffusion2d(u(4), nine, { dt: -1 })).toThrow('dt');
    });
  });
});
