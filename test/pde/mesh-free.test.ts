// Numerical properties of mesh-free convolutions: one operator on every mesh, exact derivatives of modes, what
// noise does to them, agreement of their forms. In float64 unless a tolerance belongs to float32.
import { type Tensor, meshFreeConv1d, meshFreeConv2d, randn, roll, tensor, tidy } from '../../lib';
import { randomFloats } from '../cases/case';

type Floating = 'float32' | 'float64';

const numbers = (t: Tensor) => [...(t.dataSync() as Float64Array)];
const largest = (a: ArrayLike<number>, b: ArrayLike<number>) =>
  Array.from(a).reduce((m, v, i) => Math.max(m, Math.abs(v - b[i]!)), 0);

function double(values: ArrayLike<number>, shape: readonly number[], dtype: Floating = 'float64') {
  return tensor(Float64Array.from(values), { shape, dtype });
}

const random = (shape: readonly number[], seed: number, scale = 1) =>
  double(
    randomFloats(
      shape.reduce((a, b) => a * b, 1),
      seed,
      -scale,
      scale,
    ),
    shape,
  );

/** A field of modes up to `band` on h x w cells of the unit square, the same field for every mesh. */
function bandLimited(h: number, w: number, channels: number, band: number): Float64Array {
  const amplitudes = randomFloats(channels * (2 * band + 1) ** 2 * 2, 5);
  const data = new Float64Array(channels * h * w);
  for (let p = 0; p < data.length; p++) {
    const [c, i, j] = [Math.floor(p / (h * w)), Math.floor(p / w) % h, p % w];
    let at = c * (2 * band + 1) ** 2 * 2;
    for (let m = -band; m <= band; m++) {
      for (let n = -band; n <= band; n++) {
        const phase = 2 * Math.PI * ((m * i) / h + (n * j) / w);
        data[p]! += amplitudes[at++]! * Math.cos(phase) + amplitudes[at++]! * Math.sin(phase);
      }
    }
    data[p]! /= 10;
  }
  return data;
}

describe('one operator on every mesh', () => {
  test.each([
    ['float32', 1e-6],
    ['float64', 1e-12],
  ] as const)(
    'a band-limited field gives the same values on N and 2 N cells, %s',
    (dtype, bound) => {
      tidy(() => {
        for (const [second, shared] of [
          [false, false],
          [true, false],
          [true, true],
        ]) {
          const moments = second ? 6 : 3;
          const last = moments + (shared ? 0 : 3);
          // a0, first moments about a cell, second ones its square; Gaussians of a coarse cell and more.
          const sizes = [0.4, 0.06, 0.06, ...(second ? [0.004, 0.004, 0.004] : [])];
          const draw = randomFloats(6 * last, 6);
          const weight = draw.map((v, i) =>
            i % last < moments ? v * sizes[i % last]! : 0.06 + 0.02 * v,
          );
          const gaussian = shared ? double(randomFloats(9, 7, 0.04, 0.08), [3, 3], dtype) : null;
          const run = (n: number) =>
            numbers(
              meshFreeConv2d(
                double(bandLimited(n, n, 3, 3), [1, 3, n, n], dtype),
                double(weight, [2, 3, last], dtype),
                { gaussian },
              ),
            );
          const [coarse, fine] = [run(16), run(32)];
          const restricted = coarse.map((_, p) => {
            const [o, i, j] = [Math.floor(p / 256), Math.floor(p / 16) % 16, p % 16];
            return fine[o * 1024 + 64 * i + 2 * j]!;
          });
          const scale = Math.max(1, ...restricted.map(Math.abs));
          expect(largest(coarse, restricted) / scale).toBeLessThan(bound);
        }
      });
    },
  );

  /** Slope of the mean square difference, log2, when the mesh is refined; and the values. */
  function noiseResponse(sizes: readonly number[], response: (n: number) => number) {
    const values = sizes.map(response);
    const x = sizes.map(Math.log2);
    const y = values.map(Math.log2);
    const mean = (v: number[]) => v.reduce((a, b) => a + b, 0) / v.length;
    const [mx, my] = [mean(x), mean(y)];
    const slope =
      x.reduce((s, v, i) => s + (v - mx) * (y[i]! - my), 0) /
      x.reduce((s, v) => s + (v - mx) ** 2, 0);
    return { values, slope };
  }

  const BATCH = 200;
  /** E || (op_h u) restricted - op_2h (u restricted) ||^2 over unit white noise on n cells. */
  function lineResponse(n: number, apply: (u: Tensor, n: number) => Tensor): number {
    return tidy(() => {
      const u = randn([BATCH, 1, n], { seed: n, dtype: 'float64' });
      const coarse = numbers(apply(u.slice(2, 0, n, 2), n / 2));
      const fine = numbers(apply(u, n));
      let sum = 0;
      coarse.forEach((v, p) => {
        const [b, j] = [Math.floor(p / (n / 2)), p % (n / 2)];
        sum += (v - fine[b * n + 2 * j]!) ** 2;
      });
      return sum / coarse.length;
    });
  }

  test('noise: the difference between two meshes falls as h, that of a 3-point convolution not', () => {
    const sizes = [64, 128, 256, 512, 1024];
    const weight = double([1, 0, 1 / 30], [1, 1, 3]);
    const free = noiseResponse(sizes, (n) => lineResponse(n, (u) => meshFreeConv1d(u, weight)));
    const stencil = noiseResponse(sizes, (n) =>
      lineResponse(n, (u) =>
        u
          .add(roll(u, 1, { dims: 2 }))
          .add(roll(u, -1, { dims: 2 }))
          .div(3),
      ),
    );
    [9.4e-2, 4.7e-2, 2.35e-2, 1.18e-2, 5.9e-3].forEach((v, i) =>
      expect(Math.abs(free.values[i]! / v - 1)).toBeLessThan(0.15),
    );
    expect(Math.abs(free.slope + 1)).toBeLessThan(0.06);
    for (const v of stencil.values) expect(Math.abs(v / (4 / 9) - 1)).toBeLessThan(0.1);
  });

  test('noise in 2-d: the difference falls as h^2', () => {
    const weight = double([1, 0, 0, 1 / 12, 0, 1 / 12], [1, 1, 6]);
    const { slope } = noiseResponse([16, 32, 64], (n) =>
      tidy(() => {
        const u = randn([60, 1, n, n], { seed: n, dtype: 'float64' });
        const coarse = meshFreeConv2d(u.slice(2, 0, n, 2).slice(3, 0, n, 2), weight);
        const fine = meshFreeConv2d(u, weight).slice(2, 0, n, 2).slice(3, 0, n, 2);
        return fine.sub(coarse).pow(2).mean().item();
      }),
    );
    expect(Math.abs(slope + 2)).toBeLessThan(0.15);
  });
});

