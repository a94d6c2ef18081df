// Properties of semi-Lagrangian transport and grid sampling: transposes, exactness, conservation, order, agreement
// of the two, PyTorch's conventions, positions that are not finite.
import {
  type SampleBoundary,
  type SemiLagrangianOptions,
  type Tensor,
  advectSemiLagrangian2d,
  advectSemiLagrangian3d,
  full,
  grad,
  gridSample,
  square,
  sum,
  tensor,
  tidy,
  vjp,
  zeros,
} from '../../lib';
import { native } from '../../lib/native';
import { randomFloats, sizeOf } from '../cases/case';

const BOUNDARIES: SampleBoundary[] = ['zeros', 'border', 'reflect', 'periodic'];
const CLOSED = BOUNDARIES.slice(1);
const INTERPOLATIONS = ['bilinear', 'bicubic'] as const;
const BOTH = BOUNDARIES.flatMap((boundary) =>
  INTERPOLATIONS.map((interpolation) => ({ boundary, interpolation })),
);

const noise = (shape: readonly number[], seed: number, low = -1, high = 1): Tensor =>
  tensor(randomFloats(sizeOf(shape), seed, low, high), { shape, dtype: 'float64' });
const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((total, x, i) => total + x * b[i]!, 0);
const total = (t: Tensor) => (t.dataSync() as Float64Array).reduce((a, b) => a + b, 0);
const norm = (t: Tensor) => Math.sqrt(dot(t.dataSync(), t.dataSync()));
const largestDifference = (a: Tensor, b: Tensor) => {
  const other = b.dataSync();
  return (a.dataSync() as Float64Array).reduce(
    (m, x, i) => Math.max(m, Math.abs(x - other[i]!)),
    0,
  );
};
const advect = (u: Tensor, d: Tensor, options: SemiLagrangianOptions) =>
  (u.ndim === 4 ? advectSemiLagrangian2d : advectSemiLagrangian3d)(u, d, options);

/** The same whole displacement everywhere. */
function shift(size: readonly number[], by: readonly number[]): Tensor {
  const cells = sizeOf(size);
  return tensor(
    Float64Array.from({ length: by.length * cells }, (_, i) => by[Math.floor(i / cells)]!),
    { shape: [1, by.length, ...size], dtype: 'float64' },
  );
}

describe('the two transports are transposes: <G x, y> = <x, G^T y>', () => {
  test.each(BOTH)('$boundary $interpolation', (choice) => {
    tidy(() => {
      for (const [shape, d] of [
        [
          [2, 3, 17, 31],
          [1, 2, 17, 31],
        ],
        [
          [2, 17, 15, 9],
          [2, 2, 15, 9],
        ],
        [
          [1, 2, 16, 5],
          [1, 2, 2, 16, 5],
        ],
        [
          [1, 9, 4, 5, 6],
          [1, 3, 4, 5, 6],
        ],
      ] as const) {
        const [x, y] = [noise(shape, 1), noise(shape, 2)];
        const displacement = noise(d, 3, -6, 6);
        const forward = advect(x, displacement, { ...choice, transport: 'color' });
        const backward = advect(y, displacement, { ...choice, transport: 'mass' });
        const difference =
          dot(forward.dataSync(), y.dataSync()) - dot(x.dataSync(), backward.dataSync());
        expect(Math.abs(difference)).toBeLessThanOrEqual(1e-12 * norm(x) * norm(y));
      }
    });
  });
});

