// Implicit diffusion in 1, 2 and 3 dimensions with every splitting, in float64: exact damping of discrete
// eigenmodes, order in dt, steady states, agreement of splittings, and channels larger than the cache.
import {
  type Tensor,
  implicitDiffusion1d,
  implicitDiffusion2d,
  implicitDiffusion3d,
  tensor,
  tidy,
} from '../../lib';
import { randomFloats, sizeOf } from '../cases/case';

type Boundary = 'neumann' | 'dirichlet' | 'periodic';
type Scheme = 'backward-euler' | 'crank-nicolson';
type Splitting = 'lie' | 'strang' | 'douglas';

interface Step {
  dt: number;
  boundary: Boundary;
  scheme: Scheme;
  splitting?: Splitting;
}

const BOUNDARIES: Boundary[] = ['neumann', 'dirichlet', 'periodic'];
const SCHEMES: Scheme[] = ['backward-euler', 'crank-nicolson'];
const SPLITTINGS: Splitting[] = ['lie', 'strang', 'douglas'];
// k of x, y, z; spacings are 1.
const RATES = [0.8, 1.7, 0.4];

const DIFFUSE = [implicitDiffusion1d, implicitDiffusion2d, implicitDiffusion3d] as ((
  u: Tensor,
  k: Tensor,
  options: Step,
) => Tensor)[];

function diffuse(data: Float64Array, shape: readonly number[], step: Step): Float64Array {
  const axes = shape.length;
  const options = { ...step };
  if (axes === 1) delete options.splitting;
  return tidy(() => {
    const u = tensor(data, { shape: [1, 1, ...shape], dtype: 'float64' });
    const k = tensor([RATES.slice(0, axes)], { dtype: 'float64' });
    return DIFFUSE[axes - 1]!(u, k, options).dataSync() as Float64Array;
  });
}

const largest = (a: Float64Array, b: Float64Array) =>
  a.reduce((m, v, i) => Math.max(m, Math.abs(v - b[i]!)), 0);

/** A product of eigenmodes of the axes, with their angles. */
function eigenmode(shape: readonly number[], modes: readonly number[], boundary: Boundary) {
  const extents = [...shape].reverse();
  const angles = extents.map(
    (n, a) =>
      ({
        neumann: (Math.PI * modes[a]!) / n,
        dirichlet: (Math.PI * (modes[a]! + 1)) / (n + 1),
        periodic: (2 * Math.PI * modes[a]!) / n,
      })[boundary],
  );
  const wave = (angle: number, i: number) =>
    ({
      neumann: Math.cos(angle * (i + 0.5)),
      dirichlet: Math.sin(angle * (i + 1)),
      periodic: Math.cos(angle * i + 0.3),
    })[boundary];
  const data = new Float64Array(sizeOf(shape)).fill(1);
  let stride = 1;
  extents.forEach((n, a) => {
    const values = Array.from({ length: n }, (_, i) => wave(angles[a]!, i));
    for (let p = 0; p < data.length; p++) data[p]! *= values[Math.floor(p / stride) % n]!;
    stride *= n;
  });
  return { data, angles };
}

/** By what a step multiplies an eigenmode: straight from the definitions. */
function damping(angles: readonly number[], { dt, scheme, splitting }: Step): number {
  const theta = scheme === 'crank-nicolson' ? 0.5 : 1;
  const z = angles.map((angle, a) => -dt * RATES[a]! * (2 - 2 * Math.cos(angle)));
  if (splitting === 'douglas' && angles.length > 1) {
    let v = 1 + z.reduce((a, b) => a + b, 0);
    for (const za of z) v = (v - theta * za) / (1 - theta * za);
    return v;
  }
  const factor = (x: number) => (1 + (1 - theta) * x) / (1 - theta * x);
  const halved = (a: number) => splitting === 'strang' && a + 1 < z.length;
  return z.reduce((v, za, a) => v * (halved(a) ? factor(za / 2) ** 2 : factor(za)), 1);
}

const SHAPES: { shape: number[]; modes: number[] }[] = [
  { shape: [20], modes: [3] },
  { shape: [12, 20], modes: [3, 1] },
  { shape: [6, 9, 17], modes: [2, 1, 3] },
];

