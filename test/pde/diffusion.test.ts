// Numerical properties of implicit diffusion: what the discretisation promises, checked in float64.
import { implicitDiffusion2d, tensor, tidy, type Tensor, tridiagonalSolve } from '../../lib';
import { randomFloats } from '../cases/case';

type Boundary = 'neumann' | 'dirichlet' | 'periodic';
type Scheme = 'backward-euler' | 'crank-nicolson';

const BOUNDARIES: Boundary[] = ['neumann', 'dirichlet', 'periodic'];
const SCHEMES: Scheme[] = ['backward-euler', 'crank-nicolson'];
const BOTH = BOUNDARIES.flatMap((boundary) => SCHEMES.map((scheme) => ({ boundary, scheme })));

interface Field {
  data: Float64Array;
  height: number;
  width: number;
}

function field(height: number, width: number, value: (i: number, j: number) => number): Field {
  const data = Float64Array.from({ length: height * width }, (_, p) =>
    value(Math.floor(p / width), p % width),
  );
  return { data, height, width };
}

const noise = (height: number, width: number, seed: number): Field => ({
  data: randomFloats(height * width, seed, -1, 1),
  height,
  width,
});

interface Step {
  kx: number;
  ky: number;
  dt: number;
  dx: number;
  dy: number;
  boundary: Boundary;
  scheme: Scheme;
}

function diffuse(u: Field, { kx, ky, dt, dx, dy, boundary, scheme }: Step): Field {
  const data = tidy(() => {
    const x = tensor(u.data, { shape: [1, 1, u.height, u.width], dtype: 'float64' });
    const k = tensor([[kx, ky]], { dtype: 'float64' });
    return implicitDiffusion2d(x, k, { dt, dx, dy, boundary, scheme }).dataSync() as Float64Array;
  });
  return { ...u, data };
}

/** u + factor * D u along x or y. */
function apply(u: Field, axis: 'x' | 'y', factor: number, boundary: Boundary): Field {
  const n = axis === 'x' ? u.width : u.height;
  const at = (i: number, j: number, q: number): number => {
    if (q < 0 || q >= n) {
      if (boundary === 'dirichlet') return 0;
      q = boundary === 'neumann' ? (q < 0 ? 0 : n - 1) : (q + n) % n;
    }
    return axis === 'x' ? u.data[i * u.width + q]! : u.data[q * u.width + j]!;
  };
  return field(u.height, u.width, (i, j) => {
    const q = axis === 'x' ? j : i;
    return at(i, j, q) + factor * (at(i, j, q - 1) - 2 * at(i, j, q) + at(i, j, q + 1));
  });
}

const dot = (a: Field, b: Field) => a.data.reduce((sum, v, i) => sum + v * b.data[i]!, 0);
const maxDifference = (a: Field, b: Field) =>
  a.data.reduce((m, v, i) => Math.max(m, Math.abs(v - b.data[i]!)), 0);

const base: Omit<Step, 'boundary' | 'scheme'> = { kx: 0.8, ky: 1.7, dt: 0.9, dx: 0.7, dy: 1.2 };