describe('exactness', () => {
  test.each(BOTH)('zero displacement is the identity: $boundary $interpolation', (choice) => {
    tidy(() => {
      for (const shape of [
        [2, 3, 7, 17],
        [1, 20, 5, 6],
        [1, 2, 3, 4, 5],
        [1, 8, 1, 1],
      ]) {
        const u = noise(shape, 4);
        const d = zeros([1, shape.length - 2, ...shape.slice(2)], { dtype: 'float64' });
        for (const transport of ['color', 'mass'] as const) {
          expect(advect(u, d, { ...choice, transport }).dataSync()).toEqual(u.dataSync());
        }
      }
    });
  });

  test.each(INTERPOLATIONS)('whole displacements are exact shifts: %s', (interpolation) => {
    tidy(() => {
      for (const channels of [2, 9]) {
        const u = noise([1, channels, 6, 7], 5);
        const d = shift([6, 7], [3, -2]);
        const rolled = u.roll([-3, 2], { dims: [3, 2] });
        const back = u.roll([3, -2], { dims: [3, 2] });
        const choice = { boundary: 'periodic', interpolation } as const;
        expect(advect(u, d, choice).dataSync()).toEqual(rolled.dataSync());
        expect(advect(u, d, { ...choice, transport: 'mass' }).dataSync()).toEqual(back.dataSync());
        // Row 2 reads row 0 three cells further; what lies outside is zero.
        const open = advect(u, d, { interpolation }).dataSync();
        const expected = [...u.dataSync().slice(3, 7), 0, 0, 0];
        expect([...open.slice(14, 21)]).toEqual(expected);
        expect(Math.max(...open.slice(0, 14).map(Math.abs))).toBe(0);
      }
    });
  });

  test.each(CLOSED)('color keeps constants: %s', (boundary) => {
    tidy(() => {
      for (const interpolation of INTERPOLATIONS) {
        const u = full([1, 9, 8, 11], 1.5, { dtype: 'float64' });
        const v = advect(u, noise([1, 2, 8, 11], 6, -20, 20), { boundary, interpolation });
        expect(largestDifference(v, u)).toBeLessThan(2e-15);
      }
    });
  });

  test.each(CLOSED)('mass keeps the sum of each channel: %s', (boundary) => {
    tidy(() => {
      for (const interpolation of INTERPOLATIONS) {
        for (const shape of [
          [2, 3, 9, 16],
          [1, 20, 9, 16],
          [1, 3, 4, 5, 6],
        ]) {
          const u = noise(shape, 7, 0, 1);
          const d = noise([1, shape.length - 2, ...shape.slice(2)], 8, -9, 9);
          const v = advect(u, d, { boundary, interpolation, transport: 'mass' });
          expect(Math.abs(total(v) / total(u) - 1)).toBeLessThan(1e-14);
          const [single] = [u, d].map((t) => t.to('float32'));
          const moved = advect(single!, d.to('float32'), {
            boundary,
            interpolation,
            transport: 'mass',
          });
          expect(Math.abs(total(moved.to('float64')) / total(u) - 1)).toBeLessThan(1e-6);
        }
      }
    });
  });

  test('bilinear color obeys the maximum principle', () => {
    tidy(() => {
      const u = noise([1, 9, 12, 13], 9);
      const v = advect(u, noise([1, 2, 12, 13], 10, -8, 8), { boundary: 'reflect' });
      const [low, high] = [Math.min(...u.dataSync()), Math.max(...u.dataSync())];
      for (const x of v.dataSync()) expect(x >= low && x <= high).toBe(true);
    });
  });
});

test.each([
  ['bilinear', 2],
  ['bicubic', 1], // Keys' kernel is of higher order for a = -1/2 only
] as const)('%s interpolation of a smooth field is of order %i', (interpolation, order) => {
  const error = (n: number) =>
    tidy(() => {
      const wave = (x: number, y: number) =>
        Math.sin((2 * Math.PI * x) / n) * Math.cos((2 * Math.PI * y) / n + 1);
      const field = (dx: number, dy: number) =>
        tensor(
          Float64Array.from({ length: n * n }, (_, p) =>
            wave((p % n) + dx, Math.floor(p / n) + dy),
          ),
          { shape: [1, 1, n, n], dtype: 'float64' },
        );
      const by = [0.3, -1.7];
      const v = advect(field(0, 0), shift([n, n], by), { boundary: 'periodic', interpolation });
      return largestDifference(v, field(by[0]!, by[1]!));
    });
  expect(Math.log2(error(32) / error(64))).toBeCloseTo(order, 0);
});

describe('agreement with gridSample', () => {
  test.each([
    ['zeros', 'zeros'],
    ['border', 'border'],
    ['reflect', 'reflection'],
  ] as const)('%s', (boundary, paddingMode) => {
    tidy(() => {
      for (const shape of [
        [2, 3, 6, 9],
        [1, 18, 5, 4],
        [1, 2, 3, 4, 5],
      ]) {
        const size = shape.slice(2);
        const axes = size.length;
        const u = noise(shape, 11);
        const d = noise([shape[0]!, axes, ...size], 12, -4, 4);
        const toGrid = (displacement: Tensor) => {
          const order = [0, ...size.map((_, i) => i + 2), 1];
          const cells = sizeOf(size);
          const centre = Float64Array.from({ length: axes * cells }, (_, i) => {
            const axis = axes - 1 - (i % axes);
            const inner = sizeOf(size.slice(axis + 1));
            return (Math.floor(Math.floor(i / axes) / inner) % size[axis]!) + 0.5;
          });
          const base = tensor(centre, { shape: [1, ...size, axes], dtype: 'float64' });
          const scale = tensor(
            [...size].reverse().map((n) => 2 / n),
            { dtype: 'float64' },
          );
          return displacement.permute(order).add(base).mul(scale).sub(1);
        };
        for (const interpolation of axes === 2 ? INTERPOLATIONS : (['bilinear'] as const)) {
          const one = vjp(
            (x: Tensor, y: Tensor) => advect(x, y, { boundary, interpolation }),
            u,
            d,
          );
          const two = vjp(
            (x: Tensor, y: Tensor) =>
              gridSample(x, toGrid(y), { mode: interpolation, paddingMode }),
            u,
            d,
          );
          expect(largestDifference(one.value, two.value)).toBeLessThan(1e-12);
          const g = noise(shape, 13);
          const [a, b] = [one.pullback(g), two.pullback(g)];
          expect(largestDifference(a[0]!, b[0]!)).toBeLessThan(1e-12);
          expect(largestDifference(a[1]!, b[1]!)).toBeLessThan(1e-11);
        }
      }
    });
  });
});