describe.each(BOUNDARIES.flatMap((boundary) => SCHEMES.map((scheme) => ({ boundary, scheme }))))(
  '$boundary, $scheme',
  ({ boundary, scheme }) => {
    test.each(SPLITTINGS)('discrete eigenmodes are damped exactly, %s', (splitting) => {
      for (const { shape, modes } of SHAPES) {
        const step: Step = { dt: 0.9, boundary, scheme, splitting };
        const { data, angles } = eigenmode(shape, modes, boundary);
        const factor = damping(angles, step);
        expect(
          largest(
            diffuse(data, shape, step),
            data.map((v) => factor * v),
          ),
        ).toBeLessThan(1e-13);
      }
    });

    test.each([
      ['a plane', [300, 450]],
      ['a volume whose planes fit the cache', [60, 50, 50]],
      ['a volume whose planes do not', [2, 300, 450]],
    ])('%s larger than the cache is damped exactly too', (_, shape) => {
      const { data, angles } = eigenmode(shape, [5, 3, 1], boundary);
      for (const splitting of SPLITTINGS) {
        const step: Step = { dt: 0.9, boundary, scheme, splitting };
        const factor = damping(angles, step);
        expect(
          largest(
            diffuse(data, shape, step),
            data.map((v) => factor * v),
          ),
        ).toBeLessThan(1e-12);
      }
    });

    test('no splitting amplifies anything for dt = 1e6', () => {
      for (const { shape } of SHAPES) {
        const data = randomFloats(sizeOf(shape), 4, -1, 1);
        const norm = (x: Float64Array) => Math.sqrt(x.reduce((s, v) => s + v * v, 0));
        for (const splitting of SPLITTINGS) {
          const w = diffuse(data, shape, { dt: 1e6, boundary, scheme, splitting });
          expect(norm(w)).toBeLessThanOrEqual(norm(data) * (1 + 1e-9));
        }
      }
    });
  },
);

test('Strang with Crank-Nicolson is of second order in dt', () => {
  const shape = [5, 6, 7];
  const { data, angles } = eigenmode(shape, [2, 1, 1], 'neumann');
  const exact = Math.exp(
    -angles.reduce((s, angle, a) => s + RATES[a]! * (2 - 2 * Math.cos(angle)), 0),
  );
  const error = (n: number) => {
    let w: Float64Array = data;
    for (let i = 0; i < n; i++) {
      w = diffuse(w, shape, {
        dt: 1 / n,
        boundary: 'neumann',
        scheme: 'crank-nicolson',
        splitting: 'strang',
      });
    }
    return largest(
      w,
      data.map((v) => exact * v),
    );
  };
  expect(Math.abs(Math.log2(error(8) / error(16)) - 2)).toBeLessThan(0.1);
});

test.each(SCHEMES)('splittings agree as dt goes to 0, %s', (scheme) => {
  const shape = [7, 9, 8];
  const data = randomFloats(sizeOf(shape), 8, -1, 1);
  const [coarse, fine] = [1e-2, 1e-3].map((dt) => {
    const [lie, ...others] = SPLITTINGS.map((splitting) =>
      diffuse(data, shape, { dt, boundary: 'neumann', scheme, splitting }),
    );
    return Math.max(...others.map((w) => largest(w, lie!)));
  });
  // They differ by O(dt^2) at least.
  expect(fine!).toBeLessThan(coarse! / 60);
});

test.each(SPLITTINGS)('constants stay and the mean is kept for any dt, %s', (splitting) => {
  const shape = [10, 12];
  const data = randomFloats(sizeOf(shape), 9, -1, 1);
  for (const dt of [1, 1e9]) {
    const step: Step = { dt, boundary: 'neumann', scheme: 'backward-euler', splitting };
    const constant = data.map(() => 0.7);
    expect(largest(diffuse(constant, shape, step), constant)).toBeLessThan(1e-13);
    const total = (x: Float64Array) => x.reduce((a, b) => a + b, 0);
    expect(Math.abs(total(diffuse(data, shape, step)) - total(data))).toBeLessThan(1e-11);
  }
});