describe('modes', () => {
  const [h, w] = [12, 15];
  const [lx, ly] = [3, 2];
  const [m, n] = [2, 3];
  const [wx, wy] = [(2 * Math.PI * n) / lx, (2 * Math.PI * m) / ly];
  const phases = Array.from(
    { length: h * w },
    (_, p) => 2 * Math.PI * ((m * Math.floor(p / w)) / h + (n * (p % w)) / w),
  );
  const [p1, p2, p3] = [0.05, -0.04, 0.06];
  const damping = Math.exp(-((p1 * wx + p2 * wy) ** 2) - (p3 * wy) ** 2);

  test.each([
    ['a0', 0, 1, 0],
    ['a1 = d/dx', 1, 0, -wx],
    ['a2 = d/dy', 2, 0, -wy],
    ['a3 = d2/dx2', 3, -(wx ** 2), 0],
    ['a4 = d2/dxdy', 4, -wx * wy, 0],
    ['a5 = d2/dy2', 5, -(wy ** 2), 0],
  ])('%s of a cosine, smoothed, is exact', (_, moment, even, odd) => {
    tidy(() => {
      const a = [0, 1, 2, 3, 4, 5].map((k) => (k === moment ? 1 : 0));
      const u = double(phases.map(Math.cos), [1, 1, h, w]);
      const v = meshFreeConv2d(u, double([...a, p1, p2, p3], [1, 1, 9]), { length: [lx, ly] });
      const expected = phases.map((t) => damping * (even * Math.cos(t) + odd * Math.sin(t)));
      expect(largest(numbers(v), expected)).toBeLessThan(1e-12);
    });
  });

  test('a constant field gives sums of a0, and the bias', () => {
    tidy(() => {
      for (const dtype of ['float32', 'float64'] as const) {
        const weight = random([2, 3, 9], 3, 0.3).to(dtype);
        const u = double([1.5, -0.5, 2], [1, 3, 1, 1], dtype).expand([1, 3, 8, 5]);
        const v = numbers(
          meshFreeConv2d(u, weight, { bias: double([0.25, -1], [2], dtype) }).select(3, 4),
        );
        const a = numbers(weight.select(2, 0));
        const expected = [0, 1].map(
          (o) => 1.5 * a[3 * o]! - 0.5 * a[3 * o + 1]! + 2 * a[3 * o + 2]! + [0.25, -1][o]!,
        );
        const bound = dtype === 'float32' ? 1e-6 : 1e-14;
        expect(
          largest(
            v,
            expected.flatMap((e) => new Array<number>(8).fill(e)),
          ),
        ).toBeLessThan(bound);
      }
    });
  });

  test.each([
    [8, 6],
    [1, 8],
    [2, 2],
  ])('derivatives of the Nyquist modes of %i x %i cells vanish', (rows, columns) => {
    tidy(() => {
      const sign = Array.from({ length: rows * columns }, (_, p) => ((p % columns) % 2 ? -1 : 1));
      const u = double(sign, [1, 1, rows, columns]);
      const v = meshFreeConv2d(u, double([0, 1, 1, 0.01, 0.01, 0.01], [1, 1, 6]));
      expect(
        largest(
          numbers(v),
          sign.map(() => 0),
        ),
      ).toBeLessThan(1e-13);
    });
  });
});