describe('positions that are far or not finite', () => {
  beforeAll(() => native.setCheckedMemory(true));
  test.each(BOTH)('$boundary $interpolation', (choice) => {
    tidy(() => {
      for (const shape of [
        [1, 2, 3, 17],
        [1, 9, 3, 17],
        [1, 2, 2, 3, 4],
      ]) {
        for (const dtype of ['float32', 'float64'] as const) {
          const u = noise(shape, 14).to(dtype);
          const size = shape.slice(2);
          const cells = sizeOf(size);
          const values = randomFloats(size.length * cells, 15, -2, 2);
          const good = advect(
            u,
            tensor(values, { shape: [1, size.length, ...size], dtype }),
            choice,
          );
          [NaN, Infinity, -Infinity, 1e30, -1e30, 3e9].forEach((v, i) => (values[2 * i] = v));
          const d = tensor(values, { shape: [1, size.length, ...size], dtype });
          const [expected, actual] = [good.dataSync(), advect(u, d, choice).dataSync()];
          actual.forEach((x, p) => {
            const cell = p % cells;
            if (cell >= 12 || cell % 2) expect(x).toBe(expected[p]!);
            else if (cell < 6) expect(x).toBeNaN();
            else expect(Number.isFinite(x)).toBe(true);
          });
          // Scatters and gradients must only stay inside their memory.
          advect(u, d, { ...choice, transport: 'mass' }).dataSync();
          for (const transport of ['color', 'mass'] as const) {
            const { pullback } = vjp(
              (a: Tensor, b: Tensor) => advect(a, b, { ...choice, transport }),
              u,
              d,
            );
            for (const g of pullback(u)) g.dataSync();
          }
        }
      }
      const grid = tensor([NaN, 0, Infinity, -Infinity, 1e30, 0.1], { shape: [1, 1, 3, 2] });
      gridSample(full([1, 1, 3, 4], 1), grid, { paddingMode: 'reflection' }).dataSync();
    });
  });
});

test('transport and sampling have second derivatives in the field', () => {
  tidy(() => {
    const d = noise([1, 2, 4, 5], 16, -2, 2);
    const grid = noise([1, 3, 3, 2], 17);
    for (const f of [
      (x: Tensor) => advectSemiLagrangian2d(x, d, { boundary: 'border' }),
      (x: Tensor) => advectSemiLagrangian2d(x, d, { transport: 'mass' }),
      (x: Tensor) => gridSample(x, grid),
    ]) {
      const [u, w] = [noise([1, 2, 4, 5], 18), noise([1, 2, 4, 5], 19)];
      const slope = grad((x: Tensor) => sum(square(f(x))));
      // The Hessian is 2 F^T F.
      const second = grad((x: Tensor) => sum(slope(x)[0]!.mul(w)))(u)[0]!;
      const expected = vjp(f, u).pullback(f(w).mul(2))[0]!;
      expect(largestDifference(second, expected)).toBeLessThan(1e-12);
    }
  });
});

describe('bad input', () => {
  const u = () => zeros([2, 3, 4, 5]);
  const d = () => zeros([2, 2, 4, 5]);
  const expectError = (run: () => unknown, op: string, code: string, text: string) =>
    tidy(() => {
      expect(run).toThrow(expect.objectContaining({ code: `FLUXION_${code}`, op }) as Error);
      expect(run).toThrow(text);
    });

  test.each([
    ['boundary', { boundary: 'neumann' }],
    ['interpolation', { interpolation: 'linear' }],
    ['transport', { transport: 'sideways' }],
    ['dt', { dt: 1 }],
  ])('%s', (name, options) => {
    expectError(
      () => advectSemiLagrangian2d(u(), d(), options as never),
      'advectSemiLagrangian2d',
      'INVALID_ARGUMENT',
      name,
    );
  });

  test('shapes and dtypes of the transport', () => {
    const op = 'advectSemiLagrangian2d';
    const run = (x: Tensor, y: Tensor) => () => advectSemiLagrangian2d(x, y);
    for (const shape of [
      [2, 3, 4, 5],
      [3, 2, 4, 5],
      [2, 2, 5, 4],
      [2, 1, 2, 4, 5],
      [2, 4, 5],
    ]) {
      expectError(run(u(), zeros(shape)), op, 'SHAPE_MISMATCH', `displacement must have shape`);
    }
    expectError(run(zeros([3, 4, 5]), d()), op, 'SHAPE_MISMATCH', 'input must have 4 dimensions');
    expectError(run(u(), d().to('float64')), op, 'DTYPE_MISMATCH', 'displacement must be float32');
    expectError(run(u().to('int32'), d()), op, 'DTYPE_MISMATCH', 'input must be float32');
    expectError(run(1 as never, d()), op, 'INVALID_ARGUMENT', 'input must be a tensor');
    expectError(run(u(), 1 as never), op, 'INVALID_ARGUMENT', 'displacement must be a tensor');
    expectError(
      () => advectSemiLagrangian3d(u(), d()),
      'advectSemiLagrangian3d',
      'SHAPE_MISMATCH',
      'input must have 5 dimensions',
    );
  });
});