describe.each(BOTH)('$boundary, $scheme', ({ boundary, scheme }) => {
  const step: Step = { ...base, boundary, scheme };

  test.each([
    [1, 1],
    [1, 9],
    [2, 3],
    [17, 16],
    [33, 70],
  ])('the result solves the equations, %i x %i', (height, width) => {
    const u = noise(height, width, 1);
    const w = diffuse(u, step);
    const implicit = scheme === 'crank-nicolson' ? 0.5 : 1;
    const rx = (step.kx * step.dt) / step.dx ** 2;
    const ry = (step.ky * step.dt) / step.dy ** 2;
    const left = apply(apply(w, 'x', -implicit * rx, boundary), 'y', -implicit * ry, boundary);
    const explicit = 1 - implicit;
    const right = apply(apply(u, 'x', explicit * rx, boundary), 'y', explicit * ry, boundary);
    expect(maxDifference(left, right)).toBeLessThan(1e-12);
  });

  test('the operator is its own adjoint', () => {
    const u = noise(23, 18, 2);
    const v = noise(23, 18, 3);
    const scale = Math.sqrt(dot(u, u) * dot(v, v));
    expect(Math.abs(dot(diffuse(u, step), v) - dot(u, diffuse(v, step))) / scale).toBeLessThan(
      1e-12,
    );
  });

  test('discrete eigenmodes are damped exactly', () => {
    const [height, width] = [12, 20];
    for (const [p, q] of [
      [0, 0],
      [1, 3],
      [5, 9],
    ] as const) {
      // Angle between neighbouring cells of mode m, and the mode itself.
      const theta = (m: number, n: number) =>
        ({
          neumann: (Math.PI * m) / n,
          dirichlet: (Math.PI * (m + 1)) / (n + 1),
          periodic: (2 * Math.PI * m) / n,
        })[boundary];
      const mode = (m: number, n: number, i: number) =>
        ({
          neumann: Math.cos(theta(m, n) * (i + 0.5)),
          dirichlet: Math.sin(theta(m, n) * (i + 1)),
          periodic: Math.cos(theta(m, n) * i + 0.3),
        })[boundary];
      const u = field(height, width, (i, j) => mode(p, height, i) * mode(q, width, j));
      const damping = (k: number, angle: number, spacing: number) => {
        const z = (k * step.dt * (2 - 2 * Math.cos(angle))) / spacing ** 2;
        return scheme === 'backward-euler' ? 1 / (1 + z) : (1 - z / 2) / (1 + z / 2);
      };
      const factor =
        damping(step.kx, theta(q, width), step.dx) * damping(step.ky, theta(p, height), step.dy);
      const expected = { ...u, data: u.data.map((v) => factor * v) };
      expect(maxDifference(diffuse(u, step), expected)).toBeLessThan(1e-13);
    }
  });

  test('stays finite and bounded for dt = 1e6', () => {
    const u = noise(31, 40, 4);
    const w = diffuse(u, { ...step, dt: 1e6 });
    expect(w.data.every(Number.isFinite)).toBe(true);
    expect(Math.sqrt(dot(w, w))).toBeLessThanOrEqual(Math.sqrt(dot(u, u)) * (1 + 1e-12));
  });

  test('converges in dt with the order of the scheme', () => {
    // One mode of the semi-discrete problem, whose exact solution is known, integrated to time 1.
    const [height, width] = [8, 8];
    const angle = { neumann: Math.PI / 8, dirichlet: Math.PI / 9, periodic: Math.PI / 4 }[boundary];
    const shape = (i: number) =>
      ({
        neumann: Math.cos(angle * (i + 0.5)),
        dirichlet: Math.sin(angle * (i + 1)),
        periodic: Math.cos(angle * i),
      })[boundary];
    const u = field(height, width, (i, j) => shape(i) * shape(j));
    const lambda = 2 - 2 * Math.cos(angle);
    const exact = Math.exp(-(0.8 + 1.7) * lambda);
    const steps = [4, 8, 16, 32];
    const errors = steps.map((n) => {
      let w = u;
      for (let i = 0; i < n; i++) w = diffuse(w, { ...step, dx: 1, dy: 1, dt: 1 / n });
      return Math.abs(dot(w, u) / dot(u, u) - exact);
    });
    const order = slope(
      steps.map((n) => Math.log(1 / n)),
      errors.map(Math.log),
    );
    expect(Math.abs(order - (scheme === 'backward-euler' ? 1 : 2))).toBeLessThan(0.1);
  });
});

/** Slope of the regression line. */
function slope(x: number[], y: number[]): number {
  const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length;
  const [mx, my] = [mean(x), mean(y)];
  const covariance = x.reduce((sum, v, i) => sum + (v - mx) * (y[i]! - my), 0);
  return covariance / x.reduce((sum, v) => sum + (v - mx) ** 2, 0);
}

test.each(['neumann', 'periodic'] as const)('%s conserves the mean', (boundary) => {
  for (const scheme of SCHEMES) {
    const u = noise(29, 34, 5);
    const w = diffuse(u, { ...base, boundary, scheme });
    const total = (f: Field) => f.data.reduce((a, b) => a + b, 0);
    expect(Math.abs(total(w) - total(u))).toBeLessThan(1e-12 * u.data.length);
  }
});

test.each(BOUNDARIES)('backward Euler obeys the maximum principle, %s', (boundary) => {
  const u = noise(24, 37, 6);
  const w = diffuse(u, { ...base, dt: 50, boundary, scheme: 'backward-euler' });
  const lowest = Math.min(...u.data, ...(boundary === 'dirichlet' ? [0] : []));
  const highest = Math.max(...u.data, ...(boundary === 'dirichlet' ? [0] : []));
  expect(Math.min(...w.data)).toBeGreaterThanOrEqual(lowest - 1e-14);
  expect(Math.max(...w.data)).toBeLessThanOrEqual(highest + 1e-14);
});