test('the fixed point of Douglas is a solution of A u = 0, of the others it is not', () => {
  // A mode whose changes along x and y cancel: k_x < 0 is what makes such a mode exist.
  const shape = [9, 14];
  const { data, angles } = eigenmode(shape, [2, 3], 'dirichlet');
  const [lx, ly] = angles.map((angle) => 2 - 2 * Math.cos(angle)) as [number, number];
  const after = (splitting: Splitting) =>
    tidy(() => {
      const u = tensor(data, { shape: [1, 1, ...shape], dtype: 'float64' });
      const k = tensor([[-0.1 * ly, 0.1 * lx]], { dtype: 'float64' });
      const options: Step = { dt: 0.3, boundary: 'dirichlet', scheme: 'backward-euler', splitting };
      return implicitDiffusion2d(u, k, options).dataSync() as Float64Array;
    });
  expect(largest(after('douglas'), data)).toBeLessThan(1e-14);
  expect(largest(after('lie'), data)).toBeGreaterThan(1e-6);
});

describe('gradients of channels larger than the cache', () => {
  test.each([
    ['lie', [360, 400], 'backward-euler'],
    ['douglas', [380, 400], 'backward-euler'],
    ['strang', [40, 70, 60], 'crank-nicolson'],
  ] as const)('%s %p %s', (splitting, shape, scheme) => {
    const axes = shape.length;
    const size = sizeOf(shape);
    const [u, g] = [randomFloats(size, 1, -1, 1), randomFloats(size, 2, -1, 1)];
    const options: Step = { dt: 0.7, boundary: 'periodic', scheme, splitting };
    const value = (rates: number[]) =>
      tidy(() => {
        const x = tensor(u, { shape: [1, 1, ...shape], dtype: 'float64' });
        const k = tensor([rates], { dtype: 'float64' });
        const w = DIFFUSE[axes - 1]!(x, k, options).dataSync() as Float64Array;
        return w.reduce((s, v, i) => s + v * g[i]!, 0);
      });
    tidy(() => {
      const x = tensor(u, { shape: [1, 1, ...shape], dtype: 'float64', requiresGrad: true });
      const rates = RATES.slice(0, axes);
      const k = tensor([rates], { dtype: 'float64', requiresGrad: true });
      DIFFUSE[axes - 1]!(x, k, options).backward(
        tensor(g, { shape: [1, 1, ...shape], dtype: 'float64' }),
      );
      const dk = k.grad!.dataSync();
      rates.forEach((_, a) => {
        const moved = (d: number) => value(rates.map((r, i) => (i === a ? r + d : r)));
        const expected = (moved(1e-4) - moved(-1e-4)) / 2e-4;
        expect(Math.abs(dk[a]! - expected)).toBeLessThan(1e-6 * Math.max(1, Math.abs(expected)));
      });
      // The operator is its own adjoint.
      const back = diffuse(g, shape, options);
      expect(largest(x.grad!.dataSync() as Float64Array, back)).toBeLessThan(1e-13);
    });
  });
});

describe('bad input', () => {
  const line = () => tensor([[[1, 2, 3]]]);
  const volume = () => tensor([[[[[1, 2, 3]]]]]);
  test('options that do not apply are refused', () => {
    tidy(() => {
      const wrong = { dt: 1, splitting: 'lie' } as never;
      expect(() => implicitDiffusion1d(line(), 1, wrong)).toThrow(
        'implicitDiffusion1d: splitting is for 2 and 3 dimensions',
      );
      expect(() => implicitDiffusion1d(line(), 1, { dt: 1, dy: 1 } as never)).toThrow("'dy'");
      expect(() => implicitDiffusion3d(volume(), 1, { dt: 1, dz: 0 })).toThrow('dz');
      expect(() => implicitDiffusion3d(volume(), 1, { dt: 1, splitting: 'adi' as never })).toThrow(
        'splitting',
      );
      expect(() => implicitDiffusion3d(volume(), 1, { dt: 1, faceMean: 'harmonic' })).toThrow(
        'implicitDiffusion3d: faceMean',
      );
      expect(() => implicitDiffusion3d(line(), 1, { dt: 1 })).toThrow('[N, C, D, H, W]');
      expect(() => implicitDiffusion3d(volume(), tensor([1, 2]), { dt: 1 })).toThrow(
        'diffusivity must have shape [1] or [1, 3], got [2]',
      );
    });
  });
});