describe('forms', () => {
  test.each([
    [7, 9],
    [8, 16],
    [5, 6],
  ])('commutes with translations, %i x %i', (h, w) => {
    tidy(() => {
      const u = random([2, 2, h, w], 11);
      const weight = random([3, 2, 9], 12, 0.1);
      const apply = (x: Tensor) => meshFreeConv2d(x, weight, { length: [2, 1] });
      const move = (x: Tensor) => roll(x, [2, -3], { dims: [2, 3] });
      expect(largest(numbers(apply(move(u))), numbers(move(apply(u))))).toBeLessThan(1e-12);
    });
  });

  test('smoothing twice by p is smoothing once by sqrt(2) p', () => {
    tidy(() => {
      const u = random([1, 1, 9, 16], 13);
      const smooth = (x: Tensor, s: number) =>
        meshFreeConv2d(x, double([1, 0, 0, 0.03 * s, 0.02 * s, 0.04 * s], [1, 1, 6]));
      const twice = numbers(smooth(smooth(u, 1), 1));
      expect(largest(twice, numbers(smooth(u, Math.SQRT2)))).toBeLessThan(1e-13);
    });
  });

  test('a field that is constant along y is convolved as a line', () => {
    tidy(() => {
      const line = random([3, 2, 20], 14);
      const weight = randomFloats(4 * 2 * 4, 15, -0.1, 0.1);
      const one = meshFreeConv1d(line, double(weight, [4, 2, 4]), { length: 2 });
      const wide = Array.from({ length: 8 }, (_, pair) => {
        const [a0, a1, a2, p1] = weight.slice(4 * pair, 4 * pair + 4);
        return [a0!, a1!, 0.3, a2!, 0.2, 0.1, p1!, 0.5, 0.7];
      }).flat();
      const plane = line.reshape([3, 2, 1, 20]).expand([3, 2, 6, 20]);
      const two = meshFreeConv2d(plane, double(wide, [4, 2, 9]), { length: [2, 5] });
      for (const row of [0, 5]) {
        expect(largest(numbers(one), numbers(two.select(2, row)))).toBeLessThan(1e-12);
      }
    });
  });

  test('a shared Gaussian is one that all pairs of its channel have, gradients too', () => {
    tidy(() => {
      const u = random([3, 2, 10, 9], 16);
      const moments = random([4, 2, 6], 17, 0.1);
      const gaussian = random([2, 3], 18, 0.1);
      const weight = tensor(
        Array.from({ length: 8 }, (_, pair) => [
          ...numbers(moments).slice(6 * pair, 6 * pair + 6),
          ...numbers(gaussian).slice(3 * (pair % 2), 3 * (pair % 2) + 3),
        ]),
        { dtype: 'float64' },
      ).reshape([4, 2, 9]);
      for (const t of [u, moments, gaussian, weight]) t.requiresGrad = true;
      const shared = meshFreeConv2d(u, moments, { gaussian });
      const own = meshFreeConv2d(u, weight);
      expect(largest(numbers(shared), numbers(own))).toBeLessThan(1e-12);
      const g = random([3, 4, 10, 9], 19);
      shared.backward(g);
      const gu = numbers(u.grad!);
      u.grad = null;
      own.backward(g);
      expect(largest(gu, numbers(u.grad!))).toBeLessThan(1e-12);
      const gw = weight.grad!;
      expect(largest(numbers(moments.grad!), numbers(gw.slice(2, 0, 6)))).toBeLessThan(1e-10);
      const summed = numbers(gw.slice(2, 6, 9).sum({ dim: 0 }));
      expect(largest(numbers(gaussian.grad!), summed)).toBeLessThan(1e-9);
    });
  });

  test('a batch that is worked through in parts is the samples one by one', () => {
    tidy(() => {
      const u = randn([23, 16, 64, 48], { seed: 20, dtype: 'float64' });
      const weight = random([18, 16, 6], 21, 0.05);
      u.requiresGrad = weight.requiresGrad = true;
      const all = meshFreeConv2d(u, weight);
      const g = randn([23, 18, 64, 48], { seed: 22, dtype: 'float64' });
      all.backward(g);
      const [gu, gw] = [u.grad!, weight.grad!];
      u.grad = weight.grad = null;
      const difference = (a: Tensor, b: Tensor) => a.sub(b).abs().max().item();
      for (const [begin, end] of [
        [0, 9],
        [9, 23],
      ] as const) {
        const part = meshFreeConv2d(u.slice(0, begin, end), weight);
        expect(difference(part, all.slice(0, begin, end))).toBe(0);
        part.backward(g.slice(0, begin, end));
      }
      expect(difference(u.grad!, gu)).toBe(0);
      expect(difference(gw, weight.grad!) / gw.abs().max().item()).toBeLessThan(1e-12);
    });
  });
});