test('is of second order in dx', () => {
  // u_t = Lap u on the unit square with zero flux, u = cos(pi x) cos(pi y); time error negligible.
  const sizes = [8, 16, 32, 64];
  const errors = sizes.map((n) => {
    const h = 1 / n;
    const u = field(
      n,
      n,
      (i, j) => Math.cos(Math.PI * h * (i + 0.5)) * Math.cos(Math.PI * h * (j + 0.5)),
    );
    let w = u;
    for (let i = 0; i < 40; i++) {
      w = diffuse(w, {
        kx: 1,
        ky: 1,
        dt: 0.05 / 40,
        dx: h,
        dy: h,
        boundary: 'neumann',
        scheme: 'crank-nicolson',
      });
    }
    const exact = Math.exp(-2 * Math.PI ** 2 * 0.05);
    return maxDifference(w, { ...u, data: u.data.map((v) => exact * v) });
  });
  const order = slope(
    sizes.map((n) => Math.log(1 / n)),
    errors.map(Math.log),
  );
  expect(Math.abs(order - 2)).toBeLessThan(0.1);
});

describe('tridiagonalSolve', () => {
  const multiply = (
    l: Float64Array,
    d: Float64Array,
    u: Float64Array,
    x: Float64Array,
    periodic: boolean,
  ) =>
    x.map((_, i) => {
      const n = x.length;
      const below = i > 0 ? x[i - 1]! : periodic ? x[n - 1]! : 0;
      const above = i < n - 1 ? x[i + 1]! : periodic ? x[0]! : 0;
      return l[i]! * below + d[i]! * x[i]! + u[i]! * above;
    });

  test.each([1, 2, 3, 16, 101])('solves systems of %i unknowns, periodic or not', (n) => {
    for (const periodic of [false, true]) {
      const [l, u, b] = [7, 8, 9].map((seed) => randomFloats(n, seed, -1, 1)) as [
        Float64Array,
        Float64Array,
        Float64Array,
      ];
      const d = randomFloats(n, 10, 2.5, 4);
      const x = tidy(() => {
        const given = [l, d, u, b].map((v) => tensor(v, { dtype: 'float64' })) as [
          Tensor,
          Tensor,
          Tensor,
          Tensor,
        ];
        return tridiagonalSolve(...given, { periodic }).dataSync() as Float64Array;
      });
      const residual = multiply(l, d, u, x, periodic).map((v, i) => Math.abs(v - b[i]!));
      expect(Math.max(...residual)).toBeLessThan(1e-13);
    }
  });

  test('broadcasts coefficients and solves along any axis', () => {
    tidy(() => {
      const coefficients = [-1, 4, -1].map((v) =>
        tensor(v, { dtype: 'float64' }).reshape([1, 1, 1]),
      );
      const rhs = tensor(randomFloats(2 * 5 * 3, 11, -1, 1), {
        shape: [2, 5, 3],
        dtype: 'float64',
      });
      const [l, d, u] = coefficients as [Tensor, Tensor, Tensor];
      const along = tridiagonalSolve(l, d, u, rhs, { axis: 1 });
      const moved = tridiagonalSolve(l, d, u, rhs.permute([0, 2, 1])).permute([0, 2, 1]);
      expect(along.dataSync()).toEqual(moved.dataSync());
    });
  });
});

describe('bad input', () => {
  const u = () =>
    tensor([
      [
        [
          [1, 2],
          [3, 4],
        ],
      ],
    ]);
  test.each([
    ['dt', { dt: 0 }],
    ['dt', { dt: NaN }],
    ['dx', { dt: 1, dx: -1 }],
    ['dy', { dt: 1, dy: Infinity }],
    ['boundary', { dt: 1, boundary: 'open' }],
    ['scheme', { dt: 1, scheme: 'euler' }],
    ['spacing', { dt: 1, spacing: 2 }],
  ])('%s', (name, options) => {
    tidy(() => {
      expect(() => implicitDiffusion2d(u(), 1, options as never)).toThrow(
        expect.objectContaining({
          code: 'FLUXION_INVALID_ARGUMENT',
          op: 'implicitDiffusion2d',
        }) as Error,
      );
      expect(() => implicitDiffusion2d(u(), 1, options as never)).toThrow(name);
    });
  });

  test('the diffusivity', () => {
    tidy(() => {
      expect(() => implicitDiffusion2d(u(), -1, { dt: 1 })).toThrow(
        'diffusivity must be a finite number >= 0, got -1',
      );
      expect(() => implicitDiffusion2d(u(), tensor([1, 2, 3]), { dt: 1 })).toThrow(
        'implicitDiffusion2d: diffusivity must have shape [1] or [1, 2], got [3]',
      );
      expect(() => implicitDiffusion2d(u(), tensor([1], { dtype: 'float64' }), { dt: 1 })).toThrow(
        'float32',
      );
      expect(() => implicitDiffusion2d(tensor([1, 2]), 1, { dt: 1 })).toThrow('[N, C, H, W]');
    });
  });
});