describe('bad input', () => {
  const u = () => tensor([[[[1, 2, 3]]]]);
  const weight = (last: number) => tensor([[new Array<number>(last).fill(0.1)]]);
  const thrown = (code: string, op = 'meshFreeConv2d') =>
    expect.objectContaining({ code: `FLUXION_${code}`, op }) as Error;

  test.each([
    ['length', { length: 0 }],
    ['length', { length: [1, -1] }],
    ['length', { length: [1, NaN] }],
    ['length', { length: [1] }],
    ['length', { length: Infinity }],
    ['length', { length: 'long' }],
    ['bias', { bias: 1 }],
    ['gaussian', { gaussian: [1, 2, 3] }],
    ['width', { width: 2 }],
  ])('%s', (name, options) => {
    tidy(() => {
      expect(() => meshFreeConv2d(u(), weight(6), options as never)).toThrow(
        thrown('INVALID_ARGUMENT'),
      );
      expect(() => meshFreeConv2d(u(), weight(6), options as never)).toThrow(name);
    });
  });

  test('shapes and dtypes', () => {
    tidy(() => {
      expect(() => meshFreeConv2d(u(), weight(5))).toThrow(
        'meshFreeConv2d: weight must have shape [Co, 1, 6] or [Co, 1, 9], got [1, 1, 5]',
      );
      expect(() => meshFreeConv2d(u(), weight(9), { gaussian: tensor([[1, 1, 1]]) })).toThrow(
        'weight must have shape [Co, 1, 3] or [Co, 1, 6] beside a gaussian, got [1, 1, 9]',
      );
      expect(() => meshFreeConv2d(u(), weight(3), { gaussian: tensor([[1, 1]]) })).toThrow(
        thrown('SHAPE_MISMATCH'),
      );
      expect(() => meshFreeConv2d(u(), weight(6), { bias: tensor([1, 2]) })).toThrow(
        'bias must have shape [1], got [2]',
      );
      expect(() => meshFreeConv2d(u(), weight(6).to('float64'))).toThrow(thrown('DTYPE_MISMATCH'));
      expect(() => meshFreeConv2d(tensor([1, 2]), weight(6))).toThrow('[N, C, H, W]');
      expect(() => meshFreeConv2d(u().slice(3, 0, 0), weight(6))).toThrow(
        'input must have at least one cell along each axis',
      );
      expect(() => meshFreeConv1d(u(), weight(3))).toThrow(
        thrown('SHAPE_MISMATCH', 'meshFreeConv1d'),
      );
      expect(() => meshFreeConv1d(u().reshape([1, 1, 3]), weight(3), { length: -1 })).toThrow(
        'meshFreeConv1d: length must be a finite number > 0, got -1',
      );
      expect(() => meshFreeConv1d(u().reshape([1, 1, 3]), weight(5))).toThrow(
        '[Co, 1, 3] or [Co, 1, 4]',
      );
      expect(() => meshFreeConv2d(u(), 3 as never)).toThrow('weight must be a tensor, got 3');
    });
  });
});
